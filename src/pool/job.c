/* job.c - the records of jobs: kept for reuse by each thread, exchanged in batches; and the times of a job.
 *
 * A thread keeps up to two batches of free records. Who only takes gets a batch from the common list, who only gives
 * puts one there, so that a submitter and its workers meet once in BATCH jobs. Under AddressSanitizer each record is
 * allocated and freed, so that it sees what is used too late.
 * Lock order: common_lock is a leaf. Pinned by tests/pool/stress_test.c. */
#include "pool/pool.h"

#include "base/panic.h"
#include "co/sched.h"
#include "pool/bytes.h"
#include "sys/sys.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

enum {
    BATCH = 512,
    BLOCK = 63 /* records allocated at a time */
};

/* Of the library until the process ends; a list, so that they are not taken for leaks. */
typedef struct block {
    _Alignas(WEFT__CACHE_LINE) struct block *next;
    weft__job jobs[BLOCK];
} block;

/* Free records, linked by item.next; the first of a batch has in item.prev the next batch of the common list, and in
 * item.turn how many it has. */
typedef struct magazine {
    weft__item *first;
    unsigned count;
} magazine;

static WEFT__TLS magazine mine, full; /* `full` is empty or has BATCH */
static WEFT__FORK_PAGE weft__rawlock common_lock;
static weft__item *common;
static block *blocks;

static pthread_key_t thread_end;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static weft__job *job_of(weft__item *it)
{
    return container_of(it, weft__job, item);
}

/* ---- records ---- */

static void give_batch(magazine *m)
{
    if (m->first == NULL)
        return;
    weft__item *batch = m->first;
    batch->turn = m->count;
    rawlock_acquire(&common_lock);
    batch->prev = common;
    common = batch;
    rawlock_release(&common_lock);
    *m = (magazine){0};
}

/* A thread ends. */
static void give_all(void *unused)
{
    (void)unused;
    give_batch(&mine);
    give_batch(&full);
}

WEFT__FORK_TEXT static void before_fork(void)
{
    rawlock_acquire(&common_lock);
}

WEFT__FORK_TEXT static void after_fork_parent(void)
{
    rawlock_release(&common_lock);
}

WEFT__FORK_TEXT static void after_fork_child(void)
{
    common_lock.word = 0;
}

