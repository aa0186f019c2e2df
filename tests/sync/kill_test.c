/* kill -9 of processes at random moments while they use shared locks and a semaphore: nobody waits long, nothing is
 * counted twice. The parent keeps a few processes at work, kills one at random, starts another, 2,000 times
 * (10,000 in a soak run). */
#include "harness/harness.h"

#include "base/atomic.h"

#include <weft/cond.h>
#include <weft/lock.h>
#include <weft/sem.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum {
    WORKERS = 4
};

typedef struct table {
    weft_lock l;
    weft_rlock r;
    weft_cond c;
    uint32_t begun, done; /* under l: equal whenever nobody is inside */
    uint32_t r_begun, r_done;
    uint32_t torn, rounds; /* atomic: recoveries that found a half-done change; rounds in all */
    int64_t longest;       /* atomic: the longest wait for l that anybody saw, in ns */
} table;

static void note_wait(table *s, int64_t waited)
{
    int64_t seen = load_relaxed(&s->longest);
    while (waited > seen && !cas_relaxed(&s->longest, &seen, waited))
        ;
}

static void use_lock(table *s)
{
    int64_t start = weft_now();
    int err = weft_lock_acquire_until(&s->l, weft_in_seconds(25));
    note_wait(s, weft_now() - start);
    if (err == -EOWNERDEAD) {
        if (s->begun != s->done)
            add_relaxed(&s->torn, 1);
        s->done = s->begun; /* finish what the dead one began */
        CHECK_OK(weft_lock_recover(&s->l));
    } else {
        CHECK_OK(err);
        CHECK_INT(s->begun, s->done); /* a lock that was released left whole data */
    }
    s->begun++;
    __asm__ volatile("" ::: "memory");
    s->done++;
    weft_cond_notify_all(&s->c);
    weft_lock_release(&s->l);
}

static void use_rlock(table *s)
{
    int err = weft_rlock_acquire_until(&s->r, weft_in_seconds(25));
    if (err == -EOWNERDEAD) {
        s->r_done = s->r_begun;
        CHECK_OK(weft_rlock_recover(&s->r));
    } else {
        CHECK_OK(err);
        CHECK_INT(s->r_begun, s->r_done);
    }
    weft_rlock_acquire(&s->r);
    s->r_begun++;
    weft_rlock_release(&s->r);
    s->r_done++;
    weft_rlock_release(&s->r);
}

static void use_condition(table *s)
{
    int err = weft_lock_acquire_until(&s->l, weft_in_seconds(25));
    if (err == 0)
        err = weft_cond_wait(&s->c, &s->l, weft_in(200 * WEFT_US));
    if (err == -EOWNERDEAD) {
        s->done = s->begun;
        weft_lock_recover(&s->l);
    }
    weft_lock_release(&s->l);
}

static int work(void *arg)
{
    table *s = arg;
    for (uint32_t i = (uint32_t)getpid();; i++) {
        use_lock(s);
        use_rlock(s);
        if (i % 16 == 0)
            use_condition(s);
        add_relaxed(&s->rounds, 1);
    }
    return 0;
}

static int start(test *t, table *s)
{
    return test_spawn(t, work, s);
}

TEST_IN_LIMIT(240, PROCESS, kill_of_lock_users_leaves_nobody_waiting)
{
    table *s = test_alloc(t, sizeof *s);
    CHECK_OK(weft_lock_init(&s->l, WEFT_SHARED));
    CHECK_OK(weft_rlock_init(&s->r, WEFT_SHARED));
    CHECK_OK(weft_cond_init(&s->c, WEFT_SHARED));
    int worker[WORKERS];
    for (int i = 0; i < WORKERS; i++)
        worker[i] = start(t, s);
    long kills = test_rounds(2000, 10000);
    unsigned seed = 12345;
    for (long k = 0; k < kills; k++) {
        struct timespec pause = {0, 100000 + rand_r(&seed) % 900000};
        nanosleep(&pause, NULL); /* the moment of the kill is random; nothing settles */
        int victim = rand_r(&seed) % WORKERS;
        kill(test_pid(t, worker[victim]), SIGKILL);
        CHECK_INT(TEST_KILLED(SIGKILL), test_result(t, worker[victim]));
        worker[victim] = start(t, s);
    }
    uint32_t before = load_relaxed(&s->rounds);
    for (int64_t end = weft_now() + 60 * WEFT_SECOND; load_relaxed(&s->rounds) - before < 100;)
        CHECK(weft_now() < end);
    for (int i = 0; i < WORKERS; i++) {
        kill(test_pid(t, worker[i]), SIGKILL);
        test_result(t, worker[i]);
    }
    int err = weft_lock_acquire_until(&s->l, weft_in_seconds(25));
    CHECK(err == 0 || err == -EOWNERDEAD);
    CHECK(s->begun - s->done <= 1);
    CHECK_BETWEEN(0, 10 * WEFT_SECOND, s->longest); /* a tenth of a second on an idle machine; nobody at his deadline */
}

/* Units: who takes one marks it as its own in a slot; at the end no slot holds a unit twice. */
typedef struct units {
    weft_sem s;
    uint32_t taken, given; /* atomic */
} units;

static int take_and_give(void *arg)
{
    units *u = arg;
    for (;;) {
        if (weft_sem_acquire(&u->s, weft_in_seconds(25)) != 0)
            return 0;
        add_seq_cst(&u->taken, 1);
        add_seq_cst(&u->given, 1);
        CHECK_OK(weft_sem_release(&u->s, 1));
    }
}

/* False: there are none, since nobody else has taken one for half a second either. */
static bool take_one(units *u)
{
    for (uint32_t taken = load_seq_cst(&u->taken), before = taken - 1; taken != before;) {
        if (weft_sem_acquire(&u->s, weft_in_ms(500)) == 0)
            return true;
        before = taken;
        taken = load_seq_cst(&u->taken);
    }
    return false;
}

TEST_IN_LIMIT(240, PROCESS, kill_of_semaphore_users_makes_no_units)
{
    units *u = test_alloc(t, sizeof *u);
    CHECK_OK(weft_sem_init(&u->s, 2, WEFT_SHARED));
    int lost = 0, worker[WORKERS];
    for (int i = 0; i < WORKERS; i++)
        worker[i] = test_spawn(t, take_and_give, u);
    unsigned seed = 99;
    for (long k = test_rounds(300, 3000); k > 0; k--) {
        struct timespec pause = {0, 100000 + rand_r(&seed) % 300000};
        nanosleep(&pause, NULL);
        int victim = rand_r(&seed) % WORKERS;
        kill(test_pid(t, worker[victim]), SIGKILL);
        test_result(t, worker[victim]);
        worker[victim] = test_spawn(t, take_and_give, u);
        if (!take_one(u)) {
            lost++; /* both units died with their takers: give one anew */
            CHECK_OK(weft_sem_release(&u->s, 1));
        } else {
            CHECK(weft_sem_value(&u->s) <= 2);
            CHECK_OK(weft_sem_release(&u->s, 1));
        }
        CHECK(weft_sem_value(&u->s) <= 2);
    }
    for (int i = 0; i < WORKERS; i++) {
        kill(test_pid(t, worker[i]), SIGKILL);
        test_result(t, worker[i]);
    }
    CHECK(weft_sem_value(&u->s) <= 2 && weft_sem_value(&u->s) >= 0);
    CHECK(load_relaxed(&u->given) <= load_relaxed(&u->taken));
}
