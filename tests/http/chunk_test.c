/* chunk_test.c - chunked bodies, RFC 9112 7.1; every row at every cut. */
#include "http/chunk.h"
#include "http/parse_support.h"

#include "harness/harness.h"

#include <stdlib.h>
#include <string.h>

typedef struct decoded {
    enum weft__http_outcome outcome;
    int status;
    size_t used;
    char body[256];
    size_t body_len;
} decoded;

/* Feed one piece; the pieces together are in + what was used of them. */
static void feed(weft__chunk *c, decoded *d, const char *in, size_t len)
{
    char *copy = malloc(len > 0 ? len : 1);
    size_t at = 0;

    CHECK(copy != NULL);
    memcpy(copy, in, len);
    do {
        size_t used = 0;
        weft__span data;
        d->outcome = weft__chunk_decode(c, copy + at, len - at, &used, &data);
        CHECK(used <= len - at);
        if (d->outcome == WEFT__HTTP_DATA) {
            CHECK(data.len > 0 && d->body_len + data.len <= sizeof d->body);
            memcpy(d->body + d->body_len, data.data, data.len);
            d->body_len += data.len;
        }
        if (d->outcome == WEFT__HTTP_MORE)
            CHECK_INT(len - at, used);
        at += used;
        d->used += used;
    } while (d->outcome == WEFT__HTTP_DATA);
    d->status = c->status;
    free(copy);
}

static decoded decode(const char *in, size_t len, size_t first, size_t step)
{
    weft__chunk c = {0};
    decoded d = {.outcome = WEFT__HTTP_MORE};
    for (size_t at = 0, n = first; d.outcome == WEFT__HTTP_MORE; n = step) {
        n = n < len - at ? n : len - at;
        feed(&c, &d, in + at, n);
        at += n;
        if (at == len)
            break;
    }
    return d;
}

typedef struct chunk_case {
    const char *name;
    const char *bytes;
    size_t len;
    enum weft__http_outcome outcome;
    int status;
    const char *body;
    size_t left; /* bytes behind the end */
} chunk_case;

static void check_cases(const chunk_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const chunk_case *c = &cases[i];
        for (size_t at = 0; at <= c->len + 1; at++) {
            decoded d = at <= c->len ? decode(c->bytes, c->len, at, c->len) : decode(c->bytes, c->len, 1, 1);
            if (d.outcome != c->outcome || d.status != c->status)
                FAIL("%s: cut at %zu: outcome %d, status %d", c->name, at, (int)d.outcome, d.status);
            if (d.outcome == WEFT__HTTP_REFUSED)
                continue;
            if (d.body_len != strlen(c->body) || memcmp(d.body, c->body, d.body_len) != 0)
                FAIL("%s: cut at %zu: body '%.*s'", c->name, at, (int)d.body_len, d.body);
            if (d.used != c->len - c->left)
                FAIL("%s: cut at %zu: used %zu of %zu", c->name, at, d.used, c->len);
        }
    }
}

#define DONE WEFT__HTTP_DONE, 0

TEST(chunk_well_formed_bodies_are_delivered)
{
    static const chunk_case cases[] = {
        {"9112-7.1 nothing", BYTES("0\r\n\r\n"), DONE, "", 0},
        {"9112-7.1 one chunk", BYTES("5\r\nhello\r\n0\r\n\r\n"), DONE, "hello", 0},
        {"9112-7.1 several", BYTES("1\r\na\r\n2\r\nbc\r\nA\r\n0123456789\r\n0\r\n\r\nGET /"), DONE, "abc0123456789", 5},
        {"9112-7.1 either case of hexadecimal", BYTES("a\r\n0123456789\r\nB\r\n0123456789a\r\n0\r\n\r\n"), DONE,
         "01234567890123456789a", 0},
        {"9112-7.1 line ends inside data are data", BYTES("4\r\n\r\n\r\n\r\n0\r\n\r\n"), DONE, "\r\n\r\n", 0},
        {"9112-7.1 leading zeros", BYTES("0000000000000001\r\na\r\n000\r\n\r\n"), DONE, "a", 0},
        {"9112-7.1.1 an extension", BYTES("1;a\r\nx\r\n0;b=c\r\n\r\n"), DONE, "x", 0},
        {"9112-7.1.1 several, with white space", BYTES("1 ; a\t=\tb ;c = \"d\" ; e\r\nx\r\n0\r\n\r\n"), DONE, "x", 0},
        {"9112-7.1.1 quoted", BYTES("1;a=\"b;\\\"\\\\ \tc\x80\"\r\nx\r\n0\r\n\r\n"), DONE, "x", 0},
        {"9112-7.1.1 empty and quoted", BYTES("1;a=\"\"\r\nx\r\n0\r\n\r\n"), DONE, "x", 0},
        {"9112-7.1.2 trailers", BYTES("0\r\nA: b\r\nC:\r\n\r\n"), DONE, "", 0},
        {"9110-6.5.1 forbidden trailers are dropped", BYTES("0\r\nContent-Length: 5\r\nHost: b\r\n\r\nGET"), DONE, "",
         3},
        {"not yet", BYTES("5\r\nhel"), WEFT__HTTP_MORE, 0, "hel", 0},
        {"no last LF yet", BYTES("5\r\nhello\r\n0\r\n\r"), WEFT__HTTP_MORE, 0, "hello", 0},
    };
    check_cases(cases, sizeof cases / sizeof cases[0]);
}

