/* load_scan.c - where responses end: status line, Content-Length, chunks, or the end of the connection.
 *
 * A load generator has to know three things of a response: its status, where the next one begins, and whether the
 * connection goes on. A head is looked at as a whole; most servers send the same head again and again (the date changes
 * once a second), so a head equal to the last one, byte for byte, has the meaning of the last one. Bodies are
 * counted and never looked at. fuzz/response_fuzz.c wants the same answer however the bytes are cut. */
#include "load_scan.h"

#include <string.h>
#include <strings.h>

enum {
    HEAD,
    BODY,
    BODY_UNTIL_END,
    CHUNK_FIRST_DIGIT,
    CHUNK_DIGITS,
    CHUNK_LINE,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    TRAILER_BEGIN,
    TRAILER_LINE,
    TRAILER_END
};

enum {
    NO_BODY,
    SIZED,
    CHUNKED,
    UNTIL_END
};

#define LENGTH_MAX (UINT64_C(1) << 60)

/* ---- heads ---- */

/* Where the head at p ends, behind its empty line; 0: not yet, and *line is where to go on looking. */
static size_t find_end(const char *p, size_t n, uint32_t *line)
{
    for (size_t at = *line;;) {
        const char *end = memchr(p + at, '\n', n - at);
        if (end == NULL)
            return 0;
        size_t length = (size_t)(end - p) - at;
        if (at > 0 && (length == 0 || (length == 1 && p[at] == '\r')))
            return (size_t)(end - p) + 1;
        at = (size_t)(end - p) + 1;
        *line = (uint32_t)at;
    }
}

static bool is_name(const char *name, size_t n, const char *wanted)
{
    return strlen(wanted) == n && strncasecmp(name, wanted, n) == 0;
}

static bool read_length(const char *v, size_t n, load_head *h, bool *seen)
{
    uint64_t length = 0;
    if (n == 0)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (v[i] < '0' || v[i] > '9' || length > LENGTH_MAX)
            return false;
        length = length * 10 + (uint64_t)(v[i] - '0');
    }
    if (*seen && length != h->length)
        return false;
    *seen = true;
    h->length = length;
    return true;
}

/* Whether `word` is one of the words in the list v, or the last one of them. */
static bool has_word(const char *v, size_t n, const char *word, bool last)
{
    bool found = false;
    for (size_t at = 0; at < n;) {
        size_t begin, end;
        while (at < n && (v[at] == ' ' || v[at] == '\t' || v[at] == ','))
            at++;
        for (begin = at; at < n && v[at] != ',';)
            at++;
        for (end = at; end > begin && (v[end - 1] == ' ' || v[end - 1] == '\t');)
            end--;
        if (end == begin)
            continue;
        bool same = is_name(v + begin, end - begin, word);
        found = last ? same : found || same;
    }
    return found;
}

typedef struct fields {
    bool has_length, has_coding, chunked, close, keep;
} fields;

