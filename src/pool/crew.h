/* crew.h - the workers of a process pool, as the parent sees them.
 *
 * C1  the parent's books (jobs, head, tail, busy) are its own memory, changed under `lock`; of a segment it believes
 *     what it has checked.
 * C2  a job is in one place: the backlog, the list of those taken back, or one slot of one worker; who takes it out of
 *     there, under the lock, is the one who gives it its outcome, outside the lock.
 * C3  no lost job: a submitter puts and then reads `room`; who makes room stores it and then reads the backlog, both by
 *     seq_cst operations. One of the two sees the other.
 * C4  no lost answer: who stops looking stores `listening` and looks once more (segment.h S2).
 * Lock order: lock, then the backlog's and the timers'; no callback and no process is started under it. */
#ifndef WEFT_POOL_CREW_H
#define WEFT_POOL_CREW_H

#include <weft/poller.h>
#include <weft/process.h>
#include <weft/process_pool.h>

#include "park/rawlock.h"
#include "pool/bytes.h"
#include "pool/pool.h"
#include "pool/segment.h"

enum {
    WEFT__MEN_MAX = 1024,
    WEFT__NEWS = 32
};

/* Why a worker was killed by the pool. */
enum weft__kill {
    WEFT__NOT_KILLED = 0,
    WEFT__STOPPED,   /* its job was to end */
    WEFT__NONSENSE,  /* it wrote what it may not; its job has its outcome */
    WEFT__TERMINATED /* all are to end */
};

typedef struct weft__man {
    weft_executor *ex;
    weft__segment *seg; /* NULL: there is no process */
    weft_process process;
    unsigned index;
    int pidfd, socket;
    pid_t pid;
    uint32_t head, tail; /* positions of its slots: next to be given; next to come back */
    uint32_t busy;       /* jobs it has */
    uint32_t depth;      /* how many it may have */
    uint32_t given;      /* jobs since its start */
    uint32_t seen;       /* reports of the job at tail */
    uint32_t ticked;     /* tail at the last tick */
    bool ready, quitting;
    bool left;  /* it has something for the keeper, who knows */
    bool stuck; /* it did not begin a job for long: it gets no more until it moves */
    enum weft__kill killed;
    int64_t since;                 /* when the job at tail became the first */
    int64_t per_job;               /* how long they take, about */
    int64_t retry_at;              /* no process: when to try again */
    weft__task *jobs[WEFT__SLOTS]; /* NULL: taken back */
} weft__man;

/* How long the keeper sleeps if nobody rings. */
enum weft__pace {
    WEFT__TICKS, /* a worker has several jobs */
    WEFT__LOOKS, /* one has one: it may have spoiled the word that says who looks */
    WEFT__DOZES  /* no job is under way */
};

typedef struct weft__crew {
    weft__rawlock lock;
    uint32_t room;     /* atomic: a worker could take a job now */
    uint32_t attended; /* atomic: somebody looks for answers */
    weft__listener *listener;
    int listener_fd; /* for workers that the fork server makes; else -1 */
    weft_poller *poller;
    int bell;
    unsigned n, last;
    weft__man *men;
    weft__task *first, **end; /* taken back: they go before the backlog */
    weft_process_pool_options options;
    unsigned stillborn;               /* atomic: workers in a row that died before they were ready */
    uint32_t open;                    /* atomic: jobs that were taken and not concluded */
    weft__task *outbox;               /* they have their outcome, and callbacks, which the keeper calls */
    unsigned failures;                /* to start a worker, while there was none */
    enum weft__pace pace;             /* how the keeper sleeps */
    int64_t ticks_until, looks_until; /* the keeper's */
    int64_t kill_at;                  /* the keeper's: the end of the grace for idle workers */
    bool closing;                     /* atomic */
    bool terminated;                  /* atomic */
} weft__crew;

/* What is to be told outside the lock. */
typedef struct weft__news {
    unsigned n;
    struct {
        weft__task *b;
        int error; /* 1: progress */
        uint64_t done, total;
    } at[WEFT__NEWS];
} weft__news;

/* ---- crew.c: jobs ---- */

/* Take answers and hand out jobs until there is nothing more of either. Whether there was anything. Callbacks are for
 * the keeper alone, and left to it by others. */
bool weft__crew_look(weft_executor *ex, bool keeper);

/* The same for one worker that has ended; then give back what it had. `code` is its exit code. */
void weft__crew_bury(weft__man *m, int code);

/* Whether nobody looks for answers any more, so that workers ring. */
void weft__crew_listen(weft__crew *c, uint32_t listening);

/* Have the keeper look around. */
void weft__crew_poke(weft__crew *c);

/* About how long jobs take where this one is. */
int64_t weft__crew_pace(const weft_future *f);

/* End the job wherever it is. */
void weft__crew_stop(weft_future *f);

/* Some milliseconds have passed: workers that got stuck give up the jobs they have not begun. */
void weft__crew_tick(weft_executor *ex);

/* All jobs that wait get `error`. */
void weft__crew_fail_waiting(weft_executor *ex, int error);

/* Kill all workers. */
void weft__crew_kill_all(weft_executor *ex);

/* ---- recruit.c: processes ---- */

/* Memory that is shared with workers; *fd is its descriptor where they are not forked from this process, else -1. */
int weft__crew_map(const weft__crew *c, void **out, size_t size, int *fd);

/* Start a process for a worker that has none. 0 or an error. */
int weft__man_start(weft__man *m);

/* Its process has ended and was buried: forget it. */
void weft__man_forget(weft__man *m);

/* Tell it to end. Pre: locked, it has no job. */
void weft__man_quit(weft__man *m);
void weft__man_kill(weft__man *m, enum weft__kill why);

#endif
