/* weft/stream.h - byte streams between programs: connections and listeners over TCP and Unix sockets, used in blocking
 * style from threads and coroutines alike. weft/tls.h puts TLS on them, weft/buffered.h lines and frames.
 *
 *     weft_stream *s;
 *     int err = weft_tcp_connect(&s, "localhost", 8000, NULL, weft_in_ms(2000));
 *     if (err == 0) {
 *         ssize_t n = weft_stream_send(s, "hello\n", 6, WEFT_FOREVER);
 *         ...
 *         weft_stream_close(s);
 *     }
 *
 * Unless its comment says otherwise a call here may be made from any thread and coroutine (which parks; its thread
 * goes on), by several at once (say one reader and one writer), and not in a signal handler; it allocates nothing. A
 * stream may be handed to another thread, and be closed while others wait on it: their calls return -EBADF.
 * Deadlines and cancellation end a wait with -ETIMEDOUT and -ECANCELED; what can be done without waiting is done also
 * when the deadline has passed or the caller is cancelled. A broken connection is -EPIPE or -ECONNRESET, never a
 * signal.
 *
 * After fork both processes have the stream. Who waits on it in the parent does not in the child; and a close in one of
 * them leaves it open in the other, unless it was under a wait of the same process, or of TLS (weft/tls.h). */
#ifndef WEFT_STREAM_H
#define WEFT_STREAM_H

#include <sys/types.h>
#include <sys/uio.h>

#include <weft/address.h>
#include <weft/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weft_stream weft_stream;

/* Every field's zero is its default. */
typedef struct weft_tcp_options {
    unsigned backlog; /* listen: connections kept by the kernel until accepted; 0 = 4096, cut to net.core.somaxconn */
    unsigned send_buffer;     /* bytes; 0 = the kernel's choice, which adapts */
    unsigned recv_buffer;     /* the same */
    unsigned max_rate;        /* send at most so many bytes a second, spread by the kernel; 0 = as fast as it goes */
    unsigned char reuse_port; /* listen: several listeners share the port, the kernel shares out connections */
    unsigned char delay;      /* 1: gather small segments (Nagle's algorithm); 0 = send at once */
    unsigned char keep_alive; /* 1: probe silent peers */
    unsigned char only_v6;    /* listen: an IPv6 listener does not take IPv4 as well */
    /* Seconds of silence before the first probe and between two, and how many without an answer end the connection with
     * -ETIMEDOUT; each asks for `keep_alive`. 0 = the system's: 2 hours, 75 seconds, 9. */
    unsigned keep_idle, keep_interval, keep_probes;
    unsigned unanswered_ms; /* bytes that the peer has not confirmed for so long end it too; 0 = some 15 minutes */
    const char *local;      /* connect: from this address, "192.168.1.5", and port, "192.168.1.5:4000"; NULL: any */
} weft_tcp_options;

/* Listen on `host` (a numeric address or a name; NULL = "127.0.0.1"; "", "0.0.0.0" or "::" for every address) and
 * `port` (0 = any free one, see weft_stream_port). A name is looked up without blocking other coroutines. A port that
 * closed connections still occupy is taken (SO_REUSEADDR).
 * Returns 0 and *s; -EADDRINUSE, -EADDRNOTAVAIL, -EACCES, -ENOENT (no such name), -EMFILE, -ENOMEM ... Allocates. */
WEFT_API int weft_tcp_listen(weft_stream **s, const char *host, unsigned port, const weft_tcp_options *options);

/* Take the next connection that came to `listener`, TCP's or a Unix one. Connections that were aborted meanwhile are
 * skipped. Whose it is says weft_stream_peer.
 * Returns 0 and *s; -ETIMEDOUT, -ECANCELED, -EBADF (closed); -EMFILE, -ENFILE: the connection stays in the queue, make
 * room before the next try; -ENOMEM. One that arrives together with the deadline wins. Allocates. */
WEFT_API int weft_stream_accept(weft_stream **s, weft_stream *listener, weft_until until);

/* The same by the name that goes with weft_tcp_listen. */
WEFT_API int weft_tcp_accept(weft_stream **s, weft_stream *listener, weft_until until);

