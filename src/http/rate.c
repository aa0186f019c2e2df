/* rate.c - see rate.h. Pinned by tests/http/rate_test.c. */
#include "http/rate.h"

#include "base/atomic.h"
#include "sys/net.h"
#include "sys/sys.h"

enum {
    WORDS = 1 << 16
};

/* The longest of an interval and of a burst in ns, so that no sum of them is beyond what there are numbers for. */
#define YEAR  ((int64_t)366 * 24 * 3600 * 1000000000)
#define BURST (100 * YEAR)

struct weft__rate {
    int64_t interval, burst; /* ns a request; ns that may be used up in advance */
    uint64_t seed;
    int64_t words[WORDS]; /* atomic */
};

weft__rate *weft__rate_new(double rate, unsigned burst)
{
    void *shared;
    if (weft__sys_map_shared(&shared, sizeof(weft__rate)) < 0)
        return NULL;
    weft__rate *r = shared;
    double interval = 1e9 / rate;
    int64_t requests = burst > 0 ? burst : 1;
    r->interval = interval < 1 ? 1 : interval < (double)YEAR ? (int64_t)interval : YEAR;
    r->burst = requests < BURST / r->interval ? requests * r->interval : BURST;
    weft__sys_random(&r->seed, sizeof r->seed);
    return r;
}

void weft__rate_free(weft__rate *r)
{
    if (r != NULL)
        weft__sys_unmap(r, sizeof *r);
}

bool weft__rate_allow(weft__rate *r, const char *address, int64_t now, unsigned *wait)
{
    weft__address client;
    if (weft__address_parse(&client, address, 0) < 0)
        client.size = 0;
    int64_t *word = &r->words[weft__address_client(&client, r->seed) % WORDS];
    int64_t used = load_relaxed(word), next;
    do {
        next = (used > now ? used : now) + r->interval;
        if (next - now > r->burst) {
            *wait = (unsigned)((next - now - r->burst + 999999999) / 1000000000);
            return false;
        }
    } while (!cas_relaxed(word, &used, next));
    return true;
}
