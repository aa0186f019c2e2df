/* log.c - see log.h. The two buffers change places when one is handed to a helper thread; while that one is out,
 * `spare` is NULL, and a second coroutine that fills its buffer drops lines instead of waiting in a queue for the disk.
 */
#include "http/log.h"

#include <weft/co.h>

#include "http/date.h"
#include "http/encode.h"
#include "sys/file.h"
#include "sys/sys.h"

#include <errno.h>
#include <string.h>

#define WAIT_NS WEFT_SECOND

int weft__log_open(weft__log *log, const char *name, weft__log_shared *shared)
{
    *log = (weft__log){.fd = -1, .shared = shared};
    if (name == NULL)
        return 0;
    if (strcmp(name, "-") == 0) {
        log->fd = 1;
    } else {
        size_t size = strlen(name) + 1;
        log->name = weft__malloc(size);
        if (log->name == NULL)
            return -ENOMEM;
        memcpy(log->name, name, size);
        log->fd = weft__sys_open(name, WEFT__FILE_APPEND);
        if (log->fd < 0) {
            int err = log->fd;
            weft__free(log->name);
            log->name = NULL;
            log->fd = -1;
            return err;
        }
        log->own = true;
    }
    struct stat st;
    log->stream = weft__sys_fstat(log->fd, &st) < 0 || !S_ISREG(st.st_mode);
    return 0;
}

void weft__log_close(weft__log *log)
{
    if (log->own)
        weft__sys_file_close(log->fd);
    weft__free(log->name);
    *log = (weft__log){.fd = -1};
}

int weft__log_reopen(weft__log *log)
{
    if (log->name == NULL)
        return -ENOENT;
    int fd = weft__sys_open(log->name, WEFT__FILE_APPEND);
    if (fd < 0)
        return fd;
    weft_lock_acquire(&log->lock);
    int old = log->fd;
    log->fd = fd;
    weft_lock_release(&log->lock);
    weft__sys_file_close(old);
    return 0;
}

/* ---- writing ---- */

typedef struct batch {
    weft__log *log;
    const char *data;
    size_t len, done;
} batch;

/* Runs where blocking does no harm. The lock keeps batches whole and the descriptor open. */
static int write_batch(void *arg)
{
    batch *b = arg;
    weft__log *log = b->log;
    int err;
    weft_lock_acquire(&log->lock);
    if (log->stream) {
        err = weft__sys_write_stream(log->fd, b->data, b->len, log->stuck ? 0 : WAIT_NS, &b->done);
        log->stuck = err == -ETIMEDOUT;
    } else {
        if (load_relaxed(&log->shared->torn) != 0 && weft__sys_write_all(log->fd, "\n", 1, NULL) == 0)
            store_relaxed(&log->shared->torn, 0);
        err = weft__sys_write_all(log->fd, b->data, b->len, &b->done);
        if (b->done > 0 && b->data[b->done - 1] != '\n')
            store_relaxed(&log->shared->torn, 1);
    }
    weft_lock_release(&log->lock);
    return err;
}

static uint64_t lines_in(const char *data, size_t len)
{
    uint64_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += data[i] == '\n';
    return n;
}

void weft__log_flush(weft__log_buffer *b)
{
    if (b->len == 0 || b->spare == NULL)
        return;
    batch job = {b->log, b->fill, b->len, 0};
    char *out = b->fill;
    b->fill = b->spare;
    b->spare = NULL;
    b->len = 0;
    if (weft_blocking(write_batch, &job) < 0)
        add_relaxed(&b->log->shared->dropped, lines_in(out, job.len) - lines_in(out, job.done));
    b->spare = out;
}

/* ---- lines ---- */

int weft__log_buffer_open(weft__log_buffer *b, weft__log *log)
{
    *b = (weft__log_buffer){.log = log, .second = INT64_MIN};
    if (log->fd < 0)
        return 0;
    b->fill = weft__malloc(WEFT__LOG_BATCH);
    b->spare = weft__malloc(WEFT__LOG_BATCH);
    return b->fill != NULL && b->spare != NULL ? 0 : -ENOMEM;
}

