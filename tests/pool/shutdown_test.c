/* shutdown_test.c - the end of a pool: of itself, of the process, in a child of fork, of a thread that cannot start. */
#include "harness/harness.h"

#include "pool_support.h"

#include "base/atomic.h"
#include "sys/sys.h"

#include <weft/co.h>
#include <weft/event.h>
#include <weft/thread.h>

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct gate gate;
static uint32_t ran; /* atomic */

/* K125 */
TEST_IN(THREAD | CO, shutdown_waits_until_all_jobs_have_run_and_takes_no_more)
{
    weft_executor *ex = pool_new(t, 3);
    for (int i = 0; i < 2000; i++)
        CHECK_OK(weft_submit(ex, pool_count, &ran, NULL));
    CHECK_OK(weft_executor_shutdown(ex, WEFT_SHUTDOWN_WAIT, WEFT_FOREVER));
    CHECK_INT(2000, ran);
    weft_executor_info info;
    weft_executor_look(ex, &info);
    CHECK_INT(0, info.workers);
    weft_future *f;
    CHECK_ERR(-EPIPE, weft_submit(ex, pool_count, &ran, &f));
    CHECK_ERR(-EPIPE, weft_submit_with(ex, pool_count, &ran, &(weft_job_options){.priority = 1}, &f));
    weft_executor_free(ex);
    CHECK_INT(2000, ran);
}

/* K125: the workers are no more, not only their jobs. */
TEST(shutdown_leaves_no_thread_behind)
{
    int before = weft_threads_count();
    weft_executor *ex;
    CHECK_OK(weft_thread_pool_new(&ex, &(weft_pool_options){.workers = 5}));
    void *args[20] = {[0 ... 19] = &gate};
    CHECK_INT(20, weft_submit_many(ex, gate_pass, args, 20, NULL));
    gate_wait_inside(&gate, 5);
    CHECK_INT(before + 5, weft_threads_count());
    gate_open(&gate);
    CHECK_OK(weft_executor_shutdown(ex, WEFT_SHUTDOWN_WAIT, WEFT_FOREVER));
    CHECK_INT(before, weft_threads_count());
    weft_executor_free(ex);
}

/* K126, K128 */
TEST_IN(THREAD | CO, shutdown_need_not_wait)
{
    weft_executor *ex = pool_new(t, 2);
    void *args[10] = {[0 ... 9] = &gate};
    weft_future *f[10];
    CHECK_INT(10, weft_submit_many(ex, gate_pass, args, 10, f));
    gate_wait_inside(&gate, 2);
    for (int i = 0; i < 3; i++)
        CHECK_OK(weft_executor_shutdown(ex, 0, WEFT_FOREVER));
    CHECK_ERR(-EPIPE, weft_submit(ex, pool_count, &ran, NULL));
    CHECK_ERR(-ETIMEDOUT, weft_executor_shutdown(ex, WEFT_SHUTDOWN_WAIT, weft_in_ms(2)));
    CHECK_INT(0, weft_future_done(f[0]));
    gate_open(&gate);
    for (int i = 0; i < 10; i++) {
        CHECK_OK(weft_future_result(f[i], NULL, WEFT_FOREVER));
        weft_future_unref(f[i]);
    }
    pool_until_no_workers(ex); /* they end by themselves */
    CHECK_OK(weft_executor_shutdown(ex, WEFT_SHUTDOWN_WAIT, WEFT_NOW));
    weft_executor_free(ex);
}

