/* field_fuzz.c - values of other fields, and text that is escaped on its way out.
 * Oracles: a list of entity tags finds each of its own members; weights are at most 1; text escaped for HTML has no
 * markup and is UTF-8, for the log it is one line and quotes nothing, for a field it is one line; media types are clean
 * whatever table they come from. */
#include "http/accept.h"
#include "http/encode.h"
#include "http/etag.h"
#include "http/mime.h"
#include "http/parse.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            __builtin_trap();                                                                                          \
    } while (0)

static void check_tags(weft__span list)
{
    enum weft__etag_match weak = weft__etag_find(list, WEFT__SPAN("\"a\""), false);
    enum weft__etag_match strong = weft__etag_find(list, WEFT__SPAN("\"a\""), true);

    REQUIRE(strong == weak || (weak == WEFT__ETAG_MATCH && strong == WEFT__ETAG_NONE));
    if (weak == WEFT__ETAG_INVALID || weak == WEFT__ETAG_ANY)
        return;
    const char *p = list.data, *end = list.data + list.len;
    while (p < end && (p = memchr(p, '"', (size_t)(end - p))) != NULL) {
        const char *close = memchr(p + 1, '"', (size_t)(end - p - 1));
        REQUIRE(close != NULL);
        weft__span tag = {p, (size_t)(close + 1 - p)};
        REQUIRE(weft__etag_find(list, tag, false) == WEFT__ETAG_MATCH);
        p = close + 1;
    }
}

static void check_escapes(weft__span text)
{
    size_t cap = text.len * 6 + 16;
    char *buf = malloc(cap);

    REQUIRE(buf != NULL);
    weft__out o = weft__out_over(buf, cap);
    weft__out_html(&o, text);
    REQUIRE(!o.overflow);
    for (size_t i = 0; i < o.len;) {
        unsigned n = weft__utf8_length(o.data + i, o.len - i);
        REQUIRE(n > 0 && strchr("<>\"'", o.data[i]) == NULL);
        i += n;
    }
    o = weft__out_over(buf, cap);
    weft__out_log(&o, text);
    REQUIRE(!o.overflow && o.len > 0);
    for (size_t i = 0; i < o.len; i++)
        REQUIRE((unsigned char)o.data[i] >= ' ' && o.data[i] != 0x7f && o.data[i] != '"' &&
                (o.data[i] != '\\' || o.data[i + 1] == 'x'));
    o = weft__out_over(buf, cap);
    weft__out_field(&o, WEFT__SPAN("A"), text);
    REQUIRE(!o.overflow && memchr(o.data, '\r', o.len) == o.data + o.len - 2);
    REQUIRE(memchr(o.data, '\n', o.len) == o.data + o.len - 1 && memchr(o.data, '\0', o.len) == NULL);
    free(buf);
}

static void check_types(weft__span table)
{
    weft__mime *m;
    const char *space = memchr(table.data, ' ', table.len);
    const char *from = space != NULL ? space : table.data;
    char name[40] = "a.";
    size_t n = 2;

    REQUIRE(weft__mime_new(&m, table.data, table.len) == 0);
    while (from < table.data + table.len && n < sizeof name)
        name[n++] = *from++;
    for (size_t len = 0; len <= n; len++) {
        weft__span type = weft__mime_type(m, (weft__span){name, len});
        REQUIRE(type.len > 2 && memchr(type.data, '/', type.len) != NULL && type.data[type.len] == '\0');
        for (size_t i = 0; i < type.len; i++)
            REQUIRE(type.data[i] >= ' ' && type.data[i] < 0x7f);
    }
    (void)weft__mime_compressible(table);
    weft__mime_free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size > 0 ? size : 1);

    REQUIRE(text != NULL);
    memcpy(text, data, size);
    weft__span s = {text, size};
    check_tags(s);
    weft__accept a = weft__accept_encoding(s);
    REQUIRE(a.gzip <= 1000 && a.identity <= 1000);
    if (weft__http_host_valid(text, size))
        for (size_t i = 0; i < size; i++)
            REQUIRE(text[i] > ' ' && text[i] < 0x7f && strchr("/\\@?#\"<>,", text[i]) == NULL);
    check_escapes(s);
    check_types(s);
    free(text);
    return 0;
}
