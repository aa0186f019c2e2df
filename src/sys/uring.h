/* uring.h - the few io_uring operations that weft uses, over liburing. Built without liburing, open is -ENOSYS and
 * nothing else is ever called.
 *
 * Operations are queued here and reach the kernel together in the next weft__uring_enter, which is one system call; a
 * full queue is handed over at once. Each carries a tag, which comes back with every result. A multishot operation
 * gives results until one without `more`. One thread at a time; with one_thread the opener's only, which is faster. */
#ifndef WEFT_SYS_URING_H
#define WEFT_SYS_URING_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

typedef struct weft__uring weft__uring;

typedef struct weft__uring_event {
    uint64_t tag;
    int32_t result;
    int32_t buffer; /* the provided buffer it came in; -1: none */
    bool more;      /* the operation goes on */
} weft__uring_event;

/* Returns 1 (all of the below works: Linux 6.1, one_thread), 0 (only poll and cancel do: 5.13), or -ENOSYS (no
 * io_uring, or an older one), -EPERM (forbidden), -EMFILE, -ENOMEM. */
int weft__uring_open(weft__uring **r, unsigned entries, bool one_thread);
void weft__uring_close(weft__uring *r);

/* The ring's descriptor: readable when results are there. */
int weft__uring_fd(const weft__uring *r);

/* Hand over what is queued, and wait until there is a result or until_ns (<= 0: do not wait; then no system call is
 * made when there is nothing to hand over or to fetch). 0, or -EINTR, -EAGAIN, -EBUSY (too much under way), -ENOMEM. */
int weft__uring_enter(weft__uring *r, int64_t until_ns);

/* Take the next result. False: there is none. */
bool weft__uring_next(weft__uring *r, weft__uring_event *e);

/* Queue an operation. 0, or the error of handing over a full queue. */
int weft__uring_poll(weft__uring *r, int fd, unsigned events, bool multishot, uint64_t tag);
int weft__uring_recv(weft__uring *r, int fd, uint64_t tag);   /* multishot, into provided buffers */
int weft__uring_accept(weft__uring *r, int fd, uint64_t tag); /* multishot; sockets non-blocking and close-on-exec */
int weft__uring_send(weft__uring *r, int fd, const struct msghdr *msg, int flags, uint64_t tag); /* at least a byte */
int weft__uring_cancel(weft__uring *r, uint64_t target, uint64_t tag);

/* How many operations were queued so far, and whether the one that made it `serial` is still here. */
uint32_t weft__uring_serial(const weft__uring *r);
bool weft__uring_is_queued(const weft__uring *r, uint32_t serial);

/* Operations with this tag, under the mask, that are still here must not reach their descriptor, which is about to be
 * closed and its number to be another's: their result will be -EBADF. */
void weft__uring_withdraw(weft__uring *r, uint64_t tag, uint64_t mask);

/* Provided buffers: a ring of `entries` places (a power of 2) that the kernel takes from. -EINVAL before 5.19. */
int weft__uring_buffers_open(weft__uring *r, unsigned entries);

/* Put a buffer in the ring; `id` below 65536 names it. The caller keeps count: at most `entries` are in it. publish
 * shows them to the kernel. */
void weft__uring_buffer_put(weft__uring *r, void *data, unsigned size, unsigned id);
void weft__uring_buffer_publish(weft__uring *r);

#endif
