/* poller_set.c - the public weft_poller: a back end of its own, a table of what is registered by descriptor, and a
 * wait that turns callbacks into an array of events.
 *
 * A thread sleeps in the back end itself; what cancels or interrupts it writes the back end's eventfd. A coroutine
 * sleeps in its scheduler's poller: for the descriptor of the back end if it has one (epoll, io_uring), else for all
 * that are registered. Then it asks the back end without sleeping.
 *
 * After fork the back end is the parent's: its epoll set or ring is one kernel object of both processes, in which the
 * child must neither take nor change anything. So the child's first call puts one of its own in its place, in which
 * the same is registered (settle). Until then an interrupt is only noted. */
#include "io/watch.h"

#include "base/panic.h"
#include "co/sched.h"
#include "sys/sys.h"

#include <errno.h>
#include <string.h>

typedef struct registration {
    weft__fd_slot slot;
    weft_poller *set;
    void *data;
} registration;

struct weft_poller {
    weft__poller *backend;
    uint32_t epoch;       /* atomic: weft__io_epoch of the process whose the back end is */
    registration **by_fd; /* NULL where nothing is registered */
    unsigned size;        /* of by_fd */
    unsigned registered;
    uint32_t interrupted; /* atomic: the next wait without events returns 0 */
    weft_poll_event *out; /* of the wait under way */
    int count;
};

int weft_poller_open(weft_poller **out, const char *kind)
{
    const weft__poller_ops *ops;
    int err = weft__poller_ops_by_name(kind != NULL ? kind : "epoll", &ops);
    if (err < 0)
        return err;
    weft_poller *set = weft__calloc(1, sizeof *set);
    if (set == NULL)
        return -ENOMEM;
    weft__io_watch_fork();
    set->epoch = load_relaxed(&weft__io_epoch);
    err = weft__poller_open(&set->backend, ops, false);
    if (err < 0) {
        weft__free(set);
        return err;
    }
    *out = set;
    return 0;
}

/* ---- after fork ---- */

static bool is_of_parent(const weft_poller *set)
{
    return unlikely(load_seq_cst(&set->epoch) != load_relaxed(&weft__io_epoch));
}

static int add(weft__poller *p, registration *r, unsigned events)
{
    int err = weft__slot_add(p, &r->slot, events);
    if (err == 0)
        weft__slot_tell_ends(&r->slot);
    return err;
}

/* Take out what is not open any more: before there is a new back end, whose descriptors get the free numbers. */
static WEFT__COLD void leave_closed(weft_poller *set)
{
    for (unsigned fd = 0; fd < set->size; fd++) {
        weft__fd_case look = {.fd = (int)fd};
        if (set->by_fd[fd] != NULL && weft__fd_look(&look, 1) < 0)
            set->by_fd[fd]->slot.poller = NULL;
    }
}

/* A back end of this process's own. Of what the child has closed meanwhile nothing is told any more, though it is to be
 * unregistered still. 0, or -errno, and nothing has changed. */
static WEFT__COLD int replace_backend(weft_poller *set)
{
    weft__poller *own, *parents = set->backend;
    leave_closed(set);
    int err = weft__poller_open(&own, parents->ops, false);
    if (err < 0)
        return err;
    set->backend = own;
    for (unsigned fd = 0; fd < set->size; fd++)
        if (set->by_fd[fd] != NULL && set->by_fd[fd]->slot.poller != NULL)
            (void)add(own, set->by_fd[fd], set->by_fd[fd]->slot.events);
    weft__poller_close(parents);
    store_seq_cst(&set->epoch, load_relaxed(&weft__io_epoch)); /* before the look at `interrupted` */
    return 0;
}

static int settle(weft_poller *set)
{
    return is_of_parent(set) ? replace_backend(set) : 0;
}

/* ---- the end ---- */

static void drop(weft_poller *set, int fd)
{
    registration *r = set->by_fd[fd];
    weft__slot_remove(&r->slot);
    weft__free(r);
    set->by_fd[fd] = NULL;
    set->registered--;
}

