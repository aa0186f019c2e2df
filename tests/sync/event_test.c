/* weft_event: numbers 27 to 32 of the lock semantics; S001-96, S001-75. */
#include "harness/harness.h"

#include "park/park.h"

#include <weft/event.h>

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

static weft_event *new_event(test *t)
{
    weft_event *e = test_alloc(t, sizeof *e);
    CHECK_OK(weft_event_init(e, test_flags(t)));
    return e;
}

TEST_IN(THREAD | CO | PROCESS, event_set_and_clear_are_idempotent) /* 27 S001-96 */
{
    weft_event *e = new_event(t);
    CHECK(!weft_event_is_set(e));
    weft_event_clear(e);
    CHECK(!weft_event_is_set(e));
    for (int i = 0; i < 2; i++)
        weft_event_set(e);
    CHECK(weft_event_is_set(e));
    for (int i = 0; i < 2; i++)
        weft_event_clear(e);
    CHECK(!weft_event_is_set(e));
}

static int wait_for_ever(void *arg)
{
    return weft_event_wait(arg, WEFT_FOREVER);
}

TEST_IN(THREAD | CO | PROCESS, event_set_wakes_all_waiters) /* 28 S001-75 S002-02 S003-09 */
{
    weft_event *e = new_event(t);
    for (int i = 0; i < 5; i++)
        test_spawn(t, wait_for_ever, e);
    test_wait_until_asleep(t, &e->word, 5);
    weft_event_set(e);
    test_join(t);
    CHECK_OK(weft_event_wait(e, WEFT_NOW));
    weft_event_clear(e);
    CHECK_ERR(-ETIMEDOUT, weft_event_wait(e, WEFT_NOW));
}

TEST_IN(THREAD | CO | PROCESS, event_wait_times_out) /* 29 */
{
    weft_event *e = new_event(t);
    CHECK_ERR(-ETIMEDOUT, weft_event_wait(e, WEFT_NOW));
    int64_t start = weft_now();
    CHECK_ERR(-ETIMEDOUT, weft_event_wait(e, weft_in_ms(120)));
    CHECK(weft_now() - start >= 120 * WEFT_MS);
    weft_event_set(e);
    CHECK_OK(weft_event_wait(e, weft_in_seconds(25)));
}

TEST_IN_LIMIT(60, THREAD | CO | PROCESS, event_set_then_clear_reaches_all_who_waited) /* 30, 31 */
{
    weft_event *e = new_event(t);
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 5; i++)
            test_spawn(t, wait_for_ever, e);
        test_wait_until_asleep(t, &e->word, 5);
        weft_event_set(e);
        weft_event_clear(e);
        test_join(t);
    }
}

TEST(event_is_made_new_in_a_child) /* 32 */
{
    weft_event e = WEFT_EVENT_INIT;
    weft_event_set(&e);
    pid_t pid = fork();
    if (pid == 0) {
        weft_event_init(&e, 0);
        _exit(weft_event_wait(&e, WEFT_NOW) == -ETIMEDOUT ? 0 : 1);
    }
    int status;
    CHECK_INT(pid, waitpid(pid, &status, 0));
    CHECK_INT(0, status);
}

static int set_it(void *arg)
{
    weft_event_set(arg);
    return 0;
}

TEST_IN(THREAD | CO | PROCESS, event_set_early_is_not_missed)
{
    for (int i = 0; i < 50; i++) {
        weft_event *e = new_event(t);
        test_spawn(t, set_it, e);
        CHECK_OK(weft_event_wait(e, weft_in_seconds(25)));
        test_join(t);
    }
}
