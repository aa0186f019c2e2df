/* fork: the child has no coroutines, and can have new ones. */
#include "co/co_support.h"
#include "co/sched.h"
#include "co/stack.h"
#include "park/park.h"

#include <weft/co.h>

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int returns(void *arg)
{
    weft_yield();
    return (int)(intptr_t)arg;
}

static int call_blocking(void *arg)
{
    return weft_blocking(returns, arg);
}

/* Everything works here as in a fresh process. */
static void use_coroutines(void)
{
    weft_co *co[50];
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 50; i++)
            co[i] = start(i % 10 == 9 ? call_blocking : returns, (void *)(intptr_t)i);
        for (int i = 0; i < 50; i++)
            CHECK_INT(i, join(co[i]));
    }
    CHECK_OK(weft_sleep(weft_in_ms(1)));
}

static void check_child(pid_t pid)
{
    int status;
    CHECK(pid > 0);
    CHECK_INT(pid, waitpid(pid, &status, 0));
    CHECK(WIFEXITED(status));
    CHECK_INT(7, WEXITSTATUS(status));
}

TEST_LIMIT(20, fork_in_a_thread_leaves_the_child_without_coroutines)
{
    use_coroutines();
    weft_co *parked = start(wait_for_flag, NULL);
    size_t stacks = weft__stacks_made(WEFT__STACK_DEFAULT);
    for (int i = 0; i < 5; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            use_coroutines();
            CHECK_INT(0, weft__sleepers(&flag));
            CHECK(weft__stacks_made(WEFT__STACK_DEFAULT) <= stacks + 60); /* the parent's are used again */
            pid_t grandchild = fork();
            if (grandchild == 0) {
                use_coroutines();
                _exit(7);
            }
            check_child(grandchild);
            use_coroutines();
            _exit(7);
        }
        check_child(pid);
    }
    raise_flag();
    CHECK_OK(join(parked));
    use_coroutines();
}

static int fork_here(void *arg)
{
    (void)arg;
    int local = 1234;
    CHECK_OK(wait_for_flag(NULL));
    pid_t pid = fork();
    if (pid == 0) {
        /* On the coroutine's stack, but a plain thread now. */
        CHECK(weft_co_self() == NULL);
        CHECK_INT(-1, weft__sched_index());
        CHECK_INT(1234, local);
        CHECK_OK(weft_sleep(weft_in_ms(1)));
        weft_yield();
        use_coroutines();
        CHECK_INT(1234, local);
        pid_t grandchild = fork();
        if (grandchild == 0) {
            use_coroutines();
            CHECK_INT(1234, local); /* its stack is nobody else's */
            _exit(7);
        }
        check_child(grandchild);
        _exit(7);
    }
    check_child(pid);
    CHECK(weft_co_self() != NULL);
    return 0;
}

TEST_LIMIT(20, fork_in_a_coroutine_goes_on_as_a_thread_in_the_child)
{
    use_coroutines(); /* all threads have started, and nobody allocates when the flag is raised: see below */
    weft_co *co[4];
    for (int i = 0; i < 4; i++)
        co[i] = start(fork_here, NULL);
    raise_flag();
    for (int i = 0; i < 4; i++)
        CHECK_OK(join(co[i]));
    use_coroutines();
}

static int busy(void *arg)
{
    while (load_relaxed(&flag) == 0) {
        weft_go(returns, arg);
        weft_co *co;
        if (weft_co_start(&co, returns, arg, &(weft_co_options){.stack_size = 16384}) == 0)
            weft_co_join(co, NULL, WEFT_FOREVER);
        weft_blocking(returns, arg);
    }
    return 0;
}

TEST_LIMIT(60, fork_at_any_moment_leaves_a_child_that_works)
{
    weft_co *co[6];
    for (int i = 0; i < 6; i++)
        co[i] = start(busy, NULL);
    for (int i = 0; i < 60; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            use_coroutines();
            _exit(7);
        }
        check_child(pid);
    }
    raise_flag();
    for (int i = 0; i < 6; i++)
        CHECK_OK(join(co[i]));
}

/* ---- misuse in the child ---- */

/* What a child says that is expected to abort. */
static void check_panic(pid_t pid, int fd, const char *expected)
{
    char text[1000];
    size_t n = 0;
    for (ssize_t got; n + 1 < sizeof text && (got = read(fd, text + n, sizeof text - 1 - n)) > 0;)
        n += (size_t)got;
    text[n] = 0;
    int status;
    CHECK_INT(pid, waitpid(pid, &status, 0));
    CHECK(WIFSIGNALED(status));
    CHECK_INT(SIGABRT, WTERMSIG(status));
    CHECK(strstr(text, expected) != NULL);
}

static int fork_and_return(void *arg)
{
    int *fds = arg;
    pid_t pid = fork();
    if (pid == 0) {
        dup2(fds[1], STDERR_FILENO);
        close(fds[0]);
        close(fds[1]);
    }
    return pid;
}

TEST(fork_then_return_from_the_coroutine_in_the_child_is_told)
{
    int fds[2];
    CHECK_OK(pipe(fds));
    pid_t pid = join(start(fork_and_return, fds));
    CHECK(pid > 0);
    close(fds[1]);
    check_panic(pid, fds[0], "the coroutine that called fork() has returned in the child");
    close(fds[0]);
}

TEST(fork_then_use_of_a_handle_of_the_parent_is_told)
{
    weft_co *co = start(wait_for_flag, NULL);
    int fds[2];
    CHECK_OK(pipe(fds));
    pid_t pid = fork_and_return(fds);
    if (pid == 0) {
        weft_co_cancel(co);
        _exit(0);
    }
    close(fds[1]);
    check_panic(pid, fds[0], "does not exist in the child");
    close(fds[0]);
    raise_flag();
    CHECK_OK(join(co));
}
