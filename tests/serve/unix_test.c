/* unix_test.c - servers over Unix sockets: under every model, plain and with TLS, they answer, and their file comes and
 * goes with them, but not where others may have the socket. X-06, S001-11. */
#include "serve/place_support.h"
#include "serve/serve_support.h"

#include <weft/handover.h>

#include "base/atomic.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int bind_by_hand(const place *p, bool listens)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    strcpy(a.sun_path, path_of(p));
    CHECK_INT(0, bind(fd, (struct sockaddr *)&a, sizeof a));
    if (listens)
        CHECK_INT(0, listen(fd, 10));
    return fd;
}

static void check_answers(const place *p)
{
    int fd = client_open_unix(path_of(p));
    client_expect_reply(fd, "echo well\n", "well\n");
    client_close(fd);
}

static int nothing(weft_conn *c, void *arg)
{
    (void)c;
    (void)arg;
    return WEFT_CONN_CLOSE;
}

static int open_at(const char *host)
{
    weft_server *s = NULL;
    int err = weft_server_open(&s, &(weft_server_options){.handler = nothing, .host = host});
    weft_server_close(s);
    return err;
}

SERVE_TLS_CASE(unix_server_answers_and_its_file_goes_with_it)
SERVE_CASE(unix_server_answers_and_its_file_goes_with_it)
{
    place p = place_of("socket");
    struct stat st;
    weft_server *s = serve_lines(kind, (weft_server_options){.host = p.host, .port = 1}, line_service_new(false));
    CHECK_STR(p.host, weft_server_address(s));
    CHECK_INT(0, weft_server_port(s));
    CHECK_INT(0, lstat(path_of(&p), &st));
    CHECK_INT(S_IFSOCK | 0600, st.st_mode);
    int fd = client_open_unix(path_of(&p));
    client_expect_reply(fd, "echo one\necho two\n", "one\ntwo\n");
    client_expect_reply(fd, "peer\n", "unix: 0\n");
    client_say(fd, "big 1000000\n");
    client_expect_pattern(fd, 1000000);
    client_expect_reply(fd, "echo last", "");
    client_finish(fd);
    client_expect(fd, "rest echo last\n");
    client_expect_end(fd);
    client_close(fd);
    CHECK_ERR(-EADDRINUSE, open_at(p.host)); /* and the one that is there is none the worse for it */
    check_answers(&p);
    wait_open(s, 0);
    CHECK(exists(&p));
    serve_stop(s);
    CHECK(!exists(&p));
}

/* Files go from the kernel to the socket, with what is gathered before and behind them. */
SERVE_TLS_CASE(unix_server_sends_files)
SERVE_CASE(unix_server_sends_files)
{
    enum {
        SIZE = 300000
    };
    static unsigned char bytes[SIZE];
    char file[100], line[200];
    place p = place_of("socket");
    snprintf(file, sizeof file, "%s/file", test_dir());
    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = line_pattern(i);
    int out = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    CHECK_INT(SIZE, write(out, bytes, SIZE));
    close(out);
    weft_server *s = serve_lines(kind, (weft_server_options){.host = p.host}, line_service_new(false));
    int fd = client_open_unix(path_of(&p));
    snprintf(line, sizeof line, "file %s %d\n", file, SIZE);
    client_expect_reply(fd, line, "size 300000\n");
    client_expect_pattern(fd, SIZE);
    snprintf(line, sizeof line, "parts %s %d\n", file, SIZE);
    client_say(fd, line);
    client_expect_pattern(fd, SIZE);
    client_close(fd);
    wait_open(s, 0);
    serve_stop(s);
}

/* S001-28: before they say anything, in the middle of a line, and with an answer on its way. */
SERVE_TLS_CASE(unix_server_survives_clients_that_vanish)
SERVE_CASE(unix_server_survives_clients_that_vanish)
{
    static const char *const said[] = {"", "ech", "big 1000000\n", "echo x\nech"};
    place p = place_of("socket");
    weft_server *s = serve_lines(kind, (weft_server_options){.host = p.host}, line_service_new(false));
    for (unsigned i = 0; i < 12; i++) {
        int fd = client_open_unix(path_of(&p));
        client_say(fd, said[i % 4]);
        client_reset(fd);
    }
    check_answers(&p);
    wait_open(s, 0);
    CHECK(exists(&p));
    serve_stop(s);
    CHECK(!exists(&p));
}

