/* executor.c - pools: submitting, what happens when they are full, and their end; see weft/executor.h. What a worker
 * does is in worker.c, how it is started in thread_pool.c and co_pool.c.
 *
 * A process that ends first closes all its pools and waits until their jobs are done. If it is a job that ends it, that
 * one has failed, and its thread is no worker from then on. In a child of fork the parent's
 * pools have no workers: they refuse jobs, and nobody waits for them.
 * Lock order: pool.h. Pinned by tests/pool: executor, full and shutdown. */
#include "pool/pool.h"

#include "base/panic.h"
#include "pool/worker.h"
#include "sys/sys.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    AT_A_TIME = 16 /* jobs that are put together */
};

static WEFT__FORK_PAGE weft__rawlock pools_lock;
static WEFT__FORK_PAGE weft__list pools = {&pools, &pools}; /* that can have jobs */
static weft__list spare = {&spare, &spare};
static bool ending; /* the process waits for its pools, or has done so */

WEFT__FORK_PAGE uint32_t weft__pools_epoch;

/* ---- submit ---- */

static int refusal(const weft_executor *ex)
{
    return load_acquire(&ex->broken) ? -WEFT_EBROKEN : -EPIPE;
}

int weft__pool_notify(weft_executor *ex)
{
    if (unlikely(ex->engine->kick != NULL)) {
        ex->engine->kick(ex);
        return 0;
    }
    return unlikely(weft__backlog_notify(&ex->backlog)) ? weft__worker_start(ex) : 0;
}

/* The same; what nobody will run is cancelled. */
static void tell(weft_executor *ex)
{
    if (unlikely(weft__pool_notify(ex) < 0))
        weft__worker_discard_forsaken(ex);
}

/* Full: make room as the pool's options say. 0: try again; 1: the job has run. */
static int make_room(weft_executor *ex, weft__job *j, weft_until until)
{
    switch (ex->full) {
    case WEFT_REFUSE:
        return -WEFT_EFULL;
    case WEFT_DROP_OLDEST:
        return weft__worker_drop_oldest(ex) ? 0 : -WEFT_EFULL;
    case WEFT_CALLER_RUNS:
        weft__worker_run_here(ex, j);
        return 1;
    default:
        break;
    }
    /* A job that fills its own pool would wait for itself: it does some of the work instead. */
    const weft__worker *w = weft__pool_me();
    if (w != NULL && w->ex == ex && weft__worker_help_any(ex))
        return 0;
    return weft__backlog_wait_room(&ex->backlog, until, WEFT__CALLER());
}

/* Put a job in, without telling anybody yet. 0; 1 when it has run already; or an error, and it is not in. */
static int put(weft_executor *ex, weft__job *j, weft_until until)
{
    for (;;) {
        int err = weft__backlog_put(&ex->backlog, &j->item);
        if (likely(err == 0))
            return 0;
        if (err == -EPIPE)
            return refusal(ex);
        tell(ex); /* of those that were put before and not yet told of */
        err = make_room(ex, j, until);
        if (err != 0)
            return err;
    }
}

int weft__pool_submit(weft_executor *ex, weft__job *j, const weft_job_options *options, weft_future **f)
{
    weft_until until = WEFT_FOREVER;
    int err = 0;
    if (options != NULL) {
        j->item.priority = options->priority;
        j->item.listed = options->priority != 0 || options->time_limit > 0 || options->start_by.at != 0;
        if (options->until.at != 0)
            until = options->until;
        err = weft__job_limit(j, options);
    }
    if (err == 0)
        err = put(ex, j, until);
    if (unlikely(err < 0)) {
        weft__job_free(&j->future); /* nobody has seen it */
        return err;
    }
    if (err == 0) {
        weft__job_accepted(j);
        if (unlikely(weft__pool_notify(ex) < 0)) {
            bool mine = weft_future_cancel(&j->future);
            weft__worker_discard_forsaken(ex); /* others have counted on the same worker */
            if (mine) {
                weft_future_unref(&j->future);
                return -ENOMEM;
            }
        }
    }
    if (f != NULL)
        *f = &j->future;
    else
        weft_future_unref(&j->future);
    return 0;
}

