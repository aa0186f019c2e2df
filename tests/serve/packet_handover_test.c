/* packet_handover_test.c - a datagram server is replaced while it serves: under every model each datagram is answered,
 * by the old server or by the new one; what sockets can be given. S001-18, S001-139. Clients are plain sockets. */
#include "serve/load_support.h"
#include "serve/packet_support.h"

#include <weft/handover.h>

#include "base/atomic.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    SOCKETS = 16,
    CLIENTS = 4,
    WINDOW = 4, /* datagrams of a client that are not answered yet; together far from what the kernel keeps */
    SERVERS = 8
};

static void echo(weft_packet *p, void *arg)
{
    (void)arg;
    CHECK_OK(weft_packet_answer(p, p->data, p->size));
}

static weft_server_options options_of(const serve_kind *kind)
{
    return (weft_server_options){.packet.handler = echo,
                                 .host = serve_own_host(),
                                 .model = kind->model,
                                 .poller = kind->poller,
                                 .threads = kind->threads,
                                 .processes = kind->processes,
                                 .stack_size = 256 * 1024};
}

/* The sockets of `from` under numbers of their own, as another program would have them. */
static int take_sockets(weft_server *from, int fds[SOCKETS])
{
    int n = weft_server_listeners(from, fds, SOCKETS);
    CHECK_BETWEEN(1, SOCKETS, n);
    for (int i = 0; i < n; i++)
        CHECK((fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 0)) >= 0);
    return n;
}

static weft_server *succeed(const serve_kind *kind, weft_server *from)
{
    int fds[SOCKETS];
    weft_server *s;
    weft_server_options o = options_of(kind);
    o.listener_count = (unsigned)take_sockets(from, fds);
    o.listeners = fds;
    CHECK_OK(weft_server_open(&s, &o));
    CHECK_STR(weft_server_address(from), weft_server_address(s));
    CHECK_OK(weft_server_start(s));
    return s;
}

/* ---- the load ---- */

typedef struct load {
    serve_load base; /* counts answers */
    uint32_t sent;
    char host[32];
} load;

typedef struct client {
    int fd;
    uint32_t sent;
    bool open[WINDOW]; /* number `n` is under way in place n % WINDOW */
    uint32_t numbers[WINDOW];
} client;

static int client_socket(const char *host, unsigned port)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (fd < 0 || inet_pton(AF_INET, host, &a.sin_addr) != 1 || connect(fd, (struct sockaddr *)&a, sizeof a) < 0)
        return -1;
    return fd;
}

static bool has_any_open(const client *c)
{
    for (int i = 0; i < WINDOW; i++)
        if (c->open[i])
            return true;
    return false;
}

/* As many as the window lets go. */
static void send_more(load *l, client *c)
{
    for (int i = 0; i < WINDOW && !load_seq_cst(&l->base.stop); i++) {
        if (c->open[i])
            continue;
        c->numbers[i] = c->sent++;
        c->open[i] = true;
        uint32_t message[2] = {(uint32_t)i, c->numbers[i]};
        if (send(c->fd, message, sizeof message, 0) != sizeof message)
            serve_load_fail(&l->base, "send");
        l->sent++;
    }
}

/* Each answer is to one that is under way, once. */
static void receive(load *l, client *c)
{
    uint32_t message[3];
    ssize_t n;
    while ((n = recv(c->fd, message, sizeof message, MSG_DONTWAIT)) >= 0) {
        if (n != 8 || message[0] >= WINDOW || !c->open[message[0]] || c->numbers[message[0]] != message[1])
            serve_load_fail(&l->base, "an answer that nobody waits for");
        c->open[message[0]] = false;
        add_seq_cst(&l->base.done, 1);
    }
    if (errno != EAGAIN)
        serve_load_fail(&l->base, "recv");
}

/* A process of its own: sends on answers only. */
static void run_load(serve_load *base)
{
    load *l = (load *)base;
    client clients[CLIENTS] = {0};
    struct pollfd polls[CLIENTS];
    for (int i = 0; i < CLIENTS; i++)
        if ((clients[i].fd = client_socket(l->host, l->base.port)) < 0)
            serve_load_fail(&l->base, "connect");
    for (bool any = true; any;) {
        any = false;
        for (int i = 0; i < CLIENTS; i++) {
            send_more(l, &clients[i]);
            any |= has_any_open(&clients[i]);
            polls[i] = (struct pollfd){.fd = clients[i].fd, .events = POLLIN};
        }
        errno = 0;
        if (any && poll(polls, CLIENTS, (int)(20000 * test_limit_factor())) <= 0)
            serve_load_fail(&l->base, "a datagram or its answer is lost");
        for (int i = 0; i < CLIENTS; i++)
            receive(l, &clients[i]);
    }
}

/* Retire s, wait for its end, and return how many it has handled: all that it took, and each was answered. */
static uint64_t end_of(weft_server *s)
{
    weft_server_retire(s, weft_in_seconds(3600));
    CHECK_OK(weft_server_wait(s, WEFT_FOREVER));
    weft_packet_stats stats = packet_stats(s);
    CHECK_INT(stats.received, stats.handled);
    CHECK_INT(stats.received, stats.answered);
    CHECK_INT(0, stats.lost + stats.unsent);
    weft_server_close(s);
    return stats.handled;
}

