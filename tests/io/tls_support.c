/* tls_support.c - see tls_support.h. */
#include "io/tls_support.h"

#include <string.h>

#define DAY 86400L

#if WEFT_HAVE_OPENSSL

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

static void as_text(BIO *bio, char *text, size_t size)
{
    int n = BIO_read(bio, text, (int)size - 1);
    CHECK_BETWEEN(1, size - 2, n);
    text[n] = 0;
    BIO_free(bio);
}

static void certificate_text(X509 *x, char *text, size_t size)
{
    BIO *bio = BIO_new(BIO_s_mem());
    CHECK_INT(1, PEM_write_bio_X509(bio, x));
    as_text(bio, text, size);
}

static X509 *new_certificate(EVP_PKEY *key, const char *name, long number, long seconds)
{
    X509 *x = X509_new();
    CHECK(x != NULL);
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), number);
    X509_gmtime_adj(X509_getm_notBefore(x), -2 * 86400L);
    X509_gmtime_adj(X509_getm_notAfter(x), seconds);
    X509_set_pubkey(x, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    return x;
}

static void extend(X509 *x, X509 *issuer, int what, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, what, value);
    CHECK(e != NULL);
    X509_add_ext(x, e, -1);
    X509_EXTENSION_free(e);
}

void tls_make_for(tls_identity *id, const char *names, long seconds)
{
    EVP_PKEY *ca_key = EVP_EC_gen("P-256"), *key = EVP_EC_gen("P-256");
    CHECK(ca_key != NULL && key != NULL);
    X509 *ca = new_certificate(ca_key, "weft test authority", 1, 2 * DAY);
    X509_set_issuer_name(ca, X509_get_subject_name(ca));
    extend(ca, ca, NID_basic_constraints, "critical,CA:TRUE");
    CHECK(X509_sign(ca, ca_key, EVP_sha256()) > 0);
    X509 *x = new_certificate(key, "weft test", 2, seconds);
    X509_set_issuer_name(x, X509_get_subject_name(ca));
    extend(x, ca, NID_subject_alt_name, names);
    CHECK(X509_sign(x, ca_key, EVP_sha256()) > 0);
    certificate_text(ca, id->ca, sizeof id->ca);
    certificate_text(x, id->certificate, sizeof id->certificate);
    BIO *bio = BIO_new(BIO_s_mem());
    CHECK_INT(1, PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL));
    as_text(bio, id->key, sizeof id->key);
    X509_free(ca);
    X509_free(x);
    EVP_PKEY_free(ca_key);
    EVP_PKEY_free(key);
}

#else

void tls_make_for(tls_identity *id, const char *names, long seconds)
{
    (void)id, (void)names, (void)seconds;
    SKIP("this library was built without TLS");
}

#endif

void tls_make(tls_identity *id, const char *names, long days)
{
    tls_make_for(id, names, days * DAY);
}

void tls_open_pair(tls_pair *p)
{
    tls_make(&p->id, "DNS:localhost,IP:127.0.0.1,IP:::1", 2);
    CHECK_OK(weft_tls_new(
        &p->server, WEFT_TLS_SERVER,
        &(weft_tls_options){.certificate_text = p->id.certificate, .key_text = p->id.key, .alpn = "weft/1,http/1.1"}));
    CHECK_OK(
        weft_tls_new(&p->client, WEFT_TLS_CLIENT, &(weft_tls_options){.ca_text = p->id.ca, .alpn = "http/1.1,weft/1"}));
}

void tls_close_pair(tls_pair *p)
{
    weft_tls_free(p->server);
    weft_tls_free(p->client);
}

typedef struct accepting {
    weft_stream *s;
    weft_tls *tls;
} accepting;

static int accept_tls(void *arg)
{
    accepting *a = arg;
    CHECK_OK(weft_tls_start(a->s, a->tls, NULL, io_patience()));
    return 0;
}

io_pair tls_streams(test *t, const tls_pair *p, const weft_tcp_options *tcp)
{
    io_pair pair = io_stream_pair(tcp);
    accepting a = {pair.b, p->server};
    test_spawn(t, accept_tls, &a);
    CHECK_OK(weft_tls_start(pair.a, p->client, "localhost", io_patience()));
    test_join(t);
    return pair;
}
