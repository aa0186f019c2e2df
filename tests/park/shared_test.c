/* Sleeping on words in shared memory: threads and processes in the kernel, coroutines through relays. What must hold: a
 * wake reaches its sleeper whichever kind it is, none is swallowed by a sleeper that leaves for another reason, and a
 * sleeper whose waker died looks again within a slice of 100 ms, on every kernel and under every planned fault. */
#include "harness/harness.h"

#include "park/park.h"
#include "park/shared.h"
#include "sys/sys.h"

#include <weft/co.h>
#include <weft/lock.h>

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

enum {
    MANY = 300 /* more coroutines than two relays hold */
};

/* A process may die between its store and its wake; whoever sleeps looks again this long after, at most. */
static int64_t slice_limit(void)
{
    return 7 * WEFT_SECOND; /* a tenth of that is long on an idle machine; other deadlines are 8 s and more */
}

typedef struct words {
    uint32_t a, b, out; /* atomic; a and b are shared words, out counts what came to pass */
    uint32_t private;   /* atomic: a private word of whoever looks at it */
    int64_t longest, died;
    weft_lock l;
} words;

static words *new_words(test *t)
{
    words *s = test_alloc(t, sizeof *s);
    CHECK_OK(weft_lock_init(&s->l, WEFT_SHARED));
    return s;
}

static int sleep_until_set(void *arg)
{
    words *s = arg;
    while (load_seq_cst(&s->a) == 0) {
        int err = weft__park(&s->a, 0, weft_in_seconds(8), WEFT__SHARED_WORD, "test");
        if (err < 0)
            return err;
    }
    add_seq_cst(&s->out, 1);
    return 0;
}

static void start(test_fn *fn, void *arg, weft_co **co)
{
    CHECK_OK(weft_co_start(co, fn, arg, NULL));
}

static int end(weft_co *co)
{
    int result;
    CHECK_OK(weft_co_join(co, &result, weft_in_seconds(9)));
    return result;
}

static unsigned asleep(const uint32_t *word)
{
    long n = syscall(SYS_futex, word, FUTEX_CMP_REQUEUE, 0, 1000000L, word, load_seq_cst(word));
    return n < 0 ? 0 : (unsigned)n;
}

static void wait_asleep(const uint32_t *word, unsigned n)
{
    while (asleep(word) < n)
        sched_yield();
}

/* ---- the contract, in each kind of sleeper ---- */

TEST_IN(PROCESS, shared_wake_reaches_a_process)
{
    words *s = new_words(t);
    for (int i = 0; i < 3; i++)
        test_spawn(t, sleep_until_set, s);
    test_wait_until_asleep(t, &s->a, 3);
    store_seq_cst(&s->a, 1);
    CHECK_BETWEEN(1, 3, weft__wake(&s->a, 3, WEFT__SHARED_WORD));
    test_join(t);
    CHECK_INT(3, s->out);
}

TEST_IN(PROCESS, shared_sleepers_differ_and_wake_and_time_out_like_private_ones)
{
    words *s = new_words(t);
    CHECK_OK(weft__park(&s->a, 1, WEFT_FOREVER, WEFT__SHARED_WORD, "test"));
    CHECK_ERR(-ETIMEDOUT, weft__park(&s->a, 0, WEFT_NOW, WEFT__SHARED_WORD, "test"));
    CHECK_ERR(-ETIMEDOUT, weft__park(&s->a, 0, weft_in_ms(20), WEFT__SHARED_WORD, "test"));
    weft__parking p;
    CHECK_INT(1, weft__park_prepare(&p, &s->a, 1, WEFT__SHARED_WORD, "test"));
    CHECK_INT(0, weft__park_prepare(&p, &s->a, 0, WEFT__SHARED_WORD, "test"));
    store_seq_cst(&s->a, 1); /* a change after prepare ends the sleep as a wake would */
    CHECK_OK(weft__park_commit(&p, WEFT_FOREVER));
    CHECK_INT(0, weft__park_prepare(&p, &s->a, 1, WEFT__SHARED_WORD, "test"));
    CHECK_INT(0, weft__park_unprepare(&p));
}

