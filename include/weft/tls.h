/* weft/tls.h - TLS over streams: after the handshake weft_stream_send, _recv, _shutdown, _close and all that is built
 * on them carry encrypted bytes, from threads and coroutines alike.
 *
 *     weft_tls *tls;
 *     int err = weft_tls_new(&tls, WEFT_TLS_CLIENT, NULL);              // trusts the system's authorities
 *     weft_stream *s;
 *     err = weft_tls_connect(&s, tls, "example.org", 443, NULL, weft_in_ms(5000));
 *     if (err == 0)
 *         weft_stream_send(s, "GET / HTTP/1.0\r\n\r\n", 18, WEFT_FOREVER);
 *
 *     err = weft_tls_new(&tls, WEFT_TLS_SERVER, &(weft_tls_options){.certificate = "cert.pem", .key = "key.pem"});
 *     err = weft_stream_accept(&s, listener, WEFT_FOREVER); // then, in a coroutine of the connection's own:
 *     err = weft_tls_start(s, tls, NULL, weft_in_ms(10000));
 *
 * TLS 1.2 at least; a client checks the certificate and the host's name unless told otherwise. OpenSSL does the work;
 * the first context loads it, and weft_tls_new is -EOPNOTSUPP without. A handshake takes about a millisecond of
 * computing on its thread. A server lets clients resume their sessions for two hours, by tickets whose key changes
 * every hour, also in processes forked since. A client resumes when asked to (`sessions`).
 *
 * The end. A peer that ends its session properly is 0 from weft_stream_recv. A connection that ends without it, by
 * which somebody on the way could cut a message short, is -WEFT_ETRUNCATED. Other errors: -WEFT_ETLS (no common version
 * or method, bytes that are no TLS), -WEFT_ECERTIFICATE, -WEFT_EHOSTNAME; weft_tls_error says it in words.
 *
 * Call from any thread and coroutine, by several at once; not in a signal handler. */
#ifndef WEFT_TLS_H
#define WEFT_TLS_H

#include <weft/stream.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Certificates and settings, which any number of connections share. */
typedef struct weft_tls weft_tls;

enum {
    WEFT_TLS_CLIENT,
    WEFT_TLS_SERVER
};

enum {
    WEFT_TLS_CHECK, /* client: the peer's certificate must be good and for the host. Server: clients are not asked */
    WEFT_TLS_UNCHECKED, /* client: any certificate will do, so anybody may be in between: for trials */
    WEFT_TLS_REQUIRE    /* server: clients must show a certificate that `ca` trusts */
};

/* A further certificate of a server's and its key, as below. */
typedef struct weft_tls_certificate {
    const char *certificate, *key;
    const char *certificate_text, *key_text;
} weft_tls_certificate;

/* Every field's zero is its default. Files are PEM; text is the same in memory, and goes before a file. */
typedef struct weft_tls_options {
    const char *certificate; /* file: ours, followed by those that lead to an authority. A server needs one */
    const char *key;         /* file: its private key; NULL: in the certificate's file or text */
    const char *ca;          /* file: the authorities that are trusted; NULL: a client trusts the system's */
    const char *certificate_text;
    const char *key_text;
    const char *ca_text;
    const char *alpn;                 /* protocols, the best first: "h2,http/1.1"; NULL: none are spoken of */
    const weft_tls_certificate *more; /* server: others. A client is shown the first that is for the host it asks for */
    unsigned more_count;              /* by SNI, and where none is, the first of all */
    unsigned char verify;             /* WEFT_TLS_CHECK ... */
    unsigned char only_1_3;           /* 1: TLS 1.3 at least; 0: 1.2 */
    unsigned sessions;                /* client: as many are kept, for its streams to resume; 0: none. See below */
    char *error;                      /* where to put words on what is wrong, or NULL */
    size_t error_size;
} weft_tls_options;

/* Make a context. Returns 0 and *t; -EINVAL: a certificate, key or list is not what it should be, or a server has none;
 * -ENOENT, -EACCES: of a file; -ENOMEM; -EOPNOTSUPP: this library has no TLS; -ELIBACC: OpenSSL is not installed. Reads
 * the files now (which blocks) and only again by weft_tls_reload. Allocates. */
WEFT_API int weft_tls_new(weft_tls **t, int side, const weft_tls_options *options);

