/* uring.c - the poller over io_uring: receiving, accepting and sending are done by the kernel, all that a round of
 * callbacks asked for is handed over in the one system call that also waits for the next results.
 *
 * Each slot has an *op*, the kernel's view of it: which multishot operation is under way (poll, receive or accept),
 * whether it is being cancelled, and whether a one-shot poll for writability is. Slots say what they want; settle()
 * brings the kernel in line, as far as what is under way allows, and is called again with each final result.
 * U1 an op lives until the last result of its operations has come; a removed slot's op has slot == NULL, and results
 *    that still come are undone: buffers go back, accepted connections are closed.
 * U2 no operation reaches the kernel with the number of a descriptor that was closed meanwhile: what is still queued
 *    for a slot that is removed, or for a send that is cancelled, is withdrawn.
 * U3 `window` buffers lie in the ring for the kernel to take. It begins small, so that few buffers stay warm, doubles
 *    when the kernel found none and is halved after a second in which most were left over; then what the kernel takes
 *    is not replaced for a while. Buffers that owners hold are replaced, so slow owners starve nobody.
 * U4 an end or an error that the kernel does not tell to a receive (it loses a reset that comes with the bytes before
 *    it) is told to a poll beside it, which makes the receive begin anew and thus see it.
 * U5 a connection may be over after one request. So the first bytes are received by a plain call, and the kernel's
 *    receiving begins in the next round, or a round later while a send is under way, unless the slot has gone.
 * Before Linux 6.1 only the poll operation is used, with ready.c doing the rest. */
#include "sys/uring.h"

#include "io/poller.h"
#include "io/ready.h"
#include "sys/net.h"
#include "sys/sys.h"

#include <errno.h>
#include <sys/socket.h>

enum {
    FIRST_MOST = 256, /* with so many buffers in owners' hands no plain receives */
    QUEUE = 1024,     /* operations handed over at a time; eight times as many results are kept */
    RING = 1024,      /* places in the buffer ring */
    WINDOW = 64,
    OPS = 64, /* allocated at a time */
    ERRORS = WEFT_POLLERR | WEFT_POLLHUP
};

/* What a result is for: the low bits of its tag; the rest is a pointer. */
enum {
    TAG_NOTHING = 0, /* a cancel's own result */
    TAG_MAIN = 1,
    TAG_OUT = 2,
    TAG_SEND = 3,
    TAG_INTERRUPT = 4,
    TAG_ENDING = 5,
    TAG_MASK = 7
};

enum {
    NONE,
    POLL,
    RECEIVE,
    ACCEPT
};

typedef struct uring_op {
    weft__fd_slot *slot;   /* NULL: it was removed */
    struct uring_op *next; /* free or unsettled */
    int fd;
    uint16_t events;   /* for POLL: of the operation that is wanted */
    uint8_t want, has; /* the multishot operation, in the kernel if has != NONE */
    bool cancelling;   /* has is being cancelled */
    bool again;        /* has is to be cancelled and started anew */
    bool out;          /* the poll for writability is in the kernel */
    bool out_cancelling;
    bool ending; /* U4: the poll for the end and for errors is in the kernel */
    bool ending_cancelling;
    bool ended;     /* U4: it has told so since the receiving was started */
    bool unsettled; /* on the list of those that could not be handed over, or are to be looked at in the next round */
    bool busy;      /* a callback is running on its behalf: not to be freed */
} uring_op;

typedef struct uring_chunk {
    struct uring_chunk *next;
    uring_op ops[OPS];
} uring_chunk;

