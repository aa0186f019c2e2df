/* websocket.c - a WebSocket on the connection of a routed request: handshake, messages, closing. frame.c has the bytes.
 *
 * W1 resumable: what has arrived of a frame is kept in the socket, so a deadline in the midst of it loses nothing.
 * W2 bounded:   a frame's size is compared with message_max before room is made for it; a control frame has 125 bytes.
 * W3 one close: our close frame is sent once; after it nothing is sent, after the client's nothing is read.
 * W4 in time:   frames that are no message do not carry a receive past its deadline for long, nor messages a close.
 * Pinned by tests/http/websocket_test.c, tests/web/route_test.py and fuzz/websocket_fuzz.c. */
#include "http/exchange.h"
#include "http/frame.h"
#include "http/parse_scan.h"
#include "serve/begun.h"
#include "sys/sys.h"

#include <weft/co.h>
#include <weft/websocket.h>

#include <errno.h>
#include <strings.h>

enum {
    CLOSE_WAIT_MS = 2000,
    FIRST_ROOM = 1024,
    PROTOCOL_ROOM = 64,
    KEPT_ROOM = 4096, /* between two messages: what a larger one took is given back */
    LATE_PARTS =
        256 /* frames, and parts of them, that are looked at after the deadline: they may have come before it */
};

struct weft_websocket {
    weft_request *q;
    weft_conn *conn;
    size_t message_max;
    int64_t ping_after;
    int64_t heard, pinged; /* when the last byte came, and when the ping since then was sent; 0: there is none */
    size_t have;           /* bytes of an unfinished head, which stay unread */
    bool sent_close;
    bool leaves; /* the server stops, and has said so: the client does not know it yet */
    int code;    /* weft_websocket_code */
    int error;   /* that ended it; 0 while it is open */

    weft__ws_head frame; /* under way while in_frame */
    bool in_frame, in_message, text, done;
    uint64_t taken; /* of the frame's payload */
    uint8_t *message;
    size_t size, room;
    uint8_t control[WEFT__WS_CONTROL_MAX];

    char protocol[PROTOCOL_ROOM];
};

/* ---- the handshake ---- */

/* The next field of the name, from *cursor on, which starts at 0. */
static bool next_field(const weft_request *q, weft__span lower, uint32_t *cursor, weft__span *value)
{
    weft__span name;
    while (weft__http_field_next(&q->r->head, q->r->buf, cursor, &name, value))
        if (weft__span_is_nocase(name, lower))
            return true;
    return false;
}

static int is_same(weft__span s, weft__span other)
{
    return s.len == other.len && memcmp(s.data, other.data, s.len) == 0;
}

/* Is the word in the list (Connection: keep-alive, Upgrade)? All fields of a name are one list, RFC 9110 5.3. */
static bool list_has(const weft_request *q, weft__span name, weft__span word, int (*is)(weft__span, weft__span))
{
    weft__span list;
    for (uint32_t cursor = 0; next_field(q, name, &cursor, &list);) {
        const char *p = list.data, *end = p + list.len, *from, *to;
        while (weft__list_next(&p, end, &from, &to))
            if (is((weft__span){from, (size_t)(to - from)}, word))
                return true;
    }
    return false;
}

/* The value of a field that may come but once; data is NULL without it. False: it comes again. */
static bool single(const weft_request *q, weft__span name, weft__span *value)
{
    uint32_t cursor = 0;
    weft__span again;
    if (next_field(q, name, &cursor, value))
        return !next_field(q, name, &cursor, &again);
    *value = (weft__span){NULL, 0};
    return true;
}

/* "https://example.org:8000" belongs to the host that the request was sent to. */
static bool origin_is_ours(const weft_request *q, weft__span origin)
{
    weft__span host = weft__slice_span(q->r->buf, q->r->head.authority);
    if (origin.data == NULL)
        return true;
    for (size_t i = 0; i + 3 <= origin.len; i++)
        if (memcmp(origin.data + i, "://", 3) == 0)
            return origin.len - i - 3 == host.len && strncasecmp(origin.data + i + 3, host.data, host.len) == 0;
    return false;
}

