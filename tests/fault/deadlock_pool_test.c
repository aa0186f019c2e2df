/* deadlock_pool_test.c - jobs, futures, pools and queues that wait for each other. S000-35, 124 (nested jobs), X-10. */
#include "fault/deadlock_support.h"

#include <weft/co.h>
#include <weft/event.h>
#include <weft/executor.h>
#include <weft/future.h>
#include <weft/lock.h>
#include <weft/queue.h>
#include <weft/select.h>
#include <weft/thread.h>

#include "base/atomic.h"

#include <errno.h>
#include <string.h>

static weft_executor *pool, *other;
static weft_lock l = WEFT_LOCK_INIT;
static weft_future *first, *second;
static uint32_t begun; /* atomic */

typedef int make_pool(weft_executor **ex, const weft_pool_options *options);

static int takes_the_lock(void *arg, void **result)
{
    (void)arg, (void)result;
    add_seq_cst(&begun, 1);
    int err = weft_lock_acquire_until(&l, WEFT_FOREVER);
    if (err == 0)
        weft_lock_release(&l);
    return err;
}

static void until_begun(uint32_t n)
{
    while (load_seq_cst(&begun) < n)
        weft_sleep(weft_in_ms(1));
}

/* The caller holds what the job wants, and waits for the job. */
static void holder_waits_for_its_job(make_pool *make)
{
    collect_reports(WEFT_DEADLOCK_ERROR);
    CHECK_OK(make(&pool, &(weft_pool_options){.workers = 1, .name = "one"}));
    weft_lock_acquire(&l);
    CHECK_OK(weft_submit(pool, takes_the_lock, NULL, &first));
    until_begun(1);
    CHECK_ERR(-EDEADLK, weft_future_result(first, NULL, WEFT_FOREVER)); /* of the wait or of the job, whose it was */
    CHECK_INT(1, reports());
    const report *r = report_at(0);
    CHECK_INT(1, r->ring);
    CHECK_INT(2, r->n);
    CHECK(strstr(r->text, "waits for future") != NULL);
    CHECK(strstr(r->text, "run by") != NULL);
    weft_lock_release(&l);
    weft_future_unref(first);
    weft_executor_free(pool);
}

TEST(pool_ring_of_holder_and_job_threads)
{
    holder_waits_for_its_job(weft_thread_pool_new);
}

TEST(pool_ring_of_holder_and_job_coroutines)
{
    holder_waits_for_its_job(weft_co_pool_new);
}

static int waits_for(void *arg, void **result)
{
    weft_future **f = arg;
    (void)result;
    add_seq_cst(&begun, 1);
    until_begun(3);
    return weft_future_wait(*f, WEFT_FOREVER);
}

/* Two jobs of two pools wait for each other's future. */
static void jobs_wait_for_each_other(make_pool *make)
{
    collect_reports(WEFT_DEADLOCK_ERROR);
    CHECK_OK(make(&pool, &(weft_pool_options){.workers = 1, .name = "one"}));
    CHECK_OK(make(&other, &(weft_pool_options){.workers = 1, .name = "two"}));
    CHECK_OK(weft_submit(pool, waits_for, &second, &first));
    CHECK_OK(weft_submit(other, waits_for, &first, &second));
    add_seq_cst(&begun, 1); /* both futures are known now */
    int a = weft_future_result(first, NULL, weft_in_seconds(25 * test_limit_factor()));
    int b = weft_future_result(second, NULL, weft_in_seconds(25 * test_limit_factor()));
    CHECK_INT(-EDEADLK, a + b); /* one of them; the other's wait then ended well */
    CHECK_INT(1, reports());
    CHECK_INT(2, report_at(0)->n);
    weft_future_unref(first);
    weft_future_unref(second);
    weft_executor_free(pool);
    weft_executor_free(other);
}

TEST(pool_ring_of_jobs_threads)
{
    jobs_wait_for_each_other(weft_thread_pool_new);
}

TEST(pool_ring_of_jobs_coroutines)
{
    jobs_wait_for_each_other(weft_co_pool_new);
}

/* ---- for the first of several ---- */

static weft_future *several[2];

static int waits_for_the_first(void *arg, void **result)
{
    (void)arg, (void)result;
    add_seq_cst(&begun, 1);
    until_begun(4); /* all futures are known now */
    weft_future *f[2] = {several[0], several[1]};
    long done = weft_futures_wait(f, 2, WEFT_FIRST_DONE, WEFT_FOREVER);
    return done < 0 ? (int)done : 0;
}

static int sleeps(void *arg, void **result)
{
    (void)arg, (void)result;
    add_seq_cst(&begun, 1);
    return weft_sleep(weft_in_ms(300));
}

