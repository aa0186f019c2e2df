/* weft/lock.h - mutual exclusion: weft_lock, and weft_rlock, which its holder may take again.
 *
 *     static weft_lock l;                    // all zero is a free lock: no init, no destroy
 *     weft_lock_acquire(&l); ...; weft_lock_release(&l);
 *     WEFT_WITH_LOCK (&l) { ... }            // released on every way out of the block
 *
 * Threads and coroutines may hold and wait for the same lock; a waiting coroutine parks, its thread goes on. With
 * WEFT_SHARED the lock works between processes that map its memory (same pid namespace). Uncontended, acquire and
 * release are one compare-and-swap each. Newcomers may overtake sleepers, until one has slept for a millisecond: then
 * it goes first. Waiters are not served in strict order.
 *
 * A shared lock knows which process holds it. If that process dies, the next acquire *gets the lock* and returns
 * -EOWNERDEAD, at most about 100 ms later: the data may be half changed. Put it right, call recover, go on. Released
 * without recover, the next holder is told the same. Threads do not die alone, but a fork leaves all but one behind: in
 * the child, a private lock that another thread or coroutine held at that moment gives the same answer, at once.
 *
 * Unless said otherwise: call from threads, coroutines and (WEFT_SHARED) other processes, not from signal handlers; any
 * number of callers at once; nothing allocates (a thread's very first wait registers it). */
#ifndef WEFT_LOCK_H
#define WEFT_LOCK_H

#include <weft/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Not owned by anybody in particular: it may be released by another waiter than the one that took it. Taking it twice
 * without a release in between waits for ever. All zero = free and private. */
typedef struct weft_lock {
    uint32_t word;  /* atomic */
    uint32_t flags; /* atomic */
    uint32_t where; /* atomic: low half of the address that it was last taken at, for reports */
} weft_lock;

#define WEFT_LOCK_INIT                                                                                                 \
    {                                                                                                                  \
        0, 0, 0                                                                                                        \
    }

/* Make *l free. `flags`: 0, WEFT_SHARED, WEFT_LOCK_HANDOFF or both. Returns 0, or -EINVAL for other flags. Not while
 * others use it; for locks in fresh memory, and in the child of a fork for a lock that was held in the parent. */
WEFT_API int weft_lock_init(weft_lock *l, unsigned flags);

/* Check that *l is free and unawaited; panics if not. It owns nothing, so calling this is a choice. */
WEFT_API void weft_lock_destroy(weft_lock *l);

/* Take *l; wait for ever if need be. Not ended by cancellation. Panics where acquire_until would return -EOWNERDEAD:
 * who shares locks between processes should ask for that answer. */
WEFT_API void weft_lock_acquire(weft_lock *l);

/* Take *l, waiting until `until`; WEFT_NOW tries once. Returns 0 (held), -EOWNERDEAD (held; see above), -ETIMEDOUT or
 * -ECANCELED (not held). A release that comes together with the deadline wins. */
WEFT_API int weft_lock_acquire_until(weft_lock *l, weft_until until);

/* Let go of *l; wakes one waiter. Panics when *l is not held. Never waits. After the store that frees the lock, *l is
 * not touched any more: the next holder may free its memory. */
WEFT_API void weft_lock_release(weft_lock *l);

/* 1 when somebody holds *l at this moment, else 0. */
WEFT_API int weft_lock_held(const weft_lock *l);

/* The holder says that the data is right again after -EOWNERDEAD. Returns 0, or -EINVAL when nothing was wrong. */
WEFT_API int weft_lock_recover(weft_lock *l);

/* Owned by the thread or coroutine that took it, which may take it again; free after as many releases. */
typedef struct weft_rlock {
    weft_lock lock;
    uint32_t owner; /* atomic: shared: which thread or coroutine of the process that holds `lock` */
    uint32_t depth; /* the owner's */
} weft_rlock;

#define WEFT_RLOCK_INIT                                                                                                \
    {                                                                                                                  \
        WEFT_LOCK_INIT, 0, 0                                                                                           \
    }

/* `flags`: 0 or WEFT_SHARED. */
WEFT_API int weft_rlock_init(weft_rlock *l, unsigned flags);
WEFT_API void weft_rlock_destroy(weft_rlock *l);

/* As for weft_lock; by its owner they succeed at once and go one deeper. The depth ends at UINT32_MAX: the plain call
 * panics there, acquire_until returns -EOVERFLOW. */
WEFT_API void weft_rlock_acquire(weft_rlock *l);
WEFT_API int weft_rlock_acquire_until(weft_rlock *l, weft_until until);

/* Undo one acquire. Panics when the caller does not own *l. */
WEFT_API void weft_rlock_release(weft_rlock *l);

WEFT_API int weft_rlock_recover(weft_rlock *l);

/* How many times the caller holds *l: 0 when it does not, whatever others do. */
WEFT_API uint32_t weft_rlock_depth(const weft_rlock *l);

/* Run the block that follows with the lock held; it is released on every way out: end, break, return, goto. (Not on
 * longjmp or pthread_exit.) `break` leaves the block. */
#define WEFT_WITH_LOCK(l)  WEFT__WITH(weft_lock, weft__lock_enter, weft__lock_leave, l, __LINE__)
#define WEFT_WITH_RLOCK(l) WEFT__WITH(weft_rlock, weft__rlock_enter, weft__rlock_leave, l, __LINE__)

#define WEFT__JOIN(a, b)                      a##b
#define WEFT__WITH(type, enter, leave, l, id) WEFT__WITH_NAMED(type, enter, leave, l, id)
#define WEFT__WITH_NAMED(type, enter, leave, l, id)                                                                    \
    for (type * WEFT__JOIN(weft__held, id) __attribute__((cleanup(leave))) = enter(l),                                 \
                                           *WEFT__JOIN(weft__once, id) = WEFT__JOIN(weft__held, id);                   \
         WEFT__JOIN(weft__once, id) != NULL; WEFT__JOIN(weft__once, id) = NULL)

/* Always inlined, so that reports name the function that has the block. */
static inline __attribute__((always_inline)) weft_lock *weft__lock_enter(weft_lock *l)
{
    weft_lock_acquire(l);
    return l;
}

static inline void weft__lock_leave(weft_lock **l)
{
    weft_lock_release(*l);
}

static inline __attribute__((always_inline)) weft_rlock *weft__rlock_enter(weft_rlock *l)
{
    weft_rlock_acquire(l);
    return l;
}

static inline void weft__rlock_leave(weft_rlock **l)
{
    weft_rlock_release(*l);
}

#ifdef __cplusplus
}
#endif
#endif
