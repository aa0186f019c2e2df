/* secure_test.c - TLS in the server, beside what conn_test.c and server_test.c run with it: clients that attack or
 * leave in the handshake, what ends are told from what cuts, limits, certificates. */
#include "serve/secure_support.h"
#include "serve/serve_support.h"

#include "base/atomic.h"
#include "io/tls_support.h"
#include "sys/sys.h"

#if WEFT_HAVE_OPENSSL

#include <openssl/ssl.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* In an event loop of both kinds, in io_uring's, in threads of both kinds; and everywhere. */
#define SECURE_HERE_CASE_LIMIT(seconds, name)                                                                          \
    static void name(const serve_kind *kind);                                                                          \
    SERVE__ONE(seconds, name, tls_pool)                                                                                \
    SERVE__ONE(seconds, name, tls_thread)                                                                              \
    SERVE__ONE(seconds, name, tls_epoll)                                                                               \
    SERVE__ONE(seconds, name, tls_epoll_et)                                                                            \
    SERVE__ONE(seconds, name, tls_uring)                                                                               \
    static void name(__attribute__((unused)) const serve_kind *kind)
#define SECURE_CASE_LIMIT(seconds, name)                                                                               \
    static void name(const serve_kind *kind);                                                                          \
    SERVE__EVERY(seconds, name, tls_)                                                                                  \
    static void name(__attribute__((unused)) const serve_kind *kind)
#define SECURE_CASE(name) SECURE_CASE_LIMIT(TEST_DEFAULT_LIMIT, name)

static void serves_well(weft_server *s)
{
    int fd = client_open(weft_server_port(s));
    client_expect_reply(fd, "echo well\n", "well\n");
    client_close(fd);
}

/* Where limits are short, a slow machine's client may come too late for them, and comes again. */
static int open_served(weft_server *s)
{
    for (;;) {
        char reply[3];
        int fd = client_open(weft_server_port(s));
        size_t got = 0;
        ssize_t n = client_try_send(fd, "echo up\n", 8);
        while (n > 0 && got < sizeof reply && (n = client_try_recv(fd, reply + got, sizeof reply - got)) > 0)
            got += (size_t)n;
        if (got == sizeof reply) {
            CHECK_MEM("up\n", reply, sizeof reply);
            return fd;
        }
        client_close(fd);
    }
}

/* A client that is plain to the helpers. */
static int open_raw(weft_server *s)
{
    int fd = client_open(weft_server_port(s));
    secure_client_forget(fd);
    CHECK_INT(0, fcntl(fd, F_SETFL, 0));
    return fd;
}

/* ---- a client whose bytes pass through our hands ---- */

typedef struct by_hand {
    SSL_CTX *context;
    SSL *ssl;
    BIO *in, *out;
} by_hand;

static by_hand hand_new(int version)
{
    by_hand h = {.context = SSL_CTX_new(TLS_client_method()), .in = BIO_new(BIO_s_mem()), .out = BIO_new(BIO_s_mem())};
    CHECK(h.context != NULL && h.in != NULL && h.out != NULL);
    if (version != 0)
        SSL_CTX_set_max_proto_version(h.context, version);
    h.ssl = SSL_new(h.context);
    SSL_set_bio(h.ssl, h.in, h.out);
    SSL_set_connect_state(h.ssl);
    return h;
}

static void hand_free(by_hand *h)
{
    SSL_free(h->ssl);
    SSL_CTX_free(h->context);
}

/* Send what it has to say, at most `left` bytes of it: false when these are over. */
static bool hand_say(by_hand *h, int fd, size_t *left)
{
    char bytes[20000];
    int n;
    while ((n = BIO_read(h->out, bytes, sizeof bytes)) > 0) {
        size_t part = (size_t)n < *left ? (size_t)n : *left;
        client_send(fd, bytes, part);
        *left -= part;
        if (part < (size_t)n)
            return false;
    }
    return true;
}

static void hand_hear(by_hand *h, int fd)
{
    char bytes[20000];
    size_t n = client_recv(fd, bytes, sizeof bytes);
    CHECK(n > 0);
    CHECK_INT(n, BIO_write(h->in, bytes, (int)n));
}

/* The handshake; false: the bytes were over before its end. */
static bool hand_shake(by_hand *h, int fd, size_t *left)
{
    for (;;) {
        int r = SSL_do_handshake(h->ssl);
        CHECK(r == 1 || SSL_get_error(h->ssl, r) == SSL_ERROR_WANT_READ);
        if (!hand_say(h, fd, left))
            return false;
        if (r == 1)
            return true;
        hand_hear(h, fd);
    }
}

