/* packet_unix_test.c - datagram servers on Unix sockets, under every model: clients with a name are answered, those
 * without one cannot be, and the file comes and goes with the server.; S001-11, S001-18. Clients are plain
 * sockets. */
#include "serve/packet_support.h"
#include "serve/place_support.h"

#include <weft/datagram.h>

#include "base/atomic.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/* In memory that all processes share. */
struct record {
    uint32_t errors, err; /* atomic: of answers; the last one, without its sign */
};

/* What begins with n is not answered, all else comes back. */
static void handle(weft_packet *p, void *arg)
{
    struct record *r = arg;
    char what = p->size > 0 ? *(const char *)p->data : 0;
    int err = what == 'n' ? 0 : weft_packet_answer(p, p->data, p->size);
    if (err < 0) {
        store_seq_cst(&r->err, (uint32_t)-err);
        add_seq_cst(&r->errors, 1);
    }
}

static weft_server *serve(const serve_kind *kind, weft_server_options o, struct record **r)
{
    *r = test_shared(sizeof **r);
    o.packet.handler = handle;
    o.arg = *r;
    o.stack_size = 256 * 1024; /* sanitizers need it */
    o.port = 1;                /* which a Unix socket has not */
    return serve_start(kind, o);
}

/* ---- places and clients ---- */

static socklen_t address_of(struct sockaddr_un *a, const char *path)
{
    *a = (struct sockaddr_un){.sun_family = AF_UNIX};
    size_t size = strlen(path);
    CHECK(size <= sizeof a->sun_path);
    memcpy(a->sun_path, path, size);
    if (path[0] == '@')
        a->sun_path[0] = 0;
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
}

static int open_socket(int type, const char *name)
{
    struct sockaddr_un a;
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    struct timeval limit = {.tv_sec = (time_t)(20 * test_limit_factor())};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (name != NULL) {
        socklen_t size = address_of(&a, name);
        CHECK_INT(0, bind(fd, (struct sockaddr *)&a, size));
    }
    return fd;
}

/* `name`: a path, "@name", or NULL for none. */
static int open_client(const char *server, const char *name)
{
    struct sockaddr_un a;
    int fd = open_socket(SOCK_DGRAM, name);
    socklen_t size = address_of(&a, server);
    CHECK_INT(0, connect(fd, (struct sockaddr *)&a, size));
    return fd;
}

/* By one who is not connected: for him the kernel keeps a few datagrams only. */
static void send_many_to(int fd, const char *server, int n)
{
    struct sockaddr_un a;
    socklen_t size = address_of(&a, server);
    for (int i = 0; i < n; i++)
        CHECK_INT(1, sendto(fd, "e", 1, MSG_NOSIGNAL, (struct sockaddr *)&a, size));
}

static void ask(int fd, const char *text)
{
    packet_say(fd, text);
    packet_expect(fd, text);
}

static void check_answers(const place *p)
{
    place own = place_of("asks");
    int fd = open_client(path_of(p), path_of(&own));
    ask(fd, "well");
    close(fd);
    unlink(path_of(&own));
}

static int open_at(const char *host)
{
    weft_server *s = NULL;
    int err = weft_server_open(&s, &(weft_server_options){.packet.handler = handle, .host = host});
    weft_server_close(s);
    return err;
}

/* ---- answers ---- */

PACKET_EVERY_MODEL(packet_unix_server_answers_and_its_file_goes_with_it)
{
    static char big[60000], back[60000];
    place p = place_of("socket"), one = place_of("one");
    char two[40];
    struct stat st;
    struct record *r;
    snprintf(two, sizeof two, "@weft-test-%ld", (long)getpid());
    weft_server *s = serve(kind, (weft_server_options){.host = p.host}, &r);
    CHECK_STR(p.host, weft_server_address(s));
    CHECK_INT(0, weft_server_port(s));
    CHECK_INT(0, lstat(path_of(&p), &st));
    CHECK_INT(S_IFSOCK | 0600, st.st_mode);
    int fd[2] = {open_client(path_of(&p), path_of(&one)), open_client(path_of(&p), two)};
    for (int i = 0; i < 2; i++) {
        ask(fd[i], "hello");
        ask(fd[i], "");
        memset(big, 'a' + i, sizeof big);
        CHECK_INT(sizeof big, send(fd[i], big, sizeof big, 0));
        CHECK_INT(sizeof big, recv(fd[i], back, sizeof back, 0));
        CHECK_MEM(big, back, sizeof big);
        ask(fd[i], "again");
    }
    CHECK_ERR(-EADDRINUSE, open_at(p.host)); /* and the one that is there is none the worse for it */
    check_answers(&p);
    CHECK(exists(&p));
    serve_stop(s);
    CHECK(!exists(&p));
    CHECK_INT(-1, send(fd[0], "x", 1, MSG_NOSIGNAL));
    CHECK_INT(ECONNREFUSED, errno);
    CHECK_INT(0, load_seq_cst(&r->errors));
    for (int i = 0; i < 2; i++)
        close(fd[i]);
}

