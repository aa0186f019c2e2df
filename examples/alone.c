/* alone.c - with one thread only there is nothing unsafe: additions and subtractions without a lock make 0. */
#include "lesson.h"

#include <weft/thread.h>

static int n;

static int add_and_subtract(void *arg)
{
    (void)arg;
    int rounds = lesson_rounds(500000);
    for (int i = 0; i < rounds; i++)
        n += 1;
    for (int i = 0; i < rounds; i++)
        n -= 1;
    return 0;
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    weft_thread only = WEFT_THREAD_INIT;
    must(weft_thread_start(&only, add_and_subtract, NULL, NULL));
    weft_thread_join(&only, NULL, WEFT_FOREVER);
    printf("%d\n", n);
    return 0;
}
