/* shared.c - sleeping on shared words: threads in futex_waitv, coroutines on a private word that a relay thread fires.
 *
 * A thread sleeps on its own token and on all shared words at once, so private wakes, cancellation and shared wakes
 * all reach it. Where the kernel has no futex_waitv, or forbids it, it sleeps on the first shared word in turns of 2
 * ms.
 *
 * S1  a wake that the kernel spent on a sleeper which returns for another reason is passed on: the kernel names one
 *     word that was woken, perhaps of several, and the claim may go to a private waker or a canceller meanwhile.
 * S2  a slice begins once and ends 100 ms later, whatever interrupts the kernel's sleep in between (signals, turns);
 *     at its end a sleeper on one word returns, so that its caller can see whether the owner's process lives.
 * Pinned by tests/park/shared_test.c. */
#include "park/shared.h"

#include "sys/sys.h"

#include <errno.h>
#include <string.h>

static int64_t slice_end(int64_t until_ns)
{
    int64_t end = weft__sys_now() + WEFT__SLICE;
    return end < until_ns ? end : until_ns;
}

/* The first case whose word no longer has its expected value, of all or of the shared ones; n when none. */
static unsigned first_changed(const weft__case *cases, unsigned n, bool all)
{
    for (unsigned i = 0; i < n; i++)
        if ((all || (cases[i].flags & WEFT__SHARED_WORD)) && load_seq_cst(cases[i].word) != cases[i].expected)
            return i;
    return n;
}

static void pass_on(const weft__case *cases, unsigned n, unsigned except)
{
    for (unsigned i = 0; i < n; i++)
        if (i != except && (cases[i].flags & WEFT__SHARED_WORD))
            weft__sys_futex_wake(cases[i].word, 1, true);
}

/* What one sleep in the kernel brought. */
typedef enum outcome {
    WOKEN,   /* case *which was woken: the kernel has spent a wake on us */
    CHANGED, /* the word of case *which differs */
    READY,   /* the token says that somebody claimed us */
    NOTHING  /* time over, or without cause */
} outcome;

static bool is_answer(int r)
{
    return r >= 0 || r == -EAGAIN || r == -ETIMEDOUT || r == -EINTR;
}

static outcome sleep_once(weft__waiter *self, const weft__case *cases, unsigned n, int64_t until_ns, unsigned *which)
{
    weft__sys_futex words[WEFT__SHARED_CASES_MAX + 1] = {{&self->token, WEFT__TOKEN_ASLEEP, false}};
    unsigned at[WEFT__SHARED_CASES_MAX + 1] = {0};
    unsigned count = 1;
    if (!weft__token_sleep(self))
        return READY;
    for (unsigned i = 0; i < n; i++)
        if (cases[i].flags & WEFT__SHARED_WORD) {
            at[count] = i;
            words[count++] = (weft__sys_futex){cases[i].word, cases[i].expected, true};
        }
    int r = weft__sys_futex_waitv(words, count, until_ns);
    if (!is_answer(r)) { /* before Linux 5.16, or a sandbox that does not know it: one word, in short turns */
        int64_t turn = weft__sys_now() + WEFT__TURN;
        r = weft__sys_futex_wait(words[1].word, words[1].expected, turn < until_ns ? turn : until_ns, true);
        r = r == 0 ? 1 : r;
    }
    if (r >= 0)
        pass_on(cases, n, r > 0 ? at[r] : n);
    if (r > 0) {
        *which = at[r];
        return WOKEN;
    }
    if (load_acquire(&self->token) == WEFT__TOKEN_READY)
        return READY;
    *which = first_changed(cases, n, false); /* a private one comes with a claim */
    return *which < n ? CHANGED : NOTHING;
}

/* End the wait with this reason, unless somebody has decided on another. Returns the reason that holds. */
static uint32_t leave(weft__waiter *self, uint32_t mine)
{
    if (!weft__waiter_claim(self, mine))
        while (weft__token_sleep(self)) /* claimed: ready is about to come */
            weft__sys_futex_wait(&self->token, WEFT__TOKEN_ASLEEP, INT64_MAX, false);
    uint32_t why = load_acquire(&self->state);
    store_relaxed(&self->state, WEFT__IDLE);
    store_relaxed(&self->waits, self->waits + 1);
    /* Cancelled beats deadline. */
    return why == WEFT__TIMEDOUT && !self->hard && weft__wait_cancelled(self) ? (uint32_t)WEFT__CANCELLED : why;
}

