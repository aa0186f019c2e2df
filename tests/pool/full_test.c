/* full_test.c - pools whose queue is bounded: waiting for room, refusing, dropping, running in the caller. */
#include "harness/harness.h"

#include "pool_support.h"

#include "base/atomic.h"
#include "park/park.h"

#include <weft/co.h>

#include <errno.h>

static struct gate gate;
static uint32_t ran; /* atomic */

/* A pool of one worker, which stands in the gate, with a queue of three, which is full. */
static weft_executor *full_pool(test *t, enum weft_when_full full, weft_future **queued)
{
    weft_executor *ex = pool_new_with(t, &(weft_pool_options){.workers = 1, .max_queued = 3, .full = full});
    CHECK_OK(weft_submit(ex, gate_pass, &gate, NULL));
    gate_wait_inside(&gate, 1);
    for (int i = 0; i < 3; i++)
        CHECK_OK(weft_submit(ex, pool_count, &ran, queued != NULL ? &queued[i] : NULL));
    return ex;
}

static int submit_one(void *ex)
{
    return weft_submit(ex, pool_count, &ran, NULL);
}

TEST_IN(THREAD | CO, pool_with_a_full_queue_lets_submit_wait_for_room)
{
    weft_executor *ex = full_pool(t, WEFT_BLOCK, NULL);
    int64_t before = weft_now();
    CHECK_ERR(-ETIMEDOUT, weft_submit_with(ex, pool_count, &ran, &(weft_job_options){.until = weft_in_ms(20)}, NULL));
    CHECK(weft_now() - before >= 20 * WEFT_MS);
    for (int i = 0; i < 10; i++)
        test_spawn(t, submit_one, ex);
    test_wait_until_asleep(t, pool_room(ex), 10);
    gate_open(&gate);
    test_join(t);
    weft_executor_free(ex);
    CHECK_INT(13, ran);
}

static int submit_and_be_cancelled(void *ex)
{
    CHECK_ERR(-ECANCELED, weft_submit(ex, pool_count, &ran, NULL));
    return 0;
}

TEST(pool_submit_that_waits_for_room_can_be_cancelled)
{
    weft_executor *ex;
    CHECK_OK(weft_co_pool_new(&ex, &(weft_pool_options){.workers = 1, .max_queued = 1}));
    CHECK_OK(weft_submit(ex, gate_pass, &gate, NULL));
    CHECK_OK(weft_submit(ex, pool_count, &ran, NULL));
    weft_co *co;
    CHECK_OK(weft_co_start(&co, submit_and_be_cancelled, ex, NULL));
    while (weft__sleepers(pool_room(ex)) == 0)
        weft_yield();
    weft_co_cancel(co);
    CHECK_OK(weft_co_join(co, NULL, WEFT_FOREVER));
    gate_open(&gate);
    weft_executor_free(ex);
    CHECK_INT(1, ran);
}

/* Room comes with a job's end, its cancelling, its being dropped; and shutdown ends the wait. */
TEST_IN(THREAD | CO, pool_has_room_again_when_a_queued_job_is_cancelled)
{
    weft_future *f[3];
    weft_executor *ex = full_pool(t, WEFT_BLOCK, f);
    test_spawn(t, submit_one, ex);
    test_wait_until_asleep(t, pool_room(ex), 1);
    CHECK_INT(1, weft_future_cancel(f[1]));
    test_join(t);
    gate_open(&gate);
    weft_executor_free(ex);
    CHECK_INT(3, ran);
    for (int i = 0; i < 3; i++)
        weft_future_unref(f[i]);
}

static int submit_too_late(void *ex)
{
    CHECK_ERR(-EPIPE, weft_submit(ex, pool_count, &ran, NULL));
    return 0;
}

TEST_IN(THREAD | CO, pool_shutdown_turns_those_away_who_wait_for_room)
{
    weft_executor *ex = full_pool(t, WEFT_BLOCK, NULL);
    for (int i = 0; i < 3; i++)
        test_spawn(t, submit_too_late, ex);
    test_wait_until_asleep(t, pool_room(ex), 3);
    CHECK_OK(weft_executor_shutdown(ex, 0, WEFT_NOW));
    test_join(t);
    gate_open(&gate);
    weft_executor_free(ex);
    CHECK_INT(3, ran);
}

