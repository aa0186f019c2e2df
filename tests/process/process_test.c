/* process_test.c - functions in children: what they get, how they end, who learns of it, and that nobody is left. */
#include "harness/harness.h"
#include "process/child_support.h"

#include <weft/co.h>
#include <weft/event.h>
#include <weft/lock.h>
#include <weft/poller.h>
#include <weft/process.h>
#include <weft/stream.h>
#include <weft/thread.h>

#include "sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static int wait_for_signal(void *arg)
{
    (void)arg;
    for (;;)
        pause();
    return 0;
}

static void start(weft_process *p, weft_process_fn *fn, void *arg)
{
    CHECK_OK(weft_process_start(p, fn, arg, NULL));
}

/* S001-52, -53, -54, -61, S004-04, M151, M152 */
TEST_IN(THREAD | CO, process_runs_a_function_and_its_result_is_the_exit_code)
{
    for (int i = 0; i < 256; i += 51) {
        weft_process p = WEFT_PROCESS_INIT;
        CHECK_INT(0, weft_process_pid(&p));
        CHECK_INT(0, weft_process_alive(&p));
        start(&p, child_give_back, (void *)(intptr_t)i);
        CHECK(weft_process_pid(&p) > 0 && weft_process_pid(&p) != getpid());
        CHECK_INT(i, child_join(&p));
        CHECK_INT(i, child_join(&p)); /* again and again */
        CHECK_INT(0, weft_process_alive(&p));
        CHECK_OK(weft_process_close(&p));
    }
}

static int send_to_nobody(void *arg)
{
    weft_stream *pair[2];
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    (void)arg;
    CHECK(fd >= 0);
    CHECK_OK(weft_unix_pair(pair));
    weft_stream_close(pair[1]);
    CHECK_ERR(-EPIPE, weft_stream_sendfile(pair[0], fd, 0, 100, WEFT_NOW));
    return 7;
}

/* A coroutine's thread blocks all signals and a child of it none, but a broken pipe of ours is no signal in either. */
TEST_IN(THREAD | CO, process_is_not_ended_by_a_broken_pipe)
{
    weft_process p = WEFT_PROCESS_INIT;
    start(&p, send_to_nobody, NULL);
    CHECK_INT(7, child_join(&p));
    CHECK_OK(weft_process_close(&p));
}

/* X-04, M151 */
TEST(process_misuse_has_names)
{
    weft_process p = WEFT_PROCESS_INIT;
    int code = 77;
    CHECK_ERR(-WEFT_ENOTSTARTED, weft_process_join(&p, &code, WEFT_NOW));
    CHECK_ERR(-WEFT_ENOTSTARTED, weft_process_terminate(&p));
    CHECK_ERR(-EBADF, weft_process_sentinel(&p));
    CHECK_OK(weft_process_close(&p));
    start(&p, wait_for_signal, NULL);
    CHECK_ERR(-WEFT_ESTARTED, weft_process_start(&p, child_give_back, NULL, NULL));
    weft_process none = WEFT_PROCESS_INIT;
    CHECK_ERR(-EINVAL, weft_process_start(&none, NULL, NULL, NULL));
    CHECK_ERR(-EINVAL, weft_process_run(&none, NULL, NULL));
    CHECK_ERR(-EBUSY, weft_process_close(&p));
    CHECK_ERR(-EAGAIN, weft_process_exit_code(&p, &code));
    CHECK_ERR(-ETIMEDOUT, weft_process_join(&p, &code, weft_in_ms(5)));
    CHECK_INT(77, code);
    CHECK_OK(weft_process_kill(&p));
    CHECK_INT(-SIGKILL, child_join(&p));
    CHECK_ERR(-ESRCH, weft_process_kill(&p));
    CHECK_OK(weft_process_close(&p));
    start(&p, child_give_back, NULL); /* anew */
    CHECK_INT(0, child_join(&p));
    CHECK_OK(weft_process_close(&p));
}

/* S004-26, M153 */
TEST_IN(THREAD | CO, process_is_terminated_or_killed_and_the_code_says_so)
{
    weft_process p[2] = {WEFT_PROCESS_INIT, WEFT_PROCESS_INIT};
    start(&p[0], wait_for_signal, NULL);
    start(&p[1], wait_for_signal, NULL);
    CHECK_INT(1, weft_process_alive(&p[0]));
    CHECK_OK(weft_process_terminate(&p[0]));
    CHECK_INT(-SIGTERM, child_join(&p[0]));
    CHECK_INT(1, weft_process_alive(&p[1]));
    CHECK_OK(weft_process_kill(&p[1]));
    CHECK_INT(-SIGKILL, child_join(&p[1]));
    for (int i = 0; i < 2; i++)
        CHECK_OK(weft_process_close(&p[i]));
}

