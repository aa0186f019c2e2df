/* log.h - the access log, in the combined format: a buffer a serving thread, written in batches off the scheduler.
 *
 * L1 never in the way: a line is formatted into memory. Full buffers are written by a helper thread while the handler
 *                      waits; when the other buffer is full as well, lines are dropped and counted, and the count is a
 *                      line of the log.
 * L2 whole lines:      a batch ends with a line, and goes out as one write to a file opened for appending (to a pipe as
 *                      writes of whole lines that it takes in one piece); so threads and processes that share it do
 *                      not tear each other's lines. What a full disk has torn is ended before the next line.
 * L3 prompt:           a tick about a second after the last line writes what there is; so does closing.
 * A log that takes nothing (a pipe nobody reads) is waited for a second once, and then only tried until it takes again.
 * Pinned by tests/http/log_test.c and tests/web/stop_test.py. */
#ifndef WEFT_HTTP_LOG_H
#define WEFT_HTTP_LOG_H

#include <weft/lock.h>

#include "http/slice.h"

#include <stdbool.h>
#include <sys/types.h>

#define WEFT__LOG_BATCH    (32 << 10)
#define WEFT__LOG_LINE_MAX (WEFT__LOG_BATCH / 2) /* a longer line is cut in its last fields */

/* What all processes that write to one log know of it, in memory that they share; zero at first. */
typedef struct weft__log_shared {
    uint64_t dropped; /* atomic: lines that were lost */
    uint32_t torn;    /* atomic: it ends with a part of a line, as the disk was full */
} weft__log_shared;

/* Where the lines go; one for the site. */
typedef struct weft__log {
    int fd;      /* under `lock`; -1: no log */
    bool own;    /* fd is ours to close */
    bool stream; /* not a file: may be slow */
    bool stuck;  /* under `lock`: it took nothing for a second */
    char *name;  /* NULL: cannot be opened again */
    weft_lock lock;
    weft__log_shared *shared;
} weft__log;

/* A serving thread's part. */
typedef struct weft__log_buffer {
    weft__log *log;
    char *fill, *spare; /* spare NULL while it is being written */
    size_t len;         /* bytes in fill */
    uint64_t dropped;   /* lines since the last that was kept */
    int64_t second;     /* what `date` shows */
    char date[32];
} weft__log_buffer;

/* What a line tells. Spans may be empty: "-". */
typedef struct weft__log_line {
    weft__span peer, method, target, referer, agent;
    int minor; /* of the HTTP version; negative: not known, so the request line is "-" */
    int status;
    uint64_t bytes; /* of the body, as sent */
    int64_t second; /* since 1970 */
} weft__log_line;

/* name: a file, "-" for standard output, NULL for no log. 0 or -errno. */
int weft__log_open(weft__log *log, const char *name, weft__log_shared *shared);
void weft__log_close(weft__log *log);
int weft__log_reopen(weft__log *log);

/* -ENOMEM leaves the buffer unusable, but weft__log_buffer_close is right in any case. */
int weft__log_buffer_open(weft__log_buffer *b, weft__log *log);
void weft__log_buffer_close(weft__log_buffer *b); /* writes what there is; may wait */

/* Add a line. May wait for the log when a buffer is full. */
void weft__log_add(weft__log_buffer *b, const weft__log_line *line);

/* Write what there is. May wait. */
void weft__log_flush(weft__log_buffer *b);

#endif
