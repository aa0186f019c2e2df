/* load_loop.c - a thread's event loop: gives requests to connections, by schedule or as answers come; looks after
 * time-outs; counts until the time is over, and waits for what is still under way.
 *
 * Closed loop: a connection gets a request when it has its answer. A server that pauses is then asked less, and the
 * requests that it would have kept waiting never exist: hence the open loop. There a request is due by the clock; it is
 * given to the connection that has been free the longest, or waits until one is; and its corrected latency begins
 * when it was due. What is due before the end is sent also after it, and gets the time-out's time to be answered. */
#include "load.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

enum {
    EVENTS = 256,
    OPENING_AT_ONCE = 256
};

#define NEVER (INT64_MAX / 4)

uint64_t load_interrupted;

static struct {
    weft_barrier tried, go;
    int64_t begin; /* 0: nothing could be reached */
} start;

/* ---- who gets a request ---- */

static void put_free(load_worker *w, load_conn *c)
{
    if (c->in_free || c->count >= load_opt.depth)
        return;
    c->in_free = true;
    c->next_free = NULL;
    *w->free_last = c;
    w->free_last = &c->next_free;
}

static load_conn *take_free(load_worker *w)
{
    load_conn *c = w->free_first;
    if (c == NULL)
        return NULL;
    w->free_first = c->next_free;
    if (w->free_first == NULL)
        w->free_last = &w->free_first;
    c->in_free = false;
    return c;
}

void load_conn_is_free(load_worker *w, load_conn *c, int64_t now)
{
    if (!w->running || w->ending)
        return;
    if (load_opt.rate > 0) {
        put_free(w, c);
        return;
    }
    if (c->count > load_opt.depth / 2)
        return; /* so that several go out together */
    unsigned n = load_opt.depth - c->count;
    if (n > w->budget - w->given)
        n = (unsigned)(w->budget - w->given);
    for (unsigned i = 0; i < n; i++)
        load_conn_give(w, c, now, now);
    if (n > 0)
        load_conn_push(w, c, now);
}

static int64_t next_due(const load_worker *w)
{
    return w->scheduled < w->budget ? w->begin + (int64_t)((double)w->scheduled * w->interval) : NEVER;
}

/* Open loop: everything that is due goes to a connection, as long as one is free. */
static void give_due(load_worker *w, int64_t now)
{
    for (int64_t due; (due = next_due(w)) <= now && due < w->end;) {
        load_conn *c = take_free(w);
        if (c == NULL) {
            w->starved = now;
            return;
        }
        w->waited += due <= w->starved;
        w->scheduled++;
        load_conn_give(w, c, due, now);
        put_free(w, c);
        load_conn_push(w, c, now);
    }
}

/* ---- time ---- */

/* Open loop, and the time for late answers is over: whatever is due and has no answer has waited in vain. */
static void give_up(load_worker *w, int64_t now)
{
    w->ending = true;
    for (unsigned i = 0; i < w->connections; i++)
        if (w->conns[i].count > 0)
            load_conn_fail(w, &w->conns[i], LOAD_ERROR_TIMEOUT, now);
    for (int64_t due; (due = next_due(w)) < w->end && due <= now; w->scheduled++) {
        load_hist_add(&w->corrected, now - due);
        load_count(&w->errors[LOAD_ERROR_TIMEOUT], 1);
    }
}

/* Look at every connection: which waits too long, which may be tried again. */
static void look(load_worker *w, int64_t now)
{
    int64_t pause = load_opt.timeout / 20;
    w->next_look = now + (pause < WEFT_MS ? WEFT_MS : pause > 100 * WEFT_MS ? 100 * WEFT_MS : pause);
    for (unsigned i = 0; i < w->connections; i++) {
        load_conn *c = &w->conns[i];
        if (c->count > 0 && now - c->ring[c->first].given >= load_opt.timeout)
            load_conn_fail(w, c, LOAD_ERROR_TIMEOUT, now);
        if (c->state == LOAD_OPENING && c->count == 0 && now - c->since >= load_opt.timeout) {
            w->connect_errno = ETIMEDOUT;
            load_conn_fail(w, c, LOAD_ERROR_CONNECT, now);
        }
        if (load_opt.rate == 0 && c->state == LOAD_SHUT && c->count == 0 && c->again != 0 && now >= c->again) {
            c->again = 0;
            load_conn_is_free(w, c, now);
        }
        if (c->queued)
            load_conn_open(w, c, now);
    }
}

