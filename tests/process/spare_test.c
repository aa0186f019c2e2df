/* spare_test.c - the spare children of the fork server: what a child has that was one, and what becomes of them when
 * they, their server or their parent are killed. */
#include "harness/harness.h"
#include "process/child_support.h"

#include <weft/process.h>
#include <weft/thread.h>

#include "base/atomic.h"
#include "base/compiler.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    SPARES_MOST = 6
};

static void start_and_join(int n)
{
    for (int i = 0; i < n; i++) {
        weft_process p = WEFT_PROCESS_INIT;
        child_start(&p, child_give_back, (void *)(intptr_t)(i % 200));
        CHECK_INT(i % 200, child_join_and_close(&p));
    }
}

/* The server's children now. */
static int children_of(pid_t server, pid_t pids[SPARES_MOST])
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)server, (int)server);
    FILE *f = fopen(path, "re");
    int n = 0;
    if (f == NULL)
        return 0;
    while (n < SPARES_MOST && fscanf(f, "%d", &pids[n]) == 1)
        n++;
    fclose(f);
    return n;
}

/* After starts there are spares, soon. */
static int await_spares(pid_t server, pid_t pids[SPARES_MOST])
{
    int n;
    while ((n = children_of(server, pids)) == 0)
        sched_yield();
    return n;
}

static void wait_until_gone(pid_t pid)
{
    while (kill(pid, 0) == 0) {
        waitpid(pid, NULL, WNOHANG); /* where this process adopts orphans */
        sched_yield();
    }
}

TEST_LIMIT(60, spare_that_was_killed_is_replaced_and_never_handed_out)
{
    pid_t spares[SPARES_MOST];
    CHECK_OK(weft_forkserver_start());
    for (int round = 0; round < 10; round++) {
        start_and_join(3);
        int n = await_spares(weft_forkserver_pid(), spares);
        for (int i = 0; i < n; i++)
            kill(spares[i], SIGKILL); /* one of them may have been a child that has ended by now */
        for (int i = 0; i < n; i++)
            wait_until_gone(spares[i]);
        for (int i = 0; i < 8; i++) {
            weft_process p = WEFT_PROCESS_INIT;
            child_start(&p, child_give_back, (void *)9);
            for (int k = 0; k < n; k++)
                CHECK(weft_process_pid(&p) != spares[k]);
            CHECK_INT(9, child_join_and_close(&p));
        }
    }
    CHECK_OK(weft_forkserver_stop());
    CHECK_INT(-1, waitpid(-1, NULL, WNOHANG));
}

/* Killed at any moment: a start still gives a child that runs, or one that was killed as it began. */
TEST_LIMIT(60, spare_that_is_killed_while_it_is_taken_leaves_an_answer)
{
    pid_t spares[SPARES_MOST];
    int killed = 0;
    start_and_join(3);
    for (int round = 0; round < 200; round++) {
        int n = await_spares(weft_forkserver_pid(), spares), code = -1000;
        weft_process p = WEFT_PROCESS_INIT;
        kill(spares[round % n], SIGKILL); /* it may have become a child that has ended meanwhile */
        child_start(&p, child_give_back, (void *)5);
        CHECK_OK(weft_process_join(&p, &code, WEFT_FOREVER));
        CHECK(code == 5 || code == -SIGKILL);
        killed += code != 5;
        CHECK_OK(weft_process_close(&p));
    }
    CHECK_BETWEEN(0, 199, killed);
    CHECK_OK(weft_forkserver_stop());
}

/* The server was killed: a spare may still be on its way to its end, and be taken; then it is a child that was killed
 * as it began. There are no new ones. */
static void start_until_refused(void)
{
    int err;
    do {
        weft_process p = WEFT_PROCESS_INIT;
        err = child_try_start(&p, child_give_back, NULL);
        if (err == 0) {
            int joined = weft_process_join(&p, NULL, WEFT_FOREVER);
            CHECK(joined == 0 || joined == -ECHILD);
            CHECK_OK(weft_process_close(&p));
        }
    } while (err == 0 && weft_forkserver_pid() != 0);
    if (err != 0)
        CHECK_ERR(-EPIPE, err);
}

TEST_LIMIT(60, spares_end_with_their_server)
{
    pid_t spares[SPARES_MOST];
    for (int killed = 0; killed < 2; killed++) {
        start_and_join(5);
        pid_t server = weft_forkserver_pid();
        int n = await_spares(server, spares);
        if (killed)
            CHECK_OK(kill(server, SIGKILL));
        else
            CHECK_OK(weft_forkserver_stop());
        for (int i = 0; i < n; i++)
            wait_until_gone(spares[i]);
        if (killed)
            start_until_refused();
        CHECK_INT(0, weft_forkserver_pid());
    }
    start_and_join(5);
    CHECK_OK(weft_forkserver_stop());
}

static uint32_t *server_of; /* atomic */

static int have_spares_and_wait(void *arg)
{
    (void)arg;
    start_and_join(5);
    store_release(server_of, (uint32_t)weft_forkserver_pid());
    for (;;)
        pause();
    return 0;
}

TEST_LIMIT(60, spares_end_with_their_parent)
{
    pid_t spares[SPARES_MOST];
    server_of = test_shared(sizeof *server_of);
    weft_process p = WEFT_PROCESS_INIT;
    CHECK_OK(weft_process_start(&p, have_spares_and_wait, NULL, NULL));
    while (load_acquire(server_of) == 0)
        sched_yield();
    int n = await_spares((pid_t)load_acquire(server_of), spares);
    CHECK_OK(weft_process_kill(&p));
    CHECK_INT(-SIGKILL, child_join_and_close(&p));
    wait_until_gone((pid_t)load_acquire(server_of));
    for (int i = 0; i < n; i++)
        wait_until_gone(spares[i]);
}

