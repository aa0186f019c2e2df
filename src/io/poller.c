/* poller.c - what all back ends share: choosing one, buffers, slots and sends up to the back end's own part, and the
 * hook by which a scheduler thread sleeps in its poller.
 *
 * The kind is chosen once a process, at the first use or by weft_io_use before; then it stays, so that every
 * scheduler thread has the same. A scheduler thread opens its poller when its first coroutine waits for a descriptor
 * (weft__poller_here). After fork the child's pollers are let go of (their descriptors are the parent's too, so
 * nothing may be taken out of them) and the epoch moves on, by which owners of slots see that they are registered
 * nowhere. */
#include "io/poller.h"

#include "base/panic.h"
#include "co/sched.h"
#include "io/ready.h"
#include "sys/net.h"
#include "sys/sys.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static const weft__poller_ops *const kinds[] = {
    &weft__poller_epoll_et, /* the default: as good as epoll and some percent cheaper, see docs/design/io.md */
    &weft__poller_epoll,    &weft__poller_poll, &weft__poller_select, &weft__poller_uring,
};

static const weft__poller_ops *chosen; /* atomic: NULL until one is used or asked for */
static uint32_t uring_lacks;           /* atomic: it was tried, and epoll-et stands in for it */
WEFT__FORK_PAGE uint32_t weft__io_epoch;

/* ---- which one ---- */

static int find_kind(const char *name, const weft__poller_ops **ops)
{
    for (size_t i = 0; i < WEFT__ARRAY_LEN(kinds); i++) {
        if (strcmp(kinds[i]->name, name) == 0) {
            *ops = kinds[i];
            return 0;
        }
    }
    return -EINVAL;
}

int weft__poller_ops_by_name(const char *name, const weft__poller_ops **ops)
{
    const weft__poller_ops *set = load_acquire(&chosen);
    if (name != NULL)
        return find_kind(name, ops);
    if (set != NULL) {
        *ops = set;
        return 0;
    }
    name = getenv("WEFT_POLLER");
    if (name != NULL && *name != 0)
        return find_kind(name, ops);
    *ops = kinds[0];
    return 0;
}

/* From now on it is this one. 0, or -EBUSY: it is another already. */
static int choose(const weft__poller_ops *ops)
{
    const weft__poller_ops *seen = NULL;
    return cas_acq_rel(&chosen, &seen, ops) || seen == ops ? 0 : -EBUSY;
}

int weft_io_use(const char *kind)
{
    const weft__poller_ops *ops;
    int err = weft__poller_ops_by_name(kind, &ops);
    return err < 0 ? err : choose(ops);
}

const char *weft_io_kind(void)
{
    const weft__poller_ops *ops;
    if (weft__poller_ops_by_name(NULL, &ops) < 0)
        return kinds[0]->name;
    return ops == &weft__poller_uring && load_relaxed(&uring_lacks) ? weft__poller_epoll_et.name : ops->name;
}

/* ---- open, close, run ---- */

static void warn_once(int err)
{
    if (swap_acq_rel(&uring_lacks, 1u) == 0)
        weft__warn("io_uring cannot be used here (%s); epoll-et is used instead", weft_strerror(err));
}

/* Limits that may pass are errors; everything else means that this kernel has no io_uring for us. */
static bool is_shortage(int err)
{
    return err == -EMFILE || err == -ENFILE || err == -ENOMEM;
}

int weft__poller_open(weft__poller **out, const weft__poller_ops *ops, bool one_thread)
{
    int interrupt_fd = weft__sys_eventfd();
    if (interrupt_fd < 0)
        return interrupt_fd;
    weft__poller *p;
    int err = ops->open(&p, interrupt_fd, one_thread);
    if (err < 0 && ops == &weft__poller_uring && !is_shortage(err)) {
        warn_once(err);
        err = weft__poller_epoll_et.open(&p, interrupt_fd, one_thread);
    }
    if (err < 0) {
        weft__sys_close(interrupt_fd);
        return err;
    }
    list_init(&p->pending);
    *out = p;
    return 0;
}

void weft__poller_close(weft__poller *p)
{
    weft__poller was = *p; /* the kernel lets go of the buffers before they are unmapped */
    p->ops->close(p);
    weft__sys_close(was.interrupt_fd);
    weft__buffers_free(&was);
}

