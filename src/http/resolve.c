/* resolve.c - from a decoded path to a file, and from a file to a cache entry.
 *
 * R1 looked at first: a name is opened with O_PATH and must be a regular file (or a directory) before it is opened for
 *                     reading; so a FIFO or a device never is. What is read was looked at again by its descriptor.
 * R2 one version:     contents are kept only if the file's version (device, inode, size, mtime, ctime) is the same
 *                     before and after they were read. Time stamps have the grain of the kernel's tick, so a file that
 *                     changed less than a tick or two ago is read after that has passed: a later write must then show
 *                     in them. What changes all the time is sent from its descriptor and not kept.
 * R3 off the disk:    everything is first tried with what the kernel has in memory (RESOLVE_CACHED, RWF_NOWAIT) on the
 *                     serving thread itself; only what needs the disk goes to a helper thread.
 * Pinned by tests/web/site_test.py and tests/web/tree_test.py. */
#include <weft/co.h>

#include "http/gzip.h"
#include "http/site.h"
#include "sys/sys.h"

#include <errno.h>
#include <string.h>

enum {
    TRIES = 4,
    GZ_SETTLED_NS = 250 * 1000000, /* who writes a .gz file writes more often than that */
    TICK_NS = 20 * 1000000,        /* two ticks of the slowest kernel clock (HZ = 100) */
    GZIP_INLINE = 8 << 10          /* up to this size compressing is quicker than asking a helper */
};

static int status_of_error(int err)
{
    switch (err) {
    case -ENOENT:
    case -ENOTDIR:
    case -ENAMETOOLONG:
    case -EINVAL:
        return 404;
    case -EACCES:
    case -EPERM:
    case -EXDEV:
    case -ELOOP:
        return 403;
    case -EMFILE:
    case -ENFILE:
    case -ENOMEM:
        return 503;
    default:
        return 500;
    }
}

/* ---- looking ---- */

static int look(const weft__resolved *x, const char *name, struct stat *st)
{
    int fd = weft__sys_open_beneath(x->site->root, name, WEFT__FILE_PATH, x->cached);
    if (fd < 0)
        return fd;
    int err = weft__sys_fstat(fd, st);
    weft__sys_file_close(fd);
    return err;
}

/* Put `name` behind the directory of x->path[0..len). False: too long, so there is no such file. */
static bool join(weft__resolved *x, size_t len, const char *name)
{
    size_t n = strlen(name);
    if (len + n >= WEFT__PATH_MAX)
        return false;
    memcpy(x->path + len, name, n + 1);
    x->path_len = len + n;
    return true;
}

/* The index file of a directory, or what else to do about it. Returns -EAGAIN or 0. */
static int look_for_index(weft__resolved *x, struct stat *st)
{
    for (unsigned i = 0; i < x->site->index_count; i++) {
        if (!join(x, x->key_len, x->site->index[i]))
            continue;
        int err = look(x, x->path, st);
        if (err == -EAGAIN)
            return err;
        if (err == 0 && S_ISREG(st->st_mode)) {
            x->status = 200;
            return 0;
        }
        if (err < 0 && err != -ENOENT) {
            x->status = status_of_error(err);
            return 0;
        }
    }
    join(x, x->key_len, "");
    int err = look(x, x->path, st);
    if (err == -EAGAIN)
        return err;
    if (err < 0)
        x->status = status_of_error(err);
    else if (!S_ISDIR(st->st_mode))
        x->status = 404;
    else
        x->status = x->site->listing ? WEFT__LIST_DIRECTORY : 403;
    return 0;
}

