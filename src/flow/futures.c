/* futures.c - waiting for several futures: until enough of them are done, or one after the other as they are done.
 *
 * To wait for all is to wait for one after the other. To wait for the first, a watcher stands in the list of each, and
 * is taken out before the call returns: nothing is left behind in a future that outlives many such waits. A completer
 * tells a watcher under the future's lock, and leaving takes that lock: so it may lie on the waiter's stack.
 * Completions keep their watchers until they are told or freed. Who completes a future puts its entry into the queue
 * `ready`, so they come out in the order in which they were done; who takes the last one wakes the others that wait.
 * C1  an entry is in exactly one of: its future's list, `ready`, given.   C2  left = entries not given.
 * Lock order: see future.c. Pinned by tests/model/future_model.c and tests/flow/futures_test.c. */
#include "flow/future.h"

#include <errno.h>

/* ---- until enough are done ---- */

enum {
    FEW = 16,  /* futures for which a wait needs no allocation */
    TOLD = 256 /* and about whose runners a report asks */
};

/* One wait for the first of several. */
typedef struct crowd {
    uint32_t enough;  /* atomic: 1 when the wait is over; its waiter sleeps on it */
    uint32_t pending; /* atomic: how many are not done, and one more until all are entered */
    enum weft_wait_for what;
    const void *where;     /* the call */
    weft_future **futures; /* `n` of them */
    size_t n;
} crowd;

typedef struct member {
    weft__watcher watcher; /* first */
    crowd *crowd;
} member;

/* A future of the crowd is done: whether that ends the wait. */
static bool is_enough(crowd *c, const weft_future *f)
{
    bool last = sub_seq_cst(&c->pending, 1) == 1;
    return last || c->what == WEFT_FIRST_DONE || (!weft_future_cancelled(f) && weft_future_error(f) < 0);
}

static void member_done(weft__watcher *w, weft_future *f)
{
    crowd *c = container_of(w, member, watcher)->crowd;
    if (is_enough(c, f)) {
        store_seq_cst(&c->enough, 1);
        weft__wake(&c->enough, 1, 0);
    }
}

/* Let a worker run those of its own pool that have not begun, until there is enough. */
static void help_crowd(weft_future **futures, size_t n, const crowd *c, weft_until until)
{
    for (size_t i = 0; i < n && load_acquire(&c->enough) == 0; i++)
        if (!weft__wait_cancelled(weft__self()))
            weft__future_help(futures[i], until);
}

/* ---- for reports ---- */

/* Who can end a wait for several futures: who can end any of those that are not done. */
typedef struct tally {
    const weft__sleep *sleep;
    weft__enders *e;
    const weft__future_ops *queue; /* the pool whose workers are in it already: any of them may take a job that waits */
    bool open;                     /* somebody else than those may */
} tally;

static void tally_up(tally *t, const weft_future *f, const weft_future *seen)
{
    bool waits = (seen->word & WEFT__FUTURE_STATE) == WEFT_PENDING;
    if (waits && seen->ops != NULL && seen->ops == t->queue)
        return;
    weft__enders *e = t->e;
    weft__enders one = {.ids = e->ids + e->n, .max = e->max - e->n};
    one.wheres = e->wheres != NULL ? e->wheres + e->n : NULL;
    weft__future_enders(f, seen, t->sleep, &one);
    e->n += one.n;
    e->missed += one.missed;
    t->open = t->open || !one.known || one.all;
    t->queue = waits ? seen->ops : t->queue;
}

static void crowd_enders(const void *object, const weft__waiter *sleeper, weft__enders *e)
{
    static weft_future *futures[TOLD]; /* the watch thread's */
    crowd c;
    weft__sleep s = {.sleeper = sleeper, .number = load_acquire(&sleeper->waits)};
    tally t = {.sleep = &s, .e = e};
    if (weft__peek_awaited(&c, object, sizeof c, sleeper) < 0 || c.n > TOLD ||
        weft__peek_in_sleep(futures, c.futures, c.n * sizeof *futures, &s) < 0)
        return;
    for (size_t i = 0; i < c.n; i++) {
        weft_future f;
        if (weft__peek_in_sleep(&f, futures[i], sizeof f, &s) < 0)
            return;
        if ((f.word & WEFT__FUTURE_DONE) && c.what == WEFT_FIRST_ERROR && f.error == 0)
            continue;
        if (f.word & WEFT__FUTURE_DONE)
            return;
        tally_up(&t, futures[i], &f);
    }
    e->known = !t.open;
}

static const weft__awaited several_kind = {.what = "one of several futures", .held = "run by", .enders = crowd_enders};

