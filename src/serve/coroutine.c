/* coroutine.c - the model "coroutine" and its like: handlers run on pooled coroutines, idle connections have none.
 *
 * The poller brings bytes (received), on the scheduler thread's own stack. A connection with something new joins the
 * worker's `ready` line, and one *runner* coroutine works the line off, calling handlers in place: a handler that never
 * waits costs no switch of its own, and the buffers and the stack it uses are those the last one left warm in the
 * cache.
 * R1  ready is not empty  =>  a runner is in the run queue (runner_coming), or one runs and has not yet taken the next
 *     connection, or there was no memory for one and the keeper will try again. A runner makes sure of its successor
 *     before it calls a handler, because the handler may park.
 * R2  a turn belongs to one runner from its beginning to its end; a runner that was cancelled (to cut a handler short)
 *     takes no other connection.
 * When the handler is done, gathered bytes leave by weft__send: at once where the poller sends at once, in the next
 * batch with io_uring; either way no coroutine waits for it, and a slow reader holds only his bytes. With TLS they
 * leave by secure.c, at once or when the socket has room, and no coroutine waits for that either.
 * Pinned by tests/serve/conn_test.c and tests/serve/attack_test.c. */
#include "co/sched.h"
#include "park/park.h"
#include "serve/worker.h"
#include "sys/sys.h"

#include <errno.h>

enum {
    LINGER_BYTES = 64 * 1024,
    RESTING = 2 /* runners that wait for more instead of ending: one, and the successor that it makes sure of */
};

/* ---- waits inside a turn ---- */

/* Sleep until a callback wakes the turn for `waits`; 0 then. */
static int turn_park(weft__turn *t, enum weft__turn_wait waits, int64_t until, bool hard)
{
    weft__waiter *self = t->waiter;
    weft_conn *c = t->conn;
    if (waits != WEFT__WAIT_OUTPUT) /* a send's waits are stamped by its progress */
        store_relaxed(&c->stalled, weft__server_ms(c->worker->server));
    weft__wait_begin(self, hard);
    store_relaxed(&t->waits, waits);
    fence_seq_cst(); /* pairs with a canceller of the runner: he sees the wait, or we see `cancel` */
    uint32_t why = weft__wait_block(self, until);
    store_relaxed(&t->waits, WEFT__WAIT_NOTHING);
    if (why == WEFT__CANCELLED)
        return -ECANCELED;
    return why == WEFT__TIMEDOUT ? -ETIMEDOUT : 0;
}

void weft__turn_wake(weft_conn *c, unsigned mask)
{
    weft__turn *t = c->turn;
    if (t != NULL && (mask & 1u << t->waits) && t->waits != WEFT__WAIT_NOTHING &&
        weft__waiter_claim(t->waiter, WEFT__WOKEN(0)))
        weft__waiter_ready(t->waiter);
}

/* Receiving was held; there is room again. */
static int resume_input(weft_conn *c)
{
    c->flags &= (uint8_t)~WEFT__CONN_HELD;
    return weft__recv_start(&c->slot);
}

static int co_wait_input(weft_conn *c, bool first, int64_t until)
{
    if (first && weft__server_closing(c->worker->server) && !(c->flags & WEFT__CONN_BUSY)) {
        weft__conn_call_end(c); /* no further request is begun */
        return 0;
    }
    int err = c->flags & WEFT__CONN_HELD ? resume_input(c) : 0;
    if (err < 0)
        return err;
    return turn_park(c->turn, first ? WEFT__WAIT_FIRST : WEFT__WAIT_INPUT, until, false);
}

struct sending {
    weft__send send;
    weft_conn *conn;
    ssize_t result;
    bool done;
};

static void sending_done(weft__send *send, ssize_t result)
{
    struct sending *op = container_of(send, struct sending, send);
    op->result = result;
    op->done = true;
    weft__turn_wake(op->conn, 1u << WEFT__WAIT_OUTPUT);
}

static int co_send(weft_conn *c, struct iovec *iov, unsigned n, unsigned flags, int64_t until)
{
    struct sending op = {.send = {.done = sending_done, .iov = iov, .niov = n, .flags = flags}, .conn = c};
    ssize_t r = weft__send_start(&c->slot, &op.send);
    if (r != -EINPROGRESS)
        return r < 0 ? (int)r : 0;
    int err = 0;
    size_t sent = op.send.sent;
    store_relaxed(&c->stalled, weft__server_ms(c->worker->server));
    while (!op.done) {
        int64_t stall = weft__stall_until(c, until);
        err = turn_park(c->turn, WEFT__WAIT_OUTPUT, stall, false);
        if (op.done)
            break;
        if (err == 0)
            err = c->error; /* evicted */
        bool moved = op.send.sent != sent;
        if (moved) {
            sent = op.send.sent;
            store_relaxed(&c->stalled, weft__server_ms(c->worker->server));
        }
        if (err == 0 || (err == -ETIMEDOUT && moved && weft__sys_now() < until))
            continue;
        weft__send_cancel(&op.send);
        while (!op.done)
            (void)turn_park(c->turn, WEFT__WAIT_OUTPUT, INT64_MAX, true);
        return op.result >= 0 ? 0 : err;
    }
    return op.result < 0 ? (int)op.result : 0;
}

