/* watch.h - waiting for descriptors: by a thread, by coroutines on one poller, and a *watch*, the registration that a
 * stream keeps so that its waits cost no system call. */
#ifndef WEFT_IO_WATCH_H
#define WEFT_IO_WATCH_H

#include "io/poller.h"
#include "park/park.h"

/* A descriptor registered with one poller, the coroutines that wait for it there, and what is known of it: `ready`
 * holds the events that are true as far as we know. Whoever finds otherwise (-EAGAIN, or a short read from TCP) clears
 * them, on the poller's thread, and then waits. All of it belongs to the poller's thread. */
typedef struct weft__watch {
    weft__fd_slot slot;
    weft__list waits;
    unsigned ready;
    bool mends; /* errors pass: of datagrams that were sent before */
} weft__watch;

/* Register, for the calling scheduler's poller. Everything is taken for ready until it is tried. As weft__slot_add. */
int weft__watch_open(weft__watch *w, weft__poller *p, int fd);
void weft__watch_close(weft__watch *w);

/* What was tried is not so: wait for it next time. But the end of input stays, and so do errors that do not pass: they
 * are told once only. */
static inline void weft__watch_clear(weft__watch *w, unsigned events)
{
    if (w->mends)
        w->ready &= ~(unsigned)WEFT_POLLERR;
    if (w->ready & (WEFT_POLLHUP | WEFT_POLLERR))
        return;
    if (w->ready & WEFT_POLLRDHUP)
        events &= ~(unsigned)WEFT_POLLIN;
    w->ready &= ~events;
}

/* Wait for one of `events` until the poller tells. Returns what came, -ETIMEDOUT, -ECANCELED, or what arming gave. */
int weft__watch_wait(weft__watch *w, unsigned events, weft_until until);

/* One descriptor of a wait for several. */
typedef struct weft__fd_case {
    int fd;
    unsigned events;
    unsigned got; /* result */
} weft__fd_case;

/* Wait until one of n descriptors is ready, without anything kept for the next time. Returns how many have `got`;
 * -ETIMEDOUT, -ECANCELED, -EBADF, -ENOMEM, -EMFILE. What is ready beats cancellation, which beats the deadline. */
int weft__fd_wait_any(weft__fd_case *cases, unsigned n, weft_until until);

/* weft__park_any that also ends when one of n descriptors (at least one) may be ready: then it returns ncases, and the
 * caller looks. Also -ENOMEM, -EMFILE; with -EBADF and -EPERM, too, a look tells more. In a thread shared words are
 * looked at in turns of 2 ms. */
int weft__fd_park_any(weft__case *words, unsigned nwords, const weft__fd_case *cases, unsigned n, weft_until until);

/* Only look. Returns how many have `got`, or -EBADF ... */
int weft__fd_look(weft__fd_case *cases, unsigned n);

/* An eventfd of the calling thread's own, for the while of one wait; or -errno. */
int weft__thread_eventfd(void);

/* Close it now and not when the thread ends: for a thread that tells others that it has ended before it has. */
void weft__thread_eventfd_close(void);

#endif
