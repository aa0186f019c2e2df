/* forkserver_test.c - children made by the fork server: what they get, how their ends are told, and what a killed
 * server, parent or caller leaves behind: errors, and never a hang. */
#include "harness/harness.h"
#include "process/child_support.h"

#include <weft/co.h>
#include <weft/lock.h>
#include <weft/pipe.h>
#include <weft/poller.h>
#include <weft/process.h>
#include <weft/thread.h>

#include "base/compiler.h"
#include "sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int wait_for_signal(void *arg)
{
    (void)arg;
    for (;;)
        pause();
    return 0;
}

static void stop_server(void)
{
    CHECK_OK(weft_forkserver_stop());
    CHECK_INT(0, weft_forkserver_pid());
}

/* S001-52, -53, -54: codes 0 ... 255 and signals, as by fork */
TEST(forkserver_runs_functions_and_tells_their_codes)
{
    for (int i = 0; i < 256; i += 51) {
        weft_process p = WEFT_PROCESS_INIT;
        child_start(&p, child_give_back, (void *)(intptr_t)i);
        CHECK(weft_process_pid(&p) > 0 && weft_process_pid(&p) != weft_forkserver_pid());
        CHECK_INT(i, child_join_and_close(&p));
    }
    const int signals[] = {SIGTERM, SIGKILL, SIGHUP};
    for (int i = 0; i < 3; i++) {
        weft_process p = WEFT_PROCESS_INIT;
        child_start(&p, wait_for_signal, NULL);
        CHECK_INT(1, weft_process_alive(&p));
        CHECK_ERR(-EAGAIN, weft_process_exit_code(&p, NULL));
        CHECK_ERR(-ETIMEDOUT, weft_process_join(&p, NULL, weft_in_ms(5)));
        CHECK_ERR(-EBUSY, weft_process_close(&p));
        CHECK_ERR(-ETIMEDOUT, weft_fd_wait(weft_process_sentinel(&p), WEFT_POLLIN, weft_in_ms(5)));
        CHECK_OK(weft_process_signal(&p, signals[i]));
        CHECK(weft_fd_wait(weft_process_sentinel(&p), WEFT_POLLIN, WEFT_FOREVER) & WEFT_POLLIN);
        int code = 0;
        CHECK_OK(weft_process_exit_code(&p, &code)); /* the sentinel is never ahead of the code */
        CHECK_INT(-signals[i], code);
        CHECK_INT(0, weft_process_alive(&p));
        CHECK_ERR(-ESRCH, weft_process_kill(&p));
        CHECK_INT(-signals[i], child_join_and_close(&p));
    }
    stop_server();
}

/* What a child of the server sees of the parent, told through memory that was shared before the server started. */
typedef struct view {
    int variable, parent, system_parent, server_is_parent, stdin_size, others;
    char name[32];
    uint32_t pid, held; /* atomic */
} view;

static int variable = 1;
static view *seen;

static int look_around(void *arg)
{
    char c;
    (void)arg;
    seen->variable = variable;
    seen->parent = weft_process_parent();
    seen->system_parent = getppid();
    seen->stdin_size = (int)read(0, &c, 1);
    seen->others = weft_threads_count();
    snprintf(seen->name, sizeof seen->name, "%s", weft_process_self_name());
    store_release(&seen->pid, (uint32_t)getpid());
    return fcntl(9, F_GETFD) < 0 ? 3 : 4;
}

TEST(forkserver_children_see_memory_as_it_was_and_descriptors_0_1_2)
{
    seen = test_shared(sizeof *seen);
    CHECK_OK(weft_forkserver_start());
    CHECK_OK(weft_forkserver_start()); /* it runs already */
    variable = 1000;
    CHECK_INT(9, dup2(1, 9));
    weft_process p = WEFT_PROCESS_INIT;
    CHECK_OK(weft_process_start(&p, look_around, NULL,
                                &(weft_process_options){.method = WEFT_FORKSERVER, .name = "Tarena"}));
    CHECK_INT(3, child_join_and_close(&p));
    CHECK_INT(1, seen->variable);
    CHECK_INT(getpid(), seen->parent);
    CHECK_INT(weft_forkserver_pid(), seen->system_parent);
    CHECK_INT(0, seen->stdin_size);
    CHECK_INT(1, seen->others);
    CHECK_STR("Tarena", seen->name);
    close(9);
    stop_server();
}

