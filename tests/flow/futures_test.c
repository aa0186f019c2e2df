/* Several futures: until all, the first or the first failure is done, and one after the other as they are done. */
#include "flow/future.h"
#include "harness/harness.h"
#include "sys/sys.h"

#include <weft/co.h>

#include <errno.h>

enum {
    MANY = 100
};

typedef struct crowd {
    weft_future *all[MANY];
    weft_future *array[MANY]; /* to be rearranged */
    unsigned n;
    uint32_t next; /* atomic */
    weft_completions *set;
} crowd;

static crowd *new_crowd(test *t, unsigned n)
{
    crowd *c = test_alloc(t, sizeof *c);
    c->n = n;
    for (unsigned i = 0; i < n; i++) {
        CHECK_OK(weft_future_new(&c->all[i]));
        c->array[i] = c->all[i];
    }
    return c;
}

/* Nobody stands in the lists or holds a reference any more. */
static void end_crowd(crowd *c)
{
    for (unsigned i = 0; i < c->n; i++) {
        CHECK_PTR(NULL, c->all[i]->first);
        CHECK_INT(0, weft__sleepers(&c->all[i]->word));
        CHECK_INT(1, c->all[i]->refs);
        weft_future_unref(c->all[i]);
    }
}

static int completes_all(void *arg)
{
    crowd *c = arg;
    for (uint32_t i; (i = add_seq_cst(&c->next, 1)) < c->n;)
        CHECK_OK(weft_future_set_result(c->all[i], c->all[i]));
    return 0;
}

static long waits(crowd *c, enum weft_wait_for what, weft_until until)
{
    return weft_futures_wait(c->array, c->n, what, until);
}

/* J111 */
TEST_IN(THREAD | CO, futures_wait_for_all_returns_when_the_last_is_done)
{
    crowd *c = new_crowd(t, MANY);
    test_spawn(t, completes_all, c);
    CHECK_INT(MANY, waits(c, WEFT_ALL_DONE, WEFT_FOREVER));
    for (unsigned i = 0; i < MANY; i++)
        CHECK_PTR(c->all[i], c->array[i]);
    test_join(t);
    end_crowd(c);
}

/* J111: of nothing, at once; and doubles count each time */
TEST_IN(THREAD | CO, futures_wait_for_none_returns_at_once_and_doubles_count)
{
    weft_future *none[1];
    CHECK_INT(0, weft_futures_wait(none, 0, WEFT_ALL_DONE, WEFT_FOREVER));
    CHECK_INT(0, weft_futures_wait(none, 0, WEFT_FIRST_DONE, WEFT_FOREVER));
    CHECK_INT(0, weft_futures_wait(none, 0, WEFT_FIRST_ERROR, WEFT_FOREVER));
    crowd *c = new_crowd(t, 3);
    c->array[2] = c->all[0];
    CHECK_OK(weft_future_set_result(c->all[0], NULL));
    CHECK_INT(2, waits(c, WEFT_FIRST_DONE, WEFT_FOREVER));
    CHECK_PTR(c->all[0], c->array[0]);
    CHECK_PTR(c->all[0], c->array[1]);
    CHECK_PTR(c->all[1], c->array[2]);
    CHECK_INT(2, waits(c, WEFT_ALL_DONE, WEFT_NOW));
    CHECK_OK(weft_future_set_result(c->all[1], NULL));
    CHECK_INT(3, waits(c, WEFT_ALL_DONE, WEFT_FOREVER));
    end_crowd(c);
}

/* J111, J112: the done move to the front, both parts in their order */
TEST_IN(THREAD | CO, futures_wait_parts_the_array_in_order)
{
    for (unsigned seed = 1; seed < 200; seed++) {
        crowd *c = new_crowd(t, 1 + seed % 23);
        unsigned done = 0, pending = 0, bits = seed * 2654435761u >> 7;
        weft_future *expected[MANY];
        for (unsigned i = 0; i < c->n; i++)
            if (bits >> i & 1) {
                expected[done++] = c->all[i];
                CHECK_OK(i % 2 ? weft_future_set_error(c->all[i], -EIO) : weft_future_set_result(c->all[i], NULL));
            }
        for (unsigned i = 0; i < c->n; i++)
            if (!(bits >> i & 1))
                expected[done + pending++] = c->all[i];
        CHECK_INT(done, waits(c, WEFT_ALL_DONE, WEFT_NOW));
        CHECK_MEM(expected, c->array, c->n * sizeof *expected);
        end_crowd(c);
    }
}

