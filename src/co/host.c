/* host.c - a thread that runs the scheduler apart while it waits. See host.h.
 *
 * The thread's waiter stands in its queue like any other; only its sleep is another: rounds of the scheduler until
 * whoever ends the wait has made the token READY.
 * H1  s->host is set while and only while the thread is in such a sleep.
 * H2  the scheduler sleeps in the kernel only if, after it has stored `sleeping`, the token is not READY; who makes it
 *     READY looks at `sleeping` afterwards; all seq_cst, so one of the two sees the other.
 * Pinned by tests/co/host_test.c. */
#include "co/untraced.h"
WEFT__UNTRACED_BEGIN
#include "co/host.h"
#include "co/run.h"

#include "base/leak.h"

#include <sys/prctl.h>

typedef struct deadline {
    weft__timer timer;
    weft__waiter *waiter;
} deadline;

static void deadline_came(weft__timer *t)
{
    weft__waiter *w = container_of(t, deadline, timer)->waiter;
    if (weft__waiter_claim(w, WEFT__TIMEDOUT))
        store_seq_cst(&w->token, WEFT__TOKEN_READY);
}

static void spend(const weft__pastime *p, weft__waiter *self, int64_t until_ns)
{
    weft__sched *s = container_of(p, weft__sched, pastime);
    deadline end = {.timer.fire = deadline_came, .waiter = self};
    int slack = prctl(PR_GET_TIMERSLACK); /* negative: the kernel does not tell */
    prctl(PR_SET_TIMERSLACK, 1);          /* as in any scheduler thread */
    s->host = self;
    weft__run_enter(s);
    if (until_ns != INT64_MAX)
        weft__wheel_set(&s->wheel, &end.timer, until_ns);
    while (load_seq_cst(&self->token) != WEFT__TOKEN_READY)
        weft__run_round(s);
    weft__wheel_cancel(&s->wheel, &end.timer);
    s->host = NULL;
    weft__sched_self = NULL;
    weft__idle_poller = NULL;
    weft__become(self);
    if (slack > 0)
        prctl(PR_SET_TIMERSLACK, slack);
}

static void interrupt(const weft__pastime *p)
{
    weft__run_notify(container_of(p, weft__sched, pastime), WEFT__NOTIFIED);
}

/* LeakSanitizer looks at the stack that a thread is on, and exit may be called on a coroutine's. */
static void keep_stack_in_sight(weft__sched *s)
{
#if WEFT__ASAN
    context_of_thread(&s->own);
    const char *here = __builtin_frame_address(0);
    leak_root(here, (size_t)((const char *)s->own.bottom + s->own.size - here));
#endif
    (void)s;
}

int weft__host_begin(void)
{
    weft__waiter *self = weft__self();
    if (self->pastime != NULL)
        return 0;
    weft__sched *s;
    int err = weft__sched_make_apart(&s);
    if (err < 0)
        return err;
    weft__overflow_watch_host();
    keep_stack_in_sight(s);
    s->pastime = (weft__pastime){spend, interrupt};
    store_relaxed(&self->pastime, &s->pastime);
    return 0;
}
WEFT__UNTRACED_END
