/* server_test.c - the server's life: options, ports, start, graceful stop, cut, close. */
#include "serve/serve_support.h"

#include <weft/co.h>
#include <weft/poller.h>

#include "base/atomic.h"
#include "sys/sys.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static int nothing(weft_conn *c, void *arg)
{
    (void)c;
    (void)arg;
    return WEFT_CONN_CLOSE;
}

TEST(server_refuses_options_without_sense)
{
    weft_server *s = NULL;
    CHECK_ERR(-EINVAL, weft_server_open(&s, NULL));
    CHECK_ERR(-EINVAL, weft_server_open(&s, &(weft_server_options){.port = 1}));
    CHECK_ERR(-EINVAL, weft_server_open(&s, &(weft_server_options){.handler = nothing, .model = "magic"}));
    CHECK_ERR(-EINVAL, weft_server_open(&s, &(weft_server_options){.handler = nothing, .poller = "magic"}));
    CHECK_ERR(-EINVAL, weft_server_open(&s, &(weft_server_options){.handler = nothing, .port = 65536}));
    CHECK_ERR(-EADDRNOTAVAIL, weft_server_open(&s, &(weft_server_options){.handler = nothing, .host = "192.0.2.1"}));
    CHECK_ERR(-ENOENT,
              weft_server_open(&s, &(weft_server_options){.handler = nothing, .host = "no.such.name.invalid"}));
    CHECK_PTR(NULL, s);
}

TEST(server_that_is_never_started_can_be_stopped_and_closed)
{
    weft_server *s;
    CHECK_OK(weft_server_open(&s, &(weft_server_options){.handler = nothing}));
    CHECK(weft_server_port(s) != 0);
    weft_server_close(s);
    CHECK_OK(weft_server_open(&s, &(weft_server_options){.handler = nothing}));
    weft_server_stop(s, WEFT_NOW);
    CHECK_OK(weft_server_wait(s, WEFT_NOW));
    CHECK_ERR(-EALREADY, weft_server_start(s));
    weft_server_close(s);
    weft_server_close(NULL);
}

SERVE_CASE(server_says_where_it_listens)
{
    line_service *service = line_service_new(false);
    char text[64];
    weft_server *s = serve_lines(kind, (weft_server_options){0}, service);
    sprintf(text, "127.0.0.1:%u", weft_server_port(s));
    CHECK_STR(text, weft_server_address(s));
    CHECK_ERR(-EALREADY, weft_server_start(s));
    CHECK_ERR(-ETIMEDOUT, weft_server_wait(s, weft_in_ms(10)));
    serve_stop(s);
}

/* Semantics 161: a second bind is an error, also beside a server with several listeners; the port is free at once
 * after. */
SERVE_CASE(server_port_in_use_is_refused_and_free_after_the_end)
{
    line_service *service = line_service_new(false);
    for (unsigned threads = 1; threads <= 2; threads++) {
        weft_server_options options = {.host = serve_own_host(), .threads = threads};
        weft_server *s = serve_lines(kind, options, service), *second = NULL;
        weft_server_options same = options;
        same.handler = nothing;
        same.port = weft_server_port(s);
        CHECK_ERR(-EADDRINUSE, weft_server_open(&second, &same));
        int fd = client_open_to(weft_server_port(s), options.host);
        client_expect_reply(fd, "close\n", "bye\n"); /* our side closes first: its end waits in the kernel */
        client_close(fd);
        serve_stop(s);
        CHECK_OK(weft_server_open(&second, &same));
        weft_server_close(second);
    }
}

/* S001-12: as the tutorials have it, also by an empty host. */
TEST(server_listens_on_ipv6_and_names)
{
    weft_server *s;
    CHECK_OK(weft_server_open(&s, &(weft_server_options){.handler = nothing, .host = ""}));
    CHECK_MEM("0.0.0.0:", weft_server_address(s), 8);
    weft_server_close(s);
    CHECK_OK(weft_server_open(&s, &(weft_server_options){.handler = nothing, .host = "localhost"}));
    weft_server_close(s);
    int err = weft_server_open(&s, &(weft_server_options){.handler = nothing, .host = "::1"});
    if (err == -EADDRNOTAVAIL || err == -EAFNOSUPPORT)
        SKIP("no IPv6 here");
    CHECK_OK(err);
    CHECK_MEM("[::1]:", weft_server_address(s), 6);
    weft_server_close(s);
}

static void *run_server(void *server)
{
    return (void *)(intptr_t)weft_server_run(server, WEFT_FOREVER);
}

