/* bank.c - the balance of a bank account: two threads put in and take out the same sums, and 0 must be left.
 *
 * --unsafe: no lock. Thread 1 has put in 4 and is switched out inside balance = balance - 4, when it has computed 0;
 * thread 2 puts in 8 and is switched out; thread 1 stores its 0 and ends. The 8 are lost, but thread 2 takes 8 out. */
#include "lesson.h"

#include <weft/lock.h>
#include <weft/thread.h>

static int balance;
static weft_lock lock;
static weft_sem computed, put_in, stored;

static void change_it(int n)
{
    balance = balance + n;
    balance = balance - n;
}

static int run(void *arg)
{
    int n = (int)(intptr_t)arg;
    for (int i = 0, rounds = lesson_rounds(10000); i < rounds; i++)
        WEFT_WITH_LOCK (&lock) /* released on every way out */
            change_it(n);
    return 0;
}

static int run_without_lock_1(void *arg)
{
    int n = (int)(intptr_t)arg;
    for (int i = 1, rounds = lesson_rounds(100000); i < rounds; i++)
        change_it(n);
    balance = balance + n;
    int x = balance - n;
    V(&computed);
    P(&put_in);
    balance = x;
    V(&stored);
    return 0;
}

static int run_without_lock_2(void *arg)
{
    int n = (int)(intptr_t)arg;
    P(&computed);
    balance = balance + n;
    V(&put_in);
    P(&stored);
    balance = balance - n;
    for (int i = 1, rounds = lesson_rounds(100000); i < rounds; i++)
        change_it(n);
    return 0;
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    weft_thread t1 = WEFT_THREAD_INIT, t2 = WEFT_THREAD_INIT;
    int unsafe = lesson_unsafe();
    must(weft_thread_start(&t1, unsafe ? run_without_lock_1 : run, (void *)(intptr_t)4, NULL));
    must(weft_thread_start(&t2, unsafe ? run_without_lock_2 : run, (void *)(intptr_t)8, NULL));
    weft_thread_join(&t1, NULL, WEFT_FOREVER);
    weft_thread_join(&t2, NULL, WEFT_FOREVER);
    printf("%d\n", balance);
    return 0;
}
