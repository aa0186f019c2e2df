/* thread.c - the model "thread": each connection has a thread of its own, which runs the same handler. And "pool" and
 * "iterative": so many threads, or one, each with one client from its first byte to its last; the others stand in line.
 *
 * One more thread accepts; it also carries the stop out. A client's thread waits for bytes with weft_fd_wait, so its
 * deadlines and its cancellation are those of every other wait; it gives its buffers back before it does. All threads
 * share one worker record, under its lock.
 * T1  `coming` counts the threads of clients in its low bits and the notifications in its high ones; the acceptor
 *     sleeps on it when it waits for the end. A client's thread touches nothing of the server after it has counted
 * itself out: the wake uses the address alone. T2  c->turn, and the waiter in it, are valid while c is in the list,
 * under the lock. T3  stop against idle: the thread stores IDLE and then looks at `stopping`; the acceptor stores
 * `stopping` and then looks at the states. One of them sees the other. Pinned by tests/serve (every case runs under
 * this model too). */
#include "serve/processes.h"

#include <weft/co.h>
#include <weft/poller.h>

#include "io/tls.h"
#include "io/watch.h"
#include "park/park.h"
#include "sys/sys.h"

#include <errno.h>

enum {
    LINGER_BYTES = 64 * 1024,
    LINGER_MS = 2000,
    RETRY_MS = 50,
    NOTIFICATION = 1 << 24, /* in `coming` */
    THREADS = NOTIFICATION - 1,
    ACCEPTOR_STACK = 64 * 1024
};

/* A state of the owner's; lent to one call at a time. */
struct thread_state {
    struct thread_state *next;
    void *state;
    int64_t used; /* ns; when it was given back since the last tick; 0: not since */
};

/* ---- states ---- */

static int new_state(weft_server *s, struct thread_state **out)
{
    struct thread_state *state = weft__calloc(1, sizeof(*state));
    if (state == NULL)
        return -ENOMEM;
    int err = s->options.state_open(&state->state, s->options.arg);
    if (err < 0)
        weft__free(state);
    else
        *out = state;
    return err;
}

static int lend_state(weft__worker *w, struct thread_state **state)
{
    *state = NULL;
    if (w->server->options.state_open == NULL)
        return 0;
    weft_lock_acquire(&w->lock);
    *state = w->states;
    if (*state != NULL)
        w->states = (*state)->next;
    weft_lock_release(&w->lock);
    return *state != NULL ? 0 : new_state(w->server, state);
}

static void return_state(weft__worker *w, struct thread_state *state)
{
    if (state == NULL)
        return;
    weft_lock_acquire(&w->lock);
    state->next = w->states;
    w->states = state;
    weft_lock_release(&w->lock);
}

/* Tick the states that were used before `before` and are not lent. */
static void tick_states(weft__worker *w, int64_t before)
{
    const weft_server_options *o = &w->server->options;
    struct thread_state *due = NULL;
    weft_lock_acquire(&w->lock);
    for (struct thread_state **at = &w->states; *at != NULL;) {
        struct thread_state *state = *at;
        if (state->used != 0 && state->used <= before) {
            *at = state->next;
            state->next = due;
            due = state;
        } else {
            at = &state->next;
        }
    }
    weft_lock_release(&w->lock);
    while (due != NULL) {
        struct thread_state *state = due;
        due = state->next;
        state->used = 0;
        o->state_tick(state->state, o->arg);
        return_state(w, state);
    }
}

static void close_states(weft__worker *w)
{
    const weft_server_options *o = &w->server->options;
    while (w->states != NULL) {
        struct thread_state *state = w->states;
        w->states = state->next;
        if (o->state_tick != NULL)
            o->state_tick(state->state, o->arg);
        if (o->state_close != NULL)
            o->state_close(state->state, o->arg);
        weft__free(state);
    }
}

/* ---- waits ---- */

/* For the first byte of a request, or for the stop, which lets none follow. 0 or -errno. */
static int wait_first(weft_conn *c, int64_t until)
{
    weft__case over = {.word = &c->turn->over, .expected = 0, .what = "descriptor"};
    const weft__fd_case ready = {.fd = c->slot.fd, .events = WEFT_POLLIN};
    return weft__fd_park_any(&over, 1, &ready, 1, (weft_until){until});
}

