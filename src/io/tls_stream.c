/* tls_stream.c - a stream's TLS: the layer that makes its calls encrypt, and the calls of weft/tls.h on streams.
 *
 * The session takes one call at a time: `lock` is held for each step of it, in which nothing waits, and never across a
 * wait; so one may receive while another's send waits for room. Waiting is the stream's. A receive that cannot succeed
 * is known as it is without TLS: `in_vain` keeps the wire from being asked then. A step takes AT_ONCE bytes from the
 * wire at the most, because OpenSSL itself reads on for as long as what comes is no data: who floods it with new keys
 * holds nobody else up, and no call past its deadline. Pinned by tests/io/tls_test.c and tls_flood_test.c. */
#include "co/sched.h"
#include "io/stream.h"
#include "io/tls.h"
#include "sys/net.h"
#include "sys/sys.h"

#include <weft/co.h>
#include <weft/lock.h>

#include <errno.h>
#include <string.h>

enum {
    AT_ONCE = 20480, /* more than a record: some milliseconds of new keys */
    IN_TIME = 4      /* steps before the deadline is looked at: what they take may have come before it */
};

typedef struct session {
    weft_lock lock;
    weft_tls_session *tls;
    bool in_vain;
    uint32_t deaf; /* atomic: weft_stream_shutdown has ended our input */
    size_t left;   /* of AT_ONCE, for the step under way */
} session;

/* ---- the wire: under the lock ---- */

static ssize_t wire_recv(void *owner, void *buf, size_t size)
{
    weft_stream *s = owner;
    session *x = s->over;
    if (x->in_vain || x->left == 0 || load_relaxed(&x->deaf))
        return -EAGAIN;
    if (size > x->left)
        size = x->left;
    ssize_t n = weft__sys_recv(s->fd, buf, size, MSG_DONTWAIT);
    if (n == -EAGAIN || (n > 0 && (size_t)n < size && s->tcp))
        weft__stream_empty(s, WEFT_POLLIN);
    if (n > 0)
        x->left -= (size_t)n;
    return n;
}

static ssize_t wire_send(void *owner, const void *data, size_t size)
{
    weft_stream *s = owner;
    ssize_t n = weft__sys_send(s->fd, data, size, MSG_DONTWAIT);
    if (n == -EAGAIN)
        weft__stream_empty(s, WEFT_POLLOUT);
    return n;
}

static const weft_tls_wire wire = {wire_recv, wire_send};

/* ---- steps, and waiting between them ---- */

enum step_kind {
    HANDSHAKE,
    RECV,
    SEND,
    FLUSH,
    FINISH
};

/* What a session that gave -EAGAIN needs to go on. */
enum step_need {
    BYTES,
    ROOM,
    TURN /* nothing, but others are to have theirs */
};

/* One step of the session; *need: what it waits for, if it does. */
static ssize_t step(session *x, enum step_kind kind, void *data, size_t size, bool try, enum step_need *need)
{
    ssize_t n;
    weft_lock_acquire(&x->lock);
    weft__thread_enter(); /* OpenSSL keeps a queue of errors for each thread, which its coroutines share */
    x->in_vain = !try;
    x->left = AT_ONCE;
    switch (kind) {
    case HANDSHAKE:
        n = weft_tls_session_handshake(x->tls);
        break;
    case RECV:
        n = weft_tls_session_recv(x->tls, data, size);
        break;
    case SEND:
        n = weft_tls_session_send(x->tls, data, size);
        break;
    case FLUSH:
        n = weft_tls_session_flush(x->tls);
        break;
    default:
        n = weft_tls_session_finish(x->tls);
    }
    bool unsent = weft_tls_session_unsent(x->tls);
    *need = x->left == 0 ? TURN : kind != RECV && (kind != HANDSHAKE || unsent) ? ROOM : BYTES;
    weft__thread_leave();
    weft_lock_release(&x->lock);
    return n;
}