void weft__log_buffer_close(weft__log_buffer *b)
{
    weft__log_flush(b);
    weft__free(b->fill);
    weft__free(b->spare);
    *b = (weft__log_buffer){0};
}

/* Whether what was written from `before` on fitted; if not, it is left out. */
static bool fitted(weft__out *o, size_t before)
{
    if (!o->overflow)
        return true;
    o->overflow = false;
    o->len = before;
    weft__out_text(o, " \"-\"");
    return false;
}

/* A quoted field; one that does not fit is left out. Whether it fitted. */
static bool put_quoted(weft__out *o, weft__span text)
{
    size_t before = o->len;
    weft__out_text(o, " \"");
    weft__out_log(o, text);
    weft__out_text(o, "\"");
    return fitted(o, before);
}

/* The same. */
static bool put_request(weft__out *o, const weft__log_line *line)
{
    if (line->minor < 0 || line->method.len == 0) {
        weft__out_text(o, " \"-\"");
        return true;
    }
    size_t before = o->len;
    weft__out_text(o, " \"");
    weft__out_log(o, line->method);
    weft__out_text(o, " ");
    weft__out_log(o, line->target);
    weft__out_span(o, line->minor == 0 ? WEFT__SPAN(" HTTP/1.0\"") : WEFT__SPAN(" HTTP/1.1\""));
    return fitted(o, before);
}

/* One word: a client of a Unix socket has given itself a name of any bytes. */
static void put_peer(weft__out *o, weft__span peer)
{
    for (size_t at = 0, n; at < peer.len; at += n + 1) {
        const char *first = peer.data + at, *space = memchr(first, ' ', peer.len - at);
        n = space != NULL ? (size_t)(space - first) : peer.len - at;
        if (n > 0)
            weft__out_log(o, (weft__span){first, n});
        if (space != NULL)
            weft__out_text(o, "\\x20");
    }
}

/* Whether all of it fitted. */
static bool put_line(weft__log_buffer *b, weft__out *o, const weft__log_line *line)
{
    if (b->second != line->second) {
        weft__date_format_log(line->second, b->date);
        b->second = line->second;
    }
    put_peer(o, line->peer);
    weft__out_text(o, " - - [");
    weft__out_bytes(o, b->date, WEFT__DATE_LOG_LEN);
    weft__out_text(o, "]");
    bool whole = put_request(o, line);
    weft__out_text(o, " ");
    weft__out_u64(o, (uint64_t)line->status);
    weft__out_text(o, " ");
    if (line->bytes > 0)
        weft__out_u64(o, line->bytes);
    else
        weft__out_text(o, "-");
    whole &= put_quoted(o, line->referer);
    whole &= put_quoted(o, line->agent);
    weft__out_text(o, "\n");
    return whole;
}

/* Append to fill; false if it does not fit. Only a line that is too long for any room loses fields: what is missing
 * because the buffer is nearly full would be taken for what the client sent. */
static bool append(weft__log_buffer *b, const weft__log_line *line)
{
    size_t room = WEFT__LOG_BATCH - b->len;
    weft__out o = weft__out_over(b->fill + b->len, room);
    if (b->dropped > 0) {
        weft__out_text(&o, "# lines dropped: ");
        weft__out_u64(&o, b->dropped);
        weft__out_text(&o, "\n");
    }
    bool whole = put_line(b, &o, line);
    if (o.overflow || (!whole && room < WEFT__LOG_LINE_MAX))
        return false;
    b->len += o.len;
    b->dropped = 0;
    return true;
}

void weft__log_add(weft__log_buffer *b, const weft__log_line *line)
{
    if (b->fill == NULL)
        return;
    if (WEFT__LOG_BATCH - b->len < WEFT__LOG_LINE_MAX)
        weft__log_flush(b);
    if (!append(b, line)) {
        b->dropped++;
        add_relaxed(&b->log->shared->dropped, 1);
    }
}
