/* supervisor_test.c - servers of several processes where one of them does not hear, hangs or is killed at the wrong
 * moment: nobody waits for it, and nothing that was counted is lost. S001-104, S001-139. */
#include "serve/load_support.h"

#include "base/atomic.h"
#include "serve/serve.h"

#include <weft/co.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

/* Whom a server consists of, as they say when they are told something. */
typedef struct crew {
    line_service service; /* first: the hooks' argument */
    pid_t owner, supervisor, worker;
    uint32_t heard; /* atomic: so often has the supervisor */
} crew;

static int roll_call(int what, void *arg)
{
    crew *c = arg;
    (void)what;
    if (getppid() == c->owner) {
        c->supervisor = getpid();
        add_seq_cst(&c->heard, 1);
    } else if (getpid() != c->owner) {
        c->worker = getpid();
    }
    return 0;
}

static weft_server *serve_crew(crew *c, const char *model, unsigned processes)
{
    c->owner = getpid();
    serve_kind kind = {.model = model, .processes = processes, .forks = true};
    weft_server_options o = line_options(&kind, (weft_server_options){.on_tell = roll_call}, &c->service);
    weft_server *s;
    CHECK_OK(weft_server_open(&s, &o));
    CHECK_OK(weft_server_start(s));
    CHECK_OK(weft_server_tell(s, 1, WEFT_FOREVER));
    CHECK(c->supervisor > 0 && c->worker > 0);
    return s;
}

/* More bytes than a pipe holds are meant for a process that reads none. */
TEST_LIMIT(60, supervisor_does_not_wait_for_a_process_that_hears_nothing)
{
    crew *c = test_shared(sizeof *c);
    weft_server *s = serve_crew(c, "prefork", 1);
    CHECK_INT(0, kill(c->worker, SIGSTOP));
    while (weft_server_tell(s, 2, weft_in_ms(50)) == 0) /* it has not stopped yet */
        ;
    for (int i = 0; i < 66000; i++) {
        uint32_t before = load_seq_cst(&c->heard);
        CHECK_ERR(-ETIMEDOUT, weft_server_tell(s, 3, WEFT_NOW));
        while (load_seq_cst(&c->heard) == before)
            sched_yield();
    }
    CHECK_INT(0, kill(c->worker, SIGCONT));
    CHECK_OK(weft_server_tell(s, 4, WEFT_FOREVER));
    serve_stop(s);
}

/* Whatever keeps the supervisor, the stop has an end. */
static void stop_with_a_stopped_supervisor(const char *model, unsigned processes, weft_until grace)
{
    crew *c = test_shared(sizeof *c);
    weft_server *s = serve_crew(c, model, processes);
    pid_t worker = c->worker;
    CHECK_INT(0, kill(c->supervisor, SIGSTOP));
    weft_server_stop(s, grace);
    CHECK_OK(weft_server_wait(s, weft_in_seconds(25 * test_limit_factor())));
    wait_until(serve_has_ended, &worker, "the end of the worker");
    weft_server_close(s);
}

TEST(supervisor_that_is_stopped_ends_with_the_server_prefork)
{
    stop_with_a_stopped_supervisor("prefork", 2, WEFT_NOW);
}

TEST(supervisor_that_is_stopped_ends_with_the_server_epoll)
{
    stop_with_a_stopped_supervisor("epoll", 2, weft_in_ms(100));
}

/* ---- a process that hangs before it serves ---- */

typedef struct slow {
    uint32_t hangs;   /* atomic: so many do */
    pid_t supervisor; /* theirs */
    weft_server *server;
    int started; /* what weft_server_start has returned */
} slow;

static _Noreturn int begin_for_ever(void **state, void *arg)
{
    slow *h = arg;
    *state = NULL;
    h->supervisor = getppid();
    add_seq_cst(&h->hangs, 1);
    for (;;)
        pause();
}

static bool hangs(void *arg)
{
    return load_seq_cst(&((slow *)arg)->hangs) == 2;
}

static void *start_slow(void *arg)
{
    slow *h = arg;
    h->started = weft_server_start(h->server);
    return NULL;
}

