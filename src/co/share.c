/* share.c - what the scheduler threads share: unstarted coroutines, the right to search for them, and the threads.
 *
 * A coroutine started on a scheduler thread goes into that thread's ring, one started by another thread on the stack
 * `injected`. Threads that run dry take half of somebody's ring, or all of `injected` into their own.
 *
 * S1  no thread sleeps, and none is left to be created, while an unstarted coroutine lies in a ring or on `injected`
 * and nobody holds the right to search. So who brings work when some was there already wakes nobody. S2  at most one
 * thread is woken or created to search at a time (`searching`). When it has found something, it gives the right up,
 * looks once more, and wakes the next one if there is more: a burst of work wakes as many threads as it needs, one
 * after the other, and a trickle only one, which dozes with the right as long as it comes in vain and the trickle lasts
 * (share_search). Order, all seq_cst: bring is store work; load searching; load each
 * `sleeping`. Sleep is store `sleeping`; load all work. Giving up is decrement searching; load all work. Of each pair
 * one side sees the other. Lock order: start_lock, then nothing of ours. Pinned by tests/model (sched, with mutants),
 * tests/co/sched_test.c and tests/co/stress_test.c. */
#include "co/untraced.h"
WEFT__UNTRACED_BEGIN
#include "co/run.h"

#include "base/panic.h"
#include "park/rawlock.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>

enum {
    SCHEDS_MAX = WEFT__SCHED_APART,
    OWN_STACK = 256 << 10, /* bytes of a scheduler thread's own stack: callbacks run there */
    PATIENCE = 40          /* pauses: longer than a thread takes that has started a coroutine in order to wait for it */
};

static weft__sched *scheds[SCHEDS_MAX + 1]; /* atomic pointers; the last one is apart: it shares nothing */
static uint32_t started;                    /* atomic: one more than the highest index of a started thread */
static uint32_t running;                    /* atomic: how many have been started */
static uint32_t limit;                      /* atomic: how many there may be; 0: not decided yet */
static weft__call *injected;                /* atomic: coroutines from other threads, newest first */
static uint32_t searching;                  /* atomic */
static weft__sched *dozer;                  /* atomic: it dozes, or is about to, with the right to search; or NULL */
static weft__rawlock start_lock;

/* ---- how many ---- */

static uint32_t default_limit(void)
{
    const char *text = getenv("WEFT_THREADS");
    if (text != NULL && *text != 0) {
        char *end;
        long n = strtol(text, &end, 10);
        if (*end == 0 && n >= 1 && n <= SCHEDS_MAX)
            return (uint32_t)n;
        weft__warn("WEFT_THREADS=%s is not a number from 1 to %d; it is ignored", text, SCHEDS_MAX);
    }
    unsigned cpus = weft__sys_cpus();
    return cpus < SCHEDS_MAX ? cpus : SCHEDS_MAX;
}

unsigned weft__sched_count(void)
{
    uint32_t n = load_relaxed(&limit);
    if (unlikely(n == 0)) {
        uint32_t decided = default_limit();
        n = cas_acq_rel(&limit, &n, decided) ? decided : n;
    }
    return n;
}

int weft__sched_limit(unsigned n)
{
    if (n < 1 || n > SCHEDS_MAX)
        return -EINVAL;
    int err = 0;
    rawlock_acquire(&start_lock);
    if (n < load_relaxed(&started))
        err = -EBUSY;
    else
        store_relaxed(&limit, n);
    rawlock_release(&start_lock);
    return err;
}

int weft__sched_index(void)
{
    const weft__sched *s = weft__sched_self;
    return s != NULL ? (int)s->index : -1;
}

weft__sched *weft__sched_at(unsigned index)
{
    return index <= WEFT__SCHED_APART ? load_acquire(&scheds[index]) : NULL;
}

bool weft__sched_started(void)
{
    return load_acquire(&started) != 0;
}

/* ---- threads ---- */

static void *thread_main(void *arg)
{
    weft__sched *s = arg;
    char name[16];
    snprintf(name, sizeof name, "weft-%u", (unsigned)s->index);
    pthread_setname_np(pthread_self(), name);
    prctl(PR_SET_TIMERSLACK, 1); /* the default lets every timer be 50 us late */
    weft__overflow_watch_thread();
    weft__run(s);
}

/* Pre: start_lock. */
static int make_sched(weft__sched **out, unsigned index)
{
    void *p;
    int err = weft__sys_map(&p, sizeof(weft__sched));
    if (err < 0)
        return err;
    weft__sched *s = p;
    s->index = index;
    s->apart = index == WEFT__SCHED_APART;
    if ((err = weft__waiter_register(&s->waiter, &weft__run_ops)) < 0) {
        weft__sys_unmap(p, sizeof(weft__sched));
        return err;
    }
    weft__waiter_renew(&s->waiter);
    weft__run_begin(s);
    leak_root(p, sizeof *s);
    store_release(&scheds[index], s);
    *out = s;
    return 0;
}

