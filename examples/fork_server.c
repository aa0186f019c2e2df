/* fork_server.c - a process for each client: they do not disturb each other, and end with the server. */
#include "lesson.h"

enum {
    CLIENTS = 64
};

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

/* A handle whose process has ended, or was never started; NULL: there are that many clients. */
static weft_process *find_free(weft_process *processes)
{
    for (int i = 0; i < CLIENTS; i++)
        if (!weft_process_alive(&processes[i])) {
            weft_process_close(&processes[i]);
            return &processes[i];
        }
    return NULL;
}

static int server(void *listener)
{
    static weft_process processes[CLIENTS];
    weft_stream *s;
    signal(SIGCHLD, SIG_IGN); /* the kernel takes the ended ones away: no zombie is left */
    printf("Listen the port %u...\n", weft_stream_port(listener));
    while (weft_tcp_accept(&s, listener, WEFT_FOREVER) == 0) {
        weft_process *p = find_free(processes);
        printf("Connect from %s\n", lesson_peer(s));
        if (p == NULL || weft_process_start(p, handle, s, &(weft_process_options){.daemon = 1}) < 0)
            puts("客户端太多");
        weft_stream_close(s); /* the child has its own */
    }
    puts("服务端退出！！"); /* and the children with it: they are daemons */
    return 0;
}

int main(int argc, char **argv)
{
    static const char *const typed[] = {"你好", "每个客户端一个进程", NULL};
    lesson_begin(argc, argv);
    return lesson_run_tcp(server, lesson_listen(3), lesson_client, typed);
}
