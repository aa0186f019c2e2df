/* sem.c - weft_sem: the units and a mark that somebody may sleep, in one word.
 *
 * acquire   units there: CAS one off. None: set WAITERS, sleep on exactly that value, try again.
 * release   add the units, clear WAITERS, wake as many as there are new units if it was set. The word is changed once
 *           and the object not touched after it: the acquirer of the last unit may free its memory.
 * I1  a sleeper went to sleep on a word with WAITERS and no unit; so the release that adds the next unit wakes.
 * I2  who takes a unit after sleeping sets WAITERS again, for others may still sleep; and if units are left it wakes
 *     the next, for the release that brought them may have found WAITERS already cleared.
 * A newcomer may take a unit that a woken sleeper is on its way to; the sleeper then sleeps again, and nothing is
 * lost.
 * Pinned by tests/model/sem_model.c and tests/sync/sem_test.c. */
#include <weft/sem.h>

#include "base/panic.h"
#include "park/await.h"

#include <errno.h>

#define WAITERS (UINT32_C(1) << 31)

static unsigned domain_of(const weft_sem *s)
{
    return s->flags & WEFT_SHARED ? WEFT__SHARED_WORD : 0;
}

/* Take a unit off the word, adding `mark`. False: there is none; *seen is the word. */
static bool take_unit(weft_sem *s, uint32_t *seen, uint32_t mark)
{
    while ((*seen & ~WAITERS) != 0)
        if (cas_seq_cst(&s->word, seen, (*seen - 1) | mark))
            return true;
    return false;
}

static const weft__awaited sem_kind = {.what = "semaphore"};

WEFT__COLD static int acquire_slow(weft_sem *s, weft_until until, const void *where)
{
    unsigned domain = domain_of(s);
    uint32_t mark = 0;
    int err = 0;
    uint32_t seen = load_relaxed(&s->word);
    while (!take_unit(s, &seen, mark)) {
        if (err < 0)
            return err;
        if (!(seen & WAITERS) && !cas_relaxed(&s->word, &seen, WAITERS))
            continue;
        err = weft__park_for(&sem_kind, s, where, &s->word, WAITERS, until, domain);
        mark = WAITERS;
        seen = load_relaxed(&s->word);
    }
    if (mark != 0 && (seen & ~WAITERS) > 1)
        weft__wake(&s->word, 1, domain);
    return 0;
}

int weft_sem_acquire(weft_sem *s, weft_until until)
{
    uint32_t seen = load_relaxed(&s->word);
    if (likely(take_unit(s, &seen, 0)))
        return 0;
    return until.at <= 0 ? -ETIMEDOUT : acquire_slow(s, until, WEFT__CALLER());
}

int weft_sem_release(weft_sem *s, int units)
{
    if (units < 1)
        return -EINVAL;
    uint32_t bound = s->flags & WEFT_BOUNDED ? s->bound : (uint32_t)WEFT_SEM_MAX;
    unsigned domain = domain_of(s);
    uint32_t seen = load_relaxed(&s->word);
    do {
        if ((uint32_t)units > bound || (seen & ~WAITERS) > bound - (uint32_t)units)
            return -EOVERFLOW;
    } while (!cas_seq_cst(&s->word, &seen, (seen & ~WAITERS) + (uint32_t)units));
    if (seen & WAITERS)
        weft__wake(&s->word, (unsigned)units, domain);
    return 0;
}

int weft_sem_value(const weft_sem *s)
{
    return (int)(load_relaxed(&s->word) & ~WAITERS);
}

int weft_sem_init(weft_sem *s, int units, unsigned flags)
{
    if (units < 0 || (flags & ~(unsigned)(WEFT_SHARED | WEFT_BOUNDED)))
        return -EINVAL;
    *s = (weft_sem){.word = (uint32_t)units, .flags = flags, .bound = (uint32_t)units};
    return 0;
}

void weft_sem_destroy(weft_sem *s)
{
    if (!domain_of(s) && weft__sleepers(&s->word) != 0)
        weft__panic("weft_sem_destroy: the semaphore at %p is waited for", (void *)s);
}
