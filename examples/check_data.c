/* check_data.c - a function that takes the lock is called by one that holds it: that needs a recursive lock.
 *
 * --unsafe: with a plain lock the thread waits for itself. The program would hang for ever; weft prints who waits for
 * what, and the lesson ends. */
#include "lesson.h"

#include <weft/lock.h>
#include <weft/thread.h>

static int share_data;
static weft_rlock rlock;
static weft_lock lock;

static void acquire(void)
{
    if (lesson_unsafe())
        weft_lock_acquire(&lock);
    else
        weft_rlock_acquire(&rlock);
}

static void release(void)
{
    if (lesson_unsafe())
        weft_lock_release(&lock);
    else
        weft_rlock_release(&rlock);
}

static void check_data(void)
{
    acquire();
    if (share_data > 10)
        share_data = 0;
    release();
}

static int tstart(void *arg)
{
    (void)arg;
    acquire();
    check_data();
    share_data += 1;
    release();
    return 0;
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    lesson_end_at_deadlock();
    weft_thread t = WEFT_THREAD_INIT;
    must(weft_thread_start(&t, tstart, NULL, NULL));
    weft_thread_join(&t, NULL, WEFT_FOREVER);
    lesson_print_main_time();
    printf("share_data result: %d\n", share_data);
    return 0;
}
