/* weft/once.h - once: something is done by whoever comes first, and the others wait until it is done.
 *
 * Contexts as in weft/lock.h: threads, coroutines, other processes with WEFT_SHARED; not signal handlers. All zero is a
 * private once that has not run. */
#ifndef WEFT_ONCE_H
#define WEFT_ONCE_H

#include <weft/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weft_once {
    uint32_t word; /* atomic: new, who runs it, or done */
    uint32_t flags;
} weft_once;

#define WEFT_ONCE_INIT                                                                                                 \
    {                                                                                                                  \
        0, 0                                                                                                           \
    }

/* `flags`: 0 or WEFT_SHARED. Returns 0 or -EINVAL. */
WEFT_API int weft_once_init(weft_once *o, unsigned flags);

/* See to it that fn(arg) has succeeded once. The first caller runs it; others wait until `until`. When fn returns a
 * negative value it did not succeed: its caller gets that value and the next in line tries. A shared once whose
 * runner's process dies is run again by another, so fn must cope with what half a run left. Returns 0 when it is done,
 * fn's failure, -ETIMEDOUT, -ECANCELED, or -EDEADLK when fn itself asks for it (private; a shared once does not know
 * its runner from the other threads of its process, and waits). A finish that comes together with the deadline wins.
 * Once done, a call is one load. */
WEFT_API int weft_once_run(weft_once *o, int (*fn)(void *arg), void *arg, weft_until until);

/* 1 when it is done, else 0. */
WEFT_API int weft_once_done(const weft_once *o);

#ifdef __cplusplus
}
#endif
#endif
