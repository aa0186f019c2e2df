/* racy_counter.c - two threads add 1 a thousand times each: 2000 with a lock.
 *
 *     --unsafe  without it: in one step of five both threads read before either writes, and one addition is lost
 *     --trace   print the list of (thread, value read): ('1', 12), ('2', 12) is where one was lost */
#include "lesson.h"

#include <weft/barrier.h>
#include <weft/thread.h>

enum {
    STEPS = 1000
};

static int share_data;
static weft_lock lock;
static weft_barrier both;

static struct {
    weft_lock lock;
    int n;
    struct {
        int thread, value;
    } steps[2 * STEPS];
} trace;

static void note(int thread, int value)
{
    WEFT_WITH_LOCK (&trace.lock) {
        trace.steps[trace.n].thread = thread;
        trace.steps[trace.n++].value = value;
    }
}

static void add_one(int thread)
{
    WEFT_WITH_LOCK (&lock) {
        int value = share_data;
        note(thread, value);
        share_data = value + 1;
    }
}

static void add_one_interrupted(int thread)
{
    weft_barrier_wait(&both, WEFT_FOREVER);
    int value = share_data;
    note(thread, value);
    weft_barrier_wait(&both, WEFT_FOREVER); /* the other one has read the same value by now */
    WEFT_WITH_LOCK (&lock)
        share_data = value + 1;
    weft_barrier_wait(&both, WEFT_FOREVER);
}

static int tstart(void *arg)
{
    int thread = (int)(intptr_t)arg;
    lesson_sleep(0.1);
    for (int i = 0; i < STEPS; i++)
        if (lesson_unsafe() && i % 5 == 0)
            add_one_interrupted(thread);
        else
            add_one(thread);
    return 0;
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    must(weft_barrier_init(&both, 2, NULL));
    weft_thread t1 = WEFT_THREAD_INIT, t2 = WEFT_THREAD_INIT;
    must(weft_thread_start(&t1, tstart, (void *)(intptr_t)1, NULL));
    must(weft_thread_start(&t2, tstart, (void *)(intptr_t)2, NULL));
    weft_thread_join(&t1, NULL, WEFT_FOREVER);
    weft_thread_join(&t2, NULL, WEFT_FOREVER);
    if (lesson_flag("--trace")) {
        for (int i = 0; i < trace.n; i++)
            printf("%s('%d', %d)%s", i == 0 ? "[" : "", trace.steps[i].thread, trace.steps[i].value,
                   i + 1 < trace.n ? ", " : "]\n");
        printf("%d\n", trace.n);
    }
    printf("share_data result: %d\n", share_data);
    return 0;
}
