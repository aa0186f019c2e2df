/* datagram.h - a datagram socket from inside. It is a stream to the waiting and closing of stream.c, whose calls for
 * bytes are never made on it. */
#ifndef WEFT_IO_DATAGRAM_H
#define WEFT_IO_DATAGRAM_H

#include <weft/datagram.h>
#include <weft/lock.h>

#include "io/stream.h"
#include "sys/unix.h"

#include <sys/uio.h>

struct weft_datagram {
    weft_stream stream;
    int family;
    uint32_t no_segments; /* atomic: UDP_SEGMENT is of no use here */
    weft__socket_file file;
    /* Gathering: a bundle of datagrams that came as one and are received one by one. Under `lock`, which is held by
     * the receiver, also while it waits. */
    weft_lock lock;
    char *bundle; /* NULL: does not gather */
    size_t at, end, segment;
    weft_address from;
};

/* The state of a call that may wait. */
typedef struct weft__trying {
    weft_until until;
    int64_t pause;
    int last, err;
} weft__trying;

/* A try would have had to wait: wait until another makes sense. 0, or the call's result. */
int weft__datagram_wait(weft_datagram *d, weft__trying *t, unsigned events, bool told);

#endif
