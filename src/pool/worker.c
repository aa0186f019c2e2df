/* worker.c - what a worker does: take a job, run it, give its future the outcome; and the other ways in which a job is
 * run or left.
 *
 * A worker whose job waits for another job of the same pool that has not begun runs it itself, inside the first; so
 * nested jobs need no more workers than there are. Its frames tell which jobs it is in, innermost first.
 * A worker that leaves in the middle of a job (pthread_exit, exit) fails the jobs it was in and is replaced.
 * A worker counts as idle before its job's future is done (backlog.h): who waits for one job and then submits the next
 * finds it, and no second one is started.
 * Pinned by tests/pool/executor_test.c. */
#include "pool/worker.h"

#include "base/panic.h"
#include "sync/lock.h"
#include "sys/sys.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>

weft__worker *weft__pool_me(void)
{
    const weft__waiter *self = weft__self_waiter;
    return self != NULL ? self->worker : NULL;
}

void weft__pool_worker_name(const weft__worker *w, char *buf, size_t size)
{
    snprintf(buf, size, "%s-%u", w->ex->name, w->index);
}

/* ---- running a job ---- */

static void count_finished(weft_executor *ex, weft__worker *w)
{
    if (w != NULL) {
        store_relaxed(&w->finished, w->finished + 1);
        return;
    }
    add_relaxed(&ex->finished_elsewhere, 1);
}

/* What a job leaves behind in its runner must not reach the next one. Its stop was taken back by finish. */
static void tidy_self(void)
{
    weft__waiter *self = weft__self();
    if (unlikely(load_relaxed(&self->cancel) != 0))
        store_seq_cst(&self->cancel, 0);
    self->shield = 0;
}

/* It was in the queue once; so it counts until it is done. */
static void count_out(weft_executor *ex, const weft__job *j)
{
    if (unlikely(ex->backlog.limit != 0) && load_relaxed(&j->item.place) != WEFT__NOWHERE)
        weft__backlog_done(&ex->backlog);
}

/* What a job with times, or of a pool that is broken, needs around it. */
WEFT__COLD static int call_watched(weft_executor *ex, weft__job *j, void **result)
{
    if (load_relaxed(&ex->broken))
        return -WEFT_EBROKEN;
    int err = weft__job_begins(j) ? j->item.fn(j->item.arg, result) : -ETIMEDOUT;
    if (!weft__pool_inherited(ex))
        weft__job_ends(j);
    return err;
}

/* Give the begun job its outcome. `last`: the worker has nothing else to do after it. Returns whether it searches now.
 */
static bool conclude(weft_executor *ex, weft__worker *w, weft__job *j, void *result, int err, bool watched, bool last)
{
    if (weft__pool_inherited(ex)) /* the job has forked, and this is the child */
        return false;
    count_out(ex, j);
    count_finished(ex, w);
    bool searching =
        last && !(load_relaxed(&j->future.word) & WEFT__FUTURE_WATCHED) && weft__backlog_search_early(&ex->backlog);
    uint32_t before = WEFT_RUNNING;
    if (!watched)
        before = weft__future_settle(&j->future, result, err);
    else if (weft__future_end(&j->future, result, err, &before) < 0)
        return searching;
    if (likely(before == WEFT_RUNNING))
        return searching;
    if (searching && (before & WEFT__FUTURE_WATCHED)) { /* a callback came just now, and may take long */
        if (weft__backlog_stop_search(&ex->backlog))
            weft__worker_start(ex);
        searching = false;
    }
    weft__future_tell(&j->future, before);
    return searching;
}

/* A job that the worker took out of the queue. Returns whether the worker searches now. */
static bool run_taken(weft_executor *ex, weft__worker *w, const weft__taken *taken)
{
    weft__job *j = container_of(taken->item, weft__job, item);
    bool searching = false;
    if (likely(weft__future_begin(&j->future))) {
        void *result = NULL;
        w->first = (weft__frame){NULL, j, true};
        w->frame = &w->first;
        bool watched = !taken->from_ring || load_relaxed(&ex->broken);
        int err = watched ? call_watched(ex, j, &result) : taken->fn(taken->arg, &result);
        searching = conclude(ex, w, j, result, err, watched, true);
        w->frame = NULL;
        tidy_self();
    } else if (taken->from_ring) {
        sub_relaxed(&ex->stale, 1);
    }
    weft_future_unref(&j->future);
    return searching;
}

/* ---- by who is no worker ---- */

static pthread_key_t helper_end;
static pthread_once_t helper_once = PTHREAD_ONCE_INIT;

