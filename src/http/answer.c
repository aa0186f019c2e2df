/* answer.c - the answer of a route's handler: head, body in one of three framings, events. See exchange.h. */
#include "http/exchange.h"

#include "http/parse_scan.h"
#include "serve/reset.h"

#include <errno.h>

enum {
    HEAD_MAX = 1024 + sizeof((weft_request *)0)->field_text
};

/* ---- fields ---- */

int weft_response_field(weft_request *q, const char *name, const char *value)
{
    static const char *const ours[] = {"content-length", "transfer-encoding", "connection", "date", "server"};
    size_t len = strlen(name), value_len = strlen(value);
    if (q->state != WEFT__ANSWER_NONE)
        return -EALREADY;
    for (size_t i = 0; i < len; i++)
        if (!weft__byte_is(name[i], WEFT__BYTE_TOKEN))
            return -EINVAL;
    for (size_t i = 0; i < value_len; i++)
        if (!weft__byte_is(value[i], WEFT__BYTE_TEXT))
            return -EINVAL;
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        if (weft__span_is_nocase((weft__span){name, len}, (weft__span){ours[i], strlen(ours[i])}))
            return -EINVAL;
    if (len == 0)
        return -EINVAL;
    weft__out o = q->fields;
    weft__out_field(&o, (weft__span){name, len}, (weft__span){value, value_len});
    if (o.overflow)
        return -ENOBUFS;
    q->fields = o;
    return 0;
}

/* ---- the head ---- */

static bool bodiless(int status)
{
    return status == 204 || status == 304;
}

/* What is left of the request's body will not be read; judged before the head, which says whether the connection goes
 * on. */
static bool gives_body_up(const weft_request *q)
{
    return !q->body_done && (q->awaits_100 || q->body_broken || weft__body_too_large(q));
}

/* Write the head. size -1: not known. */
static int begin(weft_request *q, int status, const char *type, int64_t size)
{
    weft__request *r = q->r;
    char head[HEAD_MAX];
    weft__out o = weft__out_over(head, sizeof head);
    if (q->state != WEFT__ANSWER_NONE)
        return -EALREADY;
    if (status < 200 || status > 599 || size < -1)
        return -EINVAL;
    r->close |= gives_body_up(q) || weft__request_is_last(r);
    if (status == 205)
        size = 0; /* it has no body either, but has to say so */
    bool chunked = size < 0 && r->head.minor > 0 && !bodiless(status);
    if (size < 0 && !chunked && !bodiless(status))
        r->close = true;
    weft__begin_head(r, &o, status);
    if (type != NULL)
        weft__out_field(&o, WEFT__SPAN("Content-Type"), (weft__span){type, strlen(type)});
    weft__out_span(&o, (weft__span){q->fields.data, q->fields.len});
    if (chunked)
        weft__out_text(&o, "Transfer-Encoding: chunked\r\n");
    else if (size >= 0 && !bodiless(status))
        weft__out_field_u64(&o, WEFT__SPAN("Content-Length"), (uint64_t)size);
    if (o.overflow)
        return -EINVAL; /* only by a type of a kilobyte */
    q->answer_left = size >= 0 ? (uint64_t)size : 0;
    q->state = weft__request_is_head(r) || bodiless(status) || status == 205 ? WEFT__ANSWER_SILENT
               : size >= 0                                                   ? WEFT__ANSWER_SIZED
               : chunked                                                     ? WEFT__ANSWER_CHUNKED
                                                                             : WEFT__ANSWER_CLOSED;
    return weft__send_head(r, &o, NULL, 0);
}

int weft_response_begin(weft_request *q, int status, const char *type, int64_t size)
{
    return begin(q, status, type, size);
}

/* ---- the body ---- */

