/* local.c - a thread-local: one global name, and each thread finds its own value under it. */
#include "lesson.h"

#include <weft/local.h>
#include <weft/thread.h>

static weft_local local_school = WEFT_LOCAL_INIT(NULL);

static void process_student(void)
{
    char name[32];
    printf("Hello,%s (in %s)\n", (const char *)weft_local_get(&local_school),
           weft_thread_name(weft_thread_self(), name, sizeof name));
}

static int process_thread(void *arg)
{
    must(weft_local_set(&local_school, arg));
    process_student();
    return 0;
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    weft_thread t1 = WEFT_THREAD_INIT, t2 = WEFT_THREAD_INIT;
    must(weft_thread_start(&t1, process_thread, "Jack", &(weft_thread_options){.name = "Thread-1"}));
    must(weft_thread_start(&t2, process_thread, "john", &(weft_thread_options){.name = "Thread=2"}));
    weft_thread_join(&t1, NULL, WEFT_FOREVER);
    weft_thread_join(&t2, NULL, WEFT_FOREVER);
    return 0;
}
