/* udp.c - UDP: no connection, only datagrams and addresses. The server thanks for each. */
#include "lesson.h"

#include <weft/datagram.h>

static int server(void *arg)
{
    weft_datagram *d = arg;
    weft_address from;
    char data[1024], text[WEFT_ADDRESS_MAX];
    ssize_t n;
    while ((n = weft_datagram_recv(d, data, sizeof data, &from, WEFT_FOREVER)) >= 0 || n == -EMSGSIZE) {
        if (n < 0)
            continue; /* one that was too large is lost, and the others are none the worse for it */
        weft_address_text(&from, text);
        printf("%s 接收到: %.*s\n", lesson_address(text), (int)n, data);
        n = weft_datagram_send(d, "Thanks", 6, &from, WEFT_FOREVER);
        printf("发送了%zd bytes\n", n);
    }
    return 0;
}

static int client(unsigned port)
{
    weft_datagram *d;
    char data[1000];
    must(weft_udp_connect(&d, NULL, port, NULL));
    for (const char *text; *(text = lesson_input(">>")) != 0;) {
        must((int)weft_datagram_send(d, text, strlen(text), NULL, WEFT_FOREVER));
        int n = must((int)weft_datagram_recv(d, data, sizeof data, NULL, WEFT_FOREVER));
        printf("从服务端收到: %.*s\n", n, data);
    }
    weft_datagram_close(d);
    return 0;
}

int main(int argc, char **argv)
{
    static const char *const typed[] = {"你好", "UDP 没有连接", NULL};
    weft_datagram *d = NULL;
    lesson_begin(argc, argv);
    if (lesson_value("--client") == NULL)
        must(weft_udp_open(&d, NULL, lesson_port("--server"), NULL));
    lesson_pair p = {server, d, client};
    int failed = lesson_run(&p, d != NULL ? weft_datagram_port(d) : 0, typed);
    weft_datagram_close(d);
    return failed;
}