static int submit(weft_executor *ex, weft_job_fn *fn, void *arg, const weft_job_options *options, weft_future **f)
{
    if (unlikely(ex->engine->kick != NULL))
        return -ENOTSUP;
    if (unlikely(weft__pool_inherited(ex)))
        return -EPIPE;
    weft__job *j = weft__job_new(ex, fn, arg, 2);
    return likely(j != NULL) ? weft__pool_submit(ex, j, options, f) : -ENOMEM;
}

int weft_submit(weft_executor *ex, weft_job_fn *fn, void *arg, weft_future **f)
{
    return submit(ex, fn, arg, NULL, f);
}

int weft_submit_with(weft_executor *ex, weft_job_fn *fn, void *arg, const weft_job_options *options, weft_future **f)
{
    return submit(ex, fn, arg, options, f);
}

/* Make and put n jobs, the first of which is the i-th. Returns how many were taken; less than n: no more will be. */
static size_t put_some(weft_executor *ex, weft__job_maker *make, const void *set, size_t i, size_t n,
                       weft_future **futures)
{
    weft__item *items[AT_A_TIME];
    weft__job *j;
    size_t made = 0;
    for (; made < n && make(ex, set, i + made, futures != NULL ? 2 : 1, &j) >= 0; made++)
        items[made] = &j->item;
    size_t taken = weft__backlog_put_some(&ex->backlog, items, made);
    while (taken < made && put(ex, container_of(items[taken], weft__job, item), WEFT_FOREVER) >= 0)
        taken++;
    for (size_t k = 0; k < taken && futures != NULL; k++)
        futures[k] = &container_of(items[k], weft__job, item)->future;
    for (size_t left = taken; left < made; left++)
        weft__job_free(&container_of(items[left], weft__job, item)->future);
    return taken;
}

long weft__pool_submit_many(weft_executor *ex, weft__job_maker *make, const void *set, size_t n, weft_future **futures)
{
    weft__job *j;
    if (n == 0)
        return 0;
    if (unlikely(weft__pool_inherited(ex)))
        return -EPIPE;
    int err = make(ex, set, 0, 2, &j);
    if (err == 0)
        err = weft__pool_submit(ex, j, NULL, futures); /* it begins while the rest is put */
    if (err < 0)
        return err;
    size_t taken = 1, some, want;
    do {
        want = n - taken < AT_A_TIME ? n - taken : AT_A_TIME;
        some = put_some(ex, make, set, taken, want, futures != NULL ? &futures[taken] : NULL);
        taken += some;
    } while (some == want && taken < n);
    tell(ex);
    return (long)taken;
}

typedef struct calls {
    weft_job_fn *fn;
    void *const *args;
} calls;

static int make_call(weft_executor *ex, const void *set, size_t i, uint32_t refs, weft__job **out)
{
    const calls *c = set;
    *out = weft__job_new(ex, c->fn, c->args[i], refs);
    return *out != NULL ? 0 : -ENOMEM;
}

long weft_submit_many(weft_executor *ex, weft_job_fn *fn, void *const *args, size_t n, weft_future **futures)
{
    if (unlikely(ex->engine->kick != NULL))
        return n == 0 ? 0 : -ENOTSUP;
    return weft__pool_submit_many(ex, make_call, &(calls){fn, args}, n, futures);
}

/* ---- the end ---- */

static void cancel_waiting(weft_executor *ex)
{
    weft__taken taken;
    while (!weft__backlog_empty(&ex->backlog))
        if (weft__backlog_take(&ex->backlog, &taken))
            weft__worker_discard(container_of(taken.item, weft__job, item));
}

