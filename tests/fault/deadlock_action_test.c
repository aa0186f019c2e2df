/* deadlock_action_test.c - what is done about a deadlock: reports, errors, abort, the environment; names; forks; and a
 * machine that lacks this or that. S000-35, S003-13, X-10. */
#include "fault/deadlock_support.h"

#include <weft/co.h>
#include <weft/cond.h>
#include <weft/event.h>
#include <weft/group.h>
#include <weft/lock.h>
#include <weft/rwlock.h>
#include <weft/thread.h>

#include "base/atomic.h"
#include "park/symbol.h"
#include "park/watch.h"
#include "sys/aside.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const crosswise[] = {"lock0 | lock1", "lock1 | lock0", NULL};

/* ---- WEFT_DEADLOCK_ERROR: one member gets -EDEADLK, and the others go on ---- */

static void check_error(const char *const *actors, enum actors kind, unsigned n)
{
    collect_reports(WEFT_DEADLOCK_ERROR);
    start_actors(actors, kind);
    await_actors();
    unsigned refused = 0;
    for (unsigned i = 0; i < n; i++)
        refused += actor_result(i) == -EDEADLK;
    CHECK_INT(1, refused);
    CHECK_INT(1, reports());
}

#define ERROR(name, n, ...)                                                                                            \
    static const char *const name##_actors[] = {__VA_ARGS__, NULL};                                                    \
    TEST(error_##name##_threads)                                                                                       \
    {                                                                                                                  \
        check_error(name##_actors, THREADS, n);                                                                        \
    }                                                                                                                  \
    TEST(error_##name##_coroutines)                                                                                    \
    {                                                                                                                  \
        check_error(name##_actors, COROUTINES, n);                                                                     \
    }

ERROR(ends_one_of_two_joins, 2, "| join1", "| join0")
ERROR(ends_one_of_three_joins, 3, "| join1", "| join2", "| join0")
ERROR(ends_an_acquire_until, 1, "lock0 | until1 unlock0", "lock1 | lock0 unlock0 unlock1")

TEST(error_ends_the_wait_in_a_condition_with_its_lock_held)
{
    need_stuck();
    weft_lock l = WEFT_LOCK_INIT;
    weft_cond c = WEFT_COND_INIT;
    collect_reports(WEFT_DEADLOCK_ERROR);
    weft_lock_acquire(&l);
    CHECK_ERR(-EDEADLK, weft_cond_wait(&c, &l, WEFT_FOREVER));
    CHECK_INT(1, weft_lock_held(&l));
    weft_lock_release(&l);
    CHECK_INT(1, reports());
    weft_cond_destroy(&c);
}

TEST(error_ends_a_wait_for_an_event_that_nobody_sets)
{
    need_stuck();
    static weft_event never = WEFT_EVENT_INIT;
    collect_reports(WEFT_DEADLOCK_ERROR);
    CHECK_ERR(-EDEADLK, weft_event_wait(&never, WEFT_FOREVER));
    CHECK_ERR(-EDEADLK, weft_event_wait(&never, WEFT_FOREVER)); /* another time is another deadlock */
    CHECK_INT(2, reports());
}

/* S003-13, S002-03: the same plain lock twice. */
TEST(error_ends_the_second_acquire_of_the_same_lock)
{
    need_stuck();
    static weft_lock share_lock = WEFT_LOCK_INIT;
    collect_reports(WEFT_DEADLOCK_ERROR);
    weft_lock_acquire(&share_lock);
    CHECK_ERR(-EDEADLK, weft_lock_acquire_until(&share_lock, WEFT_FOREVER));
    CHECK(strstr(report_at(0)->text, "held by itself, taken at") != NULL);
#if WEFT_HAVE_LIBDW
    CHECK_STR("share_lock", report_at(0)->members[0].object_name);
#endif
    weft_lock_release(&share_lock);
}

/* Woken beats it: who was released at the same moment has got the lock. */
TEST(error_is_not_given_to_who_cannot_say_so)
{
    collect_reports(WEFT_DEADLOCK_ERROR);
    start_actors(crosswise, THREADS); /* plain acquires */
    wait_for_reports(1);
    weft_sleep(weft_in_ms(60));
    CHECK_INT(1, reports());
}

/* ---- groups and work that blocks ---- */

static weft_lock held = WEFT_LOCK_INIT;

static int takes_it(void *arg)
{
    (void)arg;
    int err = weft_lock_acquire_until(&held, WEFT_FOREVER);
    if (err == 0)
        weft_lock_release(&held);
    return err;
}

static int naps(void *arg)
{
    (void)arg;
    return weft_sleep(weft_in_ms(400));
}

/* One member is enough to hold it up; the other would end. */
static int waits_for_its_group(void *arg)
{
    weft_group g = WEFT_GROUP_INIT;
    weft_lock_acquire(&held);
    CHECK_OK(weft_group_go(&g, naps, arg));
    CHECK_OK(weft_group_go(&g, takes_it, arg));
    int err = weft_group_wait(&g, WEFT_FOREVER);
    weft_lock_release(&held);
    if (err == -EDEADLK && weft_group_running(&g) != 0)
        CHECK_OK(weft_group_wait(&g, WEFT_FOREVER));
    return err;
}

TEST(ring_through_a_group)
{
    weft_co *co;
    int err;
    collect_reports(WEFT_DEADLOCK_ERROR);
    CHECK_OK(weft_co_start(&co, waits_for_its_group, NULL, NULL));
    CHECK_OK(weft_co_join(co, &err, weft_in_seconds(25 * test_limit_factor())));
    CHECK_ERR(-EDEADLK, err);
    CHECK_INT(1, reports());
    CHECK_INT(1, report_at(0)->ring);
    CHECK_INT(2, report_at(0)->n);
}

static int blocks_with_it_held(void *arg)
{
    weft_lock_acquire(&held);
    int err = weft_blocking(takes_it, arg);
    weft_lock_release(&held);
    return err;
}

TEST(ring_through_work_that_blocks)
{
    weft_co *co;
    int err;
    collect_reports(WEFT_DEADLOCK_ERROR);
    CHECK_OK(weft_co_start(&co, blocks_with_it_held, NULL, NULL));
    CHECK_OK(weft_co_join(co, &err, weft_in_seconds(25 * test_limit_factor())));
    CHECK_ERR(-EDEADLK, err);
    CHECK_INT(2, report_at(0)->n);
}

/* ---- what a child process says ---- */

/* Run fn in a child and collect its standard error. Returns the child's status. */
static int child_says(void (*fn)(void), char *text, size_t size)
{
    int ends[2];
    CHECK_INT(0, pipe(ends));
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        fn();
        _exit(3);
    }
    close(ends[1]);
    size_t n = 0;
    for (ssize_t m; n + 1 < size && (m = read(ends[0], text + n, size - 1 - n)) > 0;)
        n += (size_t)m;
    text[n] = 0;
    close(ends[0]);
    int status;
    CHECK_INT(pid, waitpid(pid, &status, 0));
    return status;
}

static void hang_and_abort(void)
{
    weft_deadlock_set(WEFT_DEADLOCK_ABORT, NULL, NULL);
    start_actors(crosswise, THREADS);
    weft_sleep(weft_in_seconds(15 * test_limit_factor()));
}

TEST_LIMIT(20, abort_follows_the_report)
{
    static char text[8192];
    int status = child_says(hang_and_abort, text, sizeof text);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    CHECK(strstr(text, "weft: deadlock: 2 waiters in a ring\n") == text);
    CHECK(strstr(text, "held by thread \"actor") != NULL);
}

static void hang_alone(void)
{
    static weft_event never = WEFT_EVENT_INIT;
    weft_event_wait(&never, WEFT_FOREVER);
}

static void hang_alone_and_abort(void)
{
    weft_deadlock_set(WEFT_DEADLOCK_ABORT, NULL, NULL);
    hang_alone();
}

/* The parent's watch thread runs; the child begins with none, and gets its own. */
TEST_IN_LIMIT(20, THREAD | CO, fork_begins_anew)
{
    need_stuck();
    static char text[8192];
    weft_event e = WEFT_EVENT_INIT;
    CHECK_ERR(-ETIMEDOUT, weft_event_wait(&e, weft_in_ms(1)));
    int status = child_says(hang_alone_and_abort, text, sizeof text);
    CHECK(WIFSIGNALED(status));
    CHECK(strstr(text, "nobody is left to wake 1 waiter\n") != NULL);
}

static void *waits_a_little(void *arg)
{
    weft_lock_acquire(&held);
    weft_lock_release(&held);
    return arg;
}

static void leave_the_main_thread(void)
{
    pthread_t t;
    weft_lock_acquire(&held);
    CHECK_INT(0, pthread_create(&t, NULL, waits_a_little, NULL));
    while (weft__sleepers(&held.word) == 0)
        sched_yield();
    weft_lock_release(&held);
    pthread_exit(NULL);
}

/* The watch thread keeps no process alive. */
TEST(process_whose_threads_have_all_ended_ends)
{
    need_stuck();
    static char text[8192];
    CHECK_INT(0, child_says(leave_the_main_thread, text, sizeof text));
    CHECK_STR("", text);
}

static void read_environment(void)
{
    setenv("WEFT_DEADLOCK", "abort", 1);
    weft__deadlock_environment();
    hang_alone();
}

static void read_wrong_environment(void)
{
    setenv("WEFT_DEADLOCK", "maybe", 1);
    weft__deadlock_environment();
}

TEST_LIMIT(20, environment_sets_the_action)
{
    need_stuck();
    static char text[8192];
    int status = child_says(read_environment, text, sizeof text);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    child_says(read_wrong_environment, text, sizeof text);
    CHECK(strstr(text, "WEFT_DEADLOCK=maybe is none of") != NULL);
}

/* ---- names ---- */

TEST(objects_can_have_names)
{
    need_stuck();
    weft_event *e = calloc(1, sizeof *e);
    collect_reports(WEFT_DEADLOCK_ERROR);
    CHECK_OK(weft_name_object(e, "the end of the world as we know it"));
    CHECK_ERR(-EDEADLK, weft_event_wait(e, WEFT_FOREVER));
    CHECK_STR("the end of the world as we know", report_at(0)->members[0].object_name);
    CHECK_OK(weft_name_object(e, "another"));
    CHECK_ERR(-EDEADLK, weft_event_wait(e, WEFT_FOREVER));
    CHECK_STR("another", report_at(1)->members[0].object_name);
    CHECK_OK(weft_name_object(e, NULL));
    CHECK_OK(weft_name_object(e, NULL));
    CHECK_ERR(-EDEADLK, weft_event_wait(e, WEFT_FOREVER));
    CHECK_STR("", report_at(2)->members[0].object_name);
    free(e);
}

TEST(names_without_memory_are_refused)
{
    int x = 0;
    weft__sys_plan(WEFT__SYS_MALLOC, 1, 1, -ENOMEM, 0);
    CHECK_ERR(-ENOMEM, weft_name_object(&x, "x"));
    weft__sys_plan_none();
}

TEST(places_without_debug_information_have_an_offset)
{
    char text[64];
    weft__symbol_place(NULL, (const char *)(uintptr_t)child_says + 4, text, sizeof text);
    CHECK(strstr(text, "+0x") != NULL);
    weft__symbol_place(NULL, NULL, text, sizeof text);
    CHECK_STR("", text);
    CHECK_PTR((const void *)(uintptr_t)child_says, weft__symbol_code((uint32_t)(uintptr_t)child_says));
    CHECK_PTR(NULL, weft__symbol_code(0));
}

/* ---- a machine that lacks something ---- */

TEST(peek_of_what_is_gone_is_an_error)
{
    int from = 42, to = 0;
    void *p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK_OK(weft__sys_peek(&to, &from, sizeof to));
    CHECK_INT(42, to);
    munmap(p, 4096);
    CHECK_ERR(-EFAULT, weft__sys_peek(&to, p, sizeof to));
    CHECK_ERR(-EFAULT, weft__sys_peek(&to, NULL, sizeof to));
    weft__sys_plan(WEFT__SYS_PEEK, 1, 1000, -EPERM, 0); /* a sandbox: through a pipe */
    from = 43;
    CHECK_OK(weft__sys_peek(&to, &from, sizeof to));
    CHECK_INT(43, to);
    CHECK_ERR(-EFAULT, weft__sys_peek(&to, p, sizeof to));
    weft__sys_plan_none();
}

TEST(ring_is_found_through_a_pipe_where_the_kernel_forbids_looking)
{
    weft__sys_plan(WEFT__SYS_PEEK, 1, 1000000, -EPERM, 0);
    check_ring(crosswise, "0>1 1>0", MIXED);
    weft__sys_plan_none();
}

TEST(without_a_thread_to_watch_the_program_runs_on)
{
    static const char *const quiet[] = {"lock0 | awaited0 unlock0", "| lock0 unlock0", NULL};
    weft__sys_plan(WEFT__SYS_WATCH, 1, 1000, -EAGAIN, 0);
    check_no_report(quiet, MIXED);
    CHECK(weft__sys_seen(WEFT__SYS_WATCH) > 0);
    weft__sys_plan_none();
}

/* ---- locks remember how they are used ---- */

TEST(lock_flags_are_checked)
{
    weft_lock l;
    weft_rlock r;
    weft_rwlock w;
    CHECK_OK(weft_lock_init(&l, WEFT_LOCK_HANDOFF));
    CHECK_ERR(-EINVAL, weft_lock_init(&l, 1u << 20));
    CHECK_ERR(-EINVAL, weft_rlock_init(&r, WEFT_LOCK_HANDOFF));
    CHECK_ERR(-EINVAL, weft_rwlock_init(&w, 0x100));
}
