/* once.c - weft_once: new, running (with who runs it, and a mark that somebody may sleep), or done.
 *
 * I1  a sleeper went to sleep on "running" with WAITERS; the runner's last store, a swap, sees it and wakes all.
 * I2  shared: a sleeper looks every slice whether the runner's process lives, and takes its place if not.
 * Pinned by tests/model/once_model.c and tests/sync/once_rwlock_test.c. */
#include <weft/once.h>

#include "park/await.h"
#include "sys/aside.h"

#include <errno.h>

#define WAITERS (UINT32_C(1) << 31)
#define DONE    (UINT32_C(1) << 30)
#define RUNNER  (DONE - 1)

static unsigned domain_of(const weft_once *o)
{
    return o->flags & WEFT_SHARED ? WEFT__SHARED_WORD : 0;
}

static int run(weft_once *o, int (*fn)(void *arg), void *arg)
{
    unsigned domain = domain_of(o);
    int err = fn(arg);
    if (swap_seq_cst(&o->word, err < 0 ? 0 : DONE) & WAITERS)
        weft__wake(&o->word, UINT32_MAX, domain);
    return err < 0 ? err : 0;
}

/* Its runner ends it, by success or failure. */
static void once_enders(const void *object, const weft__waiter *sleeper, weft__enders *e)
{
    (void)sleeper;
    uint32_t word;
    if (weft__sys_peek(&word, &((const weft_once *)object)->word, sizeof word) < 0 || (word & DONE))
        return;
    e->known = (word & RUNNER) != 0;
    weft__enders_add(e, word & RUNNER);
}

static const weft__awaited once_kind = {.what = "once", .held = "run by", .enders = once_enders};

static int sleep_until_changed(weft_once *o, uint32_t *seen, weft_until until, const void *where)
{
    if (!(*seen & WAITERS)) {
        if (!cas_acquire(&o->word, seen, *seen | WAITERS))
            return 0;
        *seen |= WAITERS;
    }
    int err = weft__park_for(&once_kind, o, where, &o->word, *seen, until, domain_of(o));
    uint32_t before = *seen;
    *seen = load_acquire(&o->word);
    if (domain_of(o) && *seen == before && weft__process_dead(before & RUNNER))
        cas_acquire(&o->word, seen, 0); /* new again; whoever comes first runs it */
    return err;
}

int weft_once_run(weft_once *o, int (*fn)(void *arg), void *arg, weft_until until)
{
    uint32_t seen = load_acquire(&o->word);
    if (likely(seen == DONE))
        return 0;
    uint32_t me = domain_of(o) ? weft__process() : weft__self()->id;
    int err = 0;
    for (;;) {
        if (seen == DONE)
            return 0;
        if (seen == 0) {
            if (cas_acquire(&o->word, &seen, me))
                return run(o, fn, arg);
            continue;
        }
        if (!domain_of(o) && (seen & RUNNER) == me)
            return -EDEADLK;
        if (err < 0)
            return err;
        err = sleep_until_changed(o, &seen, until, WEFT__CALLER());
    }
}

int weft_once_done(const weft_once *o)
{
    return load_acquire(&o->word) == DONE;
}

int weft_once_init(weft_once *o, unsigned flags)
{
    if (flags & ~(unsigned)WEFT_SHARED)
        return -EINVAL;
    *o = (weft_once){.flags = flags};
    return 0;
}
