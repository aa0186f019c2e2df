/* Threads: started once, joined by anybody, named, asked to stop. */
#include "base/atomic.h"
#include "harness/harness.h"
#include "park/park.h"
#include "sys/sys.h"

#include <weft/co.h>
#include <weft/debug.h>
#include <weft/event.h>
#include <weft/lock.h>
#include <weft/thread.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int double_it(void *arg)
{
    return (int)(intptr_t)arg * 2;
}

static int wait_for_event(void *arg)
{
    return weft_event_wait(arg, WEFT_FOREVER);
}

static int sleep_for_ever(void *arg)
{
    (void)arg;
    return weft_sleep(WEFT_FOREVER);
}

/* ---- starting and joining ---- */

/* S000-05, S001-91, S003-27 */
TEST_IN(THREAD | CO, thread_join_waits_for_the_end_and_gives_the_result)
{
    weft_thread all[5] = {0};
    for (int i = 0; i < 5; i++)
        CHECK_OK(weft_thread_start(&all[i], double_it, (void *)(intptr_t)i, NULL));
    for (int i = 4; i >= 0; i--) {
        int result = -1;
        CHECK_OK(weft_thread_join(&all[i], &result, WEFT_FOREVER));
        CHECK_INT(2 * i, result);
        CHECK_INT(0, weft_thread_alive(&all[i]));
    }
}

typedef struct joined {
    weft_thread t;
    weft_event end;
} joined;

static int join_it(void *arg)
{
    int result = 0;
    CHECK_OK(weft_thread_join(&((joined *)arg)->t, &result, WEFT_FOREVER));
    CHECK_INT(0, result);
    return 0;
}

TEST_IN(THREAD | CO, thread_may_be_joined_by_many_and_again)
{
    joined *j = test_alloc(t, sizeof *j);
    CHECK_OK(weft_thread_start(&j->t, wait_for_event, &j->end, NULL));
    for (int i = 0; i < 4; i++)
        test_spawn(t, join_it, j);
    weft_event_set(&j->end);
    test_join(t);
    for (int i = 0; i < 3; i++)
        CHECK_OK(join_it(j));
}

/* X-03, S001-91: join with a deadline */
TEST_IN(THREAD | CO, thread_join_gives_up_at_its_deadline_and_can_be_repeated)
{
    joined *j = test_alloc(t, sizeof *j);
    CHECK_OK(weft_thread_start(&j->t, wait_for_event, &j->end, NULL));
    int64_t start = weft_now();
    CHECK_ERR(-ETIMEDOUT, weft_thread_join(&j->t, NULL, weft_in_ms(20)));
    CHECK(weft_now() - start >= 20 * WEFT_MS);
    CHECK_ERR(-ETIMEDOUT, weft_thread_join(&j->t, NULL, WEFT_NOW));
    CHECK_INT(1, weft_thread_alive(&j->t));
    weft_event_set(&j->end);
    CHECK_OK(weft_thread_join(&j->t, NULL, WEFT_FOREVER));
    CHECK_OK(weft_thread_join(&j->t, NULL, WEFT_NOW)); /* the end beats the deadline */
}

static int join_until_cancelled(void *arg)
{
    CHECK_ERR(-ECANCELED, weft_thread_join(&((joined *)arg)->t, NULL, WEFT_FOREVER));
    return 7;
}

TEST(thread_join_is_ended_by_cancelling_the_joiner)
{
    joined j = {0};
    weft_thread joiner = WEFT_THREAD_INIT;
    int result;
    CHECK_OK(weft_thread_start(&j.t, wait_for_event, &j.end, NULL));
    CHECK_OK(weft_thread_start(&joiner, join_until_cancelled, &j, NULL));
    CHECK_OK(weft_thread_cancel(&joiner));
    CHECK_OK(weft_thread_join(&joiner, &result, WEFT_FOREVER));
    CHECK_INT(7, result);
    CHECK_INT(1, weft_thread_alive(&j.t));
    weft_event_set(&j.end);
    CHECK_OK(weft_thread_join(&j.t, &result, WEFT_FOREVER));
    CHECK_INT(0, result);
}

