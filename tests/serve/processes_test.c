/* processes_test.c - servers of several processes: who dies is replaced, but not for ever; nobody is left behind.
 * S001-101, S001-104, S001-139, S002-12. */
#include "serve/serve_support.h"

#include <weft/co.h>

#include "base/atomic.h"
#include "serve/processes.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Answers each line with the number of its process; `d` ends the process. */
static int tell_pid(weft_conn *c, void *arg)
{
    (void)arg;
    const void *bytes;
    char text[32];
    ssize_t n = weft_conn_fill(c, 0, &bytes, WEFT_FOREVER);
    if (n <= 0)
        return WEFT_CONN_CLOSE;
    if (*(const char *)bytes == 'd')
        _exit(3);
    weft_conn_consume(c, (size_t)n);
    snprintf(text, sizeof text, "%010d\n", (int)getpid());
    return weft_conn_write(c, text, strlen(text)) < 0 ? WEFT_CONN_CLOSE : WEFT_CONN_IDLE;
}

/* The process that serves this client; 0: it ended first. */
static pid_t ask_pid(int fd)
{
    char text[12] = "";
    size_t got = 0;
    if (send(fd, "p\n", 2, MSG_NOSIGNAL) != 2)
        return 0;
    while (got < 11) {
        ssize_t n = recv(fd, text + got, 11 - got, 0);
        if (n <= 0)
            return 0;
        got += (size_t)n;
    }
    return atoi(text);
}

static pid_t ask_new(unsigned port)
{
    int fd = client_open(port);
    pid_t pid = ask_pid(fd);
    client_close(fd);
    return pid;
}

static bool is_gone(void *arg)
{
    char path[32], text[512] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", *(pid_t *)arg);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return true;
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    char *state = strrchr(text, ')');
    return n == 0 || state == NULL || state[2] == 'Z' || state[2] == 'X';
}

/* Children of this process that have ended and that nobody has waited for. */
static void check_no_zombies(void)
{
    siginfo_t info = {0};
    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0)
        CHECK_INT(0, info.si_pid);
}

static weft_server *serve_pids(const char *model, unsigned processes)
{
    weft_server *s;
    CHECK_OK(weft_server_open(
        &s, &(weft_server_options){
                .handler = tell_pid, .model = model, .processes = processes, .threads = 2, .idle_timeout = -1}));
    CHECK_OK(weft_server_start(s));
    return s;
}

TEST(processes_refuse_options_without_sense)
{
    weft_server *s;
    weft_server_options o = {.handler = tell_pid, .processes = 100000};
    CHECK_ERR(-EINVAL, weft_server_open(&s, &o));
    o = (weft_server_options){.handler = tell_pid, .model = "process", .processes = 2};
    CHECK_ERR(-EINVAL, weft_server_open(&s, &o));
    o = (weft_server_options){.handler = tell_pid, .model = "select", .poller = "poll"};
    CHECK_ERR(-EINVAL, weft_server_open(&s, &o));
}

TEST(processes_say_how_many_clients_they_serve_at_a_time)
{
    static const struct {
        weft_server_options options;
        unsigned capacity;
    } cases[] = {
        {{.model = "iterative"}, 1},
        {{.model = "pool", .threads = 3}, 3},
        {{.model = "prefork"}, 8},
        {{.model = "prefork", .processes = 3}, 3},
        {{.model = "pool", .threads = 3, .processes = 2}, 6},
        {{.model = "process"}, 512},
        {{.model = "process", .max_connections = 7}, 7},
        {{.model = "thread", .max_connections = 7}, 7},
        {{.model = "epoll", .max_connections = 7, .processes = 2}, 14},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        weft_server *s;
        weft_server_options o = cases[i].options;
        o.handler = tell_pid;
        CHECK_OK(weft_server_open(&s, &o));
        CHECK_INT(cases[i].capacity, weft_server_capacity(s));
        weft_server_close(s);
    }
}

