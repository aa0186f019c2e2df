/* tls_cache_test.c - a client's streams resume sessions by themselves: only with the host, port and checks that they
 * are of, each ticket once, and no more of them than was asked for. What a client offers is read from the first bytes
 * that it sends.. */
#include "io/tls_support.h"

#include "base/atomic.h"
#include "sys/sys.h"

#if WEFT_HAVE_OPENSSL

#include "io/tls_context.h"

#include <stdio.h>
#include <sys/wait.h>

enum {
    OFFER_MAX = 2000
};

static weft_tls *client_of(const tls_identity *id, unsigned sessions)
{
    weft_tls *client;
    CHECK_OK(weft_tls_new(&client, WEFT_TLS_CLIENT, &(weft_tls_options){.ca_text = id->ca, .sessions = sessions}));
    return client;
}

/* ---- whole connections ---- */

typedef struct serving {
    weft_stream *s;
    weft_tls *tls;
    int resumed;
} serving;

static int echo_a_byte(void *arg)
{
    serving *v = arg;
    char byte;
    CHECK_OK(weft_tls_start(v->s, v->tls, NULL, io_patience()));
    v->resumed = weft_tls_resumed(v->s);
    CHECK_INT(1, weft_stream_recv(v->s, &byte, 1, io_patience()));
    CHECK_INT(1, weft_stream_send(v->s, &byte, 1, io_patience()));
    return 0;
}

static void ask(weft_stream *s)
{
    char byte;
    CHECK_INT(1, weft_stream_send(s, "x", 1, io_patience()));
    CHECK_INT(1, weft_stream_recv(s, &byte, 1, io_patience())); /* the tickets come before it */
}

/* A connection over these ends, whose close says nothing to the other: 1: resumed. */
static int meet_over(test *t, weft_stream *a, weft_stream *b, weft_tls *server, weft_tls *client, const char *host)
{
    serving v = {.s = b, .tls = server};
    test_spawn(t, echo_a_byte, &v);
    CHECK_OK(weft_tls_start(a, client, host, io_patience()));
    ask(a);
    test_join(t);
    int resumed = weft_tls_resumed(a);
    CHECK_INT(v.resumed, resumed);
    CHECK_OK(weft__sys_shutdown(weft_stream_fd(b), WEFT_SHUTDOWN_SEND));
    char byte;
    CHECK_ERR(-WEFT_ETRUNCATED, weft_stream_recv(a, &byte, 1, io_patience())); /* broken off: no matter */
    weft_stream_close(a);
    weft_stream_close(b);
    return resumed;
}

/* Over a Unix socket, whose port is 0. */
static int meet(test *t, weft_tls *server, weft_tls *client, const char *host)
{
    weft_stream *pair[2];
    CHECK_OK(weft_unix_pair(pair));
    return meet_over(t, pair[0], pair[1], server, client, host);
}

/* ---- what a client offers ---- */

