/* deadlock_support.c - see deadlock_support.h. */
#include "fault/deadlock_support.h"

#include <weft/barrier.h>
#include <weft/co.h>
#include <weft/cond.h>
#include <weft/event.h>
#include <weft/lock.h>
#include <weft/once.h>
#include <weft/queue.h>
#include <weft/rwlock.h>
#include <weft/select.h>
#include <weft/sem.h>
#include <weft/thread.h>

#include "base/atomic.h"
#include "park/park.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    OBJECTS = 8
};

/* ---- reports ---- */

static report collected[REPORTS_MAX];
static uint32_t n_reports; /* atomic */
static weft_event report_came = WEFT_EVENT_INIT;
void (*on_report)(void);

static void collect(const weft_deadlock *d, void *arg)
{
    (void)arg;
    uint32_t n = load_relaxed(&n_reports);
    if (n == REPORTS_MAX)
        return;
    report *r = &collected[n];
    snprintf(r->text, sizeof r->text, "%s", d->text);
    r->ring = d->ring;
    r->n = d->n < MEMBERS_MAX ? d->n : (unsigned)MEMBERS_MAX;
    for (unsigned i = 0; i < r->n; i++) {
        const weft_deadlock_member *m = &d->members[i];
        snprintf(r->members[i].name, sizeof r->members[i].name, "%s", m->name);
        snprintf(r->members[i].kind, sizeof r->members[i].kind, "%s", m->kind);
        snprintf(r->members[i].what, sizeof r->members[i].what, "%s", m->what);
        snprintf(r->members[i].object_name, sizeof r->members[i].object_name, "%s", m->object_name);
        snprintf(r->members[i].awaited_at, sizeof r->members[i].awaited_at, "%s", m->awaited_at);
        snprintf(r->members[i].taken_at, sizeof r->members[i].taken_at, "%s", m->taken_at);
        r->members[i].object = m->object;
        r->members[i].id = m->id;
        r->members[i].holder = m->holder;
        CHECK(m->n_holders <= HOLDERS_MAX);
        r->members[i].n_holders = m->n_holders;
        for (unsigned k = 0; k < m->n_holders; k++)
            r->members[i].holders[k] = m->holders[k].id;
    }
    store_release(&n_reports, n + 1);
    if (on_report != NULL)
        on_report();
    weft_event_set(&report_came);
}

void need_stuck(void)
{
    if (WEFT__TSAN)
        SKIP("ThreadSanitizer has threads of its own, which might be the ones that wake the others");
}

void collect_reports(enum weft_deadlock_action action)
{
    weft_deadlock_set(action, collect, NULL);
}

unsigned reports(void)
{
    return load_acquire(&n_reports);
}

const report *report_at(unsigned i)
{
    return &collected[i];
}

void wait_for_reports(unsigned n)
{
    weft_until end = weft_in((int64_t)(25e9 * test_limit_factor()));
    while (reports() < n) {
        CHECK_OK(weft_event_wait(&report_came, end));
        weft_event_clear(&report_came);
    }
}

/* ---- actors ---- */

static weft_lock locks[OBJECTS], hands[OBJECTS];
static weft_rlock rlocks[OBJECTS];
static weft_rwlock rwlocks[OBJECTS];
static weft_event events[OBJECTS];
static weft_sem sems[OBJECTS];
static weft_cond conds[OBJECTS];
static weft_once onces[OBJECTS];
static weft_queue *queues[OBJECTS];
static weft_barrier barriers[OBJECTS];
static weft_event over = WEFT_EVENT_INIT; /* what the caller of check_stuck waits for */

typedef struct actor {
    const char *at; /* the next word */
    const void *object;
    int result;
    weft_co *co;
    weft_thread thread;
} actor;

static actor actors[ACTORS_MAX];
static unsigned n_actors;
static uint32_t arrivals, ended; /* atomic */

static void meet(void)
{
    uint32_t turn = add_seq_cst(&arrivals, 1) / n_actors + 1;
    while (load_seq_cst(&arrivals) < turn * n_actors)
        weft_yield();
}

static int run(void *arg);

/* Until somebody sleeps on this word. */
static int see_asleep(const uint32_t *word)
{
    while (weft__sleepers(word) == 0)
        weft_yield();
    return 0;
}

static int join(actor *other)
{
    return other->co != NULL ? weft_co_join(other->co, NULL, WEFT_FOREVER)
                             : weft_thread_join(&other->thread, NULL, WEFT_FOREVER);
}

static int rwlock_word(const char *word, unsigned i)
{
    if (strcmp(word, "read") == 0)
        return weft_rwlock_acquire_read(&rwlocks[i]), 0;
    if (strcmp(word, "unread") == 0)
        return weft_rwlock_release_read(&rwlocks[i]), 0;
    if (strcmp(word, "write") == 0)
        return weft_rwlock_acquire_write(&rwlocks[i]), 0;
    if (strcmp(word, "timed-write") == 0)
        return weft_rwlock_acquire_write_until(&rwlocks[i], weft_in_ms(150));
    if (strcmp(word, "unwrite") == 0)
        return weft_rwlock_release_write(&rwlocks[i]), 0;
    if (strcmp(word, "renew") == 0)
        return weft_rwlock_init(&rwlocks[i], 0);
    if (strcmp(word, "handoff") == 0)
        return weft_rwlock_init(&rwlocks[i], WEFT_LOCK_HANDOFF);
    FAIL("no word '%s'", word);
    return 0;
}