static int wait_in_crowd(crowd *c, weft_future **futures, size_t n, weft_until until, member *members)
{
    c->pending = (uint32_t)n + 1;
    size_t entered = 0;
    bool enough = false;
    for (; entered < n && !enough; entered++) {
        members[entered] = (member){.watcher.notify = member_done, .crowd = c};
        if (!weft__future_watch(futures[entered], &members[entered].watcher))
            enough = is_enough(c, futures[entered]);
    }
    enough = enough || sub_seq_cst(&c->pending, 1) == 1;
    int err = 0;
    if (!enough && until.at > 0)
        help_crowd(futures, n, c, until);
    while (!enough && err == 0 && load_acquire(&c->enough) == 0)
        err = weft__park_for(&several_kind, c, c->where, &c->enough, 0, until, 0);
    if (load_acquire(&c->enough) != 0)
        err = 0;
    while (entered-- > 0)
        weft__future_unwatch(futures[entered], &members[entered].watcher);
    return err;
}

static int wait_first(crowd *c, weft_future **futures, size_t n, weft_until until)
{
    member few[FEW], *members = few;
    if (n > FEW && (members = weft__malloc(n * sizeof *members)) == NULL)
        return -ENOMEM;
    int err = wait_in_crowd(c, futures, n, until, members);
    if (members != few)
        weft__free(members);
    return err;
}

static int wait_all(weft_future **futures, size_t n, weft_until until, const void *where)
{
    int err = 0;
    for (size_t i = 0; i < n && err == 0; i++)
        err = weft__future_wait(futures[i], until, where);
    return err;
}

/* ---- the done to the front ---- */

static void reverse(weft_future **futures, size_t n)
{
    for (size_t i = 0, j = n; i + 1 < j; i++) {
        weft_future *f = futures[i];
        futures[i] = futures[--j];
        futures[j] = f;
    }
}

/* In their order, without memory: halves are parted, and the middle turned round. Each is looked at once. */
static size_t part(weft_future **futures, size_t n)
{
    if (n < 2)
        return n == 1 && weft__future_is_done(futures[0]);
    size_t half = n / 2;
    size_t left = part(futures, half), right = part(futures + half, n - half);
    if (left < half && right > 0) {
        reverse(futures + left, half - left);
        reverse(futures + half, right);
        reverse(futures + left, half - left + right);
    }
    return left + right;
}

static bool is_over(weft_future *const *futures, size_t n, enum weft_wait_for what)
{
    size_t done = 0;
    for (size_t i = 0; i < n; i++) {
        if (!weft__future_is_done(futures[i]))
            continue;
        done++;
        if (what == WEFT_FIRST_DONE)
            return true;
        if (what == WEFT_FIRST_ERROR && !weft_future_cancelled(futures[i]) && weft_future_error(futures[i]) < 0)
            return true;
    }
    return done == n;
}

long weft_futures_wait(weft_future **futures, size_t n, enum weft_wait_for what, weft_until until)
{
    if (until.at > 0 && !is_over(futures, n, what)) {
        crowd c = {.what = what, .where = WEFT__CALLER(), .futures = futures, .n = n};
        int err = what == WEFT_ALL_DONE ? wait_all(futures, n, until, c.where) : wait_first(&c, futures, n, until);
        if (err < 0 && err != -ETIMEDOUT)
            return err;
    }
    return (long)part(futures, n);
}

/* ---- as they are done ---- */

typedef struct entry {
    weft__watcher watcher; /* first; its `next` also makes the queue of those that are ready */
    weft_completions *set;
    weft_future *future; /* NULL: given */
} entry;

struct weft_completions {
    weft__rawlock lock;
    uint32_t changes;                   /* atomic: counts what a sleeper must see; who waits sleeps on it */
    size_t left;                        /* atomic for readers, locked */
    size_t n;                           /* entries */
    size_t helped;                      /* locked: entries before it need no help any more */
    weft__watcher *ready, **ready_last; /* locked */
    entry entries[];
};

/* For reports. A future that leaves the set may be freed; as long as as many are left as were, none has left. */
static void set_enders(const void *object, const weft__waiter *sleeper, weft__enders *e)
{
    const weft_completions *set = object;
    weft_completions c;
    weft__sleep s = {.sleeper = sleeper, .number = load_acquire(&sleeper->waits)};
    tally t = {.sleep = &s, .e = e};
    if (weft__peek_awaited(&c, set, sizeof c, sleeper) < 0 || c.ready != NULL || c.n > TOLD)
        return;
    s.while_is = &set->left;
    s.was = c.left;
    for (size_t i = 0; i < c.n; i++) {
        entry given;
        weft_future f;
        if (weft__peek_in_sleep(&given, &set->entries[i], sizeof given, &s) < 0)
            return;
        if (given.future == NULL)
            continue;
        if (weft__peek_in_sleep(&f, given.future, sizeof f, &s) < 0 || (f.word & WEFT__FUTURE_DONE))
            return;
        tally_up(&t, given.future, &f);
    }
    e->known = !t.open;
}

