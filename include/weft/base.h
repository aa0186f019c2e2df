/* weft/base.h - what every other header of weft leans on: export mark, deadlines, error texts, version.
 *
 * Errors.    A call returns 0 or a count on success and a negative errno value on failure (-ETIMEDOUT,
 *            -ECANCELED, -EPIPE for "closed", -EOWNERDEAD ...); results come out through a pointer. errno is
 *            never the answer; what it holds after a call means nothing. What cannot fail returns void.
 * Deadlines. Every call that may wait takes a weft_until as its last argument: an absolute point on
 *            CLOCK_MONOTONIC. Absolute, because waits sit in loops and deadlines come from outside: it is computed
 *            once and never adjusted. "Try once" is WEFT_NOW, "for ever" is WEFT_FOREVER; there are no try or timed
 *            twins.
 * Ties.      Woken beats cancelled beats deadline: a call that was given what it waited for reports success. */
#ifndef WEFT_BASE_H
#define WEFT_BASE_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define WEFT_API __attribute__((visibility("default")))
#else
#define WEFT_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define WEFT_VERSION_MAJOR 0
#define WEFT_VERSION_MINOR 1
#define WEFT_VERSION_PATCH 0
#define WEFT_VERSION       "0.1.0"

/* An absolute deadline. `at` is CLOCK_MONOTONIC in nanoseconds; at or below 0 is long past, INT64_MAX is never. */
typedef struct weft_until {
    int64_t at;
} weft_until;

#ifdef __cplusplus
#define WEFT_FOREVER (weft_until{INT64_MAX}) /* no deadline */
#define WEFT_NOW     (weft_until{0})         /* do not wait: what is not there at once is -ETIMEDOUT */
#else
#define WEFT_FOREVER ((weft_until){INT64_MAX}) /* no deadline */
#define WEFT_NOW     ((weft_until){0})         /* do not wait: what is not there at once is -ETIMEDOUT */
#endif

#define WEFT_US     INT64_C(1000)    /* a microsecond, in the nanoseconds that weft_in takes */
#define WEFT_MS     INT64_C(1000000) /* a millisecond */
#define WEFT_SECOND INT64_C(1000000000)

/* Errors that errno has no name for. Returned negative like all others; weft_strerror knows their texts. Far above
 * Linux's own, which end at 4095. "Closed" and "shut down" are -EPIPE everywhere. */
enum {
    WEFT_EEMPTY = 5001, /* a queue stayed empty until the deadline */
    WEFT_EFULL,         /* a queue stayed full until the deadline */
    WEFT_ESTARTED,      /* a thread can only be started once */
    WEFT_ENOTSTARTED,   /* a thread cannot be joined before it is started */
    WEFT_EINVALIDSTATE, /* a future has its outcome already */
    WEFT_EBROKEN,       /* the pool's initialiser failed */
    WEFT_EEOF,          /* all senders of a pipe are gone */
    WEFT_ECWD,          /* a program's working directory does not exist */
    WEFT_EEXIT,         /* a program failed */
    WEFT_ETHREADS,      /* the fork server cannot start while there are other threads */
    WEFT_EDIED,         /* the worker process that ran the job died */

    WEFT_ETRUNCATED = 5020, /* the peer ended in the middle of something: a frame, a TLS session */
    WEFT_ETLS,              /* TLS could not be agreed on, or was broken */
    WEFT_ECERTIFICATE,      /* the peer has no certificate that is trusted */
    WEFT_EHOSTNAME          /* the peer's certificate is for another host */
};

/* Flags for the `init` call of any lock, condition, semaphore, event, once or barrier. */
enum {
    WEFT_SHARED = 1, /* the object lies in memory shared between processes and works across them */
    WEFT_LOCK_HANDOFF =
        2 /* weft_lock, weft_rwlock: it is released by others than its taker, as a signal is; see weft/deadlock.h */
};

/* The deadline `ns` nanoseconds from now. A negative `ns` is a deadline already past; a sum beyond the clock's range is
 * WEFT_FOREVER. Call from: thread, coroutine, signal handler. Any number of callers at once. Allocates nothing. */
WEFT_API weft_until weft_in(int64_t ns);

/* The deadline `ms` milliseconds from now; otherwise as weft_in. */
WEFT_API weft_until weft_in_ms(int64_t ms);

/* The deadline `seconds` from now. NaN is WEFT_NOW. Otherwise as weft_in. */
WEFT_API weft_until weft_in_seconds(double seconds);

/* Nanoseconds left until `u`, 0 when it has passed, INT64_MAX for WEFT_FOREVER. Contexts as weft_in. */
WEFT_API int64_t weft_left(weft_until u);

/* The clock all deadlines are on, in nanoseconds. Contexts as weft_in. */
WEFT_API int64_t weft_now(void);

/* One line of text for a result of any call: takes -EPIPE as well as EPIPE. The text is static or belongs to the
 * calling thread until its next call. Call from: thread, coroutine; not from a signal handler. Allocates nothing. */
WEFT_API const char *weft_strerror(int err);

/* The version of the library at run time, "major.minor.patch"; WEFT_VERSION is that of the header. */
WEFT_API const char *weft_version(void);

#ifdef __cplusplus
}
#endif
#endif
