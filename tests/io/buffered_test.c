/* buffered_test.c - lines, pieces and messages over streams, in a thread and in coroutines. S001-24, S001-31 (the
 * sticky packets), S001-134 (one receive need not hold it all). */
#include "io/io_support.h"

#include <weft/buffered.h>
#include <weft/co.h>

#include "base/atomic.h"

#include <stdio.h>
#include <stdlib.h>

/* Buffers on both ends of a connection. */
typedef struct both {
    weft_buffered *a, *b;
} both;

static both open_both(const weft_buffered_options *options, const weft_tcp_options *tcp)
{
    io_pair p = io_stream_pair(tcp);
    both x;
    CHECK_OK(weft_buffered_open(&x.a, p.a, options));
    CHECK_OK(weft_buffered_open(&x.b, p.b, options));
    return x;
}

static void close_both(both x)
{
    weft_buffered_close(x.a);
    weft_buffered_close(x.b);
}

static void put(weft_buffered *b, const char *text)
{
    CHECK_INT(strlen(text), weft_stream_send(weft_buffered_stream(b), text, strlen(text), io_patience()));
}

static void reads_line(weft_buffered *b, const char *expected)
{
    const char *line;
    CHECK_INT(strlen(expected), weft_buffered_read_line(b, &line, io_patience()));
    CHECK_STR(expected, line);
}

TEST_WAITERS(buffered_reads_lines)
{
    both x = open_both(NULL, NULL);
    const char *line;
    put(x.a, "one\ntwo\r\n\n\r\nfi");
    reads_line(x.b, "one");
    reads_line(x.b, "two");
    reads_line(x.b, "");
    reads_line(x.b, "");
    CHECK_ERR(-ETIMEDOUT, weft_buffered_read_line(x.b, &line, weft_in_ms(20)));
    put(x.a, "ve\nno end");
    reads_line(x.b, "five");
    CHECK_ERR(-ETIMEDOUT, weft_buffered_read_line(x.b, &line, WEFT_NOW));
    CHECK_OK(weft_stream_shutdown(weft_buffered_stream(x.a), WEFT_SHUTDOWN_SEND));
    reads_line(x.b, "no end");
    CHECK_ERR(-WEFT_EEOF, weft_buffered_read_line(x.b, &line, io_patience()));
    CHECK_ERR(-WEFT_EEOF, weft_buffered_read_line(x.b, &line, io_patience()));
    close_both(x);
}

/* Lines of all lengths around those of the buffer, which begins as small as can be. */
TEST_WAITERS(buffered_line_is_as_long_as_the_limit)
{
    enum {
        LIMIT = 300
    };
    both x = open_both(&(weft_buffered_options){.read_size = 1, .limit = LIMIT}, NULL);
    char text[LIMIT + 3];
    const char *line;
    for (size_t n = 0; n <= LIMIT; n++) {
        io_pattern(text, n, n);
        for (size_t i = 0; i < n; i++)
            if (text[i] == '\n' || text[i] == '\r')
                text[i] = 'x';
        text[n] = '\n';
        CHECK_INT(n + 1, weft_stream_send(weft_buffered_stream(x.a), text, n + 1, io_patience()));
        CHECK_INT(n, weft_buffered_read_line(x.b, &line, io_patience()));
        CHECK_MEM(text, line, n);
    }
    memset(text, 'x', sizeof text);
    CHECK_INT(LIMIT + 1, weft_stream_send(weft_buffered_stream(x.a), text, LIMIT + 1, io_patience()));
    CHECK_ERR(-EMSGSIZE, weft_buffered_read_line(x.b, &line, io_patience()));
    CHECK_ERR(-EMSGSIZE, weft_buffered_read_line(x.b, &line, io_patience())); /* and so it stays */
    close_both(x);
}

/* The "\r" is none of the line's bytes, unless it is. */
TEST_WAITERS(buffered_line_at_the_limit_may_end_with_both)
{
    both x = open_both(&(weft_buffered_options){.limit = 10}, NULL);
    const char *line;
    put(x.a, "0123456789\r\n");
    reads_line(x.b, "0123456789");
    put(x.a, "0123456789\r");
    CHECK_ERR(-ETIMEDOUT, weft_buffered_read_line(x.b, &line, WEFT_NOW));
    put(x.a, "\n0123456789\n");
    reads_line(x.b, "0123456789");
    reads_line(x.b, "0123456789");
    put(x.a, "01234567890\n");
    CHECK_ERR(-EMSGSIZE, weft_buffered_read_line(x.b, &line, io_patience()));
    CHECK_OK(weft_buffered_skip(x.b, 12));
    put(x.a, "01234567890\r\n");
    CHECK_ERR(-EMSGSIZE, weft_buffered_read_line(x.b, &line, io_patience()));
    CHECK_OK(weft_buffered_skip(x.b, 13));
    put(x.a, "0123456789\r");
    CHECK_OK(weft_stream_shutdown(weft_buffered_stream(x.a), WEFT_SHUTDOWN_SEND));
    CHECK_ERR(-EMSGSIZE, weft_buffered_read_line(x.b, &line, io_patience())); /* the last one, of 11 bytes */
    close_both(x);
}