static const weft__awaited completion_kind = {.what = "completion of futures", .held = "run by", .enders = set_enders};

static void put_ready(weft__watcher *w, weft_future *f)
{
    (void)f;
    weft_completions *c = container_of(w, entry, watcher)->set;
    rawlock_acquire(&c->lock);
    w->next = NULL;
    *c->ready_last = w;
    c->ready_last = &w->next;
    add_seq_cst(&c->changes, 1);
    rawlock_release(&c->lock);
    weft__wake(&c->changes, 1, 0);
}

static entry *take_ready(weft_completions *c)
{
    weft__watcher *w = c->ready;
    if (w == NULL)
        return NULL;
    c->ready = w->next;
    if (c->ready == NULL)
        c->ready_last = &c->ready;
    return container_of(w, entry, watcher);
}

/* The different ones of the n futures, in their order, to `entries`. Returns how many, or -ENOMEM. */
static long take_different(entry *entries, weft_future *const *futures, size_t n)
{
    size_t slots = 4;
    while (slots < 2 * n)
        slots *= 2;
    weft_future **seen = weft__calloc(slots, sizeof *seen);
    if (seen == NULL)
        return -ENOMEM;
    long count = 0;
    for (size_t i = 0; i < n; i++) {
        size_t at = (size_t)((uint64_t)(uintptr_t)futures[i] * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (slots - 1);
        while (seen[at] != NULL && seen[at] != futures[i])
            at = (at + 1) & (slots - 1);
        if (seen[at] == NULL)
            entries[count++].future = seen[at] = weft_future_ref(futures[i]);
    }
    weft__free(seen);
    return count;
}

int weft_completions_new(weft_completions **out, weft_future *const *futures, size_t n)
{
    weft_completions *c = weft__calloc(1, sizeof *c + n * sizeof *c->entries);
    if (c == NULL)
        return -ENOMEM;
    long count = take_different(c->entries, futures, n);
    if (count < 0) {
        weft__free(c);
        return -ENOMEM;
    }
    c->n = c->left = (size_t)count;
    c->ready_last = &c->ready;
    for (size_t i = 0; i < c->n; i++) { /* first those that are done already */
        entry *e = &c->entries[i];
        e->watcher.notify = put_ready;
        e->set = c;
        if (weft__future_is_done(e->future))
            put_ready(&e->watcher, e->future);
        else
            e->watcher.link = &e->watcher.next; /* to be entered */
    }
    for (size_t i = 0; i < c->n; i++) {
        entry *e = &c->entries[i];
        if (e->watcher.link != NULL && !weft__future_watch(e->future, &e->watcher))
            put_ready(&e->watcher, e->future);
    }
    *out = c;
    return 0;
}

/* Let a worker run one of the set that has not begun. Returns whether it did. */
static bool help_one(weft_completions *c, weft_until until)
{
    while (!weft__wait_cancelled(weft__self())) {
        rawlock_acquire(&c->lock);
        weft_future *f = NULL;
        while (c->helped < c->n && f == NULL)
            f = c->entries[c->helped++].future;
        if (f != NULL)
            weft_future_ref(f);
        rawlock_release(&c->lock);
        if (f == NULL)
            return false;
        bool helped = weft__future_help(f, until);
        weft_future_unref(f);
        if (helped)
            return true;
    }
    return false;
}

int weft_completions_next(weft_completions *c, weft_future **f, weft_until until)
{
    for (int err = 0;;) {
        rawlock_acquire(&c->lock);
        entry *e = take_ready(c);
        size_t left = c->left;
        if (e != NULL) {
            *f = e->future;
            e->future = NULL;
            store_relaxed(&c->left, --left);
            if (left == 0)
                add_seq_cst(&c->changes, 1);
        }
        uint32_t seen = load_relaxed(&c->changes);
        rawlock_release(&c->lock);
        if (e != NULL && left == 0)
            weft__wake(&c->changes, UINT32_MAX, 0);
        if (e != NULL)
            return 0;
        if (left == 0)
            return -ENODATA;
        if (err < 0)
            return err;
        if (until.at <= 0)
            return -ETIMEDOUT;
        if (!help_one(c, until))
            err = weft__park_for(&completion_kind, c, WEFT__CALLER(), &c->changes, seen, until, 0);
    }
}

size_t weft_completions_left(const weft_completions *c)
{
    return load_relaxed(&c->left);
}

void weft_completions_free(weft_completions *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; i < c->n; i++) {
        entry *e = &c->entries[i];
        if (e->future == NULL)
            continue;
        weft__future_unwatch(e->future, &e->watcher);
        weft_future_unref(e->future);
    }
    weft__free(c);
}
