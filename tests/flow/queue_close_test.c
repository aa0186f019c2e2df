/* weft_queue: closing, with and without what is in it. */
#include "flow/queue.h"
#include "harness/harness.h"

#include <weft/co.h>

#include <errno.h>

static uint32_t destroyed; /* atomic */

static void count_destroyed(void *element)
{
    (void)element;
    add_seq_cst(&destroyed, 1);
}

static weft_queue *new_queue(unsigned kind, size_t capacity)
{
    weft_queue *q;
    CHECK_OK(weft_queue_new(
        &q, sizeof(int),
        &(weft_queue_options){
            .kind = (enum weft_queue_kind)kind, .capacity = capacity, .destroy = count_destroyed, .name = "closing"}));
    return q;
}

static void put_numbers(weft_queue *q, int n)
{
    for (int i = 0; i < n; i++)
        CHECK_OK(weft_queue_put(q, &i, WEFT_NOW));
}

TEST_IN(THREAD | CO, queue_closed_drains_and_then_is_closed) /* G80 */
{
    for (unsigned kind = WEFT_FIFO; kind <= WEFT_PRIORITY; kind++) {
        weft_queue *q = new_queue(kind, 0);
        int n = 0, out[8];
        put_numbers(q, 6);
        CHECK(!weft_queue_closed(q));
        weft_queue_close(q, WEFT_CLOSE_DRAIN);
        CHECK(weft_queue_closed(q));
        CHECK_ERR(-EPIPE, weft_queue_put(q, &n, WEFT_FOREVER));
        CHECK_ERR(-EPIPE, weft_queue_put(q, &n, WEFT_NOW));
        CHECK_ERR(-EPIPE, weft_queue_put_many(q, &n, 1, WEFT_FOREVER));
        for (int i = 0; i < 4; i++) {
            CHECK_OK(weft_queue_get(q, &n, WEFT_FOREVER));
            CHECK_INT(kind == WEFT_LIFO ? 5 - i : i, n);
        }
        CHECK_INT(2, weft_queue_get_many(q, out, 8, WEFT_FOREVER));
        CHECK_ERR(-EPIPE, weft_queue_get(q, &n, WEFT_FOREVER));
        CHECK_ERR(-EPIPE, weft_queue_get(q, &n, WEFT_NOW));
        CHECK_ERR(-EPIPE, weft_queue_get_many(q, out, 8, WEFT_FOREVER));
        CHECK_INT(0, destroyed);
        weft_queue_free(q);
    }
}

static int put_into_closed(void *arg)
{
    CHECK_ERR(-EPIPE, weft_queue_put(arg, &(int){1}, WEFT_FOREVER));
    return 0;
}

static int get_from_closed(void *arg)
{
    int n;
    CHECK_ERR(-EPIPE, weft_queue_get(arg, &n, WEFT_FOREVER));
    return 0;
}

TEST_IN(THREAD | CO, queue_close_wakes_all_that_wait) /* G80 */
{
    weft_queue *full = new_queue(WEFT_FIFO, 2), *empty = new_queue(WEFT_LIFO, 2);
    put_numbers(full, 2);
    for (int i = 0; i < 5; i++) {
        test_spawn(t, put_into_closed, full);
        test_spawn(t, get_from_closed, empty);
    }
    test_wait_until_asleep(t, weft__queue_word(full, WEFT__QUEUE_PUT), 5);
    test_wait_until_asleep(t, weft__queue_word(empty, WEFT__QUEUE_GET), 5);
    weft_queue_close(full, WEFT_CLOSE_DRAIN);
    weft_queue_close(empty, WEFT_CLOSE_DRAIN);
    test_join(t);
    CHECK_INT(2, weft_queue_size(full));
    weft_queue_free(full);
    weft_queue_free(empty);
    CHECK_INT(2, destroyed);
}

static int join_queue(void *arg)
{
    CHECK_OK(weft_queue_join(arg, WEFT_FOREVER));
    return 0;
}

