/* accept.c - how connections come in, and what gives way when there are too many (model "coroutine").
 *
 * Every worker accepts on a socket of its own and keeps the connection, unless another worker has noticeably fewer.
 * A process that is full leaves newcomers in the kernel's queue for as long as another process of the server has room,
 * but for those that the kernel had told it of: each is told to one process only.
 * Full (max_connections) or out of descriptors: somebody who keeps us waiting gives way (room.c), or the newcomer is
 * told so and turned away. Out of descriptors with nobody to give way, the spare one is let go for as long as it takes
 * to turn one newcomer away: accepting never spins on a connection that it cannot take. Pinned by
 * tests/serve/attack_test.c. */
#include "co/sched.h"
#include "serve/processes.h"
#include "serve/worker.h"
#include "sys/sys.h"

#include <errno.h>

enum {
    REFUSED_MAX = 64, /* that linger at once */
    RETRY_MS = 50,
    LAST_MOST = 64 /* connections that are taken at a time from the queue of those that no process was told of */
};

/* ---- turning away ---- */

static void refuse(weft__worker *w, int fd, bool linger)
{
    weft_conn *c = NULL;
    WEFT__COUNT(&w->refused);
    weft__turn_away_text(w->server, fd);
    if (linger && w->refused_open < REFUSED_MAX)
        c = weft__conn_new(w, fd);
    if (c == NULL) {
        weft__turn_away_close(fd);
        return;
    }
    c->slot.fn = &weft__conn_slot_fn;
    c->flags = WEFT__CONN_REFUSED;
    c->state = WEFT__CONN_LINGERING;
    w->refused_open++;
    weft__keeper_lingering(c);
    if (weft__slot_add(w->poller, &c->slot, 0) < 0 || weft__recv_start(&c->slot) < 0)
        weft__conn_end(c);
}

/* ---- letting in ---- */

static void adopt(weft__worker *w, int fd, uint32_t place)
{
    weft_server *s = w->server;
    weft_conn *c = weft__conn_new(w, fd);
    if (c == NULL) {
        sub_relaxed(&s->open, 1);
        weft__conn_give_back(s, place);
        refuse(w, fd, false);
        return;
    }
    c->place = place;
    c->slot.fn = &weft__conn_slot_fn;
    int err = weft__slot_add(w->poller, &c->slot, 0);
    if (err == 0)
        err = weft__recv_start(&c->slot);
    store_relaxed(&w->open, w->open + 1);
    if (err == 0 && s->options.on_open != NULL)
        err = s->options.on_open(c, s->options.arg);
    if (err != 0) {
        c->flags = WEFT__CONN_UNOPENED;
        weft__conn_end(c);
        return;
    }
    store_release(&w->accepted, w->accepted + 1); /* it is open already: see weft_server_get_stats */
    if (s->options.tls != NULL)
        weft__keeper_shaking(c);
    else
        weft__keeper_idle(c);
}

struct passing {
    weft__call call;
    weft__worker *to;
    int fd;
    uint32_t place;
};

static void passed_on(weft__call *call)
{
    struct passing *p = container_of(call, struct passing, call);
    weft__worker *w = p->to;
    if (w->emptied) {
        weft__sys_close(p->fd);
        sub_relaxed(&w->server->open, 1);
        weft__conn_give_back(w->server, p->place);
    } else {
        adopt(w, p->fd, p->place);
    }
    weft__free(p);
    sub_seq_cst(&w->coming, 1);
    weft__keeper_ended(w);
}

/* Which worker a new connection of w should go to. */
static weft__worker *place(weft__worker *w)
{
    weft_server *s = w->server;
    weft__worker *best = w;
    uint32_t least = w->open;
    for (unsigned i = 0; i < s->nworkers; i++) {
        weft__worker *other = &s->workers[i];
        uint32_t open = load_relaxed(&other->open) + load_relaxed(&other->coming);
        if (open < least && load_acquire(&other->accepting)) {
            least = open;
            best = other;
        }
    }
    return w->open > least + 2 + least / 8 ? best : w;
}

/* This process is full and another one has room: that one is to take who comes. */
static bool left_to_others(weft__worker *w)
{
    const weft_server *s = w->server;
    return unlikely(s->in_child) && load_relaxed(&s->open) >= s->options.max_connections &&
           weft__processes_others_hold_fewer(s, s->options.max_connections);
}

/* This process holds noticeably more than another one: by 2 and an eighth, as in place(). */
static bool is_ahead(const weft_server *s)
{
    uint32_t open = load_relaxed(&s->open);
    return open > 2 && weft__processes_others_hold_fewer(s, (uint64_t)(open - 2) * 8 / 9);
}

/* Whoever io_uring had accepted before it was told to stop is let in beyond the limit: it cannot be left to others
 * any more, and as long as they have room nobody needs to give way. */
