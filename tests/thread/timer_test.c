/* Timers: when they fire, in which order, what cancelling promises, who may do it from where. Row S003-10. */
#include <weft/co.h>
#include <weft/event.h>
#include <weft/timer.h>

#include "base/atomic.h"
#include "harness/harness.h"
#include "sys/sys.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* A timer that remembers what happened to it. */
typedef struct record {
    weft_timer timer; /* arg is the record itself */
    weft_event fired;
    int64_t due;    /* what it was set to */
    int64_t began;  /* when fn was called last */
    uint32_t calls; /* atomic */
} record;

static uint32_t early; /* atomic: calls before their deadline */

static void note(weft_timer *t)
{
    record *r = t->arg;
    r->began = weft_now();
    if (r->began < r->due)
        add_relaxed(&early, 1);
    add_acq_rel(&r->calls, 1);
    weft_event_set(&r->fired);
}

static void set(record *r, int64_t at)
{
    r->timer.arg = r;
    r->due = at;
    CHECK_OK(weft_timer_start(&r->timer, note, (weft_until){at}, 0));
}

static void wait_for(record *r)
{
    CHECK_OK(weft_event_wait(&r->fired, WEFT_FOREVER));
}

/* When this returns the thread has called all that was due before now. */
static void pass(void)
{
    record r = {0};
    set(&r, weft_now());
    wait_for(&r);
    weft_timer_cancel(&r.timer);
}

/* ---- when ---- */

/* S003-10: Timer(interval, function) */
TEST_IN(THREAD | CO, timer_fires_at_its_deadline_and_never_before)
{
    for (int64_t delay = 1; delay < 40 * WEFT_MS; delay = delay * 3 + 7) {
        record *r = test_alloc(t, sizeof *r);
        set(r, weft_now() + delay);
        wait_for(r);
        CHECK_INT(0, weft_timer_cancel(&r->timer));
        CHECK_INT(1, load_acquire(&r->calls));
    }
    CHECK_INT(0, load_relaxed(&early));
}

TEST(timer_with_a_deadline_in_the_past_fires_at_once)
{
    static const int64_t pasts[] = {INT64_MIN, -1, 0, 1};
    for (unsigned i = 0; i < sizeof pasts / sizeof *pasts; i++) {
        record r = {0};
        set(&r, pasts[i]);
        wait_for(&r);
        weft_timer_cancel(&r.timer);
    }
}

TEST(timer_for_ever_stays_pending)
{
    static record r;
    set(&r, INT64_MAX);
    pass();
    CHECK_INT(1, weft_timer_pending(&r.timer));
    CHECK_INT(0, load_acquire(&r.calls));
    CHECK_INT(1, weft_timer_cancel(&r.timer));
    CHECK_INT(0, weft_timer_pending(&r.timer));
}

TEST(timer_set_to_an_earlier_deadline_wakes_a_thread_that_sleeps_for_a_later_one)
{
    static record late, soon;
    set(&late, weft_now() + 3600 * WEFT_SECOND);
    pass(); /* from here on the thread sleeps for an hour, or will */
    set(&soon, weft_now() + WEFT_MS);
    wait_for(&soon);
    CHECK_INT(1, weft_timer_cancel(&late.timer));
}

TEST(timer_refuses_a_negative_period)
{
    weft_timer t = WEFT_TIMER_INIT;
    CHECK_ERR(-EINVAL, weft_timer_start(&t, note, WEFT_NOW, -1));
    CHECK_INT(0, weft_timer_pending(&t));
}

/* The clock leaps over a deadline: it counts at the thread's next look. */
TEST(timer_goes_by_the_clock_that_all_deadlines_are_on)
{
    static record hour, now, behind;
    set(&hour, weft_now() + 3600 * WEFT_SECOND);
    pass();
    store_relaxed(&weft__sys_clock_shift, 7200 * WEFT_SECOND);
    set(&now, 0);
    wait_for(&now);
    wait_for(&hour);
    CHECK_INT(0, load_relaxed(&early));
    store_relaxed(&weft__sys_clock_shift, 0);
    set(&behind, weft_now() + WEFT_MS);
    wait_for(&behind);
    CHECK_INT(0, load_relaxed(&early));
}

