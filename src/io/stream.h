/* stream.h - a stream from inside: for the files of src/io and for the server, which makes streams of nothing else. */
#ifndef WEFT_IO_STREAM_H
#define WEFT_IO_STREAM_H

#include <weft/address.h>
#include <weft/stream.h>

#include "co/sched.h"
#include "io/watch.h"

/* What a stream can have above its socket (TLS) or besides it (the file of a Unix listener). A member that is NULL is
 * as without a layer. */
typedef struct weft__stream_layer {
    ssize_t (*recv)(weft_stream *s, void *buf, size_t size, weft_until until);

    /* All of it, or an error; *sent grows by what will reach the peer. */
    ssize_t (*send)(weft_stream *s, const struct iovec *pieces, unsigned n, size_t *sent, weft_until until);
    int (*shutdown)(weft_stream *s, int how);
    void (*closing)(weft_stream *s); /* weft_stream_close begins; others may be at work */
    void (*gone)(weft_stream *s);    /* nobody is left: frees the stream and what belongs to it */
} weft__stream_layer;

struct weft_stream {
    const weft__stream_layer *layer; /* NULL: none */
    int fd;
    uint64_t users;   /* atomic: epoch << 32 | calls under way, + 1 while the handle lives, | WEFT__STREAM_CLOSED */
    uint32_t drained; /* atomic, a hint for threads: the last receive took all there was */
    bool tcp;         /* a short read means that nothing is left */
    uint64_t home;    /* atomic: epoch << 32 | scheduler's index + 1, whose thread has `watch`; low half 0: none */
    weft__watch watch;
    weft__call end; /* the last to leave sends the stream home by it */
    void *over;     /* the layer's */
};

enum {
    WEFT__STREAM_CLOSED = 1u << 30
};

/* Take fd, which is non-blocking and close-on-exec. NULL: out of memory, fd is closed. */
weft_stream *weft__stream_new(int fd, bool tcp);
int weft__stream_make(weft_stream **out, int fd, bool tcp); /* the same: 0 or -ENOMEM */

/* The same in memory of the caller's, zeroed: of which it is the first member, and which its layer's `gone` frees. */
void weft__stream_init(weft_stream *s, int fd, bool tcp);

/* Whether weft_stream_close was called. */
bool weft__stream_closed(const weft_stream *s);

/* weft_stream_send_pieces that tells by how much came before an error: *sent grows by it. At most 1024 pieces. */
ssize_t weft__stream_send_counted(weft_stream *s, const struct iovec *pieces, unsigned n, size_t *sent,
                                  weft_until until);

/* Begin and end a call. enter: 0 or -EBADF, and then leave must not follow. */
int weft__stream_enter(weft_stream *s);
void weft__stream_leave(weft_stream *s);

/* Whether trying `events` first makes sense; if not, wait. */
bool weft__stream_may_try(weft_stream *s, unsigned events);

/* A try found that it would wait. */
void weft__stream_empty(weft_stream *s, unsigned events);

/* Wait until trying makes sense again. 0; 1: deadline or cancellation (in *err), try once more, then give up; or
 * -errno. */
int weft__stream_wait(weft_stream *s, unsigned events, weft_until until, int *err);

/* ---- for all kinds of sockets (tcp.c) ---- */

enum {
    WEFT__ADDRESSES = 16, /* of one name that are tried */
    WEFT__BACKLOG = 4096
};

/* The addresses of host (NULL: 127.0.0.1; "": 0.0.0.0) for `passive` use or to connect to; out has room for
 * WEFT__ADDRESSES. Returns how many, or -errno. */
int weft__io_resolve(const char *host, unsigned port, bool passive, weft_address *out);

/* A TCP socket for this address, with its options set. */
int weft__io_tcp_socket(const weft_address *a, const weft_tcp_options *o);

/* Connect to one of n addresses (1 to WEFT__ADDRESSES): a descriptor or -errno. */
int weft__io_tcp_connect(const weft_address *addresses, unsigned n, const weft_tcp_options *options, weft_until until);

/* Set the sizes of a socket's buffers; 0 leaves one alone. */
int weft__io_buffers(int fd, unsigned send_buffer, unsigned recv_buffer);

/* Make a Unix socket of this type, bound as weft_unix_listen says; listening when backlog is not 0. */
typedef struct weft__unix_request {
    int type;
    unsigned backlog, mode, send_buffer, recv_buffer;
} weft__unix_request;
struct weft__socket_file;
int weft__io_unix_bind(const weft_address *a, const weft__unix_request *request, struct weft__socket_file *file);

/* Sleep for *pause, which begins as WEFT__FIRST_PAUSE and doubles up to 16 ms: for what the kernel does not tell, room
 * in another Unix socket's queue. 0: try again; -ETIMEDOUT, -ECANCELED. */
enum {
    WEFT__FIRST_PAUSE = 250000 /* ns */
};
int weft__io_pause(int64_t *pause, weft_until until);

/* Connect fd, a Unix socket: waits while the listener's queue is full. */
int weft__io_unix_connect(int fd, const weft_address *a, weft_until until);

#endif
