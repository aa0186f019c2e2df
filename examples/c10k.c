/* c10k.c - C10K: ten thousand clients that are connected at the same time. The same handler is run by an event loop,
 * by select and by a process for each client; the clients connect, all of them, and then each asks, and asks again when
 * all have: who is still there then is answered. With --fast there are a thousand clients. */
#include "lesson.h"

#include <weft/server.h>

#include <sys/resource.h>

static int echo(weft_conn *c, void *arg)
{
    const void *bytes;
    (void)arg;
    ssize_t n = weft_conn_fill(c, 0, &bytes, WEFT_FOREVER);
    if (n <= 0 || weft_conn_write(c, bytes, (size_t)n) < 0)
        return WEFT_CONN_CLOSE;
    weft_conn_consume(c, (size_t)n);
    return WEFT_CONN_IDLE;
}

static int clients(void)
{
    return lesson_flag("--fast") ? 1000 : 10000;
}

static weft_server *open_server(const char *model, unsigned port)
{
    weft_server *s;
    must(weft_server_open(
        &s, &(weft_server_options){.handler = echo,
                                   .port = port,
                                   .model = model,
                                   .max_connections = strcmp(model, "process") == 0 ? 0 : (unsigned)clients(),
                                   .idle_timeout = -1}));
    return s;
}

static int server(void *s)
{
    must(weft_server_start(s));
    weft_server_wait(s, WEFT_FOREVER); /* until this thread is cancelled: Ctrl-C */
    weft_shield(1);
    weft_server_stop(s, WEFT_NOW);
    return weft_server_wait(s, WEFT_FOREVER);
}

/* ---- clients ---- */

/* The question comes back. */
static bool is_answered(weft_stream *s)
{
    char data[16];
    size_t got = 0;
    return weft_stream_send(s, "在吗?\n", 8, WEFT_FOREVER) == 8 &&
           weft_stream_recv_all(s, data, 8, &got, lesson_in(200)) == 8 && memcmp(data, "在吗?\n", 8) == 0;
}

static int ask_all(unsigned port)
{
    int n = clients(), online = 0, answered = 0, err = 0;
    weft_stream **streams = calloc((size_t)n, sizeof *streams);
    for (int i = 0; i < n; i++) {
        int result = weft_tcp_connect(&streams[i], NULL, port, NULL, lesson_in(200));
        online += result == 0;
        err = result < 0 ? result : err;
    }
    must(online > 0 ? 0 : err);       /* nobody listens there */
    for (int i = 0; i < 2 * n; i++) { /* a full server lets go of who was answered for those who are still to come */
        bool yes = streams[i % n] != NULL && is_answered(streams[i % n]);
        answered += i >= n && yes;
    }
    printf("%d个客户端, 连接了%d个, 得到回答的有%d个\n", n, online, answered);
    for (int i = 0; i < n; i++)
        weft_stream_close(streams[i]);
    free(streams);
    return 0;
}

int main(int argc, char **argv)
{
    static const char *const models[] = {"coroutine", "select", "process"};
    const struct rlimit files = {65536, 65536};
    struct rlimit had;
    int failed = 0;
    lesson_begin(argc, argv);
    if (getrlimit(RLIMIT_NOFILE, &had) == 0 && had.rlim_cur < (rlim_t)clients() + 100)
        setrlimit(RLIMIT_NOFILE, had.rlim_max < files.rlim_max ? &(struct rlimit){had.rlim_max, had.rlim_max} : &files);
    if (lesson_value("--client") != NULL)
        return ask_all(lesson_port("--client"));
    for (int i = 0; i < 3 && (i == 0 || lesson_value("--server") == NULL); i++) {
        /* In a process of its own: a process uses one poller. */
        printf("%s: ", models[i]);
        fflush(stdout);
        weft_server *s = open_server(models[i], lesson_port("--server"));
        lesson_pair p = {server, s, ask_all, NULL};
        failed |= lesson_run(&p, weft_server_port(s), NULL);
        weft_server_close(s);
    }
    return failed;
}
