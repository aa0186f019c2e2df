/* queue.c - weft_queue: two sides that meet in two counters, and words for those who must wait.
 *
 * A side (put, get) has a lock, and a count of the elements that went through it; the queue holds the difference. Each
 * side remembers the other's count as it last read it and reads it again only when that is not enough, so putters and
 * getters of a FIFO seldom touch the same cache line. The other kinds have one lock for both sides.
 *
 * Q1  a count changes under its side's lock; store, slots, limit, edge and closed change under both (put's first).
 * Q2  closed is never unset, and after it the put count stands still: who finds it set and then no element, is last.
 * Q3  sleep against change: the sleeper makes the word of its side odd (seq_cst) and then looks at the other's count;
 *     the other side stores its count, lets go of its lock (seq_cst) and then looks at the word. One of the two sees
 *     the other. A change that finds the word odd makes it even and wakes one sleeper.
 * Q4  the word is even while that one is on its way, so a burst of puts wakes once. Whoever was woken makes the word
 *     odd again if others sleep, and wakes the next if there is still something (pass_on), whatever came of its own
 *     try.
 * Q5  unfinished work is put count - done. done <= put count always; join reads done first, so equality was true.
 * Lock order: put's lock, get's lock, then park's. User code (destroy) runs under none, compare under the put lock.
 * Pinned by tests/model/queue_model.c (with mutants) and tests/flow/queue_test.c. */
#include "flow/queue.h"

#include "base/panic.h"
#include "park/await.h"
#include "sync/lock.h"
#include "sys/sys.h"

#include <weft/deadlock.h>

#include <errno.h>
#include <string.h>

enum {
    ELEMENT_MAX = 65536,
    ALIGNMENT = _Alignof(weft_queue),
    FEW = 64,          /* elements, a quarter of the capacity where that is less; and as many pauses between looks */
    PAUSE_NS = 25,     /* what a pause takes, about */
    UNTIMED = 4,       /* as many pauses take no longer than the reading of the clock that would spare them */
    LOOK_MIN = 500,    /* ns */
    LOOK_MAX = 30000,  /* about what it takes to be woken by another processor */
    RETRY = 16,        /* waits of a side between two that look for LOOK_MAX */
    TURNS = 4,         /* that others get on the caller's processor before it sleeps */
    TURN_MIN = 1000,   /* ns: less, and nobody else wanted the processor */
    TURN_MAX = 200000, /* more, and it was not the other side, which has done by then what the capacity lets it do */
    RESTS_MAX = 1024
};

#define PUT WEFT__QUEUE_PUT
#define GET WEFT__QUEUE_GET

/* ---- the locks, their uncontended case inline ---- */

static inline void enter(weft_lock *l)
{
    uint32_t me = weft__self_id, seen = 0;
    if (unlikely(me == 0) || unlikely(!cas_acquire(&l->word, &seen, me)))
        weft__lock_own(l);
}

/* A seq_cst operation either way, for Q3: release makes a lock that is marked free by one. */
static inline void leave(weft_lock *l)
{
    uint32_t seen = weft__self_id;
    if (unlikely(!cas_seq_cst(&l->word, &seen, 0)))
        weft_lock_release(l);
}

/* ---- waking ---- */

/* The other side's count has changed, by a store and then the release of a lock: let one sleeper go. */
static inline void wake_one(weft_queue *q, enum weft__queue_side side)
{
    uint32_t *word = &q->words[side], seen = load_seq_cst(word);
    while (unlikely(seen & 1))
        if (cas_seq_cst(word, &seen, seen + 1)) {
            weft__wake(word, 1, 0);
            return;
        }
}

static void wake_all(uint32_t *word)
{
    uint32_t seen = load_relaxed(word);
    while (!cas_seq_cst(word, &seen, (seen | 1) + 1))
        ;
    weft__wake(word, UINT32_MAX, 0);
}

bool weft__queue_ready(const weft_queue *q, enum weft__queue_side side)
{
    if (load_seq_cst(&q->closed))
        return true;
    uint64_t head = load_seq_cst(&q->halves[GET].count), tail = load_seq_cst(&q->halves[PUT].count);
    return side == GET ? tail != head : tail - head < load_relaxed(&q->limit);
}

