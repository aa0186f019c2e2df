/* deadlock_stuck_test.c - nobody is left: each program comes to a state in which everybody waits, also the main thread,
 * and is told so once. S003-17, S001-140, X-10. */
#include "fault/deadlock_support.h"

#include <weft/co.h>
#include <weft/cond.h>
#include <weft/event.h>
#include <weft/lock.h>
#include <weft/thread.h>

#include "base/atomic.h"
#include "sys/aside.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STUCK(name, ...)                                                                                               \
    static const char *const name##_actors[] = {__VA_ARGS__, NULL};                                                    \
    TEST(stuck_##name##_threads)                                                                                       \
    {                                                                                                                  \
        check_stuck(name##_actors, THREADS);                                                                           \
    }                                                                                                                  \
    TEST(stuck_##name##_coroutines)                                                                                    \
    {                                                                                                                  \
        check_stuck(name##_actors, COROUTINES);                                                                        \
    }                                                                                                                  \
    TEST(stuck_##name##_mixed)                                                                                         \
    {                                                                                                                  \
        check_stuck(name##_actors, MIXED);                                                                             \
    }

/* S003-13: the same plain lock twice; another might release it, but nobody is left who could. */
STUCK(same_lock_twice, "lock0 lock0")
STUCK(event_that_nobody_sets, "event0")
STUCK(semaphore_that_nobody_releases, "sem0", "sem0")
STUCK(barrier_short_of_parties, "barrier0", "barrier0", "barrier0")
STUCK(queue_without_producer, "get0", "get0")
STUCK(queue_without_consumer, "put0 put0 put0")
STUCK(select_that_nobody_serves, "select0", "select0")
STUCK(queues_in_a_ring, "get0 put1", "get1 put0")
/* S003-17: who notifies waits then itself. */
STUCK(condition_of_which_all_wait, "lock0 cond0 cond0", "lock0 cond0 cond0", "nap lock0 notify0 cond0")
STUCK(condition_with_rlock, "rlock0 rlock0 cond-rlock0")
STUCK(hand_over_lock, "hand0 hand0")
STUCK(hand_over_locks_crosswise, "hand0 | hand1", "hand1 | hand0")
STUCK(writer_whose_reader_waits, "read0 | event0", "| write0")
/* More than a waiter is known to read at once. */
STUCK(ring_through_a_fifth_read_hold, "read0 read1 read2 read3 read4 | lock0", "lock0 | write4")
STUCK(joins_of_one_that_waits, "event0", "join0")
STUCK(after_a_while, "nap event0", "nap nap sem0")
STUCK(all_kinds, "event0", "sem0", "get0", "barrier0", "lock0 cond0")

TEST(stuck_condition_says_that_nobody_can_notify)
{
    static const char *const one[] = {"lock0 cond0", NULL};
    check_stuck(one, THREADS);
    CHECK(strstr(report_at(0)->text, "all its waiters wait, nobody can notify") != NULL);
}

TEST(stuck_writer_is_told_who_reads)
{
    static const char *const three[] = {"read0 | event0", "| write0", "read0 | event0", NULL};
    check_stuck(three, MIXED);
    const char *writer = strstr(report_at(0)->text, "waits for rwlock (write)");
    CHECK(writer != NULL && strstr(writer, "        read by thread \"actor") != NULL);
    CHECK(writer != NULL && strstr(writer, "        and thread \"actor") != NULL);
}

/* A thread that ends was the last one that could have set the event. */
static int ends_late(void *after_ms)
{
    usleep(*(const unsigned *)after_ms * 1000);
    return 0;
}

static unsigned late_ms = 150;

static weft_event never = WEFT_EVENT_INIT;

static void release_main(void)
{
    weft_event_set(&never);
}

static void see_end_of_thread(unsigned after_ms)
{
    weft_thread t = WEFT_THREAD_INIT;
    need_stuck();
    on_report = release_main;
    collect_reports(WEFT_DEADLOCK_REPORT);
    CHECK_OK(weft_thread_start(&t, ends_late, &after_ms, NULL));
    CHECK_OK(weft_event_wait(&never, WEFT_FOREVER));
    CHECK_INT(1, reports());
    CHECK_OK(weft_thread_join(&t, NULL, WEFT_FOREVER));
}

TEST(stuck_is_seen_when_the_last_thread_has_ended)
{
    see_end_of_thread(late_ms);
}

/* The watch thread stays for those who sleep, however long nothing happens. */
TEST_LIMIT(40, stuck_is_seen_when_the_last_thread_ends_after_long)
{
    see_end_of_thread(12000);
}

TEST(stuck_is_seen_when_the_last_coroutine_has_ended)
{
    need_stuck();
    on_report = release_main;
    collect_reports(WEFT_DEADLOCK_REPORT);
    CHECK_OK(weft_go(ends_late, &late_ms));
    CHECK_OK(weft_event_wait(&never, WEFT_FOREVER));
    CHECK_INT(1, reports());
}

static void *ends_late_too(void *arg)
{
    return arg + ends_late(&late_ms);
}

TEST(stuck_is_seen_when_the_last_thread_that_weft_does_not_know_has_ended)
{
    pthread_t t;
    need_stuck();
    on_report = release_main;
    collect_reports(WEFT_DEADLOCK_REPORT);
    CHECK_INT(0, pthread_create(&t, NULL, ends_late_too, NULL));
    CHECK_OK(weft_event_wait(&never, WEFT_FOREVER));
    CHECK_INT(1, reports());
    pthread_join(t, NULL);
}

/* Each new way of being stuck is reported anew. */
TEST(stuck_again_is_reported_again)
{
    need_stuck();
    on_report = release_main;
    collect_reports(WEFT_DEADLOCK_REPORT);
    for (unsigned i = 1; i <= 3; i++) {
        CHECK_OK(weft_event_wait(&never, WEFT_FOREVER));
        CHECK_INT(i, reports());
        weft_event_clear(&never);
    }
}
