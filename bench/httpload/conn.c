/* conn.c - the connections of the load generator: open, send a batch, read responses whole, begin again. An echo
 * server's response is the batch itself, compared byte for byte.
 *
 * A response is parsed in full once and becomes the pattern. Later ones whose status, head length and Content-Length
 * bytes equal the pattern's skip the parsing; all others are parsed, so that no response is taken for what it is not.
 */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_SIZE    (256u * 1024)
#define ERRORS_AT_MOST 100000
#define PORTS_EACH     10000

struct head {
    unsigned len;
    int status;
    uint64_t body;
    bool close;
    unsigned length_at, length_digits; /* where the Content-Length value is */
};

static char buffer[BUFFER_SIZE];
static char pattern_bytes[HEAD_MAX];
static struct head pattern; /* len 0: not known yet */

static void count_error(uint64_t *counter)
{
    if (++*counter > ERRORS_AT_MOST)
        die(1, "more than %d errors of one kind; the server is gone or refuses us", ERRORS_AT_MOST);
}

/* --- delays --------------------------------------------------------------------------------------------------- */

static void delay_put(struct delay *d, struct conn *c)
{
    c->due = clock_ns() + d->ns;
    c->delay = d;
    TAILQ_INSERT_TAIL(&d->queue, c, link);
}

void delay_take(struct conn *c)
{
    if (c->delay != NULL) {
        TAILQ_REMOVE(&c->delay->queue, c, link);
        c->delay = NULL;
    }
}

/* --- connections ---------------------------------------------------------------------------------------------- */

static void set_outstanding(struct conn *c, unsigned n)
{
    load.busy += (n > 0) - (c->outstanding > 0);
    c->outstanding = n;
}

static void conn_watch(struct conn *c, int op, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = c};
    if (epoll_ctl(load.epoll_fd, op, c->fd, &ev) < 0)
        die(1, "epoll_ctl: %s", strerror(errno));
}

void conn_close(struct conn *c)
{
    delay_take(c);
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    c->connecting = c->last = false;
    c->body_left = c->part_len = c->slow_sent = c->unsent = 0;
    set_outstanding(c, 0);
}

/* After an error: come back a little later, so that a server which is gone is not hammered. */
static void conn_retry(struct conn *c)
{
    conn_close(c);
    delay_put(c->kind == SLOW ? &load.slow_steps : &load.retries, c);
}

static void conn_write(struct conn *c)
{
    while (c->unsent > 0) {
        ssize_t n = send(c->fd, load.batch + load.batch_len - c->unsent, c->unsent, MSG_NOSIGNAL);
        if (n > 0) {
            c->unsent -= (unsigned)n;
        } else if (errno == EAGAIN) {
            conn_watch(c, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
            return;
        } else {
            return; /* the read side will report it */
        }
    }
}

void conn_send_batch(struct conn *c)
{
    if (!opt.fresh)
        c->sent_at = clock_ns();
    c->body_left = opt.echo;
    c->unsent = c->kind == ACTIVE ? load.batch_len : load.batch_len / opt.depth;
    set_outstanding(c, c->kind == ACTIVE ? opt.depth : 1);
    /* An idle connection asks once: its request is the last one of the batch, which conn_write counts from the
     * end. */
    conn_write(c);
}

static void conn_slow_step(struct conn *c)
{
    static const char first[] = "GET / HTTP/1.1\r\nHost: slow\r\n", more[] = "X-Slow: a-header-without-end\r\n";
    unsigned at = c->slow_sent++;
    char byte = at < sizeof first - 1 ? first[at] : more[(at - (sizeof first - 1)) % (sizeof more - 1)];
    (void)!send(c->fd, &byte, 1, MSG_NOSIGNAL); /* a failure shows as a hang-up */
    delay_put(&load.slow_steps, c);
}

static void conn_connected(struct conn *c)
{
    int one = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c->connecting = false;
    set_outstanding(c, 0);
    if (c->kind == SLOW)
        delay_put(&load.slow_steps, c);
    else if (c->kind == IDLE || !load.stopping)
        conn_send_batch(c);
}

static void count_failed_connect(struct conn *c)
{
    if (c->kind == SLOW)
        load.errors.slow_refused++;
    else
        count_error(&load.errors.connect);
}

/* Idle and slow connections come from several loopback addresses, as clients of one machine each would; and as many as
 * it takes for each to have ports enough, without a long search for a free one. */
static void conn_bind(struct conn *c)
{
    int one = 1;
    unsigned places = 16 + (opt.idle + opt.slow) / PORTS_EACH;
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000100u + 1 + c->index % places)};
    if (c->kind == ACTIVE || ntohl(opt.addr.sin_addr.s_addr) >> 24 != 127)
        return;
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (bind(c->fd, (struct sockaddr *)&from, sizeof from) < 0)
        die(1, "bind: %s", strerror(errno));
}

