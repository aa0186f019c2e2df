/* Select: one of several things that can be done is done, by chance, and no wake is lost on the way. */
#include <weft/select.h>

#include "flow/future.h"
#include "flow/queue.h"
#include "harness/harness.h"
#include "sys/sys.h"

#include <weft/co.h>
#include <weft/poller.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static weft_queue *new_queue(size_t capacity)
{
    weft_queue *q;
    CHECK_OK(weft_queue_new(&q, sizeof(int), &(weft_queue_options){.capacity = capacity}));
    return q;
}

static void put(weft_queue *q, int n)
{
    CHECK_OK(weft_queue_put(q, &n, WEFT_FOREVER));
}

static int get(weft_queue *q)
{
    int n;
    CHECK_OK(weft_queue_get(q, &n, WEFT_FOREVER));
    return n;
}

static unsigned sleepers(weft_queue *q, enum weft__queue_side side)
{
    return weft__sleepers(weft__queue_word(q, side));
}

/* */
TEST_IN(THREAD | CO, select_does_at_once_what_can_be_done)
{
    int fds[2], got = 0, seven = 7;
    weft_queue *full = new_queue(1), *room = new_queue(1);
    weft_event event = WEFT_EVENT_INIT;
    weft_future *future;
    put(full, 42);
    weft_event_set(&event);
    CHECK_OK(weft_future_new(&future));
    CHECK_INT(1, weft_future_cancel(future));
    CHECK_OK(pipe(fds));
    CHECK_INT(1, write(fds[1], "x", 1));
    weft_case ready[] = {WEFT_CASE_GET(full, &got),  WEFT_CASE_PUT(room, &seven),  WEFT_CASE_EVENT(&event),
                         WEFT_CASE_FUTURE(future),   WEFT_CASE_UNTIL(weft_in(-1)), WEFT_CASE_READABLE(fds[0]),
                         WEFT_CASE_WRITABLE(fds[1]), WEFT_CASE_UNTIL(WEFT_NOW)};
    for (unsigned i = 0; i < WEFT__ARRAY_LEN(ready); i++) {
        weft_case cases[] = {WEFT_CASE_NONE, WEFT_CASE_UNTIL(WEFT_FOREVER), ready[i]};
        CHECK_INT(2, weft_select(cases, 3, i % 2 ? WEFT_NOW : WEFT_FOREVER));
        CHECK_INT(ready[i].kind == WEFT__CASE_READABLE   ? WEFT_POLLIN
                  : ready[i].kind == WEFT__CASE_WRITABLE ? WEFT_POLLOUT
                                                         : 0,
                  cases[2].result);
    }
    CHECK_INT(42, got);
    CHECK_INT(7, get(room));
    CHECK_INT(0, weft_queue_size(full));
    weft_queue_free(full);
    weft_queue_free(room);
    weft_future_unref(future);
    close(fds[0]);
    close(fds[1]);
}

/* */
TEST_IN(THREAD | CO, select_times_out_with_nothing_done)
{
    int fds[2], n = -1, eight = 8;
    weft_queue *full = new_queue(1), *empty = new_queue(1);
    weft_event event = WEFT_EVENT_INIT;
    weft_future *future;
    put(full, 1);
    CHECK_OK(weft_future_new(&future));
    CHECK_OK(pipe(fds));
    weft_case cases[] = {WEFT_CASE_GET(empty, &n),  WEFT_CASE_PUT(full, &eight),        WEFT_CASE_EVENT(&event),
                         WEFT_CASE_FUTURE(future),  WEFT_CASE_UNTIL(weft_in_ms(60000)), WEFT_CASE_NONE,
                         WEFT_CASE_READABLE(fds[0])};
    for (unsigned count = 0; count <= WEFT__ARRAY_LEN(cases); count++) {
        CHECK_ERR(-ETIMEDOUT, weft_select(cases, count, WEFT_NOW));
        weft_until until = weft_in_ms(2);
        CHECK_ERR(-ETIMEDOUT, weft_select(cases, count, until));
        CHECK(weft_now() >= until.at);
    }
    CHECK_INT(-1, n);
    CHECK_INT(1, get(full));
    CHECK_INT(0, sleepers(empty, WEFT__QUEUE_GET));
    CHECK_INT(0, sleepers(full, WEFT__QUEUE_PUT));
    CHECK_INT(0, weft__sleepers(&event.word));
    CHECK_INT(0, weft__sleepers(&future->word));
    weft_queue_free(full);
    weft_queue_free(empty);
    weft_future_unref(future);
    close(fds[0]);
    close(fds[1]);
}

