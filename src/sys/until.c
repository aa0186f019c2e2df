/* until.c - deadlines, error texts and the version: the public calls of weft/base.h. They sit in sys because they read
 * the clock, which a test may shift. */
#include <weft/base.h>

#include "sys/sys.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#if WEFT__TSAN
uint32_t weft__tsan_fence_word;
#endif

int64_t weft_now(void)
{
    return weft__sys_now();
}

weft_until weft_in(int64_t ns)
{
    int64_t at;
    if (__builtin_add_overflow(weft__sys_now(), ns, &at))
        return ns > 0 ? WEFT_FOREVER : WEFT_NOW;
    return (weft_until){at};
}

weft_until weft_in_ms(int64_t ms)
{
    int64_t ns;
    if (__builtin_mul_overflow(ms, WEFT_MS, &ns))
        return ms > 0 ? WEFT_FOREVER : WEFT_NOW;
    return weft_in(ns);
}

weft_until weft_in_seconds(double seconds)
{
    if (isnan(seconds) || seconds <= 0)
        return WEFT_NOW;
    double ns = seconds * 1e9;
    return ns >= 9.2e18 ? WEFT_FOREVER : weft_in((int64_t)ns);
}

int64_t weft_left(weft_until u)
{
    if (u.at == INT64_MAX)
        return INT64_MAX;
    int64_t now = weft__sys_now();
    return u.at > now ? u.at - now : 0;
}

const char *weft_strerror(int err)
{
    static const char *const own[] = {
        [0] = "The queue is empty",
        [WEFT_EFULL - WEFT_EEMPTY] = "The queue is full",
        [WEFT_ESTARTED - WEFT_EEMPTY] = "A thread can only be started once",
        [WEFT_ENOTSTARTED - WEFT_EEMPTY] = "A thread cannot be joined before it is started",
        [WEFT_EINVALIDSTATE - WEFT_EEMPTY] = "The future has its outcome already",
        [WEFT_EBROKEN - WEFT_EEMPTY] = "The initialiser of the pool failed",
        [WEFT_EEOF - WEFT_EEMPTY] = "All senders are gone",
        [WEFT_ECWD - WEFT_EEMPTY] = "The working directory does not exist or cannot be entered",
        [WEFT_EEXIT - WEFT_EEMPTY] = "The program failed",
        [WEFT_ETHREADS - WEFT_EEMPTY] = "The fork server must start before there are other threads",
        [WEFT_EDIED - WEFT_EEMPTY] = "The worker process that ran the job died",
        [WEFT_ETRUNCATED - WEFT_EEMPTY] = "The other end stopped in the middle",
        [WEFT_ETLS - WEFT_EEMPTY] = "TLS could not be agreed on or was broken",
        [WEFT_ECERTIFICATE - WEFT_EEMPTY] = "The certificate of the other end is not trusted",
        [WEFT_EHOSTNAME - WEFT_EEMPTY] = "The certificate of the other end is for another host",
    };
    static WEFT__TLS char text[128];
    err = err < 0 ? -err : err;
    if (err >= WEFT_EEMPTY && err - WEFT_EEMPTY < (int)WEFT__ARRAY_LEN(own) && own[err - WEFT_EEMPTY] != NULL)
        return own[err - WEFT_EEMPTY];
    if (err == ETIMEDOUT)
        return "Timed out"; /* a lock or a program, too: not only what errno's text says, a connection */
    return strerror_r(err, text, sizeof text);
}

const char *weft_version(void)
{
    return WEFT_VERSION;
}