static bool hand_recv(by_hand *h, int fd, const char *text)
{
    char got[256];
    int n;
    while ((n = SSL_read(h->ssl, got, sizeof got)) <= 0) {
        if (SSL_get_error(h->ssl, n) != SSL_ERROR_WANT_READ)
            return false;
        hand_hear(h, fd);
    }
    CHECK_INT(strlen(text), n);
    CHECK_MEM(text, got, strlen(text));
    return true;
}

/* ---- who leaves ---- */

enum {
    LEAVES_BY_CLOSE,
    LEAVES_BY_HALF_CLOSE,
    LEAVES_BY_RESET,
    LEAVES
};

static void leave_at(weft_server *s, int version, size_t bytes, int how)
{
    by_hand h = hand_new(version);
    char end[4096];
    int fd = open_raw(s);
    (void)hand_shake(&h, fd, &bytes);
    if (how == LEAVES_BY_HALF_CLOSE) {
        client_finish(fd);
        while (recv(fd, end, sizeof end, 0) > 0)
            ;
    }
    if (how == LEAVES_BY_RESET)
        client_reset(fd);
    else
        client_close(fd);
    hand_free(&h);
}

/* How many bytes a client says in a handshake. */
static size_t bytes_of_handshake(weft_server *s, int version)
{
    by_hand h = hand_new(version);
    size_t left = SIZE_MAX;
    int fd = open_raw(s);
    CHECK(hand_shake(&h, fd, &left));
    client_close(fd);
    hand_free(&h);
    return SIZE_MAX - left;
}

static bool descriptors_are(void *count)
{
    return test_fd_count() <= *(int *)count + 1; /* the acceptor may have opened an eventfd since */
}

SECURE_CASE_LIMIT(30, secure_clients_vanish_at_each_byte_of_the_handshake)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    line_service *service = line_service_new(false);
    weft_server *s = serve_lines(kind, (weft_server_options){0}, service);
    bool forks = kind->forks; /* a process for each takes longer */
    int before = test_fd_count() + (int)kind->threads;
    for (int v = 0; v < 2; v++) {
        size_t all = bytes_of_handshake(s, versions[v]), step = forks ? 41 : 1;
        for (size_t at = 0; at <= all; at += at < 12 || all - at < 60 ? step : step * 13)
            leave_at(s, versions[v], at, (int)(at % LEAVES));
    }
    wait_open(s, 0);
    wait_until(descriptors_are, &before, "the descriptors' going");
    serves_well(s);
    wait_open(s, 0);
    CHECK(server_stats(s).broken > 0);
    serve_stop(s);
    CHECK_INT(service->opened, service->closed);
}

typedef struct visits {
    weft_server *server;
    unsigned count, open;
} visits;

static bool visits_are(void *arg)
{
    const visits *v = arg;
    weft_server_stats stats = server_stats(v->server);
    return stats.accepted == v->count && stats.open == v->open;
}

/* Who leaves without a word has begun no handshake: it is no broken one. Nor is the one that the stop breaks off. */
SECURE_CASE(secure_who_says_nothing_breaks_no_handshake)
{
    line_service *service = line_service_new(false);
    weft_server *s = serve_lines(kind, (weft_server_options){.handshake_timeout = -1}, service);
    visits v = {s, 0, 0};
    for (; v.count < 12; v.count++) {
        int fd = open_raw(s);
        if (v.count % 3 == 0)
            client_reset(fd);
        else
            client_close(fd);
    }
    wait_until(visits_are, &v, "the silent ones' going");
    CHECK_INT(0, server_stats(s).broken);
    int fd = open_raw(s);
    CHECK_INT(1, send(fd, "\x16", 1, MSG_NOSIGNAL));
    client_close(fd);
    v.count++;
    wait_until(visits_are, &v, "the going of who said a byte");
    CHECK_INT(1, server_stats(s).broken);
    fd = open_raw(s);
    CHECK_INT(1, send(fd, "\x16", 1, MSG_NOSIGNAL));
    v.count++;
    v.open++;
    wait_until(visits_are, &v, "who stays");
    weft_server_stop(s, WEFT_NOW);
    CHECK_OK(weft_server_wait(s, weft_in_ms(10000)));
    CHECK_INT(1, server_stats(s).broken);
    client_close(fd);
    weft_server_close(s);
    CHECK_INT(service->opened, service->closed);
}

