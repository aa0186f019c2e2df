/* spawn.c - see spawn.h.
 *
 * The child shares the parent's memory and thread-local storage while the parent's thread is suspended (CLONE_VFORK),
 * so it must leave both as they were: it writes nothing but the shared outcome and its own stack. Signals are blocked
 * in the parent first; the child, whose table of handlers is its own copy, sets them all to default before it empties
 * its mask, so that no handler of the parent ever runs in the child. Sanitizers must not look into it: they would keep
 * books of calls that never return.
 *
 * Where a child runs a `before` function, and so has a copy of the memory, the outcome lies in a shared mapping; else
 * that would be a file made for nothing, and the stack is kept for the next child: to map and unmap one takes two
 * calls, pages to clear, and an interruption of each processor that runs a thread of the program. */
#include "sys/spawn.h"

#include "base/atomic.h"
#include "base/compiler.h"
#include "sys/direct.h"
#include "sys/net.h"
#include "sys/sigpipe.h"
#include "sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if defined(__clang__)
#define UNTRACED __attribute__((disable_sanitizer_instrumentation))
#else
#define UNTRACED __attribute__((no_sanitize("address", "undefined", "thread")))
#endif

enum {
    CHILD_STACK = 64 << 10,
    BEFORE_STACK = 1 << 20, /* somebody else's function runs here */
    OUTCOME_ROOM = 64,      /* of the stack, whose alignment it keeps */
    SIGNALS = 65
};

typedef struct outcome {
    int err; /* atomic enough: the parent reads it when the child is gone from this memory */
    int stage;
} outcome;

typedef struct child {
    const weft__spawn *s;
    outcome *outcome;
    pid_t parent;
} child;

/* The child makes each system call by its number: libc's functions may be a sanitizer's, which keeps books of the
 * parent's descriptors and handlers in the memory that the two share. */
UNTRACED static int failed(const child *c, enum weft__spawn_stage stage)
{
    c->outcome->err = -errno;
    c->outcome->stage = stage;
    syscall(SYS_exit_group, 127);
    __builtin_unreachable();
}

/* As the kernel has it. */
typedef struct kernel_sigaction {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
} kernel_sigaction;

UNTRACED static void default_signals(void)
{
    for (int i = 1; i < SIGNALS; i++) {
        kernel_sigaction now;
        if (syscall(SYS_rt_sigaction, i, NULL, &now, sizeof now.mask) != 0 || now.handler == SIG_DFL)
            continue;
        now.handler = SIG_DFL;
        now.flags = 0;
        now.mask = 0;
        syscall(SYS_rt_sigaction, i, &now, NULL, sizeof now.mask);
    }
}

/* Put the three streams in their places. One of them may lie where another shall go, so those are moved away first. */
UNTRACED static int place_streams(const weft__spawn *s)
{
    int from[3];
    for (int i = 0; i < 3; i++) {
        from[i] = s->streams[i];
        if (from[i] >= 0 && from[i] <= 2 && from[i] != i &&
            (from[i] = (int)syscall(SYS_fcntl, from[i], F_DUPFD_CLOEXEC, 3)) < 0)
            return -1;
    }
    for (int i = 0; i < 3; i++) {
        if (from[i] == i && syscall(SYS_fcntl, i, F_SETFD, 0) < 0)
            return -1;
        if (from[i] >= 0 && from[i] != i && syscall(SYS_dup3, from[i], i, 0) < 0)
            return -1;
    }
    return 0;
}

UNTRACED static int close_from(unsigned first, unsigned last)
{
    if (first > last || syscall(SYS_close_range, first, last, 0) == 0)
        return 0;
    if (errno != ENOSYS)
        return -1;
    struct rlimit limit;
    if (syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &limit) == 0 && last >= limit.rlim_cur)
        last = (unsigned)limit.rlim_cur;
    for (unsigned fd = first; fd <= last; fd++)
        syscall(SYS_close, fd);
    return 0;
}

UNTRACED static int keep_passed(const weft__spawn *s)
{
    unsigned first = 3;
    for (unsigned i = 0; i < s->passed_count; i++) {
        unsigned fd = (unsigned)s->passed[i];
        if (syscall(SYS_fcntl, fd, F_SETFD, 0) < 0)
            return -1;
        if (fd > first && close_from(first, fd - 1) < 0)
            return -1;
        first = fd + 1;
    }
    return close_from(first, ~0u);
}

/* All are moved away first, as any of them may lie where another shall go. */
UNTRACED static int place_passed(const weft__spawn *s)
{
    int away[WEFT__SPAWN_PLACED_MOST], first = 3, behind = first + (int)s->placed_count;
    for (unsigned i = 0; i < s->placed_count; i++)
        if ((away[i] = (int)syscall(SYS_fcntl, s->placed[i], F_DUPFD_CLOEXEC, behind)) < 0)
            return -1;
    for (unsigned i = 0; i < s->placed_count; i++)
        if (syscall(SYS_dup3, away[i], first + (int)i, 0) < 0)
            return -1;
    return close_from((unsigned)behind, ~0u);
}

