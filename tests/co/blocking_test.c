/* weft_blocking: helper threads for what would block a scheduler thread. */
#include "co/co_support.h"
#include "co/sched.h"
#include "park/park.h"
#include "sys/sys.h"

#include <weft/co.h>

#include <errno.h>
#include <sched.h>

static uint32_t inside, most, go_on, calls; /* atomic */

static int say_tid(void *arg)
{
    (void)arg;
    return weft__sys_tid();
}

static int call_say_tid(void *arg)
{
    (void)arg;
    int tid = weft_blocking(say_tid, NULL);
    CHECK(tid < 0 || tid != weft__sys_tid());
    return tid;
}

TEST(blocking_call_runs_on_another_thread_and_its_helper_is_reused)
{
    int tids[100], reused = 0; /* not always by the next call: a helper that is slow to lie down is passed over */
    for (int i = 0; i < 100; i++) {
        tids[i] = join(start(call_say_tid, NULL));
        for (int j = 0; j < i; j++)
            reused += tids[j] == tids[i];
    }
    CHECK(reused > 0);
    CHECK_INT(weft__sys_tid(), weft_blocking(say_tid, NULL)); /* a thread may block itself */
}

static int hold(void *arg)
{
    (void)arg;
    uint32_t n = add_seq_cst(&inside, 1) + 1, seen = load_seq_cst(&most);
    while (seen < n && !cas_seq_cst(&most, &seen, n))
        ;
    while (load_seq_cst(&go_on) == 0)
        weft_sleep(weft_in_ms(1));
    sub_seq_cst(&inside, 1);
    add_seq_cst(&calls, 1);
    return 5;
}

static int call_hold(void *arg)
{
    return weft_blocking(hold, arg);
}

static int yield_some(void *arg)
{
    (void)arg;
    for (int i = 0; i < 100; i++)
        weft_yield();
    return 0;
}

TEST_LIMIT(30, blocking_calls_beyond_64_wait_their_turn_and_hold_nobody_up)
{
    enum {
        MANY = 200
    };
    weft_co_threads(1);
    weft_co *co[MANY];
    for (int i = 0; i < MANY; i++)
        co[i] = start(call_hold, NULL);
    while (load_seq_cst(&inside) < 64)
        sched_yield();
    join(start(yield_some, NULL)); /* the scheduler's only thread is free */
    CHECK_INT(64, load_seq_cst(&inside));
    store_seq_cst(&go_on, 1);
    for (int i = 0; i < MANY; i++)
        CHECK_INT(5, join(co[i]));
    CHECK_INT(64, load_seq_cst(&most));
    CHECK_INT(MANY, load_seq_cst(&calls));
}

TEST(blocking_call_is_not_cut_short_by_cancellation)
{
    weft_co *co = start(call_hold, NULL);
    while (load_seq_cst(&inside) == 0)
        sched_yield();
    weft_co_cancel(co);
    CHECK_ERR(-ETIMEDOUT, weft_co_join(co, NULL, weft_in_ms(5)));
    store_seq_cst(&go_on, 1);
    CHECK_INT(5, join(co));
}

TEST(blocking_call_without_a_thread_fails_or_uses_the_one_there_is)
{
    weft_co_threads(1);            /* else the fault below could meet the start of another scheduler thread */
    join(start(yield_some, NULL)); /* the scheduler's own thread is there */
    weft__sys_plan(WEFT__SYS_THREAD, 1, 1, -EAGAIN, 0);
    CHECK_ERR(-ENOMEM, join(start(call_say_tid, NULL)));
    CHECK(join(start(call_say_tid, NULL)) > 0);

    weft_co *co = start(call_hold, NULL);
    while (load_seq_cst(&inside) == 0)
        sched_yield();
    weft__sys_plan(WEFT__SYS_THREAD, 1, UINT32_MAX, -EAGAIN, 0);
    weft_co *second = start(call_say_tid, NULL);
    store_seq_cst(&go_on, 1);
    CHECK_INT(5, join(co));
    CHECK(join(second) > 0);
}

static weft_co *call_on(unsigned index)
{
    weft_co *co = NULL;
    CHECK_OK(weft__co_start_on(index, &co, call_say_tid, NULL, NULL));
    return co;
}

/* Each counts on the helper that is just being started for the other. */
TEST(blocking_calls_whose_helpers_cannot_be_started_at_the_same_time_fail_both)
{
    weft_co_threads(2);
    for (unsigned i = 0; i < 2; i++) {
        weft_co *co;
        CHECK_OK(weft__co_start_on(i, &co, yield_some, NULL, NULL)); /* the schedulers' own threads are there */
        CHECK_INT(0, join(co));
    }
    weft__sys_plan(WEFT__SYS_THREAD, 1, UINT32_MAX, -EAGAIN, 20 * WEFT_MS);
    weft_co *first = call_on(0);
    while (weft__sys_seen(WEFT__SYS_THREAD) == 0)
        sched_yield();
    weft_co *second = call_on(1);
    CHECK_ERR(-ENOMEM, join(first));
    CHECK_ERR(-ENOMEM, join(second));
    weft__sys_plan_none();
    CHECK(join(call_on(0)) > 0);
}
