/* five_threads.c - five threads with arguments: started together, done together after two seconds. */
#include "lesson.h"

#include <weft/thread.h>

typedef struct args {
    double sec;
    char name[16];
} args;

static int fun(void *arg)
{
    args *a = arg;
    puts("含有参数的线程");
    lesson_sleep(a->sec);
    printf("%s线程执行完毕\n", a->name);
    return 0;
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    weft_thread threads[5] = {0};
    args all[5];
    for (int i = 0; i < 5; i++) {
        all[i].sec = 2;
        snprintf(all[i].name, sizeof all[i].name, "T%d", i);
        must(weft_thread_start(&threads[i], fun, &all[i], NULL));
    }
    for (int i = 0; i < 5; i++)
        weft_thread_join(&threads[i], NULL, WEFT_FOREVER);
    return 0;
}
