/* compare_load.c - the clients of `weft compare`: one thread, a poller, plain sockets, with TLS a session on each.
 * Closed loop: each client sends its next request when it has the answer to the last one, as a user does who waits.
 * Measuring begins when all have come and have had an answer, as far as the server gives one; until then those who have
 * theirs ask now and then only. Else ten thousand would never come: the few that are there keep the server busy. */
#include "compare.h"

#include <weft/base.h>
#include <weft/poller.h>

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    EVENTS = 256,
    CONNECTS_AT_ONCE =
        64,    /* under way: more would overrun a server's queue, and the kernel tries again after a second */
    FINE = 32, /* buckets for each doubling of a time */
    BUCKETS = 40 * FINE
};

#define LOST_AFTER (WEFT_SECOND / 2)  /* a datagram; the server may need to start a process for it first */
#define PAUSE      (WEFT_SECOND / 2)  /* between two requests of who is there while others come */
#define TICK       (WEFT_SECOND / 32) /* how often both are looked for */
#define UNHEARD    (5 * WEFT_SECOND)  /* nor if nobody has come for so long: a lost SYN is sent anew after 1 and 3 s */
#define STUCK      WEFT_SECOND        /* nor, if the others are answered, who waits for a first answer for so long */

typedef struct client {
    int fd;
    bool connected, shaking, served;
    bool waits; /* for an answer */
    size_t got; /* bytes of the present answer */
    int64_t asked;
    weft_tls_session *tls; /* NULL: plain */
} client;

typedef struct run {
    enum compare_job job;
    struct sockaddr_in to;
    client *clients;
    unsigned n, started, connecting, online;
    enum stage {
        STAGE_COMING,
        STAGE_MEASURING,
        STAGE_LEAVING
    } stage;
    int64_t moved; /* when somebody last connected, went on with a handshake or had his first answer */
    weft_tls *tls;
    weft_poller *poller;
    int64_t look_at; /* for who has paused, and for datagrams that are lost */
    compare_load *out;
    uint64_t times[BUCKETS]; /* answers by how long they took */
} run;

const char compare_http_answer[] =
    "HTTP/1.1 200 OK\r\nServer: weft\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n"
    "\r\nHello, world\n";

