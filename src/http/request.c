/* request.c - the loop over a connection's requests: head, body, answer, and on to the next.
 *
 * Q1 in order: a request is read whole, with its body, before it is answered; then it is consumed. So answers come
 *              in the order of requests, and a body that cannot be framed is answered once, with 400.
 * Q2 no doubt: after anything that leaves it open where the next request begins, the answer says "Connection:
 *              close", and the connection lingers so that the client can read it.
 * Q3 bounded:  a head has head_timeout from its first byte, a body body_timeout and body_max, and there is no other
 *              way to stay here: between requests the handler returns, and the connection holds neither stack nor
 *              buffer.
 * Bodies mean nothing to GET, HEAD and OPTIONS: they are read and dropped. Pinned by tests/web/raw_test.py. */
#include "http/chunk.h"
#include "http/exchange.h"
#include "http/site.h"
#include "serve/begun.h"
#include "sys/sys.h"

#include <errno.h>
#include <string.h>

enum {
    REQUESTS_MAX = 64 /* in one call of the handler; it is called again for what is left */
};

/* An answer from which the connection cannot go on. */
static int refuse(weft__request *r, int status)
{
    r->close = true;
    int err = weft__answer_error(r, status);
    weft__request_done(r);
    return err < 0 ? err : WEFT_CONN_LINGER;
}

/* ---- bodies: read and dropped ---- */

/* Look at what is unread, waiting for it if there is nothing. Returns how much, 0 never, or minus the status to refuse
 * with; -errno values are far below these. */
enum {
    STATUS = -1000
};

static ssize_t next_input(weft__request *r, const char **view, weft_until until)
{
    const void *bytes;
    ssize_t n = weft__conn_fill_begun(r->conn, &bytes, until);
    *view = bytes;
    return n > 0 ? n : n == -ETIMEDOUT ? STATUS - 408 : n == 0 ? STATUS - 400 : n;
}

static int drop_counted(weft__request *r, weft_until until)
{
    for (uint64_t left = r->head.content_length; left > 0;) {
        const char *view;
        ssize_t n = next_input(r, &view, until);
        if (n < 0)
            return (int)n;
        size_t take = (uint64_t)n < left ? (size_t)n : (size_t)left;
        weft_conn_consume(r->conn, take);
        left -= take;
    }
    return 0;
}

static int drop_chunked(weft__request *r, weft_until until)
{
    weft__chunk c = {0};
    for (;;) {
        const char *view;
        ssize_t n = next_input(r, &view, until);
        if (n < 0)
            return (int)n;
        size_t at = 0, used;
        enum weft__http_outcome what;
        do {
            weft__span data;
            what = weft__chunk_decode(&c, view + at, (size_t)n - at, &used, &data);
            at += used;
        } while (what == WEFT__HTTP_DATA);
        if (what == WEFT__HTTP_REFUSED)
            return STATUS - c.status;
        weft_conn_consume(r->conn, at);
        if (c.total > r->site->body_max)
            return STATUS - 413;
        if (what == WEFT__HTTP_DONE)
            return 0;
    }
}

/* What the request is answered with instead of being served; 0: it is served. */
static int refusal(const weft__request *r)
{
    if (r->head.status != 405)
        return r->head.status;
    if (r->site->root < 0 && r->head.path.len > 0)
        return 404; /* no route has the path, and there are no files: nothing to be asked of */
    return r->head.method == WEFT__HTTP_OPTIONS ? 0 : 405;
}

/* Read the body and drop it; `have` bytes are unread, the head first. The head is copied to *copy (to be freed) and
 * consumed, so that the body may be longer than the connection's buffer. Returns 0, STATUS - status, or -errno. */
static int drop_body(weft__request *r, size_t have, char **copy)
{
    int status = refusal(r);
    if (!r->head.chunked && r->head.content_length > r->site->body_max)
        return STATUS - (status != 0 ? status : 413);
    /* Who waits for 100 and is told a final status instead may send the body or not: only closing is safe. */
    if (r->head.expect_continue && status != 0)
        return STATUS - status;
    *copy = weft__malloc(r->head.size);
    if (*copy == NULL)
        return STATUS - 503;
    memcpy(*copy, r->buf, r->head.size);
    r->buf = *copy;
    weft_conn_consume(r->conn, r->head.size);
    if (r->head.expect_continue && have == r->head.size) {
        static const char go[] = "HTTP/1.1 100 Continue\r\n\r\n";
        int err = weft_conn_write(r->conn, go, sizeof go - 1);
        if (err < 0)
            return err;
    }
    weft_until until = weft_in(r->site->body_timeout);
    return r->head.chunked ? drop_chunked(r, until) : drop_counted(r, until);
}

/* ---- requests ---- */

