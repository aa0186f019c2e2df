/* child_support.c - see child_support.h. */
#include "process/child_support.h"

#include "harness/harness.h"

int child_give_back(void *arg)
{
    return (int)(intptr_t)arg;
}

int child_try_start(weft_process *p, weft_process_fn *fn, void *arg)
{
    return weft_process_start(p, fn, arg, &(weft_process_options){.method = WEFT_FORKSERVER});
}

void child_start(weft_process *p, weft_process_fn *fn, void *arg)
{
    CHECK_OK(child_try_start(p, fn, arg));
}

int child_join(weft_process *p)
{
    int code = -1000;
    CHECK_OK(weft_process_join(p, &code, WEFT_FOREVER));
    return code;
}

int child_join_and_close(weft_process *p)
{
    int code = child_join(p);
    CHECK_OK(weft_process_close(p));
    return code;
}