/* ---- rubbish ---- */

/* All are gone, so many of them without a handshake; one more is served. */
static void stop_after_broken(weft_server *s, unsigned broken)
{
    wait_open(s, 0);
    serves_well(s);
    wait_open(s, 0);
    CHECK_INT(broken, server_stats(s).broken);
    CHECK_INT(1, server_stats(s).handshakes);
    serve_stop(s);
}

SECURE_CASE(secure_rubbish_is_answered_by_an_alert)
{
    static const char *const texts[] = {"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "\x16\x03\x01\xff\xffxxxxxxxxxxxx",
                                        "\x16\x03\x01\x00\x06\x01\x00\x00\x02xx", "SSH-2.0-x\r\n"};
    line_service *service = line_service_new(false);
    weft_server *s = serve_lines(kind, (weft_server_options){0}, service);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        size_t size = texts[i][0] == 0x16 ? (i == 1 ? 17 : 11) : strlen(texts[i]);
        unsigned char alert[7];
        int fd = open_raw(s);
        client_send(fd, texts[i], size);
        if (texts[i][0] == 0x16) { /* others could not read one */
            client_recv_all(fd, alert, sizeof alert);
            CHECK_INT(0x15, alert[0]); /* an alert, fatal */
            CHECK_INT(2, alert[5]);
        }
        client_expect_end(fd);
        client_close(fd);
    }
    stop_after_broken(s, 4);
}

static size_t say_plain(char *text, size_t size, void *service)
{
    CHECK(service != NULL);
    return (size_t)snprintf(text, size, "with TLS, please\n");
}

/* Who begins without TLS reads why it is not served, and then the end, whatever else it has said. */
SECURE_CASE(secure_who_begins_without_tls_is_told_so)
{
    line_service *service = line_service_new(false);
    weft_server *s = serve_lines(kind, (weft_server_options){.on_plain = say_plain}, service);
    char much[30000], byte;
    memset(much, 'x', sizeof much);
    for (int i = 0; i < 3; i++) {
        int fd = open_raw(s);
        client_send(fd, i == 0 ? "echo a\n" : much, i == 0 ? 7 : i == 1 ? 1 : sizeof much);
        client_expect(fd, "with TLS, please\n");
        CHECK_INT(0, client_recv(fd, &byte, 1));
        client_close(fd);
    }
    stop_after_broken(s, 3);
    CHECK_INT(service->opened, service->closed);
}

static uint64_t next_random(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    return *x ^= *x << 17;
}

/* A handshake with bytes changed on the way, and what follows it too: nobody else notices. */
SECURE_HERE_CASE_LIMIT(30, secure_changed_bytes_break_their_own_connection_only)
{
    line_service *service = line_service_new(false);
    weft_server *s = serve_lines(kind, (weft_server_options){0}, service);
    size_t all = bytes_of_handshake(s, 0);
    uint64_t seed = 88172645463325252u;
    for (int i = 0; i < 60; i++) {
        by_hand h = hand_new(0);
        char bytes[20000];
        size_t at = next_random(&seed) % all, said = 0;
        int fd = open_raw(s), n;
        for (int r = 0; r != 1;) {
            r = SSL_do_handshake(h.ssl);
            while ((n = BIO_read(h.out, bytes, sizeof bytes)) > 0) {
                if (at >= said && at < said + (size_t)n)
                    bytes[at - said] ^= (char)(1 + next_random(&seed) % 255);
                said += (size_t)n;
                if (send(fd, bytes, (size_t)n, MSG_NOSIGNAL) < 0)
                    r = 1;
            }
            if (said > at || r == 1)
                break;
            hand_hear(&h, fd);
        }
        client_reset(fd);
        hand_free(&h);
    }
    wait_open(s, 0);
    client_close(open_served(s));
    serve_stop(s);
    CHECK_INT(service->opened, service->closed);
}

/* ---- slow clients ---- */

