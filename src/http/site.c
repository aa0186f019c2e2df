/* site.c - a site: its options, what they open, and the hooks by which a server serves it. */
#include "http/site.h"
#include "http/gzip.h"
#include "http/route.h"

#include "base/panic.h"
#include "sys/limit.h"
#include "sys/sys.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static WEFT__TLS const char *open_error = "";

const char *weft_http_open_error(void)
{
    return open_error;
}

static int fail(const char *option, int err)
{
    open_error = option;
    return err;
}

static int64_t time_or(int64_t ns, int64_t normal)
{
    return ns > 0 ? ns : normal;
}

/* ---- opening ---- */

static int open_root(weft_http *s, const char *root)
{
    if (root == NULL || *root == 0)
        return fail("root", -EINVAL);
    int fd = weft__sys_open(root, WEFT__FILE_DIRECTORY);
    if (fd < 0)
        return fail("root", fd);
    /* Opened for reading, so that a root that cannot be read is refused here; names need no more than O_PATH. */
    s->root = weft__sys_open_beneath(fd, ".", WEFT__FILE_PATH, false);
    weft__sys_file_close(fd);
    if (s->root < 0)
        return fail("root", s->root);
    size_t size = strlen(root) + 1;
    s->root_name = weft__malloc(size);
    if (s->root_name == NULL)
        return -ENOMEM;
    memcpy(s->root_name, root, size);
    return 0;
}

/* The descriptor keeps its number, so whoever opens names below it at this moment has the one or the other. */
static int reopen_root(weft_http *s)
{
    weft_http fresh = {.root = -1};
    int err = open_root(&fresh, s->root_name);
    if (err == 0)
        err = weft__sys_replace(fresh.root, s->root);
    if (fresh.root >= 0)
        weft__sys_file_close(fresh.root);
    weft__free(fresh.root_name);
    return err;
}

int weft_http_reload(weft_http *s)
{
    int err = s->root >= 0 ? reopen_root(s) : 0;
    if (err == 0)
        weft__cache_look_over(s->cache);
    int log = s->log.name != NULL ? weft__log_reopen(&s->log) : 0; /* a rotation does not hang on the root */
    return err < 0 ? err : log;
}

static int read_index(weft_http *s, const char *names)
{
    if (names == NULL)
        names = "index.html";
    size_t size = strlen(names) + 1;
    s->index_text = weft__malloc(size);
    if (s->index_text == NULL)
        return -ENOMEM;
    memcpy(s->index_text, names, size);
    for (char *p = s->index_text, *save; (p = strtok_r(p, ",", &save)) != NULL; p = NULL) {
        if (s->index_count == WEFT__INDEX_MAX || strchr(p, '/') != NULL || p[0] == '.')
            return fail("index", -EINVAL);
        s->index[s->index_count++] = p;
    }
    return 0;
}

static int read_mime(weft_http *s, const char *name)
{
    int fd = weft__sys_open(name != NULL ? name : "/etc/mime.types", WEFT__FILE_READ);
    if (fd < 0)
        return name != NULL ? fail("mime_types", fd) : 0;
    struct stat st;
    char *text = NULL;
    int err = weft__sys_fstat(fd, &st);
    if (err == 0 && (!S_ISREG(st.st_mode) || st.st_size > 16 << 20))
        err = fail("mime_types", -EINVAL);
    if (err == 0 && (text = weft__malloc((size_t)st.st_size + 1)) == NULL)
        err = -ENOMEM;
    if (err == 0) {
        ssize_t n = weft__sys_pread(fd, text, (size_t)st.st_size, 0, false);
        err = n < 0 ? fail("mime_types", (int)n) : weft__mime_new(&s->mime, text, (size_t)n);
    }
    weft__free(text);
    weft__sys_file_close(fd);
    return err;
}

static int make_server_line(weft_http *s, const char *value)
{
    weft__span v = value == NULL ? WEFT__SPAN("weft") : (weft__span){value, strlen(value)};
    weft__out o = weft__out_over(s->server_line, sizeof s->server_line);
    if (v.len > 0)
        weft__out_field(&o, WEFT__SPAN("Server"), v);
    s->server_line_len = (unsigned)o.len;
    return o.overflow ? fail("server_field", -EINVAL) : 0;
}

static int read_numbers(weft_http *s, const weft_http_options *o)
{
    if (o->cache_file_size < 0 || o->cache_file_size > 16 << 20)
        return fail("cache_file_size", -EINVAL);
    if (o->head_max > 32 << 10)
        return fail("head_max", -EINVAL);
    s->file_size = o->cache_file_size > 0 ? (size_t)o->cache_file_size : 64 << 10;
    s->limits = (weft__http_limits){.head = o->head_max, .fields = o->fields_max, .target = o->target_max};
    s->secure_limits = s->limits;
    s->secure_limits.secure = true;
    s->head_timeout = time_or(o->head_timeout, 10 * WEFT_SECOND);
    s->body_timeout = time_or(o->body_timeout, 30 * WEFT_SECOND);
    s->body_max = o->body_max < 0 ? 0 : o->body_max > 0 ? (uint64_t)o->body_max : 1 << 20;
    s->listing = o->listing != 0;
    s->well_known = o->well_known != 0;
    s->gzip = o->no_gzip == 0 && weft__gzip_there();
    s->hosts = o->hosts != 0;
    if (!(o->rate_limit >= 0 && o->rate_limit <= 1e9))
        return fail("rate_limit", -EINVAL);
    if (o->rate_limit > 0) {
        unsigned burst = o->rate_burst != 0 ? o->rate_burst : (unsigned)o->rate_limit;
        s->rate = weft__rate_new(o->rate_limit, burst);
        if (s->rate == NULL)
            return -ENOMEM;
    }
    return 0;
}

