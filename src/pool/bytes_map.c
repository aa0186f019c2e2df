/* bytes_map.c - map over bytes, for every engine: see weft/executor.h.
 *
 * As in map.c, a chunk is one job. Its bytes are its function and then its inputs, each behind its size, at multiples
 * of 16; its answer is made of its results in the same way, the last of which may be an error with its words. So a
 * chunk crosses to another process as one message. Pinned by tests/pool/bytes_test.c. */
#include "pool/bytes.h"

#include "pool/pool.h"

#include "sys/sys.h"

#include <errno.h>
#include <string.h>

enum {
    UNIT = 16 /* what an input is aligned to */
};

typedef struct parcel {
    uint64_t size;
    int64_t error; /* a result's; the bytes are its words then */
} parcel;

typedef struct chunk {
    weft_future *future;
    weft_bytes answer; /* once it is done */
    size_t at;         /* how far that was given */
} chunk;

struct weft_bytes_map {
    weft_executor *ex;
    weft_bytes_fn *fn;
    int (*next)(void *arg, weft_bytes *input);
    void *arg;
    size_t per_chunk;
    bool unordered;
    weft_reply packed; /* the next chunk's input */
    bool held;         /* it could not be submitted yet */
    int end;           /* of the inputs: 0 not reached, 1 reached, negative an error that was not given yet */
    bool stopped;
    char *why;
    size_t first, count, size; /* a ring */
    chunk *ring;
    weft_future **futures; /* room for a wait */
};

_Static_assert(sizeof(parcel) == UNIT && sizeof(weft_bytes_fn *) <= UNIT, "they keep the alignment");

static int pack(weft_reply *to, parcel head, const void *data)
{
    size_t padded = (head.size + UNIT - 1) / UNIT * UNIT;
    char *at = padded >= head.size ? weft_reply_grow(to, sizeof head + padded) : NULL;
    if (at == NULL)
        return -ENOMEM;
    memcpy(at, &head, sizeof head);
    if (head.size > 0)
        memcpy(at + sizeof head, data, head.size);
    memset(at + sizeof head + head.size, 0, padded - head.size);
    return 0;
}

/* The parcel at *at, which moves behind it; false at the end. */
static bool unpack(const char *data, size_t size, size_t *at, parcel *head, const void **bytes)
{
    if (size - *at < sizeof *head)
        return false;
    memcpy(head, data + *at, sizeof *head);
    *bytes = data + *at + sizeof *head;
    *at += sizeof *head;
    if (head->size > size - *at)
        return false;
    size_t padded = (size_t)(head->size + UNIT - 1) / UNIT * UNIT;
    *at += padded < size - *at ? padded : size - *at;
    return true;
}

/* The job. It stops at the first failure, whose error is a parcel like a result. */
static int run_chunk(const void *in, size_t size, weft_reply *reply)
{
    weft_bytes_fn *fn;
    parcel head;
    const void *bytes;
    weft_reply one;
    int err = 0;
    memcpy(&fn, in, sizeof fn);
    weft__reply_init(&one, reply->limit);
    for (size_t at = UNIT; err == 0 && unpack(in, size, &at, &head, &bytes);) {
        weft__reply_reset(&one);
        int failed = fn(bytes, (size_t)head.size, &one);
        if (failed >= 0) {
            err = pack(reply, (parcel){one.size, 0}, one.data);
            continue;
        }
        const char *why = one.why != NULL ? one.why : "";
        err = pack(reply, (parcel){strlen(why), failed}, why);
        break;
    }
    weft__reply_drop(&one);
    return err;
}

/* ---- submitting ---- */

static void gather(weft_bytes_map *m)
{
    char *fn;
    size_t n = 0;
    weft__reply_reset(&m->packed);
    if ((fn = weft_reply_grow(&m->packed, UNIT)) == NULL) {
        m->end = -ENOMEM;
        return;
    }
    memset(fn, 0, UNIT);
    memcpy(fn, &m->fn, sizeof m->fn);
    while (n < m->per_chunk && m->end == 0) {
        weft_bytes input = {NULL, 0};
        int got = m->next(m->arg, &input);
        if (got > 0)
            got = pack(&m->packed, (parcel){input.size, 0}, input.data) < 0 ? -ENOMEM : 1;
        if (got > 0)
            n++;
        else
            m->end = got < 0 ? got : 1;
    }
    m->held = n > 0;
}

/* Submit until the look-ahead is full. Waits for room only when nothing is under way. 0, or why nothing is. */
static int fill(weft_bytes_map *m, weft_until until)
{
    static const weft_until long_past = {1};
    while (m->count < m->size) {
        if (!m->held && m->end == 0)
            gather(m);
        if (!m->held)
            return 0;
        weft_job_options options = {.until = m->count == 0 && until.at > 0 ? until : long_past};
        chunk *c = &m->ring[(m->first + m->count) % m->size];
        *c = (chunk){0};
        int err = weft_submit_bytes(m->ex, run_chunk, m->packed.data, m->packed.size, &options, &c->future);
        if (err == -WEFT_EFULL || err == -ETIMEDOUT || err == -ECANCELED)
            return m->count == 0 ? err : 0;
        m->held = false;
        if (err == 0)
            m->count++;
        else
            m->end = err;
    }
    return 0;
}

