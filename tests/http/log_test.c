/* log_test.c - the access log: its format, and L1 to L3 of http/log.h. */
#include "harness/harness.h"

#include "http/log.h"
#include "sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static const weft__log_line plain = {
    .peer = {"192.0.2.7", 9},
    .method = {"GET", 3},
    .target = {"/a?b", 4},
    .referer = {"http://x/", 9},
    .agent = {"agent", 5},
    .minor = 1,
    .status = 200,
    .bytes = 1234,
    .second = 784111777,
};

static weft__log_shared shared;

static const char *log_name(void)
{
    static char name[4096];
    snprintf(name, sizeof name, "%s/log", test_dir());
    return name;
}

static char *contents(const char *name)
{
    static char text[1 << 20];
    FILE *f = fopen(name, "r");
    CHECK(f != NULL);
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = 0;
    return text;
}

/* One line through a log of its own. */
static char *written(const weft__log_line *line)
{
    weft__log log;
    weft__log_buffer b;
    unlink(log_name());
    CHECK_OK(weft__log_open(&log, log_name(), &shared));
    CHECK_OK(weft__log_buffer_open(&b, &log));
    weft__log_add(&b, line);
    weft__log_buffer_close(&b);
    weft__log_close(&log);
    return contents(log_name());
}

TEST(log_line_is_in_combined_format)
{
    CHECK_STR("192.0.2.7 - - [06/Nov/1994:08:49:37 +0000] \"GET /a?b HTTP/1.1\" 200 1234 \"http://x/\" \"agent\"\n",
              written(&plain));
    weft__log_line line = plain;
    line.minor = 0;
    line.bytes = 0;
    line.referer = line.agent = (weft__span){NULL, 0};
    CHECK_STR("192.0.2.7 - - [06/Nov/1994:08:49:37 +0000] \"GET /a?b HTTP/1.0\" 200 - \"-\" \"-\"\n", written(&line));
    line.minor = -1;
    line.status = 400;
    CHECK_STR("192.0.2.7 - - [06/Nov/1994:08:49:37 +0000] \"-\" 400 - \"-\" \"-\"\n", written(&line));
}

TEST(log_escapes_what_could_forge_a_line)
{
    weft__log_line line = plain;
    line.agent = WEFT__SPAN("a\"b\\c\n\x1b[31m\x7f\xff");
    CHECK(strstr(written(&line), "\"a\\x22b\\x5cc\\x0a\\x1b[31m\\x7f\\xff\"\n") != NULL);
}

/* A client of a Unix socket has bound its own to a name of its choice. */
TEST(log_shows_a_peer_as_one_word_whatever_it_calls_itself)
{
    weft__log_line line = plain;
    line.peer = WEFT__SPAN("unix:@x  \n192.0.2.8 - - [");
    CHECK(strncmp("unix:@x\\x20\\x20\\x0a192.0.2.8\\x20-\\x20-\\x20[ - - [06/Nov", written(&line), 50) == 0);
    line.peer = WEFT__SPAN("unix:");
    CHECK(strncmp("unix: - - [", written(&line), 11) == 0);
}

TEST(log_leaves_out_fields_that_do_not_fit)
{
    static char huge[40000];
    memset(huge, '\x01', sizeof huge);
    weft__log_line line = plain;
    line.agent = line.target = (weft__span){huge, sizeof huge};
    CHECK_STR("192.0.2.7 - - [06/Nov/1994:08:49:37 +0000] \"-\" 200 1234 \"http://x/\" \"-\"\n", written(&line));
}

TEST(log_writes_in_batches_and_loses_nothing)
{
    weft__log log;
    weft__log_buffer b;
    CHECK_OK(weft__log_open(&log, log_name(), &shared));
    CHECK_OK(weft__log_buffer_open(&b, &log));
    for (int i = 0; i < 3000; i++) {
        weft__log_line line = plain;
        line.bytes = (uint64_t)i + 1;
        weft__log_add(&b, &line);
    }
    weft__log_flush(&b);
    const char *text = contents(log_name());
    for (int i = 0; i < 3000; i++) {
        char want[32];
        snprintf(want, sizeof want, "\" 200 %d \"", i + 1);
        const char *end = strchr(text, '\n'), *at = strstr(text, want);
        CHECK(end != NULL && at != NULL && at < end);
        text = end + 1;
    }
    CHECK_INT(0, shared.dropped);
    weft__log_buffer_close(&b);
    weft__log_close(&log);
}

TEST(log_counts_lines_it_cannot_write)
{
    weft__log log;
    weft__log_buffer b;
    CHECK_OK(weft__log_open(&log, log_name(), &shared));
    CHECK_OK(weft__log_buffer_open(&b, &log));
    weft__log_add(&b, &plain);
    weft__log_add(&b, &plain);
    weft__sys_plan(WEFT__SYS_WRITE, 1, 1, -ENOSPC, 0);
    weft__log_flush(&b);
    CHECK_INT(2, shared.dropped);
    weft__log_add(&b, &plain);
    weft__log_flush(&b);
    weft__sys_plan_none();
    CHECK_INT(2, shared.dropped);
    CHECK(strstr(contents(log_name()), "GET /a?b") != NULL);
    weft__log_buffer_close(&b);
    weft__log_close(&log);
}