/* K127 */
TEST_IN(THREAD | CO, shutdown_can_cancel_what_has_not_begun)
{
    weft_executor *ex = pool_new(t, 2);
    weft_future *f[300];
    for (int i = 0; i < 2; i++)
        CHECK_OK(weft_submit(ex, gate_pass, &gate, &f[i]));
    gate_wait_inside(&gate, 2);
    for (int i = 2; i < 300; i++)
        CHECK_OK(weft_submit_with(ex, pool_count, &ran, &(weft_job_options){.priority = i % 4 - 2}, &f[i]));
    CHECK_OK(weft_executor_shutdown(ex, WEFT_SHUTDOWN_CANCEL, WEFT_NOW));
    for (int i = 2; i < 300; i++)
        CHECK_INT(1, weft_future_cancelled(f[i]));
    weft_executor_info info;
    weft_executor_look(ex, &info);
    CHECK_INT(0, info.queued);
    gate_open(&gate);
    CHECK_OK(weft_executor_shutdown(ex, WEFT_SHUTDOWN_WAIT | WEFT_SHUTDOWN_CANCEL, WEFT_FOREVER));
    for (int i = 0; i < 300; i++) {
        CHECK_ERR(i < 2 ? 0 : -ECANCELED, weft_future_result(f[i], NULL, WEFT_NOW));
        weft_future_unref(f[i]);
    }
    CHECK_INT(0, ran);
    weft_executor_free(ex);
}

static int shut_down_and_wait(void *ex)
{
    return weft_executor_shutdown(ex, WEFT_SHUTDOWN_WAIT, WEFT_FOREVER);
}

/* K128 */
TEST_IN(THREAD | CO, shutdown_may_be_called_by_several)
{
    weft_executor *ex = pool_new(t, 2);
    void *args[10] = {[0 ... 9] = &gate};
    CHECK_INT(10, weft_submit_many(ex, gate_pass, args, 10, NULL));
    for (int i = 0; i < 5; i++)
        test_spawn(t, shut_down_and_wait, ex);
    gate_wait_inside(&gate, 2);
    gate_open(&gate);
    test_join(t);
    CHECK_INT(10, gate.passed);
    weft_executor_free(ex);
}

static int shut_down_own(void *ex, void **result)
{
    (void)result;
    CHECK_ERR(-EDEADLK, weft_executor_shutdown(ex, WEFT_SHUTDOWN_WAIT, WEFT_FOREVER));
    CHECK_OK(weft_submit(ex, pool_count, &ran, NULL)); /* that has changed nothing */
    CHECK_OK(weft_executor_shutdown(ex, 0, WEFT_FOREVER));
    CHECK_ERR(-EPIPE, weft_submit(ex, pool_count, &ran, NULL));
    return 0;
}

/* K128 */
TEST_IN(THREAD | CO, shutdown_by_a_job_does_not_wait)
{
    weft_executor *ex = pool_new(t, 1);
    weft_future *f;
    CHECK_OK(weft_submit(ex, shut_down_own, ex, &f));
    CHECK_OK(weft_future_result(f, NULL, WEFT_FOREVER));
    weft_future_unref(f);
    weft_executor_free(ex);
    CHECK_INT(1, ran);
}

static int free_own(void *ex, void **result)
{
    (void)result;
    weft_executor_free(ex);
    return 0;
}

TEST_PANICS(pool_is_not_freed_by_its_own_job, "is freed by one of its own jobs")
{
    weft_executor *ex;
    CHECK_OK(weft_thread_pool_new(&ex, NULL));
    weft_submit(ex, free_own, ex, NULL);
    weft_sleep(WEFT_FOREVER);
}

TEST_IN(THREAD | CO, shutdown_of_a_pool_that_was_never_used_is_quick)
{
    weft_executor *ex = pool_new(t, 4);
    CHECK_OK(weft_executor_shutdown(ex, WEFT_SHUTDOWN_WAIT, WEFT_NOW));
    weft_executor_free(ex);
    for (int i = 0; i < 1000; i++)
        weft_executor_free(pool_new(t, 4));
}

/* ---- the end of the process ---- */

static int write_late(void *arg, void **result)
{
    (void)result;
    weft_sleep(weft_in_ms(5));
    CHECK_INT(1, write(*(int *)arg, "x", 1));
    return 0;
}

static weft_executor *left;
static int out;

static void submit_after_end(void)
{
    CHECK_ERR(-EPIPE, weft_submit(left, pool_count, &ran, NULL));
    weft_executor *ex;
    CHECK_OK(weft_thread_pool_new(&ex, NULL));
    CHECK_ERR(-EPIPE, weft_submit(ex, pool_count, &ran, NULL));
}

