/* cond_model.c - weft_cond: notify ends waits that began before it, as many as it says, and none is lost. */
#include "explorer.h"

#include <weft/cond.h>

static weft_lock l;
static weft_rlock r;
static weft_cond c;
static unsigned char region;
static int items, taken, notified, woken, waiting;

static void reset_any(unsigned flags)
{
    weft_lock_init(&l, flags);
    weft_rlock_init(&r, flags);
    weft_cond_init(&c, flags);
    region = 0;
    items = taken = notified = woken = waiting = 0;
}

static void reset(void)
{
    reset_any(0);
}

static void reset_shared(void)
{
    reset_any(WEFT_SHARED);
}

static void consume(weft_until until)
{
    int err = 0;
    weft_lock_acquire(&l);
    while (items == 0 && err == 0)
        err = weft_cond_wait(&c, &l, until);
    model_enter(&region);
    if (items > 0) {
        items--;
        taken++;
    }
    model_leave(&region);
    weft_lock_release(&l);
}

static void produce(int n)
{
    weft_lock_acquire(&l);
    model_enter(&region);
    items += n;
    model_leave(&region);
    weft_cond_notify(&c, (unsigned)n);
    weft_lock_release(&l);
}

static void one_consumer(unsigned i)
{
    if (i == 0)
        consume(WEFT_FOREVER);
    else
        produce(1);
}

static void two_consumers(unsigned i)
{
    if (i < 2)
        consume(WEFT_FOREVER);
    else
        produce(2);
}

static void two_producers(unsigned i)
{
    if (i == 0) {
        consume(WEFT_FOREVER);
        consume(WEFT_FOREVER);
    } else {
        produce(1);
    }
}

static void rlock_free(void)
{
    MODEL_CHECK((r.lock.word & ((1u << 30) - 1)) == 0);
}

static void all_taken(void)
{
    MODEL_CHECK(items == 0);
    MODEL_CHECK((l.word & ((1u << 30) - 1)) == 0);
}

/* Waits without a predicate: what notify returned is how many waits ended with 0. */
static void exact(unsigned i)
{
    weft_lock_acquire(&l);
    if (i < 2) {
        int err = weft_cond_wait(&c, &l, MODEL_SOMETIME);
        MODEL_CHECK(err == 0 || err == -ETIMEDOUT);
        woken += err == 0;
    } else {
        int n = weft_cond_notify(&c, 1);
        MODEL_CHECK(n >= 0 && n <= 1);
        notified += n;
    }
    weft_lock_release(&l);
}

static void exact_final(void)
{
    MODEL_CHECK(woken == notified);
}

/* The notifier knows that the other waits: the notification must be its. (If the notifier came first, nobody waits.) */
static void known_waiter(unsigned i)
{
    weft_lock_acquire(&l);
    if (i == 1 && waiting == 0) {
        waiting = 2;
    } else if (i == 1) {
        notified = weft_cond_notify_all(&c);
        MODEL_CHECK(notified == 1);
    } else if (waiting == 0) {
        waiting = 1;
        woken += weft_cond_wait(&c, &l, WEFT_FOREVER) == 0;
    }
    weft_lock_release(&l);
}

static void nested(unsigned i)
{
    weft_rlock_acquire(&r);
    weft_rlock_acquire(&r);
    if (i == 0) {
        while (items == 0)
            MODEL_CHECK(weft_cond_wait_rlock(&c, &r, WEFT_FOREVER) == 0);
    } else {
        items = 1;
        weft_cond_notify_all(&c);
    }
    MODEL_CHECK(weft_rlock_depth(&r) == 2);
    model_enter(&region);
    model_leave(&region);
    weft_rlock_release(&r);
    weft_rlock_release(&r);
}

static void cancelled(unsigned i)
{
    if (i == 2) {
        weft__waiter_cancel(model_waiter(0));
        return;
    }
    weft_lock_acquire(&l);
    if (i == 0) {
        int err = weft_cond_wait(&c, &l, WEFT_FOREVER);
        MODEL_CHECK(err == 0 || err == -ECANCELED);
        woken += err == 0;
    } else {
        notified += weft_cond_notify(&c, 1);
    }
    weft_lock_release(&l);
}

/* All who wait have been notified: the condition is not needed any more. */
static void freed_by_notifier(unsigned i)
{
    weft_lock_acquire(&l);
    if (i == 0) {
        if (waiting != 2) {
            waiting = 1;
            MODEL_CHECK(weft_cond_wait(&c, &l, WEFT_FOREVER) == 0);
        }
    } else {
        MODEL_CHECK(weft_cond_notify_all(&c) == waiting);
        waiting = 2;
        weft_cond_destroy(&c);
        model_free(&c, sizeof c);
    }
    weft_lock_release(&l);
}

static void nothing(void)
{
}

const model_case cond_cases[] = {
    {"cond_freed_by_notifier", 2, reset, freed_by_notifier, nothing, MODEL_EXACT},
    {"cond_one_consumer", 2, reset, one_consumer, all_taken, MODEL_EXACT},
    {"cond_two_consumers", 3, reset, two_consumers, all_taken, 2, .share = 4},
    {"cond_two_producers", 3, reset, two_producers, all_taken, 2, .share = 3},
    {"cond_exact_one_waiter", 2, reset, exact, exact_final, MODEL_EXACT},
    {"cond_exact_two_waiters", 3, reset, exact, exact_final, 3, .share = 4},
    {"cond_exact_two_waiters_two_notifies", 4, reset, exact, exact_final, 1, .share = 3},
    {"cond_known_waiter_is_notified", 2, reset, known_waiter, exact_final, MODEL_EXACT},
    {"cond_rlock_keeps_depth", 2, reset, nested, rlock_free, MODEL_EXACT},
    {"cond_cancel_against_notify", 3, reset, cancelled, exact_final, 3, .share = 3},
    {"cond_starving", 3, reset, two_consumers, all_taken, 2, .step_clock = true, .share = 2},
    {"cond_shared_one_consumer", 2, reset_shared, one_consumer, all_taken, MODEL_EXACT, .spurious = true},
    {"cond_shared_two_consumers", 3, reset_shared, two_consumers, all_taken, 2, .share = 2},
    {NULL},
};
