/* packet_test.c - datagram servers: one handler under every model, what is dropped and counted, the stop.
 * S001-18, S001-38, S001-139, S002-10, S002-11. Clients are plain sockets. */
#include "serve/load_support.h"
#include "serve/packet_support.h"

#include <weft/co.h>

#include "base/atomic.h"
#include "park/park.h"
#include "serve/packet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define ALL_MODELS(name)                                                                                               \
    static void name(const serve_kind *kind);                                                                          \
    SERVE__ONE(30, name, iterative)                                                                                    \
    SERVE__ONE(30, name, process)                                                                                      \
    SERVE__ONE(30, name, prefork)                                                                                      \
    SEVERAL_AT_ONCE(name)                                                                                              \
    static void name(const serve_kind *kind)

/* Those that certainly handle datagrams of two peers at the same time. */
#define SEVERAL_AT_ONCE(name)                                                                                          \
    SERVE__ONE(30, name, pool)                                                                                         \
    SERVE__ONE(30, name, thread)                                                                                       \
    SERVE__ONE(30, name, select)                                                                                       \
    SERVE__ONE(30, name, poll)                                                                                         \
    SERVE__ONE(30, name, epoll)                                                                                        \
    SERVE__ONE(30, name, epoll_et)                                                                                     \
    SERVE__ONE(30, name, uring)                                                                                        \
    SERVE__ONE(30, name, forked_pool)                                                                                  \
    SERVE__ONE(30, name, forked_epoll)

/* ---- the handler: what a datagram begins with says what is done ----
 *      e...   it comes back
 *      3...   it comes back three times
 *      w      at work until line_service_go, then "waited" or "cut"
 *      z      10 ms of sleep, then it comes back
 *      n      nothing
 *      p      the number of the process
 *      d      the process ends
 *      s      the server stops with a grace of 5 s; "stopping"
 *      others, and nothing at all, come back */
static void say(weft_packet *p, const char *text)
{
    (void)weft_packet_answer(p, text, strlen(text));
}

static void wait_in_handler(weft_packet *p, line_service *service)
{
    int err = 0;
    add_seq_cst(&service->waiting, 1);
    say(p, "waiting");
    weft_packet_flush(p);
    while (err == 0 && load_seq_cst(&service->go) == 0)
        err = weft__park(&service->go, 0, WEFT_FOREVER, service->forks ? WEFT__SHARED_WORD : 0, "test");
    say(p, err == 0 ? "waited" : "cut");
}

static void handle(weft_packet *p, void *arg)
{
    line_service *service = arg;
    char number[16];
    switch (p->size > 0 ? *(const char *)p->data : 'e') {
    case '3':
        CHECK_OK(weft_packet_answer(p, p->data, p->size));
        CHECK_OK(weft_packet_send(p, p->data, p->size, &p->from));
        break;
    case 'w':
        wait_in_handler(p, service);
        return;
    case 'z':
        (void)weft_sleep(weft_in_ms(10));
        break;
    case 'n':
        return;
    case 'p':
        snprintf(number, sizeof number, "%d", (int)getpid());
        say(p, number);
        return;
    case 'd':
        _exit(3);
    case 's':
        say(p, "stopping");
        weft_server_stop(p->server, weft_in_ms(5000));
        return;
    default:
        break;
    }
    (void)weft_packet_answer(p, p->data, p->size);
}

static weft_server *serve(const serve_kind *kind, weft_server_options o, line_service **service)
{
    *service = line_service_new(false);
    (*service)->forks = kind->forks;
    o.packet.handler = handle;
    o.arg = *service;
    if (o.stack_size == 0)
        o.stack_size = 256 * 1024; /* printf under sanitizers */
    if (o.host == NULL)
        o.host = serve_own_host();
    return (*service)->server = serve_start(kind, o);
}

/* ---- clients ---- */

static void ask(int fd, const char *text, const char *answer)
{
    packet_say(fd, text);
    packet_expect(fd, answer);
}

static void expect_nothing(int fd)
{
    char byte;
    CHECK_INT(-1, recv(fd, &byte, 1, MSG_DONTWAIT));
    CHECK(errno == EAGAIN || errno == ECONNREFUSED);
}

