/* stack.h - stacks for coroutines: carved from large mappings, guarded, cached and reused.
 *
 * A stack of a size class has a guard below it that ends the program when it is touched. Installing guards by
 * madvise(MADV_GUARD_INSTALL) costs no mapping, so there may be millions; before Linux 6.13 each guard is a mapping of
 * its own and /proc/sys/vm/max_map_count (65,530) allows about 32,000 stacks, beyond which take fails. No stack is ever
 * handed out unguarded, and none is ever unmapped. */
#ifndef WEFT_CO_STACK_H
#define WEFT_CO_STACK_H

#include "base/compiler.h"

#include <stdbool.h>

enum {
    WEFT__STACK_CLASSES = 7, /* 16 KiB, 64 KiB, 256 KiB, 1, 4, 16, 64 MiB */
    WEFT__STACK_DEFAULT = 1
};

typedef struct weft__stack {
    struct weft__stack *next;
    char *low; /* lowest usable byte; the guard ends here */
    uint32_t size_class;
    bool guarded; /* false until its guard was installed: never handed out before */
    bool kept;    /* after fork: somebody runs on it and always will */
} weft__stack;

/* A thread's own free stacks, last used first. All zero is empty. */
typedef struct weft__stack_cache {
    weft__stack *first[WEFT__STACK_CLASSES];
    uint32_t count[WEFT__STACK_CLASSES];
} weft__stack_cache;

/* The class for this many bytes (0: the default); -EINVAL above 64 MiB. */
int weft__stack_class(size_t size);

static inline size_t weft__stack_size(unsigned size_class)
{
    return (size_t)16384 << (2 * size_class);
}

/* Bytes of guard below each stack. */
size_t weft__stack_guard(void);

/* One from the cache, from what other threads gave back, or a new one. NULL: no memory, or no mapping for its guard. */
weft__stack *weft__stack_take_slow(weft__stack_cache *cache, unsigned size_class);

static inline weft__stack *weft__stack_take(weft__stack_cache *cache, unsigned size_class)
{
    weft__stack *s = cache->first[size_class];
    if (unlikely(s == NULL))
        return weft__stack_take_slow(cache, size_class);
    cache->first[size_class] = s->next;
    cache->count[size_class]--;
    return s;
}

/* Move the older half to where other threads find them, and the memory of what is too much even there to the kernel.
 * The stack given last stays: its giver may still be running on it. */
void weft__stack_trim(weft__stack_cache *cache, unsigned size_class);

/* How many of a class a thread keeps for itself. At least 1. */
static inline uint32_t weft__stack_cache_max(unsigned size_class)
{
    size_t n = ((size_t)16 << 20) / weft__stack_size(size_class);
    return n > 256 ? 256 : n < 1 ? 1 : (uint32_t)n;
}

static inline void weft__stack_give(weft__stack_cache *cache, weft__stack *s)
{
    unsigned c = s->size_class;
    s->next = cache->first[c];
    cache->first[c] = s;
    if (unlikely(++cache->count[c] > weft__stack_cache_max(c)))
        weft__stack_trim(cache, c);
}

/* Fork: hold the lists still, and let go in the parent. In the child every stack is free but `mine` (may be NULL). */
void weft__stacks_before_fork(void);
void weft__stacks_after_fork_parent(void);
void weft__stacks_after_fork_child(weft__stack *mine);

/* How many there are of this class in all, in use or not. For tests and reports. */
size_t weft__stacks_made(unsigned size_class);

#endif
