/* map.c - one function over many inputs, four at a time; the results come in the order of the inputs. */
#include "lesson.h"

#include <inttypes.h>
#include <weft/executor.h>
#include <weft/thread.h>

typedef struct pair {
    int x, y;
} pair;

typedef struct pairs {
    pair all[20];
    int given;
} pairs;

/* The inputs: (0, 1), (1, 2) ... (19, 20). */
static int next_pair(void *arg, void **input)
{
    pairs *p = arg;
    if (p->given == 20)
        return 0;
    p->all[p->given] = (pair){p->given, p->given + 1};
    *input = &p->all[p->given++];
    return 1;
}

static int multiply(void *arg, void **result)
{
    pair *p = arg;
    uint64_t ident = weft_thread_ident(weft_thread_self());
    printf("%" PRIu64 " start %d %d\n", ident, p->x, p->y);
    lesson_sleep(1);
    printf("%" PRIu64 " end %d %d\n", ident, p->x, p->y);
    *result = (void *)(intptr_t)(p->x * p->y);
    return 0;
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    pairs inputs = {.given = 0};
    weft_executor *pool;
    weft_map *results;
    void *result;
    must(weft_thread_pool_new(&pool, &(weft_pool_options){.workers = 4}));
    must(weft_map_new(&results, pool, multiply, next_pair, &inputs, NULL));
    while (weft_map_next(results, &result, WEFT_FOREVER) == 0)
        printf("%d\n", (int)(intptr_t)result);
    weft_map_free(results);
    weft_executor_free(pool);
    return 0;
}
