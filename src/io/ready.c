/* ready.c - what back ends that know readiness do when a slot is ready: receive into a buffer, accept connections, go
 * on with a send. io_uring does all this in the kernel; here it is done so that owners of slots see no difference.
 *
 * Level pollers tell again what was not taken, so one receive an event is enough; what nobody wants any more is
 * dropped from the kernel's list only when it is told in vain, because most owners want it again soon (a request, an
 * answer, the next request: no epoll_ctl at all). Not so a listening socket of several processes: there being told in
 * vain would be another's loss. Errors are told whatever is wanted, so wanting nothing means leaving the list.
 * Edge pollers tell a change once: READY remembers it, a short read clears it (what comes later is a new change, told
 * by a later poll of this same thread, so nothing lies between the read and the clearing), and a slot with more than
 * its share of bytes goes to the pending list.
 * A callback may remove its slot and free it: after each one p->current tells. */
#include "io/ready.h"

#include "sys/net.h"

#include <errno.h>

enum {
    ERRORS = WEFT_POLLERR | WEFT_POLLHUP,
    INPUT = WEFT_POLLIN | WEFT_POLLRDHUP,
    RECEIVES = 4, /* buffers filled for one slot before the others have their turn */
    ACCEPTS = 64
};

/* What the kernel has to look for on this slot's behalf. */
static unsigned slot_needs(const weft__fd_slot *slot)
{
    unsigned events = 0;
    if (slot->mode == WEFT__SLOT_READINESS)
        events = slot->events;
    else if (slot->on)
        events = slot->mode == WEFT__SLOT_RECEIVE ? INPUT : WEFT_POLLIN;
    if (slot->sends != NULL || (slot->flags & WEFT__SLOT_OUT_ONCE))
        events |= WEFT_POLLOUT;
    return events;
}

int weft__ready_update(weft__poller *p, weft__fd_slot *slot)
{
    unsigned needs = slot_needs(slot);
    if (unlikely(slot->flags & WEFT__SLOT_SHARED) && needs == 0) {
        slot->flags &= (uint8_t)~WEFT__SLOT_READY; /* told anew when it starts again */
        return p->ops->arm(p, slot, 0);
    }
    if (!p->ops->edge)
        return (needs & ~(unsigned)slot->armed) != 0 ? p->ops->arm(p, slot, needs) : 0;
    if (slot->mode != WEFT__SLOT_READINESS && slot->on && (slot->flags & WEFT__SLOT_READY) &&
        list_empty(&slot->pending))
        list_push_back(&p->pending, &slot->pending);
    /* A receiver is registered once for both directions. Readiness is asked for anew each time, and so is writability
     * once, because the kernel then tells what is true already. */
    if (slot->mode == WEFT__SLOT_RECEIVE && !(slot->flags & WEFT__SLOT_OUT_ONCE)) {
        if (slot->armed == (INPUT | WEFT_POLLOUT) || needs == 0)
            return 0;
        return p->ops->arm(p, slot, INPUT | WEFT_POLLOUT);
    }
    if (slot->mode == WEFT__SLOT_ACCEPT && (needs & ~(unsigned)slot->armed) == 0)
        return 0;
    if (slot->mode == WEFT__SLOT_RECEIVE)
        needs = INPUT | WEFT_POLLOUT;
    return needs != 0 || slot->armed != 0 ? p->ops->arm(p, slot, needs) : 0;
}

void weft__ready_remove(weft__poller *p, weft__fd_slot *slot)
{
    p->ops->arm(p, slot, 0);
}

/* ---- sends ---- */

void weft__send_advance(weft__send *s, size_t n)
{
    s->sent += n;
    while (s->niov > 0 && n >= s->iov->iov_len) {
        n -= s->iov->iov_len;
        s->iov++;
        s->niov--;
    }
    if (n > 0) {
        s->iov->iov_base = (char *)s->iov->iov_base + n;
        s->iov->iov_len -= n;
    }
}

void weft__send_finish(weft__send *s, ssize_t result)
{
    if (s->slot != NULL) {
        s->slot->sends = s->next;
        s->slot = NULL;
    }
    s->next = NULL;
    s->done(s, result);
}

ssize_t weft__send_some(weft__send *s)
{
    int flags = MSG_DONTWAIT | (s->flags & WEFT__SEND_MORE ? MSG_MORE : 0);
    while (s->niov > 0) {
        ssize_t n;
        if (s->niov == 1) {
            n = weft__sys_send(s->slot->fd, s->iov->iov_base, s->iov->iov_len, flags);
        } else {
            s->msg.msg_iov = s->iov;
            s->msg.msg_iovlen = s->niov;
            n = weft__sys_sendmsg(s->slot->fd, &s->msg, flags);
        }
        if (n < 0)
            return n;
        weft__send_advance(s, (size_t)n);
    }
    return (ssize_t)s->sent;
}

ssize_t weft__ready_send(weft__poller *p, weft__send *s)
{
    weft__fd_slot *slot = s->slot;
    ssize_t n = weft__send_some(s);
    if (n == -EAGAIN) {
        int err = weft__ready_update(p, slot);
        if (err == 0)
            return -EINPROGRESS;
        n = err;
    }
    slot->sends = s->next;
    s->slot = NULL;
    return n;
}

void weft__ready_cancel(weft__poller *p, weft__send *s)
{
    s->next = p->cancelled;
    p->cancelled = s;
}