/* The first of our protocols that the client has, too. */
static int choose_protocol(const weft_request *q, const char *ours, char out[PROTOCOL_ROOM])
{
    const char *p = ours != NULL ? ours : "", *end = p + strlen(p), *from, *to;
    out[0] = 0;
    while (weft__list_next(&p, end, &from, &to)) {
        weft__span name = {from, (size_t)(to - from)};
        if (name.len >= PROTOCOL_ROOM)
            return -EINVAL;
        if (name.len == 0 || !list_has(q, WEFT__SPAN("sec-websocket-protocol"), name, is_same))
            continue;
        memcpy(out, name.data, name.len);
        out[name.len] = 0;
        return 0;
    }
    return 0;
}

/* 0, or the status to refuse with. */
static int check_handshake(const weft_request *q, const weft_websocket_options *o, char accept[WEFT__WS_ACCEPT_LEN])
{
    weft__span version, key, origin;
    if (strcmp(q->method, "GET") != 0 || q->r->head.minor == 0 || !q->body_done ||
        !list_has(q, WEFT__SPAN("upgrade"), WEFT__SPAN("websocket"), weft__span_is_nocase) ||
        !list_has(q, WEFT__SPAN("connection"), WEFT__SPAN("upgrade"), weft__span_is_nocase))
        return 400;
    if (!single(q, WEFT__SPAN("sec-websocket-version"), &version) ||
        !single(q, WEFT__SPAN("sec-websocket-key"), &key) || !single(q, WEFT__SPAN("origin"), &origin))
        return 400;
    if (!is_same(version, WEFT__SPAN("13")))
        return 426;
    if (!o->any_origin && !origin_is_ours(q, origin))
        return 403;
    return weft__ws_accept(key, accept) ? 0 : 400;
}

static int refuse(weft_request *q, int status)
{
    weft__out fields = q->fields; /* not by weft_response_field, which knows better than handlers what Connection is */
    if (status == 426)
        weft__out_text(&fields, "Sec-WebSocket-Version: 13\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n");
    if (fields.overflow)
        return -ENOBUFS;
    q->fields = fields;
    int err = weft_respond(q, status, NULL, NULL, 0);
    return err < 0 ? err : status == 403 ? -EACCES : -EPROTO;
}

static int send_101(weft_websocket *ws, const char accept[WEFT__WS_ACCEPT_LEN])
{
    weft_request *q = ws->q;
    char head[1024 + sizeof q->field_text];
    weft__out o = weft__out_over(head, sizeof head);
    weft__out_status(&o, 101);
    weft__out_text(&o, "Upgrade: websocket\r\nConnection: Upgrade\r\n");
    weft__out_field(&o, WEFT__SPAN("Sec-WebSocket-Accept"), (weft__span){accept, WEFT__WS_ACCEPT_LEN});
    if (ws->protocol[0] != 0)
        weft__out_field(&o, WEFT__SPAN("Sec-WebSocket-Protocol"), (weft__span){ws->protocol, strlen(ws->protocol)});
    weft__out_span(&o, (weft__span){q->fields.data, q->fields.len});
    weft__out_text(&o, "\r\n");
    q->state = WEFT__ANSWER_SWITCHED;
    q->r->status = 101;
    q->r->close = true;
    weft_conn_busy(q->r->conn, 0); /* between messages it waits like any idle client */
    int err = weft_conn_write(q->r->conn, o.data, o.len);
    if (err == 0 && (err = weft_conn_flush(q->r->conn, WEFT_FOREVER)) == 0)
        weft__request_endless(q->r);
    return err;
}

/* The option's value; "never" is far, and can be added to a time. */
static int64_t ping_after(int64_t option)
{
    const int64_t never = INT64_MAX / 4;
    return option == 0 ? 30 * WEFT_SECOND : option < 0 || option > never ? never : option;
}

