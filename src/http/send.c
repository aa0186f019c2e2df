/* send.c - an entry onto the wire: whole, in parts, or only what is said about it.
 *
 * S1 lengths hold: what Content-Length promised is sent to the byte, or the connection is closed before; never padded.
 * S2 one version:  a body from memory is one version as it is. One from a descriptor is looked at before the head (by
 *    weft__find_file), its last bytes are known then, and it is looked at again before they are sent, last: if it was
 *    written to meanwhile (other than behind its end), they are not, so the client sees a broken transfer, no mixture.
 * S3 no disk:      before a piece is handed to sendfile its last page is asked for; if it is not in memory, a helper
 *    thread reads the piece first, and the serving thread does not stand still for a disk. What was sent whole within
 *    the last second is in memory.
 * Small answers are copied to the gathered output, so that answers to pipelined requests leave together; larger ones
 * are sent from where they lie. The worker's ready-made head may change whenever this waits, so it is copied out first.
 */
#include "http/send.h"

#include "sys/sys.h"

#include <weft/co.h>

#include <errno.h>
#include <string.h>

enum {
    HEAD_MAX = 1024,
    PIECE = 1 << 20,     /* bytes of a file between two looks */
    UNCHECKED = 1 << 16, /* up to here one look is enough */
    WARM_NS = 1000000000,
    PART_MAX = 384 /* bytes of a part's head */
};

/* ---- bodies from a file ---- */

typedef struct warming {
    int fd;
    uint64_t at, size;
} warming;

/* Read a piece for its effect on the page cache. */
static int warm(void *arg)
{
    enum {
        STEP = 1 << 16
    };
    warming *w = arg;
    char *buf = weft__malloc(STEP);
    if (buf == NULL)
        return -ENOMEM;
    ssize_t n = 0;
    for (uint64_t done = 0; done < w->size && n >= 0; done += STEP) {
        uint64_t left = w->size - done;
        n = weft__sys_pread(w->fd, buf, left < STEP ? left : STEP, w->at + done, false);
    }
    weft__free(buf);
    return n < 0 ? (int)n : 0;
}

/* Read the last `len` bytes of a piece into `last`. If they are not in memory, the whole piece is brought there. */
static int look_at_last(int fd, uint64_t at, uint64_t size, char *last, size_t len)
{
    uint64_t from = at + size - len;
    ssize_t n = weft__sys_pread(fd, last, len, from, true);
    if (n == -EAGAIN || (n >= 0 && (size_t)n < len)) {
        warming w = {fd, at, size};
        int err = weft_blocking(warm, &w);
        if (err < 0)
            return err;
        n = weft__sys_pread(fd, last, len, from, false);
    }
    return n < 0 ? (int)n : (size_t)n < len ? -ENODATA : 0;
}

/* S2: is what fd refers to still the version v? Or v without a name, because another file was renamed to it: that moves
 * the ctime alone. Or v with something appended: then the bytes at `at` are what they were; when it was written anew,
 * they are not. */
static int check_version(int fd, const weft__version *v, const char *last, uint64_t at)
{
    struct stat st;
    int err = weft__sys_fstat(fd, &st);
    if (err < 0)
        return err;
    weft__version now = weft__version_of(&st);
    if (weft__version_same(v, &now) || (st.st_nlink == 0 && now.size == v->size && now.modified == v->modified))
        return 0;
    char after[WEFT__TAIL];
    if (now.size <= v->size || weft__sys_pread(fd, after, WEFT__TAIL, at, true) != WEFT__TAIL)
        return -ESTALE;
    return memcmp(after, last, WEFT__TAIL) == 0 ? 0 : -ESTALE;
}

/* The version that a form's descriptor has to have. */
static const weft__version *version_of(const weft__entry *e, const weft__form *f)
{
    return f == &e->gzip && e->gz.ino != 0 ? &e->gz : &e->version;
}

static bool is_warm(const int64_t *at)
{
    return weft__sys_coarse_now() - load_relaxed(at) < WARM_NS;
}

