/* The word table: park and wake, prepare and commit, several words at once, requeue; by threads and by coroutines. */
#include "harness/harness.h"

#include "park/park.h"
#include "sys/sys.h"

#include <weft/co.h>

#include <errno.h>
#include <sched.h>

typedef struct sleeper {
    const uint32_t *word;
    uint32_t expected;
    int64_t until;
    uint32_t *order; /* atomic: how many have come through */
    uint32_t place;
    int result;
} sleeper;

static int sleep_once(void *arg)
{
    sleeper *s = arg;
    s->result = weft__park(s->word, s->expected, (weft_until){s->until}, 0, "test");
    s->place = add_seq_cst(s->order, 1);
    return 0;
}

/* n sleepers on the word, asleep one after the other. */
static sleeper *asleep(test *t, const uint32_t *word, unsigned n)
{
    sleeper *s = test_alloc(t, n * sizeof *s);
    uint32_t *order = test_alloc(t, sizeof *order);
    unsigned before = weft__sleepers(word);
    for (unsigned i = 0; i < n; i++) {
        s[i] = (sleeper){.word = word, .until = INT64_MAX, .order = order};
        test_spawn(t, sleep_once, &s[i]);
        test_wait_until_asleep(t, word, before + i + 1);
    }
    return s;
}

TEST_IN(THREAD | CO, park_returns_at_once_when_the_word_differs)
{
    static uint32_t word = 5;
    CHECK_OK(weft__park(&word, 4, WEFT_FOREVER, 0, "test"));
    CHECK_OK(weft__park(&word, 4, WEFT_NOW, 0, "test"));
    CHECK_INT(0, weft__sleepers(&word));
    CHECK_INT(0, weft__wake(&word, 1, 0));
}

TEST_IN(THREAD | CO, wake_takes_the_oldest_and_no_more_than_asked)
{
    uint32_t *word = test_alloc(t, sizeof *word);
    sleeper *s = asleep(t, word, 6);
    CHECK_INT(0, weft__wake(word, 0, 0));
    for (uint32_t i = 0; i < 2; i++) { /* one by one: in their order */
        CHECK_INT(1, weft__wake(word, 1, 0));
        CHECK_INT(0, test_result(t, (int)i));
        CHECK_INT(i, s[i].place);
        CHECK_OK(s[i].result);
    }
    CHECK_INT(4, weft__sleepers(word));
    CHECK_INT(3, weft__wake(word, 3, 0));
    for (int i = 2; i < 5; i++)
        CHECK_INT(0, test_result(t, i));
    CHECK_INT(1, weft__sleepers(word));
    CHECK_INT(1, weft__wake(word, UINT32_MAX, 0));
    CHECK_INT(0, weft__wake(word, UINT32_MAX, 0));
}

/* Enough words that many share a bucket with others, asleep and awake in every order. */
TEST_IN(THREAD | CO, wake_of_a_word_leaves_its_neighbours_alone)
{
    enum {
        WORDS = 60
    };
    uint32_t *words = test_alloc(t, WORDS * sizeof *words);
    sleeper *s[WORDS];
    for (int i = 0; i < WORDS; i++)
        s[i] = asleep(t, &words[i], 2);
    for (int k = 0; k < WORDS; k++) {
        int i = k * 7 % WORDS;
        CHECK_INT(1, weft__wake(&words[i], 1, 0));
        CHECK_INT(0, test_result(t, 2 * i));
        CHECK_INT(1, weft__sleepers(&words[i]));
        CHECK_OK(s[i][0].result);
    }
    for (int i = WORDS; i-- > 0;)
        CHECK_INT(1, weft__wake(&words[i], 9, 0));
}

/* Sleeps that end by a wake and wakes that were spent: the same number, whatever the deadlines do. */
typedef struct exact {
    uint32_t word, sleeps, spent, done; /* atomic */
    uint32_t rounds;
} exact;

static int sleep_many(void *arg)
{
    exact *e = arg;
    for (uint32_t i = 0; i < e->rounds; i++)
        if (weft__park(&e->word, 0, weft_in(i % 5 * 20 * WEFT_US), 0, "test") == 0)
            add_relaxed(&e->sleeps, 1);
    add_seq_cst(&e->done, 1);
    return 0;
}

TEST_IN_LIMIT(60, THREAD | CO, wakes_are_spent_on_those_who_report_them)
{
    exact *e = test_alloc(t, sizeof *e);
    e->rounds = (uint32_t)test_rounds(2000, 100000);
    for (int i = 0; i < 4; i++)
        test_spawn(t, sleep_many, e);
    while (load_seq_cst(&e->done) < 4) {
        e->spent += (uint32_t)weft__wake(&e->word, 1 + e->spent % 2, 0);
        weft_yield();
    }
    test_join(t);
    CHECK_INT(e->spent, e->sleeps);
    CHECK_INT(0, weft__sleepers(&e->word));
}

