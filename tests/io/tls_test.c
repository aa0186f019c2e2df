/* tls_test.c - TLS over streams, in a thread and in coroutines over every back end.. */
#include "io/tls_support.h"

#include <weft/buffered.h>
#include <weft/co.h>

#include "base/atomic.h"
#include "io/stream.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    MUCH = 1 << 20
};

static int echo_until_end(void *arg)
{
    weft_stream *s = arg;
    char *buf = malloc(40000);
    ssize_t n;
    while ((n = weft_stream_recv(s, buf, 40000, io_patience())) > 0)
        CHECK_INT(n, weft_stream_send(s, buf, (size_t)n, io_patience()));
    CHECK_INT(0, n);
    CHECK_OK(weft_tls_end(s, io_patience()));
    free(buf);
    return 0;
}

TEST_WAITERS_LIMIT(30, tls_echoes)
{
    tls_pair p;
    tls_open_pair(&p);
    io_pair s = tls_streams(t, &p, NULL);
    char *out = malloc(100000), *in = malloc(100000);
    test_spawn(t, echo_until_end, s.b);
    for (size_t n = 1; n < 100000; n = n * 3 + 1) {
        io_pattern(out, n, n);
        CHECK_INT(n, weft_stream_send(s.a, out, n, io_patience()));
        CHECK_INT(n, weft_stream_recv_all(s.a, in, n, NULL, io_patience()));
        CHECK_MEM(out, in, n);
    }
    CHECK_INT(0, weft_stream_send(s.a, out, 0, io_patience()));
    CHECK_OK(weft_stream_shutdown(s.a, WEFT_SHUTDOWN_SEND));
    CHECK_ERR(-EPIPE, weft_stream_send(s.a, out, 1, io_patience()));
    CHECK_INT(0, weft_stream_recv(s.a, in, 1, io_patience()));
    CHECK_INT(0, weft_stream_recv(s.a, in, 1, io_patience())); /* the end stays */
    test_join(t);
    free(out);
    free(in);
    io_close_pair(s);
    tls_close_pair(&p);
}

TEST_WAITERS(tls_says_what_was_agreed_on)
{
    tls_pair p;
    tls_open_pair(&p);
    io_pair s = tls_streams(t, &p, NULL), plain = io_stream_pair(NULL);
    CHECK_STR("TLSv1.3", weft_tls_version(s.a));
    CHECK_STR(weft_tls_cipher(s.a), weft_tls_cipher(s.b));
    CHECK(strncmp(weft_tls_cipher(s.a), "TLS_", 4) == 0);
    CHECK_STR("weft/1", weft_tls_protocol(s.a)); /* the server's choice */
    CHECK_STR("weft/1", weft_tls_protocol(s.b));
    CHECK_STR("localhost", weft_tls_host(s.b));
    CHECK_STR("", weft_tls_error(s.b));
    CHECK_STR("", weft_tls_version(plain.a));
    CHECK_ERR(-EINVAL, weft_tls_end(plain.a, WEFT_NOW));
    CHECK_ERR(-EINVAL, weft_tls_start(s.a, p.client, "localhost", WEFT_NOW)); /* once only */
    CHECK_ERR(-EINVAL, weft_tls_start(plain.a, p.client, NULL, WEFT_NOW));    /* for whom? */
    io_close_pair(plain);
    io_close_pair(s);
    tls_close_pair(&p);
}

/* Who does not look at the error sends nothing in the clear. */
TEST_WAITERS(tls_that_could_not_begin_leaves_no_plain_stream)
{
    tls_pair p;
    tls_open_pair(&p);
    io_pair s = io_stream_pair(NULL);
    char byte;
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    (void)t;
    CHECK(fd >= 0);
    CHECK_ERR(-EINVAL, weft_tls_start(s.a, p.client, NULL, WEFT_NOW));
    CHECK_ERR(-WEFT_ETLS, weft_stream_send(s.a, "secret", 6, io_patience()));
    CHECK_ERR(-WEFT_ETLS, weft_stream_recv(s.a, &byte, 1, WEFT_NOW));
    CHECK_ERR(-WEFT_ETLS, weft_stream_sendfile(s.a, fd, 0, 1, WEFT_NOW));
    close(fd);
    CHECK_ERR(-EINVAL, weft_tls_start(s.a, p.client, "localhost", WEFT_NOW));
    weft_stream_close(s.a);
    CHECK_INT(0, weft_stream_recv(s.b, &byte, 1, io_patience()));
    weft_stream_close(s.b);
    tls_close_pair(&p);
}

