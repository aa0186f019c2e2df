/* Futures: states and outcomes, waiting, cancelling and stopping, callbacks, references. Several: futures_test.c. */
#include "flow/future.h"
#include "harness/harness.h"
#include "sys/sys.h"

#include <weft/co.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static weft_future *new_future(void)
{
    weft_future *f;
    CHECK_OK(weft_future_new(&f));
    return f;
}

static void check_state(const weft_future *f, enum weft_future_state state)
{
    CHECK_INT(state, weft_future_state_of(f));
    CHECK_INT(state == WEFT_RUNNING, weft_future_running(f));
    CHECK_INT(state == WEFT_CANCELLED, weft_future_cancelled(f));
    CHECK_INT(state == WEFT_CANCELLED || state == WEFT_FINISHED, weft_future_done(f));
}

/* I95, S000-62 */
TEST(future_states_and_queries_agree)
{
    weft_future *f = new_future();
    check_state(f, WEFT_PENDING);
    CHECK_INT(1, weft_future_begin(f));
    check_state(f, WEFT_RUNNING);
    CHECK_OK(weft_future_set_result(f, f));
    check_state(f, WEFT_FINISHED);
    weft_future_unref(f);

    f = new_future();
    CHECK_INT(1, weft_future_cancel(f));
    check_state(f, WEFT_CANCELLED);
    weft_future_unref(f);
    weft_future_unref(NULL);
}

/* S000-62: <Future at 0x1ad918e1148 state=running> */
TEST(future_text_tells_address_and_state)
{
    static const char *const names[] = {"pending", "running", "finished"};
    char text[80], expected[80], cut[12];
    weft_future *f = new_future();
    for (int i = 0; i < 3; i++) {
        snprintf(expected, sizeof expected, "<Future at %p state=%s>", (void *)f, names[i]);
        CHECK_PTR(text, weft_future_text(f, text, sizeof text));
        CHECK_STR(expected, text);
        CHECK(i == 2 || (i == 0 ? weft_future_begin(f) == 1 : weft_future_set_result(f, NULL) == 0));
    }
    CHECK_STR("<Future at ", weft_future_text(f, cut, sizeof cut));
    weft_future_unref(f);
    f = new_future();
    weft_future_cancel(f);
    CHECK(strstr(weft_future_text(f, text, sizeof text), " state=cancelled>") != NULL);
    weft_future_unref(f);
}

/* I96 */
TEST(future_cancel_succeeds_before_it_begins_and_changes_nothing_after)
{
    void *result;
    weft_future *f = new_future();
    CHECK_INT(1, weft_future_begin(f));
    CHECK_INT(0, weft_future_cancel(f));
    check_state(f, WEFT_RUNNING);
    CHECK_OK(weft_future_set_result(f, &f));
    CHECK_INT(0, weft_future_cancel(f));
    CHECK_OK(weft_future_result(f, &result, WEFT_NOW));
    CHECK_PTR(&f, result);
    weft_future_unref(f);

    f = new_future();
    CHECK_INT(1, weft_future_cancel(f));
    CHECK_INT(1, weft_future_cancel(f));
    CHECK_INT(1, weft_future_stop(f));
    check_state(f, WEFT_CANCELLED);
    CHECK_ERR(-WEFT_EINVALIDSTATE, weft_future_set_result(f, NULL));
    check_state(f, WEFT_CANCELLED);
    weft_future_unref(f);
}

/* I98, X-03 */
TEST(future_result_without_waiting_times_out_and_harms_nothing)
{
    void *result = &result;
    weft_future *f = new_future();
    CHECK_ERR(-ETIMEDOUT, weft_future_result(f, &result, WEFT_NOW));
    CHECK_ERR(-ETIMEDOUT, weft_future_wait(f, weft_in_ms(1)));
    CHECK_INT(1, weft_future_begin(f));
    CHECK_ERR(-ETIMEDOUT, weft_future_result(f, &result, WEFT_NOW));
    CHECK_ERR(-ETIMEDOUT, weft_future_result(f, &result, weft_in_ms(1)));
    CHECK_OK(weft_future_error(f));
    CHECK_PTR(&result, result);
    CHECK_OK(weft_future_set_result(f, f));
    CHECK_OK(weft_future_result(f, &result, WEFT_NOW));
    CHECK_PTR(f, result);
    CHECK_OK(weft_future_result(f, NULL, WEFT_FOREVER));
    weft_future_unref(f);
}

