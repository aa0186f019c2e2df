/* bytes.h - what a job over bytes is made of, in whichever pool; see weft/executor.h.
 *
 * The record belongs to its job, is freed with it, and holds a copy of the input and the answer. Here, too, is what the
 * process engine has to remember of a job; all of that is changed under its crew's lock. */
#ifndef WEFT_POOL_BYTES_H
#define WEFT_POOL_BYTES_H

#include <weft/executor.h>

#include <stdbool.h>

enum {
    WEFT__REPLY_SMALL = 128
};

struct weft_reply {
    char *data; /* `small`, or allocated */
    size_t size, room;
    size_t limit;
    char *why;                                                          /* of an error; NULL: nothing was said */
    void (*progress)(weft_reply *reply, uint64_t done, uint64_t total); /* NULL: nobody asks */
    _Alignas(16) char small[WEFT__REPLY_SMALL];
};

struct weft__man;

typedef struct weft__task {
    weft_bytes_fn *fn;
    weft_reply reply;
    weft_future *future;
    void (*progress)(weft_future *f, uint64_t done, uint64_t total, void *arg);
    void *progress_arg;

    struct weft__man *man; /* the worker that has it; NULL: none */
    uint32_t slot;         /* there */
    uint32_t deaths;       /* workers that died of it */
    bool begun;            /* its future is running */
    bool waits;            /* it was taken back, and waits for a worker */
    int answer_fd;         /* the answer, not read yet; -1: none */
    struct weft__task *next;

    size_t size;
    _Alignas(16) char in[];
} weft__task;

void weft__reply_init(weft_reply *reply, size_t limit);
void weft__reply_reset(weft_reply *reply); /* for the next job; keeps its memory */
void weft__reply_drop(weft_reply *reply);  /* free what it has */

void weft__task_free(weft__task *b);

/* Give it words for its error, unless it has some. */
__attribute__((format(printf, 2, 3))) void weft__task_say(weft__task *b, const char *format, ...);

#endif
