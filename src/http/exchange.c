/* exchange.c - a routed request: finding its handler, what it may ask of the request, and its body. answer.c has the
 * answer, route.c the tree, request.c the loop around. See exchange.h. */
#include "http/exchange.h"

#include "http/parse_scan.h"
#include "http/target.h"
#include "serve/begun.h"
#include "sys/sys.h"

#include <errno.h>

enum {
    HEAD_ON_STACK = 2048
};

/* ---- about the request ---- */

const char *weft_request_method(const weft_request *q)
{
    return q->method;
}

const char *weft_request_path(const weft_request *q)
{
    return q->path;
}

weft_conn *weft_request_conn(const weft_request *q)
{
    return q->r->conn;
}

const char *weft_request_param(const weft_request *q, const char *name)
{
    const weft__route *route = q->match.route;
    for (unsigned i = 0; i < q->match.value_count; i++)
        if (strcmp(route->names[i], name) == 0)
            return q->params + q->match.values[i].at;
    return "";
}

const char *weft_request_field(const weft_request *q, const char *name, size_t *size)
{
    char lower[128];
    size_t len = strlen(name);
    uint32_t cursor = 0;
    weft__span n, value;
    *size = 0;
    if (len >= sizeof lower)
        return NULL;
    for (size_t i = 0; i < len; i++)
        lower[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] | 0x20) : name[i];
    while (weft__http_field_next(&q->r->head, q->r->buf, &cursor, &n, &value))
        if (weft__span_is_nocase(n, (weft__span){lower, len})) {
            *size = value.len;
            return value.data;
        }
    return NULL;
}

/* Decode the form encoding of text into buf; its length, -EINVAL or -ENOBUFS. */
static ssize_t decode_form(weft__span text, char *buf, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (c == '%') {
            if (text.len - i < 3 || !weft__byte_is(text.data[i + 1], WEFT__BYTE_HEX) ||
                !weft__byte_is(text.data[i + 2], WEFT__BYTE_HEX))
                return -EINVAL;
            c = (char)(weft__hex_value(text.data[i + 1]) << 4 | weft__hex_value(text.data[i + 2]));
            i += 2;
            if (c == 0)
                return -EINVAL;
        } else if (c == '+') {
            c = ' ';
        }
        if (n + 1 >= size)
            return -ENOBUFS;
        buf[n++] = c;
    }
    if (size == 0)
        return -ENOBUFS;
    buf[n] = 0;
    return (ssize_t)n;
}

ssize_t weft_request_query(const weft_request *q, const char *name, char *buf, size_t size)
{
    weft__span query = weft__slice_span(q->r->buf, q->r->head.query);
    size_t name_len = strlen(name);
    for (size_t at = 0; at < query.len;) {
        const char *pair = query.data + at, *end = memchr(pair, '&', query.len - at);
        size_t len = end != NULL ? (size_t)(end - pair) : query.len - at;
        const char *equals = memchr(pair, '=', len);
        size_t key = equals != NULL ? (size_t)(equals - pair) : len;
        char decoded[256];
        ssize_t n = decode_form((weft__span){pair, key}, decoded, sizeof decoded);
        if (n >= 0 && (size_t)n == name_len && memcmp(decoded, name, name_len) == 0)
            return decode_form((weft__span){pair + key + (equals != NULL), len - key - (equals != NULL)}, buf, size);
        at += len + 1;
    }
    return -ENOENT;
}

/* ---- the body ---- */

int64_t weft_request_body_size(const weft_request *q)
{
    return q->chunked ? -1 : (int64_t)q->r->head.content_length;
}

void weft_request_body_limit(weft_request *q, int64_t most)
{
    q->body_max = most > 0 ? (uint64_t)most : 0;
}

/* Nothing more can be read of it, and so no request after it. */
static int broken(weft_request *q, int err)
{
    q->body_broken = true;
    q->r->close = true;
    return err;
}

static int say_continue(weft_request *q)
{
    static const char go[] = "HTTP/1.1 100 Continue\r\n\r\n";
    q->awaits_100 = false;
    return q->state == WEFT__ANSWER_NONE ? weft_conn_write(q->r->conn, go, sizeof go - 1) : 0;
}

/* Take from the unread bytes: copied to buf, which may be NULL. */
static ssize_t take_counted(weft_request *q, const char *view, size_t n, void *buf, size_t size)
{
    n = n < q->left ? n : (size_t)q->left;
    n = n < size ? n : size;
    if (buf != NULL)
        memcpy(buf, view, n);
    weft_conn_consume(q->r->conn, n);
    q->left -= n;
    q->body_done = q->left == 0;
    return (ssize_t)n;
}

/* The same out of chunks; 0: only framing was there. */
static ssize_t take_chunked(weft_request *q, const char *view, size_t n, void *buf, size_t size)
{
    size_t at = 0, got = 0, used;
    while (at < n && got < size) {
        weft__span data;
        /* No more than fits is shown to the decoder, so that it never gives more. */
        size_t most = n - at < size - got ? n - at : size - got;
        enum weft__http_outcome what = weft__chunk_decode(&q->chunk, view + at, most, &used, &data);
        at += used;
        if (what == WEFT__HTTP_DATA) {
            if (buf != NULL)
                memcpy((char *)buf + got, data.data, data.len);
            got += data.len;
        } else if (what == WEFT__HTTP_DONE) {
            q->body_done = true;
            break;
        } else if (what == WEFT__HTTP_REFUSED) {
            return broken(q, -EPROTO);
        }
    }
    weft_conn_consume(q->r->conn, at);
    return (ssize_t)got;
}

