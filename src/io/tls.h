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

/* Client, before the handshake: offer a session that the context has kept for this host and port, and keep those that
 * come. Nothing where the context keeps none, or there is no host. */
void weft__tls_session_keep(weft_tls_session *t, unsigned port);
bool weft__tls_session_keeps(const weft_tls_session *t);

/* Its handshake went wrong, perhaps for what was offered: do not offer this host what is kept. */
void weft__tls_session_forget(weft_tls_session *t);

/* The calling thread will use no session any more: OpenSSL frees what it keeps for the thread. A thread that is not
 * joined calls it before it says that it is done: the process may end before the thread has. */
void weft__tls_thread_end(void);

#endif
