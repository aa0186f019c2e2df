/* helper.h - what a helper process needs that forks children for another: their ends, and clean descriptors. */
#ifndef WEFT_SYS_HELPER_H
#define WEFT_SYS_HELPER_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* The signals of a program: its mask, and what it does about SIGCHLD. */
typedef struct weft__signals {
    sigset_t mask;
    struct sigaction child;
} weft__signals;

/* Block all signals, and let SIGCHLD have its default meaning, so that children stay until they are reaped; what was is
 * kept in *old. */
void weft__sys_signals_off(weft__signals *old);
void weft__sys_signals_back(const weft__signals *old);
void weft__sys_signals_none_blocked(void);

/* Before a fork: write what lies in the buffers of stdout and stderr, or the child would say it again. A stream with
 * nothing in it is not touched, for both processes would get a copy of its page. */
void weft__sys_flush(void);

/* A non-blocking, close-on-exec descriptor that is readable when a child has ended, or -errno. */
int weft__sys_child_ends(void);
void weft__sys_child_ends_clear(int fd);

/* This child, or any for 0, if it has ended and is not reaped: its pid, and *code as weft__sys_pidfd_reap; else 0. */
pid_t weft__sys_ended(pid_t pid, int *code);

/* Name the calling thread, as `ps` shows it. At most 15 bytes. */
void weft__sys_set_name(const char *name);

/* Move this process to a process group; 0: one of its own. */
void weft__sys_set_group(pid_t group);

/* Close all descriptors above 2 but these. Reorders them. */
void weft__sys_close_all_but(int *kept, unsigned n);

/* Make `kept` standard input again; where it is none, close that. */
void weft__sys_stdin_back(int kept);

/* The same file at a number above those of the standard streams; fd is closed if it was one. Or -errno. */
int weft__sys_above_streams(int fd);

/* Whether `code` is in a file that this process has loaded. */
bool weft__sys_is_code(const void *code);

/* The same, and how many files were loaded and unloaded ever; 0: code of the program itself, which was always there. */
bool weft__sys_is_code_of(const void *code, uint64_t *loads);

#endif
