/* datagram_test.c - UDP and Unix datagrams in a thread and in coroutines over every back end. S001-11 to S001-15,
 * S001-18, S001-38, X-06. */
#include "io/io_support.h"

#include <weft/co.h>
#include <weft/datagram.h>

#include "base/atomic.h"

#include <fcntl.h>
#include <net/if.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>

static weft_datagram *udp(const char *host, const weft_datagram_options *options)
{
    weft_datagram *d;
    int err = weft_udp_open(&d, host, 0, options);
    if (err == -EADDRNOTAVAIL || err == -EAFNOSUPPORT)
        SKIP("this machine has no IPv6");
    CHECK_OK(err);
    CHECK(weft_datagram_port(d) > 0);
    return d;
}

static weft_datagram *connected_to(weft_datagram *d, const weft_datagram_options *options)
{
    weft_datagram *c;
    weft_address a;
    char host[WEFT_ADDRESS_MAX];
    CHECK_OK(weft_datagram_local(d, &a));
    weft_address_host(&a, host);
    CHECK_OK(weft_udp_connect(&c, host, weft_datagram_port(d), options));
    return c;
}

/* S001-17, as the tutorial's server answers, for 20 datagrams. */
static int thanks(void *arg)
{
    weft_datagram *d = arg;
    char buf[1000];
    for (int i = 0; i < 20; i++) {
        weft_address from;
        ssize_t n = weft_datagram_recv(d, buf, sizeof buf, &from, io_patience());
        CHECK_INT(i, n);
        CHECK_INT(6, weft_datagram_send(d, "Thanks", 6, &from, io_patience()));
    }
    return 0;
}

static void ask(weft_datagram *d, const weft_address *to)
{
    char buf[1000] = {0};
    for (size_t i = 0; i < 20; i++) { /* one of 0 bytes as well */
        weft_address from;
        CHECK_INT(i, weft_datagram_send(d, buf, i, to, io_patience()));
        CHECK_INT(6, weft_datagram_recv(d, buf, sizeof buf, &from, io_patience()));
        CHECK_MEM("Thanks", buf, 6);
        if (to != NULL)
            CHECK_INT(1, weft_address_equal(to, &from));
    }
}

TEST_WAITERS(udp_question_and_answer)
{
    weft_datagram *server = udp("0.0.0.0", NULL), *client = udp("", NULL);
    weft_address to;
    CHECK_OK(weft_address_of(&to, "127.0.0.1", weft_datagram_port(server)));
    test_spawn(t, thanks, server);
    ask(client, &to);
    test_join(t);
    weft_datagram_close(client);
    weft_datagram_close(server);
    weft_datagram_close(NULL);
}

TEST_WAITERS(udp_connected_question_and_answer)
{
    weft_datagram *server = udp("localhost", NULL), *client = connected_to(server, NULL);
    weft_address a, b;
    CHECK_OK(weft_datagram_peer(client, &a));
    CHECK_OK(weft_datagram_local(server, &b));
    CHECK_INT(1, weft_address_equal(&a, &b));
    CHECK_ERR(-ENOTCONN, weft_datagram_peer(server, &a));
    test_spawn(t, thanks, server);
    ask(client, NULL);
    test_join(t);
    weft_datagram_close(client);
    weft_datagram_close(server);
}

/* S001-34: also where a poller has looked at the socket. */
TEST_WAITERS(udp_port_is_free_after_the_close)
{
    char byte;
    weft_datagram *d = udp("127.0.0.1", NULL);
    unsigned port = weft_datagram_port(d);
    for (int i = 0; i < 20; i++) {
        CHECK_ERR(-ETIMEDOUT, weft_datagram_recv(d, &byte, 1, NULL, weft_in_ms(1)));
        weft_datagram_close(d);
        CHECK_OK(weft_udp_open(&d, "127.0.0.1", port, NULL));
    }
    weft_datagram_close(d);
}

TEST_WAITERS(udp_over_ipv6)
{
    weft_datagram *server = udp("::1", NULL), *client = udp("::1", NULL);
    weft_address to;
    CHECK_OK(weft_datagram_local(server, &to));
    test_spawn(t, thanks, server);
    ask(client, &to);
    test_join(t);
    weft_datagram_close(client);
    weft_datagram_close(server);
}

