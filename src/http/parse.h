/* parse.h - an HTTP/1.x request head out of a buffer: no I/O, no waiting, no allocation, no callback.
 *
 * weft__http_parse is given the bytes of one request so far, again and again with more of them, and remembers in
 * `weft__http_head` how far it has looked: no byte is looked at twice but those of an unfinished name. Everything it
 * finds is an offset from `buf`, so the buffer may move or grow between two calls.
 *
 * C1 cut:      the outcome depends on the bytes alone, never on how they were cut into calls.
 * C2 framing:  where two readers could disagree about where a request ends, it is refused (400) and the connection has
 *              to be closed; no request after it is ever looked for.
 * C3 reach:    no byte at or beyond buf + len is read.
 *
 * What is refused, with which status and why is listed in docs/design/http-parser.md; tests/http/parse_test.c has a
 * case for each, and fuzz/request_fuzz.c holds C1. */
#ifndef WEFT_HTTP_PARSE_H
#define WEFT_HTTP_PARSE_H

#include "http/slice.h"

#include <stdbool.h>

enum weft__http_outcome {
    WEFT__HTTP_MORE,    /* all is well so far; call again with the same buffer and more bytes in it */
    WEFT__HTTP_DONE,    /* the head is complete and framed: what follows it begins at head.size */
    WEFT__HTTP_REFUSED, /* answer head.status and close: where the next request would begin is not known */
    WEFT__HTTP_DATA     /* chunked bodies only: bytes of the body, see chunk.h */
};

enum weft__http_method {
    WEFT__HTTP_OTHER, /* a token that is no method known here; head.method_name has it */
    WEFT__HTTP_GET,
    WEFT__HTTP_HEAD,
    WEFT__HTTP_POST,
    WEFT__HTTP_PUT,
    WEFT__HTTP_DELETE,
    WEFT__HTTP_CONNECT,
    WEFT__HTTP_OPTIONS,
    WEFT__HTTP_TRACE,
    WEFT__HTTP_PATCH
};

enum weft__http_form {
    WEFT__HTTP_ORIGIN,    /* /path?query                 */
    WEFT__HTTP_ABSOLUTE,  /* http://host/path?query      */
    WEFT__HTTP_AUTHORITY, /* host:port, with CONNECT     */
    WEFT__HTTP_ASTERISK   /* *, with OPTIONS             */
};

/* The fields whose place is noted while the head is scanned. */
enum weft__http_field {
    WEFT__FIELD_HOST,
    WEFT__FIELD_CONTENT_LENGTH,
    WEFT__FIELD_TRANSFER_ENCODING,
    WEFT__FIELD_CONNECTION,
    WEFT__FIELD_EXPECT,
    WEFT__FIELD_RANGE,
    WEFT__FIELD_IF_RANGE,
    WEFT__FIELD_IF_MATCH,
    WEFT__FIELD_IF_NONE_MATCH,
    WEFT__FIELD_IF_MODIFIED_SINCE,
    WEFT__FIELD_IF_UNMODIFIED_SINCE,
    WEFT__FIELD_ACCEPT_ENCODING,
    WEFT__FIELD_USER_AGENT,
    WEFT__FIELD_REFERER,
    WEFT__FIELD_COUNT
};

/* Bounds of one head; zero in a member is its default, NULL is all defaults. */
typedef struct weft__http_limits {
    uint32_t head;   /* bytes from the first of the request line to the empty line's LF; 0 = 16384; 431 beyond */
    uint32_t fields; /* field lines; 0 = 100; 431 beyond */
    uint32_t target; /* bytes of the request target; 0 = 8192; 414 beyond */
    uint32_t method; /* bytes of the method; 0 = 32; 501 beyond */
    bool secure;     /* the connection is TLS: https:// in an absolute target is ours (421 otherwise) */
} weft__http_limits;

