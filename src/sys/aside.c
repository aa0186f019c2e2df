/* aside.c - calls for the watch thread, and looking at memory that may have been unmapped. See aside.h.
 *
 * peek: the kernel copies, so a missing page is an error and no signal. Where process_vm_readv is forbidden (some
 * sandboxes do), a pipe serves: write() of a missing page is -EFAULT as well. */
#include "sys/aside.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static int64_t read_clock(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t weft__aside_now(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

int64_t weft__aside_spent(void)
{
    return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

void weft__aside_wait(const uint32_t *word, uint32_t expected, int64_t ns)
{
    struct timespec t = {ns / 1000000000, ns % 1000000000};
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, ns == INT64_MAX ? NULL : &t, NULL, 0);
}

void weft__aside_wake(const uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

int weft__aside_thread(void *(*fn)(void *), void *arg, size_t stack_size)
{
    int err = weft__sys_fault(WEFT__SYS_WATCH);
    if (err < 0)
        return err;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, stack_size);
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pthread_t t;
    err = pthread_create(&t, &attr, fn, arg);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    return -err;
}

unsigned weft__sys_thread_count(void)
{
    struct stat s;
    return stat("/proc/self/task", &s) == 0 && s.st_nlink > 2 ? (unsigned)s.st_nlink - 2 : 0;
}

char weft__sys_thread_state(int tid)
{
    char text[256];
    const char *fields = NULL;
    snprintf(text, sizeof text, "/proc/self/task/%d/stat", tid);
    return weft__sys_stat_fields(text, text, sizeof text, &fields) == 0 && fields[0] == ' ' ? fields[1] : 0;
}

static int peek_through_pipe(void *to, const void *from, size_t size)
{
    int ends[2];
    if (size > 4096 || pipe2(ends, O_CLOEXEC) < 0)
        return -EFAULT;
    int err = write(ends[1], from, size) == (ssize_t)size && read(ends[0], to, size) == (ssize_t)size ? 0 : -EFAULT;
    close(ends[0]);
    close(ends[1]);
    return err;
}

int weft__sys_peek(void *to, const void *from, size_t size)
{
    struct iovec local = {to, size};
    struct iovec remote = {(void *)(uintptr_t)from, size};
    int err = weft__sys_fault(WEFT__SYS_PEEK);
    long n = err < 0 ? err : syscall(SYS_process_vm_readv, getpid(), &local, 1L, &remote, 1L, 0L);
    if (n == (long)size)
        return 0;
    return err == 0 && n < 0 && errno == EFAULT ? -EFAULT : peek_through_pipe(to, from, size);
}