TEST_WAITERS(buffered_reads_until_and_exactly)
{
    both x = open_both(NULL, NULL);
    const char *data;
    char buf[20];
    put(x.a, "head\r\n\r\nbodyrest");
    CHECK_INT(8, weft_buffered_read_until(x.b, &data, "\r\n\r\n", 4, io_patience()));
    CHECK_MEM("head\r\n\r\n", data, 8);
    CHECK_INT(4, weft_buffered_read_exactly(x.b, buf, 4, io_patience()));
    CHECK_MEM("body", buf, 4);
    CHECK_ERR(-ETIMEDOUT, weft_buffered_read_exactly(x.b, buf, 5, weft_in_ms(20))); /* takes nothing */
    CHECK_ERR(-ETIMEDOUT, weft_buffered_read_until(x.b, &data, "s", 2, WEFT_NOW));
    CHECK_INT(3, weft_buffered_read_until(x.b, &data, "s", 1, WEFT_NOW));
    CHECK_INT(1, weft_buffered_read_exactly(x.b, buf, 1, WEFT_NOW));
    CHECK_MEM("t", buf, 1);
    CHECK_INT(0, weft_buffered_read_exactly(x.b, buf, 0, WEFT_NOW));
    CHECK_ERR(-EINVAL, weft_buffered_read_until(x.b, &data, "", 0, WEFT_NOW));
    CHECK_ERR(-EINVAL, weft_buffered_read_until(x.b, &data, "0123456789abcdefg", 17, WEFT_NOW));
    CHECK_ERR(-EMSGSIZE, weft_buffered_read_exactly(x.b, buf, (1 << 20) + 1, WEFT_NOW));
    put(x.a, "half");
    CHECK_OK(weft_stream_shutdown(weft_buffered_stream(x.a), WEFT_SHUTDOWN_SEND));
    CHECK_ERR(-WEFT_ETRUNCATED, weft_buffered_read_exactly(x.b, buf, 5, io_patience()));
    CHECK_ERR(-WEFT_ETRUNCATED, weft_buffered_read_until(x.b, &data, "\n", 1, io_patience()));
    CHECK_INT(4, weft_buffered_read(x.b, buf, sizeof buf, io_patience()));
    CHECK_MEM("half", buf, 4);
    CHECK_INT(0, weft_buffered_read(x.b, buf, sizeof buf, io_patience()));
    CHECK_ERR(-WEFT_EEOF, weft_buffered_read_exactly(x.b, buf, 5, io_patience()));
    close_both(x);
}

TEST_WAITERS(buffered_looks_and_skips)
{
    both x = open_both(NULL, NULL);
    const void *data;
    char buf[20];
    put(x.a, "abcdef");
    CHECK_INT(0, weft_buffered_peek(x.b, &data, 0, WEFT_NOW));
    CHECK_INT(6, weft_buffered_peek(x.b, &data, 6, io_patience()));
    CHECK_MEM("abcdef", data, 6);
    CHECK_ERR(-ETIMEDOUT, weft_buffered_peek(x.b, &data, 7, WEFT_NOW));
    CHECK_OK(weft_buffered_skip(x.b, 2));
    CHECK_ERR(-EINVAL, weft_buffered_skip(x.b, 5));
    CHECK_INT(2, weft_buffered_read(x.b, buf, 2, WEFT_NOW));
    CHECK_MEM("cd", buf, 2);
    weft_stream_shutdown(weft_buffered_stream(x.a), WEFT_SHUTDOWN_SEND);
    CHECK_INT(2, weft_buffered_peek(x.b, &data, 3, io_patience()));
    CHECK_OK(weft_buffered_skip(x.b, 2));
    CHECK_INT(0, weft_buffered_peek(x.b, &data, 1, io_patience()));
    CHECK_ERR(-EMSGSIZE, weft_buffered_peek(x.b, &data, (1 << 20) + 1, WEFT_NOW));
    close_both(x);
}

