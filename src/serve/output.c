/* output.c - what a handler has written and the client has not been sent yet.
 *
 * Small pieces are gathered in buffers of the poller and leave together: at the end of the turn (the model does that),
 * before the handler waits for input, when output_max is reached, or in front of a send or sendfile. Large pieces go
 * from where they lie. A send is all or error, so a partial one breaks the connection (C4 of serve.h). A limit counts
 * from the moment in which a send first has to wait: one that the kernel takes at once asks no clock. */
#include "serve/serve.h"

#include <weft/co.h>

#include "base/panic.h"
#include "sys/file.h"
#include "sys/net.h"
#include "sys/sys.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>

enum {
    SENDFILE_TURN = 1 << 20, /* bytes after which other connections of this thread get their turn */
    RESERVE_MAX = 8192
};

/* ---- the gathered ---- */

weft__out *weft__out_take(weft_conn *c)
{
    weft__worker *w = c->worker;
    weft__out *o = w->outs;
    if (likely(o != NULL)) {
        w->outs = o->next;
    } else {
        o = weft__malloc(sizeof(*o));
        if (o == NULL)
            return NULL;
        o->worker = w;
    }
    o->first = o->last = NULL;
    o->pieces = o->total = 0;
    o->conn = c;
    c->out = o;
    return o;
}

void weft__out_free(weft__out *o)
{
    weft__worker *w = o->worker;
    while (o->first != NULL) {
        weft__buffer *b = o->first;
        o->first = b->next;
        w->server->model->give(w, b);
    }
    if (!w->shared) {
        o->next = w->outs;
        w->outs = o;
    } else {
        weft__free(o);
    }
}

unsigned weft__out_pieces(weft__out *o)
{
    unsigned n = 0;
    for (weft__buffer *b = o->first; b != NULL; b = b->next)
        o->iov[n++] = (struct iovec){b->data, b->used};
    return n;
}

static bool room_for(const weft__out *o, size_t size)
{
    return o != NULL && o->last != NULL && o->last->size - o->last->used >= size;
}

/* A fresh buffer at the end; flushes first when enough is gathered. */
static int add_buffer(weft_conn *c)
{
    weft__worker *w = c->worker;
    if (c->out != NULL && (c->out->total >= w->server->options.output_max || c->out->pieces == WEFT__OUT_PIECES)) {
        int err = weft_conn_flush(c, WEFT_FOREVER);
        if (err < 0)
            return err;
    }
    weft__out *o = c->out != NULL ? c->out : weft__out_take(c);
    weft__buffer *b = o != NULL ? w->server->model->take(w) : NULL;
    if (b == NULL) {
        weft__conn_break(c, -ENOMEM);
        return -ENOMEM;
    }
    b->used = 0;
    b->next = NULL;
    if (o->last != NULL)
        o->last->next = b;
    else
        o->first = b;
    o->last = b;
    o->pieces++;
    return 0;
}

int weft_conn_write(weft_conn *c, const void *data, size_t size)
{
    int err = load_relaxed(&c->error);
    if (unlikely(err < 0))
        return err;
    if (unlikely(size >= c->worker->server->options.output_max)) {
        struct iovec piece = {(void *)(uintptr_t)data, size};
        return weft_conn_send(c, &piece, 1, 0, WEFT_FOREVER);
    }
    while (size > 0) {
        if (!room_for(c->out, 1) && (err = add_buffer(c)) < 0)
            return err;
        weft__out *o = c->out;
        size_t room = o->last->size - o->last->used;
        size_t part = size < room ? size : room;
        memcpy(o->last->data + o->last->used, data, part);
        o->last->used += (uint32_t)part;
        o->total += (uint32_t)part;
        data = (const char *)data + part;
        size -= part;
    }
    return 0;
}

void *weft_conn_reserve(weft_conn *c, size_t size)
{
    if (size > RESERVE_MAX)
        weft__panic("weft_conn_reserve(%zu): at most %d bytes can be reserved", size, RESERVE_MAX);
    if (load_relaxed(&c->error) < 0)
        return NULL;
    if (!room_for(c->out, size) && add_buffer(c) < 0)
        return NULL;
    return c->out->last->data + c->out->last->used;
}

