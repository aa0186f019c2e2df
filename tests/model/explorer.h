/* explorer.h - run small concurrent programs over the real sources in every order that matters.
 *
 * Virtual threads are stacks on one OS thread. Every atomic operation and every kernel futex call is a scheduling
 * point; a stateless depth-first search replays a prefix of choices and extends it. Choices at a point, for each
 * virtual thread: run it to its next point; flush the oldest store of its buffer; if it sleeps with a deadline, let the
 * deadline strike; if it sleeps on a shared word, wake it without cause; kill it. Sleep sets drop orders that differ
 * only in steps that do not concern each other (exact: one run per trace); a bound on preemptions replaces them for
 * programs that are too large.
 *
 * A failed MODEL_CHECK, a panic of the library, and a state in which somebody sleeps and nobody can move (a lost wake)
 * end the search with the schedule that led there; WEFT_SCHEDULE="case:0,1,..." replays it. */
#ifndef WEFT_MODEL_EXPLORER_H
#define WEFT_MODEL_EXPLORER_H

#include "park/park.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

enum {
    MODEL_THREADS = 5,
    MODEL_EXACT = 99 /* as bound: no bound, sleep sets instead */
};

/* A program: `reset` sets its objects up, threads 0..n-1 run body(i), `final` checks what they left. */
typedef struct model_case {
    const char *name;
    unsigned threads;
    void (*reset)(void);
    void (*body)(unsigned i);
    void (*final)(void);
    unsigned bound;  /* preemptions a run may have, or MODEL_EXACT */
    bool step_clock; /* every sleep takes 2 ms of the model's clock (else no time passes) */
    bool spurious;   /* sleeps on shared words may end without cause, once a run each */
    unsigned mortal; /* set of threads that may be killed at any point; then slices end when nobody else can move */
    unsigned share;  /* part of the time budget, in units; 0 = 1 */
    void (*enter)(unsigned i); /* thread i goes on: set what it has as its own; may be NULL */
} model_case;

/* The cases of one file, ended by a NULL name. */
extern const model_case park_cases[], lock_cases[], cond_cases[], sem_cases[], event_cases[], once_cases[],
    barrier_cases[], rwlock_cases[], waiter_cases[], future_cases[], queue_cases[], select_cases[], pool_cases[],
    ring_cases[], slot_cases[], sched_cases[];

void model_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
#define MODEL_CHECK(x) ((x) ? (void)0 : model_fail("%s:%d: %s", __FILE__, __LINE__, #x))

/* Whether thread i was killed in this run. */
bool model_dead(unsigned i);

/* The waiter of virtual thread i. */
weft__waiter *model_waiter(unsigned i);

/* A deadline that may strike at any moment of the sleep, or never. */
#define MODEL_SOMETIME ((weft_until){INT64_C(1) << 60})

/* The object's memory belongs to somebody else from now on: touching it is a failure. (Waking its address is not.) */
void model_free(void *object, size_t size);

/* Words 0 to 7 lie in one bucket, which is not that of NULL, 8 to 15 in the other: what is done with the wrong bucket
 * must not be hidden by the right one's lock. */
uint32_t *model_word(unsigned i);

/* What the library allocates lies in one heap, from the same addresses on in every run: a case that makes something
 * empties it first. Nothing is used again after free. */
void model_heap_empty(void);

/* The region that a lock protects: enter fails when another is inside. */
void model_enter(void *region);
void model_leave(void *region);

/* The explorer's kernel and clock, for runtime.c. */
int model_futex_wait(const uint32_t *word, uint32_t expected, bool timed, bool sliced);
int model_futex_wake(const uint32_t *word, unsigned n);
int64_t model_now(void);

#endif