/* */
TEST(thread_can_be_started_once_and_joined_only_then)
{
    weft_thread t = WEFT_THREAD_INIT;
    CHECK_ERR(-WEFT_ENOTSTARTED, weft_thread_join(&t, NULL, WEFT_FOREVER));
    CHECK_ERR(-WEFT_ENOTSTARTED, weft_thread_detach(&t));
    CHECK_ERR(-WEFT_ENOTSTARTED, weft_thread_cancel(&t));
    CHECK_ERR(-WEFT_ENOTSTARTED, weft_thread_set_name(&t, "x"));
    CHECK_ERR(-EINVAL, weft_thread_start(&t, NULL, NULL, NULL));
    CHECK_OK(weft_thread_start(&t, double_it, NULL, NULL));
    CHECK_ERR(-WEFT_ESTARTED, weft_thread_start(&t, double_it, NULL, NULL));
    CHECK_OK(weft_thread_join(&t, NULL, WEFT_FOREVER));
    CHECK_ERR(-WEFT_ESTARTED, weft_thread_start(&t, double_it, NULL, NULL));
    CHECK_OK(weft_thread_cancel(&t)); /* too late, and no mistake */
    CHECK_STR("A thread can only be started once", weft_strerror(-WEFT_ESTARTED));
}

static int join_oneself(void *arg)
{
    weft_thread *t = arg;
    CHECK_ERR(-EDEADLK, weft_thread_join(t, NULL, WEFT_FOREVER));
    CHECK_ERR(-EDEADLK, weft_thread_join(weft_thread_self(), NULL, WEFT_FOREVER));
    return 0;
}

/* P181 */
TEST(thread_joining_oneself_is_an_error)
{
    weft_thread t = WEFT_THREAD_INIT;
    int result;
    CHECK_OK(weft_thread_start(&t, join_oneself, &t, NULL));
    CHECK_OK(weft_thread_join(&t, &result, WEFT_FOREVER));
    CHECK_INT(0, result);
    CHECK_ERR(-EDEADLK, weft_thread_join(weft_thread_self(), NULL, WEFT_FOREVER));
}

static int join_main(void *arg)
{
    (void)arg;
    CHECK_ERR(-EINVAL, weft_thread_join(weft_thread_main(), NULL, WEFT_FOREVER));
    CHECK_ERR(-EINVAL, weft_thread_detach(weft_thread_main()));
    return 0;
}

TEST(thread_main_cannot_be_joined)
{
    weft_thread t = WEFT_THREAD_INIT;
    CHECK_OK(weft_thread_start(&t, join_main, NULL, NULL));
    CHECK_OK(weft_thread_join(&t, NULL, WEFT_FOREVER));
}

/* P181 */
TEST(thread_that_cannot_start_is_as_before_and_leaks_nothing)
{
    weft_thread t = WEFT_THREAD_INIT;
    weft__sys_plan(WEFT__SYS_THREAD, 1, 2000, -EAGAIN, 0);
    long before = 0;
    for (int i = 0; i < 2000; i++) {
        CHECK_ERR(-EAGAIN, weft_thread_start(&t, double_it, NULL, NULL));
        CHECK_INT(1, weft_threads_count());
        CHECK_INT(0, weft_thread_alive(&t));
        CHECK_ERR(-WEFT_ENOTSTARTED, weft_thread_join(&t, NULL, WEFT_FOREVER));
        if (i == 100)
            before = test_rss_kb();
    }
    weft__sys_plan_none();
    CHECK(WEFT__ASAN || test_rss_kb() - before < 300); /* that one keeps what is freed for a while */
    CHECK_ERR(-EINVAL, weft_thread_start(&t, double_it, NULL, &(weft_thread_options){.stack_size = SIZE_MAX}));
    CHECK_OK(weft_thread_start(&t, double_it, (void *)21, NULL));
    int result;
    CHECK_OK(weft_thread_join(&t, &result, WEFT_FOREVER));
    CHECK_INT(42, result);
}

TEST(thread_start_without_memory_says_so)
{
    weft_thread t = WEFT_THREAD_INIT;
    weft__sys_plan(WEFT__SYS_MALLOC, 1, 1, -ENOMEM, 0);
    CHECK_ERR(-ENOMEM, weft_thread_start(&t, double_it, NULL, NULL));
    weft__sys_plan_none();
    CHECK_OK(weft_thread_start(&t, double_it, NULL, NULL));
    CHECK_OK(weft_thread_join(&t, NULL, WEFT_FOREVER));
}

