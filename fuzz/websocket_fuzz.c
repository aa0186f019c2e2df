/* websocket_fuzz.c - the frames of a client, one behind the other, and the key of its handshake.
 * Oracles: nothing beyond the bytes given is read; a head is the same however its bytes are cut (no part of a good
 * one is refused, no longer one of a bad one is good); written again it is as short; unmasking twice gives the bytes
 * back, whole or in pieces; a key that is accepted gives 28 letters. */
#include "http/frame.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            __builtin_trap();                                                                                          \
    } while (0)

/* As weft__ws_head_parse, over memory that ends where the bytes do. */
static int parse(const uint8_t *in, size_t len, weft__ws_head *h)
{
    uint8_t *exact = malloc(len + 1);
    REQUIRE(exact != NULL);
    memcpy(exact + 1, in, len);
    int n = weft__ws_head_parse(exact + 1, len, h);
    free(exact);
    return n;
}

static void check_payload(const uint8_t *in, size_t len, const weft__ws_head *h)
{
    uint8_t *plain = malloc(len + 1), *again = malloc(len + 1);
    REQUIRE(plain != NULL && again != NULL);
    weft__ws_unmask(plain, in, len, h->mask, 0);
    size_t cut = len > 0 ? in[0] % len : 0;
    weft__ws_unmask(again, plain, cut, h->mask, 0);
    weft__ws_unmask(again + cut, plain + cut, len - cut, h->mask, cut);
    REQUIRE(memcmp(again, in, len) == 0);
    if (len >= 2)
        (void)weft__ws_code_valid((unsigned)plain[0] << 8 | plain[1]);
    bool valid = weft__utf8_valid(plain, len);
    REQUIRE(!valid || len == 0 || plain[len - 1] < 0xc0); /* no letter begins in the last byte */
    free(plain);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char accept[WEFT__WS_ACCEPT_LEN];
    if (weft__ws_accept((weft__span){(const char *)data, size}, accept))
        for (unsigned i = 0; i < sizeof accept; i++)
            REQUIRE(accept[i] > ' ' && accept[i] < 127);
    for (size_t at = 0; at < size;) {
        weft__ws_head h, part;
        size_t left = size - at, most = left < WEFT__WS_HEAD_MAX ? left : WEFT__WS_HEAD_MAX;
        int n = parse(data + at, left, &h);
        for (size_t len = 0; len <= most; len++) {
            int m = parse(data + at, len, &part);
            REQUIRE(n > 0 ? m == ((size_t)n <= len ? n : 0) : n == 0 ? m == 0 : m == 0 || m == -1);
        }
        if (n <= 0)
            break;
        uint8_t again[WEFT__WS_HEAD_MAX];
        REQUIRE(weft__ws_head_put(again, h.opcode, h.size) + 4 == (size_t)n);
        REQUIRE(h.fin || h.opcode < WEFT__WS_CLOSE);
        at += (size_t)n;
        size_t payload = h.size < size - at ? (size_t)h.size : size - at;
        check_payload(data + at, payload, &h);
        at += payload;
    }
    return 0;
}
