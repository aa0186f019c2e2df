/* blocking.c - weft_blocking: work that would block a scheduler thread runs on a helper thread while its coroutine
 * waits.
 *
 * A job lies on the stack of its caller. It is handed to the helper that became idle last, or to a new one, or, when
 * there are 64 already, put in the queue, first come, first served. A helper that has been idle for ten seconds ends.
 *
 * I1  a helper is in the list of the idle  <=>  it has no job and nobody has handed it one; changes under the lock.
 * I2  the queue is empty while a helper is idle.
 * I3  a job is its helper's until `done` is stored, and its caller's alone afterwards.
 * I4  the queue is empty while there is no helper. `helpers` counts one that is being started as well, and a job may be
 *     left to it: whose start has failed refuses what is in the queue, if nobody else is there to take it.
 * Lock order: blocking_lock is a leaf; nothing is called under it. Pinned by tests/co/blocking_test.c. */
#include "co/state.h"

#include "park/await.h"
#include "park/rawlock.h"
#include "sys/aside.h"

#include <errno.h>
#include <pthread.h>

enum {
    HELPERS_MAX = 64,
    HELPER_STACK = 1 << 20, /* bytes; foreign code runs here */
    IDLE_SECONDS = 10
};

typedef struct job {
    struct job *next;
    weft_co_fn *fn;
    void *arg;
    int result;
    bool refused;  /* written before `done`: nobody is there to do it, and nobody could be started */
    uint32_t by;   /* atomic: id of the helper's waiter, once it has begun */
    uint32_t done; /* atomic; a word to sleep on */
} job;

typedef struct helper {
    struct helper *next, **link; /* list of the idle */
    job *job;
    uint32_t handed; /* atomic; a word to sleep on: 1 when job was set */
} helper;

static weft__rawlock blocking_lock;
static job *first, *last; /* the queue */
static helper *idle;      /* last used first */
static uint32_t helpers;  /* threads */

/* ---- for reports ---- */

/* The helper that does it ends the wait; before one has taken the job, any of them. */
static void done_enders(const void *object, const weft__waiter *sleeper, weft__enders *e)
{
    (void)sleeper;
    uint32_t by;
    if (weft__sys_peek(&by, &((const job *)object)->by, sizeof by) < 0 || by == 0)
        return;
    e->known = true;
    weft__enders_add(e, by);
}

static bool helper_idle(const void *object, const weft__waiter *waiter)
{
    (void)object;
    uint32_t state = load_acquire(&waiter->state);
    return state == WEFT__WAITING || state == WEFT__HARD;
}

static const weft__awaited done_kind = {.what = "weft_blocking", .held = "done by", .enders = done_enders};
static const weft__awaited helper_kind = {.what = "work for weft_blocking", .idle = helper_idle};

/* ---- helpers ---- */

static job *take_queued(void)
{
    job *j = first;
    if (j != NULL)
        first = j->next;
    return j;
}

static void enter_idle(helper *h)
{
    h->job = NULL;
    store_relaxed(&h->handed, 0);
    h->next = idle;
    h->link = &idle;
    if (idle != NULL)
        idle->link = &h->next;
    idle = h;
}

static void leave_idle(helper *h)
{
    *h->link = h->next;
    if (h->next != NULL)
        h->next->link = h->link;
    h->link = NULL;
}

/* Pre and post: locked. The next job; NULL when none came for long enough. */
static job *next_job(helper *h)
{
    job *j = take_queued();
    if (j != NULL)
        return j;
    weft_until until = weft_in(IDLE_SECONDS * WEFT_SECOND);
    enter_idle(h);
    rawlock_release(&blocking_lock);
    while (load_acquire(&h->handed) == 0 &&
           weft__park_for(&helper_kind, h, NULL, &h->handed, 0, until, WEFT__UNCANCELLABLE) == 0)
        ;
    rawlock_acquire(&blocking_lock);
    if (h->job == NULL)
        leave_idle(h);
    return h->job;
}

/* The job is its caller's again; he may be gone with it, once he has seen that. */
static void give_back(job *j)
{
    store_seq_cst(&j->done, 1);
    weft__wake(&j->done, 1, 0); /* only the address */
}

static void *helper_main(void *arg)
{
    pthread_setname_np(pthread_self(), "weft-blocking");
    helper self = {0};
    job *j = arg;
    do {
        store_relaxed(&j->by, weft__self()->id);
        j->result = j->fn(j->arg);
        give_back(j);
        rawlock_acquire(&blocking_lock);
        j = next_job(&self);
        if (j == NULL)
            helpers--;
        rawlock_release(&blocking_lock);
    } while (j != NULL);
    return NULL;
}

/* ---- callers ---- */

/* Hand the job to somebody. False: a new helper must be started for it, and has been counted. */
static bool dispatch(job *j, bool may_start)
{
    bool done = true;
    rawlock_acquire(&blocking_lock);
    helper *h = idle;
    if (h != NULL) {
        leave_idle(h);
        h->job = j;
        store_seq_cst(&h->handed, 1);
    } else if (may_start && helpers < HELPERS_MAX) {
        helpers++;
        done = false;
    } else if (helpers == 0) {
        done = false;
    } else {
        j->next = NULL;
        if (first == NULL)
            first = j;
        else
            last->next = j;
        last = j;
    }
    rawlock_release(&blocking_lock);
    if (h != NULL)
        weft__wake(&h->handed, 1, 0); /* only the address: the helper may be through with the job */
    return done;
}

/* The helper for this job could not be started: another one has to do it. False: there is none. */
static bool not_started(job *j)
{
    rawlock_acquire(&blocking_lock);
    bool none = --helpers == 0;
    job *left = none ? first : NULL, *next; /* I4 */
    if (none)
        first = NULL;
    rawlock_release(&blocking_lock);
    for (; left != NULL; left = next) {
        next = left->next;
        left->refused = true;
        give_back(left);
    }
    return !none && dispatch(j, false);
}

int weft_blocking(weft_co_fn *fn, void *arg)
{
    if (weft_co_self() == NULL)
        return fn(arg);
    job j = {.fn = fn, .arg = arg};
    if (!dispatch(&j, true) && weft__sys_thread(helper_main, &j, HELPER_STACK) < 0 && !not_started(&j))
        return -ENOMEM;
    while (load_acquire(&j.done) == 0)
        weft__park_for(&done_kind, &j, WEFT__CALLER(), &j.done, 0, WEFT_FOREVER, WEFT__UNCANCELLABLE);
    /* NOLINTNEXTLINE(clang-analyzer-core.StackAddressEscape): who did it has taken it out of the queue */
    return j.refused ? -ENOMEM : j.result;
}

/* ---- fork ---- */

void weft__blocking_before_fork(void)
{
    rawlock_acquire(&blocking_lock);
}

void weft__blocking_after_fork_parent(void)
{
    rawlock_release(&blocking_lock);
}

void weft__blocking_after_fork_child(void)
{
    blocking_lock.word = 0;
    first = last = NULL;
    idle = NULL;
    helpers = 0;
}
