/* date.h - HTTP dates from and to seconds since 1970-01-01T00:00:00Z, without libc's time functions (they take locks
 * and look at the locale and the time zone). The proleptic Gregorian calendar, years 0001 to 9999. */
#ifndef WEFT_HTTP_DATE_H
#define WEFT_HTTP_DATE_H

#include "http/slice.h"

#include <stdbool.h>

#define WEFT__DATE_LEN     29                    /* Sun, 06 Nov 1994 08:49:37 GMT */
#define WEFT__DATE_LOG_LEN 26                    /* 06/Nov/1994:08:49:37 +0000 */
#define WEFT__DATE_MIN     INT64_C(-62135596800) /* 0001-01-01T00:00:00Z */
#define WEFT__DATE_MAX     INT64_C(253402300799) /* 9999-12-31T23:59:59Z */

/* Read an IMF-fixdate, RFC 850 or asctime date (RFC 9110 5.6.7), case-sensitive, nothing before or after it. A
 * two-digit year that seems more than 50 years after `now` is taken as past. Day names have to be right in form but are
 * not compared with the date. A leap second (:60) is the second after :59. Returns false for anything else. */
bool weft__date_parse(weft__span text, int64_t now, int64_t *seconds);

/* Write an IMF-fixdate, WEFT__DATE_LEN bytes and no NUL. Times outside the calendar's years give its first or last
 * second. */
void weft__date_format(int64_t seconds, char out[WEFT__DATE_LEN]);

/* Write the date of the common log format, WEFT__DATE_LOG_LEN bytes and no NUL, in UTC. Bounds as above. */
void weft__date_format_log(int64_t seconds, char out[WEFT__DATE_LOG_LEN]);

#endif
