/* question4.c - += 1 and -= 1 at the same time (异步): only a lock makes it certain that 0 is left.
 *
 * --unsafe: without the lock. The adding thread is switched out inside its first += 1 until the other has ended. */
#include "lesson.h"

#include <weft/lock.h>
#include <weft/thread.h>

static int numbers;
static weft_lock lock;

static int add(void *arg)
{
    int step = (int)(intptr_t)arg, rounds = lesson_rounds(10000000);
    if (lesson_unsafe() && step > 0) {
        int seen = numbers; /* load */
        lesson_switched_out();
        numbers = seen + step; /* store */
        rounds--;
    }
    for (int i = 0; i < rounds; i++)
        if (lesson_unsafe())
            numbers += step;
        else
            WEFT_WITH_LOCK (&lock)
                numbers += step;
    return 0;
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    weft_thread ta = WEFT_THREAD_INIT, ts = WEFT_THREAD_INIT;
    must(weft_thread_start(&ta, add, (void *)(intptr_t)1, NULL));
    if (lesson_unsafe())
        lesson_wait_switched_out();
    must(weft_thread_start(&ts, add, (void *)(intptr_t)-1, NULL));
    weft_thread_join(&ts, NULL, WEFT_FOREVER);
    lesson_switch_in();
    weft_thread_join(&ta, NULL, WEFT_FOREVER);
    printf("%d\n", numbers);
    return 0;
}