/* No room on the disk in the middle of a line: S001-101. */
TEST(log_goes_on_with_a_new_line_when_there_is_room_again)
{
    weft__log log;
    weft__log_buffer b;
    char *line = strdup(written(&plain));
    size_t size = strlen(line);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit all, little = {.rlim_cur = size * 2 + 10};
    CHECK_OK(getrlimit(RLIMIT_FSIZE, &all));
    little.rlim_max = all.rlim_max;
    CHECK_OK(weft__log_open(&log, log_name(), &shared)); /* behind the line that is there */
    CHECK_OK(weft__log_buffer_open(&b, &log));
    for (int i = 0; i < 3; i++)
        weft__log_add(&b, &plain);
    CHECK_OK(setrlimit(RLIMIT_FSIZE, &little));
    weft__log_flush(&b);
    CHECK_INT(2, shared.dropped); /* one of the three is there */
    CHECK_OK(setrlimit(RLIMIT_FSIZE, &all));
    for (int i = 0; i < 2; i++)
        weft__log_add(&b, &plain);
    weft__log_flush(&b);
    weft__log_add(&b, &plain);
    weft__log_buffer_close(&b);
    weft__log_close(&log);
    CHECK_INT(2, shared.dropped);
    char expected[2048];
    snprintf(expected, sizeof expected, "%s%s%.10s\n%s%s%s", line, line, line, line, line, line);
    CHECK_STR(expected, contents(log_name()));
    free(line);
}

/* While the other buffer is being written, this one runs full: a line is whole or is not there. */
TEST(log_line_that_the_buffer_has_no_room_for_is_dropped_whole)
{
    enum {
        LINES = 1000
    };
    weft__log log;
    weft__log_buffer b;
    char target[301];
    memset(target, 'x', sizeof target - 1);
    target[0] = '/';
    target[300] = 0;
    weft__log_line line = plain;
    for (unsigned extra = 0; extra < 100; extra += 7) { /* what is left at the end is another each time */
        shared.dropped = 0;
        line.target = (weft__span){target, 200 + extra};
        unlink(log_name());
        CHECK_OK(weft__log_open(&log, log_name(), &shared));
        CHECK_OK(weft__log_buffer_open(&b, &log));
        char *other = b.spare;
        b.spare = NULL;
        for (unsigned i = 0; i < LINES; i++)
            weft__log_add(&b, &line);
        b.spare = other;
        weft__log_buffer_close(&b);
        weft__log_close(&log);
        unsigned whole = 0;
        for (const char *at = contents(log_name()); *at != 0; at = strchr(at, '\n') + 1) {
            whole++;
            CHECK(strstr(at, "] \"GET /xx") == strchr(at, ']'));
        }
        CHECK_INT(LINES, whole + shared.dropped);
        CHECK(shared.dropped > 0);
    }
}

TEST(log_that_nobody_reads_drops_lines_and_says_so_later)
{
    int ends[2], out = dup(1);
    CHECK_OK(pipe(ends));
    weft__log log;
    weft__log_buffer b;
    CHECK(dup2(ends[1], 1) == 1); /* standard output is that pipe now */
    CHECK_OK(weft__log_open(&log, "-", &shared));
    CHECK_OK(weft__log_buffer_open(&b, &log));
    for (int i = 0; i < 20000; i++)
        weft__log_add(&b, &plain);
    weft__log_flush(&b);
    CHECK(dup2(out, 1) == 1);
    CHECK(shared.dropped > 10000);
    CHECK(log.stuck);
    weft__log_buffer_close(&b);
    weft__log_close(&log);
    close(out);
    close(ends[0]);
    close(ends[1]);
}

TEST(log_is_opened_anew_by_its_name)
{
    char old[4200];
    weft__log log;
    weft__log_buffer b;
    snprintf(old, sizeof old, "%s.1", log_name());
    CHECK_OK(weft__log_open(&log, log_name(), &shared));
    CHECK_OK(weft__log_buffer_open(&b, &log));
    weft__log_add(&b, &plain);
    weft__log_flush(&b);
    CHECK_OK(rename(log_name(), old));
    CHECK_OK(weft__log_reopen(&log));
    weft__log_line line = plain;
    line.agent = WEFT__SPAN("later");
    weft__log_add(&b, &line);
    weft__log_buffer_close(&b);
    CHECK(strstr(contents(log_name()), "later") != NULL);
    CHECK(strstr(contents(old), "later") == NULL);
    weft__sys_plan(WEFT__SYS_OPEN, 1, 1, -EACCES, 0);
    CHECK_ERR(-EACCES, weft__log_reopen(&log));
    weft__sys_plan_none();
    CHECK(log.fd >= 0);
    weft__log_close(&log);
}

TEST(log_of_no_name_does_nothing)
{
    weft__log log;
    weft__log_buffer b;
    CHECK_OK(weft__log_open(&log, NULL, &shared));
    CHECK_OK(weft__log_buffer_open(&b, &log));
    weft__log_add(&b, &plain);
    weft__log_flush(&b);
    CHECK_ERR(-ENOENT, weft__log_reopen(&log));
    weft__log_buffer_close(&b);
    weft__log_close(&log);
}

TEST(log_open_fails_whole)
{
    weft__log log;
    CHECK_ERR(-ENOENT, weft__log_open(&log, "/no/such/directory/log", &shared));
    weft__log_close(&log);
    weft__sys_plan(WEFT__SYS_MALLOC, 1, 1, -ENOMEM, 0);
    CHECK_ERR(-ENOMEM, weft__log_open(&log, log_name(), &shared));
    weft__sys_plan_none();
    weft__log_close(&log);
}
