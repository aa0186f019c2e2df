/* queue_model.c - weft_queue: every element that went in comes out once, nobody sleeps while there is something for it,
 * and a closed queue lets everybody go. Elements are the bits of a set, so what came out twice shows. */
#include "explorer.h"

#include "flow/queue.h"

static weft_queue *q;
static uint32_t in, out, destroyed; /* sets of elements */
static unsigned done;               /* task_done calls */

static void note(uint32_t *set, uint32_t element)
{
    MODEL_CHECK(element != 0 && (*set & element) == 0);
    *set |= element;
}

static void destroy(void *element)
{
    uint32_t e;
    memcpy(&e, element, sizeof e);
    note(&destroyed, e);
}

static void put(uint32_t element, weft_until until)
{
    int err = weft_queue_put(q, &element, until);
    MODEL_CHECK(err == 0 || err == -WEFT_EFULL || err == -EPIPE || err == -ECANCELED);
    if (err == 0)
        note(&in, element);
}

static int get(weft_until until)
{
    uint32_t element = 0;
    int err = weft_queue_get(q, &element, until);
    MODEL_CHECK(err == 0 || err == -WEFT_EEMPTY || err == -EPIPE || err == -ECANCELED);
    if (err == 0)
        note(&out, element);
    return err;
}

static void make(enum weft_queue_kind kind, size_t capacity, unsigned filled)
{
    model_heap_empty();
    weft__become(model_waiter(0));
    in = out = destroyed = 0;
    done = 0;
    weft_queue_options options = {.kind = kind, .capacity = capacity, .destroy = destroy};
    weft_queue_new(&q, sizeof(uint32_t), &options);
    for (unsigned i = 0; i < filled; i++)
        put(UINT32_C(1) << (16 + i), WEFT_NOW);
}

static void reset(void)
{
    make(WEFT_FIFO, 4, 0);
}

static void reset_one(void)
{
    make(WEFT_FIFO, 1, 0);
}

static void reset_full(void)
{
    make(WEFT_FIFO, 1, 1);
}

static void reset_two(void)
{
    make(WEFT_FIFO, 2, 2);
}

static void reset_lifo_one(void)
{
    make(WEFT_LIFO, 1, 0);
}

static void reset_priority_full(void)
{
    make(WEFT_PRIORITY, 1, 1);
}

static void reset_unbounded(void)
{
    make(WEFT_FIFO, 0, 8);
    get(WEFT_NOW);
    get(WEFT_NOW); /* so that the ring's content turns round its end */
    put(1 << 14, WEFT_NOW);
    put(1 << 15, WEFT_NOW);
}

/* What went in came out, or lies there, and nowhere twice. */
static void conserved(void)
{
    weft__become(model_waiter(0));
    MODEL_CHECK((out & destroyed) == 0);
    for (unsigned i = 0; i < 32 && get(WEFT_NOW) == 0; i++)
        ;
    MODEL_CHECK((out | destroyed) == in);
    MODEL_CHECK(weft_queue_empty(q));
    MODEL_CHECK(q->done <= q->halves[WEFT__QUEUE_PUT].count);
}

/* Drained: what was put has been got, and not left behind by one who took "closed" for "empty". */
static void drained(void)
{
    MODEL_CHECK(out == in);
    conserved();
}

static void get_and_put(unsigned i)
{
    if (i == 0)
        get(WEFT_FOREVER);
    else
        put(1, WEFT_FOREVER);
}

static void put_twice_get_twice(unsigned i)
{
    for (unsigned k = 0; k < 2; k++)
        if (i == 0)
            get(WEFT_FOREVER);
        else
            put(1u << k, WEFT_FOREVER);
}

/* A burst of puts wakes once: the woken one lets the next go. */
static void two_get_one_puts_two(unsigned i)
{
    if (i < 2) {
        get(WEFT_FOREVER);
    } else {
        put(1, WEFT_FOREVER);
        put(2, WEFT_FOREVER);
    }
}

