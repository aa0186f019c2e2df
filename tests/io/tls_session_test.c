/* tls_session_test.c - TLS sessions without a stream: two of them over memory that takes and gives as little as it
 * likes, as a poller's owner would use them. */
#include "io/tls_support.h"

#include "base/compiler.h"
#include "io/tls.h"

#include <malloc.h>
#include <stdlib.h>

#if WEFT__ASAN || WEFT__TSAN
size_t __sanitizer_get_current_allocated_bytes(void);
#endif

enum {
    ROOM = 40000
};

/* One direction of the wire. */
typedef struct pipe_end {
    char bytes[ROOM];
    size_t at, used, most; /* most: bytes that it takes or gives at once */
    bool ended, full;      /* the writer has left; takes nothing for now */
    bool broken;           /* the reader has left */
} pipe_end;

typedef struct side {
    weft_tls_session *tls;
    pipe_end *in, *out;
} side;

static ssize_t get(void *owner, void *buf, size_t size)
{
    pipe_end *p = ((side *)owner)->in;
    size_t n = p->used - p->at;
    if (n == 0)
        return p->ended ? 0 : -EAGAIN;
    n = n < size ? n : size;
    n = n < p->most ? n : p->most;
    memcpy(buf, p->bytes + p->at, n);
    p->at += n;
    if (p->at == p->used)
        p->at = p->used = 0;
    return (ssize_t)n;
}

static ssize_t put(void *owner, const void *data, size_t size)
{
    pipe_end *p = ((side *)owner)->out;
    if (p->broken)
        return -EPIPE;
    size_t n = p->full ? 0 : ROOM - p->used;
    n = n < size ? n : size;
    n = n < p->most ? n : p->most;
    memcpy(p->bytes + p->used, data, n);
    p->used += n;
    return n > 0 ? (ssize_t)n : -EAGAIN;
}

static const weft_tls_wire wire = {get, put};

typedef struct couple {
    tls_pair contexts;
    pipe_end *to_server, *to_client;
    side server, client;
} couple;

static void open_couple(couple *c, size_t most)
{
    tls_open_pair(&c->contexts);
    c->to_server = calloc(1, sizeof *c->to_server);
    c->to_client = calloc(1, sizeof *c->to_client);
    c->to_server->most = c->to_client->most = most;
    c->server = (side){.in = c->to_server, .out = c->to_client};
    c->client = (side){.in = c->to_client, .out = c->to_server};
    CHECK_OK(weft_tls_session_open(&c->server.tls, c->contexts.server, NULL, &wire, &c->server));
    CHECK_OK(weft_tls_session_open(&c->client.tls, c->contexts.client, "localhost", &wire, &c->client));
}

static void close_couple(couple *c)
{
    weft_tls_session_close(c->server.tls);
    weft_tls_session_close(c->client.tls);
    free(c->to_server);
    free(c->to_client);
    tls_close_pair(&c->contexts);
}

static void shake_hands(couple *c)
{
    int a = -EAGAIN, b = -EAGAIN;
    for (int i = 0; i < 100000 && (a < 0 || b < 0); i++) {
        a = weft_tls_session_handshake(c->client.tls);
        b = weft_tls_session_handshake(c->server.tls);
        CHECK((a == 0 || a == -EAGAIN) && (b == 0 || b == -EAGAIN));
    }
    CHECK_INT(0, a);
    CHECK_INT(0, b);
}

