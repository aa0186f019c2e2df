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
 * The child is a fork: it sees all memory as it was, and weft is rebuilt in it, with the forking thread as its main
 * thread. What the two change afterwards is their own, but for memory mapped shared. A lock that another thread held at
 * that moment stays held in the child for ever: start processes before threads, or use weft/subprocess.h.
 *
 * Each child is held by a pidfd, never by a handler for SIGCHLD, so no zombie is left and nobody else's child is
 * reaped. When the process returns from main or calls exit, daemons are killed and the others waited for. A daemon
 * also ends when its parent is killed. In the child standard input is /dev/null; the child ends with its function:
 * stdio is flushed, atexit functions of the parent do not run.
 *
 * Unless said otherwise: call from threads and coroutines, by any number of callers at once, not from signal handlers.
 * */
#ifndef WEFT_PROCESS_H
#define WEFT_PROCESS_H

#include <weft/base.h>

#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a child runs. 0 ... 255 is its exit code; a negative errno value is told on standard error and is exit code 1.
 * */
typedef int weft_process_fn(void *arg);

typedef struct weft_process_options {
    const char *name; /* copied, first 31 bytes; NULL = "Process-N" */
    int daemon;       /* 1: ends with its parent */
    int keep_stdin;   /* 1: the child keeps standard input */
} weft_process_options;

/* A child's handle, in the caller's memory, which must stay until close. All zero has not been started. */
typedef struct weft_process {
    struct weft__process *record; /* NULL: not started */
} weft_process;

#define WEFT_PROCESS_INIT                                                                                              \
    {                                                                                                                  \
        NULL                                                                                                           \
    }

/* Start fn(arg) in a new process. Returns 0, -WEFT_ESTARTED, -EAGAIN or -ENOMEM; *p is as before on failure. Allocates
 * its record. */
WEFT_API int weft_process_start(weft_process *p, weft_process_fn *fn, void *arg, const weft_process_options *options);

/* Object style: the child runs run(p) and finds its copy of your struct around it (WEFT_CONTAINER). */
WEFT_API int weft_process_run(weft_process *p, int (*run)(weft_process *p), const weft_process_options *options);

/* Wait until it has ended and store its exit code in *code (may be NULL): 0 ... 255, or minus the number of the signal
 * that ended it. Any number of callers, any number of times. Returns 0, -ETIMEDOUT, -ECANCELED (the caller was
 * cancelled), -WEFT_ENOTSTARTED, or -ECHILD: the caller's process is not its parent, or SIGCHLD is ignored and so its
 * code is lost. An end that comes together with the deadline wins. */
WEFT_API int weft_process_join(weft_process *p, int *code, weft_until until);

WEFT_API int weft_process_alive(const weft_process *p); /* 1 or 0 */

/* Without waiting: 0, -EAGAIN while it runs, else as join. */
WEFT_API int weft_process_exit_code(weft_process *p, int *code);
WEFT_API pid_t weft_process_pid(const weft_process *p);        /* 0 before start */
WEFT_API const char *weft_process_name(const weft_process *p); /* "" before start; valid until close */
WEFT_API int weft_process_daemon(const weft_process *p);

/* A descriptor that becomes readable at its end and never before; owned by *p. -EBADF before start. */
WEFT_API int weft_process_sentinel(const weft_process *p);

WEFT_API int weft_process_signal(weft_process *p, int signal); /* 0, -ESRCH when it has ended, -WEFT_ENOTSTARTED ... */
WEFT_API int weft_process_terminate(weft_process *p);          /* SIGTERM */
WEFT_API int weft_process_kill(weft_process *p);               /* SIGKILL */

/* Let go of the handle. Returns 0, also when it was not started, or -EBUSY while it runs. Afterwards *p may be started
 * anew. */
WEFT_API int weft_process_close(weft_process *p);

/* ---- the calling process ---- */

/* Its name; "MainProcess" in one that weft did not start. */
WEFT_API const char *weft_process_self_name(void);

/* The process that started this one, also when it has ended meanwhile; 0 in MainProcess. */
WEFT_API pid_t weft_process_parent(void);

/* End the process, like Python's sys.exit: `text` goes to standard error as a line, and the exit code is 1; with NULL
 * it is 0. In a child of weft's, from any thread; else as exit(). */
__attribute__((noreturn)) WEFT_API void weft_process_exit(const char *text);

/* Call fn for each living child that weft_process_start made here, the oldest first. Returns how many. fn must not
 * start, join or close. */
WEFT_API int weft_processes_each(void (*fn)(weft_process *p, void *arg), void *arg);

#ifdef __cplusplus
}
#endif
#endif