static uint32_t ball[2];

static int play(void *arg)
{
    unsigned me = *(unsigned *)arg;
    for (uint32_t i = 0; i < 5000; i++) {
        while (load_acquire(&ball[me]) == 0)
            CHECK_OK(weft__park(&ball[me], 0, WEFT_FOREVER, 0, "test"));
        store_relaxed(&ball[me], 0);
        store_seq_cst(&ball[1 - me], 1);
        weft__wake(&ball[1 - me], 1, 0);
    }
    return 0;
}

TEST_IN_LIMIT(60, THREAD | CO, wake_is_never_lost_in_a_long_game)
{
    static unsigned side[2] = {0, 1};
    store_seq_cst(&ball[0], 1);
    for (int i = 0; i < 2; i++)
        test_spawn(t, play, &side[i]);
}

/* A coroutine and a thread wake each other. */
static int play_co(void *arg)
{
    return play(arg);
}

TEST_LIMIT(60, wake_goes_between_threads_and_coroutines)
{
    static unsigned side[2] = {0, 1};
    weft_co *co;
    store_seq_cst(&ball[0], 1);
    CHECK_OK(weft_co_start(&co, play_co, &side[1], NULL));
    CHECK_OK(play(&side[0]));
    CHECK_OK(weft_co_join(co, NULL, WEFT_FOREVER));
}

/* ---- prepare and commit ---- */

static int wake_one(void *arg)
{
    return weft__wake(arg, 1, 0) == 1 ? 0 : -ENOENT;
}

TEST_IN(THREAD | CO, prepared_sleeper_counts_for_every_later_wake)
{
    uint32_t *word = test_alloc(t, sizeof *word);
    weft__parking p;
    CHECK_INT(1, weft__park_prepare(&p, word, 1, 0, "test"));
    CHECK_INT(0, weft__sleepers(word));
    CHECK_INT(0, weft__park_prepare(&p, word, 0, 0, "test"));
    CHECK_INT(1, weft__sleepers(word));
    CHECK_INT(1, weft__wake(word, 1, 0)); /* its own, before it sleeps */
    CHECK_OK(weft__park_commit(&p, WEFT_FOREVER));
    CHECK_INT(0, weft__park_prepare(&p, word, 0, 0, "test"));
    test_spawn(t, wake_one, word);
    CHECK_OK(weft__park_commit(&p, WEFT_FOREVER));
    CHECK_INT(0, weft__park_prepare(&p, word, 0, 0, "test"));
    CHECK_ERR(-ETIMEDOUT, weft__park_commit(&p, weft_in_ms(2)));
    CHECK_INT(0, weft__park_prepare(&p, word, 0, 0, "test"));
    store_seq_cst(word, 1); /* a change without a wake does not concern one that stands in the queue */
    CHECK_ERR(-ETIMEDOUT, weft__park_commit(&p, WEFT_NOW));
    CHECK_INT(0, weft__sleepers(word));
}

TEST_IN(THREAD | CO, unprepare_tells_whether_a_wake_was_spent)
{
    uint32_t *word = test_alloc(t, sizeof *word);
    weft__parking p;
    CHECK_INT(0, weft__park_prepare(&p, word, 0, 0, "test"));
    CHECK_INT(0, weft__park_unprepare(&p));
    CHECK_INT(0, weft__wake(word, 1, 0));
    CHECK_INT(0, weft__park_prepare(&p, word, 0, 0, "test"));
    CHECK_INT(1, weft__wake(word, 1, 0));
    CHECK_INT(1, weft__park_unprepare(&p));
    CHECK_INT(0, weft__park_prepare(&p, word, 0, 0, "test"));
    uint32_t *other = test_alloc(t, sizeof *other);
    CHECK_INT(1, weft__requeue(word, other, 0, 1, 0)); /* a move is a notification, too */
    CHECK_INT(1, weft__park_unprepare(&p));
    CHECK_INT(0, weft__sleepers(other));
    weft__waiter *self = weft__self();
    CHECK_INT(0, weft__park_prepare(&p, word, 0, 0, "test"));
    weft__waiter_cancel(self);
    CHECK_INT(0, weft__park_unprepare(&p));
    store_seq_cst(&self->cancel, 0);
}

/* ---- several at once ---- */

