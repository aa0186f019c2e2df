/* Groups: all are waited for, the first failure stops the rest, nobody is lost. */
#include "harness/harness.h"
#include "park/park.h"
#include "sys/sys.h"

#include <weft/group.h>

#include <errno.h>
#include <stdlib.h>

static uint32_t ended; /* atomic */

static int end_well(void *arg)
{
    weft_yield();
    add_seq_cst(&ended, 1);
    return (int)(intptr_t)arg;
}

static int sleep_for_ever(void *arg)
{
    int err = weft_sleep(WEFT_FOREVER);
    add_seq_cst(&ended, 1);
    return arg != NULL ? (int)(intptr_t)arg : err;
}

static int fail_soon(void *arg)
{
    (void)arg;
    weft_sleep(weft_in_ms(1));
    add_seq_cst(&ended, 1);
    return -EIO;
}

TEST_IN(THREAD | CO, group_wait_waits_for_all)
{
    weft_group g = WEFT_GROUP_INIT;
    CHECK_OK(weft_group_wait(&g, WEFT_NOW)); /* an empty one */
    for (int round = 0; round < 3; round++) {
        store_seq_cst(&ended, 0);
        for (int i = 0; i < 100; i++)
            CHECK_OK(weft_group_go(&g, end_well, (void *)7)); /* positive results are no failure */
        CHECK_OK(weft_group_wait(&g, WEFT_FOREVER));
        CHECK_INT(100, load_seq_cst(&ended));
        CHECK_INT(0, weft_group_running(&g));
    }
}

TEST_IN(THREAD | CO, group_first_failure_cancels_the_rest_and_is_returned)
{
    weft_group g = WEFT_GROUP_INIT;
    for (int i = 0; i < 50; i++)
        CHECK_OK(weft_group_go(&g, sleep_for_ever, (void *)-ENOSPC));
    CHECK_OK(weft_group_go(&g, fail_soon, NULL));
    CHECK_ERR(-EIO, weft_group_wait(&g, WEFT_FOREVER));
    CHECK_INT(51, load_seq_cst(&ended));
    CHECK_OK(weft_group_go(&g, end_well, NULL)); /* it is as new */
    CHECK_OK(weft_group_wait(&g, WEFT_FOREVER));
}

TEST_IN(THREAD | CO, group_that_stops_starts_no_more)
{
    weft_group g = WEFT_GROUP_INIT;
    CHECK_OK(weft_group_go(&g, sleep_for_ever, NULL));
    weft_group_cancel(&g);
    CHECK_ERR(-ECANCELED, weft_group_go(&g, end_well, NULL));
    CHECK_ERR(-ECANCELED, weft_group_wait(&g, WEFT_FOREVER));
    CHECK_INT(1, load_seq_cst(&ended));
    weft_group_cancel(&g); /* of an empty one */
    CHECK_ERR(-ECANCELED, weft_group_go(&g, end_well, NULL));
    CHECK_OK(weft_group_wait(&g, WEFT_FOREVER));
    CHECK_OK(weft_group_go(&g, end_well, NULL));
    CHECK_OK(weft_group_wait(&g, WEFT_FOREVER));
}

TEST_IN(THREAD | CO, group_wait_gives_up_at_its_deadline_and_keeps_its_members)
{
    weft_group g = WEFT_GROUP_INIT;
    CHECK_OK(weft_group_go(&g, sleep_for_ever, NULL));
    CHECK_ERR(-ETIMEDOUT, weft_group_wait(&g, WEFT_NOW));
    CHECK_ERR(-ETIMEDOUT, weft_group_wait(&g, weft_in_ms(2)));
    CHECK_INT(1, weft_group_running(&g));
    weft_group_cancel(&g);
    CHECK_ERR(-ECANCELED, weft_group_wait(&g, WEFT_FOREVER));
}

static int wait_and_leave(void *arg)
{
    weft_group g = WEFT_GROUP_INIT;
    for (int i = 0; i < 10; i++)
        CHECK_OK(weft_group_go(&g, sleep_for_ever, NULL));
    store_seq_cst((uint32_t *)arg, 1);
    int err = weft_group_wait(&g, WEFT_FOREVER);
    CHECK_ERR(-ECANCELED, err);
    CHECK_INT(10, weft_group_running(&g));
    weft_group_cancel(&g);
    int was = weft_shield(1);
    CHECK_ERR(-ECANCELED, weft_group_wait(&g, WEFT_FOREVER));
    weft_shield(was);
    return err;
}

TEST(group_waiter_that_is_cancelled_loses_no_member)
{
    uint32_t waiting = 0;
    weft_co *co;
    CHECK_OK(weft_co_start(&co, wait_and_leave, &waiting, NULL));
    while (load_seq_cst(&waiting) == 0)
        weft_yield();
    weft_co_cancel(co);
    int result;
    CHECK_OK(weft_co_join(co, &result, WEFT_FOREVER));
    CHECK_ERR(-ECANCELED, result);
    CHECK_INT(10, load_seq_cst(&ended));
}

typedef struct tree {
    weft_group *group;
    int depth;
} tree;

static int grow(void *arg)
{
    tree *t = arg;
    add_seq_cst(&ended, 1);
    for (int i = 0; i < 2 && t->depth > 0; i++) {
        tree *child = malloc(sizeof *child);
        *child = (tree){t->group, t->depth - 1};
        CHECK_OK(weft_group_go(t->group, grow, child));
    }
    free(t);
    return 0;
}

TEST_IN(THREAD | CO, group_members_may_start_members)
{
    weft_group g = WEFT_GROUP_INIT;
    tree *root = malloc(sizeof *root);
    *root = (tree){&g, 10};
    CHECK_OK(weft_group_go(&g, grow, root));
    CHECK_OK(weft_group_wait(&g, WEFT_FOREVER));
    CHECK_INT(2047, load_seq_cst(&ended));
}

TEST(group_go_reports_that_memory_is_out)
{
    weft_group g = WEFT_GROUP_INIT;
    CHECK_OK(weft_group_go(&g, end_well, NULL));
    weft__sys_plan(WEFT__SYS_MALLOC, 1, 1, -ENOMEM, 0);
    CHECK_ERR(-ENOMEM, weft_group_go(&g, end_well, NULL));
    CHECK_OK(weft_group_wait(&g, WEFT_FOREVER));
}

/* The group lies in memory that goes away right after wait: under a sanitizer, or overwritten, a late member would
 * show. */
TEST_LIMIT(30, group_memory_may_go_right_after_wait)
{
    for (int i = 0; i < 2000; i++) {
        weft_group *g = calloc(1, sizeof *g);
        for (int k = 0; k < 5; k++)
            CHECK_OK(weft_group_go(g, k == 4 && i % 3 == 0 ? fail_soon : end_well, NULL));
        CHECK_ERR(i % 3 == 0 ? -EIO : 0, weft_group_wait(g, WEFT_FOREVER));
        for (size_t b = 0; b < sizeof *g; b++)
            ((unsigned char *)g)[b] = 0xa5;
        free(g);
    }
}
