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

#include <pthread.h>

enum {
    FILE_MAX = 4 << 20
};

/* ---- the lock of what may change in a context ---- */

static WEFT__FORK_PAGE pthread_mutex_t changes = PTHREAD_MUTEX_INITIALIZER;

WEFT__FORK_TEXT void weft__tls_lock(void)
{
    pthread_mutex_lock(&changes);
}

WEFT__FORK_TEXT void weft__tls_unlock(void)
{
    pthread_mutex_unlock(&changes);
}

WEFT__FORK_TEXT static void after_fork_child(void)
{
    weft__sys_free_in_child(&changes);
}

/* Nobody else holds it in the moment of a fork, so the child's is free and what it guards is whole. */
__attribute__((constructor)) static void watch_fork(void)
{
    pthread_atfork(weft__tls_lock, weft__tls_unlock, after_fork_child);
}

/* ---- options ---- */

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

/* What is said is about this file: of several certificates it is the one to look at. */
static void name_before(const weft_tls_options *o, const char *file)
{
    char words[300];
    if (o->error == NULL || o->error_size == 0)
        return;
    snprintf(words, sizeof words, "%s", o->error);
    snprintf(o->error, o->error_size, "%s: %s", file, words);
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
        snprintf(o->error, o->error_size, "%s: %s", name,
                 err == -EINVAL ? "no plain file, or too large" : weft_strerror(err));
    return err;
}

/* Give the text, or that of the file, to use. Nothing is given when there is neither. */
static int with_text(void *to, const weft_tls_options *o, const char *text, const char *file,
                     int (*use)(void *to, const weft_tls_options *o, BIO *pem))
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
    int err = pem != NULL ? use(to, o, pem) : -ENOMEM;
    if (err == -EINVAL && own != NULL)
        name_before(o, file);
    BIO_free(pem);
    if (own != NULL)
        OPENSSL_cleanse(own, strlen(own));
    weft__free(own);
    return err;
}

/* arg: a bool that tells whether one was asked for, or NULL. */
static int no_password(char *buf, int size, int writing, void *arg)
{
    (void)buf, (void)size, (void)writing;
    if (arg != NULL)
        *(bool *)arg = true;
    return -1;
}

/* ---- certificates ---- */

typedef struct identity {
    X509 *certificate;
    EVP_PKEY *key;
    STACK_OF(X509) * chain;
} identity;

struct weft__tls_identities {
    uint32_t users; /* atomic */
    unsigned count;
    identity list[];
};

typedef struct weft__tls_source {
    char *certificate, *key; /* files */
} source;

static int use_certificate(void *arg, const weft_tls_options *o, BIO *pem)
{
    identity *id = arg;
    X509 *next;
    id->certificate = PEM_read_bio_X509_AUX(pem, NULL, no_password, NULL);
    if (id->certificate == NULL)
        return wrong(o, "no certificate");
    id->chain = sk_X509_new_null();
    while (id->chain != NULL && (next = PEM_read_bio_X509(pem, NULL, no_password, NULL)) != NULL) {
        if (sk_X509_push(id->chain, next) == 0) {
            X509_free(next);
            return -ENOMEM;
        }
    }
    ERR_clear_error(); /* of the search for one more */
    return id->chain != NULL ? 0 : -ENOMEM;
}

static int use_key(void *arg, const weft_tls_options *o, BIO *pem)
{
    identity *id = arg;
    bool encrypted = false;
    id->key = PEM_read_bio_PrivateKey(pem, NULL, no_password, &encrypted);
    if (id->key != NULL)
        return 0;
    return wrong(o, encrypted ? "the private key has a password, and there is nobody to ask for it" : "no private key");
}

/* Would OpenSSL use it, and does the key belong to it? */
static int try_identity(const identity *id, const weft_tls_options *o)
{
    SSL_CTX *scratch = SSL_CTX_new(TLS_method());
    if (scratch == NULL)
        return -ENOMEM;
    int err = 0;
    if (SSL_CTX_use_certificate(scratch, id->certificate) != 1)
        err = wrong(o, "unusable certificate");
    else if (SSL_CTX_use_PrivateKey(scratch, id->key) != 1 || SSL_CTX_check_private_key(scratch) != 1)
        err = wrong(o, "the private key is not the certificate's");
    SSL_CTX_free(scratch);
    return err;
}

static int read_identity(identity *id, const weft_tls_options *o, const weft_tls_certificate *c)
{
    bool apart = c->key_text != NULL || c->key != NULL;
    int err = with_text(id, o, c->certificate_text, c->certificate, use_certificate);
    if (err == 0)
        err = with_text(id, o, apart ? c->key_text : c->certificate_text, apart ? c->key : c->certificate, use_key);
    if (err < 0)
        return err;
    err = try_identity(id, o);
    if (err == -EINVAL && c->certificate_text == NULL)
        name_before(o, c->certificate);
    return err;
}

static void leave_identities(weft__tls_identities *all)
{
    if (all == NULL || sub_acq_rel(&all->users, 1u) != 1)
        return;
    for (unsigned i = 0; i < all->count; i++) {
        X509_free(all->list[i].certificate);
        EVP_PKEY_free(all->list[i].key);
        sk_X509_pop_free(all->list[i].chain, X509_free);
    }
    weft__free(all);
}

static int read_identities(const weft_tls_options *o, weft__tls_identities **out)
{
    weft_tls_certificate first = {o->certificate, o->key, o->certificate_text, o->key_text};
    weft__tls_identities *all = weft__calloc(1, sizeof *all + (1 + o->more_count) * sizeof all->list[0]);
    if (all == NULL)
        return -ENOMEM;
    int err = 0;
    all->users = 1;
    for (unsigned i = 0; err == 0 && i <= o->more_count; i++) {
        const weft_tls_certificate *c = i == 0 ? &first : &o->more[i - 1];
        all->count = i + 1;
        err = c->certificate != NULL || c->certificate_text != NULL ? read_identity(&all->list[i], o, c)
                                                                    : wrong(o, "a server needs a certificate");
    }
    if (err == 0)
        *out = all;
    else
        leave_identities(all);
    return err;
}

