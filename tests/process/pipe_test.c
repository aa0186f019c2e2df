/* pipe_test.c - message pipes: whole messages, their order, both ends, descriptors, and senders that are killed.
 * S004-24. */
#include "harness/harness.h"

#include <weft/co.h>
#include <weft/pipe.h>
#include <weft/process.h>

#include "sys/message.h"
#include "sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static weft_pipe *ends[2];

static void open_pipe(int how)
{
    CHECK_OK(weft_pipe_new(ends, how));
}

static void close_pipe(void)
{
    weft_pipe_close(ends[0]);
    weft_pipe_close(ends[1]);
}

static void expect(weft_pipe *end, const void *message, size_t size)
{
    static char buffer[1 << 16];
    size_t received = 0;
    CHECK_OK(weft_pipe_receive(end, buffer, sizeof buffer, &received, WEFT_FOREVER));
    CHECK_INT(size, received);
    CHECK_INT(0, memcmp(message, buffer, size));
}

static void send_text(weft_pipe *end, const char *text)
{
    CHECK_OK(weft_pipe_send(end, text, strlen(text), WEFT_FOREVER));
}

/* N157, N158 */
TEST_IN(THREAD | CO, pipe_keeps_the_boundaries_of_messages)
{
    open_pipe(WEFT_SIMPLEX);
    send_text(ends[1], "one");
    send_text(ends[1], "");
    send_text(ends[1], "three");
    CHECK_OK(weft_pipe_poll(ends[0], WEFT_NOW));
    expect(ends[0], "one", 3);
    CHECK_OK(weft_pipe_poll(ends[0], WEFT_NOW)); /* a message of no bytes is one */
    expect(ends[0], "", 0);
    expect(ends[0], "three", 5);
    CHECK_ERR(-ETIMEDOUT, weft_pipe_poll(ends[0], WEFT_NOW));
    CHECK_ERR(-ETIMEDOUT, weft_pipe_poll(ends[0], weft_in_ms(10)));
    size_t received = 77;
    char c;
    CHECK_ERR(-ETIMEDOUT, weft_pipe_receive(ends[0], &c, 1, &received, weft_in_ms(10)));
    CHECK_INT(77, received);
    CHECK_ERR(-EBADF, weft_pipe_send(ends[0], "x", 1, WEFT_NOW));
    CHECK_ERR(-EBADF, weft_pipe_receive(ends[1], &c, 1, &received, WEFT_NOW));
    close_pipe();
}

TEST(pipe_duplex_goes_both_ways)
{
    open_pipe(WEFT_DUPLEX);
    send_text(ends[0], "to the right");
    send_text(ends[1], "to the left");
    expect(ends[0], "to the left", 11);
    expect(ends[1], "to the right", 12);
    close_pipe();
}

static int send_sizes(void *arg)
{
    const size_t *sizes = arg;
    char *data = malloc(WEFT_MESSAGE_MAX);
    for (int i = 0; sizes[i] != SIZE_MAX; i++) {
        memset(data, 'a' + i, sizes[i]);
        int err = weft_pipe_send(ends[1], data, sizes[i], WEFT_FOREVER);
        if (err < 0)
            return err;
    }
    free(data);
    return 0;
}

/* N157 */
TEST_IN(THREAD | CO, pipe_carries_messages_of_every_size)
{
    size_t sizes[] = {0, 1, 4095, 4096, 32767, 32768, 32769, 65536, 1000003, WEFT_MESSAGE_MAX, 3, SIZE_MAX};
    open_pipe(WEFT_SIMPLEX);
    weft_process p = WEFT_PROCESS_INIT;
    CHECK_OK(weft_process_start(&p, send_sizes, sizes, NULL));
    for (int i = 0; sizes[i] != SIZE_MAX; i++) {
        char *message;
        size_t size;
        CHECK_OK(weft_pipe_receive_new(ends[0], (void **)&message, &size, WEFT_FOREVER));
        CHECK_INT(sizes[i], size);
        for (size_t k = 0; k < size; k += 997)
            CHECK_INT('a' + i, message[k]);
        free(message);
    }
    CHECK_OK(weft_process_join(&p, NULL, WEFT_FOREVER));
    CHECK_OK(weft_process_close(&p));
    CHECK_ERR(-EMSGSIZE, weft_pipe_send(ends[1], "", WEFT_MESSAGE_MAX + 1, WEFT_NOW));
    close_pipe();
}

