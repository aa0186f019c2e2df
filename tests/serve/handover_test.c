/* handover_test.c - a server is replaced while it serves: under every model nothing is refused and no answer is lost;
 * what a successor is given, and what becomes of one that fails. Also what weft_server_tell reaches. S001-139. */
#include "serve/load_support.h"

#include <weft/handover.h>

#include "base/atomic.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    SOCKETS = 16
};

/* The listening sockets of `from` under numbers of their own, as another program would have them. */
static int take_sockets(weft_server *from, int fds[SOCKETS])
{
    int n = weft_server_listeners(from, fds, SOCKETS);
    CHECK_BETWEEN(1, SOCKETS, n);
    for (int i = 0; i < n; i++)
        CHECK((fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 0)) >= 0);
    return n;
}

static weft_server *succeed(const serve_kind *kind, weft_server *from, line_service *service)
{
    int fds[SOCKETS];
    int n = take_sockets(from, fds);
    weft_server_options o = line_options(kind, (weft_server_options){0}, service);
    o.listeners = fds;
    o.listener_count = (unsigned)n;
    CHECK_OK(weft_server_open(&service->server, &o));
    CHECK_INT(weft_server_port(from), weft_server_port(service->server));
    CHECK_STR(weft_server_address(from), weft_server_address(service->server));
    CHECK_OK(weft_server_start(service->server));
    return service->server;
}

/* Who is connected to the old one is served by it for as long as it likes, who comes now by the new one; and the end of
 * the old one leaves the sockets as they are. */
SERVE_TLS_CASE(handover_an_old_server_serves_those_whom_it_has)
SERVE_CASE(handover_an_old_server_serves_those_whom_it_has)
{
    line_service *one = line_service_new(false), *two = line_service_new(false);
    weft_server *old = serve_lines(kind, (weft_server_options){0}, one);
    unsigned port = weft_server_port(old);
    int fd = client_open(port);
    client_expect_reply(fd, "echo before\nhalf", "before\n");
    weft_server *new = succeed(kind, old, two);
    weft_server_retire(old, weft_in_seconds(3600));
    char reply[2] = "";
    for (client_send(fd, "\n", 1), client_expect(fd, "what?\n"); reply[0] != '1';) { /* it learns of it soon */
        client_say(fd, "stopping\n");
        client_recv_all(fd, reply, 2);
    }
    client_expect_reply(fd, "echo after\n", "after\n");
    CHECK_ERR(-ETIMEDOUT, weft_server_wait(old, WEFT_NOW));
    client_finish(fd); /* the processes of the new one have this descriptor too */
    client_close(fd);
    CHECK_OK(weft_server_wait(old, WEFT_FOREVER));
    weft_server_close(old);
    fd = client_open(port);
    client_expect_reply(fd, "stopping\n", "0\n");
    client_close(fd);
    wait_open(new, 0);
    serve_stop(new);
}

/* At the end of the grace who is idle is let go, who is at work is cut. */
SERVE_TLS_CASE(handover_an_old_server_ends_with_its_grace)
SERVE_CASE(handover_an_old_server_ends_with_its_grace)
{
    line_service *service = line_service_new(false);
    weft_server *s = serve_lines(kind, (weft_server_options){0}, service);
    int fd = client_open(weft_server_port(s));
    client_expect_reply(fd, "echo in\n", "in\n");
    weft_server_retire(s, weft_in_ms(100));
    client_expect_end(fd);
    client_close(fd);
    CHECK_OK(weft_server_wait(s, WEFT_FOREVER));
    weft_server_stats stats;
    weft_server_get_stats(s, &stats);
    CHECK_INT(0, stats.cut);
    weft_server_close(s);
}

