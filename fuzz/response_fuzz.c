/* response_fuzz.c - what a server may send to `weft load`: where its scanner sees responses end.
 * Oracles: the same responses come out however the bytes are cut, and with heads remembered or not; what is left
 * untaken is less than a head may be. The buffer ends where the memory ends, so a byte read beyond it is a fault. */
#include "../cmd/load_scan.c"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            __builtin_trap();                                                                                          \
    } while (0)

enum {
    RESPONSES_MAX = 512
};

typedef struct seen {
    uint64_t end;
    uint32_t status, close, outcome;
    uint32_t reserved;
} seen;

static load_head_memory memory;

/* How much more arrives; 0 in *random: all of it. */
static size_t arrive(uint64_t *random, size_t have, size_t size)
{
    if (*random == 0)
        return size;
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    size_t n = 1 + (*random >> 32) % (4 + size / 16);
    return n < size - have ? have + n : size;
}

static unsigned walk(const uint8_t *data, size_t size, uint64_t random, bool no_body, load_head_memory *m, seen *out)
{
    load_scan s = {.no_body = no_body};
    unsigned count = 0;
    size_t at = 0, have = arrive(&random, 0, size);
    memset(out, 0, RESPONSES_MAX * sizeof *out);
    while (count < RESPONSES_MAX) {
        size_t used = 0;
        char *copy = malloc(have - at > 0 ? have - at : 1);
        REQUIRE(copy != NULL);
        memcpy(copy, data + at, have - at);
        enum load_outcome o = load_scan_bytes(&s, m, copy, have - at, &used);
        free(copy);
        REQUIRE(used <= have - at);
        at += used;
        if (o == LOAD_MORE) {
            REQUIRE(have - at < LOAD_HEAD_MAX);
            if (have < size) {
                have = arrive(&random, have, size);
                continue;
            }
            out[count].outcome = 100 + load_scan_end(&s);
        } else {
            REQUIRE(o != LOAD_DONE || (used > 0 && s.status >= 101 && s.status < 600));
            out[count].outcome = o;
        }
        out[count].status = s.status;
        out[count].close = s.close;
        out[count++].end = o == LOAD_BAD ? 0 : at; /* how much of rubbish is taken may differ */
        if (o != LOAD_DONE)
            break;
    }
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static seen whole[RESPONSES_MAX], cut[RESPONSES_MAX];
    if (size < 1)
        return 0;
    bool no_body = (data[0] & 1) != 0;
    uint64_t random = data[0] * UINT64_C(0x9e3779b97f4a7c15) | 1;
    unsigned n = walk(data + 1, size - 1, 0, no_body, NULL, whole);
    for (int turn = 0; turn < 3; turn++) {
        unsigned k = turn == 0 ? walk(data + 1, size - 1, random, no_body, NULL, cut)
                               : walk(data + 1, size - 1, turn == 1 ? 0 : random, no_body, &memory, cut);
        REQUIRE(k == n && memcmp(whole, cut, sizeof whole) == 0);
    }
    return 0;
}
