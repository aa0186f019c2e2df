/* serve.h - what the files of the server share: the server, its workers, a connection, a handler's turn with it.
 *
 * A *worker* serves some of the connections: in the coroutine models one scheduler thread, in the thread models the one
 * record that all client threads share. A *turn* is the time from a handler's call until its connection is idle again
 * (or closed); it lies on the stack that runs the handler, so an idle connection has neither stack nor buffer.
 *
 * States of a connection, and who moves it:
 *      IDLE      -> READY      bytes arrived
 *      READY     -> RUNNING    a runner (or the client's thread) begins a turn
 *      RUNNING   -> FLUSHING   the handler is done, its last bytes are on their way without a stack
 *      RUNNING, FLUSHING -> IDLE, READY, LINGERING or the end
 *      LINGERING -> the end    the client left, sent enough, or 2 s have passed
 *      SHAKING   -> IDLE       TLS over an event loop: the handshake is done (secure.c)
 * C1  a connection of an event loop is touched by its worker's thread only, but for `turn->waiter`, which is made to be
 *     cancelled by others. In the thread models by its own thread, but for the fields marked "atomic", which whoever
 *     makes room or stops reads under the worker's lock.
 * C2  worker->waiting holds every connection that is IDLE, READY or RUNNING, the one that has waited longest first
 *     (since, to 1/8 of the idle timeout or 128 ms); flushing, lingering and shaking hold the others.
 * C3  a connection ends in one place (weft__conn_end); nothing else closes its descriptor.
 * C4  an error is sticky: once c->error is set, every wait and every send returns it. */
#ifndef WEFT_SERVE_SERVE_H
#define WEFT_SERVE_SERVE_H

#include <weft/lock.h>
#include <weft/process.h>
#include <weft/server.h>

#include "base/list.h"
#include "io/poller.h"
#include "sys/net.h"
#include "sys/unix.h"

#include <errno.h>

typedef struct weft__worker weft__worker;
typedef struct weft__turn weft__turn;
typedef struct weft__out weft__out;
typedef struct weft__model weft__model;
typedef struct weft__secure weft__secure;
typedef struct weft__seat weft__seat;

enum {
    WEFT__PACKET_COUNTS = 9
};

enum weft__conn_state {
    WEFT__CONN_IDLE,
    WEFT__CONN_READY,
    WEFT__CONN_RUNNING,
    WEFT__CONN_FLUSHING,
    WEFT__CONN_LINGERING,
    WEFT__CONN_SHAKING
};

enum weft__conn_flag {
    WEFT__CONN_ENDED = 1,     /* the client's end of input (or an error, see error) has been read */
    WEFT__CONN_TOLD = 2,      /* ... and the handler has been called since */
    WEFT__CONN_BUSY = 4,      /* weft_conn_busy */
    WEFT__CONN_HELD = 8,      /* receiving is stopped: enough is unread */
    WEFT__CONN_REFUSED = 16,  /* never was let in: only lingers so that the refusal can be read */
    WEFT__CONN_UNOPENED = 32, /* on_open has not let it in: on_close is not called */
    WEFT__CONN_CALLED = 64    /* ENDED is what the stop has its handler believe; the client may well send on */
};

/* Whether the kernel holds back a packet that is not full. */
enum weft__cork {
    WEFT__CORK_NONE,
    WEFT__CORK_HOLDS, /* part of an answer may wait */
    WEFT__CORK_KEPT   /* nothing waits now, but what is sent next would */
};

/* What a turn waits for at this moment. */
enum weft__turn_wait {
    WEFT__WAIT_NOTHING,
    WEFT__WAIT_FIRST, /* input, and nothing is unread: between two requests */
    WEFT__WAIT_INPUT,
    WEFT__WAIT_OUTPUT
};

struct weft_conn {
    weft__fd_slot slot;
    weft__list link; /* in one of the worker's lists (C2) */
    weft__worker *worker;
    weft_conn *next;   /* worker->ready; free list */
    weft__turn *turn;  /* atomic: while RUNNING */
    weft__buffer *in;  /* unread bytes, oldest first; NULL when there are none */
    weft__out *out;    /* gathered output; on its way while FLUSHING; NULL when there is none */
    weft__secure *tls; /* NULL: there is none, or its handshake has not begun */
    void *data;
    uint64_t id;
    uint32_t at;         /* unread bytes begin here in `in` */
    uint32_t unread;     /* in all of `in` */
    uint32_t seen;       /* so many unread bytes the last call has left without consuming any */
    uint32_t opened;     /* ms since the server's epoch */
    uint32_t since;      /* atomic: ms; see C2; begin of lingering */
    uint32_t stalled;    /* atomic: ms; begin of the present wait or flush, last progress of it */
    int32_t write_ms;    /* limits of sending; -1 none */
    uint32_t write_rate; /* bytes a second; 0 none */
    int32_t error;       /* atomic: C4; 0 or -errno */
    uint8_t state;       /* atomic: enum weft__conn_state */
    uint8_t after;       /* FLUSHING: what the handler returned */
    uint8_t flags;       /* atomic: enum weft__conn_flag */
    uint8_t corked;      /* enum weft__cork */
    uint32_t place;      /* of per_address.h; 0: none */
};