struct taken {
    weft_server *server;
    uint64_t count;
};

static bool has_taken(void *arg)
{
    struct taken *t = arg;
    return packet_stats(t->server).received >= t->count;
}

struct wanted {
    struct record *record;
    uint32_t count;
};

static bool have_failed(void *arg)
{
    struct wanted *w = arg;
    return load_seq_cst(&w->record->errors) >= w->count;
}

/* An answer to nobody, or to one that has gone, is the error of that answer only. */
PACKET_EVERY_MODEL(packet_unix_client_that_cannot_be_answered_is_an_error_of_its_answer)
{
    place p = place_of("socket"), gone = place_of("gone"), left = place_of("left");
    struct record *r;
    weft_server *s = serve(kind, (weft_server_options){.host = p.host}, &r);
    int fd = open_client(path_of(&p), NULL);
    packet_say(fd, "who");
    wait_until(have_failed, &(struct wanted){r, 1}, "the first error");
    CHECK_INT(EDESTADDRREQ, load_seq_cst(&r->err));
    packet_say(fd, "n");
    close(fd);
    fd = open_client(path_of(&p), path_of(&gone));
    unlink(path_of(&gone));
    packet_say(fd, "x");
    wait_until(have_failed, &(struct wanted){r, 2}, "the second error");
    CHECK_INT(ENOENT, load_seq_cst(&r->err));
    close(fd);
    fd = open_client(path_of(&p), path_of(&left));
    unlink(path_of(&left));
    close(open_socket(SOCK_DGRAM, path_of(&left))); /* the file is there, and nobody behind it */
    packet_say(fd, "x");
    wait_until(have_failed, &(struct wanted){r, 3}, "the third error");
    CHECK_INT(ECONNREFUSED, load_seq_cst(&r->err));
    close(fd);
    check_answers(&p);
    weft_server_stop(s, WEFT_FOREVER);
    CHECK_OK(weft_server_wait(s, WEFT_FOREVER));
    CHECK_INT(5, packet_stats(s).handled);
    CHECK_INT(3, packet_stats(s).unsent);
    CHECK_INT(1, packet_stats(s).answered);
    weft_server_close(s);
}

/* The longest path that there is has no final 0. */
TEST_LIMIT(30, packet_unix_client_with_the_longest_path_is_answered)
{
    char path[sizeof((struct sockaddr_un *)NULL)->sun_path + 1], text[WEFT_ADDRESS_MAX];
    place p = place_of("socket");
    struct record *r;
    size_t n = (size_t)snprintf(path, sizeof path, "%s/", test_dir());
    CHECK(n < sizeof path);
    memset(path + n, 'x', sizeof path - n - 1);
    path[sizeof path - 1] = 0;
    weft_server *s = serve(&serve_epoll, (weft_server_options){.host = p.host}, &r);
    int fd = open_client(path_of(&p), path);
    ask(fd, "hello");
    weft_datagram *d;
    weft_address a;
    int bound = open_socket(SOCK_DGRAM, NULL);
    unlink(path);
    struct sockaddr_un un;
    CHECK_INT(0, bind(bound, (struct sockaddr *)&un, address_of(&un, path)));
    CHECK_OK(weft_datagram_adopt(&d, bound));
    CHECK_OK(weft_datagram_local(d, &a));
    CHECK_INT(sizeof un, a.size);
    CHECK_INT(strlen("unix:") + strlen(path), weft_address_text(&a, text));
    CHECK_INT(1, weft_datagram_send(d, "y", 1, &a, weft_in_seconds(10)));
    weft_datagram_close(d);
    close(fd);
    serve_stop(s);
}

