/* Values and arrays in shared memory: kinds, bounds, the lock, other processes, deaths, hostile peers. */
#include "harness/harness.h"

#include "process/shm.h"

#include <weft/event.h>
#include <weft/process.h>
#include <weft/shared_value.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static weft_shared_value *new_value(enum weft_shared_kind kind, size_t size)
{
    weft_shared_value *v;
    CHECK_OK(weft_shared_value_new(&v, NULL, kind, size));
    return v;
}

static int64_t int_of(weft_shared_value *v)
{
    int64_t n = -99;
    CHECK_OK(weft_shared_value_get_int(v, &n, WEFT_FOREVER));
    return n;
}

TEST_IN(THREAD | CO, shared_value_keeps_its_kind)
{
    weft_shared_value *i = new_value(WEFT_SHARED_INT, 0), *d = new_value(WEFT_SHARED_DOUBLE, 0),
                      *b = new_value(WEFT_SHARED_BYTES, 10);
    int64_t n;
    double x = 1;
    char bytes[20];
    size_t got = 99;
    CHECK_INT(0, int_of(i));
    CHECK_OK(weft_shared_value_set_int(i, INT64_MAX, WEFT_FOREVER));
    CHECK_OK(weft_shared_value_add_int(i, 1, &n, WEFT_FOREVER)); /* goes round */
    CHECK(n == INT64_MIN && int_of(i) == INT64_MIN);
    CHECK_OK(weft_shared_value_get_double(d, &x, WEFT_FOREVER));
    CHECK(x == 0);
    CHECK_OK(weft_shared_value_set_double(d, 3.25, WEFT_FOREVER));
    CHECK_OK(weft_shared_value_add_double(d, -1, &x, WEFT_FOREVER));
    CHECK(x == 2.25);
    CHECK_OK(weft_shared_value_get_bytes(b, bytes, sizeof bytes, &got, WEFT_FOREVER));
    CHECK_INT(0, got);
    CHECK_OK(weft_shared_value_set_bytes(b, "ten bytes!", 10, WEFT_FOREVER));
    CHECK_ERR(-EMSGSIZE, weft_shared_value_set_bytes(b, "eleven byte", 11, WEFT_FOREVER));
    CHECK_ERR(-EMSGSIZE, weft_shared_value_get_bytes(b, bytes, 9, &got, WEFT_FOREVER));
    CHECK_INT(10, got);
    CHECK_OK(weft_shared_value_get_bytes(b, bytes, 10, &got, WEFT_FOREVER));
    CHECK_MEM("ten bytes!", bytes, 10);
    CHECK_ERR(-EINVAL, weft_shared_value_get_int(d, &n, WEFT_NOW));
    CHECK_ERR(-EINVAL, weft_shared_value_set_double(i, 1, WEFT_NOW));
    CHECK_ERR(-EINVAL, weft_shared_value_set_bytes(i, "", 0, WEFT_NOW));
    CHECK_ERR(-EINVAL, weft_shared_value_new(&i, NULL, WEFT_SHARED_BYTES, 0));
    CHECK_ERR(-EINVAL, weft_shared_value_new(&i, NULL, (enum weft_shared_kind)9, 1));
    weft_shared_value_free(i);
    weft_shared_value_free(d);
    weft_shared_value_free(b);
    weft_shared_value_free(NULL);
}

/* N165 */
TEST_IN(THREAD | CO, shared_array_checks_its_bounds)
{
    weft_shared_array *a;
    double x = 1.5;
    CHECK_OK(weft_shared_array_new(&a, NULL, sizeof x, 7));
    CHECK_INT(7, weft_shared_array_length(a));
    CHECK_INT(sizeof x, weft_shared_array_element_size(a));
    for (size_t i = 0; i < 7; i++, x++)
        CHECK_OK(weft_shared_array_set(a, i, &x, WEFT_FOREVER));
    CHECK_ERR(-ERANGE, weft_shared_array_set(a, 7, &x, WEFT_FOREVER));
    CHECK_ERR(-ERANGE, weft_shared_array_get(a, SIZE_MAX, &x, WEFT_FOREVER));
    CHECK_OK(weft_shared_array_get(a, 6, &x, WEFT_FOREVER));
    CHECK(x == 7.5 && ((double *)weft_shared_array_data(a))[6] == 7.5);
    CHECK_INT(0, (uintptr_t)weft_shared_array_data(a) % 16);
    weft_shared_array_free(a);
    weft_shared_array_free(NULL);
    CHECK_ERR(-EINVAL, weft_shared_array_new(&a, NULL, 0, 7));
    CHECK_ERR(-EINVAL, weft_shared_array_new(&a, NULL, 7, 0));
    CHECK_ERR(-EINVAL, weft_shared_array_new(&a, NULL, SIZE_MAX / 2, 3));
}

