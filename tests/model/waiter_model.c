/* waiter_model.c - one sleeper against a waker, a canceller and its deadline: who decides, and is it told right? */
#include "explorer.h"

static uint32_t word, other;
static int result, woken;
static unsigned readied;

static void reset(void)
{
    word = 0;
    result = 1;
    woken = 0;
    readied = 0;
}

static void sleeper(weft_until until, unsigned flags)
{
    result = weft__park(&word, 0, until, flags, "test");
}

/* The word is not changed, so 0 means: a wake was spent on this sleeper. */
static void wake_or_deadline(unsigned i)
{
    if (i == 0)
        sleeper(MODEL_SOMETIME, 0);
    else
        woken = weft__wake(&word, 1, 0);
}

static void wake_or_deadline_final(void)
{
    if (woken)
        MODEL_CHECK(result == 0);
}

/* Without a wake it would sleep for ever if the deadline were not: so the explorer also takes that way. */
static void wake_or_cancel(unsigned i)
{
    if (i == 0)
        sleeper(WEFT_FOREVER, 0);
    else if (i == 1)
        woken = weft__wake(&word, 1, 0);
    else
        weft__waiter_cancel(model_waiter(0));
}

static void wake_or_cancel_final(void)
{
    MODEL_CHECK(result == (woken ? 0 : -ECANCELED));
}

static void cancel_or_deadline(unsigned i)
{
    if (i == 0)
        sleeper(MODEL_SOMETIME, 0);
    else
        weft__waiter_cancel(model_waiter(0));
}

static void cancel_or_deadline_final(void)
{
    MODEL_CHECK(result == -ECANCELED || result == -ETIMEDOUT);
}

static void all_three(unsigned i)
{
    if (i == 0)
        sleeper(MODEL_SOMETIME, 0);
    else if (i == 1)
        woken = weft__wake(&word, 1, 0);
    else
        weft__waiter_cancel(model_waiter(0));
}

static void all_three_final(void)
{
    MODEL_CHECK(woken ? result == 0 : result == -ECANCELED || result == -ETIMEDOUT);
}

/* A hard sleep is ended by the wake alone, and the cancellation is still there for the next one. */
static void hard_sleep(unsigned i)
{
    if (i == 0) {
        while (load_acquire(&word) == 0)
            MODEL_CHECK(weft__park(&word, 0, WEFT_FOREVER, WEFT__UNCANCELLABLE, "test") == 0);
        result = weft__park(&other, 0, WEFT_FOREVER, 0, "test");
    } else if (i == 1) {
        store_seq_cst(&word, 1);
        weft__wake(&word, 1, 0);
    } else {
        weft__waiter_cancel(model_waiter(0));
    }
}

static void hard_sleep_final(void)
{
    MODEL_CHECK(result == -ECANCELED);
}

static void cancelled_before(unsigned i)
{
    if (i == 0) {
        weft__waiter_cancel(model_waiter(0));
        sleeper(MODEL_SOMETIME, 0);
    } else {
        woken = weft__wake(&word, 1, 0);
    }
}

/* A wait that enters no queue: nothing but begin stands between WAITING and the look at `cancel`. */
static void cancel_without_queue(unsigned i)
{
    if (i == 0)
        result = weft__park_any(NULL, 0, WEFT_FOREVER, 0);
    else
        weft__waiter_cancel(model_waiter(0));
}

static void cancel_alone(unsigned i)
{
    if (i == 0)
        sleeper(WEFT_FOREVER, 0);
    else
        weft__waiter_cancel(model_waiter(0));
}

static void cancelled_final(void)
{
    MODEL_CHECK(result == -ECANCELED);
}

/* A sleeper does not return before its claimer has called ready: then nobody will ever call it for this wait again. */
static weft__waiter_ops counting;

static void count_ready(weft__waiter *w)
{
    store_seq_cst(&readied, 1);
    weft__thread_ops.ready(w);
}

static void ready_is_awaited(unsigned i)
{
    if (i == 0) {
        weft__waiter *self = weft__self();
        counting = weft__thread_ops;
        counting.ready = count_ready;
        self->ops = &counting;
        for (unsigned k = 1; k <= 2; k++) {
            weft__wait_begin(self, false);
            store_seq_cst(&word, k); /* whoever sees it may claim */
            uint32_t why = weft__wait_block(self, MODEL_SOMETIME.at);
            if (why >= WEFT__WOKEN0 && load_seq_cst(&readied) == 0)
                model_fail("woken, but ready was not called");
            MODEL_CHECK(why == WEFT__TIMEDOUT || why == WEFT__WOKEN(0));
            store_seq_cst(&readied, 0);
        }
        self->ops = &weft__thread_ops;
    } else {
        while (load_acquire(&word) == 0)
            cpu_relax();
        if (weft__waiter_claim(model_waiter(0), WEFT__WOKEN(0)))
            weft__waiter_ready(model_waiter(0));
    }
}

static void nothing(void)
{
}

const model_case waiter_cases[] = {
    {"waiter_cancel_without_queue", 2, reset, cancel_without_queue, cancelled_final, MODEL_EXACT},
    {"waiter_cancel_alone", 2, reset, cancel_alone, cancelled_final, MODEL_EXACT},
    {"waiter_ready_is_awaited", 2, reset, ready_is_awaited, nothing, MODEL_EXACT},
    {"waiter_wake_against_deadline", 2, reset, wake_or_deadline, wake_or_deadline_final, MODEL_EXACT},
    {"waiter_wake_against_cancel", 3, reset, wake_or_cancel, wake_or_cancel_final, MODEL_EXACT},
    {"waiter_cancel_against_deadline", 2, reset, cancel_or_deadline, cancel_or_deadline_final, MODEL_EXACT},
    {"waiter_wake_cancel_deadline", 3, reset, all_three, all_three_final, MODEL_EXACT},
    {"waiter_hard_sleep_outlasts_cancel", 3, reset, hard_sleep, hard_sleep_final, MODEL_EXACT},
    {"waiter_cancelled_before_it_sleeps", 2, reset, cancelled_before, wake_or_cancel_final, MODEL_EXACT},
    {NULL},
};