int weft_websocket_accept(weft_websocket **out, weft_request *q, const weft_websocket_options *options)
{
    static const weft_websocket_options defaults;
    const weft_websocket_options *o = options != NULL ? options : &defaults;
    char accept[WEFT__WS_ACCEPT_LEN];
    if (q->state != WEFT__ANSWER_NONE)
        return -EALREADY;
    int status = check_handshake(q, o, accept);
    if (status != 0)
        return refuse(q, status);
    weft_websocket *ws = weft__calloc(1, sizeof *ws);
    if (ws == NULL)
        return -ENOMEM;
    ws->q = q;
    ws->conn = q->r->conn;
    ws->message_max = o->message_max > 0 ? o->message_max : 1 << 20;
    ws->ping_after = ping_after(o->ping_after);
    ws->heard = weft_now();
    int err = choose_protocol(q, o->protocols, ws->protocol);
    if (err < 0) {
        weft__free(ws);
        return err;
    }
    q->socket = ws;
    err = send_101(ws, accept);
    if (err < 0)
        return ws->error = err;
    *out = ws;
    return 0;
}

const char *weft_websocket_protocol(const weft_websocket *ws)
{
    return ws->protocol;
}

int weft_websocket_code(const weft_websocket *ws)
{
    return ws->code;
}

/* ---- sending ---- */

/* A failure breaks the socket for good. -ETIMEDOUT and -ECANCELED are told once, by the send: of a receive they would
 * mean "call again", and whoever does would be told so again, at once and for ever. */
static int send_frame(weft_websocket *ws, unsigned opcode, const void *data, size_t size)
{
    uint8_t head[WEFT__WS_HEAD_MAX];
    struct iovec pieces[] = {{head, weft__ws_head_put(head, opcode, size)}, {(void *)data, size}};
    int err = weft_conn_send(ws->conn, pieces, size > 0 ? 2 : 1, 0, WEFT_FOREVER);
    if (err < 0 && ws->error == 0) {
        ws->error = err == -ETIMEDOUT || err == -ECANCELED ? -ECONNRESET : err;
        ws->code = WEFT_WS_BROKEN;
    }
    if (err == 0)
        ws->q->r->bytes += size;
    return err;
}

int weft_websocket_send(weft_websocket *ws, int text, const void *data, size_t size)
{
    bool ended = ws->error == -WEFT_EEOF || ws->error == -EPROTO || ws->error == -EMSGSIZE; /* and did not break */
    if (ws->error < 0 || ws->sent_close)
        return ws->error < 0 && ws->code == WEFT_WS_BROKEN && !ended ? ws->error : -EPIPE;
    if (text && !weft__utf8_valid(data, size))
        return -EILSEQ;
    return send_frame(ws, text ? WEFT__WS_TEXT : WEFT__WS_BINARY, data, size);
}

/* Say goodbye, once. code 0: without one. */
static int send_close(weft_websocket *ws, int code, const char *reason, size_t len)
{
    uint8_t payload[WEFT__WS_CONTROL_MAX] = {(uint8_t)(code >> 8), (uint8_t)code};
    if (ws->sent_close || (ws->error < 0 && ws->code == WEFT_WS_BROKEN))
        return 0;
    ws->sent_close = true;
    if (len > 0)
        memcpy(payload + 2, reason, len);
    return send_frame(ws, WEFT__WS_CLOSE, payload, code == 0 ? 0 : 2 + len);
}

/* ---- receiving ---- */

/* It has ended: `err` from now on. */
static int end(weft_websocket *ws, int err, int code)
{
    ws->error = err;
    ws->code = ws->code == 0 ? code : ws->code;
    return err;
}

/* The client broke a rule: it is told which. */
static int fail(weft_websocket *ws, int err, int code)
{
    send_close(ws, code, NULL, 0);
    return end(ws, err, code);
}

static int take_close(weft_websocket *ws)
{
    size_t size = (size_t)ws->frame.size;
    unsigned code = size >= 2 ? (unsigned)ws->control[0] << 8 | ws->control[1] : 0;
    if (size == 1 || (size >= 2 && !weft__ws_code_valid(code)))
        return fail(ws, -EPROTO, WEFT_WS_PROTOCOL_ERROR);
    if (size > 2 && !weft__utf8_valid(ws->control + 2, size - 2))
        return fail(ws, -EPROTO, WEFT_WS_NOT_UTF8);
    ws->code = code != 0 ? (int)code : WEFT_WS_NO_CODE;
    send_close(ws, (int)code, NULL, 0);
    return end(ws, -WEFT_EEOF, ws->code);
}