static bool read_field(const char *p, size_t n, load_head *h, fields *f)
{
    const char *colon = memchr(p, ':', n);
    if (colon == NULL || colon == p || p[0] == ' ' || p[0] == '\t')
        return false;
    size_t name = (size_t)(colon - p), at = name + 1;
    while (at < n && (p[at] == ' ' || p[at] == '\t'))
        at++;
    while (n > at && (p[n - 1] == ' ' || p[n - 1] == '\t'))
        n--;
    if (is_name(p, name, "content-length"))
        return read_length(p + at, n - at, h, &f->has_length);
    if (is_name(p, name, "transfer-encoding")) {
        f->has_coding = true;
        f->chunked = has_word(p + at, n - at, "chunked", true);
    } else if (is_name(p, name, "connection")) {
        f->close = f->close || has_word(p + at, n - at, "close", false);
        f->keep = f->keep || has_word(p + at, n - at, "keep-alive", false);
    }
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* "HTTP/1.1 200 OK" */
static bool read_status_line(const char *p, size_t n, load_head *h)
{
    if (n < 12 || memcmp(p, "HTTP/1.", 7) != 0 || !is_digit(p[7]) || p[8] != ' ')
        return false;
    if (!is_digit(p[9]) || !is_digit(p[10]) || !is_digit(p[11]) || (n > 12 && p[12] != ' '))
        return false;
    h->status = (uint16_t)((p[9] - '0') * 100 + (p[10] - '0') * 10 + (p[11] - '0'));
    return h->status >= 100 && h->status < 600;
}

static bool read_head(const char *p, size_t size, bool no_body, load_head *h)
{
    fields f = {0};
    *h = (load_head){.size = (uint32_t)size};
    for (size_t at = 0; at < size;) {
        const char *end = memchr(p + at, '\n', size - at);
        size_t n = (size_t)(end - p) - at, next = at + n + 1;
        n -= n > 0 && p[at + n - 1] == '\r';
        if (n > 0 && !(at == 0 ? read_status_line(p, n, h) : read_field(p + at, n, h, &f)))
            return false;
        if (n == 0 && at == 0)
            return false;
        at = next;
    }
    if (no_body || h->status < 200 || h->status == 204 || h->status == 304)
        h->body = NO_BODY;
    else if (f.has_coding)
        h->body = f.chunked ? CHUNKED : UNTIL_END;
    else
        h->body = f.has_length ? (h->length > 0 ? SIZED : NO_BODY) : UNTIL_END;
    h->close = f.close || (p[7] == '0' && !f.keep) || h->body == UNTIL_END || h->status == 101;
    return true;
}

static bool is_remembered(const load_head_memory *m, const load_scan *s, const char *p, size_t n)
{
    return m != NULL && m->head.size != 0 && m->head.size <= n && m->no_body == s->no_body &&
           memcmp(p, m->bytes, m->head.size) == 0;
}

/* Take a head. LOAD_DONE when the response ends with it. */
static enum load_outcome take_head(load_scan *s, load_head_memory *m, const char *p, size_t n, size_t *used)
{
    load_head parsed;
    const load_head *h = &parsed;
    if (is_remembered(m, s, p, n)) {
        h = &m->head;
    } else {
        size_t size = find_end(p, n, &s->line);
        if (size > LOAD_HEAD_MAX || (size == 0 && n >= LOAD_HEAD_MAX))
            return LOAD_BAD;
        if (size == 0) /* rubbish need not go on for 64 KiB */
            return memcmp(p, "HTTP/1.", n < 7 ? n : 7) == 0 ? LOAD_MORE : LOAD_BAD;
        if (!read_head(p, size, s->no_body, &parsed))
            return LOAD_BAD;
        if (m != NULL && size <= LOAD_HEAD_REMEMBERED) {
            m->head = parsed;
            m->no_body = s->no_body;
            memcpy(m->bytes, p, size);
        }
    }
    *used = h->size;
    s->line = 0;
    if (h->status < 200 && h->status != 101)
        return LOAD_MORE; /* "100 Continue" and its kind: the response is still to come */
    s->status = h->status;
    s->close = h->close;
    s->left = h->length;
    switch (h->body) {
    case SIZED:
        s->state = BODY;
        return LOAD_MORE;
    case CHUNKED:
        s->state = CHUNK_FIRST_DIGIT;
        return LOAD_MORE;
    case UNTIL_END:
        s->state = BODY_UNTIL_END;
        return LOAD_MORE;
    default:
        return LOAD_DONE;
    }
}

/* ---- bodies ---- */

static int hex(char c)
{
    return is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* What follows a chunk's digits in its line. */
static bool after_digits(load_scan *s, char c)
{
    if (c == '\n') {
        s->state = s->left > 0 ? CHUNK_DATA : TRAILER_BEGIN;
        s->line = 0;
        return true;
    }
    s->state = CHUNK_LINE;
    return s->line++ < LOAD_HEAD_MAX;
}

/* One byte of a chunked body that is not data. False: it cannot be there. */
static bool take_chunk_byte(load_scan *s, char c)
{
    int digit;
    switch (s->state) {
    case CHUNK_FIRST_DIGIT:
        s->left = 0;
        s->line = 0;
        if (hex(c) < 0)
            return false;
        s->state = CHUNK_DIGITS;
        /* fall through */
    case CHUNK_DIGITS:
        digit = hex(c);
        if (digit >= 0) {
            if (s->left >> 56 != 0 || s->line++ > 64)
                return false;
            s->left = s->left * 16 + (uint64_t)digit;
            return true;
        }
        return (c == '\r' || c == '\n' || c == ';' || c == ' ' || c == '\t') && after_digits(s, c);
    case CHUNK_LINE:
        return after_digits(s, c);
    case CHUNK_DATA_CR:
        s->state = c == '\r' ? CHUNK_DATA_LF : CHUNK_FIRST_DIGIT;
        return c == '\r' || c == '\n';
    case CHUNK_DATA_LF:
        s->state = CHUNK_FIRST_DIGIT;
        return c == '\n';
    case TRAILER_BEGIN:
    case TRAILER_LINE: /* a line with nothing in it ends the trailers: TRAILER_END is "\r" seen at its begin */
        s->state = c == '\n'                                ? (s->state == TRAILER_BEGIN ? HEAD : TRAILER_BEGIN)
                   : c == '\r' && s->state == TRAILER_BEGIN ? TRAILER_END
                                                            : TRAILER_LINE;
        return s->line++ < LOAD_HEAD_MAX;
    default: /* TRAILER_END */
        s->state = HEAD;
        return c == '\n';
    }
}

/* Skip what is left of the body or chunk. */
static size_t skip(load_scan *s, size_t n)
{
    size_t part = n < s->left ? n : (size_t)s->left;
    s->left -= part;
    return part;
}

enum load_outcome load_scan_bytes(load_scan *s, load_head_memory *memory, const char *p, size_t n, size_t *used)
{
    size_t at = 0, taken = 0;
    enum load_outcome o = LOAD_MORE;
    while (o == LOAD_MORE && at < n) {
        switch (s->state) {
        case HEAD:
            taken = 0;
            o = take_head(s, memory, p + at, n - at, &taken);
            at += taken;
            if (taken == 0)
                goto out;
            break;
        case BODY:
            at += skip(s, n - at);
            if (s->left == 0) {
                s->state = HEAD;
                o = LOAD_DONE;
            }
            break;
        case BODY_UNTIL_END:
            at = n;
            break;
        case CHUNK_DATA:
            at += skip(s, n - at);
            if (s->left == 0)
                s->state = CHUNK_DATA_CR;
            break;
        default:
            if (!take_chunk_byte(s, p[at++]))
                o = LOAD_BAD;
            else if (s->state == HEAD) {
                s->line = 0;
                o = LOAD_DONE;
            }
        }
    }
out:
    *used = at;
    return o;
}

enum load_outcome load_scan_end(load_scan *s)
{
    if (s->state == BODY_UNTIL_END) {
        s->state = HEAD;
        return LOAD_DONE;
    }
    return s->state == HEAD ? LOAD_MORE : LOAD_BAD;
}
