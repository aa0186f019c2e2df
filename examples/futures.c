/* futures.c - what submit returns: a future, first running, then finished; result waits for it.
 *
 * Asking for the result right after each submit makes the tasks run one after the other (同步). */
#include "lesson.h"

#include <weft/executor.h>

static int func(void *arg, void **result)
{
    intptr_t n = (intptr_t)arg;
    lesson_sleep(0.5);
    *result = (void *)(n * n);
    return 0;
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    weft_executor *pool;
    must(weft_thread_pool_new(&pool, &(weft_pool_options){.workers = 4}));
    for (intptr_t i = 0; i < 4; i++) {
        weft_future *f;
        char text[64];
        void *result;
        must(weft_submit(pool, func, (void *)i, &f));
        printf("%s\n", weft_future_text(f, text, sizeof text));
        must(weft_future_result(f, &result, WEFT_FOREVER));
        printf("%s\n%d\n", weft_future_text(f, text, sizeof text), (int)(intptr_t)result);
        weft_future_unref(f);
    }
    weft_executor_free(pool);
    return 0;
}