static int send_file(weft__request *r, weft__entry *e, const weft__form *f, uint64_t at, uint64_t size)
{
    char buf[WEFT__TAIL], byte;
    uint64_t end = at + size, piece = size < PIECE ? size : PIECE;
    int err = 0;
    if (size <= UNCHECKED) {
        err = look_at_last(f->fd, at, size, &byte, 1);
        return err < 0 ? err : weft_conn_sendfile(r->conn, f->fd, at, size, 0, WEFT_FOREVER);
    }
    int64_t *warm_at = &e->warm[f == &e->gzip];
    /* The end is read before the beginning is sent: what goes out last is of the same version as what goes first. */
    const char *last = f->tail != NULL && end == f->size ? f->tail : buf;
    if (last == buf || !is_warm(warm_at)) {
        if ((err = look_at_last(f->fd, end - piece, piece, buf, WEFT__TAIL)) < 0)
            return err;
        if (memcmp(last, buf, WEFT__TAIL) != 0) { /* written to in a way that no time stamp shows */
            weft__cache_drop(r->site->cache, e);
            last = buf;
        }
    }
    for (uint64_t next = at; next < end - WEFT__TAIL; next += piece) {
        piece = end - WEFT__TAIL - next < PIECE ? end - WEFT__TAIL - next : PIECE;
        if (size > PIECE && !is_warm(warm_at) && (err = look_at_last(f->fd, next, piece, &byte, 1)) < 0)
            return err;
        if ((err = weft_conn_sendfile(r->conn, f->fd, next, piece, WEFT_CONN_MORE, WEFT_FOREVER)) < 0)
            return err;
    }
    if (size == f->size)
        store_relaxed(warm_at, r->now.monotonic);
    err = check_version(f->fd, version_of(e, f), last, end - WEFT__TAIL);
    return err < 0 ? err : weft_conn_write(r->conn, last, WEFT__TAIL);
}

static int send_body(weft__request *r, weft__entry *e, const weft__form *f, uint64_t at, uint64_t size)
{
    int err;
    if (weft__request_is_head(r) || size == 0)
        return 0;
    if (f->fd >= 0) {
        err = send_file(r, e, f, at, size);
    } else if (size <= WEFT__COPY_MAX) {
        err = weft_conn_write(r->conn, weft__form_body(f) + at, size);
    } else {
        struct iovec piece = {(char *)(uintptr_t)weft__form_body(f) + at, size};
        err = weft_conn_send(r->conn, &piece, 1, 0, WEFT_FOREVER);
    }
    if (err == 0)
        r->bytes += size;
    return err;
}

/* ---- whole ---- */

static char *append(char *to, weft__span s)
{
    memcpy(to, s.data, s.len);
    return to + s.len;
}

int weft__send_whole(weft__request *r, weft__entry *e, const weft__form *f)
{
    r->status = 200;
    weft__span ok = weft__ok_head(r->worker, r->now.wall), connection = weft__connection_line(r);
    bool with_body = !weft__request_is_head(r) && f->fd < 0;
    size_t head_len = ok.len + connection.len, rest_len = f->fields_len + (with_body ? f->size : 0);
    if (with_body)
        r->bytes = f->size;
    if (likely(head_len + rest_len <= WEFT__RESERVE_MAX)) {
        char *to = weft_conn_reserve(r->conn, head_len + rest_len);
        if (to == NULL)
            return -EPIPE;
        to = append(to, ok);
        if (connection.len > 0)
            to = append(to, connection);
        memcpy(to, f->fields, rest_len);
        weft_conn_commit(r->conn, head_len + rest_len);
    } else {
        char head[sizeof r->worker->ok_head + 64];
        append(head, ok);
        if (connection.len > 0)
            append(head + ok.len, connection);
        struct iovec pieces[] = {{head, head_len}, {f->fields, rest_len}};
        int err;
        if (head_len + rest_len > WEFT__COPY_MAX)
            err = weft_conn_send(r->conn, pieces, 2, 0, WEFT_FOREVER);
        else if ((err = weft_conn_write(r->conn, head, head_len)) == 0)
            err = weft_conn_write(r->conn, f->fields, rest_len);
        if (err < 0)
            return err;
    }
    return f->fd >= 0 ? send_body(r, e, f, 0, f->size) : 0;
}

/* ---- parts ---- */

/* What is said of the representation in 206: all that 200 says but for its length and ranges. */
static void put_fields(weft__out *o, const weft__entry *e, const weft__form *f)
{
    weft__out_field_date(o, WEFT__SPAN("Last-Modified"), e->last_modified);
    weft__out_field(o, WEFT__SPAN("ETag"), (weft__span){f->etag, f->etag_len});
    weft__out_text(o, "Accept-Ranges: bytes\r\n");
    if (e->vary)
        weft__out_text(o, "Vary: Accept-Encoding\r\n");
}

static int send_one_range(weft__request *r, weft__entry *e, const weft__form *f, const weft__range *g)
{
    char head[HEAD_MAX];
    weft__out o = weft__out_over(head, sizeof head);
    weft__begin_head(r, &o, 206);
    weft__out_field(&o, WEFT__SPAN("Content-Type"), e->type);
    weft__out_field_u64(&o, WEFT__SPAN("Content-Length"), g->len);
    weft__out_content_range(&o, g->at, g->len, f->size);
    put_fields(&o, e, f);
    int err = weft__send_head(r, &o, NULL, 0);
    return err < 0 ? err : send_body(r, e, f, g->at, g->len);
}

/* A boundary that no file can have been written to contain. */
static void make_boundary(char boundary[16])
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
    unsigned char random[16];
    weft__sys_random(random, sizeof random);
    for (unsigned i = 0; i < 16; i++)
        boundary[i] = letters[random[i] & 31];
}

