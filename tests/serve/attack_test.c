/* attack_test.c - a server that is full: who gives way, who is turned away, and that slow clients displace each other
 * and never the quick ones. Mission: limits, "900 slow clients", descriptor exhaustion survived. */
#include "serve/far_support.h"

#include "base/atomic.h"
#include "serve/secure_support.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static bool four_wait(void *service)
{
    return load_seq_cst(&((line_service *)service)->waiting) == 4;
}

/* A server that has room for four connections, and has them. */
static weft_server *serve_four(const serve_kind *kind, line_service *service, int fds[4])
{
    weft_server *s = serve_lines(kind, (weft_server_options){.max_connections = 4, .threads = 1}, service);
    for (int i = 0; i < 4; i++)
        fds[i] = client_open(weft_server_port(s));
    return s;
}

static void close_four(const int fds[4])
{
    for (int i = 0; i < 4; i++)
        client_close(fds[i]);
}

SERVE_ALSO_PROCESS(30, attack_a_full_server_closes_who_has_waited_longest)
SERVE_TLS_TOGETHER(30, SERVE_TLS_ALL, attack_a_full_server_closes_who_has_waited_longest)
SERVE_ALL_CASE(attack_a_full_server_closes_who_has_waited_longest)
{
    line_service *service = line_service_new(false);
    int fds[4];
    weft_server *s = serve_lines(kind, (weft_server_options){.max_connections = 4, .threads = 1}, service);
    unsigned port = weft_server_port(s);
    for (int i = 0; i < 4; i++) { /* each is served before the next comes, however slowly */
        fds[i] = client_open(port);
        client_expect_reply(fds[i], i == 1 ? "echo x\nhalf a li" : "echo x\n", "x\n");
    }
    usleep(300000); /* longer than the grain in which the server keeps the order */
    client_expect_reply(fds[0], "echo again\n", "again\n"); /* now 1 has waited longest, though it has sent something */
    int fifth = client_open(port);
    client_expect_reply(fifth, "echo in\n", "in\n");
    client_expect_end(fds[1]);
    int sixth = client_open(port);
    client_expect_reply(sixth, "echo in\n", "in\n");
    client_expect_end(fds[2]);
    client_expect_reply(fds[0], "echo still\n", "still\n");
    CHECK_INT(2, server_stats(s).shed);
    CHECK_INT(0, server_stats(s).refused);
    close_four(fds);
    client_close(fifth);
    client_close(sixth);
    serve_stop(s);
}

/* Who is not let in is told so; with TLS, which has not begun then, there are no words for it. */
static void expect_turned_away(const serve_kind *kind, int fd)
{
    if (!kind->tls)
        client_expect(fd, "full\n");
    client_expect_end(fd);
}

SERVE_ALSO_PROCESS(60, attack_who_is_at_work_stays_and_the_newcomer_is_told)
SERVE_TLS_HERE_CASE(attack_who_is_at_work_stays_and_the_newcomer_is_told)
SERVE_HERE_CASE(attack_who_is_at_work_stays_and_the_newcomer_is_told)
{
    line_service *service = line_service_new(false);
    int fds[4];
    weft_server *s = serve_four(kind, service, fds);
    unsigned port = weft_server_port(s);
    for (int i = 0; i < 4; i++)
        client_say(fds[i], "wait\n");
    wait_until(four_wait, service, "four requests");
    for (int i = 0; i < 10; i++) {
        int fd = client_open(port);
        expect_turned_away(kind, fd);
        client_close(fd);
    }
    CHECK_INT(10, server_stats(s).refused);
    line_service_go(service);
    for (int i = 0; i < 4; i++)
        client_expect(fds[i], "waited\n");
    int fd = client_open(port); /* room again: they are idle */
    client_expect_reply(fd, "echo in\n", "in\n");
    client_close(fd);
    close_four(fds);
    serve_stop(s);
}

