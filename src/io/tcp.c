/* tcp.c - TCP listeners and connections, and the names of their addresses. A name is looked up by the C library,
 * which blocks, so it is done where blocking does no harm (weft_blocking); numeric addresses are not sent there. */
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

static int open_socket(const weft__address *a, const weft_tcp_options *o)
{
    int fd = weft__sys_socket(a->any.sa_family, SOCK_STREAM);
    if (fd < 0)
        return fd;
    int err = 0;
    if (!o->delay)
        err = weft__sys_setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (err == 0 && o->keep_alive)
        err = weft__sys_setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
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
    int fd = open_socket(a, o); /* what is set here is inherited by each accepted connection */
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
    weft_stream *s = weft__stream_new(fd, true);
    if (s == NULL)
        return -ENOMEM;
    *out = s;
    return 0;
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
    weft_stream *s = weft__stream_new(fd, tcp);
    if (s == NULL)
        return -ENOMEM;
    *out = s;
    return 0;
}

int weft_tcp_accept(weft_stream **out, weft_stream *listener, weft_until until)
{
    return weft_stream_accept(out, listener, until);
}

/* ---- connect ---- */

/* A connection to a free local port may be given that very port as its own and so be connected to itself. */
static bool is_connected_to_itself(int fd)
{
    weft__address local, peer;
    char ours[WEFT_ADDRESS_MAX], theirs[WEFT_ADDRESS_MAX];
    if (weft__sys_local(fd, &local) < 0 || weft__sys_peer(fd, &peer) < 0 ||
        weft__address_port(&local) != weft__address_port(&peer))
        return false;
    int size = weft__address_text(&local, ours, sizeof ours);
    return size == weft__address_text(&peer, theirs, sizeof theirs) && memcmp(ours, theirs, (size_t)size) == 0;
}

static int connect_to(const weft__address *a, const weft_tcp_options *o, weft_until until)
{
    int fd = open_socket(a, o);
    if (fd < 0)
        return fd;
    int err = weft__sys_connect(fd, a);
    if (err == -EINPROGRESS) {
        err = weft_fd_wait(fd, WEFT_POLLOUT, until);
        if (err >= 0)
            err = weft__sys_socket_error(fd);
    }
    if (err == 0 && is_connected_to_itself(fd))
        err = -ECONNREFUSED;
    if (err < 0) {
        weft__sys_close(fd);
        return err;
    }
    return fd;
}

int weft_tcp_connect(weft_stream **out, const char *host, unsigned port, const weft_tcp_options *options,
                     weft_until until)
{
    weft__address addresses[ADDRESSES];
    int n = weft__io_resolve(host, port, false, addresses);
    if (n < 0)
        return n;
    int fd = -ENOENT;
    for (int i = 0; i < n && fd < 0; i++) {
        fd = connect_to(&addresses[i], options != NULL ? options : &no_options, until);
        if (fd == -ECANCELED || fd == -EMFILE || fd == -ENFILE)
            break; /* another address would not help */
    }
    if (fd < 0)
        return fd;
    weft_stream *s = weft__stream_new(fd, true);
    if (s == NULL)
        return -ENOMEM;
    *out = s;
    return 0;
}
