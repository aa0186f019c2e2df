/* tls.c - a TLS session by OpenSSL. See tls.h.
 *
 * OpenSSL reads and writes through a BIO of ours. What the wire does not take at once is kept in `out` and goes before
 * anything else, so to OpenSSL a write always succeeds: no call of it need be repeated with the same bytes, and a send
 * that is given up after its deadline leaves a session that can go on. A new record is made when `out` is empty only,
 * so it holds little more than one; it is given back when it is sent. No call here parks, so OpenSSL's errors, which
 * are the thread's, are ours when we look. Pinned by tests/io/tls_test.c. */
#include "io/tls_context.h"

#include "base/atomic.h"
#include "sys/net.h"
#include "sys/sys.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#if WEFT_HAVE_OPENSSL

enum {
    OUT_MAX = 1 << 20 /* far beyond any chain of certificates: who makes us answer and does not read is cut off */
};

struct weft_tls_session {
    weft_tls *context;
    SSL *ssl;
    const weft_tls_wire *wire;
    void *owner;
    char *out;
    size_t out_size, out_at, out_end;  /* unsent: out[out_at..out_end) */
    int wire_error;                    /* what the wire said last, if that was an error */
    int failed;                        /* stays */
    bool established, finished, ended; /* the handshake is done; we said that this is all; the wire has ended */
    bool keeps;                        /* what it can be resumed by, for host and port, in the context */
    unsigned port;
    SSL_SESSION *seen; /* the last that was offered or kept */
    int64_t checked;   /* when its certificate was, here or in the handshake that this one resumes */
    char error[160], protocol[256], host[256];
};

struct weft_tls_ticket {
    weft_tls *context; /* whose checks the server has passed: a resumed session is not checked again */
    SSL_SESSION *session;
    char host[256];
};

/* ---- the wire, as OpenSSL sees it ---- */

static ssize_t send_some(weft_tls_session *t, const char *data, size_t size)
{
    ssize_t n = t->wire->send(t->owner, data, size);
    if (n < 0 && n != -EAGAIN)
        t->wire_error = (int)n;
    return n;
}

static int flush(weft_tls_session *t)
{
    while (t->out_at < t->out_end) {
        ssize_t n = send_some(t, t->out + t->out_at, t->out_end - t->out_at);
        if (n < 0)
            return (int)n;
        t->out_at += (size_t)n;
    }
    weft__free(t->out); /* a full wire is rare and sessions are long: none holds a record's room for the next time */
    t->out = NULL;
    t->out_size = t->out_at = t->out_end = 0;
    return 0;
}

static int keep(weft_tls_session *t, const char *data, size_t size)
{
    if (t->out_end + size > OUT_MAX)
        return -ENOBUFS;
    if (t->out_size - t->out_end < size) {
        size_t larger = t->out_end + size + 1024;
        char *out = weft__realloc(t->out, larger);
        if (out == NULL)
            return -ENOMEM;
        t->out = out;
        t->out_size = larger;
    }
    memcpy(t->out + t->out_end, data, size);
    t->out_end += size;
    return 0;
}

static int wire_write(BIO *bio, const char *data, int size)
{
    weft_tls_session *t = BIO_get_data(bio);
    size_t sent = 0;
    BIO_clear_retry_flags(bio);
    while (t->out_end == 0 && sent < (size_t)size) {
        ssize_t n = send_some(t, data + sent, (size_t)size - sent);
        if (n == -EAGAIN)
            break;
        if (n < 0) {
            errno = (int)-n; /* OpenSSL looks: a client that has left does not want our tickets, but may have sent */
            return -1;
        }
        sent += (size_t)n;
    }
    if (sent < (size_t)size && (t->wire_error = keep(t, data + sent, (size_t)size - sent)) < 0)
        return -1;
    return size;
}

static int wire_read(BIO *bio, char *buf, int size)
{
    weft_tls_session *t = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    ssize_t n = t->wire->recv(t->owner, buf, (size_t)size);
    if (n == -EAGAIN)
        BIO_set_retry_read(bio);
    else if (n == 0)
        t->ended = true;
    else if (n < 0)
        t->wire_error = (int)n;
    return n < 0 ? -1 : (int)n;
}

