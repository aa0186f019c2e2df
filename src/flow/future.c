/* future.c - one future: its states, its outcome, who waits and who is told. See future.h; several are in futures.c.
 *
 * F1  state and marks are one word; it becomes DONE once, by one swap, and then changes no more. The outcome is stored
 *     before that swap, by the one who has set CLAIMED.
 * F2  a sleeper has set WAITERS in the word that it went to sleep on, so the swap sees it, and wakes all. The waking
 *     knows the address only; who completes holds a reference anyway.
 * F3  the list is changed under f->lock. Who adds has set WATCHED before the word was DONE, and looks under the
 *     lock whether it is DONE: either the completer, which sees WATCHED and takes the lock, tells it, or it sees DONE.
 * F4  STOPPED is set and the runner's waiter is marked under the lock; a runner that finds STOPPED takes the lock
 *     before it takes the mark back. So no mark outlives its job.
 * Lock order: f->lock, then the lock of a set of completions, then park's. Callbacks run without a lock.
 * Ordering: the outcome is published by the swap (seq_cst) and read after an acquire load that sees DONE.
 * Pinned by tests/model/future_model.c and tests/flow/future_test.c. */
#include "flow/future.h"

#include "base/panic.h"

#include <errno.h>
#include <stdio.h>

typedef struct callback {
    weft__watcher watcher; /* first */
    weft_future_fn *fn;
    void *arg;
} callback;

const char weft__future_what[] = "future";

static void (*callback_error)(weft_future *f, int error); /* atomic */

/* ---- life ---- */

int weft_future_new(weft_future **out)
{
    weft_future *f = weft__malloc(sizeof *f);
    if (f == NULL)
        return -ENOMEM;
    weft__future_init(f, NULL, 1);
    *out = f;
    return 0;
}

weft_future *weft_future_ref(weft_future *f)
{
    add_relaxed(&f->refs, 1);
    return f;
}

WEFT__COLD static void drop_callbacks(weft_future *f)
{
    for (weft__watcher *w = f->first, *next; w != NULL; w = next) {
        next = w->next;
        weft__free(container_of(w, callback, watcher));
    }
}

void weft_future_unref(weft_future *f)
{
    if (f == NULL || (load_acquire(&f->refs) != 1 && sub_acq_rel(&f->refs, 1) != 1))
        return;
    if (unlikely(f->first != NULL))
        drop_callbacks(f);
    if (f->ops != NULL && f->ops->free != NULL)
        f->ops->free(f);
    else
        weft__free(f);
}

/* ---- the list ---- */

/* Pre: locked. False: it is done. */
static bool add_watcher(weft_future *f, weft__watcher *w)
{
    uint32_t seen = load_acquire(&f->word);
    do {
        if (seen & WEFT__FUTURE_DONE)
            return false;
    } while (!(seen & WEFT__FUTURE_WATCHED) && !cas_acq_rel(&f->word, &seen, seen | WEFT__FUTURE_WATCHED));
    weft__watcher **last = f->last != NULL ? f->last : &f->first;
    w->next = NULL;
    w->link = last;
    *last = w;
    f->last = &w->next;
    return true;
}

bool weft__future_watch(weft_future *f, weft__watcher *w)
{
    rawlock_acquire(&f->lock);
    bool added = add_watcher(f, w);
    if (!added)
        w->link = NULL;
    rawlock_release(&f->lock);
    return added;
}

void weft__future_unwatch(weft_future *f, weft__watcher *w)
{
    rawlock_acquire(&f->lock);
    if (w->link != NULL) {
        *w->link = w->next;
        if (w->next != NULL)
            w->next->link = w->link;
        else
            f->last = w->link;
        w->link = NULL;
    }
    rawlock_release(&f->lock);
}

static void run_callback(weft_future *f, weft_future_fn *fn, void *arg)
{
    int err = fn(f, arg);
    if (likely(err >= 0))
        return;
    void (*report)(weft_future *, int) = load_acquire(&callback_error);
    if (report != NULL)
        report(f, err);
    else
        weft__warn("a callback of the future at %p failed: %s", (void *)f, weft_strerror(err));
}

