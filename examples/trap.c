/* trap.c - a trap of conditions: each thread notifies and then waits itself, and nobody's condition ever holds.
 *
 * notify wakes who waits now, and is not kept for who waits later. When the last one waits, there is nobody left to
 * notify. The program would hang for ever; weft prints that all its waiters wait, and the lesson ends. */
#include "lesson.h"

#include <weft/cond.h>
#include <weft/thread.h>

static weft_lock lock;
static weft_cond changed;
static int ready; /* nobody sets it */

static int notify_and_wait(void *arg)
{
    const char *name = arg;
    weft_lock_acquire(&lock);
    printf("%s notify\n", name);
    weft_cond_notify(&changed, 1);
    printf("%s wait\n", name);
    while (!ready)
        weft_cond_wait(&changed, &lock, WEFT_FOREVER);
    weft_lock_release(&lock);
    return 0;
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    lesson_end_at_deadlock();
    weft_thread t1 = WEFT_THREAD_INIT, t2 = WEFT_THREAD_INIT;
    must(weft_thread_start(&t1, notify_and_wait, "Thread 1", NULL));
    must(weft_thread_start(&t2, notify_and_wait, "Thread 2", NULL));
    weft_thread_join(&t1, NULL, WEFT_FOREVER);
    weft_thread_join(&t2, NULL, WEFT_FOREVER);
    return 0;
}