struct weft__turn {
    weft_conn *conn;
    weft__waiter *waiter; /* of the runner or the client's thread */
    void *state;          /* from state_open */
    weft__turn *next;     /* w->resting */
    uint8_t waits;        /* atomic: enum weft__turn_wait */
    bool called;          /* it rested, and is to look at the line again */
    uint32_t over;        /* models of threads, atomic: the stop lets no request follow; its thread sleeps on it */
    bool consumed;        /* the handler has used some bytes in this call */
};

/* What is gathered, in buffers of the poller, with the send that takes it away. Outlives its connection when that ends
 * while the kernel still holds the bytes: then conn is NULL. */
enum {
    WEFT__OUT_PIECES = 64
};
struct weft__out {
    weft__send send;
    weft_conn *conn;
    weft__worker *worker;
    weft__out *next; /* free list */
    weft__buffer *first, *last;
    uint32_t pieces; /* buffers; at most WEFT__OUT_PIECES */
    uint32_t total;  /* bytes gathered */
    uint32_t sent;   /* what send.sent was when it was last looked at */
    struct iovec iov[WEFT__OUT_PIECES];
};

struct weft__worker {
    weft_server *server;
    weft__poller *poller;
    void *state; /* coroutine model */
    weft__list waiting, flushing, lingering, shaking;
    weft_conn *ready, **ready_end;
    bool runner_coming;  /* one is in the run queue and has not looked at `ready` yet */
    unsigned runners;    /* alive */
    weft__turn *resting; /* those of runners that wait for something to do */
    unsigned rests;      /* how many */
    weft__out *outs;     /* free */
    weft_conn *free;     /* free connections, of the slabs */
    void *slabs;
    uint64_t last_id;
    unsigned index;

    weft__fd_slot listener;
    int spare_fd;         /* held back so that one connection can be taken and turned away when descriptors run out */
    int64_t accept_again; /* when to try after an error; INT64_MAX */
    bool owes_look;       /* the kernel may have told this process alone of who waits in the queue now */

    uint32_t control; /* atomic: the keeper sleeps on it; counted up to wake it */
    int64_t wake_at;  /* when the keeper will wake by itself */
    int64_t tick_at;  /* when state_tick is due; INT64_MAX */
    bool drained;     /* nobody new is accepted */
    bool emptied;     /* who was idle has been let go */
    bool cut;
    bool leaving; /* atomic: a worker process, by its first: a signal has asked it to end */

    uint32_t open;         /* atomic: connections let in and not ended */
    uint32_t refused_open; /* connections that linger after a refusal */
    uint32_t sends;        /* under way without a turn */
    bool accepting;        /* atomic: others may pass connections on to this worker */
    uint32_t coming;       /* atomic: connections on their way from another worker */

    /* Counts, atomic, of all who have had this record: they are read while a worker process takes it over from one that
     * has died, and only ever grow. */
    uint64_t accepted, calls, timeouts, shed, refused, refused_address, cuts, handshakes, broken;
    uint64_t packets[WEFT__PACKET_COUNTS]; /* packet.h */

    struct weft__mail *mail; /* datagrams: under `lock`, while it runs */
    /* Where threads count: `calls` and `accepted`, or in the process of one client those of the record of all. */
    uint64_t *tally, *let_in;

    bool shared;                 /* thread models: many threads use this record, under `lock` */
    weft_lock lock;              /* the lists, the free records, states */
    struct thread_state *states; /* thread models: those not lent */
    weft__waiter *acceptor;      /* thread models: to be cancelled by the stop; under `lock` */
    weft__seat *seat;            /* in the process of one client (processes.h); NULL */

    /* Fixed threads: clients that none of them has time for stand in `ready`, under `lock`. */
    uint32_t line;     /* atomic: counted up when it has grown; the threads sleep on it */
    uint32_t standing; /* atomic: threads that have not ended; waited on by the stop */
    bool closing;      /* no client will come any more; under `lock` */
};

