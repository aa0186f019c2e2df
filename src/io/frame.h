/* frame.h - finding messages in bytes: no stream, no memory, no waiting, so that it can be tried with anything. */
#ifndef WEFT_IO_FRAME_H
#define WEFT_IO_FRAME_H

#include <weft/buffered.h>

#include <stdbool.h>

enum {
    WEFT__DELIMITER_MAX = 16,
    WEFT__FRAME_HEAD_MAX = 8
};

/* Where a message lies. */
typedef struct weft__frame_place {
    size_t head;  /* bytes before it */
    size_t size;  /* its own */
    size_t whole; /* all that is to be taken */
} weft__frame_place;

/* Find the first delimiter. 1: *end is the offset behind it; 0: not in there. *scanned: before the call how many bytes
 * need not be looked at again, and after a 0 the same for the next call with more of the same. */
int weft__find_delimiter(const char *data, size_t n, const char *delimiter, size_t size, size_t *scanned, size_t *end);

/* 0, or -EINVAL: there is no such frame. */
int weft__frame_check(const weft_frame *frame);

/* The message at data[0..n). 1: it is all there, at *place; 0: it is not, and needs at least *need bytes (above n);
 * -EMSGSIZE: it is larger than `limit`; -EPROTO. Pre: the frame is sound. */
int weft__frame_find(const weft_frame *frame, size_t limit, const char *data, size_t n, size_t *scanned,
                     weft__frame_place *place, size_t *need);

/* What goes before and after a message of this size (head has WEFT__FRAME_HEAD_MAX bytes). 0, -EMSGSIZE, -EINVAL. Pre:
 * the frame is sound. */
int weft__frame_wrap(const weft_frame *frame, size_t limit, const void *data, size_t size, char *head,
                     size_t *head_size, const char **tail, size_t *tail_size);

#endif
