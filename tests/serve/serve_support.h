/* serve_support.h - what the server's tests share: each case under every model, a line protocol to
 * serve, and clients that are plain blocking sockets of a thread, so that nothing of weft is on their side. */
#ifndef TESTS_SERVE_SUPPORT_H
#define TESTS_SERVE_SUPPORT_H

#include "harness/harness.h"

#include <weft/server.h>

#include <stdbool.h>

typedef struct serve_kind {
    const char *name, *model, *poller;
    unsigned threads; /* where a case does not say */
    bool threaded;    /* no event loop: one record for all its threads */
    unsigned processes;
    bool forks; /* handlers run in other processes */
    bool tls;
} serve_kind;

extern const serve_kind serve_process, serve_prefork, serve_forked_pool, serve_forked_epoll;
extern const serve_kind serve_iterative, serve_pool, serve_thread, serve_select, serve_poll, serve_epoll,
    serve_epoll_et, serve_uring;

/* The same with TLS: client_ calls below encrypt. */
extern const serve_kind serve_tls_process, serve_tls_prefork, serve_tls_forked_pool, serve_tls_forked_epoll;
extern const serve_kind serve_tls_iterative, serve_tls_pool, serve_tls_thread, serve_tls_select, serve_tls_poll,
    serve_tls_epoll, serve_tls_epoll_et, serve_tls_uring;

