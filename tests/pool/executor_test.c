/* executor_test.c - pools: jobs and their futures, how many workers there are, full queues, priorities, the end. In the
 * thread context the pool has threads and a thread asks; in the coroutine context both are coroutines. */
#include "harness/harness.h"

#include "pool_support.h"

#include "base/atomic.h"
#include "park/park.h"
#include "pool/pool.h"
#include "sys/sys.h"

#include <weft/co.h>
#include <weft/thread.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
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
        CHECK_INT(1, info.workers); /* of 8 */
    }
    weft_executor_free(ex);
}

/* S000-55 */
TEST_IN(THREAD | CO, pool_worker_ends_when_it_is_idle_for_long_and_another_is_started_for_the_next_job)
{
    weft_executor *ex = pool_new_with(t, &(weft_pool_options){.workers = 4, .idle_time = WEFT_MS});
    weft_executor_info info;
    weft_future *f[4];
    for (int round = 0; round < 5; round++) {
        struct gate gate = {0};
        for (int i = 0; i < 4; i++)
            CHECK_OK(weft_submit(ex, gate_pass, &gate, &f[i]));
        gate_wait_inside(&gate, 4);
        weft_executor_look(ex, &info);
        CHECK_INT(4, info.workers);
        gate_open(&gate);
        for (int i = 0; i < 4; i++) {
            CHECK_OK(weft_future_result(f[i], NULL, WEFT_FOREVER));
            weft_future_unref(f[i]);
        }
        pool_until_no_workers(ex);
    }
    weft_executor_look(ex, &info);
    CHECK_INT(20, info.finished);
    CHECK_INT(0, info.idle);
    weft_executor_free(ex);
}

/* Jobs that come just when workers end. */
TEST_IN(THREAD | CO, pool_whose_workers_come_and_go_loses_no_job)
{
    weft_executor *ex = pool_new_with(t, &(weft_pool_options){.workers = 3, .idle_time = 1});
    uint32_t done = 0;
    for (uint32_t i = 0; i < 500; i++) {
        for (uint32_t k = 0; k <= i % 3; k++)
            CHECK_OK(weft_submit(ex, pool_count, &done, NULL));
        if (i % 5 == 0)
            weft_sleep(weft_in(i * 200));
    }
    weft_executor_free(ex);
    CHECK_INT(999, load_relaxed(&done));
}