/* P181, A14 */
TEST_LIMIT(60, thread_records_are_used_again)
{
    long before = 0, rounds = test_rounds(5000, 100000);
    for (long i = 0; i < rounds; i++) {
        weft_thread t = WEFT_THREAD_INIT;
        CHECK_OK(weft_thread_start(&t, double_it, NULL, NULL));
        if (i % 2 == 0)
            CHECK_OK(weft_thread_join(&t, NULL, WEFT_FOREVER));
        else
            CHECK_OK(weft_thread_detach(&t));
        if (i == rounds / 2)
            before = test_rss_kb();
    }
    while (weft_threads_count() > 1)
        weft_yield();
    CHECK(WEFT__ASAN || test_rss_kb() - before < 2000 * test_limit_factor());
}

static int leave(void *arg)
{
    pthread_exit(arg);
}

TEST_IN(THREAD | CO, thread_that_leaves_by_pthread_exit_wakes_its_joiner)
{
    weft_thread th = WEFT_THREAD_INIT;
    int result;
    CHECK_OK(weft_thread_start(&th, leave, NULL, NULL));
    CHECK_OK(weft_thread_join(&th, &result, WEFT_FOREVER));
    CHECK_INT(-ECANCELED, result);
}

static pthread_key_t data;
static uint32_t destroyed; /* atomic: rounds of thread-specific data that were destroyed */
static weft_event last_words = WEFT_EVENT_INIT;

static void destroy_slowly(void *value)
{
    for (int i = 0; i < 100; i++)
        sched_yield();
    uint32_t round = add_seq_cst(&destroyed, 1) + 1;
    if (round < (uintptr_t)value)
        pthread_setspecific(data, value);
    if (round == 3)                                 /* the fourth and last is a sanitizer's own */
        while (load_seq_cst(&last_words.word) == 0) /* it has no waiter any more */
            sched_yield();
}

static int set_data(void *arg)
{
    pthread_setspecific(data, arg);
    return 0;
}

TEST_IN(THREAD | CO, thread_join_returns_when_thread_specific_data_is_gone)
{
    weft_thread th = WEFT_THREAD_INIT;
    CHECK_INT(0, pthread_key_create(&data, destroy_slowly));
    CHECK_OK(weft_thread_start(&th, set_data, (void *)1, NULL));
    CHECK_OK(weft_thread_join(&th, NULL, WEFT_FOREVER));
    CHECK_INT(1, load_seq_cst(&destroyed));
}

static void *allow_last_words(void *arg)
{
    (void)arg;
    while (weft__sys_seen(WEFT__SYS_THREAD) == 0)
        sched_yield();
    weft_event_set(&last_words);
    return NULL;
}

/* P181: what a thread on its last instructions still has is waited for before a start fails for want of it */
TEST(thread_start_waits_for_threads_that_are_about_to_go)
{
    weft_thread leaving = WEFT_THREAD_INIT, next = WEFT_THREAD_INIT;
    pthread_t helper;
    CHECK_INT(0, pthread_key_create(&data, destroy_slowly));
    CHECK_OK(weft_thread_start(&leaving, set_data, (void *)3, NULL));
    CHECK_OK(weft_thread_join(&leaving, NULL, WEFT_FOREVER)); /* it is still in its third round */
    CHECK_INT(0, pthread_create(&helper, NULL, allow_last_words, NULL));
    weft__sys_plan(WEFT__SYS_THREAD, 1, 1, -EAGAIN, 0);
    CHECK_OK(weft_thread_start(&next, double_it, NULL, NULL));
    weft__sys_plan_none();
    CHECK_INT(3, load_seq_cst(&destroyed));
    CHECK_OK(weft_thread_join(&next, NULL, WEFT_FOREVER));
    CHECK_INT(0, pthread_join(helper, NULL));
}

/* S003-26, S000-14: a hundred threads that each take one away */
static int take_one(void *arg)
{
    static weft_lock l = WEFT_LOCK_INIT;
    WEFT_WITH_LOCK (&l)
        --*(int *)arg;
    return 0;
}

TEST_IN(THREAD | CO, thread_hundred_of_them_share_data_under_a_lock)
{
    int n = 100;
    weft_thread all[100] = {0};
    for (int i = 0; i < 100; i++)
        CHECK_OK(weft_thread_start(&all[i], take_one, &n, NULL));
    for (int i = 0; i < 100; i++)
        CHECK_OK(weft_thread_join(&all[i], NULL, WEFT_FOREVER));
    CHECK_INT(0, n);
}

