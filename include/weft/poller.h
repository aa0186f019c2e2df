/* weft/poller.h - watching many descriptors at once: select, poll, epoll and io_uring behind one interface, and
 * waiting for a single descriptor.
 *
 *     weft_poller *p;
 *     int err = weft_poller_open(&p, "epoll");
 *     ...
 *     err = weft_poller_register(p, fd, WEFT_POLLIN, my_state);
 *     weft_poll_event events[64];
 *     int n = weft_poller_wait(p, events, 64, weft_in_ms(500));
 *     for (int i = 0; i < n; i++)
 *         handle(events[i].data, events[i].events);
 *
 * After fork a child's poller is its own: with its first call it watches what was registered and is still open there,
 * and nothing that it changes, nor its weft_poller_close, is seen by the parent.
 *
 * Programs that use streams (weft/stream.h) or a server (weft/server.h) need none of this: there each wait parks its
 * coroutine, and the process's scheduler threads have pollers of their own, of the kind that weft_io_use chose. */
#ifndef WEFT_POLLER_H
#define WEFT_POLLER_H

#include <weft/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What to wait for, and what came. The values are poll(2)'s. */
enum {
    WEFT_POLLIN = 1,        /* reading would not wait: bytes, a connection to accept, or the end of input */
    WEFT_POLLPRI = 2,       /* urgent data */
    WEFT_POLLOUT = 4,       /* writing would not wait */
    WEFT_POLLERR = 8,       /* an error is to be fetched; always told */
    WEFT_POLLHUP = 16,      /* both directions have ended; always told */
    WEFT_POLLRDHUP = 0x2000 /* the peer will send no more */
};

typedef struct weft_poller weft_poller;

typedef struct weft_poll_event {
    int fd;
    unsigned events; /* WEFT_POLL... */
    void *data;      /* as registered */
} weft_poll_event;

/* Make a poller. `kind`: "select" (descriptors 0 to 1023 only), "poll", "epoll", "epoll-et" (edge-triggered: tells a
 * change once), "uring" (io_uring; also edge-triggered, and may tell what came since the last wait although it has been
 * taken by now); NULL is "epoll". Where the kernel lacks io_uring, "uring" becomes epoll-et, with one warning on
 * standard error.
 * Returns 0 and *p, -EINVAL for an unknown kind, -EMFILE, -ENFILE or -ENOMEM. Allocates. */
WEFT_API int weft_poller_open(weft_poller **p, const char *kind);

/* End it. The descriptors stay open. Takes NULL. Nobody may be waiting in it. */
WEFT_API void weft_poller_close(weft_poller *p);

/* Which kind it is: "epoll", say. Static text. */
WEFT_API const char *weft_poller_kind(const weft_poller *p);

/* Watch fd for `events`; `data` comes back with each event. With 0 nothing is told, errors neither, until a modify.
 * Returns 0; -EEXIST: it is registered already; -EPERM: a plain file, which never waits; -EBADF; -EMFILE: "select" with
 * a descriptor above 1023; -ENOMEM. Not from two threads at once, and not while another waits in it. Allocates. */
WEFT_API int weft_poller_register(weft_poller *p, int fd, unsigned events, void *data);

/* Watch fd for other events from now on. 0, or -ENOENT when it is not registered; -EBADF: a forked child has closed it.
 * Otherwise as register. */
WEFT_API int weft_poller_modify(weft_poller *p, int fd, unsigned events, void *data);

/* Do not watch fd any more; do it before fd is closed. 0, or -ENOENT. Otherwise as register. */
WEFT_API int weft_poller_unregister(weft_poller *p, int fd);

/* What fd is registered for and with: 0 and *as (which may be NULL), or -ENOENT. Not while another registers. */
WEFT_API int weft_poller_find(const weft_poller *p, int fd, weft_poll_event *as);

/* How many descriptors are registered. */
WEFT_API unsigned weft_poller_count(const weft_poller *p);

/* Wait until a watched descriptor has an event, and store up to `max` of them (at least 1).
 * Returns how many; -ETIMEDOUT, -ECANCELED, -EINVAL for max < 1, or 0 after weft_poller_interrupt. Events beat
 * cancellation, which beats the deadline. With nothing registered it waits for the deadline.
 * From a thread or a coroutine (which parks); one at a time. Allocates nothing in a thread. */
WEFT_API int weft_poller_wait(weft_poller *p, weft_poll_event *events, int max, weft_until until);

/* The present wait, or else the next one, returns 0; while they have events, the first that has none. From any thread
 * or coroutine; safe in a signal handler. */
WEFT_API void weft_poller_interrupt(weft_poller *p);

/* Wait until fd is ready for one of `events` (WEFT_POLLIN | WEFT_POLLOUT).
 * Returns what it is ready for, with WEFT_POLLERR and WEFT_POLLHUP added; -ETIMEDOUT, -ECANCELED, -EBADF, -EMFILE
 * (select and a descriptor above 1023), -ENOMEM. Readiness beats cancellation, which beats the deadline; WEFT_NOW asks
 * and does not wait. From a thread (sleeps in the kernel) or a coroutine (parks). Any number of waiters a descriptor; a
 * descriptor must not be closed while one waits for it (streams can be). Allocates nothing in a thread. */
WEFT_API int weft_fd_wait(int fd, unsigned events, weft_until until);

/* Which kind of poller the scheduler threads use; overrides the environment's WEFT_POLLER. The default is "epoll-et".
 * Returns 0; -EINVAL for an unknown kind; -EBUSY: another kind is in use already. From any thread. */
WEFT_API int weft_io_use(const char *kind);

/* The kind in use, or the one that will be. Static text. */
WEFT_API const char *weft_io_kind(void);

#ifdef __cplusplus
}
#endif
#endif
