/* stream_gone_test.c - sends whose end nobody takes, or nothing comes after: no signal, and no bytes kept back. */
#include "io/io_support.h"

#include <weft/co.h>

#include <fcntl.h>
#include <linux/sockios.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

enum {
    LARGE = 1 << 20
};

static int file_of(size_t size)
{
    char path[300], *data = calloc(1, size);
    snprintf(path, sizeof path, "%s/file", test_dir());
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    CHECK_INT(size, pwrite(fd, data, size, 0));
    free(data);
    return fd;
}

static volatile sig_atomic_t signals;

static void count_signal(int signal)
{
    (void)signal;
    signals++;
}

/* As the header of streams promises of all sends; sendfile(2) has no flag for it. Also when a part had left. */
TEST_WAITERS(stream_sendfile_to_a_broken_pipe_is_an_error_and_no_signal)
{
    struct sigaction was, counts = {.sa_handler = count_signal};
    sigaction(SIGPIPE, &counts, &was);
    int fd = file_of(LARGE);
    io_pair p = io_stream_pair(NULL);
    ssize_t n = 0;
    weft_stream_close(p.b);
    for (int i = 0; i < 100 && n != -EPIPE; i++) {
        n = weft_stream_sendfile(p.a, fd, 0, LARGE, io_patience());
        CHECK(n == LARGE || n == -EPIPE || n == -ECONNRESET);
        weft_sleep(weft_in_ms(1));
    }
    CHECK_ERR(-EPIPE, weft_stream_sendfile(p.a, fd, 0, LARGE, io_patience()));
    weft_stream_close(p.a);
    weft_stream *pair[2];
    CHECK_OK(weft_unix_pair(pair));
    weft_stream_close(pair[1]);
    CHECK_ERR(-EPIPE, weft_stream_sendfile(pair[0], fd, 0, LARGE, io_patience()));
    weft_stream_close(pair[0]);
    CHECK_INT(0, signals);
    close(fd);
    sigaction(SIGPIPE, &was, NULL);
}

static bool is_pending(int signal)
{
    sigset_t pending;
    sigpending(&pending);
    return sigismember(&pending, signal);
}

/* Who blocks the signal finds none of ours afterwards, and keeps his own. */
TEST(stream_sendfile_leaves_the_signals_of_others_alone)
{
    sigset_t broken, old;
    sigemptyset(&broken);
    sigaddset(&broken, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &broken, &old);
    int fd = file_of(100);
    weft_stream *pair[2];
    CHECK_OK(weft_unix_pair(pair));
    weft_stream_close(pair[1]);
    CHECK_ERR(-EPIPE, weft_stream_sendfile(pair[0], fd, 0, 100, io_patience()));
    CHECK(!is_pending(SIGPIPE));
    pthread_kill(pthread_self(), SIGPIPE);
    CHECK_ERR(-EPIPE, weft_stream_sendfile(pair[0], fd, 0, 100, io_patience()));
    CHECK(is_pending(SIGPIPE));
    CHECK_INT(SIGPIPE, sigtimedwait(&broken, NULL, &(struct timespec){0}));
    sigset_t now;
    pthread_sigmask(SIG_SETMASK, &old, &now);
    CHECK(sigismember(&now, SIGPIPE));
    weft_stream_close(pair[0]);
    close(fd);
}

/* Bytes that the kernel has been told to keep back until more comes. */
static int kept_back(const io_pair *p)
{
    int n;
    CHECK_OK(ioctl(weft_stream_fd(p->a), SIOCOUTQNSD, &n));
    return n;
}

/* More pieces than go with one call, of which the last are empty: nothing comes after, so nothing is to wait for it. */
TEST_WAITERS(stream_pieces_that_end_in_empty_ones_leave_at_once)
{
    enum {
        MOST = 200
    };
    char data[MOST] = {0};
    struct iovec pieces[MOST];
    io_pair p = io_stream_pair(NULL);
    for (unsigned full = 60; full <= 132; full++) {
        for (unsigned i = 0; i < MOST; i++)
            pieces[i] = (struct iovec){data, i < full};
        CHECK_INT(full, weft_stream_send_pieces(p.a, pieces, MOST, io_patience()));
        CHECK_INT(0, kept_back(&p));
        CHECK_INT(full, weft_stream_recv_all(p.b, data, full, NULL, io_patience()));
    }
    io_close_pair(p);
}
