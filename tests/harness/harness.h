/* harness.h - how a test is written. Include it as "harness/harness.h"; a file tests/<folder>/<module>_test.c needs
 * nothing else to be built into the one binary weft-tests and run.
 *
 *     TEST(lock_is_free_at_first)                            runs as lock_is_free_at_first
 *     {
 *         weft_lock l = WEFT_LOCK_INIT;
 *         CHECK_OK(weft_lock_acquire_until(&l, WEFT_NOW));
 *         weft_lock_release(&l);
 *     }
 *
 *     TEST_IN(THREAD | CO | PROCESS, lock_times_out)         runs as lock_times_out/thread, /co and /process
 *     {
 *         weft_lock *l = test_alloc(t, sizeof *l);
 *         weft_lock_init(l, test_flags(t));
 *         weft_lock_acquire(l);
 *         test_spawn(t, times_out, l);                       another waiter of this kind runs times_out(l)
 *         test_join(t);
 *     }
 *
 * Each case runs in a child process of its own and fails when a check fails anywhere in it (also in a thread, a
 * coroutine or a forked child), when it crashes, when it is not done within its limit, when it leaves a descriptor
 * open or a process running, and when it ends the process before the body has returned. Its output is shown only if it
 * fails. Sanitizers and valgrind stretch the limit, and so does a machine that has too few processors for what it is
 * asked to do meanwhile: up to four times. */
#ifndef TESTS_HARNESS_H
#define TESTS_HARNESS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct test test;
typedef int test_fn(void *arg);

/* Where the body of TEST_IN runs, and what test_spawn starts. */
enum {
    THREAD = 1,
    CO = 2,
    PROCESS = 4
};

#define TEST_DEFAULT_LIMIT 30 /* seconds */

/* --- defining cases --- */

#define TEST(name)              TEST_LIMIT(TEST_DEFAULT_LIMIT, name)
#define TEST_IN(contexts, name) TEST_IN_LIMIT(TEST_DEFAULT_LIMIT, contexts, name)

/* The same with a limit of their own, in seconds. */
#define TEST_LIMIT(seconds, name) TEST__PLAIN(name, seconds, NULL)
#define TEST_IN_LIMIT(seconds, contexts_, name)                                                                        \
    static void name(test *t);                                                                                         \
    TEST__REGISTER(name, .limit = (seconds), .contexts = (contexts_), .in = name)                                      \
    static void name(__attribute__((unused)) test *t)

/* The body must abort, with `text` somewhere on standard error. */
#define TEST_PANICS(name, text) TEST__PLAIN(name, TEST_DEFAULT_LIMIT, text)

/* --- checking: a failed one prints both sides and ends the case, whoever made it --- */

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            FAIL("CHECK(%s)", #condition);                                                                             \
    } while (0)
