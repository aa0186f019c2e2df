/* fault.c - planned failures of system calls, for tests: "the third mmap from now returns -ENOMEM".
 *
 * One plan a kind of call. Counting is by atomic increment over all threads, so a loop "fail the 1st, 2nd, 3rd ... call
 * until the body succeeds untouched" visits every failure point once. Real programs never have a plan. */
#include "sys/sys.h"

#include <string.h>
#include <time.h>

typedef struct plan {
    uint32_t seen;  /* atomic: calls so far */
    uint32_t nth;   /* atomic: first call concerned; 0 = no plan */
    uint32_t count; /* atomic, like the rest: a plan may be replaced while others make calls */
    int32_t err;
    int64_t delay_ns;
} plan;

static plan plans[WEFT__SYS_CALLS];
uint32_t weft__sys_faults;

int weft__sys_fault_slow(enum weft__sys_call call)
{
    plan *p = &plans[call];
    uint32_t n = add_acq_rel(&p->seen, 1) + 1;
    uint32_t nth = load_acquire(&p->nth);
    if (nth == 0 || n < nth || n - nth >= load_relaxed(&p->count))
        return 0;
    int err = load_relaxed(&p->err);
    int64_t delay = load_relaxed(&p->delay_ns);
    if (delay > 0) {
        struct timespec t = {delay / 1000000000, delay % 1000000000};
        clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
    }
    return err;
}

void weft__sys_plan(enum weft__sys_call call, uint32_t nth, uint32_t count, int err, int64_t delay_ns)
{
    plan *p = &plans[call];
    store_release(&p->nth, 0);
    store_relaxed(&p->count, count);
    store_relaxed(&p->err, err);
    store_relaxed(&p->delay_ns, delay_ns);
    store_release(&p->seen, 0);
    store_release(&p->nth, nth);
    store_release(&weft__sys_faults, 1);
}

void weft__sys_plan_none(void)
{
    store_release(&weft__sys_faults, 0);
    for (unsigned i = 0; i < WEFT__SYS_CALLS; i++) {
        store_release(&plans[i].nth, 0);
        store_release(&plans[i].seen, 0);
    }
}

uint32_t weft__sys_seen(enum weft__sys_call call)
{
    return load_acquire(&plans[call].seen);
}
