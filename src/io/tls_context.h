/* tls_context.h - what sessions share. For the files of TLS. */
#ifndef WEFT_IO_TLS_CONTEXT_H
#define WEFT_IO_TLS_CONTEXT_H

#include "io/tls.h"

#if WEFT_HAVE_OPENSSL
#include <openssl/ssl.h>

struct weft_tls {
    uint32_t users; /* atomic: sessions, + 1 for the handle */
    int side;
    unsigned verify;
    SSL_CTX *ctx;
    unsigned alpn_size;
    unsigned char alpn[256]; /* as on the wire: each name after its length */
};

void weft__tls_context_leave(weft_tls *t);
#endif

#endif