/* S001-104: a process for each client, and the parent keeps accepting. */
TEST(processes_each_client_has_its_own)
{
    weft_server *s = serve_pids("process", 0);
    int fds[5];
    pid_t pids[5];
    for (int i = 0; i < 5; i++) {
        fds[i] = client_open(weft_server_port(s));
        pids[i] = ask_pid(fds[i]);
        CHECK(pids[i] != 0 && pids[i] != getpid());
        for (int k = 0; k < i; k++)
            CHECK(pids[i] != pids[k]);
    }
    for (int i = 0; i < 5; i++) {
        CHECK_INT(pids[i], ask_pid(fds[i]));
        client_close(fds[i]);
    }
    wait_open(s, 0);
    for (int i = 0; i < 5; i++)
        wait_until(is_gone, &pids[i], "the end of a client's process");
    serve_stop(s);
    check_no_zombies();
}

typedef struct taken {
    line_service *service;
    weft_server *server;
    uint64_t count;
} taken;

static bool at_work(void *arg)
{
    const taken *t = arg;
    return load_seq_cst(&t->service->waiting) == t->count;
}

static bool refused(void *arg)
{
    const taken *t = arg;
    weft_server_stats stats;
    weft_server_get_stats(t->server, &stats);
    return stats.refused == t->count;
}

TEST(processes_full_of_work_turn_the_newcomer_away)
{
    line_service *service = line_service_new(false);
    weft_server *s = serve_lines(&serve_process, (weft_server_options){.max_connections = 3}, service);
    int fds[3];
    for (int i = 0; i < 3; i++) {
        fds[i] = client_open(weft_server_port(s));
        client_say(fds[i], "wait\n");
    }
    taken all = {service, s, 3};
    wait_until(at_work, &all, "all three at work");
    int fd = client_open(weft_server_port(s));
    client_expect(fd, "full\n");
    client_expect_end(fd);
    client_close(fd);
    line_service_go(service);
    for (int i = 0; i < 3; i++)
        client_expect(fds[i], "waited\n");
    client_close(fds[0]);
    wait_open(s, 2);
    fd = client_open(weft_server_port(s));
    client_expect_reply(fd, "echo in\n", "in\n");
    client_close(fd);
    client_close(fds[1]);
    client_close(fds[2]);
    CHECK_INT(1, server_stats(s).refused);
    CHECK_INT(0, server_stats(s).shed);
    serve_stop(s);
}

/* One has found that all are taken, and is killed before it has told the supervisor. */
static void kill_who_was_about_to_tell(weft_server *s)
{
    pid_t worker = serve_first_child(serve_first_child(getpid()));
    store_seq_cst(&s->front->full, 1);
    CHECK_INT(0, kill(worker, SIGKILL));
    wait_until(is_gone, &worker, "the end of the process");
}

/* Every process is taken, and so is every place in the line: the first in it is turned away, and the line moves up. */
static void overflow_line(const serve_kind *kind, unsigned places, unsigned each, void (*before)(weft_server *s))
{
    enum {
        LINE = 4,
        MORE = 3
    };
    line_service *service = line_service_new(false);
    weft_server *s = serve_lines(kind, (weft_server_options){.max_connections = each}, service);
    int served[32], line[LINE + MORE];
    if (before != NULL)
        before(s);
    for (unsigned i = 0; i < places; i++) {
        served[i] = client_open(weft_server_port(s));
        client_say(served[i], "wait\n");
    }
    taken all = {service, s, places};
    wait_until(at_work, &all, "everybody who is served at work");
    for (int i = 0; i < LINE + MORE; i++) {
        line[i] = client_open(weft_server_port(s));
        client_say(line[i], "echo x\nclose\n");
    }
    for (int i = 0; i < MORE; i++) {
        client_expect(line[i], "full\n");
        client_expect_end(line[i]);
        client_close(line[i]);
    }
    all.count = MORE;
    wait_until(refused, &all, "three refusals");
    line_service_go(service);
    for (unsigned i = 0; i < places; i++) {
        client_expect(served[i], "waited\n");
        client_close(served[i]);
    }
    for (int i = MORE; i < LINE + MORE; i++) {
        client_expect(line[i], "x\nbye\n");
        client_close(line[i]);
    }
    wait_open(s, 0);
    CHECK(refused(&all));
    serve_stop(s);
}

TEST(processes_all_taken_turn_away_whom_the_line_has_no_room_for_prefork)
{
    overflow_line(&serve_prefork, 2, 3, NULL);
}

TEST(processes_all_taken_turn_away_also_after_one_was_killed_that_was_about_to_say_so)
{
    overflow_line(&serve_prefork, 2, 3, kill_who_was_about_to_tell);
}

