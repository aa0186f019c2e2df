/* weft/shared_queue.h - a bounded queue of messages between processes, in shared memory: many putters, many getters.
 *
 * Messages of any size up to the limit given, in the order of each putter. A process that is killed while it puts or
 * gets leaves the queue whole: its half-written slot is skipped and counted, its half-read message may be lost, nothing
 * else is, and nobody waits for it. Call from threads, coroutines and processes that share it, any number at once, not
 * from signal handlers. */
#ifndef WEFT_SHARED_QUEUE_H
#define WEFT_SHARED_QUEUE_H

#include <weft/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weft_shared_queue weft_shared_queue;

typedef struct weft_shared_queue_options {
    const char *name;   /* NULL: anonymous, for children and weft_shared_queue_fd; else as weft_shm_create */
    size_t bytes;       /* room for messages; 0 = 1 MiB */
    size_t message_max; /* 0 = a quarter of bytes */
    size_t messages;    /* most messages; 0 = as many as fit */
} weft_shared_queue_options;

WEFT_API int weft_shared_queue_new(weft_shared_queue **q, const weft_shared_queue_options *options);
WEFT_API int weft_shared_queue_open(weft_shared_queue **q, const char *name);
WEFT_API int weft_shared_queue_from_fd(weft_shared_queue **q, int fd);
WEFT_API int weft_shared_queue_fd(const weft_shared_queue *q);
WEFT_API void weft_shared_queue_free(weft_shared_queue *q); /* here only; the creator's also unlinks the name */

/* Returns 0, -WEFT_EFULL, -EPIPE (closed), -EMSGSIZE, -ECANCELED. Empty messages are messages. */
WEFT_API int weft_shared_queue_put(weft_shared_queue *q, const void *message, size_t size, weft_until until);

/* Returns 0 and *received; -WEFT_EEMPTY, -EPIPE (closed and drained), -EMSGSIZE (*received tells, it stays), -ECANCELED. */
WEFT_API int weft_shared_queue_get(weft_shared_queue *q, void *buffer, size_t size, size_t *received, weft_until until);
WEFT_API int weft_shared_queue_get_new(weft_shared_queue *q, void **message, size_t *received, weft_until until);

/* Close for everybody: puts fail, gets drain. */
WEFT_API void weft_shared_queue_close(weft_shared_queue *q);
WEFT_API size_t weft_shared_queue_size(const weft_shared_queue *q); /* messages; a glance */
WEFT_API size_t weft_shared_queue_lost(const weft_shared_queue *q); /* slots that dead processes left */

#ifdef __cplusplus
}
#endif
#endif
