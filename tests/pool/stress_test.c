/* stress_test.c - pools under many submitters: every job exactly once, none lost, nothing that grows. */
#include "harness/harness.h"

#include "pool_support.h"

#include "base/atomic.h"

#include <weft/co.h>
#include <weft/event.h>

#include <errno.h>

enum {
    JOBS = 3000
};

static weft_executor *ex;
static uint32_t runs[4 * JOBS]; /* atomic */
static uint32_t next_block;     /* atomic */

static int run_once(void *arg, void **result)
{
    uint32_t *mine = arg;
    CHECK_INT(0, add_seq_cst(mine, 1));
    *result = arg;
    if ((uintptr_t)mine % 64 == 0)
        weft_yield();
    return 0;
}

/* Submits each of its jobs in one way or another, cancels some, and looks what became of them. */
static int submit_all(void *arg)
{
    uint32_t random = add_seq_cst(&next_block, 1);
    uint32_t *mine = runs + random * JOBS;
    weft_future *f[20];
    (void)arg;
    for (int i = 0; i < JOBS; i += 20) {
        for (int j = 0; j < 20; j++) {
            random = random * 1103515245 + 12345;
            weft_job_options options = {.priority = random >> 16 & 1 ? (int)(random >> 20) % 5 - 2 : 0};
            CHECK_OK(weft_submit_with(ex, run_once, &mine[i + j], &options, &f[j]));
        }
        for (int j = 0; j < 20; j++) {
            random = random * 1103515245 + 12345;
            void *result = NULL;
            int cancelled = (random >> 16) % 4 == 0 ? weft_future_cancel(f[j]) : 0;
            CHECK_ERR(cancelled ? -ECANCELED : 0, weft_future_result(f[j], &result, WEFT_FOREVER));
            CHECK_INT(!cancelled, load_seq_cst(&mine[i + j]));
            CHECK_PTR(cancelled ? NULL : &mine[i + j], result);
            weft_future_unref(f[j]);
        }
    }
    return 0;
}

static void stress(test *t, const weft_pool_options *options)
{
    for (long round = 0; round < test_rounds(1, 200); round++) {
        ex = pool_new_with(t, options);
        next_block = 0;
        for (int i = 0; i < 4 * JOBS; i++)
            runs[i] = 0;
        for (int i = 0; i < 4; i++)
            test_spawn(t, submit_all, NULL);
        test_join(t);
        weft_executor_info info;
        weft_executor_look(ex, &info);
        CHECK_INT(0, info.queued);
        weft_executor_free(ex);
    }
}

TEST_IN_LIMIT(30, THREAD | CO, pool_runs_every_job_once_that_is_not_cancelled)
{
    stress(t, &(weft_pool_options){.workers = 3});
}

TEST_IN_LIMIT(30, THREAD | CO, pool_runs_every_job_once_when_waiters_help)
{
    stress(t, &(weft_pool_options){.workers = 2, .waiters_help = 1});
}

TEST_IN_LIMIT(30, THREAD | CO, pool_with_a_short_queue_runs_every_job_once)
{
    stress(t, &(weft_pool_options){.workers = 2, .max_queued = 10});
}

TEST_IN_LIMIT(30, THREAD | CO, pool_with_callers_that_run_runs_every_job_once)
{
    stress(t, &(weft_pool_options){.workers = 2, .max_queued = 3, .full = WEFT_CALLER_RUNS});
}

/* ---- stop and time against the end of the job ---- */

static int look_around(void *arg, void **result)
{
    (void)arg;
    (void)result;
    CHECK_INT(0, weft_cancelled()); /* nobody has asked this one yet */
    for (int i = 0; i < 3; i++)
        weft_yield();
    return 0;
}

static int stop_some(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2000; i++) {
        weft_future *victim, *bystander;
        CHECK_OK(weft_submit(ex, run_once, &runs[add_seq_cst(&next_block, 1)], &victim));
        CHECK_OK(weft_submit(ex, look_around, NULL, &bystander));
        if (i % 2)
            weft_yield();
        weft_future_stop(victim);
        CHECK_OK(weft_future_result(bystander, NULL, WEFT_FOREVER));
        weft_future_wait(victim, WEFT_FOREVER);
        weft_future_unref(victim);
        weft_future_unref(bystander);
    }
    return 0;
}

TEST_IN_LIMIT(30, THREAD | CO, pool_stop_hits_its_job_and_no_other)
{
    ex = pool_new(t, 2);
    next_block = 0;
    for (int i = 0; i < 3; i++)
        test_spawn(t, stop_some, NULL);
    test_join(t);
    weft_executor_free(ex);
}