static int add_bytes(void *arg)
{
    const struct {
        size_t size;
        unsigned char bytes[];
    } *a = arg;
    unsigned sum = 0;
    for (size_t i = 0; i < a->size; i++)
        sum += a->bytes[i];
    return (int)(sum % 251);
}

/* Bytes of any size arrive, also beyond what one message carries. */
TEST_LIMIT(60, forkserver_passes_bytes)
{
    static const size_t sizes[] = {1, 100, (32 << 10) - 8, (32 << 10) - 7, 1 << 20, 20 << 20};
    for (unsigned i = 0; i < WEFT__ARRAY_LEN(sizes); i++) {
        unsigned sum = 0;
        size_t *bytes = malloc(sizeof(size_t) + sizes[i]);
        CHECK(bytes != NULL);
        *bytes = sizes[i];
        for (size_t k = 0; k < sizes[i]; k++)
            sum += ((unsigned char *)(bytes + 1))[k] = (unsigned char)(k * 7 + i);
        for (int method = WEFT_FORK; method <= WEFT_FORKSERVER; method++) {
            weft_process p = WEFT_PROCESS_INIT;
            weft_process_options o = {.method = (enum weft_start_method)method, .arg_size = sizeof *bytes + sizes[i]};
            CHECK_OK(weft_process_start(&p, add_bytes, bytes, &o));
            CHECK_INT(sum % 251, child_join_and_close(&p));
        }
        free(bytes);
    }
    stop_server();
}

static int write_to_both(void *arg)
{
    (void)arg;
    if (weft_process_fd(2) != -EBADF)
        return 1;
    return write(weft_process_fd(0), "a", 1) == 1 && write(weft_process_fd(1), "b", 1) == 1 ? 0 : 2;
}

TEST(process_descriptors_are_handed_over)
{
    for (int method = WEFT_FORK; method <= WEFT_FORKSERVER; method++) {
        int a[2], b[2];
        char c;
        if (method == WEFT_FORKSERVER)
            CHECK_OK(weft_forkserver_start());
        CHECK_OK(pipe2(a, O_CLOEXEC));
        CHECK_OK(pipe2(b, O_CLOEXEC));
        weft_process p = WEFT_PROCESS_INIT;
        weft_process_options o = {
            .method = (enum weft_start_method)method, .fds = (const int[]){b[1], a[1]}, .fd_count = 2};
        CHECK_OK(weft_process_start(&p, write_to_both, NULL, &o));
        CHECK_INT(0, child_join_and_close(&p));
        CHECK_INT(1, read(b[0], &c, 1));
        CHECK_INT('a', c);
        CHECK_INT(1, read(a[0], &c, 1));
        CHECK_INT('b', c);
        for (int i = 0; i < 2; i++) {
            close(a[i]);
            close(b[i]);
        }
    }
    CHECK_ERR(-EBADF, weft_process_fd(0)); /* nobody handed anything to this one */
    stop_server();
}

static int run_object(weft_process *p)
{
    (void)p;
    return 0;
}

