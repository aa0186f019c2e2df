/* shared_ring.c - the queue in shared memory: two sides with a robust lock each, over a ring of bytes.
 *
 * A message is a head (its size and number) and its bytes, in units of 8, and may lie across the ring's end. A side's
 * `mark` says how far it has come; one store moves it past a message, and that store is the put, or the get.
 *
 * R1  a mark changes under its side's lock, by one store, after the message was copied. So a process that dies before
 *     the store has put, or taken, nothing; one that dies after it has, wholly. Nothing else needs to be put right:
 *     whoever gets a dead one's lock sees by `begun` whether a message was half written, and counts it.
 * R2  what is read of a side's own and the other's mark is never further apart than the ring is long; if it is,
 *     somebody has spoilt the memory: -EBADMSG. Size and number of a message are copied once, and checked.
 * R3  sleep against change: the sleeper makes its side's word odd (seq_cst), then looks at the other's mark; the other
 *     side stores its mark, lets go of its lock (seq_cst), then looks at the word. One of the two sees the other. Who
 *     finds it odd makes it even and wakes one; while it is even nobody makes a system call. Who has slept wakes the
 *     next if there is still something (pass_on). A wake that dies with its bearer is made good by park's slices.
 * R4  after `closed` the put mark stands still: a getter that finds it closed and then nothing, is last.
 * R5  unfinished work is messages put (or, dropped, got) - done; done is read first, so equality was true.
 * Lock order: one side's lock at a time. Pinned by tests/model/ring_model.c and tests/process/shared_queue_test.c. */
#include "process/shared_ring.h"

#include "park/await.h"
#include "process/robust.h"
#include "sys/sys.h"

#include <errno.h>
#include <string.h>

enum {
    PAUSES = 64, /* between two looks at the other side: about a microsecond */
    PAUSES_IN_A_ROW = 32,
    LITTLE = 64,      /* units: a microsecond that brought less was for nothing */
    FAR = 4,          /* this part of the room lies between two sides that do not disturb each other */
    PAUSES_MAX = 16,  /* between two looks before a sleep */
    LOOK_MIN = 3000,  /* ns */
    LOOK_MAX = 30000, /* about what it takes to be woken by another processor */
    RETRY = 16,       /* waits of a side between two that look for LOOK_MAX */
    TELL = 64,        /* messages between two looks at which processor this is */
    YIELDS = 2,
    YIELD_MAX = 50000, /* ns */
    YIELD_FAILS = 6    /* after so many in a row the next 64 waits do not try */
};

#define PUT        WEFT__RING_PUT
#define GET        WEFT__RING_GET
#define DEAD_AFTER (50 * WEFT_MS)

static inline uint32_t units_for(size_t size)
{
    return 1 + (uint32_t)((size + WEFT__RING_UNIT - 1) / WEFT__RING_UNIT);
}

/* ---- waking ---- */

static inline void wake_one(weft__ring *r, int side)
{
    uint32_t *word = &r->words[side], seen = load_seq_cst(word);
    while (unlikely(seen & 1))
        if (cas_seq_cst(word, &seen, seen + 1)) {
            weft__wake(word, 1, WEFT__SHARED_WORD);
            return;
        }
}

static void wake_all(uint32_t *word)
{
    uint32_t seen = load_relaxed(word);
    while (!cas_seq_cst(word, &seen, (seen | 1) + 1))
        ;
    weft__wake(word, UINT32_MAX, WEFT__SHARED_WORD);
}

/* ---- the sides' locks ---- */

/* Whoever had the lock before died in it: R1. */
static void take_over(weft__ring *r, int side)
{
    weft__ring_side *s = &r->sides[side];
    uint64_t mark = load_relaxed(&s->mark);
    if (side == PUT && load_relaxed(&s->begun) != mark) {
        add_relaxed(&r->lost, 1);
        store_relaxed(&s->begun, mark);
    }
    if (side == GET && load_relaxed(&r->closed) == WEFT__RING_DROPS) {
        uint64_t tail = load_acquire(&r->sides[PUT].mark);
        store_relaxed(&s->other, tail);
        store_release(&s->mark, tail);
    }
    weft_lock_recover(&s->lock);
}

