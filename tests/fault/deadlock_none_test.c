/* deadlock_none_test.c - programs that look like deadlocks and are none: they all come to their end, and nothing is
 * reported about them. Naps of 200 ms give the watch thread the time to be wrong. */
#include "fault/deadlock_support.h"

#include <weft/co.h>
#include <weft/cond.h>
#include <weft/event.h>
#include <weft/lock.h>
#include <weft/stream.h>
#include <weft/thread.h>
#include <weft/timer.h>

#include "base/atomic.h"
#include "sync/cond.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define NONE(name, ...)                                                                                                \
    static const char *const name##_actors[] = {__VA_ARGS__, NULL};                                                    \
    TEST(none_##name##_threads)                                                                                        \
    {                                                                                                                  \
        check_no_report(name##_actors, THREADS);                                                                       \
    }                                                                                                                  \
    TEST(none_##name##_coroutines)                                                                                     \
    {                                                                                                                  \
        check_no_report(name##_actors, COROUTINES);                                                                    \
    }                                                                                                                  \
    TEST(none_##name##_mixed)                                                                                          \
    {                                                                                                                  \
        check_no_report(name##_actors, MIXED);                                                                         \
    }

/* S000-34: in one order there is no ring. */
NONE(one_order, "lock0 nap lock1 unlock1 unlock0", "lock0 nap lock1 unlock1 unlock0", "lock0 lock1 unlock1 unlock0")
NONE(slow_holder, "lock0 nap unlock0", "lock0 nap unlock0", "nap lock0 unlock0")
/* Each waits for the other's lock, but one of them only for a while. */
NONE(timed_wait_in_the_ring, "lock0 | timed1 unlock0", "lock1 | lock0 unlock0 unlock1")
/* A5: a lock is released by others than its taker. */
NONE(hand_over_ping_pong, "hand0 hand1 | hand0 nap unhand1", "| nap unhand0 hand1")
/* It looks like a ring, and a third one releases the first's lock. */
NONE(hand_over_by_a_third, "hand0 | hand1", "hand1 | hand0 unhand1", "| nap unhand0")
NONE(lock_that_was_passed_on, "lock0 | lock0 | nap unlock0", "| nap unlock0 | lock0 unlock0")
/* It was released by another once, so it may be again: this is no ring either. */
NONE(ring_with_a_lock_that_was_passed_on, "lock0 | lock0 | lock1 unlock1", "lock1 | | lock0 unlock0 unlock1",
     "| nap unlock0 | nap unlock0")
NONE(event_that_is_set_late, "event0", "nap set0")
NONE(select_that_is_served_late, "| select0 | get0", "| nap set0 | nap put0")
NONE(select_with_a_deadline, "select-timed0", "select-timed0")
NONE(semaphore_that_is_released_late, "sem0", "nap post0")
NONE(producer_that_naps, "get0 get0", "nap put0 nap put0")
NONE(consumer_that_naps, "put0 put0 put0 put0", "nap get0 nap get0")
NONE(condition_that_is_notified_late, "lock0 | cond0 unlock0", "| nap lock0 notify0 unlock0")
NONE(condition_whose_lock_is_held_for_long, "lock0 | cond0 unlock0", "| lock0 nap notify0 nap unlock0")
NONE(reader_and_writer, "read0 nap unread0", "write0 nap unwrite0", "read0 unread0")
NONE(reader_that_naps_with_the_lock_of_a_writer, "read0 lock0 | nap unlock0 unread0", "| write0 unwrite0 lock0 unlock0")
NONE(readers_that_write_one_after_the_other, "read0 nap unread0 write0 unwrite0", "read0 nap unread0 write0 unwrite0")
NONE(writer_that_waits_for_a_while, "read0 | lock0 unlock0 unread0", "lock0 | timed-write0 unlock0")
/* A read hold that another lets go of; it is known, or has been seen, that this lock is used so. */
NONE(read_hold_that_is_handed_over, "handoff0 read0 | lock0 unlock0", "lock0 | write0 unwrite0 unlock0",
     "| nap unread0")
NONE(read_hold_that_was_passed_on, "read0 | | read0 | lock0 unlock0", "lock0 | | | write0 unwrite0 unlock0",
     "| unread0 | | nap unread0")
/* The first one's is a note of a lock that was in this place before. */
NONE(read_hold_of_a_lock_that_is_no_more, "read0 | | | lock0 unlock0", "lock0 | | | write0 unwrite0 unlock0",
     "| unread0 renew0 | read0 | nap unread0")
NONE(join_of_one_that_naps, "nap", "join0")
NONE(chain_of_joins, "nap", "join0", "join1", "join2")
NONE(once_that_naps, "once0 nap", "once0 nap")
NONE(join_behind_a_lock_that_comes_free, "lock0 nap unlock0 join1", "lock0 nap unlock0")

/* Be in the condition's queue, long enough to be looked at, and not have let go of the lock yet. */
static void stand_with_its_lock(weft_cond *c, weft_lock *l, weft__parking *p)
{
    static const weft__awaited condition = {.what = "condition", .enders = weft__cond_enders};
    weft_lock_acquire(l);
    CHECK_ERR(-ETIMEDOUT, weft_cond_wait(c, l, WEFT_NOW)); /* it knows its lock now */
    weft__await(weft__self(), &condition, c, NULL, WEFT_FOREVER);
    CHECK_INT(0, weft__park_prepare(p, &c->seq, load_relaxed(&c->seq), 0, "condition"));
    usleep(200000);
}

/* Who waits in a condition stands in its queue, and counts as asleep, before it lets go of the lock; between the two it
 * may be kept from running. */
TEST_IN(THREAD | CO, none_waiter_that_has_yet_to_let_go_of_the_lock_of_its_condition)
{
    weft_cond c = WEFT_COND_INIT;
    weft_lock l = WEFT_LOCK_INIT;
    weft__parking p;
    collect_reports(WEFT_DEADLOCK_REPORT);
    stand_with_its_lock(&c, &l, &p);
    weft__park_unprepare(&p);
    weft__awaited_end(weft__self());
    weft_lock_release(&l);
    if (reports() != 0)
        FAIL("%s", report_at(0)->text);
}

/* The last one that runs counts as asleep before it lets go of its condition's lock, for which another may wait: that
 * is no deadlock yet, and is one when it has let go. */
TEST(none_until_the_last_one_has_let_go_of_the_lock_of_its_condition)
{
    weft_cond c = WEFT_COND_INIT;
    weft_lock l = WEFT_LOCK_INIT;
    weft__parking p;
    need_stuck();
    collect_reports(WEFT_DEADLOCK_ERROR);
    stand_with_its_lock(&c, &l, &p);
    CHECK_INT(0, reports());
    weft_lock_release(&l);
    CHECK_ERR(-EDEADLK, weft__park_commit(&p, WEFT_FOREVER));
    weft__awaited_end(weft__self());
    CHECK_INT(1, reports());
}

/* It stands in the queue and looks once more whether it must sleep, when others that want the processor get it. */
TEST(none_waiter_that_is_kept_from_running_before_it_sleeps)
{
    static const weft__awaited event = {.what = "event"};
    weft_event e = WEFT_EVENT_INIT;
    weft__parking p;
    collect_reports(WEFT_DEADLOCK_REPORT);
    weft__await(weft__self(), &event, &e, NULL, WEFT_FOREVER);
    CHECK_INT(0, weft__park_prepare(&p, &e.word, 0, 0, "event"));
    for (int64_t end = weft_now() + 200 * WEFT_MS; weft_now() < end;)
        ;
    weft__park_unprepare(&p);
    weft__awaited_end(weft__self());
    CHECK_INT(0, reports());
}

static weft_event late = WEFT_EVENT_INIT;

static void *sets_late(void *arg)
{
    usleep(200000);
    weft_event_set(&late);
    return arg;
}

/* A thread that weft does not know may be the one. */
TEST_IN(THREAD | CO, none_foreign_thread_that_sets_late)
{
    pthread_t setter;
    collect_reports(WEFT_DEADLOCK_REPORT);
    CHECK_INT(0, pthread_create(&setter, NULL, sets_late, NULL));
    CHECK_OK(weft_event_wait(&late, WEFT_FOREVER));
    pthread_join(setter, NULL);
    CHECK_INT(0, reports());
}

static int sleeps_and_sets(void *arg)
{
    (void)arg;
    weft_sleep(weft_in_ms(200));
    weft_event_set(&late);
    return 0;
}

TEST(none_coroutine_that_sleeps_and_sets)
{
    collect_reports(WEFT_DEADLOCK_REPORT);
    CHECK_OK(weft_go(sleeps_and_sets, NULL));
    CHECK_OK(weft_event_wait(&late, WEFT_FOREVER));
    CHECK_INT(0, reports());
}

static int blocks_and_sets(void *arg)
{
    (void)arg;
    usleep(200000);
    return 0;
}

static int sets_after_blocking(void *arg)
{
    CHECK_OK(weft_blocking(blocks_and_sets, arg));
    weft_event_set(&late);
    return 0;
}

TEST(none_work_that_blocks)
{
    collect_reports(WEFT_DEADLOCK_REPORT);
    CHECK_OK(weft_go(sets_after_blocking, NULL));
    CHECK_OK(weft_event_wait(&late, WEFT_FOREVER));
    CHECK_INT(0, reports());
}

static int ends[2];

static int reads_and_sets(void *arg)
{
    (void)arg;
    weft_stream *s;
    char byte;
    CHECK_OK(weft_stream_adopt(&s, ends[0]));
    CHECK_INT(1, weft_stream_recv(s, &byte, 1, WEFT_FOREVER));
    weft_stream_close(s);
    weft_event_set(&late);
    return 0;
}

static void write_byte(int signal)
{
    (void)signal;
    ssize_t n = write(ends[1], "x", 1);
    (void)n;
}

/* A descriptor may become ready: here by a signal handler, when no thread runs. */
TEST(none_descriptor_that_a_signal_makes_ready)
{
    CHECK_INT(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends));
    collect_reports(WEFT_DEADLOCK_REPORT);
    signal(SIGALRM, write_byte);
    ualarm(250000, 0);
    CHECK_OK(weft_go(reads_and_sets, NULL));
    CHECK_OK(weft_event_wait(&late, WEFT_FOREVER));
    CHECK_INT(0, reports());
    close(ends[1]);
}

static void timer_sets(weft_timer *t)
{
    (void)t;
    weft_event_set(&late);
}

TEST(none_timer_that_sets_late)
{
    weft_timer t = WEFT_TIMER_INIT;
    collect_reports(WEFT_DEADLOCK_REPORT);
    CHECK_OK(weft_timer_start(&t, timer_sets, weft_in_ms(200), 0));
    CHECK_OK(weft_event_wait(&late, WEFT_FOREVER));
    CHECK_INT(0, reports());
}

/* A shared object may be released by another process. */
TEST(none_shared_lock_taken_twice)
{
    weft_lock l;
    collect_reports(WEFT_DEADLOCK_REPORT);
    CHECK_OK(weft_lock_init(&l, WEFT_SHARED));
    weft_lock_acquire(&l);
    CHECK_ERR(-ETIMEDOUT, weft_lock_acquire_until(&l, weft_in_ms(200)));
    CHECK_INT(0, reports());
}

TEST(none_when_it_is_off)
{
    static const char *const two[] = {"lock0 | lock1", "lock1 | lock0", NULL};
    collect_reports(WEFT_DEADLOCK_OFF);
    start_actors(two, THREADS);
    weft_sleep(weft_in_ms(200));
    CHECK_INT(0, reports());
}
