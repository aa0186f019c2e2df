/* file.h - calls on files and directories, confined below a directory where the name comes from outside.
 *
 * F1 beneath:     weft__sys_open_beneath resolves in the kernel (openat2, RESOLVE_BENEATH and
 *                 RESOLVE_NO_MAGICLINKS). Neither "..", nor an absolute name, nor a symbolic link anywhere on the
 *                 way leaves the directory, also while others rename things: what leads out is -EXDEV. Links that
 *                 stay inside are followed. There is no fallback in user space, because none is free of races:
 *                 without openat2 (before Linux 5.6, or filtered) it is -ENOSYS.
 * F2 no surprise: an opened file is close-on-exec and never becomes a controlling terminal, and O_NONBLOCK keeps
 *                 the open of a FIFO from waiting. Callers look at the type with WEFT__FILE_PATH first, so that a
 *                 device is never opened.
 * Results are >= 0 or -errno; interrupted calls are made again. */
#ifndef WEFT_SYS_FILE_H
#define WEFT_SYS_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

enum {
    WEFT__FILE_READ,      /* read the contents */
    WEFT__FILE_PATH,      /* only look at it (O_PATH): stat, or be the directory of a further open */
    WEFT__FILE_DIRECTORY, /* list it */
    WEFT__FILE_APPEND     /* write at its end, made if missing, mode 0640 */
};

/* Open `name` beneath the directory `dir`; "" and "." are the directory itself. `cached`: only if that needs no disk;
 * -EAGAIN otherwise (also where the kernel is too old to tell, before 5.12). Returns a descriptor or -errno: -EXDEV for
 * a link out, -ELOOP, -ENOENT, -ENOTDIR, -EACCES, -ENAMETOOLONG, -EMFILE ... */
int weft__sys_open_beneath(int dir, const char *name, int how, bool cached);

/* Open a name that the operator gave: no confinement. */
int weft__sys_open(const char *name, int how);

void weft__sys_file_close(int fd);

/* Make `to` a duplicate of `from` in one step, close-on-exec; what it was is closed. */
int weft__sys_replace(int from, int to);
int weft__sys_fstat(int fd, struct stat *st);

/* Reading fd no longer touches its file's access time, if the kernel allows it: to the file's owner and to root. */
void weft__sys_no_atime(int fd);

/* Read at `offset` until `size` bytes are there or the file ends. `cached`: only what is in memory already; -EAGAIN if
 * that is less (also where the file system cannot tell). */
ssize_t weft__sys_pread(int fd, void *buf, size_t size, uint64_t offset, bool cached);

/* Write all of it. Returns 0 or -errno; *done, which may be NULL, is how much has been written. */
int weft__sys_write_all(int fd, const void *buf, size_t size, size_t *done);

/* The same to a pipe, terminal or socket that may be slow, and that others may write to: gives up with -ETIMEDOUT when
 * it takes nothing for `wait_ns`. Lines of up to PIPE_BUF bytes stay whole. */
int weft__sys_write_stream(int fd, const void *buf, size_t size, int64_t wait_ns, size_t *done);

/* The next entries of a directory, in the kernel's form (linux_dirent64); 0 at the end. */
ssize_t weft__sys_getdents(int fd, void *buf, size_t size);

/* One entry in such a buffer. */
typedef struct weft__dirent {
    const char *name;
    bool link; /* certainly a symbolic link; false may also mean that the file system does not say */
} weft__dirent;

/* Take the entry at *at out of buf[0..size) and step over it. False at the end. */
bool weft__sys_dirent_next(const void *buf, size_t size, size_t *at, weft__dirent *entry);

/* Both coarse clocks (a few ms of grain), in nanoseconds: for freshness and for Date, on every request. The first is on
 * weft__sys_now's clock, the second counts from 1970. Two reads of the vDSO's page, no hardware counter. */
typedef struct weft__sys_times {
    int64_t monotonic;
    int64_t wall;
} weft__sys_times;
weft__sys_times weft__sys_coarse_times(void);
int64_t weft__sys_coarse_now(void); /* the first alone */

#endif
