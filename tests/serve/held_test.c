/* held_test.c - very many connections are held while some of them have traffic: 100,000 in a soak run, fewer else. All
 * are opened from several loopback addresses, because one has 28,000 ports; each is answered once, a hundredth of them
 * many times, in turns, and in the end each is answered once more. The clients are plain sockets of other processes.
 * Where the limit of open files is too low for all of them in one process, both sides are several. */
#include "serve/serve_support.h"

#include <weft/base.h>

#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    FEW = 1500,
    MANY = 100000,
    ASIDE = 1000, /* descriptors besides */
    CROWDS = 64,
    AN_ADDRESS = 10000,
    TURNS = 20,
    SHARE = 100 /* one of so many has traffic in a turn */
};

struct crowd {
    pid_t pid;
    int to, from;
};

static void tell(int fd)
{
    char byte = 0;
    CHECK_INT(1, write(fd, &byte, 1));
}

static void hear(int fd)
{
    char byte;
    CHECK_INT(1, read(fd, &byte, 1));
}

static void be_crowd(unsigned port, unsigned index, unsigned count, int to, int from)
{
    int *fds = calloc(count, sizeof *fds);
    CHECK(fds != NULL);
    for (unsigned i = 0; i < count; i++) {
        char source[INET_ADDRSTRLEN];
        struct in_addr a = {htonl(INADDR_LOOPBACK + 1 + 256 * index + i / AN_ADDRESS)};
        CHECK(inet_ntop(AF_INET, &a, source, sizeof source) != NULL);
        fds[i] = client_open_from(port, source);
        client_expect_reply(fds[i], "echo hello\n", "hello\n");
    }
    tell(from);
    hear(to);
    for (unsigned turn = 0; turn < TURNS; turn++)
        for (unsigned i = turn; i < count; i += SHARE)
            client_expect_reply(fds[i], "echo again\n", "again\n");
    for (unsigned i = 0; i < count; i++)
        client_expect_reply(fds[i], "echo still\n", "still\n");
    tell(from);
    hear(to);
}

/* The process of the clients, which waits for the port. */
static struct crowd crowd_new(unsigned index, unsigned count)
{
    int to[2], from[2];
    CHECK_INT(0, pipe(to));
    CHECK_INT(0, pipe(from));
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        unsigned port;
        close(to[1]);
        close(from[0]);
        if (read(to[0], &port, sizeof port) == (ssize_t)sizeof port)
            be_crowd(port, index, count, to[0], from[1]);
        _exit(0);
    }
    close(to[0]);
    close(from[1]);
    return (struct crowd){pid, to[1], from[0]};
}

/* How many connections a process may have. */
static unsigned allowed(void)
{
    struct rlimit limit;
    CHECK_INT(0, getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = limit.rlim_max;
    CHECK_INT(0, setrlimit(RLIMIT_NOFILE, &limit));
    return limit.rlim_cur > MANY + ASIDE ? MANY : (unsigned)limit.rlim_cur - ASIDE;
}

static weft_server_stats counts(weft_server *s)
{
    weft_server_stats stats;
    weft_server_get_stats(s, &stats);
    return stats;
}

/* `shares` processes at the least, each of which serves no more than its share. */
static void hold(const serve_kind *kind, unsigned shares)
{
    unsigned count = (unsigned)test_rounds(FEW, MANY), port, most = allowed();
    if (count / shares > most)
        shares = count / most + 1;
    unsigned each = count / shares;
    count = each * shares;
    line_service *service = line_service_new(false);
    struct crowd crowds[CROWDS];
    CHECK(shares <= CROWDS);
    for (unsigned i = 0; i < shares; i++)
        crowds[i] = crowd_new(i, each);
    weft_server *s = serve_lines(
        kind,
        (weft_server_options){
            .max_connections = each, .threads = 1, .processes = shares > 1 ? shares : 0, .idle_timeout = -1},
        service);
    port = weft_server_port(s);
    CHECK_INT(count, weft_server_capacity(s));
    long before = test_rss_kb();
    for (unsigned i = 0; i < shares; i++)
        CHECK_INT(sizeof port, write(crowds[i].to, &port, sizeof port));
    for (unsigned i = 0; i < shares; i++)
        hear(crowds[i].from);
    CHECK_INT(count, counts(s).open);
    long grown = (test_rss_kb() - before) * 1024;
    if (test_limit_factor() == 1 && shares == 1 && count == MANY) /* what is there once weighs little then */
        CHECK(grown <= 512L * count);
    for (unsigned i = 0; i < shares; i++)
        tell(crowds[i].to);
    for (unsigned i = 0; i < shares; i++)
        hear(crowds[i].from);
    weft_server_stats end = counts(s);
    CHECK_INT(count, end.open);
    CHECK_INT(0, end.shed);
    CHECK_INT(0, end.refused);
    for (unsigned i = 0; i < shares; i++) {
        int status;
        tell(crowds[i].to);
        CHECK_INT(crowds[i].pid, waitpid(crowds[i].pid, &status, 0));
        CHECK_INT(0, status);
        close(crowds[i].to);
        close(crowds[i].from);
    }
    wait_open(s, 0);
    serve_stop(s);
}

TEST_LIMIT(120, held_connections_are_all_served_epoll)
{
    hold(&serve_epoll, 1);
}

TEST_LIMIT(120, held_connections_are_all_served_epoll_et)
{
    hold(&serve_epoll_et, 1);
}

TEST_LIMIT(120, held_connections_are_all_served_uring)
{
    hold(&serve_uring, 1);
}

/* A process that has its share leaves newcomers to those that have not, and closes nobody. */
TEST_LIMIT(120, held_connections_fill_each_process_before_any_gives_way)
{
    hold(&serve_forked_epoll, 3);
}

TEST_LIMIT(120, held_connections_fill_each_process_before_any_gives_way_uring)
{
    static const serve_kind forked_uring = {"forked_uring", "uring", NULL, 1, false, 2, true, false};
    hold(&forked_uring, 3);
}

TEST_LIMIT(120, held_connections_fill_each_process_before_any_gives_way_epoll_et)
{
    static const serve_kind forked_edge = {"forked_edge", "epoll-et", NULL, 1, false, 2, true, false};
    hold(&forked_edge, 3);
}

TEST_LIMIT(120, held_connections_fill_each_process_before_any_gives_way_coroutine)
{
    static const serve_kind forked_coroutine = {"forked_coroutine", "coroutine", NULL, 1, false, 2, true, false};
    hold(&forked_coroutine, 3);
}
