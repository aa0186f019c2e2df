/* weft/queue.h - queues between threads and coroutines in any mix: first in first out, last in first out, by priority.
 *
 *     weft_queue *q;
 *     int err = weft_queue_new(&q, sizeof(int), &(weft_queue_options){.capacity = 100});
 *     weft_queue_put(q, &(int){42}, WEFT_FOREVER);            // waits while it is full
 *     int n;
 *     while (weft_queue_get(q, &n, WEFT_FOREVER) == 0) ...    // until it is closed and drained
 *
 * Elements are copied in and out: fixed in size, any plain data; a pointer, if they are large. Full and empty are told
 * by names of their own (-WEFT_EFULL, -WEFT_EEMPTY): with WEFT_NOW at once, else at the deadline. Closed is -EPIPE.
 *
 * Unless said otherwise: call from threads and coroutines, by any number of callers at once, not from signal handlers.
 * What the putter wrote before its put is seen by who got the element. Each element comes out once; those of one putter
 * come out of a FIFO in their order. */
#ifndef WEFT_QUEUE_H
#define WEFT_QUEUE_H

#include <weft/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weft_queue weft_queue;

enum weft_queue_kind {
    WEFT_FIFO = 0,
    WEFT_LIFO,
    WEFT_PRIORITY /* the least by `compare` first; equal ones in the order they were put */
};

typedef struct weft_queue_options {
    enum weft_queue_kind kind;
    size_t capacity;                              /* the most elements it holds; 0 = no limit: it grows by doubling */
    int (*compare)(const void *a, const void *b); /* WEFT_PRIORITY: like qsort's; must not use the queue, nor wait. NULL
                                                     = elements begin with an int, the least of which goes first */
    void (*destroy)(void *element);               /* for elements that nobody got: dropped, or left at free. No lock of
                                                     the queue is held */
    const char *name;                             /* copied, first 31 bytes; for reports */
} weft_queue_options;

/* Make a queue of elements of `element_size` bytes (1 ... 65536). Returns 0, -EINVAL or -ENOMEM. */
WEFT_API int weft_queue_new(weft_queue **q, size_t element_size, const weft_queue_options *options);

/* Free it, and destroy what is still in it. Nobody may be using it: a put may still be on its way back although its
 * element was got. Panics when somebody waits in it. NULL is nothing. */
WEFT_API void weft_queue_free(weft_queue *q);

/* Put a copy of *element; waits while the queue is full. Returns 0, -WEFT_EFULL (it stayed full until the deadline),
 * -EPIPE (closed), -ECANCELED, or -ENOMEM (no capacity was set and there is no memory). Room that comes together with
 * the deadline wins. Nothing was put unless it returns 0. */
WEFT_API int weft_queue_put(weft_queue *q, const void *element, weft_until until);

/* Take one; waits while the queue is empty. Returns 0, -WEFT_EEMPTY, -EPIPE (closed and drained) or -ECANCELED;
 * *element is written only with 0. */
WEFT_API int weft_queue_get(weft_queue *q, void *element, weft_until until);

/* Put as many of the n elements as there is room for, in order, at least one: waits only while there is room for none.
 * Returns how many, or as put when not one went in. n == 0 is 0. One wake serves the whole batch. */
WEFT_API long weft_queue_put_many(weft_queue *q, const void *elements, size_t n, weft_until until);

/* Take as many as there are, at most n, at least one. Returns how many, or as get. */
WEFT_API long weft_queue_get_many(weft_queue *q, void *elements, size_t n, weft_until until);

/* ---- how full: true when nobody uses it meanwhile, else a glance ---- */

WEFT_API size_t weft_queue_size(const weft_queue *q);
WEFT_API int weft_queue_empty(const weft_queue *q);
WEFT_API int weft_queue_full(const weft_queue *q);
WEFT_API size_t weft_queue_capacity(const weft_queue *q);

/* Change the limit; 0 = none. Below the present size nothing is dropped: puts wait until it has drained. Returns 0, or
 * -ENOMEM with the old limit in force. */
WEFT_API int weft_queue_set_capacity(weft_queue *q, size_t capacity);

/* ---- work that is counted ---- */

/* Say that an element that was got has been dealt with. Returns 0, or -EINVAL when more were done than put. */
WEFT_API int weft_queue_task_done(weft_queue *q);

/* Wait until every element that was put has been got and task_done was called for it. Returns 0, -ETIMEDOUT or
 * -ECANCELED. Any number of callers, again and again. */
WEFT_API int weft_queue_join(weft_queue *q, weft_until until);

/* ---- closing ---- */

enum {
    WEFT_CLOSE_DRAIN = 0, /* what is in it may still be got */
    WEFT_CLOSE_DROP = 1   /* what is in it is destroyed and counts as done */
};

/* No more puts: they return -EPIPE, those that wait as well; gets drain what is left (or find it dropped) and then
 * return -EPIPE. Closing again is allowed; once dropped, it stays so. */
WEFT_API void weft_queue_close(weft_queue *q, int how);
WEFT_API int weft_queue_closed(const weft_queue *q);

#ifdef __cplusplus
}
#endif
#endif
