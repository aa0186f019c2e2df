/* priority.c - a priority queue: the smallest first value comes out first, so VIPs go before the others. */
#include "lesson.h"

#include <weft/queue.h>

typedef struct guest {
    int rank;
    const char *name;
} guest;

/* By rank; between equals by name, as tuples are compared. */
static int compare(const void *a, const void *b)
{
    const guest *x = a, *y = b;
    return x->rank != y->rank ? (x->rank > y->rank) - (x->rank < y->rank) : strcmp(x->name, y->name);
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    weft_queue *q;
    must(weft_queue_new(&q, sizeof(guest), &(weft_queue_options){.kind = WEFT_PRIORITY, .compare = compare}));
    static const guest guests[] = {{2, "lucy"}, {0, "rose"}, {1, "jack"}};
    for (int i = 0; i < 3; i++)
        must(weft_queue_put(q, &guests[i], WEFT_FOREVER));
    guest next;
    for (int i = 0; i < 3; i++) {
        must(weft_queue_get(q, &next, WEFT_FOREVER));
        printf("(%d, '%s')\n", next.rank, next.name);
    }
    weft_queue_free(q);
    return 0;
}
