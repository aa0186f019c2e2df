/* left_behind_test.c - locks that another thread or coroutine held when this process was forked: the child gets them
 * and is told, and never hangs; what the forking thread held it still holds. */
#include "harness/harness.h"

#include <weft/co.h>
#include <weft/lock.h>
#include <weft/rwlock.h>
#include <weft/thread.h>

#include "base/atomic.h"
#include "sync/lock.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static weft_lock lock, second;
static weft_rlock rlock;
static weft_rwlock rwlock;
static uint32_t holds, release; /* atomic */

static void until_released(void)
{
    store_release(&holds, 1);
    while (load_acquire(&release) == 0)
        weft_sleep(weft_in_ms(1));
}

static void start_holder(weft_thread *t, weft_thread_fn *fn)
{
    store_release(&holds, 0);
    store_release(&release, 0);
    CHECK_OK(weft_thread_start(t, fn, NULL, &(weft_thread_options){.name = "holder"}));
    while (load_acquire(&holds) == 0)
        sched_yield();
}

static void join_holder(weft_thread *t)
{
    store_release(&release, 1);
    CHECK_OK(weft_thread_join(t, NULL, WEFT_FOREVER));
}

/* Run fn in a child of fork; a child that hangs is the case's to find. */
static int in_child(void (*fn)(void))
{
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        fn();
        _exit(0);
    }
    int status = -1;
    CHECK_INT(child, waitpid(child, &status, 0));
    return status;
}

static int hold_lock(void *arg)
{
    (void)arg;
    weft_lock_acquire(&lock);
    until_released();
    weft_lock_release(&lock);
    return 0;
}

static int take_forever(void *arg)
{
    int err = weft_lock_acquire_until(arg, WEFT_FOREVER);
    if (err == 0)
        weft_lock_release(arg);
    return err;
}

static void find_lock(void)
{
    for (int i = 0; i < 2; i++) { /* unrecovered: told again */
        CHECK_ERR(-EOWNERDEAD, weft_lock_acquire_until(&lock, i == 0 ? WEFT_NOW : WEFT_FOREVER));
        CHECK_INT(1, weft_lock_held(&lock));
        CHECK_ERR(-ETIMEDOUT, weft_lock_acquire_until(&lock, WEFT_NOW)); /* now it has a holder, who is here */
        if (i == 1)
            CHECK_OK(weft_lock_recover(&lock));
        weft_lock_release(&lock);
    }
    for (int i = 0; i < 3; i++)
        CHECK_OK(take_forever(&lock));
    weft_lock_destroy(&lock);
}

static void find_free(void)
{
    CHECK_OK(take_forever(&lock));
}

TEST(lock_of_a_thread_that_a_fork_left_behind_is_given_and_told)
{
    weft_thread t = WEFT_THREAD_INIT;
    start_holder(&t, hold_lock);
    CHECK_INT(0, in_child(find_lock));
    CHECK_ERR(-ETIMEDOUT, weft_lock_acquire_until(&lock, WEFT_NOW)); /* here all is as it was */
    join_holder(&t);
    CHECK_INT(0, in_child(find_free)); /* free at the fork: nothing to tell */
}

static int hold_in_coroutine(void *arg)
{
    return hold_lock(arg);
}

TEST(lock_of_a_coroutine_that_a_fork_left_behind_is_given_and_told)
{
    weft_co *co;
    CHECK_OK(weft_co_start(&co, hold_in_coroutine, NULL, NULL));
    while (load_acquire(&holds) == 0)
        sched_yield();
    CHECK_INT(0, in_child(find_lock));
    store_release(&release, 1);
    CHECK_OK(weft_co_join(co, NULL, WEFT_FOREVER));
}

static void acquire_plainly(void)
{
    weft_lock_acquire(&lock);
}

TEST_PANICS(lock_that_a_fork_left_held_names_its_holder, "\"holder\" held the lock at")
{
    weft_thread t = WEFT_THREAD_INIT;
    start_holder(&t, hold_lock);
    int status = in_child(acquire_plainly);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    join_holder(&t);
    abort();
}

static int hold_rlock(void *arg)
{
    (void)arg;
    weft_rlock_acquire(&rlock);
    weft_rlock_acquire(&rlock);
    until_released();
    weft_rlock_release(&rlock);
    weft_rlock_release(&rlock);
    return 0;
}

static void find_rlock(void)
{
    CHECK_INT(0, weft_rlock_depth(&rlock));
    CHECK_ERR(-EOWNERDEAD, weft_rlock_acquire_until(&rlock, WEFT_FOREVER));
    CHECK_INT(1, weft_rlock_depth(&rlock));
    CHECK_OK(weft_rlock_recover(&rlock));
    weft_rlock_release(&rlock);
    CHECK_OK(weft_rlock_acquire_until(&rlock, WEFT_FOREVER));
    weft_rlock_release(&rlock);
}

