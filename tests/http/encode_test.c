/* encode_test.c - the response head builder, escapes, status lines, Accept-Encoding. */
#include "http/encode.h"

#include "http/accept.h"
#include "http/status.h"

#include "harness/harness.h"

#include <stdlib.h>
#include <string.h>

static weft__span span_of(const char *text)
{
    return (weft__span){text, strlen(text)};
}

static const char *text_of(weft__out *o)
{
    CHECK(!o->overflow);
    weft__out_bytes(o, "", 1);
    CHECK(!o->overflow);
    return o->data;
}

TEST(out_builds_a_response_head)
{
    char buf[512];
    weft__out o = weft__out_over(buf, sizeof buf);
    weft__out_status(&o, 206);
    weft__out_field_date(&o, WEFT__SPAN("Date"), 784111777);
    weft__out_field(&o, WEFT__SPAN("Content-Type"), WEFT__SPAN("text/plain"));
    weft__out_field_u64(&o, WEFT__SPAN("Content-Length"), UINT64_MAX);
    weft__out_content_range(&o, 0, 100, 1000);
    weft__out_content_range(&o, 0, 0, 1000);
    weft__out_field(&o, WEFT__SPAN("Location"), WEFT__SPAN("/a\r\nSet-Cookie: b"));
    weft__out_text(&o, "\r\n");
    weft__out_hex(&o, 0);
    weft__out_hex(&o, UINT64_MAX);
    weft__out_u64(&o, 0);
    CHECK_STR(
        "HTTP/1.1 206 Partial Content\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/plain\r\n"
        "Content-Length: 18446744073709551615\r\nContent-Range: bytes 0-99/1000\r\nContent-Range: bytes */1000\r\n"
        "Location: /a  Set-Cookie: b\r\n\r\n0ffffffffffffffff0",
        text_of(&o));
}

static void build(weft__out *o)
{
    weft__out_status(o, 404);
    weft__out_field_u64(o, WEFT__SPAN("Content-Length"), 12);
    weft__out_html(o, WEFT__SPAN("<a&\xff>"));
    weft__out_path(o, WEFT__SPAN("a b/c"));
    weft__out_log(o, WEFT__SPAN("\"\x01"));
}

TEST(out_never_writes_beyond_its_capacity)
{
    char full[256];
    weft__out whole = weft__out_over(full, sizeof full);
    build(&whole);
    CHECK(!whole.overflow);
    for (size_t cap = 0; cap <= whole.len; cap++) {
        char *buf = malloc(cap > 0 ? cap : 1);
        CHECK(buf != NULL);
        weft__out o = weft__out_over(buf, cap);
        build(&o);
        CHECK_INT(cap < whole.len, o.overflow);
        CHECK(o.len <= cap);
        CHECK_MEM(full, buf, o.len); /* whole pieces from the beginning, none after the first that did not fit */
        free(buf);
    }
}