int weft_bytes_map_new(weft_bytes_map **out, weft_executor *ex, weft_bytes_fn *fn,
                       int (*next)(void *arg, weft_bytes *input), void *arg, const weft_map_options *options)
{
    static const weft_map_options none;
    const weft_map_options *o = options != NULL ? options : &none;
    weft_executor_info info;
    weft_executor_look(ex, &info);
    size_t per_chunk = o->chunk != 0 ? o->chunk : 1, size = (size_t)info.workers_max * 2;
    if (o->look_ahead != 0)
        size = o->look_ahead > per_chunk ? o->look_ahead / per_chunk : 1;
    if (size > PTRDIFF_MAX / sizeof(chunk) / 2)
        return -EINVAL;
    weft_bytes_map *m = weft__calloc(1, sizeof *m);
    if (m == NULL)
        return -ENOMEM;
    m->ring = weft__calloc(size, sizeof *m->ring);
    m->futures = weft__calloc(size, sizeof(weft_future *));
    m->ex = ex;
    m->fn = fn;
    m->next = next;
    m->arg = arg;
    m->per_chunk = per_chunk;
    m->size = size;
    m->unordered = o->unordered != 0;
    weft__reply_init(&m->packed, PTRDIFF_MAX / 4);
    if (m->ring == NULL || m->futures == NULL) {
        weft_bytes_map_free(m);
        return -ENOMEM;
    }
    fill(m, WEFT_NOW);
    *out = m;
    return 0;
}

/* ---- results ---- */

static chunk *at(const weft_bytes_map *m, size_t i)
{
    return &m->ring[(m->first + i) % m->size];
}

static void drop_first(weft_bytes_map *m)
{
    weft_future_unref(at(m, 0)->future);
    m->first = (m->first + 1) % m->size;
    m->count--;
}

/* Bring a chunk that is done to the front. 0, or why there is none. */
static int find_done(weft_bytes_map *m, weft_until until)
{
    if (!m->unordered || at(m, 0)->answer.data != NULL)
        return weft_future_wait(at(m, 0)->future, until);
    for (size_t i = 0; i < m->count; i++)
        m->futures[i] = at(m, i)->future;
    long n = weft_futures_wait(m->futures, m->count, WEFT_FIRST_DONE, until);
    if (n <= 0)
        return n < 0 ? (int)n : -ETIMEDOUT;
    size_t i = 0;
    while (!weft_future_done(at(m, i)->future))
        i++;
    chunk done = *at(m, i);
    for (; i > 0; i--)
        *at(m, i) = *at(m, i - 1);
    *at(m, 0) = done;
    return 0;
}

static int fail(weft_bytes_map *m, int error, const char *why)
{
    weft__free(m->why);
    m->why = why[0] != '\0' ? strdup(why) : NULL;
    m->stopped = true;
    for (size_t i = 0; i < m->count; i++)
        weft_future_cancel(at(m, i)->future);
    return error;
}

int weft_bytes_map_next(weft_bytes_map *m, weft_bytes *result, weft_until until)
{
    parcel head;
    const void *bytes;
    if (m->stopped)
        return -ENODATA;
    for (;;) {
        int err = fill(m, until);
        if (m->count == 0) {
            if (err == 0) {
                err = m->end < 0 ? m->end : -ENODATA;
                m->end = 1;
            }
            return err;
        }
        err = find_done(m, until);
        if (err < 0)
            return err;
        chunk *c = at(m, 0);
        err = weft_future_bytes(c->future, &c->answer, WEFT_NOW);
        if (err < 0)
            return fail(m, err, weft_future_why(c->future));
        if (!unpack(c->answer.data, c->answer.size, &c->at, &head, &bytes)) {
            drop_first(m);
            continue;
        }
        if (head.error < 0) {
            char why[256];
            size_t size = head.size < sizeof why - 1 ? (size_t)head.size : sizeof why - 1;
            memcpy(why, bytes, size);
            why[size] = '\0';
            return fail(m, (int)head.error, why);
        }
        if (result != NULL)
            *result = (weft_bytes){bytes, (size_t)head.size};
        return 0;
    }
}

const char *weft_bytes_map_why(const weft_bytes_map *m)
{
    return m->why != NULL ? m->why : "";
}

void weft_bytes_map_free(weft_bytes_map *m)
{
    if (m == NULL)
        return;
    for (size_t i = 0; i < m->count; i++)
        weft_future_cancel(at(m, i)->future);
    int was = weft_shield(1);
    while (m->count > 0) {
        weft_future_wait(at(m, 0)->future, WEFT_FOREVER);
        drop_first(m);
    }
    weft_shield(was);
    weft__reply_drop(&m->packed);
    weft__free(m->why);
    weft__free(m->futures);
    weft__free(m->ring);
    weft__free(m);
}