/* Both ways between an IPv4 socket and one of every address; addresses are as IPv4 on both. */
TEST_WAITERS(udp_of_both_families)
{
    weft_datagram *server = udp("::", NULL), *client = udp("127.0.0.1", NULL);
    weft_address to, from;
    char byte;
    CHECK_OK(weft_address_of(&to, "127.0.0.1", weft_datagram_port(server)));
    test_spawn(t, thanks, server);
    ask(client, &to);
    test_join(t);
    CHECK_INT(1, weft_datagram_send(client, "x", 1, &to, io_patience()));
    CHECK_INT(1, weft_datagram_recv(server, &byte, 1, &from, io_patience()));
    CHECK_INT(AF_INET, from.any.sa_family);
    weft_datagram_item many[3] = {{"a", 1, from}, {"b", 1, from}, {"c", 1, from}};
    CHECK_INT(3, weft_datagram_send_many(server, many, 3, io_patience()));
    for (int i = 0; i < 3; i++)
        CHECK_INT(1, weft_datagram_recv(client, &byte, 1, NULL, io_patience()));
    CHECK_OK(weft_address_of(&to, "::1", 9));
    CHECK_ERR(-EAFNOSUPPORT, weft_datagram_send(client, "x", 1, &to, WEFT_NOW));
    weft_datagram_close(client);
    weft_datagram_close(server);
}

static void unix_question_and_answer(test *t, const char *name)
{
    weft_datagram *server, *client, *stranger;
    weft_address to;
    CHECK_OK(weft_unix_datagram_open(&server, name, NULL));
    CHECK_OK(weft_unix_datagram_connect(&client, name, NULL));
    test_spawn(t, thanks, server);
    ask(client, NULL);
    test_join(t);
    CHECK_OK(weft_unix_datagram_open(&stranger, NULL, NULL));
    CHECK_OK(weft_address_unix(&to, name));
    test_spawn(t, thanks, server);
    ask(stranger, &to);
    test_join(t);
    weft_datagram_close(stranger);
    weft_datagram_close(client);
    weft_datagram_close(server);
}

TEST_WAITERS(unix_datagram_question_and_answer)
{
    char name[200];
    snprintf(name, sizeof name, "%s/socket", test_dir());
    unix_question_and_answer(t, name);
    CHECK(access(name, F_OK) < 0);
    snprintf(name, sizeof name, "@weft-test-%ld", (long)getpid());
    unix_question_and_answer(t, name);
}

TEST_WAITERS(unix_datagram_errors_have_names)
{
    weft_datagram *d, *pair[2];
    char name[200], byte = 0;
    snprintf(name, sizeof name, "%s/socket", test_dir());
    CHECK_ERR(-ENOENT, weft_unix_datagram_connect(&d, name, NULL));
    weft_stream *l;
    CHECK_OK(weft_unix_listen(&l, name, NULL));
    CHECK_ERR(-EPROTOTYPE, weft_unix_datagram_connect(&d, name, NULL));
    CHECK_ERR(-EADDRINUSE, weft_unix_datagram_open(&d, name, NULL));
    weft_stream_close(l);
    CHECK_OK(weft_unix_datagram_open(&d, name, NULL));
    CHECK_ERR(-ENOTCONN, weft_datagram_send(d, "x", 1, NULL, WEFT_NOW));
    CHECK_ERR(-EINVAL, weft_datagram_multicast(d, 1, 1, NULL));
    weft_datagram_close(d);
    CHECK_OK(weft_unix_datagram_pair(pair));
    CHECK_INT(1, weft_datagram_send(pair[0], "x", 1, NULL, io_patience()));
    weft_address from;
    CHECK_INT(1, weft_datagram_recv(pair[1], &byte, 1, &from, io_patience()));
    CHECK_INT(0, from.size);
    weft_datagram_close(pair[0]);
    CHECK_ERR(-ECONNREFUSED, weft_datagram_send(pair[1], "x", 1, NULL, io_patience())); /* S001-29: no signal */
    weft_datagram_close(pair[1]);
}

TEST_WAITERS(datagram_recv_times_out_and_goes_on)
{
    weft_datagram *server = udp(NULL, NULL), *client = connected_to(server, NULL);
    char byte;
    for (int i = 0; i < 3; i++) {
        CHECK_ERR(-ETIMEDOUT, weft_datagram_recv(server, &byte, 1, NULL, weft_in_ms(20)));
        CHECK_ERR(-ETIMEDOUT, weft_datagram_recv(server, &byte, 1, NULL, WEFT_NOW)); /* S001-112, S001-113 */
        CHECK_INT(1, weft_datagram_send(client, "x", 1, NULL, WEFT_NOW));
        CHECK_INT(1, weft_datagram_recv(server, &byte, 1, NULL, io_patience()));
    }
    weft_datagram_close(client);
    weft_datagram_close(server);
}

