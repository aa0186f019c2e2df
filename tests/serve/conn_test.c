/* conn_test.c - one connection at a time: bytes in any cut, answers of every kind, clients that leave at every moment.
 */
#include "serve/serve_support.h"

#include "base/atomic.h"
#include "co/state.h"
#include "serve/serve.h"
#include "sys/sys.h"

#include <weft/co.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

SERVE_TLS_CASE(conn_lines_are_answered_in_order)
SERVE_CASE(conn_lines_are_answered_in_order)
{
    line_service *service = line_service_new(false);
    weft_server *s = serve_lines(kind, (weft_server_options){0}, service);
    int fd = client_open(weft_server_port(s));
    client_expect_reply(fd, "echo one\n", "one\n");
    client_expect_reply(fd, "echo two\necho three\n", "two\nthree\n");
    client_expect_reply(fd, "close\n", "bye\n");
    client_expect_end(fd);
    client_close(fd);
    wait_open(s, 0);
    serve_stop(s);
    CHECK_INT(1, service->opened);
    CHECK_INT(1, service->closed);
    CHECK_INT(0, service->states);
}

/* A thousand requests in one piece: answers come whole and in order, however they are cut on the way. */
static void pipelined(const serve_kind *kind, bool stays)
{
    line_service *service = line_service_new(stays);
    weft_server *s = serve_lines(kind, (weft_server_options){0}, service);
    int fd = client_open(weft_server_port(s));
    char request[20000], *at = request;
    for (int i = 0; i < 1000; i++)
        at += sprintf(at, "echo %d\n", i);
    client_send(fd, request, (size_t)(at - request));
    for (int i = 0; i < 1000; i++) {
        char want[32];
        sprintf(want, "%d\n", i);
        client_expect(fd, want);
    }
    client_close(fd);
    wait_open(s, 0);
    serve_stop(s);
}

SERVE_TLS_CASE(conn_pipelined_requests)
SERVE_CASE(conn_pipelined_requests)
{
    pipelined(kind, false);
}

SERVE_TLS_CASE(conn_pipelined_requests_of_a_handler_that_stays)
SERVE_CASE(conn_pipelined_requests_of_a_handler_that_stays)
{
    pipelined(kind, true);
}

static void cut_everywhere(const serve_kind *kind, bool stays)
{
    static const char text[] = "echo alpha\necho beta\n";
    line_service *service = line_service_new(stays);
    weft_server *s = serve_lines(kind, (weft_server_options){0}, service);
    int fd = client_open(weft_server_port(s));
    for (size_t cut = 1; cut < sizeof(text) - 1; cut++) {
        client_send(fd, text, cut);
        if (cut >= 11)
            client_expect(fd, "alpha\n"); /* has arrived by itself */
        usleep(500);                      /* makes separate arrival likely; right either way */
        client_send(fd, text + cut, sizeof(text) - 1 - cut);
        client_expect(fd, cut >= 11 ? "beta\n" : "alpha\nbeta\n");
    }
    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        client_send(fd, text + i, 1);
        usleep(200);
    }
    client_expect(fd, "alpha\nbeta\n");
    client_close(fd);
    wait_open(s, 0);
    serve_stop(s);
}

SERVE_TLS_CASE(conn_requests_cut_at_each_byte)
SERVE_CASE(conn_requests_cut_at_each_byte)
{
    cut_everywhere(kind, false);
}

SERVE_TLS_CASE(conn_requests_cut_at_each_byte_of_a_handler_that_stays)
SERVE_CASE(conn_requests_cut_at_each_byte_of_a_handler_that_stays)
{
    cut_everywhere(kind, true);
}

static bool descriptors_are(void *count)
{
    return test_fd_count() <= *(int *)count + 1; /* the acceptor may have opened an eventfd since */
}