static void admit(weft__worker *w, int fd)
{
    weft_server *s = w->server;
    uint32_t held;
    if (unlikely(!weft__conn_may_come(s, &w->refused_address, fd, &held))) {
        refuse(w, fd, true);
        return;
    }
    if (add_relaxed(&s->open, 1) >= s->options.max_connections && !left_to_others(w) &&
        weft__room_make(w, false) == WEFT__ROOM_NONE) {
        sub_relaxed(&s->open, 1);
        weft__conn_give_back(s, held);
        refuse(w, fd, true);
        return;
    }
    weft__worker *to = s->nworkers > 1 ? place(w) : w;
    struct passing *p = to != w ? weft__malloc(sizeof(*p)) : NULL;
    if (p == NULL) {
        adopt(w, fd, held);
        return;
    }
    *p = (struct passing){.call.fn = passed_on, .to = to, .fd = fd, .place = held};
    add_seq_cst(&to->coming, 1);
    if (!load_seq_cst(&to->accepting)) { /* stopping: it counts `coming` only after it cleared this */
        sub_seq_cst(&to->coming, 1);
        weft__free(p);
        adopt(w, fd, held);
        return;
    }
    weft__sched_call(to->index, &p->call);
}

/* Take one connection with the spare descriptor and turn it away. */
static bool refuse_with_spare(weft__worker *w)
{
    if (w->spare_fd < 0)
        return false;
    weft__sys_close(w->spare_fd);
    int fd = weft__sys_accept(w->listener.fd, NULL);
    if (fd >= 0)
        refuse(w, fd, false);
    w->spare_fd = weft__sys_dup(w->listener.fd);
    return fd >= 0;
}

/* Look again after a moment. */
static void accept_later(weft__worker *w)
{
    w->accept_again = weft__sys_now() + RETRY_MS * WEFT_MS;
    weft__keeper_by(w, w->accept_again);
}

static void accept_failed(weft__worker *w, int err)
{
    w->owes_look = true;
    bool descriptors = weft__lacks_descriptors(err);
    enum weft__room room = weft__room_make(w, descriptors);
    bool again = descriptors && (room == WEFT__ROOM_NOW || (room == WEFT__ROOM_NONE && refuse_with_spare(w)));
    if (!again || weft__accept_start(&w->listener) < 0)
        accept_later(w);
}

static void listener_accepted(weft__fd_slot *slot, int fd)
{
    weft__worker *w = container_of(slot, weft__worker, listener);
    if (unlikely(fd < 0)) {
        if (!w->drained)
            accept_failed(w, fd);
        return;
    }
    admit(w, fd);
    if (likely(!w->server->in_child) || !w->accepting)
        return;
    if (left_to_others(w)) {
        weft__accept_stop(&w->listener);
        w->owes_look = !weft__accept_stopped(&w->listener);
        accept_later(w);
    } else if (is_ahead(w->server) && weft__accept_stand_back(&w->listener) < 0) {
        accept_later(w);
    }
}

static const weft__slot_fn listener_slot_fn = {.accepted = listener_accepted};

/* The kernel wakes one process for each connection: if it was this one, and it could not take the connection or was
 * told to stop in that moment, nobody else knows. */
static void take_waiting(weft__worker *w)
{
    for (int i = 0; i < LAST_MOST; i++) {
        int fd = weft__sys_accept(w->listener.fd, NULL);
        if (fd == -EAGAIN)
            w->owes_look = false;
        if (fd < 0)
            break;
        admit(w, fd);
    }
}

void weft__accept_retry(weft__worker *w)
{
    w->accept_again = INT64_MAX;
    if (w->spare_fd < 0)
        w->spare_fd = weft__sys_dup(w->listener.fd);
    bool left = left_to_others(w);
    if (left && w->owes_look && weft__accept_stopped(&w->listener))
        take_waiting(w);
    if (left || weft__accept_start(&w->listener) < 0)
        w->accept_again = weft__sys_now() + RETRY_MS * WEFT_MS;
    else
        w->owes_look = false;
}

int weft__accept_open(weft__worker *w)
{
    w->spare_fd = weft__sys_dup(w->server->listeners[w->index]);
    if (w->spare_fd < 0)
        return w->spare_fd;
    w->listener = (weft__fd_slot){.fn = &listener_slot_fn, .fd = w->server->listeners[w->index]};
    int err = weft__slot_add(w->poller, &w->listener, 0);
    if (err < 0)
        goto fail_spare;
    if (w->server->in_child)
        weft__accept_share(&w->listener);
    err = weft__accept_start(&w->listener);
    if (err < 0)
        goto fail_slot;
    store_release(&w->accepting, true);
    return 0;
fail_slot:
    weft__slot_remove(&w->listener);
fail_spare:
    weft__sys_close(w->spare_fd);
    w->spare_fd = -1;
    return err;
}

bool weft__accept_retire(weft__worker *w, bool over)
{
    store_seq_cst(&w->accepting, false);
    w->accept_again = INT64_MAX;
    weft__accept_stop(&w->listener);
    if (!weft__accept_stopped(&w->listener))
        return false;
    if (!over)
        take_waiting(w);
    weft__sys_wake_acceptors(w->listener.fd);
    return true;
}

void weft__accept_close(weft__worker *w)
{
    store_seq_cst(&w->accepting, false);
    w->accept_again = INT64_MAX;
    weft__slot_remove(&w->listener);
    weft__listen_close(w->server, w->index);
    if (w->spare_fd >= 0)
        weft__sys_close(w->spare_fd);
    w->spare_fd = -1;
}