/* ---- order ---- */

enum {
    MANY = 100000
};
static record *many;
static int64_t last_due;
static uint32_t last_index, disorder, fired; /* of the timer thread, until `fired` has come to its end */
static weft_event all_fired = WEFT_EVENT_INIT;
static uint32_t expected;

static void note_order(weft_timer *t)
{
    const record *r = t->arg;
    uint32_t index = (uint32_t)(r - many);
    if (weft_now() < r->due)
        add_relaxed(&early, 1);
    if (r->due < last_due || (r->due == last_due && index < last_index))
        disorder++;
    last_due = r->due;
    last_index = index;
    if (++fired == expected)
        weft_event_set(&all_fired);
}

static int64_t base;
static uint64_t seed = 88172645463325252u;

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static int64_t at_random(uint32_t i)
{
    (void)i;
    return base + (int64_t)(next_random(&seed) % (uint64_t)(300 * WEFT_MS));
}

static int64_t all_equal(uint32_t i)
{
    (void)i;
    return base;
}

static int64_t descending(uint32_t i)
{
    return base - i;
}

static int64_t in_pairs(uint32_t i)
{
    return base + (int64_t)(i % 997 / 2) * 1000;
}

/* False: it took longer than until the first deadline. */
static bool set_all(uint32_t n, int64_t (*due)(uint32_t i))
{
    for (uint32_t i = 0; i < n; i++) {
        many[i].timer.arg = &many[i];
        many[i].due = due(i);
        CHECK_OK(weft_timer_start(&many[i].timer, note_order, (weft_until){many[i].due}, 0));
    }
    return weft_now() < base - (int64_t)n;
}

static void check_order(uint32_t n, int64_t (*due)(uint32_t i), int64_t from_now)
{
    many = calloc(n, sizeof *many);
    CHECK(many != NULL);
    expected = n;
    for (base = weft_now() + from_now; !set_all(n, due); base = weft_now() + from_now) {
        for (uint32_t i = 0; i < n; i++)
            weft_timer_cancel(&many[i].timer);
        disorder = fired = 0; /* the thread has left them alone since the cancels */
        last_due = 0;
        weft_event_clear(&all_fired);
        from_now *= 2;
    }
    CHECK_OK(weft_event_wait(&all_fired, WEFT_FOREVER));
    CHECK_INT(0, disorder);
    CHECK_INT(0, load_relaxed(&early));
    pass();
    free(many);
}

TEST_LIMIT(30, timers_by_the_hundred_thousand_fire_in_the_order_of_their_deadlines)
{
    check_order(MANY, at_random, 300 * WEFT_MS);
}

/* Over many pages, hence in all the wheels. */
TEST(timers_of_one_deadline_fire_in_the_order_in_which_they_were_set)
{
    check_order(5000, all_equal, 100 * WEFT_MS);
}

TEST(timers_set_in_descending_order_fire_in_ascending_order)
{
    check_order(5000, descending, 100 * WEFT_MS);
}

TEST(timers_of_a_few_deadlines_fire_in_both_orders)
{
    check_order(5000, in_pairs, 100 * WEFT_MS);
}

/* ---- setting anew ---- */

TEST_IN(THREAD | CO, timer_that_is_set_anew_fires_once_at_its_last_deadline)
{
    record *sooner = test_alloc(t, sizeof *sooner), *later;
    set(sooner, weft_now() + 3600 * WEFT_SECOND);
    for (int64_t lead = 20 * WEFT_MS;; lead *= 2) {
        later = test_alloc(t, sizeof *later);
        set(later, weft_now() + lead);
        CHECK_OK(weft_timer_start(&later->timer, note, weft_in(3600 * WEFT_SECOND), 0));
        if (weft_now() < later->due)
            break;
        weft_timer_cancel(&later->timer); /* the machine was busy: it may have fired before */
    }
    set(sooner, later->due + 10 * WEFT_MS);
    wait_for(sooner);
    CHECK_INT(0, weft_timer_cancel(&sooner->timer));
    CHECK_INT(1, load_acquire(&sooner->calls));
    CHECK_INT(0, load_acquire(&later->calls));
    CHECK_INT(1, weft_timer_cancel(&later->timer));
}

