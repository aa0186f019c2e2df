/* cond.h - what is made of a condition waits in it under a name of its own. */
#ifndef WEFT_SYNC_COND_H
#define WEFT_SYNC_COND_H

#include <weft/cond.h>

#include "sync/lock.h"

/* weft_cond_wait as a wait of this kind for `object`, called at `where`. */
int weft__cond_wait(weft_cond *c, weft_lock *l, weft_until until, const weft__awaited *kind, const void *object,
                    const void *where);

/* Who can end a wait in this condition, for such kinds' `enders`: who holds its lock, for nobody else can notify; if
 * nobody does, anybody. A sleeper that holds it itself is about to let go of it. */
void weft__cond_enders(const void *c, const weft__waiter *sleeper, weft__enders *e);

#endif
