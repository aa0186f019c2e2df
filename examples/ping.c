/* ping.c - 测试能否连通: does a host answer? Three ICMP echo requests, one a second, each awaited a second at the most.
 *
 *     --host=NAME   which one; else this machine
 *
 * Where the system lets users send no ICMP, a TCP connection is tried: also a host that refuses it has answered. */
#include "lesson.h"

#include <netinet/ip_icmp.h>
#include <weft/address.h>
#include <weft/poller.h>

enum {
    TIMES = 3
};

/* 1 when the answer to echo request `number` came, 0 when it did not within a second. */
static int echo(int fd, const weft_address *a, int number)
{
    struct icmphdr head = {.type = ICMP_ECHO, .un.echo.sequence = htons((uint16_t)number)}, answer;
    weft_until until = weft_in_seconds(1);
    if (sendto(fd, &head, sizeof head, 0, &a->any, a->size) < 0)
        return 0;
    while (weft_fd_wait(fd, WEFT_POLLIN, until) > 0)
        if (recv(fd, &answer, sizeof answer, MSG_DONTWAIT) >= (ssize_t)sizeof answer && answer.type == ICMP_ECHOREPLY &&
            answer.un.echo.sequence == head.un.echo.sequence)
            return 1;
    return 0;
}

static int connects(const char *host)
{
    weft_stream *s;
    int err = weft_tcp_connect(&s, host, 80, NULL, weft_in_seconds(1));
    if (err == 0)
        weft_stream_close(s);
    return err == 0 || err == -ECONNREFUSED;
}

int main(int argc, char **argv)
{
    char host[WEFT_ADDRESS_MAX];
    weft_address a;
    int answers = 0;
    lesson_begin(argc, argv);
    const char *name = lesson_value("--host") != NULL ? lesson_value("--host") : "127.0.0.1";
    if (weft_address_lookup(&a, 1, name, 0) < 0) {
        fprintf(stderr, "ping: 未知的名称或地址: %s\n", name);
        return 1;
    }
    weft_address_host(&a, host);
    int fd = a.any.sa_family == AF_INET ? socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_ICMP) : -1;
    if (fd < 0)
        puts("不能发送 ICMP, 改用 TCP");
    for (int i = 1; i <= TIMES; i++) {
        int64_t start = weft_now();
        int came = fd >= 0 ? echo(fd, &a, i) : connects(host);
        answers += came;
        if (came)
            printf("%s 有回应: 序号=%d 时间=%.3f ms\n", host, i, (double)(weft_now() - start) / 1e6);
        else
            printf("%s 没有回应: 序号=%d\n", host, i);
        if (i < TIMES)
            lesson_sleep(1);
    }
    printf("发送 %d 次, 收到 %d 次\n", TIMES, answers);
    if (fd >= 0)
        close(fd);
    return answers == 0;
}
