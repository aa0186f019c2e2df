/* timer.h - a hierarchical timing wheel: one a scheduler thread, any number of timers, set and cancel in a few loads
 * and stores. A timer is intrusive: it lies in memory of its owner, who may re-set or cancel it at any time, also in
 * its own `fire` and in that of another.
 *
 * Exact: the wheel sorts by ticks of 32 us, but a timer fires at the first look at the clock at or after its deadline,
 * never before it. Late by what the thread was busy with, or by the kernel's wake-up when it slept.
 * Order: timers that are due at one look fire in the order of their deadlines, equal ones in the order in which they
 * were set. */
#ifndef WEFT_CO_TIMER_H
#define WEFT_CO_TIMER_H

#include <weft/timer.h>

#include "base/compiler.h"

#include <stdbool.h>

enum {
    WEFT__TICK_LOG2 = 15, /* ns: 32,768 */
    WEFT__WHEEL_BITS = 6,
    WEFT__WHEEL_SLOTS = 1 << WEFT__WHEEL_BITS,
    WEFT__WHEEL_LEVELS = 8 /* 2^(15 + 48) ns: every deadline there is */
};

typedef struct weft__wheel_slot {
    weft__timer *first, **end; /* oldest first; end is the last one's `next`, of no meaning while there is none */
    int64_t earliest;          /* no timer here is due before; may be too early after a cancel */
} weft__wheel_slot;

typedef struct weft__wheel {
    uint64_t tick;                     /* everything before it has been fired or moved down */
    uint64_t set;                      /* how many timers are set, those of `due` too */
    weft__timer *due, **due_end;       /* collected and not taken yet, as the list of a slot */
    uint64_t used[WEFT__WHEEL_LEVELS]; /* bit s: slot s has a timer */
    weft__wheel_slot slots[WEFT__WHEEL_LEVELS][WEFT__WHEEL_SLOTS];
} weft__wheel;

/* Start at this time. (All zero is a wheel of time 0, whose first look has more to move down.) */
void weft__wheel_init(weft__wheel *wheel, int64_t now);

/* Set, or set anew. `at` may be past: it fires at the next look. t->fire must be set; t is all zero before its first
 * use. */
void weft__wheel_set(weft__wheel *wheel, weft__timer *t, int64_t at);

/* After this it does not fire. Cancelling what is not set does nothing. */
void weft__wheel_cancel(weft__wheel *wheel, weft__timer *t);

/* Fire all that are due at `now`. Returns how many. `fire` may set and cancel any timer, also of those that are due;
 * what it sets is for the next look. */
unsigned weft__wheel_fire(weft__wheel *wheel, int64_t now);

/* The same in steps: collect all that are due at `now`, of which none may be left from before; then take one after the
 * other, NULL when there is none left. Between two takes anything may be set and cancelled. One that is taken is not
 * set any more. */
void weft__wheel_collect(weft__wheel *wheel, int64_t now);
weft__timer *weft__wheel_take(weft__wheel *wheel);

/* No timer is due before this; INT64_MAX when none is set. Never later than the earliest deadline. */
int64_t weft__wheel_next(const weft__wheel *wheel);

static inline bool weft__timer_is_set(const weft__timer *t)
{
    return t->link != NULL;
}

#endif
