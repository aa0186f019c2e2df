/* connect_test.c - connecting to hosts with several addresses, some of which do not answer; where from; how long a
 * silent peer is borne. */
#include "io/io_support.h"

#include <weft/co.h>

#include "io/stream.h"

#include <netinet/tcp.h>
#include <stdio.h>
#include <unistd.h>

/* The n-th loopback address of this process's own: who listens there on a port that is free at another of them meets
 * nobody else's sockets, whose tests run beside this one at 127.0.0.1. */
static const char *own(unsigned n)
{
    static char text[10][16];
    unsigned id = (unsigned)getpid();
    snprintf(text[n], sizeof text[n], "127.%u.%u.%u", 1 + (id >> 8) % 254, id % 256, n);
    return text[n];
}

static weft_address address(const char *host, unsigned port)
{
    weft_address a;
    CHECK_OK(weft_address_of(&a, host, port));
    return a;
}

static weft_stream *listen_at(const char *host, unsigned port, unsigned backlog)
{
    weft_stream *l;
    CHECK_OK(weft_tcp_listen(&l, host, port, &(weft_tcp_options){.backlog = backlog}));
    return l;
}

enum {
    FILLERS = 8
};

/* An address that does not answer: its queue is full, and the kernel drops who knocks. */
typedef struct deaf {
    weft_stream *listener, *fillers[FILLERS];
    int n;
} deaf;

static void make_deaf(deaf *d, const char *host, unsigned port)
{
    *d = (deaf){.listener = listen_at(host, port, 1)};
    port = weft_stream_port(d->listener);
    while (d->n < FILLERS && weft_tcp_connect(&d->fillers[d->n], host, port, NULL, weft_in_ms(50)) == 0)
        d->n++;
    CHECK(d->n < FILLERS);
}

static void end_deaf(deaf *d)
{
    while (d->n > 0)
        weft_stream_close(d->fillers[--d->n]);
    weft_stream_close(d->listener);
}

static int connect_any(const weft_address *addresses, unsigned n, weft_until until)
{
    return weft__io_tcp_connect(addresses, n, &(weft_tcp_options){0}, until);
}

static void reaches(int fd, const weft_address *expected)
{
    weft_address peer;
    CHECK(fd >= 0);
    CHECK_OK(weft__sys_peer(fd, &peer));
    CHECK(weft_address_equal(expected, &peer));
    close(fd);
}

/* The next one's turn comes long before the deadline, and what it reaches is taken. */
TEST_WAITERS_LIMIT(30, connect_goes_on_beside_an_address_that_does_not_answer)
{
    deaf d;
    make_deaf(&d, own(1), 0);
    unsigned port = weft_stream_port(d.listener);
    weft_stream *l = listen_at(own(2), port, 0);
    weft_address to[] = {address(own(1), port), address(own(2), port)};
    int64_t before = weft_now();
    reaches(connect_any(to, 2, weft_in_ms(60000)), &to[1]);
    CHECK_BETWEEN(250, 30000, (weft_now() - before) / WEFT_MS);
    weft_stream_close(l);
    end_deaf(&d);
}

/* Who refuses costs no time, the last error is told, and so is the deadline. */
TEST_WAITERS_LIMIT(30, connect_follows_a_refusal_at_once)
{
    deaf d;
    weft_stream *l = listen_at(own(3), 0, 0);
    unsigned port = weft_stream_port(l);
    weft_address to[] = {address(own(1), port), address(own(2), port), address(own(3), port)};
    int64_t before;
    do { /* until nobody else had the processor meanwhile */
        before = weft_now();
        reaches(connect_any(to, 3, io_patience()), &to[2]);
    } while (weft_now() - before > 240 * WEFT_MS);
    CHECK_ERR(-ECONNREFUSED, connect_any(to, 2, io_patience()));
    reaches(connect_any(to, 3, WEFT_NOW), &to[2]); /* what needs no waiting is done */
    make_deaf(&d, own(1), port);
    CHECK_ERR(-ETIMEDOUT, connect_any(to, 1, weft_in_ms(20)));
    CHECK_ERR(-ETIMEDOUT, connect_any(to, 2, weft_in_ms(20)));
    end_deaf(&d);
    weft_stream_close(l);
}

/* One of the other family comes second, wherever it stood. */
TEST_WAITERS_LIMIT(30, connect_tries_the_families_in_turn)
{
    deaf d;
    make_deaf(&d, own(1), 0);
    unsigned port = weft_stream_port(d.listener);
    weft_stream *six, *four = listen_at(own(2), port, 0);
    if (weft_tcp_listen(&six, "::1", port, NULL) < 0)
        SKIP("no IPv6 here");
    weft_address to[] = {address(own(1), port), address(own(2), port), address("::1", port)};
    reaches(connect_any(to, 3, io_patience()), &to[2]);
    weft_stream_close(six);
    weft_stream_close(four);
    end_deaf(&d);
}