TEST(processes_all_taken_turn_away_whom_the_line_has_no_room_for_pool)
{
    overflow_line(&serve_forked_pool, 16, 10, NULL);
}

/* S002-12 and "no zombies": one that dies costs its own clients, and another takes its place. */
static void die_and_be_replaced(const char *model, unsigned processes, bool by_kill)
{
    weft_server *s = serve_pids(model, processes);
    unsigned port = weft_server_port(s);
    for (int i = 0; i < 3; i++) {
        int fd = client_open(port);
        pid_t pid = ask_pid(fd);
        CHECK(pid > 0);
        if (by_kill)
            CHECK_INT(0, kill(pid, SIGKILL));
        else
            client_say(fd, "d\n");
        client_expect_end(fd);
        client_close(fd);
        wait_until(is_gone, &pid, "the end of the process");
        for (int k = 0; k < 4; k++)
            CHECK(ask_new(port) != 0);
    }
    serve_stop(s);
    check_no_zombies();
}

TEST(processes_that_are_killed_are_replaced_prefork)
{
    die_and_be_replaced("prefork", 2, true);
}

TEST(processes_that_are_killed_are_replaced_epoll)
{
    die_and_be_replaced("epoll", 2, true);
}

TEST(processes_that_end_by_themselves_are_replaced_pool)
{
    die_and_be_replaced("pool", 2, false);
}

TEST(processes_that_end_by_themselves_process)
{
    die_and_be_replaced("process", 0, false);
}

/* ---- SIGTERM ---- */

struct deaths {
    uint32_t count; /* atomic, shared */
};

static void note_death(pid_t pid, int code, void *arg)
{
    (void)pid;
    (void)code;
    struct deaths *deaths = arg;
    add_seq_cst(&deaths->count, 1);
}

/* Who is asked to end by SIGTERM serves whom it has, and nobody new, ends when they leave, and is replaced: that is no
 * death. */
static void ask_to_end(const char *model, unsigned processes)
{
    struct deaths *deaths = test_shared(sizeof *deaths);
    weft_server *s;
    weft_server_options o = {.handler = tell_pid, .model = model, .processes = processes, .threads = 2};
    o.idle_timeout = -1;
    o.on_death = note_death;
    o.arg = deaths;
    CHECK_OK(weft_server_open(&s, &o));
    CHECK_OK(weft_server_start(s));
    unsigned port = weft_server_port(s);
    for (int i = 0; i < 6; i++) { /* without the pauses of those who die young */
        int fd = client_open(port);
        pid_t pid = ask_pid(fd);
        CHECK(pid > 0);
        CHECK_INT(0, kill(pid, SIGTERM));
        for (int k = 0; k < 3; k++)
            CHECK_INT(pid, ask_pid(fd));
        client_close(fd);
        wait_until(is_gone, &pid, "the end of the process");
        for (int k = 0; k < 4; k++)
            CHECK(ask_new(port) != pid);
    }
    CHECK_INT(0, load_seq_cst(&deaths->count));
    serve_stop(s);
    check_no_zombies();
}

TEST(processes_that_are_asked_to_end_finish_and_are_replaced_prefork)
{
    ask_to_end("prefork", 2);
}

TEST(processes_that_are_asked_to_end_finish_and_are_replaced_pool)
{
    ask_to_end("pool", 2);
}

TEST(processes_that_are_asked_to_end_finish_and_are_replaced_epoll)
{
    ask_to_end("epoll", 2);
}

TEST(processes_that_are_asked_to_end_finish_process)
{
    ask_to_end("process", 0);
}

struct asked {
    pid_t pid;
};

static bool is_gone_when_asked(void *arg)
{
    struct asked *asked = arg;
    (void)kill(asked->pid, SIGTERM);
    return is_gone(&asked->pid);
}

/* Asked again, it does not wait for its clients. */
static void ask_twice(const char *model, unsigned processes)
{
    weft_server *s = serve_pids(model, processes);
    int fd = client_open(weft_server_port(s));
    struct asked asked = {ask_pid(fd)};
    CHECK(asked.pid > 0);
    wait_until(is_gone_when_asked, &asked, "the end of the process");
    client_expect_end(fd);
    client_close(fd);
    CHECK(ask_new(weft_server_port(s)) != asked.pid);
    serve_stop(s);
}

TEST(processes_that_are_asked_twice_end_at_once_prefork)
{
    ask_twice("prefork", 2);
}

