/* weft_shared_queue: whole messages in order, full and empty, deadlines, closing, counted work, producers, ways to
 * another process. What is killed or hostile is in shared_queue_kill_test.c. */
#include "harness/harness.h"

#include "base/atomic.h"
#include "process/shared_ring.h"
#include "sys/sys.h"

#include <weft/co.h>
#include <weft/pipe.h>
#include <weft/process.h>
#include <weft/shared_queue.h>
#include <weft/shm.h>
#include <weft/thread.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static weft_shared_queue *new_queue(size_t capacity, size_t bytes)
{
    weft_shared_queue *q;
    weft_shared_queue_options o = {.capacity = capacity, .bytes = bytes};
    CHECK_OK(weft_shared_queue_new(&q, &o));
    return q;
}

static void put(weft_shared_queue *q, const char *text)
{
    CHECK_OK(weft_shared_queue_put(q, text, strlen(text), WEFT_FOREVER));
}

static void expect(weft_shared_queue *q, const char *text)
{
    char buffer[1000];
    size_t size = 0;
    CHECK_OK(weft_shared_queue_get(q, buffer, sizeof buffer - 1, &size, WEFT_FOREVER));
    buffer[size] = 0;
    CHECK_STR(text, buffer);
}

static int try_get(weft_shared_queue *q, weft_until until)
{
    char c[1000];
    size_t size;
    return weft_shared_queue_get(q, c, sizeof c, &size, until);
}

/* ---- one caller ---- */

/* S001-76, S001-77, H86 */
TEST_IN(THREAD | CO, shared_queue_keeps_order_and_boundaries_of_messages)
{
    weft_shared_queue *q = new_queue(0, 256);
    for (int round = 0; round < 100; round++) { /* across the ring's end at every offset */
        char text[40];
        snprintf(text, sizeof text, "%.*s", round % 30, "abcdefghijklmnopqrstuvwxyz0123456789");
        put(q, text);
        put(q, "");
        put(q, "Levi");
        CHECK_INT(3, weft_shared_queue_size(q));
        expect(q, text);
        expect(q, "");
        expect(q, "Levi");
    }
    CHECK(weft_shared_queue_empty(q));
    weft_shared_queue_free(q);
}

/* S000-38, S000-39, S001-79 to S001-82, S004-27, G67, G68, G69 */
TEST_IN(THREAD | CO, shared_queue_full_and_empty_have_names_of_their_own)
{
    weft_shared_queue *q = new_queue(2, 0);
    CHECK_INT(2, weft_shared_queue_capacity(q));
    CHECK_ERR(-WEFT_EEMPTY, try_get(q, WEFT_NOW));
    CHECK_ERR(-WEFT_EEMPTY, try_get(q, weft_in_ms(10)));
    put(q, "one");
    CHECK(!weft_shared_queue_full(q));
    put(q, "two");
    CHECK(weft_shared_queue_full(q));
    CHECK_ERR(-WEFT_EFULL, weft_shared_queue_put(q, "three", 5, WEFT_NOW));
    CHECK_ERR(-WEFT_EFULL, weft_shared_queue_put(q, "three", 5, weft_in_ms(10)));
    CHECK_INT(2, weft_shared_queue_size(q));
    expect(q, "one");
    put(q, "three");
    expect(q, "two");
    expect(q, "three");
    weft_shared_queue_free(q);
}

TEST(shared_queue_is_full_when_its_bytes_are)
{
    char big[512] = "big";
    weft_shared_queue *q = new_queue(0, 512);
    CHECK_INT(504, weft_shared_queue_message_max(q));
    CHECK_ERR(-EMSGSIZE, weft_shared_queue_put(q, big, 505, WEFT_NOW));
    CHECK_OK(weft_shared_queue_put(q, big, 504, WEFT_NOW));
    CHECK(weft_shared_queue_full(q));
    CHECK_ERR(-WEFT_EFULL, weft_shared_queue_put(q, big, 0, WEFT_NOW));
    expect(q, "big");
    CHECK_OK(weft_shared_queue_put(q, big, 240, WEFT_NOW));
    CHECK_ERR(-WEFT_EFULL, weft_shared_queue_put(q, big, 257, WEFT_NOW));
    CHECK_OK(weft_shared_queue_put(q, big, 256, WEFT_NOW));
    weft_shared_queue_free(q);
}

