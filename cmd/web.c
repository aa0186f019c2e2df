/* web.c - `weft web DIR`: a directory served over HTTP.
 *
 * The main thread only waits for signals; the server runs on threads of its own. With --processes the sockets are
 * opened first and inherited by every worker, so a replaced worker loses no client that waits to be accepted. */
#include "cmd.h"

#include <weft/co.h>
#include <weft/http.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define COMMAND "weft web"
#define POLLERS "auto epoll epoll-et uring poll select"
#define MODELS  "coroutine thread iterative process prefork pool select poll epoll epoll-et uring"

typedef struct settings {
    const char *bind, *poller, *model, *log, *index, *mime_types, *status;
    unsigned port, threads, processes, max_connections;
    int listing, hosts, no_gzip, well_known, help;
    unsigned rate_limit;
    int64_t cache_size, cache_file_size, idle_timeout, head_timeout, write_timeout, grace;
} settings;

static settings set = {
    .bind = "127.0.0.1",
    .poller = "auto",
    .model = "coroutine",
    .port = 8000,
    .cache_size = 32 << 20,
    .cache_file_size = 64 << 10,
    .grace = 10 * WEFT_SECOND,
};

static const cmd_option options[] = {
    {"bind", CMD_TEXT, &set.bind, NULL, 0, 0, "ADDRESS",
     "address to listen on (default 127.0.0.1: this machine only;\n0.0.0.0 or :: is every interface)"},
    {"port", CMD_NUMBER, &set.port, NULL, 0, 65535, "N", "port to listen on (default 8000; 0 takes any free one)"},
    {"listing", CMD_FLAG, &set.listing, NULL, 0, 0, NULL, "list directories that have no index file"},
    {"hosts", CMD_FLAG, &set.hosts, NULL, 0, 0, NULL,
     "virtual hosts: DIR has a directory for each host name, and one\nnamed default for all others"},
    {"index", CMD_TEXT, &set.index, NULL, 0, 0, "NAMES", "index files, best first (default index.html)"},
    {"log", CMD_TEXT, &set.log, NULL, 0, 0, "FILE",
     "access log: a file, - for standard output, none\n(default - on a terminal, else none); SIGHUP opens it, "
     "and\nDIR, anew"},
    {"model", CMD_CHOICE, &set.model, MODELS, 0, 0, "MODEL",
     "who serves a connection: coroutine (default), thread, process,\niterative, pool, prefork, or an event loop: "
     "select, poll, epoll,\nepoll-et, uring"},
    {"poller", CMD_CHOICE, &set.poller, POLLERS, 0, 0, "NAME", "auto, epoll, epoll-et, uring, poll or select"},
    {"threads", CMD_NUMBER, &set.threads, NULL, 1, 1024, "N",
     "threads that serve (default: one a processor; pool 16; event loops 1)"},
    {"processes", CMD_NUMBER, &set.processes, NULL, 1, 1024, "N",
     "worker processes (default 1: no others; prefork 8); a dead one\nis replaced"},
    {"max-connections", CMD_NUMBER, &set.max_connections, NULL, 1, 1000000, "N",
     "connections a process holds (default 10000); beyond it the one\nthat keeps us waiting longest makes room"},
    {"idle-timeout", CMD_TIME, &set.idle_timeout, NULL, 0, 0, "SECONDS",
     "close idle connections after this (default 60)"},
    {"head-timeout", CMD_TIME, &set.head_timeout, NULL, 0, 0, "SECONDS",
     "a request's head may take this long (default 10)"},
    {"write-timeout", CMD_TIME, &set.write_timeout, NULL, 0, 0, "SECONDS",
     "give up on a client that takes nothing for this long (default 30)"},
    {"grace", CMD_TIME, &set.grace, NULL, 0, 0, "SECONDS",
     "on SIGINT or SIGTERM finish what is under way within this\n(default 10); a second signal ends at once"},
    {"rate-limit", CMD_NUMBER, &set.rate_limit, NULL, 1, 1000000, "N",
     "requests a second that one address may make of a process (429\nbeyond; default: no limit)"},
    {"cache-size", CMD_SIZE, &set.cache_size, NULL, 0, INT64_MAX, "SIZE",
     "memory for small files, a process (default 32M; 0 = none)"},
    {"cache-file-size", CMD_SIZE, &set.cache_file_size, NULL, 1, 16 << 20, "SIZE",
     "files up to this size are kept in it (default 64K)"},
    {"no-gzip", CMD_FLAG, &set.no_gzip, NULL, 0, 0, NULL, "do not compress, do not look for .gz files"},
    {"well-known", CMD_FLAG, &set.well_known, NULL, 0, 0, NULL,
     "serve /.well-known/ (other dot names are never served)"},
    {"status", CMD_TEXT, &set.status, NULL, 0, 0, "PATH",
     "serve a live status page at PATH, its data at PATH.json, and\n/metrics for Prometheus; to this machine only"},
    {"mime-types", CMD_TEXT, &set.mime_types, NULL, 0, 0, "FILE", "table of media types (default /etc/mime.types)"},
    {"help", CMD_FLAG, &set.help, NULL, 0, 0, NULL, "this text"},
};