WEFT__NOINLINE static int enter_slow(weft__ring *r, int side, weft_until until)
{
    int err = weft__robust_enter(&r->sides[side].lock, until);
    if (err != -EOWNERDEAD)
        return err;
    take_over(r, side);
    return 0;
}

static inline int enter(weft__ring *r, int side, weft_until until)
{
    uint32_t seen = 0;
    if (likely(cas_acquire(&r->sides[side].lock.word, &seen, weft__process())))
        return 0;
    return enter_slow(r, side, until);
}

/* A seq_cst operation either way, for R3. */
static inline void leave(weft__ring *r, int side)
{
    uint32_t seen = weft__process();
    if (unlikely(!cas_seq_cst(&r->sides[side].lock.word, &seen, 0)))
        weft__lock_let_go(&r->sides[side].lock); /* not held: somebody has spoilt it */
}

/* ---- pace: as in flow/queue.c, where its rules are explained. It is guessed at, and only time depends on it: not
 * explored ---- */

static inline void pause_for(unsigned pauses)
{
    while (pauses-- > 0)
        cpu_relax();
}

/* Where a side works: told by whoever has its lock, now and then. */
static inline void tell_cpu(weft__ring_side *s, uint32_t number)
{
#ifndef WEFT_MODEL
    if (unlikely(number % TELL == 0) || unlikely(load_relaxed(&s->cpu) == 0))
        store_relaxed(&s->cpu, weft__sys_cpu() + 1);
#else
    (void)s, (void)number;
#endif
}

/* Whether the other side works on another processor than the caller, as far as is known: then waiting awake pays. Each
 * process may be kept to one processor and yet be apart from the other. */
static inline bool apart(const weft__ring *r, int side)
{
    return load_relaxed(&r->sides[!side].cpu) != weft__sys_cpu() + 1;
}

static inline bool is_thread(void)
{
    return weft__self()->ops == &weft__thread_ops;
}

/* How much there is for this side, in units: room or messages. */
static inline uint32_t units_there(const weft_shared_queue *q, int side)
{
    uint64_t head = load_seq_cst(&q->ring->sides[GET].mark), tail = load_seq_cst(&q->ring->sides[PUT].mark);
    uint32_t used = WEFT__RING_AT(tail) - WEFT__RING_AT(head);
    return side == GET ? used : q->units - used;
}

/* Who found little at its last look gives the other side time before it looks again, and more of it as long as that
 * brings more: what lies far enough behind its writer has left the writer's cache, and is read several times as fast.
 * If it brings nothing, the two wait for each other, and for a while there is no such pause. */
static void fall_behind(weft_shared_queue *q, int side)
{
#ifndef WEFT_MODEL
    weft__ring_pace *p = &q->pace[side];
    if (p->little == 0 || !is_thread() || !apart(q->ring, side))
        return;
    if (p->skip > 0) {
        p->skip--;
        return;
    }
    uint32_t there = units_there(q, side), before, gained = 0;
    for (unsigned i = 0; i < PAUSES_IN_A_ROW && there < q->units / FAR; i++, gained = there - before) {
        if (i > 0 && gained < LITTLE)
            break;
        before = there;
        pause_for(PAUSES);
        there = units_there(q, side);
    }
    if (there < LITTLE)
        p->skip = 8;
#else
    (void)q, (void)side;
#endif
}

static void note_gain(const weft_shared_queue *q, weft__ring_pace *p, uint32_t units)
{
    p->little = units > 0 && units < q->units / FAR;
}

/* ---- once, without waiting ---- */

/* How much lies between the marks. False: that cannot be. */
static inline bool distance(const weft_shared_queue *q, uint64_t tail, uint64_t head, uint32_t *units, uint32_t *count)
{
    *units = WEFT__RING_AT(tail) - WEFT__RING_AT(head);
    *count = WEFT__RING_COUNT(tail) - WEFT__RING_COUNT(head);
    return likely(*units <= q->units && *count <= *units) && (*count == 0) == (*units == 0);
}

