/* failing_cases.c - cases that must be reported as failed, each for its own reason, which harness_test.sh looks for.
 * The first word of a name tells: fail_ must fail, pass_ must pass, skip_ must be skipped. */
#include "base/panic.h"
#include "harness/harness.h"
#include "park/park.h"

#include <weft/base.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

TEST(fail_check)
{
    CHECK(1 + 1 == 3);
}

TEST(fail_check_int)
{
    CHECK_INT(4, 2 + 3);
}

TEST(fail_check_between)
{
    CHECK_BETWEEN(1, 3, 2 + 2);
}

TEST(fail_check_err)
{
    CHECK_ERR(-ETIMEDOUT, -EINVAL);
}

TEST(fail_check_str)
{
    CHECK_STR("weft", "warp");
}

TEST(fail_check_mem)
{
    CHECK_MEM("abcd", "abxd", 4);
}

TEST(fail_check_ptr)
{
    CHECK_PTR(NULL, "");
}

TEST(fail_message)
{
    FAIL("the number is %d", 42);
}

TEST(fail_prints_its_output)
{
    puts("said on standard output");
    fputs("said on standard error\n", stderr);
    FAIL("after output");
}

TEST_LIMIT(1, fail_hangs)
{
    for (;;)
        pause();
}

TEST_LIMIT(1, fail_hangs_until_it_is_asked_why)
{
    pause(); /* ends when the keeper's signal comes; too late */
}

TEST_LIMIT(1, fail_spins)
{
    for (volatile unsigned i = 0;; i = i + 1)
        ;
}

TEST(fail_crashes)
{
    raise(SIGSEGV);
}

TEST(fail_aborts)
{
    abort();
}

TEST(fail_exits_early)
{
    exit(0);
}

TEST(fail_exits_with_a_status)
{
    exit(3);
}

static void exit_badly(void)
{
    _exit(9);
}

TEST(fail_while_exiting)
{
    atexit(exit_badly);
}

static void hang(void)
{
    for (;;)
        pause();
}

TEST_LIMIT(1, fail_hangs_while_exiting)
{
    atexit(hang);
}

TEST(fail_leaks_a_pipe)
{
    int fds[2];
    CHECK_INT(0, pipe(fds));
}

TEST(pass_keeps_a_pipe_on_purpose)
{
    int fds[2];
    CHECK_INT(0, pipe(fds));
    test_keeps_fds();
}

TEST(fail_leaves_a_child)
{
    if (fork() == 0) {
        pause();
        _exit(0);
    }
}

TEST(fail_leaves_a_grandchild_in_its_own_session)
{
    pid_t child = fork();
    if (child == 0) {
        setsid();
        if (fork() == 0)
            pause();
        _exit(0);
    }
    CHECK_INT(child, waitpid(child, NULL, 0));
}

TEST(fail_in_a_forked_child)
{
    pid_t child = fork();
    if (child == 0)
        FAIL("said by the child");
    pause(); /* ended by the child's failure, long before the limit */
}

static void *fail_thread(void *arg)
{
    (void)arg;
    FAIL("said by the thread");
}

TEST(fail_in_a_thread)
{
    pthread_t thread;
    CHECK_INT(0, pthread_create(&thread, NULL, fail_thread, NULL));
    pause();
}

static int failing_waiter(void *arg)
{
    (void)arg;
    CHECK_INT(1, 2);
    return 0;
}

TEST_IN(THREAD | CO | PROCESS, fail_check_in_waiter)
{
    test_spawn(t, failing_waiter, NULL);
    test_join(t);
}

static int unwell_waiter(void *arg)
{
    (void)arg;
    return -EPIPE;
}

TEST_IN(THREAD | CO | PROCESS, fail_waiter_returns_an_error)
{
    test_spawn(t, unwell_waiter, NULL);
}

static int killed_waiter(void *arg)
{
    (void)arg;
    raise(SIGKILL);
    return 0;
}