enum {
    ROUNDS = 2000
};

static int count_up(void *arg)
{
    weft_shared_value *v = arg;
    for (int i = 0; i < ROUNDS; i++) {
        CHECK_OK(weft_shared_value_add_int(v, 1, NULL, WEFT_FOREVER));
        WEFT_WITH_RLOCK (weft_shared_value_lock(v))
            CHECK_OK(weft_shared_value_set_int(v, int_of(v) + 1, WEFT_FOREVER));
    }
    return 0;
}

/* S001-78, N165: the lock that belongs to it makes several steps one. */
TEST_IN_LIMIT(60, THREAD | CO | PROCESS, shared_value_loses_no_change)
{
    weft_shared_value *v = new_value(WEFT_SHARED_INT, 0);
    for (int i = 0; i < 3; i++)
        test_spawn(t, count_up, v);
    test_join(t);
    CHECK_INT(3 * 2 * ROUNDS, int_of(v));
    weft_shared_value_free(v);
}

typedef struct held {
    weft_shared_value *v;
    weft_event taken;
} held;

static int hold_lock(void *arg)
{
    held *h = arg;
    CHECK_OK(weft_rlock_acquire_until(weft_shared_value_lock(h->v), WEFT_FOREVER));
    CHECK_OK(weft_shared_value_set_int(h->v, 7, WEFT_FOREVER));
    weft_event_set(&h->taken);
    for (;;)
        pause();
    return 0;
}

TEST_IN(PROCESS, shared_value_survives_the_holder_of_its_lock)
{
    held *h = test_alloc(t, sizeof *h);
    int64_t n;
    h->v = new_value(WEFT_SHARED_INT, 0);
    CHECK_OK(weft_event_init(&h->taken, WEFT_SHARED));
    int holder = test_spawn(t, hold_lock, h);
    CHECK_OK(weft_event_wait(&h->taken, WEFT_FOREVER));
    CHECK_ERR(-ETIMEDOUT, weft_shared_value_get_int(h->v, &n, WEFT_NOW));
    CHECK_ERR(-ETIMEDOUT, weft_shared_value_set_int(h->v, 8, weft_in_ms(5)));
    kill(test_pid(t, holder), SIGKILL);
    CHECK_INT(TEST_KILLED(SIGKILL), test_result(t, holder));
    CHECK_INT(7, int_of(h->v));
    weft_shared_value_free(h->v);
}

static int die_with_array(void *arg)
{
    CHECK_OK(weft_rlock_acquire_until(weft_shared_array_lock(arg), WEFT_FOREVER));
    raise(SIGKILL);
    return 0;
}

TEST_IN(PROCESS, shared_array_tells_once_that_it_may_be_half_changed)
{
    weft_shared_array *a;
    int n = 5;
    CHECK_OK(weft_shared_array_new(&a, NULL, sizeof n, 3));
    CHECK_INT(TEST_KILLED(SIGKILL), test_result(t, test_spawn(t, die_with_array, a)));
    CHECK_ERR(-EOWNERDEAD, weft_shared_array_set(a, 1, &n, WEFT_FOREVER));
    n = 0;
    CHECK_OK(weft_shared_array_get(a, 1, &n, WEFT_FOREVER));
    CHECK_INT(5, n);
    weft_shared_array_free(a);
}

typedef struct places {
    int fd;
    uint64_t value, array;
} places;

