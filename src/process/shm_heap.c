/* shm_heap.c - a heap in shared memory that is whole at every instant, so that a kill cannot break it.
 *
 * The blocks lie one behind the other; each begins with its size and a bit that says whether it is used. The sizes are
 * the truth: from the first block one comes to every other. All the rest (the size of the block before, the lists of
 * free blocks by class) only finds things faster and is made anew from the sizes when a holder of the lock has died.
 *
 * K1  the truth changes by single stores of 8 bytes. To split: the head of the rest is written where it will lie, which
 *     is still inside the free block; the store that shortens the block and marks it used makes it one. To merge: one
 *     store makes a free block longer; the head of the one it swallows means nothing from then on.
 * K2  a block between that store and the end of alloc is named in `pending`; whoever gets a dead one's lock frees it.
 * K3  everything read from the heap is copied and checked before it is used: a place outside, a size that does not fit,
 *     a list that goes round are -EBADMSG, or -EINVAL for what a caller wants freed.
 * Pinned by tests/process/shm_heap_test.c. */
#include "process/robust.h"
#include "process/shm.h"

#include <errno.h>
#include <string.h>

enum {
    UNIT = 16,
    HEAD = 16,
    LEAST = 32, /* a free block holds its head and two links */
    USED = 1
};

typedef struct block {
    uint64_t size;       /* atomic: with this head; a multiple of UNIT, | USED. The last one: 0 | USED */
    uint64_t before;     /* of the block before; 0: the first */
    uint64_t next, prev; /* free ones: neighbours in their list; 0: none. Used ones: the caller's */
} block;

/* ---- places ---- */

static uint64_t first_place(void)
{
    return WEFT__SHM_HEAD;
}

/* Where the last head lies, which ends the walk. */
static uint64_t last_place(const weft_shm *s)
{
    return WEFT__SHM_HEAD + s->size / UNIT * UNIT - HEAD;
}

static block *at(const weft_shm *s, uint64_t place)
{
    return (block *)(void *)((char *)s->head + place);
}

static bool is_place(const weft_shm *s, uint64_t place)
{
    return place >= first_place() && place < last_place(s) && (place - first_place()) % UNIT == 0;
}

/* The size of the block there, read once and possible: K3. 0: it is not. */
static uint64_t size_at(const weft_shm *s, uint64_t place, bool *used)
{
    uint64_t word = load_acquire(&at(s, place)->size), size = word & ~(uint64_t)USED;
    *used = word & USED;
    return size >= LEAST && size % UNIT == 0 && size <= last_place(s) - place ? size : 0;
}

static void set_size(weft_shm *s, uint64_t place, uint64_t word)
{
    store_release(&at(s, place)->size, word);
}

static void set_before(weft_shm *s, uint64_t place, uint64_t size)
{
    store_relaxed(&at(s, place)->before, size);
}

/* ---- lists of free blocks ---- */

static unsigned class_of(uint64_t size)
{
    unsigned log = 63 - (unsigned)__builtin_clzll(size), class = (log - 5) * 2 + (unsigned)(size >> (log - 1) & 1);
    return class < WEFT__SHM_BINS ? class : WEFT__SHM_BINS - 1;
}

static int list_insert(weft_shm *s, uint64_t place, uint64_t size)
{
    uint64_t *bin = &s->head->heap.bins[class_of(size)], first = *bin;
    if (first != 0 && !is_place(s, first))
        return -EBADMSG;
    block *b = at(s, place);
    b->next = first;
    b->prev = 0;
    if (first != 0)
        at(s, first)->prev = place;
    *bin = place;
    return 0;
}

static int list_remove(weft_shm *s, uint64_t place, uint64_t size)
{
    const block *b = at(s, place);
    uint64_t next = load_relaxed(&b->next), prev = load_relaxed(&b->prev);
    uint64_t *bin = &s->head->heap.bins[class_of(size)];
    if ((next != 0 && !is_place(s, next)) || (prev != 0 && !is_place(s, prev)) || (prev == 0 && *bin != place))
        return -EBADMSG;
    if (next != 0)
        at(s, next)->prev = prev;
    if (prev != 0)
        at(s, prev)->next = next;
    else
        *bin = next;
    return 0;
}

