/* relay.c - threads that sleep on shared words for coroutines, up to 127 words each.
 *
 * A relay sleeps in futex_waitv on its control word and on the words of its slots. When a word is woken or differs,
 * the coroutine's private word `fired` is set and woken; it looks for itself. Adding or removing changes the control
 * word, so that the relay re-arms. Slices are the coroutines' affair: a relay has no deadline, and without futex_waitv
 * it looks every 2 ms while it has slots.
 *
 * I1  slot i is used  <=>  slots[i] != NULL; changes under relay->lock only.
 * I2  a relayed object is touched under relay->lock only, so it is free once remove has returned.
 * I3  a wake that was spent on a slot whose coroutine has left since is passed on. Who has left is told by the slot's
 *     number: the next one may lie at the same address, and sleep on another word. The kernel names one word of those
 *     that it woke, so all words of those who have left are woken. Who stays needs no more than a look at its word.
 * Lock order: relays_lock, then a relay's lock; park's buckets below both (weft__wake inside). A child of fork has no
 * relays: it leaves the parent's where they are, for a fork may strike in the midst of a change.
 * Pinned by tests/park/shared_test.c. */
#include "park/shared.h"

#include "park/rawlock.h"
#include "sys/sys.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

enum {
    SLOTS = WEFT__SYS_FUTEXES_MAX - 1
};

typedef struct weft__relay {
    weft__rawlock lock;
    uint32_t control; /* atomic: changes when slots do */
    unsigned used;
    weft__relayed *slots[SLOTS];
    uint32_t number[SLOTS]; /* of the slot's coroutine, or of its last one; under lock */
    struct weft__relay *next;
} relay;

static WEFT__FORK_PAGE weft__rawlock relays_lock;
static WEFT__FORK_PAGE relay *relays;
static WEFT__FORK_PAGE relay *parents; /* in a child: what it must not use; kept reachable for leak checkers */

static void fire(relay *r, unsigned slot)
{
    weft__relayed *it = r->slots[slot];
    r->slots[slot] = NULL;
    r->used--;
    store_seq_cst(&it->fired, 1);
    weft__wake(&it->fired, 1, 0);
}

/* What the relay sleeps on this time; [0] is the control word. */
typedef struct watch {
    weft__sys_futex words[SLOTS + 1];
    unsigned slot[SLOTS + 1];
    uint32_t number[SLOTS + 1];
    unsigned n;
} watch;

static void arm(relay *r, watch *w)
{
    rawlock_acquire(&r->lock);
    w->words[0] = (weft__sys_futex){&r->control, load_relaxed(&r->control), false};
    w->n = 1;
    for (unsigned i = 0; i < SLOTS; i++) {
        const weft__relayed *it = r->slots[i];
        if (it == NULL)
            continue;
        w->words[w->n] = (weft__sys_futex){it->word, it->expected, true};
        w->slot[w->n] = i;
        w->number[w->n++] = r->number[i];
    }
    rawlock_release(&r->lock);
}

/* The lock is held. Has the coroutine left whose word this is? */
static bool has_left(const relay *r, const watch *w, unsigned i)
{
    unsigned slot = w->slot[i];
    return r->slots[slot] == NULL || r->number[slot] != w->number[i];
}

static void fire_those(relay *r, const watch *w, int woken)
{
    unsigned left[SLOTS], n = 0;
    rawlock_acquire(&r->lock);
    for (unsigned i = 1; i < w->n; i++) {
        if (has_left(r, w, i))
            left[n++] = i;
        else if ((int)i == woken || load_seq_cst(w->words[i].word) != w->words[i].expected)
            fire(r, w->slot[i]);
    }
    rawlock_release(&r->lock);
    for (unsigned i = 0; i < n && woken >= 0; i++) /* I3; below 0, none was woken */
        weft__sys_futex_wake(w->words[left[i]].word, 1, true);
}

static void *relay_main(void *arg)
{
    relay *r = arg;
    watch w;
    for (;;) {
        arm(r, &w);
        int woken = weft__sys_futex_waitv(w.words, w.n, INT64_MAX);
        if (woken < 0 && woken != -EAGAIN && woken != -EINTR) { /* it is not there: look, every 2 ms if at anything */
            int64_t turn = w.n > 1 ? weft__sys_now() + WEFT__TURN : INT64_MAX;
            weft__sys_futex_wait(&r->control, w.words[0].expected, turn, false);
        }
        fire_those(r, &w, woken);
    }
    return NULL;
}

static void changed(relay *r)
{
    add_seq_cst(&r->control, 1);
    weft__sys_futex_wake(&r->control, 1, false);
}

/* A relay with a free slot, its lock held. NULL: no thread to be had. */
static relay *relay_with_room(void)
{
    rawlock_acquire(&relays_lock);
    relay *r;
    for (r = relays; r != NULL; r = r->next) {
        rawlock_acquire(&r->lock);
        if (r->used < SLOTS)
            goto found;
        rawlock_release(&r->lock);
    }
    r = weft__calloc(1, sizeof *r);
    if (r != NULL && weft__sys_thread(relay_main, r, 64 * 1024) < 0) {
        weft__free(r);
        r = NULL;
    }
    if (r != NULL) {
        r->next = relays;
        relays = r;
        rawlock_acquire(&r->lock);
    }
found:
    rawlock_release(&relays_lock);
    return r;
}

int weft__relay_add(weft__relayed *it)
{
    relay *r = relay_with_room();
    if (r == NULL)
        return -EAGAIN;
    unsigned i = 0;
    while (r->slots[i] != NULL)
        i++;
    r->slots[i] = it;
    r->number[i]++;
    r->used++;
    it->relay = r;
    it->slot = i;
    rawlock_release(&r->lock);
    changed(r);
    return 0;
}

bool weft__relays_idle(unsigned *threads)
{
    bool all_idle = true;
    *threads = 0;
    rawlock_acquire(&relays_lock);
    for (relay *r = relays; r != NULL; r = r->next) {
        rawlock_acquire(&r->lock);
        all_idle = all_idle && r->used == 0;
        rawlock_release(&r->lock);
        ++*threads;
    }
    rawlock_release(&relays_lock);
    return all_idle;
}

void weft__relay_remove(weft__relayed *it)
{
    relay *r = it->relay;
    rawlock_acquire(&r->lock);
    bool was_armed = r->slots[it->slot] == it;
    if (was_armed) {
        r->slots[it->slot] = NULL;
        r->used--;
    }
    rawlock_release(&r->lock);
    if (was_armed)
        changed(r);
}

/* The relay threads do not exist in a child, and neither do the coroutines they served. */
WEFT__FORK_TEXT static void after_fork_child(void)
{
    relays_lock.word = 0;
    relay **last = &parents;
    while (*last != NULL)
        last = &(*last)->next;
    *last = relays;
    relays = NULL;
}

__attribute__((constructor(101))) static void watch_fork(void)
{
    pthread_atfork(NULL, NULL, after_fork_child);
}
