/* libuv_echo.c - an echo server on libuv: one loop, a buffer that is kept, and uv_try_write, which sends at once and
 * allocates nothing; a request to write is made only for what the client does not take. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum {
    READ_SIZE = 16384
};

typedef struct writing {
    uv_write_t request;
    char data[];
} writing;

static char buffer[READ_SIZE];

static void die(const char *what, int err)
{
    fprintf(stderr, "libuv_echo: %s: %s\n", what, uv_strerror(err));
    exit(1);
}

static void closed(uv_handle_t *handle)
{
    free(handle);
}

static void lend(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
    (void)handle, (void)size;
    *buf = uv_buf_init(buffer, sizeof buffer);
}

static void written(uv_write_t *request, int status)
{
    (void)status;
    free(request);
}

static void keep(uv_stream_t *client, const char *data, size_t size)
{
    writing *w = malloc(sizeof *w + size);
    if (w == NULL)
        die("malloc", UV_ENOMEM);
    memcpy(w->data, data, size);
    uv_buf_t buf = uv_buf_init(w->data, (unsigned)size);
    if (uv_write(&w->request, client, &buf, 1, written) < 0)
        free(w);
}

static void received(uv_stream_t *client, ssize_t n, const uv_buf_t *buf)
{
    if (n < 0)
        uv_close((uv_handle_t *)client, closed);
    if (n <= 0)
        return;
    uv_buf_t out = uv_buf_init(buf->base, (unsigned)n);
    int sent = uv_try_write(client, &out, 1);
    if (sent == UV_EAGAIN)
        sent = 0;
    if (sent < 0)
        uv_close((uv_handle_t *)client, closed);
    else if (sent < n)
        keep(client, buf->base + sent, (size_t)(n - sent));
}

static void connected(uv_stream_t *listener, int status)
{
    uv_tcp_t *client = status < 0 ? NULL : malloc(sizeof *client);
    if (client == NULL)
        return;
    uv_tcp_init(listener->loop, client);
    if (uv_accept(listener, (uv_stream_t *)client) < 0) {
        uv_close((uv_handle_t *)client, closed);
        return;
    }
    uv_tcp_nodelay(client, 1);
    uv_read_start((uv_stream_t *)client, lend, received);
}

int main(void)
{
    uv_loop_t *loop = uv_default_loop();
    static uv_tcp_t listener;
    struct sockaddr_in addr;
    int size = sizeof addr, err;
    uv_tcp_init(loop, &listener);
    uv_ip4_addr("127.0.0.1", 0, &addr);
    if ((err = uv_tcp_bind(&listener, (const struct sockaddr *)&addr, 0)) < 0 ||
        (err = uv_listen((uv_stream_t *)&listener, 4096, connected)) < 0 ||
        (err = uv_tcp_getsockname(&listener, (struct sockaddr *)&addr, &size)) < 0)
        die("listen", err);
    printf("tcp://127.0.0.1:%d\n", ntohs(addr.sin_port));
    fflush(stdout);
    return uv_run(loop, UV_RUN_DEFAULT);
}