static void again(weft_timer *t)
{
    record *r = t->arg;
    if (weft_now() < r->due)
        add_relaxed(&early, 1);
    if (add_acq_rel(&r->calls, 1) == 4) {
        weft_event_set(&r->fired);
        return;
    }
    r->due = weft_now() + WEFT_MS;
    CHECK_OK(weft_timer_start(t, again, (weft_until){r->due}, 0));
    CHECK_INT(1, weft_timer_pending(t));
}

TEST(timer_may_be_set_again_by_its_own_function)
{
    static record r;
    r.timer.arg = &r;
    CHECK_OK(weft_timer_start(&r.timer, again, WEFT_NOW, 0));
    wait_for(&r);
    CHECK_INT(0, weft_timer_cancel(&r.timer));
    CHECK_INT(5, load_acquire(&r.calls));
    CHECK_INT(0, load_relaxed(&early));
}

/* ---- periods ---- */

enum {
    ROW = 10
};
static struct {
    weft_timer timer;
    weft_event full;
    int64_t from, began[ROW];
    uint32_t calls;
} row;

static void note_row(weft_timer *t)
{
    row.began[row.calls++] = weft_now();
    CHECK_INT(1, weft_timer_pending(t));
    if (row.calls < ROW)
        return;
    CHECK_INT(1, weft_timer_cancel(t));
    CHECK_INT(0, weft_timer_pending(t));
    weft_event_set(&row.full);
}

static void run_row(weft_timer_fn *fn, int64_t period)
{
    row.from = weft_now() + period;
    CHECK_OK(weft_timer_start(&row.timer, fn, (weft_until){row.from}, period));
    CHECK_OK(weft_event_wait(&row.full, WEFT_FOREVER));
    CHECK_INT(0, weft_timer_cancel(&row.timer));
}

TEST(timer_with_a_period_fires_at_every_point_of_its_row_until_it_is_cancelled)
{
    run_row(note_row, 2 * WEFT_MS);
    CHECK_INT(ROW, row.calls);
    for (int i = 0; i < ROW; i++)
        CHECK(row.began[i] >= row.from + i * 2 * WEFT_MS);
}

TEST(timer_at_once_with_a_period_has_its_row_from_now_on)
{
    int64_t before = weft_now();
    CHECK_OK(weft_timer_start(&row.timer, note_row, WEFT_NOW, WEFT_MS));
    CHECK_OK(weft_event_wait(&row.full, WEFT_FOREVER));
    CHECK(row.began[ROW - 1] >= before + (ROW - 1) * WEFT_MS);
}

static void note_row_slowly(weft_timer *t)
{
    note_row(t);
    while (row.calls == 1 && weft_now() < row.from + 5 * WEFT_MS / 2)
        ;
}

TEST(timer_leaves_out_the_points_that_passed_while_its_function_ran)
{
    run_row(note_row_slowly, WEFT_MS);
    CHECK(row.began[1] >= row.from + 3 * WEFT_MS);
}

TEST(timer_with_a_period_past_the_end_of_time_fires_once)
{
    static record r;
    r.timer.arg = &r;
    CHECK_OK(weft_timer_start(&r.timer, note, WEFT_NOW, INT64_MAX));
    wait_for(&r);
    pass();
    CHECK_INT(1, weft_timer_cancel(&r.timer));
    CHECK_INT(1, load_acquire(&r.calls));
}

/* ---- cancelling ---- */

/* S003-10: cancel() before it fires */
TEST_IN(THREAD | CO, timer_cancelled_before_its_deadline_does_not_fire)
{
    record *r, *after = test_alloc(t, sizeof *after);
    int pending, cancelled;
    int64_t lead = 10 * WEFT_MS;
    do { /* until the machine was not too busy to cancel in time */
        r = test_alloc(t, sizeof *r);
        set(r, weft_now() + (lead *= 2));
        pending = weft_timer_pending(&r->timer);
        cancelled = weft_timer_cancel(&r->timer);
    } while (cancelled == 0);
    CHECK_INT(1, pending);
    CHECK_INT(1, cancelled);
    CHECK_INT(0, weft_timer_cancel(&r->timer));
    CHECK_INT(0, weft_timer_pending(&r->timer));
    set(after, r->due + WEFT_MS);
    wait_for(after);
    CHECK_INT(0, load_acquire(&r->calls));
}

