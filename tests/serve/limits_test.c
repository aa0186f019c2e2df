/* limits_test.c - times and graces at the ends of their ranges: no limit is so far that it has passed already, none so
 * near that its server looks at nothing else, and a stop ends also where its grace is over before it begins. */
#include "serve/far_support.h"
#include "serve/serve_support.h"

#include "base/atomic.h"
#include "serve/serve.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>

/* For ever, as INT64_MAX: a client is not closed, its handshake and its answers have the time that they need, and the
 * server sleeps meanwhile. S001-30 */
SERVE_TLS_CASE(limits_may_be_as_far_as_there_are_numbers)
SERVE_CASE(limits_may_be_as_far_as_there_are_numbers)
{
    line_service *service = line_service_new(false);
    weft_server *s = serve_lines(
        kind,
        (weft_server_options){.idle_timeout = INT64_MAX, .handshake_timeout = INT64_MAX, .write_timeout = INT64_MAX},
        service);
    int fd = client_open(weft_server_port(s));
    client_expect_reply(fd, "echo first\n", "first\n");
    CHECK(far_idle_seconds(50000, 0.025) < 0.025 * test_limit_factor());
    client_expect_reply(fd, "echo second\n", "second\n");
    client_say(fd, "big 3000000\n");
    client_expect_pattern(fd, 3000000);
    client_close(fd);
    CHECK_INT(0, server_stats(s).timeouts);
    serve_stop(s);
}

/* A client who is at work is none that has been idle for too long, however short that is. */
SERVE_CASE(limits_of_less_than_a_millisecond_leave_who_is_at_work_alone)
{
    line_service *service = line_service_new(false);
    weft_server *s = serve_lines(kind, (weft_server_options){.idle_timeout = 1}, service);
    char reply[6];
    for (size_t got = 0; got < sizeof reply;) { /* who is not heard in time comes again */
        int fd = client_open(weft_server_port(s));
        ssize_t n = client_try_send(fd, "sleep 20\n", 9);
        for (got = 0; n > 0 && got < sizeof reply && (n = client_try_recv(fd, reply + got, sizeof reply - got)) > 0;)
            got += (size_t)n;
        client_close(fd);
    }
    CHECK_MEM("slept\n", reply, sizeof reply);
    serve_stop(s);
}

TEST(limits_of_unread_bytes_end_where_they_can_be_counted)
{
    weft_server *s;
    CHECK_OK(weft_server_open(&s, &(weft_server_options){.handler = line_handler, .input_max = SIZE_MAX}));
    CHECK_INT(1 << 30, s->options.input_max);
    weft_server_close(s);
}

/* ---- a grace that is over ---- */

typedef struct crowd {
    unsigned port;
    uint32_t come; /* atomic */
    uint32_t over; /* atomic: no more */
    int fds[200];
} crowd;

/* Connections that say nothing, until nobody listens any more. */
static void *come_all_the_time(void *arg)
{
    crowd *c = arg;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)c->port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    unsigned n = 0;
    for (; n < 200 && !load_seq_cst(&c->over); n++) {
        c->fds[n] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        CHECK(c->fds[n] >= 0);
        if (connect(c->fds[n], (struct sockaddr *)&to, sizeof to) < 0) {
            client_close(c->fds[n]);
            break;
        }
        add_seq_cst(&c->come, 1);
    }
    return (void *)(uintptr_t)n;
}

static bool have_come(void *arg)
{
    return load_seq_cst(&((crowd *)arg)->come) >= 20;
}

/* Who comes in that moment is let go like those who came before. */
SERVE_HERE_CASE_LIMIT(60, limits_a_retirement_at_once_ends_while_clients_come)
{
    for (int round = 0; round < 20; round++) {
        line_service *service = line_service_new(false);
        weft_server *s = serve_lines(kind, (weft_server_options){.threads = 1}, service);
        crowd c = {.port = weft_server_port(s)};
        pthread_t thread;
        void *n;
        CHECK_INT(0, pthread_create(&thread, NULL, come_all_the_time, &c));
        wait_until(have_come, &c, "the crowd");
        weft_server_retire(s, WEFT_NOW);
        CHECK_OK(weft_server_wait(s, weft_in_seconds(20)));
        weft_server_close(s);
        store_seq_cst(&c.over, 1);
        pthread_join(thread, &n);
        for (unsigned i = 0; i < (uintptr_t)n; i++)
            client_close(c.fds[i]);
    }
}

static bool is_waiting(void *arg)
{
    return load_seq_cst(&((line_service *)arg)->waiting) == 1;
}

/* Those who are cut by a grace that ended long ago have as much time to hear of it as by one that ends now. */
SERVE_TLS_CASE(limits_a_grace_of_the_past_lets_handlers_end)
SERVE_CASE(limits_a_grace_of_the_past_lets_handlers_end)
{
    line_service *service = line_service_new(false);
    weft_server *s = serve_lines(kind, (weft_server_options){0}, service);
    int fd = client_open(weft_server_port(s));
    client_say(fd, "wait\n");
    wait_until(is_waiting, service, "the handler");
    weft_server_stop(s, (weft_until){1});
    CHECK_OK(weft_server_wait(s, WEFT_FOREVER));
    client_close(fd);
    weft_server_close(s);
    CHECK_INT(1, load_seq_cst(&service->closed));
}
