/* case.c - one case inside its own process: set up, run the body, look for descriptors it left open, exit. */
#include "base/compiler.h"
#include "harness/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define RUNNING_ON_VALGRIND 0
#endif

enum {
    MAX_FD = 4096
};

static bool keeps_fds;
double test__factor = 1;

double test__build_factor(void)
{
    if (RUNNING_ON_VALGRIND)
        return 20;
    return WEFT__TSAN ? 6 : WEFT__ASAN || WEFT_JITTER ? 3 : 1;
}

double test_limit_factor(void)
{
    return test__factor;
}

long test_rounds(long normal, long soak)
{
    const char *set = getenv("WEFT_SOAK");
    return set != NULL && set[0] != '\0' && set[0] != '0' ? soak : normal;
}

double test__now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* --- descriptors --- */

/* Mark the open descriptors in `open_fds` (which may be NULL) and return how many there are. */
static int list_fds(bool *open_fds)
{
    DIR *dir = opendir("/proc/self/fd");
    if (dir == NULL)
        FAIL("cannot read /proc/self/fd: %m");
    int count = 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char *end;
        long fd = strtol(entry->d_name, &end, 10);
        if (end == entry->d_name || *end != '\0' || fd == dirfd(dir))
            continue;
        count++;
        if (open_fds != NULL && fd < MAX_FD)
            open_fds[fd] = true;
    }
    closedir(dir);
    return count;
}

int test_fd_count(void)
{
    return list_fds(NULL);
}

void test_keeps_fds(void)
{
    keeps_fds = true;
}

/* Scheduler threads keep their pollers for the life of the process; a case does not pay for having started them. */
static bool is_runtime_fd(const char *target)
{
    static const char *const kinds[] = {"[eventpoll]", "[eventfd]", "[io_uring]", "[timerfd]"};
    for (size_t i = 0; i < WEFT__ARRAY_LEN(kinds); i++)
        if (strncmp(target, "anon_inode:", 11) == 0 && strcmp(target + 11, kinds[i]) == 0)
            return true;
    return false;
}

/* The watch thread reads what the kernel says of the others, at any time, and closes it at once. */
static bool is_look_at_thread(const char *target)
{
    const char *last = strrchr(target, '/');
    return strncmp(target, "/proc/", 6) == 0 && strstr(target, "/task/") != NULL && strcmp(last, "/stat") == 0;
}

static int count_cpus(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

/* What is open that was not before, in words. True if there is something. */
static bool find_left_open(const bool *before, char *left, size_t size)
{
    static bool after[MAX_FD];
    memset(after, 0, sizeof after);
    list_fds(after);
    int forgiven = 4 * (count_cpus() + 1);
    size_t used = 0;
    for (int fd = 0; fd < MAX_FD; fd++) {
        if (!after[fd] || before[fd])
            continue;
        char path[40], target[128];
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t len = readlink(path, target, sizeof target - 1);
        bool gone = len < 0 && errno == ENOENT;
        target[len < 0 ? 0 : len] = '\0';
        if (gone || is_look_at_thread(target))
            continue;
        if (is_runtime_fd(target) && forgiven-- > 0)
            continue;
        if (used < size)
            used += (size_t)snprintf(left + used, size - used, " %d -> %s;", fd, target);
    }
    return used > 0;
}

/* A stream that a coroutine of another thread has waited on is closed by that thread, when it comes round: a busy
 * machine gets the time for it. */
static void check_fds(const bool *before)
{
    enum {
        TRIES = 300
    };
    char left[600] = "";
    for (int i = 0; find_left_open(before, left, sizeof left); i++) {
        if (i == TRIES)
            FAIL("descriptors left open:%s", left);
        usleep(10000);
    }
}

/* --- other questions a body may ask --- */

long test_rss_kb(void)
{
    long size, resident;
    FILE *statm = fopen("/proc/self/statm", "re");
    if (statm == NULL || fscanf(statm, "%ld %ld", &size, &resident) != 2)
        FAIL("cannot read /proc/self/statm: %m");
    fclose(statm);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

const char *test_dir(void)
{
    test__report *report = test__this_report;
    if (report->dir[0] == '\0') {
        char path[sizeof report->dir] = "/tmp/weft-test.XXXXXX";
        if (mkdtemp(path) == NULL)
            FAIL("mkdtemp: %m");
        memcpy(report->dir, path, sizeof path);
    }
    return report->dir;
}

/* --- the process --- */

static void set_up_process(test__report *report, int output)
{
    setpgid(0, 0);
    report->group = getpid();
    test__this_report = report;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    for (int i = 1; i < NSIG; i++) { /* nohup and shells that start something beside them have some ignored */
        struct sigaction old;
        if (sigaction(i, NULL, &old) == 0 && old.sa_handler == SIG_IGN)
            signal(i, SIG_DFL);
    }
    signal(SIGINT, SIG_DFL);
    test__dump_on_signal();
    int null = open("/dev/null", O_RDWR);
    dup2(null, STDIN_FILENO);
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    if (close_range(3, ~0u, 0) != 0)
        for (int fd = 3; fd < 1024; fd++)
            close(fd);
}

void test__run_case(const test__run *run, test__report *report, int output)
{
    set_up_process(report, output);
    static bool before[MAX_FD];
    list_fds(before);
    if (run->of->plain != NULL)
        run->of->plain();
    else
        test__run_in_context(run);
    if (!keeps_fds)
        check_fds(before);
    fflush(stdout);
    test__settle(report, CASE_RETURNED, "");
    exit(0);
}
