/* weft/shared_value.h - one number, some bytes, or an array, in memory that processes share, each with a lock.
 *
 *     weft_shared_value *counter;
 *     int err = weft_shared_value_new(&counter, NULL, WEFT_SHARED_INT, 0);    // 0; then start processes
 *     weft_shared_value_add_int(counter, 1, NULL, WEFT_FOREVER);              // in each: none is lost
 *
 *     WEFT_WITH_RLOCK (weft_shared_value_lock(counter)) { ... get ... set ... }    // several steps as one
 *
 * The lock is a weft_rlock: each call takes it, and so may a caller around several. Waiting is for that lock: besides
 * what is said below, calls that have a deadline return -ETIMEDOUT, -ECANCELED (nothing was done), and -EBADMSG when
 * the memory has been spoilt. A process that dies with the lock does not keep it. Numbers cannot be half changed; bytes
 * and elements can, and then the next call does its work and returns -EOWNERDEAD, once.
 *
 * A value lies in a heap (weft_shm_new with .heap) or, with NULL, in a segment of its own that forks inherit. A handle
 * belongs to its process and to those forked from it; a process that has another mapping of the heap makes its own by
 * open. Unless said otherwise: call from threads and coroutines, by any number of callers at once, not from signal
 * handlers; nothing but new and open allocates. */
#ifndef WEFT_SHARED_VALUE_H
#define WEFT_SHARED_VALUE_H

#include <weft/lock.h>
#include <weft/shm.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weft_shared_value weft_shared_value;
typedef struct weft_shared_array weft_shared_array;

enum weft_shared_kind {
    WEFT_SHARED_INT = 1, /* int64_t */
    WEFT_SHARED_DOUBLE,
    WEFT_SHARED_BYTES /* none to `size` of them */
};

/* Make a value of 0, or of no bytes; size: the most bytes, with WEFT_SHARED_BYTES. In `heap`, or NULL. Returns 0;
 * -EINVAL; -ENOMEM; otherwise as weft_shm_alloc or weft_shm_new. */
WEFT_API int weft_shared_value_new(weft_shared_value **v, weft_shm *heap, enum weft_shared_kind kind, size_t size);

/* Where it lies, to be given to others that map the heap, and a handle to what lies there. -EINVAL: no value lies
 * there. */
WEFT_API uint64_t weft_shared_value_offset(const weft_shared_value *v);
WEFT_API int weft_shared_value_open(weft_shared_value **v, weft_shm *heap, uint64_t offset);

/* Let go of the handle. A value in a heap stays there: weft_shm_free it with weft_shm_at(heap, offset, 1) when nobody
 * uses it any more. NULL is nothing. */
WEFT_API void weft_shared_value_free(weft_shared_value *v);

WEFT_API weft_rlock *weft_shared_value_lock(weft_shared_value *v);

/* -EINVAL: it is of another kind. add stores the sum in *sum (may be NULL); integers go round. */
WEFT_API int weft_shared_value_get_int(weft_shared_value *v, int64_t *n, weft_until until);
WEFT_API int weft_shared_value_set_int(weft_shared_value *v, int64_t n, weft_until until);
WEFT_API int weft_shared_value_add_int(weft_shared_value *v, int64_t n, int64_t *sum, weft_until until);
WEFT_API int weft_shared_value_get_double(weft_shared_value *v, double *n, weft_until until);
WEFT_API int weft_shared_value_set_double(weft_shared_value *v, double n, weft_until until);
WEFT_API int weft_shared_value_add_double(weft_shared_value *v, double n, double *sum, weft_until until);

/* -EMSGSIZE: more than fit; get tells in *got how many there are. */
WEFT_API int weft_shared_value_get_bytes(weft_shared_value *v, void *bytes, size_t size, size_t *got, weft_until until);
WEFT_API int weft_shared_value_set_bytes(weft_shared_value *v, const void *bytes, size_t size, weft_until until);

/* Make an array of n elements of element_size bytes, zeroed. Results and the other calls as for values. */
WEFT_API int weft_shared_array_new(weft_shared_array **a, weft_shm *heap, size_t element_size, size_t n);
WEFT_API uint64_t weft_shared_array_offset(const weft_shared_array *a);
WEFT_API int weft_shared_array_open(weft_shared_array **a, weft_shm *heap, uint64_t offset);
WEFT_API void weft_shared_array_free(weft_shared_array *a);
WEFT_API weft_rlock *weft_shared_array_lock(weft_shared_array *a);

WEFT_API size_t weft_shared_array_length(const weft_shared_array *a);
WEFT_API size_t weft_shared_array_element_size(const weft_shared_array *a);

/* Copy element i out or in. -ERANGE: there is no such element. */
WEFT_API int weft_shared_array_get(weft_shared_array *a, size_t i, void *element, weft_until until);
WEFT_API int weft_shared_array_set(weft_shared_array *a, size_t i, const void *element, weft_until until);

/* The elements themselves, aligned to 16, without a lock: take it, or be alone. */
WEFT_API void *weft_shared_array_data(weft_shared_array *a);

#ifdef __cplusplus
}
#endif
#endif