typedef struct uring_poller {
    weft__poller base;
    weft__uring *ring;
    uring_op *free_ops;
    uring_chunk *chunks;
    uring_op *unsettled;
    weft__list fresh, young, old; /* U5: by slot->pending */
    weft__send *uncancelled;      /* cancels that could not be handed over */
    bool native;                  /* receive, accept and send by the kernel */
    bool watching;                /* the interrupt's poll is in the kernel */
    bool wanting;                 /* the kernel found the ring empty in this round */
    bool alone;                   /* the last round told of one slot at most: a send has nothing to be gathered with */
    bool starved;                 /* there was no memory for a single buffer when the ring was last filled up */
    unsigned window;              /* buffers that should lie in the ring */
    unsigned lying;               /* buffers that do */
    unsigned least;               /* fewest that were left since the last look */
    unsigned free_ids;
    uint16_t ids[RING];          /* stack of free ids */
    weft__buffer *buffers[RING]; /* by id, those that lie in the ring */
} uring_poller;

static const weft__poller_ops uring_by_readiness;

/* ---- ops ---- */

static uint64_t tag_of(const void *p, unsigned kind)
{
    return (uint64_t)(uintptr_t)p | kind;
}

static uring_op *take_op(uring_poller *p)
{
    if (p->free_ops == NULL) {
        uring_chunk *chunk = weft__calloc(1, sizeof *chunk);
        if (chunk == NULL)
            return NULL;
        chunk->next = p->chunks;
        p->chunks = chunk;
        for (int i = OPS - 1; i >= 0; i--) {
            chunk->ops[i].next = p->free_ops;
            p->free_ops = &chunk->ops[i];
        }
    }
    uring_op *op = p->free_ops;
    p->free_ops = op->next;
    *op = (uring_op){0};
    return op;
}

/* The op of a slot, made at first need; NULL when out of memory. */
static uring_op *op_of(uring_poller *p, weft__fd_slot *slot)
{
    if (slot->op == NULL) {
        uring_op *op = take_op(p);
        if (op == NULL)
            return NULL;
        op->slot = slot;
        op->fd = slot->fd;
        slot->op = op;
    }
    return slot->op;
}

static int start_main(uring_poller *p, const uring_op *op)
{
    uint64_t tag = tag_of(op, TAG_MAIN);
    if (op->want == RECEIVE)
        return weft__uring_recv(p->ring, op->fd, tag);
    if (op->want == ACCEPT)
        return weft__uring_accept(p->ring, op->fd, tag);
    return weft__uring_poll(p->ring, op->fd, op->events, true, tag);
}

/* One step towards what the slot wants. 0, or the error of handing over. */
static int settle_main(uring_poller *p, uring_op *op)
{
    unsigned want = op->slot != NULL ? op->want : NONE;
    int err = 0;
    if (op->has != NONE) {
        if (op->cancelling || (op->has == want && !op->again))
            return 0;
        err = weft__uring_cancel(p->ring, tag_of(op, TAG_MAIN), TAG_NOTHING);
        if (err == 0)
            op->cancelling = true;
    } else if (want != NONE) {
        err = start_main(p, op);
        if (err == 0) {
            op->has = (uint8_t)want;
            op->again = false;
        }
    }
    return err;
}

static int settle_out(uring_poller *p, uring_op *op)
{
    bool want = op->slot != NULL && (op->slot->flags & WEFT__SLOT_OUT_ONCE);
    int err = 0;
    if (op->out && !want && !op->out_cancelling) {
        err = weft__uring_cancel(p->ring, tag_of(op, TAG_OUT), TAG_NOTHING);
        if (err == 0)
            op->out_cancelling = true;
    } else if (!op->out && want) {
        err = weft__uring_poll(p->ring, op->fd, WEFT_POLLOUT, false, tag_of(op, TAG_OUT));
        if (err == 0)
            op->out = true;
    }
    return err;
}

static int settle_ending(uring_poller *p, uring_op *op)
{
    int err = 0;
    if (op->ending && op->slot == NULL && !op->ending_cancelling) {
        err = weft__uring_cancel(p->ring, tag_of(op, TAG_ENDING), TAG_NOTHING);
        if (err == 0)
            op->ending_cancelling = true;
    } else if (!op->ending && op->slot != NULL && op->want == RECEIVE && !op->ended) {
        err = weft__uring_poll(p->ring, op->fd, WEFT_POLLRDHUP, false, tag_of(op, TAG_ENDING));
        if (err == 0)
            op->ending = true;
    }
    return err;
}