/* A stop ends it as any other, and then it was no failure of the start. */
static void stop_one_that_hangs_in_its_start(const char *model, bool supervisor_stopped)
{
    slow *h = test_shared(sizeof *h);
    pthread_t thread;
    weft_server_options o = {
        .handler = line_handler, .arg = h, .model = model, .processes = 2, .state_open = begin_for_ever};
    CHECK_OK(weft_server_open(&h->server, &o));
    CHECK_INT(0, pthread_create(&thread, NULL, start_slow, h));
    wait_until(hangs, h, "the hanging");
    if (supervisor_stopped)
        CHECK_INT(0, kill(h->supervisor, SIGSTOP));
    weft_server_stop(h->server, WEFT_NOW);
    CHECK_OK(weft_server_wait(h->server, weft_in_seconds(25 * test_limit_factor())));
    CHECK_INT(0, pthread_join(thread, NULL));
    CHECK_INT(0, h->started);
    weft_server_close(h->server);
}

TEST(supervisor_ends_a_process_that_hangs_in_its_start_prefork)
{
    stop_one_that_hangs_in_its_start("prefork", false);
}

TEST(supervisor_ends_a_process_that_hangs_in_its_start_epoll)
{
    stop_one_that_hangs_in_its_start("epoll", false);
}

TEST(supervisor_that_is_stopped_ends_with_those_that_hang_in_their_start)
{
    stop_one_that_hangs_in_its_start("epoll", true);
}

/* A stop at any moment of the start: both return, and what was started has ended. */
static void stop_as_it_starts(const char *model, unsigned processes)
{
    enum {
        ROUNDS = 60,
        STEP = 50 /* us */
    };
    slow *h = test_shared(sizeof *h);
    for (int i = 0; i < ROUNDS; i++) {
        pthread_t thread;
        weft_server_options o = {.handler = line_handler, .model = model, .processes = processes};
        CHECK_OK(weft_server_open(&h->server, &o));
        CHECK_INT(0, pthread_create(&thread, NULL, start_slow, h));
        weft_sleep(weft_in(i * STEP * INT64_C(1000)));
        weft_server_stop(h->server, WEFT_NOW);
        CHECK_OK(weft_server_wait(h->server, WEFT_FOREVER));
        CHECK_INT(0, pthread_join(thread, NULL));
        if (h->started != -EALREADY) /* it had ended before */
            CHECK_INT(0, h->started);
        weft_server_close(h->server);
    }
}

TEST(supervisor_may_be_stopped_at_any_moment_of_its_start_prefork)
{
    stop_as_it_starts("prefork", 2);
}

TEST(supervisor_may_be_stopped_at_any_moment_of_its_start_uring)
{
    stop_as_it_starts("uring", 2);
}

TEST(supervisor_may_be_stopped_at_any_moment_of_its_start_process)
{
    stop_as_it_starts("process", 0);
}

/* A replacement begins with the counts of who was there before, at every moment. */
TEST(supervisor_hands_counts_on_from_the_dead)
{
    weft__worker *w = test_shared(sizeof *w);
    weft__worker_init(w, NULL, 0);
    w->accepted = 3;
    w->broken = 4;
    w->packets[0] = 5;
    w->packets[WEFT__PACKET_COUNTS - 1] = 6;
    w->open = 1;
    w->leaving = w->closing = true;
    weft__worker_init(w, NULL, 1);
    CHECK_INT(3, w->accepted);
    CHECK_INT(4, w->broken);
    CHECK_INT(5, w->packets[0]);
    CHECK_INT(6, w->packets[WEFT__PACKET_COUNTS - 1]);
    CHECK(w->open == 0 && !w->leaving && !w->closing && w->mail == NULL);
}

/* While processes are killed, a reader sees each count only grow. */
typedef struct reader {
    weft_server *server;
    uint32_t over; /* atomic */
    uint64_t fell; /* how often a count did */
    pthread_t thread;
} reader;

static void *read_counts(void *arg)
{
    reader *r = arg;
    weft_server_stats last = {0}, now;
    while (!load_seq_cst(&r->over)) {
        weft_server_get_stats(r->server, &now);
        r->fell += now.accepted < last.accepted || now.calls < last.calls;
        last = now;
    }
    return NULL;
}

TEST_LIMIT(60, supervisor_replaces_the_dead_and_no_count_falls)
{
    crew *c = test_shared(sizeof *c);
    weft_server *s = serve_crew(c, "epoll", 1);
    reader r = {.server = s};
    int fd = client_open(weft_server_port(s));
    client_expect_reply(fd, "echo in\n", "in\n");
    client_close(fd);
    CHECK_INT(0, pthread_create(&r.thread, NULL, read_counts, &r));
    for (int i = 0; i < 4; i++) {
        pid_t worker = c->worker;
        CHECK_INT(0, kill(worker, SIGKILL));
        wait_until(serve_has_ended, &worker, "the end of the worker");
        while (c->worker == worker)
            CHECK_OK(weft_server_tell(s, 2, WEFT_FOREVER));
    }
    store_seq_cst(&r.over, 1);
    CHECK_INT(0, pthread_join(r.thread, NULL));
    CHECK_INT(0, r.fell);
    serve_stop(s);
}

