/* load.c - `weft load URL`: puts a server under load and says how fast it answers, and how late.
 *
 * The worker threads do the work (load_loop.c); the main thread looks in on them for the live display and takes the
 * signal that ends a run early. */
#include "load.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static struct {
    unsigned connections, threads, requests, rate, pipeline, size;
    int64_t duration, timeout;
    const char *method, *body, *body_file, *reply, *connect, *ca;
    int insecure, tls_resume, no_keep_alive, json, quiet, help;
} set = {.connections = 50, .pipeline = 1};

static const cmd_option options[] = {
    {"connections", CMD_NUMBER, &set.connections, NULL, 1, 1000000, "N", "connections held open (default 50)"},
    {"threads", CMD_NUMBER, &set.threads, NULL, 1, 256, "N", "threads that share them (default: half the processors)"},
    {"duration", CMD_TIME, &set.duration, NULL, 0, 0, "SECONDS", "how long (default 10, or until --requests are done)"},
    {"requests", CMD_NUMBER, &set.requests, NULL, 1, 4000000000, "N", "how many requests, then end"},
    {"rate", CMD_NUMBER, &set.rate, NULL, 1, 100000000, "N",
     "open loop: so many requests a second by the clock, whatever the\nserver does; latency counts from when each was "
     "due"},
    {"pipeline", CMD_NUMBER, &set.pipeline, NULL, 1, LOAD_DEPTH_MAX, "N",
     "requests under way on a connection at once (default 1)"},
    {"method", CMD_TEXT, &set.method, NULL, 0, 0, "NAME", "GET (default; POST with a body), HEAD, PUT ..."},
    {"header", CMD_TEXTS, &load_opt.headers, NULL, 0, 0, "'NAME: VALUE'", "a header field; may be given again"},
    {"body", CMD_TEXT, &set.body, NULL, 0, 0, "TEXT", "what is sent: the body, the line, the datagram"},
    {"body-file", CMD_TEXT, &set.body_file, NULL, 0, 0, "FILE", "the same from a file; - is standard input"},
    {"size", CMD_NUMBER, &set.size, NULL, 1, 64 << 20, "N", "the same: a block of N bytes"},
    {"reply", CMD_CHOICE, &set.reply, "line echo", 0, 0, "line|echo",
     "tcp://: an answer is a line (default), or what was sent;\nudp://: a datagram (line, default), or what was sent"},
    {"connect", CMD_TEXT, &set.connect, NULL, 0, 0, "unix:PATH",
     "connect to this Unix socket (unix:@NAME: an abstract one),\nwhatever host the URL names"},
    {"ca", CMD_TEXT, &set.ca, NULL, 0, 0, "FILE",
     "https://, tls://: trust the authorities in this file (PEM), not\nthe system's"},
    {"insecure", CMD_FLAG, &set.insecure, NULL, 0, 0, NULL, "https://, tls://: take any certificate"},
    {"tls-resume", CMD_FLAG, &set.tls_resume, NULL, 0, 0, NULL,
     "https://, tls://: a connection that is opened again resumes its\nsession, as browsers do (default: whole "
     "handshakes)"},
    {"no-keep-alive", CMD_FLAG, &set.no_keep_alive, NULL, 0, 0, NULL, "a new connection for each request"},
    {"timeout", CMD_TIME, &set.timeout, NULL, 0, 0, "SECONDS", "wait for an answer so long (default 10; udp:// 1)"},
    {"json", CMD_FLAG, &set.json, NULL, 0, 0, NULL, "print JSON at the end, and nothing else"},
    {"quiet", CMD_FLAG, &set.quiet, NULL, 0, 0, NULL, "only the report, nothing while it runs"},
    {"help", CMD_FLAG, &set.help, NULL, 0, 0, NULL, "this text"},
};

enum {
    OPTIONS = sizeof options / sizeof options[0]
};

static int print_help(void)
{
    puts("weft load - put a server under load and measure its answers\n\n"
         "Usage: weft load URL [options]\n\n"
         "URL is http://HOST[:PORT]/PATH or https://, tcp://HOST:PORT or tls://, or udp://HOST:PORT.\n");
    cmd_print_options(options, OPTIONS);
    puts("\nExamples:\n"
         "  weft load http://127.0.0.1:8000/                      50 connections, 10 seconds, as fast as it answers\n"
         "  weft load http://127.0.0.1:8000/ --rate 2000          2000 a second, and how late the answers came\n"
         "  weft load http://127.0.0.1:8000/api --method POST --header 'Content-Type: application/json' --body '{}'\n"
         "  weft load https://localhost:8443/ --ca site.pem       over TLS, and the certificate is checked\n"
         "  weft load https://localhost:8443/ --ca site.pem --no-keep-alive --tls-resume\n"
         "                                                        new connections, and what a resumed session saves\n"
         "  weft load tcp://127.0.0.1:7000 --size 64 --reply echo --pipeline 16\n"
         "  weft load http://localhost/ --connect unix:/run/web.sock\n"
         "  weft load udp://127.0.0.1:7000 --connections 4 --requests 1000 --json\n\n"
         "Ends with 0 if every request was answered well; 1 if any failed (also by a status of 400 or more);\n"
         "2 if it could not start. Ctrl-C prints what was measured so far.");
    return CMD_OK;
}

/* ---- options ---- */

