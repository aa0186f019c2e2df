/* parse.c - the request head: five phases, each of which can stop at any byte and go on from there.
 *
 * P1 order: bytes are judged strictly from left to right and limits are positions (a byte beyond a limit is not looked
 *           at), so the first fault is the same one however the bytes were cut (C1).
 * P2 once:  `pos` only grows. What a phase needs from before `pos` is `mark` and what it stored in the head.
 * P3 last:  what is well framed but not served (405, 417, 421, 501) is decided at the end, so that malformed wins.
 *
 * The request line is three phases, a field two (name, value); a value's end is the only search that has to cross many
 * bytes, and it validates as it searches. */
#include "http/parse.h"
#include "http/parse_scan.h"

#include <errno.h>

enum phase {
    PHASE_LEAD,
    PHASE_METHOD,
    PHASE_TARGET,
    PHASE_VERSION,
    PHASE_NAME,
    PHASE_VALUE,
    PHASE_DONE,
    PHASE_REFUSED
};

enum {
    CONNECTION_CLOSE = 1,
    CONNECTION_KEEP_ALIVE = 2
};

enum {
    FIELD_UNKNOWN = WEFT__FIELD_COUNT
};

#define GO_ON ((enum weft__http_outcome) - 1) /* the phase is through */

/* What a phase works on: [p, end) is there and within the limit of the head. */
typedef struct reader {
    const char *buf;
    const char *p;
    const char *end;
    const weft__http_limits *limits;
} reader;

static const weft__http_limits default_limits;

static uint32_t limit_or(uint32_t configured, uint32_t normal)
{
    return configured != 0 ? configured : normal;
}

static WEFT__COLD enum weft__http_outcome refuse(weft__http_head *h, unsigned status)
{
    h->status = (uint16_t)status;
    h->keep_alive = false;
    h->phase = PHASE_REFUSED;
    return WEFT__HTTP_REFUSED;
}

static weft__slice slice_of(const reader *r, const char *from, const char *to)
{
    return (weft__slice){(uint32_t)(from - r->buf), (uint32_t)(to - from)};
}

void weft__http_head_init(weft__http_head *head)
{
    memset(head, 0, offsetof(weft__http_head, field));
}

/* Does name[0..n) spell `lower`, its letters in either case? Only letters (bit 0x40) may differ, and by bit 0x20 only.
 * With a constant n of 4 to 7, or 8 and more, this is a few words compared, the last two overlapping. */
static inline __attribute__((always_inline)) bool same_nocase(const char *name, const char *lower, size_t n)
{
    if (n < 8) {
        uint32_t a, b, c, d;
        memcpy(&a, name, 4);
        memcpy(&b, lower, 4);
        memcpy(&c, name + n - 4, 4);
        memcpy(&d, lower + n - 4, 4);
        return (a | (b & 0x40404040U) >> 1) == b && (c | (d & 0x40404040U) >> 1) == d;
    }
    for (size_t i = 0;; i += 8) {
        uint64_t a, b;
        if (i + 8 > n)
            i = n - 8;
        memcpy(&a, name + i, 8);
        memcpy(&b, lower + i, 8);
        if ((a | (b & UINT64_C(0x4040404040404040)) >> 1) != b)
            return false;
        if (i + 8 == n)
            return true;
    }
}

#define SAME(name, literal) same_nocase((name), "" literal "", sizeof("" literal "") - 1)

static unsigned field_of(const char *name, size_t len)
{
    switch (len) {
    case 4:
        return SAME(name, "host") ? WEFT__FIELD_HOST : FIELD_UNKNOWN;
    case 5:
        return SAME(name, "range") ? WEFT__FIELD_RANGE : FIELD_UNKNOWN;
    case 6:
        return SAME(name, "expect") ? WEFT__FIELD_EXPECT : FIELD_UNKNOWN;
    case 7:
        return SAME(name, "referer") ? WEFT__FIELD_REFERER : FIELD_UNKNOWN;
    case 8:
        if (SAME(name, "if-range"))
            return WEFT__FIELD_IF_RANGE;
        return SAME(name, "if-match") ? WEFT__FIELD_IF_MATCH : FIELD_UNKNOWN;
    case 10:
        if (SAME(name, "connection"))
            return WEFT__FIELD_CONNECTION;
        return SAME(name, "user-agent") ? WEFT__FIELD_USER_AGENT : FIELD_UNKNOWN;
    case 13:
        return SAME(name, "if-none-match") ? WEFT__FIELD_IF_NONE_MATCH : FIELD_UNKNOWN;
    case 14:
        return SAME(name, "content-length") ? WEFT__FIELD_CONTENT_LENGTH : FIELD_UNKNOWN;
    case 15:
        return SAME(name, "accept-encoding") ? WEFT__FIELD_ACCEPT_ENCODING : FIELD_UNKNOWN;
    case 17:
        if (SAME(name, "if-modified-since"))
            return WEFT__FIELD_IF_MODIFIED_SINCE;
        return SAME(name, "transfer-encoding") ? WEFT__FIELD_TRANSFER_ENCODING : FIELD_UNKNOWN;
    case 19:
        return SAME(name, "if-unmodified-since") ? WEFT__FIELD_IF_UNMODIFIED_SINCE : FIELD_UNKNOWN;
    default:
        return FIELD_UNKNOWN;
    }
}

