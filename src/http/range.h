/* range.h - the Range field for bytes (RFC 9110 14.1.2, 14.2).
 *
 * R1 no amplification: the ranges given back never overlap, so together they are never more than the file.
 * R2 bounded:          at most WEFT__RANGE_MAX of them; a set of more is ignored, as RFC 9110 14.2 allows.
 * Ranges that overlap or touch are coalesced into the place of the first of them, so a set that is one range in
 * pieces is answered as one range; the order is otherwise as requested. Pinned by tests/http/range_test.c. */
#ifndef WEFT_HTTP_RANGE_H
#define WEFT_HTTP_RANGE_H

#include "http/slice.h"

#define WEFT__RANGE_MAX 16

typedef struct weft__range {
    uint64_t at;
    uint64_t len; /* never 0; at + len <= size */
} weft__range;

typedef struct weft__ranges {
    unsigned count;
    weft__range range[WEFT__RANGE_MAX];
} weft__ranges;

/* What `value` of a Range field asks of a representation of `size` bytes. Returns
 *   206  out->count ranges (one: plain 206; more: multipart/byteranges);
 *   416  well-formed, but none of them is in the file: answer with "Content-Range: bytes * /size" (no space);
 *   200  to be ignored: no such field (value.data NULL), another unit, malformed, too many, or a suffix of an empty
 *        file. */
int weft__range_parse(weft__span value, uint64_t size, weft__ranges *out);

#endif
