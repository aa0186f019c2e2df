/* semaphore.c - a semaphore that begins at 0: a consumer (P) gets through for each producer (V), never before it. */
#include "lesson.h"

#include <weft/thread.h>

static weft_sem s = WEFT_SEM_INIT(0);

static int produce(void *arg)
{
    lesson_sleep(lesson_random(0.2));
    printf("producer:%d\n", (int)(intptr_t)arg);
    V(&s); /* never waits */
    return 0;
}

static int consume(void *arg)
{
    P(&s); /* waits while there is none */
    lesson_sleep(lesson_random(0.2));
    printf("consumer:%d\n", (int)(intptr_t)arg);
    return 0;
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    weft_thread threads[10] = {0};
    for (int i = 5; i < 10; i++)
        must(weft_thread_start(&threads[i], consume, (void *)(intptr_t)i, NULL));
    for (int i = 0; i < 5; i++)
        must(weft_thread_start(&threads[i], produce, (void *)(intptr_t)i, NULL));
    for (int i = 0; i < 10; i++)
        weft_thread_join(&threads[i], NULL, WEFT_FOREVER);
    return 0;
}
