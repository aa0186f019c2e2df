/* mime.c - binary search in the built-in table; open addressing in a loaded one.
 *
 * A loaded table is one allocation: header, slots (a power of two, at most half full, so a probe ends), then the texts.
 * It is counted in a first pass over the input and filled in a second; both walk it with the same reader, so they
 * agree. Never written after weft__mime_new. */
#include "http/mime.h"
#include "http/mime_table.h"
#include "http/parse_scan.h"

#include <errno.h>
#include <stdlib.h>

enum {
    EXTENSION_MAX = 32
};

typedef struct slot {
    uint32_t type; /* offset in texts; 0 = the slot is free, since texts begin with a spare byte */
    uint32_t type_len;
    uint32_t extension;
    uint32_t extension_len;
} slot;

struct weft__mime {
    uint32_t mask;
    char *texts;
    slot slots[];
};

static const char charset[] = "; charset=utf-8";

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static uint32_t hash_of(const char *extension, size_t len)
{
    uint32_t h = 2166136261U; /* FNV-1a: the keys are the administrator's, not a client's */
    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)extension[i]) * 16777619U;
    return h ^ h >> 15;
}

/* The next word of [*p, end). */
static bool next_word(const char **p, const char *end, weft__span *word)
{
    while (*p < end && (unsigned char)**p <= ' ')
        ++*p;
    word->data = *p;
    while (*p < end && (unsigned char)**p > ' ')
        ++*p;
    word->len = (size_t)(*p - word->data);
    return word->len > 0;
}

/* type "/" subtype, both tokens: it goes into a header field. */
static bool type_valid(weft__span t)
{
    const char *slash = memchr(t.data, '/', t.len);
    if (slash == NULL || slash == t.data || slash + 1 == t.data + t.len)
        return false;
    for (size_t i = 0; i < t.len; i++)
        if (t.data + i != slash && !weft__byte_is(t.data[i], WEFT__BYTE_TOKEN))
            return false;
    return true;
}

static bool is_text(weft__span type)
{
    return type.len > 5 && weft__span_is_nocase((weft__span){type.data, 5}, WEFT__SPAN("text/"));
}

static const slot *find_slot(const weft__mime *m, const char *extension, size_t len)
{
    for (uint32_t i = hash_of(extension, len);; i++) {
        const slot *s = &m->slots[i & m->mask];
        if (s->type == 0 || (s->extension_len == len && memcmp(m->texts + s->extension, extension, len) == 0))
            return s;
    }
}

/* Walks the text. With `m` NULL it counts extensions and the bytes of their texts, else it fills. */
static void read_table(weft__mime *m, const char *text, size_t len, size_t *extensions, size_t *bytes)
{
    const char *end = text + len;

    *extensions = 0;
    *bytes = 1;
    for (const char *line = text; line < end;) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        const char *line_end = newline != NULL ? newline : end;
        const char *p = line;
        const char *comment = memchr(line, '#', (size_t)(line_end - line));
        const char *stop = comment != NULL ? comment : line_end;
        weft__span type, word;
        size_t type_at = 0, type_len = 0;

        line = newline != NULL ? newline + 1 : end;
        if (!next_word(&p, stop, &type) || !type_valid(type))
            continue;
        while (next_word(&p, stop, &word)) {
            if (word.len > EXTENSION_MAX)
                continue;
            if (type_at == 0) {
                type_at = *bytes;
                type_len = type.len + (is_text(type) ? sizeof charset - 1 : 0);
                if (m != NULL) {
                    memcpy(m->texts + type_at, type.data, type.len);
                    memcpy(m->texts + type_at + type.len, charset, type_len - type.len);
                    m->texts[type_at + type_len] = '\0';
                }
                *bytes += type_len + 1;
            }
            if (m != NULL) {
                char *extension = m->texts + *bytes;
                for (size_t i = 0; i < word.len; i++)
                    extension[i] = lower(word.data[i]);
                slot *s = (slot *)find_slot(m, extension, word.len);
                if (s->type == 0)
                    *s = (slot){(uint32_t)type_at, (uint32_t)type_len, (uint32_t)*bytes, (uint32_t)word.len};
            }
            *bytes += word.len;
            ++*extensions;
        }
    }
}

