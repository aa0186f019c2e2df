/* core_co.c - coroutines: round trips, yields, starts and ends, a hundred thousand sleepers woken one by one, the
 * memory of a million that wait. One scheduler thread unless the name says otherwise (the process is kept to one core).
 */
#include "core.h"

#include <weft/co.h>
#include <weft/event.h>
#include <weft/sem.h>

#include "park/park.h"
#include "procstat.h"

#include <string.h>
#include <sys/mman.h>

/* --- round trips ---------------------------------------------------------------------------------------------- */

struct side {
    uint32_t *mine, *other;
    uint64_t n;
};

static int play_words(void *arg)
{
    struct side *s = arg;
    for (uint64_t i = 0; i < s->n; i++) {
        while (load_acquire(s->mine) == 0)
            weft__park(s->mine, 0, WEFT_FOREVER, 0, "bench");
        store_relaxed(s->mine, 0);
        store_seq_cst(s->other, 1);
        weft__wake(s->other, 1, 0);
    }
    return 0;
}

static int roundtrip_words(void *arg)
{
    static core_word here, there;
    bench *b = arg;
    struct side a = {&here.word, &there.word, b->n}, z = {&there.word, &here.word, b->n};
    weft_co *co;
    BENCH_MUST(weft_co_start(&co, play_words, &z, NULL));
    bench_start(b);
    store_seq_cst(&here.word, 1);
    play_words(&a);
    BENCH_MUST(weft_co_join(co, NULL, WEFT_FOREVER));
    bench_stop(b);
    return 0;
}

/* The gate: two coroutines of one thread, each asleep on a word of its own in turn. */
BENCH(roundtrip_coroutines, .baseline = "switch_twice_bare", .value_at_most = 200, .cores = 1)
{
    core_in_coroutine(b, roundtrip_words);
}

static weft_sem ping, pong;

static int answer(void *arg)
{
    bench *b = arg;
    for (uint64_t i = 0; i < b->n; i++) {
        BENCH_MUST(weft_sem_acquire(&ping, WEFT_FOREVER));
        BENCH_MUST(weft_sem_release(&pong, 1));
    }
    return 0;
}

static int roundtrip_sems(void *arg)
{
    bench *b = arg;
    weft_co *co;
    BENCH_MUST(weft_co_start(&co, answer, b, NULL));
    bench_start(b);
    for (uint64_t i = 0; i < b->n; i++) {
        BENCH_MUST(weft_sem_release(&ping, 1));
        BENCH_MUST(weft_sem_acquire(&pong, WEFT_FOREVER));
    }
    bench_stop(b);
    return weft_co_join(co, NULL, WEFT_FOREVER);
}

BENCH_PEER(roundtrip_go_channels, "pingpong")
BENCH(roundtrip_coroutines_semaphores, .python = "co_semaphore_roundtrip", .baseline = "roundtrip_go_channels",
      .at_most = 0.667, .cores = 1)
{
    core_in_coroutine(b, roundtrip_sems);
}

/* --- yields --------------------------------------------------------------------------------------------------- */

static int yield_half(void *arg)
{
    bench *b = arg;
    for (uint64_t i = 0; i < b->n / 2 + 1; i++)
        weft_yield();
    return 0;
}

static int yield_in_turns(void *arg)
{
    bench *b = arg;
    weft_co *co;
    bench_start(b);
    BENCH_MUST(weft_co_start(&co, yield_half, b, NULL));
    yield_half(b);
    BENCH_MUST(weft_co_join(co, NULL, WEFT_FOREVER));
    bench_stop(b);
    return 0;
}

BENCH_PEER(yield_go, "yield")
BENCH(yield_coroutines, .python = "co_yield", .baseline = "yield_go", .cores = 1)
{
    core_in_coroutine(b, yield_in_turns);
}

/* --- starts and ends ------------------------------------------------------------------------------------------ */

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int start_and_join(void *arg)
{
    bench *b = arg;
    bench_start(b);
    for (uint64_t i = 0; i < b->n; i++) {
        weft_co *co;
        BENCH_MUST(weft_co_start(&co, nothing, NULL, NULL));
        BENCH_MUST(weft_co_join(co, NULL, WEFT_FOREVER));
    }
    bench_stop(b);
    return 0;
}

BENCH_PEER(start_join_go, "start_join")
BENCH(start_join_coroutine, .python = "co_start_join", .baseline = "start_join_go", .at_most = 0.5, .cores = 1)
{
    core_in_coroutine(b, start_and_join);
}

BENCH(start_join_coroutine_all_cores, .baseline = "start_join_go", .at_most = 0.5)
{
    core_in_coroutine(b, start_and_join);
}

static int give_unit(void *arg)
{
    return weft_sem_release(arg, 1);
}

