/* park.c - the word table: sleep on a private word, wake, requeue. See park.h for the contract, waiter.h below it.
 *
 * 65,536 buckets by hashed address; in a child of fork they are empty. A bucket holds one ring per word, oldest
 * sleeper first, so that a wake finds its sleepers without passing strangers. The bucket's lock word also counts its
 * nodes: taking the lock and counting in is one compare-and-swap, and a waker that reads a count of 0 goes home after
 * one load.
 *
 * I1  a node is in a ring  <=>  node->word != NULL; both change under its bucket's lock only. A requeue takes word
 *     from one address to the next with both locks held and never through NULL: the sleeper reads it without a lock.
 * I2  the count in a bucket's lock word is at least the number of its nodes, from before the sleeper looks at its
 *     word.
 * I3  who claims a sleeper (waiter.h) by a wake unlinks its node under the bucket's lock, before ready; every other
 *     node is unlinked by the sleeper itself. Wakers skip nodes whose sleeper is already claimed and do not count
 *     them.
 * Lock order: one bucket; requeue takes two, the lower address first; under a bucket lock nothing is called that
 *     waits. Claimed sleepers are made ready after the lock is let go.
 * Ordering: sleeper  count++ (seq_cst RMW); load word (seq_cst).   waker  change word (seq_cst); load count (seq_cst).
 *     In the single order of seq_cst operations one of the two loads comes last and sees the other side: no lost wake.
 * Pinned by tests/model (park, park_any, requeue with mutants) and tests/park. */
#include "park/park.h"

#include "base/panic.h"
#include "park/shared.h"
#include "park/watch.h"
#include "sys/direct.h"
#include "sys/sys.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

enum {
    LOCKED = 1,
    CONTENDED = 2,
    ONE = 4, /* one node in the count */
    SPINS = 64
};

enum {
    TABLE_SIZE = sizeof(weft__bucket) << WEFT__BUCKETS_LOG2
};

static _Alignas(WEFT__CACHE_LINE) weft__bucket only_bucket;
_Alignas(WEFT__CACHE_LINE) weft__table weft__words = {.buckets = &only_bucket};

/* ---- bucket locks ---- */

WEFT__COLD static void bucket_lock_slow(weft__bucket *b, uint32_t add)
{
    uint32_t keep = 0; /* CONTENDED once we have slept: others may still */
    unsigned spins = weft__may_spin() ? 0 : SPINS;
    uint32_t seen = load_relaxed(&b->lock);
    for (;;) {
        if (!(seen & LOCKED)) {
            if (cas_seq_cst(&b->lock, &seen, (seen + add) | LOCKED | keep))
                return;
        } else if (spins++ < SPINS) {
            cpu_relax();
            seen = load_relaxed(&b->lock);
        } else if ((seen & CONTENDED) || cas_relaxed(&b->lock, &seen, seen | CONTENDED)) {
            weft__sys_futex_wait(&b->lock, seen | CONTENDED, INT64_MAX, false);
            keep = CONTENDED;
            seen = load_relaxed(&b->lock);
        }
    }
}

/* Take the lock and count `add` more nodes, in one step. */
static inline void bucket_lock(weft__bucket *b, uint32_t add)
{
    uint32_t seen = load_relaxed(&b->lock);
    if (unlikely((seen & LOCKED) || !cas_seq_cst(&b->lock, &seen, (seen + add) | LOCKED)))
        bucket_lock_slow(b, add);
}

/* Count `sub` nodes less and let go. */
static inline void bucket_unlock(weft__bucket *b, uint32_t sub)
{
    uint32_t seen = load_relaxed(&b->lock);
    while (!cas_release(&b->lock, &seen, (seen - sub) & ~(uint32_t)(LOCKED | CONTENDED)))
        ;
    if (unlikely(seen & CONTENDED))
        weft__sys_futex_wake(&b->lock, 1, false);
}

/* ---- rings; all under the bucket's lock ---- */

static weft__node *find_ring(const weft__bucket *b, const uint32_t *word)
{
    weft__node *head = b->heads;
    while (head != NULL && load_relaxed(&head->word) != word)
        head = head->chain_next;
    return head;
}

static void chain_insert(weft__bucket *b, weft__node *node)
{
    node->is_head = true;
    node->chain_prev = NULL;
    node->chain_next = b->heads;
    if (b->heads != NULL)
        b->heads->chain_prev = node;
    b->heads = node;
}

