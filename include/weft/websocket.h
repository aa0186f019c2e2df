/* weft/websocket.h - WebSocket (RFC 6455) in a handler of weft/route.h.
 *
 *     static int echo(weft_request *r, void *arg)
 *     {
 *         weft_websocket *ws;
 *         int err = weft_websocket_accept(&ws, r, NULL);
 *         weft_websocket_message m;
 *         while (err == 0 && (err = weft_websocket_receive(ws, &m, WEFT_FOREVER)) == 0)
 *             err = weft_websocket_send(ws, m.text, m.data, m.size);
 *         return 0;
 *     }
 *     ...
 *     weft_http_route(site, "GET /echo", echo, NULL);
 *
 * The socket is the handler's and ends with it. The calls are for that handler alone, thread or coroutine, and not for
 * signal handlers; who wants to send from elsewhere puts the message into a queue that the handler reads. Pings are
 * answered, fragments are put together, text is checked to be UTF-8, and what a client may cost is bounded by the
 * options. A handler that waits here costs its stack and, while a message is on its way, its bytes (4 KiB of the last
 * one's are kept). */
#ifndef WEFT_WEBSOCKET_H
#define WEFT_WEBSOCKET_H

#include <weft/route.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weft_websocket weft_websocket;

typedef struct weft_websocket_options {
    size_t message_max; /* bytes of a message that is received; 0 = 1 MiB; the connection is closed with 1009 beyond */
    int64_t ping_after; /* ns without a byte from the client until it is pinged; as long again and the connection is
                              broken; 0 = 30 s, negative = never. Seen to by weft_websocket_receive */
    const char *protocols; /* subprotocols that the handler speaks, best first, separated by commas; a client's is the
                              same only with the same case; NULL = none */
    int any_origin; /* 1: pages of other sites may connect; 0: a request with an Origin field whose host is not the
                              request's own is 403 */
} weft_websocket_options;

typedef struct weft_websocket_message {
    const void *data; /* terminated by a 0 that is not counted; valid until the next receive */
    size_t size;
    int text; /* 1: UTF-8 text; 0: binary */
} weft_websocket_message;

enum weft_websocket_close_code {
    WEFT_WS_NORMAL = 1000,
    WEFT_WS_GOING_AWAY = 1001,
    WEFT_WS_PROTOCOL_ERROR = 1002,
    WEFT_WS_UNSUPPORTED = 1003,
    WEFT_WS_NO_CODE = 1005, /* never sent: the client gave none */
    WEFT_WS_BROKEN = 1006,  /* never sent: the connection ended without a closing handshake */
    WEFT_WS_NOT_UTF8 = 1007,
    WEFT_WS_POLICY = 1008,
    WEFT_WS_TOO_BIG = 1009,
    WEFT_WS_ERROR = 1011
};

/* Accept the request as a WebSocket: the 101 is sent. What is no handshake is answered (400; 426 for another version;
 * 403 for a foreign page) and returns -EPROTO or -EACCES: then return 0 from the handler. Also -EALREADY (it is
 * answered), -EINVAL (a subprotocol of more than 63 bytes), -ENOMEM, or what sending gave. The socket is freed when the
 * handler returns. */
WEFT_API int weft_websocket_accept(weft_websocket **ws, weft_request *r, const weft_websocket_options *options);

/* The subprotocol that was agreed on; "" for none. */
WEFT_API const char *weft_websocket_protocol(const weft_websocket *ws);

/* Wait for the next message. Returns 0; -WEFT_EEOF: the client has closed, or this side has, or the server is stopping
 * and no message has been begun (the client has been told); -ETIMEDOUT (nothing is lost, call again); -ECANCELED;
 * -EPROTO: the client broke the protocol and has been told why by the code of the close; -EMSGSIZE: a message above
 * message_max; -ECONNRESET, -EPIPE. A message that comes together with the deadline wins. A ping that is due is sent
 * also when `until` comes first, or is WEFT_NOW; a handler that does not receive pings nobody, and then its client has
 * the whole time for the answer. Pings and pongs are sent as by weft_websocket_send. */
WEFT_API int weft_websocket_receive(weft_websocket *ws, weft_websocket_message *m, weft_until until);

/* Send one message, at once. The client must take it in the server's write_timeout. Returns 0; -EPIPE: it is closed;
 * -ECONNRESET, -ETIMEDOUT, -ECANCELED: the connection is broken, for all later calls too (-ECONNRESET). Text has to be
 * UTF-8 (-EILSEQ otherwise). */
WEFT_API int weft_websocket_send(weft_websocket *ws, int text, const void *data, size_t size);

/* Start the closing handshake with `code` (WEFT_WS_NORMAL ..., or 3000 to 4999) and a reason of at most 123 bytes
 * (NULL = none), and wait for the client's answer until `until` or for 2 s, what is shorter. Returns 0, also when it
 * is closed already; -EINVAL; -ETIMEDOUT. */
WEFT_API int weft_websocket_close(weft_websocket *ws, int code, const char *reason, weft_until until);

/* Why it ended: the code of the close that came first, WEFT_WS_BROKEN, or 0 while it is open. */
WEFT_API int weft_websocket_code(const weft_websocket *ws);

#ifdef __cplusplus
}
#endif
#endif
