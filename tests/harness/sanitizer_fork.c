/* sanitizer_fork.c - a sanitizer's allocator is whole in the child of a fork, as the C library's is.
 *
 * A thread that allocates, starts or ends at the moment of a fork may hold a lock of the sanitizer's allocator; the
 * child has that lock as the fork found it, and nobody there lets it go. So these locks are taken before the fork and
 * let go on both sides after it. They are of the runtime's inside, which is why it is linked statically. */
#include "base/atomic.h"
#include "base/compiler.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#if WEFT__ASAN && !defined(__clang__)

static bool sleeps(const char *tid)
{
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/self/task/%.20s/stat", tid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, line, sizeof line - 1) : 0;
    if (fd >= 0)
        close(fd);
    line[n > 0 ? n : 0] = 0;
    const char *state = strrchr(line, ')');
    return state == NULL || (state[2] != 'R' && state[2] != 'D'); /* D: in a page fault, say */
}

static bool others_sleep(void)
{
    DIR *tasks = opendir("/proc/self/task");
    bool all = true;
    for (struct dirent *task; tasks != NULL && all && (task = readdir(tasks)) != NULL;)
        all = atoi(task->d_name) == 0 || atoi(task->d_name) == gettid() || sleeps(task->d_name);
    if (tasks != NULL)
        closedir(tasks);
    return all;
}

/* The lock of what has been freed and is not reused yet cannot be had from here. It is held for moments, so for at most
 * 2 ms a fork waits for one at which all others sleep. */
static void wait_for_calm(void)
{
    struct timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        if (others_sleep())
            return;
        sched_yield();
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((now.tv_sec - start.tv_sec) * 1000000000 + now.tv_nsec - start.tv_nsec < 2000000);
}

/* What LeakSanitizer stops the world with, in its order. */
void lock_threads(void) __asm__("_ZN6__lsan18LockThreadRegistryEv");
void lock_memory(void) __asm__("_ZN6__lsan13LockAllocatorEv");
void lock_stacks(void) __asm__("_ZN11__sanitizer17StackDepotLockAllEv");
void unlock_stacks(void) __asm__("_ZN11__sanitizer19StackDepotUnlockAllEv");
void unlock_memory(void) __asm__("_ZN6__lsan15UnlockAllocatorEv");
void unlock_threads(void) __asm__("_ZN6__lsan20UnlockThreadRegistryEv");

static void before(void)
{
    wait_for_calm();
    lock_threads();
    lock_memory();
    lock_stacks();
}

static void after(void)
{
    unlock_stacks();
    unlock_memory();
    unlock_threads();
}

/* First of all to be registered, so nearest to the fork: what others do around it may allocate. */
__attribute__((constructor(101))) static void watch(void)
{
    pthread_atfork(before, after, after);
}

#endif

#ifdef WEFT_LOCK_TSAN_MEMORY /* of LLVM 14 on x86-64, where the linker brings the calls below here */

/* Around a fork ThreadSanitizer takes the locks of its own memory, but not those of the memory that it gives programs.
 * Behind the end of that heap there is a descriptor for each class of sizes, which begins with the state of a lock.
 * Four more locks are bytes: two of the allocator (large pieces, counts) and two of the context (what is noted of a
 * piece). */
enum {
    CLASSES = 64,
    LARGE_LOCK = 0x2a8,
    COUNTS_LOCK = 0x2d0,
    BLOCK_LOCK = 0x200008,
    SYNC_LOCK = 0xa00020
};

#define LOCKED (1ULL << 60)

typedef struct size_class {
    uint64_t lock; /* atomic */
    char rest[120];
} size_class;

static size_class *const classes = (size_class *)0x7c0000000000;

extern uint8_t *context __asm__("_ZN6__tsan3ctxE");
uint8_t *allocator(void) __asm__("_ZN6__tsan9allocatorEv");
void unlock(uint64_t *lock) __asm__("_ZN11__sanitizer5Mutex6UnlockEv");
void lock_own_memory(void) __asm__("__real__ZN6__tsan13AllocatorLockEv");
void unlock_own_memory(void) __asm__("__real__ZN6__tsan15AllocatorUnlockEv");
void lock_memory(void) __asm__("__wrap__ZN6__tsan13AllocatorLockEv");
void unlock_memory(void) __asm__("__wrap__ZN6__tsan15AllocatorUnlockEv");

#define UNSEEN __attribute__((disable_sanitizer_instrumentation))

UNSEEN static void lock_class(uint64_t *lock)
{
    uint64_t seen = load_relaxed(lock) & ~LOCKED;
    while (!cas_acquire(lock, &seen, seen | LOCKED)) {
        sched_yield();
        seen &= ~LOCKED;
    }
}

UNSEEN static void lock_byte(uint8_t *lock)
{
    while (swap_acquire(lock, 1) != 0)
        sched_yield();
}

UNSEEN static void unlock_byte(uint8_t *lock)
{
    store_release(lock, (uint8_t)0);
}

UNSEEN void lock_memory(void)
{
    lock_own_memory();
    for (int i = CLASSES - 1; i >= 0; i--)
        lock_class(&classes[i].lock);
    lock_byte(allocator() + LARGE_LOCK);
    lock_byte(allocator() + COUNTS_LOCK);
    lock_byte(context + BLOCK_LOCK);
    lock_byte(context + SYNC_LOCK);
}

UNSEEN void unlock_memory(void)
{
    unlock_byte(context + SYNC_LOCK);
    unlock_byte(context + BLOCK_LOCK);
    unlock_byte(allocator() + COUNTS_LOCK);
    unlock_byte(allocator() + LARGE_LOCK);
    for (int i = 0; i < CLASSES; i++)
        unlock(&classes[i].lock);
    unlock_own_memory();
}

#endif
