/* date_fuzz.c - a date, and a time from the same bytes.
 * Oracles: what is read lies in the calendar; printed and read again it is the same second; an IMF-fixdate that was
 * read is printed as it was, but for its day name and a leap second; every time prints as a date that is read back. */
#include "http/date.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            __builtin_trap();                                                                                          \
    } while (0)

#define NOW INT64_C(1792281600)

static void check_print(int64_t t, char out[WEFT__DATE_LEN])
{
    int64_t again, clamped = t < WEFT__DATE_MIN ? WEFT__DATE_MIN : t > WEFT__DATE_MAX ? WEFT__DATE_MAX : t;
    char log[WEFT__DATE_LOG_LEN];

    weft__date_format(t, out);
    REQUIRE(weft__date_parse((weft__span){out, WEFT__DATE_LEN}, NOW, &again));
    REQUIRE(again == clamped);
    weft__date_format_log(t, log);
    REQUIRE(memcmp(log, out + 5, 2) == 0 && memcmp(log + 3, out + 8, 3) == 0 && memcmp(log + 7, out + 12, 4) == 0);
    REQUIRE(memcmp(log + 12, out + 17, 8) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size > 0 ? size : 1);
    char out[WEFT__DATE_LEN];
    int64_t t = 0;

    REQUIRE(text != NULL);
    memcpy(text, data, size);
    if (weft__date_parse((weft__span){text, size}, NOW, &t)) {
        REQUIRE(t >= WEFT__DATE_MIN && t <= WEFT__DATE_MAX);
        check_print(t, out);
        if (text[3] == ',' && memcmp(text + 23, "60", 2) != 0)
            REQUIRE(memcmp(out + 3, text + 3, WEFT__DATE_LEN - 3) == 0);
    }
    free(text);
    if (size >= sizeof t) {
        memcpy(&t, data, sizeof t);
        check_print(t, out);
        check_print(t % WEFT__DATE_MAX, out);
    }
    return 0;
}
