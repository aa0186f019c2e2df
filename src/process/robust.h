/* robust.h - taking a lock in shared memory whose holder may be dead, stopped, or an invention of a hostile peer. */
#ifndef WEFT_PROCESS_ROBUST_H
#define WEFT_PROCESS_ROBUST_H

#include "sync/lock.h"

#include <errno.h>

#define WEFT__ROBUST_MOMENT  (2 * WEFT_MS)     /* nobody who runs holds such a lock for longer */
#define WEFT__ROBUST_STOPPED (1 * WEFT_SECOND) /* nobody who is merely waiting for a processor does */

/* A living holder does one small thing under the lock, so the wait for it is not what the caller's deadline is about:
 * of one that has it for longer than a moment is asked whether it lives, and only one that is stopped makes the caller
 * give up. Returns 0 or -EOWNERDEAD (held), -ETIMEDOUT (stopped until the deadline, and for a second at least),
 * -ECANCELED. */
static inline int weft__robust_enter(weft_lock *l, weft_until until)
{
    weft__taking taking = {&weft__lock_kind, NULL};
    int err = weft__lock_acquire(l, weft_in(WEFT__ROBUST_MOMENT), WEFT__UNCANCELLABLE, taking);
    if (err == -ETIMEDOUT)
        err = weft__lock_acquire(l, WEFT_NOW, WEFT__UNCANCELLABLE, taking); /* asks whether the owner lives */
    if (err == -ETIMEDOUT)
        err = weft__lock_acquire(l, weft_in(WEFT__ROBUST_STOPPED), WEFT__UNCANCELLABLE, taking);
    if (err == -ETIMEDOUT && until.at > 0)
        err = weft__lock_acquire(l, until, 0, taking);
    return err;
}

#endif
