/* far_support.c - see far_support.h. */
#include "serve/far_support.h"

#include "serve/secure_support.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static int open_far(int i, struct sockaddr_in a)
{
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in source = {.sin_family = AF_INET};
    source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + (unsigned)i / 2000);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
    if (fd < 0 || bind(fd, (struct sockaddr *)&source, sizeof(source)) < 0 ||
        connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
        _exit(1);
    return fd;
}

/* As far as it goes now. Who has said its line, or was turned away, is asked no more. */
static void go_on(struct pollfd *p, const char *line)
{
    if (secure_client_try_send(p->fd, line, strlen(line), &p->events) >= 0 || errno != EAGAIN)
        p->fd = -1;
}

static void watch(int epoll, struct pollfd *p, unsigned events)
{
    struct epoll_event e = {.events = events, .data.ptr = p};
    if (p->fd >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, p->fd, &e) < 0)
        _exit(5);
}

/* Until the parent says so. Each event is told once, and what it was about is done as far as it goes. */
static void hold_secure(struct pollfd *p, int count, const char *line)
{
    struct epoll_event events[64];
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < count; i++)
        watch(epoll, &p[i], EPOLLIN | EPOLLOUT | EPOLLET);
    watch(epoll, &p[count], EPOLLIN);
    for (;;) {
        int n = epoll_wait(epoll, events, 64, -1);
        for (int i = 0; i < n; i++) {
            struct pollfd *one = events[i].data.ptr;
            if (one == &p[count])
                return;
            if (one->fd >= 0)
                go_on(one, line);
        }
    }
}

static void be_far(const serve_kind *kind, int count, const char *line, int to, int from)
{
    unsigned port;
    if (read(to, &port, sizeof(port)) != (ssize_t)sizeof(port))
        _exit(0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct pollfd *p = calloc((size_t)count + 1, sizeof *p);
    if (p == NULL)
        _exit(4);
    for (int i = 0; i < count; i++) {
        p[i].fd = open_far(i, a);
        if (kind->tls) {
            secure_client_begin(p[i].fd);
            go_on(&p[i], line);
        } else if (send(p[i].fd, line, strlen(line), MSG_NOSIGNAL) < 0 && errno != EPIPE && errno != ECONNRESET) {
            _exit(2);
        }
    }
    p[count] = (struct pollfd){.fd = to, .events = POLLIN};
    if (write(from, &count, sizeof(count)) < 0)
        _exit(3);
    if (kind->tls)
        hold_secure(p, count, line);
    (void)!read(to, &port, sizeof(port)); /* until the parent says so */
    _exit(0);
}

struct far_clients far_start(const serve_kind *kind, int count, const char *line)
{
    int to[2], from[2];
    if (kind->tls) /* its certificate is made once, and by the parent */
        (void)secure_server(NULL);
    CHECK_INT(0, pipe2(to, O_CLOEXEC));
    CHECK_INT(0, pipe2(from, O_CLOEXEC));
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        close(to[1]); /* so that the parent's end is the only one */
        close(from[0]);
        be_far(kind, count, line, to[0], from[1]);
    }
    close(to[0]);
    close(from[1]);
    return (struct far_clients){pid, to[1], from[0]};
}

void far_go(struct far_clients *far, unsigned port)
{
    int count;
    CHECK_INT(sizeof(port), write(far->to, &port, sizeof(port)));
    CHECK_INT(sizeof(count), read(far->from, &count, sizeof(count)));
}

void far_end(struct far_clients *far)
{
    int status;
    CHECK_INT(1, write(far->to, "", 1)); /* closing would not do: processes of the server may have it too */
    close(far->to);
    close(far->from);
    CHECK_INT(far->pid, waitpid(far->pid, &status, 0));
    CHECK_INT(0, status);
}

/* ---- what processes take of the processors ---- */

static double ticks_of(pid_t pid)
{
    char path[64], text[1024] = "";
    unsigned long user, system;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return 0;
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    char *fields = n > 0 ? strrchr(text, ')') : NULL;
    if (fields == NULL || sscanf(fields, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
        return 0;
    return (double)(user + system);
}

/* Of a process and all below it that live. */
static double tree_ticks(pid_t pid)
{
    char path[64];
    double sum = ticks_of(pid);
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return sum;
    for (int child; fscanf(f, "%d", &child) == 1;)
        sum += tree_ticks(child);
    fclose(f);
    return sum;
}

double far_idle_seconds(unsigned us, double enough)
{
    double least = 1e9, tick = 1.0 / (double)sysconf(_SC_CLK_TCK);
    for (int i = 0; i < 5 && least >= enough; i++) {
        double before = tree_ticks(getpid());
        usleep(us);
        double taken = (tree_ticks(getpid()) - before) * tick;
        least = taken < least ? taken : least;
    }
    return least;
}
