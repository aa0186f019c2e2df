/* process_pool_test.c - pools of processes: jobs, answers, callbacks, deaths, limits, replacement, the end. */
#include "process_support.h"

#include "base/atomic.h"
#include "sys/sys.h"

#include <weft/co.h>
#include <weft/thread.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* S000-57, X-02, checklist 136: what runs in threads runs in processes, by the same calls. */
TEST_IN(THREAD | CO, process_pool_gives_the_answers_of_its_jobs)
{
    weft_future *f[100];
    weft_executor *ex = processes(2);
    for (long i = 0; i < 100; i++)
        CHECK_OK(weft_submit_bytes(ex, bytes_square, &i, sizeof i, NULL, &f[i]));
    for (long i = 0; i < 100; i++) {
        CHECK_INT(i * i, bytes_long(f[i]));
        CHECK_STR("", weft_future_why(f[i]));
        weft_future_unref(f[i]);
    }
    weft_executor_free(ex);
}

static weft_future *submit_int(weft_executor *ex, weft_bytes_fn *fn, int n)
{
    weft_future *f;
    CHECK_OK(weft_submit_bytes(ex, fn, &n, sizeof n, NULL, &f));
    return f;
}

/* checklist 136, 137: only the job that the dead worker ran fails, and says of whom and of what it died. */
TEST(process_pool_death_fails_its_own_job_with_words)
{
    char expected[64];
    pid_t pid;
    weft_executor *ex = processes(1);
    CHECK_INT(1, weft_process_pool_pids(ex, &pid, 1));
    weft_future *f = submit_int(ex, bytes_signal, SIGKILL);
    CHECK_ERR(-WEFT_EDIED, weft_future_bytes(f, NULL, WEFT_FOREVER));
    snprintf(expected, sizeof expected, "worker 0 (pid %d) died: SIGKILL", (int)pid);
    CHECK_STR(expected, weft_future_why(f));
    weft_future_unref(f);

    f = submit_int(ex, bytes_pid, 0);
    CHECK(bytes_long(f) != pid);
    weft_future_unref(f);
    f = submit_int(ex, bytes_exit, 3);
    CHECK_ERR(-WEFT_EDIED, weft_future_bytes(f, NULL, WEFT_FOREVER));
    CHECK(strstr(weft_future_why(f), "died: exit code 3") != NULL);
    weft_future_unref(f);
    weft_executor_free(ex);
}

/* checklist 143: an error of a job carries its number and its words. */
TEST(process_pool_job_that_fails_says_why)
{
    weft_executor *ex = processes(1);
    weft_future *f = submit_int(ex, bytes_fail, -EDOM);
    CHECK_ERR(-EDOM, weft_future_bytes(f, NULL, WEFT_FOREVER));
    char expected[64];
    snprintf(expected, sizeof expected, "job %d: no such luck", -EDOM);
    CHECK_STR(expected, weft_future_why(f));
    weft_future_unref(f);
    weft_executor_free(ex);
}

/* Bytes of any size go both ways: in a slot, in its block, as a file. */
TEST_LIMIT(60, process_pool_carries_messages_of_every_size)
{
    static const size_t sizes[] = {0, 1, 191, 192, 193, 32767, 32768, 32769, 1 << 20, 5000001};
    enum {
        SIZES = sizeof sizes / sizeof *sizes
    };
    weft_executor *ex = processes(2);
    weft_future *f[SIZES * 3];
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < SIZES; i++) {
            char *data = malloc(sizes[i] + 1);
            for (size_t at = 0; at < sizes[i]; at++)
                data[at] = (char)(at * 7 + (size_t)i);
            CHECK_OK(weft_submit_bytes(ex, bytes_echo, data, sizes[i], NULL, &f[round * SIZES + i]));
            free(data);
        }
    for (int n = 0; n < SIZES * 3; n++) {
        weft_bytes answer;
        int i = n % SIZES;
        CHECK_OK(weft_future_bytes(f[n], &answer, WEFT_FOREVER));
        CHECK_INT(sizes[i], answer.size);
        for (size_t at = 0; at < sizes[i]; at++)
            if (((const char *)answer.data)[at] != (char)(at * 7 + (size_t)i))
                FAIL("byte %zu of %zu", at, sizes[i]);
        weft_future_unref(f[n]);
    }
    weft_executor_free(ex);
}

