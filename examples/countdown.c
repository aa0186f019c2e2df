/* countdown.c - threads share the data of their process: a hundred of them take one each from 100. */
#include "lesson.h"

#include <weft/lock.h>
#include <weft/thread.h>

static int n = 100;
static weft_lock lock;

static int take_one(void *arg)
{
    (void)arg;
    WEFT_WITH_LOCK (&lock)
        n -= 1;
    return 0;
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    weft_thread threads[100] = {0};
    for (int i = 0; i < 100; i++)
        must(weft_thread_start(&threads[i], take_one, NULL, NULL));
    for (int i = 0; i < 100; i++)
        weft_thread_join(&threads[i], NULL, WEFT_FOREVER);
    printf("%d\n", n);
    return 0;
}
