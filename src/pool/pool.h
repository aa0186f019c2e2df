/* pool.h - what the engines and the common part of the pools know of each other.
 *
 * P1  an executor's memory is never returned, but kept for the next pool: who comes late (a canceller, a report) finds
 *     a backlog whose lock it can take, and then that its job is not there.
 * P2  `alive` counts the workers from before their start until they have moved to `ended`; when it is 0 and the backlog
 *     is closed and empty, nobody works for the pool any more, and `ended` are to be joined. A worker that ends joins
 *     those that have ended before it, so that only one is left to be joined when all end for want of jobs.
 * P3  a job's future has one reference of the queue's until the job was taken out, then its runner's.
 * Lock order: reaping, pools_lock, lock; the last two are leaves but for each other. */
#ifndef WEFT_POOL_POOL_H
#define WEFT_POOL_POOL_H

#include <weft/co.h>
#include <weft/executor.h>
#include <weft/lock.h>
#include <weft/thread.h>
#include <weft/timer.h>

#include "base/list.h"
#include "flow/future.h"
#include "pool/backlog.h"

enum {
    WEFT__POOL_NAME = 32,
    WEFT__WORKERS_MAX = 1 << 20
};

/* The times of a job that has some. A timer holds a reference to the future while it is set. */
typedef struct weft__limits {
    weft_timer begin, end;
    int64_t start_by; /* 0: none */
    int64_t time_limit;
} weft__limits;

/* A job that is running in a worker, or inside another one that waits for it. Not on the runner's stack: a thread
 * that a job ends has lost that by the time its jobs are looked after. */
typedef struct weft__frame {
    struct weft__frame *outer;
    struct weft__job *job;
    bool owned; /* the queue's reference is the runner's */
} weft__frame;

/* In the ring's usual course a worker touches only the future, so only that one's line goes from cache to cache. */
typedef struct weft__job {
    _Alignas(WEFT__CACHE_LINE) weft_future future; /* first */
    weft__item item;
    weft__limits *limits;     /* NULL: none */
    struct weft__task *bytes; /* NULL: not a job over bytes */
    weft__frame inner;        /* while it runs inside another job of its worker */
} weft__job;

typedef struct weft__worker {
    weft__list link; /* ex->working, ex->ended */
    weft_executor *ex;
    weft__frame *frame; /* innermost: a job's inner, or first */
    weft__frame first;  /* of the job that it took out of the queue */
    uint64_t finished;  /* atomic: jobs */
    uint32_t waiter;    /* atomic: its waiter's id; 0 until it runs */
    uint32_t launched;  /* atomic: who started it is through with it */
    unsigned index;
    union {
        weft_thread thread;
        weft_co *co;
    };
} weft__worker;

typedef struct weft__engine {
    const char *name;
    unsigned (*workers)(void);     /* how many when the options do not say */
    int64_t idle_time;             /* the same of how long one keeps an idle worker; 0: for ever */
    int (*start)(weft__worker *w); /* have weft__pool_work(w) run by a new thread or coroutine; 0 or an error */
    void (*join)(weft__worker *w); /* it is about to end: wait for that */
    unsigned jobs_before_yield;    /* 0: never */
    bool threads;                  /* a worker is a thread of its own */
    bool helps_always;             /* a worker that waits for a job runs it itself, also if others could */
    uint32_t spins;                /* looks of an idle worker before it sleeps */
    void (*pause)(void);           /* between two of them; NULL: a moment, and only with several processors */

    /* Workers that are not in this process (process_pool.c); NULL: they are, and start and join are used. */
    void (*kick)(struct weft_executor *ex); /* there are new jobs */
    void (*end)(struct weft_executor *ex, bool kill);
    void (*look)(struct weft_executor *ex, struct weft_executor_info *info);
} weft__engine;

extern const weft__engine weft__thread_engine, weft__co_engine, weft__process_engine;

struct weft_executor {
    weft__backlog backlog;

