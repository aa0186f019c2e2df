/* cmd.h - what the subcommands of `weft` share. They are built from weft's public headers alone. */
#ifndef CMD_H
#define CMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

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

/* What --threads and --processes are to a server model (weft/server.h): NULL where they count, else why they do not. */
const char *cmd_why_no_threads(const char *model);
const char *cmd_why_no_processes(const char *model);

/* Print "weft web: <sentence>" to standard error and return CMD_USAGE. */
int cmd_usage(const char *command, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- a program that runs for long (service.c) ---- */

/* All of it, from the program's name on; set by main. */
extern const char *const *cmd_command_line;

/* Tell the service manager (NOTIFY_SOCKET, as systemd has it), if there is one: "READY=1". */
void cmd_notify(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Say something on standard error. What it does not take at once is lost: who serves does not wait for who reads. */
void cmd_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* How many columns a line may have that is written over and over on this terminal, at most `most`: one less than it is
 * wide, as wide as it is now. A longer one would go on in the next line, and each that is written leave one behind. */
int cmd_columns(int fd, int most);

/* Write this process's number to a file, which is never seen half written. 0 or -errno: -ENOTSUP where there is
 * something that is no plain file, such as a device. */
int cmd_write_pid(const char *file);

/* Whether that can be done; the file stays as it is. */
int cmd_try_pid(const char *file);

/* Remove the file if it has this number, and not that of another process. */
void cmd_remove_pid(const char *file, pid_t pid);

/* A successor of this program that is being started (weft/handover.h). */
typedef struct cmd_successor {
    const char *command; /* "weft web" */
    struct weft_handover *handover;
    int64_t give_up; /* ns; when it has taken too long */
} cmd_successor;

struct weft_server;

/* Start this program again with the listening sockets. CMD_SUCCESSOR is sent to this process when something is known of
 * it. If it cannot be started, says so on standard error. */
void cmd_start_successor(cmd_successor *s, struct weft_server *server);
#define CMD_SUCCESSOR SIGIO

/* End it, if it does not serve yet, and take its number out of pid_file (may be NULL). */
void cmd_end_successor(cmd_successor *s, const char *pid_file);

/* When that signal has come or give_up is over: true once it serves. Says on standard error why it will not. */
bool cmd_look_at_successor(cmd_successor *s);

#endif
