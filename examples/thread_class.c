/* thread_class.c - a thread in object style: a struct with the thread inside and arguments of its own. */
#include "lesson.h"

#include <inttypes.h>
#include <weft/thread.h>

typedef struct my_thread {
    weft_thread thread; /* the "base class" */
    int a, b;
} my_thread;

static int run(weft_thread *t)
{
    my_thread *self = WEFT_CONTAINER(t, my_thread, thread);
    printf("%" PRIu64 "\n", weft_thread_ident(&self->thread));
    return self->a + self->b; /* for whoever joins */
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    my_thread t = {WEFT_THREAD_INIT, 1, 2};
    must(weft_thread_run(&t.thread, run, NULL));
    printf("%" PRIu64 "\n", weft_thread_ident(&t.thread)); /* the same number, seen from outside */
    weft_thread_join(&t.thread, NULL, WEFT_FOREVER);
    return 0;
}
