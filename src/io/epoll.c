/* epoll.c - the pollers over epoll(7), level- and edge-triggered: any number of descriptors, the cost of a round
 * grows with those that are ready.
 *
 * E1 a slot is in the kernel's list exactly while slot->armed != 0. It is taken out before its descriptor is closed,
 *    because a duplicate (after a fork, say) would keep the registration alive after the close, with a pointer to a
 *    slot that has gone.
 * E2 the batch holds no slot that was taken out since the kernel filled it: taking out clears it there. The batch is
 *    short and packed, and a close costs a hundred times the search.
 * The interrupt's eventfd is edge-triggered in both: each write is told once and need not be read. */
#include "io/poller.h"
#include "io/ready.h"
#include "sys/multiplex.h"
#include "sys/net.h"
#include "sys/sys.h"

#include <errno.h>

enum {
    BATCH = 256
};

typedef struct epoll_poller {
    weft__poller base;
    int fd;
    int at, count; /* of the batch under way */
    struct epoll_event batch[BATCH];
} epoll_poller;

static int open_with(weft__poller **out, const weft__poller_ops *ops, int interrupt_fd)
{
    epoll_poller *p = weft__calloc(1, sizeof *p);
    if (p == NULL)
        return -ENOMEM;
    int err;
    p->base.ops = ops;
    p->base.interrupt_fd = interrupt_fd;
    p->fd = weft__sys_epoll_create();
    if (p->fd < 0) {
        err = p->fd;
        goto fail_free;
    }
    err = weft__sys_epoll_ctl(p->fd, EPOLL_CTL_ADD, interrupt_fd, EPOLLIN | EPOLLET, p);
    if (err < 0)
        goto fail_close;
    *out = &p->base;
    return 0;
fail_close:
    weft__sys_close(p->fd);
fail_free:
    weft__free(p);
    return err;
}

static int level_open(weft__poller **out, int interrupt_fd, bool one_thread)
{
    (void)one_thread;
    return open_with(out, &weft__poller_epoll, interrupt_fd);
}

static int edge_open(weft__poller **out, int interrupt_fd, bool one_thread)
{
    (void)one_thread;
    return open_with(out, &weft__poller_epoll_et, interrupt_fd);
}

static void epoll_close(weft__poller *base)
{
    epoll_poller *p = (epoll_poller *)base;
    weft__sys_close(p->fd);
    weft__free(p);
}

static void take_out(epoll_poller *p, weft__fd_slot *slot)
{
    weft__sys_epoll_forget(p->fd, slot->fd);
    for (int i = p->at; i < p->count; i++)
        if (p->batch[i].data.ptr == slot)
            p->batch[i].data.ptr = NULL;
}

static int epoll_arm(weft__poller *base, weft__fd_slot *slot, unsigned events)
{
    epoll_poller *p = (epoll_poller *)base;
    if (events == 0) {
        if (slot->armed != 0)
            take_out(p, slot);
        slot->armed = 0;
        return 0;
    }
    int op = slot->armed != 0 ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    unsigned how = (base->ops->edge ? EPOLLET : 0u) | (slot->flags & WEFT__SLOT_SHARED ? EPOLLEXCLUSIVE : 0u);
    int err = weft__sys_epoll_ctl(p->fd, op, slot->fd, events | how, slot);
    if (err == 0)
        slot->armed = (uint16_t)events;
    return err;
}

static int epoll_poll(weft__poller *base, int64_t until_ns, unsigned max)
{
    epoll_poller *p = (epoll_poller *)base;
    int count = weft__sys_epoll_wait(p->fd, p->batch, max < BATCH ? (int)max : BATCH, until_ns);
    weft__poller_woke(base);
    if (count < 0)
        return count;
    int n = 0;
    p->count = count;
    for (p->at = 0; p->at < p->count;) {
        const struct epoll_event *e = &p->batch[p->at++];
        if (e->data.ptr == p)
            base->interrupted = true;
        else if (e->data.ptr != NULL)
            n += weft__ready_event(base, e->data.ptr, e->events);
    }
    p->count = p->at = 0;
    return n;
}

static int epoll_pollable(weft__poller *base)
{
    return ((epoll_poller *)base)->fd;
}

/* Who is added last is woken last. */
static int epoll_stand_back(weft__poller *base, weft__fd_slot *slot)
{
    unsigned events = slot->armed;
    epoll_arm(base, slot, 0);
    return epoll_arm(base, slot, events);
}

/* What level and edge have in common. */
#define EPOLL_OPS                                                                                                      \
    .close = epoll_close, .poll = epoll_poll, .update = weft__ready_update, .remove = weft__ready_remove,              \
    .send = weft__ready_send, .cancel = weft__ready_cancel, .arm = epoll_arm, .pollable = epoll_pollable,              \
    .stand_back = epoll_stand_back

const weft__poller_ops weft__poller_epoll = {.name = "epoll", .round = WEFT__ROUND, .open = level_open, EPOLL_OPS};
const weft__poller_ops weft__poller_epoll_et = {
    .name = "epoll-et", .edge = true, .round = WEFT__ROUND, .open = edge_open, EPOLL_OPS};
