/* lily.c - a function with arguments in a process; join with a time limit returns while the child goes on. */
#include "lesson.h"

#include <weft/process.h>

typedef struct args {
    int sec;
    const char *name;
} args;

static int worker(void *arg)
{
    const args *a = arg;
    for (int i = 0; i < 3; i++) {
        lesson_sleep(a->sec);
        printf("I'm %s\nI'm working...\n", a->name);
    }
    return 0;
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    args a = {2, "Lily"};
    weft_process p = WEFT_PROCESS_INIT;
    must(weft_process_start(&p, worker, &a, NULL));
    weft_process_join(&p, NULL, lesson_in(3)); /* -ETIMEDOUT: the child works on */
    puts("==================================");
    must(weft_process_join(&p, NULL, WEFT_FOREVER));
    return weft_process_close(&p);
}