/* N159, H92 */
TEST(shared_queue_message_that_is_too_large_stays_and_tells_its_size)
{
    weft_shared_queue *q = new_queue(0, 0);
    char small[4];
    size_t size = 0, own_size;
    void *own;
    put(q, "eleven char");
    put(q, "");
    for (int i = 0; i < 3; i++) {
        CHECK_ERR(-EMSGSIZE, weft_shared_queue_get(q, small, sizeof small, &size, WEFT_NOW));
        CHECK_INT(11, size);
        CHECK_INT(2, weft_shared_queue_size(q));
    }
    CHECK_OK(weft_shared_queue_get_new(q, &own, &own_size, WEFT_NOW));
    CHECK_INT(11, own_size);
    CHECK_STR("eleven char", own);
    free(own);
    CHECK_OK(weft_shared_queue_get_new(q, &own, &own_size, WEFT_NOW));
    CHECK_INT(0, own_size);
    free(own);
    CHECK_ERR(-WEFT_EEMPTY, weft_shared_queue_get_new(q, &own, &own_size, WEFT_NOW));
    put(q, "stays");
    weft__sys_plan(WEFT__SYS_MALLOC, 2, 1, -ENOMEM, 0);
    CHECK_ERR(-ENOMEM, weft_shared_queue_get_new(q, &own, &own_size, WEFT_NOW));
    weft__sys_plan_none();
    expect(q, "stays");
    weft_shared_queue_free(q);
}

TEST(shared_queue_options_that_cannot_be_are_refused)
{
    weft_shared_queue *q;
    weft_shared_queue_options o = {.bytes = (size_t)5 << 30};
    CHECK_ERR(-EINVAL, weft_shared_queue_new(&q, &o));
    o = (weft_shared_queue_options){.name = "a/b"};
    CHECK_ERR(-EINVAL, weft_shared_queue_new(&q, &o));
    o = (weft_shared_queue_options){.name = "shared_queue_test.failing"};
    for (uint32_t n = 1; n <= 2; n++) {
        weft__sys_plan(WEFT__SYS_MALLOC, n, 1, -ENOMEM, 0);
        CHECK_ERR(-ENOMEM, weft_shared_queue_new(&q, &o));
        weft__sys_plan_none();
        CHECK_ERR(-ENOENT, weft_shm_unlink(o.name)); /* nothing is left behind */
    }
    weft_shared_queue_free(NULL);
}

/* The marks are 32 bits of messages and of units: they go round and nobody notices. */
TEST(shared_queue_goes_on_when_its_counts_go_round)
{
    weft_shared_queue *q = new_queue(3, 128);
    uint64_t mark = WEFT__RING_MARK(UINT32_MAX - 5, UINT32_MAX - 15);
    for (int side = 0; side < 2; side++) {
        q->ring->sides[side].mark = q->ring->sides[side].other = mark;
        q->ring->sides[side].begun = mark;
    }
    q->ring->done = UINT32_MAX - 5;
    for (int i = 0; i < 20; i++) {
        put(q, "some text");
        put(q, "more");
        CHECK_INT(2, weft_shared_queue_size(q));
        expect(q, "some text");
        expect(q, "more");
        CHECK_OK(weft_shared_queue_task_done(q));
        CHECK_ERR(-ETIMEDOUT, weft_shared_queue_join(q, WEFT_NOW));
        CHECK_OK(weft_shared_queue_task_done(q));
        CHECK_OK(weft_shared_queue_join(q, WEFT_NOW));
    }
    weft_shared_queue_free(q);
}

/* ---- two that wait for each other, in every context ---- */

static int put_hello(void *arg)
{
    put(arg, "hello");
    return 0;
}

static int expect_hello(void *arg)
{
    expect(arg, "hello");
    return 0;
}