/* ---- woken by each kind ---- */

typedef struct world {
    weft_queue *full, *empty;
    weft_event event, asleep;
    weft_future *future;
    int fds[2];
    uint32_t which; /* the case to come true */
    bool descriptors;
    int chosen, result, got, put;
} world;

static world *new_world(test *t)
{
    world *w = test_alloc(t, sizeof *w);
    w->full = new_queue(1);
    w->empty = new_queue(1);
    put(w->full, 1);
    CHECK_OK(weft_future_new(&w->future));
    CHECK_OK(pipe2(w->fds, O_NONBLOCK));
    w->put = 8;
    return w;
}

static void end_world(world *w)
{
    CHECK_INT(0, sleepers(w->empty, WEFT__QUEUE_GET));
    CHECK_INT(0, sleepers(w->full, WEFT__QUEUE_PUT));
    CHECK_INT(0, weft__sleepers(&w->event.word));
    CHECK_INT(0, weft__sleepers(&w->future->word));
    weft_queue_free(w->full);
    weft_queue_free(w->empty);
    weft_future_unref(w->future);
    close(w->fds[0]);
    close(w->fds[1]);
}

static int selects(void *arg)
{
    world *w = arg;
    weft_case cases[] = {WEFT_CASE_GET(w->empty, &w->got), WEFT_CASE_PUT(w->full, &w->put), WEFT_CASE_EVENT(&w->event),
                         WEFT_CASE_FUTURE(w->future), WEFT_CASE_READABLE(w->fds[0])};
    w->chosen = weft_select(cases, w->descriptors ? 5 : 4, WEFT_FOREVER);
    if (w->chosen >= 0)
        w->result = cases[w->chosen].result;
    return 0;
}

static void come_true(world *w)
{
    switch (w->which) {
    case 0:
        put(w->empty, 77);
        break;
    case 1:
        CHECK_INT(1, get(w->full));
        break;
    case 2:
        weft_event_set(&w->event);
        weft_event_clear(&w->event); /* it was set: that is enough */
        break;
    case 3:
        CHECK_OK(weft_future_set_result(w->future, NULL));
        break;
    default:
        CHECK_INT(1, write(w->fds[1], "x", 1));
    }
}

TEST_IN(THREAD | CO, select_asleep_is_woken_by_each_kind_of_case)
{
    for (unsigned i = 0; i < 9; i++) {
        world *w = new_world(t);
        w->which = i < 4 ? i : i - 4;
        w->descriptors = i >= 4;
        test_spawn(t, selects, w);
        test_wait_until_asleep(t, &w->future->word, 1);
        come_true(w);
        test_join(t);
        CHECK_INT(w->which, w->chosen);
        CHECK_INT(w->which == 4 ? WEFT_POLLIN : 0, w->result);
        CHECK_INT(w->which == 0 ? 77 : 0, w->got);
        CHECK_INT(w->which == 1 ? 8 : 1, get(w->full));
        end_world(w);
    }
}

/* G75: closing ends a wait; a closed queue is ready */
TEST_IN(THREAD | CO, select_tells_that_a_queue_is_closed)
{
    for (unsigned i = 0; i < 4; i++) {
        world *w = new_world(t);
        w->descriptors = i >= 2;
        test_spawn(t, selects, w);
        test_wait_until_asleep(t, &w->future->word, 1);
        weft_queue_close(i % 2 ? w->full : w->empty, WEFT_CLOSE_DRAIN);
        test_join(t);
        CHECK_INT(i % 2, w->chosen);
        CHECK_ERR(-EPIPE, w->result);
        end_world(w);
    }
}

static int selects_cancelled(void *arg)
{
    weft__waiter_cancel(weft__self());
    return selects(arg);
}

TEST_IN(THREAD | CO, select_ends_when_its_caller_is_cancelled)
{
    for (unsigned i = 0; i < 2; i++) {
        world *w = new_world(t);
        w->descriptors = i == 1;
        test_spawn(t, selects_cancelled, w);
        test_join(t);
        CHECK_ERR(-ECANCELED, w->chosen);
        CHECK_INT(1, get(w->full));
        weft_event_set(&w->event); /* what can be done beats cancellation */
        test_spawn(t, selects_cancelled, w);
        test_join(t);
        CHECK(w->chosen == 1 || w->chosen == 2);
        end_world(w);
    }
}