void weft__queue_pass_on(weft_queue *q, enum weft__queue_side side)
{
    if (load_seq_cst(&weft__bucket_of(&q->words[side])->lock) < 4) /* see weft__wake: nobody is left behind */
        return;
    weft__queue_arm(q, side);
    if (weft__queue_ready(q, side))
        wake_one(q, side);
}

/* ---- pace ----
 * Two threads that work on one queue on two processors are quick while each works in its own cache, and ten times
 * slower when they run neck and neck, so that every element moves the counts' lines, or when they sleep in turns,
 * because a wake takes longer than the queue's capacity lasts. And where both have been put on one processor, each
 * wake takes it from the waker, who has then put one element, or taken one. Hence three rules, of which coroutines know
 * the first alone: their thread may have other work, or the other side itself. */

static inline bool is_thread(void)
{
    return weft__self()->ops == &weft__thread_ops;
}

/* So many elements are few: less is not worth the cache lines that a look at the other side moves. */
static inline unsigned few_of(const weft_queue *q)
{
    size_t limit = load_relaxed(&q->limit);
    return limit < (size_t)4 * FEW ? (unsigned)limit / 4 : FEW;
}

static void pause_for(unsigned pauses)
{
    while (pauses-- > 0)
        cpu_relax();
}

/* Whether the other side works on another processor than the caller, as far as is known: then waiting awake pays.
 * A guess: who is wrong loses time. */
static bool apart(weft_queue *q, enum weft__queue_side side)
{
    if (!weft__may_spin())
        return false;
    uint32_t mine = weft__sys_cpu() + 1, theirs = load_relaxed(&q->halves[!side].cpu);
    if (load_relaxed(&q->halves[side].cpu) != mine)
        store_relaxed(&q->halves[side].cpu, mine);
    return theirs != mine;
}

/* First: who found little at its last look, which was just now, gives the other side a moment before it looks again. If
 * that brings nothing either, they are not neck and neck but waiting for each other, and for a while there is no such
 * pause. Returns whether there was one. Pre: the side's lock is held. */
WEFT__NOINLINE static bool fall_behind(weft_queue *q, enum weft__queue_side side)
{
    weft__queue_half *half = &q->halves[side];
    unsigned few = few_of(q);
    if (!apart(q, side) || half->gain == 0 || half->gain >= few)
        return false;
    if (half->skip > 0) {
        half->skip--;
        return false;
    }
    if (few <= UNTIMED) {
        pause_for(few);
        return true;
    }
    int64_t now = weft_now();
    bool paused = now - half->looked < (int64_t)few * PAUSE_NS;
    if (paused) {
        pause_for(few);
        now = weft_now();
    }
    half->looked = now;
    return paused;
}

static void note_gain(weft__queue_half *half, size_t gain, bool paused)
{
    half->gain = gain < FEW ? (uint32_t)gain : (uint32_t)FEW;
    if (paused && gain < 4)
        half->skip = 8;
}

/* Second: before it sleeps, a thread looks for as long as that paid lately, and now and then for as long as being woken
 * takes, or two that sleep in turns would never find out that they need not. */
static inline bool look(weft_queue *q, enum weft__queue_side side, weft_until until)
{
    weft__queue_half *half = &q->halves[side];
    uint32_t waits = load_relaxed(&half->waits) + 1, lately = load_relaxed(&half->looks);
    store_relaxed(&half->waits, waits);
    int64_t limit = waits % RETRY == 0 ? LOOK_MAX : lately > LOOK_MIN ? (int64_t)lately : LOOK_MIN;
    int64_t start = weft_now(), spent = 0;
    unsigned most = few_of(q);
    for (unsigned pauses = 4; spent < limit && start + spent < until.at; pauses += pauses < most ? pauses : 0) {
        pause_for(pauses);
        spent = weft_now() - start;
        if (weft__queue_ready(q, side)) {
            if (2 * spent > lately)
                store_relaxed(&half->looks, (uint32_t)(2 * spent < LOOK_MAX ? 2 * spent : LOOK_MAX));
            return true;
        }
    }
    store_relaxed(&half->looks, lately / 2);
    return false;
}

/* Third: on one processor it lets others run, among them the other side, which then has as much time as the capacity
 * lasts. Where that brought nothing, or took long, it goes to sleep as usual and leaves this out in more and more of
 * the waits to come: a sleeper is woken at once, but who gave way has to wait until it is its turn. */
