/* The end of a process: it waits for threads that are no daemons, and for nobody else. Each body runs in a forked child
 * that returns from its own "main" into exit; what it wrote and how it ended is looked at here. */
#include "base/atomic.h"
#include "harness/harness.h"

#include <weft/co.h>
#include <weft/event.h>
#include <weft/lock.h>
#include <weft/thread.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int out; /* the child's end of the pipe */

static void say(const char *text)
{
    CHECK_INT((long long)strlen(text), write(out, text, strlen(text)));
}

/* Overwrite the stack that `body` has used, as functions after main do. */
__attribute__((noinline)) static void scribble(void)
{
    char junk[16384];
    memset(junk, 0x5a, sizeof junk);
    __asm__ volatile("" : : "r"(junk) : "memory");
}

/* Run body in a child, which then calls exit(0). Returns what it wrote; *ms: how long it took. Its status must be
 * `status`. */
static const char *output_of(void (*body)(void), int status, int64_t *ms)
{
    static char text[4096];
    int fds[2], got;
    int64_t start = weft_now();
    CHECK_INT(0, pipe(fds));
    pid_t pid = fork();
    if (pid == 0) {
        close(fds[0]);
        out = fds[1];
        body();
        scribble();
        exit(0);
    }
    close(fds[1]);
    size_t n = 0;
    ssize_t r;
    while ((r = read(fds[0], text + n, sizeof text - 1 - n)) > 0)
        n += (size_t)r;
    text[n] = 0;
    close(fds[0]);
    CHECK_INT(pid, waitpid(pid, &got, 0));
    CHECK_INT(status, WIFEXITED(got) ? WEXITSTATUS(got) : -WTERMSIG(got));
    if (ms != NULL)
        *ms = (weft_now() - start) / WEFT_MS;
    return text;
}

static void count_handle(const weft_thread_info *info, void *arg)
{
    *(int *)arg += info->handle != NULL;
}

/* Exit takes the handles off the list: they may lie on main's stack, which is not theirs any more. */
static void until_exit(void)
{
    int handles;
    do {
        weft_sleep(weft_in_ms(1));
        handles = 0;
        weft_threads_each(count_handle, &handles);
    } while (handles != 0);
}

static int speak_after_a_nap(void *arg)
{
    weft_sleep(weft_in_ms(50));
    say(arg);
    return 0;
}

static int speak_late(void *arg)
{
    until_exit();
    return speak_after_a_nap(arg);
}

static uint32_t main_leaves, times_spoken; /* atomic */

static int speak_when_main_leaves(void *arg)
{
    while (!load_acquire(&main_leaves))
        sched_yield();
    return speak_after_a_nap(arg);
}

static int speak_for_ever(void *arg)
{
    do {
        say(arg);
        add_acq_rel(&times_spoken, 1);
    } while (weft_sleep(weft_in_ms(20)) == 0);
    return 0;
}

static int speak_after_the_daemon(void *arg)
{
    while (load_acquire(&times_spoken) < 3)
        sched_yield();
    until_exit();
    say(arg);
    return 0;
}

static int sleep_for_ever(void *arg)
{
    (void)arg;
    return weft_sleep(WEFT_FOREVER);
}

static const weft_thread_options daemon_options = {.daemon = 1};

/* ---- who is waited for ---- */

static void start_three(void)
{
    weft_thread t[3] = {0}; /* on a stack that is gone when they end */
    for (int i = 0; i < 3; i++)
        CHECK_OK(weft_thread_start(&t[i], speak_late, "x", NULL));
    say("main ");
}

/* S000-15, S003-26 */
TEST(exit_waits_for_threads_that_nobody_joined)
{
    int64_t ms;
    CHECK_STR("main xxx", output_of(start_three, 0, &ms));
    CHECK(ms >= 50);
}

static void start_daemon(void)
{
    weft_thread t = WEFT_THREAD_INIT;
    CHECK_OK(weft_thread_start(&t, sleep_for_ever, NULL, &daemon_options));
    say("main");
}

/* S000-16, S001-92 */
TEST(exit_does_not_wait_for_daemons)
{
    CHECK_STR("main", output_of(start_daemon, 0, NULL));
}

static void start_both(void)
{
    weft_thread son = WEFT_THREAD_INIT, daemon = WEFT_THREAD_INIT;
    CHECK_OK(weft_thread_start(&daemon, speak_for_ever, "d", &daemon_options));
    CHECK(weft_thread_native_id(&daemon) != 0);
    CHECK_OK(weft_thread_start(&son, speak_after_the_daemon, "s", NULL));
}

