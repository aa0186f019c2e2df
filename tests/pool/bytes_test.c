/* bytes_test.c - jobs over bytes and maps over bytes, the same in threads, coroutines and processes. */
#include "process_support.h"

#include <weft/co.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Every engine in turn. */
static weft_executor *engine(int i, unsigned workers)
{
    weft_executor *ex = NULL;
    const weft_pool_options options = {.workers = workers};
    CHECK_OK(i == 0   ? weft_process_pool_new(&ex, &options, NULL)
             : i == 1 ? weft_thread_pool_new(&ex, &options)
                      : weft_co_pool_new(&ex, &options));
    return ex;
}

/* */
TEST(bytes_jobs_run_in_every_engine)
{
    for (int e = 0; e < 3; e++) {
        weft_executor *ex = engine(e, 2);
        weft_bytes in[100];
        weft_future *f[100];
        long numbers[100];
        for (long i = 0; i < 100; i++) {
            numbers[i] = i;
            in[i] = (weft_bytes){&numbers[i], sizeof *numbers};
        }
        CHECK_INT(100, weft_submit_bytes_many(ex, bytes_square, in, 100, f));
        for (long i = 0; i < 100; i++) {
            CHECK_INT(i * i, bytes_long(f[i]));
            weft_future_unref(f[i]);
        }
        weft_future *failed;
        CHECK_OK(weft_submit_bytes(ex, bytes_square, "short", 5, NULL, &failed));
        CHECK_ERR(-EINVAL, weft_future_bytes(failed, NULL, WEFT_FOREVER));
        CHECK_STR(strerror(EINVAL), weft_future_why(failed));
        weft_future_unref(failed);
        CHECK_OK(weft_submit_bytes(ex, bytes_fail, &(int){-EDOM}, sizeof(int), NULL, &failed));
        CHECK_ERR(-EDOM, weft_future_bytes(failed, NULL, WEFT_FOREVER));
        CHECK(strstr(weft_future_why(failed), "no such luck") != NULL);
        weft_future_unref(failed);
        weft_executor_free(ex);
    }
}

TEST(bytes_of_a_future_that_has_none_are_refused)
{
    weft_future *f;
    CHECK_OK(weft_future_new(&f));
    CHECK_ERR(-EINVAL, weft_future_bytes(f, NULL, WEFT_NOW));
    CHECK_STR("", weft_future_why(f));
    CHECK_OK(weft_future_set_error(f, -EDOM));
    CHECK_STR(strerror(EDOM), weft_future_why(f));
    weft_future_unref(f);
}

struct numbers {
    long next, end;
    int error; /* instead of the end */
    long now;
};

static int next_number(void *arg, weft_bytes *input)
{
    struct numbers *n = arg;
    if (n->next == n->end)
        return n->error;
    n->now = n->next++;
    *input = (weft_bytes){&n->now, sizeof n->now};
    return 1;
}

static weft_bytes_map *map_of(weft_executor *ex, weft_bytes_fn *fn, struct numbers *n, const weft_map_options *options)
{
    weft_bytes_map *m = NULL;
    CHECK_OK(weft_bytes_map_new(&m, ex, fn, next_number, n, options));
    return m;
}

/* checklist 120, 146: in order, whatever the chunks and the engine. */
TEST_LIMIT(30, bytes_map_gives_the_results_in_order)
{
    static const size_t chunks[] = {0, 1, 6, 40, 50};
    for (int e = 0; e < 3; e++) {
        weft_executor *ex = engine(e, 2);
        for (size_t c = 0; c < 5; c++) {
            struct numbers n = {.end = 40};
            weft_bytes_map *m = map_of(ex, bytes_square, &n, &(weft_map_options){.chunk = chunks[c]});
            weft_bytes result;
            for (long i = 0; i < 40; i++) {
                CHECK_OK(weft_bytes_map_next(m, &result, WEFT_FOREVER));
                CHECK_INT(sizeof(long), result.size);
                CHECK_INT(i * i, *(const long *)result.data);
            }
            CHECK_ERR(-ENODATA, weft_bytes_map_next(m, &result, WEFT_FOREVER));
            weft_bytes_map_free(m);
        }
        weft_executor_free(ex);
    }
}

/* imap_unordered: each once. */
TEST_LIMIT(30, bytes_map_can_give_results_as_they_come)
{
    for (int e = 0; e < 3; e++)
        for (size_t chunk = 1; chunk <= 7; chunk += 3) {
            weft_executor *ex = engine(e, 3);
            struct numbers n = {.end = 100};
            weft_bytes_map *m = map_of(ex, bytes_square, &n, &(weft_map_options){.chunk = chunk, .unordered = 1});
            weft_bytes result;
            char seen[100] = "";
            for (int i = 0; i < 100; i++) {
                CHECK_OK(weft_bytes_map_next(m, &result, WEFT_FOREVER));
                long at = 0;
                while (at * at != *(const long *)result.data)
                    at++;
                CHECK(at < 100 && !seen[at]);
                seen[at] = 1;
            }
            CHECK_ERR(-ENODATA, weft_bytes_map_next(m, &result, WEFT_FOREVER));
            weft_bytes_map_free(m);
            weft_executor_free(ex);
        }
}

/* A result that is not there yet does not keep back those that are. */
struct either {
    struct shared_gate *gate; /* NULL: at once */
};

static int wait_or_not(const void *in, size_t size, weft_reply *reply)
{
    const struct either *e = in;
    return e->gate != NULL ? bytes_gate(in, size, reply) : weft_reply_put(reply, "at once", 7);
}

