/* send.h - an entry onto the wire. All return 0 or what sending gave; the connection is then broken. */
#ifndef WEFT_HTTP_SEND_H
#define WEFT_HTTP_SEND_H

#include "http/range.h"
#include "http/site.h"

/* 200 with the whole form. */
int weft__send_whole(weft__request *r, weft__entry *e, const weft__form *f);

/* 206: one range, or several as multipart/byteranges. */
int weft__send_ranges(weft__request *r, weft__entry *e, const weft__form *f, const weft__ranges *ranges);

/* 416 for a file of `size` bytes. */
int weft__send_no_range(weft__request *r, uint64_t size);

/* 304. */
int weft__send_not_modified(weft__request *r, const weft__entry *e, const weft__form *f);

/* The identity form as the page that goes with an error. */
int weft__send_as(weft__request *r, int status, weft__entry *e);

/* A page of HTML made for this answer. */
int weft__send_page(weft__request *r, int status, const char *page, size_t len);

/* Find or make the entry of `key` (files.c). 200 and *hold, or what to answer instead: 301, 403, 404, 500, 503,
 * WEFT__LIST_DIRECTORY. */
int weft__find_file(weft__request *r, const char *key, size_t len, weft__hold *hold);

#endif
