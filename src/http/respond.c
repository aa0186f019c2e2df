/* respond.c - heads, error pages, redirects, OPTIONS, and the account of an answer (counts, access log).
 *
 * Error pages are made of the status alone: nothing of the request is ever in one. Whoever finds the framing of a
 * request in doubt sets r->close before; then every answer says so and the connection lingers, so that the client can
 * read it. */
#include "http/site.h"

#include "http/date.h"
#include "http/status.h"
#include "sys/sys.h"

#include <string.h>

enum {
    HEAD_MAX = 1024,
    FIELDS_MAX = 8192, /* of a route's handler */
    PAGE_MAX = 512
};

/* ---- heads ---- */

weft__span weft__connection_line(const weft__request *r)
{
    if (r->close)
        return WEFT__SPAN("Connection: close\r\n");
    if (r->head.minor == 0)
        return WEFT__SPAN("Connection: keep-alive\r\n");
    return (weft__span){NULL, 0};
}

static void put_origin(weft__out *o, const weft_http *site, int64_t second)
{
    weft__out_bytes(o, site->server_line, site->server_line_len);
    weft__out_text(o, "Date: ");
    weft__out_date(o, second);
    weft__out_text(o, "\r\n");
}

weft__span weft__ok_head(weft__http_worker *w, int64_t wall)
{
    int64_t second = wall / 1000000000;
    if (unlikely(second != w->second)) {
        weft__out o = weft__out_over(w->ok_head, sizeof w->ok_head);
        weft__out_status(&o, 200);
        put_origin(&o, w->site, second);
        w->ok_head_len = (unsigned)o.len;
        w->second = second;
    }
    return (weft__span){w->ok_head, w->ok_head_len};
}

void weft__begin_head(weft__request *r, weft__out *o, int status)
{
    r->status = status;
    weft__out_status(o, status);
    put_origin(o, r->site, weft__sys_coarse_times().wall / 1000000000); /* a route may have taken its time */
    weft__out_span(o, weft__connection_line(r));
}

int weft__send_head(weft__request *r, weft__out *o, const char *body, size_t len)
{
    weft__out_text(o, "\r\n");
    int err = weft_conn_write(r->conn, o->data, o->len);
    if (err < 0 || weft__request_is_head(r) || len == 0)
        return err;
    r->bytes = len;
    return weft_conn_write(r->conn, body, len);
}

/* ---- pages ---- */

