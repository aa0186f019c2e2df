/* timer.c - weft_timer: wheels, and one thread that fires what is due in them.
 *
 * There is not one wheel but several, each under a raw lock of its own, and a timer's wheel goes by the page that it
 * lies in: threads that set timers of their own seldom meet, and need no more than a few loads and stores each. The
 * thread collects what is due in every wheel and fires the earliest, again and again. Raw locks, because coroutines,
 * callbacks and fork come here too; nothing is called under them.
 *
 * T1  wheel->next is at or before its first deadline; it is written under the lock.
 * T2  wheel->running is set under the lock in which its timer is taken; nobody but the thread clears it, after fn.
 *     From then on the thread does not touch the timer unless `again` has stayed true all the time: a timer with a
 *     period that was neither cancelled nor set anew, so that its memory must be there.
 * T3  a timer whose epoch is not this process's was set before a fork: it is not set here.
 * Sleep against set: the thread stores `planned`, then reads every `next`; who sets a timer stores `next`, then reads
 * `planned`; all seq_cst, so one sees the other. While the thread is awake `planned` is long past and nobody wakes it.
 * Pinned by tests/thread/timer_test.c; the wheel by tests/co/timer_test.c. */
#include "co/timer.h"

#include "base/panic.h"
#include "park/await.h"
#include "park/rawlock.h"

#include <errno.h>
#include <pthread.h>
#include <sys/prctl.h>

enum {
    WHEELS_LOG2 = 4,
    WHEELS = 1 << WHEELS_LOG2,
    PAGE_LOG2 = 12,
    STACK = 1 << 20 /* bytes; foreign code runs here */
};

typedef struct wheel {
    _Alignas(WEFT__CACHE_LINE) weft__rawlock lock;
    uint32_t order;      /* the last timer's */
    int64_t next;        /* atomic for readers (T1); 0 until the thread has looked */
    weft_timer *running; /* its fn is being called, NULL when none is (T2) */
    bool again;          /* it has a period, and nobody has cancelled it or set it anew meanwhile */
    uint32_t calls;      /* atomic: how many fn have ended; a word to sleep on */
    weft__wheel timers;
} wheel;

static wheel wheels[WHEELS];
static WEFT__FORK_PAGE uint32_t
    touched; /* atomic: some wheel's lock has been taken; until then a fork need not write to 200 KiB */
static WEFT__FORK_PAGE int64_t planned =
    INT64_MIN;                             /* atomic: the thread sleeps until then; long past while it is awake */
static uint32_t stirred;                   /* atomic: changes when it must not sleep on; a word to sleep on */
static WEFT__FORK_PAGE uint16_t epoch = 1; /* T3; changes in a child of fork only */
static WEFT__TLS uint32_t last_order;      /* atomic: the coroutines of a thread share it */
static WEFT__TLS bool is_timer_thread;

enum {
    NO_THREAD,
    STARTING,
    STARTED
};
static WEFT__FORK_PAGE uint32_t thread_state; /* atomic; a word to sleep on */

static wheel *lock_wheel_of(const weft_timer *t)
{
    uint64_t page = (uintptr_t)t >> PAGE_LOG2;
    wheel *w = &wheels[page * UINT64_C(0x9e3779b97f4a7c15) >> (64 - WHEELS_LOG2)];
    if (unlikely(load_relaxed(&touched) == 0))
        store_seq_cst(&touched, 1); /* before the lock: a child that finds the lock held finds this as well */
    rawlock_acquire(&w->lock);
    return w;
}

static bool is_set(const weft_timer *t)
{
    return t->place.epoch == epoch && weft__timer_is_set(&t->place);
}

/* Pre: locked. Set t; its order is above that of all that this thread has set, and of all in the wheel. */
static void set(wheel *w, weft_timer *t, int64_t at)
{
    uint32_t last = load_relaxed(&last_order);
    uint32_t order = ((int32_t)(last - w->order) > 0 ? last : w->order) + 1;
    w->order = t->place.order = order;
    store_relaxed(&last_order, order);
    weft__wheel_set(&w->timers, &t->place, at);
}

/* ---- the thread ---- */

static int64_t earliest(void)
{
    int64_t first = INT64_MAX;
    for (unsigned i = 0; i < WHEELS; i++) {
        int64_t next = load_seq_cst(&wheels[i].next);
        first = next < first ? next : first;
    }
    return first;
}

