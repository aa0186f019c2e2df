/* poll_server.c - IO multiplexing (IO多路复用) by poll: each descriptor is registered with the events that matter, and
 * asked for others when the client is to be answered. */
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

static void receive(weft_poller *p, weft_stream *s)
{
    char data[1024];
    ssize_t n = weft_stream_recv(s, data, sizeof data, WEFT_NOW);
    if (n > 0) {
        printf("收到： %.*s\n", (int)n, data);
        weft_poller_modify(p, weft_stream_fd(s), WEFT_POLLOUT, s);
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
    must(weft_poller_open(&p, "poll"));
    must(weft_poller_register(p, weft_stream_fd(listener), WEFT_POLLIN, listener));
    for (int n; (n = weft_poller_wait(p, events, 64, WEFT_FOREVER)) >= 0;)
        for (int i = 0; i < n; i++) {
            weft_stream *s = events[i].data;
            if (s == listener) {
                begin(p, listener);
            } else if (events[i].events == WEFT_POLLOUT) {
                weft_stream_send(s, "ok", 2, WEFT_NOW);
                weft_poller_modify(p, weft_stream_fd(s), WEFT_POLLIN, s);
            } else {
                receive(p, s);
            }
        }
    weft_poller_close(p);
    return 0;
}

int main(int argc, char **argv)
{
    static const char *const typed[] = {"你好", "poll", NULL};
    lesson_begin(argc, argv);
    return lesson_run_tcp(server, lesson_listen(3), lesson_client, typed);
}