TEST_WAITERS(buffered_write_gathers_until_it_is_flushed)
{
    both x = open_both(&(weft_buffered_options){.write_size = 10}, NULL);
    char buf[40];
    CHECK_INT(4, weft_buffered_write(x.a, "abcd", 4, WEFT_NOW));
    CHECK_INT(4, weft_buffered_write(x.a, "efgh", 4, WEFT_NOW));
    CHECK_INT(8, weft_buffered_unsent(x.a));
    CHECK_ERR(-ETIMEDOUT, weft_buffered_read(x.b, buf, sizeof buf, WEFT_NOW));
    CHECK_OK(weft_buffered_flush(x.a, io_patience()));
    CHECK_OK(weft_buffered_flush(x.a, WEFT_NOW));
    CHECK_INT(8, weft_buffered_read_exactly(x.b, buf, 8, io_patience()));
    CHECK_INT(8, weft_buffered_write(x.a, "ijklmnop", 8, io_patience()));
    CHECK_INT(3, weft_buffered_write(x.a, "qrs", 3, io_patience())); /* sends what was there */
    CHECK_INT(3, weft_buffered_unsent(x.a));
    CHECK_INT(14, weft_buffered_write(x.a, "tuvwxyz0123456", 14, io_patience())); /* more than it holds */
    CHECK_INT(0, weft_buffered_unsent(x.a));
    CHECK_INT(25, weft_buffered_read_exactly(x.b, buf, 25, io_patience()));
    CHECK_MEM("ijklmnopqrstuvwxyz0123456", buf, 25);
    close_both(x);
}

/* ---- messages ---- */

static const weft_frame frames[] = {
    {.length_bytes = 2},
    {0},
    {.length_bytes = 8, .little_endian = 1, .counts_itself = 1},
    {.kind = WEFT_FRAME_DELIMITER},
    {.kind = WEFT_FRAME_DELIMITER, .delimiter = "<end>", .delimiter_size = 5},
    {.kind = WEFT_FRAME_FIXED, .size = 77},
};

enum {
    FRAMES = sizeof frames / sizeof frames[0],
    MESSAGES = 40
};

static size_t message(const weft_frame *f, char *data, size_t i)
{
    size_t size = f->kind == WEFT_FRAME_FIXED ? f->size : i * i * 3;
    for (size_t j = 0; j < size; j++)
        data[j] = (char)('A' + (i + j) % 26);
    return size;
}

static int send_messages(void *arg)
{
    weft_buffered *b = arg;
    static char data[6000];
    for (size_t f = 0; f < FRAMES; f++)
        for (size_t i = 0; i < MESSAGES; i++) {
            size_t size = message(&frames[f], data, i);
            CHECK_INT(size, weft_buffered_write_frame(b, &frames[f], data, size, io_patience()));
        }
    return 0;
}

static void receives_messages(weft_buffered *b)
{
    char *expected = malloc(6000);
    for (size_t f = 0; f < FRAMES; f++)
        for (size_t i = 0; i < MESSAGES; i++) {
            const void *data;
            size_t size = message(&frames[f], expected, i);
            CHECK_INT(size, weft_buffered_read_frame(b, &frames[f], &data, io_patience()));
            CHECK_MEM(expected, data, size);
        }
    free(expected);
}

/* S001-31: every message arrives as it was sent, whatever sticks together on the way. */
TEST_WAITERS(buffered_messages_arrive_one_by_one)
{
    both x = open_both(&(weft_buffered_options){.read_size = 64}, NULL);
    test_spawn(t, send_messages, x.a);
    receives_messages(x.b);
    test_join(t);
    const void *data;
    weft_stream_shutdown(weft_buffered_stream(x.a), WEFT_SHUTDOWN_SEND);
    for (size_t f = 0; f < FRAMES; f++)
        CHECK_ERR(-WEFT_EEOF, weft_buffered_read_frame(x.b, &frames[f], &data, io_patience()));
    close_both(x);
}

/* Byte by byte, with a deadline that passes before each: nothing is lost. */
TEST_WAITERS(buffered_message_comes_across_many_deadlines)
{
    static const struct {
        weft_frame frame;
        const char *bytes;
        size_t n;
    } cases[] = {{{.length_bytes = 2}, "\0\5hello", 7},
                 {{.kind = WEFT_FRAME_DELIMITER, .delimiter = "\r\n", .delimiter_size = 2}, "hello\r\n", 7},
                 {{.kind = WEFT_FRAME_FIXED, .size = 5}, "hello", 5}};
    for (size_t c = 0; c < 3; c++) {
        both x = open_both(NULL, NULL);
        const void *data;
        for (size_t i = 0; i < cases[c].n; i++) {
            CHECK_ERR(-ETIMEDOUT,
                      weft_buffered_read_frame(x.b, &cases[c].frame, &data, i % 3 ? WEFT_NOW : weft_in_ms(2)));
            CHECK_INT(1, weft_stream_send(weft_buffered_stream(x.a), cases[c].bytes + i, 1, io_patience()));
        }
        CHECK_INT(5, weft_buffered_read_frame(x.b, &cases[c].frame, &data, io_patience()));
        CHECK_MEM("hello", data, 5);
        close_both(x);
    }
}

