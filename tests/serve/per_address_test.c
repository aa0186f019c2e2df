/* per_address_test.c - no address has more than max_per_address connections, of all loops and processes together; who
 * is turned away for that is counted; and every place comes back, whatever ends the connection. Mission: limits. */
#include "serve/serve_support.h"

#include "base/atomic.h"
#include "serve/per_address.h"
#include "sys/net.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define ONE   "127.0.0.2" /* the crowd */
#define OTHER "127.0.0.3"

/* Each byte is answered with the number of the process. */
static int tell_pid(weft_conn *c, void *arg)
{
    const void *bytes;
    char text[16];
    (void)arg;
    if (weft_conn_fill(c, 0, &bytes, WEFT_FOREVER) <= 0)
        return WEFT_CONN_CLOSE;
    weft_conn_consume(c, 1);
    snprintf(text, sizeof text, "%010d\n", (int)getpid());
    return weft_conn_write(c, text, strlen(text)) < 0 ? WEFT_CONN_CLOSE : WEFT_CONN_IDLE;
}

static size_t say_full(char *text, size_t size, void *arg)
{
    (void)arg;
    return (size_t)snprintf(text, size, "full");
}

static weft_server *serve_few(const serve_kind *kind, unsigned most, weft_server_options o)
{
    o.handler = tell_pid;
    o.on_refuse = say_full;
    o.max_per_address = most;
    o.idle_timeout = -1;
    return serve_start(kind, o);
}

static pid_t ask(int fd)
{
    char text[12] = "";
    client_send(fd, "?", 1);
    client_recv_all(fd, text, 11);
    return atoi(text);
}

/* A client who is answered. */
static int come(weft_server *s, const char *source)
{
    int fd = client_open_from(weft_server_port(s), source);
    CHECK(ask(fd) > 0);
    return fd;
}

/* One who is turned away, in words where he can read them. */
static void be_refused(const serve_kind *kind, weft_server *s, const char *source)
{
    uint64_t before = server_stats(s).refused_address;
    int fd = client_open_from(weft_server_port(s), source);
    if (!kind->tls)
        client_expect(fd, "full");
    client_expect_end(fd);
    client_close(fd);
    CHECK_INT(before + 1, server_stats(s).refused_address);
}

static void check_refused(weft_server *s, uint64_t count)
{
    weft_server_stats stats = server_stats(s);
    CHECK_INT(count, stats.refused_address);
    CHECK_INT(count, stats.refused);
}

/* ---- under every model ---- */

/* Also who stands in line has a place; and an end gives it back, of whatever kind. */
SERVE_TLS_CASE(per_address_the_second_is_turned_away_and_another_client_is_served)
SERVE_CASE(per_address_the_second_is_turned_away_and_another_client_is_served)
{
    weft_server *s = serve_few(kind, 1, (weft_server_options){.processes = kind->processes > 0 ? 3 : 0});
    int fd = come(s, ONE);
    be_refused(kind, s, ONE);
    int other = client_open_from(weft_server_port(s), OTHER);
    be_refused(kind, s, ONE);
    CHECK(ask(fd) > 0); /* he has lost nothing by it */
    client_close(fd);
    CHECK(ask(other) > 0);
    client_close(other);
    wait_open(s, 0);
    fd = come(s, ONE);
    be_refused(kind, s, ONE);
    client_reset(fd);
    wait_open(s, 0);
    fd = come(s, ONE);
    client_finish(fd);
    client_expect_end(fd);
    client_close(fd);
    wait_open(s, 0);
    client_close(come(s, ONE));
    wait_open(s, 0);
    check_refused(s, 3);
    CHECK_INT(5, server_stats(s).accepted);
    serve_stop(s);
}