/* S001-13, S001-38: boundaries are kept, and what is cut off is told. */
/* A look without waiting, when something has come of which the poller has not told yet. */
static void looks_without_waiting(const weft_datagram_options *options)
{
    weft_datagram *d = udp(NULL, options);
    weft_address at;
    char byte;
    CHECK_OK(weft_datagram_local(d, &at));
    for (int i = 0; i < 3; i++) {
        CHECK_ERR(-ETIMEDOUT, weft_datagram_recv(d, &byte, 1, NULL, weft_in_ms(1)));
        CHECK_INT(1, weft_datagram_send(d, "x", 1, &at, io_patience()));
        CHECK_INT(1, weft_datagram_recv(d, &byte, 1, NULL, WEFT_NOW));
        CHECK_ERR(-ETIMEDOUT, weft_datagram_recv(d, &byte, 1, NULL, WEFT_NOW));
    }
    weft_datagram_close(d);
}

TEST_WAITERS(datagram_that_has_just_come_is_there_without_waiting)
{
    looks_without_waiting(NULL);
    looks_without_waiting(&(weft_datagram_options){.gather = 1});
}

TEST_WAITERS(datagram_too_large_for_the_room_is_told)
{
    weft_datagram *server = udp(NULL, NULL), *client = connected_to(server, NULL);
    char buf[8], part[3];
    CHECK_INT(8, weft_datagram_send(client, "12345678", 8, NULL, io_patience()));
    CHECK_INT(2, weft_datagram_send(client, "ab", 2, NULL, io_patience()));
    CHECK_ERR(-EMSGSIZE, weft_datagram_recv(server, part, 3, NULL, io_patience()));
    CHECK_MEM("123", part, 3);
    CHECK_INT(2, weft_datagram_recv(server, buf, 8, NULL, io_patience()));
    CHECK_MEM("ab", buf, 2);
    CHECK_INT(8, weft_datagram_send(client, "12345678", 8, NULL, io_patience()));
    weft_datagram_item item = {.data = part, .size = 3};
    CHECK_INT(1, weft_datagram_recv_many(server, &item, 1, io_patience()));
    CHECK_INT(8, item.size);
    char *large = calloc(1, 70000);
    CHECK_ERR(-EMSGSIZE, weft_datagram_send(client, large, 70000, NULL, io_patience()));
    CHECK_INT(65507, weft_datagram_send(client, large, 65507, NULL, io_patience()));
    CHECK_INT(65507, weft_datagram_recv(server, large, 70000, NULL, io_patience()));
    free(large);
    weft_datagram_close(client);
    weft_datagram_close(server);
}

/* From now on d hears from this port only: for all others nobody listens at its own, which it keeps all the same, so
 * that nobody else can take it meanwhile. */
static void hear_only(weft_datagram *d, unsigned port)
{
    weft_address a;
    CHECK_OK(weft_datagram_local(d, &a));
    a.in.sin_port = htons((uint16_t)port);
    CHECK_INT(0, connect(weft_datagram_fd(d), &a.any, a.size));
}

/* Send until the refusal has come: the kernel says so a limited number of times a second, to all programs together. */
static void be_refused(weft_datagram *client)
{
    weft_until patience = io_patience();
    ssize_t n;
    char byte;
    do {
        CHECK(weft_now() < patience.at);
        n = weft_datagram_send(client, "x", 1, NULL, io_patience());
        if (n == 1)
            n = weft_datagram_recv(client, &byte, 1, NULL, weft_in_ms(100));
    } while (n == -ETIMEDOUT);
    CHECK_ERR(-ECONNREFUSED, n);
    while ((n = weft_datagram_recv(client, &byte, 1, NULL, WEFT_NOW)) == -ECONNREFUSED) {
    }
    CHECK_ERR(-ETIMEDOUT, n);
}

/* A refusal is the result of a later call, and the socket goes on. */
TEST_WAITERS(udp_connected_is_told_that_nobody_listens)
{
    weft_datagram *server = udp(NULL, NULL), *client = connected_to(server, NULL);
    char byte;
    hear_only(server, 9);
    be_refused(client);
    hear_only(server, weft_datagram_port(client));
    CHECK_INT(1, weft_datagram_send(client, "x", 1, NULL, io_patience()));
    CHECK_INT(1, weft_datagram_recv(server, &byte, 1, NULL, io_patience()));
    weft_datagram_close(server);
    weft_datagram_close(client);
}

