/* backlog.c - the ring, the lists and the counts of backlog.h.
 *
 * B1  a job is in the backlog from the increment of `head` that gives it a position, or from its entry into a list,
 *     until it is taken. Both are refused once closed: so when a worker has seen closed and then empty, it stays empty.
 * B2  the queue at 0 is used only while the ring is full or the queue is not empty, and refills the ring in order: the
 *     jobs of one submitter are taken in their order.
 * B3  no lost job: who puts makes it visible (head, or `listed`; both seq_cst) and then reads `workers`; who goes to
 *     sleep changes `workers` (seq_cst) and then reads head, tail and `listed`. One of the two sees the other.
 * B4  workers in the sleeping part = SLEEPING + tokens given and not yet taken. A sleeper that finds work takes itself
 *     off SLEEPING, or, if that is 0, a token is on its way to it.
 * B5  who stops searching and was the last one looks whether there is more, and
 *     has somebody else search for it: whether it goes on to a job, or was a worker that could not be started.
 * B6  a position is written and read by its one owner: turn == p lets the putter of p in, p + 1 its taker, p + size
 *     the putter of the next round. Between a putter's claim of a position and its store of turn, takers find the ring
 *     neither empty nor ready: a searcher looks again, and does not sleep.
 * Lock order: `lock` is a leaf. Pinned by tests/model/pool_model.c and tests/pool. */
#include "pool/backlog.h"

#include "park/park.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

enum {
    SIZE = 1 << WEFT__RING_LOG2,
    AHEAD = 4,                     /* jobs */
    REFILL = SIZE < 64 ? SIZE : 64 /* jobs that go from the queue to the ring at a time */
};
#define CLOSED (UINT64_C(1) << 63)

/* The parts of `workers`. */
#define ONE_SEARCHING UINT64_C(1)
#define ONE_SLEEPING  (UINT64_C(1) << 21)
#define ONE_UNSTARTED (UINT64_C(1) << 42)
#define SEARCHING(w)  ((uint32_t)((w)&0x1fffff))
#define SLEEPING(w)   ((uint32_t)((w) >> 21 & 0x1fffff))
#define UNSTARTED(w)  ((uint32_t)((w) >> 42))

/* Held for a few stores by many in turn: look for a moment before sleeping. */
static void acquire(weft__backlog *b)
{
    for (uint32_t i = b->spins_max; i > 0 && load_relaxed(&b->lock.word) != 0; i--)
        cpu_relax();
    rawlock_acquire(&b->lock);
}

static void release(weft__backlog *b)
{
    rawlock_release(&b->lock);
}

void weft__backlog_init(weft__backlog *b, unsigned workers, uint64_t limit, uint32_t spins, void (*pause)(void))
{
    memset(b, 0, sizeof *b);
    b->workers = workers * ONE_UNSTARTED;
    b->all = workers;
    b->limit = limit;
    b->spins = b->spins_max = spins;
    b->pause = pause;
    for (uint64_t i = 0; i < SIZE; i++)
        b->ring[i].turn = i;
}

/* ---- ring ---- */

/* The position is the caller's: it becomes the takers'. */
static void fill(weft__backlog *b, uint64_t position, weft__item *it)
{
    weft__slot *s = &b->ring[position % SIZE];
    store_relaxed(&s->item, it);
    s->fn = it->fn;
    s->arg = it->arg;
    store_release(&s->turn, position + 1);
}

/* 0, -EPIPE or -WEFT_EFULL. */
static int ring_put(weft__backlog *b, weft__item *it)
{
    uint64_t head = load_relaxed(&b->head);
    for (;;) {
        if (unlikely(head & CLOSED))
            return -EPIPE;
        int64_t ahead = (int64_t)(load_acquire(&b->ring[head % SIZE].turn) - head);
        if (ahead == 0) {
            if (!cas_seq_cst(&b->head, &head, head + 1))
                continue;
            fill(b, head, it);
            return 0;
        }
        if (ahead < 0)
            return -WEFT_EFULL;
        head = load_relaxed(&b->head);
    }
}

