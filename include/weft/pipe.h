/* weft/pipe.h - message pipes between processes: each message arrives whole or not at all.
 *
 * One way (simplex) or both ways (duplex). Made before a child is started; each side closes the end it does not need.
 * Messages up to 16 MiB; boundaries are kept, also for empty ones. A writer that is killed in the midst of a message
 * leaves no half of it. Descriptors can go along. Call from threads and coroutines, one sender and one receiver of an
 * end at a time or several (each message is still whole), not from signal handlers. */
#ifndef WEFT_PIPE_H
#define WEFT_PIPE_H

#include <weft/base.h>

#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    WEFT_SIMPLEX = 0, /* ends[0] receives, ends[1] sends */
    WEFT_DUPLEX = 1,
    WEFT_MESSAGE_MAX = 16 << 20
};

typedef struct weft_pipe weft_pipe; /* one end */

WEFT_API int weft_pipe_new(weft_pipe *ends[2], int how);
/* An end around a descriptor that came from elsewhere (weft_pipe_fd in another process). Takes the descriptor over. */
WEFT_API int weft_pipe_from_fd(weft_pipe **end, int fd, int how);
WEFT_API int weft_pipe_fd(const weft_pipe *end); /* for poll, select, passing on; owned by the end */
WEFT_API void weft_pipe_close(weft_pipe *end);   /* NULL is nothing */

/* Send one message. Returns 0; -EPIPE: nobody is left to receive (never a signal); -EMSGSIZE; -ETIMEDOUT or -ECANCELED
 * with nothing sent; -EBADF on the receiving end of a simplex pipe. */
WEFT_API int weft_pipe_send(weft_pipe *end, const void *message, size_t size, weft_until until);
WEFT_API int weft_pipe_send_fds(weft_pipe *end, const void *message, size_t size, const int *fds, unsigned n,
                                weft_until until); /* at most 250 */

/* Receive one into `buffer`. Returns 0 and *received; -WEFT_EEOF: all senders are gone and all messages received;
 * -EMSGSIZE: it is larger, *received tells how large, and it stays to be received; -ETIMEDOUT, -ECANCELED. */
WEFT_API int weft_pipe_receive(weft_pipe *end, void *buffer, size_t size, size_t *received, weft_until until);
WEFT_API int weft_pipe_receive_fds(weft_pipe *end, void *buffer, size_t size, size_t *received, int *fds, unsigned *n,
                                   weft_until until); /* close-on-exec */
/* The same into memory of its own: *message is malloc'ed. */
WEFT_API int weft_pipe_receive_new(weft_pipe *end, void **message, size_t *received, weft_until until);

/* Wait until a message (or the end) is there. Takes nothing. 0, -ETIMEDOUT, -ECANCELED. */
WEFT_API int weft_pipe_poll(weft_pipe *end, weft_until until);

/* Wait for several ends and other descriptors: fills ready[i] with 1 or 0, returns how many are, 0 at the deadline. */
WEFT_API int weft_fds_wait(const int *fds, unsigned n, unsigned char *ready, weft_until until);

#ifdef __cplusplus
}
#endif
#endif
