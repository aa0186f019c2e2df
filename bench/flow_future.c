/* flow_future.c - futures and select beside Go's channels: a fresh channel of one element is Go's future. An outcome
 * that is set and read by one thread, a chain of futures between two coroutines and between two threads, select with a
 * ready case, and select in a round trip. */
#include "core.h"

#include <weft/co.h>
#include <weft/select.h>

#include <pthread.h>
#include <stdint.h>

/* ---- one thread ---- */

BENCH_PEER(future_set_get_go, "future_set_get", .cores = 1)
BENCH(future_set_get, .python = "future_set_get", .baseline = "future_set_get_go", .at_most = 0.667, .cores = 1)
{
    core_keep_second_thread();
    bench_start(b);
    for (uint64_t i = 0; i < b->n; i++) {
        weft_future *f;
        void *result;
        BENCH_MUST(weft_future_new(&f));
        BENCH_MUST(weft_future_set_result(f, b));
        BENCH_MUST(weft_future_result(f, &result, WEFT_FOREVER));
        weft_future_unref(f);
    }
    bench_stop(b);
}

/* ---- round trips: each message is a future, and its result the future in which the answer shall come ---- */

typedef struct chain {
    bench *b;
    weft_future *first;
} chain;

/* Wait for `f`, whose result is the future of the answer; answer with the next one. */
static weft_future *answer(weft_future *f)
{
    weft_future *next;
    void *reply;
    BENCH_MUST(weft_future_result(f, &reply, WEFT_FOREVER));
    weft_future_unref(f);
    BENCH_MUST(weft_future_new(&next));
    weft_future_ref(next);
    BENCH_MUST(weft_future_set_result(reply, next));
    weft_future_unref(reply); /* who completes has a reference, too */
    return next;
}

static int answers(void *arg)
{
    chain *c = arg;
    weft_future *f = c->first;
    for (uint64_t i = 0; i < c->b->n; i++)
        f = answer(f);
    weft_future_unref(f);
    weft_future_unref(f);
    return 0;
}

static void asks(chain *c)
{
    weft_future *f;
    BENCH_MUST(weft_future_new(&f));
    weft_future_ref(f);
    BENCH_MUST(weft_future_set_result(c->first, f));
    weft_future_unref(c->first);
    for (uint64_t i = 1; i < c->b->n; i++)
        f = answer(f);
    BENCH_MUST(weft_future_wait(f, WEFT_FOREVER));
    weft_future_unref(f);
}

static void begin_chain(chain *c, bench *b)
{
    c->b = b;
    BENCH_MUST(weft_future_new(&c->first));
    weft_future_ref(c->first);
}

static int roundtrip(void *arg)
{
    chain c;
    weft_co *co;
    begin_chain(&c, arg);
    BENCH_MUST(weft_co_start(&co, answers, &c, NULL));
    bench_start(c.b);
    asks(&c);
    bench_stop(c.b);
    return weft_co_join(co, NULL, WEFT_FOREVER);
}

BENCH_PEER(future_roundtrip_go, "future_roundtrip", .cores = 1)
BENCH(future_roundtrip_coroutines, .python = "co_future_roundtrip", .baseline = "future_roundtrip_go", .at_most = 0.667,
      .cores = 1)
{
    core_in_coroutine(b, roundtrip);
}

static void *answers_in_thread(void *arg)
{
    answers(arg);
    return NULL;
}

static void roundtrip_threads(bench *b)
{
    chain c;
    pthread_t thread;
    begin_chain(&c, b);
    weft_future_wait(c.first, weft_in(1)); /* counts the cores before the process is kept to one */
    BENCH_MUST(-pthread_create(&thread, NULL, answers_in_thread, &c));
    bench_start(b);
    asks(&c);
    bench_stop(b);
    pthread_join(thread, NULL);
}

BENCH(future_roundtrip_threads, .baseline = "roundtrip_futex", .cores = 1)
{
    roundtrip_threads(b);
}

BENCH(future_roundtrip_threads_two_cores, .python = "future_roundtrip", .baseline = "roundtrip_futex")
{
    roundtrip_threads(b);
}

/* ---- select ---- */

typedef struct lines {
    bench *b;
    weft_queue *ping, *pong, *quit;
} lines;

static void open_lines(lines *l, bench *b)
{
    weft_queue_options one = {.capacity = 1};
    l->b = b;
    BENCH_MUST(weft_queue_new(&l->ping, sizeof(int), &one));
    BENCH_MUST(weft_queue_new(&l->pong, sizeof(int), &one));
    BENCH_MUST(weft_queue_new(&l->quit, sizeof(int), &one));
}

static void close_lines(lines *l)
{
    weft_queue_free(l->ping);
    weft_queue_free(l->pong);
    weft_queue_free(l->quit);
}

static int select_two(weft_queue *a, weft_queue *b)
{
    int n;
    weft_case cases[] = {WEFT_CASE_GET(a, &n), WEFT_CASE_GET(b, &n)};
    return weft_select(cases, 2, WEFT_FOREVER);
}

BENCH_PEER(select_ready_go, "select_ready", .cores = 1)
BENCH(select_ready, .baseline = "select_ready_go", .at_most = 1, .cores = 1)
{
    lines l;
    open_lines(&l, b);
    core_keep_second_thread();
    bench_start(b);
    for (uint64_t i = 0; i < b->n; i++) {
        BENCH_MUST(weft_queue_put(i & 1 ? l.ping : l.pong, &(int){1}, WEFT_FOREVER));
        BENCH_MUST(select_two(l.ping, l.pong));
    }
    bench_stop(b);
    close_lines(&l);
}

static int select_answers(void *arg)
{
    lines *l = arg;
    while (select_two(l->ping, l->quit) == 0)
        BENCH_MUST(weft_queue_put(l->pong, &(int){1}, WEFT_FOREVER));
    return 0;
}

static int select_roundtrip(void *arg)
{
    lines l;
    weft_co *co;
    open_lines(&l, arg);
    BENCH_MUST(weft_co_start(&co, select_answers, &l, NULL));
    bench_start(l.b);
    for (uint64_t i = 0; i < l.b->n; i++) {
        BENCH_MUST(weft_queue_put(l.ping, &(int){1}, WEFT_FOREVER));
        BENCH_MUST(select_two(l.pong, l.quit));
    }
    bench_stop(l.b);
    weft_queue_close(l.quit, WEFT_CLOSE_DRAIN);
    BENCH_MUST(weft_co_join(co, NULL, WEFT_FOREVER));
    close_lines(&l);
    return 0;
}

BENCH_PEER(select_roundtrip_go, "select_roundtrip", .cores = 1)
BENCH(select_roundtrip_coroutines, .baseline = "select_roundtrip_go", .at_most = 1, .cores = 1)
{
    core_in_coroutine(b, select_roundtrip);
}
