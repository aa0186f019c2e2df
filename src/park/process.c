/* process.c - who a process is, in 30 bits, for the owner field of locks in shared memory.
 *
 * A token is pid (22 bits, the kernel's maximum) and an 8-bit hash of the start time. A dead owner is found out by its
 * pid being gone, a zombie, or started at another time. The hash guards against a pid that was used again: a stale token
 * is mistaken for a living process only if the very pid is in use again *and* 1 chance in 256 comes true, and then
 * only until that process ends. A table of processes in the segment would make that exact, but would tie every
 * shared lock to a segment of ours; docs/design/park.md weighs the two. Processes must see the same pids (one pid
 * namespace). */
#include "park/park.h"
#include "sys/sys.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

enum {
    PID_BITS = 22
};

uint32_t weft__process_token;

static uint32_t hash_start(uint64_t ticks)
{
    return (uint32_t)((ticks * UINT64_C(0x9e3779b97f4a7c15)) >> 56);
}

uint32_t weft__process_token_slow(void)
{
    uint64_t ticks;
    uint32_t pid = (uint32_t)getpid();
    weft__sys_process_start((pid_t)pid, &ticks);
    uint32_t token = hash_start(ticks) << PID_BITS | pid;
    store_relaxed(&weft__process_token, token);
    return token;
}

bool weft__process_dead(uint32_t token)
{
    if (token == weft__process())
        return false;
    uint64_t ticks;
    int err = weft__sys_process_start((pid_t)(token & ((1u << PID_BITS) - 1)), &ticks);
    if (err == 0)
        return hash_start(ticks) != token >> PID_BITS;
    return err == -ESRCH;
}

static void after_fork_child(void)
{
    weft__process_token = 0;
}

__attribute__((constructor(101))) static void watch_fork(void)
{
    pthread_atfork(NULL, NULL, after_fork_child);
}
