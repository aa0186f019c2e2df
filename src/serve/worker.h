/* worker.h - what coroutine.c (bytes and turns) and keeper.c (acceptance, time-outs, room, stop) tell each other. All
 * of it on the worker's scheduler thread. */
#ifndef WEFT_SERVE_WORKER_H
#define WEFT_SERVE_WORKER_H

#include "serve/serve.h"

/* ---- coroutine.c ---- */

extern const weft__slot_fn weft__conn_slot_fn;

/* Wake the turn of c if it waits for one of these (a mask of 1 << weft__turn_wait). */
void weft__turn_wake(weft_conn *c, unsigned mask);

/* The client's end of the input has come, whatever the stop has made the handler believe. */
static inline void weft__conn_note_end(weft_conn *c)
{
    c->flags = (uint8_t)((c->flags | WEFT__CONN_ENDED) & ~WEFT__CONN_CALLED);
}

/* Have a runner work the line of ready connections off, unless one is coming anyway. */
void weft__runner_call(weft__worker *w);

/* Runners that rest are to end. */
void weft__runners_dismiss(weft__worker *w);

/* ---- keeper.c ---- */

/* The coroutine that looks after a worker; its argument. */
int weft__keeper(void *worker);

/* Start a coroutine for each worker, each on a scheduler thread of its own, and wait until all have said how it went.
 * 0 or the error of one. */
int weft__keepers_start(weft_server *s, int (*keeper)(void *worker));

/* A worker has started, or has failed to. */
void weft__keeper_started(weft__worker *w, int err);

/* A worker has ended; the last one ends the server. */
void weft__keeper_gone(weft__worker *w);

/* Have the keeper look at everything at `at` at the latest. */
void weft__keeper_by(weft__worker *w, int64_t at);

/* A connection, a runner or a send has ended: the keeper of a stopping worker may be waiting for the last one. */
static inline void weft__keeper_ended(weft__worker *w)
{
    if (unlikely(w->drained))
        weft__keeper_by(w, 0);
}

/* c is waiting for its client from now on, is being flushed, lingers, shakes hands: in that list, with its time-out. */
void weft__keeper_idle(weft_conn *c);
void weft__keeper_flushing(weft_conn *c);
void weft__keeper_lingering(weft_conn *c);
void weft__keeper_shaking(weft_conn *c);

/* A handler call is over: is state_tick to be set for a second from now? */
static inline bool weft__keeper_wants_tick(const weft__worker *w)
{
    return w->tick_at == INT64_MAX && w->server->options.state_tick != NULL;
}

/* ---- accept.c ---- */

/* Accept from now on. 0 or -errno. */
int weft__accept_open(weft__worker *w);
void weft__accept_close(weft__worker *w);

/* Accept no more, but let in those whom the poller has taken from the queue already, and those who still stand there;
 * if it is `over` these are left to whoever else accepts. True when it is done; until then to be asked again. */
bool weft__accept_retire(weft__worker *w, bool over);

/* After an error, when accept_again has come. */
void weft__accept_retry(weft__worker *w);

#endif