TEST(processes_that_are_asked_twice_end_at_once_epoll)
{
    ask_twice("epoll", 2);
}

TEST(processes_that_are_asked_twice_end_at_once_process)
{
    ask_twice("process", 0);
}

/* A program that has a handler of its own for the signal has it in all its processes. */
static void do_nothing(int which)
{
    (void)which;
}

TEST(processes_leave_a_handler_of_the_programs_own_alone)
{
    signal(SIGTERM, do_nothing);
    weft_server *s = serve_pids("prefork", 1);
    int fd = client_open(weft_server_port(s));
    pid_t pid = ask_pid(fd);
    CHECK(pid > 0);
    for (int i = 0; i < 20; i++) {
        CHECK_INT(0, kill(pid, SIGTERM));
        CHECK_INT(pid, ask_pid(fd));
    }
    client_close(fd);
    CHECK_INT(pid, ask_new(weft_server_port(s)));
    serve_stop(s);
}

/* Dies in its first moments in every process but the first ones. */
static int die_when_told(void **state, void *arg)
{
    uint32_t *left = arg;
    *state = NULL;
    if (load_seq_cst(left) == 0)
        _exit(1);
    sub_seq_cst(left, 1);
    return 0;
}

TEST_LIMIT(60, processes_that_die_at_once_end_the_server)
{
    weft_server *s;
    line_service *shared = line_service_new(false);
    shared->go = 1;
    weft_server_options o = {.handler = tell_pid, .arg = &shared->go, .model = "prefork", .processes = 1};
    o.state_open = die_when_told;
    CHECK_OK(weft_server_open(&s, &o));
    CHECK_OK(weft_server_start(s));
    pid_t pid = ask_new(weft_server_port(s));
    CHECK_INT(0, kill(pid, SIGKILL));
    CHECK_ERR(-ECHILD, weft_server_wait(s, weft_in_seconds(40 * test_limit_factor())));
    weft_server_close(s);
    check_no_zombies();
}

/* A server in another process, which is killed: nobody is left who holds the port. */
static void end_with_owner(const char *model, unsigned processes)
{
    int out[2];
    CHECK_INT(0, pipe(out));
    pid_t owner = fork();
    if (owner == 0) {
        weft_server *s = serve_pids(model, processes);
        unsigned port = weft_server_port(s);
        if (write(out[1], &port, sizeof port) != (ssize_t)sizeof port)
            _exit(1);
        for (;;)
            pause();
    }
    unsigned port;
    int fds[4];
    pid_t pids[4];
    CHECK_INT(sizeof port, read(out[0], &port, sizeof port));
    for (int i = 0; i < 4; i++) {
        fds[i] = client_open(port);
        pids[i] = ask_pid(fds[i]);
        CHECK(pids[i] > 0);
    }
    CHECK_INT(0, kill(owner, SIGKILL));
    CHECK_INT(owner, waitpid(owner, NULL, 0));
    for (int i = 0; i < 4; i++) {
        client_expect_end(fds[i]);
        wait_until(is_gone, &pids[i], "the end of a worker");
        client_close(fds[i]);
    }
    weft_server *other = NULL;
    weft_server_options o = {.handler = tell_pid, .port = port};
    weft_until limit = weft_in_seconds(25 * test_limit_factor());
    int err;
    while ((err = weft_server_open(&other, &o)) == -EADDRINUSE && weft_left(limit) > 0) /* the supervisor is ending */
        usleep(1000);
    CHECK_OK(err);
    weft_server_close(other);
    close(out[0]);
    close(out[1]);
}

TEST(processes_end_with_an_owner_that_is_killed_prefork)
{
    end_with_owner("prefork", 4);
}

TEST(processes_end_with_an_owner_that_is_killed_epoll)
{
    end_with_owner("epoll", 2);
}

TEST(processes_end_with_an_owner_that_is_killed_process)
{
    end_with_owner("process", 0);
}

/* A process that does not end by itself is killed a second after the grace. */
static int compute_for_ever(weft_conn *c, void *arg)
{
    (void)c;
    add_seq_cst((uint32_t *)arg, 1);
    for (volatile int i = 0; i >= 0;)
        i = i < 1000 ? i + 1 : 0;
    return WEFT_CONN_CLOSE;
}

static bool computes(void *arg)
{
    return load_seq_cst((uint32_t *)arg) != 0;
}

