/* datagram.h - a datagram socket from inside. It is a stream to the waiting and closing of stream.c, whose calls for
 * bytes are never made on it. */
#ifndef WEFT_IO_DATAGRAM_H
#define WEFT_IO_DATAGRAM_H

#include <weft/datagram.h>
#include <weft/lock.h>

#include "io/stream.h"
#include "sys/unix.h"

#include <sys/uio.h>

/* What went wrong with a datagram that was sent to `to`: ICMP's word for it, a negative errno value. */
typedef void weft__datagram_told(const weft_address *to, int err, void *arg);

struct weft_datagram {
    weft_stream stream;
    int family;
    uint32_t no_segments; /* atomic: UDP_SEGMENT is of no use here */
    bool forgives;        /* weft__datagram_forgive, with these two */
    weft__datagram_told *told;
    void *told_arg;
    int32_t kept; /* atomic: an error that ended a batch behind its first datagram; for the next call. 0: none */
    weft__socket_file file;
    /* Gathering: a bundle of datagrams that came as one and are received one by one. Under `lock`, which is held by
     * the receiver, also while it waits. */
    weft_lock lock;
    char *bundle; /* NULL: does not gather */
    size_t at, end, segment;
    weft_address from;
};

/* `to` as an address of the socket's family, in *a: IPv4 mapped into IPv6 or back. 0 or -EAFNOSUPPORT. */
int weft__datagram_address(const weft_datagram *d, const weft_address *to, weft_address *a);

/* The state of a call that may wait. */
typedef struct weft__trying {
    weft_until until;
    int64_t pause;
    int last, err;
} weft__trying;

/* For a socket with many peers: what went wrong with datagrams to one is never the result of a call for another. told
 * (NULL: nobody) is called with it by receivers, without a lock of the socket's unless it gathers; must not wait.
 * Before the first call on d. 0 or -errno. */
int weft__datagram_forgive(weft_datagram *d, weft__datagram_told *told, void *arg);

/* After a try of a receiver that gave err: whether to try at once again. */
bool weft__datagram_hears(const weft_datagram *d, int err);

/* The same of a sender; `tries` counts these. */
bool weft__datagram_sends_again(const weft_datagram *d, int err, unsigned *tries);

/* An error came when others of a batch had been received: keep it for the next call, as the kernel does with what it
 * has not told. And take what is kept: 0 or -errno. */
void weft__datagram_keep(weft_datagram *d, int err);
int weft__datagram_kept(weft_datagram *d);

/* The same when others had been sent, and `connected` tells that the next one goes to whom the socket is connected: an
 * error of that one alone is not kept, as it comes again with it. */
void weft__datagram_keep_sent(weft_datagram *d, int err, bool connected);

/* A try would have had to wait: wait until another makes sense. 0, or the call's result. */
int weft__datagram_wait(weft_datagram *d, weft__trying *t, unsigned events, bool told);

#endif