/* Whatever the wire takes at once, a byte even, the same comes out. */
TEST(tls_session_over_a_wire_of_any_width)
{
    static const size_t widths[] = {1, 7, 1000, ROOM};
    for (size_t i = 0; i < 4; i++) {
        couple c;
        char out[3000], in[3000];
        open_couple(&c, widths[i]);
        shake_hands(&c);
        CHECK_STR("weft/1", weft_tls_session_protocol(c.server.tls));
        io_pattern(out, sizeof out, i);
        CHECK_INT(sizeof out, weft_tls_session_send(c.client.tls, out, sizeof out));
        CHECK_OK(weft_tls_session_flush(c.client.tls));
        for (size_t got = 0; got < sizeof in;) {
            ssize_t n = weft_tls_session_recv(c.server.tls, in + got, sizeof in - got);
            CHECK(n > 0);
            got += (size_t)n;
        }
        CHECK_MEM(out, in, sizeof in);
        CHECK_ERR(-EAGAIN, weft_tls_session_recv(c.server.tls, in, 1));
        CHECK(!weft_tls_session_unsent(c.server.tls));
        CHECK_OK(weft_tls_session_finish(c.client.tls));
        CHECK_INT(0, weft_tls_session_recv(c.server.tls, in, 1));
        CHECK_ERR(-EPIPE, weft_tls_session_send(c.client.tls, out, 1));
        CHECK_INT(5, weft_tls_session_send(c.server.tls, "still", 5)); /* the other way is open */
        CHECK_INT(5, weft_tls_session_recv(c.client.tls, in, 10));
        close_couple(&c);
    }
}

/* What a full wire does not take is kept once, and goes first. */
TEST(tls_session_keeps_what_the_wire_does_not_take)
{
    couple c;
    char in[10];
    open_couple(&c, ROOM);
    shake_hands(&c);
    c.to_server->full = true;
    CHECK_INT(3, weft_tls_session_send(c.client.tls, "one", 3));
    CHECK(weft_tls_session_unsent(c.client.tls));
    CHECK_ERR(-EAGAIN, weft_tls_session_send(c.client.tls, "two", 3)); /* not taken */
    CHECK_ERR(-EAGAIN, weft_tls_session_flush(c.client.tls));
    CHECK_ERR(-EAGAIN, weft_tls_session_recv(c.server.tls, in, 10));
    c.to_server->full = false;
    CHECK_INT(3, weft_tls_session_send(c.client.tls, "two", 3));
    CHECK(!weft_tls_session_unsent(c.client.tls));
    CHECK_INT(3, weft_tls_session_recv(c.server.tls, in, 10));
    CHECK_MEM("one", in, 3);
    CHECK_INT(3, weft_tls_session_recv(c.server.tls, in, 10));
    CHECK_MEM("two", in, 3);
    close_couple(&c);
}

/* Bytes that malloc has given out. */
static size_t heap_bytes(void)
{
#if WEFT__ASAN || WEFT__TSAN
    return __sanitizer_get_current_allocated_bytes();
#else
    struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
#endif
}

/* A session that has once met a full wire is no larger for it afterwards: many wait for hours. */
TEST(tls_session_gives_back_the_room_for_what_was_unsent)
{
    couple c;
    static char out[WEFT__TLS_RECORD], in[WEFT__TLS_RECORD];
    open_couple(&c, ROOM);
    shake_hands(&c);
    for (int i = 0; i < 2; i++) { /* the first time for what OpenSSL makes once */
        size_t before = heap_bytes();
        c.to_server->full = i > 0;
        CHECK_INT(sizeof out, weft_tls_session_send(c.client.tls, out, sizeof out));
        if (i > 0)
            CHECK(heap_bytes() >= before + sizeof out);
        c.to_server->full = false;
        CHECK_OK(weft_tls_session_flush(c.client.tls));
        for (size_t got = 0; got < sizeof in;) {
            ssize_t n = weft_tls_session_recv(c.server.tls, in, sizeof in - got);
            CHECK(n > 0);
            got += (size_t)n;
        }
        if (i > 0)
            CHECK(heap_bytes() < before + 2048);
    }
    close_couple(&c);
}