/* It sends a byte now and then, and its handshake is over when its time is, whatever it does. */
SECURE_CASE(secure_who_crawls_through_the_handshake_is_cut_off)
{
    line_service *service = line_service_new(false);
    weft_server_options o = {.handshake_timeout = 300 * WEFT_MS};
    weft_server *s = serve_lines(kind, o, service);
    by_hand h = hand_new(0);
    char hello[4096], byte;
    (void)SSL_do_handshake(h.ssl);
    int n = BIO_read(h.out, hello, sizeof hello), fd = open_raw(s);
    CHECK(n > 200);
    for (int at = 0; at < n - 1; at++) { /* never the last one */
        if (send(fd, hello + at, 1, MSG_NOSIGNAL) < 0 || recv(fd, &byte, 1, MSG_DONTWAIT) >= 0)
            break;
        usleep(10000);
    }
    client_expect_end(fd);
    client_close(fd);
    hand_free(&h);
    wait_open(s, 0);
    client_close(open_served(s));
    CHECK(server_stats(s).timeouts >= 1);
    serve_stop(s);
}

/* A full house of those who have not finished their handshake makes room for one who does. */
SECURE_HERE_CASE_LIMIT(30, secure_newcomers_are_let_in_where_others_only_shake_hands)
{
    enum {
        PLACES = 8
    };
    if (kind == &serve_tls_pool) /* newcomers stand in line there */
        return;
    line_service *service = line_service_new(false);
    weft_server_options o = {.max_connections = PLACES, .threads = 1, .handshake_timeout = -1};
    weft_server *s = serve_lines(kind, o, service);
    int fds[3 * PLACES];
    for (int i = 0; i < 3 * PLACES; i++) {
        fds[i] = open_raw(s);
        (void)!send(fds[i], "\x16\x03", (size_t)(i % 3), MSG_NOSIGNAL);
    }
    usleep(1200000); /* so long, and they are the first to go; unless it took time to let them in */
    for (int i = 0; i < PLACES; i++)
        client_close(open_served(s));
    CHECK(server_stats(s).shed + server_stats(s).refused >= PLACES);
    for (int i = 0; i < 3 * PLACES; i++)
        client_close(fds[i]);
    wait_open(s, 0);
    serve_stop(s);
    CHECK_INT(service->opened, service->closed);
}

/* Who asks for new keys again and again and reads nothing costs no memory. */
SECURE_HERE_CASE_LIMIT(30, secure_a_flood_of_key_updates_costs_no_memory)
{
    line_service *service = line_service_new(false);
    weft_server *s =
        serve_lines(kind, (weft_server_options){.idle_timeout = -1}, service); /* updates are no requests */
    by_hand h = hand_new(TLS1_3_VERSION);
    size_t left = SIZE_MAX;
    int fd = open_raw(s);
    CHECK(hand_shake(&h, fd, &left));
    long before = test_rss_kb();
    for (int i = 0; i < 8000; i++) {
        CHECK_INT(1, SSL_key_update(h.ssl, SSL_KEY_UPDATE_REQUESTED));
        CHECK_INT(1, SSL_do_handshake(h.ssl));
        CHECK(hand_say(&h, fd, &left));
    }
    CHECK_INT(8, SSL_write(h.ssl, "echo up\n", 8));
    CHECK(hand_say(&h, fd, &left));
    CHECK(hand_recv(&h, fd, "up\n"));
    if (test_limit_factor() == 1) /* sanitizers have a memory of their own */
        CHECK(test_rss_kb() - before < 2048);
    client_close(fd);
    hand_free(&h);
    serve_stop(s);
}

/* TLS 1.2's renegotiation, by which a client could make a server compute, is refused. */
SECURE_HERE_CASE_LIMIT(10, secure_renegotiation_is_refused)
{
    line_service *service = line_service_new(false);
    weft_server *s = serve_lines(kind, (weft_server_options){0}, service);
    by_hand h = hand_new(TLS1_2_VERSION);
    size_t left = SIZE_MAX;
    int fd = open_raw(s), r;
    CHECK(hand_shake(&h, fd, &left));
    CHECK_INT(1, SSL_renegotiate(h.ssl));
    do {
        r = SSL_do_handshake(h.ssl);
        CHECK(hand_say(&h, fd, &left));
        if (r != 1 && SSL_get_error(h.ssl, r) == SSL_ERROR_WANT_READ)
            hand_hear(&h, fd);
    } while (r != 1 && SSL_get_error(h.ssl, r) == SSL_ERROR_WANT_READ);
    CHECK(r != 1);
    client_close(fd);
    hand_free(&h);
    wait_open(s, 0);
    serves_well(s);
    CHECK_INT(2, server_stats(s).handshakes);
    serve_stop(s);
}

