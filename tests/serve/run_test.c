/* run_test.c - weft_server_run with run_here: a single loop is the calling thread's. */
#include "serve/serve_support.h"

#include <weft/co.h>
#include <weft/packet.h>
#include <weft/thread.h>

#include "park/waiter.h"
#include "sys/aside.h"
#include "sys/sys.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/single_threaded.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* All but io_uring, whose loops are on threads of their own. */
#define HOSTED_CASE(name) SERVE__CASES(SERVE__READY, 30, name)

static weft_server *server;
static bool alone; /* the main thread is the only one; ThreadSanitizer has one of its own */

/* Each line is answered with the place where it is served; "cancel" asks the main thread to stop. */
static int say_where(weft_conn *c, void *arg)
{
    (void)arg;
    const char *line;
    ssize_t n = weft_conn_fill(c, 0, (const void **)&line, WEFT_FOREVER);
    if (n <= 0)
        return WEFT_CONN_CLOSE;
    bool here = weft__sys_tid() == getpid();
    if (here && alone)
        CHECK_INT(1, weft__sys_thread_count());
    if (strncmp(line, "stop", 4) == 0)
        weft_server_stop(server, WEFT_FOREVER);
    if (strncmp(line, "cancel", 6) == 0)
        CHECK_OK(weft_thread_cancel(weft_thread_main()));
    weft_conn_consume(c, (size_t)n);
    const char *text = here ? "here\n" : "elsewhere\n";
    return weft_conn_write(c, text, strlen(text)) < 0 ? WEFT_CONN_CLOSE : WEFT_CONN_IDLE;
}

static void open_server(const serve_kind *kind)
{
    weft_server_options o = {
        .handler = say_where, .model = kind->model, .poller = kind->poller, .threads = 1, .run_here = 1};
    CHECK_OK(weft_server_open(&server, &o));
}

static pid_t start_client(void (*client)(void))
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        client();
        _exit(0);
    }
    return pid;
}

static void end_client(pid_t pid)
{
    int status;
    CHECK_INT(pid, waitpid(pid, &status, 0));
    CHECK_INT(0, status);
}

static void ask_and_stop(void)
{
    int fd = client_open(weft_server_port(server));
    for (int i = 0; i < 100; i++)
        client_expect_reply(fd, "where\n", "here\n");
    client_expect_reply(fd, "stop\n", "here\n");
    client_expect_end(fd);
    client_close(fd);
}

/* ... and the process has no other thread, where nobody else starts one. */
HOSTED_CASE(run_here_of_one_loop_needs_no_second_thread)
{
    alone = __libc_single_threaded;
    open_server(kind);
    pid_t client = start_client(ask_and_stop);
    CHECK_OK(weft_server_run(server, WEFT_FOREVER));
    CHECK_PTR(NULL, weft_co_self());
    weft_server_close(server);
    end_client(client);
}

static void ask_anybody_and_stop(void)
{
    char answer[64];
    int fd = client_open(weft_server_port(server));
    client_say(fd, "stop\n");
    CHECK(client_recv(fd, answer, sizeof answer) > 0);
    client_expect_end(fd);
    client_close(fd);
}

SERVE_ALL_CASE(run_here_serves_again_after_the_first_server_has_ended)
{
    for (int i = 0; i < 3; i++) {
        open_server(kind);
        pid_t client = start_client(ask_anybody_and_stop);
        CHECK_OK(weft_server_run(server, WEFT_FOREVER));
        weft_server_close(server);
        end_client(client);
    }
}

/* Whoever leaves it before its end goes on serving when he waits again. */
static void cancel_and_ask(void)
{
    int fd = client_open(weft_server_port(server));
    client_expect_reply(fd, "cancel\n", "here\n");
    for (int i = 0; i < 100; i++)
        client_expect_reply(fd, "where\n", "here\n");
    client_expect_reply(fd, "stop\n", "here\n");
    client_expect_end(fd);
    client_close(fd);
}

HOSTED_CASE(run_here_that_is_cancelled_serves_on_when_it_waits_again)
{
    open_server(kind);
    pid_t client = start_client(cancel_and_ask);
    CHECK_ERR(-ECANCELED, weft_server_run(server, WEFT_FOREVER));
    weft__self()->cancel = 0;
    CHECK_OK(weft_server_wait(server, WEFT_FOREVER));
    weft_server_close(server);
    end_client(client);
}

HOSTED_CASE(run_here_with_a_deadline_serves_on_when_it_waits_again)
{
    open_server(kind);
    CHECK_ERR(-ETIMEDOUT, weft_server_run(server, weft_in_ms(10)));
    pid_t client = start_client(ask_and_stop);
    CHECK_OK(weft_server_run(server, WEFT_FOREVER));
    weft_server_close(server);
    end_client(client);
}

/* ---- what its handlers start ---- */

static int where_am_i(void *arg)
{
    (void)arg;
    weft_yield();
    return weft__sys_tid() == getpid();
}

static int start_many(weft_conn *c, void *arg)
{
    const void *bytes;
    (void)arg;
    if (weft_conn_fill(c, 0, &bytes, WEFT_FOREVER) <= 0)
        return WEFT_CONN_CLOSE;
    weft_co *co[20];
    int result, on_main = 0;
    for (int i = 0; i < 20; i++)
        CHECK_OK(weft_co_start(&co[i], where_am_i, NULL, NULL));
    for (int i = 0; i < 20; i++) {
        CHECK_OK(weft_co_join(co[i], &result, WEFT_FOREVER));
        on_main += result;
    }
    weft_server_stop(server, WEFT_FOREVER);
    return weft_conn_write(c, on_main == 0 ? "none\n" : "some\n", 5) < 0 ? WEFT_CONN_CLOSE : WEFT_CONN_LINGER;
}

static void expect_none(void)
{
    int fd = client_open(weft_server_port(server));
    client_expect_reply(fd, "go\n", "none\n");
    client_close(fd);
}

TEST(run_here_leaves_coroutines_of_handlers_to_scheduler_threads)
{
    weft_server_options o = {.handler = start_many, .model = "epoll", .run_here = 1};
    CHECK_OK(weft_server_open(&server, &o));
    pid_t client = start_client(expect_none);
    CHECK_OK(weft_server_run(server, WEFT_FOREVER));
    weft_server_close(server);
    end_client(client);
}

/* ---- datagrams ---- */

static void answer_packet(weft_packet *p, void *arg)
{
    (void)arg;
    const char *text = weft__sys_tid() == getpid() ? "here" : "elsewhere";
    CHECK_OK(weft_packet_answer(p, text, strlen(text)));
    weft_server_stop(server, WEFT_FOREVER);
}

static void send_packet(void)
{
    char text[16] = "";
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)weft_server_port(server)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK_OK(connect(fd, (struct sockaddr *)&to, sizeof to));
    CHECK_INT(1, send(fd, "?", 1, 0));
    CHECK(recv(fd, text, sizeof text - 1, 0) > 0);
    CHECK_STR("here", text);
    close(fd);
}

HOSTED_CASE(run_here_of_datagrams_needs_no_second_thread)
{
    weft_server_options o = {.packet.handler = answer_packet, .model = kind->model, .poller = kind->poller};
    o.threads = o.run_here = 1;
    CHECK_OK(weft_server_open(&server, &o));
    pid_t client = start_client(send_packet);
    CHECK_OK(weft_server_run(server, WEFT_FOREVER));
    weft_server_close(server);
    end_client(client);
}
