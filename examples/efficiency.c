/* efficiency.c - the same work one after another (Line), in threads and in processes: computing, and waiting for IO.
 *
 * Threads of C compute on as many processors as there are. With --gil they hold one global lock while they compute, as
 * Python's do, and let go of it every 100 steps and while they wait: then they are no faster than Line at computing.
 * `weft bench models` measures more of this. */
#include "lesson.h"

#include <sys/wait.h>
#include <weft/lock.h>
#include <weft/thread.h>

enum {
    TASKS = 4
};

static weft_lock gil;

static void take_gil(void)
{
    if (lesson_flag("--gil"))
        weft_lock_acquire(&gil);
}

static void drop_gil(void)
{
    if (lesson_flag("--gil"))
        weft_lock_release(&gil);
}

/* Count primes by trial division. */
static int compute(void *arg)
{
    int found = 0, steps = 0, limit = lesson_rounds(1500000);
    (void)arg;
    take_gil();
    for (int n = 2; n < limit; n++) {
        int d = 2;
        while (d * d <= n && n % d != 0) {
            d++;
            if (++steps % 100 == 0) {
                drop_gil();
                take_gil();
            }
        }
        found += d * d > n;
    }
    drop_gil();
    return found;
}

static int wait_for_io(void *arg)
{
    (void)arg;
    for (int i = 0; i < 10; i++)
        lesson_sleep(0.1); /* a disk or a network; the processor is free meanwhile */
    return 0;
}

static double run_line(weft_thread_fn *work)
{
    int64_t start = weft_now();
    for (int i = 0; i < TASKS; i++)
        work(NULL);
    return (double)(weft_now() - start) / 1e9;
}

static double run_threads(weft_thread_fn *work)
{
    int64_t start = weft_now();
    weft_thread threads[TASKS] = {0};
    for (int i = 0; i < TASKS; i++)
        must(weft_thread_start(&threads[i], work, NULL, NULL));
    for (int i = 0; i < TASKS; i++)
        weft_thread_join(&threads[i], NULL, WEFT_FOREVER);
    return (double)(weft_now() - start) / 1e9;
}

static double run_processes(weft_thread_fn *work)
{
    int64_t start = weft_now();
    for (int i = 0; i < TASKS; i++)
        if (fork() == 0) {
            work(NULL);
            _exit(0);
        }
    while (wait(NULL) > 0)
        continue;
    return (double)(weft_now() - start) / 1e9;
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    printf("Line CPU %.3f\n", run_line(compute));
    printf("Thread CPU: %.3f\n", run_threads(compute));
    printf("Process CPU: %.3f\n", run_processes(compute));
    printf("Line IO %.3f\n", run_line(wait_for_io));
    printf("Thread io: %.3f\n", run_threads(wait_for_io));
    printf("Process io: %.3f\n", run_processes(wait_for_io));
    return 0;
}
