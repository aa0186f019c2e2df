/* doudou.c - three children of one parent at the same time: 吃饭, 睡觉, 打豆豆. One ends itself with a sentence on
 * standard error, and has exit code 1. */
#include "lesson.h"

#include <weft/process.h>

static int eat(void *arg)
{
    (void)arg;
    lesson_sleep(3);
    printf("吃饭\n%d --- %d\n", getppid(), getpid());
    return 0;
}

static int sleep_well(void *arg)
{
    (void)arg;
    lesson_sleep(2);
    weft_process_exit("睡觉进程退出");
    puts("睡觉"); /* never */
    return 0;
}

static int beat(void *arg)
{
    (void)arg;
    lesson_sleep(4);
    printf("打豆豆\n%d --- %d\n", getppid(), getpid());
    return 0;
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    weft_process_fn *const things[] = {eat, sleep_well, beat};
    weft_process p[3] = {0};
    int codes[3];
    for (int i = 0; i < 3; i++)
        must(weft_process_start(&p[i], things[i], NULL, NULL));
    for (int i = 0; i < 3; i++) {
        must(weft_process_join(&p[i], &codes[i], WEFT_FOREVER));
        must(weft_process_close(&p[i]));
    }
    return codes[0] != 0 || codes[1] != 1 || codes[2] != 0;
}
