/* weft/debug.h - looking into a running program: who sleeps, and on what. */
#ifndef WEFT_DEBUG_H
#define WEFT_DEBUG_H

#include <weft/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What weft_sleepers_each tells of one sleeper. The texts are valid during the call only. */
typedef struct weft_sleeper {
    uint32_t id;      /* of the thread or coroutine; 0 is nobody's */
    const char *kind; /* "thread" or "coroutine" */
    const char *name; /* its name */
    const char *what; /* what kind of thing it waits for: "lock", "event", "descriptor" ... */
    const void
        *object;   /* the word it sleeps on: the address of a lock, event, semaphore ... or within it; may be NULL */
    int cancelled; /* 1 when it has been asked to stop */
} weft_sleeper;

/* Call fn for every thread and coroutine of this process that sleeps in a wait of weft at this moment. The picture is
 * racy by nature: others go on meanwhile. Call from: thread, coroutine; not from a signal handler. Does not wait; fn
 * must not wait either. Any number of callers at once. Allocates nothing. */
WEFT_API void weft_sleepers_each(void (*fn)(const weft_sleeper *s, void *arg), void *arg);

/* Write one line for each sleeper to the descriptor `fd`, like
 *     coroutine 12 "reader" waits for lock 0x7f5c8a001040
 * Returns how many, or a negative errno value when writing failed. Contexts as above. */
WEFT_API int weft_dump(int fd);

#ifdef __cplusplus
}
#endif
#endif
