/* Many at once: starts, ends, steals, and the three-way race of wake, cancellation and deadline. */
#include "co/sched.h"
#include "harness/harness.h"
#include "park/park.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>

enum {
    THREADS = 4,
    EACH = 25000
};

static uint32_t ended; /* atomic */

static int end_now(void *arg)
{
    (void)arg;
    add_relaxed(&ended, 1);
    return 0;
}

static int end_after_starting_one(void *arg)
{
    CHECK_OK(weft_go(end_now, arg));
    if ((intptr_t)arg % 7 == 0)
        weft_yield();
    add_relaxed(&ended, 1);
    return 3;
}

static int start_many(intptr_t n)
{
    for (intptr_t i = 0; i < n; i++) {
        weft_co *co;
        switch (i % 3) {
        case 0:
            CHECK_OK(weft_go(end_after_starting_one, (void *)i));
            break;
        case 1:
            CHECK_OK(weft_co_start(&co, end_after_starting_one, (void *)i, NULL));
            weft_co_detach(co);
            break;
        default:
            CHECK_OK(weft_co_start(&co, end_after_starting_one, (void *)i, NULL));
            int result;
            CHECK_OK(weft_co_join(co, &result, WEFT_FOREVER));
            CHECK_INT(3, result);
        }
    }
    return 0;
}

static void *start_many_in_thread(void *arg)
{
    start_many((intptr_t)arg);
    return NULL;
}

static int start_many_in_co(void *arg)
{
    return start_many((intptr_t)arg);
}

TEST_LIMIT(60, stress_each_of_200000_coroutines_ends_once)
{
    intptr_t each = test_limit_factor() > 1 ? EACH / 10 : EACH;
    weft_co_threads(THREADS);
    pthread_t threads[2];
    weft_co *co[2];
    for (int i = 0; i < 2; i++) {
        pthread_create(&threads[i], NULL, start_many_in_thread, (void *)each);
        CHECK_OK(weft_co_start(&co[i], start_many_in_co, (void *)each, NULL));
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        CHECK_OK(weft_co_join(co[i], NULL, WEFT_FOREVER));
    }
    while (load_relaxed(&ended) < 4 * 2 * each)
        sched_yield();
    CHECK_INT(4 * 2 * each, load_relaxed(&ended));
}

/* ---- wake, cancel and deadline at once ---- */

enum {
    SLEEPERS = 32
};

typedef struct sleeper {
    weft__waiter *waiter; /* atomic: NULL until it runs */
    weft_co *co;
    long woken, cancelled, timed_out;
} sleeper;

static sleeper sleepers[SLEEPERS];
static uint32_t stop;        /* atomic */
static uint32_t outcomes[3]; /* atomic: woken, cancelled, timed out; over all sleepers */
static long claims[THREADS]; /* wakes that were granted */

static int wait_over_and_over(void *arg)
{
    sleeper *me = arg;
    weft__waiter *self = weft__self();
    store_release(&me->waiter, self);
    int64_t shortest = (me - sleepers) % 5 * 20 * WEFT_US;
    while (load_relaxed(&stop) == 0) {
        weft__wait_begin(self, false);
        fence_seq_cst();
        uint32_t why = weft__wait_block(self, weft_now() + shortest);
        switch (why) {
        case WEFT__WOKEN(3):
            me->woken++;
            add_relaxed(&outcomes[0], 1);
            break;
        case WEFT__CANCELLED:
            me->cancelled++;
            add_relaxed(&outcomes[1], 1);
            store_seq_cst(&self->cancel, 0); /* as if never asked: the next round wants the race again */
            break;
        case WEFT__TIMEDOUT:
            me->timed_out++;
            add_relaxed(&outcomes[2], 1);
            break;
        default:
            FAIL("woken for reason %u", (unsigned)why);
        }
    }
    return 0;
}

