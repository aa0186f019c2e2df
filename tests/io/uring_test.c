/* uring_test.c - what uring.c does in calls of its own and not in the kernel, and where one turns into the other. The
 * same must be true of every back end. */
#include "io/io_support.h"

#include <stdlib.h>
#include <sys/socket.h>

typedef struct reader {
    weft__fd_slot slot;
    size_t bytes;
    int ends;
    ssize_t end;
    void (*then)(struct reader *r);
    weft__send send; /* with these */
    struct iovec iov;
    int dones;
    ssize_t result;
} reader;

static void read_some(weft__fd_slot *slot, weft__buffer *b, ssize_t n)
{
    reader *r = container_of(slot, reader, slot);
    if (n > 0) {
        io_check_pattern(b->data, (size_t)n, r->bytes);
        r->bytes += (size_t)n;
        weft__buffer_release(slot->poller, b);
    } else {
        r->ends++;
        r->end = n;
    }
    if (r->then != NULL)
        r->then(r);
}

static const weft__slot_fn reading = {.received = read_some};

static void send_is_done(weft__send *s, ssize_t result)
{
    reader *r = container_of(s, reader, send);
    r->dones++;
    r->result = result;
}

static ssize_t start_send(reader *r, void *data, size_t size)
{
    r->iov = (struct iovec){data, size};
    r->send = (weft__send){.done = send_is_done, .iov = &r->iov, .niov = 1};
    return weft__send_start(&r->slot, &r->send);
}

/* A reader of fds[0], to which `size` bytes have come before it begins. */
static weft__poller *open_reader(const char *kind, reader *r, int fds[2], size_t size)
{
    CHECK_INT(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds));
    weft__poller *p = io_open(kind);
    r->slot.fn = &reading;
    r->slot.fd = fds[0];
    CHECK_OK(weft__slot_add(p, &r->slot, 0));
    if (size > 0)
        io_write_pattern(fds[1], size, 0);
    CHECK_OK(weft__recv_start(&r->slot));
    return p;
}

static void close_reader(weft__poller *p, reader *r, const int fds[2])
{
    weft__slot_remove(&r->slot);
    close(fds[0]);
    close(fds[1]);
    weft__poller_close(p);
}

TEST_BACKENDS(recv_of_the_first_bytes_leaves_nothing_in_the_kernel)
{
    int fds[2];
    char byte;
    reader r = {0};
    weft__poller *p = open_reader(kind, &r, fds, 5);
    io_run_until_bytes(p, &r.bytes, 5);
    weft__slot_remove(&r.slot);
    close(fds[0]);
    if (strcmp(kind, "uring-old") == 0) /* it has a poll there from the beginning */
        io_run_dry(p);
    CHECK_INT(0, recv(fds[1], &byte, 1, 0)); /* the end, at once */
    close(fds[1]);
    weft__poller_close(p);
}

TEST_BACKENDS(recv_goes_on_after_the_first_bytes)
{
    int fds[2];
    reader r = {0};
    weft__poller *p = open_reader(kind, &r, fds, 5);
    io_run_until_bytes(p, &r.bytes, 5);
    io_write_pattern(fds[1], 7, 5);
    io_run_until_bytes(p, &r.bytes, 12);
    io_run_dry(p);
    io_write_pattern(fds[1], 50000, 12);
    io_run_until_bytes(p, &r.bytes, 50012);
    close(fds[1]);
    io_run_until(p, &r.ends, 1);
    CHECK_INT(0, r.end);
    weft__slot_remove(&r.slot);
    close(fds[0]);
    weft__poller_close(p);
}

TEST_BACKENDS(recv_of_more_first_bytes_than_a_buffer_keeps_their_order)
{
    int fds[2];
    reader r = {0};
    weft__poller *p = open_reader(kind, &r, fds, 50000);
    close(fds[1]);
    io_run_until(p, &r.ends, 1);
    CHECK_INT(50000, r.bytes);
    CHECK_INT(0, r.end);
    weft__slot_remove(&r.slot);
    close(fds[0]);
    weft__poller_close(p);
}

static char much[1 << 20];

/* More than the socket takes at once. */
static void answer_with_much(reader *r)
{
    if (r->dones == 0 && r->slot.sends == NULL)
        CHECK_ERR(-EINPROGRESS, start_send(r, much, sizeof much));
}

TEST_BACKENDS(recv_goes_on_after_an_answer_that_had_to_wait)
{
    int fds[2];
    reader r = {.then = answer_with_much};
    weft__poller *p = open_reader(kind, &r, fds, 5);
    io_run_until_bytes(p, &r.bytes, 5);
    io_run_dry(p);
    CHECK_INT(0, r.dones);
    io_write_pattern(fds[1], 7, 5);
    char *got = malloc(sizeof much);
    for (size_t n = 0; n < sizeof much;) {
        CHECK(weft__poller_run(p, 0, 256) >= 0);
        ssize_t more = recv(fds[1], got, sizeof much, 0);
        n += more > 0 ? (size_t)more : 0;
    }
    free(got);
    io_run_until(p, &r.dones, 1);
    CHECK_INT(sizeof much, r.result);
    io_run_until_bytes(p, &r.bytes, 12);
    close_reader(p, &r, fds);
}

static void stop(reader *r)
{
    weft__recv_stop(&r->slot);
}

TEST_BACKENDS(recv_that_was_stopped_by_the_first_bytes_starts_again)
{
    int fds[2];
    reader r = {.then = stop};
    weft__poller *p = open_reader(kind, &r, fds, 5);
    io_run_until_bytes(p, &r.bytes, 5);
    io_write_pattern(fds[1], 7, 5);
    io_run_dry(p);
    CHECK_INT(5, r.bytes);
    r.then = NULL;
    CHECK_OK(weft__recv_start(&r.slot));
    weft__recv_stop(&r.slot);
    CHECK_OK(weft__recv_start(&r.slot));
    io_run_until_bytes(p, &r.bytes, 12);
    close_reader(p, &r, fds);
}

static void leave(reader *r)
{
    weft__slot_remove(&r->slot);
}

TEST_BACKENDS(recv_of_the_first_bytes_or_of_the_end_may_remove_its_slot)
{
    for (size_t size = 0; size < 6; size += 5) {
        int fds[2];
        reader r = {.then = leave};
        weft__poller *p = open_reader(kind, &r, fds, size);
        close(fds[1]);
        weft_until until = io_patience();
        while (r.slot.poller != NULL && weft_left(until) > 0)
            CHECK(weft__poller_run(p, until.at, 256) >= 0);
        CHECK_INT(size, r.bytes);
        CHECK_INT(size == 0, r.ends);
        io_run_dry(p);
        close(fds[0]);
        weft__poller_close(p);
    }
}

/* Nothing else is there to be sent with it, so it does not wait for the next round. */
TEST_BACKENDS(send_for_the_only_slot_that_was_told_leaves_at_once)
{
    int fds[2];
    char text[4];
    reader r = {0};
    weft__poller *p = open_reader(kind, &r, fds, 0);
    io_run_dry(p);
    io_write_pattern(fds[1], 5, 0);
    io_run_until_bytes(p, &r.bytes, 5);
    CHECK_INT(4, start_send(&r, "once", 4));
    CHECK_INT(4, recv(fds[1], text, 4, 0));
    CHECK_MEM("once", text, 4);
    close_reader(p, &r, fds);
}