/* The child's whole output, and its exit status. */
static void expect_end(pid_t pid, const int fds[2], int code, const char *output)
{
    char text[64];
    size_t n = 0;
    ssize_t got;
    int status;
    close(fds[1]);
    while ((got = read(fds[0], text + n, sizeof text - n)) > 0)
        n += (size_t)got;
    close(fds[0]);
    CHECK_INT(pid, waitpid(pid, &status, 0));
    CHECK_INT(code << 8, status);
    CHECK_INT(strlen(output), n);
    CHECK_MEM(output, text, n);
}

static void end_with_jobs(int (*new_pool)(weft_executor **ex, const weft_pool_options *options))
{
    int fds[2];
    CHECK_INT(0, pipe(fds));
    pid_t pid = fork();
    if (pid == 0) {
        close(fds[0]);
        dup2(fds[1], 2);          /* it says nothing, either */
        atexit(submit_after_end); /* registered first, runs last */
        CHECK_OK(new_pool(&left, &(weft_pool_options){.workers = 2}));
        for (int i = 0; i < 10; i++)
            CHECK_OK(weft_submit(left, write_late, &fds[1], NULL));
        exit(0);
    }
    expect_end(pid, fds, 0, "xxxxxxxxxx");
}

/* K130 */
TEST(process_that_ends_first_finishes_the_jobs_of_its_pools)
{
    end_with_jobs(weft_thread_pool_new);
    end_with_jobs(weft_co_pool_new);
}

static int call_exit(void *arg, void **result)
{
    (void)arg;
    (void)result;
    exit(7);
}

/* The last of the jobs that are finished. */
static int tell_how_it_ended(void *job, void **result)
{
    (void)result;
    CHECK_ERR(-ECANCELED, weft_future_result(job, NULL, WEFT_FOREVER));
    CHECK_INT(1, write(out, "e", 1));
    return 0;
}

static void end_by_a_job(int (*new_pool)(weft_executor **ex, const weft_pool_options *options))
{
    int fds[2];
    CHECK_INT(0, pipe(fds));
    pid_t pid = fork();
    if (pid == 0) {
        struct gate start = {0};
        weft_future *f;
        close(fds[0]);
        out = fds[1];
        CHECK_OK(new_pool(&left, &(weft_pool_options){.workers = 1}));
        CHECK_OK(weft_submit(left, gate_pass, &start, NULL));
        CHECK_OK(weft_submit(left, call_exit, NULL, &f));
        for (int i = 0; i < 10; i++)
            CHECK_OK(weft_submit(left, write_late, &out, NULL));
        CHECK_OK(weft_submit(left, tell_how_it_ended, f, NULL));
        gate_open(&start);
        weft_sleep(WEFT_FOREVER);
    }
    expect_end(pid, fds, 7, "xxxxxxxxxxe");
}

TEST(process_ends_when_a_job_says_so_and_the_others_are_done)
{
    end_by_a_job(weft_thread_pool_new);
    end_by_a_job(weft_co_pool_new);
}

static int open_gate_and_exit(void *start, void **result)
{
    (void)result;
    gate_open(start);
    exit(7);
}

static int wait_for_exit_job(void *f)
{
    weft_future_wait(f, WEFT_FOREVER); /* helps, and so does not return */
    return 1;
}

/* The job that calls exit is run by who waits for it and is no worker; one of the pool's jobs waits for it, too. */
static void end_by_a_helped_job(int (*new_pool)(weft_executor **ex, const weft_pool_options *options),
                                bool by_coroutine)
{
    int fds[2];
    CHECK_INT(0, pipe(fds));
    pid_t pid = fork();
    if (pid == 0) {
        struct gate start = {0};
        weft_future *f;
        close(fds[0]);
        out = fds[1];
        CHECK_OK(new_pool(&left, &(weft_pool_options){.workers = 1, .waiters_help = 1}));
        CHECK_OK(weft_submit(left, gate_pass, &start, NULL));
        gate_wait_inside(&start, 1);
        CHECK_OK(weft_submit(left, open_gate_and_exit, &start, &f));
        CHECK_OK(weft_submit(left, tell_how_it_ended, f, NULL));
        if (by_coroutine)
            CHECK_OK(weft_go(wait_for_exit_job, f));
        else
            wait_for_exit_job(f);
        weft_sleep(WEFT_FOREVER);
    }
    expect_end(pid, fds, 7, "e");
}

