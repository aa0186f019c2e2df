/* tls_memory_support.h - a TLS connection within one thread and without the kernel; needs nothing of OpenSSL itself. */
#ifndef TESTS_IO_TLS_MEMORY_SUPPORT_H
#define TESTS_IO_TLS_MEMORY_SUPPORT_H

#include <weft/tls.h>

/* A certificate that signs itself, and a server and a client of it that fit; for localhost. Results are those of
 * weft_tls_self_signed and weft_tls_new. */
int tls_memory_contexts(weft_tls **server, weft_tls **client);

/* Shake hands, say something, end. 0, or the first error of either side. */
int tls_memory_talk(weft_tls *server, weft_tls *client);

#endif
