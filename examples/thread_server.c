/* thread_server.c - a thread for each client. A group holds them: Ctrl-C asks all of them to stop, and waits for
 * them. */
#include "lesson.h"

static int handle(void *connection)
{
    char data[1024];
    for (ssize_t n; (n = weft_stream_recv(connection, data, sizeof data, WEFT_FOREVER)) > 0;) {
        printf("客户端: %.*s\n", (int)n, data);
        weft_stream_send(connection, "OK", 2, WEFT_FOREVER);
    }
    weft_stream_close(connection);
    return 0;
}

static int server(void *listener)
{
    weft_group clients = WEFT_GROUP_INIT;
    weft_stream *s;
    printf("Listen the port %u...\n", weft_stream_port(listener));
    while (weft_tcp_accept(&s, listener, WEFT_FOREVER) == 0) {
        printf("Connect from %s\n", lesson_peer(s));
        if (weft_group_thread(&clients, handle, s, NULL) < 0)
            weft_stream_close(s);
    }
    weft_group_cancel(&clients);
    weft_shield(1); /* the server itself has been cancelled, and waits all the same */
    weft_group_wait(&clients, WEFT_FOREVER);
    puts("服务端退出");
    return 0;
}

int main(int argc, char **argv)
{
    static const char *const typed[] = {"你好", "每个客户端一个线程", NULL};
    lesson_begin(argc, argv);
    return lesson_run_tcp(server, lesson_listen(3), lesson_client, typed);
}
