/* crew.c - jobs and workers of a process pool: handing out, taking answers, taking back, and what a death costs.
 *
 * How many jobs a worker has at a time. One, until it is known that its jobs are short; then as many as take some
 * wakes' time. Jobs with times or a high priority are given to idle workers only. What a worker has not begun can be
 * taken back (REVOKED): when it dies, when it is about to be killed for its present job, and when it got stuck in that
 * while others have nothing to do. So no job but the one that runs is ever harmed.
 * Pinned by tests/pool/process_pool_test.c and process_chaos_test.c. */
#include "pool/crew.h"

#include "sys/message.h"
#include "sys/net.h"
#include "sys/sys.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

enum {
    ENOUGH = 200 * 1000,      /* ns: jobs that take about this long together are given at a time */
    SLOW = 1000 * 1000,       /* ns: what a job is taken for before anything is known */
    STUCK = 100 * 1000 * 1000 /* ns: a job is not begun */
};

/* ---- news ---- */

static bool is_full(const weft__news *news)
{
    return news->n >= WEFT__NEWS - 2; /* one answer may be two */
}

static void add_outcome(weft__news *news, weft__task *b, int error)
{
    news->at[news->n].b = b;
    news->at[news->n++].error = error;
}

static weft__job *job_of(const weft__task *b)
{
    return (weft__job *)b->future;
}

/* A time limit has given it one: who waits may be reading the record, which is left as it is. */
static bool has_outcome(const weft__task *b)
{
    return load_acquire(&b->future->word) & (WEFT__FUTURE_DONE | WEFT__FUTURE_CLAIMED);
}

static int read_answer(weft__task *b)
{
    size_t size = b->reply.size;
    b->reply.size = 0;
    void *to = weft_reply_grow(&b->reply, size);
    int err = to != NULL ? weft__sys_memory_file_read(b->answer_fd, to, size) : -ENOMEM;
    weft__sys_close(b->answer_fd);
    b->answer_fd = -1;
    return err;
}

/* A job less: the keeper may wait for the last one. */
static void count_out(weft__crew *c)
{
    if (sub_seq_cst(&c->open, 1) == 1 && load_seq_cst(&c->closing))
        weft__crew_poke(c);
}

static void leave_to_keeper(weft__crew *c, weft__task *b)
{
    rawlock_acquire(&c->lock);
    b->next = c->outbox;
    c->outbox = b;
    rawlock_release(&c->lock);
    weft__crew_poke(c);
}

static void conclude(weft_executor *ex, weft__task *b, int error, bool keeper)
{
    weft__job *j = job_of(b);
    if (b->answer_fd >= 0) {
        int err = read_answer(b);
        error = error < 0 ? error : err;
    }
    weft__job_ends(j);
    weft__job_done(ex, j);
    if (!keeper && !weft__future_finish_quietly(&j->future, b->reply.data, error)) {
        leave_to_keeper(ex->crew, b);
        return;
    }
    if (keeper)
        weft__future_finish(&j->future, b->reply.data, error);
    weft_future_unref(&j->future);
    count_out(ex->crew);
}

/* By the keeper: whether there was something. */
static bool publish(weft__crew *c)
{
    rawlock_acquire(&c->lock);
    weft__task *newest = c->outbox, *oldest = NULL;
    c->outbox = NULL;
    rawlock_release(&c->lock);
    for (weft__task *next; newest != NULL; newest = next) {
        next = newest->next;
        newest->next = oldest;
        oldest = newest;
    }
    bool any = oldest != NULL;
    for (weft__task *next; oldest != NULL; oldest = next) {
        next = oldest->next;
        weft__future_publish(oldest->future);
        weft_future_unref(oldest->future);
        count_out(c);
    }
    return any;
}

/* Pre: not locked. */
static void tell(weft_executor *ex, weft__news *news, bool keeper)
{
    for (unsigned i = 0; i < news->n; i++) {
        weft__task *b = news->at[i].b;
        if (news->at[i].error <= 0) {
            conclude(ex, b, news->at[i].error, keeper);
            continue;
        }
        b->progress(b->future, news->at[i].done, news->at[i].total, b->progress_arg);
        weft_future_unref(b->future);
    }
    news->n = 0;
}

