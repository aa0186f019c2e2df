/* keeper.c - the parent of one case. Being a subreaper it inherits every process the case leaves behind, so nothing a
 * case started outlives it unseen. It ends when its last child has. */
#include "base/atomic.h"
#include "harness/internal.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* How long a process that lost its parent has to notice and end by itself. */
#define LEFT_OVER_GRACE 1.0

/* How long a case that hangs has to say who sleeps. */
#define DUMP_TIME 0.2

/* A limit is for an idle machine: what it withheld meanwhile is given on top, up to so many limits in all. */
#define LIMITS_MOST 4

/* Text into the case's output, after what the case itself wrote. */
static void add_output(int output, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void add_output(int output, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vdprintf(output, fmt, args);
    va_end(args);
}

/* Wait for the next SIGCHLD, which is blocked, at most until `deadline`. Returns false once that has passed. */
static bool wait_child_event(double deadline)
{
    double left = deadline - test__now();
    if (left <= 0)
        return false;
    struct timespec timeout = {(time_t)left, (long)((left - (double)(time_t)left) * 1e9)};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigtimedwait(&set, NULL, &timeout);
    return true;
}

/* The case has failed, even if its body came to its end; only an earlier failure goes before this one. */
static void fail_case(test__report *report, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void fail_case(test__report *report, const char *fmt, ...)
{
    char message[sizeof report->message];
    va_list args;
    va_start(args, fmt);
    vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    int seen = load_acquire(&report->state);
    if (seen == CASE_RETURNED || seen == CASE_SKIPPED)
        cas_acq_rel(&report->state, &seen, CASE_RUNNING);
    test__settle(report, CASE_FAILED, message);
}

/* --- who is there --- */

static void read_line(const char *path, char *line, size_t size)
{
    line[0] = '\0';
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return;
    if (fgets(line, (int)size, file) == NULL)
        line[0] = '\0';
    fclose(file);
    line[strcspn(line, "\n")] = '\0';
}

/* Name, parent and group of a process, from its stat line "pid (name) state parent group ...". */
static bool read_stat(int pid, char name[32], int *parent, int *group)
{
    char path[40], line[512];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    read_line(path, line, sizeof line);
    char *open = strchr(line, '('), *close = strrchr(line, ')');
    if (open == NULL || close == NULL || sscanf(close + 1, " %*c %d %d", parent, group) != 2)
        return false;
    snprintf(name, 32, "%.*s", (int)(close - open - 1), open + 1);
    return true;
}

static void each_process(void (*visit)(int pid, const char *name, int parent, int group, void *arg), void *arg)
{
    DIR *proc = opendir("/proc");
    if (proc == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(proc)) != NULL;) {
        int pid = atoi(entry->d_name), parent, group;
        char name[32];
        if (pid > 0 && read_stat(pid, name, &parent, &group))
            visit(pid, name, parent, group, arg);
    }
    closedir(proc);
}

/* --- what the machine withholds --- */

/* Seconds, since it started, in which this machine had less to give than was asked for: something waited for a
 * processor, or the host had taken it away. */
static double withheld(void)
{
    char line[160];
    unsigned long long waited = 0, stolen = 0;
    read_line("/proc/pressure/cpu", line, sizeof line);
    const char *total = strstr(line, "total=");
    if (total == NULL || sscanf(total, "total=%llu", &waited) != 1)
        waited = 0;
    read_line("/proc/stat", line, sizeof line);
    if (sscanf(line, "cpu %*u %*u %*u %*u %*u %*u %*u %llu", &stolen) != 1)
        stolen = 0;
    return (double)waited / 1e6 + (double)stolen / (double)(sysconf(_SC_CLK_TCK) * sysconf(_SC_NPROCESSORS_ONLN));
}

/* When a limit of so many seconds ends. Asked again when that has come, it may be later. */
struct limit {
    double seconds, start, withheld;
};

static struct limit limit_begin(double seconds)
{
    return (struct limit){seconds, test__now(), withheld()};
}

static double limit_end(const struct limit *l)
{
    double more = withheld() - l->withheld, most = (LIMITS_MOST - 1) * l->seconds;
    return l->start + l->seconds + (more < most ? more : most);
}

/* --- a case that hangs: where each of its threads is --- */

struct hang {
    int output;
    pid_t group;
};

static void describe_threads(int pid, const char *name, int parent, int group, void *arg)
{
    const struct hang *h = arg;
    if (group != h->group && parent != getpid())
        return;
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *tasks = opendir(path);
    if (tasks == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(tasks)) != NULL;) {
        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        char file[400], thread[64], place[64], call[200];
        snprintf(file, sizeof file, "%s/%s/comm", path, entry->d_name);
        read_line(file, thread, sizeof thread);
        snprintf(file, sizeof file, "%s/%s/wchan", path, entry->d_name);
        read_line(file, place, sizeof place);
        snprintf(file, sizeof file, "%s/%s/syscall", path, entry->d_name);
        read_line(file, call, sizeof call);
        add_output(h->output, "at the limit: process %d (%s) thread %s (%s) in %s, system call %s\n", pid, name,
                   entry->d_name, thread, place, call);
    }
    closedir(tasks);
}

/* --- what a case leaves behind --- */

struct left_over {
    char text[400];
    size_t used;
};

