/* core_thread.c - threads: started and joined one by one and a hundred at a time, beside the C library's; values of
 * one's own beside thread-specific data. */
#include "core.h"

#include <weft/co.h>
#include <weft/local.h>
#include <weft/thread.h>

#include <pthread.h>

enum {
    BATCH = 100
};

static void *do_nothing(void *arg)
{
    return arg;
}

static int return_nothing(void *arg)
{
    (void)arg;
    return 0;
}

static void start_and_join(bench *b)
{
    bench_start(b);
    for (uint64_t i = 0; i < b->n; i++) {
        weft_thread t = WEFT_THREAD_INIT;
        BENCH_MUST(weft_thread_start(&t, return_nothing, NULL, NULL));
        BENCH_MUST(weft_thread_join(&t, NULL, WEFT_FOREVER));
    }
    bench_stop(b);
}

static void create_and_join(bench *b)
{
    bench_start(b);
    for (uint64_t i = 0; i < b->n; i++) {
        pthread_t t;
        BENCH_MUST(-pthread_create(&t, NULL, do_nothing, NULL));
        BENCH_MUST(-pthread_join(t, NULL));
    }
    bench_stop(b);
}

BENCH_BASELINE(thread_start_join_pthread)
{
    create_and_join(b);
}

BENCH(thread_start_join, .python = "start_join", .baseline = "thread_start_join_pthread", .at_most = 1.1)
{
    start_and_join(b);
}

BENCH_BASELINE(thread_start_join_pthread_one_core, .cores = 1)
{
    create_and_join(b);
}

BENCH(thread_start_join_one_core, .baseline = "thread_start_join_pthread_one_core", .at_most = 1.25, .cores = 1)
{
    start_and_join(b);
}

BENCH_BASELINE(thread_hundred_pthread, .fixed_n = 1000)
{
    pthread_t t[BATCH];
    bench_start(b);
    for (uint64_t i = 0; i < b->n; i += BATCH) {
        for (int j = 0; j < BATCH; j++)
            BENCH_MUST(-pthread_create(&t[j], NULL, do_nothing, NULL));
        for (int j = 0; j < BATCH; j++)
            BENCH_MUST(-pthread_join(t[j], NULL));
    }
    bench_stop(b);
}

BENCH(thread_hundred, .baseline = "thread_hundred_pthread", .at_most = 1.1, .fixed_n = 1000)
{
    bench_start(b);
    for (uint64_t i = 0; i < b->n; i += BATCH) {
        weft_thread t[BATCH] = {0};
        for (int j = 0; j < BATCH; j++)
            BENCH_MUST(weft_thread_start(&t[j], return_nothing, NULL, NULL));
        for (int j = 0; j < BATCH; j++)
            BENCH_MUST(weft_thread_join(&t[j], NULL, WEFT_FOREVER));
    }
    bench_stop(b);
}

/* ---- values of one's own ---- */

BENCH_BASELINE(local_get_pthread, .cores = 1)
{
    pthread_key_t key;
    uintptr_t sum = 0;
    BENCH_MUST(-pthread_key_create(&key, NULL));
    BENCH_MUST(-pthread_setspecific(key, b));
    bench_start(b);
    for (uint64_t i = 0; i < b->n; i++)
        sum += (uintptr_t)pthread_getspecific(key);
    bench_stop(b);
    __asm__ volatile("" : : "r"(sum));
}

static weft_local value = WEFT_LOCAL_INIT(NULL);

static int get_values(void *arg)
{
    bench *b = arg;
    uintptr_t sum = 0;
    BENCH_MUST(weft_local_set(&value, b));
    bench_start(b);
    for (uint64_t i = 0; i < b->n; i++)
        sum += (uintptr_t)weft_local_get(&value);
    bench_stop(b);
    __asm__ volatile("" : : "r"(sum));
    return 0;
}

BENCH(local_get_thread, .baseline = "local_get_pthread", .at_most = 1.5, .cores = 1)
{
    get_values(b);
}

BENCH(local_get_co, .baseline = "local_get_pthread", .at_most = 1.5, .cores = 1)
{
    weft_co *co;
    BENCH_MUST(weft_co_start(&co, get_values, b, NULL));
    BENCH_MUST(weft_co_join(co, NULL, WEFT_FOREVER));
}
