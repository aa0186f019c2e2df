/* deadlock.c - what is done about a deadlock that the watch thread has found: the report, and the public calls that
 * say what else. Everything here but the public calls runs on the watch thread.
 *
 * The report is put together first, with whatever that needs (memory, descriptors, debug information); when the
 * program's function is called or a line is written, nothing is held any more.
 * Lock order: names_lock and action_lock are leaves, and held across fork. Pinned by tests/fault/deadlock_*_test.c. */
#include <weft/deadlock.h>

#include "base/panic.h"
#include "park/rawlock.h"
#include "park/report.h"
#include "park/watch.h"
#include "sys/aside.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    NAME = WEFT__OBJECT_NAME,
    PLACE = 160,
    BUCKETS = 256
};

typedef void report_fn(const weft_deadlock *d, void *arg);

static WEFT__FORK_PAGE weft__rawlock action_lock;
static uint32_t action; /* atomic: enum weft_deadlock_action */
static report_fn *report_to;
static void *report_arg;

void weft_deadlock_set(enum weft_deadlock_action what, report_fn *fn, void *arg)
{
    rawlock_acquire(&action_lock);
    report_to = fn;
    report_arg = arg;
    store_relaxed(&action, (uint32_t)what);
    rawlock_release(&action_lock);
}

bool weft__deadlock_on(void)
{
    return load_relaxed(&action) != WEFT_DEADLOCK_OFF;
}

/* ---- names of objects ---- */

typedef struct named {
    struct named *next;
    const void *object;
    char name[NAME];
} named;

static WEFT__FORK_PAGE weft__rawlock names_lock;
static named *names[BUCKETS];

static named **find_name(const void *object)
{
    named **at = &names[((uintptr_t)object >> 4) * UINT32_C(0x9e3779b1) >> 8 & (BUCKETS - 1)];
    while (*at != NULL && (*at)->object != object)
        at = &(*at)->next;
    return at;
}

int weft_name_object(const void *object, const char *name)
{
    named *new = name != NULL ? weft__malloc(sizeof *new) : NULL, *old = NULL;
    if (name != NULL && new == NULL)
        return -ENOMEM;
    rawlock_acquire(&names_lock);
    named **at = find_name(object);
    if (*at != NULL) {
        old = *at;
        *at = old->next;
    }
    if (new != NULL) {
        size_t n = strnlen(name, NAME - 1);
        memcpy(new->name, name, n);
        new->name[n] = 0;
        new->object = object;
        new->next = *at;
        *at = new;
    }
    rawlock_release(&names_lock);
    weft__free(old);
    return 0;
}

void weft__report_object_name(weft__symbols *s, const void *object, char buf[WEFT__OBJECT_NAME])
{
    buf[0] = 0;
    rawlock_acquire(&names_lock);
    const named *n = *find_name(object);
    if (n != NULL)
        memcpy(buf, n->name, NAME);
    rawlock_release(&names_lock);
    if (buf[0] == 0)
        weft__symbol_object(s, object, buf, NAME);
}

/* ---- the report ---- */

typedef struct texts {
    char name[NAME], object[NAME], awaited[PLACE], taken[PLACE];
    weft_deadlock_holder holders[WEFT__FOUND_ENDERS];
    struct {
        char name[NAME], taken[PLACE];
    } of_holders[WEFT__FOUND_ENDERS];
} texts;

typedef struct report {
    const weft__found *found;
    weft_deadlock_member *members;
    texts *texts;
    unsigned n, total;
    bool ring;
    int64_t now;
} report;

static void describe_holders(weft__symbols *s, const weft__found *f, texts *t)
{
    for (unsigned i = 0; i < f->n; i++) {
        const weft__waiter *w = weft__waiter_by_id(f->enders[i]);
        if (w != NULL)
            w->ops->name(w, t->of_holders[i].name, NAME);
        weft__symbol_place(s, weft__symbol_code(f->takings[i]), t->of_holders[i].taken, PLACE);
        t->holders[i] = (weft_deadlock_holder){
            .id = f->enders[i],
            .kind = w != NULL ? w->ops->kind : "",
            .name = t->of_holders[i].name,
            .taken_at = t->of_holders[i].taken,
        };
    }
}

