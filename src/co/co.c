/* co.c - the public calls of weft/co.h, and the starts of co/sched.h: handles, their owners, and what threads may call
 * as well. A handle is a slot of the pool; using one that was joined or detached is noticed as long as the slot is
 * free. */
#include "co/untraced.h"
WEFT__UNTRACED_BEGIN
#include "co/state.h"

#include "base/panic.h"
#include "park/await.h"
#include "sys/aside.h"

#include <errno.h>
#include <sched.h>

/* ---- starting ---- */

static void set_name(weft_co *co, const char *name)
{
    for (unsigned i = 0; i + 1 < WEFT__CO_NAME; i++) {
        store_relaxed(&co->name[i], name[i]);
        if (name[i] == 0)
            return;
    }
    store_relaxed(&co->name[WEFT__CO_NAME - 1], 0);
}

/* A coroutine that nobody knows yet. */
static int make(weft_co **out, weft_co_fn *fn, void *arg, const weft_co_options *options, uint32_t life)
{
    int size_class = weft__stack_class(options != NULL ? options->stack_size : 0);
    if (size_class < 0)
        return size_class;
    if (unlikely(weft__sched_starved()))
        return -ENOMEM;
    weft_co *co = weft__pool_take(weft__sched_self);
    if (unlikely(co == NULL))
        return -ENOMEM;
    co->fn = fn;
    co->arg = arg;
    co->size_class = (uint8_t)size_class;
    if (options != NULL && options->name != NULL)
        set_name(co, options->name);
    store_relaxed(&co->life, life);
    *out = co;
    return 0;
}

static int start_first(void)
{
    return likely(weft__sched_started()) ? 0 : weft__sched_start(0);
}

int weft_go(weft_co_fn *fn, void *arg)
{
    weft_co *co;
    int err = weft__co_new(&co, fn, arg, NULL);
    if (err == 0)
        weft__sched_submit(co);
    return err;
}

int weft_co_start(weft_co **co, weft_co_fn *fn, void *arg, const weft_co_options *options)
{
    weft_co *made = NULL;
    int err = start_first();
    if (err == 0)
        err = make(&made, fn, arg, options, WEFT__CO_RUNNING);
    if (err != 0)
        return err == -EAGAIN ? -ENOMEM : err;
    *co = made;
    weft__sched_submit(made);
    return 0;
}

int weft__co_new(weft_co **co, weft_co_fn *fn, void *arg, const weft_co_options *options)
{
    int err = start_first();
    if (err == 0)
        err = make(co, fn, arg, options, WEFT__CO_DETACHED);
    return err == -EAGAIN ? -ENOMEM : err;
}

void weft__co_launch(weft_co *co)
{
    weft__sched_submit(co);
}

int weft__co_start_on(unsigned index, weft_co **co, weft_co_fn *fn, void *arg, const weft_co_options *options)
{
    bool apart = index == WEFT__SCHED_APART;
    if (apart ? weft__sched_at(index) == NULL : index >= weft__sched_count())
        return -EINVAL;
    weft_co *made = NULL;
    int err = apart ? 0 : weft__sched_start(index);
    if (err == 0)
        err = make(&made, fn, arg, options, co != NULL ? WEFT__CO_RUNNING : WEFT__CO_DETACHED);
    if (err != 0)
        return err;
    if (co != NULL)
        *co = made;
    made->sched = weft__sched_at(index);
    weft__sched_submit_pinned(made);
    return 0;
}

int weft__co_start_here(weft_co_fn *fn, void *arg, const weft_co_options *options)
{
    weft_co *made = NULL;
    int err = make(&made, fn, arg, options, WEFT__CO_DETACHED);
    if (err != 0)
        return err;
    made->sched = weft__sched_self;
    weft__sched_submit_pinned(made);
    return 0;
}

int weft_co_threads(unsigned n)
{
    return weft__sched_limit(n);
}

/* ---- handles ---- */

static void check_handle(const weft_co *co, const char *call)
{
    if (unlikely(co->epoch != load_relaxed(&weft__co_epoch)))
        weft__panic("%s: this coroutine was started before a fork() and does not exist in the child", call);
    if (unlikely(load_relaxed(&co->life) == WEFT__CO_FREE))
        weft__panic("%s: this coroutine was joined or detached before", call);
}

/* Who waits for a coroutine waits for that one. */
static void join_enders(const void *object, const weft__waiter *sleeper, weft__enders *e)
{
    (void)sleeper;
    const weft_co *co = object; /* type-stable */
    e->known = true;
    weft__enders_add(e, load_acquire(&co->waiter.id));
}

