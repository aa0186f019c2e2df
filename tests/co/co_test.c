/* The public calls: start, join, cancel, sleep, yield, names, misuse. */
#include "co/co_support.h"
#include "park/park.h"
#include "sys/sys.h"

#include <weft/co.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int add_one(void *arg)
{
    return *(int *)arg + 1;
}

static int returns(void *arg)
{
    return (int)(intptr_t)arg;
}

TEST_IN(THREAD | CO, co_result_reaches_the_joiner)
{
    int n = 41;
    CHECK_INT(42, join(start(add_one, &n)));
    CHECK_INT(-5, join(start(returns, (void *)-5)));
    CHECK_OK(weft_co_join(start(add_one, &n), NULL, WEFT_FOREVER));
}

TEST_IN(THREAD | CO, co_join_gives_up_at_its_deadline_and_can_be_repeated)
{
    weft_co *co = start(wait_for_flag, NULL);
    int result = 7;
    CHECK_ERR(-ETIMEDOUT, weft_co_join(co, &result, WEFT_NOW));
    weft_until soon = weft_in_ms(3);
    CHECK_ERR(-ETIMEDOUT, weft_co_join(co, &result, soon));
    CHECK_INT(0, weft_left(soon));
    CHECK_INT(7, result);
    raise_flag();
    CHECK_INT(0, join(co));
}

TEST_IN(THREAD | CO, co_that_has_ended_can_be_joined_without_waiting)
{
    weft_co *co = start(returns, (void *)9);
    weft_co *after = start(wait_for_flag, NULL);
    raise_flag();
    join(after);
    int result = 0;
    while (weft_co_join(co, &result, WEFT_NOW) == -ETIMEDOUT)
        weft_yield();
    CHECK_INT(9, result);
}

static int join_self(void *arg)
{
    (void)arg;
    return weft_co_join(weft_co_self(), NULL, WEFT_FOREVER);
}

TEST(co_joining_itself_is_a_deadlock)
{
    CHECK_ERR(-EDEADLK, join(start(join_self, NULL)));
}

static int join_other(void *arg)
{
    int err = weft_co_join(arg, NULL, WEFT_FOREVER);
    CHECK_ERR(-ECANCELED, err);
    int was = weft_shield(1);
    raise_flag();
    err = weft_co_join(arg, NULL, WEFT_FOREVER); /* the handle is still valid */
    weft_shield(was);
    return err;
}

TEST(co_cancelled_joiner_keeps_the_handle)
{
    weft_co *slow = start(wait_for_flag, NULL);
    weft_co *joiner = start(join_other, slow);
    weft_co_cancel(joiner);
    CHECK_OK(join(joiner));
}

/* ---- cancellation ---- */

static int sleep_for_ever(void *arg)
{
    (void)arg;
    return weft_sleep(WEFT_FOREVER);
}

TEST_IN(THREAD | CO, co_cancel_ends_a_sleep)
{
    weft_co *co = start(sleep_for_ever, NULL);
    CHECK_ERR(-ETIMEDOUT, weft_co_join(co, NULL, weft_in_ms(2)));
    weft_co_cancel(co);
    weft_co_cancel(co);
    CHECK_ERR(-ECANCELED, join(co));
}

static int sleep_again_and_again(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3; i++)
        CHECK_ERR(-ECANCELED, weft_sleep(WEFT_FOREVER));
    CHECK_ERR(-ECANCELED, weft_sleep(WEFT_NOW)); /* cancelled beats deadline */
    CHECK_INT(1, weft_cancelled());
    return 1;
}

TEST(co_cancelled_before_its_first_wait_is_told_at_every_wait)
{
    weft_co *co = start(sleep_again_and_again, NULL);
    weft_co_cancel(co);
    CHECK_INT(1, join(co));
}

static uint32_t cancelled; /* atomic */

static int shielded(void *arg)
{
    (void)arg;
    CHECK_INT(0, weft_shield(1));
    CHECK_INT(1, weft_shield(1));
    raise_flag();
    while (load_seq_cst(&cancelled) == 0)
        CHECK_OK(weft_sleep(weft_in_ms(1))); /* the later ones have been asked to stop */
    CHECK_INT(0, weft_cancelled());
    CHECK_INT(1, weft_shield(0));
    CHECK_INT(1, weft_cancelled());
    return weft_sleep(WEFT_FOREVER);
}

TEST(co_shield_holds_cancellation_back)
{
    weft_co *co = start(shielded, NULL);
    CHECK_OK(wait_for_flag(NULL));
    weft_co_cancel(co);
    CHECK_ERR(-ETIMEDOUT, weft_co_join(co, NULL, weft_in_ms(3)));
    store_seq_cst(&cancelled, 1);
    CHECK_ERR(-ECANCELED, join(co));
}