TEST_IN(PROCESS, shared_sleep_ends_with_its_slice)
{
    words *s = new_words(t);
    int64_t begin = weft_now();
    CHECK_OK(weft__park(&s->a, 0, WEFT_FOREVER, WEFT__SHARED_WORD, "test"));
    CHECK_BETWEEN(90 * WEFT_MS, slice_limit(), weft_now() - begin);
}

static void nothing(int signal)
{
    (void)signal;
}

/* A profiler's timer, say: each signal ends the kernel's sleep, none may put off the end of the slice. */
TEST_IN(PROCESS, shared_sleep_ends_with_its_slice_under_signals)
{
    words *s = new_words(t);
    sigaction(SIGALRM, &(struct sigaction){.sa_handler = nothing}, NULL);
    setitimer(ITIMER_REAL, &(struct itimerval){{0, 20000}, {0, 20000}}, NULL);
    int64_t begin = weft_now();
    CHECK_OK(weft__park(&s->a, 0, weft_in_seconds(8), WEFT__SHARED_WORD, "test"));
    int64_t took = weft_now() - begin;
    setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 0}}, NULL);
    CHECK_BETWEEN(0, slice_limit(), took);
}

/* ---- for several ---- */

TEST_IN(PROCESS, shared_any_tells_the_lowest_that_differs)
{
    words *s = new_words(t);
    store_seq_cst(&s->a, 1);
    store_seq_cst(&s->b, 1);
    store_seq_cst(&s->private, 1);
    weft__case cases[3] = {{.word = &s->private}, /* private, differs */
                           {.word = &s->a, .flags = WEFT__SHARED_WORD},
                           {.word = &s->b, .flags = WEFT__SHARED_WORD}};
    CHECK_INT(0, weft__park_any(cases, 3, WEFT_FOREVER, 0));
    store_seq_cst(&s->private, 0);
    CHECK_INT(1, weft__park_any(cases, 3, WEFT_FOREVER, 0));
    store_seq_cst(&s->a, 0);
    CHECK_INT(2, weft__park_any(cases, 3, WEFT_FOREVER, 0));
    store_seq_cst(&s->b, 0);
    CHECK_ERR(-ETIMEDOUT, weft__park_any(cases, 3, weft_in_ms(150), 0)); /* longer than a slice */
    CHECK_INT(0, weft__sleepers(&s->private));
}

TEST_IN(PROCESS, shared_any_has_limits)
{
    words *s = new_words(t);
    static weft__case cases[WEFT__SHARED_CASES_MAX + 1];
    for (unsigned i = 0; i <= WEFT__SHARED_CASES_MAX; i++)
        cases[i] = (weft__case){.word = &s->a, .flags = WEFT__SHARED_WORD};
    CHECK_ERR(-EINVAL, weft__park_any(cases, WEFT__SHARED_CASES_MAX + 1, WEFT_NOW, 0));
    CHECK_ERR(-ETIMEDOUT, weft__park_any(cases, WEFT__SHARED_CASES_MAX, weft_in_ms(1), 0));
}

typedef struct any_arg {
    words *s;
    int result;
    bool idle_class;
    pid_t tid;
} any_arg;

static int any_private_or_shared(void *arg)
{
    any_arg *a = arg;
    a->tid = gettid();
    if (a->idle_class) /* it does not run while its waker does */
        sched_setscheduler(0, SCHED_IDLE, &(struct sched_param){0});
    weft__case cases[2] = {{.word = &a->s->private}, {.word = &a->s->a, .flags = WEFT__SHARED_WORD}};
    a->result = weft__park_any(cases, 2, weft_in_seconds(8), 0);
    return 0;
}

static void *any_thread(void *arg)
{
    any_private_or_shared(arg);
    return NULL;
}

