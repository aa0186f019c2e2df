/* The sleeper: its registry, cancellation, deadlines and which of them wins, fork. */
#include "harness/harness.h"

#include "park/park.h"
#include "sys/sys.h"

#include <weft/co.h>
#include <weft/lock.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- registry ---- */

static void *tell_id(void *arg)
{
    *(uint32_t *)arg = weft__self()->id;
    return NULL;
}

static void run_thread(void *(*fn)(void *), void *arg)
{
    pthread_t thread;
    CHECK_INT(0, pthread_create(&thread, NULL, fn, arg));
    CHECK_INT(0, pthread_join(thread, NULL));
}

TEST(waiter_of_a_thread_is_given_back_and_its_id_is_not_used_again)
{
    uint32_t first = 0, second = 0;
    run_thread(tell_id, &first);
    CHECK(first != 0);
    CHECK_PTR(NULL, weft__waiter_by_id(first)); /* it ended */
    run_thread(tell_id, &second);
    CHECK(first != second);
    CHECK_INT(first & ((1u << 22) - 1), second & ((1u << 22) - 1)); /* the same slot */
}

static int tell_id_co(void *arg)
{
    weft__waiter *self = weft__self();
    *(uint32_t *)arg = self->id;
    CHECK_PTR(self, weft__waiter_by_id(self->id));
    CHECK_INT(self->id, weft__self_id);
    return 0;
}

TEST(waiter_of_a_coroutine_has_an_id_as_long_as_it_lives)
{
    uint32_t seen[8] = {0};
    for (unsigned i = 0; i < 8; i++) {
        weft_co *co;
        CHECK_OK(weft_co_start(&co, tell_id_co, &seen[i], NULL));
        CHECK_OK(weft_co_join(co, NULL, WEFT_FOREVER));
        CHECK_PTR(NULL, weft__waiter_by_id(seen[i]));
        for (unsigned k = 0; k < i; k++)
            CHECK(seen[k] != seen[i]);
    }
}

TEST(waiter_by_id_finds_the_living_only)
{
    weft__waiter *self = weft__self();
    CHECK_PTR(self, weft__waiter_by_id(self->id));
    CHECK_INT(self->id, weft__self_id);
    CHECK_PTR(NULL, weft__waiter_by_id(0));
    CHECK_PTR(NULL, weft__waiter_by_id(self->id + (1u << 22))); /* another generation */
    CHECK_PTR(NULL, weft__waiter_by_id((1u << 22) - 1));        /* a slot that never was */
}

/* Destructors run in four turns; ThreadSanitizer's own end, after which nothing may run, is in the last one. */
#define LATE_ROUNDS (WEFT__TSAN ? 2u : 3u)

static pthread_key_t late_key;

static void use_park_late(void *arg)
{
    static uint32_t word;
    uint32_t *rounds = arg;
    CHECK_ERR(-ETIMEDOUT, weft__park(&word, 0, weft_in(1000), 0, "test"));
    if (++*rounds < LATE_ROUNDS) /* also after park's own destructor */
        pthread_setspecific(late_key, arg);
}

static void *set_late_key(void *arg)
{
    pthread_setspecific(late_key, arg);
    (void)weft__self();
    return NULL;
}

TEST(waiter_is_there_for_destructors_of_thread_specific_data)
{
    uint32_t rounds = 0;
    CHECK_INT(0, pthread_key_create(&late_key, use_park_late));
    run_thread(set_late_key, &rounds);
    CHECK_INT(LATE_ROUNDS, rounds);
}

enum {
    MORE_THAN_A_SLAB = 200
};

static void *take_waiter_and_stay(void *arg)
{
    (void)weft__self();
    add_seq_cst((uint32_t *)arg, 1);
    while (load_acquire((uint32_t *)arg) != 0)
        pause();
    return NULL;
}

TEST_PANICS(waiter_without_memory_panics_and_says_why, "out of memory")
{
    static uint32_t ready;
    weft__sys_plan(WEFT__SYS_MMAP, 1, UINT32_MAX, -ENOMEM, 0);
    for (uint32_t i = 0; i < MORE_THAN_A_SLAB; i++) { /* the first ones find waiters that are there already */
        pthread_t thread;
        CHECK_INT(0, pthread_create(&thread, NULL, take_waiter_and_stay, &ready));
        while (load_acquire(&ready) != i + 1)
            sched_yield();
    }
}

/* ---- who wins ---- */