static int answer(weft__request *r)
{
    int status = refusal(r);
    if (status != 0)
        return weft__answer_error(r, status);
    if (r->head.method == WEFT__HTTP_OPTIONS)
        return weft__answer_options(r);
    return r->site->root >= 0 ? weft__answer_file(r) : weft__answer_error(r, 404);
}

/* Over a Unix socket clients have no addresses, and all as one would be limited by the busiest. */
static bool within_rate(weft__request *r)
{
    char peer[WEFT_CONN_ADDRESS_MAX];
    return weft_conn_peer(r->conn, peer, NULL) < 0 || strncmp(peer, "unix:", 5) == 0 ||
           weft__rate_allow(r->site->rate, peer, r->now.monotonic, &r->wait);
}

static const weft__http_limits *limits_of(const weft__request *r)
{
    return likely(weft_conn_tls_version(r->conn) == NULL) ? &r->site->limits : &r->site->secure_limits;
}

/* The head at view[0..*have) is not complete: wait for the rest of it. Returns WEFT__GO_ON with *have and r->buf
 * renewed when it is parsed, well or not; else what the handler returns. */
static WEFT__COLD int wait_for_head(weft__request *r, size_t *have, enum weft__http_outcome *what)
{
    weft_until until = weft_in(r->site->head_timeout);
    while (*what == WEFT__HTTP_MORE) {
        const void *view;
        ssize_t n = weft_conn_fill(r->conn, *have, &view, until);
        r->now = weft__sys_coarse_times();
        r->buf = view; /* what was there has moved, whatever came: the log shows it */
        if (n == -ETIMEDOUT || n == -ENOBUFS)
            return refuse(r, n == -ETIMEDOUT ? 408 : 431);
        if (n <= 0)
            return n < 0 ? (int)n : WEFT_CONN_CLOSE;
        *have = (size_t)n;
        *what = weft__http_parse(&r->head, r->buf, *have, limits_of(r));
    }
    return WEFT__GO_ON;
}

/* Serve the request whose first bytes are r->buf[0..have). Returns WEFT__GO_ON if more is unread behind it, or what the
 * handler returns. */
static int serve_one(weft__request *r, size_t have)
{
    weft__http_head_init(&r->head);
    r->status = 0;
    r->bytes = 0;
    r->close = false;
    r->now = weft__sys_coarse_times();
    r->began = unlikely(r->site->timed) ? weft__sys_now() : 0;
    r->answered = 0;
    enum weft__http_outcome what = weft__http_parse(&r->head, r->buf, have, limits_of(r));
    if (unlikely(what == WEFT__HTTP_MORE)) {
        int done = wait_for_head(r, &have, &what);
        if (done != WEFT__GO_ON)
            return done;
    }
    if (unlikely(what == WEFT__HTTP_REFUSED))
        return refuse(r, r->head.status);

    r->close = !r->head.keep_alive || weft_conn_stopping(r->conn);
    if (r->site->rate != NULL && !within_rate(r))
        r->head.status = 429;
    if (r->site->routes != NULL && (r->head.status == 0 || r->head.status == 405 || r->head.status == 501)) {
        int done = weft__route_serve(r, have);
        if (done != WEFT__NO_ROUTE)
            return done;
    }
    bool body = r->head.chunked || r->head.content_length > 0, more = have > r->head.size;
    char *copy = NULL;
    if (unlikely(body)) {
        int err = drop_body(r, have, &copy);
        if (err < 0) {
            err = err < STATUS ? refuse(r, STATUS - err) : err;
            weft__free(copy);
            return err;
        }
        r->now = weft__sys_coarse_times();
        more = true; /* perhaps: not worth knowing */
    }
    r->close = !r->head.keep_alive || weft__request_is_last(r);
    int err = answer(r);
    weft__request_done(r);
    if (body)
        weft__free(copy);
    else
        weft_conn_consume(r->conn, r->head.size);
    if (err < 0)
        return err;
    if (unlikely(r->close))
        return more || r->head.keep_alive ? WEFT_CONN_LINGER : WEFT_CONN_CLOSE;
    return more ? WEFT__GO_ON : WEFT_CONN_IDLE;
}

int weft__http_handle(weft_conn *c, void *arg)
{
    weft__request r;
    r.site = arg;
    r.worker = weft_conn_state(c);
    r.conn = c;
    for (unsigned i = 0; i < REQUESTS_MAX; i++) {
        const void *view;
        ssize_t n = weft_conn_fill(c, 0, &view, WEFT_NOW);
        if (n <= 0)
            return n == -ETIMEDOUT ? WEFT_CONN_IDLE : n < 0 ? (int)n : WEFT_CONN_CLOSE;
        r.buf = view;
        int done = serve_one(&r, (size_t)n);
        if (done != WEFT__GO_ON)
            return done;
    }
    return WEFT_CONN_IDLE;
}
