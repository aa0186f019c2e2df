/* map.c - results in the order of their inputs, with a bounded look-ahead; see weft/executor.h.
 *
 * The chunks that were submitted lie in a ring, oldest first. A chunk is one job: it has some inputs, whose places its
 * results take, stops at its first failure, and is looked at once its future is done. Only the consumer touches the map
 * (but for `stop`); a chunk is its job's from submit until its future is done.
 * Pinned by tests/pool/map_test.c. */
#include "pool/pool.h"

#include "sys/sys.h"

#include <errno.h>

typedef struct chunk {
    weft_map *map;
    weft_future *future;
    size_t n, done; /* inputs; those of them that have become results */
    void *slots[];
} chunk;

struct weft_map {
    weft_executor *ex;
    weft_job_fn *fn;
    int (*next)(void *arg, void **input);
    void *arg;
    size_t per_chunk;
    chunk *held;         /* there was no room for it in the pool's queue */
    size_t given;        /* results of the first chunk that the consumer has had */
    int end;             /* of the inputs: 0 not reached, 1 reached, negative an error that was not given yet */
    uint32_t stop;       /* atomic: jobs shall do no further input */
    size_t first, count; /* chunks in the ring */
    size_t size;         /* of the ring */
    chunk *ring[];
};

static int run_chunk(void *arg, void **result)
{
    chunk *c = arg;
    (void)result;
    for (; c->done < c->n && !load_relaxed(&c->map->stop); c->done++) {
        void *output = NULL;
        int err = c->map->fn(c->slots[c->done], &output);
        if (err < 0)
            return err;
        c->slots[c->done] = output;
    }
    return c->done == c->n ? 0 : -ECANCELED;
}

static void drop_first(weft_map *m)
{
    chunk *c = m->ring[m->first];
    weft_future_unref(c->future);
    weft__free(c);
    m->first = (m->first + 1) % m->size;
    m->count--;
    m->given = 0;
}

/* The next inputs; NULL: there are none, and m->end says why. */
static chunk *gather(weft_map *m)
{
    chunk *c = weft__malloc(sizeof *c + m->per_chunk * sizeof *c->slots);
    if (c == NULL) {
        m->end = -ENOMEM;
        return NULL;
    }
    *c = (chunk){.map = m};
    while (c->n < m->per_chunk && m->end == 0) {
        int got = m->next(m->arg, &c->slots[c->n]);
        if (got > 0)
            c->n++;
        else
            m->end = got < 0 ? got : 1;
    }
    if (c->n == 0) {
        weft__free(c);
        return NULL;
    }
    return c;
}

/* Submit until the look-ahead is full. Waits for room only when nothing is under way, until `until`. 0; or why nothing
 * is under way now, though that can be tried again. */
static int fill(weft_map *m, weft_until until)
{
    static const weft_until long_past = {1};
    while (m->count < m->size) {
        chunk *c = m->held;
        if (c == NULL && (m->end != 0 || (c = gather(m)) == NULL))
            return 0;
        weft_job_options options = {.until = m->count == 0 && until.at > 0 ? until : long_past};
        int err = weft_submit_with(m->ex, run_chunk, c, &options, &c->future);
        m->held = NULL;
        if (err == 0) {
            m->ring[(m->first + m->count++) % m->size] = c;
        } else if (err == -WEFT_EFULL || err == -ETIMEDOUT || err == -ECANCELED) {
            m->held = c;
            return m->count == 0 ? err : 0;
        } else {
            weft__free(c);
            m->end = err;
        }
    }
    return 0;
}

/* Nothing further is begun. */
static void cancel_rest(weft_map *m)
{
    store_relaxed(&m->stop, 1);
    for (size_t i = 0; i < m->count; i++)
        weft_future_cancel(m->ring[(m->first + i) % m->size]->future);
}

int weft_map_new(weft_map **out, weft_executor *ex, weft_job_fn *fn, int (*next)(void *arg, void **input), void *arg,
                 const weft_map_options *options)
{
    weft_executor_info info;
    if (ex->engine->kick != NULL)
        return -ENOTSUP;
    weft_executor_look(ex, &info);
    if (options != NULL && options->unordered)
        return -EINVAL;
    size_t per_chunk = options != NULL && options->chunk != 0 ? options->chunk : 1;
    size_t size = (size_t)info.workers_max * 2;
    if (options != NULL && options->look_ahead != 0)
        size = options->look_ahead > per_chunk ? options->look_ahead / per_chunk : 1;
    if (size > PTRDIFF_MAX / sizeof(chunk *) / 2 || per_chunk > PTRDIFF_MAX / sizeof(void *) / 2)
        return -EINVAL;
    weft_map *m = weft__malloc(sizeof *m + size * sizeof(chunk *));
    if (m == NULL)
        return -ENOMEM;
    *m = (weft_map){.ex = ex, .fn = fn, .next = next, .arg = arg, .per_chunk = per_chunk, .size = size};
    fill(m, WEFT_NOW);
    *out = m;
    return 0;
}

int weft_map_next(weft_map *m, void **result, weft_until until)
{
    if (load_relaxed(&m->stop))
        return -ENODATA;
    int err = fill(m, until);
    if (m->count == 0) {
        if (err == 0) {
            err = m->end < 0 ? m->end : -ENODATA;
            m->end = 1;
        }
        return err;
    }
    chunk *c = m->ring[m->first];
    err = weft_future_wait(c->future, until);
    if (err < 0)
        return err;
    if (m->given < c->done) {
        if (result != NULL)
            *result = c->slots[m->given];
        if (++m->given == c->n) {
            drop_first(m);
            fill(m, WEFT_NOW);
        }
        return 0;
    }
    err = weft_future_error(c->future);
    cancel_rest(m);
    return err;
}

void weft_map_free(weft_map *m)
{
    if (m == NULL)
        return;
    cancel_rest(m);
    int was = weft_shield(1);
    while (m->count > 0) {
        weft_future_wait(m->ring[m->first]->future, WEFT_FOREVER);
        drop_first(m);
    }
    weft_shield(was);
    weft__free(m->held);
    weft__free(m);
}
