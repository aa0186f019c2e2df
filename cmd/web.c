/* web.c - `weft web DIR`: a directory served over HTTP.
 *
 * The main thread only waits for signals; the server runs on threads and in processes of its own. While it starts, a
 * thread waits for those that ask for the end: a process that hangs in its start would hold them up. SIGUSR2 starts the
 * program again with the listening sockets; this one goes on until the other serves. SIGHUP has a thread do it, so that
 * a process that does not hear, or a slow disk, holds no other signal up. */
#include "web.h"

#include <weft/co.h>
#include <weft/event.h>
#include <weft/handover.h>
#include <weft/http.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define COMMAND WEB_COMMAND
#define POLLERS "auto epoll epoll-et uring poll select"
#define MODELS  "coroutine thread iterative process prefork pool select poll epoll epoll-et uring"

typedef struct settings {
    const char *bind, *poller, *model, *log, *index, *mime_types, *status, *pid_file;
    unsigned port, threads, processes, max_connections, max_per_address;
    int listing, hosts, no_gzip, well_known, help;
    unsigned rate_limit;
    cmd_texts certificates, keys;
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
     "address to listen on (default 127.0.0.1: this machine only;\n0.0.0.0 or :: is every interface), or unix:PATH: a "
     "Unix socket,\nwhich is this user's alone (mode 0600)"},
    {"port", CMD_NUMBER, &set.port, NULL, 0, 65535, "N",
     "port to listen on (default 8000; 0 takes any free one;\na Unix socket has none)"},
    {"listing", CMD_FLAG, &set.listing, NULL, 0, 0, NULL, "list directories that have no index file"},
    {"hosts", CMD_FLAG, &set.hosts, NULL, 0, 0, NULL,
     "virtual hosts: DIR has a directory for each host name, in lower\ncase, and one named default for all others"},
    {"tls-cert", CMD_TEXTS, &set.certificates, NULL, 0, 0, "FILE",
     "HTTPS with this certificate (PEM, with those that lead to an\nauthority); given again: others, chosen by the "
     "name "
     "asked for;\nSIGHUP reads them anew"},
    {"tls-key", CMD_TEXTS, &set.keys, NULL, 0, 0, "FILE", "its private key (default: in the certificate's file)"},
    {"index", CMD_TEXT, &set.index, NULL, 0, 0, "NAMES", "index files, best first (default index.html)"},
    {"log", CMD_TEXT, &set.log, NULL, 0, 0, "FILE",
     "access log: a file, - for standard output, none\n(default - on a terminal, else none); SIGHUP opens it, "
     "and\nDIR, anew"},
    {"model", CMD_CHOICE, &set.model, MODELS, 0, 0, "MODEL",
     "who serves a connection: coroutine (default), thread, process,\niterative, pool, prefork, or an event loop: "
     "select, poll, epoll,\nepoll-et, uring"},
    {"poller", CMD_CHOICE, &set.poller, POLLERS, 0, 0, "NAME",
     "of the model coroutine: auto, epoll, epoll-et, uring, poll or\nselect"},
    {"threads", CMD_NUMBER, &set.threads, NULL, 1, 1024, "N",
     "threads that serve (default: one a processor; pool 16; event\nloops 1; the other models have no use for it)"},
    {"processes", CMD_NUMBER, &set.processes, NULL, 1, 1024, "N",
     "worker processes (default 1: no others; prefork 8); a dead one\nis replaced"},
    {"max-connections", CMD_NUMBER, &set.max_connections, NULL, 1, 1000000, "N",
     "connections a process holds (default 10000); beyond it the one\nthat keeps us waiting longest makes room"},
    {"max-per-address", CMD_NUMBER, &set.max_per_address, NULL, 1, 1000000, "N",
     "connections that one address may have, of all processes together\n(503 beyond; default: no limit)"},
    {"idle-timeout", CMD_TIME, &set.idle_timeout, NULL, 0, 0, "SECONDS",
     "close idle connections after this (default 60)"},
    {"head-timeout", CMD_TIME, &set.head_timeout, NULL, 0, 0, "SECONDS",
     "a request's head may take this long (default 10)"},
    {"write-timeout", CMD_TIME, &set.write_timeout, NULL, 0, 0, "SECONDS",
     "give up on a client that takes nothing for this long (default 30)"},
    {"grace", CMD_TIME, &set.grace, NULL, 0, 0, "SECONDS",
     "on SIGINT or SIGTERM finish what is under way within this\n(default 10); a second signal ends at once"},
    {"rate-limit", CMD_NUMBER, &set.rate_limit, NULL, 1, 1000000, "N",
     "requests a second that one address may make, of all processes\ntogether (429 beyond; default: no limit)"},
    {"cache-size", CMD_SIZE, &set.cache_size, NULL, 0, INT64_MAX, "SIZE",
     "memory for small files, a process (default 32M; 0 = none)"},
    {"cache-file-size", CMD_SIZE, &set.cache_file_size, NULL, 1, 16 << 20, "SIZE",
     "files up to this size are kept in it (default 64K)"},
    {"no-gzip", CMD_FLAG, &set.no_gzip, NULL, 0, 0, NULL, "do not compress, do not look for .gz files"},
    {"well-known", CMD_FLAG, &set.well_known, NULL, 0, 0, NULL,
     "serve /.well-known/ (other dot names are never served)"},
    {"status", CMD_TEXT, &set.status, NULL, 0, 0, "PATH",
     "serve a live status page at PATH, its data at PATH.json, and\n/metrics for Prometheus; to this machine only"},
    {"pid-file", CMD_TEXT, &set.pid_file, NULL, 0, 0, "FILE", "keep the number of the process that serves in FILE"},
    {"mime-types", CMD_TEXT, &set.mime_types, NULL, 0, 0, "FILE", "table of media types (default /etc/mime.types)"},
    {"help", CMD_FLAG, &set.help, NULL, 0, 0, NULL, "this text"},
};