static const weft__awaited join_kind = {.what = "end of a coroutine", .held = "which is", .enders = join_enders};

/* Sleep until co has ended. 0, or -ETIMEDOUT or -ECANCELED and it has not. Pre: life is JOINED. */
static int wait_for_end(weft_co *co, weft_until until, const void *where)
{
    int err = 0;
    uint32_t life = WEFT__CO_JOINED;
    while (err == 0 && life == WEFT__CO_JOINED) {
        err = weft__park_for(&join_kind, co, where, &co->life, WEFT__CO_JOINED, until, 0);
        life = load_acquire(&co->life);
    }
    if (life == WEFT__CO_ENDED || !cas_acq_rel(&co->life, &life, WEFT__CO_RUNNING))
        return 0; /* it ended together with the deadline */
    return err;
}

int weft_co_join(weft_co *co, int *result, weft_until until)
{
    check_handle(co, "weft_co_join");
    if (co == weft_co_self())
        return -EDEADLK;
    uint32_t life = load_acquire(&co->life);
    if (life == WEFT__CO_RUNNING && cas_acq_rel(&co->life, &life, WEFT__CO_JOINED)) {
        int err = wait_for_end(co, until, WEFT__CALLER());
        if (err < 0)
            return err;
    } else if (life != WEFT__CO_ENDED) {
        weft__panic("weft_co_join: coroutine '%s' %s", weft_co_name(co),
                    life == WEFT__CO_JOINED ? "is being joined by somebody else" : "is detached");
    }
    if (result != NULL)
        *result = co->result;
    weft__pool_give(weft__sched_self, co);
    return 0;
}

void weft_co_detach(weft_co *co)
{
    check_handle(co, "weft_co_detach");
    uint32_t life = WEFT__CO_RUNNING;
    if (cas_acq_rel(&co->life, &life, WEFT__CO_DETACHED))
        return;
    if (life != WEFT__CO_ENDED)
        weft__panic("weft_co_detach: coroutine '%s' %s", weft_co_name(co),
                    life == WEFT__CO_JOINED ? "is being joined" : "was detached before");
    weft__pool_give(weft__sched_self, co);
}

void weft_co_cancel(weft_co *co)
{
    check_handle(co, "weft_co_cancel");
    weft__waiter_cancel(&co->waiter);
}

weft_co *weft_co_self(void)
{
    const weft__sched *s = weft__sched_self;
    return s != NULL ? s->current : NULL;
}

const char *weft_co_name(const weft_co *co)
{
    if (co == NULL)
        return "";
    return co->name[0] != 0 ? co->name : co->default_name;
}

uint32_t weft__co_that_runs(const weft_co *co, weft_co_fn *fn, const void *arg)
{
    weft_co seen;
    if (weft__sys_peek(&seen, co, sizeof seen) < 0 || seen.fn != fn || seen.arg != arg)
        return 0;
    return weft__waiter_by_id(seen.waiter.id) == &co->waiter ? seen.waiter.id : 0;
}

weft__waiter *weft__co_waiter(weft_co *co)
{
    return &co->waiter;
}

/* ---- the caller itself, coroutine or thread ---- */

void weft_yield(void)
{
    weft__sched *s = weft__sched_self;
    if (s != NULL && s->current != NULL)
        weft__sched_yield(s, s->current);
    else
        sched_yield();
}

int weft_sleep(weft_until until)
{
    if (until.at <= 0)
        weft_yield();
    weft__waiter *self = weft__self();
    store_relaxed(&self->what, "sleep");
    weft__wait_begin(self, false);
    fence_seq_cst(); /* WAITING before the look at `cancel` */
    return weft__wait_block(self, until.at) == WEFT__CANCELLED ? -ECANCELED : 0;
}

int weft_cancelled(void)
{
    return weft__wait_cancelled(weft__self());
}

int weft_shield(int up)
{
    weft__waiter *self = weft__self();
    int was = self->shield != 0;
    self->shield = up != 0;
    return was;
}

/* ---- timers of this thread ---- */

void weft__timer_set(weft__timer *t, int64_t at)
{
    weft__thread_leave(); /* what the caller wrote is there when it fires */
    weft__wheel_set(&weft__sched_self->wheel, t, at);
}

void weft__timer_cancel(weft__timer *t)
{
    if (t->link != NULL)
        weft__wheel_cancel(&weft__sched_self->wheel, t);
}
WEFT__UNTRACED_END
