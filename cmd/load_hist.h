/* load_hist.h - a histogram of durations in nanoseconds: fixed memory, one increment a sample, 0.8 % resolution.
 *
 * A value is filed by its top bit (the power of two) and the seven bits below it, so a bucket is at most 1/128 of its
 * lower edge wide. One thread adds; others may read meanwhile and see each count as it was a moment ago. */
#ifndef LOAD_HIST_H
#define LOAD_HIST_H

#include <stdint.h>

enum {
    LOAD_HIST_BITS = 7,
    LOAD_HIST_SUB = 1 << LOAD_HIST_BITS,
    LOAD_HIST_TOP = 44, /* values from 2^44 ns on, five hours, are filed as that */
    LOAD_HIST_BUCKETS = (LOAD_HIST_TOP - LOAD_HIST_BITS + 1) * LOAD_HIST_SUB
};

/* All atomic: written by one thread, read by others. */
typedef struct load_hist {
    uint64_t count[LOAD_HIST_BUCKETS];
    uint64_t total, max, min, sum;
} load_hist;

static inline uint64_t load_read(const uint64_t *n)
{
    return __atomic_load_n(n, __ATOMIC_RELAXED);
}

static inline void load_write(uint64_t *n, uint64_t value)
{
    __atomic_store_n(n, value, __ATOMIC_RELAXED);
}

/* One thread counts, so the addition need not be atomic, which would cost it a locked instruction. */
static inline void load_count(uint64_t *n, uint64_t by)
{
    load_write(n, *n + by);
}

static inline unsigned load_hist_bucket(uint64_t v)
{
    if (v < LOAD_HIST_SUB)
        return (unsigned)v;
    if (v >> LOAD_HIST_TOP != 0)
        return LOAD_HIST_BUCKETS - 1;
    unsigned shift = 63u - (unsigned)__builtin_clzll(v) - LOAD_HIST_BITS;
    return (shift + 1) * LOAD_HIST_SUB + (unsigned)((v >> shift) - LOAD_HIST_SUB);
}

/* The largest value that is filed in bucket b. */
static inline uint64_t load_hist_edge(unsigned b)
{
    unsigned shift = b < LOAD_HIST_SUB ? 0 : b / LOAD_HIST_SUB - 1;
    return b < LOAD_HIST_SUB ? b : ((uint64_t)(b % LOAD_HIST_SUB + LOAD_HIST_SUB + 1) << shift) - 1;
}

static inline void load_hist_add(load_hist *h, int64_t ns)
{
    uint64_t v = ns > 0 ? (uint64_t)ns : 0;
    load_count(&h->count[load_hist_bucket(v)], 1);
    load_count(&h->total, 1);
    load_count(&h->sum, v);
    if (v > h->max)
        load_write(&h->max, v);
    if (v < h->min || h->total == 1)
        load_write(&h->min, v);
}

/* Add what `from` holds. It may be added to meanwhile; then min, max and sum are of no use. */
static inline void load_hist_merge(load_hist *h, const load_hist *from)
{
    uint64_t before = h->total;
    for (unsigned b = 0; b < LOAD_HIST_BUCKETS; b++) {
        uint64_t n = load_read(&from->count[b]);
        h->count[b] += n;
        h->total += n;
    }
    if (h->total == before)
        return;
    uint64_t max = load_read(&from->max), min = load_read(&from->min);
    h->sum += load_read(&from->sum);
    if (max > h->max)
        h->max = max;
    if (before == 0 || min < h->min)
        h->min = min;
}

/* The upper edge of the bucket that holds the sample of rank ceil(q * total); 0 when there is none. */
static inline uint64_t load_hist_quantile(const load_hist *h, double q)
{
    double exact = q * (double)h->total;
    uint64_t rank = (uint64_t)exact, seen = 0;
    rank += (double)rank < exact || rank == 0;
    for (unsigned b = 0; b < LOAD_HIST_BUCKETS; b++) {
        seen += h->count[b];
        if (seen >= rank && seen > 0) {
            uint64_t edge = load_hist_edge(b);
            return h->max != 0 && edge > h->max ? h->max : edge;
        }
    }
    return 0;
}

#endif
