/* serve_support.c - the line protocol, and blocking clients. */
#include "serve/serve_support.h"

#include <weft/co.h>

#include "base/atomic.h"
#include "park/park.h"
#include "serve/secure_support.h"
#include "serve/serve.h"
#include "sys/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    PATIENCE_SECONDS = 50 /* most cases have a shorter limit of their own */
};

const serve_kind serve_process = {"process", "process", NULL, 0, true, 0, true, false};
const serve_kind serve_prefork = {"prefork", "prefork", NULL, 0, true, 2, true, false};
const serve_kind serve_forked_pool = {"forked_pool", "pool", NULL, 8, true, 2, true, false};
const serve_kind serve_forked_epoll = {"forked_epoll", "epoll", NULL, 2, false, 2, true, false};
const serve_kind serve_iterative = {"iterative", "iterative", NULL, 1, true, 0, false, false};
const serve_kind serve_pool = {"pool", "pool", NULL, 8, true, 0, false, false};
const serve_kind serve_thread = {"thread", "thread", NULL, 0, true, 0, false, false};
const serve_kind serve_select = {"select", "select", NULL, 2, false, 0, false, false};
const serve_kind serve_poll = {"poll", "poll", NULL, 0, false, 0, false, false};
const serve_kind serve_epoll = {"epoll", "epoll", NULL, 2, false, 0, false, false};
const serve_kind serve_epoll_et = {"epoll-et", "coroutine", "epoll-et", 0, false, 0, false, false};
const serve_kind serve_uring = {"uring", "uring", "uring", 2, false, 0, false, false};

const serve_kind serve_tls_process = {"tls_process", "process", NULL, 0, true, 0, true, true};
const serve_kind serve_tls_prefork = {"tls_prefork", "prefork", NULL, 0, true, 2, true, true};
const serve_kind serve_tls_forked_pool = {"tls_forked_pool", "pool", NULL, 8, true, 2, true, true};
const serve_kind serve_tls_forked_epoll = {"tls_forked_epoll", "epoll", NULL, 2, false, 2, true, true};
const serve_kind serve_tls_iterative = {"tls_iterative", "iterative", NULL, 1, true, 0, false, true};
const serve_kind serve_tls_pool = {"tls_pool", "pool", NULL, 8, true, 0, false, true};
const serve_kind serve_tls_thread = {"tls_thread", "thread", NULL, 0, true, 0, false, true};
const serve_kind serve_tls_select = {"tls_select", "select", NULL, 2, false, 0, false, true};
const serve_kind serve_tls_poll = {"tls_poll", "poll", NULL, 0, false, 0, false, true};
const serve_kind serve_tls_epoll = {"tls_epoll", "epoll", NULL, 2, false, 0, false, true};
const serve_kind serve_tls_epoll_et = {"tls_epoll_et", "coroutine", "epoll-et", 0, false, 0, false, true};
const serve_kind serve_tls_uring = {"tls_uring", "uring", "uring", 2, false, 0, false, true};

const serve_kind *const serve_tls_kinds[] = {&serve_tls_iterative,
                                             &serve_tls_prefork,
                                             &serve_tls_process,
                                             &serve_tls_forked_pool,
                                             &serve_tls_forked_epoll,
                                             &serve_tls_pool,
                                             &serve_tls_thread,
                                             &serve_tls_select,
                                             &serve_tls_poll,
                                             &serve_tls_epoll,
                                             &serve_tls_epoll_et,
                                             &serve_tls_uring,
                                             NULL};

