/* target.c - decoding and dot segments in one pass over the path.
 *
 * `out` always holds a clean relative path: segments joined by '/', none of them "", "." or "..". A segment is decoded
 * to its end first and judged then, as decoded (T2): dropped, taken as a step up, or kept. So T1 holds after every
 * segment, not only at the end. */
#include "http/target.h"
#include "http/parse_scan.h"

/* Decode one segment, up to the next '/' or the end, to out + *len. Returns 0 or the status; *p is moved to where the
 * segment ended. A byte is kept for the NUL. */
static int decode_segment(const char **p, const char *end, char *out, size_t cap, size_t *len)
{
    size_t n = *len;

    while (*p < end && **p != '/') {
        char c = *(*p)++;
        if (c == '%') {
            if (end - *p < 2 || !weft__byte_is((*p)[0], WEFT__BYTE_HEX) || !weft__byte_is((*p)[1], WEFT__BYTE_HEX))
                return 400;
            c = (char)(weft__hex_value((*p)[0]) << 4 | weft__hex_value((*p)[1]));
            *p += 2;
            if (c == '/')
                return 404;
        }
        if (c == '\0')
            return 400;
        if (n + 1 >= cap)
            return 414;
        out[n++] = c;
    }
    *len = n;
    return 0;
}

/* Take the last segment, and the '/' before it, off out[0..len). */
static size_t step_up(const char *out, size_t len)
{
    while (len > 0 && out[len - 1] != '/')
        len--;
    return len > 0 ? len - 1 : 0;
}

static void note_hidden(const char *out, size_t len, weft__target *t)
{
    bool first = true;

    t->hidden = false;
    t->well_known = false;
    for (size_t at = 0; at < len; first = false) {
        const char *slash = memchr(out + at, '/', len - at);
        size_t end = slash != NULL ? (size_t)(slash - out) : len;
        if (out[at] == '.') {
            t->well_known = first && end - at == 11 && memcmp(out + at, ".well-known", 11) == 0;
            t->hidden = true;
            if (!t->well_known)
                return;
        }
        at = end + 1;
    }
}

int weft__target_decode(weft__span path, char *out, size_t cap, weft__target *result)
{
    const char *p = path.data;
    const char *end = path.data + path.len;
    size_t len = 0;
    bool directory = true;

    if (cap == 0)
        return 414;
    if (path.len > 0 && *p != '/')
        return 400;
    while (p < end) {
        p++; /* the '/' before the segment */
        size_t from = len;
        if (len > 0) {
            if (len + 1 >= cap)
                return 414;
            out[len++] = '/';
        }
        size_t first = len;
        int status = decode_segment(&p, end, out, cap, &len);
        if (status != 0)
            return status;
        size_t n = len - first;
        directory = n == 0;
        if (n == 0) {
            len = from;
        } else if (out[first] == '.' && n == 1) {
            directory = true;
            len = from;
        } else if (out[first] == '.' && n == 2 && out[first + 1] == '.') {
            if (from == 0)
                return 400;
            directory = true;
            len = step_up(out, from);
        }
    }
    out[len] = '\0';
    result->len = len;
    result->directory = directory;
    note_hidden(out, len, result);
    return 0;
}
