/* steps.c - a += 1 is no single step: it loads a, adds, and stores. Where may the processor change threads?
 *
 * Thread A does a += 1 and is switched out after each of the steps in turn; thread B then does its own a += 1. */
#include "lesson.h"

#include <weft/thread.h>

static int a;
static weft_sem b_may_run, a_may_go_on;

static void switch_here(int step, int wanted)
{
    if (step == wanted) {
        V(&b_may_run);
        P(&a_may_go_on);
    }
}

static int thread_a(void *arg)
{
    int wanted = (int)(intptr_t)arg;
    switch_here(0, wanted);
    int copy = a; /* LOAD_GLOBAL  a */
    switch_here(1, wanted);
    int one = 1; /* LOAD_CONST   1 */
    switch_here(2, wanted);
    copy += one; /* INPLACE_ADD */
    switch_here(3, wanted);
    a = copy; /* STORE_GLOBAL a */
    switch_here(4, wanted);
    return 0;
}

static int thread_b(void *arg)
{
    (void)arg;
    P(&b_may_run);
    a += 1;
    V(&a_may_go_on);
    return 0;
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    puts("0 LOAD_GLOBAL  a\n2 LOAD_CONST   1\n4 INPLACE_ADD\n6 STORE_GLOBAL a\n8 LOAD_CONST   None\n10 RETURN_VALUE");
    for (int step = 0; step <= 4; step++) {
        weft_thread first = WEFT_THREAD_INIT, second = WEFT_THREAD_INIT;
        a = 0;
        must(weft_thread_start(&first, thread_a, (void *)(intptr_t)step, NULL));
        must(weft_thread_start(&second, thread_b, NULL, NULL));
        weft_thread_join(&first, NULL, WEFT_FOREVER);
        weft_thread_join(&second, NULL, WEFT_FOREVER);
        printf("第 %d 步之后切换: a = %d%s\n", step, a, a == 2 ? "" : " (丢了一次加法)");
    }
    return 0;
}
