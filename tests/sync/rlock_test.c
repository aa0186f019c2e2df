/* weft_rlock: numbers 19 to 26 of the lock semantics; S000-28, S000-29. */
#include "harness/harness.h"

#include "park/park.h"

#include <weft/co.h>
#include <weft/lock.h>

#include <errno.h>
#include <signal.h>
#include <unistd.h>

typedef struct shared {
    weft_rlock l;
    uint32_t count, rounds;
} shared;

static shared *new_shared(test *t)
{
    shared *s = test_alloc(t, sizeof *s);
    CHECK_OK(weft_rlock_init(&s->l, test_flags(t)));
    return s;
}

static int is_shut_out(void *arg)
{
    shared *s = arg;
    CHECK_INT(0, weft_rlock_depth(&s->l)); /* 21: whatever its owner does */
    CHECK_ERR(-ETIMEDOUT, weft_rlock_acquire_until(&s->l, WEFT_NOW));
    return 0;
}

static int may_enter(void *arg)
{
    shared *s = arg;
    CHECK_OK(weft_rlock_acquire_until(&s->l, WEFT_NOW));
    weft_rlock_release(&s->l);
    return 0;
}

TEST_IN(THREAD | CO | PROCESS, rlock_is_free_for_others_after_the_last_release) /* 19, 21, 22, 23 S000-28 S003-06 */
{
    shared *s = new_shared(t);
    for (uint32_t n = 1; n <= 3; n++) {
        CHECK_OK(weft_rlock_acquire_until(&s->l, WEFT_NOW));
        CHECK_INT(n, weft_rlock_depth(&s->l));
    }
    for (uint32_t n = 3; n >= 1; n--) {
        test_spawn(t, is_shut_out, s);
        test_join(t);
        weft_rlock_release(&s->l);
        CHECK_INT(n - 1, weft_rlock_depth(&s->l));
    }
    test_spawn(t, may_enter, s);
    test_join(t);
}

TEST_PANICS(rlock_released_when_free_panics, "not held by its caller") /* 20 */
{
    weft_rlock l = WEFT_RLOCK_INIT;
    weft_rlock_release(&l);
}

static int release_anothers(void *arg)
{
    weft_rlock_release(arg);
    return 0;
}

TEST_PANICS(rlock_released_by_another_panics, "not held by its caller") /* 20, 25 */
{
    static weft_rlock l;
    weft_rlock_acquire(&l);
    weft_co *co;
    CHECK_OK(weft_co_start(&co, release_anothers, &l, NULL));
    weft_co_join(co, NULL, WEFT_FOREVER);
}

TEST(rlock_depth_does_not_wrap) /* 26 */
{
    weft_rlock l = WEFT_RLOCK_INIT;
    weft_rlock_acquire(&l);
    l.depth = UINT32_MAX;
    CHECK_ERR(-EOVERFLOW, weft_rlock_acquire_until(&l, WEFT_NOW));
    CHECK_INT(UINT32_MAX, weft_rlock_depth(&l));
}

static int nest(void *arg)
{
    shared *s = arg;
    for (uint32_t i = 0; i < s->rounds; i++) {
        WEFT_WITH_RLOCK (&s->l) {
            WEFT_WITH_RLOCK (&s->l) {
                s->count++;
            }
        }
    }
    return 0;
}

TEST_IN_LIMIT(60, THREAD | CO | PROCESS, rlock_excludes) /* S000-29 S000-34 */
{
    shared *s = new_shared(t);
    s->rounds = (uint32_t)test_rounds(10000, 1000000);
    for (int i = 0; i < 5; i++)
        test_spawn(t, nest, s);
    test_join(t);
    CHECK_INT(5 * s->rounds, s->count);
}

static int die_inside(void *arg)
{
    shared *s = arg;
    weft_rlock_acquire(&s->l);
    weft_rlock_acquire(&s->l);
    kill(getpid(), SIGKILL);
    return 0;
}

TEST_IN(PROCESS, rlock_of_a_dead_process_comes_with_eownerdead_and_depth_one)
{
    shared *s = new_shared(t);
    CHECK_INT(TEST_KILLED(SIGKILL), test_result(t, test_spawn(t, die_inside, s)));
    CHECK_ERR(-EOWNERDEAD, weft_rlock_acquire_until(&s->l, weft_in_seconds(25)));
    CHECK_INT(1, weft_rlock_depth(&s->l));
    CHECK_OK(weft_rlock_recover(&s->l));
    weft_rlock_release(&s->l);
    CHECK_INT(0, weft_rlock_depth(&s->l));
}

/* The main threads of two processes have the same id. While another thread of this process takes the lock over, what
 * the dead owner left must not make this thread believe that it is the owner. */
TEST_IN(PROCESS, rlock_of_a_dead_owner_is_not_taken_for_ones_own)
{
    shared *s = new_shared(t);
    int dead = test_spawn(t, die_inside, s);
    CHECK_INT(TEST_KILLED(SIGKILL), test_result(t, dead));
    store_relaxed(&s->l.lock.word, weft__process()); /* the other thread's first step */
    CHECK_INT(0, weft_rlock_depth(&s->l));
    CHECK_ERR(-ETIMEDOUT, weft_rlock_acquire_until(&s->l, WEFT_NOW));
}