static weft__waiter *selecting; /* atomic */

static int selects_until_cancelled(void *arg)
{
    store_seq_cst(&selecting, weft__self());
    return selects(arg);
}

TEST_IN(THREAD | CO, select_asleep_is_ended_by_cancellation)
{
    for (unsigned i = 0; i < 2; i++) {
        world *w = new_world(t);
        w->descriptors = i == 1;
        test_spawn(t, selects_until_cancelled, w);
        test_wait_until_asleep(t, &w->future->word, 1);
        weft__waiter_cancel(load_seq_cst(&selecting));
        test_join(t);
        CHECK_ERR(-ECANCELED, w->chosen);
        end_world(w);
    }
}

TEST_IN(THREAD | CO, select_takes_the_deadline_of_a_case_as_one)
{
    int n;
    weft_queue *q = new_queue(0);
    weft_until soon = weft_in_ms(2), later = weft_in_ms(60000);
    weft_case cases[] = {WEFT_CASE_GET(q, &n), WEFT_CASE_UNTIL(later), WEFT_CASE_UNTIL(soon)};
    CHECK_INT(2, weft_select(cases, 3, WEFT_FOREVER));
    CHECK(weft_now() >= soon.at);
    CHECK_INT(2, weft_select(cases, 3, soon)); /* the case beats the call's own */
    cases[2] = (weft_case)WEFT_CASE_NONE;
    CHECK_ERR(-ETIMEDOUT, weft_select(cases, 3, weft_in_ms(2)));
    weft_queue_free(q);
}

TEST(select_refuses_what_is_malformed)
{
    int n = 0;
    weft_queue *q = new_queue(0);
    weft_case bad[] = {WEFT_CASE_GET(NULL, &n), WEFT_CASE_GET(q, NULL), WEFT_CASE_PUT(NULL, &n),
                       WEFT_CASE_PUT(q, NULL),  WEFT_CASE_EVENT(NULL),  WEFT_CASE_FUTURE(NULL),
                       WEFT_CASE_READABLE(-1),  WEFT_CASE_WRITABLE(-1), {.kind = (enum weft_case_kind)99}};
    for (unsigned i = 0; i < WEFT__ARRAY_LEN(bad); i++) {
        weft_case cases[] = {WEFT_CASE_PUT(q, &n), bad[i]};
        CHECK_ERR(-EINVAL, weft_select(cases, 2, WEFT_NOW));
    }
    CHECK_INT(0, weft_queue_size(q));
    weft_case *many = calloc(1025, sizeof *many);
    CHECK(many != NULL);
    CHECK_ERR(-EINVAL, weft_select(many, 1025, WEFT_NOW));
    CHECK_ERR(-ETIMEDOUT, weft_select(many, 1024, WEFT_NOW));
    weft__sys_plan(WEFT__SYS_MALLOC, 1, 1, -ENOMEM, 0);
    CHECK_ERR(-ENOMEM, weft_select(many, 9, WEFT_NOW));
    weft__sys_plan_none();
    free(many);
    weft_queue_free(q);
}

/* ---- one of several ---- */

TEST_IN(THREAD | CO, select_carries_out_one_case_and_leaves_the_others)
{
    enum {
        N = 12
    };
    weft_queue *q[N];
    weft_case cases[N];
    int got[N], put_in[N], total = 0;
    for (int i = 0; i < N; i++) {
        put_in[i] = i;
        q[i] = new_queue(4);
        put(q[i], i);
        put(q[i], i);
        cases[i] = i % 2 ? WEFT_CASE_PUT(q[i], &put_in[i]) : WEFT_CASE_GET(q[i], &got[i]);
    }
    for (int round = 1; round <= N; round++) {
        memset(got, -1, sizeof got);
        int chosen = weft_select(cases, N, WEFT_FOREVER);
        CHECK_BETWEEN(0, N - 1, chosen);
        for (int i = 0; i < N; i++)
            CHECK_INT(i == chosen && i % 2 == 0 ? i : -1, got[i]);
        for (int i = total = 0; i < N; i++)
            total += abs((int)weft_queue_size(q[i]) - 2);
        CHECK_INT(1, total);
        if (chosen % 2)
            get(q[chosen]);
        else
            put(q[chosen], chosen);
    }
    for (int i = 0; i < N; i++)
        weft_queue_free(q[i]);
}