typedef struct sleeper {
    uint32_t word; /* atomic */
    int64_t until;
    unsigned flags;
    weft__waiter *waiter; /* atomic pointer: set before it sleeps */
    int result;
} sleeper;

static int sleep_once(void *arg)
{
    sleeper *s = arg;
    store_release(&s->waiter, weft__self());
    s->result = weft__park(&s->word, 0, (weft_until){s->until}, s->flags, "test");
    return 0;
}

static void *sleeper_thread(void *arg)
{
    sleep_once(arg);
    return NULL;
}

static sleeper *asleep(test *t, unsigned flags)
{
    sleeper *s = test_alloc(t, sizeof *s);
    s->until = INT64_MAX;
    s->flags = flags;
    test_spawn(t, sleep_once, s);
    test_wait_until_asleep(t, &s->word, 1);
    return s;
}

TEST_IN(THREAD | CO, waiter_cancelled_in_its_sleep_is_told)
{
    sleeper *s = asleep(t, 0);
    weft__waiter_cancel(s->waiter);
    test_join(t);
    CHECK_ERR(-ECANCELED, s->result);
    CHECK_INT(0, weft__sleepers(&s->word));
}

/* The wake came first, and before the sleeper could run it was cancelled as well. */
TEST_IN(THREAD | CO, waiter_woken_beats_cancelled)
{
    for (int i = 0; i < 20; i++) {
        sleeper *s = asleep(t, 0);
        weft__waiter *w = s->waiter;
        int woken = weft__wake(&s->word, 1, 0);
        weft__waiter_cancel(w);
        test_join(t);
        CHECK_INT(1, woken);
        CHECK_OK(s->result);
    }
}

TEST_IN(THREAD | CO, waiter_cancelled_first_is_not_counted_by_a_wake)
{
    sleeper *s = asleep(t, 0);
    weft__waiter_cancel(s->waiter);
    CHECK_INT(0, weft__wake(&s->word, 1, 0));
    test_join(t);
    CHECK_ERR(-ECANCELED, s->result);
}

/* The flag without the claim: the canceller came that far when the deadline struck. */
TEST_IN(THREAD | CO, waiter_cancelled_beats_deadline)
{
    weft__waiter *self = weft__self();
    static uint32_t word;
    for (int64_t until = 0; until <= 1; until++) {
        store_seq_cst(&self->cancel, 0);
        weft__wait_begin(self, false);
        store_seq_cst(&self->cancel, 1);
        CHECK(weft__waiter_claim(self, WEFT__TIMEDOUT));
        store_release(&self->token, WEFT__TOKEN_READY);
        if (test_context(t) == CO)
            weft__waiter_ready(self);
        CHECK_INT(WEFT__CANCELLED, weft__wait_block(self, 1));
    }
    CHECK_ERR(-ECANCELED, weft__park(&word, 0, WEFT_NOW, 0, "test"));
    store_seq_cst(&self->cancel, 0);
    CHECK_ERR(-ETIMEDOUT, weft__park(&word, 0, WEFT_NOW, 0, "test"));
}

TEST_IN(THREAD | CO, waiter_cancelled_before_its_sleep_does_not_sleep_and_again_and_again)
{
    static uint32_t word;
    weft__waiter *self = weft__self();
    weft__waiter_cancel(self);
    for (int i = 0; i < 3; i++)
        CHECK_ERR(-ECANCELED, weft__park(&word, 0, WEFT_FOREVER, 0, "test"));
    CHECK_OK(weft__park(&word, 1, WEFT_FOREVER, 0, "test")); /* the word differs: nothing was waited for */
    CHECK_INT(1, weft_cancelled() != 0);
    CHECK_ERR(-ETIMEDOUT, weft__park(&word, 0, weft_in_ms(1), WEFT__UNCANCELLABLE, "test"));
    CHECK_INT(0, weft_shield(1));
    CHECK_INT(0, weft_cancelled());
    CHECK_ERR(-ETIMEDOUT, weft__park(&word, 0, weft_in_ms(1), 0, "test"));
    CHECK_INT(1, weft_shield(0));
    CHECK_ERR(-ECANCELED, weft__park(&word, 0, WEFT_FOREVER, 0, "test"));
    store_seq_cst(&self->cancel, 0);
}

