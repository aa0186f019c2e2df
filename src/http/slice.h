/* slice.h - the two ways in which this folder names bytes that it does not own.
 * A span is a pointer and a length, for arguments that live as long as the call. A slice is an offset and a length
 * into a buffer that may move between two calls; it becomes a span only together with that buffer. */
#ifndef WEFT_HTTP_SLICE_H
#define WEFT_HTTP_SLICE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct weft__span {
    const char *data; /* not terminated; may be NULL only where len is 0 */
    size_t len;
} weft__span;

typedef struct weft__slice {
    uint32_t at; /* offset from the first byte of the buffer that was parsed */
    uint32_t len;
} weft__slice;

/* A span over a string literal. */
#define WEFT__SPAN(literal) ((weft__span){"" literal "", sizeof("" literal "") - 1})

static inline weft__span weft__slice_span(const char *buf, weft__slice s)
{
    return (weft__span){buf + s.at, s.len};
}

/* Equality where `lower` is a lower-case word and ASCII letters of `s` match in either case. */
static inline int weft__span_is_nocase(weft__span s, weft__span lower)
{
    if (s.len != lower.len)
        return 0;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.data[i];
        if (c >= 'A' && c <= 'Z')
            c |= 0x20;
        if (c != (unsigned char)lower.data[i])
            return 0;
    }
    return 1;
}

#endif