/* What each wheel has collected first, as last seen. */
typedef struct fronts {
    uint32_t some; /* bit i: wheel i has one */
    struct {
        int64_t at;
        uint32_t order;
    } first[WHEELS];
} fronts;

/* Pre: locked. */
static void look(fronts *f, unsigned i)
{
    const weft__timer *t = wheels[i].timers.due;
    f->some &= ~(1u << i);
    if (t == NULL)
        return;
    f->some |= 1u << i;
    f->first[i].at = t->at;
    f->first[i].order = t->order;
}

static void collect(fronts *f, int64_t now)
{
    f->some = 0;
    for (unsigned i = 0; i < WHEELS; i++) {
        wheel *w = &wheels[i];
        if (load_seq_cst(&w->next) > now)
            continue;
        rawlock_acquire(&w->lock);
        weft__wheel_collect(&w->timers, now);
        look(f, i);
        rawlock_release(&w->lock);
    }
}

/* Which of the wheels has the one that fires next. */
static unsigned choose(const fronts *f)
{
    unsigned best = (unsigned)__builtin_ctz(f->some);
    for (uint32_t rest = f->some & (f->some - 1); rest != 0; rest &= rest - 1) {
        unsigned i = (unsigned)__builtin_ctz(rest);
        if (f->first[i].at < f->first[best].at ||
            (f->first[i].at == f->first[best].at && (int32_t)(f->first[i].order - f->first[best].order) < 0))
            best = i;
    }
    return best;
}

/* The point of the row that `at` and `period` make, after now. */
static int64_t next_point(int64_t at, int64_t period, int64_t now)
{
    int64_t next;
    int64_t passed = now > at ? (now - at) / period : 0;
    if (__builtin_mul_overflow(passed + 1, period, &next) || __builtin_add_overflow(at, next, &next))
        return INT64_MAX;
    return next;
}

static void call_finished(wheel *w, uint16_t began_in)
{
    if (unlikely(epoch != began_in))
        weft__panic("a timer's function called fork() and returned in the child; end the child by _exit() or exec");
    int64_t now = weft__sys_now();
    rawlock_acquire(&w->lock);
    weft_timer *t = w->running;
    w->running = NULL;
    if (w->again)
        set(w, t, next_point(t->place.at, t->period, now));
    rawlock_release(&w->lock);
    add_seq_cst(&w->calls, 1);
    weft__wake(&w->calls, INT32_MAX, 0);
}

/* Call the first one of wheel i, if it still is the one that was seen. */
static void fire(fronts *f, unsigned i)
{
    wheel *w = &wheels[i];
    rawlock_acquire(&w->lock);
    const weft__timer *first = w->timers.due;
    if (first == NULL || first->at != f->first[i].at || first->order != f->first[i].order) {
        look(f, i);
        rawlock_release(&w->lock);
        return;
    }
    weft_timer *t = container_of(weft__wheel_take(&w->timers), weft_timer, place);
    weft_timer_fn *fn = t->fn;
    uint16_t began_in = epoch;
    w->running = t;
    w->again = t->period != 0;
    look(f, i);
    rawlock_release(&w->lock);
    fn(t);
    call_finished(w, began_in);
}

/* Every timer that was due has been called or cancelled: where do the wheels stand now? */
static void renew(int64_t now)
{
    for (unsigned i = 0; i < WHEELS; i++) {
        wheel *w = &wheels[i];
        if (load_seq_cst(&w->next) > now)
            continue;
        rawlock_acquire(&w->lock);
        store_seq_cst(&w->next, weft__wheel_next(&w->timers));
        rawlock_release(&w->lock);
    }
}

/* ---- for reports ---- */

static uint32_t timer_id; /* atomic: of the timer thread's waiter */

/* The timer thread has nothing to do when it sleeps without a deadline. */
static bool is_idle(const void *object, const weft__waiter *waiter)
{
    (void)object;
    uint32_t state = load_acquire(&waiter->state);
    return (state == WEFT__WAITING || state == WEFT__HARD) && load_relaxed(&waiter->until) == INT64_MAX;
}

static void call_enders(const void *object, const weft__waiter *sleeper, weft__enders *e)
{
    (void)object, (void)sleeper;
    e->known = true;
    weft__enders_add(e, load_relaxed(&timer_id));
}

static const weft__awaited timer_kind = {.what = "timers", .idle = is_idle};
static const weft__awaited call_kind = {.what = "end of a timer's function", .held = "run by", .enders = call_enders};

