/* sys.c - clock, memory, futexes, processors, random bytes, start times, threads, eventfds. See sys.h. */
#include "sys/sys.h"

#include "sys/direct.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

int64_t weft__sys_clock_shift;

int64_t weft__sys_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec + load_relaxed(&weft__sys_clock_shift);
}

/* The kernel's idea of a point on our clock. A point before the clock's zero is its zero: long past. */
static struct timespec kernel_time(int64_t until_ns)
{
    int64_t ns = until_ns - load_relaxed(&weft__sys_clock_shift);
    if (ns < 0)
        ns = 0;
    return (struct timespec){ns / 1000000000, ns % 1000000000};
}

/* ---- memory ---- */

void *weft__malloc(size_t size)
{
    return weft__sys_fault(WEFT__SYS_MALLOC) < 0 ? NULL : malloc(size);
}

void *weft__calloc(size_t n, size_t size)
{
    return weft__sys_fault(WEFT__SYS_MALLOC) < 0 ? NULL : calloc(n, size);
}

void *weft__realloc(void *p, size_t size)
{
    return weft__sys_fault(WEFT__SYS_MALLOC) < 0 ? NULL : realloc(p, size);
}

void weft__free(void *p)
{
    free(p);
}

int weft__sys_map(void **out, size_t size)
{
    int err = weft__sys_fault(WEFT__SYS_MMAP);
    if (err < 0)
        return err;
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return -errno;
    *out = p;
    return 0;
}

void *weft__sys_map_wiped(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    madvise(p, size, MADV_WIPEONFORK);
    return p;
}

int weft__sys_map_shared(void **out, size_t size)
{
    int err = weft__sys_fault(WEFT__SYS_MMAP);
    if (err < 0)
        return err;
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return -errno;
    *out = p;
    return 0;
}

void weft__sys_not_for_children(void *p, size_t size)
{
    madvise(p, size, MADV_DONTFORK);
}

int weft__sys_unmap(void *p, size_t size)
{
    int err = weft__sys_fault(WEFT__SYS_MUNMAP);
    return err < 0 ? err : munmap(p, size) < 0 ? -errno : 0;
}

int weft__sys_protect_none(void *p, size_t size)
{
    int err = weft__sys_fault(WEFT__SYS_MPROTECT);
    return err < 0 ? err : mprotect(p, size, PROT_NONE) < 0 ? -errno : 0;
}

int weft__sys_madvise(void *p, size_t size, int advice)
{
    int err = weft__sys_fault(WEFT__SYS_MADVISE);
    return err < 0 ? err : madvise(p, size, advice) < 0 ? -errno : 0;
}

/* ---- futex ---- */

int weft__sys_futex_wait(const uint32_t *word, uint32_t expected, int64_t until_ns, bool shared)
{
    int err = weft__sys_fault(WEFT__SYS_FUTEX_WAIT);
    if (err < 0)
        return err;
    struct timespec t, *tp = NULL;
    if (until_ns != INT64_MAX) {
        t = kernel_time(until_ns);
        tp = &t;
    }
    int op = FUTEX_WAIT_BITSET | (shared ? 0 : FUTEX_PRIVATE_FLAG);
    return syscall(SYS_futex, word, op, expected, tp, NULL, FUTEX_BITSET_MATCH_ANY) < 0 ? -errno : 0;
}

int weft__sys_futex_wake(const uint32_t *word, unsigned n, bool shared)
{
    int err = weft__sys_fault(WEFT__SYS_FUTEX_WAKE);
    if (err < 0)
        return err;
    long r = syscall(SYS_futex, word, FUTEX_WAKE | (shared ? 0 : FUTEX_PRIVATE_FLAG), n > INT32_MAX ? INT32_MAX : n);
    return r < 0 ? (errno == EFAULT ? 0 : -errno) : (int)r;
}

int weft__sys_futex_waitv(const weft__sys_futex *words, unsigned n, int64_t until_ns)
{
    int err = weft__sys_fault(WEFT__SYS_FUTEX_WAITV);
    if (err < 0)
        return err;
    struct { /* the kernel's futex_waitv, which the headers of older distributions lack */
        uint64_t val, uaddr;
        uint32_t flags, reserved;
    } v[WEFT__SYS_FUTEXES_MAX];
    enum {
        SIZE_U32 = 2,
        PRIVATE = 128
    };
    for (unsigned i = 0; i < n; i++) {
        v[i].val = words[i].expected;
        v[i].uaddr = (uint64_t)(uintptr_t)words[i].word;
        v[i].flags = SIZE_U32 | (words[i].shared ? 0 : PRIVATE);
        v[i].reserved = 0;
    }
    struct timespec t, *tp = NULL;
    if (until_ns != INT64_MAX) {
        t = kernel_time(until_ns);
        tp = &t;
    }
    long r = syscall(SYS_futex_waitv, v, n, 0, tp, CLOCK_MONOTONIC);
    return r < 0 ? -errno : (int)r;
}

/* ---- processes and threads ---- */

unsigned weft__sys_cpus(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        return (unsigned)CPU_COUNT(&set);
    long n = sysconf(_SC_NPROCESSORS_ONLN); /* more processors than the set holds */
    return n > 0 ? (unsigned)n : 1;
}

uint64_t weft__sys_preempted(void)
{
    struct rusage use;
    return getrusage(RUSAGE_THREAD, &use) == 0 ? (uint64_t)use.ru_nivcsw : 0;
}

unsigned weft__sys_cpu(void)
{
    int cpu = sched_getcpu();
    return cpu >= 0 ? (unsigned)cpu : 0;
}

