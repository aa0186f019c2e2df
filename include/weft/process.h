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
 * thread. What the two change afterwards is their own, but for memory mapped shared. A lock that another thread or
 * coroutine held at that moment is known to the child as one whose holder is gone: -EOWNERDEAD (weft/lock.h). To have
 * no such locks, start processes before threads, or use the fork server below, or weft/subprocess.h.
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

/* How a child is made. */
enum weft_start_method {
    WEFT_FORK = 0,  /* a copy of the caller's process as it is now */
    WEFT_FORKSERVER /* a copy of the fork server: of this process as it was when that started */
};

typedef struct weft_process_options {
    const char *name; /* copied, first 31 bytes; NULL = "Process-N" */
    int daemon;       /* 1: ends with its parent */
    int keep_stdin;   /* 1: the child keeps standard input */
    enum weft_start_method method;
    size_t arg_size;   /* > 0: `arg` points to so many bytes; the child's function gets a pointer to its copy of them */
    const int *fds;    /* descriptors handed over: the child finds them by weft_process_fd */
    unsigned fd_count; /* at most WEFT_PROCESS_FDS_MAX */
} weft_process_options;

enum {
    WEFT_PROCESS_FDS_MAX = 250
};

/* A child's handle, in the caller's memory, which must stay until close. All zero has not been started. */
typedef struct weft_process {
    struct weft__process *record; /* NULL: not started */
} weft_process;

#define WEFT_PROCESS_INIT                                                                                              \
    {                                                                                                                  \
        NULL                                                                                                           \
    }

/* Start fn(arg) in a new process. Returns 0, -WEFT_ESTARTED, -EAGAIN, -ENOMEM, -EMFILE or -EINVAL (options, no fn); by
 * WEFT_FORKSERVER also what weft_forkserver_start returns, -EPIPE: the server was killed, -EFAULT: fn is not in it,
 * -EBADF: one of fds is none, or -ETIMEDOUT: it has not answered for a minute. *p is as before on failure. Allocates
 * its record. */
WEFT_API int weft_process_start(weft_process *p, weft_process_fn *fn, void *arg, const weft_process_options *options);

/* Object style: the child runs run(p) and finds its copy of your struct around it (WEFT_CONTAINER). By WEFT_FORK only,
 * else -EINVAL: the server does not have your struct. */
WEFT_API int weft_process_run(weft_process *p, int (*run)(weft_process *p), const weft_process_options *options);

/* Wait until it has ended and store its exit code in *code (may be NULL): 0 ... 255, or minus the number of the signal
 * that ended it. Any number of callers, any number of times. Returns 0, -ETIMEDOUT, -ECANCELED (the caller was
 * cancelled), -WEFT_ENOTSTARTED, or -ECHILD: the caller's process is not its parent, or its code is lost, because
 * SIGCHLD is ignored or the fork server was killed. An end that comes together with the deadline wins. One that is
 * traced (by strace, a debugger) has ended for its parent when the tracer has let go. */
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

/* ---- the fork server ----
 *
 * A helper that is forked once, while this process has no other threads, and forks children from then on. They are
 * clean: no thread of yours was ever in them, so no lock is held by one that is not there. They see memory, working
 * directory, environment and signal handlers as they were when the server started, and have the same functions; what
 * they need of later things comes as bytes (arg_size) and descriptors (fds). With arg_size 0 `arg` itself is passed on:
 * a number, or an address of something that was there. Besides fds they have descriptors 0, 1 and 2 only.
 *
 * The children's parent in the system's eyes is the server, and weft_process_parent() tells who asked for them. All
 * calls above serve them. The server ends with this process, also when that is killed. If the server itself is killed,
 * its daemons end, others run on, and their codes are lost: join returns -ECHILD at their end, never later.
 *
 * After the first start the server keeps up to four children in reserve ("weft-spare" in ps) that wait to be given a
 * function, so a start is as a rule a message and no fork. What ended a spare as it was taken is seen as the end of the
 * child: one that is killed at that moment has the code -SIGKILL. Here it takes eight descriptors. */

/* Start it, if it does not run: the first line of main is a good place. A first weft_process_start with WEFT_FORKSERVER
 * does it, too. Returns 0; -WEFT_ETHREADS: there are other threads already, which it cannot get rid of; -EAGAIN,
 * -ENOMEM, -EMFILE. */
WEFT_API int weft_forkserver_start(void);

/* Its process id, 0 when it does not run. */
WEFT_API pid_t weft_forkserver_pid(void);

/* End it and its spares. Returns 0, also when it does not run. Daemons it made end; others run on, and the codes of
 * those that end later may be lost. Nobody may be starting a process by it. */
WEFT_API int weft_forkserver_stop(void);

/* ---- the calling process ---- */

/* The i-th of the descriptors that its parent handed over to it; -EBADF when there are not so many. */
WEFT_API int weft_process_fd(unsigned i);

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
