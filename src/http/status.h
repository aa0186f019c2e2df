/* status.h - the registered status codes and their reason phrases (RFC 9110 15 and the IANA registry). */
#ifndef WEFT_HTTP_STATUS_H
#define WEFT_HTTP_STATUS_H

#include "http/slice.h"

/* "Not Found" for 404; for a code that nobody registered the name of its class ("Client Error"), and "Unknown" outside
 * 100 to 599. Static; not terminated. */
weft__span weft__status_reason(int status);

/* "HTTP/1.1 404 Not Found\r\n", ready made, for registered codes; {NULL, 0} for others. Always 1.1: a server names its
 * own version, also to an HTTP/1.0 client (RFC 9110 6.2). */
weft__span weft__status_line(int status);

#endif