/* Each of those that are ready has the same chance, wherever it stands: 3 of 10, and 1,000 of 3,000 each are expected;
 * below 800 happens once in 10^14 runs. */
TEST_IN(THREAD | CO, select_chooses_by_chance_among_those_that_are_ready)
{
    weft_event set = WEFT_EVENT_INIT, clear = WEFT_EVENT_INIT;
    int count[10] = {0};
    weft_event_set(&set);
    weft_case cases[10];
    for (int i = 0; i < 10; i++)
        cases[i] = i == 0 || i == 1 || i == 9 ? WEFT_CASE_EVENT(&set) : WEFT_CASE_EVENT(&clear);
    for (int round = 0; round < 3000; round++)
        count[weft_select(cases, 10, WEFT_FOREVER)]++;
    CHECK_BETWEEN(800, 1200, count[0]);
    CHECK_BETWEEN(800, 1200, count[1]);
    CHECK_BETWEEN(800, 1200, count[9]);
}

TEST_IN(THREAD | CO, select_waits_for_a_thousand_queues)
{
    enum {
        N = 1024
    };
    weft_queue **q = calloc(N, sizeof *q);
    weft_case *cases = calloc(N, sizeof *cases);
    CHECK(q != NULL && cases != NULL);
    int got;
    for (int i = 0; i < N; i++) {
        q[i] = new_queue(1);
        cases[i] = WEFT_CASE_GET(q[i], &got);
    }
    CHECK_ERR(-ETIMEDOUT, weft_select(cases, N, weft_in_ms(1)));
    put(q[N - 1], 5);
    CHECK_INT(N - 1, weft_select(cases, N, WEFT_FOREVER));
    CHECK_INT(5, got);
    for (int i = 0; i < N; i++)
        weft_queue_free(q[i]);
    free(q);
    free(cases);
}

/* ---- descriptors ---- */

TEST_IN(THREAD | CO, select_tells_the_events_of_a_descriptor)
{
    int fds[2], file = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    CHECK_OK(pipe(fds));
    weft_case cases[] = {WEFT_CASE_NONE, WEFT_CASE_READABLE(fds[0])};
    CHECK_ERR(-ETIMEDOUT, weft_select(cases, 2, weft_in_ms(1)));
    close(fds[1]);
    CHECK_INT(1, weft_select(cases, 2, WEFT_FOREVER));
    CHECK_INT(WEFT_POLLHUP, cases[1].result);
    close(fds[0]);
    CHECK_INT(1, weft_select(cases, 2, WEFT_FOREVER));
    CHECK_ERR(-EBADF, cases[1].result);
    cases[1].fd = file; /* a file never waits */
    CHECK_INT(1, weft_select(cases, 2, WEFT_FOREVER));
    CHECK_INT(WEFT_POLLIN, cases[1].result);
    close(file);
}

static int writes_when_asleep(void *arg)
{
    world *w = arg;
    weft_event_wait(&w->asleep, WEFT_FOREVER);
    CHECK_INT(1, write(w->fds[1], "x", 1));
    return 0;
}

/* More than fit on the stack of the wait, and one descriptor twice. */
TEST_IN(THREAD | CO, select_waits_for_many_descriptors)
{
    enum {
        N = 30
    };
    int fds[N][2];
    world *w = test_alloc(t, sizeof *w);
    weft_case cases[N + 2];
    for (int i = 0; i < N; i++) {
        CHECK_OK(pipe(fds[i]));
        cases[i] = WEFT_CASE_READABLE(fds[i][0]);
    }
    cases[N] = WEFT_CASE_READABLE(fds[20][0]);
    cases[N + 1] = WEFT_CASE_UNTIL(WEFT_FOREVER);
    w->fds[1] = fds[20][1];
    test_spawn(t, writes_when_asleep, w);
    weft_event_set(&w->asleep);
    int chosen = weft_select(cases, N + 2, WEFT_FOREVER);
    CHECK(chosen == 20 || chosen == N);
    test_join(t);
    for (int i = 0; i < N; i++) {
        close(fds[i][0]);
        close(fds[i][1]);
    }
}

/* ---- events of several processes ---- */

