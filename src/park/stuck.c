/* stuck.c - is anybody left to wake those who sleep?
 *
 * Nobody is, if every thread of the process is a sleeper in a wait without deadline that told what it awaits, or a
 * helper of weft's own at rest (a scheduler without timers and descriptors, an idle worker, this thread). For then
 * nobody runs who could notify, release, put or cancel, no clock and no descriptor will make anybody run, and signal
 * handlers may not. Coroutines need no look: if all schedulers are at rest, none is ready.
 *
 * S1  threads unknown to weft are found by counting: the kernel's number of threads must be the number of those that
 *     were found asleep or at rest, plus relays and this one. One too many and nothing is said; ThreadSanitizer has
 *     threads of its own, so there nothing ever is.
 * S2  it is so if two looks at different times find the same sleeps; and it is said once. A helper that has been
 *     given something to do is not at rest by what its `idle` reads, also before it has run.
 * S3  who stands in a queue may still be on its way to sleep, and go on at what it sees there: nothing is said while it
 *     holds the lock of its condition, or its thread wants to run; it is looked at again soon.
 * Pinned by tests/fault/deadlock_stuck_test.c. */
#include "park/watch.h"

#include "park/shared.h"
#include "sys/aside.h"

#include <string.h>
#include <unistd.h>

enum {
    LISTED = 100, /* waiters in one report */
    ENDERS = 256  /* of each, those who could end its wait */
};

typedef struct look {
    unsigned threads;  /* found asleep or at rest */
    unsigned sleepers; /* of these, the program's */
    bool main_seen;
    bool reported; /* one of them sleeps in a ring that was told of */
    bool awake;    /* one only counts as asleep, and will not say when it is */
    uint64_t sum;  /* of all sleeps */
} look;

static uint64_t before; /* sum of the last look, 0: it was different */
static uint64_t told;   /* sum of the look that was reported */

static bool in_reported_sleep(const weft__waiter *w, uint32_t waits)
{
    return w->reported != 0 && w->reported == waits + 1;
}

/* It will run on before it sleeps, and others may go on by what it does. */
static bool is_awake(const weft__found *f)
{
    uint32_t ids[8];
    weft__enders e = {.ids = ids, .max = WEFT__ARRAY_LEN(ids)};
    if (f->kind->enders != NULL)
        f->kind->enders(f->object, f->waiter, &e);
    return e.awake;
}

static bool at_rest(weft__waiter *w, void *arg)
{
    look *l = arg;
    if (w == weft__self_waiter)
        return true; /* this thread's, since a function of the program's was called on it */
    weft__found f;
    const weft__awaited *kind = load_acquire(&w->awaits);
    l->threads++;
    l->main_seen = l->main_seen || load_relaxed(&w->tid) == getpid();
    if (kind != NULL && kind->idle != NULL)
        return kind->idle(load_acquire(&w->object), w);
    if (!weft__find(w, &f) || f.kind == NULL)
        return false;
    l->awake = is_awake(&f);
    if (l->awake)
        return false;
    l->sleepers++;
    l->reported = l->reported || in_reported_sleep(w, f.waits);
    l->sum = (l->sum ^ ((uint64_t)f.id << 32 | f.waits)) * UINT64_C(0x9e3779b97f4a7c15);
    return true;
}

static bool is_in_use(weft__waiter *w, void *arg)
{
    (void)arg;
    return w == weft__self_waiter;
}

/* Whether the kernel knows of no threads but those that were found. */
static bool all_known(const look *l)
{
    unsigned relays = 0;
    if (!weft__relays_idle(&relays))
        return false;
    unsigned known = l->threads + relays + 1, all = weft__sys_thread_count();
    return all == known || (all == known + 1 && !l->main_seen && weft__sys_thread_state(getpid()) == 'Z');
}

typedef struct list {
    weft__found *at;
    unsigned n, total;
    bool reported;
} list;

static void add_sleeper(weft__waiter *w, void *arg)
{
    list *all = arg;
    weft__found f;
    const weft__awaited *kind = load_acquire(&w->awaits);
    if (w == weft__self_waiter || (kind != NULL && kind->idle != NULL) || !weft__find(w, &f))
        return;
    all->reported = all->reported || in_reported_sleep(w, f.waits);
    all->total++;
    if (all->n == LISTED)
        return;
    static uint32_t ids[ENDERS], wheres[ENDERS];
    weft__enders e = {.ids = ids, .wheres = wheres, .max = ENDERS};
    if (f.kind != NULL && f.kind->enders != NULL)
        f.kind->enders(f.object, w, &e);
    weft__found_enders(&f, &e);
    all->at[all->n++] = f;
}

static bool stands(weft__waiter *w, void *arg)
{
    (void)arg;
    return w == weft__self_waiter || weft__sys_thread_state((int)load_relaxed(&w->tid)) != 'R';
}

/* False: not yet, since one of them is only kept from running. */
static bool tell(uint64_t sum)
{
    static weft__found members[LISTED];
    list all = {.at = members};
    weft__waiters_each(add_sleeper, &all);
    look again = {.sum = 1};
    if (!weft__thread_waiters_each(at_rest, &again) || again.sum != sum || !all_known(&again))
        return true;
    if (!weft__thread_waiters_each(stands, NULL))
        return false;
    told = sum;
    if (!all.reported) /* else whoever waits, waits behind a ring */
        weft__deadlock_report(members, all.n, all.total, false);
    return true;
}

weft__stuck weft__stuck_look(bool *anybody)
{
    look l = {.sum = 1};
    bool rest = weft__thread_waiters_each(at_rest, &l);
    uint64_t last = before;
    before = 0;
    *anybody = !weft__thread_waiters_each(is_in_use, NULL);
    if (!rest || l.sleepers == 0)
        return l.awake ? WEFT__STUCK_PERHAPS : WEFT__STUCK_NO;
    if (!all_known(&l))
        return WEFT__STUCK_UNKNOWN;
    if (l.reported || l.sum == told)
        return WEFT__STUCK_NO;
    if (l.sum != last) {
        before = l.sum;
        return WEFT__STUCK_PERHAPS;
    }
    return tell(l.sum) ? WEFT__STUCK_NO : WEFT__STUCK_PERHAPS;
}