UNTRACED static void write_pid(char *text)
{
    char digits[WEFT__SPAWN_PID_SIZE];
    int n = 0;
    for (long pid = syscall(SYS_getpid); pid > 0; pid /= 10)
        digits[n++] = (char)('0' + pid % 10);
    while (n > 0)
        *text++ = digits[--n];
    *text = 0;
}

UNTRACED static int take_ids(const weft__spawn *s)
{
    return syscall(SYS_setgroups, 0, NULL) == 0 && syscall(SYS_setresgid, s->gid, s->gid, s->gid) == 0 &&
                   syscall(SYS_setresuid, s->uid, s->uid, s->uid) == 0
               ? 0
               : -1;
}

UNTRACED static int set_up(const child *c)
{
    const weft__spawn *s = c->s;
    if (s->new_session && syscall(SYS_setsid) < 0)
        return -1;
    if (s->new_group && !s->new_session && syscall(SYS_setpgid, 0, 0) < 0)
        return -1;
    if (s->set_umask)
        syscall(SYS_umask, s->umask);
    if (place_streams(s) < 0)
        return -1;
    for (unsigned i = 0; i < s->limit_count; i++)
        if (syscall(SYS_prlimit64, 0, s->limits[i].resource, &s->limits[i].limit, NULL) < 0)
            return -1;
    if (s->set_ids && take_ids(s) < 0)
        return -1;
    /* After the ids, whose change takes the wish back. The parent may have ended before it was made. */
    if (s->death_signal != 0 &&
        (syscall(SYS_prctl, PR_SET_PDEATHSIG, s->death_signal, 0, 0, 0) < 0 || syscall(SYS_getppid) != c->parent)) {
        errno = ESRCH;
        return -1;
    }
    return 0;
}

/* The first candidate that is there and can be executed; what is there and cannot beats what is not there. */
UNTRACED static void execute(const weft__spawn *s)
{
    int err = ENOENT;
    for (const char *const *path = s->paths; *path != NULL; path++) {
        syscall(SYS_execve, *path, s->argv, s->env);
        if (errno != ENOENT && errno != ENOTDIR && err == ENOENT)
            err = errno;
        if (errno == ENOEXEC || errno == E2BIG || errno == ENOMEM)
            break;
    }
    errno = err;
}

UNTRACED static int child_main(void *arg)
{
    const child *c = arg;
    const weft__spawn *s = c->s;
    default_signals();
    if (set_up(c) < 0)
        return failed(c, WEFT__SPAWN_SETUP);
    if (s->cwd != NULL && syscall(SYS_chdir, s->cwd) < 0)
        return failed(c, WEFT__SPAWN_CWD);
    if (s->before != NULL) {
        int err = s->before(s->before_arg);
        errno = -err;
        if (err < 0)
            return failed(c, WEFT__SPAWN_SETUP);
    }
    if ((s->placed_count > 0 ? place_passed(s) : keep_passed(s)) < 0)
        return failed(c, WEFT__SPAWN_SETUP);
    if (s->pid_text != NULL)
        write_pid(s->pid_text);
    uint64_t none = 0;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof none);
    execute(s);
    return failed(c, WEFT__SPAWN_EXEC);
}

/* libc's own clone: ThreadSanitizer's takes every clone for a fork. */
int __clone(int (*fn)(void *), void *stack, int flags, void *arg, ...);

/* What a child runs on, and says its outcome in. */
typedef struct room {
    char *low;
    size_t size;
    bool shared;
    outcome *outcome; /* at the top: the stack begins below */
} room;

static char *kept_room; /* atomic: one of CHILD_STACK that is not in use */

/* False: no memory. */
static bool take_room(room *r, bool shared)
{
    r->shared = shared;
    r->size = shared ? BEFORE_STACK : CHILD_STACK;
    r->low = shared ? NULL : swap_acq_rel(&kept_room, NULL);
    if (r->low == NULL) {
        int flags = MAP_ANONYMOUS | (shared ? MAP_SHARED : MAP_PRIVATE);
        r->low = mmap(NULL, r->size, PROT_READ | PROT_WRITE, flags, -1, 0);
        if (r->low == MAP_FAILED)
            return false;
    }
    r->outcome = (outcome *)(r->low + r->size - OUTCOME_ROOM);
    *r->outcome = (outcome){0};
    return true;
}

static void give_room(room *r)
{
    char *none = NULL;
    if (r->shared || !cas_acq_rel(&kept_room, &none, r->low))
        munmap(r->low, r->size);
}

