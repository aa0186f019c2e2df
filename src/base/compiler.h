/* compiler.h - what we ask of the compiler, and which sanitizers it was asked for. */
#ifndef WEFT_BASE_COMPILER_H
#define WEFT_BASE_COMPILER_H

#include <stddef.h>
#include <stdint.h>

#define likely(x)               __builtin_expect(!!(x), 1)
#define unlikely(x)             __builtin_expect(!!(x), 0)
#define WEFT__NOINLINE          __attribute__((noinline))
#define WEFT__COLD              __attribute__((cold, noinline))
#define WEFT__PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define WEFT__CACHE_LINE        64
/* For variables that the handlers of fork write: together they lie in a page or two. Each page that either process
 * writes to after a fork is copied then, which takes about as long as three system calls. */
#define WEFT__FORK_PAGE __attribute__((section("weft_fork_page")))
/* For functions on the way of a child from its fork to its end, and for the handlers of fork, for the same reason: a
 * child begins without the pages of code that its parent has, and gets them back by the 64 KB around what it runs. */
#define WEFT__FORK_TEXT    __attribute__((section(".text.hot.weft_fork")))
#define WEFT__ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* Thread-locals of the library: initial-exec makes an access one instruction also in the shared library. A coroutine
 * never changes its thread once it has started, so the *address* may be cached across a switch; values that a switch
 * changes are re-read, because every switch is an opaque call. */
#define WEFT__TLS _Thread_local __attribute__((tls_model("initial-exec")))

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WEFT__ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define WEFT__TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) && !defined(WEFT__ASAN)
#define WEFT__ASAN 1
#endif
#if defined(__SANITIZE_THREAD__) && !defined(WEFT__TSAN)
#define WEFT__TSAN 1
#endif
#ifndef WEFT__ASAN
#define WEFT__ASAN 0
#endif
#ifndef WEFT__TSAN
#define WEFT__TSAN 0
#endif

#ifndef WEFT_JITTER
#define WEFT_JITTER 0
#endif

#if WEFT__TSAN
#define WEFT__NO_TSAN __attribute__((no_sanitize("thread")))
#else
#define WEFT__NO_TSAN
#endif

#endif
