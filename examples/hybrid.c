/* hybrid.c - servers of several processes, each of which has several threads, or an event loop. The handler and all
 * else stays the same: the hybrids are two numbers and a word in the options. Eight clients come and stay; in the first
 * server each of them has a thread to itself, four of them in each process. */
#include "lesson.h"

#include <weft/server.h>

enum {
    CLIENTS = 8
};

static int handle(weft_conn *c, void *arg)
{
    const char *bytes;
    char text[64];
    (void)arg;
    ssize_t n = weft_conn_fill(c, 0, (const void **)&bytes, WEFT_FOREVER);
    if (n <= 0)
        return WEFT_CONN_CLOSE;
    printf("客户端: %.*s\n", (int)n, bytes);
    weft_conn_consume(c, (size_t)n);
    int length = snprintf(text, sizeof text, "进程%d", (int)getpid());
    return weft_conn_write(c, text, (size_t)length) < 0 ? WEFT_CONN_CLOSE : WEFT_CONN_IDLE;
}

static int server(void *s)
{
    must(weft_server_start(s));
    weft_server_wait(s, WEFT_FOREVER); /* until this thread is cancelled: Ctrl-C */
    weft_shield(1);
    weft_server_stop(s, weft_in_seconds(5));
    return weft_server_wait(s, WEFT_FOREVER);
}

static bool all_processes; /* certainly have clients: each of them takes as many as it has threads */

static int client(unsigned port)
{
    weft_stream *streams[CLIENTS];
    char answers[CLIENTS][64];
    int processes = 0;
    for (int i = 0; i < CLIENTS; i++) {
        must(weft_tcp_connect(&streams[i], NULL, port, NULL, WEFT_FOREVER));
        must((int)weft_stream_send(streams[i], "你好", 6, WEFT_FOREVER));
        int n = must((int)weft_stream_recv(streams[i], answers[i], sizeof answers[i] - 1, WEFT_FOREVER));
        answers[i][n] = 0;
        int k = 0;
        while (strcmp(answers[k], answers[i]) != 0)
            k++;
        processes += k == i;
    }
    printf("%d个客户端同时在线\n", CLIENTS);
    if (all_processes)
        printf("由%d个进程服务\n", processes);
    for (int i = 0; i < CLIENTS; i++)
        weft_stream_close(streams[i]);
    return 0;
}

int main(int argc, char **argv)
{
    static const weft_server_options hybrids[] = {
        {.handler = handle, .model = "pool", .processes = 2, .threads = 4},
        {.handler = handle, .model = "epoll", .processes = 2, .threads = 1},
    };
    static const char *const titles[] = {"多进程, 每个进程有多个线程", "多进程, 每个进程IO多路复用"};
    int failed = 0;
    lesson_begin(argc, argv);
    if (lesson_value("--client") != NULL)
        return client(lesson_port("--client"));
    for (int i = 0; i < 2 && (i == 0 || lesson_value("--server") == NULL); i++) {
        weft_server *s;
        weft_server_options options = hybrids[i];
        options.port = lesson_port("--server");
        puts(titles[i]);
        all_processes = i == 0;
        must(weft_server_open(&s, &options));
        lesson_pair p = {server, s, client, NULL};
        failed |= lesson_run(&p, weft_server_port(s), NULL);
        weft_server_close(s);
    }
    return failed;
}