/* No datagram that was sent is lost on the way from one server to the next; and each is handled once. */
PACKET_EVERY_MODEL(packet_handover_loses_nothing)
{
    load *l = test_shared(sizeof *l);
    weft_server_options o = options_of(kind);
    weft_server *s;
    CHECK_OK(weft_server_open(&s, &o));
    l->base.port = weft_server_port(s);
    snprintf(l->host, sizeof l->host, "%s", serve_own_host());
    serve_load_start(&l->base, run_load);
    CHECK_OK(weft_server_start(s));
    uint64_t handled = 0;
    for (int i = 0; i < SERVERS; i++) {
        serve_load_await(&l->base, 100);
        weft_server *new = succeed(kind, s);
        handled += end_of(s);
        s = new;
    }
    serve_load_await(&l->base, 100);
    serve_load_end(&l->base);
    CHECK_INT(l->sent, load_seq_cst(&l->base.done));
    CHECK_INT(l->sent, handled + end_of(s));
}

/* ---- processes that are asked to end ---- */

typedef struct heard {
    uint32_t calls; /* atomic */
    pid_t pids[64];
} heard;

static int hear(int what, void *arg)
{
    (void)what;
    heard *h = arg;
    h->pids[add_seq_cst(&h->calls, 1) % 64] = getpid();
    return 0;
}

/* By SIGTERM: what they have taken they handle, what comes meanwhile waits for those who replace them. */
static void packet_processes_asked_to_end_lose_nothing(const serve_kind *kind);
SERVE__ONE(60, packet_processes_asked_to_end_lose_nothing, prefork)
SERVE__ONE(60, packet_processes_asked_to_end_lose_nothing, forked_pool)
SERVE__ONE(60, packet_processes_asked_to_end_lose_nothing, forked_epoll)
static void packet_processes_asked_to_end_lose_nothing(const serve_kind *kind)
{
    load *l = test_shared(sizeof *l);
    heard *h = test_shared(sizeof *h);
    weft_server_options o = options_of(kind);
    o.on_tell = hear;
    o.arg = h;
    weft_server *s;
    CHECK_OK(weft_server_open(&s, &o));
    l->base.port = weft_server_port(s);
    snprintf(l->host, sizeof l->host, "%s", serve_own_host());
    serve_load_start(&l->base, run_load);
    CHECK_OK(weft_server_start(s));
    for (int i = 0; i < 8; i++) {
        serve_load_await(&l->base, 100);
        store_seq_cst(&h->calls, 0);
        CHECK_OK(weft_server_tell(s, i, WEFT_FOREVER));
        CHECK_INT(4, load_seq_cst(&h->calls)); /* this one, the supervisor, the two that serve */
        pid_t pid = h->pids[2 + i % 2];
        CHECK_INT(0, kill(pid, SIGTERM));
        wait_until(serve_has_ended, &pid, "the end of the process");
    }
    serve_load_await(&l->base, 100);
    serve_load_end(&l->base);
    CHECK_INT(l->sent, load_seq_cst(&l->base.done));
    CHECK_INT(l->sent, end_of(s));
}

/* ---- what waits in a socket ---- */

static void expect(int fd, const char *text)
{
    char got[64] = "";
    struct pollfd p = {.fd = fd, .events = POLLIN};
    CHECK_INT(1, poll(&p, 1, (int)(20000 * test_limit_factor())));
    CHECK_INT(strlen(text), recv(fd, got, sizeof got - 1, 0));
    CHECK_STR(text, got);
}

/* What comes while nobody reads is the next server's: a socket outlives the server that gave it away. */
PACKET_EVERY_MODEL(packet_handover_keeps_what_waits)
{
    weft_server_options o = options_of(kind);
    weft_server *s, *next;
    CHECK_OK(weft_server_open(&s, &o));
    CHECK_OK(weft_server_start(s));
    int fd = client_socket(serve_own_host(), weft_server_port(s)), fds[SOCKETS];
    CHECK_INT(3, send(fd, "one", 3, 0));
    expect(fd, "one");
    o.listener_count = (unsigned)take_sockets(s, fds);
    o.listeners = fds;
    CHECK_INT(1, end_of(s));
    CHECK_INT(3, send(fd, "two", 3, 0));
    CHECK_OK(weft_server_open(&next, &o));
    CHECK_INT(5, send(fd, "three", 5, 0));
    CHECK_OK(weft_server_start(next));
    expect(fd, "two");
    expect(fd, "three");
    CHECK_INT(2, end_of(next));
    close(fd);
}

/* ---- what can be given ---- */

static int bound_socket(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET};
    CHECK_INT(1, inet_pton(AF_INET, serve_own_host(), &a.sin_addr));
    CHECK_INT(0, bind(fd, (struct sockaddr *)&a, sizeof a));
    return fd;
}

