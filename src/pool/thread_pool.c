/* thread_pool.c - the engine whose workers are threads: daemons, because the end of the process waits for jobs and not
 * for workers. A job may end its thread by pthread_exit: another worker takes its place. */
#include "pool/pool.h"

#include "base/panic.h"
#include "sys/sys.h"

#include <pthread.h>

static unsigned default_workers(void)
{
    unsigned n = weft__sys_cpus() + 4;
    return n < 32 ? n : 32;
}

static int run(void *arg)
{
    pthread_cleanup_push(weft__worker_lost, arg);
    weft__pool_work(arg);
    pthread_cleanup_pop(0);
    return 0;
}

static int start(weft__worker *w)
{
    char name[WEFT__POOL_NAME + 16];
    weft__pool_worker_name(w, name, sizeof name);
    weft_thread_options options = {.name = name, .stack_size = w->ex->stack_size, .daemon = 1};
    return weft_thread_start(&w->thread, run, w, &options);
}

static void join(weft__worker *w)
{
    int was = weft_shield(1);
    int err = weft_thread_join(&w->thread, NULL, WEFT_FOREVER);
    weft_shield(was);
    if (err < 0)
        weft__panic("a worker of a pool could not be joined: %s", weft_strerror(err));
}

const weft__engine weft__thread_engine = {
    .name = "threads",
    .workers = default_workers,
    .idle_time = 60 * WEFT_SECOND,
    .start = start,
    .join = join,
    .threads = true,
    .helps_always = true,
    .spins = 400, /* some microseconds */
};