const char *compare_request(enum compare_job job, size_t *size)
{
    static const char http[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    static const char line[COMPARE_LINE + 1] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.\n";
    *size = job == JOB_HTTP ? sizeof http - 1 : COMPARE_LINE;
    return job == JOB_HTTP ? http : line;
}

size_t compare_answer_size(enum compare_job job)
{
    return job == JOB_HTTP ? strlen(compare_http_answer) : COMPARE_LINE;
}

/* ---- times ---- */

static unsigned bucket_of(int64_t ns)
{
    uint64_t v = ns > 0 ? (uint64_t)ns : 1;
    if (v < FINE)
        return (unsigned)v;
    unsigned shift = 63 - (unsigned)__builtin_clzll(v) - 5;
    unsigned b = (shift + 1) * FINE + (unsigned)(v >> shift) - FINE;
    return b < BUCKETS ? b : BUCKETS - 1;
}

static int64_t value_of(unsigned bucket)
{
    if (bucket < FINE)
        return bucket;
    unsigned shift = bucket / FINE - 1;
    return (int64_t)((uint64_t)(FINE + bucket % FINE) << shift);
}

static int64_t percentile(const run *r, double share)
{
    uint64_t wanted = (uint64_t)(share * (double)r->out->answered), seen = 0;
    for (unsigned i = 0; i < BUCKETS; i++) {
        seen += r->times[i];
        if (seen > wanted || (seen > 0 && seen == r->out->answered))
            return value_of(i);
    }
    return 0;
}

/* ---- a client ---- */

static void drop(run *r, client *c)
{
    struct linger reset = {1, 0}; /* no thousand sockets that linger after each step */
    if (c->tls != NULL)
        weft_tls_session_close(c->tls);
    c->tls = NULL;
    c->shaking = c->waits = false;
    (void)weft_poller_unregister(r->poller, c->fd);
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(c->fd);
    c->fd = -1;
    if (c->connected)
        r->online--;
    else
        r->connecting--;
}

static void lose(run *r, client *c)
{
    if (c->served)
        r->out->broken++;
    else
        r->out->refused++;
    drop(r, c);
}

static ssize_t wire_recv(void *owner, void *buf, size_t size)
{
    ssize_t n = recv(((client *)owner)->fd, buf, size, 0);
    return n < 0 ? -errno : n;
}

static ssize_t wire_send(void *owner, const void *data, size_t size)
{
    ssize_t n = send(((client *)owner)->fd, data, size, MSG_NOSIGNAL);
    return n < 0 ? -errno : n;
}

/* A request is small beside the room that a connection without answers has. */
static bool send_all(client *c, const char *data, size_t size)
{
    if (c->tls == NULL)
        return send(c->fd, data, size, MSG_NOSIGNAL) == (ssize_t)size;
    return weft_tls_session_send(c->tls, data, size) == (ssize_t)size && weft_tls_session_flush(c->tls) == 0;
}

static void ask(run *r, client *c)
{
    size_t size;
    const char *request = compare_request(r->job, &size);
    c->asked = weft_now();
    c->got = 0;
    c->waits = true;
    if (!send_all(c, request, size))
        lose(r, c);
    else
        r->out->sent++;
}

static void start(run *r, client *c)
{
    int one = 1;
    int type = r->job == JOB_UDP ? SOCK_DGRAM : SOCK_STREAM;
    c->fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) {
        r->out->refused++;
        return;
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    r->connecting++;
    if ((connect(c->fd, (struct sockaddr *)&r->to, sizeof r->to) < 0 && errno != EINPROGRESS) ||
        weft_poller_register(r->poller, c->fd, WEFT_POLLOUT, c) < 0)
        lose(r, c);
}

/* The handshake goes on; after it the first request. */
static void shake(run *r, client *c)
{
    int err = weft_tls_session_handshake(c->tls);
    r->moved = weft_now();
    if (err == -EAGAIN && !weft_tls_session_unsent(c->tls))
        return;
    if (err != 0) {
        lose(r, c);
        return;
    }
    c->shaking = false;
    if (r->out->tls[0] == 0)
        snprintf(r->out->tls, sizeof r->out->tls, "%s %s", weft_tls_session_version(c->tls),
                 weft_tls_session_cipher(c->tls));
    ask(r, c);
}

static void begin(run *r, client *c)
{
    static const weft_tls_wire wire = {wire_recv, wire_send};
    if (r->tls == NULL) {
        ask(r, c);
        return;
    }
    c->shaking = true;
    if (weft_tls_session_open(&c->tls, r->tls, "localhost", &wire, c) < 0)
        lose(r, c);
    else
        shake(r, c);
}

static void connected(run *r, client *c)
{
    int err = 0;
    socklen_t size = sizeof err;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &size);
    if (err != 0 || weft_poller_modify(r->poller, c->fd, WEFT_POLLIN, c) < 0) {
        lose(r, c);
        return;
    }
    c->connected = true;
    r->moved = weft_now();
    r->connecting--;
    r->online++;
    if (r->online > r->out->online)
        r->out->online = r->online;
    begin(r, c);
}

/* The answer is whole. One that comes after the end has come, but is not of the time that is measured. */
static void answered(run *r, client *c)
{
    int64_t now = weft_now(), took = now - c->asked;
    c->waits = false;
    if (r->stage == STAGE_LEAVING)
        return;
    r->times[bucket_of(took)]++;
    if (took > r->out->most)
        r->out->most = took;
    r->out->answered++;
    if (!c->served) {
        c->served = true;
        r->out->served++;
        r->moved = now;
    }
    if (r->stage == STAGE_MEASURING)
        ask(r, c);
}

