/* backlog.h - the jobs that wait for a worker, and how workers sleep for want of jobs. Knows nothing of futures,
 * threads or coroutines.
 *
 * Where a job waits. Usual ones (priority 0, no limit on the queue) go through a ring without a lock. What does not fit
 * into it, all of a pool with a limit, and other priorities lie in lists under the lock: a heap of the high ones, a
 * queue of those at 0, a heap of the low ones. Taken in this order: high, ring, queue, low.
 *
 * Who is what. Every worker is in one of four states, counted in one word: *unstarted*, *searching* (awake, without a
 * job), *sleeping*, or busy, which is the rest. A put that sees a searcher wakes nobody; else it makes one sleeper, or
 * one unstarted worker, a searcher. A searcher that finds a job while more wait and nobody else searches does the same
 * before it runs it. So a batch costs one wake, and no job waits while a worker sleeps. */
#ifndef WEFT_POOL_BACKLOG_H
#define WEFT_POOL_BACKLOG_H

#include <weft/base.h>

#include "base/atomic.h"
#include "park/await.h"
#include "park/rawlock.h"
#include "pool/heap.h"

#ifdef WEFT_MODEL
#define WEFT__RING_LOG2 1 /* so that two jobs fill it */
#else
#define WEFT__RING_LOG2 10
#endif

/* weft__item.place */
enum {
    WEFT__NOWHERE = 0, /* not accepted */
    WEFT__OUT,         /* taken out of a list */
    WEFT__IN_RING,     /* stays there until a worker comes to it, also when it is done already; and after that */
    WEFT__IN_LIST      /* can be taken out */
};

typedef struct weft__slot {
    uint64_t turn; /* atomic: position that may be put here; + 1 when it has been, for its taker */
    weft__item *item;
    weft_job_fn
        *fn; /* of the item: who takes it from here need not look at it for them, in another processor's cache */
    void *arg;
} weft__slot;

/* A job that was taken. */
typedef struct weft__taken {
    weft__item *item;
    weft_job_fn *fn;
    void *arg;
    bool from_ring;
} weft__taken;

typedef struct weft__backlog {
    /* Those who put. */
    _Alignas(WEFT__CACHE_LINE) uint64_t head; /* atomic: positions given out in the ring, and CLOSED */

    /* Those who take. */
    _Alignas(WEFT__CACHE_LINE) uint64_t tail; /* atomic: positions taken */

    /* Both, seldom. */
    _Alignas(WEFT__CACHE_LINE) uint64_t workers; /* atomic: counts of unstarted, sleeping and searching */
    uint32_t tokens;                             /* atomic: wakes not taken yet; sleeping workers sleep on it */
    uint32_t spins;                              /* atomic: how long a searcher looks; adapts */
    uint32_t spins_max;
    void (*pause)(void); /* between two looks of a searcher; NULL: as short as can be */
    uint32_t all;        /* workers, in whichever state */
    int64_t idle_time;   /* a worker that has slept for so long ends, in ns; 0: never */

    /* Atomic: read without the lock, written under it. */
    _Alignas(WEFT__CACHE_LINE) uint32_t listed; /* jobs in the lists */
    uint32_t urgent;                            /* those of them in `high` */
    uint32_t queued;                            /* those of them in the queue at 0 */
    uint32_t room;                              /* changes when there may be room; what putters sleep on */

    weft__rawlock lock;
    uint32_t wanting; /* putters that wait for room */
    uint64_t turn;
    uint64_t limit;       /* of `outstanding`; 0 = none */
    uint64_t outstanding; /* accepted and not done; kept only if there is a limit */
    bool closed;
    weft__item *high, *low;
    weft__item *first, *last;

    _Alignas(WEFT__CACHE_LINE) weft__slot ring[1u << WEFT__RING_LOG2];
} weft__backlog;

/* Workers, and how many jobs may be outstanding (0: no limit). `spins`: how often a searcher looks before it sleeps,
 * and what it does in between. */