static int large_answer(const void *in, size_t size, weft_reply *reply)
{
    (void)in;
    (void)size;
    CHECK(weft_reply_grow(reply, 1001) == NULL);
    return weft_reply_put(reply, "", 1001);
}

/* checklist 137, 148: an answer that is too large fails its job and leaves the worker alive, twenty times in a row. */
TEST(process_pool_refuses_messages_above_its_limit)
{
    char bytes[1001] = "";
    pid_t before, after;
    weft_executor *ex =
        processes_with(&(weft_pool_options){.workers = 1}, &(weft_process_pool_options){.message_limit = 1000});
    CHECK_ERR(-EMSGSIZE, weft_submit_bytes(ex, bytes_echo, bytes, 1001, NULL, NULL));
    weft_process_pool_pids(ex, &before, 1);
    for (int i = 0; i < 20; i++) {
        weft_future *f = submit_int(ex, large_answer, 0);
        CHECK_ERR(-EMSGSIZE, weft_future_bytes(f, NULL, WEFT_FOREVER));
        weft_future_unref(f);
    }
    weft_process_pool_pids(ex, &after, 1);
    CHECK_INT(before, after);
    weft_executor_free(ex);
}

static int to_nowhere(void *arg, void **result)
{
    (void)arg;
    (void)result;
    return 0;
}

static int no_input(void *arg, void **input)
{
    (void)arg;
    (void)input;
    return 0;
}

TEST(process_pool_takes_jobs_over_bytes_only)
{
    weft_executor *ex = processes(1);
    weft_map *m;
    CHECK_ERR(-ENOTSUP, weft_submit(ex, to_nowhere, NULL, NULL));
    CHECK_ERR(-ENOTSUP, weft_map_new(&m, ex, to_nowhere, no_input, NULL, NULL));
    weft_executor_free(ex);
    CHECK_ERR(-EINVAL, weft_process_pool_new(&ex, &(weft_pool_options){.waiters_help = 1}, NULL));
    CHECK_ERR(-EINVAL, weft_process_pool_new(&ex, &(weft_pool_options){.workers = 5000}, NULL));
}

/* S001-72, S000-61: at most as many jobs at a time as there are workers, and no job waits while one is idle. */
TEST(process_pool_runs_as_many_jobs_at_a_time_as_it_has_workers)
{
    struct shared_gate *g = shared_gate_new();
    weft_future *f[10];
    weft_executor_info info;
    weft_executor *ex = processes(4);
    for (int i = 0; i < 10; i++)
        CHECK_OK(weft_submit_bytes(ex, bytes_gate, &g, sizeof g, NULL, &f[i]));
    shared_gate_wait(g, 4);
    weft_executor_look(ex, &info);
    CHECK_STR("processes", info.engine);
    CHECK_INT(4, info.workers);
    CHECK_INT(4, info.running);
    CHECK_INT(6, info.queued);
    CHECK_INT(4, load_seq_cst(&g->inside));
    shared_gate_open(g);
    long pids[4] = {0};
    for (int i = 0; i < 10; i++) {
        long pid = bytes_long(f[i]);
        int at = 0;
        while (at < 4 && pids[at] != 0 && pids[at] != pid)
            at++;
        CHECK(at < 4);
        pids[at] = pid;
        weft_future_unref(f[i]);
    }
    CHECK(pids[3] != 0);
    weft_executor_free(ex);
    CHECK_INT(0, child_count());
}

struct order {
    uint32_t n; /* atomic */
    int names[8];
};

struct named {
    struct order *order;
    int name;
};

static int note(const void *in, size_t size, weft_reply *reply)
{
    const struct named *named = in;
    (void)size;
    (void)reply;
    named->order->names[add_seq_cst(&named->order->n, 1)] = named->name;
    return 0;
}