/* Wait for the socket, as `waits` for whoever looks. 0 or -errno. */
static int wait_socket(weft_conn *c, enum weft__turn_wait waits, int64_t until)
{
    store_relaxed(&c->stalled, weft__server_ms(c->worker->server));
    store_seq_cst(&c->turn->waits, waits);
    unsigned events = waits == WEFT__WAIT_OUTPUT ? WEFT_POLLOUT : WEFT_POLLIN;
    int r = load_relaxed(&c->error);
    if (r == 0 && unlikely(c->worker->seat != NULL))
        r = weft__processes_wait(c, waits, events, until);
    else if (r == 0 && weft__conn_may_be_called(c, waits))
        r = wait_first(c, until);
    else if (r == 0)
        r = weft_fd_wait(c->slot.fd, events, (weft_until){until});
    store_relaxed(&c->turn->waits, WEFT__WAIT_NOTHING);
    int err = load_relaxed(&c->error);
    return err < 0 ? err : r < 0 ? r : 0;
}

/* Receive what is there; -EAGAIN: nothing. */
static int receive(weft_conn *c)
{
    weft__worker *w = c->worker;
    if (c->tls != NULL && load_relaxed(&c->state) != WEFT__CONN_LINGERING)
        return weft__secure_receive(c, true);
    weft__buffer *b = w->server->model->take(w);
    if (b == NULL)
        return -ENOMEM;
    ssize_t n = weft__sys_recv(c->slot.fd, b->data, b->size, 0);
    if (n > 0) {
        b->used = (uint32_t)n;
        weft__input_append(c, b);
        return 0;
    }
    w->server->model->give(w, b);
    if (n < 0)
        return (int)n;
    store_relaxed(&c->flags, load_relaxed(&c->flags) | WEFT__CONN_ENDED);
    return 0;
}

static bool no_more_requests(const weft_conn *c)
{
    return weft__server_closing(c->worker->server) && !(load_relaxed(&c->flags) & WEFT__CONN_BUSY);
}

static int thread_wait_input(weft_conn *c, bool first, int64_t until)
{
    int err;
    for (bool again = false; (err = receive(c)) == -EAGAIN; again = true) {
        if (until <= 0 || (again && until <= weft__sys_now())) /* what came with TLS was for no handler */
            return -ETIMEDOUT;
        if (first) {
            store_seq_cst(&c->turn->waits, WEFT__WAIT_FIRST);
            if (no_more_requests(c)) {
                store_relaxed(&c->turn->waits, WEFT__WAIT_NOTHING);
                weft__conn_call_end(c);
                return 0;
            }
        }
        err = wait_socket(c, first ? WEFT__WAIT_FIRST : WEFT__WAIT_INPUT, until);
        if (err < 0)
            return err;
    }
    return err;
}

static int thread_wait_output(weft_conn *c, int64_t until)
{
    return wait_socket(c, WEFT__WAIT_OUTPUT, weft__stall_until(c, until));
}

static int thread_send(weft_conn *c, struct iovec *iov, unsigned n, unsigned flags, int64_t until)
{
    while (n > 0) {
        struct msghdr msg = {.msg_iov = iov, .msg_iovlen = n};
        ssize_t sent = weft__sys_sendmsg(c->slot.fd, &msg, flags & WEFT__SEND_MORE ? MSG_MORE : 0);
        if (sent < 0) {
            int err = sent == -EAGAIN ? thread_wait_output(c, until) : (int)sent;
            if (err < 0)
                return err;
            continue;
        }
        while (n > 0 && (size_t)sent >= iov->iov_len) {
            sent -= (ssize_t)iov->iov_len;
            iov++;
            n--;
        }
        if (n > 0) {
            iov->iov_base = (char *)iov->iov_base + sent;
            iov->iov_len -= (size_t)sent;
        }
    }
    return 0;
}

