/* helper.c - see helper.h. */
#include "sys/helper.h"

#include "sys/direct.h"
#include "sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <sys/prctl.h>
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
    if (old->child.sa_handler != SIG_DFL || old->child.sa_flags != 0) /* else it is so now */
        sigaction(SIGCHLD, &old->child, NULL);
    pthread_sigmask(SIG_SETMASK, &old->mask, NULL);
}

WEFT__FORK_TEXT void weft__sys_signals_none_blocked(void)
{
    sigset_t none;
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
    weft__sys_holds_signals = false;
}

WEFT__FORK_TEXT void weft__sys_flush(void)
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
    while (read(fd, &info, sizeof info) < 0 && errno == EINTR)
        ; /* however many have ended, it is one signal */
}

void weft__sys_stdin_back(int kept)
{
    if (kept < 0 || dup2(kept, 0) < 0)
        close(0);
}

int weft__sys_above_streams(int fd)
{
    if (fd > 2)
        return fd;
    int above = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    int err = above < 0 ? -errno : above;
    close(fd);
    return err;
}

pid_t weft__sys_ended(pid_t pid, int *code)
{
    siginfo_t info = {0};
    while (waitid(pid > 0 ? P_PID : P_ALL, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0)
        if (errno != EINTR)
            return 0;
    *code = info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
    return info.si_pid;
}

void weft__sys_set_group(pid_t group)
{
    weft__direct(SYS_setpgid, 0, group, 0, 0, 0, 0);
}

void weft__sys_set_name(const char *name)
{
    weft__direct(SYS_prctl, PR_SET_NAME, name, 0, 0, 0, 0);
}

static void sort(int *a, unsigned n)
{
    for (unsigned i = 1; i < n; i++)
        for (unsigned k = i; k > 0 && a[k - 1] > a[k]; k--) {
            int higher = a[k - 1];
            a[k - 1] = a[k];
            a[k] = higher;
        }
}

static void close_between(unsigned first, unsigned last)
{
    if (first > last || weft__direct(SYS_close_range, first, last, 0, 0, 0, 0) == 0)
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
    sort(kept, n);
    for (unsigned i = 0; i < n; i++) {
        if (kept[i] < (int)first)
            continue;
        close_between(first, (unsigned)kept[i] - 1);
        first = (unsigned)kept[i] + 1;
    }
    close_between(first, ~0u);
}

typedef struct looked {
    const void *code;
    uint64_t loads;
    unsigned files;
    bool found;
} looked;

static int look_into(struct dl_phdr_info *info, size_t size, void *arg)
{
    looked *l = arg;
    if (size >= offsetof(struct dl_phdr_info, dlpi_subs) + sizeof info->dlpi_subs)
        l->loads = info->dlpi_adds + info->dlpi_subs;
    for (unsigned i = 0; i < info->dlpi_phnum && !l->found; i++) {
        const ElfW(Phdr) *h = &info->dlpi_phdr[i];
        l->found = h->p_type == PT_LOAD && (h->p_flags & PF_X) &&
                   (uintptr_t)l->code - (info->dlpi_addr + h->p_vaddr) < h->p_memsz;
    }
    if (l->found && l->files == 0)
        l->loads = 0; /* the program itself, which comes first */
    l->files++;
    return l->found;
}

bool weft__sys_is_code_of(const void *code, uint64_t *loads)
{
    looked l = {.code = code};
    dl_iterate_phdr(look_into, &l);
    *loads = l.loads;
    return l.found;
}

bool weft__sys_is_code(const void *code)
{
    return weft__sys_is_code_of(code, &(uint64_t){0});
}
