/* weft/group.h - several coroutines or threads that belong together: start them, wait for all, and if one fails, stop
 * the others.
 *
 *     weft_group g = WEFT_GROUP_INIT;                 // all zero is an empty group
 *     for (int i = 0; i < n && err == 0; i++)
 *         err = weft_group_go(&g, fetch, &urls[i]);
 *     if (err < 0)
 *         weft_group_cancel(&g);
 *     int failed = weft_group_wait(&g, WEFT_FOREVER); // 0, or what the first one to fail returned
 *
 * The group's memory must stay until wait has found it empty: leave no scope of a group without a wait that returned
 * something else than -ETIMEDOUT or, with members running, -ECANCELED. A waiter that is cancelled itself gives up
 * waiting and not its members; to leave, it does:
 *
 *     weft_group_cancel(&g);
 *     int was = weft_shield(1);
 *     weft_group_wait(&g, WEFT_FOREVER);
 *     weft_shield(was);
 *
 * weft_group_thread in weft/thread.h starts a member that is a thread. Both kinds may be in one group.
 *
 * Call from threads and coroutines, also from members, not from signal handlers; go, cancel and running by any number
 * of callers at once, wait by one at a time. */
#ifndef WEFT_GROUP_H
#define WEFT_GROUP_H

#include <weft/co.h>
#include <weft/lock.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weft_group {
    weft_lock lock;
    uint32_t running;             /* atomic: members that have not ended */
    int32_t failure;              /* what the first to fail returned */
    uint32_t stopping;            /* cancelled, or one has failed */
    struct weft__member *members; /* those that run */
} weft_group;

#define WEFT_GROUP_INIT                                                                                                \
    {                                                                                                                  \
        WEFT_LOCK_INIT, 0, 0, 0, NULL                                                                                  \
    }

/* Start fn(arg) as a coroutine of the group. Its result counts as a failure if it is negative. Returns 0, -ENOMEM, or
 * -ECANCELED when the group is stopping, because it was cancelled or a member has failed; then nothing was started.
 * Allocates a few words for each member, until it ends. */
WEFT_API int weft_group_go(weft_group *g, weft_co_fn *fn, void *arg);

/* Wait until all members have ended. Returns 0 when none has failed, else what the first one to fail returned, and the
 * group is empty and as new; or -ETIMEDOUT or -ECANCELED (the caller was cancelled) while members still run. An end
 * that comes together with the deadline or the cancellation wins. Not by a member: it would wait for itself. */
WEFT_API int weft_group_wait(weft_group *g, weft_until until);

/* Ask all members to stop, as weft_co_cancel does, and start no more until the next wait has found the group empty.
 * Does not wait. Asking twice is asking once. */
WEFT_API void weft_group_cancel(weft_group *g);

/* How many members have not ended yet. */
WEFT_API unsigned weft_group_running(const weft_group *g);

#ifdef __cplusplus
}
#endif
#endif
