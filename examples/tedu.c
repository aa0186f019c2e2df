/* tedu.c - 进程池 Pool: apply_async, close and join. Ten tasks, four workers: not more than four at a time. */
#include "lesson.h"

#include <weft/process_pool.h>

static int worker(const void *in, size_t size, weft_reply *reply)
{
    (void)reply;
    srandom((unsigned)getpid() ^ (unsigned)weft_now()); /* or all workers would have the parent's numbers */
    printf("%s --- %.*s\n", lesson_ctime(), (int)size, (const char *)in);
    lesson_sleep(1 + lesson_random(4));
    return 0;
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    weft_executor *pool;
    must(weft_process_pool_new(&pool, &(weft_pool_options){.workers = 4}, NULL));
    for (int i = 0; i < 10; i++) {
        char message[16];
        int size = snprintf(message, sizeof message, "Tedu-%d", i);
        must(weft_submit_bytes(pool, worker, message, (size_t)size, NULL, NULL));
    }
    must(weft_executor_shutdown(pool, 0, WEFT_NOW)); /* close: nothing can be added */
    printf("Pool not running: %s\n",
           weft_submit_bytes(pool, worker, "Tedu", 4, NULL, NULL) == -EPIPE ? "True" : "False");
    must(weft_executor_shutdown(pool, WEFT_SHUTDOWN_WAIT, WEFT_FOREVER)); /* join */
    weft_executor_free(pool);
    return 0;
}