static void wait_until_armed(const weft_shared_queue *q, int side, unsigned n)
{
    while (load_seq_cst(&q->ring->asleep[side]) < n)
        weft__sys_futex_wait(&(uint32_t){0}, 0, weft__sys_now() + WEFT_MS, false);
}

/* S000-36, G70 */
TEST_IN(THREAD | PROCESS, shared_queue_wakes_who_waits_for_a_message)
{
    weft_shared_queue *q = new_queue(0, 0);
    for (int i = 0; i < 3; i++)
        test_spawn(t, expect_hello, q);
    wait_until_armed(q, WEFT__RING_GET, 3);
    for (int i = 0; i < 3; i++)
        put(q, "hello");
    test_join(t);
    weft_shared_queue_free(q);
}

TEST_IN(THREAD | PROCESS, shared_queue_wakes_who_waits_for_room)
{
    weft_shared_queue *q = new_queue(1, 0);
    put(q, "hello");
    for (int i = 0; i < 3; i++)
        test_spawn(t, put_hello, q);
    wait_until_armed(q, WEFT__RING_PUT, 3);
    for (int i = 0; i < 4; i++)
        expect(q, "hello");
    test_join(t);
    CHECK(weft_shared_queue_empty(q));
    weft_shared_queue_free(q);
}

typedef struct traffic {
    weft_shared_queue *q;
    uint32_t putter;  /* atomic: gives each its number */
    uint32_t got;     /* atomic: how many messages */
    uint64_t sum;     /* atomic */
    weft_until until; /* how the two wait */
} traffic;

enum {
    PUTTERS = 3,
    GETTERS = 3,
    EACH = 2000
};

typedef struct parcel {
    uint32_t from, number;
    uint8_t bytes[120];
} parcel;

static size_t parcel_size(uint32_t number)
{
    return 8 + number * 7 % 113;
}

/* Who waits for a processor in the midst of a call for a second is taken for one that is stopped; only calls with an
 * end give up then. */
static bool is_slow(const traffic *w, int err)
{
    return err == -ETIMEDOUT && w->until.at == 0;
}

static int put_parcels(void *arg)
{
    traffic *w = arg;
    parcel p = {.from = add_relaxed(&w->putter, 1)};
    for (p.number = 0; p.number < EACH; p.number++) {
        memset(p.bytes, (int)(p.from * 31 + p.number), sizeof p.bytes);
        int err;
        do
            err = weft_shared_queue_put(w->q, &p, parcel_size(p.number),
                                        w->until.at == 0 ? weft_in(10 * WEFT_US) : w->until);
        while (err == -WEFT_EFULL || is_slow(w, err));
        CHECK_OK(err);
    }
    return 0;
}

static int get_parcels(void *arg)
{
    traffic *w = arg;
    parcel p;
    size_t size;
    uint32_t next[PUTTERS] = {0};
    for (;;) {
        int err = weft_shared_queue_get(w->q, &p, sizeof p, &size, w->until.at == 0 ? weft_in(10 * WEFT_US) : w->until);
        if (err == -WEFT_EEMPTY || is_slow(w, err))
            continue;
        if (err == -EPIPE)
            return 0;
        CHECK_OK(err);
        CHECK(p.from < PUTTERS && p.number < EACH);
        CHECK_INT(parcel_size(p.number), size);
        for (size_t i = 8; i < size; i++)
            CHECK_INT((uint8_t)(p.from * 31 + p.number), p.bytes[i - 8]);
        CHECK(p.number >= next[p.from]); /* G72, H87: in the order of its putter */
        next[p.from] = p.number + 1;
        CHECK(weft_shared_queue_size(w->q) <= (size_t)PUTTERS * EACH); /* H93 */
        add_relaxed(&w->got, 1);
        add_relaxed(&w->sum, (uint64_t)p.from * EACH + p.number);
    }
}

static void close_busy(weft_shared_queue *q)
{
    int err;
    while ((err = weft_shared_queue_close(q, WEFT_CLOSE_DRAIN)) == -ETIMEDOUT)
        ; /* as above */
    CHECK_OK(err);
}

