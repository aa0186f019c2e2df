/* site.h - what the files of this folder that serve (not parse) share: the site, a serving thread's part of it, and one
 * request under way.
 *
 * Who calls whom: site.c (open, attach, hooks) -> request.c (the loop over a connection's requests, bodies, limits)
 *                 -> files.c (a path into an answer) -> resolve.c (a path into an entry), gzip.c, listing.c
 *                 all of them -> respond.c (heads, error pages, the access log)
 * Nothing here is shared between threads but the site itself: its options never change after open, its cache and log
 * have their own locks, its counts are atomic. The counts, and what addresses have used of their rate, are shared by
 * the processes of a server, too. */
#ifndef WEFT_HTTP_SITE_H
#define WEFT_HTTP_SITE_H

#include <weft/http.h>

#include "http/cache.h"
#include "http/encode.h"
#include "http/log.h"
#include "http/mime.h"
#include "http/overview.h"
#include "http/parse.h"
#include "http/rate.h"
#include "sys/file.h"

#define WEFT__PATH_MAX      4096  /* decoded path with its NUL; longer names do not exist */
#define WEFT__INDEX_MAX     8     /* index file names */
#define WEFT__RESERVE_MAX   8192  /* bytes that are put together in place in the gathered output */
#define WEFT__COPY_MAX      16384 /* answers up to this size are copied to it, larger ones sent from where they lie */
#define WEFT__GZIP_FILE_MIN 256
#define WEFT__GZIP_FILE_MAX (1 << 20)

typedef struct weft__http_counts {
    uint64_t requests, errors, hits, misses;
    uint64_t classes[WEFT__STATUS_CLASSES]; /* answers by the first digit of their status */
    uint64_t latencies[WEFT__LATENCIES], latency_sum;
    weft__log_shared log;
} weft__http_counts;

struct weft_http {
    int root; /* O_PATH; -1: no files */
    char *root_name;
    bool listing, well_known, gzip, hosts;
    unsigned index_count;
    char *index[WEFT__INDEX_MAX]; /* into index_text */
    char *index_text;
    size_t file_size;                        /* of the largest file kept in memory */
    weft__http_limits limits, secure_limits; /* of plain connections; with TLS */
    int64_t head_timeout, body_timeout;
    uint64_t body_max;
    weft__cache *cache;
    weft__mime *mime; /* NULL: built-in table only */
    weft__log log;
    weft__rate *rate;            /* NULL: no limit */
    struct weft__routes *routes; /* NULL: none; does not change once a server has started */
    char server_line[80];        /* "Server: weft\r\n" or nothing */
    unsigned server_line_len;
    int64_t opened;
    pid_t owner;               /* that opened it; others serve it for that one */
    bool timed;                /* response times are counted */
    weft__http_counts *shared; /* atomic, each of them; of all processes that serve the site */
};

/* A serving thread's part: the server's state. */
typedef struct weft__http_worker {
    weft_http *site;
    weft__front front;
    weft__log_buffer log;
    weft__http_counts counts; /* since the last tick */
    int64_t second;           /* what ok_head shows */
    unsigned ok_head_len;
    char ok_head[160]; /* "HTTP/1.1 200 OK", Server and Date */
} weft__http_worker;

/* One request under way. */
typedef struct weft__request {
    weft_http *site;
    weft__http_worker *worker;
    weft_conn *conn;
    const char *buf; /* its head, valid until the answer is complete */
    weft__http_head head;
    weft__sys_times now;
    int64_t began;    /* exact, if the site is timed */
    int64_t answered; /* the same; 0: when it is done */
    bool close;       /* no request after this one */
    unsigned wait;    /* with 429 */
    int status;       /* as answered */
    uint64_t bytes;   /* of the body */
} weft__request;

static inline weft__span weft__request_field(const weft__request *r, enum weft__http_field id)
{
    return weft__http_value(&r->head, r->buf, id);
}

