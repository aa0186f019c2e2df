/* site_test.c - a site on a server in this process: what opening refuses, what planned failures of system calls and of
 * memory do to answers, and that nothing leaks. What it answers is the business of tests/web. */
#include "http/site_support.h"

#include "sys/sys.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static void write_file(const char *name, size_t size)
{
    char full[4200];
    snprintf(full, sizeof full, "%s/%s", test_dir(), name);
    FILE *f = fopen(full, "w");
    CHECK(f != NULL);
    for (size_t i = 0; i < size; i++)
        fputc("weft\n"[i % 5], f);
    CHECK_OK(fclose(f));
}

static void make_tree(void)
{
    char full[4200];
    write_file("small.txt", 100);
    write_file("text.txt", 5000);
    write_file("large.bin", 300000);
    write_file("pre.css", 5000);
    write_file("pre.css.gz", 50);
    snprintf(full, sizeof full, "%s/list", test_dir());
    CHECK_OK(mkdir(full, 0755));
    write_file("list/a", 1);
    write_file("list/b", 1);
    usleep(50000); /* past the time in which a file counts as just written */
}

static void check_refused(int expected, const char *option, weft_http_options o)
{
    weft_http *site = NULL;
    CHECK_ERR(expected, weft_http_open(&site, &o));
    CHECK(site == NULL);
    CHECK_STR(option, weft_http_open_error());
}

TEST(site_open_says_what_is_wrong)
{
    write_file("file", 1);
    char file[4200];
    snprintf(file, sizeof file, "%s/file", test_dir());
    check_refused(-EINVAL, "root", (weft_http_options){0});
    check_refused(-EINVAL, "root", (weft_http_options){.root = ""});
    check_refused(-ENOENT, "root", (weft_http_options){.root = "/no/such"});
    check_refused(-ENOTDIR, "root", (weft_http_options){.root = file});
    check_refused(-EINVAL, "index", (weft_http_options){.root = "/", .index = "a/b"});
    check_refused(-EINVAL, "index", (weft_http_options){.root = "/", .index = "a,.b"});
    check_refused(-EINVAL, "index", (weft_http_options){.root = "/", .index = "1,2,3,4,5,6,7,8,9"});
    check_refused(-EINVAL, "cache_file_size", (weft_http_options){.root = "/", .cache_file_size = 1 << 30});
    check_refused(-EINVAL, "head_max", (weft_http_options){.root = "/", .head_max = 1 << 20});
    check_refused(-ENOENT, "log", (weft_http_options){.root = "/", .log = "/no/such/log"});
    check_refused(-ENOENT, "mime_types", (weft_http_options){.root = "/", .mime_types = "/no/such"});
    char endless[200] = {0};
    memset(endless, 'x', sizeof endless - 1);
    check_refused(-EINVAL, "server_field", (weft_http_options){.root = "/", .server_field = endless});
}

TEST(site_open_needs_openat2)
{
    weft_http *site;
    weft__sys_plan(WEFT__SYS_OPEN, 2, 1, -ENOSYS, 0); /* the first opens the root by name, the second beneath it */
    CHECK_ERR(-ENOSYS, weft_http_open(&site, &(weft_http_options){.root = "/"}));
    weft__sys_plan_none();
    CHECK_STR("root", weft_http_open_error());
}

TEST(site_open_fails_whole)
{
    static const enum weft__sys_call calls[] = {WEFT__SYS_OPEN, WEFT__SYS_MALLOC, WEFT__SYS_STAT, WEFT__SYS_READ};
    char log[4200];
    snprintf(log, sizeof log, "%s/log", test_dir());
    for (unsigned c = 0; c < sizeof calls / sizeof calls[0]; c++) {
        int err = -1;
        for (uint32_t nth = 1; err < 0; nth++) {
            weft_http *site = NULL;
            CHECK_BETWEEN(1, 100, nth);
            weft__sys_plan(calls[c], nth, 1, calls[c] == WEFT__SYS_MALLOC ? -ENOMEM : -EMFILE, 0);
            err = weft_http_open(&site, &(weft_http_options){.root = test_dir(), .log = log, .index = "a,b"});
            uint32_t seen = weft__sys_seen(calls[c]);
            weft__sys_plan_none();
            if (err == 0)
                weft_http_close(site);
            if (seen < nth)
                break;
            err = -1;
        }
    }
}

/* S001-135: a log that was rotated while the release is being exchanged. */
TEST(site_reload_opens_the_log_anew_also_where_there_is_no_root)
{
    char root[4200], log[4200], old[4200];
    weft_http *site;
    snprintf(root, sizeof root, "%s/root", test_dir());
    snprintf(log, sizeof log, "%s/log", test_dir());
    snprintf(old, sizeof old, "%s/log.1", test_dir());
    CHECK_OK(mkdir(root, 0700));
    CHECK_OK(weft_http_open(&site, &(weft_http_options){.root = root, .log = log}));
    CHECK_OK(rmdir(root));
    CHECK_OK(rename(log, old));
    CHECK_ERR(-ENOENT, weft_http_reload(site));
    CHECK_OK(access(log, F_OK));
    weft_http_close(site);
}

