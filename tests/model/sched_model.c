/* sched_model.c - scheduler threads: what others bring is run, once, and by a thread of its own where one is to be had.
 * The sleep and the sharing are the real ones (idle.c, share.c); the rounds between them are made here, and a coroutine
 * is a call. Threads 0 ... are the schedulers, those after them bring. */
#include "explorer.h"

#include "co/run.h"

#include <stdlib.h>

enum {
    SCHEDS = 2,
    COS = 3,
    ROOM = 4 /* of a ring */
};

WEFT__TLS weft__sched *weft__sched_self;
const weft__waiter_ops weft__run_ops;

static weft__sched scheds[SCHEDS];
static union {
    weft__ring_array array;
    uint64_t room[1 + ROOM];
} arrays[SCHEDS];
static weft_co brought[COS], last[SCHEDS];
static weft__call last_calls[SCHEDS], calls[2];
static bool over[SCHEDS]; /* the scheduler's own: no more comes */
static unsigned n_scheds;
static uint32_t left;       /* atomic: what is to be run yet; a word to sleep on */
static uint32_t begun[COS]; /* atomic; words to sleep on */
static void (*work)(unsigned i);

/* ---- the rest of a scheduler ---- */

void weft__run_enqueue(weft__sched *s, weft_co *co)
{
    co->next = NULL;
    *(s->first == NULL ? &s->first : &s->last->next) = co;
    s->last = co;
}

static weft_co *take(weft__sched *s)
{
    void *unstarted = NULL;
    weft_co *co = s->first;
    if (co != NULL)
        s->first = co->next;
    else if (ring_take(&s->ring, &unstarted, 1) != 0)
        co = unstarted;
    return co;
}

static void ran_one(void)
{
    if (sub_seq_cst(&left, 1) != 1)
        return;
    for (unsigned i = 0; i < n_scheds; i++)
        weft__run_post(&scheds[i], &last_calls[i]);
}

static void run(weft_co *co)
{
    unsigned i = (unsigned)(co - brought);
    MODEL_CHECK(load_relaxed(&begun[i]) == 0);
    store_seq_cst(&begun[i], 1);
    weft__sys_futex_wake(&begun[i], 1, false);
    if (work != NULL)
        work(i);
    ran_one();
}

static void schedule(unsigned i)
{
    while (!over[i]) {
        weft_co *co = take(&scheds[i]);
        if (co == &last[i])
            over[i] = true;
        else if (co != NULL)
            run(co);
        else
            weft__run_idle(&scheds[i]);
    }
}

static void call_last(weft__call *call)
{
    ptrdiff_t i = call - last_calls;
    weft__run_enqueue(&scheds[i], &last[i]);
}

static void call(weft__call *c)
{
    (void)c;
    ran_one();
}

/* ---- what is not explored ---- */

int64_t weft__wheel_next(const weft__wheel *wheel)
{
    (void)wheel;
    return INT64_MAX;
}

unsigned weft__wheel_fire(weft__wheel *wheel, int64_t now)
{
    (void)wheel, (void)now;
    model_fail("no timer is set");
    return 0;
}

uint64_t weft__sys_preempted(void)
{
    return 0;
}

int weft__sys_thread(void *(*fn)(void *), void *arg, size_t stack_size)
{
    (void)fn, (void)arg, (void)stack_size;
    model_fail("all threads there may be have been started");
    return -EAGAIN;
}

int weft__sys_unmap(void *p, size_t size)
{
    (void)p, (void)size;
    return 0;
}

void weft__run_begin(weft__sched *s)
{
    (void)s;
}

_Noreturn void weft__run(weft__sched *s)
{
    (void)s;
    abort();
}

void weft__co_watch_fork(void)
{
}
void weft__overflow_watch(void)
{
}
void weft__overflow_watch_thread(void)
{
}
void weft__sched_starved_after_fork_child(void)
{
}

/* ---- cases ---- */

static void enter(unsigned i)
{
    weft__sched_self = i < n_scheds ? &scheds[i] : NULL;
}

