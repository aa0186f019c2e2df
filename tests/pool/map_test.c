/* map_test.c - weft_map: order, chunks, the bound on how far it looks ahead, failures, time running out. */
#include "pool_support.h"

#include "base/atomic.h"

#include <weft/co.h>

#include <errno.h>
#include <string.h>

/* The inputs 0 ... n - 1. */
struct numbers {
    intptr_t at, n;
    int error; /* instead of the end */
};

static int next_number(void *arg, void **input)
{
    struct numbers *s = arg;
    if (s->at == s->n)
        return s->error;
    *input = (void *)s->at++;
    return 1;
}

/* The later it was submitted, the earlier it is done. */
static int square_late_first(void *arg, void **result)
{
    intptr_t n = (intptr_t)arg;
    if (n % 4 == 0)
        for (int i = 0; i < 200; i++)
            weft_yield();
    *result = (void *)(n * n);
    return 0;
}

static void expect_squares(weft_map *m, intptr_t n)
{
    for (intptr_t i = 0; i < n; i++) {
        void *result;
        CHECK_OK(weft_map_next(m, &result, WEFT_FOREVER));
        CHECK_INT(i * i, (intptr_t)result);
    }
}

/* K120, S000-64 */
TEST_IN(THREAD | CO, map_keeps_the_order_of_inputs_for_every_chunk_size)
{
    weft_executor *ex = pool_new(t, 4);
    const size_t chunks[] = {0, 1, 6, 40, 50};
    for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++) {
        struct numbers s = {.n = 40};
        weft_map *m;
        CHECK_OK(weft_map_new(&m, ex, square_late_first, next_number, &s, &(weft_map_options){.chunk = chunks[i]}));
        expect_squares(m, 40);
        CHECK_ERR(-ENODATA, weft_map_next(m, NULL, WEFT_FOREVER));
        CHECK_ERR(-ENODATA, weft_map_next(m, NULL, WEFT_FOREVER));
        weft_map_free(m);
    }
    weft_executor_free(ex);
}

/* K120 */
TEST_IN(THREAD | CO, map_of_nothing_is_at_its_end)
{
    weft_executor *ex = pool_new(t, 2);
    struct numbers s = {0};
    weft_map *m;
    CHECK_OK(weft_map_new(&m, ex, pool_square, next_number, &s, NULL));
    CHECK_ERR(-ENODATA, weft_map_next(m, NULL, WEFT_FOREVER));
    weft_map_free(m);
    weft_map_free(NULL);
    weft_executor_free(ex);
}

/* K123 */
TEST_IN(THREAD | CO, map_looks_no_further_ahead_than_it_may)
{
    weft_executor *ex = pool_new(t, 2);
    struct numbers s = {.n = 1000};
    weft_map *m;
    CHECK_OK(weft_map_new(&m, ex, pool_square, next_number, &s, &(weft_map_options){.look_ahead = 7}));
    CHECK_INT(7, s.at);
    for (intptr_t i = 0; i < 1000; i++) {
        CHECK_OK(weft_map_next(m, NULL, WEFT_FOREVER));
        CHECK_INT(i + 8 < 1000 ? i + 8 : 1000, s.at);
    }
    weft_map_free(m);

    s = (struct numbers){.n = 1000};
    CHECK_OK(weft_map_new(&m, ex, pool_square, next_number, &s, &(weft_map_options){.look_ahead = 25, .chunk = 10}));
    CHECK_INT(20, s.at);
    weft_map_free(m);
    weft_executor_free(ex);
}

static int fail_at_13(void *arg, void **result)
{
    return (intptr_t)arg == 13 ? -EDOM : pool_square(arg, result);
}

/* K121 */
TEST_IN(THREAD | CO, map_gives_what_is_before_a_failure_then_the_failure_then_the_end)
{
    weft_executor *ex = pool_new(t, 3);
    for (size_t chunk = 1; chunk <= 20; chunk++) {
        struct numbers s = {.n = 100};
        weft_map *m;
        CHECK_OK(weft_map_new(&m, ex, fail_at_13, next_number, &s, &(weft_map_options){.chunk = chunk}));
        expect_squares(m, 13);
        CHECK_ERR(-EDOM, weft_map_next(m, NULL, WEFT_FOREVER));
        CHECK_ERR(-ENODATA, weft_map_next(m, NULL, WEFT_FOREVER));
        weft_map_free(m);
    }
    weft_executor_free(ex);
}