/* In the kernel without slices: it is woken or it is not. */
static void *sleep_raw(void *arg)
{
    words *s = arg;
    if (weft__sys_futex_wait(&s->a, 0, weft__sys_now() + 5 * WEFT_SECOND, true) == 0)
        add_seq_cst(&s->out, 1);
    return NULL;
}

TEST_IN(PROCESS, shared_any_is_woken_by_either_domain)
{
    words *s = new_words(t);
    for (int i = 0; i < 2; i++) {
        any_arg a = {.s = s, .result = -1};
        pthread_t thread;
        CHECK_INT(0, pthread_create(&thread, NULL, any_thread, &a));
        wait_asleep(&s->a, 1);
        if (i == 0)
            CHECK_INT(1, weft__wake(&s->private, 1, 0));
        else
            CHECK_INT(1, weft__wake(&s->a, 1, WEFT__SHARED_WORD));
        pthread_join(thread, NULL);
        CHECK_INT(i, a.result);
    }
}

static void pin(void)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    sched_setaffinity(0, sizeof one, &one);
}

/* The first sleeper is woken in both domains before it runs. Only the private wake is its own; the shared one goes on
 * to the second sleeper. */
TEST_IN_LIMIT(30, PROCESS, shared_wake_of_a_sleeper_that_left_for_another_reason_goes_on)
{
    words *s = new_words(t);
    pin();
    for (int round = 0; round < 10; round++) {
        any_arg a = {.s = s, .result = -1, .idle_class = true};
        pthread_t first, second;
        CHECK_INT(0, pthread_create(&first, NULL, any_thread, &a));
        wait_asleep(&s->a, 1);
        CHECK_INT(0, pthread_create(&second, NULL, sleep_raw, s));
        wait_asleep(&s->a, 2);
        weft__wake(&s->a, 1, WEFT__SHARED_WORD);
        int claimed = weft__wake(&s->private, 1, 0);
        sched_setscheduler(a.tid, SCHED_OTHER, &(struct sched_param){0}); /* or a busy machine keeps it for seconds */
        pthread_join(first, NULL);
        CHECK_INT(claimed ? 0 : 1, a.result);
        if (!claimed)
            weft__wake(&s->a, 1, WEFT__SHARED_WORD);
        pthread_join(second, NULL);
        CHECK_INT(round + 1, s->out);
    }
}

/* ---- cancellation ---- */

TEST_IN(PROCESS, shared_sleep_of_a_thread_is_cancelled)
{
    words *s = new_words(t);
    weft__waiter_cancel(weft__self());
    CHECK_ERR(-ECANCELED, weft__park(&s->a, 0, WEFT_FOREVER, WEFT__SHARED_WORD, "test"));
    weft__case cases[2] = {{.word = &s->private}, {.word = &s->a, .flags = WEFT__SHARED_WORD}};
    CHECK_ERR(-ECANCELED, weft__park_any(cases, 2, WEFT_FOREVER, 0));
    CHECK_OK(weft__park(&s->a, 0, WEFT_FOREVER, WEFT__SHARED_WORD | WEFT__UNCANCELLABLE, "test")); /* its slice */
    weft_shield(1);
    CHECK_ERR(-ETIMEDOUT, weft__park_any(cases, 2, weft_in_ms(5), 0));
    weft_shield(0);
    CHECK_ERR(-ECANCELED, weft__park_any(cases, 2, weft_in_ms(5), 0));
}

static int sleep_until_error(void *arg)
{
    words *s = arg;
    int err;
    do
        err = weft__park(&s->a, 0, weft_in_seconds(8), WEFT__SHARED_WORD, "test");
    while (err == 0);
    return err;
}

TEST_IN(PROCESS, shared_sleep_of_a_coroutine_is_cancelled)
{
    words *s = new_words(t);
    weft_co *co;
    start(sleep_until_error, s, &co);
    wait_asleep(&s->a, 1); /* its relay */
    weft_co_cancel(co);
    CHECK_ERR(-ECANCELED, end(co));
}

