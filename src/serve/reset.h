/* reset.h - the end of a connection as a break, for what lies above this layer and knows connections by weft/server.h
 * only. In conn.c. */
#ifndef WEFT_SERVE_RESET_H
#define WEFT_SERVE_RESET_H

#include <weft/server.h>

/* When c ends, which is to be at once, its client is told of a break and not of an end: what was sent before may be
 * lost. */
void weft__conn_reset(weft_conn *c);

#endif