static int fail(void *arg)
{
    (void)arg;
    return -ENOSPC;
}

static int leave(void *arg)
{
    weft_process_exit(arg);
}

static int crash(void *arg)
{
    (void)arg;
    signal(SIGSEGV, SIG_DFL);
    raise(SIGSEGV);
    return 0;
}

/* S001-58, S001-63 */
TEST(process_ends_by_error_by_exit_or_by_a_crash)
{
    struct {
        weft_process_fn *fn;
        void *arg;
        int code;
    } ways[] = {{fail, NULL, 1}, {leave, "睡觉进程退出", 1}, {leave, NULL, 0}, {crash, NULL, -SIGSEGV}};
    for (int i = 0; i < 4; i++) {
        weft_process p = WEFT_PROCESS_INIT;
        start(&p, ways[i].fn, ways[i].arg);
        CHECK_INT(ways[i].code, child_join(&p));
        CHECK_OK(weft_process_close(&p));
    }
}

static int variable = 1;

static int change(void *arg)
{
    int *seen = arg;
    seen[0] = variable;
    variable = 1000;
    seen[1] = variable;
    seen[2] = getppid();
    seen[3] = weft_process_parent();
    return strcmp(weft_process_self_name(), "Tarena") == 0 && weft_processes_each(NULL, NULL) == 0;
}

static void count(weft_process *p, void *arg)
{
    CHECK_STR("Tarena", weft_process_name(p));
    ++*(int *)arg;
}

/* S001-55, -56, -59, -61, -62, S004-02 */
TEST(process_has_memory_of_its_own_a_name_and_a_parent)
{
    int *seen = test_shared(4096), listed = 0;
    weft_process p = WEFT_PROCESS_INIT;
    CHECK_STR("MainProcess", weft_process_self_name());
    CHECK_INT(0, weft_process_parent());
    CHECK_OK(weft_process_start(&p, change, seen, &(weft_process_options){.name = "Tarena"}));
    CHECK_INT(1, child_join(&p));
    CHECK_INT(1, seen[0]);
    CHECK_INT(1000, seen[1]);
    CHECK_INT(getpid(), seen[2]);
    CHECK_INT(getpid(), seen[3]);
    CHECK_INT(1, variable);
    CHECK_OK(weft_process_close(&p));
    CHECK_OK(weft_process_start(&p, wait_for_signal, NULL, &(weft_process_options){.name = "Tarena"}));
    CHECK_INT(1, weft_processes_each(count, &listed));
    CHECK_INT(1, listed);
    CHECK_OK(weft_process_kill(&p));
    CHECK_INT(-SIGKILL, child_join(&p));
    CHECK_INT(0, weft_processes_each(count, &listed));
    CHECK_OK(weft_process_close(&p));
    start(&p, child_give_back, NULL);
    CHECK(strncmp(weft_process_name(&p), "Process-", 8) == 0);
    CHECK_INT(0, child_join(&p));
    CHECK_OK(weft_process_close(&p));
}

typedef struct object {
    int before;
    weft_process process;
    int value;
} object;

static int run_object(weft_process *p)
{
    return WEFT_CONTAINER(p, object, process)->value;
}

/* S001-68 */
TEST(process_in_object_style_finds_its_struct)
{
    object o = {.value = 42};
    CHECK_OK(weft_process_run(&o.process, run_object, NULL));
    CHECK_INT(42, child_join(&o.process));
    CHECK_OK(weft_process_close(&o.process));
}

static int read_stdin(void *arg)
{
    (void)arg;
    char c;
    return (int)read(0, &c, 1) + 10;
}

/* S001-60 */
TEST(process_has_no_standard_input)
{
    weft_process p = WEFT_PROCESS_INIT;
    start(&p, read_stdin, NULL);
    CHECK_INT(10, child_join(&p)); /* the end of /dev/null */
    CHECK_OK(weft_process_close(&p));
}

