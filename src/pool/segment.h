/* segment.h - the memory that a pool shares with one of its worker processes, and what the worker does.
 *
 * Jobs go through a ring of slots in their order. Each slot has a state:
 *
 *     FREE -> QUEUED     the parent has put a job there
 *     QUEUED -> RUNNING  the worker begins it    } by compare-and-swap: one of the two
 *     QUEUED -> REVOKED  the parent takes it back }
 *     RUNNING -> DONE    the answer is there
 *     REVOKED -> SKIPPED the worker has passed it
 *     DONE, SKIPPED -> FREE  the parent has taken the answer
 *
 * What does not fit into a slot lies in its block, and what does not fit there goes as a memory file over a socket: its
 * descriptor arrives whole or not at all.
 *
 * S1  a worker maps its own segment only, so it can spoil no other's; the parent keeps books of its own and believes
 *     nothing that it reads here without a look.
 * S2  no lost wake: the parent stores QUEUED and then reads `asleep` (both seq_cst); the worker stores `asleep` and
 *     then reads the state. The same the other way round with DONE and `listening`. The steps are in slot.c. */
#ifndef WEFT_POOL_SEGMENT_H
#define WEFT_POOL_SEGMENT_H

#include <weft/executor.h>

#include "base/atomic.h"

#include <stdbool.h>

enum {
    WEFT__SLOTS = 128,
    WEFT__SLOT_SMALL = 192,
    WEFT__BLOCK = 32 << 10
};

enum weft__slot_state {
    WEFT__SLOT_FREE = 0,
    WEFT__SLOT_QUEUED,
    WEFT__SLOT_RUNNING,
    WEFT__SLOT_REVOKED,
    WEFT__SLOT_DONE,
    WEFT__SLOT_SKIPPED
};

/* Where the bytes of a slot are. */
enum {
    WEFT__IN_SLOT = 0,
    WEFT__IN_BLOCK,
    WEFT__IN_FILE
};

typedef struct weft__shared_slot {
    uint32_t state; /* atomic */
    uint32_t where;
    uint64_t size;
    weft_bytes_fn *fn;
    int32_t error;        /* of an answer; its bytes are the words for it then */
    uint32_t progress;    /* the job's progress is asked for */
    uint32_t reports;     /* atomic: how often it told how far it is; then: */
    uint64_t done, total; /* atomic */
    _Alignas(16) char small[WEFT__SLOT_SMALL];
} weft__shared_slot;

typedef struct weft__segment {
    /* The parent's. */
    _Alignas(
        WEFT__CACHE_LINE) uint32_t bell; /* atomic: changes when there is something to do; the worker sleeps on it */
    uint32_t quit;                       /* atomic */

    /* The worker's. */
    _Alignas(WEFT__CACHE_LINE) uint32_t asleep; /* atomic: it sleeps or is about to */
    uint32_t ready;                             /* atomic: 1; 2: the initialiser failed */
    int32_t error;                              /* then: why */

    _Alignas(WEFT__CACHE_LINE) weft__shared_slot slots[WEFT__SLOTS];
    _Alignas(4096) char blocks[WEFT__SLOTS][WEFT__BLOCK];
} weft__segment;

/* One for all workers of a pool. */
typedef struct weft__listener {
    uint32_t listening; /* atomic: nobody looks, and whoever has an answer rings */
} weft__listener;

typedef struct weft__recruit {
    weft__segment *segment;
    weft__listener *listener;
    int bell;   /* an eventfd that wakes the parent */
    int socket; /* for memory files */
    size_t message_limit, memory_limit;
    int (*initializer)(void *arg);
    void *initializer_arg;
} weft__recruit;

/* ---- slot.c: the worker ---- */

/* RUNNING: the job is the worker's now. REVOKED: it is to be passed over. FREE: nothing is to be done. */
enum weft__slot_state weft__slot_begin(weft__shared_slot *s);

/* DONE: the answer is there, or SKIPPED. */
void weft__slot_end(weft__shared_slot *s, enum weft__slot_state state);

/* Sleep until something may have happened to this slot, or the worker shall quit. */
void weft__slot_await(weft__segment *seg, const weft__shared_slot *s);

/* Whether the caller is to ring: nobody looks, and nobody has rung. */
bool weft__listener_take(weft__listener *l);

/* ---- slot.c: the parent ---- */

/* Everything of the job is in its place: it is the worker's to begin. Wakes it. */
void weft__slot_give(weft__segment *seg, weft__shared_slot *s);

/* Whether the job could be taken back: the worker has not begun it, and never will. */
bool weft__slot_revoke(weft__shared_slot *s);

/* The worker ends when it has no job under way. */
void weft__slot_quit(weft__segment *seg);

/* ---- worker_process.c ---- */

/* What a worker does from its beginning to its end, in its process. Returns its exit code. */
int weft__worker_process(const weft__recruit *r);

#endif