static int lock_word(const char *word, unsigned i)
{
    if (strcmp(word, "lock") == 0)
        return weft_lock_acquire(&locks[i]), 0;
    if (strcmp(word, "unlock") == 0)
        return weft_lock_release(&locks[i]), 0;
    if (strcmp(word, "until") == 0)
        return weft_lock_acquire_until(&locks[i], WEFT_FOREVER);
    if (strcmp(word, "timed") == 0)
        return weft_lock_acquire_until(&locks[i], weft_in_ms(150));
    if (strcmp(word, "hand") == 0)
        return weft_lock_acquire(&hands[i]), 0;
    if (strcmp(word, "unhand") == 0)
        return weft_lock_release(&hands[i]), 0;
    if (strcmp(word, "rlock") == 0)
        return weft_rlock_acquire(&rlocks[i]), 0;
    if (strcmp(word, "runlock") == 0)
        return weft_rlock_release(&rlocks[i]), 0;
    return rwlock_word(word, i);
}

static int select_word(const char *word, unsigned i)
{
    int element;
    weft_case cases[] = {WEFT_CASE_GET(queues[i], &element), WEFT_CASE_EVENT(&events[i]), WEFT_CASE_NONE};
    if (strcmp(word, "select-timed") == 0)
        cases[2] = (weft_case)WEFT_CASE_UNTIL(weft_in_ms(150));
    int chosen = weft_select(cases, 3, WEFT_FOREVER);
    return chosen < 0 ? chosen : 0;
}

static int other_word(const char *word, unsigned i, actor *self)
{
    int element = 1;
    if (strcmp(word, "event") == 0)
        return weft_event_wait(&events[i], WEFT_FOREVER);
    if (strcmp(word, "set") == 0)
        return weft_event_set(&events[i]), 0;
    if (strcmp(word, "sem") == 0)
        return weft_sem_acquire(&sems[i], WEFT_FOREVER);
    if (strcmp(word, "post") == 0)
        return weft_sem_release(&sems[i], 1);
    if (strcmp(word, "get") == 0)
        return weft_queue_get(queues[i], &element, WEFT_FOREVER);
    if (strcmp(word, "put") == 0)
        return weft_queue_put(queues[i], &element, WEFT_FOREVER);
    if (strncmp(word, "select", 6) == 0)
        return select_word(word, i);
    if (strcmp(word, "barrier") == 0)
        return weft_barrier_wait(&barriers[i], WEFT_FOREVER);
    if (strcmp(word, "cond") == 0)
        return weft_cond_wait(&conds[i], &locks[i], WEFT_FOREVER);
    if (strcmp(word, "cond-rlock") == 0)
        return weft_cond_wait_rlock(&conds[i], &rlocks[i], WEFT_FOREVER);
    if (strcmp(word, "notify") == 0)
        return weft_cond_notify(&conds[i], 1);
    if (strcmp(word, "join") == 0)
        return join(&actors[i]);
    if (strcmp(word, "once") == 0)
        return weft_once_run(&onces[i], run, self, WEFT_FOREVER);
    if (strcmp(word, "blocking") == 0)
        return weft_blocking(run, self);
    if (strcmp(word, "nap") == 0)
        return weft_sleep(weft_in_ms(200));
    if (strcmp(word, "awaited") == 0)
        return see_asleep(&locks[i].word);
    if (strcmp(word, "awaited-write") == 0)
        return see_asleep(&rwlocks[i].state);
    if (strcmp(word, "yield") == 0)
        return weft_yield(), 0;
    return lock_word(word, i);
}

static const void *object_of(const char *word, unsigned i)
{
    const struct {
        const char *word;
        const void *object;
    } objects[] = {{"lock", &locks[i]},       {"until", &locks[i]},     {"hand", &hands[i]},   {"rlock", &rlocks[i]},
                   {"read", &rwlocks[i]},     {"write", &rwlocks[i]},   {"event", &events[i]}, {"sem", &sems[i]},
                   {"get", queues[i]},        {"put", queues[i]},       {"cond", &conds[i]},   {"once", &onces[i]},
                   {"barrier", &barriers[i]}, {"cond-rlock", &conds[i]}};
    for (unsigned k = 0; k < WEFT__ARRAY_LEN(objects); k++)
        if (strcmp(word, objects[k].word) == 0)
            return objects[k].object;
    return NULL;
}

