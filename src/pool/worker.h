/* worker.h - worker.c for executor.c: starting workers, and running jobs elsewhere than in one that is idle. */
#ifndef WEFT_POOL_WORKER_H
#define WEFT_POOL_WORKER_H

#include "pool/pool.h"

void weft__worker_ops(weft__future_ops *ops);

/* Start a worker that the backlog has counted as a searcher. -ENOMEM or -EAGAIN: it could not be, and there is none for
 * the jobs that wait. 0 otherwise. */
int weft__worker_start(weft_executor *ex);

/* See off those that have ended or are about to. */
void weft__worker_reap(weft_executor *ex);

/* A job that was taken out of the queue will not run. */
void weft__worker_discard(weft__job *j);

/* No worker could be started, and there is none: what was left to it will not run, unless one comes meanwhile. */
void weft__worker_discard_forsaken(weft_executor *ex);

/* Cancel the oldest job of a full pool. Whether there was one. */
bool weft__worker_drop_oldest(weft_executor *ex);

/* Run a job that is in no queue here. */
void weft__worker_run_here(weft_executor *ex, weft__job *j);

/* By a worker of ex in a job: run one that waits. Whether there was one. */
bool weft__worker_help_any(weft_executor *ex);

#endif
