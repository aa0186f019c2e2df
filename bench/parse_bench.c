/* parse_bench.c - request heads a second, in one thread, from one buffer. The baseline is the least that any parser of
 * lines can do: find every line end with memchr. One operation is one request. */
#include "bench.h"
#include "http/parse.h"

#include <string.h>

enum {
    PIPELINED = 16
};

static const char small[] =
    "GET /index.html HTTP/1.1\r\nHost: localhost:8000\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n";

static const char browser[] =
    "GET /assets/app.css?v=12 HTTP/1.1\r\nHost: example.org\r\nConnection: keep-alive\r\n"
    "sec-ch-ua: \"Chromium\";v=\"120\", \"Not?A_Brand\";v=\"24\"\r\nsec-ch-ua-mobile: ?0\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 "
    "Safari/537.36\r\n"
    "sec-ch-ua-platform: \"Linux\"\r\nAccept: text/css,*/*;q=0.1\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: "
    "no-cors\r\n"
    "Sec-Fetch-Dest: style\r\nReferer: https://example.org/\r\nAccept-Encoding: gzip, deflate, br\r\n"
    "Accept-Language: en-US,en;q=0.9\r\nIf-None-Match: \"65a1b2c3-4d5e\"\r\n"
    "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n";

/* `head` sixteen times, as pipelined requests lie in a buffer. */
static char *pipeline(const char *head, size_t len)
{
    char *p = malloc(len * PIPELINED);
    BENCH_MUST(p != NULL ? 0 : -1);
    for (size_t i = 0; i < PIPELINED; i++)
        memcpy(p + i * len, head, len);
    return p;
}

static void parse_all(bench *b, const char *head, size_t len)
{
    char *buf = pipeline(head, len);
    size_t total = len * PIPELINED, at = 0;

    bench_start(b);
    for (uint64_t i = 0; i < b->n; i++) {
        weft__http_head h;
        weft__http_head_init(&h);
        if (weft__http_parse(&h, buf + at, total - at, NULL) != WEFT__HTTP_DONE)
            abort();
        at = at + h.size < total ? at + h.size : 0;
    }
    bench_stop(b);
    free(buf);
}

static void find_lines(bench *b, const char *head, size_t len)
{
    char *buf = pipeline(head, len);
    const char *end = buf + len * PIPELINED, *p = buf;

    bench_start(b);
    for (uint64_t i = 0; i < b->n; i++) {
        const char *line;
        do {
            line = p;
            p = (const char *)memchr(p, '\n', (size_t)(end - p)) + 1;
        } while (p - line > 2);
        if (p == end)
            p = buf;
    }
    bench_stop(b);
    free(buf);
}

BENCH_BASELINE(parse_small_get_memchr, .cores = 1)
{
    find_lines(b, small, sizeof small - 1);
}

BENCH(parse_small_get, .baseline = "parse_small_get_memchr", .value_at_most = 100, .cores = 1)
{
    parse_all(b, small, sizeof small - 1);
}

BENCH_BASELINE(parse_browser_get_memchr, .cores = 1)
{
    find_lines(b, browser, sizeof browser - 1);
}

BENCH(parse_browser_get, .baseline = "parse_browser_get_memchr", .cores = 1)
{
    parse_all(b, browser, sizeof browser - 1);
}
