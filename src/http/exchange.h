/* exchange.h - a request under way in a route's handler, and its answer: what exchange.c, answer.c and websocket.c
 * share.
 *
 * E1 own head:  the head is copied and consumed before the handler runs, so it may read input as it likes.
 * E2 framed:    the answer is sized, chunked or ended by closing, decided once when it begins; what is left of the
 *               request's body afterwards is dropped, or the connection ends.
 * E3 no half:   an answer that was begun and not completed ends the connection without its last chunk; where only the
 *               end of the connection is the end of the answer, by a reset. */
#ifndef WEFT_HTTP_EXCHANGE_H
#define WEFT_HTTP_EXCHANGE_H

#include <weft/websocket.h>

#include "http/chunk.h"
#include "http/route.h"
#include "http/site.h"

enum weft__answer_state {
    WEFT__ANSWER_NONE,    /* nothing has been said */
    WEFT__ANSWER_SIZED,   /* `left` bytes are to come */
    WEFT__ANSWER_CHUNKED, /* in chunks */
    WEFT__ANSWER_CLOSED,  /* its end is the connection's */
    WEFT__ANSWER_SILENT,  /* without a body: HEAD, 204, 304 */
    WEFT__ANSWER_SWITCHED /* another protocol has the connection */
};

struct weft_request {
    weft__request *r;
    weft__route_match match;
    weft_websocket *socket;
    bool socket_lingers; /* its last word is to be read, and not lost to a reset */

    uint64_t body_max, body_taken;
    uint64_t left;     /* of a counted body */
    weft__chunk chunk; /* of a chunked one */
    bool chunked, body_done, awaits_100, body_broken;

    uint8_t state;        /* enum weft__answer_state */
    uint64_t answer_left; /* WEFT__ANSWER_SIZED */
    weft__out fields;     /* added by the handler */

    char method[40];
    char path[WEFT__PATH_MAX + 2]; /* '/' and the decoded path */
    char params[WEFT__PATH_MAX];   /* the same without '/', each value terminated */
    char field_text[8192];
};

/* What is not read yet of the body cannot all be within its limit. */
static inline bool weft__body_too_large(const weft_request *q)
{
    return !q->body_done && (q->body_taken > q->body_max || (!q->chunked && q->left > q->body_max - q->body_taken));
}

/* ---- websocket.c ---- */

/* The handler has returned: close it if it is open, free it. True: the client was told that it ends and may still be
 * sending. Takes NULL. */
bool weft__websocket_end(weft_websocket *ws);

/* ---- exchange.c ---- */

/* Serve r by one of the site's routes. Returns WEFT__NO_ROUTE when none has its path; else as serve_one. */
int weft__route_serve(weft__request *r, size_t have);

/* ---- answer.c ---- */

/* The handler has returned `result`: complete the answer. 0, or an error that ends the connection at once. */
int weft__answer_end(weft_request *q, int result);

#endif
