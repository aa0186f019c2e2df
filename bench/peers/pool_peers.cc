// pool_peers.cc - see pool_peers.h: TBB's task_group and OpenMP's tasks, which the submitter may run itself, and GLib's
// GThreadPool, which answers through a GAsyncQueue.
#include "pool_peers.h"

#include <glib.h>
#include <tbb/global_control.h>
#include <tbb/task_group.h>

enum { WINDOW = 1000 };
static uint64_t results[WINDOW];

void peer_pool_tbb(uint64_t n)
{
    tbb::global_control two(tbb::global_control::max_allowed_parallelism, 2);
    tbb::task_group group;
    for (uint64_t i = 0; i < n; i += WINDOW) {
        for (uint64_t k = 0; k < WINDOW; k++)
            group.run([k] { results[k] = k; });
        group.wait();
    }
}

void peer_pool_openmp(uint64_t n)
{
#pragma omp parallel num_threads(2)
#pragma omp single
    for (uint64_t i = 0; i < n; i += WINDOW) {
        for (uint64_t k = 0; k < WINDOW; k++) {
#pragma omp task firstprivate(k)
            results[k] = k;
        }
#pragma omp taskwait
    }
}

static GAsyncQueue *answers;

static void run_glib(gpointer job, gpointer)
{
    auto *result = static_cast<uint64_t *>(job);
    *result = 1;
    g_async_queue_push(answers, job);
}

void peer_pool_glib(uint64_t n)
{
    answers = g_async_queue_new();
    GThreadPool *pool = g_thread_pool_new(run_glib, nullptr, 2, TRUE, nullptr);
    for (uint64_t i = 0; i < n; i += WINDOW) {
        for (uint64_t k = 0; k < WINDOW; k++)
            g_thread_pool_push(pool, &results[k], nullptr);
        for (uint64_t k = 0; k < WINDOW; k++)
            g_async_queue_pop(answers);
    }
    g_thread_pool_free(pool, FALSE, TRUE);
    g_async_queue_unref(answers);
}
