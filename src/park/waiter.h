/* waiter.h - the sleeper, and the one word that decides why it woke. The lower of park's two layers.
 *
 * Protocol of one wait, by its owner:
 *      weft__wait_begin(w, hard)          state becomes WAITING
 *      ... make w findable by those who may wake it (a queue, a timer, a poller slot) ...
 *      why = weft__wait_block(w, until)   sleeps; why = WOKEN(i), CANCELLED or TIMEDOUT
 *      ... take w out of every place it stood in ...
 * and by everybody else:
 *      if (weft__waiter_claim(w, WEFT__WOKEN(i))) weft__waiter_ready(w);
 *
 * I1  claimed once: per wait exactly one compare-and-swap takes `state` out of WAITING; it decides the reason. Who
 *     loses it looks for another sleeper and counts nothing.
 * I2  ready once: the winner, if it is not the sleeper itself, calls ready exactly once, and the sleeper does not
 *     return from block before that call. Between claim and ready the winner may use w->next_ready to chain sleepers.
 * I3  type-stable: the memory of a waiter stays a waiter as long as the process lives, so a late ready, cancel or dump
 *     touches at worst the next user's words, who tolerates a wake without cause.
 * I4  ids: w->id is never 0 and changes at each reuse of the slot, so an owner recorded by id is not mistaken for a
 *     later one. weft__self_id mirrors it for the fast path of locks.
 * Cancellation against begin: the sleeper stores WAITING and, after a seq_cst read-modify-write or fence of its own,
 *     reads `cancel`; the canceller stores `cancel` and, after a fence, reads `state` for its claim. One of the two
 *     sees the other. Without the canceller's fence the claim's first look, a plain load on ARM, may be made before
 *     the store is seen.
 * Pinned by tests/model (claim, cancel, deadline ties) and tests/park/waiter_test.c. */
#ifndef WEFT_PARK_WAITER_H
#define WEFT_PARK_WAITER_H

#include "base/atomic.h"

#include <stddef.h>
#include <stdint.h>

typedef struct weft__waiter weft__waiter;
typedef struct weft__awaited weft__awaited; /* await.h: a kind of wait */

/* What a thread does while it waits, other than sleep on its token: it runs a scheduler (co/host.h). */
typedef struct weft__pastime {
    /* As weft__waiter_ops->block. Pre: the token is WEFT__TOKEN_ASLEEP. Returns when it is WEFT__TOKEN_READY, or when
     * the deadline has claimed the wait. */
    void (*spend)(const struct weft__pastime *p, weft__waiter *self, int64_t until_ns);
    void (*interrupt)(const struct weft__pastime *p); /* the token has become WEFT__TOKEN_READY; from any thread */
} weft__pastime;

/* What kind of sleeper this is: the thread's ops are park's own, the scheduler brings the coroutine's. */
typedef struct weft__waiter_ops {
    const char *kind; /* "thread", "coroutine": for reports */

    /* Sleep until ready(self), or until the deadline: then try weft__waiter_claim(self, WEFT__TIMEDOUT), and if that
     * fails go on sleeping until ready(self), which is certain to come. Pre: called by the sleeper, between begin and
     * its end. Post: self->state is not WAITING and nobody will call ready for this wait any more. */
    void (*block)(weft__waiter *self, int64_t until_ns);

    /* Let the claimed sleeper go on. From any thread; never waits, never fails, never runs it in place. */
    void (*ready)(weft__waiter *w);

    /* Write the sleeper's name into buf. Racy by nature; must only read type-stable memory. */
    void (*name)(const weft__waiter *w, char *buf, size_t size);

    bool of_thread; /* one of these is a thread of the system */
} weft__waiter_ops;

extern const weft__waiter_ops weft__thread_ops; /* park's own, for plain threads */