/* It is done: tell all who stand in the list, oldest first, and empty it. */
WEFT__COLD static void tell(weft_future *f)
{
    weft__watcher *callbacks = NULL, **last = &callbacks;
    rawlock_acquire(&f->lock);
    for (weft__watcher *w = f->first, *next; w != NULL; w = next) {
        next = w->next;
        w->link = NULL;
        if (w->notify != NULL) {
            w->notify(w, f);
        } else {
            *last = w;
            last = &w->next;
        }
    }
    *last = NULL;
    f->first = NULL;
    f->last = NULL;
    rawlock_release(&f->lock);
    while (callbacks != NULL) {
        callback *c = container_of(callbacks, callback, watcher);
        callbacks = callbacks->next;
        run_callback(f, c->fn, c->arg);
        weft__free(c);
    }
}

int weft_future_add_callback(weft_future *f, weft_future_fn *fn, void *arg)
{
    if (weft__future_is_done(f)) {
        run_callback(f, fn, arg);
        return 0;
    }
    callback *c = weft__malloc(sizeof *c);
    if (c == NULL)
        return -ENOMEM;
    *c = (callback){.fn = fn, .arg = arg};
    if (!weft__future_watch(f, &c->watcher)) {
        weft__free(c);
        run_callback(f, fn, arg);
    }
    return 0;
}

void weft_future_on_callback_error(void (*fn)(weft_future *f, int error))
{
    store_release(&callback_error, fn);
}

/* ---- the end ---- */

/* `before` is the word before it became DONE. */
static inline void completed(weft_future *f, uint32_t before)
{
    if (before & WEFT__FUTURE_WAITERS)
        weft__wake(&f->word, UINT32_MAX, 0);
    if (before & WEFT__FUTURE_WATCHED)
        tell(f);
}

/* Wait for who is stopping us now, and take the mark off. Pre: the caller is the runner. */
WEFT__COLD static void shed_stop(weft_future *f)
{
    rawlock_acquire(&f->lock);
    rawlock_release(&f->lock);
    and_seq_cst(&weft__self()->cancel, ~WEFT__CANCEL_JOB);
}

/* Set CLAIMED and `mark`. False: there is an outcome, or will be in a moment. *seen: the word before. */
static inline bool claim(weft_future *f, uint32_t *seen, uint32_t mark)
{
    *seen = load_relaxed(&f->word);
    do {
        if (*seen & (WEFT__FUTURE_DONE | WEFT__FUTURE_CLAIMED))
            return false;
    } while (!cas_acq_rel(&f->word, seen, *seen | WEFT__FUTURE_CLAIMED | mark));
    return true;
}

static inline uint32_t settle(weft_future *f, void *result, int error, uint32_t stopped)
{
    f->result = result;
    f->error = error;
    return swap_seq_cst(&f->word, WEFT_FINISHED | stopped);
}

int weft__future_end(weft_future *f, void *result, int error, uint32_t *before)
{
    uint32_t seen;
    bool mine = claim(f, &seen, 0);
    if (unlikely(seen & WEFT__FUTURE_STOPPED) && load_relaxed(&f->runner) == weft__self()->id)
        shed_stop(f);
    if (!mine)
        return -WEFT_EINVALIDSTATE;
    *before = settle(f, error < 0 ? NULL : result, error < 0 ? error : 0, seen & WEFT__FUTURE_STOPPED);
    return 0;
}

int weft__future_finish(weft_future *f, void *result, int error)
{
    uint32_t before;
    int err = weft__future_end(f, result, error, &before);
    if (err == 0)
        completed(f, before);
    return err;
}

bool weft__future_finish_quietly(weft_future *f, void *result, int error)
{
    uint32_t seen;
    if (!claim(f, &seen, 0))
        return true;
    f->result = error < 0 ? NULL : result;
    f->error = error < 0 ? error : 0;
    seen = load_relaxed(&f->word);
    do {
        if (seen & WEFT__FUTURE_WATCHED)
            return false;
    } while (!cas_seq_cst(&f->word, &seen, WEFT_FINISHED | (seen & WEFT__FUTURE_STOPPED)));
    completed(f, seen);
    return true;
}

void weft__future_publish(weft_future *f)
{
    uint32_t stopped = load_relaxed(&f->word) & WEFT__FUTURE_STOPPED;
    completed(f, swap_seq_cst(&f->word, WEFT_FINISHED | stopped));
}