void conn_open(struct conn *c)
{
    delay_take(c);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        die(1, "socket: %s", strerror(errno));
    conn_bind(c);
    c->sent_at = clock_ns();
    int err = connect(c->fd, (struct sockaddr *)&opt.addr, sizeof opt.addr) < 0 ? errno : 0;
    if (err == 0) {
        conn_watch(c, EPOLL_CTL_ADD, EPOLLIN);
        conn_connected(c);
    } else if (err == EINPROGRESS) {
        c->connecting = true;
        if (c->kind != SLOW)
            set_outstanding(c, 1);
        conn_watch(c, EPOLL_CTL_ADD, EPOLLOUT);
    } else {
        count_failed_connect(c);
        conn_retry(c);
    }
}

static void conn_connect_ended(struct conn *c)
{
    int err = 0;
    socklen_t len = sizeof err;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len);
    if (err != 0) {
        count_failed_connect(c);
        conn_retry(c);
        return;
    }
    conn_watch(c, EPOLL_CTL_MOD, EPOLLIN);
    conn_connected(c);
}

/* --- responses ------------------------------------------------------------------------------------------------ */

/* Parse a head at p. 1: done, 0: incomplete, -1: not a response that we can measure. */
static int head_parse(const char *p, size_t n, struct head *h)
{
    const char *end = memmem(p, n, "\r\n\r\n", 4);
    if (end == NULL)
        return n < HEAD_MAX ? 0 : -1;
    *h = (struct head){.len = (unsigned)(end + 4 - p)};
    if (h->len > HEAD_MAX || h->len < 16 || memcmp(p, "HTTP/1.", 7) != 0)
        return -1;
    h->status = atoi(p + 9);
    for (const char *line = memchr(p, '\n', h->len); line != NULL && line < end;
         line = memchr(line, '\n', (size_t)(end - line))) {
        line++;
        if (strncasecmp(line, "content-length:", 15) == 0) {
            const char *v = line + 15;
            while (*v == ' ')
                v++;
            h->length_at = (unsigned)(v - p);
            for (; *v >= '0' && *v <= '9'; v++, h->length_digits++)
                h->body = h->body * 10 + (uint64_t)(*v - '0');
        } else if (strncasecmp(line, "connection: close", 17) == 0) {
            h->close = true;
        } else if (strncasecmp(line, "transfer-encoding:", 18) == 0) {
            return -1;
        }
    }
    return h->length_digits > 0 ? 1 : -1;
}

static inline bool head_is_pattern(const char *p, size_t n)
{
    return pattern.len != 0 && n >= pattern.len && memcmp(p, pattern_bytes, 12) == 0 &&
           memcmp(p + pattern.len - 4, "\r\n\r\n", 4) == 0 &&
           memcmp(p + pattern.length_at, pattern_bytes + pattern.length_at, pattern.length_digits + 2) == 0;
}

/* The requests of a connection are answered; what comes next depends on what the connection is for. */
static void batch_done(struct conn *c)
{
    if (c->kind == IDLE)
        return;
    if (opt.fresh || c->last) {
        if (!opt.fresh)
            load.errors.reconnects++;
        conn_close(c);
        if (opt.pause > 0)
            delay_put(&load.pauses, c);
        else if (!load.stopping)
            conn_open(c);
    } else if (opt.pause > 0) {
        delay_put(&load.pauses, c);
    } else if (!load.stopping) {
        conn_send_batch(c);
    }
}

static void record_latency(struct conn *c)
{
    if (load.window != NULL && c->kind == ACTIVE && c->sent_at >= load.window_began)
        hist_add(&load.window->latency, (uint64_t)(clock_ns() - c->sent_at));
}

static void response_done(struct conn *c)
{
    if (load.window != NULL && c->kind == ACTIVE)
        load.window->requests++;
    record_latency(c);
    set_outstanding(c, c->outstanding - 1);
    if (c->outstanding == 0 || c->last)
        batch_done(c);
}

/* A response that will never come: it counts with the time it was waited for, so that a server cannot improve its
 * quantiles by answering nothing. */
static void response_failed(struct conn *c, uint64_t *counter)
{
    count_error(counter);
    record_latency(c);
    conn_retry(c);
}

