/* watch.c - the watch thread: it finds those who have slept for 20 ms in a wait that tells what it awaits, looks for a
 * ring through each once a sleep (ring.c), and asks whether anybody is left to wake them (stuck.c).
 *
 * W1  a sleeper that told is in a chunk that is marked, or has been seen in its present sleep. It enters its queue
 *     (seq_cst), then reads the mark; the watch thread clears the mark (seq_cst), then looks at all of the chunk.
 * W2  one look a sleep is enough for rings: the edges of a ring come to be before its last member falls asleep, for
 *     what that one holds it took before; and a member that is awake at a look will be looked at when it sleeps.
 * W3  it touches only type-stable memory and what weft__sys_peek copies, and has no waiter, unless somebody's function
 *     that gets the reports waits for something.
 * W4  no poke is lost: who pokes has ended or is at rest (seq_cst), then reads the state; the first look of a thread
 *     comes after its RUNNING (seq_cst), and each poke it is there for leaves a mark, which it clears before it looks.
 * state: NONE -> RUNNING (thread starts) <-> IDLE -> NONE (thread ends); who marks moves it out of NONE and IDLE, who
 * pokes out of IDLE.
 * A look at n waiters is followed by a rest fifty times as long, so that many busy waiters cost it two percent.
 * Pinned by tests/fault/deadlock_*_test.c. */
#include "park/watch.h"

#include "sys/aside.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

enum {
    NONE = WEFT__WATCH_NONE,
    RUNNING,
    IDLE,
    FAILED, /* no thread to be had: nobody watches */

    CHUNK = 1 << WEFT__WATCH_CHUNK_LOG2,
    STACK = 1 << 20, /* bytes; the library that reads debug information is called on it */
    REST_FACTOR = 50
};

#define TICK      (20 * WEFT_MS)
#define SETTLED   (18 * WEFT_MS) /* asleep for so long, it is looked at */
#define HOLD      (60 * WEFT_MS) /* between two questions whether anybody is left that were answered by yes */
#define LEAVE     (60 * WEFT_MS) /* so long a thread that poked may still be in its last instructions */
#define ANEW      WEFT_SECOND    /* between two while threads unknown to weft may be the ones */
#define PAUSE_MAX (500 * WEFT_MS)
#define LINGER    (10 * WEFT_SECOND)

uint32_t weft__watch_marks[WEFT__WATCH_CHUNKS];
WEFT__FORK_PAGE uint32_t weft__watch_state;

static int64_t told;                          /* the thread's: how long reports have taken in this round */
static WEFT__FORK_PAGE weft__watch_job *jobs; /* atomic: calls to be made, newest first */
static WEFT__FORK_PAGE uint32_t poked;        /* atomic: somebody ended or came to rest since the last look */
static uint32_t ever_marked;                  /* atomic: until then a fork need not write to all marks */
static bool unsettled[WEFT__WATCH_CHUNKS];    /* the thread's: somebody there has not slept for long enough */

/* ---- what a waiter is doing ---- */

bool weft__find(weft__waiter *w, weft__found *f)
{
    *f = (weft__found){.waiter = w, .id = load_acquire(&w->id), .waits = load_acquire(&w->waits)};
    if (f->id == 0 || !weft__waiter_asleep(w))
        return false;
    f->object = load_acquire(&w->object);
    f->where = load_acquire(&w->where);
    int64_t until = load_acquire(&w->until);
    f->kind = load_acquire(&w->awaits);
    if (f->kind != NULL && until != INT64_MAX)
        f->kind = NULL; /* it ends by itself */
    return weft__found_still(f);
}

bool weft__found_still(const weft__found *f)
{
    return weft__waiter_asleep(f->waiter) && load_acquire(&f->waiter->waits) == f->waits &&
           load_acquire(&f->waiter->id) == f->id;
}

void weft__found_enders(weft__found *f, const weft__enders *e)
{
    f->n = 0;
    f->more = e->missed;
    f->all = e->all;
    for (unsigned i = 0; i < e->n; i++) {
        unsigned k = 0;
        while (k < f->n && f->enders[k] != e->ids[i])
            k++;
        if (k < f->n)
            continue; /* it runs several of those that are waited for */
        if (k == WEFT__FOUND_ENDERS) {
            f->more++;
            continue;
        }
        f->enders[k] = e->ids[i];
        f->takings[k] = e->wheres != NULL ? e->wheres[i] : 0;
        f->n++;
    }
    if (e->n == 1 && e->where != 0)
        f->takings[0] = e->where;
    f->holder = f->n == 1 && f->more == 0 ? f->enders[0] : 0;
    f->taken = f->holder != 0 ? f->takings[0] : 0;
}

