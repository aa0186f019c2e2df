/* threads.c - three threads: each tells its ident, and the main thread who is alive. */
#include "lesson.h"

#include <inttypes.h>
#include <weft/thread.h>

static int func(void *arg)
{
    int i = (int)(intptr_t)arg;
    printf("start%d %" PRIu64 "\n", i, weft_thread_ident(weft_thread_self()));
    lesson_sleep(1);
    printf("end%d\n", i);
    return 0;
}

typedef struct line {
    char text[512];
    size_t length;
} line;

static void add_thread(const weft_thread_info *t, void *arg)
{
    line *l = arg;
    int n = snprintf(l->text + l->length, sizeof l->text - l->length, "%s<%s(%s, started %" PRIu64 ")>",
                     l->length > 0 ? ", " : "", t->main ? "_MainThread" : "Thread", t->name, t->ident);
    if (n > 0 && (size_t)n < sizeof l->text - l->length)
        l->length += (size_t)n;
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    weft_thread threads[3] = {0};
    for (int i = 0; i < 3; i++) {
        must(weft_thread_start(&threads[i], func, (void *)(intptr_t)i, NULL));
        printf("%" PRIu64 "\n", weft_thread_ident(&threads[i]));
    }
    line all = {0};
    weft_threads_each(add_thread, &all);
    printf("[%s] %d\n", all.text, weft_threads_count());
    for (int i = 0; i < 3; i++)
        weft_thread_join(&threads[i], NULL, WEFT_FOREVER);
    puts("所有线程执行完毕");
    return 0;
}
