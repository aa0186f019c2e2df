/* core_process.c - starting processes and programs, and waiting for their ends: beside Python's multiprocessing by the
 * same method, and beside a bare posix_spawn and waitpid of the same program.
 *
 * The parent is as small as it comes, or has written 256 MiB: a fork copies their page tables, a spawn does not. */
#include "core.h"

#include <weft/process.h>
#include <weft/subprocess.h>

#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum {
    LARGE = 256 << 20
};

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static void start_and_join(enum weft_start_method method)
{
    weft_process p = WEFT_PROCESS_INIT;
    BENCH_MUST(weft_process_start(&p, nothing, NULL, &(weft_process_options){.method = method}));
    BENCH_MUST(weft_process_join(&p, NULL, WEFT_FOREVER));
    BENCH_MUST(weft_process_close(&p));
}

static void start_and_join_all(bench *b, enum weft_start_method method)
{
    start_and_join(method);
    bench_start(b);
    for (uint64_t i = 0; i < b->n; i++)
        start_and_join(method);
    bench_stop(b);
    weft_forkserver_stop();
}

/* A number from bench/peers/processes.py: nanoseconds for one. */
static void python(bench *b, const char *method)
{
    char command[512];
    snprintf(command, sizeof command, "python3 '%s/peers/processes.py' %s %llu 2>&1", BENCH_FOLDER, method,
             (unsigned long long)b->n);
    double each;
    FILE *f = popen(command, "r");
    if (f == NULL || fscanf(f, "%lf", &each) != 1 || pclose(f) != 0)
        bench_skip(b, "python3 is not there, or failed: %s", command);
    b->spent_ns = (int64_t)(each * (double)b->n);
}

BENCH_BASELINE(process_fork_python, .fixed_n = 20, .samples = 5, .cores = 1)
{
    python(b, "fork");
}

BENCH_BASELINE(process_forkserver_python, .fixed_n = 20, .samples = 5, .cores = 1)
{
    python(b, "forkserver");
}

BENCH(process_fork, .baseline = "process_fork_python", .at_most = 0.1, .fixed_n = 100, .samples = 5, .cores = 1)
{
    start_and_join_all(b, WEFT_FORK);
}

BENCH(process_forkserver, .baseline = "process_forkserver_python", .at_most = 0.02, .fixed_n = 100, .samples = 5,
      .cores = 1)
{
    start_and_join_all(b, WEFT_FORKSERVER);
}

/* ---- programs ---- */

static void grow(void)
{
    char *p = mmap(NULL, LARGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    BENCH_MUST(p == MAP_FAILED ? -1 : 0);
    memset(p, 1, LARGE);
}

static void spawn_all(bench *b)
{
    char *argv[] = {"true", NULL};
    bench_start(b);
    for (uint64_t i = 0; i < b->n; i++) {
        pid_t pid;
        BENCH_MUST(-posix_spawnp(&pid, "true", NULL, NULL, argv, environ));
        BENCH_MUST(waitpid(pid, NULL, 0));
    }
    bench_stop(b);
}

static void run_all(bench *b)
{
    const char *argv[] = {"true", NULL};
    bench_start(b);
    for (uint64_t i = 0; i < b->n; i++)
        BENCH_MUST(weft_run(argv, NULL, NULL));
    bench_stop(b);
}

BENCH_BASELINE(program_posix_spawn, .fixed_n = 200, .cores = 1)
{
    spawn_all(b);
}

BENCH_BASELINE(program_posix_spawn_256_mib, .fixed_n = 200, .cores = 1)
{
    grow();
    spawn_all(b);
}

BENCH(program_run, .baseline = "program_posix_spawn", .at_most = 1.0, .fixed_n = 200, .cores = 1)
{
    run_all(b);
}

BENCH(program_run_256_mib, .baseline = "program_posix_spawn_256_mib", .at_most = 1.0, .fixed_n = 200, .cores = 1)
{
    grow();
    run_all(b);
}