/* Wherever they are: each loop and process has some of them. */
SERVE_TLS_MANY_CASE(per_address_counts_the_connections_of_all_loops_and_processes)
SERVE_MANY_CASE(per_address_counts_the_connections_of_all_loops_and_processes)
{
    enum {
        MOST = 6,
        ROUNDS = 10
    };
    int fds[MOST];
    weft_server *s = serve_few(kind, MOST, (weft_server_options){0});
    for (int i = 0; i < MOST; i++)
        fds[i] = come(s, ONE);
    for (int i = 0; i < ROUNDS; i++) {
        be_refused(kind, s, ONE);
        int other = come(s, OTHER);
        (i % 2 ? client_close : client_reset)(fds[i % MOST]);
        client_close(other);
        wait_open(s, MOST - 1);
        fds[i % MOST] = come(s, ONE);
        be_refused(kind, s, ONE);
    }
    for (int i = 0; i < MOST; i++)
        client_close(fds[i]);
    wait_open(s, 0);
    check_refused(s, (uint64_t)2 * ROUNDS);
    CHECK_INT(MOST + 2 * ROUNDS, server_stats(s).accepted);
    serve_stop(s);
}

typedef struct settled {
    weft_server *server;
    uint64_t accepted, open;
} settled;

static bool are_settled(void *arg)
{
    const settled *wanted = arg;
    weft_server_stats stats = server_stats(wanted->server);
    return stats.accepted == wanted->accepted && stats.open == wanted->open;
}

/* So many have come, and the others of them have gone. */
static void wait_settled(weft_server *s, uint64_t accepted, uint64_t open)
{
    settled wanted = {s, accepted, open};
    wait_until(are_settled, &wanted, "the end of who made room");
}

/* Who has to make room leaves his place, too. */
SERVE_ALSO_PROCESS(TEST_DEFAULT_LIMIT, per_address_who_makes_room_gives_his_place_back)
SERVE_TLS_ALL_CASE_LIMIT(SERVE_TLS_LIMIT, per_address_who_makes_room_gives_his_place_back)
SERVE_ALL_CASE(per_address_who_makes_room_gives_his_place_back)
{
    enum {
        PLACES = 2,
        ROUNDS = 12
    };
    weft_server *s = serve_few(kind, PLACES, (weft_server_options){.max_connections = PLACES, .threads = 1});
    int fds[PLACES + ROUNDS], n = 0;
    for (; n < PLACES; n++)
        fds[n] = come(s, ONE);
    be_refused(kind, s, ONE); /* whoever would go for him */
    wait_idle(s, PLACES);
    for (int i = 0; i < ROUNDS; i++) { /* each has one at the most when he comes, whoever of them went */
        fds[n++] = come(s, i % 2 == 0 ? OTHER : ONE);
        wait_settled(s, (uint64_t)n, PLACES);
        wait_idle(s, PLACES);
    }
    CHECK_INT(ROUNDS, server_stats(s).shed);
    for (int i = 0; i < n; i++)
        client_close(fds[i]);
    wait_open(s, 0);
    for (int i = 0; i < PLACES; i++)
        fds[i] = come(s, ONE);
    be_refused(kind, s, ONE);
    for (int i = 0; i < PLACES; i++)
        client_close(fds[i]);
    wait_open(s, 0);
    check_refused(s, 2);
    serve_stop(s);
}

/* ---- a process dies ---- */

static bool is_gone(void *pid)
{
    return kill(*(pid_t *)pid, 0) < 0 && errno == ESRCH;
}

/* Its clients' places come back, all of them, and no others. */
static void kill_one(const serve_kind *kind, unsigned most)
{
    enum {
        MOST = 8
    };
    int fds[MOST];
    weft_server *s = serve_few(kind, most, (weft_server_options){0});
    for (int round = 0; round < 3; round++) {
        pid_t pids[MOST], victim;
        unsigned lost = 0;
        for (unsigned i = 0; i < most; i++) {
            fds[i] = client_open_from(weft_server_port(s), ONE);
            pids[i] = ask(fds[i]);
        }
        be_refused(kind, s, ONE);
        victim = pids[round % (int)most];
        CHECK_INT(0, kill(victim, SIGKILL));
        for (unsigned i = 0; i < most; i++) {
            if (pids[i] != victim)
                continue;
            client_expect_end(fds[i]);
            client_close(fds[i]);
            fds[i] = -1;
            lost++;
        }
        wait_until(is_gone, &victim, "the end of the process");
        wait_open(s, most - lost);
        for (unsigned i = 0; i < most; i++)
            if (fds[i] < 0)
                fds[i] = come(s, ONE);
        be_refused(kind, s, ONE);
        for (unsigned i = 0; i < most; i++)
            client_close(fds[i]);
        wait_open(s, 0);
    }
    check_refused(s, 6);
    serve_stop(s);
}

