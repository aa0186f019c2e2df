/* accept.c - weights of content codings. Of several members for one coding the first counts; a named one beats "*". */
#include "http/accept.h"
#include "http/parse_scan.h"

enum {
    UNNAMED = -1,
    MALFORMED = -2
};

/* weight = OWS ";" OWS "q=" qvalue, qvalue 0 to 1 with at most three decimals; in thousandths. [p, end) is what follows
 * the coding. */
static int read_weight(const char *p, const char *end)
{
    weft__trim(&p, &end);
    if (p == end)
        return 1000;
    if (*p++ != ';')
        return MALFORMED;
    weft__trim(&p, &end);
    if (end - p < 3 || (p[0] | 0x20) != 'q' || p[1] != '=' || (p[2] != '0' && p[2] != '1'))
        return MALFORMED;
    int weight = (p[2] - '0') * 1000;
    p += 3;
    if (p < end && *p++ != '.')
        return MALFORMED;
    for (int unit = 100; p < end; p++, unit /= 10) {
        if (unit == 0 || *p < '0' || *p > '9')
            return MALFORMED;
        weight += (*p - '0') * unit;
    }
    return weight <= 1000 ? weight : MALFORMED;
}

weft__accept weft__accept_encoding(weft__span value)
{
    const char *p = value.data, *from, *to;
    int gzip = UNNAMED, identity = UNNAMED, any = UNNAMED;

    if (value.data == NULL)
        return (weft__accept){.gzip = 0, .identity = 1000};
    for (const char *end = p + value.len; weft__list_next(&p, end, &from, &to);) {
        const char *name_end = from;
        while (name_end < to && weft__byte_is(*name_end, WEFT__BYTE_TOKEN))
            name_end++;
        weft__span name = {from, (size_t)(name_end - from)};
        int *slot = NULL;
        if (weft__span_is_nocase(name, WEFT__SPAN("gzip")) || weft__span_is_nocase(name, WEFT__SPAN("x-gzip")))
            slot = &gzip;
        else if (weft__span_is_nocase(name, WEFT__SPAN("identity")))
            slot = &identity;
        else if (name.len == 1 && *from == '*')
            slot = &any;
        int weight = slot != NULL && *slot == UNNAMED ? read_weight(name_end, to) : MALFORMED;
        if (weight != MALFORMED)
            *slot = weight;
    }
    if (gzip == UNNAMED)
        gzip = any != UNNAMED ? any : 0;
    /* identity is acceptable unless it is refused, by name or by "*;q=0"; unnamed, anything named is preferred. */
    if (identity == UNNAMED)
        identity = any == 0 ? 0 : 1;
    return (weft__accept){.gzip = (uint16_t)gzip, .identity = (uint16_t)identity};
}