/* checklist 96; priorities, and taking back what has not begun. */
TEST(process_pool_keeps_priorities_and_lets_what_waits_be_cancelled)
{
    static const int priorities[] = {0, -1, 2, 0, 1};
    void *p;
    CHECK_OK(weft__sys_map_shared(&p, sizeof(struct order)));
    struct order *order = p;
    struct shared_gate *g = shared_gate_new();
    weft_future *f[5], *cancelled, *running;
    weft_executor *ex = processes(1);
    CHECK_OK(weft_submit_bytes(ex, bytes_gate, &g, sizeof g, NULL, &running));
    shared_gate_wait(g, 1);
    for (int i = 0; i < 5; i++)
        CHECK_OK(weft_submit_bytes(ex, note, &(struct named){order, i}, sizeof(struct named),
                                   &(weft_job_options){.priority = priorities[i]}, &f[i]));
    CHECK_OK(weft_submit_bytes(ex, note, &(struct named){order, 7}, sizeof(struct named), NULL, &cancelled));
    CHECK_INT(1, weft_future_cancel(cancelled));
    CHECK_INT(0, weft_future_cancel(running));
    CHECK_ERR(-ECANCELED, weft_future_bytes(cancelled, NULL, WEFT_FOREVER));
    shared_gate_open(g);
    for (int i = 0; i < 5; i++) {
        CHECK_OK(weft_future_wait(f[i], WEFT_FOREVER));
        weft_future_unref(f[i]);
    }
    static const int expected[] = {2, 4, 0, 3, 1};
    CHECK_MEM(expected, order->names, sizeof expected);
    CHECK_INT(5, order->n);
    weft_future_unref(cancelled);
    weft_future_unref(running);
    weft_executor_free(ex);
}

/* The bounded queue's ways, as the other engines have them. */
TEST(process_pool_with_a_full_queue_does_as_its_options_say)
{
    for (int full = WEFT_BLOCK; full <= WEFT_CALLER_RUNS; full++) {
        struct shared_gate *g = shared_gate_new();
        weft_future *running, *waiting, *more = NULL;
        weft_executor *ex = processes_with(
            &(weft_pool_options){.workers = 1, .max_queued = 1, .full = (enum weft_when_full)full}, NULL);
        CHECK_OK(weft_submit_bytes(ex, bytes_gate, &g, sizeof g, NULL, &running));
        shared_gate_wait(g, 1);
        CHECK_OK(weft_submit_bytes(ex, bytes_pid, "", 0, NULL, &waiting));
        weft_job_options soon = {.until = weft_in_ms(5)};
        int err = weft_submit_bytes(ex, bytes_pid, "", 0, &soon, &more);
        CHECK_ERR(full == WEFT_BLOCK ? -ETIMEDOUT : full == WEFT_REFUSE ? -WEFT_EFULL : 0, err);
        if (full == WEFT_DROP_OLDEST)
            CHECK_INT(1, weft_future_cancelled(waiting));
        if (full == WEFT_CALLER_RUNS)
            CHECK_INT(getpid(), bytes_long(more));
        shared_gate_open(g);
        weft_executor_free(ex);
        CHECK_INT(1, weft_future_done(running) && weft_future_done(waiting));
        weft_future_unref(running);
        weft_future_unref(waiting);
        weft_future_unref(more);
    }
}

/* A deadline ends its own worker only, at once, though the job never looks. */
TEST(process_pool_time_limit_ends_that_worker_only)
{
    struct shared_gate *g = shared_gate_new(), *never = shared_gate_new();
    weft_future *slow = NULL, *other;
    pid_t before[2], after[2];
    weft_executor *ex = processes(2);
    weft_process_pool_pids(ex, before, 2);
    CHECK_OK(weft_submit_bytes(ex, bytes_gate, &g, sizeof g, NULL, &other));
    shared_gate_wait(g, 1);
    weft_job_options options = {.time_limit = 10 * WEFT_MS};
    do { /* until its worker was not so slow that the time was over before it began: then the job is just taken back */
        options.time_limit *= 2;
        weft_future_unref(slow);
        CHECK_OK(weft_submit_bytes(ex, bytes_gate, &never, sizeof never, &options, &slow));
        CHECK_ERR(-ETIMEDOUT, weft_future_bytes(slow, NULL, WEFT_FOREVER));
    } while (load_seq_cst(&never->inside) == 0);
    CHECK(strstr(weft_future_why(slow), "was ended: its job was over its time") != NULL);
    shared_gate_open(g);
    long pid = bytes_long(other);
    CHECK(pid == before[0] || pid == before[1]);
    do {
        weft_sleep(weft_in_ms(1));
        weft_process_pool_pids(ex, after, 2);
    } while (after[0] == 0 || after[1] == 0 || (after[0] == before[0] && after[1] == before[1]));
    CHECK((after[0] == before[0]) != (after[1] == before[1]));
    weft_future_unref(slow);
    weft_future_unref(other);
    weft_executor_free(ex);
}

