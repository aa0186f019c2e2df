/* watch.c - waiting for descriptors. See watch.h.
 *
 * A coroutine stands in the list of a watch and parks; the poller's callback, on the same thread, claims it
 * (waiter.h) and makes it ready. So lists and `ready` need no lock, and nothing can come between a failed try and the
 * wait: events are told by a later poll of this very thread.
 * All who wait for what came are woken; each tries, and those who find nothing wait again.
 * Waits without a watch (weft__fd_wait_any) share one for each descriptor and poller while they last, because a
 * poller takes a descriptor once. If a stream holds that place, a duplicate of the descriptor is waited for.
 * A thread sleeps in ppoll for the descriptors and for an eventfd that its canceller or waker writes.
 * Both may wait for words besides (weft__fd_park_any): then a descriptor is one more reason to wake, after
 * the words'. */
#include "io/watch.h"

#include "base/panic.h"
#include "co/sched.h"
#include "sys/multiplex.h"
#include "sys/net.h"
#include "sys/sys.h"

#include <errno.h>
#include <pthread.h>

enum {
    ERRORS = WEFT_POLLERR | WEFT_POLLHUP,
    FEW = 8, /* descriptors for which a wait needs no allocation */
    TURN = 2 * WEFT_MS
};

/* One place in the list of one watch; lies on the stack of who waits. */
typedef struct wait_entry {
    weft__list node;
    weft__waiter *waiter;
    unsigned events;
    unsigned got;
    unsigned reason; /* WEFT__WOKEN(reason) */
} wait_entry;

/* ---- a watch ---- */

static unsigned wanted_by_all(const weft__watch *w)
{
    unsigned events = 0;
    list_each (node, &w->waits)
        events |= container_of(node, wait_entry, node)->events;
    return events;
}

static void watch_event(weft__fd_slot *slot, unsigned events)
{
    weft__watch *w = container_of(slot, weft__watch, slot);
    bool woken = false;
    w->ready |= events;
    if (events & (ERRORS | WEFT_POLLRDHUP))
        w->ready |= WEFT_POLLIN;
    if (events & ERRORS)
        w->ready |= WEFT_POLLOUT;
    list_each_safe (node, &w->waits) {
        wait_entry *entry = container_of(node, wait_entry, node);
        unsigned got =
            (events & (entry->events | ERRORS)) | (events & WEFT_POLLRDHUP ? entry->events & WEFT_POLLIN : 0);
        if (got == 0)
            continue;
        entry->got |= got;
        list_remove(node);
        woken = true;
        if (weft__waiter_claim(entry->waiter, WEFT__WOKEN(entry->reason)))
            weft__waiter_ready(entry->waiter);
    }
    /* Who was woken will soon wait again; but what nobody waits for would be told in every round. */
    if (!woken && !slot->poller->ops->edge)
        weft__slot_want(slot, wanted_by_all(w));
}

static const weft__slot_fn watch_fn = {.event = watch_event};

static int open_for(weft__watch *w, weft__poller *p, int fd, unsigned events)
{
    w->slot.fn = &watch_fn;
    w->slot.fd = fd;
    w->ready = ~0u & ~(unsigned)(ERRORS | WEFT_POLLRDHUP);
    list_init(&w->waits);
    return weft__slot_add(p, &w->slot, events);
}

int weft__watch_open(weft__watch *w, weft__poller *p, int fd)
{
    return open_for(w, p, fd, p->ops->edge ? WEFT_POLLIN | WEFT_POLLOUT | WEFT_POLLRDHUP : 0);
}

void weft__watch_close(weft__watch *w)
{
    weft__poller *p = w->slot.poller;
    weft__slot_remove(&w->slot);
    if (p != NULL)
        weft__poller_let_go(p);
}

