/* order_test.c - lock orders that can become a ring are told before they do, once each. S001-140, X-10. */
#include "harness/harness.h"

#include <weft/co.h>
#include <weft/cond.h>
#include <weft/deadlock.h>
#include <weft/event.h>
#include <weft/group.h>
#include <weft/lock.h>
#include <weft/rwlock.h>

#include "base/atomic.h"
#include "park/report.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static weft_lock one, two, three, handed;
static weft_rlock r;
static weft_rwlock w;
static uint32_t told; /* atomic */
static char text[4096];
static weft_event done;

static void collect(const weft_deadlock *d, void *arg)
{
    (void)arg;
    CHECK_INT(WEFT_DEADLOCK_ORDER, d->ring);
    CHECK_INT(0, d->n);
    snprintf(text, sizeof text, "%s", d->text);
    add_seq_cst(&told, 1);
}

static void mark(weft__watch_job *job)
{
    (void)job;
    weft_event_set(&done);
}

/* How many were told; those on their way first. */
static unsigned reports(void)
{
    static weft__watch_job job;
    for (unsigned i = 0; i < 2; i++) { /* newest calls are made first */
        job.fn = mark;
        weft_event_clear(&done);
        weft__watch_call(&job);
        CHECK_OK(weft_event_wait(&done, weft_in_seconds(10)));
    }
    return load_seq_cst(&told);
}

static void begin(void)
{
    weft_deadlock_set(WEFT_DEADLOCK_REPORT, collect, NULL);
    CHECK_OK(weft_lock_order_check(1));
}

static int take_two(weft_lock *first, weft_lock *second)
{
    weft_lock_acquire(first);
    weft_lock_acquire(second);
    weft_lock_release(second);
    weft_lock_release(first);
    return 0;
}

static int take_b_a(void *arg)
{
    (void)arg;
    return take_two(&two, &one);
}

TEST_IN(THREAD | CO, order_both_ways_is_told_once_though_nothing_hangs)
{
    begin();
    take_two(&one, &two);
    CHECK_INT(0, reports());
    for (int i = 0; i < 3; i++) {
        test_spawn(t, take_b_a, NULL);
        test_join(t);
        take_two(&one, &two);
    }
    CHECK_INT(1, reports());
    CHECK(strstr(text, "weft: lock order: 2 locks can be taken in a ring") == text);
#if WEFT_HAVE_LIBDW
    CHECK(strstr(text, "lock one ") != NULL && strstr(text, "lock two ") != NULL);
    CHECK(strstr(text, "take_two (order_test.c:") != NULL);
#endif
}

TEST_IN(THREAD | CO, order_of_three_in_a_ring_is_told)
{
    begin();
    take_two(&one, &two);
    take_two(&two, &three);
    CHECK_INT(0, reports());
    take_two(&three, &one);
    CHECK_INT(1, reports());
    CHECK(strstr(text, "3 locks") != NULL);
}

TEST(order_one_way_is_not_told)
{
    begin();
    for (int i = 0; i < 100; i++) {
        take_two(&one, &two);
        take_two(&two, &three);
        take_two(&one, &three);
    }
    CHECK_INT(0, reports());
}

TEST(order_of_one_after_the_other_is_not_told)
{
    begin();
    weft_lock_acquire(&one);
    weft_lock_release(&one);
    weft_lock_acquire(&two);
    weft_lock_release(&two);
    weft_lock_acquire(&one);
    weft_lock_release(&one);
    CHECK_INT(0, reports());
}

TEST(order_of_a_try_cannot_hang)
{
    begin();
    take_two(&one, &two);
    weft_lock_acquire(&two);
    CHECK_OK(weft_lock_acquire_until(&one, WEFT_NOW));
    weft_lock_release(&one);
    weft_lock_release(&two);
    CHECK_INT(0, reports());
}

TEST(order_behind_a_try_counts)
{
    begin();
    take_two(&one, &two);
    CHECK_OK(weft_lock_acquire_until(&two, WEFT_NOW));
    weft_lock_acquire(&one);
    weft_lock_release(&one);
    weft_lock_release(&two);
    CHECK_INT(1, reports());
}

TEST(order_of_rlocks_and_writers_counts)
{
    begin();
    weft_rlock_acquire(&r);
    weft_rlock_acquire(&r);
    weft_rwlock_acquire_write(&w);
    weft_rwlock_release_write(&w);
    weft_rlock_release(&r);
    weft_rlock_release(&r);
    CHECK_INT(0, reports());
    weft_rwlock_acquire_write(&w);
    weft_rlock_acquire(&r);
    weft_rlock_release(&r);
    weft_rwlock_release_write(&w);
    CHECK_INT(1, reports());
    CHECK(strstr(text, "rlock ") != NULL && strstr(text, "rwlock (write) ") != NULL);
}

TEST(order_of_locks_that_are_handed_over_is_left_out)
{
    begin();
    CHECK_OK(weft_lock_init(&handed, WEFT_LOCK_HANDOFF));
    take_two(&one, &handed);
    take_two(&handed, &one);
    CHECK_INT(0, reports());
}

TEST(order_is_forgotten_with_the_lock)
{
    begin();
    take_two(&one, &two);
    weft_lock_destroy(&one);
    take_two(&two, &one);
    CHECK_INT(0, reports());
    CHECK_OK(weft_lock_init(&two, 0));
    take_two(&one, &two);
    CHECK_INT(0, reports());
    take_two(&two, &one);
    CHECK_INT(1, reports());
}

/* A condition lets go of its lock and takes it back behind what is held meanwhile. */
TEST(order_counts_the_way_back_from_a_condition)
{
    weft_cond waiting = WEFT_COND_INIT;
    begin();
    weft_lock_acquire(&one);
    weft_lock_acquire(&two);
    CHECK_ERR(-ETIMEDOUT, weft_cond_wait(&waiting, &one, weft_in_ms(5)));
    weft_lock_release(&two);
    weft_lock_release(&one);
    CHECK_INT(1, reports());
}

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

/* The library's own locks have no part in it: a group on the stack comes and goes. */
TEST(order_leaves_the_librarys_own_locks_out)
{
    begin();
    for (int i = 0; i < 10; i++) {
        weft_group g = WEFT_GROUP_INIT;
        weft_lock *l = i % 2 == 0 ? &one : &two;
        weft_lock_acquire(l);
        CHECK_OK(weft_group_go(&g, nothing, NULL));
        CHECK_OK(weft_group_wait(&g, WEFT_FOREVER));
        weft_lock_release(l);
    }
    CHECK_INT(0, reports());
}

TEST(order_is_not_looked_at_any_more_when_it_is_off)
{
    begin();
    take_two(&one, &two);
    CHECK_OK(weft_lock_order_check(0));
    take_two(&two, &one);
    CHECK_OK(weft_lock_order_check(1));
    take_two(&two, &one);
    CHECK_INT(0, reports());
}

static int take_in_order(void *arg)
{
    (void)arg;
    for (int i = 0; i < 200; i++) {
        take_two(&one, &two);
        take_two(&two, &three);
    }
    return 0;
}

TEST_IN(THREAD | CO, order_of_many_at_once)
{
    begin();
    for (int i = 0; i < 4; i++)
        test_spawn(t, take_in_order, NULL);
    test_join(t);
    CHECK_INT(0, reports());
    CHECK_INT(0, weft_lock_held(&one) + weft_lock_held(&two) + weft_lock_held(&three));
}