static void *timer_main(void *arg)
{
    (void)arg;
    pthread_setname_np(pthread_self(), "weft-timer");
    prctl(PR_SET_TIMERSLACK, 1); /* the default lets every sleep be 50 us too long */
    is_timer_thread = true;
    store_relaxed(&timer_id, weft__self()->id);
    for (;;) {
        store_seq_cst(&planned, INT64_MIN);
        int64_t now = weft__sys_now();
        fronts f;
        collect(&f, now);
        while (f.some != 0)
            fire(&f, choose(&f));
        renew(now);
        uint32_t seen = load_acquire(&stirred);
        int64_t next = earliest();
        store_seq_cst(&planned, next);
        if (next > now && earliest() >= next)
            weft__park_for(&timer_kind, NULL, NULL, &stirred, seen, (weft_until){next}, WEFT__UNCANCELLABLE);
    }
    return NULL;
}

/* 0, or -EAGAIN. */
WEFT__COLD static int start_thread(void)
{
    uint32_t seen = NO_THREAD;
    while (!cas_seq_cst(&thread_state, &seen, STARTING)) {
        if (seen == STARTED)
            return 0;
        weft__park(&thread_state, STARTING, WEFT_FOREVER, WEFT__UNCANCELLABLE, "the timer thread's start");
        seen = NO_THREAD;
    }
    int err = weft__sys_thread(timer_main, NULL, STACK);
    store_seq_cst(&thread_state, err < 0 ? NO_THREAD : STARTED);
    weft__wake(&thread_state, INT32_MAX, 0);
    return err;
}

/* ---- the calls ---- */

int weft_timer_start(weft_timer *t, weft_timer_fn *fn, weft_until at, int64_t period)
{
    if (period < 0)
        return -EINVAL;
    int err;
    if (unlikely(load_acquire(&thread_state) != STARTED) && (err = start_thread()) < 0)
        return err;
    if (period != 0 && at.at <= 0)
        at = weft_in(0); /* the row begins now */
    wheel *w = lock_wheel_of(t);
    if (t->place.epoch != epoch) {
        t->place.link = NULL;
        t->place.epoch = epoch;
    }
    if (w->running == t)
        w->again = false;
    t->fn = fn;
    t->period = period;
    set(w, t, at.at);
    bool first = at.at < load_relaxed(&w->next);
    if (first)
        store_seq_cst(&w->next, at.at);
    rawlock_release(&w->lock);
    if (first && at.at < load_seq_cst(&planned)) {
        add_seq_cst(&stirred, 1);
        weft__wake(&stirred, 1, 0);
    }
    return 0;
}

int weft_timer_cancel(weft_timer *t)
{
    wheel *w = lock_wheel_of(t);
    int was_pending = is_set(t);
    if (was_pending)
        weft__wheel_cancel(&w->timers, &t->place);
    bool runs = w->running == t;
    if (runs) {
        was_pending |= w->again;
        w->again = false;
    }
    uint32_t calls = load_relaxed(&w->calls);
    rawlock_release(&w->lock);
    while (runs && !is_timer_thread && load_acquire(&w->calls) == calls)
        weft__park_for(&call_kind, t, WEFT__CALLER(), &w->calls, calls, WEFT_FOREVER, WEFT__UNCANCELLABLE);
    return was_pending;
}

int weft_timer_pending(const weft_timer *t)
{
    wheel *w = lock_wheel_of(t);
    int pending = is_set(t) || (w->running == t && w->again);
    rawlock_release(&w->lock);
    return pending;
}

/* ---- fork ---- */

static WEFT__FORK_PAGE bool fork_holds;

WEFT__FORK_TEXT static void before_fork(void)
{
    fork_holds = load_seq_cst(&touched) != 0;
    for (unsigned i = 0; i < WHEELS && fork_holds; i++)
        rawlock_acquire(&wheels[i].lock);
}

WEFT__FORK_TEXT static void after_fork_parent(void)
{
    for (unsigned i = 0; i < WHEELS && fork_holds; i++)
        rawlock_release(&wheels[i].lock);
}

WEFT__FORK_TEXT static void after_fork_child(void)
{
    epoch++;
    for (unsigned i = 0; i < WHEELS && load_relaxed(&touched) != 0; i++) {
        wheel *w = &wheels[i];
        w->lock.word = 0;
        w->next = 0;
        w->running = NULL;
        weft__wheel_init(&w->timers, 0);
    }
    planned = INT64_MIN;
    thread_state = NO_THREAD;
}

__attribute__((constructor(101))) static void watch_fork(void)
{
    pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}
