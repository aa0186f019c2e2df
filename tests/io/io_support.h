/* io_support.h - one test body under every back end, and the sockets that such bodies need. */
#ifndef TESTS_IO_IO_SUPPORT_H
#define TESTS_IO_IO_SUPPORT_H

#include <weft/poller.h>
#include <weft/stream.h>

#include "harness/harness.h"
#include "io/poller.h"
#include "io/ready.h"
#include "sys/net.h"
#include "sys/sys.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* A case for each back end: name_select, name_poll ... The body gets the back end's name; "uring-old" is io_uring as
 * before Linux 6.1, where it tells readiness only. */
#define TEST_BACKENDS(name) TEST_BACKENDS_LIMIT(TEST_DEFAULT_LIMIT, name)
#define TEST_BACKENDS_LIMIT(seconds, name)                                                                             \
    static void name(const char *kind);                                                                                \
    TEST_LIMIT(seconds, name##_select)                                                                                 \
    {                                                                                                                  \
        name("select");                                                                                                \
    }                                                                                                                  \
    TEST_LIMIT(seconds, name##_poll)                                                                                   \
    {                                                                                                                  \
        name("poll");                                                                                                  \
    }                                                                                                                  \
    TEST_LIMIT(seconds, name##_epoll)                                                                                  \
    {                                                                                                                  \
        name("epoll");                                                                                                 \
    }                                                                                                                  \
    TEST_LIMIT(seconds, name##_epoll_et)                                                                               \
    {                                                                                                                  \
        name("epoll-et");                                                                                              \
    }                                                                                                                  \
    TEST_LIMIT(seconds, name##_uring)                                                                                  \
    {                                                                                                                  \
        name("uring");                                                                                                 \
    }                                                                                                                  \
    TEST_LIMIT(seconds, name##_uring_old)                                                                              \
    {                                                                                                                  \
        name("uring-old");                                                                                             \
    }                                                                                                                  \
    static void name(__attribute__((unused)) const char *kind)

/* A case in a thread, and one in a coroutine over each back end. The body gets `t`. */
#define TEST_WAITERS(name) TEST_WAITERS_LIMIT(TEST_DEFAULT_LIMIT, name)
#define TEST_WAITERS_LIMIT(seconds, name)                                                                              \
    static void name(test *t);                                                                                         \
    TEST_IN_LIMIT(seconds, THREAD, name##_in)                                                                          \
    {                                                                                                                  \
        name(t);                                                                                                       \
    }                                                                                                                  \
    TEST_IN_LIMIT(seconds, CO, name##_select)                                                                          \
    {                                                                                                                  \
        io_use("select");                                                                                              \
        name(t);                                                                                                       \
        io_settle();                                                                                                   \
    }                                                                                                                  \
    TEST_IN_LIMIT(seconds, CO, name##_poll)                                                                            \
    {                                                                                                                  \
        io_use("poll");                                                                                                \
        name(t);                                                                                                       \
        io_settle();                                                                                                   \
    }                                                                                                                  \
    TEST_IN_LIMIT(seconds, CO, name##_epoll)                                                                           \
    {                                                                                                                  \
        io_use("epoll");                                                                                               \
        name(t);                                                                                                       \
        io_settle();                                                                                                   \
    }                                                                                                                  \
    TEST_IN_LIMIT(seconds, CO, name##_epoll_et)                                                                        \
    {                                                                                                                  \
        io_use("epoll-et");                                                                                            \
        name(t);                                                                                                       \
        io_settle();                                                                                                   \
    }                                                                                                                  \
    TEST_IN_LIMIT(seconds, CO, name##_uring)                                                                           \
    {                                                                                                                  \
        io_use("uring");                                                                                               \
        name(t);                                                                                                       \
        io_settle();                                                                                                   \
    }                                                                                                                  \
    static void name(__attribute__((unused)) test *t)

/* Make it the process's kind (of uring-old: uring); skips the case where the kernel lacks it. */
void io_use(const char *kind);

/* A poller of this kind for the calling thread; skips the case where the kernel lacks it. */
weft__poller *io_open(const char *kind);

/* A deadline that a sound test never reaches. */
weft_until io_patience(void);

/* Run p until *flag is at least n; fails the case when that takes too long. */
void io_run_until(weft__poller *p, const int *flag, int n);
void io_run_until_bytes(weft__poller *p, const size_t *bytes, size_t n);

/* Run p until it has nothing to tell. */
void io_run_dry(weft__poller *p);

/* Streams that were closed by the calling thread away from their home have been taken apart there. */
void io_settle(void);

/* A connected pair of TCP sockets on loopback, non-blocking. */
void io_tcp_pair(int fds[2]);

/* A poller with a slot on the first end of such a pair; and the end of all that. */
weft__poller *io_open_on_pair(const char *kind, weft__fd_slot *slot, const weft__slot_fn *fn, unsigned events,
                              int fds[2]);
void io_close_on_pair(weft__poller *p, weft__fd_slot *slot, int fds[2]);

/* A listening TCP socket on loopback, and a non-blocking connection to it. */
int io_listener(void);
int io_connection_to(int listener);

/* Both ends of a connection as streams. `options` may be NULL. */
typedef struct io_pair {
    weft_stream *a, *b;
} io_pair;
io_pair io_stream_pair(const weft_tcp_options *options);
void io_close_pair(io_pair p);

/* Write or read exactly so much with blocking patience. */
void io_write(int fd, const void *data, size_t size);
void io_read(int fd, void *data, size_t size);

/* Bytes that tell their place: data[i] depends on at + i. */
void io_pattern(void *data, size_t size, size_t at);
void io_write_pattern(int fd, size_t size, size_t at);
void io_check_pattern(const void *data, size_t size, size_t at);

#endif
