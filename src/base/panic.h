/* panic.h - the end of a program that was misused, and the library's own log line. Both write to standard error with
 * one write(2), allocate nothing and are safe in a signal handler as far as vsnprintf is (no floating point, no
 * locale). */
#ifndef WEFT_BASE_PANIC_H
#define WEFT_BASE_PANIC_H

#include "base/compiler.h"

/* Print "weft: <sentence>" and abort. For a caller's mistake that no result could report (releasing a lock that is
 * not held), and for a broken invariant. The sentence says what and where, and what to do about it. */
_Noreturn WEFT__COLD void weft__panic(const char *fmt, ...) WEFT__PRINTF(1, 2);

/* Print "weft: <sentence>" and go on. */
WEFT__COLD void weft__warn(const char *fmt, ...) WEFT__PRINTF(1, 2);

#endif