/* The end of a turn with TLS: what is gathered, and the end of the session if it is the end. */
static int flush_secure(weft_conn *c, bool last)
{
    int err = weft_conn_flush(c, WEFT_FOREVER);
    while (err == 0 && (err = weft__secure_push(c, last)) == -EAGAIN)
        err = thread_wait_output(c, INT64_MAX);
    return err;
}

static weft__buffer *thread_take(weft__worker *w)
{
    (void)w;
    weft__buffer *b = weft__malloc(WEFT__BUFFER_STRIDE);
    if (b != NULL)
        *b = (weft__buffer){.size = WEFT__BUFFER_STRIDE - sizeof(*b)};
    return b;
}

static void thread_give(weft__worker *w, weft__buffer *b)
{
    (void)w;
    weft__free(b);
}

static void thread_forget(weft_conn *c)
{
    (void)c;
}

static bool thread_evict(weft_conn *c, int err)
{
    weft__conn_break(c, err);
    (void)weft__sys_shutdown(c->slot.fd, SHUT_RDWR); /* ends its wait */
    return false;
}

/* ---- a client's thread ---- */

static void become_idle(weft_conn *c)
{
    weft__worker *w = c->worker;
    uint32_t now = weft__server_ms(w->server);
    weft__input_compact(c);
    if (now - load_relaxed(&c->since) > w->server->since_grain) {
        weft_lock_acquire(&w->lock);
        store_relaxed(&c->since, now);
        list_remove(&c->link);
        list_push_back(&w->waiting, &c->link);
        weft_lock_release(&w->lock);
    }
    store_seq_cst(&c->state, WEFT__CONN_IDLE);
}

/* The server stops: what has arrived is still served, and closing would take the answers before it along. */
static int receive_last(weft_conn *c)
{
    (void)weft__sys_shutdown(c->slot.fd, SHUT_RD); /* an empty queue is the end from now on */
    int err = receive(c);
    return err == -EAGAIN ? -EPIPE : err;
}

/* Between two turns: wait for bytes. 0: there is something for the handler; else the connection is over. */
static int wait_idle(weft_conn *c)
{
    weft__worker *w = c->worker;
    const weft_server_options *o = &w->server->options;
    int64_t now = weft__sys_now();
    int64_t until = o->idle_timeout < 0 ? INT64_MAX : now + o->idle_timeout;
    int64_t tick = o->state_tick != NULL ? now + WEFT_SECOND : INT64_MAX;
    become_idle(c);
    while (!weft__conn_has_work(c)) {
        if (load_relaxed(&c->flags) & WEFT__CONN_ENDED)
            return -EPIPE;
        if (c->unread >= o->input_max)
            return -ENOBUFS; /* and the handler cannot use it */
        if (weft__server_closing(w->server)) {
            int err = receive_last(c);
            if (err < 0)
                return err;
            continue;
        }
        int64_t due = tick < until ? tick : until;
        int err = wait_socket(c, WEFT__WAIT_FIRST, due);
        if (err == 0)
            err = receive(c);
        if (err == -EAGAIN && due <= weft__sys_now())
            err = -ETIMEDOUT; /* what came with TLS was for no handler */
        if (err == -ETIMEDOUT && tick < until) {
            tick_states(w, tick);
            tick = INT64_MAX;
            err = 0;
        } else if (err == -ETIMEDOUT) {
            add_relaxed(&w->timeouts, 1);
        }
        if (err < 0 && err != -EAGAIN)
            return err;
    }
    store_relaxed(&c->state, WEFT__CONN_RUNNING);
    return 0;
}

static void linger(weft_conn *c)
{
    weft_until until = weft_in_ms(LINGER_MS);
    size_t dropped = 0;
    store_relaxed(&c->state, WEFT__CONN_LINGERING);
    weft__input_free(c);
    if (load_relaxed(&c->flags) & WEFT__CONN_CALLED) /* its own end is still to come */
        store_relaxed(&c->flags, load_relaxed(&c->flags) & ~(WEFT__CONN_ENDED | WEFT__CONN_CALLED));
    if ((load_relaxed(&c->flags) & WEFT__CONN_ENDED) || weft__sys_shutdown(c->slot.fd, SHUT_WR) < 0)
        return;
    while (dropped < LINGER_BYTES) {
        int err = receive(c);
        if (err == -EAGAIN)
            err = wait_socket(c, WEFT__WAIT_INPUT, until.at);
        if (err < 0 || (load_relaxed(&c->flags) & WEFT__CONN_ENDED))
            return;
        dropped += c->unread;
        weft__input_free(c);
    }
}

