/* lock_model.c - weft_lock and weft_rlock: exclusion, no lost wake, deadlines, starvation, death of the holder. */
#include "explorer.h"

#include <weft/lock.h>

static weft_lock l;
static weft_rlock r;
static unsigned char region;
static int done, timed_out, recovered;
static uint32_t started;

static void reset_any(unsigned flags)
{
    weft_lock_init(&l, flags);
    weft_rlock_init(&r, flags);
    region = 0;
    done = timed_out = recovered = 0;
    started = 0;
}

static void reset(void)
{
    reset_any(0);
}

static void reset_shared(void)
{
    reset_any(WEFT_SHARED);
}

static void nothing(void)
{
}

static void inside(void)
{
    model_enter(&region);
    done++;
    model_leave(&region);
}

static void once(unsigned i)
{
    (void)i;
    weft_lock_acquire(&l);
    inside();
    weft_lock_release(&l);
}

static void twice(unsigned i)
{
    once(i);
    once(i);
}

static void free_again(void)
{
    MODEL_CHECK((l.word & ((1u << 30) - 1)) == 0);
    MODEL_CHECK(!(l.word & (1u << 30))); /* nobody is left to clear STARVED */
}

static void final_2(void)
{
    MODEL_CHECK(done == 2);
    free_again();
}

static void final_3(void)
{
    MODEL_CHECK(done == 3);
    free_again();
}

static void final_4(void)
{
    MODEL_CHECK(done == 4);
    free_again();
}

static void final_6(void)
{
    MODEL_CHECK(done == 6);
    free_again();
}

static void with_deadline(unsigned i)
{
    (void)i;
    int err = weft_lock_acquire_until(&l, MODEL_SOMETIME);
    if (err == 0) {
        inside();
        weft_lock_release(&l);
    } else {
        MODEL_CHECK(err == -ETIMEDOUT);
        timed_out++;
    }
}

/* One may give up; the others must still get it. */
static void one_with_deadline(unsigned i)
{
    if (i == 0)
        with_deadline(i);
    else
        once(i);
}

static void final_all(void)
{
    MODEL_CHECK(done + timed_out == 3);
    free_again();
}

static void final_all_2(void)
{
    MODEL_CHECK(done + timed_out == 2);
    free_again();
}

static void cancelled(unsigned i)
{
    if (i == 2) {
        weft__waiter_cancel(model_waiter(0));
    } else if (i == 0) {
        int err = weft_lock_acquire_until(&l, WEFT_FOREVER);
        MODEL_CHECK(err == 0 || err == -ECANCELED);
        if (err == 0)
            weft_lock_release(&l);
        done++;
    } else {
        once(i);
    }
}

/* Taken by one, released by the other: what the lessons do with two locks. */
static void handed_over(unsigned i)
{
    if (i == 0) {
        weft_lock_acquire(&l);
        weft_lock_acquire(&l); /* ends by the other's release */
        done++;
        weft_lock_release(&l);
    } else {
        while (!weft_lock_held(&l))
            cpu_relax();
        done++;
        weft_lock_release(&l);
    }
}

/* ---- death ---- */

static void may_die(unsigned i)
{
    (void)i;
    int err = weft_lock_acquire_until(&l, WEFT_FOREVER);
    if (err == -EOWNERDEAD) {
        region = 0; /* put right what the dead one left */
        recovered++;
        MODEL_CHECK(weft_lock_recover(&l) == 0);
    }
    inside();
    weft_lock_release(&l);
}

static void final_death(void)
{
    for (unsigned i = 0; i < 2; i++)
        if (model_dead(i))
            return;
    MODEL_CHECK(recovered == 0); /* nobody died, nobody was told so */
    free_again();
}

/* Released without recover: everyone after is told, too. */
static void unrecovered(unsigned i)
{
    (void)i;
    int err = weft_lock_acquire_until(&l, WEFT_FOREVER);
    MODEL_CHECK(err == (recovered > 0 ? -EOWNERDEAD : err));
    recovered += err == -EOWNERDEAD;
    weft_lock_release(&l);
}

static void final_unrecovered(void)
{
    MODEL_CHECK(model_dead(0) || recovered == 0);
    MODEL_CHECK(recovered > 0 || weft_lock_acquire_until(&l, WEFT_NOW) != -EOWNERDEAD || model_dead(0));
}

/* ---- the next holder frees the lock's memory ---- */