static inline bool give_way(weft_queue *q, enum weft__queue_side side, weft_until until)
{
    weft__queue_half *half = &q->halves[side];
    uint32_t rest = load_relaxed(&half->rest);
    if (rest > 0 || until.at <= 0) {
        store_relaxed(&half->rest, rest > 0 ? rest - 1 : 0);
        return false;
    }
    bool ready = false, paid = true;
    int64_t before = weft_now(), now;
    for (unsigned turns = 0; turns < TURNS && paid && !ready; turns++, before = now) {
        weft__sys_yield();
        now = weft_now();
        ready = weft__queue_ready(q, side);
        paid = now - before < TURN_MAX && (ready || now - before > TURN_MIN);
    }
    uint32_t rests = 2 * load_relaxed(&half->rests) + 4;
    rests = paid && ready ? 0 : rests < RESTS_MAX ? rests : RESTS_MAX;
    store_relaxed(&half->rests, rests);
    store_relaxed(&half->rest, rests);
    return ready;
}

/* What a thread does before it sleeps. True: it need not. Not explored: the word says when to sleep and to wake,
 * whatever was seen here. */
static inline bool wait_awake(weft_queue *q, enum weft__queue_side side, weft_until until)
{
#ifndef WEFT_MODEL
    return apart(q, side) ? look(q, side, until) : give_way(q, side, until);
#else
    (void)q, (void)side, (void)until;
    return false;
#endif
}

/* ---- once, without waiting ---- */

/* Pre: both locks are held. */
static void set_edge(weft_queue *q)
{
    q->edge = q->closed ? 0 : q->limit < q->slots ? q->limit : q->slots;
}

/* The store is full, but the limit is not reached. Pre: the put lock is held. */
WEFT__COLD static int grow(weft_queue *q)
{
    bool two = q->locks[GET] != q->locks[PUT];
    if (two)
        enter(q->locks[GET]);
    int err = weft__queue_resize(q, q->halves[GET].count, q->halves[PUT].count, q->slots * 2);
    set_edge(q);
    if (two)
        leave(q->locks[GET]);
    return err;
}

/* How many of n elements there is room for now, or an error: looks at the getters' count. Pre: the put lock is held. */
WEFT__NOINLINE static long find_room(weft_queue *q, size_t n)
{
    weft__queue_half *half = &q->halves[PUT];
    for (;;) {
        if (q->closed)
            return -EPIPE;
        bool paused = fall_behind(q, PUT);
        uint64_t other = load_seq_cst(&q->halves[GET].count);
        store_relaxed(&half->other, other);
        size_t used = (size_t)(half->count - other), room = used < q->edge ? q->edge - used : 0;
        note_gain(half, room, paused);
        if (room >= n)
            return (long)n;
        int err = q->edge < q->limit ? grow(q) : -WEFT_EFULL;
        if (err < 0)
            return room > 0 ? (long)room : err;
    }
}

/* How many elements there are, at most n, or an error, by what the putters have put. Pre: the get lock is held. */
WEFT__NOINLINE static long find_elements(weft_queue *q, size_t n)
{
    weft__queue_half *half = &q->halves[GET];
    bool paused = fall_behind(q, GET);
    uint64_t other = load_seq_cst(&q->halves[PUT].count);
    store_relaxed(&half->other, other);
    size_t there = (size_t)(other - half->count);
    note_gain(half, there, paused);
    if (there == 0)
        return q->closed ? -EPIPE : -WEFT_EEMPTY;
    return (long)(n < there ? n : there);
}

/* Any elements but single ones of 8 bytes in a ring. The kinds with one lock keep `other` exact. */
WEFT__NOINLINE static void push(weft_queue *q, const char *elements, size_t n)
{
    weft__queue_half *half = &q->halves[PUT];
    weft__queue_push(q, half->other, half->count, elements, n);
    if (q->kind != WEFT_FIFO)
        store_relaxed(&q->halves[GET].other, half->count + n);
}

WEFT__NOINLINE static void pop(weft_queue *q, char *elements, size_t n)
{
    weft__queue_half *half = &q->halves[GET];
    weft__queue_pop(q, half->count, half->other, elements, n);
    if (q->kind != WEFT_FIFO)
        store_relaxed(&q->halves[PUT].other, half->count + n);
}

