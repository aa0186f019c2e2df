/* weft_cond: numbers 33 to 44 of the lock semantics. */
#include "harness/harness.h"

#include "park/park.h"

#include <weft/co.h>
#include <weft/cond.h>

#include <errno.h>
#include <string.h>

typedef struct shared {
    weft_lock l;
    weft_rlock r;
    weft_cond c;
    uint32_t waiting, through; /* under l */
    uint32_t items, rounds;
    int64_t wait_ms;
    uint32_t order[16];
} shared;

static shared *new_shared(test *t)
{
    shared *s = test_alloc(t, sizeof *s);
    CHECK_OK(weft_lock_init(&s->l, test_flags(t)));
    CHECK_OK(weft_rlock_init(&s->r, test_flags(t)));
    CHECK_OK(weft_cond_init(&s->c, test_flags(t)));
    s->wait_ms = 25000;
    return s;
}

static int wait_once(void *arg)
{
    shared *s = arg;
    weft_lock_acquire(&s->l);
    uint32_t me = s->waiting++;
    int err = weft_cond_wait(&s->c, &s->l, weft_in_ms(s->wait_ms));
    CHECK_INT(1, weft_lock_held(&s->l)); /* 35: held again on every way out */
    if (err == 0)
        s->order[s->through++] = me;
    weft_lock_release(&s->l);
    return err;
}

static void lock_when_waiting(shared *s, uint32_t n)
{
    for (;;) {
        weft_lock_acquire(&s->l);
        if (s->waiting >= n) /* each counted itself in under the lock and let go of it by waiting */
            return;
        weft_lock_release(&s->l);
        weft_yield();
    }
}

static void wait_for_through(shared *s, uint32_t n)
{
    for (uint32_t seen = 0; seen != n; weft_yield()) {
        weft_lock_acquire(&s->l);
        seen = s->through;
        weft_lock_release(&s->l);
        CHECK(seen <= n);
    }
}

TEST_IN(THREAD | CO | PROCESS, cond_wait_without_the_lock_is_an_error) /* 34 */
{
    shared *s = new_shared(t);
    CHECK_ERR(-EPERM, weft_cond_wait(&s->c, &s->l, WEFT_NOW));
    CHECK_ERR(-EPERM, weft_cond_wait_rlock(&s->c, &s->r, WEFT_NOW));
}

TEST_IN(THREAD | CO | PROCESS, cond_notify_without_the_lock_is_an_error) /* 34 */
{
    shared *s = new_shared(t);
    int err = 0;
    for (uint32_t n = 1; err == 0 && (n == 1 || test_context(t) == PROCESS); n++) { /* there a wait may have ended */
        test_spawn(t, wait_once, s);
        lock_when_waiting(s, n);
        weft_lock_release(&s->l);
        err = weft_cond_notify(&s->c, 1);
    }
    CHECK_ERR(-EPERM, err);
    weft_lock_acquire(&s->l);
    CHECK_BETWEEN(test_context(t) == PROCESS ? 0 : 1, 1, weft_cond_notify(&s->c, 1));
    weft_lock_release(&s->l);
}

TEST_IN(THREAD | CO, cond_notify_ends_as_many_waits_as_it_says) /* 36, 37, 38, 39 */
{
    shared *s = new_shared(t);
    for (uint32_t i = 0; i < 5; i++) {
        test_spawn(t, wait_once, s);
        lock_when_waiting(s, i + 1);
        weft_lock_release(&s->l);
    }
    lock_when_waiting(s, 5);
    CHECK_INT(3, weft_cond_notify(&s->c, 3));
    weft_lock_release(&s->l);
    wait_for_through(s, 3);
    for (uint32_t i = 0; i < 3; i++)
        CHECK(s->order[i] < 3); /* the three oldest */
    for (uint32_t i = 5; i < 8; i++) {
        test_spawn(t, wait_once, s);
        lock_when_waiting(s, i + 1);
        weft_lock_release(&s->l);
    }
    weft_lock_acquire(&s->l);
    CHECK_INT(5, weft_cond_notify(&s->c, 9)); /* more than there are: all, and nothing is remembered */
    weft_lock_release(&s->l);
    test_join(t);
    weft_lock_acquire(&s->l);
    CHECK_INT(0, weft_cond_notify_all(&s->c));
    CHECK_ERR(-ETIMEDOUT, weft_cond_wait(&s->c, &s->l, weft_in_ms(20)));
    weft_lock_release(&s->l);
}

