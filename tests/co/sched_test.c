/* The scheduler: who runs where and when, stealing, pinning, calls, timers, pollers, idleness. */
#include "co/co_support.h"
#include "co/state.h"
#include "park/park.h"
#include "sys/sys.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>

static uint32_t count; /* atomic */

static int raise_it(void *arg)
{
    (void)arg;
    raise_flag();
    return 0;
}

static weft_co *start_on(unsigned index, weft_co_fn *fn, void *arg)
{
    weft_co *co = NULL;
    CHECK_OK(weft__co_start_on(index, &co, fn, arg, NULL));
    return co;
}

/* ---- where ---- */

enum {
    THREADS = 4
};

/* Holds its thread until all have met here: only possible when each has a thread of its own. */
static int meet(void *arg)
{
    (void)arg;
    add_seq_cst(&count, 1);
    while (load_seq_cst(&count) < THREADS)
        sched_yield();
    return weft__sched_index();
}

static void check_all_different(weft_co **co)
{
    unsigned seen = 0;
    for (int i = 0; i < THREADS; i++)
        seen |= 1u << join(co[i]);
    CHECK_INT((1 << THREADS) - 1, seen);
}

TEST(sched_started_from_a_thread_spread_over_all_threads)
{
    weft_co_threads(THREADS);
    weft_co *co[THREADS];
    for (int i = 0; i < THREADS; i++)
        co[i] = start(meet, NULL);
    check_all_different(co);
}

static int start_and_hold(void *arg)
{
    weft_co **co = arg;
    for (int i = 1; i < THREADS; i++)
        co[i] = start(meet, NULL);
    return meet(NULL); /* does not give its thread away: the others must be stolen */
}

TEST(sched_started_by_a_busy_coroutine_are_stolen)
{
    weft_co_threads(THREADS);
    weft_co *co[THREADS];
    co[0] = start(start_and_hold, co);
    check_all_different(co);
}

static int thread_id_stays(void *arg)
{
    (void)arg;
    pid_t tid = weft__sys_tid();
    int index = weft__sched_index();
    for (int i = 0; i < 200; i++) {
        if (i % 3 == 0)
            weft_sleep(weft_in(10 * WEFT_US));
        else
            weft_yield();
        CHECK_INT(tid, weft__sys_tid());
        CHECK_INT(index, weft__sched_index());
    }
    return 0;
}

TEST(sched_coroutine_stays_on_its_thread)
{
    weft_co_threads(THREADS);
    weft_co *co[40];
    for (int i = 0; i < 40; i++)
        co[i] = start(thread_id_stays, NULL);
    for (int i = 0; i < 40; i++)
        join(co[i]);
}

static int say_index(void *arg)
{
    (void)arg;
    return weft__sched_index();
}

TEST(sched_pinned_start_runs_on_the_thread_it_names)
{
    weft_co_threads(THREADS);
    CHECK_INT(-1, weft__sched_index());
    CHECK_INT(THREADS, weft__sched_count());
    for (int i = THREADS; i-- > 0;) /* also when it is the first to be started */
        CHECK_INT(i, join(start_on((unsigned)i, say_index, NULL)));
    weft_co *co;
    CHECK_ERR(-EINVAL, weft__co_start_on(THREADS, &co, say_index, NULL, NULL));
}

static int note_index(void *arg)
{
    (void)arg;
    CHECK_INT(1, weft__sched_index());
    add_seq_cst(&count, 1);
    return 0;
}

static int start_many_here(void *arg)
{
    (void)arg;
    for (int i = 0; i < 1000; i++)
        CHECK_OK(weft__co_start_here(note_index, NULL, NULL));
    CHECK_INT(0, load_relaxed(&count));
    weft_yield();
    CHECK_INT(1000, load_relaxed(&count));
    return 0;
}

TEST(sched_started_here_is_not_stolen)
{
    weft_co_threads(THREADS);
    CHECK_OK(join(start_on(1, start_many_here, NULL)));
}

