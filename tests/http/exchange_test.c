/* exchange_test.c - routes on a server, under every model: how answers end, and who gets the connection next. What goes
 * over the wire is the business of tests/web/route_test.py, patterns that of route_test.c. */
#include "serve/serve_support.h"

#include <weft/co.h>
#include <weft/route.h>

#include <errno.h>
#include <string.h>

typedef struct running {
    weft_http *site;
    weft_server *server;
} running;

static int hello(weft_request *q, void *arg)
{
    (void)arg;
    return weft_respond(q, 200, NULL, "hello", 5);
}

static int tick(weft_request *q, void *arg)
{
    (void)arg;
    int err = weft_events_begin(q);
    while (err == 0 && (err = weft_events_send(q, NULL, NULL, "tick")) == 0)
        err = weft_sleep(weft_in_ms(1));
    return err;
}

static int half(weft_request *q, void *arg)
{
    (void)arg;
    int err = weft_response_begin(q, 200, NULL, -1);
    err = err < 0 ? err : weft_response_write(q, "half", 4);
    err = err < 0 ? err : weft_response_flush(q);
    return err < 0 ? err : 500;
}

static running start(const serve_kind *kind)
{
    running r;
    weft_server_options options = {0};
    CHECK_OK(weft_http_open(&r.site, &(weft_http_options){.no_files = 1}));
    CHECK_OK(weft_http_route(r.site, "GET /hello", hello, NULL));
    CHECK_OK(weft_http_route(r.site, "GET /tick", tick, NULL));
    CHECK_OK(weft_http_route(r.site, "GET /half", half, NULL));
    weft_http_attach(r.site, &options);
    r.server = serve_start(kind, options);
    return r;
}

static void stop(running r)
{
    serve_stop(r.server);
    weft_http_close(r.site);
}

/* The next head. */
static void read_head(int fd, char *head, size_t size)
{
    size_t n = 0;
    while (n < 4 || memcmp(head + n - 4, "\r\n\r\n", 4) != 0) {
        CHECK(n + 1 < size);
        client_recv_all(fd, head + n++, 1);
    }
    head[n] = 0;
}

/* HEAD has no body that could be sent, and so nothing that would ever fail: the handler has to be told. */
SERVE_TLS_CASE(events_for_a_head_request_end_at_once)
SERVE_CASE(events_for_a_head_request_end_at_once)
{
    char head[1024];
    running r = start(kind);
    int fd = client_open(weft_server_port(r.server));
    client_say(fd, "HEAD /tick HTTP/1.1\r\nHost: t\r\n\r\n"
                   "GET /hello HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
    read_head(fd, head, sizeof head);
    CHECK(strstr(head, "Content-Type: text/event-stream\r\n") != NULL);
    read_head(fd, head, sizeof head);
    CHECK(strstr(head, "Content-Length: 5\r\n") != NULL);
    client_expect(fd, "hello");
    client_expect_end(fd);
    client_close(fd);
    stop(r);
}

/* An answer that only the end of the connection ends, as with HTTP/1.0: half of one must not look like the whole. */
SERVE_CASE(half_an_answer_without_a_size_ends_with_a_reset)
{
    char buf[1024];
    running r = start(kind);
    int fd = client_open(weft_server_port(r.server));
    client_say(fd, "GET /half HTTP/1.0\r\n\r\n");
    ssize_t n;
    while ((n = client_try_recv(fd, buf, sizeof buf)) > 0)
        continue;
    CHECK(n < 0 && errno == ECONNRESET);
    client_close(fd);
    stop(r);
}

/* docs/design/server.md, "Fixed threads": a client that keeps its connection does not shut others out. */
TEST(route_makes_way_for_who_stands_in_line)
{
    char head[1024];
    running r = start(&serve_iterative);
    int fd = client_open(weft_server_port(r.server));
    client_say(fd, "GET /hello HTTP/1.1\r\nHost: t\r\n\r\n");
    read_head(fd, head, sizeof head);
    CHECK(strstr(head, "Connection: close\r\n") == NULL);
    client_expect(fd, "hello");
    int next = client_open(weft_server_port(r.server));
    client_say(next, "GET /none HTTP/1.1\r\nHost: t\r\n\r\n");
    wait_open(r.server, 2);
    client_say(fd, "GET /hello HTTP/1.1\r\nHost: t\r\n\r\n");
    read_head(fd, head, sizeof head);
    CHECK(strstr(head, "Connection: close\r\n") != NULL);
    client_expect(fd, "hello");
    client_expect(next, "HTTP/1.1 404 Not Found\r\n");
    client_close(fd);
    client_close(next);
    stop(r);
}
