/* processes.h - what the server, its supervisor and its worker processes tell each other (processes.c). */
#ifndef WEFT_SERVE_PROCESSES_H
#define WEFT_SERVE_PROCESSES_H

#include "serve/serve.h"

/* What the process of one client shows its supervisor, which may have to choose who makes room (model "process"). */
struct weft__seat {
    uint64_t waits; /* atomic: from bit 8 up since when, in ms of the server's epoch, and below it for what: */
    uint32_t asked; /* atomic: to make room; its thread sleeps on it */
};
enum {
    WEFT__SEAT_WORKS,   /* for nothing */
    WEFT__SEAT_LINGERS, /* for the client to leave, who has been answered */
    WEFT__SEAT_IDLES,   /* for a whole request */
    WEFT__SEAT_STALLS   /* for the client, in the middle of its work */
};

enum {
    WEFT__SEATS_MORE = 64 /* there are beyond max_connections: nobody waits until who was asked has gone */
};

/* All of them, as the supervisor sees them (room.c). */
typedef struct weft__seats {
    weft__seat *all;
    unsigned n, asked; /* so many of them: to make room */
    int64_t asked_at;  /* ns; the last one */
} weft__seats;

/* A client takes this one: as yet he has said nothing. And leaves it. */
void weft__seats_take(weft__seats *s, unsigned i, uint32_t now);
void weft__seats_leave(weft__seats *s, unsigned i);

/* Who keeps us waiting is to be told that he is asked: which, or -1: there is nobody, or so many have not gone yet. */
int weft__seats_ask(weft__seats *s, uint32_t now);

/* Somebody has been asked a moment ago, and has not gone. */
bool weft__seats_coming(const weft__seats *s);

static inline void weft__seat_show(weft__seat *seat, unsigned waits, uint32_t since)
{
    store_relaxed(&seat->waits, (uint64_t)since << 8 | waits);
}

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
    weft__seat *seats;  /* at the end of it, for clients' processes */
    unsigned sets;      /* of workers: one a process, or a single one for all clients' processes */
    size_t size;        /* of the mapping */
    weft__worker workers[];
} weft__front;

enum {
    WEFT__KILL_AFTER_MS = 1000 /* P5: after the grace */
};

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

/* How many processes of clients there can be at a time. */
static inline unsigned weft__processes_seats(const weft_server *s)
{
    return s->single && !weft__is_packet(s) ? s->options.max_connections + WEFT__SEATS_MORE : 0;
}

/* The shared memory for what the options ask for; 0 or -errno. And its end, in the owner's process. */
int weft__processes_open(weft_server *s);
void weft__processes_close(weft_server *s);

/* The supervisor's process: the server. */
int weft__processes_supervise(void *server);

/* The supervisor's and the workers' SIGTERM, which a terminal or a service manager may send to all: none ends by it at
 * once. In the supervisor, before it forks. */
void weft__processes_hold_signal(weft_server *s);

/* In a worker process: have the whole server stop. */
void weft__processes_stop(weft_server *s, enum weft__stop how, int64_t grace);

/* In a worker process that has no place left: if no other has one either, let the supervisor know. */
void weft__processes_taken(weft_server *s);

/* In a worker process: does another one that accepts hold fewer than `most` connections? */
bool weft__processes_others_hold_fewer(const weft_server *s, uint64_t most);

/* In a worker process: serve this client alone, or all that come. What the process ends with. */
int weft__processes_serve_client(weft_server *s, int fd);
int weft__processes_serve_many(weft_server *s);

/* In a worker process: have a thread do what the supervisor says, and another what SIGTERM asks for. 0 or -errno. */
int weft__processes_listen(weft_server *s);

/* In the process of one client: wait for its socket, in its turn. Asked to make room, it waits no more for a client who
 * has not sent a whole request, and for others a second at most; then c is broken. 0, which may be without cause, or
 * -errno. */
int weft__processes_wait(weft_conn *c, enum weft__turn_wait waits, unsigned events, int64_t until);

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