/* Server: read the files of the certificates and keys anew, by their names. Handshakes from now on use them; sessions
 * can be resumed as before. `error`: for words, or NULL. Returns 0, or as weft_tls_new, and then all stays as it was;
 * -EINVAL also when one of them is no file. Reads files, which blocks. Allocates. */
WEFT_API int weft_tls_reload(weft_tls *t, char *error, size_t error_size);

/* Give it up: connections that have begun keep what they need. Takes NULL. */
WEFT_API void weft_tls_free(weft_tls *t);

enum {
    WEFT_TLS_PEM_MAX = 2048
};

/* For trials: make a key (P-256) and a certificate for these names and addresses ("localhost,127.0.0.1,::1"), good from
 * yesterday for a year, as PEM text for the options above. Nobody vouches for it: clients trust it where it is their
 * `ca_text`. Returns 0; -EINVAL: names that are none, or more than a certificate of this size holds; -ENOMEM;
 * -EOPNOTSUPP: no TLS here, or an OpenSSL before 3; -ELIBACC. Allocates nothing that stays. */
WEFT_API int weft_tls_self_signed(char certificate[WEFT_TLS_PEM_MAX], char key[WEFT_TLS_PEM_MAX], const char *names);

/* Make a TLS connection of a stream, by a handshake. `host`: whom a client means: it is sent to the server (SNI), and
 * the certificate must be for it, a name (of which a final dot is no part) or an address; NULL: then only with
 * WEFT_TLS_UNCHECKED. For a server NULL.
 * Returns 0; -WEFT_ETLS, -WEFT_ECERTIFICATE, -WEFT_EHOSTNAME, -WEFT_ETRUNCATED (the peer has left), -ETIMEDOUT,
 * -ECANCELED, -ECONNRESET, -EINVAL (no host, or TLS has begun already), -ENOMEM, -EBADF. After an error the stream is
 * of no more use, and nothing passes it in the clear: close it. The stream must be idle: nobody else may use it
 * meanwhile. Allocates.
 * After fork a session is for one of the two processes: it counts what passes, and two that send or receive break it. A
 * child closes a stream that it has not used without a word, and the session goes on in the parent; the parent's close
 * ends it for both. So let the handshake be made by the process that goes on with it. */
WEFT_API int weft_tls_start(weft_stream *s, weft_tls *t, const char *host, weft_until until);

/* weft_tcp_connect and weft_tls_start. Returns 0 and *s, or an error of the one or the other. */
WEFT_API int weft_tls_connect(weft_stream **s, weft_tls *t, const char *host, unsigned port,
                              const weft_tcp_options *options, weft_until until);

/* End the session: tell the peer that no more will come, after all that was sent. weft_stream_shutdown and _close do so
 * too but never wait: when the peer has not taken what was sent before, the first returns -EAGAIN and the second leaves
 * without a word, which the peer takes for truncation. Returns 0, -ETIMEDOUT, -ECANCELED, -EPIPE, -EBADF; -EINVAL: the
 * stream has no TLS. */
WEFT_API int weft_tls_end(weft_stream *s, weft_until until);

/* ---- about a connection; "" where there is none ---- */

/* "TLSv1.3", and "TLS_AES_256_GCM_SHA384". Static texts. */
WEFT_API const char *weft_tls_version(weft_stream *s);
WEFT_API const char *weft_tls_cipher(weft_stream *s);

/* The protocol that both ends agreed on by ALPN, the host that a client asked for by SNI, and what went wrong, in
 * words, if something did. Good as long as the stream is open. */
WEFT_API const char *weft_tls_protocol(weft_stream *s);
WEFT_API const char *weft_tls_host(weft_stream *s);
WEFT_API const char *weft_tls_error(weft_stream *s);

/* ---- sessions without a stream ---- */

/* TLS as a transformation of bytes, for those who get theirs from a poller: it never waits, and reaches the wire by two
 * functions of its owner's, which give a part, 0 (the end), -EAGAIN or an error, as recv and send do. One call at a
 * time a session; the owner sees to that. -EAGAIN from a call means: wait until the wire can be written, if
 * weft_tls_session_unsent, and else until it can be read, and call again. An error stays: each later call gives it. */
typedef struct weft_tls_session weft_tls_session;
typedef struct weft_tls_wire {
    ssize_t (*recv)(void *owner, void *buf, size_t size);
    ssize_t (*send)(void *owner, const void *data, size_t size);
} weft_tls_wire;

