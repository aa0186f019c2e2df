/* untraced.h - functions that ThreadSanitizer must not look into, and what it must be told instead.
 *
 * Built with WEFT_TSAN_SWITCH_FLAG=1 a switch is no synchronisation for ThreadSanitizer: it takes each coroutine for a
 * thread of its own and so finds races between two coroutines that happen to share a thread. The scheduler's plain
 * queues are shared by just these and would all be reported. So the scheduler's files put everything that follows their
 * first include between these two marks; their atomics are still seen, and the true edges are given by hand (switch.h):
 *   - from whoever makes a coroutine ready to its running;
 *   - between all that belongs to one thread: its callbacks and its pinned coroutines, which run one after the other
 * and may rely on it. Coroutines that are not pinned may not: they bracket their use of what belongs to the thread by
 *     weft__thread_enter and weft__thread_leave (sched.h);
 *   - from one user of a stack to the next.
 * With flag 0 every switch is a synchronisation, and the scheduler is looked into like everything else. */
#ifndef WEFT_CO_UNTRACED_H
#define WEFT_CO_UNTRACED_H

#include "base/compiler.h"

#ifndef WEFT_TSAN_SWITCH_FLAG
#define WEFT_TSAN_SWITCH_FLAG 0
#endif

#if WEFT__TSAN && WEFT_TSAN_SWITCH_FLAG && defined(__clang__)
#define WEFT__UNTRACED_BEGIN                                                                                           \
    _Pragma("clang attribute push(__attribute__((no_sanitize(\"thread\"))), apply_to = function)")
#define WEFT__UNTRACED_END _Pragma("clang attribute pop")
#else
#define WEFT__UNTRACED_BEGIN
#define WEFT__UNTRACED_END
#endif

#endif