static unsigned method_of(const char *name, size_t len)
{
    switch (len) {
    case 3:
        if (memcmp(name, "GET", 3) == 0)
            return WEFT__HTTP_GET;
        return memcmp(name, "PUT", 3) == 0 ? WEFT__HTTP_PUT : WEFT__HTTP_OTHER;
    case 4:
        if (memcmp(name, "HEAD", 4) == 0)
            return WEFT__HTTP_HEAD;
        return memcmp(name, "POST", 4) == 0 ? WEFT__HTTP_POST : WEFT__HTTP_OTHER;
    case 5:
        if (memcmp(name, "TRACE", 5) == 0)
            return WEFT__HTTP_TRACE;
        return memcmp(name, "PATCH", 5) == 0 ? WEFT__HTTP_PATCH : WEFT__HTTP_OTHER;
    case 6:
        return memcmp(name, "DELETE", 6) == 0 ? WEFT__HTTP_DELETE : WEFT__HTTP_OTHER;
    case 7:
        if (memcmp(name, "OPTIONS", 7) == 0)
            return WEFT__HTTP_OPTIONS;
        return memcmp(name, "CONNECT", 7) == 0 ? WEFT__HTTP_CONNECT : WEFT__HTTP_OTHER;
    default:
        return WEFT__HTTP_OTHER;
    }
}

/* One empty line before the request line is forgiven (RFC 9112 2.2); a second one is no method. */
static enum weft__http_outcome read_lead(weft__http_head *h, reader *r)
{
    if (r->p == r->end)
        return WEFT__HTTP_MORE;
    if (*r->p == '\r') {
        if (r->end - r->p < 2)
            return WEFT__HTTP_MORE;
        if (r->p[1] != '\n')
            return refuse(h, 400);
        r->p += 2;
    }
    h->start = h->mark = (uint32_t)(r->p - r->buf);
    h->phase = PHASE_METHOD;
    return GO_ON;
}

static enum weft__http_outcome read_method(weft__http_head *h, reader *r)
{
    const char *first = r->buf + h->mark;
    size_t most = limit_or(r->limits->method, 32);

    for (;; r->p++) {
        if (r->p == r->end)
            return WEFT__HTTP_MORE;
        if (*r->p == ' ' && r->p > first)
            break;
        if (!weft__byte_is(*r->p, WEFT__BYTE_TOKEN))
            return refuse(h, 400);
        if ((size_t)(r->p - first) == most)
            return refuse(h, 501);
    }
    h->method_name = slice_of(r, first, r->p);
    h->method = (uint8_t)method_of(first, h->method_name.len);
    r->p++;
    h->mark = (uint32_t)(r->p - r->buf);
    h->phase = PHASE_TARGET;
    return GO_ON;
}

static enum weft__http_outcome read_target(weft__http_head *h, reader *r)
{
    const char *first = r->buf + h->mark;
    size_t most = limit_or(r->limits->target, 8192);
    const char *bound = (size_t)(r->end - first) > most ? first + most + 1 : r->end;

    r->p = weft__target_stop(r->buf, r->p, bound);
    if (r->p == bound) {
        if ((size_t)(bound - first) <= most)
            return WEFT__HTTP_MORE;
        h->target = slice_of(r, first, bound - 1);
        return refuse(h, 414);
    }
    if (*r->p != ' ' || r->p == first)
        return refuse(h, 400);
    h->target = slice_of(r, first, r->p);
    r->p++;
    h->mark = (uint32_t)(r->p - r->buf);
    h->phase = PHASE_VERSION;
    return GO_ON;
}