/* A thread ends. It does so in the middle of jobs only when one of them has called pthread_exit. */
static void helper_ends(void *unused)
{
    (void)unused;
    if (weft__self_waiter != NULL)
        weft__helper_lost(weft__self_waiter);
}

static void make_key(void)
{
    pthread_key_create(&helper_end, helper_ends);
}

static void watch_helper(void)
{
    static WEFT__TLS bool watched;
    if (likely(watched))
        return;
    watched = true;
    pthread_once(&helper_once, make_key);
    pthread_setspecific(helper_end, &helper_end);
}

/* Run j here, inside whatever job the caller may be in. `owned`: the queue's reference is ours. Whether it began. */
static bool run_inside(weft_executor *ex, weft__job *j, bool owned)
{
    weft__waiter *self = weft__self();
    weft__worker *w = self->worker;
    weft__frame **frames = w != NULL && w->frame != NULL ? &w->frame : &self->helping, *outer = *frames;
    bool begun = weft__future_begin(&j->future);
    if (begun) {
        if (outer != NULL)
            weft__future_pause(&outer->job->future);
        else
            watch_helper();
        j->inner = (weft__frame){outer, j, owned};
        *frames = &j->inner;
        void *result = NULL;
        bool watched = j->limits != NULL || load_relaxed(&ex->broken);
        int err = unlikely(watched) ? call_watched(ex, j, &result) : j->item.fn(j->item.arg, &result);
        conclude(ex, w != NULL && w->ex == ex ? w : NULL, j, result, err, watched, false);
        *frames = outer;
        if (outer != NULL)
            weft__future_resume(&outer->job->future);
    }
    if (owned)
        weft_future_unref(&j->future);
    return begun;
}

void weft__job_done(weft_executor *ex, weft__job *j)
{
    count_out(ex, j);
    count_finished(ex, NULL);
}

void weft__job_stale(weft__job *j)
{
    if (load_relaxed(&j->item.place) == WEFT__IN_RING) /* whoever gave it its outcome has counted it */
        sub_relaxed(&weft__job_pool(j)->stale, 1);
}

/* ---- other ways ---- */

void weft__job_left(weft__job *j)
{
    weft_executor *ex = weft__job_pool(j);
    if (weft__pool_inherited(ex)) /* locks may be held by threads that do not exist here */
        return;
    if (weft__backlog_remove(&ex->backlog, &j->item))
        weft_future_unref(&j->future);
    else if (load_relaxed(&j->item.place) == WEFT__IN_RING)
        add_relaxed(&ex->stale, 1);
    count_out(ex, j);
}

static void cancelled(weft_future *f)
{
    weft__job *j = (weft__job *)f;
    weft__job_ends(j);
    weft__job_left(j);
}

/* Pre: the future is pending, at a glance. */
static bool help(weft_future *f, weft_until until)
{
    weft__job *j = (weft__job *)f;
    weft_executor *ex = weft__job_pool(j);
    const weft__worker *w = weft__pool_me();
    bool other = w == NULL || w->ex != ex || w->frame == NULL;
    if (weft__pool_inherited(ex) || (other && (!ex->waiters_help || until.at != INT64_MAX)))
        return false;
    if (!other && !ex->engine->helps_always && weft__backlog_has_workers(&ex->backlog))
        return false;
    bool listed = weft__backlog_remove(&ex->backlog, &j->item);
    bool begun = run_inside(ex, j, listed);
    if (begun && !listed && load_relaxed(&j->item.place) == WEFT__IN_RING)
        add_relaxed(&ex->stale, 1);
    return begun;
}

static weft_executor *pool_of(const weft_future *f)
{
    return container_of(f->ops, weft_executor, ops);
}

/* ---- for reports ---- */

/* All workers of a pool that cannot have more of them (P1: its memory is not returned). */
static void add_workers(weft_executor *ex, weft__enders *e)
{
    rawlock_acquire(&ex->lock);
    unsigned n = 0;
    for (weft__list *at = ex->working.next; at != &ex->working; at = at->next, n++)
        weft__enders_add(e, load_acquire(&container_of(at, weft__worker, link)->waiter));
    e->known = n > 0 && e->n == n && n >= ex->workers_max;
    rawlock_release(&ex->lock);
}

/* Who runs a job ends it; one that waits in the queue, any worker. A job with a time limit ends by itself. */
static void job_enders(const weft_future *f, const weft__sleep *s, weft__enders *e)
{
    weft__job j;
    if (weft__peek_in_sleep(&j, f, sizeof j, s) < 0 || j.limits != NULL)
        return;
    if ((j.future.word & WEFT__FUTURE_STATE) == WEFT_PENDING) {
        add_workers(weft__job_pool(&j), e);
        return;
    }
    e->known = j.future.runner != 0;
    weft__enders_add(e, j.future.runner);
}

