/* rlock.c - a recursive lock: its holder may take it again, and others get it after as many releases. */
#include "lesson.h"

#include <weft/lock.h>
#include <weft/thread.h>

static weft_rlock lock;

static int func(void *arg)
{
    int i = (int)(intptr_t)arg;
    weft_rlock_acquire(&lock);
    weft_rlock_acquire(&lock);
    printf("%d :start\n", i);
    weft_rlock_release(&lock);
    weft_rlock_release(&lock);
    printf("%d :end\n", i);
    return 0;
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    weft_thread threads[5] = {0};
    for (int i = 0; i < 5; i++)
        must(weft_thread_start(&threads[i], func, (void *)(intptr_t)i, NULL));
    for (int i = 0; i < 5; i++)
        weft_thread_join(&threads[i], NULL, WEFT_FOREVER);
    return 0;
}
