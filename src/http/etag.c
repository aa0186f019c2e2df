/* etag.c - entity tags, and which of a request's conditions decides. */
#include "http/etag.h"
#include "http/date.h"
#include "http/parse_scan.h"

/* One entity-tag at *p: [ "W/" ] DQUOTE *( %x21 / %x23-7E / obs-text ) DQUOTE. */
static bool read_tag(const char **p, const char *end, weft__span *tag)
{
    const char *first = *p;
    const char *q = first;

    if (end - q >= 2 && q[0] == 'W' && q[1] == '/')
        q += 2;
    if (q == end || *q++ != '"')
        return false;
    while (q < end && *q != '"') {
        if ((unsigned char)*q <= ' ' || *q == 0x7f)
            return false;
        q++;
    }
    if (q == end)
        return false;
    *p = q + 1;
    *tag = (weft__span){first, (size_t)(*p - first)};
    return true;
}

static bool is_weak(weft__span tag)
{
    return tag.len > 0 && tag.data[0] == 'W';
}

static bool same_tag(weft__span a, weft__span b, bool strong)
{
    if (a.len == 0 || b.len == 0 || (strong && (is_weak(a) || is_weak(b))))
        return false;
    size_t skip_a = is_weak(a) ? 2 : 0;
    size_t skip_b = is_weak(b) ? 2 : 0;
    return a.len - skip_a == b.len - skip_b && memcmp(a.data + skip_a, b.data + skip_b, a.len - skip_a) == 0;
}

/* Commas may stand inside a tag, so this cannot be cut at commas. */
enum weft__etag_match weft__etag_find(weft__span list, weft__span etag, bool strong)
{
    const char *p = list.data;
    const char *end = list.data + list.len;
    unsigned tags = 0;
    bool found = false;

    if (list.len == 1 && *p == '*')
        return WEFT__ETAG_ANY;
    for (;;) {
        while (p < end && (*p == ' ' || *p == '\t' || *p == ','))
            p++;
        if (p == end)
            break;
        weft__span tag;
        if (!read_tag(&p, end, &tag))
            return WEFT__ETAG_INVALID;
        tags++;
        found |= same_tag(tag, etag, strong);
        while (p < end && (*p == ' ' || *p == '\t'))
            p++;
        if (p < end && *p != ',')
            return WEFT__ETAG_INVALID;
    }
    if (tags == 0)
        return WEFT__ETAG_INVALID;
    return found ? WEFT__ETAG_MATCH : WEFT__ETAG_NONE;
}

bool weft__if_range_holds(weft__span value, weft__span etag, int64_t modified, int64_t now)
{
    const char *p = value.data;
    const char *end = value.data + value.len;
    weft__span tag;
    int64_t date;

    if (read_tag(&p, end, &tag))
        return p == end && same_tag(tag, etag, true);
    return weft__date_parse(value, now, &date) && date == modified && modified < now;
}

/* `list` holds for the representation, compared strongly (If-Match) or weakly (If-None-Match). "*" holds for any. */
static bool list_holds(const weft__conditions *c, weft__span list, bool strong)
{
    enum weft__etag_match m = weft__etag_find(list, c->etag, strong);
    return c->exists && (m == WEFT__ETAG_ANY || m == WEFT__ETAG_MATCH);
}

int weft__conditions_evaluate(const weft__conditions *c)
{
    int64_t date;

    if (c->if_match.data != NULL) {
        if (!list_holds(c, c->if_match, true))
            return 412;
    } else if (c->if_unmodified_since.data != NULL && c->exists &&
               weft__date_parse(c->if_unmodified_since, c->now, &date) && c->modified > date) {
        return 412;
    }
    if (c->if_none_match.data != NULL) {
        if (list_holds(c, c->if_none_match, false))
            return c->read ? 304 : 412;
    } else if (c->if_modified_since.data != NULL && c->read && c->exists &&
               weft__date_parse(c->if_modified_since, c->now, &date) && c->modified <= date) {
        return 304;
    }
    if (c->get && c->range.data != NULL &&
        (c->if_range.data == NULL || weft__if_range_holds(c->if_range, c->etag, c->modified, c->now)))
        return 206;
    return 200;
}