/* A thread's sleep, between begin and end. `once`: the end of a slice is a wake without cause for case 0. */
static uint32_t thread_sleep(weft__waiter *self, const weft__case *cases, unsigned n, int64_t until_ns, bool once)
{
    if (!self->hard && weft__wait_cancelled(self))
        return leave(self, WEFT__CANCELLED);
    if (until_ns <= 0)
        return leave(self, WEFT__TIMEDOUT);
    for (int64_t end = slice_end(until_ns);;) {
        unsigned which;
        outcome o = sleep_once(self, cases, n, end, &which);
        if (o == READY)
            return leave(self, WEFT__TIMEDOUT); /* this claim fails: somebody else's stands */
        if (o != NOTHING) {
            uint32_t why = leave(self, WEFT__WOKEN(which));
            if (o == WOKEN && why != WEFT__WOKEN(which))
                weft__sys_futex_wake(cases[which].word, 1, true);
            return why;
        }
        int64_t now = weft__sys_now();
        if (now >= until_ns)
            return leave(self, WEFT__TIMEDOUT);
        if (now < end)
            continue;
        if (once)
            return leave(self, WEFT__WOKEN(0));
        end = slice_end(until_ns);
    }
}

static uint32_t thread_sleep_once(weft__waiter *self, const weft__case *cases, unsigned n, int64_t until_ns, void *arg)
{
    (void)arg;
    return thread_sleep(self, cases, n, until_ns, true);
}

static uint32_t thread_sleep_on(weft__waiter *self, const weft__case *cases, unsigned n, int64_t until_ns, void *arg)
{
    (void)arg;
    return thread_sleep(self, cases, n, until_ns, false);
}

/* ---- coroutines ---- */

/* Each shared word is replaced by the private word `fired` of its relay. Returns whether all are watched. */
static bool add_relays(const weft__case *cases, unsigned n, weft__case *private, weft__relayed *relayed)
{
    bool watched = true;
    for (unsigned i = 0; i < n; i++) {
        weft__relayed *r = &relayed[i];
        private[i] = cases[i];
        *r = (weft__relayed){.word = cases[i].word, .expected = cases[i].expected};
        if (!(cases[i].flags & WEFT__SHARED_WORD))
            continue;
        private[i].word = &r->fired;
        private[i].expected = 0;
        private[i].flags = 0;
        watched = weft__relay_add(r) == 0 && watched;
    }
    return watched;
}

static void remove_relays(weft__relayed *relayed, unsigned n, int winner)
{
    for (unsigned i = 0; i < n; i++) {
        weft__relayed *r = &relayed[i];
        if (r->relay == NULL)
            continue;
        weft__relay_remove(r);
        if ((int)i != winner && r->fired != 0) /* S1: perhaps by a wake */
            weft__sys_futex_wake(r->word, 1, true);
    }
}

/* A coroutine's sleep; `private` and `relayed` are room for n. Where no relay can be had it is polling: slow, but never
 * stuck. `once`: the end of a slice is a wake without cause for case 0. Returns as weft__park_any. */
static int relay_park(const weft__case *cases, unsigned n, weft_until until, unsigned flags, bool once,
                      weft__case *private, weft__relayed *relayed)
{
    bool watched = add_relays(cases, n, private, relayed);
    int64_t end = slice_end(until.at);
    int r;
    for (;;) {
        int64_t turn = watched || until.at <= 0 ? end : weft__sys_now() + WEFT__TURN;
        r = weft__park_any(private, n, (weft_until){turn < end ? turn : end}, flags);
        if (r != -ETIMEDOUT)
            break;
        unsigned changed = first_changed(cases, n, false);
        int64_t now = weft__sys_now();
        if (changed < n)
            r = (int)changed;
        else if (now < until.at && once && now >= end)
            r = 0;
        if (r != -ETIMEDOUT || now >= until.at)
            break;
        if (now >= end)
            end = slice_end(until.at);
    }
    remove_relays(relayed, n, r);
    return r;
}

/* Apart, because its room is large for a coroutine's stack. */
WEFT__NOINLINE static int relay_park_any(const weft__case *cases, unsigned n, weft_until until, unsigned flags)
{
    weft__case private[WEFT__SHARED_CASES_MAX];
    weft__relayed relayed[WEFT__SHARED_CASES_MAX];
    return relay_park(cases, n, until, flags, false, private, relayed);
}

/* ---- both ---- */

int weft__shared_park(const uint32_t *word, uint32_t expected, weft_until until, unsigned flags, const char *what)
{
    if (load_seq_cst(word) != expected)
        return 0;
    weft__case one = {.word = word, .expected = expected, .flags = WEFT__SHARED_WORD, .what = what};
    flags &= WEFT__UNCANCELLABLE;
    int r;
    if (weft__self()->ops == &weft__thread_ops) {
        r = weft__park_any_with(&one, 1, until, flags, thread_sleep_once, NULL);
    } else {
        weft__case private;
        weft__relayed relayed;
        r = relay_park(&one, 1, until, flags, true, &private, &relayed);
    }
    return r < 0 ? r : 0;
}

int weft__shared_park_any(weft__case *cases, unsigned n, weft_until until, unsigned flags)
{
    unsigned changed = first_changed(cases, n, true);
    if (changed < n)
        return (int)changed;
    if (weft__self()->ops == &weft__thread_ops)
        return weft__park_any_with(cases, n, until, flags, thread_sleep_on, NULL);
    return n > WEFT__SHARED_CASES_MAX ? -EINVAL : relay_park_any(cases, n, until, flags);
}
