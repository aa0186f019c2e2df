/* weft_barrier: numbers 55 to 65 of the lock semantics. */
#include "harness/harness.h"

#include "base/atomic.h"

#include <weft/barrier.h>
#include <weft/co.h>

#include <errno.h>
#include <signal.h>

typedef struct shared {
    weft_barrier b;
    uint32_t arrived[64]; /* atomic: parties that have come to round i */
    uint32_t indices[64]; /* atomic: set of the indices handed out in round i */
    uint32_t rounds, parties, actions, broken, timed_out;
    int64_t wait_ms;
    uint32_t sum;
} shared;

static int count_action(void *arg)
{
    ((shared *)arg)->actions++;
    return 0;
}

static shared *new_shared(test *t, unsigned parties)
{
    shared *s = test_alloc(t, sizeof *s);
    s->parties = parties;
    s->wait_ms = 25000;
    CHECK_OK(weft_barrier_init(&s->b, parties, &(weft_barrier_options){.flags = test_flags(t)}));
    return s;
}

TEST(barrier_needs_a_party) /* 55 */
{
    weft_barrier b;
    CHECK_ERR(-EINVAL, weft_barrier_init(&b, 0, NULL));
    CHECK_OK(weft_barrier_init(&b, 1, NULL));
    for (int i = 0; i < 3; i++)
        CHECK_INT(0, weft_barrier_wait(&b, WEFT_NOW));
    weft_barrier_destroy(&b);
}

static int go_rounds(void *arg)
{
    shared *s = arg;
    for (uint32_t r = 0; r < s->rounds; r++) {
        add_acq_rel(&s->arrived[r % 64], 1);
        int index = weft_barrier_wait(&s->b, WEFT_FOREVER);
        CHECK_BETWEEN(0, s->parties - 1, index);
        CHECK_INT(s->parties, load_acquire(&s->arrived[r % 64]));
        CHECK_INT(0, or_acq_rel(&s->indices[r % 64], 1u << index) >> index & 1);
    }
    return 0;
}

TEST_IN_LIMIT(60, THREAD | CO | PROCESS, barrier_parties_pass_in_lockstep) /* 56, 57 */
{
    shared *s = new_shared(t, 5);
    s->rounds = 50;
    for (int i = 0; i < 5; i++)
        test_spawn(t, go_rounds, s);
    test_join(t);
    for (int r = 0; r < 50; r++)
        CHECK_INT(31, s->indices[r]);
    CHECK_INT(0, weft_barrier_waiting(&s->b)); /* 64 */
    CHECK_INT(0, weft_barrier_broken(&s->b));
}

static int one_round(void *arg)
{
    shared *s = arg;
    int r = weft_barrier_wait(&s->b, weft_in_ms(s->wait_ms));
    if (r == -EPIPE)
        add_acq_rel(&s->broken, 1);
    if (r == -ETIMEDOUT)
        add_acq_rel(&s->timed_out, 1);
    return 0;
}

TEST_IN(THREAD | CO | PROCESS, barrier_action_runs_once_a_round) /* 58 */
{
    shared *s = new_shared(t, 3);
    weft_barrier_options options = {.flags = test_flags(t), .action = count_action, .arg = s};
    CHECK_OK(weft_barrier_init(&s->b, 3, &options));
    for (uint32_t round = 1; round <= 10; round++) {
        for (int i = 0; i < 3; i++)
            test_spawn(t, one_round, s);
        test_join(t);
        CHECK_INT(round, s->actions);
    }
    CHECK_INT(0, s->broken);
}

static int fail_action(void *arg)
{
    (void)arg;
    return -EIO;
}

static int expect_failure(void *arg)
{
    shared *s = arg;
    int r = weft_barrier_wait(&s->b, weft_in_ms(s->wait_ms));
    CHECK(r == -EIO || r == -EPIPE);
    add_acq_rel(r == -EIO ? &s->timed_out : &s->broken, 1);
    return 0;
}

TEST_IN(THREAD | CO | PROCESS, barrier_is_broken_by_an_action_that_fails) /* 59 */
{
    shared *s = new_shared(t, 3);
    weft_barrier_options options = {.flags = test_flags(t), .action = fail_action};
    CHECK_OK(weft_barrier_init(&s->b, 3, &options));
    for (int i = 0; i < 3; i++)
        test_spawn(t, expect_failure, s);
    test_join(t);
    CHECK_INT(1, s->timed_out);
    CHECK_INT(2, s->broken);
    CHECK_INT(1, weft_barrier_broken(&s->b));
}

static void wait_for_waiting(shared *s, unsigned n)
{
    while (weft_barrier_waiting(&s->b) < n)
        weft_yield();
}

