/* weft/http.h - a directory served over HTTP/1.1, on a weft_server; weft/route.h adds handlers of your own.
 *
 *     weft_http *site;
 *     weft_server *server;
 *     weft_server_options options = {.port = 8000};
 *     int err = weft_http_open(&site, &(weft_http_options){.root = "public"});
 *     if (err == 0) {
 *         weft_http_attach(site, &options);
 *         err = weft_server_open(&server, &options);
 *         if (err == 0) {
 *             err = weft_server_run(server, WEFT_FOREVER);
 *             weft_server_close(server);
 *         }
 *         weft_http_close(site);
 *     }
 *
 * What is served: regular files below the root, read-only. GET and HEAD with keep-alive and pipelining, ranges,
 * conditional requests, `.gz` files beside the originals and gzip on the fly, index files, listings if asked for. What
 * is refused: everything that leads out of the root (also by a link), names that begin with a dot, whatever is not a
 * regular file or a directory, and every request whose framing two readers could understand differently.
 *
 * Small files are answered from a cache that is looked over once a second: a replaced file is seen within that time,
 * and an answer is never made of two versions of it. Large ones go from the page cache to the socket (sendfile). */
#ifndef WEFT_HTTP_H
#define WEFT_HTTP_H

#include <weft/base.h>
#include <weft/server.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weft_http weft_http;

/* Every field's zero is its default. Strings are copied. Times are in nanoseconds, sizes in bytes. */
typedef struct weft_http_options {
    const char *root;  /* the directory; required. It is opened once: renaming it later changes nothing */
    int no_files;      /* 1: there is no directory, only routes (weft/route.h) */
    const char *index; /* file names that answer for their directory, best first, separated by commas;
                          NULL = "index.html", "" = none */
    int listing;       /* 1: a directory without an index file is listed; 0: it is 403 */
    int hosts;         /* 1: virtual hosts: the root holds a directory for each host name, in lower case, without port
                          and without a dot at its end (an IPv6 address: in brackets, as RFC 5952 writes it), which is
                          the root of requests to it; those to a name without one are in the directory "default" */
    int well_known;    /* 1: serve /.well-known/ although its name begins with a dot */

    int64_t cache_size;      /* bytes for files, compressed forms and heads; 0 = 32 MiB, negative = no cache */
    int64_t cache_file_size; /* files up to this size are kept in it; 0 = 64 KiB, at most 16 MiB */
    unsigned cache_files;    /* descriptors of larger files that may be kept open; 0 = 256; at most an eighth of
                                the limit on descriptors, which is raised towards that */
    int no_gzip;             /* 1: neither compress text on the fly nor look for .gz files */

    unsigned head_max;    /* bytes of a request's head, 431 beyond; 0 = 16 KiB, at most 32 KiB */
    unsigned fields_max;  /* its field lines, 431 beyond; 0 = 100 */
    unsigned target_max;  /* bytes of its target, 414 beyond; 0 = 8 KiB */
    int64_t head_timeout; /* from a request's first byte to the end of its head, 408 beyond; 0 = 10 s */
    int64_t body_timeout; /* for a request's body, which is read and dropped, 408 beyond; 0 = 30 s */
    int64_t body_max;     /* bytes of such a body, 413 beyond; 0 = 1 MiB, negative = none */

    double rate_limit;   /* requests a second from one address (IPv6: from one /64), of all processes that serve
                          * together; 429 beyond; 0 = no limit. Not over Unix sockets, where clients have none */
    unsigned rate_burst; /* so many at once after a rest; 0 = those of one second, at least 1 */

    const char *log;          /* access log, combined format: a file to append to, "-" = standard output; NULL = none */
    const char *mime_types;   /* table of media types; NULL = "/etc/mime.types" if it is there */
    const char *server_field; /* value of the Server field; NULL = "weft", "" = do not send it */
} weft_http_options;

/* Open the root and make what serving it needs.
 * Returns 0 and *site; -EINVAL (no root, a value out of range), -ENOENT, -ENOTDIR, -EACCES (the root), -ENOSYS (this
 * kernel has no openat2, so nothing could be confined: Linux 5.6 or later is needed), -EMFILE, -ENOMEM; for the log
 * file or a table that was named: what opening it gave, and weft_http_open_error tells which. *site is untouched on
 * failure. Call from: thread, coroutine (it reads files: at start-up). Allocates. */
WEFT_API int weft_http_open(weft_http **site, const weft_http_options *options);

/* Which option the calling thread's last failed weft_http_open failed at: "root", "log", "mime_types", "index",
 * "cache_file_size", ... or "" (memory). A static text. */
WEFT_API const char *weft_http_open_error(void);

/* Make a server serve the site: sets handler, arg, on_refuse, on_plain, the state hooks and, where it is zero,
 * input_max. The site has to outlive the server; it may be attached to several. on_open and on_close stay yours; their
 * arg is the site. Call from anywhere; allocates nothing. */
WEFT_API void weft_http_attach(weft_http *site, weft_server_options *options);

/* Open the log file again by its name, after a rotation has renamed it; lines from now on go there. Returns 0, -ENOENT
 * when there is no log file, or what opening gave (then the old one stays). Call from: thread, coroutine; not a signal
 * handler. Any number of callers at once. */
WEFT_API int weft_http_reopen_log(weft_http *site);

/* Open the root anew by its name, which may lead elsewhere by now (a link that was turned to the next release), and the
 * log file. Requests under way end with the old one; what is cached is looked over. Returns 0, or what opening the one
 * or the other gave first (then the old one stays). Contexts as weft_http_reopen_log. */
WEFT_API int weft_http_reload(weft_http *site);

/* For weft_server_tell: a server that the site is attached to does the same in all its processes. */
enum {
    WEFT_HTTP_RELOAD = 1,    /* weft_http_reload */
    WEFT_HTTP_REOPEN_LOG = 2 /* weft_http_reopen_log */
};

/* A racy picture of the counts since the site was opened, over all servers that it is attached to in this process and
 * in those forked from the one that opened it; a serving thread adds its own about once a second. What the cache holds
 * is of this process. */
typedef struct weft_http_stats {
    uint64_t requests;     /* answered, errors included */
    uint64_t errors;       /* of these, with a status of 400 or more */
    uint64_t cache_hits;   /* answered from the cache */
    uint64_t cache_misses; /* looked up on disk */
    uint64_t cache_bytes;  /* held by the cache now */
    uint64_t cache_files;  /* descriptors held by the cache now */
    uint64_t log_dropped;  /* lines lost because the log could not be written as fast */
} weft_http_stats;
WEFT_API void weft_http_get_stats(const weft_http *site, weft_http_stats *stats);

/* Serve a page about the running server at `path` ("/status", say): connections, requests a second, response times,
 * threads, who waits for what; it updates itself. Its data are at the path with ".json" behind it, and for Prometheus
 * at /metrics. All three answer clients of this machine only, also over a Unix socket (404 to others). Where several
 * processes serve, counts are of all of them; the cache, memory, threads and who waits are of the one that answers,
 * whose pid is told. From then on each request's time is taken, which costs two looks at the clock: to the end of its
 * answer, or to the end of the head of an event stream or WebSocket. -EINVAL for a path that is none, or that a URL has
 * to escape; else as weft_http_route: also -EEXIST. */
WEFT_API int weft_http_add_status(weft_http *site, const char *path);

/* Free everything. After weft_server_close of every server it was attached to. Takes NULL. */
WEFT_API void weft_http_close(weft_http *site);

#ifdef __cplusplus
}
#endif
#endif