/* With one socket that one receiver has: also when a handler waits. */
static void packet_unix_server_keeps_the_order_of_a_client(const serve_kind *kind);
SERVE__ONE(30, packet_unix_server_keeps_the_order_of_a_client, iterative)
SERVE__ONE(30, packet_unix_server_keeps_the_order_of_a_client, process)
SERVE__ONE(30, packet_unix_server_keeps_the_order_of_a_client, pool)
SERVE__ONE(30, packet_unix_server_keeps_the_order_of_a_client, thread)
SERVE__ONE(30, packet_unix_server_keeps_the_order_of_a_client, epoll)
SERVE__ONE(30, packet_unix_server_keeps_the_order_of_a_client, uring)
static void packet_unix_server_keeps_the_order_of_a_client(const serve_kind *kind)
{
    enum {
        CLIENTS = 3,
        ROUNDS = 8 /* fewer than may wait for a client that does not read */
    };
    place p = place_of("socket"), own[CLIENTS];
    struct record *r;
    int fd[CLIENTS];
    char text[32];
    weft_server *s = serve(kind, (weft_server_options){.host = p.host, .threads = 1}, &r);
    for (int i = 0; i < CLIENTS; i++) {
        snprintf(text, sizeof text, "own%d", i);
        own[i] = place_of(text);
        fd[i] = open_client(path_of(&p), path_of(&own[i]));
    }
    for (int k = 0; k < ROUNDS; k++)
        for (int i = 0; i < CLIENTS; i++) {
            snprintf(text, sizeof text, "%c %d", k % 3 == 0 ? 'z' : 'e', k);
            packet_say(fd[i], text);
        }
    for (int i = 0; i < CLIENTS; i++)
        for (int k = 0; k < ROUNDS; k++) {
            snprintf(text, sizeof text, "%c %d", k % 3 == 0 ? 'z' : 'e', k);
            packet_expect(fd[i], text);
        }
    for (int i = 0; i < CLIENTS; i++)
        close(fd[i]);
    serve_stop(s);
}

/* Answers wait for a client that does not read; other clients do not. */
static void packet_unix_client_that_does_not_read_keeps_nobody_waiting(const serve_kind *kind);
SERVE__ONE(30, packet_unix_client_that_does_not_read_keeps_nobody_waiting, process)
SERVE__ONE(30, packet_unix_client_that_does_not_read_keeps_nobody_waiting, pool)
SERVE__ALL(30, packet_unix_client_that_does_not_read_keeps_nobody_waiting, )
static void packet_unix_client_that_does_not_read_keeps_nobody_waiting(const serve_kind *kind)
{
    enum {
        MANY = 40 /* more than the kernel keeps for it, fewer than may be in hand */
    };
    place p = place_of("socket"), own = place_of("own");
    struct record *r;
    weft_server *s = serve(kind, (weft_server_options){.host = p.host, .threads = 1, .write_timeout = -1}, &r);
    int fd = open_socket(SOCK_DGRAM, path_of(&own));
    send_many_to(fd, path_of(&p), MANY);
    for (int i = 0; i < 5; i++)
        check_answers(&p);
    for (int i = 0; i < MANY; i++)
        packet_expect(fd, "e");
    close(fd);
    CHECK_INT(0, load_seq_cst(&r->errors));
    serve_stop(s);
}

/* Descriptors that come along are nobody's: they are closed where they arrive. */
PACKET_EVERY_MODEL(packet_unix_server_keeps_no_descriptors_that_clients_send)
{
    place p = place_of("socket"), own = place_of("own");
    struct record *r;
    weft_server *s = serve(kind, (weft_server_options){.host = p.host}, &r);
    int fd = open_client(path_of(&p), path_of(&own)), ends[2];
    CHECK_INT(0, pipe(ends));
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.align = {.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))}};
    memcpy(CMSG_DATA(&control.align), &ends[1], sizeof(int));
    for (int i = 0; i < 20; i++) {
        struct iovec piece = {(char[]){"e"}, 1};
        struct msghdr m = {
            .msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
        CHECK_INT(1, sendmsg(fd, &m, 0));
        packet_expect(fd, "e");
    }
    close(ends[1]);
    char byte;
    CHECK_INT(0, read(ends[0], &byte, 1)); /* nobody has the other end */
    close(ends[0]);
    close(fd);
    serve_stop(s);
}

/* Also an answer that waits is cut at the end of the grace. */
PACKET_EVERY_MODEL(packet_unix_stop_cuts_answers_that_wait)
{
    place p = place_of("socket"), own = place_of("own");
    struct record *r;
    weft_server *s = serve(kind, (weft_server_options){.host = p.host, .write_timeout = -1}, &r);
    int fd = open_socket(SOCK_DGRAM, path_of(&own));
    send_many_to(fd, path_of(&p), 20); /* more than the kernel keeps for one who does not read */
    wait_until(has_taken, &(struct taken){s, 12}, "more have been taken in hand than can be answered");
    weft_server_stop(s, weft_in_ms(1));
    CHECK_OK(weft_server_wait(s, WEFT_FOREVER));
    weft_packet_stats stats = packet_stats(s);
    CHECK_INT(stats.received, stats.handled + stats.cut);
    CHECK(!exists(&p));
    weft_server_close(s);
    close(fd);
}