enum {
    WEFT__IDLE = 0,    /* not in a wait */
    WEFT__WAITING = 1, /* may be claimed by a waker, a canceller or the deadline */
    WEFT__HARD = 2,    /* the same, but not by a canceller */
    WEFT__TIMEDOUT = 3,
    WEFT__CANCELLED = 4,
    WEFT__DEADLOCKED = 5, /* the watch thread ended it: it waited in a ring */
    WEFT__WOKEN0 = 8      /* WEFT__WOKEN(i): woken for case i */
};
/* A thread's token: ready makes the system call only for a sleeper that has gone to the kernel. */
enum {
    WEFT__TOKEN_AWAKE = 0, /* not in the kernel yet: it looks before it sleeps */
    WEFT__TOKEN_READY = 1,
    WEFT__TOKEN_ASLEEP = 2
};
#define WEFT__WOKEN(i) ((uint32_t)WEFT__WOKEN0 + (uint32_t)(i))
enum {
    WEFT__READS = 4 /* rwlocks that a waiter reads at once, and is known to read */
};

struct weft__waiter {
    uint32_t state;  /* atomic: the claim word, one of the values above */
    uint32_t token;  /* atomic: threads: one of the values below; what the kernel sleeps on */
    uint32_t cancel; /* atomic: asked to stop; stays until the waiter's owner ends */
    uint32_t shield; /* own: cancellation is not delivered while non-zero */
    uint32_t hard;   /* own: the present wait is not ended by cancellation */
    uint32_t id;     /* atomic for readers: slot and generation, never 0 while in use */
    uint32_t generation;
    uint32_t shown_id; /* atomic: what weft__self_id is while this one runs: its id, or 0 while they are hidden */
    uint32_t waits;    /* atomic for readers: counts waits; unchanged between two looks = the same sleep */
    int32_t tid;       /* atomic for readers; threads: kernel id */
    int32_t wake_fd;   /* atomic; threads: an eventfd that ready writes as well, for a sleep in poll(2); -1 otherwise */
    uint32_t spin;     /* threads: how long the next wait looks before it sleeps; adapts */
    uint32_t slot;     /* index in the registry */
    uint32_t left_id;  /* the id it had when a fork left it behind; 0: never */
    const weft__waiter_ops *ops;
    weft__waiter *next_ready;    /* the claimer's chain (I2); free list while unused */
    const uint32_t *word;        /* atomic for readers: what it sleeps on, NULL when running */
    const char *what;            /* atomic for readers: static text, what kind of wait, for reports; may be NULL */
    struct weft__worker *worker; /* own: which worker of a pool it is; NULL: none */
    struct weft__frame *helping; /* own: the job that it runs though it is no worker, innermost; NULL: none */
    struct weft__locals *locals; /* own: the values of weft/local.h; NULL: none */

    /* What it tells about its wait (await.h); atomic for readers. */
    const weft__awaited *awaits; /* NULL: nothing */
    const void *object;
    const void *where; /* an address in the function that called weft */
    int64_t until;

    /* The rwlocks that it reads, in any order; atomic for readers. See sync/rwlock.c. */
    const void *reads[WEFT__READS]; /* NULL: none in this place */
    uint32_t reads_at[WEFT__READS]; /* low half of the address at which it took it */

    weft__waiter *next_of_thread; /* constant: the list of those that are threads */
    const weft__pastime *pastime; /* atomic; threads: never freed; NULL: none */

    /* The watch thread's. */
    int64_t seen_asleep; /* when it first saw the sleep that `watched` numbers */
    uint32_t watched;
    uint32_t walked;   /* the sleep whose rings it has looked for */
    uint32_t reported; /* the sleep that it has reported */
};

/* ---- who am I ---- */

extern WEFT__TLS weft__waiter
    *weft__self_waiter;                  /* NULL until the thread's first need; the scheduler sets it at each switch */
extern WEFT__TLS uint32_t weft__self_id; /* its id, for fast paths; 0: go the slow one */

weft__waiter *weft__self_slow(void); /* gives the calling thread a waiter; panics when there is no memory for one */