static int completes_third(void *arg)
{
    crowd *c = arg;
    CHECK_OK(weft_future_set_result(c->all[3], NULL));
    return 0;
}

/* J112 */
TEST_IN(THREAD | CO, futures_wait_for_the_first_returns_all_that_are_done)
{
    crowd *c = new_crowd(t, 20);
    test_spawn(t, completes_third, c);
    CHECK_INT(1, waits(c, WEFT_FIRST_DONE, WEFT_FOREVER));
    CHECK_PTR(c->all[3], c->array[0]);
    CHECK_OK(weft_future_set_result(c->all[7], NULL));
    CHECK_INT(1, weft_future_cancel(c->all[5]));
    CHECK_INT(3, waits(c, WEFT_FIRST_DONE, WEFT_FOREVER)); /* at once */
    CHECK_PTR(c->all[5], c->array[1]);
    CHECK_PTR(c->all[7], c->array[2]);
    test_join(t);
    end_crowd(c);
}

static int succeeds_then_fails(void *arg)
{
    crowd *c = arg;
    CHECK_OK(weft_future_set_result(c->all[1], NULL));
    CHECK_INT(1, weft_future_cancel(c->all[2])); /* no failure */
    CHECK_OK(weft_future_set_error(c->all[0], -EIO));
    return 0;
}

static int all_succeed(void *arg)
{
    crowd *c = arg;
    CHECK_INT(1, weft_future_cancel(c->all[4]));
    for (unsigned i = 0; i < 4; i++)
        CHECK_OK(weft_future_set_result(c->all[i], NULL));
    return 0;
}

/* J113; a future that is cancelled has been told so: it counts as done, not as failed */
TEST_IN(THREAD | CO, futures_wait_for_the_first_error_returns_there_or_when_all_are_done)
{
    crowd *c = new_crowd(t, 5);
    test_spawn(t, succeeds_then_fails, c);
    CHECK_INT(3, waits(c, WEFT_FIRST_ERROR, WEFT_FOREVER));
    CHECK_PTR(c->all[0], c->array[0]);
    CHECK_INT(3, waits(c, WEFT_FIRST_ERROR, WEFT_FOREVER)); /* at once */
    test_join(t);
    end_crowd(c);

    c = new_crowd(t, 5);
    test_spawn(t, all_succeed, c);
    CHECK_INT(5, waits(c, WEFT_FIRST_ERROR, WEFT_FOREVER));
    test_join(t);
    end_crowd(c);
}

/* J114, K114 */
TEST_IN(THREAD | CO, futures_wait_at_its_deadline_returns_what_is_done)
{
    crowd *c = new_crowd(t, 40);
    int64_t before = weft_now();
    CHECK_INT(0, waits(c, WEFT_FIRST_DONE, weft_in_ms(2)));
    CHECK_INT(0, waits(c, WEFT_FIRST_ERROR, weft_in_ms(2)));
    CHECK_INT(0, waits(c, WEFT_ALL_DONE, weft_in_ms(2)));
    CHECK(weft_now() - before >= 6 * WEFT_MS);
    CHECK_OK(weft_future_set_result(c->all[9], NULL));
    CHECK_INT(1, waits(c, WEFT_FIRST_ERROR, weft_in_ms(1)));
    CHECK_INT(1, waits(c, WEFT_ALL_DONE, weft_in_ms(1)));
    CHECK_PTR(c->all[9], c->array[0]);
    end_crowd(c);
}

/* J114, K114: 100,000 calls leave nothing behind. Most deadlines are just past, since the kernel takes its time for the
 * others; they stand in the lists all the same. */
