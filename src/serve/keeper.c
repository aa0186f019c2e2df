/* keeper.c - one coroutine a worker that looks after its connections: time-outs, ticks, the stop.
 *
 * It sleeps on w->control until the first thing that is due. Nothing is set or cancelled for a request: the lists are
 * kept in the order in which their heads come due (C2 of serve.h), so the head says when to look again, and a
 * connection that has been active since is put back when it is looked at. K1  wake_at is when the keeper will look by
 * itself; who has something due earlier bumps control (keeper_by). It is INT64_MAX while the keeper works, so that
 * everything new makes it look once more. K2  once nobody new is accepted (drained) the end of each connection, runner
 * and send wakes it, and it ends when there are none. Pinned by tests/serve/server_test.c and handover_test.c. */
#include "co/sched.h"
#include "park/park.h"
#include "serve/worker.h"
#include "sys/file.h"
#include "sys/sys.h"

#include <errno.h>

enum {
    LINGER_MS = 2000,
    SCAN_MS_MAX = 1000, /* how often flushes are looked at */
    SCAN_MS_MIN = 10,
    RETIRE_MS = 5 /* how often it asks whether the poller has brought the last connection */
};

/* ---- being told ---- */

void weft__keeper_by(weft__worker *w, int64_t at)
{
    if (likely(at >= w->wake_at))
        return;
    w->wake_at = at;
    add_seq_cst(&w->control, 1);
    weft__wake(&w->control, 1, 0);
}

static int64_t scan_ms(const weft__worker *w)
{
    int64_t ms = WEFT__MS_OF(w->server->options.write_timeout) / 4;
    return ms < 0 || ms > SCAN_MS_MAX ? SCAN_MS_MAX : ms < SCAN_MS_MIN ? SCAN_MS_MIN : ms;
}

/* c goes to the end of a list whose members come due `delay` ns after they joined it. */
static void join(weft_conn *c, weft__list *list, uint32_t *stamp, int64_t now, int64_t delay)
{
    weft__worker *w = c->worker;
    store_relaxed(stamp, (uint32_t)WEFT__MS_OF(now - w->server->epoch));
    list_remove(&c->link);
    list_push_back(list, &c->link);
    if (delay >= 0)
        weft__keeper_by(w, now + delay);
}

void weft__keeper_idle(weft_conn *c)
{
    weft__worker *w = c->worker;
    weft_server *s = w->server;
    int64_t now = weft__sys_coarse_now();
    uint32_t ms = (uint32_t)WEFT__MS_OF(now - s->epoch);
    /* A busy connection is moved now and then only, so that a request does not touch its neighbours' records. */
    if (c->state == WEFT__CONN_FLUSHING || ms - c->since > s->since_grain || list_empty(&c->link))
        join(c, &w->waiting, &c->since, now, s->options.idle_timeout);
}

void weft__keeper_flushing(weft_conn *c)
{
    int64_t now = weft__sys_coarse_now();
    c->since = (uint32_t)WEFT__MS_OF(now - c->worker->server->epoch);
    join(c, &c->worker->flushing, &c->stalled, now, scan_ms(c->worker) * WEFT_MS);
}

void weft__keeper_lingering(weft_conn *c)
{
    join(c, &c->worker->lingering, &c->since, weft__sys_coarse_now(), LINGER_MS * WEFT_MS);
}

void weft__keeper_shaking(weft_conn *c)
{
    weft__worker *w = c->worker;
    c->state = WEFT__CONN_SHAKING;
    join(c, &w->shaking, &c->since, weft__sys_coarse_now(), w->server->options.handshake_timeout);
}

/* ---- time-outs: each looks at one list and returns in how many ms it wants to look again, -1: never ---- */

static weft_conn *first_of(weft__list *list)
{
    return list_empty(list) ? NULL : container_of(list->next, weft_conn, link);
}

static int64_t look_at_waiting(weft__worker *w, uint32_t now)
{
    int64_t timeout = w->server->options.idle_timeout;
    if (timeout < 0)
        return -1;
    timeout = WEFT__MS_OF(timeout);
    for (weft_conn *c; (c = first_of(&w->waiting)) != NULL;) {
        int64_t age = (uint32_t)(now - c->since);
        if (age < timeout)
            return timeout - age;
        if (c->state == WEFT__CONN_IDLE) {
            WEFT__COUNT(&w->timeouts);
            weft__conn_end(c);
        } else { /* it is with its handler, which has deadlines of its own */
            c->since = now;
            list_remove(&c->link);
            list_push_back(&w->waiting, &c->link);
        }
    }
    return -1;
}