/* A stop in the middle of it closes who is idle at once. */
SERVE_TLS_CASE(handover_an_old_server_may_still_be_stopped)
SERVE_CASE(handover_an_old_server_may_still_be_stopped)
{
    line_service *service = line_service_new(false);
    weft_server *s = serve_lines(kind, (weft_server_options){0}, service);
    int fd = client_open(weft_server_port(s));
    client_expect_reply(fd, "echo in\n", "in\n");
    weft_server_retire(s, weft_in_seconds(3600));
    weft_server_retire(s, weft_in_seconds(7200));
    weft_server_stop(s, weft_in_seconds(3600));
    client_expect_end(fd);
    client_close(fd);
    CHECK_OK(weft_server_wait(s, WEFT_FOREVER));
    weft_server_close(s);
}

/* Who stood in line when the server retired is still served. */
TEST(handover_those_in_line_are_served)
{
    line_service *service = line_service_new(false);
    weft_server *s = serve_lines(&serve_iterative, (weft_server_options){0}, service);
    int served = client_open(weft_server_port(s)), next = client_open(weft_server_port(s));
    client_say(served, "wait\n");
    client_say(next, "echo next\nclose\n");
    wait_open(s, 2);
    weft_server_retire(s, weft_in_seconds(3600));
    line_service_go(service);
    client_expect(served, "waited\n");
    client_close(served);
    client_expect(next, "next\nbye\n");
    client_close(next);
    CHECK_OK(weft_server_wait(s, WEFT_FOREVER));
    weft_server_close(s);
}

/* ---- under load ---- */

typedef struct load {
    serve_load base;       /* counts rounds */
    bool stays;            /* one of its clients does */
    struct sockaddr_un un; /* where the server is, if not at the port */
} load;