/* Stand in the list, and see to it that the poller looks for these events. */
static int enter_list(weft__watch *w, wait_entry *entry, bool tell_again)
{
    entry->got = 0;
    list_push_back(&w->waits, &entry->node);
    unsigned events = w->slot.events;
    if (!tell_again && (entry->events & ~events) == 0)
        return 0;
    int err = weft__slot_want(&w->slot, events | entry->events);
    if (err < 0)
        list_remove(&entry->node);
    return err;
}

static weft__waiter *begin_wait(const weft__fd_slot *slot, const char *what)
{
    weft__waiter *self = weft__self();
    weft__wait_begin(self, false);
    fence_seq_cst(); /* WAITING before the look at `cancel` */
    store_relaxed(&self->what, what);
    store_relaxed(&self->word, (const uint32_t *)(const void *)&slot->fd);
    return self;
}

int weft__watch_wait(weft__watch *w, unsigned events, weft_until until)
{
    wait_entry entry = {.waiter = weft__self(), .events = events};
    weft__thread_enter();
    int err = enter_list(w, &entry, false);
    weft__thread_leave();
    if (err < 0)
        return err;
    weft__waiter *self = begin_wait(&w->slot, events & WEFT_POLLOUT ? "sending" : "receiving");
    uint32_t why = weft__wait_block(self, until.at);
    store_relaxed(&self->word, NULL);
    weft__thread_enter();
    list_remove(&entry.node);
    weft__thread_leave();
    return why >= WEFT__WOKEN0 ? (int)entry.got : why == WEFT__CANCELLED ? -ECANCELED : -ETIMEDOUT;
}

/* ---- coroutines, without a watch of their own ---- */

/* The watch that those who wait for one descriptor in one poller share. */
struct weft__shared_watch {
    weft__watch watch;
    struct weft__shared_watch *next;
    unsigned users;
    int fd;
    int copy; /* a duplicate of fd that is watched in its place, by one user only; -1: none */
};

typedef struct weft__shared_watch shared_watch;

static shared_watch **find_shared(weft__poller *p, int fd)
{
    shared_watch **at = &p->shared[(unsigned)fd % WEFT__ARRAY_LEN(p->shared)];
    while (*at != NULL && ((*at)->fd != fd || (*at)->copy >= 0))
        at = &(*at)->next;
    return at;
}

/* Register for fd in p. */
static int open_shared(weft__poller *p, shared_watch *s, int fd, unsigned events)
{
    s->fd = fd;
    s->copy = -1;
    int err = open_for(&s->watch, p, fd, events);
    if (err != -EEXIST)
        return err;
    int copy = weft__sys_dup(fd);
    if (copy < 0)
        return copy;
    err = open_for(&s->watch, p, copy, events);
    if (err < 0)
        weft__sys_close(copy);
    else
        s->copy = copy;
    return err;
}

/* Enter the list of fd's shared watch, which is made if there is none. */
static int join_shared(weft__poller *p, int fd, wait_entry *entry, shared_watch **out)
{
    shared_watch **at = find_shared(p, fd), *s = *at;
    if (s != NULL) {
        int err = enter_list(&s->watch, entry, true);
        if (err == 0) {
            s->users++;
            *out = s;
        }
        return err;
    }
    s = weft__malloc(sizeof *s);
    if (s == NULL)
        return -ENOMEM;
    int err = open_shared(p, s, fd, entry->events);
    if (err == 0)
        err = enter_list(&s->watch, entry, false);
    if (err < 0) {
        weft__free(s);
        return err;
    }
    weft__slot_tell_ends(&s->watch.slot);
    s->users = 1;
    s->next = *at;
    *at = s;
    *out = s;
    return 0;
}

static void leave_shared(weft__poller *p, shared_watch *s, wait_entry *entry)
{
    list_remove(&entry->node);
    if (--s->users > 0)
        return;
    shared_watch **at = &p->shared[(unsigned)s->fd % WEFT__ARRAY_LEN(p->shared)];
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    weft__slot_remove(&s->watch.slot);
    if (s->copy >= 0)
        weft__sys_close(s->copy);
    weft__free(s);
}

