/* listing.c - the page that lists a directory.
 *
 * It shows what a request could get: regular files and directories whose name does not begin with a dot, and links
 * whose target is one of these below the root. Everything in it is escaped. Bounded: ENTRIES_MAX entries, and the page
 * says when there are more. Directories come first, then by the bytes of the name. */
#include "http/date.h"
#include "http/site.h"
#include "sys/file.h"
#include "sys/sys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    ENTRIES_MAX = 10000,
    BATCH = 32 << 10,
    ROW = 256 /* bytes of a row besides its names */
};

typedef struct item {
    char *name;
    uint64_t size;
    int64_t modified;
    bool directory;
} item;

typedef struct items {
    item *item;
    size_t count, cap;
    bool more; /* than ENTRIES_MAX */
    size_t name_bytes;
} items;

static int by_name(const void *a, const void *b)
{
    const item *x = a, *y = b;
    return x->directory != y->directory ? (x->directory ? -1 : 1) : strcmp(x->name, y->name);
}

static int add_item(items *all, const char *name, const struct stat *st)
{
    if (all->count == all->cap) {
        size_t cap = all->cap > 0 ? all->cap * 2 : 64;
        item *grown = weft__realloc(all->item, cap * sizeof *grown);
        if (grown == NULL)
            return -ENOMEM;
        all->item = grown;
        all->cap = cap;
    }
    size_t len = strlen(name);
    char *copy = weft__malloc(len + 1);
    if (copy == NULL)
        return -ENOMEM;
    memcpy(copy, name, len + 1);
    all->item[all->count++] = (item){copy, (uint64_t)st->st_size, st->st_mtim.tv_sec, S_ISDIR(st->st_mode)};
    all->name_bytes += len;
    return 0;
}

/* Look at one entry as a request would: through the root. */
static int look_at(const weft_http *site, const char *path, const char *name, items *all)
{
    char full[WEFT__PATH_MAX];
    size_t n = strlen(path), m = strlen(name);
    if (n + m >= sizeof full)
        return 0;
    memcpy(full, path, n);
    memcpy(full + n, name, m + 1);
    int fd = weft__sys_open_beneath(site->root, full, WEFT__FILE_PATH, false);
    if (fd < 0)
        return 0;
    struct stat st;
    int err = weft__sys_fstat(fd, &st);
    weft__sys_file_close(fd);
    return err == 0 && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) ? add_item(all, name, &st) : 0;
}

static int read_directory(const weft_http *site, const char *path, items *all)
{
    int fd = weft__sys_open_beneath(site->root, path, WEFT__FILE_DIRECTORY, false);
    if (fd < 0)
        return fd;
    _Alignas(8) char buf[BATCH];
    ssize_t n = 0;
    int err = 0;
    while (err == 0 && !all->more && (n = weft__sys_getdents(fd, buf, sizeof buf)) > 0) {
        size_t at = 0;
        weft__dirent d;
        while (err == 0 && weft__sys_dirent_next(buf, (size_t)n, &at, &d)) {
            if (d.name[0] == '.')
                continue;
            if (all->count == ENTRIES_MAX) {
                all->more = true;
                break;
            }
            err = look_at(site, path, d.name, all);
        }
    }
    weft__sys_file_close(fd);
    return err < 0 ? err : n < 0 ? (int)n : 0;
}

/* "1234", "12.3 KB" ... in at most 4 digits, powers of 1000. */
static void put_size(weft__out *o, uint64_t size)
{
    static const char units[][3] = {"kB", "MB", "GB", "TB", "PB", "EB"};
    if (size < 1000) {
        weft__out_u64(o, size);
        weft__out_text(o, " B");
        return;
    }
    unsigned u = 0;
    uint64_t tenths = size / 100;
    for (; tenths >= 10000 && u + 1 < WEFT__ARRAY_LEN(units); u++)
        tenths /= 1000;
    weft__out_u64(o, tenths / 10);
    if (tenths < 1000) {
        weft__out_text(o, ".");
        weft__out_u64(o, tenths % 10);
    }
    weft__out_text(o, " ");
    weft__out_bytes(o, units[u], 2);
}

static void put_row(weft__out *o, const item *i)
{
    char date[WEFT__DATE_LEN];
    weft__span name = {i->name, strlen(i->name)};
    weft__date_format(i->modified, date);
    weft__out_text(o, "<tr><td><a href=\"");
    weft__out_path(o, name);
    weft__out_bytes(o, "/", i->directory);
    weft__out_text(o, "\">");
    weft__out_html(o, name);
    weft__out_bytes(o, "/", i->directory);
    weft__out_text(o, "</a></td><td>");
    if (!i->directory)
        put_size(o, i->size);
    weft__out_text(o, "</td><td>");
    weft__out_bytes(o, date + 5, WEFT__DATE_LEN - 5);
    weft__out_text(o, "</td></tr>\n");
}

static void put_page(weft__out *o, const char *path, const items *all)
{
    weft__span title = {path, strlen(path)};
    weft__out_text(o, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                      "<meta name=\"viewport\" content=\"width=device-width\"><title>/");
    weft__out_html(o, title);
    weft__out_text(o,
                   "</title>\n<style>:root{color-scheme:light dark}body{font:1rem/1.5 system-ui,sans-serif;margin:2rem}"
                   "td{padding:0 1.5rem 0 0}td+td{text-align:right;font-variant-numeric:tabular-nums}</style></head>\n"
                   "<body><h1>/");
    weft__out_html(o, title);
    weft__out_text(o, "</h1>\n<table>\n");
    if (title.len > 0)
        weft__out_text(o, "<tr><td><a href=\"../\">../</a></td><td></td><td></td></tr>\n");
    for (size_t i = 0; i < all->count; i++)
        put_row(o, &all->item[i]);
    weft__out_text(o, "</table>\n");
    if (all->more)
        weft__out_text(o, "<p>There are more: only the first 10000 are shown.</p>\n");
    weft__out_text(o, "</body></html>\n");
}

int weft__list_directory(const weft_http *site, const char *path, size_t prefix, char **page, size_t *len)
{
    items all = {0};
    int err = read_directory(site, path, &all);
    if (err == 0) {
        if (all.count > 0)
            qsort(all.item, all.count, sizeof *all.item, by_name);
        /* A byte of a name becomes at most 3 bytes of its link and 6 of its text. */
        size_t cap = 2048 + strlen(path) * 12 + all.count * ROW + all.name_bytes * 9;
        char *text = weft__malloc(cap);
        err = text != NULL ? 0 : -ENOMEM;
        if (err == 0) {
            weft__out o = weft__out_over(text, cap);
            put_page(&o, path + prefix, &all);
            *page = text;
            *len = o.len;
        }
    }
    for (size_t i = 0; i < all.count; i++)
        weft__free(all.item[i].name);
    weft__free(all.item);
    return err;
}