/* M154 */
TEST_IN(THREAD | CO, process_sentinel_is_readable_at_its_end_and_never_before)
{
    weft_process p = WEFT_PROCESS_INIT;
    start(&p, wait_for_signal, NULL);
    CHECK_ERR(-ETIMEDOUT, weft_fd_wait(weft_process_sentinel(&p), WEFT_POLLIN, weft_in_ms(20)));
    CHECK_OK(weft_process_kill(&p));
    CHECK(weft_fd_wait(weft_process_sentinel(&p), WEFT_POLLIN, WEFT_FOREVER) & WEFT_POLLIN);
    CHECK_INT(-SIGKILL, child_join(&p));
    CHECK_OK(weft_process_close(&p));
}

static weft_process shared_process;

static int join_shared(void *arg)
{
    (void)arg;
    return child_join(&shared_process);
}

/* M151: from several threads and coroutines */
TEST(process_is_joined_by_many)
{
    weft_co *co[4];
    weft_thread threads[4];
    start(&shared_process, wait_for_signal, NULL);
    for (int i = 0; i < 4; i++) {
        threads[i] = (weft_thread)WEFT_THREAD_INIT;
        CHECK_OK(weft_co_start(&co[i], join_shared, NULL, NULL));
        CHECK_OK(weft_thread_start(&threads[i], join_shared, NULL, NULL));
    }
    CHECK_OK(weft_process_terminate(&shared_process));
    for (int i = 0; i < 4; i++) {
        int code;
        CHECK_OK(weft_co_join(co[i], &code, WEFT_FOREVER));
        CHECK_INT(-SIGTERM, code);
        CHECK_OK(weft_thread_join(&threads[i], &code, WEFT_FOREVER));
        CHECK_INT(-SIGTERM, code);
    }
    CHECK_OK(weft_process_close(&shared_process));
}

/* M156, S001-65: no zombie is left, and nobody else's child is taken */
TEST(processes_by_the_hundred_leave_no_zombie_and_take_no_stranger)
{
    enum {
        N = 100
    };
    static weft_process p[N];
    pid_t stranger = fork();
    if (stranger == 0)
        _exit(9);
    for (int i = 0; i < N; i++)
        start(&p[i], child_give_back, (void *)(intptr_t)(i % 7));
    for (int i = N; i-- > 0;) {
        CHECK_INT(i % 7, child_join(&p[i]));
        CHECK_OK(weft_process_close(&p[i]));
    }
    int status;
    CHECK_INT(stranger, waitpid(-1, &status, 0));
    CHECK_INT(9, WEXITSTATUS(status));
    CHECK_INT(-1, waitpid(-1, NULL, WNOHANG));
}

/* S001-67: where SIGCHLD is ignored the end is still seen; the code is lost, and that is said */
TEST(process_end_is_seen_where_sigchld_is_ignored)
{
    signal(SIGCHLD, SIG_IGN);
    weft_process p = WEFT_PROCESS_INIT;
    for (int i = 0; i < 20; i++) {
        start(&p, child_give_back, NULL);
        CHECK_ERR(-ECHILD, weft_process_join(&p, NULL, WEFT_FOREVER));
        CHECK_INT(0, weft_process_alive(&p));
        CHECK_OK(weft_process_close(&p));
    }
    signal(SIGCHLD, SIG_DFL);
}

static int join_inherited(void *arg)
{
    weft_process *p = arg;
    return weft_process_join(p, NULL, WEFT_FOREVER) == -ECHILD && weft_process_kill(p) == -ECHILD;
}

/* M151: a process that is not the parent */
TEST(process_is_joined_by_its_parent_only)
{
    weft_process p = WEFT_PROCESS_INIT, other = WEFT_PROCESS_INIT;
    start(&p, wait_for_signal, NULL);
    start(&other, join_inherited, &p);
    CHECK_INT(1, child_join(&other));
    CHECK_INT(1, weft_process_alive(&p));
    CHECK_OK(weft_process_kill(&p));
    CHECK_INT(-SIGKILL, child_join(&p));
    CHECK_OK(weft_process_close(&p));
    CHECK_OK(weft_process_close(&other));
}

/* Shared objects serve parent and child: S001-75, S001-76 (event), X-01 */
typedef struct shared {
    weft_lock lock;
    weft_event event;
    long sum;
    int pid; /* atomic */
    int done;
} shared;