TEST(processes_that_do_not_stop_are_killed_after_the_grace)
{
    weft_server *s;
    line_service *shared = line_service_new(false);
    weft_server_options o = {.handler = compute_for_ever, .arg = &shared->go, .model = "prefork", .processes = 1};
    CHECK_OK(weft_server_open(&s, &o));
    CHECK_OK(weft_server_start(s));
    int fd = client_open(weft_server_port(s));
    client_say(fd, "x");
    wait_until(computes, &shared->go, "the handler");
    weft_server_stop(s, weft_in_ms(50));
    CHECK_OK(weft_server_wait(s, weft_in_seconds(9 * test_limit_factor())));
    client_expect_end(fd);
    client_close(fd);
    weft_server_close(s);
    check_no_zombies();
}

static int stop_server(weft_conn *c, void *arg)
{
    const weft_until *grace = arg;
    weft_server_stop(weft_conn_server(c), *grace);
    return weft_conn_write(c, "bye\n", 4) < 0 ? -EPIPE : WEFT_CONN_CLOSE;
}

/* Whoever of them is asked: the whole server stops, and its owner is told of no failure. */
static void stop_by_a_handler(const char *model, weft_until grace)
{
    weft_server *s;
    weft_server_options o = {
        .handler = stop_server, .arg = &grace, .model = model, .processes = model[0] == 'e' ? 3 : 0};
    CHECK_OK(weft_server_open(&s, &o));
    CHECK_OK(weft_server_start(s));
    int fd = client_open(weft_server_port(s));
    client_expect_reply(fd, "x", "bye\n");
    client_expect_end(fd);
    client_close(fd);
    CHECK_OK(weft_server_wait(s, weft_in_seconds(25 * test_limit_factor())));
    weft_server_close(s);
}

TEST(processes_all_stop_when_a_handler_says_so)
{
    stop_by_a_handler("epoll", weft_in_ms(5000));
}

TEST(processes_stop_when_a_handler_says_so_and_gives_them_all_the_time_epoll)
{
    stop_by_a_handler("epoll", WEFT_FOREVER);
}

TEST(processes_stop_when_a_handler_says_so_and_gives_them_all_the_time_process)
{
    stop_by_a_handler("process", WEFT_FOREVER);
}

static pid_t owner;

static int hear_when_it_may(int what, void *service)
{
    (void)what;
    while (getpid() != owner && !load_seq_cst(&((line_service *)service)->go))
        (void)weft_sleep(weft_in_ms(1));
    return 0;
}

/* ... however many other things they were told before and have not heard yet. */
TEST(processes_stop_also_behind_a_thousand_tells)
{
    line_service *service = line_service_new(false);
    owner = getpid();
    weft_server *s = serve_lines(&serve_prefork, (weft_server_options){.on_tell = hear_when_it_may}, service);
    for (int i = 0; i < 1000; i++)
        CHECK_ERR(-ETIMEDOUT, weft_server_tell(s, i, WEFT_NOW));
    weft_server_stop(s, WEFT_NOW);
    line_service_go(service);
    CHECK_OK(weft_server_wait(s, WEFT_FOREVER));
    weft_server_close(s);
}

/* ---- who is woken ---- */

static unsigned long sleeps_of_thread(const char *path)
{
    unsigned long n = 0;
    char line[128];
    FILE *f = fopen(path, "re");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, "voluntary_ctxt_switches: %lu", &n) == 1)
            break;
    if (f != NULL)
        fclose(f);
    return n;
}

/* How often the processes below this one have gone to sleep. */
static unsigned long sleeps_below(pid_t pid, bool itself)
{
    char path[300];
    unsigned long sum = 0;
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *tasks = opendir(path);
    for (struct dirent *e; tasks != NULL && (e = readdir(tasks)) != NULL;) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "/proc/%d/task/%s/status", (int)pid, e->d_name);
        if (itself)
            sum += sleeps_of_thread(path);
        snprintf(path, sizeof path, "/proc/%d/task/%s/children", (int)pid, e->d_name);
        FILE *f = fopen(path, "re");
        for (int child; f != NULL && fscanf(f, "%d", &child) == 1;)
            sum += sleeps_below(child, true);
        if (f != NULL)
            fclose(f);
    }
    if (tasks != NULL)
        closedir(tasks);
    return sum;
}

