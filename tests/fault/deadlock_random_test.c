/* deadlock_random_test.c - random programs that are correct: locks of several kinds are taken in one order, what is
 * waited for is always given, hand-over locks go round; and pauses at any place let the watch thread look. They all
 * end, and nothing is reported. The seed is printed when one fails; WEFT_SEED runs one again, or, with WEFT_SECONDS,
 * that one and those after it for so long. WEFT_SOAK_LOG is a file that gets a line which says how many there were. */
#include "fault/deadlock_support.h"

#include <weft/co.h>
#include <weft/event.h>
#include <weft/future.h>
#include <weft/lock.h>
#include <weft/queue.h>
#include <weft/rwlock.h>
#include <weft/sem.h>
#include <weft/thread.h>

#include "base/atomic.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    LOCKS = 9, /* three of each kind */
    ACTORS = 6,
    ROUNDS = 12
};

typedef struct program {
    weft_lock locks[LOCKS / 3];
    weft_rlock rlocks[LOCKS / 3];
    weft_rwlock rwlocks[LOCKS / 3];
    weft_sem units;
    weft_queue *queue;
    weft_lock baton;
    uint32_t turn; /* atomic: whose turn the baton's next release is */
    weft_future *promises[ROUNDS][ACTORS / 2][2];
} program;

typedef struct actor {
    program *p;
    uint64_t seed;
    unsigned index;
    weft_co *co;
    weft_thread thread;
} actor;

static unsigned pick(actor *a, unsigned n)
{
    a->seed = a->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(a->seed >> 33) % n;
}

static void pause_perhaps(actor *a)
{
    if (pick(a, 16) == 0)
        weft_sleep(weft_in_ms(pick(a, 60)));
    else if (pick(a, 4) == 0)
        weft_yield();
}

static bool take(actor *a, unsigned i, bool write)
{
    program *p = a->p;
    if (i < LOCKS / 3)
        return pick(a, 3) == 0 ? weft_lock_acquire_until(&p->locks[i], weft_in_ms(pick(a, 40))) == 0
                               : (weft_lock_acquire(&p->locks[i]), true);
    i -= LOCKS / 3;
    if (i < LOCKS / 3)
        return weft_rlock_acquire_until(&p->rlocks[i], WEFT_FOREVER) == 0;
    i -= LOCKS / 3;
    return (write ? weft_rwlock_acquire_write(&p->rwlocks[i]) : weft_rwlock_acquire_read(&p->rwlocks[i])), true;
}

static void let_go(actor *a, unsigned i, bool write)
{
    program *p = a->p;
    if (i < LOCKS / 3)
        weft_lock_release(&p->locks[i]);
    else if (i < 2 * LOCKS / 3)
        weft_rlock_release(&p->rlocks[i - LOCKS / 3]);
    else if (write)
        weft_rwlock_release_write(&p->rwlocks[i - 2 * LOCKS / 3]);
    else
        weft_rwlock_release_read(&p->rwlocks[i - 2 * LOCKS / 3]);
}

/* Some locks, in their one order. */
static void lock_some(actor *a)
{
    bool held[LOCKS] = {false};
    bool write = pick(a, 2) == 0;
    for (unsigned i = 0; i < LOCKS; i++) {
        if (pick(a, 3) == 0)
            held[i] = take(a, i, write);
        pause_perhaps(a);
    }
    for (unsigned i = 0; i < LOCKS; i++)
        if (held[i])
            let_go(a, i, write);
}

/* What its neighbour promised in this round, as it comes. */
static void await_promises(weft_future *const promises[2])
{
    weft_completions *set;
    weft_future *f;
    CHECK_OK(weft_completions_new(&set, promises, 2));
    while (weft_completions_left(set) > 0) {
        CHECK_OK(weft_completions_next(set, &f, WEFT_FOREVER));
        weft_future_unref(f);
    }
    weft_completions_free(set);
}