/* Clients that leave after each byte, politely and by a reset, unread answers or not. */
static void vanish(const serve_kind *kind, bool stays)
{
    static const char text[] = "echo alpha\nbig 100000\necho beta\n";
    line_service *service = line_service_new(stays);
    weft_server *s = serve_lines(kind, (weft_server_options){0}, service);
    int before = test_fd_count() + (int)kind->threads; /* each may open an eventfd */
    for (size_t bytes = 0; bytes < sizeof(text); bytes++) {
        for (int polite = 0; polite < 2; polite++) {
            if (kind->tls && polite == (int)((bytes + stays) % 2))
                continue; /* so does the other handler: a handshake takes its time */
            int fd = client_open(weft_server_port(s));
            client_send(fd, text, bytes);
            if (polite)
                client_close(fd);
            else
                client_reset(fd);
        }
    }
    wait_open(s, 0);
    wait_until(descriptors_are, &before, "the descriptors' going"); /* threads of clients end a little later */
    int fd = client_open(weft_server_port(s));
    client_expect_reply(fd, "echo still here\n", "still here\n");
    client_close(fd);
    serve_stop(s);
    CHECK_INT(service->opened, service->closed);
}

SERVE_TLS_CASE(conn_clients_vanish_at_each_byte)
SERVE_CASE(conn_clients_vanish_at_each_byte)
{
    vanish(kind, false);
}

SERVE_TLS_CASE(conn_clients_vanish_at_each_byte_of_a_handler_that_stays)
SERVE_CASE(conn_clients_vanish_at_each_byte_of_a_handler_that_stays)
{
    vanish(kind, true);
}

static void half_close(const serve_kind *kind, bool stays)
{
    line_service *service = line_service_new(stays);
    weft_server *s = serve_lines(kind, (weft_server_options){0}, service);
    int fd = client_open(weft_server_port(s));
    client_say(fd, "echo a\nunfinished");
    client_finish(fd);
    client_expect(fd, "a\nrest unfinished\n");
    client_expect_end(fd);
    client_close(fd);
    fd = client_open(weft_server_port(s)); /* the end comes by itself, later */
    client_expect_reply(fd, "echo b\nmore", "b\n");
    usleep(1000);
    client_finish(fd);
    client_expect(fd, "rest more\n");
    client_expect_end(fd);
    client_close(fd);
    wait_open(s, 0);
    serve_stop(s);
}

SERVE_TLS_CASE(conn_half_closed_client_reads_its_answers)
SERVE_CASE(conn_half_closed_client_reads_its_answers)
{
    half_close(kind, false);
}

SERVE_TLS_CASE(conn_half_closed_client_reads_its_answers_of_a_handler_that_stays)
SERVE_CASE(conn_half_closed_client_reads_its_answers_of_a_handler_that_stays)
{
    half_close(kind, true);
}

SERVE_TLS_CASE(conn_answers_larger_than_every_buffer)
SERVE_CASE(conn_answers_larger_than_every_buffer)
{
    static const size_t sizes[] = {1, 999, 16352, 16353, 65536, 65537, 200000, 3000000};
    line_service *service = line_service_new(false);
    weft_server *s = serve_lines(kind, (weft_server_options){0}, service);
    int fd = client_open(weft_server_port(s));
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char request[64];
        for (int send = 0; send < 2; send++) {
            sprintf(request, "echo before\n%s %zu\necho after\n", send ? "send" : "big", sizes[i]);
            client_say(fd, request);
            client_expect(fd, "before\n");
            client_expect_pattern(fd, sizes[i]);
            client_expect(fd, "after\n");
        }
    }
    client_close(fd);
    serve_stop(s);
}

SERVE_TLS_CASE(conn_gathers_more_pieces_than_one_send_takes)
SERVE_CASE(conn_gathers_more_pieces_than_one_send_takes)
{
    line_service *service = line_service_new(false);
    weft_server *s = serve_lines(kind, (weft_server_options){.output_max = 1 << 20}, service);
    int fd = client_open(weft_server_port(s));
    client_say(fd, "reserve 1000000\nsend 1000\nreserve 400000\necho after\n");
    client_expect_pattern(fd, 1000000);
    client_expect_pattern(fd, 1000);
    client_expect_pattern(fd, 400000);
    client_expect(fd, "after\n");
    client_close(fd);
    serve_stop(s);
}