typedef struct place {
    wait_entry entry;
    shared_watch *shared;
} place;

/* Stand in the lists of all, for this reason. *entered: how many of them. */
static int enter_places(weft__poller *p, place *places, const weft__fd_case *cases, unsigned n, unsigned reason,
                        unsigned *entered)
{
    int err = 0;
    for (*entered = 0; *entered < n; ++*entered) {
        place *at = &places[*entered];
        *at = (place){.entry = {.waiter = weft__self(), .events = cases[*entered].events, .reason = reason}};
        list_init(&at->entry.node);
        err = join_shared(p, cases[*entered].fd, &at->entry, &at->shared);
        if (err < 0)
            break;
    }
    return err;
}

/* Returns how many have `got`, 0 when that has to be looked up, or why it was not woken. */
static int wait_in_places(weft__poller *p, place *places, weft__fd_case *cases, unsigned n, weft_until until)
{
    unsigned entered;
    int count = 0;
    uint32_t why = WEFT__WOKEN0;
    weft__thread_enter();
    int err = enter_places(p, places, cases, n, 0, &entered);
    if (err == 0) {
        weft__waiter *self = begin_wait(&places[0].shared->watch.slot, "descriptor");
        weft__thread_leave();
        why = weft__wait_block(self, until.at);
        weft__thread_enter();
        store_relaxed(&self->word, NULL);
    }
    bool unclear = false;
    while (entered-- > 0) {
        leave_shared(p, places[entered].shared, &places[entered].entry);
        cases[entered].got = places[entered].entry.got;
        count += cases[entered].got != 0;
        unclear |= (cases[entered].got & ERRORS) != 0; /* was it closed? */
    }
    weft__thread_leave();
    if (err < 0)
        return err == -EPERM ? 0 : err; /* a file: it never waits */
    if (why < WEFT__WOKEN0)
        return why == WEFT__CANCELLED ? -ECANCELED : -ETIMEDOUT;
    return unclear ? 0 : count;
}

static int wait_as_coroutine(weft__fd_case *cases, unsigned n, weft_until until)
{
    weft__poller *p;
    place few[FEW], *places = few;
    int err = weft__poller_here(&p);
    if (err < 0)
        return err;
    if (n > FEW && (places = weft__malloc(n * sizeof *places)) == NULL)
        return -ENOMEM;
    do {
        err = wait_in_places(p, places, cases, n, until);
        if (err == 0 || err == -ETIMEDOUT || err == -ECANCELED) { /* what is so now beats both */
            int count = weft__fd_look(cases, n);
            err = count != 0 ? count : err;
        }
    } while (err == 0); /* somebody else took it */
    if (places != few)
        weft__free(places);
    return err;
}

static int park_in_places(weft__case *words, unsigned nwords, const weft__fd_case *cases, unsigned n, weft_until until)
{
    weft__poller *p;
    place few[FEW], *places = few;
    unsigned entered;
    int err = weft__poller_here(&p);
    if (err < 0)
        return err;
    if (n > FEW && (places = weft__malloc(n * sizeof *places)) == NULL)
        return -ENOMEM;
    weft__thread_enter();
    err = enter_places(p, places, cases, n, nwords, &entered);
    weft__thread_leave();
    if (err == 0)
        err = weft__park_any(words, nwords, until, 0);
    weft__thread_enter();
    while (entered-- > 0)
        leave_shared(p, places[entered].shared, &places[entered].entry);
    weft__thread_leave();
    if (places != few)
        weft__free(places);
    return err;
}

/* ---- threads ---- */

static WEFT__TLS int own_eventfd; /* + 1; 0: none yet */
static WEFT__TLS uint32_t own_epoch;
static pthread_key_t own_end;
static pthread_once_t own_once = PTHREAD_ONCE_INIT;
static bool own_has_key;

