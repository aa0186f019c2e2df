/* compare_serve.c - one step of `weft compare`: a server and its clients, in two processes of their own, so that each
 * model begins afresh, may have its own poller, and what it uses can be told from what the clients use.
 *
 * The server's process says on one pipe where it listens; when the other is closed it stops, and says what it has used
 * in between: getrusage of itself, and of the children that it has waited for. Memory is looked at from outside, in the
 * middle. */
#include "cmd.h"
#include "compare.h"

#include <weft/co.h>
#include <weft/packet.h>
#include <weft/process.h>
#include <weft/server.h>

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    PRIMES_BELOW = 3000, /* job cpu: some tenths of a millisecond */
    WAIT_MS = 5          /* job io: as a database would take */
};

/* ---- the handler: the same under every model ---- */

static unsigned count_primes(unsigned below)
{
    unsigned found = 0;
    for (unsigned n = 2; n < below; n++) {
        unsigned d = 2;
        while (d * d <= n && n % d != 0)
            d++;
        found += d * d > n;
    }
    return found;
}

static int answer(weft_conn *c, enum compare_job job, const void *request)
{
    volatile unsigned primes;
    switch (job) {
    case JOB_HTTP:
        return weft_conn_write(c, compare_http_answer, strlen(compare_http_answer));
    case JOB_CPU:
        primes = count_primes(PRIMES_BELOW);
        (void)primes;
        break;
    case JOB_IO:
        weft_sleep(weft_in_ms(WAIT_MS));
        break;
    default:
        break;
    }
    return weft_conn_write(c, request, COMPARE_LINE);
}

static int handler(weft_conn *c, void *arg)
{
    enum compare_job job = *(enum compare_job *)arg;
    size_t size;
    const void *view;
    compare_request(job, &size);
    ssize_t n = weft_conn_fill(c, 0, &view, WEFT_FOREVER);
    while (n > 0 && (size_t)n < size)
        n = weft_conn_fill(c, (size_t)n, &view, WEFT_FOREVER);
    if (n <= 0)
        return WEFT_CONN_CLOSE;
    weft_conn_busy(c, 1);
    char request[COMPARE_LINE];
    memcpy(request, view, (size_t)n < sizeof request ? (size_t)n : sizeof request);
    weft_conn_consume(c, size);
    return answer(c, job, request) < 0 ? WEFT_CONN_CLOSE : WEFT_CONN_IDLE;
}

static void packet_handler(weft_packet *p, void *arg)
{
    (void)arg;
    (void)weft_packet_answer(p, p->data, p->size);
}

static size_t refuse(char *text, size_t size, void *arg)
{
    (void)arg;
    if (size > 0)
        text[0] = '!';
    return size > 0;
}

/* ---- pipes ---- */

static void close_end(int *end)
{
    if (*end >= 0)
        close(*end);
    *end = -1;
}

static void close_pipe(int ends[2])
{
    close_end(&ends[0]);
    close_end(&ends[1]);
}

/* Whether something comes in time, be it the end. */
static bool comes(int fd, int64_t within)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int64_t ms = within / WEFT_MS + 1;
    return poll(&p, 1, ms < INT_MAX ? (int)ms : INT_MAX) > 0;
}

/* So many bytes, if they come in time: 0, -ETIMEDOUT, or -EPIPE: who was to write them is gone. */
static int read_all(int fd, void *to, size_t size, int64_t within)
{
    weft_until until = weft_in(within);
    for (size_t got = 0; got < size;) {
        int64_t left = weft_left(until);
        if (left == 0 || !comes(fd, left))
            return -ETIMEDOUT;
        ssize_t n = read(fd, (char *)to + got, size - got);
        if (n <= 0)
            return -EPIPE;
        got += (size_t)n;
    }
    return 0;
}

/* ---- the server's process ---- */

typedef struct task {
    const compare_result *result;
    compare_model *model;
    unsigned threads, processes, clients;
    int report[2], stop[2], loads[2];
    unsigned port;
} task;

