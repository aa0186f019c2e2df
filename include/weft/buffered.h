/* weft/buffered.h - a stream by lines, pieces and messages, and not by whatever the network delivered.
 *
 *     weft_buffered *b;
 *     int err = weft_buffered_open(&b, stream, NULL);                  // takes the stream over
 *     const char *line;
 *     ssize_t n;
 *     while ((n = weft_buffered_read_line(b, &line, WEFT_FOREVER)) >= 0)
 *         printf("%s\n", line);
 *
 * A stream keeps no boundaries: two sends may arrive as one, and one as two. Who sends messages needs a frame around
 * each: its length before it, a delimiter after it, or a fixed size (weft_frame, below).
 *
 * Reading. A read that ends with -ETIMEDOUT or -ECANCELED has taken nothing: what has come stays in the buffer and the
 * next call goes on from there. Memory grows with what has really come and never beyond `limit`, whatever a peer
 * announces. Pointers to what was read are into the buffer: good until the next reading call.
 *
 * Writing. What is written stays in the buffer until it is full or flushed. A flush that ends with -ETIMEDOUT or
 * -ECANCELED keeps what has not been sent, and the next one goes on with it.
 *
 * Calls may be made from any thread and coroutine; by one reader at a time and any number of writers, whose messages do
 * not mix. They allocate when the buffer must grow; errors of the stream are as in weft/stream.h. */
#ifndef WEFT_BUFFERED_H
#define WEFT_BUFFERED_H

#include <weft/stream.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weft_buffered weft_buffered;

/* Every field's zero is its default. */
typedef struct weft_buffered_options {
    size_t read_size;  /* bytes of the reading buffer at first; 0 = 8 KiB */
    size_t write_size; /* bytes that are gathered before they are sent; 0 = 8 KiB */
    size_t limit;      /* most bytes that one line, piece or message may have; 0 = 1 MiB */
} weft_buffered_options;

/* Read and write `s` through buffers. Returns 0 and *b, which has taken the stream over; or -ENOMEM, -EINVAL (a size
 * above 1 GiB), and the stream is still the caller's. */
WEFT_API int weft_buffered_open(weft_buffered **b, weft_stream *s, const weft_buffered_options *options);

/* Close the stream and end the buffers. What was not flushed is lost. Takes NULL; nobody may be using it. Never
 * waits. */
WEFT_API void weft_buffered_close(weft_buffered *b);

/* The stream, which stays the buffers': for its address, say, or to shut it down. */
WEFT_API weft_stream *weft_buffered_stream(weft_buffered *b);

/* ---- reading ---- */

/* What there is, at least one byte, at most `size`. The count; 0 at the end; or an error. */
WEFT_API ssize_t weft_buffered_read(weft_buffered *b, void *buf, size_t size, weft_until until);

/* Exactly `size` bytes. Returns size; -WEFT_EEOF: the stream has ended; -WEFT_ETRUNCATED: it ended before all of them
 * had come, and weft_buffered_read gets those that have; -EMSGSIZE: above the limit. */
WEFT_API ssize_t weft_buffered_read_exactly(weft_buffered *b, void *buf, size_t size, weft_until until);

/* Look at what comes without taking it: waits for at least `least` bytes (fewer only at the end) and gives all there
 * are. Returns how many, 0 at the end; -EMSGSIZE: least is above the limit. */
WEFT_API ssize_t weft_buffered_peek(weft_buffered *b, const void **data, size_t least, weft_until until);

/* Take n bytes that were looked at; -EINVAL: so many are not in the buffer. */
WEFT_API int weft_buffered_skip(weft_buffered *b, size_t n);

/* Up to and with the next delimiter, of 1 to 16 bytes. Returns its length, delimiter included; -WEFT_EEOF,
 * -WEFT_ETRUNCATED: the stream ended before one came; -EMSGSIZE: more than the limit without one. */
WEFT_API ssize_t weft_buffered_read_until(weft_buffered *b, const char **data, const void *delimiter,
                                          size_t delimiter_size, weft_until until);

/* The next line without its "\n" or "\r\n", with a final 0. At the end of the stream what lacks a "\n" is a line as
 * well. Returns its length (a line may have zeros inside); -WEFT_EEOF; -EMSGSIZE. */
WEFT_API ssize_t weft_buffered_read_line(weft_buffered *b, const char **line, weft_until until);

/* ---- writing ---- */

/* Write all of it: into the buffer, or when it does not fit, on to the stream. Returns size. -ETIMEDOUT, -ECANCELED,
 * -ENOMEM and others: nothing of this call's was taken. -EINPROGRESS: the deadline or a cancellation came in the midst:
 * all of it was taken, its rest is kept and goes with the next write or flush: do not write it again. */
WEFT_API ssize_t weft_buffered_write(weft_buffered *b, const void *data, size_t size, weft_until until);

/* Send what is in the buffer. 0, or an error, and then what was not sent is kept. */
WEFT_API int weft_buffered_flush(weft_buffered *b, weft_until until);

/* Bytes that were written and not sent, at this moment. Never waits. */
WEFT_API size_t weft_buffered_unsent(weft_buffered *b);

/* ---- messages ---- */

enum {
    WEFT_FRAME_LENGTH,    /* its length goes before each */
    WEFT_FRAME_DELIMITER, /* a delimiter, which it may not contain, goes after each */
    WEFT_FRAME_FIXED      /* all have one size */
};

/* How messages are told apart; zeros are a 4-byte length, big-endian. The same on both ends. */
typedef struct weft_frame {
    unsigned char kind;
    unsigned char length_bytes;   /* LENGTH: 1, 2, 4 or 8; 0 = 4 */
    unsigned char little_endian;  /* LENGTH: 1: least significant byte first */
    unsigned char counts_itself;  /* LENGTH: 1: the length includes its own bytes */
    unsigned char delimiter_size; /* DELIMITER: up to 16 bytes; 0 = "\n" */
    char delimiter[16];
    size_t size;  /* FIXED: bytes of each, at least 1 */
    size_t limit; /* most bytes of a message; 0 = the buffers' limit, which also holds for what is set here */
} weft_frame;

/* The next message, of 0 bytes or more. Returns its size and where it is; -WEFT_EEOF: the stream ended after the last;
 * -WEFT_ETRUNCATED: it ended in the middle of one; -EMSGSIZE: it is above the limit (told before it has come, and each
 * time again: the stream is of no more use); -EPROTO: a length that counts itself is too small; -EINVAL: no such
 * frame. */
WEFT_API ssize_t weft_buffered_read_frame(weft_buffered *b, const weft_frame *frame, const void **data,
                                          weft_until until);

/* Send one message at once, after what was written before. Returns size; -EMSGSIZE: above the limit or its length's
 * bytes; -EINVAL: it contains the delimiter, or has not the fixed size; otherwise as weft_buffered_write, so
 * -EINPROGRESS: it was taken, and its rest goes with the next call. */
WEFT_API ssize_t weft_buffered_write_frame(weft_buffered *b, const weft_frame *frame, const void *data, size_t size,
                                           weft_until until);

#ifdef __cplusplus
}
#endif
#endif
