/* shared.c - sleeping on shared words: threads in futex_waitv, coroutines on a private word that a relay thread fires.
 *
 * A thread sleeps on its own token and on all shared words at once, so private wakes, cancellation and shared wakes all
 * reach it. The kernel says which word was woken, not how many, and a wake of another word may have been spent on us: it
 * is passed on. A sleeper that may have swallowed one (it left for another reason) passes that on, too. */
#include "park/shared.h"

#include "sys/sys.h"

#include <errno.h>
#include <string.h>

static int64_t slice_end(int64_t until_ns)
{
    int64_t end = weft__sys_now() + WEFT__SLICE;
    return end < until_ns ? end : until_ns;
}

/* The first case whose shared word no longer has its expected value; n when none. */
static unsigned first_changed(const weft__case *cases, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if ((cases[i].flags & WEFT__SHARED_WORD) && load_seq_cst(cases[i].word) != cases[i].expected)
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
    CHANGED, /* case *which was woken or its word differs */
    READY,   /* the token says that somebody claimed us */
    SLICE_OVER
} outcome;

static outcome sleep_once(weft__waiter *self, const weft__case *cases, unsigned n, int64_t until_ns, unsigned *which)
{
    weft__sys_futex words[WEFT__SHARED_CASES_MAX + 1] = {{&self->token, 0, false}};
    unsigned at[WEFT__SHARED_CASES_MAX + 1] = {0};
    unsigned count = 1;
    for (unsigned i = 0; i < n; i++)
        if (cases[i].flags & WEFT__SHARED_WORD) {
            at[count] = i;
            words[count++] = (weft__sys_futex){cases[i].word, cases[i].expected, true};
        }
    int r = weft__sys_futex_waitv(words, count, until_ns);
    if (r == -ENOSYS) { /* before Linux 5.16: one word at a time, in short turns */
        int64_t turn = weft__sys_now() + 2 * WEFT_MS;
        r = weft__sys_futex_wait(words[1].word, words[1].expected, turn < until_ns ? turn : until_ns, true);
        r = r == 0 ? 1 : r;
    }
    if (r >= 0)
        pass_on(cases, n, r > 0 ? at[r] : n);
    if (r > 0) {
        *which = at[r];
        return CHANGED;
    }
    if (load_acquire(&self->token) != 0)
        return READY;
    *which = first_changed(cases, n);
    return *which < n ? CHANGED : SLICE_OVER;
}

/* End the wait with this reason, unless somebody has decided on another. Returns the reason that holds. */
static uint32_t leave(weft__waiter *self, uint32_t mine)
{
    if (!weft__waiter_claim(self, mine))
        while (load_acquire(&self->token) == 0) /* claimed: ready is about to come */
            weft__sys_futex_wait(&self->token, 0, INT64_MAX, false);
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
    for (;;) {
        unsigned which;
        int64_t end = slice_end(until_ns);
        outcome o = sleep_once(self, cases, n, end, &which);
        if (o == READY)
            return leave(self, WEFT__TIMEDOUT); /* this claim fails: somebody else's stands */
        if (o == CHANGED)
            return leave(self, WEFT__WOKEN(which));
        int64_t now = weft__sys_now();
        if (now >= until_ns)
            return leave(self, WEFT__TIMEDOUT);
        if (once && now >= end)
            return leave(self, WEFT__WOKEN(0));
    }
}

static uint32_t thread_sleep_once(weft__waiter *self, const weft__case *cases, unsigned n, int64_t until_ns)
{
    return thread_sleep(self, cases, n, until_ns, true);
}

static uint32_t thread_sleep_on(weft__waiter *self, const weft__case *cases, unsigned n, int64_t until_ns)
{
    return thread_sleep(self, cases, n, until_ns, false);
}

/* ---- coroutines ---- */

/* Stand on private words only: each shared one is replaced by the `fired` word of its relay. Where no relay can be had
 * the slice is short, which makes it polling: slow, but never stuck. */
static int relay_park(weft__case *cases, unsigned n, weft_until until, unsigned flags, bool once)
{
    weft__relayed relayed[WEFT__SHARED_CASES_MAX];
    weft__case private[WEFT__SHARED_CASES_MAX];
    bool watched = true;
    unsigned shared = 0;
    if (n > WEFT__SHARED_CASES_MAX)
        return -EINVAL;
    for (unsigned i = 0; i < n; i++) {
        private[i] = cases[i];
        if (!(cases[i].flags & WEFT__SHARED_WORD))
            continue;
        weft__relayed *r = &relayed[shared++];
        *r = (weft__relayed){.word = cases[i].word, .expected = cases[i].expected};
        private[i].word = &r->fired;
        private[i].expected = 0;
        private[i].flags = 0;
        if (weft__relay_add(r) < 0) {
            r->relay = NULL;
            watched = false;
        }
    }
    int64_t slice = watched ? WEFT__SLICE : 2 * WEFT_MS;
    int64_t end = until.at <= 0 ? 0 : weft__sys_now() + slice;
    int r = weft__park_any(private, n, (weft_until){end < until.at ? end : until.at}, flags);
    for (unsigned i = 0; i < shared; i++)
        if (relayed[i].relay != NULL)
            weft__relay_remove(&relayed[i]);
    if (r == -ETIMEDOUT) {
        unsigned changed = first_changed(cases, n);
        if (changed < n)
            return (int)changed;
        if (weft__sys_now() < until.at)
            return once ? 0 : -EAGAIN;
    }
    return r;
}

/* ---- both ---- */

int weft__shared_park(const uint32_t *word, uint32_t expected, weft_until until, unsigned flags, const char *what)
{
    if (load_seq_cst(word) != expected)
        return 0;
    weft__case one = {.word = word, .expected = expected, .flags = WEFT__SHARED_WORD, .what = what};
    flags &= WEFT__UNCANCELLABLE;
    int r = weft__self()->ops == &weft__thread_ops ? weft__park_any_with(&one, 1, until, flags, thread_sleep_once)
                                                   : relay_park(&one, 1, until, flags, true);
    return r < 0 ? r : 0;
}

int weft__shared_park_any(weft__case *cases, unsigned n, weft_until until, unsigned flags)
{
    unsigned changed = first_changed(cases, n);
    if (changed < n)
        return (int)changed;
    if (weft__self()->ops == &weft__thread_ops)
        return weft__park_any_with(cases, n, until, flags, thread_sleep_on);
    int r;
    while ((r = relay_park(cases, n, until, flags, false)) == -EAGAIN)
        ;
    return r;
}
