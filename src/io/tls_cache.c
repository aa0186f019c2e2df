/* tls_cache.c - the sessions that a client's context keeps, for its later streams to resume.
 *
 * C1  a session is found by its context, host and port: what its first handshake checked is what the next would check.
 * C2  one of TLS 1.3 is taken out when it is offered, so nobody sees the same ticket twice; a forked child begins with
 *     none, because its parent has them. One of TLS 1.2 is shown until its server gives another.
 * C3  at most `most` are kept, and PER_PEER of one host and port; the oldest goes.
 * C4  none is offered when its lifetime is over, or the certificate's that was checked for it, or a day after that was
 *     checked, however often it was resumed and given anew meanwhile.
 * C5  what the table holds is nobody else's: OpenSSL marks the session of a connection that breaks as bad.
 *
 * All of it is under weft__tls_lock. Pinned by tests/io/tls_cache_test.c. */
#include "io/tls_context.h"

#include "base/list.h"
#include "sys/sys.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#if WEFT_HAVE_OPENSSL

enum {
    PER_PEER = 8,
    BUCKETS_MAX = 1024,
    LIFE = 2 * 3600, /* seconds, where the server does not say */
    LIFE_MAX = 24 * 3600
};

typedef struct kept {
    weft__list by_age, by_peer; /* the newest first */
    SSL_SESSION *session;
    int64_t checked, over;
    unsigned port;
    char host[];
} kept;

struct weft__tls_cache {
    unsigned most, count, mask;
    pid_t owner;
    weft__list by_age;
    weft__list buckets[];
};

int weft__tls_cache_open(weft_tls *t, unsigned most)
{
    unsigned size = 1;
    while (size < most && size < BUCKETS_MAX)
        size *= 2;
    weft__tls_cache *c = weft__malloc(sizeof *c + size * sizeof c->buckets[0]);
    if (c == NULL)
        return -ENOMEM;
    c->most = most;
    c->count = 0;
    c->mask = size - 1;
    c->owner = getpid();
    list_init(&c->by_age);
    for (unsigned i = 0; i < size; i++)
        list_init(&c->buckets[i]);
    t->cache = c;
    return 0;
}

static void drop(weft__tls_cache *c, kept *k)
{
    list_remove(&k->by_age);
    list_remove(&k->by_peer);
    c->count--;
    SSL_SESSION_free(k->session);
    weft__free(k);
}

static kept *oldest(weft__tls_cache *c)
{
    return container_of(c->by_age.prev, kept, by_age);
}

static void clear(weft__tls_cache *c)
{
    while (c->count > 0)
        drop(c, oldest(c));
}

void weft__tls_cache_close(weft_tls *t)
{
    if (t->cache != NULL)
        clear(t->cache);
    weft__free(t->cache);
}

static weft__list *bucket_of(weft__tls_cache *c, const char *host, unsigned port)
{
    uint32_t hash = 2166136261u ^ port;
    for (const unsigned char *p = (const unsigned char *)host; *p != 0; p++)
        hash = (hash ^ *p) * 16777619u;
    return &c->buckets[(hash ^ hash >> 16) & c->mask];
}

static bool is_of(const kept *k, const char *host, unsigned port)
{
    return k->port == port && strcmp(k->host, host) == 0;
}

static bool is_once_only(const SSL_SESSION *s)
{
    return SSL_SESSION_get_protocol_version(s) >= TLS1_3_VERSION;
}

static weft__tls_cache *enter(weft_tls *t)
{
    weft__tls_cache *c = t->cache;
    weft__tls_lock();
    if (c->owner != getpid()) {
        clear(c);
        c->owner = getpid();
    }
    return c;
}

static SSL_SESSION *take_out(weft__tls_cache *c, kept *k)
{
    if (!is_once_only(k->session))
        return SSL_SESSION_dup(k->session);
    SSL_SESSION *s = k->session;
    k->session = NULL;
    drop(c, k);
    return s;
}

SSL_SESSION *weft__tls_cache_take(weft_tls *t, const char *host, unsigned port, int64_t *checked)
{
    SSL_SESSION *found = NULL;
    int64_t now = weft__sys_now();
    weft__tls_cache *c = enter(t);
    weft__list *bucket = bucket_of(c, host, port);
    for (weft__list *it = bucket->next, *next; it != bucket && found == NULL; it = next) {
        kept *k = container_of(it, kept, by_peer);
        next = it->next;
        if (k->over <= now)
            drop(c, k);
        else if (is_of(k, host, port)) {
            *checked = k->checked;
            found = take_out(c, k);
        }
    }
    weft__tls_unlock();
    return found;
}

/* Of this host and port all but the newest `most`. */
static void thin_out(weft__tls_cache *c, const char *host, unsigned port, unsigned most)
{
    unsigned seen = 0;
    weft__list *bucket = bucket_of(c, host, port);
    for (weft__list *it = bucket->next, *next; it != bucket; it = next) {
        kept *k = container_of(it, kept, by_peer);
        next = it->next;
        if (is_of(k, host, port) && ++seen > most)
            drop(c, k);
    }
}

/* How many seconds from now it may be resumed. */
static long life_of(const weft_tls *t, int64_t age, const SSL_SESSION *s)
{
    unsigned long hint = SSL_SESSION_get_ticket_lifetime_hint(s);
    long life = hint > LIFE_MAX ? LIFE_MAX : hint == 0 && !is_once_only(s) ? LIFE : (long)hint;
    long of_day = LIFE_MAX - (long)(age / WEFT_SECOND);
    life = of_day < life ? of_day : life;
    const X509 *x = SSL_SESSION_get0_peer((SSL_SESSION *)s);
    if (t->verify == WEFT_TLS_UNCHECKED || x == NULL)
        return life;
    int days, seconds;
    if (ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(x)) != 1)
        return 0;
    long left = days * 86400L + seconds;
    return left < life ? left : life;
}

void weft__tls_cache_put(weft_tls *t, const char *host, unsigned port, int64_t checked, SSL_SESSION *s)
{
    int64_t now = weft__sys_now();
    long life = life_of(t, now - checked, s);
    size_t size = strlen(host) + 1;
    kept *k = life > 0 ? weft__malloc(sizeof *k + size) : NULL;
    SSL_SESSION *own = k != NULL ? SSL_SESSION_dup(s) : NULL;
    if (own == NULL) {
        weft__free(k);
        return;
    }
    k->session = own;
    k->checked = checked;
    k->over = now + life * WEFT_SECOND;
    k->port = port;
    memcpy(k->host, host, size);
    weft__tls_cache *c = enter(t);
    thin_out(c, host, port, is_once_only(own) ? PER_PEER - 1 : 0);
    if (c->count == c->most)
        drop(c, oldest(c));
    list_push_front(&c->by_age, &k->by_age);
    list_push_front(bucket_of(c, host, port), &k->by_peer);
    c->count++;
    weft__tls_unlock();
}

void weft__tls_cache_forget(weft_tls *t, const char *host, unsigned port)
{
    thin_out(enter(t), host, port, 0);
    weft__tls_unlock();
}

#endif
