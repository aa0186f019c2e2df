/* check.c - what a check does when it fails: say so on standard error, settle the case's report, and end every process
 * of the case at once. The whole group is killed, because another waiter may be waiting for the one that failed. */
#include "base/atomic.h"
#include "harness/internal.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

test__report *test__this_report;

bool test__settle(test__report *report, int state, const char *message)
{
    int seen = CASE_RUNNING;
    if (!cas_acq_rel(&report->state, &seen, state))
        return false;
    snprintf(report->message, sizeof report->message, "%s", message);
    return true;
}

static _Noreturn void end_case(int state, const char *message)
{
    if (test__this_report == NULL) {
        fprintf(stderr, "a check outside any case: %s\n", message);
        abort();
    }
    test__settle(test__this_report, state, message);
    kill(-test__this_report->group, SIGKILL);
    _exit(1); /* only reached by a process that has left the group */
}

void test__fail(const char *file, int line, const char *fmt, ...)
{
    char message[900];
    int used = snprintf(message, sizeof message, "%s:%d: ", file, line);
    va_list args;
    va_start(args, fmt);
    vsnprintf(message + used, sizeof message - (size_t)used, fmt, args);
    va_end(args);
    end_case(CASE_FAILED, message);
}

void test__skip(const char *reason)
{
    end_case(CASE_SKIPPED, reason);
}

void test__check_int(const char *file, int line, const char *expected_text, long long expected, const char *actual_text,
                     long long actual)
{
    if (expected != actual)
        test__fail(file, line, "%s is %lld, expected %lld (%s)", actual_text, actual, expected, expected_text);
}

void test__check_between(const char *file, int line, long long low, long long high, const char *text, long long actual)
{
    if (actual < low || actual > high)
        test__fail(file, line, "%s is %lld, expected %lld to %lld", text, actual, low, high);
}

static void format_result(char *text, size_t size, long long result)
{
    const char *name = result < 0 && result > -4096 ? strerrorname_np((int)-result) : NULL;
    snprintf(text, size, name != NULL ? "%lld (-%s)" : "%lld", result, name);
}

void test__check_err(const char *file, int line, long long expected, const char *text, long long actual)
{
    if (expected == actual)
        return;
    char want[48], got[48];
    format_result(want, sizeof want, expected);
    format_result(got, sizeof got, actual);
    test__fail(file, line, "%s is %s, expected %s", text, got, want);
}

void test__check_ptr(const char *file, int line, const char *expected_text, const void *expected,
                     const char *actual_text, const void *actual)
{
    if (expected != actual)
        test__fail(file, line, "%s is %p, expected %p (%s)", actual_text, actual, expected, expected_text);
}

void test__check_str(const char *file, int line, const char *expected, const char *text, const char *actual)
{
    if (expected == NULL || actual == NULL ? expected != actual : strcmp(expected, actual) != 0)
        test__fail(file, line, "%s is \"%s\", expected \"%s\"", text, actual ? actual : "(null)",
                   expected ? expected : "(null)");
}

void test__check_mem(const char *file, int line, const void *expected, const char *text, const void *actual,
                     size_t size)
{
    const unsigned char *want = expected, *got = actual;
    for (size_t i = 0; i < size; i++)
        if (want[i] != got[i])
            test__fail(file, line, "%s: byte %zu of %zu is 0x%02x, expected 0x%02x", text, i, size, got[i], want[i]);
}
