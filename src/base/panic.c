/* panic.c - one line to standard error, and the end. See panic.h. */
#include "base/panic.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void say(const char *fmt, va_list args)
{
    char line[512];
    int n = snprintf(line, sizeof line, "weft: ");
    int m = vsnprintf(line + n, sizeof line - (size_t)n - 1, fmt, args);
    n += m < 0 ? 0 : m;
    if (n > (int)sizeof line - 2)
        n = (int)sizeof line - 2;
    line[n++] = '\n';
    ssize_t done = write(STDERR_FILENO, line, (size_t)n);
    (void)done; /* nobody left to tell */
}

void weft__panic(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    say(fmt, args);
    va_end(args);
    abort();
}

void weft__warn(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    say(fmt, args);
    va_end(args);
}
