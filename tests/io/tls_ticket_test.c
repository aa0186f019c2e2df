/* tls_ticket_test.c - sessions are resumed by their tickets for two hours, in every process, and by nobody's key later.
 * The client is OpenSSL itself; both ends are in one thread, and what they say lies in memory. */
#include "io/tls_support.h"

#include "base/atomic.h"
#include "sys/sys.h"

#if WEFT_HAVE_OPENSSL

#include <openssl/ssl.h>

#if OPENSSL_VERSION_MAJOR >= 3

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#define HOUR (3600 * WEFT_SECOND)

typedef struct line {
    BIO *up, *down;
} line;

static ssize_t take(void *owner, void *buf, size_t size)
{
    int n = BIO_read(((line *)owner)->up, buf, (int)size);
    return n > 0 ? n : -EAGAIN;
}

static ssize_t give(void *owner, const void *data, size_t size)
{
    return BIO_write(((line *)owner)->down, data, (int)size);
}

static weft_tls *new_server(void)
{
    static tls_identity id;
    weft_tls *server;
    if (id.key[0] == 0)
        tls_make(&id, "DNS:localhost", 2);
    weft_tls_options o = {.certificate_text = id.certificate, .key_text = id.key};
    CHECK_OK(weft_tls_new(&server, WEFT_TLS_SERVER, &o));
    return server;
}

/* A connection that offers `offer`; *resumed: whether it was taken. Returns the session to offer next. */
static SSL_SESSION *connect_once(weft_tls *server, int version, SSL_SESSION *offer, bool *resumed)
{
    static const weft_tls_wire wire = {take, give};
    line l = {BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem())};
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    weft_tls_session *s;
    char byte;
    CHECK(context != NULL && l.up != NULL && l.down != NULL);
    SSL_CTX_set_max_proto_version(context, version);
    SSL *ssl = SSL_new(context);
    SSL_set_bio(ssl, l.down, l.up);
    SSL_set_connect_state(ssl);
    CHECK(offer == NULL || SSL_set_session(ssl, offer) == 1);
    CHECK_OK(weft_tls_session_open(&s, server, NULL, &wire, &l));
    for (int done = 0, err = -EAGAIN; done != 1 || err != 0;) {
        done = SSL_do_handshake(ssl);
        CHECK(done == 1 || SSL_get_error(ssl, done) == SSL_ERROR_WANT_READ);
        err = weft_tls_session_handshake(s);
        CHECK(err == 0 || err == -EAGAIN);
    }
    CHECK(SSL_read(ssl, &byte, 1) <= 0); /* takes the tickets of TLS 1.3 */
    *resumed = SSL_session_reused(ssl) == 1;
    SSL_SESSION *session = SSL_get1_session(ssl);
    CHECK(session != NULL && SSL_SESSION_is_resumable(session));
    weft_tls_session_close(s);
    SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); /* else it counts as broken, and is not resumed */
    SSL_free(ssl);
    SSL_CTX_free(context);
    return session;
}

static bool is_resumed(weft_tls *server, int version, SSL_SESSION *offer)
{
    bool resumed;
    SSL_SESSION_free(connect_once(server, version, offer, &resumed));
    return resumed;
}

static void set_clock(int64_t hours)
{
    store_relaxed(&weft__sys_clock_shift, hours * HOUR);
}

static void resume_for_two_hours(int version)
{
    weft_tls *server = new_server(), *other = new_server();
    bool resumed;
    SSL_SESSION *first = connect_once(server, version, NULL, &resumed), *later;
    CHECK(!resumed);
    CHECK(is_resumed(server, version, first));
    CHECK(!is_resumed(other, version, first));
    set_clock(1);
    CHECK(is_resumed(server, version, first));
    set_clock(2);
    later = connect_once(server, version, first, &resumed);
    CHECK(resumed);
    set_clock(3);
    CHECK(!is_resumed(server, version, first)); /* its key is gone */
    CHECK(is_resumed(server, version, later));  /* it was given a new one meanwhile */
    set_clock(1000);
    CHECK(!is_resumed(server, version, later));
    set_clock(0);
    SSL_SESSION_free(first);
    SSL_SESSION_free(later);
    weft_tls_free(server);
    weft_tls_free(other);
}

TEST(tls_ticket_is_good_for_two_hours)
{
    resume_for_two_hours(TLS1_2_VERSION);
    resume_for_two_hours(TLS1_3_VERSION);
}

/* TLS 1.3: whoever has shown its ticket gets another, so that it can be resumed the next time, too. */
TEST(tls_ticket_is_replaced_when_it_is_shown)
{
    weft_tls *server = new_server();
    bool resumed;
    SSL_SESSION *session = connect_once(server, TLS1_3_VERSION, NULL, &resumed);
    CHECK(!resumed);
    for (int i = 0; i < 3; i++) {
        SSL_SESSION *next = connect_once(server, TLS1_3_VERSION, session, &resumed);
        CHECK(resumed && next != session);
        SSL_SESSION_free(session);
        session = next;
    }
    SSL_SESSION_free(session);
    weft_tls_free(server);
}

/* A process that was forked long ago opens what another one has sealed since. */
TEST(tls_ticket_of_another_process_is_taken)
{
    weft_tls *server = new_server();
    unsigned char bytes[4096], *end = bytes;
    int ends[2], status;
    bool resumed;
    CHECK_INT(0, pipe(ends));
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        const unsigned char *at = bytes;
        ssize_t n = read(ends[0], bytes, sizeof bytes);
        SSL_SESSION *session = n > 0 ? d2i_SSL_SESSION(NULL, &at, n) : NULL;
        set_clock(6);
        CHECK(session != NULL && is_resumed(server, TLS1_3_VERSION, session));
        _exit(0);
    }
    set_clock(5);
    SSL_SESSION *session = connect_once(server, TLS1_3_VERSION, NULL, &resumed);
    int size = i2d_SSL_SESSION(session, NULL);
    CHECK(size > 0 && (size_t)size <= sizeof bytes);
    CHECK_INT(size, i2d_SSL_SESSION(session, &end));
    CHECK_INT(size, write(ends[1], bytes, (size_t)size));
    CHECK_INT(pid, waitpid(pid, &status, 0));
    CHECK_INT(0, status);
    set_clock(0);
    close(ends[0]);
    close(ends[1]);
    SSL_SESSION_free(session);
    weft_tls_free(server);
}

#endif
#endif