/* All loops and processes have the one socket. */
SERVE_TLS_MANY_CASE(unix_server_serves_several_at_once)
SERVE_MANY_CASE(unix_server_serves_several_at_once)
{
    enum {
        CLIENTS = 8
    };
    place p = place_of("socket");
    int fds[CLIENTS];
    weft_server *s = serve_lines(kind, (weft_server_options){.host = p.host}, line_service_new(false));
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < CLIENTS; i++)
            fds[i] = client_open_unix(path_of(&p));
        for (int i = 0; i < CLIENTS; i++)
            client_expect_reply(fds[i], "echo x\n", "x\n");
        for (int i = 0; i < CLIENTS; i++)
            client_close(fds[i]);
    }
    wait_open(s, 0);
    serve_stop(s);
}

/* Nobody can connect any more once it is told to stop; who is at work is served to the end. */
SERVE_TLS_CASE(unix_server_stopped_by_a_client_takes_its_file_away)
SERVE_CASE(unix_server_stopped_by_a_client_takes_its_file_away)
{
    place p = place_of("socket");
    weft_server *s = serve_lines(kind, (weft_server_options){.host = p.host}, line_service_new(false));
    int fd = client_open_unix(path_of(&p));
    client_expect_reply(fd, "stop\n", "stopping\n");
    client_expect_end(fd);
    client_close(fd);
    CHECK_OK(weft_server_wait(s, WEFT_FOREVER));
    CHECK(!exists(&p));
    int other = bind_by_hand(&p, true); /* the name is free, and what is there now is another's */
    weft_server_close(s);
    CHECK(exists(&p));
    close(other);
}

/* A file that a program has left that was killed, say. */
SERVE_CASE(unix_server_replaces_the_file_of_a_dead_one)
{
    place p = place_of("socket");
    close(bind_by_hand(&p, true));
    weft_server *s = serve_lines(kind, (weft_server_options){.host = p.host}, line_service_new(false));
    check_answers(&p);
    wait_open(s, 0);
    serve_stop(s);
    CHECK(!exists(&p));
}

/* As a service manager gives it, who keeps the file. */
SERVE_TLS_CASE(unix_server_takes_a_socket_that_listens)
SERVE_CASE(unix_server_takes_a_socket_that_listens)
{
    place p = place_of("socket");
    weft_server_options o = {.listeners = (int[]){bind_by_hand(&p, true)}, .listener_count = 1};
    weft_server *s = serve_lines(kind, o, line_service_new(false));
    CHECK_STR(p.host, weft_server_address(s));
    CHECK_INT(0, weft_server_port(s));
    check_answers(&p);
    wait_open(s, 0);
    serve_stop(s);
    CHECK(exists(&p));
}

/* What is given is not shut down, and io_uring may hold it a little longer than its descriptors. */
static bool nobody_listens(void *where)
{
    int err = open_at(((const place *)where)->host);
    if (err != -EADDRINUSE)
        CHECK_OK(err);
    return err == 0;
}

/* The file is the way to whoever has the socket now; it stays at the end of that one as well, and the next server puts
 * its own in the place. */
SERVE_TLS_CASE(unix_server_that_retires_leaves_its_file)
SERVE_CASE(unix_server_that_retires_leaves_its_file)
{
    enum {
        MOST = 16
    };
    place p = place_of("socket");
    int fds[MOST];
    weft_server *old = serve_lines(kind, (weft_server_options){.host = p.host}, line_service_new(false));
    int n = weft_server_listeners(old, fds, MOST);
    CHECK_BETWEEN(1, MOST, n);
    for (int i = 0; i < n; i++)
        CHECK((fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 0)) >= 0);
    weft_server_options o = {.listeners = fds, .listener_count = (unsigned)n};
    weft_server *new = serve_lines(kind, o, line_service_new(false));
    weft_server_retire(old, weft_in_seconds(3600));
    CHECK_OK(weft_server_wait(old, WEFT_FOREVER));
    weft_server_close(old);
    check_answers(&p);
    wait_open(new, 0);
    serve_stop(new);
    CHECK(exists(&p));
    wait_until(nobody_listens, &p, "the end of the socket");
    CHECK(!exists(&p)); /* put in its place, and taken away, by the one that has just tried */
}