static int use_by_offset(void *arg)
{
    const places *p = arg;
    weft_shm *s;
    weft_shared_value *v;
    weft_shared_array *a;
    CHECK_OK(weft_shm_from_fd(&s, dup(p->fd))); /* at another address */
    CHECK_OK(weft_shared_value_open(&v, s, p->value));
    CHECK_OK(weft_shared_array_open(&a, s, p->array));
    CHECK_OK(weft_shared_value_add_int(v, 10, NULL, WEFT_FOREVER));
    CHECK_INT(3, weft_shared_array_length(a));
    CHECK_OK(weft_shared_array_set(a, 2, "abcd", WEFT_FOREVER));
    weft_shared_value_free(v);
    weft_shared_array_free(a);
    weft_shm_close(s);
    return 0;
}

TEST(shared_values_in_a_heap_are_found_by_offset)
{
    weft_shm *s;
    weft_shared_value *v, *other;
    weft_shared_array *a, *other_array;
    weft_process p = WEFT_PROCESS_INIT;
    int code;
    char element[4];
    CHECK_OK(weft_shm_new(&s, 10000, &(weft_shm_options){.heap = 1}));
    CHECK_OK(weft_shared_value_new(&v, s, WEFT_SHARED_INT, 0));
    CHECK_OK(weft_shared_array_new(&a, s, 4, 3));
    CHECK_ERR(-ENOMEM, weft_shared_array_new(&other_array, s, 4, 3000));
    places at = {weft_shm_fd(s), weft_shared_value_offset(v), weft_shared_array_offset(a)};
    CHECK_ERR(-EINVAL, weft_shared_value_open(&other, s, at.array));
    CHECK_ERR(-EINVAL, weft_shared_array_open(&other_array, s, at.value));
    CHECK_ERR(-EINVAL, weft_shared_value_open(&other, s, at.value + 16));
    CHECK_ERR(-EINVAL, weft_shared_value_open(&other, s, at.value + 1));
    CHECK_ERR(-EINVAL, weft_shared_value_open(&other, s, UINT64_MAX - 15));
    CHECK_ERR(-EINVAL, weft_shared_value_open(&other, s, 0));
    CHECK_OK(weft_process_start(&p, use_by_offset, &at, NULL));
    CHECK_OK(weft_process_join(&p, &code, WEFT_FOREVER));
    CHECK_INT(0, code);
    CHECK_OK(weft_process_close(&p));
    CHECK_INT(10, int_of(v));
    CHECK_OK(weft_shared_array_get(a, 2, element, WEFT_FOREVER));
    CHECK_MEM("abcd", element, 4);
    weft_shared_value_free(v);
    weft_shared_array_free(a);
    CHECK_OK(weft_shm_free(s, weft_shm_at(s, at.value, 1)));
    CHECK_OK(weft_shm_free(s, weft_shm_at(s, at.array, 1)));
    CHECK_INT(0, weft_shm_used(s));
    weft_shm_close(s);
}

/* Reliability: the handle knows the size; what the memory says later leads nowhere. */
TEST(shared_value_with_a_hostile_peer_reads_nothing_else)
{
    weft_shm *s;
    weft_shared_value *v, *again;
    char bytes[100], *body;
    size_t got;
    unsigned seed = 5;
    CHECK_OK(weft_shm_new(&s, 1000, &(weft_shm_options){.heap = 1}));
    CHECK_OK(weft_shared_value_new(&v, s, WEFT_SHARED_BYTES, 100));
    CHECK_OK(weft_shared_value_set_bytes(v, "good", 4, WEFT_FOREVER));
    body = (char *)weft_shared_value_lock(v);
    for (int i = 0; i < 20000; i++) {
        char *at = body + sizeof(weft_rlock) + (size_t)rand_r(&seed) % 60, was = *at;
        *at = (char)rand_r(&seed);
        int err = weft_shared_value_get_bytes(v, bytes, sizeof bytes, &got, WEFT_NOW);
        CHECK(err == 0 || err == -EBADMSG || err == -EMSGSIZE);
        CHECK(err != 0 || got <= sizeof bytes);
        err = weft_shared_value_open(&again, s, weft_shared_value_offset(v));
        if (err == 0) {
            err = weft_shared_value_get_bytes(again, bytes, sizeof bytes, &got, WEFT_NOW);
            weft_shared_value_free(again);
        }
        CHECK(err == 0 || err == -EINVAL || err == -EBADMSG || err == -EMSGSIZE);
        *at = was;
    }
    weft_shared_value_free(v);
    weft_shm_close(s);
}