static unsigned packets_received(int fd)
{
    struct tcp_info info;
    socklen_t size = sizeof info;
    CHECK(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0);
    return info.tcpi_data_segs_in;
}

/* A pattern file of this size in the test's directory. */
static void make_file(char *path, size_t size)
{
    sprintf(path, "%s/file", test_dir());
    FILE *f = fopen(path, "w");
    CHECK(f != NULL);
    for (size_t i = 0; i < size; i++)
        putc(line_pattern(i), f);
    fclose(f);
}

SERVE_TLS_CASE(conn_files_follow_their_head)
SERVE_CASE(conn_files_follow_their_head)
{
    const size_t sizes[] = {0, 1, 5000, 100000, kind->tls ? 1000000 : 5000000};
    line_service *service = line_service_new(false);
    weft_server *s = serve_lines(kind, (weft_server_options){0}, service);
    int fd = client_open(weft_server_port(s));
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char path[200], request[300], head[64];
        make_file(path, sizes[i]);
        sprintf(request, "file %s %zu\necho next\n", path, sizes[i]);
        sprintf(head, "size %zu\n", sizes[i]);
        client_expect_reply(fd, request, head);
        client_expect_pattern(fd, sizes[i]);
        client_expect(fd, "next\n");
    }
    client_close(fd);
    serve_stop(s);
}

/* Ask for `request` until its answer, a pattern, has come in less time than the kernel holds a packet back (200 ms). */
static void expect_promptly(int fd, const char *request, size_t size)
{
    int64_t began;
    do {
        began = weft_now();
        client_say(fd, request);
        client_expect_pattern(fd, size);
    } while (weft_now() - began > 150 * WEFT_MS);
}

/* A file sent with WEFT_CONN_MORE shares its last packet with what is written next, and nothing is held back once the
 * handler has returned or waits for input. The cork stays until an answer has no file. */
static void parts_share_packets(const serve_kind *kind, bool stays)
{
    const size_t sizes[] = {100, 5000, 100000, kind->tls ? 1000000 : 5000000};
    line_service *service = line_service_new(stays);
    weft_server *s = serve_lines(kind, (weft_server_options){0}, service);
    int fd = client_open(weft_server_port(s));
    char path[200], request[300];
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        make_file(path, sizes[i]);
        sprintf(request, "parts %s %zu\n", path, sizes[i]);
        client_say(fd, request);
        client_expect_pattern(fd, sizes[i]);
        expect_promptly(fd, request, sizes[i]); /* under the cork, where it was kept */
        client_expect_reply(fd, "corked\n", kind->tls ? "not corked\n" : "corked\n");
        client_expect_reply(fd, "corked\n", "not corked\n");
    }
    make_file(path, 1000);
    sprintf(request, "parts %s 1000\n", path);
    unsigned packets;
    do { /* until the server is not kept from the second part for as long as the kernel waits for it */
        unsigned before = packets_received(fd);
        client_say(fd, request);
        client_expect_pattern(fd, 1000);
        packets = packets_received(fd) - before;
    } while (packets != 1);
    client_close(fd);
    serve_stop(s);
}

SERVE_TLS_CASE(conn_a_file_shares_its_last_packet)
SERVE_CASE(conn_a_file_shares_its_last_packet)
{
    parts_share_packets(kind, false);
}

SERVE_TLS_CASE(conn_a_file_shares_its_last_packet_with_a_handler_that_stays)
SERVE_CASE(conn_a_file_shares_its_last_packet_with_a_handler_that_stays)
{
    parts_share_packets(kind, true);
}

