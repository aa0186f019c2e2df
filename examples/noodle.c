/* noodle.c - four people, one bowl of noodles and one fork: two locks taken crosswise are a deadlock.
 *
 * lucy takes the noodles, jack the fork, and each waits for what the other holds. It happens every time, because who
 * has one of the two pauses until somebody has the other. The program would hang for ever; weft prints who waits for
 * whom, and the lesson ends. */
#include "lesson.h"

#include <weft/barrier.h>
#include <weft/thread.h>

static weft_lock noodle_lock, fork_lock;
static weft_barrier both_are_taken;

static int eat1(void *arg)
{
    const char *name = arg;
    weft_lock_acquire(&noodle_lock);
    printf("%s 抢到面了\n", name);
    weft_barrier_wait(&both_are_taken, WEFT_FOREVER);
    weft_lock_acquire(&fork_lock);
    printf("%s 抢到叉子了\n", name);
    printf("%s 吃面\n", name);
    weft_lock_release(&fork_lock);
    printf("%s 放下叉子了\n", name);
    weft_lock_release(&noodle_lock);
    printf("%s 放下面了\n", name);
    return 0;
}

static int eat2(void *arg)
{
    const char *name = arg;
    weft_lock_acquire(&fork_lock);
    printf("%s 抢到叉子了\n", name);
    weft_barrier_wait(&both_are_taken, WEFT_FOREVER);
    weft_lock_acquire(&noodle_lock);
    printf("%s 抢到面了\n", name);
    printf("%s 吃面\n", name);
    weft_lock_release(&noodle_lock);
    printf("%s 放下面了\n", name);
    weft_lock_release(&fork_lock);
    printf("%s 放下叉子了\n", name);
    return 0;
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    lesson_end_at_deadlock();
    must(weft_barrier_init(&both_are_taken, 2, NULL));
    static char *names[4] = {"lucy", "jack", "rose", "disen"};
    weft_thread people[4] = {0};
    for (int i = 0; i < 4; i++)
        must(weft_thread_start(&people[i], i % 2 == 0 ? eat1 : eat2, names[i],
                               &(weft_thread_options){.name = names[i]}));
    for (int i = 0; i < 4; i++)
        weft_thread_join(&people[i], NULL, WEFT_FOREVER);
    return 0;
}
