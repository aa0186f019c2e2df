/* park_model.c - the word table: no wake is lost, none is spent twice, moved sleepers are reached. */
#include "explorer.h"

static uint32_t word[2];
static int slept_well[MODEL_THREADS]; /* sleeps ended by a wake */
static int woken[MODEL_THREADS];

static void reset(void)
{
    memset(word, 0, sizeof word);
    memset(slept_well, 0, sizeof slept_well);
    memset(woken, 0, sizeof woken);
}

static void nothing(void)
{
}

static int sum(const int *v)
{
    int n = 0;
    for (unsigned i = 0; i < MODEL_THREADS; i++)
        n += v[i];
    return n;
}

static void sleep_while_zero(const uint32_t *w)
{
    while (load_acquire(w) == 0)
        weft__park(w, 0, WEFT_FOREVER, 0, "test");
}

static void set_and_wake(uint32_t *w, unsigned n)
{
    store_seq_cst(w, 1);
    weft__wake(w, n, 0);
}

static void one_sleeper(unsigned i)
{
    if (i == 0)
        sleep_while_zero(&word[0]);
    else
        set_and_wake(&word[0], 1);
}

static void two_sleepers(unsigned i)
{
    if (i < 2)
        sleep_while_zero(&word[0]);
    else
        set_and_wake(&word[0], 2);
}

/* Strangers that share a bucket or not, as the hash has it. */
static void two_words(unsigned i)
{
    if (i < 2)
        sleep_while_zero(&word[i]);
    else
        for (unsigned k = 0; k < 2; k++)
            set_and_wake(&word[k], 1);
}

/* The word never changes: a sleep that ends with 0 was given a wake, and as many wakes were given as sleeps ended so.
 */
static void exact(unsigned i)
{
    if (i < 2)
        slept_well[i] = weft__park(&word[0], 0, MODEL_SOMETIME, 0, "test") == 0;
    else
        woken[i] = weft__wake(&word[0], 1, 0);
}

/* As many sleeps ended by a wake as wakes were given. */
static void even_final(void)
{
    MODEL_CHECK(sum(slept_well) == sum(woken));
}

static void one_exact(unsigned i)
{
    if (i == 0)
        slept_well[0] = weft__park(&word[0], 0, MODEL_SOMETIME, 0, "test") == 0;
    else
        woken[i] = weft__wake(&word[0], 1, 0);
}

static void exact_final(void)
{
    even_final();
    for (unsigned i = 0; i < MODEL_THREADS; i++)
        MODEL_CHECK(woken[i] <= 1);
}

/* ---- prepare and commit ---- */

static void prepared(unsigned i)
{
    if (i == 0) {
        weft__parking p;
        MODEL_CHECK(weft__park_prepare(&p, &word[0], 0, 0, "test") == 0);
        store_seq_cst(&word[1], 1); /* whoever sees this finds the sleeper in the queue */
        slept_well[0] = weft__park_commit(&p, WEFT_FOREVER) == 0;
    } else {
        while (load_acquire(&word[1]) == 0)
            cpu_relax();
        woken[1] = weft__wake(&word[0], 1, 0);
        MODEL_CHECK(woken[1] == 1);
    }
}

static void unprepared(unsigned i)
{
    if (i == 0) {
        weft__parking p;
        if (weft__park_prepare(&p, &word[0], 0, 0, "test") == 0)
            slept_well[0] = weft__park_unprepare(&p);
    } else if (i == 1) {
        woken[1] = weft__wake(&word[0], 1, 0);
    } else {
        weft__waiter_cancel(model_waiter(0));
    }
}

/* ---- for several ---- */

static void any_of_two(unsigned i)
{
    if (i > 0) {
        woken[i] = weft__wake(&word[i - 1], 1, 0);
        return;
    }
    weft__case cases[2] = {{.word = &word[0]}, {.word = &word[1]}};
    int r = weft__park_any(cases, 2, MODEL_SOMETIME, 0);
    if (r >= 0) {
        slept_well[0] = 1;
        MODEL_CHECK(r < 2);
    }
    for (unsigned k = 0; k < 2; k++)
        MODEL_CHECK(weft__sleepers(&word[k]) == 0);
}

/* Two words become true; the sleeper must see both, whichever wakes it first. */
static void any_sees_all(unsigned i)
{
    if (i > 0) {
        set_and_wake(&word[i - 1], 1);
        return;
    }
    bool seen[2] = {false, false};
    while (!seen[0] || !seen[1]) {
        weft__case cases[2] = {{.word = &word[0], .expected = seen[0]}, {.word = &word[1], .expected = seen[1]}};
        int r = weft__park_any(cases, 2, WEFT_FOREVER, 0);
        MODEL_CHECK(r == 0 || r == 1);
        seen[r] = load_acquire(&word[r]);
    }
}