static void run_traffic(test *t, size_t capacity, size_t bytes, weft_until until)
{
    traffic *w = test_alloc(t, sizeof *w);
    int putters[PUTTERS];
    *w = (traffic){.q = new_queue(capacity, bytes), .until = until};
    for (int i = 0; i < GETTERS; i++)
        test_spawn(t, get_parcels, w);
    for (int i = 0; i < PUTTERS; i++)
        putters[i] = test_spawn(t, put_parcels, w);
    for (int i = 0; i < PUTTERS; i++)
        CHECK_INT(0, test_result(t, putters[i]));
    close_busy(w->q);
    test_join(t);
    uint64_t n = (uint64_t)PUTTERS * EACH;
    CHECK_INT(n, w->got);
    CHECK_INT(n * (n - 1) / 2, w->sum);
    CHECK_INT(0, weft_shared_queue_lost(w->q));
    weft_shared_queue_free(w->q);
}

/* G72, H86, H87 */
TEST_IN_LIMIT(60, THREAD | CO | PROCESS, shared_queue_gives_each_message_once_and_whole)
{
    run_traffic(t, 0, 1024, WEFT_FOREVER);
}

TEST_IN_LIMIT(60, THREAD | CO | PROCESS, shared_queue_of_one_place_gives_each_message_once)
{
    run_traffic(t, 1, 256, WEFT_FOREVER);
}

/* G73 */
TEST_IN_LIMIT(60, THREAD | CO | PROCESS, shared_queue_with_tiny_deadlines_loses_nothing)
{
    run_traffic(t, 4, 0, WEFT_NOW);
}

static int thread_of_process(void *arg)
{
    weft_thread thread = WEFT_THREAD_INIT;
    weft_co *co;
    CHECK_OK(weft_thread_start(&thread, get_parcels, arg, NULL));
    CHECK_OK(weft_co_start(&co, get_parcels, arg, NULL));
    CHECK_OK(weft_co_join(co, NULL, WEFT_FOREVER));
    CHECK_OK(weft_thread_join(&thread, NULL, WEFT_FOREVER));
    return 0;
}

/* threads and coroutines of several processes at one queue. */
TEST_IN_LIMIT(60, PROCESS, shared_queue_mixes_threads_coroutines_and_processes)
{
    traffic *w = test_alloc(t, sizeof *w);
    *w = (traffic){.q = new_queue(8, 2048), .until = WEFT_FOREVER};
    int putters[PUTTERS];
    for (int i = 0; i < 2; i++)
        test_spawn(t, thread_of_process, w);
    for (int i = 0; i < PUTTERS; i++)
        putters[i] = test_spawn(t, put_parcels, w);
    for (int i = 0; i < PUTTERS; i++)
        CHECK_INT(0, test_result(t, putters[i]));
    close_busy(w->q);
    test_join(t);
    CHECK_INT(PUTTERS * EACH, w->got);
    weft_shared_queue_free(w->q);
}

/* ---- ties, cancellation ---- */

TEST_IN(THREAD | CO, shared_queue_takes_what_is_there_although_the_deadline_is_past)
{
    weft_shared_queue *q = new_queue(1, 0);
    CHECK_OK(weft_shared_queue_put(q, "x", 1, (weft_until){-5}));
    CHECK_OK(try_get(q, (weft_until){1}));
    CHECK_OK(weft_shared_queue_put(q, "x", 1, (weft_until){1}));
    weft_shared_queue_free(q);
}

static weft_shared_queue *cancelled_queue;
static int cancel_results[2];

static int wait_cancelled(void *arg)
{
    int which = *(int *)arg;
    cancel_results[which] = which == 0 ? try_get(cancelled_queue, WEFT_FOREVER)
                                       : weft_shared_queue_put(cancelled_queue, "x", 1, WEFT_FOREVER);
    return 0;
}