void weft_conn_commit(weft_conn *c, size_t used)
{
    weft__out *o = c->out;
    if (!room_for(o, used))
        weft__panic("weft_conn_commit(%zu) without as large a weft_conn_reserve before", used);
    o->last->used += (uint32_t)used;
    o->total += (uint32_t)used;
}

/* ---- limits ---- */

int64_t weft__stall_until(const weft_conn *c, int64_t until)
{
    if (c->write_ms < 0)
        return until;
    int64_t stall = weft__sys_now() + (int64_t)c->write_ms * WEFT_MS;
    return stall < until ? stall : until;
}

/* The end of a send of `size` bytes by the rate limit, if that is before `until`. */
static int64_t rate_until(const weft_conn *c, uint64_t size, int64_t until)
{
    if (c->write_rate == 0)
        return until;
    uint64_t seconds = size / c->write_rate;
    if (seconds > 1u << 30)
        return until;
    int64_t ns = (int64_t)seconds * WEFT_SECOND + (int64_t)(size % c->write_rate * 1000000000u / c->write_rate);
    int64_t at = weft__sys_now() + (c->write_ms > 0 ? (int64_t)c->write_ms * WEFT_MS : 0) + ns;
    return at < until ? at : until;
}

void weft_conn_limit_write(weft_conn *c, int64_t ns, unsigned min_rate)
{
    const weft_server_options *o = &c->worker->server->options;
    int64_t limit = ns == 0 ? o->write_timeout : ns;
    int64_t ms = limit < 0 ? -1 : limit / WEFT_MS + (limit % WEFT_MS != 0);
    c->write_ms = ms > INT32_MAX ? -1 : (int32_t)ms;
    c->write_rate = min_rate == 0 ? o->min_write_rate : min_rate;
}

/* ---- sending ---- */

/* A packet that is not full waits for more from now on. sendfile(2) itself has no flag for it. */
static void cork(weft_conn *c)
{
    if (c->corked != WEFT__CORK_NONE || weft__sys_setsockopt(c->slot.fd, IPPROTO_TCP, TCP_CORK, 1) == 0)
        c->corked = WEFT__CORK_HOLDS;
}

/* Who has just sent a file mostly sends another next: his cork stays, which saves a call, and what waits is pushed past
 * it by setting TCP_NODELAY, where it is set already, too. The first answer without a file takes the cork off. */
void weft__conn_release(weft_conn *c)
{
    if (c->corked == WEFT__CORK_HOLDS && weft__sys_setsockopt(c->slot.fd, IPPROTO_TCP, TCP_NODELAY, 1) == 0)
        c->corked = WEFT__CORK_KEPT;
    else if (weft__sys_setsockopt(c->slot.fd, IPPROTO_TCP, TCP_CORK, 0) == 0)
        c->corked = WEFT__CORK_NONE;
}

/* Send these pieces, which begin with all that is gathered, and let go of that. */
static int send_pieces(weft_conn *c, struct iovec *iov, unsigned n, uint64_t size, unsigned flags, weft_until until)
{
    int err = load_relaxed(&c->error);
    if (unlikely(c->corked))
        flags |= WEFT__SEND_NOW; /* ahead of the release */
    if (err == 0 && c->tls == NULL)
        err = c->worker->server->model->send(c, iov, n, flags, rate_until(c, size, until.at));
    else if (err == 0)
        err = weft__secure_send(c, iov, n, rate_until(c, size, until.at));
    if (unlikely(c->corked) && !(flags & WEFT__SEND_MORE))
        weft__conn_release(c);
    if (c->out != NULL) {
        weft__out_free(c->out);
        c->out = NULL;
    }
    if (err < 0)
        weft__conn_break(c, err);
    return err;
}

static int flush_with(weft_conn *c, unsigned flags, weft_until until)
{
    weft__out *o = c->out;
    if (o == NULL) {
        if (unlikely(c->corked == WEFT__CORK_HOLDS) && !(flags & WEFT__SEND_MORE))
            weft__conn_release(c);
        return load_relaxed(&c->error);
    }
    return send_pieces(c, o->iov, weft__out_pieces(o), o->total, flags, until);
}