static void settle_later(uring_poller *p, uring_op *op)
{
    if (op->unsettled)
        return;
    op->unsettled = true;
    op->next = p->unsettled;
    p->unsettled = op;
}

static void settle(uring_poller *p, uring_op *op)
{
    if (op->slot == NULL && op->has == NONE && !op->out && !op->ending) {
        if (!op->unsettled && !op->busy) {
            op->next = p->free_ops;
            p->free_ops = op;
        }
        return;
    }
    int err = settle_main(p, op);
    int out_err = p->native ? settle_out(p, op) : 0;
    int ending_err = p->native ? settle_ending(p, op) : 0;
    if (op->slot != NULL)
        op->slot->index = weft__uring_serial(p->ring);
    if (err < 0 || out_err < 0 || ending_err < 0)
        settle_later(p, op);
}

static void uring_cancel(weft__poller *base, weft__send *s);

/* Try again what could not be handed over. */
static void settle_rest(uring_poller *p)
{
    uring_op *op = p->unsettled;
    weft__send *s = p->uncancelled;
    p->unsettled = NULL;
    p->uncancelled = NULL;
    while (s != NULL) {
        weft__send *next = s->next;
        uring_cancel(&p->base, s);
        s = next;
    }
    while (op != NULL) {
        uring_op *next = op->next;
        op->unsettled = false;
        settle(p, op);
        op = next;
    }
}

/* ---- what slots ask for ---- */

/* U5: receive what is there already. Returns callbacks made. */
static int receive_first(uring_poller *p, weft__fd_slot *slot)
{
    uring_op *op = slot->op;
    if (!slot->on || slot->mode != WEFT__SLOT_RECEIVE || op->has != NONE)
        return 0;
    weft__buffer *b = weft__buffer_take(&p->base);
    ssize_t n = b != NULL ? weft__sys_recv(slot->fd, b->data, b->size, MSG_DONTWAIT) : -EAGAIN;
    if (n > 0) {
        b->used = (uint32_t)n;
        list_push_back(&p->young, &slot->pending);
    } else {
        if (b != NULL)
            weft__buffer_release(&p->base, b);
        b = NULL;
        if (n == -EAGAIN || n == -EINTR) {
            settle(p, op);
            return 0;
        }
        op->want = NONE;
        slot->on = false;
    }
    op->busy = true;
    slot->fn->received(slot, b, n);
    op->busy = false;
    if (op->slot == NULL)
        settle(p, op);
    return 1;
}

static void begin_receiving(uring_poller *p, weft__list *node)
{
    weft__fd_slot *slot = container_of(node, weft__fd_slot, pending);
    list_remove(node);
    if (slot->on && slot->mode == WEFT__SLOT_RECEIVE)
        settle(p, slot->op);
}

/* Those that are fresh now: an owner that pauses and goes on within its callback has its turn in the next round. While
 * owners hold many buffers the kernel receives, whose buffers are numbered. */
static int receive_fresh(uring_poller *p)
{
    weft__list round;
    int n = 0;
    list_take_all(&round, &p->fresh);
    for (weft__list *node; (node = list_pop_front(&round)) != NULL;) {
        if (weft__buffers_lent(&p->base) - p->lying < FIRST_MOST)
            n += receive_first(p, container_of(node, weft__fd_slot, pending));
        else
            begin_receiving(p, node);
    }
    return n;
}

static void settle_young(uring_poller *p)
{
    while (!list_empty(&p->old))
        begin_receiving(p, p->old.next);
    list_each_safe (node, &p->young) {
        if (container_of(node, weft__fd_slot, pending)->sends == NULL) {
            begin_receiving(p, node);
        } else {
            list_remove(node);
            list_push_back(&p->old, node);
        }
    }
}