static int wait_for_items(void *arg)
{
    shared *s = arg;
    weft_lock_acquire(&s->l);
    while (s->items == 0)
        CHECK_OK(weft_cond_wait(&s->c, &s->l, WEFT_FOREVER));
    s->items--;
    s->through++;
    weft_lock_release(&s->l);
    return 0;
}

TEST_IN_LIMIT(60, THREAD | CO | PROCESS, cond_notify_all_wakes_all_who_wait) /* 37 */
{
    shared *s = new_shared(t);
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 5; i++)
            test_spawn(t, wait_for_items, s);
        weft_lock_acquire(&s->l);
        s->items += 5;
        weft_cond_notify_all(&s->c);
        weft_lock_release(&s->l);
        test_join(t);
    }
    CHECK_INT(0, s->items);
    CHECK_INT(100, s->through);
}

TEST_IN(THREAD | CO | PROCESS, cond_wait_times_out_with_the_lock_held) /* 35, 40 */
{
    shared *s = new_shared(t);
    weft_lock_acquire(&s->l);
    int64_t start = weft_now();
    int err;
    while ((err = weft_cond_wait(&s->c, &s->l, (weft_until){start + 120 * WEFT_MS})) == 0)
        CHECK_INT(PROCESS, test_context(t)); /* only there a wait may end without cause */
    CHECK_ERR(-ETIMEDOUT, err);
    CHECK(weft_now() - start >= 120 * WEFT_MS);
    CHECK_INT(1, weft_lock_held(&s->l));
    weft_lock_release(&s->l);
}

static int time_out(void *arg)
{
    shared *s = arg;
    weft_lock_acquire(&s->l);
    CHECK_ERR(-ETIMEDOUT, weft_cond_wait(&s->c, &s->l, weft_in_ms(5)));
    weft_lock_release(&s->l);
    return 0;
}

TEST_IN(THREAD | CO, cond_notification_is_not_spent_on_a_wait_that_timed_out) /* 40 */
{
    shared *s = new_shared(t);
    test_spawn(t, time_out, s);
    test_join(t);
    test_spawn(t, wait_once, s);
    lock_when_waiting(s, 1);
    CHECK_INT(1, weft_cond_notify(&s->c, 1));
    weft_lock_release(&s->l);
    test_join(t);
}

typedef struct race {
    weft_lock l;
    weft_cond c;
    uint32_t notified, woken, stop;
} race;

static int wait_briefly(void *arg)
{
    race *r = arg;
    weft_lock_acquire(&r->l);
    while (!r->stop)
        r->woken += weft_cond_wait(&r->c, &r->l, weft_in(30 * WEFT_US)) == 0;
    weft_lock_release(&r->l);
    return 0;
}

TEST_IN_LIMIT(60, THREAD | CO, cond_notify_racing_with_deadlines_is_never_lost) /* 41 */
{
    race *r = test_alloc(t, sizeof *r);
    for (int i = 0; i < 3; i++)
        test_spawn(t, wait_briefly, r);
    long rounds = test_rounds(3000, 300000);
    for (long i = 0; i < rounds; i++) {
        weft_lock_acquire(&r->l);
        r->notified += (uint32_t)weft_cond_notify(&r->c, 1);
        weft_lock_release(&r->l);
        if (i % 8 == 0)
            weft_sleep(weft_in(20 * WEFT_US));
    }
    weft_lock_acquire(&r->l);
    r->stop = 1;
    r->notified += (uint32_t)weft_cond_notify_all(&r->c);
    weft_lock_release(&r->l);
    test_join(t);
    CHECK_INT(r->notified, r->woken);
}

static int has_items(void *arg)
{
    return ((shared *)arg)->items > 0;
}

static int notify_in_vain(void *arg)
{
    shared *s = arg;
    for (uint32_t stop = 0; !stop; weft_sleep(weft_in_ms(2))) {
        weft_lock_acquire(&s->l);
        weft_cond_notify_all(&s->c);
        stop = s->rounds;
        weft_lock_release(&s->l);
    }
    return 0;
}