static int nap(void *arg)
{
    (void)arg;
    return weft_sleep(weft_in_ms(200));
}

/* S000-11, S001-90: they sleep at the same time */
TEST(thread_sleeps_of_several_pass_at_the_same_time)
{
    weft_thread all[40] = {0}; /* one after the other they would take eight seconds */
    int64_t start = weft_now();
    for (int i = 0; i < 40; i++)
        CHECK_OK(weft_thread_start(&all[i], nap, NULL, NULL));
    for (int i = 0; i < 40; i++)
        CHECK_OK(weft_thread_join(&all[i], NULL, WEFT_FOREVER));
    CHECK_BETWEEN(200 * WEFT_MS, 7 * WEFT_SECOND, weft_now() - start);
}

static int tell_stack(void *arg)
{
    pthread_attr_t attr;
    CHECK_INT(0, pthread_getattr_np(pthread_self(), &attr));
    CHECK_INT(0, pthread_attr_getstacksize(&attr, arg));
    pthread_attr_destroy(&attr);
    return 0;
}

TEST(thread_stack_is_as_large_as_asked_for)
{
    const size_t asked[] = {1, 100000, 3 << 20};
    for (int i = 0; i < 3; i++) {
        size_t got = 0;
        weft_thread t = WEFT_THREAD_INIT;
        if (asked[i] < 65536 && (WEFT__ASAN || WEFT__TSAN))
            continue; /* their own thread data needs more than the least */
        CHECK_OK(weft_thread_start(&t, tell_stack, &got, &(weft_thread_options){.stack_size = asked[i]}));
        CHECK_OK(weft_thread_join(&t, NULL, WEFT_FOREVER));
        CHECK(got >= asked[i]);
        CHECK_INT(0, WEFT__TSAN ? 0 : got % (size_t)sysconf(_SC_PAGESIZE)); /* that one adds its own */
    }
}

/* ---- object style ---- */

typedef struct my_thread {
    weft_thread base;
    int a, b, sum;
    uint64_t ident;
} my_thread;

static int run_mine(weft_thread *t)
{
    my_thread *mine = WEFT_CONTAINER(t, my_thread, base);
    mine->sum = mine->a + mine->b;
    mine->ident = weft_thread_ident(t);
    CHECK_PTR(t, weft_thread_self());
    return 0;
}

/* S000-13, S001-93 */
TEST_IN(THREAD | CO, thread_in_object_style_finds_its_struct)
{
    my_thread mine = {.a = 3, .b = 4};
    CHECK_OK(weft_thread_run(&mine.base, run_mine, NULL));
    uint64_t ident = weft_thread_ident(&mine.base);
    CHECK_OK(weft_thread_join(&mine.base, NULL, WEFT_FOREVER));
    CHECK_INT(7, mine.sum);
    CHECK_INT((long long)ident, (long long)mine.ident);
    CHECK_ERR(-EINVAL, weft_thread_run(&mine.base, NULL, NULL));
}

/* ---- names and numbers ---- */

typedef struct known {
    uint64_t ident;
    int native_id;
    char name[64];
    weft_event *end;
} known;

static int tell_self(void *arg)
{
    known *k = arg;
    k->ident = weft_thread_ident(weft_thread_self());
    k->native_id = weft_thread_native_id(weft_thread_self());
    weft_thread_name(weft_thread_self(), k->name, sizeof k->name);
    return k->end != NULL ? weft_event_wait(k->end, WEFT_FOREVER) : 0;
}

/* S000-06, S000-07 */
TEST_IN(THREAD | CO, thread_numbers_are_the_same_inside_and_outside)
{
    known k[2] = {0};
    weft_thread th[2] = {0};
    CHECK_INT(0, (long long)weft_thread_ident(&th[0]));
    CHECK_INT(0, weft_thread_native_id(&th[0]));
    for (int i = 0; i < 2; i++)
        CHECK_OK(weft_thread_start(&th[i], tell_self, &k[i], NULL));
    for (int i = 0; i < 2; i++) {
        uint64_t ident = weft_thread_ident(&th[i]);
        int native = weft_thread_native_id(&th[i]);
        CHECK(ident != 0 && native != 0);
        CHECK_OK(weft_thread_join(&th[i], NULL, WEFT_FOREVER));
        CHECK_INT((long long)ident, (long long)k[i].ident);
        CHECK_INT(native, k[i].native_id);
        CHECK_INT((long long)ident, (long long)weft_thread_ident(&th[i])); /* known after the end, too */
        CHECK_INT(native, weft_thread_native_id(&th[i]));
    }
    CHECK(k[0].ident != k[1].ident);
}

