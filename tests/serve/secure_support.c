/* secure_support.c - see secure_support.h. A client may be read and written at once: a session is used under its lock,
 * and whoever has to wait for the socket does so without it. */
#include "serve/secure_support.h"

#include "io/tls_support.h"

#if WEFT_HAVE_OPENSSL

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    CLIENTS = 16384,
    PATIENCE_MS = 300000, /* the case's own limit is shorter */
    LOOK_AGAIN_MS = 20
};

typedef struct secure_one {
    pthread_mutex_t lock;
    SSL *ssl;
} secure_one;

static secure_one *clients[CLIENTS];
static tls_identity identity;
static weft_tls *server;
static SSL_CTX *context;

weft_tls *secure_server(const char **ca)
{
    if (server == NULL) {
        tls_make(&identity, "DNS:localhost,IP:127.0.0.1", 2);
        CHECK_OK(weft_tls_new(&server, WEFT_TLS_SERVER,
                              &(weft_tls_options){.certificate_text = identity.certificate,
                                                  .key_text = identity.key,
                                                  .alpn = "http/1.1"}));
    }
    if (ca != NULL)
        *ca = identity.ca;
    return server;
}

static void make_context(void)
{
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes as anybody does */
    context = SSL_CTX_new(TLS_client_method());
    CHECK(context != NULL);
    const char *text;
    (void)secure_server(&text);
    BIO *bio = BIO_new_mem_buf(text, -1);
    X509 *ca = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    CHECK(ca != NULL && X509_STORE_add_cert(SSL_CTX_get_cert_store(context), ca) == 1);
    X509_free(ca);
    BIO_free(bio);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(context, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_ENABLE_PARTIAL_WRITE);
}

bool secure_client_is(int fd)
{
    return fd >= 0 && fd < CLIENTS && clients[fd] != NULL;
}

void secure_client_begin(int fd)
{
    if (context == NULL)
        make_context();
    CHECK(fd < CLIENTS);
    secure_one *c = clients[fd] = calloc(1, sizeof *c);
    CHECK(c != NULL);
    pthread_mutex_init(&c->lock, NULL);
    c->ssl = SSL_new(context);
    CHECK(c->ssl != NULL && SSL_set1_host(c->ssl, "localhost") == 1);
    CHECK(SSL_set_tlsext_host_name(c->ssl, "localhost") == 1);
    SSL_set_fd(c->ssl, fd);
    SSL_set_connect_state(c->ssl);
    CHECK_INT(0, fcntl(fd, F_SETFL, O_NONBLOCK));
}

/* One call of OpenSSL. -1 and EAGAIN: again when one of *events has come. */
static ssize_t attempt(int fd, bool writes, void *data, size_t size, short *events)
{
    secure_one *c = clients[fd];
    size_t n = 0;
    pthread_mutex_lock(&c->lock);
    ERR_clear_error();
    errno = 0;
    int good = writes ? SSL_write_ex(c->ssl, data, size, &n) : SSL_read_ex(c->ssl, data, size, &n);
    int saved = errno, why = good == 1 ? 0 : SSL_get_error(c->ssl, good);
    pthread_mutex_unlock(&c->lock);
    if (good == 1)
        return (ssize_t)n;
    if (why == SSL_ERROR_ZERO_RETURN)
        return 0;
    *events = why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
    bool waits = why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE;
    errno = waits ? EAGAIN : why == SSL_ERROR_SYSCALL && saved != 0 ? saved : EPROTO;
    return -1;
}

/* ... again when the socket is ready. */
static ssize_t drive(int fd, bool writes, void *data, size_t size)
{
    for (;;) {
        struct pollfd p = {.fd = fd};
        ssize_t n = attempt(fd, writes, data, size, &p.events);
        if (n >= 0 || errno != EAGAIN)
            return n;
        /* In the handshake a writer waits for bytes, too, which a reader beside it may have taken meanwhile. */
        bool crosswise = writes != (p.events == POLLOUT);
        int ready = poll(&p, 1, crosswise ? LOOK_AGAIN_MS : PATIENCE_MS);
        if ((ready == 0 && !crosswise) || (ready < 0 && errno != EINTR))
            FAIL("a client's wait: %s", ready == 0 ? "nothing comes" : strerror(errno));
    }
}

ssize_t secure_client_try_send(int fd, const void *data, size_t size, short *events)
{
    return attempt(fd, true, (void *)(uintptr_t)data, size, events);
}

size_t secure_client_hello(void *buf, size_t size)
{
    if (context == NULL)
        make_context();
    SSL *ssl = SSL_new(context);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    CHECK(ssl != NULL && in != NULL && out != NULL);
    SSL_set_bio(ssl, in, out);
    SSL_set_connect_state(ssl);
    CHECK_INT(-1, SSL_do_handshake(ssl));
    int n = BIO_read(out, buf, (int)size);
    CHECK(n > 0);
    SSL_free(ssl);
    return (size_t)n;
}

ssize_t secure_client_send(int fd, const void *data, size_t size)
{
    return size > 0 ? drive(fd, true, (void *)(uintptr_t)data, size) : 0;
}

ssize_t secure_client_recv(int fd, void *buf, size_t size)
{
    return drive(fd, false, buf, size);
}

void secure_client_finish(int fd, bool wait)
{
    secure_one *c = clients[fd];
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    for (bool full = true; full;) { /* the socket may be: what is not said is a cut to the server */
        pthread_mutex_lock(&c->lock);
        ERR_clear_error();
        int said = SSL_is_init_finished(c->ssl) ? SSL_shutdown(c->ssl) : 1;
        full = wait && said < 0 && SSL_get_error(c->ssl, said) == SSL_ERROR_WANT_WRITE;
        pthread_mutex_unlock(&c->lock);
        if (full && poll(&p, 1, PATIENCE_MS) <= 0)
            FAIL("a client's end: it is not taken");
    }
}

void secure_client_forget(int fd)
{
    secure_one *c = clients[fd];
    clients[fd] = NULL;
    SSL_free(c->ssl);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

#else

weft_tls *secure_server(const char **ca)
{
    (void)ca;
    SKIP("this library was built without TLS");
    return NULL;
}

bool secure_client_is(int fd)
{
    (void)fd;
    return false;
}

void secure_client_begin(int fd)
{
    (void)fd;
}

ssize_t secure_client_send(int fd, const void *data, size_t size)
{
    (void)fd, (void)data, (void)size;
    return -1;
}

ssize_t secure_client_recv(int fd, void *buf, size_t size)
{
    (void)fd, (void)buf, (void)size;
    return -1;
}

ssize_t secure_client_try_send(int fd, const void *data, size_t size, short *events)
{
    (void)fd, (void)data, (void)size, (void)events;
    return -1;
}

size_t secure_client_hello(void *buf, size_t size)
{
    (void)buf, (void)size;
    return 0;
}

void secure_client_finish(int fd, bool wait)
{
    (void)fd, (void)wait;
}

void secure_client_forget(int fd)
{
    (void)fd;
}

#endif