/* Split an origin target, or what follows the authority of an absolute one, at its first '?'. */
static void split_query(weft__http_head *h, const reader *r, const char *from, const char *to)
{
    const char *mark = memchr(from, '?', (size_t)(to - from));
    h->has_query = mark != NULL;
    h->path = slice_of(r, from, mark != NULL ? mark : to);
    h->query = mark != NULL ? slice_of(r, mark + 1, to) : (weft__slice){0, 0};
}

/* RFC 9112 3.2. False: a target that its method cannot have, or no target at all. */
static bool take_target(weft__http_head *h, const reader *r)
{
    const char *p = r->buf + h->target.at;
    const char *end = p + h->target.len;

    if (h->method == WEFT__HTTP_CONNECT) {
        h->form = WEFT__HTTP_AUTHORITY;
        h->authority = h->target;
        return weft__http_host_valid(p, h->target.len) && end[-1] != ':' && end[-1] != ']' &&
               memchr(p, ':', h->target.len) != NULL;
    }
    if (*p == '/') {
        split_query(h, r, p, end);
        return true;
    }
    if (*p == '*') {
        h->form = WEFT__HTTP_ASTERISK;
        return h->target.len == 1 && h->method == WEFT__HTTP_OPTIONS;
    }
    h->form = WEFT__HTTP_ABSOLUTE;
    if (end - p > 7 && SAME(p, "http") && memcmp(p + 4, "://", 3) == 0)
        p += 7;
    else if (end - p > 8 && SAME(p, "https") && memcmp(p + 5, "://", 3) == 0)
        p += 8;
    else
        return false;
    const char *first = p;
    while (p < end && *p != '/' && *p != '?')
        p++;
    h->authority = slice_of(r, first, p);
    split_query(h, r, p, end);
    return weft__http_host_valid(first, h->authority.len);
}

static enum weft__http_outcome read_version(weft__http_head *h, reader *r)
{
    static const char pattern[] = "HTTP/#.#\r\n";
    const char *first = r->buf + h->mark;

    if (r->end - first >= 10 && memcmp(first, "HTTP/1.1\r\n", 10) == 0)
        r->p = first + 10;
    for (; r->p - first < (ptrdiff_t)sizeof pattern - 1; r->p++) {
        if (r->p == r->end)
            return WEFT__HTTP_MORE;
        char want = pattern[r->p - first];
        if (want == '#' ? (*r->p < '0' || *r->p > '9') : *r->p != want)
            return refuse(h, 400);
    }
    if (first[5] != '1')
        return refuse(h, first[5] == '0' ? 400 : 505);
    h->minor = first[7] != '0';
    if (!take_target(h, r))
        return refuse(h, 400);
    h->fields_at = h->mark = (uint32_t)(r->p - r->buf);
    h->phase = PHASE_NAME;
    return GO_ON;
}

/* 1*DIGIT up to 2^63 - 1. A leading zero is refused too: some readers take what follows for octal. */
static bool parse_length(weft__span v, uint64_t *out)
{
    uint64_t n = 0;
    if (v.len == 0 || v.len > 19 || (v.data[0] == '0' && v.len > 1))
        return false;
    for (size_t i = 0; i < v.len; i++) {
        if (v.data[i] < '0' || v.data[i] > '9')
            return false;
        n = n * 10 + (uint64_t)(v.data[i] - '0'); /* 19 digits are below 2^64 */
    }
    *out = n;
    return n <= INT64_MAX;
}

static void take_connection(weft__http_head *h, weft__span v)
{
    const char *p = v.data, *end = v.data + v.len, *from, *to;
    while (weft__list_next(&p, end, &from, &to)) {
        if (to - from == 5 && SAME(from, "close"))
            h->connection |= CONNECTION_CLOSE;
        else if (to - from == 10 && SAME(from, "keep-alive"))
            h->connection |= CONNECTION_KEEP_ALIVE;
    }
}

static void take_expect(weft__http_head *h, weft__span v)
{
    const char *p = v.data, *end = v.data + v.len, *from, *to;
    while (weft__list_next(&p, end, &from, &to)) {
        if (to - from == 12 && SAME(from, "100-continue"))
            h->expect_continue = true;
        else if (to > from)
            h->expect_other = true;
    }
}