/* I99 */
TEST(future_gives_the_error_of_its_task)
{
    void *result = &result;
    weft_future *f = new_future();
    CHECK_INT(1, weft_future_begin(f));
    CHECK_ERR(-EINVAL, weft_future_set_error(f, 0));
    CHECK_ERR(-EINVAL, weft_future_set_error(f, EIO));
    CHECK_OK(weft_future_set_error(f, -EIO));
    CHECK_ERR(-EIO, weft_future_result(f, &result, WEFT_FOREVER));
    CHECK_PTR(&result, result);
    CHECK_ERR(-EIO, weft_future_error(f));
    CHECK_OK(weft_future_wait(f, WEFT_NOW));
    weft_future_unref(f);
    f = new_future();
    CHECK_OK(weft_future_set_result(f, NULL)); /* of its own accord, without having begun */
    CHECK_OK(weft_future_error(f));
    weft_future_unref(f);
}

/* I100 */
TEST(future_outcome_can_be_set_once)
{
    void *result;
    weft_future *f = new_future();
    CHECK_OK(weft_future_set_result(f, &result));
    CHECK_ERR(-WEFT_EINVALIDSTATE, weft_future_set_result(f, NULL));
    CHECK_ERR(-WEFT_EINVALIDSTATE, weft_future_set_error(f, -EIO));
    CHECK_ERR(-WEFT_EINVALIDSTATE, weft_future_begin(f));
    CHECK_OK(weft_future_result(f, &result, WEFT_NOW));
    CHECK_PTR(&result, result);
    weft_future_unref(f);
}

typedef struct shared_future {
    weft_future *f;
    uint32_t done, won; /* atomic */
    int error;          /* what waiters shall get */
    uint64_t before;    /* written before the outcome, read after */
} shared_future;

static int sets_one_of_many(void *arg)
{
    shared_future *s = arg;
    if (weft_future_set_result(s->f, &s->before) == 0)
        add_seq_cst(&s->won, 1);
    return 0;
}

/* I100: also when they come together */
TEST_IN(THREAD | CO, future_has_one_setter_of_many)
{
    shared_future *s = test_alloc(t, sizeof *s);
    for (long i = test_rounds(50, 2000); i > 0; i--) {
        s->f = new_future();
        s->won = 0;
        for (int k = 0; k < 4; k++)
            test_spawn(t, sets_one_of_many, s);
        test_join(t);
        CHECK_INT(1, s->won);
        weft_future_unref(s->f);
    }
}

static int waits_for_outcome(void *arg)
{
    shared_future *s = arg;
    void *result = NULL;
    CHECK_ERR(s->error, weft_future_result(s->f, &result, WEFT_FOREVER));
    if (s->error == 0) {
        CHECK_PTR(s, result);
        CHECK_INT(4711, s->before);
    }
    add_seq_cst(&s->done, 1);
    return 0;
}

/* I105, I99, S000-62 */
TEST_IN(THREAD | CO, future_outcome_wakes_all_who_wait_and_shows_what_was_written)
{
    for (int error = 0; error >= -EIO; error -= EIO) {
        shared_future *s = test_alloc(t, sizeof *s);
        s->f = new_future();
        s->error = error;
        for (int i = 0; i < 5; i++)
            test_spawn(t, waits_for_outcome, s);
        test_wait_until_asleep(t, &s->f->word, 5);
        CHECK_INT(1, weft_future_begin(s->f));
        CHECK_INT(0, load_seq_cst(&s->done));
        s->before = 4711;
        CHECK_OK(error < 0 ? weft_future_set_error(s->f, error) : weft_future_set_result(s->f, s));
        test_join(t);
        CHECK_INT(5, s->done);
        weft_future_unref(s->f);
    }
}

/* I97 */
TEST_IN(THREAD | CO, future_cancelled_is_told_at_once_and_to_those_who_wait)
{
    shared_future *s = test_alloc(t, sizeof *s);
    s->f = new_future();
    s->error = -ECANCELED;
    for (int i = 0; i < 3; i++)
        test_spawn(t, waits_for_outcome, s);
    test_wait_until_asleep(t, &s->f->word, 3);
    CHECK_INT(1, weft_future_cancel(s->f));
    test_join(t);
    CHECK_ERR(-ECANCELED, weft_future_result(s->f, NULL, WEFT_NOW));
    CHECK_ERR(-ECANCELED, weft_future_error(s->f));
    weft_future_unref(s->f);
}

