/* park.h - sleep on a 32-bit word until somebody wakes it: a futex in user space, for threads and coroutines alike.
 *
 * Two domains. A *private* word goes through the word table of this process. A *shared* word (WEFT__SHARED_WORD) lies
 * in memory that several processes map and goes through the kernel's futex; such sleeps wake at least every 100 ms
 * without cause, because a process can die between its store and its wake, and the sleeper looks again.
 *
 * The contract is the futex contract. A sleeper gives the value it saw; it sleeps only while the word still has it. A
 * waker first changes the word **by a seq_cst operation** and then calls wake. Then either the waker sees the sleeper
 * or the sleeper sees the change. Sleeps may end without cause in the shared domain (never in the private one).
 *
 * prepare / commit split a park in two: after prepare the sleeper is in the queue and every later wake counts for it,
 * so it can let go of a lock in between. In the shared domain prepare only remembers the value. */
#ifndef WEFT_PARK_PARK_H
#define WEFT_PARK_PARK_H

#include <weft/base.h>

#include "park/waiter.h"

enum {
    WEFT__SHARED_WORD = WEFT_SHARED, /* the word is in memory shared between processes */
    WEFT__UNCANCELLABLE = 2          /* cancellation does not end this sleep */
};

/* One place in one queue; lies on the sleeper's stack while it sleeps. */
typedef struct weft__node {
    struct weft__node *next, *prev;             /* ring of the sleepers on one word, oldest first */
    struct weft__node *chain_next, *chain_prev; /* heads of rings in one bucket; only a ring's head is on it */
    const uint32_t *word;                       /* atomic: NULL when in no queue; changes under bucket locks only */
    weft__waiter *waiter;
    uint32_t index; /* which case of the sleeper this is */
    bool moved;     /* requeued: it has been notified, whatever its deadline says */
    bool is_head;
} weft__node;

/* A sleep in preparation. */
typedef struct weft__parking {
    weft__node node;
    uint32_t expected;
    uint32_t flags;
} weft__parking;

/* Sleep on *word while it is `expected`. Returns 0 (woken, or the word differed: look again), -ECANCELED or -ETIMEDOUT.
 * With WEFT_NOW it never sleeps: 0 if the word differs, else -ETIMEDOUT. `what` is a static text for reports. */
int weft__park(const uint32_t *word, uint32_t expected, weft_until until, unsigned flags, const char *what);

/* Enter the queue of *word. Returns 0: commit or unprepare must follow; or 1: the word already differs and nothing was
 * done. The caller must not park in between. */
int weft__park_prepare(weft__parking *p, const uint32_t *word, uint32_t expected, unsigned flags, const char *what);

/* Sleep as prepared. Returns as weft__park; 0 only for a wake that was meant for this sleeper (private domain). */
int weft__park_commit(weft__parking *p, weft_until until);

/* Leave the queue without sleeping. Returns 1 when a wake had already been spent on this sleeper: pass it on or use it.
 */
int weft__park_unprepare(weft__parking *p);

/* One word of a wait for several. The caller sets the first four, park uses `node`. */
typedef struct weft__case {
    const uint32_t *word;
    uint32_t expected;
    uint32_t flags; /* 0 or WEFT__SHARED_WORD */
    const char *what;
    weft__node node;
} weft__case;

enum {
    WEFT__SHARED_CASES_MAX = 64, /* shared words in one wait; for a coroutine: cases in a wait that has a shared word */
    WEFT__CASES_MAX = 1024
};

/* Sleep until one of the words differs or is woken, whichever is first. Returns its index; the lowest one when several
 * differ at the start; -ECANCELED, -ETIMEDOUT; -EINVAL above the limits. A wake is spent on one case only: the sleeper
 * that is woken for one is skipped by the wakers of the others. flags: WEFT__UNCANCELLABLE. */
int weft__park_any(weft__case *cases, unsigned n, weft_until until, unsigned flags);

