/* sem_model.c - weft_sem: units are neither lost nor made, and nobody sleeps while one lies there. */
#include "explorer.h"

#include <weft/sem.h>

static weft_sem s;
static int got, released;

static void reset(void)
{
    weft_sem_init(&s, 0, 0);
    got = released = 0;
}

static void reset_shared(void)
{
    weft_sem_init(&s, 0, WEFT_SHARED);
    got = released = 0;
}

static void reset_one(void)
{
    weft_sem_init(&s, 1, WEFT_BOUNDED);
    got = released = 0;
}

static void take(weft_until until)
{
    int err = weft_sem_acquire(&s, until);
    MODEL_CHECK(err == 0 || err == -ETIMEDOUT || err == -ECANCELED);
    got += err == 0;
}

static void give(int n)
{
    MODEL_CHECK(weft_sem_release(&s, n) == 0);
    released += n;
}

static void conserved(void)
{
    MODEL_CHECK(got + weft_sem_value(&s) == released);
}

static void at_most(void)
{
    MODEL_CHECK(got + weft_sem_value(&s) <= released); /* a unit may have died with its taker */
}

static void two_take_one_gives_two(unsigned i)
{
    if (i < 2)
        take(WEFT_FOREVER);
    else
        give(2);
}

static void two_take_one_gives_twice(unsigned i)
{
    if (i < 2) {
        take(WEFT_FOREVER);
    } else {
        give(1);
        give(1);
    }
}

static void two_take_two_give(unsigned i)
{
    if (i < 2)
        take(WEFT_FOREVER);
    else
        give(1);
}

static void deadline(unsigned i)
{
    if (i == 0)
        take(MODEL_SOMETIME);
    else if (i == 1)
        take(WEFT_FOREVER);
    else
        give(i == 2 ? 2 : 1);
}

/* One unit for two, of whom one gives up: it must not take the other's wake with it. */
static void one_unit(unsigned i)
{
    if (i < 2)
        take(MODEL_SOMETIME);
    else
        give(1);
}

static void one_unit_cancel(unsigned i)
{
    if (i == 0)
        take(WEFT_FOREVER);
    else if (i == 1)
        give(1);
    else
        weft__waiter_cancel(model_waiter(0));
}

static void guard(unsigned i)
{
    (void)i;
    take(WEFT_FOREVER);
    got--;
    MODEL_CHECK(weft_sem_release(&s, 1) == 0);
}

static void guard_final(void)
{
    MODEL_CHECK(weft_sem_value(&s) == 1);
    MODEL_CHECK(weft_sem_release(&s, 1) == -EOVERFLOW);
}

/* Who takes the last unit frees the semaphore. */
static void freed_by_taker(unsigned i)
{
    if (i == 0) {
        give(1);
    } else {
        take(WEFT_FOREVER);
        model_free(&s, sizeof s);
    }
}

static void nothing(void)
{
}

const model_case sem_cases[] = {
    {"sem_freed_by_taker", 2, reset, freed_by_taker, nothing, MODEL_EXACT},
    {"sem_two_take_one_gives_two", 3, reset, two_take_one_gives_two, conserved, MODEL_EXACT, .share = 3},
    {"sem_two_take_one_gives_twice", 3, reset, two_take_one_gives_twice, conserved, 4, .share = 3},
    {"sem_two_take_two_give", 4, reset, two_take_two_give, conserved, 2, .share = 3},
    {"sem_deadline", 3, reset, deadline, conserved, MODEL_EXACT, .share = 3},
    {"sem_deadline_one_unit", 3, reset, one_unit, conserved, MODEL_EXACT, .share = 3},
    {"sem_cancel_one_unit", 3, reset, one_unit_cancel, conserved, MODEL_EXACT, .share = 2},
    {"sem_bounded_guard", 3, reset_one, guard, guard_final, 3, .share = 2},
    {"sem_shared_two_take", 3, reset_shared, two_take_one_gives_twice, conserved, 4, .spurious = true, .share = 2},
    {"sem_shared_taker_dies", 3, reset_shared, two_take_one_gives_two, at_most, 2, .mortal = 1, .share = 2},
    {NULL},
};