/* How connections are run. Pre of wait_input, send and wait_output: called in the turn of c, c->error is 0. */
struct weft__model {
    const char *name;
    size_t stack_size;  /* default of options.stack_size */
    const char *poller; /* the only one that it runs over; NULL: any */
    bool loops;         /* a worker is a scheduler thread */
    bool fixed;         /* one client at a time on each of its threads: others stand in line */
    unsigned threads;   /* default of options.threads; 0: one a processor */

    /* Start serving; 0 or -errno, and then nothing is left running. */
    int (*start)(weft_server *s);

    /* stopping or grace has changed. From any thread; does not wait. */
    void (*notify)(weft_server *s);

    /* Wait until input was appended or has ended: 0. Or -errno. `first`: nothing is unread. */
    int (*wait_input)(weft_conn *c, bool first, int64_t until);

    /* Send all of it; 0 or -errno. */
    int (*send)(weft_conn *c, struct iovec *iov, unsigned n, unsigned flags, int64_t until);

    /* Wait until the socket takes bytes again: 0 or -errno. */
    int (*wait_output)(weft_conn *c, int64_t until);

    /* Buffers. take: NULL when out of memory. */
    weft__buffer *(*take)(weft__worker *w);
    void (*give)(weft__worker *w, weft__buffer *b);

    /* Break c with err and have it end: at once (true), or as soon as its handler has seen the error. */
    bool (*evict)(weft_conn *c, int err);

    /* weft__conn_end is letting go of the descriptor: forget it. */
    void (*forget)(weft_conn *c);
};

enum {
    WEFT__MODELS_LOOP = 6
};
extern const weft__model weft__models_loop[WEFT__MODELS_LOOP]; /* "coroutine" first */
extern const weft__model weft__model_thread, weft__model_pool, weft__model_iterative;

enum {
    WEFT__SERVER_OPEN,
    WEFT__SERVER_RUNNING,
    WEFT__SERVER_ENDED
};

/* How it is stopping; only ever goes up. */
enum weft__stop {
    WEFT__STOP_NOT,
    WEFT__STOP_RETIRE, /* nobody new; who is idle may stay until the end of the grace */
    WEFT__STOP_CLOSE   /* ... goes at once */
};

struct weft_server {
    weft_server_options options; /* with defaults filled in; host, model and poller are NULL */
    const weft__model *model;
    weft__worker *workers;
    unsigned nworkers;
    int *listeners;       /* weft__sockets; -1 when closed */
    int64_t epoch;        /* ns; what ms fields count from */
    uint32_t since_grain; /* ms; see C2 */
    weft__address address;
    char address_text[WEFT_CONN_ADDRESS_MAX];
    weft__socket_file file; /* of a Unix socket that this server has bound */
    uint32_t has_file;      /* atomic: it is there, and for this server to remove */

    uint32_t state;      /* atomic: above; waited on by weft_server_wait */
    uint32_t stopping;   /* atomic: enum weft__stop */
    uint32_t shared;     /* atomic: for so many reasons other programs may have the listening sockets */
    int64_t grace;       /* atomic: end of the grace */
    uint32_t open;       /* atomic: all workers' */
    uint32_t starting;   /* atomic: workers that have not reported, or 1; waited on by start */
    int32_t start_error; /* atomic: the first one */
    uint32_t serving;    /* atomic: workers not ended */
    int32_t result;      /* what weft_server_wait says after the end */

    struct weft__per_address *per_address; /* NULL: no limit for an address, or not this process's to look at */

    uint64_t packets_lost; /* atomic: by sockets for datagrams that are closed */

    /* Several processes (processes.c). */
    const weft__model *inner; /* what each of them runs; without processes the same as `model` */
    struct weft__front *front;
    bool hosted;          /* the thread in weft_server_run runs the only loop */
    bool single;          /* a process for each client */
    uint64_t clients;     /* ... so many were to be started by the supervisor; in each as of its own start */
    bool holds_signal;    /* the supervisor, and with it its children, hold SIGTERM */
    bool in_child;        /* this is a worker process; then: */
    unsigned child;       /* which */
    int control, reports; /* pipes from and to the supervisor */
    uint32_t heard;       /* the supervisor and its children: front->told when on_tell was last called here */
    weft_process supervisor;
    int owner_fds[2];      /* the owner's end, under the lock; -1: closed; and the supervisor's */
    bool supervised;       /* the supervisor has the listeners too: under the lock */
    weft__waiter *watcher; /* under the lock: the thread that waits for the supervisor's start and end; NULL */
    weft_lock owner_lock;  /* also for the owner's listeners, from the start to the end */
    weft_lock tell_lock;   /* one weft_server_tell at a time */
};