static uint64_t dropped(const weft_packet_stats *stats)
{
    return stats->too_large + stats->over_rate + stats->too_many + stats->no_room + stats->cut;
}

/* Everything that the server has taken is settled, and it has taken `count`. */
struct count {
    weft_server *server;
    uint64_t count;
};

static bool is_settled(void *arg)
{
    struct count *c = arg;
    weft_packet_stats stats = packet_stats(c->server);
    return stats.received + stats.lost >= c->count && stats.handled + dropped(&stats) == stats.received;
}

static void wait_settled(weft_server *s, uint64_t count)
{
    struct count c = {s, count};
    wait_until(is_settled, &c, "what was sent is settled");
}

/* ---- what every model does ---- */

ALL_MODELS(packet_answers)
{
    line_service *service;
    weft_server *s = serve(kind, (weft_server_options){0}, &service);
    static char big[65507], back[65507];
    int one = packet_client(weft_server_port(s)), two = packet_client(weft_server_port(s));
    ask(one, "e hello", "e hello");
    ask(two, "", "");
    ask(one, "3 times", "3 times");
    packet_expect(one, "3 times");
    packet_expect(one, "3 times");
    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (char)line_pattern(i);
    big[0] = 'e';
    CHECK_INT(sizeof big, send(two, big, sizeof big, 0));
    CHECK_INT(sizeof big, recv(two, back, sizeof back, 0));
    CHECK_MEM(big, back, sizeof big);
    ask(two, "e again", "e again");
    expect_nothing(one);
    close(one);
    close(two);
    weft_server_stop(s, WEFT_FOREVER);
    CHECK_OK(weft_server_wait(s, WEFT_FOREVER)); /* an answer is counted behind its sending */
    weft_packet_stats stats = packet_stats(s);
    CHECK_INT(5, stats.handled);
    CHECK_INT(7, stats.answered);
    CHECK_INT(0, dropped(&stats) + stats.unsent + stats.lost);
    weft_server_close(s);
}

/* Also when a handler waits: the datagrams of one peer are never handled at the same time. */
ALL_MODELS(packet_keeps_the_order_of_a_peer)
{
    line_service *service;
    weft_server *s = serve(kind, (weft_server_options){0}, &service);
    int fd[3];
    char text[32];
    for (int i = 0; i < 3; i++)
        fd[i] = packet_client(weft_server_port(s));
    for (int k = 0; k < 12; k++)
        for (int i = 0; i < 3; i++) {
            snprintf(text, sizeof text, "%c %d", k % 4 == 0 ? 'z' : 'e', k);
            packet_say(fd[i], text);
        }
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 12; k++) {
            snprintf(text, sizeof text, "%c %d", k % 4 == 0 ? 'z' : 'e', k);
            packet_expect(fd[i], text);
        }
    for (int i = 0; i < 3; i++)
        close(fd[i]);
    serve_stop(s);
}

ALL_MODELS(packet_drops_and_counts_what_is_too_large)
{
    line_service *service;
    weft_server *s = serve(kind, (weft_server_options){.packet.size_max = 16}, &service);
    int fd = packet_client(weft_server_port(s));
    packet_say(fd, "e seventeen bytes");
    ask(fd, "e sixteen bytes.", "e sixteen bytes.");
    wait_settled(s, 2);
    CHECK_INT(1, packet_stats(s).too_large);
    CHECK_INT(1, packet_stats(s).handled);
    close(fd);
    serve_stop(s);
}

/* Peers that have gone before they are answered: the kernel is told that nobody is there, and the server goes on. */
ALL_MODELS(packet_outlives_peers_that_vanish)
{
    line_service *service;
    weft_server *s = serve(kind, (weft_server_options){0}, &service);
    int fd = packet_client(weft_server_port(s));
    for (int i = 0; i < 20; i++) {
        int gone = packet_client(weft_server_port(s));
        packet_say(gone, "3");
        close(gone);
    }
    ask(fd, "e there", "e there");
    wait_settled(s, 21);
    ask(fd, "e still there", "e still there");
    wait_settled(s, 22);
    CHECK_INT(22, packet_stats(s).handled);
    close(fd);
    serve_stop(s);
}