/* Those that handshakes are to use from now on. */
static void set_identities(weft_tls *t, weft__tls_identities *all)
{
    weft__tls_lock();
    weft__tls_identities *before = t->identities;
    t->identities = all;
    weft__tls_unlock();
    leave_identities(before);
}

/* OpenSSL asks, when it has read what the client asks for. */
static int choose_identity(SSL *ssl, void *arg)
{
    weft_tls *t = arg;
    weft__tls_lock();
    weft__tls_identities *all = t->identities;
    add_acq_rel(&all->users, 1u);
    weft__tls_unlock();
    const char *name = all->count > 1 ? SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name) : NULL;
    const identity *id = &all->list[0];
    for (unsigned i = 0; name != NULL && i < all->count; i++) {
        if (X509_check_host(all->list[i].certificate, name, 0, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) == 1) {
            id = &all->list[i];
            break;
        }
    }
    int good = SSL_use_cert_and_key(ssl, id->certificate, id->key, id->chain, 1);
    leave_identities(all);
    return good == 1;
}

static char *copy_name(const char *name)
{
    size_t size = strlen(name) + 1;
    char *copy = weft__malloc(size);
    return copy != NULL ? memcpy(copy, name, size) : NULL;
}

/* Remember the files, so that they can be read again. */
static int keep_sources(weft_tls *t, const weft_tls_options *o)
{
    bool files = o->certificate_text == NULL && o->key_text == NULL;
    for (unsigned i = 0; i < o->more_count; i++)
        files &= o->more[i].certificate_text == NULL && o->more[i].key_text == NULL;
    if (!files)
        return 0;
    t->sources = weft__calloc(1 + o->more_count, sizeof *t->sources);
    if (t->sources == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i <= o->more_count; i++) {
        const char *certificate = i == 0 ? o->certificate : o->more[i - 1].certificate;
        const char *key = i == 0 ? o->key : o->more[i - 1].key;
        source *to = &t->sources[i];
        t->source_count = i + 1;
        if ((to->certificate = copy_name(certificate)) == NULL || (key != NULL && (to->key = copy_name(key)) == NULL))
            return -ENOMEM;
    }
    return 0;
}

int weft_tls_reload(weft_tls *t, char *error, size_t error_size)
{
    if (t->sources == NULL)
        return -EINVAL;
    weft_tls_options o = {.certificate = t->sources[0].certificate,
                          .key = t->sources[0].key,
                          .more_count = t->source_count - 1,
                          .error = error,
                          .error_size = error_size};
    weft_tls_certificate *more = weft__calloc(t->source_count, sizeof *more);
    if (more == NULL)
        return -ENOMEM;
    for (unsigned i = 1; i < t->source_count; i++)
        more[i - 1] = (weft_tls_certificate){.certificate = t->sources[i].certificate, .key = t->sources[i].key};
    o.more = more;
    weft__tls_identities *all;
    ERR_clear_error();
    int err = read_identities(&o, &all);
    weft__free(more);
    if (err == 0)
        set_identities(t, all);
    return err;
}

/* What a server shows, or a client. */
static int set_up_identities(weft_tls *t, const weft_tls_options *o)
{
    weft__tls_identities *all;
    bool server = t->side == WEFT_TLS_SERVER;
    if (!server && o->more_count > 0)
        return wrong(o, "a client has one certificate");
    if (!server && o->certificate_text == NULL && o->certificate == NULL)
        return 0;
    int err = read_identities(o, &all);
    if (err != 0)
        return err;
    set_identities(t, all);
    const identity *id = &all->list[0];
    if (!server)
        return SSL_CTX_use_cert_and_key(t->ctx, id->certificate, id->key, id->chain, 1) == 1
                   ? 0
                   : wrong(o, "unusable certificate");
    SSL_CTX_set_cert_cb(t->ctx, choose_identity, t);
    return keep_sources(t, o);
}

/* ---- authorities ---- */

static int use_authorities(void *arg, const weft_tls_options *o, BIO *pem)
{
    weft_tls *t = arg;
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
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* OpenSSL's own; a server's tickets need no memory here */
    SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"weft", 4);
    bool checks = t->side == WEFT_TLS_CLIENT ? o->verify != WEFT_TLS_UNCHECKED : o->verify == WEFT_TLS_REQUIRE;
    SSL_CTX_set_verify(ctx, checks ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT : SSL_VERIFY_NONE, NULL);
    int err = set_up_identities(t, o);
    if (err == 0 && t->side == WEFT_TLS_SERVER)
        err = o->sessions == 0 ? weft__tls_tickets_open(t) : wrong(o, "sessions are kept by clients");
    if (err == 0 && o->sessions > 0)
        err = weft__tls_cache_open(t, o->sessions);
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
    int loaded = weft__openssl_load(o->error, o->error_size);
    if (loaded < 0)
        return loaded;
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
    weft__tls_tickets_close(t);
    weft__tls_cache_close(t);
    leave_identities(t->identities);
    for (unsigned i = 0; i < t->source_count; i++) {
        weft__free(t->sources[i].certificate);
        weft__free(t->sources[i].key);
    }
    weft__free(t->sources);
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

int weft_tls_reload(weft_tls *t, char *error, size_t error_size)
{
    (void)t, (void)error, (void)error_size;
    return -EOPNOTSUPP;
}

#endif
