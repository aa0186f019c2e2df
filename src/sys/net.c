/* net.c - sockets and their addresses. See net.h. */
#include "sys/net.h"

#include "sys/direct.h"
#include "sys/sigpipe.h"
#include "sys/sys.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/errqueue.h>
#include <linux/sock_diag.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <unistd.h>

/* ---- addresses ---- */

/* The number of an interface from its name or its number; 0: it is neither. */
static uint32_t interface_of(const char *text)
{
    uint32_t index = if_nametoindex(text);
    size_t n = strspn(text, "0123456789");
    if (index != 0 || n == 0 || n > 10 || text[n] != 0)
        return index;
    unsigned long long number = strtoull(text, NULL, 10);
    return number <= INT32_MAX ? (uint32_t)number : 0;
}

int weft__address_parse(weft__address *a, const char *host, unsigned port)
{
    char text[INET6_ADDRSTRLEN + IF_NAMESIZE + 2];
    size_t size = strlen(host);
    if (port > 65535)
        return -EINVAL;
    if (size >= 2 && host[0] == '[' && host[size - 1] == ']') {
        host++;
        size -= 2;
    }
    if (size == 0 || size >= sizeof text)
        return -EINVAL;
    memcpy(text, host, size);
    text[size] = 0;
    memset(a, 0, sizeof *a);
    if (inet_pton(AF_INET, text, &a->in.sin_addr) == 1) {
        a->size = sizeof a->in;
        a->in.sin_family = AF_INET;
        a->in.sin_port = htons((uint16_t)port);
        return 0;
    }
    char *scope = strchr(text, '%');
    if (scope != NULL) {
        *scope++ = 0;
        a->in6.sin6_scope_id = interface_of(scope);
        if (a->in6.sin6_scope_id == 0)
            return -EINVAL;
    }
    if (inet_pton(AF_INET6, text, &a->in6.sin6_addr) != 1)
        return -EINVAL;
    a->size = sizeof a->in6;
    a->in6.sin6_family = AF_INET6;
    a->in6.sin6_port = htons((uint16_t)port);
    return 0;
}

/* Whether it is shown as IPv4; the four bytes in *bytes. */
static bool is_v4(const weft__address *a, const void **bytes)
{
    if (a->any.sa_family == AF_INET)
        *bytes = &a->in.sin_addr;
    else if (a->any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr))
        *bytes = &a->in6.sin6_addr.s6_addr[12];
    else
        return false;
    return true;
}

/* snprintf's result, cut to what is really there. */
static int text_length(int n, size_t size)
{
    return n < 0 ? 0 : (size_t)n < size ? n : size > 0 ? (int)size - 1 : 0;
}

int weft__address_host(const weft__address *a, char *text, size_t size)
{
    char host[INET6_ADDRSTRLEN], scope[IF_NAMESIZE + 1];
    const void *bytes;
    if (a->size == 0)
        return text_length(snprintf(text, size, "-"), size);
    if (is_v4(a, &bytes)) {
        inet_ntop(AF_INET, bytes, host, sizeof host);
        return text_length(snprintf(text, size, "%s", host), size);
    }
    if (a->any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &a->in6.sin6_addr, host, sizeof host);
        if (a->in6.sin6_scope_id == 0)
            return text_length(snprintf(text, size, "%s", host), size);
        if (if_indextoname(a->in6.sin6_scope_id, scope) == NULL)
            snprintf(scope, sizeof scope, "%u", (unsigned)a->in6.sin6_scope_id);
        return text_length(snprintf(text, size, "%s%%%s", host, scope), size);
    }
    if (a->any.sa_family == AF_UNIX) {
        size_t length =
            a->size > offsetof(struct sockaddr_un, sun_path) ? a->size - offsetof(struct sockaddr_un, sun_path) : 0;
        const char *path = a->un.sun_path;
        bool abstract = length > 0 && path[0] == 0;
        size_t shown = abstract ? length - 1 : strnlen(path, length);
        return text_length(snprintf(text, size, "unix:%s%.*s", abstract ? "@" : "", (int)shown, path + abstract), size);
    }
    return text_length(snprintf(text, size, "family-%u", (unsigned)a->any.sa_family), size);
}

int weft__address_text(const weft__address *a, char *text, size_t size)
{
    char host[sizeof(struct sockaddr_un) + 16];
    const void *bytes;
    weft__address_host(a, host, sizeof host);
    if (a->size != 0 && is_v4(a, &bytes))
        return text_length(snprintf(text, size, "%s:%u", host, weft__address_port(a)), size);
    if (a->size != 0 && a->any.sa_family == AF_INET6)
        return text_length(snprintf(text, size, "[%s]:%u", host, weft__address_port(a)), size);
    return text_length(snprintf(text, size, "%s", host), size);
}