/* A process ends without a word to a sanitizer, which would miss the threads of its event loops. */
void serve_together(const serve_kind *const *kinds, void (*body)(const serve_kind *kind))
{
    enum {
        MOST = 12
    };
    pid_t pids[MOST];
    int count = 0, status;
    (void)secure_server(NULL); /* one key for all */
    for (; kinds[count] != NULL; count++) {
        CHECK(count < MOST && (pids[count] = fork()) >= 0);
        if (pids[count] > 0)
            continue;
        dprintf(STDOUT_FILENO, "%s begins\n", kinds[count]->name);
        body(kinds[count]);
        dprintf(STDOUT_FILENO, "%s is done\n", kinds[count]->name);
        syscall(SYS_exit_group, 0);
    }
    for (int i = 0; i < count; i++) {
        CHECK_INT(pids[i], waitpid(pids[i], &status, 0));
        if (status != 0)
            FAIL("%s: status %#x", kinds[i]->name, (unsigned)status);
    }
}

/* ---- the line protocol ---- */

unsigned char line_pattern(size_t i)
{
    return (unsigned char)(i * 31 + (i >> 8) * 7 + (i >> 16));
}

static int answer(weft_conn *c, const char *text)
{
    int err = weft_conn_write(c, text, strlen(text));
    return err < 0 ? err : weft_conn_write(c, "\n", 1);
}

static int send_big(weft_conn *c, size_t size)
{
    unsigned char *bytes = malloc(size + 1);
    CHECK(bytes != NULL);
    for (size_t i = 0; i < size; i++)
        bytes[i] = line_pattern(i);
    size_t third = size / 3;
    struct iovec pieces[] = {{bytes, third}, {bytes + third, 0}, {bytes + third, third}};
    struct iovec last = {bytes + 2 * third, size - 2 * third};
    int err = weft_conn_send(c, pieces, 3, WEFT_CONN_MORE, WEFT_FOREVER);
    if (err == 0)
        err = weft_conn_send(c, &last, 1, 0, WEFT_FOREVER);
    free(bytes);
    return err;
}

static int write_big(weft_conn *c, size_t size)
{
    unsigned char bytes[1000];
    int err = 0;
    for (size_t at = 0; at < size && err == 0;) {
        size_t part = size - at < sizeof bytes ? size - at : sizeof bytes;
        for (size_t i = 0; i < part; i++)
            bytes[i] = line_pattern(at + i);
        err = weft_conn_write(c, bytes, part);
        at += part;
    }
    return err;
}

/* So that each takes a buffer and leaves half of it unused. */
static int write_reserved(weft_conn *c, size_t size)
{
    for (size_t at = 0; at < size;) {
        unsigned char *room = weft_conn_reserve(c, 8192);
        if (room == NULL)
            return -ENOMEM;
        size_t part = size - at < 8192 ? size - at : 8192;
        for (size_t i = 0; i < part; i++)
            room[i] = line_pattern(at + i);
        weft_conn_commit(c, part);
        at += part;
    }
    return 0;
}

static int answer_file(weft_conn *c, const char *path, uint64_t size)
{
    char head[64];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    snprintf(head, sizeof(head), "size %llu", (unsigned long long)size);
    int err = answer(c, head);
    if (err == 0)
        err = weft_conn_sendfile(c, fd, 0, size, 0, WEFT_FOREVER);
    close(fd);
    return err;
}

/* All but the last bytes from the file, those from memory. */
static int answer_parts(weft_conn *c, const char *path, uint64_t size)
{
    unsigned char last[100];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0 && size >= sizeof last);
    uint64_t most = size - sizeof last;
    for (size_t i = 0; i < sizeof last; i++)
        last[i] = line_pattern(most + i);
    int err = weft_conn_sendfile(c, fd, 0, most, WEFT_CONN_MORE, WEFT_FOREVER);
    if (err == 0)
        err = weft_conn_write(c, last, sizeof last);
    close(fd);
    return err;
}

/* Does the kernel hold back packets that are not full? */
static int answer_corked(weft_conn *c)
{
    int corked = -1;
    CHECK_OK(weft__sys_getsockopt(c->slot.fd, IPPROTO_TCP, TCP_CORK, &corked));
    CHECK_INT(c->corked != WEFT__CORK_NONE, corked);
    return answer(c, c->corked == WEFT__CORK_HOLDS ? "holds" : corked ? "corked" : "not corked");
}

