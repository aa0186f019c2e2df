/* workers.c - worker processes under one parent, which only waits: see cmd.h.
 *
 * W1 alone:     the parent has one thread and touches no server; so forking a replacement is safe at any time.
 * W2 together:  a worker dies with its parent (PR_SET_PDEATHSIG), also when that is killed with -9; it looks
 *               whether the parent is still there after it has asked for that.
 * W3 told once: Ctrl-C reaches the whole group of a terminal, and the parent passes it on as well. Workers
 *               therefore ignore SIGINT, and are told by CMD_STOP and CMD_STOP_NOW, which nobody else sends.
 * W4 no storm:  a worker that dies within a second of its start is replaced after a pause that doubles up to 8 s;
 *               when every one has died young five times over, the command ends.
 * Pinned by tests/web/stop_test.py. */
#include "cmd.h"

#include <weft/base.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    WORKERS_MAX = 1024,
    EARLY_DEATHS_MAX = 5
};

typedef struct worker {
    pid_t pid; /* 0: not running */
    int64_t started, start_at;
} worker;

typedef struct pool {
    const char *command;
    worker workers[WORKERS_MAX];
    unsigned n, running;
    int (*work)(void *arg);
    void *arg;
    int stops;             /* signals to stop so far */
    int64_t pause;         /* before the next replacement */
    unsigned early_deaths; /* in a row */
    int64_t patience, kill_at;
    int result;
} pool;

static void start_worker(pool *p, worker *w)
{
    pid_t parent = getpid();
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent)
            _exit(CMD_FAILED);
        signal(SIGINT, SIG_IGN); /* and not blocked: a blocked signal is kept even if it is ignored */
        sigset_t interrupt;
        sigemptyset(&interrupt);
        sigaddset(&interrupt, SIGINT);
        sigprocmask(SIG_UNBLOCK, &interrupt, NULL);
        exit(p->work(p->arg));
    }
    w->start_at = 0;
    w->started = weft_now();
    if (pid < 0) {
        fprintf(stderr, "%s: no worker process could be started: %s; trying again\n", p->command, strerror(errno));
        w->start_at = w->started + WEFT_SECOND;
        return;
    }
    w->pid = pid;
    p->running++;
}

static void tell_all(const pool *p, int sig)
{
    for (unsigned i = 0; i < p->n; i++)
        if (p->workers[i].pid > 0)
            kill(p->workers[i].pid, sig);
}

static void stop(pool *p)
{
    p->stops++;
    tell_all(p, p->stops == 1 ? CMD_STOP : CMD_STOP_NOW);
    p->kill_at = weft_now() + (p->stops == 1 ? p->patience : 0) + 2 * WEFT_SECOND;
}

/* A worker has ended: plan its replacement. */
static void bury(pool *p, worker *w, int status)
{
    w->pid = 0;
    p->running--;
    if (p->stops > 0) {
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            p->result = CMD_FAILED;
        return;
    }
    int64_t now = weft_now(), lived = now - w->started;
    if (lived < WEFT_SECOND) {
        p->early_deaths++;
        p->pause = p->pause == 0 ? WEFT_SECOND / 8 : p->pause < 8 * WEFT_SECOND ? p->pause * 2 : p->pause;
    } else {
        p->early_deaths = 0;
        p->pause = 0;
    }
    if (WIFSIGNALED(status))
        fprintf(stderr, "%s: a worker was ended by signal %d (%s); replacing it\n", p->command, WTERMSIG(status),
                strsignal(WTERMSIG(status)));
    else
        fprintf(stderr, "%s: a worker ended with status %d; replacing it\n", p->command, WEXITSTATUS(status));
    w->start_at = now + p->pause;
    if (p->early_deaths >= EARLY_DEATHS_MAX * p->n) {
        fprintf(stderr, "%s: workers die as soon as they are started; giving up\n", p->command);
        p->result = CMD_FAILED;
        stop(p);
    }
}

static void reap(pool *p)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (unsigned i = 0; i < p->n; i++)
            if (p->workers[i].pid == pid)
                bury(p, &p->workers[i], status);
}

/* Start what is due; returns how long until the next thing is. */
static int64_t start_due(pool *p)
{
    int64_t next = INT64_MAX, now = weft_now();
    if (p->stops > 0) {
        if (now >= p->kill_at)
            tell_all(p, SIGKILL);
        return p->kill_at > now ? p->kill_at - now : WEFT_SECOND;
    }
    for (unsigned i = 0; i < p->n; i++) {
        worker *w = &p->workers[i];
        if (w->pid == 0 && w->start_at <= now)
            start_worker(p, w);
        if (w->pid == 0 && w->start_at - now < next)
            next = w->start_at - now;
    }
    return next < 0 ? 0 : next;
}

int cmd_run_workers(const char *command, unsigned n, int (*work)(void *arg), void *arg, int64_t patience)
{
    static pool p; /* too large for the stack; one a process */
    p = (pool){
        .command = command, .n = n < WORKERS_MAX ? n : WORKERS_MAX, .work = work, .arg = arg, .patience = patience};
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGINT);
    sigaddset(&wanted, SIGTERM);
    sigaddset(&wanted, SIGHUP);
    sigaddset(&wanted, SIGCHLD);
    sigprocmask(SIG_BLOCK, &wanted, NULL);
    while (p.stops == 0 || p.running > 0) {
        int64_t left = start_due(&p);
        if (p.stops > 0 && p.running == 0)
            break;
        if (left > 60 * WEFT_SECOND)
            left = 60 * WEFT_SECOND;
        struct timespec t = {left / WEFT_SECOND, left % WEFT_SECOND};
        int sig = sigtimedwait(&wanted, NULL, &t);
        if (sig == SIGINT || sig == SIGTERM)
            stop(&p);
        else if (sig == SIGHUP)
            tell_all(&p, SIGHUP);
        reap(&p);
    }
    return p.result;
}