/* The same, by completions. */
static int waits_for_a_completion(void *arg, void **result)
{
    weft_completions *c;
    weft_future *f;
    (void)arg, (void)result;
    add_seq_cst(&begun, 1);
    until_begun(4);
    CHECK_OK(weft_completions_new(&c, several, 2));
    int err = weft_completions_next(c, &f, WEFT_FOREVER);
    if (err == 0)
        weft_future_unref(f);
    weft_completions_free(c);
    return err;
}

/* A job waits for whichever of two is done first, and one of them, or both, wait for it. */
static int wait_for_the_first(make_pool *make, weft_job_fn *first_job, weft_job_fn *second_job)
{
    collect_reports(WEFT_DEADLOCK_ERROR);
    CHECK_OK(make(&pool, &(weft_pool_options){.workers = 1, .name = "one"}));
    CHECK_OK(make(&other, &(weft_pool_options){.workers = 2, .name = "two"}));
    CHECK_OK(weft_submit(pool, first_job, NULL, &first));
    CHECK_OK(weft_submit(other, waits_for, &first, &several[0]));
    CHECK_OK(weft_submit(other, second_job, &first, &several[1]));
    add_seq_cst(&begun, 1);
    int sum = weft_future_result(first, NULL, weft_in_seconds(25 * test_limit_factor()));
    for (int i = 0; i < 2; i++) {
        sum += weft_future_result(several[i], NULL, weft_in_seconds(25 * test_limit_factor()));
        weft_future_unref(several[i]);
    }
    weft_future_unref(first);
    weft_executor_free(pool);
    weft_executor_free(other);
    return sum;
}

static void ring_through_the_first(make_pool *make, weft_job_fn *first_job, const char *text)
{
    CHECK_INT(-EDEADLK,
              wait_for_the_first(make, first_job, waits_for)); /* one of them; then the others' waits ended well */
    CHECK_INT(1, reports());
    CHECK_INT(1, report_at(0)->ring);
    CHECK_INT(3, report_at(0)->n);
    const char *at = strstr(report_at(0)->text, text);
    CHECK(at != NULL && (at = strstr(at, "run by ")) != NULL && strstr(at, "\n        or ") != NULL);
}

TEST(pool_ring_through_the_first_of_several_threads)
{
    ring_through_the_first(weft_thread_pool_new, waits_for_the_first, "waits for one of several futures");
}

TEST(pool_ring_through_completions_threads)
{
    ring_through_the_first(weft_thread_pool_new, waits_for_a_completion, "waits for completion of futures");
}

TEST(pool_ring_through_the_first_of_several_coroutines)
{
    ring_through_the_first(weft_co_pool_new, waits_for_the_first, "waits for one of several futures");
}

TEST(pool_ring_through_completions_coroutines)
{
    ring_through_the_first(weft_co_pool_new, waits_for_a_completion, "waits for completion of futures");
}

TEST(pool_first_of_several_that_one_can_end_is_not_reported_threads)
{
    CHECK_INT(0, wait_for_the_first(weft_thread_pool_new, waits_for_the_first, sleeps));
    CHECK_INT(0, reports());
}

TEST(pool_first_of_several_that_one_can_end_is_not_reported_coroutines)
{
    CHECK_INT(0, wait_for_the_first(weft_co_pool_new, waits_for_the_first, sleeps));
    CHECK_INT(0, reports());
}

TEST(pool_completions_of_which_one_can_come_are_not_reported_threads)
{
    CHECK_INT(0, wait_for_the_first(weft_thread_pool_new, waits_for_a_completion, sleeps));
    CHECK_INT(0, reports());
}

TEST(pool_completions_of_which_one_can_come_are_not_reported_coroutines)
{
    CHECK_INT(0, wait_for_the_first(weft_co_pool_new, waits_for_a_completion, sleeps));
    CHECK_INT(0, reports());
}

static int nested(void *arg, void **result)
{
    intptr_t depth = (intptr_t)arg;
    (void)result;
    if (depth == 0)
        return weft_sleep(weft_in_ms(100));
    weft_future *f;
    CHECK_OK(weft_submit(pool, nested, (void *)(depth - 1), &f));
    int err = weft_future_wait(f, WEFT_FOREVER);
    weft_future_unref(f);
    return err;
}

/* 124: jobs that wait for jobs of their own pool of one are no deadlock, and are not taken for one. */
static void nested_jobs(make_pool *make)
{
    collect_reports(WEFT_DEADLOCK_REPORT);
    CHECK_OK(make(&pool, &(weft_pool_options){.workers = 1}));
    CHECK_OK(weft_submit(pool, nested, (void *)4, &first));
    CHECK_OK(weft_future_result(first, NULL, WEFT_FOREVER));
    weft_future_unref(first);
    weft_executor_free(pool);
    CHECK_INT(0, reports());
}

