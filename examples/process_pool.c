/* process_pool.c - 进程池: twenty tasks for four processes, which are made once and do one task after the other. */
#include "lesson.h"

#include <weft/process_pool.h>

typedef struct args {
    int a, b;
} args;

static int func(const void *in, size_t size, weft_reply *reply)
{
    const args *t = in;
    (void)size, (void)reply;
    printf("%d start %d %d\n", getpid(), t->a, t->b);
    lesson_sleep(1);
    printf("%d end %d %d\n", getpid(), t->a, t->b);
    return 0;
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    weft_executor *pool;
    must(weft_process_pool_new(&pool, &(weft_pool_options){.workers = 4}, NULL));
    for (int i = 0; i < 20; i++) {
        args t = {.a = i, .b = i + 1};
        must(weft_submit_bytes(pool, func, &t, sizeof t, NULL, NULL)); /* the bytes are copied */
    }
    weft_executor_free(pool); /* finishes what was submitted */
    return 0;
}
