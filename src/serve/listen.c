/* listen.c - the listening sockets (and for datagrams the only ones), and how many descriptors there may be.
 *
 * With several workers each has a listening socket of its own on the same address (SO_REUSEPORT): the kernel spreads
 * the connections, nobody is woken in vain, accepts run in parallel. The spread is by chance, so a worker that has
 * noticeably more connections than another passes newcomers on (coroutine.c). Rejected: one socket in every epoll set
 * wakes all workers for each connection; EPOLLEXCLUSIVE prefers the same worker; one acceptor is a bottleneck and a
 * worker's long computation would stop everybody's accepts.
 * SO_REUSEPORT also lets a second server take the same port unnoticed. Therefore the first socket is bound without it,
 * which fails if anybody has the port, and gets it only afterwards, for our others.
 * Datagrams on a Unix socket are likewise taken by whoever is free.
 * Sockets that are given (by a predecessor, by a service manager) are never shut down: others may go on with them. With
 * fewer of them than workers some share one.
 * A Unix socket is one for all workers, as its name can be bound once. It is never shut down either: the first worker
 * that stops would take it from the others. Its file is removed by whoever closes his descriptor first, while the
 * socket is still there: so nobody can have put another in its place. Pinned by tests/serve/unix_test.c. */
#include "serve/serve.h"

#include <weft/co.h>

#include "io/stream.h"
#include "sys/limit.h"
#include "sys/sys.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>

enum {
    ADDRESSES = 8,
    DESCRIPTORS_ASIDE = 64, /* for the program itself: files, logs, pollers */
    DESCRIPTORS_A_WORKER = 8,
    UNSENT_MAX = 128 << 10,
    CONNECTIONS_DEFAULT = 10000,
    TEXT_MAX = 2048 /* of a refusal */
};

struct lookup {
    const weft_server_options *options;
    weft__address *out;
};

static int lookup_blocking(void *arg)
{
    struct lookup *l = arg;
    return weft__address_lookup(l->options->host, l->options->port, true, l->out, ADDRESSES);
}

/* A socket for datagrams on *a. */
static int open_mailbox(const weft__address *a, unsigned buffer, bool more)
{
    int err = 0, fd = weft__sys_socket(a->any.sa_family, SOCK_DGRAM);
    if (fd < 0)
        return fd;
    if (buffer != 0)
        err = weft__sys_setsockopt(fd, SOL_SOCKET, SO_RCVBUF, buffer < INT32_MAX ? (int)buffer : INT32_MAX);
    if (err == 0 && more)
        err = weft__sys_setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (err == 0)
        err = weft__sys_bind(fd, a);
    if (err == 0)
        return fd;
    weft__sys_close(fd);
    return err;
}

/* One listening socket on *a. `more`: others of ours have the address already. */
static int open_listener(const weft_server_options *o, const weft__address *a, bool more)
{
    if (o->packet.handler != NULL)
        return open_mailbox(a, o->packet.recv_buffer, more);
    int err, fd = weft__sys_socket(a->any.sa_family, SOCK_STREAM);
    if (fd < 0)
        return fd;
    (void)weft__sys_setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (more && (err = weft__sys_setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, 1)) < 0)
        goto fail;
    /* Accepted sockets inherit it: one call here instead of one a connection. */
    (void)weft__sys_setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    /* Likewise: a socket takes no more than this beyond what is on its way. Without it a client that reads slowly makes
     * the kernel hold megabytes for it, and large files pass through buffers that no processor cache holds. */
    (void)weft__sys_setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT_MAX);
    if ((err = weft__sys_bind(fd, a)) < 0)
        goto fail;
    if ((err = weft__sys_listen(fd, o->backlog)) < 0)
        goto fail;
    return fd;
fail:
    weft__sys_close(fd);
    return err;
}

/* A TCP or Unix socket that listens, or one for datagrams with an address of its own and with none of a peer? */
static int check_given(const weft_server *s, int fd)
{
    int type = 0, listens = 0;
    weft__address a, peer;
    int err = weft__sys_getsockopt(fd, SOL_SOCKET, SO_TYPE, &type);
    if (err == 0)
        err = weft__sys_getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens);
    if (err == 0)
        err = weft__sys_local(fd, &a);
    if (err != 0)
        return err;
    bool local = a.any.sa_family == AF_UNIX;
    bool named = local ? a.size > offsetof(struct sockaddr_un, sun_path) : weft__address_port(&a) != 0;
    bool fits = weft__is_packet(s) ? type == SOCK_DGRAM && named && weft__sys_peer(fd, &peer) == -ENOTCONN
                                   : type == SOCK_STREAM && listens;
    bool knows = local || a.any.sa_family == AF_INET || a.any.sa_family == AF_INET6;
    return fits && knows ? 0 : -EINVAL;
}