/* ---- those taken back ---- */

static void push_front(weft__crew *c, weft__task *b)
{
    b->waits = true;
    b->man = NULL;
    b->next = c->first;
    if (c->first == NULL)
        c->end = &b->next;
    c->first = b;
}

static weft__task *pop(weft__crew *c)
{
    weft__task *b = c->first;
    c->first = b->next;
    if (c->first == NULL)
        c->end = &c->first;
    b->waits = false;
    return b;
}

static void take_out(weft__crew *c, weft__task *b)
{
    weft__task **at = &c->first;
    while (*at != b)
        at = &(*at)->next;
    *at = b->next;
    if (c->end == &b->next)
        c->end = at;
    b->waits = false;
}

/* ---- handing out; the lock is held ---- */

static uint32_t positions(const weft__man *m)
{
    return m->head - m->tail;
}

static bool can_take(const weft__crew *c, const weft__man *m)
{
    return m->ready && !m->quitting && !m->stuck && m->killed == WEFT__NOT_KILLED && m->busy < m->depth &&
           positions(m) < WEFT__SLOTS && (c->options.jobs_per_worker == 0 || m->given < c->options.jobs_per_worker);
}

/* Who gets the next job: an idle one, the last one used first, because it may still be awake; or who has fewest. */
static weft__man *choose(weft__crew *c)
{
    weft__man *best = NULL;
    for (unsigned i = 0; i < c->n; i++) {
        unsigned at = c->last + i < c->n ? c->last + i : c->last + i - c->n;
        weft__man *m = &c->men[at];
        if (!can_take(c, m) || (best != NULL && m->busy >= best->busy))
            continue;
        best = m;
        if (m->busy == 0)
            break;
    }
    if (best != NULL)
        c->last = best->index;
    return best;
}

/* The next job for a worker that is idle or not; NULL: none. Jobs that will not run go to the news. */
static weft__task *next_job(weft_executor *ex, bool idle, weft__news *news)
{
    weft__crew *c = ex->crew;
    weft__taken taken;
    while (!is_full(news)) {
        weft__task *b;
        if (c->first != NULL) {
            if (!idle && job_of(c->first)->limits != NULL)
                return NULL;
            b = pop(c);
        } else {
            if ((!idle && load_relaxed(&ex->backlog.urgent) != 0) || !weft__backlog_take(&ex->backlog, &taken))
                return NULL;
            b = container_of(taken.item, weft__job, item)->bytes;
        }
        weft__job *j = job_of(b);
        if (!idle && j->limits != NULL) {
            push_front(c, b);
            return NULL;
        }
        if (b->begun)
            return b;
        if (!weft__future_begin_elsewhere(&j->future)) {
            weft__job_stale(j);
            weft_future_unref(&j->future);
            continue;
        }
        b->begun = true;
        add_seq_cst(&c->open, 1);
        if (load_relaxed(&ex->broken))
            add_outcome(news, b, -WEFT_EBROKEN);
        else if (!weft__job_begins(j))
            add_outcome(news, b, -ETIMEDOUT);
        else
            return b;
    }
    return NULL;
}

static int send_file(const weft__man *m, const weft__task *b)
{
    int fd = weft__sys_memory_file(b->in, b->size);
    if (fd < 0)
        return fd;
    uint32_t position = m->head;
    weft__message message = {.head = &position, .head_size = sizeof position, .fds = &fd, .fd_count = 1};
    int err = weft__sys_message_send(m->socket, &message);
    weft__sys_close(fd);
    return err;
}

/* Put the job into the worker's next slot. 0, or why it cannot be. */
static int place(weft__man *m, weft__task *b)
{
    uint32_t i = m->head % WEFT__SLOTS;
    weft__shared_slot *s = &m->seg->slots[i];
    if (b->size <= WEFT__SLOT_SMALL) {
        s->where = WEFT__IN_SLOT;
        memcpy(s->small, b->in, b->size);
    } else if (b->size <= WEFT__BLOCK) {
        s->where = WEFT__IN_BLOCK;
        memcpy(m->seg->blocks[i], b->in, b->size);
    } else {
        s->where = WEFT__IN_FILE;
        int err = send_file(m, b);
        if (err < 0)
            return err;
    }
    s->size = b->size;
    s->fn = b->fn;
    s->progress = b->progress != NULL;
    s->reports = 0;
    b->man = m;
    b->slot = m->head;
    m->jobs[i] = b;
    m->head++;
    m->given++;
    if (m->busy++ == 0) {
        m->since = weft__sys_now();
        m->seen = 0;
    }
    weft__slot_give(m->seg, s);
    return 0;
}