TEST_WAITERS(buffered_message_that_is_broken_off_is_told)
{
    static const char *const halves[] = {"\0", "\0\5", "\0\5hell"};
    for (size_t i = 0; i < 3; i++) {
        both x = open_both(NULL, NULL);
        const void *data;
        size_t n = i == 0 ? 1 : i == 1 ? 2 : 6;
        CHECK_INT(n, weft_stream_send(weft_buffered_stream(x.a), halves[i], n, io_patience()));
        weft_stream_shutdown(weft_buffered_stream(x.a), WEFT_SHUTDOWN_SEND);
        CHECK_ERR(-WEFT_ETRUNCATED,
                  weft_buffered_read_frame(x.b, &(weft_frame){.length_bytes = 2}, &data, io_patience()));
        close_both(x);
    }
}

/* What a peer announces costs nothing until it comes. */
TEST(buffered_hostile_length_costs_no_memory)
{
    both x = open_both(&(weft_buffered_options){.limit = 1 << 30}, NULL);
    const void *data;
    long before = test_rss_kb();
    CHECK_INT(4, weft_stream_send(weft_buffered_stream(x.a), "\x3f\xff\xff\xff", 4, io_patience()));
    CHECK_ERR(-ETIMEDOUT, weft_buffered_read_frame(x.b, &(weft_frame){0}, &data, weft_in_ms(20)));
    CHECK_BETWEEN(0, 10000, test_rss_kb() - before);
    close_both(x);
    x = open_both(NULL, NULL);
    CHECK_INT(4, weft_stream_send(weft_buffered_stream(x.a), "\x3f\xff\xff\xff", 4, io_patience()));
    CHECK_ERR(-EMSGSIZE, weft_buffered_read_frame(x.b, &(weft_frame){0}, &data, io_patience()));
    CHECK_ERR(-EMSGSIZE, weft_buffered_read_frame(x.b, &(weft_frame){0}, &data, io_patience()));
    CHECK_ERR(-EINVAL, weft_buffered_read_frame(x.b, &(weft_frame){.length_bytes = 3}, &data, WEFT_NOW));
    close_both(x);
}

static int flush_in_vain(void *arg)
{
    CHECK_ERR(-EPIPE, weft_buffered_flush(arg, io_patience()));
    return 0;
}

/* Who asks how much is unsent is told so also while another waits for room to send it. */
TEST_WAITERS(buffered_unsent_does_not_wait_for_a_writer)
{
    static const char much[1 << 20];
    weft_stream *pair[2]; /* in these nothing is on its way, so once full is full */
    weft_buffered *b;
    CHECK_OK(weft_unix_pair(pair));
    CHECK_OK(weft_buffered_open(&b, pair[0], NULL));
    CHECK_ERR(-ETIMEDOUT, weft_stream_send(pair[0], much, sizeof much, WEFT_NOW));
    while (weft_stream_send(pair[0], much, 1, WEFT_NOW) > 0)
        ;
    CHECK_INT(8, weft_buffered_write(b, "unsent..", 8, io_patience()));
    test_spawn(t, flush_in_vain, b);
    for (weft_until end = weft_in_ms(50); weft_left(end) > 0; weft_yield())
        CHECK_INT(8, weft_buffered_unsent(b));
    weft_stream_close(pair[1]);
    test_join(t);
    weft_buffered_close(b);
}

static int read_everything(void *arg)
{
    weft_buffered *b = arg;
    const void *data;
    ssize_t n;
    for (unsigned expected = 0; (n = weft_buffered_read_frame(b, &(weft_frame){0}, &data, io_patience())) > 0;
         expected++) {
        unsigned number;
        memcpy(&number, data, sizeof number);
        CHECK_INT(expected, number);
        CHECK_INT(300000, n);
    }
    CHECK_INT(0, n); /* the last is empty */
    return 0;
}

