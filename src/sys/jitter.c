/* jitter.c - the delays of base/jitter.h. */
#define WEFT__NO_JITTER /* here an operation is only an operation */
#include "base/atomic.h"
#if WEFT_JITTER
#include "base/jitter.h"
#include "sys/direct.h"

#include <sched.h>
#include <stdlib.h>
#include <time.h>

enum {
    USUAL_ODDS = 512,
    NEW_TIMES = 20, /* a place is new so often, and late then with these odds: */
    NEW_ODDS = 8,
    SLEEP_MIN = 20, /* microseconds */
    SLEEP_MAX = 2000
};

static uint32_t odds_and_one;           /* atomic: one call in so many, and 1; 0: not read yet */
static WEFT__TLS uint64_t random_state; /* 0: not begun. A signal handler that changes it meanwhile does no harm */

static uint32_t read_odds(void)
{
    const char *text = getenv("WEFT_JITTER");
    uint32_t odds = text == NULL || *text == '\0' ? USUAL_ODDS : 0;
    for (; text != NULL && *text >= '0' && *text <= '9'; text++)
        odds = odds * 10 + (uint32_t)(*text - '0');
    store_relaxed(&odds_and_one, odds + 1);
    return odds + 1;
}

static uint64_t next_random(void)
{
    uint64_t x = random_state;
    if (x == 0)
        x = (uint64_t)(uintptr_t)&random_state | 1;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    random_state = x;
    return x * 0x2545F4914F6CDD1D >> 32;
}

/* A third are a moment long, a third let others run, and a third sleep. Rather seldom and long than often and short:
 * while one is late the others are to come far. */
static WEFT__COLD void be_late(uint64_t chance)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    random_state ^= (uint64_t)t.tv_nsec << 20; /* processes forked from one go on differently */
    uint64_t length = chance / 3;
    switch (chance % 3) {
    case 0:
        t = (struct timespec){.tv_nsec = (long)(SLEEP_MIN + length % (SLEEP_MAX - SLEEP_MIN)) * 1000};
        weft__direct(SYS_nanosleep, &t, NULL, 0, 0, 0, 0);
        break;
    case 1:
        sched_yield();
        break;
    default:
        for (uint64_t i = length % 64; i > 0; i--)
            cpu_relax();
    }
}

WEFT__NOINLINE void weft__jitter(uint8_t *place)
{
    uint32_t odds = load_relaxed(&odds_and_one);
    if (unlikely(odds == 0))
        odds = read_odds();
    if (odds == 1)
        return;
    odds--;
    uint8_t times = load_relaxed(place);
    if (unlikely(times < NEW_TIMES)) {
        store_relaxed(place, times + 1);
        odds = odds < NEW_ODDS ? odds : NEW_ODDS;
    }
    uint64_t chance = next_random();
    if (unlikely(chance % odds == 0))
        be_late(chance / odds);
}

#endif
