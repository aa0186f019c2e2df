/* route_test.c - the tree of routes: which pattern a path matches, and what its names are. Requests and answers over
 * sockets are the business of tests/web/route_test.py. */
#include "harness/harness.h"

#include "http/route.h"
#include "http/target.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int nothing(weft_request *r, void *arg)
{
    (void)r;
    (void)arg;
    return 0;
}

static weft__routes *root;

static void add(int expected, const char *pattern)
{
    CHECK_ERR(expected, weft__routes_add(&root, pattern, nothing, (void *)pattern));
}

/* The pattern that answers, with its values: "GET /a/{x} x=1"; or "405 Allow", or "none". */
static const char *found(const char *method, const char *target)
{
    static char text[1024];
    char path[512];
    weft__target t;
    weft__route_match m;
    CHECK_INT(0, weft__target_decode((weft__span){target, strlen(target)}, path, sizeof path, &t));
    weft__routes_find(root, (weft__span){method, strlen(method)}, (weft__span){path, t.len}, t.directory, &m);
    if (m.route == NULL) {
        snprintf(text, sizeof text, m.path_known ? "405 %.*s" : "none", (int)m.allow_len, m.allow);
        return text;
    }
    int n = snprintf(text, sizeof text, "%s", (const char *)m.route->arg);
    CHECK_INT(m.route->name_count, m.value_count);
    for (unsigned i = 0; i < m.value_count; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, " %s=%.*s", m.route->names[i], (int)m.values[i].len,
                      path + m.values[i].at);
    return text;
}

TEST(route_patterns_that_make_no_sense_are_refused)
{
    static const char *const bad[] = {
        "",           "GET",        "GET ",          "/a",           "GET a",    "G(T /a",    " /a",
        "GET /a//b",  "GET //",     "GET /{}",       "GET /{a",      "GET /a}",  "GET /x{a}", "GET /{a}x",
        "GET /{a.b}", "GET /{...}", "GET /{a...}/b", "GET /{a...}/", "GET /./b", "GET /a/..", "GET /{a b}"};
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++)
        add(-EINVAL, bad[i]);
    CHECK_ERR(-EINVAL, weft__routes_add(&root, "GET /a", NULL, NULL));
    add(0, "GET /a/{x}");
    add(-EEXIST, "GET /a/{y}");
    add(0, "PUT /a/{y}");
    char deep[200] = "GET ";
    for (int i = 0; i < 16; i++)
        strcat(deep, "/{a}");
    add(0, deep);
    strcat(deep, "/{a}");
    add(-EINVAL, deep);
    weft__routes_free(root);
}

TEST(route_more_literal_wins_from_the_left)
{
    add(0, "GET /");
    add(0, "GET /users/{id}");
    add(0, "GET /users/me");
    add(0, "GET /users/{id}/posts/{post}");
    add(0, "GET /users/me/{what...}");
    add(0, "GET /{any}/list");
    add(0, "GET /files/{path...}");
    CHECK_STR("GET /", found("GET", "/"));
    CHECK_STR("GET /users/me", found("GET", "/users/me"));
    CHECK_STR("GET /users/{id} id=7", found("GET", "/users/7"));
    CHECK_STR("GET /users/{id} id=a b", found("GET", "/users/a%20b"));
    CHECK_STR("GET /users/{id}/posts/{post} id=7 post=9", found("GET", "/users/7/posts/9"));
    CHECK_STR("GET /users/me/{what...} what=posts/9", found("GET", "/users/me/posts/9"));
    CHECK_STR("GET /{any}/list any=x", found("GET", "/x/list"));
    CHECK_STR("GET /users/{id} id=list", found("GET", "/users/list"));
    CHECK_STR("GET /files/{path...} path=a/b/c", found("GET", "/files/a/b/c"));
    CHECK_STR("GET /files/{path...} path=", found("GET", "/files/"));
    CHECK_STR("GET /files/{path...} path=", found("GET", "/files"));
    CHECK_STR("GET /users/me", found("GET", "/x/../users/./me"));
    CHECK_STR("none", found("GET", "/users/7/"));
    CHECK_STR("none", found("GET", "/users/7/posts"));
    CHECK_STR("none", found("GET", "/y"));
    weft__routes_free(root);
}

TEST(route_that_leads_nowhere_is_left_again)
{
    add(0, "GET /a/b/c");
    add(0, "GET /a/{x}/d");
    add(0, "GET /{y}/b/e");
    add(0, "GET /{rest...}");
    CHECK_STR("GET /a/{x}/d x=b", found("GET", "/a/b/d"));
    CHECK_STR("GET /{y}/b/e y=a", found("GET", "/a/b/e"));
    CHECK_STR("GET /{rest...} rest=a/b/f", found("GET", "/a/b/f"));
    CHECK_STR("GET /{rest...} rest=", found("GET", "/"));
    weft__routes_free(root);
}

TEST(route_is_chosen_by_its_method)
{
    add(0, "GET /a");
    add(0, "PUT /a");
    add(0, "* /b");
    add(0, "POST /b");
    add(0, "BREW /pot");
    add(0, "GET /c/{x}");
    add(0, "POST /c/d");
    CHECK_STR("PUT /a", found("PUT", "/a"));
    CHECK_STR("GET /a", found("HEAD", "/a"));
    CHECK_STR("405 GET, HEAD, PUT", found("DELETE", "/a"));
    CHECK_STR("* /b", found("GET", "/b"));
    CHECK_STR("POST /b", found("POST", "/b"));
    CHECK_STR("BREW /pot", found("BREW", "/pot"));
    CHECK_STR("405 BREW", found("brew", "/pot"));
    CHECK_STR("GET /c/{x} x=d", found("GET", "/c/d"));
    CHECK_STR("405 POST, GET, HEAD", found("PUT", "/c/d"));
    weft__routes_free(root);
}

TEST(route_with_a_slash_at_its_end_is_another)
{
    add(0, "GET /a");
    add(0, "GET /b/");
    add(0, "GET /c");
    add(0, "PUT /c/");
    CHECK_STR("none", found("GET", "/a/"));
    CHECK_STR("none", found("GET", "/b"));
    CHECK_STR("GET /b/", found("GET", "/b/"));
    CHECK_STR("GET /c", found("GET", "/c"));
    CHECK_STR("PUT /c/", found("PUT", "/c/"));
    CHECK_STR("405 PUT", found("GET", "/c/"));
    weft__routes_free(root);
}