static unsigned number(const unsigned char *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

/* The first ticket of a ClientHello, in its only record: its size, 0: none. The extension comes last. */
static size_t ticket_in(const unsigned char *hello, size_t size, unsigned char out[OFFER_MAX])
{
    const unsigned char *p = hello + 5 + 4 + 2 + 32;
    p += 1 + p[0];      /* session */
    p += 2 + number(p); /* ciphers */
    p += 1 + p[0];      /* compression */
    p += 2;
    for (const unsigned char *end = hello + size; p + 4 < end; p += 4 + number(p + 2)) {
        if (number(p) != 41)
            continue;
        size_t ticket = number(p + 6);
        CHECK(p + 8 + ticket <= end && ticket > 0 && ticket <= OFFER_MAX);
        memcpy(out, p + 8, ticket);
        return ticket;
    }
    return 0;
}

typedef struct offer {
    size_t size;
    unsigned char ticket[OFFER_MAX];
} offer;

/* Begin a handshake that is given up at once. */
static offer offered(weft_tls *client, const char *host)
{
    weft_stream *pair[2];
    unsigned char hello[4000];
    offer o;
    CHECK_OK(weft_unix_pair(pair));
    CHECK_ERR(-ETIMEDOUT, weft_tls_start(pair[0], client, host, WEFT_NOW));
    CHECK_INT(5, weft_stream_recv_all(pair[1], hello, 5, NULL, io_patience()));
    size_t size = number(hello + 3);
    CHECK(size + 5 <= sizeof hello);
    CHECK_INT(size, weft_stream_recv_all(pair[1], hello + 5, size, NULL, io_patience()));
    o.size = ticket_in(hello, size + 5, o.ticket);
    weft_stream_close(pair[0]);
    weft_stream_close(pair[1]);
    return o;
}

static bool offers(weft_tls *client, const char *host)
{
    return offered(client, host).size > 0;
}

/* ---- */

TEST_WAITERS(tls_streams_resume)
{
    tls_pair p;
    tls_open_pair(&p);
    weft_tls *client = client_of(&p.id, 10);
    for (int i = 0; i < 4; i++)
        CHECK_INT(i > 0, meet(t, p.server, client, "localhost"));
    for (int i = 0; i < 2; i++)
        CHECK_INT(0, meet(t, p.server, p.client, "localhost")); /* who does not ask for it */
    io_pair plain = io_stream_pair(NULL);
    CHECK_INT(0, weft_tls_resumed(plain.a));
    io_close_pair(plain);
    weft_tls_free(client);
    tls_close_pair(&p);
}

/* A connection whose server has sent all it has to say, of which its client has received nothing yet. */
static void open_told(test *t, weft_tls *server, weft_tls *client, weft_stream *pair[2])
{
    CHECK_OK(weft_unix_pair(pair));
    serving v = {.s = pair[1], .tls = server};
    test_spawn(t, echo_a_byte, &v);
    CHECK_OK(weft_tls_start(pair[0], client, "localhost", io_patience()));
    CHECK_INT(1, weft_stream_send(pair[0], "x", 1, io_patience()));
    test_join(t);
}

/* Also when the client receives nothing: what has come by its close is kept. */
TEST_WAITERS(tls_streams_resume_after_a_close_that_takes_the_tickets)
{
    tls_pair p;
    weft_stream *pair[2];
    tls_open_pair(&p);
    weft_tls *client = client_of(&p.id, 10);
    open_told(t, p.server, client, pair);
    weft_stream_close(pair[0]);
    weft_stream_close(pair[1]);
    CHECK(offers(client, "localhost"));
    weft_tls_free(client);
    tls_close_pair(&p);
}

TEST_WAITERS(tls_session_is_offered_to_its_host_only_and_by_its_context)
{
    tls_pair p;
    tls_open_pair(&p);
    weft_tls *client = client_of(&p.id, 10), *other = client_of(&p.id, 10), *trusting;
    CHECK_OK(
        weft_tls_new(&trusting, WEFT_TLS_CLIENT, &(weft_tls_options){.verify = WEFT_TLS_UNCHECKED, .sessions = 10}));
    CHECK_INT(0, meet(t, p.server, trusting, "localhost"));
    CHECK_INT(0, meet(t, p.server, trusting, NULL)); /* nobody in particular */
    CHECK_INT(0, meet(t, p.server, trusting, NULL));
    CHECK(!offers(client, "localhost")); /* whose server would then not have been checked */
    CHECK_INT(0, meet(t, p.server, client, "localhost"));
    CHECK(!offers(client, "127.0.0.1"));
    CHECK(!offers(client, "localhos"));
    CHECK(!offers(other, "localhost"));
    io_pair tcp = io_stream_pair(NULL); /* another port */
    CHECK_INT(0, meet_over(t, tcp.a, tcp.b, p.server, client, "localhost"));
    CHECK_INT(1, meet(t, p.server, client, "localhost"));
    CHECK_INT(1, meet(t, p.server, trusting, "localhost"));
    weft_tls *one = client_of(&p.id, 1); /* whose table has one place for all */
    CHECK_INT(0, meet(t, p.server, one, "localhost"));
    CHECK(!offers(one, "127.0.0.1"));
    tcp = io_stream_pair(NULL);
    CHECK_INT(0, meet_over(t, tcp.a, tcp.b, p.server, one, "localhost"));
    weft_tls_free(one);
    weft_tls_free(client);
    weft_tls_free(other);
    weft_tls_free(trusting);
    tls_close_pair(&p);
}

/* Several connections whose handshakes were whole, each of which gives two tickets. */
static void fill(test *t, weft_tls *server, weft_tls *client, unsigned n)
{
    weft_stream *pairs[10][2];
    serving v[10];
    for (unsigned i = 0; i < n; i++) {
        CHECK_OK(weft_unix_pair(pairs[i]));
        v[i] = (serving){.s = pairs[i][1], .tls = server};
        test_spawn(t, echo_a_byte, &v[i]);
        CHECK_OK(weft_tls_start(pairs[i][0], client, "localhost", io_patience()));
        CHECK_INT(0, weft_tls_resumed(pairs[i][0]));
    }
    for (unsigned i = 0; i < n; i++)
        ask(pairs[i][0]);
    test_join(t);
    for (unsigned i = 0; i < n; i++) {
        weft_stream_close(pairs[i][0]);
        weft_stream_close(pairs[i][1]);
    }
}

/* However they are many: 8 of one host, and none is seen twice. */
TEST_WAITERS(tls_ticket_is_shown_once)
{
    tls_pair p;
    offer seen[8];
    tls_open_pair(&p);
    weft_tls *client = client_of(&p.id, 100);
    fill(t, p.server, client, 6);
    for (int i = 0; i < 8; i++) {
        seen[i] = offered(client, "localhost");
        CHECK(seen[i].size > 0);
        for (int j = 0; j < i; j++)
            CHECK(seen[j].size != seen[i].size || memcmp(seen[j].ticket, seen[i].ticket, seen[i].size) != 0);
    }
    CHECK(!offers(client, "localhost"));
    weft_tls_free(client);
    tls_close_pair(&p);
}

TEST_WAITERS(tls_keeps_as_many_sessions_as_asked_for)
{
    tls_pair p;
    tls_open_pair(&p);
    weft_tls *client = client_of(&p.id, 3);
    CHECK_INT(0, meet(t, p.server, client, "localhost"));
    CHECK_INT(0, meet(t, p.server, client, "127.0.0.1")); /* each has given two: the oldest goes */
    CHECK(offers(client, "localhost"));
    CHECK(!offers(client, "localhost"));
    CHECK(offers(client, "127.0.0.1"));
    CHECK(offers(client, "127.0.0.1"));
    CHECK(!offers(client, "127.0.0.1"));
    weft_tls_free(client);
    tls_close_pair(&p);
}

TEST_IN(THREAD, tls_forked_child_offers_nothing_of_its_parents)
{
    tls_pair p;
    int status;
    tls_open_pair(&p);
    weft_tls *client = client_of(&p.id, 10);
    CHECK_INT(0, meet(t, p.server, client, "localhost"));
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK(!offers(client, "localhost"));
        CHECK_INT(0, meet(t, p.server, client, "localhost"));
        CHECK(offers(client, "localhost")); /* its own */
        weft_tls_free(client);
        _exit(0);
    }
    CHECK_INT(pid, waitpid(pid, &status, 0));
    CHECK_INT(0, status);
    CHECK(offers(client, "localhost"));
    weft_tls_free(client);
    tls_close_pair(&p);
}

