/* barrier.c - weft_barrier: a lock, a condition and four states, after Python's.
 *
 * FILLING   parties come in; the last one runs the action and starts DRAINING.
 * DRAINING  the parties of a finished round leave; newcomers wait outside until all have left.
 * BREAKING  aborted while DRAINING: the round was complete and stays so; it is BROKEN when its parties have left.
 * BROKEN    nobody waits: everybody gets -EPIPE, until reset.
 * I1  all fields are changed under `lock` only; `arrived` counts the parties inside since the last reset.
 * I2  the last to leave DRAINING makes it FILLING and tells those outside.
 * I3  a reset changes `resets` and begins anew at once. Who was inside sees that and keeps out of the count; its round
 *     was complete if it was the one that `completed` names.
 *
 * A process that dies with the lock breaks the barrier. One that dies waiting stays in the count: a deadline notices,
 * and a reset clears it.
 *
 * Pinned by tests/model/barrier_model.c and tests/sync/barrier_test.c. */
#include <weft/barrier.h>

#include "base/panic.h"
#include "sync/cond.h"

#include <errno.h>

enum {
    FILLING,
    DRAINING,
    BREAKING,
    BROKEN
};

static void become(weft_barrier *b, uint32_t state)
{
    b->state = state;
    weft_cond_notify_all(&b->changed);
}

/* A party died in the midst of a change: the count is no good any more. */
static void recovered(weft_barrier *b, int err)
{
    if (err != -EOWNERDEAD)
        return;
    weft_lock_recover(&b->lock);
    become(b, BROKEN);
}

static void lock(weft_barrier *b)
{
    recovered(b,
              weft__lock_acquire(&b->lock, WEFT_FOREVER, WEFT__UNCANCELLABLE, (weft__taking){&weft__lock_kind, NULL}));
}

static const weft__awaited barrier_kind = {.what = "barrier"}; /* its other parties are not known */

static int wait_changed(weft_barrier *b, weft_until until, const void *where)
{
    int err = weft__cond_wait(&b->changed, &b->lock, until, &barrier_kind, b, where);
    recovered(b, err);
    return err == -EOWNERDEAD ? 0 : err;
}

/* Wait outside until the parties of the last round have left. */
static int enter(weft_barrier *b, weft_until until, const void *where)
{
    int err = 0;
    while (b->state == DRAINING) {
        if (err < 0)
            return err;
        err = wait_changed(b, until, where);
    }
    return b->state == BROKEN || b->state == BREAKING ? -EPIPE : 0;
}

static int last_party(weft_barrier *b)
{
    int err = b->options.action != NULL ? b->options.action(b->options.arg) : 0;
    become(b, err < 0 ? BROKEN : DRAINING);
    return err;
}

static int wait_full(weft_barrier *b, uint32_t resets, weft_until until, const void *where)
{
    int err = 0;
    while (b->state == FILLING && b->resets == resets) {
        if (err < 0) {
            become(b, BROKEN);
            return err;
        }
        err = wait_changed(b, until, where);
    }
    if (b->resets != resets)
        return b->completed == resets + 1 ? 0 : -EPIPE;
    return b->state == DRAINING || b->state == BREAKING ? 0 : -EPIPE;
}

static void leave(weft_barrier *b, uint32_t resets)
{
    if (b->resets != resets)
        return;
    b->arrived--;
    if (b->arrived > 0)
        return;
    if (b->state == DRAINING)
        become(b, FILLING);
    else if (b->state == BREAKING)
        become(b, BROKEN);
}

int weft_barrier_wait(weft_barrier *b, weft_until until)
{
    if (until.at == INT64_MAX && b->options.timeout_ns > 0)
        until = weft_in(b->options.timeout_ns);
    lock(b);
    const void *where = WEFT__CALLER();
    int result = enter(b, until, where);
    if (result == 0) {
        uint32_t resets = b->resets;
        int index = (int)b->arrived++;
        result = index + 1 == (int)b->parties ? last_party(b) : wait_full(b, resets, until, where);
        leave(b, resets);
        if (result >= 0)
            result = index;
    }
    weft_lock_release(&b->lock);
    return result;
}

void weft_barrier_reset(weft_barrier *b)
{
    lock(b);
    b->completed = b->state == DRAINING || b->state == BREAKING ? b->resets + 1 : 0; /* what is complete stays so */
    b->resets++;
    b->arrived = 0;
    become(b, FILLING);
    weft_lock_release(&b->lock);
}

void weft_barrier_abort(weft_barrier *b)
{
    lock(b);
    become(b, b->state == DRAINING || b->state == BREAKING ? BREAKING : BROKEN);
    weft_lock_release(&b->lock);
}

unsigned weft_barrier_waiting(weft_barrier *b)
{
    lock(b);
    unsigned n = b->state == FILLING ? b->arrived : 0;
    weft_lock_release(&b->lock);
    return n;
}

int weft_barrier_broken(weft_barrier *b)
{
    lock(b);
    int broken = b->state == BROKEN || b->state == BREAKING;
    weft_lock_release(&b->lock);
    return broken;
}

int weft_barrier_init(weft_barrier *b, unsigned parties, const weft_barrier_options *options)
{
    static const weft_barrier_options none;
    if (options == NULL)
        options = &none;
    if (parties < 1 || parties > INT32_MAX || (options->flags & ~(unsigned)WEFT_SHARED) || options->timeout_ns < 0)
        return -EINVAL;
    *b = (weft_barrier){.parties = parties, .state = FILLING, .options = *options};
    weft_lock_init(&b->lock, options->flags);
    return weft_cond_init(&b->changed, options->flags);
}

void weft_barrier_destroy(weft_barrier *b)
{
    if (weft_barrier_waiting(b) != 0)
        weft__panic("weft_barrier_destroy: the barrier at %p is waited for", (void *)b);
}
