/* tls.h - TLS as a transformation of bytes: a session takes what came over the wire and gives what it said, and the
 * reverse. It knows no stream, never waits, and reaches the wire by two functions of its owner, so that it serves
 * streams (tls_stream.c) and whoever gets bytes from a poller alike. One call at a time a session; the owner sees to
 * that.
 *
 * -EAGAIN from a call means: wait until the wire can be written, if weft__tls_unsent, and else until it can be read,
 * and call again. An error stays: each later call gives it again. */
#ifndef WEFT_IO_TLS_H
#define WEFT_IO_TLS_H

#include <weft/tls.h>

#include <stdbool.h>

typedef struct weft__tls weft__tls; /* a session */

/* As recv and send do it: a part, 0 (the end), -EAGAIN, or an error. */
typedef struct weft__tls_wire {
    ssize_t (*recv)(void *owner, void *buf, size_t size);
    ssize_t (*send)(void *owner, const void *data, size_t size);
} weft__tls_wire;

enum {
    WEFT__TLS_RECORD = 16384 /* bytes that one record holds */
};

/* A session of the context's side. 0, -EINVAL (a client that checks needs a host), -ENOMEM, -EOPNOTSUPP. */
int weft__tls_open(weft__tls **t, weft_tls *context, const char *host, const weft__tls_wire *wire, void *owner);
void weft__tls_close(weft__tls *t);

/* 0: it is done. */
int weft__tls_handshake(weft__tls *t);

/* The count; 0: the peer has ended the session. */
ssize_t weft__tls_recv(weft__tls *t, void *buf, size_t size);

/* Take up to a record's worth, at least 1 byte of a size above 0; it may be unsent yet. -EAGAIN: earlier ones are.
 * -EPIPE after weft__tls_finish. */
ssize_t weft__tls_send(weft__tls *t, const void *data, size_t size);

/* Send what is unsent: 0 when nothing is any more. */
int weft__tls_flush(weft__tls *t);
bool weft__tls_unsent(const weft__tls *t);

/* Tell the peer that this is all, and flush. */
int weft__tls_finish(weft__tls *t);

/* Make every later call give this error. */
void weft__tls_fail(weft__tls *t, int err);

const char *weft__tls_version(weft__tls *t);
const char *weft__tls_cipher(weft__tls *t);
const char *weft__tls_protocol(weft__tls *t);
const char *weft__tls_host(weft__tls *t);
const char *weft__tls_error(weft__tls *t);

#endif
