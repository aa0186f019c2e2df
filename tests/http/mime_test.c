/* mime_test.c - media types: the built-in table, tables in the form of /etc/mime.types, what is worth compressing. */
#include "http/mime.h"

#include "http/mime_table.h"

#include "harness/harness.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *type_of(const weft__mime *table, const char *name)
{
    weft__span t = weft__mime_type(table, (weft__span){name, strlen(name)});
    CHECK_INT(strlen(t.data), t.len);
    return t.data;
}

TEST(mime_table_is_sorted_and_complete)
{
    CHECK(weft__mime_builtin_count >= 100);
    for (unsigned i = 0; i < weft__mime_builtin_count; i++) {
        const weft__mime_entry *e = &weft__mime_builtin[i];
        char name[32];
        CHECK(strlen(e->extension) <= sizeof e->extension - 1);
        if (i > 0 && memcmp(e[-1].extension, e->extension, sizeof e->extension) >= 0)
            FAIL("%s is not before %s", e[-1].extension, e->extension);
        snprintf(name, sizeof name, "a.%s", e->extension);
        CHECK_STR(e->type, type_of(NULL, name));
        if (strncmp(e->type, "text/", 5) == 0)
            CHECK(strstr(e->type, "; charset=utf-8") != NULL);
        else
            CHECK(strchr(e->type, ';') == NULL);
    }
}

TEST(mime_types_go_by_the_last_extension) /* S001-134: a .gif is no text/html */
{
    static const char *rows[][2] = {
        {"index.html", "text/html; charset=utf-8"},
        {"INDEX.HTM", "text/html; charset=utf-8"},
        {"a/b/c.CSS", "text/css; charset=utf-8"},
        {"a.js", "text/javascript; charset=utf-8"},
        {"a.gif", "image/gif"},
        {"a.tar.gz", "application/gzip"},
        {"a.webmanifest", "application/manifest+json"},
        {"a.svg", "image/svg+xml"},
        {"a.wasm", "application/wasm"},
        {"a.woff2", "font/woff2"},
        {"a.txt", "text/plain; charset=utf-8"},
        {"README", "application/octet-stream"},
        {"", "application/octet-stream"},
        {".", "application/octet-stream"},
        {"a.", "application/octet-stream"},
        {".html", "application/octet-stream"},
        {"a/.html", "application/octet-stream"},
        {"a.html/b", "application/octet-stream"},
        {".a.html", "text/html; charset=utf-8"},
        {"a.htmlx", "application/octet-stream"},
        {"a.ht", "application/octet-stream"},
        {"a.0123456789abcdef0123456789abcdef0123456789", "application/octet-stream"},
        {"a.html ", "application/octet-stream"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (strcmp(type_of(NULL, rows[i][0]), rows[i][1]) != 0)
            FAIL("%s: %s", rows[i][0], type_of(NULL, rows[i][0]));
}

TEST(mime_tables_are_loaded)
{
    static const char text[] = "# a comment\n"
                               "text/x-foo\t\tfoo FO2\n"
                               "application/x-bar bar # and another\r\n"
                               "application/x-none\n"
                               "\n   \n"
                               "no-slash nos\n"
                               "/x sl1\n"
                               "x/ sl2\n"
                               "a/b/c sl3\n"
                               "bad\x01/x ctl\n"
                               "application/x-second foo\n"
                               "application/x-js js\n"
                               "application/x-zip-too zip\n"
                               "application/x-long 0123456789abcdef0123456789abcdef 0123456789abcdef0123456789abcdef0\n"
                               "application/x-last last";
    weft__mime *m;
    CHECK_OK(weft__mime_new(&m, text, sizeof text - 1));
    CHECK_STR("text/x-foo; charset=utf-8", type_of(m, "a.foo"));
    CHECK_STR("text/x-foo; charset=utf-8", type_of(m, "a.Fo2"));
    CHECK_STR("application/x-bar", type_of(m, "a.bar"));
    CHECK_STR("application/x-last", type_of(m, "a.last"));
    CHECK_STR("application/x-zip-too", type_of(m, "a.zip"));         /* the system's table counts for it ... */
    CHECK_STR("text/javascript; charset=utf-8", type_of(m, "a.js")); /* ... but not for the types of the web */
    CHECK_STR("application/gzip", type_of(m, "a.gz"));
    CHECK_STR("application/x-long", type_of(m, "a.0123456789abcdef0123456789abcdef"));
    static const char *none[] = {"a.nos", "a.sl1", "a.sl2", "a.sl3", "a.ctl", "a.and", "a.another", "a.#"};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        CHECK_STR("application/octet-stream", type_of(m, none[i]));
    weft__mime_free(m);
    CHECK_OK(weft__mime_new(&m, "", 0));
    CHECK_STR("application/octet-stream", type_of(m, "a.foo"));
    CHECK_STR("text/html; charset=utf-8", type_of(m, "a.html"));
    weft__mime_free(m);
    weft__mime_free(NULL);
}

/* A table of 3000 extensions: each is found, none is another's. */
TEST(mime_large_tables_are_searched)
{
    char *text = malloc(200000);
    CHECK(text != NULL);
    size_t len = 0;
    for (int i = 0; i < 3000; i++)
        len += (size_t)sprintf(text + len, "application/x-t%d q%d w%d\n", i, i, i);
    weft__mime *m;
    CHECK_OK(weft__mime_new(&m, text, len));
    free(text);
    for (int i = 0; i < 3000; i++) {
        char name[32], type[32];
        snprintf(type, sizeof type, "application/x-t%d", i);
        snprintf(name, sizeof name, "a.q%d", i);
        CHECK_STR(type, type_of(m, name));
        snprintf(name, sizeof name, "a.W%d", i);
        CHECK_STR(type, type_of(m, name));
    }
    CHECK_STR("application/octet-stream", type_of(m, "a.q3000"));
    weft__mime_free(m);
}

TEST(mime_the_system_table_is_loaded)
{
    static char text[1 << 20];
    int fd = open("/etc/mime.types", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        SKIP("no /etc/mime.types");
    ssize_t len = read(fd, text, sizeof text);
    close(fd);
    CHECK(len > 0);
    weft__mime *m;
    CHECK_OK(weft__mime_new(&m, text, (size_t)len));
    CHECK_STR("text/html; charset=utf-8", type_of(m, "a.html"));
    CHECK(strcmp(type_of(m, "a.xlsx"), "application/octet-stream") != 0);
    CHECK_STR("application/vnd.google-earth.kml+xml", type_of(m, "a.kml")); /* one that is not built in */
    weft__mime_free(m);
}

TEST(mime_text_is_worth_compressing)
{
    static const char *yes[] = {"text/html; charset=utf-8", "TEXT/plain",      "application/json",
                                "application/json ; a=b",   "image/svg+xml",   "application/manifest+json",
                                "application/wasm",         "application/xml", "font/ttf",
                                "image/vnd.microsoft.icon"};
    static const char *no[] = {
        "",     "image/png", "application/gzip",  "font/woff2",       "video/mp4", "application/octet-stream",
        "text", "text/",     "application/jsonx", "xapplication/json"};
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++)
        if (!weft__mime_compressible((weft__span){yes[i], strlen(yes[i])}))
            FAIL("%s", yes[i]);
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++)
        if (weft__mime_compressible((weft__span){no[i], strlen(no[i])}))
            FAIL("%s", no[i]);
}
