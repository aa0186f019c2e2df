/* datagram.c - datagram sockets: opening and closing, one datagram at a time, groups. Batches are in datagram_many.c.
 * A Unix socket that is not connected to its receiver is told writable while the receiver's queue is full: then the
 * sender sleeps for a moment and tries again. Pinned by tests/io/datagram_test.c. */
#include "io/datagram.h"

#include "sys/sys.h"

#include <errno.h>
#include <netinet/udp.h>
#include <string.h>

enum {
    BUNDLE = 65536,
    ERRORS_AT_ONCE = 64,
    SENDS_AGAIN = 8 /* an error that stays for so long is this datagram's own */
};

static const weft_datagram_options no_options;

/* ---- life ---- */

static void closing(weft_stream *s)
{
    weft__sys_unbind_unix(&((weft_datagram *)s)->file);
}

static void gone(weft_stream *s)
{
    weft_datagram *d = (weft_datagram *)s;
    weft__free(d->bundle);
    weft__free(d);
}

static const weft__stream_layer datagram_layer = {.closing = closing, .gone = gone};

static weft_datagram *new_datagram(int fd, int family, const weft__socket_file *file)
{
    weft_datagram *d = weft__calloc(1, sizeof *d);
    if (d == NULL) {
        weft__sys_close(fd);
        return NULL;
    }
    weft__stream_init(&d->stream, fd, false);
    d->stream.layer = &datagram_layer;
    d->stream.watch.mends = true;
    d->family = family;
    if (file != NULL)
        d->file = *file;
    d->no_segments = family == AF_UNIX || weft__sys_setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, 0) < 0;
    return d;
}

static int gather(weft_datagram *d)
{
    if (d->family == AF_UNIX || weft__sys_setsockopt(d->stream.fd, IPPROTO_UDP, UDP_GRO, 1) < 0)
        return 0; /* one by one, then */
    d->bundle = weft__malloc(BUNDLE);
    return d->bundle == NULL ? -ENOMEM : 0;
}

static int set_options(int fd, int family, const weft_datagram_options *o)
{
    int err = weft__io_buffers(fd, o->send_buffer, o->recv_buffer);
    if (err == 0 && o->broadcast)
        err = weft__sys_setsockopt(fd, SOL_SOCKET, SO_BROADCAST, 1);
    if (err == 0 && o->reuse_address)
        err = weft__sys_setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (err == 0 && o->reuse_port)
        err = weft__sys_setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (err == 0 && family == AF_INET6)
        err = weft__sys_setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, o->only_v6);
    return err;
}

static int open_udp(const weft_address *a, bool connected, const weft_datagram_options *o)
{
    int fd = weft__sys_socket(a->any.sa_family, SOCK_DGRAM);
    if (fd < 0)
        return fd;
    int err = set_options(fd, a->any.sa_family, o);
    if (err == 0)
        err = connected ? weft__sys_connect(fd, a) : weft__sys_bind(fd, a);
    if (err < 0) {
        weft__sys_close(fd);
        return err;
    }
    return fd;
}

static int finish(weft_datagram **out, int fd, int family, const weft_datagram_options *o,
                  const weft__socket_file *file)
{
    weft_datagram *d = new_datagram(fd, family, file);
    if (d == NULL)
        return -ENOMEM;
    if (o->no_segmentation)
        d->no_segments = 1;
    int err = o->gather ? gather(d) : 0;
    if (err < 0) {
        weft_datagram_close(d);
        return err;
    }
    *out = d;
    return 0;
}

static int udp(weft_datagram **out, const char *host, unsigned port, bool connected, const weft_datagram_options *o)
{
    weft_address addresses[WEFT__ADDRESSES];
    int n = weft__io_resolve(host, port, !connected, addresses);
    if (n < 0)
        return n;
    int fd = -ENOENT, family = AF_INET;
    for (int i = 0; i < n && fd < 0; i++) {
        family = addresses[i].any.sa_family;
        fd = open_udp(&addresses[i], connected, o);
    }
    return fd < 0 ? fd : finish(out, fd, family, o, NULL);
}

