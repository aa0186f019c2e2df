/* fork.c - in a child of fork only the calling thread exists: there are no coroutines and no scheduler threads, and the
 * first start begins afresh. A coroutine that called fork goes on in the child, on its stack, as a plain thread; when
 * its function returns there, the program ends with a sentence.
 *
 * The common lists are held across fork, so the child finds them whole; what lay in threads' own caches is found again
 * by walking the slabs. Lock order: start_lock, blocking, pool, stacks. */
#include "co/state.h"

#include <pthread.h>

uint32_t weft__co_epoch;

static void before(void)
{
    weft__sched_before_fork();
    weft__blocking_before_fork();
    weft__pool_before_fork();
    weft__stacks_before_fork();
}

static void after_in_parent(void)
{
    weft__stacks_after_fork_parent();
    weft__pool_after_fork_parent();
    weft__blocking_after_fork_parent();
    weft__sched_after_fork_parent();
}

static void after_in_child(void)
{
    const weft__sched *s = weft__sched_self;
    weft_co *mine = s != NULL ? s->current : NULL;
    store_relaxed(&weft__co_epoch, weft__co_epoch + 1);
    weft__stacks_after_fork_child(mine != NULL ? mine->stack : NULL);
    weft__pool_after_fork_child(mine);
    weft__blocking_after_fork_child();
    weft__sched_after_fork_child();
}

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void watch(void)
{
    pthread_atfork(before, after_in_parent, after_in_child);
}

void weft__co_watch_fork(void)
{
    pthread_once(&once, watch);
}
