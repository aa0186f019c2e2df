/* load_conn.c - a connection of `weft load`: open, send what it was given, see where the answers end.
 *
 * Requests are all the same, so what is to be sent is a number of bytes and a place in an endless row of requests, of
 * which load_opt.bytes is a window. One reading of the clock a receive serves the answers it completes and the
 * requests that follow them. */
#include "load.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RETRY_PAUSE (100 * WEFT_MS)

/* ---- open and shut ---- */

void load_conn_shut(load_worker *w, load_conn *c)
{
    load_tls_close(c);
    if (c->fd >= 0) {
        weft_poller_unregister(w->poller, c->fd);
        close(c->fd);
    }
    c->fd = -1;
    c->state = LOAD_SHUT;
    c->wants_out = c->more = c->queued = false;
    c->unsent = c->out_at = c->echo_at = 0;
    c->part_size = 0;
    c->answers = 0;
    c->scan = (load_scan){.no_body = c->scan.no_body};
}

static void connect_failed(load_worker *w, load_conn *c, int err, int64_t now)
{
    w->connect_errno = err;
    load_conn_fail(w, c, LOAD_ERROR_CONNECT, now);
}

static bool watch_out(load_worker *w, load_conn *c, bool wanted)
{
    if (c->wants_out == wanted)
        return true;
    c->wants_out = wanted;
    return weft_poller_modify(w->poller, c->fd, wanted ? WEFT_POLLIN | WEFT_POLLOUT : WEFT_POLLIN, c) == 0;
}

static void is_open(load_worker *w, load_conn *c, int64_t now)
{
    c->state = LOAD_OPEN;
    load_conn_was_tried(w, c);
    if (!watch_out(w, c, false)) {
        connect_failed(w, c, ENOMEM, now);
        return;
    }
    c->unsent = c->count * load_opt.size; /* also those that were sent on a connection that the server ended */
    if (c->count > 0)
        load_conn_push(w, c, now);
    else
        load_conn_is_free(w, c, now);
}

/* Connected: with TLS there is the handshake yet. */
static void is_connected(load_worker *w, load_conn *c, int64_t now)
{
    int err = load_opt.tls ? load_tls_shake(w, c) : 0;
    if (err == 0)
        is_open(w, c, now);
    else if (err != -EAGAIN || !watch_out(w, c, weft_tls_session_unsent(c->tls) != 0))
        connect_failed(w, c, err == -EAGAIN ? ENOMEM : -err, now);
}