unsigned weft__address_port(const weft__address *a)
{
    if (a->size == 0)
        return 0;
    return a->any.sa_family == AF_INET    ? ntohs(a->in.sin_port)
           : a->any.sa_family == AF_INET6 ? ntohs(a->in6.sin6_port)
                                          : 0;
}

static int lookup_error(int gai)
{
    switch (gai) {
    case EAI_AGAIN:
        return -EAGAIN;
    case EAI_MEMORY:
        return -ENOMEM;
    case EAI_SYSTEM:
        return errno != 0 ? -errno : -EIO;
    case EAI_SERVICE:
    case EAI_BADFLAGS:
        return -EINVAL;
    default:
        return -ENOENT;
    }
}

/* Why a look-up failed. Who has no descriptor left is told by the C library that there is no such name, as it could not
 * read a file or ask a server: so see whether there is one. */
static int lookup_failed(int gai)
{
    int err = lookup_error(gai);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        close(fd);
    else if (errno == EMFILE || errno == ENFILE)
        err = -errno;
    return err;
}

int weft__address_lookup(const char *host, unsigned port, bool passive, weft__address *out, unsigned max)
{
    char service[8];
    if (port > 65535 || max == 0)
        return -EINVAL;
    snprintf(service, sizeof service, "%u", port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | (passive ? AI_PASSIVE : 0)},
                    *found;
    errno = 0;
    int gai = getaddrinfo(host, service, &hints, &found);
    if (gai != 0)
        return lookup_failed(gai);
    unsigned n = 0;
    for (struct addrinfo *i = found; i != NULL && n < max; i = i->ai_next) {
        if (i->ai_addrlen > sizeof out->un || (i->ai_family != AF_INET && i->ai_family != AF_INET6))
            continue;
        memset(&out[n], 0, sizeof out[n]);
        memcpy(&out[n].any, i->ai_addr, i->ai_addrlen);
        out[n++].size = i->ai_addrlen;
    }
    freeaddrinfo(found);
    return n > 0 ? (int)n : -ENOENT;
}

int weft__address_name(const weft__address *a, char *name, size_t size)
{
    weft__address plain = *a;
    weft__address_unmap(&plain);
    if (plain.size == 0 || (plain.any.sa_family != AF_INET && plain.any.sa_family != AF_INET6))
        return -EINVAL;
    if (size > NI_MAXHOST)
        size = NI_MAXHOST;
    errno = 0;
    int gai = getnameinfo(&plain.any, plain.size, name, (socklen_t)size, NULL, 0, NI_NAMEREQD);
    return gai == 0 ? (int)strlen(name) : gai == EAI_OVERFLOW ? -ENAMETOOLONG : lookup_failed(gai);
}

/* ---- sockets ---- */

int weft__sys_socket(int family, int type)
{
    int err = weft__sys_fault(WEFT__SYS_SOCKET);
    if (err < 0)
        return err;
    int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    return fd < 0 ? -errno : fd;
}

int weft__sys_bind(int fd, const weft__address *a)
{
    int err = weft__sys_fault(WEFT__SYS_BIND);
    return err < 0 ? err : bind(fd, &a->any, a->size) < 0 ? -errno : 0;
}

int weft__sys_listen(int fd, unsigned backlog)
{
    int err = weft__sys_fault(WEFT__SYS_LISTEN);
    return err < 0 ? err : listen(fd, backlog > INT32_MAX ? INT32_MAX : (int)backlog) < 0 ? -errno : 0;
}

/* Errors of the connection that was to be accepted: accept(2), "Error handling". */
bool weft__sys_accept_again(int err)
{
    switch (-err) {
    case ECONNABORTED:
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EINTR:
        return true;
    default:
        return false;
    }
}

int weft__sys_accept(int fd, weft__address *peer)
{
    for (;;) {
        int err = weft__sys_fault(WEFT__SYS_ACCEPT);
        if (err == 0) {
            socklen_t size = sizeof peer->un;
            int new_fd = accept4(fd, peer != NULL ? &peer->any : NULL, peer != NULL ? &size : NULL,
                                 SOCK_NONBLOCK | SOCK_CLOEXEC);
            if (new_fd >= 0) {
                if (peer != NULL)
                    peer->size = size <= sizeof peer->un ? size : sizeof peer->un;
                return new_fd;
            }
            err = -errno;
        }
        if (!weft__sys_accept_again(err))
            return err;
    }
}

/* Only shutting a listening socket down for reading ends it. For writing there is nothing to be done, but the kernel
 * wakes whoever sleeps on the socket, also those of whom it would wake one for each connection. */
