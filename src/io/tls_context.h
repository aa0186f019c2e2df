/* tls_context.h - what sessions share. For the files of TLS. */
#ifndef WEFT_IO_TLS_CONTEXT_H
#define WEFT_IO_TLS_CONTEXT_H

#include "io/tls.h"

#if WEFT_HAVE_OPENSSL
#include "io/openssl.h"

typedef struct weft__tls_identities weft__tls_identities;

enum {
    WEFT__TLS_TICKET_KEYS = 3
};

typedef struct weft__tls_ticket_key {
    unsigned char name[16], cipher[32], mac[32];
} weft__tls_ticket_key;

typedef struct weft__tls_tickets {
    int64_t born, hour; /* when its hour 0 began; the hour of `secret` */
    unsigned char secret[32];
    weft__tls_ticket_key keys[WEFT__TLS_TICKET_KEYS]; /* that of hour h at h % WEFT__TLS_TICKET_KEYS */
} weft__tls_tickets;

struct weft_tls {
    uint32_t users; /* atomic: sessions, + 1 for the handle */
    int side;
    unsigned verify;
    SSL_CTX *ctx;
    weft__tls_identities *identities; /* a server's, under weft__tls_lock: what the next handshakes use */
    struct weft__tls_source *sources; /* where they come from; NULL: not from files alone */
    unsigned source_count;
    weft__tls_tickets tickets; /* a server's, under weft__tls_lock */
    unsigned alpn_size;
    unsigned char alpn[256]; /* as on the wire: each name after its length */
};

/* One lock for all contexts, so that a fork can wait for it. Held for moments only: those who hold it do not wait, and
 * may be OpenSSL's callbacks. */
void weft__tls_lock(void);
void weft__tls_unlock(void);

void weft__tls_context_leave(weft_tls *t);

/* Keys of its own for the tickets of a server's sessions, and their end. 0 or -ENOMEM. */
int weft__tls_tickets_open(weft_tls *t);
void weft__tls_tickets_close(weft_tls *t);
#endif

#endif