static void freed_by_next(unsigned i)
{
    weft_lock_acquire(&l);
    if (++done == 2)
        model_free(&l, sizeof l);
    else
        weft_lock_release(&l);
    (void)i;
}

/* It overtakes the other until that starves; then it must queue behind it, and be woken when it gives up. */
static void overtaking(unsigned i)
{
    if (i == 0)
        with_deadline(i);
    else
        for (unsigned k = 0; k < 3; k++)
            once(i);
}

static void final_overtaking(void)
{
    MODEL_CHECK(done + timed_out == 4);
    free_again();
}

/* Thread 0 holds it at first. Thread 1 starves, gives up, takes it then and knows whether thread 0 has let go for good:
 * only that release can still be at it. */
static void freed_after_starving(unsigned i)
{
    if (i == 0) {
        weft_lock_release(&l);
        weft_lock_acquire(&l);
        store_seq_cst(&started, 1);
        weft_lock_release(&l);
        return;
    }
    if (weft_lock_acquire_until(&l, MODEL_SOMETIME) == 0)
        weft_lock_release(&l);
    weft_lock_acquire(&l);
    if (load_acquire(&started) != 0)
        model_free(&l, sizeof l);
    else
        weft_lock_release(&l);
}

static void reset_held(void)
{
    reset();
    weft__become(model_waiter(0)); /* in every run the same one: a release looks whether it is its taker's */
    weft_lock_acquire(&l);
}

/* ---- rlock ---- */

static void nested(unsigned i)
{
    (void)i;
    weft_rlock_acquire(&r);
    weft_rlock_acquire(&r);
    MODEL_CHECK(weft_rlock_depth(&r) == 2);
    inside();
    weft_rlock_release(&r);
    MODEL_CHECK(weft_rlock_depth(&r) == 1);
    weft_rlock_release(&r);
    MODEL_CHECK(weft_rlock_depth(&r) == 0);
}

const model_case lock_cases[] = {
    {"lock_two_threads_twice", 2, reset, twice, final_4, MODEL_EXACT},
    {"lock_three_threads", 3, reset, once, final_3, MODEL_EXACT, .share = 6},
    {"lock_three_threads_twice", 3, reset, twice, final_6, 2, .share = 2},
    {"lock_starving_two", 2, reset, twice, final_4, MODEL_EXACT, .step_clock = true},
    {"lock_starving_three", 3, reset, once, final_3, 3, .step_clock = true, .share = 3},
    {"lock_deadline_two", 2, reset, with_deadline, final_all_2, MODEL_EXACT},
    {"lock_deadline_three", 3, reset, one_with_deadline, final_all, 3, .share = 3},
    {"lock_starving_deadline", 3, reset, one_with_deadline, final_all, 3, .step_clock = true, .share = 4},
    {"lock_starving_all_deadlines", 3, reset, with_deadline, final_all, 2, .step_clock = true, .share = 3},
    {"lock_cancelled", 3, reset, cancelled, final_2, 3, .share = 2},
    {"lock_released_by_another", 2, reset, handed_over, final_2, MODEL_EXACT},
    {"lock_starving_newcomer", 2, reset, overtaking, final_overtaking, 3, .step_clock = true},
    {"lock_freed_by_next_holder", 2, reset, freed_by_next, nothing, MODEL_EXACT},
    {"lock_freed_after_one_starved", 2, reset_held, freed_after_starving, nothing, 3, .step_clock = true, .share = 2},
    {"lock_shared_two", 2, reset_shared, twice, final_4, MODEL_EXACT, .spurious = true},
    {"lock_shared_three", 3, reset_shared, once, final_3, 3, .share = 2},
    {"lock_shared_holder_dies", 2, reset_shared, may_die, final_death, MODEL_EXACT, .mortal = 1, .share = 2},
    {"lock_shared_holder_dies_three", 3, reset_shared, may_die, final_death, 2, .mortal = 1, .share = 3},
    {"lock_shared_unrecovered", 3, reset_shared, unrecovered, final_unrecovered, 2, .mortal = 1, .share = 1},
    {"rlock_two", 2, reset, nested, final_2, MODEL_EXACT},
    {"rlock_three", 3, reset, nested, final_3, 2, .share = 2},
    {"rlock_shared_two", 2, reset_shared, nested, final_2, MODEL_EXACT, .spurious = true},
    {NULL},
};
