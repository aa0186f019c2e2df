/* The timing wheel against a plain table of deadlines. */
#include "co/timer.h"
#include "harness/harness.h"

#include <stdlib.h>

enum {
    TIMERS = 500
};

typedef struct record {
    weft__timer timer;
    int64_t due; /* INT64_MAX: not set */
} record;

static record records[TIMERS];
static weft__wheel wheel;
static int64_t now;
static uint64_t seed = 88172645463325252u;
static long fired;

static uint64_t next_random(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static int64_t random_delay(void)
{
    static const int64_t scales[] = {1000, 50000, 1000000, 100000000, INT64_C(10000000000), INT64_C(100000000000000)};
    return (int64_t)(next_random() % (uint64_t)scales[next_random() % 6]) - 500;
}

static void set(record *r, int64_t at)
{
    r->due = at;
    weft__wheel_set(&wheel, &r->timer, at);
}

static void fire(weft__timer *t)
{
    record *r = container_of(t, record, timer);
    CHECK(r->due <= now);
    CHECK(!weft__timer_is_set(t));
    r->due = INT64_MAX;
    fired++;
    record *other = &records[next_random() % TIMERS];
    switch (next_random() % 8) {
    case 0:
        set(r, now + random_delay()); /* itself, perhaps in the past: at the next look */
        break;
    case 1:
        weft__wheel_cancel(&wheel, &other->timer); /* perhaps one that is due in this very look */
        other->due = INT64_MAX;
        break;
    case 2:
        set(other, now + random_delay());
        break;
    default:
        break;
    }
}

static int64_t earliest(void)
{
    int64_t first = INT64_MAX;
    for (int i = 0; i < TIMERS; i++)
        if (records[i].due < first)
            first = records[i].due;
    return first;
}

/* All that is due at `now` has fired, and the wheel agrees about what is set. */
static void check_nothing_late(void)
{
    for (int i = 0; i < TIMERS; i++) {
        CHECK_INT(records[i].due != INT64_MAX, weft__timer_is_set(&records[i].timer));
        CHECK(records[i].due > now);
    }
}

TEST(timer_wheel_agrees_with_a_table_of_deadlines)
{
    now = INT64_C(7777777777777);
    weft__wheel_init(&wheel, now);
    for (int i = 0; i < TIMERS; i++) {
        records[i].timer.fire = fire;
        records[i].due = INT64_MAX;
    }
    for (long round = 0; round < 60000; round++) {
        record *r = &records[next_random() % TIMERS];
        if (next_random() % 4 != 0) {
            set(r, now + random_delay());
        } else {
            weft__wheel_cancel(&wheel, &r->timer);
            r->due = INT64_MAX;
        }
        CHECK(weft__wheel_next(&wheel) <= earliest());
        if (next_random() % 3 != 0)
            continue;
        uint64_t how = next_random() % 4;
        if (how == 0 && earliest() != INT64_MAX && earliest() > now)
            now = earliest(); /* exactly on time */
        else
            now += (int64_t)(next_random() % (how == 1 ? 2000 : how == 2 ? 200000 : 50000000));
        weft__wheel_fire(&wheel, now);
        while (earliest() <= now) /* set in the past by those that fired: for the next look */
            weft__wheel_fire(&wheel, now);
        check_nothing_late();
    }
    CHECK(fired > 10000);
}

static int count;

static void count_fire(weft__timer *t)
{
    (void)t;
    count++;
}

TEST(timer_fires_at_its_nanosecond_and_not_before)
{
    weft__timer t = {.fire = count_fire};
    for (int64_t delay = 1; delay < INT64_C(1) << 50; delay = delay * 3 + 1) {
        weft__wheel_init(&wheel, 1000000);
        weft__wheel_set(&wheel, &t, 1000000 + delay);
        CHECK(weft__wheel_next(&wheel) == 1000000 + delay);
        count = 0;
        weft__wheel_fire(&wheel, 1000000 + delay - 1);
        CHECK_INT(0, count);
        CHECK(weft__wheel_next(&wheel) == 1000000 + delay);
        weft__wheel_fire(&wheel, 1000000 + delay);
        CHECK_INT(1, count);
        CHECK(weft__wheel_next(&wheel) == INT64_MAX);
    }
}

TEST(timer_for_ever_never_fires_and_can_be_cancelled)
{
    weft__wheel_init(&wheel, 5);
    weft__timer t = {.fire = count_fire};
    weft__wheel_set(&wheel, &t, INT64_MAX);
    CHECK_INT(0, weft__wheel_fire(&wheel, INT64_C(1) << 61));
    weft__wheel_cancel(&wheel, &t);
    weft__wheel_cancel(&wheel, &t);
    CHECK(weft__wheel_next(&wheel) == INT64_MAX);
}

TEST(timer_set_when_the_clock_was_ahead_fires_by_the_clock_moved_back)
{
    weft__wheel_init(&wheel, INT64_C(1) << 45);
    weft__wheel_fire(&wheel, INT64_C(1) << 45);
    weft__timer soon = {.fire = count_fire}, later = {.fire = count_fire};
    count = 0;
    weft__wheel_set(&wheel, &soon, 2000);
    weft__wheel_set(&wheel, &later, 5000000);
    weft__wheel_fire(&wheel, 1000);
    CHECK_INT(0, count);
    weft__wheel_fire(&wheel, 2000);
    CHECK_INT(1, count);
    weft__wheel_fire(&wheel, 5000000);
    CHECK_INT(2, count);
}

static weft__timer many[100000];
static int64_t last_at;
static const weft__timer *last_fired;

static void fire_in_order(weft__timer *t)
{
    CHECK(t->at > last_at || (t->at == last_at && t > last_fired));
    last_fired = t;
    last_at = t->at;
    count++;
}

static void fire_many(unsigned n, uint64_t range)
{
    weft__wheel_init(&wheel, 0);
    for (unsigned i = 0; i < n; i++) {
        many[i].fire = fire_in_order;
        weft__wheel_set(&wheel, &many[i], (int64_t)(next_random() % range + 1));
    }
    count = 0;
    last_at = 0;
    weft__wheel_fire(&wheel, (int64_t)range / 2);
    CHECK_BETWEEN(n / 3, n * 2 / 3, count);
    weft__wheel_fire(&wheel, (int64_t)range);
    CHECK_INT(n, count);
}

/* From a range of a minute down to one within a tick, where many are equal. */
TEST(timers_fire_in_the_order_of_their_deadlines_and_equal_ones_in_that_of_their_setting)
{
    for (uint64_t range = 60000000000u; range > 100; range /= 11)
        fire_many(WEFT__ARRAY_LEN(many), range);
}

TEST(timer_cancelled_among_those_that_are_due_is_not_taken)
{
    weft__wheel_init(&wheel, 0);
    for (int i = 0; i < 5; i++)
        weft__wheel_set(&wheel, &many[i], 10 - i);
    weft__wheel_collect(&wheel, 10);
    weft__wheel_cancel(&wheel, &many[4]); /* the first, the last and one between */
    weft__wheel_cancel(&wheel, &many[0]);
    weft__wheel_cancel(&wheel, &many[2]);
    CHECK(weft__wheel_next(&wheel) == 7);
    CHECK_PTR(&many[3], weft__wheel_take(&wheel));
    CHECK_PTR(&many[1], weft__wheel_take(&wheel));
    CHECK_PTR(NULL, weft__wheel_take(&wheel));
    CHECK(weft__wheel_next(&wheel) == INT64_MAX);
}
