/* weft_sem: numbers 45 to 54 of the lock semantics. */
#include "harness/harness.h"

#include "park/park.h"

#include <weft/co.h>
#include <weft/sem.h>

#include <errno.h>

typedef struct shared {
    weft_sem s;
    uint32_t through, stop; /* atomic */
    uint32_t taken, given;  /* atomic */
} shared;

static shared *new_shared(test *t, int units, unsigned flags)
{
    shared *s = test_alloc(t, sizeof *s);
    CHECK_OK(weft_sem_init(&s->s, units, flags | test_flags(t)));
    return s;
}

TEST(sem_refuses_negative_units_and_unknown_flags) /* 45 */
{
    weft_sem s;
    CHECK_ERR(-EINVAL, weft_sem_init(&s, -1, 0));
    CHECK_ERR(-EINVAL, weft_sem_init(&s, 1, 0x80));
}

TEST_IN(THREAD | CO | PROCESS, sem_acquire_takes_one_or_times_out) /* 46, 51 */
{
    shared *s = new_shared(t, 1, 0);
    CHECK_OK(weft_sem_acquire(&s->s, WEFT_NOW));
    CHECK_INT(0, weft_sem_value(&s->s));
    CHECK_ERR(-ETIMEDOUT, weft_sem_acquire(&s->s, WEFT_NOW));
    int64_t start = weft_now();
    CHECK_ERR(-ETIMEDOUT, weft_sem_acquire(&s->s, weft_in_ms(120)));
    CHECK(weft_now() - start >= 120 * WEFT_MS);
    CHECK_OK(weft_sem_release(&s->s, 1));
    CHECK_INT(1, weft_sem_value(&s->s));
    CHECK_OK(weft_sem_acquire(&s->s, weft_in_seconds(25)));
}

static int acquire_twice(void *arg)
{
    shared *s = arg;
    for (int i = 0; i < 2; i++) {
        CHECK_OK(weft_sem_acquire(&s->s, WEFT_FOREVER));
        add_acq_rel(&s->through, 1);
    }
    return 0;
}

static void wait_for_count(uint32_t *count, uint32_t n)
{
    while (load_acquire(count) != n)
        weft_yield();
}

TEST_IN(THREAD | CO | PROCESS, sem_lets_as_many_through_as_it_has_units) /* 47, 48 S003-08 */
{
    shared *s = new_shared(t, 7, 0);
    for (int i = 0; i < 10; i++)
        test_spawn(t, acquire_twice, s);
    wait_for_count(&s->through, 7);
    static const int gives[] = {1, 3, 9};
    uint32_t expected = 7;
    for (size_t i = 0; i < 3; i++) {
        CHECK_INT(expected, load_acquire(&s->through));
        CHECK_OK(weft_sem_release(&s->s, gives[i]));
        expected += (uint32_t)gives[i];
        wait_for_count(&s->through, expected);
    }
    test_join(t);
    CHECK_INT(0, weft_sem_value(&s->s));
}

TEST(sem_release_of_less_than_one_changes_nothing) /* 48 */
{
    weft_sem s = WEFT_SEM_INIT(2);
    CHECK_ERR(-EINVAL, weft_sem_release(&s, 0));
    CHECK_ERR(-EINVAL, weft_sem_release(&s, -1));
    CHECK_INT(2, weft_sem_value(&s));
}

TEST(sem_unbounded_grows_to_its_maximum_and_no_further) /* 49 */
{
    weft_sem s = WEFT_SEM_INIT(1);
    CHECK_OK(weft_sem_release(&s, WEFT_SEM_MAX - 1));
    CHECK_INT(WEFT_SEM_MAX, weft_sem_value(&s));
    CHECK_ERR(-EOVERFLOW, weft_sem_release(&s, 1));
    CHECK_INT(WEFT_SEM_MAX, weft_sem_value(&s));
}

TEST(sem_bounded_refuses_more_than_at_first) /* 50 */
{
    weft_sem s;
    CHECK_OK(weft_sem_init(&s, 3, WEFT_BOUNDED));
    CHECK_ERR(-EOVERFLOW, weft_sem_release(&s, 1));
    CHECK_OK(weft_sem_acquire(&s, WEFT_NOW));
    CHECK_ERR(-EOVERFLOW, weft_sem_release(&s, 2));
    CHECK_INT(2, weft_sem_value(&s));
    CHECK_OK(weft_sem_release(&s, 1));
}

static int take_with_deadlines(void *arg)
{
    shared *s = arg;
    while (load_acquire(&s->stop) == 0)
        if (weft_sem_acquire(&s->s, weft_in(20 * WEFT_US)) == 0)
            add_acq_rel(&s->taken, 1);
    return 0;
}

TEST_IN_LIMIT(60, THREAD | CO | PROCESS, sem_waiter_that_times_out_keeps_no_unit) /* 52, 54 */
{
    shared *s = new_shared(t, 0, 0);
    for (int i = 0; i < 4; i++)
        test_spawn(t, take_with_deadlines, s);
    uint32_t rounds = (uint32_t)test_rounds(3000, 100000);
    for (uint32_t i = 0; i < rounds; i++) {
        CHECK_OK(weft_sem_release(&s->s, 1));
        if (i % 16 == 0)
            weft_sleep(weft_in(10 * WEFT_US));
    }
    while (weft_sem_value(&s->s) > 0)
        weft_yield();
    store_release(&s->stop, 1);
    test_join(t);
    CHECK_INT(rounds, s->taken + (uint32_t)weft_sem_value(&s->s));
}

static int take_all(void *arg)
{
    shared *s = arg;
    for (int i = 0; i < 500; i++)
        CHECK_OK(weft_sem_acquire(&s->s, WEFT_FOREVER));
    return 0;
}

static int give_all(void *arg)
{
    shared *s = arg;
    for (int i = 0; i < 500; i++)
        CHECK_OK(weft_sem_release(&s->s, 1));
    return 0;
}

TEST_IN_LIMIT(60, THREAD | CO | PROCESS, sem_nobody_sleeps_while_units_lie_there) /* 54 */
{
    shared *s = new_shared(t, 0, 0);
    for (int i = 0; i < 4; i++) {
        test_spawn(t, take_all, s);
        test_spawn(t, give_all, s);
    }
    test_join(t);
    CHECK_INT(0, weft_sem_value(&s->s));
}
