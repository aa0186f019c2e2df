/* parse_head_test.c - what the parser gives out: slices, fields, limits, pipelined requests. */
#include "http/parse_support.h"

#include "harness/harness.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static weft__http_head parse_ok(const char *text)
{
    weft__http_head h;
    CHECK_INT(WEFT__HTTP_DONE, parse_whole(&h, text, strlen(text), NULL));
    return h;
}

TEST(parse_gives_the_parts_of_each_target_form)
{
    static const struct {
        const char *method, *target, *path, *query, *authority;
        enum weft__http_form form;
        bool has_query;
    } rows[] = {
        {"GET", "/", "/", "", "h:1", WEFT__HTTP_ORIGIN, false},
        {"GET", "/a/b?c=d", "/a/b", "c=d", "h:1", WEFT__HTTP_ORIGIN, true},
        {"GET", "/a?", "/a", "", "h:1", WEFT__HTTP_ORIGIN, true},
        {"GET", "/a?b?c", "/a", "b?c", "h:1", WEFT__HTTP_ORIGIN, true},
        {"GET", "//b/c", "//b/c", "", "h:1", WEFT__HTTP_ORIGIN, false},
        {"GET", "http://x.y:80/a?b", "/a", "b", "x.y:80", WEFT__HTTP_ABSOLUTE, true},
        {"GET", "http://x", "", "", "x", WEFT__HTTP_ABSOLUTE, false},
        {"GET", "http://x?b", "", "b", "x", WEFT__HTTP_ABSOLUTE, true},
        {"GET", "hTTp://[::1]/", "/", "", "[::1]", WEFT__HTTP_ABSOLUTE, false},
        {"OPTIONS", "*", "", "", "h:1", WEFT__HTTP_ASTERISK, false},
        {"CONNECT", "x:1", "", "", "x:1", WEFT__HTTP_AUTHORITY, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[200];
        snprintf(text, sizeof text, "%s %s HTTP/1.1\r\nHost: h:1\r\n\r\nrest", rows[i].method, rows[i].target);
        weft__http_head h = parse_ok(text);
        CHECK(slice_is(text, h.method_name, rows[i].method));
        CHECK(slice_is(text, h.target, rows[i].target));
        CHECK(slice_is(text, h.path, rows[i].path));
        CHECK(slice_is(text, h.query, rows[i].query));
        CHECK(slice_is(text, h.authority, rows[i].authority));
        CHECK_INT(rows[i].form, h.form);
        CHECK_INT(rows[i].has_query, h.has_query);
        CHECK_STR("rest", text + h.size);
    }
}

TEST(parse_knows_every_method)
{
    static const char *names[] = {"BREW",   "GET",     "HEAD",    "POST",  "PUT",
                                  "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"};
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        char text[100];
        snprintf(text, sizeof text, "%s %s HTTP/1.1\r\nHost: a\r\n\r\n", names[i],
                 i == WEFT__HTTP_CONNECT ? "a:1" : "/");
        weft__http_head h = parse_ok(text);
        CHECK_INT(i, h.method);
    }
}

static const char *const field_names[WEFT__FIELD_COUNT] = {
    [WEFT__FIELD_HOST] = "Host",
    [WEFT__FIELD_CONTENT_LENGTH] = "Content-Length",
    [WEFT__FIELD_TRANSFER_ENCODING] = "Transfer-Encoding",
    [WEFT__FIELD_CONNECTION] = "Connection",
    [WEFT__FIELD_EXPECT] = "Expect",
    [WEFT__FIELD_RANGE] = "Range",
    [WEFT__FIELD_IF_RANGE] = "If-Range",
    [WEFT__FIELD_IF_MATCH] = "If-Match",
    [WEFT__FIELD_IF_NONE_MATCH] = "If-None-Match",
    [WEFT__FIELD_IF_MODIFIED_SINCE] = "If-Modified-Since",
    [WEFT__FIELD_IF_UNMODIFIED_SINCE] = "If-Unmodified-Since",
    [WEFT__FIELD_ACCEPT_ENCODING] = "Accept-Encoding",
    [WEFT__FIELD_USER_AGENT] = "User-Agent",
    [WEFT__FIELD_REFERER] = "Referer",
};

