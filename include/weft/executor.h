/* weft/executor.h - pools that run jobs and give futures: one interface, several engines.
 *
 *     static int square(void *arg, void **result) { intptr_t n = (intptr_t)arg; *result = (void *)(n * n); return 0; }
 *     ...
 *     weft_executor *ex;
 *     int err = weft_thread_pool_new(&ex, &(weft_pool_options){.workers = 4});
 *     weft_future *f;
 *     err = weft_submit(ex, square, (void *)7, &f);
 *     void *result;
 *     err = weft_future_result(f, &result, WEFT_FOREVER);     // 49
 *     weft_future_unref(f);
 *     weft_executor_free(ex);                                 // finishes what was submitted, joins the workers
 *
 * Engines: threads (weft_thread_pool_new) for computing and for code that blocks; coroutines (weft_co_pool_new) for
 * thousands of jobs that wait.
 *
 * A job that waits for the future of another job of the same pool runs that job itself if it has not begun, so jobs may
 * submit jobs and wait for them in a pool of any size (coroutines do so only when no other worker is free). The inner
 * job then runs to its end, whatever the deadline of the wait. A job that submits to its own full pool does some of the
 * queue's work instead of waiting. One that ends its thread (pthread_exit) fails with -ECANCELED, and the thread is
 * replaced. In a child of fork the parent's pools take no jobs.
 *
 * Unless said otherwise: call from threads and coroutines, also from jobs, by any number of callers at once, not from
 * signal handlers. */
#ifndef WEFT_EXECUTOR_H
#define WEFT_EXECUTOR_H

#include <weft/future.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weft_executor weft_executor;

/* A job. Returns 0 and may store a result in *result (NULL before), or a negative errno value, which becomes the
 * future's error. */
typedef int weft_job_fn(void *arg, void **result);

/* What submit does when max_queued jobs wait. */
enum weft_when_full {
    WEFT_BLOCK = 0,   /* wait, until weft_job_options.until */
    WEFT_REFUSE,      /* return -WEFT_EFULL at once */
    WEFT_DROP_OLDEST, /* cancel the job that has waited longest, of the lowest priority */
    WEFT_CALLER_RUNS  /* run the job here and now, in the caller */
};

typedef struct weft_pool_options {
    unsigned workers;              /* the most that run at a time; 0 = min(32, processors + 4) for threads, 10,000 for
                                   coroutines */
    size_t max_queued;             /* jobs that wait while all workers are busy; 0 = no limit */
    enum weft_when_full full;      /* what happens beyond */
    int (*initializer)(void *arg); /* runs once in each worker before its first job; negative: the pool is broken */
    void *initializer_arg;
    const char *name;  /* workers are called "<name>-0", "<name>-1" ...; NULL = "pool" */
    size_t stack_size; /* of a worker; 0 = the engine's default */
    int waiters_help;  /* 1: whoever waits without a deadline for a job that has not begun runs it himself, not only
                          jobs of the pool: the cheapest for short jobs, which then run in other threads, too. Not with
                          an initializer */
} weft_pool_options;

/* Make a pool. Workers start on demand, and idle ones are used first; at most a million. `options` may be NULL. Returns
 * 0, -EINVAL or -ENOMEM. */
WEFT_API int weft_thread_pool_new(weft_executor **ex, const weft_pool_options *options);
WEFT_API int weft_co_pool_new(weft_executor **ex, const weft_pool_options *options);

typedef struct weft_job_options {
    int priority;        /* higher first; equal ones in the order they were submitted; 0 is usual */
    int64_t time_limit;  /* nanoseconds from its beginning; then it is asked to stop and its future gets -ETIMEDOUT at
                            once. 0 = none */
    weft_until start_by; /* not begun by then: the future gets -ETIMEDOUT. {0} = no such limit */
    weft_until until;    /* how long submit may wait for room (WEFT_BLOCK). {0} = for ever */
} weft_job_options;

/* Submit fn(arg). *f gets the future and one reference to it; f may be NULL when nobody asks for the outcome. Returns
 * 0, -WEFT_EFULL, -ETIMEDOUT (no room in time), -EPIPE (shut down), -WEFT_EBROKEN (the initialiser failed),
 * -ECANCELED (the caller) or -ENOMEM (also when there is no worker at all and none can be started). Allocates the job,
 * or reuses one. */
WEFT_API int weft_submit(weft_executor *ex, weft_job_fn *fn, void *arg, weft_future **f);
WEFT_API int weft_submit_with(weft_executor *ex, weft_job_fn *fn, void *arg, const weft_job_options *options,
                              weft_future **f);

/* Submit n jobs fn(args[i]) at one go: one wake for the batch. futures[i] gets a reference each; futures may be NULL.
 * Returns how many were taken, or an error as weft_submit when not one was. */
WEFT_API long weft_submit_many(weft_executor *ex, weft_job_fn *fn, void *const *args, size_t n, weft_future **futures);

/* ---- map: ordered results, with a bounded look-ahead ---- */

typedef struct weft_map weft_map;

typedef struct weft_map_options {
    size_t look_ahead; /* results that may be under way or waiting to be taken, but at least one chunk; 0 = two chunks
                          for each worker */
    size_t chunk;      /* inputs that one job does; 0 = 1 */
} weft_map_options;

/* Results of fn for each input that `next` gives, in the order of the inputs. next(arg, &input) stores an input and
 * returns 1, or returns 0 at the end, or a negative error, which the consumer gets after the results before it; it is
 * called in weft_map_new and weft_map_next. Returns 0, -EINVAL or -ENOMEM. */
WEFT_API int weft_map_new(weft_map **m, weft_executor *ex, weft_job_fn *fn, int (*next)(void *arg, void **input),
                          void *arg, const weft_map_options *options);

/* The next result. Returns 0; -ENODATA at the end; the job's error, after which the rest is cancelled and -ENODATA
 * follows; -ETIMEDOUT, which can be tried again; -ECANCELED (the caller). A full queue is waited for, in a pool that
 * refuses (-WEFT_EFULL, which can be tried again) only behind the map's own jobs. By one caller at a time. */
WEFT_API int weft_map_next(weft_map *m, void **result, weft_until until);

/* Cancel what has not begun, wait for what has, free. NULL is nothing. */
WEFT_API void weft_map_free(weft_map *m);

/* ---- the end ---- */

enum {
    WEFT_SHUTDOWN_WAIT = 1,  /* return when all jobs have ended and the workers are joined */
    WEFT_SHUTDOWN_CANCEL = 2 /* cancel the jobs that have not begun */
};

/* Take no more jobs; those that were taken are done, unless they are cancelled. `how` is 0 or some of the above.
 * Returns 0; -ETIMEDOUT or -ECANCELED: the wait ended, the shutdown goes on; -EINVAL; -EDEADLK with WEFT_SHUTDOWN_WAIT
 * from a job of this very pool: nothing has changed. May be called again, and by several. */
WEFT_API int weft_executor_shutdown(weft_executor *ex, int how, weft_until until);

/* Shut down, wait, free. Not from one of its jobs. NULL is nothing. At the end of the process pools that were not freed
 * first finish their jobs. */
WEFT_API void weft_executor_free(weft_executor *ex);

typedef struct weft_executor_info {
    const char *name;
    const char *engine; /* "threads" or "coroutines" */
    unsigned workers, workers_max, idle;
    size_t queued, running, finished;
} weft_executor_info;

/* A glance at it. */
WEFT_API void weft_executor_look(weft_executor *ex, weft_executor_info *info);

#ifdef __cplusplus
}
#endif
#endif
