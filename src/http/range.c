/* range.c - byte ranges: read, clamp to the file, coalesce.
 *
 *   bytes=first-last, first-, -suffix  separated by commas; white space around members, and empty members, allowed.
 *
 * Numbers beyond 2^64 - 1 are taken as that: they are well-formed, and beyond any file. */
#include "http/range.h"
#include "http/parse_scan.h"

typedef struct spec {
    uint64_t first;
    uint64_t last; /* inclusive; UINT64_MAX when open */
    bool suffix;   /* the last `first` bytes */
} spec;

/* One or more digits. */
static bool read_number(const char **p, const char *end, uint64_t *out)
{
    uint64_t n = 0;
    const char *first = *p;

    for (; *p < end && **p >= '0' && **p <= '9'; ++*p) {
        uint64_t digit = (uint64_t)(**p - '0');
        n = n > (UINT64_MAX - digit) / 10 ? UINT64_MAX : n * 10 + digit;
    }
    *out = n;
    return *p > first;
}

static bool read_spec(const char *p, const char *end, spec *s)
{
    s->suffix = false;
    s->last = UINT64_MAX;
    if (*p == '-') {
        s->suffix = true;
        p++;
        return read_number(&p, end, &s->first) && p == end;
    }
    if (!read_number(&p, end, &s->first) || p == end || *p++ != '-')
        return false;
    if (p == end)
        return true;
    return read_number(&p, end, &s->last) && p == end && s->first <= s->last;
}

/* Clamp to the file. False: nothing of it is there. */
static bool resolve(const spec *s, uint64_t size, weft__range *r)
{
    if (s->suffix) {
        r->len = s->first < size ? s->first : size;
        r->at = size - r->len;
        return r->len > 0;
    }
    if (s->first >= size)
        return false;
    r->at = s->first;
    r->len = (s->last < size - 1 ? s->last : size - 1) - s->first + 1;
    return true;
}

/* Add a range; while it overlaps or touches another, swallow that one and take its place, the earliest of them (R1). */
static void add_range(weft__ranges *set, weft__range r)
{
    unsigned place = set->count;

    for (unsigned i = 0; i < set->count;) {
        weft__range o = set->range[i];
        if (i == place || r.at > o.at + o.len || o.at > r.at + r.len) {
            i++;
            continue;
        }
        uint64_t end = r.at + r.len > o.at + o.len ? r.at + r.len : o.at + o.len;
        r.at = r.at < o.at ? r.at : o.at;
        r.len = end - r.at;
        if (place == set->count) {
            place = i;
        } else {
            unsigned gone = i > place ? i : place;
            place = i < place ? i : place;
            memmove(&set->range[gone], &set->range[gone + 1], (set->count - gone - 1) * sizeof r);
            set->count--;
        }
        set->range[place] = r;
        i = 0; /* it has grown: what was apart before may touch now */
    }
    if (place == set->count)
        set->range[set->count++] = r;
}

int weft__range_parse(weft__span value, uint64_t size, weft__ranges *out)
{
    const char *p = value.data, *from, *to;
    const char *end;
    unsigned members = 0;
    bool suffix_of_nothing = false;

    out->count = 0;
    if (value.data == NULL || value.len < 6 || !weft__span_is_nocase((weft__span){p, 6}, WEFT__SPAN("bytes=")))
        return 200;
    end = p + value.len;
    p += 6;
    while (weft__list_next(&p, end, &from, &to)) {
        spec s;
        weft__range r;
        if (from == to)
            continue;
        if (++members > WEFT__RANGE_MAX || !read_spec(from, to, &s)) {
            out->count = 0;
            return 200;
        }
        suffix_of_nothing |= s.suffix && s.first > 0 && size == 0;
        if (resolve(&s, size, &r))
            add_range(out, r);
    }
    if (out->count > 0)
        return 206;
    return members > 0 && !suffix_of_nothing ? 416 : 200;
}
