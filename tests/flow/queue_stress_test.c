/* weft_queue: many putters and getters at once: each element comes out exactly once, and nobody sleeps for ever. */
#include "flow/queue.h"
#include "harness/harness.h"

#include <weft/co.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

enum {
    MAX_PUTTERS = 64,
    MAX_ELEMENTS = 400000
};

typedef struct element {
    uint32_t putter, number;
} element;

typedef struct stress {
    weft_queue *q;
    unsigned putters, each;
    bool fifo;
    int64_t wait;     /* ns: how long a call may wait; INT64_MAX: no deadline */
    uint32_t started; /* atomic: numbers the putters */
    uint32_t batch;
    uint32_t got;               /* atomic */
    uint32_t stop;              /* atomic */
    uint8_t seen[MAX_ELEMENTS]; /* atomic */
} stress;

static weft_until until_of(const stress *s)
{
    return s->wait == 0 ? WEFT_NOW : s->wait == INT64_MAX ? WEFT_FOREVER : weft_in(s->wait);
}

static int put_all(void *arg)
{
    stress *s = arg;
    uint32_t me = add_acq_rel(&s->started, 1);
    element batch[16];
    for (uint32_t i = 0; i < s->each;) {
        uint32_t n = s->batch != 0 ? 1 + i % s->batch : 1;
        n = n < s->each - i ? n : s->each - i;
        for (uint32_t k = 0; k < n; k++)
            batch[k] = (element){me, i + k};
        long done =
            s->batch != 0 ? weft_queue_put_many(s->q, batch, n, until_of(s)) : weft_queue_put(s->q, batch, until_of(s));
        if (done == -WEFT_EFULL) {
            weft_yield();
            continue;
        }
        CHECK(done >= 0);
        i += s->batch != 0 ? (uint32_t)done : 1;
    }
    return 0;
}

static void check_element(stress *s, const element *e, int64_t *last)
{
    CHECK(e->putter < s->putters && e->number < s->each);
    CHECK_INT(0, add_acq_rel(&s->seen[e->putter * s->each + e->number], 1));
    if (s->fifo)
        CHECK(e->number > last[e->putter] || last[e->putter] < 0); /* each getter sees a putter's in their order */
    last[e->putter] = e->number;
    add_acq_rel(&s->got, 1);
}

static int get_all(void *arg)
{
    stress *s = arg;
    int64_t last[MAX_PUTTERS];
    memset(last, -1, sizeof last);
    for (;;) {
        element batch[16];
        long n = s->batch != 0 ? weft_queue_get_many(s->q, batch, s->batch, until_of(s))
                               : weft_queue_get(s->q, batch, until_of(s));
        if (n == -EPIPE)
            return 0;
        if (n == -WEFT_EEMPTY) {
            weft_yield();
            continue;
        }
        CHECK(n >= 0);
        n = s->batch != 0 ? n : 1;
        for (long i = 0; i < n; i++)
            check_element(s, &batch[i], last);
    }
}

static stress *new_stress(test *t, unsigned kind, size_t capacity, unsigned putters, unsigned each)
{
    stress *s = test_alloc(t, sizeof *s);
    CHECK((size_t)putters * each <= MAX_ELEMENTS && putters <= MAX_PUTTERS);
    s->putters = putters;
    s->each = each;
    s->fifo = kind == WEFT_FIFO;
    s->wait = INT64_MAX;
    CHECK_OK(weft_queue_new(&s->q, sizeof(element),
                            &(weft_queue_options){.kind = (enum weft_queue_kind)kind, .capacity = capacity}));
    return s;
}

static void until_all_got(const stress *s)
{
    while (load_acquire(&s->got) < s->putters * s->each)
        weft_yield();
}

/* All that was put came out; then nobody has anything left to do. */
static void end_stress(test *t, stress *s)
{
    until_all_got(s);
    weft_queue_close(s->q, WEFT_CLOSE_DRAIN);
    test_join(t);
    CHECK_INT(s->putters * s->each, s->got);
    CHECK(weft_queue_empty(s->q));
    weft_queue_free(s->q);
}

static void run_stress(test *t, stress *s, unsigned getters)
{
    for (unsigned i = 0; i < getters; i++)
        test_spawn(t, get_all, s);
    for (unsigned i = 0; i < s->putters; i++)
        test_spawn(t, put_all, s);
    end_stress(t, s);
}

