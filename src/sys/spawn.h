/* spawn.h - start a program without copying the parent, and hold it by a pidfd.
 *
 * P1 cheap:   the child borrows the parent's memory (CLONE_VM | CLONE_VFORK) until it executes the program, so the
 *             cost does not grow with the parent. Only a `before` function gets a copy (no CLONE_VM).
 * P2 precise: whatever fails in the child, its errno and stage come back to the parent; nothing is left behind.
 * P3 clean:   the program gets descriptors 0, 1, 2 and those passed, no other; default dispositions, an empty mask.
 * The child's code runs on a stack of its own, with all signals blocked, and calls nothing but system calls. */
#ifndef WEFT_SYS_SPAWN_H
#define WEFT_SYS_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

typedef struct weft__spawn_limit {
    int resource;
    struct rlimit limit;
} weft__spawn_limit;

typedef struct weft__spawn {
    const char *const *paths; /* candidates for the program's file, NULL at the end; the first that can be executed */
    char *const *argv;
    char *const *env;
    int streams[3];    /* descriptors that become 0, 1, 2; -1: as ours is */
    const int *passed; /* ascending, all above 2: kept under their numbers */
    unsigned passed_count;
    const int *placed; /* instead of passed: these become 3, 4, 5 ... */
    unsigned placed_count;
    char *pid_text;  /* in env; NULL, or room for its own number, which is written there */
    const char *cwd; /* NULL: ours */
    bool new_group, new_session, set_ids, set_umask;
    uid_t uid;
    gid_t gid;
    mode_t umask;
    const weft__spawn_limit *limits;
    unsigned limit_count;
    int death_signal; /* sent when the thread that started it ends; 0: none */
    int (*before)(void *arg);
    void *before_arg;
} weft__spawn;

enum {
    WEFT__SPAWN_PLACED_MOST = 80,
    WEFT__SPAWN_PID_SIZE = 12
};

enum weft__spawn_stage {
    WEFT__SPAWN_FORK,
    WEFT__SPAWN_SETUP, /* groups, limits, ids, streams, before */
    WEFT__SPAWN_CWD,
    WEFT__SPAWN_EXEC
};

/* Start it. Returns 0 with *pid and *pidfd (close-on-exec), or -errno and where it failed in *stage. Waits until the
 * program runs: tenths of a millisecond. */
int weft__sys_spawn(const weft__spawn *s, pid_t *pid, int *pidfd, enum weft__spawn_stage *stage);

/* What became of a child: 0 and *code (0 ... 255, or minus a signal's number) and the child is reaped; -EAGAIN while it
 * runs; -ECHILD when it is no child of ours or was reaped by others. */
int weft__sys_pidfd_reap(int pidfd, int *code);

/* Would that call say something else than -EAGAIN? The child is not reaped. */
bool weft__sys_pidfd_ended(int pidfd);
int weft__sys_pidfd_signal(int pidfd, int signal);
int weft__sys_pidfd_open(pid_t pid);

/* Wait for a child that was killed and forget it. */
void weft__sys_reap(pid_t pid);

/* A signal to a process, or to the group -pid. 0 or -errno. */
int weft__sys_kill(pid_t pid, int signal);

/* Its parent and process group now, and when it started, in clock ticks. 0, or -ESRCH: there is no such process. */
typedef struct weft__kin {
    pid_t parent, group;
    uint64_t start;
} weft__kin;
int weft__sys_kin(pid_t pid, weft__kin *kin);

/* This process gets `signal` when the thread that forked it ends. */
void weft__sys_death_signal(int signal);

/* This process ignores `signal` from now on, and so do those that it forks. */
void weft__sys_ignore(int signal);

/* Keep `signal` from this thread, and from those that it starts and forks, if its action is the default one: then it
 * can be awaited. False: the program has an action of its own for it. */
bool weft__sys_hold_signal(int signal);

/* Wait until this process gets `signal`, which its threads hold. */
void weft__sys_await_signal(int signal);

/* ---- descriptors for programs ---- */

/* /dev/null, close-on-exec, to be read as stream 0 and written as 1 or 2; or -errno. */
int weft__sys_null(int stream);

/* Make standard input /dev/null, or close it. */
void weft__sys_null_stdin(void);

/* Programs that this process starts do not get fd. 0 or -errno. */
int weft__sys_close_on_exec(int fd);

/* Both ends close-on-exec and blocking. */
int weft__sys_pipe(int ends[2]);

/* One read or write; SIGPIPE is not raised. How many bytes, 0 at the end, or -errno. */
ssize_t weft__sys_pipe_read(int fd, void *buf, size_t size);
ssize_t weft__sys_pipe_write(int fd, const void *buf, size_t size);

#endif
