/* slot_test.c - pollers and slots below the streams: the same bodies under all five back ends, in the plain thread
 * that opened the poller. Each name says what is true. */
#include "io/io_support.h"

#include "sys/uring.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

/* ---- an owner that writes down what it is told ---- */

typedef struct owner {
    weft__fd_slot slot;
    int events;    /* callbacks */
    unsigned seen; /* events of all of them */
    int chunks;    /* deliveries with bytes */
    size_t bytes;
    int ends;
    ssize_t end;
    int accepts, refusals, refusal;
    int fds[64];
    void (*then)(struct owner *o);
    struct owner *other;
} owner;

static owner *owner_of(weft__fd_slot *slot)
{
    return container_of(slot, owner, slot);
}

static void note_event(weft__fd_slot *slot, unsigned events)
{
    owner *o = owner_of(slot);
    o->events++;
    o->seen |= events;
    if (o->then != NULL)
        o->then(o);
}

static void note_received(weft__fd_slot *slot, weft__buffer *b, ssize_t n)
{
    owner *o = owner_of(slot);
    if (n > 0) {
        CHECK_INT(n, b->used);
        CHECK(b->used <= b->size);
        io_check_pattern(b->data, (size_t)n, o->bytes);
        o->chunks++;
        o->bytes += (size_t)n;
        weft__buffer_release(slot->poller, b);
    } else {
        CHECK_PTR(NULL, b);
        o->ends++;
        o->end = n;
    }
    if (o->then != NULL)
        o->then(o);
}

static void note_accepted(weft__fd_slot *slot, int fd)
{
    owner *o = owner_of(slot);
    if (fd < 0) {
        o->refusals++;
        o->refusal = fd;
    } else {
        CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
        CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        o->fds[o->accepts++] = fd;
    }
}

static const weft__slot_fn notes = {note_event, note_received, note_accepted};

static void add(weft__poller *p, owner *o, int fd, unsigned events)
{
    o->slot.fn = &notes;
    o->slot.fd = fd;
    CHECK_OK(weft__slot_add(p, &o->slot, events));
}

/* ---- readiness ---- */

TEST_BACKENDS(slot_tells_readiness_when_it_comes)
{
    int fds[2];
    owner o = {0};
    weft__poller *p = io_open_on_pair(kind, &o.slot, &notes, WEFT_POLLIN, fds);
    CHECK_INT(0, weft__poller_run(p, 0, 256));
    CHECK_INT(0, o.events);
    io_write_pattern(fds[1], 5, 0);
    io_run_until(p, &o.events, 1);
    CHECK_INT(WEFT_POLLIN, o.seen);
    weft__slot_remove(&o.slot);
    CHECK_INT(0, p->slots);
    close(fds[0]);
    close(fds[1]);
    weft__poller_close(p);
}

TEST_BACKENDS(slot_tells_what_is_already_so_when_wanted)
{
    weft__poller *p = io_open(kind);
    int fds[2];
    owner o = {0};
    io_tcp_pair(fds);
    io_write_pattern(fds[1], 5, 0);
    add(p, &o, fds[0], 0);
    io_run_dry(p);
    CHECK_INT(0, o.events);
    CHECK_OK(weft__slot_want(&o.slot, WEFT_POLLOUT));
    io_run_until(p, &o.events, 1);
    CHECK_INT(WEFT_POLLOUT, o.seen);
    CHECK_OK(weft__slot_want(&o.slot, 0));
    io_run_dry(p);
    o.events = 0;
    o.seen = 0;
    CHECK_OK(weft__slot_want(&o.slot, WEFT_POLLIN));
    io_run_until(p, &o.events, 1);
    CHECK_INT(WEFT_POLLIN, o.seen);
    io_close_on_pair(p, &o.slot, fds);
}

