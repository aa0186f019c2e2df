/* forkserver.h - the fork server from inside, and what process.c and it have in common. For src/process only. */
#ifndef WEFT_PROCESS_FORKSERVER_H
#define WEFT_PROCESS_FORKSERVER_H

#include <weft/process.h>

#include <stdbool.h>

enum {
    WEFT__PROCESS_NAME = 32
};

/* What a child is to be. */
typedef struct weft__child {
    weft_process_fn *fn;
    void *arg;
    const char *name;
    pid_t parent; /* who asked for it */
    bool keep_stdin;
    const int *fds;
    unsigned fd_count;
} weft__child;

/* ---- process.c ---- */

/* The rest of a new child's life, from the moment that it is one. */
__attribute__((noreturn)) void weft__process_child(const weft__child *c);

/* See to it that weft__server_end is called at the end of this process. */
void weft__process_watch_exit(void);

/* ---- forkserver.c ---- */

/* How the parent holds a child that the server made. */
typedef struct weft__held {
    pid_t pid;
    int pidfd;
    int status; /* a message with its exit code comes here; its end without one: the server was killed */
} weft__held;

/* Have the server make a child. As weft_process_start. */
int weft__server_child(const weft__child *c, size_t arg_size, bool daemon, weft__held *held);

/* Its exit code, once it has ended: 0 and *code, -EAGAIN, or -ECHILD: nobody will know it. */
int weft__server_code(int pidfd, int status, int *code);

/* This process ends. */
void weft__server_end(void);

#endif