/* Two hours are what our server allows; a certificate that ends before ends it too. */
TEST_IN(THREAD, tls_session_is_not_offered_when_its_time_is_over)
{
    tls_pair p;
    tls_open_pair(&p);
    weft_tls *client = client_of(&p.id, 10);
    meet(t, p.server, client, "localhost");
    store_relaxed(&weft__sys_clock_shift, 7100 * WEFT_SECOND);
    CHECK(offers(client, "localhost"));
    store_relaxed(&weft__sys_clock_shift, 7200 * WEFT_SECOND);
    CHECK(!offers(client, "localhost"));
    store_relaxed(&weft__sys_clock_shift, 0);
    weft_tls_free(client);
    tls_close_pair(&p);

    for (int checks = 0; checks < 2; checks++) {
        tls_identity id;
        weft_tls *server;
        tls_make_for(&id, "DNS:localhost", 3600);
        weft_tls_options o = {.certificate_text = id.certificate, .key_text = id.key};
        CHECK_OK(weft_tls_new(&server, WEFT_TLS_SERVER, &o));
        o = (weft_tls_options){
            .ca_text = id.ca, .verify = checks ? WEFT_TLS_CHECK : WEFT_TLS_UNCHECKED, .sessions = 10};
        CHECK_OK(weft_tls_new(&client, WEFT_TLS_CLIENT, &o));
        meet(t, server, client, "localhost");
        store_relaxed(&weft__sys_clock_shift, 3000 * WEFT_SECOND);
        CHECK(offers(client, "localhost"));
        store_relaxed(&weft__sys_clock_shift, 3601 * WEFT_SECOND);
        CHECK_INT(!checks, offers(client, "localhost"));
        store_relaxed(&weft__sys_clock_shift, 0);
        weft_tls_free(client);
        weft_tls_free(server);
    }
}