/* A refusal that comes while a receiver waits does not keep later ones awake. */
TEST_WAITERS(udp_connected_waits_after_a_refusal)
{
    weft_datagram *server = udp(NULL, NULL), *client = connected_to(server, NULL);
    char byte;
    hear_only(server, 9);
    for (int i = 0; i < 3; i++) {
        CHECK_ERR(-ETIMEDOUT, weft_datagram_recv(client, &byte, 1, NULL, weft_in_ms(10)));
        be_refused(client);
        CHECK_ERR(-ETIMEDOUT, weft_datagram_recv(client, &byte, 1, NULL, weft_in_ms(10)));
    }
    hear_only(server, weft_datagram_port(client));
    CHECK_INT(1, weft_datagram_send(client, "x", 1, NULL, io_patience()));
    CHECK_INT(1, weft_datagram_recv(server, &byte, 1, NULL, io_patience()));
    CHECK_INT(1, weft_datagram_send(server, "y", 1, NULL, io_patience()));
    CHECK_INT(1, weft_datagram_recv(client, &byte, 1, NULL, io_patience()));
    weft_datagram_close(server);
    weft_datagram_close(client);
}

/* ---- many ---- */

enum {
    MANY = 300
};

/* Sizes with runs of equals, smaller last ones and empty ones. */
static size_t size_of(size_t i)
{
    return i % 50 == 49 ? 0 : i % 10 == 9 ? 100 : 100 + i / 100 * 400;
}

static void many_arrive(const weft_datagram_options *sending, const weft_datagram_options *receiving,
                        unsigned at_a_time)
{
    static char out[MANY][1000], in[MANY][1000];
    weft_datagram_item sent[MANY], got[MANY];
    weft_datagram *server = udp(NULL, receiving), *client = connected_to(server, sending);
    weft_address from;
    CHECK_OK(weft_datagram_local(client, &from));
    for (size_t round = 0; round < 2; round++) {
        for (size_t i = 0; i < MANY; i++) {
            io_pattern(out[i], size_of(i), i);
            sent[i] = (weft_datagram_item){.data = out[i], .size = size_of(i)};
            got[i] = (weft_datagram_item){.data = in[i], .size = sizeof in[i]};
            if (round == 1) /* to an address that is given, in the first round to that of the connection */
                CHECK_OK(weft_datagram_local(server, &sent[i].address));
        }
        unsigned received = 0;
        for (unsigned i = 0; i < MANY; i += 100) { /* little enough for any receive buffer */
            CHECK_INT(100, weft_datagram_send_many(client, sent + i, 100, io_patience()));
            while (received < i + 100) {
                unsigned want = i + 100 - received < at_a_time ? i + 100 - received : at_a_time;
                int n = weft_datagram_recv_many(server, got + received, want, io_patience());
                CHECK_BETWEEN(1, want, n);
                received += (unsigned)n;
            }
        }
        for (size_t i = 0; i < MANY; i++) {
            CHECK_INT(size_of(i), got[i].size);
            io_check_pattern(in[i], size_of(i), i);
            CHECK_INT(1, weft_address_equal(&from, &got[i].address));
        }
    }
    CHECK_ERR(-ETIMEDOUT, weft_datagram_recv(server, in[0], 1, NULL, WEFT_NOW));
    CHECK_INT(0, weft_datagram_send_many(client, sent, 0, WEFT_NOW));
    CHECK_INT(0, weft_datagram_recv_many(server, got, 0, WEFT_NOW));
    weft_datagram_close(client);
    weft_datagram_close(server);
}

static const weft_datagram_options gathers = {.gather = 1, .recv_buffer = 200000},
                                   alone = {.no_segmentation = 1, .recv_buffer = 200000},
                                   plain = {.recv_buffer = 200000};

TEST_WAITERS(datagrams_by_the_batch)
{
    many_arrive(&plain, &plain, 1000);
    many_arrive(&plain, &plain, 7);
    many_arrive(&alone, &plain, 64);
}

TEST_WAITERS(datagrams_gathered)
{
    many_arrive(&plain, &gathers, 1000);
    many_arrive(&plain, &gathers, 1);
    many_arrive(&alone, &gathers, 64);
}