/* Connect to `host` (numeric or a name; NULL, "" and "0.0.0.0" mean this host) and `port`. The addresses of a name are
 * tried in turn, IPv6 and IPv4 alternating: the next one as soon as one refuses or has not answered for 250 ms, and
 * the first that answers is taken (RFC 8305).
 * Returns 0 and *s, or the last address's error: -ECONNREFUSED, -ETIMEDOUT, -ECANCELED, -EHOSTUNREACH, -ENOENT (no such
 * name), -EAGAIN (the name server did not answer), -EADDRINUSE, -EADDRNOTAVAIL (`local`), -EMFILE ... The look-up
 * itself is not cut short. Allocates. */
WEFT_API int weft_tcp_connect(weft_stream **s, const char *host, unsigned port, const weft_tcp_options *options,
                              weft_until until);

/* Every field's zero is its default. */
typedef struct weft_unix_options {
    unsigned backlog;        /* listen: connections kept by the kernel until accepted; 0 = 4096, cut as TCP's */
    unsigned send_buffer;    /* bytes; 0 = the kernel's choice */
    unsigned recv_buffer;    /* the same */
    unsigned mode;           /* listen: who may connect, as the socket file's mode: 0 = 0600, its owner alone */
    unsigned char keep_file; /* listen: 1: the file stays when the listener is closed */
} weft_unix_options;

/* Listen on a Unix socket at `path` (107 bytes at the most), or under the abstract name "@name", which is no file and
 * open to every user of this network namespace. A socket file that no living program has open is replaced. The file is
 * removed by weft_stream_close in the process that made it, if it is still the same.
 * Returns 0 and *s; -EADDRINUSE: somebody has it; -EACCES, -ENOENT (no such directory), -ENAMETOOLONG, -EINVAL (empty),
 * -EMFILE, -ENOMEM ... Works on the file system: coroutines go on meanwhile. Allocates. */
WEFT_API int weft_unix_listen(weft_stream **s, const char *path, const weft_unix_options *options);

/* Connect to the listener at `path` or "@name"; waits while its queue is full.
 * Returns 0 and *s; -ENOENT: there is no such path; -ECONNREFUSED: nobody listens there; -EACCES, -EPROTOTYPE: it is
 * no stream; -ETIMEDOUT, -ECANCELED, -EMFILE, -ENOMEM. Allocates. */
WEFT_API int weft_unix_connect(weft_stream **s, const char *path, const weft_unix_options *options, weft_until until);

/* Two streams that are connected to each other. 0, -EMFILE, -ENOMEM. Allocates. */
WEFT_API int weft_unix_pair(weft_stream *pair[2]);

/* Receive what there is, at least one byte, at most `size`; waits while there is nothing.
 * Returns the count; 0: the peer's end (or size is 0); -ETIMEDOUT, -ECANCELED, -EBADF, -ECONNRESET ... */
WEFT_API ssize_t weft_stream_recv(weft_stream *s, void *buf, size_t size, weft_until until);

/* Receive until `size` bytes are there or the peer ends. Returns the count, which is below `size` only at the peer's
 * end; or an error, and then *got (which may be NULL) says how many were received before it. */
WEFT_API ssize_t weft_stream_recv_all(weft_stream *s, void *buf, size_t size, size_t *got, weft_until until);

/* Send all of it. Two senders' bytes may mix unless each call's fit the send buffer.
 * Returns `size`; or an error, and then an unknown part of it was sent: -EPIPE, -ECONNRESET, -ETIMEDOUT, -ECANCELED,
 * -EBADF. */
WEFT_API ssize_t weft_stream_send(weft_stream *s, const void *data, size_t size, weft_until until);

/* The same for n pieces (at most 1024), which are sent as one. */
WEFT_API ssize_t weft_stream_send_pieces(weft_stream *s, const struct iovec *pieces, unsigned n, weft_until until);

/* Send `size` bytes of the file fd from `offset`, in the kernel. The file's position is neither used nor moved.
 * Returns the count, below `size` only where the file ends; or an error as send. Reading the file may block the thread
 * for as long as the disk takes. */
WEFT_API ssize_t weft_stream_sendfile(weft_stream *s, int fd, uint64_t offset, size_t size, weft_until until);

