/* load_support.h - servers that are replaced, or lose processes, under load: processes of their own ask all the time,
 * and say in shared memory how they fare. A case's own record begins with a serve_load. */
#ifndef TESTS_SERVE_LOAD_SUPPORT_H
#define TESTS_SERVE_LOAD_SUPPORT_H

#include "serve/serve_support.h"

#include <sys/types.h>

enum {
    SERVE_LOADS = 8
};

typedef struct serve_load {
    uint32_t done, failed, stop; /* atomic; done: rounds, or answers, of all */
    unsigned port, count;
    pid_t pids[SERVE_LOADS];
    char what[100]; /* of failed */
} serve_load;

/* Start a process that runs this until `stop` is set. Before there are threads. */
void serve_load_start(serve_load *l, void (*run)(serve_load *l));

/* In one of them: that must not be. Ends it; the case fails. */
_Noreturn void serve_load_fail(serve_load *l, const char *what);

/* Wait until so much more is done. */
void serve_load_await(serve_load *l, uint32_t more);

/* Have all of them stop, and none has failed. */
void serve_load_end(serve_load *l);

/* For wait_until: whether the process at `pid`, a pid_t, is no more. */
bool serve_has_ended(void *pid);

#endif
