/* send_test.c - sends of slots under all back ends: all or an error, done exactly once, in order, also when the slot
 * or the connection goes away under them; and what happens when system calls fail. */
#include "io/io_support.h"

#include <pthread.h>
#include <stdlib.h>

typedef struct message {
    weft__send send;
    struct iovec iov[8];
    int dones;
    ssize_t result;
} message;

static void note_done(weft__send *s, ssize_t result)
{
    message *m = container_of(s, message, send);
    m->dones++;
    m->result = result;
}

static void no_event(weft__fd_slot *slot, unsigned events)
{
    (void)slot, (void)events;
}

static void drop_received(weft__fd_slot *slot, weft__buffer *b, ssize_t n)
{
    (void)n;
    if (b != NULL)
        weft__buffer_release(slot->poller, b);
}

static const weft__slot_fn quiet = {.event = no_event, .received = drop_received};

static void add(weft__poller *p, weft__fd_slot *slot, int fd)
{
    slot->fn = &quiet;
    slot->fd = fd;
    CHECK_OK(weft__slot_add(p, slot, 0));
}

/* Start sending data[0..size) in `pieces` about equal parts. The result if it is known at once, else -EINPROGRESS. */
static ssize_t start(weft__fd_slot *slot, message *m, char *data, size_t size, unsigned pieces, unsigned flags)
{
    *m = (message){.send = {.done = note_done, .iov = m->iov, .niov = pieces, .flags = flags}};
    for (unsigned i = 0; i < pieces; i++) {
        size_t from = size * i / pieces, to = size * (i + 1) / pieces;
        m->iov[i] = (struct iovec){data + from, to - from};
    }
    ssize_t n = weft__send_start(slot, &m->send);
    if (n != -EINPROGRESS) {
        m->dones = 1;
        m->result = n;
    }
    return n;
}

typedef struct reader {
    int fd;
    size_t size;
    char *data;
} reader;

static void *read_all(void *arg)
{
    reader *r = arg;
    io_read(r->fd, r->data, r->size);
    return NULL;
}

TEST_BACKENDS(send_small_leaves_whole)
{
    int fds[2];
    weft__fd_slot slot = {0};
    weft__poller *p = io_open_on_pair(kind, &slot, &quiet, 0, fds);
    message m;
    char data[64], got[64];
    io_pattern(data, sizeof data, 0);
    for (unsigned empty = 0; empty < 4; empty++) {
        start(&slot, &m, data, 0, 1 + empty, empty % 2 == 0 ? WEFT__SEND_NOW : 0);
        io_run_until(p, &m.dones, 1);
        CHECK_INT(0, m.result);
    }
    for (unsigned pieces = 1; pieces <= 8; pieces++) {
        start(&slot, &m, data, sizeof data, pieces, pieces % 2 == 0 ? WEFT__SEND_NOW : 0);
        io_run_until(p, &m.dones, 1);
        CHECK_INT(sizeof data, m.result);
        io_read(fds[1], got, sizeof got);
        CHECK_MEM(data, got, sizeof got);
        CHECK_INT(1, m.dones);
        CHECK_PTR(NULL, slot.sends);
    }
    io_close_on_pair(p, &slot, fds);
}

static void check_large(const char *kind, unsigned pieces, unsigned flags)
{
    enum {
        SIZE = 8 << 20
    };
    weft__poller *p = io_open(kind);
    int fds[2];
    weft__fd_slot slot = {0};
    message m[3];
    char *data = malloc(SIZE), *got = malloc(SIZE);
    io_tcp_pair(fds);
    CHECK_OK(weft__sys_setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, 1 << 16)); /* so that it cannot leave at once */
    CHECK_OK(weft__sys_setsockopt(fds[1], SOL_SOCKET, SO_RCVBUF, 1 << 16));
    add(p, &slot, fds[0]);
    CHECK_OK(weft__recv_start(&slot));
    io_pattern(data, SIZE, 0);
    size_t third = SIZE / 3;
    CHECK_ERR(-EINPROGRESS, start(&slot, &m[0], data, third, pieces, flags));
    CHECK_ERR(-EINPROGRESS, start(&slot, &m[1], data + third, third, pieces, flags | WEFT__SEND_MORE));
    CHECK_ERR(-EINPROGRESS, start(&slot, &m[2], data + 2 * third, SIZE - 2 * third, pieces, flags));
    reader r = {fds[1], SIZE, got};
    pthread_t thread;
    CHECK_INT(0, pthread_create(&thread, NULL, read_all, &r));
    for (int i = 0; i < 3; i++) {
        io_run_until(p, &m[i].dones, 1);
        CHECK_INT(i < 2 ? third : SIZE - 2 * third, m[i].result);
    }
    CHECK_INT(0, pthread_join(thread, NULL));
    io_check_pattern(got, SIZE, 0);
    for (int i = 0; i < 3; i++)
        CHECK_INT(1, m[i].dones);
    free(data);
    free(got);
    io_close_on_pair(p, &slot, fds);
}

