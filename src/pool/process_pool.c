/* process_pool.c - the engine whose workers are processes; see weft/process_pool.h. Jobs and workers are crew.c's; here
 * are the pool's beginning and end, its keeper, and who else looks for answers.
 *
 * The keeper is a thread of the pool that sleeps until a worker rings or ends. It starts workers anew, runs callbacks
 * (nobody else does, because a submitter may hold a lock that they want), and closes the pool down. A thread that waits
 * for a future looks for answers itself for a moment, and nobody rings meanwhile: a short job is then done without a
 * wake.
 *
 * K1  while `attended` is set the keeper may sleep with `listening` 0: who attends sets it when he leaves, and looks
 *     once more after that.
 * K2  the keeper ends when the pool is closed, every job has been concluded (`open` is 0), and every process reaped;
 *     then it frees what the crew has, and sets ex->alive to 0.
 * Pinned by tests/pool/process_pool_test.c. */
#include "pool/process_pool.h"
#include "pool/crew.h"

#include "base/leak.h"
#include "pool/worker.h"
#include "sys/net.h"
#include "sys/sys.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

enum {
    KEEPER_STACK = 256 << 10,
    EVENTS = 16,
    DEFAULT_LIMIT = 1 << 30,
    STILLBORN = 5, /* workers in a row, besides one for each */
    FAILURES = 200 /* of starting one, while there is none */
};
#define TICK    WEFT_MS
#define LOOK    (100 * WEFT_MS) /* a worker may have spoiled the word that says who looks */
#define AGAIN   (10 * WEFT_MS)  /* after a process could not be started */
#define GRACE   WEFT_SECOND     /* for idle workers to end */
#define PATIENT (50 * WEFT_US)  /* how long who waits looks himself */
#define SHORT   (400 * WEFT_US) /* for jobs that take no longer */

static unsigned default_workers(void)
{
    return weft__sys_cpus();
}

size_t weft__process_pool_limit(const weft_executor *ex)
{
    return ex->engine == &weft__process_engine ? ex->crew->options.message_limit : PTRDIFF_MAX / 4;
}

/* ---- the keeper ---- */

typedef struct picture {
    bool jobs;      /* some are not concluded */
    bool processes; /* some are not reaped */
    int64_t until;  /* when to look again */
} picture;

static picture look_around(weft_executor *ex, int64_t now)
{
    weft__crew *c = ex->crew;
    picture p = {.until = INT64_MAX};
    bool several = false, one = false;
    rawlock_acquire(&c->lock);
    /* In this order: a job goes from the backlog to `open` under the lock. */
    p.jobs = !weft__backlog_empty(&ex->backlog) || c->first != NULL || load_seq_cst(&c->open) != 0 || c->outbox != NULL;
    for (unsigned i = 0; i < c->n; i++) {
        const weft__man *m = &c->men[i];
        p.processes = p.processes || m->seg != NULL;
        several = several || m->busy > 1;
        one = one || m->busy == 1;
        if (m->seg == NULL && m->retry_at < p.until)
            p.until = m->retry_at;
    }
    /* A pace is kept for a while: changing it costs a wake. */
    if (several)
        c->ticks_until = now + 10 * TICK;
    if (several || one)
        c->looks_until = now + 2 * LOOK;
    c->pace = now < c->ticks_until ? WEFT__TICKS : now < c->looks_until ? WEFT__LOOKS : WEFT__DOZES;
    int64_t next = c->pace == WEFT__TICKS ? now + TICK : c->pace == WEFT__LOOKS ? now + LOOK : INT64_MAX;
    rawlock_release(&c->lock);
    p.until = next < p.until ? next : p.until;
    return p;
}

static void break_down(weft_executor *ex, int err)
{
    weft__pool_break(ex, err);
    store_seq_cst(&ex->crew->closing, true);
    weft__crew_fail_waiting(ex, -WEFT_EBROKEN);
}

/* A worker's process has ended. */
static void ended(weft__man *m)
{
    weft_executor *ex = m->ex;
    weft__crew *c = ex->crew;
    int code, err = weft_process_join(&m->process, &code, WEFT_NOW);
    if (err == -ETIMEDOUT)
        return;
    if (err < 0)
        code = INT_MIN; /* SIGCHLD is ignored */
    bool refused = load_seq_cst(&m->seg->ready) == 2;
    int error = m->seg->error;
    weft__crew_bury(m, code);
    weft__man_forget(m);
    if (load_relaxed(&ex->broken))
        return;
    if (refused)
        break_down(ex, error < 0 ? error : -ECANCELED);
    else if (load_relaxed(&c->stillborn) >= STILLBORN + c->n)
        break_down(ex, -WEFT_EDIED);
}

/* Start those that are missing. */
static void recruit(weft_executor *ex)
{
    weft__crew *c = ex->crew;
    bool any = false;
    int err = 0;
    for (unsigned i = 0; i < c->n; i++) {
        weft__man *m = &c->men[i];
        if (m->seg == NULL && m->retry_at <= weft_now()) {
            int e = weft__man_start(m);
            m->retry_at = e < 0 ? weft_now() + AGAIN : 0;
            err = e < 0 ? e : err;
        }
        any = any || m->seg != NULL;
    }
    c->failures = any ? 0 : c->failures + 1;
    if (c->failures >= FAILURES)
        break_down(ex, err);
}

