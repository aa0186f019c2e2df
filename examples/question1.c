/* question1.c - one thread appends 10,000,000 times, another waits while the list is empty and pops as often: 1 stays.
 *
 * append and pop are each one safe step (the list has a lock inside), and nobody else pops between the popper's look
 * and its pop. With --two poppers that is not so any more: both may have seen the last element. Then look and pop must
 * be under one lock; with --two --unsafe they are not, and one pop finds the list empty. */
#include "lesson.h"

#include <weft/lock.h>
#include <weft/queue.h>
#include <weft/thread.h>

static weft_queue *numbers; /* last in, first out, like a list's append and pop */
static weft_lock lock;

static int append_all(void *arg)
{
    (void)arg;
    for (int i = 0, rounds = lesson_rounds(10000000); i < rounds; i++)
        must(weft_queue_put(numbers, &(int){0}, WEFT_FOREVER));
    return 0;
}

static void wait_while_empty(void)
{
    while (weft_queue_empty(numbers))
        weft_sleep(weft_in(10));
}

static int pop_all(void *arg)
{
    int rounds = lesson_rounds(10000000) / (lesson_flag("--two") ? 2 : 1), n;
    (void)arg;
    for (int i = 0; i < rounds; i++)
        WEFT_WITH_LOCK (&lock) {
            wait_while_empty();
            must(weft_queue_get(numbers, &n, WEFT_NOW));
        }
    return 0;
}

/* Looks, is switched out, and pops. */
static int pop_once_too_late(void *arg)
{
    int n;
    (void)arg;
    wait_while_empty();
    lesson_switched_out();
    if (weft_queue_get(numbers, &n, WEFT_NOW) == -WEFT_EEMPTY)
        puts("IndexError: pop from empty list");
    return 0;
}

static void two_poppers_without_lock(void)
{
    weft_thread late = WEFT_THREAD_INIT;
    int n;
    must(weft_thread_start(&late, pop_once_too_late, NULL, NULL));
    lesson_wait_switched_out(); /* it has seen the one element there is */
    wait_while_empty();
    must(weft_queue_get(numbers, &n, WEFT_NOW));
    lesson_switch_in();
    weft_thread_join(&late, NULL, WEFT_FOREVER);
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    must(weft_queue_new(&numbers, sizeof(int), &(weft_queue_options){.kind = WEFT_LIFO}));
    must(weft_queue_put(numbers, &(int){0}, WEFT_FOREVER));
    if (lesson_flag("--two") && lesson_unsafe()) {
        two_poppers_without_lock();
    } else {
        weft_thread ta = WEFT_THREAD_INIT, ts = WEFT_THREAD_INIT, ts1 = WEFT_THREAD_INIT;
        must(weft_thread_start(&ta, append_all, NULL, NULL));
        must(weft_thread_start(&ts, pop_all, NULL, NULL));
        if (lesson_flag("--two"))
            must(weft_thread_start(&ts1, pop_all, NULL, NULL));
        weft_thread_join(&ta, NULL, WEFT_FOREVER);
        weft_thread_join(&ts, NULL, WEFT_FOREVER);
        weft_thread_join(&ts1, NULL, WEFT_FOREVER); /* refused at once if it was not started */
    }
    printf("%zu\n", weft_queue_size(numbers));
    weft_queue_free(numbers);
    return 0;
}
