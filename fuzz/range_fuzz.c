/* range_fuzz.c - a Range value against files of several sizes.
 * Oracles: ranges lie in the file, are not empty, neither overlap nor touch, are at most sixteen; printed as a Range
 * value and read again they are the same; whether the value is malformed does not depend on the size. */
#include "http/range.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            __builtin_trap();                                                                                          \
    } while (0)

static void check(const weft__ranges *r, uint64_t size)
{
    uint64_t total = 0;

    REQUIRE(r->count >= 1 && r->count <= WEFT__RANGE_MAX);
    for (unsigned i = 0; i < r->count; i++) {
        const weft__range *a = &r->range[i];
        REQUIRE(a->len > 0 && a->at < size && a->len <= size - a->at);
        REQUIRE(a->len <= size - total);
        total += a->len;
        for (unsigned j = 0; j < i; j++) {
            const weft__range *b = &r->range[j];
            REQUIRE(a->at > b->at + b->len || b->at > a->at + a->len);
        }
    }
}

static void check_again(const weft__ranges *r, uint64_t size)
{
    char text[64 * WEFT__RANGE_MAX];
    size_t len = (size_t)snprintf(text, sizeof text, "bytes=");
    weft__ranges again;

    for (unsigned i = 0; i < r->count; i++) {
        unsigned long long at = r->range[i].at, last = at + r->range[i].len - 1;
        len += (size_t)snprintf(text + len, sizeof text - len, "%llu-%llu,", at, last);
    }
    REQUIRE(weft__range_parse((weft__span){text, len}, size, &again) == 206);
    REQUIRE(again.count == r->count);
    REQUIRE(memcmp(again.range, r->range, r->count * sizeof r->range[0]) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint64_t sizes[] = {0, 1, 2, 10, 1000, UINT32_MAX, INT64_MAX, UINT64_MAX};
    char *value = malloc(size + 1);
    unsigned ignored = 0;

    REQUIRE(value != NULL);
    memcpy(value, data, size);
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        weft__ranges r;
        char *exact = realloc(value, size > 0 ? size : 1);
        REQUIRE(exact != NULL);
        value = exact;
        int status = weft__range_parse((weft__span){value, size}, sizes[i], &r);
        REQUIRE(status == 206 || status == 200 || status == 416);
        REQUIRE((status == 206) == (r.count > 0));
        if (sizes[i] > 0)
            ignored += status == 200;
        if (status == 206) {
            check(&r, sizes[i]);
            check_again(&r, sizes[i]);
        }
    }
    REQUIRE(ignored == 0 || ignored == sizeof sizes / sizeof sizes[0] - 1);
    free(value);
    return 0;
}