TEST(out_escapes_html)
{
    static const char *rows[][2] = {
        {"", ""},
        {"plain", "plain"},
        {"<script>alert('x')</script>", "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"},
        {"a&b\"c", "a&amp;b&quot;c"},
        {"&lt;", "&amp;lt;"},
        {"\xe4\xbd\xa0\xf0\x9f\x98\x80", "\xe4\xbd\xa0\xf0\x9f\x98\x80"},
        {"a\tb\nc\r", "a\tb\nc\r"},
        {"\x01\x7f", "\xef\xbf\xbd\xef\xbf\xbd"},
        {"a\xff<", "a\xef\xbf\xbd&lt;"},
        {"\xc3<", "\xef\xbf\xbd&lt;"},
        {"\xc0\xbc", "\xef\xbf\xbd\xef\xbf\xbd"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char buf[200];
        weft__out o = weft__out_over(buf, sizeof buf);
        weft__out_html(&o, span_of(rows[i][0]));
        CHECK_STR(rows[i][1], text_of(&o));
    }
}

TEST(out_escapes_paths)
{
    static const char *rows[][2] = {
        {"a/b.c-d_e~f", "a/b.c-d_e~f"},
        {"a b", "a%20b"},
        {"100%", "100%25"},
        {"a?b#c", "a%3Fb%23c"},
        {"a:b", "a%3Ab"},
        {"\"'<>&", "%22%27%3C%3E%26"},
        {"\\", "%5C"},
        {"\xe4\xbd\xa0\xff", "%E4%BD%A0%FF"},
        {"\n\r", "%0A%0D"},
        {"a;b", "a%3Bb"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char buf[200];
        weft__out o = weft__out_over(buf, sizeof buf);
        weft__out_path(&o, span_of(rows[i][0]));
        CHECK_STR(rows[i][1], text_of(&o));
    }
}

TEST(out_escapes_log_fields)
{
    static const char *rows[][2] = {
        {"", "-"},
        {"curl/8.0", "curl/8.0"},
        {"a\"b\\c", "a\\x22b\\x5cc"},
        {"a\nb\x1b[0m\x7f", "a\\x0ab\\x1b[0m\\x7f"},
        {"\xe4\xbd\xa0", "\xe4\xbd\xa0"},
        {"\xff\xe4\xbd", "\\xff\\xe4\\xbd"},
        {"\xc2\x9b"
         "2J",
         "\\xc2\\x9b2J"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char buf[200];
        weft__out o = weft__out_over(buf, sizeof buf);
        weft__out_log(&o, span_of(rows[i][0]));
        CHECK_STR(rows[i][1], text_of(&o));
    }
}

/* Every code point, and every sequence of two and three bytes, against a naive decoder. */
TEST(utf8_lengths_are_those_of_rfc_3629)
{
    for (uint32_t c = 0; c < 0x120000; c++) {
        char s[4];
        unsigned n;
        if (c < 0x80) {
            n = 1;
            s[0] = (char)c;
        } else if (c < 0x800) {
            n = 2;
            s[0] = (char)(0xc0 | c >> 6);
        } else if (c < 0x10000) {
            n = 3;
            s[0] = (char)(0xe0 | c >> 12);
        } else {
            n = 4;
            s[0] = (char)(0xf0 | c >> 18);
        }
        for (unsigned i = 1; i < n; i++)
            s[i] = (char)(0x80 | (c >> 6 * (n - 1 - i) & 0x3f));
        bool valid = c <= 0x10ffff && (c < 0xd800 || c > 0xdfff);
        CHECK_INT(valid ? n : 0, weft__utf8_length(s, 4));
        CHECK_INT(0, weft__utf8_length(s, n - 1));
    }
    for (unsigned v = 0x8000; v <= 0xffff; v++) { /* two bytes, the first above ASCII */
        char s[2] = {(char)(v >> 8), (char)v};
        bool valid = v >> 8 >= 0xc2 && v >> 8 <= 0xdf && (v & 0xc0) == 0x80;
        CHECK_INT(valid ? 2 : 0, weft__utf8_length(s, 2));
    }
    CHECK_INT(0, weft__utf8_length("\xe0\x80\x80", 3)); /* overlong */
    CHECK_INT(0, weft__utf8_length("\xf0\x80\x80\x80", 4));
    CHECK_INT(0, weft__utf8_length("\xf8\x88\x80\x80\x80", 5));
}

static const struct {
    int code;
    const char *phrase;
} phrases[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {203, "Non-Authoritative Information"},
    {204, "No Content"},
    {205, "Reset Content"},
    {206, "Partial Content"},
    {300, "Multiple Choices"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {305, "Use Proxy"},
    {306, "Switch Proxy"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {407, "Proxy Authentication Required"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {426, "Upgrade Required"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {511, "Network Authentication Required"},
    {418, "Client Error"},
    {199, "Informational"},
    {299, "Success"},
    {399, "Redirection"},
    {599, "Server Error"},
    {99, "Unknown"},
    {600, "Unknown"},
    {-1, "Unknown"},
    {0, "Unknown"},
};

TEST(status_codes_have_their_phrases) /* S001-130 to S001-132 */
{
    unsigned registered = 0;
    for (size_t i = 0; i < sizeof phrases / sizeof phrases[0]; i++) {
        weft__span s = weft__status_reason(phrases[i].code);
        CHECK_INT(strlen(phrases[i].phrase), s.len);
        CHECK_MEM(phrases[i].phrase, s.data, s.len);
    }
    for (int code = -10; code < 700; code++) {
        weft__span line = weft__status_line(code), reason = weft__status_reason(code);
        char buf[64];
        weft__out o = weft__out_over(buf, sizeof buf);
        if (line.data == NULL)
            continue;
        registered++;
        weft__out_text(&o, "HTTP/1.1 ");
        weft__out_u64(&o, (uint64_t)code);
        weft__out_text(&o, " ");
        weft__out_span(&o, reason);
        weft__out_text(&o, "\r\n");
        CHECK_INT(o.len, line.len);
        CHECK_MEM(buf, line.data, line.len);
    }
    CHECK_INT(63, registered);
    char buf[64];
    weft__out o = weft__out_over(buf, sizeof buf);
    weft__out_status(&o, 418);
    CHECK_STR("HTTP/1.1 418 Client Error\r\n", text_of(&o));
}

TEST(accept_encoding_weights)
{
    static const struct {
        const char *value;
        unsigned gzip, identity;
    } rows[] = {
        {NULL, 0, 1000},
        {"", 0, 1},
        {"gzip", 1000, 1},
        {"GZip", 1000, 1},
        {"x-gzip", 1000, 1},
        {"gzip;q=0", 0, 1},
        {"gzip;q=0.000", 0, 1},
        {"gzip ; q=0.5", 500, 1},
        {"gzip;Q=0.25", 250, 1},
        {"gzip;q=1.000", 1000, 1},
        {"gzip;q=0.001", 1, 1},
        {"*", 1000, 1},
        {"*;q=0", 0, 0},
        {"*;q=0, gzip", 1000, 0},
        {"gzip;q=0, *", 0, 1},
        {"*;q=0.3, gzip;q=0.7", 700, 1},
        {"identity;q=0", 0, 0},
        {"identity;q=0, *", 1000, 0},
        {"identity, gzip;q=0.5", 500, 1000},
        {"identity;q=0.5, gzip;q=1.0", 1000, 500},
        {"identity, *;q=0", 0, 1000},
        {"deflate, br, zstd", 0, 1},
        {"br, gzip, deflate", 1000, 1},
        {" ,gzip, ", 1000, 1},
        {"gzipped", 0, 1},
        {"xgzip", 0, 1},
        {"gzip;q=2", 0, 1},
        {"gzip;q=1.5", 0, 1},
        {"gzip;q=1.001", 0, 1},
        {"gzip;q=", 0, 1},
        {"gzip;q=0.1234", 0, 1},
        {"gzip;q=.5", 0, 1},
        {"gzip;q=-1", 0, 1},
        {"gzip;q", 0, 1},
        {"gzip q=1", 0, 1},
        {"gzip;level=9", 0, 1},
        {"gzip;q=0, gzip", 0, 1},
        {"gzip;q=1.", 1000, 1},
        {"gzip;q=0.", 0, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        weft__accept a = weft__accept_encoding(rows[i].value != NULL ? span_of(rows[i].value) : (weft__span){NULL, 0});
        if (a.gzip != rows[i].gzip || a.identity != rows[i].identity)
            FAIL("%s: gzip %u, identity %u", rows[i].value, a.gzip, a.identity);
    }
}
