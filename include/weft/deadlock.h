/* weft/deadlock.h - a program that hangs says why: who waits for whom, where it was taken and where it is awaited.
 *
 * Always on, and free until somebody has slept for a moment in a wait that another waiter must end. What it finds,
 * within 100 ms: rings through locks, rlocks, rwlocks and their readers, joins, futures and pools, a waiter that waits
 * for itself, and the state in which every thread and coroutine of the process waits for another one and nobody is left
 * to wake them.
 * What it reports once, on stderr unless told otherwise:
 *
 *     weft: deadlock: 2 waiters in a ring
 *         thread "lucy" (3) waits for lock fork_lock 0x55d0c8a2 for 24 ms
 *             awaited at eat1 (noodle.c:21)
 *             held by thread "jack" (4), taken at eat2 (noodle.c:30)
 *         ...
 *
 * It reports nothing that could still go on by itself: waits with a deadline, for descriptors, in shared memory, or
 * that a thread unknown to weft might end are left alone. A weft_lock may be released by another than its taker; one
 * that is used so says it with WEFT_LOCK_HANDOFF at init, or else the detector takes its taker for the one who will
 * release it. Call from threads and coroutines, not from signal handlers. docs/guide/deadlocks.md shows more. */
#ifndef WEFT_DEADLOCK_H
#define WEFT_DEADLOCK_H

#include <weft/base.h>

#ifdef __cplusplus
extern "C" {
#endif

enum weft_deadlock_action {
    WEFT_DEADLOCK_REPORT = 0, /* the report, on stderr; the program hangs on */
    WEFT_DEADLOCK_ERROR,      /* the report; and one member of the ring gets -EDEADLK from its wait, if it has a way to
                                 say so (acquire_until, join ...; not the plain weft_lock_acquire) */
    WEFT_DEADLOCK_ABORT,      /* the report, then abort() */
    WEFT_DEADLOCK_OFF
};

/* One who can end a wait, perhaps of several: the readers of an rwlock, the workers of a pool. */
typedef struct weft_deadlock_holder {
    uint32_t id;
    const char *kind; /* "thread" or "coroutine"; "" when it has ended */
    const char *name;
    const char *taken_at; /* "" when it is not known */
} weft_deadlock_holder;

/* One waiter of a deadlock; the texts are valid during the call only. */
typedef struct weft_deadlock_member {
    uint32_t id;
    const char *kind; /* "thread" or "coroutine" */
    const char *name;
    const char *what;        /* what it waits for: "lock", "rlock", "join", "future", "queue" ... */
    const char *object_name; /* "fork_lock": a variable's name or what weft_name_object said; "" when not known */
    const void *object;
    int64_t since;          /* when it was first seen asleep, on weft_now's clock: at most a moment after it was */
    const char *awaited_at; /* "eat1 (noodle.c:21)" */
    const char *taken_at;   /* where its holder took it; "" when there is none or it is not known */
    uint32_t holder;    /* id of who holds it or must end it, or of the only one of several that is in the ring; 0 when
                               it is not one */
    unsigned n_holders; /* all of them that are known, of many the first eight */
    const weft_deadlock_holder *holders;
} weft_deadlock_member;

enum {
    WEFT_DEADLOCK_STUCK = 0, /* nobody is left to wake them */
    WEFT_DEADLOCK_RING = 1,  /* each waits for the next */
    WEFT_DEADLOCK_ORDER = 2  /* weft_lock_order_check: a ring can come to be, nothing hangs yet; n is 0 */
};

typedef struct weft_deadlock {
    const char *text; /* the whole report */
    int ring;         /* WEFT_DEADLOCK_RING ... */
    unsigned n;
    const weft_deadlock_member *members;
} weft_deadlock;

/* What to do from now on. `fn`, if not NULL, is called with each report instead of its going to stderr, on a thread of
 * weft's own; it must not wait for any of the members. The environment variable WEFT_DEADLOCK (report, error, abort,
 * off) sets the action of a program that never calls this. */
WEFT_API void weft_deadlock_set(enum weft_deadlock_action action, void (*fn)(const weft_deadlock *d, void *arg),
                                void *arg);

/* Opt in to lock-order checking (also: the environment variable WEFT_LOCK_ORDER=1), before locks are used: every
 * acquire is recorded, and the first time that two locks are taken in both orders, or any larger ring becomes possible,
 * it is reported with the places of both, although nothing hangs yet. Costs a microsecond or so an acquire. Taking with
 * WEFT_NOW counts for what is taken later only. Locks whose memory is reused must have been destroyed
 * (weft_lock_destroy ...) or are initialised anew. 0 forgets all. Returns 0. */
WEFT_API int weft_lock_order_check(int on);

/* Give an object (lock, event, queue ...) a name for reports; copied, first 31 bytes; NULL takes it back. Static
 * variables have their own name anyway. Returns 0 or -ENOMEM. */
WEFT_API int weft_name_object(const void *object, const char *name);

#ifdef __cplusplus
}
#endif
#endif
