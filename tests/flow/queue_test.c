/* weft_queue: orders, full and empty, deadlines, batches, capacity, failures of memory, counted work. Closing and races
 * are in queue_close_test.c and queue_stress_test.c. S001-79 to S001-82. */
#include "flow/queue.h"
#include "harness/harness.h"
#include "park/report.h"
#include "sys/sys.h"

#include <weft/co.h>
#include <weft/debug.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static weft_queue *new_queue(enum weft_queue_kind kind, size_t capacity)
{
    weft_queue *q;
    CHECK_OK(weft_queue_new(&q, sizeof(int), &(weft_queue_options){.kind = kind, .capacity = capacity}));
    return q;
}

static void put(weft_queue *q, int n)
{
    CHECK_OK(weft_queue_put(q, &n, WEFT_FOREVER));
}

static int get(weft_queue *q)
{
    int n = -1;
    CHECK_OK(weft_queue_get(q, &n, WEFT_FOREVER));
    return n;
}

/* ---- orders ---- */

TEST_IN(THREAD | CO, queue_fifo_gives_in_the_order_of_put) /* S000-36, S000-37, G66, G71 */
{
    weft_queue *q = new_queue(WEFT_FIFO, 3);
    put(q, 1);
    put(q, 2);
    CHECK_INT(1, get(q));
    CHECK_INT(2, get(q));
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < 3; i++)
            put(q, 3 * round + i);
        for (int i = 0; i < 3; i++)
            CHECK_INT(3 * round + i, get(q));
    }
    weft_queue_free(q);
}

TEST_IN(THREAD | CO, queue_lifo_gives_the_last_first) /* S000-40, G66 */
{
    weft_queue *q = new_queue(WEFT_LIFO, 0);
    put(q, 1);
    put(q, 2);
    CHECK_INT(2, get(q));
    CHECK_INT(1, get(q));
    for (int i = 0; i < 100; i++)
        put(q, i);
    for (int i = 99; i >= 0; i--)
        CHECK_INT(i, get(q));
    weft_queue_free(q);
}

typedef struct person {
    int rank;
    char name[12];
} person;

TEST_IN(THREAD | CO, queue_priority_gives_the_least_first) /* S000-41, S000-42, G66 */
{
    static const person people[] = {{2, "lucy"}, {0, "rose"}, {1, "jack"}};
    weft_queue *q;
    CHECK_OK(weft_queue_new(&q, sizeof(person), &(weft_queue_options){.kind = WEFT_PRIORITY, .capacity = 3}));
    for (int i = 0; i < 3; i++)
        CHECK_OK(weft_queue_put(q, &people[i], WEFT_NOW));
    static const char *const order[] = {"rose", "jack", "lucy"};
    for (int i = 0; i < 3; i++) {
        person p;
        CHECK_OK(weft_queue_get(q, &p, WEFT_NOW));
        CHECK_INT(i, p.rank);
        CHECK_STR(order[i], p.name);
    }
    weft_queue_free(q);
}

typedef struct keyed {
    char padding[24];
    int key, number;
} keyed;

static int by_key_downwards(const void *a, const void *b)
{
    int l = ((const keyed *)a)->key, r = ((const keyed *)b)->key;
    return (l < r) - (l > r);
}

TEST(queue_priority_keeps_the_order_of_equal_elements) /* G66 */
{
    weft_queue *q;
    CHECK_OK(
        weft_queue_new(&q, sizeof(keyed), &(weft_queue_options){.kind = WEFT_PRIORITY, .compare = by_key_downwards}));
    keyed k;
    memset(&k, 0, sizeof k);
    int put_so_far = 0;
    for (int round = 0; round < 20; round++) { /* with gets in between, which move the heap's entries about */
        for (int i = 0; i < 100; i++) {
            k.key = (i * 7 + round) % 5;
            k.number = put_so_far++;
            CHECK_OK(weft_queue_put(q, &k, WEFT_NOW));
        }
        for (int i = 0; i < 50; i++)
            CHECK_OK(weft_queue_get(q, &k, WEFT_NOW));
    }
    CHECK_INT(1000, weft_queue_size(q));
    int key = 5, number = -1;
    while (weft_queue_get(q, &k, WEFT_NOW) == 0) {
        CHECK(k.key <= key);
        CHECK(k.key < key || k.number > number);
        key = k.key;
        number = k.number;
    }
    weft_queue_free(q);
}