TEST_BACKENDS(slot_tells_writability_once)
{
    int fds[2];
    owner o = {0};
    weft__poller *p = io_open_on_pair(kind, &o.slot, &notes, 0, fds);
    char *much = calloc(1, 1 << 16);
    CHECK_OK(weft__recv_start(&o.slot));
    while (weft__sys_send(fds[0], much, 1 << 16, MSG_DONTWAIT) > 0)
        ;
    CHECK_OK(weft__slot_want_out_once(&o.slot));
    CHECK_OK(weft__slot_want_out_once(&o.slot));
    io_run_dry(p);
    CHECK_INT(0, o.events);
    while (o.events == 0) {
        while (weft__sys_recv(fds[1], much, 1 << 16, MSG_DONTWAIT) > 0)
            ;
        CHECK(weft__poller_run(p, weft_in_ms(1).at, 256) >= 0);
    }
    io_run_dry(p);
    CHECK_INT(1, o.events);
    CHECK(o.seen & WEFT_POLLOUT);
    CHECK_OK(weft__slot_want_out_once(&o.slot)); /* it is so now: told without any change */
    io_run_until(p, &o.events, 2);
    io_write_pattern(fds[1], 7, 0);
    io_run_until_bytes(p, &o.bytes, 7);
    CHECK_INT(2, o.events);
    free(much);
    io_close_on_pair(p, &o.slot, fds);
}

TEST_BACKENDS(poller_sleeps_until_the_deadline_when_nothing_comes)
{
    enum {
        N = 50
    };
    weft__poller *p = io_open(kind);
    int fds[N][2];
    owner o[N] = {0};
    for (int i = 0; i < N; i++) {
        io_tcp_pair(fds[i]);
        add(p, &o[i], fds[i][0], 0);
        if (i % 2 == 0)
            CHECK_OK(weft__recv_start(&o[i].slot));
        else
            CHECK_OK(weft__slot_want(&o[i].slot, WEFT_POLLIN));
    }
    io_run_dry(p);
    uint64_t polls = p->polls, events = p->events;
    int64_t start = weft_now();
    CHECK_INT(0, weft__poller_run(p, start + 100 * WEFT_MS, 256));
    CHECK(weft_now() - start >= 100 * WEFT_MS);
    CHECK_INT(1, p->polls - polls);
    CHECK_INT(0, p->events - events);
    for (int i = 0; i < N; i++) {
        weft__slot_remove(&o[i].slot);
        close(fds[i][0]);
        close(fds[i][1]);
    }
    weft__poller_close(p);
}

TEST_BACKENDS(poller_does_not_spin_on_what_nobody_wants)
{
    weft__poller *p = io_open(kind);
    int fds[3][2];
    owner o[3] = {0};
    for (int i = 0; i < 3; i++) {
        io_tcp_pair(fds[i]);
        add(p, &o[i], fds[i][0], 0);
        CHECK_OK(weft__recv_start(&o[i].slot));
        CHECK(weft__poller_run(p, 0, 256) >= 0);
        weft__recv_stop(&o[i].slot);
    }
    io_run_dry(p);
    io_write_pattern(fds[0][1], 100, 0); /* bytes that nobody reads; the end; a reset */
    close(fds[1][1]);
    CHECK_OK(setsockopt(fds[2][1], SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger)));
    close(fds[2][1]);
    io_run_dry(p);
    uint64_t polls = p->polls;
    int64_t start = weft_now();
    while (weft_now() - start < 60 * WEFT_MS)
        CHECK(weft__poller_run(p, start + 60 * WEFT_MS, 256) >= 0);
    CHECK_BETWEEN(1, 3, p->polls - polls);
    CHECK_OK(weft__recv_start(&o[0].slot)); /* and it is there when wanted again */
    io_run_until_bytes(p, &o[0].bytes, 100);
    CHECK_OK(weft__recv_start(&o[1].slot));
    io_run_until(p, &o[1].ends, 1);
    CHECK_INT(0, o[1].end);
    for (int i = 0; i < 3; i++) {
        weft__slot_remove(&o[i].slot);
        close(fds[i][0]);
    }
    close(fds[0][1]);
    weft__poller_close(p);
}

