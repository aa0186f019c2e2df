/* both_wait.c - sends and receives have to match (防止两端都阻塞): two ends that both receive wait for ever, and so do two
 * that both send until the buffers between them are full. A deadline tells. */
#include "lesson.h"

/* One end, in a thread of its own. */
typedef struct end {
    const char *name;
    weft_stream *stream;
    int (*act)(struct end *e);
    weft_thread thread;
} end;

static int receive(end *e)
{
    char data[100];
    ssize_t n = weft_stream_recv(e->stream, data, sizeof data, lesson_in(1));
    if (n == -ETIMEDOUT)
        printf("%s: recv 一直阻塞\n", e->name);
    else
        printf("%s: 收到 %.*s\n", e->name, must((int)n), data);
    return 0;
}

static int send_one(end *e)
{
    return must((int)weft_stream_send(e->stream, "你好", strlen("你好"), lesson_in(1)));
}

/* More than all buffers on the way hold. */
static int send_much(end *e)
{
    size_t size = 64 << 20;
    char *much = calloc(1, size);
    ssize_t n = much != NULL ? weft_stream_send(e->stream, much, size, lesson_in(1)) : -ENOMEM;
    free(much);
    if (n != -ETIMEDOUT)
        must((int)n);
    printf("%s: send %s\n", e->name, n == -ETIMEDOUT ? "一直阻塞" : "完成");
    return 0;
}

static int run_end(void *arg)
{
    end *e = arg;
    return e->act(e);
}

/* What comes of it when the two ends of a connection do these. */
static void both(const char *title, int (*first)(end *), int (*second)(end *))
{
    weft_stream *listener;
    end ends[2] = {{.name = "客户端", .act = first, .thread = WEFT_THREAD_INIT},
                   {.name = "服务端", .act = second, .thread = WEFT_THREAD_INIT}};
    must(weft_tcp_listen(&listener, NULL, 0, NULL));
    must(weft_tcp_connect(&ends[0].stream, NULL, weft_stream_port(listener), NULL, WEFT_FOREVER));
    must(weft_tcp_accept(&ends[1].stream, listener, WEFT_FOREVER));
    weft_stream_close(listener);
    puts(title);
    for (int i = 0; i < 2; i++)
        must(weft_thread_start(&ends[i].thread, run_end, &ends[i], NULL));
    for (int i = 0; i < 2; i++)
        must(weft_thread_join(&ends[i].thread, NULL, WEFT_FOREVER));
    for (int i = 0; i < 2; i++)
        weft_stream_close(ends[i].stream);
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    both("两端都接收:", receive, receive);
    both("两端都发送:", send_much, send_much);
    both("一端发送, 一端接收:", send_one, receive);
    return 0;
}