int weft__peek_awaited(void *to, const void *object, size_t size, const weft__waiter *sleeper)
{
    weft__sleep s = {.sleeper = sleeper, .number = load_acquire(&sleeper->waits)};
    if (!weft__waiter_asleep(sleeper) || load_acquire(&sleeper->object) != object)
        return -EAGAIN;
    return weft__peek_in_sleep(to, object, size, &s);
}

int weft__peek_in_sleep(void *to, const void *from, size_t size, const weft__sleep *s)
{
    size_t is = s->was;
    int err = weft__sys_peek(to, from, size);
    if (err == 0 && s->while_is != NULL)
        err = weft__sys_peek(&is, s->while_is, sizeof is);
    if (err == 0 && (is != s->was || !weft__waiter_asleep(s->sleeper) || load_acquire(&s->sleeper->waits) != s->number))
        err = -EAGAIN;
    return err;
}

/* ---- looking ---- */

typedef struct round_ {
    int64_t now;
    bool unsettled; /* somebody must be looked at again */
    bool settled;   /* somebody was looked at for rings */
} round_;

/* `waits` plus one, so that it is never 0, which is nobody's. */
static uint32_t sleep_number(const weft__waiter *w)
{
    uint32_t n = load_acquire(&w->waits) + 1;
    return n != 0 ? n : 1;
}

static void look_at(weft__waiter *w, round_ *r)
{
    uint32_t number = sleep_number(w);
    const weft__awaited *kind = load_acquire(&w->awaits);
    if (kind == NULL || !weft__waiter_asleep(w) || (load_relaxed(&w->until) != INT64_MAX && kind->idle == NULL))
        return;
    if (w->watched != number) {
        w->watched = number;
        w->seen_asleep = r->now;
        r->unsettled = true;
    } else if (w->walked == number) {
        return;
    } else if (r->now - w->seen_asleep < SETTLED) {
        r->unsettled = true;
    } else {
        w->walked = number;
        r->settled = true;
        if (kind->enders != NULL)
            weft__ring_look(w);
    }
}

static void look_at_each(weft__waiter *w, void *arg)
{
    look_at(w, arg);
}

static void look_around(round_ *r)
{
    for (unsigned i = 0; i < WEFT__WATCH_CHUNKS; i++) {
        if (!unsettled[i] && load_relaxed(&weft__watch_marks[i]) == 0)
            continue;
        swap_seq_cst(&weft__watch_marks[i], 0); /* W1 */
        bool before = r->unsettled;
        r->unsettled = false;
        weft__waiters_in(i * CHUNK, CHUNK, look_at_each, r);
        unsettled[i] = r->unsettled;
        r->unsettled = r->unsettled || before;
    }
}

static bool any_mark(void)
{
    if (load_seq_cst(&jobs) != NULL || load_seq_cst(&poked) != 0)
        return true;
    for (unsigned i = 0; i < WEFT__WATCH_CHUNKS; i++)
        if (load_seq_cst(&weft__watch_marks[i]) != 0)
            return true;
    return false;
}

static void make_calls(void)
{
    for (weft__watch_job *job = swap_acquire(&jobs, NULL), *next; job != NULL; job = next) {
        next = job->next;
        job->fn(job);
    }
}

/* ---- the thread ---- */

static void rest(int64_t ns)
{
    static const uint32_t never;
    weft__aside_wait(&never, 0, ns);
}

/* Nobody has marked: state is NONE, and this thread must end. */
static bool may_end(void)
{
    store_seq_cst(&weft__watch_state, IDLE);
    uint32_t seen = IDLE;
    if (!any_mark() && cas_seq_cst(&weft__watch_state, &seen, NONE))
        return true;
    seen = IDLE;
    cas_seq_cst(&weft__watch_state, &seen, RUNNING);
    return false;
}

/* Sleep until somebody marks or pokes, or for `ns`: whether somebody did. */
static bool idle(int64_t ns)
{
    store_seq_cst(&weft__watch_state, IDLE);
    int64_t end = weft__aside_now() + ns, left = ns;
    while (!any_mark() && load_seq_cst(&weft__watch_state) == IDLE && left > 0) {
        weft__aside_wait(&weft__watch_state, IDLE, left);
        left = end - weft__aside_now();
    }
    uint32_t seen = IDLE;
    cas_seq_cst(&weft__watch_state, &seen, RUNNING);
    return left > 0;
}