/* Whether anything was done. */
static bool hand_out(weft_executor *ex, weft__news *news)
{
    weft__crew *c = ex->crew;
    bool any = false;
    for (;;) {
        weft__man *m = choose(c);
        store_seq_cst(&c->room, m != NULL); /* C3 */
        if (m == NULL || is_full(news))
            return any;
        weft__task *b = next_job(ex, m->busy == 0, news);
        if (b == NULL)
            return any;
        any = true;
        int err = place(m, b);
        enum weft__pace pace = m->busy > 1 ? WEFT__TICKS : WEFT__LOOKS;
        if (pace < c->pace) {
            c->pace = pace;
            weft_poller_interrupt(c->poller);
        }
        if (err == -EAGAIN && m->busy > 0) { /* its socket is full: it is slow, after all */
            m->depth = m->busy;
            push_front(c, b);
        } else if (err < 0) {
            if (err == -EPIPE) { /* it has died, which will be seen in a moment */
                m->quitting = true;
                push_front(c, b);
            } else {
                add_outcome(news, b, err);
            }
        }
    }
}

/* ---- taking back; the lock is held ---- */

static void remove_from(weft__man *m, uint32_t position)
{
    m->jobs[position % WEFT__SLOTS]->man = NULL;
    m->jobs[position % WEFT__SLOTS] = NULL;
    m->busy--;
}

static bool revoke(weft__man *m, uint32_t position)
{
    if (m->jobs[position % WEFT__SLOTS] == NULL || !weft__slot_revoke(&m->seg->slots[position % WEFT__SLOTS]))
        return false;
    remove_from(m, position);
    m->given--;
    return true;
}

/* Everything that it has not begun, but for the first `keep` positions. */
static void revoke_all(weft__man *m, uint32_t keep)
{
    for (uint32_t p = m->head; p - m->tail > keep; p--) {
        weft__task *b = m->jobs[(p - 1) % WEFT__SLOTS];
        if (revoke(m, p - 1))
            push_front(m->ex->crew, b);
    }
}

/* ---- answers; the lock is held ---- */

/* A worker has written what it may not: its present job fails, and it is killed. */
static void nonsense(weft__man *m, weft__news *news, int error, const char *what, uint64_t size)
{
    weft__task *b = m->jobs[m->tail % WEFT__SLOTS];
    if (m->killed != WEFT__NOT_KILLED)
        return;
    weft__man_kill(m, WEFT__NONSENSE);
    if (b == NULL)
        return;
    if (error == -EMSGSIZE)
        weft__task_say(b, "worker %u (pid %d) sent %llu bytes, more than the pool's limit", m->index, (int)m->pid,
                       (unsigned long long)size);
    else
        weft__task_say(b, "worker %u (pid %d) wrote nonsense: %s", m->index, (int)m->pid, what);
    remove_from(m, m->tail);
    add_outcome(news, b, error);
}

/* The memory file of the answer at the tail. A descriptor, or an error. */
static int receive_file(const weft__man *m)
{
    uint32_t position;
    int fd = -1;
    weft__message message = {.head = &position, .head_size = sizeof position, .fds = &fd, .fd_count = 1};
    long n = weft__sys_message_receive(m->socket, &message);
    if (n == (long)sizeof position && message.fd_count == 1 && position == m->tail)
        return fd;
    if (message.fd_count == 1)
        weft__sys_close(fd);
    return -EPROTO;
}

