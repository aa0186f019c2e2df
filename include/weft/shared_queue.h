/* weft/shared_queue.h - a bounded queue of messages in memory that processes share; their threads and coroutines put
 * and get alike.
 *
 *     weft_shared_queue *q;
 *     int err = weft_shared_queue_new(&q, NULL);              // then start processes: they have it, too
 *     weft_shared_queue_put(q, "hello", 5, WEFT_FOREVER);     // in the one
 *     weft_shared_queue_get(q, buffer, sizeof buffer, &size, WEFT_FOREVER);    // in the other
 *
 * Messages are bytes, of any size up to what the queue has room for; boundaries are kept. Each message comes out once
 * and whole, those of one putter in their order. Nothing is sent or flushed behind the caller's back: when put returns,
 * the message is in the queue, whatever becomes of its sender.
 *
 * Processes may be killed at any moment, and nobody hangs. What one was putting is in the queue whole or not at all
 * (weft_shared_queue_lost counts the latter); what one was getting is gone with it or, if it had not been taken yet,
 * comes out elsewhere. A death in the midst of that holds the others up for some milliseconds, at worst for a
 * tenth of a second.
 *
 * The other processes may be hostile: what they write into the memory leads to errors (-EBADMSG, wrong messages, waits
 * to the deadline), never to a crash or to reads elsewhere. While they do so, nothing else is promised.
 *
 * A handle belongs to its process, and to those forked from it. Unless said otherwise: call from threads and
 * coroutines, by any number of callers at once, not from signal handlers; nothing allocates. */
#ifndef WEFT_SHARED_QUEUE_H
#define WEFT_SHARED_QUEUE_H

#include <weft/queue.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weft_shared_queue weft_shared_queue;

typedef struct weft_shared_queue_options {
    size_t capacity;  /* the most messages it holds; 0 = as many as there is room for */
    size_t bytes;     /* room: a message takes its size and 8 bytes, in steps of 8. Rounded up to a power of two; 0 = 4
                         MiB; at most 4 GiB */
    const char *name; /* as for weft_shm_new: others weft_shared_queue_open it; NULL = none */
} weft_shared_queue_options;

/* Make a queue. Returns 0, -EINVAL, or as weft_shm_new. Allocates the handle. */
WEFT_API int weft_shared_queue_new(weft_shared_queue **q, const weft_shared_queue_options *options);

/* The queue of that name, or that a descriptor from weft_shared_queue_fd stands for (taken over). Results as
 * weft_shm_open and weft_shm_from_fd. A name is taken away by weft_shm_unlink. */
WEFT_API int weft_shared_queue_open(weft_shared_queue **q, const char *name);
WEFT_API int weft_shared_queue_from_fd(weft_shared_queue **q, int fd);
WEFT_API int weft_shared_queue_fd(const weft_shared_queue *q); /* owned by the handle */

/* Let go of this process's handle; the queue and what is in it stay for the others. NULL is nothing. Nobody here may be
 * using it. */
WEFT_API void weft_shared_queue_free(weft_shared_queue *q);

/* Put one message; waits while there is no room. Returns 0; -WEFT_EFULL (no room until the deadline); -EPIPE (closed);
 * -ECANCELED; -EMSGSIZE (larger than the whole room); -EBADMSG (the memory has been spoilt). Room that comes together
 * with the deadline wins. -ETIMEDOUT: a process that is stopped in the midst of a put kept it from looking until the
 * deadline, and for a second at least. Nothing was put unless it returns 0. */
WEFT_API int weft_shared_queue_put(weft_shared_queue *q, const void *message, size_t size, weft_until until);

/* Take one message, and store its size in *received; waits while there is none. Returns 0; -WEFT_EEMPTY (none until the
 * deadline); -EPIPE (closed and drained); -WEFT_EEOF (drained, and no producer is left, see below); -EMSGSIZE: it is
 * larger than `size`, *received tells how large, and it stays the next; otherwise as put. */
WEFT_API int weft_shared_queue_get(weft_shared_queue *q, void *buffer, size_t size, size_t *received, weft_until until);

/* The same into memory of its own, with a 0 behind it: free(*message). Also -ENOMEM; the message stays then. */
WEFT_API int weft_shared_queue_get_new(weft_shared_queue *q, void **message, size_t *received, weft_until until);

/* ---- how full: true when nobody uses it meanwhile, else a glance ---- */

WEFT_API size_t weft_shared_queue_size(const weft_shared_queue *q); /* messages */
WEFT_API int weft_shared_queue_empty(const weft_shared_queue *q);
WEFT_API int weft_shared_queue_full(const weft_shared_queue *q); /* no room for one more, be it of no bytes */
WEFT_API size_t weft_shared_queue_capacity(const weft_shared_queue *q);
WEFT_API size_t weft_shared_queue_message_max(const weft_shared_queue *q);

/* Messages that were half written when their writers died, and so were never in the queue. */
WEFT_API unsigned weft_shared_queue_lost(const weft_shared_queue *q);

/* ---- work that is counted, as in weft/queue.h ----
 * A message that a process got and then died with is never done. */

WEFT_API int weft_shared_queue_task_done(weft_shared_queue *q);
WEFT_API int weft_shared_queue_join(weft_shared_queue *q, weft_until until);

/* ---- the end ---- */

/* No more puts, in any process: as weft_queue_close. Returns 0, or -ETIMEDOUT: a process that is stopped in the midst
 * of a put or get kept it off for a second; then it may not be closed. */
WEFT_API int weft_shared_queue_close(weft_shared_queue *q, int how);
WEFT_API int weft_shared_queue_closed(const weft_shared_queue *q);

/* Say that the calling process is going to put, and that it will not any more; in pairs. Once somebody has said so, the
 * queue ends by itself: gets drain it and then return -WEFT_EEOF while no producer is left, be it that each has said so
 * or has died. Who starts producers should be one itself until all of them are. Returns 0; -ENOSPC: 64 living
 * producers; end: -EINVAL when the process is none. */
WEFT_API int weft_shared_queue_producer_begin(weft_shared_queue *q);
WEFT_API int weft_shared_queue_producer_end(weft_shared_queue *q);

#ifdef __cplusplus
}
#endif
#endif
