/* file.c - see file.h. openat2 by its number: Debian 12's glibc has no wrapper. */
#include "sys/file.h"

#include "sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <poll.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#ifndef RESOLVE_CACHED
#define RESOLVE_CACHED 0x20
#endif

static int open_flags(int how)
{
    switch (how) {
    case WEFT__FILE_PATH:
        return O_PATH | O_CLOEXEC;
    case WEFT__FILE_DIRECTORY:
        return O_RDONLY | O_DIRECTORY | O_CLOEXEC;
    case WEFT__FILE_APPEND:
        return O_WRONLY | O_APPEND | O_CREAT | O_NOCTTY | O_CLOEXEC;
    default:
        return O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    }
}

int weft__sys_open_beneath(int dir, const char *name, int how, bool cached)
{
    int err = weft__sys_fault(WEFT__SYS_OPEN);
    if (err < 0)
        return err;
    static bool no_cached; /* atomic: this kernel does not know RESOLVE_CACHED */
    if (cached && load_relaxed(&no_cached))
        return -EAGAIN;
    struct open_how oh = {
        .flags = (uint64_t)open_flags(how),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | (cached ? RESOLVE_CACHED : 0),
    };
    /* EAGAIN also says that a rename anywhere raced with a ".." in a link: then the kernel wants to be asked again. */
    for (int tries = 0;;) {
        long fd = syscall(SYS_openat2, dir, *name == 0 ? "." : name, &oh, sizeof oh);
        if (fd >= 0)
            return (int)fd;
        err = -errno;
        if (cached && err == -EINVAL) {
            store_relaxed(&no_cached, true);
            return -EAGAIN;
        }
        if (err != -EINTR && (err != -EAGAIN || cached || ++tries == 64))
            return err;
    }
}

int weft__sys_open(const char *name, int how)
{
    int err = weft__sys_fault(WEFT__SYS_OPEN);
    if (err < 0)
        return err;
    int fd;
    do
        fd = open(name, open_flags(how), 0640);
    while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

void weft__sys_file_close(int fd)
{
    close(fd);
}

int weft__sys_replace(int from, int to)
{
    return dup3(from, to, O_CLOEXEC) < 0 ? -errno : 0;
}

int weft__sys_fstat(int fd, struct stat *st)
{
    int err = weft__sys_fault(WEFT__SYS_STAT);
    return err < 0 ? err : fstat(fd, st) < 0 ? -errno : 0;
}

void weft__sys_no_atime(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0)
        (void)fcntl(fd, F_SETFL, flags | O_NOATIME);
}

ssize_t weft__sys_pread(int fd, void *buf, size_t size, uint64_t offset, bool cached)
{
    int err = weft__sys_fault(WEFT__SYS_READ);
    if (err < 0)
        return err;
    size_t done = 0;
    while (done < size) {
        struct iovec v = {(char *)buf + done, size - done};
        ssize_t n = cached ? preadv2(fd, &v, 1, (off_t)(offset + done), RWF_NOWAIT)
                           : pread(fd, v.iov_base, v.iov_len, (off_t)(offset + done));
        if (n == 0)
            break;
        if (n > 0) {
            done += (size_t)n;
            continue;
        }
        if (errno == EINTR)
            continue;
        return errno == EOPNOTSUPP || errno == ENOSYS ? -EAGAIN : -errno;
    }
    return (ssize_t)done;
}

int weft__sys_write_all(int fd, const void *buf, size_t size, size_t *done)
{
    size_t unused;
    done = done != NULL ? done : &unused;
    *done = 0;
    int err = weft__sys_fault(WEFT__SYS_WRITE);
    if (err < 0)
        return err;
    while (*done < size) {
        ssize_t n = write(fd, (const char *)buf + *done, size - *done);
        if (n >= 0)
            *done += (size_t)n;
        else if (errno != EINTR)
            return -errno;
    }
    return 0;
}

/* What of these bytes is to be written at a time: a pipe that polls as writable takes PIPE_BUF bytes without blocking,
 * and in one piece; so it is as many whole lines, if there is one. */
static size_t piece_of(const char *bytes, size_t size)
{
    if (size <= PIPE_BUF)
        return size;
    const char *end = memrchr(bytes, '\n', PIPE_BUF);
    return end != NULL ? (size_t)(end - bytes) + 1 : PIPE_BUF;
}

int weft__sys_write_stream(int fd, const void *buf, size_t size, int64_t wait_ns, size_t *done)
{
    size_t unused;
    done = done != NULL ? done : &unused;
    *done = 0;
    int err = weft__sys_fault(WEFT__SYS_WRITE);
    if (err < 0)
        return err;
    while (*done < size) {
        const char *rest = (const char *)buf + *done;
        struct pollfd p = {fd, POLLOUT, 0};
        int ready = poll(&p, 1, (int)(wait_ns / 1000000));
        if (ready == 0)
            return -ETIMEDOUT;
        ssize_t n = ready < 0 ? -1 : write(fd, rest, piece_of(rest, size - *done));
        if (n >= 0)
            *done += (size_t)n;
        else if (errno != EINTR && errno != EAGAIN)
            return -errno;
    }
    return 0;
}

/* ---- directories ---- */

struct dirent64_head { /* the kernel's linux_dirent64 */
    uint64_t ino;
    int64_t off;
    uint16_t reclen;
    uint8_t type;
    char name[];
};

ssize_t weft__sys_getdents(int fd, void *buf, size_t size)
{
    int err = weft__sys_fault(WEFT__SYS_GETDENTS);
    if (err < 0)
        return err;
    long n = syscall(SYS_getdents64, fd, buf, size);
    return n < 0 ? -errno : n;
}

bool weft__sys_dirent_next(const void *buf, size_t size, size_t *at, weft__dirent *entry)
{
    enum {
        TYPE_LINK = 10
    };
    if (*at >= size)
        return false;
    const char *p = (const char *)buf + *at;
    uint16_t reclen;
    memcpy(&reclen, p + offsetof(struct dirent64_head, reclen), sizeof reclen);
    entry->name = p + offsetof(struct dirent64_head, name);
    entry->link = (uint8_t)p[offsetof(struct dirent64_head, type)] == TYPE_LINK;
    *at += reclen;
    return true;
}

/* ---- clocks ---- */

int64_t weft__sys_coarse_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec + load_relaxed(&weft__sys_clock_shift);
}

weft__sys_times weft__sys_coarse_times(void)
{
    struct timespec w;
    clock_gettime(CLOCK_REALTIME_COARSE, &w);
    return (weft__sys_times){weft__sys_coarse_now(), (int64_t)w.tv_sec * 1000000000 + w.tv_nsec};
}