/* No job is left: the workers go, those that do not by themselves by force. */
static void dismiss(weft_executor *ex, int64_t now)
{
    weft__crew *c = ex->crew;
    if (c->kill_at == 0)
        c->kill_at = now + GRACE;
    rawlock_acquire(&c->lock);
    for (unsigned i = 0; i < c->n; i++)
        if (c->men[i].seg != NULL && !c->men[i].quitting)
            weft__man_quit(&c->men[i]);
    rawlock_release(&c->lock);
    if (now >= c->kill_at)
        weft__crew_kill_all(ex);
}

static void handle(weft_executor *ex, const weft_poll_event *events, int n)
{
    for (int i = 0; i < n; i++) {
        if (events[i].data == NULL)
            weft__sys_eventfd_clear(ex->crew->bell);
        else
            ended(events[i].data);
    }
}

/* Wait for what comes next, and see to it. */
static void keep_on(weft_executor *ex, int64_t until)
{
    weft__crew *c = ex->crew;
    weft_poll_event events[EVENTS];
    if (load_seq_cst(&c->attended) == 0) /* K1 */
        store_seq_cst(&c->listener->listening, 1);
    int n = weft__crew_look(ex, true) ? 0 : weft_poller_wait(c->poller, events, EVENTS, (weft_until){until});
    store_seq_cst(&c->listener->listening, 0);
    if (n == -ETIMEDOUT)
        weft__crew_tick(ex);
    handle(ex, events, n);
    while (weft__crew_look(ex, true))
        ;
}

static void close_down(weft_executor *ex)
{
    weft__crew *c = ex->crew;
    rawlock_acquire(&c->lock);
    weft_poller *poller = c->poller;
    weft__man *men = c->men;
    c->poller = NULL;
    c->men = NULL;
    c->n = 0;
    store_relaxed(&c->room, 0);
    rawlock_release(&c->lock);
    if (poller != NULL)
        weft_poller_close(poller);
    if (c->bell >= 0)
        weft__sys_close(c->bell);
    if (c->listener != NULL)
        weft__sys_unmap(c->listener, sizeof *c->listener);
    if (c->listener_fd >= 0)
        weft__sys_close(c->listener_fd);
    c->listener = NULL;
    weft__free(men);
}

static void *keep(void *arg)
{
    weft_executor *ex = arg;
    weft__crew *c = ex->crew;
    for (;;) {
        int64_t now = weft_now();
        picture p = look_around(ex, now);
        bool closing = load_seq_cst(&c->closing), last = closing && !p.jobs;
        if (last && !p.processes)
            break;
        bool terminated = load_seq_cst(&c->terminated);
        if (terminated)
            weft__crew_fail_waiting(ex, -ECANCELED);
        if (last)
            dismiss(ex, now);
        else if (!terminated && !load_relaxed(&ex->broken))
            recruit(ex);
        keep_on(ex, last && c->kill_at < p.until ? c->kill_at : p.until);
    }
    close_down(ex);
    store_seq_cst(&ex->alive, 0);
    weft__wake(&ex->alive, UINT32_MAX, 0); /* the address only */
    return NULL;
}

/* ---- the engine ---- */

static void kick(weft_executor *ex)
{
    if (load_seq_cst(&ex->crew->room) != 0)
        weft__crew_look(ex, false);
}

static void end(weft_executor *ex, bool kill)
{
    weft__crew *c = ex->crew;
    if (c == NULL)
        return;
    if (kill) {
        weft__crew_kill_all(ex);
        weft__crew_fail_waiting(ex, -ECANCELED);
    }
    store_seq_cst(&c->closing, true);
    weft__crew_poke(c);
}

/* Look for answers for a while, as long as some come. */
static void look_for(weft_future *f, weft_executor *ex, weft_until until)
{
    int64_t end = weft_now() + PATIENT;
    for (unsigned i = 1; !weft__future_is_done(f); i++) {
        if (weft__crew_look(ex, false))
            end = weft_now() + PATIENT;
        else if (i % 8 == 0) {
            int64_t now = weft_now();
            if (now >= end || now >= until.at)
                return;
        }
        cpu_relax();
        cpu_relax();
    }
}

static void attend(weft_future *f, weft_until until)
{
    weft_executor *ex = weft__job_pool((weft__job *)f);
    if (weft__pool_inherited(ex))
        return;
    weft__crew *c = ex->crew;
    uint32_t nobody = 0;
    if (weft__crew_pace(f) > SHORT || !cas_seq_cst(&c->attended, &nobody, 1))
        return;
    weft__crew_listen(c, 0);
    if (weft__may_spin() && weft__self()->ops->of_thread)
        look_for(f, ex, until);
    store_seq_cst(&c->attended, 0);
    do
        weft__crew_listen(c, 1);
    while (weft__crew_look(ex, false));
}

