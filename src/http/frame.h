/* frame.h - the frames of a WebSocket (RFC 6455 5.2) and the key of its handshake: pure functions over bytes. */
#ifndef WEFT_HTTP_FRAME_H
#define WEFT_HTTP_FRAME_H

#include "http/slice.h"

#include <stdbool.h>

enum {
    WEFT__WS_CONTINUATION = 0,
    WEFT__WS_TEXT = 1,
    WEFT__WS_BINARY = 2,
    WEFT__WS_CLOSE = 8,
    WEFT__WS_PING = 9,
    WEFT__WS_PONG = 10,

    WEFT__WS_HEAD_MAX = 14,
    WEFT__WS_CONTROL_MAX = 125,
    WEFT__WS_ACCEPT_LEN = 28
};

typedef struct weft__ws_head {
    uint64_t size; /* of the payload */
    uint8_t mask[4];
    uint8_t opcode;
    bool fin;
} weft__ws_head;

/* The head of a client's frame. Returns how many bytes it takes, 0 when in[0..len) is not all of it, or -1: no client
 * may send such a frame (reserved bits or opcodes, not masked, a size not in its shortest form or above 2^63, a
 * control frame that is long or in pieces). */
int weft__ws_head_parse(const uint8_t *in, size_t len, weft__ws_head *h);

/* The head of a frame of ours: final, not masked. Returns its length. */
size_t weft__ws_head_put(uint8_t out[WEFT__WS_HEAD_MAX], unsigned opcode, uint64_t size);

/* to[i] = from[i] ^ mask[(at + i) % 4]; they may be the same. */
void weft__ws_unmask(uint8_t *to, const uint8_t *from, size_t size, const uint8_t mask[4], uint64_t at);

/* Is it well-formed UTF-8? */
bool weft__utf8_valid(const void *text, size_t size);

/* May a peer close with this code? */
bool weft__ws_code_valid(unsigned code);

/* Sec-WebSocket-Accept for a Sec-WebSocket-Key. False: no such key (16 bytes in base64). */
bool weft__ws_accept(weft__span key, char out[WEFT__WS_ACCEPT_LEN]);

#endif