static int connects(void *arg)
{
    weft_address *to = arg;
    CHECK_ERR(-ECANCELED, connect_any(to, 2, WEFT_FOREVER));
    return 0;
}

TEST_IN(CO, connect_of_several_is_cancelled)
{
    deaf d[2];
    weft_co *co;
    make_deaf(&d[0], own(1), 0);
    unsigned port = weft_stream_port(d[0].listener);
    make_deaf(&d[1], own(2), port);
    weft_address to[] = {address(own(1), port), address(own(2), port)};
    CHECK_OK(weft_co_start(&co, connects, to, NULL));
    weft_sleep(weft_in_ms(300)); /* both are under way, or the case is an easier one */
    weft_co_cancel(co);
    CHECK_OK(weft_co_join(co, NULL, io_patience()));
    end_deaf(&d[0]);
    end_deaf(&d[1]);
}

TEST_WAITERS(connect_comes_from_where_it_was_told)
{
    weft_stream *l = listen_at("127.0.0.1", 0, 0), *s, *other;
    unsigned port = weft_stream_port(l);
    char text[WEFT_ADDRESS_MAX], from[WEFT_ADDRESS_MAX];
    CHECK_OK(weft_tcp_connect(&s, NULL, port, &(weft_tcp_options){.local = own(9)}, io_patience()));
    CHECK(weft_stream_local(s, text) > 0);
    CHECK(strncmp(text, own(9), strlen(own(9))) == 0 && text[strlen(own(9))] == ':');
    snprintf(from, sizeof from, "%s:%u", own(8), weft_stream_port(s));
    CHECK_OK(weft_tcp_connect(&other, NULL, port, &(weft_tcp_options){.local = from}, io_patience()));
    CHECK(weft_stream_local(other, text) > 0);
    CHECK_STR(from, text);
    weft_stream_close(other);
    weft_stream_close(s);
    CHECK_ERR(-EINVAL, weft_tcp_connect(&s, NULL, port, &(weft_tcp_options){.local = "localhost"}, io_patience()));
    CHECK_ERR(-EADDRNOTAVAIL, weft_tcp_connect(&s, NULL, port, &(weft_tcp_options){.local = "::1"}, io_patience()));
    CHECK_ERR(-EADDRNOTAVAIL,
              weft_tcp_connect(&s, NULL, port, &(weft_tcp_options){.local = "192.0.2.1"}, io_patience()));
    snprintf(from, sizeof from, "127.0.0.1:%u", port);
    CHECK_ERR(-EADDRINUSE, weft_tcp_connect(&s, NULL, port, &(weft_tcp_options){.local = from}, io_patience()));
    weft_stream_close(l);
}

static int option(const weft_stream *s, int level, int name)
{
    int value;
    CHECK_OK(weft__sys_getsockopt(s->fd, level, name, &value));
    return value;
}

/* Both ends have what their options say: the connecting one, and the listener's connections. */
TEST_WAITERS(stream_bears_a_silent_peer_as_long_as_it_was_told)
{
    weft_tcp_options patience = {.keep_idle = 5, .keep_interval = 3, .keep_probes = 200, .unanswered_ms = 12000};
    weft_stream *l, *s[2];
    CHECK_OK(weft_tcp_listen(&l, NULL, 0, &patience));
    CHECK_OK(weft_tcp_connect(&s[0], NULL, weft_stream_port(l), &patience, io_patience()));
    CHECK_OK(weft_stream_accept(&s[1], l, io_patience()));
    for (int i = 0; i < 2; i++) {
        CHECK_INT(1, option(s[i], SOL_SOCKET, SO_KEEPALIVE));
        CHECK_INT(5, option(s[i], IPPROTO_TCP, TCP_KEEPIDLE));
        CHECK_INT(3, option(s[i], IPPROTO_TCP, TCP_KEEPINTVL));
        CHECK_INT(127, option(s[i], IPPROTO_TCP, TCP_KEEPCNT)); /* the most there may be */
        CHECK_INT(12000, option(s[i], IPPROTO_TCP, TCP_USER_TIMEOUT));
        weft_stream_close(s[i]);
    }
    CHECK_OK(weft_tcp_connect(&s[0], NULL, weft_stream_port(l), NULL, io_patience()));
    CHECK_INT(0, option(s[0], SOL_SOCKET, SO_KEEPALIVE));
    CHECK_INT(0, option(s[0], IPPROTO_TCP, TCP_USER_TIMEOUT));
    weft_stream_close(s[0]);
    weft_stream_close(l);
}
