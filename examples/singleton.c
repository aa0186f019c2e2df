/* singleton.c - one instance for everybody, whoever asks first: the test and the creation are under one lock.
 *
 * --unsafe: without the lock. Every thread has found that there is no instance before any of them makes one. */
#include "lesson.h"

#include <weft/barrier.h>
#include <weft/thread.h>

typedef struct A {
    int created_by;
} A;

enum {
    THREADS = 10
};

static A room[THREADS]; /* for the instance of whoever makes one */
static A *instance;
static weft_lock lock;
static weft_barrier all_have_looked;

static A *make_instance(int creator)
{
    A *a = &room[creator];
    a->created_by = creator;
    lesson_sleep(0.00001);
    return a;
}

static A *get_instance(int i)
{
    A *a = NULL;
    WEFT_WITH_LOCK (&lock) {
        if (instance == NULL)
            instance = make_instance(i);
        a = instance;
    }
    return a;
}

static A *get_instance_without_lock(int i)
{
    if (instance == NULL) {
        weft_barrier_wait(&all_have_looked, WEFT_FOREVER);
        return instance = make_instance(i);
    }
    return instance;
}

static int create(void *arg)
{
    int i = (int)(intptr_t)arg;
    A *a = lesson_unsafe() ? get_instance_without_lock(i) : get_instance(i);
    printf("<__main__.A object at %p>\n", (void *)a);
    return 0;
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    must(weft_barrier_init(&all_have_looked, THREADS, NULL));
    weft_thread threads[THREADS] = {0};
    for (int i = 0; i < THREADS; i++)
        must(weft_thread_start(&threads[i], create, (void *)(intptr_t)i, NULL));
    for (int i = 0; i < THREADS; i++)
        weft_thread_join(&threads[i], NULL, WEFT_FOREVER);
    return 0;
}
