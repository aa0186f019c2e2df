/* future_model.c - futures: one outcome, told to all who wait or watch, and a stop that hits its own job only. */
#include "explorer.h"

#include "flow/future.h"

static weft_future f, g;
static int results[MODEL_THREADS];
static void *values[MODEL_THREADS];
static int outcomes, told, ran, called[2];
static weft__watcher watcher;
static weft_completions *set;
static uint32_t word, never;

static void freed(weft_future *future)
{
    ran++;
    model_free(future, sizeof *future);
}

static const weft__future_ops frees = {.free = freed};

static void reset(void)
{
    weft__future_init(&f, NULL, 9);
    weft__future_init(&g, NULL, 9);
    memset(values, 0, sizeof values);
    outcomes = told = ran = called[0] = called[1] = 0;
    model_heap_empty();
    word = never = 0;
    for (unsigned i = 0; i < MODEL_THREADS; i++)
        results[i] = 1;
}

static void nothing(void)
{
}

/* ---- an outcome ---- */

static void set_wakes_all(unsigned i)
{
    if (i < 2) {
        MODEL_CHECK(weft_future_result(&f, &values[i], WEFT_FOREVER) == 0);
        MODEL_CHECK(values[i] == &g);
    } else {
        MODEL_CHECK(weft__future_begin(&f));
        MODEL_CHECK(weft__future_finish(&f, &g, 0) == 0);
    }
}

/* Two set it: one succeeds, and its value is what everybody sees. */
static void two_set(unsigned i)
{
    if (i < 2)
        results[i] = weft_future_set_result(&f, &results[i]);
    else
        MODEL_CHECK(weft_future_result(&f, &values[i], WEFT_FOREVER) == 0);
}

static void two_set_final(void)
{
    unsigned winner = results[0] == 0 ? 0 : 1;
    MODEL_CHECK(results[winner] == 0 && results[1 - winner] == -WEFT_EINVALIDSTATE);
    MODEL_CHECK(values[2] == &results[winner] && f.result == values[2]);
}

static void cancel_against_begin(unsigned i)
{
    if (i == 0) {
        if (weft__future_begin(&f))
            MODEL_CHECK(weft__future_finish(&f, &g, 0) == 0);
    } else if (i == 1) {
        results[1] = weft_future_cancel(&f);
    } else {
        results[2] = weft_future_result(&f, NULL, WEFT_FOREVER);
    }
}

static void cancel_against_begin_final(void)
{
    MODEL_CHECK(results[2] == (results[1] ? -ECANCELED : 0));
    MODEL_CHECK(weft_future_cancelled(&f) == results[1]);
}

static void deadline(unsigned i)
{
    if (i < 2)
        results[i] = weft_future_wait(&f, MODEL_SOMETIME);
    else
        MODEL_CHECK(weft_future_set_error(&f, -EIO) == 0);
}

static void deadline_final(void)
{
    MODEL_CHECK(results[0] == 0 || results[0] == -ETIMEDOUT);
    MODEL_CHECK(results[1] == 0 || results[1] == -ETIMEDOUT);
    MODEL_CHECK(weft_future_result(&f, NULL, WEFT_NOW) == -EIO && weft__sleepers(&f.word) == 0);
}

/* The last reference frees it, whoever has it; who completes touches it no more after its own. */
static void last_frees(unsigned i)
{
    if (i == 0) {
        MODEL_CHECK(weft__future_finish(&f, NULL, 0) == 0);
        weft_future_unref(&f);
    } else {
        MODEL_CHECK(weft_future_wait(&f, WEFT_FOREVER) == 0);
        weft_future_unref(&f);
    }
}

static void last_frees_reset(void)
{
    reset();
    weft__future_init(&f, &frees, 3);
}

static void ran_once(void)
{
    MODEL_CHECK(ran == 1);
}

/* ---- watchers ---- */

static void notify(weft__watcher *w, weft_future *future)
{
    MODEL_CHECK(w == &watcher && weft_future_done(future));
    told++;
}

static void watch(unsigned i)
{
    if (i == 0) {
        watcher.notify = notify;
        if (!weft__future_watch(&f, &watcher)) {
            MODEL_CHECK(weft_future_done(&f));
            told++;
        }
    } else {
        MODEL_CHECK(weft_future_set_result(&f, NULL) == 0);
    }
}

static void watch_final(void)
{
    MODEL_CHECK(told == 1 && f.first == NULL);
}

static int callback(weft_future *future, void *arg)
{
    MODEL_CHECK(weft_future_done(future));
    (*(int *)arg)++;
    return 0;
}

static void callbacks(unsigned i)
{
    if (i < 2)
        MODEL_CHECK(weft_future_add_callback(&f, callback, &called[i]) == 0);
    else
        MODEL_CHECK(weft_future_set_result(&f, NULL) == 0);
}

