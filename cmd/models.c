/* models.c - one after another, threads, processes, coroutines: how long each takes for computing and for waiting.
 *
 * The global lock of an interpreter (GIL) can be put on: who computes holds it, hands it over after so many steps or so
 * much time, and lets go of it while it waits. Processes have one each. A step is one trial division. */
#include "models.h"

#include "cmd.h"

#include <weft/co.h>
#include <weft/lock.h>
#include <weft/thread.h>

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define COMMAND "weft bench"

const char *const models_job_names[JOBS] = {"computing", "waiting", "files"};
const char *const models_model_names[MODELS] = {"Line", "Thread", "Process", "Coroutine"};

/* ---- the global lock ---- */

static struct {
    weft_lock lock;
    uint64_t steps;
    int64_t slice;
} gil;

static bool has_gil(void)
{
    return gil.steps > 0 || gil.slice > 0;
}

static void take_gil(void)
{
    if (has_gil())
        weft_lock_acquire(&gil.lock);
}

static void drop_gil(void)
{
    if (has_gil())
        weft_lock_release(&gil.lock);
}

typedef struct turn {
    uint64_t steps;
    int64_t since;
} turn;

/* Called at each step: hand the lock over when its turn has been long enough. */
static inline void count_step(turn *t)
{
    t->steps++;
    if (gil.steps > 0 && t->steps % gil.steps == 0) {
        drop_gil();
        take_gil();
    } else if (gil.slice > 0 && t->steps % 128 == 0 && weft_now() - t->since >= gil.slice) {
        drop_gil();
        take_gil();
        t->since = weft_now();
    }
}

/* ---- the jobs ---- */

typedef struct task {
    enum models_job job;
    unsigned first, stride, limit; /* compute: the numbers first, first + stride ... below limit */
    long found;
} task;

static long count_primes(unsigned first, unsigned stride, unsigned limit)
{
    long found = 0;
    for (unsigned n = first; n < limit; n += stride) {
        unsigned d = 2;
        while (d * d <= n && n % d != 0)
            d++;
        found += n >= 2 && d * d > n;
    }
    return found;
}

static long count_primes_with_gil(unsigned first, unsigned stride, unsigned limit)
{
    long found = 0;
    turn t = {0, weft_now()};
    for (unsigned n = first; n < limit; n += stride) {
        unsigned d = 2;
        while (d * d <= n && n % d != 0) {
            d++;
            count_step(&t);
        }
        found += n >= 2 && d * d > n;
    }
    return found;
}

enum {
    WAITS = 5,
    BLOCKS = 8,
    BLOCK_SIZE = 64 << 10
};

/* Blocks: a coroutine has this done on a helper thread. */
static int use_file(void *arg)
{
    (void)arg;
    static const char block[BLOCK_SIZE];
    char name[256], *buffer = malloc(BLOCK_SIZE);
    const char *folder = getenv("TMPDIR");
    snprintf(name, sizeof name, "%s/weft-bench-XXXXXX", folder != NULL ? folder : "/var/tmp");
    int fd = mkostemp(name, 02000000);
    if (fd < 0 || buffer == NULL) {
        free(buffer);
        return -errno;
    }
    unlink(name);
    int err = 0;
    for (int i = 0; i < BLOCKS && err == 0; i++)
        if (pwrite(fd, block, BLOCK_SIZE, (off_t)i * BLOCK_SIZE) != BLOCK_SIZE || fdatasync(fd) != 0 ||
            pread(fd, buffer, BLOCK_SIZE, (off_t)i * BLOCK_SIZE) != BLOCK_SIZE)
            err = -EIO;
    close(fd);
    free(buffer);
    return err;
}