/* The futures of jobs that are far away are on their way here before it is their turn. */
static void expect_next(weft__backlog *b, uint64_t position)
{
    const weft__slot *s = &b->ring[position % SIZE];
    if (load_acquire(&s->turn) == position + 1)
        __builtin_prefetch(load_relaxed(&s->item), 1);
}

static bool ring_take(weft__backlog *b, weft__taken *out)
{
    uint64_t tail = load_relaxed(&b->tail);
    for (;;) {
        weft__slot *s = &b->ring[tail % SIZE];
        int64_t ahead = (int64_t)(load_acquire(&s->turn) - (tail + 1));
        if (ahead == 0) {
            __builtin_prefetch(load_relaxed(&s->item), 1); /* a lone job's future comes while we claim it */
            if (!cas_seq_cst(&b->tail, &tail, tail + 1))
                continue;
            *out = (weft__taken){s->item, s->fn, s->arg, true};
            store_release(&s->turn, tail + SIZE);
            expect_next(b, tail + AHEAD);
            return true;
        }
        if (ahead < 0)
            return false;
        tail = load_relaxed(&b->tail);
    }
}

bool weft__backlog_empty(const weft__backlog *b)
{
    /* The queue is looked at between tail and head: what moves from it to the ring meanwhile is seen in one of them. */
    uint64_t tail = load_seq_cst(&b->tail);
    if (load_seq_cst(&b->listed) != 0)
        return false;
    return (load_seq_cst(&b->head) & ~CLOSED) == tail;
}

/* ---- lists; the lock is held ---- */

static void list_append(weft__backlog *b, weft__item *it)
{
    it->next = NULL;
    it->prev = b->last;
    if (b->last != NULL)
        b->last->next = it;
    else
        b->first = it;
    b->last = it;
}

static void list_unlink(weft__backlog *b, weft__item *it)
{
    if (it->prev != NULL)
        it->prev->next = it->next;
    else
        b->first = it->next;
    if (it->next != NULL)
        it->next->prev = it->prev;
    else
        b->last = it->prev;
}

static void enter(weft__backlog *b, weft__item *it)
{
    it->turn = b->turn++;
    store_relaxed(&it->place, WEFT__IN_LIST);
    if (it->priority > 0) {
        heap_insert(&b->high, it);
        store_relaxed(&b->urgent, b->urgent + 1);
    } else if (it->priority < 0) {
        heap_insert(&b->low, it);
    } else {
        list_append(b, it);
        store_relaxed(&b->queued, b->queued + 1);
    }
    store_seq_cst(&b->listed, b->listed + 1);
}

static void leave(weft__backlog *b, weft__item *it)
{
    if (it->priority > 0) {
        heap_remove(&b->high, it);
        store_relaxed(&b->urgent, b->urgent - 1);
    } else if (it->priority < 0) {
        heap_remove(&b->low, it);
    } else {
        list_unlink(b, it);
        store_relaxed(&b->queued, b->queued - 1);
    }
    store_relaxed(&it->place, WEFT__OUT);
    store_seq_cst(&b->listed, b->listed - 1);
}

/* The ring is empty or was a moment ago: give it the next of the queue. */
static void refill(weft__backlog *b)
{
    for (unsigned i = 0; i < REFILL && b->first != NULL; i++) {
        weft__item *it = b->first;
        weft__item *next = it->next;
        store_relaxed(&it->place, WEFT__IN_RING); /* from here on it may be taken and gone */
        if (ring_put(b, it) < 0) {
            store_relaxed(&it->place, WEFT__IN_LIST);
            return;
        }
        b->first = next;
        if (next != NULL)
            next->prev = NULL;
        else
            b->last = NULL;
        store_relaxed(&b->queued, b->queued - 1);
        store_seq_cst(&b->listed, b->listed - 1);
    }
}

/* ---- put, take, remove ---- */