/* More than anybody can take: all of it is accounted for, and the next one is served. */
ALL_MODELS(packet_flood_is_counted)
{
    enum {
        FLOOD = 3000
    };
    line_service *service;
    weft_server *s = serve(kind, (weft_server_options){.packet = {.queue = 32}}, &service);
    int fd = packet_client(weft_server_port(s)), other = packet_client(weft_server_port(s));
    for (int i = 0; i < FLOOD; i++)
        if (send(fd, "n flood", 7, 0) < 0)
            FAIL("send: %s", strerror(errno));
    wait_settled(s, FLOOD);
    CHECK_INT(FLOOD, packet_stats(s).received + packet_stats(s).lost);
    ask(other, "e other", "e other");
    ask(fd, "e after all", "e after all");
    close(fd);
    close(other);
    serve_stop(s);
}

static bool receiver_waits_for_room(weft__mail *m)
{
    weft_lock_acquire(&m->lock);
    bool waits = m->starving;
    weft_lock_release(&m->lock);
    return waits;
}

/* With one notification for each of the 256 slots that become free, their count was the same again: a receiver that had
 * looked at it before, and only then went to sleep, slept for ever. */
static void packet_room_is_told_once(const serve_kind *kind);
SERVE__ONE(30, packet_room_is_told_once, pool)
SERVE__ONE(30, packet_room_is_told_once, thread)
static void packet_room_is_told_once(const serve_kind *kind)
{
    enum {
        ROOM = 100
    };
    line_service *service;
    weft_packet_options o = {.queue = ROOM, .peer_queue = ROOM};
    weft_server *s = serve(kind, (weft_server_options){.packet = o}, &service);
    weft__worker *w = &s->workers[0];
    int fd = packet_client(weft_server_port(s));
    ask(fd, "w", "waiting");
    for (int i = 1; i < ROOM; i++)
        packet_say(fd, "n");
    while (!receiver_waits_for_room(w->mail))
        sched_yield();
    uint32_t before = load_seq_cst(&w->coming);
    line_service_go(service);
    packet_expect(fd, "waited");
    wait_settled(s, ROOM);
    CHECK_INT(1, (load_seq_cst(&w->coming) - before) >> 24);
    close(fd);
    serve_stop(s);
}

ALL_MODELS(packet_rate_of_a_peer_is_limited)
{
    line_service *service;
    weft_server *s = serve(kind, (weft_server_options){.packet.rate = 2}, &service);
    int fd = packet_client(weft_server_port(s)), other = packet_client(weft_server_port(s));
    ask(fd, "e 1", "e 1");
    for (int i = 0; i < 19; i++)
        packet_say(fd, "n");
    wait_settled(s, 20);
    ask(other, "e other", "e other");
    wait_settled(s, 21);
    weft_packet_stats stats = packet_stats(s);
    CHECK_BETWEEN(1, 18, stats.over_rate); /* fewer than 18 if the sending took seconds */
    CHECK_INT(21, stats.handled + stats.over_rate);
    close(fd);
    close(other);
    serve_stop(s);
}

/* What is at work is finished by a graceful stop; and the port is free at once. */
ALL_MODELS(packet_stop_lets_handlers_finish)
{
    line_service *service;
    weft_server *s = serve(kind, (weft_server_options){0}, &service), *next;
    unsigned port = weft_server_port(s);
    int fd = packet_client(port);
    ask(fd, "w", "waiting");
    weft_server_stop(s, WEFT_FOREVER);
    CHECK_ERR(-ETIMEDOUT, weft_server_wait(s, WEFT_NOW));
    line_service_go(service);
    packet_expect(fd, "waited");
    CHECK_OK(weft_server_wait(s, WEFT_FOREVER));
    CHECK_INT(1, packet_stats(s).handled);
    weft_server_close(s);
    weft_server_options o = {.packet.handler = handle, .host = serve_own_host(), .port = port};
    CHECK_OK(weft_server_open(&next, &o));
    weft_server_close(next);
    close(fd);
}

/* At the end of the grace handlers are cancelled, or killed with their process. */
ALL_MODELS(packet_stop_cuts_handlers)
{
    line_service *service;
    weft_server *s = serve(kind, (weft_server_options){0}, &service);
    int fd = packet_client(weft_server_port(s));
    ask(fd, "w", "waiting");
    packet_say(fd, "e behind it");
    weft_server_stop(s, WEFT_NOW);
    CHECK_OK(weft_server_wait(s, WEFT_FOREVER));
    if (strcmp(kind->name, "process") != 0)
        packet_expect(fd, "cut");
    weft_server_close(s);
    close(fd);
}