TEST_IN(THREAD | CO, pool_with_a_full_queue_refuses)
{
    weft_executor *ex = full_pool(t, WEFT_REFUSE, NULL);
    CHECK_ERR(-WEFT_EFULL, weft_submit(ex, pool_count, &ran, NULL));
    CHECK_ERR(-WEFT_EFULL, weft_submit_many(ex, pool_count, (void *[2]){&ran, &ran}, 2, NULL));
    gate_open(&gate);
    CHECK_OK(weft_executor_shutdown(ex, WEFT_SHUTDOWN_WAIT, WEFT_FOREVER));
    weft_executor_free(ex);
    CHECK_INT(3, ran);
}

/* A worker that is free counts as room: as many as run and wait are taken, neither less nor more. */
TEST_IN(THREAD | CO, pool_takes_as_many_as_may_run_and_wait)
{
    weft_executor *ex = pool_new_with(t, &(weft_pool_options){.workers = 3, .max_queued = 2, .full = WEFT_REFUSE});
    void *args[10] = {[0 ... 9] = &gate};
    for (int round = 0; round < 20; round++) {
        gate = (struct gate){0};
        weft_future *f[10];
        CHECK_INT(5, weft_submit_many(ex, gate_pass, args, 10, f));
        gate_open(&gate);
        for (int i = 0; i < 5; i++) {
            CHECK_OK(weft_future_wait(f[i], WEFT_FOREVER));
            weft_future_unref(f[i]);
        }
    }
    weft_executor_free(ex);
}

TEST_IN(THREAD | CO, pool_with_a_full_queue_drops_the_oldest_of_the_lowest)
{
    weft_executor *ex = pool_new_with(t, &(weft_pool_options){.workers = 1, .max_queued = 4, .full = WEFT_DROP_OLDEST});
    CHECK_OK(weft_submit(ex, gate_pass, &gate, NULL));
    gate_wait_inside(&gate, 1);
    static const int priorities[] = {5, 0, -1, -1, 0, 9, 9, 9};
    static const int dropped_by[] = {0, 0, 0, 0, 2, 3, 1, 4}; /* who goes when the i-th comes */
    weft_future *f[8];
    for (int i = 0; i < 8; i++) {
        weft_job_options options = {.priority = priorities[i]};
        CHECK_OK(weft_submit_with(ex, pool_count, &ran, &options, &f[i]));
        if (i >= 4)
            CHECK_INT(1, weft_future_cancelled(f[dropped_by[i]]));
    }
    gate_open(&gate);
    weft_executor_free(ex);
    CHECK_INT(4, ran);
    int cancelled = 0;
    for (int i = 0; i < 8; i++) {
        cancelled += weft_future_cancelled(f[i]);
        weft_future_unref(f[i]);
    }
    CHECK_INT(4, cancelled);
}

static int who_am_i(void *arg, void **result)
{
    (void)arg;
    *result = weft__self();
    return 0;
}

TEST_IN(THREAD | CO, pool_with_a_full_queue_has_the_caller_run_it)
{
    weft_executor *ex = full_pool(t, WEFT_CALLER_RUNS, NULL);
    weft_future *f;
    void *who;
    for (int i = 0; i < 10; i++) {
        CHECK_OK(weft_submit(ex, who_am_i, NULL, &f));
        CHECK_OK(weft_future_result(f, &who, WEFT_NOW));
        CHECK_PTR(weft__self(), who);
        weft_future_unref(f);
    }
    gate_open(&gate);
    weft_executor_free(ex);
    CHECK_INT(3, ran);
}

static weft_executor *own;

static int fill_own_pool(void *arg, void **result)
{
    (void)arg;
    (void)result;
    weft_future *f[20];
    for (int i = 0; i < 20; i++)
        CHECK_OK(weft_submit(own, pool_count, &ran, &f[i]));
    for (int i = 0; i < 20; i++) {
        CHECK_OK(weft_future_result(f[i], NULL, WEFT_FOREVER));
        weft_future_unref(f[i]);
    }
    return 0;
}

/* K124: a job does not wait for room that it alone can make. */
TEST_IN(THREAD | CO, pool_job_may_fill_the_queue_of_its_own_pool)
{
    own = pool_new_with(t, &(weft_pool_options){.workers = 1, .max_queued = 2});
    weft_future *f;
    for (int i = 0; i < 5; i++) {
        CHECK_OK(weft_submit(own, fill_own_pool, NULL, &f));
        CHECK_OK(weft_future_result(f, NULL, WEFT_FOREVER));
        weft_future_unref(f);
    }
    weft_executor_free(own);
    CHECK_INT(100, ran);
}
