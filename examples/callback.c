/* callback.c - a callback gets each result the moment it is there: whoever is done first is printed first. */
#include "lesson.h"

#include <weft/executor.h>

typedef struct product {
    int a, product;
} product;

static int multiply(void *arg, void **result)
{
    product *p = arg;
    lesson_sleep(0.2 + lesson_random(1));
    p->product = p->a * (p->a + 1);
    *result = p;
    return 0;
}

static int print_result(weft_future *f, void *arg)
{
    void *result;
    (void)arg;
    int err = weft_future_result(f, &result, WEFT_NOW);
    if (err < 0)
        return err;
    product *p = result;
    printf("(%d, %d)\n", p->a, p->product);
    return 0;
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    static product products[20];
    weft_executor *pool;
    must(weft_thread_pool_new(&pool, &(weft_pool_options){.workers = 4}));
    for (int i = 0; i < 20; i++) {
        weft_future *f;
        products[i].a = i;
        must(weft_submit(pool, multiply, &products[i], &f));
        must(weft_future_add_callback(f, print_result, NULL));
        weft_future_unref(f);
    }
    weft_executor_free(pool);
    return 0;
}