/* A whole frame is there. 0: go on, or `done`; an error ends the socket. */
static int finish_frame(weft_websocket *ws)
{
    ws->in_frame = false;
    switch (ws->frame.opcode) {
    case WEFT__WS_CLOSE:
        return take_close(ws);
    case WEFT__WS_PING:
        return ws->sent_close ? 0 : send_frame(ws, WEFT__WS_PONG, ws->control, (size_t)ws->frame.size);
    case WEFT__WS_PONG:
        return 0;
    default:
        if (!ws->frame.fin)
            return 0;
        ws->in_message = false;
        if (ws->text && !weft__utf8_valid(ws->message, ws->size))
            return fail(ws, -EPROTO, WEFT_WS_NOT_UTF8);
        ws->done = true;
        return 0;
    }
}

/* Before a wait for the next message: a silent client shall not hold what its largest one took. */
static void give_room(weft_websocket *ws)
{
    if (ws->in_message || ws->room <= KEPT_ROOM)
        return;
    weft__free(ws->message);
    ws->message = NULL;
    ws->size = ws->room = 0;
}

static int make_room(weft_websocket *ws, size_t more)
{
    size_t wanted = ws->size + more + 1, room = ws->room == 0 ? FIRST_ROOM : ws->room;
    if (wanted <= ws->room)
        return 0;
    while (room < wanted)
        room *= 2;
    uint8_t *p = weft__realloc(ws->message, room);
    if (p == NULL)
        return -ENOMEM;
    ws->message = p;
    ws->room = room;
    return 0;
}

/* A frame's head has been read: may it come here? */
static int begin_frame(weft_websocket *ws)
{
    unsigned opcode = ws->frame.opcode;
    ws->in_frame = true;
    ws->taken = 0;
    if (opcode >= WEFT__WS_CLOSE)
        return 0;
    if ((opcode == WEFT__WS_CONTINUATION) != ws->in_message)
        return fail(ws, -EPROTO, WEFT_WS_PROTOCOL_ERROR);
    if (opcode != WEFT__WS_CONTINUATION) {
        ws->in_message = true;
        ws->text = opcode == WEFT__WS_TEXT;
        ws->size = 0;
    }
    if (ws->frame.size > ws->message_max - ws->size)
        return fail(ws, -EMSGSIZE, WEFT_WS_TOO_BIG);
    return 0;
}

/* Take what view[0..n) has of the frame under way. How many bytes were used, or an error. */
static ssize_t take_payload(weft_websocket *ws, const uint8_t *view, size_t n)
{
    uint64_t left = ws->frame.size - ws->taken;
    size_t take = n < left ? n : (size_t)left;
    uint8_t *to = ws->control + ws->taken;
    if (ws->frame.opcode < WEFT__WS_CLOSE) {
        int err = make_room(ws, take); /* only for what is there: a size alone costs nothing */
        if (err < 0)
            return fail(ws, err, WEFT_WS_ERROR);
        to = ws->message + ws->size;
        ws->size += take;
    }
    weft__ws_unmask(to, view, take, ws->frame.mask, ws->taken);
    ws->taken += take;
    return (ssize_t)take;
}

/* Use what is unread of one frame. 0: go on, with ws->have bytes of an unfinished head left unread, or `done`. */
static int take_input(weft_websocket *ws, const uint8_t *view, size_t n)
{
    size_t at = 0;
    ws->have = 0;
    if (!ws->in_frame) {
        int head = weft__ws_head_parse(view, n, &ws->frame);
        if (head == 0) {
            ws->have = n;
            return 0;
        }
        int err = head < 0 ? fail(ws, -EPROTO, WEFT_WS_PROTOCOL_ERROR) : begin_frame(ws);
        if (err < 0)
            return err;
        at = (size_t)head;
    }
    ssize_t taken = take_payload(ws, view + at, n - at);
    if (taken < 0)
        return (int)taken;
    /* Consumed before the frame is acted on: an answer to it may wait, and then the view is gone. */
    weft_conn_consume(ws->conn, at + (size_t)taken);
    return ws->taken == ws->frame.size ? finish_frame(ws) : 0;
}

/* When it is time for a ping, or after one for giving up. The client has its time for the pong from when the ping was
 * sent: a handler that was busy elsewhere may have come late. */
static int64_t patience(const weft_websocket *ws)
{
    return (ws->pinged != 0 ? ws->pinged : ws->heard) + ws->ping_after;
}

