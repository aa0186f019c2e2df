/* processes.c - what a program of a user pays for a process: the smallest program that starts some, linked with libweft
 * and with nothing else, because a fork costs what the program has mapped. The suite weft-bench has the libraries of
 * all peers mapped; core_process.c runs this instead, and Python's side is a program of its own as well.
 *
 *     processes fork|forkserver N           start, run and join a function
 *     processes ahead N                     the least that a fork server does: children forked ahead by a helper that
 *                                           read a byte and end, each awaited by its pidfd
 *     processes spawn|run N [MEBIBYTES]     start "true" and wait for it: posix_spawnp and waitpid, or weft_run
 *
 * Prints nanoseconds each. */
#include <weft/process.h>
#include <weft/subprocess.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int start_and_join(enum weft_start_method method)
{
    weft_process p = WEFT_PROCESS_INIT;
    int err = weft_process_start(&p, nothing, NULL, &(weft_process_options){.method = method});
    if (err == 0)
        err = weft_process_join(&p, NULL, WEFT_FOREVER);
    return err < 0 ? err : weft_process_close(&p);
}

static int by_fork(void)
{
    return start_and_join(WEFT_FORK);
}

static int by_server(void)
{
    return start_and_join(WEFT_FORKSERVER);
}

/* ---- ahead ---- */

enum {
    AHEAD = 4
};

static struct {
    pid_t helper;
    int lanes[AHEAD][2];
    pid_t *ready; /* atomic, shared: who waits at each lane; 0: nobody yet */
    unsigned next;
} ahead;

__attribute__((noreturn)) static void fork_ahead(void)
{
    unsigned alive = 0;
    for (int i = 0; i < AHEAD; i++)
        close(ahead.lanes[i][1]); /* so that they end with the program */
    for (unsigned lane = 0;; lane = (lane + 1) % AHEAD) {
        while (alive == AHEAD)
            alive -= waitpid(-1, NULL, 0) > 0;
        pid_t pid = fork();
        char go;
        if (pid == 0)
            _exit(read(ahead.lanes[lane][0], &go, 1) != 1);
        if (pid < 0)
            _exit(1);
        alive++;
        __atomic_store_n(&ahead.ready[lane], pid, __ATOMIC_RELEASE);
    }
}

static int start_helper(void)
{
    ahead.ready = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (ahead.ready == MAP_FAILED)
        return -errno;
    for (int i = 0; i < AHEAD; i++)
        if (pipe(ahead.lanes[i]) < 0)
            return -errno;
    ahead.helper = fork();
    if (ahead.helper == 0)
        fork_ahead();
    return ahead.helper < 0 ? -errno : 0;
}

static int one_ahead(void)
{
    int err = ahead.helper == 0 ? start_helper() : 0;
    unsigned lane = ahead.next++ % AHEAD;
    pid_t pid = 0;
    while (err == 0 && (pid = __atomic_exchange_n(&ahead.ready[lane], 0, __ATOMIC_ACQ_REL)) == 0)
        nanosleep(&(struct timespec){.tv_nsec = 1000}, NULL);
    struct pollfd end = {.fd = err == 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1, .events = POLLIN};
    if (err < 0 || end.fd < 0)
        return err < 0 ? err : -errno;
    err = write(ahead.lanes[lane][1], "", 1) == 1 && poll(&end, 1, -1) == 1 ? 0 : -errno;
    close(end.fd);
    return err;
}

/* ---- a program ---- */

static int spawn(void)
{
    char *argv[] = {"true", NULL};
    pid_t pid;
    int err = posix_spawnp(&pid, "true", NULL, NULL, argv, environ);
    return err != 0 ? -err : waitpid(pid, NULL, 0) < 0 ? -errno : 0;
}

static int run(void)
{
    const char *argv[] = {"true", NULL};
    return weft_run(argv, NULL, NULL);
}

/* Have so much memory written to. */
static int grow(size_t mebibytes)
{
    size_t size = mebibytes << 20;
    if (size == 0)
        return 0;
    char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return -errno;
    memset(p, 1, size);
    return 0;
}

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*once)(void);
    } all[] = {{"fork", by_fork}, {"forkserver", by_server}, {"ahead", one_ahead}, {"spawn", spawn}, {"run", run}};
    int (*once)(void) = NULL;
    for (size_t i = 0; argc >= 3 && i < sizeof all / sizeof *all; i++)
        if (strcmp(argv[1], all[i].name) == 0)
            once = all[i].once;
    if (once == NULL) {
        fprintf(stderr, "usage: %s fork|forkserver|ahead|spawn|run N [MEBIBYTES]\n", argv[0]);
        return 2;
    }
    long n = atol(argv[2]);
    int err = argc > 3 ? grow((size_t)atol(argv[3])) : 0;
    if (err == 0)
        err = once(); /* the server starts with the first */
    double start = now_ns();
    for (long i = 0; i < n && err == 0; i++)
        err = once();
    double spent = now_ns() - start;
    weft_forkserver_stop();
    if (ahead.helper > 0)
        kill(ahead.helper, SIGKILL); /* its children read the end of their pipes, when this process ends */
    if (err < 0) {
        fprintf(stderr, "%s %s: %s\n", argv[0], argv[1], weft_strerror(err));
        return 1;
    }
    printf("%.1f\n", spent / (double)n);
    return 0;
}
