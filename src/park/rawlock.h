/* rawlock.h - the lock of park's own tables: three states, sleeps in the kernel when contended, never in park itself.
 * Holders do a few loads and stores and call nothing that waits. All zero is unlocked. */
#ifndef WEFT_PARK_RAWLOCK_H
#define WEFT_PARK_RAWLOCK_H

#include "sys/sys.h"

typedef struct weft__rawlock {
    uint32_t word; /* atomic: 0 free, 1 held, 2 held and somebody may sleep */
} weft__rawlock;

WEFT__COLD static void rawlock_slow(weft__rawlock *l)
{
    while (swap_acquire(&l->word, 2) != 0)
        weft__sys_futex_wait(&l->word, 2, INT64_MAX, false);
}

static inline void rawlock_acquire(weft__rawlock *l)
{
    uint32_t seen = 0;
    if (unlikely(!cas_acquire(&l->word, &seen, 1)))
        rawlock_slow(l);
}

static inline void rawlock_release(weft__rawlock *l)
{
    if (unlikely(swap_release(&l->word, 0) == 2))
        weft__sys_futex_wake(&l->word, 1, false);
}

#endif
