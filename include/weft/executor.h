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
 * thousands of jobs that wait; processes (weft/process_pool.h) for code that may crash or must be ended by force. A job
 * over bytes (weft_submit_bytes) runs on all of them.
 *
 * A job that waits for the future of another job of the same pool runs that job itself if it has not begun, so jobs may
 * submit jobs and wait for them in a pool of any size (coroutines do so only when no other worker is free). The inner
 * job then runs to its end, whatever the deadline of the wait. A job that submits to its own full pool does some of the
 * queue's work instead of waiting. One that ends its thread (pthread_exit) fails with -ECANCELED, and is replaced; one
 * that calls exit fails, too, and all others are done first. In a child of fork the parent's pools take no jobs.
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
    int64_t idle_time; /* a worker that has had no job for so many nanoseconds ends; negative = never; 0 = a minute for
                          threads, never for coroutines */
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
    /* A job over bytes that tells how far it is (weft_reply_progress): called in its worker, or, for processes, in a
     * thread of the pool in this process, and then perhaps only with the latest of several. */
    void (*progress)(weft_future *f, uint64_t done, uint64_t total, void *arg);
    void *progress_arg;
} weft_job_options;

/* Submit fn(arg). *f gets the future and one reference to it; f may be NULL when nobody asks for the outcome. Returns
 * 0, -WEFT_EFULL, -ETIMEDOUT (no room in time), -EPIPE (shut down), -WEFT_EBROKEN (the initialiser failed), -ECANCELED
 * (the caller), -ENOMEM (also when there is no worker at all and none can be started), or -ENOTSUP: a pool of processes
 * takes jobs over bytes. Allocates the job, or reuses one. A job that was accepted is cancelled if the pool has no
 * worker, and the one that was just being started for another job could not be. */
WEFT_API int weft_submit(weft_executor *ex, weft_job_fn *fn, void *arg, weft_future **f);
WEFT_API int weft_submit_with(weft_executor *ex, weft_job_fn *fn, void *arg, const weft_job_options *options,
                              weft_future **f);

/* Submit n jobs fn(args[i]) at one go: one wake for the batch. futures[i] gets a reference each; futures may be NULL.
 * Returns how many were taken, or an error as weft_submit when not one was. */
WEFT_API long weft_submit_many(weft_executor *ex, weft_job_fn *fn, void *const *args, size_t n, weft_future **futures);

/* ---- jobs over bytes: the same function runs in threads, coroutines and processes ---- */

typedef struct weft_bytes {
    const void *data;
    size_t size;
} weft_bytes;

/* Where a job over bytes puts its answer. */
typedef struct weft_reply weft_reply;

/* A job over bytes: reads `size` bytes at `in`, which are there until it returns and aligned for any type, and puts its
 * answer into `reply`. Returns 0, or a negative errno value, and then the answer is dropped. */
typedef int weft_bytes_fn(const void *in, size_t size, weft_reply *reply);

/* For the job, in it: append to the answer. grow gives the place to fill, valid until the next append, or NULL. put
 * returns 0; -ENOMEM; -EMSGSIZE above the pool's message_limit. */
WEFT_API int weft_reply_put(weft_reply *reply, const void *data, size_t size);
WEFT_API void *weft_reply_grow(weft_reply *reply, size_t size);

/* Fail with words that weft_future_why gives to who waits; returns `error`, so that the job can return that. */
__attribute__((format(printf, 3, 4))) WEFT_API int weft_reply_fail(weft_reply *reply, int error, const char *format,
                                                                   ...);

/* Tell weft_job_options.progress how far it is. */
WEFT_API void weft_reply_progress(weft_reply *reply, uint64_t done, uint64_t total);

/* Submit fn over a copy of the bytes; otherwise as weft_submit_with (options may be NULL), and -EMSGSIZE above the
 * pool's message_limit. */
WEFT_API int weft_submit_bytes(weft_executor *ex, weft_bytes_fn *fn, const void *in, size_t size,
                               const weft_job_options *options, weft_future **f);

/* n of them at one go, as weft_submit_many. */
WEFT_API long weft_submit_bytes_many(weft_executor *ex, weft_bytes_fn *fn, const weft_bytes *in, size_t n,
                                     weft_future **futures);

/* Wait as weft_future_result, and give the answer, which the future owns: it is there as long as you have a reference
 * to it. out may be NULL. -EINVAL: not a job over bytes. */
