/* select_model.c - weft_select over the real queues, events and futures: one case is carried out, no wake is lost. */
#include "explorer.h"

#include <weft/select.h>

#include "flow/future.h"
#include "flow/queue.h"

static weft_queue *a, *b;
static weft_event event, second;
static weft_future future;
static int got[MODEL_THREADS], chosen[MODEL_THREADS];

static void reset_with(size_t capacity)
{
    model_heap_empty();
    MODEL_CHECK(weft_queue_new(&a, sizeof(int), &(weft_queue_options){.capacity = capacity}) == 0);
    MODEL_CHECK(weft_queue_new(&b, sizeof(int), &(weft_queue_options){.capacity = capacity}) == 0);
    weft_event_init(&event, 0);
    weft_event_init(&second, 0);
    weft__future_init(&future, NULL, 9);
    memset(got, 0, sizeof got);
    memset(chosen, 0, sizeof chosen);
}

static void reset(void)
{
    reset_with(0);
}

static void nothing(void)
{
}

static void put(weft_queue *q, int n)
{
    MODEL_CHECK(weft_queue_put(q, &n, WEFT_FOREVER) == 0);
}

static int left(weft_queue *q)
{
    int n, sum = 0;
    while (weft_queue_get(q, &n, WEFT_NOW) == 0)
        sum += n;
    return sum;
}

/* One of both; the number that came goes into got[i]. */
static void get_either(unsigned i, weft_until until)
{
    int n = 0;
    weft_case cases[] = {WEFT_CASE_GET(a, &n), WEFT_CASE_GET(b, &n)};
    chosen[i] = weft_select(cases, 2, until);
    got[i] += n;
}

/* ---- get ---- */

static void get_two(unsigned i)
{
    if (i == 0) {
        get_either(i, WEFT_FOREVER);
        get_either(i, WEFT_FOREVER);
    } else {
        put(i == 1 ? a : b, i == 1 ? 1 : 16);
    }
}

static void get_two_final(void)
{
    MODEL_CHECK(got[0] == 17 && left(a) + left(b) == 0);
}

/* Both elements come through one queue; who waits for both queues passes its wake on to who waits for one. */
static void pass_on(unsigned i)
{
    if (i == 0) {
        get_either(i, WEFT_FOREVER);
    } else if (i == 1) {
        MODEL_CHECK(weft_queue_get(a, &got[1], WEFT_FOREVER) == 0);
    } else {
        put(a, 1);
        put(a, 16);
    }
}

static void pass_on_final(void)
{
    MODEL_CHECK(got[0] + got[1] == 17 && left(a) == 0);
}

static void deadline(unsigned i)
{
    if (i == 0)
        get_either(i, MODEL_SOMETIME);
    else
        put(b, 16);
}

static void deadline_final(void)
{
    MODEL_CHECK(chosen[0] == 1 || chosen[0] == -ETIMEDOUT);
    MODEL_CHECK(got[0] == (chosen[0] == 1 ? 16 : 0) && got[0] + left(b) == 16);
    MODEL_CHECK(weft__sleepers(&a->words[WEFT__QUEUE_GET]) == 0 && weft__sleepers(&b->words[WEFT__QUEUE_GET]) == 0);
}

static void cancel(unsigned i)
{
    if (i == 0)
        get_either(i, WEFT_FOREVER);
    else if (i == 1)
        weft__waiter_cancel(model_waiter(0));
    else
        put(a, 16);
}

static void cancel_final(void)
{
    MODEL_CHECK(chosen[0] == 0 || chosen[0] == -ECANCELED);
    MODEL_CHECK(got[0] == (chosen[0] == 0 ? 16 : 0) && got[0] + left(a) == 16);
}

static void closed(unsigned i)
{
    if (i == 0) {
        int n = 0;
        weft_case cases[] = {WEFT_CASE_GET(a, &n), WEFT_CASE_GET(b, &n)};
        int which = weft_select(cases, 2, WEFT_FOREVER);
        MODEL_CHECK(which == 1 && cases[1].result == (n == 0 ? -EPIPE : 0));
        got[0] = n;
    } else if (i == 1) {
        weft_queue_close(b, WEFT_CLOSE_DRAIN);
    } else {
        int n = 16, err = weft_queue_put(b, &n, WEFT_FOREVER);
        MODEL_CHECK(err == 0 || err == -EPIPE);
        chosen[2] = err;
    }
}

static void closed_final(void)
{
    MODEL_CHECK(got[0] + left(b) == (chosen[2] == 0 ? 16 : 0));
}

/* ---- put, and both ---- */

static void reset_full(void)
{
    reset_with(1);
    put(a, 1);
    put(b, 16);
}

