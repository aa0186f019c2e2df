/* long_time_task.c - 进程池 Pool: five tasks for four workers; the fifth begins when one of the first four has ended, in
 * that one's process. */
#include "lesson.h"

#include <weft/process_pool.h>

static int long_time_task(const void *in, size_t size, weft_reply *reply)
{
    int name = *(const int *)in;
    (void)size, (void)reply;
    printf("运行任务%d,ID:%d\n", name, getpid());
    srandom((unsigned)getpid() ^ (unsigned)weft_now()); /* or all workers would have the parent's numbers */
    int64_t start = weft_now();
    lesson_sleep(lesson_random(3));
    printf("任务%d运行%.2f秒。\n", name, (double)(weft_now() - start) / 1e9);
    return 0;
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    weft_executor *pool;
    printf("父进程ID:%d\n", getpid());
    must(weft_process_pool_new(&pool, &(weft_pool_options){.workers = 4}, NULL));
    for (int i = 0; i < 5; i++)
        must(weft_submit_bytes(pool, long_time_task, &i, sizeof i, NULL, NULL));
    puts("等待所有子进程完成...");
    weft_executor_free(pool);
    puts("所有子进程完成。");
    return 0;
}