static inline bool fits(const weft_shared_queue *q, uint32_t used, uint32_t count, uint32_t need)
{
    return need <= q->units - used && count < q->capacity;
}

/* Look at the getters' mark. Pre: the put lock is held. */
WEFT__NOINLINE static int find_room(weft_shared_queue *q, uint64_t tail, uint32_t need)
{
    fall_behind(q, PUT);
    uint64_t head = load_seq_cst(&q->ring->sides[GET].mark);
    uint32_t used, count;
    store_relaxed(&q->ring->sides[PUT].other, head);
    if (!distance(q, tail, head, &used, &count))
        return -EBADMSG;
    note_gain(q, &q->pace[PUT], count < q->capacity ? q->units - used : 0);
    return fits(q, used, count, need) ? 0 : -WEFT_EFULL;
}

/* Look at the putters' mark. R4: whether it is closed is read first. Pre: the get lock is held. */
WEFT__NOINLINE static int find_message(weft_shared_queue *q, uint64_t head, uint32_t *units)
{
    fall_behind(q, GET);
    bool closed = load_seq_cst(&q->ring->closed) != WEFT__RING_OPEN;
    uint64_t tail = load_seq_cst(&q->ring->sides[PUT].mark);
    uint32_t count;
    if (!distance(q, tail, head, units, &count))
        return -EBADMSG;
    store_relaxed(&q->ring->sides[GET].other, tail);
    note_gain(q, &q->pace[GET], *units);
    return count != 0 ? 0 : closed ? -EPIPE : -WEFT_EEMPTY;
}

static inline void copy_in(const weft_shared_queue *q, uint32_t at, const char *from, size_t size)
{
    size_t offset = (size_t)(at & (q->units - 1)) * WEFT__RING_UNIT, left = (size_t)q->units * WEFT__RING_UNIT - offset;
    if (likely(size <= left)) {
        memcpy(q->store + offset, from, size);
        return;
    }
    memcpy(q->store + offset, from, left);
    memcpy(q->store, from + left, size - left);
}

static inline void copy_out(const weft_shared_queue *q, uint32_t at, char *to, size_t size)
{
    size_t offset = (size_t)(at & (q->units - 1)) * WEFT__RING_UNIT, left = (size_t)q->units * WEFT__RING_UNIT - offset;
    if (likely(size <= left)) {
        memcpy(to, q->store + offset, size);
        return;
    }
    memcpy(to, q->store + offset, left);
    memcpy(to + left, q->store, size - left);
}

static inline uint64_t *head_of(const weft_shared_queue *q, uint32_t at)
{
    return (uint64_t *)(void *)(q->store + (size_t)(at & (q->units - 1)) * WEFT__RING_UNIT);
}

/* Pre: the put lock is held. */
static inline int put_held(weft_shared_queue *q, const char *message, size_t size, uint32_t need)
{
    weft__ring_side *s = &q->ring->sides[PUT];
    uint64_t tail = load_relaxed(&s->mark);
    uint32_t used, count, at = WEFT__RING_AT(tail), number = WEFT__RING_COUNT(tail);
    if (unlikely(load_relaxed(&q->ring->closed) != WEFT__RING_OPEN))
        return -EPIPE;
    if (unlikely(!distance(q, tail, load_relaxed(&s->other), &used, &count)) || unlikely(!fits(q, used, count, need))) {
        int err = find_room(q, tail, need);
        if (err < 0)
            return err;
    }
    uint64_t next = WEFT__RING_MARK(number + 1, at + need);
    store_relaxed(&s->begun, next);
    store_relaxed(head_of(q, at), (uint64_t)number << 32 | (uint32_t)size);
    if (size > 0)
        copy_in(q, at + 1, message, size);
    store_release(&s->mark, next);
    tell_cpu(s, number);
    return 0;
}

static inline int put_once(weft_shared_queue *q, const char *message, size_t size, weft_until until)
{
    int err = enter(q->ring, PUT, until);
    if (unlikely(err < 0))
        return err;
    err = put_held(q, message, size, units_for(size));
    leave(q->ring, PUT);
    if (likely(err == 0))
        wake_one(q->ring, GET);
    return err;
}