TEST(chunk_malformed_bodies_are_refused)
{
    static const chunk_case cases[] = {
#define BAD(name, text) {name, BYTES(text), REFUSED, 400, "", 0}
        BAD("9112-7.1 no size", "\r\n\r\n"),
        BAD("9112-7.1 no digit", "g\r\n"),
        BAD("9112-7.1 a sign", "+5\r\nhello\r\n"),
        BAD("9112-7.1 a minus", "-5\r\nhello\r\n"),
        BAD("9112-7.1 0x", "0x5\r\nhello\r\n"),
        BAD("9112-7.1 an underscore", "1_0\r\n"),
        BAD("9112-7.1 white space before", " 5\r\nhello\r\n"),
        BAD("9112-7.1 white space after", "5 \r\nhello\r\n"),
        BAD("9112-7.1 a tab after", "5\t\r\nhello\r\n"),
        BAD("9112-7.1 two sizes", "5 5\r\nhello\r\n"),
        BAD("9112-7.1 NUL", "5\0\r\nhello\r\n"),
        BAD("9112-2.2 LF alone after the size", "5\nhello\r\n"),
        BAD("9112-2.2 CR alone after the size", "5\rhello\r\n"),
        BAD("9112-7.1 2^63", "8000000000000000\r\n"),
        BAD("9112-7.1 2^64 + 5", "10000000000000005\r\nhello\r\n"),
        BAD("9112-7.1 seventeen digits", "00000000000000005\r\nhello\r\n"),
        BAD("9112-7.1 sum above 2^63", "1\r\na\r\n7fffffffffffffff\r\n"),
        BAD("9112-7.1 data longer than its size", "4\r\nhello\r\n0\r\n\r\n"),
        BAD("9112-7.1 data shorter than its size", "6\r\nhello\r\n0\r\n\r\n"),
        BAD("9112-7.1 LF alone after data", "5\r\nhello\n0\r\n\r\n"),
        BAD("9112-7.1 CR alone after data", "5\r\nhello\r0\r\n\r\n"),
        BAD("9112-7.1 no line end after data", "5\r\nhello0\r\n\r\n"),
        BAD("9112-7.1.1 an extension without a name", "5;\r\nhello\r\n"),
        BAD("9112-7.1.1 one that begins with =", "5;=a\r\nhello\r\n"),
        BAD("9112-7.1.1 a value that is missing", "5;a=\r\nhello\r\n"),
        BAD("9112-7.1.1 LF in an extension", "5;a\nhello\r\n"),
        BAD("9112-7.1.1 CR in an extension", "5;a\rb\r\nhello\r\n"),
        BAD("9112-7.1.1 a line end in quotes", "5;a=\"\r\n\"\r\nhello\r\n"),
        BAD("9112-7.1.1 LF in quotes", "5;a=\"\n\"\r\nhello\r\n"),
        BAD("9112-7.1.1 an escaped LF in quotes", "5;a=\"\\\n\"\r\nhello\r\n"),
        BAD("9112-7.1.1 text after quotes", "5;a=\"b\"c\r\nhello\r\n"),
        BAD("9112-7.1.1 white space at the end", "5;a \r\nhello\r\n"),
        BAD("9112-7.1.1 white space after a value", "5;a=b \r\nhello\r\n"),
        BAD("9112-7.1.1 two =", "5;a=b=c\r\nhello\r\n"),
        BAD("9112-7.1.1 two words", "5;a b\r\nhello\r\n"),
        BAD("9112-7.1.1 a control character", "5;a\x01\r\nhello\r\n"),
        BAD("9112-7.1.2 a trailer without a colon", "0\r\nA\r\n\r\n"),
        BAD("9112-7.1.2 a space before its colon", "0\r\nA : b\r\n\r\n"),
        BAD("9112-7.1.2 a folded trailer", "0\r\nA: b\r\n c\r\n\r\n"),
        BAD("9112-7.1.2 an empty name", "0\r\n: b\r\n\r\n"),
        BAD("9112-7.1.2 LF alone", "0\r\nA: b\n\r\n"),
        BAD("9112-7.1.2 LF alone at the end", "0\r\n\n"),
        BAD("9112-7.1.2 CR and no LF at the end", "0\r\n\rX"),
        BAD("9112-7.1.2 NUL in a trailer", "0\r\nA: \0\r\n\r\n"),
        BAD("9112-7.1.2 CR in a trailer", "0\r\nA: b\rc\r\n\r\n"),
#undef BAD
    };
    check_cases(cases, sizeof cases / sizeof cases[0]);
}

