/* sync.c - synchronisation and mutual exclusion (同步与互斥): B reads after A has written; A and C never write at once.
 *
 * The order is kept by a semaphore S that begins at 0: V(S) after the write, P(S) before the read. */
#include "lesson.h"

#include <weft/lock.h>
#include <weft/thread.h>

static weft_sem S = WEFT_SEM_INIT(0);
static weft_lock writing;
static char data[32];

static void write_data(const char *who)
{
    WEFT_WITH_LOCK (&writing) { /* held from the first letter to the last */
        printf("%s 开始写\n", who);
        lesson_sleep(0.5);
        snprintf(data, sizeof data, "%s 的数据", who);
        printf("%s 写完了\n", who);
    }
}

static int a(void *arg)
{
    (void)arg;
    write_data("A");
    V(&S);
    return 0;
}

static int b(void *arg)
{
    (void)arg;
    P(&S);
    WEFT_WITH_LOCK (&writing)
        printf("B 读到: %s\n", data);
    return 0;
}

static int c(void *arg)
{
    (void)arg;
    write_data("C");
    return 0;
}

static void run_both(weft_thread_fn *first, weft_thread_fn *second)
{
    weft_thread t1 = WEFT_THREAD_INIT, t2 = WEFT_THREAD_INIT;
    must(weft_thread_start(&t1, first, NULL, NULL));
    must(weft_thread_start(&t2, second, NULL, NULL));
    weft_thread_join(&t1, NULL, WEFT_FOREVER);
    weft_thread_join(&t2, NULL, WEFT_FOREVER);
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    puts("同步: A 先写, B 后读");
    run_both(b, a); /* B is started first, and waits all the same */
    puts("互斥: A 和 C 不能同时写");
    run_both(a, c);
    return 0;
}