/* ---- death ---- */

static int store_and_die(void *arg)
{
    words *s = arg;
    s->died = weft_now();
    store_seq_cst(&s->a, 1);
    kill(getpid(), SIGKILL); /* between store and wake */
    return 0;
}

static int note_when_seen(void *arg)
{
    words *s = arg;
    int err = sleep_until_set(s);
    int64_t now = weft_now(), seen = load_relaxed(&s->longest);
    while (now > seen && !cas_relaxed(&s->longest, &seen, now))
        ;
    return err;
}

TEST_IN_LIMIT(60, PROCESS, shared_sleepers_look_again_when_a_waker_died)
{
    for (int round = 0; round < 5; round++) {
        words *s = new_words(t);
        test_spawn(t, note_when_seen, s);
        test_spawn(t, note_when_seen, s);
        weft_co *co;
        start(note_when_seen, s, &co);
        test_wait_until_asleep(t, &s->a, 3);
        int dead = test_spawn(t, store_and_die, s);
        CHECK_INT(TEST_KILLED(SIGKILL), test_result(t, dead));
        CHECK_OK(end(co));
        for (int i = 0; i < 2; i++)
            CHECK_INT(0, test_result(t, 3 * round + i));
        CHECK_BETWEEN(0, slice_limit(), s->longest - s->died);
    }
}

static int hold_and_die(void *arg)
{
    words *s = arg;
    CHECK_OK(weft_lock_acquire_until(&s->l, WEFT_NOW));
    kill(getpid(), SIGKILL);
    return 0;
}

static int inherit(void *arg)
{
    words *s = arg;
    int64_t begin = weft_now();
    CHECK_ERR(-EOWNERDEAD, weft_lock_acquire_until(&s->l, weft_in_seconds(8)));
    CHECK_BETWEEN(0, slice_limit(), weft_now() - begin);
    CHECK_OK(weft_lock_recover(&s->l));
    weft_lock_release(&s->l);
    return 0;
}

static words *held_by_a_dead_process(test *t)
{
    words *s = new_words(t);
    int dead = test_spawn(t, hold_and_die, s);
    CHECK_INT(TEST_KILLED(SIGKILL), test_result(t, dead));
    return s;
}

TEST_IN(PROCESS, shared_lock_of_a_dead_process_is_found_by_a_coroutine)
{
    words *s = held_by_a_dead_process(t);
    weft_co *co;
    start(inherit, s, &co);
    CHECK_OK(end(co));
}

/* ---- kernels and faults ---- */

static void plan_waitv(int err)
{
    weft__sys_plan(WEFT__SYS_FUTEX_WAITV, 1, UINT32_MAX, err, 0);
}

TEST_IN(PROCESS, shared_lock_of_a_dead_process_is_found_without_futex_waitv)
{
    plan_waitv(-ENOSYS); /* before Linux 5.16 */
    inherit(held_by_a_dead_process(t));
}

TEST_IN(PROCESS, shared_lock_of_a_dead_process_is_found_by_a_coroutine_without_futex_waitv)
{
    plan_waitv(-ENOSYS);
    weft_co *co;
    start(inherit, held_by_a_dead_process(t), &co);
    CHECK_OK(end(co));
}

TEST_IN(PROCESS, shared_lock_of_a_dead_process_is_found_by_a_coroutine_without_relays)
{
    weft_co *co;
    start(sleep_until_set, &(words){.a = 1}, &co); /* the scheduler must have its thread before there are none */
    CHECK_OK(end(co));
    weft__sys_plan(WEFT__SYS_THREAD, 1, UINT32_MAX, -EAGAIN, 0);
    start(inherit, held_by_a_dead_process(t), &co);
    CHECK_OK(end(co));
}