/* Note a known field. False: it makes the request malformed. */
static bool take_field(weft__http_head *h, unsigned id, weft__span v, uint32_t at)
{
    if (h->present >> id & 1) {
        h->repeated |= 1U << id;
    } else {
        h->present |= 1U << id;
        h->field[id] = (weft__slice){at, (uint32_t)v.len};
    }
    switch (id) {
    case WEFT__FIELD_HOST:
        return (h->repeated >> id & 1) == 0 && weft__http_host_valid(v.data, v.len);
    case WEFT__FIELD_CONTENT_LENGTH:
        return (h->repeated >> id & 1) == 0 && parse_length(v, &h->content_length);
    case WEFT__FIELD_TRANSFER_ENCODING:
        return (h->repeated >> id & 1) == 0;
    case WEFT__FIELD_CONNECTION:
        take_connection(h, v);
        return true;
    case WEFT__FIELD_EXPECT:
        take_expect(h, v);
        return true;
    default:
        return true;
    }
}

/* The only Transfer-Encoding whose end everyone sees alike is one `chunked`. Returns 0 for it; 501 if the last of
 * several codings is chunked and the others are merely not known here; else 400 (RFC 9112 6.1, 6.3). */
static unsigned coding_status(weft__span v)
{
    const char *p = v.data, *end = v.data + v.len, *from, *to;
    bool last_chunked = false;

    if (v.len == 7 && SAME(v.data, "chunked"))
        return 0;
    while (weft__list_next(&p, end, &from, &to)) {
        if (last_chunked || from == to)
            return 400;
        last_chunked = to - from == 7 && SAME(from, "chunked");
        for (const char *c = from; c < to; c++)
            if (!weft__byte_is(*c, WEFT__BYTE_TOKEN))
                return 400;
    }
    return last_chunked && end[-1] != ',' ? 501 : 400;
}

static bool is_https(const weft__http_head *h, const char *buf)
{
    return h->form == WEFT__HTTP_ABSOLUTE && (buf[h->target.at + 4] | 0x20) == 's';
}

/* P3. */
static unsigned service_status(const weft__http_head *h, const reader *r)
{
    if (h->method == WEFT__HTTP_OTHER)
        return 501;
    if (is_https(h, r->buf) && !r->limits->secure)
        return 421;
    if (h->method != WEFT__HTTP_GET && h->method != WEFT__HTTP_HEAD)
        return 405;
    return h->expect_other ? 417 : 0;
}

static enum weft__http_outcome finish(weft__http_head *h, reader *r)
{
    if (weft__http_has(h, WEFT__FIELD_HOST)) {
        if (h->authority.len == 0)
            h->authority = h->field[WEFT__FIELD_HOST];
    } else if (h->minor > 0) {
        return refuse(h, 400);
    }
    if (weft__http_has(h, WEFT__FIELD_TRANSFER_ENCODING)) {
        if (h->minor == 0 || weft__http_has(h, WEFT__FIELD_CONTENT_LENGTH))
            return refuse(h, 400);
        unsigned status = coding_status(weft__http_value(h, r->buf, WEFT__FIELD_TRANSFER_ENCODING));
        if (status != 0)
            return refuse(h, status);
        h->chunked = true;
    }
    h->keep_alive =
        (h->connection & CONNECTION_CLOSE) == 0 && (h->minor > 0 || (h->connection & CONNECTION_KEEP_ALIVE) != 0);
    if (h->minor == 0 || (!h->chunked && h->content_length == 0))
        h->expect_continue = false;
    h->status = (uint16_t)service_status(h, r);
    h->size = (uint32_t)(r->p - r->buf);
    h->phase = PHASE_DONE;
    return WEFT__HTTP_DONE;
}

/* A field name and its colon, or the empty line. White space at the start of a line (obs-fold) or before the colon is
 * no token byte, so neither needs a rule of its own. */
static enum weft__http_outcome read_name(weft__http_head *h, reader *r)
{
    const char *first = r->buf + h->mark;

    if (r->p == r->end)
        return WEFT__HTTP_MORE;
    if (*first == '\r') {
        if (r->end - first < 2)
            return WEFT__HTTP_MORE;
        if (first[1] != '\n')
            return refuse(h, 400);
        r->p = first + 2;
        return finish(h, r);
    }
    if (h->field_count == limit_or(r->limits->fields, 100))
        return refuse(h, 431);
    const char *colon = weft__colon_stop(r->buf, r->p, r->end);
    unsigned id = colon < r->end ? field_of(first, (size_t)(colon - first)) : (unsigned)FIELD_UNKNOWN;
    if (id == FIELD_UNKNOWN) {
        for (; r->p < colon; r->p++)
            if (!weft__byte_is(*r->p, WEFT__BYTE_TOKEN))
                return refuse(h, 400);
        if (colon == r->end)
            return WEFT__HTTP_MORE;
        if (colon == first)
            return refuse(h, 400);
    }
    h->field_id = (uint8_t)id;
    h->field_count++;
    r->p = colon + 1;
    h->mark = (uint32_t)(r->p - r->buf);
    h->phase = PHASE_VALUE;
    return GO_ON;
}