/* Pre: start_lock. */
static int start_thread(unsigned index, bool searches)
{
    weft__sched *s;
    int err = make_sched(&s, index);
    if (err < 0)
        return err;
    s->searching = searches;
    if ((err = weft__sys_thread(thread_main, s, OWN_STACK)) < 0) {
        /* Others may have looked at it, and its waiter is registered for good: it stays mapped, and is not used again.
         */
        store_release(&scheds[index], NULL);
        weft__waiter_retire(&s->waiter);
        return err;
    }
    if (index >= load_relaxed(&started))
        store_seq_cst(&started, index + 1);
    add_seq_cst(&running, 1);
    return 0;
}

int weft__sched_start(unsigned index)
{
    if (weft__sched_at(index) != NULL)
        return 0;
    weft__co_watch_fork();
    weft__overflow_watch();
    int err = 0;
    rawlock_acquire(&start_lock);
    if (weft__sched_at(index) == NULL)
        err = start_thread(index, false);
    rawlock_release(&start_lock);
    return err;
}

int weft__sched_make_apart(weft__sched **s)
{
    weft__co_watch_fork();
    weft__overflow_watch();
    rawlock_acquire(&start_lock);
    int err = weft__sched_at(WEFT__SCHED_APART) != NULL ? -EBUSY : make_sched(s, WEFT__SCHED_APART);
    rawlock_release(&start_lock);
    return err;
}

/* Start one more thread, which holds the right to search. */
static bool start_searcher(void)
{
    bool done = false;
    rawlock_acquire(&start_lock);
    unsigned n = weft__sched_count(), i = 0;
    while (i < n && weft__sched_at(i) != NULL)
        i++;
    if (i < n)
        done = start_thread(i, true) == 0;
    rawlock_release(&start_lock);
    return done;
}

/* ---- waking ---- */

/* A thread that sleeps; NULL when none does. */
static weft__sched *find_sleeper(void)
{
    uint32_t n = load_seq_cst(&started);
    for (uint32_t i = 0; i < n; i++) {
        weft__sched *s = load_acquire(&scheds[i]);
        if (s == NULL)
            continue;
        uint32_t state = load_seq_cst(&s->sleeping);
        if (state == WEFT__ASLEEP || state == WEFT__ASLEEP_POLL)
            return s;
    }
    return NULL;
}

/* Hand the right to search, which the caller holds, to a thread that sleeps, from `s` on, or to a new one. */
static bool send_searcher(weft__sched *s, bool *startable)
{
    for (; s != NULL; s = find_sleeper())
        if (weft__run_notify(s, WEFT__NOTIFIED_SEARCH))
            return true;
    *startable = *startable && start_searcher();
    return *startable;
}

/* There is work: have one more thread look for it, if there is one to be had and nobody looks already. */
static void wake_searcher(void)
{
    bool startable = load_seq_cst(&running) < weft__sched_count();
    do {
        uint32_t none = 0;
        if (load_seq_cst(&searching) != 0) {
            weft__sched *d = load_seq_cst(&dozer);
            if (d != NULL && load_seq_cst(&injected) != NULL) /* which nobody but a scheduler thread will take */
                weft__run_notify(d, WEFT__NOTIFIED);
            return;
        }
        weft__sched *s = find_sleeper();
        if (s == NULL && !startable)
            return;
        if (!cas_seq_cst(&searching, &none, 1) || send_searcher(s, &startable))
            return;
        /* Who brought work while we held the right has left it to us, and who slept then may sleep again. */
    } while (sub_seq_cst(&searching, 1) == 1 && weft__share_any());
}

/* ---- unstarted coroutines ---- */

static void arrive(weft__call *call)
{
    weft_co *co = container_of(call, weft_co, call);
    weft__run_enqueue(co->sched, co);
}

void weft__sched_submit_pinned(weft_co *co)
{
    co->call.fn = arrive;
    co->pinned = true;
    if (co->sched == weft__sched_self) {
        weft__run_enqueue(co->sched, co);
        return;
    }
    fiber_release(co);
    weft__run_post(co->sched, &co->call);
}

void weft__sched_submit(weft_co *co)
{
    weft__sched *s = weft__sched_self;
    bool first = true;
    co->call.fn = arrive;
    fiber_release(co);
    if (s == NULL || s->apart) {
        weft__call *newest = load_relaxed(&injected);
        do
            co->call.next = newest;
        while (!cas_seq_cst(&injected, &newest, &co->call));
        first = newest == NULL;
    } else if (weft__sched_count() == 1 || !ring_push(&s->ring, co, &first)) {
        weft__run_enqueue(s, co);
        return;
    }
    if (first)
        wake_searcher();
}

bool weft__share_waiting(const weft__sched *s)
{
    return !s->apart && load_seq_cst(&injected) != NULL;
}

bool weft__share_any(void)
{
    if (load_seq_cst(&injected) != NULL)
        return true;
    uint32_t n = load_seq_cst(&started);
    for (uint32_t i = 0; i < n; i++) {
        const weft__sched *s = load_acquire(&scheds[i]);
        if (s != NULL && !ring_empty(&s->ring))
            return true;
    }
    return false;
}

