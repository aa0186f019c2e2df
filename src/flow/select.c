/* select.c - weft_select: waiting for several different things. See weft/select.h.
 *
 * Each round looks at all cases in an order by chance and carries the first out that can be. If none can, each gives a
 * word to sleep on (a queue's side, an event, a future), or a descriptor, or an earlier deadline; and one sleep is for
 * all of them (weft__park_any).
 *
 * S1  a case is carried out by its try alone, so exactly one is, and only when it is certain.
 * S2  a wake is spent on one case. A queue wakes one sleeper a side: who was woken for it passes the wake on after his
 *     try, whatever came of it (flow/queue.h). Events and futures wake all.
 * S3  between the word that a case gave and the sleep on it the case was looked at once more (queue_ready, expect), so
 *     a change is seen there or ends the sleep.
 * S4  after a sleep that failed all cases are looked at once more: what came with the deadline is carried out.
 * It holds no lock. Pinned by tests/model/select_model.c and tests/flow/select_test.c. */
#include <weft/select.h>

#include "flow/chance.h"
#include "flow/future.h"
#include "flow/queue.h"
#include "io/watch.h"
#include "park/await.h"
#include "sync/event.h"
#include "sys/multiplex.h"
#include "sys/sys.h"

#include <errno.h>
#include <weft/poller.h>

enum {
    FEW = 8, /* cases for which select needs no allocation */
    SLICE = 50 * WEFT_MS
};

/* What a call keeps: arrays of n. */
typedef struct selection {
    weft_case *cases;
    unsigned n;
    weft_until until;    /* the caller's */
    weft_until earliest; /* that, or an earlier case's; or a slice */
    uint16_t *order;     /* in which the cases are looked at */
    uint16_t *which;     /* words[i] and fds[i] are of case which[i], which[n + i] */
    uint32_t *before;    /* events: the word at the beginning */
    weft__case *words;
    weft__fd_case *fds;
    struct pollfd *polls; /* as fds, to look */
    unsigned nwords, nfds;
    const void *where; /* the call */
    bool shared;       /* an event of several processes is among them */
} selection;

static bool is_fd(const weft_case *c)
{
    return c->kind == WEFT__CASE_READABLE || c->kind == WEFT__CASE_WRITABLE;
}

static unsigned events_of(const weft_case *c)
{
    return c->kind == WEFT__CASE_READABLE ? WEFT_POLLIN : WEFT_POLLOUT;
}

/* ---- beginning ---- */

static bool is_sound(const weft_case *c)
{
    switch (c->kind) {
    case WEFT__CASE_NONE:
    case WEFT__CASE_UNTIL:
        return true;
    case WEFT__CASE_GET:
    case WEFT__CASE_PUT:
        return c->object != NULL && c->element != NULL;
    case WEFT__CASE_EVENT:
    case WEFT__CASE_FUTURE:
        return c->object != NULL;
    case WEFT__CASE_READABLE:
    case WEFT__CASE_WRITABLE:
        return c->fd >= 0;
    }
    return false;
}

static int begin(selection *s)
{
    s->nfds = 0;
    s->shared = false;
    for (unsigned i = 0; i < s->n; i++) {
        weft_case *c = &s->cases[i];
        if (!is_sound(c))
            return -EINVAL;
        c->result = 0;
        s->order[i] = (uint16_t)i;
        if (c->kind == WEFT__CASE_EVENT) {
            s->before[i] = weft__event_begin(c->object);
            s->shared |= (((const weft_event *)c->object)->flags & WEFT_SHARED) != 0;
        } else if (is_fd(c)) {
            s->which[s->n + s->nfds] = (uint16_t)i;
            s->polls[s->nfds] = (struct pollfd){.fd = c->fd, .events = (short)events_of(c)};
            s->fds[s->nfds++] = (weft__fd_case){.fd = c->fd, .events = events_of(c)};
        }
    }
    return 0;
}

/* ---- looking ---- */

static void shuffle(selection *s)
{
    for (unsigned i = s->n; i > 1; i--) {
        unsigned j = weft__by_chance(i);
        uint16_t swapped = s->order[i - 1];
        s->order[i - 1] = s->order[j];
        s->order[j] = swapped;
    }
}