TEST(forkserver_refusals_have_names)
{
    weft_process p = WEFT_PROCESS_INIT;
    int fds[WEFT_PROCESS_FDS_MAX + 1] = {0}, none = 1000;
    weft_process_options many = {.method = WEFT_FORKSERVER, .fds = fds, .fd_count = WEFT_PROCESS_FDS_MAX + 1};
    CHECK_ERR(-EINVAL, weft_process_start(&p, child_give_back, NULL, &many));
    weft_process_options closed = {.method = WEFT_FORKSERVER, .fds = &none, .fd_count = 1};
    CHECK_ERR(-EBADF, weft_process_start(&p, child_give_back, NULL, &closed));
    weft_process_options other = {.method = (enum weft_start_method)7};
    CHECK_ERR(-EINVAL, weft_process_start(&p, child_give_back, NULL, &other));
    CHECK_ERR(-EINVAL, weft_process_run(&p, run_object, &(weft_process_options){.method = WEFT_FORKSERVER}));
    static int (*volatile nowhere)(void *);
    *(void *volatile *)&nowhere = test_shared(4096);
    CHECK_ERR(-EFAULT, child_try_start(&p, nowhere, NULL));
    child_start(&p, child_give_back, NULL);
    CHECK_ERR(-WEFT_ESTARTED, child_try_start(&p, child_give_back, NULL));
    CHECK_INT(0, child_join_and_close(&p));
    stop_server();
}

static uint32_t release; /* atomic */

static void *be_there(void *arg)
{
    while (load_acquire(&release) == 0)
        usleep(1000);
    return arg;
}

/* A thread that is there already cannot be got rid of; once it is gone, all is well. */
TEST(forkserver_that_is_started_too_late_is_refused)
{
    pthread_t other;
    weft_process p = WEFT_PROCESS_INIT;
    CHECK_OK(pthread_create(&other, NULL, be_there, NULL));
    CHECK_ERR(-WEFT_ETHREADS, weft_forkserver_start());
    CHECK_ERR(-WEFT_ETHREADS, child_try_start(&p, child_give_back, NULL));
    CHECK_INT(0, weft_forkserver_pid());
    store_release(&release, 1);
    pthread_join(other, NULL);
    child_start(&p, child_give_back, (void *)5);
    CHECK_INT(5, child_join_and_close(&p));
    stop_server();
}

static weft_lock held_by_another;

static void *hold(void *arg)
{
    weft_lock_acquire(&held_by_another);
    store_release((uint32_t *)arg, 1);
    be_there(NULL);
    weft_lock_release(&held_by_another);
    return NULL;
}

static int take_it(void *arg)
{
    (void)arg;
    return weft_lock_acquire_until(&held_by_another, WEFT_NOW) == 0 ? 7 : 8;
}

/* What it is for: a lock that another thread holds is free in the child. */
TEST(forkserver_children_find_no_lock_held)
{
    CHECK_OK(weft_forkserver_start());
    pthread_t other;
    uint32_t holds = 0;
    CHECK_OK(pthread_create(&other, NULL, hold, &holds));
    while (load_acquire(&holds) == 0)
        sched_yield();
    weft_process p = WEFT_PROCESS_INIT;
    child_start(&p, take_it, NULL);
    CHECK_INT(7, child_join_and_close(&p));
    store_release(&release, 1);
    pthread_join(other, NULL);
    stop_server();
}

static int start_many(void *arg)
{
    for (int i = 0; i < 25; i++) {
        weft_process p = WEFT_PROCESS_INIT;
        int code = (int)(intptr_t)arg * 25 + i;
        child_start(&p, child_give_back, (void *)(intptr_t)code);
        CHECK_INT(code, child_join_and_close(&p));
    }
    return 0;
}

/* Each gets the code of its own child; S001-65: nobody is left, and nobody else's child is taken. */
TEST_LIMIT(30, forkserver_serves_threads_and_coroutines_at_once)
{
    enum {
        N = 4
    };
    CHECK_OK(weft_forkserver_start());
    pid_t stranger = fork();
    if (stranger == 0)
        _exit(9);
    weft_thread threads[N] = {0};
    weft_co *co[N];
    for (int i = 0; i < N; i++) {
        CHECK_OK(weft_thread_start(&threads[i], start_many, (void *)(intptr_t)i, NULL));
        CHECK_OK(weft_co_start(&co[i], start_many, (void *)(intptr_t)(N + i), NULL));
    }
    for (int i = 0; i < N; i++) {
        CHECK_OK(weft_thread_join(&threads[i], NULL, WEFT_FOREVER));
        CHECK_OK(weft_co_join(co[i], NULL, WEFT_FOREVER));
    }
    int status;
    CHECK_INT(stranger, waitpid(stranger, &status, 0));
    CHECK_INT(9, WEXITSTATUS(status));
    stop_server();
    CHECK_INT(-1, waitpid(-1, NULL, WNOHANG)); /* no children, no zombies */
}

