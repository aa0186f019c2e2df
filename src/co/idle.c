/* idle.c - what comes to a scheduler thread from elsewhere, and how it sleeps until something does.
 *
 * Sleep against wake: the sleeper stores `sleeping`, then looks at its inbox and at all that could be stolen; who
 * brings work stores it, then looks at `sleeping`; all seq_cst, so one of the two sees the other. `sleeping` is claimed
 * by compare-and-swap, so a batch of wakes costs one system call. Pinned by tests/model (sched, with mutants),
 * tests/co/sched_test.c and tests/co/stress_test.c. */
#include "co/untraced.h"
WEFT__UNTRACED_BEGIN
#include "co/run.h"

#include "base/panic.h"
#include "park/watch.h"

#include <errno.h>

enum {
    SPIN_MIN = 8,
    SPIN_MAX = 400,
    LOOK_NS = 30000, /* a client on another processor that has to be woken has asked again by then */
    LOOK_MOST = 4,   /* descriptors; of many something always comes soon, and a sleep gathers more of it at no price */
    TRUST_MAX = 16,
    TRUST_LOST = 4,   /* by looking in vain: below four successes in five it ends soon */
    IDLES_MIN = 64,   /* between two tries, while the last one succeeded */
    IDLES_MAX = 1024, /* ... and after many in vain */
    UNDISTURBED = 32  /* idle times for each that another thread took the processor away */
};

/* ---- what comes from elsewhere ---- */

bool weft__run_notify(weft__sched *s, uint32_t how)
{
    uint32_t state = load_seq_cst(&s->sleeping);
    while (state == WEFT__ASLEEP || state == WEFT__ASLEEP_POLL) {
        bool polls = state == WEFT__ASLEEP_POLL;
        if (!cas_seq_cst(&s->sleeping, &state, how))
            continue;
        if (polls)
            load_acquire(&weft__idler_ops)->interrupt(s->poller);
        else
            weft__sys_futex_wake(&s->sleeping, 1, false);
        return true;
    }
    return false;
}

void weft__run_post(weft__sched *s, weft__call *call)
{
    weft__call *newest = load_relaxed(&s->inbox);
    do
        call->next = newest;
    while (!cas_seq_cst(&s->inbox, &newest, call));
    if (newest == NULL) /* else the one who posted before us wakes it, or it was awake */
        weft__run_notify(s, WEFT__NOTIFIED);
}