/* Pre: the get lock is held. */
static inline int get_held(weft_shared_queue *q, char *buffer, size_t room, size_t *received)
{
    weft__ring_side *s = &q->ring->sides[GET];
    uint64_t head = load_relaxed(&s->mark);
    uint32_t units, count, at = WEFT__RING_AT(head), number = WEFT__RING_COUNT(head);
    if (unlikely(!distance(q, load_relaxed(&s->other), head, &units, &count)) || units == 0) {
        int err = find_message(q, head, &units);
        if (err < 0)
            return err;
    }
    uint64_t first = load_relaxed(head_of(q, at)); /* R2: once */
    uint32_t size = (uint32_t)first;
    if (unlikely(first >> 32 != number) || unlikely(size > (uint64_t)(units - 1) * WEFT__RING_UNIT))
        return -EBADMSG;
    *received = size;
    if (unlikely(size > room))
        return -EMSGSIZE;
    if (size > 0)
        copy_out(q, at + 1, buffer, size);
    store_release(&s->mark, WEFT__RING_MARK(number + 1, at + units_for(size)));
    tell_cpu(s, number);
    return 0;
}

static inline int get_any(weft_shared_queue *q, char *buffer, size_t room, size_t *received, weft_until until)
{
    int err = enter(q->ring, GET, until);
    if (unlikely(err < 0))
        return err;
    err = get_held(q, buffer, room, received);
    leave(q->ring, GET);
    if (likely(err == 0))
        wake_one(q->ring, PUT);
    return err;
}

/* ---- producers ---- */

static bool has_ended(const weft__ring *r)
{
    if (likely(load_seq_cst(&r->producing) == 0))
        return false;
    for (unsigned i = 0; i < WEFT__RING_PRODUCERS; i++)
        if (load_seq_cst(&r->producers[i]) != 0)
            return false;
    return true;
}

static void clear_dead_producers(weft__ring *r)
{
    bool cleared = false;
    for (unsigned i = 0; i < WEFT__RING_PRODUCERS; i++) {
        uint32_t token = load_acquire(&r->producers[i]);
        if (token != 0 && weft__process_dead(token))
            cleared = cas_seq_cst(&r->producers[i], &token, 0) || cleared;
    }
    if (cleared && has_ended(r))
        wake_all(&r->words[GET]);
}

/* The queue is empty and has, or had, producers. */
WEFT__COLD static int get_at_the_end(weft_shared_queue *q, char *buffer, size_t room, size_t *received,
                                     weft_until until)
{
    int64_t now = weft_now(), looked = load_relaxed(&q->looked);
    if (now - looked > DEAD_AFTER && cas_relaxed(&q->looked, &looked, now))
        clear_dead_producers(q->ring);
    if (!has_ended(q->ring))
        return -WEFT_EEMPTY;
    int err = get_any(q, buffer, room, received, until); /* what the last of them put before it left */
    return err == -WEFT_EEMPTY ? -WEFT_EEOF : err;
}

static inline int get_once(weft_shared_queue *q, char *buffer, size_t room, size_t *received, weft_until until)
{
    int err = get_any(q, buffer, room, received, until);
    if (unlikely(err == -WEFT_EEMPTY) && unlikely(load_relaxed(&q->ring->producing) != 0))
        return get_at_the_end(q, buffer, room, received, until);
    return err;
}

int weft_shared_queue_producer_begin(weft_shared_queue *q)
{
    weft__ring *r = q->ring;
    for (int try = 0; try < 2; try++) {
        for (unsigned i = 0; i < WEFT__RING_PRODUCERS; i++) {
            uint32_t free = 0;
            if (load_relaxed(&r->producers[i]) == 0 && cas_seq_cst(&r->producers[i], &free, weft__process())) {
                store_seq_cst(&r->producing, 1);
                return 0;
            }
        }
        clear_dead_producers(r);
    }
    return -ENOSPC;
}

