/* calm.c - AddressSanitizer's own locks are not kept whole across a fork: what another thread holds of them at that
 * moment stays held in the child, which then hangs in its first allocation or thread start. It holds them for moments,
 * mostly while threads start and end. So in its builds a fork waits for the moment at which all other threads sleep;
 * where they never do, it is made after a while all the same. */
#include "base/compiler.h"

#if WEFT__ASAN
#include "harness/internal.h"
#include "sys/sys.h"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool sleeps(const char *tid)
{
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/self/task/%.20s/stat", tid);
    FILE *f = fopen(path, "re");
    const char *state = f != NULL && fgets(line, sizeof line, f) != NULL ? strrchr(line, ')') : NULL;
    if (f != NULL)
        fclose(f);
    return state == NULL || (state[2] != 'R' && state[2] != 'D'); /* D: in a page fault, say */
}

static bool others_sleep(void)
{
    DIR *tasks = opendir("/proc/self/task");
    bool all = true;
    for (struct dirent *task; tasks != NULL && all && (task = readdir(tasks)) != NULL;)
        all = atoi(task->d_name) == 0 || atoi(task->d_name) == weft__sys_tid() || sleeps(task->d_name);
    if (tasks != NULL)
        closedir(tasks);
    return all;
}

static void wait_for_calm(void)
{
    double end = test__now() + 0.2;
    while (!others_sleep() && test__now() < end)
        sched_yield();
}

__attribute__((constructor)) static void watch_fork(void)
{
    pthread_atfork(wait_for_calm, NULL, NULL);
}
#endif
