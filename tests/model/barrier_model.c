/* barrier_model.c - weft_barrier: lockstep, indices, breaking, resetting. */
#include "explorer.h"

#include <weft/barrier.h>

static weft_barrier b;
static int in_round[3], indices[3], broken;

static void reset(void)
{
    weft_barrier_init(&b, 2, NULL);
    memset(in_round, 0, sizeof in_round);
    memset(indices, 0, sizeof indices);
    broken = 0;
}

/* Who is past round k knows that both have come to it. */
static void rounds(unsigned i)
{
    (void)i;
    for (int k = 0; k < 2; k++) {
        in_round[k]++;
        int index = weft_barrier_wait(&b, WEFT_FOREVER);
        MODEL_CHECK(index == 0 || index == 1);
        indices[k] += index;
        MODEL_CHECK(in_round[k] == 2);
    }
}

static void rounds_final(void)
{
    MODEL_CHECK(indices[0] == 1 && indices[1] == 1);
}

static void deadline(unsigned i)
{
    int r = weft_barrier_wait(&b, i == 0 ? MODEL_SOMETIME : WEFT_FOREVER);
    if (r < 0) {
        MODEL_CHECK(r == (i == 0 ? -ETIMEDOUT : -EPIPE));
        broken++;
    }
}

static void both_or_none(void)
{
    MODEL_CHECK(broken == 0 || broken == 2);
    MODEL_CHECK(weft_barrier_broken(&b) == (broken == 2));
}

static void aborted(unsigned i)
{
    if (i == 2)
        weft_barrier_abort(&b);
    else
        broken += weft_barrier_wait(&b, WEFT_FOREVER) < 0;
}

static void aborted_final(void)
{
    MODEL_CHECK(broken != 1);
}

static void reset_under_wait(unsigned i)
{
    if (i == 0) {
        int r = weft_barrier_wait(&b, WEFT_FOREVER);
        MODEL_CHECK(r >= 0 || r == -EPIPE);
        if (r < 0)
            MODEL_CHECK(weft_barrier_wait(&b, MODEL_SOMETIME) >= -ETIMEDOUT);
    } else {
        weft_barrier_reset(&b);
        MODEL_CHECK(weft_barrier_wait(&b, MODEL_SOMETIME) >= -ETIMEDOUT);
    }
}

static void nothing(void)
{
}

/* A round completes for both parties or for none, wherever in it the reset falls. */
static void reset_at_any_time(unsigned i)
{
    if (i == 2) {
        weft_barrier_reset(&b);
        return;
    }
    int r = weft_barrier_wait(&b, MODEL_SOMETIME);
    MODEL_CHECK(r >= 0 || r == -EPIPE || r == -ETIMEDOUT);
    in_round[0] += r >= 0;
    indices[0] += r > 0;
}

static void complete_for_both(void)
{
    MODEL_CHECK(in_round[0] == 0 || (in_round[0] == 2 && indices[0] == 1));
}

const model_case barrier_cases[] = {
    {"barrier_lockstep", 2, reset, rounds, rounds_final, 3, .share = 3},
    {"barrier_deadline_breaks_for_all", 2, reset, deadline, both_or_none, 4, .share = 3},
    {"barrier_abort", 3, reset, aborted, aborted_final, 2, .share = 2},
    {"barrier_reset_at_any_time", 3, reset, reset_at_any_time, complete_for_both, 2, .share = 2},
    {"barrier_reset_under_wait", 2, reset, reset_under_wait, nothing, 3, .share = 2},
    {NULL},
};