static bool flush_is_late(weft_conn *c, uint32_t now)
{
    weft__out *o = c->out;
    if (c->write_ms < 0)
        return false;
    if (o->sent != o->send.sent) {
        o->sent = (uint32_t)o->send.sent;
        c->stalled = now;
    }
    int64_t rate_ms = c->write_rate != 0 ? (int64_t)o->total * 1000 / c->write_rate : INT32_MAX;
    return (uint32_t)(now - c->stalled) >= (uint32_t)c->write_ms || (uint32_t)(now - c->since) >= c->write_ms + rate_ms;
}

static int64_t look_at_flushing(weft__worker *w, uint32_t now)
{
    list_each_safe (l, &w->flushing) {
        weft_conn *c = container_of(l, weft_conn, link);
        if (flush_is_late(c, now))
            weft__conn_end(c);
    }
    return list_empty(&w->flushing) ? -1 : scan_ms(w);
}

static int64_t look_at_lingering(weft__worker *w, uint32_t now)
{
    for (weft_conn *c; (c = first_of(&w->lingering)) != NULL;) {
        int64_t age = (uint32_t)(now - c->since);
        if (age < LINGER_MS)
            return LINGER_MS - age;
        weft__conn_end(c);
    }
    return -1;
}

static int64_t look_at_shaking(weft__worker *w, uint32_t now)
{
    int64_t timeout = WEFT__MS_OF(w->server->options.handshake_timeout);
    if (w->server->options.handshake_timeout < 0)
        return -1;
    for (weft_conn *c; (c = first_of(&w->shaking)) != NULL;) {
        int64_t age = (uint32_t)(now - c->since);
        if (age < timeout)
            return timeout - age;
        WEFT__COUNT(&w->timeouts);
        WEFT__COUNT(&w->broken);
        weft__conn_end(c);
    }
    return -1;
}

static int64_t sooner(int64_t at, int64_t now, int64_t in_ms)
{
    int64_t other = in_ms < 0 ? INT64_MAX : now + in_ms * WEFT_MS;
    return other < at ? other : at;
}

/* Everything that is due; returns when to look again. */
static int64_t look(weft__worker *w)
{
    int64_t now = weft__sys_coarse_now();
    uint32_t ms = (uint32_t)WEFT__MS_OF(now - w->server->epoch);
    int64_t next = w->tick_at;
    next = sooner(next, now, look_at_waiting(w, ms));
    next = sooner(next, now, look_at_flushing(w, ms));
    next = sooner(next, now, look_at_lingering(w, ms));
    next = sooner(next, now, look_at_shaking(w, ms));
    if (w->accept_again <= now)
        weft__accept_retry(w);
    if (w->accept_again < next)
        next = w->accept_again;
    weft__runner_call(w);
    if (w->ready != NULL && !w->runner_coming)
        next = sooner(next, now, SCAN_MS_MIN);
    return next;
}

/* ---- the stop ---- */

/* Nobody new. False: some may still come, ask again. Who goes at once, and has the sockets alone, need not: with them
 * all go who stand there. */
static bool drain(weft__worker *w, bool over)
{
    w->drained = true;
    weft__runners_dismiss(w);
    if (w->server->listeners[w->index] < 0)
        return true;
    bool at_once = over && !weft__listen_is_shared(w->server);
    if (!at_once && !weft__accept_retire(w, over))
        return false;
    weft__accept_close(w);
    return true;
}

/* Who is idle goes; who waits for a request's first byte is told that there is none. */
static void empty(weft__worker *w)
{
    w->emptied = true;
    list_each_safe (l, &w->waiting) {
        weft_conn *c = container_of(l, weft_conn, link);
        if (c->state == WEFT__CONN_IDLE) {
            weft__conn_end(c);
        } else if (c->turn != NULL && c->turn->waits == WEFT__WAIT_FIRST && !(c->flags & WEFT__CONN_BUSY)) {
            weft__conn_call_end(c);
            weft__turn_wake(c, 1u << WEFT__WAIT_FIRST);
        }
    }
    for (weft_conn *c; (c = first_of(&w->shaking)) != NULL;)
        weft__conn_end(c);
}