TEST(pool_of_one_with_nested_jobs_is_not_reported_threads)
{
    nested_jobs(weft_thread_pool_new);
}

TEST(pool_of_one_with_nested_jobs_is_not_reported_coroutines)
{
    nested_jobs(weft_co_pool_new);
}

/* A future that nobody plays the worker for. */
TEST(pool_future_that_nobody_sets_is_stuck)
{
    need_stuck();
    collect_reports(WEFT_DEADLOCK_ERROR);
    CHECK_OK(weft_future_new(&first));
    CHECK_ERR(-EDEADLK, weft_future_wait(first, WEFT_FOREVER));
    CHECK_INT(0, report_at(0)->ring);
    weft_future_unref(first);
}

static weft_event never = WEFT_EVENT_INIT;

static int begins_and_waits(void *f)
{
    CHECK_INT(1, weft_future_begin(f));
    add_seq_cst(&begun, 1);
    return weft_event_wait(&never, WEFT_FOREVER);
}

static void end_it(void)
{
    CHECK_OK(weft_future_set_result(second, NULL));
    weft_event_set(&never);
}

/* Who began a future that is waited for is named, though another might set it. */
TEST(pool_completions_that_nobody_brings_are_stuck)
{
    need_stuck();
    weft_thread t = WEFT_THREAD_INIT;
    weft_completions *c;
    weft_future *f;
    on_report = end_it;
    collect_reports(WEFT_DEADLOCK_REPORT);
    CHECK_OK(weft_future_new(&first));
    CHECK_OK(weft_future_new(&second));
    CHECK_OK(weft_thread_start(&t, begins_and_waits, first, &(weft_thread_options){.name = "promiser"}));
    until_begun(1);
    CHECK_OK(weft_completions_new(&c, (weft_future *[]){first, second}, 2));
    CHECK_OK(weft_completions_next(c, &f, WEFT_FOREVER));
    CHECK_PTR(second, f);
    CHECK_INT(0, report_at(0)->ring);
    const char *at = strstr(report_at(0)->text, "waits for completion of futures");
    CHECK(at != NULL && strstr(at, "run by thread \"promiser\"") != NULL);
    weft_future_unref(f);
    weft_completions_free(c);
    CHECK_OK(weft_thread_join(&t, NULL, WEFT_FOREVER));
    weft_future_unref(first);
    weft_future_unref(second);
}

TEST(pool_select_without_deadline_can_be_stuck)
{
    need_stuck();
    weft_event e = WEFT_EVENT_INIT;
    weft_queue *q;
    int element;
    collect_reports(WEFT_DEADLOCK_ERROR);
    CHECK_OK(weft_queue_new(&q, sizeof element, NULL));
    weft_case cases[] = {WEFT_CASE_GET(q, &element), WEFT_CASE_EVENT(&e)};
    CHECK_ERR(-EDEADLK, weft_select(cases, 2, WEFT_FOREVER));
    CHECK_ERR(-ETIMEDOUT, weft_select(cases, 2, weft_in_ms(150)));
    CHECK_INT(1, reports());
    weft_queue_free(q);
}

/* Idle workers and timers keep no program going. */
TEST(pool_whose_workers_are_idle_wakes_nobody)
{
    need_stuck();
    collect_reports(WEFT_DEADLOCK_ERROR);
    CHECK_OK(weft_thread_pool_new(&pool, &(weft_pool_options){.workers = 2}));
    CHECK_OK(weft_submit(pool, nested, 0, &first));
    CHECK_OK(weft_future_result(first, NULL, WEFT_FOREVER));
    weft_future_unref(first);
    CHECK_OK(weft_future_new(&first));
    CHECK_ERR(-EDEADLK, weft_future_wait(first, WEFT_FOREVER));
    weft_future_unref(first);
    weft_executor_free(pool);
}

static int late(void *arg, void **result)
{
    (void)arg, (void)result;
    return weft_sleep(weft_in_ms(250));
}

TEST(pool_whose_job_naps_is_not_reported)
{
    collect_reports(WEFT_DEADLOCK_REPORT);
    CHECK_OK(weft_co_pool_new(&pool, NULL));
    CHECK_OK(weft_submit(pool, late, NULL, &first));
    CHECK_OK(weft_future_result(first, NULL, WEFT_FOREVER));
    weft_future_unref(first);
    weft_executor_free(pool);
    CHECK_INT(0, reports());
}
