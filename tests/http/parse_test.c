/* parse_test.c - the request head against RFC 9112 and 9110, one row for each thing they ask of a server, each row cut
 * at every place. Rows are named by what is true and by section; "hardened" marks where the RFCs leave a choice and we
 * take the strict one. */
#include "http/parse_support.h"

#include "harness/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GET  "GET / HTTP/1.1\r\nHost: a\r\n"
#define POST "POST / HTTP/1.1\r\nHost: a\r\n"

TEST(parse_request_lines_are_exact) /* S001-128 */
{
    static const parse_case cases[] = {
        {"9112-3 a plain request", BYTES(GET "\r\n"), SERVED, KEEP, 0},
        {"9112-3 HEAD", BYTES("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"), SERVED, KEEP, 0},
        {"9112-2.2 one empty line before is ignored", BYTES("\r\n" GET "\r\n"), SERVED, KEEP, 0},
        {"9112-2.2 two are not (hardened)", BYTES("\r\n\r\n" GET "\r\n"), REFUSED, 400, 0, 0},
        {"9112-2.2 an empty line of LF", BYTES("\n" GET "\r\n"), REFUSED, 400, 0, 0},
        {"9112-2.2 an empty line of CR", BYTES("\r" GET "\r\n"), REFUSED, 400, 0, 0},
        {"9112-2.2 LF alone ends no request line (hardened)", BYTES("GET / HTTP/1.1\nHost: a\r\n\r\n"), REFUSED, 400, 0,
         0},
        {"9112-2.2 CR alone ends no line", BYTES("GET / HTTP/1.1\rHost: a\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-2.2 CR inside the target", BYTES("GET /\ra HTTP/1.1\r\nHost: a\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-2.2 white space before the first field", BYTES("GET / HTTP/1.1\r\n Host: a\r\n\r\n"), REFUSED, 400, 0,
         0},
        {"9112-2.2 a tab before the first field", BYTES("GET / HTTP/1.1\r\n\tX: b\r\nHost: a\r\n\r\n"), REFUSED, 400, 0,
         0},
        {"9112-2.2 what is no HTTP at all", BYTES("\x16\x03\x01\x02\x00\x01"), REFUSED, 400, 0, 0},
        {"9112-3 two spaces after the method", BYTES("GET  / HTTP/1.1\r\nHost: a\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-3 two spaces after the target", BYTES("GET /  HTTP/1.1\r\nHost: a\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-3 a tab for a space", BYTES("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-3 a tab after the target", BYTES("GET /\tHTTP/1.1\r\nHost: a\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-3 a vertical tab in it", BYTES("GET /\vHTTP/1.1\r\nHost: a\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-3 a space before the method", BYTES(" GET / HTTP/1.1\r\nHost: a\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-3 a space after the version", BYTES("GET / HTTP/1.1 \r\nHost: a\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-3 a space in the target", BYTES("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-3 no target", BYTES("GET HTTP/1.1\r\nHost: a\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-3 an empty target", BYTES("GET  HTTP/1.1\r\nHost: a\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-3 no version (HTTP/0.9)", BYTES("GET /\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-3 only a method", BYTES("GET\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-3.1 a method is a token", BYTES("G(T / HTTP/1.1\r\nHost: a\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-3.1 a method is no empty word", BYTES(" / HTTP/1.1\r\nHost: a\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-3 NUL in the target", BYTES("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-3.2 a byte above ASCII in the target", BYTES("GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n"), REFUSED, 400,
         0, 0},
        {"9112-3.2 a fragment", BYTES("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-3.2 angle brackets", BYTES("GET /<a> HTTP/1.1\r\nHost: a\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-3.2 a quote", BYTES("GET /\" HTTP/1.1\r\nHost: a\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-3.2 what browsers leave as it is", BYTES("GET /a|b?x[]={1}^`\\ HTTP/1.1\r\nHost: a\r\n\r\n"), SERVED,
         KEEP, 0},
        {"9112-2.2 nothing yet", BYTES(""), UNFINISHED, 0, 0},
        {"9112-2.2 no last line yet", BYTES(GET), UNFINISHED, 0, 0},
        {"9112-2.2 no last LF yet", BYTES(GET "\r"), UNFINISHED, 0, 0},
    };
    CHECK_PARSE(cases, NULL);
}

TEST(parse_versions_are_told_apart)
{
    static const parse_case cases[] = {
        {"9112-2.3 HTTP/1.0 closes", BYTES("GET / HTTP/1.0\r\n\r\n"), SERVED, 0, 0},
        {"9110-2.5 a later 1.x is 1.1", BYTES("GET / HTTP/1.2\r\nHost: a\r\n\r\n"), SERVED, KEEP, 0},
        {"9110-2.5 also 1.9", BYTES("GET / HTTP/1.9\r\nHost: a\r\n\r\n"), SERVED, KEEP, 0},
        {"9110-2.5 and wants a Host too", BYTES("GET / HTTP/1.2\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9110-15.6.6 HTTP/2.0 is not supported", BYTES("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), REFUSED, 505, 0, 0},
        {"9110-15.6.6 the preface of HTTP/2", BYTES("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), REFUSED, 505, 0, 0},
        {"9110-15.6.6 HTTP/9.9", BYTES("GET / HTTP/9.9\r\nHost: a\r\n\r\n"), REFUSED, 505, 0, 0},
        {"9112-2.3 HTTP/0.9 by name", BYTES("GET / HTTP/0.9\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-2.3 the name is in capitals", BYTES("GET / http/1.1\r\nHost: a\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-2.3 another name", BYTES("GET / HTPP/1.1\r\nHost: a\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-2.3 two digits", BYTES("GET / HTTP/1.10\r\nHost: a\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-2.3 two digits before", BYTES("GET / HTTP/01.1\r\nHost: a\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-2.3 no minor", BYTES("GET / HTTP/1\r\nHost: a\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-2.3 no dot", BYTES("GET / HTTP/11\r\nHost: a\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-2.3 a comma", BYTES("GET / HTTP/1,1\r\nHost: a\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-2.3 a sign", BYTES("GET / HTTP/-1.1\r\nHost: a\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-2.3 a space inside", BYTES("GET / HTTP /1.1\r\nHost: a\r\n\r\n"), REFUSED, 400, 0, 0},
    };
    CHECK_PARSE(cases, NULL);
}

TEST(parse_methods_are_served_allowed_or_unknown) /* S001-129 */
{
    static const parse_case cases[] = {
        {"9110-15.5.6 POST is known and not allowed", BYTES(POST "\r\n"), ANSWERED, 405, KEEP, 0},
        {"9110-15.5.6 PUT", BYTES("PUT / HTTP/1.1\r\nHost: a\r\n\r\n"), ANSWERED, 405, KEEP, 0},
        {"9110-15.5.6 DELETE", BYTES("DELETE / HTTP/1.1\r\nHost: a\r\n\r\n"), ANSWERED, 405, KEEP, 0},
        {"9110-15.5.6 PATCH", BYTES("PATCH / HTTP/1.1\r\nHost: a\r\n\r\n"), ANSWERED, 405, KEEP, 0},
        {"9110-9.3.8 TRACE is never echoed", BYTES("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n"), ANSWERED, 405, KEEP, 0},
        {"9110-9.3.7 OPTIONS is for the layer above", BYTES("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"), ANSWERED, 405,
         KEEP, 0},
        {"9112-3.2.3 CONNECT", BYTES("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n"), ANSWERED, 405, KEEP, 0},
        {"9110-9.1 an unknown method", BYTES("BREW / HTTP/1.1\r\nHost: a\r\n\r\n"), ANSWERED, 501, KEEP, 0},
        {"9110-9.1 methods are case-sensitive", BYTES("get / HTTP/1.1\r\nHost: a\r\n\r\n"), ANSWERED, 501, KEEP, 0},
        {"9110-9.1 a prefix of a method", BYTES("GE / HTTP/1.1\r\nHost: a\r\n\r\n"), ANSWERED, 501, KEEP, 0},
        {"9110-9.1 a longer one", BYTES("GETT / HTTP/1.1\r\nHost: a\r\n\r\n"), ANSWERED, 501, KEEP, 0},
        {"9110-5.6.2 all of tchar", BYTES("A!#$%&'*+-.^_`|~9 / HTTP/1.1\r\nHost: a\r\n\r\n"), ANSWERED, 501, KEEP, 0},
        {"9112-3 32 bytes of method", BYTES("ABCDEFGHIJABCDEFGHIJABCDEFGHIJAB / HTTP/1.1\r\nHost: a\r\n\r\n"), ANSWERED,
         501, KEEP, 0},
        {"9112-3 a longer method", BYTES("ABCDEFGHIJABCDEFGHIJABCDEFGHIJABC / HTTP/1.1\r\nHost: a\r\n\r\n"), REFUSED,
         501, 0, 0},
        {"malformed wins over unknown", BYTES("BREW / HTTP/1.1\r\n\r\n"), REFUSED, 400, 0, 0},
        {"malformed wins over not allowed", BYTES(POST "Content-Length: x\r\n\r\n"), REFUSED, 400, 0, 0},
        {"a body of a method not allowed is framed", BYTES(POST "Content-Length: 5\r\n\r\nhello"), ANSWERED, 405, KEEP,
         5},
    };
    CHECK_PARSE(cases, NULL);
}

TEST(parse_target_forms_belong_to_methods)
{
    static const parse_case cases[] = {
        {"9112-3.2.2 absolute-form", BYTES("GET http://b/c HTTP/1.1\r\nHost: a\r\n\r\n"), SERVED, KEEP, 0},
        {"9112-3.2.2 in any case", BYTES("GET HTTP://b HTTP/1.1\r\nHost: a\r\n\r\n"), SERVED, KEEP, 0},
        {"9112-3.2.2 Host is needed all the same", BYTES("GET http://b/c HTTP/1.1\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-3.2.2 and has to be valid", BYTES("GET http://b/c HTTP/1.1\r\nHost: a b\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9110-4.2.1 an empty host", BYTES("GET http:///c HTTP/1.1\r\nHost: a\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9110-4.2.1 only a port", BYTES("GET http://:80/c HTTP/1.1\r\nHost: a\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9110-4.2.4 user information", BYTES("GET http://u:p@b/c HTTP/1.1\r\nHost: a\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-3.2.2 no slashes", BYTES("GET http:b HTTP/1.1\r\nHost: a\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-3.2.2 nothing after them", BYTES("GET http:// HTTP/1.1\r\nHost: a\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-3.2.2 another scheme", BYTES("GET ftp://b/c HTTP/1.1\r\nHost: a\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9110-7.4 https without TLS is misdirected", BYTES("GET https://b/c HTTP/1.1\r\nHost: a\r\n\r\n"), ANSWERED,
         421, KEEP, 0},
        {"9112-3.2.1 no leading slash", BYTES("GET index.html HTTP/1.1\r\nHost: a\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-3.2.1 only a query", BYTES("GET ?a HTTP/1.1\r\nHost: a\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-3.2.4 asterisk with GET", BYTES("GET * HTTP/1.1\r\nHost: a\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-3.2.4 asterisk and more", BYTES("OPTIONS */a HTTP/1.1\r\nHost: a\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-3.2.3 authority-form with GET", BYTES("GET b:80 HTTP/1.1\r\nHost: a\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-3.2.3 CONNECT to a path", BYTES("CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-3.2.3 CONNECT to a URL", BYTES("CONNECT http://b:80/ HTTP/1.1\r\nHost: a\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-3.2.3 CONNECT without a port", BYTES("CONNECT b HTTP/1.1\r\nHost: b\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-3.2.3 CONNECT with an empty port", BYTES("CONNECT b: HTTP/1.1\r\nHost: b\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-3.2.3 CONNECT to IPv6 without a port", BYTES("CONNECT [::1] HTTP/1.1\r\nHost: b\r\n\r\n"), REFUSED, 400,
         0, 0},
    };
    CHECK_PARSE(cases, NULL);
    weft__http_head h;
    CHECK_INT(WEFT__HTTP_DONE, parse_whole(&h, BYTES("GET https://b/c HTTP/1.1\r\nHost: a\r\n\r\n"),
                                           &(weft__http_limits){.secure = true}));
    CHECK_INT(0, h.status);
}

static const struct {
    const char *text;
    bool valid;
} hosts[] = {
    {"a", 1},
    {"example.org", 1},
    {"a:80", 1},
    {"a:", 1},
    {"a:65535", 1},
    {"a:65536", 0},
    {"a:8x", 0},
    {"a:+8", 0},
    {"a:80:80", 0},
    {":80", 0},
    {":", 0},
    {"127.0.0.1:8000", 1},
    {"a_b", 1},
    {"%41.b", 1},
    {"%4", 0},
    {"%", 0},
    {"%zz", 0},
    {"a%2", 0},
    {"[::1]", 1},
    {"[::]", 1},
    {"[::1]:80", 1},
    {"[::1]80", 0},
    {"[::1", 0},
    {"::1", 0},
    {"[]", 0},
    {"[:]", 0},
    {"[1:2:3:4:5:6:7:8]", 1},
    {"[1:2:3:4:5:6:7]", 0},
    {"[1:2:3:4:5:6:7:8:9]", 0},
    {"[1:2:3:4:5:6:7::]", 1},
    {"[1::8]", 1},
    {"[1::2:3:4:5:6:7]", 1},
    {"[1::2:3:4:5:6:7:8]", 0},
    {"[1:2:3:4:5:6:7:8::]", 0},
    {"[::2:3:4:5:6:7:8]", 1},
    {"[1::2::3]", 0},
    {"[::1:]", 0},
    {"[12345::]", 0},
    {"[g::]", 0},
    {"[::ffff:1.2.3.4]", 1},
    {"[::1.2.3.256]", 0},
    {"[::1.2.3]", 0},
    {"[1.2.3.4]", 0},
    {"[::01.2.3.4]", 0},
    {"[1:2:3:4:5:6:1.2.3.4]", 1},
    {"[1:2:3:4:5:6:7:1.2.3.4]", 0},
    {"[fe80::1%25eth0]", 0},
    {"[v1.a]", 0},
    {"a\xc3\xa9", 0},
    {"a\\b", 0},
    {"a\"", 0},
    {"a?b", 0},
    {"[1:::2]", 0},
};

TEST(parse_host_is_one_and_valid)
{
    static const parse_case cases[] = {
        {"9112-3.2 none in 1.1", BYTES("GET / HTTP/1.1\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-3.2 none in 1.0", BYTES("GET / HTTP/1.0\r\n\r\n"), SERVED, 0, 0},
        {"9112-3.2 two", BYTES(GET "Host: b\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-3.2 two equal ones", BYTES(GET "host: a\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-3.2 two in 1.0", BYTES("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9110-4.2.1 an empty one", BYTES("GET / HTTP/1.1\r\nHost:\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9110-7.2 with white space inside", BYTES("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9110-7.2 with a path", BYTES("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9110-7.2 with user information", BYTES("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9110-7.2 a list (hardened)", BYTES("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9110-7.2 invalid in 1.0", BYTES("GET / HTTP/1.0\r\nHost: a b\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9110-5.6.3 white space around it", BYTES("GET / HTTP/1.1\r\nHost:\t a \t\r\n\r\n"), SERVED, KEEP, 0},
        {"9110-5.1 names in any case", BYTES("GET / HTTP/1.1\r\nhOST:a\r\n\r\n"), SERVED, KEEP, 0},
        {"a name that differs from Host in bit 5 only", BYTES("GET / HTTP/1.1\r\nHos\x14: a\r\n\r\n"), REFUSED, 400, 0,
         0},
    };
    CHECK_PARSE(cases, NULL);
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++)
        if (weft__http_host_valid(hosts[i].text, strlen(hosts[i].text)) != hosts[i].valid)
            FAIL("host %s", hosts[i].text);
    CHECK(!weft__http_host_valid("", 0));
}

TEST(parse_field_lines_are_exact)
{
    static const parse_case cases[] = {
        {"9112-5.1 no space before the colon", BYTES(GET "X : b\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-5.1 not in Host either", BYTES("GET / HTTP/1.1\r\nHost : a\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-5.1 nor a tab", BYTES(GET "X\t: b\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-5.2 no folded lines", BYTES(GET "X: b\r\n c\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-5.2 not with a tab", BYTES(GET "X: b\r\n\tc: d\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-5.2 nor a line of white space", BYTES(GET "X: b\r\n \r\n\r\n"), REFUSED, 400, 0, 0},
        {"9110-5.1 an empty name", BYTES(GET ": b\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9110-5.1 no colon", BYTES(GET "X\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9110-5.1 a name is a token", BYTES(GET "X(y): b\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9110-5.1 a byte above ASCII in a name", BYTES(GET "X\xc3\xa9: b\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9110-5.1 NUL in a name", BYTES(GET "X\0: b\r\n\r\n"), REFUSED, 400, 0, 0},
        {"CR where a known name has '-'", BYTES(GET "Content\rLength: 5\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9110-5.5 NUL in a value", BYTES(GET "X: b\0c\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9110-5.5 CR in a value", BYTES(GET "X: b\rc\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9110-5.5 CR CR LF", BYTES(GET "X: b\r\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-2.2 LF alone ends no field (hardened)", BYTES(GET "X: b\nY: c\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-2.2 nor do two LF", BYTES(GET "X: b\n\nY: c\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-2.2 LF alone ends no head (hardened)", BYTES(GET "\n"), REFUSED, 400, 0, 0},
        {"9112-2.2 CR and no LF", BYTES(GET "\rX"), REFUSED, 400, 0, 0},
        {"9110-5.5 a control character in a value", BYTES(GET "X: b\x01\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9110-5.5 escape in a value", BYTES(GET "X: \x1b[0m\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9110-5.5 delete in a value", BYTES(GET "X: \x7f\r\n\r\n"), REFUSED, 400, 0, 0},
        {"a control character far behind",
         BYTES(GET "X: 0123456789abcdef0123456789abcdef0123456789\x02 0123456789abcdef\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9110-5.5 tabs and obs-text are text", BYTES(GET "X: b\tc \x80\xff\r\n\r\n"), SERVED, KEEP, 0},
        {"9110-5.5 an empty value", BYTES(GET "X:\r\nY: \t \r\n\r\n"), SERVED, KEEP, 0},
        {"9110-5.1 an unknown field is ignored", BYTES(GET "X-Y_z!: b\r\n\r\n"), SERVED, KEEP, 0},
        {"9110-7.8 Upgrade is ignored", BYTES(GET "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n"),
         SERVED, KEEP, 0},
        {"a name longer than a block", BYTES(GET "X-0123456789-0123456789-0123456789: b\r\n\r\n"), SERVED, KEEP, 0},
    };
    CHECK_PARSE(cases, NULL);
}

TEST(parse_ambiguous_framing_is_refused)
{
    static const parse_case cases[] = {
        {"9112-6.2 a length", BYTES(GET "Content-Length: 3\r\n\r\nabc"), SERVED, KEEP, 3},
        {"9112-6.2 zero", BYTES(GET "Content-Length: 0\r\n\r\n"), SERVED, KEEP, 0},
        {"9112-6.2 the largest", BYTES(GET "Content-Length: 9223372036854775807\r\n\r\n"), SERVED, KEEP, INT64_MAX},
        {"9110-8.6 beyond it", BYTES(GET "Content-Length: 9223372036854775808\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9110-8.6 2^64", BYTES(GET "Content-Length: 18446744073709551616\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9110-8.6 2^64 + 5", BYTES(GET "Content-Length: 18446744073709551621\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9110-8.6 forty digits", BYTES(GET "Content-Length: 1000000000000000000000000000000000000000\r\n\r\n"),
         REFUSED, 400, 0, 0},
        {"9110-8.6 empty", BYTES(GET "Content-Length:\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9110-8.6 a plus", BYTES(GET "Content-Length: +3\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9110-8.6 a minus", BYTES(GET "Content-Length: -3\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9110-8.6 hexadecimal", BYTES(GET "Content-Length: 0x3\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9110-8.6 a fraction", BYTES(GET "Content-Length: 3.0\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9110-8.6 a space inside", BYTES(GET "Content-Length: 1 2\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9110-8.6 an underscore", BYTES(GET "Content-Length: 1_2\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9110-8.6 a leading zero (hardened)", BYTES(GET "Content-Length: 010\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9110-8.6 a list of different ones", BYTES(GET "Content-Length: 3, 4\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9110-8.6 a list of equal ones (hardened)", BYTES(GET "Content-Length: 3, 3\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-6.3 two different ones", BYTES(GET "Content-Length: 3\r\nContent-Length: 4\r\n\r\n"), REFUSED, 400, 0,
         0},
        {"9112-6.3 two equal ones (hardened)", BYTES(GET "Content-Length: 3\r\nContent-Length: 3\r\n\r\n"), REFUSED,
         400, 0, 0},
        {"9112-7.1 chunked", BYTES(GET "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), SERVED, KEEP | CHUNKED, 0},
        {"9112-7 codings are case-insensitive", BYTES(GET "transfer-encoding: CHUNKED\r\n\r\n"), SERVED, KEEP | CHUNKED,
         0},
        {"9112-6.3 both (hardened)", BYTES(POST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"), REFUSED,
         400, 0, 0},
        {"9112-6.3 both, the other way round", BYTES(POST "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n"),
         REFUSED, 400, 0, 0},
        {"9112-6.1 in HTTP/1.0", BYTES("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-6.1 a coding before chunked is not implemented", BYTES(POST "Transfer-Encoding: gzip, chunked\r\n\r\n"),
         REFUSED, 501, 0, 0},
        {"9112-6.1 an unknown coding before chunked", BYTES(POST "Transfer-Encoding: x , chunked\r\n\r\n"), REFUSED,
         501, 0, 0},
        {"9112-6.3 chunked is not last", BYTES(POST "Transfer-Encoding: chunked, gzip\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-6.3 chunked is not there", BYTES(POST "Transfer-Encoding: gzip\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-6.3 identity", BYTES(POST "Transfer-Encoding: identity\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-6.1 chunked twice", BYTES(POST "Transfer-Encoding: chunked, chunked\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-6.1 chunked on two lines",
         BYTES(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-6.1 identity on another line",
         BYTES(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-6.1 empty", BYTES(POST "Transfer-Encoding:\r\n\r\n"), REFUSED, 400, 0, 0},
        {"hardened: an empty member after it", BYTES(POST "Transfer-Encoding: chunked,\r\n\r\n"), REFUSED, 400, 0, 0},
        {"hardened: an empty member before it", BYTES(POST "Transfer-Encoding: ,chunked\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-7 an empty member at the end of two", BYTES(POST "Transfer-Encoding: gzip, chunked,\r\n\r\n"), REFUSED,
         400, 0, 0},
        {"9112-7.1 chunked has no parameters", BYTES(POST "Transfer-Encoding: chunked;q=1\r\n\r\n"), REFUSED, 400, 0,
         0},
        {"9112-7 a quoted coding", BYTES(POST "Transfer-Encoding: \"chunked\"\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-7 a longer word", BYTES(POST "Transfer-Encoding: xchunked\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-7 vertical tab before chunked", BYTES(POST "Transfer-Encoding: \vchunked\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-5.1 space after the name", BYTES(POST "Transfer-Encoding : chunked\r\n\r\n"), REFUSED, 400, 0, 0},
        {"9112-6.1 underscore is another field", BYTES(POST "Transfer_Encoding: chunked\r\n\r\n"), ANSWERED, 405, KEEP,
         0},
    };
    CHECK_PARSE(cases, NULL);
}

TEST(parse_connections_persist_as_asked)
{
    static const parse_case cases[] = {
        {"9112-9.3 1.1 goes on", BYTES(GET "\r\n"), SERVED, KEEP, 0},
        {"9112-9.6 close", BYTES(GET "Connection: close\r\n\r\n"), SERVED, 0, 0},
        {"9110-7.6.1 options are case-insensitive", BYTES(GET "connection: CLOSE\r\n\r\n"), SERVED, 0, 0},
        {"9110-7.6.1 close among others", BYTES(GET "Connection: TE,\tclose , x\r\n\r\n"), SERVED, 0, 0},
        {"9110-7.6.1 close on a second line", BYTES(GET "Connection: x\r\nConnection: close\r\n\r\n"), SERVED, 0, 0},
        {"9112-9.3 close beats keep-alive on another line",
         BYTES(GET "Connection: keep-alive\r\nConnection: close\r\n\r\n"), SERVED, 0, 0},
        {"9112-9.3 and on one before it", BYTES(GET "Connection: close\r\nConnection: keep-alive\r\n\r\n"), SERVED, 0,
         0},
        {"9112-9.3 close beats keep-alive", BYTES(GET "Connection: keep-alive, close\r\n\r\n"), SERVED, 0, 0},
        {"9110-5.6.1 empty members", BYTES(GET "Connection: ,, close,\r\n\r\n"), SERVED, 0, 0},
        {"9110-7.6.1 a longer word is another option", BYTES(GET "Connection: closed\r\n\r\n"), SERVED, KEEP, 0},
        {"9112-9.3 1.0 closes", BYTES("GET / HTTP/1.0\r\nHost: a\r\n\r\n"), SERVED, 0, 0},
        {"9112-9.3 unless it asks", BYTES("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"), SERVED, KEEP, 0},
        {"9112-9.3 1.0 with both", BYTES("GET / HTTP/1.0\r\nConnection: close, keep-alive\r\n\r\n"), SERVED, 0, 0},
    };
    CHECK_PARSE(cases, NULL);
}

TEST(parse_expectations_are_met_or_failed)
{
    static const parse_case cases[] = {
        {"9110-10.1.1 awaited", BYTES(GET "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n"), SERVED, KEEP | EXPECT,
         3},
        {"9110-10.1.1 with chunks", BYTES(GET "Expect: 100-Continue\r\nTransfer-Encoding: chunked\r\n\r\n"), SERVED,
         KEEP | EXPECT | CHUNKED, 0},
        {"9110-10.1.1 no body, no 100", BYTES(GET "Expect: 100-continue\r\n\r\n"), SERVED, KEEP, 0},
        {"9110-10.1.1 ignored in 1.0", BYTES("GET / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"),
         SERVED, 0, 3},
        {"9110-15.5.18 another expectation", BYTES(GET "Expect: tea\r\n\r\n"), ANSWERED, 417, KEEP, 0},
        {"9110-15.5.18 one of two", BYTES(GET "Expect: 100-continue, tea\r\n\r\n"), ANSWERED, 417, KEEP, 0},
        {"9110-15.5.18 with a parameter", BYTES(GET "Expect: 100-continue;a=b\r\n\r\n"), ANSWERED, 417, KEEP, 0},
    };
    CHECK_PARSE(cases, NULL);
}
