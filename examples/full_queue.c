/* full_queue.c - putting without waiting: a full queue takes nothing, and what was to go in is lost. */
#include "lesson.h"

#include <weft/queue.h>

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    weft_queue *q;
    must(weft_queue_new(&q, sizeof(int), &(weft_queue_options){.capacity = 3}));
    for (int i = 1; i <= 4; i++)
        if (weft_queue_put(q, &i, WEFT_NOW) == -WEFT_EFULL)
            printf("队列已满,%d 放不进去,丢失了\n", i);
    for (int n; weft_queue_get(q, &n, WEFT_NOW) == 0;)
        printf("%d\n", n);
    weft_queue_free(q);
    return 0;
}