static int load_open(const load *l)
{
    bool is_unix = l->un.sun_family == AF_UNIX;
    int fd = socket(is_unix ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)l->base.port)};
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const struct sockaddr *a = is_unix ? (const struct sockaddr *)&l->un : (const struct sockaddr *)&in;
    if (fd >= 0 && connect(fd, a, is_unix ? sizeof l->un : sizeof in) < 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* Is `line` answered with two bytes? The first of them, or -1. */
static int load_ask(int fd, const char *line)
{
    char reply[2];
    if (send(fd, line, strlen(line), MSG_NOSIGNAL) != (ssize_t)strlen(line))
        return -1;
    for (size_t got = 0; got < 2;) {
        ssize_t n = recv(fd, reply + got, 2 - got, 0);
        if (n <= 0)
            return -1;
        got += (size_t)n;
    }
    return reply[0];
}

/* What the client that stays does: until it is told that its server retires. */
static void stay(load *l, int *kept)
{
    if (*kept < 0 && (*kept = load_open(l)) < 0)
        serve_load_fail(&l->base, "a client that stays is refused");
    int stopping = load_ask(*kept, "stopping\n");
    if (stopping < 0)
        serve_load_fail(&l->base, "a client that stays has lost a request");
    if (stopping == '1') {
        close(*kept);
        *kept = -1;
    }
}

/* A process of its own: perhaps a client that stays, and ever new ones with two requests each. */
static void run_load(serve_load *base)
{
    load *l = (load *)base;
    int kept = -1;
    while (!load_seq_cst(&base->stop)) {
        if (l->stays)
            stay(l, &kept);
        int fd = load_open(l);
        if (fd < 0)
            serve_load_fail(base, "a new client is refused");
        if (load_ask(fd, "echo x\n") != 'x' || load_ask(fd, "echo y\n") != 'y')
            serve_load_fail(base, "a new client has lost its request");
        close(fd);
        add_seq_cst(&base->done, 1);
    }
}

/* A process of its own: one client after the other. Each is answered or closed. */
static void run_bold_load(serve_load *base)
{
    while (!load_seq_cst(&base->stop)) {
        int fd = load_open((load *)base);
        if (fd < 0)
            serve_load_fail(base, "a new client is refused");
        (void)load_ask(fd, "echo x\n");
        close(fd);
        add_seq_cst(&base->done, 1);
    }
}

/* Every server has some rounds alone, and some while it retires. */
static void await_rounds(load *l)
{
    serve_load_await(&l->base, 5);
}

/* Twenty servers one after the other on the same sockets, under the load of so many processes. */
static void replace_twenty(const serve_kind *kind, unsigned loads, bool stays, const char *host)
{
    load *l = test_shared(sizeof *l);
    line_service *service = line_service_new(false);
    weft_server_options o = line_options(kind, (weft_server_options){.host = host}, service);
    weft_server *s;
    CHECK_OK(weft_server_open(&s, &o));
    if (host != NULL) {
        l->un.sun_family = AF_UNIX;
        strcpy(l->un.sun_path, host + strlen("unix:"));
    }
    l->base.port = weft_server_port(s);
    l->stays = stays;
    for (unsigned i = 0; i < loads; i++)
        serve_load_start(&l->base, run_load);
    CHECK_OK(weft_server_start(s));
    for (int i = 0; i < 20; i++) {
        await_rounds(l);
        weft_server *new = succeed(kind, s, line_service_new(false));
        weft_server_retire(s, weft_in_seconds(3600));
        CHECK_OK(weft_server_wait(s, WEFT_FOREVER));
        weft_server_stats stats = server_stats(s);
        CHECK_INT(0, stats.refused + stats.cut + stats.shed);
        weft_server_close(s);
        s = new;
    }
    await_rounds(l);
    serve_load_end(&l->base);
    wait_open(s, 0);
    serve_stop(s);
}

SERVE_MANY_CASE_LIMIT(60, handover_twenty_in_a_row_lose_nothing)
{
    replace_twenty(kind, 1, true, NULL);
}

SERVE_MANY_CASE_LIMIT(60, handover_twenty_in_a_row_over_a_unix_socket_lose_nothing)
{
    char host[108];
    snprintf(host, sizeof host, "unix:%s/socket", test_dir());
    replace_twenty(kind, 1, true, host);
}

/* Servers that go at once may close clients that they have, but forget nobody in a queue: there is no other client
 * who would have somebody look there. */
SERVE_MANY_CASE_LIMIT(60, handover_at_once_leaves_nobody_in_the_queue)
{
    load *l = test_shared(sizeof *l);
    weft_server_options o = line_options(kind, (weft_server_options){0}, line_service_new(false));
    weft_server *s;
    CHECK_OK(weft_server_open(&s, &o));
    l->base.port = weft_server_port(s);
    serve_load_start(&l->base, run_bold_load);
    CHECK_OK(weft_server_start(s));
    for (int i = 0; i < 20; i++) {
        await_rounds(l);
        weft_server *new = succeed(kind, s, line_service_new(false));
        weft_server_retire(s, WEFT_NOW);
        CHECK_OK(weft_server_wait(s, WEFT_FOREVER));
        weft_server_close(s);
        s = new;
    }
    await_rounds(l);
    serve_load_end(&l->base);
    wait_open(s, 0);
    serve_stop(s);
}

/* The same where clients stand in line: more of them come than are served at a time. */
static void handover_twenty_in_a_row_lose_nobody_in_line(const serve_kind *kind);
SERVE__ONE(60, handover_twenty_in_a_row_lose_nobody_in_line, iterative)
SERVE__ONE(60, handover_twenty_in_a_row_lose_nobody_in_line, prefork)
SERVE__ONE(60, handover_twenty_in_a_row_lose_nobody_in_line, pool)
static void handover_twenty_in_a_row_lose_nobody_in_line(const serve_kind *kind)
{
    replace_twenty(kind, 5, false, NULL);
}

/* ---- in the last moment ---- */

/* Lines, but for "keep": that keeps the whole thread until it may go on. */
typedef struct keeper {
    line_service service; /* first: the hooks' argument */
    int in[2], go[2];
} keeper;

static int keep_thread(weft_conn *c, void *arg)
{
    keeper *k = arg;
    const void *bytes;
    char byte = 0;
    ssize_t n = weft_conn_fill(c, 0, &bytes, WEFT_FOREVER);
    if (n < 5 || memcmp(bytes, "keep\n", 5) != 0)
        return n <= 0 ? WEFT_CONN_CLOSE : line_handler(c, &k->service);
    bool kept = write(k->in[1], &byte, 1) == 1 && read(k->go[0], &byte, 1) == 1;
    return kept ? WEFT_CONN_CLOSE : -EIO;
}

static int come(weft_server *s, const char *host)
{
    return host != NULL ? client_open_unix(host + strlen("unix:")) : client_open(weft_server_port(s));
}

/* Who comes while an old server, which the kernel tells of it alone, is told to go at once is served by the new one.
 * And so is who comes afterwards. */
static void come_as_it_ends(const serve_kind *kind, const char *host, void (*end)(weft_server *s, weft_until grace))
{
    keeper *k = test_shared(sizeof *k);
    char byte;
    CHECK_INT(0, pipe(k->in));
    CHECK_INT(0, pipe(k->go));
    weft_server_options o = line_options(kind, (weft_server_options){.host = host, .threads = 1}, &k->service);
    o.handler = keep_thread;
    weft_server *old;
    CHECK_OK(weft_server_open(&old, &o));
    CHECK_OK(weft_server_start(old));
    int first = come(old, host);
    client_expect_reply(first, "echo in\n", "in\n");
    weft_server *new = succeed(kind, old, line_service_new(false));
    client_say(first, "keep\n");
    CHECK_INT(1, read(k->in[0], &byte, 1));
    int late = come(old, host);
    end(old, WEFT_NOW);
    if (kind->forks)
        CHECK_OK(weft_server_tell(old, 1, WEFT_FOREVER)); /* its processes have heard of it before */
    CHECK_INT(1, write(k->go[1], "g", 1));
    client_expect_reply(late, "echo late\n", "late\n");
    client_close(late);
    client_close(first);
    CHECK_OK(weft_server_wait(old, WEFT_FOREVER));
    late = come(old, host);
    client_expect_reply(late, "echo later\n", "later\n");
    client_close(late);
    weft_server_close(old);
    wait_open(new, 0);
    serve_stop(new);
    for (int i = 0; i < 2; i++) {
        close(k->in[i]);
        close(k->go[i]);
    }
}

static const serve_kind one_uring = {"one uring", "uring", NULL, 1, false, 0, false, false};
static const serve_kind one_forked_uring = {"one forked uring", "uring", NULL, 1, false, 1, true, false};

TEST(handover_who_comes_as_an_old_server_retires_at_once_is_served_uring)
{
    come_as_it_ends(&one_uring, NULL, weft_server_retire);
}

TEST(handover_who_comes_as_an_old_server_retires_at_once_is_served_forked_uring)
{
    come_as_it_ends(&one_forked_uring, NULL, weft_server_retire);
}

TEST(handover_who_comes_as_an_old_server_retires_at_once_is_served_uring_unix)
{
    char host[108];
    snprintf(host, sizeof host, "unix:%s/socket", test_dir());
    come_as_it_ends(&one_uring, host, weft_server_retire);
}

TEST(handover_who_comes_as_an_old_server_is_stopped_is_served_uring)
{
    come_as_it_ends(&one_uring, NULL, weft_server_stop);
}

TEST(handover_who_comes_as_an_old_server_is_stopped_is_served_forked_uring)
{
    come_as_it_ends(&one_forked_uring, NULL, weft_server_stop);
}

/* ---- what can be given ---- */

TEST(handover_only_listening_sockets_are_taken)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int local = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), none = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    close(none);
    weft_server *s;
    weft_server_options o = {.handler = line_handler, .listeners = &fd, .listener_count = 1};
    CHECK_ERR(-EINVAL, weft_server_open(&s, &o)); /* does not listen */
    o.listeners = &udp;
    CHECK(weft_server_open(&s, &o) < 0);
    o.listeners = &local;
    CHECK_ERR(-EINVAL, weft_server_open(&s, &o));
    o.listeners = &none;
    CHECK_ERR(-EBADF, weft_server_open(&s, &o));
    CHECK_INT(0, listen(fd, 5));
    o.listeners = (int[]){fd, fd};
    o.listener_count = 2;
    o.model = "thread";
    CHECK_ERR(-E2BIG, weft_server_open(&s, &o)); /* nobody would accept from the second */
    CHECK(fcntl(fd, F_GETFD) >= 0);              /* and what was not taken is the caller's */
    close(fd);
    close(udp);
    close(local);
}

