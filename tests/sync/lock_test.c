/* weft_lock: numbers 1 to 18 of the lock semantics of Python's users, in threads, coroutines and processes. */
#include "harness/harness.h"

#include "park/park.h"

#include <weft/co.h>
#include <weft/lock.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct shared {
    weft_lock l;
    uint32_t count; /* atomic where several touch it without the lock */
    uint32_t rounds;
    uint32_t order[64];
    weft_lock other;
} shared;

static shared *new_shared(test *t)
{
    shared *s = test_alloc(t, sizeof *s);
    CHECK_OK(weft_lock_init(&s->l, test_flags(t)));
    CHECK_OK(weft_lock_init(&s->other, test_flags(t)));
    return s;
}

TEST_IN(THREAD | CO | PROCESS, lock_is_free_at_first) /* 1 S001-99 */
{
    shared *s = new_shared(t);
    CHECK_INT(0, weft_lock_held(&s->l));
    weft_lock_destroy(&s->l);
}

TEST(lock_of_zero_bytes_is_free)
{
    static weft_lock l;
    CHECK_OK(weft_lock_acquire_until(&l, WEFT_NOW));
    weft_lock_release(&l);
}

static int try_fails(void *arg)
{
    CHECK_ERR(-ETIMEDOUT, weft_lock_acquire_until(&((shared *)arg)->l, WEFT_NOW));
    return 0;
}

TEST_IN(THREAD | CO | PROCESS, lock_tried_fails_at_once_when_held) /* 2 S003-11 */
{
    shared *s = new_shared(t);
    CHECK_OK(weft_lock_acquire_until(&s->l, WEFT_NOW));
    test_spawn(t, try_fails, s);
    test_join(t);
    CHECK_ERR(-ETIMEDOUT, weft_lock_acquire_until(&s->l, WEFT_NOW));
    weft_lock_release(&s->l);
    CHECK_OK(weft_lock_acquire_until(&s->l, WEFT_NOW));
    weft_lock_release(&s->l);
}

static int take_and_count(void *arg)
{
    shared *s = arg;
    weft_lock_acquire(&s->l);
    s->count++;
    weft_lock_release(&s->l);
    return 0;
}

TEST_IN(THREAD | CO | PROCESS, lock_lets_all_waiters_through_in_turn) /* 3 */
{
    shared *s = new_shared(t);
    weft_lock_acquire(&s->l);
    for (int i = 0; i < 5; i++)
        test_spawn(t, take_and_count, s);
    test_wait_until_asleep(t, &s->l.word, 5);
    CHECK_INT(0, s->count);
    weft_lock_release(&s->l);
    test_join(t);
    CHECK_INT(5, s->count);
}

static int release_it(void *arg)
{
    weft_lock_release(&((shared *)arg)->l);
    return 0;
}

TEST_IN(THREAD | CO | PROCESS, lock_is_released_by_another_than_its_taker) /* 4, 5 S001-97 */
{
    shared *s = new_shared(t);
    weft_lock_acquire(&s->l);
    test_spawn(t, release_it, s);
    weft_lock_acquire(&s->l); /* blocks until the other lets go */
    weft_lock_release(&s->l);
    test_join(t);
}

TEST_PANICS(lock_released_when_free_panics, "is not held") /* 6 S000-27 */
{
    weft_lock l = WEFT_LOCK_INIT;
    weft_lock_release(&l);
}

TEST_IN(THREAD | CO | PROCESS, lock_with_a_deadline_takes_a_free_one_at_once) /* 7 */
{
    shared *s = new_shared(t);
    int64_t start = weft_now();
    CHECK_OK(weft_lock_acquire_until(&s->l, weft_in_seconds(60)));
    CHECK_BETWEEN(0, 8 * WEFT_SECOND, weft_now() - start);
    weft_lock_release(&s->l);
}

TEST_IN(THREAD | CO | PROCESS, lock_times_out_and_is_untouched) /* 8 */
{
    shared *s = new_shared(t);
    weft_lock_acquire(&s->l);
    int64_t start = weft_now();
    CHECK_ERR(-ETIMEDOUT, weft_lock_acquire_until(&s->l, weft_in_ms(100)));
    CHECK_BETWEEN(100 * WEFT_MS, 100 * WEFT_MS + (int64_t)(5e9 * test_limit_factor()), weft_now() - start);
    weft_lock_release(&s->l);
    CHECK_OK(weft_lock_acquire_until(&s->l, WEFT_NOW));
    weft_lock_release(&s->l);
}

TEST(lock_deadlines_past_are_now_and_far_ones_are_never) /* 9, 10 */
{
    weft_lock l = WEFT_LOCK_INIT;
    weft_lock_acquire(&l);
    CHECK_ERR(-ETIMEDOUT, weft_lock_acquire_until(&l, weft_in_ms(-1)));
    CHECK_ERR(-ETIMEDOUT, weft_lock_acquire_until(&l, weft_in_seconds(-1e300)));
    CHECK_INT(INT64_MAX, weft_in_seconds(1e300).at);
    CHECK_INT(INT64_MAX, weft_in_ms(INT64_MAX).at);
    CHECK_INT(0, weft_in_seconds(__builtin_nan("")).at);
    weft_lock_release(&l);
}