/* A session of the context's side; `wire` is not copied. Returns 0, -EINVAL (a client that checks needs a host),
 * -ENOMEM, -EOPNOTSUPP. Allocates. Close frees it, and says nothing to the peer. */
WEFT_API int weft_tls_session_open(weft_tls_session **t, weft_tls *context, const char *host, const weft_tls_wire *wire,
                                   void *owner);
WEFT_API void weft_tls_session_close(weft_tls_session *t);

/* 0: it is done; -EAGAIN; or as weft_tls_start. */
WEFT_API int weft_tls_session_handshake(weft_tls_session *t);

/* The count; 0: the peer has ended the session; -EAGAIN, -WEFT_ETRUNCATED, -WEFT_ETLS ... Ask until -EAGAIN: bytes that
 * have been taken from the wire are waiting inside. */
WEFT_API ssize_t weft_tls_session_recv(weft_tls_session *t, void *buf, size_t size);

/* Take up to a record's worth (16 KiB), at least 1 byte of a size above 0; it may be unsent yet. -EAGAIN: earlier ones
 * are. -EPIPE after weft_tls_session_finish. */
WEFT_API ssize_t weft_tls_session_send(weft_tls_session *t, const void *data, size_t size);

/* Send what is unsent: 0 when nothing is any more. */
WEFT_API int weft_tls_session_flush(weft_tls_session *t);
WEFT_API int weft_tls_session_unsent(const weft_tls_session *t);

/* Tell the peer that this is all, and flush. */
WEFT_API int weft_tls_session_finish(weft_tls_session *t);

/* Make every later call give this error. */
WEFT_API void weft_tls_session_fail(weft_tls_session *t, int err);

/* ---- resuming: a client's later handshake with the same server costs a fraction of the first ---- */

/* Streams of a client whose context has `sessions` resume by themselves: what servers send to resume by is kept in the
 * context as it comes, which with TLS 1.3 is during a receive (or weft_stream_close), and weft_tls_start and _connect
 * offer it to the same host, as it was named, and port. So it is never shown to anybody else, nor where other checks
 * are asked for: those are another context's. One of TLS 1.3 is offered once, by one connection and in one process: a
 * forked child begins with none. Kept for as long as the server and its certificate allow, and for a day from the
 * handshake in which that was checked; at most 8 of one host and port; the oldest go first. With a server that does not
 * take what it is offered, the handshake is a whole one. Each takes a few KiB. A server that sees one again knows that
 * it is the same client: keep none where it is not to.
 *
 * 1: the stream's handshake is done and was a short one, for a client or a server. 0: not, or it has no TLS. */
WEFT_API int weft_tls_resumed(weft_stream *s);

/* Sessions without a stream do it by hand. What a server has given to resume a session by. For one later session: who
 * shows it twice can be told to be the same. It holds its context. */
typedef struct weft_tls_ticket weft_tls_ticket;

/* Client: the newest one that has come; with TLS 1.3 that is after the handshake, by a receive. The caller's, also when
 * the session has been closed. NULL: there is none (yet), or no memory. Allocates. */
WEFT_API weft_tls_ticket *weft_tls_session_ticket(weft_tls_session *t);
WEFT_API void weft_tls_ticket_free(weft_tls_ticket *ticket); /* takes NULL */

/* Client, before the handshake: offer the ticket, which stays the caller's. A server that does not take it makes a
 * whole handshake. Returns 0; -EINVAL: t is a server's, has begun, or has another context or host than the ticket. */
WEFT_API int weft_tls_session_resume(weft_tls_session *t, const weft_tls_ticket *ticket);

/* 1: the handshake is done and was a short one. */
WEFT_API int weft_tls_session_resumed(const weft_tls_session *t);

/* As those of streams above; version and cipher "" before the end of the handshake. */
WEFT_API const char *weft_tls_session_version(weft_tls_session *t);
WEFT_API const char *weft_tls_session_cipher(weft_tls_session *t);
WEFT_API const char *weft_tls_session_protocol(weft_tls_session *t);
WEFT_API const char *weft_tls_session_host(weft_tls_session *t);
WEFT_API const char *weft_tls_session_error(weft_tls_session *t);

#ifdef __cplusplus
}
#endif
#endif