TEST_IN_LIMIT(120, THREAD | CO, futures_wait_that_times_out_leaves_no_waiter)
{
    crowd *c = new_crowd(t, 4);
    long before = test_rss_kb();
    for (int i = 0; i < 100000; i++)
        CHECK_INT(0, waits(c, i % 2 ? WEFT_FIRST_DONE : WEFT_FIRST_ERROR, weft_in(i % 512 == 0 ? 1 : -1)));
    if (test_limit_factor() <= 1)
        CHECK_BETWEEN(-1000000, 2000, test_rss_kb() - before);
    end_crowd(c);
}

static int is_cancelled_in(void *arg, enum weft_wait_for what)
{
    crowd *c = arg;
    weft__waiter_cancel(weft__self());
    CHECK_ERR(-ECANCELED, waits(c, what, WEFT_FOREVER));
    return 0;
}

static int is_cancelled_in_all(void *arg)
{
    return is_cancelled_in(arg, WEFT_ALL_DONE);
}

static int is_cancelled_in_first(void *arg)
{
    return is_cancelled_in(arg, WEFT_FIRST_DONE);
}

TEST_IN(THREAD | CO, futures_wait_ends_when_its_caller_is_cancelled)
{
    crowd *c = new_crowd(t, 20);
    test_spawn(t, is_cancelled_in_all, c);
    test_spawn(t, is_cancelled_in_first, c);
    test_join(t);
    end_crowd(c);
}

static int waits_for_all(void *arg)
{
    weft_future *mine[MANY];
    crowd *c = arg;
    for (unsigned i = 0; i < c->n; i++)
        mine[i] = c->all[i];
    CHECK_INT(c->n, weft_futures_wait(mine, c->n, WEFT_ALL_DONE, WEFT_FOREVER));
    return 0;
}

static int waits_for_last_error(void *arg)
{
    weft_future *mine[MANY];
    crowd *c = arg;
    for (unsigned i = 0; i < c->n; i++)
        mine[i] = c->all[i];
    CHECK_INT(c->n, weft_futures_wait(mine, c->n, WEFT_FIRST_ERROR, WEFT_FOREVER));
    return 0;
}

/* J115 */
TEST_IN_LIMIT(30, THREAD | CO, futures_wait_loses_no_wake_when_many_end_at_once)
{
    for (long i = test_rounds(20, 1000); i > 0; i--) {
        crowd *c = new_crowd(t, MANY);
        test_spawn(t, waits_for_all, c);
        test_spawn(t, completes_all, c);
        test_spawn(t, waits_for_last_error, c);
        test_spawn(t, completes_all, c);
        test_spawn(t, completes_all, c);
        test_join(t);
        end_crowd(c);
    }
}

TEST(futures_wait_without_memory_says_so)
{
    weft_future *all[MANY];
    for (unsigned i = 0; i < MANY; i++)
        CHECK_OK(weft_future_new(&all[i]));
    weft_completions *set;
    weft__sys_plan(WEFT__SYS_MALLOC, 1, 1, -ENOMEM, 0);
    CHECK_ERR(-ENOMEM, weft_futures_wait(all, MANY, WEFT_FIRST_DONE, weft_in_ms(1)));
    CHECK_INT(0, weft_futures_wait(all, MANY, WEFT_ALL_DONE, weft_in_ms(1))); /* needs none */
    for (uint32_t nth = 1; nth <= 2; nth++) {
        weft__sys_plan(WEFT__SYS_MALLOC, nth, 1, -ENOMEM, 0);
        CHECK_ERR(-ENOMEM, weft_completions_new(&set, all, MANY));
        weft__sys_plan_none();
    }
    for (unsigned i = 0; i < MANY; i++) {
        CHECK_INT(1, all[i]->refs);
        weft_future_unref(all[i]);
    }
}

/* ---- completions ---- */

static weft_completions *new_set(crowd *c)
{
    CHECK_OK(weft_completions_new(&c->set, c->array, c->n));
    return c->set;
}

static weft_future *next(weft_completions *set)
{
    weft_future *f;
    CHECK_OK(weft_completions_next(set, &f, WEFT_FOREVER));
    CHECK_INT(1, weft_future_done(f));
    weft_future_unref(f);
    return f;
}