/* ---- one of them dies with what it was told ---- */

typedef struct doomed {
    uint32_t starts; /* atomic */
    int in[2], go[2];
} doomed;

static int begin_twice(void **state, void *arg)
{
    *state = NULL;
    while (add_seq_cst(&((doomed *)arg)->starts, 1) >= 2)
        pause();
    return 0;
}

/* "x" is answered; "d" ends the process as soon as it may. */
static int answer_or_die(weft_conn *c, void *arg)
{
    doomed *d = arg;
    const void *bytes;
    char byte = 0;
    ssize_t n = weft_conn_fill(c, 0, &bytes, WEFT_FOREVER);
    if (n <= 0)
        return WEFT_CONN_CLOSE;
    if (*(const char *)bytes == 'd' && write(d->in[1], &byte, 1) == 1 && read(d->go[0], &byte, 1) == 1)
        _exit(1);
    return weft_conn_write(c, "x", 1) < 0 ? -EPIPE : WEFT_CONN_CLOSE;
}

/* Who comes while the only process that the kernel wakes for it is at work, and about to die, is served by another. */
TEST(supervisor_has_the_living_look_for_those_of_whom_only_the_dead_knew)
{
    doomed *d = test_shared(sizeof *d);
    char byte;
    CHECK_INT(0, pipe(d->in));
    CHECK_INT(0, pipe(d->go));
    weft_server *s;
    weft_server_options o = {
        .handler = answer_or_die, .arg = d, .model = "uring", .threads = 1, .processes = 2, .state_open = begin_twice};
    CHECK_OK(weft_server_open(&s, &o));
    CHECK_OK(weft_server_start(s));
    int first = client_open(weft_server_port(s));
    client_say(first, "d");
    CHECK_INT(1, read(d->in[0], &byte, 1));
    int late = client_open(weft_server_port(s));
    client_say(late, "x");
    CHECK_INT(1, write(d->go[1], "g", 1));
    client_expect(late, "x");
    client_close(late);
    client_close(first);
    weft_server_stop(s, WEFT_NOW); /* a replacement hangs */
    CHECK_OK(weft_server_wait(s, WEFT_FOREVER));
    weft_server_close(s);
    for (int i = 0; i < 2; i++) {
        close(d->in[i]);
        close(d->go[i]);
    }
}

/* ---- one of them cannot live ---- */

/* The second process of the server dies as soon as it is started anew; the first one lives. */
typedef struct frail {
    uint32_t starts, deaths; /* atomic */
} frail;

static int begin_or_die(void **state, void *arg)
{
    *state = NULL;
    if (add_seq_cst(&((frail *)arg)->starts, 1) >= 2)
        _exit(1);
    return 0;
}

static void count_death(pid_t pid, int code, void *arg)
{
    (void)pid;
    (void)code;
    add_seq_cst(&((frail *)arg)->deaths, 1);
}

static bool has_died_often(void *arg)
{
    return load_seq_cst(&((frail *)arg)->deaths) > 10;
}

static int say_pid(weft_conn *c, void *arg)
{
    (void)arg;
    pid_t pid = getpid();
    return weft_conn_write(c, &pid, sizeof pid) < 0 ? -EPIPE : WEFT_CONN_CLOSE;
}

static pid_t ask_pid(unsigned port)
{
    pid_t pid = 0;
    int fd = client_open(port);
    client_say(fd, "x");
    client_recv_all(fd, &pid, sizeof pid);
    client_close(fd);
    return pid;
}

/* Half a minute of pauses: in `make soak`. */
TEST_LIMIT(120, supervisor_keeps_those_that_live_when_one_cannot)
{
    if (test_rounds(0, 1) == 0)
        return;
    frail *f = test_shared(sizeof *f);
    weft_server *s;
    weft_server_options o = {.handler = say_pid,
                             .arg = f,
                             .model = "prefork",
                             .processes = 2,
                             .state_open = begin_or_die,
                             .on_death = count_death};
    CHECK_OK(weft_server_open(&s, &o));
    CHECK_OK(weft_server_start(s));
    CHECK_INT(0, kill(ask_pid(weft_server_port(s)), SIGKILL));
    wait_until(has_died_often, f, "its deaths");
    CHECK(ask_pid(weft_server_port(s)) > 0);
    CHECK_ERR(-ETIMEDOUT, weft_server_wait(s, WEFT_NOW));
    serve_stop(s);
}