static int selects_shared(void *arg)
{
    world *w = arg;
    weft_case cases[] = {WEFT_CASE_GET(w->empty, &w->got), WEFT_CASE_EVENT(&w->event), WEFT_CASE_READABLE(w->fds[0])};
    w->chosen = weft_select(cases, w->descriptors ? 3 : 2, WEFT_FOREVER);
    return 0;
}

TEST_IN(THREAD | CO, select_waits_for_a_shared_event_beside_others)
{
    for (unsigned i = 0; i < 5; i++) {
        world *w = new_world(t);
        CHECK_OK(weft_event_init(&w->event, WEFT_SHARED));
        w->descriptors = i >= 2;
        test_spawn(t, selects_shared, w);
        test_wait_until_asleep(t, weft__queue_word(w->empty, WEFT__QUEUE_GET), 1);
        w->which = i < 2 ? i * 2 : (i - 2) * 2;
        come_true(w);
        test_join(t);
        CHECK_INT(i < 2 ? i : i - 2, w->chosen);
        end_world(w);
    }
}

/* ---- many at once ---- */

enum {
    QUEUES = 4
};

typedef struct exchange {
    weft_queue *q[QUEUES];
    uint32_t seen[20000];  /* atomic */
    uint32_t next, got, n; /* atomic */
    uint32_t takers;       /* atomic: how many are left */
    weft_event end;
} exchange;

static exchange *new_exchange(test *t, unsigned n, size_t capacity)
{
    exchange *x = test_alloc(t, sizeof *x);
    x->n = n;
    for (int i = 0; i < QUEUES; i++)
        x->q[i] = new_queue(capacity);
    return x;
}

static void end_exchange(exchange *x)
{
    CHECK_INT(x->n, x->got);
    for (uint32_t i = 0; i < x->n; i++)
        CHECK_INT(1, x->seen[i]);
    for (int i = 0; i < QUEUES; i++) {
        CHECK_INT(0, weft_queue_size(x->q[i]));
        weft_queue_free(x->q[i]);
    }
}

static void take(exchange *x, int n)
{
    add_seq_cst(&x->seen[n], 1);
    if (add_seq_cst(&x->got, 1) + 1 == x->n)
        weft_event_set(&x->end);
}

static int gives(void *arg)
{
    exchange *x = arg;
    for (int n; (n = (int)add_seq_cst(&x->next, 1)) < (int)x->n;) {
        weft_case cases[QUEUES];
        for (int i = 0; i < QUEUES; i++)
            cases[i] = WEFT_CASE_PUT(x->q[i], &n);
        CHECK_BETWEEN(0, QUEUES - 1, weft_select(cases, QUEUES, WEFT_FOREVER));
    }
    return 0;
}

static int takes_any(void *arg)
{
    exchange *x = arg;
    for (;;) {
        int n;
        weft_case cases[QUEUES + 1] = {WEFT_CASE_EVENT(&x->end)};
        for (int i = 0; i < QUEUES; i++)
            cases[i + 1] = WEFT_CASE_GET(x->q[i], &n);
        int chosen = weft_select(cases, QUEUES + 1, WEFT_FOREVER);
        CHECK(chosen >= 0);
        if (chosen == 0)
            return 0;
        if (cases[chosen].result == 0) /* else it is closed: as good as the event */
            take(x, n);
    }
}

/* Crossing queues, and those who stand at several of them: each element comes out once, and nobody sleeps on. */
TEST_IN_LIMIT(40, THREAD | CO, select_on_crossing_queues_gives_each_element_once)
{
    for (long round = test_rounds(2, 40); round > 0; round--) {
        exchange *x = new_exchange(t, (unsigned)test_rounds(5000, 20000), (size_t)(round % 3));
        for (int i = 0; i < 4; i++) {
            test_spawn(t, gives, x);
            test_spawn(t, takes_any, x);
        }
        test_join(t);
        end_exchange(x);
    }
}

static int takes_one_kind(void *arg)
{
    exchange *x = arg;
    int n;
    weft_queue *q = x->q[add_seq_cst(&x->takers, 1) % QUEUES];
    while (weft_queue_get(q, &n, WEFT_FOREVER) == 0)
        take(x, n);
    return 0;
}

static int gives_one_kind(void *arg)
{
    exchange *x = arg;
    for (int n; (n = (int)add_seq_cst(&x->next, 1)) < (int)x->n;)
        put(x->q[n % QUEUES], n);
    return 0;
}