/* The waiter of the calling coroutine or thread. */
static inline weft__waiter *weft__self(void)
{
    weft__waiter *w = weft__self_waiter;
    return likely(w != NULL) ? w : weft__self_slow();
}

/* The scheduler: from now on this thread runs as w (NULL: as itself, a thread without a waiter yet). */
static inline void weft__become(weft__waiter *w)
{
    weft__self_waiter = w;
    weft__self_id = w != NULL ? load_relaxed(&w->shown_id) : 0;
}

/* Whether looking for a while before sleeping can pay: this process may use more than one processor. */
bool weft__may_spin(void);

/* ---- registry ---- */

/* Enter a waiter that lies in type-stable memory of its owner (a coroutine's) in the registry and give it an id. Once a
 * slot; 0, -ENOMEM, or -EAGAIN when 4 million are in the registry. */
int weft__waiter_register(weft__waiter *w, const weft__waiter_ops *ops);

/* From now on weft__self_id is 0 for everybody, so that all locks go their slow path; or no longer. Threads and
 * coroutines that run at the moment notice when they wait or switch next. */
void weft__waiters_hide_ids(bool hide);

/* A registered waiter is taken into use again: new generation, no cancellation, no shield. */
void weft__waiter_renew(weft__waiter *w);

/* A registered waiter is out of use: its id is 0 until renewed, so that reports leave it out. */
void weft__waiter_retire(weft__waiter *w);

/* The name of a thread in reports, instead of the kernel's 15 bytes of it; "" takes it back. w: a thread's waiter. */
enum {
    WEFT__THREAD_NAME = 32
};
void weft__waiter_set_name(weft__waiter *w, const char *name);

/* Who keeps a list of threads is told, by each thread itself: when it has got its waiter, and when it ends and is about
 * to lose it; it may still wait then. Both may come more than once a thread, in turns: a destructor of thread-specific
 * data may use weft once more. */
typedef struct weft__thread_watch {
    void (*begins)(weft__waiter *w);
    void (*ends)(weft__waiter *w);
} weft__thread_watch;

extern const weft__thread_watch *weft__thread_watcher; /* set before there are threads, or never: NULL */

/* Destroy all values of the caller's, which ends (local.c). Pre: it has some. */
void weft__locals_end(weft__waiter *self);

/* Forget the values of a waiter that nobody is any more; they are not destroyed. */
void weft__locals_drop(weft__waiter *w);

/* The waiter that has this id now, NULL when none has (it ended). */
weft__waiter *weft__waiter_by_id(uint32_t id);

/* This process is a child of fork: threads and coroutines that were in its parent are not in it. Set before it has
 * other threads. */
extern bool weft__forked;

/* In a child of fork: w, which is in use, has no thread or stack here. It is out of use. */
void weft__waiter_leave_behind(weft__waiter *w);

/* Whether a fork left behind who had this id. If so, and buf is not NULL, what it was called. */
bool weft__waiter_left_behind(uint32_t id, char *buf, size_t size);

/* The same for `n` slots of the registry from `first` on. */
void weft__waiters_in(uint32_t first, uint32_t n, void (*fn)(weft__waiter *w, void *arg), void *arg);

/* The same for the waiters of threads, also of those that run coroutines. Until fn returns false; whether none did. */
bool weft__thread_waiters_each(bool (*fn)(weft__waiter *w, void *arg), void *arg);

/* Call fn for every waiter in use. It may read any field and call ops->name; the picture is racy by nature. */
void weft__waiters_each(void (*fn)(weft__waiter *w, void *arg), void *arg);

/* ---- a wait ---- */

/* Decide the present wait of w. True: it was waiting and `why` is now its reason; the caller must call
 * weft__waiter_ready(w) (unless it is w itself). False: it was not waiting, or somebody else decided. */
