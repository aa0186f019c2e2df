/* queue.h - a queue from inside the library: its fields, tries that do not wait, and words to sleep on for select.
 *
 * To wait for a side of a queue beside other things:
 *
 *      err = weft__queue_try_get(q, element);                 done, unless it is -WEFT_EEMPTY
 *      v = weft__queue_arm(q, WEFT__QUEUE_GET);               from now on a put changes the word and wakes
 *      if (!weft__queue_ready(q, WEFT__QUEUE_GET))
 *          sleep on weft__queue_word(q, WEFT__QUEUE_GET) while it is v
 *      weft__queue_pass_on(q, WEFT__QUEUE_GET);               if this word's wake ended the sleep (or its word
 *                                                             differed), after the try that follows, whatever came
 *                                                             of that try and of the other cases
 *
 * The same with PUT: try_put, -WEFT_EFULL. A queue wakes one sleeper a side and then no other until that one has passed
 * the wake on: who is woken and leaves it out loses the wake of others. The tries may wait for the queue's own locks,
 * which are held for moments only. */
#ifndef WEFT_FLOW_QUEUE_H
#define WEFT_FLOW_QUEUE_H

#include <weft/lock.h>
#include <weft/queue.h>

#include "park/park.h"

enum weft__queue_side {
    WEFT__QUEUE_PUT = 0,
    WEFT__QUEUE_GET = 1
};

/* What one side owns: each on cache lines of its own, for putters and getters do not write each other's. */
typedef struct weft__queue_half {
    weft_lock lock;
    uint64_t count; /* atomic: elements put, or taken, so far; changes under the side's lock */
    uint64_t other; /* atomic: the other side's count as last read; changes under the side's lock */
    uint32_t gain;  /* own: what that look brought */
    uint32_t skip;  /* own: looks to make without a pause before them */
    uint32_t waits; /* atomic: how often somebody of this side had to wait */
    uint32_t looks; /* atomic: for how many ns the next one looks before it sleeps */
    uint32_t cpu;   /* atomic: 1 + the processor that the last of this side was on when it looked; 0: none yet */
    uint32_t rest;  /* atomic: waits to come in which nobody gives way */
    uint32_t rests; /* atomic: how many those were the last time */
    int64_t looked; /* own: when somebody last looked who had found little */
    char pad[WEFT__CACHE_LINE];
} weft__queue_half;

/* WEFT_PRIORITY: where in the store an element lies. The entries from `size` on name the free places. */
typedef struct weft__queue_entry {
    uint64_t number; /* of its put: equal elements keep their order */
    uint32_t place;
    int key; /* what the element begins with, where that is its order: the element itself is not looked at */
} weft__queue_entry;

struct weft_queue {
    /* Changes under both locks, read under either. */
    char *store;             /* `slots` elements */
    weft__queue_entry *heap; /* WEFT_PRIORITY: `slots` entries */
    size_t slots;            /* a power of two */
    size_t limit;            /* atomic for readers: the capacity, SIZE_MAX for none */
    size_t edge;             /* of the two the less, 0 once closed: with fewer elements a put goes straight in */
    uint32_t closed;         /* atomic for readers */
    uint32_t element_size;
    uint32_t kind;
    uint32_t simple;     /* WEFT_FIFO of 8-byte elements */
    weft_lock *locks[2]; /* of the sides; WEFT_LIFO and WEFT_PRIORITY have one for both */
    int (*compare)(const void *a, const void *b);
    void (*destroy)(void *element);
    /* Atomic: what each side's sleepers sleep on. Odd: somebody may sleep, and a change on the other side makes it even
     * and wakes one. */
    uint32_t words[2];
    uint32_t finished; /* atomic: the same for weft_queue_join: odd while somebody may sleep */
    bool named;
    void *memory; /* what was allocated */
    _Alignas(2 * WEFT__CACHE_LINE) weft__queue_half halves[2];
    uint64_t done; /* atomic: elements dealt with; never more than were put */
};

/* 0, -WEFT_EFULL, -EPIPE, -ENOMEM. */
int weft__queue_try_put(weft_queue *q, const void *element);

/* 0, -WEFT_EEMPTY, -EPIPE. */
int weft__queue_try_get(weft_queue *q, void *element);

static inline const uint32_t *weft__queue_word(const weft_queue *q, enum weft__queue_side side)
{
    return &q->words[side];
}

/* Say that the caller is about to sleep for this side; the value to sleep on. */
static inline uint32_t weft__queue_arm(weft_queue *q, enum weft__queue_side side)
{
    return or_seq_cst(&q->words[side], 1) | 1;
}

/* Whether a try is worth while: there is an element, or room, or the queue is closed. */
bool weft__queue_ready(const weft_queue *q, enum weft__queue_side side);

/* After a sleep that was ended for this side: let the next sleeper go if there is something for it, too. */
void weft__queue_pass_on(weft_queue *q, enum weft__queue_side side);

/* ---- queue_store.c: elements in memory; the caller holds the locks of the queue ---- */

/* Make `slots` the size of the store; what is in it (positions head ... tail) stays. 0 or -ENOMEM. */
int weft__queue_resize(weft_queue *q, uint64_t head, uint64_t tail, size_t slots);

/* The least power of two that is at least n, and at least a few. 0 when n is too large. */
size_t weft__queue_slots_for(size_t n);

/* n elements in, n elements out; there is room for them, or there are as many. */
void weft__queue_push(weft_queue *q, uint64_t head, uint64_t tail, const char *elements, size_t n);
void weft__queue_pop(weft_queue *q, uint64_t head, uint64_t tail, char *elements, size_t n);

/* Call the destroy hook for the elements head ... tail. */
void weft__queue_destroy_all(weft_queue *q, uint64_t head, uint64_t tail);

#endif