/* A connection wakes one of the processes that sleep, and not all of them: S001-139. */
static void wake_one(const char *model)
{
    enum {
        HERD = 16,
        CLIENTS = 100,
        SLEEPS = 6 /* for a client: it is accepted, it asks, it leaves */
    };
    weft_server *s = serve_pids(model, HERD);
    unsigned port = weft_server_port(s);
    for (int i = 0; i < HERD; i++) /* all have slept by then */
        CHECK(ask_new(port) > 0);
    unsigned long before = sleeps_below(getpid(), false);
    for (int i = 0; i < CLIENTS; i++)
        CHECK(ask_new(port) > 0);
    unsigned long slept = sleeps_below(getpid(), false) - before;
    CHECK(before > 0);
    if (test_limit_factor() == 1) /* else there are threads beside ours that wake by themselves */
        CHECK(slept <= SLEEPS * CLIENTS);
    serve_stop(s);
}

TEST(processes_are_not_all_woken_for_a_connection_epoll)
{
    wake_one("epoll");
}

TEST(processes_are_not_all_woken_for_a_connection_epoll_et)
{
    wake_one("epoll-et");
}

TEST(processes_are_not_all_woken_for_a_connection_uring)
{
    wake_one("uring");
}

struct gate {
    int opened[2], go[2];
};

static int pass_gate(weft_conn *c, void *arg)
{
    struct gate *g = arg;
    char byte = 0;
    (void)c;
    return write(g->opened[1], &byte, 1) == 1 && read(g->go[0], &byte, 1) == 1 ? 0 : -EIO;
}

/* Whoever comes while a process lets in the last one that it has room for, and is thus not told of any more, is served
 * all the same: the process leaves the kernel's list only after it has been woken for a newcomer that others do not
 * know of. */
static void come_as_it_fills(const char *model)
{
    struct gate g;
    CHECK_INT(0, pipe(g.opened));
    CHECK_INT(0, pipe(g.go));
    weft_server *s;
    weft_server_options o = {
        .handler = tell_pid, .on_open = pass_gate, .arg = &g, .model = model, .processes = 2, .max_connections = 1};
    CHECK_OK(weft_server_open(&s, &o));
    CHECK_OK(weft_server_start(s));
    char byte;
    int first = client_open(weft_server_port(s));
    CHECK_INT(1, read(g.opened[0], &byte, 1));
    int second = client_open(weft_server_port(s));
    CHECK_INT(2, write(g.go[1], "go", 2));
    CHECK(ask_pid(first) > 0);
    CHECK(ask_pid(second) > 0);
    client_close(first);
    client_close(second);
    serve_stop(s);
    for (int i = 0; i < 2; i++) {
        close(g.opened[i]);
        close(g.go[i]);
    }
}

TEST(processes_serve_who_comes_as_one_of_them_fills_up_epoll)
{
    come_as_it_fills("epoll");
}

TEST(processes_serve_who_comes_as_one_of_them_fills_up_epoll_et)
{
    come_as_it_fills("epoll-et");
}

TEST(processes_serve_who_comes_as_one_of_them_fills_up_uring)
{
    come_as_it_fills("uring");
}

TEST(processes_serve_who_comes_as_one_of_them_fills_up_coroutine)
{
    come_as_it_fills("coroutine");
}

/* Who holds more than the others is woken after them, so clients that stay come to all. */
static void spread(const char *model)
{
    enum {
        PLACES = 4,
        STAY_MOST = 400 /* enough on a machine that is slow to let them all sleep */
    };
    int fds[STAY_MOST];
    pid_t seen[PLACES];
    unsigned n = 0, clients = 0;
    weft_server *s = serve_pids(model, PLACES);
    while (n < PLACES && clients < STAY_MOST) {
        unsigned k = 0;
        fds[clients] = client_open(weft_server_port(s));
        pid_t pid = ask_pid(fds[clients++]);
        CHECK(pid > 0);
        while (k < n && seen[k] != pid)
            k++;
        if (k == n)
            seen[n++] = pid;
    }
    CHECK_INT(PLACES, n);
    while (clients > 0)
        client_close(fds[--clients]);
    serve_stop(s);
}

TEST(processes_share_clients_that_stay_epoll)
{
    spread("epoll");
}

TEST(processes_share_clients_that_stay_epoll_et)
{
    spread("epoll-et");
}