WEFT_API int weft_future_bytes(weft_future *f, weft_bytes *out, weft_until until);

/* Why it failed, in words: the job's own (weft_reply_fail), or its pool's ("worker 3 (pid 812) died: SIGKILL"), or else
 * weft_strerror of its error. "" when it succeeded or is not done. Valid as the answer is, or until the next call. */
WEFT_API const char *weft_future_why(const weft_future *f);

/* ---- map: ordered results, with a bounded look-ahead ---- */

typedef struct weft_map weft_map;

typedef struct weft_map_options {
    size_t look_ahead; /* results that may be under way or waiting to be taken, but at least one chunk; 0 = two chunks
                          for each worker */
    size_t chunk;      /* inputs that one job does; 0 = 1 */
    int unordered;     /* 1: results as they come, not in the order of their inputs; weft_bytes_map only */
} weft_map_options;

/* Results of fn for each input that `next` gives, in the order of the inputs. next(arg, &input) stores an input and
 * returns 1, or returns 0 at the end, or a negative error, which the consumer gets after the results before it; it is
 * called in weft_map_new and weft_map_next. Returns 0, -EINVAL, -ENOTSUP (a pool of processes) or -ENOMEM. */
WEFT_API int weft_map_new(weft_map **m, weft_executor *ex, weft_job_fn *fn, int (*next)(void *arg, void **input),
                          void *arg, const weft_map_options *options);

/* The next result. Returns 0; -ENODATA at the end; the job's error, after which the rest is cancelled and -ENODATA
 * follows; -ETIMEDOUT, which can be tried again; -ECANCELED (the caller). A full queue is waited for, in a pool that
 * refuses (-WEFT_EFULL, which can be tried again) only behind the map's own jobs. By one caller at a time. */
WEFT_API int weft_map_next(weft_map *m, void **result, weft_until until);

/* Cancel what has not begun, wait for what has, free. NULL is nothing. */
WEFT_API void weft_map_free(weft_map *m);

/* The same over bytes, for every engine; next's input is copied at once. With `unordered`, a chunk's results stay
 * together. A result is valid until the next call of
 * weft_bytes_map_next or _free. weft_bytes_map_why is weft_future_why of the job that failed. */
typedef struct weft_bytes_map weft_bytes_map;
WEFT_API int weft_bytes_map_new(weft_bytes_map **m, weft_executor *ex, weft_bytes_fn *fn,
                                int (*next)(void *arg, weft_bytes *input), void *arg, const weft_map_options *options);
WEFT_API int weft_bytes_map_next(weft_bytes_map *m, weft_bytes *result, weft_until until);
WEFT_API const char *weft_bytes_map_why(const weft_bytes_map *m);
WEFT_API void weft_bytes_map_free(weft_bytes_map *m);

/* ---- the end ---- */

enum {
    WEFT_SHUTDOWN_WAIT = 1,   /* return when all jobs have ended and the workers are joined */
    WEFT_SHUTDOWN_CANCEL = 2, /* cancel the jobs that have not begun */
    WEFT_SHUTDOWN_KILL = 4    /* the same, and kill the workers: jobs that run get -ECANCELED. Processes only */
};

/* Take no more jobs; those that were taken are done, unless they are cancelled. `how` is 0 or some of the above.
 * Returns 0; -ETIMEDOUT or -ECANCELED: the wait ended, the shutdown goes on; -EINVAL, also for KILL where workers
 * are no processes; -EDEADLK with WEFT_SHUTDOWN_WAIT from a job of this very pool: nothing has changed. May be called
 * again, and by several. */
WEFT_API int weft_executor_shutdown(weft_executor *ex, int how, weft_until until);

/* Shut down, wait, free. Not from one of its jobs. NULL is nothing. At the end of the process pools that were not freed
 * first finish their jobs. */
WEFT_API void weft_executor_free(weft_executor *ex);

typedef struct weft_executor_info {
    const char *name;
    const char *engine; /* "threads", "coroutines" or "processes" */
    unsigned workers, workers_max, idle;
    size_t queued, running, finished;
} weft_executor_info;

/* A glance at it. */
WEFT_API void weft_executor_look(weft_executor *ex, weft_executor_info *info);

#ifdef __cplusplus
}
#endif
#endif