static int wait_for_workers(weft_executor *ex, weft_until until)
{
    weft__waiter *self = weft__self();
    uint32_t alive, spin = self->spin;
    int err = 0;
    self->spin = 0; /* a worker that is just being started shall find this processor free */
    while ((alive = load_seq_cst(&ex->alive)) != 0 && err == 0)
        err = weft__park_for(&weft__end_kind, ex, WEFT__CALLER(), &ex->alive, alive, until, 0);
    self->spin = spin;
    if (load_seq_cst(&ex->alive) != 0)
        return err;
    weft__worker_reap(ex);
    return 0;
}

int weft_executor_shutdown(weft_executor *ex, int how, weft_until until)
{
    if ((how & ~(WEFT_SHUTDOWN_WAIT | WEFT_SHUTDOWN_CANCEL | WEFT_SHUTDOWN_KILL)) ||
        ((how & WEFT_SHUTDOWN_KILL) && ex->engine->end == NULL))
        return -EINVAL;
    if (weft__pool_inherited(ex))
        return 0;
    const weft__worker *w = weft__pool_me();
    if ((how & WEFT_SHUTDOWN_WAIT) && w != NULL && w->ex == ex)
        return -EDEADLK;
    weft__backlog_close(&ex->backlog);
    if (how & (WEFT_SHUTDOWN_CANCEL | WEFT_SHUTDOWN_KILL))
        cancel_waiting(ex);
    if (ex->engine->end != NULL)
        ex->engine->end(ex, how & WEFT_SHUTDOWN_KILL);
    if (!weft__backlog_empty(&ex->backlog))
        tell(ex); /* they may have been put, and not told of yet */
    return how & WEFT_SHUTDOWN_WAIT ? wait_for_workers(ex, until) : 0;
}

void weft_executor_free(weft_executor *ex)
{
    if (ex == NULL)
        return;
    int was = weft_shield(1);
    if (weft_executor_shutdown(ex, WEFT_SHUTDOWN_WAIT, WEFT_FOREVER) == -EDEADLK)
        weft__panic("weft_executor_free: the pool \"%s\" is freed by one of its own jobs", ex->name);
    weft_shield(was);
    weft__backlog_wait_done(&ex->backlog); /* a canceller may be about to say so */
    rawlock_acquire(&pools_lock);
    list_remove(&ex->all);
    list_push_front(&spare, &ex->all);
    rawlock_release(&pools_lock);
}

/* ---- the end of the process, and fork ---- */

static void finish_all(void)
{
    weft__worker *me = weft__pool_me();
    if (me != NULL)
        weft__worker_exits(me);
    if (weft__self_waiter != NULL)
        weft__helper_lost(weft__self_waiter);
    rawlock_acquire(&pools_lock);
    ending = true;
    weft__list *link;
    while ((link = list_pop_front(&pools)) != NULL) {
        weft_executor *ex = container_of(link, weft_executor, all);
        rawlock_release(&pools_lock);
        weft_executor_shutdown(ex, WEFT_SHUTDOWN_WAIT, WEFT_FOREVER);
        rawlock_acquire(&pools_lock);
    }
    rawlock_release(&pools_lock);
}

WEFT__FORK_TEXT static void before_fork(void)
{
    rawlock_acquire(&pools_lock);
}

WEFT__FORK_TEXT static void after_fork_parent(void)
{
    rawlock_release(&pools_lock);
}

WEFT__FORK_TEXT static void after_fork_child(void)
{
    store_relaxed(&weft__pools_epoch, weft__pools_epoch + 1);
    list_init(&pools);
    pools_lock.word = 0;
}

static void watch(void)
{
    pthread_atfork(before_fork, after_fork_parent, after_fork_child);
    atexit(finish_all);
}

static void end_first(void)
{
    atexit(finish_all); /* what was registered last is called first */
}

void weft__pools_end_first(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, end_first);
}

/* ---- the beginning ---- */

static weft_executor *take_memory(void)
{
    rawlock_acquire(&pools_lock);
    weft__list *link = list_pop_front(&spare);
    rawlock_release(&pools_lock);
    if (link != NULL)
        return container_of(link, weft_executor, all);
    void *p;
    return weft__sys_map(&p, sizeof(weft_executor)) == 0 ? p : NULL;
}

