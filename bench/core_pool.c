/* core_pool.c - pools: empty jobs with futures on two workers, a thousand at a time; a round trip of one job; and what
 * two threads make of work that computes.
 *
 * Peers: Go's workers on a channel, once with a channel for each answer (which is what a future is) and once with a
 * struct and one WaitGroup for all; OpenMP's tasks and TBB's task_group, whose submitter may run them; GLib's pool. So
 * the pool is measured both with `waiters_help` and as it is usually made. */
#include "core.h"

#include <weft/co.h>
#include <weft/executor.h>

#include <pthread.h>
#include <stdatomic.h>

enum {
    WINDOW = 1000
};

static int empty(void *arg, void **result)
{
    *result = arg;
    return 0;
}

static int do_jobs(weft_executor *ex, bench *b)
{
    static weft_future *futures[WINDOW];
    static void *args[WINDOW];
    bench_start(b);
    for (uint64_t i = 0; i < b->n; i += WINDOW) {
        if (weft_submit_many(ex, empty, args, WINDOW, futures) != WINDOW)
            return -1;
        for (int k = 0; k < WINDOW; k++) {
            BENCH_MUST(weft_future_result(futures[k], NULL, WEFT_FOREVER));
            weft_future_unref(futures[k]);
        }
    }
    bench_stop(b);
    uint64_t done = (b->n + WINDOW - 1) / WINDOW * WINDOW;
    b->spent_ns = (int64_t)((double)b->spent_ns * (double)b->n / (double)done);
    return 0;
}

static int do_roundtrips(weft_executor *ex, bench *b)
{
    bench_start(b);
    for (uint64_t i = 0; i < b->n; i++) {
        weft_future *f;
        BENCH_MUST(weft_submit(ex, empty, NULL, &f));
        BENCH_MUST(weft_future_result(f, NULL, WEFT_FOREVER));
        weft_future_unref(f);
    }
    bench_stop(b);
    return 0;
}

static void with_threads(bench *b, int (*work)(weft_executor *ex, bench *b), int waiters_help)
{
    weft_executor *ex;
    BENCH_MUST(weft_thread_pool_new(&ex, &(weft_pool_options){.workers = 2, .waiters_help = waiters_help}));
    BENCH_MUST(work(ex, b));
    weft_executor_free(ex);
}

/* ---- jobs ---- */

BENCH_PEER(pool_jobs_go, "pool_jobs")
BENCH_PEER(pool_jobs_go_struct, "pool_jobs_struct")

BENCH(pool_jobs_beside_go, .python = "pool_jobs", .baseline = "pool_jobs_go", .at_most = 1)
{
    with_threads(b, do_jobs, 1);
}

BENCH(pool_jobs_beside_go_struct, .baseline = "pool_jobs_go_struct", .at_most = 1)
{
    with_threads(b, do_jobs, 1);
}

BENCH(pool_jobs_by_workers, .baseline = "pool_jobs_go", .at_most = 1)
{
    with_threads(b, do_jobs, 0);
}

#if BENCH_HAVE_POOL_PEERS
#include "peers/pool_peers.h"

static void by_peer(bench *b, void (*work)(uint64_t n))
{
    bench_start(b);
    work(b->n < WINDOW ? WINDOW : b->n);
    bench_stop(b);
}

BENCH_BASELINE(pool_jobs_tbb)
{
    by_peer(b, peer_pool_tbb);
}

BENCH_BASELINE(pool_jobs_openmp)
{
    by_peer(b, peer_pool_openmp);
}

BENCH_BASELINE(pool_jobs_glib)
{
    by_peer(b, peer_pool_glib);
}

BENCH(pool_jobs_beside_tbb, .baseline = "pool_jobs_tbb", .at_most = 1)
{
    with_threads(b, do_jobs, 1);
}

BENCH(pool_jobs_beside_openmp, .baseline = "pool_jobs_openmp", .at_most = 1)
{
    with_threads(b, do_jobs, 1);
}

BENCH(pool_jobs_beside_glib, .baseline = "pool_jobs_glib", .at_most = 1)
{
    with_threads(b, do_jobs, 0);
}
#endif

