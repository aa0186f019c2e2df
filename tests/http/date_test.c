/* date_test.c - HTTP dates (RFC 9110 5.6.7): every day of the calendar against a naive count, all three forms. */
#include "http/date.h"

#include "harness/harness.h"

#include <stdio.h>
#include <string.h>

static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
static const char *const days[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
#define NOW INT64_C(1792281600) /* 2026-10-17 */

static bool parse(const char *text, int64_t *out)
{
    return weft__date_parse((weft__span){text, strlen(text)}, NOW, out);
}

static int length_of(int year, int month)
{
    if (month == 1)
        return year % 400 == 0 || (year % 4 == 0 && year % 100 != 0) ? 29 : 28;
    return month == 3 || month == 5 || month == 8 || month == 10 ? 30 : 31;
}

TEST_LIMIT(60, date_every_day_reads_and_prints)
{
    int64_t day = -719162; /* 0001-01-01, a Monday */
    int weekday = 1;
    for (int year = 1; year <= 9999; year++)
        for (int month = 0; month < 12; month++)
            for (int of = 1; of <= length_of(year, month); of++, day++, weekday = (weekday + 1) % 7) {
                int sec = (int)((uint64_t)(day * 7919 + 40000000000) % 86400);
                int64_t expected = day * 86400 + sec, got = 0;
                char text[64], out[WEFT__DATE_LEN];
                snprintf(text, sizeof text, "%.3s, %02d %s %04d %02d:%02d:%02d GMT", days[weekday], of, months[month],
                         year, sec / 3600, sec / 60 % 60, sec % 60);
                if (!parse(text, &got) || got != expected)
                    FAIL("%s is read as %lld", text, (long long)got);
                weft__date_format(expected, out);
                if (memcmp(out, text, sizeof out) != 0)
                    FAIL("%s is printed as %.29s", text, out);
                if (of % 5 != 0)
                    continue;
                snprintf(text, sizeof text, "%.3s %s %2d %02d:%02d:%02d %04d", days[weekday], months[month], of,
                         sec / 3600, sec / 60 % 60, sec % 60, year);
                if (!parse(text, &got) || got != expected)
                    FAIL("%s is read as %lld", text, (long long)got);
            }
    CHECK_INT(WEFT__DATE_MAX + 1, day * 86400);
}

TEST(date_every_second_of_a_day_reads_and_prints)
{
    for (int64_t s = 951782400; s < 951782400 + 86400; s++) { /* 2000-02-29 */
        char out[WEFT__DATE_LEN];
        int64_t got;
        weft__date_format(s, out);
        CHECK(weft__date_parse((weft__span){out, sizeof out}, NOW, &got));
        CHECK_INT(s, got);
    }
}

TEST(date_the_examples_of_the_rfc)
{
    int64_t t;
    CHECK(parse("Sun, 06 Nov 1994 08:49:37 GMT", &t));
    CHECK_INT(784111777, t);
    CHECK(parse("Sunday, 06-Nov-94 08:49:37 GMT", &t));
    CHECK_INT(784111777, t);
    CHECK(parse("Sun Nov  6 08:49:37 1994", &t));
    CHECK_INT(784111777, t);
    CHECK(parse("Thu, 01 Jan 1970 00:00:00 GMT", &t));
    CHECK_INT(0, t);
    CHECK(parse("Wed, 31 Dec 1969 23:59:59 GMT", &t));
    CHECK_INT(-1, t);
    CHECK(parse("Sat, 31 Dec 2016 23:59:60 GMT", &t)); /* a leap second that was */
    CHECK_INT(1483228800, t);
}

TEST(date_two_digit_years_are_at_most_fifty_ahead)
{
    for (int yy = 0; yy < 100; yy++) {
        char text[64];
        int64_t t, full;
        int year = yy <= 75 ? 2000 + yy : 1900 + yy; /* now is 2026-10-17; see 76 below */
        snprintf(text, sizeof text, "Friday, 30-Oct-%02d 00:00:00 GMT", yy);
        CHECK(parse(text, &t));
        snprintf(text, sizeof text, "Fri, 30 Oct %04d 00:00:00 GMT", year);
        CHECK(parse(text, &full));
        CHECK_INT(full, t);
    }
    int64_t t, full;
    CHECK(parse("Friday, 16-Oct-76 00:00:00 GMT", &t)); /* a day less than 50 years ahead */
    CHECK(parse("Fri, 16 Oct 2076 00:00:00 GMT", &full));
    CHECK_INT(full, t);
    CHECK(weft__date_parse(WEFT__SPAN("Friday, 16-Oct-05 00:00:00 GMT"), INT64_C(3786912000), &t)); /* now 2090 */
    CHECK(parse("Fri, 16 Oct 2105 00:00:00 GMT", &full));
    CHECK_INT(full, t);
}

TEST(date_day_names_of_the_long_form)
{
    int64_t t;
    for (int i = 0; i < 7; i++) {
        char text[64];
        snprintf(text, sizeof text, "%s, 06-Nov-94 08:49:37 GMT", days[i]);
        CHECK(parse(text, &t));
        snprintf(text, sizeof text, "%.3sx%s, 06-Nov-94 08:49:37 GMT", days[i], days[i] + 3);
        CHECK(!parse(text, &t));
    }
}

TEST(date_anything_else_is_refused)
{
    static const char *bad[] = {
        "",
        "0",
        "784111777",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 gmt",
        " Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        "Sun, 06 Nov 1994 08:49:37 GMTx",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT",
        "Sun, 06-Nov-1994 08:49:37 GMT",
        "Sun 06 Nov 1994 08:49:37 GMT",
        "Sun,06 Nov 1994 08:49:37 GMT",
        "Sun, 06  Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 8:49:37 GMT",
        "Sun, 06 Nov 1994 08:49 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:00 GMT",
        "Sun, 06 Nov 1994 08:00:61 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Sun, 32 Dec 1994 08:49:37 GMT",
        "Mon, 29 Feb 1900 00:00:00 GMT",
        "Mon, 29 Feb 2001 00:00:00 GMT",
        "Mon, 30 Feb 2000 00:00:00 GMT",
        "Sun, 06 Foo 1994 08:49:37 GMT",
        "Foo, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun, 06 Nov 19940 08:49:37 GMT",
        "Sun, -6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:-7 GMT",
        "Fri, 31 Dec 9999 23:59:60 GMT",
        "Sunday, 06-Nov-1994 08:49:37 GMT",
        "Sun, 06-Nov-94 08:49:37 GMT",
        "Sunday, 06 Nov 94 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37",
        "Sun Nov 06 08:49:37 1994 GMT",
        "Sun Nov 6 08:49:37 1994",
        "Sun Nov  6 08:49:37 94",
        "Sun Nov  0 08:49:37 1994",
        "Sun Nov   6 08:49:37 1994",
        "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int64_t t;
        if (parse(bad[i], &t))
            FAIL("'%s' is read as %lld", bad[i], (long long)t);
    }
}

TEST(date_a_prefix_is_no_date)
{
    static const char *good[] = {"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT",
                                 "Sun Nov  6 08:49:37 1994"};
    for (size_t i = 0; i < 3; i++)
        for (size_t len = 0; len < strlen(good[i]); len++) {
            int64_t t;
            CHECK(!weft__date_parse((weft__span){good[i], len}, NOW, &t));
        }
}

TEST(date_formats_are_bounded)
{
    char out[WEFT__DATE_LEN], log[WEFT__DATE_LOG_LEN];
    weft__date_format(INT64_MAX, out);
    CHECK_MEM("Fri, 31 Dec 9999 23:59:59 GMT", out, sizeof out);
    weft__date_format(INT64_MIN, out);
    CHECK_MEM("Mon, 01 Jan 0001 00:00:00 GMT", out, sizeof out);
    weft__date_format_log(784111777, log);
    CHECK_MEM("06/Nov/1994:08:49:37 +0000", log, sizeof log);
    weft__date_format_log(INT64_MIN, log);
    CHECK_MEM("01/Jan/0001:00:00:00 +0000", log, sizeof log);
}