/* Linux loses the reset if both come between io_uring's first look and its sleep: that is `late`. */
TEST_BACKENDS(slot_is_told_of_a_reset_that_came_with_the_bytes)
{
    for (int late = 0; late < 2; late++) {
        int fds[2];
        owner o = {0};
        weft__poller *p = io_open_on_pair(kind, &o.slot, &notes, 0, fds);
        if (late)
            weft__sys_plan(WEFT__SYS_URING_RECV, 1, 1, -EAGAIN, 0);
        if (late && strcmp(kind, "uring") == 0)
            weft__sys_plan(WEFT__SYS_RECV, 1, 1, -EAGAIN, 0);
        CHECK_OK(weft__recv_start(&o.slot));
        if (!late)
            io_run_dry(p);
        io_write_pattern(fds[1], 5, 0);
        CHECK_OK(setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger)));
        close(fds[1]);
        io_run_until(p, &o.ends, 1);
        CHECK_INT(5, o.bytes);
        CHECK_ERR(-ECONNRESET, o.end);
        weft__sys_plan_none();
        weft__slot_remove(&o.slot);
        close(fds[0]);
        weft__poller_close(p);
    }
}

static void *interrupt_later(void *p)
{
    weft__poller_interrupt(p);
    return NULL;
}

TEST_BACKENDS(poller_is_interrupted_before_and_during_a_poll)
{
    weft__poller *p = io_open(kind);
    pthread_t thread;
    io_run_dry(p);
    weft__poller_interrupt(p);
    CHECK_INT(0, weft__poller_run(p, INT64_MAX, 256));
    CHECK(p->interrupted);
    for (int i = 0; i < 20; i++) {
        CHECK_INT(0, pthread_create(&thread, NULL, interrupt_later, p));
        CHECK_INT(0, weft__poller_run(p, INT64_MAX, 256));
        CHECK_INT(0, pthread_join(thread, NULL));
    }
    uint64_t polls = p->polls;
    CHECK_INT(0, weft__poller_run(p, weft_in_ms(30).at, 256)); /* interrupts do not pile up */
    CHECK_INT(1, p->polls - polls);
    weft__poller_close(p);
}

/* ---- receive ---- */

TEST_BACKENDS(recv_brings_bytes_and_the_end)
{
    int fds[2];
    owner o = {0};
    weft__poller *p = io_open_on_pair(kind, &o.slot, &notes, 0, fds);
    CHECK_OK(weft__recv_start(&o.slot));
    for (size_t i = 0; i < 100; i++) {
        io_write_pattern(fds[1], 100, i * 100);
        io_run_until_bytes(p, &o.bytes, (i + 1) * 100);
    }
    shutdown(fds[1], SHUT_WR);
    io_run_until(p, &o.ends, 1);
    CHECK_INT(0, o.end);
    io_run_dry(p);
    CHECK_INT(1, o.ends);
    io_close_on_pair(p, &o.slot, fds);
}

TEST_BACKENDS(recv_brings_the_end_that_came_with_the_bytes)
{
    weft__poller *p = io_open(kind);
    int fds[2];
    owner o = {0};
    io_tcp_pair(fds);
    io_write_pattern(fds[1], 10, 0);
    close(fds[1]);
    add(p, &o, fds[0], 0);
    CHECK_OK(weft__recv_start(&o.slot));
    io_run_until(p, &o.ends, 1);
    CHECK_INT(10, o.bytes);
    CHECK_INT(0, o.end);
    weft__slot_remove(&o.slot);
    close(fds[0]);
    weft__poller_close(p);
}

TEST_BACKENDS(recv_brings_much_more_than_a_buffer)
{
    enum {
        SIZE = 1 << 20
    };
    int fds[2];
    owner o = {0};
    weft__poller *p = io_open_on_pair(kind, &o.slot, &notes, 0, fds);
    CHECK_OK(weft__recv_start(&o.slot));
    char *data = malloc(SIZE);
    io_pattern(data, SIZE, 0);
    for (size_t sent = 0; sent < SIZE;) {
        ssize_t n = weft__sys_send(fds[1], data + sent, SIZE - sent, MSG_DONTWAIT);
        if (n > 0)
            sent += (size_t)n;
        CHECK(weft__poller_run(p, weft_in_ms(1).at, 256) >= 0);
    }
    io_run_until_bytes(p, &o.bytes, SIZE);
    CHECK_INT(SIZE, o.bytes);
    free(data);
    io_close_on_pair(p, &o.slot, fds);
}

static void stop_receiving(owner *o)
{
    weft__recv_stop(&o->slot);
}

