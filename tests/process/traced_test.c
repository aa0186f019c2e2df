/* traced_test.c - a child that somebody traces, as strace and debuggers do: the kernel says at once that it has ended,
 * and gives its parent the end only when the tracer has let go. M151, M152 */
#include "harness/harness.h"

#include <weft/poller.h>
#include <weft/process.h>
#include <weft/subprocess.h>

#include <errno.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct tracer {
    pid_t pid;
    int line; /* a byte each way: it traces; it may leave */
} tracer;

/* Another process traces this one, does not ask for its end, and leaves when it is told to. */
static tracer trace(pid_t pid)
{
    int fds[2];
    char traces = 0;
    CHECK_INT(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
    tracer t = {.pid = fork(), .line = fds[0]};
    if (t.pid == 0) {
        close(fds[0]);
        traces = ptrace(PTRACE_SEIZE, pid, NULL, NULL) == 0;
        _exit(write(fds[1], &traces, 1) != 1 || read(fds[1], &traces, 1) != 1);
    }
    CHECK(t.pid > 0);
    close(fds[1]);
    CHECK_INT(1, read(t.line, &traces, 1));
    if (!traces) {
        kill(pid, SIGKILL);
        SKIP("no process may trace another here");
    }
    return t;
}

static void let_go(tracer t)
{
    int status = 0;
    CHECK_INT(1, write(t.line, "", 1));
    close(t.line);
    CHECK_INT(t.pid, waitpid(t.pid, &status, 0));
    CHECK_INT(0, status);
}

static int wait_for_signal(void *arg)
{
    (void)arg;
    for (;;)
        pause();
    return 0;
}

static int join_killed(void *arg)
{
    int code = 0;
    CHECK_OK(weft_process_join(arg, &code, WEFT_FOREVER));
    CHECK_INT(-SIGKILL, code);
    return 0;
}

TEST_IN(THREAD | CO, traced_process_is_joined_when_its_tracer_lets_go)
{
    weft_process *p = test_alloc(t, sizeof *p);
    CHECK_OK(weft_process_start(p, wait_for_signal, NULL, NULL));
    tracer by = trace(weft_process_pid(p));
    CHECK_OK(weft_process_kill(p));
    CHECK(weft_fd_wait(weft_process_sentinel(p), WEFT_POLLIN, WEFT_FOREVER) & WEFT_POLLIN);
    CHECK_ERR(-ETIMEDOUT, weft_process_join(p, NULL, WEFT_NOW));
    CHECK_ERR(-ETIMEDOUT, weft_process_join(p, NULL, weft_in_ms(20)));
    test_spawn(t, join_killed, p);
    let_go(by);
    test_join(t);
    CHECK_OK(weft_process_close(p));
}

static int wait_killed(void *arg)
{
    int code = 0;
    CHECK_OK(weft_popen_wait(arg, &code, WEFT_FOREVER));
    CHECK_INT(-SIGKILL, code);
    return 0;
}

TEST_IN(THREAD | CO, traced_program_is_waited_for_until_its_tracer_lets_go)
{
    weft_popen *p;
    CHECK_OK(weft_popen_start(&p, (const char *const[]){"sleep", "100", NULL}, NULL));
    tracer by = trace(weft_popen_pid(p));
    CHECK_OK(weft_popen_signal(p, SIGKILL));
    CHECK(weft_fd_wait(weft_popen_sentinel(p), WEFT_POLLIN, WEFT_FOREVER) & WEFT_POLLIN);
    CHECK_ERR(-ETIMEDOUT, weft_popen_wait(p, NULL, WEFT_NOW));
    CHECK_ERR(-ETIMEDOUT, weft_popen_wait(p, NULL, weft_in_ms(20)));
    test_spawn(t, wait_killed, p);
    let_go(by);
    test_join(t);
    weft_popen_free(p);
}

/* It is left to somebody else to take its end, who must not take the kernel's first word for it. */
TEST(traced_program_that_was_freed_leaves_no_zombie)
{
    weft_popen *p;
    CHECK_OK(weft_popen_start(&p, (const char *const[]){"sleep", "100", NULL}, NULL));
    pid_t pid = weft_popen_pid(p);
    tracer by = trace(pid);
    CHECK_OK(weft_popen_signal(p, SIGKILL));
    CHECK(weft_fd_wait(weft_popen_sentinel(p), WEFT_POLLIN, WEFT_FOREVER) & WEFT_POLLIN);
    weft_popen_free(p);
    let_go(by);
    while (kill(pid, 0) == 0)
        CHECK_INT(0, usleep(1000)); /* the time limit of the case ends this */
}
