/* secure.c - TLS of a connection, between the socket and the bytes that handlers see.
 *
 * A session (weft/tls.h) never waits. In event loops it is given each buffer of the poller's as that arrives, on the
 * scheduler thread's own stack, and all of it at once: nothing encrypted is kept but a part of a record, in the
 * session. In the models of threads it asks the socket itself, once a call, so that what a call appends is bounded.
 * Sending is a call to the kernel here and now; what that does not take waits in the session, for the socket's room.
 * Sealed bytes never go by the poller, so an io_uring loop has them in order too.
 *
 * S1  after a receive all that the session could decrypt has been appended: whoever waits for the socket misses
 *     nothing.
 * S2  the session's end is said to the client (close_notify) only when everything before it has been sent.
 * S3  the end of input without the client's close_notify is the error -WEFT_ETRUNCATED; but what we have shut
 *     ourselves, to stop (thread.c), is the end.
 * S4  a session is touched by its connection's worker thread only, or its own thread; weft__thread_enter and _leave
 *     tell ThreadSanitizer, because OpenSSL's errors are the thread's.
 * Pinned by tests/serve/secure_test.c and conn_test.c. */
#include "co/sched.h"
#include "io/tls.h"
#include "serve/worker.h"
#include "sys/sys.h"

#include <weft/co.h>

#include <errno.h>
#include <string.h>

enum {
    HANDSHAKE = 0x16,    /* what the first byte of TLS says */
    SMALL = 4096,        /* pieces that are put together into one record */
    SEND_TURN = 1 << 20, /* bytes after which other connections of this thread get their turn */
    SHAKE_PULLS = 8
};

struct weft__secure {
    weft_tls_session *session;
    weft_conn *conn;
    const char *raw; /* event loops: received and not yet taken by the session */
    size_t left;
    size_t sent;    /* bytes that the socket has taken */
    unsigned pulls; /* threads: how often the socket may be asked */
    bool ended;     /* the socket has nothing more */
    bool heard;     /* a byte has come */
    bool plain;     /* and it was none of TLS */
    bool established;
};

/* ---- the wire ---- */

static ssize_t take_from_wire(weft__secure *x, void *buf, size_t size)
{
    weft_conn *c = x->conn;
    if (c->worker->shared) {
        if (x->pulls == 0 || x->ended)
            return -EAGAIN;
        x->pulls--;
        ssize_t n = weft__sys_recv(c->slot.fd, buf, size, MSG_DONTWAIT);
        if (n != 0 || !weft__server_closing(c->worker->server))
            return n;
        x->ended = true;
        return -EAGAIN;
    }
    if (x->left == 0)
        return x->ended ? 0 : -EAGAIN;
    size_t n = x->left < size ? x->left : size;
    memcpy(buf, x->raw, n);
    x->raw += n;
    x->left -= n;
    return (ssize_t)n;
}

/* Who speaks something else than TLS is not OpenSSL's: it would answer what nobody there can read. */
static ssize_t wire_recv(void *owner, void *buf, size_t size)
{
    weft__secure *x = owner;
    ssize_t n = take_from_wire(x, buf, size);
    if (n <= 0 || x->heard)
        return n;
    x->heard = true;
    x->plain = *(const unsigned char *)buf != HANDSHAKE;
    return x->plain ? -WEFT_ETLS : n;
}

static ssize_t wire_send(void *owner, const void *data, size_t size)
{
    weft__secure *x = owner;
    ssize_t n = weft__sys_send(x->conn->slot.fd, data, size, MSG_DONTWAIT);
    if (n > 0)
        x->sent += (size_t)n;
    return n;
}

static const weft_tls_wire wire = {wire_recv, wire_send};

/* ---- begin, end ---- */

int weft__secure_open(weft_conn *c)
{
    weft_server *s = c->worker->server;
    weft__secure *x = weft__calloc(1, sizeof *x);
    if (x == NULL)
        return -ENOMEM;
    x->conn = c;
    weft__thread_enter();
    int err = weft_tls_session_open(&x->session, s->options.tls, NULL, &wire, x);
    weft__thread_leave();
    if (err < 0)
        weft__free(x);
    else
        c->tls = x;
    return err;
}