TEST(parse_finds_every_known_field_in_any_case_and_no_neighbour_of_it)
{
    for (unsigned id = WEFT__FIELD_CONNECTION; id < WEFT__FIELD_COUNT; id++) {
        size_t n = strlen(field_names[id]);
        for (int variant = 0; variant < 3; variant++) {
            char name[32], text[200];
            for (size_t i = 0; i <= n; i++) {
                char c = field_names[id][i];
                bool letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
                name[i] = letter && variant > 0 ? (char)(variant == 1 ? c | 0x20 : c & ~0x20) : c;
            }
            snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: a\r\n%s:  the value \t\r\n\r\n", name);
            weft__http_head h = parse_ok(text);
            CHECK(weft__http_has(&h, (enum weft__http_field)id));
            CHECK(span_is(weft__http_value(&h, text, (enum weft__http_field)id), "the value"));
            CHECK_INT(1U << id | 1U << WEFT__FIELD_HOST, h.present);
        }
        for (size_t i = 0; i < n; i++) { /* one byte of the name is another token byte */
            char text[200];
            int at = snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: a\r\n");
            snprintf(text + at, sizeof text - (size_t)at, "%s: v\r\n\r\n", field_names[id]);
            text[(size_t)at + i] = '~';
            weft__http_head h = parse_ok(text);
            CHECK_INT(1U << WEFT__FIELD_HOST, h.present);
            CHECK(weft__http_value(&h, text, (enum weft__http_field)id).data == NULL);
        }
    }
}

TEST(parse_lists_all_fields_in_order)
{
    const char *text = "GET / HTTP/1.1\r\nHost: a\r\nX:\r\ny-Z: \t b c:d \r\nX: e\r\n\r\n";
    static const char *expected[][2] = {{"Host", "a"}, {"X", ""}, {"y-Z", "b c:d"}, {"X", "e"}};
    weft__http_head h = parse_ok(text);
    uint32_t cursor = 0;
    weft__span name, value;
    for (unsigned i = 0; i < 4; i++) {
        CHECK(weft__http_field_next(&h, text, &cursor, &name, &value));
        CHECK(span_is(name, expected[i][0]));
        CHECK(span_is(value, expected[i][1]));
    }
    CHECK(!weft__http_field_next(&h, text, &cursor, &name, &value));
    CHECK_INT(4, h.field_count);
    text = "GET / HTTP/1.0\r\n\r\n";
    h = parse_ok(text);
    cursor = 0;
    CHECK(!weft__http_field_next(&h, text, &cursor, &name, &value));
}

TEST(parse_joins_repeated_fields)
{
    const char *text = "GET / HTTP/1.1\r\nHost: a\r\nif-none-match: \"x\"\r\nRange: bytes=0-1\r\nIf-None-Match:\r\n"
                       "IF-NONE-MATCH:  W/\"y\" \r\n\r\n";
    weft__http_head h = parse_ok(text);
    char scratch[13];
    weft__span v;
    CHECK_OK(weft__http_joined(&h, text, WEFT__FIELD_IF_NONE_MATCH, scratch, sizeof scratch, &v));
    CHECK(span_is(v, "\"x\", , W/\"y\""));
    CHECK(v.data == scratch);
    CHECK(span_is(weft__http_value(&h, text, WEFT__FIELD_IF_NONE_MATCH), "\"x\""));
    CHECK_ERR(-ENOBUFS, weft__http_joined(&h, text, WEFT__FIELD_IF_NONE_MATCH, scratch, 11, &v));
    CHECK(v.data == NULL);
    CHECK_OK(weft__http_joined(&h, text, WEFT__FIELD_RANGE, NULL, 0, &v));
    CHECK(span_is(v, "bytes=0-1"));
    CHECK_OK(weft__http_joined(&h, text, WEFT__FIELD_REFERER, NULL, 0, &v));
    CHECK(v.data == NULL);
}

/* `n` bytes of `c` between two texts. */
static char *padded(const char *before, size_t n, const char *after, size_t *len)
{
    *len = strlen(before) + n + strlen(after);
    char *text = malloc(*len + 1);
    CHECK(text != NULL);
    memcpy(text, before, strlen(before));
    memset(text + strlen(before), 'x', n);
    memcpy(text + strlen(before) + n, after, strlen(after) + 1);
    return text;
}

