/* A thread that runs a scheduler while it waits: who runs where, how its waits end, what becomes of the rest. */
#include "co/co_support.h"
#include "co/host.h"
#include "co/state.h"
#include "park/park.h"
#include "sys/sys.h"

#include <weft/event.h>
#include <weft/executor.h>
#include <weft/local.h>
#include <weft/lock.h>
#include <weft/poller.h>

#include <alloca.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t host_tid;
static uint32_t rounds; /* atomic */

static void begin(void)
{
    CHECK_OK(weft__host_begin());
    host_tid = weft__sys_tid();
}

static weft_co *start_apart(weft_co_fn *fn, void *arg)
{
    weft_co *co = NULL;
    CHECK_OK(weft__co_start_on(WEFT__SCHED_APART, &co, fn, arg, NULL));
    return co;
}

static int tid_of_caller(void *arg)
{
    (void)arg;
    weft_yield();
    return weft__sys_tid();
}

static int raise_it(void *arg)
{
    (void)arg;
    raise_flag();
    return 0;
}

TEST(host_runs_what_is_pinned_to_it_on_the_waiting_thread)
{
    CHECK_ERR(-EINVAL, weft__co_start_on(WEFT__SCHED_APART, NULL, tid_of_caller, NULL, NULL)); /* nobody hosts it */
    begin();
    CHECK_OK(weft__host_begin()); /* already */
    weft_co *co[100];
    for (int i = 0; i < 100; i++)
        co[i] = start_apart(tid_of_caller, NULL);
    for (int i = 0; i < 100; i++)
        CHECK_INT(host_tid, join(co[i]));
    CHECK(weft__self()->ops == &weft__thread_ops);
    CHECK_INT(-1, weft__sched_index());
}

static void *begin_too(void *arg)
{
    (void)arg;
    CHECK_ERR(-EBUSY, weft__host_begin());
    return NULL;
}

TEST(host_is_one_thread_of_the_process)
{
    pthread_t t;
    begin();
    CHECK_OK(pthread_create(&t, NULL, begin_too, NULL));
    CHECK_OK(pthread_join(t, NULL));
}

/* Coroutines of the program's do not run where a hosting that ends would change their thread. */
static int start_elsewhere(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20; i++)
        CHECK(join(start(tid_of_caller, NULL)) != host_tid);
    CHECK_INT(host_tid, weft__sys_tid());
    return 0;
}

TEST(host_leaves_the_other_coroutines_to_scheduler_threads)
{
    begin();
    CHECK_OK(join(start_apart(start_elsewhere, NULL)));
}

static int go_round(void *arg)
{
    (void)arg;
    while (!weft_cancelled()) {
        add_seq_cst(&rounds, 1);
        weft_yield();
    }
    return 0;
}

TEST(host_waits_until_the_deadline_and_runs_meanwhile)
{
    begin();
    weft_co *busy = start_apart(go_round, NULL);
    uint32_t word = 0;
    for (int i = 0; i < 3; i++) {
        uint32_t before = load_seq_cst(&rounds);
        do { /* again if the system lets this thread stand until its deadline has passed */
            int64_t began = weft__sys_now();
            CHECK_ERR(-ETIMEDOUT, weft__park(&word, 0, weft_in_ms(20), 0, "test"));
            CHECK(weft__sys_now() - began >= 20 * WEFT_MS);
        } while (load_seq_cst(&rounds) == before);
    }
    CHECK_ERR(-ETIMEDOUT, weft__park(&word, 0, WEFT_NOW, 0, "test"));
    weft_co_cancel(busy);
    CHECK_OK(join(busy));
    CHECK_ERR(-ETIMEDOUT, weft__park(&word, 0, weft_in_ms(5), 0, "test")); /* with nothing to run */
}

TEST(host_is_woken_by_its_own_coroutines_and_by_sleepers_among_them)
{
    begin();
    start_apart(raise_it, NULL);
    CHECK_OK(wait_for_flag(NULL));
    store_seq_cst(&flag, 0);
    weft_co *sleeper = start_apart(wait_for_flag, NULL);
    CHECK_OK(weft_sleep(weft_in_ms(1)));
    start_apart(raise_it, NULL);
    CHECK_OK(join(sleeper));
}