static int add_under_lock(void *arg)
{
    shared *s = arg;
    CHECK_OK(weft_event_wait(&s->event, WEFT_FOREVER));
    for (int i = 0; i < 1000; i++)
        WEFT_WITH_LOCK (&s->lock)
            s->sum++;
    return 0;
}

TEST(processes_share_locks_and_events)
{
    shared *s = test_shared(sizeof *s);
    CHECK_OK(weft_lock_init(&s->lock, WEFT_SHARED));
    CHECK_OK(weft_event_init(&s->event, WEFT_SHARED));
    weft_process p[4];
    for (int i = 0; i < 4; i++) {
        p[i] = (weft_process)WEFT_PROCESS_INIT;
        start(&p[i], add_under_lock, s);
    }
    weft_event_set(&s->event);
    for (int i = 0; i < 4; i++) {
        CHECK_INT(0, child_join(&p[i]));
        CHECK_OK(weft_process_close(&p[i]));
    }
    CHECK_INT(4000, s->sum);
}

/* ---- daemons and the end of a process ---- */

static int be_daemon(void *arg)
{
    shared *s = arg;
    store_seq_cst(&s->pid, getpid());
    return wait_for_signal(NULL);
}

static int start_daemon_in(shared *s)
{
    weft_process p = WEFT_PROCESS_INIT;
    CHECK_OK(weft_process_start(&p, be_daemon, s, &(weft_process_options){.daemon = 1}));
    CHECK_INT(1, weft_process_daemon(&p));
    while (load_seq_cst(&s->pid) == 0)
        sched_yield();
    return 0;
}

static int parent_of_daemon(void *arg)
{
    return start_daemon_in(arg);
}

static int killed_parent_of_daemon(void *arg)
{
    start_daemon_in(arg);
    return wait_for_signal(NULL);
}

static int start_daemon_and_leave(void *arg)
{
    return start_daemon_in(arg);
}

/* A thread that ends is no parent that ends. */
static int parent_by_a_thread(void *arg)
{
    weft_thread t = WEFT_THREAD_INIT;
    CHECK_OK(weft_thread_start(&t, start_daemon_and_leave, arg, NULL));
    CHECK_OK(weft_thread_join(&t, NULL, WEFT_FOREVER));
    CHECK_INT(0, kill(((shared *)arg)->pid, 0));
    return wait_for_signal(NULL);
}

static void wait_until_gone(pid_t pid)
{
    while (kill(pid, 0) == 0) {
        waitpid(pid, NULL, WNOHANG); /* the test adopts orphans */
        sched_yield();
    }
}

/* S000-17, S001-56, M155: its parent's code ends, or its parent is killed, whichever thread had started it */
TEST(daemon_process_ends_with_its_parent)
{
    weft_process_fn *const parents[] = {parent_of_daemon, killed_parent_of_daemon, parent_by_a_thread};
    shared *s = test_shared(sizeof *s);
    for (int i = 0; i < 3; i++) {
        weft_process p = WEFT_PROCESS_INIT;
        store_seq_cst(&s->pid, 0);
        start(&p, parents[i], s);
        while (load_seq_cst(&s->pid) == 0)
            sched_yield();
        if (i > 0)
            CHECK_OK(weft_process_kill(&p));
        CHECK_INT(i == 0 ? 0 : -SIGKILL, child_join(&p));
        wait_until_gone(s->pid);
        CHECK_OK(weft_process_close(&p));
    }
}

static int be_slow(void *arg)
{
    shared *s = arg;
    weft_sleep(weft_in_ms(100));
    store_seq_cst(&s->done, 1);
    return 0;
}

static int leave_without_join(void *arg)
{
    static weft_process p;
    return weft_process_start(&p, be_slow, arg, NULL);
}

/* S000-17: those that are no daemons are waited for */
TEST(process_waits_for_its_children_at_its_end)
{
    shared *s = test_shared(sizeof *s);
    weft_process p = WEFT_PROCESS_INIT;
    start(&p, leave_without_join, s);
    CHECK_INT(0, child_join(&p));
    CHECK_INT(1, load_seq_cst(&s->done));
    CHECK_OK(weft_process_close(&p));
}

static int leave_daemon_and_child(void *arg)
{
    start_daemon_in(arg);
    return leave_without_join(arg);
}