static enum weft__http_outcome read_value(weft__http_head *h, reader *r)
{
    r->p = weft__value_stop(r->buf, r->p, r->end);
    if (r->p == r->end)
        return WEFT__HTTP_MORE;
    if (*r->p != '\r')
        return refuse(h, 400);
    if (r->end - r->p < 2)
        return WEFT__HTTP_MORE;
    if (r->p[1] != '\n')
        return refuse(h, 400);
    if (h->field_id != FIELD_UNKNOWN) {
        const char *from = r->buf + h->mark, *to = r->p;
        weft__trim(&from, &to);
        if (!take_field(h, h->field_id, (weft__span){from, (size_t)(to - from)}, (uint32_t)(from - r->buf)))
            return refuse(h, 400);
    }
    r->p += 2;
    h->mark = (uint32_t)(r->p - r->buf);
    h->phase = PHASE_NAME;
    return GO_ON;
}

static enum weft__http_outcome read_phase(weft__http_head *h, reader *r)
{
    switch ((enum phase)h->phase) {
    case PHASE_LEAD:
        return read_lead(h, r);
    case PHASE_METHOD:
        return read_method(h, r);
    case PHASE_TARGET:
        return read_target(h, r);
    case PHASE_VERSION:
        return read_version(h, r);
    case PHASE_NAME:
        return read_name(h, r);
    case PHASE_VALUE:
        return read_value(h, r);
    case PHASE_DONE:
        return WEFT__HTTP_DONE;
    case PHASE_REFUSED:
        break;
    }
    return WEFT__HTTP_REFUSED;
}

enum weft__http_outcome weft__http_parse(weft__http_head *head, const char *buf, size_t len,
                                         const weft__http_limits *limits)
{
    reader r = {buf, buf + head->pos, buf + len, limits != NULL ? limits : &default_limits};
    uint32_t most = limit_or(r.limits->head, 16384);
    enum weft__http_outcome outcome;
    bool full = false;

    do {
        if (head->phase > PHASE_LEAD && (size_t)(r.end - buf) - head->start >= most) {
            r.end = buf + head->start + most;
            full = true;
        }
        outcome = read_phase(head, &r);
    } while (outcome == GO_ON);
    head->pos = (uint32_t)(r.p - buf);
    if (outcome == WEFT__HTTP_MORE && full)
        return refuse(head, head->phase <= PHASE_TARGET ? 414 : 431);
    return outcome;
}

bool weft__http_field_next(const weft__http_head *head, const char *buf, uint32_t *cursor, weft__span *name,
                           weft__span *value)
{
    const char *p = buf + (*cursor != 0 ? *cursor : head->fields_at);
    const char *end = buf + head->size;

    if (*p == '\r')
        return false;
    const char *colon = memchr(p, ':', (size_t)(end - p));
    const char *from = colon + 1;
    const char *to = memchr(from, '\r', (size_t)(end - from));
    *cursor = (uint32_t)(to + 2 - buf);
    weft__trim(&from, &to);
    *name = (weft__span){p, (size_t)(colon - p)};
    *value = (weft__span){from, (size_t)(to - from)};
    return true;
}

int weft__http_joined(const weft__http_head *head, const char *buf, enum weft__http_field id, char *scratch, size_t cap,
                      weft__span *out)
{
    uint32_t cursor = 0;
    size_t len = 0;
    weft__span name, value;

    *out = weft__http_value(head, buf, id);
    if ((head->repeated >> id & 1) == 0)
        return 0;
    *out = (weft__span){NULL, 0};
    while (weft__http_field_next(head, buf, &cursor, &name, &value)) {
        if (field_of(name.data, name.len) != (unsigned)id)
            continue;
        size_t comma = len > 0 ? 2 : 0;
        if (comma + value.len > cap - len)
            return -ENOBUFS;
        memcpy(scratch + len, ", ", comma);
        memcpy(scratch + len + comma, value.data, value.len);
        len += comma + value.len;
    }
    *out = (weft__span){scratch, len};
    return 0;
}