static void find_sleeper(weft__waiter *w, void *arg)
{
    bool *found = arg;
    weft__found f;
    *found = *found || (weft__find(w, &f) && f.kind != NULL && f.kind->idle == NULL);
}

/* Nobody sleeps who would have to be told when the last of the others ends. */
static bool is_needless(void)
{
    bool found = false;
    weft__waiters_each(find_sleeper, &found);
    return !found;
}

/* Whether anybody is left; *may_ask: not to be asked before. */
static weft__stuck ask_who_is_left(int64_t now, int64_t poked_at, int64_t *may_ask, bool *anybody)
{
    weft__stuck stuck = weft__stuck_look(anybody);
    if (stuck == WEFT__STUCK_UNKNOWN && now - poked_at < LEAVE)
        stuck = WEFT__STUCK_PERHAPS;
    *may_ask = stuck == WEFT__STUCK_PERHAPS ? 0 : now + (stuck == WEFT__STUCK_UNKNOWN ? ANEW : HOLD);
    return stuck;
}

static void *watch(void *arg)
{
    (void)arg;
    pthread_setname_np(pthread_self(), "weft-watch");
    int64_t may_ask = 0, poked_at = INT64_MIN / 2;
    bool ask = true;
    for (;;) {
        make_calls();
        told = 0;
        int64_t begin = weft__aside_spent();
        round_ r = {.now = weft__aside_now()};
        weft__stuck stuck = WEFT__STUCK_NO;
        bool anybody = true;
        if (swap_seq_cst(&poked, 0) != 0) { /* W4 */
            poked_at = r.now;
            ask = true;
        }
        look_around(&r);
        ask = ask || r.settled;
        if (ask && !r.unsettled && r.now >= may_ask) {
            stuck = ask_who_is_left(r.now, poked_at, &may_ask, &anybody);
            ask = stuck == WEFT__STUCK_PERHAPS;
        }
        if (!anybody && !r.unsettled && may_end())
            return NULL; /* the last thread has gone: let the process end */
        int64_t pause = (weft__aside_spent() - begin - told) * REST_FACTOR;
        if (r.unsettled || ask)
            rest(pause < TICK ? TICK : pause < PAUSE_MAX ? pause : PAUSE_MAX);
        else if (!idle(stuck == WEFT__STUCK_UNKNOWN ? ANEW : LINGER) && is_needless() && may_end())
            return NULL;
        else
            ask = true;
    }
}

/* ---- those who mark and poke ---- */

static void wake(bool may_start)
{
    uint32_t seen = load_seq_cst(&weft__watch_state);
    while (seen == IDLE || (seen == NONE && may_start)) {
        bool asleep = seen == IDLE;
        if (!cas_seq_cst(&weft__watch_state, &seen, RUNNING))
            continue;
        if (asleep)
            weft__aside_wake(&weft__watch_state);
        else if (weft__aside_thread(watch, NULL, STACK) < 0)
            store_seq_cst(&weft__watch_state, FAILED);
        return;
    }
}

WEFT__COLD void weft__watch_mark(const weft__waiter *self)
{
    if (!weft__deadlock_on())
        return;
    if (load_relaxed(&ever_marked) == 0)
        store_seq_cst(&ever_marked, 1);
    store_seq_cst(&weft__watch_marks[self->slot >> WEFT__WATCH_CHUNK_LOG2], 1);
    wake(true);
}

void weft__watch_excuse(int64_t ns)
{
    told += ns;
}

void weft__watch_call(weft__watch_job *job)
{
    weft__watch_job *newest = load_relaxed(&jobs);
    do
        job->next = newest;
    while (!cas_seq_cst(&jobs, &newest, job));
    wake(true);
}

WEFT__COLD void weft__watch_poke_slow(void)
{
    if (load_seq_cst(&poked) == 0)
        store_seq_cst(&poked, 1);
    wake(false);
}

bool weft__watch_runs(void)
{
    uint32_t seen = load_seq_cst(&weft__watch_state);
    return seen == RUNNING || seen == IDLE;
}

/* In a child of fork nobody watches yet, and those who were seen asleep have gone. */
WEFT__FORK_TEXT static void after_fork_child(void)
{
    store_relaxed(&weft__watch_state, NONE); /* threads that have gone may have looked at them without order */
    store_relaxed(&poked, 0);
    store_relaxed(&jobs, NULL);
    if (ever_marked == 0)
        return;
    memset(weft__watch_marks, 0, sizeof weft__watch_marks);
    memset(unsettled, 0, sizeof unsettled);
}

__attribute__((constructor(101))) static void watch_fork(void)
{
    pthread_atfork(NULL, NULL, after_fork_child);
}
