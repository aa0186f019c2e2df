/* weft/process.h - processes with the manners of Python's: a function runs in a child, and its end is an answer.
 *
 *     static int work(void *arg) { printf("child of %d: %s\n", getppid(), (char *)arg); return 0; }
 *     ...
 *     weft_process p = WEFT_PROCESS_INIT;
 *     int code, err = weft_process_start(&p, work, "hello", NULL);
 *     if (err == 0 && (err = weft_process_join(&p, &code, WEFT_FOREVER)) == 0)
 *         printf("exit code %d\n", code);
 *     weft_process_close(&p);
 *
 * Each child is held by a pidfd, never by SIGCHLD, so no zombie is left and nobody else's child is reaped. Children that
 * are not daemons are waited for when the process returns from main or calls exit; daemons are ended then. A daemon is
 * also ended when its parent is killed.
 *
 * Start methods. WEFT_FORK copies the process: the child sees all memory as it was, `arg` too, and runs with weft
 * rebuilt. Another thread may have held one of weft's own inner locks: those are kept whole across fork. If another
 * thread holds a weft_lock, the child would wait for a holder that it does not have: weft_process_start returns -EBUSY
 * with options->strict, and else the child inherits the lock held. WEFT_FORKSERVER forks from a clean helper that was
 * started before any thread (weft_forkserver_start, best as the first line of main): same program, same function
 * pointers, no threads, no locks held; the argument must be bytes (arg_size), and descriptors are passed by name.
 *
 * In the child standard input is /dev/null. The child ends by _exit after flushing stdio and running what
 * weft_process_at_exit registered; atexit handlers of the parent do not run.
 *
 * Unless said otherwise: call from threads and coroutines, by any number of callers at once, not from signal handlers. */
#ifndef WEFT_PROCESS_H
#define WEFT_PROCESS_H

#include <weft/base.h>

#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a child runs. 0 ... 255 is its exit code; a negative errno value is told on standard error and is exit code 1. */
typedef int weft_process_fn(void *arg);

enum weft_start_method {
    WEFT_FORK = 0,
    WEFT_FORKSERVER
};

typedef struct weft_process_options {
    const char *name; /* copied, first 31 bytes; NULL = "Process-N" */
    int daemon;       /* 1: ends with its parent */
    int strict;       /* 1: refuse to fork while other threads hold weft locks: -EBUSY */
    enum weft_start_method method;
    size_t arg_size; /* 0: `arg` is passed as it is (fork only); else the child gets a copy of that many bytes */
    const int *fds;  /* descriptors the child needs; in a forkserver's child weft_process_fd(i) tells their numbers */
    unsigned fd_count;
    int keep_stdin; /* 1: the child keeps standard input */
} weft_process_options;

/* A child's handle, in the caller's memory, which must stay until close. All zero has not been started. */
typedef struct weft_process {
    struct weft__process *record; /* atomic; NULL: not started */
    int (*run)(struct weft_process *self);
} weft_process;

#define WEFT_PROCESS_INIT                                                                                              \
    {                                                                                                                  \
        NULL, NULL                                                                                                     \
    }

/* Start fn(arg) in a new process. Returns 0, -WEFT_ESTARTED, -EINVAL (forkserver without arg_size, bad options),
 * -EBUSY (strict), -EAGAIN or -ENOMEM. Allocates its record. */
WEFT_API int weft_process_start(weft_process *p, weft_process_fn *fn, void *arg, const weft_process_options *options);

/* Object style, fork only: the child runs run(p) and finds your struct around it (WEFT_CONTAINER). */
WEFT_API int weft_process_run(weft_process *p, int (*run)(weft_process *p), const weft_process_options *options);

/* Wait until it has ended and store its exit code in *code (may be NULL): 0 ... 255, or the negative number of the
 * signal that ended it. Any number of callers, any number of times. Returns 0, -ETIMEDOUT, -ECANCELED, -WEFT_ENOTSTARTED,
 * or -ECHILD from a process that is not its parent. */
WEFT_API int weft_process_join(weft_process *p, int *code, weft_until until);

WEFT_API int weft_process_alive(const weft_process *p);                /* 1 or 0 */
WEFT_API int weft_process_exit_code(const weft_process *p, int *code); /* 0, or -EAGAIN while it runs */
WEFT_API pid_t weft_process_pid(const weft_process *p);                /* 0 before start */
WEFT_API const char *weft_process_name(const weft_process *p);
WEFT_API int weft_process_daemon(const weft_process *p);

/* A descriptor that becomes readable at its end and never before; owned by *p. To be selected or polled on. */
WEFT_API int weft_process_sentinel(const weft_process *p);

WEFT_API int weft_process_signal(weft_process *p, int signal); /* 0, -ESRCH when it has ended, -WEFT_ENOTSTARTED */
WEFT_API int weft_process_terminate(weft_process *p);          /* SIGTERM */
WEFT_API int weft_process_kill(weft_process *p);               /* SIGKILL */

/* Let go of the handle. Returns 0, or -EBUSY while it runs. Afterwards *p may be started anew. */
WEFT_API int weft_process_close(weft_process *p);

/* ---- the calling process ---- */

WEFT_API const char *weft_process_self_name(void); /* "MainProcess" in one that weft did not start */
WEFT_API pid_t weft_process_parent(void);          /* pid of the process that started this one; 0 for MainProcess */
WEFT_API int weft_process_fd(unsigned i);          /* the i-th of options->fds in a child; -EBADF */

/* Say `text` on standard error and end the process: exit code 1; with NULL exit code 0. Like Python's sys.exit. */
__attribute__((noreturn)) WEFT_API void weft_process_exit(const char *text);

/* Call fn for each living child started here. Returns how many there are. fn must not start or join. */
WEFT_API int weft_processes_each(void (*fn)(weft_process *p, void *arg), void *arg);

/* Start the helper of WEFT_FORKSERVER: at once, while the process has one thread. Later it is refused with -EBUSY.
 * Returns 0 (also when it runs already) or an error of fork. */
WEFT_API int weft_forkserver_start(void);

#ifdef __cplusplus
}
#endif
#endif
