/* unix_fds_test.c - descriptors that go along with a stream's bytes, who is at the other end, and streams that end
 * otherwise than by a close. */
#include "io/tls_support.h"

#include <weft/co.h>

#include "io/stream.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum {
    MUCH = 3000000
};

static bool is_same_file(int a, int b)
{
    struct stat x, y;
    return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static int some_file(const char *name)
{
    char path[300];
    snprintf(path, sizeof path, "%s/%s", test_dir(), name);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    return fd;
}

TEST_WAITERS(unix_stream_carries_descriptors)
{
    weft_stream *p[2];
    int sent[2] = {some_file("a"), some_file("b")}, got[4];
    char text[100];
    unsigned n = 4;
    CHECK_OK(weft_unix_pair(p));
    CHECK_INT(5, weft_stream_send_fds(p[0], "hello", 5, sent, 2, io_patience()));
    CHECK_INT(3, weft_stream_send_fds(p[0], "one", 3, sent, 1, io_patience()));
    CHECK_INT(5, weft_stream_recv_fds(p[1], text, sizeof text, got, &n, io_patience())); /* no further than that */
    CHECK_MEM("hello", text, 5);
    CHECK_INT(2, n);
    for (int i = 0; i < 2; i++) {
        CHECK(is_same_file(sent[i], got[i]));
        CHECK(fcntl(got[i], F_GETFD) & FD_CLOEXEC);
        close(got[i]);
    }
    CHECK_INT(3, weft_stream_recv(p[1], text, sizeof text, io_patience())); /* the bytes alone */
    CHECK_INT(2, weft_stream_send_fds(p[0], "xy", 2, sent, 2, io_patience()));
    n = 1;
    CHECK_INT(1, weft_stream_recv_fds(p[1], text, 1, got, &n, io_patience())); /* the second is closed */
    CHECK_INT(1, n);
    close(got[0]);
    n = 4;
    CHECK_INT(1, weft_stream_recv_fds(p[1], text, sizeof text, got, &n, io_patience()));
    CHECK_INT(0, n);
    n = 4;
    CHECK_ERR(-ETIMEDOUT, weft_stream_recv_fds(p[1], text, sizeof text, got, &n, weft_in_ms(1)));
    CHECK_INT(0, n);
    for (int i = 0; i < 2; i++) {
        weft_stream_close(p[i]);
        close(sent[i]);
    }
}

static int receive_much(void *arg)
{
    char *in = malloc(MUCH);
    int fd = -1;
    unsigned n = 1;
    ssize_t first = weft_stream_recv_fds(arg, in, 1000, &fd, &n, io_patience());
    CHECK_BETWEEN(1, 1000, first);
    CHECK_INT(1, n);
    close(fd);
    CHECK_INT(MUCH - first, weft_stream_recv_all(arg, in + first, MUCH - (size_t)first, NULL, io_patience()));
    io_check_pattern(in, MUCH, 0);
    free(in);
    return 0;
}

/* They go with the first byte, once; the rest goes as ever. */
TEST_WAITERS(unix_stream_carries_descriptors_beside_many_bytes)
{
    weft_stream *p[2];
    char *data = malloc(MUCH);
    int fd = some_file("a");
    io_pattern(data, MUCH, 0);
    CHECK_OK(weft_unix_pair(p));
    test_spawn(t, receive_much, p[1]);
    CHECK_INT(MUCH, weft_stream_send_fds(p[0], data, MUCH, &fd, 1, io_patience()));
    test_join(t);
    free(data);
    close(fd);
    weft_stream_close(p[0]);
    weft_stream_close(p[1]);
}

TEST_WAITERS(unix_stream_refuses_descriptors_that_cannot_go)
{
    weft_stream *p[2];
    int fds[300];
    unsigned n = 1;
    char byte;
    for (int i = 0; i < 300; i++)
        fds[i] = 0;
    CHECK_OK(weft_unix_pair(p));
    CHECK_ERR(-EINVAL, weft_stream_send_fds(p[0], "x", 1, fds, 254, io_patience()));
    CHECK_ERR(-EINVAL, weft_stream_send_fds(p[0], "", 0, fds, 1, io_patience()));
    CHECK_ERR(-EBADF, weft_stream_send_fds(p[0], "x", 1, &(int){-1}, 1, io_patience()));
    CHECK_ERR(-EINVAL, weft_stream_recv_fds(p[1], &byte, 0, fds, &n, io_patience()));
    weft_stream_close(p[1]);
    CHECK_ERR(-EPIPE, weft_stream_send_fds(p[0], "x", 1, fds, 1, io_patience()));
    n = 1;
    CHECK_INT(0, weft_stream_recv_fds(p[0], &byte, 1, fds, &n, io_patience()));
    CHECK_INT(0, n);
    weft_stream_close(p[0]);
    io_pair tcp = io_stream_pair(NULL);
    CHECK_ERR(-EOPNOTSUPP, weft_stream_send_fds(tcp.a, "x", 1, fds, 1, io_patience()));
    CHECK_ERR(-EOPNOTSUPP, weft_stream_recv_fds(tcp.a, &byte, 1, fds, &n, io_patience()));
    io_close_pair(tcp);
}

TEST_WAITERS(unix_stream_knows_who_is_there)
{
    weft_stream *l, *s[2];
    weft_unix_user user;
    char name[200];
    snprintf(name, sizeof name, "%s/socket", test_dir());
    CHECK_OK(weft_unix_listen(&l, name, NULL));
    CHECK_OK(weft_unix_connect(&s[0], name, NULL, io_patience()));
    CHECK_OK(weft_stream_accept(&s[1], l, io_patience()));
    for (int i = 0; i < 2; i++) {
        CHECK_OK(weft_unix_peer(s[i], &user));
        CHECK_INT(getpid(), user.pid);
        CHECK_INT(geteuid(), user.uid);
        CHECK_INT(getegid(), user.gid);
        weft_stream_close(s[i]);
    }
    weft_stream_close(l);
    io_pair tcp = io_stream_pair(NULL);
    CHECK_ERR(-EOPNOTSUPP, weft_unix_peer(tcp.a, &user));
    io_close_pair(tcp);
}

/* ---- other ends than a close ---- */

TEST_WAITERS(stream_reset_is_told_to_the_peer)
{
    io_pair p = io_stream_pair(NULL);
    char byte;
    CHECK_INT(1, weft_stream_send(p.a, "x", 1, io_patience()));
    CHECK_ERR(-ETIMEDOUT, weft_stream_recv(p.a, &byte, 1, weft_in_ms(1))); /* has a home by then */
    weft_stream_reset(p.a);
    ssize_t n = weft_stream_recv(p.b, &byte, 1, io_patience());
    while (n == 1) /* what had come before may be read */
        n = weft_stream_recv(p.b, &byte, 1, io_patience());
    CHECK_ERR(-ECONNRESET, n);
    weft_stream_close(p.b);
    weft_stream *pair[2];
    CHECK_OK(weft_unix_pair(pair));
    CHECK_INT(1, weft_stream_send(pair[0], "x", 1, io_patience()));
    weft_stream_reset(pair[0]);
    CHECK_INT(1, weft_stream_recv(pair[1], &byte, 1, io_patience()));
    CHECK_INT(0, weft_stream_recv(pair[1], &byte, 1, io_patience()));
    weft_stream_close(pair[1]);
    weft_stream_reset(NULL);
}

TEST_WAITERS(stream_reset_says_no_end_of_tls)
{
    tls_pair p;
    char byte;
    tls_open_pair(&p);
    io_pair s = tls_streams(t, &p, NULL);
    weft_stream_reset(s.a);
    CHECK_ERR(-ECONNRESET, weft_stream_recv(s.b, &byte, 1, io_patience()));
    weft_stream_close(s.b);
    tls_close_pair(&p);
}

TEST_WAITERS(stream_gives_its_descriptor_away)
{
    io_pair p = io_stream_pair(NULL);
    char byte;
    CHECK_ERR(-ETIMEDOUT, weft_stream_recv(p.a, &byte, 1, weft_in_ms(1))); /* is watched by then */
    int fd = weft_stream_detach(p.a);
    CHECK(fd >= 0);
    io_write(fd, "x", 1);
    CHECK_INT(1, weft_stream_recv(p.b, &byte, 1, io_patience()));
    CHECK_OK(weft_stream_adopt(&p.a, fd));
    CHECK_INT(1, weft_stream_send(p.b, "y", 1, io_patience()));
    CHECK_INT(1, weft_stream_recv(p.a, &byte, 1, io_patience()));
    io_close_pair(p);
    weft_stream *l, *s;
    char name[200];
    snprintf(name, sizeof name, "%s/socket", test_dir());
    CHECK_OK(weft_unix_listen(&l, name, NULL));
    fd = weft_stream_detach(l);
    CHECK(fd >= 0);
    CHECK_OK(weft_unix_connect(&s, name, NULL, io_patience())); /* the file has stayed */
    weft_stream_close(s);
    close(fd);
}

static int receives_nothing(void *arg)
{
    char byte;
    CHECK_INT(0, weft_stream_recv(arg, &byte, 1, io_patience()));
    return 0;
}

TEST_WAITERS(stream_that_is_used_is_not_given_away)
{
    io_pair p = io_stream_pair(NULL);
    test_spawn(t, receives_nothing, p.a);
    while ((uint32_t)load_relaxed(&p.a->users) == 1) /* until it has begun */
        weft_sleep(weft_in_ms(1));
    CHECK_ERR(-EBUSY, weft_stream_detach(p.a));
    weft_stream_close(p.b);
    test_join(t);
    weft_stream_close(p.a);
    tls_pair tls;
    tls_open_pair(&tls);
    io_pair s = tls_streams(t, &tls, NULL);
    CHECK_ERR(-EOPNOTSUPP, weft_stream_detach(s.a));
    io_close_pair(s);
    tls_close_pair(&tls);
}
