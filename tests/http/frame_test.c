/* frame_test.c - frames of a WebSocket and the key of its handshake, byte by byte. The protocol over a connection is
 * the business of tests/web/route_test.py. */
#include "harness/harness.h"

#include "http/frame.h"

#include <stdlib.h>

static int parse(const char *bytes, size_t len, weft__ws_head *h)
{
    uint8_t *exact = malloc(len + (len == 0)); /* so that a sanitizer sees a read beyond */
    memcpy(exact, bytes, len);
    int n = weft__ws_head_parse(exact, len, h);
    free(exact);
    return n;
}

#define PARSE(literal, h) parse((literal), sizeof(literal) - 1, (h))

TEST(ws_head_is_read_when_it_is_whole)
{
    weft__ws_head h;
    static const char small[] = "\x81\x85\x01\x02\x03\x04", middle[] = "\x02\xfe\x01\x00\x01\x02\x03\x04",
                      large[] = "\x82\xff\x00\x00\x00\x00\x00\x01\x00\x00\x01\x02\x03\x04";
    for (size_t n = 0; n < 6; n++)
        CHECK_INT(0, parse(small, n, &h));
    CHECK_INT(6, PARSE(small, &h));
    CHECK_INT(5, h.size);
    CHECK_INT(WEFT__WS_TEXT, h.opcode);
    CHECK(h.fin);
    CHECK_MEM("\1\2\3\4", h.mask, 4);
    for (size_t n = 0; n < 8; n++)
        CHECK_INT(0, parse(middle, n, &h));
    CHECK_INT(8, PARSE(middle, &h));
    CHECK_INT(256, h.size);
    CHECK(!h.fin);
    for (size_t n = 0; n < 14; n++)
        CHECK_INT(0, parse(large, n, &h));
    CHECK_INT(14, PARSE(large, &h));
    CHECK_INT(65536, h.size);
}

TEST(ws_head_that_no_client_may_send_is_refused)
{
    weft__ws_head h;
    CHECK_INT(-1, PARSE("\x81\x05", &h));                                         /* not masked */
    CHECK_INT(-1, PARSE("\xc1\x85\1\2\3\4", &h));                                 /* a reserved bit */
    CHECK_INT(-1, PARSE("\x83\x85\1\2\3\4", &h));                                 /* a reserved opcode */
    CHECK_INT(-1, PARSE("\x8b\x85\1\2\3\4", &h));                                 /* another */
    CHECK_INT(-1, PARSE("\x09\x80\1\2\3\4", &h));                                 /* a ping in pieces */
    CHECK_INT(-1, PARSE("\x89\xfe\x00\x7e\1\2\3\4", &h));                         /* a ping of 126 bytes */
    CHECK_INT(-1, PARSE("\x81\xfe\x00\x7d\1\2\3\4", &h));                         /* not the shortest form */
    CHECK_INT(-1, PARSE("\x81\xff\x00\x00\x00\x00\x00\x00\xff\xff\1\2\3\4", &h)); /* not the shortest form */
    CHECK_INT(-1, PARSE("\x81\xff\x80\x00\x00\x00\x00\x00\x00\x00\1\2\3\4", &h)); /* above 2^63 */
}

TEST(ws_heads_of_ours_have_the_shortest_form)
{
    static const struct {
        uint64_t size;
        size_t len;
        const char *bytes;
    } cases[] = {{0, 2, "\x82\x00"},
                 {125, 2, "\x82\x7d"},
                 {126, 4, "\x82\x7e\x00\x7e"},
                 {65535, 4, "\x82\x7e\xff\xff"},
                 {65536, 10, "\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"}};
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t out[WEFT__WS_HEAD_MAX];
        CHECK_INT(cases[i].len, weft__ws_head_put(out, WEFT__WS_BINARY, cases[i].size));
        CHECK_MEM(cases[i].bytes, out, cases[i].len);
    }
}

TEST(ws_mask_goes_on_where_it_was)
{
    static const uint8_t mask[4] = {1, 2, 4, 8};
    uint8_t text[100], whole[100], pieces[100];
    for (unsigned i = 0; i < 100; i++)
        text[i] = (uint8_t)(i * 7);
    weft__ws_unmask(whole, text, 100, mask, 0);
    for (unsigned i = 0; i < 100; i++)
        CHECK_INT(text[i] ^ mask[i % 4], whole[i]);
    for (size_t step = 1; step < 40; step++) {
        for (size_t at = 0; at < 100; at += step)
            weft__ws_unmask(pieces + at, text + at, step < 100 - at ? step : 100 - at, mask, at);
        CHECK_MEM(whole, pieces, 100);
    }
}

TEST(ws_accepts_the_key_of_the_standard)
{
    char accept[WEFT__WS_ACCEPT_LEN];
    CHECK(weft__ws_accept(WEFT__SPAN("dGhlIHNhbXBsZSBub25jZQ=="), accept));
    CHECK_MEM("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", accept, sizeof accept);
    CHECK(!weft__ws_accept(WEFT__SPAN(""), accept));
    CHECK(!weft__ws_accept(WEFT__SPAN("dGhlIHNhbXBsZSBub25jZQ="), accept));
    CHECK(!weft__ws_accept(WEFT__SPAN("dGhlIHNhbXBsZSBub25jZQ=A"), accept));
    CHECK(!weft__ws_accept(WEFT__SPAN("dGhl*HNhbXBsZSBub25jZQ=="), accept));
}

TEST(ws_codes_are_those_that_may_be_sent)
{
    static const unsigned good[] = {1000, 1001, 1003, 1007, 1014, 3000, 4999},
                          bad[] = {0, 999, 1004, 1005, 1006, 1015, 2999, 5000};
    for (unsigned i = 0; i < sizeof good / sizeof good[0]; i++)
        CHECK(weft__ws_code_valid(good[i]));
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK(!weft__ws_code_valid(bad[i]));
}