static int short_nap(void *arg, void **result)
{
    (void)arg;
    (void)result;
    return weft_sleep(weft_in(300 * WEFT_US)) == 0 ? 0 : -EINTR;
}

TEST_IN_LIMIT(30, THREAD | CO, pool_times_race_with_the_job)
{
    ex = pool_new(t, 3);
    enum {
        N = 300
    };
    static weft_future *f[N];
    int in_time = 0, late = 0;
    for (int i = 0; i < N; i++) {
        weft_job_options options = {.time_limit = (i % 40 + 1) * 20 * WEFT_US,
                                    .start_by = weft_in(i % 30 * WEFT_MS + 1)};
        CHECK_OK(weft_submit_with(ex, short_nap, NULL, &options, &f[i]));
    }
    for (int i = 0; i < N; i++) {
        int err = weft_future_result(f[i], NULL, WEFT_FOREVER);
        CHECK(err == 0 || err == -ETIMEDOUT);
        in_time += err == 0;
        late += err != 0;
        weft_future_unref(f[i]);
    }
    CHECK_INT(N, in_time + late);
    CHECK(late > 0);
    weft_executor_free(ex);
}

/* ---- what begins and ends ---- */

TEST_IN_LIMIT(60, THREAD | CO, pool_may_come_and_go_a_thousand_times)
{
    uint32_t ran = 0;
    for (int i = 0; i < 1000; i++) {
        weft_executor *one = pool_new_with(t, &(weft_pool_options){.workers = 2, .max_queued = i % 3 ? 0 : 4});
        void *args[8] = {[0 ... 7] = &ran};
        CHECK_INT(8, weft_submit_many(one, pool_count, args, 8, NULL));
        if (i % 2)
            CHECK_OK(weft_executor_shutdown(one, 0, WEFT_NOW));
        weft_executor_free(one);
    }
    CHECK_INT(8000, ran);
}

/* K133, I106 */
TEST_IN_LIMIT(60, THREAD | CO, pool_does_not_grow_with_the_jobs_it_has_done)
{
    ex = pool_new(t, 2);
    uint32_t ran = 0;
    long before = 0;
    for (int i = 0; i < 60000; i++) {
        weft_future *f;
        CHECK_OK(weft_submit(ex, pool_count, &ran, i % 3 == 0 ? NULL : &f));
        if (i % 3 == 1)
            CHECK_OK(weft_future_wait(f, WEFT_FOREVER));
        else if (i % 3 == 2)
            weft_future_cancel(f);
        if (i % 3 != 0)
            weft_future_unref(f);
        if (i == 20000)
            before = test_rss_kb();
    }
    if (!WEFT__ASAN && !WEFT__TSAN)
        CHECK_BETWEEN(0, before + 4096, test_rss_kb());
    weft_executor_free(ex);
}

/* ---- a callback that comes when its job is just ending ---- */

static uint32_t ending;      /* atomic: the job is about to return */
static uint32_t called_back; /* atomic */

static int end_soon(void *arg, void **result)
{
    (void)result;
    store_seq_cst(&ending, 1);
    for (intptr_t i = (intptr_t)arg; i > 0; i--)
        cpu_relax();
    return 0;
}

static int set_event(void *event, void **result)
{
    (void)result;
    weft_event_set(event);
    return 0;
}

static int wait_for_another_job(weft_future *f, void *pool)
{
    weft_event done = WEFT_EVENT_INIT;
    (void)f;
    CHECK_OK(weft_submit(pool, set_event, &done, NULL));
    CHECK_OK(weft_event_wait(&done, weft_in(5 * WEFT_SECOND)));
    add_seq_cst(&called_back, 1);
    return 0;
}

/* Its worker must not count as one that is about to look for jobs. */
TEST_LIMIT(60, pool_callback_that_is_added_while_its_job_ends_holds_no_job_up)
{
    CHECK_OK(weft_thread_pool_new(&ex, &(weft_pool_options){.workers = 2}));
    for (int i = 0; i < 30000; i++) {
        weft_future *f;
        store_relaxed(&ending, 0);
        CHECK_OK(weft_submit(ex, end_soon, (void *)(intptr_t)(i % 16), &f));
        while (load_acquire(&ending) == 0)
            cpu_relax();
        CHECK_OK(weft_future_add_callback(f, wait_for_another_job, ex));
        while (load_acquire(&called_back) == (uint32_t)i) /* it needs a worker beside its own */
            cpu_relax();
        weft_future_unref(f);
    }
    weft_executor_free(ex);
}