static void look_at(weft_executor *ex, weft_executor_info *info)
{
    weft__crew *c = ex->crew;
    uint64_t stale = load_relaxed(&ex->stale), waiting = weft__backlog_look(&ex->backlog).queued;
    *info = (weft_executor_info){.name = ex->name, .engine = ex->engine->name, .workers_max = ex->workers_max};
    info->queued = waiting > stale ? waiting - stale : 0;
    rawlock_acquire(&c->lock);
    for (unsigned i = 0; i < c->n; i++) {
        const weft__man *m = &c->men[i];
        info->workers += m->seg != NULL;
        info->idle += m->seg != NULL && m->busy == 0;
        info->running += m->busy != 0;
        info->queued += m->busy > 1 ? m->busy - 1 : 0;
    }
    for (const weft__task *b = c->first; b != NULL; b = b->next)
        info->queued++;
    rawlock_release(&c->lock);
    rawlock_acquire(&ex->lock);
    info->finished = ex->finished;
    rawlock_release(&ex->lock);
}

const weft__engine weft__process_engine = {
    .name = "processes",
    .workers = default_workers,
    .kick = kick,
    .end = end,
    .look = look_at,
};

/* ---- the beginning ---- */

static int open_crew(weft_executor *ex, const weft_process_pool_options *options)
{
    weft__crew *c = ex->crew;
    void *listener;
    int err = -ENOMEM;
    if (options != NULL)
        c->options = *options;
    c->men = weft__calloc(ex->workers_max, sizeof *c->men);
    if (c->men == NULL)
        return err;
    if ((err = weft__crew_map(c, &listener, sizeof *c->listener, &c->listener_fd)) < 0)
        return err;
    c->listener = listener;
    if ((c->bell = weft__sys_eventfd()) < 0)
        return c->bell;
    if ((err = weft_poller_open(&c->poller, NULL)) < 0)
        return err;
    if ((err = weft_poller_register(c->poller, c->bell, WEFT_POLLIN, NULL)) < 0)
        return err;
    if (c->options.message_limit == 0)
        c->options.message_limit = DEFAULT_LIMIT;
    c->n = ex->workers_max;
    for (unsigned i = 0; i < c->n; i++) {
        c->men[i].ex = ex;
        c->men[i].index = i;
    }
    for (unsigned i = 0; i < c->n && err == 0; i++)
        err = weft__man_start(&c->men[i]);
    return err;
}

/* It could not be made: what was, is undone. */
static void give_up(weft_executor *ex)
{
    weft__crew *c = ex->crew;
    weft__crew_kill_all(ex);
    for (unsigned i = 0; i < c->n; i++)
        if (c->men[i].seg != NULL) {
            weft_process_join(&c->men[i].process, NULL, WEFT_FOREVER);
            weft__man_forget(&c->men[i]);
        }
    close_down(ex);
    weft_executor_free(ex);
}

static int make_crew(weft_executor *ex)
{
    void *p;
    if (ex->crew == NULL) {
        int err = weft__sys_map(&p, sizeof(weft__crew));
        if (err < 0)
            return err;
        leak_root(p, sizeof(weft__crew));
        ex->crew = p;
    }
    *ex->crew = (weft__crew){.bell = -1, .listener_fd = -1};
    ex->crew->end = &ex->crew->first;
    return 0;
}

int weft_process_pool_new(weft_executor **out, const weft_pool_options *options,
                          const weft_process_pool_options *process_options)
{
    static const weft_pool_options none;
    const weft_pool_options *o = options != NULL ? options : &none;
    weft_executor *ex;
    if (o->waiters_help || o->workers > WEFT__MEN_MAX ||
        (process_options != NULL && process_options->method > WEFT_FORKSERVER))
        return -EINVAL;
    int err = weft__pool_make(&ex, &weft__process_engine, o);
    if (err < 0)
        return err;
    err = make_crew(ex);
    if (err < 0) {
        weft_executor_free(ex);
        return err;
    }
    ex->ops.help = NULL;
    ex->ops.enders = NULL;
    ex->ops.stop = weft__crew_stop;
    ex->ops.attend = attend;
    err = open_crew(ex, process_options);
    weft__pools_end_first();
    if (err == 0) {
        store_seq_cst(&ex->alive, 1);
        err = weft__sys_thread(keep, ex, KEEPER_STACK);
    }
    if (err < 0) {
        store_seq_cst(&ex->alive, 0);
        give_up(ex);
        return err;
    }
    *out = ex;
    return 0;
}

int weft_process_pool_pids(weft_executor *ex, pid_t *pids, int n)
{
    if (ex->engine != &weft__process_engine || weft__pool_inherited(ex))
        return 0;
    weft__crew *c = ex->crew;
    rawlock_acquire(&c->lock);
    int workers = (int)c->n;
    for (int i = 0; i < workers && i < n; i++)
        pids[i] = c->men[i].pid;
    rawlock_release(&c->lock);
    return workers;
}