TEST_IN(THREAD | CO | PROCESS, cond_wait_for_bounds_the_whole_wait) /* 42, 43, 44 */
{
    shared *s = new_shared(t);
    weft_lock_acquire(&s->l);
    s->items = 1;
    CHECK_OK(weft_cond_wait_for(&s->c, &s->l, has_items, s, WEFT_NOW)); /* true at the start: no wait */
    s->items = 0;
    test_spawn(t, notify_in_vain, s);
    int64_t start = weft_now();
    CHECK_ERR(-ETIMEDOUT, weft_cond_wait_for(&s->c, &s->l, has_items, s, weft_in_ms(100)));
    CHECK_BETWEEN(100 * WEFT_MS, 100 * WEFT_MS + (int64_t)(3e9 * test_limit_factor()), weft_now() - start);
    s->rounds = 1;
    weft_lock_release(&s->l);
    test_join(t);
}

static int nested_notify(void *arg)
{
    shared *s = arg;
    weft_rlock_acquire(&s->r); /* free although its owner took it three times: it waits */
    s->items = 1;
    weft_cond_notify(&s->c, 1);
    weft_rlock_release(&s->r);
    return 0;
}

TEST_IN(THREAD | CO | PROCESS, cond_wait_lets_go_of_all_levels_of_an_rlock) /* 24, 33 */
{
    shared *s = new_shared(t);
    for (int i = 0; i < 3; i++)
        weft_rlock_acquire(&s->r);
    test_spawn(t, nested_notify, s);
    while (s->items == 0)
        CHECK_OK(weft_cond_wait_rlock(&s->c, &s->r, WEFT_FOREVER));
    CHECK_INT(3, weft_rlock_depth(&s->r));
    for (int i = 0; i < 3; i++)
        weft_rlock_release(&s->r);
    CHECK_INT(0, weft_rlock_depth(&s->r));
}

TEST(cond_wait_of_a_cancelled_coroutine_ends_with_the_lock_held) /* 35 */
{
    static shared s;
    s.wait_ms = 25000;
    weft_co *co;
    int result;
    CHECK_OK(weft_co_start(&co, wait_once, &s, NULL));
    while (weft__sleepers(&s.c.seq) == 0)
        weft_yield();
    weft_co_cancel(co);
    CHECK_OK(weft_co_join(co, &result, WEFT_FOREVER));
    CHECK_ERR(-ECANCELED, result);
    CHECK_INT(0, weft_lock_held(&s.l));
}

static int pass_ball(void *arg)
{
    shared *s = arg;
    weft_lock_acquire(&s->l);
    uint32_t me = s->waiting++;
    for (uint32_t i = 0; i < s->rounds; i++) {
        while (s->items % 2 != me)
            CHECK_OK(weft_cond_wait(&s->c, &s->l, WEFT_FOREVER));
        s->items++;
        weft_cond_notify(&s->c, 1);
    }
    weft_lock_release(&s->l);
    return 0;
}

TEST_IN_LIMIT(60, THREAD | CO | PROCESS, cond_two_take_turns) /* S003-07 */
{
    shared *s = new_shared(t);
    s->rounds = (uint32_t)test_rounds(2000, 200000);
    test_spawn(t, pass_ball, s);
    test_spawn(t, pass_ball, s);
    test_join(t);
    CHECK_INT(2 * s->rounds, s->items);
}

/* As POSIX has it: who has been notified does not wait any more, and does not touch the condition. */
TEST_IN(THREAD | CO, cond_may_be_destroyed_once_all_are_notified)
{
    shared *s = new_shared(t);
    for (int i = 0; i < 4; i++)
        test_spawn(t, wait_once, s);
    test_wait_until_asleep(t, &s->c.seq, 4);
    weft_lock_acquire(&s->l);
    CHECK_INT(4, weft_cond_notify_all(&s->c));
    weft_cond_destroy(&s->c);
    memset(&s->c, 0xee, sizeof s->c);
    weft_lock_release(&s->l);
    test_join(t);
    for (unsigned char *p = (unsigned char *)&s->c; p < (unsigned char *)(&s->c + 1); p++)
        CHECK_INT(0xee, *p);
}