static inline bool weft__waiter_claim(weft__waiter *w, uint32_t why)
{
    uint32_t state = load_relaxed(&w->state);
    while (state == WEFT__WAITING || (state == WEFT__HARD && why != WEFT__CANCELLED))
        if (cas_seq_cst(&w->state, &state, why))
            return true;
    return false;
}

static inline void weft__waiter_ready(weft__waiter *w)
{
    w->ops->ready(w);
}

/* Begin a wait. `hard`: cancellation does not end it. The caller then makes w findable by at least one seq_cst
 * read-modify-write, or has a fence, so that WAITING is visible before weft__wait_cancelled reads `cancel`. */
static inline void weft__wait_begin(weft__waiter *self, bool hard)
{
    self->hard = hard || self->shield != 0;
    store_relaxed(&self->token, 0);
    /* Also a release: a canceller finds the waiter by its handle alone, and its claim must bring along what ready
     * reads. */
    store_before_rmw(&self->state, self->hard ? WEFT__HARD : WEFT__WAITING);
}

/* Whether w is in a wait that nobody has decided yet. Racy unless asked by who can know. */
static inline bool weft__waiter_asleep(const weft__waiter *w)
{
    uint32_t state = load_acquire(&w->state);
    return state == WEFT__WAITING || state == WEFT__HARD;
}

/* Whether the caller has been asked to stop and may be told. */
static inline bool weft__wait_cancelled(const weft__waiter *self)
{
    return load_seq_cst(&self->cancel) != 0 && self->shield == 0;
}

/* Before a wait is begun: a thread looks for a moment, as before it sleeps, whether one of these bits of *word is set.
 * Nobody has to find it and wake it then. False: not yet, or no thread, or looking does not pay. */
bool weft__waiter_look(weft__waiter *self, int64_t until_ns, const uint32_t *word, uint32_t bits);

/* Sleep until claimed or `until_ns`; returns the reason and ends the wait. Does not sleep when already cancelled or
 * past the deadline, but a claim that came before still wins. After it, take yourself out of wherever you were
 * findable. */
uint32_t weft__wait_block(weft__waiter *self, int64_t until_ns);

/* End a wait that was begun but shall not sleep after all. Returns the reason if somebody had decided it meanwhile
 * (then this has waited for its ready), else WEFT__IDLE. */
uint32_t weft__wait_abandon(weft__waiter *self);

/* Ask w to stop: sticky. Ends its present wait unless that is hard or shielded. */
void weft__waiter_cancel(weft__waiter *w);

/* A thread is about to sleep on its token in the kernel. True: sleep while it is WEFT__TOKEN_ASLEEP. False: it is
 * ready. */
static inline bool weft__token_sleep(weft__waiter *self)
{
    uint32_t seen = WEFT__TOKEN_AWAKE;
    return cas_acq_rel(&self->token, &seen, WEFT__TOKEN_ASLEEP) || seen == WEFT__TOKEN_ASLEEP;
}

/* ---- the scheduler's idle hook ----
 * io registers how a scheduler thread sleeps so that descriptors wake it too; until then it sleeps on a futex. */
typedef struct weft__idler {
    int (*open)(void **poller);                  /* once a scheduler thread, by it; 0 or -errno */
    void (*close)(void *poller);                 /* by the same thread, when it ends */
    int (*poll)(void *poller, int64_t until_ns); /* ready those whose descriptors are; sleep at most until then (0: do
                                                    not sleep) or until interrupted; how many were readied, or -errno */
    void (*interrupt)(void *poller);             /* from any thread: the present or the next poll returns at once */
    void (*after_fork)(void *poller);            /* in a child: let go of what the parent still uses */
    unsigned (*watched)(void *poller);           /* by the same thread: how many descriptors could bring something */
} weft__idler;

extern const weft__idler *weft__idler_ops; /* atomic: NULL until io is first used */
extern WEFT__TLS void *weft__idle_poller;  /* this scheduler thread's poller; NULL elsewhere and until it is opened */

#endif