int weft_udp_open(weft_datagram **d, const char *host, unsigned port, const weft_datagram_options *options)
{
    return udp(d, host, port, false, options != NULL ? options : &no_options);
}

int weft_udp_connect(weft_datagram **d, const char *host, unsigned port, const weft_datagram_options *options)
{
    return udp(d, host, port, true, options != NULL ? options : &no_options);
}

int weft_unix_datagram_open(weft_datagram **d, const char *path, const weft_datagram_options *options)
{
    const weft_datagram_options *o = options != NULL ? options : &no_options;
    weft_address a = {.size = sizeof(sa_family_t)}; /* the kernel finds a name */
    a.un.sun_family = AF_UNIX;
    int err = path != NULL ? weft_address_unix(&a, path) : 0;
    if (err < 0)
        return err;
    weft__unix_request request = {SOCK_DGRAM, 0, o->mode, o->send_buffer, o->recv_buffer};
    weft__socket_file file;
    int fd = weft__io_unix_bind(&a, &request, &file);
    if (fd < 0)
        return fd;
    err = finish(d, fd, AF_UNIX, o, &file);
    if (err < 0)
        weft__sys_unbind_unix(&file);
    return err;
}

int weft_unix_datagram_connect(weft_datagram **out, const char *path, const weft_datagram_options *options)
{
    weft_datagram *d;
    weft_address a;
    int err = weft_address_unix(&a, path);
    if (err != 0)
        return err;
    err = weft_unix_datagram_open(&d, NULL, options);
    if (err != 0)
        return err;
    err = weft__sys_connect(d->stream.fd, &a);
    if (err < 0) {
        weft_datagram_close(d);
        return err;
    }
    *out = d;
    return 0;
}

int weft_unix_datagram_pair(weft_datagram *pair[2])
{
    int fds[2];
    int err = weft__sys_socketpair(SOCK_DGRAM, fds);
    if (err < 0)
        return err;
    weft_datagram *first = new_datagram(fds[0], AF_UNIX, NULL);
    weft_datagram *second = new_datagram(fds[1], AF_UNIX, NULL);
    if (first == NULL || second == NULL) {
        weft_datagram_close(first);
        weft_datagram_close(second);
        return -ENOMEM;
    }
    pair[0] = first;
    pair[1] = second;
    return 0;
}

int weft_datagram_adopt(weft_datagram **out, int fd)
{
    int domain = weft__sys_take_socket(fd, SOCK_DGRAM);
    if (domain < 0)
        return domain;
    return finish(out, fd, domain, &no_options, NULL);
}

int weft_datagram_connect(weft_datagram *d, const weft_address *to)
{
    weft_address a = {.size = sizeof a.any}; /* AF_UNSPEC: nobody */
    int err = weft__stream_enter(&d->stream);
    if (err < 0)
        return err;
    if (to != NULL && to->size != 0)
        err = weft__datagram_address(d, to, &a);
    if (err == 0)
        err = weft__sys_connect(d->stream.fd, &a);
    weft__stream_leave(&d->stream);
    return err;
}

void weft_datagram_close(weft_datagram *d)
{
    if (d != NULL)
        weft_stream_close(&d->stream);
}

/* ---- one datagram ---- */

int weft__datagram_wait(weft_datagram *d, weft__trying *t, unsigned events, bool told)
{
    weft_stream *s = &d->stream;
    weft__stream_empty(s, events);
    if (t->last > 0)
        return t->err;
    if (told) {
        t->last = weft__stream_wait(s, events, t->until, &t->err);
        return t->last < 0 ? t->last : 0;
    }
    int err = weft__io_pause(&t->pause, t->until);
    return weft__stream_closed(s) ? -EBADF : err;
}

int weft__datagram_address(const weft_datagram *d, const weft_address *to, weft_address *a)
{
    *a = *to;
    if (d->family == AF_INET6)
        weft__address_map(a);
    else if (d->family == AF_INET)
        weft__address_unmap(a);
    return a->any.sa_family == d->family ? 0 : -EAFNOSUPPORT;
}