/* What a queue of the kind should do, by the slowest means. */
typedef struct reference {
    enum weft_queue_kind kind;
    int n, elements[4096];
} reference;

static int reference_get(reference *r)
{
    int at = 0;
    if (r->kind == WEFT_LIFO)
        at = r->n - 1;
    else if (r->kind == WEFT_PRIORITY)
        for (int i = 1; i < r->n; i++)
            at = r->elements[i] < r->elements[at] ? i : at;
    int found = r->elements[at];
    memmove(&r->elements[at], &r->elements[at + 1], (size_t)(r->n - at - 1) * sizeof(int));
    r->n--;
    return found;
}

static void compare_with_reference(enum weft_queue_kind kind, unsigned seed)
{
    static reference r;
    r.kind = kind;
    r.n = 0;
    int capacity = 0, batch[64];
    weft_queue *q = new_queue(kind, 0);
    for (int step = 0; step < 4000; step++) {
        int what = rand_r(&seed) % 100, n = 1 + rand_r(&seed) % 64;
        if (what < 48) {
            int room = capacity == 0 ? 4096 - r.n : capacity - r.n;
            n = capacity == 0 && n > room ? room : n;
            for (int i = 0; i < n; i++)
                batch[i] = rand_r(&seed) % 1000;
            long done = weft_queue_put_many(q, batch, (size_t)n, WEFT_NOW);
            CHECK_INT(n == 0 ? 0 : room <= 0 ? -WEFT_EFULL : n < room ? n : room, done);
            for (long i = 0; i < done; i++)
                r.elements[r.n++] = batch[i];
        } else if (what < 98) {
            long done = weft_queue_get_many(q, batch, (size_t)n, WEFT_NOW);
            CHECK_INT(r.n == 0 ? -WEFT_EEMPTY : n < r.n ? n : r.n, done);
            for (long i = 0; i < done; i++)
                CHECK_INT(reference_get(&r), batch[i]);
        } else {
            capacity = rand_r(&seed) % 3 == 0 ? 0 : rand_r(&seed) % 300;
            CHECK_OK(weft_queue_set_capacity(q, (size_t)capacity));
        }
        CHECK_INT(r.n, weft_queue_size(q));
        CHECK_INT(r.n == 0, weft_queue_empty(q));
        CHECK_INT(capacity != 0 && r.n >= capacity, weft_queue_full(q));
        CHECK_INT(capacity, weft_queue_capacity(q));
    }
    while (r.n > 0)
        CHECK_INT(reference_get(&r), get(q));
    weft_queue_free(q);
}

TEST(queue_does_what_a_plain_array_does) /* G66, G67, G75, G85 */
{
    for (unsigned seed = 1; seed <= 8; seed++) {
        compare_with_reference(WEFT_FIFO, seed);
        compare_with_reference(WEFT_LIFO, seed);
        compare_with_reference(WEFT_PRIORITY, seed);
    }
}

TEST(queue_elements_may_have_any_size)
{
    static const size_t sizes[] = {1, 3, 4, 7, 8, 16, 24, 1000, 65536};
    static unsigned char in[65536], out[65536];
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (unsigned kind = WEFT_FIFO; kind <= WEFT_PRIORITY; kind++) {
            weft_queue *q;
            weft_queue_options options = {.kind = (enum weft_queue_kind)kind, .compare = NULL, .capacity = 5};
            if (kind == WEFT_PRIORITY && sizes[s] < sizeof(int)) {
                CHECK_ERR(-EINVAL, weft_queue_new(&q, sizes[s], &options));
                continue;
            }
            CHECK_OK(weft_queue_new(&q, sizes[s], &options));
            for (int round = 0; round < 3; round++)
                for (int i = 0; i < 7; i++) {
                    memset(in, i % 5 + 1, sizeof in);
                    memset(out, 0, sizeof out);
                    CHECK_OK(weft_queue_put(q, in, WEFT_NOW));
                    CHECK_OK(weft_queue_get(q, out, WEFT_NOW));
                    CHECK_MEM(in, out, sizes[s]);
                    CHECK(sizes[s] == sizeof out || out[sizes[s]] == 0);
                }
            weft_queue_free(q);
        }
}