TEST(chunk_largest_sizes_are_taken)
{
    weft__chunk c = {0};
    decoded d = {0};
    feed(&c, &d, BYTES("7fffffffffffffff\r\nabc"));
    CHECK_INT(WEFT__HTTP_MORE, d.outcome);
    CHECK_INT(3, d.body_len);
    CHECK_INT(INT64_MAX - 3, c.left);
}

/* Feed `unit` n times and then `last`; the outcome of it all. */
static weft__chunk feed_many(const char *first, const char *unit, size_t n, const char *last)
{
    weft__chunk c = {0};
    decoded d = {0};
    feed(&c, &d, first, strlen(first));
    for (size_t i = 0; i < n && d.outcome == WEFT__HTTP_MORE; i++)
        feed(&c, &d, unit, strlen(unit));
    if (d.outcome == WEFT__HTTP_MORE)
        feed(&c, &d, last, strlen(last));
    if (d.outcome == WEFT__HTTP_MORE)
        FAIL("neither done nor refused");
    return c;
}

TEST(chunk_extensions_and_trailers_are_bounded)
{
    /* what comes behind the first ';', the CR that ends the line included */
    CHECK_INT(0, feed_many("0;", "x", WEFT__CHUNK_EXTENSIONS - 1, "\r\n\r\n").status);
    CHECK_INT(400, feed_many("0;", "x", WEFT__CHUNK_EXTENSIONS, "\r\n\r\n").status);
    /* over all chunks, not for each */
    decoded d = {0};
    weft__chunk c = {0};
    size_t chunks = 0;
    while (d.outcome == WEFT__HTTP_MORE && chunks < 10000) {
        d.body_len = 0;
        feed(&c, &d, BYTES("1;abcdefghi\r\nx\r\n"));
        chunks++;
    }
    CHECK_INT(400, c.status);
    CHECK_BETWEEN(WEFT__CHUNK_EXTENSIONS / 12, WEFT__CHUNK_EXTENSIONS / 8, chunks);
    CHECK_INT(0, feed_many("0\r\n", "A:\r\n", WEFT__CHUNK_FIELDS, "\r\n").status);
    CHECK_INT(431, feed_many("0\r\n", "A:\r\n", WEFT__CHUNK_FIELDS + 1, "\r\n").status);
    CHECK_INT(0, feed_many("0\r\nA:", "x", WEFT__CHUNK_TRAILER - 6, "\r\n\r\n").status);
    CHECK_INT(431, feed_many("0\r\nA:", "x", WEFT__CHUNK_TRAILER - 5, "\r\n\r\n").status);
}

/* A chunk without extensions costs nothing of their allowance. */
TEST(chunk_many_small_chunks_are_fine)
{
    weft__chunk c = {0};
    decoded d = {0};
    for (int i = 0; i < 20000; i++) {
        d.body_len = 0;
        feed(&c, &d, BYTES("1\r\nx\r\n"));
        CHECK_INT(WEFT__HTTP_MORE, d.outcome);
    }
    CHECK_INT(20000, c.total);
}
