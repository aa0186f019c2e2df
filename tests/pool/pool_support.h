/* pool_support.h - what the tests of pools share. */
#ifndef TESTS_POOL_SUPPORT_H
#define TESTS_POOL_SUPPORT_H

#include "harness/harness.h"

#include <weft/event.h>
#include <weft/executor.h>

/* A pool of threads or coroutines, as the context of the case is. */
weft_executor *pool_new(test *t, unsigned workers);
weft_executor *pool_new_with(test *t, const weft_pool_options *options);

int pool_square(void *arg, void **result);    /* the result is arg * arg */
int pool_fail(void *arg, void **result);      /* returns arg */
int pool_count(void *arg, void **result);     /* adds one to *(uint32_t *)arg */
int pool_wait_long(void *arg, void **result); /* adds one, sleeps until it is stopped, returns what sleep returned */

/* A place that jobs enter and leave only when it is open. All zero is shut. */
struct gate {
    weft_event open;
    uint32_t inside, most, passed; /* atomic */
};
int gate_pass(void *gate, void **result);
int gate_pass_shielded(void *gate, void **result); /* the same, whoever asks to stop */
void gate_wait_inside(struct gate *g, uint32_t n);
void gate_open(struct gate *g);

/* What submitters that wait for room sleep on. */
const uint32_t *pool_room(weft_executor *ex);

void pool_until_no_workers(weft_executor *ex);

/* Wait until the word, which somebody increments, is at least n. */
void pool_until(const uint32_t *word, uint32_t n);

#endif