TEST_IN(THREAD | CO, queue_dropped_counts_what_it_dropped_as_done) /* G81 */
{
    for (unsigned kind = WEFT_FIFO; kind <= WEFT_PRIORITY; kind++) {
        weft_queue *q = new_queue(kind, 5);
        int n;
        store_seq_cst(&destroyed, 0);
        put_numbers(q, 5);
        CHECK_OK(weft_queue_get(q, &n, WEFT_NOW));
        test_spawn(t, join_queue, q);
        test_wait_until_asleep(t, &q->finished, 1);
        weft_queue_close(q, WEFT_CLOSE_DROP);
        CHECK_INT(4, destroyed);
        CHECK(weft_queue_empty(q));
        CHECK_ERR(-EPIPE, weft_queue_get(q, &n, WEFT_NOW));
        CHECK_ERR(-ETIMEDOUT, weft_queue_join(q, WEFT_NOW)); /* one was got and is not done */
        CHECK_OK(weft_queue_task_done(q));
        CHECK_ERR(-EINVAL, weft_queue_task_done(q));
        test_join(t);
        weft_queue_free(q);
        CHECK_INT(4, destroyed);
    }
}

TEST_IN(THREAD | CO, queue_join_returns_when_all_is_dropped) /* G81 */
{
    weft_queue *q = new_queue(WEFT_FIFO, 0);
    put_numbers(q, 3);
    for (int i = 0; i < 2; i++)
        test_spawn(t, join_queue, q);
    test_wait_until_asleep(t, &q->finished, 2);
    weft_queue_close(q, WEFT_CLOSE_DROP);
    test_join(t);
    CHECK_ERR(-EINVAL, weft_queue_task_done(q));
    weft_queue_free(q);
}

TEST(queue_closed_twice_is_closed_and_once_dropped_stays_so) /* G82 */
{
    weft_queue *q = new_queue(WEFT_FIFO, 0);
    int n;
    put_numbers(q, 3);
    weft_queue_close(q, WEFT_CLOSE_DRAIN);
    weft_queue_close(q, WEFT_CLOSE_DRAIN);
    CHECK_OK(weft_queue_get(q, &n, WEFT_NOW));
    CHECK_INT(0, destroyed);
    weft_queue_close(q, WEFT_CLOSE_DROP);
    CHECK_INT(2, destroyed);
    CHECK_ERR(-EPIPE, weft_queue_get(q, &n, WEFT_NOW));
    weft_queue_close(q, WEFT_CLOSE_DRAIN);
    weft_queue_close(q, WEFT_CLOSE_DROP);
    CHECK_ERR(-EPIPE, weft_queue_get(q, &n, WEFT_NOW));
    CHECK(weft_queue_closed(q));
    CHECK_INT(2, destroyed);
    CHECK_OK(weft_queue_set_capacity(q, 1000)); /* harmless */
    CHECK_ERR(-EPIPE, weft_queue_put(q, &n, WEFT_NOW));
    weft_queue_free(q);
    CHECK_INT(2, destroyed);
}

/* An element's destroyer may use the queue: no lock is held. */
static weft_queue *reentered;

static void use_the_queue(void *element)
{
    (void)element;
    CHECK(weft_queue_closed(reentered));
    CHECK_ERR(-EPIPE, weft_queue_put(reentered, &(int){1}, WEFT_NOW));
    add_seq_cst(&destroyed, 1);
}

TEST_IN(THREAD | CO, queue_destroyer_may_call_the_queue)
{
    for (unsigned kind = WEFT_FIFO; kind <= WEFT_PRIORITY; kind++) {
        weft_queue_options options = {.kind = (enum weft_queue_kind)kind, .destroy = use_the_queue};
        CHECK_OK(weft_queue_new(&reentered, sizeof(int), &options));
        put_numbers(reentered, 10);
        weft_queue_close(reentered, WEFT_CLOSE_DROP);
        weft_queue_free(reentered);
    }
    CHECK_INT(30, destroyed);
}