TEST_IN(THREAD | CO, waiter_in_a_hard_sleep_is_ended_by_its_wake_only)
{
    sleeper *s = asleep(t, WEFT__UNCANCELLABLE);
    weft__waiter_cancel(s->waiter);
    CHECK_INT(1, weft__sleepers(&s->word));
    CHECK_INT(1, weft__wake(&s->word, 1, 0));
    test_join(t);
    CHECK_OK(s->result);
}

/* ---- deadlines ---- */

TEST_IN(THREAD | CO, waiter_deadlines_past_now_and_soon)
{
    static uint32_t word;
    CHECK_ERR(-ETIMEDOUT, weft__park(&word, 0, WEFT_NOW, 0, "test"));
    CHECK_ERR(-ETIMEDOUT, weft__park(&word, 0, (weft_until){-5}, 0, "test"));
    CHECK_ERR(-ETIMEDOUT, weft__park(&word, 0, (weft_until){INT64_MIN}, 0, "test"));
    CHECK_ERR(-ETIMEDOUT, weft__park(&word, 0, (weft_until){1}, 0, "test"));
    CHECK_ERR(-ETIMEDOUT, weft__park(&word, 0, weft_in(-1), 0, "test"));
    int64_t start = weft_now();
    CHECK_ERR(-ETIMEDOUT, weft__park(&word, 0, weft_in_ms(30), 0, "test"));
    CHECK_BETWEEN(30 * WEFT_MS, 30 * WEFT_MS + (int64_t)(5e9 * test_limit_factor()), weft_now() - start);
    CHECK_INT(0, weft__sleepers(&word));
}

TEST(waiter_deadline_follows_a_shifted_clock)
{
    static uint32_t word;
    const int64_t shifts[] = {3600 * WEFT_SECOND, -weft_now() / 2}; /* no clock runs before the machine was started */
    for (int i = 0; i < 2; i++) {
        store_relaxed(&weft__sys_clock_shift, shifts[i]);
        int64_t start = weft_now();
        CHECK_ERR(-ETIMEDOUT, weft__park(&word, 0, weft_in_ms(20), 0, "test"));
        CHECK_BETWEEN(20 * WEFT_MS, 20 * WEFT_MS + (int64_t)(4e9 * test_limit_factor()), weft_now() - start);
    }
    weft_until soon = weft_in_ms(50); /* an hour leaps by: it is over at once */
    store_relaxed(&weft__sys_clock_shift, 3600 * WEFT_SECOND);
    int64_t start = weft_now();
    CHECK_ERR(-ETIMEDOUT, weft__park(&word, 0, soon, 0, "test"));
    CHECK_BETWEEN(0, 60 * WEFT_SECOND, weft_now() - start);
    store_relaxed(&weft__sys_clock_shift, 0);
}

static void nothing(int signal)
{
    (void)signal;
}

TEST(waiter_sleep_is_not_ended_by_signals_nor_by_failing_calls)
{
    static uint32_t word;
    sigaction(SIGUSR1, &(struct sigaction){.sa_handler = nothing}, NULL);
    sleeper s = {.until = INT64_MAX};
    pthread_t thread;
    CHECK_INT(0, pthread_create(&thread, NULL, sleeper_thread, &s));
    while (weft__sleepers(&s.word) == 0)
        sched_yield();
    for (int i = 0; i < 100; i++)
        pthread_kill(thread, SIGUSR1);
    CHECK_INT(1, weft__sleepers(&s.word));
    CHECK_INT(1, weft__wake(&s.word, 1, 0));
    pthread_join(thread, NULL);
    CHECK_OK(s.result);
    const int errors[] = {-EINTR, -EAGAIN};
    for (int i = 0; i < 2; i++) {
        int64_t wait = 5 * WEFT_MS;
        do { /* until the deadline was not so near that it passed among the failing calls */
            weft__sys_plan(WEFT__SYS_FUTEX_WAIT, 1, 5, errors[i], 0);
            CHECK_ERR(-ETIMEDOUT, weft__park(&word, 0, weft_in(wait), 0, "test"));
            wait *= 2;
        } while (weft__sys_seen(WEFT__SYS_FUTEX_WAIT) < 6 && wait < 2 * WEFT_SECOND);
        CHECK_BETWEEN(6, 8, weft__sys_seen(WEFT__SYS_FUTEX_WAIT));
    }
    weft__sys_plan_none();
}

/* ---- fork ---- */

typedef struct forked {
    sleeper sleepers[4];
    weft_lock l;
    uint32_t stirring, stop; /* atomic */
} forked;

