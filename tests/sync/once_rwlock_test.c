/* weft_once and weft_rwlock. */
#include "harness/harness.h"

#include "park/park.h"

#include <weft/co.h>
#include <weft/once.h>
#include <weft/rwlock.h>

#include <errno.h>
#include <signal.h>
#include <unistd.h>

typedef struct shared {
    weft_once o;
    weft_rwlock l;
    uint32_t ran, fail_first, rounds; /* ran, readers: atomic */
    uint32_t readers, most_readers, value[2];
    uint32_t entered;
} shared;

static shared *new_shared(test *t)
{
    shared *s = test_alloc(t, sizeof *s);
    CHECK_OK(weft_once_init(&s->o, test_flags(t)));
    CHECK_OK(weft_rwlock_init(&s->l, test_flags(t)));
    return s;
}

/* ---- once ---- */

static int make(void *arg)
{
    shared *s = arg;
    uint32_t n = add_acq_rel(&s->ran, 1);
    weft_sleep(weft_in_ms(5)); /* others come while it runs */
    return n < s->fail_first ? -EIO : 0;
}

static int run_once(void *arg)
{
    shared *s = arg;
    int err = weft_once_run(&s->o, make, s, WEFT_FOREVER);
    CHECK(err == 0 || err == -EIO);
    if (err == 0)
        CHECK(weft_once_done(&s->o));
    return 0;
}

TEST_IN(THREAD | CO | PROCESS, once_runs_once_and_all_wait_for_it)
{
    shared *s = new_shared(t);
    for (int i = 0; i < 8; i++)
        test_spawn(t, run_once, s);
    test_join(t);
    CHECK_INT(1, s->ran);
}

TEST_IN(THREAD | CO | PROCESS, once_that_failed_is_tried_by_the_next)
{
    shared *s = new_shared(t);
    s->fail_first = 2;
    for (int i = 0; i < 8; i++)
        test_spawn(t, run_once, s);
    test_join(t);
    CHECK_INT(3, s->ran);
}

static int run_itself(void *arg)
{
    shared *s = arg;
    CHECK_ERR(-EDEADLK, weft_once_run(&s->o, make, s, WEFT_FOREVER));
    return 0;
}

TEST_IN(THREAD | CO, once_that_asks_for_itself_is_told)
{
    shared *s = new_shared(t);
    CHECK_OK(weft_once_run(&s->o, run_itself, s, WEFT_FOREVER));
}

static int die(void *arg)
{
    (void)arg;
    kill(getpid(), SIGKILL);
    return 0;
}

static int run_and_die(void *arg)
{
    return weft_once_run(&((shared *)arg)->o, die, NULL, WEFT_FOREVER);
}

TEST_IN(PROCESS, once_of_a_dead_process_is_run_by_another)
{
    shared *s = new_shared(t);
    CHECK_INT(TEST_KILLED(SIGKILL), test_result(t, test_spawn(t, run_and_die, s)));
    CHECK_OK(weft_once_run(&s->o, make, s, weft_in_seconds(25)));
    CHECK_INT(1, s->ran);
}

/* ---- rwlock ---- */

static int read_together(void *arg)
{
    shared *s = arg;
    weft_rwlock_acquire_read(&s->l);
    add_acq_rel(&s->readers, 1);
    while (load_acquire(&s->readers) < 3) /* ends only if three are inside at once */
        weft_yield();
    weft_rwlock_release_read(&s->l);
    return 0;
}

TEST_IN(THREAD | CO | PROCESS, rwlock_lets_readers_in_together)
{
    shared *s = new_shared(t);
    for (int i = 0; i < 3; i++)
        test_spawn(t, read_together, s);
    test_join(t);
    weft_rwlock_destroy(&s->l);
}

static int write_pairs(void *arg)
{
    shared *s = arg;
    for (uint32_t i = 0; i < s->rounds; i++) {
        weft_rwlock_acquire_write(&s->l);
        s->value[0]++;
        if (i % 8 == 0)
            weft_yield();
        s->value[1]++;
        weft_rwlock_release_write(&s->l);
    }
    return 0;
}