int weft__backlog_put(weft__backlog *b, weft__item *it)
{
    if (likely(!it->listed && b->limit == 0 && load_relaxed(&b->queued) == 0)) {
        store_relaxed(&it->place, WEFT__IN_RING);
        int err = ring_put(b, it);
        if (likely(err == 0))
            return 0;
        store_relaxed(&it->place, WEFT__NOWHERE);
    }
    int err = 0;
    acquire(b);
    if (b->closed)
        err = -EPIPE;
    else if (b->limit != 0 && b->outstanding >= b->limit)
        err = -WEFT_EFULL;
    if (err == 0) {
        b->outstanding += b->limit != 0;
        enter(b, it);
    }
    release(b);
    return err;
}

size_t weft__backlog_put_some(weft__backlog *b, weft__item *const *items, size_t n)
{
    if (b->limit != 0 || load_relaxed(&b->queued) != 0)
        return 0;
    uint64_t head = load_relaxed(&b->head);
    size_t places;
    do {
        if (head & CLOSED)
            return 0;
        for (places = 0; places < n; places++)
            if (load_acquire(&b->ring[(head + places) % SIZE].turn) != head + places)
                break;
        if (places == 0)
            return 0;
    } while (!cas_seq_cst(&b->head, &head, head + places)); /* what is free stays so until head has passed it */
    for (size_t i = 0; i < places; i++) {
        store_relaxed(&items[i]->place, WEFT__IN_RING);
        fill(b, head + i, items[i]);
    }
    return places;
}

/* Others may have refilled the ring since the caller saw it empty: it still goes before the queue. */
static bool take_listed(weft__backlog *b, weft__taken *out)
{
    acquire(b);
    weft__item *it = b->high;
    bool got = it != NULL;
    if (!got && !(got = ring_take(b, out))) {
        it = b->first != NULL ? b->first : b->low;
        got = it != NULL;
    }
    if (it != NULL) {
        leave(b, it);
        *out = (weft__taken){it, it->fn, it->arg, false};
        if (it->priority == 0 && b->limit == 0)
            refill(b);
    }
    release(b);
    return got;
}

bool weft__backlog_take(weft__backlog *b, weft__taken *out)
{
    return (unlikely(load_relaxed(&b->urgent) != 0) && take_listed(b, out)) || ring_take(b, out) ||
           (load_relaxed(&b->listed) != 0 && take_listed(b, out));
}

/* The job of the ring that is next, if it is this one. */
static bool ring_take_this(weft__backlog *b, const weft__item *it)
{
    uint64_t tail = load_relaxed(&b->tail);
    weft__slot *s = &b->ring[tail % SIZE];
    /* The slot changes only after tail has moved on, and then the exchange fails. */
    if (load_acquire(&s->turn) != tail + 1 || load_relaxed(&s->item) != it || !cas_seq_cst(&b->tail, &tail, tail + 1))
        return false;
    store_release(&s->turn, tail + SIZE);
    return true;
}

bool weft__backlog_remove(weft__backlog *b, weft__item *it)
{
    uint32_t place = load_relaxed(&it->place);
    if (place == WEFT__IN_RING && ring_take_this(b, it)) {
        store_relaxed(&it->place, WEFT__OUT);
        return true;
    }
    if (place != WEFT__IN_LIST)
        return false;
    acquire(b);
    bool listed = load_relaxed(&it->place) == WEFT__IN_LIST;
    if (listed)
        leave(b, it);
    release(b);
    return listed;
}

weft__item *weft__backlog_oldest(weft__backlog *b)
{
    weft__item *it = NULL;
    acquire(b);
    if (b->limit != 0 && b->outstanding >= b->limit) {
        it = b->low != NULL ? heap_last(b->low) : b->first != NULL ? b->first : heap_last(b->high);
        if (it != NULL)
            leave(b, it);
    }
    release(b);
    return it;
}

/* ---- room ---- */

bool weft__backlog_full(weft__backlog *b)
{
    acquire(b);
    bool full = b->limit != 0 && b->outstanding >= b->limit;
    release(b);
    return full;
}

void weft__backlog_done(weft__backlog *b)
{
    if (likely(b->limit == 0))
        return;
    acquire(b);
    b->outstanding--;
    bool wanted = b->wanting != 0;
    if (wanted)
        store_seq_cst(&b->room, b->room + 1);
    release(b);
    if (wanted)
        weft__wake(&b->room, 1, 0);
}