static inline bool weft__request_is_head(const weft__request *r)
{
    return r->head.method == WEFT__HTTP_HEAD;
}

/* ---- request.c ---- */

enum {
    WEFT__GO_ON = 3,   /* beside WEFT_CONN_CLOSE, _IDLE and _LINGER: look at the next request */
    WEFT__NO_ROUTE = 4 /* of weft__route_serve: it is not one of the site's routes */
};

/* The server's handler; arg is the site. */
weft_conn_handler weft__http_handle;

/* ---- files.c: answers to GET and HEAD. 0, or what sending gave ---- */

int weft__answer_file(weft__request *r);

/* ---- resolve.c: from a decoded path to an entry ---- */

typedef struct weft__resolved {
    weft_http *site;
    const char *key; /* decoded path; a directory's ends with '/' or is empty */
    size_t key_len;
    uint64_t hash;
    bool cached;   /* in: use only what needs no disk, else -EAGAIN */
    bool load;     /* in: make an entry; else only look at the versions */
    bool keep;     /* out: the entry may go into the cache */
    int status;    /* out: 200 a file; 301 add a slash; 403, 404, 500, 503; WEFT__LIST_DIRECTORY */
    uint64_t seen; /* inode of the last try */
    weft__version version, gz;
    weft__entry *entry; /* out, with load and 200: one reference */
    size_t path_len;
    char path[WEFT__PATH_MAX + 4]; /* of the file that answers, room for ".gz" */
} weft__resolved;

enum {
    WEFT__LIST_DIRECTORY = 1
};

/* Do it, off the scheduler if it needs the disk. Returns 0 or what weft_blocking gave. */
int weft__resolve(weft__resolved *x);

/* Make the gzip form of e if it is offered and nobody else does; may wait. */
void weft__make_gzip(weft__entry *e);

/* ---- listing.c ---- */

/* The HTML page for the directory `path` (decoded, "" or ending with '/'); the title leaves out its first `prefix`
 * bytes. Sets *page (weft__malloc'd) and *len. May take long: for weft_blocking. 0 or -errno. */
int weft__list_directory(const weft_http *site, const char *path, size_t prefix, char **page, size_t *len);

/* ---- respond.c ---- */

/* Begin an answer's head with its status line, Server, Date and Connection. */
void weft__begin_head(weft__request *r, weft__out *o, int status);

/* Gather the head in `o` (after adding the empty line) and a body of which nothing is sent for HEAD. */
int weft__send_head(weft__request *r, weft__out *o, const char *body, size_t len);

/* A small page that says `status`, with the fields that it asks for. A 404 is the site's own /404.html if there is one.
 */
int weft__answer_error(weft__request *r, int status);

/* The same with header fields of a route's handler. Allow, if need be, is among them. */
int weft__answer_error_with(weft__request *r, int status, weft__span fields);

/* 301 to the path with a slash at its end. */
int weft__answer_slash(weft__request *r, const char *path, size_t len);

/* OPTIONS. */
int weft__answer_options(weft__request *r);

/* The worker's "HTTP/1.1 200 OK" with Server and Date of this second. */
weft__span weft__ok_head(weft__http_worker *w, int64_t wall);

/* "Connection: ..." as this answer needs it, possibly nothing. */
weft__span weft__connection_line(const weft__request *r);

/* Its connection is wanted elsewhere, or soon will not be there. */
static inline bool weft__request_is_last(const weft__request *r)
{
    return weft_conn_stopping(r->conn) || weft_conn_crowded(r->conn);
}

/* The head has been sent of an answer that goes on for as long as both sides like: its response time ends here. */
void weft__request_endless(weft__request *r);

/* Count and log it. */
void weft__request_done(weft__request *r);

/* The hooks for clients that are turned away, or speak HTTP to a port of HTTPS. */
size_t weft__refuse_text(char *text, size_t size, void *site);
size_t weft__plain_text(char *text, size_t size, void *site);

#endif