int weft__mime_new(weft__mime **out, const char *text, size_t len)
{
    size_t extensions, bytes, slots = 16;

    if (len > UINT32_MAX / 32) /* offsets are 32 bits; a text grows by less than 16 bytes for each of its own */
        return -ENOMEM;
    read_table(NULL, text, len, &extensions, &bytes);
    while (slots < extensions * 2)
        slots *= 2;
    weft__mime *m = calloc(1, sizeof *m + slots * sizeof m->slots[0] + bytes);
    if (m == NULL)
        return -ENOMEM;
    m->mask = (uint32_t)(slots - 1);
    m->texts = (char *)&m->slots[slots];
    read_table(m, text, len, &extensions, &bytes);
    *out = m;
    return 0;
}

void weft__mime_free(weft__mime *table)
{
    free(table);
}

static const weft__mime_entry *find_builtin(const char *extension, size_t len)
{
    char key[sizeof weft__mime_builtin[0].extension] = {0};
    unsigned from = 0, to = weft__mime_builtin_count;

    if (len > sizeof key)
        return NULL;
    memcpy(key, extension, len);
    while (from < to) {
        unsigned middle = from + (to - from) / 2;
        int order = memcmp(key, weft__mime_builtin[middle].extension, sizeof key);
        if (order == 0)
            return &weft__mime_builtin[middle];
        if (order < 0)
            to = middle;
        else
            from = middle + 1;
    }
    return NULL;
}

static weft__span span_of(const char *text)
{
    return (weft__span){text, strlen(text)};
}

weft__span weft__mime_type(const weft__mime *table, weft__span name)
{
    char extension[EXTENSION_MAX];
    size_t dot = name.len;

    while (dot > 0 && name.data[dot - 1] != '.' && name.data[dot - 1] != '/')
        dot--;
    size_t len = name.len - dot;
    /* a dot that begins the name begins no extension */
    if (dot < 2 || name.data[dot - 1] != '.' || name.data[dot - 2] == '/' || len == 0 || len > sizeof extension)
        return WEFT__SPAN("application/octet-stream");
    for (size_t i = 0; i < len; i++)
        extension[i] = lower(name.data[dot + i]);
    const weft__mime_entry *e = find_builtin(extension, len);
    if (table != NULL && (e == NULL || !e->web)) {
        const slot *s = find_slot(table, extension, len);
        if (s->type != 0)
            return (weft__span){table->texts + s->type, s->type_len};
    }
    return e != NULL ? span_of(e->type) : WEFT__SPAN("application/octet-stream");
}

static bool ends_with(weft__span s, weft__span lower_end)
{
    return s.len >= lower_end.len &&
           weft__span_is_nocase((weft__span){s.data + s.len - lower_end.len, lower_end.len}, lower_end);
}

bool weft__mime_compressible(weft__span type)
{
    static const weft__span known[] = {{"application/json", 16},
                                       {"application/javascript", 22},
                                       {"application/xml", 15},
                                       {"application/wasm", 16},
                                       {"application/yaml", 16},
                                       {"application/toml", 16},
                                       {"application/sql", 15},
                                       {"application/x-ndjson", 20},
                                       {"application/xml-dtd", 19},
                                       {"application/postscript", 22},
                                       {"application/rtf", 15},
                                       {"application/vnd.ms-fontobject", 29},
                                       {"application/x-tar", 17},
                                       {"application/x-subrip", 20},
                                       {"font/ttf", 8},
                                       {"font/otf", 8},
                                       {"font/collection", 15},
                                       {"image/bmp", 9},
                                       {"image/vnd.microsoft.icon", 24}};
    const char *semicolon = memchr(type.data, ';', type.len);
    const char *from = type.data, *to = semicolon != NULL ? semicolon : type.data + type.len;

    weft__trim(&from, &to);
    weft__span t = {from, (size_t)(to - from)};
    if (is_text(t) || ends_with(t, WEFT__SPAN("+xml")) || ends_with(t, WEFT__SPAN("+json")))
        return true;
    for (size_t i = 0; i < WEFT__ARRAY_LEN(known); i++)
        if (weft__span_is_nocase(t, known[i]))
            return true;
    return false;
}
