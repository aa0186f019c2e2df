/* untraced.h - functions that ThreadSanitizer must not look into.
 *
 * Built with WEFT_TSAN_SWITCH_FLAG=1 a switch is no synchronisation for ThreadSanitizer: it takes each coroutine for a
 * thread of its own and so finds races between two coroutines of one thread. The scheduler's plain queues are shared by
 * just these and would all be reported. So the scheduler's files put everything that follows their first include between
 * these two marks; their atomics are still seen, and the true edges are given by hand: fiber_release by whoever makes a
 * coroutine ready, fiber_acquire when it runs. With flag 0 the scheduler is looked into like everything else. */
#ifndef WEFT_CO_UNTRACED_H
#define WEFT_CO_UNTRACED_H

#include "base/compiler.h"

#ifndef WEFT_TSAN_SWITCH_FLAG
#define WEFT_TSAN_SWITCH_FLAG 0
#endif

#if WEFT__TSAN && WEFT_TSAN_SWITCH_FLAG && defined(__clang__)
#define WEFT__UNTRACED_BEGIN \
    _Pragma("clang attribute push(__attribute__((no_sanitize(\"thread\"))), apply_to = function)")
#define WEFT__UNTRACED_END _Pragma("clang attribute pop")
#else
#define WEFT__UNTRACED_BEGIN
#define WEFT__UNTRACED_END
#endif

#endif
