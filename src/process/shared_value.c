/* shared_value.c - values and arrays in shared memory: a body with a lock, and a handle that knows its size.
 *
 * A value is an array of one element. Size and number are in the body for those who open it, and in the handle for all
 * use: what the body says later is not asked, so a hostile peer changes elements at most.
 * Pinned by tests/process/shared_value_test.c. */
#include <weft/shared_value.h>

#include "process/shm.h"
#include "sync/lock.h"
#include "sys/sys.h"

#include <errno.h>
#include <string.h>

enum {
    MAGIC = 0x77667676, /* "wfvv" */
    ARRAY = 0           /* as a kind */
};

typedef struct body {
    weft_rlock lock;
    uint32_t magic;
    uint64_t kind;
    uint64_t element_size;
    uint64_t n;
    _Alignas(16) char data[];
} body;

struct weft_shared_array {
    body *body;
    weft_shm *shm;
    bool own; /* the segment is this value's alone */
    uint32_t kind;
    size_t element_size, n;
};

struct weft_shared_value {
    weft_shared_array a;
};

/* ---- handles ---- */

static int new_body(weft_shared_array *a, weft_shm *heap, size_t size)
{
    void *p;
    int err = heap != NULL ? weft_shm_alloc(heap, size, &p) : weft_shm_new(&a->shm, size, NULL);
    if (err < 0)
        return err;
    if (heap == NULL) {
        p = weft_shm_data(a->shm);
        a->own = true;
    }
    a->body = p;
    return 0;
}

static int new_array(weft_shared_array **out, weft_shm *heap, uint32_t kind, size_t element_size, size_t n)
{
    size_t size;
    if (element_size == 0 || n == 0 || __builtin_mul_overflow(element_size, n, &size) ||
        __builtin_add_overflow(size, sizeof(body), &size))
        return -EINVAL;
    weft_shared_array *a = weft__calloc(1, sizeof(weft_shared_value));
    if (a == NULL)
        return -ENOMEM;
    *a = (weft_shared_array){.shm = heap, .kind = kind, .element_size = element_size, .n = n};
    int err = new_body(a, heap, size);
    if (err < 0) {
        weft__free(a);
        return err;
    }
    weft_rlock_init(&a->body->lock, WEFT_SHARED);
    a->body->kind = kind;
    a->body->element_size = element_size;
    a->body->n = n;
    store_release(&a->body->magic, (uint32_t)MAGIC);
    *out = a;
    return 0;
}

static int open_array(weft_shared_array **out, weft_shm *heap, uint64_t offset, bool value)
{
    body *b = offset % 16 == 0 ? weft_shm_at(heap, offset, sizeof(body)) : NULL;
    if (b == NULL || load_acquire(&b->magic) != MAGIC)
        return -EINVAL;
    weft_shared_array copy = {.body = b, .shm = heap, .kind = (uint32_t)load_relaxed(&b->kind)};
    copy.element_size = load_relaxed(&b->element_size);
    copy.n = load_relaxed(&b->n);
    size_t size;
    if (copy.element_size == 0 || copy.n == 0 || __builtin_mul_overflow(copy.element_size, copy.n, &size) ||
        weft_shm_at(heap, offset + sizeof(body), size) == NULL || copy.kind > WEFT_SHARED_BYTES ||
        (copy.kind != ARRAY) != value || (value && (copy.n != 1 || copy.element_size < sizeof(uint64_t))))
        return -EINVAL;
    weft_shared_array *a = weft__calloc(1, sizeof(weft_shared_value));
    if (a == NULL)
        return -ENOMEM;
    *a = copy;
    *out = a;
    return 0;
}

static void free_handle(weft_shared_array *a)
{
    if (a != NULL && a->own)
        weft_shm_close(a->shm);
    weft__free(a);
}

int weft_shared_array_new(weft_shared_array **a, weft_shm *heap, size_t element_size, size_t n)
{
    return new_array(a, heap, ARRAY, element_size, n);
}

int weft_shared_array_open(weft_shared_array **a, weft_shm *heap, uint64_t offset)
{
    return open_array(a, heap, offset, false);
}

uint64_t weft_shared_array_offset(const weft_shared_array *a)
{
    return weft_shm_offset(a->shm, a->body);
}

void weft_shared_array_free(weft_shared_array *a)
{
    free_handle(a);
}

int weft_shared_value_new(weft_shared_value **v, weft_shm *heap, enum weft_shared_kind kind, size_t size)
{
    if (kind < WEFT_SHARED_INT || kind > WEFT_SHARED_BYTES || (kind == WEFT_SHARED_BYTES && size == 0) ||
        size > SIZE_MAX / 2)
        return -EINVAL;
    size_t bytes = sizeof(uint64_t) + (kind == WEFT_SHARED_BYTES ? size : 0);
    weft_shared_array *a;
    int err = new_array(&a, heap, kind, bytes, 1);
    if (err == 0)
        *v = container_of(a, weft_shared_value, a);
    return err;
}

int weft_shared_value_open(weft_shared_value **v, weft_shm *heap, uint64_t offset)
{
    weft_shared_array *a;
    int err = open_array(&a, heap, offset, true);
    if (err == 0)
        *v = container_of(a, weft_shared_value, a);
    return err;
}

uint64_t weft_shared_value_offset(const weft_shared_value *v)
{
    return weft_shared_array_offset(&v->a);
}

void weft_shared_value_free(weft_shared_value *v)
{
    free_handle(v == NULL ? NULL : &v->a);
}

weft_rlock *weft_shared_array_lock(weft_shared_array *a)
{
    return &a->body->lock;
}

weft_rlock *weft_shared_value_lock(weft_shared_value *v)
{
    return &v->a.body->lock;
}

