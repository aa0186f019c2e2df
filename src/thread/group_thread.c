/* group_thread.c - a thread as a member of a group: see weft_group_thread and flow/group.h.
 *
 * The member leaves the group in the thread's `ended`, which is called when the function has returned or left by
 * pthread_exit and the local values are gone. Its cancel works on the record, of which the member holds a reference.
 * Lock order: the group's lock, then that of the list of threads. Pinned by tests/thread/group_thread_test.c. */
#include "flow/group.h"
#include "thread/thread.h"

#include <errno.h>

typedef struct member {
    weft__member of;
    weft__thread *record;
    weft_thread_fn *fn;
    void *arg;
    const weft_thread_options *options; /* until it has started */
} member;

static int run(void *arg)
{
    const member *m = arg;
    return m->fn(m->arg);
}

static void ended(void *arg, int result)
{
    member *m = arg;
    weft__group_leave(&m->of, result);
    rawlock_acquire(&weft__threads_lock);
    weft__thread_drop(m->record);
    rawlock_release(&weft__threads_lock);
    weft__free(m);
}

static int start(weft__member *of)
{
    member *m = container_of(of, member, of);
    return weft__thread_spawn(&m->record, run, m, ended, m->options);
}

static void cancel(weft__member *of)
{
    weft__thread_cancel(container_of(of, member, of)->record);
}

int weft_group_thread(weft_group *g, weft_thread_fn *fn, void *arg, const weft_thread_options *options)
{
    if (fn == NULL)
        return -EINVAL;
    member *m = weft__malloc(sizeof *m);
    if (m == NULL)
        return -ENOMEM;
    *m = (member){.of.cancel = cancel, .fn = fn, .arg = arg, .options = options};
    int err = weft__group_enter(g, &m->of, start);
    if (err < 0)
        weft__free(m);
    return err;
}