void weft__future_tell(weft_future *f, uint32_t before)
{
    if (before & WEFT__FUTURE_STOPPED) /* since the runner looked, if it did */
        shed_stop(f);
    completed(f, before);
}

/* End the present wait of the runner, and its next ones. Pre: locked, STOPPED. */
static void stop_runner(weft_future *f)
{
    uint32_t id;
    while ((id = load_acquire(&f->runner)) == 0)
        cpu_relax(); /* it has begun, and is about to say who it is */
    weft__waiter *w = f->paused ? NULL : weft__waiter_by_id(id);
    if (w == NULL)
        return;
    or_seq_cst(&w->cancel, WEFT__CANCEL_JOB);
    fence_seq_cst(); /* as weft__waiter_cancel */
    if (weft__waiter_claim(w, WEFT__CANCELLED))
        weft__waiter_ready(w);
}

int weft__future_give_up(weft_future *f, int error)
{
    uint32_t seen;
    rawlock_acquire(&f->lock);
    bool mine = claim(f, &seen, WEFT__FUTURE_STOPPED);
    bool local = f->ops == NULL || f->ops->stop == NULL;
    bool running = mine && (seen & WEFT__FUTURE_STATE) == WEFT_RUNNING;
    if (running && local && !(seen & WEFT__FUTURE_STOPPED))
        stop_runner(f);
    rawlock_release(&f->lock);
    if (!mine)
        return -WEFT_EINVALIDSTATE;
    if (running && !local)
        f->ops->stop(f);
    completed(f, settle(f, NULL, error, WEFT__FUTURE_STOPPED));
    return 0;
}

int weft_future_cancel(weft_future *f)
{
    uint32_t seen = load_acquire(&f->word);
    do {
        if (seen & (WEFT__FUTURE_STATE | WEFT__FUTURE_CLAIMED))
            return (seen & WEFT__FUTURE_STATE) == WEFT_CANCELLED;
    } while (!cas_seq_cst(&f->word, &seen, WEFT_CANCELLED));
    if (f->ops != NULL && f->ops->cancelled != NULL)
        f->ops->cancelled(f);
    completed(f, seen);
    return 1;
}

int weft_future_stop(weft_future *f)
{
    if (weft_future_cancel(f))
        return 1;
    bool local = f->ops == NULL || f->ops->stop == NULL;
    bool first = false;
    rawlock_acquire(&f->lock);
    uint32_t seen = load_relaxed(&f->word);
    while ((seen & (WEFT__FUTURE_STATE | WEFT__FUTURE_CLAIMED | WEFT__FUTURE_STOPPED)) == WEFT_RUNNING && !first)
        first = cas_acq_rel(&f->word, &seen, seen | WEFT__FUTURE_STOPPED);
    if (first && local)
        stop_runner(f);
    rawlock_release(&f->lock);
    if (first && !local)
        f->ops->stop(f);
    return 0;
}

void weft__future_pause(weft_future *f)
{
    rawlock_acquire(&f->lock);
    f->paused = 1;
    and_seq_cst(&weft__self()->cancel, ~WEFT__CANCEL_JOB);
    rawlock_release(&f->lock);
}

void weft__future_resume(weft_future *f)
{
    rawlock_acquire(&f->lock);
    f->paused = 0;
    if (load_relaxed(&f->word) & WEFT__FUTURE_STOPPED)
        or_seq_cst(&weft__self()->cancel, WEFT__CANCEL_JOB);
    rawlock_release(&f->lock);
}

/* ---- who plays the worker; a pool's futures are set by their pool ---- */

int weft_future_begin(weft_future *f)
{
    if (f->ops != NULL)
        return -WEFT_EINVALIDSTATE;
    bool begun = false;
    rawlock_acquire(&f->lock);
    uint32_t seen = load_acquire(&f->word);
    if ((seen & WEFT__FUTURE_STATE) == WEFT_PENDING)
        begun = weft__future_begin(f);
    rawlock_release(&f->lock);
    return begun ? 1 : weft_future_cancelled(f) ? 0 : -WEFT_EINVALIDSTATE;
}

int weft_future_set_result(weft_future *f, void *result)
{
    return f->ops != NULL ? -WEFT_EINVALIDSTATE : weft__future_finish(f, result, 0);
}