void weft__backlog_init(weft__backlog *b, unsigned workers, uint64_t limit, uint32_t spins, void (*pause)(void));

/* Put a job in. 0; -EPIPE when closed; -WEFT_EFULL. weft__backlog_notify must follow, also after several. */
int weft__backlog_put(weft__backlog *b, weft__item *it);

/* The same of several usual jobs, as far as there are places for them in the ring at once: they cost one increment of
 * `head`. Returns how many are in, the first of them; 0 tells nothing, and put says why. */
size_t weft__backlog_put_some(weft__backlog *b, weft__item *const *items, size_t n);

/* There are new jobs: see that somebody will look. True: the caller must start a worker, which begins as a searcher,
 * or call weft__backlog_not_started. */
bool weft__backlog_notify(weft__backlog *b);

/* The worker could not be started. Jobs that were put meanwhile have been left to it, as to any searcher: a sleeper is
 * to see to them. True: they are forsaken. */
bool weft__backlog_not_started(weft__backlog *b);

/* Jobs wait, and every worker is unstarted. */
bool weft__backlog_forsaken(const weft__backlog *b);

/* The next job; false when none is there now. Any caller. */
bool weft__backlog_take(weft__backlog *b, weft__taken *out);

/* Take this very job out. False: it is neither in a list nor the next of the ring, and who comes to it there finds it
 * done. */
bool weft__backlog_remove(weft__backlog *b, weft__item *it);

/* A full backlog's oldest job of the lowest priority, taken out; NULL when there is room. */
weft__item *weft__backlog_oldest(weft__backlog *b);

/* A job that was accepted is done, or will never run. */
void weft__backlog_done(weft__backlog *b);

/* Wait until all are; for who will use the memory for something else. Soon, when nobody works any more. */
void weft__backlog_wait_done(weft__backlog *b);

/* Wait for room. 0: try again. -ETIMEDOUT, -ECANCELED. */
int weft__backlog_wait_room(weft__backlog *b, weft_until until, const void *where);

/* Whether it would refuse a job. At a glance. */
bool weft__backlog_full(weft__backlog *b);

/* Accept no more; wake all, that they take what is left and end. */
void weft__backlog_close(weft__backlog *b);

/* Neither waiting nor about to be. In the order of seq_cst operations. */
bool weft__backlog_empty(const weft__backlog *b);

/* Whether there is a worker that is not busy, or may be started. */
bool weft__backlog_has_workers(const weft__backlog *b);

/* Whether a worker searches, or is on its way. At a glance. */
bool weft__backlog_searched(const weft__backlog *b);

/* ---- by a worker ---- */

/* A busy worker's job is about to be done: if there is nothing else to do, it counts as a searcher from now on, so that
 * who learns that the job is done finds an idle worker. Returns whether it does. */
bool weft__backlog_search_early(weft__backlog *b);

/* Instead, it does something else first. Returns as notify. */
bool weft__backlog_stop_search(weft__backlog *b);

/* The next job for a worker that is searching (or not, as search_early said). Sleeps. False: closed and empty, or it
 * has slept for `idle_time`; the worker counts as unstarted again and must end. *start: the caller must start another
 * worker, before it runs the job. */
bool weft__backlog_next(weft__backlog *b, bool searching, weft__taken *out, bool *start);

/* A busy worker is gone. Returns as notify. */
bool weft__backlog_worker_gone(weft__backlog *b);

/* ---- counts, at a glance ---- */

typedef struct weft__backlog_counts {
    uint64_t queued;
    uint32_t unstarted, sleeping, searching;
} weft__backlog_counts;

weft__backlog_counts weft__backlog_look(const weft__backlog *b);

/* Kinds of waits in a backlog, and for a pool (worker.c). */
extern const weft__awaited weft__room_kind, weft__end_kind, weft__worker_kind;

#endif