TEST(process_ends_when_a_job_says_so_that_its_waiter_runs)
{
    end_by_a_helped_job(weft_thread_pool_new, false);
    end_by_a_helped_job(weft_co_pool_new, false);
    end_by_a_helped_job(weft_thread_pool_new, true);
    end_by_a_helped_job(weft_co_pool_new, true);
}

/* ---- fork ---- */

static int churn(void *arg)
{
    weft_executor *ex = arg;
    while (load_relaxed(&gate.passed) == 0) {
        weft_future *f;
        CHECK_OK(weft_submit(ex, pool_count, &ran, &f));
        CHECK_OK(weft_future_wait(f, WEFT_FOREVER));
        weft_future_unref(f);
    }
    return 0;
}

static int in_child(weft_executor *inherited)
{
    weft_executor *ex;
    weft_future *f[50];
    weft_executor_info info;
    CHECK_ERR(-EPIPE, weft_submit(inherited, pool_count, &ran, NULL));
    CHECK_ERR(-EPIPE, weft_submit_many(inherited, pool_count, (void *[1]){&ran}, 1, NULL));
    weft_executor_look(inherited, &info);
    CHECK_INT(0, info.workers);
    CHECK_OK(weft_executor_shutdown(inherited, WEFT_SHUTDOWN_WAIT, WEFT_FOREVER));
    CHECK_OK(weft_thread_pool_new(&ex, &(weft_pool_options){.workers = 3}));
    for (intptr_t i = 0; i < 50; i++)
        CHECK_OK(weft_submit(ex, pool_square, (void *)i, &f[i]));
    for (intptr_t i = 0; i < 50; i++) {
        void *result;
        CHECK_OK(weft_future_result(f[i], &result, WEFT_FOREVER));
        CHECK_INT(i * i, (intptr_t)result);
        weft_future_unref(f[i]);
    }
    if (getpid() % 2)
        weft_executor_free(ex);
    weft_executor_free(inherited);
    return 0;
}

static _Noreturn void be_child(weft_executor *inherited)
{
    int status = in_child(inherited);
    if (WEFT__ASAN)
        _exit(status); /* at an exit it would miss what only threads of the parent know of */
    exit(status);
}

/* K134 */
TEST_LIMIT(30, fork_while_pools_run_leaves_a_child_that_can_have_its_own)
{
    weft_executor *ex;
    CHECK_OK(weft_thread_pool_new(&ex, &(weft_pool_options){.workers = 2}));
    weft_thread threads[2] = {WEFT_THREAD_INIT, WEFT_THREAD_INIT};
    for (int i = 0; i < 2; i++)
        CHECK_OK(weft_thread_start(&threads[i], churn, ex, NULL));
    for (int i = 0; i < 30; i++) {
        pid_t pid = fork();
        if (pid == 0)
            be_child(ex);
        int status;
        CHECK_INT(pid, waitpid(pid, &status, 0));
        CHECK_INT(0, status);
    }
    store_relaxed(&gate.passed, 1);
    for (int i = 0; i < 2; i++)
        CHECK_OK(weft_thread_join(&threads[i], NULL, WEFT_FOREVER));
    weft_executor_free(ex);
}

static int fork_here(void *ex, void **result)
{
    int status = 0;
    (void)result;
    pid_t pid = fork();
    if (pid == 0)
        be_child(ex);
    CHECK_INT(pid, waitpid(pid, &status, 0));
    CHECK_INT(0, status);
    return 0;
}

/* K134 */
TEST(fork_by_a_job_leaves_a_child_that_can_have_its_own)
{
    weft_executor *ex;
    CHECK_OK(weft_thread_pool_new(&ex, &(weft_pool_options){.workers = 2}));
    weft_future *f;
    CHECK_OK(weft_submit(ex, fork_here, ex, &f));
    CHECK_OK(weft_future_result(f, NULL, WEFT_FOREVER));
    weft_future_unref(f);
    weft_executor_free(ex);
}

