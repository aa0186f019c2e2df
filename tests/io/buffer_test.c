/* buffer_test.c - the memory of buffers: there when it is needed, and given back when it was not for a second. */
#include "io/io_support.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* How many bytes of the poller's buffers are in memory. */
static size_t resident(const weft__poller *p)
{
    enum {
        SLAB = 16 * WEFT__BUFFER_STRIDE
    };
    size_t page = (size_t)sysconf(_SC_PAGESIZE), n = 0;
    for (uint32_t i = 0; i < p->slab_count; i++) {
        unsigned char in[SLAB / 4096];
        CHECK_OK(mincore(p->slabs[i], SLAB, in));
        for (size_t j = 0; j < SLAB / page; j++)
            n += (in[j] & 1u) * page;
    }
    return n;
}

static void use_buffers(weft__poller *p, unsigned n)
{
    static weft__buffer *taken[2000];
    for (unsigned i = 0; i < n; i++) {
        taken[i] = weft__buffer_take(p);
        CHECK_INT(WEFT__BUFFER_STRIDE - sizeof *taken[i], taken[i]->size);
        memset(taken[i]->data, 1, taken[i]->size);
    }
    while (n > 0)
        weft__buffer_release(p, taken[--n]);
}

/* A second has passed, as far as the poller knows. */
static void let_a_second_pass(weft__poller *p)
{
    p->look_at = 1;
    CHECK(weft__buffers_until(p, INT64_MAX) < INT64_MAX);
}

static void look_until_quiet(weft__poller *p)
{
    for (int looks = 0; weft__buffers_until(p, INT64_MAX) < INT64_MAX; looks++) {
        p->look_at = 1;
        CHECK(looks < 20);
    }
}

TEST_BACKENDS(buffers_not_needed_for_a_second_go_back_to_the_kernel)
{
    enum {
        MANY = 1000,
        FEW = 300,
        WARM = 64
    };
    const size_t each = WEFT__BUFFER_STRIDE;
    if (sysconf(_SC_PAGESIZE) > WEFT__BUFFER_STRIDE)
        SKIP("several buffers share a page here");
    weft__poller *p = io_open(kind);
    CHECK_INT(INT64_MAX, weft__buffers_until(p, INT64_MAX));
    use_buffers(p, WARM);
    CHECK_INT(INT64_MAX, weft__buffers_until(p, INT64_MAX)); /* so few are no reason to wake */
    use_buffers(p, MANY);
    CHECK(resident(p) >= MANY * each);
    int64_t now = weft__sys_now();
    CHECK_BETWEEN(now + WEFT_SECOND, now + 100 * WEFT_SECOND, weft__buffers_until(p, INT64_MAX));
    CHECK_INT(5, weft__buffers_until(p, 5));
    CHECK(resident(p) >= MANY * each);
    for (int i = 0; i < 5; i++) { /* those that are needed stay */
        use_buffers(p, FEW);
        let_a_second_pass(p);
        CHECK(resident(p) >= FEW * each);
    }
    CHECK(resident(p) <= (FEW + WARM) * each);
    use_buffers(p, MANY); /* and can be had again */
    CHECK(resident(p) >= MANY * each);
    look_until_quiet(p);
    CHECK(resident(p) <= WARM * each);
    weft__poller_close(p);
}

static int received; /* bytes */

static void count_received(weft__fd_slot *slot, weft__buffer *b, ssize_t n)
{
    CHECK(n > 0);
    received += (int)n;
    weft__buffer_release(slot->poller, b);
}

static const weft__slot_fn count_them = {.received = count_received};

/* io_uring had many buffers ready for a burst: it is not woken for them for ever, and keeps few when few do. */
TEST_BACKENDS(buffers_made_ready_for_a_burst_go_back_to_the_kernel)
{
    enum {
        MANY = 250,
        ROUNDS = 8,
        SINGLE = 1100 /* more than io_uring's buffer ring holds */
    };
    if (sysconf(_SC_PAGESIZE) > WEFT__BUFFER_STRIDE)
        SKIP("several buffers share a page here");
    weft__poller *p = io_open(kind);
    static int fds[MANY][2];
    static weft__fd_slot slots[MANY];
    for (int i = 0; i < MANY; i++) {
        io_tcp_pair(fds[i]);
        slots[i] = (weft__fd_slot){.fn = &count_them, .fd = fds[i][0]};
        CHECK_OK(weft__slot_add(p, &slots[i], 0));
        CHECK_OK(weft__recv_start(&slots[i]));
    }
    for (int round = 1; round <= ROUNDS; round++) {
        for (int i = 0; i < MANY; i++)
            io_write(fds[i][1], "x", 1);
        io_run_until(p, &received, round * MANY);
    }
    if (p->ops == &weft__poller_uring)
        CHECK(p->ahead > 0);
    look_until_quiet(p);
    CHECK_INT(0, p->ahead);
    for (int i = 1; i <= SINGLE; i++) {
        io_write(fds[0][1], "x", 1);
        io_run_until(p, &received, ROUNDS * MANY + i);
    }
    look_until_quiet(p);
    CHECK(resident(p) <= 2 * 64 * (size_t)WEFT__BUFFER_STRIDE);
    for (int i = 0; i < MANY; i++) {
        weft__slot_remove(&slots[i]);
        close(fds[i][0]);
        close(fds[i][1]);
    }
    weft__poller_close(p);
}