/* A free block of at least `need` bytes in this class: *place, 0 when there is none. */
static int search_class(const weft_shm *s, unsigned class, uint64_t need, uint64_t *place, uint64_t *size)
{
    uint64_t here = load_relaxed(&s->head->heap.bins[class]);
    for (uint64_t steps = s->size / LEAST; here != 0; here = load_relaxed(&at(s, here)->next)) {
        bool used;
        if (steps-- == 0 || !is_place(s, here) || (*size = size_at(s, here, &used)) == 0 || used ||
            class_of(*size) != class)
            return -EBADMSG;
        if (*size >= need)
            break;
    }
    *place = here;
    return 0;
}

static int search(const weft_shm *s, uint64_t need, uint64_t *place, uint64_t *size)
{
    for (unsigned class = class_of(need); class < WEFT__SHM_BINS; class ++) {
        int err = search_class(s, class, need, place, size);
        if (err < 0 || *place != 0)
            return err;
    }
    return -ENOMEM;
}

/* ---- after a death ---- */

/* Make all but the sizes anew, and merge free neighbours on the way. */
static int rebuild(weft_shm *s)
{
    weft__shm_heap *h = &s->head->heap;
    uint64_t place = first_place(), before = 0, last_free = 0, given = 0, end = last_place(s), pending = h->pending;
    memset(h->bins, 0, sizeof h->bins);
    for (uint64_t size; place < end; place += size) {
        bool used;
        if ((size = size_at(s, place, &used)) == 0)
            return -EBADMSG;
        if (used && place == pending) {
            set_size(s, place, size);
            used = false;
        }
        if (!used && last_free != 0) {
            before += size;
            set_size(s, last_free, before);
            continue;
        }
        set_before(s, place, before);
        last_free = used ? 0 : place;
        given += used ? size : 0;
        before = size;
    }
    set_before(s, end, before);
    for (uint64_t size, here = first_place(); here < end; here += size) {
        bool used;
        if ((size = size_at(s, here, &used)) == 0 || (!used && list_insert(s, here, size) < 0))
            return -EBADMSG;
    }
    store_relaxed(&h->used, given);
    h->pending = 0;
    return 0;
}

static int enter(weft_shm *s)
{
    weft_lock *l = &s->head->heap.lock;
    int err = weft__robust_enter(l, WEFT_NOW);
    if (err != -EOWNERDEAD)
        return err;
    err = rebuild(s);
    if (err == 0)
        weft_lock_recover(l);
    else
        weft__lock_let_go(l);
    return err;
}

static void leave(weft_shm *s)
{
    weft__lock_let_go(&s->head->heap.lock); /* false: somebody has spoilt it */
}

/* ---- alloc and free ---- */

/* Pre: the lock is held. */
static int take(weft_shm *s, uint64_t need, uint64_t *place)
{
    uint64_t size, got = need;
    int err = search(s, need, place, &size);
    if (err == 0)
        err = list_remove(s, *place, size);
    if (err < 0)
        return err;
    weft__shm_heap *h = &s->head->heap;
    if (size - need >= LEAST) {
        uint64_t rest = *place + need;
        set_before(s, rest, need);
        set_size(s, rest, size - need);
        set_before(s, *place + size, size - need);
    } else {
        got = size;
    }
    store_release(&h->pending, *place); /* K2 */
    set_size(s, *place, got | USED);    /* K1 */
    store_relaxed(&h->used, h->used + got);
    if (got < size)
        err = list_insert(s, *place + got, size - got);
    store_release(&h->pending, (uint64_t)0);
    return err;
}

int weft_shm_alloc(weft_shm *s, size_t size, void **p)
{
    uint64_t place, need = ((uint64_t)size + HEAD + UNIT - 1) / UNIT * UNIT;
    if (s->kind != WEFT__SHM_HEAP || size == 0)
        return -EINVAL;
    if (size > s->size)
        return -ENOMEM;
    int err = enter(s);
    if (err < 0)
        return err;
    err = take(s, need < LEAST ? LEAST : need, &place);
    leave(s);
    if (err < 0)
        return err;
    *p = (char *)at(s, place) + HEAD;
    memset(*p, 0, size);
    return 0;
}

