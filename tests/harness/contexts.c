/* contexts.c - one body, three kinds of waiter: test_spawn and its relatives over pthreads, coroutines and forked
 * processes. What waiters share lies in memory that a forked one sees too. */
#include "harness/internal.h"

#include <weft/co.h>

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    STACK_SIZE = 256 * 1024,
    ALIGNMENT = 64,
    MAX_WAITERS = 20000,
    MAX_ALLOCATIONS = 20000
};

typedef struct waiter {
    test_fn *fn;
    void *arg;
    int result;
    bool joined;
    union {
        pthread_t thread;
        weft_co *co;
        pid_t pid;
    };
} waiter;

typedef struct allocation {
    void *memory;
    size_t size;
} allocation;

struct test {
    unsigned context;
    int waiter_count, allocation_count;
    void (*body)(test *t);
    waiter *waiters[MAX_WAITERS];
    allocation allocations[MAX_ALLOCATIONS];
};

unsigned test_context(const test *t)
{
    return t->context;
}

unsigned test_flags(const test *t)
{
    return t->context == PROCESS ? WEFT_SHARED : 0;
}

void *test_shared(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        FAIL("mmap of %zu bytes: %m", size);
    return memory;
}

void *test_alloc(test *t, size_t size)
{
    if (t->allocation_count == MAX_ALLOCATIONS)
        FAIL("more than %d allocations in one case", MAX_ALLOCATIONS);
    size = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    void *memory;
    if (t->context == PROCESS) {
        memory = test_shared(size);
    } else {
        memory = aligned_alloc(ALIGNMENT, size);
        if (memory == NULL)
            FAIL("no memory for %zu bytes", size);
        memset(memory, 0, size);
    }
    t->allocations[t->allocation_count++] = (allocation){memory, size};
    return memory;
}

static void free_allocations(test *t)
{
    for (int i = 0; i < t->allocation_count; i++) {
        allocation *a = &t->allocations[i];
        if (t->context == PROCESS)
            munmap(a->memory, a->size);
        else
            free(a->memory);
    }
}

/* --- starting --- */

static void *thread_main(void *arg)
{
    waiter *w = arg;
    w->result = w->fn(w->arg);
    return NULL;
}

static int co_main(void *arg)
{
    waiter *w = arg;
    w->result = w->fn(w->arg);
    return 0;
}

static pid_t fork_waiter(waiter *w)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    w->result = w->fn(w->arg);
    _exit(0);
}

int test_spawn(test *t, test_fn *fn, void *arg)
{
    if (t->waiter_count == MAX_WAITERS)
        FAIL("more than %d waiters in one case", MAX_WAITERS);
    waiter *w = test_alloc(t, sizeof *w);
    w->fn = fn;
    w->arg = arg;
    if (t->context == THREAD) {
        CHECK_INT(0, pthread_create(&w->thread, NULL, thread_main, w));
    } else if (t->context == CO) {
        CHECK_OK(weft_co_start(&w->co, co_main, w, &(weft_co_options){.stack_size = STACK_SIZE}));
    } else {
        pid_t pid = fork_waiter(w);
        if (pid < 0)
            FAIL("fork: %m");
        w->pid = pid;
    }
    t->waiters[t->waiter_count] = w;
    return t->waiter_count++;
}

/* --- ending --- */

static waiter *find_waiter(test *t, int number)
{
    if (number < 0 || number >= t->waiter_count)
        FAIL("there is no waiter %d", number);
    return t->waiters[number];
}

pid_t test_pid(test *t, int number)
{
    waiter *w = find_waiter(t, number);
    return t->context == PROCESS ? w->pid : 0;
}

static void join_process(waiter *w)
{
    int status;
    if (waitpid(w->pid, &status, 0) != w->pid)
        FAIL("waitpid(%d): %m", (int)w->pid);
    if (WIFSIGNALED(status))
        w->result = TEST_KILLED(WTERMSIG(status));
    else if (WEXITSTATUS(status) != 0)
        FAIL("process waiter exited with status %d", WEXITSTATUS(status));
}

int test_result(test *t, int number)
{
    waiter *w = find_waiter(t, number);
    if (w->joined)
        return w->result;
    if (t->context == THREAD)
        CHECK_INT(0, pthread_join(w->thread, NULL));
    else if (t->context == CO)
        CHECK_OK(weft_co_join(w->co, NULL, WEFT_FOREVER));
    else
        join_process(w);
    w->joined = true;
    return w->result;
}

void test_join(test *t)
{
    for (int i = 0; i < t->waiter_count; i++) {
        if (t->waiters[i]->joined)
            continue;
        int result = test_result(t, i);
        if (result >= TEST_KILLED(0))
            FAIL("waiter %d was killed by signal %d (%s)", i, result - TEST_KILLED(0),
                 strsignal(result - TEST_KILLED(0)));
        if (result != 0)
            FAIL("waiter %d returned %d%s%s", i, result, result < 0 ? ": " : "", result < 0 ? strerror(-result) : "");
    }
}

/* --- the case --- */

static void run_body(test *t)
{
    t->body(t);
    test_join(t);
}

static int body_co_main(void *arg)
{
    run_body(arg);
    return 0;
}

void test__run_in_context(const test__run *run)
{
    test *t = calloc(1, sizeof *t);
    if (t == NULL)
        FAIL("no memory");
    t->context = run->context;
    t->body = run->of->in;
    if (t->context == CO) {
        weft_co *co;
        CHECK_OK(weft_co_start(&co, body_co_main, t, &(weft_co_options){.name = "test", .stack_size = STACK_SIZE}));
        CHECK_OK(weft_co_join(co, NULL, WEFT_FOREVER));
    } else {
        run_body(t);
    }
    free_allocations(t);
    free(t);
}