static void enqueue(weft__bucket *b, weft__node *node, const uint32_t *word)
{
    weft__node *head = find_ring(b, word);
    store_relaxed(&node->word, word);
    if (head == NULL) {
        node->next = node->prev = node;
        chain_insert(b, node);
        return;
    }
    node->is_head = false;
    node->next = head;
    node->prev = head->prev;
    head->prev->next = node;
    head->prev = node;
}

/* What follows a leaving head in the chain, or takes its place there. */
static void chain_replace(weft__bucket *b, weft__node *old, weft__node *new)
{
    if (new != NULL) {
        new->is_head = true;
        new->chain_prev = old->chain_prev;
        new->chain_next = old->chain_next;
    }
    weft__node *before = new != NULL ? new : old->chain_next;
    if (old->chain_prev != NULL)
        old->chain_prev->chain_next = before;
    else
        b->heads = before;
    if (old->chain_next != NULL)
        old->chain_next->chain_prev = new != NULL ? new : old->chain_prev;
}

/* Out of its ring; node->word is the caller's to change. */
static void take_out(weft__bucket *b, weft__node *node)
{
    if (node->is_head)
        chain_replace(b, node, node->next != node ? node->next : NULL);
    node->next->prev = node->prev;
    node->prev->next = node->next;
}

static void unlink_node(weft__bucket *b, weft__node *node)
{
    take_out(b, node);
    store_relaxed(&node->word, NULL);
}

/* ---- waking ---- */

/* Sleepers that have been claimed and must be made ready once no lock is held. */
typedef struct claimed {
    weft__waiter *first, **last;
    unsigned n;
} claimed;

static void claim_some(weft__bucket *b, const uint32_t *word, unsigned n, claimed *c)
{
    weft__node *head = find_ring(b, word);
    if (head == NULL)
        return;
    weft__node *tail = head->prev;
    for (weft__node *node = head, *next; c->n < n; node = next) {
        bool last = node == tail;
        next = node->next;
        weft__waiter *w = node->waiter;
        if (weft__waiter_claim(w, WEFT__WOKEN(node->index))) {
            unlink_node(b, node);
            w->next_ready = NULL;
            *c->last = w;
            c->last = &w->next_ready;
            c->n++;
        }
        if (last)
            break;
    }
}

static void make_ready(const claimed *c)
{
    for (weft__waiter *w = c->first, *next; w != NULL; w = next) {
        next = w->next_ready; /* not ours any more after ready */
        weft__waiter_ready(w);
    }
}

int weft__wake_in(weft__bucket *b, const uint32_t *word, unsigned n)
{
    bucket_lock(b, 0);
    weft__node *oldest = find_ring(b, word);
    weft__waiter *w = oldest != NULL ? oldest->waiter : NULL;
    if (n == 1 && w != NULL && weft__waiter_claim(w, WEFT__WOKEN(oldest->index))) { /* as claim_some would, in line */
        unlink_node(b, oldest);
        bucket_unlock(b, ONE);
        weft__waiter_ready(w);
        return 1;
    }
    claimed c = {NULL, &c.first, 0};
    claim_some(b, word, n, &c);
    bucket_unlock(b, c.n * ONE);
    make_ready(&c);
    return (int)c.n;
}

int weft__wake_shared(const uint32_t *word, unsigned n)
{
    int woken = n > 0 ? weft__sys_futex_wake(word, n, true) : 0;
    return woken < 0 ? 0 : woken;
}

/* Move those of the ring of `from` that still sleep. They have been notified: a deadline that strikes from now on no
 * longer makes them report failure. */
static unsigned move_some(weft__bucket *a, const uint32_t *from, weft__bucket *b, const uint32_t *to, unsigned n)
{
    unsigned moved = 0;
    weft__node *head = find_ring(a, from);
    if (head == NULL)
        return 0;
    weft__node *tail = head->prev;
    for (weft__node *node = head, *next; moved < n; node = next) {
        bool last = node == tail;
        next = node->next;
        uint32_t state = load_relaxed(&node->waiter->state);
        if (state == WEFT__WAITING || state == WEFT__HARD) {
            take_out(a, node);
            node->moved = true;
            enqueue(b, node, to);
            moved++;
        }
        if (last)
            break;
    }
    return moved;
}

