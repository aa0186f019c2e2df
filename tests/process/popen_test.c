/* popen_test.c - running other programs: what they get, what they say, how they end, and what keeps them from
 * starting. */
#include "harness/harness.h"

#include <weft/co.h>
#include <weft/poller.h>
#include <weft/subprocess.h>

#include "sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGV(...)   ((const char *const[]){__VA_ARGS__, NULL})
#define SHELL(line) ARGV("/bin/sh", "-c", line)

static weft_run_result run(const char *const *argv, weft_run_options options)
{
    weft_run_result r = {0};
    options.capture = options.capture != 0 ? options.capture : 1;
    CHECK_OK(weft_run(argv, &options, &r));
    return r;
}

static void expect(const char *const *argv, weft_run_options options, int code, const char *output)
{
    weft_run_result r = run(argv, options);
    CHECK_INT(code, r.code);
    CHECK_STR(output, r.output != NULL ? r.output : "");
    weft_run_free(&r);
}

/* ---- what it gets ---- */

/* S004-09, S004-11, S004-13, P178 */
TEST_IN(THREAD | CO, run_passes_arguments_byte_for_byte_and_gives_the_exit_code)
{
    expect(ARGV("printf", "%s|", "a b", "", "'\"$HOME*\\", "\xff\x01"), (weft_run_options){0}, 0,
           "a b||'\"$HOME*\\|\xff\x01|");
    expect(SHELL("exit 7"), (weft_run_options){0}, 7, "");
    expect(SHELL("kill -9 $$"), (weft_run_options){0}, -SIGKILL, "");
    expect(SHELL("kill -SEGV $$"), (weft_run_options){0}, -SIGSEGV, "");
}

/* S004-19, S004-15 */
TEST(run_with_a_shell_interprets_the_line_and_takes_another_shell)
{
    expect(ARGV("echo $0 $1 $((1+1))", "zero", "one"), (weft_run_options){.popen.shell = 1}, 0, "zero one 2\n");
    expect(ARGV("echo $0"), (weft_run_options){.popen = {.shell = 1, .executable = "/bin/bash"}}, 0, "/bin/bash\n");
    expect(ARGV("myname", "-c", "echo $0"), (weft_run_options){.popen.executable = "/bin/sh"}, 0, "myname\n");
}

/* S004-16, S004-20, S004-21 */
TEST(run_gives_directory_environment_umask_and_limits)
{
    expect(ARGV("pwd"), (weft_run_options){.popen.cwd = "/usr"}, 0, "/usr\n");
    expect(ARGV("/usr/bin/env"), (weft_run_options){.popen.env = ARGV("A=1", "B=x y")}, 0, "A=1\nB=x y\n");
    expect(SHELL("umask"), (weft_run_options){.popen = {.set_umask = 1, .umask = 0027}}, 0, "0027\n");
    weft_limit limit = {RLIMIT_NOFILE, 33, 33};
    expect(SHELL("ulimit -n"), (weft_run_options){.popen = {.limits = &limit, .limit_count = 1}}, 0, "33\n");
}

TEST(run_finds_a_program_on_the_path_that_it_will_have)
{
    expect(ARGV("echo", "x"), (weft_run_options){.popen.env = ARGV("PATH=/nowhere:/bin")}, 0, "x\n");
    weft_run_result r;
    CHECK_ERR(-ENOENT, weft_run(ARGV("echo"), &(weft_run_options){.popen.env = ARGV("PATH=/nowhere")}, &r));
}

TEST(run_takes_another_user_with_no_groups_left)
{
    if (getuid() != 0)
        SKIP("only root can");
    expect(SHELL("id -u; id -g; id -G"), (weft_run_options){.popen = {.set_ids = 1, .uid = 65534, .gid = 65534}}, 0,
           "65534\n65534\n65534\n");
}