static ssize_t send_one(weft_datagram *d, const void *data, size_t size, const weft_address *to, weft_until until)
{
    weft__trying t = {.until = until, .pause = WEFT__FIRST_PAUSE};
    weft_address mapped;
    struct iovec piece = {(void *)(uintptr_t)data, size};
    struct msghdr msg = {.msg_iov = &piece, .msg_iovlen = 1};
    if (to != NULL && to->size != 0) {
        int err = weft__datagram_address(d, to, &mapped);
        if (err < 0)
            return err;
        msg.msg_name = &mapped.any;
        msg.msg_namelen = mapped.size;
    }
    for (unsigned tries = 0;;) {
        ssize_t n = weft__sys_sendmsg(d->stream.fd, &msg, MSG_DONTWAIT);
        if (n < 0 && weft__datagram_sends_again(d, (int)n, &tries))
            continue;
        if (n != -EAGAIN)
            return n == -EPIPE && weft__stream_closed(&d->stream) ? -EBADF : n;
        int err = weft__datagram_wait(d, &t, WEFT_POLLOUT, d->family != AF_UNIX || msg.msg_name == NULL);
        if (err < 0)
            return err;
    }
}

ssize_t weft_datagram_send(weft_datagram *d, const void *data, size_t size, const weft_address *to, weft_until until)
{
    ssize_t n = weft__stream_enter(&d->stream);
    if (n < 0)
        return n;
    n = weft__datagram_kept(d);
    if (n == 0)
        n = send_one(d, data, size, to, until);
    weft__stream_leave(&d->stream);
    return n;
}

ssize_t weft_datagram_recv(weft_datagram *d, void *buf, size_t size, weft_address *from, weft_until until)
{
    weft_datagram_item item = {.data = buf, .size = size};
    int n = weft_datagram_recv_many(d, &item, 1, until);
    if (n < 0)
        return n;
    if (from != NULL)
        *from = item.address;
    return item.size > size ? -EMSGSIZE : (ssize_t)item.size;
}

/* ---- errors that come back ---- */

/* The kernel keeps what ICMP says of a socket's datagrams twice: in a queue, with the address (if it is asked to), and
 * as an error that the next call of any kind returns instead of doing its work. */

int weft__datagram_forgive(weft_datagram *d, weft__datagram_told *told, void *arg)
{
    if (d->family == AF_UNIX)
        return 0; /* there each error is of the call that has it */
    d->forgives = true;
    d->told = told;
    d->told_arg = arg;
    int err =
        weft__sys_setsockopt(d->stream.fd, IPPROTO_IP, IP_RECVERR, told != NULL); /* IPv6 sockets have IPv4 peers */
    if (d->family == AF_INET6)
        err = weft__sys_setsockopt(d->stream.fd, IPPROTO_IPV6, IPV6_RECVERR, told != NULL);
    return err;
}

/* One from the queue: 0 or -errno. */
static int take_error(const weft_datagram *d)
{
    weft_address to;
    int what;
    int err = weft__sys_take_error(d->stream.fd, &to, &what);
    if (err == 0 && what != 0)
        d->told(&to, what, d->told_arg);
    return err;
}

/* One of those that ICMP's words are translated to? */
static bool is_icmp(int err)
{
    static const int errors[] = {ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, EMSGSIZE, EPROTO,
                                 EHOSTDOWN,    ENONET,       ENOPROTOOPT, EACCES,   EOPNOTSUPP};
    for (size_t i = 0; i < WEFT__ARRAY_LEN(errors); i++)
        if (err == -errors[i])
            return true;
    return false;
}

bool weft__datagram_hears(const weft_datagram *d, int err)
{
    int taken = 0;
    while (d->told != NULL && taken < ERRORS_AT_ONCE && take_error(d) == 0)
        taken++;
    return d->forgives && (is_icmp(err) || taken == ERRORS_AT_ONCE);
}

bool weft__datagram_sends_again(const weft_datagram *d, int err, unsigned *tries)
{
    return d->forgives && is_icmp(err) && ++*tries < SENDS_AGAIN;
}

void weft__datagram_keep(weft_datagram *d, int err)
{
    if (err != -EAGAIN && !d->forgives)
        store_relaxed(&d->kept, err);
}

