/* select_server.c - IO multiplexing (IO多路复用) by select: one thread waits for all clients at once, and acts on
 * whichever is ready. Whoever has sent something goes to the list of those that are to be answered. */
#include "lesson.h"

#include <weft/poller.h>

enum {
    DESCRIPTORS = 1024 /* all that select can watch */
};

static weft_stream *streams[DESCRIPTORS];

static void show_end(weft_stream *s)
{
    char here[WEFT_ADDRESS_MAX] = ":";
    weft_stream_local(s, here);
    printf("客户端 <socket.socket fd=%d, family=2, type=1, proto=0, laddr=%s", weft_stream_fd(s), lesson_address(here));
    printf(", raddr=%s> 退出了\n", lesson_peer(s));
}

static void begin(weft_poller *p, weft_stream *listener)
{
    weft_stream *s;
    if (weft_tcp_accept(&s, listener, WEFT_NOW) < 0)
        return;
    printf("Connect from %s\n", lesson_peer(s));
    if (weft_poller_register(p, weft_stream_fd(s), WEFT_POLLIN, NULL) < 0)
        weft_stream_close(s); /* a descriptor above 1023 */
    else
        streams[weft_stream_fd(s)] = s;
}

static void end(weft_poller *p, int fd)
{
    weft_poller_unregister(p, fd);
    weft_stream_close(streams[fd]);
    streams[fd] = NULL;
}

static void receive(weft_poller *p, int fd)
{
    char data[1024];
    ssize_t n = weft_stream_recv(streams[fd], data, sizeof data, WEFT_NOW);
    if (n > 0) {
        printf("客户端: %.*s\n", (int)n, data);
        weft_poller_modify(p, fd, WEFT_POLLOUT, NULL); /* into the write list */
    } else if (n != -ETIMEDOUT) {
        show_end(streams[fd]);
        end(p, fd);
    }
}

static int server(void *listener)
{
    weft_poller *p;
    weft_poll_event events[64];
    must(weft_poller_open(&p, "select"));
    must(weft_poller_register(p, weft_stream_fd(listener), WEFT_POLLIN, NULL));
    for (int n; (n = weft_poller_wait(p, events, 64, WEFT_FOREVER)) >= 0;)
        for (int i = 0; i < n; i++) {
            int fd = events[i].fd;
            if (fd == weft_stream_fd(listener)) {
                begin(p, listener);
            } else if (events[i].events == WEFT_POLLOUT) {
                weft_stream_send(streams[fd], "ok", 2, WEFT_NOW);
                weft_poller_modify(p, fd, WEFT_POLLIN, NULL);
            } else {
                receive(p, fd);
            }
        }
    for (int fd = 0; fd < DESCRIPTORS; fd++)
        if (streams[fd] != NULL)
            end(p, fd);
    weft_poller_close(p);
    return 0;
}

int main(int argc, char **argv)
{
    static const char *const typed[] = {"你好", "select", NULL};
    lesson_begin(argc, argv);
    return lesson_run_tcp(server, lesson_listen(3), lesson_client, typed);
}