int weft_shared_queue_producer_end(weft_shared_queue *q)
{
    weft__ring *r = q->ring;
    for (unsigned i = 0; i < WEFT__RING_PRODUCERS; i++) {
        uint32_t me = weft__process();
        if (load_relaxed(&r->producers[i]) == me && cas_seq_cst(&r->producers[i], &me, 0)) {
            if (has_ended(r))
                wake_all(&r->words[GET]);
            return 0;
        }
    }
    return -EINVAL;
}

/* ---- waiting ---- */

static const weft__awaited message_kind = {.what = "message of shared queue"},
                           room_kind = {.what = "room in shared queue"}, work_kind = {.what = "work of shared queue"};

/* Whether a try is worth while; need: units that a putter needs. Spoilt memory is: the try will tell. */
static bool is_ready(const weft_shared_queue *q, int side, uint32_t need)
{
    const weft__ring *r = q->ring;
    if (load_seq_cst(&r->closed) != WEFT__RING_OPEN)
        return true;
    uint64_t head = load_seq_cst(&r->sides[GET].mark), tail = load_seq_cst(&r->sides[PUT].mark);
    if (side == GET)
        return head != tail || has_ended(r);
    uint32_t used, count;
    return !distance(q, tail, head, &used, &count) || fits(q, used, count, need);
}

/* Where both share a processor, looking means to let others have it: if the other side runs next, two switches do what
 * a sleep and a wake would, for half the time. If somebody else does, that may take long, and then it is left alone
 * for more and more of the waits to come. */
static inline bool give_way(weft_shared_queue *q, int side, uint32_t need)
{
    weft__ring_pace *p = &q->pace[side];
    uint32_t rest = load_relaxed(&p->rest), failed = load_relaxed(&p->failed);
    if (rest > 0) {
        store_relaxed(&p->rest, rest - 1);
        return false;
    }
    int64_t start = weft_now();
    bool ready = false;
    for (int i = 0; i < YIELDS && !ready; i++) {
        weft__sys_yield();
        ready = is_ready(q, side, need);
    }
    failed = ready && weft_now() - start < YIELD_MAX ? 0 : failed < YIELD_FAILS ? failed + 1 : failed;
    store_relaxed(&p->failed, failed);
    store_relaxed(&p->rest, failed == 0 ? 0 : UINT32_C(1) << failed);
    return ready;
}

/* Before it sleeps, a thread looks for as long as that paid lately, and now and then for as long as being woken takes:
 * or two that sleep in turns would never find out that they need not. The least look is as long as an answer of one
 * that is awake and looks itself. */
static inline bool look(weft_shared_queue *q, int side, uint32_t need, weft_until until)
{
    weft__ring_pace *p = &q->pace[side];
    uint32_t waits = load_relaxed(&p->waits) + 1, lately = load_relaxed(&p->looks);
    store_relaxed(&p->waits, waits);
    int64_t limit = waits % RETRY == 0 ? LOOK_MAX : lately > LOOK_MIN ? (int64_t)lately : LOOK_MIN;
    int64_t start = weft_now(), spent = 0;
    for (unsigned pauses = 1; spent < limit && start + spent < until.at; pauses += pauses < PAUSES_MAX ? 1 : 0) {
        pause_for(pauses);
        spent = weft_now() - start;
        if (is_ready(q, side, need)) {
            if (2 * spent > lately)
                store_relaxed(&p->looks, (uint32_t)(2 * spent < LOOK_MAX ? 2 * spent : LOOK_MAX));
            return true;
        }
    }
    store_relaxed(&p->looks, lately / 2);
    return false;
}

/* What a thread does before it sleeps. True: it need not. */
static bool wait_awake(weft_shared_queue *q, int side, uint32_t need, weft_until until)
{
#ifndef WEFT_MODEL
    if (until.at <= 0 || !is_thread())
        return false;
    return apart(q->ring, side) ? look(q, side, need, until) : give_way(q, side, need);
#else
    (void)q, (void)side, (void)need, (void)until;
    return false;
#endif
}