static void wake_without_futex_waitv(test *t, int err)
{
    plan_waitv(err);
    words *s = new_words(t);
    weft_co *co;
    test_spawn(t, sleep_until_set, s);
    start(sleep_until_set, s, &co);
    test_wait_until_asleep(t, &s->a, 1);
    store_seq_cst(&s->a, 1);
    weft__wake(&s->a, 2, WEFT__SHARED_WORD);
    CHECK_OK(end(co));
    test_join(t);
    CHECK_INT(2, s->out);
    any_arg a = {.s = s, .result = -1};
    store_seq_cst(&s->a, 0);
    pthread_t thread;
    CHECK_INT(0, pthread_create(&thread, NULL, any_thread, &a));
    while (weft__wake(&s->private, 1, 0) == 0)
        sched_yield();
    pthread_join(thread, NULL);
    CHECK_INT(0, a.result);
}

TEST_IN(PROCESS, shared_wakes_arrive_without_futex_waitv)
{
    wake_without_futex_waitv(t, -ENOSYS);
}

/* Sandboxes answer so to calls they do not know. */
TEST_IN(PROCESS, shared_wakes_arrive_where_futex_waitv_is_forbidden)
{
    wake_without_futex_waitv(t, -EPERM);
}

TEST_IN(PROCESS, shared_sleep_does_not_spin_where_futex_waitv_fails)
{
    words *s = new_words(t);
    const int errors[] = {-ENOSYS, -EPERM, -ENOMEM};
    for (int i = 0; i < 3; i++) {
        plan_waitv(errors[i]);
        CHECK_OK(weft__park(&s->a, 0, WEFT_FOREVER, WEFT__SHARED_WORD, "test"));
        CHECK_BETWEEN(1, 200, weft__sys_seen(WEFT__SYS_FUTEX_WAITV));
    }
}

TEST_IN(PROCESS, shared_sleep_survives_every_kind_of_fault_once)
{
    words *s = new_words(t);
    const enum weft__sys_call calls[] = {WEFT__SYS_FUTEX_WAITV, WEFT__SYS_FUTEX_WAIT, WEFT__SYS_MALLOC,
                                         WEFT__SYS_THREAD};
    const int errors[] = {-EINTR, -EINTR, -ENOMEM, -EAGAIN};
    weft_co *co;
    start(sleep_until_set, &(words){.a = 1}, &co);
    CHECK_OK(end(co));
    for (unsigned i = 0; i < 4; i++) {
        store_seq_cst(&s->a, 0);
        weft__sys_plan(calls[i], 1, 1, errors[i], 0);
        weft_co *in_co;
        start(sleep_until_set, s, &in_co);
        int w = test_spawn(t, sleep_until_set, s);
        test_wait_until_asleep(t, &s->a, 1);
        store_seq_cst(&s->a, 1);
        weft__wake(&s->a, UINT32_MAX, WEFT__SHARED_WORD);
        CHECK_OK(end(in_co));
        CHECK_OK(test_result(t, w));
        weft__sys_plan_none();
    }
}

/* ---- relays ---- */

TEST_IN_LIMIT(30, PROCESS, relays_serve_more_coroutines_than_one_can_hold)
{
    words *s = new_words(t);
    static weft_co *cos[MANY];
    for (int i = 0; i < MANY; i++)
        start(sleep_until_set, s, &cos[i]);
    wait_asleep(&s->a, MANY); /* each stands in the kernel's queue by its relay */
    CHECK_INT(0, s->out);
    store_seq_cst(&s->a, 1);
    CHECK_BETWEEN(1, MANY, weft__wake(&s->a, UINT32_MAX, WEFT__SHARED_WORD));
    for (int i = 0; i < MANY; i++)
        CHECK_OK(end(cos[i]));
    CHECK_INT(MANY, s->out);
}

static uint32_t many[MANY];