/* A part of an answer. False: there is none. */
static bool receive(run *r, client *c)
{
    char bytes[4096];
    ssize_t n = c->tls != NULL ? weft_tls_session_recv(c->tls, bytes, sizeof bytes) : wire_recv(c, bytes, sizeof bytes);
    if (n == -EAGAIN || (n < 0 && r->job == JOB_UDP)) /* refused, say: see look_around */
        return false;
    if (r->job == JOB_UDP && !c->waits)
        return false; /* what was asked twice is answered twice */
    size_t whole = compare_answer_size(r->job);
    if (n <= 0 || c->got + (size_t)n > whole || (c->got == 0 && bytes[0] == '!')) { /* '!': it says that it is full */
        lose(r, c);
        return false;
    }
    c->got += (size_t)n;
    if (c->got < whole)
        return c->tls != NULL;
    answered(r, c);
    return c->tls != NULL; /* what it has taken from the socket, no event tells of */
}

static void happened(run *r, client *c)
{
    if (!c->connected)
        connected(r, c);
    else if (c->shaking)
        shake(r, c);
    else
        while (c->fd >= 0 && receive(r, c))
            ;
}

/* ---- all of them ---- */

/* While others come, who has paused asks again, so that his connection is in use; who has none is silent, and leaves
 * the server's queue to those who have had no answer. Datagrams that have none are sent again, a few at a time: all
 * that were lost together would not find room together either. */
static void look_around(run *r)
{
    int64_t now = weft_now();
    unsigned again = 0;
    for (unsigned i = 0; i < r->started && again < CONNECTS_AT_ONCE; i++) {
        client *c = &r->clients[i];
        if (c->fd < 0 || !c->connected || c->shaking)
            continue;
        if (!c->waits && r->stage == STAGE_COMING && r->job != JOB_UDP && now - c->asked >= PAUSE) {
            ask(r, c);
        } else if (c->waits && r->job == JOB_UDP && now - c->asked >= LOST_AFTER) {
            r->out->lost++;
            again++;
            ask(r, c);
        }
    }
    r->look_at = now + TICK;
}

/* All have come: nobody pauses any more. */
static void begin_measuring(run *r)
{
    r->stage = STAGE_MEASURING;
    for (unsigned i = 0; i < r->started; i++) {
        client *c = &r->clients[i];
        if (c->fd >= 0 && c->connected && !c->shaking && !c->waits)
            ask(r, c);
    }
}

static void raise_limit(unsigned n)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= n)
        return;
    limit.rlim_cur = limit.rlim_max < n ? limit.rlim_max : n;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* Nor has anybody else an answer from the server: it is late, and has not left out those who wait for their first. */
static bool is_late(const run *r)
{
    int64_t before = weft_now() - PAUSE;
    for (unsigned i = 0; i < r->started; i++) {
        const client *c = &r->clients[i];
        if (c->fd >= 0 && c->served && c->waits && c->asked <= before)
            return true;
    }
    return r->out->served == 0;
}

/* Somebody is on his way. Who waits in the server's line, for a handshake or an answer that is not begun, is not. */
static bool are_coming(const run *r)
{
    if (r->out->served + r->out->refused >= r->n)
        return false;
    int64_t still = weft_now() - r->moved;
    bool may_be_lost = r->started < r->n || r->connecting > 0 || r->job == JOB_UDP; /* and more than once */
    return still < STUCK || (still < UNHEARD && (may_be_lost || is_late(r)));
}

/* Datagrams whose answers may still come. */
static bool are_leaving(const run *r)
{
    for (unsigned i = 0; i < r->started; i++)
        if (r->clients[i].fd >= 0 && r->clients[i].waits)
            return true;
    return false;
}

static bool goes_on(const run *r)
{
    return r->stage == STAGE_MEASURING || (r->stage == STAGE_COMING ? are_coming(r) : are_leaving(r));
}