/* ---- deaths ---- */

static int be_seen(void *arg)
{
    (void)arg;
    store_release(&seen->pid, (uint32_t)getpid());
    return wait_for_signal(NULL);
}

static pid_t wait_until_seen(void)
{
    uint32_t pid;
    while ((pid = load_acquire(&seen->pid)) == 0)
        sched_yield();
    return (pid_t)pid;
}

static void wait_until_gone(pid_t pid)
{
    while (kill(pid, 0) == 0) {
        waitpid(pid, NULL, WNOHANG); /* where this process adopts orphans */
        sched_yield();
    }
}

/* A killed server: its children's codes are lost, and that is said when they end. The next start has a name for it, and
 * the one after that has a new server. */
TEST(forkserver_that_is_killed_gives_errors_and_never_hangs)
{
    weft_process running = WEFT_PROCESS_INIT, daemon = WEFT_PROCESS_INIT, late = WEFT_PROCESS_INIT;
    seen = test_shared(sizeof *seen);
    child_start(&running, be_seen, NULL);
    wait_until_seen();
    CHECK_OK(weft_process_start(&daemon, wait_for_signal, NULL,
                                &(weft_process_options){.method = WEFT_FORKSERVER, .daemon = 1}));
    pid_t server = weft_forkserver_pid();
    CHECK_OK(kill(server, SIGKILL));
    CHECK_ERR(-ECHILD, weft_process_join(&daemon, NULL, WEFT_FOREVER)); /* it ended with the server */
    CHECK_OK(weft_process_close(&daemon));
    CHECK_INT(1, weft_process_alive(&running));
    CHECK_ERR(-ETIMEDOUT, weft_process_join(&running, NULL, weft_in_ms(5)));
    CHECK_OK(weft_process_kill(&running));
    CHECK_ERR(-ECHILD, weft_process_join(&running, NULL, WEFT_FOREVER));
    CHECK_INT(0, weft_process_alive(&running));
    CHECK_OK(weft_process_close(&running));
    CHECK_INT(0, weft_forkserver_pid()); /* found dead, and reaped */
    child_start(&late, child_give_back, (void *)6);
    CHECK(weft_forkserver_pid() != 0 && weft_forkserver_pid() != server);
    CHECK_INT(6, child_join_and_close(&late));
    stop_server();
}

/* The same, found out by a start. */
TEST(forkserver_that_was_killed_fails_the_next_start_by_name)
{
    CHECK_OK(weft_forkserver_start());
    CHECK_OK(kill(weft_forkserver_pid(), SIGKILL));
    weft_process p = WEFT_PROCESS_INIT;
    CHECK_ERR(-EPIPE, child_try_start(&p, child_give_back, NULL));
    child_start(&p, child_give_back, NULL);
    CHECK_INT(0, child_join_and_close(&p));
    stop_server();
}

static int start_by_server_and_wait(void *arg)
{
    weft_process p = WEFT_PROCESS_INIT;
    CHECK_OK(weft_forkserver_start());
    seen->system_parent = weft_forkserver_pid();
    CHECK_OK(weft_process_start(&p, be_seen, NULL,
                                &(weft_process_options){.method = WEFT_FORKSERVER, .daemon = arg != NULL}));
    store_release(&seen->held, 1); /* until then the child would be nobody's, and end with this process */
    return wait_for_signal(NULL);
}