TEST_BACKENDS(recv_stopped_and_started_loses_no_byte)
{
    enum {
        SIZE = 300000
    };
    int fds[2];
    owner o = {.then = stop_receiving};
    weft__poller *p = io_open_on_pair(kind, &o.slot, &notes, 0, fds);
    char *data = malloc(SIZE);
    io_pattern(data, SIZE, 0);
    size_t sent = 0;
    weft_until until = io_patience();
    while (o.bytes < SIZE) {
        ssize_t n = sent < SIZE ? weft__sys_send(fds[1], data + sent, SIZE - sent, MSG_DONTWAIT) : 0;
        if (n > 0)
            sent += (size_t)n;
        CHECK_OK(weft__recv_start(&o.slot));
        CHECK(weft__poller_run(p, weft_in_ms(1).at, 256) >= 0);
        CHECK(weft_left(until) > 0);
    }
    io_run_dry(p);
    CHECK_INT(SIZE, o.bytes);
    free(data);
    io_close_on_pair(p, &o.slot, fds);
}

/* Owners may sit on buffers without end; the others still get theirs. */
static int held;
static weft__buffer *holding[5000];

static void hold_received(weft__fd_slot *slot, weft__buffer *b, ssize_t n)
{
    (void)slot;
    CHECK(n > 0);
    holding[held++] = b;
}

static const weft__slot_fn hold = {.received = hold_received};

TEST_BACKENDS(recv_goes_on_while_owners_hold_their_buffers)
{
    enum {
        ROUNDS = 3000
    };
    weft__poller *p = io_open(kind);
    int fds[2];
    owner o = {0};
    io_tcp_pair(fds);
    o.slot.fn = &hold;
    o.slot.fd = fds[0];
    CHECK_OK(weft__slot_add(p, &o.slot, 0));
    CHECK_OK(weft__recv_start(&o.slot));
    for (int i = 0; i < ROUNDS; i++) {
        io_write(fds[1], "x", 1);
        io_run_until(p, &held, i + 1);
    }
    while (held > 0)
        weft__buffer_release(p, holding[--held]);
    io_close_on_pair(p, &o.slot, fds);
}