/* N159 */
TEST(pipe_message_that_is_too_large_stays_and_tells_its_size)
{
    char buffer[10] = "";
    size_t received;
    open_pipe(WEFT_SIMPLEX);
    send_text(ends[1], "eleven char");
    send_text(ends[1], "next");
    for (int i = 0; i < 2; i++) {
        CHECK_ERR(-EMSGSIZE, weft_pipe_receive(ends[0], buffer, sizeof buffer, &received, WEFT_FOREVER));
        CHECK_INT(11, received);
    }
    expect(ends[0], "eleven char", 11);
    expect(ends[0], "next", 4);
    close_pipe();
}

/* N160, X-04 */
TEST_IN(THREAD | CO, pipe_end_is_told_after_the_last_message)
{
    size_t received;
    char c;
    open_pipe(WEFT_SIMPLEX);
    send_text(ends[1], "last");
    weft_pipe_close(ends[1]);
    CHECK_OK(weft_pipe_poll(ends[0], WEFT_FOREVER));
    expect(ends[0], "last", 4);
    CHECK_OK(weft_pipe_poll(ends[0], WEFT_FOREVER)); /* the end is something to receive, too */
    CHECK_ERR(-WEFT_EEOF, weft_pipe_receive(ends[0], &c, 1, &received, WEFT_FOREVER));
    weft_pipe_close(ends[0]);
    open_pipe(WEFT_SIMPLEX);
    weft_pipe_close(ends[0]);
    CHECK_ERR(-EPIPE, weft_pipe_send(ends[1], "x", 1, WEFT_FOREVER));
    weft_pipe_close(ends[1]);
}

/* A full pipe holds its sender up, by the deadline at the latest, and nothing of what timed out arrives. */
TEST_IN(THREAD | CO, pipe_that_is_full_holds_senders_up)
{
    static char block[8192];
    size_t received;
    int n = 0, err;
    open_pipe(WEFT_SIMPLEX);
    while ((err = weft_pipe_send(ends[1], block, sizeof block, WEFT_NOW)) == 0)
        n++;
    CHECK_ERR(-ETIMEDOUT, err);
    CHECK(n > 1);
    CHECK_ERR(-ETIMEDOUT, weft_pipe_send(ends[1], "late", 4, weft_in_ms(10)));
    while (n-- > 0)
        CHECK_OK(weft_pipe_receive(ends[0], block, sizeof block, &received, WEFT_NOW));
    CHECK_ERR(-ETIMEDOUT, weft_pipe_poll(ends[0], WEFT_NOW));
    close_pipe();
}

/* N162 */
TEST(pipe_carries_descriptors)
{
    open_pipe(WEFT_SIMPLEX);
    int files[3];
    for (int i = 0; i < 3; i++)
        files[i] = weft__sys_memory_file(&"abc"[i], 1);
    int high = fcntl(files[2], F_DUPFD_CLOEXEC, 300);
    close(files[2]);
    files[2] = high;
    static char large[100000]; /* its file goes along, and is not among those that are given */
    for (int round = 0; round < 2; round++) {
        CHECK_OK(weft_pipe_send_fds(ends[1], large, round == 0 ? 5 : sizeof large, files, 3, WEFT_FOREVER));
        int got[8];
        unsigned n = 8;
        size_t received;
        CHECK_OK(weft_pipe_receive_fds(ends[0], large, sizeof large, &received, got, &n, WEFT_FOREVER));
        CHECK_INT(3, n);
        for (int i = 0; i < 3; i++) {
            char c = 0;
            CHECK_INT(1, pread(got[i], &c, 1, 0));
            CHECK_INT("abc"[i], c);
            CHECK_INT(FD_CLOEXEC, fcntl(got[i], F_GETFD));
            close(got[i]);
        }
    }
    size_t received;
    CHECK_OK(weft_pipe_send_fds(ends[1], "x", 1, files, 3, WEFT_FOREVER)); /* nobody wants them: closed */
    CHECK_OK(weft_pipe_receive(ends[0], large, 1, &received, WEFT_FOREVER));
    for (int i = 0; i < 3; i++)
        close(files[i]);
    close_pipe();
}