int weft_future_set_error(weft_future *f, int error)
{
    if (error >= 0)
        return -EINVAL;
    return f->ops != NULL ? -WEFT_EINVALIDSTATE : weft__future_finish(f, NULL, error);
}

/* ---- waiting and looking ---- */

bool weft__future_expect(weft_future *f, uint32_t *expected)
{
    uint32_t seen = load_acquire(&f->word);
    do {
        *expected = seen | WEFT__FUTURE_WAITERS;
        if (seen & WEFT__FUTURE_DONE)
            return false;
    } while (!(seen & WEFT__FUTURE_WAITERS) && !cas_seq_cst(&f->word, &seen, seen | WEFT__FUTURE_WAITERS));
    return true;
}

/* A pool's futures are ended by its workers; one that somebody plays the worker for, by anybody, though he who began it
 * can be named. */
void weft__future_enders(const weft_future *f, const weft_future *seen, const weft__sleep *s, weft__enders *e)
{
    if (seen->ops != NULL && seen->ops->enders != NULL)
        seen->ops->enders(f, s, e);
    else if (seen->ops == NULL && (seen->word & WEFT__FUTURE_STATE) == WEFT_RUNNING)
        weft__enders_add(e, seen->runner);
}

static void future_enders(const void *object, const weft__waiter *sleeper, weft__enders *e)
{
    weft_future f;
    weft__sleep s = {.sleeper = sleeper, .number = load_acquire(&sleeper->waits)};
    if (weft__peek_awaited(&f, object, sizeof f, sleeper) == 0 && !(f.word & WEFT__FUTURE_DONE))
        weft__future_enders(object, &f, &s, e);
}

const weft__awaited weft__future_kind = {.what = weft__future_what, .held = "run by", .enders = future_enders};

WEFT__NOINLINE static int wait_slow(weft_future *f, weft_until until, const void *where)
{
    uint32_t expected;
    int err = 0;
    weft__waiter *self = weft__self();
    if (!weft__wait_cancelled(self) && weft__future_help(f, until) && weft__future_is_done(f))
        return 0;
    if (f->ops != NULL && f->ops->attend != NULL)
        f->ops->attend(f, until);
    if (weft__waiter_look(self, until.at, &f->word, WEFT__FUTURE_DONE))
        return 0;
    while (weft__future_expect(f, &expected)) {
        if (err < 0)
            return err;
        err = weft__park_for(&weft__future_kind, f, where, &f->word, expected, until, 0);
    }
    return 0;
}

int weft__future_wait(weft_future *f, weft_until until, const void *where)
{
    if (likely(weft__future_is_done(f)))
        return 0;
    return until.at <= 0 ? -ETIMEDOUT : wait_slow(f, until, where);
}

int weft_future_wait(weft_future *f, weft_until until)
{
    return weft__future_wait(f, until, WEFT__CALLER());
}

int weft_future_result(weft_future *f, void **result, weft_until until)
{
    int err = weft__future_wait(f, until, WEFT__CALLER());
    if (err < 0)
        return err;
    err = weft_future_error(f);
    if (err == 0 && result != NULL)
        *result = f->result;
    return err;
}

int weft_future_error(const weft_future *f)
{
    uint32_t seen = load_acquire(&f->word);
    if (!(seen & WEFT__FUTURE_DONE))
        return 0;
    return (seen & WEFT__FUTURE_STATE) == WEFT_CANCELLED ? -ECANCELED : f->error;
}

enum weft_future_state weft_future_state_of(const weft_future *f)
{
    return (enum weft_future_state)(load_acquire(&f->word) & WEFT__FUTURE_STATE);
}

int weft_future_done(const weft_future *f)
{
    return weft__future_is_done(f);
}

int weft_future_running(const weft_future *f)
{
    return weft_future_state_of(f) == WEFT_RUNNING;
}

int weft_future_cancelled(const weft_future *f)
{
    return weft_future_state_of(f) == WEFT_CANCELLED;
}

const char *weft_future_text(const weft_future *f, char *buf, size_t size)
{
    static const char *const names[] = {"pending", "running", "cancelled", "finished"};
    snprintf(buf, size, "<Future at %p state=%s>", (const void *)f, names[weft_future_state_of(f)]);
    return buf;
}
