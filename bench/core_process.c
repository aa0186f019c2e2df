/* core_process.c - starting processes and programs, and waiting for their ends: beside Python's multiprocessing by the
 * same method, and beside a bare posix_spawn and waitpid of the same program.
 *
 * A fork takes as long as there is to copy, so each side is measured in a program of its own that does nothing else, as
 * a user would run it: on all processors, Python's by bench/peers/processes.py and ours by bench/lean/processes.c. That
 * one is linked twice: with libweft.a, of which the linker takes what it uses, and with libweft.so (`_shared`), the
 * whole of which a fork copies. A program that has written 256 MiB starts others as fast as one that has not. */
#include "core.h"

#include <string.h>

/* What a program prints: nanoseconds for one. */
static void ask(bench *b, const char *program, const char *what, unsigned mebibytes)
{
    char command[1024];
    double each;
    snprintf(command, sizeof command, "%s %s %llu %u 2>&1", program, what, (unsigned long long)b->n, mebibytes);
    FILE *f = popen(command, "r");
    int read = f != NULL ? fscanf(f, "%lf", &each) : 0;
    if (f == NULL || pclose(f) != 0 || read != 1)
        bench_skip(b, "it is not there, or failed: %s", command);
    b->spent_ns = (int64_t)(each * (double)b->n);
}

#define PYTHON "python3 '" BENCH_FOLDER "/peers/processes.py'"
#define LEAN   "'" BENCH_LEAN "'"
#define SHARED "'" BENCH_LEAN_SHARED "'"

BENCH_BASELINE(process_fork_python, .fixed_n = 100, .samples = 7)
{
    ask(b, PYTHON, "fork", 0);
}

BENCH_BASELINE(process_forkserver_python, .fixed_n = 50, .samples = 7)
{
    ask(b, PYTHON, "forkserver", 0);
}

BENCH(process_fork, .baseline = "process_fork_python", .at_most = 0.1, .fixed_n = 500, .samples = 7)
{
    ask(b, LEAN, "fork", 0);
}

BENCH(process_fork_shared, .baseline = "process_fork_python", .at_most = 0.1, .fixed_n = 500, .samples = 7)
{
    ask(b, SHARED, "fork", 0);
}

BENCH(process_forkserver, .baseline = "process_forkserver_python", .at_most = 0.02, .fixed_n = 500, .samples = 7)
{
    ask(b, LEAN, "forkserver", 0);
}

/* The least that any fork server of the same program could take: no target of its own. */
BENCH(process_forked_ahead, .baseline = "process_forkserver_python", .fixed_n = 500, .samples = 7)
{
    ask(b, LEAN, "ahead", 0);
}

BENCH_BASELINE(program_posix_spawn, .fixed_n = 200)
{
    ask(b, LEAN, "spawn", 0);
}

BENCH_BASELINE(program_posix_spawn_256_mib, .fixed_n = 200)
{
    ask(b, LEAN, "spawn", 256);
}

BENCH(program_run, .baseline = "program_posix_spawn", .at_most = 1.0, .fixed_n = 200)
{
    ask(b, LEAN, "run", 0);
}

BENCH(program_run_256_mib, .baseline = "program_posix_spawn_256_mib", .at_most = 1.0, .fixed_n = 200)
{
    ask(b, LEAN, "run", 256);
}
