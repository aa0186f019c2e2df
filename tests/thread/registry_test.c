/* Who is on the list of threads, who the calling one is, and what a fork leaves of both. */
#include "base/atomic.h"
#include "harness/harness.h"
#include "park/park.h"
#include "sys/sys.h"

#include <weft/co.h>
#include <weft/event.h>
#include <weft/thread.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct seen {
    int n;
    weft_thread_info info[16];
    char names[16][64];
} seen;

static void see(const weft_thread_info *info, void *arg)
{
    seen *s = arg;
    s->info[s->n] = *info;
    snprintf(s->names[s->n++], 64, "%s", info->name);
}

static int wait_for_event(void *arg)
{
    return weft_event_wait(arg, WEFT_FOREVER);
}

/* ---- the list ---- */

/* S000-08, S000-09 */
TEST(registry_lists_main_and_all_that_live)
{
    weft_event end = WEFT_EVENT_INIT;
    weft_thread t[3] = {0};
    seen s = {0};
    for (int i = 0; i < 3; i++)
        CHECK_OK(weft_thread_start(&t[i], wait_for_event, &end, &(weft_thread_options){.daemon = i == 2}));
    CHECK_OK(weft_thread_set_name(&t[1], "another"));
    CHECK(weft_thread_native_id(&t[2]) != 0);
    CHECK_INT(4, weft_threads_count());
    CHECK_INT(4, weft_threads_each(see, &s));
    CHECK_INT(4, s.n);
    const char *const names[] = {"MainThread", "Thread-1", "another", "Thread-3"};
    for (int i = 0; i < 4; i++) {
        CHECK_STR(names[i], s.names[i]);
        CHECK_INT(i == 0, s.info[i].main);
        CHECK_INT(i == 3, s.info[i].daemon);
        CHECK_PTR(i == 0 ? NULL : &t[i - 1], s.info[i].handle);
        CHECK_INT((long long)weft_thread_ident(i == 0 ? weft_thread_main() : &t[i - 1]), (long long)s.info[i].ident);
    }
    CHECK_INT(getpid(), s.info[0].native_id);
    CHECK_INT(weft_thread_native_id(&t[2]), s.info[3].native_id);
    weft_event_set(&end);
    for (int i = 0; i < 3; i++)
        CHECK_OK(weft_thread_join(&t[i], NULL, WEFT_FOREVER));
    CHECK_INT(1, weft_threads_count());
}

static void join_it(const weft_thread_info *info, void *arg)
{
    (void)arg;
    if (info->handle != NULL)
        CHECK_OK(weft_thread_join(info->handle, NULL, WEFT_FOREVER));
    weft_thread t = WEFT_THREAD_INIT;
    CHECK_OK(weft_thread_start(&t, wait_for_event, &(weft_event){1, 0}, NULL));
    CHECK_OK(weft_thread_join(&t, NULL, WEFT_FOREVER));
}

/* The idiom of Python's tutorials: for each thread that is not this one, join it. */
TEST_IN(THREAD | CO, registry_walk_may_start_and_join)
{
    weft_event now = WEFT_EVENT_INIT;
    weft_thread th[3] = {0};
    weft_event_set(&now);
    for (int i = 0; i < 3; i++)
        CHECK_OK(weft_thread_start(&th[i], wait_for_event, &now, NULL));
    CHECK_BETWEEN(1, 4, weft_threads_each(join_it, NULL));
    CHECK_INT(1, weft_threads_count());
    for (int i = 0; i < 3; i++)
        CHECK_OK(weft_thread_join(&th[i], NULL, WEFT_FOREVER));
}

TEST(registry_walk_without_memory_says_so)
{
    seen s = {0};
    weft__sys_plan(WEFT__SYS_MALLOC, 1, 1, -ENOMEM, 0);
    CHECK_ERR(-ENOMEM, weft_threads_each(see, &s));
    weft__sys_plan_none();
    CHECK_INT(0, s.n);
}

