/* tls_ticket.c - the keys by which a server seals the tickets of its sessions. A ticket holds its session, so whoever
 * has the key can read the past of all that it sealed: a new key comes every hour, and old ones are forgotten when no
 * ticket of theirs is good any more.
 *
 * Processes that were forked after the context was made open each other's tickets without talking to each other: each
 * hour's secret is made of the one before, by a function that nobody can turn back, so all have the same one at the
 * same time, and who gets hold of it learns nothing of the hours before. The clock is the machine's monotonic one.
 * Pinned by tests/io/tls_ticket_test.c. */
#include "io/tls_context.h"

#include "sys/sys.h"

#include <errno.h>
#include <string.h>

#if WEFT_HAVE_OPENSSL && OPENSSL_VERSION_MAJOR >= 3

enum {
    LIFE = 2 * 3600 /* of a session, in seconds: KEEP covers it and the hour that has begun */
};
static const int64_t period = 3600 * WEFT_SECOND;

/* ---- one hour after the other ---- */

static bool derive(const weft__tls_tickets *k, const char *what, unsigned char *out, size_t size)
{
    unsigned char whole[EVP_MAX_MD_SIZE];
    unsigned n;
    bool good =
        HMAC(EVP_sha256(), k->secret, sizeof k->secret, (const unsigned char *)what, strlen(what), whole, &n) != NULL;
    if (good)
        memcpy(out, whole, size);
    OPENSSL_cleanse(whole, sizeof whole);
    return good;
}

static bool make_key(weft__tls_tickets *k)
{
    weft__tls_ticket_key *key = &k->keys[k->hour % WEFT__TLS_TICKET_KEYS];
    return derive(k, "name", key->name, sizeof key->name) && derive(k, "cipher", key->cipher, sizeof key->cipher) &&
           derive(k, "mac", key->mac, sizeof key->mac);
}

/* Up to the hour that it is. */
static bool catch_up(weft__tls_tickets *k)
{
    int64_t hour = (weft__sys_now() - k->born) / period;
    while (k->hour < hour) {
        unsigned char next[sizeof k->secret];
        if (!derive(k, "next", next, sizeof next))
            return false;
        memcpy(k->secret, next, sizeof next);
        OPENSSL_cleanse(next, sizeof next);
        k->hour++;
        if (!make_key(k))
            return false;
    }
    return true;
}

/* The key of this name, NULL: the present one. *age: how many hours ago it was that. */
static bool find_key(weft_tls *t, const unsigned char *name, weft__tls_ticket_key *out, int64_t *age)
{
    weft__tls_tickets *k = &t->tickets;
    bool found = false;
    weft__tls_lock();
    bool good = catch_up(k);
    for (int64_t hour = k->hour; good && !found && hour >= 0 && hour > k->hour - WEFT__TLS_TICKET_KEYS; hour--) {
        *out = k->keys[hour % WEFT__TLS_TICKET_KEYS];
        *age = k->hour - hour;
        found = name == NULL || CRYPTO_memcmp(name, out->name, sizeof out->name) == 0;
    }
    weft__tls_unlock();
    return found;
}

/* ---- OpenSSL asks ---- */

/* Prepare to seal (1) or open (1; 2: and the client is to have a new one) a ticket; 0: there is none by this name; -1:
 * an error. With TLS 1.3 a client shows each once, so it gets one for the next time. */
static int use_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int seal)
{
    weft_tls *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    weft__tls_ticket_key key;
    int64_t age = 0;
    if (!find_key(t, seal ? NULL : name, &key, &age))
        return seal ? -1 : 0;
    OSSL_PARAM p[] = {OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key.mac, sizeof key.mac),
                      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char[]){"sha256"}, 0),
                      OSSL_PARAM_construct_end()};
    bool good = EVP_MAC_CTX_set_params(mac, p) == 1;
    if (good && seal) {
        memcpy(name, key.name, sizeof key.name);
        good = RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) == 1 &&
               EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key.cipher, iv) == 1;
    } else if (good) {
        good = EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key.cipher, iv) == 1;
    }
    OPENSSL_cleanse(&key, sizeof key);
    return !good ? -1 : age > 0 || SSL_version(ssl) >= TLS1_3_VERSION ? 2 : 1;
}

int weft__tls_tickets_open(weft_tls *t)
{
    weft__tls_tickets *k = &t->tickets;
    if (RAND_priv_bytes(k->secret, sizeof k->secret) != 1)
        return -ENOMEM;
    k->born = weft__sys_now();
    if (!make_key(k))
        return -ENOMEM;
    SSL_CTX_set_app_data(t->ctx, t);
    SSL_CTX_set_timeout(t->ctx, LIFE);
    return SSL_CTX_set_tlsext_ticket_key_evp_cb(t->ctx, use_key) == 1 ? 0 : -ENOMEM;
}

void weft__tls_tickets_close(weft_tls *t)
{
    OPENSSL_cleanse(&t->tickets, sizeof t->tickets);
}

#elif WEFT_HAVE_OPENSSL

/* OpenSSL's own: one key as long as the context lives. */
int weft__tls_tickets_open(weft_tls *t)
{
    (void)t;
    return 0;
}

void weft__tls_tickets_close(weft_tls *t)
{
    (void)t;
}

#endif