TEST(process_pool_job_that_is_stopped_ends_with_its_worker)
{
    struct shared_gate *g = shared_gate_new();
    weft_executor *ex = processes(1);
    weft_future *f, *next;
    CHECK_OK(weft_submit_bytes(ex, bytes_gate, &g, sizeof g, NULL, &f));
    CHECK_OK(weft_submit_bytes(ex, bytes_square, &(long){3}, sizeof(long), NULL, &next));
    shared_gate_wait(g, 1);
    CHECK_INT(0, weft_future_stop(f));
    CHECK_ERR(-ECANCELED, weft_future_bytes(f, NULL, WEFT_FOREVER));
    CHECK(strstr(weft_future_why(f), "was ended: its job was stopped") != NULL);
    CHECK_INT(9, bytes_long(next));
    weft_future_unref(f);
    weft_future_unref(next);
    weft_executor_free(ex);
}

/* checklist 142: exactly so many jobs, none lost. */
TEST(process_pool_replaces_a_worker_after_so_many_jobs)
{
    weft_future *f[20];
    weft_executor *ex =
        processes_with(&(weft_pool_options){.workers = 1}, &(weft_process_pool_options){.jobs_per_worker = 3});
    for (int i = 0; i < 20; i++)
        CHECK_OK(weft_submit_bytes(ex, bytes_pid, "", 0, NULL, &f[i]));
    long last = 0;
    int times = 0;
    for (int i = 0; i < 20; i++) {
        long pid = bytes_long(f[i]);
        times = pid == last ? times + 1 : 1;
        CHECK_INT(i % 3 + 1, times);
        last = pid;
        weft_future_unref(f[i]);
    }
    weft_executor_free(ex);
}

/* A job that lost its worker: done again, but not for ever. */
struct twice {
    uint32_t runs; /* atomic */
    uint32_t deaths;
};

static int die_some_times(const void *in, size_t size, weft_reply *reply)
{
    struct twice *t = *(struct twice *const *)in;
    (void)size;
    if (add_seq_cst(&t->runs, 1) < t->deaths)
        raise(SIGKILL);
    return weft_reply_put(reply, "done", 4);
}

TEST(process_pool_retries_a_job_whose_worker_died_and_then_gives_up)
{
    void *p;
    CHECK_OK(weft__sys_map_shared(&p, sizeof(struct twice)));
    struct twice *t = p;
    weft_future *f;
    weft_executor *ex = processes_with(&(weft_pool_options){.workers = 1}, &(weft_process_pool_options){.retries = 2});
    t->deaths = 2;
    CHECK_OK(weft_submit_bytes(ex, die_some_times, &t, sizeof t, NULL, &f));
    CHECK_OK(weft_future_bytes(f, NULL, WEFT_FOREVER));
    CHECK_INT(3, t->runs);
    weft_future_unref(f);
    *t = (struct twice){.deaths = 100};
    CHECK_OK(weft_submit_bytes(ex, die_some_times, &t, sizeof t, NULL, &f));
    CHECK_ERR(-WEFT_EDIED, weft_future_bytes(f, NULL, WEFT_FOREVER));
    CHECK_INT(3, t->runs);
    weft_future_unref(f);
    weft_executor_free(ex);
}

static int take_memory(const void *in, size_t size, weft_reply *reply)
{
    (void)in;
    (void)size;
    char *p = malloc(64 << 20);
    if (p == NULL)
        return weft_reply_fail(reply, -ENOMEM, "no more memory");
    memset(p, 1, 64 << 20);
    free(p);
    return 0;
}

