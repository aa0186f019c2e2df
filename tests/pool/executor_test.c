/* executor_test.c - pools: jobs and their futures, how many workers there are, full queues, priorities, the end. In the
 * thread context the pool has threads and a thread asks; in the coroutine context both are coroutines. */
#include "harness/harness.h"

#include "pool_support.h"

#include "park/park.h"

#include <weft/lock.h>
#include <weft/sem.h>
#include <weft/thread.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* ---- submit and result ---- */

/* K117, S000-59 */
TEST_IN(THREAD | CO, pool_gives_back_exactly_what_the_job_returned)
{
    weft_executor *ex = pool_new(t, 2);
    weft_future *f[100];
    for (intptr_t i = 0; i < 100; i++)
        CHECK_OK(weft_submit(ex, pool_square, (void *)i, &f[i]));
    for (intptr_t i = 0; i < 100; i++) {
        void *result;
        CHECK_OK(weft_future_result(f[i], &result, WEFT_FOREVER));
        CHECK_INT(i * i, (intptr_t)result);
        weft_future_unref(f[i]);
    }
    weft_executor_free(ex);
}

/* I99 */
TEST_IN(THREAD | CO, pool_job_error_is_its_futures)
{
    weft_executor *ex = pool_new(t, 1);
    weft_future *f;
    CHECK_OK(weft_submit(ex, pool_fail, (void *)(intptr_t)-EDOM, &f));
    CHECK_ERR(-EDOM, weft_future_result(f, NULL, WEFT_FOREVER));
    CHECK_INT(WEFT_FINISHED, weft_future_state_of(f));
    weft_future_unref(f);
    weft_executor_free(ex);
}

/* K116 */
TEST(pool_options_out_of_range_are_refused)
{
    weft_executor *ex;
    CHECK_ERR(-EINVAL, weft_thread_pool_new(&ex, &(weft_pool_options){.workers = (unsigned)-1}));
    CHECK_ERR(-EINVAL, weft_co_pool_new(&ex, &(weft_pool_options){.full = (enum weft_when_full)7}));
    CHECK_OK(weft_thread_pool_new(&ex, NULL));
    weft_executor_info info;
    weft_executor_look(ex, &info);
    CHECK_STR("threads", info.engine);
    CHECK_STR("pool", info.name);
    CHECK_BETWEEN(5, 32, info.workers_max);
    CHECK_INT(0, info.workers);
    weft_executor_free(ex);
    CHECK_OK(weft_co_pool_new(&ex, NULL));
    weft_executor_look(ex, &info);
    CHECK_STR("coroutines", info.engine);
    CHECK_INT(10000, info.workers_max);
    weft_executor_free(ex);
    weft_executor_free(NULL);
}

/* ---- how many workers ---- */

/* K118, S000-55 */
TEST_IN(THREAD | CO, pool_uses_an_idle_worker_before_it_starts_another)
{
    weft_executor *ex = pool_new(t, 8);
    weft_executor_info info;
    for (int i = 0; i < 300; i++) {
        weft_future *f;
        CHECK_OK(weft_submit(ex, pool_square, NULL, &f));
        CHECK_OK(weft_future_wait(f, WEFT_FOREVER));
        weft_future_unref(f);
        weft_executor_look(ex, &info);
        CHECK_INT(1, info.workers);
    }
    weft_executor_free(ex);
}

/* K119 */
TEST_IN(THREAD | CO, pool_has_exactly_as_many_workers_as_it_may)
{
    weft_executor *ex = pool_new(t, 7);
    struct gate gate = {0};
    weft_future *f[60];
    for (int i = 0; i < 60; i++)
        CHECK_OK(weft_submit(ex, gate_pass, &gate, &f[i]));
    gate_wait_inside(&gate, 7);
    weft_executor_info info;
    weft_executor_look(ex, &info);
    CHECK_INT(7, info.workers);
    CHECK_INT(7, info.running);
    CHECK_INT(0, info.idle);
    CHECK_INT(53, info.queued);
    CHECK_INT(0, info.finished);
    gate_open(&gate);
    for (int i = 0; i < 60; i++) {
        CHECK_OK(weft_future_result(f[i], NULL, WEFT_FOREVER));
        weft_future_unref(f[i]);
    }
    CHECK_INT(7, gate.most);
    weft_executor_look(ex, &info);
    CHECK_INT(7, info.workers);
    CHECK_INT(0, info.queued);
    CHECK_INT(60, info.finished);
    weft_executor_free(ex);
}
