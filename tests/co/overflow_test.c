/* A coroutine that runs out of stack ends the process by SIGSEGV, and a sentence says which one it was. */
#include "harness/harness.h"

#include <weft/co.h>

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char text[8192];

/* How a child ends that runs body; what it writes to standard error goes to `text`. */
static int run_child(void (*body)(void))
{
    int fds[2];
    CHECK_OK(pipe(fds));
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        dup2(fds[1], STDERR_FILENO);
        close(fds[0]);
        close(fds[1]);
        body();
        _exit(0);
    }
    close(fds[1]);
    size_t n = 0;
    for (ssize_t got; n + 1 < sizeof text && (got = read(fds[0], text + n, sizeof text - 1 - n)) > 0;)
        n += (size_t)got;
    text[n] = 0;
    close(fds[0]);
    int status;
    CHECK_INT(pid, waitpid(pid, &status, 0));
    return status;
}

static int recurse(void *arg)
{
    volatile char room[512];
    room[0] = (char)(intptr_t)arg;
    return arg == NULL ? 0 : recurse((void *)((intptr_t)arg + room[0] / 256 + 1)) + room[0];
}

static void overflow(void)
{
    weft_co *co;
    weft_co_options options = {.name = "deep one", .stack_size = 64 << 10};
    if (weft_co_start(&co, recurse, (void *)1, &options) == 0)
        weft_co_join(co, NULL, WEFT_FOREVER);
}

TEST(overflow_names_the_coroutine_and_ends_by_the_fault)
{
    int status = run_child(overflow);
    CHECK(strstr(text, "stack overflow in coroutine 'deep one' (stack of 64 KiB); give it a larger stack_size") !=
          NULL);
    CHECK(WIFSIGNALED(status));
    CHECK_INT(SIGSEGV, WTERMSIG(status));
}

static int touch_nothing(void *arg)
{
    *(volatile char *)arg = 1;
    return 0;
}

static void other_fault(void)
{
    weft_co *co;
    if (weft_co_start(&co, touch_nothing, (void *)16, NULL) == 0)
        weft_co_join(co, NULL, WEFT_FOREVER);
}

TEST(overflow_is_not_claimed_for_another_fault)
{
    int status = run_child(other_fault);
    CHECK(strstr(text, "stack overflow in coroutine") == NULL);
    CHECK(!WIFEXITED(status) || WEXITSTATUS(status) != 0);
}

static void handler(int signal)
{
    (void)signal;
    _exit(33);
}

static void handled_fault(void)
{
    signal(SIGSEGV, handler);
    other_fault();
}

TEST(overflow_watch_leaves_other_faults_to_the_handler_that_was_there)
{
    int status = run_child(handled_fault);
    CHECK(WIFEXITED(status));
    CHECK_INT(33, WEXITSTATUS(status));
}
