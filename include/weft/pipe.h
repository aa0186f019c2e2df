/* weft/pipe.h - message pipes between processes: each message arrives whole or not at all.
 *
 *     weft_pipe *ends[2];
 *     int err = weft_pipe_new(ends, WEFT_SIMPLEX);            // then start a child: both processes have both ends
 *     weft_pipe_send(ends[1], "hello", 5, WEFT_FOREVER);      // in the one, which closes ends[0]
 *     weft_pipe_receive(ends[0], buffer, sizeof buffer, &size, WEFT_FOREVER);    // in the other, which closes ends[1]
 *
 * Messages of 0 bytes to 16 MiB; boundaries are kept. A sender that is killed in the midst of a send leaves no half of
 * a message. The end of all senders is -WEFT_EEOF, of all receivers -EPIPE; each process must close the ends it does
 * not use, or neither is seen. Descriptors can go along with a message.
 *
 * An end may be used by several threads, coroutines and processes at once: each message goes to one of them. Not from
 * signal handlers. Ends are inherited by forks, and closed at an exec. */
#ifndef WEFT_PIPE_H
#define WEFT_PIPE_H

#include <weft/base.h>

#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    WEFT_SIMPLEX = 0, /* ends[0] receives, ends[1] sends */
    WEFT_DUPLEX = 1,  /* both do both */
    WEFT_MESSAGE_MAX = 16 << 20,
    WEFT_MESSAGE_FDS_MAX = 250
};

typedef struct weft_pipe weft_pipe; /* one end */

/* Returns 0, -EINVAL, -EMFILE or -ENOMEM. */
WEFT_API int weft_pipe_new(weft_pipe *ends[2], int how);

/* An end around a descriptor that came from weft_pipe_fd in another process; `how` as the end it was: WEFT_DUPLEX, or
 * for a simplex pipe 0 to receive and -1 to send. Takes the descriptor over. Returns 0, -EINVAL (it is no end of a
 * pipe) or -ENOMEM; then the descriptor is still the caller's. */
WEFT_API int weft_pipe_from_fd(weft_pipe **end, int fd, int how);

/* For select, poll and passing on: readable when a message, or the end, can be received. Owned by the end. */
WEFT_API int weft_pipe_fd(const weft_pipe *end);

/* Close this process's copy of the end. NULL is nothing. Nobody here may be using it. */
WEFT_API void weft_pipe_close(weft_pipe *end);

/* Send one message. Returns 0; -EPIPE: nobody is left to receive (never a signal); -EMSGSIZE: above WEFT_MESSAGE_MAX;
 * -ETIMEDOUT or -ECANCELED with nothing sent; -EBADF on an end that only receives; -EMFILE, -ENOMEM for large ones. */
WEFT_API int weft_pipe_send(weft_pipe *end, const void *message, size_t size, weft_until until);

/* The same with n descriptors, of which the receiver gets copies. Also -EINVAL above WEFT_MESSAGE_FDS_MAX. */
WEFT_API int weft_pipe_send_fds(weft_pipe *end, const void *message, size_t size, const int *fds, unsigned n,
                                weft_until until);

/* Receive one message into `buffer`. Returns 0 and its size in *received; -WEFT_EEOF: all senders are gone and all
 * messages received; -EMSGSIZE: it is larger than `size`, *received tells how large, and it stays to be received;
 * -ETIMEDOUT, -ECANCELED; -EBADF on an end that only sends; -EPROTO: what came is no message of weft's. Descriptors
 * that came along are closed. */
WEFT_API int weft_pipe_receive(weft_pipe *end, void *buffer, size_t size, size_t *received, weft_until until);

/* The same with its descriptors, close-on-exec, in fds: *n is their room before and their number after; more are
 * closed.
 */
WEFT_API int weft_pipe_receive_fds(weft_pipe *end, void *buffer, size_t size, size_t *received, int *fds, unsigned *n,
                                   weft_until until);

/* The same into memory of its own: free(*message). */
WEFT_API int weft_pipe_receive_new(weft_pipe *end, void **message, size_t *received, weft_until until);

/* Wait until a message, or the end, is there, and take nothing. Returns 0, -ETIMEDOUT or -ECANCELED. */
WEFT_API int weft_pipe_poll(weft_pipe *end, weft_until until);

/* Wait until some of n descriptors can be read: ends of pipes, sentinels of processes, sockets. ready[i] becomes 1 or
 * 0. Returns how many are; -ETIMEDOUT, -ECANCELED, -EBADF, -ENOMEM. At most 1024. */
WEFT_API int weft_fds_wait(const int *fds, unsigned n, unsigned char *ready, weft_until until);

#ifdef __cplusplus
}
#endif
#endif
