/* load_support.c - see load_support.h. */
#include "serve/load_support.h"

#include "base/atomic.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

void serve_load_start(serve_load *l, void (*run)(serve_load *l))
{
    CHECK(l->count < SERVE_LOADS);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        run(l);
        _exit(0);
    }
    l->pids[l->count++] = pid;
}

void serve_load_fail(serve_load *l, const char *what)
{
    snprintf(l->what, sizeof l->what, "%s: %s", what, strerror(errno));
    store_seq_cst(&l->failed, 1);
    _exit(0);
}

typedef struct goal {
    const serve_load *load;
    uint32_t done;
} goal;

static bool has_come(void *arg)
{
    const goal *g = arg;
    if (load_seq_cst(&g->load->failed))
        FAIL("%s", g->load->what);
    return load_seq_cst(&g->load->done) >= g->done;
}

void serve_load_await(serve_load *l, uint32_t more)
{
    goal g = {l, load_seq_cst(&l->done) + more};
    wait_until(has_come, &g, "what the load does");
}

void serve_load_end(serve_load *l)
{
    store_seq_cst(&l->stop, 1);
    for (unsigned i = 0; i < l->count; i++) {
        int status;
        CHECK_INT(l->pids[i], waitpid(l->pids[i], &status, 0));
        CHECK_INT(0, status);
    }
    serve_load_await(l, 0);
}

bool serve_has_ended(void *pid)
{
    return kill(*(pid_t *)pid, 0) < 0 && errno == ESRCH;
}
