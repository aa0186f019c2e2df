/* tls_context.c - certificates, keys and settings for TLS, by OpenSSL; and the answers of a library built without it.
 * Files are read here and then treated as text, so that errors of files have their names. A key with a password is
 * refused: nobody is there to be asked. Pinned by tests/io/tls_test.c. */
#include "io/tls_context.h"

#include "base/atomic.h"
#include "sys/file.h"
#include "sys/sys.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#if WEFT_HAVE_OPENSSL

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

enum {
    FILE_MAX = 4 << 20
};

static const weft_tls_options no_options;

static int wrong(const weft_tls_options *o, const char *what)
{
    unsigned long code = ERR_peek_last_error();
    const char *why = code != 0 ? ERR_reason_error_string(code) : NULL;
    if (o->error != NULL && o->error_size > 0)
        snprintf(o->error, o->error_size, "%s%s%s", what, why != NULL ? ": " : "", why != NULL ? why : "");
    ERR_clear_error();
    return code != 0 && ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE ? -ENOMEM : -EINVAL;
}

/* ---- files ---- */

/* All of fd as text with a final 0. */
static int read_all(int fd, char **out)
{
    struct stat st;
    int err = weft__sys_fstat(fd, &st);
    if (err < 0)
        return err;
    if (!S_ISREG(st.st_mode) || st.st_size > FILE_MAX)
        return -EINVAL;
    char *text = weft__malloc((size_t)st.st_size + 1);
    if (text == NULL)
        return -ENOMEM;
    ssize_t n = weft__sys_pread(fd, text, (size_t)st.st_size, 0, false);
    if (n < 0) {
        weft__free(text);
        return (int)n;
    }
    text[n] = 0;
    *out = text;
    return 0;
}

static int read_file(const weft_tls_options *o, const char *name, char **text)
{
    int fd = weft__sys_open(name, WEFT__FILE_READ);
    int err = fd < 0 ? fd : read_all(fd, text);
    if (fd >= 0)
        weft__sys_file_close(fd);
    if (err < 0 && o->error != NULL && o->error_size > 0)
        snprintf(o->error, o->error_size, "%s: %s", name, weft_strerror(err));
    return err;
}

/* Give the text, or that of the file, to use. Nothing is given when there is neither. */
static int with_text(weft_tls *t, const weft_tls_options *o, const char *text, const char *file,
                     int (*use)(weft_tls *t, const weft_tls_options *o, BIO *pem))
{
    char *own = NULL;
    if (text == NULL && file == NULL)
        return 0;
    if (text == NULL) {
        int err = read_file(o, file, &own);
        if (err < 0)
            return err;
        text = own;
    }
    BIO *pem = BIO_new_mem_buf(text, -1);
    int err = pem != NULL ? use(t, o, pem) : -ENOMEM;
    BIO_free(pem);
    if (own != NULL)
        OPENSSL_cleanse(own, strlen(own));
    weft__free(own);
    return err;
}

static int no_password(char *buf, int size, int writing, void *arg)
{
    (void)buf, (void)size, (void)writing, (void)arg;
    return -1;
}

static int use_certificate(weft_tls *t, const weft_tls_options *o, BIO *pem)
{
    X509 *first = PEM_read_bio_X509_AUX(pem, NULL, no_password, NULL), *next;
    if (first == NULL)
        return wrong(o, "no certificate");
    int good = SSL_CTX_use_certificate(t->ctx, first);
    X509_free(first);
    while (good == 1 && (next = PEM_read_bio_X509(pem, NULL, no_password, NULL)) != NULL) {
        good = SSL_CTX_add0_chain_cert(t->ctx, next) == 1;
        if (!good)
            X509_free(next);
    }
    if (good != 1)
        return wrong(o, "unusable certificate");
    ERR_clear_error(); /* of the search for one more */
    return 0;
}

static int use_key(weft_tls *t, const weft_tls_options *o, BIO *pem)
{
    EVP_PKEY *key = PEM_read_bio_PrivateKey(pem, NULL, no_password, NULL);
    if (key == NULL)
        return wrong(o, "no private key");
    int good = SSL_CTX_use_PrivateKey(t->ctx, key) == 1 && SSL_CTX_check_private_key(t->ctx) == 1;
    EVP_PKEY_free(key);
    return good ? 0 : wrong(o, "the private key is not the certificate's");
}

static int use_authorities(weft_tls *t, const weft_tls_options *o, BIO *pem)
{
    X509 *ca;
    unsigned count = 0;
    bool good = true;
    while (good && (ca = PEM_read_bio_X509(pem, NULL, no_password, NULL)) != NULL) {
        good = X509_STORE_add_cert(SSL_CTX_get_cert_store(t->ctx), ca) == 1 &&
               (t->side == WEFT_TLS_CLIENT || SSL_CTX_add_client_CA(t->ctx, ca) == 1);
        X509_free(ca);
        count++;
    }
    if (!good || count == 0)
        return wrong(o, "no authorities");
    ERR_clear_error();
    return 0;
}