void weft__sys_leave_cpu(void)
{
    cpu_set_t set, others;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return;
    others = set;
    CPU_CLR(weft__sys_cpu(), &others);
    if (CPU_COUNT(&others) != 0 && sched_setaffinity(0, sizeof others, &others) == 0)
        sched_setaffinity(0, sizeof set, &set);
}

void weft__sys_yield(void)
{
    sched_yield();
}

WEFT__FORK_TEXT pid_t weft__sys_tid(void)
{
    return (pid_t)weft__direct(SYS_gettid, 0, 0, 0, 0, 0, 0);
}

void weft__sys_random(void *p, size_t size)
{
    if (getrandom(p, size, GRND_NONBLOCK) == (ssize_t)size)
        return;
    uint64_t x = (uint64_t)weft__sys_now() ^ (uint64_t)(uintptr_t)p ^ ((uint64_t)getpid() << 32);
    for (size_t i = 0; i < size; i++) {
        x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        ((unsigned char *)p)[i] = (unsigned char)(x >> 56);
    }
}

int weft__sys_stat_fields(const char *path, char *buf, size_t size, const char **fields)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t n = read(fd, buf, size - 1);
    close(fd);
    if (n <= 0)
        return -ESRCH; /* it ended between open and read */
    buf[n] = 0;
    const char *end = strrchr(buf, ')'); /* the name may hold spaces and brackets */
    if (end == NULL)
        return -EPROTO;
    *fields = end + 1;
    return 0;
}

int weft__sys_process_start(pid_t pid, uint64_t *ticks)
{
    *ticks = 0;
    char buf[1024];
    const char *fields = NULL;
    snprintf(buf, sizeof buf, "/proc/%d/stat", (int)pid);
    int err = weft__sys_stat_fields(buf, buf, sizeof buf, &fields);
    if (err == -ESRCH || err == -EPROTO)
        return err == -ESRCH ? -ESRCH : -ENOENT;
    if (err < 0)
        return kill(pid, 0) < 0 && errno == ESRCH ? -ESRCH : -ENOENT;
    char state;
    long threads;
    unsigned long long start;
    if (sscanf(fields, " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %ld %*d %llu", &state,
               &threads, &start) != 3)
        return -ENOENT;
    /* A leader that has left while its threads go on is a zombie too, but its process lives. */
    if (state == 'X' || (state == 'Z' && threads <= 1))
        return -ESRCH;
    *ticks = start;
    return 0;
}

/* ---- threads ---- */

WEFT__TLS bool weft__sys_helper, weft__sys_holds_signals;

typedef struct helper {
    void *(*fn)(void *);
    void *arg;
} helper;

static void *helper_main(void *arg)
{
    helper h = *(helper *)arg;
    free(arg);
    weft__sys_helper = weft__sys_holds_signals = true;
    return h.fn(h.arg);
}

int weft__sys_thread(void *(*fn)(void *), void *arg, size_t stack_size)
{
    int err = weft__sys_fault(WEFT__SYS_THREAD);
    if (err < 0)
        return err;
    helper *h = malloc(sizeof *h);
    if (h == NULL)
        return -EAGAIN;
    *h = (helper){fn, arg};
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    if (stack_size != 0)
        pthread_attr_setstacksize(&attr, stack_size);
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pthread_t t;
    err = pthread_create(&t, &attr, helper_main, h);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    if (err != 0)
        free(h);
    return -err;
}

static int create_thread(pthread_t *t, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
    int err = pthread_create(t, attr, fn, arg);
    return err == ENOMEM ? -EAGAIN : -err;
}

int weft__sys_thread_start(pthread_t *t, void *(*fn)(void *), void *arg, size_t stack_size)
{
    int err = weft__sys_fault(WEFT__SYS_THREAD);
    if (err < 0)
        return err;
    if (stack_size == 0)
        return create_thread(t, NULL, fn, arg);
    size_t page = (size_t)sysconf(_SC_PAGESIZE), least = (size_t)sysconf(_SC_THREAD_STACK_MIN);
    if (stack_size > SIZE_MAX / 2)
        return -EINVAL;
    if (stack_size < least)
        stack_size = least;
    stack_size = (stack_size + page - 1) / page * page;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    err = -pthread_attr_setstacksize(&attr, stack_size);
    if (err == 0)
        err = create_thread(t, &attr, fn, arg);
    pthread_attr_destroy(&attr);
    return err;
}

void weft__sys_thread_set_name(pthread_t t, const char *name)
{
    char comm[16];
    size_t n = strnlen(name, sizeof comm);
    if (n == sizeof comm)
        n--;
    while (n > 0 && ((unsigned char)name[n] & 0xc0) == 0x80) /* in the middle of a character */
        n--;
    memcpy(comm, name, n);
    comm[n] = 0;
    pthread_setname_np(t, comm);
}

void weft__sys_thread_name(pid_t tid, char *buf, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/comm", (int)tid);
    buf[0] = 0;
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return;
    if (fgets(buf, (int)size, f) == NULL)
        buf[0] = 0;
    fclose(f);
    buf[strcspn(buf, "\n")] = 0;
}

/* ---- eventfd ---- */

int weft__sys_eventfd(void)
{
    int err = weft__sys_fault(WEFT__SYS_EVENTFD);
    if (err < 0)
        return err;
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

void weft__sys_eventfd_set(int fd)
{
    uint64_t one = 1;
    ssize_t n;
    do
        n = write(fd, &one, sizeof one);
    while (n < 0 && errno == EINTR); /* EAGAIN: the counter is full, so it is set already */
}

void weft__sys_eventfd_clear(int fd)
{
    uint64_t count;
    ssize_t n;
    do
        n = read(fd, &count, sizeof count);
    while (n < 0 && errno == EINTR);
}
