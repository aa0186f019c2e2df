/* co_support.h - what the tests of coroutines share: start and join that cannot fail, and a flag to sleep on. */
#ifndef TESTS_CO_CO_SUPPORT_H
#define TESTS_CO_CO_SUPPORT_H

#include "harness/harness.h"

#include <weft/co.h>

weft_co *start(weft_co_fn *fn, void *arg);
int join(weft_co *co); /* its result */

/* Sleep until the flag is up. 0, or what the park gave; the argument means nothing. */
extern uint32_t flag; /* atomic */
int wait_for_flag(void *arg);
void raise_flag(void);

#endif