void weft__backlog_wait_done(weft__backlog *b)
{
    for (;;) {
        acquire(b);
        bool done = b->limit == 0 || b->outstanding == 0;
        release(b);
        if (done)
            return;
        cpu_relax();
        sched_yield();
    }
}

int weft__backlog_wait_room(weft__backlog *b, weft_until until, const void *where)
{
    int err = 0;
    acquire(b);
    if (!b->closed && b->outstanding >= b->limit) {
        uint32_t seen = b->room;
        b->wanting++;
        release(b);
        err = weft__park_for(&weft__room_kind, b, where, &b->room, seen, until, 0);
        acquire(b);
        b->wanting--;
        if (b->closed || b->outstanding < b->limit)
            err = 0; /* it came together with the deadline */
    }
    release(b);
    return err;
}

/* ---- workers ---- */

static bool is_closed(const weft__backlog *b)
{
    return load_seq_cst(&b->head) & CLOSED;
}

static void give_tokens(weft__backlog *b, uint32_t n)
{
    add_seq_cst(&b->tokens, n);
    weft__wake(&b->tokens, n, 0);
}

bool weft__backlog_notify(weft__backlog *b)
{
    uint64_t seen = load_seq_cst(&b->workers), next;
    do {
        if (SEARCHING(seen) != 0 || (SLEEPING(seen) == 0 && UNSTARTED(seen) == 0))
            return false;
        if (weft__backlog_empty(b)) /* who searched has taken the job already, and runs it */
            return false;
        next = seen - (SLEEPING(seen) != 0 ? ONE_SLEEPING : ONE_UNSTARTED) + ONE_SEARCHING;
    } while (!cas_seq_cst(&b->workers, &seen, next));
    if (SLEEPING(seen) == 0)
        return true;
    give_tokens(b, 1);
    return false;
}

bool weft__backlog_forsaken(const weft__backlog *b)
{
    return UNSTARTED(load_seq_cst(&b->workers)) == b->all && !weft__backlog_empty(b);
}

bool weft__backlog_not_started(weft__backlog *b)
{
    uint64_t seen = add_seq_cst(&b->workers, ONE_UNSTARTED - ONE_SEARCHING) + ONE_UNSTARTED - ONE_SEARCHING;
    while (SEARCHING(seen) == 0 && SLEEPING(seen) != 0 && !weft__backlog_empty(b))
        if (cas_seq_cst(&b->workers, &seen, seen - ONE_SLEEPING + ONE_SEARCHING)) {
            give_tokens(b, 1);
            return false;
        }
    return weft__backlog_forsaken(b);
}

void weft__backlog_close(weft__backlog *b)
{
    acquire(b);
    b->closed = true;
    or_seq_cst(&b->head, CLOSED);
    store_seq_cst(&b->room, b->room + 1);
    release(b);
    weft__wake(&b->room, UINT32_MAX, 0);

    uint64_t seen = load_seq_cst(&b->workers);
    while (SLEEPING(seen) != 0) {
        uint32_t n = SLEEPING(seen);
        if (cas_seq_cst(&b->workers, &seen, seen - n * ONE_SLEEPING + n * ONE_SEARCHING)) {
            give_tokens(b, n);
            return;
        }
    }
}

bool weft__backlog_has_workers(const weft__backlog *b)
{
    uint64_t seen = load_seq_cst(&b->workers);
    return SEARCHING(seen) + SLEEPING(seen) + UNSTARTED(seen) != 0;
}

bool weft__backlog_searched(const weft__backlog *b)
{
    return SEARCHING(load_relaxed(&b->workers)) != 0;
}

bool weft__backlog_search_early(weft__backlog *b)
{
    uint64_t tail = load_relaxed(&b->tail);
    if (load_relaxed(&b->ring[tail % SIZE].turn) != tail || load_relaxed(&b->listed) != 0)
        return false;
    add_seq_cst(&b->workers, ONE_SEARCHING);
    return true;
}

