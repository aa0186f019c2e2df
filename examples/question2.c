/* question2.c - append in one thread, join it, then pop in another: one after the other, so always 1 (同步). */
#include "lesson.h"

#include <weft/queue.h>
#include <weft/thread.h>

static weft_queue *numbers;

static int append_all(void *arg)
{
    (void)arg;
    for (int i = 0, rounds = lesson_rounds(10000000); i < rounds; i++)
        must(weft_queue_put(numbers, &(int){0}, WEFT_FOREVER));
    return 0;
}

static int pop_all(void *arg)
{
    (void)arg;
    for (int i = 0, n, rounds = lesson_rounds(10000000); i < rounds; i++)
        must(weft_queue_get(numbers, &n, WEFT_NOW));
    return 0;
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    must(weft_queue_new(&numbers, sizeof(int), &(weft_queue_options){.kind = WEFT_LIFO}));
    must(weft_queue_put(numbers, &(int){0}, WEFT_FOREVER));
    weft_thread ta = WEFT_THREAD_INIT, ts = WEFT_THREAD_INIT;
    must(weft_thread_start(&ta, append_all, NULL, NULL));
    weft_thread_join(&ta, NULL, WEFT_FOREVER);
    must(weft_thread_start(&ts, pop_all, NULL, NULL));
    weft_thread_join(&ts, NULL, WEFT_FOREVER);
    printf("%zu\n", weft_queue_size(numbers));
    weft_queue_free(numbers);
    return 0;
}