TEST(packet_handover_only_bound_datagram_sockets_are_taken)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int local = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), bound = bound_socket(), connected = bound_socket();
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CHECK_INT(0, connect(connected, (struct sockaddr *)&a, sizeof a));
    CHECK_INT(0, listen(tcp, 5));
    int *no[] = {&fd, &tcp, &local, &connected};
    weft_server *s;
    weft_server_options o = {.packet.handler = echo, .listener_count = 1, .model = "iterative"};
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++) {
        o.listeners = no[i];
        CHECK_ERR(-EINVAL, weft_server_open(&s, &o));
        CHECK(fcntl(*no[i], F_GETFD) >= 0); /* what was not taken is the caller's */
        close(*no[i]);
    }
    o.listeners = (int[]){bound, bound};
    o.listener_count = 2;
    CHECK_ERR(-E2BIG, weft_server_open(&s, &o)); /* nobody would receive from the second */
    CHECK(fcntl(bound, F_GETFD) >= 0);
    o.listener_count = 1;
    CHECK_OK(weft_server_open(&s, &o));
    weft_server_close(s);
    CHECK_INT(-1, fcntl(bound, F_GETFD)); /* and what was is the server's */
}

/* Loops and processes that were given no socket get one of their own at the address: a peer stays with one of them. */
static void packet_handover_one_socket_becomes_several(const serve_kind *kind);
SERVE__ONE(30, packet_handover_one_socket_becomes_several, epoll)
SERVE__ONE(30, packet_handover_one_socket_becomes_several, prefork)
SERVE__ONE(30, packet_handover_one_socket_becomes_several, forked_epoll)
static void packet_handover_one_socket_becomes_several(const serve_kind *kind)
{
    enum {
        PEERS = 16
    };
    int given = bound_socket(), fds[SOCKETS], peers[PEERS];
    weft_server_options o = options_of(kind);
    o.listeners = &given;
    o.listener_count = 1;
    weft_server *s;
    CHECK_OK(weft_server_open(&s, &o));
    CHECK_OK(weft_server_start(s));
    CHECK_BETWEEN(2, SOCKETS, weft_server_listeners(s, fds, SOCKETS));
    for (int i = 0; i < PEERS; i++) {
        CHECK((peers[i] = client_socket(serve_own_host(), weft_server_port(s))) >= 0);
        CHECK_INT(2, send(peers[i], "e1", 2, 0));
        CHECK_INT(2, send(peers[i], "e2", 2, 0));
    }
    for (int i = 0; i < PEERS; i++) {
        expect(peers[i], "e1");
        expect(peers[i], "e2");
        close(peers[i]);
    }
    serve_stop(s);
}

/* Losses of the time before are not this server's. */
TEST(packet_handover_earlier_losses_are_not_counted)
{
    int fd = bound_socket(), size = 1;
    CHECK_INT(0, setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size)); /* the least there is */
    struct sockaddr_in a;
    socklen_t length = sizeof a;
    CHECK_INT(0, getsockname(fd, (struct sockaddr *)&a, &length));
    int peer = client_socket(serve_own_host(), ntohs(a.sin_port));
    char bytes[1000] = {0};
    for (int i = 0; i < 100; i++)
        CHECK_INT(sizeof bytes, send(peer, bytes, sizeof bytes, 0));
    weft_server *s;
    weft_server_options o = options_of(&serve_iterative);
    o.listeners = &fd;
    o.listener_count = 1;
    CHECK_OK(weft_server_open(&s, &o));
    CHECK_INT(0, packet_stats(s).lost);
    CHECK_INT(sizeof bytes, send(peer, bytes, sizeof bytes, 0)); /* there is no room still: nobody reads yet */
    CHECK_INT(1, packet_stats(s).lost);
    weft_server_close(s);
    close(peer);
}

/* ---- a program ---- */

/* A successor gets all sockets, in systemd's way. */
TEST(packet_handover_a_successor_finds_the_sockets)
{
    weft_server_options o = options_of(&serve_prefork); /* two processes: two sockets */
    weft_server *s;
    CHECK_OK(weft_server_open(&s, &o));
    CHECK_OK(weft_server_start(s));
    const char *script =
        "[ $LISTEN_PID = $$ ] || exit 1; [ $LISTEN_FDS = 2 ] || exit 2; [ $WEFT_READY_FD = 5 ] || exit 3;"
        "for fd in 3 4; do case $(readlink /proc/$$/fd/$fd) in socket:*) ;; *) exit 4;; esac; done;"
        "echo ready >&5; exit 0";
    weft_handover *h;
    CHECK_OK(weft_handover_start(&h, s, (const char *[]){"sh", "-c", script, NULL}));
    int code = 0;
    if (weft_handover_wait(h, &code, WEFT_FOREVER) != 0)
        FAIL("status %d", code);
    siginfo_t end; /* once it has ended it is collected at once, and not some time later, in a coroutine */
    CHECK_INT(0, waitid(P_PID, (id_t)weft_handover_pid(h), &end, WEXITED | WNOWAIT | __WALL));
    weft_handover_free(h);
    serve_stop(s);
}
