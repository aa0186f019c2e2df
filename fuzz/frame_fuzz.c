/* frame_fuzz.c - messages in a stream of bytes. The first bytes choose the frame, the rest is what the peer sends.
 * Oracles: whole and cut anywhere (with the state of the search kept) the same messages come in the same places and the
 * same error ends them; what is asked for is more than there is and not more than the message; a message that is
 * wrapped again is read as itself. */
#include "io/frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            __builtin_trap();                                                                                          \
    } while (0)

enum {
    LIMIT = 200
};

static int wrapped(const weft_frame *f, const char *message, size_t size)
{
    char head[WEFT__FRAME_HEAD_MAX], whole[LIMIT + 2 * WEFT__DELIMITER_MAX];
    const char *tail;
    weft__frame_place place;
    size_t head_size, tail_size, scanned = 0, need;
    int err = weft__frame_wrap(f, LIMIT, message, size, head, &head_size, &tail, &tail_size);
    if (err < 0)
        return err;
    memcpy(whole, head, head_size);
    memcpy(whole + head_size, message, size);
    memcpy(whole + head_size + size, tail, tail_size);
    size_t n = head_size + size + tail_size;
    REQUIRE(weft__frame_find(f, LIMIT, whole, n, &scanned, &place, &need) == 1);
    REQUIRE(place.head == head_size && place.size == size && place.whole == n);
    return 0;
}

/* Read all messages of in[0..n) by steps (0: at random, by `random`). A hash of all that came. */
static uint64_t read_all(const weft_frame *f, const char *in, size_t n, size_t step, uint64_t random)
{
    uint64_t hash = 1;
    size_t at = 0, there = 0, scanned = 0;
    for (;;) {
        weft__frame_place place;
        size_t need = 0, have = there - at;
        char *exact = malloc(have > 0 ? have : 1); /* so that a byte too far is seen */
        REQUIRE(exact != NULL);
        memcpy(exact, in + at, have);
        int found = weft__frame_find(f, LIMIT, exact, have, &scanned, &place, &need);
        free(exact);
        if (found < 0)
            return hash * 31 + (uint64_t)-found;
        if (found == 0) {
            REQUIRE(need > have && scanned <= have);
            if (there == n)
                return hash * 31 + have;
            random = random * UINT64_C(6364136223846793005) + 1;
            size_t more = step > 0 ? step : 1 + (random >> 40) % 9;
            there += more < n - there ? more : n - there;
            continue;
        }
        REQUIRE(place.whole <= have && place.head + place.size <= place.whole && place.size <= LIMIT);
        REQUIRE(wrapped(f, in + at + place.head, place.size) == 0);
        hash = hash * 31 + place.size * 7 + place.head;
        at += place.whole;
        scanned = 0;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    weft_frame f = {.kind = data[0] & 3,
                    .length_bytes = data[1] & 15,
                    .little_endian = data[0] >> 2 & 1,
                    .counts_itself = data[0] >> 3 & 1,
                    .size = data[1],
                    .delimiter_size = data[2] % 18};
    const char *in = (const char *)data + 3;
    size_t n = size - 3;
    if (f.kind == WEFT_FRAME_DELIMITER && f.delimiter_size <= n && f.delimiter_size <= sizeof f.delimiter) {
        memcpy(f.delimiter, in, f.delimiter_size);
        in += f.delimiter_size;
        n -= f.delimiter_size;
    }
    if (weft__frame_check(&f) < 0)
        return 0;
    uint64_t random = size, whole = read_all(&f, in, n, n > 0 ? n : 1, 0);
    for (size_t i = 0; i < size; i++)
        random = random * 131 + data[i];
    REQUIRE(read_all(&f, in, n, 1, 0) == whole);
    REQUIRE(read_all(&f, in, n, 0, random) == whole);
    wrapped(&f, in, n < LIMIT ? n : LIMIT);
    return 0;
}
