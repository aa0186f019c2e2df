/* epoll_server.c - IO multiplexing (IO多路复用) by epoll: the kernel keeps the list and tells exactly those that are
 * ready. A descriptor can be registered once only, so for other events it is taken out and put in again. */
#include "lesson.h"

#include <weft/poller.h>

static void begin(weft_poller *p, weft_stream *listener)
{
    weft_stream *s;
    if (weft_tcp_accept(&s, listener, WEFT_NOW) < 0)
        return;
    printf("Connect from %s\n", lesson_peer(s));
    if (weft_poller_register(p, weft_stream_fd(s), WEFT_POLLIN, s) < 0)
        weft_stream_close(s);
}

static void watch_for(weft_poller *p, weft_stream *s, unsigned events)
{
    weft_poller_unregister(p, weft_stream_fd(s));
    must(weft_poller_register(p, weft_stream_fd(s), events, s));
}

static void receive(weft_poller *p, weft_stream *s)
{
    char data[1024];
    ssize_t n = weft_stream_recv(s, data, sizeof data, WEFT_NOW);
    if (n > 0) {
        printf("收到： %.*s\n", (int)n, data);
        watch_for(p, s, WEFT_POLLOUT);
    } else if (n != -ETIMEDOUT) {
        puts("关闭");
        weft_poller_unregister(p, weft_stream_fd(s)); /* before it is closed: nobody looks at it any more */
        weft_stream_close(s);
    }
}

static int server(void *listener)
{
    weft_poller *p;
    weft_poll_event events[64];
    must(weft_poller_open(&p, "epoll"));
    must(weft_poller_register(p, weft_stream_fd(listener), WEFT_POLLIN, listener));
    for (int n; (n = weft_poller_wait(p, events, 64, WEFT_FOREVER)) >= 0;)
        for (int i = 0; i < n; i++) {
            weft_stream *s = events[i].data;
            if (s == listener) {
                begin(p, listener);
            } else if (events[i].events == WEFT_POLLOUT) {
                weft_stream_send(s, "ok", 2, WEFT_NOW);
                watch_for(p, s, WEFT_POLLIN);
            } else {
                receive(p, s);
            }
        }
    weft_poller_close(p);
    return 0;
}

int main(int argc, char **argv)
{
    static const char *const typed[] = {"你好", "epoll", NULL};
    lesson_begin(argc, argv);
    return lesson_run_tcp(server, lesson_listen(3), lesson_client, typed);
}
