/* message.c - see message.h. */
#include "sys/message.h"

#include "sys/direct.h"
#include "sys/file.h"
#include "sys/net.h"
#include "sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

typedef union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(WEFT__FDS_MAX * sizeof(int))];
} control;

int weft__sys_message_pair(int fds[2])
{
    int err = weft__sys_fault(WEFT__SYS_SOCKET);
    if (err < 0)
        return err;
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0 ? -errno : 0;
}

bool weft__sys_is_message_socket(int fd)
{
    int type = 0, domain = 0;
    socklen_t size = sizeof type;
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET &&
           getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX;
}

static void put_fds(struct msghdr *h, control *c, const int *fds, unsigned n)
{
    size_t bytes = n * sizeof(int);
    if (n == 0)
        return;
    h->msg_control = c->bytes;
    h->msg_controllen = CMSG_SPACE(bytes);
    c->align = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(bytes)};
    memcpy(CMSG_DATA(&c->align), fds, bytes);
}

int weft__sys_message_send(int fd, const weft__message *m)
{
    int err = weft__sys_fault(WEFT__SYS_SEND);
    if (err < 0)
        return err;
    control c = {0};
    struct iovec pieces[2] = {{m->head, m->head_size}, {m->data, m->size}};
    struct msghdr h = {.msg_iov = pieces, .msg_iovlen = m->size > 0 ? 2 : 1};
    if (m->fd_count > WEFT__FDS_MAX)
        return -EINVAL;
    put_fds(&h, &c, m->fds, m->fd_count);
    while (sendmsg(fd, &h, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        if (errno != EINTR)
            return errno == ECONNRESET || errno == ENOTCONN ? -EPIPE : -errno;
    return 0;
}

/* Move the descriptors that came into fds, which has room for *n; those that do not fit are closed. */
static void take_fds(struct msghdr *h, int *fds, unsigned *n)
{
    unsigned room = *n;
    *n = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c != NULL; c = CMSG_NXTHDR(h, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        unsigned came = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        for (unsigned i = 0; i < came; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            if (*n < room)
                fds[(*n)++] = fd;
            else
                weft__sys_close(fd);
        }
    }
}

static ssize_t receive(int fd, struct msghdr *h)
{
    int flags = MSG_DONTWAIT | MSG_CMSG_CLOEXEC;
#if WEFT__DIRECT
    return weft__direct(SYS_recvmsg, fd, h, flags, 0, 0, 0);
#else
    ssize_t n = recvmsg(fd, h, flags);
    return n < 0 ? -errno : n;
#endif
}

long weft__sys_message_receive(int fd, weft__message *m)
{
    int err = weft__sys_fault(WEFT__SYS_RECV);
    if (err < 0)
        return err;
    control c;
    c.align = (struct cmsghdr){.cmsg_len = 0}; /* static analysis does not see the kernel write it */
    struct iovec pieces[3] = {{m->head, m->head_size}, {m->data, m->size}, {m->spill, m->spill_size}};
    struct msghdr h = {.msg_iov = pieces, .msg_iovlen = 3, .msg_control = c.bytes, .msg_controllen = sizeof c.bytes};
    ssize_t n;
    while ((n = receive(fd, &h)) == -EINTR)
        ;
    if (n < 0)
        return n;
    take_fds(&h, m->fds, &m->fd_count);
    if (h.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
        for (unsigned i = 0; i < m->fd_count; i++)
            weft__sys_close(m->fds[i]);
        m->fd_count = 0;
        return -EMSGSIZE;
    }
    return n;
}

/* ---- of a stream ---- */

long weft__sys_send_fds(int fd, const void *data, size_t size, const int *fds, unsigned n)
{
    control c = {0};
    struct iovec piece = {(void *)(uintptr_t)data, size};
    struct msghdr h = {.msg_iov = &piece, .msg_iovlen = 1};
    if (n > WEFT__FDS_MAX)
        return -EINVAL;
    put_fds(&h, &c, fds, n);
    return weft__sys_sendmsg(fd, &h, MSG_DONTWAIT);
}

long weft__sys_recv_fds(int fd, void *buf, size_t size, int *fds, unsigned *n)
{
    control c;
    c.align = (struct cmsghdr){.cmsg_len = 0};
    struct iovec piece = {buf, size};
    struct msghdr h = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = c.bytes, .msg_controllen = sizeof c.bytes};
    ssize_t got = weft__sys_recvmsg(fd, &h, MSG_DONTWAIT);
    if (got >= 0)
        take_fds(&h, fds, n);
    return got;
}

/* ---- a look, and memory files ---- */

long weft__sys_message_peek(int fd, void *head, size_t size)
{
    ssize_t n = weft__sys_fault(WEFT__SYS_RECV);
    if (n < 0)
        return n;
    while ((n = recv(fd, head, size, MSG_DONTWAIT | MSG_PEEK)) < 0)
        if (errno != EINTR)
            return -errno;
    return n;
}

int weft__sys_memory_file(const void *data, size_t size)
{
    int fd = memfd_create("weft-message", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    int err = weft__sys_write_all(fd, data, size, NULL);
    if (err == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
        err = -errno;
    if (err == 0)
        return fd;
    weft__sys_close(fd);
    return err;
}

int weft__sys_memory_file_read(int fd, void *data, size_t size)
{
    struct stat st;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size != size)
        return -EPROTO;
    ssize_t n = weft__sys_pread(fd, data, size, 0, false);
    return n < 0 ? (int)n : (size_t)n == size ? 0 : -EPROTO;
}
