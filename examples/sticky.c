/* sticky.c - sticky packets (粘包): TCP carries bytes, not messages. Two sends to a receiver that is slower arrive as one
 * receive; then with bounds between the messages (人为的添加消息边界), and by sending slowly (控制发送的速度). */
#include "lesson.h"

#include <weft/buffered.h>

static const char *const messages[] = {"你好", "再见"};

typedef struct ends {
    weft_stream *here, *there;
} ends;

/* A connection over 127.0.0.1 and both of its ends. */
static ends connect_both(void)
{
    ends e;
    weft_stream *listener;
    must(weft_tcp_listen(&listener, NULL, 0, NULL));
    must(weft_tcp_connect(&e.here, NULL, weft_stream_port(listener), NULL, WEFT_FOREVER));
    must(weft_tcp_accept(&e.there, listener, WEFT_FOREVER));
    weft_stream_close(listener);
    return e;
}

/* One receive, and what it gets. */
static void receive(weft_stream *s)
{
    char data[1024];
    int n = must((int)weft_stream_recv(s, data, sizeof data, WEFT_FOREVER));
    printf("一次接收: %.*s\n", n, data);
}

static void stuck(void)
{
    ends e = connect_both();
    puts("没有边界:");
    for (int i = 0; i < 2; i++) {
        printf("发送: %s\n", messages[i]);
        must((int)weft_stream_send(e.here, messages[i], strlen(messages[i]), WEFT_FOREVER));
    }
    lesson_sleep(1); /* a slow receiver: meanwhile the kernel's buffer gathers */
    receive(e.there);
    weft_stream_close(e.here);
    weft_stream_close(e.there);
}

/* The same two sends, but each message says where it ends. */
static void bounded(const char *title, const weft_frame *frame)
{
    ends e = connect_both();
    weft_buffered *here, *there;
    must(weft_buffered_open(&here, e.here, NULL));
    must(weft_buffered_open(&there, e.there, NULL));
    puts(title);
    for (int i = 0; i < 2; i++) {
        printf("发送: %s\n", messages[i]);
        must(weft_buffered_write_frame(here, frame, messages[i], strlen(messages[i]), WEFT_FOREVER));
        must(weft_buffered_flush(here, WEFT_FOREVER));
    }
    lesson_sleep(1);
    for (int i = 0; i < 2; i++) {
        const void *message;
        int n = must((int)weft_buffered_read_frame(there, frame, &message, WEFT_FOREVER));
        printf("一条消息: %.*s\n", n, (const char *)message);
    }
    weft_buffered_close(here);
    weft_buffered_close(there);
}

/* No bounds: the receiver is done with one message when the next one is sent. */
static void slow(void)
{
    ends e = connect_both();
    puts("控制发送的速度:");
    for (int i = 0; i < 2; i++) {
        printf("发送: %s\n", messages[i]);
        must((int)weft_stream_send(e.here, messages[i], strlen(messages[i]), WEFT_FOREVER));
        receive(e.there);
        lesson_sleep(1);
    }
    weft_stream_close(e.here);
    weft_stream_close(e.there);
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    stuck();
    bounded("消息边界, 换行:", &(weft_frame){.kind = WEFT_FRAME_DELIMITER});
    bounded("消息边界, 长度:", &(weft_frame){.length_bytes = 2});
    slow();
    return 0;
}