ALL_MODELS(packet_handler_may_stop_the_server)
{
    line_service *service;
    weft_server *s = serve(kind, (weft_server_options){0}, &service);
    int fd = packet_client(weft_server_port(s));
    ask(fd, "s", "stopping");
    CHECK_OK(weft_server_wait(s, WEFT_FOREVER));
    weft_server_close(s);
    close(fd);
}

/* ---- what several at once means ---- */

static void packet_serves_others_meanwhile(const serve_kind *kind);
SEVERAL_AT_ONCE(packet_serves_others_meanwhile)
SERVE__ONE(30, packet_serves_others_meanwhile, process)
static void packet_serves_others_meanwhile(const serve_kind *kind)
{
    line_service *service;
    weft_server *s = serve(kind, (weft_server_options){0}, &service);
    int busy = packet_client(weft_server_port(s)), other = packet_client(weft_server_port(s));
    ask(busy, "w", "waiting");
    packet_say(busy, "e behind it");
    ask(other, "e beside it", "e beside it");
    expect_nothing(busy);
    line_service_go(service);
    packet_expect(busy, "waited");
    packet_expect(busy, "e behind it");
    close(busy);
    close(other);
    serve_stop(s);
}

/* A peer that is at work cannot have more in hand than its share; others can. */
static void packet_line_of_a_peer_is_bounded(const serve_kind *kind);
SEVERAL_AT_ONCE(packet_line_of_a_peer_is_bounded)
SERVE__ONE(30, packet_line_of_a_peer_is_bounded, process)
static void packet_line_of_a_peer_is_bounded(const serve_kind *kind)
{
    line_service *service;
    weft_server *s = serve(kind, (weft_server_options){.packet.peer_queue = 4}, &service);
    int busy = packet_client(weft_server_port(s)), other = packet_client(weft_server_port(s));
    ask(busy, "w", "waiting");
    for (int i = 0; i < 10; i++)
        packet_say(busy, "e");
    while (packet_stats(s).too_many < 7)
        (void)weft_sleep(weft_in_ms(1));
    ask(other, "e other", "e other");
    line_service_go(service);
    packet_expect(busy, "waited");
    for (int i = 0; i < 3; i++)
        packet_expect(busy, "e");
    wait_settled(s, 12);
    expect_nothing(busy);
    CHECK_INT(7, packet_stats(s).too_many);
    close(busy);
    close(other);
    serve_stop(s);
}

/* When all places are taken by peers at work, others are dropped; who is silent gives way. */
static void packet_peers_are_bounded(const serve_kind *kind)
{
    line_service *service;
    weft_server *s = serve(kind, (weft_server_options){.max_connections = 2, .threads = 1}, &service);
    int busy[2], other = packet_client(weft_server_port(s));
    for (int i = 0; i < 2; i++) {
        busy[i] = packet_client(weft_server_port(s));
        ask(busy[i], "w", "waiting");
    }
    packet_say(other, "e");
    while (packet_stats(s).no_room < 1)
        (void)weft_sleep(weft_in_ms(1));
    line_service_go(service);
    for (int i = 0; i < 2; i++)
        packet_expect(busy[i], "waited");
    weft_packet_stats stats;
    for (int tries = 0;; tries++) { /* what is lost is sent again: a thread or process has to end first */
        struct timeval soon = {.tv_usec = 20000};
        char byte;
        setsockopt(other, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon);
        packet_say(other, "e");
        if (recv(other, &byte, 1, 0) == 1)
            break;
        if (tries > 500)
            FAIL("nobody gives way");
    }
    stats = packet_stats(s);
    CHECK(stats.no_room >= 1);
    for (int i = 0; i < 2; i++)
        close(busy[i]);
    close(other);
    serve_stop(s);
}

SERVE__ONE(30, packet_peers_are_bounded, thread)
SERVE__ONE(30, packet_peers_are_bounded, process)
SERVE__ONE(30, packet_peers_are_bounded, epoll)