void weft__secure_close(weft_conn *c)
{
    weft__secure *x = c->tls;
    weft__thread_enter();
    if (load_relaxed(&c->state) == WEFT__CONN_IDLE)
        (void)weft_tls_session_finish(x->session);
    weft_tls_session_close(x->session);
    weft__thread_leave();
    weft__free(x);
    c->tls = NULL;
}

/* ---- handshake ---- */

static void count(weft__worker *w, uint64_t *counter)
{
    if (w->shared)
        add_relaxed(counter, 1);
    else
        WEFT__COUNT(counter);
}

int weft__secure_shake(weft_conn *c)
{
    weft__secure *x = c->tls;
    weft__worker *w = c->worker;
    x->pulls = SHAKE_PULLS;
    weft__thread_enter();
    int err = weft_tls_session_handshake(x->session);
    x->established = weft_tls_session_version(x->session)[0] != 0;
    weft__thread_leave();
    if (err == -EAGAIN && x->ended)
        err = -ECANCELED;
    if (err == 0)
        count(w, &w->handshakes);
    else if (err != -EAGAIN && err != -ECANCELED && x->heard)
        count(w, &w->broken); /* who leaves without a word has begun none */
    if (err == -WEFT_ETLS && x->plain)
        weft__turn_away_plain(w->server, c->slot.fd);
    return err;
}

bool weft__secure_unsent(const weft_conn *c)
{
    return weft_tls_session_unsent(c->tls->session);
}

/* ---- receiving ---- */

/* Append all that the session can give. How many bytes in *got; 0: the client has ended it; -EAGAIN; or an error. */
static ssize_t decrypt(weft__secure *x, size_t *got)
{
    weft_conn *c = x->conn;
    const weft__model *model = c->worker->server->model;
    ssize_t n = 1;
    while (n > 0) {
        weft__buffer *b = model->take(c->worker);
        if (b == NULL)
            return -ENOMEM;
        b->used = 0;
        b->spare = 0;
        weft__thread_enter();
        while (b->used < b->size && (n = weft_tls_session_recv(x->session, b->data + b->used, b->size - b->used)) > 0)
            b->used += (uint32_t)n;
        weft__thread_leave();
        *got += b->used;
        if (b->used > 0)
            weft__input_append(c, b);
        else
            model->give(c->worker, b);
    }
    return n;
}

int weft__secure_receive(weft_conn *c, bool ask)
{
    weft__secure *x = c->tls;
    size_t got = 0;
    x->pulls = ask;
    ssize_t n = decrypt(x, &got);
    if (n == 0 || (n == -EAGAIN && x->ended)) {
        store_relaxed(&c->flags, load_relaxed(&c->flags) | WEFT__CONN_ENDED);
        return 0;
    }
    if (n != -EAGAIN)
        weft__conn_break(c, (int)n);
    return got > 0 ? 0 : (int)n;
}

/* Over event loops: the handshake goes on. 0: it is done, if need be but for what is to be sent. */
static int shake_on(weft_conn *c)
{
    weft__secure *x = c->tls;
    int err = weft__secure_shake(c);
    if (err == -EAGAIN && weft__secure_unsent(c)) {
        int wanted = weft__slot_want_out_once(&c->slot);
        if (wanted < 0)
            return wanted;
    }
    if (err == -EAGAIN && x->established) {
        count(c->worker, &c->worker->handshakes);
        err = 0;
    }
    if (err == 0) {
        c->state = WEFT__CONN_IDLE;
        list_remove(&c->link);
        weft__keeper_idle(c);
    }
    return err;
}

ssize_t weft__secure_received(weft_conn *c, weft__buffer *b, ssize_t n)
{
    if (n < 0 && c->tls != NULL && c->state == WEFT__CONN_SHAKING)
        count(c->worker, &c->worker->broken);
    if (n < 0 || (n == 0 && c->tls == NULL))
        return n;
    size_t got = 0;
    ssize_t result = c->tls == NULL ? weft__secure_open(c) : 0;
    weft__secure *x = c->tls;
    if (result == 0) {
        x->raw = n > 0 ? b->data : NULL;
        x->left = n > 0 ? b->used : 0;
        x->ended = n == 0;
        if (c->state == WEFT__CONN_SHAKING)
            result = shake_on(c);
    }
    if (result == 0)
        result = decrypt(x, &got);
    if (n > 0)
        weft__buffer_release(c->slot.poller, b);
    if (got == 0)
        return result;
    if (result != -EAGAIN) {
        weft__conn_note_end(c);
        if (result < 0)
            weft__conn_break(c, (int)result);
    }
    return (ssize_t)got;
}

