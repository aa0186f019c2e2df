/* The order on which every sleep and wake of weft rests: of two threads that each store and then load what the other
 * stores, one at least sees the other. */
#include "base/atomic.h"
#include "harness/harness.h"

#include <weft/base.h>

#include <pthread.h>
#include <sched.h>

enum {
    ROUNDS = 500000,
    PATIENCE = 100, /* looks at a word before giving way: the other may need this processor */
    THE_END = ROUNDS + 1
};

/* For the rounds: where both threads share a processor with many others, each round costs a turn of all of them. */
#define LONGEST (10 * WEFT_SECOND)

/* Each in a line of the cache of its own. */
static struct {
    _Alignas(WEFT__CACHE_LINE) uint32_t word;
} mine, yours, round_begun, round_done; /* atomic */

static uint32_t seen_by_other;

/* What it is when it is no longer `was`. */
static uint32_t next_of(const uint32_t *word, uint32_t was)
{
    uint32_t is;
    for (unsigned looks = 1; (is = load_acquire(word)) == was; looks++) {
        if (looks % PATIENCE == 0)
            sched_yield();
        else
            cpu_relax();
    }
    return is;
}

static void *other(void *arg)
{
    for (uint32_t i = 1; next_of(&round_begun.word, i - 1) != THE_END; i++) {
        store_seq_cst(&yours.word, i);
        seen_by_other = load_seq_cst(&mine.word);
        store_release(&round_done.word, i);
    }
    return arg;
}

TEST(of_two_who_store_and_then_load_one_sees_the_other)
{
    pthread_t thread;
    CHECK_INT(0, pthread_create(&thread, NULL, other, NULL));
    int64_t end = weft_now() + LONGEST;
    unsigned blind = 0;
    for (uint32_t i = 1; i <= ROUNDS && weft_now() < end; i++) {
        store_release(&round_begun.word, i);
        store_seq_cst(&mine.word, i);
        uint32_t seen = load_seq_cst(&yours.word);
        next_of(&round_done.word, i - 1);
        blind += seen != i && seen_by_other != i;
    }
    store_release(&round_begun.word, THE_END);
    pthread_join(thread, NULL);
    CHECK_INT(0, blind);
}