/* ---- small helpers ---- */

/* Whether a call has failed for want of descriptors, which somebody's leaving would mend. */
static inline bool weft__lacks_descriptors(int err)
{
    return err == -EMFILE || err == -ENFILE;
}

#define WEFT__MS_OF(ns) ((ns) / 1000000)

/* Now in ms since the server's epoch, wrapping: compare by subtraction. Coarse (a few ms). */
uint32_t weft__server_ms(const weft_server *s);

static inline void weft__worker_lock(weft__worker *w)
{
    if (w->shared)
        weft_lock_acquire(&w->lock);
}

static inline void weft__worker_unlock(weft__worker *w)
{
    if (w->shared)
        weft_lock_release(&w->lock);
}

/* Counters that one thread at a time writes and any may read. */
#define WEFT__COUNT(p) store_relaxed((p), load_relaxed(p) + 1)

static inline bool weft__server_stopping(const weft_server *s)
{
    return load_relaxed(&s->stopping) != WEFT__STOP_NOT;
}

/* Who is idle goes. */
static inline bool weft__server_closing(const weft_server *s)
{
    return load_seq_cst(&s->stopping) == WEFT__STOP_CLOSE;
}

/* ---- server.c ---- */

/* Everything has ended, or start failed: tell who waits. s may be gone afterwards. */
void weft__server_ended(weft_server *s);

/* As weft_server_stop or weft_server_retire, for this process alone. */
void weft__server_stop_here(weft_server *s, enum weft__stop how, int64_t grace);

/* A record that nobody uses, for its next worker; all but its counts are begun anew. */
void weft__worker_init(weft__worker *w, weft_server *s, unsigned index);

/* ---- thread.c ---- */

/* Serve this one client, until it leaves or the stop is carried out. For a process of its own. */
void weft__thread_serve_one(weft_server *s, int fd);

/* ---- listen.c ---- */

/* Bind and listen as the options say, or take the sockets that they give; n listeners. Fills listeners, address,
 * address_text. */
int weft__listen(weft_server *s, unsigned n);
void weft__listen_close(weft_server *s, unsigned i);

/* Remove the file of a Unix socket, if there is one and nobody else may have the socket. Once, by whoever comes first
 * of all who end with it. */
void weft__listen_remove_file(weft_server *s);

/* As weft_server_listeners, for a program that may come to nothing. And it has: nobody has them through it. */
int weft__listen_lend(weft_server *s, int *fds, unsigned room);
void weft__listen_take_back(weft_server *s);

/* Others may have the listening sockets as well, and accept from them. */
static inline bool weft__listen_is_shared(const weft_server *s)
{
    return s->front != NULL || load_relaxed(&s->shared);
}

/* ---- packet.c: servers for datagrams ---- */

static inline bool weft__is_packet(const weft_server *s)
{
    return s->options.packet.handler != NULL;
}

/* Fill the options of packets in, after those of processes: 0 or -EINVAL. */
int weft__packet_options(weft_server *s);

/* How s->inner runs handlers, for datagrams. */
const weft__model *weft__packet_model(const weft_server *s);

/* Sockets: one for each worker of each process. Worker i of process k has listeners[k * nworkers + i]. */
unsigned weft__packet_sockets(const weft_server *s);

static inline unsigned weft__sockets(const weft_server *s)
{
    return weft__is_packet(s) ? weft__packet_sockets(s) : s->nworkers;
}

/* Raise the soft limit of descriptors to what `want` connections need that take `each` of them; returns how many
 * connections are possible. */
unsigned weft__listen_limit(unsigned want, unsigned workers, unsigned each);

/* Tell the client at fd that it is not let in. */
void weft__turn_away_text(weft_server *s, int fd);

/* What on_plain says; nothing ends. */
void weft__turn_away_plain(const weft_server *s, int fd);

/* Read what is there, so that the close does not reset the connection before the text was read; and close. */
void weft__turn_away_close(int fd);

/* ---- room.c ---- */

enum {
    WEFT__ROOM_LONG_MS = 1000 /* who has kept us waiting for so long gives way before others */
};

enum weft__room {
    WEFT__ROOM_NONE, /* everybody is at work */
    WEFT__ROOM_SOON, /* somebody was told to leave */
    WEFT__ROOM_NOW   /* somebody has left */
};

/* Let somebody who keeps us waiting give way. `descriptors`: these are short, not the count of connections. Pre: the
 * worker is locked. */