TEST(process_pool_limits_the_memory_of_a_worker)
{
#if WEFT__ASAN || WEFT__TSAN
    SKIP("a sanitizer's own memory would be limited, too");
#endif
    weft_executor *ex =
        processes_with(&(weft_pool_options){.workers = 1}, &(weft_process_pool_options){.memory_limit = 16 << 20});
    weft_future *f = submit_int(ex, take_memory, 0);
    CHECK_ERR(-ENOMEM, weft_future_bytes(f, NULL, WEFT_FOREVER));
    CHECK_STR("no more memory", weft_future_why(f));
    weft_future_unref(f);
    weft_executor_free(ex);
}

/* ---- callbacks ---- */

static uint32_t called; /* atomic */

static int count_call(weft_future *f, void *arg)
{
    CHECK(weft_future_done(f));
    CHECK_INT((int)(intptr_t)arg, weft_future_error(f));
    add_seq_cst(&called, 1);
    return 0;
}

/* S000-66, checklist 147: once each, with the outcome, one of the two. */
TEST(process_pool_calls_callbacks_once_with_the_outcome)
{
    weft_executor *ex = processes(2);
    for (int i = 0; i < 200; i++) {
        int error = i % 3 == 0 ? -EDOM : 0;
        weft_future *f = error < 0 ? submit_int(ex, bytes_fail, error) : submit_int(ex, bytes_pid, 0);
        CHECK_OK(weft_future_add_callback(f, count_call, (void *)(intptr_t)error));
        if (i % 2 == 0)
            weft_future_wait(f, WEFT_FOREVER);
        weft_future_unref(f);
    }
    weft_executor_free(ex);
    CHECK_INT(200, called);
}

static uint64_t told_last;
static uint32_t told; /* atomic */

static void on_progress(weft_future *f, uint64_t done, uint64_t total, void *arg)
{
    CHECK_PTR(&told, arg);
    CHECK_INT(1, weft_future_running(f));
    CHECK_INT(1000, total);
    CHECK(done >= told_last); /* the same twice, when it was read while it changed */
    told_last = done;
    add_seq_cst(&told, 1);
}

static int copy_slowly(const void *in, size_t size, weft_reply *reply)
{
    (void)in;
    (void)size;
    for (int i = 1; i <= 1000; i++)
        weft_reply_progress(reply, (uint64_t)i, 1000);
    return 0;
}

/* S001-77: the parent hears how far a job is, and at last that it is done. */
TEST(process_pool_tells_the_progress_of_a_job)
{
    weft_executor *ex = processes(1);
    for (int i = 0; i < 20; i++) {
        weft_future *f;
        told_last = 0;
        CHECK_OK(weft_submit_bytes(ex, copy_slowly, "", 0,
                                   &(weft_job_options){.progress = on_progress, .progress_arg = &told}, &f));
        CHECK_OK(weft_future_bytes(f, NULL, WEFT_FOREVER));
        CHECK_INT(1000, told_last);
        weft_future_unref(f);
    }
    weft_executor_free(ex);
    CHECK(told >= 20);
}

/* ---- the initialiser ---- */

static long set_up_with;

static int set_up(void *arg)
{
    set_up_with = (long)(intptr_t)arg;
    return arg == NULL ? -EACCES : 0;
}

static int what_was_set_up(const void *in, size_t size, weft_reply *reply)
{
    (void)in;
    (void)size;
    return weft_reply_put(reply, &set_up_with, sizeof set_up_with);
}

TEST(process_pool_initializer_runs_in_every_worker)
{
    weft_executor *ex =
        processes_with(&(weft_pool_options){.workers = 1, .initializer = set_up, .initializer_arg = (void *)42}, NULL);
    for (int i = 0; i < 3; i++) {
        weft_future *f = submit_int(ex, what_was_set_up, 0);
        CHECK_INT(42, bytes_long(f));
        weft_future_unref(f);
        f = submit_int(ex, bytes_signal, SIGKILL);
        weft_future_wait(f, WEFT_FOREVER);
        weft_future_unref(f);
    }
    weft_executor_free(ex);
    CHECK_INT(0, set_up_with);
}

