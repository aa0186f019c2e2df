/* thread_pool.c - twenty tasks for four threads, which are made once and do one task after the other. */
#include "lesson.h"

#include <inttypes.h>
#include <weft/executor.h>
#include <weft/thread.h>

typedef struct args {
    int a, b;
} args;

static int func(void *arg, void **result)
{
    args *t = arg;
    (void)result;
    printf("%" PRIu64 " %d %d\n", weft_thread_ident(weft_thread_self()), t->a, t->b);
    lesson_sleep(1);
    return 0;
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    static args tasks[20];
    weft_executor *pool;
    must(weft_thread_pool_new(&pool, &(weft_pool_options){.workers = 4}));
    for (int i = 0; i < 20; i++) {
        tasks[i] = (args){.a = i, .b = i + 1};
        must(weft_submit(pool, func, &tasks[i], NULL)); /* returns at once */
    }
    weft_executor_free(pool); /* finishes what was submitted */
    return 0;
}