/* Where s will find it, and others, too. */
static void put_in_ring(weft__sched *s, weft_co *co)
{
    bool first;
    if (!ring_push(&s->ring, co, &first))
        weft__run_enqueue(s, co);
}

static bool take_injected(weft__sched *s)
{
    if (load_relaxed(&injected) == NULL)
        return false;
    weft__call *call = weft__run_reverse(swap_seq_cst(&injected, NULL)), *next;
    bool some = call != NULL;
    for (; call != NULL; call = next) {
        next = call->next;
        put_in_ring(s, container_of(call, weft_co, call));
    }
    return some;
}

/* A coroutine that lies alone in its ring is mostly what its thread will run next, for whoever started it waits for it
 * now. Only one that stays there is worth the way to another processor. */
static bool is_left(const weft__ring *r)
{
    uint64_t head = load_acquire(&r->head);
    if (load_acquire(&r->tail) - head != 1 || !weft__may_spin())
        return true;
    for (unsigned i = 0; i < PATIENCE; i++)
        cpu_relax();
    return load_acquire(&r->head) == head;
}

static bool steal(weft__sched *s)
{
    void *entries[WEFT__RING_STEAL];
    uint32_t n = load_acquire(&started);
    for (uint32_t i = 0; i < n; i++) {
        weft__sched *victim = load_acquire(&scheds[s->victim++ % n]);
        if (victim == NULL || victim == s || !is_left(&victim->ring))
            continue;
        unsigned taken = ring_take(&victim->ring, entries, WEFT__RING_STEAL);
        for (unsigned j = 0; j < taken; j++)
            put_in_ring(s, entries[j]);
        if (taken != 0)
            return true;
    }
    return false;
}

void weft__share_take(weft__sched *s)
{
    if (!s->apart && take_injected(s))
        wake_searcher();
}

/* Whether any thread has put a coroutine in its ring since this was asked last. */
static bool is_trickling(weft__sched *s)
{
    uint64_t sum = 0;
    uint32_t n = load_acquire(&started);
    for (uint32_t i = 0; i < n; i++) {
        const weft__sched *other = load_acquire(&scheds[i]);
        sum += other != NULL ? load_relaxed(&other->ring.tail) : 0;
    }
    bool moved = sum != s->pushes;
    s->pushes = sum;
    return moved;
}

void weft__share_search(weft__sched *s, bool idle)
{
    if (unlikely(s->apart))
        return;
    bool sent = s->searching;
    if (!sent) {
        if (!(idle && s->vain) && !weft__share_any())
            return;
        add_seq_cst(&searching, 1);
    } else if (load_relaxed(&dozer) == s) {
        store_seq_cst(&dozer, NULL);
    }
    s->searching = false;
    bool found = take_injected(s) || steal(s);
    if (sent || found)
        s->vain = !found && s->poller == NULL && is_trickling(s);
    if (idle && s->vain && !found) {
        s->searching = true;
        store_seq_cst(&dozer, s);
        return;
    }
    if (sub_seq_cst(&searching, 1) == 1 && weft__share_any())
        wake_searcher();
}

void weft__sched_call(unsigned index, weft__call *call)
{
    weft__run_post(weft__sched_at(index), call);
}

int weft__sched_poller(void **poller)
{
    weft__sched *s = weft__sched_self;
    const weft__idler *ops = load_acquire(&weft__idler_ops);
    if (s == NULL || ops == NULL)
        return -ENOTSUP;
    if (s->poller == NULL) {
        int err = ops->open(&s->poller);
        if (err < 0) {
            s->poller = NULL;
            return err;
        }
        weft__idle_poller = s->poller;
    }
    *poller = s->poller;
    return 0;
}

/* ---- fork ---- */

void weft__sched_before_fork(void)
{
    rawlock_acquire(&start_lock);
}

void weft__sched_after_fork_parent(void)
{
    rawlock_release(&start_lock);
}

static void leave_behind(uint32_t index)
{
    const weft__idler *ops = weft__idler_ops;
    weft__sched *s = scheds[index];
    if (s == NULL)
        return;
    weft__waiter_retire(&s->waiter);
    if (s->poller != NULL && ops != NULL && ops->after_fork != NULL)
        ops->after_fork(s->poller);
    scheds[index] = NULL;
}

/* The threads do not exist in the child, and what they had is left where it is: we may be running on a part of it. */
void weft__sched_after_fork_child(void)
{
    for (uint32_t i = 0; i < started; i++)
        leave_behind(i);
    leave_behind(WEFT__SCHED_APART);
    started = running = searching = 0;
    dozer = NULL;
    injected = NULL;
    start_lock.word = 0;
    weft__sched_starved_after_fork_child();
    if (weft__sched_self != NULL) {
        weft__sched_self = NULL;
        weft__idle_poller = NULL;
        weft__become(NULL);
    }
}

#ifdef WEFT_MODEL
void weft__share_reset(weft__sched *const *s, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        scheds[i] = s[i];
    started = running = limit = n;
    searching = 0;
    dozer = NULL;
    injected = NULL;
}
#endif
WEFT__UNTRACED_END