SERVE_TLS_CASE(conn_a_file_that_ends_early_ends_the_connection)
SERVE_CASE(conn_a_file_that_ends_early_ends_the_connection)
{
    line_service *service = line_service_new(false);
    char path[200], request[300];
    weft_server *s = serve_lines(kind, (weft_server_options){0}, service);
    int fd = client_open(weft_server_port(s));
    make_file(path, 1000);
    sprintf(request, "file %s 1001\necho next\n", path);
    client_expect_reply(fd, request, "size 1001\n");
    client_expect_pattern(fd, 1000);
    client_expect_end(fd);
    client_close(fd);
    serve_stop(s);
}

SERVE_TLS_CASE(conn_a_line_beyond_input_max_is_told_and_lingers)
SERVE_CASE(conn_a_line_beyond_input_max_is_told_and_lingers)
{
    line_service *service = line_service_new(false);
    weft_server *s = serve_lines(kind, (weft_server_options){.input_max = 30000}, service);
    char *much = malloc(200000);
    memset(much, 'x', 200000);
    int fd = client_open(weft_server_port(s));
    client_send(fd, much, 60000); /* twice what fits; no line end */
    client_expect(fd, "too long\n");
    client_expect_end(fd); /* by the end, not by a reset: read below */
    client_close(fd);
    free(much);
    wait_open(s, 0);
    serve_stop(s);
}

/* False: it took so long that the server may have stopped lingering. */
static bool lingers(weft_server *s)
{
    int fd = client_open(weft_server_port(s));
    char bytes[2];
    client_expect_reply(fd, "echo hi\n", "hi\n");
    int64_t begin = weft_now();
    client_say(fd, "linger\n");
    bool good = client_try_send(fd, "and much that nobody wants\n", 27) == 27;
    client_expect(fd, "bye\n");
    good &= client_try_recv(fd, bytes, 1) == 0; /* an end, no reset */
    good &= client_try_send(fd, "even now\n", 9) == 9;
    usleep(2000);
    good &= client_try_recv(fd, bytes + 1, 1) == 0;
    bool in_time = weft_now() - begin < WEFT_SECOND;
    CHECK(good || !in_time);
    client_close(fd);
    wait_open(s, 0);
    return in_time;
}

SERVE_TLS_CASE(conn_lingering_lets_the_answer_be_read)
SERVE_CASE(conn_lingering_lets_the_answer_be_read)
{
    line_service *service = line_service_new(false);
    weft_server *s = serve_lines(kind, (weft_server_options){0}, service);
    while (!lingers(s))
        ;
    serve_stop(s);
}

SERVE_TLS_TOGETHER(30, SERVE_TLS_EVERY, conn_a_client_that_lingers_for_ever_is_let_go)
SERVE_CASE(conn_a_client_that_lingers_for_ever_is_let_go)
{
    line_service *service = line_service_new(false);
    weft_server *s = serve_lines(kind, (weft_server_options){0}, service);
    int fd = client_open(weft_server_port(s));
    client_expect_reply(fd, "linger\n", "bye\n");
    wait_open(s, 0); /* after 2 s */
    client_close(fd);
    serve_stop(s);
}

SERVE_TLS_MANY_CASE(conn_a_failing_handler_ends_its_own_connection_only)
SERVE_MANY_CASE(conn_a_failing_handler_ends_its_own_connection_only)
{
    line_service *service = line_service_new(false);
    weft_server *s = serve_lines(kind, (weft_server_options){0}, service);
    int bad = client_open(weft_server_port(s)), good = client_open(weft_server_port(s));
    client_expect_reply(good, "echo 1\n", "1\n");
    client_say(bad, "echo dropped\nfail\n");
    wait_open(s, 1);
    client_close(bad);
    client_expect_reply(good, "echo 2\n", "2\n");
    client_close(good);
    serve_stop(s);
}

/* ---- flow control ---- */

static int echo(weft_conn *c, void *arg)
{
    (void)arg;
    const void *bytes;
    ssize_t n = weft_conn_fill(c, 0, &bytes, WEFT_FOREVER);
    if (n <= 0 || weft_conn_write(c, bytes, (size_t)n) < 0)
        return WEFT_CONN_CLOSE;
    weft_conn_consume(c, (size_t)n);
    return WEFT_CONN_IDLE;
}

