/* pool_model.c - the backlog of a pool: no job is lost or run twice, no worker sleeps while one waits, and all end
 * after a close, whatever the order. Workers are here from the beginning; the ring has room for two jobs. */
#include "explorer.h"

#include "pool/backlog.h"

enum {
    ITEMS = 4
};

static weft__backlog b;
static weft__item items[ITEMS];
static int accepted[ITEMS], taken[ITEMS], order[2 * ITEMS], ran;
static bool meet;            /* the first job ends when the second has begun */
static uint32_t second_runs; /* a word to sleep on: the second worker has been started */
static uint32_t started;     /* the same: 1: a worker is to be started; 2: no more will be */

/* `workers` that search already, 1 or 2. */
static void reset_with(unsigned workers, uint64_t limit)
{
    weft__backlog_init(&b, 0, limit, 0, NULL);
    for (unsigned i = 0; i < workers; i++)
        MODEL_CHECK(weft__backlog_search_early(&b));
    for (int i = 0; i < ITEMS; i++) {
        items[i] = (weft__item){0};
        accepted[i] = taken[i] = 0;
    }
    ran = 0;
    meet = false;
    second_runs = 0;
    started = 0;
}

static void reset_one(void)
{
    reset_with(1, 0);
}

static void reset_two(void)
{
    reset_with(2, 0);
}

static void tell(void)
{
    if (weft__backlog_notify(&b))
        weft__backlog_not_started(&b); /* a worker has ended: it has seen that nothing is left */
}

/* Two jobs wait, and the first of two workers is started for them. */
static void reset_meet(void)
{
    reset_with(1, 0);
    weft__backlog_init(&b, 2, 0, 0, NULL);
    for (int i = 0; i < 2; i++) {
        MODEL_CHECK(weft__backlog_put(&b, &items[i]) == 0);
        accepted[i] = 1;
    }
    MODEL_CHECK(weft__backlog_notify(&b));
    weft__backlog_close(&b);
    meet = true;
}

/* A worker that sleeps may end at any time. */
static void reset_idle(void)
{
    reset_with(1, 0);
    b.idle_time = WEFT_SECOND;
}

static void reset_limit(void)
{
    reset_with(1, 2);
}

static void put(int i)
{
    int err = weft__backlog_put(&b, &items[i]);
    MODEL_CHECK(err == 0 || err == -EPIPE);
    accepted[i] = err == 0;
    if (err == 0)
        tell();
}

static void work(bool early)
{
    bool searching = true, start;
    weft__taken t;
    while (weft__backlog_next(&b, searching, &t, &start)) {
        if (start && meet) {
            store_seq_cst(&second_runs, 1);
            weft__wake(&second_runs, 1, 0);
        } else if (start) { /* one has ended: it has seen that nothing is left */
            weft__backlog_not_started(&b);
        }
        store_relaxed(&taken[t.item - items], taken[t.item - items] + 1);
        while (meet && t.item == &items[0] && load_relaxed(&taken[1]) == 0)
            cpu_relax();
        order[ran++] = (int)(t.item - items);
        weft__backlog_done(&b);
        searching = early && weft__backlog_search_early(&b);
    }
}

static void each_once(void)
{
    for (int i = 0; i < ITEMS; i++)
        MODEL_CHECK(taken[i] == accepted[i]);
    MODEL_CHECK(weft__backlog_empty(&b));
    weft__backlog_counts counts = weft__backlog_look(&b);
    MODEL_CHECK(counts.searching == 0 && counts.sleeping == 0 && b.tokens == 0);
}

static void in_order(void)
{
    each_once();
    for (int i = 1; i < ran; i++)
        MODEL_CHECK(order[i - 1] < order[i]);
}

static void one_puts_and_closes(unsigned i)
{
    if (i == 0) {
        work(false);
    } else {
        put(0);
        weft__backlog_close(&b);
    }
}

static void early(unsigned i)
{
    if (i == 0) {
        work(true);
    } else {
        put(0);
        put(1);
        weft__backlog_close(&b);
    }
}