/* The grace is over. A handler that waits elsewhere than in our calls is cancelled there. */
static void cut(weft__worker *w)
{
    w->cut = true;
    weft__list *lists[] = {&w->waiting, &w->flushing, &w->lingering};
    for (unsigned i = 0; i < WEFT__ARRAY_LEN(lists); i++) {
        list_each_safe (l, lists[i]) {
            weft_conn *c = container_of(l, weft_conn, link);
            weft__turn *t = c->turn;
            if (i < 2)
                WEFT__COUNT(&w->cuts);
            (void)w->server->model->evict(c, -ECANCELED);
            if (t != NULL)
                weft__waiter_cancel(t->waiter);
        }
    }
}

static bool all_ended(const weft__worker *w)
{
    return load_seq_cst(&w->coming) == 0 && w->open == 0 && w->refused_open == 0 && w->runners == 0 && w->sends == 0;
}

/* ---- the coroutine ---- */

static void tick(weft__worker *w)
{
    const weft_server_options *o = &w->server->options;
    w->tick_at = INT64_MAX;
    o->state_tick(w->state, o->arg);
}

/* A step of the stop. True: all have ended; else *next is when it wants to go on, if that is earlier. */
static bool stop(weft__worker *w, int64_t *next)
{
    weft_server *s = w->server;
    int64_t grace = load_seq_cst(&s->grace), now = weft__sys_now();
    bool over = weft__server_closing(s) || grace <= now;
    if (!drain(w, over)) { /* who still comes is let go with the others */
        *next = sooner(*next, now, RETIRE_MS);
        return false;
    }
    if (!w->emptied && over)
        empty(w);
    if (!w->cut && grace <= now)
        cut(w);
    if (all_ended(w))
        return true;
    if (!w->cut && grace < *next)
        *next = grace;
    return false;
}

static void keep(weft__worker *w)
{
    weft_server *s = w->server;
    for (;;) {
        uint32_t seen = load_seq_cst(&w->control);
        w->wake_at = INT64_MAX;
        if (w->tick_at <= weft__sys_now())
            tick(w);
        int64_t next = look(w);
        if (load_seq_cst(&s->stopping) != WEFT__STOP_NOT && stop(w, &next))
            return;
        w->wake_at = next;
        (void)weft__park(&w->control, seen, (weft_until){next}, WEFT__UNCANCELLABLE, "server keeper");
    }
}

static int open_worker(weft__worker *w)
{
    const weft_server_options *o = &w->server->options;
    int err = weft__poller_here(&w->poller);
    if (err < 0)
        return err;
    if (o->state_open != NULL && (err = o->state_open(&w->state, o->arg)) < 0)
        return err;
    err = weft__accept_open(w);
    if (err < 0 && o->state_close != NULL)
        o->state_close(w->state, o->arg);
    return err;
}

void weft__keeper_started(weft__worker *w, int err)
{
    weft_server *s = w->server;
    int32_t none = 0;
    if (err < 0)
        (void)cas_seq_cst(&s->start_error, &none, err);
    sub_seq_cst(&s->starting, 1);
    weft__wake(&s->starting, UINT32_MAX, 0);
}

void weft__keeper_gone(weft__worker *w)
{
    weft_server *s = w->server;
    if (sub_seq_cst(&s->serving, 1) == 1)
        weft__server_ended(s);
}

int weft__keeper(void *arg)
{
    weft__worker *w = arg;
    const weft_server_options *o = &w->server->options;
    int err = open_worker(w);
    weft__keeper_started(w, err);
    if (err == 0) {
        keep(w);
        if (o->state_tick != NULL)
            o->state_tick(w->state, o->arg);
        if (o->state_close != NULL)
            o->state_close(w->state, o->arg);
    }
    weft__keeper_gone(w);
    return 0;
}

int weft__keepers_start(weft_server *s, int (*keeper)(void *worker))
{
    int err = weft__io_start();
    if (err < 0) {
        weft__server_ended(s);
        return err;
    }
    store_relaxed(&s->serving, s->nworkers);
    store_seq_cst(&s->starting, s->nworkers);
    for (unsigned i = 0; i < s->nworkers; i++) {
        err = weft__co_start_on(s->hosted ? WEFT__SCHED_APART : i, NULL, keeper, &s->workers[i], NULL);
        if (err < 0) {
            weft__keeper_started(&s->workers[i], err);
            weft__keeper_gone(&s->workers[i]);
        }
    }
    for (uint32_t left; (left = load_seq_cst(&s->starting)) > 0;)
        (void)weft__park(&s->starting, left, WEFT_FOREVER, WEFT__UNCANCELLABLE, "server start");
    return load_relaxed(&s->start_error);
}
