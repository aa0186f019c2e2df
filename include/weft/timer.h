/* weft/timer.h - timers: a function is called later, once or again and again, until it is cancelled.
 *
 *     static void fire(weft_timer *t) { puts("ten seconds have passed"); }
 *     weft_timer t = WEFT_TIMER_INIT;
 *     weft_timer_start(&t, fire, weft_in_seconds(10), 0);
 *     ...
 *     weft_timer_cancel(&t);
 *
 * All timers of a process share one thread, and a million of them are as cheap to set as one. The function runs on that
 * thread: it must be short and must not wait; what takes longer starts a coroutine (weft_go) or submits a job. A timer
 * fires at its deadline or a little later, never before; those that are due together fire in the order of their
 * deadlines, and equal ones in the order in which a thread set them. The thread starts with the first timer and counts
 * as a daemon: timers that are still pending end with the process.
 *
 * A child of fork has no timer set: they fire in the parent. It may set the same ones, or others, for itself.
 *
 * Call from threads, coroutines and timers' functions, by any number of callers at once, not from signal handlers. The
 * memory of a timer is the caller's, and must stay until it has fired for the last time or was cancelled. */
#ifndef WEFT_TIMER_H
#define WEFT_TIMER_H

#include <weft/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weft_timer weft_timer;
typedef void weft_timer_fn(weft_timer *t);

/* A place in a timing wheel. Private. */
typedef struct weft__timer {
    struct weft__timer *next, **link; /* the slot's list; link is NULL when it is not set */
    int64_t at;
    void (*fire)(struct weft__timer *t);
    uint32_t order;
    uint16_t slot, epoch;
} weft__timer;

/* All zero is a timer that is not set. Private but for `arg`. */
struct weft_timer {
    void *arg; /* yours */
    weft_timer_fn *fn;
    int64_t period;
    weft__timer place;
};

#define WEFT_TIMER_INIT                                                                                                \
    {                                                                                                                  \
        NULL, NULL, 0,                                                                                                 \
        {                                                                                                              \
            NULL, NULL, 0, NULL, 0, 0, 0                                                                               \
        }                                                                                                              \
    }

/* Call fn(t) at `at`, and then every `period` nanoseconds (0: once). A timer that is pending is set anew. Points of a
 * period's row that passed while fn or the machine was busy are left out: the next call comes at the next point. `at`
 * in the past is at once, WEFT_FOREVER never. Returns 0, -EINVAL for a negative period, or -EAGAIN when the timer
 * thread cannot be started; then the timer is as it was. Allocates nothing but, the first time, that thread. */
WEFT_API int weft_timer_start(weft_timer *t, weft_timer_fn *fn, weft_until at, int64_t period);

/* Take it back. Returns 1 when it was pending and will not fire any more, 0 when it was not set or has fired. If fn is
 * running at this moment, waits for its end, also when the caller is cancelled, so that afterwards the memory may be
 * freed; only called by fn itself or by another timer's it does not wait. */
WEFT_API int weft_timer_cancel(weft_timer *t);

/* 1 while it is set and has not begun to fire for the last time, else 0. */
WEFT_API int weft_timer_pending(const weft_timer *t);

#ifdef __cplusplus
}
#endif
#endif
