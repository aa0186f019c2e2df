/* files.c - GET and HEAD: from a target to an entry (found, looked over or loaded), and the choice of what to say about
 * it: which form, whether the conditions hold, which ranges. send.c sends it.
 *
 * A hit takes: decode the path, hash it, one look into the thread's front, no lock, no allocation, no system call. */
#include "http/accept.h"
#include "http/etag.h"
#include "http/range.h"
#include "http/send.h"
#include "http/target.h"
#include "sys/sys.h"

#include <weft/co.h>

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#define BIT(id) (1u << (id))
#define CONDITIONS                                                                                                     \
    (BIT(WEFT__FIELD_RANGE) | BIT(WEFT__FIELD_IF_RANGE) | BIT(WEFT__FIELD_IF_MATCH) | BIT(WEFT__FIELD_IF_NONE_MATCH) | \
     BIT(WEFT__FIELD_IF_MODIFIED_SINCE) | BIT(WEFT__FIELD_IF_UNMODIFIED_SINCE))

enum {
    SCRATCH = 2048, /* for list fields that come on several lines */
    WEFT__HOST_MAX = 256
};

/* ---- an entry for a key ---- */

/* Is the file behind the entry still the one it was made of? A descriptor's file is asked each time, because it is sent
 * as it is then; for the rest once a second is enough. */
static bool still_true(weft__request *r, const weft__hold *hold)
{
    const weft__entry *e = hold->entry;
    if (e->plain.fd >= 0) {
        struct stat st;
        if (weft__sys_fstat(e->plain.fd, &st) < 0)
            return false;
        weft__version now = weft__version_of(&st);
        if (!weft__version_same(&now, &e->version))
            return false;
    }
    if (!hold->stale)
        return true;
    weft__resolved x;
    x.site = r->site;
    x.key = e->key;
    x.key_len = e->key_len;
    x.load = false;
    return weft__resolve(&x) == 0 && x.status == 200 && weft__version_same(&x.version, &e->version) &&
           weft__version_same(&x.gz, &e->gz);
}

static int load(weft__request *r, const char *key, size_t len, uint64_t hash, weft__hold *hold)
{
    weft__resolved x;
    x.site = r->site;
    x.key = key;
    x.key_len = len;
    x.hash = hash;
    x.load = true;
    if (weft__resolve(&x) < 0)
        return 503;
    r->worker->counts.misses++;
    if (x.status != 200)
        return x.status;
    if (x.keep)
        weft__cache_put(r->site->cache, x.entry);
    *hold = (weft__hold){x.entry, NULL, false};
    return 200;
}

int weft__find_file(weft__request *r, const char *key, size_t len, weft__hold *hold)
{
    uint64_t hash = weft__cache_hash(key, len);
    if (weft__cache_find(r->site->cache, &r->worker->front, key, len, hash, r->now.monotonic, hold)) {
        if (likely(!hold->stale && hold->entry->plain.fd < 0) || still_true(r, hold)) {
            r->worker->counts.hits++;
            return 200;
        }
        weft__cache_drop(r->site->cache, hold->entry);
        weft__hold_end(hold);
    }
    return load(r, key, len, hash, hold);
}

/* ---- what to say ---- */

static weft__span joined(const weft__request *r, enum weft__http_field id, char scratch[SCRATCH])
{
    weft__span value;
    weft__http_joined(&r->head, r->buf, id, scratch, SCRATCH, &value);
    return value;
}

/* The form that the client takes; NULL: it takes none. Making the gzip form may wait. */
static const weft__form *choose_form(weft__request *r, weft__entry *e)
{
    if (!weft__http_has(&r->head, WEFT__FIELD_ACCEPT_ENCODING))
        return &e->plain;
    char scratch[SCRATCH];
    weft__accept a = weft__accept_encoding(joined(r, WEFT__FIELD_ACCEPT_ENCODING, scratch));
    bool wanted = a.gzip > 0 && a.gzip >= a.identity;
    /* Ranges are of the identity form: parts of a compressed one would depend on how it was compressed. */
    bool ranged = weft__http_has(&r->head, WEFT__FIELD_RANGE) && !weft__request_is_head(r);
    if (wanted && e->vary && !(ranged && a.identity > 0)) {
        if (load_acquire(&e->gzip_state) == WEFT__GZIP_OFFERED)
            weft__make_gzip(e);
        if (load_acquire(&e->gzip_state) == WEFT__GZIP_READY)
            return &e->gzip;
    }
    return a.identity > 0 ? &e->plain : NULL;
}

