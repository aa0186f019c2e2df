/* trigger.c - level and edge trigger (水平触发, 边缘触发): a byte comes and nobody reads it. Level-triggered, the poller says
 * so again and again; edge-triggered (EPOLLET) once, and then when more has come, of both together. */
#include "lesson.h"

#include <weft/poller.h>

static void wait_once(weft_poller *p, const char *when)
{
    weft_poll_event event;
    int n = weft_poller_wait(p, &event, 1, lesson_in(0.2));
    if (n != -ETIMEDOUT)
        must(n);
    printf("%s: %s\n", when, n > 0 ? "有事件" : "没有事件");
}

static void show(const char *title, const char *kind)
{
    weft_stream *pair[2];
    weft_poller *p;
    char data[10];
    must(weft_unix_pair(pair));
    must(weft_poller_open(&p, kind));
    must(weft_poller_register(p, weft_stream_fd(pair[1]), WEFT_POLLIN, NULL));
    printf("%s (%s)\n", title, weft_poller_kind(p));
    must((int)weft_stream_send(pair[0], "a", 1, WEFT_FOREVER));
    wait_once(p, "发送了 a");
    wait_once(p, "没有处理");
    must((int)weft_stream_send(pair[0], "b", 1, WEFT_FOREVER));
    wait_once(p, "又发送了 b");
    int n = must((int)weft_stream_recv(pair[1], data, sizeof data, WEFT_NOW));
    printf("一起读到 %.*s\n", n, data);
    wait_once(p, "处理了");
    weft_poller_close(p);
    weft_stream_close(pair[0]);
    weft_stream_close(pair[1]);
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    show("水平触发", "epoll");
    show("边缘触发", "epoll-et");
    return 0;
}