/* ---- ALPN ---- */

static int use_protocols(weft_tls *t, const weft_tls_options *o)
{
    for (const char *name = o->alpn; name != NULL && *name != 0;) {
        size_t size = strcspn(name, ",");
        if (size == 0 || size > 255 || t->alpn_size + 1 + size > sizeof t->alpn)
            return wrong(o, "alpn: names of 1 to 255 bytes between commas, 255 bytes in all");
        t->alpn[t->alpn_size++] = (unsigned char)size;
        memcpy(t->alpn + t->alpn_size, name, size);
        t->alpn_size += (unsigned)size;
        name += size;
        if (*name == ',' && *++name == 0)
            return wrong(o, "alpn: a name is missing");
    }
    return 0;
}

/* The first of ours that is among theirs. */
static int select_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_size, const unsigned char *theirs,
                           unsigned size, void *arg)
{
    weft_tls *t = arg;
    unsigned char *found;
    (void)ssl;
    if (SSL_select_next_proto(&found, out_size, t->alpn, t->alpn_size, theirs, size) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = found;
    return SSL_TLSEXT_ERR_OK;
}

/* ---- the context ---- */

static int set_up(weft_tls *t, const weft_tls_options *o)
{
    SSL_CTX *ctx = t->ctx;
    SSL_CTX_set_min_proto_version(ctx, o->only_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION);
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(ctx,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* tickets need no memory here */
    SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"weft", 4);
    bool checks = t->side == WEFT_TLS_CLIENT ? o->verify != WEFT_TLS_UNCHECKED : o->verify == WEFT_TLS_REQUIRE;
    SSL_CTX_set_verify(ctx, checks ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT : SSL_VERIFY_NONE, NULL);
    int err = with_text(t, o, o->certificate_text, o->certificate, use_certificate);
    if (err == 0 && (o->certificate_text != NULL || o->certificate != NULL)) {
        bool apart = o->key_text != NULL || o->key != NULL;
        err = with_text(t, o, apart ? o->key_text : o->certificate_text, apart ? o->key : o->certificate, use_key);
    } else if (err == 0 && t->side == WEFT_TLS_SERVER)
        err = wrong(o, "a server needs a certificate");
    if (err == 0)
        err = with_text(t, o, o->ca_text, o->ca, use_authorities);
    if (err == 0 && checks && o->ca_text == NULL && o->ca == NULL) {
        if (t->side == WEFT_TLS_SERVER)
            return wrong(o, "whose clients? `ca` is missing");
        if (SSL_CTX_set_default_verify_paths(ctx) != 1)
            return wrong(o, "the system's authorities");
    }
    if (err == 0)
        err = use_protocols(t, o);
    if (err == 0 && t->alpn_size > 0) {
        if (t->side == WEFT_TLS_SERVER)
            SSL_CTX_set_alpn_select_cb(ctx, select_protocol, t);
        else if (SSL_CTX_set_alpn_protos(ctx, t->alpn, t->alpn_size) != 0)
            return -ENOMEM;
    }
    return err;
}

int weft_tls_new(weft_tls **out, int side, const weft_tls_options *options)
{
    const weft_tls_options *o = options != NULL ? options : &no_options;
    if ((side != WEFT_TLS_CLIENT && side != WEFT_TLS_SERVER) || o->verify > WEFT_TLS_REQUIRE)
        return -EINVAL;
    OPENSSL_init_ssl(OPENSSL_INIT_NO_ATEXIT, NULL); /* others may still be at work when the process ends */
    ERR_clear_error();
    weft_tls *t = weft__calloc(1, sizeof *t);
    if (t == NULL)
        return -ENOMEM;
    t->users = 1;
    t->side = side;
    t->verify = o->verify;
    t->ctx = SSL_CTX_new(side == WEFT_TLS_SERVER ? TLS_server_method() : TLS_client_method());
    int err = t->ctx == NULL ? -ENOMEM : set_up(t, o);
    if (err < 0) {
        weft_tls_free(t);
        return err;
    }
    *out = t;
    return 0;
}

void weft__tls_context_leave(weft_tls *t)
{
    if (sub_acq_rel(&t->users, 1u) != 1)
        return;
    SSL_CTX_free(t->ctx);
    weft__free(t);
}

void weft_tls_free(weft_tls *t)
{
    if (t != NULL)
        weft__tls_context_leave(t);
}

#else

int weft_tls_new(weft_tls **out, int side, const weft_tls_options *options)
{
    (void)out, (void)side;
    if (options != NULL && options->error != NULL && options->error_size > 0)
        snprintf(options->error, options->error_size, "this library was built without TLS");
    return -EOPNOTSUPP;
}

void weft_tls_free(weft_tls *t)
{
    (void)t;
}

#endif
