/* daemon.c - a daemon thread guards as long as any other thread runs, also after the main code has ended.
 *
 * main returns at once. The process waits for son2, which takes three seconds; son is a daemon, for which it does not
 * wait, and ends with it. */
#include "lesson.h"

#include <weft/thread.h>

static int son(void *arg)
{
    (void)arg;
    for (;;) {
        puts("in son");
        lesson_sleep(1);
    }
    return 0;
}

static int son2(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3; i++) {
        puts("in son2...");
        lesson_sleep(1);
    }
    return 0;
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    static weft_thread guard, worker; /* static: they are needed after main */
    must(weft_thread_start(&guard, son, NULL, &(weft_thread_options){.daemon = 1}));
    must(weft_thread_start(&worker, son2, NULL, NULL));
    return 0;
}