TEST(timer_that_was_never_set_can_be_cancelled)
{
    weft_timer t = WEFT_TIMER_INIT;
    CHECK_INT(0, weft_timer_cancel(&t));
}

static weft_event entered = WEFT_EVENT_INIT;
static uint32_t left; /* atomic */

static void take_long(weft_timer *t)
{
    (void)t;
    weft_event_set(&entered);
    usleep(20000);
    store_release(&left, 1);
}

TEST_IN(THREAD | CO, timer_cancel_waits_for_the_end_of_a_function_that_runs)
{
    weft_timer *timer = test_alloc(t, sizeof *timer);
    CHECK_OK(weft_timer_start(timer, take_long, WEFT_NOW, 0));
    CHECK_OK(weft_event_wait(&entered, WEFT_FOREVER));
    CHECK_INT(0, weft_timer_pending(timer));
    CHECK_INT(0, weft_timer_cancel(timer));
    CHECK_INT(1, load_acquire(&left));
}

/* With a period it was pending all the same, and never runs again. */
TEST_IN(THREAD | CO, timer_cancel_ends_a_row_whose_function_runs)
{
    weft_timer *timer = test_alloc(t, sizeof *timer);
    CHECK_OK(weft_timer_start(timer, take_long, WEFT_NOW, WEFT_US));
    CHECK_OK(weft_event_wait(&entered, WEFT_FOREVER));
    CHECK_INT(1, weft_timer_pending(timer));
    CHECK_INT(1, weft_timer_cancel(timer));
    CHECK_INT(1, load_acquire(&left));
    store_release(&left, 0);
    pass();
    CHECK_INT(0, load_acquire(&left));
}

static int cancel_it(void *arg)
{
    weft_timer_cancel(arg);
    return load_acquire(&left) == 1 ? 0 : -EINVAL;
}

TEST_IN(THREAD | CO, timer_cancelled_by_several_at_once_is_waited_for_by_all)
{
    weft_timer *timer = test_alloc(t, sizeof *timer);
    CHECK_OK(weft_timer_start(timer, take_long, WEFT_NOW, WEFT_MS));
    CHECK_OK(weft_event_wait(&entered, WEFT_FOREVER));
    for (int i = 0; i < 4; i++)
        test_spawn(t, cancel_it, timer);
    test_join(t);
}

static void free_oneself(weft_timer *t)
{
    uint32_t *calls = t->arg;
    weft_timer_cancel(t);
    free(t);
    add_acq_rel(calls, 1);
}

/* The library does not touch it afterwards; AddressSanitizer would tell. */
TEST(timer_may_be_cancelled_and_freed_by_its_own_function)
{
    static uint32_t calls;
    for (int64_t period = 0; period < 2; period++) {
        weft_timer *t = calloc(1, sizeof *t);
        CHECK(t != NULL);
        t->arg = &calls;
        CHECK_OK(weft_timer_start(t, free_oneself, WEFT_NOW, period));
        do
            pass();
        while (load_acquire(&calls) <= period);
    }
    pass();
    CHECK_INT(2, load_acquire(&calls));
}

static record victim;
static int cancelled;

static void cancel_victim(weft_timer *t)
{
    cancelled = weft_timer_cancel(&victim.timer);
    note(t);
}

/* The two may be due at the same look, and in different wheels. */
TEST(timer_may_be_cancelled_by_the_function_of_another_that_is_due_before)
{
    static record first;
    bool in_time;
    int64_t lead = 10 * WEFT_MS;
    do { /* until both were set before either was due */
        first = victim = (record){0};
        set(&victim, weft_now() + (lead *= 2));
        first.timer.arg = &first;
        CHECK_OK(weft_timer_start(&first.timer, cancel_victim, (weft_until){victim.due - 1}, 0));
        in_time = weft_now() < victim.due - 1;
        wait_for(&first);
        pass();
        weft_timer_cancel(&first.timer);
        weft_timer_cancel(&victim.timer);
    } while (!in_time);
    CHECK_INT(1, cancelled);
    CHECK_INT(0, load_acquire(&victim.calls));
}