TEST_IN(THREAD | CO | PROCESS, barrier_abort_breaks_it_until_reset) /* 60, 62 */
{
    shared *s = new_shared(t, 3);
    for (int i = 0; i < 2; i++)
        test_spawn(t, one_round, s);
    wait_for_waiting(s, 2);
    weft_barrier_abort(&s->b);
    test_join(t);
    CHECK_INT(2, s->broken);
    CHECK_ERR(-EPIPE, weft_barrier_wait(&s->b, WEFT_FOREVER));
    weft_barrier_reset(&s->b);
    CHECK_INT(0, weft_barrier_broken(&s->b));
    s->rounds = 5;
    for (int i = 0; i < 3; i++)
        test_spawn(t, go_rounds, s);
    test_join(t);
}

TEST_IN(THREAD | CO | PROCESS, barrier_reset_fails_present_waiters_only) /* 61 */
{
    shared *s = new_shared(t, 3);
    for (int i = 0; i < 2; i++)
        test_spawn(t, one_round, s);
    wait_for_waiting(s, 2);
    weft_barrier_reset(&s->b);
    test_join(t);
    CHECK_INT(2, s->broken);
    s->rounds = 5;
    for (int i = 0; i < 3; i++)
        test_spawn(t, go_rounds, s);
    test_join(t);
}

TEST_IN(THREAD | CO | PROCESS, barrier_is_broken_for_all_by_one_deadline) /* 63 */
{
    shared *s = new_shared(t, 3);
    s->wait_ms = 25000;
    test_spawn(t, one_round, s);
    wait_for_waiting(s, 1);
    CHECK_ERR(-ETIMEDOUT, weft_barrier_wait(&s->b, weft_in_ms(20)));
    test_join(t);
    CHECK_INT(1, s->broken);
    CHECK_INT(1, weft_barrier_broken(&s->b));
}

TEST_IN(THREAD | CO, barrier_has_a_time_out_of_its_own) /* 63 */
{
    shared *s = new_shared(t, 2);
    CHECK_OK(weft_barrier_init(&s->b, 2, &(weft_barrier_options){.timeout_ns = 20 * WEFT_MS}));
    CHECK_ERR(-ETIMEDOUT, weft_barrier_wait(&s->b, WEFT_FOREVER));
}

static int add_up(void *arg)
{
    shared *s = arg;
    for (uint32_t r = 0; r < s->rounds; r++) {
        add_acq_rel(&s->sum, 1);
        CHECK(weft_barrier_wait(&s->b, WEFT_FOREVER) >= 0);
        CHECK_INT(2 * (r + 1), load_acquire(&s->sum));
        CHECK(weft_barrier_wait(&s->b, WEFT_FOREVER) >= 0);
    }
    return 0;
}

TEST_IN_LIMIT(60, THREAD | CO | PROCESS, barrier_keeps_sums_right_over_a_thousand_rounds) /* 65 */
{
    shared *s = new_shared(t, 2);
    s->rounds = 1000;
    test_spawn(t, add_up, s);
    test_spawn(t, add_up, s);
    test_join(t);
}

/* ---- death ---- */

static int wait_with_deadline(void *arg)
{
    int r = weft_barrier_wait(arg, weft_in_seconds(25));
    return r < 0 ? r : 0;
}

/* A party that died waiting stays in the count: it completes a round with others and never leaves. A reset helps. */
TEST_IN(PROCESS, barrier_is_whole_again_by_a_reset_after_a_party_died)
{
    weft_barrier *b = test_alloc(t, sizeof *b);
    CHECK_OK(weft_barrier_init(b, 2, &(weft_barrier_options){.flags = WEFT_SHARED}));
    for (int round = 0; round < 3; round++) {
        int dead = test_spawn(t, wait_with_deadline, b);
        test_wait_until_asleep(t, &b->changed.seq, 1);
        kill(test_pid(t, dead), SIGKILL);
        CHECK_INT(TEST_KILLED(SIGKILL), test_result(t, dead));
        if (round == 1)
            CHECK_ERR(-EPIPE, (weft_barrier_abort(b), weft_barrier_wait(b, WEFT_FOREVER)));
        else
            CHECK_INT(1, weft_barrier_wait(b, weft_in_seconds(25))); /* with the dead one */
        if (round == 2)
            CHECK_ERR(-ETIMEDOUT, weft_barrier_wait(b, weft_in_ms(20)));
        weft_barrier_reset(b);
        int alive = test_spawn(t, wait_with_deadline, b);
        CHECK(weft_barrier_wait(b, weft_in_seconds(25)) >= 0);
        CHECK_OK(test_result(t, alive));
    }
}