/* After a sleep: a wake went to this one only, and there may be something for the next, too. */
static void pass_on(weft_shared_queue *q, int side)
{
    weft__ring *r = q->ring;
    if (load_seq_cst(&r->asleep[side]) == 0) /* who comes later looks for itself after it has armed the word */
        return;
    or_seq_cst(&r->words[side], 1);
    if (is_ready(q, side, 1))
        wake_one(r, side);
}

/* Sleep until there may be something to do for this side. Returns as weft__park; *slept: pass_on is due. */
static int sleep_for(weft_shared_queue *q, int side, uint32_t need, weft_until until, const void *where, bool *slept)
{
    weft__ring *r = q->ring;
    if (wait_awake(q, side, need, until))
        return 0;
    add_seq_cst(&r->asleep[side], 1);
    uint32_t *word = &r->words[side], armed = or_seq_cst(word, 1) | 1;
    int err = 0;
    if (!is_ready(q, side, need)) {
        *slept = true;
        err = weft__park_for(side == GET ? &message_kind : &room_kind, q, where, word, armed, until, WEFT__SHARED_WORD);
    }
    sub_seq_cst(&r->asleep[side], 1);
    return err;
}

/* The wait ended without room or message: say why it did. */
static int result_of(int r, int none, int err)
{
    return r == none && (err == -ECANCELED || err == -EDEADLK) ? err : r;
}

WEFT__NOINLINE static int put_slow(weft_shared_queue *q, const char *message, size_t size, weft_until until,
                                   const void *where)
{
    int r, err;
    bool slept = false;
    do {
        err = sleep_for(q, PUT, units_for(size), until, where, &slept);
        r = put_once(q, message, size, until);
    } while (r == -WEFT_EFULL && err == 0);
    if (slept)
        pass_on(q, PUT);
    return result_of(r, -WEFT_EFULL, err);
}

WEFT__NOINLINE static int get_slow(weft_shared_queue *q, char *buffer, size_t room, size_t *received, weft_until until,
                                   const void *where)
{
    int r, err;
    bool slept = false;
    do {
        err = sleep_for(q, GET, 0, until, where, &slept);
        r = get_once(q, buffer, room, received, until);
    } while (r == -WEFT_EEMPTY && err == 0);
    if (slept)
        pass_on(q, GET);
    return result_of(r, -WEFT_EEMPTY, err);
}

int weft_shared_queue_put(weft_shared_queue *q, const void *message, size_t size, weft_until until)
{
    if (unlikely(size > weft_shared_queue_message_max(q)))
        return -EMSGSIZE;
    int r = put_once(q, message, size, until);
    return unlikely(r == -WEFT_EFULL) && until.at > 0 ? put_slow(q, message, size, until, WEFT__CALLER()) : r;
}

int weft_shared_queue_get(weft_shared_queue *q, void *buffer, size_t size, size_t *received, weft_until until)
{
    int r = get_once(q, buffer, size, received, until);
    return unlikely(r == -WEFT_EEMPTY) && until.at > 0 ? get_slow(q, buffer, size, received, until, WEFT__CALLER()) : r;
}

/* ---- work that is counted ---- */

/* How many messages are to be done: those put, or, dropped, those got. */
static uint32_t total_work(const weft__ring *r)
{
    if (load_seq_cst(&r->closed) == WEFT__RING_DROPS)
        return WEFT__RING_COUNT(load_seq_cst(&r->last));
    return WEFT__RING_COUNT(load_seq_cst(&r->sides[PUT].mark));
}

static bool is_finished(const weft__ring *r)
{
    uint32_t done = load_seq_cst(&r->done);
    return done == total_work(r);
}

static void tell_joiners(weft__ring *r)
{
    if (is_finished(r) && (load_seq_cst(&r->finished) & 1))
        wake_all(&r->finished);
}

int weft_shared_queue_task_done(weft_shared_queue *q)
{
    uint32_t done = load_relaxed(&q->ring->done);
    do
        if (done == total_work(q->ring))
            return -EINVAL;
    while (!cas_seq_cst(&q->ring->done, &done, done + 1));
    tell_joiners(q->ring);
    return 0;
}

