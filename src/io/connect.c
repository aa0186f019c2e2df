/* connect.c - TCP connections to hosts with several addresses, as RFC 8305 ("happy eyeballs") has it: families take
 * turns; an address that has not answered within AHEAD is left to go on while the next is tried beside it, one that
 * refuses is followed at once; the first connection there is wins. Pinned by tests/io/connect_test.c. */
#include "io/stream.h"
#include "sys/net.h"
#include "sys/sys.h"

#include <errno.h>
#include <string.h>

enum {
    ADDRESSES = WEFT__ADDRESSES
};

#define AHEAD (250 * WEFT_MS)

/* Attempts under way, and where to look for the next. */
typedef struct race {
    const weft_tcp_options *options;
    weft_address local; /* size 0: any */
    weft_address addresses[ADDRESSES];
    unsigned n, next;
    weft__fd_case open[ADDRESSES];
    unsigned open_count;
    int64_t next_at; /* when the next address has its turn */
    int last_error;
} race;

/* A connection to a free local port may be given that very port as its own and so be connected to itself. */
static bool is_connected_to_itself(int fd)
{
    weft_address local, peer;
    return weft__sys_local(fd, &local) == 0 && weft__sys_peer(fd, &peer) == 0 && weft_address_equal(&local, &peer);
}

/* fd has an outcome. It, or -errno, and then it is closed. */
static int outcome(int fd, int err)
{
    if (err == 0 && is_connected_to_itself(fd))
        err = -ECONNREFUSED;
    if (err == 0)
        return fd;
    weft__sys_close(fd);
    return err;
}

/* The families take turns, the first one's first; within each the order stays. */
static void interleave(weft_address *a, unsigned n)
{
    for (unsigned at = 1; at < n; at++) {
        unsigned other = at;
        while (other < n && a[other].any.sa_family == a[at - 1].any.sa_family)
            other++;
        if (other == n)
            return;
        weft_address taken = a[other];
        memmove(&a[at + 1], &a[at], (other - at) * sizeof *a);
        a[at] = taken;
    }
}

static int bind_to_local(int fd, const weft_address *local)
{
    int err = 0;
    if (weft__address_port(local) == 0) /* the port is chosen with the connection: more of them can be had */
        (void)weft__sys_setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
    else
        err = weft__sys_setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    return err < 0 ? err : weft__sys_bind(fd, local);
}

/* Begin with one address. 0: it is under way; 1: it has succeeded, with *fd; or -errno. */
static int begin(race *r, const weft_address *a, int *fd)
{
    if (r->local.size != 0 && r->local.any.sa_family != a->any.sa_family)
        return -EADDRNOTAVAIL;
    *fd = weft__io_tcp_socket(a, r->options);
    if (*fd < 0)
        return *fd;
    int err = r->local.size != 0 ? bind_to_local(*fd, &r->local) : 0;
    if (err == 0)
        err = weft__sys_connect(*fd, a);
    if (err != -EINPROGRESS) {
        *fd = outcome(*fd, err);
        return *fd < 0 ? *fd : 1;
    }
    r->open[r->open_count++] = (weft__fd_case){.fd = *fd, .events = WEFT_POLLOUT};
    r->next_at = weft_now() + AHEAD;
    return 0;
}

/* Begin with the addresses whose turn it is. A connection, or -EAGAIN: none yet. */
static int begin_some(race *r, weft_until until)
{
    while (r->next < r->n && (r->open_count == 0 || r->next_at <= weft_now() || weft_left(until) == 0)) {
        int fd, began = begin(r, &r->addresses[r->next++], &fd);
        if (began == 1)
            return fd;
        if (began < 0) {
            r->last_error = began;
            r->next_at = 0;
        }
        if (began == -EMFILE || began == -ENFILE)
            r->next = r->n; /* another address would not help */
    }
    return -EAGAIN;
}

/* Look at those that have an outcome. A connection, or -EAGAIN: none yet. */
static int end_some(race *r)
{
    unsigned left = 0;
    int won = -EAGAIN;
    for (unsigned i = 0; i < r->open_count; i++) {
        weft__fd_case *c = &r->open[i];
        int fd = c->got != 0 && won < 0 ? outcome(c->fd, weft__sys_socket_error(c->fd)) : -EAGAIN;
        if (fd >= 0) {
            won = fd;
        } else if (fd == -EAGAIN) {
            r->open[left++] = *c;
        } else {
            r->last_error = fd;
            r->next_at = 0;
        }
    }
    r->open_count = left;
    return won;
}

static weft_until sooner(const race *r, weft_until until)
{
    return r->next < r->n && r->next_at < until.at ? (weft_until){r->next_at} : until;
}

static int run(race *r, weft_until until)
{
    int fd;
    while ((fd = begin_some(r, until)) == -EAGAIN && r->open_count > 0) {
        int got = weft__fd_wait_any(r->open, r->open_count, sooner(r, until));
        if (got == -ETIMEDOUT && r->next < r->n)
            continue;
        if (got < 0) {
            r->last_error = got;
            break;
        }
        if ((fd = end_some(r)) >= 0)
            break;
    }
    while (r->open_count > 0)
        weft__sys_close(r->open[--r->open_count].fd);
    return fd >= 0 ? fd : r->last_error;
}

int weft__io_tcp_connect(const weft_address *addresses, unsigned n, const weft_tcp_options *options, weft_until until)
{
    race r = {.options = options, .n = n, .last_error = -ENOENT};
    if (options->local != NULL && weft_address_parse(&r.local, options->local) < 0)
        return -EINVAL;
    memcpy(r.addresses, addresses, n * sizeof *addresses);
    interleave(r.addresses, n);
    return run(&r, until);
}

int weft_tcp_connect(weft_stream **out, const char *host, unsigned port, const weft_tcp_options *options,
                     weft_until until)
{
    static const weft_tcp_options none;
    weft_address addresses[ADDRESSES];
    int n = weft__io_resolve(host, port, false, addresses);
    if (n < 0)
        return n;
    int fd = weft__io_tcp_connect(addresses, (unsigned)n, options != NULL ? options : &none, until);
    if (fd < 0)
        return fd;
    return weft__stream_make(out, fd, true);
}