/* I107 */
TEST_IN(THREAD | CO, future_begin_says_no_when_it_was_cancelled)
{
    weft_future *f = new_future();
    CHECK_INT(1, weft_future_cancel(f));
    CHECK_INT(0, weft_future_begin(f));
    CHECK_INT(0, weft_future_begin(f));
    weft_future_unref(f);
    f = new_future();
    CHECK_INT(1, weft_future_begin(f));
    CHECK_ERR(-WEFT_EINVALIDSTATE, weft_future_begin(f));
    CHECK_OK(weft_future_set_result(f, NULL));
    CHECK_ERR(-WEFT_EINVALIDSTATE, weft_future_begin(f));
    weft_future_unref(f);
}

static int waits_until_cancelled(void *arg)
{
    CHECK_ERR(-ECANCELED, weft_future_wait(arg, WEFT_FOREVER));
    CHECK_INT(0, weft_future_done(arg));
    return 0;
}

static int is_cancelled_itself(void *arg)
{
    weft__waiter_cancel(weft__self());
    return waits_until_cancelled(arg);
}

TEST_IN(THREAD | CO, future_waiter_that_is_cancelled_leaves_it_as_it_was)
{
    weft_future *f = new_future();
    test_spawn(t, is_cancelled_itself, f);
    test_join(t);
    CHECK_INT(0, weft__sleepers(&f->word));
    CHECK_OK(weft_future_set_result(f, NULL));
    CHECK_OK(weft_future_wait(f, WEFT_NOW));
    weft_future_unref(f);
}

/* ---- callbacks ---- */

enum {
    CALLS = 8
};
static int called[CALLS];
static uint32_t calls;     /* atomic */
static uint32_t called_by; /* the waiter of the last one */

static int remember(weft_future *f, void *arg)
{
    CHECK(weft_future_done(f));
    called[add_seq_cst(&calls, 1)] = (int)(intptr_t)arg;
    called_by = weft__self()->id;
    return 0;
}

static int completes(void *arg)
{
    weft_future *f = arg;
    CHECK_INT(1, weft_future_begin(f));
    CHECK_OK(weft_future_set_result(f, NULL));
    CHECK_INT(weft__self()->id, called_by);
    return 0;
}

/* I101, S000-66 */
TEST_IN(THREAD | CO, future_callbacks_run_in_order_in_who_completes_it)
{
    weft_future *f = new_future();
    for (intptr_t i = 1; i <= 3; i++)
        CHECK_OK(weft_future_add_callback(f, remember, (void *)i));
    CHECK_OK(weft_future_add_callback(f, remember, (void *)1)); /* twice is two */
    test_spawn(t, completes, f);
    test_join(t);
    CHECK_INT(4, calls);
    for (int i = 0; i < 3; i++)
        CHECK_INT(i + 1, called[i]);
    CHECK_INT(1, called[3]);
    CHECK_OK(weft_future_add_callback(f, remember, (void *)5)); /* at once, here */
    CHECK_INT(5, calls);
    CHECK_INT(5, called[4]);
    CHECK_INT(weft__self()->id, called_by);
    weft_future_unref(f);
}

/* I102 */
TEST(future_callbacks_run_on_failure_and_cancellation_too)
{
    weft_future *failed = new_future(), *cancelled = new_future();
    CHECK_OK(weft_future_add_callback(failed, remember, (void *)1));
    CHECK_OK(weft_future_add_callback(cancelled, remember, (void *)2));
    CHECK_OK(weft_future_set_error(failed, -EIO));
    CHECK_INT(1, weft_future_cancel(cancelled));
    CHECK_INT(1, weft_future_cancel(cancelled)); /* not once more */
    CHECK_INT(2, calls);
    CHECK_INT(1, called[0]);
    CHECK_INT(2, called[1]);
    weft_future_unref(failed);
    weft_future_unref(cancelled);
}

static int fails(weft_future *f, void *arg)
{
    remember(f, arg);
    return -ENOSPC;
}

static int reported[2];

static void remember_error(weft_future *f, int error)
{
    CHECK(weft_future_done(f));
    reported[0]++;
    reported[1] = error;
}