static void *wake_over_and_over(void *arg)
{
    long *granted = arg;
    uint64_t seed = (uint64_t)(uintptr_t)arg;
    while (load_relaxed(&stop) == 0) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        sleeper *s = &sleepers[(seed >> 33) % SLEEPERS];
        weft__waiter *w = load_acquire(&s->waiter);
        if (w == NULL)
            continue;
        if ((seed >> 60) < 4) {
            weft__waiter_cancel(w);
        } else if (weft__waiter_claim(w, WEFT__WOKEN(3))) {
            (*granted)++;
            weft__waiter_ready(w);
        }
    }
    return NULL;
}

TEST_LIMIT(60, stress_every_granted_wake_is_one_return)
{
    weft_co_threads(2);
    pthread_t threads[THREADS];
    for (int i = 0; i < SLEEPERS; i++)
        CHECK_OK(weft_co_start(&sleepers[i].co, wait_over_and_over, &sleepers[i], NULL));
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, wake_over_and_over, &claims[i]);
    weft_sleep(weft_in_ms(1500));
    for (int i = 0; i < 3; i++) /* a busy machine takes longer for the race to have taken place */
        while (load_relaxed(&outcomes[i]) <= 100)
            weft_sleep(weft_in_ms(10));
    store_seq_cst(&stop, 1);
    long granted = 0, woken = 0, cancelled = 0, timed_out = 0;
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        granted += claims[i];
    }
    for (int i = 0; i < SLEEPERS; i++) {
        CHECK_OK(weft_co_join(sleepers[i].co, NULL, WEFT_FOREVER));
        woken += sleepers[i].woken;
        cancelled += sleepers[i].cancelled;
        timed_out += sleepers[i].timed_out;
    }
    CHECK_INT(granted, woken);
    CHECK(woken > 100 && cancelled > 100 && timed_out > 100); /* the race took place */
}

/* ---- many parked ---- */

static uint32_t gate;   /* atomic; a word to sleep on */
static uint32_t parked; /* atomic */

static int park_at_gate(void *arg)
{
    (void)arg;
    add_relaxed(&parked, 1);
    while (load_seq_cst(&gate) == 0)
        weft__park(&gate, 0, WEFT_FOREVER, 0, "test");
    add_relaxed(&ended, 1);
    return 0;
}

TEST_LIMIT(60, stress_100000_parked_coroutines_take_little_memory_and_all_wake)
{
    uint32_t n = test_limit_factor() > 1 ? 5000 : 100000;
    long before = test_rss_kb();
    for (uint32_t i = 0; i < n; i++)
        CHECK_OK(weft_go(park_at_gate, NULL));
    while (load_relaxed(&parked) < n)
        sched_yield();
    while (weft__sleepers(&gate) < n) /* it walks the queue under its lock: not while they all want in */
        weft_sleep(weft_in_ms(1));
    if (test_limit_factor() <= 1)
        CHECK_BETWEEN(4 * n, 5 * n, test_rss_kb() - before); /* KiB: a touched page each and little more */
    store_seq_cst(&gate, 1);
    weft__wake(&gate, UINT32_MAX, 0);
    while (load_relaxed(&ended) < n)
        sched_yield();
}

/* ---- join, detach and end at once ---- */

static int end_soon(void *arg)
{
    if ((intptr_t)arg % 2 == 0)
        weft_yield();
    return (int)(intptr_t)arg;
}

static void *join_and_detach(void *arg)
{
    intptr_t n = (intptr_t)arg;
    for (intptr_t i = 0; i < n; i++) {
        weft_co *co;
        int result;
        CHECK_OK(weft_co_start(&co, end_soon, (void *)i, NULL));
        int err = i % 3 == 0   ? weft_co_join(co, &result, weft_in((i % 50) * WEFT_US))
                  : i % 3 == 1 ? weft_co_join(co, &result, WEFT_FOREVER)
                               : -ETIMEDOUT;
        if (err == 0)
            CHECK_INT(i, result);
        else if (i % 2 == 0)
            weft_co_detach(co);
        else
            CHECK_OK(weft_co_join(co, &result, WEFT_FOREVER));
    }
    return NULL;
}

TEST_LIMIT(60, stress_join_detach_and_end_agree_on_who_frees)
{
    intptr_t each = test_limit_factor() > 1 ? 2000 : 20000;
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, join_and_detach, (void *)each);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}