/* Go on with the slot's sends. Returns callbacks made. */
static int send_more(weft__poller *p, weft__fd_slot *slot)
{
    int n = 0;
    while (p->current == slot && slot->sends != NULL) {
        ssize_t r = weft__send_some(slot->sends);
        if (r == -EAGAIN)
            break;
        weft__send_finish(slot->sends, r);
        n++;
    }
    return n;
}

/* ---- input ---- */

static void look_again(weft__poller *p, weft__fd_slot *slot)
{
    if (p->ops->edge && list_empty(&slot->pending))
        list_push_back(&p->pending, &slot->pending);
}

static int stop_receiving(weft__poller *p, weft__fd_slot *slot, weft__buffer *b, ssize_t why)
{
    if (b != NULL)
        weft__buffer_release(p, b);
    slot->on = false;
    slot->fn->received(slot, NULL, why);
    return 1;
}

/* Returns callbacks made. */
static int receive(weft__poller *p, weft__fd_slot *slot)
{
    for (int i = 0; i < RECEIVES; i++) {
        weft__buffer *b = weft__buffer_take(p);
        if (b == NULL)
            return i + stop_receiving(p, slot, NULL, -ENOBUFS);
        ssize_t n = weft__sys_recv(slot->fd, b->data, b->size, MSG_DONTWAIT);
        if (n == -EAGAIN) {
            slot->flags &= (uint8_t)~WEFT__SLOT_READY;
            weft__buffer_release(p, b);
            return i;
        }
        if (n <= 0)
            return i + stop_receiving(p, slot, b, n);
        bool more = (size_t)n == b->size || (slot->flags & WEFT__SLOT_ENDED);
        if (!more)
            slot->flags &= (uint8_t)~WEFT__SLOT_READY;
        b->used = (uint32_t)n;
        slot->fn->received(slot, b, n);
        if (p->current != slot || !slot->on || !more || !p->ops->edge)
            return i + 1;
    }
    look_again(p, slot);
    return RECEIVES;
}

/* A level poller tells again at the price of a poll, an accept in vain costs about as much: so as many are taken at a
 * time as came at a time before. Returns callbacks made. */
static int accept_some(weft__poller *p, weft__fd_slot *slot)
{
    int most = p->ops->edge ? ACCEPTS : slot->burst > 0 ? slot->burst : 1;
    for (int i = 0; i < most; i++) {
        int fd = weft__sys_accept(slot->fd, NULL);
        if (fd == -EAGAIN) {
            slot->flags &= (uint8_t)~WEFT__SLOT_READY;
            slot->burst = 1;
            return i;
        }
        if (fd < 0)
            slot->on = false;
        if (fd < 0 && (slot->flags & WEFT__SLOT_SHARED))
            (void)weft__ready_update(p, slot); /* others are to be woken meanwhile */
        slot->fn->accepted(slot, fd);
        if (p->current != slot || !slot->on)
            return i + 1;
    }
    slot->burst = (uint8_t)(most < ACCEPTS ? 2 * most : ACCEPTS);
    look_again(p, slot);
    return most;
}

static int take_input(weft__poller *p, weft__fd_slot *slot)
{
    return slot->mode == WEFT__SLOT_RECEIVE ? receive(p, slot) : accept_some(p, slot);
}

/* ---- events ---- */

int weft__ready_event(weft__poller *p, weft__fd_slot *slot, unsigned events)
{
    int n = 0;
    unsigned wanted = slot_needs(slot);
    p->current = slot;
    if ((events & (WEFT_POLLOUT | ERRORS)) != 0) {
        n += send_more(p, slot);
        if (p->current == slot && (slot->flags & WEFT__SLOT_OUT_ONCE)) {
            slot->flags &= (uint8_t)~WEFT__SLOT_OUT_ONCE;
            slot->fn->event(slot, events & (WEFT_POLLOUT | ERRORS));
            n++;
        }
    }
    if (p->current == slot) {
        if (slot->mode == WEFT__SLOT_READINESS) {
            unsigned told = slot->events != 0 ? events & (slot->events | ERRORS) : 0;
            if (told != 0) {
                slot->fn->event(slot, told);
                n++;
            }
        } else if ((events & (INPUT | ERRORS)) != 0) {
            slot->flags |= WEFT__SLOT_READY | (events & (WEFT_POLLRDHUP | ERRORS) ? WEFT__SLOT_ENDED : 0);
            if (slot->on)
                n += take_input(p, slot);
        }
    }
    if (p->current == slot && !p->ops->edge) {
        unsigned needs = slot_needs(slot);
        unsigned vain =
            (events & ~(wanted | ERRORS)) | (wanted & ~needs & WEFT_POLLOUT) | (needs == 0 ? events & ERRORS : 0);
        if (vain != 0 && needs != slot->armed)
            p->ops->arm(p, slot, needs); /* if that fails it is told again, and tried again */
    }
    p->current = NULL;
    return n;
}

int weft__ready_pending(weft__poller *p)
{
    int n = 0;
    weft__list round;
    list_take_all(&round, &p->pending);
    weft__list *node;
    while ((node = list_pop_front(&round)) != NULL) {
        weft__fd_slot *slot = container_of(node, weft__fd_slot, pending);
        if (!slot->on || !(slot->flags & WEFT__SLOT_READY))
            continue;
        p->current = slot;
        n += take_input(p, slot);
        p->current = NULL;
    }
    return n;
}