TEST_IN_LIMIT(60, THREAD | CO, queue_fifty_and_fifty_lose_and_double_nothing) /* G72 */
{
    run_stress(t, new_stress(t, WEFT_FIFO, 10, 50, 200), 50);
    run_stress(t, new_stress(t, WEFT_FIFO, 0, 50, 200), 50);
    run_stress(t, new_stress(t, WEFT_LIFO, 10, 50, 200), 50);
    run_stress(t, new_stress(t, WEFT_PRIORITY, 10, 50, 200), 50);
}

TEST_IN_LIMIT(60, THREAD | CO, queue_polled_loses_and_doubles_nothing) /* G73 */
{
    for (int i = 0; i < 2; i++) {
        stress *s = new_stress(t, i == 0 ? WEFT_FIFO : WEFT_PRIORITY, 7, 8, 1250);
        s->wait = 0;
        run_stress(t, s, 8);
    }
}

TEST_IN_LIMIT(60, THREAD | CO, queue_with_deadlines_of_10_us_loses_and_doubles_nothing) /* G73 */
{
    for (int i = 0; i < 2; i++) {
        stress *s = new_stress(t, i == 0 ? WEFT_FIFO : WEFT_LIFO, 7, 10, 1000);
        s->wait = 10 * WEFT_US;
        run_stress(t, s, 10);
    }
}

TEST_IN_LIMIT(60, THREAD | CO, queue_hundred_thousand_each_exactly_once) /* G72 */
{
    unsigned each = (unsigned)test_rounds(25000, 100000);
    static const size_t capacities[] = {1024, 1, 3, 64};
    for (int i = 0; i < 4; i++)
        run_stress(t, new_stress(t, WEFT_FIFO, capacities[i], 4, i == 1 ? each / 10 : each), 4);
}

/* Those who wait give way to each other: in one processor's turns, with all of them or two at the queue. */
TEST_IN_LIMIT(60, THREAD | CO, queue_on_one_processor_loses_and_doubles_nothing) /* G72 */
{
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    CHECK_INT(0, sched_setaffinity(0, sizeof one, &one));
    for (unsigned kind = WEFT_FIFO; kind <= WEFT_PRIORITY; kind++) {
        run_stress(t, new_stress(t, kind, 16, 1, 20000), 1);
        run_stress(t, new_stress(t, kind, 3, 4, 2000), 4);
    }
}

TEST_IN_LIMIT(60, THREAD | CO, queue_batches_lose_and_double_nothing) /* G72, G85 */
{
    for (unsigned kind = WEFT_FIFO; kind <= WEFT_PRIORITY; kind++) {
        stress *s = new_stress(t, kind, 20, 4, 10000);
        s->batch = 16;
        run_stress(t, s, 4);
    }
}

/* ---- threads and coroutines on one queue ---- */

static int put_as_coroutine(void *arg)
{
    return put_all(arg);
}

static void *put_as_thread(void *arg)
{
    put_all(arg);
    return NULL;
}

TEST_IN_LIMIT(60, THREAD | CO, queue_serves_threads_and_coroutines_in_any_mix) /* S000-21, G72 */
{
    static const size_t capacities[] = {1, 5, 100, 0};
    for (int i = 0; i < 4; i++) {
        stress *s = new_stress(t, WEFT_FIFO, capacities[i], 8, 2000);
        pthread_t threads[4];
        weft_co *cos[4];
        for (int k = 0; k < 4; k++) {
            CHECK_INT(0, pthread_create(&threads[k], NULL, put_as_thread, s));
            CHECK_OK(weft_co_start(&cos[k], put_as_coroutine, s, NULL));
        }
        for (int k = 0; k < 8; k++)
            test_spawn(t, get_all, s);
        for (int k = 0; k < 4; k++)
            CHECK_OK(weft_co_join(cos[k], NULL, WEFT_FOREVER));
        until_all_got(s);
        for (int k = 0; k < 4; k++) /* they are through with the queue before it is freed */
            pthread_join(threads[k], NULL);
        end_stress(t, s);
    }
}

/* ---- everything at once ---- */

