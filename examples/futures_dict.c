/* futures_dict.c - submit all twenty first, keep the futures, then ask: results in order, though four ran at a time. */
#include "lesson.h"

#include <weft/executor.h>

static int multiply(void *arg, void **result)
{
    intptr_t a = (intptr_t)arg, b = a + 1;
    lesson_sleep(1);
    *result = (void *)(a * b);
    return 0;
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    weft_executor *pool;
    weft_future *futures[20]; /* by key */
    must(weft_thread_pool_new(&pool, &(weft_pool_options){.workers = 4}));
    for (intptr_t i = 0; i < 20; i++)
        must(weft_submit(pool, multiply, (void *)i, &futures[i]));
    for (int key = 0; key < 20; key++) {
        void *result;
        must(weft_future_result(futures[key], &result, WEFT_FOREVER));
        printf("%d %d\n", key, (int)(intptr_t)result);
        weft_future_unref(futures[key]);
    }
    weft_executor_free(pool);
    return 0;
}
