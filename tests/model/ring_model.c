/* ring_model.c - the queue in shared memory: every message comes out once and whole, nobody sleeps while there is
 * something for it, and whoever is killed takes nothing along but what it was working on. Each virtual thread is a
 * process. Messages are the bits of a set, twice, so that a half written one shows. */
#include "explorer.h"

#include "process/shared_ring.h"

static _Alignas(128) weft__ring ring;
static _Alignas(8) char store[64];
static weft_shared_queue q;
static uint32_t begun, in, out; /* sets of messages: puts that were begun, that returned 0, and what was got */
static unsigned done;           /* task_done calls */

static void note(uint32_t *set, uint32_t message)
{
    MODEL_CHECK(message != 0 && (*set & message) == 0);
    *set |= message;
}

static void put(uint32_t message, weft_until until)
{
    uint32_t twice[2] = {message, message};
    note(&begun, message);
    int err = weft_shared_queue_put(&q, twice, sizeof twice, until);
    MODEL_CHECK(err == 0 || err == -WEFT_EFULL || err == -EPIPE || err == -ECANCELED || err == -ETIMEDOUT);
    if (err == 0)
        note(&in, message);
}

static int get(weft_until until)
{
    uint32_t twice[2] = {0, 0};
    size_t size = 0;
    int err = weft_shared_queue_get(&q, twice, sizeof twice, &size, until);
    MODEL_CHECK(err == 0 || err == -WEFT_EEMPTY || err == -EPIPE || err == -ECANCELED || err == -ETIMEDOUT ||
                err == -WEFT_EEOF);
    if (err == 0) {
        MODEL_CHECK(size == sizeof twice && twice[0] == twice[1]);
        MODEL_CHECK((begun & twice[0]) != 0);
        note(&out, twice[0]);
    }
    return err;
}

/* Room for two messages of two units, or for `capacity`. */
static void make(uint32_t capacity, unsigned filled)
{
    weft__become(model_waiter(0));
    memset(&ring, 0, sizeof ring);
    memset(store, 0, sizeof store);
    memset(&q, 0, sizeof q);
    begun = in = out = 0;
    done = 0;
    weft__ring_fill(&ring, 4, capacity);
    MODEL_CHECK(weft__ring_handle(&q, &ring, store, sizeof store) == 0);
    for (unsigned i = 0; i < filled; i++)
        put(UINT32_C(1) << (16 + i), WEFT_NOW);
}

static void reset(void)
{
    make(4, 0);
}

static void reset_one(void)
{
    make(1, 0);
}

static void reset_full(void)
{
    make(1, 1);
}

static void reset_two(void)
{
    make(4, 2);
}

static void drain(void)
{
    weft__become(model_waiter(0));
    for (unsigned side = 0; side < 2 && model_dead(0); side++) /* nobody is left to wait for a dead one's lock */
        weft_lock_init(&ring.sides[side].lock, WEFT_SHARED);
    for (unsigned i = 0; i < 32 && get(WEFT_NOW) == 0; i++)
        ;
    MODEL_CHECK(weft_shared_queue_empty(&q));
}

/* What went in came out, or lay there, once. */
static void conserved(void)
{
    drain();
    MODEL_CHECK(out == in);
    MODEL_CHECK(weft_shared_queue_lost(&q) == 0);
}

/* A putter may have been killed: what it had put whole came out, of what it was putting all or nothing. */
static void putter_conserved(void)
{
    drain();
    MODEL_CHECK((in & ~out) == 0);
    MODEL_CHECK((out & ~in) == 0 || model_dead(0));
    MODEL_CHECK(weft_shared_queue_lost(&q) <= (model_dead(0) ? 1 : 0));
}

/* A getter may have been killed: at most what it was getting is missing. */
static void getter_conserved(void)
{
    drain();
    uint32_t missing = in & ~out;
    MODEL_CHECK((out & ~in) == 0);
    MODEL_CHECK(missing == 0 || (model_dead(0) && (missing & (missing - 1)) == 0));
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

static void two_get_one_puts_two(unsigned i)
{
    if (i < 2)
        get(WEFT_FOREVER);
    else
        put(1, WEFT_FOREVER), put(2, WEFT_FOREVER);
}

static void two_put_one_gets_three(unsigned i)
{
    if (i < 2)
        put(1u << i, WEFT_FOREVER);
    else
        for (int k = 0; k < 3; k++)
            get(WEFT_FOREVER);
}

static void deadline(unsigned i)
{
    if (i == 0)
        get(MODEL_SOMETIME);
    else if (i == 1)
        get(WEFT_FOREVER);
    else
        put(1, WEFT_FOREVER), put(2, WEFT_FOREVER);
}

static void closes(unsigned i)
{
    if (i == 0)
        get(WEFT_FOREVER);
    else if (i == 1)
        put(1, WEFT_FOREVER);
    else
        MODEL_CHECK(weft_shared_queue_close(&q, WEFT_CLOSE_DRAIN) != -EINVAL);
}

/* Drained: what was put has been got, and not left behind by one who took "closed" for "empty". */
static void drained(void)
{
    MODEL_CHECK(out == in);
    conserved();
}

/* With no wait but for a dead one's lock: two that look again for ever need not let each other go on. */
static void putter_dies(unsigned i)
{
    if (i < 2)
        put(1u << i, WEFT_NOW);
    else
        get(WEFT_NOW);
}

static void getter_dies(unsigned i)
{
    if (i == 2)
        put(1, WEFT_NOW);
    else
        get(WEFT_NOW);
}

static void joins(unsigned i)
{
    if (i == 0) {
        MODEL_CHECK(weft_shared_queue_join(&q, WEFT_FOREVER) == 0);
        MODEL_CHECK(done >= 1);
    } else if (get(WEFT_FOREVER) == 0) {
        done++;
        MODEL_CHECK(weft_shared_queue_task_done(&q) == 0);
    }
}

static void ends(unsigned i)
{
    if (i == 0) {
        while (get(WEFT_FOREVER) == 0)
            ;
        return;
    }
    put(1, WEFT_FOREVER);
    MODEL_CHECK(weft_shared_queue_producer_end(&q) == 0);
}

static void reset_producer(void)
{
    make(4, 0);
    ring.producing = 1;
    ring.producers[0] = 2; /* thread 1's token */
}

static void ended(void)
{
    MODEL_CHECK(out == in && in == 1);
}

const model_case ring_cases[] = {
    {"ring_get_and_put", 2, reset, get_and_put, conserved, 4, .share = 2},
    {"ring_put_twice_get_twice", 2, reset_one, put_twice_get_twice, conserved, 3, .share = 3},
    {"ring_two_get_one_puts_two", 3, reset, two_get_one_puts_two, conserved, 2, .share = 3},
    {"ring_two_put_one_gets_three", 3, reset_full, two_put_one_gets_three, conserved, 2, .share = 3},
    {"ring_deadline", 3, reset, deadline, conserved, 2, .share = 3},
    {"ring_closes", 3, reset, closes, drained, 2, .share = 2},
    {"ring_putter_dies", 3, reset, putter_dies, putter_conserved, 2, .mortal = 1, .share = 3},
    {"ring_getter_dies", 3, reset_two, getter_dies, getter_conserved, 2, .mortal = 1, .share = 3},
    {"ring_joins", 2, reset_full, joins, conserved, 3, .share = 2},
    {"ring_ends_with_its_producer", 2, reset_producer, ends, ended, 3, .share = 2},
    {NULL},
};