static void make(unsigned schedulers, unsigned things, void (*fn)(unsigned i))
{
    weft__sched *all[SCHEDS];
    n_scheds = schedulers;
    left = things;
    work = fn;
    memset(scheds, 0, sizeof scheds);
    memset(brought, 0, sizeof brought);
    memset(begun, 0, sizeof begun);
    memset(over, 0, sizeof over);
    calls[0].fn = calls[1].fn = call;
    for (unsigned i = 0; i < SCHEDS; i++) {
        all[i] = &scheds[i];
        scheds[i].index = i;
        arrays[i].array.mask = ROOM - 1;
        scheds[i].ring.array = &arrays[i].array;
        last_calls[i].fn = call_last;
    }
    weft__share_reset(all, schedulers);
}

static void await_begin(unsigned i)
{
    while (load_seq_cst(&begun[i]) == 0)
        weft__sys_futex_wait(&begun[i], 0, INT64_MAX, false);
}

static void all_ran(void)
{
    MODEL_CHECK(load_relaxed(&left) == 0);
}

/* Each brings one. */
static void one_by_one_thread(void)
{
    make(1, 1, NULL);
}

static void two_by_one_thread(void)
{
    make(1, 2, NULL);
}

static void two_by_two_threads(void)
{
    make(2, 2, NULL);
}

static void bring(unsigned i)
{
    if (i < n_scheds)
        schedule(i);
    else
        weft__sched_submit(&brought[i - n_scheds]);
}

static void post(unsigned i)
{
    if (i < n_scheds)
        schedule(i);
    else
        weft__run_post(&scheds[0], &calls[i - n_scheds]);
}

/* The thread is woken by another's call after who brings has seen it asleep: he cannot hand on the right to search, and
 * what the other brings meanwhile has been left to him. */
static void with_a_call(void)
{
    make(1, 3, NULL);
}

static void bring_and_call(unsigned i)
{
    if (i == 2)
        weft__run_post(&scheds[0], &calls[0]);
    bring(i);
}

/* Two that wait for each other need two threads, whoever brings them. */
static void meet(unsigned i)
{
    await_begin(1 - i);
}

static void two_that_meet(void)
{
    make(2, 2, meet);
}

static void bring_two(unsigned i)
{
    bring(i);
    if (i == n_scheds)
        weft__sched_submit(&brought[1]);
}

static void meet_who_was_started(unsigned i)
{
    if (i == 0)
        weft__sched_submit(&brought[1]);
    await_begin(1 - i);
}

static void one_that_starts_one(void)
{
    make(2, 2, meet_who_was_started);
    weft__run_enqueue(&scheds[0], &brought[0]);
}

/* One after the other: a thread that searched in vain dozes with the right to search. */
static void trickle(void)
{
    make(2, 2, NULL);
    scheds[1].vain = true;
}

static void bring_when_begun(unsigned i)
{
    bring(i);
    if (i == n_scheds) {
        await_begin(0);
        weft__sched_submit(&brought[1]);
    }
}

const model_case sched_cases[] = {
    {"sched_one_is_brought", 2, one_by_one_thread, bring, all_ran, MODEL_EXACT, .enter = enter},
    {"sched_two_calls", 3, two_by_one_thread, post, all_ran, MODEL_EXACT, .enter = enter, .share = 2},
    {"sched_two_bring_to_one", 3, two_by_one_thread, bring, all_ran, 2, .enter = enter, .share = 2},
    {"sched_two_bring_to_two", 4, two_by_two_threads, bring, all_ran, 2, .enter = enter, .share = 6},
    {"sched_right_comes_back", 3, with_a_call, bring_and_call, all_ran, 3, .enter = enter, .share = 6},
    {"sched_two_that_meet", 3, two_that_meet, bring_two, all_ran, 2, .enter = enter, .share = 6},
    {"sched_one_that_starts_one", 2, one_that_starts_one, bring, all_ran, 2, .enter = enter, .share = 3},
    {"sched_trickle", 3, trickle, bring_when_begun, all_ran, 2, .enter = enter, .share = 3},
    {0},
};