static void describe(weft__symbols *s, const weft__found *f, weft_deadlock_member *m, texts *t)
{
    f->waiter->ops->name(f->waiter, t->name, sizeof t->name);
    weft__report_object_name(s, f->kind != NULL ? f->object : NULL, t->object);
    weft__symbol_place(s, f->kind != NULL ? f->where : NULL, t->awaited, sizeof t->awaited);
    weft__symbol_place(s, weft__symbol_code(f->taken), t->taken, sizeof t->taken);
    const char *what = load_relaxed(&f->waiter->what);
    *m = (weft_deadlock_member){
        .id = f->id,
        .kind = f->waiter->ops->kind,
        .name = t->name,
        .what = f->kind != NULL ? f->kind->what
                : what != NULL  ? what
                                : "something",
        .object_name = t->object,
        .object = f->kind != NULL ? f->object : load_relaxed(&f->waiter->word),
        .since = f->waiter->seen_asleep + load_relaxed(&weft__sys_clock_shift),
        .awaited_at = t->awaited,
        .taken_at = t->taken,
        .holder = f->holder,
        .n_holders = f->n,
        .holders = t->holders,
    };
    describe_holders(s, f, t);
}

static void print_holder(FILE *out, const weft_deadlock_holder *h, bool itself)
{
    if (itself)
        fprintf(out, "itself");
    else if (h->kind[0] != 0)
        fprintf(out, "%s \"%s\" (%u)", h->kind, h->name, (unsigned)h->id);
    else
        fprintf(out, "waiter %u, which has ended", (unsigned)h->id);
    fprintf(out, h->taken_at[0] != 0 ? ", taken at %s\n" : "\n", h->taken_at);
}

static void print_holders(FILE *out, const weft__found *f, const weft_deadlock_member *m)
{
    const char *held = f->kind != NULL && f->kind->held != NULL ? f->kind->held : "ended by";
    const char *next = f->all ? "and" : "or";
    for (unsigned i = 0; i < m->n_holders; i++) {
        fprintf(out, "        %s ", i == 0 ? held : next);
        print_holder(out, &m->holders[i], m->holders[i].id == m->id);
    }
    if (f->more != 0)
        fprintf(out, "        %s %u more\n", next, f->more);
}

static void print_member(FILE *out, const report *r, unsigned i)
{
    const weft_deadlock_member *m = &r->members[i];
    fprintf(out, "    %s \"%s\" (%u) waits for %s", m->kind, m->name, (unsigned)m->id, m->what);
    if (m->object_name[0] != 0)
        fprintf(out, " %s", m->object_name);
    if (m->object != NULL)
        fprintf(out, " %p", m->object);
    if (r->found[i].kind != NULL)
        fprintf(out, " for %lld ms", (long long)((r->now - r->found[i].waiter->seen_asleep) / WEFT_MS));
    fprintf(out, "\n");
    if (m->awaited_at[0] != 0)
        fprintf(out, "        awaited at %s\n", m->awaited_at);
    print_holders(out, &r->found[i], m);
    if (!r->ring && m->n_holders == 0 && strcmp(m->what, "condition") == 0)
        fprintf(out, "        all its waiters wait, nobody can notify\n");
}

static void print(FILE *out, const report *r)
{
    if (!r->ring)
        fprintf(out, "weft: deadlock: nobody is left to wake %u %s\n", r->total, r->total == 1 ? "waiter" : "waiters");
    else if (r->n == 1)
        fprintf(out, "weft: deadlock: 1 waiter waits for itself\n");
    else
        fprintf(out, "weft: deadlock: %u waiters in a ring\n", r->n);
    for (unsigned i = 0; i < r->n; i++)
        print_member(out, r, i);
    if (r->total > r->n)
        fprintf(out, "    and %u more\n", r->total - r->n);
}

/* ---- what is done ---- */

/* End one wait with -EDEADLK: the youngest that can say so, which is one that a cancellation could end, too. */
static void refuse_one(const weft__found *members, unsigned n)
{
    const weft__found *youngest = NULL;
    for (unsigned i = 0; i < n; i++) {
        const weft__waiter *w = members[i].waiter;
        if (members[i].kind != NULL && load_relaxed(&w->state) == WEFT__WAITING &&
            (youngest == NULL || w->seen_asleep > youngest->waiter->seen_asleep ||
             (w->seen_asleep == youngest->waiter->seen_asleep && members[i].id > youngest->id)))
            youngest = &members[i];
    }
    uint32_t seen = WEFT__WAITING;
    if (youngest != NULL && weft__found_still(youngest) &&
        cas_seq_cst(&youngest->waiter->state, &seen, WEFT__DEADLOCKED))
        weft__waiter_ready(youngest->waiter);
}

