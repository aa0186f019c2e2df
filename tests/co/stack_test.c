/* Stacks: classes, guards, reuse, memory given back, failure. */
#include "co/stack.h"
#include "harness/harness.h"
#include "sys/sys.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static weft__stack_cache cache;

TEST(stack_size_is_rounded_up_to_a_class)
{
    CHECK_INT(WEFT__STACK_DEFAULT, weft__stack_class(0));
    CHECK_INT(64 << 10, weft__stack_size(WEFT__STACK_DEFAULT));
    CHECK_INT(0, weft__stack_class(1));
    CHECK_INT(0, weft__stack_class(16384));
    CHECK_INT(1, weft__stack_class(16385));
    CHECK_INT(6, weft__stack_class(64 << 20));
    CHECK_ERR(-EINVAL, weft__stack_class((64 << 20) + 1));
}

TEST(stack_is_usable_from_end_to_end_in_every_class)
{
    for (unsigned c = 0; c < WEFT__STACK_CLASSES; c++) {
        weft__stack *a = weft__stack_take(&cache, c), *b = weft__stack_take(&cache, c);
        CHECK(a != NULL && b != NULL);
        size_t size = weft__stack_size(c);
        a->low[0] = a->low[size - 1] = 1;
        b->low[0] = b->low[size - 1] = 2;
        CHECK_INT(1, a->low[0] + a->low[size - 1] - 1);
        CHECK(a->low + size <= b->low - weft__stack_guard() || b->low + size <= a->low - weft__stack_guard());
        weft__stack_give(&cache, a);
        weft__stack_give(&cache, b);
        CHECK_PTR(b, weft__stack_take(&cache, c)); /* the one used last is warm */
    }
}

/* How a child ends that touches this address. */
static int touch(volatile char *p)
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        signal(SIGSEGV, SIG_DFL);
        signal(SIGBUS, SIG_DFL);
        *p = 1;
        _exit(0);
    }
    int status;
    CHECK_INT(pid, waitpid(pid, &status, 0));
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void check_guard(const weft__stack *s)
{
    size_t guard = weft__stack_guard();
    CHECK_INT(0, touch(s->low));
    CHECK_INT(SIGSEGV, touch(s->low - 1));
    CHECK_INT(SIGSEGV, touch(s->low - guard / 2));
    CHECK_INT(SIGSEGV, touch(s->low - guard));
}

TEST(stack_has_a_guard_below_it)
{
    weft__stack *s = weft__stack_take(&cache, 1);
    CHECK(s != NULL);
    check_guard(s);
    CHECK(weft__stack_guard() >= 4096);
}

TEST(stack_guard_without_guard_regions_is_a_mapping_of_its_own)
{
    weft__sys_plan(WEFT__SYS_MADVISE, 1, UINT32_MAX, -EINVAL, 0); /* as before Linux 6.13 */
    weft__stack *s = weft__stack_take(&cache, 1);
    CHECK(s != NULL);
    CHECK(weft__sys_seen(WEFT__SYS_MPROTECT) == 1);
    check_guard(s);
}

TEST(stack_without_a_guard_is_never_handed_out)
{
    weft__sys_plan(WEFT__SYS_MADVISE, 1, UINT32_MAX, -EINVAL, 0);
    weft__sys_plan(WEFT__SYS_MPROTECT, 2, 3, -ENOMEM, 0); /* vm.max_map_count is reached */
    weft__stack *a = weft__stack_take(&cache, 1);
    CHECK(a != NULL);
    for (int i = 0; i < 3; i++)
        CHECK(weft__stack_take(&cache, 1) == NULL);
    CHECK_INT(1, weft__stacks_made(1));
    weft__stack *b = weft__stack_take(&cache, 1);
    CHECK(b != NULL);
    check_guard(b);
}

TEST(stack_without_memory_is_null_and_comes_back)
{
    weft__sys_plan(WEFT__SYS_MMAP, 1, 1000, -ENOMEM, 0);
    CHECK(weft__stack_take(&cache, 3) == NULL);
    weft__sys_plan_none();
    CHECK(weft__stack_take(&cache, 3) != NULL);
}

TEST(stacks_that_are_too_many_give_their_memory_back)
{
    enum {
        MANY = 4000
    };
    static weft__stack *stacks[MANY];
    for (int i = 0; i < MANY; i++) {
        stacks[i] = weft__stack_take(&cache, 1);
        CHECK(stacks[i] != NULL);
    }
    bool exact = test_limit_factor() <= 1; /* sanitizers keep memory of their own for each byte */
    long before = test_rss_kb();
    for (int i = 0; i < MANY; i++)
        memset(stacks[i]->low, 1, weft__stack_size(1));
    long used = test_rss_kb();
    CHECK(!exact || used - before >= MANY * 60);
    for (int i = 0; i < MANY; i++)
        weft__stack_give(&cache, stacks[i]);
    CHECK(cache.count[1] <= weft__stack_cache_max(1));
    long after = test_rss_kb();
    if (exact)
        CHECK_BETWEEN(0, (96 << 10) + 8192, after - before); /* 16 MiB here, 64 MiB for everybody, and some slack */
    for (int i = 0; i < MANY; i++) {
        weft__stack *s = weft__stack_take(&cache, 1);
        CHECK(s != NULL);
        s->low[0] = 1;
    }
    CHECK_INT(MANY, weft__stacks_made(1)); /* reused, not made anew */
}
