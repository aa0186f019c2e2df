/* tcp.c - TCP: a server that serves one client after the other, and a client that connects anew for each message. */
#include "lesson.h"

static int server(void *listener)
{
    weft_stream *s;
    char data[1024];
    for (;;) {
        puts("Waiting for connect ....");
        if (weft_tcp_accept(&s, listener, WEFT_FOREVER) < 0)
            return 0; /* cancelled: Ctrl-C */
        printf("Connect from %s\n", lesson_peer(s));
        ssize_t n = weft_stream_recv(s, data, sizeof data, WEFT_FOREVER);
        if (n > 0) {
            printf("收到: %.*s\n", (int)n, data);
            weft_stream_send(s, "Thanks", 6, WEFT_FOREVER);
        }
        weft_stream_close(s);
    }
}

static int client(unsigned port)
{
    char data[1024];
    for (const char *text; *(text = lesson_input(">>")) != 0;) {
        weft_stream *s;
        must(weft_tcp_connect(&s, NULL, port, NULL, WEFT_FOREVER));
        must((int)weft_stream_send(s, text, strlen(text), WEFT_FOREVER));
        int n = must((int)weft_stream_recv(s, data, sizeof data, WEFT_FOREVER));
        printf("从服务器收到: %.*s\n", n, data);
        weft_stream_close(s);
    }
    return 0;
}

int main(int argc, char **argv)
{
    static const char *const typed[] = {"你好", "再见", NULL};
    lesson_begin(argc, argv);
    return lesson_run_tcp(server, lesson_listen(3), client, typed);
}
