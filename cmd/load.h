/* load.h - `weft load`: what its files share.
 *
 * load.c reads the command line, load_request.c makes the bytes of a request, load_loop.c is a thread's event loop and
 * its schedule, load_conn.c a connection, load_tls.c what it is with TLS, load_show.c what is printed.
 *
 * L1 a worker and its connections belong to one thread; others only read its counters and histograms, as they are.
 * L2 a request is *given* to a connection at most once. It ends exactly once: answered, or failed with one kind of
 *    error; but when the run is interrupted, what is under way is forgotten.
 * L3 open loop: request k of a worker is due at begin + k * interval, whatever became of those before it. */
#ifndef LOAD_H
#define LOAD_H

#include "cmd.h"
#include "load_hist.h"
#include "load_scan.h"

#include <weft/address.h>
#include <weft/barrier.h>
#include <weft/poller.h>
#include <weft/thread.h>
#include <weft/tls.h>

#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#define LOAD_COMMAND "weft load"

enum load_protocol {
    LOAD_HTTP,
    LOAD_TCP,
    LOAD_UDP
};

enum load_error {
    LOAD_ERROR_CONNECT,  /* refused, unreachable, no answer to the call */
    LOAD_ERROR_CLOSED,   /* the connection ended before the answer did */
    LOAD_ERROR_TIMEOUT,  /* no answer in time */
    LOAD_ERROR_PROTOCOL, /* the answer is none, or was not asked for */
    LOAD_ERROR_MISMATCH, /* the echo is not what was sent */
    LOAD_ERROR_STATUS,   /* an answer, and its status is 400 or more */
    LOAD_ERRORS
};

enum {
    LOAD_INPUT = 256 * 1024, /* bytes received at a time, and of requests kept ready to be sent at once */
    LOAD_WIRE_AT_ONCE = 64 * 1024,
    LOAD_DEPTH_MAX = 1024
};

typedef struct load_options {
    enum load_protocol protocol;
    const char *url, *host, *path; /* host without brackets; path with its query */
    const char *authority;         /* "host:port" as in the URL */
    unsigned port;
    unsigned connections, threads, depth, requests; /* requests 0: as many as the time allows */
    unsigned rate;                                  /* a second, all threads together; 0: closed loop */
    int64_t duration, timeout;
    bool keep_alive, echo; /* echo: the answer has to be what was sent; else for tcp a line, for udp a datagram */
    bool no_body;          /* the method is HEAD */
    bool tls, resume;
    bool json, quiet, terminal;
    int64_t tick; /* between two looks at how it goes */
    const char *method;
    cmd_texts headers;
    char *body; /* malloc'ed; NULL: none */
    size_t body_size;
    /* Made of these: */
    char *bytes; /* `copies` times the request, one after the other */
    size_t size; /* of one */
    size_t copies;
    weft_address address;
} load_options;

extern load_options load_opt;
extern uint64_t load_interrupted; /* atomic; not 0: end now. Set by a signal, and by the display when nobody reads it */

typedef struct load_due {
    int64_t due, given; /* when it should have been sent; when a connection got it */
} load_due;

enum load_shake {
    LOAD_SHAKE_FULL,
    LOAD_SHAKE_RESUMED,
    LOAD_SHAKES
};

enum load_state {
    LOAD_SHUT,
    LOAD_OPENING,
    LOAD_OPEN
};

typedef struct load_worker load_worker;

typedef struct load_conn {
    struct load_conn *next_free;
    load_due *ring; /* the requests it was given, `depth` at most, oldest at `first` */
    unsigned first, count;
    int fd;
    uint8_t state;
    bool in_free, wants_out;
    bool more;        /* the session may hold bytes of which the socket tells nothing any more */
    bool tried;       /* the connecting at the start has ended, well or not */
    bool queued;      /* a Unix socket's queue was full: it is tried again by the next look */
    uint64_t answers; /* since it was opened */
    size_t unsent;    /* bytes to be sent yet */
    size_t out_at;    /* where in the request they go on */
    size_t echo_at;   /* where in the request the next byte received belongs; or how much of a line has come */
    size_t wire_left; /* with TLS: bytes that the socket may give in this turn, so that the others have theirs */
    load_scan scan;
    weft_tls_session *tls;   /* NULL: plain, or not yet connected */
    weft_tls_ticket *ticket; /* with --tls-resume: by which the next session of this connection is resumed, or NULL */
    int64_t shaking;         /* when the handshake began */
    char *part;              /* the beginning of a head */
    unsigned part_size;
    int64_t since; /* when the connecting began */
    int64_t again; /* after an error: not before this; 0: at once */
} load_conn;

