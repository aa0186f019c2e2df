/* shared_ring.h - the queue itself, in memory that processes share, and the handle of one process to it. */
#ifndef WEFT_PROCESS_SHARED_RING_H
#define WEFT_PROCESS_SHARED_RING_H

#include <weft/lock.h>
#include <weft/shared_queue.h>

#include "base/atomic.h"

enum {
    WEFT__RING_PUT = 0,
    WEFT__RING_GET = 1,
    WEFT__RING_PRODUCERS = 64,
    WEFT__RING_UNIT = 8, /* bytes: heads and messages begin at multiples of it */
    WEFT__RING_PAIR = 2 * WEFT__CACHE_LINE
};

/* How far a side has come: messages in the upper half, units in the lower, both modulo 2^32, so that one store moves
 * both. */
#define WEFT__RING_COUNT(mark)      ((uint32_t)((mark) >> 32))
#define WEFT__RING_AT(mark)         ((uint32_t)(mark))
#define WEFT__RING_MARK(count, at_) ((uint64_t)(uint32_t)(count) << 32 | (uint32_t)(at_))

/* What one side owns; changes under its lock. */
typedef struct weft__ring_side {
    _Alignas(WEFT__RING_PAIR) weft_lock lock;
    uint32_t cpu;   /* atomic: the processor that it was last on, + 1; 0: none yet */
    uint64_t mark;  /* atomic: what is behind it is published, or free again */
    uint64_t other; /* atomic: the other side's mark as last read; never too far behind the own one */
    uint64_t begun; /* atomic: putters: the mark that will be when the message being written is whole */
} weft__ring_side;

typedef struct weft__ring {
    uint32_t units;                           /* of the store: a power of two; constant */
    uint32_t capacity;                        /* messages; constant */
    uint32_t words[2];                        /* atomic: what each side's sleepers sleep on; odd: somebody may sleep */
    uint32_t asleep[2];                       /* atomic: how many sleep, and those who died asleep */
    uint32_t closed;                          /* atomic: one of the values below */
    uint32_t producing;                       /* atomic: 1 once there was a producer */
    uint64_t last;                            /* atomic: the getters' mark when the rest was dropped */
    uint32_t lost;                            /* atomic: messages half written by the dead */
    _Alignas(WEFT__RING_PAIR) uint32_t done;  /* atomic: messages dealt with */
    uint32_t finished;                        /* atomic: what joiners sleep on; odd: somebody may sleep */
    uint32_t producers[WEFT__RING_PRODUCERS]; /* atomic: process tokens */
    weft__ring_side sides[2];
} weft__ring;

enum {
    WEFT__RING_OPEN = 0,
    WEFT__RING_DRAINS, /* no more puts */
    WEFT__RING_DROPS   /* and what lay in it counts as got and done; `last` is set */
};

/* How this process fares on one side: see "pace" in shared_ring.c. */
typedef struct weft__ring_pace {
    _Alignas(WEFT__RING_PAIR) uint32_t little; /* 1: the last look brought little; under the side's lock */
    uint32_t skip;                             /* looks to make without a pause; under the side's lock */
    uint32_t waits;                            /* atomic: how often somebody had to wait */
    uint32_t looks;                            /* atomic: for how many ns the next one looks before it sleeps */
    uint32_t failed;                           /* atomic: how often in a row giving way brought nothing */
    uint32_t rest;                             /* atomic: waits to come that do not give way */
} weft__ring_pace;

struct weft_shared_queue {
    weft__ring *ring;
    char *store;
    uint32_t units; /* own copies of what may not change: nothing is indexed by what the memory says */
    uint32_t capacity;
    int64_t looked; /* atomic: when somebody here last looked for dead producers */
    struct weft_shm *shm;
    weft__ring_pace pace[2];
};

/* Make the zeroed memory a queue. */
void weft__ring_fill(weft__ring *ring, uint32_t units, uint32_t capacity);

/* Take what the memory says of its size, if it is possible: the store has room for at most `bytes`. 0 or -EPROTO. */
int weft__ring_handle(weft_shared_queue *q, weft__ring *ring, char *store, size_t bytes);

#endif