/* ---- woken from elsewhere: with a poller and without ---- */

enum {
    BALLS = 3000
};
static uint32_t ball; /* atomic: even: the host's turn */

static void *play(void *arg)
{
    (void)arg;
    for (uint32_t i = 0; i < BALLS; i++) {
        for (uint32_t seen; (seen = load_seq_cst(&ball)) % 2 == 0;)
            (void)weft__park(&ball, seen, WEFT_FOREVER, 0, "test");
        add_seq_cst(&ball, 1);
        weft__wake(&ball, 1, 0);
    }
    return NULL;
}

static void play_with_a_thread(void)
{
    pthread_t t;
    CHECK_OK(pthread_create(&t, NULL, play, NULL));
    for (uint32_t i = 0; i < BALLS; i++) {
        add_seq_cst(&ball, 1);
        weft__wake(&ball, 1, 0);
        for (uint32_t seen; (seen = load_seq_cst(&ball)) % 2 != 0;)
            CHECK(weft__park(&ball, seen, WEFT_FOREVER, 0, "test") != -ETIMEDOUT);
    }
    CHECK_OK(pthread_join(t, NULL));
}

TEST(host_is_woken_by_threads)
{
    begin();
    play_with_a_thread();
}

static int wait_readable(void *fds)
{
    char byte;
    CHECK_INT(WEFT_POLLIN, weft_fd_wait(((int *)fds)[0], WEFT_POLLIN, WEFT_FOREVER));
    CHECK_INT(1, read(((int *)fds)[0], &byte, 1));
    return weft__sys_tid();
}

TEST(host_is_woken_by_threads_in_its_poller)
{
    int fds[2];
    CHECK_OK(pipe(fds));
    begin();
    weft_co *reader = start_apart(wait_readable, fds);
    play_with_a_thread();
    CHECK_INT(1, write(fds[1], "x", 1));
    CHECK_INT(host_tid, join(reader));
    CHECK_OK(close(fds[0]));
    CHECK_OK(close(fds[1]));
}

static int cancel_it(void *waiter)
{
    weft__waiter_cancel(waiter);
    return 0;
}

TEST(host_is_cancelled_like_any_thread)
{
    begin();
    start_apart(cancel_it, weft__self());
    CHECK_ERR(-ECANCELED, wait_for_flag(NULL));
}

static volatile sig_atomic_t struck;

static void strike(int number)
{
    (void)number;
    struck++;
}

static int kill_self(void *arg)
{
    (void)arg;
    for (int i = 0; i < 10; i++) {
        CHECK_OK(kill(getpid(), SIGUSR1));
        CHECK_OK(weft_sleep(weft_in_ms(1)));
    }
    return 0;
}

TEST(host_goes_on_after_signals)
{
    CHECK(signal(SIGUSR1, strike) != SIG_ERR);
    begin();
    CHECK_OK(join(start_apart(kill_self, NULL)));
    CHECK_INT(10, struck);
}

/* ---- exit in a handler of a signal, which came while the host slept: it waits for pools as in any thread ---- */

static void exit_now(int number)
{
    (void)number;
    exit(7);
}

/* Strikes the host in its sleep, and does not end before that one waits for it. */
static int strike_the_host(void *arg, void **result)
{
    (void)arg, (void)result;
    weft__sched *s = weft__sched_at(WEFT__SCHED_APART);
    while (load_seq_cst(&s->sleeping) == WEFT__AWAKE)
        CHECK_OK(sched_yield());
    CHECK_OK(kill(getpid(), SIGUSR1));
    while (!weft__waiter_asleep(&s->waiter))
        CHECK_OK(sched_yield());
    return 0;
}

static int only_the_host_is_struck(void *arg)
{
    (void)arg;
    sigset_t all;
    sigfillset(&all);
    return -pthread_sigmask(SIG_BLOCK, &all, NULL);
}

