/* gzip.h - one buffer into one gzip member (RFC 1952), by zlib. */
#ifndef WEFT_HTTP_GZIP_H
#define WEFT_HTTP_GZIP_H

#include <stdbool.h>
#include <stddef.h>

/* False: built without zlib, and nothing is ever compressed. */
bool weft__gzip_there(void);

/* Compress in[0..size) behind `room` bytes that are left for a head. Sets *out (weft__malloc'd, the data is at *out +
 * room) and *len. Returns 0; -E2BIG when it would not come out at least a twentieth smaller; -ENOMEM; -ENOSYS. Takes
 * milliseconds for 100 KiB: call it where computing does no harm. */
int weft__gzip(const void *in, size_t size, size_t room, char **out, size_t *len);

#endif
