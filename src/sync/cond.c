/* cond.c - weft_cond: a sequence word to sleep on, and the lock's own queue to be moved to.
 *
 * wait     under the lock: enter the queue of seq (prepare), then let go of the lock, then sleep (commit). Being in
 *          the queue before the lock is free is what makes notify exact: it ends waits that began before it, no
 *          others.
 * notify   under the lock: change seq, then move sleepers from seq to the lock's word instead of waking them: they
 *          could not run before the lock is free. The lock is marked WAITERS first, so its release wakes the first of
 *          them.
 * Shared, prepare only remembers seq and the kernel compares it; a notify in between makes the wait end at once, and
 * moves are wakes: exactness is lost, no notification is.
 * waiters  counts who can still be notified: private, the notifier takes off those it notified, so that a notified
 *          waiter does not touch the condition any more and it may be gone; shared, each waiter takes itself off.
 *
 * I1  a notified waiter takes the lock as one that has slept (weft__lock_reacquire), so WAITERS outlives it while
 *     others that were moved still stand behind it.
 * I2  a waiter whose deadline struck after it was moved reports success (park's `moved`).
 * Pinned by tests/model/cond_model.c and tests/sync/cond_test.c. */
#include "sync/cond.h"

#include "base/panic.h"
#include "sys/aside.h"

#include <errno.h>

enum {
    IS_RLOCK = 1
};

static unsigned domain_of(const weft_cond *c)
{
    return c->flags & WEFT_SHARED ? WEFT__SHARED_WORD : 0;
}

static bool may_use(const weft_lock *l, bool is_rlock)
{
    return is_rlock ? weft_rlock_depth((const weft_rlock *)(const void *)l) > 0 : weft_lock_held(l);
}

/* ---- for reports ---- */

void weft__cond_enders(const void *c, const weft__waiter *sleeper, weft__enders *e)
{
    weft_cond seen;
    if (weft__sys_peek(&seen, c, sizeof seen) < 0)
        return;
    bool is_rlock = seen.lock & IS_RLOCK;
    const weft_lock *l = (const weft_lock *)(const void *)((const char *)c + (seen.lock & ~(int64_t)IS_RLOCK));
    weft__lock_enders(l, !is_rlock, e);
    if (e->n == 1 && e->ids[0] == load_relaxed(&sleeper->id)) {
        e->known = false;
        e->awake = true;
    }
}

static const weft__awaited cond_kind = {
    .what = "condition", .held = "its lock is held by", .enders = weft__cond_enders};

/* Between the two locks' ways of being let go and taken back there is only the depth to keep. */
static uint32_t let_go(weft_lock *l, bool is_rlock)
{
    uint32_t depth = 0;
    if (is_rlock) {
        weft_rlock *r = (weft_rlock *)(void *)l;
        depth = r->depth;
        r->depth = 0;
        store_relaxed(&r->owner, 0);
    }
    weft_lock_release(l);
    return depth;
}

static int take_back(weft_lock *l, bool is_rlock, uint32_t depth, const void *where)
{
    int err = weft__lock_reacquire(l, (weft__taking){is_rlock ? &weft__rlock_kind : &weft__lock_kind, where});
    if (is_rlock) {
        weft_rlock *r = (weft_rlock *)(void *)l;
        store_relaxed(&r->owner, weft__rlock_me(r));
        r->depth = depth;
    }
    return err;
}

/* What a wait is called, and where it is made. */
typedef struct asked {
    const weft__awaited *kind;
    const void *object, *where;
} asked;

static int wait_with(weft_cond *c, weft_lock *l, bool is_rlock, weft_until until, asked as)
{
    if (!may_use(l, is_rlock))
        return -EPERM;
    store_relaxed(&c->lock, ((char *)l - (char *)c) | (is_rlock ? IS_RLOCK : 0));
    add_relaxed(&c->waiters, 1);
    unsigned domain = domain_of(c);
    weft__waiter *self = weft__self();
    if (domain == 0)
        weft__await(self, as.kind, as.object, as.where, until);
    weft__parking p;
    int differs = weft__park_prepare(&p, &c->seq, load_relaxed(&c->seq), domain, as.kind->what);
    uint32_t depth = let_go(l, is_rlock);
    int err = differs ? 0 : weft__park_commit(&p, until);
    weft__awaited_end(self);
    if (differs || err < 0 || domain != 0)
        sub_relaxed(&c->waiters, 1);
    int lock_err = take_back(l, is_rlock, depth, as.where);
    return lock_err < 0 ? lock_err : err;
}

int weft_cond_wait(weft_cond *c, weft_lock *l, weft_until until)
{
    return wait_with(c, l, false, until, (asked){&cond_kind, c, WEFT__CALLER()});
}

int weft_cond_wait_rlock(weft_cond *c, weft_rlock *l, weft_until until)
{
    return wait_with(c, &l->lock, true, until, (asked){&cond_kind, c, WEFT__CALLER()});
}

int weft__cond_wait(weft_cond *c, weft_lock *l, weft_until until, const weft__awaited *kind, const void *object,
                    const void *where)
{
    return wait_with(c, l, false, until, (asked){kind, object, where});
}

int weft_cond_wait_for(weft_cond *c, weft_lock *l, int (*test)(void *arg), void *arg, weft_until until)
{
    for (;;) {
        if (test(arg))
            return 0;
        int err = wait_with(c, l, false, until, (asked){&cond_kind, c, WEFT__CALLER()});
        if (err < 0)
            return err != -EOWNERDEAD && test(arg) ? 0 : err;
    }
}

int weft_cond_notify(weft_cond *c, unsigned n)
{
    if (n == 0 || load_relaxed(&c->waiters) == 0)
        return 0;
    int64_t where = load_relaxed(&c->lock);
    bool is_rlock = where & IS_RLOCK;
    weft_lock *l = (weft_lock *)(void *)((char *)c + (where & ~(int64_t)IS_RLOCK));
    if (!may_use(l, is_rlock))
        return -EPERM;
    add_seq_cst(&c->seq, 1);
    or_acq_rel(&l->word, WEFT__LOCK_WAITERS);
    int notified = weft__requeue(&c->seq, &l->word, 0, n, domain_of(c));
    if (domain_of(c) == 0)
        sub_relaxed(&c->waiters, (uint32_t)notified);
    return notified;
}

int weft_cond_notify_all(weft_cond *c)
{
    return weft_cond_notify(c, UINT32_MAX);
}

int weft_cond_init(weft_cond *c, unsigned flags)
{
    if (flags & ~(unsigned)WEFT_SHARED)
        return -EINVAL;
    *c = (weft_cond){.flags = flags};
    return 0;
}

void weft_cond_destroy(weft_cond *c)
{
    if (load_acquire(&c->waiters) != 0 && !domain_of(c))
        weft__panic("weft_cond_destroy: the condition at %p is waited for", (void *)c);
}
