/* server.c - the server as its owner sees it: options, open, start, wait, stop, close, counts.
 *
 * Life: OPEN -> RUNNING -> ENDED, in s->state, which weft_server_wait sleeps on. A server that never started goes from
 * OPEN to ENDED by stop or close. `stopping` and `grace` only ever go one way (up, earlier), so asking again is safe;
 * the model's keepers carry the stop out and the last of them stores ENDED. Pinned by tests/serve/server_test.c.
 */
#include "io/tls.h"
#include "serve/per_address.h"
#include "serve/processes.h"

#include <weft/co.h>
#include <weft/poller.h>

#include "co/host.h"
#include "park/park.h"
#include "sys/sys.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>

enum {
    BACKLOG_DEFAULT = 4096,
    BUFFER_DEFAULT = 64 * 1024,
    INPUT_MOST = 1 << 30, /* what is unread is counted in 32 bits */
    OUTPUT_MOST = 1 << 20,
    SELECT_MOST = 960,  /* select watches descriptors below 1024 only */
    LINE_DEFAULT = 128, /* clients that may stand in line for fixed threads */
    PREFORK_DEFAULT = 8,
    PROCESSES_MOST = 1024,
    SINGLE_DEFAULT = 512 /* processes, a client each */
};

static const weft__model *const threaded[] = {&weft__model_thread, &weft__model_pool, &weft__model_iterative};

static const char *const model_names[] = {"iterative", "process", "thread",   "prefork",   "pool",  "select",
                                          "poll",      "epoll",   "epoll-et", "coroutine", "uring", NULL};

const char *const *weft_server_models(void)
{
    return model_names;
}

/* What a process runs. */
static const weft__model *find_model(const char *name)
{
    if (name == NULL)
        return &weft__models_loop[0];
    if (strcmp(name, "process") == 0)
        return &weft__model_thread;
    if (strcmp(name, "prefork") == 0)
        return &weft__model_iterative;
    for (size_t i = 0; i < WEFT__MODELS_LOOP; i++)
        if (strcmp(weft__models_loop[i].name, name) == 0)
            return &weft__models_loop[i];
    for (size_t i = 0; i < WEFT__ARRAY_LEN(threaded); i++)
        if (strcmp(threaded[i]->name, name) == 0)
            return threaded[i];
    return NULL;
}

/* ---- open ---- */

static bool is_model(const weft_server_options *o, const char *name)
{
    return o->model != NULL && strcmp(o->model, name) == 0;
}

static int fill_processes(weft_server *s)
{
    weft_server_options *o = &s->options;
    s->inner = s->model;
    s->single = is_model(o, "process");
    if (o->processes > PROCESSES_MOST || (s->single && o->processes > 1))
        return -EINVAL;
    if (s->single)
        o->processes = 1;
    else if (o->processes == 0 && is_model(o, "prefork"))
        o->processes = PREFORK_DEFAULT;
    if (s->single && o->max_connections == 0)
        o->max_connections = SINGLE_DEFAULT;
    return 0;
}

/* How many threads and workers, and with them how many clients may stand in line. */
static void fill_threads(weft_server *s)
{
    weft_server_options *o = &s->options;
    s->nworkers = 1;
    if (o->threads == 0 || s->model == &weft__model_iterative)
        o->threads = s->model->threads;
    if (s->model->fixed && o->max_connections == 0)
        o->max_connections = o->threads + LINE_DEFAULT;
    if (!s->model->loops)
        return;
    if (o->threads > weft__sched_count())
        (void)weft_co_threads(o->threads); /* as many as there may be */
    unsigned most = weft__sched_count();
    s->nworkers = o->threads == 0 || o->threads > most ? most : o->threads;
}

/* Connections count in milliseconds of 32 bits: none at all would be over before it began, and a month is never. */
static int64_t fill_timeout(int64_t ns, int64_t normal)
{
    if (ns == 0)
        return normal;
    if (ns < 0 || WEFT__MS_OF(ns) > INT32_MAX)
        return -1;
    return ns < WEFT_MS ? WEFT_MS : ns;
}

