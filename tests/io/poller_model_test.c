/* poller_model_test.c - pollers of all kinds against poll(2), by a long row of things done at random to descriptors of
 * several sorts. Level kinds tell exactly what poll tells, in every wait; edge kinds what it tells, once asked anew. */
#include "io/io_support.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>

enum {
    N = 24,
    STEPS = 3000
};

typedef struct watched {
    int fd, peer; /* peer -1: closed */
    bool registered;
    unsigned wanted;
} watched;

typedef struct model {
    weft_poller *set;
    bool edge, exact;
    unsigned random;
    int listener;
    watched all[N];
    char bytes[100000];
} model;

static unsigned next(model *m, unsigned below)
{
    m->random = m->random * 1103515245u + 12345u;
    return (m->random >> 16) % below;
}

static void open_some(model *m, watched *w)
{
    int fds[2];
    unsigned sort = next(m, 4);
    if (sort == 0) {
        CHECK_OK(weft__sys_socketpair(SOCK_STREAM, fds));
    } else if (sort == 1) {
        fds[0] = io_connection_to(m->listener);
        do
            fds[1] = weft__sys_accept(m->listener, NULL);
        while (fds[1] == -EAGAIN);
    } else {
        CHECK_OK(pipe(fds));
        for (int i = 0; i < 2; i++)
            CHECK_OK(weft__sys_set_nonblocking(fds[i]));
    }
    bool turned = sort == 3;
    *w = (watched){.fd = fds[turned], .peer = fds[!turned]};
}

static void close_some(watched *w)
{
    close(w->fd);
    if (w->peer >= 0)
        close(w->peer);
}

static void take_all(model *m, int fd)
{
    while (read(fd, m->bytes, sizeof m->bytes) > 0)
        ;
}

/* What becomes of the descriptors; that some of it cannot be done to a pipe, or to what is closed, does not matter. */
static void disturb(model *m, watched *w)
{
    size_t size = next(m, 2) ? 1 + next(m, 1000) : sizeof m->bytes;
    switch (next(m, 10)) {
    case 0:
    case 1:
        (void)!write(w->peer, m->bytes, size);
        break;
    case 2:
        (void)!read(w->fd, m->bytes, size);
        break;
    case 3:
        take_all(m, w->fd);
        break;
    case 4:
        (void)!write(w->fd, m->bytes, size);
        break;
    case 5:
        take_all(m, w->peer);
        break;
    case 6:
        (void)shutdown(next(m, 2) ? w->fd : w->peer, SHUT_WR);
        break;
    case 7:
        (void)send(w->peer, "!", 1, MSG_OOB | MSG_NOSIGNAL);
        break;
    case 8:
        if (w->peer >= 0)
            close(w->peer);
        w->peer = -1;
        break;
    default:
        if (w->registered)
            CHECK_OK(weft_poller_unregister(m->set, w->fd));
        close_some(w);
        open_some(m, w);
    }
}

static void change(model *m, watched *w)
{
    static const unsigned sets[] = {1, 4, 5, 2, 7, 0, 0x2000, 0x2001, 0x2004, 0x2007};
    unsigned wanted = sets[next(m, WEFT__ARRAY_LEN(sets))];
    if (!w->registered) {
        CHECK_OK(weft_poller_register(m->set, w->fd, wanted, w));
        w->registered = true;
    } else if (next(m, 4) == 0) {
        CHECK_OK(weft_poller_unregister(m->set, w->fd));
        w->registered = false;
    } else {
        CHECK_OK(weft_poller_modify(m->set, w->fd, wanted, w));
    }
    w->wanted = wanted;
}

/* Add what a wait tells to told, by descriptor. */
static int look(model *m, unsigned told[N])
{
    weft_poll_event events[N];
    int n = weft_poller_wait(m->set, events, N, WEFT_NOW);
    CHECK(n > 0 || n == -ETIMEDOUT);
    for (int i = 0; i < n; i++) {
        const watched *w = events[i].data;
        CHECK(w->registered);
        CHECK_INT(w->fd, events[i].fd);
        told[w - m->all] |= events[i].events;
    }
    return n;
}

static unsigned truth(const watched *w)
{
    struct pollfd one = {.fd = w->fd, .events = (short)w->wanted};
    return w->registered && w->wanted != 0 && poll(&one, 1, 0) > 0 ? (unsigned short)one.revents : 0;
}

/* The network may bring something in the midst: a bit that was so before and after is told, and none that never was. */
static void compare(unsigned before, unsigned told, unsigned after, unsigned late)
{
    CHECK_INT(0, before & after & ~told & ~late);
    CHECK_INT(0, told & ~(before | after));
}

static void compare_level(model *m)
{
    unsigned before[N], told[N] = {0};
    for (int i = 0; i < N; i++)
        before[i] = truth(&m->all[i]);
    look(m, told);
    for (int i = 0; i < N; i++) {
        /* select hears of ends now and then, where there is input that nobody wants */
        bool late = !m->exact && !(m->all[i].wanted & WEFT_POLLIN);
        compare(before[i], told[i], truth(&m->all[i]), late ? WEFT_POLLRDHUP | WEFT_POLLHUP | WEFT_POLLERR : 0);
    }
}

/* What an edge kind told of may have been taken since: only what is missing counts. */
static void compare_edge(model *m)
{
    unsigned told[N] = {0}, which = next(m, N);
    watched *w = &m->all[which];
    if (w->registered) {
        unsigned before = truth(w);
        CHECK_OK(weft_poller_modify(m->set, w->fd, w->wanted, w));
        while (look(m, told) > 0)
            ;
        CHECK_INT(0, before & truth(w) & ~told[which]);
    }
}

static void agrees_with_poll(const char *kind, unsigned seed)
{
    model *m = calloc(1, sizeof *m);
    signal(SIGPIPE, SIG_IGN); /* this process is the case's own */
    CHECK_OK(weft_poller_open(&m->set, kind));
    kind = weft_poller_kind(m->set);
    m->edge = strcmp(kind, "epoll-et") == 0 || strcmp(kind, "uring") == 0;
    m->exact = strcmp(kind, "select") != 0;
    m->random = seed;
    m->listener = io_listener();
    for (int i = 0; i < N; i++)
        open_some(m, &m->all[i]);
    for (int step = 0; step < STEPS; step++) {
        (next(m, 2) ? change : disturb)(m, &m->all[next(m, N)]);
        (m->edge ? compare_edge : compare_level)(m);
    }
    weft_poller_close(m->set);
    for (int i = 0; i < N; i++)
        close_some(&m->all[i]);
    close(m->listener);
    free(m);
}

#define TEST_KIND(name, kind)                                                                                          \
    TEST_IN(THREAD | CO, poller_set_agrees_with_poll_##name)                                                           \
    {                                                                                                                  \
        (void)t;                                                                                                       \
        for (unsigned seed = 1; seed <= 3; seed++)                                                                     \
            agrees_with_poll(kind, seed);                                                                              \
        io_settle();                                                                                                   \
    }

TEST_KIND(select, "select")
TEST_KIND(poll, "poll")
TEST_KIND(epoll, "epoll")
TEST_KIND(epoll_et, "epoll-et")
TEST_KIND(uring, "uring")
