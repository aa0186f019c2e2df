/* co_support.c - see co_support.h. */
#include "co/co_support.h"

#include "park/park.h"

uint32_t flag;

weft_co *start(weft_co_fn *fn, void *arg)
{
    weft_co *co = NULL;
    CHECK_OK(weft_co_start(&co, fn, arg, NULL));
    CHECK(co != NULL);
    return co;
}

int join(weft_co *co)
{
    int result = -12345;
    CHECK_OK(weft_co_join(co, &result, WEFT_FOREVER));
    return result;
}

int wait_for_flag(void *arg)
{
    (void)arg;
    int err = 0;
    while (load_seq_cst(&flag) == 0 && err == 0)
        err = weft__park(&flag, 0, WEFT_FOREVER, 0, "test");
    return err;
}

void raise_flag(void)
{
    store_seq_cst(&flag, 1);
    weft__wake(&flag, UINT32_MAX, 0);
}