static int uring_update(weft__poller *base, weft__fd_slot *slot)
{
    uring_poller *p = (uring_poller *)base;
    unsigned want = slot->mode == WEFT__SLOT_READINESS ? (slot->events != 0 ? POLL : NONE)
                    : !slot->on                        ? NONE
                    : slot->mode == WEFT__SLOT_RECEIVE ? RECEIVE
                                                       : ACCEPT;
    if (slot->op == NULL && want == NONE && !(slot->flags & WEFT__SLOT_OUT_ONCE))
        return 0;
    uring_op *op = op_of(p, slot);
    if (op == NULL)
        return -ENOMEM;
    if (want == POLL)
        op->again = op->has == POLL;
    else if (want != op->want)
        op->again = op->ended = false;
    bool first = want == RECEIVE && op->want != RECEIVE && op->has == NONE;
    op->want = (uint8_t)want;
    op->events = slot->events;
    if (!first)
        settle(p, op);
    else if (list_empty(&slot->pending))
        list_push_back(&p->fresh, &slot->pending);
    return 0;
}

static bool uring_accepts(const weft__fd_slot *slot)
{
    const uring_op *op = slot->op;
    return op != NULL && op->has == ACCEPT;
}

static int uring_arm(weft__poller *base, weft__fd_slot *slot, unsigned events)
{
    uring_poller *p = (uring_poller *)base;
    if (events == 0 && slot->op == NULL)
        return 0;
    uring_op *op = op_of(p, slot);
    if (op == NULL)
        return -ENOMEM;
    op->want = events != 0 ? POLL : NONE;
    op->events = (uint16_t)events;
    op->again = op->has == POLL;
    slot->armed = (uint16_t)events;
    settle(p, op);
    return 0;
}

static void uring_remove(weft__poller *base, weft__fd_slot *slot)
{
    uring_poller *p = (uring_poller *)base;
    uring_op *op = slot->op;
    if (op == NULL)
        return;
    if (weft__uring_is_queued(p->ring, slot->index))
        weft__uring_withdraw(p->ring, tag_of(op, 0), ~(uint64_t)TAG_MASK);
    slot->op = NULL;
    op->slot = NULL;
    settle(p, op);
}

/* Cancels are carried out as they are handed over; their results can wait. */
static void uring_let_go(weft__poller *base)
{
    (void)weft__uring_enter(((uring_poller *)base)->ring, 0); /* if that fails the next poll will do it */
}

/* ---- sends ---- */

static int queue_send(uring_poller *p, weft__send *s)
{
    s->msg.msg_iov = s->iov;
    s->msg.msg_iovlen = s->niov;
    int err =
        weft__uring_send(p->ring, s->slot->fd, &s->msg, s->flags & WEFT__SEND_MORE ? MSG_MORE : 0, tag_of(s, TAG_SEND));
    s->in_kernel = err == 0;
    s->serial = weft__uring_serial(p->ring);
    return err;
}

static ssize_t uring_send(weft__poller *base, weft__send *s)
{
    uring_poller *p = (uring_poller *)base;
    weft__fd_slot *slot = s->slot;
    ssize_t n = -EAGAIN;
    if (p->alone || (s->flags & WEFT__SEND_NOW))
        n = weft__send_some(s);
    if (n == -EAGAIN) {
        int err = queue_send(p, s);
        if (err == 0)
            return -EINPROGRESS;
        n = err;
    }
    slot->sends = s->next;
    s->slot = NULL;
    return n;
}

/* Of a slot's sends only the first is in the kernel; the others just wait for it. */
static void uring_cancel(weft__poller *base, weft__send *s)
{
    uring_poller *p = (uring_poller *)base;
    if (!s->in_kernel) {
        weft__ready_cancel(base, s);
        return;
    }
    if (weft__uring_is_queued(p->ring, s->serial)) {
        weft__uring_withdraw(p->ring, tag_of(s, TAG_SEND), ~UINT64_C(0));
        return;
    }
    if (weft__uring_cancel(p->ring, tag_of(s, TAG_SEND), TAG_NOTHING) < 0) {
        s->next = p->uncancelled;
        p->uncancelled = s;
    }
}