int weft__requeue(const uint32_t *from, const uint32_t *to, unsigned nwake, unsigned nmove, unsigned flags)
{
    if (flags & WEFT__SHARED_WORD)
        return weft__wake_shared(from, nmove > UINT32_MAX - nwake ? UINT32_MAX : nwake + nmove);
    weft__bucket *a = weft__bucket_of(from), *b = weft__bucket_of(to);
    if (load_seq_cst(&a->lock) < ONE)
        return 0;
    bucket_lock(a < b ? a : b, 0);
    if (a != b)
        bucket_lock(a < b ? b : a, 0);
    claimed c = {NULL, &c.first, 0};
    claim_some(a, from, nwake, &c);
    unsigned moved = move_some(a, from, b, to, nmove);
    if (a != b) {
        bucket_unlock(b, 0u - moved * ONE);
        bucket_unlock(a, (moved + c.n) * ONE);
    } else {
        bucket_unlock(a, c.n * ONE);
    }
    make_ready(&c);
    return (int)(c.n + moved);
}

unsigned weft__sleepers(const uint32_t *word)
{
    weft__bucket *b = weft__bucket_of(word);
    unsigned n = 0;
    bucket_lock(b, 0);
    weft__node *head = find_ring(b, word);
    for (weft__node *node = head; node != NULL; node = node->next == head ? NULL : node->next)
        n++;
    bucket_unlock(b, 0);
    return n;
}

/* ---- sleeping ---- */

/* Put the node in the queue of *word if it still has the expected value. True: done. */
static bool register_node(weft__node *node, const uint32_t *word, uint32_t expected)
{
    weft__bucket *b = weft__bucket_of(word);
    bucket_lock(b, ONE);
    if (load_seq_cst(word) != expected) {
        bucket_unlock(b, ONE);
        return false;
    }
    enqueue(b, node, word);
    bucket_unlock(b, 0);
    return true;
}

/* The sleeper takes out a node that no wake was spent on. Returns whether it had been notified by a requeue. */
static bool unregister_node(weft__node *node)
{
    for (;;) {
        const uint32_t *word = load_acquire(&node->word);
        weft__bucket *b = weft__bucket_of(word);
        bucket_lock(b, 0);
        if (load_relaxed(&node->word) == word) {
            unlink_node(b, node);
            bucket_unlock(b, ONE);
            return node->moved;
        }
        bucket_unlock(b, 0); /* it was moved meanwhile */
    }
}

static void node_init(weft__node *node, weft__waiter *self, uint32_t index)
{
    node->waiter = self;
    node->index = index;
    node->moved = false;
    node->word = NULL;
}

int weft__park_prepare(weft__parking *p, const uint32_t *word, uint32_t expected, unsigned flags, const char *what)
{
    weft__waiter *self = weft__self();
    p->expected = expected;
    p->flags = flags;
    node_init(&p->node, self, 0);
    store_relaxed(&self->what, what);
    if (flags & WEFT__SHARED_WORD) {
        p->node.word = word;
        return load_seq_cst(word) != expected;
    }
    weft__wait_begin(self, flags & WEFT__UNCANCELLABLE);
    if (unlikely(!register_node(&p->node, word, expected))) {
        weft__wait_abandon(self);
        return 1;
    }
    store_relaxed(&self->word, word);
    weft__watch_sleeper(self);
    return 0;
}

/* Why nobody woke the sleeper, as a result. */
static int refusal(uint32_t why)
{
    return why == WEFT__CANCELLED ? -ECANCELED : why == WEFT__DEADLOCKED ? -EDEADLK : -ETIMEDOUT;
}

int weft__park_commit(weft__parking *p, weft_until until)
{
    if (p->flags & WEFT__SHARED_WORD)
        return weft__shared_park(p->node.word, p->expected, until, p->flags, p->node.waiter->what);
    weft__waiter *self = p->node.waiter;
    uint32_t why = weft__wait_block(self, until.at);
    store_relaxed(&self->word, NULL);
    if (likely(why >= WEFT__WOKEN0))
        return 0;
    if (unregister_node(&p->node))
        return 0;
    return refusal(why);
}