enum weft__room weft__room_make(weft__worker *w, bool descriptors);

/* ---- conn.c ---- */

/* Call the handler, again as long as it leaves work behind; returns WEFT_CONN_... or -errno, never IDLE with work left.
 */
int weft__turn_run(weft__turn *t);

/* There is something new for the handler in c. */
bool weft__conn_has_work(const weft_conn *c);

/* A record for fd, in no list yet. NULL when out of memory. Pre: the worker is locked. */
weft_conn *weft__conn_new(weft__worker *w, int fd);

/* The end: hook, descriptor, buffers, record. c is in a list of its worker. */
void weft__conn_end(weft_conn *c);

/* All ended: free the worker's memory. */
void weft__conn_slabs_free(weft__worker *w);

/* Whether the client at fd may come: its address does not have max_per_address yet. Else it is counted in *refused, and
 * to be turned away. *place goes into its record, or back. */
bool weft__conn_may_come(weft_server *s, uint64_t *refused, int fd, uint32_t *place);
void weft__conn_give_back(weft_server *s, uint32_t place);

/* The server stops: the handler of c, which waits for a request, is to see the end of the input. */
static inline void weft__conn_call_end(weft_conn *c)
{
    uint8_t flags = load_relaxed(&c->flags);
    if (!(flags & WEFT__CONN_ENDED))
        store_relaxed(&c->flags, flags | WEFT__CONN_ENDED | WEFT__CONN_CALLED);
}

/* Models of threads: c's wait for a request is over, in its handler or its handshake, when turn->over says so. Who
 * promises nothing, between two calls of the handler, is told by the end of his input. */
static inline bool weft__conn_may_be_called(const weft_conn *c, enum weft__turn_wait waits)
{
    return waits == WEFT__WAIT_FIRST && load_relaxed(&c->state) != WEFT__CONN_IDLE &&
           !(load_relaxed(&c->flags) & WEFT__CONN_BUSY);
}

/* Break it: the first error stays. */
static inline void weft__conn_break(weft_conn *c, int err)
{
    if (load_relaxed(&c->error) == 0)
        store_relaxed(&c->error, err);
}

/* ---- input.c ---- */

/* b has arrived: c's from now on. */
void weft__input_append(weft_conn *c, weft__buffer *b);
void weft__input_free(weft_conn *c);

/* Going to wait with unread bytes: keep them in a block of their size, give the large buffer back. */
void weft__input_compact(weft_conn *c);

/* ---- secure.c: TLS. None of these waits but weft__secure_send. ---- */

/* A session for c. 0 or -errno. */
int weft__secure_open(weft_conn *c);

/* The end: a session that is idle says so to the client; and free it. */
void weft__secure_close(weft_conn *c);

/* The next step of the handshake: 0: it is done; -EAGAIN: wait until the socket takes bytes, if weft__secure_unsent,
 * and else for bytes; or an error. Event loops: by weft__secure_received. */
int weft__secure_shake(weft_conn *c);
bool weft__secure_unsent(const weft_conn *c);

/* Event loops: b has arrived with n bytes, or the end, or an error, as the poller told. Says what has come of it: > 0:
 * plain bytes, which are appended; 0: the end; -EAGAIN: nothing for the handler; or an error. */
ssize_t weft__secure_received(weft_conn *c, weft__buffer *b, ssize_t n);

/* Models of threads: append what can be had, from the socket too if `ask`. 0: something, or the end; or -errno. */
int weft__secure_receive(weft_conn *c, bool ask);

/* Send what is unsent: 0, -EAGAIN or an error. */
int weft__secure_flush(weft_conn *c);

/* Encrypt and send all of c->out, which stays, and then, if `last`, the end of the session. Again after -EAGAIN. */
int weft__secure_push(weft_conn *c, bool last);

/* Encrypt and send these pieces, in a turn; 0 or -errno. Iov is used up. */
int weft__secure_send(weft_conn *c, struct iovec *iov, unsigned n, int64_t until);

/* ---- output.c ---- */

/* For what is gathered: an empty one. NULL when out of memory. Pre: c has none. */
weft__out *weft__out_take(weft_conn *c);

/* Pieces for all that is gathered; returns how many. */
unsigned weft__out_pieces(weft__out *o);

/* Nothing more follows for now: what the kernel holds back may go. Pre: c->corked. */
void weft__conn_release(weft_conn *c);
void weft__out_free(weft__out *o);

/* Where a wait for progress of a send must end at the latest. */
int64_t weft__stall_until(const weft_conn *c, int64_t until);

#endif
