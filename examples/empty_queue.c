/* empty_queue.c - taking without waiting: an empty queue says so, by an error that is its own. */
#include "lesson.h"

#include <weft/queue.h>

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    weft_queue *q;
    must(weft_queue_new(&q, sizeof(int), NULL));
    int n;
    if (weft_queue_get(q, &n, WEFT_NOW) == -WEFT_EEMPTY)
        puts("队列为空,继续执行其他代码");
    weft_queue_free(q);
    return 0;
}