static int count_fds(void)
{
    int n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* What a failed look-up gives must not start a program as whoever we are. */
TEST(run_as_nobodys_number_is_refused)
{
    weft_run_result r;
    weft_run_options options = {.popen = {.set_ids = 1, .uid = (uid_t)-1, .gid = 65534}};
    CHECK_ERR(-EINVAL, weft_run(ARGV("true"), &options, &r));
    options.popen.uid = 65534;
    options.popen.gid = (gid_t)-1;
    CHECK_ERR(-EINVAL, weft_run(ARGV("true"), &options, &r));
}

/* S004-18, P180, M149 */
TEST_IN(THREAD | CO, run_hands_down_three_descriptors_and_those_passed)
{
    int open_one = open("/dev/null", O_RDONLY); /* not close-on-exec */
    int high = fcntl(open_one, F_DUPFD, 77);
    expect(ARGV("true"), (weft_run_options){0}, 0,
           ""); /* what a thread or scheduler opens at its first wait, it keeps */
    int before = count_fds();
    expect(SHELL("ls /proc/self/fd | tr '\\n' ' '"), (weft_run_options){0}, 0,
           "0 1 2 3 "); /* 3: ls reads the directory */
    expect(SHELL("[ -e /proc/self/fd/77 ] && [ ! -e /proc/self/fd/76 ]; echo $?"),
           (weft_run_options){.popen = {.pass_fds = &high, .pass_fd_count = 1}}, 0, "0\n");
    CHECK_INT(before, count_fds());
    close(open_one);
    close(high);
}

/* P180: a program starts with default dispositions and an empty mask, whatever ours are */
TEST(run_gives_default_signals_and_an_empty_mask)
{
    signal(SIGUSR1, SIG_IGN);
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    expect(SHELL("grep -E 'Sig(Blk|Ign)' /proc/self/status | tr -d '\\t\\n'"), (weft_run_options){0}, 0,
           "SigBlk:0000000000000000SigIgn:0000000000000000");
    sigset_t now;
    sigprocmask(SIG_SETMASK, NULL, &now);
    CHECK_INT(1, sigismember(&now, SIGUSR2)); /* ours is as it was */
}

static int say_before(void *arg)
{
    return write(1, arg, strlen(arg)) < 0 ? -errno : 0;
}

static int refuse_before(void *arg)
{
    (void)arg;
    return -EDOM;
}

/* S004-17 */
TEST(run_calls_a_function_in_the_child_first)
{
    expect(ARGV("echo", "after"), (weft_run_options){.popen = {.before = say_before, .before_arg = "before "}}, 0,
           "before after\n");
    weft_run_result r;
    CHECK_ERR(-EDOM, weft_run(ARGV("true"), &(weft_run_options){.popen.before = refuse_before}, &r));
}

/* ---- what keeps it from starting ---- */

/* P178 */
TEST_IN(THREAD | CO, run_tells_apart_what_kept_a_program_from_starting)
{
    weft_run_result r;
    char path[] = "/tmp/weft-not-a-program-XXXXXX";
    int fd = mkstemp(path), before = count_fds();
    CHECK_INT(4, write(fd, "\1\2\3\4", 4));
    fchmod(fd, 0644);
    CHECK_ERR(-EACCES, weft_run(ARGV(path), NULL, &r));
    fchmod(fd, 0755);
    close(fd);
    CHECK_ERR(-ENOEXEC, weft_run(ARGV(path), NULL, &r));
    unlink(path);
    CHECK_ERR(-ENOENT, weft_run(ARGV("/no/such/program"), NULL, &r));
    CHECK_ERR(-ENOENT, weft_run(ARGV("no-such-program-anywhere"), NULL, &r));
    CHECK_ERR(-WEFT_ECWD, weft_run(ARGV("true"), &(weft_run_options){.popen.cwd = "/no/such/directory"}, &r));
    CHECK_ERR(-EINVAL, weft_run((const char *const[]){NULL}, NULL, &r));
    CHECK_ERR(-EBADF, weft_run(ARGV("true"), &(weft_run_options){.popen = {.out = WEFT_FILE, .out_fd = -1}}, &r));
    CHECK_INT(before - 1, count_fds());
    CHECK_INT(-1, waitpid(-1, NULL, WNOHANG)); /* no zombie */
    CHECK_INT(ECHILD, errno);
}

TEST(run_reports_failing_calls_and_leaves_nothing)
{
    weft_run_result r;
    int before = count_fds();
    const enum weft__sys_call calls[] = {WEFT__SYS_PIPE, WEFT__SYS_FORK, WEFT__SYS_MALLOC};
    for (int i = 0; i < 3; i++)
        for (uint32_t nth = 1; nth <= (i == 0 ? 2 : i == 1 ? 1 : 3); nth++) {
            weft__sys_plan(calls[i], nth, 1, i == 2 ? -ENOMEM : -EMFILE, 0);
            int err = weft_run(ARGV("true"), &(weft_run_options){.capture = 1}, &r);
            weft__sys_plan_none();
            CHECK_ERR(i == 2 ? -ENOMEM : -EMFILE, err);
            CHECK_INT(before, count_fds());
        }
}

/* ---- talking ---- */

/* S004-11, P179 */
TEST_IN(THREAD | CO, communicate_moves_megabytes_both_ways_without_a_deadlock)
{
    size_t size = test_limit_factor() > 1 ? 1 << 20 : 10 << 20;
    char *data = malloc(size);
    for (size_t i = 0; i < size; i++)
        data[i] = (char)(i * 7 + i / 251);
    weft_run_result r = run(SHELL("tee /dev/stderr"), (weft_run_options){.input = data, .input_size = size});
    CHECK_INT(0, r.code);
    CHECK_INT(size, r.output_size);
    CHECK_INT(size, r.error_size);
    CHECK_INT(0, memcmp(data, r.output, size));
    CHECK_INT(0, memcmp(data, r.error, size));
    weft_run_free(&r);
    free(data);
}

/* A program that does not read its input gets no signal and is no error. */
TEST(communicate_with_a_program_that_does_not_listen)
{
    static char data[1 << 20];
    expect(ARGV("true"), (weft_run_options){.input = data, .input_size = sizeof data}, 0, "");
}

/* P179: a deadline loses nothing */
TEST_IN(THREAD | CO, communicate_goes_on_after_a_deadline)
{
    weft_popen *p;
    weft_run_result r;
    CHECK_OK(weft_popen_start(&p, SHELL("cat; echo done"), &(weft_popen_options){.in = WEFT_PIPE, .out = WEFT_PIPE}));
    CHECK_OK(weft_popen_signal_tree(p, SIGSTOP));
    static char data[300000];
    memset(data, 'x', sizeof data);
    for (int i = 0; i < 3; i++)
        CHECK_ERR(-ETIMEDOUT, weft_popen_communicate(p, data, sizeof data, &r, weft_in_ms(10)));
    CHECK_OK(weft_popen_signal_tree(p, SIGCONT));
    CHECK_OK(weft_popen_communicate(p, data, sizeof data, &r, WEFT_FOREVER));
    CHECK_INT(sizeof data + 5, r.output_size);
    CHECK_INT(0, memcmp(data, r.output, sizeof data));
    CHECK_STR("done\n", r.output + sizeof data);
    weft_run_free(&r);
    weft_popen_free(p);
}

TEST(run_keeps_as_much_as_it_may_and_reads_the_rest)
{
    weft_run_result r = run(SHELL("head -c 1000000 /dev/zero; echo end >&2"), (weft_run_options){.output_max = 10});
    CHECK_INT(0, r.code);
    CHECK_INT(10, r.output_size);
    CHECK_INT(1, r.truncated);
    CHECK_STR("end\n", r.error);
    weft_run_free(&r);
}

TEST(run_merges_standard_error_and_sends_streams_to_files)
{
    expect(SHELL("echo a; echo b >&2; echo c"), (weft_run_options){.capture = 2}, 0, "a\nb\nc\n");
    int ends[2];
    CHECK_INT(0, pipe2(ends, O_CLOEXEC));
    weft_run_result r;
    CHECK_OK(weft_run(
        SHELL("cat; echo x >&2"),
        &(weft_run_options){.popen = {.in = WEFT_NULL, .out = WEFT_NULL, .err = WEFT_FILE, .err_fd = ends[1]}}, &r));
    char text[8] = "";
    CHECK_INT(2, read(ends[0], text, sizeof text));
    CHECK_STR("x\n", text);
    close(ends[0]);
    close(ends[1]);
}

/* Our own 0, 1 and 2 closed or crossed over: the streams find their places all the same. */
TEST(run_places_streams_that_lie_in_each_others_places)
{
    int ends[2];
    CHECK_INT(0, pipe2(ends, O_CLOEXEC));
    int old1 = dup(1), old2 = dup(2);
    dup2(ends[1], 1); /* 1 is the pipe; the program's error goes to our 1 and its output to our 2 */
    weft_run_result r;
    int err = weft_run(SHELL("echo out; echo err >&2"),
                       &(weft_run_options){.popen = {.out = WEFT_NULL, .err = WEFT_FILE, .err_fd = 1}}, &r);
    dup2(old1, 1);
    dup2(old2, 2);
    CHECK_OK(err);
    char text[16] = "";
    CHECK_INT(4, read(ends[0], text, sizeof text));
    CHECK_STR("err\n", text);
    close(ends[0]);
    close(ends[1]);
    close(old1);
    close(old2);
}

typedef struct lines {
    char text[256];
    int n;
} lines;

static int add_line(const char *line, size_t size, void *arg)
{
    lines *l = arg;
    CHECK_INT(size, strlen(line));
    snprintf(l->text + strlen(l->text), sizeof l->text - strlen(l->text), "[%s]", line);
    return ++l->n == 4 ? -EINTR : 0;
}

/* S004-14, S004-22 */
TEST_IN(THREAD | CO, lines_come_as_they_are_written)
{
    weft_popen *p;
    lines l = {0};
    CHECK_OK(weft_popen_start(&p, SHELL("echo one; echo; printf 'no end'; printf ' yet'"),
                              &(weft_popen_options){.out = WEFT_PIPE}));
    CHECK_OK(weft_popen_lines(p, 1, add_line, &l, WEFT_FOREVER));
    CHECK_STR("[one][][no end yet]", l.text);
    CHECK_OK(weft_popen_lines(p, 1, add_line, &l, WEFT_FOREVER)); /* still the end */
    CHECK_ERR(-EBADF, weft_popen_lines(p, 2, add_line, &l, WEFT_FOREVER));
    CHECK_ERR(-EINVAL, weft_popen_lines(p, 0, add_line, &l, WEFT_FOREVER));
    int code;
    CHECK_OK(weft_popen_wait(p, &code, WEFT_FOREVER));
    CHECK_INT(0, code);
    weft_popen_free(p);

    l = (lines){0};
    CHECK_OK(weft_popen_start(&p, SHELL("seq 9"), &(weft_popen_options){.out = WEFT_PIPE}));
    CHECK_ERR(-EINTR, weft_popen_lines(p, 1, add_line, &l, WEFT_FOREVER));
    CHECK_STR("[1][2][3][4]", l.text);
    CHECK_OK(weft_popen_wait(p, NULL, WEFT_FOREVER));
    weft_popen_free(p);
}

typedef struct endless {
    weft_popen *p;
    int n;
} endless;

/* Whoever looks for the next line finds it there. */
static int ask_for_another(const char *line, size_t size, void *arg)
{
    endless *e = arg;
    (void)line;
    CHECK_INT(3, size);
    CHECK_INT(4, write(weft_popen_fd(e->p, 0), "foo\n", 4));
    CHECK_BETWEEN(1, WEFT_POLLIN | WEFT_POLLHUP, weft_fd_wait(weft_popen_fd(e->p, 1), WEFT_POLLIN, WEFT_FOREVER));
    return ++e->n == 1000 ? -EINTR : 0;
}

/* P179 */
TEST_IN(THREAD | CO, lines_of_a_program_that_never_stops_writing_end_at_the_deadline)
{
    endless e = {0};
    CHECK_OK(weft_popen_start(&e.p, ARGV("cat"), &(weft_popen_options){.in = WEFT_PIPE, .out = WEFT_PIPE}));
    CHECK_INT(4, write(weft_popen_fd(e.p, 0), "foo\n", 4));
    CHECK_BETWEEN(1, WEFT_POLLIN | WEFT_POLLHUP, weft_fd_wait(weft_popen_fd(e.p, 1), WEFT_POLLIN, WEFT_FOREVER));
    CHECK_ERR(-ETIMEDOUT, weft_popen_lines(e.p, 1, ask_for_another, &e, WEFT_NOW));
    int n = e.n;
    CHECK_BETWEEN(1, 100, n);
    CHECK_ERR(-ETIMEDOUT, weft_popen_lines(e.p, 1, ask_for_another, &e, WEFT_NOW)); /* and goes on where it was */
    CHECK_BETWEEN(n + 1, n + 100, e.n);
    CHECK_OK(weft_popen_end(e.p, 0));
    weft_popen_free(e.p);
}

/* P179: all of it is there, and it is more than a pipe holds by itself; without a bound it would be read for as long as
 * a program goes on writing. */
TEST_IN(THREAD | CO, communicate_reads_at_the_deadline_what_was_there_and_ends)
{
    weft_popen *p;
    weft_run_result r = {0};
    CHECK_OK(weft_popen_start(&p, SHELL("read x; head -c 524288 /dev/zero"),
                              &(weft_popen_options){.in = WEFT_PIPE, .out = WEFT_PIPE}));
    int out = weft_popen_fd(p, 1), there = 0;
    CHECK_BETWEEN(524288, 1 << 30, fcntl(out, F_SETPIPE_SZ, 524288));
    CHECK_INT(1, write(weft_popen_fd(p, 0), "\n", 1));
    CHECK_OK(weft_popen_wait(p, NULL, WEFT_FOREVER));
    CHECK_ERR(-ETIMEDOUT, weft_popen_communicate(p, NULL, 0, &r, WEFT_NOW));
    CHECK_INT(0, ioctl(out, FIONREAD, &there));
    CHECK_BETWEEN(1, 524287, there);
    CHECK_OK(weft_popen_communicate(p, NULL, 0, &r, WEFT_FOREVER));
    CHECK_INT(524288, r.output_size); /* nothing is lost */
    weft_run_free(&r);
    weft_popen_free(p);
}

/* S004-12: a dialogue */
TEST(dialogue_with_an_interactive_program)
{
    expect(SHELL("while read -r line; do [ \"$line\" = exit ] && exit 3; echo \"> $line\"; done"),
           (weft_run_options){.input = "set q=mx\npython.org\nexit\n"}, 3, "> set q=mx\n> python.org\n");
}

/* ---- ending ---- */

TEST_IN(THREAD | CO, wait_poll_and_signal_agree)
{
    weft_popen *p;
    int code = 77;
    CHECK_OK(weft_popen_start(&p, ARGV("sleep", "100"), NULL));
    CHECK(weft_popen_pid(p) > 1);
    CHECK_ERR(-EAGAIN, weft_popen_poll(p, &code));
    CHECK_ERR(-ETIMEDOUT, weft_popen_wait(p, &code, weft_in_ms(5)));
    CHECK_INT(77, code);
    CHECK_OK(weft_popen_signal(p, SIGTERM));
    CHECK_OK(weft_popen_wait(p, &code, WEFT_FOREVER));
    CHECK_INT(-SIGTERM, code);
    CHECK_OK(weft_popen_wait(p, &code, WEFT_NOW));
    CHECK_OK(weft_popen_poll(p, &code));
    CHECK_ERR(-ESRCH, weft_popen_signal(p, SIGTERM));
    CHECK(weft_fd_wait(weft_popen_sentinel(p), WEFT_POLLIN, WEFT_NOW) & WEFT_POLLIN);
    weft_popen_free(p);
}

static int gone(pid_t pid)
{
    char path[64], line[256] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return 1;
    int zombie = fgets(line, sizeof line, f) != NULL && strstr(line, ") Z ") != NULL;
    fclose(f);
    return zombie;
}

/* A deadline ends the whole tree: a child that ignores SIGTERM, a grandchild in a session of its own, and one that
 * keeps the pipe open. */
TEST_IN(THREAD | CO, deadline_ends_the_whole_tree)
{
    weft_run_result r = {0};
    const char *line = "trap '' TERM; (trap '' TERM; setsid sh -c 'trap \"\" TERM; echo $$; sleep 1000; :') & "
                       "sleep 1000 & echo $!; echo $$; wait; wait; sleep 1000";
    int pids[3], ms = 250;
    do { /* until the whole tree was there in time */
        weft_run_free(&r);
        ms *= 2;
        int64_t start = weft_now();
        weft_run_options options = {.capture = 1, .until = weft_in_ms(ms), .popen.grace = 20 * WEFT_MS};
        CHECK_ERR(-ETIMEDOUT, weft_run(SHELL(line), &options, &r));
        CHECK(weft_now() - start >= ms * WEFT_MS);
        CHECK_INT(1, r.timed_out);
        CHECK_INT(-SIGKILL, r.code);
    } while (sscanf(r.output, "%d %d %d", &pids[0], &pids[1], &pids[2]) < 3);
    for (int i = 0; i < 3; i++)
        while (!gone(pids[i])) /* killed already; init may take a moment to bury it */
            sched_yield();
    weft_run_free(&r);
}

/* Who ends at the first signal leaves its children to init: they are ended, too, in whatever session they are. */
TEST_IN(THREAD | CO, deadline_ends_children_whose_parent_has_just_ended)
{
    weft_run_result r = {0};
    const char *line = "setsid sh -c 'sleep 1000 & echo $!; echo $$; wait' & echo $$; wait";
    int pids[3], ms = 100;
    do {
        weft_run_free(&r);
        ms *= 2;
        CHECK_ERR(-ETIMEDOUT, weft_run(SHELL(line), &(weft_run_options){.capture = 1, .until = weft_in_ms(ms)}, &r));
    } while (sscanf(r.output, "%d %d %d", &pids[0], &pids[1], &pids[2]) < 3);
    for (int i = 0; i < 3; i++)
        while (!gone(pids[i]))
            sched_yield();
    weft_run_free(&r);
}

/* ... and has its grace; and nobody is asked twice. */
TEST_IN(THREAD | CO, deadline_asks_each_once_and_gives_each_its_grace)
{
    weft_run_result r = {0};
    const char *line = "(trap 'sleep 0.1; echo bye' TERM; echo up; sleep 1000 & wait; wait; sleep 0.1) & wait";
    int ms = 100;
    do {
        weft_run_free(&r);
        ms *= 2;
        weft_run_options options = {.capture = 1, .until = weft_in_ms(ms), .popen.grace = 60 * WEFT_SECOND};
        CHECK_ERR(-ETIMEDOUT, weft_run(SHELL(line), &options, &r));
    } while (strncmp(r.output, "up", 2) != 0);
    CHECK_STR("up\nbye\n", r.output);
    weft_run_free(&r);
}

/* The first words of weft/subprocess.h */
TEST(result_of_what_did_not_start_may_be_freed)
{
    weft_run_result r;
    memset(&r, 0xa5, sizeof r);
    CHECK_ERR(-ENOENT, weft_run(ARGV("no-such-program"), &(weft_run_options){.capture = 1}, &r));
    CHECK(r.output == NULL && r.error == NULL);
    weft_run_free(&r);
}

static int run_long(void *arg)
{
    weft_run_result r;
    int err = weft_run(ARGV("sleep", "1000"), NULL, &r);
    *(int *)arg = err;
    return err;
}

TEST(cancelled_run_ends_its_program)
{
    weft_co *co;
    int result = 0;
    CHECK_OK(weft_co_start(&co, run_long, &result, NULL));
    weft_sleep(weft_in_ms(20));
    weft_co_cancel(co);
    CHECK_OK(weft_co_join(co, NULL, WEFT_FOREVER));
    CHECK_ERR(-ECANCELED, result);
}

static int ask_for_code(void *arg)
{
    int code, err = weft_popen_wait(arg, &code, WEFT_FOREVER);
    return err < 0 ? err : code;
}

TEST(wait_for_a_program_that_has_ended_is_not_cancelled)
{
    weft_co *co;
    weft_popen *p;
    int result;
    CHECK_OK(weft_popen_start(&p, SHELL("exit 3"), NULL));
    CHECK(weft_fd_wait(weft_popen_sentinel(p), WEFT_POLLIN, WEFT_FOREVER) > 0);
    CHECK_OK(weft_co_start(&co, ask_for_code, p, NULL));
    weft_co_cancel(co); /* before it has run */
    CHECK_OK(weft_co_join(co, &result, WEFT_FOREVER));
    CHECK_INT(3, result);
    weft_popen_free(p);
}

/* no zombie, also of those that were let go while they ran */
TEST(freed_program_runs_on_and_is_reaped)
{
    weft_popen *p;
    int ends[2];
    CHECK_INT(0, pipe2(ends, O_CLOEXEC));
    CHECK_OK(weft_popen_start(&p, ARGV("cat"), &(weft_popen_options){.in = WEFT_FILE, .in_fd = ends[0]}));
    pid_t pid = weft_popen_pid(p);
    int pidfd = weft_popen_sentinel(p);
    weft_popen_free(p);
    CHECK_INT(0, kill(pid, 0));
    close(ends[0]);
    close(ends[1]); /* now cat ends */
    while (kill(pid, 0) == 0 || fcntl(pidfd, F_GETFD) >= 0)
        weft_sleep(weft_in_ms(1));
}

static int wait_for_end(void *arg)
{
    int code = 1;
    int err = weft_popen_wait(arg, &code, WEFT_FOREVER);
    return err < 0 ? err : code;
}

TEST(several_may_wait_for_one_end)
{
    weft_popen *p;
    weft_co *co[8];
    CHECK_OK(weft_popen_start(&p, SHELL("read x; exit 5"), &(weft_popen_options){.in = WEFT_PIPE}));
    for (int i = 0; i < 8; i++)
        CHECK_OK(weft_co_start(&co[i], wait_for_end, p, NULL));
    CHECK_INT(1, write(weft_popen_fd(p, 0), "\n", 1));
    for (int i = 0; i < 8; i++) {
        int code;
        CHECK_OK(weft_co_join(co[i], &code, WEFT_FOREVER));
        CHECK_INT(5, code);
    }
    weft_popen_free(p);
}

static int run_true(void *arg)
{
    (void)arg;
    int code = 1, err = weft_call(ARGV("true"), &code);
    return err < 0 ? err : code;
}

TEST(many_programs_at_once_from_coroutines)
{
    enum {
        N = 60
    };
    weft_co *co[N];
    int before = count_fds();
    for (int i = 0; i < N; i++)
        CHECK_OK(weft_co_start(&co[i], run_true, NULL, NULL));
    for (int i = 0; i < N; i++) {
        int code = 1;
        CHECK_OK(weft_co_join(co[i], &code, WEFT_FOREVER));
        CHECK_INT(0, code);
    }
    CHECK_BETWEEN(before, before + 16, count_fds()); /* schedulers' pollers, no more */
    CHECK_INT(-1, waitpid(-1, NULL, WNOHANG));
}

/* S004-09, S004-10 */
TEST(short_forms)
{
    int code;
    CHECK_OK(weft_call(SHELL("exit 3"), &code));
    CHECK_INT(3, code);
    CHECK_OK(weft_check_call(ARGV("true")));
    CHECK_ERR(-WEFT_EEXIT, weft_check_call(ARGV("false")));
    CHECK_ERR(-ENOENT, weft_check_call(ARGV("/no/such")));
    char *text;
    size_t size;
    CHECK_OK(weft_check_output(ARGV("echo", "hello"), &text, &size));
    CHECK_INT(6, size);
    CHECK_STR("hello\n", text);
    free(text);
    CHECK_OK(weft_check_output(ARGV("true"), &text, &size));
    CHECK_INT(0, size);
    free(text);
    CHECK_ERR(-WEFT_EEXIT, weft_check_output(SHELL("echo why; exit 3"), &text, &size));
    CHECK_STR("why\n", text);
    free(text);
    CHECK_ERR(-ENOENT, weft_check_output(ARGV("/no/such"), &text, &size));
}