static int answer_peer(weft_conn *c)
{
    char address[WEFT_CONN_ADDRESS_MAX], text[2 * WEFT_CONN_ADDRESS_MAX];
    unsigned port;
    CHECK(weft_conn_peer(c, address, &port) > 0);
    snprintf(text, sizeof(text), "%s %u", address, port);
    return answer(c, text);
}

static int answer_state(weft_conn *c)
{
    char text[32];
    unsigned *calls = weft_conn_state(c);
    CHECK(calls != NULL);
    snprintf(text, sizeof(text), "%u", ++*calls);
    return answer(c, text);
}

static int answer_wait(weft_conn *c, line_service *service)
{
    int err = 0;
    add_seq_cst(&service->waiting, 1);
    while (err == 0 && load_seq_cst(&service->go) == 0)
        err = weft__park(&service->go, 0, WEFT_FOREVER, service->forks ? WEFT__SHARED_WORD : 0, "test");
    return answer(c, err == 0 ? "waited" : "cut");
}

void line_service_go(line_service *service)
{
    store_seq_cst(&service->go, 1);
    weft__wake(&service->go, UINT32_MAX, service->forks ? WEFT__SHARED_WORD : 0);
}

static int run_line(weft_conn *c, char *line, line_service *service)
{
    char path[256];
    unsigned long long n;
    if (strncmp(line, "echo ", 5) == 0)
        return answer(c, line + 5);
    if (sscanf(line, "sleep %llu", &n) == 1)
        return answer(c, weft_sleep(weft_in_ms((int64_t)n)) == 0 ? "slept" : "cut");
    if (strcmp(line, "wait") == 0)
        return answer_wait(c, service);
    if (strcmp(line, "go") == 0) {
        line_service_go(service);
        return answer(c, "went");
    }
    if (sscanf(line, "big %llu", &n) == 1)
        return write_big(c, n);
    if (sscanf(line, "reserve %llu", &n) == 1)
        return write_reserved(c, n);
    if (sscanf(line, "send %llu", &n) == 1)
        return send_big(c, n);
    if (sscanf(line, "file %255s %llu", path, &n) == 2)
        return answer_file(c, path, n);
    if (sscanf(line, "parts %255s %llu", path, &n) == 2)
        return answer_parts(c, path, n);
    if (strcmp(line, "corked") == 0)
        return answer_corked(c);
    if (strcmp(line, "peer") == 0)
        return answer_peer(c);
    if (strcmp(line, "state") == 0)
        return answer_state(c);
    if (strcmp(line, "stopping") == 0)
        return answer(c, weft_conn_stopping(c) ? "1" : "0");
    if (strcmp(line, "stop") == 0) {
        weft_server_stop(weft_conn_server(c), weft_in_ms(5000));
        return answer(c, "stopping");
    }
    return answer(c, "what?");
}

/* Take one line from the unread bytes: 1 and the line; 0: the client has ended; or -errno. */
static ssize_t next_line(weft_conn *c, char *line, size_t size, bool may_return, weft_until until)
{
    size_t seen = 0;
    const void *view;
    for (;;) {
        ssize_t n = weft_conn_fill(c, seen, &view, seen > 0 && may_return ? WEFT_NOW : until);
        if (n == -ETIMEDOUT && may_return)
            return -EAGAIN;
        const char *end = n > 0 ? memchr((const char *)view + seen, '\n', (size_t)n - seen) : NULL;
        if (end != NULL) {
            size_t length = (size_t)(end - (const char *)view);
            CHECK(length < size);
            memcpy(line, view, length);
            line[length] = '\0';
            weft_conn_consume(c, length + 1);
            return 1;
        }
        if (n == 0 && seen > 0) {
            memcpy(line, view, seen);
            line[seen] = '\0';
            weft_conn_consume(c, seen);
            return 0;
        }
        if (n <= 0)
            return n < 0 ? n : -EPIPE;
        seen = (size_t)n;
    }
}

