/* weft/subprocess.h - run other programs: their input, their output, their end.
 *
 *     weft_run_result r;
 *     int err = weft_run((const char *[]){"sort", "-r", NULL}, &(weft_run_options){.input = "b\na\n", .capture = 1},
 * &r);
 *     if (err == 0)
 *         printf("exit code %d: %.*s", r.code, (int)r.output_size, r.output);
 *     weft_run_free(&r);
 *
 * A program is started without a copy of the parent (as posix_spawn does), so a large parent starts one as fast as a
 * small one. It gets the descriptors 0, 1, 2 and those it is given, no others; default signals and an empty mask. It
 * leads a process group and is watched by a pidfd; a deadline ends the whole tree (TERM, then KILL after `grace`).
 * What keeps a program from starting is told apart: -ENOENT no such program, -EACCES not executable, -ENOEXEC not a
 * program, -WEFT_ECWD no such working directory, -E2BIG.
 *
 * A coroutine that waits for a program does not block its thread. Unless said otherwise: call from threads and
 * coroutines, not from signal handlers. */
#ifndef WEFT_SUBPROCESS_H
#define WEFT_SUBPROCESS_H

#include <weft/base.h>

#include <sys/resource.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Where a stream of the program goes. Zero: the same as ours. */
enum weft_stream_to {
    WEFT_INHERIT = 0,
    WEFT_PIPE,     /* to us */
    WEFT_NULL,     /* /dev/null */
    WEFT_FILE,     /* to a descriptor of ours: see *_fd */
    WEFT_TO_OUTPUT /* standard error only: into standard output */
};

typedef struct weft_limit {
    int resource; /* RLIMIT_AS ... */
    rlim_t soft, hard;
} weft_limit;

typedef struct weft_popen_options {
    enum weft_stream_to in, out, err;
    int in_fd, out_fd, err_fd; /* for WEFT_FILE */
    const char *executable;    /* program to run instead of argv[0], which it still gets as its name */
    int shell;       /* 1: argv[0] is a command line for /bin/sh -c (or `executable` -c), the rest are $0, $1 ... */
    const char *cwd; /* NULL: ours */
    const char *const *env; /* "NAME=value" ..., NULL; NULL: ours */
    const int *pass_fds;    /* descriptors it keeps, under their numbers */
    unsigned pass_fd_count;
    int same_group;  /* 1: stays in our process group */
    int new_session; /* 1: setsid */
    int set_ids;     /* 1: uid and gid below, and no further groups */
    uid_t uid;       /* -1, what is nobody's number, is -EINVAL, and so it is for gid */
    gid_t gid;
    int set_umask; /* 1: umask below */
    mode_t umask;
    const weft_limit *limits;
    unsigned limit_count;
    int die_with_parent;   /* 1: SIGKILL when the thread's process ends */
    int (*before)(void *); /* called in the child before the program; only async-signal-safe work. Slower: needs fork */
    void *before_arg;
    int64_t grace; /* ns between SIGTERM and SIGKILL when a deadline ends it; 0 = two seconds */
} weft_popen_options;

typedef struct weft_popen weft_popen;

/* Start a program. Returns 0; what kept it from starting (see above); -EINVAL; -EAGAIN, -ENOMEM, -EMFILE. */
WEFT_API int weft_popen_start(weft_popen **p, const char *const *argv, const weft_popen_options *options);

WEFT_API pid_t weft_popen_pid(const weft_popen *p);
WEFT_API int weft_popen_sentinel(const weft_popen *p);       /* readable at its end; owned by p */
WEFT_API int weft_popen_fd(const weft_popen *p, int stream); /* our end of its stream 0, 1, 2, owned by p; -EBADF */

/* Its return code: 0 ... 255, or minus the signal. poll: 0 and *code, or -EAGAIN while it runs. */
WEFT_API int weft_popen_poll(weft_popen *p, int *code);
WEFT_API int weft_popen_wait(weft_popen *p, int *code, weft_until until); /* 0, -ETIMEDOUT (it runs on), -ECANCELED */
WEFT_API int weft_popen_signal(weft_popen *p, int signal);                /* 0, -ESRCH: it has ended */
WEFT_API int weft_popen_signal_tree(weft_popen *p, int signal);           /* its group and all below it, once each */

/* End it and all it started: SIGTERM, once each, SIGKILL for those that are left after the grace; waits for its end.
 * Returns 0. */
WEFT_API int weft_popen_end(weft_popen *p, int64_t grace);

/* What a program said. A text is terminated by a 0 that is not counted, and NULL where the stream was none of ours, or
 * nothing was started; weft_run_free frees both. */
typedef struct weft_run_result {
    int code;      /* return code */
    int timed_out; /* 1: a deadline ended it */
    int truncated; /* 1: output_max was reached, the rest was dropped */
    char *output, *error;
    size_t output_size, error_size;
} weft_run_result;

/* Send `input`, collect both outputs until their ends, wait: never a deadlock, whatever the sizes. Returns 0; or
 * -ETIMEDOUT, after which it may be called again and goes on where it was, with nothing lost; -ECANCELED; -ENOMEM. What
 * was there at the deadline is still read, what a program writes after it is not. */
WEFT_API int weft_popen_communicate(weft_popen *p, const void *input, size_t input_size, weft_run_result *result,
                                    weft_until until);

/* Call fn for each line of its output (stream 1 or 2), without the line's end, as it comes; a negative return ends the
 * reading with that value. Returns 0 at the end of the stream, -EINVAL for another stream, -EBADF for one that is no
 * pipe of ours, -ETIMEDOUT or -ECANCELED as weft_popen_communicate. */
WEFT_API int weft_popen_lines(weft_popen *p, int stream, int (*fn)(const char *line, size_t size, void *arg), void *arg,
                              weft_until until);

/* Free it: closes our ends of the pipes. A program that still runs is left to run and reaped at its end. */
WEFT_API void weft_popen_free(weft_popen *p);

typedef struct weft_run_options {
    weft_popen_options popen; /* as above */
    const void *input;        /* bytes for its standard input; NULL: as popen.in says */
    size_t input_size;        /* 0 with a non-NULL input: strlen */
    int capture;              /* 1: both outputs; 2: merged into one */
    size_t output_max;        /* most bytes kept of each; 0 = 1 GiB */
    weft_until until;         /* {0} = for ever; then the whole tree is ended */
} weft_run_options;

/* Start, feed, collect, wait. Returns 0 with *result filled (which may be NULL if nothing is captured), -ETIMEDOUT with
 * what there was, or what kept it from starting, and then *result is all zero. */
WEFT_API int weft_run(const char *const *argv, const weft_run_options *options, weft_run_result *result);
WEFT_API void weft_run_free(weft_run_result *result);

/* Python's short forms: all streams are ours, no deadline. call: 0 and its return code in *code, or what kept it from
 * starting. check_call: 0, or -WEFT_EEXIT when the code is not 0. check_output: the same, and what it wrote in *output,
 * terminated by a 0, for free(); with -WEFT_EEXIT, too. */
WEFT_API int weft_call(const char *const *argv, int *code);
WEFT_API int weft_check_call(const char *const *argv);
WEFT_API int weft_check_output(const char *const *argv, char **output, size_t *size);

#ifdef __cplusplus
}
#endif
#endif
