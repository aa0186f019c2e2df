/* question3.c - += 1 in one thread, join it, then -= 1 in another: no lock, and always 0, they never overlap (同步). */
#include "lesson.h"

#include <weft/thread.h>

static int numbers;

static int add(void *arg)
{
    int step = (int)(intptr_t)arg;
    for (int i = 0, rounds = lesson_rounds(10000000); i < rounds; i++)
        numbers += step;
    return 0;
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    weft_thread ta = WEFT_THREAD_INIT, ts = WEFT_THREAD_INIT;
    must(weft_thread_start(&ta, add, (void *)(intptr_t)1, NULL));
    weft_thread_join(&ta, NULL, WEFT_FOREVER);
    must(weft_thread_start(&ts, add, (void *)(intptr_t)-1, NULL));
    weft_thread_join(&ts, NULL, WEFT_FOREVER);
    printf("%d\n", numbers);
    return 0;
}
