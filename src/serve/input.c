/* input.c - what a connection has received and its handler has not used yet.
 *
 * Bytes arrive in buffers of the poller, one receive each, and are shown where they lie: the usual request is never
 * copied. Only when a handler wants more than the first buffer holds are they brought together, in the first buffer's
 * free end or else in a block of our own (spare == OWN_BLOCK). A connection that waits with bytes unread keeps them in
 * a small block, so that a slow client holds little.
 *
 * I1  unread == sum of `used` of the chain - at; the chain is empty exactly when unread is 0.
 * I2  the view that fill gave stays in place until the next call that reads, or waits for input.
 * Pinned by tests/serve/conn_test.c. */
#include "serve/begun.h"
#include "serve/serve.h"

#include "base/panic.h"
#include "sys/sys.h"

#include <errno.h>
#include <string.h>

enum {
    OWN_BLOCK = 1, /* buffer->spare: made here, not the poller's */
    BLOCK_MIN = 2048,
    COMPACT_BELOW = 2048, /* unread bytes that are worth moving out of a buffer of the poller */
};

static void give(weft_conn *c, weft__buffer *b)
{
    if (b->spare == OWN_BLOCK)
        weft__free(b);
    else
        c->worker->server->model->give(c->worker, b);
}

static weft__buffer *make_block(size_t size)
{
    weft__buffer *b = weft__malloc(sizeof(*b) + size);
    if (b != NULL)
        *b = (weft__buffer){.size = (uint32_t)size, .spare = OWN_BLOCK};
    return b;
}

void weft__input_free(weft_conn *c)
{
    while (c->in != NULL) {
        weft__buffer *b = c->in;
        c->in = b->next;
        give(c, b);
    }
    c->at = c->unread = 0;
}

void weft__input_append(weft_conn *c, weft__buffer *b)
{
    b->next = NULL;
    c->unread += b->used;
    if (c->in == NULL) {
        c->in = b;
        c->at = 0;
        return;
    }
    weft__buffer *last = c->in;
    while (last->next != NULL)
        last = last->next;
    if (last->size - last->used >= b->used) {
        memcpy(last->data + last->used, b->data, b->used);
        last->used += b->used;
        give(c, b);
    } else {
        last->next = b;
    }
}

/* Bring all unread bytes together in one block with room for `want` more. */
static int gather_input(weft_conn *c, size_t want)
{
    size_t size = BLOCK_MIN;
    while (size < c->unread + want)
        size *= 2;
    weft__buffer *block = make_block(size);
    if (block == NULL)
        return -ENOMEM;
    for (weft__buffer *b = c->in; b != NULL; b = b->next) {
        size_t from = b == c->in ? c->at : 0;
        memcpy(block->data + block->used, b->data + from, b->used - from);
        block->used += (uint32_t)(b->used - from);
    }
    weft__input_free(c);
    c->in = block;
    c->unread = block->used;
    return 0;
}

void weft__input_compact(weft_conn *c)
{
    if (c->in == NULL || c->in->spare == OWN_BLOCK || c->in->next != NULL || c->unread > COMPACT_BELOW)
        return;
    (void)gather_input(c, 1); /* without memory it stays where it is */
}

static inline ssize_t show_input(weft_conn *c, const void **view)
{
    *view = c->in != NULL ? c->in->data + c->at : "";
    return (ssize_t)c->unread;
}

/* A broken connection, to one who waits for input: -ETIMEDOUT is of his deadline alone, after which he may well ask
 * again, and be told so again, at once and for ever. */
static int as_of_input(int err)
{
    return err == -ETIMEDOUT ? -EPIPE : err;
}

/* `first`: what it waits for, where nothing is unread, is the first byte of a request. */
static WEFT__NOINLINE ssize_t fill_slow(weft_conn *c, size_t have, const void **view, weft_until until, bool first)
{
    const weft__model *model = c->worker->server->model;
    ssize_t err = 0;
    while (c->unread <= have) {
        err = as_of_input(load_relaxed(&c->error));
        if (err < 0)
            break;
        if (load_relaxed(&c->flags) & WEFT__CONN_ENDED) {
            (void)show_input(c, view);
            return 0;
        }
        if (have >= c->worker->server->options.input_max) {
            err = -ENOBUFS;
            break;
        }
        if (c->out != NULL && until.at > 0) {
            /* Bounded by the write limit alone: a deadline for input must not break the output. */
            err = as_of_input(weft_conn_flush(c, WEFT_FOREVER));
            if (err < 0)
                break;
            continue; /* input may have come meanwhile */
        }
        weft__input_compact(c);
        err = model->wait_input(c, first && c->unread == 0 && have == 0, until.at);
        if (err < 0 && c->unread <= have)
            break;
    }
    if (c->unread > have) {
        err = 0;
        if (c->in->next != NULL)
            err = gather_input(c, 0);
    }
    ssize_t n = show_input(c, view);
    return err < 0 ? err : n;
}

ssize_t weft_conn_fill(weft_conn *c, size_t have, const void **view, weft_until until)
{
    if (likely(c->unread > have && c->in->next == NULL))
        return show_input(c, view);
    return fill_slow(c, have, view, until, true);
}

ssize_t weft__conn_fill_begun(weft_conn *c, const void **view, weft_until until)
{
    return fill_slow(c, 0, view, until, false);
}

void weft_conn_consume(weft_conn *c, size_t n)
{
    if (unlikely(n > c->unread))
        weft__panic("weft_conn_consume(%zu) where %u bytes are unread", n, c->unread);
    if (n == 0)
        return;
    c->turn->consumed = true;
    c->unread -= (uint32_t)n;
    while (n > 0) {
        weft__buffer *b = c->in;
        size_t here = b->used - c->at;
        if (n < here) {
            c->at += (uint32_t)n;
            return;
        }
        n -= here;
        c->in = b->next;
        c->at = 0;
        give(c, b);
    }
}

ssize_t weft_conn_recv(weft_conn *c, void *buf, size_t size, weft_until until)
{
    if (size == 0)
        return 0;
    if (c->unread == 0) {
        const void *view;
        ssize_t n = fill_slow(c, 0, &view, until, true);
        if (n <= 0)
            return n;
    }
    size_t done = 0;
    while (done < size && c->unread > 0) {
        size_t here = c->in->used - c->at;
        size_t part = here < size - done ? here : size - done;
        memcpy((char *)buf + done, c->in->data + c->at, part);
        weft_conn_consume(c, part);
        done += part;
    }
    return (ssize_t)done;
}
