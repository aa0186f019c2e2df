/* core_park.c - the waiting place itself: a wake with nobody there, the round trip between two threads, how evenly
 * sleepers fall into the buckets of the word table. */
#include "core.h"

#include "park/park.h"

#include <weft/sem.h>

#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

/* Over several words, so that the place in the table is worked out each time. */
BENCH(wake_nobody_thread, .baseline = "wake_nobody_futex", .value_at_most = 10, .cores = 1)
{
    enum {
        WORDS = 64
    };
    static core_word words[WORDS];
    core_keep_second_thread();
    bench_start(b);
    for (uint64_t i = 0; i < b->n; i++)
        weft__wake(&words[i % WORDS].word, 1, 0);
    bench_stop(b);
}

struct side {
    uint32_t *mine, *other;
    uint64_t n;
};

/* Wait until the ball is here, give it back: the same steps as the futex's player. */
static void play(const struct side *s)
{
    for (uint64_t i = 0; i < s->n; i++) {
        while (load_acquire(s->mine) == 0)
            weft__park(s->mine, 0, WEFT_FOREVER, 0, "bench");
        store_relaxed(s->mine, 0);
        store_seq_cst(s->other, 1);
        weft__wake(s->other, 1, 0);
    }
}

static void *player(void *arg)
{
    core_keep_to(1);
    play(arg);
    return NULL;
}

static void roundtrip(bench *b)
{
    static core_word here, there;
    struct side a = {&here.word, &there.word, b->n}, z = {&there.word, &here.word, b->n};
    pthread_t thread;
    weft__park(&here.word, 0, weft_in(1), 0,
               "bench"); /* it looks once how many cores there are: before we keep to one */
    BENCH_MUST(-pthread_create(&thread, NULL, player, &z));
    core_keep_to(0);
    bench_start(b);
    store_seq_cst(&here.word, 1);
    play(&a);
    pthread_join(thread, NULL);
    bench_stop(b);
}

BENCH(roundtrip_threads_one_core, .baseline = "roundtrip_futex", .at_most = 1.1, .cores = 1)
{
    roundtrip(b);
}

BENCH(roundtrip_threads_two_cores, .baseline = "roundtrip_futex", .at_most = 1.1)
{
    roundtrip(b);
}

/* --- what a program does: two semaphores here, a mutex and a condition there ------------------------------------- */

static weft_sem ping, pong;

static void *answer_sems(void *arg)
{
    const bench *b = arg;
    core_keep_to(1);
    for (uint64_t i = 0; i < b->n; i++) {
        BENCH_MUST(weft_sem_acquire(&ping, WEFT_FOREVER));
        BENCH_MUST(weft_sem_release(&pong, 1));
    }
    return NULL;
}

static void roundtrip_sems(bench *b)
{
    pthread_t thread;
    weft_sem_acquire(&ping, weft_in(1)); /* as above */
    BENCH_MUST(-pthread_create(&thread, NULL, answer_sems, b));
    core_keep_to(0);
    bench_start(b);
    for (uint64_t i = 0; i < b->n; i++) {
        BENCH_MUST(weft_sem_release(&ping, 1));
        BENCH_MUST(weft_sem_acquire(&pong, WEFT_FOREVER));
    }
    pthread_join(thread, NULL);
    bench_stop(b);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed[2] = {PTHREAD_COND_INITIALIZER, PTHREAD_COND_INITIALIZER};
static int turn;

static void play_pthread(int me, uint64_t n)
{
    pthread_mutex_lock(&mutex);
    for (uint64_t i = 0; i < n; i++) {
        while (turn != me)
            pthread_cond_wait(&changed[me], &mutex);
        turn = !me;
        pthread_cond_signal(&changed[!me]);
    }
    pthread_mutex_unlock(&mutex);
}

static void *answer_pthread(void *arg)
{
    const bench *b = arg;
    core_keep_to(1);
    play_pthread(1, b->n);
    return NULL;
}

BENCH_BASELINE(roundtrip_pthread_cond)
{
    pthread_t thread;
    BENCH_MUST(-pthread_create(&thread, NULL, answer_pthread, b));
    core_keep_to(0);
    bench_start(b);
    play_pthread(0, b->n);
    pthread_join(thread, NULL);
    bench_stop(b);
}

BENCH(roundtrip_semaphores_two_cores, .python = "semaphore_roundtrip", .baseline = "roundtrip_pthread_cond",
      .at_most = 0.1)
{
    roundtrip_sems(b);
}

BENCH(roundtrip_semaphores_one_core, .python = "semaphore_roundtrip", .baseline = "roundtrip_pthread_cond",
      .at_most = 1.0, .cores = 1)
{
    roundtrip_sems(b);
}

/* 100,000 addresses at one distance from each other. How many times the mean does the fullest bucket hold? */
static double fullest_bucket(size_t distance, uint32_t *count)
{
    enum {
        SLEEPERS = 100000,
        BUCKETS = 1 << WEFT__BUCKETS_LOG2
    };
    uintptr_t base = UINT64_C(0x7f0000000000);
    uint32_t most = 0;
    for (unsigned i = 0; i < BUCKETS; i++)
        count[i] = 0;
    for (unsigned i = 0; i < SLEEPERS; i++) {
        uint32_t at = ++count[weft__bucket_of((const uint32_t *)(base + i * distance)) - weft__words.buckets];
        if (at > most)
            most = at;
    }
    return (double)most / ((double)SLEEPERS / BUCKETS);
}

/* The worst of 32 of the seeds a process may draw and of the distances at which words really lie: packed, one a cache
 * line, one a page, one a stack. */
BENCH(bucket_fullest_to_mean, .unit = "x mean", .value_at_most = 10, .fixed_n = 1)
{
    static const size_t distances[] = {4, 24, 64, 192, 4096, 65536, 69632, 1 << 20};
    uint32_t *count = calloc(sizeof *count, (size_t)1 << WEFT__BUCKETS_LOG2);
    double worst = 0;
    for (unsigned seed = 0; seed < 32; seed++) {
        BENCH_MUST(getrandom(&weft__words.seed, sizeof weft__words.seed, 0));
        weft__words.seed |= 1;
        for (unsigned d = 0; d < sizeof distances / sizeof *distances; d++) {
            double ratio = fullest_bucket(distances[d], count);
            if (ratio > worst)
                worst = ratio;
        }
    }
    free(count);
    bench_value(b, worst);
}