static int change_capacity(void *arg)
{
    stress *s = arg;
    for (uint32_t i = 0; load_acquire(&s->stop) == 0; i++) {
        CHECK_OK(weft_queue_set_capacity(s->q, i % 7 == 0 ? 0 : i * 31 % 97 + 1));
        weft_yield();
    }
    return 0;
}

static int count_glances(void *arg)
{
    stress *s = arg;
    while (load_acquire(&s->stop) == 0) {
        CHECK(weft_queue_size(s->q) <= s->putters * s->each);
        weft_yield();
    }
    return 0;
}

TEST_IN_LIMIT(60, THREAD | CO, queue_whose_capacity_changes_loses_and_doubles_nothing) /* G75 */
{
    for (unsigned kind = WEFT_FIFO; kind <= WEFT_PRIORITY; kind++) {
        stress *s = new_stress(t, kind, 3, 4, 5000);
        test_spawn(t, change_capacity, s);
        test_spawn(t, count_glances, s);
        for (unsigned i = 0; i < 4; i++) {
            test_spawn(t, get_all, s);
            test_spawn(t, put_all, s);
        }
        while (load_acquire(&s->got) < s->putters * s->each)
            weft_yield();
        store_release(&s->stop, 1);
        end_stress(t, s);
    }
}

/* Sleepers that give up at any moment, beside some that do not: the wake that one of them leaves is passed on. */
static int get_with_short_deadlines(void *arg)
{
    stress *s = arg;
    while (load_acquire(&s->stop) == 0) {
        element e;
        int err = weft_queue_get(s->q, &e, weft_in(30 * WEFT_US));
        if (err == 0)
            add_acq_rel(&s->got, 1);
    }
    return 0;
}

static int get_without_deadline(void *arg)
{
    stress *s = arg;
    element e;
    while (weft_queue_get(s->q, &e, WEFT_FOREVER) == 0)
        add_acq_rel(&s->got, 1);
    return 0;
}

TEST_IN_LIMIT(60, THREAD | CO, queue_nobody_sleeps_while_there_are_elements) /* G70 */
{
    stress *s = new_stress(t, WEFT_FIFO, 0, 1, 1);
    for (int i = 0; i < 3; i++) {
        test_spawn(t, get_with_short_deadlines, s);
        test_spawn(t, get_without_deadline, s);
    }
    uint32_t rounds = (uint32_t)test_rounds(3000, 100000);
    for (uint32_t i = 0; i < rounds; i++) {
        element e = {0, i};
        CHECK_OK(weft_queue_put(s->q, &e, WEFT_FOREVER));
        if (i % 16 == 0)
            weft_sleep(weft_in(10 * WEFT_US));
        if (i % 64 == 0) /* all that is there is taken although nothing more comes */
            while (load_acquire(&s->got) <= i)
                weft_yield();
    }
    while (load_acquire(&s->got) < rounds)
        weft_yield();
    store_release(&s->stop, 1);
    weft_queue_close(s->q, WEFT_CLOSE_DRAIN);
    test_join(t);
    CHECK_INT(rounds, s->got);
    weft_queue_free(s->q);
}

/* ---- a pair that waits for each other ---- */

typedef struct pair {
    weft_queue *there, *back;
    int rounds;
} pair;

static int answer(void *arg)
{
    pair *p = arg;
    int n;
    for (int i = 0; i < p->rounds; i++) {
        CHECK_OK(weft_queue_get(p->there, &n, WEFT_FOREVER));
        CHECK_INT(i, n);
        CHECK_OK(weft_queue_put(p->back, &n, WEFT_FOREVER));
    }
    return 0;
}

TEST_IN_LIMIT(60, THREAD | CO, queue_of_one_carries_a_message_there_and_back) /* G70 */
{
    pair p = {.rounds = (int)test_rounds(20000, 500000)};
    weft_queue_options one = {.capacity = 1};
    CHECK_OK(weft_queue_new(&p.there, sizeof(int), &one));
    CHECK_OK(weft_queue_new(&p.back, sizeof(int), &one));
    test_spawn(t, answer, &p);
    for (int i = 0, n; i < p.rounds; i++) {
        CHECK_OK(weft_queue_put(p.there, &i, WEFT_FOREVER));
        CHECK_OK(weft_queue_get(p.back, &n, WEFT_FOREVER));
        CHECK_INT(i, n);
    }
    test_join(t);
    weft_queue_free(p.there);
    weft_queue_free(p.back);
}