TEST(host_struck_in_its_sleep_may_exit)
{
    if (WEFT__TSAN)
        SKIP("exit in a handler of a signal is what the sanitizer ends it for");
    pid_t pid = fork();
    if (pid == 0) {
        CHECK(signal(SIGUSR1, exit_now) != SIG_ERR);
        begin();
        weft_executor *pool;
        weft_future *job;
        CHECK_OK(
            weft_thread_pool_new(&pool, &(weft_pool_options){.workers = 1, .initializer = only_the_host_is_struck}));
        CHECK_OK(weft_submit(pool, strike_the_host, NULL, &job));
        (void)wait_for_flag(NULL);
        _exit(1);
    }
    int status;
    CHECK_INT(pid, waitpid(pid, &status, 0));
    CHECK_INT(7, WEXITSTATUS(status));
}

static int exit_here(void *arg)
{
    (void)arg;
    exit(7);
}

/* What hangs on the host's stack alone is no leak. */
TEST(host_whose_coroutine_exits_leaks_nothing)
{
    pid_t pid = fork();
    if (pid == 0) {
        void **mine = alloca(sizeof *mine); /* a variable may lie elsewhere with AddressSanitizer */
        *mine = malloc(100);
        CHECK_OK(weft__host_begin());
        start_apart(exit_here, NULL);
        (void)wait_for_flag(NULL);
        free(*mine);
        _exit(1);
    }
    int status;
    CHECK_INT(pid, waitpid(pid, &status, 0));
    CHECK_INT(7, WEXITSTATUS(status));
}

/* ---- between its waits ---- */

static int tid_after_flag(void *arg)
{
    CHECK_OK(wait_for_flag(arg));
    return weft__sys_tid();
}

TEST(host_goes_on_with_what_is_left_when_it_waits_again)
{
    begin();
    weft_co *left = start_apart(tid_after_flag, NULL), *busy = start_apart(go_round, NULL);
    CHECK_OK(weft_sleep(weft_in_ms(2)));
    uint32_t before = load_seq_cst(&rounds);
    raise_flag();
    for (int i = 0; i < 1000; i++)
        CHECK_OK(sched_yield());
    CHECK_INT(before, load_seq_cst(&rounds));
    CHECK_INT(host_tid, join(left));
    CHECK(load_seq_cst(&rounds) > before);
    weft_co_cancel(busy);
    CHECK_OK(join(busy));
}

/* ---- fork ---- */

static int value_of_parent, value_of_coroutine;
static weft_local local = WEFT_LOCAL_INIT(NULL);

static int fork_here(void *arg)
{
    (void)arg;
    weft_local_set(&local, &value_of_coroutine);
    CHECK_OK(weft_sleep(weft_in_ms(1)));
    pid_t pid = fork();
    if (pid == 0) {
        CHECK_PTR(&value_of_coroutine, weft_local_get(&local));
        CHECK_INT(-1, weft__sched_index());
        CHECK_OK(weft_sleep(weft_in_ms(1)));
        CHECK_INT(0, weft__sleepers(&flag)); /* the host's wait is not in the child */
        begin();
        CHECK_INT(getpid(), join(start_apart(tid_of_caller, NULL)));
        CHECK(join(start(tid_of_caller, NULL)) != getpid());
        _exit(7);
    }
    int status;
    CHECK_INT(pid, waitpid(pid, &status, 0));
    CHECK_INT(7, WEXITSTATUS(status));
    raise_flag();
    return 0;
}

TEST(host_forked_by_its_coroutine_is_a_plain_thread_in_the_child)
{
    weft_local_set(&local, &value_of_parent);
    begin();
    weft_co *co = start_apart(fork_here, NULL);
    CHECK_OK(wait_for_flag(NULL));
    CHECK_OK(join(co));
    CHECK_PTR(&value_of_parent, weft_local_get(&local));
}

/* Between its waits; what it has hosted stays with the parent. */
TEST(host_that_forks_is_a_plain_thread_in_the_child)
{
    begin();
    CHECK_INT(host_tid, join(start_apart(tid_of_caller, NULL)));
    pid_t pid = fork();
    if (pid == 0) {
        CHECK_ERR(-ETIMEDOUT, weft_event_wait(&(weft_event)WEFT_EVENT_INIT, weft_in_ms(1)));
        CHECK_OK(weft_sleep(weft_in_ms(1)));
        CHECK_ERR(-EINVAL, weft__co_start_on(WEFT__SCHED_APART, NULL, tid_of_caller, NULL, NULL));
        begin();
        CHECK_INT(getpid(), join(start_apart(tid_of_caller, NULL)));
        _exit(7);
    }
    int status;
    CHECK_INT(pid, waitpid(pid, &status, 0));
    CHECK_INT(7, WEXITSTATUS(status));
    CHECK_INT(host_tid, join(start_apart(tid_of_caller, NULL)));
}

