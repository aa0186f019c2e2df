/* exchange_test.c - routes on a server, under every model: how answers end, and who gets the connection next. What goes
 * over the wire is the business of tests/web/route_test.py, patterns that of route_test.c. */
#include "http/site_support.h"

#include <weft/co.h>
#include <weft/event.h>
#include <weft/thread.h>
#include <weft/websocket.h>

#include "http/date.h"
#include "http/site.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

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

static int reset(weft_request *q, void *arg)
{
    return arg == NULL ? weft_respond(q, 205, "text/plain", "body", 4) : weft_response_begin(q, 205, NULL, -1);
}

/* ---- handlers that take their time; when, in memory that processes share ---- */

typedef struct times {
    int64_t head, end;
} times;

static times *took;

static int take_time(int err)
{
    took->head = weft_now();
    err = err < 0 ? err : weft_sleep(weft_in_ms(200));
    took->end = weft_now();
    return err;
}

static int long_events(weft_request *q, void *arg)
{
    (void)arg;
    return take_time(weft_events_begin(q));
}

static int long_socket(weft_request *q, void *arg)
{
    (void)arg;
    weft_websocket *ws;
    return take_time(weft_websocket_accept(&ws, q, NULL));
}

static int long_chunks(weft_request *q, void *arg)
{
    (void)arg;
    int err = weft_response_begin(q, 200, NULL, -1);
    return take_time(err < 0 ? err : weft_response_flush(q));
}

/* Answers a second after it was asked, and tells when that is. */
static int late(weft_request *q, void *arg)
{
    (void)arg;
    char text[WEFT__DATE_LEN];
    time_t asked = time(NULL);
    while (time(NULL) == asked)
        CHECK_OK(weft_sleep(weft_in_ms(20)));
    weft__date_format(time(NULL), text);
    return weft_respond(q, 200, NULL, text, sizeof text);
}

/* ---- a limit below what has been read ---- */

static int change_its_mind(weft_request *q, void *arg)
{
    (void)arg;
    char part[16], more;
    ssize_t n = weft_request_read(q, part, sizeof part, WEFT_FOREVER);
    weft_request_body_limit(q, 4);
    if (n == sizeof part && weft_request_query(q, "read", part, sizeof part) >= 0)
        n = weft_request_read(q, &more, 1, WEFT_FOREVER) == -EMSGSIZE ? 16 : -1;
    return n == 16 ? weft_respond(q, 200, NULL, "enough", 6) : 500;
}

static running start_with(const serve_kind *kind, weft_server_options options)
{
    running r;
    CHECK_OK(weft_http_open(&r.site, &(weft_http_options){.no_files = 1}));
    CHECK_OK(weft_http_route(r.site, "GET /hello", hello, NULL));
    CHECK_OK(weft_http_route(r.site, "GET /tick", tick, NULL));
    CHECK_OK(weft_http_route(r.site, "GET /half", half, NULL));
    CHECK_OK(weft_http_route(r.site, "GET /events", long_events, NULL));
    CHECK_OK(weft_http_route(r.site, "GET /socket", long_socket, NULL));
    CHECK_OK(weft_http_route(r.site, "GET /chunks", long_chunks, NULL));
    CHECK_OK(weft_http_route(r.site, "GET /late", late, NULL));
    CHECK_OK(weft_http_route(r.site, "GET /reset", reset, NULL));
    CHECK_OK(weft_http_route(r.site, "GET /reset/begun", reset, &took));
    CHECK_OK(weft_http_route(r.site, "POST /body", change_its_mind, NULL));
    CHECK_OK(weft_http_add_status(r.site, "/status"));
    return run_site(kind, r, options);
}

