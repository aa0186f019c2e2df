/* timer.c - the hierarchical timing wheel; see timer.h for what it promises.
 *
 * Level l has 64 slots of 64^l ticks each. A timer whose tick differs from the wheel's own first in the l-th group of
 * six bits lies on level l, in the slot that those bits name. So whatever is on a lower level is due before whatever is
 * on a higher one, and within a level the slots are in order: the first used slot of the first used level holds the
 * next.
 *
 * I1  bit s of used[l] is set  <=>  slots[l][s] has a timer.
 * I2  slots[l][s].earliest is at or before every deadline in it; so sleeping until the first one's `earliest` is never
 *     too long, and at worst, after a cancel, once too short.
 * I3  the wheel's tick moves only past slots that are empty, and into a slot only after its timers have moved down.
 * All of it belongs to one thread. Pinned by tests/co/timer_test.c (against a sorted list). */
#include "co/untraced.h"
WEFT__UNTRACED_BEGIN
#include "co/timer.h"

#include <string.h>

enum {
    FIRING = UINT32_MAX /* t->slot while it is on the list of those being fired */
};

void weft__wheel_init(weft__wheel *wheel, int64_t now)
{
    memset(wheel, 0, sizeof *wheel);
    wheel->tick = (uint64_t)now >> WEFT__TICK_LOG2;
}

static void link_timer(weft__timer **list, weft__timer *t)
{
    t->next = *list;
    if (t->next != NULL)
        t->next->link = &t->next;
    t->link = list;
    *list = t;
}

static void unlink_timer(weft__timer *t)
{
    *t->link = t->next;
    if (t->next != NULL)
        t->next->link = t->link;
    t->link = NULL;
}

/* Put a timer that is in no list where it belongs. */
static void insert(weft__wheel *wheel, weft__timer *t)
{
    uint64_t tick = t->at <= 0 ? 0 : (uint64_t)t->at >> WEFT__TICK_LOG2;
    if (tick < wheel->tick)
        tick = wheel->tick;
    uint64_t differs = (tick ^ wheel->tick) | (WEFT__WHEEL_SLOTS - 1);
    unsigned level = (63 - (unsigned)__builtin_clzll(differs)) / WEFT__WHEEL_BITS;
    unsigned s = (tick >> (level * WEFT__WHEEL_BITS)) & (WEFT__WHEEL_SLOTS - 1);
    weft__wheel_slot *slot = &wheel->slots[level][s];
    if (slot->first == NULL) {
        wheel->used[level] |= UINT64_C(1) << s;
        slot->earliest = t->at;
    } else if (t->at < slot->earliest) {
        slot->earliest = t->at;
    }
    link_timer(&slot->first, t);
    t->slot = level << WEFT__WHEEL_BITS | s;
}

void weft__wheel_set(weft__wheel *wheel, weft__timer *t, int64_t at)
{
    weft__wheel_cancel(wheel, t);
    t->at = at;
    wheel->set++;
    insert(wheel, t);
}

void weft__wheel_cancel(weft__wheel *wheel, weft__timer *t)
{
    if (t->link == NULL)
        return;
    unlink_timer(t);
    wheel->set--;
    if (t->slot == FIRING)
        return;
    unsigned level = t->slot >> WEFT__WHEEL_BITS, s = t->slot & (WEFT__WHEEL_SLOTS - 1);
    if (wheel->slots[level][s].first == NULL)
        wheel->used[level] &= ~(UINT64_C(1) << s);
}

/* Take a slot's whole list; *list is its head. */
static void take_slot(weft__wheel *wheel, unsigned level, unsigned s, weft__timer **list)
{
    weft__wheel_slot *slot = &wheel->slots[level][s];
    *list = slot->first;
    if (*list != NULL)
        (*list)->link = list;
    slot->first = NULL;
    wheel->used[level] &= ~(UINT64_C(1) << s);
}

/* Move the timers of one slot of level 0 that are due to the end of a list, and put the rest back. Returns its new end.
 */
static weft__timer **collect(weft__wheel *wheel, unsigned s, int64_t now, weft__timer **end)
{
    weft__timer *list;
    take_slot(wheel, 0, s, &list);
    while (list != NULL) {
        weft__timer *t = list;
        unlink_timer(t);
        if (t->at > now) {
            insert(wheel, t);
            continue;
        }
        link_timer(end, t);
        t->slot = FIRING;
        end = &t->next;
    }
    return end;
}

/* Move the timers of a slot above level 0, whose time has come, to where they belong now. */
static void move_down(weft__wheel *wheel, unsigned level, unsigned s)
{
    weft__timer *list;
    take_slot(wheel, level, s, &list);
    while (list != NULL) {
        weft__timer *t = list;
        unlink_timer(t);
        insert(wheel, t);
    }
}

unsigned weft__wheel_fire(weft__wheel *wheel, int64_t now)
{
    uint64_t last = (uint64_t)now >> WEFT__TICK_LOG2;
    if (last < wheel->tick)
        last = wheel->tick; /* a test moved the clock back: the present slot then holds all that is set, sorted by
                               nothing */
    weft__timer *due = NULL, **end = &due;
    for (unsigned level = 0; level < WEFT__WHEEL_LEVELS;) {
        if (wheel->used[level] == 0) {
            level++;
            continue;
        }
        unsigned s = (unsigned)__builtin_ctzll(wheel->used[level]);
        unsigned shift = level * WEFT__WHEEL_BITS;
        uint64_t start = ((wheel->tick >> shift & ~(uint64_t)(WEFT__WHEEL_SLOTS - 1)) | s) << shift;
        if (start > last)
            break;
        if (start > wheel->tick)
            wheel->tick = start;
        if (level > 0)
            move_down(wheel, level, s);
        else
            end = collect(wheel, s, now, end);
        if (level == 0 && start == last)
            break; /* what is left in this tick is not due yet */
        level = 0;
    }
    wheel->tick = last; /* I3: the next used slot starts later, on every level */
    unsigned fired = 0;
    while (due !=
           NULL) { /* fire may set and cancel any timer, also of those that are due; what it sets is for next time */
        weft__timer *t = due;
        unlink_timer(t);
        wheel->set--;
        fired++;
        t->fire(t);
    }
    return fired;
}

int64_t weft__wheel_next(const weft__wheel *wheel)
{
    if (wheel->set == 0)
        return INT64_MAX;
    for (unsigned level = 0; level < WEFT__WHEEL_LEVELS; level++)
        if (wheel->used[level] != 0)
            return wheel->slots[level][__builtin_ctzll(wheel->used[level])].earliest;
    return INT64_MAX;
}
WEFT__UNTRACED_END