TEST_WAITERS(datagram_gathered_takes_one_at_a_time)
{
    weft_datagram *server = udp(NULL, &gathers), *client = connected_to(server, NULL);
    weft_datagram_item items[3] = {{"abc", 3, {0}}, {"def", 3, {0}}, {"g", 1, {0}}};
    char buf[10];
    CHECK_INT(3, weft_datagram_send_many(client, items, 3, io_patience()));
    CHECK_INT(3, weft_datagram_recv(server, buf, 10, NULL, io_patience()));
    CHECK_MEM("abc", buf, 3);
    CHECK_ERR(-EMSGSIZE, weft_datagram_recv(server, buf, 2, NULL, io_patience()));
    CHECK_MEM("de", buf, 2);
    CHECK_INT(1, weft_datagram_recv(server, buf, 10, NULL, io_patience()));
    CHECK_ERR(-ETIMEDOUT, weft_datagram_recv(server, buf, 10, NULL, WEFT_NOW));
    CHECK_INT(0, weft_datagram_send(client, "", 0, NULL, io_patience()));
    CHECK_INT(0, weft_datagram_recv(server, buf, 10, NULL, io_patience()));
    weft_datagram_close(client);
    weft_datagram_close(server);
}

/* Whatever the kernel says to a message of several parts, all of them go. */
TEST(datagrams_go_alone_where_segments_are_refused)
{
    static const int refusals[] = {-EINVAL, -EMSGSIZE, -EIO, -EOPNOTSUPP};
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        weft_datagram *server = udp(NULL, NULL), *client = connected_to(server, NULL);
        weft_datagram_item items[10];
        char buf[10];
        for (int j = 0; j < 10; j++)
            items[j] = (weft_datagram_item){.data = "12345", .size = 5};
        weft__sys_plan(WEFT__SYS_SEND, 1, 1, refusals[i], 0);
        CHECK_INT(10, weft_datagram_send_many(client, items, 10, io_patience()));
        weft__sys_plan_none();
        for (int j = 0; j < 10; j++)
            CHECK_INT(5, weft_datagram_recv(server, buf, 10, NULL, io_patience()));
        weft_datagram_close(client);
        weft_datagram_close(server);
    }
}

/* An error after the first ones ends the batch and is told by the next. */
TEST(datagrams_before_an_error_are_counted)
{
    weft_datagram *server = udp(NULL, NULL), *client = connected_to(server, NULL);
    weft_datagram_item items[3] = {{"a", 1, {0}}, {"b", 1, {0}}, {"c", 70000, {0}}};
    char *large = calloc(1, 70000);
    items[2].data = large;
    CHECK_INT(2, weft_datagram_send_many(client, items, 3, io_patience()));
    CHECK_ERR(-EMSGSIZE, weft_datagram_send_many(client, items + 2, 1, io_patience()));
    free(large);
    weft_datagram_close(client);
    weft_datagram_close(server);
}

/* ---- waiting to send ---- */

static int receive_all(void *arg)
{
    weft_datagram *d = arg;
    char buf[1000];
    for (unsigned i = 0;; i++) {
        ssize_t n = weft_datagram_recv(d, buf, sizeof buf, NULL, io_patience());
        CHECK(n >= 0);
        if (n == 1)
            return 0;
        unsigned number;
        memcpy(&number, buf, sizeof number);
        CHECK_INT(i, number);
    }
}

/* Unix datagrams are not lost: their sender waits. Connected, and not. */
TEST_WAITERS_LIMIT(30, unix_datagram_sender_waits_for_room)
{
    char name[60], data[1000] = {0};
    weft_address to;
    for (int i = 0; i < 2; i++) {
        weft_datagram *server, *client;
        snprintf(name, sizeof name, "@weft-test-%ld-%d", (long)getpid(), i);
        CHECK_OK(weft_address_unix(&to, name));
        CHECK_OK(weft_unix_datagram_open(&server, name, NULL));
        CHECK_OK(weft_unix_datagram_connect(&client, name, NULL));
        unsigned sent = 0;
        ssize_t n;
        do {
            memcpy(data, &sent, sizeof sent);
            n = weft_datagram_send(client, data, sizeof data, i == 0 ? NULL : &to, WEFT_NOW);
        } while (n > 0 && ++sent < 100000);
        CHECK_ERR(-ETIMEDOUT, n);
        CHECK_ERR(-ETIMEDOUT, weft_datagram_send(client, data, sizeof data, i == 0 ? NULL : &to, weft_in_ms(20)));
        test_spawn(t, receive_all, server);
        for (unsigned end = sent + 200; sent < end; sent++) {
            memcpy(data, &sent, sizeof sent);
            CHECK_INT(sizeof data, weft_datagram_send(client, data, sizeof data, i == 0 ? NULL : &to, io_patience()));
        }
        CHECK_INT(1, weft_datagram_send(client, data, 1, NULL, io_patience()));
        test_join(t);
        weft_datagram_close(client);
        weft_datagram_close(server);
    }
}

/* ---- closing, cancelling ---- */