static int sleep_on_own_word(void *arg)
{
    const uint32_t *word = arg;
    while (load_seq_cst(word) == 0)
        CHECK_OK(weft__park(word, 0, weft_in_seconds(8), WEFT__SHARED_WORD, "test"));
    return 0;
}

TEST_LIMIT(30, relays_wake_the_one_whose_word_it_is)
{
    static weft_co *cos[MANY];
    for (int i = 0; i < MANY; i++)
        start(sleep_on_own_word, &many[i], &cos[i]);
    for (int i = MANY; i-- > 0;) {
        wait_asleep(&many[i], 1);
        store_seq_cst(&many[i], 1);
        weft__wake(&many[i], 1, WEFT__SHARED_WORD);
        CHECK_OK(end(cos[i]));
    }
}

/* As for threads above; the coroutine cannot run while this one, on the same thread, does not let go of it. */
static int wake_twice(void *arg)
{
    words *s = arg;
    any_arg a = {.s = s, .result = -1};
    for (int round = 0; round < 5; round++) {
        weft_co *first;
        pthread_t second;
        start(any_private_or_shared, &a, &first);
        while (asleep(&s->a) < 1)
            weft_yield();
        CHECK_INT(0, pthread_create(&second, NULL, sleep_raw, s));
        wait_asleep(&s->a, 2);
        CHECK_INT(1, weft__wake(&s->private, 1, 0)); /* decides */
        weft__wake(&s->a, 1, WEFT__SHARED_WORD);     /* reaches the relay, which fires */
        usleep(10000);                               /* gives it the time; without, the case would show less */
        CHECK_OK(end(first));
        CHECK_INT(0, a.result);
        pthread_join(second, NULL);
        CHECK_INT(round + 1, s->out);
    }
    return 0;
}

static void run_on_one_thread(test *t, test_fn *fn)
{
    CHECK_OK(weft_co_threads(1));
    weft_co *co;
    start(fn, new_words(t), &co);
    int result;
    CHECK_OK(weft_co_join(co, &result, WEFT_FOREVER));
    CHECK_OK(result);
}

TEST_IN_LIMIT(40, PROCESS, relay_passes_on_the_wake_of_a_coroutine_that_left_for_another_reason)
{
    run_on_one_thread(t, wake_twice);
}

static void *start_relay(void *arg)
{
    uint32_t word = 0;
    weft__relayed first = {.word = &word};
    sched_setscheduler(0, SCHED_IDLE, &(struct sched_param){0});
    CHECK_OK(weft__relay_add(&first));
    weft__relay_remove(&first);
    return arg;
}

/* What a relay is told is old by the time it runs: this one, which has the class of the thread that started it, does
 * not run while the coroutines on the caller's thread do. */
static void slow_relay(void)
{
    pthread_t idle;
    pin();
    CHECK_INT(0, pthread_create(&idle, NULL, start_relay, NULL));
    pthread_join(idle, NULL);
}

/* Without slices, in a thread: if it is to wake, then by a wake that is passed on. */
static pthread_t start_raw(words *s)
{
    pthread_t thread;
    unsigned before = asleep(&s->a);
    CHECK_INT(0, pthread_create(&thread, NULL, sleep_raw, s));
    wait_asleep(&s->a, before + 1);
    return thread;
}

/* From the same place of the stack, so that the relay is given the same slot for the same address. */
static int sleep_on_a_then_on_b(void *arg)
{
    words *s = arg;
    const uint32_t *shared[] = {&s->a, &s->b};
    int results[2];
    for (int i = 0; i < 2; i++) {
        weft__case cases[2] = {{.word = &s->private, .expected = (uint32_t)i},
                               {.word = shared[i], .flags = WEFT__SHARED_WORD}};
        results[i] = weft__park_any(cases, 2, weft_in_seconds(8), 0);
    }
    CHECK_INT(0, results[0]);
    return results[1];
}

