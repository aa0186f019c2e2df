/* rate.h - how many requests a client's address may make: one word an address, no lock, no memory that grows.
 *
 * The word is the time at which the address would have used up what it was given, had it asked at exactly its rate (the
 * "generic cell rate algorithm"). Addresses share words by a seeded hash; two that meet share a rate, which is unlikely
 * among 65,536 and cannot be brought about from outside. An IPv6 client is its /64: who has one has all of it.
 * Processes that were forked from the one that made it share it. */
#ifndef WEFT_HTTP_RATE_H
#define WEFT_HTTP_RATE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct weft__rate weft__rate;

/* `rate` requests a second (above 0), up to `burst` at once. NULL: no memory. */
weft__rate *weft__rate_new(double rate, unsigned burst);
void weft__rate_free(weft__rate *r);

/* May the client at `address` (as text) make one more request at `now`? If not, *wait is in how many seconds. */
bool weft__rate_allow(weft__rate *r, const char *address, int64_t now, unsigned *wait);

#endif
