/* helper.c - see helper.h. */
#include "sys/helper.h"

#include "sys/sys.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

void weft__sys_signals_off(weft__signals *old)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old->mask);
    sigaction(SIGCHLD, &(struct sigaction){.sa_handler = SIG_DFL}, &old->child);
}

void weft__sys_signals_back(const weft__signals *old)
{
    sigaction(SIGCHLD, &old->child, NULL);
    pthread_sigmask(SIG_SETMASK, &old->mask, NULL);
}

void weft__sys_signals_none_blocked(void)
{
    sigset_t none;
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
}

void weft__sys_flush(void)
{
    if (__fpending(stdout) > 0)
        fflush(stdout);
    if (__fpending(stderr) > 0)
        fflush(stderr);
}

int weft__sys_child_ends(void)
{
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    int fd = signalfd(-1, &child, SFD_NONBLOCK | SFD_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

void weft__sys_child_ends_clear(int fd)
{
    struct signalfd_siginfo info;
    while (read(fd, &info, sizeof info) > 0)
        ;
}

pid_t weft__sys_reap_any(int *code)
{
    siginfo_t info = {0};
    while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG) < 0)
        if (errno != EINTR)
            return 0;
    *code = info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
    return info.si_pid;
}

static int ascending(const void *a, const void *b)
{
    return (*(const int *)a > *(const int *)b) - (*(const int *)a < *(const int *)b);
}

static void close_between(unsigned first, unsigned last)
{
    if (first > last || syscall(SYS_close_range, first, last, 0) == 0)
        return;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && last >= limit.rlim_cur)
        last = (unsigned)limit.rlim_cur;
    for (unsigned fd = first; fd <= last; fd++)
        close((int)fd);
}

void weft__sys_close_all_but(int *kept, unsigned n)
{
    unsigned first = 3;
    if (n > 0)
        qsort(kept, n, sizeof *kept, ascending);
    for (unsigned i = 0; i < n; i++) {
        if (kept[i] < (int)first)
            continue;
        close_between(first, (unsigned)kept[i] - 1);
        first = (unsigned)kept[i] + 1;
    }
    close_between(first, ~0u);
}

bool weft__sys_is_code(const void *code)
{
    Dl_info info;
    return dladdr(code, &info) != 0;
}