/* The newcomer that finds everybody at work loses one datagram: whom it has asked to leave goes when his work is done,
 * also where no idle time has anybody look, and before the newcomer comes again. */
TEST_LIMIT(30, packet_process_at_work_that_is_to_make_room_goes_by_itself)
{
    line_service *service;
    weft_server *s = serve(&serve_process, (weft_server_options){.max_connections = 1, .idle_timeout = -1}, &service);
    int busy = packet_client(weft_server_port(s)), other = packet_client(weft_server_port(s));
    char number[16] = "";
    packet_say(busy, "p");
    CHECK(recv(busy, number, 15, 0) > 0);
    pid_t pid = atoi(number);
    ask(busy, "w", "waiting");
    packet_say(other, "e");
    while (packet_stats(s).no_room < 1)
        (void)weft_sleep(weft_in_ms(1));
    for (int i = 0; i < 2; i++) /* it looks who may go between two things that it hears */
        CHECK_OK(weft_server_tell(s, 1, WEFT_FOREVER));
    line_service_go(service);
    packet_expect(busy, "waited");
    wait_until(serve_has_ended, &pid, "the end of the process");
    ask(other, "e after all", "e after all");
    close(busy);
    close(other);
    serve_stop(s);
}

/* A thread or process that has nobody left ends after the idle time. */
static void packet_silent_peers_are_forgotten(const serve_kind *kind)
{
    line_service *service;
    weft_server *s = serve(kind, (weft_server_options){.idle_timeout = WEFT_MS}, &service);
    int fd = packet_client(weft_server_port(s));
    for (int i = 0; i < 20; i++) {
        struct timeval soon = {.tv_usec = 50000};
        char byte;
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon);
        do
            packet_say(fd, "e");
        while (recv(fd, &byte, 1, 0) != 1); /* sent on the way out, it may be lost */
        (void)weft_sleep(weft_in_ms(i % 4));
    }
    close(fd);
    serve_stop(s);
}

SERVE__ONE(30, packet_silent_peers_are_forgotten, thread)
SERVE__ONE(30, packet_silent_peers_are_forgotten, process)
SERVE__ONE(30, packet_silent_peers_are_forgotten, uring)

/* ---- processes ---- */

/* The socket outlives the process: what comes meanwhile waits for the next one. */
TEST_LIMIT(30, packet_process_that_dies_is_replaced)
{
    line_service *service;
    weft_server *s = serve(&serve_prefork, (weft_server_options){.processes = 1}, &service);
    int fd = packet_client(weft_server_port(s));
    char before[16] = "", after[16] = "";
    for (int i = 0; i < 2; i++) {
        packet_say(fd, "p");
        if (recv(fd, i == 0 ? before : after, 15, 0) <= 0)
            FAIL("no answer: %s", strerror(errno));
        if (i == 0)
            packet_say(fd, "d");
        while (packet_stats(s).cut == 0)
            (void)weft_sleep(weft_in_ms(1));
    }
    CHECK(atoi(before) != atoi(after));
    CHECK_INT(1, packet_stats(s).cut);
    close(fd);
    serve_stop(s);
}

/* By SIGTERM: it handles what it has been given, and its peer has another then. */
TEST_LIMIT(30, packet_process_of_a_peer_that_is_asked_to_end_is_replaced)
{
    line_service *service;
    weft_server *s = serve(&serve_process, (weft_server_options){0}, &service);
    int fd = packet_client(weft_server_port(s));
    struct timeval soon = {.tv_usec = 50000};
    char number[16] = "", again[16] = "";
    packet_say(fd, "p");
    CHECK(recv(fd, number, 15, 0) > 0);
    ask(fd, "w", "waiting");
    packet_say(fd, "n");
    while (packet_stats(s).received < 3)
        (void)weft_sleep(weft_in_ms(1));
    CHECK_INT(0, kill(atoi(number), SIGTERM));
    line_service_go(service);
    packet_expect(fd, "waited");
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon);
    do
        packet_say(fd, "p");
    while (recv(fd, again, 15, 0) <= 0 || strcmp(again, number) == 0); /* sent on the way out, it is lost */
    CHECK_INT(0, packet_stats(s).cut);
    close(fd);
    serve_stop(s);
}