static int never_cancelled(void *arg)
{
    (void)arg;
    return weft_cancelled();
}

TEST(co_slot_that_is_reused_is_not_cancelled)
{
    for (int i = 0; i < 1000; i++) {
        weft_co *co = start(sleep_for_ever, NULL);
        weft_co_cancel(co);
        CHECK_ERR(-ECANCELED, join(co));
        CHECK_INT(0, join(start(never_cancelled, NULL)));
    }
}

TEST(co_shield_and_cancelled_work_in_a_thread)
{
    CHECK_INT(0, weft_cancelled());
    CHECK_INT(0, weft_shield(1));
    CHECK_INT(1, weft_shield(0));
}

static int woken_or_cancelled(void *arg)
{
    (void)arg;
    return wait_for_flag(NULL);
}

TEST(co_wake_before_cancel_wins)
{
    weft_co *co = start(woken_or_cancelled, NULL);
    while (weft__sleepers(&flag) == 0)
        weft_yield();
    raise_flag();
    weft_co_cancel(co);
    CHECK_OK(join(co));
}

static int wait_twice(void *arg)
{
    (void)arg;
    weft_until soon = weft_in_ms((int64_t)(300 * test_limit_factor()));
    store_seq_cst(&cancelled, 1);
    while (load_seq_cst(&flag) == 0)
        if (weft__park(&flag, 0, soon, 0, "test") == -ETIMEDOUT)
            soon = weft_in_ms((int64_t)(300 * test_limit_factor())); /* a busy machine */
    /* Woken in time. Now past that deadline, in a wait that has none. */
    int err = 0;
    while (load_seq_cst(&cancelled) == 1 && err == 0)
        err = weft__park(&cancelled, 1, WEFT_FOREVER, 0, "test");
    return err;
}

TEST(co_deadline_of_a_wait_that_was_woken_does_not_end_a_later_one)
{
    weft_co *co = start(wait_twice, NULL);
    while (load_seq_cst(&cancelled) == 0 || weft__sleepers(&flag) == 0)
        weft_yield();
    raise_flag();
    CHECK_ERR(-ETIMEDOUT, weft_co_join(co, NULL, weft_in_ms((int64_t)(350 * test_limit_factor()))));
    store_seq_cst(&cancelled, 2);
    weft__wake(&cancelled, 1, 0);
    CHECK_OK(join(co));
}

/* ---- sleep and yield ---- */

TEST_IN(THREAD | CO, co_sleep_is_never_too_short)
{
    for (int i = 0; i < 30; i++) {
        int64_t before = weft_now();
        CHECK_OK(weft_sleep(weft_in(i * 100 * WEFT_US)));
        CHECK(weft_now() - before >= i * 100 * WEFT_US);
    }
    CHECK_OK(weft_sleep(WEFT_NOW));
    CHECK_OK(weft_sleep((weft_until){1}));
    CHECK_OK(weft_sleep((weft_until){-1}));
}

static char order[16];
static uint32_t order_length; /* atomic */

static void note(char c)
{
    store_relaxed(&order[add_relaxed(&order_length, 1)], c);
}

static int64_t base;
static bool too_late;

static int sleep_then_note(void *arg)
{
    int n = (int)(intptr_t)arg;
    too_late |= weft_now() >= base; /* those before may have found their deadlines in the past */
    CHECK_OK(weft_sleep((weft_until){base + 5 * n * WEFT_MS}));
    note((char)('0' + n));
    return 0;
}

static int start_sleepers(void *arg)
{
    (void)arg;
    weft_co *co[5];
    for (int i = 5; i-- > 0;)
        co[i] = start(sleep_then_note, (void *)(intptr_t)i);
    for (int i = 0; i < 5; i++)
        join(co[i]);
    return 0;
}

/* S004-42: one thread, many that wait */
TEST(co_sleepers_wake_in_the_order_of_their_deadlines)
{
    weft_co_threads(1);
    int64_t lead = 10 * WEFT_MS;
    do {
        lead *= 2;
        too_late = false;
        order_length = 0;
        base = weft_now() + lead;
        join(start(start_sleepers, NULL));
    } while (too_late);
    CHECK_STR("01234", order);
}

static int note_and_yield(void *arg)
{
    for (int i = 0; i < 3; i++) {
        note((char)('a' + (intptr_t)arg));
        weft_yield();
    }
    return 0;
}

