/* What a switch keeps, and what a new stack looks like. */
#include "co/switch.h"
#include "harness/harness.h"

#include <fenv.h>
#include <stdlib.h>

enum {
    SIZE = 64 << 10
};

static void *here, *there;
static int entered;
static uintptr_t entry_cfa;
static void *entry_arg;

static char *new_stack(void)
{
    char *stack = aligned_alloc(64, SIZE);
    CHECK(stack != NULL);
    return stack;
}

/* Plain switches: these stacks are unknown to the sanitizers, so such builds skip them. */
static void skip_with_sanitizers(void)
{
#if WEFT__ASAN || WEFT__TSAN
    SKIP("switches below the layer that tells the sanitizers");
#endif
}

static void enter(void *arg)
{
    entry_cfa = (uintptr_t)__builtin_dwarf_cfa();
    entry_arg = arg;
    for (;;) {
        entered++;
        weft__switch(&there, here);
    }
}

TEST(switch_enters_with_an_aligned_stack_and_the_argument)
{
    skip_with_sanitizers();
    char *stack = new_stack();
    there = weft__switch_prepare(stack, stack + SIZE, enter, &entered);
    weft__switch(&here, there);
    CHECK_INT(1, entered);
    CHECK_INT(0, entry_cfa % 16);
    CHECK_PTR(&entered, entry_arg);
    CHECK(entry_cfa > (uintptr_t)stack && entry_cfa <= (uintptr_t)stack + SIZE);
    for (int i = 0; i < 1000; i++)
        weft__switch(&here, there);
    CHECK_INT(1001, entered);
    free(stack);
}

/* Overwrites every register a function must preserve, between two switches. */
__attribute__((noinline)) static long use_registers(long seed, void **from, void **to)
{
    volatile long one = seed;
    long a = one + 1, b = one * 3, c = one ^ 5, d = one - 7, e = one << 3, f = one | 64, g = one + 9, h = one * 11;
    volatile double half = (double)seed / 2;
    double p = half + 1, q = half * 3, r = half - 5, s = half / 7;
    for (int i = 0; i < 100; i++) {
        weft__switch(from, *to);
        a += b ^ i, b += c, c ^= d + i, d += e, e -= f, f ^= g, g += h, h ^= a;
        p += q * 0.5, q -= r * 0.25, r += s, s -= p * 0.125;
    }
    return a ^ b ^ c ^ d ^ e ^ f ^ g ^ h ^ (long)(p + q + r + s);
}

static long other_result;

static void register_user(void *arg)
{
    (void)arg;
    other_result = use_registers(12345, &there, &here);
    for (;;)
        weft__switch(&there, here);
}

static void bounce(void *arg)
{
    (void)arg;
    for (;;)
        weft__switch(&there, here);
}

TEST(switch_keeps_the_registers_of_both_sides)
{
    skip_with_sanitizers();
    char *stack = new_stack();
    /* What each side computes when the other one does nothing ... */
    there = weft__switch_prepare(stack, stack + SIZE, bounce, NULL);
    long mine = use_registers(999, &here, &there);
    long theirs = use_registers(12345, &here, &there);
    /* ... is what it computes when both do it. */
    there = weft__switch_prepare(stack, stack + SIZE, register_user, NULL);
    CHECK_INT(mine, use_registers(999, &here, &there));
    weft__switch(&here, there);
    CHECK_INT(theirs, other_result);
    free(stack);
}

static int their_rounding[2];

static void round_upward(void *arg)
{
    (void)arg;
    their_rounding[0] = fegetround();
    fesetround(FE_UPWARD);
    weft__switch(&there, here);
    their_rounding[1] = fegetround();
    for (;;)
        weft__switch(&there, here);
}

TEST(switch_keeps_the_rounding_mode_of_each_side)
{
    skip_with_sanitizers();
    char *stack = new_stack();
    there = weft__switch_prepare(stack, stack + SIZE, round_upward, NULL);
    weft__switch(&here, there);
    CHECK_INT(FE_TONEAREST, fegetround());
    fesetround(FE_DOWNWARD);
    weft__switch(&here, there);
    CHECK_INT(FE_DOWNWARD, fegetround());
    fesetround(FE_TONEAREST);
    CHECK_INT(FE_TONEAREST, their_rounding[0]);
    CHECK_INT(FE_UPWARD, their_rounding[1]);
    free(stack);
}
