/* buffered.c - buffered streams. See weft/buffered.h; frame.c finds messages.
 *
 * B1 reading: what has come and was not taken is in[at..used). A call takes when it has all it wants, so one that ends
 *    early has changed nothing but how much has come. The buffer doubles when it is full, up to the limit and the few
 *    bytes around a message: it never holds more than twice of what a peer has really sent.
 * B2 `scanned` bytes from `at` on need not be searched again for the delimiter `sought`: a long line that comes byte by
 *    byte is searched once.
 * B3 writing, under `lock`: out[0..pending) is to be sent before anything else. The lock is held while a writer waits,
 * so
 *    messages do not mix. Pinned by tests/io/buffered_test.c. */
#include "base/atomic.h"
#include "io/frame.h"
#include "io/stream.h"
#include "sys/sys.h"

#include <weft/lock.h>

#include <errno.h>
#include <stdbool.h>
#include <string.h>

enum {
    SIZE = 8192,
    LIMIT = 1 << 20,
    MOST = 1 << 30,
    AROUND = 2 * WEFT__DELIMITER_MAX /* bytes around a message, at the most */
};

struct weft_buffered {
    weft_stream *stream;
    size_t limit;
    /* Reading. */
    char *in;
    size_t capacity, at, used, scanned;
    char sought[WEFT__DELIMITER_MAX];
    size_t sought_size;
    /* Writing. */
    weft_lock lock;
    char *out;
    size_t out_capacity, write_size;
    size_t pending; /* atomic, for who only asks how much it is */
    bool behind;    /* the stream itself may hold what a deadline left over */
};

/* ---- life ---- */

int weft_buffered_open(weft_buffered **out, weft_stream *s, const weft_buffered_options *options)
{
    static const weft_buffered_options none;
    const weft_buffered_options *o = options != NULL ? options : &none;
    if (o->read_size > MOST || o->write_size > MOST || o->limit > MOST)
        return -EINVAL;
    weft_buffered *b = weft__calloc(1, sizeof *b);
    if (b == NULL)
        return -ENOMEM;
    b->stream = s;
    b->limit = o->limit != 0 ? o->limit : LIMIT;
    b->capacity = o->read_size != 0 ? o->read_size : SIZE;
    b->write_size = b->out_capacity = o->write_size != 0 ? o->write_size : SIZE;
    b->in = weft__malloc(b->capacity);
    b->out = weft__malloc(b->out_capacity);
    if (b->in == NULL || b->out == NULL) {
        weft__free(b->in);
        weft__free(b->out);
        weft__free(b);
        return -ENOMEM;
    }
    *out = b;
    return 0;
}

void weft_buffered_close(weft_buffered *b)
{
    if (b == NULL)
        return;
    weft_stream_close(b->stream);
    weft__free(b->in);
    weft__free(b->out);
    weft__free(b);
}

weft_stream *weft_buffered_stream(weft_buffered *b)
{
    return b->stream;
}

/* ---- reading ---- */

static size_t there(const weft_buffered *b)
{
    return b->used - b->at;
}

static void take(weft_buffered *b, size_t n)
{
    b->at += n;
    b->scanned = 0;
}

/* Room behind what is there: 0 or -ENOMEM. */
static int make_room(weft_buffered *b)
{
    if (b->used < b->capacity)
        return 0;
    if (b->at > 0) {
        memmove(b->in, b->in + b->at, there(b));
        b->used -= b->at;
        b->at = 0;
        return 0;
    }
    size_t most = b->limit + AROUND, larger = b->capacity < SIZE / 2 ? SIZE : 2 * b->capacity;
    if (larger > most)
        larger = most > b->capacity ? most : b->capacity + AROUND;
    char *in = weft__realloc(b->in, larger);
    if (in == NULL)
        return -ENOMEM;
    b->in = in;
    b->capacity = larger;
    return 0;
}

/* Get more. The count, 0 at the end, or an error. */
static ssize_t fill(weft_buffered *b, weft_until until)
{
    if (b->at == b->used)
        b->at = b->used = 0;
    int err = make_room(b);
    if (err < 0)
        return err;
    ssize_t n = weft_stream_recv(b->stream, b->in + b->used, b->capacity - b->used, until);
    if (n > 0)
        b->used += (size_t)n;
    return n;
}

/* At least n bytes. 1; 0: the stream ends before; or an error. */
static ssize_t fill_to(weft_buffered *b, size_t n, weft_until until)
{
    while (there(b) < n) {
        ssize_t got = fill(b, until);
        if (got <= 0)
            return got;
    }
    return 1;
}

static int ended(const weft_buffered *b)
{
    return there(b) == 0 ? -WEFT_EEOF : -WEFT_ETRUNCATED;
}

