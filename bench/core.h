/* core.h - what the files of the core benchmarks share. */
#ifndef BENCH_CORE_H
#define BENCH_CORE_H

#include <weft/co.h>

#include "base/atomic.h"
#include "bench.h"

/* Keep the calling thread to one core, the `which`-th that it may use (they are counted round): what the kernel's
 * balancing would do to two threads that wake each other is not repeatable. */
void core_keep_to(unsigned which);

/* Keep a second thread alive for as long as the sample runs: what a process with threads pays. */
void core_keep_second_thread(void);

/* Share b->n operations out to `threads` threads; worker(&n) does n of them. Timed from the first start to the last
 * end. */
void core_run_threads(bench *b, unsigned threads, void *(*worker)(void *));

/* Run fn(b) in a coroutine and wait for it. */
void core_in_coroutine(bench *b, weft_co_fn *fn);

void core_sleep_ms(unsigned ms);

/* MemAvailable of this machine, or -1. */
int64_t core_available_bytes(void);

/* One word on a cache line of its own, so that two sides do not disturb each other by neighbourhood. */
typedef struct core_word {
    _Alignas(64) uint32_t word;
} core_word;

#endif
