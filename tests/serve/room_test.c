/* room_test.c - model "process": who is idle makes room for newcomers, loses no request by it, and nobody waits for who
 * does not go. Mission: limits; S001-30, S001-104. */
#include "serve/serve_support.h"

#include "base/atomic.h"
#include "serve/processes.h"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- a handler that counts what it has begun ---- */

typedef struct ledger {
    uint32_t begun;    /* atomic, shared: requests that were read */
    uint32_t answered; /* atomic, of the clients: answers that were read */
    uint32_t over;     /* atomic: no more requests */
    uint32_t newcomers;
    unsigned port;
} ledger;

/* Each byte is a request, and is answered with the number of its process and whether it is crowded. */
static int tell_pid(weft_conn *c, void *arg)
{
    ledger *l = arg;
    const void *bytes;
    char text[32];
    if (weft_conn_fill(c, 0, &bytes, WEFT_FOREVER) <= 0)
        return WEFT_CONN_CLOSE;
    add_seq_cst(&l->begun, 1);
    weft_conn_consume(c, 1);
    sched_yield(); /* others may ask it to leave meanwhile */
    snprintf(text, sizeof text, "%010d %d\n", (int)getpid(), weft_conn_crowded(c));
    return weft_conn_write(c, text, strlen(text)) < 0 ? WEFT_CONN_CLOSE : WEFT_CONN_IDLE;
}

typedef struct reply {
    pid_t pid; /* 0: the connection ended, or it was turned away, without an answer */
    bool crowded;
} reply;

static reply read_reply(int fd)
{
    char text[14] = "";
    size_t got = 0;
    for (ssize_t n; got < 13; got += (size_t)n)
        if ((n = client_try_recv(fd, text + got, 13 - got)) <= 0)
            break;
    if (got == 0 || memcmp(text, "full", 4) == 0)
        return (reply){0};
    CHECK_INT(13, got); /* never a part of one */
    return (reply){atoi(text), text[11] == '1'};
}

static reply ask(int fd)
{
    (void)client_try_send(fd, "?", 1);
    return read_reply(fd);
}

static size_t say_full(char *text, size_t size, void *arg)
{
    (void)arg;
    return (size_t)snprintf(text, size, "full");
}

static weft_server *serve_pids(const serve_kind *kind, unsigned places, ledger *l)
{
    weft_server_options o = {.handler = tell_pid, .arg = l, .max_connections = places, .idle_timeout = -1};
    o.on_refuse = say_full;
    weft_server *s = serve_start(kind, o);
    l->port = weft_server_port(s);
    return s;
}

/* ---- newcomers ---- */

static void let_newcomers_in(const serve_kind *kind, const char *first)
{
    enum {
        PLACES = 8,
        ROUNDS = 40
    };
    ledger *l = test_shared(sizeof *l);
    weft_server *s = serve_pids(kind, PLACES, l);
    int fds[PLACES + ROUNDS];
    for (int i = 0; i < PLACES; i++) {
        fds[i] = client_open(l->port);
        if (*first != 0)
            CHECK(ask(fds[i]).pid != 0);
    }
    wait_open(s, PLACES);
    for (int i = PLACES; i < PLACES + ROUNDS; i++) {
        fds[i] = client_open(l->port);
        CHECK(ask(fds[i]).pid != 0); /* at the first attempt */
    }
    for (int i = 0; i < ROUNDS; i++) /* in the order in which they came, to what the coarse clock tells apart */
        client_close(fds[i]);
    for (int i = ROUNDS; i < PLACES + ROUNDS; i++)
        client_close(fds[i]);
    wait_open(s, 0);
    CHECK_INT(ROUNDS, server_stats(s).shed);
    CHECK_INT(0, server_stats(s).refused);
    CHECK_INT(PLACES + ROUNDS, server_stats(s).accepted);
    serve_stop(s);
}

TEST(room_is_made_by_clients_that_are_idle)
{
    let_newcomers_in(&serve_process, "?");
}

TEST(room_is_made_by_clients_that_have_never_said_a_word)
{
    let_newcomers_in(&serve_process, "");
}

TEST_LIMIT(60, room_is_made_by_clients_that_are_idle_tls)
{
    let_newcomers_in(&serve_tls_process, "?");
}

/* They have begun no handshake. */
TEST_LIMIT(60, room_is_made_by_clients_that_have_never_said_a_word_tls)
{
    let_newcomers_in(&serve_tls_process, "");
}

/* ---- nothing is lost ---- */

/* What is known of clients with TLS stands by their descriptors, which threads pass on to each other here. */
static pthread_mutex_t door = PTHREAD_MUTEX_INITIALIZER;

static int enter(const ledger *l)
{
    pthread_mutex_lock(&door);
    int fd = client_open(l->port);
    pthread_mutex_unlock(&door);
    return fd;
}

static void leave(int fd)
{
    pthread_mutex_lock(&door);
    client_close(fd);
    pthread_mutex_unlock(&door);
}

/* Asks again and again, and comes back whenever it had to leave. */
static void *be_regular(void *arg)
{
    ledger *l = arg;
    int fd = -1;
    while (!load_seq_cst(&l->over)) {
        if (fd < 0)
            fd = enter(l);
        if (ask(fd).pid != 0) {
            add_seq_cst(&l->answered, 1);
            continue;
        }
        leave(fd);
        fd = -1;
    }
    if (fd >= 0)
        leave(fd);
    return NULL;
}

static void *come_and_go(void *arg)
{
    ledger *l = arg;
    for (int i = 0; i < 150; i++) {
        int fd = enter(l);
        if (ask(fd).pid != 0) {
            add_seq_cst(&l->answered, 1);
            add_seq_cst(&l->newcomers, 1);
        }
        leave(fd);
    }
    return NULL;
}

