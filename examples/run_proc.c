/* run_proc.c - a function in a child process, and join to wait for its end. */
#include "lesson.h"

#include <weft/process.h>

static int run_proc(void *arg)
{
    printf("运行子进程中,名字:%s,进程ID:%d...\n", (const char *)arg, getpid());
    return 0;
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    weft_process p = WEFT_PROCESS_INIT;
    printf("父进程ID:%d.\n", getpid());
    puts("开始执行子进程.");
    must(weft_process_start(&p, run_proc, "test", NULL));
    must(weft_process_join(&p, NULL, WEFT_FOREVER));
    puts("结束子进程.");
    printf("%d\n%d\n", getpid(), getppid());
    return weft_process_close(&p);
}