TEST_IN(THREAD | CO | PROCESS, lock_held_tells_truly) /* 11 */
{
    shared *s = new_shared(t);
    CHECK_INT(0, weft_lock_held(&s->l));
    weft_lock_acquire(&s->l);
    CHECK_INT(1, weft_lock_held(&s->l));
    weft_lock_release(&s->l);
    CHECK_INT(0, weft_lock_held(&s->l));
}

static int return_from_block(weft_lock *l)
{
    WEFT_WITH_LOCK (l) {
        return weft_lock_held(l);
    }
    return -1;
}

TEST(lock_of_a_block_is_released_on_every_way_out) /* 12 S000-23 */
{
    weft_lock l = WEFT_LOCK_INIT;
    CHECK_INT(1, return_from_block(&l));
    CHECK_INT(0, weft_lock_held(&l));
    WEFT_WITH_LOCK (&l) {
        break;
    }
    CHECK_INT(0, weft_lock_held(&l));
    int times = 0;
    WEFT_WITH_LOCK (&l)
        times++;
    CHECK_INT(1, times);
    CHECK_INT(0, weft_lock_held(&l));
}

TEST(lock_held_over_fork_is_made_new_in_the_child) /* 13 */
{
    weft_lock l = WEFT_LOCK_INIT;
    weft_lock_acquire(&l);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        weft_lock_init(&l, 0);
        _exit(weft_lock_acquire_until(&l, WEFT_NOW) == 0 ? 0 : 1);
    }
    int status;
    CHECK_INT(pid, waitpid(pid, &status, 0));
    CHECK_INT(0, status);
    CHECK_INT(1, weft_lock_held(&l));
    weft_lock_release(&l);
}

static void *thread_takes(void *arg)
{
    weft_lock_acquire(arg);
    weft_lock_release(arg);
    return NULL;
}

static void count_waiter(weft__waiter *w, void *arg)
{
    (void)w;
    ++*(int *)arg;
}

TEST_LIMIT(60, lock_used_by_many_threads_in_turn_leaves_no_records) /* 14 */
{
    static weft_lock l;
    int before = 0, after = 0;
    weft__waiters_each(count_waiter, &before);
    for (int i = 0; i < 2000; i++) {
        pthread_t thread;
        CHECK_INT(0, pthread_create(&thread, NULL, thread_takes, &l));
        pthread_join(thread, NULL);
    }
    weft__waiters_each(count_waiter, &after);
    CHECK_BETWEEN(before, before + 1, after);
}

static void nothing(int signal)
{
    (void)signal;
}

TEST(lock_wait_is_not_ended_by_signals) /* 15 */
{
    struct sigaction act = {.sa_handler = nothing}; /* no SA_RESTART */
    sigaction(SIGALRM, &act, NULL);
    struct itimerval every = {{0, 5000}, {0, 5000}};
    weft_lock l = WEFT_LOCK_INIT;
    weft_lock_acquire(&l);
    setitimer(ITIMER_REAL, &every, NULL);
    int64_t start = weft_now();
    CHECK_ERR(-ETIMEDOUT, weft_lock_acquire_until(&l, weft_in_ms(120)));
    CHECK(weft_now() - start >= 120 * WEFT_MS);
    setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 0}}, NULL);
}

static int increment(void *arg)
{
    shared *s = arg;
    for (uint32_t i = 0; i < s->rounds; i++) {
        weft_lock_acquire(&s->l);
        s->count++; /* no atomic: the lock must do */
        weft_lock_release(&s->l);
    }
    return 0;
}

TEST_IN_LIMIT(60, THREAD | CO | PROCESS, lock_excludes) /* 16, 17 S000-24 S003-05 S003-24 S004-32 */
{
    shared *s = new_shared(t);
    s->rounds = (uint32_t)test_rounds(WEFT__TSAN || WEFT__ASAN ? 5000 : 100000, 1000000);
    for (int i = 0; i < 8; i++)
        test_spawn(t, increment, s);
    test_join(t);
    CHECK_INT(8 * s->rounds, s->count);
}

static int increment_with_deadlines(void *arg)
{
    shared *s = arg;
    for (uint32_t i = 0; i < s->rounds; i++) {
        while (weft_lock_acquire_until(&s->l, weft_in(i % 3 * 10 * WEFT_US)) != 0)
            weft_yield();
        s->count++;
        weft_lock_release(&s->l);
    }
    return 0;
}

