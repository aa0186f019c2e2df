/* rlock_held.c - a recursive lock that was taken three times and released once is still held: others are shut out. */
#include "lesson.h"

#include <errno.h>
#include <weft/lock.h>
#include <weft/thread.h>

static weft_rlock lock;

static int try(void *arg)
{
    (void)arg;
    weft_until soon = weft_in_ms(lesson_flag("--fast") ? 50 : 1000);
    if (weft_rlock_acquire_until(&lock, soon) == -ETIMEDOUT) {
        puts("其他线程: 拿不到锁");
        return 0;
    }
    puts("其他线程: 拿到锁了");
    weft_rlock_release(&lock);
    return 0;
}

static void try_in_a_thread(void)
{
    weft_thread t = WEFT_THREAD_INIT;
    must(weft_thread_start(&t, try, NULL, NULL));
    weft_thread_join(&t, NULL, WEFT_FOREVER);
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    for (int i = 0; i < 3; i++)
        weft_rlock_acquire(&lock);
    for (int i = 3; i > 0; i--) {
        printf("还持有 %d 次\n", i);
        try_in_a_thread();
        weft_rlock_release(&lock);
    }
    try_in_a_thread();
    return 0;
}
