/* parse_support.c - see the header. */
#include "http/parse_support.h"

#include "harness/harness.h"

#include <stdlib.h>
#include <string.h>

int span_is(weft__span s, const char *text)
{
    return s.len == strlen(text) && (s.len == 0 || memcmp(s.data, text, s.len) == 0);
}

int slice_is(const char *buf, weft__slice s, const char *text)
{
    return span_is(weft__slice_span(buf, s), text);
}

/* A copy that ends where the memory ends, as far as the sanitizer can tell. */
static char *exact_copy(const char *bytes, size_t len)
{
    char *p = malloc(len > 0 ? len : 1);
    CHECK(p != NULL);
    memcpy(p, bytes, len);
    return p;
}

enum weft__http_outcome parse_whole(weft__http_head *head, const char *bytes, size_t len,
                                    const weft__http_limits *limits)
{
    char *copy = exact_copy(bytes, len);
    weft__http_head_init(head);
    enum weft__http_outcome o = weft__http_parse(head, copy, len, limits);
    free(copy);
    return o;
}

/* The first `step` bytes, then `step` more, ...; a new block for each call. */
static enum weft__http_outcome parse_cut(weft__http_head *head, const char *bytes, size_t len, size_t first,
                                         size_t step, const weft__http_limits *limits)
{
    enum weft__http_outcome o;
    size_t have = first;

    weft__http_head_init(head);
    for (;;) {
        char *copy = exact_copy(bytes, have);
        o = weft__http_parse(head, copy, have, limits);
        free(copy);
        if (o != WEFT__HTTP_MORE || have == len)
            return o;
        have = have + step < len ? have + step : len;
    }
}

static int same_slice(weft__slice a, weft__slice b)
{
    return a.at == b.at && a.len == b.len;
}

static int same_head(const weft__http_head *a, const weft__http_head *b)
{
    if (a->status != b->status || a->keep_alive != b->keep_alive)
        return 0;
    if (!same_slice(a->method_name, b->method_name) || !same_slice(a->target, b->target))
        return 0;
    if (a->size != b->size || a->method != b->method || a->minor != b->minor || a->form != b->form)
        return 0;
    if (a->chunked != b->chunked || a->content_length != b->content_length || a->present != b->present)
        return 0;
    if (a->expect_continue != b->expect_continue || a->field_count != b->field_count || a->repeated != b->repeated)
        return 0;
    if (!same_slice(a->path, b->path) || !same_slice(a->query, b->query) || !same_slice(a->authority, b->authority))
        return 0;
    for (unsigned i = 0; i < WEFT__FIELD_COUNT; i++)
        if ((a->present >> i & 1) && !same_slice(a->field[i], b->field[i]))
            return 0;
    return 1;
}

static void check_row(const parse_case *c, const weft__http_head *h, enum weft__http_outcome o)
{
    if (o != c->outcome || h->status != c->status)
        FAIL("%s: outcome %d status %d, not %d %d", c->name, (int)o, h->status, (int)c->outcome, c->status);
    if (o == WEFT__HTTP_REFUSED && h->keep_alive)
        FAIL("%s: refused, yet kept alive", c->name);
    if (o != WEFT__HTTP_DONE)
        return;
    unsigned flags = (h->keep_alive ? KEEP : 0) | (h->chunked ? CHUNKED : 0) | (h->expect_continue ? EXPECT : 0);
    if (flags != c->flags)
        FAIL("%s: flags %u, not %u", c->name, flags, c->flags);
    if (h->content_length != c->content_length)
        FAIL("%s: content length %llu", c->name, (unsigned long long)h->content_length);
    if (h->size > c->len)
        FAIL("%s: head of %u bytes in %zu", c->name, h->size, c->len);
}

void check_parse_cases(const parse_case *cases, size_t count, const weft__http_limits *limits)
{
    for (size_t i = 0; i < count; i++) {
        const parse_case *c = &cases[i];
        weft__http_head whole, cut;
        check_row(c, &whole, parse_whole(&whole, c->bytes, c->len, limits));
        for (size_t at = 0; at <= c->len; at++) {
            if (parse_cut(&cut, c->bytes, c->len, at, c->len, limits) != c->outcome || !same_head(&whole, &cut))
                FAIL("%s: cut at %zu it is another request", c->name, at);
        }
        if (parse_cut(&cut, c->bytes, c->len, 0, 1, limits) != c->outcome || !same_head(&whole, &cut))
            FAIL("%s: byte by byte it is another request", c->name);
    }
}