    weft__future_ops ops; /* its jobs' futures lead back to it by this */
    const weft__engine *engine;
    int (*initializer)(void *arg);
    void *initializer_arg;
    size_t stack_size;
    enum weft_when_full full;
    unsigned workers_max;
    uint32_t epoch; /* which process, counted by forks, it belongs to */
    bool waiters_help;
    uint32_t broken; /* atomic */
    char name[WEFT__POOL_NAME];

    weft__rawlock lock;
    weft__list working, ended;
    uint64_t finished;           /* jobs of workers that are no more */
    uint64_t finished_elsewhere; /* atomic: jobs of no worker */
    unsigned started;            /* workers so far */
    uint32_t alive;              /* atomic; a word to sleep on */
    uint32_t stale;              /* atomic: jobs that stand in the ring and are done */
    weft_lock reaping;
    struct weft__crew *crew; /* of the process engine; kept like the rest (P1) */
    weft__list all;          /* of all pools */
};

extern uint32_t weft__pools_epoch; /* atomic: counts forks */

/* It is the pool of a process of which this one is a child. */
static inline bool weft__pool_inherited(const weft_executor *ex)
{
    return unlikely(ex->epoch != load_relaxed(&weft__pools_epoch));
}

/* What a worker does from its beginning to its end. */
void weft__pool_work(weft__worker *w);

/* "<name>-<index>" */
void weft__pool_worker_name(const weft__worker *w, char *buf, size_t size);

/* The pool that the calling thread or coroutine works for, NULL when it is no worker. */
weft__worker *weft__pool_me(void);

/* ---- executor.c ---- */

/* A pool without workers yet. */
int weft__pool_make(weft_executor **out, const weft__engine *engine, const weft_pool_options *options);

/* Put a job in and have it done; a job that is not accepted is freed. 0 or as weft_submit_with. */
int weft__pool_submit(weft_executor *ex, weft__job *j, const weft_job_options *options, weft_future **f);

/* Put n jobs in, the i-th made by make(ex, set, i, refs, &job), which returns 0 or an error, and tell of the first and
 * of the rest. Returns as weft_submit_many. */
typedef int weft__job_maker(weft_executor *ex, const void *set, size_t i, uint32_t refs, weft__job **out);
long weft__pool_submit_many(weft_executor *ex, weft__job_maker *make, const void *set, size_t n, weft_future **futures);

/* There are new jobs: see that somebody looks. 0, or why no worker could be started though there is none at all. */
int weft__pool_notify(weft_executor *ex);

/* From now on the process's end waits for pools before it kills its daemons. */
void weft__pools_end_first(void);

/* ---- job.c: records ---- */

/* A job with two references, or one if nobody asks for its future; NULL: no memory. */
weft__job *weft__job_new(weft_executor *ex, weft_job_fn *fn, void *arg, uint32_t refs);
void weft__job_free(weft_future *f);

static inline weft_executor *weft__job_pool(const weft__job *j)
{
    return container_of(j->future.ops, weft_executor, ops);
}

/* Its times: room for them; then, once it is accepted, the watch over its beginning; then, by its runner, the one over
 * its end (false: it begins too late); and no more of either. */
int weft__job_limit(weft__job *j, const weft_job_options *options);
void weft__job_accepted(weft__job *j);
bool weft__job_begins(weft__job *j);
void weft__job_ends(weft__job *j);

/* ---- worker.c ---- */

/* A job got its outcome before it began, from who had the right to: see that it leaves the queue. */
void weft__job_left(weft__job *j);

/* A job that was taken is about to have its outcome, where not a worker in this process gives it: count it; or had one
 * already when it was taken. */
void weft__job_done(weft_executor *ex, weft__job *j);
void weft__job_stale(weft__job *j);

/* The initialiser failed. */
void weft__pool_break(weft_executor *ex, int err);

/* A worker has left in the middle of its jobs, which fail; another takes its place. */
void weft__worker_lost(void *worker);

/* A thread or coroutine that is no worker leaves in the middle of jobs that it runs while it waits: they fail. */
void weft__helper_lost(weft__waiter *self);

/* The same of a worker whose job has called exit: it is no worker any more, and there is no end of it to wait for. */
void weft__worker_exits(weft__worker *w);

#endif