/* Take the answer out of the slot at the tail. 0, 1: that was nonsense; *error is the job's own. */
static int take_answer(weft__man *m, weft__task *b, weft__news *news, int *error)
{
    weft__shared_slot *s = &m->seg->slots[m->tail % WEFT__SLOTS];
    uint32_t where = load_relaxed(&s->where);
    uint64_t size = load_relaxed(&s->size);
    int32_t err = load_relaxed(&s->error);
    const char *data = where == WEFT__IN_SLOT ? s->small : m->seg->blocks[m->tail % WEFT__SLOTS];
    uint64_t room = where == WEFT__IN_SLOT ? sizeof s->small : where == WEFT__IN_BLOCK ? WEFT__BLOCK : SIZE_MAX;
    if (size > m->ex->crew->options.message_limit && where == WEFT__IN_FILE) {
        nonsense(m, news, -EMSGSIZE, NULL, size);
        return 1;
    }
    if (where > WEFT__IN_FILE || size > room || err > 0 || err < -(1 << 20)) {
        nonsense(m, news, -EPROTO, "an answer without a place", size);
        return 1;
    }
    *error = err;
    if (err < 0) {
        if (!has_outcome(b) && size > 0 && where != WEFT__IN_FILE)
            weft__task_say(b, "%.*s", (int)size, data);
        return 0;
    }
    if (where == WEFT__IN_FILE) {
        b->answer_fd = receive_file(m);
        if (b->answer_fd < 0) {
            nonsense(m, news, -EPROTO, "an answer that did not come", size);
            return 1;
        }
        b->reply.size = size; /* read outside the lock */
        return 0;
    }
    if (has_outcome(b))
        return 0;
    b->reply.size = 0;
    *error = weft_reply_put(&b->reply, data, size);
    return 0;
}

static void take_report(weft__man *m, weft__task *b, weft__news *news)
{
    weft__shared_slot *s = &m->seg->slots[m->tail % WEFT__SLOTS];
    uint32_t reports = load_acquire(&s->reports);
    if (b == NULL || b->progress == NULL || reports == m->seen)
        return;
    m->seen = reports;
    weft_future_ref(b->future);
    news->at[news->n].done = load_relaxed(&s->done);
    news->at[news->n].total = load_relaxed(&s->total);
    add_outcome(news, b, 1);
}

/* Jobs that tell their progress are the keeper's affair: others leave them to it. Whether this is the keeper. */
static bool call_keeper(weft__man *m, bool keeper)
{
    if (!keeper && !m->left)
        weft_poller_interrupt(m->ex->crew->poller);
    m->left = !keeper;
    return keeper;
}

/* Its jobs take about so long: how many it may have. */
static void learn(weft__man *m, uint32_t done)
{
    int64_t now = weft__sys_now(), per_job = (now - m->since) / (done != 0 ? done : 1);
    m->since = now;
    m->per_job = per_job < m->per_job ? (m->per_job + per_job) / 2 : (m->per_job + 3 * per_job) / 4;
    int64_t depth = m->per_job > 0 ? ENOUGH / m->per_job : WEFT__SLOTS;
    m->depth = depth < 2 ? 1 : depth > WEFT__SLOTS ? WEFT__SLOTS : (uint32_t)depth;
}

/* Whether anything came from this worker. */
static bool harvest(weft__man *m, weft__news *news, bool keeper)
{
    uint32_t from = m->tail, done = 0;
    if (m->seg == NULL || m->killed == WEFT__NONSENSE)
        return false;
    bool new = !m->ready && !m->quitting &&load_seq_cst(&m->seg->ready) == 1;
    if (unlikely(new)) {
        m->ready = true;
        store_relaxed(&m->ex->crew->stillborn, 0);
    }
    while (m->tail != m->head && !is_full(news)) {
        weft__shared_slot *s = &m->seg->slots[m->tail % WEFT__SLOTS];
        weft__task *b = m->jobs[m->tail % WEFT__SLOTS];
        uint32_t state = load_acquire(&s->state);
        if (state < WEFT__SLOT_QUEUED || state > WEFT__SLOT_SKIPPED || (state == WEFT__SLOT_SKIPPED && b != NULL) ||
            (state == WEFT__SLOT_DONE && b == NULL)) {
            nonsense(m, news, -EPROTO, "a state that is none", 0);
            break;
        }
        if (b != NULL && b->progress != NULL && !call_keeper(m, keeper))
            break;
        take_report(m, b, news);
        if (state != WEFT__SLOT_DONE && state != WEFT__SLOT_SKIPPED)
            break;
        if (state == WEFT__SLOT_DONE) {
            int error;
            if (take_answer(m, b, news, &error) != 0)
                break;
            remove_from(m, m->tail);
            add_outcome(news, b, error);
            done++;
        }
        m->seen = 0;
        m->tail++;
        store_relaxed(&s->state, WEFT__SLOT_FREE);
    }
    if (m->tail == from)
        return new || news->n != 0;
    m->stuck = false;
    if (done > 0)
        learn(m, done);
    if (m->busy == 0 && m->ex->crew->options.jobs_per_worker != 0 && m->given >= m->ex->crew->options.jobs_per_worker &&
        !m->quitting)
        weft__man_quit(m);
    return true;
}

