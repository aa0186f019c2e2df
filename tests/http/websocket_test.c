/* websocket_test.c - what a WebSocket's calls promise to their handler while the client does as it likes: deadlines,
 * pings, a client that takes nothing, the last word. What goes over the wire is the business of tests/web/route_test.py
 * and frame_test.c. */
#include "http/site_support.h"

#include <weft/co.h>
#include <weft/websocket.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* What the handler has seen. */
typedef struct outcome {
    int err, again; /* of the call, and of a further receive */
    uint32_t done;
} outcome;

static outcome *seen;

static running start(const serve_kind *kind, weft_route_handler *handler)
{
    running r;
    weft_server_options options = {.threads = 1, .write_timeout = 100 * WEFT_MS};
    seen = test_shared(sizeof *seen);
    CHECK_OK(weft_http_open(&r.site, &(weft_http_options){.no_files = 1}));
    CHECK_OK(weft_http_route(r.site, "GET /", handler, NULL));
    return run_site(kind, r, options);
}

static int open_socket(running r)
{
    int fd = client_open(weft_server_port(r.server));
    client_say(fd, "GET / HTTP/1.1\r\nHost: t\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    client_expect(fd, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                      "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
    return fd;
}

static bool is_done(void)
{
    return __atomic_load_n(&seen->done, __ATOMIC_ACQUIRE) != 0;
}

static void finish(weft_websocket *ws, int err)
{
    weft_websocket_message m;
    seen->err = err;
    seen->again = weft_websocket_receive(ws, &m, WEFT_NOW);
    __atomic_store_n(&seen->done, 1, __ATOMIC_RELEASE);
}

/* Send this masked frame again and again, and read nothing, until the handler is done. */
static void flood(int fd, const char *frame, size_t size)
{
    char many[4096];
    size_t n = sizeof many / size * size, at = 0;
    for (size_t i = 0; i < n; i += size)
        memcpy(many + i, frame, size);
    while (!is_done()) {
        struct pollfd room = {.fd = fd, .events = POLLOUT};
        poll(&room, 1, 10);
        ssize_t k = send(fd, many + at, n - at, MSG_DONTWAIT | MSG_NOSIGNAL);
        at = k > 0 ? (at + (size_t)k) % n : at;
    }
}

/* ---- the handshake ---- */

static int speak(weft_request *q, void *arg)
{
    (void)arg;
    weft_websocket *ws;
    weft_websocket_message m;
    int err = weft_websocket_accept(&ws, q, &(weft_websocket_options){.protocols = "chat.v2 ,\tchat,,Echo"});
    if (err == 0)
        weft_websocket_receive(ws, &m, WEFT_FOREVER); /* until the client has left */
    return 0;
}

/* What a handshake with these further fields is answered with, and the subprotocol's field ("" = none). */
static void shake(running r, const char *fields, const char *status, const char *protocol)
{
    char request[1024], answer[256];
    int fd = client_open(weft_server_port(r.server));
    snprintf(request, sizeof request,
             "GET / HTTP/1.1\r\nHost: t\r\n%sSec-WebSocket-Version: 13\r\n"
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
             fields);
    client_say(fd, request);
    snprintf(answer, sizeof answer, "HTTP/1.1 %s\r\n", status);
    client_expect(fd, answer);
    if (strncmp(status, "101", 3) == 0) {
        snprintf(answer, sizeof answer,
                 "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                 "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n%s\r\n",
                 protocol);
        client_expect(fd, answer);
    }
    client_close(fd);
}

#define UPGRADE "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define OFFER   "Sec-WebSocket-Protocol: "

/* RFC 9110 5.3: a list may be spread over several fields. Others may come but once, RFC 6455 11.3. */
TEST(websocket_handshake_reads_all_fields_of_a_name)
{
    static const char *const accepted = "101 Switching Protocols", *const refused = "400 Bad Request";
    running r = start(&serve_epoll, speak);
    shake(r, "Connection: keep-alive\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n", accepted, "");
    shake(r, "Connection: Upgrade\r\nConnection: keep-alive\r\nUpgrade: websocket\r\n", accepted, "");
    shake(r, "Upgrade: h2c\r\nConnection: x,, UPGRADE\r\nupgrade: x, WebSocket\r\n", accepted, "");
    shake(r, "Upgrade: websocket\r\nConnection: keep-alive\r\nConnection: Upgrades\r\n", refused, "");
    shake(r, UPGRADE "Sec-WebSocket-Version: 13\r\n", refused, "");
    shake(r, UPGRADE "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", refused, "");
    shake(r, UPGRADE "Origin: http://t\r\n", accepted, "");
    shake(r, UPGRADE "Origin: http://t\r\nOrigin: http://evil\r\n", refused, "");
    stop(r);
}

/* RFC 6455 4.1 and 11.5: names of subprotocols are the same or they are not, also where they differ by case alone. */
TEST(websocket_subprotocol_is_the_best_of_all_offered_and_compared_exactly)
{
    static const char *const accepted = "101 Switching Protocols";
    running r = start(&serve_epoll, speak);
    shake(r, UPGRADE OFFER "x\r\n" OFFER "chat\r\n", accepted, OFFER "chat\r\n");
    shake(r, UPGRADE OFFER "Echo, chat\r\n" OFFER "y ,chat.v2\r\n", accepted, OFFER "chat.v2\r\n");
    shake(r, UPGRADE OFFER "CHAT, echo\r\n" OFFER "Chat.v2\r\n", accepted, "");
    shake(r, UPGRADE OFFER "echo,Echo\r\n", accepted, OFFER "Echo\r\n");
    shake(r, UPGRADE OFFER ",, \r\n" OFFER "\r\n", accepted, "");
    stop(r);
}

/* ---- a client that takes nothing ---- */

static int tick(weft_request *q, void *arg)
{
    (void)arg;
    weft_websocket *ws;
    weft_websocket_message m;
    int err;
    CHECK_OK(weft_websocket_accept(&ws, q, NULL));
    do
        err = weft_websocket_receive(ws, &m, weft_in_ms(20));
    while (err == 0 || err == -ETIMEDOUT);
    finish(ws, err);
    return 0;
}

/* The pongs it does not take break the connection, which is no deadline of the handler's: one that calls again on
 * -ETIMEDOUT would do so for ever. */
SERVE_ALL_CASE(websocket_client_that_takes_no_pong_has_broken_the_connection)
{
    running r = start(kind, tick);
    int fd = open_socket(r);
    static const char ping[] = "\x89\x84\1\1\1\1ping";
    flood(fd, ping, sizeof ping - 1);
    CHECK_ERR(-ECONNRESET, seen->err);
    CHECK_ERR(-ECONNRESET, seen->again);
    client_close(fd);
    stop(r);
}

/* ---- deadlines ---- */

static int receive_for_a_while(weft_request *q, void *arg)
{
    (void)arg;
    weft_websocket *ws;
    weft_websocket_message m;
    int err = weft_websocket_accept(&ws, q, NULL);
    finish(ws, err < 0 ? err : weft_websocket_receive(ws, &m, weft_in_ms(100)));
    return 0;
}

static int close_for_a_while(weft_request *q, void *arg)
{
    (void)arg;
    weft_websocket *ws;
    int err = weft_websocket_accept(&ws, q, NULL);
    finish(ws, err < 0 ? err : weft_websocket_close(ws, WEFT_WS_NORMAL, NULL, weft_in_ms(100)));
    return 0;
}

static const char pong[] = "\x8a\x80\1\1\1\1", message[] = "\x81\x81\1\1\1\1x";

SERVE_ALL_CASE(websocket_receive_ends_by_its_deadline_amid_frames_that_are_no_message)
{
    running r = start(kind, receive_for_a_while);
    int fd = open_socket(r);
    flood(fd, pong, sizeof pong - 1);
    CHECK_ERR(-ETIMEDOUT, seen->err);
    client_close(fd);
    stop(r);
}

SERVE_ALL_CASE(websocket_close_ends_by_its_deadline_amid_messages)
{
    running r = start(kind, close_for_a_while);
    int fd = open_socket(r);
    flood(fd, message, sizeof message - 1);
    CHECK_ERR(-ETIMEDOUT, seen->err);
    client_close(fd);
    stop(r);
}

/* ---- pings ---- */

static int watch(weft_request *q, void *arg)
{
    (void)arg;
    weft_websocket *ws;
    weft_websocket_message m;
    int err;
    CHECK_OK(weft_websocket_accept(&ws, q, &(weft_websocket_options){.ping_after = 50 * WEFT_MS}));
    do
        err = weft_websocket_receive(ws, &m, weft_in_ms(5));
    while (err == -ETIMEDOUT);
    finish(ws, err);
    return 0;
}

/* What lies unread is no byte that has come since. */
SERVE_ALL_CASE(websocket_client_that_falls_silent_in_a_head_is_pinged)
{
    running r = start(kind, watch);
    int fd = open_socket(r);
    client_say(fd, "\x81");
    client_expect(fd, "\x89");
    char size;
    CHECK_INT(1, client_recv(fd, &size, 1));
    CHECK_INT(0, size);
    client_expect_end(fd);
    CHECK(is_done());
    CHECK_ERR(-ECONNRESET, seen->err);
    client_close(fd);
    stop(r);
}

/* Looks for a message now and then and never waits for one. */
static int peek(weft_request *q, void *arg)
{
    (void)arg;
    weft_websocket *ws;
    weft_websocket_message m;
    int err;
    /* The client has as long for its answer, on whatever machine. */
    CHECK_OK(weft_websocket_accept(&ws, q, &(weft_websocket_options){.ping_after = WEFT_SECOND / 2}));
    do
        CHECK_OK(weft_sleep(weft_in_ms(1)));
    while ((err = weft_websocket_receive(ws, &m, WEFT_NOW)) == -ETIMEDOUT);
    finish(ws, err);
    return 0;
}

SERVE_ALL_CASE(websocket_receive_that_does_not_wait_pings_all_the_same)
{
    running r = start(kind, peek);
    int fd = open_socket(r);
    for (int i = 0; i < 3; i++) {
        client_expect(fd, "\x89");
        char size;
        CHECK_INT(1, client_recv(fd, &size, 1));
        CHECK_INT(0, size);
        if (i < 2)
            client_send(fd, pong, sizeof pong - 1);
    }
    client_expect_end(fd);
    CHECK(is_done());
    CHECK_ERR(-ECONNRESET, seen->err);
    client_close(fd);
    stop(r);
}

/* Comes to receive when a ping and the answer to it should both have been there long ago. */
static int come_late(weft_request *q, void *arg)
{
    (void)arg;
    weft_websocket *ws;
    weft_websocket_message m;
    CHECK_OK(weft_websocket_accept(&ws, q, &(weft_websocket_options){.ping_after = WEFT_SECOND / 2}));
    CHECK_OK(weft_sleep(weft_in_ms(1100)));
    finish(ws, weft_websocket_receive(ws, &m, WEFT_FOREVER));
    return 0;
}

TEST(websocket_client_has_its_time_for_a_pong_also_when_the_ping_came_late)
{
    running r = start(&serve_epoll, come_late);
    int fd = open_socket(r);
    char ping[2];
    client_recv_all(fd, ping, sizeof ping);
    CHECK_MEM("\x89\0", ping, sizeof ping);
    client_send(fd, message, sizeof message - 1);
    client_expect(fd, "\x88");
    client_close(fd);
    stop(r);
    CHECK_OK(seen->err);
}

static int ping_never(weft_request *q, void *arg)
{
    (void)arg;
    weft_websocket *ws;
    weft_websocket_message m;
    int err = weft_websocket_accept(&ws, q, &(weft_websocket_options){.ping_after = INT64_MAX});
    finish(ws, err < 0 ? err : weft_websocket_receive(ws, &m, weft_in_ms(20)));
    return 0;
}

TEST(websocket_ping_after_the_end_of_time_is_never)
{
    running r = start(&serve_epoll, ping_never);
    int fd = open_socket(r);
    client_expect(fd, "\x88"); /* the goodbye of a handler that has returned, and no ping */
    client_close(fd);
    stop(r);
    CHECK_ERR(-ETIMEDOUT, seen->err);
}

/* ---- the last word ---- */

/* What it returns changes nothing about the last word. */
static int receive_one(weft_request *q, void *arg)
{
    (void)arg;
    weft_websocket *ws;
    weft_websocket_message m;
    int err = weft_websocket_accept(&ws, q, NULL);
    err = err < 0 ? err : weft_websocket_receive(ws, &m, WEFT_FOREVER);
    finish(ws, err);
    return err;
}

/* The client is still sending what is too large: the close tells it why, and no reset takes that away. */
SERVE_ALL_CASE(websocket_close_of_what_is_too_large_is_not_lost_to_a_reset)
{
    static const char head[] = "\x82\xff\0\0\0\0\x40\0\0\0\1\1\1\1"; /* 1 GiB is announced */
    static char rest[16384];
    running r = start(kind, receive_one);
    int fd = open_socket(r);
    char answer[4];
    client_send(fd, head, sizeof head - 1);
    client_recv_all(fd, answer, sizeof answer);
    CHECK_MEM("\x88\x02\x03\xf1", answer, sizeof answer); /* 1009 */
    client_send(fd, rest, sizeof rest);
    client_send(fd, rest, sizeof rest);
    CHECK_INT(0, client_recv(fd, answer, 1));
    client_close(fd);
    stop(r);
    CHECK_ERR(-EMSGSIZE, seen->err);
}

/* ---- the stop ---- */

/* The client does not know yet that the server stops: what it is still sending brings no reset, which would take what
 * it has not read along (S001-30). It is waited for until it closes as well. */
SERVE_TLS_CASE(websocket_goodbye_of_a_server_that_stops_is_not_lost_to_a_reset)
SERVE_CASE(websocket_goodbye_of_a_server_that_stops_is_not_lost_to_a_reset)
{
    static char rest[16384];
    running r = start(kind, receive_one);
    int fd = open_socket(r);
    char answer[4];
    weft_server_stop(r.server, weft_in_seconds(30));
    client_recv_all(fd, answer, sizeof answer);
    CHECK_MEM("\x88\x02\x03\xe9", answer, sizeof answer); /* 1001 */
    client_send(fd, rest, sizeof rest);
    client_send(fd, rest, sizeof rest);
    CHECK_INT(0, client_recv(fd, answer, 1));
    client_close(fd);
    stop(r);
    CHECK_ERR(-WEFT_EEOF, seen->err);
}

/* But no longer than the grace; it has been told, so nothing is cut. */
SERVE_CASE(websocket_client_that_does_not_close_is_let_go_with_the_grace)
{
    running r = start(kind, receive_one);
    int fd = open_socket(r);
    char answer[4];
    weft_server_stop(r.server, weft_in_seconds(3600));
    client_recv_all(fd, answer, sizeof answer);
    CHECK_MEM("\x88\x02\x03\xe9", answer, sizeof answer);
    CHECK_INT(0, client_recv(fd, answer, 1)); /* it lingers */
    CHECK_ERR(-ETIMEDOUT, weft_server_wait(r.server, WEFT_NOW));
    weft_server_stop(r.server, WEFT_NOW);
    CHECK_OK(weft_server_wait(r.server, WEFT_FOREVER));
    CHECK_INT(0, server_stats(r.server).cut);
    client_close(fd);
    stop(r);
}

static int echo(weft_request *q, void *arg)
{
    (void)arg;
    weft_websocket *ws;
    weft_websocket_message m;
    int err = weft_websocket_accept(&ws, q, NULL);
    while (err == 0 && (err = weft_websocket_receive(ws, &m, WEFT_FOREVER)) == 0)
        err = weft_websocket_send(ws, m.text, m.data, m.size);
    return 0;
}

/* Whether it was cut in a head or behind one: what has been begun is awaited, and no more (S001-30). It comes with a
 * ping, by whose answer one knows that it is there. */
SERVE_ALL_CASE(websocket_message_that_is_still_coming_when_the_server_stops_is_awaited)
{
#define PING "\x89\x80\1\1\1\1"
    static const char *const starts[] = {PING "\x81", PING "\x81\x85\1\1\1\1he", PING "\x01\x85\1\1\1\1hello"};
    static const char *const rests[] = {"\x85\1\1\1\1hello", "llo", "\x80\x80\1\1\1\1"};
    for (unsigned i = 0; i < 3; i++) {
        running r = start(kind, echo);
        int fd = open_socket(r), idle = open_socket(r);
        client_send(fd, starts[i], strlen(starts[i]));
        client_expect(fd, "\x8a");
        char size;
        CHECK_INT(1, client_recv(fd, &size, 1));
        CHECK_INT(0, size);
        weft_server_stop(r.server, weft_in_seconds(30));
        client_expect(idle, "\x88\x02\x03\xe9"); /* 1001 */
        client_send(fd, rests[i], strlen(rests[i]));
        client_expect(fd, "\x81\x05idmmn\x88\x02\x03\xe9");
        client_close(fd);
        client_close(idle);
        stop(r);
    }
}
