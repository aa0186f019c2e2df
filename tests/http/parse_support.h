/* parse_support.h - tables of request heads, and the oracle that a head means the same however it is cut. */
#ifndef TESTS_HTTP_PARSE_SUPPORT_H
#define TESTS_HTTP_PARSE_SUPPORT_H

#include "http/parse.h"

/* What a row says besides outcome and status; a DONE row without KEEP closes the connection after the answer. */
enum {
    KEEP = 1,
    CHUNKED = 2,
    EXPECT = 4
};

typedef struct parse_case {
    const char *name; /* what is true, with the section of RFC 9112 or 9110 that says so */
    const char *bytes;
    size_t len;
    enum weft__http_outcome outcome;
    int status;
    unsigned flags;
    uint64_t content_length;
} parse_case;

#define BYTES(literal) literal, sizeof(literal) - 1
#define SERVED         WEFT__HTTP_DONE, 0
#define ANSWERED       WEFT__HTTP_DONE
#define REFUSED        WEFT__HTTP_REFUSED
#define UNFINISHED     WEFT__HTTP_MORE, 0

/* Parse len bytes in a block of exactly that size, in one call. */
enum weft__http_outcome parse_whole(weft__http_head *head, const char *bytes, size_t len,
                                    const weft__http_limits *limits);

/* Check every row, parsed whole, in two parts at every cut, and byte by byte; the buffer moves between calls and is
 * never larger than what it holds. */
void check_parse_cases(const parse_case *cases, size_t count, const weft__http_limits *limits);

#define CHECK_PARSE(cases, limits) check_parse_cases(cases, sizeof(cases) / sizeof((cases)[0]), limits)

/* Does the slice of `buf` hold exactly this text? */
int slice_is(const char *buf, weft__slice s, const char *text);
int span_is(weft__span s, const char *text);

#endif