TEST_LIMIT(30, packet_peers_have_processes_of_their_own)
{
    line_service *service;
    weft_server *s = serve(&serve_process, (weft_server_options){0}, &service);
    int fd[2];
    char number[2][16] = {"", ""}, again[16] = "";
    for (int i = 0; i < 2; i++) {
        fd[i] = packet_client(weft_server_port(s));
        packet_say(fd[i], "p");
        CHECK(recv(fd[i], number[i], 15, 0) > 0);
    }
    packet_say(fd[0], "p");
    CHECK(recv(fd[0], again, 15, 0) > 0);
    CHECK_STR(number[0], again);
    CHECK(atoi(number[0]) != atoi(number[1]) && atoi(number[0]) != (int)getpid());
    packet_say(fd[0], "d");
    ask(fd[1], "e the other one", "e the other one");
    close(fd[0]);
    close(fd[1]);
    wait_settled(s, 5);
    CHECK_INT(1, packet_stats(s).cut);
    serve_stop(s);
}

/* ---- options ---- */

static int refuse(weft_conn *c, void *arg)
{
    (void)c;
    (void)arg;
    return -EIO;
}

TEST(packet_options_without_sense_are_refused)
{
    weft_server *s;
    weft_server_options o = {.packet = {.handler = handle, .size_max = 70000}};
    CHECK_ERR(-EINVAL, weft_server_open(&s, &o));
    o = (weft_server_options){.packet = {.handler = handle, .queue = 1u << 20}};
    CHECK_ERR(-EINVAL, weft_server_open(&s, &o));
    o = (weft_server_options){.packet.handler = handle, .handler = refuse};
    CHECK_ERR(-EINVAL, weft_server_open(&s, &o));
    o = (weft_server_options){.packet.handler = handle, .on_open = refuse};
    CHECK_ERR(-EINVAL, weft_server_open(&s, &o));
    o = (weft_server_options){.packet.handler = handle, .model = "threads"};
    CHECK_ERR(-EINVAL, weft_server_open(&s, &o));
}

TEST(packet_port_is_taken_by_one_server)
{
    weft_server *s, *other;
    weft_server_options o = {.packet.handler = handle, .model = "prefork", .processes = 3};
    CHECK_OK(weft_server_open(&s, &o));
    o.port = weft_server_port(s);
    CHECK(o.port != 0);
    CHECK_ERR(-EADDRINUSE, weft_server_open(&other, &o));
    CHECK_INT(3, weft_server_capacity(s));
    weft_server_close(s);
}

TEST(packet_server_speaks_ipv6)
{
    line_service *service;
    weft_server *s = serve(&serve_epoll, (weft_server_options){.host = "::1"}, &service);
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct timeval limit = {.tv_sec = 20};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)weft_server_port(s))};
    a.sin6_addr = in6addr_loopback;
    CHECK_INT(0, connect(fd, (struct sockaddr *)&a, sizeof a));
    ask(fd, "e six", "e six");
    close(fd);
    serve_stop(s);
}

struct drops {
    uint32_t count; /* atomic */
    int why;
    size_t size;
};

static void note_drop(const weft_address *from, size_t size, int why, void *arg)
{
    struct drops *drops = arg;
    CHECK(weft_address_port(from) != 0);
    drops->size = size;
    drops->why = why;
    add_seq_cst(&drops->count, 1);
}

static void echo(weft_packet *p, void *arg)
{
    (void)arg;
    (void)weft_packet_answer(p, p->data, p->size);
}

TEST(packet_drop_is_told)
{
    struct drops drops = {0};
    weft_server_options o = {
        .packet = {.handler = echo, .size_max = 10, .on_drop = note_drop}, .arg = &drops, .host = serve_own_host()};
    weft_server *s = serve_start(&serve_epoll, o);
    int fd = packet_client(weft_server_port(s));
    packet_say(fd, "eleven byte");
    while (load_seq_cst(&drops.count) == 0)
        (void)weft_sleep(weft_in_ms(1));
    CHECK_INT(-EMSGSIZE, drops.why);
    CHECK_INT(11, drops.size);
    close(fd);
    serve_stop(s);
}

/* ---- errors that the network reports ---- */

/* In memory that all processes share. */
struct errors {
    uint32_t count, err, port; /* atomic */
};