/* Run by a thread, asked by one client, stopped by another thread. */
static void run_and_stop(const weft_server_options *o)
{
    weft_server *s;
    pthread_t thread;
    void *result;
    CHECK_OK(weft_server_open(&s, o));
    CHECK_INT(0, pthread_create(&thread, NULL, run_server, s));
    int fd = client_open(weft_server_port(s));
    client_expect_reply(fd, "echo hi\n", "hi\n");
    weft_server_stop(s, WEFT_FOREVER);
    CHECK_INT(0, pthread_join(thread, &result));
    CHECK_INT(0, (intptr_t)result);
    client_expect_end(fd);
    client_close(fd);
    weft_server_close(s);
}

SERVE_CASE(server_run_returns_when_another_stops_it)
{
    weft_server_options o = {.handler = line_handler,
                             .arg = line_service_new(false),
                             .model = kind->model,
                             .poller = kind->poller,
                             .processes = kind->processes};
    run_and_stop(&o);
}

/* A stop that comes while some of the processes are still starting: who has started and ended at once has started. */
TEST_LIMIT(60, server_stopped_as_soon_as_it_serves_has_not_failed)
{
    for (int i = 0; i < 30; i++) {
        weft_server_options o = {
            .handler = line_handler, .arg = line_service_new(false), .model = "epoll", .processes = 8};
        run_and_stop(&o);
    }
}

/* ---- graceful stop ---- */

static bool descriptors_are_more(void *than)
{
    return test_fd_count() > *(int *)than;
}

/* Also when its processes are about to be made: they have its sockets still. */
TEST(server_stopped_while_it_starts_has_not_failed)
{
    static const weft_server_options kinds[] = {
        {.handler = nothing, .model = "prefork", .processes = 2},
        {.handler = nothing, .model = "epoll", .processes = 2},
        {.handler = nothing, .model = "process"},
    };
    for (unsigned i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        weft_server *s;
        pthread_t thread;
        void *result;
        CHECK_OK(weft_server_open(&s, &kinds[i]));
        int before = test_fd_count();
        weft__sys_plan(WEFT__SYS_FORK, 1, 1, 0, 200 * WEFT_MS);
        CHECK_INT(0, pthread_create(&thread, NULL, run_server, s));
        wait_until(descriptors_are_more, &before, "the beginning");
        weft_server_stop(s, WEFT_NOW);
        pthread_join(thread, &result);
        weft__sys_plan_none();
        CHECK_INT(0, (intptr_t)result);
        weft_server_close(s);
    }
}

static bool somebody_waits(void *arg)
{
    return load_seq_cst(&((line_service *)arg)->waiting) > 0;
}

/* Other processes close their listeners each in its own time. */
static bool nobody_listens(void *port)
{
    weft_server *other = NULL;
    int err = weft_server_open(&other, &(weft_server_options){.handler = nothing, .port = *(unsigned *)port});
    if (err != -EADDRINUSE)
        CHECK_OK(err);
    weft_server_close(other);
    return err == 0;
}

static void graceful(const serve_kind *kind, bool stays)
{
    line_service *service = line_service_new(stays);
    weft_server *s = serve_lines(kind, (weft_server_options){0}, service);
    unsigned port = weft_server_port(s);
    int busy = client_open(port), idle = client_open(port), silent = client_open(port);
    client_expect_reply(idle, "echo 1\n", "1\n");
    client_say(busy, "wait\nstopping\n");
    wait_until(somebody_waits, service, "the busy request");
    wait_open(s, 3);
    weft_server_stop(s, weft_in_seconds(600));
    client_expect_end(idle);
    client_expect_end(silent);
    wait_open(s, 1);
    CHECK_ERR(-ETIMEDOUT, weft_server_wait(s, weft_in_ms(50)));
    wait_until(nobody_listens, &port, "the port");
    line_service_go(service);
    client_expect(busy, "waited\n1\n");
    client_expect_end(busy);
    CHECK_OK(weft_server_wait(s, weft_in_seconds(50 * test_limit_factor())));
    weft_server_stats stats;
    weft_server_get_stats(s, &stats);
    CHECK_INT(3, stats.accepted);
    CHECK_INT(0, stats.open);
    CHECK_INT(0, stats.cut);
    weft_server_close(s);
    CHECK_INT(3, service->closed);
    CHECK_INT(0, service->states);
    client_close(busy);
    client_close(idle);
    client_close(silent);
}

SERVE_TLS_MANY_CASE(server_stop_finishes_what_is_under_way)
SERVE_MANY_CASE(server_stop_finishes_what_is_under_way)
{
    graceful(kind, false);
}