static int co_in_child(void *arg)
{
    uint32_t *word = arg;
    while (load_acquire(word) == 0)
        weft__park(word, 0, WEFT_FOREVER, 0, "test");
    return 7;
}

static int count;

static void count_waiter(weft__waiter *w, void *arg)
{
    (void)w, (void)arg;
    count++;
}

/* What the child may do: everything, and of the parent's sleepers it knows nothing. */
static int check_child(forked *f)
{
    for (int i = 0; i < 4; i++) {
        CHECK_INT(0, weft__sleepers(&f->sleepers[i].word));
        CHECK_INT(0, weft__wake(&f->sleepers[i].word, 1, 0));
    }
    count = 0;
    (void)weft__self();
    weft__waiters_each(count_waiter, NULL);
    CHECK_INT(1, count); /* itself */
    CHECK_ERR(-ETIMEDOUT, weft__park(&f->sleepers[0].word, 0, weft_in_ms(2), 0, "test"));
    static uint32_t word;
    weft_co *co;
    CHECK_OK(weft_co_start(&co, co_in_child, &word, NULL));
    while (weft__sleepers(&word) == 0)
        sched_yield();
    store_seq_cst(&word, 1);
    CHECK_INT(1, weft__wake(&word, 1, 0));
    int result;
    CHECK_OK(weft_co_join(co, &result, weft_in_seconds(25)));
    CHECK_INT(7, result);
    return 0;
}

static void fork_and_check(forked *f)
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0)
        _exit(check_child(f));
    int status;
    CHECK_INT(pid, waitpid(pid, &status, 0));
    CHECK_INT(0, status);
}

TEST(fork_with_sleepers_leaves_the_child_an_empty_table_and_the_parent_alone)
{
    static forked f;
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        f.sleepers[i].until = INT64_MAX;
        CHECK_INT(0, pthread_create(&threads[i], NULL, sleeper_thread, &f.sleepers[i]));
        while (weft__sleepers(&f.sleepers[i].word) == 0)
            sched_yield();
    }
    uint32_t id = weft__self()->id;
    fork_and_check(&f);
    CHECK_INT(id, weft__self()->id);
    for (int i = 0; i < 4; i++) {
        CHECK_INT(1, weft__wake(&f.sleepers[i].word, 1, 0));
        pthread_join(threads[i], NULL);
        CHECK_OK(f.sleepers[i].result);
    }
}

/* Threads that come, go, park, wake and fight for a lock, so that every lock of park's own is held at some fork. */
static void *stir(void *arg)
{
    forked *f = arg;
    unsigned rounds = 0;
    while (load_acquire(&f->stop) == 0) {
        uint32_t id;
        run_thread(tell_id, &id);
        weft_lock_acquire(&f->l);
        weft__park(&f->sleepers[0].word, 0, weft_in(10 * WEFT_US), 0, "test");
        weft_lock_release(&f->l);
        weft__requeue(&f->sleepers[0].word, &f->sleepers[1].word, 1, 1, 0);
        if (++rounds == 1)
            add_seq_cst(&f->stirring, 1);
    }
    return NULL;
}

TEST_LIMIT(60, fork_while_others_use_everything)
{
    static forked f;
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        CHECK_INT(0, pthread_create(&threads[i], NULL, stir, &f));
    while (load_seq_cst(&f.stirring) < 3)
        sched_yield();
    for (long n = test_rounds(WEFT__TSAN ? 20 : 100, 5000); n > 0; n--)
        fork_and_check(&f);
    store_release(&f.stop, 1);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
}

static int fork_in_coroutine(void *arg)
{
    forked *f = arg;
    weft__waiter *before = weft__self();
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) { /* goes on as a plain thread */
        CHECK(weft__self() != before);
        CHECK_PTR(&weft__thread_ops, weft__self()->ops);
        _exit(check_child(f));
    }
    int status;
    CHECK_INT(pid, waitpid(pid, &status, 0));
    CHECK_PTR(before, weft__self());
    return status;
}

TEST(fork_inside_a_coroutine)
{
    static forked f;
    weft_co *co;
    int result;
    CHECK_OK(weft_co_threads(1)); /* none starts at the fork: AddressSanitizer's child could not start any */
    CHECK_OK(weft_co_start(&co, fork_in_coroutine, &f, NULL));
    CHECK_OK(weft_co_join(co, &result, WEFT_FOREVER));
    CHECK_INT(0, result);
}