enum {
    OPTIONS = sizeof options / sizeof options[0]
};

/* A client that keeps its connection keeps others out where it has a place for itself. */
#define PLACE_IDLE (5 * WEFT_SECOND)

static int print_help(void)
{
    puts("weft web - serve a directory over HTTP\n\n"
         "Usage: weft web DIR [options]\n\n"
         "The first line on standard output is the URL. Ends with 0 after SIGINT or SIGTERM, with 2 when it cannot "
         "start.\n");
    cmd_print_options(options, OPTIONS);
    puts("\nExamples:\n"
         "  weft web public                                serve public/ on http://127.0.0.1:8000/\n"
         "  weft web . --port 0 --listing                  any free port, directories listed\n"
         "  weft web /srv/www --bind :: --port 80 --log /var/log/weft/access.log\n"
         "  weft web /srv/www --processes 4 --threads 1    four workers, replaced when they die\n"
         "  weft web . --model prefork --processes 4       four processes with one client at a time each\n\n"
         "Never served: anything outside DIR (also by links), names that begin with a dot, anything that is not a "
         "file.");
    return CMD_OK;
}

/* ---- starting ---- */

typedef struct web {
    const char *directory;
    weft_http *site;
    weft_server *server;
} web;

static const char *log_name(void)
{
    if (set.log == NULL)
        return isatty(STDOUT_FILENO) ? "-" : NULL;
    return strcmp(set.log, "none") == 0 ? NULL : set.log;
}

static int site_error(const web *w, int err)
{
    const char *option = weft_http_open_error(), *text = weft_strerror(err);
    if (err == -ENOSYS)
        return cmd_usage(COMMAND, "this kernel has no openat2, without which no directory can be served safely; "
                                  "Linux 5.6 or later is needed");
    if (strcmp(option, "root") != 0)
        return cmd_usage(COMMAND, "--%s: %s",
                         strcmp(option, "mime_types") == 0        ? "mime-types"
                         : strcmp(option, "cache_file_size") == 0 ? "cache-file-size"
                         : *option != 0                           ? option
                                                                  : "memory",
                         text);
    if (err == -ENOENT)
        return cmd_usage(COMMAND, "there is no directory '%s'; give the one to serve", w->directory);
    if (err == -ENOTDIR)
        return cmd_usage(COMMAND, "'%s' is not a directory; give the one that holds it", w->directory);
    if (err == -EACCES)
        return cmd_usage(COMMAND, "the directory '%s' cannot be read by this user", w->directory);
    return cmd_usage(COMMAND, "the directory '%s' cannot be opened: %s", w->directory, text);
}

static int server_error(int err)
{
    switch (err) {
    case -EADDRINUSE:
        return cmd_usage(COMMAND, "port %u on %s is in use; choose another with --port (0 takes any free one)",
                         set.port, set.bind);
    case -EADDRNOTAVAIL:
        return cmd_usage(COMMAND, "this machine does not have the address '%s'; choose another with --bind", set.bind);
    case -EACCES:
        return cmd_usage(COMMAND, "port %u may not be opened by this user; choose one from 1024 up with --port",
                         set.port);
    case -ENOENT:
        return cmd_usage(COMMAND, "--bind '%s' is neither an address nor a name that resolves", set.bind);
    case -ENOSYS:
    case -EOPNOTSUPP:
    case -EPERM:
        return cmd_usage(COMMAND, "this system does not allow the poller '%s'; choose another with --poller",
                         set.poller);
    default:
        return cmd_usage(COMMAND, "the server cannot be started: %s", weft_strerror(err));
    }
}

static bool is_model(const char *name)
{
    return strcmp(set.model, name) == 0;
}

/* One client at a time for each thread or process. */
static bool has_places(void)
{
    return is_model("iterative") || is_model("pool") || is_model("prefork");
}

/* Worker processes that this command forks. Where a busy one must leave clients to others the server does it. */
static unsigned workers(void)
{
    return has_places() || is_model("process") || set.processes == 0 ? 1 : set.processes;
}

/* ... and those that the server makes. */
static unsigned served_processes(void)
{
    if (is_model("prefork"))
        return set.processes;
    return has_places() && set.processes > 1 ? set.processes : 0;
}

static unsigned threads_each(void)
{
    if (set.threads != 0 || workers() == 1 || !is_model("coroutine"))
        return set.threads;
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    return cpus > (long)set.processes ? (unsigned)cpus / set.processes : 1;
}