/* Set status, path and version. Returns -EAGAIN or 0. */
static int look_for_file(weft__resolved *x)
{
    struct stat st;
    memcpy(x->path, x->key, x->key_len);
    x->path[x->key_len] = 0;
    x->path_len = x->key_len;
    int err = 0;
    if (x->key_len == 0 || x->key[x->key_len - 1] == '/') {
        err = look_for_index(x, &st);
    } else {
        err = look(x, x->path, &st);
        if (err == 0)
            x->status = S_ISREG(st.st_mode) ? 200 : S_ISDIR(st.st_mode) ? 301 : 403;
        else if (err != -EAGAIN)
            x->status = status_of_error(err);
    }
    if (err == -EAGAIN)
        return err;
    if (x->status == 200)
        x->version = weft__version_of(&st);
    return 0;
}

/* A .gz file beside it that is not older, and not just being written. Returns -EAGAIN or 0. */
static int look_for_gz(weft__resolved *x)
{
    struct stat st;
    x->gz = (weft__version){0};
    if (!x->site->gzip || (x->path_len >= 3 && memcmp(x->path + x->path_len - 3, ".gz", 3) == 0))
        return 0;
    memcpy(x->path + x->path_len, ".gz", 4);
    int err = look(x, x->path, &st);
    x->path[x->path_len] = 0;
    if (err == 0 && S_ISREG(st.st_mode)) {
        weft__version v = weft__version_of(&st);
        if (v.modified >= x->version.modified && weft__sys_coarse_times().wall - v.changed > GZ_SETTLED_NS)
            x->gz = v;
    }
    return err == -EAGAIN ? err : 0;
}

/* ---- forms ---- */

/* An entity tag that changes whenever the file may have: its time stamps and inode behind its size. */
static void make_etag(weft__form *f, const weft__version *v, const char *suffix)
{
    struct {
        uint64_t dev, ino;
        int64_t modified, changed;
    } id = {v->dev, v->ino, v->modified, v->changed};
    uint64_t h = UINT64_C(0x9e3779b97f4a7c15), word;
    for (size_t i = 0; i < sizeof id / 8; i++) {
        memcpy(&word, (const char *)&id + i * 8, 8);
        h = (h ^ word) * UINT64_C(0xff51afd7ed558ccd);
        h ^= h >> 32;
    }
    weft__out o = weft__out_over(f->etag, sizeof f->etag);
    weft__out_text(&o, "\"");
    weft__out_hex(&o, v->size);
    weft__out_text(&o, "-");
    weft__out_hex(&o, h);
    weft__out_bytes(&o, suffix, strlen(suffix));
    weft__out_text(&o, "\"");
    f->etag_len = (unsigned)o.len;
}

enum {
    FIELDS_MAX = 512
};

/* The fields of a 200 answer behind Date, with the empty line. */
static size_t put_fields(char *buf, const weft__entry *e, const weft__form *f, bool gzip)
{
    weft__out o = weft__out_over(buf, FIELDS_MAX);
    weft__out_field(&o, WEFT__SPAN("Content-Type"), e->type);
    weft__out_field_u64(&o, WEFT__SPAN("Content-Length"), f->size);
    weft__out_field_date(&o, WEFT__SPAN("Last-Modified"), e->last_modified);
    weft__out_field(&o, WEFT__SPAN("ETag"), (weft__span){f->etag, f->etag_len});
    if (gzip)
        weft__out_text(&o, "Content-Encoding: gzip\r\n");
    else
        weft__out_text(&o, "Accept-Ranges: bytes\r\n");
    if (e->vary)
        weft__out_text(&o, "Vary: Accept-Encoding\r\n");
    weft__out_text(&o, "\r\n");
    return o.overflow ? 0 : o.len;
}

/* Read the last `size` bytes of fd into f behind its fields. Returns 0, -EAGAIN, -ESTALE (the file is not `v` any more,
 * unless nothing is kept of it), ... */