/* Loops that were given no socket of their own share one. */
TEST(handover_one_socket_serves_several_loops)
{
    line_service *one = line_service_new(false), *two = line_service_new(false);
    weft_server *old = serve_lines(&serve_poll, (weft_server_options){.threads = 1}, one);
    int fds[SOCKETS];
    CHECK_INT(1, take_sockets(old, fds));
    weft_server *new = NULL;
    weft_server_options o = line_options(&serve_poll, (weft_server_options){.threads = 3}, two);
    o.listeners = fds;
    o.listener_count = 1;
    CHECK_OK(weft_server_open(&new, &o));
    CHECK_OK(weft_server_start(new));
    weft_server_retire(old, WEFT_NOW);
    CHECK_OK(weft_server_wait(old, WEFT_FOREVER));
    int clients[30];
    for (int i = 0; i < 30; i++) {
        clients[i] = client_open(weft_server_port(old));
        client_expect_reply(clients[i], "echo x\n", "x\n");
    }
    for (int i = 0; i < 30; i++)
        client_close(clients[i]);
    weft_server_close(old);
    wait_open(new, 0);
    serve_stop(new);
}

TEST(handover_a_stopped_server_has_no_sockets_to_give)
{
    line_service *service = line_service_new(false);
    weft_server *s = serve_lines(&serve_epoll, (weft_server_options){0}, service);
    int fds[SOCKETS];
    CHECK_ERR(-E2BIG, weft_server_listeners(s, fds, 0));
    weft_server_stop(s, WEFT_NOW);
    CHECK_OK(weft_server_wait(s, WEFT_FOREVER));
    CHECK_ERR(-EBADF, weft_server_listeners(s, fds, SOCKETS));
    weft_handover *h;
    CHECK_ERR(-EBADF, weft_handover_start(&h, s, (const char *[]){"true", NULL}));
    weft_server_close(s);
}