TEST_BACKENDS(send_large_leaves_whole_and_in_order)
{
    check_large(kind, 1, 0);
}

TEST_BACKENDS(send_large_in_pieces_leaves_whole_and_in_order)
{
    check_large(kind, 8, WEFT__SEND_NOW);
}

/* Start sends until the kernel takes no more; returns how many messages are under way. */
static int fill(weft__poller *p, weft__fd_slot *slot, message *m, int most, char *data, size_t size)
{
    int n = 0;
    while (n < most) {
        start(slot, &m[n++], data, size, 1, 0);
        io_run_dry(p);
        if (m[n - 1].dones == 0)
            break;
    }
    CHECK_INT(0, m[n - 1].dones);
    return n;
}

enum {
    CHUNK = 4 << 20
};

TEST_BACKENDS(send_cancelled_is_done_once_with_an_error)
{
    int fds[2];
    weft__fd_slot slot = {0};
    weft__poller *p = io_open_on_pair(kind, &slot, &quiet, 0, fds);
    message *m = calloc(16, sizeof *m), last;
    char *data = malloc(CHUNK);
    int n = fill(p, &slot, m, 16, data, CHUNK);
    CHECK_ERR(-EINPROGRESS, start(&slot, &last, data, 10, 1, 0));
    weft__send_cancel(&last.send);
    CHECK_INT(0, last.dones); /* never from inside */
    weft__send_cancel(&m[n - 1].send);
    weft__send_cancel(&m[n - 1].send);
    io_run_until(p, &m[n - 1].dones, 1);
    io_run_until(p, &last.dones, 1);
    CHECK_ERR(-ECANCELED, m[n - 1].result);
    CHECK_ERR(-ECANCELED, last.result);
    io_run_dry(p);
    CHECK_INT(1, m[n - 1].dones);
    CHECK_INT(1, last.dones);
    free(m);
    free(data);
    io_close_on_pair(p, &slot, fds);
}

TEST_BACKENDS(send_of_a_removed_slot_is_done_once_with_an_error)
{
    int fds[2];
    weft__fd_slot slot = {0};
    weft__poller *p = io_open_on_pair(kind, &slot, &quiet, 0, fds);
    message *m = calloc(16, sizeof *m), last;
    char *data = malloc(CHUNK);
    int n = fill(p, &slot, m, 16, data, CHUNK);
    CHECK_ERR(-EINPROGRESS, start(&slot, &last, data, 10, 1, 0));
    weft__slot_remove(&slot);
    memset(&slot, 0xff, sizeof slot);
    close(fds[0]);
    io_run_until(p, &m[n - 1].dones, 1);
    io_run_until(p, &last.dones, 1);
    CHECK_ERR(-ECANCELED, m[n - 1].result);
    CHECK_ERR(-ECANCELED, last.result);
    io_run_dry(p);
    CHECK_INT(1, m[n - 1].dones + last.dones - 1);
    char some[4096]; /* and the descriptor is really closed: the peer comes to the end */
    ssize_t k;
    do {
        k = weft__sys_recv(fds[1], some, sizeof some, 0);
        if (k == -EAGAIN)
            io_run_dry(p);
    } while (k > 0 || k == -EAGAIN);
    CHECK(k == 0 || k == -ECONNRESET);
    close(fds[1]);
    free(m);
    free(data);
    weft__poller_close(p);
}

/* What was started but not yet handed to the kernel must not reach the next holder of the number. */
TEST_BACKENDS(send_of_a_removed_slot_reaches_no_reused_number)
{
    weft__poller *p = io_open(kind);
    int old[2], new[2];
    weft__fd_slot slot = {0};
    message first, m;
    char byte, data[] = "secret";
    io_tcp_pair(old);
    io_tcp_pair(new);
    io_run_dry(p);
    add(p, &slot, old[0]);
    start(&slot, &first, data, 6, 1, 0);
    start(&slot, &m, data, 6, 1, 0);
    weft__slot_remove(&slot);
    CHECK_INT(old[0], dup2(new[0], old[0]));
    io_run_until(p, &first.dones, 1);
    io_run_until(p, &m.dones, 1);
    io_run_dry(p);
    CHECK_ERR(-EAGAIN, weft__sys_recv(new[1], &byte, 1, 0));
    for (int i = 0; i < 2; i++) {
        close(old[i]);
        close(new[i]);
    }
    weft__poller_close(p);
}