void load_conn_open(load_worker *w, load_conn *c, int64_t now)
{
    bool datagrams = load_opt.protocol == LOAD_UDP;
    int one = 1;
    if (!c->queued)
        c->since = now;
    c->again = 0;
    c->queued = false;
    c->fd = socket(load_opt.address.any.sa_family,
                   (datagrams ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) {
        connect_failed(w, c, errno, now);
        return;
    }
    if (!datagrams)
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    int err = connect(c->fd, &load_opt.address.any, load_opt.address.size) < 0 ? errno : 0;
    if (err != 0 && err != EINPROGRESS) {
        close(c->fd);
        c->fd = -1;
        if (err == EAGAIN && now - c->since < load_opt.timeout) {
            c->queued = w->any_queued = true; /* where a TCP connection would wait in the kernel */
            w->next_look = now + WEFT_MS < w->next_look ? now + WEFT_MS : w->next_look;
        } else {
            connect_failed(w, c, err, now);
        }
        return;
    }
    c->state = LOAD_OPENING;
    c->wants_out = err != 0;
    int failed = weft_poller_register(w->poller, c->fd, err != 0 ? WEFT_POLLOUT : WEFT_POLLIN, c);
    if (failed != 0)
        connect_failed(w, c, -failed, now);
    else if (err == 0)
        is_connected(w, c, now);
}

/* Every request it was given has failed; or, if it has none, the connection itself. */
void load_conn_fail(load_worker *w, load_conn *c, enum load_error kind, int64_t now)
{
    load_conn_shut(w, c);
    load_conn_was_tried(w, c);
    if (w->running) {
        uint64_t n = c->count > 0 ? c->count : 1;
        load_count(&w->errors[kind], n);
    }
    for (; c->count > 0; c->count--) {
        const load_due *d = &c->ring[c->first];
        c->first = c->first + 1 == load_opt.depth ? 0 : c->first + 1;
        w->outstanding--;
        if (kind != LOAD_ERROR_TIMEOUT)
            continue;
        load_hist_add(&w->raw, now - d->given); /* it has taken that long at least */
        if (load_opt.rate > 0)
            load_hist_add(&w->corrected, now - d->due);
    }
    c->again = kind == LOAD_ERROR_TIMEOUT ? now : now + RETRY_PAUSE;
    if (load_opt.rate > 0)
        load_conn_is_free(w, c, now); /* the schedule paces it, and a request must find a connection */
}

/* The server ended a connection that owes nothing, or whose requests may be sent again on a new one. */
static void begin_again(load_worker *w, load_conn *c, int64_t now)
{
    load_conn_shut(w, c);
    if (c->count > 0)
        load_conn_open(w, c, now);
    else
        load_conn_is_free(w, c, now);
}

/* ---- sending ---- */

static ssize_t send_some(load_conn *c)
{
    size_t room = load_opt.copies * load_opt.size - c->out_at;
    size_t n = c->unsent < room ? c->unsent : room;
    if (load_opt.protocol == LOAD_UDP && n > load_opt.size)
        n = load_opt.size;
    if (c->tls != NULL)
        return load_tls_send(c, load_opt.bytes + c->out_at, n);
    return send(c->fd, load_opt.bytes + c->out_at, n, MSG_NOSIGNAL);
}

static void send_all(load_worker *w, load_conn *c, int64_t now)
{
    while (c->unsent > 0) {
        ssize_t n = send_some(c);
        if (n >= 0) {
            c->unsent -= (size_t)n;
            c->out_at = (c->out_at + (size_t)n) % load_opt.size;
            if (n == 0)
                c->unsent = 0; /* an empty datagram */
        } else if (errno == EAGAIN) {
            if (!watch_out(w, c, true))
                connect_failed(w, c, ENOMEM, now);
            return;
        } else if (load_opt.protocol == LOAD_UDP) {
            connect_failed(w, c, errno, now);
            return;
        } else {
            c->unsent = 0; /* receiving tells what is wrong, after what the server may have said before */
            break;
        }
    }
    bool rest = c->tls != NULL && weft_tls_session_flush(c->tls) == -EAGAIN; /* another error: receiving tells */
    if (c->wants_out || rest)
        watch_out(w, c, rest);
}

void load_conn_give(load_worker *w, load_conn *c, int64_t due, int64_t now)
{
    unsigned at = c->first + c->count;
    c->ring[at >= load_opt.depth ? at - load_opt.depth : at] = (load_due){due, now};
    c->count++;
    w->outstanding++;
    w->given++;
    if (c->state == LOAD_OPEN)
        c->unsent += load_opt.size;
}

void load_conn_push(load_worker *w, load_conn *c, int64_t now)
{
    if (c->state == LOAD_OPEN && !c->wants_out)
        send_all(w, c, now);
    else if (c->state == LOAD_SHUT)
        load_conn_open(w, c, now);
}

/* ---- answers ---- */

/* The oldest request has its answer. */
static void answered(load_worker *w, load_conn *c, int64_t now)
{
    const load_due *d = &c->ring[c->first];
    c->first = c->first + 1 == load_opt.depth ? 0 : c->first + 1;
    c->count--;
    c->answers++;
    w->outstanding--;
    load_count(&w->answered, 1);
    load_hist_add(&w->raw, now - d->given);
    if (load_opt.rate > 0)
        load_hist_add(&w->corrected, now - d->due);
}

/* Take one answer out of n bytes; *used are taken. LOAD_BAD: *kind says what is wrong. */
static enum load_outcome take_http(load_worker *w, load_conn *c, const char *p, size_t n, size_t *used)
{
    enum load_outcome o = load_scan_bytes(&c->scan, &w->memory, p, n, used);
    if (o == LOAD_DONE) {
        w->status[c->scan.status]++;
        if (c->scan.status >= 400)
            load_count(&w->errors[LOAD_ERROR_STATUS], 1);
    }
    return o;
}

static enum load_outcome take_echo(load_conn *c, const char *p, size_t n, size_t *used)
{
    size_t part = load_opt.size - c->echo_at < n ? load_opt.size - c->echo_at : n;
    *used = part;
    if (memcmp(p, load_opt.bytes + c->echo_at, part) != 0)
        return LOAD_BAD;
    c->echo_at += part;
    if (c->echo_at < load_opt.size)
        return LOAD_MORE;
    c->echo_at = 0;
    return LOAD_DONE;
}

static enum load_outcome take_line(load_conn *c, const char *p, size_t n, size_t *used)
{
    const char *end = memchr(p, '\n', n);
    *used = end != NULL ? (size_t)(end - p) + 1 : n;
    c->echo_at = end != NULL ? 0 : c->echo_at + n;
    return end != NULL ? LOAD_DONE : LOAD_MORE;
}

static enum load_outcome take_datagram(const char *p, size_t n, size_t *used)
{
    *used = n;
    return !load_opt.echo || (n == load_opt.size && memcmp(p, load_opt.bytes, n) == 0) ? LOAD_DONE : LOAD_BAD;
}

static enum load_outcome take_one(load_worker *w, load_conn *c, const char *p, size_t n, size_t *used)
{
    if (load_opt.protocol == LOAD_HTTP)
        return take_http(w, c, p, n, used);
    if (load_opt.protocol == LOAD_UDP)
        return take_datagram(p, n, used);
    return load_opt.echo ? take_echo(c, p, n, used) : take_line(c, p, n, used);
}

/* Keep the beginning of a head until more comes. */
static bool keep(load_conn *c, const char *p, size_t n)
{
    if (c->part == NULL && (c->part = malloc(LOAD_HEAD_MAX)) == NULL)
        return false;
    memcpy(c->part, p, n);
    c->part_size = (unsigned)n;
    return true;
}

static void take_all(load_worker *w, load_conn *c, const char *p, size_t n, int64_t now)
{
    size_t used;
    do {
        enum load_outcome o = c->count > 0 ? take_one(w, c, p, n, &used) : LOAD_BAD;
        if (o == LOAD_BAD) {
            bool differs = c->count > 0 && load_opt.protocol != LOAD_HTTP;
            load_conn_fail(w, c, differs ? LOAD_ERROR_MISMATCH : LOAD_ERROR_PROTOCOL, now);
            return;
        }
        p += used;
        n -= used;
        if (o == LOAD_MORE) {
            if (n > 0 && !keep(c, p, n))
                load_conn_fail(w, c, LOAD_ERROR_PROTOCOL, now);
            return;
        }
        answered(w, c, now);
        if (!load_opt.keep_alive || (load_opt.protocol == LOAD_HTTP && c->scan.close)) {
            w->reopened += load_opt.keep_alive;
            begin_again(w, c, now);
            return;
        }
    } while (n > 0);
    load_conn_is_free(w, c, now);
}

/* `broken`: by an error, which may have cut off what was to come. */
static void peer_ended(load_worker *w, load_conn *c, bool broken, int64_t now)
{
    enum load_outcome o = LOAD_MORE;
    if (load_opt.protocol == LOAD_HTTP && c->count > 0)
        o = load_scan_end(&c->scan);
    if (o == LOAD_DONE && broken)
        o = LOAD_BAD;
    if (o == LOAD_DONE && c->count > 0) {
        w->status[c->scan.status]++;
        if (c->scan.status >= 400)
            load_count(&w->errors[LOAD_ERROR_STATUS], 1);
        answered(w, c, now);
        w->reopened += load_opt.keep_alive;
        begin_again(w, c, now);
    } else if (c->count == 0 || (o == LOAD_MORE && c->part_size == 0 && c->echo_at == 0 && c->answers > 0)) {
        w->reopened++; /* it ended between two answers, which a server may; what it did not answer is asked again */
        begin_again(w, c, now);
    } else {
        load_conn_fail(w, c, LOAD_ERROR_CLOSED, now);
    }
}

static void receive(load_worker *w, load_conn *c)
{
    size_t kept = c->part_size;
    ssize_t n =
        c->tls != NULL ? load_tls_recv(c, w->input + kept, LOAD_INPUT) : recv(c->fd, w->input + kept, LOAD_INPUT, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    int err = n < 0 ? errno : 0;
    int64_t now = weft_now();
    if (n < 0 && load_opt.protocol == LOAD_UDP) {
        connect_failed(w, c, err, now); /* the other machine says that nobody is there */
        return;
    }
    if (n <= 0 && load_opt.protocol != LOAD_UDP) {
        peer_ended(w, c, n < 0, now);
        return;
    }
    load_count(&w->received, (uint64_t)n);
    if (kept > 0)
        memcpy(w->input, c->part, kept);
    c->part_size = 0;
    take_all(w, c, w->input, kept + (size_t)n, now);
}

void load_conn_event(load_worker *w, load_conn *c, unsigned events)
{
    c->wire_left = LOAD_WIRE_AT_ONCE;
    if (c->state == LOAD_OPENING) {
        int err = 0;
        socklen_t size = sizeof err;
        if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &size) < 0)
            err = errno;
        if (err != 0)
            connect_failed(w, c, err, weft_now());
        else if (c->tls != NULL || (events & (WEFT_POLLOUT | WEFT_POLLHUP)) != 0)
            is_connected(w, c, weft_now());
        return;
    }
    if ((events & WEFT_POLLOUT) != 0 && c->state == LOAD_OPEN)
        send_all(w, c, weft_now());
    bool more = (events & ~(unsigned)WEFT_POLLOUT) != 0;
    while (more && c->state == LOAD_OPEN) {
        receive(w, c);
        more = c->more;
    }
}