int line_handler(weft_conn *c, void *arg)
{
    line_service *service = arg;
    static const size_t longest = 70000;
    char *line = malloc(longest);
    char rest[256];
    CHECK(line != NULL);
    int verdict = WEFT_CONN_IDLE;
    do {
        ssize_t n = next_line(c, line, longest, !service->stays, WEFT_FOREVER);
        if (n == -EAGAIN)
            break;
        if (n == 0) {
            snprintf(rest, sizeof(rest), "rest %.200s", line);
            verdict = answer(c, rest) < 0 ? -EPIPE : WEFT_CONN_CLOSE;
        } else if (n == -ENOBUFS) {
            verdict = answer(c, "too long") < 0 ? -EPIPE : WEFT_CONN_LINGER;
        } else if (n < 0) {
            verdict = (int)n == -EPIPE ? WEFT_CONN_CLOSE : (int)n;
        } else if (strcmp(line, "close") == 0) {
            verdict = answer(c, "bye") < 0 ? -EPIPE : WEFT_CONN_CLOSE;
        } else if (strcmp(line, "linger") == 0) {
            verdict = answer(c, "bye") < 0 ? -EPIPE : WEFT_CONN_LINGER;
        } else if (strcmp(line, "fail") == 0) {
            verdict = -EIO;
        } else {
            weft_conn_busy(c, 1);
            int err = run_line(c, line, service);
            weft_conn_busy(c, 0);
            if (err < 0)
                verdict = err;
        }
    } while (service->stays && verdict == WEFT_CONN_IDLE);
    free(line);
    return verdict;
}

/* ---- hooks ---- */

static int line_open(weft_conn *c, void *arg)
{
    line_service *service = arg;
    CHECK(weft_conn_id(c) != 0 && weft_conn_data(c) == NULL && weft_conn_server(c) != NULL);
    weft_conn_set_data(c, service);
    if (load_relaxed(&service->refuse_open))
        return 1;
    add_relaxed(&service->opened, 1);
    return 0;
}

static void line_close(weft_conn *c, void *arg)
{
    line_service *service = arg;
    CHECK_PTR(service, weft_conn_data(c));
    add_relaxed(&service->closed, 1);
}

static size_t line_refuse(char *text, size_t size, void *arg)
{
    (void)arg;
    return (size_t)snprintf(text, size, "full\n");
}

static int line_state_open(void **state, void *arg)
{
    add_relaxed(&((line_service *)arg)->states, 1);
    *state = calloc(1, sizeof(unsigned));
    return 0;
}

static void line_state_tick(void *state, void *arg)
{
    CHECK(state != NULL);
    add_relaxed(&((line_service *)arg)->ticks, 1);
}

static void line_state_close(void *state, void *arg)
{
    sub_relaxed(&((line_service *)arg)->states, 1);
    free(state);
}

/* ---- servers ---- */

line_service *line_service_new(bool stays)
{
    line_service *service = test_shared(sizeof *service);
    service->stays = stays;
    return service;
}

static bool clients_encrypt; /* a case has servers of one kind only */

static weft_server_options kind_options(const serve_kind *kind, weft_server_options options)
{
    options.model = kind->model;
    options.poller = kind->poller;
    if (options.threads == 0 || kind->threaded)
        options.threads = kind->threads;
    if (options.processes == 0)
        options.processes = kind->processes;
    clients_encrypt = kind->tls;
    if (kind->tls)
        options.tls = secure_server(NULL);
    return options;
}

weft_server *serve_start(const serve_kind *kind, weft_server_options options)
{
    weft_server *s = NULL;
    options = kind_options(kind, options);
    CHECK_OK(weft_server_open(&s, &options));
    CHECK_OK(weft_server_start(s));
    return s;
}