TEST_BACKENDS(send_to_a_peer_that_left_is_an_error_and_no_signal)
{
    int fds[2];
    weft__fd_slot slot = {0};
    weft__poller *p = io_open_on_pair(kind, &slot, &quiet, 0, fds);
    message m;
    char data[100] = {0};
    CHECK_OK(setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger)));
    close(fds[1]);
    for (int i = 0; i < 2; i++) {
        start(&slot, &m, data, sizeof data, 1 + (unsigned)i, i == 1 ? WEFT__SEND_NOW : 0);
        io_run_until(p, &m.dones, 1);
        CHECK(m.result == -EPIPE || m.result == -ECONNRESET);
        CHECK_PTR(NULL, slot.sends);
    }
    weft__slot_remove(&slot);
    close(fds[0]);
    weft__poller_close(p);
}

/* A peer that resets in the middle of a large send. */
TEST_BACKENDS(send_is_ended_by_a_reset_in_the_middle)
{
    int fds[2];
    weft__fd_slot slot = {0};
    weft__poller *p = io_open_on_pair(kind, &slot, &quiet, 0, fds);
    message *m = calloc(16, sizeof *m);
    char *data = malloc(CHUNK);
    int n = fill(p, &slot, m, 16, data, CHUNK);
    CHECK_OK(setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger)));
    close(fds[1]);
    io_run_until(p, &m[n - 1].dones, 1);
    CHECK(m[n - 1].result == -EPIPE || m[n - 1].result == -ECONNRESET);
    weft__slot_remove(&slot);
    close(fds[0]);
    free(m);
    free(data);
    weft__poller_close(p);
}

/* ---- failing calls ---- */

typedef struct echo {
    weft__fd_slot slot;
    message m;
    char data[64];
    int ends, errors;
} echo;

static void echo_received(weft__fd_slot *slot, weft__buffer *b, ssize_t n)
{
    echo *e = container_of(slot, echo, slot);
    if (n <= 0) {
        e->ends += n == 0 || n == -ECONNRESET;
        e->errors += n < 0;
        return;
    }
    size_t size = (size_t)n < sizeof e->data ? (size_t)n : sizeof e->data;
    memcpy(e->data, b->data, size);
    weft__buffer_release(slot->poller, b);
    if (e->slot.sends == NULL)
        e->errors += start(slot, &e->m, e->data, size, 1, 0) < 0 && e->m.result != -EINPROGRESS && e->m.dones == 1;
}

static const weft__slot_fn echo_fn = {.event = no_event, .received = echo_received};

/* One exchange with call number `nth` of this kind failing. Whether the plan was used. It may fail, but must neither
 * hang, crash nor leak. */
static bool exchange_with_fault(const char *kind, enum weft__sys_call call, uint32_t nth, int err)
{
    const weft__poller_ops *ops;
    weft__poller *p = NULL;
    int fds[2];
    echo e = {0};
    char got[5];
    io_tcp_pair(fds);
    CHECK_OK(weft__poller_ops_by_name(strcmp(kind, "uring-old") == 0 ? "uring" : kind, &ops));
    weft__sys_plan(call, nth, 1, err, 0);
    if (weft__poller_open(&p, ops, true) == 0) {
        e.slot.fn = &echo_fn;
        e.slot.fd = fds[0];
        if (weft__slot_add(p, &e.slot, 0) == 0) {
            bool started = weft__recv_start(&e.slot) == 0;
            ssize_t done = 0, sent = weft__sys_send(fds[1], "hello", 5, 0);
            weft_until until = weft_in_ms(50); /* for what may have failed */
            while (started && sent == 5 && done < 5 && e.ends == 0 && e.errors == 0 &&
                   (weft__sys_seen(call) < nth || weft_left(until) > 0)) {
                weft__poller_run(p, weft_in_ms(1).at, 256);
                ssize_t n = weft__sys_recv(fds[1], got + done, (size_t)(5 - done), MSG_DONTWAIT);
                done += n > 0 ? n : 0;
            }
            if (weft__sys_seen(call) < nth) {
                CHECK_INT(5, done); /* nothing failed */
                CHECK_MEM("hello", got, 5);
            }
            weft__slot_remove(&e.slot);
            if (e.m.send.slot != NULL || (e.m.dones == 0 && e.m.result == 0 && e.m.send.done != NULL))
                for (int i = 0; i < 100 && e.m.dones == 0; i++)
                    weft__poller_run(p, weft_in_ms(1).at, 256);
        }
        weft__poller_close(p);
    }
    bool used = weft__sys_seen(call) >= nth;
    weft__sys_plan_none();
    close(fds[0]);
    close(fds[1]);
    return used;
}