#define KILL_CASE(name, most)                                                                                          \
    TEST(per_address_places_of_a_killed_process_come_back_##name)                                                      \
    {                                                                                                                  \
        kill_one(&serve_##name, most);                                                                                 \
    }
KILL_CASE(process, 4)
KILL_CASE(prefork, 1)
KILL_CASE(forked_pool, 8)
KILL_CASE(forked_epoll, 8)
KILL_CASE(tls_process, 4)
KILL_CASE(tls_prefork, 1)
KILL_CASE(tls_forked_pool, 8)
KILL_CASE(tls_forked_epoll, 8)

/* ---- whose connection it is ---- */

/* An IPv6 socket has IPv4 clients, too, who are not all of one network. */
SERVE_HERE_CASE(per_address_of_ipv6_tells_ipv4_clients_apart)
{
    weft_server *s = serve_few(kind, 2, (weft_server_options){.host = "::"});
    int fds[] = {come(s, ONE), come(s, ONE), come(s, OTHER)};
    be_refused(kind, s, ONE);
    client_close(come(s, OTHER));
    for (int i = 0; i < 3; i++)
        client_close(fds[i]);
    wait_open(s, 0);
    serve_stop(s);
}

static uint64_t client_of(const char *host, unsigned port)
{
    weft__address a;
    CHECK_OK(weft__address_parse(&a, host, port));
    return weft__address_client(&a, 7);
}

TEST(per_address_a_client_is_an_ipv4_address_or_a_network_of_ipv6)
{
    CHECK(client_of("192.0.2.1", 1) == client_of("192.0.2.1", 2));
    CHECK(client_of("192.0.2.1", 1) == client_of("::ffff:192.0.2.1", 1));
    CHECK(client_of("192.0.2.1", 1) != client_of("192.0.2.2", 1));
    CHECK(client_of("::ffff:192.0.2.1", 1) != client_of("::ffff:192.0.2.2", 1));
    CHECK(client_of("2001:db8:0:1::1", 1) == client_of("2001:db8:0:1:ffff::2", 9));
    CHECK(client_of("2001:db8:0:1::1", 1) != client_of("2001:db8:0:2::1", 1));
}

TEST(per_address_clients_of_unix_sockets_are_not_limited)
{
    int ends[2];
    uint32_t place;
    weft__per_address *p = weft__per_address_new(1, 1);
    CHECK_INT(0, socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    for (int i = 0; i < 3; i++) {
        CHECK(weft__per_address_enter(p, 0, ends[0], &place));
        CHECK_INT(0, place);
        weft__per_address_leave(p, 0, place);
    }
    close(ends[0]);
    close(ends[1]);
    weft__per_address_free(p);
}

/* ---- processes that count at the same time ---- */

enum {
    PARTS = 4,
    LIMIT = 1,
    TURNS = 50000
};

typedef struct together {
    uint32_t in;    /* atomic: who is in, as each says after he has come and before he goes */
    uint32_t most;  /* atomic */
    uint32_t turns; /* atomic */
} together;

static void come_and_go(weft__per_address *p, unsigned part, int fd, together *t, bool for_ever)
{
    for (int i = 0; i < TURNS || for_ever; i++) {
        uint32_t place, in, most = load_seq_cst(&t->most);
        if (!weft__per_address_enter(p, part, fd, &place))
            continue;
        in = for_ever ? 0 : add_seq_cst(&t->in, 1) + 1;
        while (in > most && !cas_seq_cst(&t->most, &most, in)) {
        }
        add_seq_cst(&t->turns, 1);
        if (!for_ever)
            sub_seq_cst(&t->in, 1);
        weft__per_address_leave(p, part, place);
    }
    _exit(0);
}

static bool has_turned(void *arg)
{
    return load_seq_cst((uint32_t *)arg) > 1000;
}

/* Some come and go; one of them is killed at whatever moment. None is ever in beyond the limit, and afterwards there
 * are as many places as before. */
TEST_LIMIT(60, per_address_counts_are_exact_also_when_one_is_killed)
{
    together *t = test_shared(sizeof *t);
    weft__per_address *p = weft__per_address_new(LIMIT, PARTS);
    weft_server *s = serve_start(&serve_thread, (weft_server_options){.handler = tell_pid});
    int fd = client_open(weft_server_port(s)); /* a socket that has a peer */
    uint32_t places[LIMIT], none;
    pid_t pids[PARTS];
    int status;
    for (int round = 0; round < 10; round++) {
        store_seq_cst(&t->turns, 0);
        for (unsigned i = 0; i < PARTS; i++) {
            CHECK((pids[i] = fork()) >= 0);
            if (pids[i] == 0)
                come_and_go(p, i, fd, t, i == 0);
        }
        wait_until(has_turned, &t->turns, "turns");
        CHECK_INT(0, kill(pids[0], SIGKILL));
        CHECK_INT(pids[0], waitpid(pids[0], &status, 0));
        weft__per_address_bury(p, 0);
        for (unsigned i = 1; i < PARTS; i++)
            CHECK(waitpid(pids[i], &status, 0) == pids[i] && status == 0);
        CHECK(load_seq_cst(&t->most) <= LIMIT);
        for (unsigned i = 0; i < LIMIT; i++)
            CHECK(weft__per_address_enter(p, i, fd, &places[i]) && places[i] != 0);
        CHECK(!weft__per_address_enter(p, 0, fd, &none));
        CHECK(!weft__per_address_enter(p, PARTS - 1, fd, &none));
        for (unsigned i = 0; i < LIMIT; i++)
            weft__per_address_leave(p, i, places[i]);
    }
    client_close(fd);
    serve_stop(s);
    weft__per_address_free(p);
}

typedef struct race {
    uint32_t come;      /* atomic: to the begin of a round, and to its end */
    uint32_t in[TURNS]; /* atomic */
} race;

static void meet(race *r, uint32_t until)
{
    add_seq_cst(&r->come, 1);
    for (int spins = 0; load_seq_cst(&r->come) < until; spins++)
        if (spins > 1000)
            sched_yield();
}

/* Those who come at the same moment never all step back, nor do all stay: one has the last place. */
TEST_LIMIT(60, per_address_the_last_place_is_taken_by_one_of_those_who_come_together)
{
    race *r = test_shared(sizeof *r);
    weft__per_address *p = weft__per_address_new(1, 2);
    weft_server *s = serve_start(&serve_thread, (weft_server_options){.handler = tell_pid});
    int fd = client_open(weft_server_port(s)), status;
    pid_t pid = fork();
    unsigned part = pid == 0;
    CHECK(pid >= 0);
    for (uint32_t i = 0; i < TURNS; i++) {
        uint32_t place;
        meet(r, 4 * i + 2);
        for (uint32_t wait = part == 0 ? 200 : i % 400; wait > 0; wait--) /* one of them a little before the other */
            (void)load_seq_cst(&r->come);
        bool in = weft__per_address_enter(p, part, fd, &place);
        add_seq_cst(&r->in[i], in);
        meet(r, 4 * i + 4);
        if (in)
            weft__per_address_leave(p, part, place);
    }
    if (pid == 0)
        _exit(0);
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    for (uint32_t i = 0; i < TURNS; i++)
        CHECK_INT(1, r->in[i]);
    client_close(fd);
    serve_stop(s);
    weft__per_address_free(p);
}

TEST(per_address_has_room_for_as_many_processes_as_there_may_be)
{
    weft__per_address *p = weft__per_address_new(1, 1024);
    CHECK(p != NULL);
    weft__per_address_free(p);
}