/* The host is not in the child: what it held is told to have lost its holder, and nobody inherits its shield. */
static weft_rlock held_by_host = WEFT_RLOCK_INIT;

static int fork_beside_the_host(void *arg)
{
    (void)arg;
    pid_t pid = fork();
    if (pid == 0) {
        CHECK_ERR(-EOWNERDEAD, weft_rlock_acquire_until(&held_by_host, WEFT_NOW));
        CHECK_INT(0, weft_shield(0));
        _exit(7);
    }
    int status;
    CHECK_INT(pid, waitpid(pid, &status, 0));
    CHECK_INT(7, WEXITSTATUS(status));
    return 0;
}

TEST(host_stays_behind_when_its_coroutine_forks)
{
    begin();
    weft_rlock_acquire(&held_by_host);
    int was = weft_shield(1);
    CHECK_OK(join(start_apart(fork_beside_the_host, NULL)));
    CHECK_INT(1, weft_shield(was));
    weft_rlock_release(&held_by_host);
}

/* ---- the waiter of a host that has gone is another thread's ---- */

enum {
    CROWD = 100 /* more than there are other free waiters */
};

static void *expect_no_pastime(void *barrier)
{
    CHECK_PTR(NULL, weft__self()->pastime);
    (void)pthread_barrier_wait(barrier);
    return NULL;
}

static void *fork_into_a_crowd(void *arg)
{
    (void)weft__self();
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t t[CROWD];
        pthread_barrier_t all_there;
        CHECK_OK(pthread_barrier_init(&all_there, NULL, CROWD));
        for (int i = 0; i < CROWD; i++)
            CHECK_OK(pthread_create(&t[i], NULL, expect_no_pastime, &all_there));
        for (int i = 0; i < CROWD; i++)
            CHECK_OK(pthread_join(t[i], NULL));
        _exit(7);
    }
    int status;
    CHECK_INT(pid, waitpid(pid, &status, 0));
    CHECK_INT(7, WEXITSTATUS(status));
    raise_flag();
    return arg;
}

TEST(host_left_behind_by_a_thread_that_forks_hosts_nothing_in_the_child)
{
    pthread_t t;
    begin();
    CHECK_OK(pthread_create(&t, NULL, fork_into_a_crowd, NULL));
    CHECK_OK(wait_for_flag(NULL));
    CHECK_OK(pthread_join(t, NULL));
}

/* ---- under load: two threads and coroutines of its own end its waits, at any moment ---- */

static weft_lock lock = WEFT_LOCK_INIT;
static uint32_t held, counted;

static int count_up(void *times)
{
    for (intptr_t i = (intptr_t)times; i > 0; i--) {
        weft_lock_acquire(&lock);
        CHECK_INT(0, held);
        held = 1;
        if (i % 7 == 0)
            weft_yield();
        counted++;
        held = 0;
        weft_lock_release(&lock);
    }
    return 0;
}

static void *count_in_thread(void *times)
{
    count_up(times);
    return NULL;
}

TEST(host_takes_a_lock_in_turn_with_its_coroutines_and_with_threads)
{
    enum {
        TIMES = 2000
    };
    pthread_t t[2];
    weft_co *co[2];
    begin();
    for (int i = 0; i < 2; i++) {
        CHECK_OK(pthread_create(&t[i], NULL, count_in_thread, (void *)TIMES));
        co[i] = start_apart(count_up, (void *)TIMES);
    }
    count_up((void *)TIMES);
    for (int i = 0; i < 2; i++)
        CHECK_OK(join(co[i]));
    for (int i = 0; i < 2; i++) /* no wait of weft's: the coroutines have ended */
        CHECK_OK(pthread_join(t[i], NULL));
    CHECK_INT(5 * TIMES, counted);
}