size_t weft_shared_array_length(const weft_shared_array *a)
{
    return a->n;
}

size_t weft_shared_array_element_size(const weft_shared_array *a)
{
    return a->element_size;
}

void *weft_shared_array_data(weft_shared_array *a)
{
    return a->body->data;
}

/* ---- under the lock ---- */

/* 0 or -EOWNERDEAD: the lock is held. */
static int enter(weft_shared_array *a, weft_until until)
{
    int err = weft_rlock_acquire_until(&a->body->lock, until);
    if (err == -EOWNERDEAD)
        weft_rlock_recover(&a->body->lock);
    return err;
}

static bool is_held(int err)
{
    return err == 0 || err == -EOWNERDEAD;
}

/* The result of a call that did its work, or of one that could not. */
static int leave(weft_shared_array *a, int err)
{
    return weft__rlock_let_go(&a->body->lock) ? err : -EBADMSG;
}

/* 0 or -EOWNERDEAD: the lock is held. */
static int enter_element(weft_shared_array *a, size_t i, char **element, weft_until until)
{
    if (i >= a->n)
        return -ERANGE;
    *element = a->body->data + i * a->element_size;
    return enter(a, until);
}

int weft_shared_array_get(weft_shared_array *a, size_t i, void *element, weft_until until)
{
    char *at;
    int err = enter_element(a, i, &at, until);
    if (!is_held(err))
        return err;
    memcpy(element, at, a->element_size);
    return leave(a, err);
}

int weft_shared_array_set(weft_shared_array *a, size_t i, const void *element, weft_until until)
{
    char *at;
    int err = enter_element(a, i, &at, until);
    if (!is_held(err))
        return err;
    memcpy(at, element, a->element_size);
    return leave(a, err);
}

/* ---- numbers: one word, changed by one store, so a death leaves it whole ---- */

static uint64_t *word_of(weft_shared_value *v)
{
    return (uint64_t *)(void *)v->a.body->data;
}

static int enter_number(weft_shared_value *v, uint32_t kind, weft_until until)
{
    if (v->a.kind != kind)
        return -EINVAL;
    int err = enter(&v->a, until);
    return is_held(err) ? 0 : err;
}

int weft_shared_value_get_int(weft_shared_value *v, int64_t *n, weft_until until)
{
    int err = enter_number(v, WEFT_SHARED_INT, until);
    if (err < 0)
        return err;
    *n = (int64_t)load_relaxed(word_of(v));
    return leave(&v->a, 0);
}

int weft_shared_value_set_int(weft_shared_value *v, int64_t n, weft_until until)
{
    int err = enter_number(v, WEFT_SHARED_INT, until);
    if (err < 0)
        return err;
    store_relaxed(word_of(v), (uint64_t)n);
    return leave(&v->a, 0);
}

int weft_shared_value_add_int(weft_shared_value *v, int64_t n, int64_t *sum, weft_until until)
{
    int err = enter_number(v, WEFT_SHARED_INT, until);
    if (err < 0)
        return err;
    uint64_t now = load_relaxed(word_of(v)) + (uint64_t)n;
    store_relaxed(word_of(v), now);
    if (sum != NULL)
        *sum = (int64_t)now;
    return leave(&v->a, 0);
}

static double load_double(weft_shared_value *v)
{
    uint64_t word = load_relaxed(word_of(v));
    double n;
    memcpy(&n, &word, sizeof n);
    return n;
}

static void store_double(weft_shared_value *v, double n)
{
    uint64_t word;
    memcpy(&word, &n, sizeof word);
    store_relaxed(word_of(v), word);
}

int weft_shared_value_get_double(weft_shared_value *v, double *n, weft_until until)
{
    int err = enter_number(v, WEFT_SHARED_DOUBLE, until);
    if (err < 0)
        return err;
    *n = load_double(v);
    return leave(&v->a, 0);
}

int weft_shared_value_set_double(weft_shared_value *v, double n, weft_until until)
{
    int err = enter_number(v, WEFT_SHARED_DOUBLE, until);
    if (err < 0)
        return err;
    store_double(v, n);
    return leave(&v->a, 0);
}

int weft_shared_value_add_double(weft_shared_value *v, double n, double *sum, weft_until until)
{
    int err = enter_number(v, WEFT_SHARED_DOUBLE, until);
    if (err < 0)
        return err;
    double now = load_double(v) + n;
    store_double(v, now);
    if (sum != NULL)
        *sum = now;
    return leave(&v->a, 0);
}

/* ---- bytes: how many, and they ---- */

int weft_shared_value_get_bytes(weft_shared_value *v, void *bytes, size_t size, size_t *got, weft_until until)
{
    if (v->a.kind != WEFT_SHARED_BYTES)
        return -EINVAL;
    int err = enter(&v->a, until);
    if (!is_held(err))
        return err;
    uint64_t there = load_relaxed(word_of(v));
    if (there > v->a.element_size - sizeof there) {
        err = -EBADMSG;
    } else {
        *got = (size_t)there;
        if (there > size)
            err = -EMSGSIZE;
        else if (there > 0)
            memcpy(bytes, v->a.body->data + sizeof there, (size_t)there);
    }
    return leave(&v->a, err);
}

int weft_shared_value_set_bytes(weft_shared_value *v, const void *bytes, size_t size, weft_until until)
{
    if (v->a.kind != WEFT_SHARED_BYTES)
        return -EINVAL;
    if (size > v->a.element_size - sizeof(uint64_t))
        return -EMSGSIZE;
    int err = enter(&v->a, until);
    if (!is_held(err))
        return err;
    if (size > 0)
        memcpy(v->a.body->data + sizeof(uint64_t), bytes, size);
    store_relaxed(word_of(v), (uint64_t)size);
    return leave(&v->a, err);
}
