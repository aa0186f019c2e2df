/* lock.c - weft_lock. One word answers three questions: who holds it, may somebody sleep, must newcomers queue.
 *
 * acquire   free: CAS 0 -> owner. Else look a moment, set WAITERS, sleep on exactly that value, try again.
 * release   alone: CAS owner -> 0. With WAITERS: swap to free and wake one, who tries again like everybody else.
 * A newcomer may take a lock that a woken sleeper is on its way to: that is what makes it fast. A sleeper that has not
 * got it for a millisecond sets STARVED, and then only those who have slept may take it. Ownership is never handed
 * over: a hand-over to a sleeper that times out or dies would lose the lock, in shared memory for good.
 *
 * I1  a sleeper went to sleep on a word with WAITERS; so the release that frees that hold wakes one.
 * I2  who takes it after sleeping sets WAITERS again, for it cannot know whether others still sleep.
 * I3  who set STARVED takes the lock, which clears it, or clears it when it gives up and wakes one if the lock is
 *     free. So a release leaves it alone: whoever it wakes, or nobody, the one that set it is awake or asleep behind
 *     it.
 * I4  shared: a sleeper looks every 100 ms whether the owner's process lives, and takes the lock over if not.
 * I5  in a child of fork: who held a private lock and was left behind in the parent is dead, as far as this process is
 *     concerned, and a STARVED without a sleeper was left by one.
 * I6  `where` is stored by the holder once it holds the lock. Reports read it; nothing depends on it.
 * Pinned by tests/model/lock_model.c (with mutants), tests/sync/lock_test.c, tests/sync/kill_test.c. */
#include "sync/order.h"

#include "base/panic.h"
#include "sys/aside.h"

#include <errno.h>

enum {
    LOOKS = 8,   /* how often one looks before it sleeps */
    PAUSES = 60, /* from one look to the next: about a microsecond */
    STARVING_NS = 1000000,
    LONG_NS = 50000000
};

#define WAITERS WEFT__LOCK_WAITERS
#define STARVED WEFT__LOCK_STARVED
#define OWNER   WEFT__LOCK_OWNER
#define LOST    WEFT__LOCK_LOST

/* What an acquirer knows while it tries. */
typedef struct attempt {
    weft__taking taking;
    uint32_t me;
    uint32_t seen;  /* the lock's word as last read */
    bool slept;     /* it has been asleep: may pass STARVED, must keep WAITERS */
    bool starving;  /* it has been at it for STARVING_NS */
    bool look_dead; /* shared: time to look whether the owner lives */
    unsigned looks;
    int64_t since;  /* when it first went to sleep; 0 before */
    int64_t looked; /* when it last looked whether the owner lives, or `since` */
} attempt;

static bool is_shared(const weft_lock *l)
{
    return load_relaxed(&l->flags) & WEFT_SHARED;
}

static uint32_t identity(const weft_lock *l)
{
    return is_shared(l) ? weft__process() : weft__self()->id;
}

/* I6. Not explored: nobody's steps depend on it. */
static inline void took_at(weft_lock *l, const void *where)
{
#ifndef WEFT_MODEL
    store_relaxed(&l->where, (uint32_t)(uintptr_t)where);
#else
    (void)l, (void)where;
#endif
}

/* I5. One that is handed over may be released by somebody who is here. */
static bool left_behind(const weft_lock *l, uint32_t owner)
{
    return weft__forked && !(load_relaxed(&l->flags) & (WEFT_LOCK_HANDOFF | WEFT__LOCK_PASSED_ON)) &&
           weft__waiter_left_behind(owner, NULL, 0);
}

static bool nobody_starves(const weft_lock *l)
{
    return weft__forked && !is_shared(l) && weft__sleepers(&l->word) == 0;
}

/* Is it free and ours to take, or held by somebody who is no more? *dead: its data is to be recovered. */
static bool may_take(const weft_lock *l, attempt *a, bool *dead)
{
    uint32_t owner = a->seen & OWNER;
    *dead = owner == LOST;
    if (owner == 0 || owner == LOST)
        return a->slept || !(a->seen & STARVED) || nobody_starves(l);
    if (!is_shared(l))
        return *dead = left_behind(l, owner);
    if (!a->look_dead)
        return false;
    a->look_dead = false;
    *dead = weft__process_dead(owner);
    return *dead;
}

/* One attempt at the word. True: *result is 0 or -EOWNERDEAD and the lock is held. */
static bool take(weft_lock *l, attempt *a, int *result)
{
    bool dead;
    while (may_take(l, a, &dead)) {
        uint32_t mine = a->me | (a->seen & WAITERS) | (a->slept ? WAITERS : 0);
        if (!cas_acquire(&l->word, &a->seen, mine))
            continue;
        took_at(l, a->taking.where);
        if (dead)
            store_relaxed(&l->flags, l->flags | WEFT__LOCK_INCONSISTENT);
        *result = dead ? -EOWNERDEAD : 0;
        return true;
    }
    return false;
}

