/* unix_test.c - Unix stream sockets, and what streams of every kind share. X-06, S001-11, S001-22, S001-85. */
#include "io/io_support.h"

#include <weft/co.h>
#include <weft/datagram.h>

#include "base/atomic.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static const char *path_of(const char *name)
{
    static char path[200];
    snprintf(path, sizeof path, "%s/%s", test_dir(), name);
    return path;
}

/* A name that nobody has had. */
static const char *abstract_name(void)
{
    static char name[60];
    static int count;
    snprintf(name, sizeof name, "@weft-test-%ld-%d", (long)getpid(), count++);
    return name;
}

static int serve_one(void *arg)
{
    weft_stream *listener = arg, *s;
    char buf[100];
    CHECK_OK(weft_stream_accept(&s, listener, io_patience()));
    ssize_t n = weft_stream_recv(s, buf, sizeof buf, io_patience());
    CHECK_INT(n, weft_stream_send(s, buf, (size_t)n, io_patience()));
    weft_stream_close(s);
    return 0;
}

static void exchange(test *t, const char *path, const char *shown)
{
    weft_stream *listener, *s;
    char buf[100], text[WEFT_ADDRESS_MAX];
    CHECK_OK(weft_unix_listen(&listener, path, NULL));
    weft_stream_local(listener, text);
    CHECK_STR(shown, text);
    CHECK_INT(0, weft_stream_port(listener));
    test_spawn(t, serve_one, listener);
    CHECK_OK(weft_unix_connect(&s, path, NULL, io_patience()));
    weft_stream_peer(s, text);
    CHECK_STR(shown, text);
    CHECK_INT(5, weft_stream_send(s, "hello", 5, io_patience()));
    CHECK_INT(5, weft_stream_recv_all(s, buf, 5, NULL, io_patience()));
    CHECK_INT(0, weft_stream_recv(s, buf, 1, io_patience())); /* S001-28: the other has left */
    test_join(t);
    weft_stream_close(s);
    weft_stream_close(listener);
}

TEST_WAITERS(unix_stream_by_path)
{
    char shown[250], path[200];
    strcpy(path, path_of("socket"));
    snprintf(shown, sizeof shown, "unix:%s", path);
    for (int i = 0; i < 3; i++) { /* closing has taken the file away */
        exchange(t, path, shown);
        CHECK(access(path, F_OK) < 0);
    }
}

TEST_WAITERS(unix_stream_by_abstract_name)
{
    char shown[100];
    for (int i = 0; i < 2; i++) {
        const char *name = abstract_name();
        snprintf(shown, sizeof shown, "unix:%s", name);
        exchange(t, name, shown);
    }
}

TEST_WAITERS(unix_pair_is_connected)
{
    weft_stream *pair[2];
    char byte;
    CHECK_OK(weft_unix_pair(pair));
    CHECK_ERR(-ETIMEDOUT, weft_stream_recv(pair[1], &byte, 1, WEFT_NOW));
    CHECK_INT(1, weft_stream_send(pair[0], "x", 1, io_patience()));
    CHECK_INT(1, weft_stream_recv(pair[1], &byte, 1, io_patience()));
    weft_stream_close(pair[0]);
    CHECK_INT(0, weft_stream_recv(pair[1], &byte, 1, io_patience()));
    CHECK_ERR(-EPIPE, weft_stream_send(pair[1], "x", 1, io_patience())); /* S001-29: and no signal */
    weft_stream_close(pair[1]);
}

TEST(unix_listener_that_lives_keeps_its_path)
{
    weft_stream *first, *second;
    const char *path = path_of("socket");
    CHECK_OK(weft_unix_listen(&first, path, NULL));
    CHECK_ERR(-EADDRINUSE, weft_unix_listen(&second, path, NULL));
    CHECK_ERR(-EADDRINUSE, weft_unix_listen(&second, path, &(weft_unix_options){.backlog = 1}));
    CHECK_OK(access(path, F_OK));
    weft_stream_close(first);
}