int weft__pool_make(weft_executor **out, const weft__engine *engine, const weft_pool_options *options)
{
    static const weft_pool_options none;
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    const weft_pool_options *o = options != NULL ? options : &none;
    if (o->workers > WEFT__WORKERS_MAX || o->full > WEFT_CALLER_RUNS || (o->waiters_help && o->initializer != NULL))
        return -EINVAL;
    pthread_once(&once, watch);
    weft_executor *ex = take_memory();
    if (ex == NULL)
        return -ENOMEM;
    unsigned workers = o->workers != 0 ? o->workers : engine->workers();
    uint64_t limit = o->max_queued == 0 ? 0 : (uint64_t)o->max_queued + workers;
    weft__backlog_init(&ex->backlog, engine->kick != NULL ? 0 : workers, limit,
                       weft__may_spin() || engine->pause != NULL ? engine->spins : 0, engine->pause);
    weft__worker_ops(&ex->ops);
    ex->backlog.idle_time = o->idle_time != 0 ? o->idle_time : engine->idle_time;
    ex->engine = engine;
    ex->initializer = o->initializer;
    ex->initializer_arg = o->initializer_arg;
    ex->stack_size = o->stack_size;
    ex->full = o->full;
    ex->waiters_help = o->waiters_help != 0;
    ex->workers_max = workers;
    ex->epoch = load_relaxed(&weft__pools_epoch);
    ex->broken = 0;
    snprintf(ex->name, sizeof ex->name, "%s", o->name != NULL ? o->name : "pool");
    ex->lock = (weft__rawlock){0};
    list_init(&ex->working);
    list_init(&ex->ended);
    ex->finished = ex->finished_elsewhere = 0;
    ex->started = ex->alive = ex->stale = 0;
    ex->reaping = (weft_lock)WEFT_LOCK_INIT;

    rawlock_acquire(&pools_lock);
    bool late = ending;
    list_push_back(&pools, &ex->all);
    rawlock_release(&pools_lock);
    if (late)
        weft__backlog_close(&ex->backlog); /* nobody would wait for its jobs any more */
    *out = ex;
    return 0;
}

int weft_thread_pool_new(weft_executor **ex, const weft_pool_options *options)
{
    return weft__pool_make(ex, &weft__thread_engine, options);
}

int weft_co_pool_new(weft_executor **ex, const weft_pool_options *options)
{
    return weft__pool_make(ex, &weft__co_engine, options);
}

void weft_executor_look(weft_executor *ex, weft_executor_info *info)
{
    if (weft__pool_inherited(ex)) {
        *info = (weft_executor_info){.name = ex->name, .engine = ex->engine->name, .workers_max = ex->workers_max};
        return;
    }
    if (ex->engine->look != NULL) {
        ex->engine->look(ex, info);
        return;
    }
    weft__backlog_counts counts = weft__backlog_look(&ex->backlog);
    uint64_t stale = load_relaxed(&ex->stale);
    *info = (weft_executor_info){
        .name = ex->name,
        .engine = ex->engine->name,
        .workers_max = ex->workers_max,
        .idle = counts.sleeping + counts.searching,
        .queued = counts.queued > stale ? counts.queued - stale : 0,
    };
    rawlock_acquire(&ex->lock);
    uint32_t alive = load_relaxed(&ex->alive); /* one that is ending may have its successor already */
    info->workers = alive < ex->workers_max ? alive : ex->workers_max;
    info->finished = ex->finished + load_relaxed(&ex->finished_elsewhere);
    list_each (it, &ex->working)
        info->finished += load_relaxed(&container_of(it, weft__worker, link)->finished);
    rawlock_release(&ex->lock);
    uint32_t busy = ex->workers_max - counts.unstarted;
    info->running = busy > info->idle ? busy - info->idle : 0;
}