static void name_child(int pid, const char *name, int parent, int group, void *arg)
{
    struct left_over *l = arg;
    (void)group;
    if (parent == getpid() && l->used < sizeof l->text)
        l->used += (size_t)snprintf(l->text + l->used, sizeof l->text - l->used, " %d (%s)", pid, name);
}

static void kill_child(int pid, const char *name, int parent, int group, void *arg)
{
    (void)name, (void)group, (void)arg;
    if (parent == getpid())
        kill(pid, SIGKILL);
}

/* Wait for all children to end by themselves within so many seconds. Returns whether they did. */
static bool await_children(double seconds)
{
    struct limit limit = limit_begin(seconds);
    for (;;) {
        pid_t pid = waitpid(-1, NULL, WNOHANG);
        if (pid < 0)
            return true;
        if (pid == 0 && !wait_child_event(limit_end(&limit)))
            return false;
    }
}

static void end_left_over(test__report *report)
{
    if (await_children(LEFT_OVER_GRACE * test__factor))
        return;
    struct left_over left = {.text = "processes left running:", .used = strlen("processes left running:")};
    each_process(name_child, &left);
    fail_case(report, "%s", left.text);
    do {
        each_process(kill_child, NULL);
    } while (!await_children(0.1));
}

/* --- the verdict --- */

static bool output_contains(int output, const char *text)
{
    off_t size = lseek(output, 0, SEEK_END);
    char *all = malloc((size_t)size + 1);
    bool found = false;
    if (all != NULL && pread(output, all, (size_t)size, 0) == size) {
        all[size] = '\0';
        for (off_t i = 0; i < size; i++) /* a NUL in the output must not hide the rest */
            if (all[i] == '\0')
                all[i] = ' ';
        found = strstr(all, text) != NULL;
    }
    free(all);
    return found;
}

static void judge_panic(const test__case *c, test__report *report, int status, int output)
{
    int state = load_acquire(&report->state);
    if (state == CASE_FAILED || state == CASE_SKIPPED)
        return;
    if (state == CASE_RETURNED)
        fail_case(report, "returned; expected to panic with \"%s\"", c->panics);
    else if (WIFSIGNALED(status) && WTERMSIG(status) != SIGABRT)
        fail_case(report, "ended with signal %d; expected to panic with \"%s\"", WTERMSIG(status), c->panics);
    else if (!WIFSIGNALED(status))
        fail_case(report, "ended with status %d; expected to panic with \"%s\"", WEXITSTATUS(status), c->panics);
    else if (!output_contains(output, c->panics))
        fail_case(report, "aborted without saying \"%s\"", c->panics);
    else
        test__settle(report, CASE_RETURNED, "");
}

static void judge(test__report *report, int status)
{
    int state = load_acquire(&report->state);
    if (state == CASE_FAILED || state == CASE_SKIPPED)
        return;
    const char *when = state == CASE_RETURNED ? " while exiting" : "";
    if (WIFSIGNALED(status))
        fail_case(report, "killed by signal %d (%s)%s", WTERMSIG(status), strsignal(WTERMSIG(status)), when);
    else if (WEXITSTATUS(status) != 0)
        fail_case(report, "exit status %d%s", WEXITSTATUS(status), when);
    else if (state != CASE_RETURNED)
        fail_case(report, "exited before the end of its body");
}

/* --- the keeper --- */

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

/* The case is at its limit: that is its outcome, whatever it does now. Let it say who sleeps on what, then kill it. */
static void end_at_limit(pid_t pid, double seconds, test__report *report, int output)
{
    fail_case(report, "still %s after %.0f s", load_acquire(&report->state) == CASE_RETURNED ? "exiting" : "running",
              seconds);
    each_process(describe_threads, &(struct hang){output, pid});
    kill(-pid, SIGUSR2);
    double end = test__now() + DUMP_TIME;
    while (wait_child_event(end))
        ;
    kill(-pid, SIGKILL);
}

/* Wait for the case itself. Returns its status. */
static int await_case(pid_t pid, int limit, test__report *report, int output)
{
    bool killed = false;
    struct limit until = limit_begin(limit * test__factor);
    for (;;) {
        int status;
        pid_t ended = waitpid(-1, &status, WNOHANG);
        if (ended == pid)
            return status;
        if (ended == 0 && !wait_child_event(limit_end(&until))) {
            if (!killed)
                end_at_limit(pid, test__now() - until.start, report, output);
            killed = true;
            until = limit_begin(1);
        }
    }
}

void test__keep(const test__run *run, test__report *report, int output)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    bool inherits = prctl(PR_SET_CHILD_SUBREAPER, 1) == 0; /* qemu-user has no such thing */
    sigset_t set, old;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, &old);
    double start = test__now();
    pid_t pid = fork();
    if (pid == 0) {
        sigprocmask(SIG_SETMASK, &old, NULL);
        test__run_case(run, report, output);
    }
    if (pid < 0) {
        fail_case(report, "fork: %m");
        _exit(0);
    }
    setpgid(pid, pid);
    int status = await_case(pid, run->of->limit, report, output);
    report->seconds = test__now() - start;
    if (run->of->panics != NULL) {
        judge_panic(run->of, report, status, output);
    } else {
        judge(report, status);
    }
    if (report->state == CASE_FAILED || !inherits)
        kill(-pid, SIGKILL);
    end_left_over(report);
    if (report->dir[0] != '\0')
        nftw(report->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    _exit(0);
}
