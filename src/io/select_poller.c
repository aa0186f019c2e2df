/* select_poller.c - the poller over select(2): descriptors 0 to 1023, the cost of each round grows with the highest of
 * them. Level.
 *
 * select tells of a hang-up, and of the peer's end, as of input, and of nothing else. So who does not want input is
 * looked for among the readable ones as well, and then poll says what it is; where it is input, which nobody wants,
 * the other is looked for now and then (unheard). poll also tells who asked for it what it is that ended his wait.
 * The sets hold what is wanted and are copied for each call. Taking a slot out clears it in the copies too, so that
 * the next holder of its number is not told what was meant for it. A descriptor that was closed while it was
 * registered makes the whole call fail with EBADF; it is then found, told as an error and dropped, so that it harms
 * nobody else. */
#include "io/poller.h"
#include "io/ready.h"
#include "sys/multiplex.h"
#include "sys/sys.h"

#include <errno.h>
#include <string.h>

enum {
    ERRORS = WEFT_POLLERR | WEFT_POLLHUP
};

#define LISTEN (20 * WEFT_MS) /* how often those who are unheard are asked */

typedef struct select_poller {
    weft__poller base;
    int top; /* no registered descriptor is above */
    int at;  /* where the next round begins, so that all have their turn when callbacks are few */
    fd_set readable, writable, urgent;             /* wanted */
    fd_set got_readable, got_writable, got_urgent; /* of the round under way */
    fd_set unheard;                                /* do not want input, and have some */
    unsigned unheard_count;
    int64_t listen_at; /* when they are asked next */
    bool listens;      /* in this round */
    weft__fd_slot *slots[FD_SETSIZE];
} select_poller;

static int select_open(weft__poller **out, int interrupt_fd, bool one_thread)
{
    (void)one_thread;
    if (interrupt_fd >= FD_SETSIZE)
        return -EMFILE;
    select_poller *p = weft__calloc(1, sizeof *p);
    if (p == NULL)
        return -ENOMEM;
    p->base.ops = &weft__poller_select;
    p->base.interrupt_fd = interrupt_fd;
    FD_ZERO(&p->readable);
    FD_ZERO(&p->writable);
    FD_ZERO(&p->urgent);
    FD_ZERO(&p->unheard);
    FD_SET(interrupt_fd, &p->readable);
    p->top = interrupt_fd;
    *out = &p->base;
    return 0;
}

static void select_close(weft__poller *base)
{
    weft__free(base);
}

static void set_bit(fd_set *set, int fd, bool on)
{
    if (on)
        FD_SET(fd, set);
    else
        FD_CLR(fd, set);
}

static bool wants_input(unsigned armed)
{
    return (armed & WEFT_POLLIN) != 0;
}

static void set_unheard(select_poller *p, int fd, bool unheard)
{
    p->unheard_count -= FD_ISSET(fd, &p->unheard) != 0;
    p->unheard_count += unheard;
    set_bit(&p->unheard, fd, unheard);
}

static int select_arm(weft__poller *base, weft__fd_slot *slot, unsigned events)
{
    select_poller *p = (select_poller *)base;
    int fd = slot->fd;
    if (events == 0 && slot->armed == 0)
        return 0;
    if (fd < 0)
        return -EBADF;
    if (fd >= FD_SETSIZE)
        return -EMFILE;
    if (p->slots[fd] != NULL && p->slots[fd] != slot)
        return -EEXIST;
    p->slots[fd] = events != 0 ? slot : NULL;
    slot->armed = (uint16_t)events;
    if (events == 0) {
        FD_CLR(fd, &p->got_readable);
        FD_CLR(fd, &p->got_writable);
        FD_CLR(fd, &p->got_urgent);
    }
    set_unheard(p, fd, false);
    set_bit(&p->readable, fd, events != 0);
    set_bit(&p->writable, fd, events & WEFT_POLLOUT);
    set_bit(&p->urgent, fd, events & WEFT_POLLPRI);
    if (fd > p->top)
        p->top = fd;
    while (p->top > base->interrupt_fd && p->slots[p->top] == NULL)
        p->top--;
    return 0;
}

/* One of the registered descriptors is not open. Returns callbacks made. */
static int tell_closed(select_poller *p)
{
    int n = 0;
    for (int fd = 0; fd <= p->top; fd++) {
        struct pollfd one = {.fd = fd};
        weft__fd_slot *slot = p->slots[fd];
        if (slot == NULL || weft__sys_poll(&one, 1, 0) < 1 || !(one.revents & POLLNVAL))
            continue;
        select_arm(&p->base, slot, 0);
        n += weft__ready_event(&p->base, slot, WEFT_POLLERR | WEFT_POLLHUP);
    }
    return n;
}