TEST(rlock_of_a_thread_that_a_fork_left_behind_is_given_and_told)
{
    weft_thread t = WEFT_THREAD_INIT;
    start_holder(&t, hold_rlock);
    CHECK_INT(0, in_child(find_rlock));
    join_holder(&t);
}

static int hold_writing(void *arg)
{
    (void)arg;
    weft_rwlock_acquire_write(&rwlock);
    until_released();
    weft_rwlock_release_write(&rwlock);
    return 0;
}

static void find_written(void)
{
    CHECK_ERR(-EOWNERDEAD, weft_rwlock_acquire_read_until(&rwlock, WEFT_FOREVER));
    CHECK_ERR(-EOWNERDEAD, weft_rwlock_acquire_write_until(&rwlock, WEFT_FOREVER));
    CHECK_OK(weft_rwlock_recover(&rwlock));
    weft_rwlock_release_write(&rwlock);
    CHECK_OK(weft_rwlock_acquire_read_until(&rwlock, WEFT_FOREVER));
    weft_rwlock_release_read(&rwlock);
    CHECK_OK(weft_rwlock_acquire_write_until(&rwlock, WEFT_FOREVER));
    weft_rwlock_release_write(&rwlock);
}

TEST(rwlock_of_a_writer_that_a_fork_left_behind_is_told)
{
    weft_thread t = WEFT_THREAD_INIT;
    start_holder(&t, hold_writing);
    CHECK_INT(0, in_child(find_written));
    join_holder(&t);
}

static int want_to_write(void *arg)
{
    store_release(&holds, 1);
    return hold_writing(arg);
}

static void find_wanted(void)
{
    CHECK_OK(weft_rwlock_acquire_read_until(&rwlock, WEFT_FOREVER)); /* nothing was written, so nothing is to be told */
    weft_rwlock_release_read(&rwlock);
    weft_rwlock_release_read(&rwlock); /* the forking thread's own */
    CHECK_OK(weft_rwlock_acquire_write_until(&rwlock, WEFT_FOREVER));
    weft_rwlock_release_write(&rwlock);
}

/* A writer that was still waiting for readers keeps nobody out. */
TEST(rwlock_of_a_writer_that_waited_when_a_fork_left_it_behind_is_open)
{
    weft_thread t = WEFT_THREAD_INIT;
    weft_rwlock_acquire_read(&rwlock);
    start_holder(&t, want_to_write);
    while (load_acquire(&rwlock.state) == 1) /* it has not announced itself */
        sched_yield();
    CHECK_INT(0, in_child(find_wanted));
    weft_rwlock_release_read(&rwlock);
    join_holder(&t);
}

static void find_passed_on(void)
{
    CHECK_ERR(-ETIMEDOUT, weft_lock_acquire_until(&lock, WEFT_NOW));
    weft_lock_release(&lock); /* as somebody is free to do */
    CHECK_OK(weft_lock_acquire_until(&lock, WEFT_FOREVER));
}

/* A lock that is a signal between threads has no holder that could be missed. */
TEST(lock_that_is_handed_over_is_not_taken_away)
{
    weft_thread t = WEFT_THREAD_INIT;
    CHECK_OK(weft_lock_init(&lock, WEFT_LOCK_HANDOFF));
    start_holder(&t, hold_lock);
    CHECK_INT(0, in_child(find_passed_on));
    join_holder(&t);
}

static void share_own(void)
{
    weft_thread t = WEFT_THREAD_INIT;
    int err = -1;
    CHECK_ERR(-ETIMEDOUT, weft_lock_acquire_until(&second, WEFT_NOW));
    CHECK_OK(weft_thread_start(&t, take_forever, &second, NULL));
    CHECK_ERR(-ETIMEDOUT, weft_thread_join(&t, NULL, weft_in_ms(10))); /* it waits for this thread */
    weft_lock_release(&second);
    CHECK_OK(weft_thread_join(&t, &err, WEFT_FOREVER));
    CHECK_OK(err);
}

TEST(lock_of_the_forking_thread_stays_its_own)
{
    weft_lock_acquire(&second);
    CHECK_INT(0, in_child(share_own));
    weft_lock_release(&second);
}

static void find_marked(void)
{
    weft_lock_release(&lock);
    for (int i = 0; i < 3; i++)
        CHECK_OK(take_forever(&lock));
}

/* A sleeper that has waited for a millisecond makes newcomers queue behind it; in the child it is not there. */
TEST(lock_that_a_sleeper_of_the_parent_starved_for_is_free)
{
    weft_lock_acquire(&lock);
    or_seq_cst(&lock.word, WEFT__LOCK_STARVED | WEFT__LOCK_WAITERS);
    CHECK_INT(0, in_child(find_marked));
}
