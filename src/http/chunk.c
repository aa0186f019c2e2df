/* chunk.c - chunked bodies as a state machine over bytes; only data is taken in longer pieces.
 *
 *   chunk      = chunk-size *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] ) CRLF data CRLF
 *   last-chunk = 1*"0" extensions CRLF ; then trailer lines, then CRLF
 *
 * Every byte is judged by the state alone, so cuts cannot matter, and each state names what may come next: what it does
 * not name is 400. White space stands only where BWS does; the end of a line is CR LF everywhere. */
#include "http/chunk.h"
#include "http/parse_scan.h"

enum state {
    SIZE_FIRST, /* a digit has to come */
    SIZE,       /* more digits, or what follows the size */
    EXT_GAP,    /* white space after a size or a value: ';' has to come */
    EXT_NAME_1, /* after ';' */
    EXT_NAME,
    EXT_NAME_GAP, /* white space after a name: '=' or ';' has to come */
    EXT_VALUE_1,  /* after '=' */
    EXT_TOKEN,
    EXT_QUOTED,
    EXT_ESCAPED, /* after '\' in a quoted string */
    EXT_QUOTED_END,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER_1, /* start of a trailer line, or of the empty line */
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    END_LF,
    DONE,
    REFUSED
};

static bool is_blank(char b)
{
    return b == ' ' || b == '\t';
}

/* Add a digit of the size. False beyond 2^63 - 1 for the whole body, or with more digits than such a number has. */
static bool add_digit(weft__chunk *c, char b)
{
    if (c->left >> 59 != 0 || c->digits == 16)
        return false;
    c->left = c->left << 4 | weft__hex_value(b);
    c->digits++;
    return c->left <= INT64_MAX - c->total;
}

/* What may follow a size, a name or a value besides more of itself; false if nothing did. */
static bool leave_part(weft__chunk *c, char b, enum state gap)
{
    if (is_blank(b))
        c->state = (uint8_t)gap;
    else if (b == ';')
        c->state = EXT_NAME_1;
    else if (b == '=' && gap == EXT_NAME_GAP)
        c->state = EXT_VALUE_1;
    else if (b == '\r' && c->state != gap)
        c->state = SIZE_LF;
    else
        return false;
    return true;
}

/* A byte of the chunk's first line. */
static unsigned step_line(weft__chunk *c, char b)
{
    bool token = weft__byte_is(b, WEFT__BYTE_TOKEN);
    bool ok = true;

    if (c->state > SIZE && ++c->extension > WEFT__CHUNK_EXTENSIONS)
        return 400;
    switch ((enum state)c->state) {
    case SIZE_FIRST:
    case SIZE:
        if (weft__byte_is(b, WEFT__BYTE_HEX)) {
            c->state = SIZE;
            ok = add_digit(c, b);
        } else {
            ok = c->state == SIZE && leave_part(c, b, EXT_GAP);
        }
        break;
    case EXT_GAP:
    case EXT_QUOTED_END:
        ok = leave_part(c, b, EXT_GAP);
        break;
    case EXT_NAME_1:
        if (token)
            c->state = EXT_NAME;
        else
            ok = is_blank(b);
        break;
    case EXT_NAME:
    case EXT_NAME_GAP:
        ok = (token && c->state == EXT_NAME) || leave_part(c, b, EXT_NAME_GAP);
        break;
    case EXT_VALUE_1:
        if (token)
            c->state = EXT_TOKEN;
        else if (b == '"')
            c->state = EXT_QUOTED;
        else
            ok = is_blank(b);
        break;
    case EXT_TOKEN:
        ok = token || leave_part(c, b, EXT_GAP);
        break;
    case EXT_QUOTED:
        if (b == '"')
            c->state = EXT_QUOTED_END;
        else if (b == '\\')
            c->state = EXT_ESCAPED;
        else
            ok = weft__byte_is(b, WEFT__BYTE_TEXT);
        break;
    default: /* EXT_ESCAPED */
        c->state = EXT_QUOTED;
        ok = weft__byte_is(b, WEFT__BYTE_TEXT);
        break;
    }
    return ok ? 0 : 400;
}

/* A byte after the last chunk. */
static unsigned step_trailer(weft__chunk *c, char b)
{
    if (++c->trailer > WEFT__CHUNK_TRAILER)
        return 431;
    switch ((enum state)c->state) {
    case TRAILER_1:
        if (b == '\r') {
            c->state = END_LF;
            return 0;
        }
        if (++c->fields > WEFT__CHUNK_FIELDS)
            return 431;
        c->state = TRAILER_NAME;
        return weft__byte_is(b, WEFT__BYTE_TOKEN) ? 0 : 400;
    case TRAILER_NAME:
        if (b == ':')
            c->state = TRAILER_VALUE;
        else if (!weft__byte_is(b, WEFT__BYTE_TOKEN))
            return 400;
        return 0;
    case TRAILER_VALUE:
        if (b == '\r')
            c->state = TRAILER_LF;
        else if (!weft__byte_is(b, WEFT__BYTE_TEXT))
            return 400;
        return 0;
    default: /* TRAILER_LF, END_LF */
        c->state = c->state == END_LF ? DONE : TRAILER_1;
        return b == '\n' ? 0 : 400;
    }
}

static unsigned step(weft__chunk *c, char b)
{
    switch ((enum state)c->state) {
    case SIZE_LF:
        c->digits = 0;
        c->state = c->left > 0 ? DATA : TRAILER_1;
        return b == '\n' ? 0 : 400;
    case DATA_CR:
        c->state = DATA_LF;
        return b == '\r' ? 0 : 400;
    case DATA_LF:
        c->state = SIZE_FIRST;
        return b == '\n' ? 0 : 400;
    default:
        return c->state >= TRAILER_1 ? step_trailer(c, b) : step_line(c, b);
    }
}

enum weft__http_outcome weft__chunk_decode(weft__chunk *c, const char *in, size_t len, size_t *used, weft__span *data)
{
    size_t i = 0;

    while (c->state < DONE) {
        if (i == len) {
            *used = i;
            return WEFT__HTTP_MORE;
        }
        if (c->state == DATA) {
            size_t n = len - i < c->left ? len - i : (size_t)c->left;
            *data = (weft__span){in + i, n};
            *used = i + n;
            c->total += n;
            c->left -= n;
            if (c->left == 0)
                c->state = DATA_CR;
            return WEFT__HTTP_DATA;
        }
        unsigned status = step(c, in[i]);
        if (status != 0) {
            c->status = (uint16_t)status;
            c->state = REFUSED;
            break;
        }
        i++;
    }
    *used = i;
    return c->state == DONE ? WEFT__HTTP_DONE : WEFT__HTTP_REFUSED;
}
