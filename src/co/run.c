/* run.c - one scheduler thread: its run queue and the switches between its coroutines. How it idles: idle.c.
 *
 * The run queue is strictly first come, first served over two containers: the local list of ready coroutines, plain
 * loads and stores, and the ring of unstarted ones, which others may steal from. A coroutine that is made ready
 * remembers the ring's tail; it runs once the ring's head has come that far, whoever took those in between (take_next).
 *
 * A coroutine that gives way switches to the next one directly. It goes to the thread's own stack when nothing is ready
 * and at every 64th switch, to look around: inbox, unstarted coroutines from other threads, timers, descriptors. One
 * that ends hands its stack to an unstarted one in place, without a switch. Pinned by tests/co/sched_test.c and
 * tests/co/stress_test.c. */
#include "co/untraced.h"
WEFT__UNTRACED_BEGIN
#include "co/run.h"

#include "base/panic.h"
#include "park/watch.h"

#include <errno.h>
#include <stdio.h>

enum {
    ROUND = 64,   /* switches between two looks around */
    AGAIN_MS = 20 /* until one that waits for a stack tries anew: memory may be there without a coroutine's end */
};

WEFT__TLS weft__sched *weft__sched_self;

static uint32_t starved; /* atomic: some coroutine waits for a stack */

/* ---- the run queue ---- */

void weft__run_enqueue(weft__sched *s, weft_co *co)
{
    fiber_release(co);
    co->next = NULL;
    co->after = load_relaxed(&s->ring.tail);
    if (s->first == NULL)
        s->first = co;
    else
        s->last->next = co;
    s->last = co;
}

static weft_co *take_local(weft__sched *s)
{
    weft_co *co = s->first;
    if (co != NULL)
        s->first = co->next;
    return co;
}

/* The coroutine whose turn it is, started or not; NULL when there is none. */
static weft_co *take_next(weft__sched *s)
{
    const weft_co *first = s->first;
    if (first != NULL && (int64_t)(load_relaxed(&s->ring.head) - first->after) >= 0)
        return take_local(s);
    void *unstarted = NULL;
    if (load_relaxed(&s->ring.tail) != load_relaxed(&s->ring.head) && ring_take(&s->ring, &unstarted, 1) != 0)
        return unstarted;
    return take_local(s);
}

/* ---- starting and ending ---- */

static void deadline_came(weft__timer *t)
{
    weft_co *co = container_of(t, weft_co, timer);
    if (weft__waiter_claim(&co->waiter, WEFT__TIMEDOUT))
        weft__run_enqueue(co->sched, co);
}

/* The coroutine is over: hand its result to whoever has the handle. The slot may be another's when this returns. */
static void publish(weft__sched *s, weft_co *co, int result)
{
    weft__waiter_retire(&co->waiter);
    co->stack = NULL;
    if (load_acquire(&co->life) == WEFT__CO_DETACHED) {
        weft__pool_give(s, co);
        return;
    }
    co->result = result;
    uint32_t was = swap_seq_cst(&co->life, WEFT__CO_ENDED);
    if (was == WEFT__CO_JOINED)
        weft__wake(&co->life, 1, 0);
    else if (was == WEFT__CO_DETACHED)
        weft__pool_give(s, co);
}

/* A stack may be free again: let one that waits for a stack try again. */
static void retry_starved(weft__sched *s)
{
    weft_co *co = s->starved;
    s->starved = co->next;
    if (s->starved == NULL)
        store_relaxed(&starved, 0);
    weft__run_enqueue(s, co);
}

static void try_again(weft__timer *t)
{
    weft__sched *s = container_of(t, weft__sched, again);
    if (s->starved != NULL)
        retry_starved(s);
}

/* There is no stack for co. It waits for one that another coroutine of this thread leaves, or for memory; without any
 * other, it fails. */
WEFT__COLD static void starve(weft__sched *s, weft_co *co)
{
    static uint32_t warned;
    if (swap_acq_rel(&warned, 1) == 0)
        weft__warn("no memory for more coroutine stacks (or no mapping: see /proc/sys/vm/max_map_count); "
                   "coroutines wait until others end, or there is memory again");
    if (s->live == 0) {
        publish(s, co, -ENOMEM);
        if (s->starved != NULL)
            retry_starved(s);
        return;
    }
    store_relaxed(&starved, 1);
    co->next = s->starved;
    s->starved = co;
    s->again.fire = try_again;
    weft__wheel_set(&s->wheel, &s->again, weft__sys_now() + AGAIN_MS * WEFT_MS);
}

bool weft__sched_starved(void)
{
    return load_relaxed(&starved) != 0;
}

void weft__sched_starved_after_fork_child(void)
{
    store_relaxed(&starved, 0);
}

static void own_stack(weft__sched *s, weft_co *co, weft__stack *stack)
{
    co->sched = s;
    co->stack = stack;
    co->timer.fire = deadline_came;
    s->live++;
}

