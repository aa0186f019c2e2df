/* event_model.c - weft_event: a set reaches all who wait, even if it is taken back at once. */
#include "explorer.h"

#include <weft/event.h>

static weft_event e;
static int results[MODEL_THREADS];
static uint32_t waiting;

static void reset_any(unsigned flags)
{
    weft_event_init(&e, flags);
    waiting = 0;
    for (unsigned i = 0; i < MODEL_THREADS; i++)
        results[i] = 1;
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

static void set_wakes_all(unsigned i)
{
    if (i < 2)
        MODEL_CHECK(weft_event_wait(&e, WEFT_FOREVER) == 0);
    else
        weft_event_set(&e);
}

/* The setter sees that somebody sleeps (bit 1 of the word), sets and clears: the sleeper must come through. */
static void set_and_clear(unsigned i)
{
    if (i == 0) {
        MODEL_CHECK(weft_event_wait(&e, WEFT_FOREVER) == 0);
    } else {
        while (!(load_acquire(&e.word) & 2))
            cpu_relax();
        weft_event_set(&e);
        weft_event_clear(&e);
    }
}

static void two_sets(unsigned i)
{
    if (i == 0) {
        MODEL_CHECK(weft_event_wait(&e, WEFT_FOREVER) == 0);
        weft_event_clear(&e);
        results[0] = weft_event_wait(&e, MODEL_SOMETIME);
    } else {
        weft_event_set(&e);
    }
}

static void deadline(unsigned i)
{
    if (i < 2)
        results[i] = weft_event_wait(&e, MODEL_SOMETIME);
    else
        weft_event_set(&e);
}

static void deadline_final(void)
{
    for (unsigned i = 0; i < 2; i++)
        MODEL_CHECK(results[i] == 0 || results[i] == -ETIMEDOUT);
    MODEL_CHECK(weft_event_wait(&e, WEFT_NOW) == 0);
}

static void cancel(unsigned i)
{
    if (i == 0)
        results[0] = weft_event_wait(&e, WEFT_FOREVER);
    else if (i == 1)
        weft__waiter_cancel(model_waiter(0));
    else
        weft_event_set(&e);
}

static void cancel_final(void)
{
    MODEL_CHECK(results[0] == 0 || results[0] == -ECANCELED);
}

static void freed_by_waiter(unsigned i)
{
    if (i == 0) {
        weft_event_set(&e);
    } else {
        MODEL_CHECK(weft_event_wait(&e, WEFT_FOREVER) == 0);
        model_free(&e, sizeof e);
    }
}

const model_case event_cases[] = {
    {"event_freed_by_waiter", 2, reset, freed_by_waiter, nothing, MODEL_EXACT},
    {"event_set_wakes_all", 3, reset, set_wakes_all, nothing, MODEL_EXACT, .share = 2},
    {"event_set_and_clear_reaches_sleeper", 2, reset, set_and_clear, nothing, MODEL_EXACT},
    {"event_two_sets", 3, reset, two_sets, nothing, MODEL_EXACT, .share = 2},
    {"event_deadline", 3, reset, deadline, deadline_final, MODEL_EXACT, .share = 2},
    {"event_cancel", 3, reset, cancel, cancel_final, MODEL_EXACT},
    {"event_shared_set_wakes_all", 3, reset_shared, set_wakes_all, nothing, MODEL_EXACT, .spurious = true, .share = 2},
    {"event_shared_set_and_clear", 2, reset_shared, set_and_clear, nothing, MODEL_EXACT, .spurious = true},
    {NULL},
};