TEST_IN(THREAD | CO, map_gives_an_error_of_its_inputs_in_their_order)
{
    weft_executor *ex = pool_new(t, 3);
    struct numbers s = {.n = 11, .error = -EIO};
    weft_map *m;
    CHECK_OK(weft_map_new(&m, ex, pool_square, next_number, &s, &(weft_map_options){.chunk = 4}));
    expect_squares(m, 11);
    CHECK_ERR(-EIO, weft_map_next(m, NULL, WEFT_FOREVER));
    CHECK_ERR(-ENODATA, weft_map_next(m, NULL, WEFT_FOREVER));
    weft_map_free(m);
    weft_executor_free(ex);
}

static struct gate gate;
static uint32_t begun; /* atomic */

static int wait_at_3(void *arg, void **result)
{
    add_seq_cst(&begun, 1);
    return (intptr_t)arg == 3 ? gate_pass(&gate, result) : pool_square(arg, result);
}

static weft_executor *blocked;

/* The map's end waits for the job that runs: let that go once the others are cancelled. */
static int open_when_nothing_waits(void *arg, void **result)
{
    weft_executor_info info;
    (void)arg;
    (void)result;
    do {
        weft_yield();
        weft_executor_look(blocked, &info);
    } while (info.queued != 0);
    gate_open(&gate);
    return 0;
}

/* K122 */
TEST_IN(THREAD | CO, map_that_ran_out_of_time_can_go_on_or_leave_the_rest_undone)
{
    weft_executor *ex = pool_new(t, 1);
    struct numbers s = {.n = 20};
    weft_map *m;
    CHECK_OK(weft_map_new(&m, ex, wait_at_3, next_number, &s, &(weft_map_options){.look_ahead = 20}));
    expect_squares(m, 3);
    CHECK_ERR(-ETIMEDOUT, weft_map_next(m, NULL, WEFT_NOW));
    CHECK_ERR(-ETIMEDOUT, weft_map_next(m, NULL, weft_in_ms(5)));
    gate_open(&gate);
    void *result;
    CHECK_OK(weft_map_next(m, &result, WEFT_FOREVER));
    CHECK_PTR(&gate, result);
    for (intptr_t i = 4; i < 20; i++)
        CHECK_OK(weft_map_next(m, NULL, WEFT_FOREVER));
    weft_map_free(m);

    memset(&gate, 0, sizeof gate);
    begun = 0;
    s = (struct numbers){.n = 20};
    CHECK_OK(weft_map_new(&m, ex, wait_at_3, next_number, &s, &(weft_map_options){.look_ahead = 20}));
    expect_squares(m, 3);
    CHECK_ERR(-ETIMEDOUT, weft_map_next(m, NULL, WEFT_NOW));
    gate_wait_inside(&gate, 1);
    weft_future *opener;
    weft_executor *other = pool_new(t, 1);
    blocked = ex;
    CHECK_OK(weft_submit(other, open_when_nothing_waits, NULL, &opener));
    weft_map_free(m);
    CHECK_INT(1, gate.passed);
    CHECK_INT(4, begun);
    weft_future_unref(opener);
    weft_executor_free(other);
    weft_executor_free(ex);
}

/* A queue that is full is no failure of a map. */
TEST_IN(THREAD | CO, map_goes_on_in_a_pool_with_a_short_queue)
{
    const enum weft_when_full ways[] = {WEFT_BLOCK, WEFT_REFUSE, WEFT_CALLER_RUNS};
    for (size_t i = 0; i < 3; i++) {
        weft_executor *ex = pool_new_with(t, &(weft_pool_options){.workers = 2, .max_queued = 1, .full = ways[i]});
        struct numbers s = {.n = 200};
        weft_map *m;
        CHECK_OK(weft_map_new(&m, ex, pool_square, next_number, &s, &(weft_map_options){.look_ahead = 50}));
        expect_squares(m, 200);
        CHECK_ERR(-ENODATA, weft_map_next(m, NULL, WEFT_FOREVER));
        weft_map_free(m);
        weft_executor_free(ex);
    }
}

/* K125 */
TEST_IN(THREAD | CO, map_of_a_closed_pool_says_so)
{
    weft_executor *ex = pool_new(t, 2);
    CHECK_OK(weft_executor_shutdown(ex, WEFT_SHUTDOWN_WAIT, WEFT_FOREVER));
    struct numbers s = {.n = 5};
    weft_map *m;
    CHECK_OK(weft_map_new(&m, ex, pool_square, next_number, &s, NULL));
    CHECK_ERR(-EPIPE, weft_map_next(m, NULL, WEFT_FOREVER));
    CHECK_ERR(-ENODATA, weft_map_next(m, NULL, WEFT_FOREVER));
    weft_map_free(m);
    weft_executor_free(ex);
}