enum {
    OPTIONS = sizeof options / sizeof options[0],
    SOCKETS_MOST = 64 /* that may be given */
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
         "  weft web . --bind unix:/run/user/1000/web.sock  for a proxy on this machine\n"
         "  weft web /srv/www --processes 4 --threads 1    four workers, replaced when they die\n"
         "  weft web /srv/www --port 8443 --tls-cert site.pem --tls-key site.key\n"
         "  weft web . --model prefork --processes 4       four processes with one client at a time each\n"
         "  kill -HUP PID                                  open DIR, the log and the certificates anew\n"
         "  kill -USR2 PID                                 start the program anew; no connection is refused or cut\n\n"
         "Never served: anything outside DIR (also by links), names that begin with a dot, anything that is not a "
         "file.");
    return CMD_OK;
}

/* ---- starting ---- */

typedef struct web {
    const char *directory;
    weft_http *site;
    weft_server *server;
    weft_tls *tls;

    pthread_mutex_t lock; /* for the rest */
    pthread_t reloader;
    bool reload_wanted, reloading, reloader_started;
    bool stopping;
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
    if (strcmp(option, "log") == 0 && set.log != NULL)
        return cmd_usage(COMMAND, "--log '%s': %s", set.log, text);
    if (strcmp(option, "mime_types") == 0 && set.mime_types != NULL)
        return cmd_usage(COMMAND, "--mime-types '%s': %s", set.mime_types, text);
    if (strcmp(option, "index") == 0 && err == -EINVAL)
        return cmd_usage(
            COMMAND, "--index takes up to 8 names with commas between them, none with a / or a dot first (not '%s')",
            set.index);
    if (strcmp(option, "root") != 0)
        return cmd_usage(COMMAND, "--%s: %s",
                         strcmp(option, "cache_file_size") == 0 ? "cache-file-size"
                         : *option != 0                         ? option
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

/* The path behind "unix:", or NULL: no Unix socket is asked for. */
static const char *unix_path(void)
{
    return strncmp(set.bind, "unix:", 5) == 0 ? set.bind + 5 : NULL;
}

/* What is wrong with a Unix socket's path; 0: something else is. */
static int path_error(const char *path, int err)
{
    struct stat st;
    switch (*path == 0 ? -ENAMETOOLONG : err) {
    case -EADDRINUSE:
        if (path[0] != '@' && lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
            return cmd_usage(COMMAND, "--bind: there is something at '%s' already, and it is no socket", path);
        return cmd_usage(COMMAND, "--bind: another program listens on '%s'; choose another path", path);
    case -ENAMETOOLONG:
        return cmd_usage(COMMAND, "--bind unix:PATH takes a path of 1 to 107 bytes (not '%s')", path);
    case -ENOENT:
    case -ENOTDIR:
        return cmd_usage(COMMAND, "--bind: there is no directory for '%s'; make it first", path);
    case -EACCES:
    case -EROFS:
        return cmd_usage(COMMAND, "--bind: this user may not make '%s'; choose a directory that may be written to",
                         path);
    default:
        return 0;
    }
}

/* The port of what others write as one, ":8000" or "127.0.0.1:8000", or NULL. */
static const char *port_behind(const char *address)
{
    const char *colon = strrchr(address, ':');
    return colon != NULL && colon[1] != 0 && colon[1 + strspn(colon + 1, "0123456789")] == 0 ? colon + 1 : NULL;
}

static int server_error(int err)
{
    int told = unix_path() != NULL ? path_error(unix_path(), err) : 0;
    if (told != 0)
        return told;
    switch (err) {
    case -E2BIG:
        return cmd_usage(COMMAND, "more listening sockets were given than there are threads; raise --threads");
    case -EADDRINUSE:
        return cmd_usage(COMMAND, "port %u on %s is in use; choose another with --port (0 takes any free one)",
                         set.port, set.bind);
    case -EADDRNOTAVAIL:
        return cmd_usage(COMMAND, "this machine does not have the address '%s'; choose another with --bind", set.bind);
    case -EACCES:
        return cmd_usage(COMMAND, "port %u may not be opened by this user; choose one from 1024 up with --port",
                         set.port);
    case -ENOENT:
        if (port_behind(set.bind) != NULL)
            return cmd_usage(COMMAND, "--bind '%s' is no address; the port has an option of its own: --port %s",
                             set.bind, port_behind(set.bind));
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

/* An option that means nothing to the model is refused, not taken without a word. */
static int check_model(void)
{
    const char *why = set.threads != 0 ? cmd_why_no_threads(set.model) : NULL;
    if (why != NULL)
        return cmd_usage(COMMAND, "--threads does not go with --model %s: %s", set.model, why);
    why = set.processes > 1 ? cmd_why_no_processes(set.model) : NULL;
    if (why != NULL)
        return cmd_usage(COMMAND, "--processes does not go with --model %s: %s", set.model, why);
    if (strcmp(set.poller, "auto") != 0 && !is_model("coroutine") && !is_model(set.poller))
        return cmd_usage(COMMAND, "--poller %s does not go with --model %s: only coroutine has a choice", set.poller,
                         set.model);
    if (set.rate_limit != 0 && unix_path() != NULL)
        return cmd_usage(COMMAND, "--rate-limit does not go with --bind unix:PATH: its clients have no address");
    return 0;
}

/* One process needs no supervisor, unless the model is made of them. */
static unsigned processes(void)
{
    return is_model("prefork") || set.processes > 1 ? set.processes : 0;
}

/* Each of `given` listening sockets needs a loop. */
static unsigned threads_each(unsigned given)
{
    if (set.threads != 0 || !is_model("coroutine"))
        return set.threads;
    unsigned sharers = processes();
    long cpus = sysconf(_SC_NPROCESSORS_ONLN), share = sharers > 0 ? cpus / sharers : cpus;
    return given > share ? given : sharers == 0 ? 0 : share > 0 ? (unsigned)share : 1;
}

/* Runs where no requests are served. */
static void tell_death(pid_t pid, int code, void *arg)
{
    (void)arg;
    const char *then = is_model("process") ? "" : "; replacing it";
    if (code < 0)
        cmd_say(COMMAND ": worker %d was ended by signal %d (%s)%s\n", (int)pid, -code, strsignal(-code), then);
    else
        cmd_say(COMMAND ": worker %d ended with status %d%s\n", (int)pid, code, then);
}

/* In each process that serves. */
static int (*site_hears)(int what, void *site);
static weft_tls *reloaded;

static int hear(int what, void *site)
{
    if (what == WEFT_HTTP_RELOAD && reloaded != NULL)
        web_tls_reload(reloaded);
    return site_hears(what, site);
}

static int open_all(web *w)
{
    static char host[256];
    size_t n = strlen(set.bind);
    if (n > 2 && n < sizeof host && set.bind[0] == '[' && set.bind[n - 1] == ']') { /* [::1], as in a URL */
        memcpy(host, set.bind + 1, n - 2);
        set.bind = host;
    }
    if (n == 0) /* to the library that is every address; here it is a variable that nobody has set */
        return server_error(-ENOENT);
    const char *log = log_name();
    int err = web_tls_open(&w->tls, &set.certificates, &set.keys);
    if (err != 0)
        return err;
    err = weft_http_open(&w->site, &(weft_http_options){
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
    if (set.hosts)
        web_hosts_warn(w->directory);
    if (set.status != NULL && (err = weft_http_add_status(w->site, set.status)) < 0)
        return cmd_usage(COMMAND, err == -ENOMEM ? "no memory" : "--status '%s': give a path like /status", set.status);
    static int given[SOCKETS_MOST];
    int count = weft_handover_take(given, SOCKETS_MOST);
    if (count < 0)
        return cmd_usage(COMMAND, "the listening sockets that were given cannot be taken: %s", weft_strerror(count));
    weft_server_options o = {
        .listeners = given,
        .listener_count = (unsigned)count,
        .host = set.bind,
        .port = set.port,
        .model = set.model,
        .poller = strcmp(set.poller, "auto") == 0 ? NULL : set.poller,
        .threads = threads_each((unsigned)count),
        .processes = processes(),
        .max_connections = set.max_connections,
        .max_per_address = set.max_per_address,
        .idle_timeout = set.idle_timeout != 0 || !has_places() ? set.idle_timeout : PLACE_IDLE,
        .write_timeout = set.write_timeout,
        .on_death = tell_death,
        .tls = w->tls,
        .handshake_timeout = set.head_timeout,
    };
    weft_http_attach(w->site, &o);
    site_hears = o.on_tell;
    reloaded = w->tls;
    o.on_tell = hear;
    err = weft_server_open(&w->server, &o);
    return err < 0 ? server_error(err) : 0;
}

/* ---- running ---- */

typedef struct waiting {
    weft_server *server;
    pthread_t main;
    int result;
    weft_event over;
} waiting;

/* Tells the main thread when the server has ended. */
static void *wait_for_server(void *arg)
{
    waiting *w = arg;
    w->result = weft_server_wait(w->server, WEFT_FOREVER);
    weft_event_set(&w->over);
    pthread_kill(w->main, SIGALRM);
    return NULL;
}

static sigset_t signals(void)
{
    sigset_t all;
    sigemptyset(&all);
    static const int list[] = {SIGINT, SIGTERM, SIGHUP, SIGALRM, SIGUSR2, CMD_SUCCESSOR};
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++)
        sigaddset(&all, list[i]);
    return all;
}

/* "http://127.0.0.1:8000/", or "http+unix:/run/web.sock". */
static void print_url(const web *w)
{
    const char *scheme = w->tls != NULL ? "https" : "http", *address = weft_server_address(w->server);
    if (strncmp(address, "unix:", 5) == 0)
        printf("%s+%s\n", scheme, address);
    else
        printf("%s://%s/\n", scheme, address);
}

/* With the file of --pid-file, if it is wanted. */
static int keep_pid(int (*how)(const char *file))
{
    int err = set.pid_file != NULL ? how(set.pid_file) : 0;
    return err < 0 ? cmd_usage(COMMAND, "--pid-file '%s': %s", set.pid_file, weft_strerror(err)) : CMD_OK;
}

/* It serves: say so to whoever has started this. A predecessor has printed the URL. */
static int announce(const web *w)
{
    int err = keep_pid(cmd_write_pid);
    if (err != CMD_OK)
        return err;
    if (!weft_handover_ready())
        print_url(w);
    if (fflush(stdout) != 0)
        clearerr(stdout); /* nobody wants to know; it serves all the same */
    cmd_notify("READY=1");
    return CMD_OK;
}

/* ---- SIGHUP ---- */

/* Which of the two could not be opened: asked again, for the answer came from whichever process serves. */
static const char *not_opened(const web *w)
{
    const char *log = log_name();
    return log != NULL && access(w->directory, R_OK | X_OK) == 0 ? log : w->directory;
}

static void reload(web *w)
{
    int64_t now = weft_now();
    cmd_notify("RELOADING=1\nMONOTONIC_USEC=%lld", (long long)(now / 1000));
    int err = weft_server_tell(w->server, WEFT_HTTP_RELOAD, weft_in_seconds(10));
    if (err < 0)
        cmd_say(COMMAND ": '%s' cannot be opened anew: %s; going on with the old\n", not_opened(w), weft_strerror(err));
    pthread_mutex_lock(&w->lock);
    if (!w->stopping)
        cmd_notify("READY=1");
    pthread_mutex_unlock(&w->lock);
}

/* A thread: until nobody has asked for it again meanwhile. */
static void *reload_as_wanted(void *arg)
{
    web *w = arg;
    pthread_mutex_lock(&w->lock);
    while (w->reload_wanted) {
        w->reload_wanted = false;
        pthread_mutex_unlock(&w->lock);
        reload(w);
        pthread_mutex_lock(&w->lock);
    }
    w->reloading = false;
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

static void join_reloader(web *w)
{
    if (w->reloader_started)
        pthread_join(w->reloader, NULL);
    w->reloader_started = false;
}

static void want_reload(web *w)
{
    pthread_mutex_lock(&w->lock);
    bool begin = !w->reloading;
    w->reload_wanted = w->reloading = true;
    pthread_mutex_unlock(&w->lock);
    if (!begin)
        return;
    join_reloader(w); /* the last one's, which is at its end */
    w->reloader_started = pthread_create(&w->reloader, NULL, reload_as_wanted, w) == 0;
    if (!w->reloader_started)
        reload_as_wanted(w);
}

/* ---- signals ---- */

static void stop(web *w)
{
    pthread_mutex_lock(&w->lock);
    bool again = w->stopping;
    w->stopping = true;
    cmd_notify("STOPPING=1");
    pthread_mutex_unlock(&w->lock);
    weft_server_stop(w->server, again ? WEFT_NOW : weft_in(set.grace));
}

/* The next of `wanted`, or 0 when the successor has taken too long. */
static int next_signal(const sigset_t *wanted, const cmd_successor *successor)
{
    int64_t left = successor->handover != NULL ? successor->give_up - weft_now() : 3600 * WEFT_SECOND;
    left = left < 0 ? 0 : left;
    int sig = sigtimedwait(wanted, NULL, &(struct timespec){left / WEFT_SECOND, left % WEFT_SECOND});
    return sig < 0 ? 0 : sig;
}

/* Do what signals say until the server has ended. */
static void obey_signals(web *w, waiting *server)
{
    cmd_successor successor = {.command = COMMAND};
    sigset_t wanted = signals();
    bool retired = false;
    while (!weft_event_is_set(&server->over)) {
        int sig = next_signal(&wanted, &successor);
        bool end = sig == SIGINT || sig == SIGTERM;
        if (sig == SIGHUP) {
            want_reload(w);
        } else if (sig == SIGUSR2) {
            if (!w->stopping && !retired)
                cmd_start_successor(&successor, w->server);
        }
        if (cmd_look_at_successor(&successor)) {
            weft_server_retire(w->server, weft_in(set.grace));
            retired = true;
        }
        if (end) {
            /* Nobody told the successor to stop, and nobody would; it has the sockets. */
            cmd_end_successor(&successor, set.pid_file);
            stop(w);
        }
    }
    weft_handover_free(successor.handover);
    join_reloader(w);
}

/* Whatever of it was opened. */
static void close_all(web *w)
{
    weft_server_close(w->server);
    weft_http_close(w->site);
    weft_tls_free(w->tls);
    w->server = NULL;
    w->site = NULL;
    w->tls = NULL;
}

/* ---- the start ---- */

typedef struct starting {
    web *web;
    weft_event over;
} starting;

/* A thread: whoever wants the end while it starts is heard. */
static void *obey_while_it_starts(void *arg)
{
    starting *s = arg;
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGINT);
    sigaddset(&wanted, SIGTERM);
    sigaddset(&wanted, SIGALRM);
    while (!weft_event_is_set(&s->over)) {
        int sig = 0;
        sigwait(&wanted, &sig);
        if (sig == SIGINT || sig == SIGTERM)
            stop(s->web);
    }
    return NULL;
}

/* Worker processes may hang before they serve. */
static int start(web *w)
{
    starting s = {.web = w};
    pthread_t obeys;
    bool begun = pthread_create(&obeys, NULL, obey_while_it_starts, &s) == 0;
    int err = weft_server_start(w->server);
    if (err == -EALREADY && w->stopping)
        err = 0; /* who wants the end came first */
    weft_event_set(&s.over);
    if (begun) {
        pthread_kill(obeys, SIGALRM);
        pthread_join(obeys, NULL);
    }
    return err;
}

/* Serve until told to stop; an exit code. The signals are blocked. */
static int serve(web *w)
{
    int err = keep_pid(cmd_try_pid); /* while nobody has been accepted yet */
    if (err != CMD_OK)
        return err;
    err = start(w);
    if (err < 0)
        return server_error(err);
    waiting ask = {.server = w->server, .main = pthread_self()};
    pthread_t waiter;
    err = w->stopping ? CMD_OK : announce(w);
    if (err == 0 && pthread_create(&waiter, NULL, wait_for_server, &ask) != 0)
        err = CMD_FAILED;
    if (err == 0) {
        obey_signals(w, &ask);
        pthread_join(waiter, NULL);
    }
    close_all(w);
    if (set.pid_file != NULL)
        cmd_remove_pid(set.pid_file, getpid());
    if (ask.result < 0)
        cmd_say(COMMAND ": the worker processes died as soon as they were started, or were killed\n");
    return err != 0 ? err : ask.result < 0 ? CMD_FAILED : CMD_OK;
}

int cmd_web(int argc, char **argv)
{
    web w = {.lock = PTHREAD_MUTEX_INITIALIZER};
    size_t count;
    int err = cmd_read_options(COMMAND, options, OPTIONS, argc, argv, &w.directory, &count, 1);
    if (err != 0)
        return err;
    if (set.help)
        return print_help();
    if (count == 0)
        return cmd_usage(COMMAND, "which directory? try 'weft web .', or 'weft web --help'");
    if ((err = check_model()) != 0)
        return err;
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    signal(SIGPIPE, SIG_IGN);
    sigset_t wanted = signals(); /* before any thread starts, so that all of them leave the signals to this one */
    pthread_sigmask(SIG_BLOCK, &wanted, NULL);
    err = open_all(&w);
    if (err == 0)
        err = serve(&w);
    close_all(&w);
    return err;
}
