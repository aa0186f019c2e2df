/* weft/rwlock.h - readers and writers: many may read at once, or one writes.
 *
 * A writer that waits keeps new readers out, and readers that waited for one writer go before the next: neither side
 * can starve the other. Reading is not recursive: a reader that takes it again behind a waiting writer waits for ever.
 * Contexts as in weft/lock.h: threads, coroutines, other processes with WEFT_SHARED; not signal handlers. Nothing
 * allocates. All zero is free and private.
 *
 * Shared: a writer that dies leaves -EOWNERDEAD, as with weft_lock; private: one that a fork left behind does, in the
 * child. Nobody is told of a reader that dies while reading, or is left behind: it keeps writers out for ever. Use a
 * weft_lock where that must not be. */
#ifndef WEFT_RWLOCK_H
#define WEFT_RWLOCK_H

#include <weft/lock.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weft_rwlock {
    weft_lock writer; /* held by the writer, from its coming to its going */
    uint32_t state;   /* atomic: readers inside; WRITING and PENDING bits */
    uint32_t turn;    /* atomic: counts writers that have gone; what readers sleep on */
    uint32_t waiters; /* atomic: readers that may sleep; too high after a process died asleep */
    uint32_t flags;   /* atomic */
} weft_rwlock;

#define WEFT_RWLOCK_INIT                                                                                               \
    {                                                                                                                  \
        WEFT_LOCK_INIT, 0, 0, 0, 0                                                                                     \
    }

/* `flags`: 0, WEFT_SHARED, WEFT_LOCK_HANDOFF (it is released by others than its takers: weft/deadlock.h) or both.
 * Returns 0 or -EINVAL. */
WEFT_API int weft_rwlock_init(weft_rwlock *l, unsigned flags);

/* Check that it is free; panics if not. */
WEFT_API void weft_rwlock_destroy(weft_rwlock *l);

/* Read: wait until no writer is inside. Returns 0, -ETIMEDOUT, -ECANCELED, or -EOWNERDEAD: a writing process died and
 * left the data as it was; the caller does *not* hold it: take it for writing to put it right. The plain call waits for
 * ever, is not ended by cancellation and panics for -EOWNERDEAD. */
WEFT_API void weft_rwlock_acquire_read(weft_rwlock *l);
WEFT_API int weft_rwlock_acquire_read_until(weft_rwlock *l, weft_until until);
WEFT_API void weft_rwlock_release_read(weft_rwlock *l);

/* Write: wait until nobody is inside. Returns as weft_lock_acquire_until: -EOWNERDEAD means held, put it right,
 * recover. */
WEFT_API void weft_rwlock_acquire_write(weft_rwlock *l);
WEFT_API int weft_rwlock_acquire_write_until(weft_rwlock *l, weft_until until);
WEFT_API void weft_rwlock_release_write(weft_rwlock *l);
WEFT_API int weft_rwlock_recover(weft_rwlock *l);

#ifdef __cplusplus
}
#endif
#endif