static inline __attribute__((always_inline)) long put_some(weft_queue *q, const char *elements, size_t n)
{
    weft__queue_half *half = &q->halves[PUT];
    weft_lock *lock = q->locks[PUT];
    enter(lock);
    size_t used = (size_t)(half->count - half->other), edge = q->edge;
    long r = likely(used < edge && edge - used >= n) ? (long)n : find_room(q, n);
    if (likely(r > 0)) {
        uint64_t tail = half->count;
        if (n == 1 && likely(q->simple))
            memcpy(q->store + (tail & (q->slots - 1)) * 8, elements, 8);
        else
            push(q, elements, (size_t)r);
        store_release(&half->count, tail + (size_t)r);
    }
    leave(lock);
    if (likely(r > 0))
        wake_one(q, GET);
    return r;
}

static inline __attribute__((always_inline)) long get_some(weft_queue *q, char *elements, size_t n)
{
    weft__queue_half *half = &q->halves[GET];
    weft_lock *lock = q->locks[GET];
    enter(lock);
    size_t there = (size_t)(half->other - half->count);
    long r = likely(there >= n) ? (long)n : find_elements(q, n);
    if (likely(r > 0)) {
        uint64_t head = half->count;
        if (n == 1 && likely(q->simple))
            memcpy(elements, q->store + (head & (q->slots - 1)) * 8, 8);
        else
            pop(q, elements, (size_t)r);
        store_release(&half->count, head + (size_t)r);
    }
    leave(lock);
    if (likely(r > 0))
        wake_one(q, PUT);
    return r;
}

int weft__queue_try_put(weft_queue *q, const void *element)
{
    long r = put_some(q, element, 1);
    return r > 0 ? 0 : (int)r;
}

int weft__queue_try_get(weft_queue *q, void *element)
{
    long r = get_some(q, element, 1);
    return r > 0 ? 0 : (int)r;
}

/* ---- waiting ---- */

static const weft__awaited element_kind = {.what = "element of queue"}, room_kind = {.what = "room in queue"},
                           work_kind = {.what = "work of queue"};

/* Sleep until there may be something to do for this side. Returns as weft__park. In line, and park in its two halves:
 * each return from a function in which a coroutine slept is one that the processor foretells wrongly. */
static inline int sleep_for(weft_queue *q, enum weft__queue_side side, weft_until until, const void *where)
{
    weft__waiter *self = weft__self();
    if (self->ops == &weft__thread_ops && wait_awake(q, side, until))
        return 0;
    const weft__awaited *kind = side == GET ? &element_kind : &room_kind;
    const uint32_t *word = &q->words[side];
    uint32_t armed = weft__queue_arm(q, side);
    if (weft__queue_ready(q, side))
        return 0;
    weft__parking p;
    weft__await(self, kind, q, where, until);
    int differs = weft__park_prepare(&p, word, armed, 0, kind->what);
    int err = differs ? 0 : weft__park_commit(&p, until);
    weft__awaited_end(self);
    return err;
}

/* The wait ended without room or element: say why it did. */
static inline long result_of(long r, long none, int err)
{
    return r == none && (err == -ECANCELED || err == -EDEADLK) ? err : r;
}

static inline long wait_to_put(weft_queue *q, const void *elements, size_t n, weft_until until, const void *where)
{
    long r;
    int err;
    do {
        err = sleep_for(q, PUT, until, where);
        r = put_some(q, elements, n);
    } while (r == -WEFT_EFULL && err == 0);
    if (err == 0)
        weft__queue_pass_on(q, PUT);
    return result_of(r, -WEFT_EFULL, err);
}

static inline long wait_to_get(weft_queue *q, void *elements, size_t n, weft_until until, const void *where)
{
    long r;
    int err;
    do {
        err = sleep_for(q, GET, until, where);
        r = get_some(q, elements, n);
    } while (r == -WEFT_EEMPTY && err == 0);
    if (err == 0)
        weft__queue_pass_on(q, GET);
    return result_of(r, -WEFT_EEMPTY, err);
}

WEFT__NOINLINE static int put_slow(weft_queue *q, const void *element, weft_until until, const void *where)
{
    long r = wait_to_put(q, element, 1, until, where);
    return r > 0 ? 0 : (int)r;
}

WEFT__NOINLINE static int get_slow(weft_queue *q, void *element, weft_until until, const void *where)
{
    long r = wait_to_get(q, element, 1, until, where);
    return r > 0 ? 0 : (int)r;
}