TEST(queue_refuses_what_makes_no_queue)
{
    weft_queue *q;
    CHECK_ERR(-EINVAL, weft_queue_new(&q, 0, NULL));
    CHECK_ERR(-EINVAL, weft_queue_new(&q, 65537, NULL));
    CHECK_ERR(-EINVAL, weft_queue_new(&q, 8, &(weft_queue_options){.kind = (enum weft_queue_kind)3}));
    CHECK_ERR(-ENOMEM, weft_queue_new(&q, 8, &(weft_queue_options){.capacity = SIZE_MAX}));
    CHECK_ERR(-ENOMEM, weft_queue_new(&q, 65536, &(weft_queue_options){.capacity = SIZE_MAX / 65536}));
    weft_queue_free(NULL);
}

/* ---- full and empty ---- */

TEST_IN(THREAD | CO, queue_tells_how_full_it_is) /* G67 */
{
    weft_queue *q = new_queue(WEFT_FIFO, 2);
    CHECK(weft_queue_empty(q) && !weft_queue_full(q) && weft_queue_size(q) == 0 && weft_queue_capacity(q) == 2);
    put(q, 1);
    CHECK(!weft_queue_empty(q) && !weft_queue_full(q) && weft_queue_size(q) == 1);
    put(q, 2);
    CHECK(!weft_queue_empty(q) && weft_queue_full(q) && weft_queue_size(q) == 2);
    get(q);
    CHECK(!weft_queue_full(q));
    weft_queue_free(q);
}

TEST_IN(THREAD | CO, queue_without_a_capacity_is_never_full) /* S000-36, G67 */
{
    for (unsigned kind = WEFT_FIFO; kind <= WEFT_PRIORITY; kind++) {
        weft_queue *q = new_queue((enum weft_queue_kind)kind, 0);
        for (int i = 0; i < 100000; i++)
            CHECK_OK(weft_queue_put(q, &i, WEFT_NOW));
        CHECK(!weft_queue_full(q) && weft_queue_size(q) == 100000 && weft_queue_capacity(q) == 0);
        for (int i = 0; i < 100000; i++)
            CHECK_INT(kind == WEFT_LIFO ? 99999 - i : i, get(q));
        weft_queue_free(q);
    }
}

TEST_IN(THREAD | CO, queue_now_on_an_empty_one_is_empty) /* S000-38, G68, X-03, X-04 */
{
    weft_queue *q = new_queue(WEFT_FIFO, 3);
    int n = 17;
    CHECK_ERR(-WEFT_EEMPTY, weft_queue_get(q, &n, WEFT_NOW));
    CHECK_ERR(-WEFT_EEMPTY, weft_queue_get_many(q, &n, 1, WEFT_NOW));
    CHECK_INT(17, n);
    CHECK(strstr(weft_strerror(-WEFT_EEMPTY), "empty") != NULL);
    weft_queue_free(q);
}

TEST_IN(THREAD | CO, queue_now_on_a_full_one_is_full_and_takes_nothing) /* S000-39, G68, X-03, X-04 */
{
    for (unsigned kind = WEFT_FIFO; kind <= WEFT_PRIORITY; kind++) {
        weft_queue *q = new_queue((enum weft_queue_kind)kind, 1);
        put(q, 1);
        int n = 0;
        CHECK_ERR(-WEFT_EFULL, weft_queue_put(q, &n, WEFT_NOW));
        CHECK_ERR(-WEFT_EFULL, weft_queue_put_many(q, &n, 1, WEFT_NOW));
        CHECK_INT(1, weft_queue_size(q));
        CHECK_INT(1, get(q));
        CHECK_ERR(-WEFT_EEMPTY, weft_queue_get(q, &n, WEFT_NOW));
        weft_queue_free(q);
    }
    CHECK(strstr(weft_strerror(-WEFT_EFULL), "full") != NULL);
    CHECK_STR("Timed out", weft_strerror(-ETIMEDOUT));
}

TEST_IN(THREAD | CO, queue_waits_until_the_deadline_and_no_shorter) /* G69, X-03 */
{
    weft_queue *q = new_queue(WEFT_FIFO, 1);
    int n = 0;
    int64_t start = weft_now();
    CHECK_ERR(-WEFT_EEMPTY, weft_queue_get(q, &n, weft_in_ms(60)));
    CHECK(weft_now() - start >= 60 * WEFT_MS);
    put(q, 1);
    start = weft_now();
    CHECK_ERR(-WEFT_EFULL, weft_queue_put(q, &n, weft_in_ms(60)));
    CHECK(weft_now() - start >= 60 * WEFT_MS);
    CHECK_INT(1, weft_queue_size(q));
    weft_queue_free(q);
}

