/* per_address.h - how many connections each client's address has, over all loops and processes of a server: with the
 * option max_per_address.
 *
 * A table of shared memory, of a fixed size, in which an address has a word by a seeded hash (weft__address_client; an
 * IPv6 client is its /64). Two addresses that meet share a limit, which is unlikely among 65,536 and cannot be brought
 * about from outside. A word has a cell for each process of the server, a *part*, in which that one alone counts.
 * A1  what a process has counted ends with its *life*: the cell names it, and counts for nothing in another. So the
 *     places of one that was killed at any moment are given back by one store, when it is buried.
 * A2  nobody is let in beyond the limit: who has counted himself looks at the sum once more, and of those who come at
 *     the same moment the last one sees the others. */
#ifndef WEFT_SERVE_PER_ADDRESS_H
#define WEFT_SERVE_PER_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct weft__per_address weft__per_address;

/* At most `limit` for an address, counted by so many processes. NULL: no memory. */
weft__per_address *weft__per_address_new(unsigned limit, unsigned parts);
void weft__per_address_free(weft__per_address *p);

/* One more connection, at fd. False: its address has as many as it may. *place is what it gives back; 0: nothing, it is
 * not counted, because it is of a Unix socket. */
bool weft__per_address_enter(weft__per_address *p, unsigned part, int fd, uint32_t *place);
void weft__per_address_leave(weft__per_address *p, unsigned part, uint32_t place);

/* The process that counted here has ended: all of its places are given back. Before the next one counts here. */
void weft__per_address_bury(weft__per_address *p, unsigned part);

#endif
