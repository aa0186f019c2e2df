/* etag.h - entity tags (RFC 9110 8.8.3) and the preconditions of a request (RFC 9110 13.2.2). */
#ifndef WEFT_HTTP_ETAG_H
#define WEFT_HTTP_ETAG_H

#include "http/slice.h"

#include <stdbool.h>

enum weft__etag_match {
    WEFT__ETAG_NONE,   /* well-formed, and none of them */
    WEFT__ETAG_MATCH,  /* one of them */
    WEFT__ETAG_ANY,    /* "*" */
    WEFT__ETAG_INVALID /* neither "*" nor a list of entity tags */
};

/* Is `etag` (as it would be sent: "..." or W/"...") in `list`? `strong`: two tags are equal only if neither is weak.
 * The whole list is checked for form before a match counts. */
enum weft__etag_match weft__etag_find(weft__span list, weft__span etag, bool strong);

/* A request's conditions and the representation they are about. */
typedef struct weft__conditions {
    bool read;           /* the method is GET or HEAD */
    bool get;            /* the method is GET (Range means something) */
    bool exists;         /* there is a representation; `etag` and `modified` are its own */
    weft__span etag;     /* as sent; len 0 = it has none */
    int64_t modified;    /* Last-Modified, seconds since 1970 */
    int64_t now;         /* Date of the answer, seconds since 1970 */
    weft__span if_match; /* field values, lines joined; data NULL = no such field */
    weft__span if_none_match;
    weft__span if_modified_since;
    weft__span if_unmodified_since;
    weft__span if_range;
    weft__span range;
} weft__conditions;

/* Evaluate them in the order of RFC 9110 13.2.2. Returns 412 or 304; or 200: go on, without Range; or 206: go on and
 * honour Range (there is one, the method is GET, and If-Range, if any, holds). An invalid date makes its condition
 * absent; an invalid list matches nothing. */
int weft__conditions_evaluate(const weft__conditions *c);

/* Does the If-Range value hold? A tag is compared strongly; a date has to equal `modified` exactly, and counts only
 * if `modified` is at least a second before `now` (RFC 9110 8.8.2.2), since it could change again unseen. */
bool weft__if_range_holds(weft__span value, weft__span etag, int64_t modified, int64_t now);

#endif