/* ---- closing while all are busy ---- */

enum {
    WRITERS = 4,
    READERS = 6,
    JOINERS = 2,
    PER_WRITER = 20000
};

typedef struct storm {
    weft_queue *q;
    uint32_t writer;                    /* atomic: numbers them */
    uint32_t ended;                     /* atomic */
    uint32_t put_ok;                    /* atomic: puts that returned 0 */
    uint32_t got;                       /* atomic */
    uint8_t seen[WRITERS * PER_WRITER]; /* atomic: how often it came out, one way or the other */
} storm;

static storm *the_storm;

static void see(int n)
{
    CHECK_INT(0, add_acq_rel(&the_storm->seen[n], 1));
}

static void destroy_in_storm(void *element)
{
    see(*(int *)element);
    add_seq_cst(&destroyed, 1);
}

static int write_in_storm(void *arg)
{
    storm *s = arg;
    int first = (int)add_acq_rel(&s->writer, 1) * PER_WRITER, err = 0;
    for (int n = first; n < first + PER_WRITER && err == 0; n++) {
        err = weft_queue_put(s->q, &n, WEFT_FOREVER);
        if (err == 0)
            add_acq_rel(&s->put_ok, 1);
    }
    CHECK(err == 0 || err == -EPIPE);
    add_acq_rel(&s->ended, 1);
    return 0;
}

static int read_in_storm(void *arg)
{
    storm *s = arg;
    int n, err;
    while ((err = weft_queue_get(s->q, &n, WEFT_FOREVER)) == 0) {
        see(n);
        add_acq_rel(&s->got, 1);
        CHECK_OK(weft_queue_task_done(s->q));
    }
    CHECK_ERR(-EPIPE, err);
    add_acq_rel(&s->ended, 1);
    return 0;
}

static int join_in_storm(void *arg)
{
    storm *s = arg;
    CHECK_OK(weft_queue_join(s->q, WEFT_FOREVER));
    add_acq_rel(&s->ended, 1);
    return 0;
}

static void storm_round(test *t, storm *s, unsigned kind, size_t capacity, uint32_t close_after)
{
    weft_queue_options options = {
        .kind = (enum weft_queue_kind)kind, .capacity = capacity, .destroy = destroy_in_storm};
    *s = (storm){.q = NULL};
    store_seq_cst(&destroyed, 0);
    CHECK_OK(weft_queue_new(&s->q, sizeof(int), &options));
    for (int i = 0; i < WRITERS; i++)
        test_spawn(t, write_in_storm, s);
    for (int i = 0; i < READERS; i++)
        test_spawn(t, read_in_storm, s);
    for (int i = 0; i < JOINERS; i++)
        test_spawn(t, join_in_storm, s);
    while (load_acquire(&s->got) < close_after)
        weft_yield();
    weft_queue_close(s->q, close_after % 2 == 0 ? WEFT_CLOSE_DROP : WEFT_CLOSE_DRAIN);
    test_join(t);
    CHECK_INT(WRITERS + READERS + JOINERS, s->ended);
    CHECK_INT(s->put_ok, s->got + destroyed); /* each that went in came out once: by get or by destroy */
    CHECK_INT(s->q->halves[WEFT__QUEUE_PUT].count, s->put_ok);
    CHECK_OK(weft_queue_join(s->q, WEFT_NOW));
    CHECK_ERR(-EINVAL, weft_queue_task_done(s->q));
    weft_queue_free(s->q);
    CHECK_INT(s->put_ok, s->got + destroyed);
}

TEST_IN_LIMIT(60, THREAD | CO, queue_closed_in_full_use_returns_everybody_and_loses_nothing) /* G83 */
{
    storm *s = the_storm = test_alloc(t, sizeof *s);
    uint32_t rounds = (uint32_t)test_rounds(20, 600);
    for (uint32_t i = 0; i < rounds; i++)
        storm_round(t, s, i % 3, i % 4 == 0 ? 0 : 1 + i * 13 % 50, i * 37 % 1500);
}