static void end_window(load_worker *w, int64_t now)
{
    w->window = (now < w->end ? now : w->end) - start.begin;
    w->window = w->window > 0 ? w->window : 1;
    w->counted = w->answered;
    w->counted_received = w->received;
    if (load_opt.rate == 0)
        w->ending = true;
}

/* Open loop: the time that belongs to the last request is of the run, also when it has its answer sooner: one a second
 * that is answered in a millisecond is not a thousand a second. NEVER while there are more to come. */
static int64_t ends_at(const load_worker *w)
{
    if (next_due(w) < w->end)
        return NEVER;
    if (w->scheduled == 0)
        return 0; /* others have them all */
    double last = (double)(w->scheduled - 1) * w->interval;
    int64_t at = w->begin + (int64_t)(last + w->interval / load_opt.threads);
    return at < w->end ? at : w->end;
}

static bool is_over(load_worker *w, int64_t now)
{
    bool all_given = load_opt.rate > 0 ? now >= ends_at(w) : w->ending || w->given >= w->budget;
    if (all_given && w->outstanding == 0)
        return true;
    if (load_opt.rate == 0 || now - load_opt.timeout < w->end)
        return false;
    give_up(w, now);
    return true;
}

static int64_t wake_at(const load_worker *w)
{
    int64_t at = w->next_look;
    if (w->window == 0 && w->end < at)
        at = w->end;
    if (load_opt.rate > 0 && w->free_first != NULL) {
        int64_t due = next_due(w);
        if (due < at && due < w->end)
            at = due;
    }
    if (load_opt.rate > 0 && w->outstanding == 0) {
        int64_t end = ends_at(w);
        at = end < at ? end : at;
    }
    return at;
}

/* ---- the loop ---- */

static void handle_events(load_worker *w, int64_t until)
{
    weft_poll_event events[EVENTS];
    int n = weft_poller_wait(w->poller, events, EVENTS, (weft_until){until});
    for (int i = 0; i < n; i++)
        load_conn_event(w, events[i].data, events[i].events);
}

void load_conn_was_tried(load_worker *w, load_conn *c)
{
    if (c->tried)
        return;
    c->tried = true;
    w->tried++;
    w->opened += c->state == LOAD_OPEN;
}

/* Before the clock runs: open the connections that will be kept. */
static void open_all(load_worker *w)
{
    int64_t give_up_at = weft_now() + load_opt.timeout;
    unsigned begun = 0;
    for (bool late = false; w->tried < w->connections && !late && load_read(&load_interrupted) == 0;) {
        for (; begun < w->connections && begun - w->tried < OPENING_AT_ONCE; begun++)
            load_conn_open(w, &w->conns[begun], weft_now());
        late = weft_now() >= give_up_at;
        w->next_look = weft_now() + 50 * WEFT_MS;
        unsigned queued = w->any_queued ? begun : 0;
        w->any_queued = false; /* those that are queued again say so */
        for (unsigned i = 0; i < queued; i++)
            if (w->conns[i].queued)
                load_conn_open(w, &w->conns[i], weft_now());
        if (w->tried < begun)
            handle_events(w, w->next_look);
    }
}

static void measure(load_worker *w)
{
    w->running = true;
    w->starved = INT64_MIN;
    int64_t now = weft_now();
    for (unsigned i = 0; i < w->connections; i++)
        load_conn_is_free(w, &w->conns[i], now);
    while (load_read(&load_interrupted) == 0) {
        now = weft_now();
        if (w->window == 0 && now >= w->end)
            end_window(w, now);
        if (load_opt.rate > 0)
            give_due(w, now);
        if (is_over(w, now))
            break;
        handle_events(w, wake_at(w));
        if (now >= w->next_look)
            look(w, weft_now()); /* after the events: an answer that is there already is in time */
    }
    if (w->window == 0)
        end_window(w, weft_now());
}

static int64_t own_cpu(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * WEFT_SECOND + t.tv_nsec;
}

