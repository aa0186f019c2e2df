/* process_pool.c - pools of processes beside Python's: a round trip of one job, a thousand jobs at a time without
 * chunks, and maps.
 *
 * Peers: multiprocessing.Pool (apply, and map with chunksize 1) and ProcessPoolExecutor (submit, and map with chunksize
 * 1), two workers each, the jobs a function that returns its small argument. */
#include "core.h"

#include <weft/co.h>
#include <weft/process_pool.h>

#include <string.h>
#include <unistd.h>

enum {
    WINDOW = 1000
};

static int echo(const void *in, size_t size, weft_reply *reply)
{
    return weft_reply_put(reply, in, size);
}

static weft_executor *pool(bench *b)
{
    weft_executor *ex;
    weft_future *f;
    (void)b;
    BENCH_MUST(weft_process_pool_new(&ex, &(weft_pool_options){.workers = 2}, NULL));
    for (int i = 0; i < 100; i++) { /* the peers have their workers when they begin, too */
        BENCH_MUST(weft_submit_bytes(ex, echo, &i, sizeof i, NULL, &f));
        BENCH_MUST(weft_future_bytes(f, NULL, WEFT_FOREVER));
        weft_future_unref(f);
    }
    return ex;
}

static void roundtrips(bench *b, size_t size)
{
    weft_executor *ex = pool(b);
    char *bytes = calloc(1, size);
    bench_start(b);
    for (uint64_t i = 0; i < b->n; i++) {
        weft_future *f;
        BENCH_MUST(weft_submit_bytes(ex, echo, bytes, size, NULL, &f));
        BENCH_MUST(weft_future_bytes(f, NULL, WEFT_FOREVER));
        weft_future_unref(f);
    }
    bench_stop(b);
    free(bytes);
    weft_executor_free(ex);
}

static void throughput(bench *b, int many)
{
    static weft_future *futures[WINDOW];
    static weft_bytes in[WINDOW];
    static int numbers[WINDOW];
    weft_executor *ex = pool(b);
    for (int k = 0; k < WINDOW; k++)
        in[k] = (weft_bytes){&numbers[k], sizeof *numbers};
    bench_start(b);
    for (uint64_t i = 0; i < b->n; i += WINDOW) {
        if (many)
            BENCH_MUST(weft_submit_bytes_many(ex, echo, in, WINDOW, futures));
        else
            for (int k = 0; k < WINDOW; k++)
                BENCH_MUST(weft_submit_bytes(ex, echo, &k, sizeof k, NULL, &futures[k]));
        for (int k = 0; k < WINDOW; k++) {
            BENCH_MUST(weft_future_bytes(futures[k], NULL, WEFT_FOREVER));
            weft_future_unref(futures[k]);
        }
    }
    bench_stop(b);
    uint64_t done = (b->n + WINDOW - 1) / WINDOW * WINDOW;
    b->spent_ns = (int64_t)((double)b->spent_ns * (double)b->n / (double)done);
    weft_executor_free(ex);
}

static int next_number(void *arg, weft_bytes *input)
{
    uint64_t *left = arg;
    if (*left == 0)
        return 0;
    --*left;
    *input = (weft_bytes){left, sizeof *left};
    return 1;
}

static void map(bench *b, const weft_map_options *options)
{
    weft_executor *ex = pool(b);
    weft_bytes_map *m;
    weft_bytes result;
    uint64_t left = b->n;
    bench_start(b);
    BENCH_MUST(weft_bytes_map_new(&m, ex, echo, next_number, &left, options));
    for (uint64_t i = 0; i < b->n; i++)
        BENCH_MUST(weft_bytes_map_next(m, &result, WEFT_FOREVER));
    bench_stop(b);
    weft_bytes_map_free(m);
    weft_executor_free(ex);
}

/* ---- Python ---- */

