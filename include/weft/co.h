/* weft/co.h - coroutines: as cheap as a function call to switch, a few kilobytes to park, written in blocking style.
 *
 *     static int greet(void *arg) { weft_sleep(weft_in_ms(10)); puts(arg); return 0; }
 *     ...
 *     weft_co *co;
 *     int err = weft_co_start(&co, greet, "hello", NULL);
 *     if (err == 0)
 *         err = weft_co_join(co, NULL, WEFT_FOREVER);
 *
 * Scheduler threads, one a processor this process may use, start at the first coroutine. A coroutine that has started
 * stays on its thread, so thread-locals stay what they were; one that has not started yet may be taken by an idle
 * thread. There is no preemption: a coroutine that computes for long should weft_yield() now and then, and work that
 * blocks its thread (files, foreign libraries) goes through weft_blocking(). Every wait of weft (locks, queues,
 * descriptors, sleeps) parks the coroutine and never its thread.
 *
 * Unless its comment says otherwise, a call here may be made from any thread and any coroutine of the process, by any
 * number of callers at once, and not from a signal handler. After fork() the child has no coroutines; the first call
 * starts afresh there. */
#ifndef WEFT_CO_H
#define WEFT_CO_H

#include <weft/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weft_co weft_co;

/* What a coroutine runs. Its result goes to the joiner: 0 or a positive value of your own, a negative errno value for
 * failure. */
typedef int weft_co_fn(void *arg);

typedef struct weft_co_options {
    const char *name;  /* copied, first 31 bytes; shown in reports. NULL = "co-N" */
    size_t stack_size; /* bytes of stack, rounded up to a size class; 0 = 64 KiB. At most 64 MiB */
} weft_co_options;

/* Have at most n scheduler threads instead of one for each processor that this process may use (or what the environment
 * variable WEFT_THREADS says). They start one by one, as work appears. Call it before the first coroutine; later the
 * number can only grow. Returns 0, -EINVAL for 0 or more than 1024, or -EBUSY when more are running. Allocates nothing.
 */
WEFT_API int weft_co_threads(unsigned n);

/* Start a coroutine that nobody joins; its result is dropped. Started by a coroutine it runs once that one waits or
 * yields, on the same scheduler thread, unless a thread with nothing to do takes it first; started by a thread, on any.
 * Returns 0, or -ENOMEM: no memory, no thread could be started at all, or memory for stacks has run out and coroutines
 * that were accepted before already wait for some. A stack is taken when it first runs; should there be none then, it
 * waits until another coroutine of its thread has ended, and only if none is left does it end with the result -ENOMEM
 * without having run. Allocates its record, or reuses one. */
WEFT_API int weft_go(weft_co_fn *fn, void *arg);

/* Start a coroutine and store its handle, which weft_co_join or weft_co_detach must end. `options` may be NULL.
 * Returns 0, -ENOMEM, or -EINVAL for a stack size out of range; *co is untouched on failure. */
WEFT_API int weft_co_start(weft_co **co, weft_co_fn *fn, void *arg, const weft_co_options *options);

/* Wait until `co` has ended, store its result in *result (which may be NULL) and end the handle.
 * Returns 0, -ETIMEDOUT or -ECANCELED (the *caller* was cancelled) with the handle still valid, or -EDEADLK when a
 * coroutine joins itself. An end that comes together with the deadline wins. One joiner a handle. Allocates nothing. */
WEFT_API int weft_co_join(weft_co *co, int *result, weft_until until);

/* End the handle without waiting; the coroutine goes on and its result is dropped. */
WEFT_API void weft_co_detach(weft_co *co);

/* Ask `co` to stop: its present wait, or else its next one, and every one after it returns -ECANCELED, except in
 * weft_lock_acquire and other calls that cannot be refused, and while it is shielded. Cooperative: it runs on until it
 * returns. Does not wait. Asking twice is asking once. */
WEFT_API void weft_co_cancel(weft_co *co);

/* The calling coroutine; NULL when a thread calls. Allocates nothing. */
WEFT_API weft_co *weft_co_self(void);

/* The name of `co`, or "" for NULL. Valid as long as the handle. */
WEFT_API const char *weft_co_name(const weft_co *co);

/* Let the other coroutines of this thread that are ready run first; in a thread, sched_yield(). Never fails. */
WEFT_API void weft_yield(void);

/* Sleep until `until`. Returns 0 at the deadline, or -ECANCELED. From a thread or a coroutine. */
WEFT_API int weft_sleep(weft_until until);

/* 1 when the caller (thread or coroutine) has been asked to stop and is not shielded, else 0. */
WEFT_API int weft_cancelled(void);

/* While the shield is up, the caller's waits are not cut short by cancellation: for clean-up code that must wait. Takes
 * 1 or 0 and returns what it was, so that shields nest: `int was = weft_shield(1); ...; weft_shield(was);` */
WEFT_API int weft_shield(int up);

/* Run fn(arg) where blocking does no harm and return its result: on a helper thread while this coroutine waits, or,
 * when a thread calls, directly. Not cut short by cancellation: fn has begun and owns its argument. At most 64 at a
 * time, the rest wait their turn. Returns what fn returned, or -ENOMEM when no helper thread could be started at all.
 */
WEFT_API int weft_blocking(weft_co_fn *fn, void *arg);

#ifdef __cplusplus
}
#endif
#endif