/* Connect and ask: true if there is an answer, false if there is no room. */
static bool is_let_in(const serve_kind *kind, unsigned port, int *fd)
{
    char reply[5];
    *fd = client_open(port);
    (void)client_try_send(*fd, "echo in\n", 8);
    if (!kind->tls || client_try_recv(*fd, reply, 1) == 1) {
        client_recv_all(*fd, reply + kind->tls, 3 - kind->tls);
        if (memcmp(reply, "in\n", 3) == 0)
            return true;
        client_recv_all(*fd, reply + 3, 2);
        CHECK_MEM("full\n", reply, 5);
    }
    client_close(*fd);
    return false;
}

SERVE_ALSO_PROCESS(60, attack_readers_that_stall_give_way_after_a_second)
SERVE_TLS_TOGETHER(60, SERVE_TLS_HERE, attack_readers_that_stall_give_way_after_a_second)
SERVE_HERE_CASE(attack_readers_that_stall_give_way_after_a_second)
{
    line_service *service = line_service_new(false);
    int fds[4];
    weft_server *s = serve_four(kind, service, fds);
    unsigned port = weft_server_port(s);
    for (int i = 0; i < 4; i++) {
        client_say(fds[i], "big 30000000\n");
        client_expect_pattern(fds[i], 1000);
    }
    usleep(1500000);
    int fd;
    while (!is_let_in(kind, port, &fd)) /* busy, it may have gone on filling their sockets until just now */
        usleep(100000);
    CHECK_INT(1, server_stats(s).shed);
    client_close(fd);
    close_four(fds);
    wait_open(s, 0);
    serve_stop(s);
}

/* Three stall us, one has just come, and there is another: a staller gives way. False: it took too long to tell, or
 * they have not stalled for a second yet. */
static bool just_come_stays(const serve_kind *kind)
{
    line_service *service = line_service_new(false);
    weft_server *s = serve_lines(kind, (weft_server_options){.max_connections = 4, .threads = 1}, service);
    unsigned port = weft_server_port(s);
    int fds[4];
    for (int i = 0; i < 3; i++) {
        fds[i] = client_open(port);
        client_say(fds[i], "big 30000000\n");
        client_expect_pattern(fds[i], 1000);
    }
    usleep(1500000);
    int64_t begin = weft_now();
    int fd;
    fds[3] = client_open(port);
    bool in_time = is_let_in(kind, port, &fd);
    if (in_time) {
        in_time = weft_now() - begin < WEFT_SECOND;
        if (in_time)
            client_expect_reply(fds[3], "echo still\n", "still\n");
        client_close(fd);
    }
    close_four(fds);
    wait_open(s, 0);
    serve_stop(s);
    return in_time;
}

SERVE_ALSO_PROCESS(60, attack_who_has_just_come_stays_where_another_stalls)
SERVE_TLS_TOGETHER(60, SERVE_TLS_HERE, attack_who_has_just_come_stays_where_another_stalls)
SERVE_HERE_CASE_LIMIT(60, attack_who_has_just_come_stays_where_another_stalls)
{
    while (!just_come_stays(kind))
        ;
}

/* ---- no descriptors: the clients are another process ---- */

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* What this process takes of the processors in so many microseconds, at the least of five times: what it does besides
 * now and then is not idling. Ends early when that is below `enough`. */
static double idle_cpu_seconds(unsigned us, double enough)
{
    double least = 1e9;
    for (int i = 0; i < 5 && least >= enough; i++) {
        double before = cpu_seconds();
        usleep(us);
        double taken = cpu_seconds() - before;
        least = taken < least ? taken : least;
    }
    return least;
}

static bool somebody_served(void *server)
{
    return server_stats(server).open > 0;
}

/* Fewer descriptors than connections, none of which can be shed: newcomers are turned away or wait in the kernel's
 * queue, nothing spins, and afterwards all is well. */