static void run_coroutines(void *arg);

/* Make an unstarted coroutine ready to be switched to. False: there is no stack for it now. */
static bool begin(weft__sched *s, weft_co *co)
{
    weft__stack *stack = weft__stack_take(&s->stacks, co->size_class);
    if (unlikely(stack == NULL)) {
        starve(s, co);
        return false;
    }
    if (unlikely(s->starved != NULL)) /* there may be more where this one came from */
        retry_starved(s);
    own_stack(s, co, stack);
    /* The tops of all stacks have the same address modulo the page, which a processor's first cache would have to keep
     * in eight places: spread them over 1 KiB. */
    size_t colour = ((uintptr_t)stack / sizeof *stack & 15) * WEFT__CACHE_LINE;
    char *top = stack->low + weft__stack_size(co->size_class) - colour;
    context_prepare(&co->context, stack->low, top, run_coroutines, s);
    return true;
}

/* The coroutine to switch to now; NULL: look around on the thread's own stack. */
static weft_co *choose(weft__sched *s)
{
    if (++s->switches % ROUND == 0)
        return NULL;
    weft_co *co;
    do
        co = take_next(s);
    while (co != NULL && co->stack == NULL && !begin(s, co));
    return co;
}

/* ---- switching ---- */

static void bury(weft__sched *s)
{
#if WEFT__TSAN
    if (s->dead_fiber != NULL)
        __tsan_destroy_fiber(s->dead_fiber);
    s->dead_fiber = NULL;
#endif
    (void)s;
}

/* co, or the thread's own stack when it is NULL, is about to stop running, or has begun to run; see untraced.h. */
static inline void stops(weft__sched *s, const weft_co *co)
{
    if (co == NULL || co->pinned)
        fiber_release(s);
}

static inline void runs(weft__sched *s, weft_co *co)
{
    if (co != NULL)
        fiber_acquire(co);
    if (co == NULL || co->pinned)
        fiber_acquire(s);
}

/* From now on this thread runs as co. ThreadSanitizer learns of the edge from co's maker only when co runs (see
 * runs), and it sees atomics everywhere: so for it this is a plain read, which it is not shown here. */
static inline void become(weft_co *co)
{
#if WEFT__TSAN && WEFT_TSAN_SWITCH_FLAG
    weft__self_waiter = &co->waiter;
    weft__self_id = *(volatile uint32_t *)&co->waiter.shown_id;
#else
    weft__become(&co->waiter);
#endif
}

/* Switch to a coroutine, or to the thread's own stack when co is NULL. */
static inline void switch_to(weft__sched *s, weft__context *from, weft_co *co, bool ends)
{
    s->current = co;
    if (co != NULL)
        become(co);
    else
        weft__become(&s->waiter);
    context_switch(from, co != NULL ? &co->context : &s->own, ends);
}

/* The running coroutine stops running until somebody has made it ready, which may have happened already. */
static void leave(weft__sched *s, weft_co *co)
{
    stops(s, co);
    weft_co *next = choose(s);
    if (next != co) {
        switch_to(s, &co->context, next, false);
        bury(s);
    }
    runs(s, co);
}

/* What follows a coroutine that has ended: an unstarted one that can use the same stack, or else NULL, and then *next
 * is where to switch to. */
static weft_co *successor(weft__sched *s, const weft__stack *stack, weft_co **next)
{
    *next = NULL;
    if (++s->switches % ROUND == 0)
        return NULL;
    weft_co *co = take_next(s);
    if (co != NULL && co->stack == NULL && co->size_class == stack->size_class)
        return co;
    while (co != NULL && co->stack == NULL && !begin(s, co))
        co = take_next(s);
    *next = co;
    return NULL;
}

/* The coroutine has returned: let go of it. Post: co is somebody else's, and this stack belongs to nobody. */
static void end(weft__sched *s, weft_co *co, int result)
{
    if (unlikely(weft__sched_self != s))
        weft__panic(
            "the coroutine that called fork() has returned in the child: there is nothing left to return to; end "
            "the child by _exit() or exec");
    stops(s, co);
    s->live--;
    s->current = NULL;
    weft__become(&s->waiter);
    publish(s, co, result);
    if (unlikely(s->starved != NULL))
        retry_starved(s);
}

/* The base of every coroutine's stack: run one, then those that inherit its stack. */
static void run_coroutines(void *arg)
{
    weft__sched *s = arg;
    context_begin();
    bury(s);
    weft_co *next;
    for (;;) {
        weft_co *co = s->current;
        runs(s, co);
        fiber_acquire(co->stack);
        int result = co->fn(co->arg);
        if (unlikely(co->waiter.locals != NULL))
            weft__locals_end(&co->waiter);
        weft__stack *stack = co->stack;
        weft__context context = co->context;
        end(s, co, result);
        co = successor(s, stack, &next);
        if (co != NULL) {
            own_stack(s, co, stack);
            s->current = co;
            become(co);
            fiber_release(stack);
            context_inherit(&co->context, &context);
            continue;
        }
        weft__stack_give(&s->stacks, stack); /* nobody takes it before we have left it: the cache is this thread's */
#if WEFT__TSAN
        s->dead_fiber = context.fiber;
#endif
        fiber_release(stack);
        switch_to(s, &context, next, true);
    }
}