static int out_of_patience(weft_websocket *ws)
{
    if (ws->pinged != 0)
        return end(ws, -ECONNRESET, WEFT_WS_BROKEN);
    ws->pinged = weft_now();
    return ws->sent_close ? 0 : send_frame(ws, WEFT__WS_PING, NULL, 0);
}

/* A message is whole: show it. */
static int show(weft_websocket *ws, weft_websocket_message *m)
{
    int err = make_room(ws, 0);
    if (err < 0)
        return fail(ws, err, WEFT_WS_ERROR);
    ws->message[ws->size] = 0;
    *m = (weft_websocket_message){ws->message, ws->size, ws->text};
    return 0;
}

/* Wait for more than the unfinished head. A message that has been begun is under way to a stop, also where all that has
 * come of it is taken. */
static ssize_t wait_for_bytes(weft_websocket *ws, const void **view, weft_until until)
{
    bool begun = ws->in_message || ws->in_frame;
    return begun && ws->have == 0 ? weft__conn_fill_begun(ws->conn, view, until)
                                  : weft_conn_fill(ws->conn, ws->have, view, until);
}

int weft_websocket_receive(weft_websocket *ws, weft_websocket_message *m, weft_until until)
{
    unsigned late = 0;
    ws->done = false;
    give_room(ws);
    while (ws->error == 0) {
        const void *view;
        int64_t at = patience(ws);
        ssize_t n = wait_for_bytes(ws, &view, at < until.at ? (weft_until){at} : until);
        if (n == -ETIMEDOUT) {
            if (at >= until.at && weft_now() < at)
                return -ETIMEDOUT;
            out_of_patience(ws); /* also when the deadline came first: who never waits would never ping */
            continue;
        }
        if (n == -ECANCELED && !weft_conn_stopping(ws->conn))
            return -ECANCELED;
        if (n <= 0 && weft_conn_stopping(ws->conn)) {
            ws->leaves = true;
            send_close(ws, WEFT_WS_GOING_AWAY, NULL, 0);
            return end(ws, -WEFT_EEOF, WEFT_WS_GOING_AWAY);
        }
        if (n <= 0)
            return end(ws, n == 0 ? -ECONNRESET : (int)n, WEFT_WS_BROKEN);
        ws->heard = weft_now();
        ws->pinged = 0;
        if (take_input(ws, view, (size_t)n) == 0 && ws->done)
            return show(ws, m);
        if (ws->error == 0 && ws->heard >= until.at && ++late == LATE_PARTS)
            return -ETIMEDOUT;
    }
    return ws->error;
}

/* ---- closing ---- */

int weft_websocket_close(weft_websocket *ws, int code, const char *reason, weft_until until)
{
    size_t len = reason != NULL ? strlen(reason) : 0;
    if (!weft__ws_code_valid((unsigned)code) || len > WEFT__WS_CONTROL_MAX - 2 || !weft__utf8_valid(reason, len))
        return -EINVAL;
    if (ws->error < 0)
        return 0;
    int err = send_close(ws, code, reason, len);
    if (err < 0)
        return 0;
    weft_until limit = weft_in_ms(CLOSE_WAIT_MS);
    weft_websocket_message m;
    limit = until.at < limit.at ? until : limit;
    for (unsigned late = 0; (err = weft_websocket_receive(ws, &m, limit)) == 0;) /* messages are dropped by now */
        if (ws->heard >= limit.at && ++late == LATE_PARTS)
            return -ETIMEDOUT;
    return err == -ETIMEDOUT || err == -ECANCELED ? err : 0;
}

bool weft__websocket_end(weft_websocket *ws)
{
    if (ws == NULL)
        return false;
    int was = weft_shield(1); /* a cancelled handler's last word */
    weft_websocket_close(ws, WEFT_WS_NORMAL, NULL, weft_in_ms(CLOSE_WAIT_MS));
    weft_shield(was);
    bool told = ws->code != WEFT_WS_BROKEN; /* else our close could not be sent */
    bool sends_on = told && (ws->leaves || ws->error == 0 || ws->error == -EPROTO || ws->error == -EMSGSIZE);
    weft__free(ws->message);
    weft__free(ws);
    return sends_on;
}