TEST_IN(THREAD | CO, queue_deadline_long_past_is_a_try) /* G69: a negative time is one that is past, not an error */
{
    weft_queue *q = new_queue(WEFT_FIFO, 1);
    int n = 5;
    CHECK_OK(weft_queue_put(q, &n, weft_in_ms(-1000)));
    CHECK_ERR(-WEFT_EFULL, weft_queue_put(q, &n, weft_in_ms(-1000)));
    n = 0;
    CHECK_OK(weft_queue_get(q, &n, (weft_until){-1}));
    CHECK_INT(5, n);
    CHECK_ERR(-WEFT_EEMPTY, weft_queue_get(q, &n, (weft_until){-1}));
    weft_queue_free(q);
}

/* ---- waiting ---- */

static int get_forty_two(void *arg)
{
    CHECK_INT(42, get(arg));
    return 0;
}

TEST_IN(THREAD | CO, queue_waiting_get_goes_on_with_one_put) /* S000-36, G70 */
{
    weft_queue *q = new_queue(WEFT_FIFO, 0);
    for (int round = 0; round < 20; round++) {
        test_spawn(t, get_forty_two, q);
        test_wait_until_asleep(t, weft__queue_word(q, WEFT__QUEUE_GET), 1);
        put(q, 42);
        test_join(t);
    }
    weft_queue_free(q);
}

static int put_seven(void *arg)
{
    put(arg, 7);
    return 0;
}

TEST_IN(THREAD | CO, queue_waiting_put_goes_on_with_one_get) /* S000-36, G70 */
{
    for (unsigned kind = WEFT_FIFO; kind <= WEFT_PRIORITY; kind++) {
        weft_queue *q = new_queue((enum weft_queue_kind)kind, 3);
        for (int i = 0; i < 3; i++)
            put(q, i);
        test_spawn(t, put_seven, q);
        test_wait_until_asleep(t, weft__queue_word(q, WEFT__QUEUE_PUT), 1);
        get(q);
        test_join(t);
        CHECK_INT(3, weft_queue_size(q));
        weft_queue_free(q);
    }
}

TEST_IN(THREAD | CO, queue_each_of_many_sleepers_gets_one) /* G70: a wake passes from sleeper to sleeper */
{
    weft_queue *q = new_queue(WEFT_FIFO, 0);
    int batch[30];
    for (int i = 0; i < 30; i++) {
        test_spawn(t, get_forty_two, q);
        batch[i] = 42;
    }
    test_wait_until_asleep(t, weft__queue_word(q, WEFT__QUEUE_GET), 30);
    for (int i = 0; i < 10; i++)
        put(q, 42);
    CHECK_INT(20, weft_queue_put_many(q, batch, 20, WEFT_NOW)); /* one wake for all of them: G85 */
    test_join(t);
    CHECK(weft_queue_empty(q));
    weft_queue_free(q);
}

TEST_IN(THREAD | CO, queue_room_for_many_lets_all_that_wait_put) /* G70 */
{
    weft_queue *q = new_queue(WEFT_LIFO, 1);
    put(q, 7);
    for (int i = 0; i < 20; i++)
        test_spawn(t, put_seven, q);
    test_wait_until_asleep(t, weft__queue_word(q, WEFT__QUEUE_PUT), 20);
    CHECK_OK(weft_queue_set_capacity(q, 21));
    test_join(t);
    CHECK_INT(21, weft_queue_size(q));
    weft_queue_free(q);
}

static int get_until_cancelled(void *arg)
{
    int n = 3;
    CHECK_ERR(-ECANCELED, weft_queue_get(arg, &n, WEFT_FOREVER));
    CHECK_INT(3, n);
    return 0;
}

static int put_until_cancelled(void *arg)
{
    int n = 3;
    CHECK_ERR(-ECANCELED, weft_queue_put(arg, &n, WEFT_FOREVER));
    CHECK_ERR(-ECANCELED, weft_queue_put_many(arg, &n, 1, WEFT_FOREVER));
    get(arg); /* what is there is got: woken beats cancelled */
    return 0;
}