void weft_poller_close(weft_poller *set)
{
    if (set == NULL)
        return;
    bool parents = is_of_parent(set);
    for (unsigned fd = 0; fd < set->size; fd++) {
        if (set->by_fd[fd] != NULL && parents)
            weft__free(set->by_fd[fd]);
        else if (set->by_fd[fd] != NULL)
            drop(set, (int)fd);
    }
    if (!parents)
        weft__poller_let_go(set->backend); /* a ring that is closed takes its time */
    weft__poller_close(set->backend);
    weft__free(set->by_fd);
    weft__free(set);
}

const char *weft_poller_kind(const weft_poller *set)
{
    return set->backend->ops->name;
}

/* ---- registering ---- */

static registration *find(const weft_poller *set, int fd)
{
    return fd >= 0 && (unsigned)fd < set->size ? set->by_fd[fd] : NULL;
}

static int make_room(weft_poller *set, int fd)
{
    unsigned size = set->size > 0 ? set->size : 64;
    while (size <= (unsigned)fd)
        size *= 2;
    if (size == set->size)
        return 0;
    registration **grown = weft__realloc(set->by_fd, size * sizeof(registration *));
    if (grown == NULL)
        return -ENOMEM;
    memset(grown + set->size, 0, (size - set->size) * sizeof(registration *));
    set->by_fd = grown;
    set->size = size;
    return 0;
}

static void collect(weft__fd_slot *slot, unsigned events)
{
    registration *r = container_of(slot, registration, slot);
    r->set->out[r->set->count++] = (weft_poll_event){.fd = slot->fd, .events = events, .data = r->data};
}

static const weft__slot_fn set_fn = {.event = collect};

int weft_poller_register(weft_poller *set, int fd, unsigned events, void *data)
{
    if (fd < 0)
        return -EBADF;
    if (find(set, fd) != NULL)
        return -EEXIST;
    weft__fd_case look = {.fd = fd};
    int err = settle(set);
    if (err == 0)
        err = weft__fd_look(&look, 1); /* select, poll and io_uring would find out late that it is not open */
    if (err >= 0)
        err = make_room(set, fd);
    if (err < 0)
        return err;
    registration *r = weft__calloc(1, sizeof *r);
    if (r == NULL)
        return -ENOMEM;
    r->set = set;
    r->data = data;
    r->slot.fn = &set_fn;
    r->slot.fd = fd;
    err = add(set->backend, r, events);
    if (err < 0) {
        weft__free(r);
        return err;
    }
    set->by_fd[fd] = r;
    set->registered++;
    return 0;
}

int weft_poller_modify(weft_poller *set, int fd, unsigned events, void *data)
{
    registration *r = find(set, fd);
    if (r == NULL)
        return -ENOENT;
    int err = settle(set);
    if (err == 0 && r->slot.poller == NULL)
        err = -EBADF; /* see replace_backend */
    if (err == 0)
        err = weft__slot_want(&r->slot, events);
    if (err == 0)
        r->data = data;
    return err;
}

int weft_poller_unregister(weft_poller *set, int fd)
{
    if (find(set, fd) == NULL)
        return -ENOENT;
    int err = settle(set);
    if (err < 0)
        return err;
    drop(set, fd);
    weft__poller_let_go(set->backend);
    return 0;
}

int weft_poller_find(const weft_poller *set, int fd, weft_poll_event *as)
{
    const registration *r = find(set, fd);
    if (r == NULL)
        return -ENOENT;
    if (as != NULL)
        *as = (weft_poll_event){.fd = fd, .events = r->slot.events, .data = r->data};
    return 0;
}

unsigned weft_poller_count(const weft_poller *set)
{
    return set->registered;
}

/* ---- waiting ---- */

void weft_poller_interrupt(weft_poller *set)
{
    int kept = errno; /* may be called in a signal handler */
    store_seq_cst(&set->interrupted, 1u);
    if (!is_of_parent(set))
        weft__poller_interrupt(set->backend);
    errno = kept;
}

