/* frame.c - see frame.h. SHA-1 is here because RFC 6455 asks for it in its handshake, where it protects nothing. */
#include "http/frame.h"

#include "http/encode.h"

/* ---- heads ---- */

int weft__ws_head_parse(const uint8_t *in, size_t len, weft__ws_head *h)
{
    if (len < 2)
        return 0;
    unsigned opcode = in[0] & 15, size = in[1] & 127;
    bool control = opcode >= WEFT__WS_CLOSE, fin = in[0] & 128;
    if ((in[0] & 0x70) != 0 || (opcode > WEFT__WS_BINARY && opcode < WEFT__WS_CLOSE) || opcode > WEFT__WS_PONG ||
        (in[1] & 128) == 0 || (control && (!fin || size > WEFT__WS_CONTROL_MAX)))
        return -1;
    unsigned more = size == 126 ? 2 : size == 127 ? 8 : 0;
    if (len < 2 + more + 4)
        return 0;
    h->size = more == 0 ? size : 0;
    for (unsigned i = 0; i < more; i++)
        h->size = h->size << 8 | in[2 + i];
    if ((more == 2 && h->size < 126) || (more == 8 && (h->size < 65536 || h->size >> 63 != 0)))
        return -1;
    memcpy(h->mask, in + 2 + more, 4);
    h->opcode = (uint8_t)opcode;
    h->fin = fin;
    return (int)(2 + more + 4);
}

size_t weft__ws_head_put(uint8_t out[WEFT__WS_HEAD_MAX], unsigned opcode, uint64_t size)
{
    out[0] = (uint8_t)(128 | opcode);
    if (size < 126) {
        out[1] = (uint8_t)size;
        return 2;
    }
    unsigned more = size < 65536 ? 2 : 8;
    out[1] = more == 2 ? 126 : 127;
    for (unsigned i = 0; i < more; i++)
        out[2 + i] = (uint8_t)(size >> 8 * (more - 1 - i));
    return 2 + more;
}

void weft__ws_unmask(uint8_t *to, const uint8_t *from, size_t size, const uint8_t mask[4], uint64_t at)
{
    uint8_t turned[8];
    for (unsigned i = 0; i < 8; i++)
        turned[i] = mask[(at + i) & 3];
    uint64_t wide;
    memcpy(&wide, turned, 8);
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        uint64_t word;
        memcpy(&word, from + i, 8);
        word ^= wide;
        memcpy(to + i, &word, 8);
    }
    for (; i < size; i++)
        to[i] = from[i] ^ turned[i & 7];
}

bool weft__utf8_valid(const void *text, size_t size)
{
    const char *p = text;
    for (size_t at = 0; at < size;) {
        unsigned n = weft__utf8_length(p + at, size - at);
        if (n == 0)
            return false;
        at += n;
    }
    return true;
}

bool weft__ws_code_valid(unsigned code)
{
    return (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) ||
           (code >= 3000 && code <= 4999);
}

/* ---- the handshake ---- */

static uint32_t rotate(uint32_t x, unsigned by)
{
    return x << by | x >> (32 - by);
}

static void sha1_block(uint32_t h[5], const uint8_t *p)
{
    uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
    for (unsigned i = 0; i < 16; i++)
        w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 | (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
    for (unsigned i = 16; i < 80; i++)
        w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    for (unsigned i = 0; i < 80; i++) {
        uint32_t f = i < 20   ? (b & c) | (~b & d)
                     : i < 40 ? b ^ c ^ d
                     : i < 60 ? (b & c) | (b & d) | (c & d)
                              : b ^ c ^ d;
        uint32_t k = i < 20 ? 0x5a827999 : i < 40 ? 0x6ed9eba1 : i < 60 ? 0x8f1bbcdc : 0xca62c1d6;
        uint32_t t = rotate(a, 5) + f + e + k + w[i];
        e = d;
        d = c;
        c = rotate(b, 30);
        b = a;
        a = t;
    }
    h[0] += a;
    h[1] += b;
    h[2] += c;
    h[3] += d;
    h[4] += e;
}

/* RFC 3174, for messages that fit into two blocks. */
static void sha1(const uint8_t *data, size_t size, uint8_t digest[20])
{
    uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    uint8_t block[128] = {0};
    size_t total = size + 9 <= 64 ? 64 : 128;
    memcpy(block, data, size);
    block[size] = 0x80;
    for (unsigned i = 0; i < 4; i++)
        block[total - 1 - i] = (uint8_t)((uint64_t)size * 8 >> 8 * i);
    for (size_t at = 0; at < total; at += 64)
        sha1_block(h, block + at);
    for (unsigned i = 0; i < 20; i++)
        digest[i] = (uint8_t)(h[i / 4] >> 8 * (3 - i % 4));
}

static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

bool weft__ws_accept(weft__span key, char out[WEFT__WS_ACCEPT_LEN])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    enum {
        KEY = 24
    };
    if (key.len != KEY || key.data[22] != '=' || key.data[23] != '=')
        return false;
    for (unsigned i = 0; i < 22; i++)
        if (key.data[i] == 0 || strchr(base64, key.data[i]) == NULL)
            return false;
    uint8_t text[KEY + sizeof guid - 1], digest[21] = {0};
    memcpy(text, key.data, KEY);
    memcpy(text + KEY, guid, sizeof guid - 1);
    sha1(text, sizeof text, digest);
    for (unsigned i = 0; i < 7; i++) {
        uint32_t bits = (uint32_t)digest[3 * i] << 16 | (uint32_t)digest[3 * i + 1] << 8 | digest[3 * i + 2];
        for (unsigned j = 0; j < 4; j++)
            out[4 * i + j] = base64[bits >> 6 * (3 - j) & 63];
    }
    out[27] = '='; /* 20 bytes are 26 and two thirds of a letter */
    return true;
}