/* Until `end`, or until there is nothing to wait for in this stage. */
static int go(run *r, weft_until end)
{
    weft_poll_event events[EVENTS];
    while (weft_left(end) > 0 && goes_on(r)) {
        while (r->started < r->n && r->connecting < CONNECTS_AT_ONCE)
            start(r, &r->clients[r->started++]);
        bool looks = r->stage == STAGE_COMING || (r->stage == STAGE_MEASURING && r->job == JOB_UDP);
        if (looks && weft_now() >= r->look_at)
            look_around(r);
        weft_until until = looks && r->look_at < end.at ? (weft_until){r->look_at} : end;
        int n = weft_poller_wait(r->poller, events, EVENTS, until);
        if (n == -ETIMEDOUT)
            continue;
        if (n < 0)
            return n;
        for (int i = 0; i < n; i++) {
            client *c = events[i].data;
            if (c->fd == events[i].fd)
                happened(r, c);
        }
    }
    return 0;
}

/* A datagram that was sent at the end has its time too; what has no answer then is lost. */
static int count_lost(run *r)
{
    r->stage = STAGE_LEAVING;
    int err = go(r, weft_in(LOST_AFTER));
    for (unsigned i = 0; i < r->started; i++)
        r->out->lost += r->clients[i].fd >= 0 && r->clients[i].waits;
    return err;
}

static int go_all(run *r, int64_t duration, void (*begun)(void *arg), void *arg)
{
    compare_load *l = r->out;
    int64_t begin = weft_now();
    r->moved = begin;
    int err = go(r, weft_in(COMPARE_COMING));
    if (err < 0)
        return err;
    l->whole_answered = l->answered;
    l->answered = l->sent = l->lost = 0;
    l->most = 0;
    memset(r->times, 0, sizeof r->times);
    begun(arg);
    int64_t from = weft_now();
    int64_t idle = l->served + l->refused < r->n ? from - r->moved : 0; /* nobody was served: no time of the server's */
    begin_measuring(r);
    if (r->job != JOB_UDP)
        l->sent = 0; /* those of the first moment: as many have no answer at the end; but datagrams are lost by then */
    err = go(r, (weft_until){from + duration});
    l->took = weft_now() - from;
    l->whole_took = weft_now() - begin - idle;
    l->whole_answered += l->answered;
    if (err == 0 && r->job == JOB_UDP)
        err = count_lost(r);
    l->held = l->served - l->broken; /* nobody comes back */
    return err;
}

int compare_clients(const compare_result *result, unsigned port, unsigned clients, void (*begun)(void *arg), void *arg,
                    compare_load *out)
{
    run *r = calloc(1, sizeof *r);
    if (r == NULL)
        return -ENOMEM;
    *out = (compare_load){.clients = clients};
    r->job = result->job;
    r->n = clients;
    r->out = out;
    r->to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    r->to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    raise_limit(clients + 64);
    r->clients = calloc(clients, sizeof *r->clients);
    int err = r->clients != NULL ? 0 : -ENOMEM;
    if (err == 0 && result->tls)
        err = weft_tls_new(&r->tls, WEFT_TLS_CLIENT, &(weft_tls_options){.ca_text = result->certificate});
    if (err == 0)
        err = weft_poller_open(&r->poller, "epoll");
    if (err == 0) {
        err = go_all(r, result->duration, begun, arg);
        for (unsigned i = 0; i < r->started; i++)
            if (r->clients[i].fd >= 0)
                drop(r, &r->clients[i]);
        out->p50 = percentile(r, 0.5);
        out->p90 = percentile(r, 0.9);
        out->p99 = percentile(r, 0.99);
        out->p999 = percentile(r, 0.999);
        weft_poller_close(r->poller);
    }
    weft_tls_free(r->tls);
    free(r->clients);
    free(r);
    return err;
}