/* The send at the head of the list is done or gone: hand over the next. Returns callbacks made. */
static int send_next(uring_poller *p, weft__fd_slot *slot)
{
    int n = 0;
    while (p->base.current == slot && slot->sends != NULL && !slot->sends->in_kernel) {
        int err = queue_send(p, slot->sends);
        if (err == 0)
            break;
        weft__send_finish(slot->sends, err);
        n++;
    }
    return n;
}

static int handle_send(uring_poller *p, weft__send *s, const weft__uring_event *e)
{
    weft__fd_slot *slot = s->slot;
    ssize_t result = e->result;
    int n = 1;
    for (weft__send **at = &p->uncancelled; *at != NULL; at = &(*at)->next) {
        if (*at == s) {
            *at = s->next;
            break;
        }
    }
    s->in_kernel = false;
    if (result >= 0)
        weft__send_advance(s, (size_t)result);
    if (s->niov == 0)
        result = (ssize_t)s->sent;
    else if (slot == NULL)
        result = -ECANCELED;
    else if (result >= 0 || result == -EAGAIN || result == -EINTR)
        result = queue_send(p, s); /* a part has left: who watches s->sent sees that it moves */
    if (s->in_kernel)
        return 0;
    p->base.current = slot;
    weft__send_finish(s, result);
    if (slot != NULL)
        n += send_next(p, slot);
    p->base.current = NULL;
    return n;
}

/* ---- buffers ---- */

static weft__buffer *take_back(uring_poller *p, const weft__uring_event *e)
{
    if (e->buffer < 0)
        return NULL;
    weft__buffer *b = p->buffers[e->buffer];
    p->ids[p->free_ids++] = (uint16_t)e->buffer;
    p->lying--;
    return b;
}

static void set_window(uring_poller *p, unsigned window)
{
    p->window = window;
    p->base.ahead = window - WINDOW;
}

static void uring_look(weft__poller *base)
{
    uring_poller *p = (uring_poller *)base;
    if (p->window > WINDOW && p->least > p->window / 4 * 3)
        set_window(p, p->window / 2);
    p->least = p->lying;
}

static void top_up(uring_poller *p)
{
    if (p->wanting && p->window < RING)
        set_window(p, p->window * 2);
    if (p->lying < p->least)
        p->least = p->lying;
    p->wanting = p->starved = false;
    while (p->lying < p->window) {
        weft__buffer *b = weft__buffer_take(&p->base);
        if (b == NULL) {
            p->starved = p->lying == 0;
            break;
        }
        unsigned id = p->ids[--p->free_ids];
        p->buffers[id] = b;
        p->lying++;
        weft__uring_buffer_put(p->ring, b->data, b->size, id);
    }
    weft__uring_buffer_publish(p->ring);
}

/* ---- results ---- */

/* The receive in the kernel is to be started again, unless its last result is among those that have come by now. */
static void begin_anew(uring_poller *p, uring_op *op)
{
    if (op->has == RECEIVE && op->want == RECEIVE) {
        op->again = true;
        settle_later(p, op);
    }
}

/* Each returns callbacks made. op->has is NONE already if this was the last result. */
static int handle_received(uring_poller *p, uring_op *op, const weft__uring_event *e)
{
    weft__fd_slot *slot = op->slot;
    weft__buffer *b = take_back(p, e);
    if (e->result > 0 && slot != NULL) {
        if (op->ended)
            begin_anew(p, op); /* the rest may be lost as well */
        b->used = (uint32_t)e->result;
        slot->fn->received(slot, b, e->result);
        return 1;
    }
    if (b != NULL)
        weft__buffer_release(&p->base, b);
    if (slot == NULL || e->more || e->result > 0 || e->result == -ECANCELED || e->result == -EINTR)
        return 0;
    if (e->result == -ENOBUFS) {
        p->wanting = true; /* the ring is filled up, and the slot settled, before the kernel is asked again */
        if (!p->starved || !slot->on)
            return 0;
    }
    op->want = NONE;
    slot->on = false;
    slot->fn->received(slot, NULL, e->result);
    return 1;
}

