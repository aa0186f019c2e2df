/* stream_places_test.c - streams that change place: used and closed away from the thread whose coroutine waited on them
 * first, and in a forked child; and what streams do when system calls fail. */
#include "io/io_support.h"

#include <weft/co.h>

#include "co/sched.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* ---- here, there, and after a fork ---- */

static int echo_forever(void *arg)
{
    char byte;
    weft_stream *s = arg;
    while (weft_stream_recv(s, &byte, 1, io_patience()) == 1)
        CHECK_INT(1, weft_stream_send(s, &byte, 1, io_patience()));
    return 0;
}

/* One end's home is scheduler 0; coroutines on 1 and threads use it as well, and close it from there. */
static int use_from_everywhere(void *arg)
{
    weft_stream *s = arg;
    char byte;
    for (int i = 0; i < 50; i++) {
        CHECK_INT(1, weft_stream_send(s, "x", 1, io_patience()));
        CHECK_INT(1, weft_stream_recv(s, &byte, 1, io_patience()));
    }
    return 0;
}

static void *use_from_thread(void *arg)
{
    use_from_everywhere(arg);
    return NULL;
}

static int close_it(void *arg)
{
    weft_stream_close(arg);
    return 0;
}

TEST_BACKENDS(stream_is_used_and_closed_away_from_home)
{
    io_use(kind);
    setenv("WEFT_THREADS", "2", 1);
    for (unsigned closer = 0; closer < 3; closer++) {
        io_pair p = io_stream_pair(NULL);
        weft_co *co, *echo;
        pthread_t thread;
        CHECK_OK(weft__co_start_on(1, &echo, echo_forever, p.b, NULL));
        for (unsigned i = 0; i < 2; i++) {
            CHECK_OK(weft__co_start_on(i, &co, use_from_everywhere, p.a, NULL));
            CHECK_OK(weft_co_join(co, NULL, io_patience()));
        }
        CHECK_INT(0, pthread_create(&thread, NULL, use_from_thread, p.a));
        CHECK_INT(0, pthread_join(thread, NULL));
        if (closer < 2) {
            CHECK_OK(weft__co_start_on(closer, &co, close_it, p.a, NULL));
            CHECK_OK(weft_co_join(co, NULL, io_patience()));
        } else {
            weft_stream_close(p.a);
        }
        CHECK_OK(weft_co_join(echo, NULL, io_patience()));
        weft_stream_close(p.b);
    }
    io_settle();
}

static int fork_and_use(void *arg)
{
    weft_stream *s = arg;
    char byte;
    CHECK_INT(1, weft_stream_send(s, "1", 1, io_patience()));
    CHECK_INT(1, weft_stream_recv(s, &byte, 1, io_patience()));
    return 0;
}

TEST_BACKENDS(stream_works_in_a_forked_child)
{
    io_use(kind);
    io_pair p = io_stream_pair(NULL);
    weft_co *co, *echo;
    CHECK_OK(weft_co_start(&echo, echo_forever, p.b, NULL));
    CHECK_OK(weft_co_start(&co, fork_and_use, p.a, NULL));
    CHECK_OK(weft_co_join(co, NULL, io_patience()));
    pid_t child = fork();
    if (child == 0) {
        fork_and_use(p.a); /* as a thread, then as a coroutine of a new scheduler */
        CHECK_OK(weft_co_start(&co, fork_and_use, p.a, NULL));
        CHECK_OK(weft_co_join(co, NULL, io_patience()));
        weft_stream_close(p.a);
        _exit(7);
    }
    int status;
    CHECK_INT(child, waitpid(child, &status, 0));
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    CHECK_OK(weft_co_start(&co, fork_and_use, p.a, NULL)); /* and the parent goes on */
    CHECK_OK(weft_co_join(co, NULL, io_patience()));
    weft_stream_close(p.a);
    CHECK_OK(weft_co_join(echo, NULL, io_patience()));
    weft_stream_close(p.b);
    io_settle();
}

static int accept_in_turn(void *arg)
{
    weft_stream *s;
    CHECK_OK(weft_stream_accept(&s, arg, io_patience()));
    weft_stream_close(s);
    return 0;
}

static void close_as_a_child(weft_stream *s)
{
    int fd = weft_stream_fd(s);
    weft_stream_close(s);
    CHECK(fcntl(fd, F_GETFD) == -1 && errno == EBADF);
}

/* What every server that forks does. Who waits in the parent does not in the child, and is not to be woken. */
static void close_in_a_child_while_the_parent_waits(weft_stream *const s[3])
{
    pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < 3; i++)
            close_as_a_child(s[i]);
        _exit(7);
    }
    int status;
    CHECK_INT(child, waitpid(child, &status, 0));
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

TEST_WAITERS(stream_closed_in_a_forked_child_is_not_closed_in_the_parent)
{
    weft_stream *listener, *s;
    io_pair p = io_stream_pair(NULL);
    CHECK_OK(weft_tcp_listen(&listener, NULL, 0, NULL));
    weft_stream *all[] = {p.a, p.b, listener};
    test_spawn(t, echo_forever, p.b);
    test_spawn(t, accept_in_turn, listener);
    weft_sleep(weft_in_ms(20)); /* they wait by then, or the case is an easier one */
    close_in_a_child_while_the_parent_waits(all);
    CHECK_OK(fork_and_use(p.a));
    CHECK_OK(weft_tcp_connect(&s, NULL, weft_stream_port(listener), NULL, io_patience()));
    weft_stream_close(s);
    weft_stream_close(p.a);
    test_join(t);
    weft_stream_close(p.b);
    weft_stream_close(listener);
}