static void callbacks_final(void)
{
    MODEL_CHECK(called[0] == 1 && called[1] == 1 && f.first == NULL);
}

/* After unwatch the watcher's memory is its owner's again. */
static void unwatch(unsigned i)
{
    if (i == 0) {
        weft__future_unwatch(&f, &watcher);
        model_free(&watcher, sizeof watcher);
    } else {
        MODEL_CHECK(weft_future_set_result(&f, NULL) == 0);
    }
}

static void notify_atomic(weft__watcher *w, weft_future *future)
{
    (void)future;
    add_relaxed((uint32_t *)(void *)w, 0); /* a touch that the explorer sees */
}

static void unwatch_reset(void)
{
    reset();
    watcher.notify = notify_atomic;
    weft__future_watch(&f, &watcher);
}

/* ---- stop ---- */

/* The job may be stopped in its first sleep; the sleep after its end is not its own. */
static void stop(unsigned i)
{
    if (i == 0) {
        if (!weft__future_begin(&f))
            return;
        results[0] = weft__park(&never, 0, MODEL_SOMETIME, 0, "job");
        MODEL_CHECK(weft__future_finish(&f, NULL, 0) == 0);
        MODEL_CHECK(load_relaxed(&weft__self()->cancel) == 0);
        MODEL_CHECK(weft__park(&word, 0, MODEL_SOMETIME, 0, "next") == -ETIMEDOUT);
    } else {
        results[i] = weft_future_stop(&f);
    }
}

static void stop_reset(void)
{
    reset();
    f.word = WEFT_RUNNING;
}

/* Begun already, so that stop finds it running. */
static void stop_running(unsigned i)
{
    if (i != 0) {
        stop(i);
        return;
    }
    results[0] = weft__park(&never, 0, WEFT_FOREVER, 0, "job");
    MODEL_CHECK(results[0] == -ECANCELED);
    MODEL_CHECK(weft__future_finish(&f, NULL, 0) == 0);
    MODEL_CHECK(weft__park(&word, 0, MODEL_SOMETIME, 0, "next") == -ETIMEDOUT);
}

static void stop_running_reset(void)
{
    stop_reset();
    f.runner = model_waiter(0)->id;
}

static void stop_against_begin(unsigned i)
{
    if (i == 0) {
        if (!weft__future_begin(&f))
            return;
        MODEL_CHECK(weft__future_finish(&f, NULL, 0) == 0);
        MODEL_CHECK(weft__park(&word, 0, MODEL_SOMETIME, 0, "next") == -ETIMEDOUT);
    } else {
        results[i] = weft_future_stop(&f);
    }
}

static void stop_against_begin_final(void)
{
    MODEL_CHECK(weft_future_done(&f) && results[1] == weft_future_cancelled(&f));
}

/* Its time is over: one of two outcomes, and whichever it is, the stop ends with the job. */
static void give_up(unsigned i)
{
    if (i == 0) {
        weft__park(&never, 0, MODEL_SOMETIME, 0, "job");
        results[0] = weft__future_finish(&f, &f, 0);
        MODEL_CHECK(weft__park(&word, 0, MODEL_SOMETIME, 0, "next") == -ETIMEDOUT);
    } else if (i == 1) {
        results[1] = weft__future_give_up(&f, -ETIMEDOUT);
    } else {
        results[2] = weft_future_result(&f, NULL, WEFT_FOREVER);
    }
}

static void give_up_final(void)
{
    MODEL_CHECK((results[0] == 0) != (results[1] == 0));
    MODEL_CHECK(results[2] == (results[1] == 0 ? -ETIMEDOUT : 0));
}

/* What runs while f is paused is not stopped by f's stop, and f is told afterwards. */
static void pause_against_stop(unsigned i)
{
    if (i == 0) {
        weft__future_pause(&f);
        MODEL_CHECK(weft__park(&word, 0, MODEL_SOMETIME, 0, "other job") == -ETIMEDOUT);
        weft__future_resume(&f);
        MODEL_CHECK(weft__park(&never, 0, WEFT_FOREVER, 0, "job") == -ECANCELED);
        MODEL_CHECK(weft__future_finish(&f, NULL, 0) == 0);
    } else {
        weft_future_stop(&f);
    }
}

/* ---- several ---- */

static void first_done(unsigned i)
{
    if (i == 0) {
        weft_future *both[] = {&f, &g};
        long done = weft_futures_wait(both, 2, WEFT_FIRST_DONE, WEFT_FOREVER);
        MODEL_CHECK(done == 1 || done == 2);
        MODEL_CHECK(f.first == NULL && g.first == NULL);
    } else {
        MODEL_CHECK(weft_future_set_result(i == 1 ? &f : &g, NULL) == 0);
    }
}

