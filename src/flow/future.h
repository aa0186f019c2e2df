/* future.h - what a future is made of: for select, for the pools that run jobs, and for the deadlock walk.
 *
 * A job record of a pool embeds a weft_future as its first member, so submit is one allocation. The pool's side:
 *
 *     weft__future_init(&job->future, &ops, 2)         one reference for the pool, one for who submitted
 *     ... the worker takes the job out of the queue: it alone may begin it ...
 *     if (weft__future_begin(f)) {
 *         int err = fn(arg, &result);
 *         weft__future_finish(f, result, err);         also ends what stop did to the worker
 *     }
 *     weft_future_unref(f);                            cancelled or given up meanwhile: just drop it
 *
 * A worker that runs a job inline while its own job waits (ops->help) puts weft__future_pause(outer) and
 * weft__future_resume(outer) around it, so that a stop of one does not hit the other. */
#ifndef WEFT_FLOW_FUTURE_H
#define WEFT_FLOW_FUTURE_H

#include <weft/future.h>

#include "base/list.h"
#include "park/await.h"
#include "park/rawlock.h"

/* weft_future.word: the state in the two lowest bits (done: the second one), and marks. */
enum {
    WEFT__FUTURE_STATE = 3,
    WEFT__FUTURE_DONE = 2,
    WEFT__FUTURE_WAITERS = 4,  /* somebody may sleep on the word */
    WEFT__FUTURE_WATCHED = 8,  /* somebody may stand in the list */
    WEFT__FUTURE_CLAIMED = 16, /* somebody is about to store the outcome */
    WEFT__FUTURE_STOPPED = 32  /* its runner was asked to stop */
};

/* weft__waiter.cancel of a runner whose job was stopped: like a cancellation, but it ends with the job. */
#define WEFT__CANCEL_JOB 2u

/* What a pool does for its futures; each may be NULL, and so may the table (weft_future_new's). */
typedef struct weft__future_ops {
    /* The last reference has gone: reuse or free the record. NULL: weft__free. */
    void (*free)(weft_future *f);

    /* The caller is about to wait for f, which is pending, until `until`. If it is a worker of this future's pool, or
     * the pool lets others do so, and it can have the job, run it here. Returns whether it did. */
    bool (*help)(weft_future *f, weft_until until);

    /* The caller is about to wait for f, which is not done and runs elsewhere: he may look for its outcome himself for
     * a moment. */
    void (*attend)(weft_future *f, weft_until until);

    /* It was cancelled before it began: it need not stay in the queue. Called once, by the canceller, who holds a
     * reference; begin will say no in any case. */
    void (*cancelled)(weft_future *f);

    /* Ask the job to stop, where it does not run in this process. NULL: the runner's waits end. */
    void (*stop)(weft_future *f);

    /* The pool that has it. For reports. */
    struct weft_executor *(*pool)(const weft_future *f);

    /* For reports, on the watch thread: who can give f its outcome, which somebody waits for in this sleep. The table
     * is never freed. */
    void (*enders)(const weft_future *f, const weft__sleep *s, struct weft__enders *e);
} weft__future_ops;

struct weft_future {
    uint32_t word;   /* atomic */
    uint32_t refs;   /* atomic */
    uint32_t runner; /* atomic: waiter id of who runs it, 0 until a moment after it has begun; stays after the end */
    weft__rawlock lock;
    uint8_t paused; /* locked: its runner does something else meanwhile */
    int error;      /* the outcome: before DONE by who claimed it, constant afterwards */
    void *result;
    struct weft__watcher *first, **last; /* locked: callbacks and watches, oldest first; last is NULL while empty */
    const weft__future_ops *ops;
};

extern const struct weft__awaited weft__future_kind;
extern const char weft__future_what[]; /* "future": weft__waiter.what of who sleeps on a future's word, by address */

/* The memory becomes a pending future with `refs` references. */
static inline void weft__future_init(weft_future *f, const weft__future_ops *ops, uint32_t refs)
{
    *f = (weft_future){.refs = refs, .ops = ops};
}

/* The caller runs it from now on. False: somebody else began it, it was cancelled, or it has an outcome. Of several who
 * try, one succeeds: a job that a waiter runs itself may still stand in its pool's ring. */
