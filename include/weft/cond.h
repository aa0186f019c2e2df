/* weft/cond.h - condition: wait, with a lock let go meanwhile, until another says that something has changed.
 *
 *     weft_lock_acquire(&l);
 *     while (n == 0 && err == 0) err = weft_cond_wait(&nonempty, &l, until);
 *     ...
 *     weft_lock_release(&l);
 *
 * Who waits and who notifies holds the lock; a condition is used with one lock at a time. In one process a wait ends
 * only by a notification that was meant for it, by its deadline or by cancellation: notify(n) ends the n oldest waits,
 * never more, and a notification is never spent on a wait that has timed out. Between processes (WEFT_SHARED) waits
 * may also end without cause, and a process that dies may take a notification with it: look at your data in a loop, as
 * above.
 *
 * Contexts as in weft/lock.h: threads, coroutines, other processes with WEFT_SHARED; not signal handlers. Nothing here
 * allocates. All zero is a private condition that nobody waits for. */
#ifndef WEFT_COND_H
#define WEFT_COND_H

#include <weft/lock.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weft_cond {
    uint32_t seq;     /* atomic: changes at each notification */
    uint32_t waiters; /* atomic: how many wait and were not notified; shared: too high after a process died in a wait */
    uint32_t flags;
    uint32_t reserved;
    int64_t lock; /* atomic: where the lock is, relative to this object; bit 0: it is an rlock */
} weft_cond;

#define WEFT_COND_INIT                                                                                                 \
    {                                                                                                                  \
        0, 0, 0, 0, 0                                                                                                  \
    }

/* `flags`: 0 or WEFT_SHARED, the same as its lock's; shared, the two lie in one mapping. Returns 0 or -EINVAL. */
WEFT_API int weft_cond_init(weft_cond *c, unsigned flags);

/* Check that nobody waits; panics if somebody does. Who has been notified does not wait any more: after notify_all the
 * condition (not its lock) may be destroyed and its memory used for something else. */
WEFT_API void weft_cond_destroy(weft_cond *c);

/* Let go of *l, wait until notified, take *l again. Returns 0 (notified), -ETIMEDOUT or -ECANCELED; in each case the
 * lock is held again, however long that takes. -EOWNERDEAD: as 0, but a process died with the lock meanwhile
 * (weft_lock_recover). -EPERM: the lock was not held; nothing was done. A notification that comes together with the
 * deadline wins. */
WEFT_API int weft_cond_wait(weft_cond *c, weft_lock *l, weft_until until);

/* The same with an rlock, which is let go of at whatever depth and held again at that depth. */
WEFT_API int weft_cond_wait_rlock(weft_cond *c, weft_rlock *l, weft_until until);

/* Wait until test(arg) is true, which is called with the lock held, first at once and then after each wake. `until`
 * bounds the whole. Returns 0 when it was true (also if the deadline came too), else as weft_cond_wait. */
WEFT_API int weft_cond_wait_for(weft_cond *c, weft_lock *l, int (*test)(void *arg), void *arg, weft_until until);

/* End the n oldest waits, or all there are if fewer; nothing is remembered for later. They go on when the lock becomes
 * free. Returns how many, or -EPERM when the lock is not held (if somebody waits; else there is nothing to check).
 * Shared: how many the kernel found asleep; a wait that is between two looks ends as well but is not counted. */
WEFT_API int weft_cond_notify(weft_cond *c, unsigned n);
WEFT_API int weft_cond_notify_all(weft_cond *c);

#ifdef __cplusplus
}
#endif
#endif