struct flood {
    int fd;
    size_t size;
};

static void *flood(void *arg)
{
    struct flood *f = arg;
    unsigned char buf[5000];
    for (size_t at = 0; at < f->size; at += sizeof(buf)) {
        for (size_t i = 0; i < sizeof(buf); i++)
            buf[i] = line_pattern(at + i);
        client_send(f->fd, buf, sizeof(buf));
    }
    client_finish(f->fd);
    return NULL;
}

/* A client that sends 20 MB (with TLS 12) before it reads: the server must stop reading, hold little, lose nothing. */
SERVE_TLS_CASE(conn_a_flood_is_echoed_whole_and_held_back)
SERVE_CASE(conn_a_flood_is_echoed_whole_and_held_back)
{
    weft_server *s = serve_start(kind, (weft_server_options){.handler = echo});
    struct flood f = {client_open(weft_server_port(s)), kind->tls ? 12000000 : 20000000};
    pthread_t thread;
    long before = test_rss_kb();
    CHECK_INT(0, pthread_create(&thread, NULL, flood, &f));
    usleep(100000); /* let it fill what it can */
    CHECK(test_rss_kb() - before < 8192 * test_limit_factor());
    client_expect_pattern(f.fd, f.size);
    client_expect_end(f.fd);
    CHECK_INT(0, pthread_join(thread, NULL));
    client_close(f.fd);
    serve_stop(s);
}

SERVE_TLS_MANY_CASE(conn_crawling_client_is_served_beside_a_quick_one)
SERVE_MANY_CASE(conn_crawling_client_is_served_beside_a_quick_one)
{
    line_service *service = line_service_new(false);
    weft_server *s = serve_lines(kind, (weft_server_options){0}, service);
    int slow = client_open(weft_server_port(s)), quick = client_open(weft_server_port(s));
    static const char text[] = "echo crawling along\n";
    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        client_send(slow, text + i, 1);
        client_expect_reply(quick, "echo quick\n", "quick\n");
    }
    client_expect(slow, "crawling along\n");
    client_close(slow);
    client_close(quick);
    serve_stop(s);
}

/* Neither reads: one blocks in its handler, one in the last flush. Both go after the limit, the third does not notice.
 */
SERVE_TLS_MANY_CASE(conn_clients_that_do_not_read_are_cut_by_the_write_limit)
SERVE_MANY_CASE(conn_clients_that_do_not_read_are_cut_by_the_write_limit)
{
    line_service *service = line_service_new(false);
    weft_server_options options = {.write_timeout = 200 * WEFT_MS, .output_max = 1 << 20};
    weft_server *s = serve_lines(kind, options, service);
    int in_handler = client_open(weft_server_port(s)), in_flush = client_open(weft_server_port(s));
    int good = client_open(weft_server_port(s));
    char many[20 * 12 + 1] = "";
    for (int i = 0; i < 20; i++)
        strcat(many, "big 1000000\n");
    client_say(in_handler, "big 30000000\n");
    client_say(in_flush, many); /* at once: the limit is short */
    client_expect_reply(good, "echo 1\n", "1\n");
    wait_open(s, 1);
    client_expect_reply(good, "echo 2\n", "2\n");
    client_close(in_handler);
    client_close(in_flush);
    client_close(good);
    serve_stop(s);
}

/* ---- about a connection ---- */

SERVE_TLS_CASE(conn_knows_its_client)
SERVE_CASE(conn_knows_its_client)
{
    line_service *service = line_service_new(false);
    char text[64];
    weft_server *s = serve_lines(kind, (weft_server_options){0}, service);
    int fd = client_open_from(weft_server_port(s), "127.0.0.77");
    client_say(fd, "peer\n");
    client_expect(fd, "127.0.0.77 ");
    size_t n = client_recv(fd, text, sizeof(text) - 1);
    text[n] = '\0';
    CHECK_BETWEEN(1, 65535, atoi(text));
    client_close(fd);
    serve_stop(s);
}

