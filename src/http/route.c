/* route.c - adding routes, and finding the one for a path.
 *
 * A node has children by literal segment, one child for any segment, routes that end here without and with a slash at
 * the end, and routes that take the rest. Looking goes down the literal child first, then the one for any segment, then
 * the rest, and comes back up where a way leads nowhere, so the more literal route wins from the left. A pattern has at
 * most 16 parameters and the path's length bounds the depth; a way back is only taken where patterns overlap. */
#include "http/route.h"

#include "http/parse_scan.h"
#include "sys/sys.h"

#include <errno.h>

struct weft__routes {
    weft__routes *next;     /* the parent's next literal child */
    weft__routes *literals; /* children */
    weft__routes *any;      /* child for any segment */
    weft__route *here, *here_slash, *rest;
    size_t len;
    char segment[];
};

enum {
    PATTERN_MAX = 1024
};

static weft__routes *new_node(weft__span segment)
{
    weft__routes *n = weft__calloc(1, sizeof *n + segment.len);
    if (n == NULL)
        return NULL;
    n->len = segment.len;
    if (segment.len > 0)
        memcpy(n->segment, segment.data, segment.len);
    return n;
}

/* ---- adding ---- */

static bool method_valid(const char *p, size_t len)
{
    if (len == 1 && *p == '*')
        return true;
    for (size_t i = 0; i < len; i++)
        if (!weft__byte_is(p[i], WEFT__BYTE_TOKEN))
            return false;
    return len > 0 && len <= 32;
}

/* The child of *at for one segment of the pattern, made if need be. */
static int step(weft__routes **at, weft__span segment, bool any)
{
    weft__routes **place = any ? &(*at)->any : &(*at)->literals;
    while (!any && *place != NULL &&
           ((*place)->len != segment.len || memcmp((*place)->segment, segment.data, segment.len) != 0))
        place = &(*place)->next;
    if (*place == NULL) {
        *place = new_node(any ? (weft__span){NULL, 0} : segment);
        if (*place == NULL)
            return -ENOMEM;
    }
    *at = *place;
    return 0;
}

/* "{name}" or "{name...}": notes the name and cuts the text behind it. 1: any segment, 2: the rest, 0: literal, or
 * -EINVAL. */
static int read_parameter(weft__route *r, char *segment, size_t len)
{
    if (segment[0] != '{')
        return memchr(segment, '{', len) != NULL || memchr(segment, '}', len) != NULL ? -EINVAL : 0;
    if (segment[len - 1] != '}' || len < 3 || r->name_count == WEFT__ROUTE_PARAMS)
        return -EINVAL;
    bool rest = len > 5 && memcmp(segment + len - 4, "...", 3) == 0;
    size_t name_len = len - 2 - (rest ? 3 : 0);
    for (size_t i = 1; i <= name_len; i++)
        if (!weft__byte_is(segment[i], WEFT__BYTE_TOKEN) || segment[i] == '.')
            return -EINVAL;
    segment[1 + name_len] = 0;
    r->names[r->name_count++] = segment + 1;
    return rest ? 2 : 1;
}

/* Walk the pattern's path from the root. *list becomes the place where the route belongs. */
static int walk(weft__routes *at, weft__route *r, char *path, weft__route ***list)
{
    *list = &at->here_slash;
    char *p = path + 1; /* behind the '/' */
    if (*p == 0)
        return 0;
    for (;;) {
        char *slash = strchr(p, '/');
        size_t len = slash != NULL ? (size_t)(slash - p) : strlen(p);
        if (len == 0 || (p[0] == '.' && (len == 1 || (len == 2 && p[1] == '.'))))
            return -EINVAL;
        weft__span segment = {p, len};
        int kind = read_parameter(r, p, len);
        if (kind < 0 || (kind == 2 && slash != NULL))
            return -EINVAL;
        if (kind == 2) {
            *list = &at->rest;
            return 0;
        }
        int err = step(&at, segment, kind == 1);
        if (err < 0)
            return err;
        *list = slash != NULL ? &at->here_slash : &at->here;
        if (slash == NULL || slash[1] == 0)
            return 0;
        p = slash + 1;
    }
}