/* J108: first those that are done, then each as it is done; S000-67: in the order in which they end */
TEST_IN(THREAD | CO, completions_come_in_the_order_of_their_ends)
{
    crowd *c = new_crowd(t, 6);
    CHECK_OK(weft_future_set_result(c->all[4], NULL));
    CHECK_OK(weft_future_set_error(c->all[1], -EIO));
    weft_completions *set = new_set(c);
    CHECK_OK(weft_future_set_result(c->all[3], NULL));
    CHECK_INT(1, weft_future_cancel(c->all[0]));
    static const unsigned order[] = {1, 4, 3, 0};
    for (unsigned i = 0; i < 4; i++) {
        CHECK_INT(6 - i, weft_completions_left(set));
        CHECK_PTR(c->all[order[i]], next(set));
    }
    c->next = 5;
    test_spawn(t, completes_all, c);
    CHECK_PTR(c->all[5], next(set));
    CHECK_OK(weft_future_set_result(c->all[2], NULL));
    CHECK_PTR(c->all[2], next(set));
    weft_future *f;
    for (int i = 0; i < 2; i++)
        CHECK_ERR(-ENODATA, weft_completions_next(set, &f, WEFT_FOREVER));
    weft_completions_free(set);
    weft_completions_free(NULL);
    test_join(t);
    end_crowd(c);
}

/* J108: given twice it comes once; and a set of nothing is at its end */
TEST(completions_give_a_double_once)
{
    weft_future *f[3], *got;
    weft_completions *set;
    CHECK_OK(weft_future_new(&f[0]));
    f[1] = f[2] = f[0];
    CHECK_OK(weft_completions_new(&set, f, 3));
    CHECK_INT(1, weft_completions_left(set));
    CHECK_OK(weft_future_set_result(f[0], NULL));
    CHECK_PTR(f[0], next(set));
    CHECK_ERR(-ENODATA, weft_completions_next(set, &got, WEFT_NOW));
    weft_completions_free(set);
    CHECK_OK(weft_completions_new(&set, f, 0));
    CHECK_ERR(-ENODATA, weft_completions_next(set, &got, WEFT_FOREVER));
    weft_completions_free(set);
    weft_future_unref(f[0]);
}

/* J109: the deadline is one for all; how many of how many; what was given stays given */
TEST_IN(THREAD | CO, completions_at_the_deadline_tell_how_many_are_unfinished)
{
    crowd *c = new_crowd(t, 10);
    weft_completions *set = new_set(c);
    weft_future *f;
    weft_until until = weft_in_ms(5);
    CHECK_OK(weft_future_set_result(c->all[2], NULL));
    CHECK_OK(weft_completions_next(set, &f, until));
    weft_future_unref(f);
    CHECK_ERR(-ETIMEDOUT, weft_completions_next(set, &f, until));
    CHECK(weft_now() >= until.at);
    CHECK_ERR(-ETIMEDOUT, weft_completions_next(set, &f, WEFT_NOW));
    CHECK_INT(9, weft_completions_left(set));
    CHECK_OK(weft_future_set_result(c->all[3], NULL));
    CHECK_OK(weft_completions_next(set, &f, until)); /* what is there beats the deadline */
    CHECK_PTR(c->all[3], f);
    weft_future_unref(f);
    weft_completions_free(set);
    end_crowd(c);
}

/* J110: it holds one reference to each until it gives it, and none afterwards */
TEST(completions_give_their_reference_with_the_future)
{
    weft_future *f[2], *got;
    weft_completions *set;
    CHECK_OK(weft_future_new(&f[0]));
    CHECK_OK(weft_future_new(&f[1]));
    CHECK_OK(weft_completions_new(&set, f, 2));
    CHECK_INT(2, f[0]->refs);
    CHECK_OK(weft_future_set_result(f[0], NULL));
    weft_future_unref(f[0]);
    CHECK_OK(weft_completions_next(set, &got, WEFT_NOW));
    CHECK_INT(1, got->refs);
    weft_future_unref(got); /* gone */
    weft_completions_free(set);
    CHECK_INT(1, f[1]->refs);
    CHECK_PTR(NULL, f[1]->first);
    weft_future_unref(f[1]);
}

