/* core_os.c - baselines made of what the system gives: pthread mutexes, the bare futex, a bare context switch. */
#include "core.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

void core_keep_to(unsigned which)
{
    cpu_set_t may, one;
    if (sched_getaffinity(0, sizeof may, &may) < 0)
        return;
    unsigned cores = (unsigned)CPU_COUNT(&may), seen = 0;
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &may) && seen++ == which % cores) {
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            sched_setaffinity(0, sizeof one, &one);
            return;
        }
    }
}

void core_in_coroutine(bench *b, weft_co_fn *fn)
{
    weft_co *co;
    int result;
    BENCH_MUST(weft_co_start(&co, fn, b, NULL));
    BENCH_MUST(weft_co_join(co, &result, WEFT_FOREVER));
    BENCH_MUST(result);
}

void core_sleep_ms(unsigned ms)
{
    struct timespec ts = {ms / 1000, (long)(ms % 1000) * 1000000};
    nanosleep(&ts, NULL);
}

int64_t core_available_bytes(void)
{
    char line[128];
    long kb = -1;
    FILE *f = fopen("/proc/meminfo", "re");
    while (f != NULL && kb < 0 && fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, "MemAvailable: %ld kB", &kb) != 1)
            kb = -1;
    if (f != NULL)
        fclose(f);
    return kb < 0 ? -1 : (int64_t)kb * 1024;
}

/* --- locks ---------------------------------------------------------------------------------------------------- */

static void *sleep_for_ever(void *arg)
{
    (void)arg;
    for (;;)
        pause();
    return NULL;
}

void core_keep_second_thread(void)
{
    pthread_t thread;
    BENCH_MUST(-pthread_create(&thread, NULL, sleep_for_ever, NULL));
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void lock_and_unlock(bench *b)
{
    bench_start(b);
    for (uint64_t i = 0; i < b->n; i++) {
        pthread_mutex_lock(&mutex);
        pthread_mutex_unlock(&mutex);
    }
    bench_stop(b);
}

BENCH_BASELINE(lock_uncontended_pthread)
{
    core_keep_second_thread();
    lock_and_unlock(b);
}

/* The C library drops the locked instructions while a process has one thread. */
BENCH_BASELINE(lock_uncontended_pthread_alone)
{
    lock_and_unlock(b);
}

static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;

BENCH_BASELINE(rwlock_read_uncontended_pthread)
{
    core_keep_second_thread();
    bench_start(b);
    for (uint64_t i = 0; i < b->n; i++) {
        pthread_rwlock_rdlock(&rwlock);
        pthread_rwlock_unlock(&rwlock);
    }
    bench_stop(b);
}

BENCH_BASELINE(rwlock_write_uncontended_pthread)
{
    core_keep_second_thread();
    bench_start(b);
    for (uint64_t i = 0; i < b->n; i++) {
        pthread_rwlock_wrlock(&rwlock);
        pthread_rwlock_unlock(&rwlock);
    }
    bench_stop(b);
}

static uint64_t shared_count;

static void *lock_contended_worker(void *arg)
{
    uint64_t n = *(uint64_t *)arg;
    for (uint64_t i = 0; i < n; i++) {
        pthread_mutex_lock(&mutex);
        shared_count++;
        pthread_mutex_unlock(&mutex);
    }
    return NULL;
}

BENCH_BASELINE(lock_contended_2_pthread)
{
    core_run_threads(b, 2, lock_contended_worker);
}

BENCH_BASELINE(lock_contended_8_pthread)
{
    core_run_threads(b, 8, lock_contended_worker);
}

void core_run_threads(bench *b, unsigned threads, void *(*worker)(void *))
{
    pthread_t ids[16];
    uint64_t each = b->n / threads + 1;
    bench_start(b);
    for (unsigned i = 0; i < threads; i++)
        BENCH_MUST(-pthread_create(&ids[i], NULL, worker, &each));
    for (unsigned i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
    bench_stop(b);
}

/* --- futex ---------------------------------------------------------------------------------------------------- */

static void futex(const uint32_t *word, int op, uint32_t value)
{
    syscall(SYS_futex, word, op | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

BENCH_BASELINE(wake_nobody_futex)
{
    enum {
        WORDS = 64
    };
    static core_word words[WORDS];
    bench_start(b);
    for (uint64_t i = 0; i < b->n; i++)
        futex(&words[i % WORDS].word, FUTEX_WAKE, 1);
    bench_stop(b);
}

struct futex_side {
    uint32_t *mine, *other;
    uint64_t n;
};

/* Wait until the ball is here, give it back. */
static void futex_play(struct futex_side *s)
{
    for (uint64_t i = 0; i < s->n; i++) {
        while (load_acquire(s->mine) == 0)
            futex(s->mine, FUTEX_WAIT, 0);
        store_relaxed(s->mine, 0);
        store_seq_cst(s->other, 1);
        futex(s->other, FUTEX_WAKE, 1);
    }
}

static void *futex_player(void *arg)
{
    core_keep_to(1);
    futex_play(arg);
    return NULL;
}

/* A round trip between two threads that sleep on a word of their own each. */
BENCH_BASELINE(roundtrip_futex)
{
    static core_word here, there;
    struct futex_side a = {&here.word, &there.word, b->n}, z = {&there.word, &here.word, b->n};
    pthread_t thread;
    BENCH_MUST(-pthread_create(&thread, NULL, futex_player, &z));
    core_keep_to(0);
    bench_start(b);
    store_seq_cst(&here.word, 1);
    futex_play(&a);
    pthread_join(thread, NULL);
    bench_stop(b);
}

/* --- context switch ------------------------------------------------------------------------------------------- */

/* Store the callee-saved registers on the stack, the stack pointer in *from; go on where `to` was left. */
void core_switch(void **from, void *to);

#if defined(__x86_64__)
__asm__(".text\n"
        ".globl core_switch\n"
        ".type core_switch, @function\n"
        "core_switch:\n"
        "    pushq %rbp\n"
        "    pushq %rbx\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbx\n"
        "    popq %rbp\n"
        "    ret\n"
        ".size core_switch, .-core_switch\n");
enum {
    SAVED_WORDS = 6
};

static void *main_context, *other_context;

__attribute__((noreturn)) static void other_side(void)
{
    for (;;)
        core_switch(&other_context, main_context);
}

/* The least that a round trip between two coroutines can cost: two switches and no question who is next. */
BENCH_BASELINE(switch_twice_bare)
{
    enum {
        WORDS = 2048
    };
    static uintptr_t stack[WORDS];
    uintptr_t *top = &stack[WORDS - 16]; /* 16-byte aligned; the entry is reached by ret, as if it had been called */
    top[-1] = (uintptr_t)other_side;
    other_context = top - 1 - SAVED_WORDS;
    bench_start(b);
    for (uint64_t i = 0; i < b->n; i++)
        core_switch(&main_context, other_context);
    bench_stop(b);
}
#else
BENCH_BASELINE(switch_twice_bare)
{
    bench_skip(b, "no bare switch is written for this processor");
}
#endif
