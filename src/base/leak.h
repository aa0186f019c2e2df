/* leak.h - LeakSanitizer looks for pointers in malloc's memory, stacks and globals; what we map ourselves and keep
 * pointers in, it must be told of. */
#ifndef WEFT_BASE_LEAK_H
#define WEFT_BASE_LEAK_H

#include "base/compiler.h"

#if WEFT__ASAN
void __lsan_register_root_region(const void *p, size_t size);
#endif

static inline void leak_root(const void *p, size_t size)
{
#if WEFT__ASAN
    __lsan_register_root_region(p, size);
#endif
    (void)p, (void)size;
}

#endif