void weft__sched_yield(weft__sched *s, weft_co *co)
{
    weft__run_enqueue(s, co);
    leave(s, co);
}

/* ---- a coroutine as a waiter ---- */

static void co_block(weft__waiter *self, int64_t until_ns)
{
    weft_co *co = container_of(self, weft_co, waiter);
    weft__sched *s = co->sched;
    if (until_ns == INT64_MAX) {
        leave(s, co);
        return;
    }
    weft__wheel_set(&s->wheel, &co->timer, until_ns);
    leave(s, co);
    weft__wheel_cancel(&s->wheel, &co->timer);
}

static void co_ready(weft__waiter *w)
{
    weft_co *co = container_of(w, weft_co, waiter);
    weft__sched *s = co->sched;
    if (s == weft__sched_self) {
        weft__run_enqueue(s, co);
        return;
    }
    fiber_release(co);
    weft__run_post(s, &co->call);
}

static void co_name(const weft__waiter *w, char *buf, size_t size)
{
    const weft_co *co = container_of(w, weft_co, waiter);
    size_t n = 0;
    while (n + 1 < size && n < WEFT__CO_NAME && (buf[n] = load_relaxed(&co->name[n])) != 0)
        n++;
    if (n == 0)
        snprintf(buf, size, "%s", co->default_name);
    else
        buf[n] = 0;
}

const weft__waiter_ops weft__co_ops = {"coroutine", co_block, co_ready, co_name, false};

/* The thread on its own stack: it may take a free lock, but there is nobody to give way to. Unless it is a host's that
 * was struck in its sleep by a signal whose handler calls exit(), which as in any thread waits for pools, threads ...
 * to end. They do so without this scheduler, as a rule. */
static void own_block(weft__waiter *self, int64_t until_ns)
{
    const weft__sched *s = container_of(self, weft__sched, waiter);
    if (s->host == NULL || load_relaxed(&s->sleeping) == WEFT__AWAKE)
        weft__panic(
            "a callback on a scheduler thread's own stack (timer, descriptor event or call) must not wait; start a "
            "coroutine for it");
    weft__thread_ops.block(self, until_ns);
}

static void own_ready(weft__waiter *w)
{
    weft__thread_ops.ready(w);
}

static void own_name(const weft__waiter *w, char *buf, size_t size)
{
    const weft__sched *s = container_of(w, weft__sched, waiter);
    if (s->apart)
        snprintf(buf, size, "scheduler-apart");
    else
        snprintf(buf, size, "scheduler-%u", (unsigned)s->index);
}

const weft__waiter_ops weft__run_ops = {"scheduler", own_block, own_ready, own_name, true};

void weft__thread_enter_slow(void)
{
    if (weft__sched_self != NULL) /* a plain thread has what is its own to itself */
        fiber_acquire(weft__sched_self);
}

void weft__thread_leave_slow(void)
{
    if (weft__sched_self != NULL)
        fiber_release(weft__sched_self);
}

/* ---- a round ---- */

/* For the watch thread: this scheduler has nothing to do, and nothing will come but from other threads. */
static bool is_at_rest(const void *object, const weft__waiter *waiter)
{
    (void)waiter;
    const weft__sched *s = object;
    uint32_t sleeping = load_seq_cst(&s->sleeping);
    return (sleeping == WEFT__ASLEEP || sleeping == WEFT__ASLEEP_POLL) && load_acquire(&s->at_rest) != 0 &&
           load_seq_cst(&s->inbox) == NULL && !weft__share_any();
}

static const weft__awaited rest_kind = {.what = "coroutines", .idle = is_at_rest};

void weft__run_begin(weft__sched *s)
{
    weft__await(&s->waiter, &rest_kind, s, NULL, WEFT_FOREVER);
    weft__wheel_init(&s->wheel, weft__sys_now());
}

void weft__run_enter(weft__sched *s)
{
    weft__sched_self = s;
    weft__idle_poller = s->poller;
    weft__become(&s->waiter);
    context_of_thread(&s->own);
}

void weft__run_round(weft__sched *s)
{
    weft_co *co = choose(s);
    if (co != NULL) {
        stops(s, NULL);
        switch_to(s, &s->own, co, false);
        bury(s);
        runs(s, NULL);
    }
    if (s->switches % ROUND == 0)
        weft__run_look_around(s);
    else
        weft__run_idle(s);
}

void weft__run(weft__sched *s)
{
    weft__run_enter(s);
    for (;;)
        weft__run_round(s);
}
WEFT__UNTRACED_END
