/* weft/future.h - a result that will be there later, and waiting for several of them.
 *
 * A future is pending, then running, then finished; or it is cancelled before it ran. weft_executor makes them (see
 * weft/executor.h); with weft_future_new you make your own and play the worker yourself.
 *
 * Lifetime: counted references. weft_future_new and submit give the caller one; weft_future_unref ends it. Whoever
 * still has to set the outcome holds one of his own.
 *
 * Unless said otherwise: call from threads and coroutines, by any number of callers at once, not from signal handlers.
 * Who learns that a future is done sees all that was written before its outcome was set. */
#ifndef WEFT_FUTURE_H
#define WEFT_FUTURE_H

#include <weft/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weft_future weft_future;

enum weft_future_state {
    WEFT_PENDING = 0,
    WEFT_RUNNING,
    WEFT_CANCELLED,
    WEFT_FINISHED
};

/* A pending future; the caller holds one reference. Returns 0 or -ENOMEM. */
WEFT_API int weft_future_new(weft_future **f);
WEFT_API weft_future *weft_future_ref(weft_future *f); /* one reference more; returns f */
WEFT_API void weft_future_unref(weft_future *f);       /* one less; the last frees it. NULL is nothing */

/* ---- for who waits ---- */

/* Wait until it is done (finished or cancelled). Returns 0, -ETIMEDOUT or -ECANCELED (the *caller* was cancelled). An
 * outcome that comes together with the deadline wins. A worker of a pool that waits (not with WEFT_NOW) for a job of
 * the same pool which has not begun runs it itself, and looks at its deadline again when that has ended. */
WEFT_API int weft_future_wait(weft_future *f, weft_until until);

/* Wait, then give the outcome: 0 and *result (may be NULL) for success; the job's own negative error; -ECANCELED for a
 * cancelled future; and -ETIMEDOUT or -ECANCELED when the wait itself ended so (weft_future_done tells them apart). */
WEFT_API int weft_future_result(weft_future *f, void **result, weft_until until);

/* The job's error without waiting: 0 for success or when it is not done, -ECANCELED for a cancelled one. */
WEFT_API int weft_future_error(const weft_future *f);

WEFT_API enum weft_future_state weft_future_state_of(const weft_future *f);
WEFT_API int weft_future_done(const weft_future *f);
WEFT_API int weft_future_running(const weft_future *f);
WEFT_API int weft_future_cancelled(const weft_future *f);

/* "<Future at 0x1ad918e1148 state=running>", cut to `size`. Returns buf. */
WEFT_API const char *weft_future_text(const weft_future *f, char *buf, size_t size);

/* Cancel it if it has not begun: waiters get -ECANCELED. Returns 1 when it is cancelled now (or was before), 0 when it
 * is running or finished, which changes nothing. */
WEFT_API int weft_future_cancel(weft_future *f);

/* The same, and if it is running ask its job to stop, cooperatively: its present wait and those that follow, until it
 * sets the outcome, return -ECANCELED. Returns as weft_future_cancel. */
WEFT_API int weft_future_stop(weft_future *f);

/* Call fn(f, arg) once it is done, in the worker that completes it, callbacks in the order they were added; at once, in
 * the caller, when it is done already. fn may add callbacks, submit jobs and drop references, and should not wait long.
 * A negative return is reported by one line on stderr (or weft_future_on_callback_error) and stops nothing. Returns 0
 * or -ENOMEM. */
typedef int weft_future_fn(weft_future *f, void *arg);
WEFT_API int weft_future_add_callback(weft_future *f, weft_future_fn *fn, void *arg);
WEFT_API void weft_future_on_callback_error(void (*fn)(weft_future *f, int error));

/* ---- for who works; a pool's futures are set by their pool: -WEFT_EINVALIDSTATE for everybody else ---- */

/* Begin: 1, it is running now; 0, it was cancelled: do not do the work. -WEFT_EINVALIDSTATE: it was begun before. */
WEFT_API int weft_future_begin(weft_future *f);

/* Set the outcome: a result, or a negative error (else -EINVAL). Returns 0, or -WEFT_EINVALIDSTATE when there is one
 * already (the first stays). Wakes all waiters and runs the callbacks. Begin need not have been called. What the result
 * points to is the caller's affair: the future never frees it. */
WEFT_API int weft_future_set_result(weft_future *f, void *result);
WEFT_API int weft_future_set_error(weft_future *f, int error);

/* ---- several ---- */

enum weft_wait_for {
    WEFT_ALL_DONE = 0,
    WEFT_FIRST_DONE, /* finished or cancelled */
    WEFT_FIRST_ERROR /* a finished one with an error; or all done */
};

/* Wait until enough of the n futures are done. Returns how many are done now (all that are, not only the first), and
 * moves them to the front of the array in their order, the others behind in theirs; -ECANCELED (the caller); or -ENOMEM
 * (it allocates only to wait for the first of more than 16). A deadline is no error: it returns how many there are by
 * then. Doubles count once each time they stand in the array. */
WEFT_API long weft_futures_wait(weft_future **futures, size_t n, enum weft_wait_for what, weft_until until);

/* The futures of a set one after the other, as they are done: first those that are already. */
typedef struct weft_completions weft_completions;

/* Takes a reference to each of the n futures; one that stands twice is given once. Returns 0 or -ENOMEM. */
WEFT_API int weft_completions_new(weft_completions **c, weft_future *const *futures, size_t n);

/* The next one, with its reference, which is now the caller's, in *f. Returns 0, -ENODATA when all have been given,
 * -ETIMEDOUT (weft_completions_left tells how many are unfinished) or -ECANCELED (the caller). */
WEFT_API int weft_completions_next(weft_completions *c, weft_future **f, weft_until until);
WEFT_API size_t weft_completions_left(const weft_completions *c);
WEFT_API void weft_completions_free(weft_completions *c); /* NULL is nothing */

#ifdef __cplusplus
}
#endif
#endif
