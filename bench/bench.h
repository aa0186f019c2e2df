/* bench.h - the frame of the core benchmarks: a benchmark is a function that does b->n of its operations and is
 * registered beside the baseline that it is measured against, in the same run, in turns (A B B A ...).
 *
 *     BENCH(lock_uncontended_thread, .baseline = "lock_uncontended_pthread", .at_most = 1.2, .cores = 1)
 *     {
 *         bench_start(b);
 *         for (uint64_t i = 0; i < b->n; i++) { weft_lock_acquire(&l); weft_lock_release(&l); }
 *         bench_stop(b);
 *     }
 *
 * Names say what and where: <module>_<what>_<context>. Each sample runs in a child process of its own with a time
 * limit, so that threads, heaps and what the C library remembers of them do not leak from one into the next. b->n is
 * chosen so that a sample takes about 100 ms. The result of a sample is nanoseconds an operation, or what bench_value()
 * was given. A benchmark is never a test: a missed target is reported, not failed. */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct bench {
    uint64_t n;       /* operations to do; at least 1 */
    int64_t began_ns; /* since bench_start, or 0 */
    int64_t spent_ns; /* between the starts and the stops */
    double value;     /* of bench_value */
    int has_value;
    char skipped[128]; /* why this sample could not be taken; "" when it was */
} bench;

typedef struct bench_spec {
    const char *name;
    void (*run)(bench *b);
    const char *baseline; /* the benchmark beside which it is measured; NULL: by itself, against value_at_most */
    const char *peer;     /* baseline done by another program: the words after its name; see bench/peers/ */
    const char *python; /* what bench/peers/python_peers.py calls the same: printed beside the two, without a target */
    uint64_t python_n;  /* its operations a sample; 0: calibrated, or fixed_n where there is a unit */
    double at_most;     /* target for the ratio to the baseline; 0 = none */
    double value_at_most; /* target for the value itself; 0 = none */
    const char *unit;     /* NULL = "ns/op" */
    uint64_t fixed_n;     /* operations a sample; 0 = calibrated */
    unsigned cores;       /* 1: the whole process on one core; 0 = on all */
    unsigned samples;     /* 0 = 9 */
    int is_baseline;      /* run only beside another */
    int is_python;        /* of bench.c's own making: `peer` is a word of python_peers.py */
    struct bench_spec *next;
} bench_spec;

void bench_register(bench_spec *spec);
int64_t bench_now(void);

/* Ends the sample: this machine cannot take it. Not a failure. */
__attribute__((noreturn, format(printf, 2, 3))) void bench_skip(bench *b, const char *fmt, ...);

/* Ends the run with a message when a call that must work did not. */
#define BENCH_MUST(call)                                                                                               \
    do {                                                                                                               \
        long result_ = (long)(call);                                                                                   \
        if (result_ < 0) {                                                                                             \
            fprintf(stderr, "%s:%d: %s = %ld\n", __FILE__, __LINE__, #call, result_);                                  \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

static inline void bench_start(bench *b)
{
    b->began_ns = bench_now();
}

static inline void bench_stop(bench *b)
{
    b->spent_ns += bench_now() - b->began_ns;
}

/* The result of this sample, where it is not the time of an operation. */
static inline void bench_value(bench *b, double value)
{
    b->value = value;
    b->has_value = 1;
}

#define BENCH(title, ...)                                                                                              \
    static void bench_##title(bench *b);                                                                               \
    __attribute__((constructor)) static void register_##title(void)                                                    \
    {                                                                                                                  \
        static bench_spec spec = {.name = #title, .run = bench_##title, ##__VA_ARGS__};                                \
        bench_register(&spec);                                                                                         \
    }                                                                                                                  \
    static void bench_##title(bench *b)

/* What BENCH compares with: run only beside a benchmark that names it. */
#define BENCH_BASELINE(title, ...) BENCH(title, .is_baseline = 1, ##__VA_ARGS__)

/* A baseline that the peers' program measures (bench/peers/go_peers.go): it is called with these words and the number
 * of operations, and prints one number, in the unit of the benchmark. */
#define BENCH_PEER(title, words, ...)                                                                                  \
    __attribute__((constructor)) static void register_##title(void)                                                    \
    {                                                                                                                  \
        static bench_spec spec = {.name = #title, .peer = words, .is_baseline = 1, ##__VA_ARGS__};                     \
        bench_register(&spec);                                                                                         \
    }

#endif
