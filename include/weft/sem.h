/* weft/sem.h - semaphore: a count of units that waiters take and anybody gives.
 *
 * Contexts as in weft/lock.h: threads, coroutines, other processes with WEFT_SHARED; not signal handlers. Any number of
 * callers at once; nothing allocates. All zero is a private semaphore with no unit. A unit has no owner: one that a
 * process held when it died is lost, nobody can tell. */
#ifndef WEFT_SEM_H
#define WEFT_SEM_H

#include <weft/base.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    WEFT_BOUNDED = 2,        /* flag: never more units than at init */
    WEFT_SEM_MAX = INT32_MAX /* most units any semaphore can have */
};

typedef struct weft_sem {
    uint32_t word; /* atomic: units there; bit 31: somebody may sleep */
    uint32_t flags;
    uint32_t bound; /* most units; with WEFT_BOUNDED */
} weft_sem;

#define WEFT_SEM_INIT(units)                                                                                           \
    {                                                                                                                  \
        (units), 0, 0                                                                                                  \
    }

/* Start with `units` units. `flags`: WEFT_SHARED, WEFT_BOUNDED or both. Returns 0, or -EINVAL for units below 0 or
 * other flags. */
WEFT_API int weft_sem_init(weft_sem *s, int units, unsigned flags);

/* Check that nobody waits; panics if somebody does. */
WEFT_API void weft_sem_destroy(weft_sem *s);

/* Take one unit from *s, waiting until `until` while there is none; WEFT_NOW tries once. Returns 0, -ETIMEDOUT or
 * -ECANCELED. A unit that arrives together with the deadline or the cancellation is taken (0). */
WEFT_API int weft_sem_acquire(weft_sem *s, weft_until until);

/* Give `units` units and wake as many waiters. Returns 0; -EINVAL for units below 1; -EOVERFLOW when the count would
 * pass the bound (or WEFT_SEM_MAX): then none is given. Never waits. */
WEFT_API int weft_sem_release(weft_sem *s, int units);

/* Units there at this moment. */
WEFT_API int weft_sem_value(const weft_sem *s);

#ifdef __cplusplus
}
#endif
#endif
