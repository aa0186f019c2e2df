/* rlock.c - weft_rlock: a weft_lock whose holder knows itself again.
 *
 * Private, the lock's word is the owner's id and that is all. Shared, the word names the process and `owner` the
 * thread or coroutine of that process (weft__rlock_me). Each is written only while `lock` is held, so "my process
 * holds it and owner is me" can only be true if I wrote it. `depth` is touched by the owner alone.
 * Pinned by tests/model/lock_model.c and tests/sync/rlock_test.c. */
#include "base/panic.h"
#include "sync/lock.h"

#include <errno.h>

static bool is_mine(const weft_rlock *l)
{
    uint32_t owner = load_relaxed(&l->lock.word) & WEFT__LOCK_OWNER;
    if (weft__lock_domain(&l->lock) != 0)
        return owner == weft__process() && load_relaxed(&l->owner) == weft__rlock_me(l);
    return owner == weft__self()->id;
}

static int took(weft_rlock *l, int err)
{
    if (err == 0 || err == -EOWNERDEAD) {
        store_relaxed(&l->owner, weft__rlock_me(l));
        l->depth = 1;
    }
    return err;
}

int weft_rlock_acquire_until(weft_rlock *l, weft_until until)
{
    if (!is_mine(l))
        return took(l, weft__lock_acquire(&l->lock, until, 0, (weft__taking){&weft__rlock_kind, WEFT__CALLER()}));
    if (l->depth == UINT32_MAX)
        return -EOVERFLOW;
    l->depth++;
    return 0;
}

void weft_rlock_acquire(weft_rlock *l)
{
    if (is_mine(l)) {
        if (l->depth == UINT32_MAX)
            weft__panic("weft_rlock_acquire: the rlock at %p is held %u times already", (void *)l, l->depth);
        l->depth++;
        return;
    }
    weft__lock_must_acquire(&l->lock, (weft__taking){&weft__rlock_kind, WEFT__CALLER()}, "weft_rlock_acquire");
    took(l, 0);
}

bool weft__rlock_let_go(weft_rlock *l)
{
    if (!is_mine(l))
        return false;
    if (--l->depth > 0)
        return true;
    store_relaxed(&l->owner, 0);
    return weft__lock_let_go(&l->lock);
}

void weft_rlock_release(weft_rlock *l)
{
    if (!weft__rlock_let_go(l))
        weft__panic("weft_rlock_release: the rlock at %p is not held by its caller", (void *)l);
}

int weft_rlock_init(weft_rlock *l, unsigned flags)
{
    if (flags & ~(unsigned)WEFT_SHARED)
        return -EINVAL;
    l->depth = 0;
    store_relaxed(&l->owner, 0);
    return weft_lock_init(&l->lock, flags);
}

void weft_rlock_destroy(weft_rlock *l)
{
    weft_lock_destroy(&l->lock);
}

int weft_rlock_recover(weft_rlock *l)
{
    return weft_lock_recover(&l->lock);
}

uint32_t weft_rlock_depth(const weft_rlock *l)
{
    return is_mine(l) ? l->depth : 0;
}
