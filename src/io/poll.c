/* poll.c - the poller over poll(2): any descriptor, the cost of each round grows with their number. Level.
 *
 * fds[0] is the interrupt's; slot i + 1's place is index i + 1. A place that is given up is filled with the last one:
 * when that happens under the hands of a round, the place is looked at once more. */
#include "io/poller.h"
#include "io/ready.h"
#include "sys/multiplex.h"
#include "sys/sys.h"

#include <errno.h>

typedef struct poll_poller {
    weft__poller base;
    struct pollfd *fds;
    weft__fd_slot **slots;
    uint32_t used, size;
    uint32_t at; /* where the next round begins, so that all have their turn when callbacks are few */
} poll_poller;

enum {
    FIRST_SIZE = 16
};

static int grow(poll_poller *p)
{
    uint32_t size = p->size == 0 ? FIRST_SIZE : p->size * 2;
    struct pollfd *fds = weft__realloc(p->fds, size * sizeof *fds);
    if (fds == NULL)
        return -ENOMEM;
    p->fds = fds;
    weft__fd_slot **slots = weft__realloc(p->slots, size * sizeof(weft__fd_slot *));
    if (slots == NULL)
        return -ENOMEM;
    p->slots = slots;
    p->size = size;
    return 0;
}

static void poll_close(weft__poller *base)
{
    poll_poller *p = (poll_poller *)base;
    weft__free(p->fds);
    weft__free(p->slots);
    weft__free(p);
}

static int poll_open(weft__poller **out, int interrupt_fd, bool one_thread)
{
    (void)one_thread;
    poll_poller *p = weft__calloc(1, sizeof *p);
    if (p == NULL)
        return -ENOMEM;
    p->base.ops = &weft__poller_poll;
    p->base.interrupt_fd = interrupt_fd;
    if (grow(p) < 0) {
        poll_close(&p->base);
        return -ENOMEM;
    }
    p->fds[0] = (struct pollfd){.fd = interrupt_fd, .events = POLLIN};
    p->slots[0] = NULL;
    p->used = 1;
    *out = &p->base;
    return 0;
}

static void give_up_place(poll_poller *p, uint32_t i)
{
    uint32_t last = --p->used;
    p->fds[i] = p->fds[last];
    p->slots[i] = p->slots[last];
    p->slots[i]->index = i;
}

static int poll_arm(weft__poller *base, weft__fd_slot *slot, unsigned events)
{
    poll_poller *p = (poll_poller *)base;
    uint32_t i = slot->index;
    if (events == 0) {
        if (i != 0)
            give_up_place(p, i);
        slot->index = 0;
        slot->armed = 0;
        return 0;
    }
    if (slot->fd < 0)
        return -EBADF;
    if (i == 0) {
        if (p->used == p->size && grow(p) < 0)
            return -ENOMEM;
        i = p->used++;
        p->slots[i] = slot;
        p->fds[i] = (struct pollfd){.fd = slot->fd};
        slot->index = i;
    }
    p->fds[i].events = (short)events;
    slot->armed = (uint16_t)events;
    return 0;
}

static int poll_poll(weft__poller *base, int64_t until_ns, unsigned max)
{
    poll_poller *p = (poll_poller *)base;
    int count = weft__sys_poll(p->fds, p->used, until_ns);
    weft__poller_woke(base);
    if (count <= 0)
        return count;
    if (p->fds[0].revents != 0) {
        weft__sys_eventfd_clear(base->interrupt_fd);
        base->interrupted = true;
        count--;
    }
    int n = 0;
    unsigned told = 0;
    uint32_t span = p->used - 1, start = p->at;
    for (uint32_t step = 0; step < span && count > 0 && told < max; step++) {
        uint32_t i = 1 + (start + step) % span;
        if (i >= p->used || p->fds[i].revents == 0)
            continue;
        unsigned events = (unsigned short)p->fds[i].revents;
        weft__fd_slot *slot = p->slots[i];
        p->fds[i].revents = 0;
        if (events & POLLNVAL) { /* closed while registered: told as an error, and dropped */
            poll_arm(base, slot, 0);
            events = WEFT_POLLERR | WEFT_POLLHUP;
        }
        count--;
        told++;
        n += weft__ready_event(base, slot, events);
        if (told == max)
            p->at = i;
        else if (i < p->used && p->fds[i].revents != 0)
            step--; /* another has moved here */
    }
    return n;
}

static int poll_pollable(weft__poller *base)
{
    (void)base;
    return -1;
}

const weft__poller_ops weft__poller_poll = {
    .name = "poll",
    .round = WEFT__ROUND,
    .open = poll_open,
    .close = poll_close,
    .poll = poll_poll,
    .update = weft__ready_update,
    .remove = weft__ready_remove,
    .send = weft__ready_send,
    .cancel = weft__ready_cancel,
    .arm = poll_arm,
    .pollable = poll_pollable,
};