static int open_all(web *w)
{
    static char host[256];
    size_t n = strlen(set.bind);
    if (n > 2 && n < sizeof host && set.bind[0] == '[' && set.bind[n - 1] == ']') { /* [::1], as in a URL */
        memcpy(host, set.bind + 1, n - 2);
        set.bind = host;
    }
    const char *log = log_name();
    int err = weft_http_open(&w->site, &(weft_http_options){
                                           .root = w->directory,
                                           .index = set.index,
                                           .listing = set.listing,
                                           .hosts = set.hosts,
                                           .rate_limit = set.rate_limit,
                                           .well_known = set.well_known,
                                           .no_gzip = set.no_gzip,
                                           .cache_size = set.cache_size > 0 ? set.cache_size : -1,
                                           .cache_file_size = set.cache_file_size,
                                           .head_timeout = set.head_timeout,
                                           .log = log,
                                           .mime_types = set.mime_types,
                                       });
    if (err < 0)
        return site_error(w, err);
    if (set.status != NULL && (err = weft_http_add_status(w->site, set.status)) < 0)
        return cmd_usage(COMMAND, err == -ENOMEM ? "no memory" : "--status '%s': give a path like /status", set.status);
    weft_server_options o = {
        .host = set.bind,
        .port = set.port,
        .model = set.model,
        .poller = strcmp(set.poller, "auto") == 0 ? NULL : set.poller,
        .threads = threads_each(),
        .processes = served_processes(),
        .max_connections = set.max_connections,
        .idle_timeout = set.idle_timeout != 0 || !has_places() ? set.idle_timeout : PLACE_IDLE,
        .write_timeout = set.write_timeout,
    };
    weft_http_attach(w->site, &o);
    err = weft_server_open(&w->server, &o);
    return err < 0 ? server_error(err) : 0;
}

/* ---- running ---- */

typedef struct waiting {
    weft_server *server;
    pthread_t main;
    int result;
} waiting;

/* Tells the main thread when the server has ended. */
static void *wait_for_server(void *arg)
{
    waiting *w = arg;
    w->result = weft_server_wait(w->server, WEFT_FOREVER);
    pthread_kill(w->main, SIGALRM);
    return NULL;
}

static sigset_t signals(void)
{
    sigset_t all;
    sigemptyset(&all);
    static const int list[] = {SIGINT, SIGTERM, SIGHUP, SIGALRM, CMD_STOP, CMD_STOP_NOW};
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++)
        sigaddset(&all, list[i]);
    return all;
}

/* The first line of output, for people and scripts. */
static void announce(const web *w)
{
    printf("http://%s/\n", weft_server_address(w->server));
    fflush(stdout);
}

/* Serve until told to stop; an exit code. The signals are blocked. */
static int serve(void *arg)
{
    web *w = arg;
    int err = weft_server_start(w->server);
    if (err < 0)
        return server_error(err);
    if (workers() == 1)
        announce(w);
    waiting ask = {w->server, pthread_self(), 0};
    pthread_t waiter;
    if (pthread_create(&waiter, NULL, wait_for_server, &ask) != 0)
        return CMD_FAILED;
    sigset_t wanted = signals();
    for (bool stopping = false;;) {
        int sig = 0;
        sigwait(&wanted, &sig);
        if (sig == SIGALRM)
            break;
        if (sig == SIGHUP) {
            if ((err = weft_http_reload(w->site)) < 0)
                fprintf(stderr, COMMAND ": the directory or the log cannot be opened anew: %s; going on with the old\n",
                        weft_strerror(err));
            continue;
        }
        weft_server_stop(w->server, stopping || sig == CMD_STOP_NOW ? WEFT_NOW : weft_in(set.grace));
        stopping = true;
    }
    pthread_join(waiter, NULL);
    weft_server_close(w->server);
    weft_http_close(w->site);
    if (ask.result < 0)
        fprintf(stderr, COMMAND ": the worker processes died as soon as they were started, or were killed\n");
    return ask.result < 0 ? CMD_FAILED : CMD_OK;
}

int cmd_web(int argc, char **argv)
{
    web w = {0};
    size_t count;
    int err = cmd_read_options(COMMAND, options, OPTIONS, argc, argv, &w.directory, &count, 1);
    if (err != 0)
        return err;
    if (set.help)
        return print_help();
    if (count == 0)
        return cmd_usage(COMMAND, "which directory? try 'weft web .', or 'weft web --help'");
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    signal(SIGPIPE, SIG_IGN);
    sigset_t wanted = signals(); /* before any thread starts, so that all of them leave the signals to this one */
    pthread_sigmask(SIG_BLOCK, &wanted, NULL);
    if (is_model("process") && set.processes > 1)
        return cmd_usage(COMMAND, "--model process has a process for each client; leave --processes out");
    if (strcmp(set.poller, "auto") != 0 && strstr(POLLERS, set.model) != NULL && strcmp(set.poller, set.model) != 0)
        return cmd_usage(COMMAND, "--model %s is an event loop over that poller; leave --poller out", set.model);
    err = open_all(&w);
    if (err != 0)
        return err;
    if (workers() == 1)
        return serve(&w);
    announce(&w);
    return cmd_run_workers(COMMAND, workers(), serve, &w, set.grace);
}
