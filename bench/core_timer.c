/* core_timer.c - timers beside Go's (time.AfterFunc, time.NewTimer) and libuv's: a million that live, how late one of a
 * millisecond is, and several threads that set their own. */
#include "core.h"

#include <weft/event.h>
#include <weft/timer.h>

#include <pthread.h>
#include <stdlib.h>
#if BENCH_HAVE_LIBUV
#include <uv.h>
#endif

enum {
    MILLION = 1000000,
    FIRINGS = 300
};

/* The same row of numbers for each side. */
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}
#define FIRST_RANDOM 88172645463325252u

static void never(weft_timer *t)
{
    (void)t;
    abort();
}

/* --- a million: set each to somewhere between a second and a thousand, then cancel each ------------------------- */

static int64_t random_ms(uint64_t *state)
{
    return 1000 + (int64_t)(next_random(state) % 999000);
}

static void set_and_cancel(weft_timer *timers, uint64_t n)
{
    uint64_t state = FIRST_RANDOM;
    for (uint64_t i = 0; i < n; i++)
        BENCH_MUST(weft_timer_start(&timers[i], never, weft_in_ms(random_ms(&state)), 0));
    for (uint64_t i = 0; i < n; i++)
        if (weft_timer_cancel(&timers[i]) != 1)
            abort();
}

static weft_timer *make_timers(uint64_t n)
{
    weft_timer *timers = calloc(n, sizeof *timers);
    for (uint64_t i = 0; i < n; i++) /* the memory is there, as it is in a program's own structs */
        timers[i].arg = timers;
    BENCH_MUST(weft_timer_start(&timers[0], never, WEFT_FOREVER, 0));
    weft_timer_cancel(&timers[0]); /* the thread has started */
    return timers;
}

static void set_a_million(bench *b)
{
    weft_timer *timers = make_timers(b->n);
    bench_start(b);
    set_and_cancel(timers, b->n);
    bench_stop(b);
    free(timers);
}

BENCH_PEER(timers_million_go, "timers_million", .fixed_n = MILLION)
BENCH(timers_million, .python = "co_timers", .python_n = MILLION, .baseline = "timers_million_go", .fixed_n = MILLION,
      .at_most = 1.0 / 3)
{
    set_a_million(b);
}

#if BENCH_HAVE_LIBUV
static void never_uv(uv_timer_t *t)
{
    (void)t;
    abort();
}
#endif

BENCH_BASELINE(timers_million_libuv, .fixed_n = MILLION)
{
#if BENCH_HAVE_LIBUV
    uint64_t state = FIRST_RANDOM;
    uv_loop_t *loop = uv_default_loop();
    uv_timer_t *timers = calloc(b->n, sizeof *timers);
    for (uint64_t i = 0; i < b->n; i++)
        uv_timer_init(loop, &timers[i]);
    bench_start(b);
    for (uint64_t i = 0; i < b->n; i++)
        BENCH_MUST(uv_timer_start(&timers[i], never_uv, (uint64_t)random_ms(&state), 0));
    for (uint64_t i = 0; i < b->n; i++)
        BENCH_MUST(uv_timer_stop(&timers[i]));
    bench_stop(b);
#else
    bench_skip(b, "built without libuv");
#endif
}

BENCH(timers_million_beside_libuv, .baseline = "timers_million_libuv", .fixed_n = MILLION, .at_most = 1.0 / 3)
{
    set_a_million(b);
}

/* --- how late: a timer of a millisecond, set again when it has fired --------------------------------------------- */

static int64_t late[FIRINGS], due;
static unsigned fired;
static weft_event done;

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static double median_us(void)
{
    qsort(late, FIRINGS, sizeof *late, by_size);
    return (double)late[FIRINGS / 2] / 1000;
}

static void on_time(weft_timer *t)
{
    int64_t now = bench_now();
    late[fired++] = now - due;
    if (fired == FIRINGS) {
        weft_event_set(&done);
        return;
    }
    due = now + WEFT_MS;
    BENCH_MUST(weft_timer_start(t, on_time, (weft_until){due}, 0));
}

static void measure_lateness(bench *b)
{
    weft_timer t = WEFT_TIMER_INIT;
    due = bench_now() + WEFT_MS;
    BENCH_MUST(weft_timer_start(&t, on_time, (weft_until){due}, 0));
    BENCH_MUST(weft_event_wait(&done, WEFT_FOREVER));
    weft_timer_cancel(&t);
    bench_value(b, median_us());
}

BENCH_PEER(timer_late_go, "timer_late", .unit = "us late", .fixed_n = FIRINGS)
BENCH(timer_late, .python = "co_timer_late", .baseline = "timer_late_go", .unit = "us late", .fixed_n = FIRINGS,
      .at_most = 0.5)
{
    measure_lateness(b);
}

#if BENCH_HAVE_LIBUV
static void on_time_uv(uv_timer_t *t)
{
    int64_t now = bench_now();
    late[fired++] = now - due;
    if (fired == FIRINGS)
        return;
    due = now + WEFT_MS;
    uv_update_time(t->loop);
    BENCH_MUST(uv_timer_start(t, on_time_uv, 1, 0));
}
#endif

BENCH_BASELINE(timer_late_libuv, .unit = "us late", .fixed_n = FIRINGS)
{
#if BENCH_HAVE_LIBUV
    uv_loop_t *loop = uv_default_loop();
    uv_timer_t t;
    BENCH_MUST(uv_timer_init(loop, &t));
    due = bench_now() + WEFT_MS;
    uv_update_time(loop);
    BENCH_MUST(uv_timer_start(&t, on_time_uv, 1, 0));
    BENCH_MUST(uv_run(loop, UV_RUN_DEFAULT));
    bench_value(b, median_us());
#else
    bench_skip(b, "built without libuv");
#endif
}

BENCH(timer_late_beside_libuv, .baseline = "timer_late_libuv", .unit = "us late", .fixed_n = FIRINGS, .at_most = 0.5)
{
    measure_lateness(b);
}

/* --- several threads, each with a thousand timers of its own ----------------------------------------------------- */

enum {
    OWN = 1000
};

static void *set_own(void *arg)
{
    weft_timer *timers = make_timers(OWN);
    for (uint64_t left = *(uint64_t *)arg; left > 0;) {
        uint64_t batch = left < OWN ? left : OWN;
        set_and_cancel(timers, batch);
        left -= batch;
    }
    free(timers);
    return NULL;
}

BENCH_BASELINE(timers_own_1_thread)
{
    core_run_threads(b, 1, set_own);
}

BENCH(timers_own_2_threads, .baseline = "timers_own_1_thread")
{
    core_run_threads(b, 2, set_own);
}

BENCH(timers_own_8_threads, .baseline = "timers_own_1_thread")
{
    core_run_threads(b, 8, set_own);
}