bool weft__crew_look(weft_executor *ex, bool keeper)
{
    weft__crew *c = ex->crew;
    weft__news news = {0};
    bool ever = false, any;
    do {
        any = false;
        rawlock_acquire(&c->lock);
        for (unsigned i = 0; i < c->n && !is_full(&news); i++)
            any = harvest(&c->men[i], &news, keeper) || any;
        any = hand_out(ex, &news) || any;
        any = news.n != 0 || any;
        rawlock_release(&c->lock);
        tell(ex, &news, keeper);
        any = (keeper && publish(c)) || any;
        ever = ever || any;
    } while (any);
    return ever;
}

/* ---- ends ---- */

static void say_how(weft__task *b, const weft__man *m, int code)
{
    const char *name = code < 0 && code != INT_MIN ? sigabbrev_np(-code) : NULL;
    if (name != NULL)
        weft__task_say(b, "worker %u (pid %d) died: SIG%s", m->index, (int)m->pid, name);
    else if (code == INT_MIN)
        weft__task_say(b, "worker %u (pid %d) died", m->index, (int)m->pid);
    else if (code < 0)
        weft__task_say(b, "worker %u (pid %d) died: signal %d", m->index, (int)m->pid, -code);
    else
        weft__task_say(b, "worker %u (pid %d) died: exit code %d", m->index, (int)m->pid, code);
}

/* The worker has died of this job, or with it. */
static void lose(weft__man *m, weft__task *b, int code, weft__news *news)
{
    weft__crew *c = m->ex->crew;
    if (has_outcome(b)) {
        add_outcome(news, b, -ECANCELED);
    } else if (m->killed == WEFT__TERMINATED) {
        weft__task_say(b, "worker %u (pid %d) was ended with its pool", m->index, (int)m->pid);
        add_outcome(news, b, -ECANCELED);
    } else if (load_acquire(&b->future->word) & WEFT__FUTURE_STOPPED) {
        weft__task_say(b, "worker %u (pid %d) was ended: its job was stopped", m->index, (int)m->pid);
        add_outcome(news, b, -ECANCELED);
    } else if (b->deaths++ < c->options.retries && !load_relaxed(&c->terminated)) {
        push_front(c, b);
    } else {
        say_how(b, m, code);
        add_outcome(news, b, -WEFT_EDIED);
    }
}

/* What the dead worker still had; false: call again. */
static bool give_back(weft__man *m, int code, weft__news *news)
{
    if (!m->ready && !m->quitting)
        add_relaxed(&m->ex->crew->stillborn, 1);
    m->ready = false;
    m->quitting = true;
    /* From the newest on, so that they keep their order. What is not QUEUED was begun. */
    for (uint32_t p = m->head; p != m->tail; p--) {
        weft__task *b = m->jobs[(p - 1) % WEFT__SLOTS];
        if (b == NULL)
            continue;
        if (is_full(news))
            return false;
        remove_from(m, p - 1);
        if (load_acquire(&m->seg->slots[(p - 1) % WEFT__SLOTS].state) != WEFT__SLOT_QUEUED)
            lose(m, b, code, news);
        else
            push_front(m->ex->crew, b);
    }
    return true;
}

void weft__crew_bury(weft__man *m, int code)
{
    weft_executor *ex = m->ex;
    weft__crew *c = ex->crew;
    weft__news news = {0};
    bool more, harvested = false;
    do {
        rawlock_acquire(&c->lock);
        if (!harvested) { /* what it had finished */
            harvest(m, &news, true);
            harvested = !is_full(&news);
        }
        more = !harvested || !give_back(m, code, &news);
        rawlock_release(&c->lock);
        tell(ex, &news, true);
    } while (more);
}

