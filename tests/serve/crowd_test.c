/* crowd_test.c - more clients than a model holds, and more than there are descriptors for, where handlers run in other
 * processes too: what can be held is held, the rest is told; nothing spins, and afterwards all is well. S001-139.
 *
 * A thousand clients; with WEFT_SOAK set ten thousand, against the limits that a model has by default. With TLS a few
 * hundred, each of whom costs a handshake. */
#include "serve/far_support.h"

#include "base/atomic.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

static void expect_well(weft_server *s)
{
    int fd = client_open(weft_server_port(s));
    client_expect_reply(fd, "echo well\n", "well\n");
    client_close(fd);
    wait_open(s, 0);
    serve_stop(s);
}

/* ---- no descriptors ---- */

typedef struct crowd {
    weft_server *server;
    unsigned count, line; /* clients, and of these at most so many in the kernel's line */
    unsigned most;        /* may be served at a time */
} crowd;

static bool somebody_served(void *server)
{
    return server_stats(server).open > 0;
}

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
    low = (struct rlimit){(rlim_t)highest + 24, before.rlim_max};
    CHECK_INT(0, setrlimit(RLIMIT_NOFILE, &low)); /* its processes have it from their start */
    CHECK_OK(weft_server_start(s));
    CHECK_INT(0, setrlimit(RLIMIT_NOFILE, &before));
    far_go(&far, weft_server_port(s));
    wait_until(somebody_served, s, "a client that is served");
    CHECK(far_idle_seconds(500000, 0.2) < 0.2 * test_limit_factor());
    CHECK_BETWEEN(1, 24 * 2, server_stats(s).open);
    line_service_go(service);
    far_end(&far);
    wait_open(s, 0);
    expect_well(s);
}

static const serve_kind *const forked_tls[] = {&serve_tls_process, &serve_tls_prefork, &serve_tls_forked_pool,
                                               &serve_tls_forked_epoll, NULL};

#define FORKED_CASES(seconds, name)                                                                                    \
    SERVE_TLS_TOGETHER(seconds, forked_tls, name)                                                                      \
    SERVE__ONE(seconds, name, process)                                                                                 \
    SERVE__ONE(seconds, name, prefork)                                                                                 \
    SERVE__ONE(seconds, name, forked_pool)                                                                             \
    SERVE__ONE(seconds, name, forked_epoll)                                                                            \
    static void name(const serve_kind *kind)

FORKED_CASES(30, crowd_descriptors_exhausted_by_idle_clients)
{
    exhausted(kind, "echo x\n");
}

FORKED_CASES(30, crowd_descriptors_exhausted_by_requests_under_way)
{
    exhausted(kind, "wait\n");
}

/* ---- ten thousand idle ---- */

static bool is_soak(void)
{
    return getenv("WEFT_SOAK") != NULL;
}

static bool all_held(void *arg)
{
    const crowd *c = arg;
    weft_server_stats stats = server_stats(c->server);
    return stats.open >= c->count && stats.calls >= c->count;
}

/* Everybody has been let in, has been told, or stands in the kernel's line; and who has made room has gone. */
static bool all_dealt_with(void *arg)
{
    const crowd *c = arg;
    weft_server_stats stats = server_stats(c->server);
    return stats.accepted + stats.refused + c->line >= c->count && stats.open <= c->most;
}

/* At most `each` connections in a process; 0: the default, and then `most` is what it is in all. */
static void come(const serve_kind *kind, unsigned each, unsigned most, unsigned line)
{
    line_service *service = line_service_new(false);
    crowd c = {.count = is_soak() ? 10000 : 1000, .line = line};
    if (kind->tls)
        c.count = most == 0 ? 150 : 400;
    struct far_clients far = far_start(kind, (int)c.count, "echo x\n");
    bool holds = most == 0;
    if (holds)
        each = c.count; /* all of them may come to one process */
    weft_server_options o = {.max_connections = each, .idle_timeout = -1};
    o.handshake_timeout = -1; /* all shake hands at once: on a slow machine that takes longer than one may */
    c.server = serve_lines(kind, o, service);
    if (holds && weft_server_capacity(c.server) < c.count) { /* it knows: descriptors do not allow it */
        holds = false;
        most = weft_server_capacity(c.server);
    }
    c.most = most;
    far_go(&far, weft_server_port(c.server)); /* none of them is refused by the kernel, or waits for ever */
    wait_until(holds ? all_held : all_dealt_with, &c, "everybody held, or told");
    weft_server_stats stats = server_stats(c.server);
    if (!holds)
        CHECK_BETWEEN(1, most, stats.open);
    CHECK(far_idle_seconds(kind->tls ? 200000 : 500000, 0.2) < 0.2 * test_limit_factor());
    if (is_soak())
        printf("%s: capacity %u, held %llu, refused %llu, shed %llu\n", kind->name, weft_server_capacity(c.server),
               (unsigned long long)stats.open, (unsigned long long)stats.refused, (unsigned long long)stats.shed);
    far_end(&far);
    wait_open(c.server, 0);
    expect_well(c.server);
}

#define COME_ONE(name, kind, each, most, line)                                                                         \
    TEST_LIMIT(60, crowd_ten_thousand_come_to_##name)                                                                  \
    {                                                                                                                  \
        come(&serve_##kind, each, most, line);                                                                         \
    }
#define COME(name, kind, each, most, line)                                                                             \
    COME_ONE(name, kind, each, most, line)                                                                             \
    COME_ONE(tls_##name, tls_##kind, each, most, line)

/* These hold them all. */
COME(epoll, epoll, 0, 0, 0)
COME(poll, poll, 0, 0, 0)
COME(uring, uring, 0, 0, 0)
COME(coroutine, epoll_et, 0, 0, 0)
COME(forked_epoll, forked_epoll, 0, 0, 0)
COME(thread, thread, 0, 0, 0)

/* And these say how many they serve at a time: so many have come in, the rest was told or has made room. */
COME(select, select, 0, 960, 0)
COME(iterative, iterative, 0, 1 + 128, 0)
COME(pool, pool, 0, 8 + 128, 0)
COME(prefork, prefork, 0, 2, 2 * 128)
COME(forked_pool, forked_pool, 0, 2 * 8, 2 * 128)
COME(process, process, is_soak() ? 0 : 64, is_soak() ? 512 : 64, 0)
