/* fifo.c - a queue: first in, first out. */
#include "lesson.h"

#include <weft/queue.h>

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    weft_queue *q;
    must(weft_queue_new(&q, sizeof(int), &(weft_queue_options){.capacity = 3}));
    must(weft_queue_put(q, &(int){1}, WEFT_FOREVER)); /* would wait if three were in it */
    must(weft_queue_put(q, &(int){2}, WEFT_FOREVER));
    for (int i = 0, n; i < 2; i++) {
        must(weft_queue_get(q, &n, WEFT_FOREVER)); /* would wait if it were empty */
        printf("%d\n", n);
    }
    weft_queue_free(q);
    return 0;
}