/* Dones that were put off, slots that had more. Returns callbacks made. */
static int run_deferred(weft__poller *p)
{
    int n = 0;
    weft__send *s = p->cancelled;
    p->cancelled = NULL;
    while (s != NULL) {
        weft__send *next = s->next;
        weft__send_finish(s, -ECANCELED);
        s = next;
        n++;
    }
    if (!list_empty(&p->pending))
        n += weft__ready_pending(p);
    return n;
}

int weft__poller_run(weft__poller *p, int64_t until_ns, unsigned max)
{
    int n = 0;
    p->interrupted = false;
    if (unlikely(p->cancelled != NULL || !list_empty(&p->pending))) {
        n = run_deferred(p);
        until_ns = 0;
    }
    p->polls++;
    int more = p->ops->poll(p, until_ns, max);
    if (more == -EINTR)
        more = 0;
    if (more < 0)
        return n > 0 ? n : more;
    p->events += (uint64_t)(n + more);
    return n + more;
}

void weft__poller_interrupt(weft__poller *p)
{
    weft__sys_eventfd_set(p->interrupt_fd);
}

void weft__poller_woke(weft__poller *p)
{
    if (p->scheduler)
        weft__sched_awake();
}

/* ---- slots ---- */

int weft__slot_add(weft__poller *p, weft__fd_slot *slot, unsigned events)
{
    slot->poller = p;
    slot->events = (uint16_t)events;
    slot->mode = WEFT__SLOT_READINESS;
    slot->on = false;
    slot->armed = 0;
    slot->flags = 0;
    slot->burst = 0;
    slot->index = 0;
    slot->op = NULL;
    slot->sends = NULL;
    list_init(&slot->pending);
    int err = events != 0 ? p->ops->update(p, slot) : 0;
    if (err < 0) {
        slot->poller = NULL;
        return err;
    }
    p->slots++;
    return 0;
}

int weft__slot_want(weft__fd_slot *slot, unsigned events)
{
    uint8_t mode = slot->mode;
    uint16_t before = slot->events;
    bool on = slot->on;
    slot->mode = WEFT__SLOT_READINESS;
    slot->on = false;
    slot->events = (uint16_t)events;
    int err = slot->poller->ops->update(slot->poller, slot);
    if (err < 0) { /* who believed that this is looked for already would not ask again */
        slot->mode = mode;
        slot->on = on;
        slot->events = before;
    }
    return err;
}

void weft__slot_tell_ends(weft__fd_slot *slot)
{
    slot->flags |= WEFT__SLOT_ENDS;
}

void weft__slot_remove(weft__fd_slot *slot)
{
    weft__poller *p = slot->poller;
    if (p == NULL)
        return;
    if (p->current == slot)
        p->current = NULL;
    list_remove(&slot->pending);
    for (weft__send *s = slot->sends, *next; s != NULL; s = next) {
        next = s->next;
        s->slot = NULL;
        s->next = NULL;
        p->ops->cancel(p, s);
    }
    slot->sends = NULL;
    slot->on = false;
    p->ops->remove(p, slot);
    slot->poller = NULL;
    p->slots--;
}

void weft__poller_let_go(weft__poller *p)
{
    if (p->ops->let_go != NULL)
        p->ops->let_go(p);
}

int weft__slot_want_out_once(weft__fd_slot *slot)
{
    slot->flags |= WEFT__SLOT_OUT_ONCE;
    int err = slot->poller->ops->update(slot->poller, slot);
    if (err < 0)
        slot->flags &= (uint8_t)~WEFT__SLOT_OUT_ONCE;
    return err;
}

static int start_mode(weft__fd_slot *slot, enum weft__slot_mode mode)
{
    if (slot->on && slot->mode == mode)
        return 0;
    slot->mode = (uint8_t)mode;
    slot->on = true;
    int err = slot->poller->ops->update(slot->poller, slot);
    if (err < 0)
        slot->on = false;
    return err;
}

/* Readiness back ends hear of it when they are told something in vain. */
static void stop_mode(weft__fd_slot *slot)
{
    if (slot->poller == NULL || !slot->on)
        return;
    slot->on = false;
    slot->poller->ops->update(slot->poller, slot);
}

int weft__recv_start(weft__fd_slot *slot)
{
    return start_mode(slot, WEFT__SLOT_RECEIVE);
}

