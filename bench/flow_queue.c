/* flow_queue.c - queues of 8-byte elements beside Go's buffered channels, TBB's concurrent_bounded_queue, Boost.Fiber's
 * buffered_channel and GLib's GAsyncQueue (which has no capacity). An operation is one element put and got. Threads
 * are measured beside goroutines too, although those switch without the kernel: that is what a program would use
 * instead. */
#include "core.h"
#include "peers/queue_peers.h"

#include <weft/co.h>
#include <weft/queue.h>

#include <pthread.h>

enum {
    CAPACITY = 1024,
    MAX_PAIRS = 8
};

static weft_queue *queue;
static uint64_t each;

static int put_each(void *arg)
{
    (void)arg;
    for (uint64_t i = 0; i < each; i++)
        BENCH_MUST(weft_queue_put(queue, &i, WEFT_FOREVER));
    return 0;
}

static int get_each(void *arg)
{
    (void)arg;
    uint64_t element;
    for (uint64_t i = 0; i < each; i++)
        BENCH_MUST(weft_queue_get(queue, &element, WEFT_FOREVER));
    return 0;
}

static void *put_thread(void *arg)
{
    put_each(arg);
    return NULL;
}

static void *get_thread(void *arg)
{
    get_each(arg);
    return NULL;
}

static void new_queue(const bench *b, unsigned pairs, enum weft_queue_kind kind, size_t capacity)
{
    each = b->n / pairs + 1;
    weft_queue_options options = {.kind = kind, .capacity = capacity};
    BENCH_MUST(weft_queue_new(&queue, sizeof(uint64_t), &options));
}

static void run_threads(bench *b, unsigned pairs, enum weft_queue_kind kind, size_t capacity)
{
    pthread_t ids[2 * MAX_PAIRS];
    new_queue(b, pairs, kind, capacity);
    bench_start(b);
    for (unsigned i = 0; i < 2 * pairs; i++)
        BENCH_MUST(-pthread_create(&ids[i], NULL, i % 2 == 0 ? get_thread : put_thread, NULL));
    for (unsigned i = 0; i < 2 * pairs; i++)
        pthread_join(ids[i], NULL);
    bench_stop(b);
    weft_queue_free(queue);
}

static void run_coroutines(bench *b, unsigned pairs)
{
    weft_co *cos[2 * MAX_PAIRS];
    new_queue(b, pairs, WEFT_FIFO, CAPACITY);
    bench_start(b);
    for (unsigned i = 0; i < 2 * pairs; i++)
        BENCH_MUST(weft_co_start(&cos[i], i % 2 == 0 ? get_each : put_each, NULL, NULL));
    for (unsigned i = 0; i < 2 * pairs; i++)
        BENCH_MUST(weft_co_join(cos[i], NULL, WEFT_FOREVER));
    bench_stop(b);
    weft_queue_free(queue);
}

#if BENCH_HAVE_QUEUE_PEERS
#define PEER(b, call)                                                                                                  \
    bench_start(b);                                                                                                    \
    call;                                                                                                              \
    bench_stop(b);
#else
#define PEER(b, call) bench_skip(b, "TBB, GLib or Boost.Fiber is not installed");
#endif

/* What `pairs` threads put and as many get, beside each peer. The number is fixed: one that is found out in a first run
 * counts the starts of threads. */