/* Looking pays on several processors: a sleep and its wake cost more than ten times as much. A coroutine might look at
 * a holder that waits for its thread, so it looks at the library's own locks only, which are held for moments. */
static unsigned looks_of(const attempt *a)
{
    return weft__may_spin() && (weft__is_own(a->taking) || weft__self()->ops == &weft__thread_ops) ? LOOKS : 0;
}

/* Each look takes the word's cache line from the holder, who needs it back: two that take the lock in turns as fast as
 * they can do five times as much with a microsecond between looks as with none. */
static bool look_again(const weft_lock *l, attempt *a)
{
    if (a->looks == 0 || ((a->seen & STARVED) && !a->slept))
        return false;
    a->looks--;
    for (unsigned i = 0; i < PAUSES; i++)
        cpu_relax();
    a->seen = load_relaxed(&l->word);
    return true;
}

/* The starving sleeper gives up: newcomers need not queue for it any more, and those who did must look again. */
static void unstarve(weft_lock *l)
{
    uint32_t before = and_seq_cst(&l->word, ~STARVED);
    if ((before & STARVED) && ((before & OWNER) == 0 || (before & OWNER) == LOST))
        weft__wake(&l->word, 1, weft__lock_domain(l));
}

static int sleep_for(weft_lock *l, attempt *a, weft_until until, unsigned flags)
{
    uint32_t word = a->seen | WAITERS | (a->starving ? STARVED : 0);
    if (word != a->seen && !cas_relaxed(&l->word, &a->seen, word))
        return 0;
    if (a->since == 0)
        a->since = a->looked = weft_now();
    int err = weft__park_for(a->taking.kind, l, a->taking.where, &l->word, word, until, flags | weft__lock_domain(l));
    int64_t now = weft_now();
    a->slept = true;
    a->looks = looks_of(a);
    a->starving = a->starving || now - a->since > STARVING_NS; /* once it is, it has the mark to clear */
    a->look_dead = now - a->looked > LONG_NS;
    if (a->look_dead)
        a->looked = now;
    a->seen = load_relaxed(&l->word);
    return err;
}

static int acquire_slow(weft_lock *l, weft_until until, unsigned flags, bool slept, weft__taking taking)
{
    attempt a = {.taking = taking, .me = identity(l), .slept = slept, .look_dead = until.at <= 0};
    if (until.at > 0)
        a.looks = looks_of(&a);
    a.seen = load_relaxed(&l->word);
    if (until.at > 0)
        weft__order_wants(l, taking);
    int result = 0, err = 0;
    while (!take(l, &a, &result)) {
        if (err < 0)
            goto give_up;
        if (look_again(l, &a))
            continue;
        if (until.at <= 0) {
            err = -ETIMEDOUT;
            goto give_up;
        }
        err = sleep_for(l, &a, until, flags);
    }
    weft__order_took(l, taking, slept);
    return result;
give_up:
    if (a.starving)
        unstarve(l);
    return err;
}

int weft__lock_reacquire(weft_lock *l, weft__taking taking)
{
    return acquire_slow(l, WEFT_FOREVER, WEFT__UNCANCELLABLE, true, taking);
}

/* The fast path: free, private, by a waiter that is known already. */
static inline bool acquire_fast(weft_lock *l, const void *where)
{
    uint32_t me = weft__self_id, seen = 0;
    if (unlikely(me == 0 || is_shared(l)) || unlikely(!cas_acquire(&l->word, &seen, me)))
        return false;
    took_at(l, where);
    return true;
}

WEFT__COLD static void must_acquire_slow(weft_lock *l, weft__taking taking, const char *call)
{
    char name[64] = "another";
    uint32_t owner = load_relaxed(&l->word) & OWNER;
    if (acquire_slow(l, WEFT_FOREVER, WEFT__UNCANCELLABLE, false, taking) != -EOWNERDEAD)
        return;
    weft__waiter_left_behind(owner, name, sizeof name);
    if (!is_shared(l))
        weft__panic("%s: when this process was forked, \"%s\" held the lock at %p, and it is not in this process; use "
                    "%s_until and weft_lock_recover to handle that, or WEFT_FORKSERVER",
                    call, name, (void *)l, call);
    else
        weft__panic("%s: the process that held the shared lock at %p died in the midst of its work; use %s_until and "
                    "weft_lock_recover to handle that",
                    call, (void *)l, call);
}

void weft_lock_acquire(weft_lock *l)
{
    const void *where = WEFT__CALLER();
    if (unlikely(!acquire_fast(l, where)))
        must_acquire_slow(l, (weft__taking){&weft__lock_kind, where}, "weft_lock_acquire");
}

void weft__lock_must_acquire(weft_lock *l, weft__taking taking, const char *call)
{
    if (unlikely(!acquire_fast(l, taking.where)))
        must_acquire_slow(l, taking, call);
}