TEST(unix_listener_takes_over_what_the_dead_have_left)
{
    weft_stream *s;
    const char *path = path_of("socket");
    CHECK_OK(weft_unix_listen(&s, path, &(weft_unix_options){.keep_file = 1}));
    weft_stream_close(s);
    CHECK_OK(access(path, F_OK));
    CHECK_ERR(-ECONNREFUSED, weft_unix_connect(&s, path, NULL, io_patience()));
    CHECK_OK(weft_unix_listen(&s, path, NULL));
    weft_stream_close(s);
    CHECK(access(path, F_OK) < 0);
    CHECK_ERR(-ENOENT, weft_unix_connect(&s, path, NULL, io_patience()));
}

TEST(unix_listener_leaves_other_files_alone)
{
    weft_stream *s;
    const char *path = path_of("file");
    struct stat before, after;
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    close(fd);
    CHECK_OK(stat(path, &before));
    CHECK_ERR(-EADDRINUSE, weft_unix_listen(&s, path, NULL));
    CHECK_OK(stat(path, &after));
    CHECK_INT(before.st_ino, after.st_ino);
    unlink(path);
    CHECK_OK(weft_unix_listen(&s, path, NULL)); /* and if another has taken the name meanwhile, that stays */
    unlink(path);
    weft_stream *other;
    CHECK_OK(weft_unix_listen(&other, path, NULL));
    weft_stream_close(s);
    CHECK_OK(access(path, F_OK));
    weft_stream_close(other);
}