static int run_turn(weft__turn *turn)
{
    weft_conn *c = turn->conn;
    weft__worker *w = c->worker;
    struct thread_state *state;
    int verdict = lend_state(w, &state);
    if (verdict < 0)
        return verdict;
    turn->state = state != NULL ? state->state : NULL;
    verdict = weft__turn_run(turn);
    turn->state = NULL;
    if (state != NULL && state->used == 0)
        state->used = weft__sys_now();
    return_state(w, state);
    if (verdict >= 0) {
        int err = c->tls != NULL ? flush_secure(c, verdict != WEFT_CONN_IDLE) : weft_conn_flush(c, WEFT_FOREVER);
        if (err < 0)
            verdict = err;
    }
    return verdict;
}

static int shake_hands(weft_conn *c)
{
    weft__worker *w = c->worker;
    int64_t timeout = w->server->options.handshake_timeout;
    int64_t until = timeout < 0 ? INT64_MAX : weft__sys_now() + timeout;
    int err = weft__secure_open(c);
    if (err < 0)
        return err;
    while ((err = weft__secure_shake(c)) == -EAGAIN) {
        enum weft__turn_wait waits = weft__secure_unsent(c) ? WEFT__WAIT_OUTPUT : WEFT__WAIT_FIRST;
        store_seq_cst(&c->turn->waits, waits); /* T3, as for IDLE */
        err = weft__server_closing(w->server) ? -ECANCELED : wait_socket(c, waits, until);
        if (err == -ETIMEDOUT) {
            add_relaxed(&w->timeouts, 1);
            add_relaxed(&w->broken, 1);
        }
        if (err < 0)
            break;
    }
    store_relaxed(&c->turn->waits, WEFT__WAIT_NOTHING);
    if (w->seat != NULL) /* its request may be here already, without a wait */
        weft__seat_show(w->seat, WEFT__SEAT_WORKS, 0);
    if (err == 0 && (err = weft__secure_receive(c, false)) == -EAGAIN)
        err = 0;
    return err;
}

/* A thread gives back what is its own, before it counts itself out. */
static void end_thread(const weft__worker *w)
{
    if (w->server->options.tls != NULL)
        weft__tls_thread_end();
    weft__thread_eventfd_close();
}

/* One client from its first byte to its last. Counts it out: unless `stays`, nothing of the server may be touched
 * afterwards. */
static void serve_client(weft_conn *c, bool stays)
{
    weft__worker *w = c->worker;
    weft__turn turn = {.conn = c, .waiter = weft__self()};
    weft_lock_acquire(&w->lock);
    c->turn = &turn;
    weft_lock_release(&w->lock);
    int verdict = WEFT_CONN_IDLE, err = w->server->options.tls != NULL ? shake_hands(c) : 0;
    if (err < 0)
        verdict = err == -WEFT_ETLS ? WEFT_CONN_LINGER : err; /* time to read that it was no TLS */
    while (verdict == WEFT_CONN_IDLE) {
        verdict = wait_idle(c);
        if (verdict == 0)
            verdict = run_turn(&turn);
    }
    if (verdict == WEFT_CONN_LINGER)
        linger(c);
    weft__conn_end(c);
    if (w->server->options.state_tick != NULL)
        tick_states(w, INT64_MAX);
    if (!stays)
        end_thread(w);
    sub_seq_cst(&w->coming, 1);
    weft__wake(&w->coming, 1, 0);
}

static void *client_main(void *arg)
{
    serve_client(arg, false);
    return NULL;
}

/* ---- fixed threads ---- */

static void stand_in_line(weft__worker *w, weft_conn *c)
{
    weft_lock_acquire(&w->lock);
    c->next = NULL;
    *w->ready_end = c;
    w->ready_end = &c->next;
    weft_lock_release(&w->lock);
    add_seq_cst(&w->line, 1);
    weft__wake(&w->line, 1, 0);
}