typedef struct hello {
    int error;
    unsigned port, capacity;
} hello;

static int64_t ns_of(struct timeval t)
{
    return (int64_t)t.tv_sec * WEFT_SECOND + t.tv_usec * WEFT_US;
}

static void add_usage(int who, compare_use *use)
{
    struct rusage u;
    if (getrusage(who, &u) != 0)
        return;
    use->cpu += ns_of(u.ru_utime) + ns_of(u.ru_stime);
    use->switches += (uint64_t)u.ru_nvcsw + (uint64_t)u.ru_nivcsw;
}

static int serve(void *arg)
{
    task *t = arg;
    enum compare_job job = t->result->job;
    char byte;
    hello h = {0};
    weft_server *s = NULL;
    weft_tls *tls = NULL;
    close(t->stop[1]);
    close_pipe(t->loads); /* that its clients are gone can be seen only where nobody else holds their pipe */
    weft_server_options o = {
        .handler = handler,
        .arg = &job,
        .model = t->model->name,
        .threads = t->threads,
        .processes = strcmp(t->model->name, "process") == 0 ? 0 : t->processes,
        .on_refuse = refuse,
        .idle_timeout = -1,
        .handshake_timeout = -1,
    };
    if (job == JOB_UDP) {
        o.packet.handler = packet_handler;
        o.handler = NULL;
        o.on_refuse = NULL;
    }
    if (t->result->tls)
        h.error =
            weft_tls_new(&tls, WEFT_TLS_SERVER,
                         &(weft_tls_options){.certificate_text = t->result->certificate, .key_text = t->result->key});
    o.tls = tls;
    if (h.error == 0)
        h.error = weft_server_open(&s, &o);
    if (h.error == 0)
        h.error = weft_server_start(s);
    if (h.error == 0) {
        h.port = weft_server_port(s);
        h.capacity = weft_server_capacity(s);
    }
    compare_use before = {0}, use = {0};
    add_usage(RUSAGE_SELF, &before);
    if (write(t->report[1], &h, sizeof h) != (ssize_t)sizeof h || h.error != 0)
        return 1;
    while (read(t->stop[0], &byte, 1) < 0 && errno == EINTR)
        continue;
    add_usage(RUSAGE_SELF, &use); /* before it stops: to start and to stop a thousand threads is not to serve */
    use.cpu -= before.cpu;
    use.switches -= before.switches;
    weft_server_stop(s, weft_in_ms(200));
    weft_server_wait(s, weft_in_seconds(5));
    weft_server_close(s);
    weft_tls_free(tls);
    add_usage(RUSAGE_CHILDREN, &use); /* of those only as a whole, when they have ended */
    return write(t->report[1], &use, sizeof use) == (ssize_t)sizeof use ? 0 : 1;
}

/* ---- what its processes hold ---- */

/* The number behind `key` in a file of /proc, 0 when it cannot be told. */
static uint64_t number_in(const char *path, const char *key)
{
    char line[256];
    uint64_t value = 0;
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return 0;
    while (fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, key, strlen(key)) == 0)
            value = strtoull(line + strlen(key), NULL, 10);
    fclose(f);
    return value;
}

static void add_process(pid_t pid, compare_use *use)
{
    char path[64], name[16];
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
    uint64_t kib = number_in(path, "Pss:");
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    if (kib == 0)
        kib = number_in(path, "VmRSS:");
    use->memory += kib * 1024;
    use->threads += (unsigned)number_in(path, "Threads:");
    use->processes++;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return;
    while (fscanf(f, "%15s", name) == 1)
        add_process((pid_t)atoi(name), use);
    fclose(f);
}

/* ---- the clients' process ---- */

static void tell_begun(void *arg)
{
    task *t = arg;
    (void)!write(t->loads[1], "b", 1);
}