static void write_all(const char *text, size_t n)
{
    while (n > 0) {
        ssize_t done = write(STDERR_FILENO, text, n);
        if (done <= 0)
            return;
        text += done;
        n -= (size_t)done;
    }
}

static void tell(const report *r, const char *text, size_t length)
{
    rawlock_acquire(&action_lock);
    uint32_t what = load_relaxed(&action);
    report_fn *fn = report_to;
    void *arg = report_arg;
    rawlock_release(&action_lock);
    if (what == WEFT_DEADLOCK_OFF)
        return;
    const weft_deadlock d = {
        .text = text, .ring = r->ring ? WEFT_DEADLOCK_RING : WEFT_DEADLOCK_STUCK, .n = r->n, .members = r->members};
    if (fn != NULL)
        fn(&d, arg);
    else
        write_all(text, length);
    if (what == WEFT_DEADLOCK_ABORT)
        abort();
    if (what == WEFT_DEADLOCK_ERROR)
        refuse_one(r->found, r->n);
}

void weft__report_order(const char *text, size_t length)
{
    rawlock_acquire(&action_lock);
    report_fn *fn = report_to;
    void *arg = report_arg;
    rawlock_release(&action_lock);
    const weft_deadlock d = {.text = text, .ring = WEFT_DEADLOCK_ORDER};
    if (fn != NULL)
        fn(&d, arg);
    else
        write_all(text, length);
}

/* Each member of a ring is followed by its holder. */
static void put_in_order(weft__found *f, unsigned n)
{
    for (unsigned i = 0; i + 1 < n; i++)
        for (unsigned k = i + 2; k < n; k++)
            if (f[k].id == f[i].holder) {
                weft__found next = f[k];
                f[k] = f[i + 1];
                f[i + 1] = next;
            }
}

void weft__deadlock_report(const weft__found *members, unsigned n, unsigned total, bool ring)
{
    for (unsigned i = 0; i < n; i++)
        members[i].waiter->reported = members[i].waits + 1 != 0 ? members[i].waits + 1 : 1;
    if (n == 0)
        return;
    int64_t begin = weft__aside_spent();
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    weft__found *found = malloc(n * sizeof *found);
    report r = {.found = found,
                .members = calloc(n, sizeof *r.members),
                .texts = calloc(n, sizeof *r.texts),
                .n = n,
                .total = total,
                .ring = ring,
                .now = weft__sys_now() - load_relaxed(&weft__sys_clock_shift)};
    if (out == NULL || found == NULL || r.members == NULL || r.texts == NULL)
        goto no_memory;
    memcpy(found, members, n * sizeof *found);
    put_in_order(found, n);
    weft__symbols *s = weft__symbols_open();
    for (unsigned i = 0; i < n; i++)
        describe(s, &found[i], &r.members[i], &r.texts[i]);
    weft__symbols_close(s);
    print(out, &r);
    if (fclose(out) == 0)
        tell(&r, text, length);
    out = NULL;
no_memory:
    if (out != NULL)
        fclose(out);
    free(text);
    free(r.texts);
    free(r.members);
    free(found);
    weft__watch_excuse(weft__aside_spent() - begin);
}

/* ---- start and fork ---- */

WEFT__FORK_TEXT static void before_fork(void)
{
    rawlock_acquire(&action_lock);
    rawlock_acquire(&names_lock);
}

WEFT__FORK_TEXT static void after_fork(void)
{
    rawlock_release(&names_lock);
    rawlock_release(&action_lock);
}

void weft__deadlock_environment(void)
{
    static const char *const words[] = {"report", "error", "abort", "off"};
    const char *wanted = getenv("WEFT_DEADLOCK");
    if (wanted == NULL || *wanted == 0)
        return;
    for (uint32_t i = 0; i < WEFT__ARRAY_LEN(words); i++)
        if (strcmp(wanted, words[i]) == 0) {
            store_relaxed(&action, i);
            return;
        }
    weft__warn("WEFT_DEADLOCK=%s is none of report, error, abort and off; it is ignored", wanted);
}

__attribute__((constructor(101))) static void start(void)
{
    pthread_atfork(before_fork, after_fork, after_fork);
    weft__deadlock_environment();
}
