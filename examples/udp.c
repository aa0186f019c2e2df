/* udp.c - UDP: no connection, only datagrams and addresses. The server thanks for each. */
#include "lesson.h"

#include <weft/datagram.h>

/* As Python's recvfrom(size): what a datagram has beyond that is lost. */
static ssize_t receive(weft_datagram *d, void *data, size_t size, weft_address *from)
{
    ssize_t n = weft_datagram_recv(d, data, size, from, WEFT_FOREVER);
    return n == -EMSGSIZE ? (ssize_t)size : n;
}

static int server(void *arg)
{
    weft_datagram *d = arg;
    weft_address from;
    char data[1024], text[WEFT_ADDRESS_MAX];
    ssize_t n;
    while ((n = receive(d, data, sizeof data, &from)) >= 0) {
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
        int n = must((int)receive(d, data, sizeof data, NULL));
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
    lesson_pair p = {server, d, client, NULL};
    int failed = lesson_run(&p, d != NULL ? weft_datagram_port(d) : 0, typed);
    weft_datagram_close(d);
    return failed;
}