static int takes_until_the_end(void *arg)
{
    crowd *c = arg;
    int err;
    weft_future *f;
    while ((err = weft_completions_next(c->set, &f, WEFT_FOREVER)) == 0)
        weft_future_unref(f);
    CHECK_ERR(-ENODATA, err);
    return 0;
}

/* J108, J115: several take from one set, several complete */
TEST_IN_LIMIT(30, THREAD | CO, completions_are_given_once_each_to_many_takers)
{
    for (long i = test_rounds(20, 1000); i > 0; i--) {
        crowd *c = new_crowd(t, MANY);
        weft_completions *set = new_set(c);
        test_spawn(t, takes_until_the_end, c);
        test_spawn(t, completes_all, c);
        test_spawn(t, takes_until_the_end, c);
        test_spawn(t, completes_all, c);
        test_spawn(t, takes_until_the_end, c);
        test_join(t);
        CHECK_INT(0, weft_completions_left(set));
        weft_completions_free(set);
        end_crowd(c);
    }
}

/* K114: sets that are freed early leave nothing behind, also against completers */
TEST_IN_LIMIT(30, THREAD | CO, completions_freed_early_leave_no_watcher)
{
    for (long i = test_rounds(50, 2000); i > 0; i--) {
        crowd *c = new_crowd(t, MANY);
        test_spawn(t, completes_all, c);
        for (int k = 0; k < 20; k++)
            weft_completions_free(new_set(c));
        test_join(t);
        end_crowd(c);
    }
}

static int is_cancelled_taking(void *arg)
{
    crowd *c = arg;
    weft_future *f;
    weft__waiter_cancel(weft__self());
    CHECK_ERR(-ECANCELED, weft_completions_next(c->set, &f, WEFT_FOREVER));
    return 0;
}

TEST_IN(THREAD | CO, completions_next_ends_when_its_caller_is_cancelled)
{
    crowd *c = new_crowd(t, 2);
    weft_completions *set = new_set(c);
    test_spawn(t, is_cancelled_taking, c);
    test_join(t);
    CHECK_INT(2, weft_completions_left(set));
    weft_completions_free(set);
    end_crowd(c);
}

/* ---- who waits helps ---- */

static bool run_here(weft_future *f, weft_until until)
{
    (void)until;
    return weft__future_begin(f) && weft__future_finish(f, NULL, f->paused ? -EIO : 0) == 0;
}

static const weft__future_ops helping = {.help = run_here};

static void make_jobs(weft_future *jobs, weft_future **array, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        weft__future_init(&jobs[i], &helping, 1);
        array[i] = &jobs[i];
    }
}

static unsigned count_done(const weft_future *jobs, unsigned n)
{
    unsigned done = 0;
    for (unsigned i = 0; i < n; i++)
        done += weft_future_done(&jobs[i]) != 0;
    return done;
}

/* A worker that waits for jobs of its own pool runs them, and no more of them than it needs. */
TEST_IN(THREAD | CO, futures_waiter_runs_jobs_that_have_not_begun)
{
    weft_future jobs[5], *array[5], *f;
    make_jobs(jobs, array, 5);
    CHECK_INT(5, weft_futures_wait(array, 5, WEFT_ALL_DONE, WEFT_FOREVER));
    make_jobs(jobs, array, 5);
    CHECK_INT(1, weft_futures_wait(array, 5, WEFT_FIRST_DONE, WEFT_FOREVER));
    make_jobs(jobs, array, 5);
    jobs[2].paused = 1; /* this one shall fail */
    CHECK_INT(3, weft_futures_wait(array, 5, WEFT_FIRST_ERROR, WEFT_FOREVER));
    make_jobs(jobs, array, 5);
    weft_completions *set;
    CHECK_OK(weft_completions_new(&set, array, 5));
    for (unsigned i = 0; i < 5; i++) {
        CHECK_INT(i, count_done(jobs, 5));
        CHECK_OK(weft_completions_next(set, &f, WEFT_FOREVER));
        CHECK_PTR(&jobs[i], f);
    }
    weft_completions_free(set);
}