/* Its parent is killed: the server ends, and with it the daemons; others are orphans and go on. S001-64 */
TEST(forkserver_ends_with_its_parent)
{
    seen = test_shared(sizeof *seen);
    for (int daemon = 0; daemon < 2; daemon++) {
        store_release(&seen->pid, 0);
        store_release(&seen->held, 0);
        weft_process p = WEFT_PROCESS_INIT;
        CHECK_OK(weft_process_start(&p, start_by_server_and_wait, (void *)(intptr_t)daemon, NULL));
        pid_t child = wait_until_seen();
        while (load_acquire(&seen->held) == 0)
            sched_yield();
        CHECK_OK(weft_process_kill(&p));
        CHECK_INT(-SIGKILL, child_join_and_close(&p));
        wait_until_gone(seen->system_parent);
        if (daemon == 0) {
            CHECK_OK(kill(child, 0));
            CHECK_OK(kill(child, SIGKILL));
        }
        wait_until_gone(child);
    }
}

static int leave_children(void *arg)
{
    static weft_process slow, daemon;
    (void)arg;
    CHECK_OK(
        weft_process_start(&daemon, be_seen, NULL, &(weft_process_options){.method = WEFT_FORKSERVER, .daemon = 1}));
    child_start(&slow, child_give_back, NULL);
    wait_until_seen();
    return 0; /* not joined: the slow one is waited for, the daemon is not */
}

TEST(forkserver_ends_at_the_end_of_its_parents_code)
{
    seen = test_shared(sizeof *seen);
    weft_process p = WEFT_PROCESS_INIT;
    CHECK_OK(weft_process_start(&p, leave_children, NULL, NULL));
    CHECK_INT(0, child_join_and_close(&p));
    wait_until_gone((pid_t)load_acquire(&seen->pid));
}

/* A child of fork has no server; it may have one of its own. */
TEST(forkserver_is_not_inherited)
{
    CHECK_OK(weft_forkserver_start());
    pid_t child = fork();
    if (child == 0) {
        weft_process p = WEFT_PROCESS_INIT;
        CHECK_INT(0, weft_forkserver_pid());
        child_start(&p, child_give_back, (void *)4);
        CHECK_INT(4, child_join_and_close(&p));
        CHECK_INT(0, weft_forkserver_pid() == getppid());
        stop_server();
        _exit(0);
    }
    int status = -1;
    CHECK_INT(child, waitpid(child, &status, 0));
    CHECK_INT(0, status);
    stop_server();
}

TEST(forkserver_failures_leave_nothing)
{
    weft_process p = WEFT_PROCESS_INIT;
    weft__sys_plan(WEFT__SYS_FORK, 1, 1, -EAGAIN, 0);
    CHECK_ERR(-EAGAIN, weft_forkserver_start());
    for (unsigned nth = 1; nth <= 7; nth++) {
        weft__sys_plan(WEFT__SYS_SOCKET, nth, 1, -EMFILE, 0);
        CHECK_ERR(-EMFILE, weft_forkserver_start());
    }
    weft__sys_plan_none();
    CHECK_OK(weft_forkserver_start());
    weft__sys_plan(WEFT__SYS_MALLOC, 1, 1, -ENOMEM, 0);
    CHECK_ERR(-ENOMEM, child_try_start(&p, child_give_back, NULL));
    weft__sys_plan(WEFT__SYS_RECV, 1, 1, -ENOMEM, 0); /* of the answer: is there a spare? */
    CHECK_ERR(-ENOMEM, child_try_start(&p, child_give_back, NULL));
    weft__sys_plan(WEFT__SYS_SEND, 1, 2, -ENOBUFS, 0);
    CHECK_ERR(-ENOBUFS, child_try_start(&p, child_give_back, NULL));
    weft__sys_plan_none();
    child_start(&p, child_give_back, (void *)1);
    CHECK_INT(1, child_join_and_close(&p));
    stop_server();
}
