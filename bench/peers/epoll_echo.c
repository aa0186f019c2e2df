/* epoll_echo.c - the echo server that the others are measured against: a bare epoll loop, level- or edge-triggered.
 *
 *     epoll_echo lt|et
 *
 * What a program written by hand for this and nothing else does: one receive and one send a round trip, no interest
 * changed while clients read what they are sent, the sockets of one epoll_wait served one after the other. A short read
 * says that the socket is empty, so an edge needs no second one. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    READ_SIZE = 16384,
    AT_ONCE = 512
};

/* What a client has not taken yet; almost always none. */
struct rest {
    char *data;
    size_t size, at;
};

static struct rest *rests;
static size_t nrests;
static int poller, edge;
static char buffer[READ_SIZE];

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void watch(int op, int fd, unsigned events)
{
    struct epoll_event ev = {.events = events | (edge ? EPOLLET : 0u), .data.fd = fd};
    if (epoll_ctl(poller, op, fd, &ev) < 0)
        die("epoll_ctl");
}

static void drop(int fd)
{
    free(rests[fd].data);
    rests[fd] = (struct rest){0};
    close(fd);
}

static void keep(int fd, const char *data, size_t size)
{
    char *copy = malloc(size);
    if (copy == NULL)
        die("malloc");
    memcpy(copy, data, size);
    rests[fd] = (struct rest){.data = copy, .size = size};
    if (!edge)
        watch(EPOLL_CTL_MOD, fd, EPOLLOUT);
}

/* 1: nothing is left. */
static int send_rest(int fd)
{
    struct rest *r = &rests[fd];
    while (r->at < r->size) {
        ssize_t n = send(fd, r->data + r->at, r->size - r->at, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno != EAGAIN)
                drop(fd);
            return 0;
        }
        r->at += (size_t)n;
    }
    free(r->data);
    *r = (struct rest){0};
    if (!edge)
        watch(EPOLL_CTL_MOD, fd, EPOLLIN);
    return 1;
}

static void serve(int fd)
{
    if (rests[fd].data != NULL && !send_rest(fd))
        return;
    for (;;) {
        ssize_t n = recv(fd, buffer, sizeof buffer, 0);
        if (n <= 0) {
            if (n == 0 || errno != EAGAIN)
                drop(fd);
            return;
        }
        ssize_t sent = send(fd, buffer, (size_t)n, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) {
            drop(fd);
            return;
        }
        if (sent < n) {
            keep(fd, buffer + (sent > 0 ? sent : 0), (size_t)(n - (sent > 0 ? sent : 0)));
            return;
        }
        if (!edge || n < READ_SIZE)
            return;
    }
}

static void accept_all(int listener)
{
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
        if ((size_t)fd >= nrests) {
            close(fd);
            continue;
        }
        watch(EPOLL_CTL_ADD, fd, edge ? EPOLLIN | EPOLLOUT | EPOLLRDHUP : EPOLLIN);
    }
}

static int open_listener(void)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof addr;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* accepted sockets inherit it */
    if (bind(fd, (struct sockaddr *)&addr, sizeof addr) < 0 || listen(fd, 4096) < 0 ||
        getsockname(fd, (struct sockaddr *)&addr, &len) < 0)
        die("listen");
    printf("tcp://127.0.0.1:%d\n", ntohs(addr.sin_port));
    fflush(stdout);
    return fd;
}

int main(int argc, char **argv)
{
    struct rlimit files;
    if (argc != 2 || (strcmp(argv[1], "lt") != 0 && strcmp(argv[1], "et") != 0)) {
        fputs("usage: epoll_echo lt|et\n", stderr);
        return 2;
    }
    edge = strcmp(argv[1], "et") == 0;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
        nrests = files.rlim_cur < 2000000 ? files.rlim_cur : 2000000;
    }
    rests = calloc(nrests, sizeof *rests);
    poller = epoll_create1(0);
    if (rests == NULL || poller < 0)
        die("start");
    int listener = open_listener();
    watch(EPOLL_CTL_ADD, listener, EPOLLIN);
    for (;;) {
        static struct epoll_event events[AT_ONCE];
        int n = epoll_wait(poller, events, AT_ONCE, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == listener)
                accept_all(listener);
            else
                serve(events[i].data.fd);
        }
    }
}
