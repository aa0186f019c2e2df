/* net.h - socket calls that return -errno, and socket addresses. Every socket made here is non-blocking and
 * close-on-exec, and every send is without SIGPIPE. Interrupted calls are made again. */
#ifndef WEFT_SYS_NET_H
#define WEFT_SYS_NET_H

#include <weft/address.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

typedef weft_address weft__address;

/* A numeric IPv4 or IPv6 address (with or without brackets, with a scope). 0, or -EINVAL: it is a name. */
int weft__address_parse(weft__address *a, const char *host, unsigned port);

/* "127.0.0.1:8000", "[::1]:8000", "unix:/path". An IPv4 address mapped into IPv6 is shown as IPv4. Returns the length;
 * the text is cut to size. */
int weft__address_text(const weft__address *a, char *text, size_t size);

/* The size of an address of the kernel's: it says one more than there is room for of a Unix path that fills it, and
 * has no final 0. */
static inline socklen_t weft__address_size(socklen_t told)
{
    return told < sizeof(struct sockaddr_un) ? told : (socklen_t)sizeof(struct sockaddr_un);
}

/* The host part alone, without brackets. */
int weft__address_host(const weft__address *a, char *text, size_t size);
unsigned weft__address_port(const weft__address *a);

/* An IPv4 address as IPv6 sockets know it, and back; others stay as they are. */
void weft__address_map(weft_address *a);
void weft__address_unmap(weft_address *a);

/* A number for the client behind an IPv4 or IPv6 address, whatever its port, by a hash that nobody can aim at who does
 * not know the seed. An IPv6 client is its /64: who has one address of it has all. 0 bytes of address are one, too. */
uint64_t weft__address_client(const weft__address *a, uint64_t seed);

/* The name of a host, by getnameinfo, which blocks as well. Its length, or -ENOENT: it has none, -EAGAIN,
 * -ENAMETOOLONG, -EINVAL: no IP address. */
int weft__address_name(const weft__address *a, char *name, size_t size);

/* Look a name up by getaddrinfo (which blocks: call it through weft_blocking). Stores up to `max` addresses in the
 * order in which they should be tried and returns how many; -ENOENT, -EAGAIN (no answer), -ENOMEM, -EINVAL. `passive`:
 * to bind. */
int weft__address_lookup(const char *host, unsigned port, bool passive, weft__address *out, unsigned max);

int weft__sys_socket(int family, int type);
int weft__sys_bind(int fd, const weft__address *a);
int weft__sys_listen(int fd, unsigned backlog);

/* The next connection; its address in *peer, which may be NULL. -EAGAIN: none. Connections that were aborted in the
 * queue are skipped. */
int weft__sys_accept(int fd, weft__address *peer);

/* Whether this result of an accept says nothing about the listener: try again. */
bool weft__sys_accept_again(int err);

/* Have all who wait for this listening socket look into its queue, if somebody stands there: for one of them whom the
 * kernel may have told alone, and who will not take who came. */
void weft__sys_wake_acceptors(int fd);

/* 0, or -EINPROGRESS: wait for writability and ask weft__sys_socket_error. */
int weft__sys_connect(int fd, const weft__address *a);
int weft__sys_shutdown(int fd, int how);

/* Never retried: the descriptor is gone whatever the result. */
void weft__sys_close(int fd);

ssize_t weft__sys_recv(int fd, void *buf, size_t size, int flags);
ssize_t weft__sys_send(int fd, const void *buf, size_t size, int flags);
ssize_t weft__sys_sendmsg(int fd, const struct msghdr *msg, int flags);

/* A part may go; 0: the file ends at *offset. *offset is advanced. */
ssize_t weft__sys_sendfile(int out, int in, uint64_t *offset, size_t size);

int weft__sys_setsockopt(int fd, int level, int name, int value);
int weft__sys_getsockopt(int fd, int level, int name, int *value);

/* How many packets the kernel has dropped because the socket's queue was full; 0 where it cannot tell. */
uint32_t weft__sys_socket_drops(int fd);

/* setsockopt with any value. */
int weft__sys_setsockopt_value(int fd, int level, int name, const void *value, size_t size);

/* The number of the interface of this name; 0: there is none. */
unsigned weft__sys_interface(const char *name);

/* The pending error as 0 or -errno, which is cleared. */
int weft__sys_socket_error(int fd);
int weft__sys_local(int fd, weft__address *a);
int weft__sys_peer(int fd, weft__address *a); /* also of a connection that was reset since */

/* Who is at the other end of a Unix socket. 0 or -errno. */
int weft__sys_peer_user(int fd, pid_t *pid, uid_t *uid, gid_t *gid);

int weft__sys_set_nonblocking(int fd);

/* Connections that a listening TCP socket has ready to be accepted. */
int weft__sys_queued(int fd);

/* Make the caller's socket ours: it has to be of this type (-ENOTSOCK otherwise) and becomes non-blocking. Its
 * domain, or -errno, and then it is closed. */
int weft__sys_take_socket(int fd, int type);

/* The next of what ICMP has said of datagrams that were sent from here, if the socket keeps it (IP_RECVERR): *err is
 * the error, negative, and *to where the datagram went; or 0: this one was the result of a send. Returns 0 or -errno;
 * -EAGAIN: there is none. */
int weft__sys_take_error(int fd, weft__address *to, int *err);

/* A duplicate of fd, close-on-exec. */
int weft__sys_dup(int fd);

/* Two connected sockets of this type, non-blocking and close-on-exec. */
int weft__sys_socketpair(int type, int fds[2]);

/* ---- many messages at once ---- */

/* Returns how many went or came, at least 1, or -errno; -EAGAIN: none without waiting. */
int weft__sys_sendmmsg(int fd, struct mmsghdr *messages, unsigned n);
int weft__sys_recvmmsg(int fd, struct mmsghdr *messages, unsigned n, int flags);
ssize_t weft__sys_recvmsg(int fd, struct msghdr *message, int flags);

#endif