/* checklist 131 */
TEST(process_pool_whose_initializer_fails_is_broken)
{
    weft_executor *ex = processes_with(&(weft_pool_options){.workers = 2, .initializer = set_up}, NULL);
    weft_future *f;
    int err = weft_submit_bytes(ex, bytes_pid, "", 0, NULL, &f);
    if (err == 0) {
        CHECK_ERR(-WEFT_EBROKEN, weft_future_bytes(f, NULL, WEFT_FOREVER));
        weft_future_unref(f);
    } else {
        CHECK_ERR(-WEFT_EBROKEN, err);
    }
    CHECK_ERR(-WEFT_EBROKEN, weft_submit_bytes(ex, bytes_pid, "", 0, NULL, &f));
    weft_executor_free(ex);
    CHECK_INT(0, child_count());
}

static int die_at_once(void *arg)
{
    (void)arg;
    raise(SIGKILL);
    return 0;
}

TEST_LIMIT(30, process_pool_whose_workers_die_while_they_start_is_broken)
{
    weft_executor *ex = processes_with(&(weft_pool_options){.workers = 2, .initializer = die_at_once}, NULL);
    weft_future *f;
    int err = weft_submit_bytes(ex, bytes_pid, "", 0, NULL, &f);
    if (err == 0) {
        CHECK_ERR(-WEFT_EBROKEN, weft_future_bytes(f, NULL, WEFT_FOREVER));
        weft_future_unref(f);
    }
    weft_executor_free(ex);
    CHECK_INT(0, child_count());
}

/* ---- the end ---- */

/* S001-71, S004-07, checklist 145: after close nothing can be added; what was is done. */
TEST(process_pool_that_is_closed_does_what_it_has)
{
    weft_future *f[50];
    weft_executor *ex = processes(2);
    for (long i = 0; i < 50; i++)
        CHECK_OK(weft_submit_bytes(ex, bytes_square, &i, sizeof i, NULL, &f[i]));
    CHECK_OK(weft_executor_shutdown(ex, 0, WEFT_NOW));
    CHECK_ERR(-EPIPE, weft_submit_bytes(ex, bytes_square, "", 0, NULL, NULL));
    CHECK_OK(weft_executor_shutdown(ex, WEFT_SHUTDOWN_WAIT, WEFT_FOREVER));
    for (long i = 0; i < 50; i++) {
        CHECK_INT(1, weft_future_done(f[i]));
        CHECK_INT(i * i, bytes_long(f[i]));
        weft_future_unref(f[i]);
    }
    CHECK_INT(0, child_count());
    weft_executor_free(ex);
}

/* checklist 144: ten thousand jobs that wait, and those that run, end at once. */
TEST_LIMIT(30, process_pool_that_is_terminated_ends_all_its_jobs)
{
    enum {
        JOBS = 10000
    };
    static weft_future *f[JOBS];
    weft_executor *ex = processes(2);
    for (int i = 0; i < JOBS; i++)
        CHECK_OK(weft_submit_bytes(ex, bytes_for_ever, "", 0, NULL, &f[i]));
    CHECK_OK(weft_executor_shutdown(ex, WEFT_SHUTDOWN_KILL, WEFT_NOW));
    CHECK_OK(weft_executor_shutdown(ex, WEFT_SHUTDOWN_WAIT, WEFT_FOREVER));
    for (int i = 0; i < JOBS; i++) {
        CHECK_ERR(-ECANCELED, weft_future_bytes(f[i], NULL, WEFT_NOW));
        weft_future_unref(f[i]);
    }
    CHECK_INT(0, child_count());
    weft_executor_free(ex);
    CHECK_OK(weft_thread_pool_new(&ex, NULL));
    CHECK_ERR(-EINVAL, weft_executor_shutdown(ex, WEFT_SHUTDOWN_KILL, WEFT_NOW));
    weft_executor_free(ex);
}

