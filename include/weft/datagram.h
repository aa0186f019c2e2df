/* weft/datagram.h - messages between programs that arrive whole or not at all: UDP and Unix datagram sockets.
 *
 *     weft_datagram *d;
 *     int err = weft_udp_open(&d, "0.0.0.0", 8888, NULL);
 *     weft_address from;
 *     char text[1024];
 *     ssize_t n = weft_datagram_recv(d, text, sizeof text, &from, WEFT_FOREVER);
 *     if (n >= 0)
 *         n = weft_datagram_send(d, "Thanks", 6, &from, WEFT_FOREVER);
 *
 * UDP datagrams may be lost, doubled and come out of order; Unix ones are not. A datagram is at most 65507 bytes over
 * IPv4 and 65527 over IPv6; over a network, more than about 1400 is cut into parts, all of which must arrive.
 *
 * A call here may be made from any thread and coroutine (which parks), by several at once, and not in a signal handler;
 * unless its comment says otherwise it allocates nothing. A socket may be closed while others wait on it: their calls
 * return -EBADF. What can be done without waiting is done also when the deadline has passed or the caller is cancelled.
 * What went wrong with datagrams that were sent before is the result of a later call, on connected sockets only:
 * -ECONNREFUSED says that nobody listens there; the socket can be used further. Never a signal. */
#ifndef WEFT_DATAGRAM_H
#define WEFT_DATAGRAM_H

#include <sys/types.h>

#include <weft/address.h>
#include <weft/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weft_datagram weft_datagram; /* a socket */

/* Every field's zero is its default. */
typedef struct weft_datagram_options {
    unsigned send_buffer;        /* bytes; 0 = the system's default */
    unsigned recv_buffer;        /* the same: what there is no room for is lost (UDP) or waits at its sender (Unix) */
    unsigned mode;               /* a Unix socket's file: who may send to it; 0 = 0600 */
    unsigned char broadcast;     /* 1: may send to broadcast addresses; else that is -EACCES */
    unsigned char reuse_address; /* 1: several sockets take the same port, for groups: each gets a copy */
    unsigned char reuse_port;    /* 1: several sockets share the port, and the kernel shares out what comes */
    unsigned char only_v6;       /* 1: an IPv6 socket does not take IPv4 as well */
    unsigned char gather;        /* 1: UDP_GRO: datagrams of one sender come from the kernel in bundles, with one call;
                                      they are kept in 64 KiB of the socket's and received one by one as ever. Poll
                                      weft_datagram_fd for none of them then. Off where the kernel has none. */
    unsigned char no_segmentation; /* 1: weft_datagram_send_many does without UDP_SEGMENT */
} weft_datagram_options;

/* A UDP socket at `host` (a numeric address or a name; NULL = "127.0.0.1"; "" or "0.0.0.0" for every IPv4 address, "::"
 * for IPv6 and IPv4 ones) and `port` (0 = any free one, see weft_datagram_port).
 * Returns 0 and *d; -EADDRINUSE, -EADDRNOTAVAIL, -EACCES (a port below 1024), -ENOENT (no such name), -EMFILE, -ENOMEM.
 * A name is looked up as by weft_address_lookup. Allocates. */
WEFT_API int weft_udp_open(weft_datagram **d, const char *host, unsigned port, const weft_datagram_options *options);

/* A UDP socket with a free port that is connected: it sends to `host` and `port` and hears from there only. Waits only
 * for the look-up. 0 and *d, -ENETUNREACH and as weft_udp_open. Allocates. */
WEFT_API int weft_udp_connect(weft_datagram **d, const char *host, unsigned port, const weft_datagram_options *options);

/* A Unix datagram socket at `path` or "@name", as weft_unix_listen; NULL: a free abstract name. Allocates. */
WEFT_API int weft_unix_datagram_open(weft_datagram **d, const char *path, const weft_datagram_options *options);

/* A Unix datagram socket with a free abstract name (so that the other can answer), connected to `path` or "@name".
 * Returns 0 and *d; -ENOENT (no such path), -ECONNREFUSED (nobody is there), -EACCES, -EPROTOTYPE. Allocates. */
WEFT_API int weft_unix_datagram_connect(weft_datagram **d, const char *path, const weft_datagram_options *options);

/* Two Unix datagram sockets that are connected to each other. Allocates. */
WEFT_API int weft_unix_datagram_pair(weft_datagram *pair[2]);

/* Make one of a datagram socket; takes fd, also on failure. 0, -ENOTSOCK, -EBADF, -ENOMEM. Allocates. */
WEFT_API int weft_datagram_adopt(weft_datagram **d, int fd);

/* End the socket and its handle, as weft_stream_close; a Unix socket's file is removed. Takes NULL. Never waits. */
WEFT_API void weft_datagram_close(weft_datagram *d);