static void close_own(void *unused)
{
    (void)unused;
    if (own_eventfd > 0)
        weft__sys_close(own_eventfd - 1);
    own_eventfd = 0;
}

void weft__thread_eventfd_close(void)
{
    close_own(NULL);
}

static void make_key(void)
{
    own_has_key = pthread_key_create(&own_end, close_own) == 0;
}

int weft__thread_eventfd(void)
{
    uint32_t epoch = load_relaxed(&weft__io_epoch);
    if (own_eventfd > 0 && own_epoch == epoch)
        return own_eventfd - 1;
    weft__io_watch_fork(); /* the parent's eventfd must not be shared */
    close_own(NULL);
    int fd = weft__sys_eventfd();
    if (fd < 0)
        return fd;
    pthread_once(&own_once, make_key);
    if (own_has_key)
        pthread_setspecific(own_end, &own_eventfd);
    own_epoch = epoch;
    own_eventfd = fd + 1;
    return fd;
}

/* From poll's form; fds[0..n) are the cases'. Returns how many are ready, or -EBADF. */
static int take_results(weft__fd_case *cases, const struct pollfd *fds, unsigned n)
{
    int count = 0;
    for (unsigned i = 0; i < n; i++) {
        if (fds[i].revents & POLLNVAL)
            return -EBADF;
        cases[i].got = (unsigned short)fds[i].revents;
        count += cases[i].got != 0;
    }
    return count;
}

static void fill(struct pollfd *fds, const weft__fd_case *cases, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        fds[i] = (struct pollfd){.fd = cases[i].fd, .events = (short)cases[i].events};
}

typedef struct poll_sleep {
    struct pollfd *fds; /* n, and the eventfd */
    unsigned n;
    int count;    /* poll's, of the n: how many are ready, or the error */
    bool claimed; /* somebody else ended the wait */
} poll_sleep;

static bool shared_word_differs(const weft__case *words, unsigned nwords, unsigned *which)
{
    for (unsigned i = 0; i < nwords; i++)
        if ((words[i].flags & WEFT__SHARED_WORD) && load_seq_cst(words[i].word) != words[i].expected) {
            *which = i;
            return true;
        }
    return false;
}

/* For weft__park_any_with: sleep in poll. */
static uint32_t block_in_poll(weft__waiter *self, const weft__case *words, unsigned nwords, int64_t until_ns, void *arg)
{
    poll_sleep *s = arg;
    bool shared = false;
    unsigned which = nwords;
    for (unsigned i = 0; i < nwords; i++)
        shared |= (words[i].flags & WEFT__SHARED_WORD) != 0;
    if (nwords == 0) {
        store_relaxed(&self->what, "descriptor");
        store_relaxed(&self->word, (const uint32_t *)(const void *)&s->fds[0].fd);
    }
    for (;;) {
        int64_t turn = shared ? weft__sys_now() + TURN : INT64_MAX;
        bool last = turn >= until_ns || weft__wait_cancelled(self);
        s->count = weft__sys_poll(s->fds, s->n + 1, weft__wait_cancelled(self) ? 0 : last ? until_ns : turn);
        if (shared && shared_word_differs(words, nwords, &which))
            break;
        if (s->count != -EINTR && (s->count != 0 || last))
            break;
    }
    uint32_t why = weft__wait_abandon(self);
    s->claimed = why != WEFT__IDLE;
    if (s->count > 0 && s->fds[s->n].revents != 0)
        s->count--;
    if (why >= WEFT__WOKEN0)
        return why;
    if (which < nwords)
        return WEFT__WOKEN(which);
    if (s->count != 0)
        return WEFT__WOKEN(nwords);
    return why == WEFT__CANCELLED || weft__wait_cancelled(self) ? WEFT__CANCELLED : WEFT__TIMEDOUT;
}