/* Do the rest of an actor's words. */
static int run(void *arg)
{
    actor *self = arg;
    for (;;) {
        self->at += strspn(self->at, " ");
        size_t n = strcspn(self->at, " ");
        if (n == 0)
            return 0;
        char word[32];
        snprintf(word, sizeof word, "%.*s", (int)n, self->at);
        self->at += n;
        unsigned i = word[n - 1] >= '0' && word[n - 1] <= '9' ? (unsigned)(word[n - 1] - '0') : 0;
        word[strcspn(word, "0123456789")] = 0;
        if (strcmp(word, "|") == 0) {
            meet();
            continue;
        }
        self->object = object_of(word, i);
        int r = other_word(word, i, self);
        self->result = r < 0 ? r : self->result;
    }
}

static int act(void *arg)
{
    run(arg);
    add_seq_cst(&ended, 1);
    return 0;
}

static void make_objects(void)
{
    for (unsigned i = 0; i < OBJECTS; i++) {
        CHECK_OK(weft_lock_init(&hands[i], WEFT_LOCK_HANDOFF));
        CHECK_OK(weft_sem_init(&sems[i], 0, 0));
        CHECK_OK(weft_barrier_init(&barriers[i], 9, NULL));
        CHECK_OK(weft_queue_new(&queues[i], sizeof(int), &(weft_queue_options){.capacity = 2}));
    }
}

void start_actors(const char *const *texts, enum actors kind)
{
    make_objects();
    for (n_actors = 0; texts[n_actors] != NULL; n_actors++)
        actors[n_actors].at = texts[n_actors];
    for (unsigned i = 0; i < n_actors; i++) {
        char name[16];
        snprintf(name, sizeof name, "actor%u", i);
        actor *a = &actors[i];
        if (kind == THREADS || (kind == MIXED && i % 2 == 0))
            CHECK_OK(weft_thread_start(&a->thread, act, a, &(weft_thread_options){.name = name, .daemon = 1}));
        else
            CHECK_OK(weft_co_start(&a->co, act, a, &(weft_co_options){.name = name}));
    }
}

void await_actors(void)
{
    while (load_seq_cst(&ended) < n_actors)
        weft_sleep(weft_in_ms(1));
}

int actor_result(unsigned i)
{
    return actors[i].result;
}

/* ---- what is checked ---- */

static int number_of(const char *name)
{
    return strncmp(name, "actor", 5) == 0 ? atoi(name + 5) : -1;
}

static void check_edge(const report *r, unsigned from, unsigned to)
{
    unsigned f = 0, t = 0;
    while (f < r->n && number_of(r->members[f].name) != (int)from)
        f++;
    while (t < r->n && number_of(r->members[t].name) != (int)to)
        t++;
    bool found = f < r->n && t < r->n && r->members[f].holder == r->members[t].id;
    for (unsigned i = 0; f < r->n && t < r->n && i < r->members[f].n_holders; i++)
        found = found || r->members[f].holders[i] == r->members[t].id;
    if (!found)
        FAIL("actor%u does not wait for actor%u in:\n%s", from, to, r->text);
    if (actors[from].object != NULL)
        CHECK_PTR(actors[from].object, r->members[f].object);
    CHECK(r->members[f].awaited_at[0] != 0);
    CHECK(strstr(r->text, r->members[f].name) != NULL);
}

void check_ring(const char *const *texts, const char *edges, enum actors kind)
{
    collect_reports(WEFT_DEADLOCK_REPORT);
    start_actors(texts, kind);
    wait_for_reports(1);
    const report *r = report_at(0);
    unsigned n = 0;
    for (const char *e = edges; *e != 0; e += strcspn(e, " "), e += strspn(e, " "), n++)
        check_edge(r, (unsigned)(e[0] - '0'), (unsigned)(e[2] - '0'));
    CHECK_INT(1, r->ring);
    CHECK_INT(n, r->n);
    weft_sleep(weft_in_ms(100)); /* what would be reported once more would be in this time */
    CHECK_INT(1, reports());
}

void check_no_report(const char *const *texts, enum actors kind)
{
    collect_reports(WEFT_DEADLOCK_REPORT);
    start_actors(texts, kind);
    await_actors();
    if (reports() != 0)
        FAIL("%s", report_at(0)->text);
}

static void end_it(void)
{
    weft_event_set(&over);
}

void check_stuck(const char *const *texts, enum actors kind)
{
    need_stuck();
    on_report = end_it;
    collect_reports(WEFT_DEADLOCK_REPORT);
    start_actors(texts, kind);
    CHECK_OK(weft_event_wait(&over, WEFT_FOREVER));
    CHECK_INT(1, reports());
    const report *r = report_at(0);
    CHECK_INT(0, r->ring);
    unsigned found = 0;
    for (unsigned i = 0; i < r->n; i++) {
        int k = number_of(r->members[i].name);
        if (k < 0)
            continue;
        found++;
        if (actors[k].object != NULL)
            CHECK_PTR(actors[k].object, r->members[i].object);
    }
    if (found != n_actors || r->n != n_actors + 1)
        FAIL("%u of %u actors are in:\n%s", found, n_actors, r->text);
    CHECK(strstr(r->text, "nobody is left to wake") != NULL);
}