/* However often one is resumed and given anew: what was checked a day ago is checked again. */
TEST_IN(THREAD, tls_handshake_is_whole_once_a_day)
{
    tls_pair p;
    tls_open_pair(&p);
    weft_tls *client = client_of(&p.id, 10);
    for (int hour = 0; hour < 50; hour++) {
        store_relaxed(&weft__sys_clock_shift, hour * 3600 * WEFT_SECOND);
        CHECK_INT(hour % 24 != 0, meet(t, p.server, client, "localhost"));
    }
    store_relaxed(&weft__sys_clock_shift, 0);
    weft_tls_free(client);
    tls_close_pair(&p);
}

/* A server that cannot take what it is offered, and leaves, is not offered more of it. */
TEST_WAITERS(tls_failed_handshake_forgets_its_hosts_sessions)
{
    tls_pair p;
    weft_stream *pair[2];
    tls_open_pair(&p);
    weft_tls *client = client_of(&p.id, 10);
    fill(t, p.server, client, 2);
    CHECK(offers(client, "localhost"));
    CHECK_OK(weft_unix_pair(pair));
    weft_stream_close(pair[1]);
    CHECK(weft_tls_start(pair[0], client, "localhost", io_patience()) < 0);
    weft_stream_close(pair[0]);
    CHECK(!offers(client, "localhost"));
    weft_tls_free(client);
    tls_close_pair(&p);
}

/* A server with other keys takes no ticket, and gives one of its own. */
TEST_WAITERS(tls_stream_that_cannot_be_resumed_is_made_anew)
{
    tls_pair p;
    weft_tls *later;
    tls_open_pair(&p);
    weft_tls *client = client_of(&p.id, 10);
    weft_tls_options o = {.certificate_text = p.id.certificate, .key_text = p.id.key};
    CHECK_OK(weft_tls_new(&later, WEFT_TLS_SERVER, &o));
    CHECK_INT(0, meet(t, p.server, client, "localhost"));
    CHECK_INT(0, meet(t, later, client, "localhost"));
    CHECK_INT(1, meet(t, later, client, "localhost"));
    weft_tls_free(later);
    weft_tls_free(client);
    tls_close_pair(&p);
}

/* Under TLS 1.2 there is one, which is good for many. */
TEST_WAITERS(tls_1_2_session_is_resumed_again_and_again)
{
    tls_pair p;
    tls_open_pair(&p);
    SSL_CTX_set_max_proto_version(p.server->ctx, TLS1_2_VERSION);
    weft_tls *client = client_of(&p.id, 10);
    for (int i = 0; i < 5; i++)
        CHECK_INT(i > 0, meet(t, p.server, client, "localhost"));
    weft_tls *later;
    weft_tls_options o = {.certificate_text = p.id.certificate, .key_text = p.id.key};
    CHECK_OK(weft_tls_new(&later, WEFT_TLS_SERVER, &o));
    SSL_CTX_set_max_proto_version(later->ctx, TLS1_2_VERSION);
    for (int i = 0; i < 3; i++)
        CHECK_INT(i > 0, meet(t, later, client, "localhost"));
    weft_tls_free(later);
    weft_tls_free(client);
    tls_close_pair(&p);
}

/* ---- several at once ---- */