/* A condition that is there but too long to be put together holds for nothing: absent it would not be asked. */
static weft__span condition(const weft__request *r, enum weft__http_field id, char scratch[SCRATCH])
{
    weft__span value;
    return weft__http_joined(&r->head, r->buf, id, scratch, SCRATCH, &value) < 0 ? WEFT__SPAN("") : value;
}

static int evaluate(const weft__request *r, const weft__entry *e, const weft__form *f)
{
    char match[SCRATCH], none_match[SCRATCH], modified[64], unmodified[64], if_range[SCRATCH], range[SCRATCH];
    weft__conditions c = {
        .read = true,
        .get = r->head.method == WEFT__HTTP_GET,
        .exists = true,
        .etag = {f->etag, f->etag_len},
        .modified = e->last_modified,
        .now = r->now.wall / 1000000000,
        .if_match = condition(r, WEFT__FIELD_IF_MATCH, match),
        .if_none_match = condition(r, WEFT__FIELD_IF_NONE_MATCH, none_match),
        .if_range = condition(r, WEFT__FIELD_IF_RANGE, if_range),
    };
    bool to_come = e->version.modified / 1000000000 != e->last_modified;
    if (to_come && c.if_range.len > 0 && c.if_range.data[0] != '"') /* a date that does not tell one version of it */
        c.if_range = WEFT__SPAN("");
    weft__http_joined(&r->head, r->buf, WEFT__FIELD_IF_MODIFIED_SINCE, modified, sizeof modified, &c.if_modified_since);
    weft__http_joined(&r->head, r->buf, WEFT__FIELD_IF_UNMODIFIED_SINCE, unmodified, sizeof unmodified,
                      &c.if_unmodified_since);
    weft__http_joined(&r->head, r->buf, WEFT__FIELD_RANGE, range, sizeof range, &c.range);
    return weft__conditions_evaluate(&c);
}

static int answer_entry(weft__request *r, weft__entry *e)
{
    const weft__form *f = choose_form(r, e);
    if (f == NULL)
        return weft__answer_error(r, 406);
    if (likely((r->head.present & CONDITIONS) == 0))
        return weft__send_whole(r, e, f);
    int status = evaluate(r, e, f);
    if (status == 206 && f == &e->plain) {
        char scratch[SCRATCH];
        weft__ranges ranges;
        status = weft__range_parse(joined(r, WEFT__FIELD_RANGE, scratch), f->size, &ranges);
        if (status == 206)
            return weft__send_ranges(r, e, f, &ranges);
        if (status == 416)
            return weft__send_no_range(r, f->size);
    }
    if (status == 304)
        return weft__send_not_modified(r, e, f);
    return status == 412 ? weft__answer_error(r, 412) : weft__send_whole(r, e, f);
}

/* ---- what is no file ---- */

typedef struct listing {
    const weft_http *site;
    const char *path;
    size_t prefix;
    char *page;
    size_t len;
} listing;

static int list(void *arg)
{
    listing *l = arg;
    return weft__list_directory(l->site, l->path, l->prefix, &l->page, &l->len);
}

static int answer_listing(weft__request *r, const char *path, size_t prefix)
{
    listing l = {r->site, path, prefix, NULL, 0};
    int err = weft_blocking(list, &l);
    if (err < 0)
        return weft__answer_error(r, err == -EACCES ? 403 : err == -ENOENT || err == -ENOTDIR ? 404 : 503);
    err = weft__send_page(r, 200, l.page, l.len);
    weft__free(l.page);
    return err;
}

/* 404, with the site's own page for it if there is one: `host` and "404.html". */
static int answer_missing(weft__request *r, const char *host, size_t host_len)
{
    char key[WEFT__HOST_MAX + 16];
    weft__hold hold;
    memcpy(key, host, host_len);
    memcpy(key + host_len, "404.html", 9);
    if (weft__find_file(r, key, host_len + 8, &hold) != 200)
        return weft__answer_error(r, 404);
    int err = weft__send_as(r, 404, hold.entry);
    weft__hold_end(&hold);
    return err;
}