TEST_LIMIT(120, spares_serve_a_thousand_starts_in_a_row)
{
    start_and_join(1000);
    CHECK_OK(weft_forkserver_stop());
    CHECK_INT(-1, waitpid(-1, NULL, WNOHANG)); /* nobody is left, and no zombie */
}

/* More at once than there are spares and lanes. */
TEST_LIMIT(60, spares_serve_many_children_at_once)
{
    enum {
        N = 40
    };
    weft_process p[N] = {0};
    for (int i = 0; i < N; i++)
        child_start(&p[i], child_give_back, (void *)(intptr_t)i);
    for (int i = 0; i < N; i++)
        CHECK_INT(i, child_join_and_close(&p[i]));
    CHECK_OK(weft_forkserver_stop());
}

static int echo(void *arg)
{
    const unsigned char *bytes = arg;
    unsigned last = 0;
    while (bytes[last + 1] != 0)
        last++;
    return write(weft_process_fd(0), &bytes[last], 1) == 1 && weft_process_fd(1) == -EBADF ? 0 : 1;
}

TEST_LIMIT(60, spares_get_descriptors_and_bytes)
{
    static const size_t sizes[] = {8, 30000, 100000};
    start_and_join(3);
    for (int i = 0; i < 30; i++) {
        int ends[2];
        char c = 0, *bytes = calloc(1, sizes[i % 3]);
        CHECK(bytes != NULL);
        memset(bytes, 'x', sizes[i % 3] - 2);
        bytes[sizes[i % 3] - 2] = (char)('a' + i % 26);
        CHECK_OK(pipe2(ends, O_CLOEXEC));
        weft_process p = WEFT_PROCESS_INIT;
        CHECK_OK(weft_process_start(
            &p, echo, bytes,
            &(weft_process_options){
                .method = WEFT_FORKSERVER, .arg_size = sizes[i % 3], .fds = &ends[1], .fd_count = 1}));
        close(ends[1]);
        CHECK_INT(1, read(ends[0], &c, 1));
        CHECK_INT('a' + i % 26, c);
        CHECK_INT(0, read(ends[0], &c, 1)); /* nobody else has a copy */
        CHECK_INT(0, child_join_and_close(&p));
        close(ends[0]);
        free(bytes);
    }
    CHECK_OK(weft_forkserver_stop());
}

static int exit_at_once(void *arg)
{
    _exit((int)(intptr_t)arg);
}

static int raise_term(void *arg)
{
    (void)arg;
    raise(SIGTERM);
    return 0;
}

/* What a child cannot say itself is told of by the server. */
TEST(spares_codes_are_known_however_they_end)
{
    for (int i = 0; i < 10; i++) {
        weft_process p = WEFT_PROCESS_INIT;
        child_start(&p, exit_at_once, (void *)(intptr_t)(100 + i));
        CHECK_INT(100 + i, child_join_and_close(&p));
        child_start(&p, raise_term, NULL);
        CHECK_INT(-SIGTERM, child_join_and_close(&p));
    }
    CHECK_OK(weft_forkserver_stop());
}

static uint32_t *begun; /* atomic */

static int count_up(void *arg)
{
    (void)arg;
    add_acq_rel(begun, 1);
    return 0;
}

/* A start has no answer from the child: it may be stopped before the child had a processor. It runs all the same. */
TEST_LIMIT(60, spares_that_were_given_something_do_it_though_their_server_is_stopped)
{
    begun = test_shared(sizeof *begun);
    for (uint32_t i = 1; i <= 20; i++) {
        weft_process p = WEFT_PROCESS_INIT;
        int code = 0;
        start_and_join(1);
        child_start(&p, count_up, NULL);
        CHECK_OK(weft_forkserver_stop());
        int err = weft_process_join(&p, &code, WEFT_FOREVER);
        CHECK(err == -ECHILD || code == 0);
        CHECK_INT(i, load_acquire(begun));
        CHECK_OK(weft_process_close(&p));
    }
}

static int read_stdin(void *arg)
{
    char c = 0;
    (void)arg;
    return read(0, &c, 1) == 1 ? c : 0;
}

TEST(spares_have_standard_input_when_it_is_to_be_kept)
{
    int ends[2];
    CHECK_OK(pipe2(ends, O_CLOEXEC));
    CHECK_INT(0, dup2(ends[0], 0));
    CHECK_INT(2, write(ends[1], "ab", 2));
    for (int i = 0; i < 4; i++) {
        weft_process p = WEFT_PROCESS_INIT;
        CHECK_OK(weft_process_start(&p, read_stdin, NULL,
                                    &(weft_process_options){.method = WEFT_FORKSERVER, .keep_stdin = i % 2}));
        CHECK_INT(i == 1 ? 'a' : i == 3 ? 'b' : 0, child_join_and_close(&p));
    }
    close(ends[0]);
    close(ends[1]);
    CHECK_OK(weft_forkserver_stop());
}

static void ignore_it(int signal)
{
    (void)signal;
}

static int interrupt_the_group(void *arg)
{
    pid_t spares[SPARES_MOST];
    (void)arg;
    setpgid(0, 0);
    start_and_join(4);
    await_spares(weft_forkserver_pid(), spares);
    signal(SIGINT, ignore_it);
    for (int i = 0; i < 8; i++) {
        kill(0, SIGINT);
        start_and_join(1);
    }
    return 3;
}

/* A Ctrl-C that was for others does not end a child that is started after it. */
TEST(spares_do_not_keep_signals_of_the_group_for_later_children)
{
    weft_process p = WEFT_PROCESS_INIT;
    CHECK_OK(weft_process_start(&p, interrupt_the_group, NULL, NULL));
    CHECK_INT(3, child_join_and_close(&p));
}