static int handle_accepted(uring_op *op, const weft__uring_event *e)
{
    weft__fd_slot *slot = op->slot;
    if (slot == NULL) {
        if (e->result >= 0)
            weft__sys_close(e->result);
        return 0;
    }
    if (e->result == -ECANCELED || weft__sys_accept_again(e->result))
        return 0;
    if (e->result < 0) {
        op->want = NONE;
        slot->on = false;
    }
    slot->fn->accepted(slot, e->result);
    return 1;
}

static int handle_polled(uring_poller *p, uring_op *op, const weft__uring_event *e)
{
    weft__fd_slot *slot = op->slot;
    unsigned events = (unsigned)e->result;
    if (slot == NULL || e->result == -ECANCELED)
        return 0;
    if (e->result < 0) { /* not open, or cannot be polled: an error, told once */
        op->want = NONE;
        events = ERRORS;
    }
    if (!p->native)
        return weft__ready_event(&p->base, slot, events);
    events &= slot->mode == WEFT__SLOT_READINESS && slot->events != 0 ? slot->events | ERRORS : 0u;
    if (events == 0)
        return 0;
    slot->fn->event(slot, events);
    return 1;
}

static int handle_main(uring_poller *p, uring_op *op, const weft__uring_event *e)
{
    unsigned kind = op->has;
    if (!e->more) {
        op->has = NONE;
        op->cancelling = false;
    }
    op->busy = true;
    int n = kind == RECEIVE  ? handle_received(p, op, e)
            : kind == ACCEPT ? handle_accepted(op, e)
                             : handle_polled(p, op, e);
    op->busy = false;
    if (!e->more)
        settle(p, op);
    return n;
}

static int handle_out(uring_poller *p, uring_op *op, const weft__uring_event *e)
{
    weft__fd_slot *slot = op->slot;
    int n = 0;
    op->out = false;
    op->out_cancelling = false;
    if (slot != NULL && (slot->flags & WEFT__SLOT_OUT_ONCE) && e->result != -ECANCELED) {
        slot->flags &= (uint8_t)~WEFT__SLOT_OUT_ONCE;
        op->busy = true;
        slot->fn->event(slot, e->result < 0 ? ERRORS : (unsigned)e->result & (WEFT_POLLOUT | ERRORS));
        op->busy = false;
        n = 1;
    }
    settle(p, op);
    return n;
}

static int handle_ending(uring_poller *p, uring_op *op)
{
    op->ending = false;
    op->ending_cancelling = false;
    op->ended = true;
    begin_anew(p, op);
    if (op->slot == NULL)
        settle(p, op);
    return 0;
}

static int handle(uring_poller *p, const weft__uring_event *e)
{
    void *of = (void *)(uintptr_t)(e->tag & ~(uint64_t)TAG_MASK);
    switch (e->tag & TAG_MASK) {
    case TAG_MAIN:
        return handle_main(p, of, e);
    case TAG_OUT:
        return handle_out(p, of, e);
    case TAG_SEND:
        return handle_send(p, of, e);
    case TAG_ENDING:
        return handle_ending(p, of);
    case TAG_INTERRUPT:
        p->base.interrupted = true;
        p->watching = e->more;
        return 0;
    default:
        return 0;
    }
}