typedef struct victim {
    weft_datagram *d;
    weft__waiter *waiter; /* atomic */
    ssize_t result;
} victim;

static int receive_in_vain(void *arg)
{
    victim *v = arg;
    char byte;
    store_release(&v->waiter, weft__self());
    v->result = weft_datagram_recv(v->d, &byte, 1, NULL, io_patience());
    return 0;
}

static void wait_until_waiting(weft__waiter *const *waiter)
{
    weft__waiter *w;
    while ((w = load_acquire(waiter)) == NULL || load_acquire(&w->word) == NULL)
        weft_sleep(weft_in_ms(1));
}

TEST_WAITERS(datagram_close_ends_the_waits_of_others)
{
    for (int i = 0; i < 4; i++) {
        victim v = {0};
        weft_datagram *pair[2] = {NULL, NULL};
        if (i == 0)
            v.d = udp(NULL, NULL);
        else if (i == 1)
            v.d = udp(NULL, &gathers);
        else if (i == 2)
            CHECK_OK(weft_unix_datagram_open(&v.d, NULL, NULL));
        else {
            CHECK_OK(weft_unix_datagram_pair(pair));
            v.d = pair[0];
        }
        test_spawn(t, receive_in_vain, &v);
        wait_until_waiting(&v.waiter);
        weft_datagram_close(v.d);
        test_join(t);
        CHECK_ERR(-EBADF, v.result);
        weft_datagram_close(pair[1]);
    }
}

TEST_WAITERS(datagram_recv_is_cancelled)
{
    victim v = {.d = udp(NULL, NULL)};
    test_spawn(t, receive_in_vain, &v);
    wait_until_waiting(&v.waiter);
    weft__waiter_cancel(v.waiter);
    test_join(t);
    CHECK_ERR(-ECANCELED, v.result);
    weft_datagram_close(v.d);
}

/* ---- options ---- */

TEST(udp_broadcast_must_be_asked_for)
{
    weft_datagram *d = udp("", NULL);
    weft_address to;
    CHECK_OK(weft_address_of(&to, "255.255.255.255", 9));
    CHECK_ERR(-EACCES, weft_datagram_send(d, "x", 1, &to, WEFT_NOW));
    weft_datagram_close(d);
    d = udp("", &(weft_datagram_options){.broadcast = 1});
    CHECK(weft_datagram_send(d, "x", 1, &to, WEFT_NOW) != -EACCES); /* a machine without a network has other errors */
    weft_datagram_close(d);
}

/* Two members of a group on this host both hear what is sent to it. */
static void group(const char *any, const char *text, const char *interface)
{
    weft_datagram *members[2], *sender = udp(any, NULL);
    weft_datagram_options shares = {.reuse_address = 1};
    weft_address to;
    char byte;
    CHECK_OK(weft_udp_open(&members[0], any, 0, &shares));
    unsigned port = weft_datagram_port(members[0]);
    CHECK_OK(weft_udp_open(&members[1], any, port, &shares));
    int err = weft_datagram_join(members[0], text, interface);
    if (err == -ENODEV || err == -EADDRNOTAVAIL)
        SKIP("this machine has no interface for groups");
    CHECK_OK(err);
    CHECK_ERR(-EADDRINUSE, weft_datagram_join(members[0], text, interface));
    CHECK_OK(weft_datagram_join(members[1], text, interface));
    CHECK_OK(weft_address_of(&to, text, port));
    CHECK_OK(weft_datagram_multicast(sender, 0, 1, interface));
    ssize_t n = weft_datagram_send(sender, "x", 1, &to, io_patience());
    if (n == -ENETUNREACH || n == -EADDRNOTAVAIL)
        SKIP("this machine has no way to groups");
    CHECK_INT(1, n);
    for (int i = 0; i < 2; i++)
        CHECK_INT(1, weft_datagram_recv(members[i], &byte, 1, NULL, io_patience()));
    CHECK_OK(weft_datagram_leave(members[1], text, interface));
    CHECK_ERR(-EADDRNOTAVAIL, weft_datagram_leave(members[1], text, interface));
    CHECK_ERR(-ENODEV, weft_datagram_join(members[0], text, "no-such-interface"));
    CHECK_ERR(-EINVAL, weft_datagram_join(members[0], "127.0.0.1", interface));
    CHECK_ERR(-EINVAL, weft_datagram_join(members[0], "not-a-number", interface));
    CHECK_ERR(-ENODEV, weft_datagram_multicast(sender, 1, 1, "no-such-interface"));
    CHECK_ERR(-EINVAL, weft_datagram_multicast(sender, 256, 1, NULL));
    for (int i = 0; i < 2; i++)
        weft_datagram_close(members[i]);
    weft_datagram_close(sender);
}