/* Enter the queues of the private cases, sleep by `sleep`, leave them; returns as weft__park_any, or n + i when the
 * reason was WEFT__WOKEN(n + i). `sleep` runs between begin and end of the wait, ends it and returns the reason. */
typedef uint32_t weft__sleep_fn(weft__waiter *self, const weft__case *cases, unsigned n, int64_t until_ns, void *arg);
int weft__park_any_with(weft__case *cases, unsigned n, weft_until until, unsigned flags, weft__sleep_fn *sleep,
                        void *arg);

/* Wake up to nwake sleepers of `from` and move up to nmove more to the queue of `to`, where a wake of `to` will reach
 * them in their order; they count as notified from now on. Returns how many were woken or moved. Both words in the same
 * domain; shared ones are woken instead of moved, which is the same to a caller who tolerates wakes without cause.
 * Nobody stands on `from` with weft__park_any: a sleeper that leaves for another case would take its notification
 * along. */
int weft__requeue(const uint32_t *from, const uint32_t *to, unsigned nwake, unsigned nmove, unsigned flags);

/* How many stand in the queue of this private word now. For tests and reports. */
unsigned weft__sleepers(const uint32_t *word);

/* ---- the table's fast path: nobody sleeps in the bucket, so there is nobody to wake ---- */

#ifndef WEFT__BUCKETS_LOG2
#define WEFT__BUCKETS_LOG2 16
#endif

typedef struct weft__bucket {
    uint32_t lock;     /* atomic: count of nodes << 2 | CONTENDED << 1 | LOCKED */
    weft__node *heads; /* first ring's oldest node */
    char pad[WEFT__CACHE_LINE - sizeof(uint32_t) - sizeof(weft__node *) - 4];
} weft__bucket;

/* Until the library's constructor has run, or where there is no memory, all words have the same bucket. */
typedef struct weft__table {
    weft__bucket *buckets;
    uint64_t seed; /* 0, or odd; random for each process, so that nobody can aim at one bucket */
} weft__table;

extern weft__table weft__words;

static inline weft__bucket *weft__bucket_of(const uint32_t *word)
{
    /* One random multiplier alone lines words of equal distance up for some of its values; the second step does not. */
    uint64_t h = ((uint64_t)(uintptr_t)word >> 2) * weft__words.seed;
    h = (h ^ h >> 32) * UINT64_C(0x9e3779b97f4a7c15);
    return &weft__words.buckets[h >> (64 - WEFT__BUCKETS_LOG2)];
}

int weft__wake_in(weft__bucket *b, const uint32_t *word, unsigned n);
int weft__wake_shared(const uint32_t *word, unsigned n);

/* Wake up to n sleepers of *word, oldest first. Returns how many (shared: as the kernel counts). The caller has changed
 * *word by a seq_cst operation before; the word itself is not touched, it may be gone already. */
static inline int weft__wake(const uint32_t *word, unsigned n, unsigned flags)
{
    if (flags & WEFT__SHARED_WORD)
        return weft__wake_shared(word, n);
    /* May miss a sleeper that has not yet counted itself in: its later look at the word will see the caller's seq_cst
     * change. Breaks if either side is weaker than seq_cst. */
    weft__bucket *b = weft__bucket_of(word);
    return load_seq_cst(&b->lock) < 4 ? 0 : weft__wake_in(b, word, n);
}

/* ---- identity of this process, for locks in shared memory ---- */

extern uint32_t weft__process_token; /* atomic: 0 until first asked for; 30 bits: pid and a hash of its start time */
uint32_t weft__process_token_slow(void);

static inline uint32_t weft__process(void)
{
    uint32_t t = load_relaxed(&weft__process_token);
    return likely(t != 0) ? t : weft__process_token_slow();
}

/* Whether the process that this token names has ended. Reads /proc: for slow paths only. */
bool weft__process_dead(uint32_t token);

#endif