/* A bit that is changed on the way is noticed, and that stays. */
TEST(tls_session_notices_a_changed_bit)
{
    couple c;
    char in[100];
    open_couple(&c, ROOM);
    shake_hands(&c);
    while (weft_tls_session_recv(c.client.tls, in, 1) > 0) /* takes the tickets in */
        ;
    CHECK_INT(5, weft_tls_session_send(c.client.tls, "hello", 5));
    c.to_server->bytes[c.to_server->used - 1] ^= 1;
    CHECK_ERR(-WEFT_ETLS, weft_tls_session_recv(c.server.tls, in, sizeof in));
    CHECK_ERR(-WEFT_ETLS, weft_tls_session_recv(c.server.tls, in, sizeof in));
    CHECK_ERR(-WEFT_ETLS, weft_tls_session_send(c.server.tls, in, 1));
    CHECK(weft_tls_session_error(c.server.tls)[0] != 0);
    CHECK_ERR(-WEFT_ETLS, weft_tls_session_recv(c.client.tls, in, sizeof in)); /* it was told by an alert */
    close_couple(&c);
}

/* The wire ends at each byte of a handshake and of what follows: never a hang, never an end that was not said. */
TEST_LIMIT(60, tls_session_cut_at_any_byte)
{
    for (size_t cut = 0; cut < 3000; cut += cut < 20 ? 1 : 61) {
        couple c;
        char in[100];
        size_t passed = 0;
        int a = -EAGAIN, b = -EAGAIN;
        open_couple(&c, ROOM);
        for (int i = 0; i < 10 && b == -EAGAIN; i++) {
            a = a == -EAGAIN ? weft_tls_session_handshake(c.client.tls) : a;
            if (a == 0 && !c.to_server->ended)
                CHECK_INT(5, weft_tls_session_send(c.client.tls, "hello", 5));
            if (passed + c.to_server->used > cut) {
                c.to_server->used = cut - passed;
                c.to_server->ended = true;
            }
            passed += c.to_server->used;
            b = weft_tls_session_handshake(c.server.tls);
        }
        ssize_t n = b;
        while (b == 0 && (n = weft_tls_session_recv(c.server.tls, in, sizeof in)) > 0)
            ;
        CHECK(n == -WEFT_ETRUNCATED || n == -WEFT_ETLS || (n == -EAGAIN && !c.to_server->ended));
        close_couple(&c);
    }
}

/* A client that says something and leaves at once does not wait for the tickets that end a server's handshake. What it
 * said is read all the same. */
TEST(tls_session_of_a_client_that_has_left_is_read_to_its_end)
{
    couple c;
    char in[100];
    int a = -EAGAIN;
    open_couple(&c, ROOM);
    while ((a = weft_tls_session_handshake(c.client.tls)) == -EAGAIN)
        CHECK_ERR(-EAGAIN, weft_tls_session_handshake(c.server.tls));
    CHECK_OK(a);
    CHECK_INT(5, weft_tls_session_send(c.client.tls, "hello", 5));
    CHECK_OK(weft_tls_session_finish(c.client.tls));
    c.to_client->broken = true;
    CHECK_OK(weft_tls_session_handshake(c.server.tls));
    CHECK_INT(5, weft_tls_session_recv(c.server.tls, in, sizeof in));
    CHECK_MEM("hello", in, 5);
    CHECK_INT(0, weft_tls_session_recv(c.server.tls, in, sizeof in));
    CHECK_ERR(-EPIPE, weft_tls_session_send(c.server.tls, "x", 1));
    close_couple(&c);
}

/* Both ends anew, over the same contexts. */
static void open_again(couple *c)
{
    weft_tls_session_close(c->server.tls);
    weft_tls_session_close(c->client.tls);
    c->to_server->at = c->to_server->used = c->to_client->at = c->to_client->used = 0;
    CHECK_OK(weft_tls_session_open(&c->server.tls, c->contexts.server, NULL, &wire, &c->server));
    CHECK_OK(weft_tls_session_open(&c->client.tls, c->contexts.client, "localhost", &wire, &c->client));
}

