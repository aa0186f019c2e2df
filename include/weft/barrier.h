/* weft/barrier.h - barrier: a fixed number of parties wait for each other, round after round.
 *
 * Contexts as in weft/lock.h: threads, coroutines, other processes with WEFT_SHARED; not signal handlers. Nothing here
 * allocates. A barrier needs init: it must know its parties. */
#ifndef WEFT_BARRIER_H
#define WEFT_BARRIER_H

#include <weft/cond.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weft_barrier_options {
    unsigned flags;           /* 0 or WEFT_SHARED */
    int (*action)(void *arg); /* run once a round, by one of the parties, before any goes on; NULL = none. Shared: the
                                 processes must have it at the same address (children of one fork do) */
    void *arg;
    int64_t timeout_ns; /* for waits with WEFT_FOREVER; 0 = none */
} weft_barrier_options;

typedef struct weft_barrier {
    weft_lock lock;
    weft_cond changed;
    uint32_t parties, arrived, state;
    uint32_t resets;    /* counts them */
    uint32_t completed; /* `resets` + 1 of the complete round that the last reset found unfinished; 0 = none */
    uint32_t reserved;
    weft_barrier_options options;
} weft_barrier;

/* A barrier for `parties` parties, at least 1. `options` may be NULL; copied. Returns 0 or -EINVAL. */
WEFT_API int weft_barrier_init(weft_barrier *b, unsigned parties, const weft_barrier_options *options);

/* Check that nobody waits; panics if somebody does. */
WEFT_API void weft_barrier_destroy(weft_barrier *b);

/* Wait until all parties have come. Returns this party's index in the round, 0 to parties - 1, each once; or, negative:
 * -EPIPE: the barrier is broken, or was reset, or its action failed (the party that ran it gets the action's own
 *         value);
 * -ETIMEDOUT, -ECANCELED: this party gave up, which breaks the barrier for all.
 * A round that completes together with the deadline wins. */
WEFT_API int weft_barrier_wait(weft_barrier *b, weft_until until);

/* Present waiters get -EPIPE (0 and up, as ever, if their round was complete); the barrier is whole again. Between
 * processes this is also how to go on after a party died: it stays in the count until then, and may complete a round.
 */
WEFT_API void weft_barrier_reset(weft_barrier *b);

/* Break it: present and future waiters get -EPIPE until reset. */
WEFT_API void weft_barrier_abort(weft_barrier *b);

WEFT_API unsigned weft_barrier_waiting(weft_barrier *b); /* parties now waiting */
WEFT_API int weft_barrier_broken(weft_barrier *b);       /* 1 when broken */

#ifdef __cplusplus
}
#endif
#endif
