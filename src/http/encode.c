/* encode.c - appending numbers, dates, fields and escaped text. Everything that is escaped goes through one loop shape:
 * look at the next byte or UTF-8 sequence, append it or its escape as one piece (so an escape is never cut). */
#include "http/encode.h"
#include "http/date.h"
#include "http/parse_scan.h"
#include "http/status.h"

static const char hex_digits[] = "0123456789abcdef";
static const char hex_upper[] = "0123456789ABCDEF";

void weft__out_u64(weft__out *o, uint64_t value)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    weft__out_bytes(o, digits + at, sizeof digits - at);
}

void weft__out_hex(weft__out *o, uint64_t value)
{
    char digits[16];
    size_t at = sizeof digits;
    do {
        digits[--at] = hex_digits[value & 15];
        value >>= 4;
    } while (value > 0);
    weft__out_bytes(o, digits + at, sizeof digits - at);
}

void weft__out_date(weft__out *o, int64_t seconds)
{
    char date[WEFT__DATE_LEN];
    weft__date_format(seconds, date);
    weft__out_bytes(o, date, sizeof date);
}

void weft__out_status(weft__out *o, int status)
{
    weft__span line = weft__status_line(status);
    if (line.data != NULL) {
        weft__out_span(o, line);
        return;
    }
    weft__out_text(o, "HTTP/1.1 ");
    weft__out_u64(o, (uint64_t)(unsigned)status);
    weft__out_text(o, " ");
    weft__out_span(o, weft__status_reason(status));
    weft__out_text(o, "\r\n");
}

static void out_name(weft__out *o, weft__span name)
{
    weft__out_span(o, name);
    weft__out_text(o, ": ");
}

void weft__out_field(weft__out *o, weft__span name, weft__span value)
{
    out_name(o, name);
    size_t at = o->len;
    weft__out_span(o, value);
    if (!o->overflow) {
        for (; at < o->len; at++)
            if (o->data[at] == '\r' || o->data[at] == '\n' || o->data[at] == '\0')
                o->data[at] = ' ';
    }
    weft__out_text(o, "\r\n");
}

void weft__out_field_u64(weft__out *o, weft__span name, uint64_t value)
{
    out_name(o, name);
    weft__out_u64(o, value);
    weft__out_text(o, "\r\n");
}

void weft__out_field_date(weft__out *o, weft__span name, int64_t seconds)
{
    out_name(o, name);
    weft__out_date(o, seconds);
    weft__out_text(o, "\r\n");
}

void weft__out_content_range(weft__out *o, uint64_t at, uint64_t len, uint64_t size)
{
    weft__out_text(o, "Content-Range: bytes ");
    if (len > 0) {
        weft__out_u64(o, at);
        weft__out_text(o, "-");
        weft__out_u64(o, at + len - 1);
    } else {
        weft__out_text(o, "*");
    }
    weft__out_text(o, "/");
    weft__out_u64(o, size);
    weft__out_text(o, "\r\n");
}

unsigned weft__utf8_length(const char *text, size_t len)
{
    const unsigned char *s = (const unsigned char *)text;
    unsigned need;
    unsigned char low = 0x80, high = 0xbf; /* bounds of the second byte */

    if (len == 0)
        return 0;
    if (s[0] < 0x80)
        return 1;
    if (s[0] < 0xc2 || s[0] > 0xf4)
        return 0;
    need = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    if (s[0] == 0xe0)
        low = 0xa0; /* overlong */
    else if (s[0] == 0xed)
        high = 0x9f; /* surrogates */
    else if (s[0] == 0xf0)
        low = 0x90; /* overlong */
    else if (s[0] == 0xf4)
        high = 0x8f; /* above U+10FFFF */
    if (len < need || s[1] < low || s[1] > high)
        return 0;
    for (unsigned i = 2; i < need; i++)
        if (s[i] < 0x80 || s[i] > 0xbf)
            return 0;
    return need;
}

void weft__out_html(weft__out *o, weft__span text)
{
    for (size_t i = 0; i < text.len;) {
        unsigned n = weft__utf8_length(text.data + i, text.len - i);
        unsigned char c = (unsigned char)text.data[i];
        if (n == 0 || (c < ' ' && c != '\t' && c != '\n' && c != '\r') || c == 0x7f)
            weft__out_text(o, "\xef\xbf\xbd");
        else if (c == '&')
            weft__out_text(o, "&amp;");
        else if (c == '<')
            weft__out_text(o, "&lt;");
        else if (c == '>')
            weft__out_text(o, "&gt;");
        else if (c == '"')
            weft__out_text(o, "&quot;");
        else if (c == '\'')
            weft__out_text(o, "&#39;");
        else
            weft__out_bytes(o, text.data + i, n);
        i += n > 0 ? n : 1;
    }
}

void weft__out_path(weft__out *o, weft__span path)
{
    for (size_t i = 0; i < path.len; i++) {
        unsigned char c = (unsigned char)path.data[i];
        if (weft__byte_is((char)c, WEFT__BYTE_PATH)) {
            weft__out_bytes(o, path.data + i, 1);
        } else {
            char escape[3] = {'%', hex_upper[c >> 4], hex_upper[c & 15]};
            weft__out_bytes(o, escape, sizeof escape);
        }
    }
}

void weft__out_log(weft__out *o, weft__span text)
{
    if (text.len == 0)
        weft__out_text(o, "-");
    for (size_t i = 0; i < text.len;) {
        unsigned n = weft__utf8_length(text.data + i, text.len - i);
        unsigned char c = (unsigned char)text.data[i];
        /* U+0080 to U+009F are control characters too: terminals act on them. */
        bool c1 = n == 2 && c == 0xc2 && (unsigned char)text.data[i + 1] < 0xa0;
        if (n == 0 || c < ' ' || c == 0x7f || c == '"' || c == '\\' || c1) {
            char escape[4] = {'\\', 'x', hex_digits[c >> 4], hex_digits[c & 15]};
            weft__out_bytes(o, escape, sizeof escape);
            i++;
            continue;
        }
        weft__out_bytes(o, text.data + i, n);
        i += n;
    }
}