/* S004-30, S004-31, S001-92 */
TEST(thread_names_are_given_or_counted)
{
    known k[4] = {0};
    weft_thread t[4] = {0};
    const char *const given[] = {NULL, "LoopThread", NULL, "a name that is longer than thirty-one bytes"};
    const char *const expected[] = {"Thread-1", "LoopThread", "Thread-2", "a name that is longer than thir"};
    for (int i = 0; i < 4; i++)
        CHECK_OK(weft_thread_start(&t[i], tell_self, &k[i], &(weft_thread_options){.name = given[i]}));
    for (int i = 0; i < 4; i++) {
        char name[64], short_name[4];
        CHECK_STR(expected[i], weft_thread_name(&t[i], name, sizeof name));
        CHECK_OK(weft_thread_join(&t[i], NULL, WEFT_FOREVER));
        CHECK_STR(expected[i], k[i].name);
        CHECK_STR(expected[i], weft_thread_name(&t[i], name, sizeof name));
        CHECK_INT(3, (int)strlen(weft_thread_name(&t[i], short_name, sizeof short_name)));
    }
}

TEST(thread_name_is_cut_where_a_character_ends)
{
    weft_thread t = WEFT_THREAD_INIT;
    char name[64];
    CHECK_OK(weft_thread_start(&t, double_it, NULL,
                               &(weft_thread_options){.name = "凉凉凉凉凉凉凉凉凉凉凉凉"})); /* three bytes each */
    CHECK_STR("凉凉凉凉凉凉凉凉凉凉", weft_thread_name(&t, name, sizeof name));
    CHECK_STR("凉凉", weft_thread_name(&t, name, 9));
    CHECK_STR("", weft_thread_name(&t, name, 1));
    CHECK_OK(weft_thread_join(&t, NULL, WEFT_FOREVER));
}

static void find_sleeper(const weft_sleeper *s, void *arg)
{
    if (strcmp(s->name, "the second name of the thread") == 0)
        *(int *)arg += 1;
}

/* S001-92 */
TEST(thread_may_be_renamed_and_the_kernel_and_reports_know)
{
    weft_event end = WEFT_EVENT_INIT;
    known k = {.end = &end};
    weft_thread t = WEFT_THREAD_INIT;
    char name[64];
    CHECK_OK(weft_thread_start(&t, tell_self, &k, NULL));
    int tid = weft_thread_native_id(&t);
    while (weft__sleepers(&end.word) == 0)
        weft_yield();
    weft__sys_thread_name(tid, name, sizeof name);
    CHECK_STR("Thread-1", name);
    CHECK_OK(weft_thread_set_name(&t, "the second name of the thread"));
    CHECK_STR("the second name of the thread", weft_thread_name(&t, name, sizeof name));
    weft__sys_thread_name(tid, name, sizeof name);
    CHECK_STR("the second name", name);
    int found = 0;
    for (; found == 0; weft_yield()) /* who is in a queue is listed a moment later, once it sleeps */
        weft_sleepers_each(find_sleeper, &found);
    CHECK_INT(1, found);
    weft_event_set(&end);
    CHECK_OK(weft_thread_join(&t, NULL, WEFT_FOREVER));
    CHECK_OK(weft_thread_set_name(&t, "the third"));
    CHECK_STR("the third", weft_thread_name(&t, name, sizeof name));
}

/* S000-16, S001-92 */
TEST(thread_daemon_is_told)
{
    weft_thread t[2] = {0};
    for (int i = 0; i < 2; i++) {
        CHECK_OK(weft_thread_start(&t[i], double_it, NULL, &(weft_thread_options){.daemon = i}));
        CHECK_INT(i, weft_thread_daemon(&t[i]));
        CHECK_OK(weft_thread_join(&t[i], NULL, WEFT_FOREVER));
        CHECK_INT(i, weft_thread_daemon(&t[i]));
    }
}

/* ---- asked to stop ---- */

