/* library.c - see library.h.
 *
 * L1  a fork waits for a loading that goes on, so no child has half a library. The handlers of fork are there before
 *     the first loading: one that set them up itself could be forked in the midst of that.
 * L2  a table is complete, and is never written to again, when its state is LOADED (release, acquire).
 * Pinned by tests/sys/library_test.c. */
#include "sys/library.h"

#include "base/atomic.h"
#include "base/compiler.h"
#include "sys/sys.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>

enum {
    UNTRIED,
    LOADED,
    MISSING
};

static WEFT__FORK_PAGE pthread_mutex_t loading = PTHREAD_MUTEX_INITIALIZER;

WEFT__FORK_TEXT static void before_fork(void)
{
    pthread_mutex_lock(&loading);
}

WEFT__FORK_TEXT static void after_fork_parent(void)
{
    pthread_mutex_unlock(&loading);
}

WEFT__FORK_TEXT static void after_fork_child(void)
{
    weft__sys_free_in_child(&loading);
}

__attribute__((constructor)) static void watch_fork(void)
{
    pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

static void tell(char *error, size_t size, const char *text, const char *more)
{
    if (error != NULL && size > 0)
        snprintf(error, size, "%s%s", text, more);
}

static bool load(const weft__library *l, char *error, size_t size)
{
    if (getauxval(AT_BASE) == 0) {
        tell(error, size, l->file, ": a statically linked program loads nothing");
        return false;
    }
    void *lib = dlopen(l->file, RTLD_NOW | RTLD_LOCAL);
    if (lib == NULL) {
        const char *why = dlerror();
        tell(error, size, why != NULL ? why : l->file, "");
        return false;
    }
    for (unsigned i = 0; i < l->count; i++) {
        void *f = dlsym(lib, l->names[i]);
        if (f == NULL) {
            tell(error, size, l->names[i], ": not in the library that is installed, which is older");
            return false;
        }
        memcpy((char *)l->functions + i * sizeof f, &f, sizeof f);
    }
    return true;
}

int weft__sys_library(weft__library *l, char *error, size_t size)
{
    int err = weft__sys_fault(WEFT__SYS_LIBRARY);
    if (err < 0) {
        tell(error, size, l->file, ": cannot be loaded");
        return err;
    }
    if (load_acquire(&l->state) == LOADED)
        return 0;
    pthread_mutex_lock(&loading);
    if (load_relaxed(&l->state) == UNTRIED)
        store_release(&l->state, load(l, error, size) ? LOADED : MISSING);
    else if (load_relaxed(&l->state) == MISSING)
        tell(error, size, l->file, ": cannot be loaded");
    pthread_mutex_unlock(&loading);
    return load_acquire(&l->state) == LOADED ? 0 : -ELIBACC;
}
