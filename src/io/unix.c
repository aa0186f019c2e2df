/* unix.c - Unix stream sockets: listen, connect, pair. A listener with a file carries it as a layer, so that closing
 * the stream takes the file away (sys/unix.h says when). Pinned by tests/io/unix_test.c. */
#include "sys/unix.h"
#include "io/stream.h"
#include "sys/net.h"
#include "sys/sys.h"

#include <weft/co.h>

#include <errno.h>

static const weft_unix_options no_options;

/* ---- bind ---- */

typedef struct binding {
    int fd;
    const weft_address *a;
    const weft__unix_request *request;
    weft__socket_file *file;
} binding;

static int bind_it(void *arg)
{
    binding *b = arg;
    return weft__sys_bind_unix(b->fd, b->a, b->request->mode, b->request->backlog, b->file);
}

int weft__io_unix_bind(const weft_address *a, const weft__unix_request *request, weft__socket_file *file)
{
    int fd = weft__sys_socket(AF_UNIX, request->type);
    if (fd < 0)
        return fd;
    int err = weft__io_buffers(fd, request->send_buffer, request->recv_buffer);
    if (err == 0)
        err = weft_blocking(bind_it, &(binding){fd, a, request, file});
    if (err < 0) {
        weft__sys_close(fd);
        return err;
    }
    return fd;
}

/* ---- listen ---- */

typedef struct listener {
    weft_stream stream;
    weft__socket_file file;
} listener;

static void remove_file(weft_stream *s)
{
    weft__sys_unbind_unix(&((listener *)s)->file);
}

static const weft__stream_layer listener_layer = {.closing = remove_file};

int weft_unix_listen(weft_stream **out, const char *path, const weft_unix_options *options)
{
    const weft_unix_options *o = options != NULL ? options : &no_options;
    weft_address a;
    int err = weft_address_unix(&a, path);
    if (err < 0)
        return err;
    listener *l = weft__calloc(1, sizeof *l);
    if (l == NULL)
        return -ENOMEM;
    weft__unix_request request = {SOCK_STREAM, o->backlog != 0 ? o->backlog : WEFT__BACKLOG, o->mode, o->send_buffer,
                                  o->recv_buffer};
    int fd = weft__io_unix_bind(&a, &request, &l->file);
    if (fd < 0) {
        weft__free(l);
        return fd;
    }
    weft__stream_init(&l->stream, fd, false);
    if (!o->keep_file)
        l->stream.layer = &listener_layer;
    *out = &l->stream;
    return 0;
}

/* ---- connect ---- */

int weft__io_pause(int64_t *pause, weft_until until)
{
    weft_until next = weft_in(*pause);
    if (weft_cancelled())
        return -ECANCELED;
    if (weft_left(until) == 0)
        return -ETIMEDOUT;
    if (*pause < 16 * WEFT_MS)
        *pause *= 2;
    return weft_sleep(next.at < until.at ? next : until);
}

int weft__io_unix_connect(int fd, const weft_address *a, weft_until until)
{
    int64_t pause = WEFT__FIRST_PAUSE;
    int err;
    do {
        err = weft__sys_connect(fd, a);
        if (err == -EINPROGRESS) {
            err = weft_fd_wait(fd, WEFT_POLLOUT, until);
            return err < 0 ? err : weft__sys_socket_error(fd);
        }
        if (err != -EAGAIN)
            return err;
        err = weft__io_pause(&pause, until);
    } while (err == 0);
    return err;
}

int weft_unix_connect(weft_stream **out, const char *path, const weft_unix_options *options, weft_until until)
{
    const weft_unix_options *o = options != NULL ? options : &no_options;
    weft_address a;
    int err = weft_address_unix(&a, path);
    if (err < 0)
        return err;
    int fd = weft__sys_socket(AF_UNIX, SOCK_STREAM);
    if (fd < 0)
        return fd;
    err = weft__io_buffers(fd, o->send_buffer, o->recv_buffer);
    if (err == 0)
        err = weft__io_unix_connect(fd, &a, until);
    if (err < 0) {
        weft__sys_close(fd);
        return err;
    }
    return weft__stream_make(out, fd, false);
}

int weft_unix_peer(weft_stream *s, weft_unix_user *user)
{
    int err = weft__stream_enter(s);
    if (err < 0)
        return err;
    err = s->tcp ? -EOPNOTSUPP : weft__sys_peer_user(s->fd, &user->pid, &user->uid, &user->gid);
    weft__stream_leave(s);
    return err;
}

int weft_unix_pair(weft_stream *pair[2])
{
    int fds[2];
    int err = weft__sys_socketpair(SOCK_STREAM, fds);
    if (err < 0)
        return err;
    weft_stream *first = weft__stream_new(fds[0], false);
    weft_stream *second = weft__stream_new(fds[1], false);
    if (first == NULL || second == NULL) {
        weft_stream_close(first);
        weft_stream_close(second);
        return -ENOMEM;
    }
    pair[0] = first;
    pair[1] = second;
    return 0;
}
