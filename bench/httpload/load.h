/* load.h - what the two halves of the load generator share: connections (conn.c) and the windows they are counted in
 * (main.c). One thread, one process, so the state is plain global data. */
#ifndef BENCH_HTTPLOAD_LOAD_H
#define BENCH_HTTPLOAD_LOAD_H

#include "hist.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#define SECOND   INT64_C(1000000000)
#define HEAD_MAX (16u * 1024)
#define MAX_PIDS 64

enum kind {
    ACTIVE,
    IDLE,
    SLOW
};

struct delay;

struct conn {
    int fd; /* -1: closed, to be opened when its delay is over */
    enum kind kind;
    bool connecting;
    bool last; /* the server will close after this response */
    unsigned index;
    unsigned outstanding; /* responses of the batch that are still to come */
    unsigned unsent;      /* bytes of the batch that are still to be written */
    unsigned slow_sent;   /* bytes of the endless head that went out */
    uint64_t body_left;   /* bytes of the present response's body still to come */
    int64_t sent_at;
    char *part; /* the beginning of a head whose end has not come yet */
    unsigned part_len;
    struct delay *delay; /* the queue it is on, or NULL */
    int64_t due;
    TAILQ_ENTRY(conn) link;
};

/* Connections that wait for a time. The wait is the same for all on one queue, so the first is due first. */
struct delay {
    int64_t ns;
    TAILQ_HEAD(, conn) queue;
};

struct window {
    double seconds;
    uint64_t requests, bytes;
    hist latency;
    int64_t server_cpu_ns, own_cpu_ns, server_core_ticks, own_core_ticks, rss, own_rss, available;
};

struct counters {
    uint64_t connect, protocol, status, closed, timeout, reconnects, idle_closed, slow_closed, slow_refused;
};

struct options {
    struct sockaddr_in addr;
    const char *host, *path;
    unsigned connections, depth, idle, slow;
    double seconds, warmup, slow_lead;
    int64_t slow_interval, pause, timeout;
    unsigned cpu, server_cpu; /* cores */
    unsigned share;           /* idle connections that one process can hold */
    unsigned echo;            /* bytes that come back as they went; 0: HTTP */
    bool trunc, fresh;
    pid_t pids[MAX_PIDS];
    unsigned npids;
};

/* What the whole run is told; set once. */
extern struct options opt;

/* The state of the run. */
struct load {
    int epoll_fd;
    struct conn *conns; /* the active ones, then the idle ones, then the slow ones */
    char *batch;        /* `depth` requests, one after the other */
    unsigned batch_len;
    bool stopping;         /* finish what is outstanding, begin nothing */
    unsigned busy;         /* active and idle connections that wait for a response or a connect */
    struct window *window; /* where responses are counted; NULL: nowhere */
    int64_t window_began;
    struct counters errors;
    struct delay pauses, retries, slow_steps;
};
extern struct load load;

int64_t clock_ns(void);
__attribute__((noreturn, format(printf, 2, 3))) void die(int code, const char *fmt, ...);

void conn_open(struct conn *c);
void conn_close(struct conn *c);
void conn_send_batch(struct conn *c);
void conn_ask_again(struct conn *c);              /* an idle connection, to see whether it is served */
void conn_event(struct conn *c, uint32_t events); /* what epoll said */
void conn_due(struct conn *c);                    /* its delay is over */
void conn_timed_out(struct conn *c);
void delay_take(struct conn *c); /* off the queue it is on, if any */

#endif
