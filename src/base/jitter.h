/* jitter.h - in a build with WEFT_JITTER, every atomic operation is late now and then, before or after: preset jitter.
 *
 * Races whose window is a few instructions wide are all but never met: the code between two operations is fast each
 * time it runs. Where a path's first run is slow, as under an emulator, they are met. So here an operation is late by
 * chance, and more often while its place in the source is new to the process: what runs seldom runs slowly. atomic.h
 * includes this for the rest of itself, whose operations are these builtins. */
#ifndef WEFT_BASE_JITTER_H
#define WEFT_BASE_JITTER_H

#include <stdint.h>

/* `place`, an atomic, counts how often the caller's place has been reached, up to a bound. Keeps errno; for coroutines
 * and signal handlers, too. WEFT_JITTER=N in the environment: one call in N is late; 0: none. */
void weft__jitter(uint8_t *place);

#ifndef WEFT__NO_JITTER

#define WEFT__JITTER()                                                                                                 \
    do {                                                                                                               \
        static uint8_t place_;                                                                                         \
        weft__jitter(&place_);                                                                                         \
    } while (0)
#define WEFT__JITTER_VALUE(...)    WEFT__JITTER_NAMED(__COUNTER__, __VA_ARGS__)
#define WEFT__JITTER_NAMED(n, ...) WEFT__JITTER_AROUND(value_##n##_, __VA_ARGS__) /* an argument may hold another */
#define WEFT__JITTER_AROUND(name, ...)                                                                                 \
    ({                                                                                                                 \
        WEFT__JITTER();                                                                                                \
        __auto_type name = __VA_ARGS__;                                                                                \
        WEFT__JITTER();                                                                                                \
        name;                                                                                                          \
    })
#define WEFT__JITTER_VOID(...)                                                                                         \
    ({                                                                                                                 \
        WEFT__JITTER();                                                                                                \
        __VA_ARGS__;                                                                                                   \
        WEFT__JITTER();                                                                                                \
    })

/* In its own expansion a macro's name means the function. */
#define __atomic_load_n(...)             WEFT__JITTER_VALUE(__atomic_load_n(__VA_ARGS__))
#define __atomic_store_n(...)            WEFT__JITTER_VOID(__atomic_store_n(__VA_ARGS__))
#define __atomic_exchange_n(...)         WEFT__JITTER_VALUE(__atomic_exchange_n(__VA_ARGS__))
#define __atomic_fetch_add(...)          WEFT__JITTER_VALUE(__atomic_fetch_add(__VA_ARGS__))
#define __atomic_fetch_sub(...)          WEFT__JITTER_VALUE(__atomic_fetch_sub(__VA_ARGS__))
#define __atomic_fetch_or(...)           WEFT__JITTER_VALUE(__atomic_fetch_or(__VA_ARGS__))
#define __atomic_fetch_and(...)          WEFT__JITTER_VALUE(__atomic_fetch_and(__VA_ARGS__))
#define __atomic_compare_exchange_n(...) WEFT__JITTER_VALUE(__atomic_compare_exchange_n(__VA_ARGS__))
#define __atomic_thread_fence(...)       WEFT__JITTER_VOID(__atomic_thread_fence(__VA_ARGS__))

#endif
#endif
