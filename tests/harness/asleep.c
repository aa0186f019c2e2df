/* asleep.c - waiting for others to be asleep, by looking at the queue they sleep in and not at the clock. */
#include "harness/internal.h"
#include "park/park.h"

#include <weft/co.h>

#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel tells how many sleep on a word when it is asked to move them to where they are. */
static long count_kernel_sleepers(const uint32_t *word)
{
    for (;;) {
        uint32_t value = load_seq_cst(word);
        long n = syscall(SYS_futex, word, FUTEX_CMP_REQUEUE, 0, (long)INT_MAX, word, value);
        if (n >= 0)
            return n; /* less: the word has just changed */
    }
}

void test_wait_until_asleep(test *t, const uint32_t *word, unsigned n)
{
    for (;;) {
        long asleep = test_context(t) == PROCESS ? count_kernel_sleepers(word) : (long)weft__sleepers(word);
        if (asleep >= (long)n)
            return;
        if (test_context(t) == CO)
            weft_yield(); /* they may be waiting for this very thread */
        else
            sched_yield();
    }
}