TEST_IN_LIMIT(60, THREAD | CO | PROCESS, lock_excludes_while_waits_time_out)
{
    shared *s = new_shared(t);
    s->rounds = (uint32_t)test_rounds(2000, 100000);
    for (int i = 0; i < 4; i++)
        test_spawn(t, increment_with_deadlines, s);
    test_join(t);
    CHECK_INT(4 * s->rounds, s->count);
    CHECK_OK(weft_lock_acquire_until(&s->l, WEFT_NOW)); /* no mark is left that keeps newcomers out */
    weft_lock_release(&s->l);
}

TEST_PANICS(lock_destroyed_while_held_panics, "is held") /* 18 */
{
    weft_lock l = WEFT_LOCK_INIT;
    weft_lock_acquire(&l);
    weft_lock_destroy(&l);
}

TEST(lock_refuses_unknown_flags)
{
    weft_lock l;
    CHECK_ERR(-EINVAL, weft_lock_init(&l, 0x80));
}

static int hold_again_and_again(void *arg)
{
    shared *s = arg;
    while (load_acquire(&s->rounds) == 0) {
        weft_lock_acquire(&s->l);
        weft_lock_release(&s->l);
    }
    return 0;
}

TEST_IN(THREAD | PROCESS, lock_reaches_a_sleeper_while_another_never_rests)
{
    shared *s = new_shared(t);
    test_spawn(t, hold_again_and_again, s);
    for (int i = 0; i < 50; i++) {
        CHECK_OK(weft_lock_acquire_until(&s->l, weft_in_seconds(25)));
        weft_lock_release(&s->l);
    }
    store_release(&s->rounds, 1);
    test_join(t);
}

/* ---- cancellation ---- */

static int wait_for_lock(void *arg)
{
    return weft_lock_acquire_until(arg, WEFT_FOREVER);
}

TEST(lock_wait_of_a_cancelled_coroutine_ends)
{
    static weft_lock l;
    weft_lock_acquire(&l);
    weft_co *co;
    int result;
    CHECK_OK(weft_co_start(&co, wait_for_lock, &l, NULL));
    while (weft__sleepers(&l.word) == 0)
        weft_yield();
    weft_co_cancel(co);
    CHECK_OK(weft_co_join(co, &result, WEFT_FOREVER));
    CHECK_ERR(-ECANCELED, result);
    weft_lock_release(&l);
    CHECK_OK(weft_lock_acquire_until(&l, WEFT_NOW));
}

/* ---- owner death ---- */

static int die_with_lock(void *arg)
{
    weft_lock_acquire(&((shared *)arg)->l);
    kill(getpid(), SIGKILL);
    return 0;
}

TEST_IN(PROCESS, lock_of_a_dead_process_comes_with_eownerdead)
{
    shared *s = new_shared(t);
    int dead = test_spawn(t, die_with_lock, s);
    CHECK_INT(TEST_KILLED(SIGKILL), test_result(t, dead));
    int64_t start = weft_now();
    CHECK_ERR(-EOWNERDEAD, weft_lock_acquire_until(&s->l, weft_in_seconds(60)));
    CHECK(weft_now() - start < 8 * WEFT_SECOND); /* not at its deadline */
    CHECK_INT(1, weft_lock_held(&s->l));
    CHECK_OK(weft_lock_recover(&s->l));
    CHECK_ERR(-EINVAL, weft_lock_recover(&s->l));
    weft_lock_release(&s->l);
    CHECK_OK(weft_lock_acquire_until(&s->l, WEFT_NOW));
}

TEST_IN(PROCESS, lock_released_unrecovered_tells_the_next_one_too)
{
    shared *s = new_shared(t);
    int dead = test_spawn(t, die_with_lock, s);
    CHECK_INT(TEST_KILLED(SIGKILL), test_result(t, dead));
    CHECK_ERR(-EOWNERDEAD, weft_lock_acquire_until(&s->l, weft_in_seconds(25)));
    weft_lock_release(&s->l);
    CHECK_INT(0, weft_lock_held(&s->l));
    CHECK_ERR(-EOWNERDEAD, weft_lock_acquire_until(&s->l, WEFT_NOW));
    CHECK_OK(weft_lock_recover(&s->l));
    weft_lock_release(&s->l);
    CHECK_OK(weft_lock_acquire_until(&s->l, WEFT_NOW));
}

TEST_IN(PROCESS, lock_of_a_dead_process_is_found_by_trying)
{
    shared *s = new_shared(t);
    int dead = test_spawn(t, die_with_lock, s);
    CHECK_INT(TEST_KILLED(SIGKILL), test_result(t, dead));
    CHECK_ERR(-EOWNERDEAD, weft_lock_acquire_until(&s->l, WEFT_NOW));
}

/* Free, but with the message that its data was never put right. */
TEST_PANICS(lock_released_twice_unrecovered_panics, "is not held")
{
    weft_lock l = {.word = UINT32_C(0xff) << 22, .flags = WEFT_SHARED};
    weft_lock_release(&l);
}