TEST(shared_queue_waits_end_by_cancellation)
{
    for (int which = 0; which < 2; which++) {
        weft_co *co;
        weft_thread thread = WEFT_THREAD_INIT;
        cancelled_queue = new_queue(1, 0);
        if (which == 1)
            put(cancelled_queue, "full");
        CHECK_OK(weft_co_start(&co, wait_cancelled, &which, NULL));
        wait_until_armed(cancelled_queue, which == 0 ? WEFT__RING_GET : WEFT__RING_PUT, 1);
        weft_co_cancel(co);
        CHECK_OK(weft_co_join(co, NULL, WEFT_FOREVER));
        CHECK_ERR(-ECANCELED, cancel_results[which]);
        CHECK_OK(weft_thread_start(&thread, wait_cancelled, &which, NULL));
        wait_until_armed(cancelled_queue, which == 0 ? WEFT__RING_GET : WEFT__RING_PUT, 1);
        weft_thread_cancel(&thread);
        CHECK_OK(weft_thread_join(&thread, NULL, WEFT_FOREVER));
        CHECK_ERR(-ECANCELED, cancel_results[which]);
        weft_shared_queue_free(cancelled_queue);
    }
}

/* ---- closing ---- */

/* G80, G82, H88 */
TEST_IN(THREAD | CO, shared_queue_closed_is_drained_and_then_over)
{
    weft_shared_queue *q = new_queue(0, 0);
    put(q, "left");
    CHECK(!weft_shared_queue_closed(q));
    CHECK_OK(weft_shared_queue_close(q, WEFT_CLOSE_DRAIN));
    CHECK_OK(weft_shared_queue_close(q, WEFT_CLOSE_DRAIN));
    CHECK(weft_shared_queue_closed(q));
    CHECK_ERR(-EPIPE, weft_shared_queue_put(q, "x", 1, WEFT_FOREVER));
    expect(q, "left");
    CHECK_ERR(-EPIPE, try_get(q, WEFT_FOREVER));
    CHECK_ERR(-EPIPE, try_get(q, WEFT_NOW));
    weft_shared_queue_free(q);
}

/* G81, G82 */
TEST_IN(THREAD | CO, shared_queue_closed_and_dropped_has_nothing_left)
{
    weft_shared_queue *q = new_queue(0, 0);
    for (int i = 0; i < 5; i++)
        put(q, "x");
    expect(q, "x");
    CHECK_OK(weft_shared_queue_close(q, WEFT_CLOSE_DRAIN));
    CHECK_OK(weft_shared_queue_close(q, WEFT_CLOSE_DROP));
    CHECK_OK(weft_shared_queue_close(q, WEFT_CLOSE_DRAIN));
    CHECK_ERR(-EPIPE, try_get(q, WEFT_FOREVER));
    CHECK_INT(0, weft_shared_queue_size(q));
    CHECK_ERR(-ETIMEDOUT, weft_shared_queue_join(q, WEFT_NOW)); /* the one that was got */
    CHECK_OK(weft_shared_queue_task_done(q));
    CHECK_OK(weft_shared_queue_join(q, WEFT_FOREVER));
    CHECK_ERR(-EINVAL, weft_shared_queue_task_done(q));
    weft_shared_queue_free(q);
}

static int get_until_closed(void *arg)
{
    CHECK_ERR(-EPIPE, try_get(arg, WEFT_FOREVER));
    return 0;
}

static int put_until_closed(void *arg)
{
    CHECK_ERR(-EPIPE, weft_shared_queue_put(arg, "x", 1, WEFT_FOREVER));
    return 0;
}

static int join_until_done(void *arg)
{
    return weft_shared_queue_join(arg, WEFT_FOREVER);
}

/* G80, G83 */
TEST_IN(THREAD | PROCESS, shared_queue_close_lets_all_go)
{
    weft_shared_queue *q = new_queue(1, 0);
    for (int i = 0; i < 3; i++)
        test_spawn(t, get_until_closed, q);
    wait_until_armed(q, WEFT__RING_GET, 3);
    CHECK_OK(weft_shared_queue_close(q, WEFT_CLOSE_DRAIN));
    test_join(t);
    weft_shared_queue_free(q);
    q = new_queue(1, 0);
    put(q, "full");
    for (int i = 0; i < 3; i++)
        test_spawn(t, put_until_closed, q);
    wait_until_armed(q, WEFT__RING_PUT, 3);
    test_spawn(t, join_until_done, q);
    CHECK_OK(weft_shared_queue_close(q, WEFT_CLOSE_DROP));
    test_join(t);
    weft_shared_queue_free(q);
}

