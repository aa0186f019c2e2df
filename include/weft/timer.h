/* weft/timer.h - timers: a function is called later, once or again and again, until it is cancelled.
 *
 *     static void fire(weft_timer *t) { puts("ten seconds have passed"); }
 *     weft_timer t = WEFT_TIMER_INIT;
 *     weft_timer_start(&t, fire, weft_in_seconds(10), 0);
 *     ...
 *     weft_timer_cancel(&t);
 *
 * All timers of a process share one thread and one timing wheel, so a million of them are as cheap to set as one. The
 * function runs on that thread: it must be short and must not wait; what takes longer starts a coroutine (weft_go) or
 * submits a job. A timer fires at its deadline or a little later, never before. The thread starts with the first timer
 * and counts as a daemon: timers that are still pending end with the process.
 *
 * Call from threads and coroutines, by any number of callers at once, not from signal handlers. The memory of a timer
 * is the caller's, and must stay until it has fired for the last time or was cancelled. */
#ifndef WEFT_TIMER_H
#define WEFT_TIMER_H

#include <weft/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weft_timer weft_timer;
typedef void weft_timer_fn(weft_timer *t);

/* All zero is a timer that is not set. Private but for `arg`, which is yours. */
struct weft_timer {
    void *arg; /* yours */
    struct weft_timer *next, **link;
    weft_timer_fn *fn;
    int64_t at;
    int64_t period;
    uint32_t state; /* atomic */
    uint32_t slot;
};

#define WEFT_TIMER_INIT                                                                                                \
    {                                                                                                                  \
        NULL, NULL, NULL, NULL, 0, 0, 0, 0                                                                             \
    }

/* Call fn(t) at `at`, and then every `period` nanoseconds (0: once). A timer that is pending is set anew. Periods that
 * passed while fn or the machine was busy are not made up for one by one: the next call comes at the next point of the
 * row. Returns 0, -EINVAL for a negative period, or -EAGAIN when the timer thread cannot be started. Allocates nothing.
 */
WEFT_API int weft_timer_start(weft_timer *t, weft_timer_fn *fn, weft_until at, int64_t period);

/* Take it back. Returns 1 when it was pending and will not fire any more, 0 when it was not set or has fired. If fn is
 * running on the timer thread at this moment, waits for its end (unless fn itself is the caller), so that afterwards
 * the memory may be freed. */
WEFT_API int weft_timer_cancel(weft_timer *t);

/* 1 while it is set and has not fired for the last time. */
WEFT_API int weft_timer_pending(const weft_timer *t);

#ifdef __cplusplus
}
#endif
#endif
