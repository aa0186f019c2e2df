/* sched.h - what other layers may ask of the scheduler beyond weft/co.h: pinned starts, timers, calls on another
 * scheduler's thread, its poller.
 *
 * A *scheduler* is one thread with a run queue, a timing wheel and, once io asked for it, a poller. Its code runs
 * either in a coroutine or on the thread's own stack; poller callbacks, timers and calls run on the latter: there
 * weft__self() is a waiter that panics when it must sleep, so an uncontended lock may be taken and nothing may be
 * waited for.
 *
 * "Here" means the calling scheduler thread, in a coroutine or on its own stack. */
#ifndef WEFT_CO_SCHED_H
#define WEFT_CO_SCHED_H

#include <weft/co.h>

#include "co/timer.h"
#include "park/waiter.h"

typedef struct weft__sched weft__sched;

extern WEFT__TLS weft__sched *weft__sched_self; /* NULL on threads that are no scheduler */

/* How many scheduler threads there may be: WEFT_THREADS, weft_co_threads or the processors. Not all need have started.
 */
unsigned weft__sched_count(void);

/* 0 ... count - 1 of the calling scheduler thread, or WEFT__SCHED_APART; -1 elsewhere. */
int weft__sched_index(void);

/* A scheduler beyond those, of which there is one at most (host.h). It runs what is pinned to it, and nothing else:
 * coroutines that are started on it without being pinned run on the others. */
enum {
    WEFT__SCHED_APART = 1024
};

/* ---- starting ---- */

/* As weft_co_start, but the coroutine is pinned to scheduler `index` from the beginning and is never stolen. Starts the
 * thread when it has not been started yet. co may be NULL: nobody joins it. From any thread.
 * 0, -EINVAL for an index or stack size out of range, -ENOMEM, -EAGAIN when the thread cannot be started. */
int weft__co_start_on(unsigned index, weft_co **co, weft_co_fn *fn, void *arg, const weft_co_options *options);

/* Start one here, pinned, nobody joins it: the cheapest start there is, no atomic operation. It goes behind what is
 * ready now. From coroutines, poller callbacks, timers and calls of a scheduler thread. 0, -EINVAL, -ENOMEM. */
int weft__co_start_here(weft_co_fn *fn, void *arg, const weft_co_options *options);

/* In two steps, for who must know the handle before the coroutine can run: new makes it (detached: nobody joins it),
 * launch hands it to the scheduler as weft_go does. Between the two it may be cancelled and named as the argument of
 * anything. A coroutine that is made must be launched. */
int weft__co_new(weft_co **co, weft_co_fn *fn, void *arg, const weft_co_options *options);
void weft__co_launch(weft_co *co);

/* The id of the coroutine at `co` if it runs fn(arg), else 0; co may be an address that is no coroutine any more or
 * never was. For reports. */
uint32_t weft__co_that_runs(const weft_co *co, weft_co_fn *fn, const void *arg);

/* The waiter of a coroutine. */
weft__waiter *weft__co_waiter(weft_co *co);

/* ---- timers, here only ---- */

/* Call t->fire(t) here, on the scheduler's own stack, once `at` has come. See timer.h. */
void weft__timer_set(weft__timer *t, int64_t at);
void weft__timer_cancel(weft__timer *t);

/* ---- calls ---- */

/* A call on a scheduler's thread: in the caller's memory until fn is called. fn may free or post it again. */
typedef struct weft__call {
    struct weft__call *next;
    void (*fn)(struct weft__call *call); /* on that scheduler's own stack: must not park */
} weft__call;

/* Call call->fn(call) on the thread of scheduler `index`, soon. From any thread. Calls from one thread keep their
 * order. The thread must have started: an index that weft__sched_index gave. */
void weft__sched_call(unsigned index, weft__call *call);

/* ---- what belongs to a thread ---- */

/* Callbacks and pinned coroutines of one scheduler thread may share plain data: they run one after the other. A
 * coroutine that is not pinned and uses such data without waiting in between (the slots of its thread's poller, say)
 * puts these two around it. They cost nothing; a build with ThreadSanitizer is told by them. */
void weft__thread_enter_slow(void);
void weft__thread_leave_slow(void);

static inline void weft__thread_enter(void)
{
    if (WEFT__TSAN)
        weft__thread_enter_slow();
}

static inline void weft__thread_leave(void)
{
    if (WEFT__TSAN)
        weft__thread_leave_slow();
}

/* ---- poller ---- */

/* The poller of this scheduler thread, opened by weft__idler_ops at the first call; from then on the thread sleeps in
 * it. 0, -ENOTSUP on a thread that is no scheduler or when no idler is registered, or what open returned. */
int weft__sched_poller(void **poller);

/* For weft__idler_ops->poll, after it slept and before it makes callbacks: this thread is awake, so that nobody
 * interrupts it for nothing. Costs one exchange if it was asleep. */
void weft__sched_awake(void);

#endif
