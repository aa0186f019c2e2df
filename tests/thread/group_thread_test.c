/* Threads as members of a group, alone and beside coroutines. */
#include "base/atomic.h"
#include "harness/harness.h"
#include "sys/sys.h"

#include <weft/group.h>
#include <weft/local.h>
#include <weft/thread.h>

#include <errno.h>
#include <pthread.h>

static uint32_t ended; /* atomic */

static int end_well(void *arg)
{
    add_seq_cst(&ended, 1);
    return (int)(intptr_t)arg;
}

static int sleep_for_ever(void *arg)
{
    (void)arg;
    int err = weft_sleep(WEFT_FOREVER);
    add_seq_cst(&ended, 1);
    return err;
}

static int fail(void *arg)
{
    (void)arg;
    add_seq_cst(&ended, 1);
    return -EIO;
}

TEST_IN(THREAD | CO, group_waits_for_threads_and_coroutines_alike)
{
    weft_group g = WEFT_GROUP_INIT;
    for (int round = 0; round < 3; round++) {
        store_seq_cst(&ended, 0);
        for (int i = 0; i < 20; i++) {
            CHECK_OK(weft_group_thread(&g, end_well, (void *)7, NULL));
            CHECK_OK(weft_group_go(&g, end_well, NULL));
        }
        CHECK_OK(weft_group_wait(&g, WEFT_FOREVER));
        CHECK_INT(40, load_seq_cst(&ended));
        CHECK_INT(0, weft_group_running(&g));
    }
}

TEST_IN(THREAD | CO, group_failed_thread_cancels_the_rest_of_both_kinds)
{
    weft_group g = WEFT_GROUP_INIT;
    for (int i = 0; i < 5; i++) {
        CHECK_OK(weft_group_thread(&g, sleep_for_ever, NULL, NULL));
        CHECK_OK(weft_group_go(&g, sleep_for_ever, NULL));
    }
    CHECK_OK(weft_group_thread(&g, fail, NULL, NULL));
    CHECK_ERR(-EIO, weft_group_wait(&g, WEFT_FOREVER));
    CHECK_INT(11, load_seq_cst(&ended));
}

TEST_IN(THREAD | CO, group_failed_coroutine_cancels_threads)
{
    weft_group g = WEFT_GROUP_INIT;
    CHECK_OK(weft_group_thread(&g, sleep_for_ever, NULL, &(weft_thread_options){.name = "member"}));
    CHECK_OK(weft_group_go(&g, fail, NULL));
    CHECK_ERR(-EIO, weft_group_wait(&g, WEFT_FOREVER));
    CHECK_INT(2, load_seq_cst(&ended));
}

TEST(group_cancel_reaches_a_thread_that_has_not_run_yet)
{
    for (long i = 0; i < test_rounds(200, 5000); i++) {
        weft_group g = WEFT_GROUP_INIT;
        CHECK_OK(weft_group_thread(&g, sleep_for_ever, NULL, NULL));
        weft_group_cancel(&g);
        CHECK_ERR(-ECANCELED, weft_group_thread(&g, end_well, NULL, NULL));
        CHECK_ERR(-ECANCELED, weft_group_wait(&g, WEFT_FOREVER));
    }
}

static int leave(void *arg)
{
    pthread_exit(arg);
}

TEST(group_thread_that_leaves_by_pthread_exit_has_failed)
{
    weft_group g = WEFT_GROUP_INIT;
    CHECK_OK(weft_group_thread(&g, leave, NULL, NULL));
    CHECK_ERR(-ECANCELED, weft_group_wait(&g, WEFT_FOREVER));
}

static uint32_t destroyed; /* atomic */

static void count(void *value)
{
    (void)value;
    add_seq_cst(&destroyed, 1);
}

static weft_local key = WEFT_LOCAL_INIT(count);

static int set_local(void *arg)
{
    return weft_local_set(&key, arg);
}

TEST(group_wait_finds_the_values_of_its_members_destroyed)
{
    weft_group g = WEFT_GROUP_INIT;
    for (int i = 0; i < 10; i++) {
        CHECK_OK(weft_group_thread(&g, set_local, &g, NULL));
        CHECK_OK(weft_group_go(&g, set_local, &g));
    }
    CHECK_OK(weft_group_wait(&g, WEFT_FOREVER));
    CHECK_INT(20, load_seq_cst(&destroyed));
}

/* P181 */
TEST(group_thread_that_cannot_start_is_no_member)
{
    weft_group g = WEFT_GROUP_INIT;
    weft__sys_plan(WEFT__SYS_THREAD, 1, 1, -EAGAIN, 0);
    CHECK_ERR(-EAGAIN, weft_group_thread(&g, end_well, NULL, NULL));
    weft__sys_plan_none();
    CHECK_INT(0, weft_group_running(&g));
    CHECK_OK(weft_group_wait(&g, WEFT_NOW));
    CHECK_INT(1, weft_threads_count());
    for (uint32_t nth = 1; nth <= 2; nth++) {
        weft__sys_plan(WEFT__SYS_MALLOC, nth, 1, -ENOMEM, 0);
        int err = weft_group_thread(&g, end_well, NULL, NULL);
        weft__sys_plan_none();
        CHECK(err == -ENOMEM || err == 0); /* a spare record needs no memory */
        CHECK_OK(weft_group_wait(&g, WEFT_FOREVER));
    }
}