int weft_conn_flush(weft_conn *c, weft_until until)
{
    return flush_with(c, 0, until);
}

int weft_conn_send(weft_conn *c, const struct iovec *pieces, unsigned n, unsigned flags, weft_until until)
{
    struct iovec iov[WEFT__OUT_PIECES];
    uint64_t size = 0;
    unsigned used = 0;
    if (n > WEFT__OUT_PIECES)
        weft__panic("weft_conn_send with %u pieces: at most %d", n, WEFT__OUT_PIECES);
    if (c->out != NULL && c->out->pieces + n > WEFT__OUT_PIECES) {
        int err = flush_with(c, WEFT__SEND_MORE, until);
        if (err < 0)
            return err;
    }
    if (c->out != NULL) {
        used = weft__out_pieces(c->out);
        memcpy(iov, c->out->iov, used * sizeof(iov[0]));
        size = c->out->total;
    }
    for (unsigned i = 0; i < n; i++) {
        if (pieces[i].iov_len == 0)
            continue;
        iov[used++] = pieces[i];
        size += pieces[i].iov_len;
    }
    if (used == 0)
        return load_relaxed(&c->error);
    return send_pieces(c, iov, used, size, flags & WEFT_CONN_MORE ? WEFT__SEND_MORE : 0, until);
}

/* With TLS: by way of what is gathered, so head and file, and what follows, share records. */
static int sendfile_secure(weft_conn *c, int fd, uint64_t offset, uint64_t size, bool more, int64_t end)
{
    int err = load_relaxed(&c->error);
    while (size > 0) {
        if (err < 0 || (!room_for(c->out, 1) && (err = add_buffer(c)) < 0))
            return err;
        weft__buffer *b = c->out->last;
        size_t room = b->size - b->used;
        ssize_t n = weft__sys_pread(fd, b->data + b->used, size < room ? (size_t)size : room, offset, false);
        if (n > 0) {
            b->used += (uint32_t)n;
            c->out->total += (uint32_t)n;
            offset += (uint64_t)n;
            size -= (uint64_t)n;
        }
        if (n <= 0 || c->out->total >= c->worker->server->options.output_max)
            err = weft_conn_flush(c, (weft_until){end});
        if (n <= 0) {
            weft__conn_break(c, n == 0 ? -ENODATA : (int)n);
            err = load_relaxed(&c->error);
        }
    }
    return err < 0 || more ? err : weft_conn_flush(c, (weft_until){end});
}

int weft_conn_sendfile(weft_conn *c, int fd, uint64_t offset, uint64_t size, unsigned flags, weft_until until)
{
    const weft__model *model = c->worker->server->model;
    int64_t end = rate_until(c, size, until.at);
    if (c->tls != NULL)
        return sendfile_secure(c, fd, offset, size, (flags & WEFT_CONN_MORE) != 0, end);
    int err = flush_with(c, size > 0 ? WEFT__SEND_MORE | WEFT__SEND_NOW : 0, until);
    if (err < 0)
        return err;
    bool more = (flags & WEFT_CONN_MORE) != 0;
    if (more)
        cork(c);
    uint64_t in_turn = 0;
    while (size > 0) {
        if ((err = load_relaxed(&c->error)) < 0)
            return err;
        ssize_t n = weft__sys_sendfile(c->slot.fd, fd, &offset, size < SENDFILE_TURN ? (size_t)size : SENDFILE_TURN);
        if (n > 0) {
            size -= (uint64_t)n;
            in_turn += (uint64_t)n;
            if (in_turn >= SENDFILE_TURN && size > 0) {
                in_turn = 0;
                weft_yield();
            }
            continue;
        }
        err = n == 0 ? -ENODATA : (int)n;
        if (err == -EAGAIN)
            err = model->wait_output(c, end);
        if (err < 0) {
            weft__conn_break(c, err);
            return load_relaxed(&c->error);
        }
        in_turn = 0;
    }
    if (!more && unlikely(c->corked))
        weft__conn_release(c);
    return 0;
}