static int co_wait_output(weft_conn *c, int64_t until)
{
    int err = weft__slot_want_out_once(&c->slot);
    if (err < 0)
        return err;
    store_relaxed(&c->stalled, weft__server_ms(c->worker->server));
    return turn_park(c->turn, WEFT__WAIT_OUTPUT, weft__stall_until(c, until), false);
}

static weft__buffer *co_take(weft__worker *w)
{
    return weft__buffer_take(w->poller);
}

static void co_give(weft__worker *w, weft__buffer *b)
{
    weft__buffer_release(w->poller, b);
}

static void co_forget(weft_conn *c)
{
    weft__slot_remove(&c->slot);
}

/* ---- after a turn ---- */

static void make_ready(weft_conn *c);

static void end_conn(weft_conn *c)
{
    weft__worker *w = c->worker;
    weft__conn_end(c);
    weft__keeper_ended(w);
}

/* Shut the sending side; read and drop for a while. */
static void linger(weft_conn *c)
{
    weft__input_free(c);
    if ((c->flags & (WEFT__CONN_ENDED | WEFT__CONN_CALLED)) == WEFT__CONN_ENDED ||
        weft__sys_shutdown(c->slot.fd, SHUT_WR) < 0) {
        end_conn(c);
        return;
    }
    c->state = WEFT__CONN_LINGERING;
    c->at = 0; /* from here on: bytes dropped */
    if (c->flags & WEFT__CONN_HELD)
        (void)resume_input(c); /* if not, the time-out ends it */
    weft__keeper_lingering(c);
}

/* Put c where its input and its flags say: idle, ready, lingering or ended. */
static void settle(weft_conn *c, int verdict)
{
    if (verdict == WEFT_CONN_LINGER) {
        linger(c);
        return;
    }
    if (unlikely(verdict != WEFT_CONN_IDLE || c->error < 0)) {
        end_conn(c);
        return;
    }
    if (weft__conn_has_work(c)) {
        weft__keeper_idle(c);
        make_ready(c);
        return;
    }
    /* Nothing more will come, or nothing more fits and the handler cannot use what is there. */
    bool over = (c->flags & WEFT__CONN_ENDED) || c->unread >= c->worker->server->options.input_max;
    if (unlikely(over || weft__server_closing(c->worker->server))) {
        c->state = WEFT__CONN_IDLE; /* nothing is under way: a session may say that it ends */
        end_conn(c);
        return;
    }
    if (unlikely(c->flags & WEFT__CONN_HELD) && resume_input(c) < 0) {
        end_conn(c);
        return;
    }
    if (c->in != NULL)
        weft__input_compact(c);
    weft__keeper_idle(c); /* looks at the state it comes from */
    c->state = WEFT__CONN_IDLE;
}

static void out_done(weft__send *send, ssize_t result)
{
    weft__out *o = container_of(send, weft__out, send);
    weft_conn *c = o->conn;
    weft__worker *w = o->worker;
    w->sends--;
    weft__out_free(o);
    if (c != NULL && unlikely(c->corked))
        weft__conn_release(c);
    if (c == NULL) { /* it has ended meanwhile */
        weft__keeper_ended(w);
        return;
    }
    c->out = NULL;
    settle(c, result < 0 ? (int)result : c->after);
}

/* Send what the turn has gathered, without waiting for it. True: it is gone. */
static bool send_gathered(weft_conn *c, int *verdict)
{
    weft__out *o = c->out;
    o->sent = 0;
    o->send = (weft__send){.done = out_done, .iov = o->iov, .niov = weft__out_pieces(o)};
    if (unlikely(c->corked) || *verdict != WEFT_CONN_IDLE)
        o->send.flags = WEFT__SEND_NOW; /* ahead of the release; or the end follows, and the peer would see it later */
    ssize_t r = weft__send_start(&c->slot, &o->send);
    if (r == -EINPROGRESS) {
        c->state = WEFT__CONN_FLUSHING;
        c->after = (uint8_t)*verdict;
        c->worker->sends++;
        weft__keeper_flushing(c);
        return false;
    }
    weft__out_free(o);
    c->out = NULL;
    if (r < 0)
        *verdict = (int)r;
    return true;
}