static int share_counts(weft_http *s)
{
    void *counts;
    int err = weft__sys_map_shared(&counts, sizeof *s->shared);
    if (err == 0)
        s->shared = counts;
    return err;
}

static size_t cache_bytes(const weft_http_options *o)
{
    return o->cache_size < 0 ? 0 : o->cache_size > 0 ? (size_t)o->cache_size : 32 << 20;
}

/* At most an eighth of the descriptors this process may have, so that files do not take them from connections. */
static unsigned cache_files(const weft_http_options *o)
{
    unsigned wanted = o->cache_size < 0 ? 0 : o->cache_files > 0 ? o->cache_files : 256;
    uint64_t limit = weft__sys_descriptor_limit((uint64_t)wanted * 8);
    return wanted < limit / 8 ? wanted : (unsigned)(limit / 8);
}

int weft_http_open(weft_http **site, const weft_http_options *options)
{
    static const weft_http_options defaults;
    const weft_http_options *o = options != NULL ? options : &defaults;
    open_error = "";
    weft_http *s = weft__calloc(1, sizeof *s);
    if (s == NULL)
        return -ENOMEM;
    s->root = -1;
    s->log.fd = -1;
    s->opened = weft_now();
    s->owner = getpid();
    int err = share_counts(s);
    if (err == 0)
        err = read_numbers(s, o);
    if (err == 0)
        err = make_server_line(s, o->server_field);
    if (err == 0 && !o->no_files)
        err = open_root(s, o->root);
    if (err == 0)
        err = read_index(s, o->index);
    if (err == 0)
        err = read_mime(s, o->mime_types);
    if (err == 0)
        err = weft__cache_new(&s->cache, cache_bytes(o), cache_files(o));
    if (err == 0 && (err = weft__log_open(&s->log, o->log, &s->shared->log)) < 0 && err != -ENOMEM)
        fail("log", err);
    if (err < 0) {
        weft_http_close(s);
        return err;
    }
    *site = s;
    return 0;
}

void weft_http_close(weft_http *s)
{
    if (s == NULL)
        return;
    weft__log_close(&s->log);
    weft__cache_free(s->cache);
    weft__mime_free(s->mime);
    weft__routes_free(s->routes);
    weft__rate_free(s->rate);
    weft__free(s->root_name);
    weft__free(s->index_text);
    if (s->shared != NULL)
        weft__sys_unmap(s->shared, sizeof *s->shared);
    if (s->root >= 0)
        weft__sys_file_close(s->root);
    weft__free(s);
}

int weft_http_route(weft_http *s, const char *pattern, weft_route_handler *fn, void *arg)
{
    return weft__routes_add(&s->routes, pattern, fn, arg);
}

int weft_http_reopen_log(weft_http *s)
{
    return weft__log_reopen(&s->log);
}

/* ---- hooks ---- */

static int open_worker(void **state, void *arg)
{
    weft_http *s = arg;
    weft__http_worker *w = weft__calloc(1, sizeof *w);
    if (w == NULL)
        return -ENOMEM;
    w->site = s;
    w->second = INT64_MIN;
    int err = weft__log_buffer_open(&w->log, &s->log);
    if (err < 0) {
        weft__log_buffer_close(&w->log);
        weft__free(w);
        return err;
    }
    *state = w;
    return 0;
}

static void count(weft__http_worker *w)
{
    uint64_t *to = (uint64_t *)w->site->shared, *from = (uint64_t *)&w->counts;
    for (unsigned i = 0; i < sizeof w->counts / sizeof *from; i++)
        if (from[i] != 0)
            add_relaxed(&to[i], from[i]);
    w->counts = (weft__http_counts){0};
}

static void tick_worker(void *state, void *arg)
{
    (void)arg;
    weft__http_worker *w = state;
    count(w);
    weft__front_sweep(&w->front, false);
    weft__log_flush(&w->log);
}

static void close_worker(void *state, void *arg)
{
    (void)arg;
    weft__http_worker *w = state;
    count(w);
    weft__front_sweep(&w->front, true);
    weft__log_buffer_close(&w->log);
    weft__free(w);
}

static int hear(int what, void *arg)
{
    return what == WEFT_HTTP_RELOAD       ? weft_http_reload(arg)
           : what == WEFT_HTTP_REOPEN_LOG ? weft_http_reopen_log(arg)
                                          : 0;
}

void weft_http_attach(weft_http *s, weft_server_options *o)
{
    uint32_t head = s->limits.head != 0 ? s->limits.head : 16 << 10;
    o->handler = weft__http_handle;
    o->arg = s;
    o->on_refuse = weft__refuse_text;
    o->on_plain = weft__plain_text;
    o->state_open = open_worker;
    o->state_tick = tick_worker;
    o->state_close = close_worker;
    o->on_tell = hear;
    if (o->input_max == 0)
        o->input_max = head < 32 << 10 ? 64 << 10 : 2 * head;
}

void weft_http_get_stats(const weft_http *s, weft_http_stats *stats)
{
    const weft__http_counts *c = s->shared;
    *stats = (weft_http_stats){
        .requests = load_relaxed(&c->requests),
        .errors = load_relaxed(&c->errors),
        .cache_hits = load_relaxed(&c->hits),
        .cache_misses = load_relaxed(&c->misses),
        .cache_bytes = weft__cache_bytes(s->cache),
        .cache_files = weft__cache_files(s->cache),
        .log_dropped = load_relaxed(&c->log.dropped),
    };
}