static void two_get_one_puts_both(unsigned i)
{
    uint32_t both[2] = {1, 2};
    if (i < 2)
        get(WEFT_FOREVER);
    else if (weft_queue_put_many(q, both, 2, WEFT_FOREVER) == 2)
        in |= 3;
}

static void two_put_one_gets_three(unsigned i)
{
    if (i < 2)
        put(1u << i, WEFT_FOREVER);
    else
        for (int k = 0; k < 3; k++)
            get(WEFT_FOREVER);
}

static void two_put_two_get(unsigned i)
{
    if (i < 2)
        put(1u << i, WEFT_FOREVER);
    else
        get(WEFT_FOREVER);
}

/* One that gives up at any moment must not take the other's wake with it. */
static void deadline(unsigned i)
{
    if (i == 0)
        get(MODEL_SOMETIME);
    else if (i == 1)
        get(WEFT_FOREVER);
    else
        put(1, WEFT_FOREVER), put(2, WEFT_FOREVER);
}

static void put_deadline(unsigned i)
{
    if (i == 0)
        put(1, MODEL_SOMETIME);
    else if (i == 1)
        put(2, WEFT_FOREVER);
    else
        get(WEFT_FOREVER), get(WEFT_FOREVER);
}

/* A newcomer takes the element that a sleeper was woken for, and the sleeper's deadline comes. */
static void newcomer(unsigned i)
{
    if (i == 0) {
        get(MODEL_SOMETIME);
    } else if (i == 1) {
        get(WEFT_FOREVER);
    } else {
        put(1, WEFT_FOREVER);
        if (get(WEFT_NOW) == 0)
            put(2, WEFT_FOREVER);
        put(4, WEFT_FOREVER);
    }
}

static void cancel(unsigned i)
{
    if (i == 0)
        get(WEFT_FOREVER);
    else if (i == 1)
        put(1, WEFT_FOREVER);
    else
        weft__waiter_cancel(model_waiter(0));
}

static void close_drain(unsigned i)
{
    if (i == 0)
        get(WEFT_FOREVER);
    else if (i == 1)
        put(1, WEFT_FOREVER);
    else
        weft_queue_close(q, WEFT_CLOSE_DRAIN);
}

static void close_drop(unsigned i)
{
    if (i == 0)
        get(WEFT_FOREVER);
    else if (i == 1)
        put(1, WEFT_FOREVER);
    else
        weft_queue_close(q, WEFT_CLOSE_DROP);
}

static void two_get_one_closes(unsigned i)
{
    if (i < 2)
        get(WEFT_FOREVER);
    else
        put(1, WEFT_FOREVER), weft_queue_close(q, WEFT_CLOSE_DRAIN);
}

/* A getter that has looked at the other side before the rest was dropped. */
static void get_dropped(unsigned i)
{
    if (i == 0)
        get(WEFT_NOW), get(WEFT_NOW);
    else if (i == 1)
        put(1, WEFT_NOW);
    else
        weft_queue_close(q, WEFT_CLOSE_DROP);
}

/* Dropped by two at once: each element is destroyed by one of them. */
static void two_drop(unsigned i)
{
    if (i < 2)
        weft_queue_close(q, WEFT_CLOSE_DROP);
    else
        get(WEFT_NOW);
}

static void work_done(void)
{
    if (get(WEFT_FOREVER) == 0) {
        done++;
        MODEL_CHECK(weft_queue_task_done(q) == 0);
    }
}

static void join(unsigned i)
{
    if (i == 0) {
        MODEL_CHECK(weft_queue_join(q, WEFT_FOREVER) == 0);
        MODEL_CHECK(done >= 1); /* what was put before the join began */
    } else if (i == 1) {
        work_done();
    } else {
        put(1, WEFT_FOREVER);
        work_done();
    }
}