/* ---- counted work ---- */

static int work_off(void *arg)
{
    while (try_get(arg, WEFT_FOREVER) == 0)
        CHECK_OK(weft_shared_queue_task_done(arg));
    return 0;
}

/* G77, G78, G79 */
TEST_IN_LIMIT(30, THREAD | CO | PROCESS, shared_queue_join_waits_for_work_that_is_done)
{
    weft_shared_queue *q = new_queue(10, 0);
    CHECK_OK(weft_shared_queue_join(q, WEFT_NOW));
    CHECK_ERR(-EINVAL, weft_shared_queue_task_done(q));
    for (int i = 0; i < 3; i++)
        test_spawn(t, work_off, q);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 100; i++)
            put(q, "x");
        int joiner = test_spawn(t, join_until_done, q);
        CHECK_OK(weft_shared_queue_join(q, WEFT_FOREVER));
        CHECK_INT(0, test_result(t, joiner));
        CHECK(weft_shared_queue_empty(q));
    }
    put(q, "x");
    CHECK_OK(weft_shared_queue_close(q, WEFT_CLOSE_DRAIN));
    test_join(t);
    CHECK_OK(weft_shared_queue_join(q, WEFT_NOW));
    weft_shared_queue_free(q);
}

/* ---- producers ---- */

static int produce(void *arg)
{
    CHECK_OK(weft_shared_queue_producer_begin(arg));
    for (int i = 0; i < 50; i++)
        put(arg, "x");
    CHECK_OK(weft_shared_queue_producer_end(arg));
    return 0;
}

static int consume(void *arg)
{
    int n = 0, err;
    while ((err = try_get(arg, WEFT_FOREVER)) == 0)
        n++;
    CHECK_ERR(-WEFT_EEOF, err);
    return n;
}

TEST_IN_LIMIT(30, THREAD | CO | PROCESS, shared_queue_ends_when_no_producer_is_left)
{
    weft_shared_queue *q = new_queue(5, 0);
    int producers[3], consumers[2];
    CHECK_ERR(-WEFT_EEMPTY, try_get(q, WEFT_NOW));
    CHECK_ERR(-EINVAL, weft_shared_queue_producer_end(q));
    CHECK_OK(weft_shared_queue_producer_begin(q));
    CHECK_ERR(-WEFT_EEMPTY, try_get(q, WEFT_NOW));
    for (int i = 0; i < 2; i++)
        consumers[i] = test_spawn(t, consume, q);
    for (int i = 0; i < 3; i++)
        producers[i] = test_spawn(t, produce, q);
    for (int i = 0; i < 3; i++)
        CHECK_INT(0, test_result(t, producers[i]));
    CHECK_OK(weft_shared_queue_producer_end(q));
    CHECK_INT(150, test_result(t, consumers[0]) + test_result(t, consumers[1]));
    CHECK_ERR(-WEFT_EEOF, try_get(q, WEFT_NOW));
    weft_shared_queue_free(q);
}

TEST(shared_queue_has_room_for_64_producers)
{
    weft_shared_queue *q = new_queue(0, 0);
    for (int i = 0; i < 64; i++)
        CHECK_OK(weft_shared_queue_producer_begin(q));
    CHECK_ERR(-ENOSPC, weft_shared_queue_producer_begin(q));
    for (int i = 0; i < 64; i++)
        CHECK_OK(weft_shared_queue_producer_end(q));
    CHECK_ERR(-EINVAL, weft_shared_queue_producer_end(q));
    weft_shared_queue_free(q);
}

/* ---- ways to another process ---- */

static int put_one(void *arg)
{
    put(arg, "of one that has ended");
    return 0;
}

