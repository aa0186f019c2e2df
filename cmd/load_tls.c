/* load_tls.c - `weft load`: connections over TLS: a session between the socket and what is sent and received. */
#include "load.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

static weft_tls *context;

int load_tls_open(const char *ca, bool insecure)
{
    char error[300] = "";
    int err = weft_tls_new(&context, WEFT_TLS_CLIENT,
                           &(weft_tls_options){.ca = ca,
                                               .verify = insecure ? WEFT_TLS_UNCHECKED : WEFT_TLS_CHECK,
                                               .alpn = load_opt.protocol == LOAD_HTTP ? "http/1.1" : NULL,
                                               .error = error,
                                               .error_size = sizeof error});
    if (err == -EOPNOTSUPP)
        return cmd_usage(LOAD_COMMAND, "this weft was built without TLS (OpenSSL)");
    if (err == -ELIBACC)
        return cmd_usage(LOAD_COMMAND, "OpenSSL, which TLS needs, is not there: %s", error);
    if (err < 0)
        return cmd_usage(LOAD_COMMAND, "--ca: %s", error[0] != 0 ? error : weft_strerror(err));
    return CMD_OK;
}

/* ---- the wire ---- */

/* What the turn leaves in the socket, the poller tells again. */
static ssize_t wire_recv(void *owner, void *buf, size_t size)
{
    load_conn *c = owner;
    if (c->wire_left == 0)
        return -EAGAIN;
    ssize_t n = recv(c->fd, buf, size < c->wire_left ? size : c->wire_left, 0);
    if (n > 0)
        c->wire_left -= (size_t)n;
    return n >= 0 ? n : errno == EINTR ? -EAGAIN : -errno;
}

static ssize_t wire_send(void *owner, const void *data, size_t size)
{
    ssize_t n = send(((load_conn *)owner)->fd, data, size, MSG_NOSIGNAL);
    return n >= 0 ? n : errno == EINTR ? -EAGAIN : -errno;
}

static const weft_tls_wire wire = {wire_recv, wire_send};

/* ---- a connection's session ---- */

static void drop_ticket(load_conn *c)
{
    weft_tls_ticket_free(c->ticket);
    c->ticket = NULL;
}

static int begin(load_conn *c)
{
    c->shaking = weft_now();
    int err = weft_tls_session_open(&c->tls, context, load_opt.host, &wire, c);
    if (err == 0 && c->ticket != NULL)
        err = weft_tls_session_resume(c->tls, c->ticket);
    drop_ticket(c); /* it is for one */
    return err;
}

int load_tls_shake(load_worker *w, load_conn *c)
{
    int err = c->tls == NULL ? begin(c) : 0;
    if (err == 0)
        err = weft_tls_session_handshake(c->tls);
    if (err == 0) {
        bool resumed = weft_tls_session_resumed(c->tls) != 0;
        load_hist_add(&w->shakes[resumed ? LOAD_SHAKE_RESUMED : LOAD_SHAKE_FULL], weft_now() - c->shaking);
        if (w->tls_name[0] == 0)
            snprintf(w->tls_name, sizeof w->tls_name, "%s %s", weft_tls_session_version(c->tls),
                     weft_tls_session_cipher(c->tls));
    }
    return err;
}

void load_tls_close(load_conn *c)
{
    if (c->tls == NULL)
        return;
    if (c->state == LOAD_OPEN && load_opt.resume) {
        drop_ticket(c);
        c->ticket = weft_tls_session_ticket(c->tls);
    }
    if (c->state == LOAD_OPEN)
        (void)weft_tls_session_finish(c->tls);
    weft_tls_session_close(c->tls);
    c->tls = NULL;
}

void load_tls_forget(load_conn *c)
{
    drop_ticket(c);
}

ssize_t load_tls_send(load_conn *c, const char *data, size_t size)
{
    ssize_t n = weft_tls_session_send(c->tls, data, size);
    if (n < 0)
        errno = (int)-n;
    return n < 0 ? -1 : n;
}

ssize_t load_tls_recv(load_conn *c, void *buf, size_t size)
{
    size_t got = 0;
    ssize_t n = 0;
    while (got < size && (n = weft_tls_session_recv(c->tls, (char *)buf + got, size - got)) > 0)
        got += (size_t)n;
    c->more = got == size || (got > 0 && n != -EAGAIN); /* the end of the session need not be the socket's */
    if (got > 0)
        return (ssize_t)got;
    if (n < 0)
        errno = n == -WEFT_ETRUNCATED ? ECONNRESET : (int)-n;
    return n < 0 ? -1 : 0;
}