TEST_BACKENDS_LIMIT(60, exchange_survives_each_failing_call)
{
    static const struct {
        enum weft__sys_call call;
        int err;
    } plans[] = {
        {WEFT__SYS_MALLOC, -ENOMEM},       {WEFT__SYS_MMAP, -ENOMEM},        {WEFT__SYS_EVENTFD, -EMFILE},
        {WEFT__SYS_EPOLL_CREATE, -EMFILE}, {WEFT__SYS_EPOLL_CTL, -ENOMEM},   {WEFT__SYS_EPOLL_WAIT, -EINTR},
        {WEFT__SYS_SELECT, -EINTR},        {WEFT__SYS_SELECT, -ENOMEM},      {WEFT__SYS_POLL, -EINTR},
        {WEFT__SYS_POLL, -ENOMEM},         {WEFT__SYS_URING_SETUP, -ENOMEM}, {WEFT__SYS_URING_SETUP, -EINVAL},
        {WEFT__SYS_URING_ENTER, -EINTR},   {WEFT__SYS_URING_ENTER, -EAGAIN}, {WEFT__SYS_URING_ENTER, -EBUSY},
        {WEFT__SYS_RECV, -EINTR},          {WEFT__SYS_RECV, -ECONNRESET},    {WEFT__SYS_RECV, -EAGAIN},
        {WEFT__SYS_SEND, -EINTR},          {WEFT__SYS_SEND, -EAGAIN},        {WEFT__SYS_SEND, -EPIPE},
    };
    for (size_t i = 0; i < WEFT__ARRAY_LEN(plans); i++)
        for (uint32_t nth = 1; exchange_with_fault(kind, plans[i].call, nth, plans[i].err); nth++)
            CHECK(nth < 1000);
}

/* A slow peer is one that takes little, not one that takes nothing: who watches a send sees it move. */
TEST_BACKENDS(send_to_a_slow_reader_shows_that_it_moves)
{
    weft__poller *p = io_open(kind);
    int fds[2], moves = 0;
    weft__fd_slot slot = {0};
    message m;
    char *data = malloc(CHUNK), *some = malloc(1 << 16);
    io_tcp_pair(fds);
    CHECK_OK(weft__sys_setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, 1 << 16));
    CHECK_OK(weft__sys_setsockopt(fds[1], SOL_SOCKET, SO_RCVBUF, 1 << 16));
    add(p, &slot, fds[0]);
    io_pattern(data, CHUNK, 0);
    start(&slot, &m, data, CHUNK, 1, 0);
    size_t got = 0, sent = 0;
    weft_until until = io_patience();
    while (m.dones == 0) {
        ssize_t n = weft__sys_recv(fds[1], some, 1 << 16, MSG_DONTWAIT);
        if (n > 0)
            io_check_pattern(some, (size_t)n, got);
        got += n > 0 ? (size_t)n : 0;
        CHECK(weft__poller_run(p, weft_in(200 * WEFT_US).at, 256) >= 0);
        moves += m.send.sent != sent;
        sent = m.send.sent;
        CHECK(weft_left(until) > 0);
    }
    CHECK_INT(CHUNK, m.result);
    CHECK(moves > 10);
    free(data);
    free(some);
    io_close_on_pair(p, &slot, fds);
}

TEST(uring_that_is_forbidden_becomes_epoll)
{
    weft__poller *p;
    CHECK_OK(weft_io_use("uring"));
    weft__sys_plan(WEFT__SYS_URING_SETUP, 1, 100, -EMFILE, 0); /* a shortage is not a lack */
    CHECK_ERR(-EMFILE, weft__poller_open(&p, &weft__poller_uring, true));
    CHECK_STR("uring", weft_io_kind());
    weft__sys_plan(WEFT__SYS_URING_SETUP, 1, 100, -EPERM, 0);
    CHECK_OK(weft__poller_open(&p, &weft__poller_uring, true));
    CHECK_STR("epoll-et", p->ops->name);
    weft__poller_close(p);
    CHECK_STR("epoll-et", weft_io_kind()); /* it says what is really used */
    weft__sys_plan_none();
}