static void begin(void)
{
    pthread_key_create(&thread_end, give_all);
    pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

static void watch_thread(void)
{
    pthread_once(&once, begin);
    pthread_setspecific(thread_end, &thread_end);
}

/* Pre: `mine` is empty. */
WEFT__COLD static bool take_batch(void)
{
    if (full.first == NULL) {
        watch_thread();
        rawlock_acquire(&common_lock);
        full.first = common;
        if (common != NULL) {
            full.count = (unsigned)common->turn;
            common = common->prev;
        }
        rawlock_release(&common_lock);
    }
    mine = full;
    full = (magazine){0};
    return mine.first != NULL;
}

/* Pre: `mine` is empty. */
WEFT__COLD static bool make_block(void)
{
    char *p = weft__malloc(sizeof(block) + WEFT__CACHE_LINE);
    if (p == NULL)
        return false;
    block *b = (block *)(void *)(p + (-(uintptr_t)p & (WEFT__CACHE_LINE - 1)));
    for (unsigned i = 0; i < BLOCK; i++)
        b->jobs[i].item.next = i + 1 < BLOCK ? &b->jobs[i + 1].item : NULL;
    mine = (magazine){&b->jobs[0].item, BLOCK};
    rawlock_acquire(&common_lock);
    b->next = blocks;
    blocks = b;
    rawlock_release(&common_lock);
    return true;
}

/* Pre: `mine` has a batch. */
WEFT__COLD static void put_batch(void)
{
    give_batch(&full);
    full = mine;
    mine = (magazine){0};
}

/* A record out of the thread's own, which its coroutines share. NULL: no memory. */
static weft__job *take_record(void)
{
    weft__job *j = NULL;
    weft__thread_enter();
    if (likely(mine.first != NULL) || take_batch() || make_block()) {
        j = job_of(mine.first);
        mine.first = mine.first->next;
        mine.count--;
        if (mine.first != NULL) /* perhaps last used by another processor */
            __builtin_prefetch(job_of(mine.first), 1);
    }
    weft__thread_leave();
    return j;
}

static void put_record(weft__job *j)
{
    weft__thread_enter();
    if (unlikely(mine.first == NULL))
        watch_thread();
    j->item.next = mine.first;
    mine.first = &j->item;
    if (unlikely(++mine.count >= BATCH))
        put_batch();
    weft__thread_leave();
}

weft__job *weft__job_new(weft_executor *ex, weft_job_fn *fn, void *arg, uint32_t refs)
{
    weft__job *j;
    if (WEFT__ASAN) {
        j = weft__sys_fault(WEFT__SYS_MALLOC) < 0 ? NULL : aligned_alloc(WEFT__CACHE_LINE, sizeof *j);
    } else {
        j = take_record();
    }
    if (unlikely(j == NULL))
        return NULL;
    weft__future_init(&j->future, &ex->ops, refs);
    j->item.priority = 0;
    j->item.place = WEFT__NOWHERE;
    j->item.listed = false;
    j->item.fn = fn;
    j->item.arg = arg;
    j->limits = NULL;
    j->bytes = NULL;
    return j;
}

void weft__job_free(weft_future *f)
{
    weft__job *j = (weft__job *)f;
    weft__free(j->limits);
    if (j->bytes != NULL)
        weft__task_free(j->bytes);
    if (WEFT__ASAN)
        weft__free(j);
    else
        put_record(j);
}

/* ---- times ---- */

/* Not begun in time. One alone begins a job: here it is the timer, to end it at once. */
static void too_late(weft_timer *t)
{
    weft__job *j = t->arg;
    if (weft__future_begin(&j->future)) {
        weft__job_left(j);
        weft__future_finish(&j->future, NULL, -ETIMEDOUT);
    }
    weft_future_unref(&j->future);
}

static void too_long(weft_timer *t)
{
    weft__job *j = t->arg;
    weft__future_give_up(&j->future, -ETIMEDOUT);
    weft_future_unref(&j->future);
}

static void set_timer(weft__job *j, weft_timer *t, weft_timer_fn *fn, int64_t at)
{
    t->arg = weft_future_ref(&j->future);
    if (weft_timer_start(t, fn, (weft_until){at}, 0) == 0)
        return;
    weft__warn("no timer for the times of a job");
    weft_future_unref(&j->future);
}

static void cancel_timer(weft__job *j, weft_timer *t)
{
    if (weft_timer_cancel(t))
        weft_future_unref(&j->future);
}

int weft__job_limit(weft__job *j, const weft_job_options *options)
{
    if (options->time_limit <= 0 && options->start_by.at == 0)
        return 0;
    weft__limits *limits = weft__calloc(1, sizeof *limits);
    if (limits == NULL)
        return -ENOMEM;
    limits->start_by = options->start_by.at;
    limits->time_limit = options->time_limit;
    j->limits = limits;
    return 0;
}

void weft__job_accepted(weft__job *j)
{
    const weft__limits *limits = j->limits;
    if (likely(limits == NULL) || limits->start_by == 0 || limits->start_by == INT64_MAX)
        return;
    set_timer(j, &j->limits->begin, too_late, limits->start_by);
    if (weft_future_state_of(&j->future) != WEFT_PENDING) /* it may have looked for the timer before */
        cancel_timer(j, &j->limits->begin);
}

bool weft__job_begins(weft__job *j)
{
    weft__limits *limits = j->limits;
    if (likely(limits == NULL))
        return true;
    if (limits->start_by != 0) {
        cancel_timer(j, &limits->begin);
        if (weft_now() >= limits->start_by)
            return false;
    }
    if (limits->time_limit > 0)
        set_timer(j, &limits->end, too_long, weft_in(limits->time_limit).at);
    return true;
}

void weft__job_ends(weft__job *j)
{
    if (likely(j->limits == NULL))
        return;
    cancel_timer(j, &j->limits->begin);
    cancel_timer(j, &j->limits->end);
}