static inline bool weft__future_begin(weft_future *f)
{
    uint32_t seen = load_relaxed(&f->word);
    while ((seen & (WEFT__FUTURE_STATE | WEFT__FUTURE_CLAIMED)) == WEFT_PENDING)
        if (cas_acq_rel(&f->word, &seen, seen | WEFT_RUNNING)) {
            store_release(&f->runner, weft__self()->id); /* by who began it, and nobody else: stop waits for it */
            return true;
        }
    return false;
}

/* As begin, for a job that runs in another process: nobody here is its runner. */
static inline bool weft__future_begin_elsewhere(weft_future *f)
{
    uint32_t seen = load_relaxed(&f->word);
    while ((seen & (WEFT__FUTURE_STATE | WEFT__FUTURE_CLAIMED)) == WEFT_PENDING)
        if (cas_acq_rel(&f->word, &seen, seen | WEFT_RUNNING))
            return true;
    return false;
}

/* Set the outcome, from any state but done; then wake, tell watches, run callbacks. Called by the runner it also takes
 * back what weft_future_stop did to it, whatever it returns. The caller holds a reference. 0 or -WEFT_EINVALIDSTATE:
 * somebody else set one. Call from: thread, coroutine, a scheduler's own stack (if the callbacks may be). */
int weft__future_finish(weft_future *f, void *result, int error);

/* As finish, for who must not call callbacks: when somebody stands in the list it is false, the outcome is kept but not
 * seen, and somebody must call weft__future_publish. */
bool weft__future_finish_quietly(weft_future *f, void *result, int error);
void weft__future_publish(weft_future *f);

/* As finish in two steps, for who has to know before callbacks run whether there may be some: WEFT__FUTURE_WATCHED in
 * `before`. end: 0, and then `tell` must follow at once; or -WEFT_EINVALIDSTATE. settle is end for a runner that alone
 * can give f an outcome: nobody calls give_up; and what it returns is told only if it is not WEFT_RUNNING. */
int weft__future_end(weft_future *f, void *result, int error, uint32_t *before);
void weft__future_tell(weft_future *f, uint32_t before);

static inline uint32_t weft__future_settle(weft_future *f, void *result, int error)
{
    f->result = error < 0 ? NULL : result;
    f->error = error < 0 ? error : 0;
    return swap_seq_cst(&f->word, WEFT_FINISHED);
}

/* The outcome is `error` although the job is still running, and the job is asked to stop. (A time limit.) As finish. */
int weft__future_give_up(weft_future *f, int error);

/* The runner does something else meanwhile, and has begun nothing else yet; and goes on with f. */
void weft__future_pause(weft_future *f);
void weft__future_resume(weft_future *f);

/* Let a worker that is about to wait run f itself. Returns whether something was done: look again. */
static inline bool weft__future_help(weft_future *f, weft_until until)
{
    return f->ops != NULL && f->ops->help != NULL && (load_relaxed(&f->word) & WEFT__FUTURE_STATE) == WEFT_PENDING &&
           f->ops->help(f, until);
}

static inline bool weft__future_is_done(const weft_future *f)
{
    return load_acquire(&f->word) & WEFT__FUTURE_DONE;
}

/* For reports, on the watch thread: who can give f, which was copied to *seen in this sleep and was not done, its
 * outcome. */
void weft__future_enders(const weft_future *f, const weft_future *seen, const weft__sleep *s, weft__enders *e);

/* As weft_future_wait, which was called at `where`. */
int weft__future_wait(weft_future *f, weft_until until, const void *where);

/* Before a sleep on f->word: mark that somebody may sleep. True: *expected is what to sleep on. False: it is done. */
bool weft__future_expect(weft_future *f, uint32_t *expected);

/* ---- being told ---- */

/* One who is told when a future is done: in its own memory, until it was told or taken out. */
typedef struct weft__watcher {
    struct weft__watcher *next, **link;
    /* Called under f->lock by who completes it: a few stores and a wake. The watch may be gone after it. NULL: this is
     * a callback. */
    void (*notify)(struct weft__watcher *watcher, weft_future *f);
} weft__watcher;

/* Be told of f. False: it is done already, and nothing was done. Allocates nothing. */
bool weft__future_watch(weft_future *f, weft__watcher *watcher);

/* No more. Afterwards nobody touches *watcher. Harmless when it was told. */
void weft__future_unwatch(weft_future *f, weft__watcher *watcher);

#endif
