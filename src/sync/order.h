/* order.h - which lock is taken while which is held, when weft_lock_order_check asked for it. Called by lock.c. */
#ifndef WEFT_SYNC_ORDER_H
#define WEFT_SYNC_ORDER_H

#include "sync/lock.h"

extern uint32_t weft__order_on; /* atomic */

void weft__order_wants_slow(const weft_lock *l, weft__taking taking);
void weft__order_took_slow(const weft_lock *l, weft__taking taking, bool again);
void weft__order_let_go_slow(const weft_lock *l);
void weft__order_forget_slow(const weft_lock *l);

/* Locks of the library's own (where is NULL), shared ones and those that are handed over have no order. */
static inline bool weft__order_traces(const weft_lock *l)
{
#ifndef WEFT_MODEL
    return unlikely(load_relaxed(&weft__order_on) != 0) &&
           !(load_relaxed(&l->flags) & (WEFT_SHARED | WEFT_LOCK_HANDOFF | WEFT__LOCK_PASSED_ON));
#else
    (void)l;
    return false;
#endif
}

/* The caller is about to take *l, and would wait for it. */
static inline void weft__order_wants(const weft_lock *l, weft__taking taking)
{
    if (weft__order_traces(l) && !weft__is_own(taking))
        weft__order_wants_slow(l, taking);
}

/* It has it. `again`: it had it before, and let go of it to wait in a condition. */
static inline void weft__order_took(const weft_lock *l, weft__taking taking, bool again)
{
    if (weft__order_traces(l) && !weft__is_own(taking))
        weft__order_took_slow(l, taking, again);
}

/* Whoever has it is about to let go. */
static inline void weft__order_let_go(const weft_lock *l)
{
    if (weft__order_traces(l))
        weft__order_let_go_slow(l);
}

/* Its memory begins or ends to be a lock. */
static inline void weft__order_forget(const weft_lock *l)
{
#ifndef WEFT_MODEL
    if (unlikely(load_relaxed(&weft__order_on) != 0))
        weft__order_forget_slow(l);
#else
    (void)l;
#endif
}

#endif