/* ---- the file ---- */

PACKET_EVERY_MODEL(packet_unix_server_replaces_the_file_of_a_dead_one)
{
    place p = place_of("socket");
    struct record *r;
    close(open_socket(SOCK_DGRAM, path_of(&p)));
    weft_server *s = serve(kind, (weft_server_options){.host = p.host}, &r);
    check_answers(&p);
    serve_stop(s);
    CHECK(!exists(&p));
}

TEST(packet_unix_server_leaves_what_others_have_there)
{
    place p = place_of("socket");
    int fd = open_socket(SOCK_STREAM, path_of(&p));
    CHECK_INT(0, listen(fd, 5));
    CHECK_ERR(-EADDRINUSE, open_at(p.host));
    CHECK(exists(&p));
    close(fd);
    unlink(path_of(&p));
    fd = open_socket(SOCK_DGRAM, path_of(&p));
    CHECK_ERR(-EADDRINUSE, open_at(p.host));
    CHECK(exists(&p));
    close(fd);
    unlink(path_of(&p));
    close(open(path_of(&p), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    CHECK_ERR(-EADDRINUSE, open_at(p.host));
    CHECK(exists(&p));
    CHECK_ERR(-ENOENT, open_at("unix:/no/such/directory/socket"));
}

static bool has_no_file(void *arg)
{
    return !exists(arg);
}

/* Its file says that nobody is there any more, also while handlers still work; and what is put in its place stays. */
static void packet_unix_server_that_is_told_to_stop_takes_its_file_away(const serve_kind *kind);
SERVE__MANY(30, packet_unix_server_that_is_told_to_stop_takes_its_file_away, )
static void packet_unix_server_that_is_told_to_stop_takes_its_file_away(const serve_kind *kind)
{
    enum {
        MANY = 20 /* more than the kernel keeps for one who does not read */
    };
    place p = place_of("socket"), own = place_of("own");
    struct record *r;
    weft_server_options o = {.host = p.host, .write_timeout = -1, .threads = 1, .processes = kind->forks ? 1 : 0};
    weft_server *s = serve(kind, o, &r);
    int fd = open_socket(SOCK_DGRAM, path_of(&own));
    send_many_to(fd, path_of(&p), MANY);
    wait_until(has_taken, &(struct taken){s, MANY}, "all have been taken in hand");
    weft_server_stop(s, WEFT_FOREVER);
    wait_until(has_no_file, &p, "the end of the file");
    CHECK_ERR(-ETIMEDOUT, weft_server_wait(s, WEFT_NOW));
    int other = open_socket(SOCK_DGRAM, path_of(&p));
    for (int i = 0; i < MANY; i++)
        packet_expect(fd, "e");
    CHECK_OK(weft_server_wait(s, WEFT_FOREVER));
    weft_server_close(s);
    CHECK(exists(&p));
    close(other);
    close(fd);
}

/* ---- a successor ---- */

PACKET_EVERY_MODEL(packet_unix_server_that_retires_leaves_its_file_and_what_waits)
{
    enum {
        MOST = 16
    };
    place p = place_of("socket"), own = place_of("own");
    struct record *r;
    int fds[MOST];
    weft_server *old = serve(kind, (weft_server_options){.host = p.host}, &r);
    int n = weft_server_listeners(old, fds, MOST);
    CHECK_BETWEEN(1, MOST, n);
    for (int i = 0; i < n; i++)
        CHECK((fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 0)) >= 0);
    weft_server_retire(old, weft_in_seconds(3600));
    CHECK_OK(weft_server_wait(old, WEFT_FOREVER));
    weft_server_close(old);
    CHECK(exists(&p));
    int fd = open_client(path_of(&p), path_of(&own));
    packet_say(fd, "waits");
    weft_server_options o = {.listeners = fds, .listener_count = (unsigned)n};
    weft_server *new = serve(kind, o, &r);
    CHECK_STR(p.host, weft_server_address(new));
    packet_expect(fd, "waits");
    check_answers(&p);
    close(fd);
    serve_stop(new);
    CHECK(exists(&p));
}
