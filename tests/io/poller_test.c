/* poller_test.c - the public poller and weft_fd_wait, in a thread and in coroutines. Rows S001-114 to S001-126 of the
 * mission: register, modify, unregister, wait; 1024 descriptors for select; level and edge. */
#include "io/io_support.h"

#include <weft/co.h>

#include "co/sched.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

/* A case for each kind of public poller, in a thread and in a coroutine. */
#define TEST_SETS(name)                                                                                                \
    static void name(test *t, const char *kind);                                                                       \
    TEST_IN(THREAD | CO, name##_select)                                                                                \
    {                                                                                                                  \
        name(t, "select");                                                                                             \
    }                                                                                                                  \
    TEST_IN(THREAD | CO, name##_poll)                                                                                  \
    {                                                                                                                  \
        name(t, "poll");                                                                                               \
    }                                                                                                                  \
    TEST_IN(THREAD | CO, name##_epoll)                                                                                 \
    {                                                                                                                  \
        name(t, "epoll");                                                                                              \
    }                                                                                                                  \
    TEST_IN(THREAD | CO, name##_epoll_et)                                                                              \
    {                                                                                                                  \
        name(t, "epoll-et");                                                                                           \
    }                                                                                                                  \
    TEST_IN(THREAD | CO, name##_uring)                                                                                 \
    {                                                                                                                  \
        name(t, "uring");                                                                                              \
    }                                                                                                                  \
    static void name(__attribute__((unused)) test *t, __attribute__((unused)) const char *kind)

static weft_poller *open_set(const char *kind)
{
    weft_poller *set;
    CHECK_OK(weft_poller_open(&set, kind));
    if (strcmp(kind, "uring") != 0)
        CHECK_STR(kind, weft_poller_kind(set));
    return set;
}

static bool is_edge(const weft_poller *set)
{
    return strcmp(weft_poller_kind(set), "epoll-et") == 0 || strcmp(weft_poller_kind(set), "uring") == 0;
}

TEST_SETS(poller_set_tells_what_was_registered)
{
    weft_poller *set = open_set(kind);
    weft_poll_event events[8];
    int a[2], b[2], state;
    io_tcp_pair(a);
    io_tcp_pair(b);
    CHECK_ERR(-ETIMEDOUT, weft_poller_wait(set, events, 8, WEFT_NOW));
    CHECK_OK(weft_poller_register(set, a[0], WEFT_POLLIN, &state));
    CHECK_OK(weft_poller_register(set, b[0], WEFT_POLLIN, NULL));
    CHECK_ERR(-EEXIST, weft_poller_register(set, a[0], WEFT_POLLIN, NULL)); /* S001-117 */
    CHECK_ERR(-EINVAL, weft_poller_wait(set, events, 0, WEFT_NOW));
    CHECK_ERR(-ETIMEDOUT, weft_poller_wait(set, events, 8, WEFT_NOW));
    CHECK_ERR(-ETIMEDOUT, weft_poller_wait(set, events, 8, weft_in_ms(10)));
    io_write(a[1], "x", 1);
    CHECK_INT(1, weft_poller_wait(set, events, 8, io_patience()));
    CHECK_INT(a[0], events[0].fd);
    CHECK_INT(WEFT_POLLIN, events[0].events);
    CHECK_PTR(&state, events[0].data);
    CHECK_OK(weft_poller_modify(set, a[0], WEFT_POLLOUT, set)); /* S001-116, S001-121 */
    CHECK_INT(1, weft_poller_wait(set, events, 8, io_patience()));
    CHECK_INT(WEFT_POLLOUT, events[0].events);
    CHECK_PTR(set, events[0].data);
    CHECK_OK(weft_poller_modify(set, a[0], WEFT_POLLIN, NULL)); /* what is so already is told after a change */
    CHECK_INT(1, weft_poller_wait(set, events, 8, io_patience()));
    CHECK_INT(WEFT_POLLIN, events[0].events);
    CHECK_OK(weft_poller_unregister(set, a[0]));
    CHECK_ERR(-ENOENT, weft_poller_unregister(set, a[0]));
    CHECK_ERR(-ENOENT, weft_poller_modify(set, a[0], WEFT_POLLIN, NULL));
    CHECK_ERR(-ENOENT, weft_poller_modify(set, 100000, WEFT_POLLIN, NULL));
    CHECK_ERR(-ETIMEDOUT, weft_poller_wait(set, events, 8, weft_in_ms(10)));
    CHECK_OK(weft_poller_register(set, a[0], WEFT_POLLIN, NULL)); /* again */
    CHECK_INT(1, weft_poller_wait(set, events, 8, io_patience()));
    weft_poller_close(set); /* the descriptors stay open */
    io_write(a[1], "x", 1);
    for (int i = 0; i < 2; i++) {
        close(a[i]);
        close(b[i]);
    }
    io_settle();
}

/* Whoever closes it then is heard by the peer at once, whatever the poller does next. */
TEST_SETS(poller_set_knows_what_was_registered)
{
    weft_poller *set = open_set(kind);
    weft_poll_event as;
    int a[2];
    io_tcp_pair(a);
    CHECK_INT(0, weft_poller_count(set));
    CHECK_ERR(-ENOENT, weft_poller_find(set, a[0], &as));
    CHECK_ERR(-ENOENT, weft_poller_find(set, -1, &as));
    CHECK_OK(weft_poller_register(set, a[0], WEFT_POLLIN, "data"));
    CHECK_OK(weft_poller_modify(set, a[0], WEFT_POLLIN | WEFT_POLLOUT, "other"));
    CHECK_OK(weft_poller_find(set, a[0], &as));
    CHECK_INT(a[0], as.fd);
    CHECK_INT(WEFT_POLLIN | WEFT_POLLOUT, as.events);
    CHECK_STR("other", as.data);
    CHECK_OK(weft_poller_find(set, a[0], NULL));
    CHECK_INT(1, weft_poller_count(set));
    CHECK_OK(weft_poller_unregister(set, a[0]));
    CHECK_ERR(-ENOENT, weft_poller_find(set, a[0], &as));
    CHECK_INT(0, weft_poller_count(set));
    weft_poller_close(set);
    close(a[0]);
    close(a[1]);
    io_settle();
}

TEST_SETS(poller_set_lets_go_of_what_was_unregistered)
{
    for (int how = 0; how < 2; how++) {
        weft_poller *set = open_set(kind);
        weft_poll_event event;
        int a[2];
        char byte;
        CHECK_INT(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, a));
        CHECK_OK(weft_poller_register(set, a[0], WEFT_POLLIN, NULL));
        CHECK_ERR(-ETIMEDOUT, weft_poller_wait(set, &event, 1, WEFT_NOW));
        if (how == 0)
            CHECK_OK(weft_poller_unregister(set, a[0]));
        else
            weft_poller_close(set);
        close(a[0]);
        CHECK_INT(0, recv(a[1], &byte, 1, 0));
        close(a[1]);
        if (how == 0)
            weft_poller_close(set);
    }
    io_settle();
}

/* S001-126: level keeps telling until it is handled, edge tells a change once. */
TEST_SETS(poller_set_level_tells_again_edge_once)
{
    weft_poller *set = open_set(kind);
    weft_poll_event events[8];
    int a[2];
    io_tcp_pair(a);
    CHECK_OK(weft_poller_register(set, a[0], WEFT_POLLIN, NULL));
    io_write(a[1], "x", 1);
    CHECK_INT(1, weft_poller_wait(set, events, 8, io_patience()));
    for (int i = 0; i < 3; i++)
        CHECK_INT(is_edge(set) ? -ETIMEDOUT : 1, weft_poller_wait(set, events, 8, weft_in_ms(10)));
    io_write(a[1], "y", 1); /* a new change: told again */
    CHECK_INT(1, weft_poller_wait(set, events, 8, io_patience()));
    weft_poller_close(set);
    close(a[0]);
    close(a[1]);
    io_settle();
}

TEST_SETS(poller_set_tells_hang_ups)
{
    weft_poller *set = open_set(kind);
    weft_poll_event events[8];
    int a[2];
    io_tcp_pair(a);
    CHECK_OK(weft_poller_register(set, a[0], WEFT_POLLIN | WEFT_POLLRDHUP, NULL));
    close(a[1]);
    CHECK_INT(1, weft_poller_wait(set, events, 8, io_patience()));
    CHECK(events[0].events & WEFT_POLLIN);
    CHECK(events[0].events & WEFT_POLLRDHUP);
    weft_poller_close(set);
    close(a[0]);
    io_settle();
}

/* Both directions have ended: told to who asked for input alone, by every kind. */
TEST_SETS(poller_set_tells_hang_ups_beside_input)
{
    weft_poller *set = open_set(kind);
    weft_poll_event event;
    int a[2];
    io_tcp_pair(a);
    CHECK_OK(weft_poller_register(set, a[0], WEFT_POLLIN, NULL));
    CHECK_OK(shutdown(a[0], SHUT_WR));
    CHECK_OK(shutdown(a[1], SHUT_WR));
    do { /* an edge may be told for each of both */
        CHECK_INT(1, weft_poller_wait(set, &event, 1, io_patience()));
        CHECK(event.events & WEFT_POLLIN);
    } while (is_edge(set) && !(event.events & WEFT_POLLHUP));
    CHECK_INT(WEFT_POLLIN | WEFT_POLLHUP, event.events);
    weft_poller_close(set);
    close(a[0]);
    close(a[1]);
    io_settle();
}

/* An end that is no input is not told as input. */
TEST_SETS(poller_set_tells_a_hang_up_as_what_it_is)
{
    weft_poller *set = open_set(kind);
    weft_poll_event event;
    int fds[2];
    CHECK_OK(pipe(fds));
    CHECK_OK(weft_poller_register(set, fds[0], WEFT_POLLIN, NULL));
    close(fds[1]);
    CHECK_INT(1, weft_poller_wait(set, &event, 1, io_patience()));
    CHECK_INT(WEFT_POLLHUP, event.events);
    weft_poller_close(set);
    close(fds[0]);
    io_settle();
}

/* Asked for anew, it is told anew, without a wait. */
TEST_SETS(poller_set_tells_what_is_so_when_it_is_modified)
{
    weft_poller *set = open_set(kind);
    weft_poll_event event;
    int a[2];
    io_tcp_pair(a);
    CHECK_OK(weft_poller_register(set, a[0], WEFT_POLLIN, NULL));
    CHECK_ERR(-ETIMEDOUT, weft_poller_wait(set, &event, 1, WEFT_NOW));
    for (int i = 0; i < 5; i++) {
        CHECK_OK(weft_poller_modify(set, a[0], i % 2 == 0 ? WEFT_POLLOUT : WEFT_POLLIN | WEFT_POLLOUT, NULL));
        CHECK_INT(1, weft_poller_wait(set, &event, 1, WEFT_NOW));
        CHECK_INT(WEFT_POLLOUT, event.events);
    }
    weft_poller_close(set);
    close(a[0]);
    close(a[1]);
    io_settle();
}

/* What is told in vain, because nobody wants it any more, keeps nothing else from being told, without a wait. */
TEST_SETS(poller_set_tells_the_rest_when_one_is_wanted_no_more)
{
    enum {
        N = 5
    };
    weft_poller *set = open_set(kind);
    weft_poll_event events[N];
    int fds[N], n;
    for (int unwanted = 0; unwanted < N; unwanted++) {
        for (int i = 0; i < N; i++) {
            fds[i] = weft__sys_eventfd();
            weft__sys_eventfd_set(fds[i]);
            CHECK_OK(weft_poller_register(set, fds[i], WEFT_POLLIN, NULL));
        }
        for (int i = 0; i <= unwanted; i++)
            CHECK_OK(weft_poller_modify(set, fds[i], 0, NULL));
        n = weft_poller_wait(set, events, N, WEFT_NOW);
        CHECK_INT(unwanted == N - 1 ? -ETIMEDOUT : N - 1 - unwanted, n);
        for (int i = 0; i < N; i++) {
            CHECK_OK(weft_poller_unregister(set, fds[i]));
            close(fds[i]);
        }
    }
    weft_poller_close(set);
    io_settle();
}

/* Who wants to know of the peer's end alone is not kept awake by its bytes, and told when it has come. */
TEST_SETS(poller_set_tells_the_peers_end_to_who_wants_nothing_else)
{
    weft_poller *set = open_set(kind);
    weft_poll_event events[8];
    int a[2];
    io_tcp_pair(a);
    CHECK_OK(weft_poller_register(set, a[0], WEFT_POLLRDHUP, NULL));
    io_write(a[1], "x", 1);
    CHECK_ERR(-ETIMEDOUT, weft_poller_wait(set, events, 8, weft_in_ms(5)));
    CHECK_OK(shutdown(a[1], SHUT_WR));
    CHECK_INT(1, weft_poller_wait(set, events, 8, io_patience()));
    CHECK_INT(WEFT_POLLRDHUP, events[0].events);
    CHECK_OK(weft_poller_modify(set, a[0], WEFT_POLLPRI, NULL));
    CHECK_ERR(-ETIMEDOUT, weft_poller_wait(set, events, 8, weft_in_ms(5)));
    CHECK_OK(shutdown(a[0], SHUT_WR)); /* both directions: always told */
    CHECK_INT(1, weft_poller_wait(set, events, 8, io_patience()));
    CHECK_INT(WEFT_POLLHUP, events[0].events);
    weft_poller_close(set);
    close(a[0]);
    close(a[1]);
    io_settle();
}

/* An urgent byte, which is none of the stream's others. */
TEST_SETS(poller_set_tells_urgent_data)
{
    weft_poller *set = open_set(kind);
    weft_poll_event event;
    int a[2];
    char byte;
    io_tcp_pair(a);
    CHECK_OK(weft_poller_register(set, a[0], WEFT_POLLIN | WEFT_POLLPRI, NULL));
    CHECK_INT(1, send(a[1], "!", 1, MSG_OOB));
    CHECK_INT(1, weft_poller_wait(set, &event, 1, io_patience()));
    CHECK_INT(WEFT_POLLPRI, event.events);
    CHECK_INT(1, recv(a[0], &byte, 1, MSG_OOB));
    CHECK_ERR(-ETIMEDOUT, weft_poller_wait(set, &event, 1, weft_in_ms(5)));
    weft_poller_close(set);
    close(a[0]);
    close(a[1]);
    io_settle();
}

/* ---- after fork ---- */

static bool tells_of(weft_poller *set, int fd, const void *data)
{
    weft_poll_event event;
    return weft_poller_wait(set, &event, 1, weft_in_ms(5000)) == 1 && event.fd == fd && event.data == data;
}

/* Uses what the parent registered, changes it, adds its own, in a poller that is its own by then. */
static int use_in_child(weft_poller *set, const int a[2], const int b[2])
{
    char byte;
    int c[2];
    weft_poll_event event;
    io_tcp_pair(c);
    weft_poller_interrupt(set); /* noted before the first call, told by it */
    if (weft_poller_wait(set, &event, 1, WEFT_FOREVER) != 0)
        return 1;
    io_write(a[1], "x", 1);
    if (!tells_of(set, a[0], "a") || recv(a[0], &byte, 1, 0) != 1)
        return 2;
    if (weft_poller_unregister(set, a[0]) != 0 || weft_poller_modify(set, b[0], WEFT_POLLPRI, "changed") != 0 ||
        weft_poller_register(set, c[0], WEFT_POLLIN, "c") != 0)
        return 3;
    io_write(c[1], "x", 1);
    if (!tells_of(set, c[0], "c"))
        return 4;
    weft_poller_close(set);
    return 0;
}

static void in_child(weft_poller *set, const int a[2], const int b[2], bool use)
{
    pid_t child = fork();
    if (child == 0) {
        int result = use ? use_in_child(set, a, b) : 0;
        if (!use)
            weft_poller_close(set);
        _exit(result);
    }
    int status;
    CHECK_INT(child, waitpid(child, &status, 0));
    CHECK(WIFEXITED(status));
    CHECK_INT(0, WEXITSTATUS(status));
}

/* A child has what was registered for itself: neither its use of the poller nor its close is seen by the parent. */
TEST_SETS(poller_set_of_a_forked_child_is_its_own)
{
    weft_poller *set = open_set(kind);
    weft_poll_event event;
    int a[2], b[2];
    char byte;
    io_tcp_pair(a);
    io_tcp_pair(b);
    CHECK_OK(weft_poller_register(set, a[0], WEFT_POLLIN, "a"));
    CHECK_OK(weft_poller_register(set, b[0], WEFT_POLLIN, "b"));
    for (int use = 0; use < 2; use++) {
        in_child(set, a, b, use != 0);
        while (weft_poller_wait(set, &event, 1, weft_in_ms(5)) > 0)
            CHECK(use && is_edge(set)); /* of the byte that the child has taken */
        io_write(a[1], "x", 1);
        CHECK(tells_of(set, a[0], "a"));
        io_read(a[0], &byte, 1);
        io_write(b[1], "x", 1);
        CHECK(tells_of(set, b[0], "b"));
        io_read(b[0], &byte, 1);
    }
    weft_poller_close(set);
    for (int i = 0; i < 2; i++) {
        close(a[i]);
        close(b[i]);
    }
    io_settle();
}

static int wait_in_vain(void *set)
{
    weft_poll_event event;
    return weft_poller_wait(set, &event, 1, weft_in_ms(20));
}

static bool waits_as_coroutine(weft_poller *set)
{
    weft_co *co;
    int result = 0;
    return weft_co_start(&co, wait_in_vain, set, NULL) == 0 && weft_co_join(co, &result, WEFT_FOREVER) == 0 &&
           result == -ETIMEDOUT;
}

/* What the child has closed is told no more; the rest is. */
TEST_SETS(poller_set_of_a_forked_child_does_without_what_it_closed)
{
    weft_poller *set = open_set(kind);
    int a[2], b[2];
    char byte;
    io_tcp_pair(a);
    io_tcp_pair(b);
    CHECK_OK(weft_poller_register(set, a[0], WEFT_POLLIN, "a"));
    CHECK_OK(weft_poller_register(set, b[0], WEFT_POLLIN, "b"));
    pid_t child = fork();
    if (child == 0) {
        close(a[0]);
        io_write(b[1], "x", 1);
        bool good = tells_of(set, b[0], "b");
        io_read(b[0], &byte, 1);
        good = good && waits_as_coroutine(set) && weft_poller_modify(set, a[0], WEFT_POLLOUT, NULL) == -EBADF &&
               weft_poller_unregister(set, a[0]) == 0 && weft_poller_unregister(set, a[0]) == -ENOENT;
        weft_poller_close(set);
        _exit(good ? 0 : 1);
    }
    int status;
    CHECK_INT(child, waitpid(child, &status, 0));
    CHECK_INT(0, status);
    weft_poller_close(set);
    for (int i = 0; i < 2; i++) {
        close(a[i]);
        close(b[i]);
    }
    io_settle();
}

TEST_SETS(poller_set_refuses_what_it_cannot_watch)
{
    weft_poller *set = open_set(kind);
    char path[300];
    CHECK_ERR(-EBADF, weft_poller_register(set, -1, WEFT_POLLIN, NULL));
    CHECK_ERR(-EBADF, weft_poller_register(set, 900, WEFT_POLLIN, NULL));
    int high = fcntl(0, F_DUPFD_CLOEXEC, 1024);
    if (high >= 0) { /* S001-115: the limit of select */
        int err = weft_poller_register(set, high, WEFT_POLLIN, NULL);
        if (strcmp(kind, "select") == 0)
            CHECK_ERR(-EMFILE, err);
        close(high);
    }
    snprintf(path, sizeof path, "%s/file", test_dir());
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int err = weft_poller_register(set, file, WEFT_POLLIN, NULL);
    CHECK(err == 0 || (err == -EPERM && strncmp(kind, "epoll", 5) == 0));
    close(file);
    weft_poller_close(set);
    weft_poller_close(NULL);
    CHECK_ERR(-EINVAL, weft_poller_open(&set, "kqueue"));
}

typedef struct sleeper {
    weft_poller *set;
    weft__waiter *waiter; /* atomic */
    int expected;
} sleeper;

static int sleep_in_set(void *arg)
{
    sleeper *s = arg;
    weft_poll_event event;
    store_release(&s->waiter, weft__self());
    CHECK_INT(s->expected, weft_poller_wait(s->set, &event, 1, WEFT_FOREVER));
    return 0;
}

static void wait_until_waiting(weft__waiter *const *waiter)
{
    weft__waiter *w;
    while ((w = load_acquire(waiter)) == NULL || load_acquire(&w->word) == NULL)
        weft_sleep(weft_in_ms(1));
}

TEST_SETS(poller_set_is_interrupted_and_cancelled)
{
    weft_poller *set = open_set(kind);
    weft_poll_event event;
    int a[2];
    io_tcp_pair(a);
    CHECK_OK(weft_poller_register(set, a[0], WEFT_POLLIN, NULL));
    weft_poller_interrupt(set);
    CHECK_INT(0, weft_poller_wait(set, &event, 1, WEFT_FOREVER));
    CHECK_ERR(-ETIMEDOUT, weft_poller_wait(set, &event, 1, weft_in_ms(5)));
    char byte;
    io_write(a[1], "x", 1);
    weft_poller_interrupt(set); /* comes with an event: told when there is none any more */
    CHECK_INT(1, weft_poller_wait(set, &event, 1, io_patience()));
    io_read(a[0], &byte, 1);
    CHECK_INT(0, weft_poller_wait(set, &event, 1, WEFT_FOREVER));
    CHECK_ERR(-ETIMEDOUT, weft_poller_wait(set, &event, 1, weft_in_ms(5)));
    sleeper s = {.set = set, .expected = 0};
    test_spawn(t, sleep_in_set, &s);
    wait_until_waiting(&s.waiter);
    weft_poller_interrupt(set);
    test_join(t);
    s = (sleeper){.set = set, .expected = -ECANCELED};
    test_spawn(t, sleep_in_set, &s);
    wait_until_waiting(&s.waiter);
    weft__waiter_cancel(s.waiter);
    test_join(t);
    CHECK_ERR(-ETIMEDOUT, weft_poller_wait(set, &event, 1, weft_in_ms(5))); /* nothing of it is left */
    io_write(a[1], "x", 1);
    CHECK_INT(1, weft_poller_wait(set, &event, 1, io_patience()));
    weft_poller_close(set);
    close(a[0]);
    close(a[1]);
    io_settle();
}

TEST_SETS(poller_set_gives_few_events_at_a_time_and_keeps_the_rest)
{
    enum {
        N = 30
    };
    weft_poller *set = open_set(kind);
    weft_poll_event events[7];
    int fds[N], told = 0;
    bool seen[N] = {0};
    for (intptr_t i = 0; i < N; i++) {
        fds[i] = weft__sys_eventfd();
        weft__sys_eventfd_set(fds[i]);
        CHECK_OK(weft_poller_register(set, fds[i], WEFT_POLLIN, (void *)i));
    }
    while (told < N) {
        int n = weft_poller_wait(set, events, 7, io_patience());
        CHECK_BETWEEN(1, 7, n);
        for (int i = 0; i < n; i++) {
            intptr_t which = (intptr_t)events[i].data;
            CHECK(!seen[which]);
            seen[which] = true;
            told++;
            CHECK_OK(weft_poller_unregister(set, events[i].fd)); /* level would tell it again */
        }
    }
    weft_poller_close(set);
    for (int i = 0; i < N; i++)
        close(fds[i]);
    io_settle();
}

/* ---- weft_fd_wait ---- */

TEST_WAITERS(fd_wait_tells_readiness_deadline_and_errors)
{
    int a[2];
    io_tcp_pair(a);
    CHECK_INT(WEFT_POLLOUT, weft_fd_wait(a[0], WEFT_POLLIN | WEFT_POLLOUT, WEFT_NOW));
    CHECK_INT(WEFT_POLLOUT, weft_fd_wait(a[0], WEFT_POLLIN | WEFT_POLLOUT, io_patience()));
    CHECK_ERR(-ETIMEDOUT, weft_fd_wait(a[0], WEFT_POLLIN, WEFT_NOW));
    int64_t start = weft_now();
    CHECK_ERR(-ETIMEDOUT, weft_fd_wait(a[0], WEFT_POLLIN, weft_in_ms(20)));
    CHECK(weft_now() - start >= 20 * WEFT_MS);
    io_write(a[1], "x", 1);
    CHECK_INT(WEFT_POLLIN, weft_fd_wait(a[0], WEFT_POLLIN, io_patience()));
    CHECK_INT(WEFT_POLLIN, weft_fd_wait(a[0], WEFT_POLLIN, io_patience())); /* each wait is asked for anew */
    close(a[1]);
    CHECK(weft_fd_wait(a[0], WEFT_POLLIN, io_patience()) & WEFT_POLLIN);
    close(a[0]);
    CHECK_ERR(-EBADF, weft_fd_wait(a[0], WEFT_POLLIN, io_patience()));
    CHECK_ERR(-EBADF, weft_fd_wait(a[0], WEFT_POLLIN, WEFT_NOW));
    CHECK_ERR(-EBADF, weft_fd_wait(-1, WEFT_POLLIN, io_patience()));
}

TEST_WAITERS(fd_wait_tells_a_hang_up)
{
    int fds[2];
    CHECK_OK(pipe(fds));
    close(fds[1]);
    CHECK_INT(WEFT_POLLHUP, weft_fd_wait(fds[0], WEFT_POLLIN, io_patience()));
    close(fds[0]);
}

TEST_WAITERS(fd_wait_of_a_file_never_waits)
{
    char path[300];
    snprintf(path, sizeof path, "%s/file", test_dir());
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK_INT(WEFT_POLLIN, weft_fd_wait(file, WEFT_POLLIN, io_patience()));
    CHECK_INT(WEFT_POLLOUT, weft_fd_wait(file, WEFT_POLLOUT, io_patience()));
    close(file);
}

static int fds[2];

static int wait_to_read(void *arg)
{
    (void)arg;
    CHECK(weft_fd_wait(fds[0], WEFT_POLLIN, io_patience()) & WEFT_POLLIN);
    return 0;
}

static int wait_to_write(void *arg)
{
    (void)arg;
    CHECK(weft_fd_wait(fds[0], WEFT_POLLOUT, io_patience()) & WEFT_POLLOUT);
    return 0;
}

TEST_WAITERS(fd_wait_has_readers_and_writers_on_one_descriptor)
{
    char much[1 << 16] = {0};
    io_tcp_pair(fds);
    while (weft__sys_send(fds[0], much, sizeof much, MSG_DONTWAIT) > 0)
        ;
    for (int i = 0; i < 3; i++) {
        test_spawn(t, wait_to_read, NULL);
        test_spawn(t, wait_to_write, NULL);
    }
    weft_sleep(weft_in_ms(5));
    io_write(fds[1], "x", 1);
    weft_until until = io_patience();
    while (weft_left(until) > 0 && weft_fd_wait(fds[0], WEFT_POLLOUT, WEFT_NOW) < 0) {
        while (weft__sys_recv(fds[1], much, sizeof much, MSG_DONTWAIT) > 0)
            ;
        weft_sleep(weft_in_ms(1));
    }
    test_join(t);
    close(fds[0]);
    close(fds[1]);
}

static int wait_cancelled(void *arg)
{
    weft__waiter **waiter = arg;
    store_release(waiter, weft__self());
    CHECK_ERR(-ECANCELED, weft_fd_wait(fds[0], WEFT_POLLIN, WEFT_FOREVER));
    CHECK_ERR(-ECANCELED, weft_fd_wait(fds[0], WEFT_POLLIN, WEFT_FOREVER));
    CHECK_ERR(-ECANCELED, weft_fd_wait(fds[0], WEFT_POLLIN, WEFT_NOW));
    CHECK_INT(WEFT_POLLOUT, weft_fd_wait(fds[0], WEFT_POLLOUT, WEFT_FOREVER)); /* readiness beats cancellation */
    int was = weft_shield(1);
    CHECK_ERR(-ETIMEDOUT, weft_fd_wait(fds[0], WEFT_POLLIN, weft_in_ms(5)));
    weft_shield(was);
    return 0;
}

TEST_WAITERS(fd_wait_is_cancelled)
{
    weft__waiter *waiter = NULL;
    io_tcp_pair(fds);
    test_spawn(t, wait_cancelled, &waiter);
    wait_until_waiting(&waiter);
    weft__waiter_cancel(waiter);
    test_join(t);
    close(fds[0]);
    close(fds[1]);
}

static int receive_one(void *arg)
{
    char byte;
    CHECK_INT(1, weft_stream_recv(arg, &byte, 1, io_patience()));
    return 0;
}

/* A stream's registration and a wait for its descriptor do not get in each other's way. */
TEST_WAITERS(fd_wait_goes_beside_a_stream_on_the_same_descriptor)
{
    weft_stream *l, *a, *b;
    char byte;
    CHECK_OK(weft_tcp_listen(&l, NULL, 0, NULL));
    CHECK_OK(weft_tcp_connect(&a, NULL, weft_stream_port(l), NULL, io_patience()));
    CHECK_OK(weft_tcp_accept(&b, l, io_patience()));
    CHECK_ERR(-ETIMEDOUT, weft_stream_recv(a, &byte, 1, weft_in_ms(1)));
    CHECK_ERR(-ETIMEDOUT, weft_fd_wait(weft_stream_fd(a), WEFT_POLLIN, weft_in_ms(1)));
    for (int i = 0; i < 20; i++) {
        fds[0] = weft_stream_fd(a);
        test_spawn(t, wait_to_read, NULL);
        weft_sleep(weft_in_ms(1));
        CHECK_INT(1, weft_stream_send(b, "x", 1, io_patience()));
        CHECK(weft_fd_wait(fds[0], WEFT_POLLIN, io_patience()) & WEFT_POLLIN);
        test_join(t);
        test_spawn(t, receive_one, a);
        test_join(t);
    }
    weft_stream_close(a);
    weft_stream_close(b);
    weft_stream_close(l);
}

static int wait_often(void *arg)
{
    (void)arg;
    for (int i = 0; i < 200; i++) {
        CHECK_ERR(-ETIMEDOUT, weft_fd_wait(fds[0], WEFT_POLLIN, weft_in(20 * WEFT_US)));
        CHECK_INT(WEFT_POLLOUT, weft_fd_wait(fds[0], WEFT_POLLOUT, io_patience()));
    }
    return 0;
}

TEST_WAITERS(fd_wait_by_many_in_turn_leaves_nothing)
{
    int before = test_fd_count();
    io_tcp_pair(fds);
    for (int i = 0; i < 8; i++)
        test_spawn(t, wait_often, NULL);
    test_join(t);
    close(fds[0]);
    close(fds[1]);
    CHECK(test_fd_count() <= before + 8 + 2 * (int)weft__sys_cpus()); /* pollers, and eventfds of threads that end */
}

/* An idle process asks the kernel for nothing: the wait for a silent peer is one sleep. */
TEST_BACKENDS(fd_wait_of_a_silent_descriptor_sleeps_once)
{
    io_use(kind);
    io_tcp_pair(fds);
    weft_co *co;
    weft__waiter *waiter = NULL;
    CHECK_OK(weft_co_start(&co, wait_cancelled, &waiter, NULL));
    wait_until_waiting(&waiter);
    weft_sleep(weft_in_ms(50));
    long us, most = (long)(3000 * test_limit_factor());
    int tries = 5; /* other threads may be on their way to sleep */
    do {
        struct timespec before, after;
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
        weft_sleep(weft_in_ms(300));
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
        us = (after.tv_sec - before.tv_sec) * 1000000 + (after.tv_nsec - before.tv_nsec) / 1000;
    } while (us > most && --tries > 0);
    CHECK_BETWEEN(0, most, us);
    weft_co_cancel(co);
    CHECK_OK(weft_co_join(co, NULL, io_patience()));
    close(fds[0]);
    close(fds[1]);
}

/* A round that had told enough ended at a high descriptor; when that has gone, those below are told all the same. */
static void highest_leaves(const char *kind)
{
    weft_poller *set;
    weft_poll_event event;
    int ends[2], high;
    CHECK_OK(weft_poller_open(&set, kind));
    CHECK_INT(0, pipe2(ends, O_CLOEXEC));
    CHECK((high = fcntl(ends[0], F_DUPFD_CLOEXEC, 900)) >= 900);
    CHECK_INT(1, write(ends[1], "x", 1));
    CHECK_OK(weft_poller_register(set, ends[0], WEFT_POLLIN, NULL));
    CHECK_OK(weft_poller_register(set, high, WEFT_POLLIN, NULL));
    for (int i = 0; i < 10; i++) { /* each has its turn */
        CHECK_INT(1, weft_poller_wait(set, &event, 1, io_patience()));
        if (event.fd == high)
            break;
    }
    CHECK_INT(high, event.fd);
    CHECK_OK(weft_poller_unregister(set, high));
    CHECK_INT(1, weft_poller_wait(set, &event, 1, weft_in_seconds(25)));
    CHECK_INT(ends[0], event.fd);
    weft_poller_close(set);
    close(high);
    close(ends[0]);
    close(ends[1]);
}

TEST(poller_goes_on_when_the_highest_has_left_select)
{
    highest_leaves("select");
}

TEST(poller_goes_on_when_the_highest_has_left_poll)
{
    highest_leaves("poll");
}

TEST(poller_kinds_have_defaults)
{
    weft_poller *set;
    unsetenv("WEFT_POLLER");
    CHECK_STR("epoll-et", weft_io_kind());
    CHECK_OK(weft_poller_open(&set, NULL));
    CHECK_STR("epoll", weft_poller_kind(set)); /* who asks for nothing expects level */
    weft_poller_close(set);
    setenv("WEFT_POLLER", "nonsense", 1);
    CHECK_ERR(-EINVAL, weft_io_use(NULL));
}
