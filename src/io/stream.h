/* stream.h - a stream from inside: for the files of src/io and for the server, which makes streams of nothing else. */
#ifndef WEFT_IO_STREAM_H
#define WEFT_IO_STREAM_H

#include <weft/stream.h>

#include "co/sched.h"
#include "io/watch.h"

struct weft_stream {
    uint32_t users; /* atomic: calls under way, + 1 while the handle lives, | WEFT__STREAM_CLOSED */
    int fd;
    uint32_t drained; /* atomic, a hint for threads: the last receive took all there was */
    bool tcp;         /* a short read means that nothing is left */
    uint64_t home;    /* atomic: epoch << 32 | scheduler's index + 1, whose thread has `watch`; low half 0: none */
    weft__watch watch;
    weft__call end; /* the last to leave sends the stream home by it */
};

enum {
    WEFT__STREAM_CLOSED = 1u << 30
};

/* Take fd, which is non-blocking and close-on-exec. NULL: out of memory, fd is closed. */
weft_stream *weft__stream_new(int fd, bool tcp);

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

#endif