/* ---- what a function may do ---- */

static int hello(void *arg)
{
    weft_event_set(arg);
    return 0;
}

static void start_coroutine(weft_timer *t)
{
    CHECK_OK(weft_go(hello, t->arg));
}

TEST(timer_function_may_start_a_coroutine)
{
    static weft_event said;
    weft_timer t = WEFT_TIMER_INIT;
    t.arg = &said;
    CHECK_OK(weft_timer_start(&t, start_coroutine, WEFT_NOW, 0));
    CHECK_OK(weft_event_wait(&said, WEFT_FOREVER));
    weft_timer_cancel(&t);
}

/* ---- many at once ---- */

enum {
    CONTESTED = 8,
    OWN = 64
};
static record contested[CONTESTED];

static int set_and_cancel(void *arg)
{
    uint64_t state = (uintptr_t)arg * 88172645463325253u + 1;
    record *own = calloc(OWN, sizeof *own);
    CHECK(own != NULL);
    for (long i = test_rounds(3000, 300000); i > 0; i--) {
        uint64_t random = next_random(&state);
        record *r = &own[random % OWN];
        weft_timer_cancel(&r->timer);
        set(r, weft_now() + (int64_t)(random >> 32) % (2 * WEFT_MS));
        weft_timer *t = &contested[random % CONTESTED].timer;
        if (random >> 8 & 1)
            weft_timer_cancel(t);
        else
            weft_timer_start(t, note, weft_in((int64_t)(random >> 32) % WEFT_MS), (int64_t)(random >> 60) * WEFT_US);
    }
    for (unsigned i = 0; i < OWN; i++)
        weft_timer_cancel(&own[i].timer);
    free(own);
    return 0;
}

/* Each has timers of its own, whose memory is freed after the cancel, and all fight for a few. */
TEST_IN_LIMIT(30, THREAD | CO, timers_are_set_and_cancelled_by_many_at_once)
{
    for (unsigned i = 0; i < CONTESTED; i++) {
        contested[i].timer.arg = &contested[i];
        contested[i].due = INT64_MIN;
    }
    for (uintptr_t i = 1; i <= 4; i++)
        test_spawn(t, set_and_cancel, (void *)i);
    test_join(t);
    for (unsigned i = 0; i < CONTESTED; i++)
        weft_timer_cancel(&contested[i].timer);
    CHECK_INT(0, load_relaxed(&early));
    uint32_t calls = 0, later = 0;
    for (unsigned i = 0; i < CONTESTED; i++)
        calls += load_acquire(&contested[i].calls);
    pass();
    for (unsigned i = 0; i < CONTESTED; i++)
        later += load_acquire(&contested[i].calls);
    CHECK_INT(calls, later);
}

/* ---- the thread ---- */

TEST(timer_is_not_set_when_the_thread_cannot_be_started)
{
    record r = {0};
    weft__sys_plan(WEFT__SYS_THREAD, 1, 1, -EAGAIN, 0);
    CHECK_ERR(-EAGAIN, weft_timer_start(&r.timer, note, WEFT_NOW, 0));
    CHECK_INT(0, weft_timer_pending(&r.timer));
    set(&r, weft_now()); /* and it is tried again */
    wait_for(&r);
    weft_timer_cancel(&r.timer);
}

static int set_one(void *arg)
{
    record *r = arg;
    set(r, weft_now());
    wait_for(r);
    return 0;
}

TEST_IN(THREAD | CO, timers_first_set_by_several_at_once_have_one_thread)
{
    weft__sys_plan(WEFT__SYS_THREAD, 1, 100, 0,
                   20 * WEFT_MS); /* a slow start, so that the others come to wait for it */
    for (int i = 0; i < 4; i++)
        test_spawn(t, set_one, test_alloc(t, sizeof(record)));
    test_join(t);
}