int weft_shared_queue_join(weft_shared_queue *q, weft_until until)
{
    weft__ring *r = q->ring;
    int err = 0;
    while (!is_finished(r)) {
        if (err < 0)
            return err;
        uint32_t armed = or_seq_cst(&r->finished, 1) | 1;
        if (is_finished(r))
            return 0;
        err = weft__park_for(&work_kind, q, WEFT__CALLER(), &r->finished, armed, until, WEFT__SHARED_WORD);
        if (err == 0 && load_seq_cst(&r->finished) != armed) /* it was finished, whatever has been put since */
            return 0;
    }
    return 0;
}

/* ---- closing ---- */

/* Pre: no more puts; the get lock is held. From the second store on take_over would finish it. */
static void drop(weft__ring *r)
{
    weft__ring_side *s = &r->sides[GET];
    if (load_relaxed(&r->closed) == WEFT__RING_DROPS)
        return;
    store_seq_cst(&r->last, load_relaxed(&s->mark));
    store_seq_cst(&r->closed, (uint32_t)WEFT__RING_DROPS);
    uint64_t tail = load_acquire(&r->sides[PUT].mark);
    store_relaxed(&s->other, tail);
    store_seq_cst(&s->mark, tail);
}

int weft_shared_queue_close(weft_shared_queue *q, int how)
{
    weft__ring *r = q->ring;
    int err = enter(r, PUT, WEFT_NOW);
    if (err < 0)
        return err;
    if (load_relaxed(&r->closed) == WEFT__RING_OPEN)
        store_seq_cst(&r->closed, (uint32_t)WEFT__RING_DRAINS);
    leave(r, PUT);
    if (how == WEFT_CLOSE_DROP && (err = enter(r, GET, WEFT_NOW)) == 0) {
        drop(r);
        leave(r, GET);
    }
    wake_all(&r->words[PUT]);
    wake_all(&r->words[GET]);
    tell_joiners(r);
    return err;
}

int weft_shared_queue_closed(const weft_shared_queue *q)
{
    return load_acquire(&q->ring->closed) != WEFT__RING_OPEN;
}

/* ---- how full ---- */

size_t weft_shared_queue_size(const weft_shared_queue *q)
{
    uint64_t head = load_acquire(&q->ring->sides[GET].mark), tail = load_acquire(&q->ring->sides[PUT].mark);
    uint32_t count = WEFT__RING_COUNT(tail) - WEFT__RING_COUNT(head);
    return count > q->capacity ? q->capacity : count;
}

int weft_shared_queue_empty(const weft_shared_queue *q)
{
    return weft_shared_queue_size(q) == 0;
}

int weft_shared_queue_full(const weft_shared_queue *q)
{
    uint64_t head = load_acquire(&q->ring->sides[GET].mark), tail = load_acquire(&q->ring->sides[PUT].mark);
    uint32_t used, count;
    return !distance(q, tail, head, &used, &count) || !fits(q, used, count, 1);
}

size_t weft_shared_queue_capacity(const weft_shared_queue *q)
{
    return q->capacity;
}

size_t weft_shared_queue_message_max(const weft_shared_queue *q)
{
    return (size_t)(q->units - 1) * WEFT__RING_UNIT;
}

unsigned weft_shared_queue_lost(const weft_shared_queue *q)
{
    return load_relaxed(&q->ring->lost);
}

/* ---- making ---- */

void weft__ring_fill(weft__ring *ring, uint32_t units, uint32_t capacity)
{
    ring->units = units;
    ring->capacity = capacity;
    weft_lock_init(&ring->sides[PUT].lock, WEFT_SHARED);
    weft_lock_init(&ring->sides[GET].lock, WEFT_SHARED);
}

int weft__ring_handle(weft_shared_queue *q, weft__ring *ring, char *store, size_t bytes)
{
    uint32_t units = load_relaxed(&ring->units), capacity = load_relaxed(&ring->capacity);
    if (units < 2 || (units & (units - 1)) != 0 || units > UINT32_C(1) << 30 || units > bytes / WEFT__RING_UNIT ||
        capacity == 0 || capacity > units)
        return -EPROTO;
    q->ring = ring;
    q->store = store;
    q->units = units;
    q->capacity = capacity;
    return 0;
}