static int do_task(void *arg)
{
    task *t = arg;
    int err = 0;
    take_gil();
    switch (t->job) {
    case JOB_COMPUTE:
        t->found = has_gil() ? count_primes_with_gil(t->first, t->stride, t->limit)
                             : count_primes(t->first, t->stride, t->limit);
        break;
    case JOB_WAIT:
        drop_gil();
        for (int i = 0; i < WAITS; i++)
            weft_sleep(weft_in_ms(20));
        take_gil();
        break;
    case JOB_FILES:
        drop_gil();
        err = weft_blocking(use_file, NULL);
        take_gil();
        break;
    case JOBS:
        break;
    }
    drop_gil();
    return err;
}

/* ---- the models: each does all tasks and returns 0 or the first error ---- */

static int run_line(task *tasks, unsigned n)
{
    int err = 0;
    for (unsigned i = 0; i < n && err == 0; i++)
        err = do_task(&tasks[i]);
    return err;
}

static int run_threads(task *tasks, unsigned n)
{
    weft_thread *threads = calloc(n, sizeof *threads);
    unsigned started = 0;
    int err = threads == NULL ? -ENOMEM : 0, result;
    while (err == 0 && started < n && (err = weft_thread_start(&threads[started], do_task, &tasks[started], NULL)) == 0)
        started++;
    for (unsigned i = 0; i < started; i++)
        if (weft_thread_join(&threads[i], &result, WEFT_FOREVER) == 0 && result < 0)
            err = result;
    free(threads);
    return err;
}

static int run_processes(task *tasks, unsigned n)
{
    int err = 0, status;
    unsigned started = 0;
    for (; started < n; started++) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(do_task(&tasks[started]) < 0);
        if (pid < 0) {
            err = -errno;
            break;
        }
    }
    while (started > 0 && wait(&status) > 0) {
        started--;
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            err = -EIO;
    }
    return err;
}

static int run_coroutines(task *tasks, unsigned n)
{
    weft_co **handles = calloc(n, sizeof *handles);
    unsigned started = 0;
    int err = handles == NULL ? -ENOMEM : 0, result;
    while (err == 0 && started < n && (err = weft_co_start(&handles[started], do_task, &tasks[started], NULL)) == 0)
        started++;
    for (unsigned i = 0; i < started; i++)
        if (weft_co_join(handles[i], &result, WEFT_FOREVER) == 0 && result < 0)
            err = result;
    free(handles);
    return err;
}

static int (*const runners[MODELS])(task *tasks, unsigned n) = {run_line, run_threads, run_processes, run_coroutines};

/* One run of one job by one model, in seconds; a negative error. */
static double run(enum models_job job, enum models_model model, unsigned n, unsigned limit)
{
    task *tasks = calloc(n, sizeof *tasks);
    if (tasks == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < n; i++)
        tasks[i] = (task){job, 2 * i + 1, 2 * n, limit, 0}; /* odd numbers dealt out: equal work for all */
    int64_t start = weft_now();
    int err = runners[model](tasks, n);
    double seconds = (double)(weft_now() - start) / 1e9;
    free(tasks);
    return err < 0 ? err : seconds;
}

/* The better of two: what else the machine does only makes it longer. */
static double run_twice(enum models_job job, enum models_model model, unsigned n, unsigned limit)
{
    double first = run(job, model, n, limit), second = first < 0 ? first : run(job, model, n, limit);
    return second < first ? second : first;
}

/* ---- measuring in a process of its own ---- */

