/* co_pool.c - the engine whose workers are coroutines: thousands of jobs that wait. A worker gives way after a few jobs
 * that did not wait by themselves, so that a long queue does not keep others from its thread. A job that waits for
 * another one runs that itself only if no other worker can: a coroutine's stack is small. Idle workers are kept: one is
 * a page or two, and a timer for its end would keep its scheduler from being seen to be at rest (src/park/stuck.c). */
#include "pool/pool.h"

#include "base/panic.h"

static unsigned default_workers(void)
{
    return 10000;
}

static int run(void *arg)
{
    weft__pool_work(arg);
    return 0;
}

static int start(weft__worker *w)
{
    char name[WEFT__POOL_NAME + 16];
    weft__pool_worker_name(w, name, sizeof name);
    weft_co_options options = {.name = name, .stack_size = w->ex->stack_size};
    return weft_co_start(&w->co, run, w, &options);
}

static void join(weft__worker *w)
{
    int was = weft_shield(1);
    int err = weft_co_join(w->co, NULL, WEFT_FOREVER);
    weft_shield(was);
    if (err < 0)
        weft__panic("a worker of a pool could not be joined: %s", weft_strerror(err));
}

const weft__engine weft__co_engine = {
    .name = "coroutines",
    .workers = default_workers,
    .start = start,
    .join = join,
    .jobs_before_yield = 32,
    .spins = 2, /* who waited for the job may have the next one */
    .pause = weft_yield,
};
