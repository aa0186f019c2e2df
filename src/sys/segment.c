/* segment.c - see segment.h. */
#include "sys/segment.h"

#include "sys/file.h"
#include "sys/net.h"
#include "sys/sys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER "/dev/shm"

static int path_of(char path[WEFT__SEGMENT_NAME_MAX + 16], const char *name)
{
    int n = snprintf(path, WEFT__SEGMENT_NAME_MAX + 16, FOLDER "/%s", name);
    return n >= WEFT__SEGMENT_NAME_MAX + 16 ? -ENAMETOOLONG : 0;
}

static int set_size(int fd, size_t size)
{
    return ftruncate(fd, (off_t)size) < 0 ? -errno : 0;
}

int weft__sys_segment_new(size_t size)
{
    int err = weft__sys_fault(WEFT__SYS_OPEN);
    if (err < 0)
        return err;
    int fd = memfd_create("weft-segment", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    err = set_size(fd, size);
    if (err == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        err = -errno;
    if (err == 0)
        return fd;
    weft__sys_close(fd);
    return err;
}

int weft__sys_segment_new_linkable(size_t size)
{
    int err = weft__sys_fault(WEFT__SYS_OPEN);
    if (err < 0)
        return err;
    int fd = open(FOLDER, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    if (fchmod(fd, 0600) < 0 || fallocate(fd, 0, 0, (off_t)size) < 0)
        err = -errno;
    if (err == 0)
        return fd;
    weft__sys_close(fd);
    return err;
}

int weft__sys_segment_link(int fd, const char *name)
{
    char from[64], path[WEFT__SEGMENT_NAME_MAX + 16];
    int err = path_of(path, name);
    if (err < 0)
        return err;
    snprintf(from, sizeof from, "/proc/self/fd/%d", fd);
    return linkat(AT_FDCWD, from, AT_FDCWD, path, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

int weft__sys_segment_open(const char *name)
{
    char path[WEFT__SEGMENT_NAME_MAX + 16];
    int err = path_of(path, name);
    if (err == 0)
        err = weft__sys_fault(WEFT__SYS_OPEN);
    if (err < 0)
        return err;
    int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return errno == ELOOP ? -EACCES : -errno;
    struct stat st;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 0077) != 0) {
        weft__sys_close(fd);
        return -EACCES;
    }
    return fd;
}

int weft__sys_segment_size(int fd, uint64_t *size)
{
    struct stat st;
    int err = weft__sys_fstat(fd, &st);
    if (err < 0)
        return err;
    if (!S_ISREG(st.st_mode) || st.st_size < 0)
        return -EINVAL;
    int seals = fcntl(fd, F_GET_SEALS);
    bool sealed = seals >= 0 && (seals & F_SEAL_SHRINK);
    if (!sealed && (st.st_uid != geteuid() || (st.st_mode & 0077) != 0))
        return -EPERM;
    *size = (uint64_t)st.st_size;
    return 0;
}

int weft__sys_segment_map(void **out, int fd, size_t size)
{
    int err = weft__sys_fault(WEFT__SYS_MMAP);
    if (err < 0)
        return err;
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        return -errno;
    *out = p;
    return 0;
}

int weft__sys_segment_unlink(const char *name)
{
    char path[WEFT__SEGMENT_NAME_MAX + 16];
    int err = path_of(path, name);
    return err < 0 ? err : unlink(path) < 0 ? -errno : 0;
}

int weft__sys_segment_each(const char *prefix, void (*fn)(const char *name, void *arg), void *arg)
{
    int err = weft__sys_fault(WEFT__SYS_GETDENTS);
    if (err < 0)
        return err;
    DIR *d = opendir(FOLDER);
    if (d == NULL)
        return -errno;
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        if (strncmp(e->d_name, prefix, strlen(prefix)) == 0 && strlen(e->d_name) < WEFT__SEGMENT_NAME_MAX)
            fn(e->d_name, arg);
    closedir(d);
    return 0;
}

unsigned weft__sys_user(void)
{
    return (unsigned)geteuid();
}
