/* begun.h - the wait for more of a request that has been begun, for what lies above this layer and knows connections by
 * weft/server.h only. In input.c. */
#ifndef WEFT_SERVE_BEGUN_H
#define WEFT_SERVE_BEGUN_H

#include <weft/server.h>

/* As weft_conn_fill where nothing need be unread, but it is no wait for a request's first byte: a graceful stop lets
 * the rest come. Who makes room for a newcomer is not changed by it, as weft_conn_busy would. */
ssize_t weft__conn_fill_begun(weft_conn *c, const void **view, weft_until until);

#endif
