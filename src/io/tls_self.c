/* tls_self.c - a certificate that signs itself: for trials, examples and measurements, where nobody has one. It says
 * that it is no authority, so whoever trusts it trusts this one key for these names and nothing else; and whose key it
 * is, by which it is told from others of the same subject. Pinned by
 * tests/io/tls_self_test.c. */
#include "io/tls_context.h"

#include "sys/net.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#if WEFT_HAVE_OPENSSL && OPENSSL_VERSION_MAJOR >= 3

enum {
    DAY = 86400,
    DAYS = 365,
    NAMES_MAX = 512
};

/* "a.example,127.0.0.1" as "DNS:a.example,IP:127.0.0.1". */
static bool name_all(char *out, size_t size, const char *names)
{
    size_t used = 0;
    for (const char *at = names;; at++) {
        char name[256];
        weft_address numeric;
        size_t n = strspn(at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:-_*");
        if (n == 0 || n >= sizeof name || (at[n] != ',' && at[n] != 0))
            return false;
        memcpy(name, at, n);
        name[n] = 0;
        bool is_numeric = weft__address_parse(&numeric, name, 0) == 0;
        if (!is_numeric && strchr(name, ':') != NULL)
            return false;
        used +=
            (size_t)snprintf(out + used, size - used, "%s%s:%s", used > 0 ? "," : "", is_numeric ? "IP" : "DNS", name);
        if (used >= size)
            return false;
        at += n;
        if (*at == 0)
            return true;
    }
}

static bool extend(X509 *x, int what, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, what, value);
    bool good = e != NULL && X509_add_ext(x, e, -1) == 1;
    X509_EXTENSION_free(e);
    return good;
}

static bool fill(X509 *x, EVP_PKEY *key, const char *names)
{
    uint64_t number = 0;
    X509_NAME *subject = X509_get_subject_name(x);
    return RAND_bytes((unsigned char *)&number, sizeof number) == 1 && X509_set_version(x, 2) == 1 &&
           ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), number >> 1 | 1) == 1 &&
           X509_gmtime_adj(X509_getm_notBefore(x), -(long)DAY) != NULL &&
           X509_gmtime_adj(X509_getm_notAfter(x), (long)DAYS * DAY) != NULL && X509_set_pubkey(x, key) == 1 &&
           X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)"weft, for trials", -1, -1,
                                      0) == 1 &&
           X509_set_issuer_name(x, subject) == 1 && extend(x, NID_basic_constraints, "critical,CA:FALSE") &&
           extend(x, NID_subject_key_identifier, "hash") && extend(x, NID_authority_key_identifier, "keyid:always") &&
           extend(x, NID_subject_alt_name, names) && X509_sign(x, key, EVP_sha256()) > 0;
}

static bool take_text(BIO *bio, char *text)
{
    int n = BIO_read(bio, text, WEFT_TLS_PEM_MAX - 1);
    text[n > 0 ? n : 0] = 0;
    return n > 0 && BIO_ctrl_pending(bio) == 0;
}

static bool print_all(X509 *x, EVP_PKEY *key, char *certificate, char *key_text)
{
    BIO *bio = BIO_new(BIO_s_mem());
    bool good = bio != NULL && PEM_write_bio_X509(bio, x) == 1 && take_text(bio, certificate) &&
                PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1 && take_text(bio, key_text);
    BIO_free(bio);
    return good;
}

int weft_tls_self_signed(char certificate[WEFT_TLS_PEM_MAX], char key_text[WEFT_TLS_PEM_MAX], const char *names)
{
    char all[NAMES_MAX];
    if (names == NULL || !name_all(all, sizeof all, names))
        return -EINVAL;
    int err = weft__openssl_load(NULL, 0);
    if (err < 0)
        return err;
    OPENSSL_init_ssl(OPENSSL_INIT_NO_ATEXIT, NULL);
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    bool good = key != NULL && x != NULL && fill(x, key, all) && print_all(x, key, certificate, key_text);
    X509_free(x);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return good ? 0 : -ENOMEM;
}

#else

int weft_tls_self_signed(char certificate[WEFT_TLS_PEM_MAX], char key_text[WEFT_TLS_PEM_MAX], const char *names)
{
    (void)certificate, (void)key_text, (void)names;
    return -EOPNOTSUPP;
}

#endif