static void check_limit(const char *before, size_t n, const char *after, enum weft__http_outcome outcome, int status,
                        const weft__http_limits *limits)
{
    size_t len;
    char *text = padded(before, n, after, &len);
    weft__http_head h;
    CHECK_INT(outcome, parse_whole(&h, text, len, limits));
    CHECK_INT(status, h.status);
    weft__http_head_init(&h); /* and in pieces of 100 bytes */
    enum weft__http_outcome o = WEFT__HTTP_MORE;
    for (size_t have = 100; o == WEFT__HTTP_MORE; have += 100) {
        o = weft__http_parse(&h, text, have < len ? have : len, limits);
        if (have >= len)
            break;
    }
    CHECK_INT(outcome, o);
    CHECK_INT(status, h.status);
    free(text);
}

TEST(parse_limits_are_exact)
{
    const char *end = " HTTP/1.1\r\nHost: a\r\n\r\n";
    const char *head = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
    size_t room = 16384 - strlen(head) - 4;
    check_limit("GET /", 8191, end, WEFT__HTTP_DONE, 0, NULL);
    check_limit("GET /", 8192, end, WEFT__HTTP_REFUSED, 414, NULL);
    check_limit("GET /", 9000, "", WEFT__HTTP_REFUSED, 414, NULL);
    check_limit("GET /", 8191, "", WEFT__HTTP_MORE, 0, NULL);
    check_limit("GET /", 9000, "\x01", WEFT__HTTP_REFUSED, 414, NULL);
    check_limit(head, room, "\r\n\r\n", WEFT__HTTP_DONE, 0, NULL);
    check_limit(head, room + 1, "\r\n\r\n", WEFT__HTTP_REFUSED, 431, NULL);
    check_limit(head, room + 3, "", WEFT__HTTP_MORE, 0, NULL);
    check_limit(head, room + 4, "", WEFT__HTTP_REFUSED, 431, NULL);
    check_limit(head, room + 5, "\x01", WEFT__HTTP_REFUSED, 431, NULL);
    check_limit(head, room + 3, "\x01", WEFT__HTTP_REFUSED, 400, NULL);
    check_limit("GET / HTTP/1.1\r\n", 20000, ": a\r\n\r\n", WEFT__HTTP_REFUSED, 431, NULL);
    check_limit("\r\nGET / HTTP/1.1\r\nHost: a\r\nX: ", room, "\r\n\r\n", WEFT__HTTP_DONE, 0, NULL);
    weft__http_limits small = {.head = 64, .fields = 2, .target = 9, .method = 4};
    check_limit("GET /", 8, end, WEFT__HTTP_DONE, 0, &small);
    check_limit("GET /", 9, end, WEFT__HTTP_REFUSED, 414, &small);
    check_limit("", 4, " / HTTP/1.1\r\nHost: a\r\n\r\n", WEFT__HTTP_DONE, 501, &small);
    check_limit("", 5, " / HTTP/1.1\r\nHost: a\r\n\r\n", WEFT__HTTP_REFUSED, 501, &small);
    check_limit("GET / HTTP/1.1\r\nHost: a\r\nY: ", 1, "\r\n\r\n", WEFT__HTTP_DONE, 0, &small);
    check_limit("GET / HTTP/1.1\r\nHost: a\r\nY: ", 1, "\r\nZ:\r\n\r\n", WEFT__HTTP_REFUSED, 431, &small);
    weft__http_limits line = {.head = 64};
    check_limit("GET /", 64, end, WEFT__HTTP_REFUSED, 414, &line);
}

TEST(parse_counts_fields)
{
    for (int n = 99; n <= 101; n++) {
        char text[2000] = "GET / HTTP/1.1\r\nHost: a\r\n";
        for (int i = 1; i < n; i++)
            strcat(text, "X: y\r\n");
        strcat(text, "\r\n");
        weft__http_head h;
        CHECK_INT(n <= 100 ? WEFT__HTTP_DONE : WEFT__HTTP_REFUSED, parse_whole(&h, text, strlen(text), NULL));
        CHECK_INT(n <= 100 ? 0 : 431, h.status);
    }
}