int weft__park_unprepare(weft__parking *p)
{
    if (p->flags & WEFT__SHARED_WORD)
        return 0;
    weft__waiter *self = p->node.waiter;
    uint32_t why = weft__wait_abandon(self);
    store_relaxed(&self->word, NULL);
    if (why >= WEFT__WOKEN0)
        return 1;
    return unregister_node(&p->node);
}

int weft__park(const uint32_t *word, uint32_t expected, weft_until until, unsigned flags, const char *what)
{
    weft__parking p;
    if (weft__park_prepare(&p, word, expected, flags, what) != 0)
        return 0;
    return weft__park_commit(&p, until);
}

/* ---- for several ---- */

/* Enter the queues of the private words one after the other; stop at the first that differs. Returns its index, or n.
 */
static unsigned register_all(weft__case *cases, unsigned n, weft__waiter *self)
{
    for (unsigned i = 0; i < n; i++) {
        node_init(&cases[i].node, self, i);
        if (cases[i].flags & WEFT__SHARED_WORD)
            continue;
        if (!register_node(&cases[i].node, cases[i].word, cases[i].expected))
            return i;
    }
    return n;
}

static void unregister_all(weft__case *cases, unsigned n, unsigned except)
{
    for (unsigned i = 0; i < n; i++)
        if (i != except && !(cases[i].flags & WEFT__SHARED_WORD))
            unregister_node(&cases[i].node);
}

int weft__park_any_with(weft__case *cases, unsigned n, weft_until until, unsigned flags, weft__sleep_fn *sleep,
                        void *arg)
{
    weft__waiter *self = weft__self();
    weft__wait_begin(self, flags & WEFT__UNCANCELLABLE);
    fence_seq_cst(); /* for the look at `cancel`: there may be no private queue to enter */
    unsigned entered = register_all(cases, n, self);
    uint32_t why;
    if (entered < n) {
        why = weft__wait_abandon(self);
        if (why < WEFT__WOKEN0)
            why = WEFT__IDLE;
    } else {
        store_relaxed(&self->what, n == 1 ? cases[0].what : "several");
        store_relaxed(&self->word, n > 0 ? cases[0].word : NULL);
        weft__watch_sleeper(self);
        why = sleep(self, cases, n, until.at, arg);
        store_relaxed(&self->word, NULL);
    }
    bool woken = why >= WEFT__WOKEN0;
    unsigned winner = woken ? why - WEFT__WOKEN0 : n;
    unregister_all(cases, entered, winner);
    if (woken)
        return (int)winner;
    if (why == WEFT__IDLE)
        return (int)entered; /* its word differed */
    return refusal(why);
}

static uint32_t sleep_private(weft__waiter *self, const weft__case *cases, unsigned n, int64_t until_ns, void *arg)
{
    (void)cases, (void)n, (void)arg;
    return weft__wait_block(self, until_ns);
}

int weft__park_any(weft__case *cases, unsigned n, weft_until until, unsigned flags)
{
    unsigned shared = 0;
    for (unsigned i = 0; i < n; i++)
        shared += (cases[i].flags & WEFT__SHARED_WORD) != 0;
    if (shared > WEFT__SHARED_CASES_MAX || n > WEFT__CASES_MAX)
        return -EINVAL;
    return shared != 0 ? weft__shared_park_any(cases, n, until, flags)
                       : weft__park_any_with(cases, n, until, flags, sleep_private, NULL);
}

/* ---- start and fork ---- */

/* In the child nobody sleeps but the caller, who is here. The kernel has emptied the table, as a rule; an emulator may
 * have said so and not done it. */
WEFT__FORK_TEXT static void after_fork_child(void)
{
    if (weft__words.buckets == &only_bucket)
        memset(&only_bucket, 0, sizeof only_bucket);
    else if (weft__direct(SYS_madvise, weft__words.buckets, TABLE_SIZE, MADV_DONTNEED, 0, 0, 0) < 0)
        memset(weft__words.buckets, 0, TABLE_SIZE);
}

__attribute__((constructor(101))) static void start(void)
{
    weft__bucket *table = weft__sys_map_wiped(TABLE_SIZE);
    if (table != NULL) {
        weft__sys_random(&weft__words.seed, sizeof weft__words.seed);
        weft__words.seed |= 1;
        weft__words.buckets = table;
    }
    pthread_atfork(NULL, NULL, after_fork_child);
}