ssize_t weft_buffered_read(weft_buffered *b, void *buf, size_t size, weft_until until)
{
    if (size == 0)
        return 0;
    if (there(b) == 0) {
        if (size >= b->capacity)
            return weft_stream_recv(b->stream, buf, size, until);
        ssize_t n = fill(b, until);
        if (n <= 0)
            return n;
    }
    size_t n = there(b) < size ? there(b) : size;
    memcpy(buf, b->in + b->at, n);
    take(b, n);
    return (ssize_t)n;
}

ssize_t weft_buffered_read_exactly(weft_buffered *b, void *buf, size_t size, weft_until until)
{
    if (size == 0)
        return 0;
    if (size > b->limit)
        return -EMSGSIZE;
    ssize_t n = fill_to(b, size, until);
    if (n <= 0)
        return n == 0 ? ended(b) : n;
    memcpy(buf, b->in + b->at, size);
    take(b, size);
    return (ssize_t)size;
}

ssize_t weft_buffered_peek(weft_buffered *b, const void **data, size_t least, weft_until until)
{
    if (least > b->limit)
        return -EMSGSIZE;
    ssize_t n = fill_to(b, least, until);
    if (n < 0)
        return n;
    *data = b->in + b->at;
    return (ssize_t)there(b);
}

int weft_buffered_skip(weft_buffered *b, size_t n)
{
    if (n > there(b))
        return -EINVAL;
    take(b, n);
    return 0;
}

/* Another delimiter than the last time has not been looked for yet. */
static void seek(weft_buffered *b, const void *delimiter, size_t size)
{
    if (b->sought_size == size && memcmp(b->sought, delimiter, size) == 0)
        return;
    memcpy(b->sought, delimiter, size);
    b->sought_size = size;
    b->scanned = 0;
}

/* Bytes up to and with the delimiter; 0: the stream ends before; -EMSGSIZE: the limit has come without it, and `more`
 * (NULL: never) does not say to look further; or another error. */
static ssize_t find(weft_buffered *b, const void *delimiter, size_t size, bool (*more)(const weft_buffered *b),
                    weft_until until)
{
    size_t end;
    seek(b, delimiter, size);
    while (!weft__find_delimiter(b->in + b->at, there(b), b->sought, size, &b->scanned, &end)) {
        if (there(b) >= size && there(b) - size >= b->limit && (more == NULL || !more(b)))
            return -EMSGSIZE;
        ssize_t n = fill(b, until);
        if (n <= 0)
            return n;
    }
    return (ssize_t)end;
}

/* A line as long as the limit may have a "\r" behind it. */
static bool has_return_above_limit(const weft_buffered *b)
{
    return there(b) == b->limit + 1 && b->in[b->used - 1] == '\r';
}

ssize_t weft_buffered_read_until(weft_buffered *b, const char **data, const void *delimiter, size_t delimiter_size,
                                 weft_until until)
{
    if (delimiter_size == 0 || delimiter_size > WEFT__DELIMITER_MAX)
        return -EINVAL;
    ssize_t n = find(b, delimiter, delimiter_size, NULL, until);
    if (n <= 0)
        return n == 0 ? ended(b) : n;
    if ((size_t)n - delimiter_size > b->limit)
        return -EMSGSIZE;
    *data = b->in + b->at;
    take(b, (size_t)n);
    return n;
}

ssize_t weft_buffered_read_line(weft_buffered *b, const char **line, weft_until until)
{
    ssize_t n = find(b, "\n", 1, has_return_above_limit, until);
    if (n < 0)
        return n;
    size_t size = (size_t)n, taken = (size_t)n;
    if (n == 0) { /* the last line, which lacks its end */
        int err = make_room(b);
        if (err < 0 || there(b) == 0)
            return err < 0 ? err : -WEFT_EEOF;
        size = taken = there(b);
    } else {
        size--;
        if (size > 0 && b->in[b->at + size - 1] == '\r')
            size--;
    }
    if (size > b->limit)
        return -EMSGSIZE;
    b->in[b->at + size] = 0;
    *line = b->in + b->at;
    take(b, taken);
    return (ssize_t)size;
}

static size_t limit_of(const weft_buffered *b, const weft_frame *frame)
{
    return frame->limit != 0 && frame->limit < b->limit ? frame->limit : b->limit;
}

ssize_t weft_buffered_read_frame(weft_buffered *b, const weft_frame *frame, const void **data, weft_until until)
{
    weft__frame_place place;
    size_t need;
    int found = weft__frame_check(frame);
    if (found < 0)
        return found;
    if (frame->kind == WEFT_FRAME_DELIMITER)
        seek(b, frame->delimiter_size != 0 ? frame->delimiter : "\n",
             frame->delimiter_size != 0 ? frame->delimiter_size : 1);
    for (;;) {
        found = weft__frame_find(frame, limit_of(b, frame), b->in + b->at, there(b), &b->scanned, &place, &need);
        if (found != 0)
            break;
        ssize_t n = fill_to(b, need, until);
        if (n <= 0)
            return n == 0 ? ended(b) : n;
    }
    if (found < 0)
        return found;
    *data = b->in + b->at + place.head;
    take(b, place.whole);
    return (ssize_t)place.size;
}