/* S000-16, S000-18: the daemon goes on as long as others do */
TEST(exit_daemons_go_on_while_others_are_waited_for)
{
    const char *text = output_of(start_both, 0, NULL);
    const char *son = strchr(text, 's');
    CHECK(son != NULL);
    CHECK(son - text >= 3);
    CHECK_INT((long long)strlen(text) - 1, (long long)(strspn(text, "d") + strspn(son + 1, "d")));
}

static void detach_one(void)
{
    weft_thread t = WEFT_THREAD_INIT;
    CHECK_OK(weft_thread_start(&t, speak_late, "x", NULL));
    CHECK_OK(weft_thread_detach(&t));
}

TEST(exit_waits_for_detached_threads_that_are_no_daemons)
{
    CHECK_STR("x", output_of(detach_one, 0, NULL));
}

static int start_another(void *arg)
{
    until_exit();
    weft_thread t = WEFT_THREAD_INIT;
    CHECK_OK(weft_thread_start(&t, speak_late, arg, NULL));
    return 0;
}

static void start_starter(void)
{
    weft_thread t = WEFT_THREAD_INIT;
    CHECK_OK(weft_thread_start(&t, start_another, "x", NULL));
}

TEST(exit_waits_for_threads_started_meanwhile)
{
    CHECK_STR("x", output_of(start_starter, 0, NULL));
}

static int tell_who(void *arg)
{
    const weft_thread *self = weft_thread_self();
    char name[64];
    until_exit();
    say(weft_thread_name(self, name, sizeof name)); /* not the starter's, which is gone */
    say(weft_thread_ident(self) == weft_thread_ident(weft_thread_self()) ? " same" : " another");
    (void)arg;
    return 0;
}

static void start_named(void)
{
    weft_thread t = WEFT_THREAD_INIT;
    CHECK_OK(weft_thread_start(&t, tell_who, NULL, &(weft_thread_options){.name = "late"}));
}

TEST(exit_threads_know_themselves_when_their_handle_is_gone)
{
    CHECK_STR("late same", output_of(start_named, 0, NULL));
}

static void count_threads(const weft_thread_info *info, void *arg)
{
    CHECK_PTR(NULL, info->handle);
    ++*(int *)arg;
}

static int look_around(void *arg)
{
    int n = 0;
    until_exit();
    CHECK_INT(2, weft_threads_each(count_threads, &n));
    say(n == 2 ? "two" : "others");
    (void)arg;
    return 0;
}

static void start_looking(void)
{
    weft_thread t = WEFT_THREAD_INIT;
    CHECK_OK(weft_thread_start(&t, look_around, NULL, NULL));
}

TEST(exit_takes_the_handles_off_the_list)
{
    CHECK_STR("two", output_of(start_looking, 0, NULL));
}

/* ---- who calls exit ---- */

static int call_exit(void *arg)
{
    exit((int)(intptr_t)arg);
}

static void exit_in_thread(void)
{
    weft_thread t[2] = {0};
    CHECK_OK(weft_thread_start(&t[0], speak_late, "x", NULL));
    CHECK_OK(weft_thread_start(&t[1], call_exit, (void *)3, NULL));
    sleep_for_ever(NULL); /* main is not waited for */
}

static void exit_in_daemon(void)
{
    weft_thread t[2] = {0};
    CHECK_OK(weft_thread_start(&t[0], speak_late, "x", NULL));
    CHECK_OK(weft_thread_start(&t[1], call_exit, (void *)4, &daemon_options));
    sleep_for_ever(NULL);
}

static void exit_in_coroutine(void)
{
    weft_thread t = WEFT_THREAD_INIT;
    CHECK_OK(weft_thread_start(&t, speak_late, "x", NULL));
    CHECK_OK(weft_go(call_exit, (void *)5));
    sleep_for_ever(NULL);
}

static void *foreign_exit(void *arg)
{
    exit((int)(intptr_t)arg);
}

static void exit_in_foreign_thread(void)
{
    weft_thread t = WEFT_THREAD_INIT;
    pthread_t foreign;
    CHECK_OK(weft_thread_start(&t, speak_late, "x", NULL));
    CHECK_INT(0, pthread_create(&foreign, NULL, foreign_exit, (void *)6));
    sleep_for_ever(NULL);
}

TEST(exit_may_be_called_by_anybody)
{
    CHECK_STR("x", output_of(exit_in_thread, 3, NULL));
    CHECK_STR("x", output_of(exit_in_daemon, 4, NULL));
    CHECK_STR("x", output_of(exit_in_coroutine, 5, NULL));
    CHECK_STR("x", output_of(exit_in_foreign_thread, 6, NULL));
}