/* ---- when ---- */

static char order[64];
static uint32_t length, noted; /* atomic */

static int note(void *arg)
{
    order[add_relaxed(&length, 1)] = *(const char *)arg;
    add_seq_cst(&noted, 1);
    return 0;
}

static int note_twice(void *arg)
{
    note(arg);
    weft_yield();
    return note(arg);
}

static int mix_starts(void *arg)
{
    (void)arg;
    weft__co_start_here(note_twice, "a", NULL);
    weft_go(note, "b"); /* through the ring */
    weft__co_start_here(note, "c", NULL);
    weft_go(note_twice, "d");
    weft_yield();
    note("-");
    weft_yield();
    return 0;
}

TEST(sched_runs_first_come_first_served_whatever_the_way_in)
{
    /* Four threads are allowed, so that starts go through the ring, but the three others are busy. */
    weft_co_threads(THREADS);
    count = 0;
    weft_co *busy[THREADS];
    for (unsigned i = 1; i < THREADS; i++)
        busy[i] = start_on(i, meet, NULL);
    while (load_seq_cst(&count) < THREADS - 1)
        sched_yield();
    join(start_on(0, mix_starts, NULL));
    CHECK_INT(7, load_seq_cst(&noted));
    CHECK_STR("abcd-ad", order);
    add_seq_cst(&count, 1);
    for (unsigned i = 1; i < THREADS; i++)
        join(busy[i]);
}

static int yield_until_flag(void *arg)
{
    (void)arg;
    while (load_relaxed(&flag) == 0)
        weft_yield();
    return 0;
}

static int sleep_then_raise(void *arg)
{
    (void)arg;
    weft_sleep(weft_in_ms(2));
    raise_flag();
    return 0;
}

TEST(sched_busy_coroutines_do_not_starve_timers)
{
    weft_co_threads(1);
    weft_co *busy[3];
    for (int i = 0; i < 3; i++)
        busy[i] = start(yield_until_flag, NULL);
    join(start(sleep_then_raise, NULL)); /* nor what other threads start */
    for (int i = 0; i < 3; i++)
        join(busy[i]);
}

/* ---- calls and timers on the thread's own stack ---- */

static weft__call calls[100];

static void on_call(weft__call *call)
{
    CHECK_INT(1, weft__sched_index());
    CHECK(weft_co_self() == NULL);
    CHECK_INT(call - calls, count);
    count++;
    if (count == 100)
        CHECK_OK(weft__co_start_here(sleep_then_raise, NULL, NULL));
}

TEST(sched_calls_are_made_in_order_on_the_thread_they_name)
{
    weft_co_threads(2);
    weft_co *waiter = start_on(1, wait_for_flag, NULL);
    for (int i = 0; i < 100; i++) {
        calls[i].fn = on_call;
        weft__sched_call(1, &calls[i]);
    }
    CHECK_OK(join(waiter));
    CHECK_INT(100, count);
}

static weft__timer ticking;
static int64_t due;

static void on_timer(weft__timer *t)
{
    CHECK(weft_now() >= due);
    CHECK(weft_co_self() == NULL);
    if (++count == 5)
        raise_flag();
    else
        weft__timer_set(t, due = weft_now() + WEFT_MS);
}

static int set_timer(void *arg)
{
    (void)arg;
    ticking.fire = on_timer;
    weft__timer never = {.fire = on_timer};
    weft__timer_set(&never, due = weft_now() + WEFT_MS / 2);
    weft__timer_set(&ticking, due);
    weft__timer_cancel(&never);
    return wait_for_flag(NULL);
}

TEST(sched_timers_fire_on_the_thread_that_set_them)
{
    CHECK_OK(join(start(set_timer, NULL)));
    CHECK_INT(5, count);
}

static void wait_on_call(weft__call *call)
{
    (void)call;
    weft_sleep(weft_in_ms(1));
}