weft_server_options line_options(const serve_kind *kind, weft_server_options options, line_service *service)
{
    options = kind_options(kind, options);
    options.handler = line_handler;
    service->forks = kind->forks;
    options.arg = service;
    options.on_open = line_open;
    options.on_close = line_close;
    options.on_refuse = line_refuse;
    options.state_open = line_state_open;
    options.state_tick = line_state_tick;
    options.state_close = line_state_close;
    if (options.stack_size == 0)
        options.stack_size = 256 * 1024; /* printf under sanitizers */
    return options;
}

weft_server *serve_lines(const serve_kind *kind, weft_server_options options, line_service *service)
{
    return service->server = serve_start(kind, line_options(kind, options, service));
}

void serve_stop(weft_server *s)
{
    weft_server_stop(s, weft_in_seconds(5 * test_limit_factor()));
    CHECK_OK(weft_server_wait(s, weft_in_seconds(PATIENCE_SECONDS * test_limit_factor())));
    weft_server_stats stats;
    weft_server_get_stats(s, &stats);
    CHECK_INT(0, stats.open);
    weft_server_close(s);
}

/* ---- clients ---- */

const char *serve_own_host(void)
{
    static char text[32];
    unsigned pid = (unsigned)getpid();
    snprintf(text, sizeof text, "127.%u.%u.%u", 1 + (pid >> 16) % 250, pid >> 8 & 255, pid & 255);
    return text;
}

static int new_client(int family)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    struct timeval limit = {.tv_sec = (time_t)(PATIENCE_SECONDS * test_limit_factor())};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    return fd;
}

static void connect_client(int fd, const void *address, size_t size)
{
    if (connect(fd, address, (socklen_t)size) < 0)
        FAIL("connect: %s", strerror(errno));
    if (clients_encrypt)
        secure_client_begin(fd);
}

static int open_client(unsigned port, const char *source, const char *host)
{
    int fd = new_client(AF_INET), one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = 0};
    if (source != NULL) {
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
        CHECK_INT(1, inet_pton(AF_INET, source, &a.sin_addr));
        CHECK_INT(0, bind(fd, (struct sockaddr *)&a, sizeof(a)));
    }
    a.sin_port = htons((uint16_t)port);
    CHECK_INT(1, inet_pton(AF_INET, host, &a.sin_addr));
    connect_client(fd, &a, sizeof(a));
    return fd;
}

int client_open_unix(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = new_client(AF_UNIX);
    CHECK(strlen(path) < sizeof a.sun_path);
    strcpy(a.sun_path, path);
    connect_client(fd, &a, sizeof a);
    return fd;
}

int client_open_from(unsigned port, const char *source)
{
    return open_client(port, source, "127.0.0.1");
}

int client_open_to(unsigned port, const char *host)
{
    return open_client(port, NULL, host);
}

int client_open(unsigned port)
{
    return client_open_to(port, "127.0.0.1");
}

ssize_t client_try_send(int fd, const void *data, size_t size)
{
    return secure_client_is(fd) ? secure_client_send(fd, data, size) : send(fd, data, size, MSG_NOSIGNAL);
}

ssize_t client_try_recv(int fd, void *buf, size_t size)
{
    return secure_client_is(fd) ? secure_client_recv(fd, buf, size) : recv(fd, buf, size, 0);
}

void client_finish(int fd)
{
    if (secure_client_is(fd))
        secure_client_finish(fd, true);
    shutdown(fd, SHUT_WR);
}

void client_send(int fd, const void *data, size_t size)
{
    for (size_t at = 0; at < size;) {
        ssize_t n = client_try_send(fd, (const char *)data + at, size - at);
        if (n < 0)
            FAIL("send: %s", strerror(errno));
        at += (size_t)n;
    }
}

void client_say(int fd, const char *text)
{
    client_send(fd, text, strlen(text));
}

size_t client_recv(int fd, void *buf, size_t size)
{
    ssize_t n = client_try_recv(fd, buf, size);
    if (n < 0)
        FAIL("recv: %s", strerror(errno));
    return (size_t)n;
}