static void first_error(unsigned i)
{
    if (i == 0) {
        weft_future *both[] = {&f, &g};
        long done = weft_futures_wait(both, 2, WEFT_FIRST_ERROR, WEFT_FOREVER);
        MODEL_CHECK(done == 2 || (done == 1 && weft_future_error(both[0]) == -EIO));
    } else if (i == 1) {
        MODEL_CHECK(weft_future_set_result(&f, NULL) == 0);
    } else {
        MODEL_CHECK(weft_future_set_error(&g, -EIO) == 0);
    }
}

/* Nobody fails: the last one done ends the wait. */
static void no_error(unsigned i)
{
    if (i == 0) {
        weft_future *both[] = {&f, &g};
        MODEL_CHECK(weft_futures_wait(both, 2, WEFT_FIRST_ERROR, WEFT_FOREVER) == 2);
    } else {
        MODEL_CHECK(weft_future_set_result(i == 1 ? &f : &g, NULL) == 0);
    }
}

static void first_deadline(unsigned i)
{
    if (i == 0) {
        weft_future *both[] = {&f, &g};
        MODEL_CHECK(weft_futures_wait(both, 2, WEFT_FIRST_DONE, MODEL_SOMETIME) >= 0);
        MODEL_CHECK(f.first == NULL && g.first == NULL);
    } else {
        MODEL_CHECK(weft_future_set_result(&f, NULL) == 0);
    }
}

static void completions_reset(void)
{
    reset();
    MODEL_CHECK(weft_completions_new(&set, (weft_future *[]){&f, &g}, 2) == 0);
}

/* Two take until the end, each future is given once. */
static void completions_two_takers(unsigned i)
{
    weft_future *got;
    if (i == 2) {
        MODEL_CHECK(weft_future_set_result(&f, NULL) == 0);
        MODEL_CHECK(weft_future_set_result(&g, NULL) == 0);
        return;
    }
    int err;
    while ((err = weft_completions_next(set, &got, WEFT_FOREVER)) == 0) {
        MODEL_CHECK(weft_future_done(got));
        outcomes += got == &f ? 1 : 16;
    }
    MODEL_CHECK(err == -ENODATA);
}

static void completions_final(void)
{
    MODEL_CHECK(outcomes == 17 && weft_completions_left(set) == 0);
}

static void completions_freed(unsigned i)
{
    if (i == 0)
        weft_completions_free(set);
    else
        MODEL_CHECK(weft_future_set_result(&f, NULL) == 0); /* and g never is */
}

static void completions_freed_final(void)
{
    MODEL_CHECK(f.first == NULL && g.first == NULL);
    MODEL_CHECK(f.refs == 9 && g.refs == 9);
}

const model_case future_cases[] = {
    {"future_set_wakes_all", 3, reset, set_wakes_all, nothing, MODEL_EXACT, .share = 2},
    {"future_two_set_one_wins", 3, reset, two_set, two_set_final, MODEL_EXACT},
    {"future_cancel_against_begin", 3, reset, cancel_against_begin, cancel_against_begin_final, MODEL_EXACT},
    {"future_deadline", 3, reset, deadline, deadline_final, MODEL_EXACT, .share = 2},
    {"future_last_frees", 3, last_frees_reset, last_frees, ran_once, MODEL_EXACT},
    {"future_watch_against_set", 2, reset, watch, watch_final, MODEL_EXACT},
    {"future_callbacks_against_set", 3, reset, callbacks, callbacks_final, 3},
    {"future_unwatch_against_set", 2, unwatch_reset, unwatch, nothing, MODEL_EXACT},
    {"future_stop_against_end", 2, reset, stop, nothing, MODEL_EXACT},
    {"future_stop_ends_the_job", 2, stop_running_reset, stop_running, nothing, MODEL_EXACT},
    {"future_two_stop", 3, reset, stop, nothing, 3},
    {"future_stop_against_begin", 2, reset, stop_against_begin, stop_against_begin_final, MODEL_EXACT},
    {"future_give_up_against_end", 3, stop_running_reset, give_up, give_up_final, 3, .share = 2},
    {"future_pause_against_stop", 2, stop_running_reset, pause_against_stop, nothing, MODEL_EXACT},
    {"futures_first_done", 3, reset, first_done, nothing, 3, .share = 2},
    {"futures_first_error", 3, reset, first_error, nothing, 3},
    {"futures_no_error", 3, reset, no_error, nothing, 3},
    {"futures_first_deadline", 2, reset, first_deadline, nothing, MODEL_EXACT},
    {"completions_two_takers", 3, completions_reset, completions_two_takers, completions_final, 3, .share = 2},
    {"completions_freed_against_set", 2, completions_reset, completions_freed, completions_freed_final, MODEL_EXACT},
    {NULL},
};
