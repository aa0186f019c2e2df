/* join_third.c - ten threads, and the main thread waits for the third only: how far the others are is not known. */
#include "lesson.h"

#include <weft/lock.h>
#include <weft/thread.h>

static int share_data;
static weft_lock lock;

static int tstart(void *arg)
{
    (void)arg;
    lesson_sleep(0.1);
    WEFT_WITH_LOCK (&lock)
        share_data += 1;
    return 0;
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    static weft_thread threads[10]; /* static: the others may run on after main */
    for (int i = 0; i < 10; i++)
        must(weft_thread_start(&threads[i], tstart, NULL, NULL));
    weft_thread_join(&threads[2], NULL, WEFT_FOREVER);
    lesson_print_main_time();
    WEFT_WITH_LOCK (&lock)
        printf("share_data result: %d\n", share_data);
    return 0;
}