/* ---- much at once ---- */

static int receive_much(void *arg)
{
    weft_stream *s = arg;
    char *data = malloc(MUCH);
    for (size_t at = 0; at < MUCH;) {
        ssize_t n = weft_stream_recv(s, data, 1 + at % 30000, io_patience());
        CHECK(n > 0);
        io_check_pattern(data, (size_t)n, at);
        at += (size_t)n;
    }
    free(data);
    return 0;
}

static int send_much(void *arg)
{
    char *data = malloc(MUCH);
    io_pattern(data, MUCH, 0);
    CHECK_INT(MUCH, weft_stream_send(arg, data, MUCH, io_patience()));
    free(data);
    return 0;
}

TEST_WAITERS_LIMIT(30, tls_is_read_and_written_at_once)
{
    tls_pair p;
    tls_open_pair(&p);
    io_pair s = tls_streams(t, &p, NULL);
    test_spawn(t, receive_much, s.a);
    test_spawn(t, receive_much, s.b);
    test_spawn(t, send_much, s.a);
    test_spawn(t, send_much, s.b);
    test_join(t);
    io_close_pair(s);
    tls_close_pair(&p);
}

TEST_WAITERS_LIMIT(30, tls_sends_pieces_and_files)
{
    tls_pair p;
    tls_open_pair(&p);
    io_pair s = tls_streams(t, &p, NULL);
    char path[300], *data = malloc(MUCH);
    struct iovec pieces[300];
    size_t at = 0;
    snprintf(path, sizeof path, "%s/file", test_dir());
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    io_pattern(data, MUCH, 0);
    CHECK_INT(MUCH, pwrite(fd, data, MUCH, 0));
    for (size_t i = 0; i < 300; i++) {
        size_t size = i == 299 ? 600000 - at : i % 3 == 0 ? 0 : i * 10;
        pieces[i] = (struct iovec){data + at, size};
        at += size;
    }
    test_spawn(t, receive_much, s.b);
    CHECK_INT(600000, weft_stream_send_pieces(s.a, pieces, 300, io_patience()));
    CHECK_INT(0, weft_stream_send_pieces(s.a, pieces, 0, io_patience()));
    CHECK_INT(MUCH - 600000, weft_stream_sendfile(s.a, fd, 600000, MUCH, io_patience())); /* it ends before that */
    CHECK_ERR(-EBADF, weft_stream_sendfile(s.a, -1, 0, 5, io_patience()));
    test_join(t);
    close(fd);
    free(data);
    io_close_pair(s);
    tls_close_pair(&p);
}

/* ---- deadlines ---- */

TEST_WAITERS(tls_recv_times_out_and_goes_on)
{
    tls_pair p;
    tls_open_pair(&p);
    io_pair s = tls_streams(t, &p, NULL);
    char byte;
    for (int i = 0; i < 3; i++) {
        CHECK_ERR(-ETIMEDOUT, weft_stream_recv(s.a, &byte, 1, weft_in_ms(20)));
        CHECK_ERR(-ETIMEDOUT, weft_stream_recv(s.a, &byte, 1, WEFT_NOW));
        CHECK_INT(2, weft_stream_send(s.b, "xy", 2, io_patience()));
        CHECK_INT(1, weft_stream_recv(s.a, &byte, 1, io_patience()));
        CHECK_INT(1, weft_stream_recv(s.a, &byte, 1, WEFT_NOW)); /* it is there */
    }
    io_close_pair(s);
    tls_close_pair(&p);
}

/* Send until nothing is taken any more, 10000 bytes at a time. Returns how many bytes were taken. */
static size_t stuff(weft_stream *s)
{
    char data[10000];
    size_t sent = 0;
    for (int vain = 0; vain < 3;) {
        size_t before = sent, part = sent % sizeof data;
        io_pattern(data, sizeof data, sent / sizeof data);
        struct iovec rest = {data + part, sizeof data - part};
        ssize_t n = weft__stream_send_counted(s, &rest, 1, &sent, weft_in_ms(5));
        CHECK(n > 0 || n == -ETIMEDOUT);
        vain = sent == before ? vain + 1 : 0;
    }
    return sent;
}

