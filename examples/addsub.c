/* addsub.c - two threads add and two subtract; a lock around each step makes it come out at 0.
 *
 * --unsafe: without the lock. The first thread is switched out between the load and the store of its first n += 1 until
 * the three others are done; then it stores what it made of the n of long ago, and all their work is lost. */
#include "lesson.h"

#include <weft/lock.h>
#include <weft/thread.h>

static int n;
static weft_lock lock;

static int add(void *arg)
{
    int step = *(int *)arg;
    for (int i = 0, rounds = lesson_rounds(500000); i < rounds; i++)
        WEFT_WITH_LOCK (&lock)
            n += step;
    return 0;
}

static int add_without_lock(void *arg)
{
    int step = *(int *)arg;
    for (int i = 0, rounds = lesson_rounds(500000); i < rounds; i++)
        n += step;
    return 0;
}

static int add_and_be_switched_out(void *arg)
{
    int step = *(int *)arg, seen = n;
    lesson_switched_out();
    n = seen + step;
    for (int i = 1, rounds = lesson_rounds(500000); i < rounds; i++)
        n += step;
    return 0;
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    int unsafe = lesson_unsafe(), steps[4] = {1, 1, -1, -1};
    weft_thread threads[4] = {0};
    must(weft_thread_start(&threads[0], unsafe ? add_and_be_switched_out : add, &steps[0], NULL));
    if (unsafe)
        lesson_wait_switched_out();
    for (int i = 1; i < 4; i++)
        must(weft_thread_start(&threads[i], unsafe ? add_without_lock : add, &steps[i], NULL));
    for (int i = 1; i < 4; i++)
        weft_thread_join(&threads[i], NULL, WEFT_FOREVER);
    lesson_switch_in();
    weft_thread_join(&threads[0], NULL, WEFT_FOREVER);
    printf("%d\n", n);
    return 0;
}
