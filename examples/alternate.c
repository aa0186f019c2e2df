/* alternate.c - a condition: two threads add A and B in turn, each waiting until it is its turn. */
#include "lesson.h"

#include <time.h>
#include <weft/cond.h>
#include <weft/thread.h>

enum {
    MAX_LEN = 6
};

static char share_data[MAX_LEN + 2] = "#";
static int length; /* without the # */
static weft_lock lock;
static weft_cond changed;

static double epoch(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void print_start(const char *name)
{
    char text[32];
    time_t now = time(NULL);
    struct tm tm;
    strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", localtime_r(&now, &tm));
    printf("%s start at: %s\n", name, text);
}

/* `turn` is 0 for the thread that adds at even lengths. Waiting lets go of the lock; notifying does not: the other
 * thread comes out of its wait when this one waits or releases. */
static void alternate(const char *name, int turn, char letter)
{
    weft_lock_acquire(&lock);
    while (length % 2 != turn)
        weft_cond_wait(&changed, &lock, WEFT_FOREVER);
    lesson_sleep(1);
    printf("%s acquire at: %.2f\n", name, epoch());
    while (length < MAX_LEN) {
        lesson_sleep(1);
        share_data[++length] = letter;
        printf("%s add: %s at: %.2f\n", name, share_data, epoch());
        weft_cond_notify(&changed, 1);
        while (length < MAX_LEN && length % 2 != turn)
            weft_cond_wait(&changed, &lock, WEFT_FOREVER);
    }
    printf("End %s with: %s at: %.2f\n", name, share_data, epoch());
    weft_lock_release(&lock);
}

static int thread1(void *arg)
{
    (void)arg;
    print_start("Thread 1");
    alternate("Thread 1", 0, 'A');
    return 0;
}

static int thread2(void *arg)
{
    (void)arg;
    print_start("Thread 2");
    alternate("Thread 2", 1, 'B');
    return 0;
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    weft_thread t1 = WEFT_THREAD_INIT, t2 = WEFT_THREAD_INIT;
    must(weft_thread_start(&t1, thread1, NULL, NULL));
    must(weft_thread_start(&t2, thread2, NULL, NULL));
    weft_thread_join(&t1, NULL, WEFT_FOREVER);
    weft_thread_join(&t2, NULL, WEFT_FOREVER);
    printf("share_data: %s\n", share_data);
    return 0;
}