/* What is no message of ours is refused, and the ones behind it arrive. */
TEST(pipe_refuses_what_is_no_message)
{
    static char junk[70000];
    size_t received;
    char c;
    open_pipe(WEFT_DUPLEX);
    int fd = weft_pipe_fd(ends[1]);
    uint64_t huge[2] = {0x77667431, UINT64_MAX},
             claims[2] = {0x77667431 | (uint64_t)1 << 32, 50}; /* a file, but none */
    CHECK_INT(1, send(fd, junk, 1, 0));
    CHECK_INT(60000, send(fd, junk, 60000, 0));
    CHECK_INT(16, send(fd, huge, 16, 0));
    CHECK_INT(16, send(fd, claims, 16, 0));
    send_text(ends[1], "good");
    for (int i = 0; i < 4; i++)
        CHECK_ERR(-EPROTO, weft_pipe_receive(ends[0], junk, sizeof junk, &received, WEFT_FOREVER));
    expect(ends[0], "good", 4);
    weft_pipe *other;
    int pair[2];
    CHECK_INT(0, pipe(pair));
    CHECK_ERR(-EINVAL, weft_pipe_from_fd(&other, pair[0], WEFT_DUPLEX));
    close(pair[0]);
    close(pair[1]);
    CHECK_OK(weft_pipe_from_fd(&other, dup(weft_pipe_fd(ends[0])), 0));
    CHECK_ERR(-EBADF, weft_pipe_send(other, "x", 1, WEFT_NOW));
    CHECK_ERR(-ETIMEDOUT, weft_pipe_receive(other, &c, 1, &received, WEFT_NOW));
    weft_pipe_close(other);
    close_pipe();
}

/* ---- many processes ---- */

enum {
    SENDERS = 3,
    EACH = 300
};

typedef struct record {
    int sender, number;
    char text[600];
} record;

static int send_many(void *arg)
{
    weft_pipe_close(ends[0]);
    record r = {.sender = (int)(intptr_t)arg};
    for (r.number = 0; r.number < EACH; r.number++) {
        memset(r.text, r.number, sizeof r.text);
        int err = weft_pipe_send(ends[1], &r, offsetof(record, text) + (size_t)(r.number * 2), WEFT_FOREVER);
        if (err < 0)
            return err;
    }
    return 0;
}

static int receive_many(void *arg)
{
    (void)arg;
    weft_pipe_close(ends[1]);
    int next[SENDERS] = {0}, n = 0, err;
    record r;
    size_t received;
    while ((err = weft_pipe_receive(ends[0], &r, sizeof r, &received, WEFT_FOREVER)) == 0) {
        CHECK_INT(offsetof(record, text) + (size_t)(r.number * 2), received);
        CHECK(r.number >= next[r.sender]); /* in the order of each sender */
        next[r.sender] = r.number + 1;
        for (int i = 0; i < r.number * 2; i++)
            CHECK_INT((char)r.number, r.text[i]);
        n++;
    }
    CHECK_ERR(-WEFT_EEOF, err);
    return n % 200; /* an exit code is small */
}

/* H86, H87: several senders and receivers in processes of their own */
TEST(pipe_serves_many_processes_at_once)
{
    weft_process senders[SENDERS], receivers[2];
    open_pipe(WEFT_SIMPLEX);
    for (int i = 0; i < SENDERS; i++) {
        senders[i] = (weft_process)WEFT_PROCESS_INIT;
        CHECK_OK(weft_process_start(&senders[i], send_many, (void *)(intptr_t)i, NULL));
    }
    for (int i = 0; i < 2; i++) {
        receivers[i] = (weft_process)WEFT_PROCESS_INIT;
        CHECK_OK(weft_process_start(&receivers[i], receive_many, NULL, NULL));
    }
    close_pipe();
    int code, sum = 0;
    for (int i = 0; i < SENDERS; i++) {
        CHECK_OK(weft_process_join(&senders[i], &code, WEFT_FOREVER));
        CHECK_INT(0, code);
        CHECK_OK(weft_process_close(&senders[i]));
    }
    for (int i = 0; i < 2; i++) {
        CHECK_OK(weft_process_join(&receivers[i], &code, WEFT_FOREVER));
        CHECK_BETWEEN(0, 199, code);
        sum += code;
        CHECK_OK(weft_process_close(&receivers[i]));
    }
    CHECK_INT(SENDERS * EACH % 200, sum % 200);
}