static int closes_at_the_end(void *arg)
{
    exchange *x = arg;
    CHECK_OK(weft_event_wait(&x->end, WEFT_FOREVER));
    for (int i = 0; i < QUEUES; i++)
        weft_queue_close(x->q[i], WEFT_CLOSE_DRAIN);
    return 0;
}

/* S2 of select.c: beside those who wait for one queue only no wake is lost to who waits for several. */
TEST_IN_LIMIT(40, THREAD | CO, select_beside_plain_gets_and_puts_loses_no_wake)
{
    for (long round = test_rounds(2, 40); round > 0; round--) {
        exchange *x = new_exchange(t, (unsigned)test_rounds(5000, 20000), 1);
        for (int i = 0; i < 2; i++) {
            test_spawn(t, gives, x);
            test_spawn(t, gives_one_kind, x);
            test_spawn(t, takes_any, x);
        }
        for (int i = 0; i < QUEUES; i++)
            test_spawn(t, takes_one_kind, x);
        test_spawn(t, closes_at_the_end, x);
        test_join(t);
        end_exchange(x);
    }
}

static int takes_with_deadlines(void *arg)
{
    exchange *x = arg;
    for (;;) {
        int n;
        weft_case cases[] = {WEFT_CASE_GET(x->q[0], &n), WEFT_CASE_GET(x->q[1], &n), WEFT_CASE_EVENT(&x->end)};
        int chosen = weft_select(cases, 3, weft_in(20000));
        if (chosen == 2)
            return 0;
        CHECK(chosen >= 0 || chosen == -ETIMEDOUT);
        if (chosen >= 0)
            take(x, n);
    }
}

static int gives_to_two(void *arg)
{
    exchange *x = arg;
    for (int n; (n = (int)add_seq_cst(&x->next, 1)) < (int)x->n;) {
        put(x->q[n & 1], n);
        if (n % 8 == 0)
            weft_sleep(weft_in(20000));
    }
    return 0;
}

/* G71: an element that comes with the deadline is got or stays, and is not lost */
TEST_IN_LIMIT(40, THREAD | CO, select_at_its_deadline_loses_no_element)
{
    exchange *x = new_exchange(t, (unsigned)test_rounds(2000, 20000), 1);
    for (int i = 0; i < 3; i++)
        test_spawn(t, takes_with_deadlines, x);
    test_spawn(t, gives_to_two, x);
    test_spawn(t, gives_to_two, x);
    test_join(t);
    end_exchange(x);
}

typedef struct net {
    weft_queue *q;
    int fds[2];
    uint32_t n, got; /* atomic */
} net;

static int feeds(void *arg)
{
    net *x = arg;
    for (uint32_t i = 0; i < x->n; i++)
        if (i % 2)
            put(x->q, 1);
        else
            while (write(x->fds[1], "x", 1) != 1)
                weft_fd_wait(x->fds[1], WEFT_POLLOUT, WEFT_FOREVER);
    return 0;
}

/* A descriptor and a queue at once, each again and again. */
TEST_IN_LIMIT(30, THREAD | CO, select_takes_from_descriptor_and_queue)
{
    net *x = test_alloc(t, sizeof *x);
    x->n = (uint32_t)test_rounds(4000, 100000);
    x->q = new_queue(3);
    CHECK_OK(pipe2(x->fds, O_NONBLOCK));
    test_spawn(t, feeds, x);
    uint32_t from_queue = 0, from_pipe = 0;
    while (from_queue + from_pipe < x->n) {
        int n;
        char c;
        weft_case cases[] = {WEFT_CASE_GET(x->q, &n), WEFT_CASE_READABLE(x->fds[0])};
        if (weft_select(cases, 2, WEFT_FOREVER) == 0)
            from_queue++;
        else
            from_pipe += read(x->fds[0], &c, 1) == 1;
    }
    CHECK_INT(x->n / 2, from_queue);
    CHECK_INT(x->n - x->n / 2, from_pipe);
    test_join(t);
    weft_queue_free(x->q);
    close(x->fds[0]);
    close(x->fds[1]);
}

/* ---- who waits helps ---- */

static bool run_here(weft_future *f, weft_until until)
{
    (void)until;
    return weft__future_begin(f) && weft__future_finish(f, f, 0) == 0;
}

static const weft__future_ops helping = {.help = run_here};