static int take_options(void)
{
    bool http = load_opt.protocol == LOAD_HTTP;
    if (!http && (load_opt.headers.count > 0 || set.method != NULL))
        return cmd_usage(LOAD_COMMAND, "--method and --header are for http:// and https:// only");
    if (http && set.reply != NULL)
        return cmd_usage(LOAD_COMMAND, "--reply is for tcp://, tls:// and udp:// only");
    if (!load_opt.tls && (set.ca != NULL || set.insecure || set.tls_resume))
        return cmd_usage(LOAD_COMMAND, "--ca, --insecure and --tls-resume are for https:// and tls:// only");
    if (set.ca != NULL && set.insecure)
        return cmd_usage(LOAD_COMMAND, "--insecure takes any certificate; --ca says which to trust; give one");
    if (set.no_keep_alive && set.pipeline > 1)
        return cmd_usage(LOAD_COMMAND,
                         "--pipeline needs a connection that is kept; it does not go with --no-keep-alive");
    if (set.no_keep_alive && load_opt.protocol == LOAD_UDP)
        return cmd_usage(LOAD_COMMAND, "--no-keep-alive is not for udp://");
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned threads = set.threads != 0 ? set.threads : processors > 1 ? (unsigned)processors / 2 : 1;
    if (set.requests != 0 && set.connections > set.requests && set.rate == 0)
        set.connections = set.requests; /* the others would have nothing to do */
    load_opt.connections = set.connections;
    load_opt.threads = threads < set.connections ? threads : set.connections;
    load_opt.depth = set.pipeline;
    load_opt.requests = set.requests;
    load_opt.rate = set.rate;
    load_opt.duration = set.duration != 0   ? set.duration
                        : set.requests != 0 ? INT64_MAX / 8 /* until they are done */
                                            : 10 * WEFT_SECOND;
    load_opt.timeout = set.timeout != 0 ? set.timeout : load_opt.protocol == LOAD_UDP ? WEFT_SECOND : 10 * WEFT_SECOND;
    load_opt.keep_alive = !set.no_keep_alive;
    load_opt.resume = set.tls_resume;
    load_opt.echo = set.reply != NULL && strcmp(set.reply, "echo") == 0;
    load_opt.json = set.json;
    load_opt.quiet = set.quiet || set.json;
    load_opt.terminal = isatty(STDOUT_FILENO);
    load_opt.tick = load_opt.terminal ? WEFT_SECOND / 2 : WEFT_SECOND;
    bool has_body = set.body != NULL || set.body_file != NULL || set.size > 0;
    load_opt.method = set.method != NULL ? set.method : has_body ? "POST" : "GET";
    return load_read_body(set.body, set.body_file, set.size);
}

/* Each connection is a descriptor. */
static int raise_limit(void)
{
    struct rlimit files;
    rlim_t needed = load_opt.connections + 64 + 4 * load_opt.threads;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur >= needed)
        return CMD_OK;
    files.rlim_cur = files.rlim_max < needed ? files.rlim_max : needed;
    if (files.rlim_max < needed || setrlimit(RLIMIT_NOFILE, &files) < 0)
        return cmd_usage(LOAD_COMMAND, "%u connections need more than the %llu open files that this user may have",
                         load_opt.connections, (unsigned long long)files.rlim_max);
    return CMD_OK;
}

/* ---- running ---- */

static void interrupt(int number)
{
    (void)number;
    load_write(&load_interrupted, 1);
}

static int run(void)
{
    struct sigaction act = {.sa_handler = interrupt, .sa_flags = SA_RESTART | SA_RESETHAND};
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    unsigned n = load_opt.threads;
    load_worker **workers = calloc(n, sizeof *workers);
    if (workers == NULL)
        return cmd_usage(LOAD_COMMAND, "out of memory");
    load_show_begin();
    const char *where = set.connect != NULL ? set.connect : load_opt.authority;
    int status = CMD_FAILED, err = load_run(workers, n, load_show_now);
    if (err == -ENOMEM) {
        status = cmd_usage(LOAD_COMMAND, "there is not enough memory for %u connections", load_opt.connections);
    } else if (err == -ECANCELED) {
        fprintf(stderr, LOAD_COMMAND ": interrupted before %s was reached\n", where);
    } else if (err < 0) {
        const char *help = err == -WEFT_ECERTIFICATE ? "; --ca says whom to trust, --insecure takes any certificate"
                           : err == -WEFT_EHOSTNAME  ? "; --insecure takes any certificate"
                                                     : "";
        fprintf(stderr, LOAD_COMMAND ": %s cannot be reached: %s%s\n", where, weft_strerror(err), help);
    } else {
        load_show_report(workers, n);
        status = load_had_errors(workers, n) ? CMD_FAILED : CMD_OK;
    }
    for (unsigned i = 0; i < n; i++)
        free(workers[i]);
    free(workers);
    return status;
}

int cmd_load(int argc, char **argv)
{
    const char *url = NULL;
    size_t count;
    int err = cmd_read_options(LOAD_COMMAND, options, OPTIONS, argc, argv, &url, &count, 1);
    if (err != 0)
        return err;
    if (set.help)
        return print_help();
    if (count == 0)
        return cmd_usage(LOAD_COMMAND, "which URL? try 'weft load http://127.0.0.1:8000/', or 'weft load --help'");
    signal(SIGPIPE, SIG_IGN);
    if ((err = load_read_url(url)) != CMD_OK || (err = take_options()) != CMD_OK ||
        (load_opt.tls && (err = load_tls_open(set.ca, set.insecure != 0)) != CMD_OK) ||
        (err = load_make_request()) != CMD_OK || (err = raise_limit()) != CMD_OK ||
        (err = load_find_address(set.connect)) != CMD_OK)
        return err;
    return run();
}
