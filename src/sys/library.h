/* library.h - libraries that are loaded when something of theirs is needed for the first time. What a program has
 * mapped is copied by each of its forks, so one that never needs them should not have them.
 *
 * WEFT_LINKED: they are linked as others are, for programs without a dynamic linker; then nothing is loaded. */
#ifndef WEFT_SYS_LIBRARY_H
#define WEFT_SYS_LIBRARY_H

#include <stddef.h>
#include <stdint.h>

#ifndef WEFT_LINKED
#define WEFT_LINKED 0
#endif

typedef struct weft__library {
    const char *file;
    const char *const *names; /* of functions */
    unsigned count;
    void *functions; /* as many pointers, in their order: to be filled */
    uint32_t state;  /* atomic; 0 in the beginning */
} weft__library;

/* Have it loaded: 0 and all its functions, or -ELIBACC, the same each time, and why in `error` (may be NULL). From
 * several threads at once. Not in a signal handler, nor in a child of vfork. */
int weft__sys_library(weft__library *l, char *error, size_t size);

#endif