static unsigned take_result(select_poller *p, int fd)
{
    unsigned events = (FD_ISSET(fd, &p->got_readable) ? WEFT_POLLIN : 0u) |
                      (FD_ISSET(fd, &p->got_writable) ? WEFT_POLLOUT : 0u) |
                      (FD_ISSET(fd, &p->got_urgent) ? WEFT_POLLPRI : 0u);
    FD_CLR(fd, &p->got_readable);
    FD_CLR(fd, &p->got_writable);
    FD_CLR(fd, &p->got_urgent);
    return events;
}

/* What poll says of fd. */
static unsigned state_of(int fd, unsigned armed)
{
    struct pollfd one = {.fd = fd, .events = (short)armed};
    return weft__sys_poll(&one, 1, 0) > 0 ? (unsigned short)one.revents & (armed | ERRORS) : 0;
}

/* The same of an fd that wants no input, and may have some. */
static unsigned listen_to(select_poller *p, int fd, unsigned armed)
{
    unsigned events = state_of(fd, armed & WEFT_POLLRDHUP);
    if (events == 0) {
        FD_CLR(fd, &p->readable);
        set_unheard(p, fd, true);
    }
    return events;
}

/* What a round has found out about fd; its slot may be NULL. */
static unsigned result_of(select_poller *p, int fd)
{
    unsigned events = take_result(p, fd);
    const weft__fd_slot *slot = p->slots[fd];
    if (slot == NULL)
        return events;
    if (events != 0 && slot->mode == WEFT__SLOT_READINESS && (slot->flags & WEFT__SLOT_ENDS)) {
        unsigned exact = state_of(fd, slot->armed);
        if (exact != 0 || wants_input(slot->armed))
            return exact;
        events &= WEFT_POLLIN; /* the rest has passed */
    }
    if (!wants_input(slot->armed)) {
        if ((events & WEFT_POLLIN) || (p->listens && FD_ISSET(fd, &p->unheard)))
            events |= listen_to(p, fd, slot->armed);
        return events & ~WEFT_POLLIN;
    }
    return events;
}

/* Whether those who are unheard are asked in this round; and until when it may sleep. */
static int64_t plan_round(select_poller *p, int64_t until_ns)
{
    p->listens = false;
    if (likely(p->unheard_count == 0))
        return until_ns;
    int64_t now = weft__sys_now();
    if (p->listen_at <= now) {
        p->listens = true;
        p->listen_at = now + LISTEN;
    }
    return p->listen_at < until_ns ? p->listen_at : until_ns;
}

static int select_poll(weft__poller *base, int64_t until_ns, unsigned max)
{
    select_poller *p = (select_poller *)base;
    until_ns = plan_round(p, until_ns);
    p->got_readable = p->readable;
    p->got_writable = p->writable;
    p->got_urgent = p->urgent;
    int count = weft__sys_select(p->top + 1, &p->got_readable, &p->got_writable, &p->got_urgent, until_ns);
    weft__poller_woke(base);
    if (count == -EBADF)
        return tell_closed(p);
    if (count < 0 || (count == 0 && !p->listens))
        return count;
    if (FD_ISSET(base->interrupt_fd, &p->got_readable)) {
        weft__sys_eventfd_clear(base->interrupt_fd);
        base->interrupted = true;
    }
    int n = 0, last = p->top;
    unsigned told = 0;
    if (p->at > last)
        p->at = 0; /* those above have gone since the last round */
    for (int i = 0; i <= last && told < max; i++) {
        int fd = p->at + i <= last ? p->at + i : p->at + i - last - 1;
        unsigned events = result_of(p, fd);
        weft__fd_slot *slot = p->slots[fd];
        if (events == 0 || slot == NULL)
            continue;
        told++;
        n += weft__ready_event(base, slot, events & (slot->armed | ERRORS));
        if (told == max)
            p->at = fd + 1;
    }
    return n;
}

static int select_pollable(weft__poller *base)
{
    (void)base;
    return -1;
}

const weft__poller_ops weft__poller_select = {
    .name = "select",
    .round = WEFT__ROUND,
    .open = select_open,
    .close = select_close,
    .poll = select_poll,
    .update = weft__ready_update,
    .remove = weft__ready_remove,
    .send = weft__ready_send,
    .cancel = weft__ready_cancel,
    .arm = select_arm,
    .pollable = select_pollable,
};
