/* library_test.c - libraries that are loaded at first use: by whoever is first, whole or not at all (L1, L2). */
#include "harness/harness.h"

#include "base/compiler.h"
#include "sys/library.h"
#include "sys/sys.h"

#include <weft/co.h>
#include <weft/process.h>
#include <weft/thread.h>

#include <errno.h>
#include <string.h>

static const char *const math[] = {"cos", "sqrt"};

typedef struct math_table {
    double (*cos)(double);
    double (*sqrt)(double);
} math_table;

static math_table table;
static weft__library libm = {"libm.so.6", math, WEFT__ARRAY_LEN(math), &table, 0};

static int use(void *arg)
{
    (void)arg;
    int err = weft__sys_library(&libm, NULL, 0);
    return err < 0 ? err : table.sqrt(49) == 7.0 && table.cos(0) == 1.0 ? 7 : 1;
}

TEST_IN(THREAD | CO | PROCESS, library_is_loaded_by_whoever_needs_it_first)
{
    CHECK_INT(7, use(NULL));
    CHECK_INT(7, use(NULL));
}

TEST(library_is_loaded_once_for_many_threads)
{
    weft_thread threads[8] = {0};
    for (unsigned i = 0; i < 8; i++)
        CHECK_OK(weft_thread_start(&threads[i], use, NULL, NULL));
    for (unsigned i = 0; i < 8; i++) {
        int result = 0;
        CHECK_OK(weft_thread_join(&threads[i], &result, WEFT_FOREVER));
        CHECK_INT(7, result);
    }
}

/* A fork in the midst of a loading waits for it; the child has it, or loads it. */
TEST(library_is_whole_in_a_child)
{
    for (int i = 0; i < 20; i++) {
        weft_thread t = WEFT_THREAD_INIT;
        weft_process p = WEFT_PROCESS_INIT;
        int code = 0;
        libm.state = 0;
        CHECK_OK(weft_thread_start(&t, use, NULL, NULL));
        CHECK_OK(weft_process_start(&p, use, NULL, NULL));
        CHECK_OK(weft_process_join(&p, &code, WEFT_FOREVER));
        CHECK_INT(7, code);
        CHECK_OK(weft_process_close(&p));
        CHECK_OK(weft_thread_join(&t, NULL, WEFT_FOREVER));
    }
}

TEST(library_that_is_missing_is_named)
{
    void *f[1] = {NULL};
    char error[200];
    const char *const names[] = {"no_such_function_at_all"};
    weft__library none = {"libweft-none.so.9", names, 1, f, 0}, older = {"libm.so.6", names, 1, f, 0};
    for (int i = 0; i < 2; i++) {
        error[0] = 0;
        CHECK_ERR(-ELIBACC, weft__sys_library(&none, error, sizeof error));
        CHECK(strstr(error, "libweft-none.so.9") != NULL);
    }
    CHECK_ERR(-ELIBACC, weft__sys_library(&older, error, sizeof error));
    CHECK(strstr(error, "no_such_function_at_all") != NULL);
    CHECK_ERR(-ELIBACC, weft__sys_library(&older, NULL, 0));
    CHECK_PTR(NULL, f[0]);
}