static void *be_foreign(void *arg)
{
    pthread_setname_np(pthread_self(), "foreign");
    weft_event *end = arg;
    weft_event_wait(end, WEFT_FOREVER);
    CHECK_INT(2, weft_threads_count());
    return NULL;
}

/* S004-29: threads of the lower layer are known to the upper one */
TEST(registry_lists_a_foreign_thread_from_its_first_wait_to_its_end)
{
    weft_event end = WEFT_EVENT_INIT;
    seen s = {0};
    pthread_t t;
    CHECK_INT(0, pthread_create(&t, NULL, be_foreign, &end));
    while (weft__sleepers(&end.word) == 0)
        weft_yield();
    CHECK_INT(2, weft_threads_each(see, &s));
    CHECK_STR("foreign", s.names[1]);
    CHECK_INT(0, s.info[1].main);
    CHECK_PTR(NULL, s.info[1].handle);
    weft_event_set(&end);
    CHECK_INT(0, pthread_join(t, NULL));
    CHECK_INT(1, weft_threads_count());
}

static void *be_someone(void *arg)
{
    weft_thread *self = weft_thread_self();
    CHECK_PTR(self, weft_thread_self());
    CHECK(self != weft_thread_main());
    CHECK(weft_thread_ident(self) != weft_thread_ident(weft_thread_main()));
    CHECK_INT(weft__sys_tid(), weft_thread_native_id(self));
    CHECK_INT(1, weft_thread_alive(self));
    CHECK_OK(weft_thread_set_name(self, "someone else's thread"));
    CHECK_ERR(-EDEADLK, weft_thread_join(self, NULL, WEFT_FOREVER));
    CHECK_ERR(-EINVAL, weft_thread_detach(self));
    char name[64];
    CHECK_STR("someone else's thread", weft_thread_name(self, name, sizeof name));
    return arg;
}

TEST(registry_foreign_threads_have_handles_of_our_making)
{
    for (int i = 0; i < 50; i++) {
        pthread_t t;
        CHECK_INT(0, pthread_create(&t, NULL, be_someone, NULL));
        CHECK_INT(0, pthread_join(t, NULL));
        CHECK_INT(1, weft_threads_count());
    }
}

static int in_helper(void *arg)
{
    char name[64];
    CHECK(weft_thread_self() != weft_thread_main());
    CHECK_INT(1, weft_threads_count());
    weft_thread_name(weft_thread_self(), name, sizeof name);
    CHECK_STR("weft-blocking", name);
    (void)arg;
    return 0;
}

static int in_coroutine(void *arg)
{
    uint64_t *ident = arg;
    *ident = weft_thread_ident(weft_thread_self());
    CHECK_INT(weft__sys_tid(), weft_thread_native_id(weft_thread_self()));
    weft_yield();
    CHECK_INT((long long)*ident, (long long)weft_thread_ident(weft_thread_self()));
    CHECK_OK(weft_blocking(in_helper, NULL));
    return 0;
}

/* S000-06 for coroutines: they have their scheduler thread's number, and that is on no list. */
TEST(registry_leaves_helpers_out)
{
    uint64_t ident = 0;
    weft_co *co;
    CHECK_OK(weft_co_start(&co, in_coroutine, &ident, NULL));
    CHECK_OK(weft_co_join(co, NULL, WEFT_FOREVER));
    CHECK(ident != 0 && ident != weft_thread_ident(weft_thread_main()));
    CHECK_INT(1, weft_threads_count());
}

/* S004-30 */
TEST(registry_main_is_main)
{
    char name[64];
    CHECK_PTR(weft_thread_main(), weft_thread_self());
    CHECK_STR("MainThread", weft_thread_name(weft_thread_self(), name, sizeof name));
    CHECK_INT(getpid(), weft_thread_native_id(weft_thread_self()));
    CHECK_INT(0, weft_thread_daemon(weft_thread_self()));
    CHECK_INT(1, weft_thread_alive(weft_thread_self()));
    weft__sys_thread_name(getpid(), name, sizeof name);
    CHECK(strcmp(name, "MainThread") != 0); /* what others know the process by stays */
    CHECK_OK(weft_thread_cancel(weft_thread_main()));
    CHECK_ERR(-ECANCELED, weft_sleep(WEFT_FOREVER));
}