/* checklist 127, 141 */
TEST(process_pool_shutdown_can_cancel_what_waits)
{
    struct shared_gate *g = shared_gate_new();
    weft_future *f[10];
    weft_executor *ex = processes(1);
    for (int i = 0; i < 10; i++)
        CHECK_OK(weft_submit_bytes(ex, bytes_gate, &g, sizeof g, NULL, &f[i]));
    shared_gate_wait(g, 1);
    CHECK_OK(weft_executor_shutdown(ex, WEFT_SHUTDOWN_CANCEL, WEFT_NOW));
    CHECK_ERR(-ETIMEDOUT, weft_executor_shutdown(ex, WEFT_SHUTDOWN_WAIT, WEFT_NOW));
    for (int i = 1; i < 10; i++)
        CHECK_INT(1, weft_future_cancelled(f[i]));
    shared_gate_open(g);
    weft_executor_free(ex);
    CHECK_OK(weft_future_bytes(f[0], NULL, WEFT_NOW));
    for (int i = 0; i < 10; i++)
        weft_future_unref(f[i]);
}

/* A worker that stands still does not keep the pool from its end. */
TEST(process_pool_ends_though_an_idle_worker_is_stopped)
{
    pid_t pid;
    weft_executor *ex = processes(1);
    weft_process_pool_pids(ex, &pid, 1);
    kill(pid, SIGSTOP);
    weft_executor_free(ex);
    CHECK_INT(0, child_count());
}

/* checklist 149: descriptors and memory do not grow with replacements. */
TEST_LIMIT(60, process_pool_leaks_nothing_over_many_replacements)
{
    weft_executor *ex =
        processes_with(&(weft_pool_options){.workers = 2}, &(weft_process_pool_options){.jobs_per_worker = 1});
    int before = 0;
    for (int i = 0; i < 300; i++) {
        weft_future *f = submit_int(ex, bytes_pid, 0);
        CHECK_OK(weft_future_wait(f, WEFT_FOREVER));
        weft_future_unref(f);
        if (i == 20)
            before = test_fd_count();
    }
    CHECK_BETWEEN(before - 8, before + 8, test_fd_count());
    weft_executor_free(ex);
    CHECK_INT(0, child_count());
}

/* S001-73, X-13: no worker outlives a parent that is killed. */
static int be_killed(void *arg)
{
    struct shared_gate *g = shared_gate_new();
    weft_executor *ex = processes(2);
    pid_t *pids = arg;
    CHECK_OK(weft_submit_bytes(ex, bytes_gate, &g, sizeof g, NULL, NULL));
    shared_gate_wait(g, 1);
    weft_process_pool_pids(ex, pids, 2);
    raise(SIGKILL);
    return 0;
}

TEST_IN(PROCESS, process_pool_workers_end_when_their_parent_is_killed)
{
    pid_t *pids = test_alloc(t, 2 * sizeof *pids);
    CHECK_INT(TEST_KILLED(SIGKILL), test_result(t, test_spawn(t, be_killed, pids)));
    for (int i = 0; i < 2; i++)
        while (kill(pids[i], 0) == 0)
            usleep(1000);
}

static uint32_t in_child; /* a job's own copy */

static int bump(const void *in, size_t size, weft_reply *reply)
{
    (void)in;
    (void)size;
    long n = ++in_child;
    return weft_reply_put(reply, &n, sizeof n);
}

/* S001-59: a worker has memory of its own, and keeps it from job to job. */
TEST(process_pool_workers_have_their_own_memory)
{
    weft_executor *ex = processes(1);
    for (int i = 1; i <= 3; i++) {
        weft_future *f = submit_int(ex, bump, 0);
        CHECK_INT(i, bytes_long(f));
        weft_future_unref(f);
    }
    CHECK_INT(0, in_child);
    weft_executor_free(ex);
}

/* checklist 134, 150: a child of the program cannot use the pool; SIGINT does not reach its workers' jobs. */
TEST(process_pool_workers_ignore_the_keyboards_interrupt)
{
    pid_t pid;
    struct shared_gate *g = shared_gate_new();
    weft_future *f;
    weft_executor *ex = processes(1);
    CHECK_OK(weft_submit_bytes(ex, bytes_gate, &g, sizeof g, NULL, &f));
    shared_gate_wait(g, 1);
    weft_process_pool_pids(ex, &pid, 1);
    CHECK_INT(0, kill(pid, SIGINT));
    shared_gate_open(g);
    CHECK_INT(pid, bytes_long(f));
    weft_future_unref(f);
    weft_executor_free(ex);
}