/* Ask the back end. Returns events found, 0 or -errno. */
static int ask(weft_poller *set, weft_poll_event *events, int max, int64_t until_ns)
{
    set->out = events;
    set->count = 0;
    int n = weft__poller_run(set->backend, until_ns, (unsigned)max);
    return n < 0 ? n : set->count;
}

static bool is_interrupted(const weft_poller *set)
{
    return load_seq_cst(&set->interrupted) != 0;
}

static bool take_interrupt(weft_poller *set)
{
    return is_interrupted(set) && swap_acq_rel(&set->interrupted, 0u) != 0;
}

static int wait_as_thread(weft_poller *set, weft_poll_event *events, int max, weft_until until)
{
    weft__waiter *self = weft__self();
    int n;
    bool cancelled;
    do {
        store_release(&self->wake_fd, set->backend->interrupt_fd);
        weft__wait_begin(self, false);
        fence_seq_cst(); /* WAITING before the look at `cancel` */
        store_relaxed(&self->what, "poller");
        store_relaxed(&self->word, &set->interrupted);
        /* An interrupt that came together with events has woken the wait that gave those; it is still to be told. */
        n = ask(set, events, max, weft__wait_cancelled(self) || is_interrupted(set) ? 0 : until.at);
        store_relaxed(&self->word, NULL);
        cancelled = weft__wait_abandon(self) == WEFT__CANCELLED || weft__wait_cancelled(self);
        store_release(&self->wake_fd, -1);
        if (n != 0)
            return n;
        if (cancelled)
            return -ECANCELED;
        if (take_interrupt(set))
            return 0;
    } while (weft_left(until) > 0);
    return -ETIMEDOUT;
}

/* Whether the back end may still tell something of it: not of what it has found closed. */
static bool is_watched(const registration *r)
{
    return r != NULL && r->slot.poller != NULL && r->slot.armed != 0;
}

/* Park until there may be something to ask for. 0, -ETIMEDOUT, -ECANCELED, -ENOMEM ... */
static int park_for(weft_poller *set, weft_until until)
{
    int fd = set->backend->ops->pollable(set->backend);
    if (fd >= 0) {
        int n = weft_fd_wait(fd, WEFT_POLLIN, until);
        return n < 0 ? n : 0;
    }
    weft__fd_case *cases = weft__malloc((set->registered + 1) * sizeof *cases);
    if (cases == NULL)
        return -ENOMEM;
    unsigned n = 0;
    cases[n++] = (weft__fd_case){.fd = set->backend->interrupt_fd, .events = WEFT_POLLIN};
    for (unsigned i = 0; i < set->size; i++)
        if (is_watched(set->by_fd[i]))
            cases[n++] = (weft__fd_case){.fd = (int)i, .events = set->by_fd[i]->slot.events};
    int err = weft__fd_wait_any(cases, n, until);
    weft__free(cases);
    return err < 0 && err != -EBADF ? err : 0; /* a closed descriptor is the back end's to tell */
}

static int wait_as_coroutine(weft_poller *set, weft_poll_event *events, int max, weft_until until)
{
    for (int err = 0;;) {
        int n = ask(set, events, max, 0);
        if (n != 0)
            return n;
        if (err < 0)
            return err;
        if (take_interrupt(set))
            return 0;
        err = park_for(set, until);
    }
}

int weft_poller_wait(weft_poller *set, weft_poll_event *events, int max, weft_until until)
{
    if (max < 1)
        return -EINVAL;
    int err = settle(set);
    if (err < 0)
        return err;
    if (weft_co_self() != NULL)
        return wait_as_coroutine(set, events, max, until);
    if (weft__sched_self != NULL && until.at > 0)
        weft__panic("a callback on a scheduler thread's own stack must not wait in a poller; start a coroutine for it");
    return wait_as_thread(set, events, max, until);
}
