/* target_test.c - from request paths to names beneath a directory (S001-134: no "/../x" leaves it). */
#include "http/target.h"

#include "harness/harness.h"

#include <stdlib.h>
#include <string.h>

static int decode(const char *path, size_t len, char *out, size_t cap, weft__target *t)
{
    char *copy = malloc(len > 0 ? len : 1);
    CHECK(copy != NULL);
    memcpy(copy, path, len);
    int status = weft__target_decode((weft__span){copy, len}, out, cap, t);
    free(copy);
    return status;
}

TEST(target_paths_decode_to_relative_names)
{
    static const struct {
        const char *path, *name;
        bool directory;
    } rows[] = {
        {"", "", true},
        {"/", "", true},
        {"//", "", true},
        {"/a", "a", false},
        {"/a/", "a", true},
        {"/a/b", "a/b", false},
        {"/a//b", "a/b", false},
        {"///a///b///", "a/b", true},
        {"/./a", "a", false},
        {"/a/.", "a", true},
        {"/.", "", true},
        {"/a/..", "", true},
        {"/a/../", "", true},
        {"/a/../b", "b", false},
        {"/a/b/../c", "a/c", false},
        {"/a/b/../..", "", true},
        {"/a/b/../../c/d/..", "c", true},
        {"/a/./b/./", "a/b", true},
        {"/%61", "a", false},
        {"/%41%2e%42", "A.B", false},
        {"/a%20b", "a b", false},
        {"/%e4%bd%a0", "\xe4\xbd\xa0", false},
        {"/%E4%BD%a0", "\xe4\xbd\xa0", false},
        {"/%ff%fe", "\xff\xfe", false},
        {"/a+b", "a+b", false},
        {"/a%2bb", "a+b", false},
        {"/%2541", "%41", false},
        {"/%252e%252e/x", "%2e%2e/x", false},
        {"/a%3fb", "a?b", false},
        {"/a%23", "a#", false},
        {"/a\\b", "a\\b", false},
        {"/..\\..\\x", "..\\..\\x", false},
        {"/a%5c..%5cb", "a\\..\\b", false},
        {"/%2e/a", "a", false},
        {"/a/%2e%2e/b", "b", false},
        {"/a/.%2E/b", "b", false},
        {"/a/%2e%2E", "", true},
        {"/...", "...", false},
        {"/..a", "..a", false},
        {"/a..", "a..", false},
        {"/a/..b", "a/..b", false},
        {"/.../a", ".../a", false},
        {"/%0a", "\n", false},
        {"/a:b", "a:b", false},
        {"/%7e", "~", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char out[64];
        weft__target t;
        int status = decode(rows[i].path, strlen(rows[i].path), out, strlen(rows[i].path) + 1, &t);
        if (status != 0)
            FAIL("%s: %d", rows[i].path, status);
        if (strcmp(out, rows[i].name) != 0 || t.len != strlen(out) || t.directory != rows[i].directory)
            FAIL("%s: '%s', %s", rows[i].path, out, t.directory ? "a directory" : "no directory");
    }
}

TEST(target_bad_paths_are_refused)
{
    static const struct {
        const char *path;
        int status;
    } rows[] = {
        {"/..", 400},
        {"/../", 400},
        {"/../x", 400},
        {"/a/../..", 400},
        {"/a/../../x", 400},
        {"/./../x", 400},
        {"//../x", 400},
        {"/%2e%2e/x", 400},
        {"/.%2e/x", 400},
        {"/%2e./x", 400},
        {"/a/%2e%2e/%2e%2e/x", 400},
        {"/a//../../x", 400},
        {"/%", 400},
        {"/%4", 400},
        {"/%4/", 400},
        {"/%g1", 400},
        {"/%1g", 400},
        {"/%%41", 400},
        {"/% 1", 400},
        {"/a%", 400},
        {"/%-1", 400},
        {"/%0x", 400},
        {"/%u0041", 400},
        {"/%00", 400},
        {"/a%00.html", 400},
        {"a", 400},
        {"%2f", 400},
        {"/%2f", 404},
        {"/a%2Fb", 404},
        {"/..%2f..%2fetc/passwd", 404},
        {"/%2e%2e%2fx", 404},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char out[64];
        weft__target t;
        int status = decode(rows[i].path, strlen(rows[i].path), out, sizeof out, &t);
        if (status != rows[i].status)
            FAIL("%s: %d, not %d", rows[i].path, status, rows[i].status);
    }
    char out[8];
    weft__target t;
    CHECK_INT(400, decode("/a\0b", 4, out, sizeof out, &t));
}

TEST(target_dot_files_are_told)
{
    static const struct {
        const char *path;
        bool hidden, well_known;
    } rows[] = {
        {"/", 0, 0},
        {"/a", 0, 0},
        {"/a.b/c.", 0, 0},
        {"/.a", 1, 0},
        {"/a/.b", 1, 0},
        {"/.a/b", 1, 0},
        {"/%2ea", 1, 0},
        {"/a/%2egit/config", 1, 0},
        {"/...", 1, 0},
        {"/.a/../b", 0, 0},
        {"/a/.", 0, 0},
        {"/.well-known", 1, 1},
        {"/.well-known/", 1, 1},
        {"/.well-known/a/b", 1, 1},
        {"/.well-known/.a", 1, 0},
        {"/a/.well-known", 1, 0},
        {"/.well-knowns", 1, 0},
        {"/.well-know", 1, 0},
        {"/x/../.well-known/a", 1, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char out[64];
        weft__target t;
        CHECK_INT(0, decode(rows[i].path, strlen(rows[i].path), out, sizeof out, &t));
        if (t.hidden != rows[i].hidden || t.well_known != rows[i].well_known)
            FAIL("%s: hidden %d, well known %d", rows[i].path, t.hidden, t.well_known);
    }
}

TEST(target_never_writes_beyond_the_buffer)
{
    static const char *paths[] = {"/abc/def", "/%61%62/c", "/a/../bcd", "//", "/a/./././"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        char full[64];
        weft__target whole, t;
        size_t len = strlen(paths[i]);
        CHECK_INT(0, decode(paths[i], len, full, sizeof full, &whole));
        for (size_t cap = 0; cap <= len + 1; cap++) {
            char *out = malloc(cap > 0 ? cap : 1);
            CHECK(out != NULL);
            int status = decode(paths[i], len, out, cap, &t);
            CHECK(status == 0 || status == 414);
            if (status == 0)
                CHECK_STR(full, out);
            if (cap <= whole.len)
                CHECK_INT(414, status);
            if (cap == len + 1)
                CHECK_INT(0, status);
            free(out);
        }
    }
}