/* ---- writing ---- */

/* Send what is pending. Pre: locked. */
static int flush(weft_buffered *b, weft_until until)
{
    size_t sent = 0;
    if (b->pending == 0 && !b->behind)
        return 0;
    ssize_t n = weft__stream_send_counted(b->stream, &(struct iovec){b->out, b->pending}, 1, &sent, until);
    memmove(b->out, b->out + sent, b->pending - sent);
    store_relaxed(&b->pending, b->pending - sent);
    b->behind = n < 0;
    return n < 0 ? (int)n : 0;
}

/* Keep what comes after the first `skip` bytes of the pieces: 0 or -ENOMEM. Pre: locked. */
static int keep(weft_buffered *b, const struct iovec *pieces, unsigned n, size_t skip)
{
    size_t size = 0;
    for (unsigned i = 0; i < n; i++)
        size += pieces[i].iov_len;
    size -= skip;
    if (b->out_capacity - b->pending < size) {
        char *out = weft__realloc(b->out, b->pending + size);
        if (out == NULL)
            return -ENOMEM;
        b->out = out;
        b->out_capacity = b->pending + size;
    }
    for (unsigned i = 0; i < n; i++) {
        size_t part = skip < pieces[i].iov_len ? skip : pieces[i].iov_len;
        if (part < pieces[i].iov_len)
            memcpy(b->out + b->pending, (char *)pieces[i].iov_base + part, pieces[i].iov_len - part);
        store_relaxed(&b->pending, b->pending + (pieces[i].iov_len - part));
        skip -= part;
    }
    return 0;
}

/* Send the pieces, after what is pending, without copying them first; or, when they fit, only keep them. Pre:
 * locked. */
static int write_pieces(weft_buffered *b, const struct iovec *pieces, unsigned n, size_t size, bool at_once,
                        weft_until until)
{
    size_t sent = 0;
    if (!at_once && b->pending + size <= b->write_size)
        return keep(b, pieces, n, 0);
    int err = flush(b, until);
    if (err < 0)
        return err;
    if (!at_once && size < b->write_size)
        return keep(b, pieces, n, 0);
    ssize_t k = weft__stream_send_counted(b->stream, pieces, n, &sent, until);
    if (k >= 0 || sent == 0)
        return k < 0 ? (int)k : 0;
    if (k != -ETIMEDOUT && k != -ECANCELED)
        return (int)k; /* a broken connection */
    b->behind = true;
    err = keep(b, pieces, n, sent);
    if (err < 0) { /* half a message is out and its rest is lost: nothing may follow it */
        weft_stream_shutdown(b->stream, WEFT_SHUTDOWN_BOTH);
        return err;
    }
    return -EINPROGRESS;
}

ssize_t weft_buffered_write(weft_buffered *b, const void *data, size_t size, weft_until until)
{
    int err = weft_lock_acquire_until(&b->lock, until);
    if (err < 0)
        return err;
    err = write_pieces(b, &(struct iovec){(void *)(uintptr_t)data, size}, 1, size, false, until);
    weft_lock_release(&b->lock);
    return err < 0 ? err : (ssize_t)size;
}

int weft_buffered_flush(weft_buffered *b, weft_until until)
{
    int err = weft_lock_acquire_until(&b->lock, until);
    if (err < 0)
        return err;
    err = flush(b, until);
    weft_lock_release(&b->lock);
    return err;
}

size_t weft_buffered_unsent(weft_buffered *b)
{
    return load_relaxed(&b->pending); /* without the lock, which who waits for room holds for as long as that takes */
}

ssize_t weft_buffered_write_frame(weft_buffered *b, const weft_frame *frame, const void *data, size_t size,
                                  weft_until until)
{
    char head[WEFT__FRAME_HEAD_MAX];
    const char *tail = "";
    size_t head_size = 0, tail_size = 0;
    int err = weft__frame_check(frame);
    if (err == 0)
        err = weft__frame_wrap(frame, limit_of(b, frame), data, size, head, &head_size, &tail, &tail_size);
    if (err == 0)
        err = weft_lock_acquire_until(&b->lock, until);
    if (err < 0)
        return err;
    struct iovec pieces[3] = {{head, head_size}, {(void *)(uintptr_t)data, size}, {(void *)(uintptr_t)tail, tail_size}};
    err = write_pieces(b, pieces, 3, head_size + size + tail_size, true, until);
    weft_lock_release(&b->lock);
    return err < 0 ? err : (ssize_t)size;
}
