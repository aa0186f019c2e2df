/* process.c - who a process is, in 30 bits, for the owner field of locks in shared memory.
 *
 * A token is pid (22 bits, the kernel's maximum) and an 8-bit hash of the start time, 0 where /proc did not tell it. A
 * dead owner is found out by its pid being gone, a zombie, or started at another time. The hash guards against a pid
 * that was used again: a stale token is mistaken for a living process only if the very pid is in use again *and* 1
 * chance in 255 comes true (or the time is unknown), and then only until that process ends. A table of processes in
 * the segment would make that exact, but would tie every shared lock to a segment of ours; docs/design/park.md weighs
 * the two. Processes must see the same pids and times (one pid and one time namespace). */
#include "park/park.h"
#include "sys/sys.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

enum {
    PID_BITS = 22
};

WEFT__FORK_PAGE uint32_t weft__process_token;

static uint32_t hash_start(uint64_t ticks)
{
    uint32_t hash = (uint32_t)((ticks * UINT64_C(0x9e3779b97f4a7c15)) >> 56);
    return hash != 0 ? hash : 1;
}

uint32_t weft__process_token_slow(void)
{
    uint64_t ticks;
    uint32_t pid = (uint32_t)getpid();
    int err = weft__sys_process_start((pid_t)pid, &ticks);
    uint32_t token = (err == 0 ? hash_start(ticks) : 0) << PID_BITS | pid;
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
        return token >> PID_BITS != 0 && hash_start(ticks) != token >> PID_BITS;
    return err == -ESRCH;
}

WEFT__FORK_TEXT static void after_fork_child(void)
{
    weft__process_token = 0;
}

__attribute__((constructor(101))) static void watch_fork(void)
{
    pthread_atfork(NULL, NULL, after_fork_child);
}
