/* own_memory.c - a child is a copy: what it changes is its own, and the parent's variable stays what it was. */
#include "lesson.h"

#include <weft/process.h>

static int a = 1;

static int run(void *arg)
{
    (void)arg;
    printf("开始运行一个进程\na = %d\n", a);
    a = 1000;
    lesson_sleep(2);
    puts("一个进程执行结束了");
    return 0;
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    weft_process p = WEFT_PROCESS_INIT;
    must(weft_process_start(&p, run, NULL, NULL));
    puts("原进程干点事");
    lesson_sleep(3);
    puts("父进程干完了");
    must(weft_process_join(&p, NULL, WEFT_FOREVER));
    printf("a: %d\n", a);
    return weft_process_close(&p);
}