static int load(void *arg)
{
    task *t = arg;
    compare_load l;
    close(t->stop[1]); /* the server waits for the last copy to go */
    int err = compare_clients(t->result, t->port, t->clients, tell_begun, t, &l);
    return err == 0 && write(t->loads[1], &l, sizeof l) == (ssize_t)sizeof l ? 0 : 1;
}

/* ---- a step ---- */

/* Why a process has said nothing: it has ended by itself. */
static int explain(compare_step *step, const char *who, int code)
{
    if (code < 0)
        snprintf(step->why, sizeof step->why, "the %s ended by signal %d (%s)", who, -code, strsignal(-code));
    else
        snprintf(step->why, sizeof step->why, "the %s ended with status %d", who, code);
    return -EPIPE;
}

static int load_it(task *t, pid_t server, compare_step *step)
{
    weft_process clients = WEFT_PROCESS_INIT;
    int code = 0;
    int err = weft_process_start(&clients, load, t, &(weft_process_options){.name = "clients", .daemon = 1});
    if (err < 0)
        return err;
    close_end(&t->loads[1]);
    compare_use held = {0};
    char begun;
    err = read_all(t->loads[0], &begun, 1, COMPARE_COMING + 30 * WEFT_SECOND);
    if (err == 0) {
        (void)comes(t->loads[0], t->result->duration * 3 / 4); /* not in that time, as long as they live */
        add_process(server, &held);
        err = read_all(t->loads[0], &step->load, sizeof step->load, t->result->duration + 30 * WEFT_SECOND);
    }
    step->use = held;
    if (err != -EPIPE)
        weft_process_kill(&clients);
    weft_process_join(&clients, &code, WEFT_FOREVER);
    weft_process_close(&clients);
    return err == -EPIPE ? explain(step, "clients", code) : err;
}

static int run_step(task *t, compare_step *step)
{
    weft_process server = WEFT_PROCESS_INIT;
    hello h;
    compare_use used;
    int code = 0;
    int err = weft_process_start(&server, serve, t, &(weft_process_options){.name = "server", .daemon = 1});
    if (err < 0)
        return err;
    close_end(&t->report[1]);
    err = read_all(t->report[0], &h, sizeof h, 30 * WEFT_SECOND);
    bool dumb = err == -EPIPE;
    if (err == 0)
        err = h.error;
    if (err == 0) {
        t->port = h.port;
        t->model->capacity = h.capacity;
        err = load_it(t, weft_process_pid(&server), step);
    }
    close_end(&t->stop[1]);
    if (err == 0) {
        err = read_all(t->report[0], &used, sizeof used, 30 * WEFT_SECOND);
        dumb = err == -EPIPE;
    }
    if (err == 0) {
        step->use.cpu = used.cpu;
        step->use.switches = used.switches;
    }
    if (weft_process_join(&server, &code, weft_in_seconds(10)) != 0) {
        weft_process_kill(&server);
        weft_process_join(&server, NULL, WEFT_FOREVER);
    }
    weft_process_close(&server);
    return dumb || code < 0 ? explain(step, "server", code) : err; /* its end is why the clients had none */
}

void compare_run(const compare_result *r, compare_model *m, unsigned step, unsigned threads, unsigned processes)
{
    task t = {.result = r,
              .model = m,
              .threads = threads,
              .processes = processes,
              .clients = r->clients[step],
              .report = {-1, -1},
              .stop = {-1, -1},
              .loads = {-1, -1}};
    compare_step *s = &m->steps[step];
    if (pipe(t.report) < 0 || pipe(t.stop) < 0 || pipe(t.loads) < 0)
        s->error = -errno;
    else
        s->error = run_step(&t, s);
    if (s->error != 0 && s->why[0] == 0)
        snprintf(s->why, sizeof s->why, "%s", weft_strerror(s->error));
    s->done = true;
    close_pipe(t.report);
    close_pipe(t.stop);
    close_pipe(t.loads);
}