static int read_body(const weft__resolved *x, weft__form *f, const char *fields, int fd, const weft__version *v,
                     uint64_t size)
{
    char *memory = weft__malloc(f->fields_len + size + 1);
    if (memory == NULL)
        return -ENOMEM;
    memcpy(memory, fields, f->fields_len);
    ssize_t n = weft__sys_pread(fd, memory + f->fields_len, size, v->size - size, x->cached);
    struct stat st;
    int err = n < 0 ? (int)n : weft__sys_fstat(fd, &st);
    if (err == 0 && x->keep) {
        weft__version after = weft__version_of(&st);
        if ((uint64_t)n != size || !weft__version_same(v, &after))
            err = -ESTALE;
    }
    if (err < 0) {
        weft__free(memory);
        return err;
    }
    f->memory = f->fields = memory;
    return 0;
}

/* Make a form of the open file fd, version v; takes fd, on failure too. */
static int make_form(weft__resolved *x, weft__entry *e, weft__form *f, int fd, const weft__version *v, bool gzip)
{
    char fields[FIELDS_MAX];
    f->size = v->size;
    make_etag(f, v, "");
    f->fields_len = put_fields(fields, e, f, gzip);
    bool whole = x->keep && v->size <= x->site->file_size, tail = !whole && x->keep && v->size >= WEFT__TAIL;
    uint64_t size = tail ? WEFT__TAIL : whole ? v->size : 0;
    int err = f->fields_len > 0 ? read_body(x, f, fields, fd, v, size) : -ENAMETOOLONG;
    if (err < 0 || whole) {
        weft__sys_file_close(fd);
        return err;
    }
    weft__sys_no_atime(fd); /* which is asked for at each 64 KiB: over 1 % of what sending costs */
    f->fd = fd;
    f->tail = tail ? f->fields + f->fields_len : NULL;
    return 0;
}

/* ---- loading ---- */

/* Open x->path for reading; it has to be a regular file still. Sets *v. Returns the descriptor, -EAGAIN, -ESTALE ... */
static int open_file(weft__resolved *x, weft__version *v)
{
    int fd = weft__sys_open_beneath(x->site->root, x->path, WEFT__FILE_READ, x->cached);
    if (fd < 0)
        return fd;
    struct stat st;
    int err = weft__sys_fstat(fd, &st);
    if (err == 0 && !S_ISREG(st.st_mode))
        err = -ESTALE;
    if (err < 0) {
        weft__sys_file_close(fd);
        return err;
    }
    *v = weft__version_of(&st);
    return fd;
}

/* R2: is the last change so recent that the next one might not show? */
static bool is_fresh(const weft__version *v)
{
    int64_t age = weft__sys_coarse_times().wall - v->changed;
    return age < TICK_NS && age > -TICK_NS;
}

static int load_forms(weft__resolved *x, weft__entry *e)
{
    int fd = open_file(x, &e->version);
    if (fd < 0)
        return fd;
    /* Whoever renames new files into place writes them before: one that is another than at the last try is complete. */
    bool settled = !is_fresh(&e->version) || (x->seen != 0 && x->seen != e->version.ino);
    x->seen = e->version.ino;
    if (x->keep && !settled) {
        weft__sys_file_close(fd);
        return x->cached ? -EAGAIN : -ESTALE;
    }
    int64_t now = weft__sys_coarse_times().wall;
    e->last_modified = (e->version.modified < now ? e->version.modified : now) / 1000000000;
    e->type = weft__mime_type(x->site->mime, (weft__span){x->path, x->path_len});
    bool offer = x->site->gzip && x->gz.ino == 0 && weft__mime_compressible(e->type) &&
                 e->version.size >= WEFT__GZIP_FILE_MIN && e->version.size <= WEFT__GZIP_FILE_MAX;
    e->vary = offer || x->gz.ino != 0;
    int err = make_form(x, e, &e->plain, fd, &e->version, false);
    if (err < 0 || x->gz.ino == 0) {
        e->gzip_state = offer ? WEFT__GZIP_OFFERED : WEFT__GZIP_NONE;
        return err;
    }
    memcpy(x->path + x->path_len, ".gz", 4);
    fd = open_file(x, &e->gz);
    x->path[x->path_len] = 0;
    if (fd < 0)
        return fd;
    err = make_form(x, e, &e->gzip, fd, &e->gz, true);
    if (err == 0)
        e->gzip_state = WEFT__GZIP_READY;
    return err;
}