TEST_BACKENDS_LIMIT(30, recv_from_many_at_once_reaches_each)
{
    enum {
        MOST = 1500 /* more than io_uring's buffer ring holds */
    };
    const int n = strcmp(kind, "select") == 0 ? 300 : MOST;
    static int fds[MOST][2];
    static owner o[MOST];
    struct rlimit limit;
    CHECK_INT(0, getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = limit.rlim_max;
    CHECK_INT(0, setrlimit(RLIMIT_NOFILE, &limit));
    if (limit.rlim_cur < 2 * MOST + 100)
        SKIP("fewer than 3,100 descriptors are allowed");
    weft__poller *p = io_open(kind);
    for (int i = 0; i < n; i++) {
        io_tcp_pair(fds[i]);
        add(p, &o[i], fds[i][0], 0);
        CHECK_OK(weft__recv_start(&o[i].slot));
    }
    io_run_dry(p);
    for (size_t round = 0; round < 20; round++) {
        for (int i = 0; i < n; i++)
            io_write_pattern(fds[i][1], 50, round * 50);
        for (int i = 0; i < n; i++)
            io_run_until_bytes(p, &o[i].bytes, (round + 1) * 50);
    }
    for (int i = 0; i < n; i++) {
        CHECK_INT(1000, o[i].bytes);
        CHECK_INT(0, o[i].ends);
        weft__slot_remove(&o[i].slot);
        close(fds[i][0]);
        close(fds[i][1]);
    }
    weft__poller_close(p);
}

/* ---- removal ---- */

static void remove_both(owner *o)
{
    weft__slot_remove(&o->other->slot);
    weft__slot_remove(&o->slot);
    memset(&o->other->slot, 0xff, sizeof o->other->slot); /* freed: whoever looks at it now crashes */
    memset(&o->slot, 0xff, sizeof o->slot);
}

TEST_BACKENDS(slot_removed_in_a_batch_is_told_nothing_more)
{
    weft__poller *p = io_open(kind);
    int fds[2][2];
    owner o[2] = {{.then = remove_both, .other = &o[1]}, {.then = remove_both, .other = &o[0]}};
    for (int i = 0; i < 2; i++) {
        io_tcp_pair(fds[i]);
        io_write_pattern(fds[i][1], 10, 0);
        add(p, &o[i], fds[i][0], 0);
    }
    for (int i = 0; i < 2; i++)
        CHECK_OK(weft__slot_want(&o[i].slot, WEFT_POLLIN));
    while (o[0].events + o[1].events == 0)
        CHECK(weft__poller_run(p, io_patience().at, 256) >= 0);
    io_run_dry(p);
    CHECK_INT(1, o[0].events + o[1].events);
    CHECK_INT(0, p->slots);
    for (int i = 0; i < 2; i++) {
        close(fds[i][0]);
        close(fds[i][1]);
    }
    weft__poller_close(p);
}

static void remove_both_first_bytes(weft__fd_slot *slot, weft__buffer *b, ssize_t n)
{
    owner *o = owner_of(slot);
    CHECK(n > 0);
    o->chunks++;
    weft__buffer_release(slot->poller, b);
    remove_both(o);
}

static const weft__slot_fn remove_on_bytes = {.received = remove_both_first_bytes};

TEST_BACKENDS(slot_removed_in_a_batch_receives_nothing_more)
{
    weft__poller *p = io_open(kind);
    int fds[2][2];
    owner o[2] = {{.other = &o[1]}, {.other = &o[0]}};
    for (int i = 0; i < 2; i++) {
        io_tcp_pair(fds[i]);
        io_write_pattern(fds[i][1], 10, 0);
        add(p, &o[i], fds[i][0], 0);
        o[i].slot.fn = &remove_on_bytes;
        CHECK_OK(weft__recv_start(&o[i].slot));
    }
    while (o[0].chunks + o[1].chunks == 0)
        CHECK(weft__poller_run(p, io_patience().at, 256) >= 0);
    io_run_dry(p);
    CHECK_INT(1, o[0].chunks + o[1].chunks);
    for (int i = 0; i < 2; i++) {
        close(fds[i][0]);
        close(fds[i][1]);
    }
    weft__poller_close(p);
}

/* A closed descriptor's number goes to the next socket, within the batch that still holds the old one's event. */
static owner *next_owner;

static void replace_other(owner *o)
{
    weft__poller *p = o->slot.poller;
    owner *other = o->other;
    int fd = other->slot.fd;
    o->then = NULL;
    other->then = NULL;
    weft__slot_remove(&other->slot);
    close(fd);
    int next = weft__sys_eventfd();
    if (next != fd) {
        CHECK_INT(fd, dup2(next, fd));
        close(next);
    }
    add(p, next_owner, fd, WEFT_POLLIN);
}

TEST_BACKENDS(slot_on_a_reused_number_gets_no_stale_event)
{
    weft__poller *p = io_open(kind);
    int fds[2][2];
    owner o[2] = {{.then = replace_other, .other = &o[1]}, {.then = replace_other, .other = &o[0]}}, third = {0};
    next_owner = &third;
    for (int i = 0; i < 2; i++) {
        io_tcp_pair(fds[i]);
        io_write_pattern(fds[i][1], 10, 0);
        add(p, &o[i], fds[i][0], 0);
    }
    for (int i = 0; i < 2; i++)
        CHECK_OK(weft__slot_want(&o[i].slot, WEFT_POLLIN));
    while (o[0].events + o[1].events == 0)
        CHECK(weft__poller_run(p, io_patience().at, 256) >= 0);
    for (int i = 0; i < 5; i++)
        CHECK(weft__poller_run(p, 0, 256) >= 0);
    CHECK_INT(0, third.events);
    weft__sys_eventfd_set(third.slot.fd);
    io_run_until(p, &third.events, 1);
    int removed = o[0].slot.poller == NULL ? 0 : 1;
    weft__slot_remove(&o[1 - removed].slot);
    weft__slot_remove(&third.slot);
    for (int i = 0; i < 2; i++) {
        close(fds[i][0]); /* one of them is the third's number */
        close(fds[i][1]);
    }
    weft__poller_close(p);
}

/* What was asked for but not yet handed to the kernel must not reach the next holder of the number. */
TEST_BACKENDS(recv_of_a_removed_slot_takes_nothing_from_a_reused_number)
{
    weft__poller *p = io_open(kind);
    int old[2], new[2];
    char bytes[4];
    owner o = {0};
    io_tcp_pair(old);
    CHECK_OK(weft__sys_socketpair(SOCK_STREAM, new));
    io_run_dry(p);
    add(p, &o, old[0], 0);
    CHECK_OK(weft__recv_start(&o.slot));
    weft__sys_plan(WEFT__SYS_URING_ENTER, 1, 1, -EINTR, 0);
    CHECK_INT(0, weft__poller_run(p, 0, 256));
    weft__sys_plan_none();
    weft__slot_remove(&o.slot);
    CHECK_INT(old[0], dup2(new[0], old[0]));
    io_write(new[1], "mine", 4);
    io_run_dry(p);
    io_read(old[0], bytes, 4);
    CHECK_MEM("mine", bytes, 4);
    close(old[0]);
    close(old[1]);
    close(new[0]);
    close(new[1]);
    weft__poller_close(p);
}

/* ---- accept ---- */

TEST_BACKENDS(accept_brings_every_connection)
{
    enum {
        N = 50
    };
    weft__poller *p = io_open(kind);
    int listener = io_listener(), clients[N];
    owner o = {0};
    add(p, &o, listener, 0);
    CHECK_OK(weft__accept_start(&o.slot));
    for (int i = 0; i < N; i++) {
        clients[i] = io_connection_to(listener);
        if (i % 7 == 0)
            io_run_until(p, &o.accepts, i + 1);
    }
    io_run_until(p, &o.accepts, N);
    CHECK_INT(0, o.refusals);
    weft__slot_remove(&o.slot);
    for (int i = 0; i < N; i++) {
        close(clients[i]);
        close(o.fds[i]);
    }
    close(listener);
    weft__poller_close(p);
}

TEST_BACKENDS(accept_without_descriptors_says_so_once_and_goes_on_later)
{
    enum {
        LIMIT = 64
    };
    struct rlimit limit;
    int fillers[LIMIT], n = 0;
    CHECK_INT(0, getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = LIMIT;
    CHECK_INT(0, setrlimit(RLIMIT_NOFILE, &limit));
    weft__poller *p = io_open(kind);
    int listener = io_listener(), client = weft__sys_socket(AF_INET, SOCK_STREAM);
    owner o = {0};
    weft__address a;
    add(p, &o, listener, 0);
    CHECK_OK(weft__accept_start(&o.slot));
    io_run_dry(p);
    while ((fillers[n] = dup(listener)) >= 0)
        n++;
    CHECK_OK(weft__sys_local(listener, &a));
    CHECK_INT(0, connect(client, &a.any, a.size) < 0 && errno != EINPROGRESS);
    io_run_until(p, &o.refusals, 1);
    CHECK_ERR(-EMFILE, o.refusal);
    uint64_t polls = p->polls;
    CHECK_INT(0, weft__poller_run(p, weft_in_ms(50).at, 256));
    CHECK_BETWEEN(1, 2, p->polls - polls);
    CHECK_INT(1, o.refusals);
    while (n > 0)
        close(fillers[--n]);
    CHECK_OK(weft__accept_start(&o.slot));
    io_run_until(p, &o.accepts, 1);
    weft__slot_remove(&o.slot);
    close(o.fds[0]);
    close(client);
    close(listener);
    weft__poller_close(p);
}

TEST_BACKENDS(accept_of_a_removed_slot_leaks_no_connection)
{
    weft__poller *p = io_open(kind);
    int before = test_fd_count();
    int listener = io_listener(), clients[8];
    owner o = {0};
    add(p, &o, listener, 0);
    CHECK_OK(weft__accept_start(&o.slot));
    CHECK(weft__poller_run(p, 0, 256) >= 0);
    for (int i = 0; i < 8; i++)
        clients[i] = io_connection_to(listener);
    weft__slot_remove(&o.slot);
    close(listener);
    io_run_dry(p);
    for (int i = 0; i < 8; i++)
        close(clients[i]);
    for (int i = 0; i < o.accepts; i++)
        close(o.fds[i]);
    CHECK_INT(before, test_fd_count());
    weft__poller_close(p);
}

/* ---- many, few, wrong ---- */

TEST_BACKENDS_LIMIT(30, poller_tells_the_few_that_are_ready_of_ten_thousand)
{
    enum {
        N = 10000
    };
    struct rlimit limit;
    CHECK_INT(0, getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = limit.rlim_max;
    CHECK_INT(0, setrlimit(RLIMIT_NOFILE, &limit));
    if (limit.rlim_cur < N + 100)
        SKIP("fewer than 10,100 descriptors are allowed");
    weft__poller *p = io_open(kind);
    owner *o = calloc(N, sizeof *o);
    int refused = 0, expected = 0;
    for (int i = 0; i < N; i++) {
        o[i].slot.fn = &notes;
        o[i].slot.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        CHECK(o[i].slot.fd >= 0);
        int err = weft__slot_add(p, &o[i].slot, WEFT_POLLIN);
        if (strcmp(kind, "select") == 0 && o[i].slot.fd >= 1024) {
            CHECK_ERR(-EMFILE, err);
            refused++;
        } else {
            CHECK_OK(err);
        }
    }
    CHECK(strcmp(kind, "select") == 0 ? refused > 8900 : refused == 0);
    io_run_dry(p);
    for (int i = 0; i < N; i += 97) {
        weft__sys_eventfd_set(o[i].slot.fd);
        expected += o[i].slot.poller != NULL;
    }
    weft_until until = io_patience();
    for (int told = 0; told < expected;) {
        CHECK(weft__poller_run(p, until.at, 16) >= 0);
        CHECK(weft_left(until) > 0);
        told = 0;
        for (int i = 0; i < N; i++)
            told += o[i].events > 0;
    }
    for (int i = 0; i < N; i++) {
        CHECK_INT(i % 97 == 0 && o[i].slot.poller != NULL, o[i].events > 0);
        weft__slot_remove(&o[i].slot);
        close(o[i].slot.fd);
    }
    free(o);
    weft__poller_close(p);
}

TEST_BACKENDS(poller_with_few_callbacks_at_a_time_reaches_all)
{
    enum {
        N = 40
    };
    weft__poller *p = io_open(kind);
    owner o[N] = {0};
    for (int i = 0; i < N; i++) {
        add(p, &o[i], eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC), 0);
        CHECK_OK(weft__slot_want(&o[i].slot, WEFT_POLLIN)); /* level: they all stay ready */
    }
    for (int round = 0; round < 6 * N; round++)
        CHECK_BETWEEN(0, 3, weft__poller_run(p, 0, 3));
    for (int i = 0; i < N; i++) {
        CHECK(o[i].events > 0);
        weft__slot_remove(&o[i].slot);
        close(o[i].slot.fd);
    }
    weft__poller_close(p);
}

TEST_BACKENDS(slot_of_a_descriptor_that_was_closed_harms_nobody)
{
    weft__poller *p = io_open(kind);
    int fds[2], gone = eventfd(0, EFD_NONBLOCK);
    owner bad = {0}, good = {0};
    io_tcp_pair(fds);
    add(p, &bad, gone, WEFT_POLLIN);
    add(p, &good, fds[0], WEFT_POLLIN);
    close(gone); /* a mistake of the owner's */
    io_write_pattern(fds[1], 3, 0);
    io_run_until(p, &good.events, 1);
    CHECK_OK(weft__slot_want(&good.slot, 0));
    io_run_dry(p);
    uint64_t polls = p->polls;
    CHECK(weft__poller_run(p, weft_in_ms(30).at, 256) >= 0);
    CHECK_INT(1, p->polls - polls);
    weft__slot_remove(&bad.slot);
    weft__slot_remove(&good.slot);
    close(fds[0]);
    close(fds[1]);
    weft__poller_close(p);
}

TEST(poller_kinds_are_found_by_name)
{
    const weft__poller_ops *ops;
    CHECK_ERR(-EINVAL, weft__poller_ops_by_name("kqueue", &ops));
    CHECK_OK(weft__poller_ops_by_name("epoll-et", &ops));
    CHECK_STR("epoll-et", ops->name);
    setenv("WEFT_POLLER", "poll", 1);
    CHECK_STR("poll", weft_io_kind());
    CHECK_OK(weft_io_use("select"));
    CHECK_STR("select", weft_io_kind());
    CHECK_OK(weft_io_use("select"));
    CHECK_ERR(-EBUSY, weft_io_use("epoll"));
    CHECK_ERR(-EINVAL, weft_io_use("devpoll"));
}