SERVE_TLS_MANY_CASE(server_stop_finishes_what_is_under_way_of_a_handler_that_stays)
SERVE_MANY_CASE(server_stop_finishes_what_is_under_way_of_a_handler_that_stays)
{
    graceful(kind, true);
}

/* A whole answer leaves although its reader is slow and the stop came while it was being flushed. */
SERVE_TLS_CASE(server_stop_finishes_flushes)
SERVE_CASE_LIMIT(30, server_stop_finishes_flushes)
{
    line_service *service = line_service_new(false);
    weft_server *s = serve_lines(kind, (weft_server_options){.output_max = 1 << 20}, service);
    int fd = client_open(weft_server_port(s));
    /* At one go, so that the server has read them all when the stop comes: what still lies in the kernel by then is not
     * under way. */
    client_say(fd, "big 900000\nbig 900000\nbig 900000\nbig 900000\n"
                   "big 900000\nbig 900000\nbig 900000\nbig 900000\n");
    for (int i = 0; i < 4; i++)
        client_expect_pattern(fd, 900000);
    weft_server_stop(s, weft_in_seconds(600));
    for (int i = 0; i < 4; i++)
        client_expect_pattern(fd, 900000);
    client_expect_end(fd);
    client_close(fd);
    CHECK_OK(weft_server_wait(s, weft_in_seconds(50 * test_limit_factor())));
    weft_server_close(s);
}

/* At work in a sleep of weft, in a wait for input in the middle of a request, in a send nobody reads, in a flush. */
SERVE_TLS_MANY_CASE(server_cuts_what_is_not_done_by_the_end_of_the_grace)
SERVE_MANY_CASE(server_cuts_what_is_not_done_by_the_end_of_the_grace)
{
    line_service *service = line_service_new(true);
    weft_server *s = serve_lines(kind, (weft_server_options){0}, service);
    unsigned port = weft_server_port(s);
    int sleeps = client_open(port), half = client_open(port), sends = client_open(port);
    client_say(sleeps, "wait\n");
    client_expect_reply(half, "echo 1\nnot whole", "1\n");
    client_say(sends, "big 30000000\n");
    client_expect_pattern(sends, 1000); /* is at work */
    wait_until(somebody_waits, service, "the sleeping request");
    wait_open(s, 3);
    weft_server_stop(s, weft_in_ms(100));
    CHECK_OK(weft_server_wait(s, weft_in_seconds(50 * test_limit_factor())));
    weft_server_stats stats;
    weft_server_get_stats(s, &stats);
    CHECK_INT(3, stats.cut);
    weft_server_close(s);
    CHECK_INT(3, service->closed);
    client_close(sleeps);
    client_close(half);
    client_close(sends);
}

SERVE_CASE(server_an_earlier_grace_holds)
{
    line_service *service = line_service_new(false);
    weft_server *s = serve_lines(kind, (weft_server_options){0}, service);
    int fd = client_open(weft_server_port(s));
    client_say(fd, "wait\n");
    wait_until(somebody_waits, service, "the request");
    weft_server_stop(s, WEFT_FOREVER);
    CHECK_ERR(-ETIMEDOUT, weft_server_wait(s, weft_in_ms(50)));
    weft_server_stop(s, weft_in_ms(60000));
    weft_server_stop(s, weft_in_ms(50));
    CHECK_OK(weft_server_wait(s, weft_in_seconds(50 * test_limit_factor())));
    weft_server_close(s);
    client_close(fd);
}

SERVE_TLS_CASE(server_can_be_stopped_by_a_handler)
SERVE_CASE(server_can_be_stopped_by_a_handler)
{
    line_service *service = line_service_new(false);
    weft_server *s = serve_lines(kind, (weft_server_options){0}, service);
    int fd = client_open(weft_server_port(s));
    client_expect_reply(fd, "stop\necho last\n", "stopping\nlast\n");
    client_expect_end(fd);
    CHECK_OK(weft_server_wait(s, weft_in_seconds(50 * test_limit_factor())));
    client_close(fd);
    weft_server_close(s);
}

/* ---- start fails ---- */

static int state_fails(void **state, void *arg)
{
    (void)state;
    unsigned *left = arg;
    return sub_seq_cst(left, 1) <= 1 ? -ENOSPC : 0;
}