static void exhausted(const serve_kind *kind, const char *line)
{
    line_service *service = line_service_new(false);
    struct far_clients far = far_start(kind, 60, line);
    weft_server *s;
    weft_server_options o = line_options(kind, (weft_server_options){.threads = 1}, service);
    struct rlimit before, low;
    CHECK_OK(weft_server_open(&s, &o));
    CHECK_INT(0, getrlimit(RLIMIT_NOFILE, &before));
    int highest = dup(0);
    close(highest);
    low = (struct rlimit){(rlim_t)highest + 20, before.rlim_max};
    CHECK_INT(0, setrlimit(RLIMIT_NOFILE, &low)); /* before the start: io_uring remembers what held then */
    CHECK_OK(weft_server_start(s));
    far_go(&far, weft_server_port(s));
    wait_until(somebody_served, s, "a client that is served");
    CHECK(idle_cpu_seconds(500000, 0.2) < 0.2 * test_limit_factor());
    CHECK_BETWEEN(1, 20, server_stats(s).open);
    CHECK_INT(0, setrlimit(RLIMIT_NOFILE, &before));
    line_service_go(service);
    far_end(&far);
    wait_open(s, 0);
    int fd = client_open(weft_server_port(s));
    client_expect_reply(fd, "echo well\n", "well\n");
    client_close(fd);
    serve_stop(s);
}

SERVE_TLS_TOGETHER(60, SERVE_TLS_HERE, attack_descriptors_exhausted_by_idle_clients)
SERVE_HERE_CASE_LIMIT(20, attack_descriptors_exhausted_by_idle_clients)
{
    exhausted(kind, "echo x\n");
}

SERVE_TLS_TOGETHER(60, SERVE_TLS_HERE, attack_descriptors_exhausted_by_requests_under_way)
SERVE_HERE_CASE_LIMIT(20, attack_descriptors_exhausted_by_requests_under_way)
{
    exhausted(kind, "wait\n");
}

/* ---- 900 slow clients against 512 connections ---- */

enum {
    SLOW = 900,
    PLACES = 512,
    PROBES = 200,
    SECURE_SLOW = 300, /* each that comes costs a session, or a handshake */
    SECURE_PLACES = 170,
    SECURE_PROBES = 30,
    SELECT_SLOW = 400, /* theirs and the server's descriptors together are below 1024 */
    SELECT_PLACES = 200,
    PROCESS_SLOW = 42, /* each that comes costs a process */
    PROCESS_PLACES = 24
};

struct slow_clients {
    unsigned port;
    int count;
    unsigned char text[4096]; /* with TLS what they send of, a byte at a time, and never the last one */
    size_t size;              /* 0: none, a line */
    uint32_t stop;            /* atomic */
    uint32_t ready;           /* atomic: all have connected once */
};

static int open_nonblocking(unsigned port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(fd >= 0);
    CHECK(connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0 || errno == EINPROGRESS);
    return fd;
}

/* Each sends one byte every 50 ms, of a line or a handshake that never ends, and comes back when it is thrown out. */
static void *be_slow(void *arg)
{
    struct slow_clients *slow = arg;
    int fds[SLOW];
    size_t at[SLOW] = {0};
    for (int i = 0; i < slow->count; i++)
        fds[i] = open_nonblocking(slow->port);
    store_seq_cst(&slow->ready, 1);
    while (!load_seq_cst(&slow->stop)) {
        for (int i = 0; i < slow->count; i++) {
            char byte;
            const void *text = slow->size > 0 ? (const void *)(slow->text + at[i]) : "e";
            bool gone = at[i] + 1 != slow->size && send(fds[i], text, 1, MSG_NOSIGNAL) < 0 && errno != EAGAIN;
            at[i] += at[i] + 1 < slow->size;
            if (gone || recv(fds[i], &byte, 1, 0) >= 0) {
                close(fds[i]);
                fds[i] = open_nonblocking(slow->port);
                at[i] = 0;
            }
        }
        usleep(50000);
    }
    for (int i = 0; i < slow->count; i++)
        close(fds[i]);
    return NULL;
}

