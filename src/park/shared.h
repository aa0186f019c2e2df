/* shared.h - sleeping on words in memory shared between processes, through the kernel. Called by park.c only. */
#ifndef WEFT_PARK_SHARED_H
#define WEFT_PARK_SHARED_H

#include "park/park.h"

/* No sleep on a shared word is longer than this without a look at it: its waker may have died between store and wake.
 */
#define WEFT__SLICE (100 * WEFT_MS)

/* How often a sleeper looks at words that nobody watches for it: no futex_waitv, or no relay to be had. */
#define WEFT__TURN (2 * WEFT_MS)

/* As weft__park; also returns 0 without cause at the end of each slice. */
int weft__shared_park(const uint32_t *word, uint32_t expected, weft_until until, unsigned flags, const char *what);

/* As weft__park_any with at least one shared word among the cases; looks again by itself at the end of each slice. */
int weft__shared_park_any(weft__case *cases, unsigned n, weft_until until, unsigned flags);

/* ---- relay.c: a coroutine cannot sleep in the kernel, so a thread does it for many ---- */

/* A coroutine's interest in one shared word. It sleeps on the private word `fired`. */
typedef struct weft__relayed {
    const uint32_t *word;
    uint32_t expected;
    uint32_t fired;            /* atomic: 1 once the word changed or was woken */
    struct weft__relay *relay; /* NULL while nobody watches */
    unsigned slot;
} weft__relayed;

/* Have the word watched. Returns 0, or -ENOMEM or -EAGAIN when no thread can be had: then nobody watches it. */
int weft__relay_add(weft__relayed *r);

/* How many relays there are, and whether all are without anything to watch. */
bool weft__relays_idle(unsigned *threads);

/* No longer. Must be called after a successful add; r is free afterwards. */
void weft__relay_remove(weft__relayed *r);

#endif
