/* packet_support.c - see packet_support.h. */
#include "serve/packet_support.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

weft_packet_stats packet_stats(weft_server *s)
{
    weft_packet_stats stats;
    weft_packet_get_stats(s, &stats);
    return stats;
}

int packet_client(unsigned port)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    struct timeval limit = {.tv_sec = (time_t)(20 * test_limit_factor())};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    CHECK_INT(1, inet_pton(AF_INET, serve_own_host(), &a.sin_addr));
    CHECK_INT(0, connect(fd, (struct sockaddr *)&a, sizeof a));
    return fd;
}

void packet_say(int fd, const char *text)
{
    CHECK_INT(strlen(text), send(fd, text, strlen(text), MSG_NOSIGNAL));
}

void packet_expect(int fd, const char *text)
{
    char got[2048];
    ssize_t n = recv(fd, got, sizeof got - 1, 0);
    if (n < 0)
        FAIL("instead of '%.20s': %s", text, strerror(errno));
    got[n] = 0;
    CHECK_STR(text, got);
}