TEST(queue_cancelled_coroutine_leaves_nothing_and_takes_nothing)
{
    weft_queue *q = new_queue(WEFT_FIFO, 1);
    weft_co *getter, *putter;
    CHECK_OK(weft_co_start(&getter, get_until_cancelled, q, NULL));
    while (weft__sleepers(weft__queue_word(q, WEFT__QUEUE_GET)) == 0)
        weft_yield();
    weft_co_cancel(getter);
    CHECK_OK(weft_co_join(getter, NULL, WEFT_FOREVER));
    put(q, 1);
    CHECK_OK(weft_co_start(&putter, put_until_cancelled, q, NULL));
    while (weft__sleepers(weft__queue_word(q, WEFT__QUEUE_PUT)) == 0)
        weft_yield();
    weft_co_cancel(putter);
    CHECK_OK(weft_co_join(putter, NULL, WEFT_FOREVER));
    CHECK(weft_queue_empty(q));
    weft_queue_free(q);
}

typedef struct found {
    const weft_queue *q;
    int sleepers;
} found;

static void look_for(const weft_sleeper *s, void *arg)
{
    found *f = arg;
    const char *object = s->object;
    if (object >= (const char *)f->q && object < (const char *)(f->q + 1)) {
        CHECK_STR("element of queue", s->what);
        f->sleepers++;
    }
}

TEST_IN(THREAD | CO, queue_sleepers_are_told_of) /* */
{
    weft_queue *q = new_queue(WEFT_FIFO, 0);
    found f = {q, 0};
    for (int i = 0; i < 3; i++)
        test_spawn(t, get_forty_two, q);
    test_wait_until_asleep(t, weft__queue_word(q, WEFT__QUEUE_GET), 3);
    while (f.sleepers != 3) { /* the picture is racy: who has just woken without cause is back at once */
        f.sleepers = 0;
        weft_sleepers_each(look_for, &f);
    }
    for (int i = 0; i < 3; i++)
        put(q, 42);
    test_join(t);
    weft_queue_free(q);
}

/* ---- batches ---- */

TEST_IN(THREAD | CO, queue_batch_goes_as_far_as_there_is_room) /* G85 */
{
    for (unsigned kind = WEFT_FIFO; kind <= WEFT_PRIORITY; kind++) {
        weft_queue *q = new_queue((enum weft_queue_kind)kind, 5);
        static const int in[] = {1, 2, 3, 4, 5, 6, 7};
        int out[7] = {0};
        CHECK_INT(0, weft_queue_put_many(q, in, 0, WEFT_NOW));
        CHECK_INT(3, weft_queue_put_many(q, in, 3, WEFT_FOREVER));
        CHECK_INT(2, weft_queue_put_many(q, in + 3, 4, WEFT_FOREVER));
        CHECK_ERR(-WEFT_EFULL, weft_queue_put_many(q, in + 5, 2, weft_in_ms(1)));
        CHECK_INT(0, weft_queue_get_many(q, out, 0, WEFT_NOW));
        CHECK_INT(2, weft_queue_get_many(q, out, 2, WEFT_FOREVER));
        CHECK_INT(3, weft_queue_get_many(q, out + 2, 5, WEFT_FOREVER));
        for (int i = 0; i < 5; i++)
            CHECK_INT(kind == WEFT_LIFO ? 5 - i : i + 1, out[i]);
        CHECK_ERR(-WEFT_EEMPTY, weft_queue_get_many(q, out, 5, weft_in_ms(1)));
        weft_queue_free(q);
    }
}

static int get_batches_of_three(void *arg)
{
    int out[3], next = 0;
    while (next < 1000) {
        long n = weft_queue_get_many(arg, out, 3, WEFT_FOREVER);
        CHECK_BETWEEN(1, 3, n);
        for (long i = 0; i < n; i++)
            CHECK_INT(next++, out[i]);
    }
    return 0;
}

TEST_IN(THREAD | CO, queue_batches_keep_the_order_and_wait_only_for_the_first) /* G71, G85 */
{
    weft_queue *q = new_queue(WEFT_FIFO, 4);
    test_spawn(t, get_batches_of_three, q);
    int in[7], next = 0;
    while (next < 1000) {
        for (int i = 0; i < 7; i++)
            in[i] = next + i;
        long n = weft_queue_put_many(q, in, next + 7 <= 1000 ? 7 : (size_t)(1000 - next), WEFT_FOREVER);
        CHECK_BETWEEN(1, 4, n);
        next += (int)n;
    }
    test_join(t);
    weft_queue_free(q);
}