/* H90, H94: what a process has put stays when it ends, and what lay there at its start is there once. */
TEST(shared_queue_keeps_what_an_ended_process_has_put)
{
    weft_process p = WEFT_PROCESS_INIT;
    weft_shared_queue *q = new_queue(0, 0);
    put(q, "of the parent");
    CHECK_OK(weft_process_start(&p, put_one, q, NULL));
    CHECK_OK(weft_process_join(&p, NULL, WEFT_FOREVER));
    CHECK_OK(weft_process_close(&p));
    CHECK_INT(2, weft_shared_queue_size(q));
    expect(q, "of the parent");
    expect(q, "of one that has ended");
    CHECK_ERR(-WEFT_EEMPTY, try_get(q, WEFT_NOW));
    weft_shared_queue_free(q);
}

static weft_pipe *ends[2];

static int put_by_fd(void *arg)
{
    (void)arg;
    int fd;
    unsigned n = 1;
    size_t size;
    char c;
    weft_shared_queue *q;
    CHECK_OK(weft_pipe_receive_fds(ends[0], &c, 1, &size, &fd, &n, WEFT_FOREVER));
    CHECK_INT(1, n);
    CHECK_OK(weft_shared_queue_from_fd(&q, fd));
    put(q, "by descriptor");
    weft_shared_queue_free(q);
    return 0;
}

static int put_by_name(void *arg)
{
    weft_shared_queue *q;
    CHECK_OK(weft_shared_queue_open(&q, arg));
    put(q, "by name");
    weft_shared_queue_free(q);
    return 0;
}

TEST(shared_queue_reaches_others_by_descriptor_and_by_name)
{
    weft_process p = WEFT_PROCESS_INIT;
    CHECK_OK(weft_pipe_new(ends, WEFT_SIMPLEX));
    CHECK_OK(weft_process_start(&p, put_by_fd, NULL, NULL));
    weft_shared_queue *q = new_queue(3, 0); /* made after the fork */
    int fd = weft_shared_queue_fd(q);
    CHECK_OK(weft_pipe_send_fds(ends[1], "q", 1, &fd, 1, WEFT_FOREVER));
    expect(q, "by descriptor");
    CHECK_OK(weft_process_join(&p, NULL, WEFT_FOREVER));
    CHECK_OK(weft_process_close(&p));
    weft_shared_queue_free(q);
    weft_pipe_close(ends[0]);
    weft_pipe_close(ends[1]);

    char name[60];
    snprintf(name, sizeof name, "shared_queue_test.%d", (int)getpid());
    weft_shared_queue_options o = {.name = name};
    CHECK_OK(weft_shared_queue_new(&q, &o));
    CHECK_ERR(-EEXIST, weft_shared_queue_new(&q, &o));
    CHECK_OK(weft_process_start(&p, put_by_name, name, NULL));
    expect(q, "by name");
    CHECK_OK(weft_process_join(&p, NULL, WEFT_FOREVER));
    CHECK_OK(weft_process_close(&p));
    weft_shared_queue_free(q);
    CHECK_OK(weft_shm_unlink(name));
    CHECK_ERR(-ENOENT, weft_shared_queue_open(&q, name));
}

TEST(shared_queue_is_not_made_of_another_segment)
{
    weft_shm *s;
    weft_shared_queue *q;
    CHECK_OK(weft_shm_new(&s, 1 << 20, NULL));
    int fd = dup(weft_shm_fd(s));
    CHECK_ERR(-EPROTO, weft_shared_queue_from_fd(&q, fd));
    close(fd);
    weft_shm_close(s);
}

/* ---- what it costs ---- */

TEST_IN(THREAD | CO, shared_queue_makes_no_system_call_when_nobody_sleeps)
{
    weft_shared_queue *q = new_queue(0, 0);
    put(q, "warm");
    expect(q, "warm");
    weft__sys_plan(WEFT__SYS_FUTEX_WAKE, 1000000, 1, 0, 0);
    weft__sys_plan(WEFT__SYS_FUTEX_WAITV, 1000000, 1, 0, 0);
    for (int i = 0; i < 1000; i++) {
        put(q, "x");
        expect(q, "x");
    }
    CHECK_INT(0, weft__sys_seen(WEFT__SYS_FUTEX_WAKE));
    CHECK_INT(0, weft__sys_seen(WEFT__SYS_FUTEX_WAITV));
    weft__sys_plan_none();
    weft_shared_queue_free(q);
}
