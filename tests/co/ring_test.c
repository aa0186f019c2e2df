/* The queue of unstarted coroutines: order, growth, and that each entry is taken exactly once. */
#include "co/ring.h"
#include "harness/harness.h"

#include <pthread.h>

enum {
    ENTRIES = 200000,
    THIEVES = 3
};

static weft__ring ring;
static uint32_t taken[ENTRIES + 1]; /* atomic */
static uint32_t done;               /* atomic */

static void *entry(uintptr_t i)
{
    return (void *)i;
}

TEST(ring_gives_the_oldest_first_and_grows)
{
    bool first;
    uintptr_t in = 1, out = 1;
    void *e = NULL;
    for (unsigned round = 1; round < 3000; round++) {
        for (unsigned i = 0; i < round % 7 + 1; i++) {
            CHECK(ring_push(&ring, entry(in), &first));
            CHECK_INT(in == out, first);
            in++;
        }
        for (unsigned i = 0; i < round % 5; i++)
            if (ring_take(&ring, &e, 1) == 1)
                CHECK_INT(out++, (uintptr_t)e);
    }
    CHECK(in - out > 1000);
    while (ring_take(&ring, &e, 1) == 1)
        CHECK_INT(out++, (uintptr_t)e);
    CHECK_INT(in, out);
    CHECK(ring_empty(&ring));
}

TEST(ring_lets_others_take_half)
{
    bool first;
    void *entries[WEFT__RING_STEAL];
    for (uintptr_t i = 1; i <= 9; i++)
        ring_push(&ring, entry(i), &first);
    CHECK_INT(5, ring_take(&ring, entries, WEFT__RING_STEAL));
    CHECK_INT(5, (uintptr_t)entries[4]);
    CHECK_INT(2, ring_take(&ring, entries, WEFT__RING_STEAL));
    CHECK_INT(1, ring_take(&ring, entries, WEFT__RING_STEAL));
    CHECK_INT(1, ring_take(&ring, entries, WEFT__RING_STEAL));
    CHECK_INT(0, ring_take(&ring, entries, WEFT__RING_STEAL));
}

static void mark(void **entries, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        add_relaxed(&taken[(uintptr_t)entries[i]], 1);
}

static void *thieve(void *arg)
{
    (void)arg;
    void *entries[WEFT__RING_STEAL];
    while (load_acquire(&done) == 0)
        mark(entries, ring_take(&ring, entries, WEFT__RING_STEAL));
    return NULL;
}

TEST_LIMIT(30, ring_entry_is_taken_exactly_once)
{
    pthread_t threads[THIEVES];
    for (int i = 0; i < THIEVES; i++)
        pthread_create(&threads[i], NULL, thieve, NULL);
    void *e = NULL;
    bool first;
    for (uintptr_t i = 1; i <= ENTRIES; i++) {
        CHECK(ring_push(&ring, entry(i), &first));
        if (i % 3 == 0)
            mark(&e, ring_take(&ring, &e, 1));
    }
    while (!ring_empty(&ring))
        mark(&e, ring_take(&ring, &e, 1));
    store_release(&done, 1);
    for (int i = 0; i < THIEVES; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 1; i <= ENTRIES; i++)
        CHECK_INT(1, taken[i]);
}

TEST(ring_refuses_when_there_is_no_memory_and_recovers)
{
    bool first;
    weft__sys_plan(WEFT__SYS_MMAP, 1, 1, -12, 0);
    CHECK(!ring_push(&ring, entry(1), &first));
    CHECK(ring_push(&ring, entry(2), &first));
    void *e = NULL;
    CHECK_INT(1, ring_take(&ring, &e, 1));
    CHECK_INT(2, (uintptr_t)e);
}