void weft__crew_stop(weft_future *f)
{
    weft__task *b = ((weft__job *)f)->bytes;
    weft_executor *ex = weft__job_pool((weft__job *)f);
    if (weft__pool_inherited(ex))
        return;
    weft__crew *c = ex->crew;
    weft__news news = {0};
    rawlock_acquire(&c->lock);
    weft__man *m = b->man;
    const char *why =
        load_acquire(&f->word) & WEFT__FUTURE_CLAIMED ? "its job was over its time" : "its job was stopped";
    if (m != NULL && revoke(m, b->slot)) {
        add_outcome(&news, b, -ECANCELED);
    } else if (m != NULL) {
        revoke_all(m, b->slot - m->tail + 1); /* so that nothing else is running when it is killed */
        if (load_acquire(&m->seg->slots[b->slot % WEFT__SLOTS].state) == WEFT__SLOT_RUNNING) {
            weft__task_say(b, "worker %u (pid %d) was ended: %s", m->index, (int)m->pid, why);
            weft__man_kill(m, WEFT__STOPPED);
        }
    } else if (b->waits && b->begun) {
        take_out(c, b);
        add_outcome(&news, b, -ECANCELED);
    }
    rawlock_release(&c->lock);
    tell(ex, &news, false);
    weft__crew_look(ex, false);
}

void weft__crew_tick(weft_executor *ex)
{
    weft__crew *c = ex->crew;
    bool idle = false;
    int64_t now = weft__sys_now();
    rawlock_acquire(&c->lock);
    for (unsigned i = 0; i < c->n && !idle; i++)
        idle = c->men[i].busy == 0 && can_take(c, &c->men[i]);
    for (unsigned i = 0; i < c->n; i++) {
        weft__man *m = &c->men[i];
        if (m->seg != NULL && m->busy > 1 && m->ticked == m->tail && idle) {
            revoke_all(m, 1);
            m->per_job = SLOW;
            m->depth = 1;
        }
        m->ticked = m->tail;
        if (m->seg != NULL && m->busy > 0 && idle && now - m->since > STUCK) {
            revoke_all(m, 0); /* it does not even begin: somebody has stopped it, say */
            m->stuck = m->busy == 0;
        }
    }
    rawlock_release(&c->lock);
}

void weft__crew_fail_waiting(weft_executor *ex, int error)
{
    weft__crew *c = ex->crew;
    weft__news news = {0};
    bool any;
    do {
        rawlock_acquire(&c->lock);
        weft__task *b;
        while (!is_full(&news) && (b = next_job(ex, true, &news)) != NULL)
            add_outcome(&news, b, error);
        any = news.n != 0;
        rawlock_release(&c->lock);
        tell(ex, &news, false);
    } while (any);
}

void weft__crew_listen(weft__crew *c, uint32_t listening)
{
    rawlock_acquire(&c->lock);
    if (c->listener != NULL)
        store_seq_cst(&c->listener->listening, listening);
    rawlock_release(&c->lock);
}

void weft__crew_poke(weft__crew *c)
{
    rawlock_acquire(&c->lock);
    if (c->poller != NULL)
        weft_poller_interrupt(c->poller);
    rawlock_release(&c->lock);
}

int64_t weft__crew_pace(const weft_future *f)
{
    weft__crew *c = weft__job_pool((const weft__job *)f)->crew;
    const weft__task *b = ((const weft__job *)f)->bytes;
    rawlock_acquire(&c->lock);
    const weft__man *m = b->man != NULL ? b->man : c->n != 0 ? &c->men[c->last] : NULL;
    int64_t pace = m != NULL ? m->per_job : INT64_MAX;
    rawlock_release(&c->lock);
    return pace;
}

void weft__crew_kill_all(weft_executor *ex)
{
    weft__crew *c = ex->crew;
    rawlock_acquire(&c->lock);
    store_seq_cst(&c->terminated, true);
    for (unsigned i = 0; i < c->n; i++)
        weft__man_kill(&c->men[i], WEFT__TERMINATED);
    rawlock_release(&c->lock);
}