/* I103 */
TEST(future_callback_that_fails_is_reported_and_stops_nothing)
{
    int fds[2], saved = dup(STDERR_FILENO);
    char line[200] = "";
    weft_future *f = new_future();
    CHECK_OK(weft_future_add_callback(f, fails, (void *)1));
    CHECK_OK(weft_future_add_callback(f, remember, (void *)2));
    CHECK_OK(pipe(fds));
    CHECK(dup2(fds[1], STDERR_FILENO) >= 0);
    int err = weft_future_set_result(f, NULL);
    CHECK(dup2(saved, STDERR_FILENO) >= 0);
    CHECK_OK(err);
    CHECK(read(fds[0], line, sizeof line - 1) > 0);
    CHECK(strstr(line, "callback") != NULL && strstr(line, weft_strerror(-ENOSPC)) != NULL);
    CHECK_PTR(line + strlen(line) - 1, strchr(line, '\n'));
    CHECK_INT(2, calls);
    CHECK_INT(2, called[1]);
    close(fds[0]);
    close(fds[1]);
    close(saved);

    weft_future_on_callback_error(remember_error);
    CHECK_OK(weft_future_add_callback(f, fails, NULL));
    weft_future_on_callback_error(NULL);
    CHECK_INT(1, reported[0]);
    CHECK_ERR(-ENOSPC, reported[1]);
    weft_future_unref(f);
}

static int adds_and_drops(weft_future *f, void *arg)
{
    CHECK_OK(weft_future_add_callback(f, remember, (void *)2)); /* at once */
    CHECK_INT(2, called[calls - 1]);
    weft_future *other = arg;
    CHECK_OK(weft_future_add_callback(other, remember, (void *)3));
    CHECK_OK(weft_future_set_result(other, NULL));
    weft_future_unref(other); /* its last one */
    return 0;
}

/* I104 */
TEST_IN(THREAD | CO, future_callback_may_add_complete_and_drop)
{
    weft_future *f = new_future(), *other = new_future();
    CHECK_OK(weft_future_add_callback(f, adds_and_drops, other));
    CHECK_OK(weft_future_add_callback(f, remember, (void *)4));
    test_spawn(t, completes, f);
    test_join(t);
    CHECK_INT(3, calls);
    CHECK_INT(2, called[0]);
    CHECK_INT(3, called[1]);
    CHECK_INT(4, called[2]);
    weft_future_unref(f);
}

static int drops(weft_future *f, void *arg)
{
    add_seq_cst((uint32_t *)arg, 1);
    weft_future_unref(f);
    return 0;
}

static int adds_dropping(void *arg)
{
    shared_future *s = arg;
    for (int i = 0; i < 10; i++)
        CHECK_OK(weft_future_add_callback(weft_future_ref(s->f), drops, &s->done));
    return 0;
}

static int sets(void *arg)
{
    shared_future *s = arg;
    weft_future *f = s->f;
    CHECK_OK(weft_future_set_result(f, NULL));
    weft_future_unref(f);
    return 0;
}

/* I101, I104: each callback runs once, whoever comes first */
TEST_IN(THREAD | CO, future_callbacks_added_against_its_end_run_once_each)
{
    for (long i = test_rounds(100, 5000); i > 0; i--) {
        shared_future *s = test_alloc(t, sizeof *s);
        s->f = new_future();
        weft_future *mine = weft_future_ref(s->f);
        test_spawn(t, adds_dropping, s);
        test_spawn(t, sets, s);
        test_spawn(t, adds_dropping, s);
        test_join(t);
        CHECK_INT(20, s->done);
        CHECK_INT(1, mine->refs);
        weft_future_unref(mine);
    }
}

/* ---- references ---- */

static uint32_t freed; /* atomic */

static void count_free(weft_future *f)
{
    add_seq_cst(&freed, 1);
    free(f);
}

static const weft__future_ops counting = {.free = count_free};

static int takes_and_drops(void *arg)
{
    weft_future *f = arg;
    for (int i = 0; i < 200; i++)
        weft_future_unref(weft_future_ref(f));
    CHECK_OK(weft_future_result(f, NULL, WEFT_FOREVER));
    weft_future_unref(f);
    return 0;
}