void client_recv_all(int fd, void *buf, size_t size)
{
    for (size_t at = 0; at < size;) {
        size_t n = client_recv(fd, (char *)buf + at, size - at);
        if (n == 0)
            FAIL("the connection ended after %zu of %zu bytes", at, size);
        at += n;
    }
}

void client_expect(int fd, const char *text)
{
    char buf[4096];
    size_t length = strlen(text);
    CHECK(length < sizeof(buf));
    for (size_t at = 0; at < length;) {
        size_t n = client_recv(fd, buf + at, length - at);
        if (n == 0) {
            buf[at] = '\0';
            FAIL("the connection ended after \"%s\" instead of \"%s\"", buf, text);
        }
        at += n;
    }
    buf[length] = '\0';
    CHECK_STR(text, buf);
}

void client_expect_end(int fd)
{
    char byte;
    ssize_t n = client_try_recv(fd, &byte, 1);
    if (n > 0)
        FAIL("a byte (%d) instead of the end", byte);
    if (n < 0 && errno != ECONNRESET && errno != EPIPE && errno != EPROTO)
        FAIL("recv: %s", strerror(errno));
}

void client_expect_reply(int fd, const char *request, const char *reply)
{
    client_say(fd, request);
    client_expect(fd, reply);
}

void client_expect_pattern(int fd, size_t size)
{
    unsigned char buf[65536];
    for (size_t at = 0; at < size;) {
        size_t want = size - at < sizeof(buf) ? size - at : sizeof(buf);
        size_t n = client_recv(fd, buf, want);
        if (n == 0)
            FAIL("the connection ended after %zu of %zu bytes", at, size);
        for (size_t i = 0; i < n; i++)
            if (buf[i] != line_pattern(at + i))
                FAIL("byte %zu differs", at + i);
        at += n;
    }
}

void client_close(int fd)
{
    if (secure_client_is(fd)) {
        secure_client_finish(fd, false);
        secure_client_forget(fd);
    }
    close(fd);
}

void client_reset(int fd)
{
    struct linger abort_it = {1, 0};
    if (secure_client_is(fd))
        secure_client_forget(fd);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort_it, sizeof(abort_it));
    close(fd);
}

/* ---- waiting for others ---- */

void wait_until(bool (*condition)(void *arg), void *arg, const char *what)
{
    weft_until limit = weft_in_seconds(PATIENCE_SECONDS * test_limit_factor());
    while (!condition(arg)) {
        if (weft_left(limit) == 0)
            FAIL("%s: has not come", what);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

struct open_count {
    weft_server *server;
    uint64_t count;
};

static bool open_is(void *arg)
{
    struct open_count *wanted = arg;
    weft_server_stats stats;
    weft_server_get_stats(wanted->server, &stats);
    return stats.open == wanted->count;
}

void wait_open(weft_server *s, uint64_t count)
{
    struct open_count wanted = {s, count};
    wait_until(open_is, &wanted, "the expected number of open connections");
}

static bool are_idle(void *arg)
{
    const struct open_count *wanted = arg;
    weft__worker *w = &wanted->server->workers[0];
    uint64_t count = 0;
    weft_lock_acquire(&w->lock);
    list_each (l, &w->waiting)
        count += load_seq_cst(&container_of(l, weft_conn, link)->state) == WEFT__CONN_IDLE;
    weft_lock_release(&w->lock);
    return count == wanted->count;
}

void wait_idle(weft_server *s, unsigned count)
{
    struct open_count wanted = {s, count};
    if (s->model == &weft__model_thread)
        wait_until(are_idle, &wanted, "the expected number of idle connections");
}

weft_server_stats server_stats(weft_server *s)
{
    weft_server_stats stats;
    weft_server_get_stats(s, &stats);
    return stats;
}

pid_t serve_first_child(pid_t parent)
{
    char path[64];
    int child = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", parent, parent);
    FILE *f = fopen(path, "re");
    CHECK(f != NULL && fscanf(f, "%d", &child) == 1);
    (void)fclose(f);
    return child;
}