/* The first in line, NULL when nobody stands there. Pre: the worker is locked. */
static weft_conn *take_first(weft__worker *w)
{
    weft_conn *c = w->ready;
    if (c == NULL)
        return NULL;
    w->ready = c->next;
    if (w->ready == NULL)
        w->ready_end = &w->ready;
    return c;
}

/* The next client of a fixed thread; NULL: there will be none any more. */
static weft_conn *next_in_line(weft__worker *w)
{
    for (;;) {
        uint32_t seen = load_seq_cst(&w->line);
        weft_lock_acquire(&w->lock);
        weft_conn *c = take_first(w);
        bool closing = w->closing;
        weft_lock_release(&w->lock);
        if (c != NULL || closing)
            return c;
        (void)weft__park(&w->line, seen, WEFT_FOREVER, WEFT__UNCANCELLABLE, "server pool");
    }
}

static void *fixed_main(void *arg)
{
    weft__worker *w = arg;
    for (weft_conn *c; (c = next_in_line(w)) != NULL;)
        serve_client(c, true);
    end_thread(w);
    sub_seq_cst(&w->standing, 1);
    weft__wake(&w->standing, 1, 0); /* uses the address alone: the server may be gone */
    return NULL;
}

static void end_fixed(weft__worker *w)
{
    weft_lock_acquire(&w->lock);
    w->closing = true;
    weft_lock_release(&w->lock);
    add_seq_cst(&w->line, 1);
    weft__wake(&w->line, UINT32_MAX, 0);
    for (uint32_t left; (left = load_seq_cst(&w->standing)) > 0;)
        (void)weft__park(&w->standing, left, WEFT_FOREVER, WEFT__UNCANCELLABLE, "server stop");
}

static int start_fixed(weft__worker *w)
{
    const weft_server_options *o = &w->server->options;
    for (unsigned i = 0; i < o->threads; i++) {
        add_seq_cst(&w->standing, 1);
        int err = weft__sys_thread(fixed_main, w, o->stack_size);
        if (err < 0) {
            sub_seq_cst(&w->standing, 1);
            end_fixed(w);
            return err;
        }
    }
    return 0;
}

/* ---- the acceptor ---- */

static void admit(weft__worker *w, int fd, weft_conn **out)
{
    weft_server *s = w->server;
    const weft_server_options *o = &s->options;
    uint32_t place;
    bool refuse = !weft__conn_may_come(s, &w->refused_address, fd, &place);
    weft_conn *c = NULL;
    weft_lock_acquire(&w->lock);
    if (!refuse && load_relaxed(&s->open) >= o->max_connections)
        refuse = weft__room_make(w, false) == WEFT__ROOM_NONE;
    if (!refuse)
        c = weft__conn_new(w, fd);
    if (c != NULL) {
        c->place = place;
        store_relaxed(&c->state, WEFT__CONN_READY);
        list_push_back(&w->waiting, &c->link);
        store_relaxed(&w->open, w->open + 1);
        add_relaxed(&s->open, 1);
    } else {
        WEFT__COUNT(&w->refused);
    }
    weft_lock_release(&w->lock);
    if (c == NULL) {
        weft__conn_give_back(s, place);
        weft__turn_away_text(s, fd);
        weft__turn_away_close(fd);
    }
    *out = c;
}

static void take_in(weft__worker *w, int fd)
{
    const weft_server_options *o = &w->server->options;
    weft_conn *c;
    admit(w, fd, &c);
    if (c == NULL)
        return;
    int err = o->on_open != NULL ? o->on_open(c, o->arg) : 0;
    if (err != 0) {
        store_relaxed(&c->flags, WEFT__CONN_UNOPENED);
        weft__conn_end(c);
        return;
    }
    add_acq_rel(w->let_in, 1); /* it is open already: see weft_server_get_stats */
    add_seq_cst(&w->coming, 1);
    if (w->server->model->fixed) {
        stand_in_line(w, c);
    } else if (weft__sys_thread(client_main, c, o->stack_size) < 0) {
        sub_seq_cst(&w->coming, 1);
        WEFT__COUNT(&w->refused);
        weft__turn_away_text(w->server, fd);
        weft__conn_end(c);
    }
}