SERVE_CASE(server_start_tells_what_state_open_gave)
{
    if (kind == &serve_process) /* the first one is opened with the first client */
        return;
    for (unsigned good = 0; good < 2; good++) {
        weft_server *s;
        unsigned left = good + 1, threads = kind->threaded ? 1 : 2;
        if (good == 1 && kind->threaded)
            break;
        weft_server_options o = {.handler = nothing,
                                 .arg = &left,
                                 .model = kind->model,
                                 .poller = kind->poller,
                                 .processes = kind->processes,
                                 .threads = threads,
                                 .state_open = state_fails};
        CHECK_OK(weft_server_open(&s, &o));
        if (good == 1) /* with one processor there is one worker only */
            CHECK(weft_server_start(s) == -ENOSPC || left == 1);
        else
            CHECK_ERR(-ENOSPC, weft_server_start(s));
        weft_server_close(s);
    }
}

TEST(server_start_tells_why_no_worker_process_can_be_made)
{
    weft_server *s;
    CHECK_OK(weft_server_open(&s, &(weft_server_options){.handler = nothing, .model = "prefork", .processes = 2}));
    weft__sys_plan(WEFT__SYS_FORK, 2, 100, -ENOMEM, 0); /* the first is who starts and watches them */
    CHECK_ERR(-ENOMEM, weft_server_start(s));
    weft__sys_plan_none();
    weft_server_close(s);
}

static void ignore(weft_packet *p, void *arg)
{
    (void)p;
    (void)arg;
}

/* Who starts the processes has one message for whoever waits for the start. If it is lost he does not wait on. */
TEST(server_start_of_processes_ends_where_nobody_can_tell_how_it_went)
{
    const weft_server_options options[] = {{.handler = nothing, .model = "prefork", .processes = 2},
                                           {.handler = nothing, .model = "process"},
                                           {.packet.handler = ignore, .model = "process"}};
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        weft_server *s;
        CHECK_OK(weft_server_open(&s, &options[i]));
        weft__sys_plan(WEFT__SYS_SEND, 1, 1, -ENOBUFS, 0);
        CHECK_ERR(-ENOBUFS, weft_server_start(s));
        weft__sys_plan_none();
        weft_server_close(s);
    }
}

/* ---- faults: each call fails once and several times; the server serves on ---- */

static void with_fault(weft_server *s, enum weft__sys_call call, unsigned count, int err)
{
    weft__sys_plan(call, 1, count, err, 0);
    for (int i = 0; i < 6; i++) {
        int fd = client_open(weft_server_port(s));
        char buf[64];
        (void)!send(fd, "echo x\n", 7, MSG_NOSIGNAL);
        (void)!recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
        client_close(fd);
    }
    weft__sys_plan_none();
    wait_open(s, 0);
    int fd = client_open(weft_server_port(s));
    client_expect_reply(fd, "echo well\n", "well\n");
    client_close(fd);
    wait_open(s, 0);
}

static bool descriptors_are(void *most)
{
    return test_fd_count() <= *(int *)most;
}

SERVE_CASE_LIMIT(30, server_survives_failing_calls)
{
    static const struct {
        enum weft__sys_call call;
        int err;
    } faults[] = {
        {WEFT__SYS_ACCEPT, -EMFILE},    {WEFT__SYS_ACCEPT, -ENFILE},     {WEFT__SYS_ACCEPT, -ENOMEM},
        {WEFT__SYS_ACCEPT, -ENOBUFS},   {WEFT__SYS_RECV, -ECONNRESET},   {WEFT__SYS_RECV, -ENOMEM},
        {WEFT__SYS_SEND, -EPIPE},       {WEFT__SYS_SEND, -ECONNRESET},   {WEFT__SYS_SEND, -ENOBUFS},
        {WEFT__SYS_EPOLL_CTL, -ENOMEM}, {WEFT__SYS_EPOLL_CTL, -ENOSPC},  {WEFT__SYS_EPOLL_WAIT, -EINTR},
        {WEFT__SYS_POLL, -EINTR},       {WEFT__SYS_SELECT, -EINTR},      {WEFT__SYS_MALLOC, -ENOMEM},
        {WEFT__SYS_THREAD, -EAGAIN},    {WEFT__SYS_SHUTDOWN, -ENOTCONN},
    };
    line_service *service = line_service_new(false);
    weft_server *s = serve_lines(kind, (weft_server_options){0}, service);
    int before = test_fd_count();
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        for (unsigned count = 1; count <= 4; count += 3)
            with_fault(s, faults[i].call, count, faults[i].err);
    int most = before + 2 + (int)kind->threads;                   /* pollers may open more */
    wait_until(descriptors_are, &most, "the descriptors' going"); /* threads of clients end a little later */
    CHECK_BETWEEN(before - 2, most, test_fd_count());
    serve_stop(s);
    CHECK_INT(service->opened, service->closed);
}