/* Run measure(s, result) in a child, with `result` shared. */
static int in_child(int (*measure)(const models_settings *s, void *result), const models_settings *s, void *result,
                    size_t size)
{
    void *shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return CMD_FAILED;
    memcpy(shared, result, size);
    fflush(NULL);
    int status = -1;
    pid_t pid = fork();
    if (pid == 0)
        _exit(measure(s, shared));
    if (pid > 0)
        waitpid(pid, &status, 0);
    memcpy(result, shared, size);
    munmap(shared, size);
    if (pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return CMD_OK;
    fprintf(stderr, COMMAND ": the measuring process failed\n");
    return CMD_FAILED;
}

static void put_on_gil(const models_settings *s)
{
    gil.steps = s->gil_steps;
    gil.slice = s->gil_slice;
}

static int measure_all(const models_settings *s, void *result)
{
    models_times *out = result;
    put_on_gil(s);
    for (int job = 0; job < JOBS; job++)
        for (int model = 0; model < MODELS; model++) {
            double seconds = run_twice(job, model, s->tasks, s->limit);
            if (seconds < 0) {
                fprintf(stderr, COMMAND ": %s by %s: %s\n", models_job_names[job], models_model_names[model],
                        weft_strerror((int)seconds));
                return CMD_FAILED;
            }
            out->seconds[job][model] = seconds;
        }
    return CMD_OK;
}

static int measure_on_one_core(const models_settings *s, void *result)
{
    cpu_set_t all, one;
    CPU_ZERO(&one);
    if (sched_getaffinity(0, sizeof all, &all) != 0)
        return CMD_FAILED;
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &all)) {
            CPU_SET(i, &one);
            break;
        }
    if (sched_setaffinity(0, sizeof one, &one) != 0)
        return CMD_FAILED;
    return measure_all(s, result);
}

int models_measure(const models_settings *s, bool one_core, models_times *out)
{
    return in_child(one_core ? measure_on_one_core : measure_all, s, out, sizeof *out);
}

static int measure_curve(const models_settings *s, void *result)
{
    models_curve *c = result;
    put_on_gil(s);
    double compute_1 = 0, wait_1 = 0;
    for (int i = 0; i < CURVE_POINTS; i++) {
        unsigned n = 1U << i;
        double compute = run_twice(JOB_COMPUTE, MODEL_THREAD, n, s->limit), wait = run(JOB_WAIT, MODEL_THREAD, n, 0);
        if (compute < 0 || wait < 0)
            return CMD_FAILED;
        if (i == 0) {
            compute_1 = compute;
            wait_1 = wait;
        }
        c->at_once[i] = n;
        c->compute[i] = compute_1 / compute; /* the same work in n parts */
        c->wait[i] = n * wait_1 / wait;      /* n times the work */
    }
    return CMD_OK;
}

int models_measure_curve(const models_settings *s, models_curve *out)
{
    return in_child(measure_curve, s, out, sizeof *out);
}

/* ---- locks ---- */

enum {
    LOCK_ROUNDS = 2000000
};

static weft_lock a_lock;
static weft_rlock an_rlock;

static int use_lock(void *arg)
{
    (void)arg;
    for (int i = 0; i < LOCK_ROUNDS; i++) {
        weft_lock_acquire(&a_lock);
        weft_lock_release(&a_lock);
    }
    return 0;
}

static int use_rlock(void *arg)
{
    (void)arg;
    for (int i = 0; i < LOCK_ROUNDS; i++) {
        weft_rlock_acquire(&an_rlock);
        weft_rlock_release(&an_rlock);
    }
    return 0;
}

/* Nanoseconds for one acquire and release when n threads do nothing else. */
static double time_lock(weft_thread_fn *use, int n)
{
    weft_thread threads[2] = {0};
    int64_t start = weft_now();
    for (int i = 0; i < n; i++)
        if (weft_thread_start(&threads[i], use, NULL, NULL) != 0)
            return -1;
    for (int i = 0; i < n; i++)
        weft_thread_join(&threads[i], NULL, WEFT_FOREVER);
    return (double)(weft_now() - start) / LOCK_ROUNDS / n;
}

static int measure_locks(const models_settings *s, void *result)
{
    models_locks *l = result;
    (void)s;
    l->lock = time_lock(use_lock, 1);
    l->rlock = time_lock(use_rlock, 1);
    l->lock_contended = time_lock(use_lock, 2);
    l->rlock_contended = time_lock(use_rlock, 2);
    return l->lock > 0 && l->rlock > 0 && l->lock_contended > 0 && l->rlock_contended > 0 ? CMD_OK : CMD_FAILED;
}

int models_measure_locks(models_locks *out)
{
    return in_child(measure_locks, NULL, out, sizeof *out);
}
