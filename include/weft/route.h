/* weft/route.h - handlers of your own behind a weft_http site: routes, request bodies, answers, event streams.
 *
 *     static int greet(weft_request *r, void *arg)
 *     {
 *         char text[200]; // the name is as long as a client likes: cut, so that n is not more than there is
 *         int n = snprintf(text, sizeof text, "Hello, %.100s!\n", weft_request_param(r, "name"));
 *         return weft_respond(r, 200, "text/plain; charset=utf-8", text, (size_t)n);
 *     }
 *     ...
 *     err = weft_http_open(&site, &(weft_http_options){.no_files = 1});
 *     err = weft_http_route(site, "GET /hello/{name}", greet, NULL);
 *
 * then attach it to a server as any site. What no route matches is a file of the site's root, or 404, with `no_files`
 * by every method that is known.
 *
 * A handler is written in blocking style and runs under every model of the server; it may wait in anything of weft's.
 * It has the request for itself: the calls below are for the handler that was given `r`, during its call, and for
 * nobody else. None may be made in a signal handler. Texts and views they give are valid until the handler returns.
 *
 * The framing is the server's affair: a body is taken off the connection whether the handler reads it or not, an
 * answer is sent whole, in chunks, or ended by closing, as the client understands. */
#ifndef WEFT_ROUTE_H
#define WEFT_ROUTE_H

#include <sys/types.h>

#include <weft/http.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weft_request weft_request;

/* Answer the request. Returns 0 when it is answered (204 if it has said nothing); a status from 400 to 599 to answer
 * with the site's small page for it; or a negative errno value, which is 500. Once the answer has begun, both of these
 * cut the connection instead, so that no client takes half an answer for a whole one. */
typedef int weft_route_handler(weft_request *r, void *arg);

/* Add a route. `pattern` is a method, a space, and a path of segments: a literal one ("users"), one that matches any
 * segment and names it ("{id}"), or, as the last one, the rest of the path ("{file...}", also an empty rest). "*" is
 * every method; GET answers HEAD as well. The more literal route wins, segment by segment from the left. A path that
 * ends with '/' matches only with it. Paths are matched as they are decoded, without "." and ".."; %2F in one is 404.
 * Before the first server of the site is started, by one caller at a time. Returns 0; -EINVAL (no such pattern);
 * -EEXIST (the same method and path are there); -ENOMEM. Allocates. */
WEFT_API int weft_http_route(weft_http *site, const char *pattern, weft_route_handler *fn, void *arg);

/* ---- the request ---- */

WEFT_API const char *weft_request_method(const weft_request *r); /* "GET", as sent */
WEFT_API const char *weft_request_path(const weft_request *r);   /* decoded, begins with '/' */

/* What a "{name}" of the pattern has matched, decoded; "" when the pattern has none of that name. */
WEFT_API const char *weft_request_param(const weft_request *r, const char *name);

/* The value of the first `name=value` in the query ("?a=1&b=2"), with '+' and %XX decoded, into buf, terminated.
 * Returns its length; -ENOENT without it; -ENOBUFS when `size` is too small; -EINVAL for a bad escape or %00. */
WEFT_API ssize_t weft_request_query(const weft_request *r, const char *name, char *buf, size_t size);

/* The value of the first header field of this name (in any case), not terminated, and its length in *size. NULL:
 * there is none. */
WEFT_API const char *weft_request_field(const weft_request *r, const char *name, size_t *size);

/* The connection, for weft_conn_peer, weft_conn_stopping, weft_conn_limit_write and the like; do not read or write
 * it. */
WEFT_API weft_conn *weft_request_conn(const weft_request *r);

/* ---- its body ---- */

/* Bytes of the body; -1 when it comes in chunks and nobody knows yet; 0 without one. */
WEFT_API int64_t weft_request_body_size(const weft_request *r);

/* The most a body may have from now on, what has been read of it included; the site's body_max until it is called. */
WEFT_API void weft_request_body_limit(weft_request *r, int64_t most);

/* Read the next part of the body: waits for at least a byte, gives what there is, at most `size`. A client that waits
 * for "100 Continue" gets it with the first call. Returns the count; 0 at its end; -ETIMEDOUT (`until`, or the site's
 * body_timeout), -ECANCELED; -EMSGSIZE: it is larger than the limit; -EPROTO: its chunks are malformed; -ECONNRESET or
 * -EPIPE: the client has left. After these two and -EMSGSIZE the connection ends with the answer. */
WEFT_API ssize_t weft_request_read(weft_request *r, void *buf, size_t size, weft_until until);

/* ---- the answer ---- */

/* Add a header field to the answer, before it begins. Content-Length, Transfer-Encoding, Connection, Date and Server
 * are the server's affair. Returns 0; -EINVAL: a name that is no token, a control byte in the value, or one of these;
 * -ENOBUFS: all fields together are above 8 KiB; -EALREADY: the answer has begun. */
WEFT_API int weft_response_field(weft_request *r, const char *name, const char *value);

/* Answer with `size` bytes; `type` is the media type, NULL for none. Returns 0, -EINVAL (no status from 200 to 599),
 * -EALREADY, or what sending gave. */
WEFT_API int weft_respond(weft_request *r, int status, const char *type, const void *body, size_t size);

/* Begin an answer whose body follows by weft_response_write: `size` bytes, or -1 when that is not known (it is sent in
 * chunks, or ended by closing for a client of HTTP/1.0). Returns as weft_respond. */
WEFT_API int weft_response_begin(weft_request *r, int status, const char *type, int64_t size);

/* Send more of the body. Gathered; it leaves with weft_response_flush, with the end of the handler, or when there is
 * much. Returns 0; -EINVAL: more than was promised, or not begun; -EPIPE, -ECONNRESET, -ETIMEDOUT (the server's
 * write_timeout), -ECANCELED: the connection is broken. */
WEFT_API int weft_response_write(weft_request *r, const void *data, size_t size);
WEFT_API int weft_response_flush(weft_request *r);

/* ---- server-sent events (text/event-stream) ---- */

/* Begin a stream of events. Returns as weft_respond. */
WEFT_API int weft_events_begin(weft_request *r);

/* Send one event at once. `event` and `id` may be NULL (and have no line ends: -EINVAL); `data` is sent line by line.
 * With all three NULL a comment is sent, which keeps proxies from closing and shows whether the client is still
 * there. Returns as weft_response_write; -EPIPE also when the request is HEAD, whose answer ends with its head. */
WEFT_API int weft_events_send(weft_request *r, const char *event, const char *id, const char *data);

#ifdef __cplusplus
}
#endif
#endif