/* Even actors give what their odd neighbours take. */
static void give_or_take(actor *a, weft_future *const promises[2])
{
    int element = 0;
    pause_perhaps(a);
    if (a->index % 2 == 0) {
        CHECK_OK(weft_sem_release(&a->p->units, 1));
        CHECK_OK(weft_queue_put(a->p->queue, &element, WEFT_FOREVER));
        unsigned first = pick(a, 2);
        if (pick(a, 2) == 0)
            CHECK_INT(1, weft_future_begin(promises[first]));
        for (unsigned i = 0; i < 2; i++) {
            pause_perhaps(a);
            CHECK_OK(weft_future_set_result(promises[first ^ i], NULL));
        }
    } else {
        CHECK_OK(weft_sem_acquire(&a->p->units, WEFT_FOREVER));
        CHECK_OK(weft_queue_get(a->p->queue, &element, WEFT_FOREVER));
        await_promises(promises);
    }
}

static int run(void *arg)
{
    actor *a = arg;
    for (unsigned i = 0; i < ROUNDS; i++) {
        lock_some(a);
        give_or_take(a, a->p->promises[i][a->index / 2]);
        if (a->index < 2) { /* 0 waits for the baton, which 1 gives back */
            if (a->index == 0)
                weft_lock_acquire(&a->p->baton);
            else
                while (load_seq_cst(&a->p->turn) == i && !weft_lock_held(&a->p->baton))
                    weft_yield();
            if (a->index == 1) {
                weft_lock_release(&a->p->baton);
                store_seq_cst(&a->p->turn, i + 1);
            } else {
                while (load_seq_cst(&a->p->turn) == i)
                    weft_yield();
            }
        }
    }
    return 0;
}

static void run_program(uint64_t seed)
{
    program *p = calloc(1, sizeof *p);
    actor actors[ACTORS] = {{0}};
    CHECK_OK(weft_sem_init(&p->units, 0, 0));
    CHECK_OK(weft_lock_init(&p->baton, WEFT_LOCK_HANDOFF));
    CHECK_OK(weft_queue_new(&p->queue, sizeof(int), &(weft_queue_options){.capacity = 2}));
    weft_future **all = &p->promises[0][0][0];
    for (unsigned i = 0; i < sizeof p->promises / sizeof *all; i++)
        CHECK_OK(weft_future_new(&all[i]));
    for (unsigned i = 0; i < ACTORS; i++) {
        actor *a = &actors[i];
        *a = (actor){.p = p, .seed = seed * ACTORS + i, .index = i};
        if (pick(a, 2) == 0)
            CHECK_OK(weft_thread_start(&a->thread, run, a, NULL));
        else
            CHECK_OK(weft_co_start(&a->co, run, a, NULL));
    }
    for (unsigned i = 0; i < ACTORS; i++)
        if (actors[i].co != NULL)
            CHECK_OK(weft_co_join(actors[i].co, NULL, WEFT_FOREVER));
        else
            CHECK_OK(weft_thread_join(&actors[i].thread, NULL, WEFT_FOREVER));
    for (unsigned i = 0; i < sizeof p->promises / sizeof *all; i++)
        weft_future_unref(all[i]);
    weft_queue_free(p->queue);
    free(p);
    if (reports() != 0)
        FAIL("seed %llu:\n%s", (unsigned long long)seed, report_at(0)->text);
}

static void say(uint64_t n, uint64_t seed)
{
    const char *name = getenv("WEFT_SOAK_LOG");
    FILE *log = name != NULL ? fopen(name, "a") : NULL;
    if (log == NULL)
        return;
    fprintf(log, "%llu programs from seed %llu, %u reports\n", (unsigned long long)n, (unsigned long long)seed,
            reports());
    fclose(log);
}

TEST_LIMIT(7200, random_correct_programs_are_left_alone)
{
    const char *first = getenv("WEFT_SEED"), *seconds = getenv("WEFT_SECONDS");
    uint64_t seed = first != NULL ? strtoull(first, NULL, 10) : (uint64_t)weft_now(), n = 0;
    /* A minute, or an hour; the sanitizers look for other things, and have a third of it. */
    long usual = test_rounds(test_limit_factor() > 1 ? 20 : 60, 3600);
    weft_until end = weft_in_seconds(seconds != NULL ? strtod(seconds, NULL) : first != NULL ? 0 : (double)usual);
    collect_reports(WEFT_DEADLOCK_REPORT);
    do
        run_program(seed + n++);
    while (weft_left(end) > 0);
    say(n, seed);
}