/* I106 */
TEST_IN(THREAD | CO, future_is_freed_once_with_its_last_reference)
{
    weft_future *f = malloc(sizeof *f);
    CHECK(f != NULL);
    weft__future_init(f, &counting, 5);
    for (int i = 0; i < 4; i++)
        test_spawn(t, takes_and_drops, f);
    CHECK(weft__future_begin(f));
    CHECK_OK(weft__future_finish(f, NULL, 0));
    weft_future_unref(f);
    test_join(t);
    CHECK_INT(1, freed);

    f = malloc(sizeof *f); /* nobody asked, and its callback never ran */
    CHECK(f != NULL);
    weft__future_init(f, &counting, 1);
    CHECK_OK(weft_future_add_callback(f, remember, NULL));
    weft_future_unref(f);
    CHECK_INT(2, freed);
    CHECK_INT(0, calls);
}

TEST(future_of_a_pool_is_set_by_its_pool_alone)
{
    weft_future f;
    weft__future_init(&f, &counting, 1);
    CHECK_ERR(-WEFT_EINVALIDSTATE, weft_future_begin(&f));
    CHECK_ERR(-WEFT_EINVALIDSTATE, weft_future_set_result(&f, NULL));
    CHECK_ERR(-WEFT_EINVALIDSTATE, weft_future_set_error(&f, -EIO));
    check_state(&f, WEFT_PENDING);
}

TEST(future_without_memory_says_so)
{
    weft_future *f = new_future(), *none = NULL;
    weft__sys_plan(WEFT__SYS_MALLOC, 1, 1, -ENOMEM, 0);
    CHECK_ERR(-ENOMEM, weft_future_new(&none));
    weft__sys_plan(WEFT__SYS_MALLOC, 1, 1, -ENOMEM, 0);
    CHECK_ERR(-ENOMEM, weft_future_add_callback(f, remember, NULL));
    weft__sys_plan_none();
    CHECK_OK(weft_future_set_result(f, NULL));
    CHECK_INT(0, calls);
    weft_future_unref(f);
}

/* ---- stop ---- */

static uint32_t stage; /* atomic */

static int runs_until_stopped(void *arg)
{
    weft_future *f = arg;
    CHECK_INT(1, weft_future_begin(f));
    store_seq_cst(&stage, 1);
    CHECK_ERR(-ECANCELED, weft_sleep(WEFT_FOREVER));
    CHECK_ERR(-ECANCELED, weft_sleep(WEFT_FOREVER)); /* it stays so while the job runs */
    CHECK_OK(weft_future_set_error(f, -EINTR));
    CHECK_OK(weft_sleep(weft_in_ms(1))); /* and ends with it */
    return 0;
}

static int stops_when_it_runs(void *arg)
{
    while (load_seq_cst(&stage) == 0)
        weft_yield();
    CHECK_INT(0, weft_future_stop(arg));
    CHECK_INT(0, weft_future_stop(arg));
    return 0;
}

/* S000-62 ff., I96: what runs is asked to stop, not cancelled */
TEST_IN(THREAD | CO, future_stop_ends_the_waits_of_a_running_job_and_no_later_ones)
{
    weft_future *f = new_future();
    test_spawn(t, runs_until_stopped, f);
    test_spawn(t, stops_when_it_runs, f);
    CHECK_ERR(-EINTR, weft_future_result(f, NULL, WEFT_FOREVER));
    test_join(t);
    CHECK_INT(0, weft_future_stop(f)); /* finished: nothing */
    weft_future_unref(f);
}

static int runs_past_its_limit(void *arg)
{
    weft_future *f = arg;
    CHECK(weft__future_begin(f));
    store_seq_cst(&stage, 1);
    CHECK_ERR(-ECANCELED, weft_sleep(WEFT_FOREVER));
    CHECK_ERR(-WEFT_EINVALIDSTATE, weft__future_finish(f, NULL, 0));
    CHECK_OK(weft_sleep(weft_in_ms(1)));
    weft_future_unref(f);
    return 0;
}

static int gives_up(void *arg)
{
    while (load_seq_cst(&stage) == 0)
        weft_yield();
    CHECK_OK(weft__future_give_up(arg, -ETIMEDOUT));
    CHECK_ERR(-ETIMEDOUT, weft_future_result(arg, NULL, WEFT_NOW)); /* before the job has ended */
    CHECK_INT(1, weft_future_done(arg));
    CHECK_ERR(-WEFT_EINVALIDSTATE, weft__future_give_up(arg, -EIO));
    weft_future_unref(arg);
    return 0;
}

