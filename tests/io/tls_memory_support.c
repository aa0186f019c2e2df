/* tls_memory_support.c - see tls_memory_support.h. */
#include "io/tls_memory_support.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

typedef struct way {
    char bytes[16384];
    size_t at, used;
} way;

typedef struct side {
    weft_tls_session *session;
    way *in, *out;
} side;

static ssize_t take(void *owner, void *buf, size_t size)
{
    way *w = ((side *)owner)->in;
    size_t n = w->used - w->at < size ? w->used - w->at : size;
    memcpy(buf, w->bytes + w->at, n);
    w->at += n;
    return n > 0 ? (ssize_t)n : -EAGAIN;
}

static ssize_t give(void *owner, const void *data, size_t size)
{
    way *w = ((side *)owner)->out;
    size_t n = sizeof w->bytes - w->used < size ? sizeof w->bytes - w->used : size;
    memcpy(w->bytes + w->used, data, n);
    w->used += n;
    return n > 0 ? (ssize_t)n : -EAGAIN;
}

static const weft_tls_wire wire = {take, give};

int tls_memory_contexts(weft_tls **server, weft_tls **client)
{
    char certificate[WEFT_TLS_PEM_MAX], key[WEFT_TLS_PEM_MAX];
    int err = weft_tls_self_signed(certificate, key, "localhost");
    if (err < 0)
        return err;
    weft_tls_options for_server = {.certificate_text = certificate, .key_text = key};
    weft_tls_options for_client = {.ca_text = certificate};
    err = weft_tls_new(server, WEFT_TLS_SERVER, &for_server);
    if (err < 0)
        return err;
    err = weft_tls_new(client, WEFT_TLS_CLIENT, &for_client);
    if (err < 0)
        weft_tls_free(*server);
    return err;
}

static int converse(side *server, side *client)
{
    int a = -EAGAIN, b = -EAGAIN;
    char text[8];
    for (int i = 0; i < 20 && (a == -EAGAIN || b == -EAGAIN); i++) {
        a = weft_tls_session_handshake(client->session);
        b = weft_tls_session_handshake(server->session);
    }
    if (a < 0 || b < 0)
        return a < 0 && a != -EAGAIN ? a : b < 0 ? b : a;
    ssize_t n = weft_tls_session_send(server->session, "talk", 4);
    if (n == 4)
        n = weft_tls_session_recv(client->session, text, sizeof text);
    return n < 0 ? (int)n : n == 4 && memcmp(text, "talk", 4) == 0 ? 0 : -EBADMSG;
}

int tls_memory_talk(weft_tls *server, weft_tls *client)
{
    way up = {.at = 0}, down = {.at = 0};
    side s = {NULL, &up, &down}, c = {NULL, &down, &up};
    int err = weft_tls_session_open(&s.session, server, NULL, &wire, &s);
    if (err < 0)
        return err;
    err = weft_tls_session_open(&c.session, client, "localhost", &wire, &c);
    if (err == 0) {
        err = converse(&s, &c);
        weft_tls_session_close(c.session);
    }
    weft_tls_session_close(s.session);
    return err;
}