/* ---- ends ---- */

/* A line without its end is answered when the client says that this was all, and not when the connection is cut. */
SECURE_CASE(secure_an_end_is_told_from_a_cut)
{
    for (int stays = 0; stays < 2; stays++) {
        line_service *service = line_service_new(stays != 0);
        weft_server *s = serve_lines(kind, (weft_server_options){0}, service);
        int fd = client_open(weft_server_port(s));
        char text[64];
        client_expect_reply(fd, "echo a\nunfinished", "a\n");
        client_finish(fd);
        client_expect(fd, "rest unfinished\n");
        CHECK_INT(0, client_try_recv(fd, text, 1)); /* and the server says that this was all */
        client_close(fd);
        wait_open(s, 0);
        fd = client_open(weft_server_port(s));
        client_expect_reply(fd, "echo b\nunfinished", "b\n");
        shutdown(fd, SHUT_WR);
        client_expect_end(fd);
        client_close(fd);
        wait_open(s, 0);
        serve_stop(s);
    }
}

/* Idle for too long, or when the server stops: it says goodbye. A handler that fails does not. */
SECURE_CASE(secure_the_server_says_when_it_ends)
{
    line_service *service = line_service_new(false);
    weft_server *s = serve_lines(kind, (weft_server_options){.idle_timeout = 300 * WEFT_MS}, service);
    char byte;
    int fd = open_served(s);
    CHECK_INT(0, client_try_recv(fd, &byte, 1));
    client_close(fd);
    wait_open(s, 0);
    serve_stop(s);
    service = line_service_new(false);
    s = serve_lines(kind, (weft_server_options){0}, service);
    fd = client_open(weft_server_port(s));
    client_say(fd, "fail\n");
    CHECK_INT(-1, client_try_recv(fd, &byte, 1));
    client_close(fd);
    fd = client_open(weft_server_port(s));
    client_expect_reply(fd, "echo a\n", "a\n");
    weft_server_stop(s, weft_in_ms(8000));
    CHECK_INT(0, client_try_recv(fd, &byte, 1));
    client_close(fd);
    serve_stop(s);
}

/* A large last answer is followed by the end, although the socket is full by then. */
SECURE_CASE(secure_the_end_follows_a_large_answer)
{
    line_service *service = line_service_new(false);
    weft_server *s = serve_lines(kind, (weft_server_options){0}, service);
    char byte;
    int fd = client_open(weft_server_port(s));
    client_say(fd, "send 6000000\nclose\n");
    usleep(20000); /* makes a full socket likely; right either way */
    client_expect_pattern(fd, 6000000);
    client_expect(fd, "bye\n");
    CHECK_INT(0, client_try_recv(fd, &byte, 1));
    client_close(fd);
    wait_open(s, 0);
    serve_stop(s);
}

/* ---- about a connection ---- */

static int say_tls(weft_conn *c, void *arg)
{
    const void *view;
    char text[300];
    (void)arg;
    ssize_t n = weft_conn_fill(c, 0, &view, WEFT_FOREVER);
    if (n <= 0)
        return WEFT_CONN_CLOSE;
    weft_conn_consume(c, (size_t)n);
    int size = snprintf(text, sizeof text, "%s %s\n", weft_conn_tls_version(c), weft_conn_tls_host(c));
    return weft_conn_write(c, text, (size_t)size) < 0 ? WEFT_CONN_CLOSE : WEFT_CONN_IDLE;
}

SECURE_CASE(secure_a_connection_knows_its_session)
{
    weft_server *s = serve_start(kind, (weft_server_options){.handler = say_tls});
    int fd = client_open(weft_server_port(s));
    client_expect_reply(fd, "x", "TLSv1.3 localhost\n");
    client_close(fd);
    by_hand h = hand_new(TLS1_2_VERSION);
    size_t left = SIZE_MAX;
    fd = open_raw(s);
    CHECK(hand_shake(&h, fd, &left));
    CHECK_INT(1, SSL_write(h.ssl, "x", 1));
    CHECK(hand_say(&h, fd, &left));
    CHECK(hand_recv(&h, fd, "TLSv1.2 \n"));
    client_close(fd);
    hand_free(&h);
    serve_stop(s);
}

TEST(secure_a_plain_connection_has_no_session)
{
    weft_server *s = serve_start(&serve_epoll, (weft_server_options){.handler = say_tls});
    int fd = client_open(weft_server_port(s));
    client_expect_reply(fd, "x", "(null) \n");
    client_close(fd);
    serve_stop(s);
}

