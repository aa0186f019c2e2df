/* timer.h - a hierarchical timing wheel: one a scheduler thread, any number of timers, set and cancel in a few loads
 * and stores. A timer is intrusive: it lies in memory of its owner, who may re-set or cancel it at any time, also in
 * its own `fire` and in that of another.
 *
 * Exact: the wheel sorts by ticks of 32 us, but a timer fires at the first look at the clock at or after its deadline,
 * never before it. Late by what the thread was busy with, or by the kernel's wake-up when it slept.
 * Order: timers of different ticks fire in the order of their deadlines; within a tick in no particular order. */
#ifndef WEFT_CO_TIMER_H
#define WEFT_CO_TIMER_H

#include "base/compiler.h"

#include <stdbool.h>

enum {
    WEFT__TICK_LOG2 = 15, /* ns: 32,768 */
    WEFT__WHEEL_BITS = 6,
    WEFT__WHEEL_SLOTS = 1 << WEFT__WHEEL_BITS,
    WEFT__WHEEL_LEVELS = 8 /* 2^(15 + 48) ns: every deadline there is */
};

typedef struct weft__timer {
    struct weft__timer *next, **link;    /* the slot's list; link is NULL when the timer is not set */
    int64_t at;                          /* deadline, ns on weft__sys_now's clock */
    void (*fire)(struct weft__timer *t); /* owner's; called on the scheduler's own stack: must not park */
    uint32_t slot;                       /* level << 6 | slot, or none while it is being fired */
} weft__timer;

typedef struct weft__wheel_slot {
    weft__timer *first;
    int64_t earliest; /* no timer here is due before; may be too early after a cancel */
} weft__wheel_slot;

typedef struct weft__wheel {
    uint64_t tick;                     /* everything before it has been fired or moved down */
    uint64_t set;                      /* how many timers are set */
    uint64_t used[WEFT__WHEEL_LEVELS]; /* bit s: slot s has a timer */
    weft__wheel_slot slots[WEFT__WHEEL_LEVELS][WEFT__WHEEL_SLOTS];
} weft__wheel;

/* Start at this time. */
void weft__wheel_init(weft__wheel *wheel, int64_t now);

/* Set, or set anew. `at` may be past: it fires at the next look. t->fire must be set; t is all zero before its first
 * use. */
void weft__wheel_set(weft__wheel *wheel, weft__timer *t, int64_t at);

/* After this it does not fire. Cancelling what is not set does nothing. */
void weft__wheel_cancel(weft__wheel *wheel, weft__timer *t);

/* Fire all that are due at `now`. Returns how many. */
unsigned weft__wheel_fire(weft__wheel *wheel, int64_t now);

/* No timer is due before this; INT64_MAX when none is set. Never later than the earliest deadline. */
int64_t weft__wheel_next(const weft__wheel *wheel);

static inline bool weft__timer_is_set(const weft__timer *t)
{
    return t->link != NULL;
}

#endif