/* Ask the kernel about all descriptors, and write what it says into their cases. */
static void look_at_descriptors(selection *s)
{
    int count;
    do
        count = weft__sys_poll(s->polls, s->nfds, 0);
    while (count == -EINTR);
    for (unsigned i = 0; i < s->nfds; i++) {
        unsigned events = count > 0 ? (unsigned short)s->polls[i].revents : 0;
        s->cases[s->which[s->n + i]].result = events & POLLNVAL ? -EBADF : (int)events;
    }
}

/* Carry the case out if it can be. Descriptors have been looked at. */
static bool try_case(selection *s, unsigned i)
{
    weft_case *c = &s->cases[i];
    switch (c->kind) {
    case WEFT__CASE_GET:
        if (!weft__queue_ready(c->object, WEFT__QUEUE_GET)) /* saves a lock for nothing */
            return false;
        c->result = weft__queue_try_get(c->object, c->element);
        return c->result != -WEFT_EEMPTY;
    case WEFT__CASE_PUT:
        if (!weft__queue_ready(c->object, WEFT__QUEUE_PUT))
            return false;
        c->result = weft__queue_try_put(c->object, c->element);
        return c->result != -WEFT_EFULL;
    case WEFT__CASE_EVENT:
        return weft__event_came(c->object, s->before[i]);
    case WEFT__CASE_FUTURE:
        return weft__future_is_done(c->object);
    case WEFT__CASE_UNTIL:
        return c->until.at <= 0 || (c->until.at != INT64_MAX && weft__sys_now() >= c->until.at);
    case WEFT__CASE_READABLE:
    case WEFT__CASE_WRITABLE:
        return c->result != 0;
    case WEFT__CASE_NONE:
        break;
    }
    return false;
}

/* Returns the case that was carried out, or -EAGAIN. */
static int try_all(selection *s)
{
    shuffle(s);
    if (s->nfds > 0)
        look_at_descriptors(s);
    for (unsigned i = 0; i < s->n; i++)
        if (try_case(s, s->order[i]))
            return s->order[i];
    return -EAGAIN;
}

/* ---- sleeping ---- */

/* The word to sleep on for a queue. False: a try is worth while. */
static bool queue_word(weft_queue *q, enum weft__queue_side side, weft__case *word)
{
    word->word = weft__queue_word(q, side);
    word->expected = weft__queue_arm(q, side);
    word->what = "queue";
    return !weft__queue_ready(q, side);
}

/* What case i sleeps on. False: it can be carried out now. */
static bool give_word(selection *s, unsigned i)
{
    weft_case *c = &s->cases[i];
    weft__case *word = &s->words[s->nwords];
    s->which[s->nwords] = (uint16_t)i;
    word->flags = 0;
    switch (c->kind) {
    case WEFT__CASE_GET:
    case WEFT__CASE_PUT:
        s->nwords++;
        return queue_word(c->object, c->kind == WEFT__CASE_GET ? WEFT__QUEUE_GET : WEFT__QUEUE_PUT, word);
    case WEFT__CASE_EVENT: {
        weft_event *e = c->object;
        word->word = &e->word;
        word->what = "event";
        word->flags = e->flags & WEFT_SHARED ? WEFT__SHARED_WORD : 0;
        s->nwords++;
        return weft__event_expect(e, s->before[i], &word->expected);
    }
    case WEFT__CASE_FUTURE: {
        weft_future *f = c->object;
        word->word = &f->word;
        word->what = weft__future_what;
        s->nwords++;
        return weft__future_expect(f, &word->expected);
    }
    case WEFT__CASE_UNTIL:
        if (c->until.at < s->earliest.at)
            s->earliest = c->until;
        return true;
    case WEFT__CASE_NONE:
    case WEFT__CASE_READABLE:
    case WEFT__CASE_WRITABLE:
        break;
    }
    return true;
}