TEST(parse_takes_pipelined_requests_one_by_one)
{
    const char *text =
        "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nGET /\r\n"
        "GET /3 HTTP/1.1\r\nHost: a\r\n\r\nGET /4";
    size_t at = 0, len = strlen(text);
    weft__http_head h;
    for (int i = 1; i <= 3; i++) {
        char path[3] = {'/', (char)('0' + i), 0};
        weft__http_head_init(&h);
        CHECK_INT(WEFT__HTTP_DONE, weft__http_parse(&h, text + at, len - at, NULL));
        CHECK(slice_is(text + at, h.path, path));
        at += h.size + h.content_length;
    }
    weft__http_head_init(&h);
    CHECK_INT(WEFT__HTTP_MORE, weft__http_parse(&h, text + at, len - at, NULL));
}

TEST(parse_outcomes_are_final)
{
    weft__http_head h;
    const char *good = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    CHECK_INT(WEFT__HTTP_DONE, parse_whole(&h, good, strlen(good), NULL));
    uint32_t size = h.size;
    CHECK_INT(WEFT__HTTP_DONE, weft__http_parse(&h, good, strlen(good), NULL));
    CHECK_INT(size, h.size);
    CHECK_INT(WEFT__HTTP_REFUSED, parse_whole(&h, "\n", 1, NULL));
    CHECK_INT(WEFT__HTTP_REFUSED, weft__http_parse(&h, good, strlen(good), NULL));
    CHECK_INT(400, h.status);
}

TEST(parse_refusals_keep_what_a_log_shows)
{
    weft__http_head h;
    const char *text = "GET /secret HTTP/1.1\r\n\r\n";
    CHECK_INT(WEFT__HTTP_REFUSED, parse_whole(&h, text, strlen(text), NULL));
    CHECK(slice_is(text, h.method_name, "GET"));
    CHECK(slice_is(text, h.target, "/secret"));
    CHECK_INT(WEFT__HTTP_REFUSED, parse_whole(&h, "\x16\x03", 2, NULL));
    CHECK_INT(0, h.method_name.len);
    CHECK_INT(0, h.target.len);
}

/* Every byte at every place of a request: the outcome is that of a naive statement of the rules for that place. */
TEST_LIMIT(30, parse_judges_every_byte_at_every_place)
{
    const char *base = "GET /a HTTP/1.1\r\nHost: a\r\nXY: zz\r\n\r\n";
    size_t len = strlen(base);
    size_t name = (size_t)(strstr(base, "XY") - base), value = (size_t)(strstr(base, "zz") - base);
    const char *tchar = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for (unsigned b = 0; b < 256; b++) {
        char text[64];
        weft__http_head h;
        bool token = b != 0 && strchr(tchar, (int)b) != NULL;

        memcpy(text, base, len + 1);
        text[1] = (char)b; /* in the method; a space there makes the target "T", which is none */
        bool done = parse_whole(&h, text, len, NULL) == WEFT__HTTP_DONE;
        CHECK_INT(token, done);

        memcpy(text, base, len + 1);
        text[5] = (char)b; /* in the target */
        done = parse_whole(&h, text, len, NULL) == WEFT__HTTP_DONE;
        CHECK_INT(b > 0x20 && b < 0x7f && strchr("\"#<>", (int)b) == NULL, done);

        memcpy(text, base, len + 1);
        text[name + 1] = (char)b; /* in a name; a colon ends it early */
        done = parse_whole(&h, text, len, NULL) == WEFT__HTTP_DONE;
        CHECK_INT(token || b == ':', done);

        memcpy(text, base, len + 1);
        text[value + 1] = (char)b; /* in a value */
        done = parse_whole(&h, text, len, NULL) == WEFT__HTTP_DONE;
        CHECK_INT(b == '\t' || (b >= ' ' && b != 0x7f), done);

        for (size_t at = 7; at < 17; at++) { /* the version and its line end are exact */
            if (at == 12 || at == 14 || (unsigned char)base[at] == b)
                continue;
            memcpy(text, base, len + 1);
            text[at] = (char)b;
            CHECK_INT(WEFT__HTTP_REFUSED, parse_whole(&h, text, len, NULL));
        }
    }
}