/* Its sockets were lent to a program that has ended without serving, that cannot be executed, or that is given up. */
SERVE_CASE(unix_server_whose_successor_fails_takes_its_file_away)
{
    place p = place_of("socket");
    weft_server *s = serve_lines(kind, (weft_server_options){.host = p.host}, line_service_new(false));
    weft_handover *h;
    CHECK_OK(weft_handover_start(&h, s, (const char *[]){"false", NULL}));
    CHECK_ERR(-ECHILD, weft_handover_wait(h, NULL, WEFT_FOREVER));
    weft_handover_free(h);
    CHECK_ERR(-ENOENT, weft_handover_start(&h, s, (const char *[]){"/no/such/program", NULL}));
    CHECK_OK(weft_handover_start(&h, s, (const char *[]){"sleep", "1000", NULL}));
    CHECK_ERR(-ETIMEDOUT, weft_handover_wait(h, NULL, WEFT_NOW));
    weft_handover_free(h);
    check_answers(&p);
    wait_open(s, 0);
    CHECK(exists(&p));
    serve_stop(s);
    CHECK(!exists(&p));
}

/* But one that serves keeps it, whatever becomes of others. */
TEST(unix_server_whose_successor_serves_leaves_its_file)
{
    place p = place_of("socket");
    weft_server *s = serve_lines(&serve_epoll, (weft_server_options){.host = p.host}, line_service_new(false));
    weft_handover *h;
    CHECK_OK(weft_handover_start(&h, s, (const char *[]){"sh", "-c", "echo >&$WEFT_READY_FD", NULL}));
    CHECK_OK(weft_handover_wait(h, NULL, WEFT_FOREVER));
    weft_handover_free(h);
    CHECK_OK(weft_handover_start(&h, s, (const char *[]){"false", NULL}));
    CHECK_ERR(-ECHILD, weft_handover_wait(h, NULL, WEFT_FOREVER));
    weft_handover_free(h);
    serve_stop(s);
    CHECK(exists(&p));
}

SERVE_CASE(unix_server_by_a_name_without_a_file)
{
    place p;
    snprintf(p.host, sizeof p.host, "unix:@weft-test-%ld", (long)getpid());
    weft_server *s = serve_lines(kind, (weft_server_options){.host = p.host}, line_service_new(false));
    CHECK_STR(p.host, weft_server_address(s));
    CHECK_ERR(-EADDRINUSE, open_at(p.host));
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    size_t size = strlen(path_of(&p));
    memcpy(a.sun_path, path_of(&p), size);
    a.sun_path[0] = 0;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_INT(0, connect(fd, (struct sockaddr *)&a, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size)));
    client_expect_reply(fd, "echo well\n", "well\n");
    client_close(fd);
    wait_open(s, 0);
    serve_stop(s);
}

TEST(unix_server_never_started_takes_its_file_away)
{
    place p = place_of("socket");
    weft_server *s;
    CHECK_OK(weft_server_open(&s, &(weft_server_options){.handler = nothing, .host = p.host}));
    CHECK(exists(&p));
    weft_server_close(s);
    CHECK(!exists(&p));
}

/* 107 bytes. */
TEST(unix_server_says_the_longest_path_whole)
{
    place p = place_of("socket");
    weft_server *s;
    size_t size = strlen(p.host), whole = strlen("unix:") + sizeof((struct sockaddr_un *)0)->sun_path - 1;
    memset(p.host + size, 'x', whole - size);
    p.host[whole] = 0;
    CHECK_OK(weft_server_open(&s, &(weft_server_options){.handler = nothing, .host = p.host}));
    CHECK_STR(p.host, weft_server_address(s));
    CHECK(exists(&p));
    weft_server_close(s);
    CHECK(!exists(&p));
}

TEST(unix_server_says_what_is_wrong_with_a_path)
{
    place p = place_of("socket");
    char text[300];
    CHECK_ERR(-EINVAL, open_at("unix:"));
    snprintf(text, sizeof text, "unix:/tmp/%0200d", 0);
    CHECK_ERR(-ENAMETOOLONG, open_at(text));
    snprintf(text, sizeof text, "%s/deeper", p.host);
    CHECK_ERR(-ENOENT, open_at(text));
    CHECK(!exists(&p));
    int fd = open(path_of(&p), O_WRONLY | O_CREAT | O_CLOEXEC, 0600); /* what is no socket stays */
    CHECK_ERR(-EADDRINUSE, open_at(p.host));
    CHECK_ERR(-ENOTDIR, open_at(text));
    CHECK(exists(&p));
    close(fd);
    if (geteuid() == 0)
        return;
    CHECK_INT(0, unlink(path_of(&p)));
    CHECK_INT(0, chmod(test_dir(), 0500));
    CHECK_ERR(-EACCES, open_at(p.host));
    CHECK_INT(0, chmod(test_dir(), 0700));
}