#define MILLION .fixed_n = 1000000
#define BESIDE(pairs, peer, ...)                                                                                       \
    BENCH(queue_##pairs##_pairs_beside_##peer, .baseline = "queue_" #pairs "_pairs_" #peer, .at_most = 0.667, MILLION, \
          ##__VA_ARGS__)                                                                                               \
    {                                                                                                                  \
        run_threads(b, pairs, WEFT_FIFO, CAPACITY);                                                                    \
    }
#define PAIRS(pairs)                                                                                                   \
    BENCH_PEER(queue_##pairs##_pairs_go, "queue_" #pairs, MILLION)                                                     \
    BENCH_BASELINE(queue_##pairs##_pairs_tbb, MILLION){PEER(b, peer_queue_tbb(pairs, b->n, CAPACITY))} BENCH_BASELINE( \
        queue_##pairs##_pairs_boost, MILLION){                                                                         \
        PEER(b, peer_queue_boost(pairs, b->n, CAPACITY))} BENCH_BASELINE(queue_##pairs##_pairs_glib, MILLION){         \
        PEER(b, peer_queue_glib(pairs, b->n))} BESIDE(pairs, go, .python = "queue_" #pairs) BESIDE(pairs, tbb)         \
        BESIDE(pairs, boost) BESIDE(pairs, glib)                                                                       \
            BENCH(queue_##pairs##_pairs_coroutines, .python = "co_queue_" #pairs,                                      \
                  .baseline = "queue_" #pairs "_pairs_go", .at_most = 0.667, MILLION)                                  \
    {                                                                                                                  \
        run_coroutines(b, pairs);                                                                                      \
    }

PAIRS(1)
PAIRS(2)
PAIRS(4)

/* --- what is not the common case ------------------------------------------------------------------------------- */

BENCH(queue_unbounded_2_pairs, .python = "queue_unbounded", .baseline = "queue_2_pairs_glib", .at_most = 0.667, MILLION)
{
    run_threads(b, 2, WEFT_FIFO, 0);
}

BENCH(queue_lifo_2_pairs, .python = "queue_lifo", .baseline = "queue_2_pairs_glib", MILLION)
{
    run_threads(b, 2, WEFT_LIFO, CAPACITY);
}

BENCH(queue_priority_2_pairs, .python = "queue_priority", .baseline = "queue_2_pairs_glib", MILLION)
{
    run_threads(b, 2, WEFT_PRIORITY, CAPACITY);
}

/* Ten million: the kernel may put both threads on one processor, and leaves two that give way to each other there for
 * up to thirty milliseconds, which is most of what a million takes. */
BENCH_PEER(queue_capacity_16_go, "queue_16", .fixed_n = 10000000)
BENCH(queue_capacity_16_threads, .python = "queue_16", .baseline = "queue_capacity_16_go", .at_most = 1,
      .fixed_n = 10000000)
{
    run_threads(b, 1, WEFT_FIFO, 16);
}

static void put_and_get(bench *b)
{
    bench_start(b);
    for (uint64_t i = 0; i < b->n; i++) {
        BENCH_MUST(weft_queue_put(queue, &i, WEFT_FOREVER));
        BENCH_MUST(weft_queue_get(queue, &i, WEFT_FOREVER));
    }
    bench_stop(b);
}

BENCH_PEER(queue_alone_go, "queue_alone")
BENCH(queue_alone, .python = "queue_alone", .baseline = "queue_alone_go", .cores = 1)
{
    core_keep_second_thread();
    new_queue(b, 1, WEFT_FIFO, CAPACITY);
    put_and_get(b);
    weft_queue_free(queue);
}

/* Other processors are there, and idle: nobody waits for them. */
BENCH(queue_alone_all_cores, .baseline = "queue_alone_go", .at_most = 1)
{
    core_keep_second_thread();
    new_queue(b, 1, WEFT_FIFO, CAPACITY);
    put_and_get(b);
    weft_queue_free(queue);
}

/* --- round trips: each side waits for the other ------------------------------------------------------------------ */

static weft_queue *back;

static int answer(void *arg)
{
    const bench *b = arg;
    uint64_t element;
    for (uint64_t i = 0; i < b->n; i++) {
        BENCH_MUST(weft_queue_get(queue, &element, WEFT_FOREVER));
        BENCH_MUST(weft_queue_put(back, &element, WEFT_FOREVER));
    }
    return 0;
}

static void *answer_thread(void *arg)
{
    answer(arg);
    return NULL;
}

static void ask(bench *b)
{
    bench_start(b);
    for (uint64_t i = 0; i < b->n; i++) {
        BENCH_MUST(weft_queue_put(queue, &i, WEFT_FOREVER));
        BENCH_MUST(weft_queue_get(back, &i, WEFT_FOREVER));
    }
    bench_stop(b);
}

static void new_pair(const bench *b)
{
    new_queue(b, 1, WEFT_FIFO, 1);
    back = queue;
    new_queue(b, 1, WEFT_FIFO, 1);
}

static int roundtrip(void *arg)
{
    bench *b = arg;
    weft_co *co;
    BENCH_MUST(weft_co_start(&co, answer, b, NULL));
    ask(b);
    return weft_co_join(co, NULL, WEFT_FOREVER);
}

/* Go's channels here have no buffer: the quickest that Go has for this. */
BENCH_PEER(queue_roundtrip_go, "pingpong")
BENCH(queue_roundtrip_coroutines, .python = "co_queue_roundtrip", .baseline = "queue_roundtrip_go", .at_most = 0.667,
      .cores = 1)
{
    weft_co *co;
    new_pair(b);
    BENCH_MUST(weft_co_start(&co, roundtrip, b, NULL));
    BENCH_MUST(weft_co_join(co, NULL, WEFT_FOREVER));
}

BENCH_PEER(queue_roundtrip_go_threads, "pingpong_threads")
BENCH(queue_roundtrip_threads, .python = "queue_roundtrip", .baseline = "queue_roundtrip_go_threads", .at_most = 0.667)
{
    pthread_t id;
    new_pair(b);
    BENCH_MUST(-pthread_create(&id, NULL, answer_thread, b));
    ask(b);
    pthread_join(id, NULL);
}