static int start_thousands(void *arg)
{
    bench *b = arg;
    weft_sem ended = WEFT_SEM_INIT(0);
    bench_start(b);
    for (uint64_t left = b->n; left > 0;) {
        uint64_t batch = left < 1000 ? left : 1000;
        for (uint64_t i = 0; i < batch; i++)
            BENCH_MUST(weft_go(give_unit, &ended));
        for (uint64_t i = 0; i < batch; i++)
            BENCH_MUST(weft_sem_acquire(&ended, WEFT_FOREVER));
        left -= batch;
    }
    bench_stop(b);
    return 0;
}

BENCH_PEER(start_batch_go, "start_batch")
BENCH(start_batch_coroutines, .python = "co_start_batch", .baseline = "start_batch_go", .at_most = 0.5, .cores = 1)
{
    core_in_coroutine(b, start_thousands);
}

/* --- many sleepers -------------------------------------------------------------------------------------------- */

static uint32_t *words, started, finished;

static int sleep_on_word(void *arg)
{
    uint32_t *word = arg;
    add_seq_cst(&started, 1);
    while (load_acquire(word) == 0)
        weft__park(word, 0, WEFT_FOREVER, 0, "bench");
    add_seq_cst(&finished, 1);
    return 0;
}

/* b->n coroutines, each asleep on a word of its own; the time from the first wake to the end of the last of them. */
static int wake_each(void *arg)
{
    bench *b = arg;
    words = calloc(b->n, sizeof *words);
    for (uint64_t i = 0; i < b->n; i++)
        BENCH_MUST(weft_go(sleep_on_word, &words[i]));
    for (uint64_t i = 0; i < b->n; i++)
        while (weft__sleepers(&words[i]) == 0)
            weft_yield();
    bench_start(b);
    for (uint64_t i = 0; i < b->n; i++) {
        store_seq_cst(&words[i], 1);
        weft__wake(&words[i], 1, 0);
    }
    while (load_acquire(&finished) < b->n)
        weft_yield();
    bench_stop(b);
    return 0;
}

BENCH_BASELINE(wake_12500_sleepers, .fixed_n = 12500)
{
    core_in_coroutine(b, wake_each);
}

/* Linear: a sleeper of many costs what a sleeper of few does, but for the cache misses of stacks that no longer fit. */
BENCH(wake_25000_sleepers, .baseline = "wake_12500_sleepers", .fixed_n = 25000, .at_most = 1.5, .cores = 1)
{
    core_in_coroutine(b, wake_each);
}

BENCH(wake_50000_sleepers, .baseline = "wake_12500_sleepers", .fixed_n = 50000, .at_most = 1.5, .cores = 1)
{
    core_in_coroutine(b, wake_each);
}

BENCH(wake_100000_sleepers, .baseline = "wake_12500_sleepers", .fixed_n = 100000, .at_most = 1.5, .cores = 1)
{
    core_in_coroutine(b, wake_each);
}

/* --- a million that wait -------------------------------------------------------------------------------------- */

enum {
    MILLION = 1000000,
    ENOUGH_MIB = 8192
};

static weft_event never;

static int wait_for_event(void *arg)
{
    (void)arg;
    add_seq_cst(&started, 1);
    return weft_event_wait(&never, WEFT_FOREVER);
}

/* Bytes of memory that b->n waiting coroutines cost, each, by `memory`, which falls (-1) or grows (1) with them. */
static void measure_parked(bench *b, int64_t (*memory)(void), int sign)
{
    if (core_available_bytes() < (int64_t)ENOUGH_MIB << 20)
        bench_skip(b, "less than %d MiB of memory are available", ENOUGH_MIB);
    core_in_coroutine(b, nothing); /* the scheduler's own memory is not theirs */
    int64_t before = memory();
    for (uint64_t i = 0; i < b->n; i++)
        BENCH_MUST(weft_go(wait_for_event, NULL));
    while (load_acquire(&started) < b->n)
        core_sleep_ms(1);
    core_sleep_ms(100);
    bench_value(b, (double)(sign * (memory() - before)) / (double)b->n);
}

static int64_t own_rss(void)
{
    return procstat_rss_bytes(0);
}

BENCH_PEER(parked_million_go, "parked", .unit = "bytes", .fixed_n = MILLION)
BENCH(parked_million_coroutines, .python = "co_parked", .python_n = 100000, .baseline = "parked_million_go",
      .value_at_most = 6144, .unit = "bytes", .fixed_n = MILLION, .samples = 3)
{
    measure_parked(b, own_rss, 1);
}

/* With what the kernel keeps for them: page tables, mappings. */
BENCH_PEER(parked_million_machine_go, "parked_machine", .unit = "bytes", .fixed_n = MILLION)
BENCH(parked_million_machine, .baseline = "parked_million_machine_go", .unit = "bytes", .fixed_n = MILLION,
      .samples = 3)
{
    measure_parked(b, core_available_bytes, -1);
}