void weft__sys_wake_acceptors(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (poll(&p, 1, 0) > 0)
        (void)shutdown(fd, SHUT_WR);
}

int weft__sys_connect(int fd, const weft__address *a)
{
    int err = weft__sys_fault(WEFT__SYS_CONNECT);
    if (err < 0)
        return err;
    if (connect(fd, &a->any, a->size) == 0)
        return 0;
    return errno == EINTR ? -EINPROGRESS : -errno; /* interrupted: it goes on in the kernel */
}

int weft__sys_shutdown(int fd, int how)
{
    int err = weft__sys_fault(WEFT__SYS_SHUTDOWN);
    return err < 0 ? err : shutdown(fd, how) < 0 ? -errno : 0;
}

WEFT__FORK_TEXT void weft__sys_close(int fd)
{
#if WEFT__DIRECT
    weft__direct(SYS_close, fd, 0, 0, 0, 0, 0);
#else
    close(fd);
#endif
}

/* A sanitizer is to see what is read and written. */
#if !WEFT__DIRECT
static ssize_t checked(ssize_t n)
{
    return n < 0 ? -errno : n;
}

#define RECV(fd, buf, size, flags) checked(recv(fd, buf, size, flags))
#define SEND(fd, buf, size, flags) checked(send(fd, buf, size, flags))
#else
#define RECV(fd, buf, size, flags) weft__direct(SYS_recvfrom, fd, buf, size, flags, 0, 0)
#define SEND(fd, buf, size, flags) weft__direct(SYS_sendto, fd, buf, size, flags, 0, 0)
#endif

ssize_t weft__sys_recv(int fd, void *buf, size_t size, int flags)
{
    ssize_t n;
    do {
        n = weft__sys_fault(WEFT__SYS_RECV);
        if (n == 0)
            n = RECV(fd, buf, size, flags);
    } while (n == -EINTR);
    return n;
}

ssize_t weft__sys_send(int fd, const void *buf, size_t size, int flags)
{
    ssize_t n;
    do {
        n = weft__sys_fault(WEFT__SYS_SEND);
        if (n == 0)
            n = SEND(fd, buf, size, flags | MSG_NOSIGNAL);
    } while (n == -EINTR);
    return n;
}

ssize_t weft__sys_sendmsg(int fd, const struct msghdr *msg, int flags)
{
    ssize_t n;
    do {
        n = weft__sys_fault(WEFT__SYS_SEND);
        if (n == 0 && (n = sendmsg(fd, msg, flags | MSG_NOSIGNAL)) < 0)
            n = -errno;
    } while (n == -EINTR);
    return n;
}

static ssize_t send_file(int out, int in, uint64_t *offset, size_t size)
{
    weft__sigpipe broken;
    off_t at = (off_t)*offset;
    weft__sigpipe_block(&broken);
    ssize_t n = sendfile(out, in, &at, size);
    if (n < 0)
        n = -errno;
    else
        *offset = (uint64_t)at;
    weft__sigpipe_restore(&broken, n, size);
    return n;
}

ssize_t weft__sys_sendfile(int out, int in, uint64_t *offset, size_t size)
{
    ssize_t n;
    do {
        n = weft__sys_fault(WEFT__SYS_SENDFILE);
        if (n == 0)
            n = send_file(out, in, offset, size);
    } while (n == -EINTR);
    return n;
}

int weft__sys_setsockopt_value(int fd, int level, int name, const void *value, size_t size)
{
    int err = weft__sys_fault(WEFT__SYS_SOCKOPT);
    return err < 0 ? err : setsockopt(fd, level, name, value, (socklen_t)size) < 0 ? -errno : 0;
}

int weft__sys_setsockopt(int fd, int level, int name, int value)
{
    return weft__sys_setsockopt_value(fd, level, name, &value, sizeof value);
}

unsigned weft__sys_interface(const char *name)
{
    return if_nametoindex(name);
}

int weft__sys_getsockopt(int fd, int level, int name, int *value)
{
    socklen_t size = sizeof *value;
    int err = weft__sys_fault(WEFT__SYS_SOCKOPT);
    return err < 0 ? err : getsockopt(fd, level, name, value, &size) < 0 ? -errno : 0;
}

int weft__sys_socket_error(int fd)
{
    int value;
    int err = weft__sys_getsockopt(fd, SOL_SOCKET, SO_ERROR, &value);
    return err < 0 ? err : -value;
}

uint32_t weft__sys_socket_drops(int fd)
{
    uint32_t info[SK_MEMINFO_VARS] = {0};
    socklen_t size = sizeof info;
    return getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &size) < 0 ? 0 : info[SK_MEMINFO_DROPS];
}