/* Connect an open socket, or connect it elsewhere: from now on it sends to `to` unless told otherwise, hears from there
 * only, and learns that nobody listens there; NULL: to nobody any more. What came before stays to be received. Never
 * waits. 0, -EAFNOSUPPORT, -ENETUNREACH, -EACCES (broadcast), -EBADF; Unix: -ENOENT, -ECONNREFUSED, -EPROTOTYPE. */
WEFT_API int weft_datagram_connect(weft_datagram *d, const weft_address *to);

/* Send one datagram to `to`; NULL: to whom the socket is connected. On an IPv6 socket an IPv4 address will do too, and
 * on an IPv4 one such an address mapped into IPv6.
 * Waits while the kernel has no room for it (with Unix sockets: while the receiver has none).
 * Returns size; -EMSGSIZE: too large, nothing was sent; -EDESTADDRREQ, -ENOTCONN: to whom? -ECONNREFUSED, -ENETUNREACH,
 * -EACCES (broadcast), -ETIMEDOUT, -ECANCELED, -EBADF; -EAFNOSUPPORT: no address for this socket. */
WEFT_API ssize_t weft_datagram_send(weft_datagram *d, const void *data, size_t size, const weft_address *to,
                                    weft_until until);

/* Receive the next datagram, and in *from, which may be NULL, whose it is (size 0: a Unix socket without a name).
 * Returns its size, which may be 0; -EMSGSIZE: it was larger than `size`: the first `size` bytes are in buf and the
 * rest is lost; -ECONNREFUSED, -ETIMEDOUT, -ECANCELED, -EBADF. */
WEFT_API ssize_t weft_datagram_recv(weft_datagram *d, void *buf, size_t size, weft_address *from, weft_until until);

/* One of many. */
typedef struct weft_datagram_item {
    void *data;           /* not written to by a send */
    size_t size;          /* send: its bytes. Receive: the room at data before, the datagram's whole size after: what is
                             above the room is lost */
    weft_address address; /* send: to whom; its size 0: to whom the socket is connected. Receive: whose it is */
} weft_datagram_item;

/* Send n datagrams in their order, with as few system calls as may be: up to 64 at a time, and those of equal size (the
 * last of them may be smaller) to one address in one piece, which the kernel or the network card cuts (UDP_SEGMENT)
 * where that is possible.
 * Returns how many were sent: fewer than n when an error, the deadline or a cancellation came after the first; or the
 * error of the first as weft_datagram_send. An error after the first is told by the next call: what is wrong with a
 * datagram by that which sends it, and what the network says of earlier ones (-ECONNREFUSED) by whichever comes next.
 * Only what it says while the kernel is at a batch may be lost, unless it says so again of a later one. */
WEFT_API int weft_datagram_send_many(weft_datagram *d, const weft_datagram_item *items, unsigned n, weft_until until);

/* Receive up to n datagrams: waits for the first and takes what else is there. How many, at least 1 (0 if n is 0), or
 * an error as weft_datagram_recv, but datagrams that are too large are no error: see `size`. An error that comes after
 * the first is the result of the next call on the socket, whichever that is. */
WEFT_API int weft_datagram_recv_many(weft_datagram *d, weft_datagram_item *items, unsigned n, weft_until until);

/* Be a member of a multicast group ("239.1.2.3", "ff15::1") and hear what is sent to it, at the interface of this name
 * (NULL: the system's choice); and leave it. 0, -EINVAL (no such group), -ENODEV, -EADDRINUSE (already),
 * -EADDRNOTAVAIL (not in it), -ENOBUFS (too many). */
WEFT_API int weft_datagram_join(weft_datagram *d, const char *group, const char *interface);
WEFT_API int weft_datagram_leave(weft_datagram *d, const char *group, const char *interface);

/* How this socket sends to groups: how many networks far (0: this host only; the system's default is 1: this network),
 * whether this host hears it as well (1, the default, or 0), and at which interface (NULL leaves it as it is). 0,
 * -EINVAL, -ENODEV. */
WEFT_API int weft_datagram_multicast(weft_datagram *d, unsigned hops, unsigned loop, const char *interface);

/* This end's address, and that it is connected to. 0, -ENOTCONN. */
WEFT_API int weft_datagram_local(weft_datagram *d, weft_address *a);
WEFT_API int weft_datagram_peer(weft_datagram *d, weft_address *a);

/* This end's port, 0 where there is none. */
WEFT_API unsigned weft_datagram_port(weft_datagram *d);

/* The descriptor, which stays the socket's. Non-blocking. */
WEFT_API int weft_datagram_fd(weft_datagram *d);

#ifdef __cplusplus
}
#endif
#endif