/* A job that ends makes room. */
static void room_enders(const void *object, const weft__waiter *sleeper, weft__enders *e)
{
    (void)sleeper;
    add_workers(container_of((weft__backlog *)(uintptr_t)object, weft_executor, backlog), e);
}

/* Its workers must all end. */
static void end_enders(const void *object, const weft__waiter *sleeper, weft__enders *e)
{
    (void)sleeper;
    add_workers((weft_executor *)(uintptr_t)object, e);
    e->all = true;
    e->known = e->n > 0;
}

static bool is_idle(const void *object, const weft__waiter *worker)
{
    (void)object;
    uint32_t state = load_acquire(&worker->state);
    return state == WEFT__WAITING || state == WEFT__HARD;
}

const weft__awaited weft__room_kind = {.what = "room in a pool", .held = "taken by", .enders = room_enders};
const weft__awaited weft__end_kind = {.what = "end of a pool's workers", .held = "with", .enders = end_enders};
const weft__awaited weft__worker_kind = {.what = "a job for a worker", .idle = is_idle};

void weft__worker_ops(weft__future_ops *ops)
{
    *ops = (weft__future_ops){
        .free = weft__job_free, .help = help, .cancelled = cancelled, .pool = pool_of, .enders = job_enders};
}

void weft__worker_discard(weft__job *j)
{
    weft_future_cancel(&j->future);
    weft__job_stale(j);
    weft_future_unref(&j->future);
}

void weft__worker_discard_forsaken(weft_executor *ex)
{
    weft__taken taken;
    while (weft__backlog_forsaken(&ex->backlog)) {
        if (weft__backlog_take(&ex->backlog, &taken))
            weft__worker_discard(container_of(taken.item, weft__job, item));
        else
            sched_yield(); /* its putter is about to place it */
    }
}

bool weft__worker_drop_oldest(weft_executor *ex)
{
    weft__item *it = weft__backlog_oldest(&ex->backlog);
    if (it == NULL)
        return !weft__backlog_full(&ex->backlog);
    weft__worker_discard(container_of(it, weft__job, item));
    return true;
}

void weft__worker_run_here(weft_executor *ex, weft__job *j)
{
    run_inside(ex, j, true);
}

bool weft__worker_help_any(weft_executor *ex)
{
    weft__taken taken;
    if (!weft__backlog_take(&ex->backlog, &taken))
        return false;
    run_inside(ex, container_of(taken.item, weft__job, item), true);
    return true;
}

/* ---- a worker's life ---- */

/* Join one that has ended. */
static void bury(weft_executor *ex, weft__list *link)
{
    weft__worker *w = container_of(link, weft__worker, link);
    while (!load_acquire(&w->launched))
        sched_yield(); /* it has ended before the call that started it has */
    ex->engine->join(w);
    weft__free(w);
}

/* The worker is no more; from now on ex may be gone. */
static void uncount(weft_executor *ex)
{
    sub_seq_cst(&ex->alive, 1);
    weft__wake(&ex->alive, UINT32_MAX, 0); /* the address only */
}

/* The worker is on its way out: from now on it may be joined. */
static void leave(weft__worker *w)
{
    weft_executor *ex = w->ex;
    weft__list before, *link;
    list_init(&before);
    weft__self()->worker = NULL;
    rawlock_acquire(&ex->lock);
    ex->finished += w->finished;
    while ((link = list_pop_front(&ex->ended)) != NULL)
        list_push_back(&before, link);
    list_remove(&w->link);
    list_push_back(&ex->ended, &w->link);
    rawlock_release(&ex->lock);
    while ((link = list_pop_front(&before)) != NULL)
        bury(ex, link);
    uncount(ex);
}

/* The jobs that the caller is in, as the worker w or (NULL) as none, will never return: they fail. */
static void fail_jobs(weft__frame *at, weft__worker *w)
{
    tidy_self();
    while (at != NULL) {
        weft__frame frame = *at; /* who is told of the end may free the job, and this with it */
        weft__job *j = frame.job;
        weft_executor *ex = weft__job_pool(j);
        at = frame.outer;
        if (weft__pool_inherited(ex))
            continue;
        weft__job_ends(j);
        if (!frame.owned && load_relaxed(&j->item.place) == WEFT__IN_RING)
            add_relaxed(&ex->stale, 1);
        count_out(ex, j);
        count_finished(ex, w != NULL && w->ex == ex ? w : NULL);
        weft__future_finish(&j->future, NULL, -ECANCELED);
        if (frame.owned)
            weft_future_unref(&j->future);
    }
}