static running start(const serve_kind *kind)
{
    return start_with(kind, (weft_server_options){0});
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

/* RFC 9110 15.3.6: and other than 204 and 304 it has to say so. */
TEST(reset_content_has_none_whatever_the_handler_gives)
{
    char head[1024];
    running r = start(&serve_epoll);
    int fd = client_open(weft_server_port(r.server));
    client_say(fd, "GET /reset HTTP/1.1\r\nHost: t\r\n\r\nGET /reset/begun HTTP/1.1\r\nHost: t\r\n\r\n"
                   "GET /hello HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
    for (unsigned i = 0; i < 2; i++) {
        read_head(fd, head, sizeof head);
        CHECK(strncmp(head, "HTTP/1.1 205 Reset Content\r\n", 28) == 0);
        CHECK(strstr(head, "Content-Length: 0\r\n") != NULL && strstr(head, "Transfer-Encoding") == NULL);
    }
    read_head(fd, head, sizeof head);
    CHECK(strncmp(head, "HTTP/1.1 200 OK\r\n", 17) == 0);
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

/* docs/design/server.md, "A full server": who has had an answer waits for the rest of the next head as anybody does. */
SERVE_ALL_CASE(route_that_has_answered_leaves_a_client_that_makes_way)
{
    char head[1024];
    running r = start_with(kind, (weft_server_options){.max_connections = 2, .threads = 1});
    int slow[2];
    for (unsigned i = 0; i < 2; i++) {
        slow[i] = client_open(weft_server_port(r.server));
        client_say(slow[i], "GET /hello HTTP/1.1\r\nHost: t\r\n\r\nG");
        read_head(slow[i], head, sizeof head);
        client_expect(slow[i], "hello");
    }
    int next = client_open(weft_server_port(r.server));
    client_say(next, "GET /hello HTTP/1.1\r\nHost: t\r\n\r\n");
    client_expect(next, "HTTP/1.1 200 OK\r\n");
    client_close(next);
    client_close(slow[0]);
    client_close(slow[1]);
    stop(r);
}

/* What has been read counts, and what is left is not read: the head of the answer has to say so. */
SERVE_CASE(body_limit_below_what_was_read_ends_the_connection_and_says_so)
{
    static const char *const bodies[] = {
        "Content-Length: 32\r\n\r\n0123456789abcdef0123456789abcdef",
        "Content-Length: 1000000\r\n\r\n0123456789abcdef",
        "Transfer-Encoding: chunked\r\n\r\n10\r\n0123456789abcdef\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n",
    };
    running r = start(kind);
    for (unsigned i = 0; i < 2 * sizeof bodies / sizeof bodies[0]; i++) {
        char request[512], head[1024];
        int fd = client_open(weft_server_port(r.server));
        snprintf(request, sizeof request, "POST /body%s HTTP/1.1\r\nHost: t\r\n%s",
                 i % 2 == 0 ? "" : "?read=", bodies[i / 2]);
        client_say(fd, request);
        read_head(fd, head, sizeof head);
        CHECK(strncmp(head, "HTTP/1.1 200 OK\r\n", 17) == 0);
        CHECK(strstr(head, "Connection: close\r\n") != NULL);
        client_expect(fd, "enough");
        client_expect_end(fd);
        client_close(fd);
    }
    stop(r);
}

/* docs/guide/web.md, "finish what is under way": also a request whose body is still coming, be it read by a route or
 * dropped (S001-30). */
SERVE_MANY_CASE(body_that_is_still_coming_when_the_server_stops_is_awaited)
{
    static const char *const requests[] = {"POST /body", "GET /none"}, *const answers[] = {"200 OK", "404 Not Found"};
    for (unsigned i = 0; i < 2; i++) {
        char request[256], head[1024], status[64];
        running r = start(kind);
        int idle = client_open(weft_server_port(r.server)), fd = client_open(weft_server_port(r.server));
        client_say(idle, "GET /hello HTTP/1.1\r\nHost: t\r\n\r\n");
        read_head(idle, head, sizeof head);
        client_expect(idle, "hello");
        snprintf(request, sizeof request,
                 "%s HTTP/1.1\r\nHost: t\r\nContent-Length: 16\r\nExpect: 100-continue\r\n\r\n", requests[i]);
        client_say(fd, request);
        client_expect(fd, "HTTP/1.1 100 Continue\r\n\r\n");
        weft_server_stop(r.server, weft_in_seconds(30));
        client_expect_end(idle);
        client_say(fd, "0123456789abcdef");
        snprintf(status, sizeof status, "HTTP/1.1 %s\r\n", answers[i]);
        client_expect(fd, status);
        client_close(fd);
        client_close(idle);
        stop(r);
    }
}

/* RFC 9110 6.6.1: the moment just before the content is made; a cache takes what is older for aged. */
TEST(date_is_that_of_the_answer_and_not_of_the_request)
{
    char head[1024], text[WEFT__DATE_LEN];
    int64_t said, answered;
    running r = start(&serve_epoll);
    int fd = client_open(weft_server_port(r.server));
    client_say(fd, "GET /late HTTP/1.1\r\nHost: t\r\n\r\n");
    read_head(fd, head, sizeof head);
    client_recv_all(fd, text, sizeof text);
    const char *date = strstr(head, "\r\nDate: ");
    CHECK(date != NULL && weft__date_parse((weft__span){date + 8, sizeof text}, 0, &said));
    CHECK(weft__date_parse((weft__span){text, sizeof text}, 0, &answered));
    CHECK(said >= answered);
    client_close(fd);
    stop(r);
}

static int wait_for_event(void *event)
{
    return weft_event_wait(event, WEFT_FOREVER);
}

/* the page is of use where there is much to see. */
TEST_LIMIT(60, status_is_told_however_many_threads_there_are)
{
    enum {
        MANY = 500
    };
    static weft_thread threads[MANY];
    weft_event over;
    char head[1024];
    weft_thread_options options = {.name = "\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1",
                                   .stack_size = 64 << 10};
    CHECK_OK(weft_event_init(&over, 0));
    for (unsigned i = 0; i < MANY; i++)
        CHECK_OK(weft_thread_start(&threads[i], wait_for_event, &over, &options));
    running r = start(&serve_epoll);
    int fd = client_open(weft_server_port(r.server));
    client_say(fd, "GET /status.json HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
    read_head(fd, head, sizeof head);
    CHECK(strncmp(head, "HTTP/1.1 200 OK\r\n", 17) == 0);
    client_close(fd);
    stop(r);
    weft_event_set(&over);
    for (unsigned i = 0; i < MANY; i++)
        CHECK_OK(weft_thread_join(&threads[i], NULL, WEFT_FOREVER));
    weft_event_destroy(&over);
}

/* Ask for it, read to the end, stop the server: how long that request took, as it was counted. */
static int64_t counted_time(const serve_kind *kind, const char *path, int64_t *asked)
{
    char request[512], buf[1024];
    took = test_shared(sizeof *took);
    running r = start(kind);
    int fd = client_open(weft_server_port(r.server));
    snprintf(request, sizeof request,
             "GET %s HTTP/1.1\r\nHost: t\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nConnection: close\r\n"
             "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
             path);
    *asked = weft_now();
    client_say(fd, request);
    client_finish(fd);
    while (client_recv(fd, buf, sizeof buf) > 0)
        continue;
    client_close(fd);
    serve_stop(r.server);
    uint64_t count = 0;
    for (unsigned i = 0; i < WEFT__LATENCIES; i++)
        count += r.site->shared->latencies[i];
    CHECK_INT(1, count);
    int64_t sum = (int64_t)r.site->shared->latency_sum;
    weft_http_close(r.site);
    return sum;
}

/* docs/guide/web.md: what goes on for as long as both sides like is no response time. */
SERVE_CASE(latency_of_events_and_websockets_ends_with_their_heads)
{
    int64_t asked;
    int64_t counted = counted_time(kind, "/events", &asked);
    CHECK_BETWEEN(1, took->head - asked, counted);
    counted = counted_time(kind, "/socket", &asked);
    CHECK_BETWEEN(1, took->head - asked, counted);
}

SERVE_CASE(latency_of_an_answer_in_chunks_lasts_to_its_end)
{
    int64_t asked;
    int64_t counted = counted_time(kind, "/chunks", &asked);
    CHECK(counted >= took->end - took->head);
}