static int start_yielders(void *arg)
{
    (void)arg;
    weft_co *co[3];
    for (intptr_t i = 0; i < 3; i++)
        co[i] = start(note_and_yield, (void *)i);
    note('-'); /* none has run yet */
    weft_yield();
    note('+'); /* all have run once */
    for (int i = 0; i < 3; i++)
        join(co[i]);
    return 0;
}

TEST(co_yield_goes_round_in_order)
{
    weft_co_threads(1);
    join(start(start_yielders, NULL));
    CHECK_STR("-abc+abcabc", order);
}

TEST(co_yield_in_a_thread_returns)
{
    weft_yield();
}

/* ---- names and identity ---- */

static int note_self(void *arg)
{
    *(weft_co **)arg = weft_co_self();
    return 0;
}

TEST(co_has_a_name_and_knows_itself)
{
    CHECK(weft_co_self() == NULL);
    CHECK_STR("", weft_co_name(NULL));
    weft_co *co, *self = NULL;
    char long_name[64];
    memset(long_name, 'x', sizeof long_name);
    long_name[63] = 0;
    weft_co_options options = {.name = "greeter"};
    CHECK_OK(weft_co_start(&co, note_self, &self, &options));
    CHECK_STR("greeter", weft_co_name(co));
    CHECK_INT(0, join(co));
    CHECK_PTR(co, self);
    options.name = long_name;
    CHECK_OK(weft_co_start(&co, returns, NULL, &options));
    CHECK_INT(31, strlen(weft_co_name(co)));
    join(co);
    co = start(returns, NULL);
    CHECK_MEM("co-", weft_co_name(co), 3);
    join(co);
}

static int check_stack(void *arg)
{
    size_t size = (size_t)(intptr_t)arg;
    volatile char room[12 << 10];
    room[0] = room[sizeof room - 1] = 1;
    return size > (200 << 10) ? check_stack((void *)(intptr_t)(size - sizeof room)) + room[0] : 0;
}

TEST(co_stack_size_is_an_option)
{
    weft_co *co;
    weft_co_options options = {.stack_size = 4 << 20};
    CHECK_OK(weft_co_start(&co, check_stack, (void *)(intptr_t)(3 << 20), &options));
    CHECK(join(co) > 200);
    options.stack_size = (64 << 20) + 1;
    weft_co *untouched = co = (weft_co *)&options;
    CHECK_ERR(-EINVAL, weft_co_start(&co, returns, NULL, &options));
    CHECK_PTR(untouched, co);
}

/* ---- detached ---- */

static uint32_t ended; /* atomic */

static int count_end(void *arg)
{
    (void)arg;
    weft_yield();
    add_seq_cst(&ended, 1);
    return 0;
}

TEST_IN(THREAD | CO, co_detached_and_go_run_to_their_end)
{
    for (int i = 0; i < 500; i++) {
        CHECK_OK(weft_go(count_end, NULL));
        weft_co_detach(start(count_end, NULL));
        weft_co *co = start(returns, NULL);
        if (i % 2 == 0)
            weft_yield();
        weft_co_detach(co);
    }
    while (load_seq_cst(&ended) < 1000)
        weft_yield();
}

/* ---- failure ---- */

TEST(co_start_reports_that_no_thread_can_be_started_and_recovers)
{
    weft_co *co;
    weft__sys_plan(WEFT__SYS_THREAD, 1, 2, -EAGAIN, 0);
    CHECK_ERR(-ENOMEM, weft_co_start(&co, returns, NULL, NULL));
    CHECK_ERR(-ENOMEM, weft_go(returns, NULL));
    CHECK_INT(3, join(start(returns, (void *)3)));
}

TEST(co_start_survives_every_failing_mapping)
{
    weft_co_threads(1); /* no other thread is in the middle of a mapping when the plan changes */
    weft_shield(0);     /* this thread has its waiter: a thread that finds no memory for one cannot wait, and panics */
    /* One call after the other fails, until a run meets none that fails. */
    for (uint32_t nth = 1;; nth++) {
        weft__sys_plan_none();
        weft__sys_plan(WEFT__SYS_MMAP, nth, 1, -ENOMEM, 0);
        weft_co *co;
        int err = weft_co_start(&co, returns, (void *)3, NULL);
        if (err == 0) {
            int result = join(co); /* no stack when its turn came, and nobody to wait for: its result says so */
            CHECK(result == 3 || result == -ENOMEM);
        } else {
            CHECK_ERR(-ENOMEM, err);
        }
        if (weft__sys_seen(WEFT__SYS_MMAP) < nth)
            break;
    }
    weft__sys_plan_none();
    CHECK_INT(3, join(start(returns, (void *)3)));
}

static int park_and_return(void *arg)
{
    (void)arg;
    return wait_for_flag(NULL);
}