TEST(udp_group_is_heard_by_all_members)
{
    group("", "239.255.77.1", "lo");
}

TEST(udp_group_over_ipv6)
{
    group("::", "ff15::7701", NULL);
}

/* Sockets of one kind do not send to addresses of another, by one or by many, and say so with one error. */
TEST(datagram_address_of_another_kind_is_refused)
{
    weft_datagram *d[3];
    weft_address at[3];
    char byte;
    CHECK_OK(weft_unix_datagram_open(&d[0], NULL, NULL));
    d[1] = udp(NULL, NULL);
    d[2] = udp("::1", NULL);
    for (int i = 0; i < 3; i++)
        CHECK_OK(weft_datagram_local(d[i], &at[i]));
    for (int i = 0; i < 3; i++) {
        for (int to = 0; to < 3; to++) {
            weft_datagram_item items[] = {{(char[]){"x"}, 1, at[i]}, {(char[]){"y"}, 1, at[to]}};
            if (to == i || (i == 2 && to == 1)) /* IPv6 may send to IPv4, if not from ::1 */
                continue;
            CHECK_ERR(-EAFNOSUPPORT, weft_datagram_send(d[i], "x", 1, &at[to], WEFT_NOW));
            CHECK_ERR(-EAFNOSUPPORT, weft_datagram_send_many(d[i], items + 1, 1, WEFT_NOW));
            CHECK_INT(1, weft_datagram_send_many(d[i], items, 2, WEFT_NOW));
            CHECK_INT(1, weft_datagram_recv(d[i], &byte, 1, NULL, io_patience()));
        }
    }
    CHECK_ERR(-EINVAL, weft_datagram_join(d[0], "239.1.2.3", NULL));
    CHECK_ERR(-EINVAL, weft_datagram_join(d[1], "ff15::1", NULL));
    for (int i = 0; i < 3; i++)
        weft_datagram_close(d[i]);
}

/* An IPv4 address in the clothes of IPv6 is one. */
TEST(udp_mapped_address_is_sent_to_over_ipv4)
{
    weft_datagram *d = udp(NULL, NULL);
    weft_address to;
    char byte;
    CHECK_OK(weft_address_of(&to, "::ffff:127.0.0.1", weft_datagram_port(d)));
    weft_datagram_item items[] = {{(char[]){"x"}, 1, to}, {(char[]){"y"}, 1, to}};
    CHECK_INT(1, weft_datagram_send(d, "x", 1, &to, io_patience()));
    CHECK_INT(2, weft_datagram_send_many(d, items, 2, io_patience()));
    for (int i = 0; i < 3; i++)
        CHECK_INT(1, weft_datagram_recv(d, &byte, 1, NULL, io_patience()));
    weft_datagram_close(d);
}

/* A socket that is bound is connected, elsewhere, and to nobody. */
static void connects_in_turn(weft_datagram *d, weft_datagram *const others[2])
{
    weft_address at, to[2];
    char byte;
    CHECK_OK(weft_datagram_local(d, &at));
    for (int i = 0; i < 2; i++) {
        CHECK_OK(weft_datagram_local(others[i], &to[i]));
        CHECK_OK(weft_datagram_connect(d, &to[i]));
        weft_address peer;
        CHECK_OK(weft_datagram_peer(d, &peer));
        CHECK(weft_address_equal(&to[i], &peer));
        CHECK_INT(1, weft_datagram_send(d, "x", 1, NULL, io_patience()));
        CHECK_INT(1, weft_datagram_recv(others[i], &byte, 1, NULL, io_patience()));
        CHECK_INT(1, weft_datagram_send(others[i], "y", 1, &at, io_patience()));
        CHECK_INT(1, weft_datagram_recv(d, &byte, 1, NULL, io_patience()));
    }
    CHECK_OK(weft_datagram_connect(d, NULL));
    CHECK_ERR(-ENOTCONN, weft_datagram_peer(d, &to[0]));
    ssize_t n = weft_datagram_send(d, "x", 1, NULL, WEFT_NOW);
    CHECK(n == -EDESTADDRREQ || n == -ENOTCONN);
    CHECK_INT(1, weft_datagram_send(d, "x", 1, &to[1], io_patience()));
    CHECK_INT(1, weft_datagram_recv(others[1], &byte, 1, NULL, io_patience()));
}