static void fill_connections(weft_server *s)
{
    weft_server_options *o = &s->options;
    unsigned wanted = o->max_connections, more = WEFT__SEATS_MORE;
    /* A thread for each connection waits for an event of its own as well. */
    unsigned each = s->model->loops || s->model->fixed ? 1 : 2;
    if (!s->single) {
        o->max_connections = weft__listen_limit(wanted, s->nworkers, each);
        return;
    }
    /* Its supervisor holds two of each process, of those as well that are on their way out. */
    unsigned n = weft__listen_limit(wanted <= UINT_MAX - more ? wanted + more : wanted, s->nworkers, 2);
    unsigned held = n - (n / 8 < more ? n / 8 : more);
    if (held < wanted)
        o->max_connections = held;
}

/* Is it for the one socket that a Unix address has? */
static bool is_for_unix(const weft_server_options *o)
{
    weft__address a;
    if (o->listener_count > 0)
        return weft__sys_local(o->listeners[0], &a) == 0 && a.any.sa_family == AF_UNIX;
    return strncmp(o->host, "unix:", 5) == 0;
}

static int fill_packets(weft_server *s)
{
    bool one = s->options.threads == 0 && is_for_unix(&s->options);
    int err = weft__packet_options(s);
    if (err < 0)
        return err;
    fill_threads(s);
    if (one) /* several loops would handle one peer's datagrams at the same time: only for who asks for them */
        s->nworkers = 1;
    s->inner = s->model = weft__packet_model(s);
    return 0;
}

static int fill_options(weft_server *s, const weft_server_options *given)
{
    weft_server_options *o = &s->options;
    if (given == NULL || (given->handler == NULL) == (given->packet.handler == NULL) || given->port > 65535)
        return -EINVAL;
    if (given->tls != NULL && (given->handler == NULL || !weft__tls_serves(given->tls)))
        return -EINVAL;
    *o = *given;
    s->model = find_model(o->model);
    if (s->model == NULL)
        return -EINVAL;
    if (s->model->poller != NULL && o->poller != NULL && strcmp(s->model->poller, o->poller) != 0)
        return -EINVAL;
    if (s->model->poller != NULL)
        o->poller = s->model->poller;
    if (o->poller != NULL) {
        int err = weft_io_use(o->poller);
        if (err < 0)
            return err;
    }
    if (o->host == NULL)
        o->host = "127.0.0.1";
    else if (*o->host == 0)
        o->host = "0.0.0.0";
    if (o->backlog == 0)
        o->backlog = BACKLOG_DEFAULT;
    if (o->stack_size == 0)
        o->stack_size = s->model->stack_size;
    if (o->input_max == 0)
        o->input_max = BUFFER_DEFAULT;
    if (o->input_max > INPUT_MOST)
        o->input_max = INPUT_MOST;
    if (o->output_max == 0)
        o->output_max = BUFFER_DEFAULT;
    if (o->output_max > OUTPUT_MOST)
        o->output_max = OUTPUT_MOST;
    o->idle_timeout = fill_timeout(o->idle_timeout, (weft__is_packet(s) ? 10 : 60) * WEFT_SECOND);
    o->handshake_timeout = fill_timeout(o->handshake_timeout, 10 * WEFT_SECOND);
    o->write_timeout = fill_timeout(o->write_timeout, 30 * WEFT_SECOND);
    int err = fill_processes(s);
    if (err < 0)
        return err;
    if (weft__is_packet(s))
        return fill_packets(s);
    fill_threads(s);
    fill_connections(s);
    if (strcmp(weft_io_kind(), "select") == 0 && o->max_connections > SELECT_MOST)
        o->max_connections = SELECT_MOST;
    s->since_grain = 128;
    if (o->idle_timeout > 0 && o->idle_timeout < 1024 * WEFT_MS)
        s->since_grain = (uint32_t)(WEFT__MS_OF(o->idle_timeout) / 8);
    return 0;
}

