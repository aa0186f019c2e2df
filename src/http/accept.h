/* accept.h - Accept-Encoding (RFC 9110 12.5.3) for the codings that are served: gzip and identity. */
#ifndef WEFT_HTTP_ACCEPT_H
#define WEFT_HTTP_ACCEPT_H

#include "http/slice.h"

/* How much the client wants each coding, in thousandths; 0 is "not at all". */
typedef struct weft__accept {
    uint16_t gzip;
    uint16_t identity;
} weft__accept;

/* What a value of Accept-Encoding (lines joined) says; data NULL = no such field: identity, as a client that does not
 * name a coding seldom knows one. "x-gzip" is gzip. Members that are malformed count for nothing. */
weft__accept weft__accept_encoding(weft__span value);

#endif
