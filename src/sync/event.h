/* event.h - the bits of an event's word, for those who wait for an event beside other things. */
#ifndef WEFT_SYNC_EVENT_H
#define WEFT_SYNC_EVENT_H

#include <weft/event.h>

#include "park/park.h"

enum {
    WEFT__EVENT_SET = 1,
    WEFT__EVENT_WAITERS = 2 /* above: how often it was cleared */
};

/* The word as a waiter remembers it when it begins. */
static inline uint32_t weft__event_begin(const weft_event *e)
{
    return load_acquire(&e->word) & ~(uint32_t)WEFT__EVENT_WAITERS;
}

/* Whether the event is set, or was since `before`. */
static inline bool weft__event_came(const weft_event *e, uint32_t before)
{
    return (before & WEFT__EVENT_SET) || weft__event_begin(e) != before;
}

/* Before a sleep on e->word: mark that somebody may sleep. True: *expected is what to sleep on. False: it came. */
static inline bool weft__event_expect(weft_event *e, uint32_t before, uint32_t *expected)
{
    uint32_t seen = load_acquire(&e->word);
    *expected = before | WEFT__EVENT_WAITERS;
    while (!(before & WEFT__EVENT_SET) && (seen & ~(uint32_t)WEFT__EVENT_WAITERS) == before)
        if ((seen & WEFT__EVENT_WAITERS) || cas_acquire(&e->word, &seen, *expected))
            return true;
    return false;
}

#endif
