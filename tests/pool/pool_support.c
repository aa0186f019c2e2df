/* pool_support.c - see pool_support.h. */
#include "pool_support.h"

#include "base/atomic.h"
#include "pool/pool.h"

#include <weft/co.h>

#include <sched.h>

weft_executor *pool_new_with(test *t, const weft_pool_options *options)
{
    weft_executor *ex = NULL;
    CHECK_OK(test_context(t) == CO ? weft_co_pool_new(&ex, options) : weft_thread_pool_new(&ex, options));
    return ex;
}

weft_executor *pool_new(test *t, unsigned workers)
{
    return pool_new_with(t, &(weft_pool_options){.workers = workers});
}

int pool_square(void *arg, void **result)
{
    intptr_t n = (intptr_t)arg;
    *result = (void *)(n * n);
    return 0;
}

int pool_fail(void *arg, void **result)
{
    (void)result;
    return (int)(intptr_t)arg;
}

int pool_count(void *arg, void **result)
{
    (void)result;
    add_seq_cst((uint32_t *)arg, 1);
    return 0;
}

int pool_wait_long(void *arg, void **result)
{
    (void)result;
    add_seq_cst((uint32_t *)arg, 1);
    return weft_sleep(WEFT_FOREVER);
}

int gate_pass(void *arg, void **result)
{
    struct gate *g = arg;
    uint32_t inside = add_seq_cst(&g->inside, 1) + 1, most = load_seq_cst(&g->most);
    while (inside > most && !cas_seq_cst(&g->most, &most, inside))
        ;
    *result = g;
    int err = weft_event_wait(&g->open, WEFT_FOREVER);
    sub_seq_cst(&g->inside, 1);
    add_seq_cst(&g->passed, 1);
    return err;
}

int gate_pass_shielded(void *gate, void **result)
{
    int was = weft_shield(1);
    int err = gate_pass(gate, result);
    weft_shield(was);
    return err;
}

void gate_wait_inside(struct gate *g, uint32_t n)
{
    pool_until(&g->inside, n);
}

void gate_open(struct gate *g)
{
    weft_event_set(&g->open);
}

void pool_until(const uint32_t *word, uint32_t n)
{
    while (load_seq_cst(word) < n) {
        weft_yield();
        sched_yield();
    }
}

const uint32_t *pool_room(weft_executor *ex)
{
    return &ex->backlog.room;
}

void pool_until_no_workers(weft_executor *ex)
{
    weft_executor_info info;
    do {
        weft_yield();
        sched_yield();
        weft_executor_look(ex, &info);
    } while (info.workers != 0);
}
