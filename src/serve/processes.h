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

/* What the owner says to the supervisor. */
enum {
    WEFT__BYTE_STOP = 's',
    WEFT__BYTE_TELL = 't'
};

/* From a worker process. */
struct weft__report {
    uint32_t child;
    enum {
        WEFT__REPORT_STARTED, /* value: 0 or -errno */
        WEFT__REPORT_STOP,    /* a handler has called weft_server_stop */
        WEFT__REPORT_HEARD,   /* on_tell has been called; value: front->told before that */
        WEFT__REPORT_FULL     /* front->full */
    } kind;
    int32_t value;
};

extern const weft__model weft__model_processes;

/* The records of a worker process, which are in shared memory; the model "process" has one for all. */
static inline weft__worker *weft__processes_set(weft__front *f, const weft_server *s, unsigned child)
{
    return f->workers + (f->sets == 1 ? 0 : child * s->nworkers);
}

/* The shared memory for what the options ask for; 0 or -errno. And its end, in the owner's process. */
int weft__processes_open(weft_server *s);
void weft__processes_close(weft_server *s);

/* The supervisor's and the workers' SIGTERM, which a terminal or a service manager may send to all: none ends by it at
 * once. In the supervisor, before it forks. */
void weft__processes_hold_signal(weft_server *s);

/* In a worker process: have the whole server stop. */
void weft__processes_stop(weft_server *s, enum weft__stop how, int64_t grace);

/* In a worker process that has no place left: if no other has one either, let the supervisor know. */
void weft__processes_taken(weft_server *s);

/* In a worker process: does another one that accepts hold fewer than `most` connections? */
bool weft__processes_others_hold_fewer(const weft_server *s, uint64_t most);

/* In a worker process: have a thread do what the supervisor says, and another what SIGTERM asks for. 0 or -errno. */
int weft__processes_listen(weft_server *s);

/* In a worker process: say so to the supervisor. */
void weft__processes_report(const weft_server *s, int kind, int value);

/* Put down that the server is to stop; whoever carries it out is told otherwise. */
void weft__processes_ask_to_stop(weft__front *f, enum weft__stop how, int64_t grace);

/* In the supervisor and in those that serve: call on_tell, if it has not been called for the present front->told.
 * Returns that. */
uint32_t weft__processes_hear(weft_server *s);

/* Call on_tell in this process. Its result. */
int weft__processes_run_on_tell(weft_server *s, int what);

/* As many clients are served, in all processes, as can be at a time. */
bool weft__processes_all_taken(const weft_server *s);

#endif