static int read_pairs(void *arg)
{
    shared *s = arg;
    for (uint32_t i = 0; i < s->rounds; i++) {
        weft_rwlock_acquire_read(&s->l);
        uint32_t first = s->value[0];
        if (i % 8 == 0)
            weft_yield();
        CHECK_INT(first, s->value[1]);
        weft_rwlock_release_read(&s->l);
    }
    return 0;
}

TEST_IN_LIMIT(60, THREAD | CO | PROCESS, rwlock_writers_are_alone)
{
    shared *s = new_shared(t);
    s->rounds = (uint32_t)test_rounds(1000, 100000);
    for (int i = 0; i < 3; i++)
        test_spawn(t, read_pairs, s);
    for (int i = 0; i < 2; i++)
        test_spawn(t, write_pairs, s);
    test_join(t);
    CHECK_INT(2 * s->rounds, s->value[0]);
}

TEST_IN(THREAD | CO | PROCESS, rwlock_times_out)
{
    shared *s = new_shared(t);
    weft_rwlock_acquire_read(&s->l);
    CHECK_OK(weft_rwlock_acquire_read_until(&s->l, WEFT_NOW));
    CHECK_ERR(-ETIMEDOUT, weft_rwlock_acquire_write_until(&s->l, weft_in_ms(20)));
    CHECK_OK(weft_rwlock_acquire_read_until(&s->l, WEFT_NOW)); /* the writer that gave up keeps nobody out */
    for (int i = 0; i < 3; i++)
        weft_rwlock_release_read(&s->l);
    weft_rwlock_acquire_write(&s->l);
    CHECK_ERR(-ETIMEDOUT, weft_rwlock_acquire_read_until(&s->l, weft_in_ms(20)));
    CHECK_ERR(-ETIMEDOUT, weft_rwlock_acquire_write_until(&s->l, WEFT_NOW));
    weft_rwlock_release_write(&s->l);
}

static int read_until_stopped(void *arg)
{
    shared *s = arg;
    while (load_acquire(&s->ran) == 0) {
        weft_rwlock_acquire_read(&s->l);
        weft_rwlock_release_read(&s->l);
        weft_yield();
    }
    return 0;
}

static int write_until_stopped(void *arg)
{
    shared *s = arg;
    while (load_acquire(&s->ran) == 0) {
        weft_rwlock_acquire_write(&s->l);
        weft_rwlock_release_write(&s->l);
        weft_yield();
    }
    return 0;
}

TEST_IN(THREAD | CO | PROCESS, rwlock_starves_neither_side)
{
    shared *s = new_shared(t);
    for (int i = 0; i < 2; i++) {
        test_spawn(t, read_until_stopped, s);
        test_spawn(t, write_until_stopped, s);
    }
    for (int i = 0; i < 50; i++) {
        CHECK_OK(weft_rwlock_acquire_write_until(&s->l, weft_in_seconds(25)));
        weft_rwlock_release_write(&s->l);
        CHECK_OK(weft_rwlock_acquire_read_until(&s->l, weft_in_seconds(25)));
        weft_rwlock_release_read(&s->l);
    }
    store_release(&s->ran, 1);
    test_join(t);
}

static int die_writing(void *arg)
{
    weft_rwlock_acquire_write(&((shared *)arg)->l);
    return die(NULL);
}

TEST_IN(PROCESS, rwlock_of_a_dead_writer_is_recovered_by_the_next_writer)
{
    shared *s = new_shared(t);
    CHECK_INT(TEST_KILLED(SIGKILL), test_result(t, test_spawn(t, die_writing, s)));
    CHECK_ERR(-EOWNERDEAD, weft_rwlock_acquire_read_until(&s->l, weft_in_seconds(25)));
    CHECK_ERR(-EOWNERDEAD, weft_rwlock_acquire_write_until(&s->l, weft_in_seconds(25)));
    CHECK_OK(weft_rwlock_recover(&s->l));
    weft_rwlock_release_write(&s->l);
    CHECK_OK(weft_rwlock_acquire_read_until(&s->l, WEFT_NOW));
    weft_rwlock_release_read(&s->l);
}

TEST_PANICS(rwlock_released_by_nobody_panics, "not held for writing")
{
    weft_rwlock l = WEFT_RWLOCK_INIT;
    weft_rwlock_release_write(&l);
}