/* TLS: the same, and the end of the session, if it is the end. */
static bool send_secure(weft_conn *c, int *verdict)
{
    bool began = c->out != NULL;
    weft__out *o = began ? c->out : weft__out_take(c);
    int err = o != NULL ? 0 : -ENOMEM;
    if (err == 0) {
        o->sent = 0;
        o->send = (weft__send){.iov = o->iov, .niov = weft__out_pieces(o)};
        err = weft__secure_push(c, *verdict != WEFT_CONN_IDLE);
    }
    if (err == -EAGAIN && (err = weft__slot_want_out_once(&c->slot)) == 0) {
        c->state = WEFT__CONN_FLUSHING;
        c->after = (uint8_t)*verdict;
        weft__keeper_flushing(c);
        return false;
    }
    if (o != NULL)
        weft__out_free(o);
    c->out = NULL;
    if (err < 0)
        *verdict = err;
    return true;
}

/* The socket takes bytes again. */
static void flush_secure(weft_conn *c)
{
    int err = weft__secure_push(c, c->after != WEFT_CONN_IDLE);
    if (err == -EAGAIN && (err = weft__slot_want_out_once(&c->slot)) == 0)
        return;
    weft__out_free(c->out);
    c->out = NULL;
    settle(c, err < 0 ? err : c->after);
}

static void serve_turn(weft_conn *c, weft__turn *t)
{
    weft__worker *w = c->worker;
    t->conn = c;
    t->waits = WEFT__WAIT_NOTHING;
    c->state = WEFT__CONN_RUNNING;
    c->turn = t;
    int verdict = likely(c->error == 0) ? weft__turn_run(t) : c->error; /* evicted in the line */
    c->turn = NULL;
    if (unlikely(weft__keeper_wants_tick(w)))
        weft__keeper_by(w, w->tick_at = weft__sys_now() + WEFT_SECOND);
    bool gathered = c->out != NULL;
    if (unlikely(c->tls != NULL)) {
        if (verdict >= 0 && !send_secure(c, &verdict))
            return;
    } else if (c->out != NULL && verdict >= 0 && !send_gathered(c, &verdict)) {
        return;
    }
    if (unlikely(c->corked) && (gathered || c->corked == WEFT__CORK_HOLDS))
        weft__conn_release(c);
    settle(c, verdict);
}

/* ---- runners ---- */

static int run_ready(void *arg);

/* Let one that rests go on. */
static void rouse(weft__worker *w, bool called)
{
    weft__turn *t = w->resting;
    w->resting = t->next;
    w->rests--;
    t->called = called;
    if (weft__waiter_claim(t->waiter, WEFT__WOKEN(0))) /* nobody else ends this wait */
        weft__waiter_ready(t->waiter);
}

void weft__runner_call(weft__worker *w)
{
    if (w->runner_coming || w->ready == NULL)
        return;
    if (likely(w->resting != NULL)) {
        w->runner_coming = true;
        rouse(w, true);
        return;
    }
    const weft_co_options options = {.stack_size = w->server->options.stack_size};
    if (weft__co_start_here(run_ready, w, &options) < 0)
        return;
    w->runner_coming = true;
    w->runners++;
}

/* R1. Runners that there are may all be parked in their handlers for long. */
static void call_runner(weft__worker *w)
{
    weft__runner_call(w);
    if (unlikely(w->ready != NULL && !w->runner_coming))
        weft__keeper_by(w, weft__sys_now() + 10 * WEFT_MS);
}

void weft__runners_dismiss(weft__worker *w)
{
    while (w->resting != NULL)
        rouse(w, false);
}

/* The line is worked off: wait for more, unless enough do that. False: this runner is to end. */
static bool rest(weft__worker *w, weft__turn *t)
{
    if (w->rests == RESTING || w->drained || weft_cancelled())
        return false;
    t->called = false;
    t->next = w->resting;
    w->resting = t;
    w->rests++;
    weft__wait_begin(t->waiter, true);
    store_relaxed(&t->waiter->what, "server runner");
    (void)weft__wait_block(t->waiter, INT64_MAX);
    store_relaxed(&t->waiter->what, NULL);
    return t->called;
}

static int run_ready(void *arg)
{
    weft__worker *w = arg;
    weft__turn turn = {.waiter = weft__self(), .state = w->state};
    do {
        w->runner_coming = false;
        while (w->ready != NULL && !weft_cancelled()) {
            weft_conn *c = w->ready;
            w->ready = c->next;
            if (w->ready == NULL)
                w->ready_end = &w->ready;
            call_runner(w);
            serve_turn(c, &turn);
        }
        call_runner(w);
    } while (rest(w, &turn));
    w->runners--;
    weft__keeper_ended(w);
    return 0;
}

