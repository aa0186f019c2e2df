/* group.c - coroutines and others that are waited for and cancelled together; see weft/group.h.
 *
 * G1  `members` lists exactly the members that are counted in `running`; both change under the lock.
 * G2  a member lives as long as it is on the list, so whoever holds the lock may cancel it.
 * G3  the last member's store of running = 0 happens under the lock and wait takes the lock after it has seen it: so
 * when wait returns, nobody touches the group any more (a release touches nothing after its store, and a wake only uses
 *     the address).
 * Lock order: the group's lock, then park's. Pinned by tests/flow/group_test.c. */
#include "flow/group.h"

#include "co/sched.h"
#include "park/await.h"
#include "sync/lock.h"
#include "sys/aside.h"

#include <errno.h>

enum {
    TOLD_MAX = 256 /* members that a report looks at */
};

/* A coroutine. */
typedef struct member {
    weft__member of;
    weft_co *co;
    weft_co_fn *fn;
    void *arg;
} member;

/* Pre: locked. */
static void stop_all(weft_group *g)
{
    if (g->stopping)
        return;
    g->stopping = 1;
    for (weft__member *m = g->members; m != NULL; m = m->next)
        m->cancel(m);
}

int weft__group_enter(weft_group *g, weft__member *m, int (*start)(weft__member *m))
{
    m->group = g;
    weft__lock_own(&g->lock);
    int err = g->stopping ? -ECANCELED : start(m);
    if (err == 0) {
        m->link = &g->members;
        m->next = g->members;
        if (m->next != NULL)
            m->next->link = &m->next;
        g->members = m;
        add_relaxed(&g->running, 1);
    }
    weft_lock_release(&g->lock);
    return err;
}

void weft__group_leave(weft__member *m, int result)
{
    weft_group *g = m->group;
    weft__lock_own(&g->lock);
    *m->link = m->next;
    if (m->next != NULL)
        m->next->link = m->link;
    if (result < 0 && g->failure == 0) {
        g->failure = result;
        stop_all(g);
    }
    bool last = sub_seq_cst(&g->running, 1) == 1;
    weft_lock_release(&g->lock);
    if (last)
        weft__wake(&g->running, 1, 0); /* only the address: the group may be gone */
}

static int run_member(void *arg)
{
    member *m = arg;
    int result = m->fn(m->arg);
    weft__waiter *self = weft__self();
    if (self->locals != NULL)
        weft__locals_end(self); /* who has waited for the group finds the values destroyed */
    weft__group_leave(&m->of, result);
    weft__free(m);
    return result;
}

static int start_member(weft__member *of)
{
    member *m = container_of(of, member, of);
    int err = weft__co_new(&m->co, run_member, m, NULL);
    if (err == 0)
        weft__co_launch(m->co);
    return err;
}

static void cancel_member(weft__member *of)
{
    weft_co_cancel(container_of(of, member, of)->co);
}

int weft_group_go(weft_group *g, weft_co_fn *fn, void *arg)
{
    member *m = weft__malloc(sizeof *m);
    if (m == NULL)
        return -ENOMEM;
    *m = (member){.of.cancel = cancel_member, .fn = fn, .arg = arg};
    int err = weft__group_enter(g, &m->of, start_member);
    if (err < 0)
        weft__free(m);
    return err;
}

/* All members must end; told are those of them that are coroutines, as far as the list can be followed without its
 * lock: one that runs this very member of this group is in the group until it ends. */
static void wait_enders(const void *object, const weft__waiter *sleeper, weft__enders *e)
{
    (void)sleeper;
    weft_group g;
    if (weft__sys_peek(&g, object, sizeof g) < 0)
        return;
    const weft__member *at = g.members;
    for (unsigned i = 0; at != NULL && i < TOLD_MAX; i++) {
        const member *where = container_of(at, member, of);
        member m;
        if (weft__sys_peek(&m.of, at, sizeof m.of) < 0)
            break;
        if (m.of.group == object && m.of.cancel == cancel_member && weft__sys_peek(&m, where, sizeof m) == 0)
            weft__enders_add(e, weft__co_that_runs(m.co, run_member, where));
        at = m.of.next;
    }
    e->known = e->all = e->n > 0;
}

static const weft__awaited wait_kind = {.what = "end of a group", .held = "with its member", .enders = wait_enders};

int weft_group_wait(weft_group *g, weft_until until)
{
    int err = 0;
    uint32_t running;
    while ((running = load_seq_cst(&g->running)) != 0 && err == 0)
        err = weft__park_for(&wait_kind, g, WEFT__CALLER(), &g->running, running, until, 0);
    if (running != 0 && load_seq_cst(&g->running) != 0)
        return err;

    weft__lock_own(&g->lock);
    int failure = g->failure;
    g->failure = 0;
    g->stopping = 0;
    weft_lock_release(&g->lock);
    return failure;
}

void weft_group_cancel(weft_group *g)
{
    weft__lock_own(&g->lock);
    stop_all(g);
    weft_lock_release(&g->lock);
}

unsigned weft_group_running(const weft_group *g)
{
    return load_relaxed(&g->running);
}
