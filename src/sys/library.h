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

/* A file's own table of a library: WEFT__LIBRARY(lib, "libx.so.1", NAMES), where NAMES(X) is X(f) X(g) ..., makes the
 * pointers lib.f and lib.g, and lib_load(), whose results are those of weft__sys_library. */
#define WEFT__LIBRARY_MEMBER(name)  __typeof__(name) *name;
#define WEFT__LIBRARY_ADDRESS(name) .name = name,
#define WEFT__LIBRARY_NAME(name)    #name,

#if WEFT_LINKED
#define WEFT__LIBRARY(lib, file, NAMES)                                                                                \
    static const struct {                                                                                              \
        NAMES(WEFT__LIBRARY_MEMBER)                                                                                    \
    } lib = {NAMES(WEFT__LIBRARY_ADDRESS)};                                                                            \
    static int lib##_load(void)                                                                                        \
    {                                                                                                                  \
        return 0;                                                                                                      \
    }
#else
#define WEFT__LIBRARY(lib, file, NAMES)                                                                                \
    static struct {                                                                                                    \
        NAMES(WEFT__LIBRARY_MEMBER)                                                                                    \
    } lib;                                                                                                             \
    static int lib##_load(void)                                                                                        \
    {                                                                                                                  \
        static const char *const names[] = {NAMES(WEFT__LIBRARY_NAME)};                                                \
        static weft__library library = {file, names, sizeof names / sizeof *names, &lib, 0};                           \
        return weft__sys_library(&library, NULL, 0);                                                                   \
    }
#endif

#endif