/* Woken for case i: do it if it still can be done, and let the next sleeper of a queue have its turn. */
static bool woken_for(selection *s, unsigned i)
{
    const weft_case *c = &s->cases[i];
    bool done = !is_fd(c) && try_case(s, i);
    if (c->kind == WEFT__CASE_GET || c->kind == WEFT__CASE_PUT)
        weft__queue_pass_on(c->object, c->kind == WEFT__CASE_GET ? WEFT__QUEUE_GET : WEFT__QUEUE_PUT);
    return done;
}

static const weft__awaited select_kind = {.what = "select"};

/* Returns the case that was carried out, -EAGAIN to look again, or why the wait has ended. */
static int sleep_for_all(selection *s)
{
    s->nwords = 0;
    s->earliest = s->until;
    for (unsigned i = 0; i < s->n; i++)
        if (!give_word(s, i))
            return -EAGAIN;
    int r;
    if (s->nfds == 0) {
        if (!s->shared)
            weft__await(weft__self(), &select_kind, s->cases, s->where, s->earliest);
        r = weft__park_any(s->words, s->nwords, s->earliest, 0);
        weft__awaited_end(weft__self());
    } else {
        /* A coroutine that sleeps for shared words is away now and then without being seen by its descriptors. */
        int64_t slice = s->shared ? weft__sys_now() + SLICE : INT64_MAX;
        if (slice < s->earliest.at)
            s->earliest.at = slice;
        r = weft__fd_park_any(s->words, s->nwords, s->fds, s->nfds, s->earliest);
        if (r == (int)s->nwords || r == -EBADF || r == -EPERM)
            return -EAGAIN;
    }
    if (r >= 0)
        return woken_for(s, s->which[r]) ? s->which[r] : -EAGAIN;
    return r == -ETIMEDOUT && s->earliest.at < s->until.at ? -EAGAIN : r;
}

/* A worker runs jobs that it waits for and that have not begun. Returns whether it did. */
static bool help(const selection *s)
{
    for (unsigned i = 0; i < s->n; i++)
        if (s->cases[i].kind == WEFT__CASE_FUTURE && !weft__wait_cancelled(weft__self()) &&
            weft__future_help(s->cases[i].object, s->until))
            return true;
    return false;
}

static int run(selection *s)
{
    int err = begin(s);
    if (err < 0)
        return err;
    for (err = -EAGAIN;;) {
        int chosen = try_all(s);
        if (chosen >= 0)
            return chosen;
        if (err != -EAGAIN)
            return err;
        if (s->until.at <= 0)
            return -ETIMEDOUT;
        if (help(s))
            continue;
        err = sleep_for_all(s);
        if (err >= 0)
            return err;
    }
}

static int select_few(weft_case *cases, unsigned n, weft_until until, const void *where)
{
    weft__case words[FEW];
    weft__fd_case fds[FEW];
    struct pollfd polls[FEW];
    uint32_t before[FEW];
    uint16_t order[FEW], which[2 * FEW];
    selection s = {
        .cases = cases, .n = n, .until = until, .order = order, .which = which, .before = before, .where = where};
    s.words = words;
    s.fds = fds;
    s.polls = polls;
    return run(&s);
}

typedef struct room {
    weft__case word;
    weft__fd_case fd;
    struct pollfd poll;
    uint32_t before;
    uint16_t order, which[2];
} room;

WEFT__COLD static int select_many(weft_case *cases, unsigned n, weft_until until, const void *where)
{
    char *memory = weft__malloc(n * sizeof(room));
    if (memory == NULL)
        return -ENOMEM;
    selection s = {.cases = cases, .n = n, .until = until, .where = where};
    s.words = (weft__case *)(void *)memory; /* by falling alignment */
    s.fds = (weft__fd_case *)(void *)(s.words + n);
    s.polls = (struct pollfd *)(void *)(s.fds + n);
    s.before = (uint32_t *)(void *)(s.polls + n);
    s.order = (uint16_t *)(void *)(s.before + n);
    s.which = s.order + n;
    int r = run(&s);
    weft__free(memory);
    return r;
}

int weft_select(weft_case *cases, unsigned n, weft_until until)
{
    if (n > WEFT__CASES_MAX)
        return -EINVAL;
    const void *where = WEFT__CALLER();
    return n <= FEW ? select_few(cases, n, until, where) : select_many(cases, n, until, where);
}