/* What a send that was given up has begun goes on with the next, and not a byte is lost or doubled. */
TEST_WAITERS_LIMIT(30, tls_send_goes_on_after_its_deadline)
{
    tls_pair p;
    tls_open_pair(&p);
    io_pair s = tls_streams(t, &p, &(weft_tcp_options){.send_buffer = 20000, .recv_buffer = 20000});
    char in[10000], byte;
    size_t sent = stuff(s.a), got = 0;
    CHECK(sent > 20000);
    int err = weft_stream_shutdown(s.a, WEFT_SHUTDOWN_SEND); /* cannot say the end yet, unless room came just now */
    CHECK(err == -EAGAIN || err == 0);
    struct timespec before, after;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    weft_tls_end(s.a, weft_in_ms(200)); /* waits, and does not spin */
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    CHECK_BETWEEN(0, 100, (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000);
    while (got < sent) {
        size_t want = sent - got < sizeof in ? sent - got : sizeof in;
        for (size_t have = 0; have < want;) {
            ssize_t n = weft_stream_recv(s.b, in + have, want - have, weft_in_ms(1));
            CHECK(n > 0 || n == -ETIMEDOUT);
            have += n > 0 ? (size_t)n : 0;
            weft_tls_end(s.a, WEFT_NOW); /* moves on what is kept */
        }
        io_check_pattern(in, want, got / sizeof in);
        got += want;
    }
    CHECK_OK(weft_tls_end(s.a, io_patience()));
    CHECK_INT(0, weft_stream_recv(s.b, &byte, 1, io_patience()));
    io_close_pair(s);
    tls_close_pair(&p);
}

/* A shutdown of both that cannot say the end yet has done nothing: what comes is still received. */
TEST_WAITERS_LIMIT(30, tls_shutdown_that_must_wait_ends_no_input)
{
    tls_pair p;
    char byte;
    tls_open_pair(&p);
    io_pair s = tls_streams(t, &p, &(weft_tcp_options){.send_buffer = 20000, .recv_buffer = 20000});
    stuff(s.a);
    int err = weft_stream_shutdown(s.a, WEFT_SHUTDOWN_BOTH);
    CHECK_INT(1, weft_stream_send(s.b, "x", 1, io_patience()));
    if (err == -EAGAIN) /* and not, that room came just now */
        CHECK_INT(1, weft_stream_recv(s.a, &byte, 1, io_patience()));
    io_close_pair(s);
    tls_close_pair(&p);
}

TEST_WAITERS(tls_handshake_has_a_deadline)
{
    tls_pair p;
    tls_open_pair(&p);
    for (int i = 0; i < 2; i++) {
        io_pair s = io_stream_pair(NULL);
        char byte;
        CHECK_ERR(-ETIMEDOUT,
                  weft_tls_start(s.a, i == 0 ? p.client : p.server, i == 0 ? "localhost" : NULL, weft_in_ms(20)));
        CHECK_ERR(-ETIMEDOUT, weft_stream_recv(s.a, &byte, 1, WEFT_FOREVER)); /* and that was it */
        CHECK_ERR(-ETIMEDOUT, weft_stream_send(s.a, &byte, 1, WEFT_FOREVER));
        io_close_pair(s);
    }
    tls_close_pair(&p);
}

/* ---- who is it? ---- */

typedef struct shaking {
    weft_stream *s;
    weft_tls *tls;
    int result;
} shaking;

static int shake(void *arg)
{
    shaking *k = arg;
    k->result = weft_tls_start(k->s, k->tls, NULL, io_patience());
    char byte;
    if (k->result == 0) /* TLS 1.3: what the client makes of us comes later */
        weft_stream_recv(k->s, &byte, 1, io_patience());
    return 0;
}

/* A handshake with the server's context: the client's result. */
static int meets(test *t, weft_tls *server, weft_tls *client, const char *host, const char *words)
{
    io_pair s = io_stream_pair(NULL);
    shaking k = {.s = s.b, .tls = server};
    test_spawn(t, shake, &k);
    int err = weft_tls_start(s.a, client, host, io_patience());
    CHECK(strstr(weft_tls_error(s.a), words) != NULL);
    if (err < 0) {
        CHECK_ERR(err, weft_stream_send(s.a, "x", 1, io_patience()));
        CHECK_STR("", weft_tls_version(s.a));
    }
    weft_stream_close(s.a);
    test_join(t);
    weft_stream_close(s.b);
    return err;
}

static weft_tls *context(int side, const weft_tls_options *options)
{
    weft_tls *tls;
    CHECK_OK(weft_tls_new(&tls, side, options));
    return tls;
}

TEST_WAITERS(tls_client_looks_at_the_certificate)
{
    tls_pair p, other;
    tls_open_pair(&p);
    tls_open_pair(&other);
    CHECK_OK(meets(t, p.server, p.client, "localhost", ""));
    CHECK_OK(meets(t, p.server, p.client, "127.0.0.1", ""));
    CHECK_OK(meets(t, p.server, p.client, "[::1]", ""));
    CHECK_OK(meets(t, p.server, p.client, "localhost.", "")); /* the whole name, as the look-up knows it */
    io_pair s = io_stream_pair(NULL);
    CHECK_ERR(-EINVAL, weft_tls_start(s.a, p.client, ".localhost", io_patience())); /* not: any host below */
    io_close_pair(s);
    CHECK_ERR(-WEFT_EHOSTNAME, meets(t, p.server, p.client, "example.org", "hostname mismatch"));
    CHECK_ERR(-WEFT_EHOSTNAME, meets(t, p.server, p.client, "127.0.0.2", "IP address mismatch"));
    CHECK_ERR(-WEFT_EHOSTNAME, meets(t, p.server, p.client, "host", "hostname mismatch"));
    CHECK_ERR(-WEFT_ECERTIFICATE, meets(t, other.server, p.client, "localhost", "certificate"));
    weft_tls *any = context(WEFT_TLS_CLIENT, &(weft_tls_options){.verify = WEFT_TLS_UNCHECKED});
    CHECK_OK(meets(t, p.server, any, "example.org", ""));
    CHECK_OK(meets(t, p.server, any, NULL, ""));
    weft_tls_free(any);
    weft_tls *system = context(WEFT_TLS_CLIENT, NULL); /* the system's authorities do not know ours */
    CHECK_ERR(-WEFT_ECERTIFICATE, meets(t, p.server, system, "localhost", "certificate"));
    weft_tls_free(system);
    tls_close_pair(&other);
    tls_close_pair(&p);
}

TEST_WAITERS(tls_client_refuses_what_is_out_of_date_or_has_stars)
{
    tls_identity id;
    tls_make(&id, "DNS:localhost", -1);
    weft_tls *server =
        context(WEFT_TLS_SERVER, &(weft_tls_options){.certificate_text = id.certificate, .key_text = id.key});
    weft_tls *client = context(WEFT_TLS_CLIENT, &(weft_tls_options){.ca_text = id.ca});
    CHECK_ERR(-WEFT_ECERTIFICATE, meets(t, server, client, "localhost", "expired"));
    weft_tls_free(server);
    weft_tls_free(client);
    tls_make(&id, "DNS:*.example.org,DNS:w*.example.com", 2);
    server = context(WEFT_TLS_SERVER, &(weft_tls_options){.certificate_text = id.certificate, .key_text = id.key});
    client = context(WEFT_TLS_CLIENT, &(weft_tls_options){.ca_text = id.ca});
    CHECK_OK(meets(t, server, client, "www.example.org", ""));
    CHECK_ERR(-WEFT_EHOSTNAME, meets(t, server, client, "a.b.example.org", "mismatch"));
    CHECK_ERR(-WEFT_EHOSTNAME, meets(t, server, client, "www.example.com", "mismatch"));
    weft_tls_free(server);
    weft_tls_free(client);
}

TEST_WAITERS(tls_server_can_ask_for_a_certificate)
{
    tls_pair p;
    tls_identity of_client;
    tls_open_pair(&p);
    tls_make(&of_client, "DNS:client", 2);
    weft_tls_options asks = {.certificate_text = p.id.certificate,
                             .key_text = p.id.key,
                             .ca_text = of_client.ca,
                             .verify = WEFT_TLS_REQUIRE};
    weft_tls *server = context(WEFT_TLS_SERVER, &asks);
    weft_tls *shows = context(
        WEFT_TLS_CLIENT,
        &(weft_tls_options){.ca_text = p.id.ca, .certificate_text = of_client.certificate, .key_text = of_client.key});
    weft_tls *contexts[] = {shows, p.client};
    for (int i = 0; i < 2; i++) {
        io_pair s = io_stream_pair(NULL);
        char byte;
        shaking k = {.s = s.b, .tls = server};
        test_spawn(t, shake, &k);
        CHECK_OK(weft_tls_start(s.a, contexts[i], "localhost", io_patience()));
        if (i == 0)
            CHECK_INT(1, weft_stream_send(s.a, "x", 1, io_patience()));
        else /* TLS 1.3 tells it when the client thinks that all is well */
            CHECK_ERR(-WEFT_ETLS, weft_stream_recv(s.a, &byte, 1, io_patience()));
        test_join(t);
        CHECK_ERR(i == 0 ? 0 : -WEFT_ECERTIFICATE, k.result);
        io_close_pair(s);
    }
    weft_tls_free(server);
    weft_tls_free(shows);
    tls_close_pair(&p);
}

TEST_WAITERS(tls_ends_without_a_common_protocol)
{
    tls_pair p;
    tls_open_pair(&p);
    weft_tls *client = context(WEFT_TLS_CLIENT, &(weft_tls_options){.ca_text = p.id.ca, .alpn = "gopher"});
    CHECK_ERR(-WEFT_ETLS, meets(t, p.server, client, "localhost", "no application protocol"));
    weft_tls_free(client);
    client = context(WEFT_TLS_CLIENT, &(weft_tls_options){.ca_text = p.id.ca}); /* does not ask */
    CHECK_OK(meets(t, p.server, client, "localhost", ""));
    weft_tls_free(client);
    tls_close_pair(&p);
}

/* ---- ends and rubbish ---- */

/* An end that was said and one that was not are two things. */
TEST_WAITERS(tls_end_is_told_apart_from_truncation)
{
    tls_pair p;
    char byte;
    tls_open_pair(&p);
    io_pair s = tls_streams(t, &p, NULL);
    CHECK_INT(1, weft_stream_send(s.a, "x", 1, io_patience()));
    weft_stream_close(s.a); /* says it */
    CHECK_INT(1, weft_stream_recv(s.b, &byte, 1, io_patience()));
    CHECK_INT(0, weft_stream_recv(s.b, &byte, 1, io_patience()));
    weft_stream_close(s.b);
    s = tls_streams(t, &p, NULL);
    CHECK_INT(1, weft_stream_send(s.a, "x", 1, io_patience()));
    CHECK_OK(weft__sys_shutdown(weft_stream_fd(s.a), WEFT_SHUTDOWN_SEND)); /* as if the connection had been cut */
    CHECK_INT(1, weft_stream_recv(s.b, &byte, 1, io_patience()));
    CHECK_ERR(-WEFT_ETRUNCATED, weft_stream_recv(s.b, &byte, 1, io_patience()));
    CHECK_ERR(-WEFT_ETRUNCATED, weft_stream_recv(s.b, &byte, 1, io_patience()));
    CHECK(strstr(weft_tls_error(s.b), "without the end") != NULL);
    io_close_pair(s);
    tls_close_pair(&p);
}

/* Who ends his input hears no more, and may go on speaking. */
TEST_WAITERS(tls_input_that_was_ended_leaves_the_output_alone)
{
    tls_pair p;
    char in[2];
    tls_open_pair(&p);
    io_pair s = tls_streams(t, &p, NULL);
    CHECK_INT(1, weft_stream_send(s.a, "x", 1, io_patience()));
    CHECK_OK(weft_stream_shutdown(s.b, WEFT_SHUTDOWN_RECV));
    CHECK_INT(0, weft_stream_recv(s.b, in, 1, io_patience()));
    CHECK_INT(2, weft_stream_send(s.b, "yz", 2, io_patience()));
    CHECK_INT(2, weft_stream_recv_all(s.a, in, 2, NULL, io_patience()));
    CHECK_OK(weft_stream_shutdown(s.b, WEFT_SHUTDOWN_SEND));
    CHECK_INT(0, weft_stream_recv(s.a, in, 1, io_patience()));
    CHECK_INT(0, weft_stream_recv(s.b, in, 1, io_patience()));
    io_close_pair(s);
    tls_close_pair(&p);
}

static int receives_the_end(void *arg)
{
    char byte;
    CHECK_INT(0, weft_stream_recv(arg, &byte, 1, io_patience()));
    return 0;
}

TEST_WAITERS(tls_input_that_is_ended_ends_a_wait)
{
    tls_pair p;
    tls_open_pair(&p);
    io_pair s = tls_streams(t, &p, NULL);
    for (int i = 0; i < 2; i++)
        test_spawn(t, receives_the_end, s.b);
    weft_sleep(weft_in_ms(5)); /* they wait by then, or the case is an easier one */
    CHECK_OK(weft_stream_shutdown(s.b, WEFT_SHUTDOWN_RECV));
    test_join(t);
    io_close_pair(s);
    tls_close_pair(&p);
}

TEST_WAITERS(tls_server_is_sent_something_else)
{
    static const char *const rubbish[] = {"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                                          "\x16\x03\x01\xff\xff garbage, and more of it", "hello, hello, hello", ""};
    tls_pair p;
    tls_open_pair(&p);
    for (int i = 0; i < 4; i++) {
        io_pair s = io_stream_pair(NULL);
        CHECK_INT(strlen(rubbish[i]), weft_stream_send(s.a, rubbish[i], strlen(rubbish[i]), io_patience()));
        weft_stream_shutdown(s.a, WEFT_SHUTDOWN_SEND);
        int err = weft_tls_start(s.b, p.server, NULL, io_patience());
        CHECK_ERR(i == 3 ? -WEFT_ETRUNCATED : -WEFT_ETLS, err);
        CHECK(weft_tls_error(s.b)[0] != 0);
        io_close_pair(s);
    }
    tls_close_pair(&p);
}

typedef struct victim {
    weft_stream *s;
    weft__waiter *waiter; /* atomic */
    ssize_t result;
} victim;

static int receive_in_vain(void *arg)
{
    victim *v = arg;
    char byte;
    store_release(&v->waiter, weft__self());
    v->result = weft_stream_recv(v->s, &byte, 1, io_patience());
    return 0;
}

static void wait_until_waiting(weft__waiter *const *waiter)
{
    weft__waiter *w;
    while ((w = load_acquire(waiter)) == NULL || load_acquire(&w->word) == NULL)
        weft_sleep(weft_in_ms(1));
}

TEST_WAITERS(tls_close_and_cancellation_end_a_wait)
{
    tls_pair p;
    char byte;
    tls_open_pair(&p);
    io_pair s = tls_streams(t, &p, NULL);
    victim v = {.s = s.a}, w = {.s = s.b};
    test_spawn(t, receive_in_vain, &w);
    wait_until_waiting(&w.waiter);
    weft__waiter_cancel(w.waiter);
    test_join(t);
    CHECK_ERR(-ECANCELED, w.result);
    test_spawn(t, receive_in_vain, &v);
    wait_until_waiting(&v.waiter);
    weft_stream_close(s.a);
    test_join(t);
    CHECK_ERR(-EBADF, v.result);
    CHECK_INT(0, weft_stream_recv(s.b, &byte, 1, io_patience())); /* the end was said all the same */
    weft_stream_close(s.b);
    tls_close_pair(&p);
}

/* ---- with the rest ---- */

TEST_WAITERS(tls_carries_messages_over_a_unix_socket)
{
    tls_pair p;
    weft_stream *pair[2];
    weft_buffered *a, *b;
    const void *data;
    tls_open_pair(&p);
    CHECK_OK(weft_unix_pair(pair));
    shaking k = {.s = pair[1], .tls = p.server};
    CHECK_OK(weft_buffered_open(&a, pair[0], NULL));
    test_spawn(t, shake, &k);
    CHECK_OK(weft_tls_start(pair[0], p.client, "localhost", io_patience()));
    CHECK_INT(1, weft_stream_send(pair[0], "x", 1, io_patience())); /* which shake takes */
    test_join(t);
    CHECK_OK(weft_buffered_open(&b, pair[1], NULL));
    for (int i = 0; i < 10; i++)
        CHECK_INT(5, weft_buffered_write_frame(a, &(weft_frame){0}, "hello", 5, io_patience()));
    for (int i = 0; i < 10; i++) {
        CHECK_INT(5, weft_buffered_read_frame(b, &(weft_frame){0}, &data, io_patience()));
        CHECK_MEM("hello", data, 5);
    }
    weft_buffered_close(a);
    CHECK_ERR(-WEFT_EEOF, weft_buffered_read_frame(b, &(weft_frame){0}, &data, io_patience()));
    weft_buffered_close(b);
    tls_close_pair(&p);
}

static int serve_by_name(void *arg)
{
    shaking *k = arg;
    weft_stream *s;
    CHECK_OK(weft_stream_accept(&s, k->s, io_patience()));
    k->result = weft_tls_start(s, k->tls, NULL, io_patience());
    char byte;
    if (k->result == 0 && weft_stream_recv(s, &byte, 1, io_patience()) == 1)
        CHECK_INT(1, weft_stream_send(s, &byte, 1, io_patience()));
    weft_stream_close(s);
    return 0;
}

TEST_WAITERS(tls_connects_by_name)
{
    tls_pair p;
    weft_stream *l, *s;
    char byte;
    tls_open_pair(&p);
    CHECK_OK(weft_tcp_listen(&l, "127.0.0.1", 0, NULL));
    shaking k = {.s = l, .tls = p.server};
    test_spawn(t, serve_by_name, &k);
    CHECK_OK(weft_tls_connect(&s, p.client, "localhost", weft_stream_port(l), NULL, io_patience()));
    weft_tls_free(p.client); /* the connection keeps what it needs */
    CHECK_INT(1, weft_stream_send(s, "x", 1, io_patience()));
    CHECK_INT(1, weft_stream_recv(s, &byte, 1, io_patience()));
    test_join(t);
    weft_stream_close(s);
    tls_identity stranger;
    tls_make(&stranger, "DNS:elsewhere", 2);
    p.client = context(WEFT_TLS_CLIENT, &(weft_tls_options){.ca_text = stranger.ca});
    test_spawn(t, serve_by_name, &k);
    CHECK_ERR(-WEFT_ECERTIFICATE,
              weft_tls_connect(&s, p.client, "localhost", weft_stream_port(l), NULL, io_patience()));
    test_join(t);
    CHECK_ERR(-WEFT_ETLS, k.result);
    weft_stream_close(l);
    tls_close_pair(&p);
}

/* ---- contexts ---- */

static void refuses(int err, int side, weft_tls_options options, const char *words)
{
    weft_tls *tls;
    char error[200] = "";
    options.error = error;
    options.error_size = sizeof error;
    CHECK_ERR(err, weft_tls_new(&tls, side, &options));
    if (strstr(error, words) == NULL)
        FAIL("'%s' says nothing of '%s'", error, words);
}

TEST(tls_context_that_cannot_be_is_refused_in_words)
{
    tls_identity id, other;
    weft_tls *tls;
    char name[300];
    tls_make(&id, "DNS:localhost", 2);
    tls_make(&other, "DNS:localhost", 2);
    CHECK_ERR(-EINVAL, weft_tls_new(&tls, 2, NULL));
    refuses(-EINVAL, WEFT_TLS_SERVER, (weft_tls_options){0}, "a server needs a certificate");
    refuses(-EINVAL, WEFT_TLS_SERVER, (weft_tls_options){.certificate_text = "rubbish"}, "no certificate");
    refuses(-EINVAL, WEFT_TLS_SERVER, (weft_tls_options){.certificate_text = id.certificate}, "no private key");
    refuses(-EINVAL, WEFT_TLS_SERVER, (weft_tls_options){.certificate_text = id.certificate, .key_text = other.key},
            "not the certificate's");
    refuses(-EINVAL, WEFT_TLS_SERVER,
            (weft_tls_options){.certificate_text = id.certificate, .key_text = id.key, .verify = WEFT_TLS_REQUIRE},
            "`ca` is missing");
    refuses(-EINVAL, WEFT_TLS_CLIENT, (weft_tls_options){.ca_text = ""}, "no authorities");
    refuses(-ENOENT, WEFT_TLS_CLIENT, (weft_tls_options){.ca = "/no/such/file"}, "/no/such/file: No such file");
    refuses(-EINVAL, WEFT_TLS_CLIENT, (weft_tls_options){.ca = "/"}, "/: no plain file");
    refuses(-EINVAL, WEFT_TLS_CLIENT, (weft_tls_options){.alpn = "a,,b"}, "alpn");
    refuses(-EINVAL, WEFT_TLS_CLIENT, (weft_tls_options){.alpn = "a,"}, "alpn");
    weft_tls_free(NULL);
    snprintf(name, sizeof name, "%s/both.pem", test_dir());
    FILE *file = fopen(name, "w");
    fprintf(file, "%s%s", id.certificate, id.key);
    fclose(file);
    CHECK_OK(weft_tls_new(&tls, WEFT_TLS_SERVER, &(weft_tls_options){.certificate = name})); /* the key is in it */
    weft_tls_free(tls);
    CHECK_OK(weft_tls_new(
        &tls, WEFT_TLS_SERVER,
        &(weft_tls_options){.certificate = name, .key = name, .ca = name, .verify = WEFT_TLS_REQUIRE, .only_1_3 = 1}));
    weft_tls_free(tls);
}

/* ---- faults ---- */

static int serve_what_comes(void *arg)
{
    shaking *k = arg;
    char byte;
    k->result = weft_tls_start(k->s, k->tls, NULL, io_patience());
    if (k->result == 0)
        weft_stream_recv(k->s, &byte, 1, io_patience());
    weft_stream_close(k->s);
    return 0;
}

TEST_IN_LIMIT(60, THREAD | CO, tls_survives_each_failing_call)
{
    static const enum weft__sys_call calls[] = {WEFT__SYS_SEND, WEFT__SYS_RECV, WEFT__SYS_MALLOC};
    static const int errors[] = {-ECONNRESET, -ECONNRESET, -ENOMEM};
    tls_pair p;
    tls_open_pair(&p);
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        for (uint32_t nth = 1; nth <= 12; nth++) {
            io_pair s = io_stream_pair(NULL);
            shaking k = {.s = s.b, .tls = p.server};
            test_spawn(t, serve_what_comes, &k);
            weft__sys_plan(calls[i], nth, 1, errors[i], 0);
            int err = weft_tls_start(s.a, p.client, "localhost", io_patience());
            if (err == 0)
                err = (int)weft_stream_send(s.a, "x", 1, io_patience());
            weft__sys_plan_none();
            weft_stream_close(s.a);
            test_join(t);
            CHECK(err == 1 || err == errors[i] || err == -ECONNRESET || err == -EPIPE || err == -WEFT_ETRUNCATED ||
                  err == -WEFT_ETLS);
        }
    tls_close_pair(&p);
}

/* Each part of a context may fail for want of memory. */
TEST(tls_context_without_memory_is_an_error)
{
    tls_identity id;
    weft_tls *tls;
    char name[300];
    tls_make(&id, "DNS:localhost", 2);
    snprintf(name, sizeof name, "%s/both.pem", test_dir());
    FILE *file = fopen(name, "w");
    fprintf(file, "%s%s", id.certificate, id.key);
    fclose(file);
    int fds = test_fd_count(), failures = 0;
    for (uint32_t nth = 1; nth <= 5; nth++) {
        weft__sys_plan(WEFT__SYS_MALLOC, nth, 1, -ENOMEM, 0);
        int err = weft_tls_new(&tls, WEFT_TLS_SERVER, &(weft_tls_options){.certificate = name});
        weft__sys_plan_none();
        CHECK(err == 0 || err == -ENOMEM);
        failures += err < 0;
        if (err == 0)
            weft_tls_free(tls);
        CHECK_INT(fds, test_fd_count());
    }
    CHECK(failures >= 2);
}
