/* weft/shm.h - memory shared between processes: segments, values, arrays, and an allocator inside.
 *
 * Anonymous segments go to children by fork or by their descriptor; they cannot be shrunk (sealed). Named ones lie in
 * /dev/shm, mode 0600, and carry their creator: a name whose creator was killed is taken away by the next
 * weft_shm_clean. Addresses differ between processes unless inherited by fork: keep offsets, not pointers, or use
 * weft_shm_ref/weft_shm_at. What lies in a segment is the other side's to change: copy, then check, then use.
 *
 * All locks, semaphores, events, conditions and barriers with WEFT_SHARED may lie in one. Call from threads and
 * coroutines, any number at once, not from signal handlers. */
#ifndef WEFT_SHM_H
#define WEFT_SHM_H

#include <weft/base.h>
#include <weft/lock.h>

#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weft_shm weft_shm;

WEFT_API int weft_shm_new(weft_shm **s, size_t size);                      /* anonymous, zeroed, sealed */
WEFT_API int weft_shm_create(weft_shm **s, const char *name, size_t size); /* -EEXIST, -EINVAL: '/' or empty or long */
WEFT_API int weft_shm_open(weft_shm **s, const char *name);                /* -ENOENT, -EACCES */
WEFT_API int weft_shm_from_fd(weft_shm **s, int fd); /* takes fd over; refuses what can be shrunk */
WEFT_API void weft_shm_close(weft_shm *s);           /* unmaps here only. NULL is nothing */
WEFT_API int weft_shm_unlink(const char *name);      /* once: 0; again -ENOENT */
WEFT_API void *weft_shm_address(const weft_shm *s);
WEFT_API size_t weft_shm_size(const weft_shm *s); /* at least what was asked */
WEFT_API int weft_shm_fd(const weft_shm *s);
WEFT_API int weft_shm_each(void (*fn)(const char *name, size_t size, pid_t creator, int alive, void *arg), void *arg);
WEFT_API int weft_shm_clean(void); /* unlink names whose creators are dead and that nobody has mapped; how many */

/* ---- an allocator in a segment: any process that maps it may allocate and free ---- */

WEFT_API int weft_shm_heap_init(weft_shm *s); /* once, by its creator: the rest of the segment is the heap */
WEFT_API uint64_t weft_shm_alloc(weft_shm *s, size_t size);     /* offset, 16-byte aligned, zeroed; 0: no room */
WEFT_API void weft_shm_free(weft_shm *s, uint64_t offset);      /* 0 is nothing; a wrong one panics */
WEFT_API void *weft_shm_at(const weft_shm *s, uint64_t offset); /* NULL when outside */
WEFT_API uint64_t weft_shm_ref(const weft_shm *s, const void *address); /* 0 when outside */

/* ---- a value or an array of fixed-size elements with its lock ---- */

typedef struct weft_shared_array weft_shared_array;
WEFT_API int weft_shared_array_new(weft_shared_array **a, size_t element_size, size_t n); /* anonymous, zeroed */
WEFT_API void weft_shared_array_free(weft_shared_array *a);
WEFT_API int weft_shared_array_get(weft_shared_array *a, size_t i, void *element);       /* 0 or -ERANGE; locked */
WEFT_API int weft_shared_array_set(weft_shared_array *a, size_t i, const void *element); /* the same */
WEFT_API size_t weft_shared_array_length(const weft_shared_array *a);
WEFT_API void *weft_shared_array_data(weft_shared_array *a); /* raw, in place: hold the lock */
WEFT_API weft_rlock *weft_shared_array_lock(weft_shared_array *a);

/* A value is an array of one. */
#define weft_shared_value_new(a, size) weft_shared_array_new(a, size, 1)

#ifdef __cplusplus
}
#endif
#endif