TEST_PANICS(sched_callback_that_waits_is_told, "must not wait")
{
    static weft__call call = {.fn = wait_on_call};
    join(start(say_index, NULL));
    weft__sched_call(0, &call);
    weft_sleep(WEFT_FOREVER);
}

/* ---- trickles: one coroutine after the other is started and waited for ---- */

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int start_one_by_one(void *arg)
{
    for (long i = *(long *)arg; i > 0; i--)
        CHECK_OK(join(start(nothing, NULL)));
    return 0;
}

static int start_then_keep_busy(void *arg)
{
    (void)arg;
    for (long i = test_rounds(20, 2000); i > 0; i--) {
        long n = 20000;
        start_one_by_one(&n);
        store_seq_cst(&flag, 0);
        CHECK_OK(weft_go(raise_it, NULL));
        while (load_seq_cst(&flag) == 0) /* does not give its thread away */
            sched_yield();
    }
    return 0;
}

TEST_LIMIT(120, sched_coroutine_that_is_left_after_a_trickle_is_stolen)
{
    weft_co_threads(2);
    CHECK_OK(join(start(start_then_keep_busy, NULL)));
}

static int trickle_until_flag(void *arg)
{
    (void)arg;
    while (load_seq_cst(&flag) == 0)
        CHECK_OK(join(start(nothing, NULL)));
    return 0;
}

TEST(sched_coroutines_from_threads_run_beside_a_trickle)
{
    weft_co_threads(2);
    weft_co *trickle = start(trickle_until_flag, NULL);
    for (long i = test_rounds(2000, 100000); i > 0; i--)
        CHECK_OK(join(start(nothing, NULL)));
    raise_flag();
    CHECK_OK(join(trickle));
}

/* ---- idling ---- */