enum {
    WEFT_SHUTDOWN_RECV = 0, /* SHUT_RD */
    WEFT_SHUTDOWN_SEND = 1, /* SHUT_WR: the peer reads our end after what was sent */
    WEFT_SHUTDOWN_BOTH = 2
};

/* End one direction or both; the stream stays open. Never waits. 0, -ENOTCONN (the peer has left), -EBADF. */
WEFT_API int weft_stream_shutdown(weft_stream *s, int how);

/* End the stream and its handle. Calls of others that are under way return -EBADF, and the connection is shut down; the
 * descriptor goes when the last of them has left. Where no coroutine waited on the stream, or in the scheduler thread
 * whose coroutine did, that is before this returns; elsewhere that thread closes it as soon as it comes round. Bytes
 * that were sent are still delivered. Nobody may begin another call on it: cancel and join first who might. Takes NULL.
 * Never waits. */
WEFT_API void weft_stream_close(weft_stream *s);

/* End it as close does, but at once and in bad order: what was sent and has not been confirmed is thrown away, and the
 * peer's calls return -ECONNRESET (TCP; with TLS also without a word); unless calls of others are under way, whose
 * peer reads an orderly end. Others: as close. Takes NULL. */
WEFT_API void weft_stream_reset(weft_stream *s);

/* Give the descriptor away and end the handle: whatever is sent and received from now on is the caller's affair. It is
 * another number than weft_stream_fd gave, non-blocking and close-on-exec; a Unix listener's file stays. Returns it;
 * or -EBUSY: a call is under way, -EOPNOTSUPP: it has TLS, -EMFILE, and the stream is as it was. */
WEFT_API int weft_stream_detach(weft_stream *s);

/* ---- Unix sockets: descriptors along with bytes ---- */

/* Send all of it, and with its first byte copies of n descriptors (at most 253), which stay the caller's. Who receives
 * by weft_stream_recv gets the bytes alone. Returns as send; -EINVAL: too many, or no byte; -EBADF: one of them is not
 * open; -EOPNOTSUPP: no Unix socket, or with TLS; -ETOOMANYREFS: too many are under way. */
WEFT_API ssize_t weft_stream_send_fds(weft_stream *s, const void *data, size_t size, const int *fds, unsigned n,
                                      weft_until until);

/* Receive what there is, as recv, and the descriptors that came with it, close-on-exec. Bytes of two sends that had
 * some come by two receives. *n is their room before and their number after; those without room, here or in the
 * process's table, are closed. Also -EINVAL (size 0), -EOPNOTSUPP. */
WEFT_API ssize_t weft_stream_recv_fds(weft_stream *s, void *buf, size_t size, int *fds, unsigned *n, weft_until until);

/* Who is at the other end of a Unix socket, as the kernel noted when it was connected (or, for who connected, when the
 * other listened). */
typedef struct weft_unix_user {
    pid_t pid; /* 0: outside of this container */
    uid_t uid;
    gid_t gid;
} weft_unix_user;

/* 0, -EOPNOTSUPP: no Unix socket; -EBADF. */
WEFT_API int weft_unix_peer(weft_stream *s, weft_unix_user *user);

/* This end's and the other end's address as text, "127.0.0.1:8000", "[::1]:8000" or "unix:/path"; weft_address_parse
 * reads it, but for the "unix:" of a Unix socket without a name. Returns its length or -errno (-ENOTCONN for the peer
 * of a listener). */
WEFT_API int weft_stream_local(weft_stream *s, char text[WEFT_ADDRESS_MAX]);
WEFT_API int weft_stream_peer(weft_stream *s, char text[WEFT_ADDRESS_MAX]);

/* This end's port, 0 where there is none. */
WEFT_API unsigned weft_stream_port(weft_stream *s);

/* The descriptor, which stays the stream's. Non-blocking. */
WEFT_API int weft_stream_fd(weft_stream *s);

/* Make a stream of a connected or listening stream socket; takes fd, also on failure. 0, -ENOTSOCK, -EBADF, -ENOMEM. */
WEFT_API int weft_stream_adopt(weft_stream **s, int fd);

#ifdef __cplusplus
}
#endif
#endif