/* ---- fork ---- */

static int be_child_main(weft_thread *others, weft_event *end)
{
    char name[64];
    int result = 0;
    CHECK_PTR(weft_thread_main(), weft_thread_self());
    CHECK_STR("MainThread", weft_thread_name(weft_thread_self(), name, sizeof name));
    CHECK_INT(getpid(), weft_thread_native_id(weft_thread_main()));
    CHECK_INT(1, weft_threads_count());
    CHECK_OK(weft_thread_join(others, &result, WEFT_FOREVER)); /* it is not here */
    CHECK_INT(-ECANCELED, result);
    weft_event_init(end, 0);
    weft_thread t = WEFT_THREAD_INIT;
    CHECK_OK(weft_thread_start(&t, wait_for_event, end, NULL));
    CHECK_INT(2, weft_threads_count());
    weft_event_set(end);
    CHECK_OK(weft_thread_join(&t, &result, WEFT_FOREVER));
    CHECK_INT(0, result);
    return 0;
}

typedef struct forking {
    weft_thread other;
    weft_event end;
} forking;

static int fork_once(void *arg)
{
    forking *f = arg;
    pid_t pid = fork();
    if (pid == 0)
        _exit(be_child_main(&f->other, &f->end));
    int status;
    CHECK_INT(pid, waitpid(pid, &status, 0));
    CHECK_INT(0, status);
    return 0;
}

/* 134 */
TEST_IN(THREAD | CO, registry_child_of_fork_has_one_thread_its_main)
{
    forking *f = test_alloc(t, sizeof *f);
    CHECK_OK(weft_thread_start(&f->other, wait_for_event, &f->end, NULL));
    fork_once(f);
    weft_thread forker = WEFT_THREAD_INIT;
    CHECK_OK(weft_thread_start(&forker, fork_once, f, NULL));
    CHECK_OK(weft_thread_join(&forker, NULL, WEFT_FOREVER));
    test_spawn(t, fork_once, f);
    test_join(t);
    CHECK_INT(1, weft_thread_alive(&f->other));
    weft_event_set(&f->end);
    CHECK_OK(weft_thread_join(&f->other, NULL, WEFT_FOREVER));
}

static uint32_t stop; /* atomic */

static int start_and_join(void *arg)
{
    while (load_relaxed(&stop) == 0) {
        weft_thread t = WEFT_THREAD_INIT;
        CHECK_OK(weft_thread_start(&t, wait_for_event, arg, NULL));
        CHECK_OK(weft_thread_join(&t, NULL, WEFT_FOREVER));
    }
    return 0;
}

/* 134 */
TEST_LIMIT(60, registry_bears_forks_while_threads_come_and_go)
{
    weft_event set = WEFT_EVENT_INIT;
    weft_thread busy[3] = {0};
    weft_event_set(&set);
    for (int i = 0; i < 3; i++)
        CHECK_OK(weft_thread_start(&busy[i], start_and_join, &set, NULL));
    for (long i = 0; i < test_rounds(50, 1000); i++) {
        pid_t pid = fork();
        if (pid == 0) {
            weft_thread t = WEFT_THREAD_INIT;
            CHECK_OK(weft_thread_start(&t, wait_for_event, &set, NULL));
            CHECK_OK(weft_thread_join(&t, NULL, WEFT_FOREVER));
            CHECK_INT(1, weft_threads_count());
            _exit(0);
        }
        int status;
        CHECK_INT(pid, waitpid(pid, &status, 0));
        CHECK_INT(0, status);
    }
    store_seq_cst(&stop, 1);
    for (int i = 0; i < 3; i++)
        CHECK_OK(weft_thread_join(&busy[i], NULL, WEFT_FOREVER));
    CHECK_INT(1, weft_threads_count());
}