SERVE_TLS_CASE(conn_hooks_see_each_connection_once)
SERVE_CASE(conn_hooks_see_each_connection_once)
{
    line_service *service = line_service_new(false);
    store_relaxed(&service->refuse_open, 1);
    weft_server *s = serve_lines(kind, (weft_server_options){0}, service);
    int fd = client_open(weft_server_port(s));
    client_expect_end(fd);
    client_close(fd);
    wait_open(s, 0);
    store_relaxed(&service->refuse_open, 0);
    fd = client_open(weft_server_port(s));
    client_expect_reply(fd, "echo in\n", "in\n");
    client_close(fd);
    wait_open(s, 0);
    weft_server_stats stats = server_stats(s);
    CHECK_INT(1, stats.accepted); /* whom on_open has closed was not let in, nor turned away with a word */
    CHECK_INT(0, stats.refused);
    serve_stop(s);
    CHECK_INT(1, service->opened);
    CHECK_INT(1, service->closed);
}

static int tell_id(weft_conn *c, void *arg)
{
    uint64_t id = weft_conn_id(c);
    (void)arg;
    return weft_conn_write(c, &id, sizeof id) == 0 ? WEFT_CONN_CLOSE : -EIO;
}

/* Also to clients who come at the same time. */
SERVE_CASE(conn_ids_are_given_once)
{
    enum {
        CLIENTS = 60
    };
    int fds[CLIENTS];
    uint64_t ids[CLIENTS];
    weft_server *s = serve_start(kind, (weft_server_options){.handler = tell_id});
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = client_open(weft_server_port(s));
        client_say(fds[i], "x");
    }
    for (int i = 0; i < CLIENTS; i++) {
        client_recv_all(fds[i], (char *)&ids[i], sizeof ids[i]);
        for (int k = 0; k < i; k++)
            CHECK(ids[i] != ids[k]);
        client_close(fds[i]);
    }
    wait_open(s, 0);
    serve_stop(s);
}

static bool has_ticked(void *arg)
{
    return load_relaxed(&((line_service *)arg)->ticks) > 0;
}

SERVE_TLS_TOGETHER(30, SERVE_TLS_EVERY, conn_state_is_lent_and_ticks_after_use)
SERVE_CASE(conn_state_is_lent_and_ticks_after_use)
{
    line_service *service = line_service_new(false);
    weft_server *s = serve_lines(kind, (weft_server_options){.threads = 1}, service);
    int fd = client_open(weft_server_port(s));
    client_expect_reply(fd, "state\n", "1\n");
    client_expect_reply(fd, "state\nstate\n", "2\n3\n");
    wait_until(has_ticked, service, "a tick");
    client_close(fd);
    serve_stop(s);
    CHECK_INT(0, service->states);
}

/* How many bytes of a two-byte answer come: 2, if the connection stands. */
static ssize_t echo_two(int fd)
{
    char reply[2];
    ssize_t n = client_try_send(fd, "echo 2\n", 7), got = 0;
    while (n > 0 && got < 2 && (n = client_try_recv(fd, reply + got, 2 - (size_t)got)) > 0)
        got += n;
    return got;
}

/* False: this machine was too busy for a client to be active. */
static bool active_outlives_idle(const serve_kind *kind)
{
    line_service *service = line_service_new(false);
    bool in_time = true;
    weft_server *s = serve_lines(kind, (weft_server_options){.idle_timeout = 400 * WEFT_MS}, service);
    int idle = client_open(weft_server_port(s)), active = client_open(weft_server_port(s));
    in_time = echo_two(idle) == 2;
    int64_t last = weft_now();
    for (int i = 0; i < 15 && in_time; i++) {
        ssize_t got = echo_two(active);
        in_time = weft_now() - last < 150 * WEFT_MS;
        if (in_time)
            CHECK_INT(2, got);
        last = weft_now();
        usleep(50000);
    }
    if (in_time)
        client_expect_end(idle);
    client_close(idle);
    client_close(active);
    serve_stop(s);
    return in_time;
}