TEST_IN(THREAD | CO, select_runs_a_job_of_the_own_pool_that_has_not_begun)
{
    int n;
    weft_future f;
    weft_queue *q = new_queue(0);
    weft__future_init(&f, &helping, 2);
    weft_case cases[] = {WEFT_CASE_GET(q, &n), WEFT_CASE_FUTURE(&f)};
    CHECK_ERR(-ETIMEDOUT, weft_select(cases, 2, WEFT_NOW));
    CHECK_INT(1, weft_select(cases, 2, WEFT_FOREVER));
    weft_queue_free(q);
}

/* ---- what fails below ---- */

TEST_IN(THREAD | CO, select_says_when_descriptors_cannot_be_waited_for)
{
    int n, fds[2];
    weft_queue *q = new_queue(0);
    CHECK_OK(pipe(fds));
    weft_case cases[] = {WEFT_CASE_GET(q, &n), WEFT_CASE_READABLE(fds[0])};
    CHECK_ERR(-ETIMEDOUT, weft_select(cases, 2, weft_in(1000))); /* a coroutine's thread has its poller now */
    if (test_context(t) == CO) {
        weft__sys_plan(WEFT__SYS_MALLOC, 1, 1, -ENOMEM, 0);
        CHECK_ERR(-ENOMEM, weft_select(cases, 2, WEFT_FOREVER));
        weft__sys_plan_none();
    }
    weft__sys_plan(WEFT__SYS_POLL, 1, 1, -EINTR, 0); /* a signal is no reason */
    CHECK_ERR(-ETIMEDOUT, weft_select(cases, 2, weft_in(1000)));
    weft__sys_plan_none();
    CHECK_INT(0, sleepers(q, WEFT__QUEUE_GET));
    put(q, 3);
    CHECK_INT(0, weft_select(cases, 2, WEFT_FOREVER));
    weft_queue_free(q);
    close(fds[0]);
    close(fds[1]);
}

static int selects_without_eventfd(void *arg)
{
    world *w = arg;
    weft__sys_plan(WEFT__SYS_EVENTFD, 1, 1, -EMFILE, 0);
    selects(w);
    weft__sys_plan_none();
    return 0;
}

TEST_IN(THREAD, select_in_a_thread_says_when_it_gets_no_eventfd)
{
    world *w = new_world(t);
    w->descriptors = true;
    test_spawn(t, selects_without_eventfd, w);
    test_join(t);
    CHECK_ERR(-EMFILE, w->chosen);
    get(w->full);
    end_world(w);
}

static int selects_twice(void *arg)
{
    world *w = arg;
    selects(w);
    weft_case cases[] = {WEFT_CASE_READABLE(w->fds[0]), WEFT_CASE_NONE};
    weft_until until = weft_in(200000);
    CHECK_ERR(-ETIMEDOUT, weft_select(cases, 2, until));
    CHECK(weft_now() >= until.at);
    return 0;
}

/* The wake that ended one wait beside a descriptor does not end the next. */
TEST_IN(THREAD | CO, select_is_not_ended_by_the_wake_of_the_last_one)
{
    for (int i = 0; i < 20; i++) {
        world *w = new_world(t);
        w->descriptors = true;
        w->which = (uint32_t)i % 4;
        test_spawn(t, selects_twice, w);
        test_wait_until_asleep(t, &w->future->word, 1);
        come_true(w);
        test_join(t);
        CHECK_INT(w->which, w->chosen);
        get(w->full);
        end_world(w);
    }
}

/* ---- threads and coroutines at the same queues ---- */

TEST_IN_LIMIT(40, THREAD, select_between_threads_and_coroutines_gives_each_element_once)
{
    for (long round = test_rounds(2, 40); round > 0; round--) {
        exchange *x = new_exchange(t, (unsigned)test_rounds(5000, 20000), (size_t)(round % 3));
        weft_co *co[4];
        for (int i = 0; i < 4; i++)
            CHECK_OK(weft_co_start(&co[i], i % 2 ? gives : takes_any, x, NULL));
        for (int i = 0; i < 2; i++) {
            test_spawn(t, gives, x);
            test_spawn(t, takes_any, x);
        }
        test_join(t);
        for (int i = 0; i < 4; i++) {
            int result;
            CHECK_OK(weft_co_join(co[i], &result, WEFT_FOREVER));
            CHECK_OK(result);
        }
        end_exchange(x);
    }
}
