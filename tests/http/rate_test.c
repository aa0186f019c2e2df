/* rate_test.c - how many requests an address may make, on a clock of the test's. */
#include "harness/harness.h"

#include "http/rate.h"

#include <weft/base.h>

#include <sys/wait.h>
#include <unistd.h>

static bool allow(weft__rate *r, const char *address, int64_t now)
{
    unsigned wait = 0;
    bool yes = weft__rate_allow(r, address, now, &wait);
    CHECK(yes == (wait == 0));
    return yes;
}

TEST(rate_gives_a_burst_and_then_its_rate)
{
    weft__rate *r = weft__rate_new(10, 5);
    int64_t now = 1000 * WEFT_SECOND;
    for (int i = 0; i < 5; i++)
        CHECK(allow(r, "127.0.0.1", now));
    CHECK(!allow(r, "127.0.0.1", now));
    CHECK(!allow(r, "127.0.0.1", now + 99 * WEFT_MS));
    CHECK(allow(r, "127.0.0.1", now + 100 * WEFT_MS));
    CHECK(!allow(r, "127.0.0.1", now + 100 * WEFT_MS));
    int given = 0;
    for (int ms = 101; ms <= 10100; ms++)
        given += allow(r, "127.0.0.1", now + ms * WEFT_MS);
    CHECK_INT(100, given); /* ten seconds at ten a second */
    now += 100 * WEFT_SECOND;
    for (int i = 0; i < 5; i++) /* rest gives no more than a burst */
        CHECK(allow(r, "127.0.0.1", now));
    CHECK(!allow(r, "127.0.0.1", now));
    weft__rate_free(r);
}

TEST(rate_says_when_to_come_again)
{
    weft__rate *r = weft__rate_new(0.1, 1);
    unsigned wait = 0;
    CHECK(weft__rate_allow(r, "10.0.0.1", WEFT_SECOND, &wait));
    CHECK(!weft__rate_allow(r, "10.0.0.1", WEFT_SECOND, &wait));
    CHECK_INT(10, wait);
    CHECK(!weft__rate_allow(r, "10.0.0.1", 2 * WEFT_SECOND, &wait));
    CHECK_INT(9, wait);
    CHECK(weft__rate_allow(r, "10.0.0.1", 11 * WEFT_SECOND, &wait));
    weft__rate_free(r);
}

/* Numbers that no clock can count to are as large as one can. */
TEST(rate_may_be_next_to_nothing_and_a_burst_endless)
{
    static const struct {
        double rate;
        unsigned burst;
        int given;
    } cases[] = {{1e-3, UINT32_MAX, 100}, {1e-12, UINT32_MAX, 100}, {1e-12, 2, 2}, {1e-300, 1, 1}, {1e9, 100, 100}};
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        weft__rate *r = weft__rate_new(cases[i].rate, cases[i].burst);
        int given = 0;
        while (given < 100 && allow(r, "10.0.0.1", WEFT_SECOND))
            given++;
        CHECK_INT(cases[i].given, given);
        weft__rate_free(r);
    }
}

TEST(rate_holds_for_all_processes_together)
{
    weft__rate *r = weft__rate_new(1, 4);
    int status;
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0)
        _exit(allow(r, "10.0.0.1", WEFT_SECOND) && allow(r, "10.0.0.1", WEFT_SECOND) ? 0 : 1);
    CHECK_INT(pid, waitpid(pid, &status, 0));
    CHECK_INT(0, status);
    CHECK(allow(r, "10.0.0.1", WEFT_SECOND) && allow(r, "10.0.0.1", WEFT_SECOND));
    CHECK(!allow(r, "10.0.0.1", WEFT_SECOND));
    weft__rate_free(r);
}

TEST(rate_is_each_addresss_own_and_a_64s_together)
{
    /* 65,536 words: with a new seed each time one of these may meet the other once in so many runs, so a few are
     * tried. */
    unsigned apart = 0;
    for (int i = 0; i < 3; i++) {
        weft__rate *r = weft__rate_new(1, 1);
        CHECK(allow(r, "10.0.0.1", WEFT_SECOND));
        apart += allow(r, "10.0.0.2", WEFT_SECOND);
        weft__rate_free(r);
    }
    CHECK(apart > 0);
    weft__rate *r = weft__rate_new(1, 1);
    CHECK(allow(r, "2001:db8:1:2::1", WEFT_SECOND));
    CHECK(!allow(r, "2001:db8:1:2:ffff::9", WEFT_SECOND));
    weft__rate_free(r);
}