int weft__sys_spawn(const weft__spawn *s, pid_t *pid, int *pidfd, enum weft__spawn_stage *stage)
{
    *stage = WEFT__SPAWN_FORK;
    int err = weft__sys_fault(WEFT__SYS_FORK);
    if (err < 0)
        return err;
    room r;
    if (!take_room(&r, s->before != NULL))
        return -ENOMEM;
    child c = {.s = s, .outcome = r.outcome, .parent = getpid()};

    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int flags = CLONE_VFORK | CLONE_PIDFD | SIGCHLD | (s->before == NULL ? CLONE_VM : 0);
    int fd = -1;
    pid_t p = __clone(child_main, r.outcome, flags, &c, &fd);
    err = p < 0 ? -errno : 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);

    if (p >= 0 && c.outcome->err != 0) {
        err = c.outcome->err;
        *stage = (enum weft__spawn_stage)c.outcome->stage;
        while (waitid(P_PIDFD, (id_t)fd, &(siginfo_t){0}, WEXITED) < 0 && errno == EINTR)
            ;
        close(fd);
    }
    give_room(&r);
    if (err < 0)
        return err;
    *pid = p;
    *pidfd = fd;
    return 0;
}

int weft__sys_pidfd_reap(int pidfd, int *code)
{
    siginfo_t info = {0};
    while (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG) < 0)
        if (errno != EINTR)
            return -errno;
    if (info.si_pid == 0)
        return -EAGAIN;
    *code = info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
    return 0;
}

bool weft__sys_pidfd_ended(int pidfd)
{
    siginfo_t info = {0};
    while (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG | WNOWAIT) < 0)
        if (errno != EINTR)
            return true;
    return info.si_pid != 0;
}

int weft__sys_pidfd_signal(int pidfd, int signal)
{
    return syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}

int weft__sys_pidfd_open(pid_t pid)
{
    long fd = syscall(SYS_pidfd_open, pid, 0);
    return fd < 0 ? -errno : (int)fd;
}

void weft__sys_reap(pid_t pid)
{
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

int weft__sys_kill(pid_t pid, int signal)
{
    return kill(pid, signal) < 0 ? -errno : 0;
}

int weft__sys_kin(pid_t pid, weft__kin *kin)
{
    char buf[512];
    const char *fields = NULL;
    int parent, group;
    unsigned long long start;
    snprintf(buf, sizeof buf, "/proc/%d/stat", (int)pid);
    /* 3 state, 4 parent, 5 group ... 22 start */
    if (weft__sys_stat_fields(buf, buf, sizeof buf, &fields) < 0 ||
        sscanf(fields, " %*c %d %d %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu", &parent,
               &group, &start) != 3)
        return -ESRCH;
    *kin = (weft__kin){parent, group, start};
    return 0;
}

void weft__sys_death_signal(int signal)
{
    weft__direct(SYS_prctl, PR_SET_PDEATHSIG, signal, 0, 0, 0, 0);
}

void weft__sys_ignore(int which)
{
    signal(which, SIG_IGN);
}

bool weft__sys_hold_signal(int which)
{
    struct sigaction now;
    sigset_t set;
    if (sigaction(which, NULL, &now) < 0 || (now.sa_flags & SA_SIGINFO) || now.sa_handler != SIG_DFL)
        return false;
    sigemptyset(&set);
    sigaddset(&set, which);
    return pthread_sigmask(SIG_BLOCK, &set, NULL) == 0;
}

void weft__sys_await_signal(int which)
{
    sigset_t set;
    int got = 0;
    sigemptyset(&set);
    sigaddset(&set, which);
    while (sigwait(&set, &got) != 0 || got != which) {
    }
}

int weft__sys_null(int stream)
{
    int fd = open("/dev/null", (stream == 0 ? O_RDONLY : O_WRONLY) | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* Where a child has been already, as every other page costs it something. */
static WEFT__FORK_PAGE char null_path[] = "/dev/null";

WEFT__FORK_TEXT void weft__sys_null_stdin(void)
{
    int fd = (int)weft__direct(SYS_openat, AT_FDCWD, null_path, O_RDONLY, 0, 0, 0);
    if (fd < 0 || (fd > 0 && weft__direct(SYS_dup3, fd, 0, 0, 0, 0, 0) < 0))
        weft__sys_close(0);
    if (fd > 0)
        weft__sys_close(fd);
}

int weft__sys_close_on_exec(int fd)
{
    return fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ? -errno : 0;
}

int weft__sys_pipe(int ends[2])
{
    int err = weft__sys_fault(WEFT__SYS_PIPE);
    if (err < 0)
        return err;
    return pipe2(ends, O_CLOEXEC) < 0 ? -errno : 0;
}

ssize_t weft__sys_pipe_read(int fd, void *buf, size_t size)
{
    int err = weft__sys_fault(WEFT__SYS_READ);
    if (err < 0)
        return err;
    ssize_t n;
    while ((n = read(fd, buf, size)) < 0 && errno == EINTR)
        ;
    return n < 0 ? -errno : n;
}

ssize_t weft__sys_pipe_write(int fd, const void *buf, size_t size)
{
    int err = weft__sys_fault(WEFT__SYS_WRITE);
    if (err < 0)
        return err;
    weft__sigpipe broken;
    weft__sigpipe_block(&broken);
    ssize_t n;
    while ((n = write(fd, buf, size)) < 0 && errno == EINTR)
        ;
    if (n < 0)
        n = -errno;
    weft__sigpipe_restore(&broken, n, size);
    return n;
}