SERVE_TLS_TOGETHER(60, SERVE_TLS_MANY, conn_idle_is_closed_after_its_time_and_not_while_active)
SERVE_MANY_CASE_LIMIT(60, conn_idle_is_closed_after_its_time_and_not_while_active)
{
    while (!active_outlives_idle(kind))
        ;
}

/* ---- a client that takes nothing, and a handler that asks again when its deadline has passed ---- */

static int feed(weft_conn *c, void *outcome)
{
    static const char piece[32768];
    const void *view;
    ssize_t n;
    do
        (void)weft_conn_write(c, piece, sizeof piece);
    while ((n = weft_conn_fill(c, 1, &view, weft_in_ms(1))) == -ETIMEDOUT);
    store_release((int32_t *)outcome, (int32_t)n);
    return WEFT_CONN_CLOSE;
}

static bool is_told(void *outcome)
{
    return load_acquire((int32_t *)outcome) != 0;
}

SERVE_MANY_CASE(conn_that_takes_nothing_is_broken_and_no_deadline_for_who_waits_for_input)
{
    int32_t *outcome = test_shared(sizeof *outcome);
    weft_server *s =
        serve_start(kind, (weft_server_options){.handler = feed, .arg = outcome, .write_timeout = 100 * WEFT_MS});
    int fd = client_open(weft_server_port(s));
    client_say(fd, "x");
    wait_until(is_told, outcome, "the end of the wait");
    CHECK_ERR(-EPIPE, *outcome);
    client_close(fd);
    serve_stop(s);
}

static int do_nothing(void *arg)
{
    (void)arg;
    return 0;
}

/* Whether somebody stands in the worker's line: asked on its own thread. */
typedef struct question {
    weft__call call;
    weft__worker *worker;
    uint32_t answer; /* atomic: 0 none yet, 1 no, 2 yes */
} question;

static void look_at_line(weft__call *call)
{
    question *q = container_of(call, question, call);
    store_release(&q->answer, q->worker->ready != NULL ? 2 : 1);
}

static bool somebody_is_ready(weft_server *s)
{
    question q = {.call.fn = look_at_line, .worker = &s->workers[0]};
    weft__sched_call(0, &q.call);
    while (load_acquire(&q.answer) == 0)
        sched_yield();
    return q.answer == 2;
}

/* The only runner is in a handler that waits, and no other can be started just then. */
SERVE__CASES(SERVE__LOOPS, 30, conn_that_found_no_memory_for_a_runner_is_served_when_there_is_some)
{
    line_service *service = line_service_new(false);
    weft_co_threads(1);
    weft_server_options o = line_options(kind, (weft_server_options){.threads = 1}, service);
    o.state_tick = NULL; /* it would have the keeper look */
    weft_server *s = serve_start(kind, o);
    int fd = client_open(weft_server_port(s)), busy = client_open(weft_server_port(s));
    client_expect_reply(fd, "echo one\n", "one\n");
    client_say(busy, "wait\n");
    while (load_seq_cst(&service->waiting) == 0)
        sched_yield();
    weft_co *large;
    weft__sys_plan(WEFT__SYS_MMAP, 1, UINT32_MAX, -ENOMEM, 0);
    CHECK_OK(weft_co_start(&large, do_nothing, NULL, &(weft_co_options){.stack_size = 4 << 20}));
    while (!weft__sched_starved())
        sched_yield();
    client_say(fd, "echo two\n");
    while (!somebody_is_ready(s))
        sched_yield();
    weft__sys_plan_none();
    client_expect(fd, "two\n");
    CHECK_OK(weft_co_join(large, NULL, WEFT_FOREVER));
    line_service_go(service);
    client_expect(busy, "waited\n");
    client_close(fd);
    client_close(busy);
    serve_stop(s);
}
