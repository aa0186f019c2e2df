/* noodle_rlock.c - the quick cure for noodle.c: noodles and fork are one recursive lock, so nobody holds just one. */
#include "lesson.h"

#include <weft/lock.h>
#include <weft/thread.h>

static weft_rlock table;
static weft_rlock *noodle_lock = &table, *fork_lock = &table;

static int eat1(void *arg)
{
    const char *name = arg;
    weft_rlock_acquire(noodle_lock);
    printf("%s 抢到面了\n", name);
    weft_rlock_acquire(fork_lock);
    printf("%s 抢到叉子了\n", name);
    printf("%s 吃面\n", name);
    weft_rlock_release(fork_lock);
    printf("%s 放下叉子了\n", name);
    weft_rlock_release(noodle_lock);
    printf("%s 放下面了\n", name);
    return 0;
}

static int eat2(void *arg)
{
    const char *name = arg;
    weft_rlock_acquire(fork_lock);
    printf("%s 抢到叉子了\n", name);
    weft_rlock_acquire(noodle_lock);
    printf("%s 抢到面了\n", name);
    printf("%s 吃面\n", name);
    weft_rlock_release(noodle_lock);
    printf("%s 放下面了\n", name);
    weft_rlock_release(fork_lock);
    printf("%s 放下叉子了\n", name);
    return 0;
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    static char *names[4] = {"lucy", "jack", "rose", "disen"};
    weft_thread people[4] = {0};
    for (int i = 0; i < 4; i++)
        must(weft_thread_start(&people[i], i % 2 == 0 ? eat1 : eat2, names[i],
                               &(weft_thread_options){.name = names[i]}));
    for (int i = 0; i < 4; i++)
        weft_thread_join(&people[i], NULL, WEFT_FOREVER);
    return 0;
}