/* ---- virtual hosts ---- */

/* What the directory for a host name or an IPv4 address is called, without its port; into out. Its length; 0: none is.
 * A dot at the end says that nothing is to be put behind the name; nothing is here anyway, so it is the same name. */
static size_t name_directory(weft__span host, char out[WEFT__HOST_MAX])
{
    const char *colon = memchr(host.data, ':', host.len);
    size_t len = colon != NULL ? (size_t)(colon - host.data) : host.len;
    len -= len > 0 && host.data[len - 1] == '.';
    if (len == 0 || len >= WEFT__HOST_MAX - 2 || host.data[0] == '.')
        return 0;
    for (size_t i = 0; i < len; i++) {
        char c = host.data[i];
        out[i] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
        if (out[i] != '-' && out[i] != '.' && !(out[i] >= '0' && out[i] <= '9') && !(out[i] >= 'a' && out[i] <= 'z'))
            return 0;
    }
    return len;
}

/* The same for "[::1]:80": however the address is written, the directory has its one form of RFC 5952, in brackets. */
static size_t ipv6_directory(weft__span host, char out[WEFT__HOST_MAX])
{
    const char *close = memchr(host.data, ']', host.len);
    size_t len = close != NULL ? (size_t)(close - host.data) - 1 : 0;
    struct in6_addr address;
    char text[INET6_ADDRSTRLEN];
    if (len == 0 || len >= sizeof text)
        return 0;
    memcpy(text, host.data + 1, len);
    text[len] = 0;
    if (inet_pton(AF_INET6, text, &address) != 1 || inet_ntop(AF_INET6, &address, text, sizeof text) == NULL)
        return 0;
    len = strlen(text);
    out[0] = '[';
    memcpy(out + 1, text, len);
    out[len + 1] = ']';
    return len + 2;
}

/* The directory of the request's host with a '/' behind it, into out; its length. A name that cannot be one's, or that
 * has no directory, is "default". */
static size_t host_directory(const weft__request *r, char out[WEFT__HOST_MAX])
{
    weft__span host = weft__slice_span(r->buf, r->head.authority);
    size_t len = host.len == 0 ? 0 : host.data[0] == '[' ? ipv6_directory(host, out) : name_directory(host, out);
    bool valid = len > 0;
    if (valid) {
        memcpy(out + len, "/.", 3); /* a directory, that is */
        int fd = weft__sys_open_beneath(r->site->root, out, WEFT__FILE_PATH, false);
        valid = fd >= 0;
        if (fd >= 0)
            weft__sys_file_close(fd);
    }
    if (!valid) {
        len = 7;
        memcpy(out, "default", len);
    }
    out[len] = '/';
    return len + 1;
}

int weft__answer_file(weft__request *r)
{
    char key[WEFT__PATH_MAX];
    weft__target t;
    size_t host = r->site->hosts ? host_directory(r, key) : 0;
    int status = weft__target_decode(weft__slice_span(r->buf, r->head.path), key + host, sizeof key - 1 - host, &t);
    if (status == 0 && t.hidden && !(t.well_known && r->site->well_known))
        status = 404;
    if (status == 404 || status == 414) /* longer than any file's name */
        return answer_missing(r, key, host);
    if (status != 0)
        return weft__answer_error(r, status);
    size_t len = host + t.len;
    if (t.directory && t.len > 0) {
        key[len++] = '/';
        key[len] = 0;
    }
    weft__hold hold;
    status = weft__find_file(r, key, len, &hold);
    switch (status) {
    case 200: {
        int err = answer_entry(r, hold.entry);
        weft__hold_end(&hold);
        return err;
    }
    case 301:
        return weft__answer_slash(r, key + host, len - host);
    case 404:
        return answer_missing(r, key, host);
    case WEFT__LIST_DIRECTORY:
        return answer_listing(r, key, host);
    default:
        return weft__answer_error(r, status);
    }
}