/* ---- failing calls ---- */

/* How long a wait may take in an exchange. Only where an edge was taken for nothing does one come to its deadline. */
static int64_t exchange_ns;

static int answer_once(void *arg)
{
    weft_stream *l = arg, *s;
    char byte;
    int err = weft_tcp_accept(&s, l, weft_in(exchange_ns));
    if (err < 0) /* the call that fails was here; no second one does */
        err = weft_tcp_accept(&s, l, weft_in(exchange_ns));
    if (err < 0)
        return 0;
    if (weft_stream_recv(s, &byte, 1, weft_in(exchange_ns)) == 1)
        weft_stream_send(s, &byte, 1, weft_in(exchange_ns));
    weft_stream_close(s);
    return 0;
}

/* By calls that no plan reaches. */
static void connect_and_leave(unsigned port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_INT(0, connect(fd, (struct sockaddr *)&a, sizeof a));
    close(fd);
}

/* A listener, a connection, a byte there and back. 1: all of it worked; 0: something failed, which is all right. */
static int try_exchange(test *t)
{
    weft_stream *l, *s;
    char byte = 'x';
    if (weft_tcp_listen(&l, "127.0.0.1", 0, &(weft_tcp_options){.reuse_port = 1, .keep_alive = 1}) < 0)
        return 0;
    unsigned port = weft_stream_port(l);
    int server = test_spawn(t, answer_once, l), ok = 0;
    if (weft_tcp_connect(&s, NULL, port, NULL, weft_in(exchange_ns)) == 0) {
        ok = weft_stream_send(s, &byte, 1, weft_in(exchange_ns)) == 1 &&
             weft_stream_recv(s, &byte, 1, weft_in(exchange_ns)) == 1;
        weft_stream_close(s);
    } else {
        connect_and_leave(port); /* the server waits for somebody */
    }
    CHECK_INT(0, test_result(t, server));
    weft_stream_close(l);
    return ok;
}

TEST_WAITERS_LIMIT(120, stream_exchange_survives_each_failing_call)
{
    static const struct {
        enum weft__sys_call call;
        int err;
    } plans[] = {
        {WEFT__SYS_SOCKET, -EMFILE},        {WEFT__SYS_BIND, -EADDRINUSE},   {WEFT__SYS_LISTEN, -EADDRINUSE},
        {WEFT__SYS_ACCEPT, -EINTR},         {WEFT__SYS_ACCEPT, -EMFILE},     {WEFT__SYS_ACCEPT, -ECONNABORTED},
        {WEFT__SYS_CONNECT, -ECONNREFUSED}, {WEFT__SYS_CONNECT, -EINTR},     {WEFT__SYS_SOCKOPT, -ENOBUFS},
        {WEFT__SYS_SEND, -EINTR},           {WEFT__SYS_SEND, -ECONNRESET},   {WEFT__SYS_SEND, -EAGAIN},
        {WEFT__SYS_RECV, -EINTR},           {WEFT__SYS_RECV, -ECONNRESET},   {WEFT__SYS_RECV, -EAGAIN},
        {WEFT__SYS_SHUTDOWN, -ENOTCONN},    {WEFT__SYS_EPOLL_CTL, -ENOMEM},  {WEFT__SYS_EPOLL_WAIT, -EINTR},
        {WEFT__SYS_POLL, -EINTR},           {WEFT__SYS_POLL, -ENOMEM},       {WEFT__SYS_SELECT, -EINTR},
        {WEFT__SYS_EVENTFD, -EMFILE},       {WEFT__SYS_URING_ENTER, -EINTR}, {WEFT__SYS_URING_ENTER, -EBUSY},
    };
    const int64_t patience = (int64_t)(15e9 * test_limit_factor());
    exchange_ns = patience;
    CHECK_INT(1, try_exchange(t)); /* what is opened once is open */
    io_settle();
    int before = test_fd_count();
    for (size_t i = 0; i < WEFT__ARRAY_LEN(plans); i++) {
        for (uint32_t nth = 1;; nth++) {
            int64_t start = weft_now();
            bool took_edge = plans[i].err == -EAGAIN;
            exchange_ns = took_edge ? 300 * WEFT_MS : patience;
            weft__sys_plan(plans[i].call, nth, 1, plans[i].err, 0);
            int ok = try_exchange(t);
            bool used = weft__sys_seen(plans[i].call) >= nth;
            weft__sys_plan_none();
            CHECK(ok || used || took_edge); /* a busy machine may take longer than that */
            CHECK(took_edge || weft_now() - start < patience);
            if (!used || nth > 60)
                break;
        }
    }
    io_settle();
    CHECK_BETWEEN(before - 4, before + 4, test_fd_count()); /* a poller or a thread's eventfd, but no stream */
}