static void end_at_once(void)
{
    weft_thread t = WEFT_THREAD_INIT;
    CHECK_OK(weft_thread_start(&t, sleep_for_ever, NULL, NULL));
    _exit(7);
}

TEST(exit_underscore_waits_for_nobody)
{
    CHECK_STR("", output_of(end_at_once, 7, NULL));
}

static void leave_main(void)
{
    weft_thread t = WEFT_THREAD_INIT;
    CHECK_OK(weft_thread_start(&t, speak_when_main_leaves, "x", NULL));
    CHECK_INT(2, weft_threads_count());
    store_release(&main_leaves, 1);
    pthread_exit(NULL);
}

TEST(exit_follows_the_last_thread_when_main_leaves_by_pthread_exit)
{
    if (WEFT__TSAN)
        SKIP("ThreadSanitizer has a thread of its own, which never ends");
    CHECK_STR("x", output_of(leave_main, 0, NULL));
}

static void say_bye(void)
{
    say("bye");
}

static void register_and_start(void)
{
    atexit(say_bye);
    weft_thread t = WEFT_THREAD_INIT;
    CHECK_OK(weft_thread_start(&t, speak_late, "x ", NULL));
}

TEST(exit_functions_given_before_the_first_thread_come_after_the_wait)
{
    CHECK_STR("x bye", output_of(register_and_start, 0, NULL));
}

static int fork_in_thread(void *arg)
{
    weft_thread t = WEFT_THREAD_INIT;
    pid_t pid = fork();
    if (pid == 0) {
        CHECK_OK(weft_thread_start(&t, arg != NULL ? speak_late : speak_after_a_nap, "child ", NULL));
        if (arg != NULL)
            exit(0);
        return 0; /* the child's last thread but one: exit comes when that has spoken */
    }
    int status;
    CHECK_INT(pid, waitpid(pid, &status, 0));
    CHECK_INT(0, status);
    say("parent");
    return 0;
}

static void start_forking(void)
{
    weft_thread t = WEFT_THREAD_INIT;
    CHECK_OK(weft_thread_start(&t, fork_in_thread, NULL, NULL));
}

static void start_forking_and_exiting(void)
{
    weft_thread t = WEFT_THREAD_INIT;
    CHECK_OK(weft_thread_start(&t, fork_in_thread, &t, NULL));
}

/* 134; main is in exit already when its thread forks, or is not */
TEST(exit_of_a_child_forked_by_a_thread_waits_for_its_own_threads_only)
{
    for (long i = 0; i < test_rounds(5, 200); i++)
        CHECK_STR("child parent", output_of(start_forking_and_exiting, 0, NULL));
    if (!WEFT__TSAN) /* it cannot bear that the C library calls exit in a last thread that it takes for ended */
        CHECK_STR("child parent", output_of(start_forking, 0, NULL));
}

/* ---- daemons do no harm ---- */

static weft_lock lock = WEFT_LOCK_INIT;
static weft_event tick = WEFT_EVENT_INIT;

static int be_busy(void *arg)
{
    unsigned i = 0;
    for (;;) {
        weft_thread t = WEFT_THREAD_INIT;
        WEFT_WITH_LOCK (&lock)
            i++;
        weft_event_wait(&tick, weft_in(1000 * (i % 16)));
        weft_event_set(&tick);
        weft_event_clear(&tick);
        char *p = malloc(i % 1000 + 1);
        free(p);
        if (i % 8 == 0 && weft_thread_start(&t, speak_after_a_nap, "", &daemon_options) == 0)
            weft_thread_detach(&t);
        if (i % 8 == 1 && weft_thread_start(&t, speak_after_a_nap, "", &daemon_options) == 0)
            weft_thread_join(&t, NULL, weft_in(1000));
        weft_thread_detach(&t);
    }
    return (int)(intptr_t)arg;
}

static int busy_coroutine(void *arg)
{
    for (;;) {
        WEFT_WITH_LOCK (&lock)
            weft_yield();
        weft_sleep(weft_in(1000));
    }
    return (int)(intptr_t)arg;
}

static void start_busy(void)
{
    static weft_thread t[6];
    for (int i = 0; i < 6; i++)
        CHECK_OK(weft_thread_start(&t[i], be_busy, NULL, &daemon_options));
    for (int i = 0; i < 6; i++)
        CHECK_OK(weft_go(busy_coroutine, NULL));
    weft_sleep(weft_in_ms(10));
    say("main");
}

TEST_LIMIT(60, exit_finds_daemons_in_the_midst_of_everything)
{
    for (long i = 0; i < test_rounds(20, 500); i++)
        CHECK_STR("main", output_of(start_busy, 0, NULL));
}
