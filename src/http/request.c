/* request.c - the loop over a connection's requests: head, body, answer, and on to the next.
 *
 * Q1 in order:   a request is read whole, with its body, before it is answered; then it is consumed. So answers come in
 * the order of requests, and a body that cannot be framed is answered once, with 400. Q2 no doubt:   after anything
 * that leaves it open where the next request begins, the answer says "Connection: close", and the connection lingers so
 * that the client can read it. Q3 bounded:    a head has head_timeout from its first byte, a body body_timeout and
 * body_max, and there is no other way to stay here: between requests the handler returns and the connection holds
 * neither stack nor buffer. Bodies mean nothing to GET, HEAD and OPTIONS: they are read and dropped. Pinned by
 * tests/web/raw_test.py. */
#include "http/chunk.h"
#include "http/site.h"
#include "sys/sys.h"

#include <errno.h>

enum {
    REQUESTS_MAX = 64, /* in one call of the handler; then the thread's other connections have their turn */
    GO_ON = 3          /* beside WEFT_CONN_CLOSE, _IDLE and _LINGER: look at the next request */
};

/* An answer from which the connection cannot go on. */
static int refuse(weft__request *r, int status)
{
    r->close = true;
    int err = weft__answer_error(r, status);
    weft__request_done(r);
    return err < 0 ? err : WEFT_CONN_LINGER;
}

/* ---- bodies: read and dropped ----
 * The head stays unread (its fields are looked at while answering), so a body is not consumed as it comes but looked at
 * in pieces behind it: `have` bytes are unread, of which the first `head` are the head's. */

/* Wait for more input behind what is there. Returns 0, or the status to refuse with, or -errno. */
static int more_body(weft__request *r, size_t *have, weft_until until)
{
    const void *view;
    ssize_t n = weft_conn_fill(r->conn, *have, &view, until);
    if (n == -ETIMEDOUT)
        return 408;
    if (n == -ENOBUFS)
        return 413;
    if (n < 0)
        return (int)n;
    r->buf = view;
    if (n == 0)
        return 400; /* the client stopped in the middle */
    *have = (size_t)n;
    return 0;
}
