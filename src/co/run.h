/* run.h - what the scheduler's own files know of each other: run.c is one thread, idle.c its sleep, share.c what the
 * threads share. */
#ifndef WEFT_CO_RUN_H
#define WEFT_CO_RUN_H

#include "co/state.h"

/* ---- run.c ---- */

extern const weft__waiter_ops weft__run_ops; /* of a scheduler thread on its own stack */

/* A new scheduler: all zero but for its index, its waiter, `searching` and `apart`. Before anybody runs it. */
void weft__run_begin(weft__sched *s);

/* From now on the calling thread runs as s, on its own stack; it called weft__run_begin, or takes s over. */
void weft__run_enter(weft__sched *s);

/* Run what is ready for one round, or when nothing is, find something or sleep until there is. */
void weft__run_round(weft__sched *s);

/* The thread's whole life: enter, and one round after the other. */
_Noreturn void weft__run(weft__sched *s);

/* Put a coroutine at the end of the run queue of this thread. */
void weft__run_enqueue(weft__sched *s, weft_co *co);

/* ---- idle.c ---- */

/* Between two rounds of a busy thread: see to all that came from elsewhere. */
void weft__run_look_around(weft__sched *s);

/* Nothing is ready: find something, or sleep until there is. */
void weft__run_idle(weft__sched *s);

/* Have call->fn called by that thread. From any thread. */
void weft__run_post(weft__sched *s, weft__call *call);

/* Wake s if it sleeps; how: WEFT__NOTIFIED or WEFT__NOTIFIED_SEARCH. Whether it slept and this woke it. */
bool weft__run_notify(weft__sched *s, uint32_t how);

/* A stack of calls, turned over: oldest first. */
weft__call *weft__run_reverse(weft__call *newest);

/* ---- share.c ---- */

/* Whether there is, at a glance, something that other threads brought. Racy. */
bool weft__share_waiting(const weft__sched *s);

/* Whether there is an unstarted coroutine anywhere. In the order of seq_cst operations. */
bool weft__share_any(void);

/* Take what other threads brought, if there is something. */
void weft__share_take(weft__sched *s);

/* Take unstarted coroutines from wherever there are some. Gives up the right to search if s held it; but when s is idle
 * and the search was in vain though coroutines are started all the time, as by one that starts one after the other and
 * waits for each, it keeps the right (s->searching) and must doze with it: sleep for WEFT__DOZE_NS at most, and search
 * again. Who starts coroutines meanwhile need not wake anybody. */
void weft__share_search(weft__sched *s, bool idle);

#ifdef WEFT_MODEL
/* For the explorer: these are all the schedulers, and nothing has happened yet. */
void weft__share_reset(weft__sched *const *s, uint32_t n);
#endif

enum {
    WEFT__DOZE_NS = 50000 /* about what a wake takes to arrive */
};

#endif