static void two_join(unsigned i)
{
    if (i < 2)
        MODEL_CHECK(weft_queue_join(q, WEFT_FOREVER) == 0);
    else
        work_done();
}

static void join_dropped(unsigned i)
{
    if (i == 0)
        MODEL_CHECK(weft_queue_join(q, WEFT_FOREVER) == 0);
    else if (i == 1)
        work_done();
    else
        weft_queue_close(q, WEFT_CLOSE_DROP);
}

static void dropped_and_done_too_often(unsigned i)
{
    if (i == 0)
        weft_queue_close(q, WEFT_CLOSE_DROP);
    else
        weft_queue_task_done(q), weft_queue_task_done(q);
}

static void all_done(void)
{
    conserved();
    MODEL_CHECK(weft_queue_join(q, WEFT_NOW) == 0);
}

static void more_capacity(unsigned i)
{
    if (i < 2)
        put(1u << i, WEFT_FOREVER);
    else
        MODEL_CHECK(weft_queue_set_capacity(q, 3) == 0);
}

static void grows(unsigned i)
{
    if (i == 0)
        put(1, WEFT_FOREVER);
    else
        get(WEFT_FOREVER);
}

const model_case queue_cases[] = {
    {"queue_get_and_put", 2, reset, get_and_put, conserved, MODEL_EXACT},
    {"queue_get_and_put_lifo", 2, reset_lifo_one, get_and_put, conserved, MODEL_EXACT},
    {"queue_put_twice_get_twice", 2, reset_one, put_twice_get_twice, conserved, MODEL_EXACT, .share = 3},
    {"queue_put_twice_get_twice_lifo", 2, reset_lifo_one, put_twice_get_twice, conserved, 4, .share = 2},
    {"queue_two_get_one_puts_two", 3, reset, two_get_one_puts_two, conserved, 3, .share = 3},
    {"queue_two_get_one_puts_both", 3, reset, two_get_one_puts_both, conserved, 3, .share = 3},
    {"queue_two_put_one_gets_three", 3, reset_full, two_put_one_gets_three, conserved, 3, .share = 3},
    {"queue_two_put_one_gets_three_priority", 3, reset_priority_full, two_put_one_gets_three, conserved, 2, .share = 2},
    {"queue_two_put_two_get", 4, reset_one, two_put_two_get, conserved, 2, .share = 3},
    {"queue_deadline", 3, reset, deadline, conserved, 3, .share = 3},
    {"queue_deadline_put", 3, reset_full, put_deadline, conserved, 3, .share = 3},
    {"queue_newcomer", 3, reset, newcomer, conserved, 3, .share = 3},
    {"queue_cancel", 3, reset, cancel, conserved, 3, .share = 2},
    {"queue_close_drain", 3, reset, close_drain, drained, 3, .share = 2},
    {"queue_close_drain_full", 3, reset_full, close_drain, conserved, 3, .share = 2},
    {"queue_close_drop", 3, reset_two, close_drop, conserved, 3, .share = 2},
    {"queue_close_two_get", 3, reset, two_get_one_closes, conserved, 3, .share = 2},
    {"queue_close_get_dropped", 3, reset_two, get_dropped, conserved, 3, .share = 2},
    {"queue_close_two_drop", 3, reset_two, two_drop, conserved, 3, .share = 2},
    {"queue_join", 3, reset_full, join, all_done, 3, .share = 3},
    {"queue_join_two", 3, reset_full, two_join, all_done, 3, .share = 2},
    {"queue_join_dropped", 3, reset_two, join_dropped, all_done, 3, .share = 3},
    {"queue_dropped_and_done_too_often", 2, reset_two, dropped_and_done_too_often, all_done, MODEL_EXACT},
    {"queue_capacity", 3, reset_full, more_capacity, conserved, 3, .share = 2},
    {"queue_grows", 2, reset_unbounded, grows, conserved, 4, .share = 2},
    {NULL},
};