void weft__datagram_keep_sent(weft_datagram *d, int err, bool connected)
{
    bool by_network = is_icmp(err) && err != -EMSGSIZE; /* that one says: smaller ones, which the kernel sees to */
    bool of_peer = connected && (by_network || err == -ECONNRESET);
    if (of_peer || (err == -ECONNREFUSED && d->family != AF_UNIX))
        weft__datagram_keep(d, err);
}

int weft__datagram_kept(weft_datagram *d)
{
    return likely(load_relaxed(&d->kept) == 0) ? 0 : swap_acq_rel(&d->kept, 0);
}

/* ---- groups ---- */

static int membership(weft_datagram *d, int name, const char *group, const char *interface)
{
    struct group_req request = {0};
    weft_address a;
    int err = weft__address_parse(&a, group, 0);
    if (err < 0)
        return err;
    if (interface != NULL && (request.gr_interface = weft__sys_interface(interface)) == 0)
        return -ENODEV;
    memcpy(&request.gr_group, &a.any, a.size);
    if (weft_address_class(&a) != WEFT_ADDRESS_MULTICAST || d->family == AF_UNIX ||
        (d->family == AF_INET && a.any.sa_family != AF_INET))
        return -EINVAL;
    int level = a.any.sa_family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6;
    err = weft__stream_enter(&d->stream);
    if (err < 0)
        return err;
    err = weft__sys_setsockopt_value(d->stream.fd, level, name, &request, sizeof request);
    weft__stream_leave(&d->stream);
    return err;
}

int weft_datagram_join(weft_datagram *d, const char *group, const char *interface)
{
    return membership(d, MCAST_JOIN_GROUP, group, interface);
}

int weft_datagram_leave(weft_datagram *d, const char *group, const char *interface)
{
    return membership(d, MCAST_LEAVE_GROUP, group, interface);
}

static int multicast_v4(int fd, unsigned hops, unsigned loop, unsigned interface)
{
    struct ip_mreqn at = {.imr_ifindex = (int)interface};
    int err = weft__sys_setsockopt(fd, IPPROTO_IP, IP_MULTICAST_TTL, (int)hops);
    if (err == 0)
        err = weft__sys_setsockopt(fd, IPPROTO_IP, IP_MULTICAST_LOOP, (int)loop);
    if (err == 0 && interface != 0)
        err = weft__sys_setsockopt_value(fd, IPPROTO_IP, IP_MULTICAST_IF, &at, sizeof at);
    return err;
}

static int multicast_v6(int fd, unsigned hops, unsigned loop, unsigned interface)
{
    int err = weft__sys_setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, (int)hops);
    if (err == 0)
        err = weft__sys_setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, (int)loop);
    if (err == 0 && interface != 0)
        err = weft__sys_setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, (int)interface);
    return err;
}

int weft_datagram_multicast(weft_datagram *d, unsigned hops, unsigned loop, const char *interface)
{
    unsigned index = 0;
    if (hops > 255 || loop > 1 || d->family == AF_UNIX)
        return -EINVAL;
    if (interface != NULL && (index = weft__sys_interface(interface)) == 0)
        return -ENODEV;
    int err = weft__stream_enter(&d->stream);
    if (err < 0)
        return err;
    if (d->family == AF_INET6)
        err = multicast_v6(d->stream.fd, hops, loop, index);
    if (err == 0) /* an IPv6 socket may send to IPv4 groups as well */
        err = multicast_v4(d->stream.fd, hops, loop, index);
    weft__stream_leave(&d->stream);
    return err;
}

/* ---- about a socket ---- */

int weft_datagram_local(weft_datagram *d, weft_address *a)
{
    return weft__sys_local(d->stream.fd, a);
}

int weft_datagram_peer(weft_datagram *d, weft_address *a)
{
    return weft__sys_peer(d->stream.fd, a);
}

unsigned weft_datagram_port(weft_datagram *d)
{
    return weft_stream_port(&d->stream);
}

int weft_datagram_fd(weft_datagram *d)
{
    return d->stream.fd;
}