/* S000-10: no thread is ended from outside; it is asked, and leaves by its own way out */
TEST_IN(THREAD | CO, thread_cancelled_leaves_its_wait)
{
    for (long i = 0; i < test_rounds(200, 5000); i++) {
        weft_thread th = WEFT_THREAD_INIT;
        int result;
        CHECK_OK(weft_thread_start(&th, sleep_for_ever, NULL, NULL));
        if (i % 2 == 0)
            CHECK(weft_thread_native_id(&th) != 0); /* it runs; else perhaps not yet */
        CHECK_OK(weft_thread_cancel(&th));
        CHECK_OK(weft_thread_cancel(&th));
        CHECK_OK(weft_thread_join(&th, &result, WEFT_FOREVER));
        CHECK_INT(-ECANCELED, result);
    }
}

static int not_cancelled(void *arg)
{
    (void)arg;
    return weft_cancelled();
}

TEST(thread_is_not_cancelled_by_what_was_asked_of_an_earlier_one)
{
    weft_thread first = WEFT_THREAD_INIT, second = WEFT_THREAD_INIT;
    int result;
    CHECK_OK(weft_thread_start(&first, sleep_for_ever, NULL, NULL));
    CHECK_OK(weft_thread_cancel(&first));
    CHECK_OK(weft_thread_join(&first, NULL, WEFT_FOREVER));
    CHECK_OK(weft_thread_start(&second, not_cancelled, NULL, NULL));
    CHECK_OK(weft_thread_join(&second, &result, WEFT_FOREVER));
    CHECK_INT(0, result);
}

/* ---- nobody joins ---- */

TEST_IN(THREAD | CO, thread_detached_goes_on_and_its_handle_is_free)
{
    weft_event end[2] = {WEFT_EVENT_INIT, WEFT_EVENT_INIT};
    weft_thread th = WEFT_THREAD_INIT;
    for (int i = 0; i < 2; i++) {
        CHECK_OK(weft_thread_start(&th, wait_for_event, &end[i], NULL));
        CHECK_OK(weft_thread_detach(&th));
        CHECK_ERR(-EINVAL, weft_thread_join(&th, NULL, WEFT_FOREVER));
        CHECK_ERR(-WEFT_ENOTSTARTED, weft_thread_detach(&th));
        CHECK_INT(0, weft_thread_alive(&th));
    }
    CHECK_INT(3, weft_threads_count());
    weft_event_set(&end[0]);
    weft_event_set(&end[1]);
    while (weft_threads_count() > 1)
        weft_yield();
}

static int fail(void *arg)
{
    return (int)(intptr_t)arg;
}

typedef struct heard {
    int calls, error, with_handle;
    char name[64];
} heard;

static void hear(const weft_thread_info *info, int error, void *arg)
{
    heard *h = arg;
    h->calls++;
    h->error = error;
    h->with_handle = info->handle != NULL;
    snprintf(h->name, sizeof h->name, "%s", info->name);
}

TEST(thread_errors_are_heard_before_the_joiner_wakes)
{
    heard h = {0};
    weft_thread t[3] = {0};
    weft_thread_on_error(hear, &h);
    CHECK_OK(weft_thread_start(&t[0], fail, (void *)-EIO, &(weft_thread_options){.name = "failing"}));
    CHECK_OK(weft_thread_join(&t[0], NULL, WEFT_FOREVER));
    CHECK_INT(1, h.calls);
    CHECK_INT(-EIO, h.error);
    CHECK_INT(1, h.with_handle);
    CHECK_STR("failing", h.name);
    CHECK_OK(weft_thread_start(&t[1], fail, (void *)5, NULL)); /* no failure */
    CHECK_OK(weft_thread_join(&t[1], NULL, WEFT_FOREVER));
    weft_thread_on_error(NULL, NULL);
    CHECK_OK(weft_thread_start(&t[2], fail, (void *)-EIO, NULL));
    CHECK_OK(weft_thread_join(&t[2], NULL, WEFT_FOREVER));
    CHECK_INT(1, h.calls);
}

typedef struct failing {
    weft_event go;
    int result;
} failing;

static int fail_later(void *arg)
{
    failing *f = arg;
    weft_event_wait(&f->go, WEFT_FOREVER);
    return f->result;
}

