/* procstat.h - what other processes have used: processor time in nanoseconds, resident bytes, how busy a core was.
 *
 * Processor time is read from the processes' own CPU clocks, which count every thread of a process, also those that
 * have ended and the kernel's io_uring workers that run in its name, and are exact where /proc/PID/stat counts ticks.
 * What runs in nobody's name (ksoftirqd, kworkers) is only seen in the busy time of the core. Resident bytes come from
 * smaps_rollup, which walks the pages; VmRSS is a sum of per-CPU estimates. */
#ifndef BENCH_PROCSTAT_H
#define BENCH_PROCSTAT_H

#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>
#include <time.h>

/* Nanoseconds of processor time that process `pid` has used so far, or -1 when it is gone. */
static inline int64_t procstat_cpu_ns(pid_t pid)
{
    clockid_t clock;
    struct timespec ts;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &ts) != 0)
        return -1;
    return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

/* Resident bytes of process `pid` (0 = the caller), or -1. */
static inline int64_t procstat_rss_bytes(pid_t pid)
{
    char path[64], line[256];
    int64_t kb = -1;
    if (pid != 0)
        snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
    else
        snprintf(path, sizeof path, "/proc/self/smaps_rollup");
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return -1;
    while (kb < 0 && fgets(line, sizeof line, f) != NULL) {
        long value;
        if (sscanf(line, "Rss: %ld kB", &value) == 1)
            kb = value;
    }
    fclose(f);
    return kb < 0 ? -1 : kb * 1024;
}

/* Clock ticks that core `cpu` was not idle since boot, whoever it worked for (the host's stolen time included), or -1.
 */
static inline int64_t procstat_core_busy_ticks(unsigned cpu)
{
    char line[512], name[16];
    int64_t busy = -1;
    FILE *f = fopen("/proc/stat", "re");
    if (f == NULL)
        return -1;
    snprintf(name, sizeof name, "cpu%u", cpu);
    while (busy < 0 && fgets(line, sizeof line, f) != NULL) {
        char label[16];
        long long user, nice, sys, idle, iowait, irq, softirq, steal;
        if (sscanf(line, "%15s %lld %lld %lld %lld %lld %lld %lld %lld", label, &user, &nice, &sys, &idle, &iowait,
                   &irq, &softirq, &steal) == 9 &&
            __builtin_strcmp(label, name) == 0)
            busy = user + nice + sys + irq + softirq + steal;
    }
    fclose(f);
    return busy;
}

#endif
