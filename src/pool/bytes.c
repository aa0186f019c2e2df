/* bytes.c - jobs over bytes, in pools of any kind; see weft/executor.h. How they reach another process is in crew.c.
 * Pinned by tests/pool/bytes_test.c. */
#include "pool/bytes.h"

#include "pool/pool.h"
#include "pool/process_pool.h"
#include "sys/sys.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- answers ---- */

void weft__reply_init(weft_reply *r, size_t limit)
{
    r->data = r->small;
    r->size = 0;
    r->room = sizeof r->small;
    r->limit = limit;
    r->why = NULL;
    r->progress = NULL;
}

void weft__reply_reset(weft_reply *r)
{
    r->size = 0;
    if (unlikely(r->why != NULL))
        weft__free(r->why);
    r->why = NULL;
}

void weft__reply_drop(weft_reply *r)
{
    if (r->data != r->small)
        weft__free(r->data);
    weft__free(r->why);
}

/* Room for `size` more bytes. */
static int make_room(weft_reply *r, size_t size)
{
    if (size > r->limit || r->size > r->limit - size)
        return -EMSGSIZE;
    if (likely(size <= r->room - r->size))
        return 0;
    size_t room = r->room;
    while (room - r->size < size)
        room = room > SIZE_MAX / 4 ? r->size + size : room * 2;
    bool small = r->data == r->small;
    char *data = small ? weft__malloc(room) : weft__realloc(r->data, room);
    if (data == NULL)
        return -ENOMEM;
    if (small)
        memcpy(data, r->small, r->size);
    r->data = data;
    r->room = room;
    return 0;
}

void *weft_reply_grow(weft_reply *r, size_t size)
{
    if (make_room(r, size) < 0)
        return NULL;
    void *at = r->data + r->size;
    r->size += size;
    return at;
}

int weft_reply_put(weft_reply *r, const void *data, size_t size)
{
    int err = make_room(r, size);
    if (err < 0)
        return err;
    if (size > 0)
        memcpy(r->data + r->size, data, size);
    r->size += size;
    return 0;
}

static void say(weft_reply *r, const char *format, va_list args)
{
    char *text = NULL;
    if (vasprintf(&text, format, args) < 0)
        return;
    weft__free(r->why);
    r->why = text;
}

int weft_reply_fail(weft_reply *r, int error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(r, format, args);
    va_end(args);
    return error;
}

void weft__task_say(weft__task *b, const char *format, ...)
{
    if (b->reply.why != NULL)
        return;
    va_list args;
    va_start(args, format);
    say(&b->reply, format, args);
    va_end(args);
}

void weft_reply_progress(weft_reply *r, uint64_t done, uint64_t total)
{
    if (r->progress != NULL)
        r->progress(r, done, total);
}

/* ---- records ---- */

void weft__task_free(weft__task *b)
{
    weft__reply_drop(&b->reply);
    weft__free(b);
}

static void tell_progress(weft_reply *r, uint64_t done, uint64_t total)
{
    weft__task *b = container_of(r, weft__task, reply);
    b->progress(b->future, done, total, b->progress_arg);
}

/* The job, in this process. */
static int run(void *arg, void **result)
{
    weft__task *b = arg;
    int err = b->fn(b->in, b->size, &b->reply);
    *result = b->reply.data;
    return err;
}

/* A job with `refs` references; 0 or an error. */
static int make(weft_executor *ex, weft_bytes_fn *fn, const void *in, size_t size, uint32_t refs, weft__job **out)
{
    size_t limit = weft__process_pool_limit(ex);
    if (size > limit)
        return -EMSGSIZE;
    weft__task *b = weft__malloc(sizeof *b + size);
    if (b == NULL)
        return -ENOMEM;
    weft__job *j = weft__job_new(ex, run, b, refs);
    if (j == NULL) {
        weft__free(b);
        return -ENOMEM;
    }
    weft__reply_init(&b->reply, limit);
    b->fn = fn;
    b->future = &j->future;
    b->progress = NULL;
    b->man = NULL;
    b->deaths = 0;
    b->begun = b->waits = false;
    b->answer_fd = -1;
    b->size = size;
    if (size > 0)
        memcpy(b->in, in, size);
    j->bytes = b;
    *out = j;
    return 0;
}

int weft_submit_bytes(weft_executor *ex, weft_bytes_fn *fn, const void *in, size_t size,
                      const weft_job_options *options, weft_future **f)
{
    weft__job *j;
    if (unlikely(weft__pool_inherited(ex)))
        return -EPIPE;
    int err = make(ex, fn, in, size, 2, &j);
    if (err < 0)
        return err;
    if (options != NULL && options->progress != NULL) {
        j->bytes->progress = options->progress;
        j->bytes->progress_arg = options->progress_arg;
        j->bytes->reply.progress = tell_progress;
    }
    return weft__pool_submit(ex, j, options, f);
}

typedef struct calls {
    weft_bytes_fn *fn;
    const weft_bytes *in;
} calls;

static int make_call(weft_executor *ex, const void *set, size_t i, uint32_t refs, weft__job **out)
{
    const calls *c = set;
    return make(ex, c->fn, c->in[i].data, c->in[i].size, refs, out);
}

long weft_submit_bytes_many(weft_executor *ex, weft_bytes_fn *fn, const weft_bytes *in, size_t n, weft_future **futures)
{
    return weft__pool_submit_many(ex, make_call, &(calls){fn, in}, n, futures);
}

static const weft__task *bytes_of(const weft_future *f)
{
    return f->ops != NULL && f->ops->free == weft__job_free ? ((const weft__job *)f)->bytes : NULL;
}

int weft_future_bytes(weft_future *f, weft_bytes *out, weft_until until)
{
    const weft__task *b = bytes_of(f);
    if (b == NULL)
        return -EINVAL;
    int err = weft_future_result(f, NULL, until);
    if (err == 0 && out != NULL)
        *out = (weft_bytes){b->reply.data, b->reply.size};
    return err;
}

const char *weft_future_why(const weft_future *f)
{
    int err = weft_future_error(f);
    const weft__task *b = bytes_of(f);
    if (err == 0)
        return "";
    return b != NULL && b->reply.why != NULL ? b->reply.why : weft_strerror(err);
}
