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
    FIRING = UINT16_MAX, /* t->slot while it is on the list of those that are due */
    RUNS = 40            /* of lengths 1, 2, 4, ... in a merge sort: more timers than there is memory for */
};

void weft__wheel_init(weft__wheel *wheel, int64_t now)
{
    memset(wheel, 0, sizeof *wheel);
    wheel->tick = (uint64_t)now >> WEFT__TICK_LOG2;
}

/* At the end of a list, which is empty when *first is NULL. */
static void append(weft__timer **first, weft__timer ***end, weft__timer *t)
{
    t->link = *first == NULL ? first : *end;
    t->next = NULL;
    *t->link = t;
    *end = &t->next;
}

static void unlink_timer(weft__timer ***end, weft__timer *t)
{
    *t->link = t->next;
    if (t->next != NULL)
        t->next->link = t->link;
    else
        *end = t->link;
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
    append(&slot->first, &slot->end, t);
    t->slot = (uint16_t)(level << WEFT__WHEEL_BITS | s);
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
    wheel->set--;
    if (t->slot == FIRING) {
        unlink_timer(&wheel->due_end, t);
        return;
    }
    unsigned level = t->slot >> WEFT__WHEEL_BITS, s = t->slot & (WEFT__WHEEL_SLOTS - 1);
    weft__wheel_slot *slot = &wheel->slots[level][s];
    unlink_timer(&slot->end, t);
    if (slot->first == NULL)
        wheel->used[level] &= ~(UINT64_C(1) << s);
}

/* Take a slot's whole list. */
static weft__timer *take_slot(weft__wheel *wheel, unsigned level, unsigned s)
{
    weft__timer *list = wheel->slots[level][s].first;
    wheel->slots[level][s].first = NULL;
    wheel->used[level] &= ~(UINT64_C(1) << s);
    return list;
}

/* Move the timers of a slot above level 0, whose time has come, to where they belong now. */
static void move_down(weft__wheel *wheel, unsigned level, unsigned s)
{
    weft__timer *t = take_slot(wheel, level, s), *next;
    for (; t != NULL; t = next) {
        next = t->next;
        insert(wheel, t);
    }
}

/* Merge two lists that are sorted; of equals those of a come first. By `next` alone. */
static weft__timer *merge(weft__timer *a, weft__timer *b)
{
    weft__timer *first, **end = &first;
    while (a != NULL && b != NULL) {
        weft__timer **from = b->at < a->at ? &b : &a;
        *end = *from;
        end = &(*from)->next;
        *from = *end;
    }
    *end = a != NULL ? a : b;
    return first;
}

static weft__timer *sort(weft__timer *list)
{
    weft__timer *runs[RUNS] = {NULL}, *next; /* the i-th has 2^i timers or none; the higher, the older */
    for (; list != NULL; list = next) {
        next = list->next;
        list->next = NULL;
        unsigned i = 0;
        for (; runs[i] != NULL; i++) {
            list = merge(runs[i], list);
            runs[i] = NULL;
        }
        runs[i] = list;
    }
    for (unsigned i = 0; i < RUNS; i++)
        list = merge(runs[i], list);
    return list;
}

/* Move the timers of one slot of level 0 that are due to the end of those that are, in order, and put the rest back. */
static void collect_slot(weft__wheel *wheel, unsigned s, int64_t now)
{
    weft__timer *due = NULL, **end = &due, *t = take_slot(wheel, 0, s), *next;
    int64_t latest = INT64_MIN;
    bool sorted = true;
    for (; t != NULL; t = next) {
        next = t->next;
        if (t->at > now) {
            insert(wheel, t);
            continue;
        }
        sorted = sorted && t->at >= latest;
        latest = t->at;
        *end = t;
        end = &t->next;
    }
    *end = NULL;
    for (t = sorted ? due : sort(due); t != NULL; t = next) {
        next = t->next;
        append(&wheel->due, &wheel->due_end, t);
        t->slot = FIRING;
    }
}

void weft__wheel_collect(weft__wheel *wheel, int64_t now)
{
    uint64_t last = now <= 0 ? 0 : (uint64_t)now >> WEFT__TICK_LOG2;
    if (last < wheel->tick)
        last = wheel->tick; /* a test moved the clock back: the present slot then holds all that is set, in no order */
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
            collect_slot(wheel, s, now);
        if (level == 0 && start == last)
            break; /* what is left in this tick is not due yet */
        level = 0;
    }
    wheel->tick = last; /* I3: the next used slot starts later, on every level */
}

weft__timer *weft__wheel_take(weft__wheel *wheel)
{
    weft__timer *t = wheel->due;
    if (t != NULL) {
        unlink_timer(&wheel->due_end, t);
        wheel->set--;
    }
    return t;
}

unsigned weft__wheel_fire(weft__wheel *wheel, int64_t now)
{
    unsigned fired = 0;
    weft__timer *t;
    weft__wheel_collect(wheel, now);
    for (; (t = weft__wheel_take(wheel)) != NULL; fired++)
        t->fire(t);
    return fired;
}

int64_t weft__wheel_next(const weft__wheel *wheel)
{
    if (wheel->set == 0)
        return INT64_MAX;
    if (wheel->due != NULL)
        return wheel->due->at;
    for (unsigned level = 0; level < WEFT__WHEEL_LEVELS; level++)
        if (wheel->used[level] != 0)
            return wheel->slots[level][__builtin_ctzll(wheel->used[level])].earliest;
    return INT64_MAX;
}
WEFT__UNTRACED_END
