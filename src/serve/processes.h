/* processes.h - what the server, its supervisor and its worker processes tell each other (processes.c). */
#ifndef WEFT_SERVE_PROCESSES_H
#define WEFT_SERVE_PROCESSES_H

#include "serve/serve.h"

/* In shared memory: all processes of one server see it. */
typedef struct weft__front {
    int64_t grace;      /* atomic: end of the grace, of whoever asked for the earliest */
    uint32_t stopping;  /* atomic: enum weft__stop, the most that was asked for */
    int32_t result;     /* atomic: what weft_server_wait says at the end */
    uint32_t told;      /* atomic: how often weft_server_tell was called */
    uint32_t heard;     /* atomic: so many of these have been heard by all; the owner sleeps on it */
    int32_t what;       /* the last one's */
    int32_t tell_error; /* atomic: the first that a process had with it */
    uint32_t full;      /* atomic: the supervisor has been told that every process is taken, and looks at the line */
    uint64_t refused;   /* atomic: turned away by the supervisor */
    unsigned sets;      /* of workers: one a process, or a single one for all clients' processes */
    size_t size;        /* of the mapping */
    weft__worker workers[];
} weft__front;

/* What the owner says to the supervisor, and it to the others. */
enum {
    WEFT__BYTE_STOP = 's',
    WEFT__BYTE_TELL = 't'
};

extern const weft__model weft__model_processes;

/* The shared memory for what the options ask for; 0 or -errno. And its end, in the owner's process. */
int weft__processes_open(weft_server *s);
void weft__processes_close(weft_server *s);

/* In a worker process: have the whole server stop. */
void weft__processes_stop(weft_server *s, enum weft__stop how, int64_t grace);

/* In a worker process that has no place left: if no other has one either, let the supervisor know. */
void weft__processes_taken(weft_server *s);

/* In a worker process: does another one that accepts hold fewer than `most` connections? */
bool weft__processes_others_hold_fewer(const weft_server *s, uint64_t most);

#endif