/* Who is asked to leave as its next request begins answers it: what was begun was answered, whole. */
static void lose_nothing(const serve_kind *kind)
{
    enum {
        REGULARS = 4
    };
    ledger *l = test_shared(sizeof *l);
    weft_server *s = serve_pids(kind, REGULARS - 1, l);
    pthread_t regulars[REGULARS], newcomers;
    for (int i = 0; i < REGULARS; i++)
        CHECK_INT(0, pthread_create(&regulars[i], NULL, be_regular, l));
    CHECK_INT(0, pthread_create(&newcomers, NULL, come_and_go, l));
    CHECK_INT(0, pthread_join(newcomers, NULL));
    store_seq_cst(&l->over, 1);
    for (int i = 0; i < REGULARS; i++)
        CHECK_INT(0, pthread_join(regulars[i], NULL));
    wait_open(s, 0);
    CHECK(server_stats(s).shed > 0);
    CHECK(load_seq_cst(&l->newcomers) > 0);
    CHECK_INT(load_seq_cst(&l->begun), load_seq_cst(&l->answered));
    serve_stop(s);
}

TEST_LIMIT(60, room_is_made_without_the_loss_of_a_request)
{
    lose_nothing(&serve_process);
}

TEST_LIMIT(120, room_is_made_without_the_loss_of_a_request_tls)
{
    lose_nothing(&serve_tls_process);
}

/* ---- who does not go ---- */

static bool is_stopped(void *arg)
{
    char path[300], text[512];
    bool all = true;
    snprintf(path, sizeof path, "/proc/%d/task", *(pid_t *)arg);
    DIR *threads = opendir(path);
    CHECK(threads != NULL);
    for (struct dirent *e; (e = readdir(threads)) != NULL;) {
        snprintf(path, sizeof path, "/proc/%d/task/%s/stat", *(pid_t *)arg, e->d_name);
        FILE *f = e->d_name[0] != '.' ? fopen(path, "re") : NULL;
        if (f == NULL)
            continue;
        text[fread(text, 1, sizeof text - 1, f)] = 0;
        fclose(f);
        const char *state = strrchr(text, ')');
        all &= state != NULL && state[2] == 'T';
    }
    closedir(threads);
    return all;
}

/* A signal does so some time after it was sent. */
static void stop_process(pid_t pid)
{
    CHECK_INT(0, kill(pid, SIGSTOP));
    wait_until(is_stopped, &pid, "the process stopped");
}

/* Who is stopped hears of it later: what has been asked by then is answered, and is known to be the last. */
TEST(room_that_is_made_late_answers_what_was_asked_before)
{
    ledger *l = test_shared(sizeof *l);
    weft_server *s = serve_pids(&serve_process, 2, l);
    int slow = client_open(l->port), other, fd;
    pid_t pid = ask(slow).pid;
    usleep(300000); /* longer than the grain in which the order is kept */
    other = client_open(l->port);
    CHECK(pid != 0 && ask(other).pid != 0);
    stop_process(pid);
    fd = client_open(l->port);
    CHECK(ask(fd).pid != 0); /* not kept waiting by who is stopped */
    client_close(fd);
    CHECK_INT(1, server_stats(s).shed);
    client_say(slow, "?");
    CHECK_INT(0, kill(pid, SIGCONT));
    reply r = read_reply(slow);
    CHECK_INT(pid, r.pid);
    CHECK(r.crowded);
    client_expect_end(slow);
    CHECK(!ask(other).crowded);
    client_close(slow);
    client_close(other);
    wait_open(s, 0);
    serve_stop(s);
}

typedef struct idlers {
    weft_server *server;
    unsigned count;
} idlers;

/* So many show that they wait for a request. */
static bool have_shown(void *arg)
{
    const idlers *i = arg;
    unsigned n = 0;
    for (unsigned k = 0; k < weft__processes_seats(i->server); k++)
        n += (load_relaxed(&i->server->front->seats[k].waits) & 0xff) == WEFT__SEAT_IDLES;
    return n == i->count;
}

/* However many are stopped, newcomers are served or told; when they go on, they go. */
TEST_LIMIT(60, room_is_not_waited_for_however_many_do_not_make_it)
{
    enum {
        MOST = 200
    };
    ledger *l = test_shared(sizeof *l);
    weft_server *s = serve_pids(&serve_process, 2, l);
    int fds[MOST], served = 0;
    pid_t pids[MOST];
    int64_t longest = 0;
    while (served < MOST) {
        int64_t begin = weft_now();
        int fd = client_open(l->port);
        pid_t pid = ask(fd).pid;
        int64_t taken = weft_now() - begin;
        longest = taken > longest ? taken : longest;
        if (pid == 0) {
            client_close(fd);
            break;
        }
        fds[served] = fd;
        pids[served++] = pid;
        wait_until(have_shown, &(idlers){s, (unsigned)served}, "the newcomer idle");
        stop_process(pid);
    }
    CHECK_BETWEEN(2 + 1, MOST - 1, served);
    CHECK(server_stats(s).refused > 0);
    CHECK(longest < 5 * WEFT_SECOND * test_limit_factor());
    for (int i = 0; i < served; i++)
        CHECK_INT(0, kill(pids[i], SIGCONT));
    int fd;
    while (fd = client_open(l->port), ask(fd).pid == 0)
        client_close(fd);
    client_close(fd);
    for (int i = 0; i < served; i++)
        client_close(fds[i]);
    wait_open(s, 0);
    serve_stop(s);
}
