/* epoll_hello.c - the floor under the web server figures: the least a server can do and still answer.
 *
 * A bare level-triggered epoll loop that counts the blank lines in what it reads and sends one prepared response for
 * each, all responses to one read in one write; a body above 64 KiB goes by sendfile. It understands nothing of HTTP,
 * looks at no path and trusts its clients: nobody's peer, only the price of the system calls. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_FDS      65536
#define READ_SIZE    16384
#define COPY_AT_MOST (64 * 1024)
#define BATCH_SIZE   (1024 * 1024)

struct conn {
    unsigned matched;   /* how much of the blank line that ends a request the last read ended with */
    unsigned owed;      /* responses not begun yet */
    unsigned head_left; /* of the response under way: bytes of its head and body still to be sent */
    size_t body_left;
    int waits_to_write;
};

static struct conn conns[MAX_FDS];
static char head[512], *batch;
static unsigned head_len;
static size_t body_len;
static int body_fd, poller;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void watch(int op, int fd, unsigned events)
{
    struct epoll_event ev = {.events = events, .data.fd = fd};
    if (epoll_ctl(poller, op, fd, &ev) < 0)
        die("epoll_ctl");
}

/* A head of the size and kind that file servers send, with the date of this second; called once a second. */
static void make_head(time_t now)
{
    char date[40];
    struct tm tm;
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &tm));
    head_len = (unsigned)snprintf(head, sizeof head,
                                  "HTTP/1.1 200 OK\r\nServer: floor\r\nDate: %s\r\nContent-Type: text/plain\r\n"
                                  "Content-Length: %zu\r\nLast-Modified: %s\r\nETag: \"65f0a1b2-400\"\r\n"
                                  "Accept-Ranges: bytes\r\n\r\n",
                                  date, body_len, date);
    for (size_t at = 0; body_len <= COPY_AT_MOST && at + head_len + body_len <= BATCH_SIZE; at += head_len + body_len) {
        memcpy(batch + at, head, head_len);
        if (pread(body_fd, batch + at + head_len, body_len, 0) != (ssize_t)body_len)
            die("pread");
    }
}

static unsigned count_requests(struct conn *c, const char *p, size_t n)
{
    static const char blank[] = "\r\n\r\n";
    unsigned requests = 0, m = c->matched;
    for (size_t i = 0; i < n; i++) {
        m = p[i] == blank[m] ? m + 1 : p[i] == '\r';
        if (m == 4) {
            requests++;
            m = 0;
        }
    }
    c->matched = m;
    return requests;
}

/* 1: all is out, 0: the socket is full, -1: the connection is broken. */
static int send_small(int fd, struct conn *c)
{
    size_t one = head_len + body_len;
    while (c->owed > 0 || c->body_left > 0) {
        size_t skip = c->body_left > 0 ? one - c->body_left : 0;
        size_t want = c->body_left + c->owed * one;
        if (want > BATCH_SIZE - BATCH_SIZE % one - skip)
            want = BATCH_SIZE - BATCH_SIZE % one - skip;
        ssize_t n = send(fd, batch + skip, want, MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN ? 0 : -1;
        size_t left = c->body_left + c->owed * one - (size_t)n;
        c->owed = (unsigned)(left / one);
        c->body_left = left % one;
    }
    return 1;
}

static int send_large(int fd, struct conn *c)
{
    while (c->owed > 0 || c->head_left > 0 || c->body_left > 0) {
        if (c->head_left == 0 && c->body_left == 0) {
            c->owed--;
            c->head_left = head_len;
            c->body_left = body_len;
        }
        if (c->head_left > 0) {
            ssize_t n = send(fd, head + head_len - c->head_left, c->head_left, MSG_NOSIGNAL | MSG_MORE);
            if (n < 0)
                return errno == EAGAIN ? 0 : -1;
            c->head_left -= (unsigned)n;
            continue;
        }
        off_t at = (off_t)(body_len - c->body_left);
        ssize_t n = sendfile(fd, body_fd, &at, c->body_left);
        if (n <= 0)
            return n < 0 && errno == EAGAIN ? 0 : -1;
        c->body_left -= (size_t)n;
    }
    return 1;
}

static void serve(int fd, unsigned events)
{
    static char buffer[READ_SIZE];
    struct conn *c = &conns[fd];
    if (events & EPOLLIN) {
        ssize_t n = recv(fd, buffer, sizeof buffer, 0);
        if (n <= 0) {
            close(fd);
            return;
        }
        c->owed += count_requests(c, buffer, (size_t)n);
    }
    int sent = body_len <= COPY_AT_MOST ? send_small(fd, c) : send_large(fd, c);
    if (sent < 0) {
        close(fd);
    } else if (sent == c->waits_to_write) {
        c->waits_to_write = !sent;
        watch(EPOLL_CTL_MOD, fd, sent ? EPOLLIN : EPOLLOUT);
    }
}

static int open_listener(void)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof addr;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* accepted sockets inherit it */
    if (bind(fd, (struct sockaddr *)&addr, sizeof addr) < 0 || listen(fd, 4096) < 0 ||
        getsockname(fd, (struct sockaddr *)&addr, &len) < 0)
        die("listen");
    printf("http://127.0.0.1:%d/\n", ntohs(addr.sin_port));
    fflush(stdout);
    return fd;
}

static void accept_all(int listener)
{
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
        if (fd >= MAX_FDS) {
            close(fd);
            continue;
        }
        conns[fd] = (struct conn){0};
        watch(EPOLL_CTL_ADD, fd, EPOLLIN);
    }
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fputs("usage: epoll_hello BODY-BYTES\n", stderr);
        return 2;
    }
    body_len = strtoul(argv[1], NULL, 10);
    body_fd = memfd_create("body", 0);
    batch = malloc(BATCH_SIZE);
    poller = epoll_create1(0);
    if (body_fd < 0 || ftruncate(body_fd, (off_t)body_len) < 0 || batch == NULL || poller < 0)
        die("start");
    int listener = open_listener();
    watch(EPOLL_CTL_ADD, listener, EPOLLIN);
    for (time_t second = 0;;) {
        struct epoll_event events[256];
        int n = epoll_wait(poller, events, 256, -1);
        time_t now = time(NULL);
        if (now != second)
            make_head(second = now);
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == listener)
                accept_all(listener);
            else
                serve(events[i].data.fd, events[i].events);
        }
    }
}