TEST(secure_a_clients_context_is_no_servers)
{
    weft_tls *client;
    weft_server *s = NULL;
    CHECK_OK(weft_tls_new(&client, WEFT_TLS_CLIENT, NULL));
    CHECK_ERR(-EINVAL, weft_server_open(&s, &(weft_server_options){.handler = say_tls, .tls = client}));
    weft_tls_free(client);
}

/* ---- records with nothing in them ---- */

enum {
    UPDATES = 200000 /* of keys; 27 bytes each, and more work for who reads them than for who has them ready */
};

static int wait_for_more(weft_conn *c, void *arg)
{
    const void *view;
    (void)arg;
    weft_conn_consume(c, 1);
    return weft_conn_fill(c, 0, &view, weft_in_ms(20)) == -ETIMEDOUT ? WEFT_CONN_CLOSE : -EIO;
}

/* Say `text`, and then that the keys change, again and again. True: all of it has been taken. With a service `text` is
 * a request that waits until all is ready to be sent. */
static bool change_keys(weft_server *s, const char *text, line_service *service)
{
    by_hand h = hand_new(TLS1_3_VERSION);
    size_t left = SIZE_MAX;
    int fd = open_raw(s), few = 32 << 10;
    CHECK_INT(0, setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &few, sizeof few));
    CHECK(hand_shake(&h, fd, &left));
    CHECK(SSL_write(h.ssl, text, (int)strlen(text)) > 0);
    if (service != NULL)
        CHECK(hand_say(&h, fd, &left));
    for (int i = 0; i < UPDATES; i++) {
        CHECK_INT(1, SSL_key_update(h.ssl, SSL_KEY_UPDATE_NOT_REQUESTED));
        CHECK_INT(1, SSL_do_handshake(h.ssl));
    }
    char *all;
    ssize_t size = BIO_get_mem_data(h.out, &all), sent = 0, n = 1;
    if (service != NULL)
        line_service_go(service);
    for (; sent < size && n > 0; sent += n > 0 ? n : 0)
        n = client_try_send(fd, all + sent, (size_t)(size - sent));
    client_close(fd);
    hand_free(&h);
    return sent == size;
}

/* Whoever sends without a pause what is for no handler cannot keep one beyond its deadline... */
SECURE_HERE_CASE_LIMIT(60, secure_changes_of_keys_do_not_carry_a_call_past_its_deadline)
{
    weft_server *s = serve_start(kind, (weft_server_options){.handler = wait_for_more});
    CHECK(!change_keys(s, "x", NULL));
    wait_open(s, 0);
    serve_stop(s);
}

/* ... and is idle all the same. */
SECURE_HERE_CASE_LIMIT(60, secure_changes_of_keys_are_no_work)
{
    line_service *service = line_service_new(false);
    weft_server *s = serve_lines(kind, (weft_server_options){.idle_timeout = 20 * WEFT_MS}, service);
    CHECK(!change_keys(s, "wait\n", service));
    wait_open(s, 0);
    CHECK_INT(1, server_stats(s).timeouts);
    serve_stop(s);
}

/* ---- faults ---- */

SECURE_HERE_CASE_LIMIT(60, secure_server_survives_failing_calls)
{
    static const struct {
        enum weft__sys_call call;
        int err;
    } faults[] = {{WEFT__SYS_RECV, -ECONNRESET},
                  {WEFT__SYS_SEND, -EPIPE},
                  {WEFT__SYS_SEND, -ECONNRESET},
                  {WEFT__SYS_MALLOC, -ENOMEM},
                  {WEFT__SYS_RECV, -ENOMEM}};
    line_service *service = line_service_new(false);
    weft_server *s = serve_lines(kind, (weft_server_options){0}, service);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        for (unsigned nth = 1; nth <= 8; nth++) {
            char buf[64];
            weft__sys_plan(faults[i].call, nth, 1, faults[i].err, 0);
            int fd = client_open(weft_server_port(s));
            if (client_try_send(fd, "echo x\n", 7) > 0)
                (void)client_try_recv(fd, buf, sizeof buf);
            client_reset(fd);
            weft__sys_plan_none();
            wait_open(s, 0);
            serves_well(s);
            wait_open(s, 0);
        }
    }
    serve_stop(s);
    CHECK_INT(service->opened, service->closed);
}

#endif
