/* process_support.h - what the tests of process pools share: jobs over bytes. */
#ifndef TESTS_PROCESS_SUPPORT_H
#define TESTS_PROCESS_SUPPORT_H

#include "harness/harness.h"

#include <weft/process_pool.h>

weft_bytes_fn bytes_square;   /* a long; its square */
weft_bytes_fn bytes_echo;     /* the same bytes */
weft_bytes_fn bytes_pid;      /* the worker's process id */
weft_bytes_fn bytes_signal;   /* an int: raise this signal */
weft_bytes_fn bytes_exit;     /* an int: exit with it */
weft_bytes_fn bytes_fail;     /* an int: fail with it, in words */
weft_bytes_fn bytes_for_ever; /* sleeps */

/* A place in memory that the workers share (make it before them), which jobs enter and leave only when it is open. */
struct shared_gate {
    uint32_t inside, open, passed; /* atomic */
};
weft_bytes_fn bytes_gate; /* a struct shared_gate *; the worker's process id */
struct shared_gate *shared_gate_new(void);
void shared_gate_wait(struct shared_gate *g, uint32_t inside);
void shared_gate_open(struct shared_gate *g);

weft_executor *processes(unsigned workers);
weft_executor *processes_with(const weft_pool_options *options, const weft_process_pool_options *more);

/* The answer as a long. */
long bytes_long(weft_future *f);

/* How many children this process has, zombies among them. */
int child_count(void);

#endif
