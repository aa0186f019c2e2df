/* tls_support.h - certificates for tests, made when they are needed: nothing secret lies in the project. */
#ifndef TESTS_IO_TLS_SUPPORT_H
#define TESTS_IO_TLS_SUPPORT_H

#include <weft/tls.h>

#include "io/io_support.h"

/* An authority, and a certificate of its with its key, as PEM text. */
typedef struct tls_identity {
    char ca[2048], certificate[2048], key[1024];
} tls_identity;

/* Make them for these names ("DNS:localhost,IP:127.0.0.1"), good for so many days from yesterday on (-1: over by now).
 * Skips the case where the library has no TLS. */
void tls_make(tls_identity *id, const char *names, long days);
void tls_make_for(tls_identity *id, const char *names, long seconds);

/* A server's and a client's context that fit each other; for localhost, 127.0.0.1 and ::1. */
typedef struct tls_pair {
    tls_identity id;
    weft_tls *server, *client;
} tls_pair;
void tls_open_pair(tls_pair *p);
void tls_close_pair(tls_pair *p);

/* A TLS connection: a is the client's end. Made by the calling waiter and another. `tcp` may be NULL. */
io_pair tls_streams(test *t, const tls_pair *p, const weft_tcp_options *tcp);

#endif