int weft__lock_acquire(weft_lock *l, weft_until until, unsigned flags, weft__taking taking)
{
    return acquire_fast(l, taking.where) ? 0 : acquire_slow(l, until, flags, false, taking);
}

int weft_lock_acquire_until(weft_lock *l, weft_until until)
{
    return weft__lock_acquire(l, until, 0, (weft__taking){&weft__lock_kind, WEFT__CALLER()});
}

bool weft__lock_let_go(weft_lock *l)
{
    uint32_t seen = load_relaxed(&l->word);
    unsigned domain = weft__lock_domain(l);
    uint32_t flags = load_relaxed(&l->flags);
    uint32_t freed = flags & WEFT__LOCK_INCONSISTENT ? LOST : 0;
    uint32_t left;
    weft__order_let_go(l);
    if (freed != 0)
        store_relaxed(&l->flags, flags & ~WEFT__LOCK_INCONSISTENT);
    if (domain == 0 && (seen & OWNER) != weft__self()->id && !(flags & (WEFT_LOCK_HANDOFF | WEFT__LOCK_PASSED_ON)))
        store_relaxed(&l->flags, flags | WEFT__LOCK_PASSED_ON);
    do {
        uint32_t owner = seen & OWNER;
        if (owner == 0 || owner == LOST)
            return false;
        left = freed | (seen & STARVED ? STARVED | WAITERS : 0);
    } while (!cas_seq_cst(&l->word, &seen, left));
    if (seen & WAITERS) /* from here on l is only an address */
        weft__wake(&l->word, 1, domain);
    return true;
}

WEFT__COLD static void release_slow(weft_lock *l)
{
    if (!weft__lock_let_go(l))
        weft__panic("weft_lock_release: the lock at %p is not held", (void *)l);
}

void weft_lock_release(weft_lock *l)
{
    /* Expected is the caller's own id, which is at hand sooner than the word: a load behind a locked instruction waits
     * for its end. With a mark, in the shared domain, or released by another than its taker, it goes the long way. */
    uint32_t seen = weft__self_id;
    if (unlikely(seen == 0 || (load_relaxed(&l->flags) & WEFT__LOCK_INCONSISTENT)) ||
        unlikely(!cas_release(&l->word, &seen, 0)))
        release_slow(l);
}

int weft_lock_init(weft_lock *l, unsigned flags)
{
    if (flags & ~(unsigned)(WEFT_SHARED | WEFT_LOCK_HANDOFF))
        return -EINVAL;
    weft__order_forget(l);
    store_relaxed(&l->flags, flags);
    store_release(&l->word, 0);
    return 0;
}

void weft_lock_destroy(weft_lock *l)
{
    uint32_t word = load_acquire(&l->word);
    if ((word & OWNER) != 0 && (word & OWNER) != LOST)
        weft__panic("weft_lock_destroy: the lock at %p is held", (void *)l);
    if (!weft__lock_domain(l) && weft__sleepers(&l->word) != 0)
        weft__panic("weft_lock_destroy: the lock at %p is waited for", (void *)l);
    weft__order_forget(l);
}

int weft_lock_held(const weft_lock *l)
{
    uint32_t owner = load_relaxed(&l->word) & OWNER;
    return owner != 0 && owner != LOST;
}

int weft_lock_recover(weft_lock *l)
{
    uint32_t flags = load_relaxed(&l->flags);
    if (!(flags & WEFT__LOCK_INCONSISTENT))
        return -EINVAL;
    store_relaxed(&l->flags, flags & ~WEFT__LOCK_INCONSISTENT);
    return 0;
}

/* ---- for reports ---- */

void weft__lock_enders(const weft_lock *l, bool by_others, weft__enders *e)
{
    weft_lock seen;
    if (weft__sys_peek(&seen, l, sizeof seen) < 0)
        return;
    uint32_t owner = seen.word & OWNER;
    if (owner == 0 || owner == LOST || (by_others && (seen.flags & (WEFT_LOCK_HANDOFF | WEFT__LOCK_PASSED_ON))))
        return;
    e->known = true;
    e->where = seen.where;
    weft__enders_add(e, owner);
}

/* Who waits for a lock that it took itself may be waiting for another to release it. */
static void lock_enders(const void *object, const weft__waiter *sleeper, weft__enders *e)
{
    weft__lock_enders(object, true, e);
    if (e->n == 1 && e->ids[0] == load_relaxed(&sleeper->id))
        e->known = false;
}

static void rlock_enders(const void *object, const weft__waiter *sleeper, weft__enders *e)
{
    (void)sleeper;
    weft__lock_enders(object, false, e);
}

const weft__awaited weft__lock_kind = {.what = "lock", .held = "held by", .enders = lock_enders};
const weft__awaited weft__rlock_kind = {.what = "rlock", .held = "held by", .enders = rlock_enders};