typedef struct weft__http_head {
    /* Valid after DONE, and `status`, `method_name`, `target`, `minor` as far as they are set after REFUSED (for the
     * log; len 0 = not reached). */
    uint16_t status;         /* 0 = to be served; else the error to answer with: after REFUSED always set, after DONE
                              * one of 405, 417, 421, 501, where the connection may go on if keep_alive */
    uint8_t method;          /* enum weft__http_method */
    uint8_t minor;           /* 0 = HTTP/1.0, 1 = HTTP/1.1 (or a later 1.x, to be answered as 1.1) */
    uint8_t form;            /* enum weft__http_form */
    bool keep_alive;         /* the client wants the connection to go on, and framing allows it */
    bool chunked;            /* a chunked body follows: chunk.h */
    bool expect_continue;    /* 100 (Continue) is awaited before the body; never set in 1.0 or where there is no body */
    uint64_t content_length; /* bytes of the body that follows; 0 without Content-Length and when chunked */
    uint32_t size;           /* bytes of the head, from buf, a skipped empty line before it included */
    uint32_t field_count;
    weft__slice method_name;
    weft__slice target;    /* as sent */
    weft__slice authority; /* host[:port] from an absolute or authority target, else from Host; len 0 if none (1.0) */
    weft__slice path;      /* of the target, still encoded: begins with '/', or len 0 (absolute without path; '*') */
    weft__slice query;     /* after '?', without it */
    bool has_query;        /* tells "/a?" from "/a" */

    /* The parser's own. Slices below are unset (not zero) where `present` has no bit: use the calls. */
    uint8_t phase;
    uint8_t connection; /* options seen in Connection */
    bool expect_other;
    uint8_t field_id;   /* of the field under way */
    uint32_t pos;       /* all before it has been looked at */
    uint32_t mark;      /* first byte of the part under way */
    uint32_t start;     /* first byte of the request line */
    uint32_t fields_at; /* first byte of the field lines */
    uint32_t present;   /* bit 1 << enum weft__http_field */
    uint32_t repeated;  /* the same, for fields on more than one line */
    weft__slice field[WEFT__FIELD_COUNT];
} weft__http_head;

/* Make *head ready for a new request. Cheap: nothing of the slices is cleared. */
void weft__http_head_init(weft__http_head *head);

/* Go on with the head of the request whose first `len` bytes are at `buf`; `len` never shrinks from call to call.
 * Returns WEFT__HTTP_MORE, _DONE or _REFUSED; the last two are final until the next init.
 * Pipelined requests: after DONE and the body, init and call with buf + size + body. */
enum weft__http_outcome weft__http_parse(weft__http_head *head, const char *buf, size_t len,
                                         const weft__http_limits *limits);

/* Has the request this field, possibly with an empty value? */
static inline bool weft__http_has(const weft__http_head *head, enum weft__http_field id)
{
    return head->present >> id & 1;
}

/* The value of field `id` without the white space around it; {NULL, 0} without the field. Of a field on several lines
 * the first line's. Right for fields that may come but once; for lists use weft__http_joined. */
static inline weft__span weft__http_value(const weft__http_head *head, const char *buf, enum weft__http_field id)
{
    return weft__http_has(head, id) ? weft__slice_span(buf, head->field[id]) : (weft__span){NULL, 0};
}

/* The value of field `id` as RFC 9110 5.3 combines it from several lines, joined by ", " into `scratch` when there is
 * more than one and not touching it otherwise. Returns 0, or -ENOBUFS when `cap` bytes are too few (*out = {NULL, 0}).
 * A field that may come but once (a date, Range) joins to a value that its own parser refuses, as it has to. */
int weft__http_joined(const weft__http_head *head, const char *buf, enum weft__http_field id, char *scratch, size_t cap,
                      weft__span *out);

/* All field lines in order. *cursor starts at 0. Returns true with the next name and value, false at the end.
 * Only after DONE. */
bool weft__http_field_next(const weft__http_head *head, const char *buf, uint32_t *cursor, weft__span *name,
                           weft__span *value);

/* Does name[0..len) spell a host[:port] as in a Host field: reg-name, IPv4 or [IPv6], port 0 to 65535 or empty, no
 * user information? An empty host does not. */
bool weft__http_host_valid(const char *name, size_t len);

#endif