typedef struct crowd {
    weft_stream *listener;
    weft_tls *server, *client;
    uint32_t resumed; /* atomic */
} crowd;

enum {
    CROWD = 4, /* at most 8 tickets are in the world, which is how many are kept */
    TURNS = 5
};

static int serve_in_turn(void *arg)
{
    crowd *c = arg;
    for (int i = 0; i < TURNS; i++) {
        serving v = {.tls = c->server};
        CHECK_OK(weft_stream_accept(&v.s, c->listener, io_patience()));
        echo_a_byte(&v);
        weft_stream_close(v.s);
    }
    return 0;
}

static int connect_in_turn(void *arg)
{
    crowd *c = arg;
    for (int i = 0; i < TURNS; i++) {
        weft_stream *s;
        CHECK_OK(weft_tls_connect(&s, c->client, "localhost", weft_stream_port(c->listener), NULL, io_patience()));
        ask(s);
        add_acq_rel(&c->resumed, (uint32_t)weft_tls_resumed(s));
        weft_stream_close(s);
    }
    return 0;
}

/* Each connection takes at most one ticket and gives one at least, so all but the first of each can be resumed. */
TEST_WAITERS_LIMIT(30, tls_streams_resume_at_once)
{
    tls_pair p;
    tls_open_pair(&p);
    crowd *c = test_alloc(t, sizeof *c);
    c->server = p.server;
    c->client = client_of(&p.id, 10);
    CHECK_OK(weft_tcp_listen(&c->listener, "127.0.0.1", 0, NULL));
    for (int i = 0; i < CROWD; i++) {
        test_spawn(t, serve_in_turn, c);
        test_spawn(t, connect_in_turn, c);
    }
    test_join(t);
    CHECK_BETWEEN(CROWD * (TURNS - 1), CROWD * TURNS - 1, load_acquire(&c->resumed));
    weft_stream_close(c->listener);
    weft_tls_free(c->client);
    tls_close_pair(&p);
}

TEST_WAITERS_LIMIT(30, tls_streams_resume_without_memory_or_not_at_all)
{
    tls_pair p;
    tls_open_pair(&p);
    for (uint32_t nth = 1; nth <= 8; nth++) {
        weft_stream *pair[2];
        weft_tls *client = client_of(&p.id, 10);
        CHECK_INT(0, meet(t, p.server, client, "localhost"));
        CHECK_OK(weft_unix_pair(pair));
        weft__sys_plan(WEFT__SYS_MALLOC, nth, 1, -ENOMEM, 0);
        int err = weft_tls_start(pair[0], client, "localhost", WEFT_NOW);
        weft__sys_plan_none();
        CHECK(err == -ETIMEDOUT || err == -ENOMEM);
        weft_stream_close(pair[0]);
        weft_stream_close(pair[1]);
        weft_tls_free(client);
    }
    tls_close_pair(&p);
}

/* Sessions that could not be kept are none. */
TEST_WAITERS(tls_session_that_there_is_no_memory_for_is_not_kept)
{
    tls_pair p;
    weft_stream *pair[2];
    tls_open_pair(&p);
    weft_tls *client = client_of(&p.id, 10);
    open_told(t, p.server, client, pair);
    char byte;
    weft__sys_plan(WEFT__SYS_MALLOC, 1, 2, -ENOMEM, 0); /* two tickets */
    CHECK_INT(1, weft_stream_recv(pair[0], &byte, 1, io_patience()));
    weft__sys_plan_none();
    weft_stream_close(pair[0]);
    weft_stream_close(pair[1]);
    CHECK(!offers(client, "localhost"));
    weft_tls_free(client);
    tls_close_pair(&p);
}

TEST(tls_server_keeps_no_sessions)
{
    tls_identity id;
    weft_tls *tls;
    char words[200] = "";
    tls_make(&id, "DNS:localhost", 2);
    weft_tls_options o = {.certificate_text = id.certificate,
                          .key_text = id.key,
                          .sessions = 1,
                          .error = words,
                          .error_size = sizeof words};
    CHECK_ERR(-EINVAL, weft_tls_new(&tls, WEFT_TLS_SERVER, &o));
    CHECK_STR("sessions are kept by clients", words);
}

#endif