static int run_worker(void *arg)
{
    load_worker *w = arg;
    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0); /* a schedule is kept to the microsecond */
    if (load_opt.keep_alive)
        open_all(w);
    weft_barrier_wait(&start.tried, WEFT_FOREVER);
    weft_barrier_wait(&start.go, WEFT_FOREVER);
    if (start.begin != 0) {
        w->begin = start.begin;
        w->end = w->begin + load_opt.duration;
        if (load_opt.rate > 0) {
            w->interval = 1e9 * load_opt.threads / load_opt.rate;
            w->begin += (int64_t)(w->interval * w->index / load_opt.threads);
        }
        int64_t cpu = own_cpu();
        measure(w);
        w->cpu = own_cpu() - cpu;
    }
    for (unsigned i = 0; i < w->connections; i++) {
        load_conn_shut(w, &w->conns[i]);
        load_tls_forget(&w->conns[i]);
    }
    return 0;
}

/* ---- all of them ---- */

static void free_worker(load_worker *w)
{
    for (unsigned i = 0; i < w->connections && w->conns != NULL; i++)
        free(w->conns[i].part);
    free(w->rings);
    free(w->conns);
    weft_poller_close(w->poller);
}

static int make_worker(load_worker **out, unsigned index, unsigned n)
{
    load_worker *w = calloc(1, sizeof *w);
    if (w == NULL)
        return -ENOMEM;
    *out = w;
    w->index = index;
    w->connections = load_opt.connections / n + (index < load_opt.connections % n);
    w->budget = load_opt.requests == 0 ? UINT64_MAX : load_opt.requests / n + (index < load_opt.requests % n);
    w->free_last = &w->free_first;
    w->conns = calloc(w->connections, sizeof *w->conns);
    w->rings = calloc((size_t)w->connections * load_opt.depth, sizeof *w->rings);
    int err = w->conns == NULL || w->rings == NULL ? -ENOMEM : weft_poller_open(&w->poller, NULL);
    if (err < 0) {
        free(w->rings);
        free(w->conns);
        return err;
    }
    for (unsigned i = 0; i < w->connections; i++) {
        load_conn *c = &w->conns[i];
        c->fd = -1;
        c->ring = w->rings + (size_t)i * load_opt.depth;
        c->scan.no_body = load_opt.no_body;
    }
    return 0;
}

/* Tell the workers when to begin, or that nothing could be reached; then look in on them until they have ended. */
static int watch_workers(load_worker **workers, unsigned n, void (*tick)(load_worker **, unsigned, int64_t))
{
    unsigned opened = 0;
    int err = 0;
    weft_barrier_wait(&start.tried, WEFT_FOREVER);
    for (unsigned i = 0; i < n; i++) {
        opened += workers[i]->opened;
        if (workers[i]->connect_errno != 0)
            err = -workers[i]->connect_errno;
    }
    bool reached = opened > 0 || !load_opt.keep_alive;
    start.begin = reached && load_read(&load_interrupted) == 0 ? weft_now() : 0;
    weft_barrier_wait(&start.go, WEFT_FOREVER);
    for (unsigned i = 0; i < n;) {
        if (weft_thread_join(&workers[i]->thread, NULL, weft_in(load_opt.tick)) == -ETIMEDOUT)
            tick(workers, n, start.begin);
        else
            i++;
    }
    return reached ? 0 : load_read(&load_interrupted) != 0 ? -ECANCELED : err != 0 ? err : -ETIMEDOUT;
}

int load_run(load_worker **workers, unsigned n, void (*tick)(load_worker **workers, unsigned n, int64_t begin))
{
    unsigned made = 0;
    int err = 0;
    while (made < n && err == 0)
        err = make_worker(&workers[made], made, n) < 0 ? -ENOMEM : (made++, 0);
    weft_barrier_init(&start.tried, n + 1, NULL);
    weft_barrier_init(&start.go, n + 1, NULL);
    for (unsigned i = 0; i < made && err == 0; i++) {
        err = weft_thread_start(&workers[i]->thread, run_worker, workers[i],
                                &(weft_thread_options){.name = "load", .daemon = 1});
        if (err < 0)
            exit(cmd_usage(LOAD_COMMAND, "%u threads cannot be started: %s", n, weft_strerror(err)));
    }
    if (err == 0)
        err = watch_workers(workers, n, tick);
    for (unsigned i = 0; i < made; i++)
        free_worker(workers[i]);
    return err;
}