static long wire_control(BIO *bio, int command, long number, void *pointer)
{
    weft_tls_session *t = BIO_get_data(bio);
    (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH ? 1 : command == BIO_CTRL_EOF ? t->ended : 0;
}

static BIO_METHOD *wire_method;
static pthread_once_t wire_once = PTHREAD_ONCE_INIT;

static void make_method(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "weft");
    if (m == NULL)
        return;
    BIO_meth_set_write(m, wire_write);
    BIO_meth_set_read(m, wire_read);
    BIO_meth_set_ctrl(m, wire_control);
    wire_method = m;
}

/* ---- life ---- */

/* The dot at the end of a whole name, "example.org.", is no part of it here; to OpenSSL one at its beginning would mean
 * any host below. */
static int name_host(weft_tls_session *t, const char *host)
{
    weft_address numeric;
    bool name = weft__address_parse(&numeric, host, 0) < 0;
    size_t size = strlen(host);
    if (name && size > 0 && host[size - 1] == '.')
        size--;
    if (size == 0 || size >= sizeof t->host || host[0] == '.')
        return -EINVAL;
    memcpy(t->host, host, size);
    t->host[size] = 0;
    if (name && SSL_set_tlsext_host_name(t->ssl, t->host) != 1)
        return -EINVAL;
    if (t->context->verify == WEFT_TLS_UNCHECKED)
        return 0;
    X509_VERIFY_PARAM *p = SSL_get0_param(t->ssl);
    X509_VERIFY_PARAM_set_hostflags(p, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    char address[WEFT_ADDRESS_MAX];
    if (!name) {
        weft__address_host(&numeric, address, sizeof address);
        address[strcspn(address, "%")] = 0;
    }
    int good = name ? X509_VERIFY_PARAM_set1_host(p, t->host, 0) : X509_VERIFY_PARAM_set1_ip_asc(p, address);
    return good == 1 ? 0 : -EINVAL;
}

int weft_tls_session_open(weft_tls_session **out, weft_tls *context, const char *host, const weft_tls_wire *wire,
                          void *owner)
{
    bool client = context->side == WEFT_TLS_CLIENT;
    if ((client && host == NULL && context->verify != WEFT_TLS_UNCHECKED) || (!client && host != NULL))
        return -EINVAL;
    pthread_once(&wire_once, make_method);
    weft_tls_session *t = weft__calloc(1, sizeof *t);
    if (t == NULL || wire_method == NULL) {
        weft__free(t);
        return -ENOMEM;
    }
    add_acq_rel(&context->users, 1u);
    t->context = context;
    t->wire = wire;
    t->owner = owner;
    ERR_clear_error();
    t->ssl = SSL_new(context->ctx);
    BIO *bio = t->ssl != NULL ? BIO_new(wire_method) : NULL;
    if (bio == NULL) {
        weft_tls_session_close(t);
        return -ENOMEM;
    }
    BIO_set_data(bio, t);
    BIO_set_init(bio, 1);
    SSL_set_bio(t->ssl, bio, bio);
    if (client)
        SSL_set_connect_state(t->ssl);
    else
        SSL_set_accept_state(t->ssl);
    int err = host != NULL ? name_host(t, host) : 0;
    if (err < 0) {
        weft_tls_session_close(t);
        return err;
    }
    *out = t;
    return 0;
}

void weft_tls_session_close(weft_tls_session *t)
{
    SSL_free(t->ssl);
    SSL_SESSION_free(t->seen);
    weft__tls_context_leave(t->context);
    weft__free(t->out);
    weft__free(t);
}

/* ---- errors ---- */

void weft_tls_session_fail(weft_tls_session *t, int err)
{
    if (t->failed == 0)
        t->failed = err;
}

static int say(weft_tls_session *t, int err, const char *why)
{
    snprintf(t->error, sizeof t->error, "%s", why);
    t->failed = err;
    return err;
}

/* What OpenSSL's refusal of a call means: -EAGAIN, 0 (the peer has ended the session), or an error, which stays. */
static int refused(weft_tls_session *t, int result)
{
    int kind = SSL_get_error(t->ssl, result);
    unsigned long code = ERR_peek_error();
    long verified = SSL_get_verify_result(t->ssl);
    if (kind == SSL_ERROR_WANT_READ)
        return -EAGAIN;
    if (kind == SSL_ERROR_ZERO_RETURN)
        return 0;
    if (t->wire_error < 0)
        return say(t, t->wire_error, weft_strerror(t->wire_error));
    if (t->ended)
        return say(t, -WEFT_ETRUNCATED, "the connection ended without the end of the session");
    if (ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE)
        return say(t, -ENOMEM, weft_strerror(-ENOMEM));
    if (!t->established && verified != X509_V_OK && (SSL_get_verify_mode(t->ssl) & SSL_VERIFY_PEER)) {
        bool host = verified == X509_V_ERR_HOSTNAME_MISMATCH || verified == X509_V_ERR_IP_ADDRESS_MISMATCH;
        return say(t, host ? -WEFT_EHOSTNAME : -WEFT_ECERTIFICATE, X509_verify_cert_error_string(verified));
    }
    const char *why = ERR_reason_error_string(code);
    bool none = ERR_GET_REASON(code) == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE;
    return say(t, none ? -WEFT_ECERTIFICATE : -WEFT_ETLS, why != NULL ? why : "broken off");
}

/* ---- a session's life ---- */

int weft_tls_session_flush(weft_tls_session *t)
{
    int err = flush(t);
    if (err < 0 && err != -EAGAIN)
        return t->failed != 0 ? t->failed : say(t, err, weft_strerror(err));
    return err;
}

int weft_tls_session_unsent(const weft_tls_session *t)
{
    return t->out_end > 0;
}

/* Is there a new session to resume by? OpenSSL would tell, but only where it also marks each one that it resumes as
 * used up. `seen` holds its address, so that no other has it. */
static void keep_new(weft_tls_session *t)
{
    SSL_SESSION *now = t->keeps && t->established ? SSL_get_session(t->ssl) : NULL;
    if (now == NULL || now == t->seen || SSL_SESSION_is_resumable(now) != 1)
        return;
    SSL_SESSION_up_ref(now);
    SSL_SESSION_free(t->seen);
    t->seen = now;
    weft__tls_cache_put(t->context, t->host, t->port, t->checked, now);
}

/* OpenSSL is about to read a message: the one before may have been a ticket, and this one another. */
static void before_message(int ours, int version, int kind, const void *message, size_t size, SSL *ssl, void *arg)
{
    (void)version, (void)message, (void)size, (void)ssl;
    if (!ours && kind == SSL3_RT_HANDSHAKE)
        keep_new(arg);
}

static void note_agreement(weft_tls_session *t)
{
    const unsigned char *protocol;
    unsigned size;
    SSL_get0_alpn_selected(t->ssl, &protocol, &size);
    if (size < sizeof t->protocol && size > 0)
        memcpy(t->protocol, protocol, size);
    const char *host =
        t->context->side == WEFT_TLS_SERVER ? SSL_get_servername(t->ssl, TLSEXT_NAMETYPE_host_name) : NULL;
    if (host != NULL)
        snprintf(t->host, sizeof t->host, "%s", host);
}

int weft_tls_session_handshake(weft_tls_session *t)
{
    if (t->failed != 0)
        return t->failed;
    int err = weft_tls_session_flush(t);
    if ((err < 0 && err != -EAGAIN) || t->established)
        return err;
    ERR_clear_error();
    int result =
        SSL_do_handshake(t->ssl); /* also while something is unsent: what the wire gives is taken all the same */
    if (result != 1) {
        err = refused(t, result);
        return err == 0 ? say(t, -WEFT_ETLS, "ended during the handshake") : err;
    }
    t->established = true;
    note_agreement(t);
    if (t->keeps && SSL_session_reused(t->ssl) != 1)
        t->checked = weft__sys_now();
    keep_new(t);
    return weft_tls_session_flush(t);
}

ssize_t weft_tls_session_recv(weft_tls_session *t, void *buf, size_t size)
{
    size_t got;
    if (t->failed != 0)
        return t->failed;
    ERR_clear_error();
    int result = SSL_read_ex(t->ssl, buf, size, &got);
    keep_new(t);
    return result == 1 ? (ssize_t)got : refused(t, result);
}

ssize_t weft_tls_session_send(weft_tls_session *t, const void *data, size_t size)
{
    size_t taken;
    if (t->failed != 0)
        return t->failed;
    if (t->finished)
        return -EPIPE;
    int err = weft_tls_session_flush(t);
    if (err < 0 || size == 0)
        return err;
    ERR_clear_error();
    int result = SSL_write_ex(t->ssl, data, size < WEFT__TLS_RECORD ? size : WEFT__TLS_RECORD, &taken);
    if (result == 1)
        return (ssize_t)taken;
    if (t->wire_error < 0) /* to OpenSSL it is the peer's end, if that has come */
        return say(t, t->wire_error, weft_strerror(t->wire_error));
    err = refused(t, result);
    return err == 0 || err == -EAGAIN ? say(t, -WEFT_ETLS, "writing had to wait for reading") : err;
}

int weft_tls_session_finish(weft_tls_session *t)
{
    if (t->failed != 0)
        return t->failed;
    if (!t->established)
        return 0;
    if (!t->finished) {
        ERR_clear_error();
        int result = SSL_shutdown(t->ssl);
        if (result < 0 && t->wire_error < 0)
            return say(t, t->wire_error, weft_strerror(t->wire_error));
        t->finished = true;
    }
    return weft_tls_session_flush(t);
}

/* ---- resuming ---- */

weft_tls_ticket *weft_tls_session_ticket(weft_tls_session *t)
{
    SSL_SESSION *now = SSL_get_session(t->ssl);
    if (t->context->side != WEFT_TLS_CLIENT || !t->established || now == NULL || SSL_SESSION_is_resumable(now) != 1)
        return NULL;
    weft_tls_ticket *ticket = weft__malloc(sizeof *ticket);
    if (ticket == NULL)
        return NULL;
    ticket->session = SSL_SESSION_dup(now); /* this one is marked as bad if the connection breaks */
    if (ticket->session == NULL) {
        weft__free(ticket);
        return NULL;
    }
    ticket->context = t->context;
    add_acq_rel(&t->context->users, 1u);
    memcpy(ticket->host, t->host, sizeof t->host);
    return ticket;
}

void weft_tls_ticket_free(weft_tls_ticket *ticket)
{
    if (ticket == NULL)
        return;
    SSL_SESSION_free(ticket->session);
    weft__tls_context_leave(ticket->context);
    weft__free(ticket);
}

int weft_tls_session_resume(weft_tls_session *t, const weft_tls_ticket *ticket)
{
    if (t->context != ticket->context || strcmp(t->host, ticket->host) != 0 || !SSL_in_before(t->ssl))
        return -EINVAL;
    return SSL_set_session(t->ssl, ticket->session) == 1 ? 0 : -EINVAL;
}

void weft__tls_session_keep(weft_tls_session *t, unsigned port)
{
    if (t->context->cache == NULL || t->host[0] == 0)
        return;
    t->keeps = true;
    t->port = port;
    SSL_set_msg_callback(t->ssl, before_message);
    SSL_set_msg_callback_arg(t->ssl, t);
    t->seen = weft__tls_cache_take(t->context, t->host, port, &t->checked);
    if (t->seen != NULL)
        (void)SSL_set_session(t->ssl, t->seen); /* or else a whole handshake */
}

bool weft__tls_session_keeps(const weft_tls_session *t)
{
    return t->keeps;
}

void weft__tls_session_forget(weft_tls_session *t)
{
    if (t->keeps)
        weft__tls_cache_forget(t->context, t->host, t->port);
}

int weft_tls_session_resumed(const weft_tls_session *t)
{
    return t->established && SSL_session_reused(t->ssl) == 1;
}

/* ---- about a session ---- */

void weft__tls_thread_end(void)
{
    if (weft__openssl_loaded())
        OPENSSL_thread_stop();
}

bool weft__tls_serves(const weft_tls *context)
{
    return context->side == WEFT_TLS_SERVER;
}

const char *weft_tls_session_version(weft_tls_session *t)
{
    return t->established ? SSL_get_version(t->ssl) : "";
}

const char *weft_tls_session_cipher(weft_tls_session *t)
{
    return t->established ? SSL_get_cipher_name(t->ssl) : "";
}

const char *weft_tls_session_protocol(weft_tls_session *t)
{
    return t->protocol;
}

const char *weft_tls_session_host(weft_tls_session *t)
{
    return t->host;
}

const char *weft_tls_session_error(weft_tls_session *t)
{
    return t->error;
}

#else

/* No context can be made, so nothing of this is ever reached but the first. */
int weft_tls_session_open(weft_tls_session **out, weft_tls *context, const char *host, const weft_tls_wire *wire,
                          void *owner)
{
    (void)out, (void)context, (void)host, (void)wire, (void)owner;
    return -EOPNOTSUPP;
}

void weft_tls_session_close(weft_tls_session *t)
{
    (void)t;
}

int weft_tls_session_handshake(weft_tls_session *t)
{
    (void)t;
    return -EOPNOTSUPP;
}

ssize_t weft_tls_session_recv(weft_tls_session *t, void *buf, size_t size)
{
    (void)t, (void)buf, (void)size;
    return -EOPNOTSUPP;
}

ssize_t weft_tls_session_send(weft_tls_session *t, const void *data, size_t size)
{
    (void)t, (void)data, (void)size;
    return -EOPNOTSUPP;
}

int weft_tls_session_flush(weft_tls_session *t)
{
    (void)t;
    return -EOPNOTSUPP;
}

int weft_tls_session_unsent(const weft_tls_session *t)
{
    (void)t;
    return 0;
}

int weft_tls_session_finish(weft_tls_session *t)
{
    (void)t;
    return -EOPNOTSUPP;
}

void weft_tls_session_fail(weft_tls_session *t, int err)
{
    (void)t, (void)err;
}

weft_tls_ticket *weft_tls_session_ticket(weft_tls_session *t)
{
    (void)t;
    return NULL;
}

void weft_tls_ticket_free(weft_tls_ticket *ticket)
{
    (void)ticket;
}

int weft_tls_session_resume(weft_tls_session *t, const weft_tls_ticket *ticket)
{
    (void)t, (void)ticket;
    return -EOPNOTSUPP;
}

int weft_tls_session_resumed(const weft_tls_session *t)
{
    (void)t;
    return 0;
}

void weft__tls_session_keep(weft_tls_session *t, unsigned port)
{
    (void)t, (void)port;
}

bool weft__tls_session_keeps(const weft_tls_session *t)
{
    (void)t;
    return false;
}

void weft__tls_session_forget(weft_tls_session *t)
{
    (void)t;
}

void weft__tls_thread_end(void)
{
}

bool weft__tls_serves(const weft_tls *context)
{
    (void)context;
    return false;
}

const char *weft_tls_session_version(weft_tls_session *t)
{
    (void)t;
    return "";
}

const char *weft_tls_session_cipher(weft_tls_session *t)
{
    return weft_tls_session_version(t);
}

const char *weft_tls_session_protocol(weft_tls_session *t)
{
    return weft_tls_session_version(t);
}

const char *weft_tls_session_host(weft_tls_session *t)
{
    return weft_tls_session_version(t);
}

const char *weft_tls_session_error(weft_tls_session *t)
{
    return weft_tls_session_version(t);
}

#endif