static void make_ready(weft_conn *c)
{
    weft__worker *w = c->worker;
    c->state = WEFT__CONN_READY;
    c->next = NULL;
    *w->ready_end = c;
    w->ready_end = &c->next;
    call_runner(w);
}

/* ---- what the poller brings ---- */

/* Who has not spoken TLS is told so, and is given time to read it. */
static void shaking_failed(weft_conn *c, ssize_t err)
{
    if (err == -WEFT_ETLS)
        linger(c);
    else
        end_conn(c);
}

static void conn_received(weft__fd_slot *slot, weft__buffer *b, ssize_t n)
{
    weft_conn *c = container_of(slot, weft_conn, slot);
    if (n > 0 && unlikely(c->state == WEFT__CONN_LINGERING)) {
        c->at += b->used;
        weft__buffer_release(slot->poller, b);
        if (c->at >= LINGER_BYTES)
            end_conn(c);
        return;
    }
    bool secure = unlikely(c->worker->server->options.tls != NULL) && c->state != WEFT__CONN_LINGERING;
    if (secure && (n = weft__secure_received(c, b, n)) == -EAGAIN)
        return;
    if (n <= 0 && unlikely(c->state == WEFT__CONN_SHAKING)) {
        shaking_failed(c, n);
        return;
    }
    if (likely(n > 0)) {
        if (likely(!secure)) {
            b->spare = 0;
            weft__input_append(c, b);
        }
        if (unlikely(c->unread >= c->worker->server->options.input_max) && !(c->flags & WEFT__CONN_HELD)) {
            c->flags |= WEFT__CONN_HELD;
            weft__recv_stop(slot);
        }
    } else {
        weft__conn_note_end(c);
        if (n < 0)
            weft__conn_break(c, (int)n);
    }
    switch (c->state) {
    case WEFT__CONN_IDLE:
        if (likely(n > 0) || (c->error == 0 && weft__conn_has_work(c)))
            make_ready(c);
        else
            end_conn(c);
        break;
    case WEFT__CONN_RUNNING:
        weft__turn_wake(c, 1u << WEFT__WAIT_FIRST | 1u << WEFT__WAIT_INPUT);
        break;
    case WEFT__CONN_LINGERING:
        end_conn(c);
        break;
    default: /* READY, FLUSHING: looked at when its turn has come, when it is settled */
        break;
    }
}

static void conn_event(weft__fd_slot *slot, unsigned events)
{
    (void)events; /* asked for by want_out_once alone */
    weft_conn *c = container_of(slot, weft_conn, slot);
    if (c->state == WEFT__CONN_FLUSHING) {
        flush_secure(c);
        return;
    }
    if (c->tls != NULL && weft__secure_unsent(c) && weft__secure_flush(c) == -EAGAIN)
        (void)weft__slot_want_out_once(slot);
    weft__turn_wake(c, 1u << WEFT__WAIT_OUTPUT);
}

const weft__slot_fn weft__conn_slot_fn = {.event = conn_event, .received = conn_received};

static bool co_evict(weft_conn *c, int err)
{
    weft__conn_break(c, err);
    if (c->state == WEFT__CONN_READY) /* in the line: its turn will find the error */
        return false;
    if (c->state == WEFT__CONN_RUNNING) {
        weft__turn_wake(c, 1u << WEFT__WAIT_FIRST | 1u << WEFT__WAIT_INPUT | 1u << WEFT__WAIT_OUTPUT);
        return false;
    }
    end_conn(c);
    return true;
}

/* ---- the model ---- */

static void co_notify(weft_server *s)
{
    for (unsigned i = 0; i < s->nworkers; i++) {
        weft__worker *w = &s->workers[i];
        add_seq_cst(&w->control, 1);
        weft__wake(&w->control, 1, 0);
    }
}

static int co_start(weft_server *s)
{
    return weft__keepers_start(s, weft__keeper);
}

#define LOOP(name_, poller_, threads_)                                                                                 \
    {                                                                                                                  \
        .name = (name_), .stack_size = 64 * 1024, .poller = (poller_), .loops = true, .threads = (threads_),           \
        .start = co_start, .notify = co_notify, .wait_input = co_wait_input, .send = co_send,                          \
        .wait_output = co_wait_output, .take = co_take, .give = co_give, .evict = co_evict, .forget = co_forget,       \
    }

/* An event loop of the textbooks is one thread; more of them by option alone. */
const weft__model weft__models_loop[WEFT__MODELS_LOOP] = {
    LOOP("coroutine", NULL, 0), LOOP("select", "select", 1),     LOOP("poll", "poll", 1),
    LOOP("epoll", "epoll", 1),  LOOP("epoll-et", "epoll-et", 1), LOOP("uring", "uring", 1),
};