bool weft__backlog_stop_search(weft__backlog *b)
{
    uint64_t before = sub_seq_cst(&b->workers, ONE_SEARCHING);
    return SEARCHING(before) == 1 && weft__backlog_notify(b);
}

bool weft__backlog_worker_gone(weft__backlog *b)
{
    add_seq_cst(&b->workers, ONE_UNSTARTED);
    return weft__backlog_notify(b);
}

/* Look for a while, if no other searcher does. The while is as long as it paid of late. */
static bool look(weft__backlog *b, weft__taken *out)
{
    uint32_t spins = load_relaxed(&b->spins), least = b->spins_max / 16 + 1;
    if (spins == 0 || SEARCHING(load_relaxed(&b->workers)) != 1)
        return false;
    for (uint32_t i = 0; i < spins; i++) {
        if (b->pause != NULL)
            b->pause();
        else
            cpu_relax();
        if (weft__backlog_take(b, out)) {
            store_relaxed(&b->spins, spins * 2 < b->spins_max ? spins * 2 : b->spins_max);
            return true;
        }
    }
    store_relaxed(&b->spins, spins / 2 > least ? spins / 2 : least);
    return false;
}

/* A sleeper that has slept for long counts as unstarted again. False: as a searcher, and a token is on its way (B4). */
static bool give_up_sleep(weft__backlog *b)
{
    uint64_t seen = load_seq_cst(&b->workers);
    while (SLEEPING(seen) != 0)
        if (cas_seq_cst(&b->workers, &seen, seen - ONE_SLEEPING + ONE_UNSTARTED))
            return true;
    return false;
}

/* A searcher sleeps until it is made one again. False: it slept for `idle_time`, and counts as unstarted. */
static bool sleep_until_told(weft__backlog *b)
{
    add_seq_cst(&b->workers, ONE_SLEEPING - ONE_SEARCHING);
    if (!weft__backlog_empty(b) || is_closed(b)) {
        uint64_t seen = load_seq_cst(&b->workers);
        while (SLEEPING(seen) != 0)
            if (cas_seq_cst(&b->workers, &seen, seen - ONE_SLEEPING + ONE_SEARCHING))
                return true;
    }
    weft_until until = b->idle_time > 0 ? weft_in(b->idle_time) : WEFT_FOREVER;
    uint32_t tokens = load_relaxed(&b->tokens);
    while (tokens == 0 || !cas_acq_rel(&b->tokens, &tokens, tokens - 1)) {
        if (tokens == 0 && weft__park_for(&weft__worker_kind, b, NULL, &b->tokens, 0, until, WEFT__UNCANCELLABLE) < 0) {
            if (give_up_sleep(b))
                return false;
            until = WEFT_FOREVER;
        }
        tokens = load_relaxed(&b->tokens);
    }
    return true;
}

bool weft__backlog_next(weft__backlog *b, bool searching, weft__taken *out, bool *start)
{
    bool got = weft__backlog_take(b, out);
    if (!got && !searching) {
        add_seq_cst(&b->workers, ONE_SEARCHING);
        searching = true;
    }
    while (!got && !look(b, out)) {
        bool closed = is_closed(b); /* before empty (B1) */
        if (!weft__backlog_empty(b)) {
            cpu_relax(); /* a putter is between its claim of a position and its store */
            sched_yield();
        } else if (closed) {
            add_seq_cst(&b->workers, ONE_UNSTARTED - ONE_SEARCHING);
            return false;
        } else if (!sleep_until_told(b)) {
            return false;
        }
        got = weft__backlog_take(b, out);
    }
    *start = searching && weft__backlog_stop_search(b);
    return true;
}

weft__backlog_counts weft__backlog_look(const weft__backlog *b)
{
    uint64_t w = load_seq_cst(&b->workers), tail = load_seq_cst(&b->tail);
    uint64_t listed = load_seq_cst(&b->listed);
    uint64_t head = load_seq_cst(&b->head) & ~CLOSED;
    return (weft__backlog_counts){listed + (head - tail), UNSTARTED(w), SLEEPING(w), SEARCHING(w)};
}
