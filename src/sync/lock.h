/* lock.h - what the other primitives need of weft_lock beyond its public face: its word, and taking it back. */
#ifndef WEFT_SYNC_LOCK_H
#define WEFT_SYNC_LOCK_H

#include <weft/lock.h>

#include "park/await.h"

/* The word of a lock. The held value *is* the owner: a waiter's id (private) or a process token (shared), so taking the
 * lock and naming the owner are one step. */
#define WEFT__LOCK_WAITERS                                                                                             \
    (UINT32_C(1)                                                                                                       \
     << 31) /* somebody may sleep. Legal to set without cause; illegal to clear while one                  \
                           sleeps, except by a release that wakes one */
#define WEFT__LOCK_STARVED                                                                                             \
    (UINT32_C(1)                                                                                                       \
     << 30) /* a sleeper has waited for a millisecond: only who has slept may take it.                     \
                           Illegal to leave set when no sleeper is left to clear it */
#define WEFT__LOCK_OWNER (WEFT__LOCK_STARVED - 1)
#define WEFT__LOCK_LOST  (UINT32_C(0xff) << 22) /* as owner: free, but its data was never recovered (no pid is 0) */

/* In flags (atomic, because others read WEFT_SHARED beside it): the holder was told -EOWNERDEAD and has not called
 * recover. Changed by the holder only. */
#define WEFT__LOCK_INCONSISTENT 0x100u

/* In flags: it has been released by another than its taker, so it may be again. Set by who releases it. */
#define WEFT__LOCK_PASSED_ON 0x200u

static inline unsigned weft__lock_domain(const weft_lock *l)
{
    return load_relaxed(&l->flags) & WEFT_SHARED ? WEFT__SHARED_WORD : 0;
}

/* What the caller writes into weft_rlock's owner. Shared: its id, mixed with its process's token, because ids are small
 * and the same in many processes: what a dead owner left there must not look like the caller while a third process is
 * taking the lock over. One to one for the ids of one process; never 0. */
static inline uint32_t weft__rlock_me(const weft_rlock *l)
{
    uint32_t id = weft__self()->id;
    if (weft__lock_domain(&l->lock) == 0)
        return id;
    return id ^ ((weft__process() * UINT32_C(0x9e3779b1) >> 2) | UINT32_C(1) << 30);
}

extern const weft__awaited weft__lock_kind, weft__rlock_kind;

/* On whose behalf a lock is taken: what a report calls it, and the address of the call. */
typedef struct weft__taking {
    const weft__awaited *kind;
    const void *where; /* NULL: the library's own lock, which is held for moments */
} weft__taking;

static inline bool weft__is_own(weft__taking taking)
{
    return taking.where == NULL;
}

/* weft_lock_acquire_until with park's flags; for those who must not be cancelled and want to know of a dead owner. */
int weft__lock_acquire(weft_lock *l, weft_until until, unsigned flags, weft__taking taking);

/* weft_lock_acquire, which panics as `call`. */
void weft__lock_must_acquire(weft_lock *l, weft__taking taking, const char *call);

/* weft_lock_release, but false where that panics: in memory that others may have spoilt. */
bool weft__lock_let_go(weft_lock *l);
bool weft__rlock_let_go(weft_rlock *l);

/* Take the lock as one that has slept already (it was in a condition): may pass STARVED, keeps WAITERS. Not
 * cancellable. Returns 0 or -EOWNERDEAD. */
int weft__lock_reacquire(weft_lock *l, weft__taking taking);

/* Who can end a wait for this private lock; for the kinds of those that are made of one. `by_others`: perhaps somebody
 * else than its taker. */
void weft__lock_enders(const weft_lock *l, bool by_others, weft__enders *e);

/* weft_lock_acquire of a lock of the library's own, which the order of the program's locks does not count. */
static inline void weft__lock_own(weft_lock *l)
{
    weft__lock_must_acquire(l, (weft__taking){&weft__lock_kind, NULL}, "weft_lock_acquire");
}

#endif