/* Whoever may read the directory can hold a lock on it, for ever. */
TEST(unix_listener_does_not_wait_for_who_locks_its_directory)
{
    weft_stream *l;
    int directory = open(test_dir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(directory >= 0);
    CHECK_INT(0, syscall(SYS_flock, directory, LOCK_EX));
    CHECK_OK(weft_unix_listen(&l, path_of("socket"), NULL));
    weft_stream_close(l);
    close(directory);
}

/* Looks at a file that comes and goes until `stop`. */
struct look {
    const char *path;
    uint32_t stop, seen; /* atomic; seen: the bits of the modes that it has had */
};

static void *look_at_modes(void *arg)
{
    struct look *l = arg;
    struct stat st;
    while (!load_seq_cst(&l->stop))
        if (lstat(l->path, &st) == 0)
            or_acq_rel(&l->seen, (uint32_t)st.st_mode & 0777);
    return NULL;
}

/* A datagram could be sent to it from the moment on in which it is there. */
TEST(unix_datagram_file_has_its_mode_from_the_first_moment)
{
    struct look l = {.path = path_of("socket")};
    pthread_t thread;
    weft_datagram *d;
    mode_t old = umask(0);
    CHECK_INT(0, pthread_create(&thread, NULL, look_at_modes, &l));
    for (int i = 0; i < 2000 || load_seq_cst(&l.seen) == 0; i++) {
        CHECK_OK(weft_unix_datagram_open(&d, l.path, NULL));
        weft_datagram_close(d);
    }
    store_seq_cst(&l.stop, 1);
    CHECK_INT(0, pthread_join(thread, NULL));
    CHECK_INT(0600, load_seq_cst(&l.seen));
    umask(old);
}

TEST(unix_socket_file_is_its_owners_alone)
{
    weft_stream *s;
    struct stat st;
    mode_t old = umask(0);
    CHECK_OK(weft_unix_listen(&s, path_of("socket"), NULL));
    CHECK_OK(stat(path_of("socket"), &st));
    CHECK_INT(0600, st.st_mode & 0777);
    weft_stream_close(s);
    CHECK_OK(weft_unix_listen(&s, path_of("socket"), &(weft_unix_options){.mode = 0666}));
    CHECK_OK(stat(path_of("socket"), &st));
    CHECK_INT(0666, st.st_mode & 0777);
    weft_stream_close(s);
    umask(old);
}

TEST(unix_socket_file_outlives_a_child_that_closes_its_copy)
{
    weft_stream *s;
    int status;
    CHECK_OK(weft_unix_listen(&s, path_of("socket"), NULL));
    pid_t child = fork();
    if (child == 0) {
        weft_stream_close(s);
        _exit(0);
    }
    CHECK_INT(child, waitpid(child, &status, 0));
    CHECK_INT(0, status);
    CHECK_OK(access(path_of("socket"), F_OK));
    weft_stream_close(s);
}

TEST(unix_names_that_cannot_be_are_refused)
{
    weft_stream *s;
    char longer[200];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    CHECK_ERR(-EINVAL, weft_unix_listen(&s, "", NULL));
    CHECK_ERR(-ENAMETOOLONG, weft_unix_listen(&s, longer, NULL));
    CHECK_ERR(-ENAMETOOLONG, weft_unix_connect(&s, longer, NULL, WEFT_NOW));
    CHECK_ERR(-ENOENT, weft_unix_listen(&s, path_of("no/such/directory"), NULL));
    CHECK_ERR(-ECONNREFUSED, weft_unix_connect(&s, "@weft-nobody-has-this-name", NULL, io_patience()));
    longer[107] = 0;
    CHECK_ERR(-ENOENT, weft_unix_connect(&s, longer, NULL, WEFT_NOW));
}

/* S001-22: the queue of a listener has the size that was asked for. */
TEST_WAITERS(unix_connect_waits_while_the_queue_is_full)
{
    enum {
        BACKLOG = 2
    };
    weft_stream *listener, *clients[BACKLOG + 2], *s;
    CHECK_OK(weft_unix_listen(&listener, path_of("socket"), &(weft_unix_options){.backlog = BACKLOG}));
    int n = 0, err = 0;
    while (n < BACKLOG + 2 && (err = weft_unix_connect(&clients[n], path_of("socket"), NULL, WEFT_NOW)) == 0)
        n++;
    CHECK_INT(BACKLOG + 1, n); /* Linux counts one more */
    CHECK_ERR(-ETIMEDOUT, err);
    CHECK_ERR(-ETIMEDOUT, weft_unix_connect(&s, path_of("socket"), NULL, weft_in_ms(20)));
    test_spawn(t, serve_one, listener);
    CHECK_INT(1, weft_stream_send(clients[0], "x", 1, io_patience()));
    CHECK_OK(weft_unix_connect(&s, path_of("socket"), NULL, io_patience()));
    test_join(t);
    weft_stream_close(s);
    while (n-- > 0)
        weft_stream_close(clients[n]);
    weft_stream_close(listener);
}

static void listen_and_connect(void)
{
    weft_stream *listener, *s, *pair[2];
    if (weft_unix_listen(&listener, path_of("socket"), &(weft_unix_options){.send_buffer = 10000}) == 0) {
        if (weft_unix_connect(&s, path_of("socket"), NULL, WEFT_NOW) == 0)
            weft_stream_close(s);
        weft_stream_close(listener);
    }
    if (weft_unix_pair(pair) == 0) {
        weft_stream_close(pair[0]);
        weft_stream_close(pair[1]);
    }
}

TEST(unix_stream_survives_each_failing_call)
{
    static const enum weft__sys_call calls[] = {WEFT__SYS_SOCKET,  WEFT__SYS_BIND,    WEFT__SYS_LISTEN,
                                                WEFT__SYS_SOCKOPT, WEFT__SYS_CONNECT, WEFT__SYS_MALLOC};
    int fds = test_fd_count();
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        for (uint32_t nth = 1; nth <= 6; nth++) {
            weft__sys_plan(calls[i], nth, 1, calls[i] == WEFT__SYS_MALLOC ? -ENOMEM : -EACCES, 0);
            listen_and_connect();
            weft__sys_plan_none();
            CHECK_INT(fds, test_fd_count());
            CHECK(access(path_of("socket"), F_OK) < 0);
        }
}

/* ---- hosts by every name the tutorials use ---- */

/* S001-12: "" and "0.0.0.0" are reached by 127.0.0.1 and by every address of this host; S001-26. */
TEST_WAITERS(tcp_listens_everywhere_by_the_empty_string)
{
    static const char *const hosts[] = {"", "0.0.0.0"}, *const ways[] = {"127.0.0.1", "localhost", "", "127.9.9.9"};
    for (int i = 0; i < 2; i++) {
        weft_stream *l, *a, *b;
        char text[WEFT_ADDRESS_MAX];
        CHECK_OK(weft_tcp_listen(&l, hosts[i], 0, NULL));
        weft_stream_local(l, text);
        CHECK(strncmp(text, "0.0.0.0:", 8) == 0);
        for (int j = 0; j < 4; j++) {
            CHECK_OK(weft_tcp_connect(&a, ways[j], weft_stream_port(l), NULL, io_patience()));
            CHECK_OK(weft_stream_accept(&b, l, io_patience()));
            weft_stream_close(a);
            weft_stream_close(b);
        }
        weft_stream_close(l);
    }
}

/* S001-09: a busy port and a port that is not ours say so in words. */
TEST(tcp_port_that_is_taken_or_forbidden_says_so)
{
    weft_stream *l, *other;
    CHECK_OK(weft_tcp_listen(&l, NULL, 0, NULL));
    int err = weft_tcp_listen(&other, NULL, weft_stream_port(l), NULL);
    CHECK_ERR(-EADDRINUSE, err);
    CHECK_STR("Address already in use", weft_strerror(err));
    weft_stream_close(l);
    CHECK_ERR(-EINVAL, weft_tcp_listen(&l, NULL, 65536, NULL));
    if (getuid() == 0 && (setgid(65534) < 0 || setuid(65534) < 0))
        SKIP("cannot become an ordinary user");
    err = weft_tcp_listen(&other, NULL, 1, NULL);
    if (err == 0) {
        weft_stream_close(other);
        SKIP("this system lets everybody have low ports");
    }
    CHECK_ERR(-EACCES, err);
    CHECK_STR("Permission denied", weft_strerror(err));
}

/* S001-34: the server closes first, so that its port is still occupied (TIME_WAIT), and listens there again at once. */
TEST(tcp_port_is_free_for_the_next_server_at_once)
{
    weft_stream *l, *a, *b;
    char byte;
    CHECK_OK(weft_tcp_listen(&l, NULL, 0, NULL));
    unsigned port = weft_stream_port(l);
    for (int i = 0; i < 3; i++) {
        CHECK_OK(weft_tcp_connect(&a, NULL, port, NULL, io_patience()));
        CHECK_OK(weft_stream_accept(&b, l, io_patience()));
        weft_stream_close(b);
        weft_stream_close(l);
        CHECK_INT(0, weft_stream_recv(a, &byte, 1, io_patience()));
        weft_stream_close(a);
        CHECK_OK(weft_tcp_listen(&l, NULL, port, NULL));
    }
    weft_stream_close(l);
}

/* S001-11: AF_INET6. */
TEST_WAITERS(tcp_over_ipv6)
{
    weft_stream *l, *a, *b;
    char text[WEFT_ADDRESS_MAX], byte;
    int err = weft_tcp_listen(&l, "::1", 0, NULL);
    if (err == -EADDRNOTAVAIL || err == -EAFNOSUPPORT)
        SKIP("this machine has no IPv6");
    CHECK_OK(err);
    CHECK_OK(weft_tcp_connect(&a, "::1", weft_stream_port(l), NULL, io_patience()));
    CHECK_OK(weft_stream_accept(&b, l, io_patience()));
    weft_stream_peer(b, text);
    CHECK(strncmp(text, "[::1]:", 6) == 0);
    CHECK_INT(1, weft_stream_send(a, "x", 1, io_patience()));
    CHECK_INT(1, weft_stream_recv(b, &byte, 1, io_patience()));
    weft_stream_close(a);
    weft_stream_close(b);
    weft_stream_close(l);
}

/* S001-31: two sends can arrive as one receive. */
TEST_WAITERS(stream_keeps_no_boundaries)
{
    io_pair p = io_stream_pair(NULL);
    char buf[20];
    CHECK_INT(3, weft_stream_send(p.a, "one", 3, io_patience()));
    CHECK_INT(3, weft_stream_send(p.a, "two", 3, io_patience()));
    CHECK_INT(6, weft_stream_recv_all(p.b, buf, 6, NULL, io_patience()));
    CHECK_MEM("onetwo", buf, 6);
    io_close_pair(p);
}
