/* queue_store.c - the elements of a queue in memory: a ring, a stack, or a heap.
 *
 * S1  WEFT_FIFO: the element of position p lies at place p mod `slots`, a power of two.
 * S2  WEFT_LIFO: elements 0 ... size - 1 are the stack, the newest last.
 * S3  WEFT_PRIORITY: heap[0 ... size - 1] is a binary heap of the places that are in use, least (compare, number)
 *     first; heap[size ...] names each other place once. Elements stay where they were put: a large one is copied in
 *     and out, and never while the heap is put in order.
 * Nothing here is atomic: callers hold the locks that src/flow/queue.c says. Pinned by tests/flow/queue_test.c. */
#include "flow/queue.h"

#include "sys/sys.h"

#include <errno.h>
#include <string.h>

enum {
    SLOTS_MIN = 8
};

static inline char *place(const weft_queue *q, size_t i)
{
    return q->store + i * q->element_size;
}

size_t weft__queue_slots_for(size_t n)
{
    size_t slots = SLOTS_MIN;
    while (slots < n && slots != 0)
        slots *= 2;
    return slots;
}

/* Mostly it is one element, as large as a number or a pointer. */
static inline void copy(void *to, const void *from, size_t size)
{
    if (size == 8)
        memcpy(to, from, 8);
    else if (size == 4)
        memcpy(to, from, 4);
    else
        memcpy(to, from, size);
}

/* ---- the ring ---- */

/* Copy positions from ... from + n of a ring with `slots` places to a flat array, or back. */
static void ring_out(const weft_queue *q, uint64_t from, char *elements, size_t n)
{
    size_t first = (size_t)from & (q->slots - 1), size = q->element_size;
    size_t whole = n < q->slots - first ? n : q->slots - first;
    memcpy(elements, place(q, first), whole * size);
    memcpy(elements + whole * size, q->store, (n - whole) * size);
}

static void ring_in(weft_queue *q, uint64_t to, const char *elements, size_t n)
{
    size_t first = (size_t)to & (q->slots - 1), size = q->element_size;
    size_t whole = n < q->slots - first ? n : q->slots - first;
    memcpy(place(q, first), elements, whole * size);
    memcpy(q->store, elements + whole * size, (n - whole) * size);
}

/* ---- the heap ---- */

static inline bool goes_before(const weft_queue *q, const weft__queue_entry *a, const weft__queue_entry *b)
{
    if (q->compare == NULL) /* without a branch, which would be foretold wrongly every other time */
        return (a->key < b->key) | ((a->key == b->key) & (a->number < b->number));
    int order = q->compare(place(q, a->place), place(q, b->place));
    return order != 0 ? order < 0 : a->number < b->number;
}

static void heap_push(weft_queue *q, size_t size, uint64_t number, const char *element)
{
    weft__queue_entry *heap = q->heap, added = {number, heap[size].place, 0};
    if (q->compare == NULL)
        memcpy(&added.key, element, sizeof added.key);
    copy(place(q, added.place), element, q->element_size);
    size_t i = size;
    while (i > 0 && goes_before(q, &added, &heap[(i - 1) / 2])) {
        heap[i] = heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    heap[i] = added;
}

static void heap_pop(weft_queue *q, size_t size, char *element)
{
    weft__queue_entry *heap = q->heap, last = heap[size - 1];
    uint32_t freed = heap[0].place;
    size_t i = 0, n = size - 1;
    copy(element, place(q, freed), q->element_size);
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n)
            child += goes_before(q, &heap[child + 1], &heap[child]);
        if (!goes_before(q, &heap[child], &last))
            break;
        heap[i] = heap[child];
    }
    heap[i] = last;
    heap[n] = (weft__queue_entry){0, freed, 0};
}

/* ---- any ---- */

void weft__queue_push(weft_queue *q, uint64_t head, uint64_t tail, const char *elements, size_t n)
{
    size_t used = (size_t)(tail - head), size = q->element_size;
    if (q->kind == WEFT_FIFO && n == 1)
        copy(place(q, (size_t)tail & (q->slots - 1)), elements, size);
    else if (q->kind == WEFT_FIFO)
        ring_in(q, tail, elements, n);
    else if (q->kind == WEFT_LIFO)
        copy(place(q, used), elements, n * size);
    else
        for (size_t i = 0; i < n; i++)
            heap_push(q, used + i, tail + i, elements + i * size);
}

void weft__queue_pop(weft_queue *q, uint64_t head, uint64_t tail, char *elements, size_t n)
{
    size_t used = (size_t)(tail - head), size = q->element_size;
    if (q->kind == WEFT_FIFO) {
        if (n == 1)
            copy(elements, place(q, (size_t)head & (q->slots - 1)), size);
        else
            ring_out(q, head, elements, n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (q->kind == WEFT_LIFO)
            copy(elements + i * size, place(q, used - 1 - i), size);
        else
            heap_pop(q, used - i, elements + i * size);
    }
}

void weft__queue_destroy_all(weft_queue *q, uint64_t head, uint64_t tail)
{
    if (q->destroy == NULL)
        return;
    for (uint64_t i = 0; i < tail - head; i++) {
        size_t at = q->kind == WEFT_FIFO   ? (size_t)(head + i) & (q->slots - 1)
                    : q->kind == WEFT_LIFO ? (size_t)i
                                           : q->heap[i].place;
        q->destroy(place(q, at));
    }
}

/* Fill a new heap from the old one: the same order, the elements in its places 0 ... used - 1. */
static void heap_move(const weft_queue *q, size_t used, weft__queue_entry *heap, char *store, size_t slots)
{
    for (size_t i = 0; i < slots; i++)
        heap[i] = (weft__queue_entry){i < used ? q->heap[i].number : 0, (uint32_t)i, i < used ? q->heap[i].key : 0};
    for (size_t i = 0; i < used; i++)
        memcpy(store + i * q->element_size, place(q, q->heap[i].place), q->element_size);
}

int weft__queue_resize(weft_queue *q, uint64_t head, uint64_t tail, size_t slots)
{
    size_t used = (size_t)(tail - head), size = q->element_size;
    weft__queue_entry *heap = NULL;
    if (slots == 0 || slots > PTRDIFF_MAX / (size + sizeof *heap) || (q->kind == WEFT_PRIORITY && slots > UINT32_MAX))
        return -ENOMEM;
    char *store = weft__malloc(slots * size);
    if (store == NULL)
        return -ENOMEM;
    if (q->kind == WEFT_PRIORITY) {
        heap = weft__malloc(slots * sizeof *heap);
        if (heap == NULL) {
            weft__free(store);
            return -ENOMEM;
        }
        heap_move(q, used, heap, store, slots);
    } else if (q->kind == WEFT_LIFO && used > 0) {
        memcpy(store, q->store, used * size);
    } else {
        for (uint64_t p = head; p != tail; p++)
            memcpy(store + ((size_t)p & (slots - 1)) * size, place(q, (size_t)p & (q->slots - 1)), size);
    }
    weft__free(q->store);
    weft__free(q->heap);
    q->store = store;
    q->heap = heap;
    q->slots = slots;
    return 0;
}