static int wake_whose_slot_is_taken_again(void *arg)
{
    words *s = arg;
    slow_relay();
    for (int round = 1; round <= 5; round++) {
        weft_co *co;
        store_seq_cst(&s->private, 0);
        start(sleep_on_a_then_on_b, s, &co);
        while (asleep(&s->a) < 1)
            weft_sleep(weft_in_ms(1));
        pthread_t raw = start_raw(s);
        store_seq_cst(&s->private, 1);
        CHECK_INT(1, weft__wake(&s->private, 1, 0)); /* decides */
        weft__wake(&s->a, 1, WEFT__SHARED_WORD);     /* reaches the relay, which is slow */
        while (weft__sleepers(&s->private) < 1)      /* until it sleeps again */
            weft_yield();
        pthread_join(raw, NULL);
        CHECK_INT(round, s->out);
        store_seq_cst(&s->private, 2);
        weft__wake(&s->private, 1, 0);
        CHECK_INT(0, end(co)); /* and not because of a wake that was not its own */
    }
    return 0;
}

TEST_IN_LIMIT(40, PROCESS, relay_passes_on_the_wake_of_a_coroutine_that_sleeps_on_another_word_by_now)
{
    run_on_one_thread(t, wake_whose_slot_is_taken_again);
}

static int sleep_on_b(void *arg)
{
    words *s = arg;
    weft__case b = {.word = &s->b, .flags = WEFT__SHARED_WORD};
    return weft__park_any(&b, 1, weft_in_seconds(8), 0);
}

static int wake_two_words_at_once(void *arg)
{
    words *s = arg;
    any_arg a = {.s = s, .result = -1};
    slow_relay();
    for (int round = 1; round <= 5; round++) {
        weft_co *leaves, *stays;
        start(any_private_or_shared, &a, &leaves);
        start(sleep_on_b, s, &stays);
        while (asleep(&s->a) < 1 || asleep(&s->b) < 1)
            weft_sleep(weft_in_ms(1));
        pthread_t raw = start_raw(s);
        CHECK_INT(1, weft__wake(&s->private, 1, 0)); /* decides */
        weft__wake(&s->a, 1, WEFT__SHARED_WORD);     /* both reach the relay, which is told of one */
        weft__wake(&s->b, 1, WEFT__SHARED_WORD);
        CHECK_OK(end(leaves));
        CHECK_INT(0, a.result);
        CHECK_OK(end(stays));
        pthread_join(raw, NULL);
        CHECK_INT(round, s->out);
    }
    return 0;
}

TEST_IN_LIMIT(40, PROCESS, relay_passes_on_the_wake_of_a_coroutine_that_left_where_another_was_woken_too)
{
    run_on_one_thread(t, wake_two_words_at_once);
}

static int park_in_small_stack(void *arg)
{
    return sleep_until_set(arg);
}

TEST_IN(PROCESS, shared_sleep_fits_the_smallest_stack)
{
    words *s = new_words(t);
    weft_co *co;
    CHECK_OK(weft_co_start(&co, park_in_small_stack, s, &(weft_co_options){.stack_size = 16384}));
    wait_asleep(&s->a, 1);
    store_seq_cst(&s->a, 1);
    weft__wake(&s->a, 1, WEFT__SHARED_WORD);
    CHECK_OK(end(co));
}

/* In the child there are no relays: the first coroutine that needs one gets it. */
static int relay_in_child(void *arg)
{
    weft_co *co;
    start(sleep_until_set, arg, &co);
    return end(co);
}

TEST_IN(PROCESS, relays_begin_afresh_in_a_child)
{
    words *s = new_words(t);
    weft_co *co;
    start(sleep_until_set, s, &co);
    wait_asleep(&s->a, 1);
    test_spawn(t, relay_in_child, s); /* forked while the parent's relay serves */
    wait_asleep(&s->a, 2);
    store_seq_cst(&s->a, 1);
    weft__wake(&s->a, 2, WEFT__SHARED_WORD);
    CHECK_OK(end(co));
    test_join(t);
    CHECK_INT(2, s->out);
}