/* ---- capacity ---- */

TEST_IN(THREAD | CO, queue_shrunk_below_its_size_takes_no_more_until_it_has_drained) /* G75 */
{
    for (unsigned kind = WEFT_FIFO; kind <= WEFT_PRIORITY; kind++) {
        weft_queue *q = new_queue((enum weft_queue_kind)kind, 0);
        for (int i = 0; i < 10; i++)
            put(q, 7);
        CHECK_OK(weft_queue_set_capacity(q, 4));
        CHECK(weft_queue_full(q) && weft_queue_size(q) == 10 && weft_queue_capacity(q) == 4);
        test_spawn(t, put_seven, q);
        for (int i = 0; i < 6; i++) {
            test_wait_until_asleep(t, weft__queue_word(q, WEFT__QUEUE_PUT), 1);
            get(q);
        }
        CHECK_INT(4, weft_queue_size(q));
        test_wait_until_asleep(t, weft__queue_word(q, WEFT__QUEUE_PUT), 1);
        get(q);
        test_join(t);
        CHECK_INT(4, weft_queue_size(q));
        weft_queue_free(q);
    }
}

TEST(queue_capacity_may_be_taken_away_and_given_back)
{
    weft_queue *q = new_queue(WEFT_FIFO, 2);
    put(q, 0);
    put(q, 1);
    CHECK_OK(weft_queue_set_capacity(q, 0));
    for (int i = 2; i < 50; i++)
        CHECK_OK(weft_queue_put(q, &i, WEFT_NOW));
    CHECK_OK(weft_queue_set_capacity(q, 50));
    int n = 50;
    CHECK_ERR(-WEFT_EFULL, weft_queue_put(q, &n, WEFT_NOW));
    CHECK_OK(weft_queue_set_capacity(q, 51));
    CHECK_OK(weft_queue_put(q, &n, WEFT_NOW));
    for (int i = 0; i < 51; i++)
        CHECK_INT(i, get(q));
    weft_queue_free(q);
}

/* ---- memory ---- */

TEST(queue_without_memory_stays_as_it_is) /* G74 */
{
    for (unsigned kind = WEFT_FIFO; kind <= WEFT_PRIORITY; kind++) {
        weft_queue *q = NULL;
        for (uint32_t nth = 1; nth <= 2 + (kind == WEFT_PRIORITY); nth++) {
            weft__sys_plan(WEFT__SYS_MALLOC, nth, 1, -ENOMEM, 0);
            CHECK_ERR(-ENOMEM, weft_queue_new(&q, 4, &(weft_queue_options){.kind = (enum weft_queue_kind)kind}));
        }
        weft__sys_plan_none();
        q = new_queue((enum weft_queue_kind)kind, 0);
        int n = 0;
        for (uint32_t nth = 1; nth <= 1 + (kind == WEFT_PRIORITY); nth++) {
            weft__sys_plan_none();
            weft__sys_plan(WEFT__SYS_MALLOC, nth, 1, -ENOMEM, 0);
            int err;
            while ((err = weft_queue_put(q, &n, WEFT_NOW)) == 0)
                n++;
            CHECK_ERR(-ENOMEM, err);
            CHECK_INT(n, weft_queue_size(q));
        }
        weft__sys_plan(WEFT__SYS_MALLOC, 1, 1, -ENOMEM, 0);
        CHECK_ERR(-ENOMEM, weft_queue_set_capacity(q, 100000));
        CHECK_INT(0, weft_queue_capacity(q));
        weft__sys_plan_none();
        CHECK_OK(weft_queue_put(q, &n, WEFT_NOW)); /* there is memory again */
        for (int i = 0; i <= n; i++)
            CHECK_INT(kind == WEFT_LIFO ? n - i : i, get(q));
        weft_queue_free(q);
    }
}

TEST(queue_has_a_name_or_is_not_made) /* */
{
    weft_queue *q = NULL;
    weft_queue_options options = {.name = "jobs of the day"};
    weft__sys_plan(WEFT__SYS_MALLOC, 3, 1, -ENOMEM, 0); /* after the queue and its store */
    CHECK_ERR(-ENOMEM, weft_queue_new(&q, 4, &options));
    weft__sys_plan_none();
    CHECK_OK(weft_queue_new(&q, 4, &options));
    char name[WEFT__OBJECT_NAME];
    weft__report_object_name(NULL, q, name);
    CHECK_STR("jobs of the day", name);
    weft_queue_free(q);
}

