/* encode.h - the response head and everything else that is text, appended to a buffer of the caller.
 *
 * weft__out never writes beyond its capacity. What does not fit is left out as a whole and `overflow` is set, for good:
 * append as much as you like and look once, at the end. Escapes are whole or absent, never cut. */
#ifndef WEFT_HTTP_ENCODE_H
#define WEFT_HTTP_ENCODE_H

#include "http/slice.h"

#include <stdbool.h>

typedef struct weft__out {
    char *data;
    size_t len;
    size_t cap;
    bool overflow;
} weft__out;

static inline weft__out weft__out_over(char *data, size_t cap)
{
    return (weft__out){data, 0, cap, false};
}

static inline void weft__out_bytes(weft__out *o, const char *data, size_t len)
{
    if (o->overflow || len > o->cap - o->len) {
        o->overflow = true;
        return;
    }
    if (len > 0)
        memcpy(o->data + o->len, data, len);
    o->len += len;
}

static inline void weft__out_span(weft__out *o, weft__span s)
{
    weft__out_bytes(o, s.data, s.len);
}

/* `literal` must be one: a pointer does not compile. */
#define weft__out_text(o, literal) weft__out_bytes((o), "" literal "", sizeof("" literal "") - 1)

void weft__out_u64(weft__out *o, uint64_t value);
void weft__out_hex(weft__out *o, uint64_t value); /* lower case, no leading zeros: chunk sizes, entity tags */
void weft__out_date(weft__out *o, int64_t seconds);

/* "HTTP/1.1 404 Not Found\r\n", for any status from 100 to 599. */
void weft__out_status(weft__out *o, int status);

/* "Name: value\r\n". CR, LF and NUL in the value become a space, so that no value can begin another field. */
void weft__out_field(weft__out *o, weft__span name, weft__span value);
void weft__out_field_u64(weft__out *o, weft__span name, uint64_t value);
void weft__out_field_date(weft__out *o, weft__span name, int64_t seconds);

/* "Content-Range: bytes 0-99/1000\r\n"; len 0 is the form for 416, "bytes * /1000" without the space. */
void weft__out_content_range(weft__out *o, uint64_t at, uint64_t len, uint64_t size);

/* Text in HTML, also inside attributes with either quote: & < > " ' become entities; control bytes but tab and line
 * ends, and bytes that are not UTF-8, become U+FFFD. */
void weft__out_html(weft__out *o, weft__span text);

/* A path in a URL: all but unreserved characters, '/' and a few that are harmless anywhere in a path become %XX; ':'
 * too, so that a relative link never looks like a scheme. */
void weft__out_path(weft__out *o, weft__span path);

/* A quoted field of the access log: control bytes, '"', '\' and bytes that are not UTF-8 become \xHH. An empty one is
 * "-". */
void weft__out_log(weft__out *o, weft__span text);

/* Bytes of the well-formed UTF-8 sequence at text[0..len) (RFC 3629: no surrogates, nothing overlong, up to U+10FFFF),
 * or 0. */
unsigned weft__utf8_length(const char *text, size_t len);

#endif