/* weft__park_any as a thread that also sleeps for the descriptors; fds has room for one more. Returns nwords for these,
 * with poll's count. */
static int park_in_poll(weft__case *words, unsigned nwords, struct pollfd *fds, unsigned n, weft_until until,
                        int *count)
{
    weft__waiter *self = weft__self();
    int wake_fd = weft__thread_eventfd();
    *count = 0;
    if (wake_fd < 0)
        return wake_fd;
    fds[n] = (struct pollfd){.fd = wake_fd, .events = POLLIN};
    poll_sleep s = {.fds = fds, .n = n};
    store_release(&self->wake_fd, wake_fd);
    int r = weft__park_any_with(words, nwords, until, 0, block_in_poll, &s);
    store_release(&self->wake_fd, -1);
    if (s.claimed || (r >= 0 && (unsigned)r < nwords) || r == -ECANCELED)
        weft__sys_eventfd_clear(wake_fd);
    *count = s.count;
    return r;
}

static int wait_as_thread(weft__fd_case *cases, unsigned n, weft_until until)
{
    struct pollfd few[FEW + 1], *fds = few;
    if (n > FEW && (fds = weft__malloc((n + 1) * sizeof *fds)) == NULL)
        return -ENOMEM;
    fill(fds, cases, n);
    int count, err = park_in_poll(NULL, 0, fds, n, until, &count);
    if (err == 0)
        err = count < 0 ? count : take_results(cases, fds, n);
    if (fds != few)
        weft__free(fds);
    return err;
}

static int park_as_thread(weft__case *words, unsigned nwords, const weft__fd_case *cases, unsigned n, weft_until until)
{
    struct pollfd few[FEW + 1], *fds = few;
    if (n > FEW && (fds = weft__malloc((n + 1) * sizeof *fds)) == NULL)
        return -ENOMEM;
    fill(fds, cases, n);
    int count, r = park_in_poll(words, nwords, fds, n, until, &count);
    if (r == (int)nwords && count < 0)
        r = count;
    if (fds != few)
        weft__free(fds);
    return r;
}

/* ---- either ---- */

int weft__fd_look(weft__fd_case *cases, unsigned n)
{
    struct pollfd few[FEW], *fds = few;
    if (n > FEW && (fds = weft__malloc(n * sizeof *fds)) == NULL)
        return -ENOMEM;
    fill(fds, cases, n);
    int count;
    do
        count = weft__sys_poll(fds, n, 0);
    while (count == -EINTR);
    if (count >= 0)
        count = take_results(cases, fds, n);
    if (fds != few)
        weft__free(fds);
    return count;
}

static void must_not_be_own_stack(void)
{
    if (weft__sched_self != NULL)
        weft__panic(
            "a callback on a scheduler thread's own stack must not wait for a descriptor; start a coroutine for it");
}

int weft__fd_park_any(weft__case *words, unsigned nwords, const weft__fd_case *cases, unsigned n, weft_until until)
{
    if (weft_co_self() != NULL)
        return park_in_places(words, nwords, cases, n, until);
    must_not_be_own_stack();
    return park_as_thread(words, nwords, cases, n, until);
}

int weft__fd_wait_any(weft__fd_case *cases, unsigned n, weft_until until)
{
    if (until.at <= 0) {
        int count = weft__fd_look(cases, n);
        return count != 0 ? count : weft__wait_cancelled(weft__self()) ? -ECANCELED : -ETIMEDOUT;
    }
    if (weft_co_self() != NULL)
        return wait_as_coroutine(cases, n, until);
    must_not_be_own_stack();
    return wait_as_thread(cases, n, until);
}

int weft_fd_wait(int fd, unsigned events, weft_until until)
{
    weft__fd_case one = {.fd = fd, .events = events};
    if (fd < 0)
        return -EBADF;
    int count = weft__fd_wait_any(&one, 1, until);
    return count < 0 ? count : (int)one.got;
}