TEST_IN(THREAD | CO, future_given_up_is_done_at_once_and_stops_its_job)
{
    weft_future *f = malloc(sizeof *f);
    CHECK(f != NULL);
    weft__future_init(f, &counting, 2);
    test_spawn(t, runs_past_its_limit, f);
    test_spawn(t, gives_up, f);
    test_join(t);
    CHECK_INT(1, freed);
}

static weft_future *outer;

static int runs_another_inside(void *arg)
{
    weft_future *inner = arg;
    CHECK_INT(1, weft_future_begin(outer));
    weft__future_pause(outer);
    CHECK_INT(1, weft_future_begin(inner));
    CHECK_INT(0, weft_future_stop(outer)); /* not meant for the one inside */
    CHECK_OK(weft_sleep(weft_in_ms(1)));
    CHECK_INT(0, weft_future_stop(inner));
    CHECK_ERR(-ECANCELED, weft_sleep(weft_in_ms(1)));
    CHECK_OK(weft_future_set_result(inner, NULL));
    CHECK_OK(weft_sleep(weft_in_ms(1)));
    weft__future_resume(outer);
    CHECK_ERR(-ECANCELED, weft_sleep(weft_in_ms(1)));
    CHECK_OK(weft_future_set_result(outer, NULL));
    CHECK_OK(weft_sleep(weft_in_ms(1)));
    return 0;
}

TEST_IN(THREAD | CO, future_run_inside_another_is_stopped_by_its_own_stop)
{
    weft_future *inner = new_future();
    outer = new_future();
    test_spawn(t, runs_another_inside, inner);
    test_join(t);
    weft_future_unref(inner);
    weft_future_unref(outer);
}

static int runs_and_ends(void *arg)
{
    shared_future *s = arg;
    CHECK_INT(1, weft_future_begin(s->f));
    store_seq_cst(&s->done, 1);
    int err = weft_sleep(weft_in(1000));
    CHECK(err == 0 || err == -ECANCELED);
    CHECK_OK(weft_future_set_result(s->f, NULL));
    for (int i = 0; i < 3; i++)
        CHECK_OK(weft_sleep(weft_in(1000)));
    return 0;
}

static int stops_soon(void *arg)
{
    shared_future *s = arg;
    while (load_seq_cst(&s->done) == 0)
        weft_yield();
    for (int i = 0; i < 20; i++)
        weft_future_stop(s->f);
    return 0;
}

TEST_IN(THREAD | CO, future_stop_never_hits_what_the_worker_does_next)
{
    for (long i = test_rounds(100, 5000); i > 0; i--) {
        shared_future *s = test_alloc(t, sizeof *s);
        s->f = new_future();
        test_spawn(t, runs_and_ends, s);
        test_spawn(t, stops_soon, s);
        test_join(t);
        weft_future_unref(s->f);
    }
}

/* ---- who waits helps ---- */

static bool run_here(weft_future *f, weft_until until)
{
    (void)until;
    if (!weft__future_begin(f))
        return false;
    CHECK_OK(weft__future_finish(f, f, 0));
    return true;
}

static const weft__future_ops helping = {.help = run_here};

TEST_IN(THREAD | CO, future_waiter_runs_a_job_that_has_not_begun)
{
    weft_future f;
    void *result;
    weft__future_init(&f, &helping, 2);
    CHECK_ERR(-ETIMEDOUT, weft_future_result(&f, &result, WEFT_NOW)); /* not when it only looks */
    CHECK_OK(weft_future_result(&f, &result, WEFT_FOREVER));
    CHECK_PTR(&f, result);
}

static void count_cancelled(weft_future *f)
{
    CHECK(weft_future_cancelled(f));
    add_seq_cst(&calls, 1);
}

static const weft__future_ops told = {.cancelled = count_cancelled};

TEST(future_pool_is_told_of_a_cancelled_job_once)
{
    weft_future f;
    weft__future_init(&f, &told, 2);
    CHECK_INT(1, weft_future_cancel(&f));
    CHECK_INT(1, weft_future_stop(&f));
    CHECK_INT(1, calls);
    CHECK(!weft__future_begin(&f));
}