typedef struct any {
    uint32_t *words;
    unsigned n;
    int result;
} any;

static int sleep_on_all(void *arg)
{
    any *a = arg;
    weft__case cases[8] = {{0}};
    for (unsigned i = 0; i < a->n; i++)
        cases[i] = (weft__case){.word = &a->words[i], .what = "test"};
    a->result = weft__park_any(cases, a->n, weft_in_seconds(8), 0);
    return 0;
}

TEST_IN(THREAD | CO, park_any_is_woken_by_each_of_its_words)
{
    uint32_t *words = test_alloc(t, 8 * sizeof *words);
    for (int i = 0; i < 8; i++) {
        any *a = test_alloc(t, sizeof *a);
        *a = (any){words, 8, -1};
        int w = test_spawn(t, sleep_on_all, a);
        test_wait_until_asleep(t, &words[7], 1);
        CHECK_INT(1, weft__wake(&words[i], 1, 0));
        CHECK_INT(0, weft__wake(&words[7 - i], 1, 0)); /* decided: it does not take another's wake */
        CHECK_INT(0, test_result(t, w));
        CHECK_INT(i, a->result);
        for (int k = 0; k < 8; k++)
            CHECK_INT(0, weft__sleepers(&words[k]));
    }
}

TEST_IN(THREAD | CO, park_any_passes_by_one_that_is_woken_for_another)
{
    uint32_t *words = test_alloc(t, 2 * sizeof *words);
    any *a = test_alloc(t, sizeof *a);
    *a = (any){words, 2, -1};
    int first = test_spawn(t, sleep_on_all, a);
    test_wait_until_asleep(t, &words[1], 1);
    sleeper *s = asleep(t, &words[1], 1); /* behind it */
    CHECK_INT(1, weft__wake(&words[0], 1, 0));
    CHECK_INT(1, weft__wake(&words[1], 1, 0)); /* the second's, wherever the first is */
    CHECK_INT(0, test_result(t, first));
    test_join(t);
    CHECK_INT(0, a->result);
    CHECK_OK(s->result);
}

TEST_IN(THREAD | CO, park_any_tells_the_lowest_that_differs_and_leaves_every_queue)
{
    uint32_t *words = test_alloc(t, 3 * sizeof *words);
    weft__case cases[3] = {{.word = &words[0]}, {.word = &words[1]}, {.word = &words[2]}};
    words[1] = words[2] = 1;
    CHECK_INT(1, weft__park_any(cases, 3, WEFT_FOREVER, 0));
    words[1] = words[2] = 0;
    CHECK_ERR(-ETIMEDOUT, weft__park_any(cases, 3, WEFT_NOW, 0));
    CHECK_ERR(-ETIMEDOUT, weft__park_any(cases, 3, weft_in_ms(2), 0));
    CHECK_ERR(-ETIMEDOUT, weft__park_any(NULL, 0, weft_in_ms(2), 0)); /* of nothing: a plain sleep */
    cases[2].word = &words[0];                                        /* the same word twice */
    CHECK_ERR(-ETIMEDOUT, weft__park_any(cases, 3, weft_in_ms(2), 0));
    weft__waiter_cancel(weft__self());
    CHECK_ERR(-ECANCELED, weft__park_any(cases, 3, WEFT_FOREVER, 0));
    CHECK_ERR(-ETIMEDOUT, weft__park_any(cases, 3, weft_in_ms(2), WEFT__UNCANCELLABLE));
    store_seq_cst(&weft__self()->cancel, 0);
    for (int i = 0; i < 3; i++)
        CHECK_INT(0, weft__sleepers(&words[i]));
}

static uint32_t thousand[WEFT__CASES_MAX + 1];
static weft__case thousand_cases[WEFT__CASES_MAX + 1];

static int sleep_on_a_thousand(void *arg)
{
    *(int *)arg = weft__park_any(thousand_cases, WEFT__CASES_MAX, weft_in_seconds(8), 0);
    return 0;
}

TEST_IN(THREAD | CO, park_any_takes_a_thousand_words)
{
    for (unsigned i = 0; i <= WEFT__CASES_MAX; i++)
        thousand_cases[i] = (weft__case){.word = &thousand[i], .what = "test"};
    CHECK_ERR(-EINVAL, weft__park_any(thousand_cases, WEFT__CASES_MAX + 1, WEFT_NOW, 0));
    const int wakes[] = {0, 511, WEFT__CASES_MAX - 1};
    int *result = test_alloc(t, sizeof *result);
    for (int i = 0; i < 3; i++) {
        int w = test_spawn(t, sleep_on_a_thousand, result);
        test_wait_until_asleep(t, &thousand[WEFT__CASES_MAX - 1], 1);
        CHECK_INT(1, weft__wake(&thousand[wakes[i]], 1, 0));
        CHECK_INT(0, test_result(t, w));
        CHECK_INT(wakes[i], *result);
    }
    for (unsigned i = 0; i < WEFT__CASES_MAX; i++)
        CHECK_INT(0, weft__sleepers(&thousand[i]));
}