/* One try. Sets x->entry and 0; or x->status and 0; -EAGAIN: needs the disk; -ESTALE: changed under our hands. */
static int try_resolve(weft__resolved *x)
{
    int err = look_for_file(x);
    if (err < 0 || x->status != 200)
        return err;
    err = look_for_gz(x);
    if (err < 0 || !x->load)
        return err;
    weft__entry *e = weft__entry_new(x->key, x->key_len, x->hash);
    if (e == NULL) {
        x->status = 503;
        return 0;
    }
    err = load_forms(x, e);
    if (err == 0) {
        e->checked = weft__sys_coarse_now();
        x->entry = e;
        return 0;
    }
    weft__entry_release(e);
    if (err == -EAGAIN || err == -ESTALE)
        return err;
    x->status = status_of_error(err);
    return 0;
}

/* With the disk, and with patience for a file that is being written. */
static int resolve_patiently(void *arg)
{
    weft__resolved *x = arg;
    x->cached = false;
    x->seen = 0;
    for (unsigned i = 0;; i++) {
        x->keep = i < TRIES;
        int err = try_resolve(x);
        if (err == 0)
            return 0;
        if (i > TRIES) {
            x->status = 503;
            return 0;
        }
        if (x->keep)
            weft_sleep(weft_in((int64_t)TICK_NS + TICK_NS / 4));
    }
}

int weft__resolve(weft__resolved *x)
{
    x->entry = NULL;
    x->seen = 0;
    x->cached = true;
    x->keep = true;
    int err = try_resolve(x);
    if (err == -EAGAIN || err == -ESTALE)
        err = weft_blocking(resolve_patiently, x);
    return err;
}

/* ---- gzip on the fly ---- */

static int read_whole(const weft__entry *e, char **out)
{
    char *data = weft__malloc(e->version.size + 1);
    if (data == NULL)
        return -ENOMEM;
    struct stat st;
    ssize_t n = weft__sys_pread(e->plain.fd, data, e->version.size, 0, false);
    int err = n < 0 ? (int)n : weft__sys_fstat(e->plain.fd, &st);
    if (err == 0) {
        weft__version after = weft__version_of(&st);
        if (!weft__version_same(&e->version, &after))
            err = -ESTALE;
    }
    if (err < 0) {
        weft__free(data);
        return err;
    }
    *out = data;
    return 0;
}

static int compress_entry(void *arg)
{
    weft__entry *e = arg;
    char *data = NULL, *memory, fields[FIELDS_MAX];
    size_t len;
    int err = 0;
    if (e->plain.fd >= 0)
        err = read_whole(e, &data);
    if (err == 0)
        err = weft__gzip(data != NULL ? data : weft__form_body(&e->plain), e->plain.size, FIELDS_MAX, &memory, &len);
    weft__free(data);
    if (err < 0)
        return err;
    weft__form *f = &e->gzip;
    f->size = len;
    make_etag(f, &e->version, "-gz");
    f->fields_len = put_fields(fields, e, f, true);
    if (f->fields_len == 0 || !weft__cache_grow(e, f->fields_len + len)) {
        weft__free(memory);
        return -ENOMEM;
    }
    f->memory = memory;
    f->fields = memory + FIELDS_MAX - f->fields_len;
    memcpy(f->fields, fields, f->fields_len);
    return 0;
}

void weft__make_gzip(weft__entry *e)
{
    uint32_t state = WEFT__GZIP_OFFERED;
    if (!cas_acquire(&e->gzip_state, &state, WEFT__GZIP_MAKING))
        return;
    int err = e->plain.fd < 0 && e->plain.size <= GZIP_INLINE ? compress_entry(e) : weft_blocking(compress_entry, e);
    store_release(&e->gzip_state, err == 0 ? WEFT__GZIP_READY : WEFT__GZIP_USELESS);
}
