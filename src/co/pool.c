/* pool.c - the slots of coroutines: type-stable, because whoever is late with a wake or a report may still look at
 * them.
 *
 * Slabs of 255 slots are mapped and never unmapped; each slot's waiter is registered once. A scheduler thread keeps
 * free slots of its own and exchanges them in batches with the common list; other threads use the common list directly.
 * Lock order: pool_lock is a leaf, but for the registry's own lock when a slab is made. */
#include "co/untraced.h"
WEFT__UNTRACED_BEGIN
#include "co/state.h"

#include "park/rawlock.h"

#include <stdio.h>

enum {
    SLAB = 255,
    BATCH = 64,
    OWN_MAX = 4 * BATCH /* free slots a scheduler keeps before it gives some back */
};

typedef struct slab {
    struct slab *next;
    weft_co slots[SLAB];
} slab;

static weft__rawlock pool_lock;
static slab *slabs;
static weft_co *pool; /* free slots of nobody, by next */

/* Pre: pool_lock. A slab is as large as its slots could be registered. */
static bool add_slab(void)
{
    void *p;
    if (weft__sys_map(&p, sizeof(slab)) < 0)
        return false;
    slab *b = p;
    unsigned n = 0;
    while (n < SLAB && weft__waiter_register(&b->slots[n].waiter, &weft__co_ops) == 0)
        n++;
    if (n == 0) {
        weft__sys_unmap(p, sizeof(slab));
        return false;
    }
    leak_root(p, sizeof(slab));
    for (unsigned i = n; i-- > 0;) {
        weft_co *co = &b->slots[i];
        snprintf(co->default_name, sizeof co->default_name, "co-%u", (unsigned)(co->waiter.slot + 1) % 10000000);
        fiber_release(co);
        co->next = pool;
        pool = co;
    }
    b->next = slabs;
    slabs = b;
    return true;
}

WEFT__COLD static weft_co *take_slow(weft__sched *s)
{
    rawlock_acquire(&pool_lock);
    weft_co *co = NULL;
    if (pool != NULL || add_slab()) {
        co = pool;
        pool = co->next;
        for (unsigned i = 1; s != NULL && i < BATCH && pool != NULL; i++) {
            weft_co *more = pool;
            pool = more->next;
            more->next = s->pool;
            s->pool = more;
            s->pool_count++;
        }
    }
    rawlock_release(&pool_lock);
    return co;
}

weft_co *weft__pool_take(weft__sched *s)
{
    weft_co *co;
    if (s != NULL && s->pool != NULL) {
        co = s->pool;
        s->pool = co->next;
        s->pool_count--;
    } else {
        co = take_slow(s);
        if (unlikely(co == NULL))
            return NULL;
    }
    fiber_acquire(co);
    weft__waiter_renew(&co->waiter);
    co->epoch = load_relaxed(&weft__co_epoch);
    co->sched = NULL;
    co->stack = NULL;
    co->pinned = false;
    store_relaxed(&co->name[0], 0);
    return co;
}

WEFT__COLD static void give_batch(weft__sched *s)
{
    weft_co *first = s->pool, *last = first;
    for (unsigned i = 1; i < 2 * BATCH; i++)
        last = last->next;
    s->pool = last->next;
    s->pool_count -= 2 * BATCH;
    rawlock_acquire(&pool_lock);
    last->next = pool;
    pool = first;
    rawlock_release(&pool_lock);
}

void weft__pool_give(weft__sched *s, weft_co *co)
{
    store_relaxed(&co->life, WEFT__CO_FREE);
    fiber_release(co);
    if (s == NULL) {
        rawlock_acquire(&pool_lock);
        co->next = pool;
        pool = co;
        rawlock_release(&pool_lock);
        return;
    }
    co->next = s->pool;
    s->pool = co;
    if (unlikely(++s->pool_count > OWN_MAX))
        give_batch(s);
}

/* ---- fork ---- */

void weft__pool_before_fork(void)
{
    rawlock_acquire(&pool_lock);
}

void weft__pool_after_fork_parent(void)
{
    rawlock_release(&pool_lock);
}

/* All coroutines are gone, but the slot of the one that forked stays taken: its function runs on. */
void weft__pool_after_fork_child(const weft_co *mine)
{
    pool_lock.word = 0;
    pool = NULL;
    for (slab *b = slabs; b != NULL; b = b->next)
        for (unsigned i = SLAB; i-- > 0;) {
            weft_co *co = &b->slots[i];
            if (co->default_name[0] == 0) /* could not be registered */
                continue;
            if (load_relaxed(&co->waiter.id) != 0 && co != mine)
                weft__waiter_leave_behind(&co->waiter);
            else if (co == mine)
                weft__waiter_retire(&co->waiter); /* it goes on as a thread */
            if (co == mine || (co->stack != NULL && co->stack->kept))
                continue;
            co->waiter.state = WEFT__IDLE;
            co->life = WEFT__CO_FREE;
            co->timer.link = NULL;
            co->next = pool;
            pool = co;
        }
}
WEFT__UNTRACED_END