WEFT__NOINLINE static long put_many_slow(weft_queue *q, const void *elements, size_t n, weft_until until,
                                         const void *where)
{
    return wait_to_put(q, elements, n, until, where);
}

WEFT__NOINLINE static long get_many_slow(weft_queue *q, void *elements, size_t n, weft_until until, const void *where)
{
    return wait_to_get(q, elements, n, until, where);
}

/* Whether a look without the lock is enough: the queue is empty, or full, as far as this side knows, and it is. Only
 * coroutines ask: beside what a thread's sleep costs, the lock is nothing. */
static inline bool stuck(const weft_queue *q, enum weft__queue_side side)
{
    const weft__queue_half *half = &q->halves[side];
    uint64_t between = load_relaxed(&half->count) - load_relaxed(&half->other);
    bool known = side == GET ? between == 0 : between >= load_relaxed(&q->limit);
    return known && !is_thread() && !weft__queue_ready(q, side);
}

int weft_queue_put(weft_queue *q, const void *element, weft_until until)
{
    long r = stuck(q, PUT) ? -WEFT_EFULL : put_some(q, element, 1);
    if (unlikely(r == -WEFT_EFULL) && until.at > 0)
        return put_slow(q, element, until, WEFT__CALLER());
    return likely(r > 0) ? 0 : (int)r;
}

int weft_queue_get(weft_queue *q, void *element, weft_until until)
{
    long r = stuck(q, GET) ? -WEFT_EEMPTY : get_some(q, element, 1);
    if (unlikely(r == -WEFT_EEMPTY) && until.at > 0)
        return get_slow(q, element, until, WEFT__CALLER());
    return likely(r > 0) ? 0 : (int)r;
}

long weft_queue_put_many(weft_queue *q, const void *elements, size_t n, weft_until until)
{
    if (n == 0)
        return 0;
    long r = put_some(q, elements, n);
    return r == -WEFT_EFULL && until.at > 0 ? put_many_slow(q, elements, n, until, WEFT__CALLER()) : r;
}

long weft_queue_get_many(weft_queue *q, void *elements, size_t n, weft_until until)
{
    if (n == 0)
        return 0;
    long r = get_some(q, elements, n);
    return r == -WEFT_EEMPTY && until.at > 0 ? get_many_slow(q, elements, n, until, WEFT__CALLER()) : r;
}

/* ---- work that is counted ---- */

int weft_queue_task_done(weft_queue *q)
{
    uint64_t done = load_relaxed(&q->done);
    do
        if (done >= load_seq_cst(&q->halves[PUT].count))
            return -EINVAL;
    while (!cas_seq_cst(&q->done, &done, done + 1));
    if (done + 1 == load_seq_cst(&q->halves[PUT].count) && (load_seq_cst(&q->finished) & 1))
        wake_all(&q->finished);
    return 0;
}

static bool is_finished(const weft_queue *q)
{
    uint64_t done = load_seq_cst(&q->done);
    return done == load_seq_cst(&q->halves[PUT].count);
}

int weft_queue_join(weft_queue *q, weft_until until)
{
    int err = 0;
    while (!is_finished(q)) {
        if (err < 0)
            return err;
        uint32_t armed = or_seq_cst(&q->finished, 1) | 1;
        if (is_finished(q))
            return 0;
        /* Whoever found all done may be late with the wake, and more may have been put before this call: look again. */
        err = weft__park_for(&work_kind, q, WEFT__CALLER(), &q->finished, armed, until, 0);
    }
    return 0;
}

/* ---- the whole queue ---- */

static void enter_both(weft_queue *q)
{
    enter(q->locks[PUT]);
    if (q->locks[GET] != q->locks[PUT])
        enter(q->locks[GET]);
}

static void leave_both(weft_queue *q)
{
    if (q->locks[GET] != q->locks[PUT])
        leave(q->locks[GET]);
    leave(q->locks[PUT]);
}