/* ---- what the system does not give ---- */

TEST(pool_without_a_thread_says_so_and_goes_on_when_there_is_one)
{
    weft_executor *ex;
    weft_future *f;
    CHECK_OK(weft_thread_pool_new(&ex, &(weft_pool_options){.workers = 2}));
    weft__sys_plan(WEFT__SYS_THREAD, 1, UINT32_MAX, -EAGAIN, 0);
    for (int i = 0; i < 10; i++)
        CHECK_ERR(-ENOMEM, i % 2 ? weft_submit(ex, pool_count, &ran, &f)
                                 : weft_submit_many(ex, pool_count, (void *[2]){&ran, &ran}, 2, NULL));
    weft__sys_plan_none();
    CHECK_OK(weft_submit(ex, pool_count, &ran, &f));
    CHECK_OK(weft_future_result(f, NULL, WEFT_FOREVER));
    weft_future_unref(f);
    CHECK_INT(1, ran);

    weft__sys_plan(WEFT__SYS_THREAD, 1, UINT32_MAX, -EAGAIN, 0); /* one worker does it all */
    void *args[50] = {[0 ... 49] = &ran};
    CHECK_INT(50, weft_submit_many(ex, pool_count, args, 50, NULL));
    CHECK_OK(weft_executor_shutdown(ex, WEFT_SHUTDOWN_WAIT, WEFT_FOREVER));
    weft__sys_plan_none();
    CHECK_INT(51, ran);
    weft_executor_free(ex);
}

static weft_event go = WEFT_EVENT_INIT;

static int submit_when_told(void *ex)
{
    weft_future *f;
    CHECK_OK(weft_event_wait(&go, WEFT_FOREVER));
    return weft_submit(ex, pool_count, &ran, &f);
}

/* Both have put their jobs when the start fails, and the second counts on the first one's worker. */
TEST(pool_without_a_thread_cancels_a_job_that_was_left_to_a_worker_of_anothers)
{
    weft_executor *ex;
    weft_thread other;
    weft_future *f;
    int result;
    CHECK_OK(weft_thread_pool_new(&ex, &(weft_pool_options){.workers = 2}));
    CHECK_OK(weft_thread_start(&other, submit_when_told, ex, NULL));
    weft__sys_plan(WEFT__SYS_THREAD, 1, UINT32_MAX, -EAGAIN, 20 * WEFT_MS);
    weft_event_set(&go);
    while (weft__sys_seen(WEFT__SYS_THREAD) == 0)
        sched_yield();
    int err = weft_submit(ex, pool_count, &ran, &f); /* -ENOMEM: it came too late for this */
    CHECK_OK(weft_thread_join(&other, &result, WEFT_FOREVER));
    CHECK_ERR(-ENOMEM, result);
    if (err == 0) {
        CHECK_ERR(-ECANCELED, weft_future_result(f, NULL, WEFT_FOREVER));
        weft_future_unref(f);
    }
    weft__sys_plan_none();
    CHECK_OK(weft_submit(ex, pool_count, &ran, NULL));
    weft_executor_free(ex);
    CHECK_INT(1, ran);
}

TEST_IN(THREAD | CO, pool_without_memory_says_so)
{
    weft_executor *ex = pool_new(t, 2);
    weft_future *f[700];
    int refused = 0;
    for (int i = 0; i < 700; i++) {
        weft__sys_plan(WEFT__SYS_MALLOC, 1, 1, -ENOMEM, 0);
        int err = weft_submit(ex, pool_square, NULL, &f[i]);
        weft__sys_plan_none();
        if (err == 0)
            continue;
        CHECK_ERR(-ENOMEM, err);
        refused++;
        CHECK_OK(weft_submit(ex, pool_square, NULL, &f[i]));
    }
    CHECK(refused > 0);
    for (int i = 0; i < 700; i++) {
        CHECK_OK(weft_future_result(f[i], NULL, WEFT_FOREVER));
        weft_future_unref(f[i]);
    }
    weft_executor_free(ex);
}