struct load_worker {
    /* Read by others meanwhile, see load_count. */
    uint64_t answered, received;
    uint64_t errors[LOAD_ERRORS];
    load_hist raw;       /* from when it was given to a connection */
    load_hist corrected; /* from when it was due; only in open loop */

    unsigned index, connections;
    weft_thread thread;
    weft_poller *poller;
    load_conn *conns;
    load_due *rings;                    /* of all connections, one behind the other */
    load_conn *free_first, **free_last; /* open loop: connections that can be given a request */
    unsigned opened, tried;             /* at the start */
    bool running;                       /* the clock runs */
    bool ending;                        /* no new requests */
    bool any_queued;                    /* some connection may be `queued` */
    uint64_t given, budget;             /* requests handed to connections; at most so many */
    uint64_t outstanding;
    int64_t begin, end, next_look;
    int64_t starved;    /* open loop: when last a request was due and no connection was free */
    uint64_t scheduled; /* open loop: requests that were due and given, or given up */
    uint64_t waited;    /* of these, given late because every connection was busy */
    double interval;    /* ns between two of this worker's requests */
    int connect_errno;
    uint64_t status[600];
    load_hist shakes[LOAD_SHAKES];      /* how long handshakes took, from when the connection was there */
    char tls_name[64];                  /* of the first: version and cipher */
    uint64_t reopened;                  /* connections that the server ended between two requests */
    int64_t window;                     /* how long it counted */
    uint64_t counted, counted_received; /* answers and bytes in that time */
    int64_t cpu;
    load_head_memory memory;
    char input[LOAD_INPUT + LOAD_HEAD_MAX];
};

/* load_request.c. CMD_OK, or CMD_USAGE after a line on standard error. */
int load_read_url(const char *url);
int load_read_body(const char *text, const char *file, unsigned size);
int load_make_request(void);
int load_find_address(const char *instead); /* of the URL's host; or CMD_FAILED: nobody there answers */

/* load_conn.c */
void load_conn_open(load_worker *w, load_conn *c, int64_t now);
void load_conn_shut(load_worker *w, load_conn *c);
void load_conn_give(load_worker *w, load_conn *c, int64_t due, int64_t now); /* then push */
void load_conn_push(load_worker *w, load_conn *c, int64_t now);              /* send, or open first */
void load_conn_event(load_worker *w, load_conn *c, unsigned events);
void load_conn_fail(load_worker *w, load_conn *c, enum load_error kind, int64_t now);

/* load_tls.c. A failing one: CMD_USAGE, or as the calls of sockets, with errno. */
int load_tls_open(const char *ca, bool insecure);
int load_tls_shake(load_worker *w, load_conn *c); /* 0; -EAGAIN; or an error of weft/tls.h */
void load_tls_close(load_conn *c);
void load_tls_forget(load_conn *c); /* what is kept for the next session */
ssize_t load_tls_send(load_conn *c, const char *data, size_t size);
ssize_t load_tls_recv(load_conn *c, void *buf, size_t size); /* all that there is, up to size */

/* load_loop.c */
void load_conn_is_free(load_worker *w, load_conn *c, int64_t now); /* it can take a request, if there is one */
void load_conn_was_tried(load_worker *w, load_conn *c);
int load_run(load_worker **workers, unsigned n, void (*tick)(load_worker **workers, unsigned n, int64_t begin));

/* load_show.c */
void load_show_begin(void);
void load_show_now(load_worker **workers, unsigned n, int64_t begin);
void load_show_report(load_worker **workers, unsigned n);
bool load_had_errors(load_worker **workers, unsigned n);

#endif
