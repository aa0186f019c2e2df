/* io_support.c - see io_support.h. */
#include "io/io_support.h"

#include <weft/co.h>

#include "co/sched.h"
#include "sys/multiplex.h"

#include <netinet/tcp.h>
#include <stdlib.h>

/* The back end of this name; skips the case where the kernel lacks it. */
static const weft__poller_ops *find_backend(const char *kind)
{
    const weft__poller_ops *ops;
    weft__poller *p;
    bool uring = strncmp(kind, "uring", 5) == 0;
    CHECK_OK(weft__poller_ops_by_name(uring ? "uring" : kind, &ops));
    if (uring) {
        int fd = weft__sys_eventfd();
        CHECK(fd >= 0);
        int err = ops->open(&p, fd, true);
        if (err == 0)
            ops->close(p);
        close(fd);
        if (err < 0)
            SKIP("this kernel has no io_uring for us");
    }
    return ops;
}

void io_use(const char *kind)
{
    CHECK_OK(weft_io_use(find_backend(kind)->name));
}

weft__poller *io_open(const char *kind)
{
    const weft__poller_ops *ops = find_backend(kind);
    weft__poller *p;
    bool old = strcmp(kind, "uring-old") == 0;
    if (old)
        weft__sys_plan(WEFT__SYS_URING_SETUP, 2, 1, -EINVAL, 0); /* no buffer ring */
    CHECK_OK(weft__poller_open(&p, ops, true));
    if (old)
        weft__sys_plan_none();
    return p;
}

weft_until io_patience(void)
{
    return weft_in_seconds(20 * test_limit_factor());
}

void io_run_until(weft__poller *p, const int *flag, int n)
{
    weft_until until = io_patience();
    while (*flag < n) {
        int err = weft__poller_run(p, until.at, 256);
        CHECK(err >= 0);
        if (*flag < n && weft_left(until) == 0)
            FAIL("%d of %d callbacks have come", *flag, n);
    }
}

void io_run_until_bytes(weft__poller *p, const size_t *bytes, size_t n)
{
    weft_until until = io_patience();
    while (*bytes < n) {
        CHECK(weft__poller_run(p, until.at, 256) >= 0);
        if (*bytes < n && weft_left(until) == 0)
            FAIL("%zu of %zu bytes have come", *bytes, n);
    }
}

void io_run_dry(weft__poller *p)
{
    int idle = 0;
    while (idle < 3) {
        int n = weft__poller_run(p, weft_in_ms(1).at, 256);
        CHECK(n >= 0);
        idle = n > 0 ? 0 : idle + 1;
    }
}

int io_listener(void)
{
    weft__address a;
    CHECK_OK(weft__address_parse(&a, "127.0.0.1", 0));
    int fd = weft__sys_socket(AF_INET, SOCK_STREAM);
    CHECK(fd >= 0);
    CHECK_OK(weft__sys_bind(fd, &a));
    CHECK_OK(weft__sys_listen(fd, 1024));
    return fd;
}

int io_connection_to(int listener)
{
    weft__address a;
    CHECK_OK(weft__sys_local(listener, &a));
    int fd = weft__sys_socket(AF_INET, SOCK_STREAM);
    CHECK(fd >= 0);
    int err = weft__sys_connect(fd, &a);
    CHECK(err == 0 || err == -EINPROGRESS);
    struct pollfd one = {.fd = fd, .events = POLLOUT};
    CHECK_INT(1, weft__sys_poll(&one, 1, io_patience().at));
    CHECK_OK(weft__sys_socket_error(fd));
    return fd;
}

void io_tcp_pair(int fds[2])
{
    int listener = io_listener();
    fds[0] = io_connection_to(listener);
    struct pollfd one = {.fd = listener, .events = POLLIN};
    CHECK_INT(1, weft__sys_poll(&one, 1, io_patience().at));
    fds[1] = weft__sys_accept(listener, NULL);
    CHECK(fds[1] >= 0);
    close(listener);
    CHECK_OK(weft__sys_setsockopt(fds[0], IPPROTO_TCP, TCP_NODELAY, 1));
    CHECK_OK(weft__sys_setsockopt(fds[1], IPPROTO_TCP, TCP_NODELAY, 1));
}

weft__poller *io_open_on_pair(const char *kind, weft__fd_slot *slot, const weft__slot_fn *fn, unsigned events,
                              int fds[2])
{
    weft__poller *p = io_open(kind);
    io_tcp_pair(fds);
    slot->fn = fn;
    slot->fd = fds[0];
    CHECK_OK(weft__slot_add(p, slot, events));
    return p;
}

void io_close_on_pair(weft__poller *p, weft__fd_slot *slot, int fds[2])
{
    weft__slot_remove(slot);
    close(fds[0]);
    close(fds[1]);
    weft__poller_close(p);
}

io_pair io_stream_pair(const weft_tcp_options *options)
{
    io_pair p;
    weft_stream *l;
    CHECK_OK(weft_tcp_listen(&l, NULL, 0, options));
    CHECK_OK(weft_tcp_connect(&p.a, NULL, weft_stream_port(l), options, io_patience()));
    CHECK_OK(weft_tcp_accept(&p.b, l, io_patience()));
    weft_stream_close(l);
    return p;
}

void io_close_pair(io_pair p)
{
    weft_stream_close(p.a);
    weft_stream_close(p.b);
}

static void wait_for(int fd, short events)
{
    struct pollfd one = {.fd = fd, .events = events};
    CHECK_INT(1, weft__sys_poll(&one, 1, io_patience().at));
}

void io_write(int fd, const void *data, size_t size)
{
    for (size_t sent = 0; sent < size;) {
        ssize_t n = weft__sys_send(fd, (const char *)data + sent, size - sent, MSG_DONTWAIT);
        if (n == -EAGAIN)
            wait_for(fd, POLLOUT);
        else if (n < 0)
            FAIL("send: %s", weft_strerror((int)n));
        else
            sent += (size_t)n;
    }
}

void io_read(int fd, void *data, size_t size)
{
    for (size_t got = 0; got < size;) {
        ssize_t n = weft__sys_recv(fd, (char *)data + got, size - got, MSG_DONTWAIT);
        if (n == -EAGAIN)
            wait_for(fd, POLLIN);
        else if (n <= 0)
            FAIL("recv: %s after %zu of %zu bytes", n == 0 ? "end" : weft_strerror((int)n), got, size);
        else
            got += (size_t)n;
    }
}

static unsigned char pattern_at(size_t i)
{
    return (unsigned char)((i * 2654435761u >> 13) ^ i);
}

void io_pattern(void *data, size_t size, size_t at)
{
    for (size_t i = 0; i < size; i++)
        ((unsigned char *)data)[i] = pattern_at(at + i);
}

void io_write_pattern(int fd, size_t size, size_t at)
{
    char *data = malloc(size);
    io_pattern(data, size, at);
    io_write(fd, data, size);
    free(data);
}

void io_check_pattern(const void *data, size_t size, size_t at)
{
    for (size_t i = 0; i < size; i++)
        if (((const unsigned char *)data)[i] != pattern_at(at + i))
            FAIL("byte %zu is not what was sent", at + i);
}

static int do_nothing(void *arg)
{
    (void)arg;
    return 0;
}

/* Calls from one thread keep their order, so what was sent there before this coroutine has been done when it has run.
 */
void io_settle(void)
{
    for (unsigned i = 0; i < weft__sched_count(); i++) {
        weft_co *co;
        CHECK_OK(weft__co_start_on(i, &co, do_nothing, NULL, NULL));
        CHECK_OK(weft_co_join(co, NULL, io_patience()));
    }
}