/* Out of descriptors, or worse. */
static void accept_failed(weft__worker *w, int err)
{
    int fd = -1;
    weft_lock_acquire(&w->lock);
    enum weft__room room = weft__room_make(w, true);
    weft_lock_release(&w->lock);
    if (weft__lacks_descriptors(err) && room == WEFT__ROOM_NONE && w->spare_fd >= 0) {
        weft__sys_close(w->spare_fd);
        fd = weft__sys_accept(w->listener.fd, NULL);
        if (fd >= 0) {
            WEFT__COUNT(&w->refused);
            weft__turn_away_text(w->server, fd);
            weft__turn_away_close(fd);
        }
        w->spare_fd = weft__sys_dup(w->listener.fd);
    }
    if (fd < 0)
        (void)weft_sleep(weft_in_ms(RETRY_MS)); /* cut short by the stop */
    if (w->spare_fd < 0)
        w->spare_fd = weft__sys_dup(w->listener.fd);
}

/* Processes that serve one client at a time leave the others in the kernel's queue, for those of them that are free.
 * The supervisor keeps that line short. */
static void wait_for_room(weft__worker *w)
{
    weft_server *s = w->server;
    for (;;) {
        uint32_t seen = load_seq_cst(&w->coming);
        if ((seen & THREADS) < s->options.threads || load_seq_cst(&s->stopping))
            return;
        weft__processes_taken(s);
        (void)weft__park(&w->coming, seen, WEFT_FOREVER, WEFT__UNCANCELLABLE, "server pool");
    }
}

static void accept_all(weft__worker *w)
{
    while (!load_seq_cst(&w->server->stopping)) {
        if (w->server->in_child && w->server->model->fixed)
            wait_for_room(w);
        int fd = weft__sys_accept(w->listener.fd, NULL);
        if (fd >= 0) {
            take_in(w, fd);
        } else if (fd == -EAGAIN) {
            int r = weft_fd_wait(w->listener.fd, WEFT_POLLIN, WEFT_FOREVER);
            if (r < 0 && r != -ECANCELED)
                (void)weft_sleep(weft_in_ms(RETRY_MS));
        } else {
            accept_failed(w, fd);
        }
    }
}

/* ---- the stop ---- */

/* Those whose turn has not come have been promised nothing. */
static void send_line_away(weft__worker *w)
{
    for (;;) {
        weft_lock_acquire(&w->lock);
        weft_conn *c = take_first(w);
        weft_lock_release(&w->lock);
        if (c == NULL)
            return;
        weft__conn_end(c);
        sub_seq_cst(&w->coming, 1);
    }
}

static void accept_no_more(weft__worker *w)
{
    w->drained = true;
    weft__listen_close(w->server, 0);
    if (w->spare_fd >= 0)
        weft__sys_close(w->spare_fd);
}

/* Those who wait for a request see the end of their input; what has arrived before is still served. In a handler that
 * is to be one that the client has not made: shutting the socket would have what the client still sends bring a reset,
 * which takes our last words along. */
static void empty(weft__worker *w)
{
    w->emptied = true;
    send_line_away(w);
    weft_lock_acquire(&w->lock);
    list_each (l, &w->waiting) {
        weft_conn *c = container_of(l, weft_conn, link);
        enum weft__turn_wait waits = c->turn != NULL ? load_seq_cst(&c->turn->waits) : WEFT__WAIT_NOTHING;
        if (load_seq_cst(&c->state) == WEFT__CONN_IDLE) {
            (void)weft__sys_shutdown(c->slot.fd, SHUT_RD);
        } else if (weft__conn_may_be_called(c, waits)) {
            store_seq_cst(&c->turn->over, 1);
            weft__wake(&c->turn->over, 1, 0);
        }
    }
    weft_lock_release(&w->lock);
}