static bool slow_ready(void *slow)
{
    return load_seq_cst(&((struct slow_clients *)slow)->ready) != 0;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Connect, ask, be answered; again if the server lets go of us before it has answered. */
static void ask_until_answered(unsigned port)
{
    for (;;) {
        char reply[6];
        size_t got = 0;
        ssize_t n = 1;
        int fd = client_open(port);
        (void)client_try_send(fd, "echo hello\n", 11);
        while (got < sizeof(reply) && (n = client_try_recv(fd, reply + got, sizeof(reply) - got)) > 0)
            got += (size_t)n;
        client_close(fd);
        if (got == sizeof(reply)) {
            CHECK_MEM("hello\n", reply, sizeof(reply));
            return;
        }
    }
}

/* The time in ms within which 99 of 100 quick clients have their answer. */
static double probe_p99(const serve_kind *kind, unsigned port)
{
    double taken[PROBES];
    int probes = kind->tls ? SECURE_PROBES : PROBES;
    for (int i = 0; i < probes; i++) {
        int64_t begin = weft_now();
        ask_until_answered(port);
        taken[i] = (double)(weft_now() - begin) / 1e6;
        usleep(5000);
    }
    qsort(taken, (size_t)probes, sizeof(taken[0]), compare_doubles);
    return taken[probes * 99 / 100 - 1];
}

typedef struct bounded {
    weft_server *server;
    uint64_t most;
} bounded;

static bool is_bounded(void *arg)
{
    const bounded *b = arg;
    return server_stats(b->server).open <= b->most;
}

SERVE_ALSO_PROCESS(60, attack_slow_clients_do_not_keep_others_out)
SERVE__ONE(60, attack_slow_clients_do_not_keep_others_out, forked_epoll)
SERVE__ONE(60, attack_slow_clients_do_not_keep_others_out, tls_forked_epoll)

SERVE_TLS_ALL_CASE_LIMIT(60, attack_slow_clients_do_not_keep_others_out)
SERVE_ALL_CASE_LIMIT(60, attack_slow_clients_do_not_keep_others_out)
{
    line_service *service = line_service_new(false);
    bool is_select = kind == &serve_select, is_process = kind == &serve_process || kind == &serve_tls_process;
    unsigned places = is_process ? PROCESS_PLACES : kind->tls ? SECURE_PLACES : is_select ? SELECT_PLACES : PLACES;
    if (kind->processes > 0)
        places /= kind->processes;
    weft_server *s = serve_lines(kind, (weft_server_options){.max_connections = places}, service);
    struct slow_clients slow = {.port = weft_server_port(s)};
    slow.count = is_process ? PROCESS_SLOW : is_select ? SELECT_SLOW : SLOW;
    pthread_t thread;
    if (kind->tls) {
        slow.count = is_process ? PROCESS_SLOW : SECURE_SLOW;
        slow.size = secure_client_hello(slow.text, sizeof slow.text);
    }
    double quiet = probe_p99(kind, slow.port); /* what this machine does to a probe just now, whoever else uses it */
    CHECK_INT(0, pthread_create(&thread, NULL, be_slow, &slow));
    wait_until(slow_ready, &slow, "the slow clients");
    double p99, limit = 2000 * test_limit_factor() + 2 * quiet; /* kept out, they would wait for a minute */
    for (int round = 0; (p99 = probe_p99(kind, slow.port)) > limit; round++)
        if (round == 3)
            FAIL("99 of 100 quick clients are answered within %.1f ms, without the slow ones within %.1f", p99, quiet);
    CHECK(server_stats(s).shed > 0);
    bounded b = {s, (places + 64) * (kind->processes > 0 ? kind->processes : 1)};
    wait_until(is_bounded, &b, "a bounded number of connections"); /* who was thrown out has a thread to end */
    store_seq_cst(&slow.stop, 1);
    CHECK_INT(0, pthread_join(thread, NULL));
    serve_stop(s);
}

/* ---- fixed threads: who is not served stands in line ---- */

typedef struct full_house {
    line_service *service;
    unsigned places;
} full_house;

static bool all_at_work(void *arg)
{
    const full_house *h = arg;
    return load_seq_cst(&h->service->waiting) == h->places;
}

/* Ask, where nobody is there yet for the handshake of TLS: it is begun. */
static void ask_in_line(const serve_kind *kind, int fd, const char *text)
{
    short events;
    if (kind->tls)
        CHECK_INT(-1, secure_client_try_send(fd, text, strlen(text), &events));
    else
        client_say(fd, text);
}

static void fill_line(const serve_kind *kind, unsigned places)
{
    enum {
        LINE = 5
    };
    line_service *service = line_service_new(false);
    weft_server *s = serve_lines(kind, (weft_server_options){.max_connections = places + LINE}, service);
    unsigned port = weft_server_port(s);
    int fds[8 + LINE];
    CHECK_INT(places, weft_server_capacity(s));
    for (unsigned i = 0; i < places + LINE; i++) {
        fds[i] = client_open(port);
        if (i < places)
            client_say(fds[i], "wait\n");
        else
            ask_in_line(kind, fds[i], "wait\n");
    }
    wait_open(s, places + LINE);
    full_house house = {service, places};
    wait_until(all_at_work, &house, "everybody who is served at work");
    for (int i = 0; i < 3; i++) { /* the line is full, and all that are served are at work */
        int fd = client_open(port);
        expect_turned_away(kind, fd);
        client_close(fd);
    }
    CHECK_INT(places, load_seq_cst(&service->waiting));
    line_service_go(service);
    for (unsigned i = 0; i < places + LINE; i++) { /* in the order in which they came */
        if (kind->tls && i >= places)
            client_say(fds[i], "wait\n");
        client_expect(fds[i], "waited\n");
        client_close(fds[i]);
    }
    wait_open(s, 0);
    CHECK_INT(3, server_stats(s).refused);
    serve_stop(s);
}

/* S001-102, S002-10: a long client holds up all others; they are served in the order in which they came. */
TEST(attack_an_iterative_server_lets_others_stand_in_line)
{
    fill_line(&serve_iterative, 1);
}

TEST(attack_a_pool_lets_others_stand_in_line)
{
    fill_line(&serve_pool, 8);
}

TEST(attack_an_iterative_server_lets_others_stand_in_line_tls)
{
    fill_line(&serve_tls_iterative, 1);
}

TEST(attack_a_pool_lets_others_stand_in_line_tls)
{
    fill_line(&serve_tls_pool, 8);
}

/* Who stands in line when the server stops was promised nothing; who is served gets its answer. */
static void stop_a_line(const serve_kind *kind)
{
    line_service *service = line_service_new(false);
    weft_server *s = serve_lines(kind, (weft_server_options){0}, service);
    int served = client_open(weft_server_port(s)), fds[3];
    client_say(served, "wait\n");
    for (int i = 0; i < 3; i++) {
        fds[i] = client_open(weft_server_port(s));
        ask_in_line(kind, fds[i], "echo x\n");
    }
    wait_open(s, 4);
    full_house house = {service, 1};
    wait_until(all_at_work, &house, "the one who is served at work");
    weft_server_stop(s, weft_in_seconds(600));
    for (int i = 0; i < 3; i++) {
        client_expect_end(fds[i]);
        client_close(fds[i]);
    }
    line_service_go(service);
    client_expect(served, "waited\n");
    client_expect_end(served);
    client_close(served);
    serve_stop(s);
}

TEST(attack_a_line_is_sent_away_by_the_stop)
{
    stop_a_line(&serve_iterative);
}

TEST(attack_a_line_is_sent_away_by_the_stop_tls)
{
    stop_a_line(&serve_tls_iterative);
}

/* ---- ten thousand idle ---- */

enum {
    RING_BUFFERS =
        2048, /* a thread, at most: those that lie in the ring and as many delivered; a page each is touched */
    FEW = 200,
    SECURE_EACH = 24 * 1024 /* 16 to 20 measured; 28 where OpenSSL keeps its buffers */
};

static uint64_t idle_wanted;

static bool all_open(void *server)
{
    return server_stats(server).open >= idle_wanted && server_stats(server).calls >= idle_wanted;
}

/* At most `each` bytes of the server's for one of `count`. */
typedef struct growth {
    long before, most; /* KiB; bytes */
    long now;
} growth;

static bool has_grown_no_more(void *arg)
{
    growth *g = arg;
    g->now = (test_rss_kb() - g->before) * 1024;
    return g->now <= g->most;
}

static void hold_idle(const serve_kind *kind, unsigned count, long each)
{
    line_service *service = line_service_new(false);
    struct far_clients few = far_start(kind, FEW, "echo x\n");
    struct far_clients many = far_start(kind, (int)count, "echo x\n");
    weft_server_options o = {.max_connections = count + FEW + 100, .idle_timeout = -1};
    o.handshake_timeout = -1; /* all shake hands at once: on a slow machine that takes longer than one may */
    weft_server *s = serve_lines(kind, o, service);
    unsigned port = weft_server_port(s);
    idle_wanted = FEW;
    far_go(&few, port);
    wait_until(all_open, s, "the first clients");
    growth g = {.before = test_rss_kb()};
    idle_wanted += count;
    far_go(&many, port);
    wait_until(all_open, s, "ten thousand clients");
    /* The burst of ten thousand first requests has filled io_uring's receive rings; they stay, whoever is connected. */
    long buffers = kind == &serve_uring ? RING_BUFFERS * 4096L * sysconf(_SC_NPROCESSORS_ONLN) : 0;
    g.most = each * count + buffers;
    if (kind->tls) /* all have shaken hands at once; what that has left free between what is kept may go */
        malloc_trim(0);
    if (test_limit_factor() == 1) /* sanitizers have a memory of their own */
        wait_until(has_grown_no_more, &g, "idle connections without the buffers of their first requests");
    printf("%s: %ld bytes for each of %u idle connections\n", kind->name, (g.now - buffers) / (long)count, count);
    CHECK(idle_cpu_seconds(300000, 0.03) < 0.03 * test_limit_factor());
    int fd = client_open(port);
    client_expect_reply(fd, "echo among many\n", "among many\n");
    client_close(fd);
    far_end(&many);
    far_end(&few);
    wait_open(s, 0);
    serve_stop(s);
}

TEST_LIMIT(40, attack_ten_thousand_idle_connections_cost_512_bytes_each_epoll)
{
    hold_idle(&serve_epoll, 10000, 512);
}

TEST_LIMIT(40, attack_ten_thousand_idle_connections_cost_512_bytes_each_epoll_et)
{
    hold_idle(&serve_epoll_et, 10000, 512);
}

TEST_LIMIT(40, attack_ten_thousand_idle_connections_cost_512_bytes_each_uring)
{
    hold_idle(&serve_uring, 10000, 512);
}

TEST_LIMIT(40, attack_ten_thousand_idle_connections_cost_512_bytes_each_poll)
{
    hold_idle(&serve_poll, 10000, 512);
}

/* Over TLS each costs a handshake, and what OpenSSL keeps: so they are a thousand; with WEFT_SOAK set ten thousand. */
static void hold_secure_idle(const serve_kind *kind)
{
    hold_idle(kind, getenv("WEFT_SOAK") != NULL ? 10000 : 1000, SECURE_EACH);
}

TEST_LIMIT(120, attack_a_thousand_idle_connections_over_tls_epoll)
{
    hold_secure_idle(&serve_tls_epoll);
}

TEST_LIMIT(120, attack_a_thousand_idle_connections_over_tls_uring)
{
    hold_secure_idle(&serve_tls_uring);
}