/* Nobody closes while the job is waited for: the wake alone must do. */
static void put_then_wait(unsigned i)
{
    if (i == 0) {
        work(false);
    } else {
        put(0);
        while (load_relaxed(&taken[0]) == 0)
            cpu_relax();
        weft__backlog_close(&b);
    }
}

static void close_against_put(unsigned i)
{
    if (i == 0)
        work(false);
    else if (i == 1)
        put(0);
    else
        weft__backlog_close(&b);
}

/* Two of these jobs need two workers, and nobody is there to wake the second but the first. */
static void two_meet(unsigned i)
{
    while (i == 1 && load_relaxed(&second_runs) == 0)
        weft__park(&second_runs, 0, WEFT_FOREVER, 0, "start");
    work(false);
}

static void close_reaches_all(unsigned i)
{
    if (i < 2)
        work(false);
    else
        weft__backlog_close(&b);
}

static void two_put(unsigned i)
{
    if (i == 0)
        work(false);
    else
        put((int)i - 1);
    if (i == 1)
        weft__backlog_close(&b);
}

static void more_than_the_ring(unsigned i)
{
    if (i == 0) {
        work(false);
    } else {
        for (int k = 0; k < 4; k++)
            put(k);
        weft__backlog_close(&b);
    }
}

/* Four at one go: two fit, others go to the queue, and what comes later behind them. */
static void some_at_once(unsigned i)
{
    if (i == 0) {
        work(false);
        return;
    }
    weft__item *four[] = {&items[0], &items[1], &items[2], &items[3]};
    for (size_t n = 0, some; n < 4; n += some) {
        some = weft__backlog_put_some(&b, four + n, 4 - n);
        for (size_t k = n; k < n + some; k++)
            accepted[k] = 1;
        if (some == 0) {
            put((int)n);
            some = 1;
        }
    }
    tell();
    weft__backlog_close(&b);
}

/* Two at one go against one alone, and a close. */
static void some_against_one(unsigned i)
{
    weft__item *two[] = {&items[0], &items[1]};
    if (i == 0) {
        work(false);
    } else if (i == 1) {
        size_t some = weft__backlog_put_some(&b, two, 2);
        for (size_t k = 0; k < some; k++)
            accepted[k] = 1;
        tell();
    } else {
        put(2);
        weft__backlog_close(&b);
    }
}

/* Who takes a listed job out has it alone. */
static void removed(unsigned i)
{
    if (i == 0) {
        work(false);
    } else if (i == 1) {
        items[0].listed = true;
        put(0);
        weft__backlog_close(&b);
    } else if (weft__backlog_remove(&b, &items[0])) {
        taken[0]++;
    }
}

/* The same for the next one of the ring. */
static void removed_from_ring(unsigned i)
{
    if (i == 0) {
        work(false);
    } else if (i == 1) {
        put(0);
        put(1);
        weft__backlog_close(&b);
    } else {
        for (int k = 0; k < 2; k++)
            if (weft__backlog_remove(&b, &items[k]))
                taken[k]++;
    }
}

/* The worker ends for want of jobs, or does not, just when one comes: it is taken all the same, or another worker is
 * started for it. */
static void idle_ends(unsigned i)
{
    if (i == 0) {
        work(false);
        while (load_seq_cst(&started) == 0)
            weft__park(&started, 0, WEFT_FOREVER, 0, "start");
        if (load_seq_cst(&started) & 1)
            work(false);
        return;
    }
    MODEL_CHECK(weft__backlog_put(&b, &items[0]) == 0);
    accepted[0] = 1;
    uint32_t how = weft__backlog_notify(&b) ? 1 : 2;
    weft__backlog_close(&b);
    store_seq_cst(&started, how);
    weft__wake(&started, 1, 0);
}

/* One worker is on its way, and a second one can never be started: what is put while that is tried is run all the same.
 */
