/* child_support.h - what the tests of children share: a function for them, starts by the fork server, their end. */
#ifndef TESTS_PROCESS_CHILD_SUPPORT_H
#define TESTS_PROCESS_CHILD_SUPPORT_H

#include <weft/process.h>

/* Returns its argument, an intptr_t. */
int child_give_back(void *arg);

int child_try_start(weft_process *p, weft_process_fn *fn, void *arg);
void child_start(weft_process *p, weft_process_fn *fn, void *arg);

/* Its exit code. */
int child_join(weft_process *p);
int child_join_and_close(weft_process *p);

#endif
