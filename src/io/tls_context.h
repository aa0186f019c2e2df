/* tls_context.h - what sessions share. For the files of TLS. */
#ifndef WEFT_IO_TLS_CONTEXT_H
#define WEFT_IO_TLS_CONTEXT_H

#include "io/tls.h"

#if WEFT_HAVE_OPENSSL
#include "io/openssl.h"

typedef struct weft__tls_identities weft__tls_identities;
typedef struct weft__tls_cache weft__tls_cache;

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
    weft__tls_cache *cache;    /* a client's, under weft__tls_lock; NULL: its streams resume nothing */
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

/* The sessions that a client keeps: at most so many. 0 or -ENOMEM. */
int weft__tls_cache_open(weft_tls *t, unsigned most);
void weft__tls_cache_close(weft_tls *t);

/* One to offer to this host, which is the caller's; NULL: there is none. *checked: when the handshake was that it comes
 * from, in which the certificate was checked. */
SSL_SESSION *weft__tls_cache_take(weft_tls *t, const char *host, unsigned port, int64_t *checked);

/* Keep one: a copy of it, if there is memory and it is good for a while. */
void weft__tls_cache_put(weft_tls *t, const char *host, unsigned port, int64_t checked, SSL_SESSION *s);

/* This host has refused: drop all of its. */
void weft__tls_cache_forget(weft_tls *t, const char *host, unsigned port);
#endif

#endif