void weft__worker_init(weft__worker *w, weft_server *s, unsigned index)
{
    memset(w, 0, offsetof(weft__worker, accepted));
    memset(&w->mail, 0, sizeof *w - offsetof(weft__worker, mail));
    w->server = s;
    w->index = index;
    w->spare_fd = -1;
    w->accept_again = w->tick_at = INT64_MAX;
    w->tally = &w->calls;
    w->let_in = &w->accepted;
    list_init(&w->waiting);
    list_init(&w->flushing);
    list_init(&w->lingering);
    list_init(&w->shaking);
    w->ready_end = &w->ready;
}

int weft_server_open(weft_server **out, const weft_server_options *options)
{
    weft_server *s = weft__calloc(1, sizeof(*s));
    if (s == NULL)
        return -ENOMEM;
    int err = fill_options(s, options);
    if (err < 0)
        goto fail_free;
    err = -ENOMEM;
    s->workers = weft__calloc(s->nworkers, sizeof(*s->workers));
    if (s->workers == NULL)
        goto fail_free;
    unsigned sockets = weft__sockets(s);
    s->listeners = weft__malloc(sockets * sizeof(*s->listeners));
    if (s->listeners == NULL)
        goto fail_workers;
    for (unsigned i = 0; i < s->nworkers; i++)
        weft__worker_init(&s->workers[i], s, i);
    for (unsigned i = 0; i < sockets; i++)
        s->listeners[i] = -1;
    s->epoch = weft__sys_now();
    s->grace = INT64_MAX;
    s->owner_fds[0] = -1;
    if (s->options.processes > 0) {
        s->model = &weft__model_processes;
        err = weft__processes_open(s);
        if (err < 0)
            goto fail_listeners;
    }
    err = -ENOMEM;
    if (s->options.max_per_address > 0 && !weft__is_packet(s)) {
        s->per_address = weft__per_address_new(s->options.max_per_address, s->front != NULL ? s->front->sets : 1);
        if (s->per_address == NULL)
            goto fail_processes;
    }
    err = weft__listen(s, sockets); /* last: sockets that are given are the caller's if it fails */
    if (err < 0)
        goto fail_per_address;
    s->options.host = s->options.model = s->options.poller = NULL;
    s->options.listeners = NULL;
    *out = s;
    return 0;
fail_per_address:
    weft__per_address_free(s->per_address);
fail_processes:
    weft__processes_close(s);
fail_listeners:
    weft__free(s->listeners);
fail_workers:
    weft__free(s->workers);
fail_free:
    weft__free(s);
    return err;
}

/* ---- run ---- */

int weft_server_start(weft_server *s)
{
    uint32_t seen = WEFT__SERVER_OPEN;
    if (!cas_seq_cst(&s->state, &seen, WEFT__SERVER_RUNNING))
        return -EALREADY;
    int err = s->model->start(s);
    if (err < 0) {
        int was = weft_shield(1);
        weft_server_stop(s, WEFT_NOW);
        (void)weft_server_wait(s, WEFT_FOREVER);
        weft_shield(was);
    }
    return err;
}

void weft__server_ended(weft_server *s)
{
    for (unsigned i = 0; i < s->nworkers; i++)
        weft__listen_close(s, i);
    /* After the store a waiter may free s: the wake uses its address only. */
    store_seq_cst(&s->state, WEFT__SERVER_ENDED);
    weft__wake(&s->state, UINT32_MAX, 0);
}

int weft_server_wait(weft_server *s, weft_until until)
{
    for (;;) {
        uint32_t state = load_seq_cst(&s->state);
        if (state == WEFT__SERVER_ENDED)
            return s->result;
        int err = weft__park(&s->state, state, until, 0, "server");
        if (err < 0)
            return err;
    }
}

/* Whether the calling thread is to run the only loop. Over io_uring what a loop has begun, closing included, ends only
 * while its thread is in the ring, and a host leaves it. */
static bool is_to_host(const weft_server *s)
{
    return s->options.run_here && load_relaxed(&s->state) == WEFT__SERVER_OPEN && weft__sched_self == NULL &&
           s->model->loops && s->nworkers == 1 && strcmp(weft_io_kind(), "uring") != 0;
}