TEST_WAITERS(udp_socket_is_connected_later_and_elsewhere)
{
    weft_datagram *d = udp(NULL, NULL), *others[] = {udp(NULL, NULL), udp(NULL, NULL)}, *both;
    weft_address to;
    connects_in_turn(d, others);
    CHECK_OK(weft_address_unix(&to, "@nobody"));
    CHECK_ERR(-EAFNOSUPPORT, weft_datagram_connect(d, &to));
    both = udp("::", NULL); /* has IPv4 peers as well */
    CHECK_OK(weft_datagram_local(others[0], &to));
    CHECK_OK(weft_datagram_connect(both, &to));
    CHECK_OK(weft_datagram_connect(both, NULL));
    weft_datagram_close(both);
    weft_datagram_close(d);
    for (int i = 0; i < 2; i++)
        weft_datagram_close(others[i]);
}

TEST_WAITERS(unix_datagram_socket_is_connected_later_and_elsewhere)
{
    weft_datagram *d, *others[2];
    weft_address gone;
    CHECK_OK(weft_unix_datagram_open(&d, NULL, NULL));
    for (int i = 0; i < 2; i++)
        CHECK_OK(weft_unix_datagram_open(&others[i], NULL, NULL));
    connects_in_turn(d, others);
    CHECK_OK(weft_datagram_local(others[0], &gone));
    for (int i = 0; i < 2; i++)
        weft_datagram_close(others[i]);
    CHECK_ERR(-ECONNREFUSED, weft_datagram_connect(d, &gone));
    weft_datagram_close(d);
}

/* S001-09 for UDP: a busy port says so; with reuse_port it is shared. */
TEST(udp_port_is_taken_or_shared)
{
    weft_datagram *d = udp(NULL, NULL), *other;
    CHECK_ERR(-EADDRINUSE, weft_udp_open(&other, NULL, weft_datagram_port(d), NULL));
    CHECK_ERR(-EINVAL, weft_udp_open(&other, NULL, 65536, NULL));
    weft_datagram_close(d);
    weft_datagram_options shares = {.reuse_port = 1};
    d = udp(NULL, &shares);
    CHECK_OK(weft_udp_open(&other, NULL, weft_datagram_port(d), &shares));
    weft_datagram_close(other);
    weft_datagram_close(d);
}

TEST(datagram_adopts_a_socket)
{
    weft_datagram *d;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK_OK(weft_datagram_adopt(&d, fd));
    CHECK_INT(fd, weft_datagram_fd(d));
    CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
    weft_datagram_close(d);
    CHECK_ERR(-ENOTSOCK, weft_datagram_adopt(&d, socket(AF_INET, SOCK_STREAM, 0)));
    CHECK_ERR(-ENOTSOCK, weft_datagram_adopt(&d, open("/dev/null", O_RDONLY)));
    CHECK_ERR(-EBADF, weft_datagram_adopt(&d, -1));
}

static void open_and_exchange(void)
{
    weft_datagram *d, *pair[2];
    char name[200], byte;
    weft_datagram_options options = {.gather = 1, .recv_buffer = 10000, .broadcast = 1, .reuse_address = 1};
    snprintf(name, sizeof name, "%s/socket", test_dir());
    if (weft_udp_open(&d, NULL, 0, &options) == 0) {
        weft_address self;
        CHECK_OK(weft_datagram_local(d, &self));
        weft_datagram_send(d, "x", 1, &self, WEFT_NOW);
        weft_datagram_recv(d, &byte, 1, NULL, WEFT_NOW);
        weft_datagram_close(d);
    }
    if (weft_unix_datagram_open(&d, name, &options) == 0)
        weft_datagram_close(d);
    if (weft_unix_datagram_pair(pair) == 0) {
        weft_datagram_close(pair[0]);
        weft_datagram_close(pair[1]);
    }
}

TEST(datagram_survives_each_failing_call)
{
    static const enum weft__sys_call calls[] = {WEFT__SYS_SOCKET, WEFT__SYS_BIND, WEFT__SYS_SOCKOPT,
                                                WEFT__SYS_SEND,   WEFT__SYS_RECV, WEFT__SYS_MALLOC};
    char name[200];
    snprintf(name, sizeof name, "%s/socket", test_dir());
    int fds = test_fd_count();
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        for (uint32_t nth = 1; nth <= 12; nth++) {
            weft__sys_plan(calls[i], nth, 1, calls[i] == WEFT__SYS_MALLOC ? -ENOMEM : -ENOBUFS, 0);
            open_and_exchange();
            weft__sys_plan_none();
            CHECK_INT(fds, test_fd_count());
            CHECK(access(name, F_OK) < 0);
        }
}