int weft_response_write(weft_request *q, const void *data, size_t size)
{
    weft_conn *c = q->r->conn;
    char line[20];
    weft__out o = weft__out_over(line, sizeof line);
    int err;
    if (size == 0 && q->state != WEFT__ANSWER_NONE)
        return 0;
    switch (q->state) {
    case WEFT__ANSWER_SIZED:
        if (size > q->answer_left)
            return -EINVAL;
        q->answer_left -= size;
        break;
    case WEFT__ANSWER_CHUNKED:
        weft__out_hex(&o, size);
        weft__out_text(&o, "\r\n");
        if ((err = weft_conn_write(c, o.data, o.len)) < 0 || (err = weft_conn_write(c, data, size)) < 0 ||
            (err = weft_conn_write(c, "\r\n", 2)) < 0)
            return err;
        q->r->bytes += size;
        return 0;
    case WEFT__ANSWER_CLOSED:
        break;
    case WEFT__ANSWER_SILENT:
        return 0;
    default:
        return -EINVAL;
    }
    q->r->bytes += size;
    return weft_conn_write(c, data, size);
}

int weft_response_flush(weft_request *q)
{
    return q->state == WEFT__ANSWER_NONE ? -EINVAL : weft_conn_flush(q->r->conn, WEFT_FOREVER);
}

int weft_respond(weft_request *q, int status, const char *type, const void *body, size_t size)
{
    int err = begin(q, status, type, (int64_t)size);
    return err < 0 ? err : weft_response_write(q, body, bodiless(status) ? 0 : size);
}

int weft__answer_end(weft_request *q, int result)
{
    q->socket_lingers = weft__websocket_end(q->socket);
    if (q->state == WEFT__ANSWER_NONE) {
        if (result == 0 || result == 204)
            return begin(q, 204, NULL, 0);
        int status = result >= 400 && result <= 599 ? result : 500;
        weft__request *r = q->r;
        r->close |= gives_body_up(q) || weft__request_is_last(r);
        return weft__answer_error_with(r, status, (weft__span){q->fields.data, q->fields.len});
    }
    if (q->state == WEFT__ANSWER_SILENT || q->state == WEFT__ANSWER_SWITCHED)
        return 0; /* it was whole with its head; the socket has had its last word. Whatever the handler says */
    if (result != 0 && q->state == WEFT__ANSWER_CLOSED)
        weft__conn_reset(q->r->conn);
    if (result != 0)
        return -EPIPE;
    switch (q->state) {
    case WEFT__ANSWER_SIZED:
        return q->answer_left > 0 ? -EPIPE : 0;
    case WEFT__ANSWER_CHUNKED:
        return weft_conn_write(q->r->conn, "0\r\n\r\n", 5);
    default:
        return 0;
    }
}

/* ---- events ---- */

int weft_events_begin(weft_request *q)
{
    int err = weft_response_field(q, "Cache-Control", "no-store");
    if (err == 0)
        err = begin(q, 200, "text/event-stream", -1);
    if (err == 0 && (err = weft_response_flush(q)) == 0)
        weft__request_endless(q->r);
    return err;
}

static int put_line(weft_request *q, const char *name, const char *text, size_t len)
{
    struct iovec pieces[] = {{(void *)name, strlen(name)}, {(void *)text, len}, {"\n", 1}};
    int err = 0;
    for (unsigned i = 0; i < 3 && err == 0; i++)
        err = weft_response_write(q, pieces[i].iov_base, pieces[i].iov_len);
    return err;
}

static bool has_line_end(const char *text)
{
    return text != NULL && strpbrk(text, "\r\n") != NULL;
}

int weft_events_send(weft_request *q, const char *event, const char *id, const char *data)
{
    if (has_line_end(event) || has_line_end(id))
        return -EINVAL;
    if (q->state == WEFT__ANSWER_SILENT)
        return -EPIPE; /* HEAD: nobody hears them, and nothing else would ever tell the handler that it can go */
    int err = 0;
    if (event != NULL)
        err = put_line(q, "event: ", event, strlen(event));
    if (err == 0 && id != NULL)
        err = put_line(q, "id: ", id, strlen(id));
    for (const char *p = data; err == 0 && p != NULL;) {
        size_t len = strcspn(p, "\r\n");
        err = put_line(q, "data: ", p, len);
        p += len;
        p = *p == 0 ? NULL : p + 1 + (p[0] == '\r' && p[1] == '\n');
    }
    if (err == 0 && event == NULL && id == NULL && data == NULL)
        err = put_line(q, ":", "", 0);
    if (err == 0)
        err = put_line(q, "", "", 0);
    return err < 0 ? err : weft_response_flush(q);
}
