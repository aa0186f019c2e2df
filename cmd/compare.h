/* compare.h - what the files of `weft compare` share. */
#ifndef COMPARE_H
#define COMPARE_H

#include <weft/base.h>
#include <weft/tls.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

enum {
    COMPARE_MODELS_MAX = 16,
    COMPARE_STEPS_MAX = 8,
    COMPARE_CLIENTS_MAX = 20000
};

enum compare_job {
    JOB_ECHO,
    JOB_HTTP,
    JOB_CPU,
    JOB_IO,
    JOB_UDP,
    COMPARE_JOBS
};

/* What the clients have seen in one step. Times in ns. */
typedef struct compare_load {
    uint64_t sent, answered; /* requests, once all clients had come or had been turned away */
    int64_t took;
    uint64_t whole_answered; /* from the first moment on */
    int64_t whole_took;
    int64_t p50, p90, p99, p999, most;
    unsigned clients; /* asked for */
    unsigned online;  /* connected at the same time, at most */
    unsigned served;  /* had at least one answer */
    unsigned held;    /* ... and were still connected when the time was over */
    unsigned refused; /* turned away, or could not connect */
    unsigned broken;  /* ended after they had an answer */
    uint64_t lost;    /* udp: requests that had no answer in time, and were made again */
    char tls[64];     /* version and cipher; "" without TLS */
} compare_load;

/* What the server has used in it, with all its processes. */
typedef struct compare_use {
    int64_t cpu;       /* ns */
    uint64_t switches; /* context switches */
    uint64_t memory;   /* bytes, pages that are shared divided by those who share them */
    unsigned processes, threads;
} compare_use;

typedef struct compare_step {
    bool done;
    int error;    /* 0 or -errno: it could not be run */
    char why[96]; /* ... in words */
    compare_load load;
    compare_use use;
} compare_step;

typedef struct compare_model {
    const char *name;
    unsigned capacity; /* clients at the same time */
    compare_step steps[COMPARE_STEPS_MAX];
} compare_model;

typedef struct compare_result {
    enum compare_job job;
    unsigned clients[COMPARE_STEPS_MAX];
    unsigned nsteps, nmodels;
    unsigned processors;
    int64_t duration;
    bool tls;
    char certificate[WEFT_TLS_PEM_MAX], key[WEFT_TLS_PEM_MAX];
    compare_model models[COMPARE_MODELS_MAX];
} compare_result;

#define COMPARE_COMING (60 * WEFT_SECOND) /* clients that have not come by then are not waited for */

extern const char *const compare_jobs[COMPARE_JOBS];

/* ---- compare_serve.c: the servers ---- */

/* Run one step in processes of its own: a server of this model and the clients. */
void compare_run(const compare_result *r, compare_model *m, unsigned step, unsigned threads, unsigned processes);

/* ---- compare_load.c: the clients ---- */

/* Connect `clients` and have each send its next request when the last one is answered; when all are there, call
 * begun(arg) and go on for `duration` ns. 0 or -errno. */
int compare_clients(const compare_result *r, unsigned port, unsigned clients, void (*begun)(void *arg), void *arg,
                    compare_load *out);

/* The request and how an answer is told: its size, for every job. */
const char *compare_request(enum compare_job job, size_t *size);
size_t compare_answer_size(enum compare_job job);

enum {
    COMPARE_LINE = 64 /* bytes of a request and of its answer, in all jobs but http */
};
extern const char compare_http_answer[];

/* ---- compare_report.c, compare_html.c ---- */

double compare_rate(const compare_load *l);       /* answers a second */
double compare_switches(const compare_step *s);   /* for each answer */
unsigned compare_waiting(const compare_load *l);  /* had no answer, and have not been turned away */
const char *compare_tls(const compare_result *r); /* what was spoken; "" without TLS, or where nobody came so far */
const compare_step *compare_best(const compare_result *r, const compare_model *m); /* one with an error: all have */
void compare_breaks(const compare_result *r, const compare_model *m, char *text, size_t size);
void compare_print_table(const compare_result *r);
void compare_print_json(const compare_result *r, FILE *f);
int compare_write_html(const compare_result *r, const char *file); /* 0 or -errno */

#endif