static int destroyed[1000];

static void destroy_int(void *element)
{
    destroyed[*(int *)element]++;
}

TEST(queue_free_destroys_what_nobody_got_and_nothing_else) /* G76 */
{
    for (unsigned kind = WEFT_FIFO; kind <= WEFT_PRIORITY; kind++) {
        memset(destroyed, 0, sizeof destroyed);
        weft_queue *q;
        CHECK_OK(weft_queue_new(&q, sizeof(int),
                                &(weft_queue_options){.kind = (enum weft_queue_kind)kind, .destroy = destroy_int}));
        bool got[1000] = {false};
        for (int i = 0; i < 1000; i++) {
            put(q, i);
            if (i % 3 == 0)
                got[get(q)] = true;
        }
        weft_queue_free(q);
        for (int i = 0; i < 1000; i++)
            CHECK_INT(got[i] ? 0 : 1, destroyed[i]);
    }
}

TEST_PANICS(queue_freed_while_somebody_waits_in_it_ends_the_program, "is waited for")
{
    weft_queue *q = new_queue(WEFT_FIFO, 0);
    CHECK_OK(weft_go(get_forty_two, q));
    while (weft__sleepers(weft__queue_word(q, WEFT__QUEUE_GET)) == 0)
        weft_yield();
    weft_queue_free(q);
}

/* ---- counted work ---- */

TEST_IN(THREAD | CO, queue_more_done_than_put_is_refused) /* G77 */
{
    weft_queue *q = new_queue(WEFT_FIFO, 0);
    CHECK_ERR(-EINVAL, weft_queue_task_done(q));
    put(q, 1);
    put(q, 2);
    get(q);
    CHECK_OK(weft_queue_task_done(q));
    CHECK_OK(weft_queue_task_done(q));
    CHECK_ERR(-EINVAL, weft_queue_task_done(q));
    CHECK_OK(weft_queue_join(q, WEFT_NOW));
    weft_queue_free(q);
}

static int join_queue(void *arg)
{
    CHECK_OK(weft_queue_join(arg, WEFT_FOREVER));
    return 0;
}

TEST_IN(THREAD | CO, queue_join_waits_for_what_was_got_but_is_not_done) /* G78, G79 */
{
    weft_queue *q = new_queue(WEFT_FIFO, 0);
    CHECK_OK(weft_queue_join(q, WEFT_FOREVER)); /* nothing was ever put */
    for (int round = 0; round < 3; round++) {
        put(q, 1);
        put(q, 2);
        for (int i = 0; i < 3; i++)
            test_spawn(t, join_queue, q);
        test_wait_until_asleep(t, &q->finished, 3);
        get(q);
        get(q);
        CHECK(weft_queue_empty(q));
        CHECK_ERR(-ETIMEDOUT, weft_queue_join(q, WEFT_NOW));
        CHECK_OK(weft_queue_task_done(q));
        CHECK_ERR(-ETIMEDOUT, weft_queue_join(q, weft_in_ms(5)));
        CHECK_INT(3, weft__sleepers(&q->finished));
        CHECK_OK(weft_queue_task_done(q));
        test_join(t);
        CHECK_OK(weft_queue_join(q, WEFT_NOW)); /* and again */
    }
    weft_queue_free(q);
}

static int work(void *arg)
{
    int n;
    while (weft_queue_get(arg, &n, WEFT_FOREVER) == 0) {
        if (n % 7 == 0)
            weft_yield();
        CHECK_OK(weft_queue_task_done(arg));
    }
    return 0;
}

TEST_IN(THREAD | CO, queue_join_ends_when_all_workers_are_done) /* G78 */
{
    weft_queue *q = new_queue(WEFT_FIFO, 10);
    for (int i = 0; i < 4; i++)
        test_spawn(t, work, q);
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < 30; i++)
            put(q, i);
        CHECK_OK(weft_queue_join(q, WEFT_FOREVER));
        CHECK(weft_queue_empty(q));
        CHECK_INT(q->done, q->halves[WEFT__QUEUE_PUT].count);
    }
    weft_queue_close(q, WEFT_CLOSE_DRAIN);
    test_join(t);
    weft_queue_free(q);
}
