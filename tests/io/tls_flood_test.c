/* A peer that floods a TLS stream with what is no data, new keys again and again: it carries no call past its deadline,
 * and it holds nobody else's coroutine up. Its bytes are made beforehand, so that there is always more to read. */
#include <weft/co.h>
#include <weft/tls.h>

#include "base/atomic.h"
#include "io/tls_support.h"

#if WEFT_HAVE_OPENSSL

#include <openssl/ssl.h>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

enum {
    UPDATES = 100000 /* whose reading takes far longer than any deadline here */
};

/* The peer: a client whose bytes pass through our hands. */
typedef struct flooder {
    SSL_CTX *context;
    SSL *ssl;
    BIO *in, *out;
    int fd;
    char *bytes;
    size_t size, sent;
    pthread_t thread;
} flooder;

static size_t take_out(flooder *f)
{
    char *bytes;
    long n = BIO_get_mem_data(f->out, &bytes);
    f->bytes = realloc(f->bytes, f->size + (size_t)n);
    CHECK(f->bytes != NULL);
    memcpy(f->bytes + f->size, bytes, (size_t)n);
    f->size += (size_t)n;
    (void)BIO_reset(f->out);
    return (size_t)n;
}

/* All of it, unless the other end has been closed. */
static void *send_all(void *arg)
{
    flooder *f = arg;
    for (size_t at = 0; at < f->size;) {
        ssize_t n = send(f->fd, f->bytes + at, f->size - at, MSG_NOSIGNAL);
        if (n < 0)
            break;
        at += (size_t)n;
        store_relaxed(&f->sent, at);
    }
    return NULL;
}

static void say(flooder *f)
{
    if (take_out(f) > 0)
        (void)send_all(f);
    f->size = 0;
}

static void *shake_and_flood(void *arg)
{
    flooder *f = arg;
    char bytes[20000];
    int r;
    while ((r = SSL_do_handshake(f->ssl)) != 1) {
        CHECK_INT(SSL_ERROR_WANT_READ, SSL_get_error(f->ssl, r));
        say(f);
        ssize_t n = recv(f->fd, bytes, sizeof bytes, 0);
        CHECK(n > 0);
        CHECK_INT(n, BIO_write(f->in, bytes, (int)n));
    }
    for (int i = 0; i < UPDATES; i++) {
        CHECK_INT(1, SSL_key_update(f->ssl, SSL_KEY_UPDATE_NOT_REQUESTED));
        CHECK_INT(1, SSL_do_handshake(f->ssl));
    }
    (void)take_out(f);
    return send_all(f);
}

static void begin(flooder *f, weft_stream *s)
{
    *f =
        (flooder){.context = SSL_CTX_new(TLS_client_method()), .in = BIO_new(BIO_s_mem()), .out = BIO_new(BIO_s_mem())};
    CHECK(f->context != NULL && f->in != NULL && f->out != NULL);
    f->ssl = SSL_new(f->context);
    SSL_set_bio(f->ssl, f->in, f->out);
    SSL_set_connect_state(f->ssl);
    f->fd = dup(weft_stream_fd(s));
    CHECK_INT(0, fcntl(f->fd, F_SETFL, 0));
    CHECK_INT(0, pthread_create(&f->thread, NULL, shake_and_flood, f));
}

static void end(flooder *f)
{
    CHECK_INT(0, pthread_join(f->thread, NULL));
    close(f->fd);
    SSL_free(f->ssl);
    SSL_CTX_free(f->context);
    free(f->bytes);
}

TEST_WAITERS_LIMIT(60, tls_flood_of_key_updates_ends_at_the_deadline)
{
    tls_pair p;
    flooder f;
    char byte;
    tls_open_pair(&p);
    io_pair s = io_stream_pair(&(weft_tcp_options){.send_buffer = 32768, .recv_buffer = 32768});
    begin(&f, s.a);
    CHECK_OK(weft_tls_start(s.b, p.server, NULL, io_patience()));
    CHECK_INT(POLLIN, weft_fd_wait(weft_stream_fd(s.b), WEFT_POLLIN, io_patience()) & POLLIN);
    CHECK_ERR(-ETIMEDOUT, weft_stream_recv(s.b, &byte, 1, weft_in_ms(50)));
    size_t sent = load_relaxed(&f.sent);
    io_close_pair(s);
    end(&f);
    CHECK(sent < f.size / 2);
    tls_close_pair(&p);
}

#endif
