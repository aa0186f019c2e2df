/* tls.h - what the library's own users of TLS sessions (weft/tls.h) know beside. */
#ifndef WEFT_IO_TLS_H
#define WEFT_IO_TLS_H

#include <weft/tls.h>

#include <stdbool.h>

enum {
    WEFT__TLS_RECORD = 16384 /* bytes that one record holds */
};

/* Whether it is a server's. */
bool weft__tls_serves(const weft_tls *context);

/* The calling thread will use no session any more: OpenSSL frees what it keeps for the thread. A thread that is not
 * joined calls it before it says that it is done: the process may end before the thread has. */
void weft__tls_thread_end(void);

#endif