static running start(const serve_kind *kind, weft_http_options o)
{
    running r;
    weft_server_options options = {.threads = 2};
    o.root = test_dir();
    CHECK_OK(weft_http_open(&r.site, &o));
    return run_site(kind, r, options);
}

/* The status of the answer to this request, on a connection of its own; 0: closed without one. */
static int status_of(running r, const char *request)
{
    int fd = client_open(weft_server_port(r.server));
    client_say(fd, request);
    char buf[65536];
    size_t have = 0;
    ssize_t n;
    int status = 0;
    while ((n = recv(fd, buf + have, sizeof buf - 1 - have, 0)) > 0) { /* a reset is an end too: memory may be short */
        buf[have + (size_t)n] = 0;
        if (status == 0)
            sscanf(buf, "HTTP/1.1 %d ", &status);
        have = status == 0 ? have + (size_t)n : 0;
    }
    CHECK(n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK));
    client_close(fd);
    return status;
}

#define END " HTTP/1.1\r\nHost: t\r\nConnection: close\r\n"

static const char *const requests[] = {
    "GET /small.txt" END "\r\n",
    "GET /text.txt" END "Accept-Encoding: gzip\r\n\r\n",
    "GET /large.bin" END "\r\n",
    "GET /large.bin" END "Range: bytes=0-9,100000-200000\r\n\r\n",
    "GET /pre.css" END "Accept-Encoding: gzip\r\n\r\n",
    "GET /list/" END "\r\n",
    "GET /missing" END "\r\n",
    "GET /list" END "\r\n",
    "POST /" END "Content-Length: 5\r\n\r\nhello",
};

SERVE_CASE_LIMIT(60, site_survives_every_failure_of_a_file_call)
{
    static const enum weft__sys_call calls[] = {WEFT__SYS_OPEN, WEFT__SYS_STAT, WEFT__SYS_READ, WEFT__SYS_GETDENTS,
                                                WEFT__SYS_SENDFILE};
    static const int errors[] = {-EMFILE, -EIO, -EAGAIN, -ENOENT};
    make_tree();
    running r = start(kind, (weft_http_options){.listing = 1, .cache_size = -1});
    for (unsigned c = 0; c < sizeof calls / sizeof calls[0]; c++)
        for (unsigned q = 0; q < sizeof requests / sizeof requests[0]; q++)
            for (uint32_t nth = 1; nth <= 12; nth++) {
                weft__sys_plan(calls[c], nth, 1, errors[nth % 4], 0);
                int status = status_of(r, requests[q]);
                uint32_t seen = weft__sys_seen(calls[c]);
                weft__sys_plan_none();
                CHECK(status == 0 || (status >= 200 && status <= 504));
                if (seen < nth)
                    break;
            }
    for (unsigned q = 0; q < 6; q++)
        CHECK_BETWEEN(200, 206, status_of(r, requests[q]));
    stop(r);
}

SERVE_CASE_LIMIT(60, site_survives_every_failure_of_memory)
{
    make_tree();
    running r = start(kind, (weft_http_options){.listing = 1, .cache_size = -1});
    for (unsigned q = 0; q < sizeof requests / sizeof requests[0]; q++)
        for (uint32_t nth = 1; nth <= 30; nth++) {
            weft__sys_plan(WEFT__SYS_MALLOC, nth, 1, -ENOMEM, 0);
            (void)status_of(r, requests[q]);
            uint32_t seen = weft__sys_seen(WEFT__SYS_MALLOC);
            weft__sys_plan_none();
            if (seen < nth)
                break;
        }
    for (unsigned q = 0; q < 6; q++)
        CHECK_BETWEEN(200, 206, status_of(r, requests[q]));
    stop(r);
}

SERVE_HERE_CASE(site_without_descriptors_says_503_and_recovers)
{
    make_tree();
    running r = start(kind, (weft_http_options){0});
    weft__sys_plan(WEFT__SYS_OPEN, 1, 1000, -EMFILE, 0);
    CHECK_INT(503, status_of(r, requests[0]));
    weft__sys_plan_none();
    CHECK_INT(200, status_of(r, requests[0]));
    stop(r);
}

SERVE_HERE_CASE(site_counts)
{
    make_tree();
    running r = start(kind, (weft_http_options){0});
    for (int i = 0; i < 10; i++)
        CHECK_INT(200, status_of(r, requests[0]));
    CHECK_INT(404, status_of(r, requests[6]));
    weft_http_stats stats;
    serve_stop(r.server); /* the counts of its workers are in when they have ended */
    weft_http_get_stats(r.site, &stats);
    CHECK_INT(11, stats.requests);
    CHECK_INT(1, stats.errors);
    CHECK_INT(9, stats.cache_hits);
    CHECK(stats.cache_bytes > 100);
    weft_http_close(r.site);
}

TEST(site_close_takes_null)
{
    weft_http_close(NULL);
}
