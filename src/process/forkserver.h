/* forkserver.h - the fork server from inside: what process.c, the parent's side (forkserver.c) and the server's side
 * (forkserver_serve.c) have in common. For src/process only. */
#ifndef WEFT_PROCESS_FORKSERVER_H
#define WEFT_PROCESS_FORKSERVER_H

#include <weft/process.h>

#include <stdbool.h>
#include <stdint.h>

enum {
    WEFT__PROCESS_NAME = 32
};

/* ---- memory that a server, its parent and its children share ---- */

/* Of one child, from the time when it is a spare. Free when neither the server, which reaps the child, nor the parent,
 * which holds it, has its mark there. */
typedef struct weft__seat {
    uint32_t state; /* atomic */
    uint32_t serial;
    int32_t pid;
    int32_t code; /* once it is said, or dead */
} weft__seat;

enum weft__seat_state {
    WEFT__SEAT_SERVER = 1, /* not reaped yet */
    WEFT__SEAT_PARENT = 2, /* not closed yet */
    WEFT__SEAT_BEGUN = 4,  /* the child has its request */
    WEFT__SEAT_SAID = 8,   /* it said its code, as its last act */
    WEFT__SEAT_DEAD = 16   /* it has ended; from before it is reaped */
};

enum {
    WEFT__SEATS = 32768,
    WEFT__LANES = 6
};

typedef struct weft__board {
    uint32_t ready[WEFT__LANES]; /* atomic: the number, from 1, of the seat of the spare that waits at this lane */
    uint32_t starts;             /* atomic: spares that the parent took, ever */
    uint32_t poked;              /* atomic: the parent has asked for more */
    uint32_t refs;               /* server.lock; the parent's: one for the server and one for each child it holds */
    weft__seat seats[WEFT__SEATS];
} weft__board;

/* ---- messages ---- */

enum {
    WEFT__REQUEST_INLINE = 32 << 10,
    WEFT__REQUEST_FDS = WEFT_PROCESS_FDS_MAX + 1 /* a file with the argument */
};

/* To a spare, by its lane. One with another serial was for a spare that has ended. */
typedef struct weft__request {
    uint32_t serial;
    uint8_t in_file; /* the argument's bytes are in the first descriptor, not behind this */
    uint8_t daemon, keep_stdin;
    char name[WEFT__PROCESS_NAME];
    weft_process_fn *fn; /* NULL: end */
    void *arg;
    uint64_t arg_size;
} weft__request;

/* To the server. */
typedef struct weft__question {
    uint32_t number;     /* 0: make more spares, and do not answer */
    weft_process_fn *fn; /* is this in the server? NULL: is there a spare, or could there be? */
} weft__question;

typedef struct weft__answer {
    uint32_t number;
    int32_t err;
} weft__answer;

/* ---- process.c ---- */

/* What a child is to be. */
typedef struct weft__child {
    weft_process_fn *fn;
    void *arg;
    const char *name;
    pid_t parent; /* who asked for it */
    bool keep_stdin;
    const int *fds;
    unsigned fd_count;
    weft__seat *seat; /* where it says its code; NULL: nowhere */
} weft__child;

/* The rest of a new child's life, from the moment that it is one. */
__attribute__((noreturn)) void weft__process_child(const weft__child *c);

/* See to it that weft__server_end is called at the end of this process. */
void weft__process_watch_exit(void);

/* ---- forkserver.c ---- */

/* How the parent holds a child. */
typedef struct weft__held {
    pid_t pid;
    int pidfd;
    weft__seat *seat; /* NULL: it is a child of this process, and not of a server's */
    weft__board *board;
} weft__held;

/* Have the server make a child. As weft_process_start. */
int weft__server_child(const weft__child *c, size_t arg_size, bool daemon, weft__held *held);

/* Wait until its end and its code can be seen. 0 or -errno. */
int weft__server_await(const weft__held *held, weft_until until);

/* Its exit code, once it has ended: 0 and *code, -EAGAIN, or -ECHILD: nobody will know it. */
int weft__server_code(const weft__held *held, int *code);

/* Let go of it: it has ended, and its code has been read. */
void weft__server_release(weft__held *held);

/* This process ends. */
void weft__server_end(void);

/* ---- forkserver_serve.c ---- */

/* The life of the server, in the process that was forked to be one. */
__attribute__((noreturn)) void weft__serve(pid_t parent, int control, const int lanes[WEFT__LANES], weft__board *board);

#endif