/* A wake of a word two stand on is not swallowed by the one that is woken for another. */
static void any_passes_by(unsigned i)
{
    if (i == 0) {
        weft__case cases[2] = {{.word = &word[0]}, {.word = &word[1]}};
        slept_well[0] = weft__park_any(cases, 2, MODEL_SOMETIME, 0) >= 0;
    } else if (i == 1) {
        slept_well[1] = weft__park(&word[0], 0, MODEL_SOMETIME, 0, "test") == 0;
    } else {
        woken[2] = weft__wake(&word[1], 1, 0);
        woken[3] = weft__wake(&word[0], 1, 0);
    }
}

/* ---- requeue ---- */

static void requeue_all(unsigned i)
{
    if (i < 2) {
        slept_well[i] = weft__park(&word[0], 0, MODEL_SOMETIME, 0, "test") == 0;
        return;
    }
    int n = weft__requeue(&word[0], &word[1], 0, 2, 0);
    MODEL_CHECK(weft__wake(&word[1], 2, 0) <= n);
    woken[2] = n;
}

static void requeue_one_of_two(unsigned i)
{
    if (i < 2) {
        slept_well[i] = weft__park(&word[0], 0, MODEL_SOMETIME, 0, "test") == 0;
        return;
    }
    woken[2] = weft__requeue(&word[0], &word[1], 1, 1, 0);
    weft__wake(&word[1], 1, 0);
}

/* The moved sleep for ever in their new place unless a wake there reaches them. */
static void requeue_then_wake(unsigned i)
{
    if (i < 2) {
        while (load_acquire(&word[0]) == 0)
            weft__park(&word[0], 0, WEFT_FOREVER, 0, "test");
        return;
    }
    store_seq_cst(&word[0], 1);
    weft__requeue(&word[0], &word[1], 0, 2, 0);
    weft__wake(&word[1], 2, 0);
}

/* From one bucket to the other and out of it: in the end both count right. */
static void requeue_between_buckets(unsigned i)
{
    uint32_t *from = model_word(0), *to = model_word(8);
    if (i == 0) {
        slept_well[0] = weft__park(from, 0, WEFT_FOREVER, 0, "test") == 0;
    } else {
        while ((woken[1] = weft__requeue(from, to, 0, 1, 0)) == 0)
            cpu_relax();
        MODEL_CHECK(weft__wake(to, 1, 0) == 1);
    }
}

/* While it is moved, a sleeper's deadline strikes: it looks for itself in the table. */
static void requeue_to(uint32_t *to, unsigned i)
{
    uint32_t *from = model_word(0);
    if (i == 0) {
        slept_well[0] = weft__park(from, 0, MODEL_SOMETIME, 0, "test") == 0;
    } else {
        woken[1] = weft__requeue(from, to, 0, 1, 0);
        weft__wake(to, 1, 0);
    }
}

static void requeue_against_deadline(unsigned i)
{
    requeue_to(model_word(1), i);
}

static void requeue_away_against_deadline(unsigned i)
{
    requeue_to(model_word(8), i);
}

static void nobody_left(void)
{
    exact_final();
    for (unsigned i = 0; i < 2; i++)
        MODEL_CHECK(weft__words.buckets[i].lock == 0 && weft__words.buckets[i].heads == NULL);
}

const model_case park_cases[] = {
    {"park_one_sleeper", 2, reset, one_sleeper, nothing, MODEL_EXACT},
    {"park_two_sleepers", 3, reset, two_sleepers, nothing, MODEL_EXACT},
    {"park_two_words", 3, reset, two_words, nothing, MODEL_EXACT, .share = 2},
    {"park_wakes_are_exact_1_1", 2, reset, one_exact, exact_final, MODEL_EXACT},
    {"park_wakes_are_exact_1_2", 3, reset, one_exact, exact_final, MODEL_EXACT},
    {"park_wakes_are_exact_2_1", 3, reset, exact, exact_final, MODEL_EXACT, .share = 2},
    {"park_wakes_are_exact_2_2", 4, reset, exact, exact_final, 2, .share = 2},
    {"park_prepared_is_findable", 2, reset, prepared, exact_final, MODEL_EXACT},
    {"park_unprepared_tells_of_a_wake", 3, reset, unprepared, exact_final, MODEL_EXACT},
    {"park_any_wakes_are_exact", 3, reset, any_of_two, nobody_left, MODEL_EXACT, .share = 2},
    {"park_any_sees_all", 3, reset, any_sees_all, nothing, 3, .share = 2},
    {"park_any_passes_wakes_by", 3, reset, any_passes_by, exact_final, 3, .share = 2},
    {"park_requeue_counts_apart", 2, reset, requeue_between_buckets, nobody_left, 3},
    {"park_requeue_against_deadline", 2, reset, requeue_against_deadline, nobody_left, MODEL_EXACT},
    {"park_requeue_away_against_deadline", 2, reset, requeue_away_against_deadline, nobody_left, MODEL_EXACT},
    {"park_requeue_counts", 3, reset, requeue_all, even_final, 3, .share = 2},
    {"park_requeue_wakes_one_moves_one", 3, reset, requeue_one_of_two, even_final, 3, .share = 2},
    {"park_requeued_are_reached", 3, reset, requeue_then_wake, nothing, 3, .share = 2},
    {NULL},
};