/* ---- sending ---- */

int weft__secure_flush(weft_conn *c)
{
    weft__thread_enter();
    int err = weft_tls_session_flush(c->tls->session);
    weft__thread_leave();
    return err;
}

static void advance(struct iovec **iov, unsigned *n, size_t size)
{
    while (*n > 0 && size >= (*iov)->iov_len) {
        size -= (*iov)->iov_len;
        ++*iov;
        --*n;
    }
    if (size > 0) {
        (*iov)->iov_base = (char *)(*iov)->iov_base + size;
        (*iov)->iov_len -= size;
    }
}

/* Small pieces that stand together, as the bytes of one record. */
static size_t put_together(const struct iovec *iov, unsigned n, char *to, size_t room)
{
    size_t size = 0;
    for (unsigned i = 0; i < n && size < room; i++) {
        size_t part = iov[i].iov_len < room - size ? iov[i].iov_len : room - size;
        memcpy(to + size, iov[i].iov_base, part);
        size += part;
    }
    return size;
}

/* Give one record to the session. Returns the count, or -errno. */
static ssize_t seal(weft__secure *x, const struct iovec *iov, unsigned n)
{
    weft__worker *w = x->conn->worker;
    const weft__model *model = w->server->model;
    if (n == 1 || iov->iov_len >= SMALL)
        return weft_tls_session_send(x->session, iov->iov_base, iov->iov_len);
    weft__buffer *b = model->take(w);
    if (b == NULL)
        return -ENOMEM;
    ssize_t sent = weft_tls_session_send(x->session, b->data, put_together(iov, n, b->data, b->size));
    model->give(w, b);
    return sent;
}

/* Up to `most` bytes and what one record is more. 0: all, and nothing is unsent; 1: there is more; -EAGAIN; or an
 * error. */
static int seal_all(weft__secure *x, struct iovec **iov, unsigned *n, size_t most)
{
    int err = 0;
    size_t done = 0;
    weft__thread_enter();
    while (err == 0 && *n > 0 && done < most) {
        ssize_t sealed = (*iov)->iov_len > 0 ? seal(x, *iov, *n) : 0;
        if (sealed < 0) {
            err = (int)sealed;
        } else {
            advance(iov, n, (size_t)sealed);
            done += (size_t)sealed;
        }
    }
    if (err == 0)
        err = *n > 0 ? 1 : weft_tls_session_flush(x->session);
    weft__thread_leave();
    return err;
}

int weft__secure_push(weft_conn *c, bool last)
{
    weft__secure *x = c->tls;
    weft__out *o = c->out;
    int err = o != NULL ? seal_all(x, &o->send.iov, &o->send.niov, SIZE_MAX) : 0;
    if (err == 0) {
        weft__thread_enter();
        err = last ? weft_tls_session_finish(x->session) : weft_tls_session_flush(x->session);
        weft__thread_leave();
    }
    if (o != NULL)
        o->send.sent = x->sent;
    return err;
}

int weft__secure_send(weft_conn *c, struct iovec *iov, unsigned n, int64_t until)
{
    weft__secure *x = c->tls;
    for (;;) {
        int err = load_relaxed(&c->error);
        if (err == 0)
            err = seal_all(x, &iov, &n, SEND_TURN);
        if (err == 1)
            weft_yield();
        else if (err == -EAGAIN)
            err = c->worker->server->model->wait_output(c, until);
        else
            return err;
        if (err < 0)
            return err;
    }
}

/* ---- about a connection ---- */

const char *weft_conn_tls_version(const weft_conn *c)
{
    return c->tls != NULL ? weft_tls_session_version(c->tls->session) : NULL;
}

const char *weft_conn_tls_host(const weft_conn *c)
{
    return c->tls != NULL ? weft_tls_session_host(c->tls->session) : "";
}
