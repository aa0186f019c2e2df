/* weft/local.h - values of one's own: each thread and each coroutine has its own value under the same key.
 *
 *     static weft_local user = WEFT_LOCAL_INIT(free);          // the destructor is called with each value at the end
 *     weft_local_set(&user, strdup("Jack"));  ...  const char *name = weft_local_get(&user);
 *
 * A coroutine's values are its own and not its thread's. Destructors run at the end of the thread or coroutine whose
 * value it is, in it, the last that was first set first; for threads that weft did not start as well, but not for who
 * ends the whole process. A destructor still finds the values of keys that were set before its own, and may set values
 * again; it is called four times at most, what is left then is dropped. A fork's child keeps the values of the thread
 * or coroutine that forked. Call from threads and coroutines, not from signal handlers. */
#ifndef WEFT_LOCAL_H
#define WEFT_LOCAL_H

#include <weft/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A key, usually static. It takes its number at first use and keeps it as long as the process lives. */
typedef struct weft_local {
    uint32_t key; /* atomic; 0: not used yet */
    uint32_t reserved;
    void (*destructor)(void *value); /* may be NULL */
} weft_local;

#define WEFT_LOCAL_INIT(destructor)                                                                                    \
    {                                                                                                                  \
        0, 0, destructor                                                                                               \
    }

/* The caller's value, NULL when it has set none. Allocates nothing (a thread's very first use of weft registers it). */
WEFT_API void *weft_local_get(weft_local *local);

/* Set the caller's value; what it was before is not destroyed. Returns 0, -ENOMEM, or -EAGAIN when all 4,096 keys are
 * in use. */
WEFT_API int weft_local_set(weft_local *local, void *value);

#ifdef __cplusplus
}
#endif
#endif
