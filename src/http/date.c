/* date.c - days from civil dates and back by counting in eras of 400 years (146097 days), years beginning in March so
 * that the leap day comes last. No table of years, no loop, no libc. Pinned by tests/http/date_test.c, which compares
 * every day from 1970 to 9999 with a naive calendar. */
#include "http/date.h"

#define DAY        INT64_C(86400)
#define ERA_DAYS   146097
#define EPOCH_DAYS 719468 /* from 0000-03-01 to 1970-01-01 */

typedef struct civil {
    int year, month, day; /* month and day from 1 */
    int weekday;          /* 0 = Sunday */
    int hour, minute, second;
} civil;

static const char month_names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
static const char day_names[] = "SunMonTueWedThuFriSat";

static int64_t days_of(int year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return era * ERA_DAYS + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - EPOCH_DAYS;
}

static void civil_of(int64_t seconds, civil *c)
{
    if (seconds < WEFT__DATE_MIN)
        seconds = WEFT__DATE_MIN;
    if (seconds > WEFT__DATE_MAX)
        seconds = WEFT__DATE_MAX;
    int64_t days = (seconds >= 0 ? seconds : seconds - (DAY - 1)) / DAY;
    int of_day = (int)(seconds - days * DAY);
    c->hour = of_day / 3600;
    c->minute = of_day / 60 % 60;
    c->second = of_day % 60;
    c->weekday = (int)((days % 7 + 11) % 7); /* 1970-01-01 was a Thursday */
    int64_t d = days + EPOCH_DAYS;           /* not negative: WEFT__DATE_MIN is after 0000-03-01 */
    int64_t era = d / ERA_DAYS;
    int doe = (int)(d - era * ERA_DAYS);
    int yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int m = (5 * doy + 2) / 153;
    c->day = doy - (153 * m + 2) / 5 + 1;
    c->month = m < 10 ? m + 3 : m - 9;
    c->year = (int)(era * 400) + yoe + (c->month <= 2);
}

