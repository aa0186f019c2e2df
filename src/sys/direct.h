/* direct.h - system calls without the C library in between, for those that every round trip of a server makes, or
 * every new process.
 *
 * The library's functions are places where pthread_cancel may strike (weft cancels nobody there), so each asks first
 * whether there are other threads, and lies in pages that nothing else of ours uses: in the child of a fork, the first
 * call into sixteen such pages takes as long as ten system calls. Where a sanitizer must see the call (WEFT__DIRECT is
 * 0), or on other processors, the library makes it. */
#ifndef WEFT_SYS_DIRECT_H
#define WEFT_SYS_DIRECT_H

#include "base/compiler.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WEFT__DIRECT (!WEFT__ASAN && !WEFT__TSAN)

/* What the kernel says: a result, or -errno. Arguments are numbers or pointers. */
#define weft__direct(number, a, b, c, d, e, f)                                                                         \
    weft__direct6((number), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

#if WEFT__DIRECT && defined(__x86_64__) && !defined(__ILP32__)

static inline long weft__direct6(long number, long a, long b, long c, long d, long e, long f)
{
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

#elif WEFT__DIRECT && defined(__aarch64__)

static inline long weft__direct6(long number, long a, long b, long c, long d, long e, long f)
{
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    return x0;
}

#else

static inline long weft__direct6(long number, long a, long b, long c, long d, long e, long f)
{
    long result = syscall(number, a, b, c, d, e, f);
    return result < 0 ? -errno : result;
}

#endif

#endif
