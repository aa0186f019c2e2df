/* chunk_fuzz.c - a chunked body.
 * Oracles: the same outcome, status, body and end whole, cut at random and (when short) byte by byte; a body that was
 * accepted, put into chunks again and decoded, is the same body. */
#include "http/chunk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            __builtin_trap();                                                                                          \
    } while (0)

typedef struct result {
    enum weft__http_outcome outcome;
    unsigned status;
    size_t used, body_len;
    char *body; /* of at least as many bytes as the input */
} result;

static result decode(const char *in, size_t len, uint64_t random, size_t step)
{
    weft__chunk c = {0};
    result r = {.outcome = WEFT__HTTP_MORE, .body = malloc(len + 1)};

    REQUIRE(r.body != NULL);
    while (r.outcome == WEFT__HTTP_MORE && r.used < len) {
        random = random * UINT64_C(6364136223846793005) + 1;
        size_t n = step > 0 ? step : 1 + (random >> 40) % (4 + len / 16);
        n = n < len - r.used ? n : len - r.used;
        char *piece = malloc(n);
        REQUIRE(piece != NULL);
        memcpy(piece, in + r.used, n);
        size_t taken = 0;
        do {
            size_t used = 0;
            weft__span part;
            r.outcome = weft__chunk_decode(&c, piece + taken, n - taken, &used, &part);
            REQUIRE(used <= n - taken);
            taken += used;
            if (r.outcome == WEFT__HTTP_DATA) {
                REQUIRE(part.len > 0 && part.data >= piece && part.data + part.len <= piece + n);
                memcpy(r.body + r.body_len, part.data, part.len);
                r.body_len += part.len;
            }
        } while (r.outcome == WEFT__HTTP_DATA);
        free(piece);
        REQUIRE(r.outcome != WEFT__HTTP_MORE || taken == n);
        r.used += taken;
    }
    r.status = c.status;
    REQUIRE((r.outcome == WEFT__HTTP_REFUSED) == (r.status != 0));
    REQUIRE(c.total == r.body_len);
    return r;
}

static void same(const result *a, const result *b)
{
    REQUIRE(a->outcome == b->outcome && a->status == b->status && a->used == b->used && a->body_len == b->body_len);
    REQUIRE(memcmp(a->body, b->body, a->body_len) == 0);
}

/* The body in chunks of 1, 2, 3 ... bytes. */
static void check_again(const result *r)
{
    size_t cap = r->body_len * 8 + 64, len = 0, at = 0;
    char *text = malloc(cap);

    REQUIRE(text != NULL);
    for (size_t n = 1; at < r->body_len; n++) {
        n = n < r->body_len - at ? n : r->body_len - at;
        len += (size_t)snprintf(text + len, cap - len, "%zX\r\n", n);
        memcpy(text + len, r->body + at, n);
        memcpy(text + len + n, "\r\n", 2);
        len += n + 2;
        at += n;
    }
    memcpy(text + len, "0\r\n\r\n", 5);
    len += 5;
    result again = decode(text, len, 0, len);
    REQUIRE(again.outcome == WEFT__HTTP_DONE && again.used == len && again.body_len == r->body_len);
    REQUIRE(memcmp(again.body, r->body, r->body_len) == 0);
    free(again.body);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *in = size > 0 ? (const char *)data : "";
    uint64_t hash = size;
    for (size_t i = 0; i < size; i++)
        hash = hash * 131 + data[i];
    result whole = decode(in, size, 0, size), cut = decode(in, size, hash, 0);
    same(&whole, &cut);
    if (size <= 128) {
        result bytes = decode(in, size, 0, 1);
        same(&whole, &bytes);
        free(bytes.body);
    }
    if (whole.outcome == WEFT__HTTP_DONE)
        check_again(&whole);
    free(whole.body);
    free(cut.body);
    return 0;
}
