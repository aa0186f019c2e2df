/* watch.h - the watch thread: who has slept for a while in a wait that other waiters must end is looked at, once.
 *
 * It starts with the first such sleep, looks every 20 ms as long as there are new ones, is asleep otherwise, and ends
 * when it is the last one left, or has been idle for long and nobody sleeps in such a wait. */
#ifndef WEFT_PARK_WATCH_H
#define WEFT_PARK_WATCH_H

#include "park/await.h"
#include "park/report.h"

enum {
    WEFT__WATCH_CHUNK_LOG2 = 10, /* waiters that share one mark */
    WEFT__WATCH_CHUNKS = 1 << (22 - WEFT__WATCH_CHUNK_LOG2),
    WEFT__WATCH_NONE = 0
};

extern uint32_t weft__watch_marks[WEFT__WATCH_CHUNKS]; /* atomic: chunks in which somebody may have fallen asleep */
extern uint32_t weft__watch_state;                     /* atomic: while there is a watch thread not WEFT__WATCH_NONE */

void weft__watch_mark(const weft__waiter *self);
void weft__watch_poke_slow(void);

/* Whether there is a watch thread. */
bool weft__watch_runs(void);

/* The caller is in the queue that it will sleep in: it can be found from now on. Post of its entry, a seq_cst
 * operation: either the watch thread, which clears the mark before it looks, sees the sleeper, or this sees the
 * cleared mark. */
static inline void weft__watch_sleeper(const weft__waiter *self)
{
#ifndef WEFT_MODEL
    if (self->awaits != NULL && (self->until == INT64_MAX || self->awaits->idle != NULL) &&
        unlikely(load_seq_cst(&weft__watch_marks[self->slot >> WEFT__WATCH_CHUNK_LOG2]) == 0))
        weft__watch_mark(self);
#else
    (void)self;
#endif
}

/* The caller ends, or a scheduler comes to rest: perhaps nobody is left to wake the others. Post of a seq_cst operation
 * by which that can be seen. */
static inline void weft__watch_poke(void)
{
#ifndef WEFT_MODEL
    if (unlikely(load_seq_cst(&weft__watch_state) != WEFT__WATCH_NONE))
        weft__watch_poke_slow();
#endif
}

/* ---- for the files of the watch thread only ---- */

enum {
    WEFT__FOUND_ENDERS = 8 /* so many of those who can end a wait are named */
};

/* One waiter as it was found asleep. */
typedef struct weft__found {
    weft__waiter *waiter;
    const weft__awaited *kind; /* NULL: it did not tell */
    const void *object, *where;
    uint32_t id, waits;
    uint32_t holder; /* id of who must end its wait; 0 when that is not one */
    uint32_t taken;  /* low half of the address at which the holder took the object; 0: not known */
    unsigned n;      /* the same of each who can end its wait, */
    unsigned more;   /* and how many more there are */
    bool all;        /* all of them must, or any of them */
    uint32_t enders[WEFT__FOUND_ENDERS], takings[WEFT__FOUND_ENDERS];
} weft__found;

/* True: it sleeps, in the wait that *f describes. */
bool weft__find(weft__waiter *w, weft__found *f);

/* Whether it still is the same sleep. */
bool weft__found_still(const weft__found *f);

/* Note who can end its wait. */
void weft__found_enders(weft__found *f, const weft__enders *e);

/* ring.c: look for a ring through this sleeper, and report it. */
void weft__ring_look(weft__waiter *w);

/* stuck.c: is anybody left to wake those who sleep? */
typedef enum weft__stuck {
    WEFT__STUCK_NO,
    WEFT__STUCK_UNKNOWN, /* all whom weft knows are asleep; of other threads it knows nothing */
    WEFT__STUCK_PERHAPS  /* nobody: look once more in a moment */
} weft__stuck;

/* *anybody: whether any thread is left that weft knows. */
weft__stuck weft__stuck_look(bool *anybody);

/* deadlock.c: tell of a deadlock, and do what was asked for. */
void weft__deadlock_report(const weft__found *members, unsigned n, unsigned total, bool ring);
void weft__watch_excuse(int64_t ns); /* a report took so long: it does not count as looking */
bool weft__deadlock_on(void);
void weft__deadlock_environment(void); /* read WEFT_DEADLOCK */

#endif