static bool is_unix(const weft_server *s)
{
    return s->address.any.sa_family == AF_UNIX;
}

/* What a mailbox gets that others have had, and may have still. */
static int prepare_mailbox(weft_server *s, int fd, bool more)
{
    unsigned buffer = s->options.packet.recv_buffer;
    int err = 0;
    if (buffer != 0)
        err = weft__sys_setsockopt(fd, SOL_SOCKET, SO_RCVBUF, buffer < INT32_MAX ? (int)buffer : INT32_MAX);
    if (err == 0 && more && !is_unix(s))
        err = weft__sys_setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    s->packets_lost -= weft__sys_socket_drops(fd); /* not here */
    return err;
}

/* Sockets 0 to `from` are given. Have the others: of listening ones duplicates will do, and of Unix ones they have to;
 * another mailbox has to be one of its own, as two readers would handle one peer's datagrams at the same time. */
static int have_others(weft_server *s, unsigned from, unsigned n)
{
    const weft_server_options *o = &s->options;
    int err = 0;
    for (unsigned i = 0; i < from && weft__is_packet(s) && err == 0; i++)
        err = prepare_mailbox(s, o->listeners[i], n > 1);
    bool own = weft__is_packet(s) && !is_unix(s);
    for (unsigned i = from, k = 0; i < n && err >= 0; i++, k = k + 1 < from ? k + 1 : 0)
        err = s->listeners[i] = own ? open_listener(o, &s->address, true) : weft__sys_dup(o->listeners[k]);
    return err < 0 ? err : 0;
}

static int take_given(weft_server *s, unsigned n)
{
    const weft_server_options *o = &s->options;
    int err;
    if (o->listener_count > n)
        return -E2BIG; /* a queue that nobody takes from */
    for (unsigned i = 0; i < o->listener_count; i++)
        if ((err = check_given(s, o->listeners[i])) < 0 || (err = weft__sys_set_nonblocking(o->listeners[i])) < 0)
            return err;
    if ((err = weft__sys_local(o->listeners[0], &s->address)) < 0)
        return err;
    weft__address_text(&s->address, s->address_text, sizeof(s->address_text));
    store_relaxed(&s->shared, 1);
    err = have_others(s, o->listener_count, n);
    if (err < 0)
        goto fail;
    memcpy(s->listeners, o->listeners, o->listener_count * sizeof *s->listeners);
    return 0;
fail:
    for (unsigned i = o->listener_count; i < n; i++) {
        if (s->listeners[i] >= 0)
            weft__sys_close(s->listeners[i]);
        s->listeners[i] = -1;
    }
    return err;
}

int weft__listen_lend(weft_server *s, int *fds, unsigned room)
{
    unsigned n = weft__sockets(s);
    if (room < n)
        return -E2BIG;
    for (unsigned i = 0; i < n; i++)
        if ((fds[i] = s->listeners[i]) < 0)
            return -EBADF;
    add_seq_cst(&s->shared, 1);
    return (int)n;
}

void weft__listen_take_back(weft_server *s)
{
    sub_seq_cst(&s->shared, 1);
}

void weft__listen_remove_file(weft_server *s)
{
    if (!load_seq_cst(&s->shared) && swap_seq_cst(&s->has_file, 0))
        weft__sys_unbind_unix(&s->file);
}

static int listen_unix(weft_server *s, unsigned n)
{
    const weft_server_options *o = &s->options;
    const bool packets = weft__is_packet(s);
    const weft__unix_request request = {.type = packets ? SOCK_DGRAM : SOCK_STREAM,
                                        .backlog = packets ? 0 : o->backlog,
                                        .recv_buffer = packets ? o->packet.recv_buffer : 0};
    int err = weft_address_parse(&s->address, o->host);
    if (err < 0)
        return err;
    err = s->listeners[0] = weft__io_unix_bind(&s->address, &request, &s->file);
    if (err < 0)
        return err;
    store_seq_cst(&s->has_file, 1);
    weft__address_text(&s->address, s->address_text, sizeof s->address_text);
    for (unsigned i = 1; i < n && err >= 0; i++)
        err = s->listeners[i] = weft__sys_dup(s->listeners[0]);
    for (unsigned i = 0; i < n && err < 0; i++)
        weft__listen_close(s, i);
    return err < 0 ? err : 0;
}