/* Merge with a free neighbour behind. *size: of the block, which is free and in no list. */
static int merge_next(weft_shm *s, uint64_t place, uint64_t *size)
{
    uint64_t next = place + *size;
    bool used = true;
    if (next >= last_place(s))
        return 0;
    uint64_t more = size_at(s, next, &used);
    if (more == 0)
        return -EBADMSG;
    if (used)
        return 0;
    int err = list_remove(s, next, more);
    if (err < 0)
        return err;
    *size += more;
    set_size(s, place, *size);
    return 0;
}

/* Merge with a free neighbour before; *place becomes its place. */
static int merge_before(weft_shm *s, uint64_t *place, uint64_t *size)
{
    uint64_t before = load_relaxed(&at(s, *place)->before), there = *place - before;
    bool used;
    if (before == 0)
        return 0;
    if (before > *place || !is_place(s, there) || size_at(s, there, &used) != before)
        return -EBADMSG;
    if (used)
        return 0;
    int err = list_remove(s, there, before);
    if (err < 0)
        return err;
    *place = there;
    *size += before;
    set_size(s, there, *size);
    return 0;
}

/* Pre: the lock is held. */
static int give_back(weft_shm *s, uint64_t place)
{
    bool used;
    uint64_t size = size_at(s, place, &used);
    if (size == 0 || !used || load_relaxed(&at(s, place + size)->before) != size)
        return -EINVAL;
    weft__shm_heap *h = &s->head->heap;
    set_size(s, place, size); /* K1: from here on it is free */
    store_relaxed(&h->used, h->used - size);
    int err = merge_next(s, place, &size);
    if (err == 0)
        err = merge_before(s, &place, &size);
    if (err < 0)
        return err;
    set_before(s, place + size, size);
    return list_insert(s, place, size);
}

int weft_shm_free(weft_shm *s, void *p)
{
    uint64_t place = weft_shm_offset(s, p) - HEAD;
    if (p == NULL)
        return 0;
    if (s->kind != WEFT__SHM_HEAP || !is_place(s, place))
        return -EINVAL;
    int err = enter(s);
    if (err < 0)
        return err;
    err = give_back(s, place);
    leave(s);
    return err;
}

size_t weft_shm_used(const weft_shm *s)
{
    return (size_t)load_relaxed(&s->head->heap.used);
}

/* ---- the whole heap ---- */

int weft__shm_heap_fill(weft_shm *s, void *arg)
{
    (void)arg;
    if (s->size < LEAST + HEAD + UNIT)
        return -EINVAL;
    uint64_t size = last_place(s) - first_place();
    weft_lock_init(&s->head->heap.lock, WEFT_SHARED);
    set_size(s, last_place(s), USED);
    set_size(s, first_place(), size);
    return rebuild(s);
}

/* How many free blocks are in the lists; -EBADMSG: one is not free, or not where it belongs. */
static int64_t count_listed(const weft_shm *s)
{
    int64_t n = 0;
    for (unsigned class = 0; class < WEFT__SHM_BINS; class ++) {
        uint64_t prev = 0;
        for (uint64_t here = s->head->heap.bins[class]; here != 0; here = at(s, here)->next) {
            bool used;
            if (n > (int64_t)(s->size / LEAST) || !is_place(s, here) || at(s, here)->prev != prev)
                return -EBADMSG;
            uint64_t size = size_at(s, here, &used);
            if (size == 0 || used || class_of(size) != class)
                return -EBADMSG;
            prev = here;
            n++;
        }
    }
    return n;
}

int weft__shm_heap_check(const weft_shm *s)
{
    uint64_t place = first_place(), before = 0, given = 0;
    int64_t free_ones = 0;
    bool was_free = false;
    for (uint64_t size; place < last_place(s); place += size) {
        bool used;
        size = size_at(s, place, &used);
        if (size == 0 || at(s, place)->before != before || (was_free && !used))
            return -EBADMSG;
        given += used ? size : 0;
        free_ones += !used;
        was_free = !used;
        before = size;
    }
    return at(s, place)->before == before && given == s->head->heap.used && count_listed(s) == free_ones ? 0 : -EBADMSG;
}