int weft_server_run(weft_server *s, weft_until until)
{
    if (is_to_host(s) && weft__host_begin() == 0)
        s->hosted = true;
    int err = weft_server_start(s);
    if (err == 0 || err == -EALREADY)
        err = weft_server_wait(s, until);
    return err;
}

static void stop(weft_server *s, enum weft__stop how, int64_t grace)
{
    if (s->in_child)
        weft__processes_stop(s, how, grace);
    else
        weft__server_stop_here(s, how, grace);
}

void weft_server_stop(weft_server *s, weft_until grace)
{
    stop(s, WEFT__STOP_CLOSE, grace.at);
}

void weft_server_retire(weft_server *s, weft_until grace)
{
    add_seq_cst(&s->shared, 1);
    stop(s, WEFT__STOP_RETIRE, grace.at);
}

void weft__server_stop_here(weft_server *s, enum weft__stop how, int64_t grace)
{
    int64_t old = load_relaxed(&s->grace);
    while (grace < old && !cas_seq_cst(&s->grace, &old, grace)) {
    }
    uint32_t was = load_relaxed(&s->stopping);
    while (was < how && !cas_seq_cst(&s->stopping, &was, how)) {
    }
    uint32_t seen = WEFT__SERVER_OPEN;
    if (cas_seq_cst(&s->state, &seen, WEFT__SERVER_ENDED)) {
        weft__wake(&s->state, UINT32_MAX, 0);
        return;
    }
    if (seen == WEFT__SERVER_RUNNING)
        s->model->notify(s);
}

void weft_server_close(weft_server *s)
{
    if (s == NULL)
        return;
    weft_server_stop(s, WEFT_NOW);
    int was = weft_shield(1);
    (void)weft_server_wait(s, WEFT_FOREVER);
    weft_shield(was);
    for (unsigned i = 0; i < s->nworkers; i++) {
        weft__listen_close(s, i);
        weft__conn_slabs_free(&s->workers[i]);
    }
    weft__processes_close(s);
    weft__per_address_free(s->per_address);
    weft__free(s->listeners);
    weft__free(s->workers);
    weft__free(s);
}

/* ---- about it ---- */

unsigned weft_server_port(const weft_server *s)
{
    return weft__address_port(&s->address);
}

const char *weft_server_address(const weft_server *s)
{
    return s->address_text;
}

int weft_server_listeners(weft_server *s, int *fds, unsigned room)
{
    return weft__listen_lend(s, fds, room);
}

unsigned weft_server_capacity(const weft_server *s)
{
    const weft_server_options *o = &s->options;
    unsigned each = s->inner->fixed && o->threads < o->max_connections ? o->threads : o->max_connections;
    return o->processes > 1 ? each * o->processes : each;
}

/* A connection is open before it counts as accepted, and what became of it is counted before it is open no more. Read
 * in this order, a connection that counts as accepted is open, or the rest of its counts is there. */
void weft_server_get_stats(const weft_server *s, weft_server_stats *stats)
{
    const weft__worker *workers = s->front != NULL ? s->front->workers : s->workers;
    unsigned n = s->front != NULL ? s->front->sets * s->nworkers : s->nworkers;
    *stats = (weft_server_stats){0};
    for (unsigned i = 0; i < n; i++)
        stats->accepted += load_acquire(&workers[i].accepted);
    for (unsigned i = 0; i < n && s->front != NULL; i++)
        stats->open += load_acquire(&workers[i].open);
    if (s->front == NULL)
        stats->open = load_acquire(&s->open);
    for (unsigned i = 0; i < n; i++) {
        const weft__worker *w = &workers[i];
        stats->calls += load_relaxed(&w->calls);
        stats->timeouts += load_relaxed(&w->timeouts);
        stats->shed += load_relaxed(&w->shed);
        stats->refused += load_relaxed(&w->refused);
        stats->refused_address += load_relaxed(&w->refused_address);
        stats->cut += load_relaxed(&w->cuts);
        stats->handshakes += load_relaxed(&w->handshakes);
        stats->broken += load_relaxed(&w->broken);
    }
    if (s->front != NULL)
        stats->refused += load_relaxed(&s->front->refused);
}