ssize_t weft_request_read(weft_request *q, void *buf, size_t size, weft_until until)
{
    if (q->body_broken)
        return -EPROTO;
    if (size == 0)
        return 0;
    if (weft__body_too_large(q))
        return broken(q, -EMSGSIZE);
    int err = q->awaits_100 && !q->body_done ? say_continue(q) : 0;
    if (err < 0)
        return broken(q, err);
    weft_until limit = weft_in(q->r->site->body_timeout);
    while (!q->body_done) {
        const void *view;
        ssize_t n = weft__conn_fill_begun(q->r->conn, &view, until.at < limit.at ? until : limit);
        if (n == -ETIMEDOUT || n == -ECANCELED)
            return n;
        if (n <= 0)
            return broken(q, n == 0 ? -ECONNRESET : (int)n);
        n = q->chunked ? take_chunked(q, view, (size_t)n, buf, size) : take_counted(q, view, (size_t)n, buf, size);
        if (n < 0)
            return n;
        q->body_taken += (uint64_t)n;
        if (q->body_taken > q->body_max)
            return broken(q, -EMSGSIZE);
        if (n > 0)
            return n;
    }
    return 0;
}

/* What the handler has not read: dropped, so that the next request begins where it should, or the connection ends. */
static void drop_rest(weft_request *q)
{
    if (q->body_done || q->r->close)
        return;
    if (q->awaits_100) { /* it may send the body now, or not */
        q->r->close = true;
        return;
    }
    weft_until until = weft_in(q->r->site->body_timeout);
    ssize_t n;
    while ((n = weft_request_read(q, NULL, 64 << 10, until)) > 0)
        continue;
    if (n < 0)
        q->r->close = true;
}

/* ---- serving ---- */

static void set_up(weft_request *q, weft__request *r, size_t path_len)
{
    q->r = r;
    q->socket = NULL;
    q->socket_lingers = false;
    q->body_max = r->site->body_max;
    q->body_taken = 0;
    q->left = r->head.content_length;
    q->chunk = (weft__chunk){0};
    q->chunked = r->head.chunked;
    q->body_done = !q->chunked && q->left == 0;
    q->awaits_100 = r->head.expect_continue;
    q->body_broken = false;
    q->state = WEFT__ANSWER_NONE;
    q->fields = weft__out_over(q->field_text, sizeof q->field_text);
    weft__span method = weft__slice_span(r->buf, r->head.method_name);
    memcpy(q->method, method.data, method.len);
    q->method[method.len] = 0;
    memcpy(q->params, q->path + 1, path_len + 1);
    for (unsigned i = 0; i < q->match.value_count; i++)
        q->params[q->match.values[i].at + q->match.values[i].len] = 0;
}

/* Run the handler; the head is the handler's own by now. */
static int run(weft_request *q)
{
    weft__request *r = q->r;
    weft_conn_busy(r->conn, q->body_done);
    int err = weft__answer_end(q, q->match.route->fn(q, q->match.route->arg));
    if (err == 0)
        drop_rest(q);
    weft_conn_busy(r->conn, 0); /* the next head, if it is not all there, is waited for in this turn */
    return err;
}

/* A route has the path but not the method, and no file could be meant: say which it has. */
static int refuse_method(weft_request *q, weft__request *r)
{
    q->match.route = NULL;
    weft__out_field(&q->fields, WEFT__SPAN("Allow"), (weft__span){q->match.allow, q->match.allow_len});
    bool options = r->head.method == WEFT__HTTP_OPTIONS;
    int err = weft__answer_end(q, options ? 204 : 405);
    if (err == 0)
        drop_rest(q);
    return err;
}

int weft__route_serve(weft__request *r, size_t have)
{
    weft_request q;
    weft__target t;
    weft__span method = weft__slice_span(r->buf, r->head.method_name);
    if (method.len >= sizeof q.method || (r->head.form != WEFT__HTTP_ORIGIN && r->head.form != WEFT__HTTP_ABSOLUTE) ||
        weft__target_decode(weft__slice_span(r->buf, r->head.path), q.path + 1, WEFT__PATH_MAX, &t) != 0)
        return WEFT__NO_ROUTE;
    q.path[0] = '/';
    weft__routes_find(r->site->routes, method, (weft__span){q.path + 1, t.len}, t.directory, &q.match);
    if (!q.match.path_known)
        return WEFT__NO_ROUTE;
    char small[HEAD_ON_STACK], *copy = small;
    if (r->head.size > sizeof small && (copy = weft__malloc(r->head.size)) == NULL)
        return -ENOMEM;
    memcpy(copy, r->buf, r->head.size);
    bool more = have > r->head.size;
    r->buf = copy;
    weft_conn_consume(r->conn, r->head.size);
    set_up(&q, r, t.len);
    if (t.directory && t.len > 0) {
        q.path[1 + t.len] = '/';
        q.path[2 + t.len] = 0;
    }
    bool body = !q.body_done;
    int err = q.match.route != NULL ? run(&q) : refuse_method(&q, r);
    weft__request_done(r);
    if (copy != small)
        weft__free(copy);
    if (err < 0)
        return err;
    if (q.state == WEFT__ANSWER_SWITCHED)
        return q.socket_lingers ? WEFT_CONN_LINGER : WEFT_CONN_CLOSE;
    if (r->close)
        return more || body || r->head.keep_alive ? WEFT_CONN_LINGER : WEFT_CONN_CLOSE;
    return WEFT__GO_ON;
}
