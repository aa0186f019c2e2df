/* await.h - what a sleeper tells about its wait, for those who look for deadlocks (watch.c) and for reports.
 *
 * A wait that is told of has a *kind*, an object, the place of the public call, and a deadline. The kind knows who can
 * end such a wait. Telling is a few plain stores just before a sleep; nothing on the paths that do not sleep, and
 * nothing for shared words, which other processes end. A wait that is not told of counts as one that anybody may end.
 *
 * A1  awaits and its companions are written while their owner is not in a wait. They are stored with release, so a
 *     reader that finds those of a later wait also finds that `waits` has changed since it looked first.
 * A2  the object lives as long as its sleeper sleeps in it. So what was read of it (weft__sys_peek, because it may be
 *     gone) is true if `waits` is the same before and after, and only then. */
#ifndef WEFT_PARK_AWAIT_H
#define WEFT_PARK_AWAIT_H

#include "park/park.h"

/* Who must go on so that a wait can end; filled by a kind's `enders`. All zero: anybody may end it. */
typedef struct weft__enders {
    uint32_t *ids; /* room for `max`; ids of waiters, no 0 */
    unsigned n, max;
    bool known;       /* nobody but these can end it; else anybody may */
    bool all;         /* it needs all of them; else any of them is enough */
    bool awake;       /* the sleeper only counts as asleep: it has yet to do what may let others go on */
    unsigned missed;  /* those for whom there was no room */
    uint32_t where;   /* low half of the address at which a single ender took the object; 0: none, or not known */
    uint32_t *wheres; /* the same of each, when there may be several; NULL: not asked for */
} weft__enders;

struct weft__awaited {
    const char *what; /* "lock" */
    const char *held; /* what the ender does with it: "held by" */

    /* Called on the watch thread while `sleeper` sleeps, perhaps no longer: object is read by weft__sys_peek only.
     * NULL: anybody may end it. */
    void (*enders)(const void *object, const weft__waiter *sleeper, weft__enders *e);

    /* For weft's own helper threads: whether this one has nothing to do and nothing will come by itself. Then it keeps
     * no program going. NULL: this is a wait of the program's. */
    bool (*idle)(const void *object, const weft__waiter *helper);
};

/* Copy the object that the sleeper sleeps in, or its beginning. 0, or -EFAULT or -EAGAIN: it sleeps in it no more. What
 * was copied is what the object was while it was alive; so pointers in it to memory that is never returned may be
 * followed. */
int weft__peek_awaited(void *to, const void *object, size_t size, const weft__waiter *sleeper);

/* How long what the awaited object leads to is there: as long as the sleep of this number (`waits`) lasts, and as long
 * as a number in the object stays what it was. */
typedef struct weft__sleep {
    const weft__waiter *sleeper;
    uint32_t number;
    const size_t *while_is; /* in the object; NULL: the sleep is enough */
    size_t was;
} weft__sleep;

/* The same of what the awaited object leads to, as what was copied of it in this sleep says. */
int weft__peek_in_sleep(void *to, const void *from, size_t size, const weft__sleep *s);

static inline void weft__enders_add_at(weft__enders *e, uint32_t id, uint32_t where)
{
    if (id == 0)
        return;
    if (e->n == e->max) {
        e->known = false;
        e->missed++;
        return;
    }
    if (e->wheres != NULL)
        e->wheres[e->n] = where;
    e->ids[e->n++] = id;
}

static inline void weft__enders_add(weft__enders *e, uint32_t id)
{
    weft__enders_add_at(e, id, 0);
}

/* The caller is about to sleep in a wait of this kind; park tells the watch thread. */
static inline void weft__await(weft__waiter *self, const weft__awaited *kind, const void *object, const void *where,
                               weft_until until)
{
#ifndef WEFT_MODEL
    store_release(&self->object, object);
    store_release(&self->where, where);
    store_release(&self->until, until.at);
    store_release(&self->awaits, kind);
#else
    (void)self, (void)kind, (void)object, (void)where, (void)until;
#endif
}

/* The wait is over. */
static inline void weft__awaited_end(weft__waiter *self)
{
#ifndef WEFT_MODEL
    store_relaxed(&self->awaits, NULL);
#else
    (void)self;
#endif
}

/* weft__park in a wait of this kind. */
static inline int weft__park_for(const weft__awaited *kind, const void *object, const void *where, const uint32_t *word,
                                 uint32_t expected, weft_until until, unsigned flags)
{
    weft__waiter *self = weft__self();
    if (!(flags & WEFT__SHARED_WORD))
        weft__await(self, kind, object, where, until);
    int err = weft__park(word, expected, until, flags, kind->what);
    weft__awaited_end(self);
    return err;
}

/* The address that the running function returns to. */
#define WEFT__CALLER() __builtin_return_address(0)

#endif