/* Steps until one has a result. */
static ssize_t drive(weft_stream *s, enum step_kind kind, void *data, size_t size, weft_until until)
{
    enum step_need need;
    bool try = kind != RECV || weft__stream_may_try(s, WEFT_POLLIN);
    int last = 0, err = 0;
    for (unsigned steps = 1;; steps++) {
        if (kind == RECV && load_relaxed(&((session *)s->over)->deaf))
            return weft__stream_closed(s) ? -EBADF : 0;
        ssize_t n = step(s->over, kind, data, size, try, &need);
        if (n <= 0 && weft__stream_closed(s))
            return -EBADF;
        if (n != -EAGAIN)
            return n;
        if (last > 0)
            return err;
        if (steps > IN_TIME && (weft_cancelled() || weft_left(until) == 0))
            return weft_cancelled() ? -ECANCELED : -ETIMEDOUT;
        if (need == TURN)
            weft_yield();
        else
            last = weft__stream_wait(s, need == ROOM ? WEFT_POLLOUT : WEFT_POLLIN, until, &err);
        if (last < 0)
            return last;
        try = true;
    }
}

/* ---- the layer ---- */

static ssize_t tls_recv(weft_stream *s, void *buf, size_t size, weft_until until)
{
    return drive(s, RECV, buf, size, until);
}

static ssize_t send_piece(weft_stream *s, char *data, size_t size, size_t *sent, weft_until until)
{
    while (size > 0) {
        ssize_t n = drive(s, SEND, data, size, until);
        if (n < 0)
            return n;
        data += n;
        size -= (size_t)n;
        *sent += (size_t)n;
    }
    return 0;
}

/* Several pieces, put together so that each record is as large as may be. */
static ssize_t send_gathered(weft_stream *s, const struct iovec *pieces, unsigned n, size_t *sent, weft_until until)
{
    ssize_t err = 0;
    size_t used = 0;
    char *record = weft__malloc(WEFT__TLS_RECORD);
    if (record == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < n && err == 0; i++) {
        char *data = pieces[i].iov_base;
        size_t left = pieces[i].iov_len;
        while (left > 0 && err == 0) {
            size_t part = left < WEFT__TLS_RECORD - used ? left : WEFT__TLS_RECORD - used;
            memcpy(record + used, data, part);
            used += part;
            data += part;
            left -= part;
            if (used == WEFT__TLS_RECORD) {
                err = send_piece(s, record, used, sent, until);
                used = 0;
            }
        }
    }
    if (err == 0)
        err = send_piece(s, record, used, sent, until);
    weft__free(record);
    return err;
}

static ssize_t tls_send(weft_stream *s, const struct iovec *pieces, unsigned n, size_t *sent, weft_until until)
{
    size_t before = *sent;
    ssize_t err = n > 1    ? send_gathered(s, pieces, n, sent, until)
                  : n == 1 ? send_piece(s, pieces->iov_base, pieces->iov_len, sent, until)
                           : 0;
    if (err == 0)
        err = drive(s, FLUSH, NULL, 0, until);
    return err < 0 ? err : (ssize_t)(*sent - before);
}

static int tls_shutdown(weft_stream *s, int how)
{
    session *x = s->over;
    enum step_need need;
    ssize_t err = how != WEFT_SHUTDOWN_RECV ? step(x, FINISH, NULL, 0, true, &need) : 0;
    if (err == -EAGAIN)
        return (int)err;
    if (how != WEFT_SHUTDOWN_SEND)
        store_relaxed(&x->deaf, 1u); /* the end that the socket has then is none of the peer's */
    return weft__sys_shutdown(s->fd, how);
}

static void tls_closing(weft_stream *s)
{
    session *x = s->over;
    if (weft_lock_acquire_until(&x->lock, WEFT_NOW) < 0)
        return;
    weft__thread_enter();
    weft_tls_session_finish(x->tls);
    x->in_vain = false;
    x->left = AT_ONCE;
    /* What the other end's TLS has sent and nobody asked for, tickets, would make the kernel reset the connection and
     * throw away what we have sent. */
    char unread[4096];
    for (int i = 0; i < 4 && weft__tls_session_keeps(x->tls); i++)
        if (weft_tls_session_recv(x->tls, unread, sizeof unread) <= 0) /* tickets, to be kept */
            break;
    for (int i = 0; i < 4 && weft__sys_recv(s->fd, unread, sizeof unread, MSG_DONTWAIT) == sizeof unread; i++)
        ;
    weft__thread_leave();
    weft_lock_release(&x->lock);
}

