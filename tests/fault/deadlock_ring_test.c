/* deadlock_ring_test.c - rings of waiters: each program hangs, and the one report names its ring. Each is run by
 * threads, by coroutines and by both in turns. S000-35, S001-140, S004-36, X-10. */
#include "fault/deadlock_support.h"

#include <string.h>

#define RING(name, edges, ...)                                                                                         \
    static const char *const name##_actors[] = {__VA_ARGS__, NULL};                                                    \
    TEST(ring_##name##_threads)                                                                                        \
    {                                                                                                                  \
        check_ring(name##_actors, edges, THREADS);                                                                     \
    }                                                                                                                  \
    TEST(ring_##name##_coroutines)                                                                                     \
    {                                                                                                                  \
        check_ring(name##_actors, edges, COROUTINES);                                                                  \
    }                                                                                                                  \
    TEST(ring_##name##_mixed)                                                                                          \
    {                                                                                                                  \
        check_ring(name##_actors, edges, MIXED);                                                                       \
    }

/* S000-33: noodle and fork, taken crosswise. */
RING(noodle_and_fork, "0>1 1>0", "lock0 | lock1", "lock1 | lock0")
/* S000-33: all four eaters; the other two wait behind the ring. */
RING(four_eaters, "0>1 1>0", "lock0 | lock1 |", "lock1 | lock0 |", "| lock0", "| lock1")
RING(with_acquire_until, "0>1 1>0", "lock0 | until1", "lock1 | until0")
RING(three_locks, "0>1 1>2 2>0", "lock0 | lock1", "lock1 | lock2", "lock2 | lock0")
RING(five_philosophers, "0>1 1>2 2>3 3>4 4>0", "lock0 | lock1", "lock1 | lock2", "lock2 | lock3", "lock3 | lock4",
     "lock4 | lock0")
RING(rlocks, "0>1 1>0", "rlock0 rlock0 | rlock1", "rlock1 | rlock0")
RING(rlock_and_lock, "0>1 1>0", "rlock0 | lock1", "lock1 | rlock0")
RING(writers, "0>1 1>0", "write0 | write1", "write1 | write0")
RING(reader_behind_writer, "0>1 1>0", "write0 | read1", "write1 | read0")
RING(lock_and_writer, "0>1 1>0", "lock0 | write0", "write0 | lock0")
RING(lock_rlock_and_writer, "0>1 1>2 2>0", "lock0 | rlock0", "rlock0 | write0", "write0 | lock0")
RING(crossed_joins, "0>1 1>0", "| join1", "| join0")
RING(three_joins, "0>1 1>2 2>0", "| join1", "| join2", "| join0")
RING(join_with_the_lock_held, "0>1 1>0", "lock0 | join1", "| lock0")
RING(join_behind_an_rlock, "0>1 1>0", "rlock0 | join1", "| rlock0")
RING(onces, "0>1 1>0", "once0 | once1", "once1 | once0")
RING(once_and_lock, "0>1 1>0", "once0 | lock0", "lock0 | once0")
RING(once_and_join, "0>1 1>0", "once0 | join1", "| once0")
RING(handed_over_lock_between, "0>1 1>0", "hand0 lock0 | lock1", "lock1 | lock0")
RING(reader_and_lock, "0>1 1>0", "read0 | lock0", "lock0 | write0")
RING(readers_that_write_crosswise, "0>1 1>0", "read0 | write1", "read1 | write0")
RING(three_readers_that_write, "0>1 1>2 2>0", "read0 | write1", "read1 | write2", "read2 | write0")
RING(reader_that_wants_to_write, "0>0", "read0 write0")
RING(reader_that_reads_again_behind_a_writer, "0>1 1>0", "read0 | awaited-write0 read0", "| write0")
/* Another reader may let go; it does not help. */
RING(writer_that_waits_for_two_readers, "0>1 1>0", "read0 | lock0", "lock0 | write0", "read0 | event0")
RING(reader_that_joins_a_writer, "0>1 1>0", "read0 | join1", "| write0")
RING(once_and_reader, "0>1 1>0", "once0 | write0", "read0 | once0")
RING(reader_of_four, "0>1 1>0", "read0 read1 read2 read3 | lock0", "lock0 | write1")
RING(reader_that_let_go_of_another, "0>1 1>0", "read0 read1 unread0 | lock0", "lock0 | write1")
RING(reader_that_reads_twice, "0>1 1>0", "read0 read0 read0 unread0 | lock0", "lock0 | write0")
/* Who waits in a condition whose lock somebody holds for ever can neither be notified nor come back. */
RING(condition_whose_lock_is_held, "0>1 1>0", "lock1 lock0 | cond0", "| lock0 lock1")

/* The first one to wait waits for itself, too: when the other comes later, it has been told of already. */
static void check_two_that_want_to_write(enum actors kind)
{
    static const char *const two[] = {"read0 | write0", "read0 | write0", NULL};
    collect_reports(WEFT_DEADLOCK_REPORT);
    start_actors(two, kind);
    wait_for_reports(1);
    unsigned last = report_at(0)->n == 1;
    wait_for_reports(last + 1);
    CHECK_INT(1, report_at(last)->ring);
    CHECK_INT(2, report_at(last)->n);
    CHECK(strstr(report_at(last)->text, "read by itself") != NULL ||
          strstr(report_at(last)->text, "and itself") != NULL);
    CHECK(strstr(report_at(last)->text, "written by ") != NULL);
}

TEST(ring_two_readers_that_want_to_write_threads)
{
    check_two_that_want_to_write(THREADS);
}

TEST(ring_two_readers_that_want_to_write_coroutines)
{
    check_two_that_want_to_write(COROUTINES);
}

TEST(ring_two_readers_that_want_to_write_mixed)
{
    check_two_that_want_to_write(MIXED);
}

TEST(ring_names_places_and_variables)
{
    static const char *const two[] = {"lock0 | lock1", "lock1 | lock0", NULL};
    check_ring(two, "0>1 1>0", THREADS);
    const report *r = report_at(0);
    for (unsigned i = 0; i < r->n; i++) {
        CHECK_STR("lock", r->members[i].what);
        CHECK_STR("thread", r->members[i].kind);
#if WEFT_HAVE_LIBDW
        CHECK(strstr(r->members[i].awaited_at, "_word (deadlock_support.c:") != NULL);
        CHECK(strstr(r->members[i].taken_at, "_word (deadlock_support.c:") != NULL);
        CHECK(strncmp(r->members[i].object_name, "locks", 5) == 0);
#endif
    }
}

static const char *line_of(const report *r, const char *begin)
{
    const char *at = strstr(r->text, begin);
    if (at == NULL)
        FAIL("no '%s' in:\n%s", begin, r->text);
    return at;
}

/* S000-35: each reader by its name, and where it came in. */
TEST_IN(THREAD, ring_names_all_readers_that_a_writer_waits_for)
{
    static const char *const three[] = {"read0 | lock0", "lock0 | write0", "read0 | event0", NULL};
    check_ring(three, "0>1 1>0", MIXED);
    const report *r = report_at(0);
    const char *writer = line_of(r, "coroutine \"actor1\"");
    CHECK(strstr(writer, "waits for rwlock (write)") != NULL);
    CHECK(strstr(writer, "read by thread \"actor0\"") != NULL || strstr(writer, "and thread \"actor0\"") != NULL);
    CHECK(strstr(writer, "read by thread \"actor2\"") != NULL || strstr(writer, "and thread \"actor2\"") != NULL);
    for (unsigned i = 0; i < r->n; i++) {
        if (strcmp(r->members[i].name, "actor1") != 0)
            continue;
        CHECK_INT(2, r->members[i].n_holders);
        CHECK_INT(r->members[1 - i].id, r->members[i].holder); /* of the two, the one in the ring */
#if WEFT_HAVE_LIBDW
        CHECK(strstr(r->members[i].taken_at, "rwlock_word (deadlock_support.c:") != NULL);
        CHECK(strncmp(r->members[i].object_name, "rwlocks", 7) == 0);
#endif
    }
}