void weft_queue_close(weft_queue *q, int how)
{
    enter_both(q);
    uint64_t tail = q->halves[PUT].count, head = tail;
    store_seq_cst(&q->closed, 1);
    q->edge = 0;
    if (how == WEFT_CLOSE_DROP) {
        head = q->halves[GET].count;
        store_seq_cst(&q->halves[GET].count, tail);
        store_relaxed(&q->halves[GET].other, tail); /* never behind the own count */
    }
    leave_both(q);
    wake_all(&q->words[PUT]);
    wake_all(&q->words[GET]);
    if (head == tail)
        return;
    /* They are ours alone: nobody puts any more, so nobody writes where they lie. */
    weft__queue_destroy_all(q, head, tail);
    uint64_t done = load_relaxed(&q->done);
    while (!cas_seq_cst(&q->done, &done, tail - done < tail - head ? tail : done + (tail - head)))
        ;
    if (is_finished(q) && (load_seq_cst(&q->finished) & 1))
        wake_all(&q->finished);
}

int weft_queue_closed(const weft_queue *q)
{
    return load_acquire(&q->closed) != 0;
}

int weft_queue_set_capacity(weft_queue *q, size_t capacity)
{
    int err = 0;
    enter_both(q);
    if (capacity > q->slots && !q->closed) /* else what was dropped may be in the hands of its destroyer */
        err = weft__queue_resize(q, q->halves[GET].count, q->halves[PUT].count, weft__queue_slots_for(capacity));
    if (err == 0) {
        store_seq_cst(&q->limit, capacity != 0 ? capacity : SIZE_MAX);
        set_edge(q);
    }
    leave_both(q);
    if (err == 0)
        wake_one(q, PUT);
    return err;
}

size_t weft_queue_size(const weft_queue *q)
{
    uint64_t tail = load_acquire(&q->halves[PUT].count), head = load_acquire(&q->halves[GET].count);
    return tail > head ? (size_t)(tail - head) : 0;
}

int weft_queue_empty(const weft_queue *q)
{
    return weft_queue_size(q) == 0;
}

int weft_queue_full(const weft_queue *q)
{
    return weft_queue_size(q) >= load_relaxed(&q->limit);
}

size_t weft_queue_capacity(const weft_queue *q)
{
    size_t limit = load_relaxed(&q->limit);
    return limit != SIZE_MAX ? limit : 0;
}

int weft_queue_new(weft_queue **out, size_t element_size, const weft_queue_options *options)
{
    static const weft_queue_options defaults;
    const weft_queue_options *o = options != NULL ? options : &defaults;
    if (element_size < 1 || element_size > ELEMENT_MAX || (unsigned)o->kind > WEFT_PRIORITY ||
        (o->kind == WEFT_PRIORITY && o->compare == NULL && element_size < sizeof(int)))
        return -EINVAL;
    void *memory = weft__calloc(1, sizeof(weft_queue) + ALIGNMENT);
    if (memory == NULL)
        return -ENOMEM;
    weft_queue *q = (weft_queue *)(((uintptr_t)memory + ALIGNMENT - 1) & ~(uintptr_t)(ALIGNMENT - 1));
    q->memory = memory;
    q->limit = o->capacity != 0 ? o->capacity : SIZE_MAX;
    q->element_size = (uint32_t)element_size;
    q->kind = o->kind;
    q->simple = o->kind == WEFT_FIFO && element_size == 8;
    q->compare = o->compare;
    q->destroy = o->destroy;
    q->locks[PUT] = &q->halves[PUT].lock;
    q->locks[GET] = &q->halves[o->kind == WEFT_FIFO ? GET : PUT].lock;
    int err = weft__queue_resize(q, 0, 0, weft__queue_slots_for(o->capacity));
    if (err < 0)
        goto free_memory;
    if (o->name != NULL && (err = weft_name_object(q, o->name)) < 0)
        goto free_store;
    q->named = o->name != NULL;
    set_edge(q);
    *out = q;
    return 0;

free_store:
    weft__free(q->store);
    weft__free(q->heap);
free_memory:
    weft__free(memory);
    return err;
}

void weft_queue_free(weft_queue *q)
{
    if (q == NULL)
        return;
    if (weft__sleepers(&q->words[PUT]) != 0 || weft__sleepers(&q->words[GET]) != 0 || weft__sleepers(&q->finished) != 0)
        weft__panic("weft_queue_free: the queue at %p is waited for", (void *)q);
    weft__queue_destroy_all(q, q->halves[GET].count, q->halves[PUT].count);
    if (q->named)
        weft_name_object(q, NULL);
    weft__free(q->store);
    weft__free(q->heap);
    weft__free(q->memory);
}
