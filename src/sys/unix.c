/* unix.c - see unix.h. Whether somebody has a socket open is asked by connecting to it: refused means nobody. The
 * mode is given to the socket before its file is made, as one for datagrams can be sent to from then on, and to the
 * file, whatever the umask, before anybody listens: so there is no moment in which others may than who shall. */
#include "sys/unix.h"

#include "sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static bool is_abstract(const weft__address *a)
{
    return a->size <= offsetof(struct sockaddr_un, sun_path) || a->un.sun_path[0] == 0;
}

enum {
    LOCK_TRIES = 200, /* a millisecond apart: we hold it for microseconds, and a stranger for as long as he likes */
    LOCK_PAUSE_NS = 1000000
};

/* The directory of the path, locked; or not, or -1: the rest works without, if not as surely. */
static int lock_directory(const char *path)
{
    char directory[sizeof(struct sockaddr_un)];
    const char *slash = strrchr(path, '/');
    size_t size = slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);
    memcpy(directory, size == 0 ? "." : path, size == 0 ? 1 : size);
    directory[size == 0 ? 1 : size] = 0;
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int tries = 0; fd >= 0 && tries < LOCK_TRIES && syscall(SYS_flock, fd, LOCK_EX | LOCK_NB) < 0; tries++) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            break; /* there are no locks here */
        nanosleep(&(struct timespec){.tv_nsec = LOCK_PAUSE_NS}, NULL);
    }
    return fd;
}

static bool is_stale(const weft__address *a, int type)
{
    struct stat st;
    if (lstat(a->un.sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
        return false;
    int fd = weft__sys_socket(AF_UNIX, type);
    if (fd < 0)
        return false;
    int err = weft__sys_connect(fd, a);
    weft__sys_close(fd);
    return err == -ECONNREFUSED;
}

static int bind_path(int fd, const weft__address *a, unsigned mode, weft__socket_file *file)
{
    int type = SOCK_STREAM;
    struct stat st;
    (void)fchmod(fd, mode != 0 ? mode : 0600); /* the file begins with that, less the umask */
    int err = weft__sys_bind(fd, a);
    if (err == -EADDRINUSE && weft__sys_getsockopt(fd, SOL_SOCKET, SO_TYPE, &type) == 0 && is_stale(a, type)) {
        unlink(a->un.sun_path);
        err = weft__sys_bind(fd, a);
    }
    if (err < 0)
        return err;
    memcpy(file->path, a->un.sun_path, sizeof a->un.sun_path);
    file->owner = getpid();
    if (chmod(file->path, mode != 0 ? mode : 0600) < 0 || lstat(file->path, &st) < 0) {
        err = -errno;
        unlink(file->path);
        return err;
    }
    file->device = st.st_dev;
    file->inode = st.st_ino;
    return 0;
}

int weft__sys_bind_unix(int fd, const weft__address *a, unsigned mode, unsigned backlog, weft__socket_file *file)
{
    memset(file, 0, sizeof *file);
    int directory = is_abstract(a) ? -1 : lock_directory(a->un.sun_path);
    int err = is_abstract(a) ? weft__sys_bind(fd, a) : bind_path(fd, a, mode, file);
    if (err == 0 && backlog != 0)
        err = weft__sys_listen(fd, backlog);
    if (err < 0)
        weft__sys_unbind_unix(file);
    if (directory >= 0)
        weft__sys_close(directory);
    return err;
}

void weft__sys_unbind_unix(weft__socket_file *file)
{
    struct stat st;
    if (file->inode != 0 && file->owner == getpid() && lstat(file->path, &st) == 0 && st.st_dev == file->device &&
        st.st_ino == file->inode)
        unlink(file->path);
    file->inode = 0;
}