int weft__sys_local(int fd, weft__address *a)
{
    a->size = sizeof a->un;
    if (getsockname(fd, &a->any, &a->size) < 0) {
        a->size = 0;
        return -errno;
    }
    a->size = weft__address_size(a->size);
    return 0;
}

int weft__sys_peer(int fd, weft__address *a)
{
    a->size = sizeof a->un;
    if (getpeername(fd, &a->any, &a->size) == 0) {
        a->size = weft__address_size(a->size);
        return 0;
    }
    int err = -errno;
    /* A connection that was reset has no peer any more, but the kernel still knows whose it was. It tells that to who
     * asks for as many bytes as there are, and no more: an address of this end's family has them. */
    weft__address local;
    if (err == -ENOTCONN && weft__sys_local(fd, &local) == 0) {
        a->size = local.size;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERNAME, &a->any, &a->size) == 0)
            return 0;
    }
    a->size = 0;
    return err;
}

int weft__sys_peer_user(int fd, pid_t *pid, uid_t *uid, gid_t *gid)
{
    struct ucred user;
    socklen_t size = sizeof user;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &user, &size) < 0)
        return -errno;
    *pid = user.pid;
    *uid = user.uid;
    *gid = user.gid;
    return 0;
}

int weft__sys_set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

int weft__sys_queued(int fd)
{
    struct tcp_info info;
    socklen_t size = sizeof info;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) < 0)
        return -errno;
    return (int)info.tcpi_unacked; /* of a socket that listens */
}

int weft__sys_take_socket(int fd, int type)
{
    int is = 0, domain = 0;
    int err = weft__sys_getsockopt(fd, SOL_SOCKET, SO_TYPE, &is);
    if (err == 0)
        err = weft__sys_getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain);
    if (err == 0 && is != type)
        err = -ENOTSOCK;
    if (err == 0)
        err = weft__sys_set_nonblocking(fd);
    if (err < 0 && err != -EBADF)
        weft__sys_close(fd);
    return err < 0 ? err : domain;
}

int weft__sys_take_error(int fd, weft__address *to, int *err)
{
    union {
        struct cmsghdr align;
        char bytes[256];
    } control = {.bytes = {0}};
    *to = (weft__address){.size = 0};
    *err = 0;
    struct msghdr msg = {.msg_name = &to->any,
                         .msg_namelen = sizeof to->un,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof control.bytes};
    ssize_t n = weft__sys_recvmsg(fd, &msg, MSG_ERRQUEUE | MSG_DONTWAIT);
    if (n < 0)
        return (int)n;
    to->size = msg.msg_namelen;
    weft__address_unmap(to);
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c != NULL; c = CMSG_NXTHDR(&msg, c)) {
        struct sock_extended_err e;
        bool is_report = (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) ||
                         (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR);
        if (!is_report || c->cmsg_len < CMSG_LEN(sizeof e))
            continue;
        memcpy(&e, CMSG_DATA(c), sizeof e);
        if (e.ee_origin != SO_EE_ORIGIN_LOCAL)
            *err = -(int)e.ee_errno;
    }
    return 0;
}

int weft__sys_dup(int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return copy < 0 ? -errno : copy;
}

int weft__sys_socketpair(int type, int fds[2])
{
    int err = weft__sys_fault(WEFT__SYS_SOCKET);
    return err < 0 ? err : socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0 ? -errno : 0;
}

/* ---- messages ---- */

int weft__sys_sendmmsg(int fd, struct mmsghdr *messages, unsigned n)
{
    int sent;
    do {
        sent = weft__sys_fault(WEFT__SYS_SEND);
        if (sent == 0 && (sent = sendmmsg(fd, messages, n, MSG_DONTWAIT | MSG_NOSIGNAL)) < 0)
            sent = -errno;
    } while (sent == -EINTR);
    return sent;
}

int weft__sys_recvmmsg(int fd, struct mmsghdr *messages, unsigned n, int flags)
{
    int got;
    do {
        got = weft__sys_fault(WEFT__SYS_RECV);
        if (got == 0 && (got = recvmmsg(fd, messages, n, flags | MSG_CMSG_CLOEXEC, NULL)) < 0)
            got = -errno;
    } while (got == -EINTR);
    return got;
}

ssize_t weft__sys_recvmsg(int fd, struct msghdr *message, int flags)
{
    ssize_t n;
    do {
        n = weft__sys_fault(WEFT__SYS_RECV);
        if (n == 0 && (n = recvmsg(fd, message, flags | MSG_CMSG_CLOEXEC)) < 0)
            n = -errno;
    } while (n == -EINTR);
    return n;
}