void weft__helper_lost(weft__waiter *self)
{
    weft__frame *at = self->helping;
    self->helping = NULL;
    if (at != NULL)
        fail_jobs(at, NULL);
}

/* The same of a worker: somebody else works in its place. */
static void abandon_jobs(weft__worker *w)
{
    weft_executor *ex = w->ex;
    fail_jobs(w->frame, w);
    if (weft__backlog_worker_gone(&ex->backlog) && weft__worker_start(ex) < 0)
        weft__worker_discard_forsaken(ex);
}

void weft__worker_lost(void *worker)
{
    weft__worker *w = worker;
    if (weft__pool_inherited(w->ex)) {
        weft__self()->worker = NULL;
        return;
    }
    abandon_jobs(w);
    leave(w);
}

void weft__worker_exits(weft__worker *w)
{
    weft_executor *ex = w->ex;
    weft__self()->worker = NULL;
    if (weft__pool_inherited(ex))
        return;
    abandon_jobs(w);
    rawlock_acquire(&ex->lock);
    ex->finished += w->finished;
    list_remove(&w->link);
    rawlock_release(&ex->lock);
    uncount(ex);
}

/* The pool is broken: who waits for a job of it gets -WEFT_EBROKEN. */
WEFT__COLD void weft__pool_break(weft_executor *ex, int err)
{
    if (swap_seq_cst(&ex->broken, 1) == 0)
        weft__warn("the pool \"%s\" is broken: its initialiser failed: %s", ex->name, weft_strerror(err));
    weft__backlog_close(&ex->backlog);
}

enum {
    LATE = 100 * 1000 /* ns: who was called is here by then, had it a processor */
};

/* After a job of one that has called another. The kernel lets a thread that is started or woken wait behind its caller
 * when the other processors are busy just then, say with who has submitted, and may not look again for 20 ms: the
 * caller goes elsewhere itself. Returns since when it waits for the other, 0: no more. */
static int64_t make_way(const weft_executor *ex, int64_t called)
{
    if (!weft__backlog_searched(&ex->backlog))
        return 0;
    if (weft__sys_now() - called < LATE)
        return called;
    weft__sys_leave_cpu();
    return 0;
}

void weft__pool_work(weft__worker *w)
{
    weft_executor *ex = w->ex;
    store_release(&w->waiter, weft__self()->id);
    weft__self()->worker = w;
    int err = ex->initializer != NULL ? ex->initializer(ex->initializer_arg) : 0;
    if (err < 0)
        weft__pool_break(ex, err);

    bool searching = true, start = false;
    unsigned jobs = 0;
    int64_t called = 0; /* when another worker was, that has not come; else 0 */
    weft__taken taken;
    while (weft__backlog_next(&ex->backlog, searching, &taken, &start)) {
        if (unlikely(start))
            weft__worker_start(ex);
        if (unlikely(searching && ex->engine->threads && weft__backlog_searched(&ex->backlog)))
            called = weft__sys_now();
        searching = run_taken(ex, w, &taken);
        if (weft__pool_inherited(ex)) {
            weft__self()->worker = NULL;
            return;
        }
        if (unlikely(called != 0))
            called = make_way(ex, called);
        if (ex->engine->jobs_before_yield != 0 && ++jobs % ex->engine->jobs_before_yield == 0)
            weft_yield();
    }
    leave(w);
}

int weft__worker_start(weft_executor *ex)
{
    weft__worker *w = weft__calloc(1, sizeof *w);
    int err = -ENOMEM;
    if (w == NULL)
        goto not_started;
    w->ex = ex;
    rawlock_acquire(&ex->lock);
    bool ended = !list_empty(&ex->ended);
    w->index = ex->started++;
    list_push_back(&ex->working, &w->link);
    rawlock_release(&ex->lock);
    add_seq_cst(&ex->alive, 1);
    if (unlikely(ended))
        weft__worker_reap(ex);
    err = ex->engine->start(w);
    if (likely(err == 0)) {
        store_release(&w->launched, 1);
        return 0;
    }
    rawlock_acquire(&ex->lock);
    list_remove(&w->link);
    rawlock_release(&ex->lock);
    weft__free(w);
not_started:
    err = weft__backlog_not_started(&ex->backlog) ? err : 0;
    if (w != NULL)
        uncount(ex);
    return err;
}

void weft__worker_reap(weft_executor *ex)
{
    weft__lock_own(&ex->reaping);
    for (;;) {
        rawlock_acquire(&ex->lock);
        weft__list *link = list_pop_front(&ex->ended);
        rawlock_release(&ex->lock);
        if (link == NULL)
            break;
        bury(ex, link);
    }
    weft_lock_release(&ex->reaping);
}
