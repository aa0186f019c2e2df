/* weft/event.h - event: a flag that waiters wait for.
 *
 * Contexts as in weft/lock.h: threads, coroutines, other processes with WEFT_SHARED; not signal handlers. Any number of
 * callers at once; nothing allocates. All zero is a private event that is not set. */
#ifndef WEFT_EVENT_H
#define WEFT_EVENT_H

#include <weft/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weft_event {
    uint32_t word; /* atomic: bit 0: set; bit 1: somebody may sleep; above: how often it was cleared */
    uint32_t flags;
} weft_event;

#define WEFT_EVENT_INIT                                                                                                \
    {                                                                                                                  \
        0, 0                                                                                                           \
    }

/* `flags`: 0 or WEFT_SHARED. Returns 0 or -EINVAL. */
WEFT_API int weft_event_init(weft_event *e, unsigned flags);

/* Check that nobody waits; panics if somebody does. */
WEFT_API void weft_event_destroy(weft_event *e);

/* Set the flag and wake all waiters; they return 0 even if the flag is cleared again at once. */
WEFT_API void weft_event_set(weft_event *e);
WEFT_API void weft_event_clear(weft_event *e);
WEFT_API int weft_event_is_set(const weft_event *e);

/* Wait until the flag is set; at once if it is. Returns 0, -ETIMEDOUT or -ECANCELED; a set that comes together with the
 * deadline wins. */
WEFT_API int weft_event_wait(weft_event *e, weft_until until);

#ifdef __cplusplus
}
#endif
#endif