/* A frame that was begun when the deadline came is kept, and everything arrives once and whole. */
TEST_WAITERS_LIMIT(30, buffered_message_that_was_begun_goes_on)
{
    both x = open_both(NULL, &(weft_tcp_options){.send_buffer = 20000, .recv_buffer = 20000});
    unsigned *data = calloc(1, 300000);
    ssize_t n;
    unsigned begun = 0;
    while ((n = weft_buffered_write_frame(x.a, &(weft_frame){0}, data, 300000, weft_in_ms(5))) > 0)
        ++*data;
    CHECK_ERR(-EINPROGRESS, n);
    CHECK(weft_buffered_unsent(x.a) > 0);
    begun = ++*data;
    CHECK_ERR(-ETIMEDOUT, weft_buffered_write_frame(x.a, &(weft_frame){0}, data, 300000, WEFT_NOW)); /* not taken */
    CHECK_ERR(-ETIMEDOUT, weft_buffered_flush(x.a, WEFT_NOW));
    test_spawn(t, read_everything, x.b);
    for (; *data < begun + 10; ++*data)
        CHECK_INT(300000, weft_buffered_write_frame(x.a, &(weft_frame){0}, data, 300000, io_patience()));
    CHECK_INT(0, weft_buffered_write_frame(x.a, &(weft_frame){0}, "", 0, io_patience()));
    test_join(t);
    free(data);
    close_both(x);
}

/* ---- several writers ---- */

typedef struct crowd {
    weft_buffered *b;
    uint32_t next; /* atomic */
} crowd;

static int write_as_one_of_many(void *arg)
{
    crowd *c = arg;
    unsigned char data[500], who = (unsigned char)add_seq_cst(&c->next, 1u);
    memset(data, who, sizeof data);
    for (size_t i = 0; i < 200; i++)
        CHECK_INT(100 + i, weft_buffered_write_frame(c->b, &(weft_frame){0}, data, 100 + i, io_patience()));
    return 0;
}

TEST_WAITERS_LIMIT(30, buffered_messages_of_several_writers_do_not_mix)
{
    both x = open_both(NULL, &(weft_tcp_options){.send_buffer = 5000});
    crowd c = {.b = x.a};
    size_t seen[4] = {0};
    for (int i = 0; i < 4; i++)
        test_spawn(t, write_as_one_of_many, &c);
    for (int i = 0; i < 4 * 200; i++) {
        const void *data;
        ssize_t n = weft_buffered_read_frame(x.b, &(weft_frame){0}, &data, io_patience());
        CHECK(n > 0);
        const unsigned char *bytes = data;
        CHECK(bytes[0] < 4);
        CHECK_INT(100 + seen[bytes[0]]++, n);
        for (ssize_t j = 1; j < n; j++)
            CHECK_INT(bytes[0], bytes[j]);
    }
    test_join(t);
    close_both(x);
}

/* ---- faults ---- */

TEST(buffered_open_and_growth_without_memory_are_errors)
{
    io_pair p = io_stream_pair(NULL);
    weft_buffered *a, *b;
    const char *line;
    CHECK_ERR(-EINVAL, weft_buffered_open(&a, p.a, &(weft_buffered_options){.limit = (size_t)1 << 40}));
    for (uint32_t nth = 1; nth <= 3; nth++) {
        weft__sys_plan(WEFT__SYS_MALLOC, nth, 1, -ENOMEM, 0);
        CHECK_ERR(-ENOMEM, weft_buffered_open(&a, p.a, NULL));
        weft__sys_plan_none();
    }
    CHECK_OK(weft_buffered_open(&a, p.a, &(weft_buffered_options){.read_size = 10}));
    CHECK_OK(weft_buffered_open(&b, p.b, NULL));
    put(b, "a line of more than ten\n");
    weft__sys_plan(WEFT__SYS_MALLOC, 1, 1, -ENOMEM, 0);
    CHECK_ERR(-ENOMEM, weft_buffered_read_line(a, &line, io_patience()));
    weft__sys_plan_none();
    reads_line(a, "a line of more than ten"); /* nothing was lost by it */
    weft_buffered_close(a);
    CHECK_ERR(-WEFT_EEOF, weft_buffered_read_line(b, &line, io_patience()));
    weft_buffered_close(b);
    weft_buffered_close(NULL);
}

/* S001-29. */
TEST_WAITERS(buffered_write_to_a_peer_that_has_left_is_an_error)
{
    both x = open_both(NULL, NULL);
    weft_buffered_close(x.b);
    ssize_t n;
    while ((n = weft_buffered_write_frame(x.a, &(weft_frame){0}, "x", 1, io_patience())) == 1)
        ;
    CHECK(n == -EPIPE || n == -ECONNRESET);
    weft_buffered_close(x.a);
}