static void put_page(weft__out *o, int status, weft__span sentence)
{
    weft__span reason = weft__status_reason(status);
    weft__out_text(o, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>");
    weft__out_u64(o, (uint64_t)status);
    weft__out_text(o, " ");
    weft__out_span(o, reason);
    weft__out_text(o, "</title></head>\n<body><h1>");
    weft__out_u64(o, (uint64_t)status);
    weft__out_text(o, " ");
    weft__out_span(o, reason);
    weft__out_text(o, "</h1>");
    weft__out_span(o, sentence);
    weft__out_text(o, "</body></html>\n");
}

int weft__answer_error(weft__request *r, int status)
{
    return weft__answer_error_with(r, status,
                                   status == 405 ? WEFT__SPAN("Allow: GET, HEAD, OPTIONS\r\n") : (weft__span){NULL, 0});
}

int weft__answer_error_with(weft__request *r, int status, weft__span fields)
{
    char head[HEAD_MAX + FIELDS_MAX], page[PAGE_MAX];
    weft__out p = weft__out_over(page, sizeof page), o = weft__out_over(head, sizeof head);
    put_page(&p, status, WEFT__SPAN(""));
    weft__begin_head(r, &o, status);
    weft__out_span(&o, fields);
    if (status == 503)
        weft__out_text(&o, "Retry-After: 1\r\n");
    if (status == 429)
        weft__out_field_u64(&o, WEFT__SPAN("Retry-After"), r->wait);
    weft__out_text(&o, "Content-Type: text/html; charset=utf-8\r\n");
    weft__out_field_u64(&o, WEFT__SPAN("Content-Length"), p.len);
    return weft__send_head(r, &o, page, p.len);
}

int weft__answer_slash(weft__request *r, const char *path, size_t len)
{
    static const char page[] = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>301 Moved "
                               "Permanently</title></head>\n<body><h1>301 Moved Permanently</h1></body></html>\n";
    size_t cap = HEAD_MAX + 3 * len + r->head.query.len;
    char small[HEAD_MAX * 4], *head = small;
    if (cap > sizeof small && (head = weft__malloc(cap)) == NULL)
        return weft__answer_error(r, 503);
    weft__out o = weft__out_over(head, cap);
    weft__begin_head(r, &o, 301);
    weft__out_text(&o, "Location: /");
    weft__out_path(&o, (weft__span){path, len});
    weft__out_text(&o, "/");
    if (r->head.has_query) {
        weft__out_text(&o, "?");
        weft__out_span(&o, weft__slice_span(r->buf, r->head.query));
    }
    weft__out_text(&o, "\r\nContent-Type: text/html; charset=utf-8\r\n");
    weft__out_field_u64(&o, WEFT__SPAN("Content-Length"), sizeof page - 1);
    int err = o.overflow ? weft__answer_error(r, 500) : weft__send_head(r, &o, page, sizeof page - 1);
    if (head != small)
        weft__free(head);
    return err;
}

int weft__answer_options(weft__request *r)
{
    char head[HEAD_MAX];
    weft__out o = weft__out_over(head, sizeof head);
    weft__begin_head(r, &o, 204);
    weft__out_text(&o, "Allow: GET, HEAD, OPTIONS\r\n");
    return weft__send_head(r, &o, NULL, 0);
}

/* The whole answer to a client without a request of its own. */
static size_t put_answer(weft__out *o, const weft_http *site, int status, weft__span fields, weft__span sentence)
{
    char page[PAGE_MAX];
    weft__out p = weft__out_over(page, sizeof page);
    put_page(&p, status, sentence);
    weft__out_status(o, status);
    put_origin(o, site, weft__sys_coarse_times().wall / 1000000000);
    weft__out_text(o, "Connection: close\r\n");
    weft__out_span(o, fields);
    weft__out_text(o, "Content-Type: text/html; charset=utf-8\r\n");
    weft__out_field_u64(o, WEFT__SPAN("Content-Length"), p.len);
    weft__out_text(o, "\r\n");
    weft__out_span(o, (weft__span){page, p.len});
    return o->overflow || p.overflow ? 0 : o->len;
}

size_t weft__refuse_text(char *text, size_t size, void *site)
{
    weft__out o = weft__out_over(text, size);
    return put_answer(&o, site, 503, WEFT__SPAN("Retry-After: 1\r\n"), WEFT__SPAN(""));
}

size_t weft__plain_text(char *text, size_t size, void *site)
{
    weft__out o = weft__out_over(text, size);
    return put_answer(&o, site, 400, WEFT__SPAN(""),
                      WEFT__SPAN("<p>This port speaks HTTPS: the address begins with https://, not http://.</p>"));
}

/* ---- the account ---- */

void weft__request_endless(weft__request *r)
{
    if (r->began != 0)
        r->answered = weft__sys_now();
}

void weft__request_done(weft__request *r)
{
    weft__http_worker *w = r->worker;
    w->counts.requests++;
    w->counts.errors += r->status >= 400;
    if (r->status >= 100 && r->status < 600)
        w->counts.classes[r->status / 100 - 1]++;
    if (unlikely(r->began != 0)) {
        int64_t took = (r->answered != 0 ? r->answered : weft__sys_now()) - r->began;
        w->counts.latencies[weft__latency_bucket(took)]++;
        w->counts.latency_sum += took > 0 ? (uint64_t)took : 0;
    }
    if (w->log.fill == NULL)
        return;
    char peer[WEFT_CONN_ADDRESS_MAX];
    int len = weft_conn_peer(r->conn, peer, NULL);
    const weft__http_head *h = &r->head;
    bool whole = h->size > 0; /* a head that was refused has no fields to speak of */
    weft__span none = {NULL, 0};
    weft__log_add(&w->log, &(weft__log_line){
                               .peer = len > 0 ? (weft__span){peer, (size_t)len} : WEFT__SPAN("-"),
                               .method = weft__slice_span(r->buf, h->method_name),
                               .target = weft__slice_span(r->buf, h->target),
                               .minor = h->target.len > 0 ? h->minor : -1,
                               .referer = whole ? weft__request_field(r, WEFT__FIELD_REFERER) : none,
                               .agent = whole ? weft__request_field(r, WEFT__FIELD_USER_AGENT) : none,
                               .status = r->status,
                               .bytes = r->bytes,
                               .second = r->now.wall / 1000000000,
                           });
}