/* One call of the kernel, and the callbacks of up to `max` slots. *told: how many results there were. */
static int poll_once(uring_poller *p, int64_t until_ns, unsigned max, unsigned *told)
{
    weft__poller *base = &p->base;
    int err = 0;
    if (unlikely(p->unsettled != NULL || p->uncancelled != NULL)) {
        settle_rest(p);
        if (p->unsettled != NULL || p->uncancelled != NULL)
            until_ns = 0;
    }
    int n = 0;
    if (p->native) {
        settle_young(p);
        n = receive_fresh(p);
        if (n > 0 || !list_empty(&p->fresh))
            until_ns = 0;
        top_up(p);
    }
    if (unlikely(!p->watching)) {
        err = weft__uring_poll(p->ring, base->interrupt_fd, WEFT_POLLIN, true, TAG_INTERRUPT);
        p->watching = err == 0;
    }
    if (err == 0)
        err = weft__uring_enter(p->ring, until_ns);
    weft__poller_woke(base);
    unsigned slots = 0; /* results of cancelling, say, are no slot's, and take no place in somebody's array */
    weft__uring_event e;
    for (*told = 0; slots < max && weft__uring_next(p->ring, &e); ++*told) {
        int made = handle(p, &e);
        n += made;
        slots += made != 0 || base->scheduler;
    }
    n += receive_fresh(p);
    p->alone = *told <= 1;
    return *told > 0 || n > 0 ? n : err;
}

/* What was asked for anew is looked at in a later call than the one that ends the old operation: who may not sleep, and
 * so may not come again, is to be told of it all the same. */
static int uring_poll(weft__poller *base, int64_t until_ns, unsigned max)
{
    enum {
        CALLS = 4
    };
    uring_poller *p = (uring_poller *)base;
    unsigned told;
    int n = poll_once(p, until_ns, max, &told);
    for (int i = 1; i < CALLS && n == 0 && told > 0 && until_ns <= 0 && !base->scheduler && !base->interrupted; i++)
        n = poll_once(p, 0, max, &told);
    return n;
}

/* ---- open, close ---- */

static void uring_close(weft__poller *base)
{
    uring_poller *p = (uring_poller *)base;
    weft__uring_close(p->ring);
    while (p->chunks != NULL) {
        uring_chunk *chunk = p->chunks;
        p->chunks = chunk->next;
        weft__free(chunk);
    }
    weft__free(p);
}

static int uring_open(weft__poller **out, int interrupt_fd, bool one_thread)
{
    uring_poller *p = weft__calloc(1, sizeof *p);
    if (p == NULL)
        return -ENOMEM;
    int err = weft__uring_open(&p->ring, QUEUE, one_thread);
    if (err < 0) {
        weft__free(p);
        return err;
    }
    p->native = err > 0 && weft__uring_buffers_open(p->ring, RING) == 0;
    p->base.ops = p->native ? &weft__poller_uring : &uring_by_readiness;
    p->base.interrupt_fd = interrupt_fd;
    p->window = WINDOW;
    list_init(&p->fresh);
    list_init(&p->young);
    list_init(&p->old);
    for (unsigned id = RING; id > 0; id--)
        p->ids[p->free_ids++] = (uint16_t)(id - 1);
    *out = &p->base;
    return 0;
}

static int uring_pollable(weft__poller *base)
{
    uring_poller *p = (uring_poller *)base;
    weft__uring_enter(p->ring, 0); /* nobody will hand over for us while we wait; what fails is told by poll */
    return weft__uring_fd(p->ring);
}

const weft__poller_ops weft__poller_uring = {
    .name = "uring",
    .edge = true,
    .round = WEFT__ROUND_URING,
    .open = uring_open,
    .close = uring_close,
    .poll = uring_poll,
    .update = uring_update,
    .remove = uring_remove,
    .send = uring_send,
    .cancel = uring_cancel,
    .let_go = uring_let_go,
    .pollable = uring_pollable,
    .look = uring_look,
    .accepts = uring_accepts,
};

static const weft__poller_ops uring_by_readiness = {
    .name = "uring",
    .edge = true,
    .round = WEFT__ROUND_URING,
    .open = uring_open,
    .close = uring_close,
    .poll = uring_poll,
    .update = weft__ready_update,
    .remove = uring_remove,
    .send = weft__ready_send,
    .cancel = weft__ready_cancel,
    .arm = uring_arm,
    .let_go = uring_let_go,
    .pollable = uring_pollable,
};