void weft__recv_stop(weft__fd_slot *slot)
{
    stop_mode(slot);
}

int weft__accept_start(weft__fd_slot *slot)
{
    return start_mode(slot, WEFT__SLOT_ACCEPT);
}

void weft__accept_stop(weft__fd_slot *slot)
{
    stop_mode(slot);
}

void weft__accept_share(weft__fd_slot *slot)
{
    slot->flags |= WEFT__SLOT_SHARED;
}

int weft__accept_stand_back(weft__fd_slot *slot)
{
    const weft__poller_ops *ops = slot->poller->ops;
    if (ops->stand_back == NULL || !slot->on)
        return 0;
    int err = ops->stand_back(slot->poller, slot);
    if (err < 0)
        slot->on = false;
    return err;
}

bool weft__accept_stopped(const weft__fd_slot *slot)
{
    return slot->poller == NULL ||
           (!slot->on && (slot->poller->ops->accepts == NULL || !slot->poller->ops->accepts(slot)));
}

/* ---- sends ---- */

ssize_t weft__send_start(weft__fd_slot *slot, weft__send *s)
{
    s->slot = slot;
    s->next = NULL;
    s->sent = 0;
    s->in_kernel = false;
    s->msg = (struct msghdr){0};
    if (slot->sends == NULL) {
        slot->sends = s;
        return slot->poller->ops->send(slot->poller, s);
    }
    weft__send *last = slot->sends;
    while (last->next != NULL)
        last = last->next;
    last->next = s;
    return -EINPROGRESS;
}

void weft__send_cancel(weft__send *s)
{
    weft__fd_slot *slot = s->slot;
    if (slot == NULL)
        return; /* cancelled already */
    weft__send **at = &slot->sends;
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    s->slot = NULL;
    s->next = NULL;
    slot->poller->ops->cancel(slot->poller, s);
}

/* ---- the scheduler's hook ---- */

static int idler_open(void **out)
{
    const weft__poller_ops *ops;
    weft__poller *p;
    int err = weft__poller_ops_by_name(NULL, &ops);
    if (err < 0 || (err = weft__poller_open(&p, ops, true)) < 0)
        return err;
    p->scheduler = true;
    *out = p;
    return 0;
}

static void idler_close(void *p)
{
    weft__poller_close(p);
}

/* The kernel may be short of something for a while. The scheduler goes on with what it has; a moment's rest keeps the
 * thread from asking all the time. */
static int rest(int err)
{
    static const uint32_t word;
    if (err != -ENOMEM && err != -EAGAIN && err != -EBUSY && err != -ENOBUFS)
        return err;
    weft__sys_futex_wait(&word, 0, weft__sys_now() + WEFT_MS, false);
    return 0;
}

static int idler_poll(void *p, int64_t until_ns)
{
    int n = weft__poller_run(p, weft__buffers_until(p, until_ns), ((weft__poller *)p)->ops->round);
    return likely(n >= 0) ? n : rest(n);
}

static void idler_interrupt(void *p)
{
    weft__poller_interrupt(p);
}

static unsigned idler_watched(void *p)
{
    return ((const weft__poller *)p)->slots;
}

static const weft__idler idler = {idler_open, idler_close, idler_poll, idler_interrupt, idler_close, idler_watched};

WEFT__FORK_TEXT static void after_fork_child(void)
{
    store_release(&weft__io_epoch, load_relaxed(&weft__io_epoch) + 1);
}

static void watch_fork(void)
{
    pthread_atfork(NULL, NULL, after_fork_child);
}

void weft__io_watch_fork(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch_fork);
}

int weft__io_start(void)
{
    if (likely(load_acquire(&weft__idler_ops) == &idler))
        return 0;
    const weft__poller_ops *ops;
    int err = weft__poller_ops_by_name(NULL, &ops);
    if (err < 0)
        return err;
    weft__io_watch_fork();
    choose(ops); /* another thread may have been first; then its choice holds */
    store_release(&weft__idler_ops, &idler);
    return 0;
}

int weft__poller_here(weft__poller **out)
{
    void *p;
    int err = weft__io_start();
    if (err < 0)
        return err;
    weft__thread_enter();
    err = weft__sched_poller(&p);
    weft__thread_leave();
    if (err == 0)
        *out = p;
    return err;
}