static int month_length(int year, int month)
{
    static const int8_t length[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return length[month - 1] + (month == 2 && leap);
}

/* Readers of one part: on success *p moves on. */
static bool read_text(const char **p, const char *end, const char *text, size_t len)
{
    if ((size_t)(end - *p) < len || memcmp(*p, text, len) != 0)
        return false;
    *p += len;
    return true;
}

#define READ(literal) read_text(p, end, "" literal "", sizeof("" literal "") - 1)

static bool read_digits(const char **p, const char *end, int count, int *out)
{
    int n = 0;
    if (end - *p < count)
        return false;
    for (int i = 0; i < count; i++, ++*p) {
        if (**p < '0' || **p > '9')
            return false;
        n = n * 10 + (**p - '0');
    }
    *out = n;
    return true;
}

/* One of `count` three-letter names; *out counts from 1. */
static bool read_name(const char **p, const char *end, const char *names, int count, int *out)
{
    for (int i = 0; i < count; i++)
        if (read_text(p, end, names + (ptrdiff_t)3 * i, 3)) {
            *out = i + 1;
            return true;
        }
    return false;
}

static bool read_time(const char **p, const char *end, civil *c)
{
    return read_digits(p, end, 2, &c->hour) && READ(":") && read_digits(p, end, 2, &c->minute) && READ(":") &&
           read_digits(p, end, 2, &c->second);
}

/* What follows "Sun": ", 06 Nov 1994 08:49:37 GMT". */
static bool read_imf(const char **p, const char *end, civil *c)
{
    return READ(", ") && read_digits(p, end, 2, &c->day) && READ(" ") &&
           read_name(p, end, month_names, 12, &c->month) && READ(" ") && read_digits(p, end, 4, &c->year) &&
           READ(" ") && read_time(p, end, c) && READ(" GMT");
}

/* What follows "Sun": "day, 06-Nov-94 08:49:37 GMT". The year comes back as two digits. */
static bool read_rfc850(const char **p, const char *end, civil *c, int weekday)
{
    static const char rest[7][9] = {"day, ", "day, ", "sday, ", "nesday, ", "rsday, ", "day, ", "urday, "};
    return read_text(p, end, rest[weekday - 1], strlen(rest[weekday - 1])) && read_digits(p, end, 2, &c->day) &&
           READ("-") && read_name(p, end, month_names, 12, &c->month) && READ("-") &&
           read_digits(p, end, 2, &c->year) && READ(" ") && read_time(p, end, c) && READ(" GMT");
}

/* What follows "Sun": " Nov  6 08:49:37 1994". */
static bool read_asctime(const char **p, const char *end, civil *c)
{
    if (!READ(" ") || !read_name(p, end, month_names, 12, &c->month) || !READ(" "))
        return false;
    if (!(READ(" ") ? read_digits(p, end, 1, &c->day) : read_digits(p, end, 2, &c->day)))
        return false;
    return READ(" ") && read_time(p, end, c) && READ(" ") && read_digits(p, end, 4, &c->year);
}

static bool civil_seconds(const civil *c, int64_t *out)
{
    if (c->year < 1 || c->day < 1 || c->day > month_length(c->year, c->month))
        return false;
    if (c->hour > 23 || c->minute > 59 || c->second > 60)
        return false;
    *out = days_of(c->year, c->month, c->day) * DAY + c->hour * 3600 + c->minute * 60 + c->second;
    return *out <= WEFT__DATE_MAX;
}

/* Of the years that end in these two digits the one from which `c` is at most 50 years ahead of `now`, and less than 50
 * behind it or a little more (RFC 9110 5.6.7). */
static int full_year(const civil *c, int64_t now)
{
    civil today;
    civil_of(now, &today);
    int year = today.year / 100 * 100 + c->year;
    int64_t of_year = c->month * INT64_C(10000000) + c->day * 100000 + c->hour * 3600 + c->minute * 60 + c->second;
    int64_t today_of_year =
        today.month * INT64_C(10000000) + today.day * 100000 + today.hour * 3600 + today.minute * 60 + today.second;

    if (year < today.year - 50 || (year == today.year - 50 && of_year <= today_of_year))
        year += 100;
    if (year > today.year + 50 || (year == today.year + 50 && of_year > today_of_year))
        year -= 100;
    return year;
}

bool weft__date_parse(weft__span text, int64_t now, int64_t *seconds)
{
    const char *at = text.data, **p = &at;
    const char *end = text.data + text.len;
    civil c;
    int weekday;

    if (text.len < 24 || !read_name(p, end, day_names, 7, &weekday))
        return false;
    if (*at == ',') {
        if (!read_imf(p, end, &c))
            return false;
    } else if (*at == ' ') {
        if (!read_asctime(p, end, &c))
            return false;
    } else {
        if (!read_rfc850(p, end, &c, weekday))
            return false;
        c.year = full_year(&c, now);
    }
    return at == end && civil_seconds(&c, seconds);
}

static void put_digits(char *out, int value, int count)
{
    while (count-- > 0) {
        out[count] = (char)('0' + value % 10);
        value /= 10;
    }
}

static void put_time(char *out, const civil *c)
{
    put_digits(out, c->hour, 2);
    out[2] = ':';
    put_digits(out + 3, c->minute, 2);
    out[5] = ':';
    put_digits(out + 6, c->second, 2);
}

void weft__date_format(int64_t seconds, char out[WEFT__DATE_LEN])
{
    civil c;
    civil_of(seconds, &c);
    memcpy(out, "Sun, 06 Nov 1994 08:49:37 GMT", WEFT__DATE_LEN);
    memcpy(out, day_names + (ptrdiff_t)3 * c.weekday, 3);
    put_digits(out + 5, c.day, 2);
    memcpy(out + 8, month_names + (ptrdiff_t)3 * (c.month - 1), 3);
    put_digits(out + 12, c.year, 4);
    put_time(out + 17, &c);
}

void weft__date_format_log(int64_t seconds, char out[WEFT__DATE_LOG_LEN])
{
    civil c;
    civil_of(seconds, &c);
    memcpy(out, "06/Nov/1994:08:49:37 +0000", WEFT__DATE_LOG_LEN);
    put_digits(out, c.day, 2);
    memcpy(out + 3, month_names + (ptrdiff_t)3 * (c.month - 1), 3);
    put_digits(out + 7, c.year, 4);
    put_time(out + 12, &c);
}
