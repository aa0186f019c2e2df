/* internal.h - what the parts of the harness share: the runner (runner.c) starts a keeper process for each case
 * (keeper.c), the keeper forks the case, the case runs the body (case.c, contexts.c). They tell each other the outcome
 * through one shared page a case, so that any process of the case can fail it. */
#ifndef TESTS_HARNESS_INTERNAL_H
#define TESTS_HARNESS_INTERNAL_H

#include "harness/harness.h"

#include <stdbool.h>

/* How a case stands. RUNNING becomes one of the others once, by compare-and-swap; the first cause is the one shown. */
enum {
    CASE_RUNNING,
    CASE_RETURNED, /* the body came to its end */
    CASE_SKIPPED,
    CASE_FAILED
};

typedef struct test__report {
    int state;   /* atomic */
    pid_t group; /* process group of the case */
    double seconds;
    char message[1024];
    char dir[64]; /* test_dir(), to be removed by the keeper; "" if there is none */
} test__report;

/* One case in one context, as listed and run. */
typedef struct test__run {
    const test__case *of;
    unsigned context; /* 0, THREAD, CO or PROCESS */
    char name[200];
} test__run;

extern test__report *test__this_report; /* in a case: its own; NULL in the runner */
extern double test__factor;             /* stretches every limit */

/* Set the outcome unless it is set already. Returns whether this call did. */
bool test__settle(test__report *report, int state, const char *message);

/* Run one case in this process, which is a fresh child with its own output, and exit. */
_Noreturn void test__run_case(const test__run *run, test__report *report, int output);

/* Be the parent of one case until nothing of it is left, settle the report, and exit. */
_Noreturn void test__keep(const test__run *run, test__report *report, int output);

/* The body of a TEST_IN case in its context, and the end of its waiters. */
void test__run_in_context(const test__run *run);

/* From now on SIGUSR2 makes this process, and those it forks, write who sleeps on what. */
void test__dump_on_signal(void);

/* The part of the time limits that is known from the build: sanitizers, valgrind. */
double test__build_factor(void);

/* CLOCK_MONOTONIC in seconds. */
double test__now(void);

#endif
