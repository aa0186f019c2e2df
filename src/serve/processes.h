/* processes.h - what the server, its supervisor and its worker processes tell each other (processes.c). */
#ifndef WEFT_SERVE_PROCESSES_H
#define WEFT_SERVE_PROCESSES_H

#include "serve/serve.h"

/* In shared memory: all processes of one server see it. */
typedef struct weft__front {
    int64_t grace;  /* atomic: end of the grace, of whoever asked for the earliest */
    int32_t result; /* atomic: what weft_server_wait says at the end */
    unsigned sets;  /* of workers: one a process, or a single one for all clients' processes */
    size_t size;    /* of the mapping */
    weft__worker workers[];
} weft__front;

extern const weft__model weft__model_processes;

/* The shared memory for what the options ask for; 0 or -errno. And its end, in the owner's process. */
int weft__processes_open(weft_server *s);
void weft__processes_close(weft_server *s);

/* In a worker process: have the whole server stop. */
void weft__processes_stop(weft_server *s, int64_t grace);

#endif