static int send_multipart(weft__request *r, weft__entry *e, const weft__form *f, const weft__ranges *ranges)
{
    char boundary[16], parts[WEFT__RANGE_MAX][PART_MAX], head[HEAD_MAX];
    weft__span b = {boundary, sizeof boundary};
    size_t part_len[WEFT__RANGE_MAX];
    uint64_t total = 2 + 2 + sizeof boundary + 2 + 2;
    make_boundary(boundary);
    for (unsigned i = 0; i < ranges->count; i++) {
        const weft__range *g = &ranges->range[i];
        weft__out o = weft__out_over(parts[i], PART_MAX);
        weft__out_text(&o, "\r\n--");
        weft__out_span(&o, b);
        weft__out_text(&o, "\r\n");
        weft__out_field(&o, WEFT__SPAN("Content-Type"), e->type);
        weft__out_content_range(&o, g->at, g->len, f->size);
        weft__out_text(&o, "\r\n");
        if (o.overflow) /* a media type of 200 bytes: leave it out of the parts, ignore Range */
            return weft__send_whole(r, e, f);
        part_len[i] = o.len;
        total += o.len + g->len;
    }
    weft__out o = weft__out_over(head, sizeof head);
    weft__begin_head(r, &o, 206);
    weft__out_text(&o, "Content-Type: multipart/byteranges; boundary=");
    weft__out_span(&o, b);
    weft__out_text(&o, "\r\n");
    weft__out_field_u64(&o, WEFT__SPAN("Content-Length"), total);
    put_fields(&o, e, f);
    int err = weft__send_head(r, &o, NULL, 0);
    for (unsigned i = 0; i < ranges->count && err == 0 && !weft__request_is_head(r); i++) {
        err = weft_conn_write(r->conn, parts[i], part_len[i]);
        if (err == 0)
            err = send_body(r, e, f, ranges->range[i].at, ranges->range[i].len);
    }
    if (err < 0 || weft__request_is_head(r))
        return err;
    o = weft__out_over(head, sizeof head);
    weft__out_text(&o, "\r\n--");
    weft__out_span(&o, b);
    weft__out_text(&o, "--\r\n");
    r->bytes = total;
    return weft_conn_write(r->conn, head, o.len);
}

int weft__send_ranges(weft__request *r, weft__entry *e, const weft__form *f, const weft__ranges *ranges)
{
    return ranges->count == 1 ? send_one_range(r, e, f, &ranges->range[0]) : send_multipart(r, e, f, ranges);
}

int weft__send_no_range(weft__request *r, uint64_t size)
{
    char head[HEAD_MAX];
    weft__out o = weft__out_over(head, sizeof head);
    weft__begin_head(r, &o, 416);
    weft__out_content_range(&o, 0, 0, size);
    weft__out_text(&o, "Content-Length: 0\r\n");
    return weft__send_head(r, &o, NULL, 0);
}

/* ---- without a body, or with another status ---- */

int weft__send_not_modified(weft__request *r, const weft__entry *e, const weft__form *f)
{
    char head[HEAD_MAX];
    weft__out o = weft__out_over(head, sizeof head);
    weft__begin_head(r, &o, 304);
    weft__out_field(&o, WEFT__SPAN("ETag"), (weft__span){f->etag, f->etag_len});
    if (e->vary)
        weft__out_text(&o, "Vary: Accept-Encoding\r\n");
    return weft__send_head(r, &o, NULL, 0);
}

int weft__send_as(weft__request *r, int status, weft__entry *e)
{
    char head[HEAD_MAX];
    weft__out o = weft__out_over(head, sizeof head);
    weft__begin_head(r, &o, status);
    weft__out_field(&o, WEFT__SPAN("Content-Type"), e->type);
    weft__out_field_u64(&o, WEFT__SPAN("Content-Length"), e->plain.size);
    int err = weft__send_head(r, &o, NULL, 0);
    return err < 0 ? err : send_body(r, e, &e->plain, 0, e->plain.size);
}

int weft__send_page(weft__request *r, int status, const char *page, size_t len)
{
    char head[HEAD_MAX];
    weft__out o = weft__out_over(head, sizeof head);
    weft__begin_head(r, &o, status);
    weft__out_text(&o, "Content-Type: text/html; charset=utf-8\r\n");
    weft__out_field_u64(&o, WEFT__SPAN("Content-Length"), len);
    int err = weft__send_head(r, &o, NULL, 0);
    if (err < 0 || weft__request_is_head(r) || len == 0)
        return err;
    struct iovec piece = {(char *)(uintptr_t)page, len};
    r->bytes = len;
    return weft_conn_send(r->conn, &piece, 1, 0, WEFT_FOREVER);
}