static int send_for_ever(void *arg)
{
    size_t size = (size_t)(intptr_t)arg;
    char *data = malloc(size);
    memset(data, 'x', size);
    for (;;)
        if (weft_pipe_send(ends[1], data, size, WEFT_FOREVER) < 0)
            return 1;
}

/* H91: a sender that is killed, wherever it is, leaves whole messages only */
TEST_LIMIT(60, pipe_of_a_killed_sender_has_whole_messages_only)
{
    int rounds = test_limit_factor() > 1 ? 10 : 60;
    for (int i = 0; i < rounds; i++) {
        size_t size = i % 2 ? 20000 : 300000, received;
        open_pipe(WEFT_SIMPLEX);
        weft_process p = WEFT_PROCESS_INIT;
        CHECK_OK(weft_process_start(&p, send_for_ever, (void *)(intptr_t)size, NULL));
        weft_pipe_close(ends[1]);
        char *buffer = malloc(size);
        int err, n = 0;
        while ((err = weft_pipe_receive(ends[0], buffer, size, &received, WEFT_FOREVER)) == 0) {
            CHECK_INT(size, received);
            CHECK_INT('x', buffer[size - 1]);
            if (++n == i % 7 + 1)
                CHECK_OK(weft_process_kill(&p));
        }
        CHECK_ERR(-WEFT_EEOF, err);
        free(buffer);
        int code;
        CHECK_OK(weft_process_join(&p, &code, WEFT_FOREVER));
        CHECK_INT(-SIGKILL, code);
        CHECK_OK(weft_process_close(&p));
        weft_pipe_close(ends[0]);
    }
}

static int wait_for_signal(void *arg)
{
    (void)arg;
    pause();
    return 0;
}

/* M154 */
TEST_IN(THREAD | CO, fds_wait_tells_pipes_and_processes_that_are_ready)
{
    open_pipe(WEFT_SIMPLEX);
    weft_process p = WEFT_PROCESS_INIT;
    CHECK_OK(weft_process_start(&p, wait_for_signal, NULL, NULL));
    int fds[] = {weft_process_sentinel(&p), weft_pipe_fd(ends[0])};
    unsigned char ready[2] = {9, 9};
    CHECK_ERR(-ETIMEDOUT, weft_fds_wait(fds, 2, ready, weft_in_ms(5)));
    CHECK_INT(0, ready[0] + ready[1]);
    send_text(ends[1], "x");
    CHECK_INT(1, weft_fds_wait(fds, 2, ready, WEFT_FOREVER));
    CHECK_INT(1, ready[1]);
    CHECK_OK(weft_process_kill(&p));
    CHECK_OK(weft_process_join(&p, NULL, WEFT_FOREVER));
    CHECK_INT(2, weft_fds_wait(fds, 2, ready, (weft_until){-1}));
    CHECK_OK(weft_process_close(&p));
    fds[0] = weft_process_sentinel(&p); /* of none */
    CHECK_ERR(-EBADF, weft_fds_wait(fds, 1, ready, WEFT_FOREVER));
    close_pipe();
}

TEST(pipe_failures_leave_nothing)
{
    size_t received;
    char c;
    weft__sys_plan(WEFT__SYS_SOCKET, 1, 1, -EMFILE, 0);
    CHECK_ERR(-EMFILE, weft_pipe_new(ends, WEFT_SIMPLEX));
    for (uint32_t nth = 1; nth <= 3; nth++) {
        weft__sys_plan(WEFT__SYS_MALLOC, nth, 1, -ENOMEM, 0);
        CHECK_ERR(-ENOMEM, weft_pipe_new(ends, WEFT_SIMPLEX));
    }
    weft__sys_plan_none();
    CHECK_ERR(-EINVAL, weft_pipe_new(ends, 5));
    open_pipe(WEFT_SIMPLEX);
    weft__sys_plan(WEFT__SYS_SEND, 1, 1, -ENOBUFS, 0);
    CHECK_ERR(-ENOBUFS, weft_pipe_send(ends[1], "x", 1, WEFT_FOREVER));
    weft__sys_plan(WEFT__SYS_RECV, 1, 1, -ENOMEM, 0);
    CHECK_ERR(-ENOMEM, weft_pipe_receive(ends[0], &c, 1, &received, WEFT_FOREVER));
    weft__sys_plan_none();
    close_pipe();
}
