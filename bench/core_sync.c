/* core_sync.c - locks: uncontended beside the C library's and Go's, contended by two and eight threads, and how evenly
 * eight threads get a lock that all want. */
#include "core.h"

#include <weft/lock.h>
#include <weft/rwlock.h>

#include <pthread.h>
#if BENCH_HAVE_GLIB
#include <glib.h>
#endif

static weft_lock lock;

static void acquire_and_release(bench *b)
{
    bench_start(b);
    for (uint64_t i = 0; i < b->n; i++) {
        weft_lock_acquire(&lock);
        weft_lock_release(&lock);
    }
    bench_stop(b);
}

/* The gate. With a second thread alive on both sides: that is what a program that needs locks has. */
BENCH(lock_uncontended_thread, .python = "lock", .baseline = "lock_uncontended_pthread", .at_most = 1.0, .cores = 1)
{
    core_keep_second_thread();
    acquire_and_release(b);
}

/* For the record: the C library drops the locked instructions in a process of one thread, we do not. */
BENCH(lock_uncontended_alone, .baseline = "lock_uncontended_pthread_alone", .cores = 1)
{
    acquire_and_release(b);
}

BENCH_PEER(lock_uncontended_go, "mutex")
BENCH(lock_uncontended_beside_go, .baseline = "lock_uncontended_go", .cores = 1)
{
    core_keep_second_thread();
    acquire_and_release(b);
}

static weft_rlock rlock;

BENCH(rlock_uncontended_thread, .python = "rlock", .baseline = "lock_uncontended_pthread", .cores = 1)
{
    core_keep_second_thread();
    bench_start(b);
    for (uint64_t i = 0; i < b->n; i++) {
        weft_rlock_acquire(&rlock);
        weft_rlock_release(&rlock);
    }
    bench_stop(b);
}

static weft_rwlock rwlock;

BENCH(rwlock_read_uncontended_thread, .baseline = "rwlock_read_uncontended_pthread", .cores = 1)
{
    core_keep_second_thread();
    bench_start(b);
    for (uint64_t i = 0; i < b->n; i++) {
        weft_rwlock_acquire_read(&rwlock);
        weft_rwlock_release_read(&rwlock);
    }
    bench_stop(b);
}

BENCH(rwlock_write_uncontended_thread, .baseline = "rwlock_write_uncontended_pthread", .cores = 1)
{
    core_keep_second_thread();
    bench_start(b);
    for (uint64_t i = 0; i < b->n; i++) {
        weft_rwlock_acquire_write(&rwlock);
        weft_rwlock_release_write(&rwlock);
    }
    bench_stop(b);
}

static uint64_t shared_count;

static void *contend(void *arg)
{
    uint64_t n = *(uint64_t *)arg;
    for (uint64_t i = 0; i < n; i++) {
        weft_lock_acquire(&lock);
        shared_count++;
        weft_lock_release(&lock);
    }
    return NULL;
}

BENCH(lock_contended_2_threads, .python = "lock_2", .baseline = "lock_contended_2_pthread", .at_most = 1.0)
{
    core_run_threads(b, 2, contend);
}

BENCH(lock_contended_8_threads, .python = "lock_8", .baseline = "lock_contended_8_pthread", .at_most = 1.0)
{
    core_run_threads(b, 8, contend);
}

BENCH_PEER(lock_contended_2_go, "mutex_2")
BENCH(lock_contended_2_beside_go, .baseline = "lock_contended_2_go", .at_most = 1.0)
{
    core_run_threads(b, 2, contend);
}

#if BENCH_HAVE_GLIB
static GMutex glib_mutex;

static void *contend_glib(void *arg)
{
    uint64_t n = *(uint64_t *)arg;
    for (uint64_t i = 0; i < n; i++) {
        g_mutex_lock(&glib_mutex);
        shared_count++;
        g_mutex_unlock(&glib_mutex);
    }
    return NULL;
}
#endif

BENCH_BASELINE(lock_contended_8_glib)
{
#if BENCH_HAVE_GLIB
    core_run_threads(b, 8, contend_glib);
#else
    bench_skip(b, "built without GLib");
#endif
}

BENCH(lock_contended_8_beside_glib, .baseline = "lock_contended_8_glib", .at_most = 1.0)
{
    core_run_threads(b, 8, contend);
}

/* --- evenness: eight threads take the lock for half a second; the least lucky one's share of the luckiest one's --- */

enum {
    RIVALS = 8
};

static struct {
    _Alignas(64) uint64_t taken;
} rivals[RIVALS];
static uint32_t ended;

static void *rival(void *arg)
{
    uint64_t *taken = arg;
    while (load_relaxed(&ended) == 0) {
        weft_lock_acquire(&lock);
        ++*taken;
        weft_lock_release(&lock);
    }
    return NULL;
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void *rival_pthread(void *arg)
{
    uint64_t *taken = arg;
    while (load_relaxed(&ended) == 0) {
        pthread_mutex_lock(&mutex);
        ++*taken;
        pthread_mutex_unlock(&mutex);
    }
    return NULL;
}

static void measure_evenness(bench *b, void *(*body)(void *))
{
    pthread_t threads[RIVALS];
    for (unsigned i = 0; i < RIVALS; i++)
        BENCH_MUST(-pthread_create(&threads[i], NULL, body, &rivals[i].taken));
    int64_t end = bench_now() + 500000000;
    while (bench_now() < end)
        core_sleep_ms(10);
    store_relaxed(&ended, 1);
    uint64_t least = UINT64_MAX, most = 1;
    for (unsigned i = 0; i < RIVALS; i++) {
        pthread_join(threads[i], NULL);
        least = rivals[i].taken < least ? rivals[i].taken : least;
        most = rivals[i].taken > most ? rivals[i].taken : most;
    }
    bench_value(b, (double)least / (double)most);
}

BENCH_BASELINE(lock_evenness_8_pthread, .unit = "least/most", .fixed_n = 1)
{
    measure_evenness(b, rival_pthread);
}

/* More is better here: a ratio above 1 is more even than the baseline. */
BENCH(lock_evenness_8_threads, .python = "evenness", .baseline = "lock_evenness_8_pthread", .unit = "least/most",
      .fixed_n = 1)
{
    measure_evenness(b, rival);
}
