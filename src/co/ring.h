/* ring.h - unstarted coroutines: one thread pushes, every thread takes, oldest first. Grows as needed.
 *
 * R1  entries head ... tail - 1 are in the array; only the owner writes tail and the array, everybody moves head by
 *     compare-and-swap, which decides who has taken what lay before the new head.
 * R2  an array that was replaced stays readable and unchanged for ever: a taker that still looks into it finds the
 * right entry, or its compare-and-swap fails because head has moved. Arrays double, so all of them together are at most
 *     twice the last.
 * Order: push is store entry; store tail (seq_cst). take is load head (acquire), load tail (acquire), load array,
 * entry; swap head. The entry's contents reach the taker through tail. Pinned by tests/co/ring_test.c. */
#ifndef WEFT_CO_RING_H
#define WEFT_CO_RING_H

#include "base/atomic.h"
#include "sys/sys.h"

enum {
    WEFT__RING_STEAL = 64 /* most taken at a time by another thread */
};

typedef struct weft__ring_array {
    uint64_t mask;
    void *entries[]; /* atomic */
} weft__ring_array;

typedef struct weft__ring {
    uint64_t head;           /* atomic */
    uint64_t tail;           /* atomic */
    weft__ring_array *array; /* atomic */
} weft__ring;

/* Room for twice as many. False: no memory. */
WEFT__COLD static bool ring_grow(weft__ring *r, uint64_t head, uint64_t tail)
{
    weft__ring_array *old = r->array;
    uint64_t size = old != NULL ? (old->mask + 1) * 2 : 256;
    void *p;
    if (weft__sys_map(&p, sizeof *old + size * sizeof old->entries[0]) < 0)
        return false;
    weft__ring_array *a = p;
    a->mask = size - 1;
    for (uint64_t i = head; old != NULL && i != tail; i++)
        store_relaxed(&a->entries[i & a->mask], load_relaxed(&old->entries[i & old->mask]));
    store_release(&r->array, a);
    return true;
}

/* Owner. False: no memory. *first: it may be that nobody knows yet that there is something to take. */
static inline bool ring_push(weft__ring *r, void *entry, bool *first)
{
    uint64_t tail = load_relaxed(&r->tail), head = load_acquire(&r->head);
    weft__ring_array *a = load_relaxed(&r->array);
    if (unlikely(a == NULL || tail - head > a->mask)) {
        if (!ring_grow(r, head, tail))
            return false;
        a = load_relaxed(&r->array);
    }
    store_relaxed(&a->entries[tail & a->mask], entry);
    store_seq_cst(&r->tail, tail + 1);
    *first = load_seq_cst(&r->head) == tail;
    return true;
}

/* Anybody: take up to `most`, at most half (rounded up) of what is there. Returns how many. */
static inline unsigned ring_take(weft__ring *r, void **entries, unsigned most)
{
    uint64_t head = load_acquire(&r->head);
    for (;;) {
        uint64_t tail = load_acquire(&r->tail);
        int64_t n = (int64_t)(tail - head);
        if (n <= 0)
            return 0;
        n -= n / 2;
        if (n > most)
            n = most;
        const weft__ring_array *a = load_acquire(&r->array);
        for (int64_t i = 0; i < n; i++)
            entries[i] = load_relaxed(&a->entries[(head + (uint64_t)i) & a->mask]);
        if (cas_seq_cst(&r->head, &head, head + (uint64_t)n))
            return (unsigned)n;
    }
}

static inline bool ring_empty(const weft__ring *r)
{
    return load_seq_cst(&r->head) == load_seq_cst(&r->tail);
}

#endif