static void put_either(unsigned i)
{
    if (i == 0) {
        int n = 256;
        weft_case cases[] = {WEFT_CASE_PUT(a, &n), WEFT_CASE_PUT(b, &n)};
        chosen[0] = weft_select(cases, 2, WEFT_FOREVER);
    } else {
        MODEL_CHECK(weft_queue_get(i == 1 ? a : b, &got[i], WEFT_FOREVER) == 0);
    }
}

static void put_either_final(void)
{
    MODEL_CHECK(got[1] + got[2] + left(a) + left(b) == 256 + 17);
    MODEL_CHECK(chosen[0] == 0 || chosen[0] == 1);
}

/* Two that select meet at one queue. */
static void meet(unsigned i)
{
    if (i == 0) {
        get_either(i, WEFT_FOREVER);
    } else {
        int n = 16;
        weft_case cases[] = {WEFT_CASE_PUT(b, &n), WEFT_CASE_EVENT(&event)};
        MODEL_CHECK(weft_select(cases, 2, WEFT_FOREVER) == 0);
    }
}

static void meet_final(void)
{
    MODEL_CHECK(chosen[0] == 1 && got[0] == 16);
}

/* ---- events and futures ---- */

/* The setter waits until somebody may sleep, sets and clears: the sleeper must come through. */
static void set_and_clear(unsigned i)
{
    if (i == 0) {
        int n;
        weft_case cases[] = {WEFT_CASE_GET(a, &n), WEFT_CASE_EVENT(&event)};
        MODEL_CHECK(weft_select(cases, 2, WEFT_FOREVER) == 1);
    } else {
        while (!(load_acquire(&event.word) & 2))
            cpu_relax();
        weft_event_set(&event);
        weft_event_clear(&event);
    }
}

/* Set and taken back before anybody can sleep on it, but after select began. */
static void set_and_clear_early(unsigned i)
{
    if (i == 0) {
        weft_case cases[] = {WEFT_CASE_EVENT(&second), WEFT_CASE_EVENT(&event)};
        MODEL_CHECK(weft_select(cases, 2, WEFT_FOREVER) == 1);
    } else {
        while (!(load_acquire(&second.word) & 2))
            cpu_relax();
        weft_event_set(&event);
        weft_event_clear(&event);
    }
}

static void future_alone(unsigned i)
{
    if (i == 0) {
        weft_case cases[] = {WEFT_CASE_EVENT(&event), WEFT_CASE_FUTURE(&future)};
        MODEL_CHECK(weft_select(cases, 2, WEFT_FOREVER) == 1);
    } else {
        MODEL_CHECK(weft_future_set_result(&future, NULL) == 0);
    }
}

static void event_or_future(unsigned i)
{
    if (i == 0) {
        weft_case cases[] = {WEFT_CASE_EVENT(&event), WEFT_CASE_FUTURE(&future)};
        chosen[0] = weft_select(cases, 2, WEFT_FOREVER);
        MODEL_CHECK(chosen[0] == 0 ? weft_event_is_set(&event) : weft_future_done(&future));
    } else if (i == 1) {
        weft_event_set(&event);
    } else {
        MODEL_CHECK(weft_future_set_result(&future, NULL) == 0);
    }
}

static void future_or_queue(unsigned i)
{
    if (i == 0) {
        int n = 0;
        weft_case cases[] = {WEFT_CASE_FUTURE(&future), WEFT_CASE_GET(a, &n)};
        chosen[0] = weft_select(cases, 2, WEFT_FOREVER);
        got[0] = n;
    } else if (i == 1) {
        MODEL_CHECK(weft_future_cancel(&future) == 1);
    } else {
        put(a, 16);
    }
}

static void future_or_queue_final(void)
{
    MODEL_CHECK(got[0] == (chosen[0] == 1 ? 16 : 0) && got[0] + left(a) == 16);
}

const model_case select_cases[] = {
    {"select_get_two", 3, reset, get_two, get_two_final, 2, .share = 2},
    {"select_passes_its_wake_on", 3, reset, pass_on, pass_on_final, 2, .share = 2},
    {"select_deadline", 2, reset, deadline, deadline_final, 3},
    {"select_cancel", 3, reset, cancel, cancel_final, 2},
    {"select_closed", 3, reset, closed, closed_final, 2},
    {"select_put_either", 3, reset_full, put_either, put_either_final, 2, .share = 2},
    {"select_meets_select", 2, reset, meet, meet_final, 3},
    {"select_set_and_clear", 2, reset, set_and_clear, nothing, 3},
    {"select_set_and_clear_early", 2, reset, set_and_clear_early, nothing, 3},
    {"select_future_alone", 2, reset, future_alone, nothing, 3},
    {"select_event_or_future", 3, reset, event_or_future, nothing, 3},
    {"select_future_or_queue", 3, reset, future_or_queue, future_or_queue_final, 2},
    {NULL},
};