static void tls_gone(weft_stream *s)
{
    session *x = s->over;
    weft_tls_session_close(x->tls);
    weft__free(x);
    weft__free(s);
}

static const weft__stream_layer tls_layer = {
    .recv = tls_recv, .send = tls_send, .shutdown = tls_shutdown, .closing = tls_closing, .gone = tls_gone};

/* ---- begin, end ---- */

static ssize_t fail_to_recv(weft_stream *s, void *buf, size_t size, weft_until until)
{
    (void)s, (void)buf, (void)size, (void)until;
    return -WEFT_ETLS;
}

static ssize_t fail_to_send(weft_stream *s, const struct iovec *pieces, unsigned n, size_t *sent, weft_until until)
{
    (void)s, (void)pieces, (void)n, (void)sent, (void)until;
    return -WEFT_ETLS;
}

/* There was to be TLS and is none: who does not look at errors sends nothing in the clear. */
static const weft__stream_layer failed_layer = {.recv = fail_to_recv, .send = fail_to_send};

static int shake_hands(weft_stream *s, weft_tls *t, const char *host, weft_until until)
{
    session *x = weft__calloc(1, sizeof *x);
    s->layer = &failed_layer;
    if (x == NULL)
        return -ENOMEM;
    weft_address peer;
    int err = weft_tls_session_open(&x->tls, t, host, &wire, s);
    if (err < 0) {
        weft__free(x);
        return err;
    }
    s->over = x;
    s->layer = &tls_layer;
    weft__tls_session_keep(x->tls, weft__sys_peer(s->fd, &peer) == 0 ? weft__address_port(&peer) : 0);
    err = (int)drive(s, HANDSHAKE, NULL, 0, until);
    if (err < 0) {
        weft_lock_acquire(&x->lock);
        weft_tls_session_fail(x->tls, err);
        if (err != -ETIMEDOUT && err != -ECANCELED)
            weft__tls_session_forget(x->tls);
        weft_lock_release(&x->lock);
    }
    return err;
}

int weft_tls_start(weft_stream *s, weft_tls *t, const char *host, weft_until until)
{
    int err = weft__stream_enter(s);
    if (err < 0)
        return err;
    err = s->layer != NULL ? -EINVAL : shake_hands(s, t, host, until);
    weft__stream_leave(s);
    return err;
}

int weft_tls_connect(weft_stream **out, weft_tls *t, const char *host, unsigned port, const weft_tcp_options *options,
                     weft_until until)
{
    weft_stream *s;
    int err = weft_tcp_connect(&s, host, port, options, until);
    if (err < 0)
        return err;
    err = weft_tls_start(s, t, host, until);
    if (err < 0) {
        weft_stream_close(s);
        return err;
    }
    *out = s;
    return 0;
}

static bool has_tls(const weft_stream *s)
{
    return s->layer == &tls_layer;
}

int weft_tls_end(weft_stream *s, weft_until until)
{
    int err = weft__stream_enter(s);
    if (err < 0)
        return err;
    err = has_tls(s) ? (int)drive(s, FINISH, NULL, 0, until) : -EINVAL;
    weft__stream_leave(s);
    return err;
}

/* ---- about a connection ---- */

int weft_tls_resumed(weft_stream *s)
{
    if (!has_tls(s))
        return 0;
    session *x = s->over;
    weft_lock_acquire(&x->lock);
    int resumed = weft_tls_session_resumed(x->tls);
    weft_lock_release(&x->lock);
    return resumed;
}

static const char *ask(weft_stream *s, const char *(*what)(weft_tls_session *t))
{
    if (!has_tls(s))
        return "";
    session *x = s->over;
    weft_lock_acquire(&x->lock);
    const char *text = what(x->tls);
    weft_lock_release(&x->lock);
    return text;
}

const char *weft_tls_version(weft_stream *s)
{
    return ask(s, weft_tls_session_version);
}

const char *weft_tls_cipher(weft_stream *s)
{
    return ask(s, weft_tls_session_cipher);
}

const char *weft_tls_protocol(weft_stream *s)
{
    return ask(s, weft_tls_session_protocol);
}

const char *weft_tls_host(weft_stream *s)
{
    return ask(s, weft_tls_session_host);
}

const char *weft_tls_error(weft_stream *s)
{
    return ask(s, weft_tls_session_error);
}