#define SERVE__ONE(seconds, name, kind_)                                                                               \
    TEST_LIMIT(seconds, name##_##kind_)                                                                                \
    {                                                                                                                  \
        name(&serve_##kind_);                                                                                          \
    }

/* The loops that wait until descriptors are ready; all loops; the models that serve all their clients at the same time,
 * in one thread each or in loops; those and the pool, in this process; the same in others, the hybrids; and those that
 * serve one after the other. `tls` is empty or tls_. */
#define SERVE__READY(seconds, name, tls)                                                                               \
    SERVE__ONE(seconds, name, tls##select)                                                                             \
    SERVE__ONE(seconds, name, tls##poll)                                                                               \
    SERVE__ONE(seconds, name, tls##epoll)                                                                              \
    SERVE__ONE(seconds, name, tls##epoll_et)
#define SERVE__LOOPS(seconds, name, tls)                                                                               \
    SERVE__READY(seconds, name, tls)                                                                                   \
    SERVE__ONE(seconds, name, tls##uring)
#define SERVE__ALL(seconds, name, tls)                                                                                 \
    SERVE__ONE(seconds, name, tls##thread)                                                                             \
    SERVE__LOOPS(seconds, name, tls)
#define SERVE__HERE(seconds, name, tls)                                                                                \
    SERVE__ONE(seconds, name, tls##pool)                                                                               \
    SERVE__ALL(seconds, name, tls)
#define SERVE__MANY(seconds, name, tls)                                                                                \
    SERVE__ONE(seconds, name, tls##process)                                                                            \
    SERVE__ONE(seconds, name, tls##forked_pool)                                                                        \
    SERVE__ONE(seconds, name, tls##forked_epoll)                                                                       \
    SERVE__HERE(seconds, name, tls)
#define SERVE__EVERY(seconds, name, tls)                                                                               \
    SERVE__ONE(seconds, name, tls##iterative)                                                                          \
    SERVE__ONE(seconds, name, tls##prefork)                                                                            \
    SERVE__MANY(seconds, name, tls)

#define SERVE__CASES(models, seconds, name)                                                                            \
    static void name(const serve_kind *kind);                                                                          \
    models(seconds, name, ) static void name(__attribute__((unused)) const serve_kind *kind)

/* A case that is run once for each model that serves all its clients at the same time: X-08, S001-30. */
#define SERVE_ALL_CASE_LIMIT(seconds, name) SERVE__CASES(SERVE__ALL, seconds, name)
#define SERVE_ALL_CASE(name)                SERVE_ALL_CASE_LIMIT(TEST_DEFAULT_LIMIT, name)

/* ... for those that serve several, in this process. */
#define SERVE_HERE_CASE_LIMIT(seconds, name) SERVE__CASES(SERVE__HERE, seconds, name)
#define SERVE_HERE_CASE(name)                SERVE_HERE_CASE_LIMIT(TEST_DEFAULT_LIMIT, name)

/* ... in this process and in others: S001-139, the hybrids. */
#define SERVE_MANY_CASE_LIMIT(seconds, name) SERVE__CASES(SERVE__MANY, seconds, name)
#define SERVE_MANY_CASE(name)                SERVE_MANY_CASE_LIMIT(TEST_DEFAULT_LIMIT, name)

/* ... and for those that serve one after the other: such a case has one client at a time. */
#define SERVE_CASE_LIMIT(seconds, name) SERVE__CASES(SERVE__EVERY, seconds, name)
#define SERVE_CASE(name)                SERVE_CASE_LIMIT(TEST_DEFAULT_LIMIT, name)

/* ... and above one of these: also for a process for each client, plain and with TLS. */
#define SERVE_ALSO_PROCESS(seconds, name)                                                                              \
    static void name(const serve_kind *kind);                                                                          \
    SERVE__ONE(seconds, name, process)                                                                                 \
    SERVE__ONE(seconds, name, tls_process)

/* A case that speaks by client_ calls alone also runs with TLS, when one of these stands above it: under every model
 * where SERVE_CASE does, and so on. */
#define SERVE__TLS_CASES(models, seconds, name)                                                                        \
    static void name(const serve_kind *kind);                                                                          \
    models(seconds, name, tls_)
#define SERVE_TLS_ALL_CASE_LIMIT(seconds, name) SERVE__TLS_CASES(SERVE__ALL, seconds, name)
#define SERVE_TLS_HERE_CASE(name)               SERVE__TLS_CASES(SERVE__HERE, SERVE_TLS_LIMIT, name)
#define SERVE_TLS_MANY_CASE(name)               SERVE__TLS_CASES(SERVE__MANY, SERVE_TLS_LIMIT, name)
#define SERVE_TLS_CASE(name)                    SERVE__TLS_CASES(SERVE__EVERY, SERVE_TLS_LIMIT, name)
#define SERVE_TLS_LIMIT                         60 /* encrypting takes its time on a busy machine */

/* ... or this one, for a case that waits more than it computes: under all of them at the same time, in a process each.
 * `kinds` is SERVE_TLS_EVERY or one of the others. */
#define SERVE_TLS_TOGETHER(seconds, kinds, name)                                                                       \
    static void name(const serve_kind *kind);                                                                          \
    TEST_LIMIT(seconds, name##_tls)                                                                                    \
    {                                                                                                                  \
        serve_together(kinds, name);                                                                                   \
    }
extern const serve_kind *const serve_tls_kinds[];
#define SERVE_TLS_EVERY (serve_tls_kinds)
#define SERVE_TLS_MANY  (serve_tls_kinds + 2)
#define SERVE_TLS_HERE  (serve_tls_kinds + 5)
#define SERVE_TLS_ALL   (serve_tls_kinds + 6)
void serve_together(const serve_kind *const *kinds, void (*body)(const serve_kind *kind));

/* The line protocol. Each line is one request and is answered with one line:
 *      echo TEXT      "TEXT"
 *      sleep MS       at work for so long, then "slept" or "cut"
 *      wait           at work until another client says `go`
 *      go             "went"
 *      big N          N bytes of a pattern (line_pattern) by write, without a line end
 *      reserve N      the same by reserve and commit
 *      send N         the same by send in three pieces
 *      file PATH N    "size N\n" gathered, then N bytes of the file
 *      parts PATH N   N bytes of the file, the last 100 of them by write
 *      corked         "corked" if the kernel holds back a packet that is not full, or "not corked"
 *      peer           "ADDRESS PORT" of the client
 *      state          a number that counts the calls this state has seen
 *      stopping       "0" or "1"
 *      stop           stops the server with a grace of 5 s, "stopping"
 *      close          "bye", then close
 *      linger         "bye", then a lingering close
 *      fail           -EIO
 * A line that does not fit is answered with "too long" and a lingering close. What comes last without a line end is
 * answered with "rest TEXT". `arg` is a line_service. */
typedef struct line_service {
    bool stays; /* the handler stays in its call and waits in fill, instead of returning idle */
    weft_server *server;
    bool forks;                             /* handlers run in other processes */
    uint32_t waiting;                       /* atomic: requests in `wait` */
    uint32_t go;                            /* atomic: may go on */
    uint32_t opened, closed, states, ticks; /* atomic: hook calls */
    uint32_t refuse_open;                   /* atomic: on_open says no */
} line_service;

/* In memory that child processes share. Stays until the case ends. */
line_service *line_service_new(bool stays);

/* Those in `wait` go on. */
void line_service_go(line_service *service);

int line_handler(weft_conn *c, void *service);

/* A server of this kind; the fields of `options` that are not given are filled in. Started. */
weft_server *serve_start(const serve_kind *kind, weft_server_options options);
weft_server_options line_options(const serve_kind *kind, weft_server_options options, line_service *service);
weft_server *serve_lines(const serve_kind *kind, weft_server_options options, line_service *service);

/* Graceful stop, wait, close. */
void serve_stop(weft_server *s);

unsigned char line_pattern(size_t i);

/* An address of this process's own, where 127.0.0.1 is everybody's: nobody else takes a port there, and the answers to
 * clients that have gone reach no other case's server. In memory that the next call uses again. */
const char *serve_own_host(void);

/* Clients: blocking, with a time limit on each receive that fails the case. */
int client_open(unsigned port);
int client_open_from(unsigned port, const char *source);
int client_open_to(unsigned port, const char *host);
int client_open_unix(const char *path);
void client_send(int fd, const void *data, size_t size);
void client_say(int fd, const char *text);
size_t client_recv(int fd, void *buf, size_t size); /* at least 1, or 0 at the end; a reset fails the case */
void client_recv_all(int fd, void *buf, size_t size);
void client_expect(int fd, const char *text); /* exactly these bytes come next */
void client_expect_end(int fd);               /* end of input or a reset, nothing before */
void client_expect_reply(int fd, const char *request, const char *reply);
void client_expect_pattern(int fd, size_t size);
ssize_t client_try_send(int fd, const void *data, size_t size); /* as send and recv; reset or cut short is -1 */
ssize_t client_try_recv(int fd, void *buf, size_t size);
void client_finish(int fd); /* no more will come; with TLS that is said */
void client_close(int fd);
void client_reset(int fd);

/* Wait until condition(arg) is true; fails the case if that never comes. For counts that another thread advances. */
void wait_until(bool (*condition)(void *arg), void *arg, const char *what);
void wait_open(weft_server *s, uint64_t count);
/* So many clients wait for their next request: an answer reaches its client before the thread that sent it does so, and
 * until then it makes no room for others. Only the model "thread" needs this wait; for others it does nothing. */
void wait_idle(weft_server *s, unsigned count);

/* Its counts at this moment. */
weft_server_stats server_stats(weft_server *s);

/* The first process that `parent` has started and not reaped: of a server of processes the supervisor, of that one a
 * worker. */
pid_t serve_first_child(pid_t parent);

#endif
