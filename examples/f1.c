/* f1.c - the main thread goes on while the threads it started sleep: start comes first. */
#include "lesson.h"

#include <weft/thread.h>

static int f1(void *arg)
{
    lesson_sleep(1);
    printf("%d\n", (int)(intptr_t)arg);
    return 0;
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    weft_thread threads[5] = {0};
    for (int i = 0; i < 5; i++)
        must(weft_thread_start(&threads[i], f1, (void *)(intptr_t)i, NULL));
    puts("start");
    for (int i = 0; i < 5; i++)
        weft_thread_join(&threads[i], NULL, WEFT_FOREVER);
    return 0;
}