static weft_tls_ticket *take_ticket(couple *c)
{
    char byte;
    CHECK_ERR(-EAGAIN, weft_tls_session_recv(c->client.tls, &byte, 1)); /* takes it in */
    weft_tls_ticket *ticket = weft_tls_session_ticket(c->client.tls);
    CHECK(ticket != NULL);
    return ticket;
}

/* By its ticket, also when the connection broke off; and by the next one's again. */
TEST(tls_session_is_resumed_by_its_ticket)
{
    couple c;
    open_couple(&c, ROOM);
    CHECK(weft_tls_session_ticket(c.client.tls) == NULL);
    shake_hands(&c);
    CHECK(weft_tls_session_ticket(c.client.tls) == NULL); /* TLS 1.3 sends it afterwards */
    for (int i = 0; i < 3; i++) {
        CHECK_INT(i > 0, weft_tls_session_resumed(c.client.tls));
        CHECK_INT(i > 0, weft_tls_session_resumed(c.server.tls));
        weft_tls_ticket *ticket = take_ticket(&c);
        open_again(&c);
        CHECK_OK(weft_tls_session_resume(c.client.tls, ticket));
        weft_tls_ticket_free(ticket);
        CHECK_INT(0, weft_tls_session_resumed(c.client.tls));
        shake_hands(&c);
    }
    CHECK_INT(3, weft_tls_session_send(c.client.tls, "one", 3));
    char in[10];
    CHECK_INT(3, weft_tls_session_recv(c.server.tls, in, sizeof in));
    open_again(&c);
    shake_hands(&c);
    CHECK_INT(0, weft_tls_session_resumed(c.client.tls)); /* nobody offers it by himself */
    weft_tls_ticket_free(NULL);
    close_couple(&c);
}

/* A ticket is good for the checks that its server has passed, and for no others: another context may ask for more. */
TEST(tls_session_ticket_is_for_its_context_and_host)
{
    couple c, other;
    open_couple(&c, ROOM);
    open_couple(&other, ROOM);
    shake_hands(&c);
    weft_tls_ticket *ticket = take_ticket(&c);
    CHECK_ERR(-EINVAL, weft_tls_session_resume(other.client.tls, ticket));
    CHECK_ERR(-EINVAL, weft_tls_session_resume(c.client.tls, ticket)); /* it has begun */
    CHECK_ERR(-EINVAL, weft_tls_session_resume(c.server.tls, ticket));
    CHECK(weft_tls_session_ticket(c.server.tls) == NULL);
    weft_tls_session_close(c.client.tls);
    CHECK_OK(weft_tls_session_open(&c.client.tls, c.contexts.client, "127.0.0.1", &wire, &c.client));
    CHECK_ERR(-EINVAL, weft_tls_session_resume(c.client.tls, ticket));
    close_couple(&other);
    close_couple(&c);
    weft_tls_ticket_free(ticket); /* outlives them all */
}

/* A server that has other keys makes a whole handshake. */
TEST(tls_session_that_cannot_be_resumed_is_made_anew)
{
    couple c;
    open_couple(&c, ROOM);
    shake_hands(&c);
    weft_tls_ticket *ticket = take_ticket(&c);
    open_again(&c);
    weft_tls *server;
    weft_tls_session_close(c.server.tls);
    CHECK_OK(weft_tls_new(
        &server, WEFT_TLS_SERVER,
        &(weft_tls_options){.certificate_text = c.contexts.id.certificate, .key_text = c.contexts.id.key}));
    CHECK_OK(weft_tls_session_open(&c.server.tls, server, NULL, &wire, &c.server));
    CHECK_OK(weft_tls_session_resume(c.client.tls, ticket));
    shake_hands(&c);
    CHECK_INT(0, weft_tls_session_resumed(c.client.tls));
    CHECK_INT(0, weft_tls_session_resumed(c.server.tls));
    weft_tls_ticket_free(ticket);
    close_couple(&c);
    weft_tls_free(server);
}