/* Nothing is left behind by a pool that could not be made. */
TEST(process_pool_that_cannot_start_leaves_nothing)
{
    static const enum weft__sys_call calls[] = {WEFT__SYS_FORK,   WEFT__SYS_MMAP,    WEFT__SYS_SOCKET,
                                                WEFT__SYS_MALLOC, WEFT__SYS_EVENTFD, WEFT__SYS_THREAD};
    for (size_t c = 0; c < sizeof calls / sizeof *calls; c++)
        for (uint32_t nth = 1; nth <= 3; nth++) {
            weft_executor *ex;
            weft__sys_plan(calls[c], nth, 1, calls[c] == WEFT__SYS_MMAP ? -ENOMEM : -EAGAIN, 0);
            int err = weft_process_pool_new(&ex, &(weft_pool_options){.workers = 2}, NULL);
            weft__sys_plan_none();
            if (err == 0)
                weft_executor_free(ex);
            CHECK(err <= 0);
            CHECK_INT(0, child_count());
        }
}

/* A worker that cannot be replaced at once is later. */
TEST(process_pool_replaces_a_worker_as_soon_as_it_can)
{
    weft_executor *ex = processes(1);
    weft_future *f = submit_int(ex, bytes_pid, 0);
    CHECK(bytes_long(f) > 0);
    weft_future_unref(f);
    weft__sys_plan(WEFT__SYS_FORK, 1, 3, -EAGAIN, 0);
    f = submit_int(ex, bytes_signal, SIGKILL);
    CHECK_ERR(-WEFT_EDIED, weft_future_bytes(f, NULL, WEFT_FOREVER));
    weft_future_unref(f);
    f = submit_int(ex, bytes_pid, 0);
    CHECK(bytes_long(f) > 0);
    weft_future_unref(f);
    CHECK(weft__sys_seen(WEFT__SYS_FORK) >= 4);
    weft__sys_plan_none();
    weft_executor_free(ex);
}

/* ---- the fork server ---- */

static long changed;

static int see_change(const void *in, size_t size, weft_reply *reply)
{
    (void)in;
    (void)size;
    return weft_reply_put(reply, &changed, sizeof changed);
}

static int stay(void *gate)
{
    shared_gate_wait(gate, 1);
    return 0;
}

/* Workers are made from a clean moment, those that replace others, too, though there are threads by then. */
TEST_LIMIT(30, process_pool_workers_can_come_from_the_fork_server)
{
    struct shared_gate *g = shared_gate_new();
    weft_thread thread = WEFT_THREAD_INIT;
    CHECK_OK(weft_forkserver_start());
    changed = 1;
    CHECK_OK(weft_thread_start(&thread, stay, g, NULL));
    weft_executor *ex = processes_with(&(weft_pool_options){.workers = 2, .initializer = set_up, .initializer_arg = g},
                                       &(weft_process_pool_options){.method = WEFT_FORKSERVER});
    for (int round = 0; round < 5; round++) {
        weft_future *f = submit_int(ex, see_change, 0);
        CHECK_INT(0, bytes_long(f)); /* as it was when the server started */
        weft_future_unref(f);
        f = submit_int(ex, what_was_set_up, 0);
        CHECK_INT((long)(intptr_t)g, bytes_long(f));
        weft_future_unref(f);
        f = submit_int(ex, bytes_signal, SIGKILL);
        CHECK_ERR(-WEFT_EDIED, weft_future_bytes(f, NULL, WEFT_FOREVER));
        CHECK(strstr(weft_future_why(f), ") died: SIGKILL") != NULL);
        weft_future_unref(f);
    }
    CHECK_OK(weft_submit_bytes(ex, bytes_gate, &g, sizeof g, NULL, NULL));
    CHECK_OK(weft_thread_join(&thread, NULL, WEFT_FOREVER));
    shared_gate_open(g);
    weft_executor_free(ex);
    CHECK_OK(weft_forkserver_stop());
}