/* ---- the environment ---- */

/* In a child: take what the variables say; 100 + what take has returned. */
static int take_in_child(const char *fds, const char *pid, const char *ready)
{
    pid_t child = fork();
    if (child == 0) {
        char own[16];
        int got[4];
        snprintf(own, sizeof own, "%d", (int)getpid());
        setenv("LISTEN_FDS", fds, 1);
        setenv("LISTEN_PID", pid != NULL ? pid : own, 1);
        if (ready != NULL)
            setenv("WEFT_READY_FD", ready, 1);
        int n = weft_handover_take(got, 4);
        for (int i = 0; i < n; i++)
            if (got[i] != 3 + i || !(fcntl(got[i], F_GETFD) & FD_CLOEXEC))
                _exit(1);
        if (getenv("LISTEN_FDS") != NULL || getenv("LISTEN_PID") != NULL || getenv("WEFT_READY_FD") != NULL)
            _exit(2);
        if (weft_handover_take(got, 4) != 0 || weft_handover_ready() != 0)
            _exit(3);
        _exit(100 + n);
    }
    int status;
    CHECK_INT(child, waitpid(child, &status, 0));
    CHECK(WIFEXITED(status));
    return WEXITSTATUS(status);
}

TEST(handover_sockets_are_taken_by_whom_they_are_meant_for)
{
    int fds[10];
    for (int i = 0; i < 10; i++)
        CHECK((fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0);
    CHECK_INT(100, take_in_child("0", NULL, NULL));
    CHECK_INT(102, take_in_child("2", NULL, NULL));
    CHECK_INT(104, take_in_child("4", NULL, NULL));
    CHECK_INT(100, take_in_child("2", "1", NULL)); /* another process */
    CHECK_INT(100, take_in_child("two", NULL, NULL));
    CHECK_INT(100, take_in_child("", NULL, NULL));
    CHECK_INT(100, take_in_child("-1", NULL, NULL));
    CHECK_INT(100 - E2BIG, take_in_child("5", NULL, NULL));
    CHECK_INT(100 - E2BIG, take_in_child("4294967298", NULL, NULL));
    CHECK_INT(102, take_in_child("2", NULL, "5"));      /* no pipe: nobody is told */
    CHECK_INT(102, take_in_child("2", NULL, "1000"));   /* not open */
    CHECK_INT(102, take_in_child("2", NULL, "nobody")); /* no number */
    for (int i = 0; i < 10; i++)
        close(fds[i]);
}

/* ---- a successor ---- */

typedef struct candidate {
    weft_server *server;
    weft_handover *handover;
} candidate;

static candidate start_shell(const char *script)
{
    candidate c;
    line_service *service = line_service_new(false);
    c.server = serve_lines(&serve_epoll, (weft_server_options){.threads = 2}, service);
    CHECK_OK(weft_handover_start(&c.handover, c.server, (const char *[]){"sh", "-c", script, NULL}));
    return c;
}

/* Whatever became of it: the server goes on. */
static void end_candidate(candidate *c)
{
    weft_handover_free(c->handover);
    int fd = client_open(weft_server_port(c->server));
    client_expect_reply(fd, "echo well\n", "well\n");
    client_close(fd);
    wait_open(c->server, 0);
    serve_stop(c->server);
}

TEST(handover_a_successor_that_fails_is_told_with_its_status)
{
    candidate c = start_shell("exit 3");
    int code = 0;
    CHECK_ERR(-ECHILD, weft_handover_wait(c.handover, &code, WEFT_FOREVER));
    CHECK_INT(3, code);
    CHECK_ERR(-ECHILD, weft_handover_wait(c.handover, NULL, WEFT_NOW));
    end_candidate(&c);
}

TEST(handover_a_successor_that_is_killed_is_told_with_the_signal)
{
    candidate c = start_shell("kill -TERM $$");
    int code = 0;
    CHECK_ERR(-ECHILD, weft_handover_wait(c.handover, &code, WEFT_FOREVER));
    CHECK_INT(-SIGTERM, code);
    end_candidate(&c);
}

/* The variables, the descriptors and the streams are those that systemd gives, and one more. */
TEST(handover_a_successor_finds_the_sockets)
{
    candidate c =
        start_shell("[ $LISTEN_PID = $$ ] || exit 1; [ $LISTEN_FDS = 2 ] || exit 2; [ $WEFT_READY_FD = 5 ] || exit 3;"
                    "for fd in 3 4; do case $(readlink /proc/$$/fd/$fd) in socket:*) ;; *) exit 4;; esac; done;"
                    "[ -e /proc/$$/fd/6 ] && exit 5; echo ready >&5; exit 0");
    int code = 0;
    int err = weft_handover_wait(c.handover, &code, WEFT_FOREVER);
    if (err != 0)
        FAIL("%s, status %d", weft_strerror(err), code);
    pid_t pid = weft_handover_pid(c.handover);
    CHECK(pid > 0);
    CHECK_OK(weft_handover_wait(c.handover, &code, WEFT_NOW));
    siginfo_t end; /* once it has ended it is collected at once, and not some time later, in a coroutine */
    CHECK_INT(0, waitid(P_PID, (id_t)pid, &end, WEXITED | WNOWAIT | __WALL));
    end_candidate(&c);
}

/* Who has closed its end can never say that it serves. */
TEST(handover_a_successor_that_gives_up_its_voice_is_ended)
{
    candidate c = start_shell("exec 5>&-; exec sleep 1000");
    int code = 0;
    CHECK_ERR(-ECHILD, weft_handover_wait(c.handover, &code, WEFT_FOREVER));
    CHECK_INT(-SIGKILL, code);
    end_candidate(&c);
}

TEST(handover_a_successor_that_takes_too_long_is_ended_with_the_handover)
{
    candidate c = start_shell("exec sleep 1000");
    CHECK_ERR(-ETIMEDOUT, weft_handover_wait(c.handover, NULL, WEFT_NOW));
    CHECK_ERR(-ETIMEDOUT, weft_handover_wait(c.handover, NULL, weft_in_ms(20)));
    end_candidate(&c); /* a process that is left fails the case */
}

TEST(handover_what_cannot_be_executed_is_no_successor)
{
    line_service *service = line_service_new(false);
    weft_server *s = serve_lines(&serve_epoll, (weft_server_options){0}, service);
    weft_handover *h;
    CHECK_ERR(-ENOENT, weft_handover_start(&h, s, (const char *[]){"/no/such/program", NULL}));
    CHECK_ERR(-ENOENT, weft_handover_start(&h, s, (const char *[]){"no-such-program-anywhere", NULL}));
    CHECK_ERR(-EACCES, weft_handover_start(&h, s, (const char *[]){"/dev/null", NULL}));
    weft_handover_free(NULL);
    int fd = client_open(weft_server_port(s));
    client_expect_reply(fd, "echo well\n", "well\n");
    client_close(fd);
    wait_open(s, 0);
    serve_stop(s);
}

/* ---- telling ---- */

typedef struct heard {
    line_service service; /* first: the hooks' argument */
    uint32_t calls, last; /* atomic */
    pid_t pids[64];
    int result;
} heard;

static int hear(int what, void *arg)
{
    heard *h = arg;
    h->pids[add_seq_cst(&h->calls, 1) % 64] = getpid();
    store_seq_cst(&h->last, (uint32_t)what);
    return what == 13 ? h->result : 0;
}

/* Every process that serves hears it before the call returns, once; so do those that are started later, by the memory
 * that they have. */
SERVE_CASE(handover_what_a_server_is_told_reaches_all_its_processes)
{
    heard *h = test_shared(sizeof *h);
    weft_server_options o = line_options(kind, (weft_server_options){0}, &h->service);
    o.on_tell = hear;
    weft_server *s;
    CHECK_OK(weft_server_open(&s, &o));
    CHECK_OK(weft_server_tell(s, 5, WEFT_FOREVER));
    CHECK_INT(1, load_seq_cst(&h->calls));
    CHECK_OK(weft_server_start(s));
    int fd = client_open(weft_server_port(s));
    client_expect_reply(fd, "echo in\n", "in\n");
    /* This process, the supervisor, those that serve: in the model of a process for each client there is one. */
    unsigned all = !kind->forks ? 1 : kind == &serve_process ? 3 : 2 + kind->processes;
    for (unsigned i = 1; i <= 5; i++) {
        CHECK_OK(weft_server_tell(s, (int)i, WEFT_FOREVER));
        CHECK_INT(1 + i * all, load_seq_cst(&h->calls));
        CHECK_INT(i, load_seq_cst(&h->last));
    }
    for (unsigned i = 0; i < all; i++)
        for (unsigned k = 0; k < i; k++)
            CHECK(h->pids[1 + i] != h->pids[1 + k]);
    h->result = -EIO;
    CHECK_ERR(-EIO, weft_server_tell(s, 13, WEFT_FOREVER));
    CHECK_INT(1 + 6 * all, load_seq_cst(&h->calls));
    CHECK_OK(weft_server_tell(s, 7, WEFT_FOREVER));
    client_close(fd);
    wait_open(s, 0);
    weft_server_stop(s, WEFT_NOW);
    CHECK_OK(weft_server_wait(s, WEFT_FOREVER));
    uint32_t before = load_seq_cst(&h->calls);
    CHECK_OK(weft_server_tell(s, 8, WEFT_FOREVER)); /* here, and there is nobody else */
    CHECK_INT(before + 1, load_seq_cst(&h->calls));
    weft_server_close(s);
}

/* S001-139. Under load, processes that serve are asked to end by SIGTERM, one after the other: no request is lost. */
static void handover_processes_asked_to_end_lose_nothing(const serve_kind *kind);
SERVE__ONE(60, handover_processes_asked_to_end_lose_nothing, prefork)
SERVE__ONE(60, handover_processes_asked_to_end_lose_nothing, forked_pool)
SERVE__ONE(60, handover_processes_asked_to_end_lose_nothing, forked_epoll)
static void handover_processes_asked_to_end_lose_nothing(const serve_kind *kind)
{
    load *l = test_shared(sizeof *l);
    heard *h = test_shared(sizeof *h);
    weft_server_options o = line_options(kind, (weft_server_options){0}, &h->service);
    o.on_tell = hear;
    weft_server *s;
    CHECK_OK(weft_server_open(&s, &o));
    l->base.port = weft_server_port(s);
    l->stays = kind != &serve_prefork; /* there it would keep a whole process */
    serve_load_start(&l->base, run_load);
    CHECK_OK(weft_server_start(s));
    for (int i = 0; i < 10; i++) {
        await_rounds(l);
        store_seq_cst(&h->calls, 0);
        CHECK_OK(weft_server_tell(s, i, WEFT_FOREVER));
        CHECK_INT(4, load_seq_cst(&h->calls)); /* this one, the supervisor, the two that serve */
        pid_t pid = h->pids[2 + i % 2];
        CHECK_INT(0, kill(h->pids[1], SIGTERM)); /* the supervisor's end is nobody's to ask for */
        CHECK_INT(0, kill(pid, SIGTERM));
        wait_until(serve_has_ended, &pid, "the end of the process");
    }
    await_rounds(l);
    serve_load_end(&l->base);
    wait_open(s, 0);
    CHECK_INT(0, server_stats(s).cut);
    serve_stop(s);
}

/* A process that does not hear keeps it waiting until its end. */
TEST(handover_telling_does_not_wait_for_the_dead)
{
    heard *h = test_shared(sizeof *h);
    weft_server_options o = line_options(&serve_prefork, (weft_server_options){0}, &h->service);
    o.on_tell = hear;
    weft_server *s;
    CHECK_OK(weft_server_open(&s, &o));
    CHECK_OK(weft_server_start(s));
    CHECK_OK(weft_server_tell(s, 1, WEFT_FOREVER));
    CHECK_INT(getpid(), h->pids[0]);
    pid_t worker = h->pids[2]; /* the second is the supervisor */
    CHECK_INT(0, kill(worker, SIGSTOP));
    while (weft_server_tell(s, 2, weft_in_ms(50)) == 0) /* it has not stopped yet */
        ;
    CHECK_ERR(-ETIMEDOUT, weft_server_tell(s, 3, weft_in_ms(50)));
    CHECK_INT(0, kill(worker, SIGKILL));
    CHECK_OK(weft_server_tell(s, 4, WEFT_FOREVER));
    weft_server_stop(s, WEFT_NOW);
    CHECK_OK(weft_server_wait(s, WEFT_FOREVER));
    weft_server_close(s);
}