/* ---- requeue ---- */

TEST_IN(THREAD | CO, requeue_wakes_some_moves_some_and_leaves_the_rest)
{
    uint32_t *words = test_alloc(t, 2 * sizeof *words);
    sleeper *s = asleep(t, &words[0], 5);
    CHECK_INT(4, weft__requeue(&words[0], &words[1], 1, 3, 0));
    CHECK_INT(0, test_result(t, 0));
    CHECK_INT(1, weft__sleepers(&words[0]));
    CHECK_INT(3, weft__sleepers(&words[1]));
    for (int i = 1; i < 4; i++) { /* in their order */
        CHECK_INT(1, weft__wake(&words[1], 1, 0));
        CHECK_INT(0, test_result(t, i));
        CHECK_INT(i, s[i].place);
    }
    CHECK_INT(1, weft__wake(&words[0], 9, 0));
    test_join(t);
    CHECK_INT(0, weft__requeue(&words[0], &words[1], 9, 9, 0));
    for (int i = 0; i < 5; i++)
        CHECK_OK(s[i].result);
}

TEST_IN(THREAD | CO, requeue_to_the_same_word_keeps_everybody)
{
    uint32_t *word = test_alloc(t, sizeof *word);
    asleep(t, word, 3);
    CHECK_INT(3, weft__requeue(word, word, 0, UINT32_MAX, 0));
    CHECK_INT(3, weft__sleepers(word));
    CHECK_INT(3, weft__requeue(word, word, 1, UINT32_MAX, 0));
    CHECK_INT(2, weft__wake(word, 9, 0));
}

TEST_IN(THREAD | CO, requeued_sleeper_whose_deadline_strikes_has_been_notified)
{
    uint32_t *words = test_alloc(t, 2 * sizeof *words);
    sleeper *s = test_alloc(t, sizeof *s);
    uint32_t *order = test_alloc(t, sizeof *order);
    *s = (sleeper){.word = &words[0], .until = weft_in_ms(100).at, .order = order};
    int w = test_spawn(t, sleep_once, s);
    while (weft__sleepers(&words[0]) == 0 && load_seq_cst(order) == 0)
        weft_yield();
    int moved = weft__requeue(&words[0], &words[1], 0, 1, 0);
    CHECK_INT(0, test_result(t, w));
    CHECK_ERR(moved == 1 ? 0 : -ETIMEDOUT, s->result);
    CHECK_INT(0, weft__sleepers(&words[0]) + weft__sleepers(&words[1]));
}

/* Sleepers whose deadlines strike while they are moved about among eight words. */
typedef struct moves {
    uint32_t words[8], done; /* atomic */
    uint32_t rounds;
    uint32_t notified, told; /* notified: the mover's; told: atomic */
} moves;

static int sleep_about(void *arg)
{
    moves *m = arg;
    for (uint32_t i = 0; i < m->rounds; i++)
        if (weft__park(&m->words[0], 0, weft_in(i % 7 * 10 * WEFT_US), 0, "test") == 0)
            add_relaxed(&m->told, 1);
    add_seq_cst(&m->done, 1);
    return 0;
}

TEST_IN_LIMIT(60, THREAD | CO, requeue_against_deadlines_counts_right)
{
    moves *m = test_alloc(t, sizeof *m);
    m->rounds = (uint32_t)test_rounds(2000, 100000);
    for (int i = 0; i < 4; i++)
        test_spawn(t, sleep_about, m);
    for (unsigned k = 1; load_seq_cst(&m->done) < 4; k++) {
        m->notified += (uint32_t)weft__requeue(&m->words[0], &m->words[1], k % 2, 3, 0);
        for (unsigned i = 1; i < 7; i++) /* on and on: they count once */
            weft__requeue(&m->words[i], &m->words[i + 1], 0, 2, 0);
        if (k % 8 == 0)
            weft__wake(&m->words[k / 8 % 7 + 1], 2, 0);
        weft_yield();
    }
    test_join(t);
    CHECK_INT(m->notified, m->told);
    for (int i = 0; i < 8; i++)
        CHECK_INT(0, weft__sleepers(&m->words[i]));
}