#define CHECK_INT(expected, actual)                                                                                    \
    test__check_int(__FILE__, __LINE__, #expected, (long long)(expected), #actual, (long long)(actual))
#define CHECK_BETWEEN(low, high, actual)                                                                               \
    test__check_between(__FILE__, __LINE__, (long long)(low), (long long)(high), #actual, (long long)(actual))
#define CHECK_ERR(expected, actual)                                                                                    \
    test__check_err(__FILE__, __LINE__, (long long)(expected), #actual, (long long)(actual))
#define CHECK_OK(actual) CHECK_ERR(0, actual)
#define CHECK_PTR(expected, actual)                                                                                    \
    test__check_ptr(__FILE__, __LINE__, #expected, (const void *)(expected), #actual, (const void *)(actual))
#define CHECK_STR(expected, actual)       test__check_str(__FILE__, __LINE__, (expected), #actual, (actual))
#define CHECK_MEM(expected, actual, size) test__check_mem(__FILE__, __LINE__, (expected), #actual, (actual), (size))
#define FAIL(...)                         test__fail(__FILE__, __LINE__, __VA_ARGS__)
#define SKIP(reason)                      test__skip(reason)

/* --- in the body of TEST_IN --- */

/* Start another waiter of this kind that runs fn(arg). Returns its number, from 0. */
int test_spawn(test *t, test_fn *fn, void *arg);

/* Wait for every waiter that was not waited for yet; each must have returned 0. Happens at the end of the body by
 * itself. */
void test_join(test *t);

/* Wait for one waiter. Returns what its fn returned, or TEST_KILLED(signal) if it was a process and died of a signal.
 */
int test_result(test *t, int waiter);
#define TEST_KILLED(signal) (1000000 + (signal))

/* The process id of a waiter in the process context (kill it, then ask for test_result); 0 in the others. */
pid_t test_pid(test *t, int waiter);

/* Zeroed memory that all waiters of the case can reach at this address (shared with those forked from now on in the
 * process context), aligned to a cache line. Freed after the body; never NULL. */
void *test_alloc(test *t, size_t size);

/* Wait until at least n waiters are in the queue of this word: private words in the thread and coroutine contexts,
 * shared ones in the process context (such sleepers wake now and then to look again, so the picture may be old at
 * once). */
void test_wait_until_asleep(test *t, const uint32_t *word, unsigned n);

/* What to pass to a lock's init: WEFT_SHARED in the process context, else 0. */
unsigned test_flags(const test *t);

/* THREAD, CO or PROCESS. */
unsigned test_context(const test *t);

/* --- in any body --- */

/* An empty directory of this case, made at the first call and removed with all its contents after the case. */
const char *test_dir(void);

/* Zeroed memory that this process shares with those that it forks from now on. Never NULL; for the whole case. */
void *test_shared(size_t size);

/* Open descriptors of this process. */
int test_fd_count(void);

/* Resident memory of this process, in KiB. */
long test_rss_kb(void);

/* The factor by which this build or machine stretches limits (1 in a plain run): for a test's own deadlines. */
double test_limit_factor(void);

/* `normal`, or `soak` in a run of `make soak`: how often a test repeats what takes long. */
long test_rounds(long normal, long soak);

/* This case leaves descriptors open on purpose. Without this a case that ends with more than it began with fails; the
 * library's own epoll, io_uring, timer and event descriptors are forgiven up to a few for each processor. */
void test_keeps_fds(void);

/* --- behind the macros --- */

typedef struct test__case {
    const char *name, *file, *panics;
    int line, limit;
    unsigned contexts; /* 0: a plain case */
    void (*plain)(void);
    void (*in)(test *t);
    struct test__case *next;
} test__case;

void test__register(test__case *c);

#define TEST__REGISTER(name_, ...)                                                                                     \
    __attribute__((constructor)) static void name_##_register(void)                                                    \
    {                                                                                                                  \
        static test__case c = {.name = #name_, .file = __FILE__, .line = __LINE__, __VA_ARGS__};                       \
        test__register(&c);                                                                                            \
    }
#define TEST__PLAIN(name, seconds, text)                                                                               \
    static void name(void);                                                                                            \
    TEST__REGISTER(name, .limit = (seconds), .panics = (text), .plain = name)                                          \
    static void name(void)

_Noreturn void test__fail(const char *file, int line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
_Noreturn void test__skip(const char *reason);
void test__check_int(const char *file, int line, const char *expected_text, long long expected, const char *actual_text,
                     long long actual);
void test__check_between(const char *file, int line, long long low, long long high, const char *text, long long actual);
void test__check_err(const char *file, int line, long long expected, const char *text, long long actual);
void test__check_ptr(const char *file, int line, const char *expected_text, const void *expected,
                     const char *actual_text, const void *actual);
void test__check_str(const char *file, int line, const char *expected, const char *text, const char *actual);
void test__check_mem(const char *file, int line, const void *expected, const char *text, const void *actual,
                     size_t size);

#endif