TEST_IN(PROCESS, fail_waiter_is_killed)
{
    test_spawn(t, killed_waiter, NULL);
    test_join(t);
}

TEST_IN(PROCESS, pass_waiter_is_killed_as_expected)
{
    int waiter = test_spawn(t, killed_waiter, NULL);
    CHECK_INT(TEST_KILLED(SIGKILL), test_result(t, waiter));
}

TEST_PANICS(fail_panics_with_other_words, "the expected words")
{
    weft__panic("quite different words");
}

TEST_PANICS(fail_does_not_panic, "the expected words")
{
}

TEST_PANICS(fail_crashes_instead_of_panicking, "the expected words")
{
    fputs("the expected words\n", stderr);
    raise(SIGKILL);
}

TEST_PANICS(pass_panics_with_these_words, "these words 7")
{
    weft__panic("these words %d", 7);
}

TEST(skip_with_a_reason)
{
    SKIP("no such hardware");
}

static int add_one(void *arg)
{
    *(int *)arg += 1;
    return 0;
}

TEST_IN(THREAD | CO | PROCESS, pass_waiters_share_what_test_alloc_gave)
{
    int *number = test_alloc(t, sizeof *number);
    CHECK_INT(0, *number);
    for (int i = 0; i < 3; i++) {
        int waiter = test_spawn(t, add_one, number);
        CHECK_INT(0, test_result(t, waiter));
        CHECK(test_context(t) != PROCESS || test_pid(t, waiter) > 0);
    }
    CHECK_INT(3, *number);
    CHECK_INT(test_context(t) == PROCESS ? WEFT_SHARED : 0, test_flags(t));
}

struct sleeper {
    uint32_t word;
    unsigned flags;
};

static int sleep_on_word(void *arg)
{
    struct sleeper *s = arg;
    while (load_acquire(&s->word) == 0)
        weft__park(&s->word, 0, WEFT_FOREVER, s->flags, "test");
    return 0;
}

TEST_IN_LIMIT(1, THREAD | CO | PROCESS, fail_waiter_never_wakes)
{
    struct sleeper *s = test_alloc(t, sizeof *s);
    s->flags = test_flags(t);
    test_spawn(t, sleep_on_word, s);
    test_join(t);
}

TEST_IN(THREAD | CO | PROCESS, pass_sees_when_waiters_are_asleep)
{
    struct sleeper *s = test_alloc(t, sizeof *s);
    s->flags = test_flags(t);
    for (int i = 0; i < 3; i++)
        test_spawn(t, sleep_on_word, s);
    test_wait_until_asleep(t, &s->word, 3);
    store_seq_cst(&s->word, 1);
    CHECK_BETWEEN(test_context(t) == PROCESS ? 0 : 3, 3, weft__wake(&s->word, 10, s->flags));
    test_join(t);
}

static void make_file_in_test_dir(void)
{
    char path[200];
    snprintf(path, sizeof path, "%s/file", test_dir());
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600);
    CHECK(fd >= 0);
    close(fd);
}

TEST(pass_test_dir_is_empty_at_first)
{
    make_file_in_test_dir();
}

TEST(fail_but_its_test_dir_goes_away)
{
    make_file_in_test_dir();
    FAIL("directory %s", test_dir());
}

TEST(pass_counts_descriptors)
{
    int before = test_fd_count(), fds[2];
    CHECK_INT(3, before);
    CHECK_INT(0, socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
    CHECK_INT(before + 2, test_fd_count());
    close(fds[0]);
    close(fds[1]);
}

TEST(pass_resident_memory_grows_when_touched)
{
    enum {
        SIZE = 64 << 20
    };
    long before = test_rss_kb();
    char *memory = malloc(SIZE);
    CHECK(memory != NULL);
    memset(memory, 1, SIZE);
    __asm__ volatile("" ::"r"(memory) : "memory"); /* or the compiler drops all three lines */
    CHECK(test_rss_kb() - before >= SIZE / 1024 * 9 / 10);
    free(memory);
}