static double cpu_time(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

TEST(sched_idle_threads_use_no_processor)
{
    weft_co_threads(THREADS);
    weft_co *co[THREADS];
    for (int i = 0; i < THREADS; i++)
        co[i] = start(meet, NULL);
    check_all_different(co);
    weft_co *waiter = start(wait_for_flag, NULL);
    while (weft__sleepers(&flag) == 0)
        sched_yield();
    double taken;
    int tries = 5; /* they may be on their way to sleep */
    do {
        double before = cpu_time();
        weft__sys_plan(WEFT__SYS_FUTEX_WAIT, UINT32_MAX, 1, -EINTR, 0); /* count them */
        struct timespec while_idle = {0, 200000000};
        nanosleep(&while_idle, NULL);
        taken = cpu_time() - before;
    } while (taken >= 0.05 * test_limit_factor() && --tries > 0);
    CHECK(taken < 0.05 * test_limit_factor());
    CHECK_BETWEEN(0, THREADS, weft__sys_seen(WEFT__SYS_FUTEX_WAIT));
    weft__sys_plan_none();
    raise_flag();
    CHECK_OK(join(waiter));
}

/* A poller that only sleeps and is interrupted. */
static struct {
    uint32_t word;       /* atomic */
    uint32_t polls;      /* atomic: without waiting */
    uint32_t waits;      /* atomic */
    uint32_t interrupts; /* atomic */
    uint32_t looks;      /* atomic: polls without waiting that followed one with */
    uint32_t slept;      /* atomic: the last one waited */
    uint32_t quick;      /* atomic: `who` ends a sleep by himself */
    uint32_t kept;       /* atomic: `who` is not made ready yet */
    uint32_t watched;    /* atomic: descriptors beside one */
    weft__waiter *who;   /* atomic: made ready in the next poll */
} poller;

static int poller_open(void **p)
{
    *p = &poller;
    return 0;
}

static void poller_close(void *p)
{
    (void)p;
}

static int poller_poll(void *p, int64_t until_ns)
{
    CHECK_PTR(&poller, p);
    add_seq_cst(until_ns <= 0 ? &poller.polls : &poller.waits, 1);
    if (swap_seq_cst(&poller.slept, until_ns > 0) == 1 && until_ns <= 0)
        add_seq_cst(&poller.looks, 1);
    bool told = load_seq_cst(&poller.quick) != 0 && load_acquire(&poller.who) != NULL;
    while (until_ns > 0 && !told && load_seq_cst(&poller.word) == 0)
        if (weft__sys_futex_wait(&poller.word, 0, until_ns, false) == -ETIMEDOUT)
            break;
    weft__sched_awake();
    store_seq_cst(&poller.word, 0);
    weft__waiter *w = load_seq_cst(&poller.kept) != 0 ? NULL : swap_acq_rel(&poller.who, NULL);
    if (w == NULL || !weft__waiter_claim(w, WEFT__WOKEN(0)))
        return 0;
    weft__waiter_ready(w);
    return 1;
}

static void poller_interrupt(void *p)
{
    (void)p;
    add_seq_cst(&poller.interrupts, 1);
    store_seq_cst(&poller.word, 1);
    weft__sys_futex_wake(&poller.word, 1, false);
}

static unsigned poller_watched(void *p)
{
    (void)p;
    return load_seq_cst(&poller.watched) + 1;
}

static const weft__idler idler = {poller_open, poller_close, poller_poll, poller_interrupt, NULL, poller_watched};

static int open_poller(void *arg)
{
    (void)arg;
    void *p = NULL;
    CHECK_ERR(-ENOTSUP, weft__sched_poller(&p));
    store_release(&weft__idler_ops, &idler);
    CHECK_OK(weft__sched_poller(&p));
    CHECK_PTR(&poller, p);
    CHECK_PTR(&poller, weft__idle_poller);
    return 0;
}

/* As io does it: findable by the poller, then asleep. */
static int wait_in_poller(void *arg)
{
    (void)arg;
    weft__waiter *self = weft__self();
    weft__wait_begin(self, false);
    CHECK(swap_seq_cst(&poller.who, self) == NULL);
    add_seq_cst(&count, 1);
    uint32_t why = weft__wait_block(self, INT64_MAX);
    CHECK_INT(WEFT__WOKEN(0), why);
    return 0;
}

TEST(sched_with_a_poller_sleeps_in_it_and_is_interrupted)
{
    weft_co_threads(1);
    CHECK_OK(join(start(open_poller, NULL)));
    weft_co *waiter = start(wait_for_flag, NULL);
    while (load_seq_cst(&poller.waits) == 0)
        sched_yield();
    while (weft__sleepers(&flag) == 0)
        sched_yield();
    raise_flag();
    CHECK_OK(join(waiter));
    store_seq_cst(&flag, 0);
    join(start(sleep_then_raise, NULL)); /* a deadline ends the sleep in it, too */
    void *p;
    CHECK_ERR(-ENOTSUP, weft__sched_poller(&p));
}

TEST(sched_busy_coroutines_do_not_starve_the_poller)
{
    weft_co_threads(1);
    CHECK_OK(join(start(open_poller, NULL)));
    weft_co *busy = start(yield_until_flag, NULL);
    weft_co *waiter = start(wait_in_poller, NULL);
    CHECK_OK(join(waiter)); /* made ready by a poll between the yields */
    CHECK(load_seq_cst(&poller.polls) > 0);
    raise_flag();
    CHECK_OK(join(busy));
}

TEST(sched_interrupts_only_a_poller_that_sleeps)
{
    weft_co_threads(1);
    CHECK_OK(join(start(open_poller, NULL)));
    weft_co *busy = start(yield_until_flag, NULL);
    uint32_t polls = load_seq_cst(&poller.polls);
    while (load_seq_cst(&poller.polls) == polls)
        sched_yield(); /* now it is busy for good */
    uint32_t before = load_seq_cst(&poller.interrupts);
    for (int i = 0; i < 100; i++)
        CHECK_INT(0, join(start_on(0, say_index, NULL)));
    CHECK_INT(before, load_seq_cst(&poller.interrupts));
    raise_flag();
    CHECK_OK(join(busy));
}

/* Made ready by the poller of a thread that was woken to search: holds this thread until the work it was woken for is
 * done. */
static int hold_after_poll(void *arg)
{
    wait_in_poller(arg);
    while (load_seq_cst(&flag) == 0)
        sched_yield();
    return 0;
}

TEST(sched_thread_that_was_woken_to_search_and_got_busy_lets_others_search)
{
    weft_co_threads(2);
    CHECK_OK(join(start_on(0, open_poller, NULL)));
    store_seq_cst(&poller.kept, 1); /* a late interrupt may end a sleep before the one that is meant */
    weft_co *holder = start_on(0, hold_after_poll, NULL);
    while (load_acquire(&poller.who) == NULL || load_seq_cst(&weft__sched_at(0)->sleeping) != WEFT__ASLEEP_POLL)
        sched_yield();
    store_seq_cst(&poller.quick, 1); /* if it sees the work before it has fallen asleep: it is told when it does */
    store_seq_cst(&poller.kept, 0);
    CHECK_OK(weft_go(raise_it, NULL));
    CHECK_OK(join(holder));
}

enum {
    WAITS = 1000
};

static int wait_in_poller_often(void *arg)
{
    for (int i = 0; i < WAITS; i++)
        wait_in_poller(arg);
    return 0;
}

/* A machine with other work may forbid it for a while, so it is given time. */
TEST(sched_that_finds_events_when_it_looks_does_not_sleep)
{
    weft_co_threads(1);
    CHECK_OK(join(start(open_poller, NULL)));
    store_seq_cst(&poller.quick, 1);
    uint32_t slept;
    do {
        uint32_t before = load_seq_cst(&poller.waits);
        CHECK_OK(join(start(wait_in_poller_often, NULL)));
        slept = load_seq_cst(&poller.waits) - before;
    } while (slept > WAITS / 2);
}

/* Of many something comes soon in any case; to sleep until then costs less than to look for it. */
TEST(sched_of_many_descriptors_sleeps_however_quick_they_are)
{
    weft_co_threads(1);
    CHECK_OK(join(start(open_poller, NULL)));
    store_seq_cst(&poller.quick, 1);
    store_seq_cst(&poller.watched, 100);
    uint32_t before = load_seq_cst(&poller.waits);
    CHECK_OK(join(start(wait_in_poller_often, NULL)));
    CHECK(load_seq_cst(&poller.waits) - before >= WAITS / 2);
}

static int sleep_often(void *arg)
{
    (void)arg;
    for (int i = 0; i < WAITS; i++)
        weft_sleep(weft_in(100000));
    return 0;
}

TEST(sched_that_looks_in_vain_seldom_looks_again)
{
    weft_co_threads(1);
    CHECK_OK(join(start(open_poller, NULL)));
    uint32_t waits = load_seq_cst(&poller.waits), looks = load_seq_cst(&poller.looks);
    CHECK_OK(join(start(sleep_often, NULL)));
    CHECK(load_seq_cst(&poller.waits) - waits >= WAITS / 2);
    CHECK_BETWEEN(1, WAITS / 10, load_seq_cst(&poller.looks) - looks);
}

static int report_count(void *arg)
{
    (void)arg;
    return (int)weft__sched_count();
}

TEST(sched_thread_count_comes_from_the_environment)
{
    setenv("WEFT_THREADS", "7", 1);
    CHECK_INT(7, join(start(report_count, NULL)));
}

TEST(sched_bad_thread_count_in_the_environment_is_ignored)
{
    setenv("WEFT_THREADS", "many", 1);
    CHECK_INT(weft__sys_cpus(), join(start(report_count, NULL)));
}
