/* hist.h - a histogram of durations: fixed memory, one increment a sample, about 1.6 % resolution at any magnitude.
 *
 * A value is filed by its top bit (the power of two) and the six bits below it, so that a bucket is at most 1/64 of its
 * lower edge wide. Values are nanoseconds by custom, but nothing here depends on that. Single-threaded. */
#ifndef BENCH_HIST_H
#define BENCH_HIST_H

#include <stdint.h>
#include <string.h>

#define HIST_SUB_BITS 6
#define HIST_SUB      (1u << HIST_SUB_BITS)
#define HIST_BUCKETS  ((64 - HIST_SUB_BITS + 1) * HIST_SUB)

typedef struct hist {
    uint64_t count[HIST_BUCKETS];
    uint64_t total;
    uint64_t max;
} hist;

static inline void hist_reset(hist *h)
{
    memset(h, 0, sizeof *h);
}

static inline unsigned hist_bucket(uint64_t v)
{
    if (v < HIST_SUB)
        return (unsigned)v;
    unsigned shift = 63u - (unsigned)__builtin_clzll(v) - HIST_SUB_BITS;
    return (shift + 1) * HIST_SUB + (unsigned)((v >> shift) - HIST_SUB);
}

static inline void hist_add(hist *h, uint64_t v)
{
    h->count[hist_bucket(v)]++;
    h->total++;
    if (v > h->max)
        h->max = v;
}

/* The upper edge of the bucket that holds the sample of rank ceil(q * total), never above the largest sample seen;
 * 0 when there is none. */
static inline uint64_t hist_quantile(const hist *h, double q)
{
    uint64_t rank = (uint64_t)(q * (double)h->total + 0.999999), seen = 0;
    if (rank == 0)
        rank = 1;
    for (unsigned b = 0; b < HIST_BUCKETS; b++) {
        seen += h->count[b];
        if (seen >= rank && seen > 0) {
            unsigned shift = b < HIST_SUB ? 0 : b / HIST_SUB - 1;
            uint64_t edge = b < HIST_SUB ? b : ((uint64_t)(b % HIST_SUB + HIST_SUB + 1) << shift) - 1;
            return edge < h->max ? edge : h->max;
        }
    }
    return 0;
}

#endif