static void cut(weft__worker *w)
{
    weft_lock_acquire(&w->lock);
    list_each (l, &w->waiting) {
        weft_conn *c = container_of(l, weft_conn, link);
        unsigned state = load_seq_cst(&c->state);
        if (state != WEFT__CONN_IDLE && state != WEFT__CONN_LINGERING)
            WEFT__COUNT(&w->cuts);
        (void)thread_evict(c, -ECANCELED);
        if (c->turn != NULL)
            weft__waiter_cancel(c->turn->waiter);
    }
    weft_lock_release(&w->lock);
}

static void wait_for_clients(weft__worker *w)
{
    for (;;) {
        uint32_t seen = load_seq_cst(&w->coming);
        int64_t grace = load_seq_cst(&w->server->grace);
        bool over = grace <= weft__sys_now();
        if (!w->emptied && (over || weft__server_closing(w->server))) {
            empty(w);
            continue; /* `coming` may have changed */
        }
        if ((seen & THREADS) == 0)
            return;
        if (!w->cut && over) {
            w->cut = true;
            cut(w);
        }
        (void)weft__park(&w->coming, seen, w->cut ? WEFT_FOREVER : (weft_until){grace}, WEFT__UNCANCELLABLE,
                         "server stop");
    }
}

static void *acceptor_main(void *arg)
{
    weft__worker *w = arg;
    weft_lock_acquire(&w->lock);
    w->acceptor = weft__self();
    weft_lock_release(&w->lock);
    accept_all(w);
    weft_shield(1);
    accept_no_more(w);
    wait_for_clients(w);
    end_fixed(w);
    weft_lock_acquire(&w->lock);
    w->acceptor = NULL;
    weft_lock_release(&w->lock);
    close_states(w);
    weft__thread_eventfd_close();
    weft__server_ended(w->server);
    return NULL;
}

void weft__thread_serve_one(weft_server *s, int fd)
{
    weft__worker *w = &s->workers[0];
    w->shared = true;
    take_in(w, fd);
    for (;;) {
        uint32_t seen = load_seq_cst(&w->coming);
        if ((seen & THREADS) == 0 || load_seq_cst(&s->stopping))
            break;
        (void)weft__park(&w->coming, seen, WEFT_FOREVER, WEFT__UNCANCELLABLE, "server client");
    }
    accept_no_more(w);
    wait_for_clients(w);
    close_states(w);
}

static void thread_notify(weft_server *s)
{
    weft__worker *w = &s->workers[0];
    weft_lock_acquire(&w->lock);
    if (w->acceptor != NULL)
        weft__waiter_cancel(w->acceptor);
    weft_lock_release(&w->lock);
    add_seq_cst(&w->coming, NOTIFICATION);
    weft__wake(&w->coming, 1, 0);
}

static int thread_start(weft_server *s)
{
    weft__worker *w = &s->workers[0];
    struct thread_state *first;
    int err;
    w->shared = true;
    w->listener.fd = s->listeners[0];
    w->spare_fd = err = weft__sys_dup(w->listener.fd);
    if (err < 0)
        goto fail;
    err = lend_state(w, &first);
    if (err < 0)
        goto fail_spare;
    return_state(w, first);
    err = s->model->fixed ? start_fixed(w) : 0;
    if (err < 0)
        goto fail_states;
    err = weft__sys_thread(acceptor_main, w, ACCEPTOR_STACK);
    if (err < 0)
        goto fail_fixed;
    return 0;
fail_fixed:
    end_fixed(w);
fail_states:
    close_states(w);
fail_spare:
    weft__sys_close(w->spare_fd);
fail:
    weft__server_ended(s);
    return err;
}

#define THREADS_MODEL(name_, fixed_, threads_)                                                                         \
    {                                                                                                                  \
        .name = (name_), .stack_size = 256 * 1024, .fixed = (fixed_), .threads = (threads_), .start = thread_start,    \
        .notify = thread_notify, .wait_input = thread_wait_input, .send = thread_send,                                 \
        .wait_output = thread_wait_output, .take = thread_take, .give = thread_give, .evict = thread_evict,            \
        .forget = thread_forget,                                                                                       \
    }

const weft__model weft__model_thread = THREADS_MODEL("thread", false, 1);
const weft__model weft__model_pool = THREADS_MODEL("pool", true, 16);
const weft__model weft__model_iterative = THREADS_MODEL("iterative", true, 1);