/* ---- round trips ---- */

BENCH_PEER(pool_roundtrip_go, "pool_roundtrip")

BENCH(pool_roundtrip_helping, .baseline = "pool_roundtrip_go", .at_most = 0.67)
{
    with_threads(b, do_roundtrips, 1);
}

/* For the record: the job is run by another thread, which must be woken, or be just looking. */
BENCH(pool_roundtrip_by_workers, .python = "pool_roundtrip", .baseline = "pool_roundtrip_go")
{
    with_threads(b, do_roundtrips, 0);
}

/* ---- coroutines ---- */

static struct co_work {
    bench *b;
    int (*work)(weft_executor *ex, bench *b);
} co_work;

static int in_coroutine(void *arg)
{
    weft_executor *ex;
    (void)arg;
    BENCH_MUST(weft_co_pool_new(&ex, &(weft_pool_options){.workers = 100}));
    BENCH_MUST(co_work.work(ex, co_work.b));
    weft_executor_free(ex);
    return 0;
}

static void with_coroutines(bench *b, int (*work)(weft_executor *ex, bench *b))
{
    weft_co *co;
    co_work = (struct co_work){b, work};
    BENCH_MUST(weft_co_threads(1));
    BENCH_MUST(weft_co_start(&co, in_coroutine, NULL, NULL));
    BENCH_MUST(weft_co_join(co, NULL, WEFT_FOREVER));
}

BENCH(pool_jobs_coroutines, .baseline = "pool_jobs_go", .at_most = 1)
{
    with_coroutines(b, do_jobs);
}

BENCH(pool_roundtrip_coroutines, .baseline = "pool_roundtrip_go", .at_most = 0.67)
{
    with_coroutines(b, do_roundtrips);
}

/* ---- two threads, twice the work ---- */

static int compute(void *arg, void **result)
{
    uint64_t x = (uintptr_t)arg;
    for (int i = 0; i < 250000; i++)
        x = x * UINT64_C(6364136223846793005) + 1442695040888963407;
    *result = (void *)(uintptr_t)x;
    return 0;
}

/* So many that the last one, which one thread does while the other has nothing left, is no part of the figure. */
enum {
    CHUNKS = 512
};

static double seconds_with(unsigned workers)
{
    weft_executor *ex;
    void *args[CHUNKS] = {NULL};
    BENCH_MUST(weft_thread_pool_new(&ex, &(weft_pool_options){.workers = workers}));
    int64_t began = bench_now();
    BENCH_MUST(weft_submit_many(ex, compute, args, CHUNKS, NULL));
    BENCH_MUST(weft_executor_shutdown(ex, WEFT_SHUTDOWN_WAIT, WEFT_FOREVER));
    int64_t spent = bench_now() - began;
    weft_executor_free(ex);
    return (double)spent;
}

/* The same work in bare threads that count the chunks: what the machine gives. */
static _Atomic int next_chunk;

static void *compute_chunks(void *arg)
{
    void *result = NULL;
    while (atomic_fetch_add(&next_chunk, 1) < CHUNKS)
        compute(arg, &result);
    return result;
}

static double seconds_bare(unsigned threads)
{
    pthread_t thread[2];
    atomic_store(&next_chunk, 0);
    int64_t began = bench_now();
    for (unsigned i = 0; i < threads; i++)
        BENCH_MUST(-pthread_create(&thread[i], NULL, compute_chunks, NULL));
    for (unsigned i = 0; i < threads; i++)
        pthread_join(thread[i], NULL);
    return (double)(bench_now() - began);
}

BENCH_BASELINE(computing_2_bare_threads, .unit = "of one thread's time", .fixed_n = 1)
{
    double one = seconds_bare(1);
    bench_value(b, seconds_bare(2) / one);
}

/* Time with two workers of that with one: 1 / 1.95 and less is a speed-up of 1.95 and more. */
BENCH(pool_computing_2_threads, .python = "computing", .baseline = "computing_2_bare_threads",
      .value_at_most = 1 / 1.95, .unit = "of one thread's time", .fixed_n = 1)
{
    double one = seconds_with(1);
    bench_value(b, seconds_with(2) / one);
}
