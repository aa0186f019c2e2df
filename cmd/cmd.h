/* cmd.h - what the subcommands of `weft` share. They are built from weft's public headers alone. */
#ifndef CMD_H
#define CMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exit codes: 0 done, 1 it failed while running, 2 it could not be started as asked. */
enum {
    CMD_OK = 0,
    CMD_FAILED = 1,
    CMD_USAGE = 2
};

/* One subcommand a file; argv[0] is its name. */
int cmd_web(int argc, char **argv);
int cmd_lesson(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cmd_load(int argc, char **argv);
int cmd_compare(int argc, char **argv);

/* ---- options (options.c) ---- */

enum cmd_kind {
    CMD_FLAG,   /* int *: set to 1 */
    CMD_TEXT,   /* const char ** */
    CMD_TEXTS,  /* cmd_texts *: may be given again and again */
    CMD_CHOICE, /* const char **, one of `choices` */
    CMD_NUMBER, /* unsigned *, between `least` and `most` */
    CMD_SIZE,   /* int64_t *, in bytes between `least` and `most`: 4096, 64K, 32M, 1G */
    CMD_TIME    /* int64_t *, in ns: seconds, with a fraction if need be */
};

typedef struct cmd_texts {
    const char *text[100];
    unsigned count;
} cmd_texts;

typedef struct cmd_option {
    const char *name; /* without the dashes */
    enum cmd_kind kind;
    void *value;
    const char *choices; /* "auto epoll uring" */
    uint64_t least, most;
    const char *arg;  /* what --help calls the value */
    const char *help; /* one line, or several */
} cmd_option;

/* Read the options of argv[1..argc) into their values and put the other arguments into rest[0..*count), at most `room`.
 * Returns 0, or CMD_USAGE after one line on standard error that says what is wrong. `command` is "weft web". */
int cmd_read_options(const char *command, const cmd_option *options, size_t n, int argc, char **argv, const char **rest,
                     size_t *count, size_t room);

/* Print a line for each option. */
void cmd_print_options(const cmd_option *options, size_t n);

/* The word of `words` (separated by spaces) that is nearest to `word`, in `out`; false if none is near. */
bool cmd_nearest(const char *word, const char *words, char *out, size_t size);

/* Print "weft web: <sentence>" to standard error and return CMD_USAGE. */
int cmd_usage(const char *command, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- worker processes (workers.c) ---- */

/* Fork n workers that each run work(arg) and exit with its result, and keep that many: one that dies is replaced, after
 * a growing pause if it died young. SIGINT or SIGTERM: every worker is sent CMD_STOP, and on a second one CMD_STOP_NOW.
 * SIGHUP is passed on. Returns an exit code when all have ended; CMD_FAILED if workers die as fast as they are made.
 * The workers end with the caller, whatever ends it. The calling process must have one thread and block these signals
 * and SIGCHLD. */
int cmd_run_workers(const char *command, unsigned n, int (*work)(void *arg), void *arg, int64_t patience);

#include <signal.h>
#define CMD_STOP     SIGUSR1 /* finish what is under way and end */
#define CMD_STOP_NOW SIGUSR2 /* end */

#endif