/* S001-65, X-13: and buried, both kinds; the parent of all may be one who reaps nobody */
TEST(process_leaves_no_zombies_at_its_end)
{
    shared *s = test_shared(sizeof *s);
    weft_process p = WEFT_PROCESS_INIT;
    CHECK_INT(0, prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
    start(&p, leave_daemon_and_child, s);
    CHECK_INT(0, child_join(&p));
    CHECK_INT(-1, waitpid(-1, NULL, WNOHANG)); /* this process adopts orphans, and there are none */
    CHECK_INT(ECHILD, errno);
    CHECK_OK(weft_process_close(&p));
}

/* ---- standard input ---- */

static int flags_of_stdin(void *arg)
{
    (void)arg;
    return fcntl(0, F_GETFD);
}

static int start_with_stdin_closed(void *arg)
{
    weft_process p = WEFT_PROCESS_INIT;
    (void)arg;
    close(0);
    start(&p, flags_of_stdin, NULL);
    int flags = child_join(&p);
    CHECK_OK(weft_process_close(&p));
    return flags;
}

/* What it executes has it, too. */
TEST(process_whose_parent_has_no_stdin_keeps_its_own_at_exec)
{
    weft_process p = WEFT_PROCESS_INIT;
    start(&p, start_with_stdin_closed, NULL);
    CHECK_INT(0, child_join(&p));
    CHECK_OK(weft_process_close(&p));
}

/* ---- faults ---- */

TEST(process_start_that_fails_leaves_nothing)
{
    weft_process p = WEFT_PROCESS_INIT;
    weft__sys_plan(WEFT__SYS_FORK, 1, 1, -EAGAIN, 0);
    CHECK_ERR(-EAGAIN, weft_process_start(&p, child_give_back, NULL, NULL));
    weft__sys_plan(WEFT__SYS_MALLOC, 1, 1, -ENOMEM, 0);
    CHECK_ERR(-ENOMEM, weft_process_start(&p, child_give_back, NULL, NULL));
    weft__sys_plan_none();
    start(&p, child_give_back, NULL); /* *p was as before */
    CHECK_INT(0, child_join(&p));
    CHECK_OK(weft_process_close(&p));
}

static uint32_t stop;        /* atomic */
static weft_lock storm_lock; /* what the storm holds most of the time */
static long told_dead;

static void *storm(void *arg)
{
    (void)arg;
    weft_lock own = WEFT_LOCK_INIT;
    while (load_relaxed(&stop) == 0) {
        free(malloc(100));
        WEFT_WITH_LOCK (&own)
            fflush(stderr);
        WEFT_WITH_LOCK (&storm_lock) {
            char line[64];
            snprintf(line, sizeof line, "%p %f\n", (void *)&own, 1.5);
            if (fputs(line, (FILE *)arg) < 0)
                break;
        }
    }
    return NULL;
}

/* The allocator, stdio, coroutines, and the storm's lock: had, or had after a death that is told; never waited for. */
static int use_everything(void *arg)
{
    free(malloc(1000));
    fprintf((FILE *)arg, "child\n");
    weft_co *co;
    int result = -1;
    if (weft_co_start(&co, child_give_back, (void *)7, NULL) < 0 || weft_co_join(co, &result, WEFT_FOREVER) < 0 ||
        result != 7)
        return 1;
    int err = weft_lock_acquire_until(&storm_lock, WEFT_FOREVER);
    if (err == -EOWNERDEAD)
        weft_lock_recover(&storm_lock);
    else if (err < 0)
        return 2;
    weft_lock_release(&storm_lock);
    return err == 0 ? 0 : 3;
}

/* Forks under a storm of malloc, stdio and locks in other threads: each child works, none hangs. X-13 */
TEST_LIMIT(600, stress_processes_start_amid_a_storm)
{
    long n = test_rounds(WEFT__ASAN || test_limit_factor() > 5 ? 100 : 1500, 10000);
    pthread_t threads[3];
    FILE *null = fopen("/dev/null", "we");
    CHECK(null != NULL);
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, storm, null);
    for (long i = 0; i < n; i++) {
        weft_process p = WEFT_PROCESS_INIT;
        start(&p, use_everything, null);
        int code = child_join(&p);
        CHECK(code == 0 || code == 3);
        told_dead += code == 3;
        CHECK_OK(weft_process_close(&p));
    }
    store_seq_cst(&stop, 1);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    fclose(null);
    printf("%ld of %ld children were told of a holder that they do not have\n", told_dead, n);
}