/* Take the responses out of n bytes. False when the connection was closed or handed on. */
static bool consume(struct conn *c, const char *p, size_t n)
{
    while (n > 0) {
        if (c->body_left == 0) {
            struct head h = pattern;
            int got = head_is_pattern(p, n) ? 1 : head_parse(p, n, &h);
            if (got < 0 || c->outstanding == 0) {
                response_failed(c, &load.errors.protocol);
                return false;
            }
            if (got == 0) {
                if (c->part == NULL && (c->part = malloc(HEAD_MAX)) == NULL)
                    die(1, "out of memory");
                memmove(c->part, p, n);
                c->part_len = (unsigned)n;
                return true;
            }
            if (h.status != 200) {
                response_failed(c, &load.errors.status);
                return false;
            }
            if (pattern.len == 0 && !h.close) {
                memcpy(pattern_bytes, p, h.len);
                pattern = h;
            }
            c->last |= h.close;
            c->body_left = h.body;
            p += h.len;
            n -= h.len;
            if (load.window != NULL && c->kind == ACTIVE)
                load.window->bytes += h.len + h.body;
        }
        size_t skip = n < c->body_left ? n : c->body_left;
        c->body_left -= skip;
        p += skip;
        n -= skip;
        if (c->body_left > 0)
            return true;
        bool more = c->outstanding > 1 && !c->last;
        response_done(c);
        if (!more) {
            if (n > 0) /* bytes that nobody asked for */
                count_error(&load.errors.protocol);
            return false;
        }
    }
    return true;
}

/* What an echo server has sent back. False when the connection was closed or handed on. */
static bool consume_echo(struct conn *c, const char *p, size_t n)
{
    if (load.window != NULL && c->kind == ACTIVE)
        load.window->bytes += n;
    while (n > 0) {
        size_t at = opt.echo - c->body_left, part = n < c->body_left ? n : c->body_left;
        if (c->outstanding == 0 || memcmp(p, load.batch + at, part) != 0) {
            response_failed(c, &load.errors.protocol);
            return false;
        }
        c->body_left -= part;
        p += part;
        n -= part;
        if (c->body_left > 0)
            return true;
        c->body_left = opt.echo;
        bool more = c->outstanding > 1;
        response_done(c);
        if (!more) {
            if (n > 0)
                count_error(&load.errors.protocol);
            return false;
        }
    }
    return true;
}

static void conn_ended(struct conn *c)
{
    if (c->kind == SLOW) {
        load.errors.slow_closed++;
        conn_retry(c);
    } else if (c->outstanding > 0) {
        response_failed(c, &load.errors.closed);
    } else if (c->kind == IDLE) {
        load.errors.idle_closed++;
        conn_close(c);
    } else {
        load.errors.reconnects++;
        conn_retry(c);
    }
}

/* One read, or two when bodies are thrown away unread: then the head is read by its known length, and the kernel drops
 * the body. What is left over, the level-triggered poller reports again. */
static void conn_receive(struct conn *c)
{
    ssize_t n;
    if (opt.trunc && c->body_left > 0) {
        n = recv(c->fd, NULL, c->body_left, MSG_TRUNC | MSG_DONTWAIT);
        if (n > 0) {
            c->body_left -= (uint64_t)n;
            if (c->body_left == 0)
                response_done(c);
            return;
        }
    } else {
        size_t space = opt.trunc && pattern.len != 0 ? pattern.len : BUFFER_SIZE - HEAD_MAX;
        unsigned part = c->part_len;
        if (part > 0)
            memcpy(buffer, c->part, part);
        n = recv(c->fd, buffer + part, space > part ? space - part : HEAD_MAX, 0);
        if (n > 0 && c->kind == SLOW)
            return; /* an error page; the end of the connection follows */
        if (n > 0) {
            c->part_len = 0;
            if (opt.echo > 0)
                (void)consume_echo(c, buffer, (size_t)n);
            else if (consume(c, buffer, part + (size_t)n) && opt.trunc && c->body_left > 0)
                conn_receive(c);
            return;
        }
    }
    if (n == 0 || (errno != EAGAIN && errno != EINTR))
        conn_ended(c);
}

void conn_event(struct conn *c, uint32_t events)
{
    if (c->fd < 0)
        return; /* closed by an earlier event of the same round */
    if (c->connecting) {
        conn_connect_ended(c);
        return;
    }
    if ((events & EPOLLOUT) && c->unsent > 0) {
        conn_write(c);
        if (c->unsent == 0)
            conn_watch(c, EPOLL_CTL_MOD, EPOLLIN);
    }
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        conn_receive(c);
}

/* --- what the loop calls ---------------------------------------------------------------------------------------- */

void conn_due(struct conn *c)
{
    delay_take(c);
    if (load.stopping && c->kind == ACTIVE)
        return; /* kick() begins it again */
    if (c->fd < 0)
        conn_open(c);
    else if (c->kind == SLOW)
        conn_slow_step(c);
    else
        conn_send_batch(c);
}

void conn_ask_again(struct conn *c)
{
    if (c->fd >= 0)
        conn_send_batch(c);
}

void conn_timed_out(struct conn *c)
{
    response_failed(c, &load.errors.timeout);
}
