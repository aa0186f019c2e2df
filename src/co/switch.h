/* switch.h - leave one stack and go on upon another, and telling the sanitizers about it.
 *
 * A context that is not running is one pointer: the registers that a function must preserve lie on its stack, above it.
 * Floating-point control (rounding, exception masks) is among them and costs nothing while nobody changes it: it is
 * written only when the two sides differ. Signal masks are not: they belong to the thread.
 *
 * Assembly for x86-64 and aarch64 (switch.S); ucontext for other machines, and anywhere with -DWEFT_UCONTEXT
 * (switch_ucontext.c). Shadow stacks (CET SHSTK) are not supported: the object does not claim to, so that the loader
 * leaves them off. */
#ifndef WEFT_CO_SWITCH_H
#define WEFT_CO_SWITCH_H

#include "base/leak.h"
#include "co/untraced.h"

#include <stdbool.h>
#include <stddef.h>

#if !defined(WEFT_UCONTEXT) && !defined(__x86_64__) && !defined(__aarch64__)
#define WEFT_UCONTEXT 1
#endif

/* Save the caller at *save and go on at `to`: what a switch saved, or weft__switch_prepare made. Returns when somebody
 * switches back. */
void weft__switch(void **save, void *to);

/* Lay out the stack [low, top) so that the first switch to the returned value calls entry(arg), which must not return.
 */
void *weft__switch_prepare(char *low, char *top, void (*entry)(void *), void *arg);

#if WEFT__ASAN
#include <pthread.h>
void __sanitizer_start_switch_fiber(void **fake, const void *bottom, size_t size);
void __sanitizer_finish_switch_fiber(void *fake, const void **old_bottom, size_t *old_size);
void __asan_unpoison_memory_region(const volatile void *p, size_t size);
#endif
#if WEFT__TSAN
void *__tsan_get_current_fiber(void);
void *__tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void *fiber);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);
void __tsan_acquire(void *p);
void __tsan_release(void *p);
#endif

typedef struct weft__context {
    void *sp;
#if WEFT__ASAN
    void *fake;         /* its frames in AddressSanitizer's own memory */
    const void *bottom; /* its stack */
    size_t size;
#endif
#if WEFT__TSAN
    void *fiber;
#endif
} weft__context;

/* A context for the stack [low, top), not yet run. */
static inline void context_prepare(weft__context *c, char *low, char *top, void (*entry)(void *), void *arg)
{
#if WEFT__ASAN
    __asan_unpoison_memory_region(low, (size_t)(top - low)); /* of frames of the last user that never returned */
#endif
    c->sp = weft__switch_prepare(low, top, entry, arg);
#if WEFT__ASAN
    c->fake = NULL;
    c->bottom = low;
    c->size = (size_t)(top - low);
#endif
#if WEFT__TSAN
    c->fiber = __tsan_create_fiber(0);
#endif
}

/* The context of the running thread itself. */
static inline void context_of_thread(weft__context *c)
{
#if WEFT__ASAN
    pthread_attr_t attr;
    void *low;
    c->bottom = NULL;
    if (pthread_getattr_np(pthread_self(), &attr) == 0) {
        pthread_attr_getstack(&attr, &low, &c->size);
        pthread_attr_destroy(&attr);
        c->bottom = low;
    }
#endif
#if WEFT__TSAN
    c->fiber = __tsan_get_current_fiber();
#endif
    (void)c;
}

/* First thing on a new stack. */
static inline void context_begin(void)
{
#if WEFT__ASAN
    __sanitizer_finish_switch_fiber(NULL, NULL, NULL);
#endif
}

/* `ends`: `from` will never be switched to again. */
WEFT__NO_TSAN static inline void context_switch(weft__context *from, const weft__context *to, bool ends)
{
    void *sp = to->sp;
#if WEFT__ASAN
    __sanitizer_start_switch_fiber(ends ? NULL : &from->fake, to->bottom, to->size);
#endif
#if WEFT__TSAN
    __tsan_switch_to_fiber(to->fiber, WEFT_TSAN_SWITCH_FLAG);
#endif
    weft__switch(&from->sp, sp);
#if WEFT__ASAN
    __sanitizer_finish_switch_fiber(from->fake, NULL, NULL);
#endif
    (void)ends;
}

/* The stack of `old`, which has ended and is running, becomes the stack of `new`, in place. To be called in the
 * function at the base of the stack, and inlined there: ThreadSanitizer notes entries and exits for each coroutine
 * apart. */
__attribute__((always_inline)) static inline void context_inherit(weft__context *new, const weft__context *old)
{
    new->sp = old->sp;
#if WEFT__ASAN
    new->fake = NULL;
    new->bottom = old->bottom;
    new->size = old->size;
#endif
#if WEFT__TSAN
    new->fiber = __tsan_create_fiber(0);
    __tsan_switch_to_fiber(new->fiber, WEFT_TSAN_SWITCH_FLAG);
    __tsan_destroy_fiber(old->fiber);
#endif
}

/* The edge from whoever makes `p` ready to p's running; see untraced.h. */
static inline void fiber_release(void *p)
{
#if WEFT__TSAN && WEFT_TSAN_SWITCH_FLAG
    __tsan_release(p);
#endif
    (void)p;
}

static inline void fiber_acquire(void *p)
{
#if WEFT__TSAN && WEFT_TSAN_SWITCH_FLAG
    __tsan_acquire(p);
#endif
    (void)p;
}

#endif