static void reset_not_started(void)
{
    reset_with(1, 0);
    weft__backlog_init(&b, 2, 0, 0, NULL);
    MODEL_CHECK(weft__backlog_put(&b, &items[0]) == 0);
    accepted[0] = 1;
    MODEL_CHECK(weft__backlog_notify(&b));
}

static void not_started(unsigned i)
{
    if (i > 0) {
        MODEL_CHECK(weft__backlog_put(&b, &items[i]) == 0);
        accepted[i] = 1;
        if (weft__backlog_notify(&b))
            MODEL_CHECK(!weft__backlog_not_started(&b)); /* there is the first one */
        return;
    }
    bool searching = true, start;
    weft__taken t;
    for (int k = 0; k < 3; k++) { /* there is no close, which would wake it */
        MODEL_CHECK(weft__backlog_next(&b, searching, &t, &start));
        if (start)
            MODEL_CHECK(!weft__backlog_not_started(&b));
        taken[t.item - items]++;
        searching = k < 2 && weft__backlog_search_early(&b);
    }
}

/* The same of the only worker: whoever has tried in vain last knows that the jobs are forsaken. */
static void reset_none_started(void)
{
    reset_with(1, 0);
    weft__backlog_init(&b, 1, 0, 0, NULL);
}

static void none_started(unsigned i)
{
    MODEL_CHECK(weft__backlog_put(&b, &items[i]) == 0);
    accepted[i] = 1;
    if (weft__backlog_notify(&b) && weft__backlog_not_started(&b))
        for (weft__taken t; weft__backlog_forsaken(&b);) {
            if (weft__backlog_take(&b, &t))
                taken[t.item - items]++;
            else
                cpu_relax();
        }
}

/* Room for two: the third waits until one is done. */
static void room(unsigned i)
{
    if (i == 0) {
        work(false);
        return;
    }
    for (int k = 0; k < 3; k++) {
        int err;
        while ((err = weft__backlog_put(&b, &items[k])) == -WEFT_EFULL)
            MODEL_CHECK(weft__backlog_wait_room(&b, WEFT_FOREVER, NULL) == 0);
        MODEL_CHECK(err == 0);
        accepted[k] = 1;
        tell();
    }
    weft__backlog_close(&b);
}

const model_case pool_cases[] = {
    {"pool_put_and_close", 2, reset_one, one_puts_and_closes, each_once, MODEL_EXACT, .share = 2},
    {"pool_put_alone_wakes", 2, reset_one, put_then_wait, each_once, 4, .share = 2},
    {"pool_search_begun_early", 2, reset_one, early, in_order, 4, .share = 2},
    {"pool_close_against_put", 3, reset_one, close_against_put, each_once, 3, .share = 3},
    {"pool_two_meet", 2, reset_meet, two_meet, each_once, 4, .share = 2},
    {"pool_close_reaches_all", 3, reset_two, close_reaches_all, each_once, 3, .share = 2},
    {"pool_two_put", 3, reset_one, two_put, each_once, 2, .share = 3},
    {"pool_more_than_the_ring", 2, reset_one, more_than_the_ring, in_order, 3, .share = 3},
    {"pool_some_at_once", 2, reset_one, some_at_once, in_order, 3, .share = 3},
    {"pool_some_against_one", 3, reset_one, some_against_one, each_once, 2, .share = 3},
    {"pool_taken_out_of_list", 3, reset_one, removed, each_once, 2, .share = 2},
    {"pool_taken_out_of_ring", 3, reset_one, removed_from_ring, each_once, 2, .share = 2},
    {"pool_idle_worker_ends", 2, reset_idle, idle_ends, each_once, 4, .share = 2},
    {"pool_second_worker_not_started", 3, reset_not_started, not_started, each_once, 3, .share = 3},
    {"pool_only_worker_not_started", 2, reset_none_started, none_started, each_once, MODEL_EXACT, .share = 2},
    {"pool_room", 2, reset_limit, room, in_order, 3, .share = 3},
    {NULL},
};
