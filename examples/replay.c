/* replay.c - the one order of steps from the text that makes 0 + 4 - 4 + 8 - 8 come out at -8, replayed step by step.
 *
 * t1 and t2 are real threads; a semaphore each says whose step is next. x1 and x2 are the registers. */
#include "lesson.h"

#include <weft/thread.h>

enum step {
    ADD,     /* x = balance + n */
    STORE,   /* balance = x */
    SUBTRACT /* balance = balance - n, in one go */
};

static const struct turn {
    int thread;
    enum step step;
} turns[] = {{1, ADD}, {2, ADD}, {2, STORE}, {1, STORE}, {1, SUBTRACT}, {2, SUBTRACT}};

enum {
    TURNS = sizeof turns / sizeof turns[0]
};

static int balance;
static weft_sem may_go[TURNS + 1]; /* the turn with this number */

static void do_step(int thread, enum step step, int n, int *x)
{
    int before = balance;
    switch (step) {
    case ADD:
        *x = before + n;
        printf("t%d: x%d = balance + %d  # x%d = %d + %d = %d\n", thread, thread, n, thread, before, n, *x);
        break;
    case STORE:
        balance = *x;
        printf("t%d: balance = x%d      # balance = %d\n", thread, thread, balance);
        break;
    case SUBTRACT:
        balance = before - n;
        printf("t%d: balance = balance - %d  # balance = %d - %d = %d\n", thread, n, before, n, balance);
        break;
    }
}

static int run(void *arg)
{
    int thread = (int)(intptr_t)arg, x = 0;
    for (int i = 0; i < TURNS; i++)
        if (turns[i].thread == thread) {
            P(&may_go[i]);
            do_step(thread, turns[i].step, thread == 1 ? 4 : 8, &x);
            V(&may_go[i + 1]);
        }
    return 0;
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    weft_thread t1 = WEFT_THREAD_INIT, t2 = WEFT_THREAD_INIT;
    must(weft_thread_start(&t1, run, (void *)(intptr_t)1, NULL));
    must(weft_thread_start(&t2, run, (void *)(intptr_t)2, NULL));
    printf("初始值 balance = %d\n", balance);
    V(&may_go[0]);
    weft_thread_join(&t1, NULL, WEFT_FOREVER);
    weft_thread_join(&t2, NULL, WEFT_FOREVER);
    printf("结果 balance = %d\n", balance);
    return 0;
}
