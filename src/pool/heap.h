/* heap.h - a pairing heap of items, highest priority first, equal ones in the order they came. Intrusive, so nothing is
 * allocated and an item can leave from the middle. Insertion is a few stores, removal O(log n) amortised; an item's
 * `prev` is its elder sister, or its mother if it is the eldest, or NULL at the top. */
#ifndef WEFT_POOL_HEAP_H
#define WEFT_POOL_HEAP_H

#include <weft/executor.h>

#include "base/compiler.h"

#include <stdbool.h>

typedef struct weft__item {
    struct weft__item *next, *prev, *child;
    uint64_t turn; /* of equal priorities the smaller goes first */
    int32_t priority;
    uint32_t place; /* atomic: WEFT__OUT ...; see backlog.h */
    weft_job_fn *fn;
    void *arg;
    bool listed; /* not for the ring */
} weft__item;

static inline bool heap_before(const weft__item *a, const weft__item *b)
{
    return a->priority != b->priority ? a->priority > b->priority : a->turn < b->turn;
}

/* One heap of two; both have no sisters. */
static inline weft__item *heap_meld(weft__item *a, weft__item *b)
{
    if (a == NULL || b == NULL)
        return a != NULL ? a : b;
    if (heap_before(b, a)) {
        weft__item *swap = a;
        a = b;
        b = swap;
    }
    b->next = a->child;
    b->prev = a;
    if (b->next != NULL)
        b->next->prev = b;
    a->child = b;
    return a;
}

static inline void heap_insert(weft__item **top, weft__item *it)
{
    it->next = it->prev = it->child = NULL;
    *top = heap_meld(*top, it);
}

/* One heap of all sisters from `first` on: in pairs from the left, then those from the right. */
static inline weft__item *heap_gather(weft__item *first)
{
    weft__item *pairs = NULL, *all = NULL;
    while (first != NULL) {
        weft__item *a = first, *b = a->next;
        first = b != NULL ? b->next : NULL;
        a->next = a->prev = NULL;
        if (b != NULL)
            b->next = b->prev = NULL;
        a = heap_meld(a, b);
        a->next = pairs;
        pairs = a;
    }
    while (pairs != NULL) {
        weft__item *next = pairs->next;
        pairs->next = NULL;
        all = heap_meld(all, pairs);
        pairs = next;
    }
    return all;
}

static inline void heap_remove(weft__item **top, weft__item *it)
{
    weft__item *rest = heap_gather(it->child);
    if (it == *top) {
        *top = rest;
        return;
    }
    if (it->prev->child == it)
        it->prev->child = it->next;
    else
        it->prev->next = it->next;
    if (it->next != NULL)
        it->next->prev = it->prev;
    *top = heap_meld(*top, rest);
}

/* Of the lowest priority the one that came first; NULL for an empty heap. Looks at all. */
static inline weft__item *heap_last(weft__item *top)
{
    weft__item *last = top, *it = top;
    while (it != NULL) {
        if (it->priority != last->priority ? it->priority < last->priority : it->turn < last->turn)
            last = it;
        if (it->child != NULL) {
            it = it->child;
            continue;
        }
        while (it != NULL && it->next == NULL) { /* up to the mother: she is before the eldest sister */
            while (it->prev != NULL && it->prev->child != it)
                it = it->prev;
            it = it->prev;
        }
        it = it != NULL ? it->next : NULL;
    }
    return last;
}

#endif