int weft__routes_add(weft__routes **root, const char *pattern, weft_route_handler *fn, void *arg)
{
    const char *space = strchr(pattern, ' ');
    size_t size = strlen(pattern) + 1;
    if (fn == NULL || space == NULL || space[1] != '/' || size > PATTERN_MAX ||
        !method_valid(pattern, (size_t)(space - pattern)))
        return -EINVAL;
    if (*root == NULL && (*root = new_node((weft__span){NULL, 0})) == NULL)
        return -ENOMEM;
    weft__route *r = weft__calloc(1, sizeof *r + size);
    if (r == NULL)
        return -ENOMEM;
    memcpy(r->text, pattern, size);
    char *path = r->text + (space - pattern) + 1;
    path[-1] = 0;
    r->method = r->text;
    r->fn = fn;
    r->arg = arg;
    weft__route **list;
    int err = walk(*root, r, path, &list);
    while (err == 0 && *list != NULL) {
        err = strcmp((*list)->method, r->method) == 0 ? -EEXIST : 0;
        list = &(*list)->next;
    }
    if (err < 0) {
        weft__free(r);
        return err;
    }
    *list = r;
    return 0;
}

static void free_list(weft__route *r)
{
    while (r != NULL) {
        weft__route *next = r->next;
        weft__free(r);
        r = next;
    }
}

void weft__routes_free(weft__routes *n)
{
    while (n != NULL) {
        weft__routes *next = n->next;
        weft__routes_free(n->literals);
        weft__routes_free(n->any);
        free_list(n->here);
        free_list(n->here_slash);
        free_list(n->rest);
        weft__free(n);
        n = next;
    }
}

/* ---- finding ---- */

typedef struct search {
    weft__span method, path;
    bool directory;
    weft__route_match *m;
} search;

static void allow(weft__route_match *m, const char *method)
{
    size_t len = strlen(method);
    if (m->allow_len + len + 2 > sizeof m->allow)
        return;
    if (m->allow_len > 0) {
        memcpy(m->allow + m->allow_len, ", ", 2);
        m->allow_len += 2;
    }
    memcpy(m->allow + m->allow_len, method, len);
    m->allow_len += len;
}

/* The route of this list for the method: its own, GET for HEAD, or the one for all. */
static bool choose(const search *s, const weft__route *list)
{
    const weft__route *get = NULL, *all = NULL;
    for (const weft__route *r = list; r != NULL; r = r->next) {
        s->m->path_known = true;
        if (strlen(r->method) == s->method.len && memcmp(r->method, s->method.data, s->method.len) == 0) {
            s->m->route = r;
            return true;
        }
        get = strcmp(r->method, "GET") == 0 ? r : get;
        all = strcmp(r->method, "*") == 0 ? r : all;
        allow(s->m, r->method);
        if (get == r)
            allow(s->m, "HEAD");
    }
    bool head = s->method.len == 4 && memcmp(s->method.data, "HEAD", 4) == 0;
    s->m->route = head && get != NULL ? get : all;
    return s->m->route != NULL;
}

static bool take(const search *s, const weft__route *list, size_t at, bool rest)
{
    if (list == NULL)
        return false;
    if (rest)
        s->m->values[s->m->value_count++] = (weft__slice){(uint32_t)at, (uint32_t)(s->path.len - at)};
    if (choose(s, list))
        return true;
    s->m->value_count -= rest;
    return false;
}

/* path[at..] is still to be matched below n; at the end of the path `at` is its length. */
static bool find(const search *s, const weft__routes *n, size_t at)
{
    if (at >= s->path.len)
        return take(s, s->directory ? n->here_slash : n->here, at, false) || take(s, n->rest, s->path.len, true);
    const char *first = s->path.data + at, *slash = memchr(first, '/', s->path.len - at);
    size_t len = slash != NULL ? (size_t)(slash - first) : s->path.len - at, next = at + len + (slash != NULL);
    for (const weft__routes *c = n->literals; c != NULL; c = c->next)
        if (c->len == len && memcmp(c->segment, first, len) == 0) {
            if (find(s, c, next))
                return true;
            break;
        }
    if (n->any != NULL && s->m->value_count < WEFT__ROUTE_PARAMS) {
        s->m->values[s->m->value_count++] = (weft__slice){(uint32_t)at, (uint32_t)len};
        if (find(s, n->any, next))
            return true;
        s->m->value_count--;
    }
    return s->m->value_count < WEFT__ROUTE_PARAMS && take(s, n->rest, at, true);
}

void weft__routes_find(const weft__routes *root, weft__span method, weft__span path, bool directory,
                       weft__route_match *m)
{
    m->route = NULL;
    m->value_count = 0;
    m->path_known = false;
    m->allow_len = 0;
    if (root == NULL)
        return;
    search s = {method, path, directory, m};
    find(&s, root, 0);
}