weft__call *weft__run_reverse(weft__call *newest)
{
    weft__call *oldest = NULL;
    while (newest != NULL) {
        weft__call *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

static void check_fork(const weft__sched *s)
{
    if (unlikely(weft__sched_self != s))
        weft__panic(
            "a callback on a scheduler thread called fork() and returned in the child; end the child by _exit() or "
            "exec");
}

/* Make the calls that other threads have posted, oldest first. */
static void drain(weft__sched *s)
{
    if (load_relaxed(&s->inbox) == NULL)
        return;
    weft__call *call = weft__run_reverse(swap_acquire(&s->inbox, NULL)), *next;
    for (; call != NULL; call = next) {
        next = call->next; /* its owner may reuse it at once */
        call->fn(call);
    }
    check_fork(s);
}

static void fire_timers(weft__sched *s)
{
    if (s->wheel.set == 0 || weft__wheel_next(&s->wheel) == INT64_MAX)
        return;
    int64_t now = weft__sys_now();
    if (weft__wheel_next(&s->wheel) <= now) {
        weft__wheel_fire(&s->wheel, now);
        check_fork(s);
    }
}

static int poll_descriptors(weft__sched *s, int64_t until_ns)
{
    int n = load_acquire(&weft__idler_ops)->poll(s->poller, until_ns);
    check_fork(s);
    if (unlikely(n < 0 && n != -EINTR && n != -ETIMEDOUT))
        weft__panic("the poller of scheduler %u failed: error %d", (unsigned)s->index, -n);
    return n;
}

void weft__run_look_around(weft__sched *s)
{
    drain(s);
    weft__share_take(s);
    fire_timers(s);
    if (s->poller != NULL)
        poll_descriptors(s, 0);
}

/* ---- idling ---- */

void weft__sched_awake(void)
{
    weft__sched *s = weft__sched_self;
    if (load_relaxed(&s->sleeping) == WEFT__AWAKE)
        return;
    uint32_t was = swap_seq_cst(&s->sleeping, WEFT__AWAKE);
    if (was == WEFT__NOTIFIED_SEARCH)
        s->searching = true;
    if (was >= WEFT__NOTIFIED && s->spin == 0)
        s->spin = SPIN_MIN;
}

/* Look for work from other threads a little before sleeping: being woken by another processor costs tens of
 * microseconds. Only after another thread has woken this one, and the longer the more often it paid; a thread that is
 * woken by descriptors and timers alone never does. */
static bool spin_for_work(weft__sched *s)
{
    if (s->spin == 0 || !weft__may_spin())
        return false;
    for (uint32_t i = 0; i < s->spin; i++) {
        if (load_relaxed(&s->inbox) != NULL || weft__share_waiting(s)) {
            s->spin = s->spin * 2 < SPIN_MAX ? s->spin * 2 : SPIN_MAX;
            return true;
        }
        cpu_relax();
    }
    s->spin = s->spin > SPIN_MIN ? s->spin / 2 : 0;
    return false;
}

/* Whether to look this time: as long as looking pays, and now and then to find out. Not while others want this
 * processor, who would have it while we sleep. */
static bool may_look(weft__sched *s)
{
    if (likely(++s->idles < s->idles_max))
        return s->trust != 0;
    uint64_t preempted = weft__sys_preempted();
    bool disturbed = (preempted - s->preempted) * UNDISTURBED >= s->idles;
    s->preempted = preempted;
    s->idles = 0;
    if (disturbed)
        s->trust = 0;
    s->idles_max = s->trust != 0 || s->idles_max == 0 ? IDLES_MIN
                   : s->idles_max < IDLES_MAX         ? 2 * s->idles_max
                                                      : IDLES_MAX;
    return !disturbed;
}

/* Look for descriptors a little before sleeping in the poller: who answers a single client at a time spends most of it
 * asleep and being woken, and the client with it, whose send has to wake us. */
static bool look_for_events(weft__sched *s, int64_t until_ns)
{
    if (likely(load_acquire(&weft__idler_ops)->watched(s->poller) > LOOK_MOST || !may_look(s)))
        return false;
    for (int64_t end = 0;;) {
        bool some = poll_descriptors(s, 0) > 0;
        if (some || s->first != NULL || load_relaxed(&s->inbox) != NULL || weft__share_waiting(s)) {
            s->trust += some && s->trust < TRUST_MAX;
            return true;
        }
        int64_t now = weft__sys_now();
        if (end == 0)
            end = now + LOOK_NS < until_ns ? now + LOOK_NS : until_ns;
        else if (now >= end)
            break;
    }
    s->trust = s->trust > TRUST_LOST ? s->trust - TRUST_LOST : 0;
    return false;
}

/* Whether something came to s that is no descriptor's and no timer's. In the order of seq_cst operations. */
static bool has_come(const weft__sched *s)
{
    if (load_seq_cst(&s->inbox) != NULL)
        return true;
    if (s->apart)
        return s->host != NULL && load_seq_cst(&s->host->token) == WEFT__TOKEN_READY;
    return s->searching ? weft__share_waiting(s) : weft__share_any();
}

static void sleep_until(weft__sched *s, int64_t until_ns)
{
    bool at_rest =
        until_ns == INT64_MAX && (s->poller == NULL || load_acquire(&weft__idler_ops)->watched(s->poller) == 0);
    store_relaxed(&s->at_rest, at_rest);
    store_seq_cst(&s->sleeping, s->poller != NULL ? WEFT__ASLEEP_POLL : WEFT__ASLEEP);
    if (!has_come(s)) {
        if (at_rest)
            weft__watch_poke();
        if (s->poller != NULL)
            poll_descriptors(s, until_ns);
        else
            weft__sys_futex_wait(&s->sleeping, WEFT__ASLEEP, until_ns, false);
    }
    weft__sched_awake();
}

void weft__run_idle(weft__sched *s)
{
    drain(s);
    fire_timers(s);
    weft__share_search(s, s->first == NULL && ring_empty(&s->ring));
    if (s->first != NULL || !ring_empty(&s->ring))
        return;
    int64_t until = weft__wheel_next(&s->wheel);
    if (s->searching) {
        int64_t doze = weft__sys_now() + WEFT__DOZE_NS;
        until = doze < until ? doze : until;
    } else if (spin_for_work(s) || (s->poller != NULL && look_for_events(s, until))) {
        return;
    }
    sleep_until(s, until);
    if (s->searching) /* somebody else must not be kept from searching while we are busy */
        weft__share_search(s, false);
}
WEFT__UNTRACED_END