static void note_error(const weft_address *to, int err, void *arg)
{
    struct errors *errors = arg;
    store_seq_cst(&errors->port, weft_address_port(to));
    store_seq_cst(&errors->err, (uint32_t)-err);
    add_seq_cst(&errors->count, 1);
}

/* One who keeps its port and hears nobody: what is sent to it is refused. */
static int open_deaf(unsigned *port)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET};
    socklen_t size = sizeof a;
    CHECK_INT(1, inet_pton(AF_INET, serve_own_host(), &a.sin_addr));
    CHECK_INT(0, bind(fd, (struct sockaddr *)&a, sizeof a));
    CHECK_INT(0, getsockname(fd, (struct sockaddr *)&a, &size));
    *port = ntohs(a.sin_port);
    a.sin_port = htons(9);
    CHECK_INT(0, connect(fd, (struct sockaddr *)&a, sizeof a)); /* it hears from there only */
    return fd;
}

static void send_deaf(int fd, unsigned port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    CHECK_INT(1, inet_pton(AF_INET, serve_own_host(), &a.sin_addr));
    CHECK_INT(6, sendto(fd, "e deaf", 6, 0, (struct sockaddr *)&a, sizeof a));
}

/* Between those whose answers are refused, others lose nothing. */
static void ask_among_deaf(int deaf, int fd, unsigned port)
{
    send_deaf(deaf, port);
    packet_say(fd, "e 1");
    send_deaf(deaf, port);
    packet_say(fd, "e 2");
    send_deaf(deaf, port);
    packet_expect(fd, "e 1");
    packet_expect(fd, "e 2");
}

ALL_MODELS(packet_refused_answer_is_told_and_is_no_error_of_others)
{
    struct errors *errors = test_shared(sizeof *errors);
    weft_server *s = serve_start(kind, (weft_server_options){.packet = {.handler = echo, .on_error = note_error},
                                                             .arg = errors,
                                                             .host = serve_own_host(),
                                                             .stack_size = 256 * 1024});
    unsigned port = weft_server_port(s), deaf_port;
    int deaf = open_deaf(&deaf_port), fd = packet_client(port);
    uint64_t rounds = 0;
    do { /* the kernel says so a limited number of times a second, to all programs together */
        ask_among_deaf(deaf, fd, port);
        wait_settled(s, 5 * ++rounds); /* or who hears no answers would send faster than is handled */
    } while (rounds < 20 || load_seq_cst(&errors->count) < 3);
    CHECK_INT(ECONNREFUSED, load_seq_cst(&errors->err));
    CHECK_INT(deaf_port, load_seq_cst(&errors->port));
    CHECK_INT(5 * rounds, packet_stats(s).handled);
    CHECK_INT(0, packet_stats(s).unsent);
    CHECK(load_seq_cst(&errors->count) <= 3 * rounds);
    close(deaf);
    close(fd);
    serve_stop(s);
}

/* A socket that was given reports errors, because its owner before wanted them: this server does not. */
static void packet_reports_that_nobody_wants_are_none(const serve_kind *kind);
SERVE__ONE(30, packet_reports_that_nobody_wants_are_none, iterative)
SERVE__ONE(30, packet_reports_that_nobody_wants_are_none, epoll)
SERVE__ONE(30, packet_reports_that_nobody_wants_are_none, uring)
static void packet_reports_that_nobody_wants_are_none(const serve_kind *kind)
{
    int given = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in a = {.sin_family = AF_INET};
    CHECK_INT(1, inet_pton(AF_INET, serve_own_host(), &a.sin_addr));
    CHECK_INT(0, setsockopt(given, IPPROTO_IP, IP_RECVERR, &on, sizeof on));
    CHECK_INT(0, bind(given, (struct sockaddr *)&a, sizeof a));
    line_service *service;
    weft_server_options o = {.listeners = &given, .listener_count = 1, .threads = 1};
    weft_server *s = serve(kind, o, &service);
    unsigned deaf_port, port = weft_server_port(s);
    int deaf = open_deaf(&deaf_port), fd = packet_client(port);
    for (int i = 0; i < 20; i++)
        ask_among_deaf(deaf, fd, port);
    close(deaf);
    close(fd);
    serve_stop(s);
}
