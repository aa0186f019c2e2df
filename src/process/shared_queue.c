/* shared_queue.c - weft_shared_queue: a ring (shared_ring.c) in a segment (shm.c). */
#include "process/shared_ring.h"
#include "process/shm.h"
#include "sys/net.h"
#include "sys/sys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    STORE_AT = 1024,         /* where in the segment's data the messages lie */
    DEFAULT_BYTES = 4 << 20, /* more than a processor's own cache: see "fall_behind" in shared_ring.c */
    LEAST_BYTES = 64
};

#define MOST_BYTES (UINT64_C(4) << 30)

_Static_assert(sizeof(weft__ring) <= STORE_AT, "the ring's head ends before its store");

/* The handle is aligned, so that its two paces do not disturb each other. */
static int new_handle(weft_shared_queue **out, weft_shm *shm)
{
    void *memory = weft__malloc(sizeof(weft_shared_queue) + WEFT__RING_PAIR + sizeof(void *));
    if (memory == NULL)
        return -ENOMEM;
    uintptr_t at = ((uintptr_t)memory + sizeof(void *) + WEFT__RING_PAIR - 1) & ~(uintptr_t)(WEFT__RING_PAIR - 1);
    weft_shared_queue *q = (weft_shared_queue *)at;
    ((void **)at)[-1] = memory;
    memset(q, 0, sizeof *q);
    int err = shm->kind != WEFT__SHM_QUEUE || shm->size <= STORE_AT
                  ? -EPROTO
                  : weft__ring_handle(q, (weft__ring *)(void *)shm->data, shm->data + STORE_AT, shm->size - STORE_AT);
    if (err < 0) {
        weft__free(memory);
        return err;
    }
    q->shm = shm;
    *out = q;
    return 0;
}

typedef struct geometry {
    uint32_t units, capacity;
} geometry;

static int fill(weft_shm *s, void *arg)
{
    const geometry *g = arg;
    weft__ring_fill((weft__ring *)(void *)s->data, g->units, g->capacity);
    return 0;
}

int weft_shared_queue_new(weft_shared_queue **q, const weft_shared_queue_options *options)
{
    weft_shared_queue_options o = options != NULL ? *options : (weft_shared_queue_options){0};
    uint64_t bytes = LEAST_BYTES;
    weft_shm *shm;
    if (o.bytes > MOST_BYTES)
        return -EINVAL;
    while (bytes < (o.bytes != 0 ? o.bytes : DEFAULT_BYTES))
        bytes *= 2;
    geometry g = {.units = (uint32_t)(bytes / WEFT__RING_UNIT)};
    g.capacity = o.capacity != 0 && o.capacity < g.units ? (uint32_t)o.capacity : g.units;
    int err = weft__shm_new(&shm, STORE_AT + bytes, o.name, WEFT__SHM_QUEUE, fill, &g);
    if (err < 0)
        return err;
    err = new_handle(q, shm);
    if (err < 0) {
        if (o.name != NULL)
            weft_shm_unlink(weft_shm_name(shm));
        weft_shm_close(shm);
    }
    return err;
}

int weft_shared_queue_open(weft_shared_queue **q, const char *name)
{
    weft_shm *shm;
    int err = weft_shm_open(&shm, name);
    if (err < 0)
        return err;
    err = new_handle(q, shm);
    if (err < 0)
        weft_shm_close(shm);
    return err;
}

int weft_shared_queue_from_fd(weft_shared_queue **q, int fd)
{
    weft_shm *shm;
    int err = weft_shm_from_fd(&shm, fd);
    if (err < 0)
        return err;
    err = new_handle(q, shm);
    if (err < 0)
        weft__shm_detach(shm);
    return err;
}

int weft_shared_queue_fd(const weft_shared_queue *q)
{
    return weft_shm_fd(q->shm);
}

void weft_shared_queue_free(weft_shared_queue *q)
{
    if (q == NULL)
        return;
    weft_shm_close(q->shm);
    weft__free(((void **)(void *)q)[-1]);
}

int weft_shared_queue_get_new(weft_shared_queue *q, void **message, size_t *received, weft_until until)
{
    size_t room = 0, size = 0;
    char *buffer = weft__malloc(1);
    int err;
    while (buffer != NULL && (err = weft_shared_queue_get(q, buffer, room, &size, until)) == -EMSGSIZE) {
        weft__free(buffer);
        buffer = weft__malloc(size + 1);
        room = size;
    }
    if (buffer == NULL)
        return -ENOMEM;
    if (err < 0) {
        weft__free(buffer);
        return err;
    }
    buffer[size] = 0;
    *message = buffer;
    *received = size;
    return 0;
}
