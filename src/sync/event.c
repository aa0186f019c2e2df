/* event.c - weft_event: the flag, a mark that somebody may sleep, and how often the flag was cleared, in one word.
 *
 * A waiter remembers the count it saw. If flag or count differ when it looks again, the event was set in between, even
 * if it has been cleared since: that is what makes set-then-clear reach all who were waiting. The count wraps after
 * 2^30 clears during one look; nobody sleeps through that many, since a waiter that was woken looks at once.
 * set changes the word once and does not touch the object after it: a waiter may free it.
 * I1  a sleeper went to sleep on a word with WAITERS and without SET; the set that follows sees WAITERS and wakes all.
 * Pinned by tests/model/event_model.c and tests/sync/event_test.c. */
#include "sync/event.h"

#include "base/panic.h"
#include "park/await.h"

#include <errno.h>

enum {
    SET = WEFT__EVENT_SET,
    WAITERS = WEFT__EVENT_WAITERS,
    ONE_CLEAR = 4
};

static unsigned domain_of(const weft_event *e)
{
    return e->flags & WEFT_SHARED ? WEFT__SHARED_WORD : 0;
}

void weft_event_set(weft_event *e)
{
    unsigned domain = domain_of(e);
    if ((or_seq_cst(&e->word, SET) & (SET | WAITERS)) == WAITERS)
        weft__wake(&e->word, UINT32_MAX, domain);
}

void weft_event_clear(weft_event *e)
{
    uint32_t seen = load_relaxed(&e->word);
    while ((seen & SET) && !cas_acq_rel(&e->word, &seen, (seen & ~(uint32_t)(SET | WAITERS)) + ONE_CLEAR))
        ;
}

int weft_event_is_set(const weft_event *e)
{
    return load_acquire(&e->word) & SET;
}

static const weft__awaited event_kind = {.what = "event"};

int weft_event_wait(weft_event *e, weft_until until)
{
    uint32_t seen = load_acquire(&e->word);
    if (seen & SET)
        return 0;
    if (until.at <= 0)
        return -ETIMEDOUT;
    const uint32_t before = seen & ~(uint32_t)WAITERS;
    unsigned domain = domain_of(e);
    int err = 0;
    while ((seen & ~(uint32_t)WAITERS) == before) {
        if (err < 0)
            return err;
        if (!(seen & WAITERS) && !cas_acquire(&e->word, &seen, seen | WAITERS))
            continue;
        err = weft__park_for(&event_kind, e, WEFT__CALLER(), &e->word, before | WAITERS, until, domain);
        seen = load_acquire(&e->word);
    }
    return 0;
}

int weft_event_init(weft_event *e, unsigned flags)
{
    if (flags & ~(unsigned)WEFT_SHARED)
        return -EINVAL;
    *e = (weft_event){.flags = flags};
    return 0;
}

void weft_event_destroy(weft_event *e)
{
    if (!domain_of(e) && weft__sleepers(&e->word) != 0)
        weft__panic("weft_event_destroy: the event at %p is waited for", (void *)e);
}
