/* request_fuzz.c - a stream of pipelined requests.
 * Oracles: the same requests come out however the stream is cut into reads; never more requests than request lines; an
 * accepted head has no line end but CR LF and no NUL, and its framing is one of none, a length or chunks; all fields
 * can be walked and are what the scan said. The buffer ends where the memory ends, so a byte read beyond it is a fault.
 */
#include "http/chunk.h"
#include "http/parse.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            __builtin_trap();                                                                                          \
    } while (0)

enum {
    REQUESTS_MAX = 512
};

/* One request as it was understood; compared as bytes, so it holds no padding that is not zero. */
typedef struct seen {
    uint64_t at, size, body, trailer_end, content_length;
    uint64_t method, form, status, outcome, body_outcome, body_status, keep_alive, present, repeated, fields;
    weft__slice target, path, query, authority;
} seen;

typedef struct stream {
    const char *bytes;
    size_t len;
    uint64_t random; /* 0: all there at once */
} stream;

/* How much more arrives after `have` bytes: a few, but not so few that a long input is copied hundreds of times. */
static size_t arrive(stream *s, size_t have)
{
    if (s->random == 0)
        return s->len;
    s->random ^= s->random << 13;
    s->random ^= s->random >> 7;
    s->random ^= s->random << 17;
    size_t n = 1 + (s->random >> 32) % (4 + s->len / 16);
    return n < s->len - have ? have + n : s->len;
}

static char *exact_copy(const char *bytes, size_t len)
{
    char *p = malloc(len > 0 ? len : 1);
    REQUIRE(p != NULL);
    memcpy(p, bytes, len);
    return p;
}

static void check_head(const weft__http_head *h, const char *buf)
{
    uint32_t cursor = 0, count = 0, present = 0;
    weft__span name, value;

    for (uint32_t i = 0; i < h->size; i++) {
        REQUIRE(buf[i] != '\0');
        if (buf[i] == '\r')
            REQUIRE(i + 1 < h->size && buf[i + 1] == '\n');
        if (buf[i] == '\n')
            REQUIRE(i > 0 && buf[i - 1] == '\r');
    }
    REQUIRE(h->size >= 4 && memcmp(buf + h->size - 4, "\r\n\r\n", 4) == 0);
    while (weft__http_field_next(h, buf, &cursor, &name, &value)) {
        count++;
        REQUIRE(name.len > 0 && memchr(name.data, ' ', name.len) == NULL);
        REQUIRE(value.data >= buf && value.data + value.len <= buf + h->size);
        if (weft__span_is_nocase(name, WEFT__SPAN("transfer-encoding")))
            present |= 1;
        if (weft__span_is_nocase(name, WEFT__SPAN("content-length")))
            present |= 2;
    }
    REQUIRE(count == h->field_count);
    REQUIRE(present != 3);
    REQUIRE(((present & 1) != 0) == h->chunked);
    REQUIRE((present & 2) != 0 || h->content_length == 0);
    REQUIRE(h->minor == 0 || weft__http_has(h, WEFT__FIELD_HOST));
    for (unsigned id = 0; id < WEFT__FIELD_COUNT; id++) {
        char scratch[256];
        (void)weft__http_joined(h, buf, (enum weft__http_field)id, scratch, sizeof scratch, &value);
    }
}

/* Take the chunked body at `at`, of which `have` - at bytes arrived. Returns where it ends (or stopped). */
static size_t take_chunks(stream *s, size_t at, size_t have, seen *r)
{
    weft__chunk c = {0};
    for (;;) {
        char *copy = exact_copy(s->bytes + at, have - at);
        enum weft__http_outcome o;
        size_t taken = 0;
        do {
            size_t used = 0;
            weft__span part;
            o = weft__chunk_decode(&c, copy + taken, have - at - taken, &used, &part);
            taken += used;
            REQUIRE(taken <= have - at);
            if (o == WEFT__HTTP_DATA)
                r->body += part.len;
        } while (o == WEFT__HTTP_DATA);
        free(copy);
        at += taken;
        r->body_outcome = o;
        r->body_status = c.status;
        REQUIRE(c.total == r->body);
        if (o != WEFT__HTTP_MORE || have == s->len)
            return at;
        REQUIRE(at == have);
        have = arrive(s, have);
    }
}

static unsigned walk(stream s, seen *out)
{
    unsigned count = 0;
    size_t at = 0, have = arrive(&s, 0);

    while (count < REQUESTS_MAX) {
        weft__http_head h;
        enum weft__http_outcome o;
        seen *r = &out[count];
        weft__http_head_init(&h);
        for (;;) {
            char *copy = exact_copy(s.bytes + at, have - at);
            o = weft__http_parse(&h, copy, have - at, NULL);
            if (o == WEFT__HTTP_DONE)
                check_head(&h, copy);
            free(copy);
            if (o != WEFT__HTTP_MORE || have == s.len)
                break;
            have = arrive(&s, have);
        }
        if (o == WEFT__HTTP_MORE)
            break;
        memset(r, 0, sizeof *r);
        count++;
        r->at = at;
        r->outcome = o;
        r->status = h.status;
        r->target = h.target;
        REQUIRE(o != WEFT__HTTP_REFUSED || (h.status >= 400 && !h.keep_alive));
        if (o == WEFT__HTTP_REFUSED)
            break;
        r->size = h.size;
        r->content_length = h.content_length;
        r->method = h.method;
        r->form = h.form;
        r->keep_alive = h.keep_alive;
        r->present = h.present;
        r->repeated = h.repeated;
        r->fields = h.field_count;
        r->path = h.path;
        r->query = h.query;
        r->authority = h.authority;
        at += h.size;
        if (h.chunked) {
            at = take_chunks(&s, at, have > at ? have : at, r);
            if (r->body_outcome != WEFT__HTTP_DONE)
                break;
            r->trailer_end = at;
        } else {
            if (h.content_length > s.len - at)
                break;
            at += h.content_length;
        }
        if (have < at)
            have = at;
    }
    return count;
}

/* " HTTP/d.d\r\n" is the end of every line that can be a request line. */
static unsigned request_lines(const char *p, size_t len)
{
    unsigned n = 0;
    for (size_t i = 0; i + 11 <= len; i++)
        n += memcmp(p + i, " HTTP/", 6) == 0 && p[i + 7] == '.' && memcmp(p + i + 9, "\r\n", 2) == 0;
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static seen whole[REQUESTS_MAX], cut[REQUESTS_MAX];
    const char *bytes = size > 0 ? (const char *)data : "";
    uint64_t hash = UINT64_C(14695981039346656037);

    for (size_t i = 0; i < size; i++)
        hash = (hash ^ data[i]) * UINT64_C(1099511628211);
    unsigned n = walk((stream){bytes, size, 0}, whole);
    unsigned accepted = 0;
    for (unsigned i = 0; i < n; i++)
        accepted += whole[i].outcome == WEFT__HTTP_DONE;
    REQUIRE(accepted <= request_lines(bytes, size));
    REQUIRE(walk((stream){bytes, size, hash | 1}, cut) == n);
    REQUIRE(memcmp(whole, cut, n * sizeof whole[0]) == 0);
    return 0;
}
