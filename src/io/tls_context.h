/* tls_context.h - what sessions share. For the files of TLS. */
#ifndef WEFT_IO_TLS_CONTEXT_H
#define WEFT_IO_TLS_CONTEXT_H

#include "io/tls.h"

#if WEFT_HAVE_OPENSSL
#include <openssl/ssl.h>

#include <pthread.h>

typedef struct weft__tls_identities weft__tls_identities;

struct weft_tls {
    uint32_t users; /* atomic: sessions, + 1 for the handle */
    int side;
    unsigned verify;
    SSL_CTX *ctx;
    pthread_mutex_t lock;             /* held for moments only: those who hold it do not wait, and may be callbacks */
    weft__tls_identities *identities; /* a server's, under the lock: what the next handshakes use */
    struct weft__tls_source *sources; /* where they come from; NULL: not from files alone */
    unsigned source_count;
    unsigned alpn_size;
    unsigned char alpn[256]; /* as on the wire: each name after its length */
};

void weft__tls_context_leave(weft_tls *t);
#endif

#endif