static int next_either(void *arg, weft_bytes *input)
{
    struct either **at = arg;
    if (*at == NULL)
        return 0;
    static struct either now;
    now = **at;
    input->data = &now;
    input->size = sizeof now;
    *at = now.gate != NULL ? *at + 1 : NULL;
    return 1;
}

TEST(bytes_map_without_order_does_not_wait_for_the_first)
{
    struct either inputs[] = {{shared_gate_new()}, {NULL}}, *first = inputs;
    weft_executor *ex = engine(0, 2);
    weft_bytes_map *m;
    weft_bytes result;
    CHECK_OK(weft_bytes_map_new(&m, ex, wait_or_not, next_either, &first, &(weft_map_options){.unordered = 1}));
    CHECK_OK(weft_bytes_map_next(m, &result, WEFT_FOREVER));
    CHECK_INT(7, result.size);
    CHECK_ERR(-ETIMEDOUT, weft_bytes_map_next(m, &result, WEFT_NOW));
    shared_gate_open(inputs[0].gate);
    CHECK_OK(weft_bytes_map_next(m, &result, WEFT_FOREVER));
    CHECK_INT(sizeof(long), result.size);
    CHECK_ERR(-ENODATA, weft_bytes_map_next(m, &result, WEFT_FOREVER));
    weft_bytes_map_free(m);
    weft_executor_free(ex);
}

static int fails_at_25(const void *in, size_t size, weft_reply *reply)
{
    if (*(const long *)in == 25)
        return weft_reply_fail(reply, -EDOM, "not 25");
    return bytes_square(in, size, reply);
}

/* checklist 121, 146: the results before it, then the error; twice in a row with one pool. */
TEST_LIMIT(30, bytes_map_gives_what_came_before_an_error)
{
    for (int e = 0; e < 3; e++) {
        weft_executor *ex = engine(e, 2);
        for (size_t round = 0; round < 4; round++) {
            struct numbers n = {.end = 100, .error = round % 2 ? -EIO : 0};
            if (round % 2)
                n.end = 25;
            weft_bytes_map *m =
                map_of(ex, round % 2 ? bytes_square : fails_at_25, &n, &(weft_map_options){.chunk = round < 2 ? 1 : 7});
            weft_bytes result;
            for (long i = 0; i < 25; i++) {
                CHECK_OK(weft_bytes_map_next(m, &result, WEFT_FOREVER));
                CHECK_INT(i * i, *(const long *)result.data);
            }
            CHECK_ERR(round % 2 ? -EIO : -EDOM, weft_bytes_map_next(m, &result, WEFT_FOREVER));
            CHECK_STR(round % 2 ? "" : "not 25", weft_bytes_map_why(m));
            CHECK_ERR(-ENODATA, weft_bytes_map_next(m, &result, WEFT_FOREVER));
            weft_bytes_map_free(m);
        }
        weft_executor_free(ex);
    }
}

/* S000-65, starmap: several arguments are a struct. */
struct pair {
    long a, b;
};

static int multiply(const void *in, size_t size, weft_reply *reply)
{
    const struct pair *p = in;
    CHECK_INT(sizeof *p, size);
    return weft_reply_put(reply, &(long){p->a * p->b}, sizeof(long));
}

static int next_pair(void *arg, weft_bytes *input)
{
    static struct pair now;
    long *i = arg;
    if (*i == 20)
        return 0;
    now = (struct pair){*i, *i + 1};
    ++*i;
    *input = (weft_bytes){&now, sizeof now};
    return 1;
}

TEST(bytes_map_takes_several_arguments_as_a_struct)
{
    weft_executor *ex = engine(0, 4);
    weft_bytes_map *m;
    weft_bytes result;
    long i = 0;
    CHECK_OK(weft_bytes_map_new(&m, ex, multiply, next_pair, &i, &(weft_map_options){.chunk = 3}));
    for (long k = 0; k < 20; k++) {
        CHECK_OK(weft_bytes_map_next(m, &result, WEFT_FOREVER));
        CHECK_INT(k * (k + 1), *(const long *)result.data);
    }
    weft_bytes_map_free(m);
    weft_executor_free(ex);
}

/* A map that is given up leaves nothing running. */
TEST(bytes_map_that_is_freed_early_leaves_nothing)
{
    for (int e = 0; e < 3; e++) {
        weft_executor *ex = engine(e, 2);
        struct numbers n = {.end = 1000000};
        weft_bytes_map *m = map_of(ex, bytes_square, &n, &(weft_map_options){.chunk = 5});
        weft_bytes result;
        CHECK_OK(weft_bytes_map_next(m, &result, WEFT_FOREVER));
        weft_bytes_map_free(m);
        CHECK(n.next < 100);
        weft_executor_free(ex);
    }
}

static void see_progress(weft_future *f, uint64_t done, uint64_t total, void *arg)
{
    (void)f;
    *(uint64_t *)arg = done * 100 / total;
}

static int half(const void *in, size_t size, weft_reply *reply)
{
    (void)in;
    (void)size;
    weft_reply_progress(reply, 5, 10);
    return 0;
}

TEST(bytes_jobs_tell_their_progress_in_every_engine)
{
    for (int e = 0; e < 3; e++) {
        weft_executor *ex = engine(e, 1);
        uint64_t percent = 0;
        weft_future *f;
        CHECK_OK(weft_submit_bytes(ex, half, NULL, 0,
                                   &(weft_job_options){.progress = see_progress, .progress_arg = &percent}, &f));
        CHECK_OK(weft_future_bytes(f, NULL, WEFT_FOREVER));
        CHECK_INT(50, percent);
        weft_future_unref(f);
        weft_executor_free(ex);
    }
}