/* More coroutines than there are stacks, the last of which have to wait for theirs. */
enum {
    HOLD = 16, /* as many as the first chunk of stacks has room for, the caller included */
    LATE = 8
};

static void starve(weft_co *held[HOLD - 1], weft_co *late[LATE])
{
    for (int i = 0; i < HOLD - 1; i++)
        held[i] = start(park_and_return, NULL);
    while (weft__sleepers(&flag) < HOLD - 1)
        weft_yield();
    weft__sys_plan(WEFT__SYS_MMAP, 1, UINT32_MAX, -ENOMEM, 0);
    for (int i = 0; i < LATE; i++)
        late[i] = start(returns, (void *)6);
    CHECK_ERR(-ETIMEDOUT, weft_co_join(late[0], NULL, weft_in_ms(2)));
    weft_co *refused;
    CHECK_ERR(-ENOMEM, weft_co_start(&refused, returns, NULL, NULL));
}

static void join_all(weft_co *const *cos, int n, int result)
{
    for (int i = 0; i < n; i++)
        CHECK_INT(result, join(cos[i])); /* nobody's work was lost */
}

static int starve_until_others_end(void *arg)
{
    weft_co *held[HOLD - 1], *late[LATE];
    (void)arg;
    starve(held, late);
    raise_flag();
    join_all(held, HOLD - 1, 0);
    join_all(late, LATE, 6);
    CHECK_INT(2, join(start(returns, (void *)2)));
    return 0;
}

static int starve_until_there_is_memory(void *arg)
{
    weft_co *held[HOLD - 1], *late[LATE];
    (void)arg;
    starve(held, late);
    CHECK_OK(weft_sleep(weft_in_ms(50))); /* it has been tried in vain meanwhile */
    weft__sys_plan_none();
    join_all(late, LATE, 6); /* though none of the others has ended */
    CHECK_INT(2, join(start(returns, (void *)2)));
    raise_flag();
    join_all(held, HOLD - 1, 0);
    return 0;
}

static int starve_and_fork(void *arg)
{
    weft_co *held[HOLD - 1], *late[LATE], *co;
    int status = 0;
    (void)arg;
    starve(held, late);
    weft__sys_plan_none();
    pid_t pid = fork();
    if (pid == 0)
        _exit(weft_co_start(&co, returns, (void *)7, NULL) < 0 ? 1 : join(co));
    CHECK(pid > 0);
    CHECK_INT(pid, waitpid(pid, &status, 0));
    CHECK(WIFEXITED(status));
    CHECK_INT(7, WEXITSTATUS(status));
    raise_flag();
    join_all(held, HOLD - 1, 0);
    join_all(late, LATE, 6);
    return 0;
}

TEST(co_without_memory_for_a_stack_is_none_of_a_forked_childs)
{
    weft_co_threads(1);
    weft_sleep(WEFT_NOW);
    CHECK_OK(join(start(starve_and_fork, NULL)));
}

TEST(co_without_memory_for_a_stack_waits_for_one)
{
    weft_co_threads(1);
    weft_sleep(WEFT_NOW); /* this thread's own first wait needs memory, too */
    CHECK_OK(join(start(starve_until_others_end, NULL)));
}

TEST(co_without_memory_for_a_stack_starts_once_there_is_some)
{
    weft_co_threads(1);
    weft_sleep(WEFT_NOW);
    CHECK_OK(join(start(starve_until_there_is_memory, NULL)));
}

/* ---- misuse ---- */

TEST_PANICS(co_joined_twice_is_noticed, "was joined or detached before")
{
    weft_co *co = start(returns, NULL);
    join(co);
    weft_co_join(co, NULL, WEFT_FOREVER);
}

TEST_PANICS(co_detached_twice_is_noticed, "detached before")
{
    weft_co *co = start(wait_for_flag, NULL);
    weft_co_detach(co);
    weft_co_detach(co);
}

static int join_it(void *arg)
{
    return weft_co_join(arg, NULL, WEFT_FOREVER);
}

TEST_PANICS(co_joined_by_two_at_once_is_noticed, "is being joined by somebody else")
{
    weft_co *co = start(wait_for_flag, NULL);
    start(join_it, co);
    start(join_it, co);
    weft_sleep(WEFT_FOREVER);
}

TEST(co_threads_can_grow_but_not_shrink)
{
    CHECK_ERR(-EINVAL, weft_co_threads(0));
    CHECK_ERR(-EINVAL, weft_co_threads(100000));
    CHECK_OK(weft_co_threads(3));
    join(start(returns, NULL));
    CHECK_OK(weft_co_threads(5));
    CHECK_OK(weft_co_threads(3));
}