int weft__listen(weft_server *s, unsigned n)
{
    const weft_server_options *o = &s->options;
    if (o->listener_count > 0)
        return take_given(s, n);
    if (strncmp(o->host, "unix:", 5) == 0)
        return listen_unix(s, n);
    weft__address found[ADDRESSES];
    struct lookup l = {o, found};
    int count = 1, err;
    if (weft__address_parse(&found[0], o->host, o->port) < 0) {
        count = weft_blocking(lookup_blocking, &l);
        if (count <= 0)
            return count < 0 ? count : -ENOENT;
    }
    for (int i = 0; i < count; i++) {
        err = s->listeners[0] = open_listener(o, &found[i], false);
        if (err >= 0)
            break;
    }
    if (err < 0)
        return err;
    if ((err = weft__sys_local(s->listeners[0], &s->address)) < 0)
        goto fail;
    weft__address_text(&s->address, s->address_text, sizeof(s->address_text));
    if (n > 1 && (err = weft__sys_setsockopt(s->listeners[0], SOL_SOCKET, SO_REUSEPORT, 1)) < 0)
        goto fail;
    for (unsigned i = 1; i < n; i++) {
        err = s->listeners[i] = open_listener(o, &s->address, true);
        if (err < 0)
            goto fail;
    }
    return 0;
fail:
    for (unsigned i = 0; i < s->nworkers; i++)
        weft__listen_close(s, i);
    return err;
}

/* The sockets of worker i, of all processes. */
static void close_mailboxes(weft_server *s, unsigned i)
{
    weft__listen_remove_file(s);
    for (unsigned n = weft__packet_sockets(s); i < n; i += s->nworkers) {
        int fd = s->listeners[i];
        store_relaxed(&s->listeners[i], -1);
        if (fd < 0)
            continue;
        add_relaxed(&s->packets_lost, weft__sys_socket_drops(fd));
        weft__sys_close(fd);
    }
}

void weft__listen_close(weft_server *s, unsigned i)
{
    if (weft__is_packet(s)) {
        close_mailboxes(s, i);
        return;
    }
    if (s->listeners[i] >= 0) {
        weft__listen_remove_file(s);
        /* io_uring may hold the socket a little longer than its descriptor; so the port is free all the same. */
        if (!weft__listen_is_shared(s) && !is_unix(s)) /* else others have it too */
            (void)weft__sys_shutdown(s->listeners[i], SHUT_RDWR);
        weft__sys_close(s->listeners[i]);
    }
    s->listeners[i] = -1;
}

unsigned weft__listen_limit(unsigned want, unsigned workers, unsigned each)
{
    unsigned connections = want != 0 ? want : CONNECTIONS_DEFAULT;
    uint64_t aside = DESCRIPTORS_ASIDE + (uint64_t)workers * DESCRIPTORS_A_WORKER;
    uint64_t need = (uint64_t)connections * each + aside, limit = weft__sys_descriptor_limit(need);
    if (limit >= need)
        return connections;
    return limit > aside + each ? (unsigned)((limit - aside) / each) : 1;
}

static void tell(const weft_server *s, int fd, size_t (*what)(char *text, size_t size, void *arg))
{
    char text[TEXT_MAX];
    size_t n = what != NULL ? what(text, sizeof(text), s->options.arg) : 0;
    if (n > 0)
        (void)weft__sys_send(fd, text, n < sizeof(text) ? n : sizeof(text), MSG_DONTWAIT);
}

void weft__turn_away_text(weft_server *s, int fd)
{
    if (s->options.tls == NULL) /* else it could not read it */
        tell(s, fd, s->options.on_refuse);
    (void)weft__sys_shutdown(fd, SHUT_WR);
}

void weft__turn_away_plain(const weft_server *s, int fd)
{
    tell(s, fd, s->options.on_plain);
}

void weft__turn_away_close(int fd)
{
    char drop[1024];
    for (int i = 0; i < 16 && weft__sys_recv(fd, drop, sizeof(drop), MSG_DONTWAIT) > 0; i++) {
    }
    weft__sys_close(fd);
}