static void python(bench *b, const char *what)
{
    static const char program[] = "import sys, time, multiprocessing, concurrent.futures\n"
                                  "def echo(x):\n"
                                  "    return x\n"
                                  "what, n = sys.argv[1], int(sys.argv[2])\n"
                                  "multiprocessing.set_start_method('fork')\n"
                                  "if what.startswith('pool'):\n"
                                  "    p = multiprocessing.Pool(2)\n"
                                  "    p.map(echo, range(100))\n"
                                  "else:\n"
                                  "    p = concurrent.futures.ProcessPoolExecutor(2)\n"
                                  "    list(p.map(echo, range(100)))\n"
                                  "t = time.perf_counter()\n"
                                  "if what == 'pool_apply':\n"
                                  "    for i in range(n): p.apply(echo, (i,))\n"
                                  "elif what == 'pool_map':\n"
                                  "    p.map(echo, range(n), chunksize=1)\n"
                                  "elif what == 'pool_chunks':\n"
                                  "    p.map(echo, range(n), chunksize=100)\n"
                                  "elif what == 'executor_submit':\n"
                                  "    for i in range(n): p.submit(echo, i).result()\n"
                                  "elif what == 'executor_map':\n"
                                  "    for _ in p.map(echo, range(n)): pass\n"
                                  "print((time.perf_counter() - t) * 1e9 / n, flush=True)\n"
                                  "p.terminate() if what.startswith('pool') else p.shutdown()\n";
    char path[] = "/tmp/weft-bench-XXXXXX", command[256], line[64] = "";
    int fd = mkstemp(path);
    if (fd < 0 || write(fd, program, sizeof program - 1) != (ssize_t)sizeof program - 1)
        bench_skip(b, "no room for a script");
    close(fd);
    snprintf(command, sizeof command, "python3 %s %s %llu 2>&1", path, what, (unsigned long long)b->n);
    FILE *f = popen(command, "r");
    char *got = f != NULL ? fgets(line, sizeof line, f) : NULL;
    double ns = got != NULL ? strtod(line, NULL) : 0;
    if (f != NULL)
        pclose(f);
    unlink(path);
    if (ns <= 0)
        bench_skip(b, "python3 is not there, or failed");
    b->spent_ns = (int64_t)(ns * (double)b->n);
}

BENCH_BASELINE(processes_apply_python_pool)
{
    python(b, "pool_apply");
}

BENCH_BASELINE(processes_submit_python_executor)
{
    python(b, "executor_submit");
}

BENCH_BASELINE(processes_map_python_pool)
{
    python(b, "pool_map");
}

BENCH_BASELINE(processes_chunks_python_pool)
{
    python(b, "pool_chunks");
}

BENCH_BASELINE(processes_map_python_executor)
{
    python(b, "executor_map");
}

/* ---- round trips ---- */

BENCH(processes_roundtrip_beside_pool, .baseline = "processes_apply_python_pool", .at_most = 0.25)
{
    roundtrips(b, 4);
}

BENCH(processes_roundtrip_beside_executor, .baseline = "processes_submit_python_executor", .at_most = 0.25)
{
    roundtrips(b, 4);
}

BENCH(processes_roundtrip_one_core, .baseline = "processes_apply_python_pool", .cores = 1)
{
    roundtrips(b, 4);
}

/* ---- throughput without chunks ---- */

BENCH(processes_jobs_beside_pool, .baseline = "processes_map_python_pool", .at_most = 0.05)
{
    throughput(b, 0);
}

BENCH(processes_jobs_beside_executor, .baseline = "processes_map_python_executor", .at_most = 0.05)
{
    throughput(b, 0);
}

BENCH(processes_jobs_many, .baseline = "processes_map_python_pool", .at_most = 0.05)
{
    throughput(b, 1);
}

BENCH(processes_jobs_one_core, .baseline = "processes_map_python_pool", .cores = 1)
{
    throughput(b, 0);
}

/* For the record: maps. */
BENCH(processes_map, .baseline = "processes_map_python_pool")
{
    map(b, &(weft_map_options){.look_ahead = 256});
}

BENCH(processes_map_chunks, .baseline = "processes_chunks_python_pool")
{
    map(b, &(weft_map_options){.look_ahead = 1600, .chunk = 100});
}