TEST(timer_that_is_pending_does_not_keep_the_process)
{
    static record hour, often;
    set(&hour, weft_now() + 3600 * WEFT_SECOND);
    often.timer.arg = &often;
    CHECK_OK(weft_timer_start(&often.timer, note, WEFT_NOW, WEFT_MS));
    wait_for(&often);
}

/* ---- fork ---- */

static int status_of(pid_t child)
{
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    return status;
}

enum {
    FIRED_BEFORE_THE_FORK = 4
};

static int set_in_the_child(record *r, record *other)
{
    if (load_acquire(&r->calls) != 0)
        return FIRED_BEFORE_THE_FORK;
    if (weft_timer_pending(&other->timer) || weft_timer_cancel(&other->timer))
        return 1;
    record mine = {0}; /* due after the parent's */
    set(&mine, r->due + 10 * WEFT_MS);
    wait_for(&mine);
    if (load_acquire(&r->calls) != 0)
        return 2;
    set(other, weft_now() + WEFT_MS);
    wait_for(other);
    return weft_timer_cancel(&other->timer) == 0 && load_relaxed(&early) == 0 ? 0 : 3;
}

TEST_IN(THREAD | CO, timer_fires_in_the_parent_only_and_a_child_of_fork_may_set_it_for_itself)
{
    int status;
    int64_t lead = 15 * WEFT_MS;
    do {
        record *r = test_alloc(t, sizeof *r), *other = test_alloc(t, sizeof *other);
        set(r, weft_now() + (lead *= 2));
        set(other, weft_now() + 3600 * WEFT_SECOND);
        pid_t child = fork();
        if (child == 0)
            _exit(set_in_the_child(r, other));
        CHECK(child > 0);
        wait_for(r);
        status = status_of(child);
        CHECK_INT(1, weft_timer_cancel(&other->timer));
        weft_timer_cancel(&r->timer);
    } while (WIFEXITED(status) && WEXITSTATUS(status) == FIRED_BEFORE_THE_FORK);
    CHECK_INT(0, status);
}

static pid_t forked;

static void fork_and_exit(weft_timer *t)
{
    forked = fork();
    if (forked == 0)
        _exit(7);
    note(t);
}

static void fork_and_return(weft_timer *t)
{
    forked = fork();
    if (forked != 0)
        note(t);
}

TEST(timer_function_may_fork_a_child_that_does_not_return)
{
    record r = {.timer.arg = &r};
    CHECK_OK(weft_timer_start(&r.timer, fork_and_exit, WEFT_NOW, 0));
    wait_for(&r);
    weft_timer_cancel(&r.timer);
    int status = status_of(forked);
    CHECK_INT(7, WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    record s = {.timer.arg = &s};
    CHECK_OK(weft_timer_start(&s.timer, fork_and_return, WEFT_NOW, 0));
    wait_for(&s);
    weft_timer_cancel(&s.timer);
    status = status_of(forked);
    CHECK_INT(SIGABRT, WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

static uint32_t busy = 1, setting; /* atomic */

static int keep_setting(void *arg)
{
    record *r = arg;
    set(r, weft_now());
    wait_for(r);
    add_acq_rel(&setting, 1);
    while (load_relaxed(&busy)) {
        set(r, weft_now() + 10 * WEFT_US);
        weft_timer_cancel(&r->timer);
    }
    return 0;
}

/* Wherever the others are in the midst of, the child finds the wheels whole. */
TEST_IN_LIMIT(30, THREAD, timers_work_in_children_forked_while_others_set_them)
{
    for (int i = 0; i < 2; i++)
        test_spawn(t, keep_setting, test_alloc(t, sizeof(record)));
    while (load_acquire(&setting) < 2)
        usleep(1000);
    for (long i = test_rounds(30, 1000); i > 0; i--) {
        pid_t child = fork();
        if (child == 0) {
            record r = {0};
            set(&r, weft_now() + WEFT_MS);
            wait_for(&r);
            _exit(0);
        }
        CHECK(child > 0);
        CHECK_INT(0, status_of(child));
    }
    store_relaxed(&busy, 0);
}
