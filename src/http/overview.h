/* overview.h - what a running site tells about itself: counts, latencies, waiters, as JSON, for Prometheus, as a
 * page. */
#ifndef WEFT_HTTP_OVERVIEW_H
#define WEFT_HTTP_OVERVIEW_H

#include "base/compiler.h"

#include <stdint.h>

enum {
    /* Buckets of response times: the i-th holds what took less than 2^i microseconds, and not less than half of that;
     * the last holds the rest. */
    WEFT__LATENCIES = 25,
    WEFT__STATUS_CLASSES = 5
};

static inline unsigned weft__latency_bucket(int64_t ns)
{
    uint64_t us = ns > 0 ? (uint64_t)ns / 1000 : 0;
    unsigned i = us == 0 ? 0 : 64 - (unsigned)__builtin_clzll(us);
    return i < WEFT__LATENCIES ? i : WEFT__LATENCIES - 1;
}

/* The page that the browser gets; its script asks for the JSON beside it once a second. */
extern const char weft__overview_page[];
extern const unsigned weft__overview_page_len;

#endif