TEST(pool_keeps_an_idle_thread_for_a_minute_unless_told_otherwise)
{
    weft_executor *ex;
    CHECK_OK(weft_thread_pool_new(&ex, NULL));
    CHECK_INT(60 * WEFT_SECOND, ex->backlog.idle_time);
    weft_executor_free(ex);
    CHECK_OK(weft_thread_pool_new(&ex, &(weft_pool_options){.idle_time = -1}));
    CHECK_BETWEEN(INT64_MIN, 0, ex->backlog.idle_time);
    weft_executor_free(ex);
    CHECK_OK(weft_co_pool_new(&ex, NULL));
    CHECK_INT(0, ex->backlog.idle_time);
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

/* K132 */
static int tell_name(void *arg, void **result)
{
    char *name = arg;
    if (weft_co_self() != NULL)
        snprintf(name, 32, "%s", weft_co_name(weft_co_self()));
    else
        weft_thread_name(weft_thread_self(), name, 32);
    *result = name;
    return 0;
}

TEST_IN(THREAD | CO, pool_workers_have_its_name_and_a_number)
{
    weft_executor *ex = pool_new_with(t, &(weft_pool_options){.workers = 1, .name = "kitchen"});
    char name[32];
    weft_future *f;
    CHECK_OK(weft_submit(ex, tell_name, name, &f));
    CHECK_OK(weft_future_wait(f, WEFT_FOREVER));
    CHECK_STR("kitchen-0", name);
    weft_future_unref(f);
    weft_executor_free(ex);
}

struct late {
    uint32_t done, begun; /* atomic */
    cpu_set_t may;
};

static int come_late(void *arg)
{
    struct late *l = arg;
    if (add_seq_cst(&l->begun, 1) == 1) /* the second worker */
        pool_until(&l->done, 20);
    return 0;
}

static int spin_a_while(void *arg, void **result)
{
    struct late *l = arg;
    *result = NULL;
    for (int64_t end = weft__sys_now() + 50 * 1000; weft__sys_now() < end;)
        ;
    add_seq_cst(&l->done, 1);
    cpu_set_t may;
    CHECK_INT(0, sched_getaffinity(0, sizeof may, &may));
    CHECK(CPU_EQUAL(&l->may, &may));
    return 0;
}

/* It makes way for the one that it has called, which may wait behind it, and may run where it could before. */
TEST_IN(THREAD, pool_worker_goes_on_when_the_second_comes_late)
{
    struct late l = {0};
    CHECK_INT(0, sched_getaffinity(0, sizeof l.may, &l.may));
    weft_executor *ex =
        pool_new_with(t, &(weft_pool_options){.workers = 2, .initializer = come_late, .initializer_arg = &l});
    void *args[40];
    weft_future *f[40];
    for (int i = 0; i < 40; i++)
        args[i] = &l;
    CHECK_INT(40, weft_submit_many(ex, spin_a_while, args, 40, f));
    for (int i = 0; i < 40; i++) {
        CHECK_OK(weft_future_result(f[i], NULL, WEFT_FOREVER));
        weft_future_unref(f[i]);
    }
    CHECK_INT(40, load_seq_cst(&l.done));
    weft_executor_free(ex);
}

static uint32_t prepared; /* atomic */

static int prepare(void *arg)
{
    CHECK_PTR(&prepared, arg);
    add_seq_cst(&prepared, 1);
    return 0;
}

static int see_prepared(void *arg, void **result)
{
    CHECK(load_seq_cst(&prepared) > 0);
    return gate_pass(arg, result);
}

/* K131 */
TEST_IN(THREAD | CO, pool_initialiser_runs_once_in_each_worker_before_its_jobs)
{
    weft_executor *ex =
        pool_new_with(t, &(weft_pool_options){.workers = 4, .initializer = prepare, .initializer_arg = &prepared});
    struct gate gate = {0};
    CHECK_INT(20, weft_submit_many(ex, see_prepared, (void *[20]){[0 ... 19] = &gate}, 20, NULL));
    gate_wait_inside(&gate, 4);
    gate_open(&gate);
    CHECK_OK(weft_executor_shutdown(ex, WEFT_SHUTDOWN_WAIT, WEFT_FOREVER));
    CHECK_INT(4, prepared);
    CHECK_INT(20, gate.passed);
    weft_executor_free(ex);
}

static int prepare_badly(void *arg)
{
    while (load_seq_cst((uint32_t *)arg) == 0)
        weft_yield();
    return -EIO;
}

/* K131 */
TEST_IN(THREAD | CO, pool_is_broken_when_its_initialiser_fails)
{
    uint32_t all_submitted = 0;
    weft_executor *ex = pool_new_with(
        t, &(weft_pool_options){
               .workers = 1, .name = "bad", .initializer = prepare_badly, .initializer_arg = &all_submitted});
    weft_future *f[10];
    for (int i = 0; i < 10; i++)
        CHECK_OK(weft_submit_with(ex, pool_square, NULL, &(weft_job_options){.priority = i % 3 - 1}, &f[i]));
    store_seq_cst(&all_submitted, 1);
    for (int i = 0; i < 10; i++) {
        CHECK_ERR(-WEFT_EBROKEN, weft_future_result(f[i], NULL, WEFT_FOREVER));
        weft_future_unref(f[i]);
    }
    CHECK_ERR(-WEFT_EBROKEN, weft_submit(ex, pool_square, NULL, &f[0]));
    CHECK_ERR(-WEFT_EBROKEN, weft_submit_many(ex, pool_square, (void *[1]){NULL}, 1, NULL));
    weft_executor_free(ex);
}

static int leave_thread(void *arg, void **result)
{
    add_seq_cst((uint32_t *)arg, 1);
    (void)result;
    pthread_exit(NULL);
}

/* K135 */
TEST(pool_replaces_a_thread_that_a_job_ended)
{
    weft_executor *ex;
    CHECK_OK(weft_thread_pool_new(&ex, &(weft_pool_options){.workers = 2}));
    uint32_t ended = 0;
    for (int i = 0; i < 20; i++) {
        weft_future *f[3];
        CHECK_OK(weft_submit(ex, leave_thread, &ended, &f[0]));
        CHECK_OK(weft_submit(ex, pool_square, (void *)3, &f[1]));
        CHECK_OK(weft_submit(ex, leave_thread, &ended, &f[2]));
        CHECK_ERR(-ECANCELED, weft_future_result(f[0], NULL, WEFT_FOREVER));
        CHECK_OK(weft_future_result(f[1], NULL, WEFT_FOREVER));
        CHECK_ERR(-ECANCELED, weft_future_result(f[2], NULL, WEFT_FOREVER));
        for (int j = 0; j < 3; j++)
            weft_future_unref(f[j]);
    }
    struct gate gate = {0};
    CHECK_INT(2, weft_submit_many(ex, gate_pass, (void *[2]){&gate, &gate}, 2, NULL));
    gate_wait_inside(&gate, 2);
    gate_open(&gate);
    weft_executor_free(ex);
    CHECK_INT(40, ended);
}

static int cancel_myself(void *arg, void **result)
{
    (void)arg;
    (void)result;
    weft_thread_cancel(weft_thread_self());
    CHECK_ERR(-ECANCELED, weft_sleep(WEFT_FOREVER));
    weft_shield(1);
    return 0;
}

static int sleep_a_little(void *arg, void **result)
{
    (void)arg;
    (void)result;
    CHECK_INT(0, weft_cancelled());
    return weft_sleep(weft_in_ms(1));
}

/* K135: what one job did to its thread does not reach the next. */
TEST(pool_job_is_not_cancelled_by_what_the_one_before_left)
{
    weft_executor *ex;
    CHECK_OK(weft_thread_pool_new(&ex, &(weft_pool_options){.workers = 1}));
    for (int i = 0; i < 10; i++) {
        weft_future *f[2];
        CHECK_OK(weft_submit(ex, cancel_myself, NULL, &f[0]));
        CHECK_OK(weft_submit(ex, sleep_a_little, NULL, &f[1]));
        CHECK_OK(weft_future_result(f[0], NULL, WEFT_FOREVER));
        CHECK_OK(weft_future_result(f[1], NULL, WEFT_FOREVER));
        weft_future_unref(f[0]);
        weft_future_unref(f[1]);
    }
    weft_executor_free(ex);
}

/* ---- order ---- */

enum {
    LONG_QUEUE = 5000 /* more than the ring has room for */
};

struct order {
    struct gate gate;
    uint32_t n; /* one worker */
    int seen[LONG_QUEUE];
};
static struct order order;

static int note(void *arg, void **result)
{
    (void)result;
    order.seen[order.n++] = (int)(intptr_t)arg;
    return 0;
}

TEST_IN(THREAD | CO, pool_of_one_runs_a_long_queue_in_its_order)
{
    weft_executor *ex = pool_new(t, 1);
    order = (struct order){0};
    CHECK_OK(weft_submit(ex, gate_pass, &order.gate, NULL));
    gate_wait_inside(&order.gate, 1);
    for (intptr_t i = 0; i < LONG_QUEUE; i++)
        CHECK_OK(weft_submit(ex, note, (void *)i, NULL));
    weft_executor_info info;
    weft_executor_look(ex, &info);
    CHECK_INT(LONG_QUEUE, info.queued);
    gate_open(&order.gate);
    weft_executor_free(ex);
    CHECK_INT(LONG_QUEUE, order.n);
    for (int i = 0; i < LONG_QUEUE; i++)
        CHECK_INT(i, order.seen[i]);
}

TEST_IN(THREAD | CO, pool_runs_higher_priorities_first_and_equal_ones_in_their_order)
{
    weft_executor *ex = pool_new(t, 1);
    order = (struct order){0};
    CHECK_OK(weft_submit(ex, gate_pass, &order.gate, NULL));
    gate_wait_inside(&order.gate, 1);
    static const int priorities[] = {0, -5, 7, 0, INT32_MAX, -5, INT32_MIN, 7, 0, 3};
    for (intptr_t i = 0; i < 1000; i++)
        CHECK_OK(weft_submit_with(ex, note, (void *)i, &(weft_job_options){.priority = priorities[i % 10]}, NULL));
    gate_open(&order.gate);
    weft_executor_free(ex);
    CHECK_INT(1000, order.n);
    for (int i = 1; i < 1000; i++) {
        int before = priorities[order.seen[i - 1] % 10], now = priorities[order.seen[i] % 10];
        CHECK(before > now || (before == now && order.seen[i - 1] < order.seen[i]));
    }
}

/* Jobs that are cancelled leave the heaps from any place. */
TEST_IN(THREAD | CO, pool_keeps_its_order_when_jobs_are_taken_out)
{
    weft_executor *ex = pool_new(t, 1);
    order = (struct order){0};
    CHECK_OK(weft_submit(ex, gate_pass, &order.gate, NULL));
    gate_wait_inside(&order.gate, 1);
    static weft_future *f[1000];
    uint32_t random = 12345, cancelled = 0;
    for (intptr_t i = 0; i < 1000; i++) {
        random = random * 1103515245 + 12345;
        int priority = (int)(random >> 16) % 7 - 3;
        CHECK_OK(weft_submit_with(ex, note, (void *)(i | (intptr_t)(priority + 3) << 16),
                                  &(weft_job_options){.priority = priority}, &f[i]));
    }
    for (int i = 0; i < 1000; i += 1 + i % 3, cancelled++)
        CHECK_INT(1, weft_future_cancel(f[i]));
    weft_executor_info info;
    weft_executor_look(ex, &info);
    CHECK_INT(1000 - cancelled, info.queued);
    gate_open(&order.gate);
    weft_executor_free(ex);
    CHECK_INT(1000 - cancelled, order.n);
    for (uint32_t i = 1; i < order.n; i++) {
        int before = order.seen[i - 1] >> 16, now = order.seen[i] >> 16;
        CHECK(before > now || (before == now && (order.seen[i - 1] & 0xffff) < (order.seen[i] & 0xffff)));
    }
    for (int i = 0; i < 1000; i++)
        weft_future_unref(f[i]);
}

/* ---- several at one go ---- */

TEST_IN(THREAD | CO, pool_takes_many_jobs_at_one_go)
{
    weft_executor *ex = pool_new(t, 3);
    static void *args[3000];
    static weft_future *f[3000];
    for (intptr_t i = 0; i < 3000; i++)
        args[i] = (void *)i;
    for (size_t n = 0; n <= 3000; n = n * 3 + 1) {
        CHECK_INT((long)n, weft_submit_many(ex, pool_square, args, n, f));
        for (size_t i = 0; i < n; i++) {
            void *result;
            CHECK_OK(weft_future_result(f[i], &result, WEFT_FOREVER));
            CHECK_INT((intptr_t)(i * i), (intptr_t)result);
            weft_future_unref(f[i]);
        }
    }
    CHECK_OK(weft_executor_shutdown(ex, 0, WEFT_NOW));
    CHECK_ERR(-EPIPE, weft_submit_many(ex, pool_square, args, 5, f));
    weft_executor_free(ex);
}

/* ---- cancelling and stopping ---- */

/* I96, I97, K129 */
TEST_IN(THREAD | CO, pool_job_can_be_cancelled_until_it_begins)
{
    weft_executor *ex = pool_new(t, 1);
    struct gate gate = {0};
    uint32_t ran = 0;
    weft_future *first, *f[50];
    CHECK_OK(weft_submit(ex, gate_pass, &gate, &first));
    gate_wait_inside(&gate, 1);
    for (int i = 0; i < 50; i++)
        CHECK_OK(weft_submit(ex, pool_count, &ran, &f[i]));
    CHECK_INT(0, weft_future_cancel(first));
    CHECK_INT(WEFT_RUNNING, weft_future_state_of(first));
    for (int i = 0; i < 50; i += 2)
        CHECK_INT(1, weft_future_cancel(f[i]));
    for (int i = 0; i < 50; i += 2) {
        CHECK_INT(1, weft_future_cancel(f[i]));
        CHECK_ERR(-ECANCELED, weft_future_result(f[i], NULL, WEFT_FOREVER));
    }
    weft_executor_info info;
    weft_executor_look(ex, &info);
    CHECK_INT(25, info.queued);
    gate_open(&gate);
    CHECK_OK(weft_executor_shutdown(ex, WEFT_SHUTDOWN_WAIT, WEFT_FOREVER));
    CHECK_INT(25, ran);
    weft_executor_look(ex, &info);
    CHECK_INT(0, info.queued);
    CHECK_INT(26, info.finished);
    for (int i = 0; i < 50; i++)
        weft_future_unref(f[i]);
    weft_future_unref(first);
    weft_executor_free(ex);
}

TEST_IN(THREAD | CO, pool_job_that_runs_can_be_asked_to_stop)
{
    weft_executor *ex = pool_new(t, 1);
    for (uint32_t i = 0; i < 50; i++) {
        uint32_t begun = 0;
        weft_future *f, *after;
        CHECK_OK(weft_submit(ex, pool_wait_long, &begun, &f));
        CHECK_OK(weft_submit(ex, sleep_a_little, NULL, &after));
        pool_until(&begun, 1);
        CHECK_INT(0, weft_future_stop(f));
        CHECK_ERR(-ECANCELED, weft_future_result(f, NULL, WEFT_FOREVER));
        CHECK_OK(weft_future_result(after, NULL, WEFT_FOREVER)); /* only the one that was stopped is */
        weft_future_unref(f);
        weft_future_unref(after);
    }
    weft_executor_free(ex);
}

/* ---- times ---- */

TEST_IN(THREAD | CO, pool_job_over_its_time_is_given_up_and_asked_to_stop)
{
    weft_executor *ex = pool_new(t, 1);
    uint32_t begun = 0;
    weft_future *f, *after;
    int64_t before = weft_now();
    CHECK_OK(weft_submit_with(ex, pool_wait_long, &begun, &(weft_job_options){.time_limit = 20 * WEFT_MS}, &f));
    CHECK_OK(weft_submit(ex, sleep_a_little, NULL, &after));
    CHECK_ERR(-ETIMEDOUT, weft_future_result(f, NULL, WEFT_FOREVER));
    CHECK(weft_now() - before >= 20 * WEFT_MS);
    pool_until(&begun, 1);
    CHECK_OK(weft_future_result(after, NULL, WEFT_FOREVER));
    weft_future_unref(f);
    weft_future_unref(after);

    CHECK_OK(weft_submit_with(ex, pool_square, (void *)4, &(weft_job_options){.time_limit = 100 * WEFT_SECOND}, &f));
    void *result;
    CHECK_OK(weft_future_result(f, &result, WEFT_FOREVER));
    CHECK_INT(16, (intptr_t)result);
    weft_future_unref(f);
    weft_executor_free(ex);
}

/* At once: also while the job does not look. */
TEST_IN(THREAD | CO, pool_job_over_its_time_is_not_waited_for)
{
    weft_executor *ex = pool_new(t, 1);
    struct gate gate = {0};
    weft_future *f;
    CHECK_OK(weft_submit_with(ex, gate_pass_shielded, &gate, &(weft_job_options){.time_limit = WEFT_MS}, &f));
    CHECK_ERR(-ETIMEDOUT, weft_future_result(f, NULL, WEFT_FOREVER));
    gate_wait_inside(&gate, 1);
    gate_open(&gate);
    weft_executor_free(ex);
    CHECK_ERR(-ETIMEDOUT, weft_future_error(f));
    weft_future_unref(f);
}

TEST_IN(THREAD | CO, pool_job_that_does_not_begin_in_time_never_does)
{
    weft_executor *ex = pool_new(t, 1);
    struct gate gate = {0};
    uint32_t ran = 0;
    weft_future *f[3];
    CHECK_OK(weft_submit(ex, gate_pass, &gate, NULL));
    gate_wait_inside(&gate, 1);
    CHECK_OK(weft_submit_with(ex, pool_count, &ran, &(weft_job_options){.start_by = weft_in_ms(10)}, &f[0]));
    CHECK_OK(weft_submit_with(ex, pool_count, &ran, &(weft_job_options){.start_by = weft_in_seconds(1000)}, &f[1]));
    CHECK_OK(weft_submit_with(ex, pool_count, &ran, &(weft_job_options){.start_by = {1}}, &f[2]));
    CHECK_ERR(-ETIMEDOUT, weft_future_result(f[0], NULL, WEFT_FOREVER));
    CHECK_ERR(-ETIMEDOUT, weft_future_result(f[2], NULL, WEFT_FOREVER));
    CHECK_INT(0, weft_future_done(f[1]));
    gate_open(&gate);
    CHECK_OK(weft_future_result(f[1], NULL, WEFT_FOREVER));
    weft_executor_free(ex);
    CHECK_INT(1, ran);
    for (int i = 0; i < 3; i++)
        weft_future_unref(f[i]);
}

/* ---- who waits helps ---- */

static weft_executor *nest;

static int sum_below(void *arg, void **result)
{
    intptr_t n = (intptr_t)arg;
    void *below = NULL;
    if (n > 0) {
        weft_future *f;
        CHECK_OK(weft_submit(nest, sum_below, (void *)(n - 1), &f));
        CHECK_OK(weft_future_result(f, &below, WEFT_FOREVER));
        weft_future_unref(f);
    }
    *result = (void *)(n + (intptr_t)below);
    return 0;
}

/* K124 */
TEST_IN(THREAD | CO, pool_of_one_does_jobs_that_wait_for_jobs)
{
    nest = pool_new(t, 1);
    weft_future *f;
    void *result;
    CHECK_OK(weft_submit(nest, sum_below, (void *)30, &f));
    CHECK_OK(weft_future_result(f, &result, WEFT_FOREVER));
    CHECK_INT(30 * 31 / 2, (intptr_t)result);
    weft_future_unref(f);
    weft_executor_info info;
    weft_executor_look(nest, &info);
    CHECK_INT(1, info.workers);
    CHECK_INT(31, info.finished);
    weft_executor_free(nest);
}

static int wait_for_ten(void *arg, void **result)
{
    weft_future *f[10];
    (void)arg;
    for (intptr_t i = 0; i < 10; i++)
        CHECK_OK(weft_submit(nest, pool_square, (void *)i, &f[i]));
    CHECK_INT(10, weft_futures_wait(f, 10, WEFT_ALL_DONE, WEFT_FOREVER));
    intptr_t sum = 0;
    for (int i = 0; i < 10; i++) {
        void *one;
        CHECK_OK(weft_future_result(f[i], &one, WEFT_NOW));
        sum += (intptr_t)one;
        weft_future_unref(f[i]);
    }
    *result = (void *)sum;
    return 0;
}

/* K124 */
TEST_IN(THREAD | CO, pool_full_of_jobs_that_wait_for_several_goes_on)
{
    nest = pool_new(t, 2);
    weft_future *f[20];
    for (int i = 0; i < 20; i++)
        CHECK_OK(weft_submit(nest, wait_for_ten, NULL, &f[i]));
    for (int i = 0; i < 20; i++) {
        void *result;
        CHECK_OK(weft_future_result(f[i], &result, WEFT_FOREVER));
        CHECK_INT(285, (intptr_t)result);
        weft_future_unref(f[i]);
    }
    weft_executor_free(nest);
}

static int stop_inner_then_outer(void *arg, void **result)
{
    weft_future *f;
    uint32_t begun = 0;
    (void)arg;
    (void)result;
    CHECK_OK(weft_submit_with(nest, pool_wait_long, &begun, &(weft_job_options){.time_limit = WEFT_MS}, &f));
    CHECK_ERR(-ETIMEDOUT, weft_future_result(f, NULL, WEFT_FOREVER));
    CHECK_INT(1, begun);
    CHECK_INT(0, weft_cancelled());
    weft_future_unref(f);
    return weft_sleep(weft_in_ms(1));
}

/* A stop reaches the job that it is meant for, and not the one that waits for it in the same worker. */
TEST_IN(THREAD | CO, pool_job_is_not_stopped_with_the_one_it_waits_for)
{
    nest = pool_new(t, 1);
    weft_future *f;
    for (int i = 0; i < 20; i++) {
        CHECK_OK(weft_submit(nest, stop_inner_then_outer, NULL, &f));
        CHECK_OK(weft_future_result(f, NULL, WEFT_FOREVER));
        weft_future_unref(f);
    }
    weft_executor_free(nest);
}

static int who_am_i(void *arg, void **result)
{
    (void)arg;
    *result = weft__self();
    return 0;
}

TEST_IN(THREAD | CO, pool_lets_waiters_help_when_told)
{
    weft_executor *ex = pool_new_with(t, &(weft_pool_options){.workers = 1, .waiters_help = 1});
    struct gate gate = {0};
    CHECK_OK(weft_submit(ex, gate_pass, &gate, NULL));
    gate_wait_inside(&gate, 1); /* nobody else can do it */
    weft_future *f;
    void *who;
    CHECK_OK(weft_submit(ex, who_am_i, NULL, &f));
    CHECK_ERR(-ETIMEDOUT, weft_future_result(f, &who, weft_in_ms(1)));
    CHECK_OK(weft_future_result(f, &who, WEFT_FOREVER));
    CHECK_PTR(weft__self(), who);
    weft_future_unref(f);
    weft_executor_info info;
    weft_executor_look(ex, &info);
    CHECK_INT(0, info.queued);
    CHECK_INT(1, info.finished);
    gate_open(&gate);
    weft_executor_free(ex);
    CHECK_ERR(-EINVAL, weft_thread_pool_new(&ex, &(weft_pool_options){.waiters_help = 1, .initializer = prepare}));
}

static void *wait_for_leaver(void *f)
{
    weft_future_wait(f, WEFT_FOREVER); /* runs the job, which ends the thread */
    return f;
}

/* K135 */
TEST(pool_job_fails_that_ends_the_thread_of_a_waiter_which_ran_it)
{
    weft_executor *ex;
    CHECK_OK(weft_thread_pool_new(&ex, &(weft_pool_options){.workers = 1, .waiters_help = 1}));
    struct gate gate = {0};
    CHECK_OK(weft_submit(ex, gate_pass, &gate, NULL));
    gate_wait_inside(&gate, 1);
    uint32_t ended = 0;
    for (int i = 0; i < 3; i++) {
        weft_future *f;
        pthread_t thread;
        void *returned;
        CHECK_OK(weft_submit(ex, leave_thread, &ended, &f));
        CHECK_INT(0, pthread_create(&thread, NULL, wait_for_leaver, f));
        CHECK_INT(0, pthread_join(thread, &returned));
        CHECK_PTR(NULL, returned);
        CHECK_INT(1, weft_future_done(f));
        CHECK_ERR(-ECANCELED, weft_future_result(f, NULL, WEFT_NOW));
        weft_future_unref(f);
    }
    weft_executor_info info;
    weft_executor_look(ex, &info);
    CHECK_INT(0, info.queued);
    CHECK_INT(3, info.finished);
    gate_open(&gate);
    weft_executor_free(ex);
    CHECK_INT(3, ended);
}

struct nest_of_two {
    weft_executor *ex;
    weft_future *outer;
};

static int stop_outer_and_sleep(void *arg, void **result)
{
    const struct nest_of_two *two = arg;
    (void)result;
    CHECK_INT(0, weft_future_stop(two->outer));
    return weft_sleep(weft_in_ms(1)); /* goes on: it was not this one that was asked */
}

static int wait_for_inner(void *arg, void **result)
{
    struct nest_of_two *two = arg;
    weft_future *f;
    (void)result;
    CHECK_OK(weft_submit(two->ex, stop_outer_and_sleep, two, &f));
    CHECK_OK(weft_future_result(f, NULL, WEFT_FOREVER));
    weft_future_unref(f);
    return weft_sleep(WEFT_FOREVER);
}

TEST_IN(THREAD | CO, pool_job_that_a_waiter_runs_inside_another_is_not_stopped_with_that)
{
    struct nest_of_two two = {.ex = pool_new_with(t, &(weft_pool_options){.workers = 1, .waiters_help = 1})};
    struct gate gate = {0};
    CHECK_OK(weft_submit(two.ex, gate_pass, &gate, NULL));
    gate_wait_inside(&gate, 1);
    CHECK_OK(weft_submit(two.ex, wait_for_inner, &two, &two.outer));
    CHECK_ERR(-ECANCELED, weft_future_result(two.outer, NULL, WEFT_FOREVER));
    CHECK_OK(weft_sleep(weft_in_ms(1))); /* the stop has ended with its job */
    weft_future_unref(two.outer);
    gate_open(&gate);
    weft_executor_free(two.ex);
}
