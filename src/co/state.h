/* state.h - a coroutine and a scheduler from inside: for the files of src/co only.
 *
 * C1  a coroutine that has started is touched by its own scheduler's thread only, but for its waiter (waiter.h), `life`
 *     and its being pushed on an inbox by who made it ready.
 * C2  it is in at most one of: a run queue, a ring, an inbox, `injected`, a list of the starved. Whoever made it ready,
 *     once (waiter.h I2), put it there.
 * C3  a slot of the pool is never unmapped; its waiter has an id while a coroutine lives in it.
 * life: RUNNING -> JOINED (somebody waits) -> ENDED, or DETACHED for good; the handle's owner and the end of the
 * coroutine decide by compare-and-swap who gives the slot back. */
#ifndef WEFT_CO_STATE_H
#define WEFT_CO_STATE_H

#include "co/ring.h"
#include "co/sched.h"
#include "co/stack.h"
#include "co/switch.h"

enum {
    WEFT__CO_FREE = 0, /* in the pool */
    WEFT__CO_RUNNING,  /* from its start to its end; somebody holds the handle */
    WEFT__CO_JOINED,   /* the same, and somebody sleeps until it ends */
    WEFT__CO_ENDED,    /* its result waits for the holder of the handle */
    WEFT__CO_DETACHED, /* nobody holds the handle */
    WEFT__CO_NAME = 32
};

struct weft_co {
    _Alignas(WEFT__CACHE_LINE) weft__waiter waiter;
    struct weft_co *next; /* run queue, pool, list of the starved */
    uint64_t after;       /* run queue: unstarted coroutines that were there first; see take_next */
    weft__sched *sched;   /* NULL until it starts, or is pinned */
    weft__stack *stack;   /* NULL until it starts */
    weft_co_fn *fn;
    void *arg;
    weft__context context;
    weft__timer timer; /* the deadline of its present wait */
    weft__call call;   /* how other threads hand it over */
    uint32_t life;     /* atomic; a word to sleep on */
    uint32_t epoch;    /* which process since the first, counted by forks, it belongs to */
    int32_t result;
    uint8_t size_class;
    bool pinned;              /* bound to its thread from the beginning */
    char default_name[11];    /* "co-N", N is the slot's number: constant */
    char name[WEFT__CO_NAME]; /* atomic bytes: reports read it at any time; empty: the default */
};

enum {
    WEFT__AWAKE = 0,
    WEFT__ASLEEP,         /* in the kernel, or about to be, without a poller */
    WEFT__ASLEEP_POLL,    /* the same, in its poller */
    WEFT__NOTIFIED,       /* somebody wakes it */
    WEFT__NOTIFIED_SEARCH /* the same, and gave it the right to search */
};

struct weft__sched {
    /* Its own thread's. */
    weft_co *current;      /* NULL on the thread's own stack */
    weft_co *first, *last; /* run queue: ready coroutines, oldest first */
    uint32_t switches;
    uint32_t live; /* coroutines that hold a stack */
    weft_co *pool; /* free slots */
    uint32_t pool_count;
    uint32_t index;
    weft_co *starved;  /* not started for want of a stack */
    weft__timer again; /* set while there are such: one of them tries anew */
    weft__context own;
    void *poller;
    weft__waiter waiter; /* what the thread is on its own stack */
    weft__stack_cache stacks;
    uint32_t spin;
    uint32_t trust;     /* in looking for descriptors' events before a sleep; 0: none */
    uint32_t idles;     /* since that was last thought over */
    uint32_t idles_max; /* then it is again */
    uint64_t preempted; /* how often this thread had been by then */
    bool searching;     /* holds the right to search for unstarted coroutines */
    uint32_t victim;    /* where the next search begins */
    bool vain;          /* it was sent to search and found nothing, though coroutines are being started */
    uint64_t pushes;    /* into all rings, when it last asked */
    bool apart;         /* it runs what is pinned to it and nothing else; see host.h */
    weft__waiter *host; /* whose wait the thread spends here; NULL: the thread is the scheduler's own */
    weft__pastime pastime;
#if WEFT__TSAN
    void *dead_fiber; /* of a coroutine that has ended, to be destroyed from another */
#endif
    weft__wheel wheel;

    /* Everybody's, in lines of the cache of their own. */
    _Alignas(WEFT__CACHE_LINE) weft__call *inbox; /* atomic: newest first */
    uint32_t sleeping;                            /* atomic: WEFT__AWAKE ...; a word to sleep on */
    uint32_t at_rest; /* atomic: the present sleep has no timer and no descriptor to end it */
    char pad[WEFT__CACHE_LINE - sizeof(weft__call *) - 2 * sizeof(uint32_t)];
    weft__ring ring; /* unstarted coroutines, for the taking */
    char ring_pad[WEFT__CACHE_LINE - sizeof(weft__ring)];
};

extern const weft__waiter_ops weft__co_ops;
extern uint32_t weft__co_epoch; /* atomic */

/* ---- pool.c: slots ---- */

/* A slot in use: its waiter is renewed, epoch and name are set. NULL: no memory. s: the calling scheduler or NULL. */
weft_co *weft__pool_take(weft__sched *s);
void weft__pool_give(weft__sched *s, weft_co *co);
void weft__pool_before_fork(void);
void weft__pool_after_fork_parent(void);
void weft__pool_after_fork_child(const weft_co *mine);

/* ---- sched.c ---- */

/* Make sure that scheduler `index` has been started. 0, -EAGAIN or -ENOMEM. */
int weft__sched_start(unsigned index);

/* Whether any has been started. */
bool weft__sched_started(void);

/* A started scheduler, else NULL. */
weft__sched *weft__sched_at(unsigned index);

/* The scheduler that is apart, for the caller to run: 0, -EBUSY when there is one, -ENOMEM or -EAGAIN. */
int weft__sched_make_apart(weft__sched **s);

/* Set how many there may be: 0, -EINVAL, or -EBUSY when more are running. */
int weft__sched_limit(unsigned n);

/* Whether memory for stacks has run out: starts are refused as long as it is so. */
bool weft__sched_starved(void);
void weft__sched_starved_after_fork_child(void);

/* Put an unstarted coroutine where it will be found; pinned: co->sched says by whom. */
void weft__sched_submit(weft_co *co);
void weft__sched_submit_pinned(weft_co *co);

/* The running coroutine gives way to those that are ready. */
void weft__sched_yield(weft__sched *s, weft_co *co);

void weft__sched_before_fork(void);
void weft__sched_after_fork_parent(void);
void weft__sched_after_fork_child(void);

/* ---- overflow.c: a stack that is too small ---- */

void weft__overflow_watch(void);        /* once a process */
void weft__overflow_watch_thread(void); /* by each scheduler thread */
void weft__overflow_watch_host(void);   /* by a thread that becomes one for a while */

/* ---- blocking.c ---- */

void weft__blocking_before_fork(void);
void weft__blocking_after_fork_parent(void);
void weft__blocking_after_fork_child(void);

/* ---- fork.c ---- */

void weft__co_watch_fork(void); /* once a process */

#endif
