/* target.h - from the path of a request target to a name that openat2 may be given.
 *
 * T1 beneath:  the result never begins with '/', and none of its segments is "", "." or ".."; so it names something
 *              below the directory it is opened in, whatever the bytes were. (openat2(RESOLVE_BENEATH) says it again.)
 * T2 once:     escapes are decoded exactly once, and dot segments are removed after that: %2e%2e is "..".
 * T3 bytes:    file names are bytes: they need not be UTF-8, and '\' is one of them.
 *
 * An escaped slash (%2F) is 404: no file name contains one. A path that climbs above its root is 400, not clamped:
 * no client has a reason to send one. Empty segments are dropped ("/a//b" is a/b). Pinned by fuzz/target_fuzz.c. */
#ifndef WEFT_HTTP_TARGET_H
#define WEFT_HTTP_TARGET_H

#include "http/slice.h"

#include <stdbool.h>

typedef struct weft__target {
    size_t len;      /* bytes in `out`, without the NUL; 0 for the root */
    bool directory;  /* the path ended with '/', "/." or "/..": it names a directory */
    bool hidden;     /* a segment begins with '.' */
    bool well_known; /* ... but it is only the first one, and that is ".well-known" (RFC 8615) */
} weft__target;

/* Decode `path` (head.path: what precedes '?', beginning with '/'; empty means "/") into out[0..cap), NUL-terminated,
 * relative, "" for the root. Returns 0, or the status to refuse with: 400 (a bad escape, %00, a climb above the root),
 * 404 (%2F), 414 (does not fit in cap). `cap` of path.len + 1 always suffices. `out` may not overlap `path`.
 * Callers refuse `hidden` with 404 by default; `well_known` is for the option that lets that one through. */
int weft__target_decode(weft__span path, char *out, size_t cap, weft__target *result);

#endif