/* What is written to standard error by a thread that ends with this result. */
static void stderr_of(int result, bool detached, char *buf, size_t size)
{
    int fds[2], keep = dup(STDERR_FILENO);
    failing f = {WEFT_EVENT_INIT, result};
    weft_thread t = WEFT_THREAD_INIT;
    CHECK_INT(0, pipe(fds));
    CHECK_INT(STDERR_FILENO, dup2(fds[1], STDERR_FILENO));
    CHECK_OK(weft_thread_start(&t, fail_later, &f, &(weft_thread_options){.name = "failing"}));
    if (detached)
        CHECK_OK(weft_thread_detach(&t));
    weft_event_set(&f.go);
    if (!detached)
        CHECK_OK(weft_thread_join(&t, NULL, WEFT_FOREVER));
    while (weft_threads_count() > 1)
        weft_yield();
    CHECK_INT(STDERR_FILENO, dup2(keep, STDERR_FILENO));
    close(fds[1]);
    ssize_t n = read(fds[0], buf, size - 1);
    buf[n < 0 ? 0 : n] = 0;
    close(fds[0]);
    close(keep);
}

TEST(thread_detached_that_fails_leaves_a_line)
{
    char line[256];
    stderr_of(-EIO, true, line, sizeof line);
    CHECK(strstr(line, "thread \"failing\"") != NULL);
    CHECK(strstr(line, "error 5") != NULL);
    stderr_of(-EIO, false, line, sizeof line);
    CHECK_STR("", line);
    stderr_of(-ECANCELED, true, line, sizeof line);
    CHECK_STR("", line);
}

/* ---- all at once ---- */

enum {
    CROWD = 8
};

static weft_thread crowd[CROWD];
static uint32_t stop; /* atomic */

static int pry(void *arg)
{
    char name[64];
    unsigned seed = (unsigned)(uintptr_t)arg;
    while (load_relaxed(&stop) == 0) {
        weft_thread *t = &crowd[(unsigned)rand_r(&seed) % CROWD];
        weft_thread_name(t, name, sizeof name);
        weft_thread_set_name(t, "renamed");
        weft_thread_alive(t);
        weft_thread_ident(t);
        weft_thread_cancel(t);
        int err = weft_thread_join(t, NULL, WEFT_NOW);
        CHECK(err == 0 || err == -ETIMEDOUT || err == -WEFT_ENOTSTARTED);
        weft_threads_count();
    }
    return 0;
}

TEST_LIMIT(60, thread_handles_bear_all_calls_at_once)
{
    weft_thread prying[3] = {0};
    for (long round = 0; round < test_rounds(20, 1000); round++) {
        memset(crowd, 0, sizeof crowd);
        store_seq_cst(&stop, 0);
        for (int i = 0; i < 3; i++)
            CHECK_OK(weft_thread_start(&prying[i], pry, (void *)(uintptr_t)(i + 1 + round), NULL));
        for (int i = 0; i < CROWD; i++)
            CHECK_OK(weft_thread_start(&crowd[i], sleep_for_ever, NULL, NULL));
        for (int i = 0; i < CROWD; i++) {
            int result;
            weft_thread_cancel(&crowd[i]);
            CHECK_OK(weft_thread_join(&crowd[i], &result, WEFT_FOREVER));
            CHECK_INT(-ECANCELED, result);
        }
        store_seq_cst(&stop, 1);
        for (int i = 0; i < 3; i++) {
            CHECK_OK(weft_thread_join(&prying[i], NULL, WEFT_FOREVER));
            prying[i] = (weft_thread)WEFT_THREAD_INIT;
        }
    }
    CHECK_INT(1, weft_threads_count());
}

static weft_thread not_to_be;
static uint32_t enough; /* atomic */

static int ask_its_number(void *arg)
{
    (void)arg;
    while (load_relaxed(&enough) == 0)
        CHECK(weft_thread_native_id(&not_to_be) <= 0);
    return 0;
}

/* The word that who asks sleeps on did not change when the start failed. */
TEST_LIMIT(60, thread_that_cannot_be_started_lets_go_of_whoever_asks_for_its_number)
{
    weft_thread asker;
    CHECK_OK(weft_thread_start(&asker, ask_its_number, NULL, NULL));
    weft__sys_plan(WEFT__SYS_THREAD, 1, UINT32_MAX, -EAGAIN, 0);
    for (int i = 0; i < 30000; i++)
        CHECK_ERR(-EAGAIN, weft_thread_start(&not_to_be, double_it, NULL, NULL));
    weft__sys_plan_none();
    store_relaxed(&enough, 1);
    CHECK_OK(weft_thread_join(&asker, NULL, weft_in(5 * WEFT_SECOND)));
}
