/* tcp.c - TCP listeners, the options of TCP sockets, and the names of their addresses; connect.c connects. A name is
 * looked up by the C library, which blocks, so it is done where blocking does no harm (weft_blocking); numeric ones are
 * not sent there. */
#include "io/stream.h"
#include "sys/net.h"
#include "sys/sys.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>

enum {
    ADDRESSES = WEFT__ADDRESSES
};

static const weft_tcp_options no_options;

/* ---- names ---- */

typedef struct lookup {
    const char *host;
    unsigned port;
    bool passive;
    weft__address *out;
} lookup;

static int look_up(void *arg)
{
    lookup *l = arg;
    return weft__address_lookup(l->host, l->port, l->passive, l->out, ADDRESSES);
}

int weft__io_resolve(const char *host, unsigned port, bool passive, weft__address *out)
{
    if (host == NULL)
        host = "127.0.0.1";
    if (port > 65535)
        return -EINVAL;
    if (weft_address_of(out, host, port) == 0)
        return 1;
    return weft_blocking(look_up, &(lookup){host, port, passive, out});
}

int weft_address_lookup(weft_address *a, unsigned max, const char *host, unsigned port)
{
    weft__address found[ADDRESSES];
    if (max == 0)
        return -EINVAL;
    int n = weft__io_resolve(host, port, false, found);
    if (n <= 0)
        return n;
    unsigned count = (unsigned)n < max ? (unsigned)n : max;
    memcpy(a, found, count * sizeof *a);
    return (int)count;
}

typedef struct naming {
    const weft_address *a;
    char *name;
    size_t size;
} naming;

static int find_name(void *arg)
{
    naming *n = arg;
    return weft__address_name(n->a, n->name, n->size);
}

int weft_address_name(const weft_address *a, char *name, size_t size)
{
    return size == 0 ? -EINVAL : weft_blocking(find_name, &(naming){a, name, size});
}

/* ---- sockets ---- */

int weft__io_buffers(int fd, unsigned send_buffer, unsigned recv_buffer)
{
    int err = 0;
    if (send_buffer != 0)
        err = weft__sys_setsockopt(fd, SOL_SOCKET, SO_SNDBUF, send_buffer > INT32_MAX ? INT32_MAX : (int)send_buffer);
    if (err == 0 && recv_buffer != 0)
        err = weft__sys_setsockopt(fd, SOL_SOCKET, SO_RCVBUF, recv_buffer > INT32_MAX ? INT32_MAX : (int)recv_buffer);
    return err;
}

/* A number that the kernel takes only in a range of its own is cut to it. */
static int set_up_to(int fd, int name, unsigned value, unsigned most)
{
    return value == 0 ? 0 : weft__sys_setsockopt(fd, IPPROTO_TCP, name, (int)(value < most ? value : most));
}

/* How long a peer may be silent. */
static int set_patience(int fd, const weft_tcp_options *o)
{
    enum {
        MOST_SECONDS = 32767,
        MOST_PROBES = 127
    };
    int err = 0;
    if (o->keep_alive || o->keep_idle != 0 || o->keep_interval != 0 || o->keep_probes != 0)
        err = weft__sys_setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    if (err == 0)
        err = set_up_to(fd, TCP_KEEPIDLE, o->keep_idle, MOST_SECONDS);
    if (err == 0)
        err = set_up_to(fd, TCP_KEEPINTVL, o->keep_interval, MOST_SECONDS);
    if (err == 0)
        err = set_up_to(fd, TCP_KEEPCNT, o->keep_probes, MOST_PROBES);
    if (err == 0)
        err = set_up_to(fd, TCP_USER_TIMEOUT, o->unanswered_ms, INT32_MAX);
    return err;
}

int weft__io_tcp_socket(const weft__address *a, const weft_tcp_options *o)
{
    int fd = weft__sys_socket(a->any.sa_family, SOCK_STREAM);
    if (fd < 0)
        return fd;
    int err = 0;
    if (!o->delay)
        err = weft__sys_setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (err == 0)
        err = set_patience(fd, o);
    if (err == 0)
        err = weft__io_buffers(fd, o->send_buffer, o->recv_buffer);
    if (err == 0 && o->max_rate != 0)
        err = weft__sys_setsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, (int)o->max_rate);
    if (err < 0) {
        weft__sys_close(fd);
        return err;
    }
    return fd;
}

static int listen_at(const weft__address *a, const weft_tcp_options *o)
{
    int fd = weft__io_tcp_socket(a, o); /* what is set here is inherited by each accepted connection */
    if (fd < 0)
        return fd;
    int err = weft__sys_setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (err == 0 && o->reuse_port)
        err = weft__sys_setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (err == 0 && a->any.sa_family == AF_INET6)
        err = weft__sys_setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, o->only_v6);
    if (err == 0)
        err = weft__sys_bind(fd, a);
    if (err == 0)
        err = weft__sys_listen(fd, o->backlog != 0 ? o->backlog : WEFT__BACKLOG);
    if (err < 0) {
        weft__sys_close(fd);
        return err;
    }
    return fd;
}

int weft_tcp_listen(weft_stream **out, const char *host, unsigned port, const weft_tcp_options *options)
{
    weft__address addresses[ADDRESSES];
    int n = weft__io_resolve(host, port, true, addresses);
    if (n < 0)
        return n;
    int fd = -ENOENT;
    for (int i = 0; i < n && fd < 0; i++)
        fd = listen_at(&addresses[i], options != NULL ? options : &no_options);
    if (fd < 0)
        return fd;
    return weft__stream_make(out, fd, true);
}

/* ---- accept ---- */

static int accept_one(weft_stream *listener, weft_until until)
{
    bool try = weft__stream_may_try(listener, WEFT_POLLIN);
    int last = 0, err = 0;
    for (;;) {
        if (try) {
            int fd = weft__sys_accept(listener->fd, NULL);
            if (fd == -EINVAL && (load_relaxed(&listener->users) & WEFT__STREAM_CLOSED))
                return -EBADF;
            if (fd != -EAGAIN)
                return fd;
            weft__stream_empty(listener, WEFT_POLLIN);
        }
        if (last > 0)
            return err;
        last = weft__stream_wait(listener, WEFT_POLLIN, until, &err);
        if (last < 0)
            return last;
        try = true;
    }
}

int weft_stream_accept(weft_stream **out, weft_stream *listener, weft_until until)
{
    int fd = weft__stream_enter(listener);
    if (fd < 0)
        return fd;
    bool tcp = listener->tcp;
    fd = accept_one(listener, until);
    weft__stream_leave(listener);
    if (fd < 0)
        return fd;
    return weft__stream_make(out, fd, tcp);
}

int weft_tcp_accept(weft_stream **out, weft_stream *listener, weft_until until)
{
    return weft_stream_accept(out, listener, until);
}
