/* overview.c - the routes of weft_http_add_status: the page, its data as JSON, and /metrics for Prometheus.
 *
 * The counts are those that serving threads add to the site about once a second; what waits is asked of park at the
 * moment of the request. Where several processes serve, the counts are of all; the cache, memory, threads and who waits
 * are of the process that answers, and /metrics says of which. Only clients of this machine are answered: names of
 * threads and coroutines are nobody else's business. Pinned by tests/web/site_test.py, tests/browser/status_test.py. */
#include "http/overview.h"

#include <weft/debug.h>
#include <weft/http.h>
#include <weft/route.h>
#include <weft/thread.h>

#include "http/site.h"
#include "sys/sys.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    LISTED_MAX = 200,     /* sleepers, and threads; the rest is counted */
    TEXT_MAX = 128 << 10, /* where all their names are escaped, too */
};

/* ---- text that grows ---- */

typedef struct text {
    weft__out out;
    unsigned sleepers, threads, coroutines, thread_sleepers;
} text;

__attribute__((format(printf, 2, 3))) static void put(text *t, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    weft__out_bytes(&t->out, line, n < (int)sizeof line ? (size_t)n : sizeof line - 1);
}

/* A JSON string. What is not UTF-8 becomes '?'. */
static void put_string(text *t, const char *s)
{
    size_t len = strlen(s);
    put(t, "\"");
    for (size_t i = 0; i < len;) {
        unsigned n = weft__utf8_length(s + i, len - i);
        unsigned char c = (unsigned char)s[i];
        if (n == 0)
            put(t, "?");
        else if (c < ' ' || c == '"' || c == '\\' || c == '<')
            put(t, "\\u%04x", c);
        else
            weft__out_bytes(&t->out, s + i, n);
        i += n == 0 ? 1 : n;
    }
    put(t, "\"");
}

/* ---- who waits, who is there ---- */

static void count_sleeper(const weft_sleeper *s, void *arg)
{
    text *t = arg;
    bool coroutine = strcmp(s->kind, "coroutine") == 0;
    t->coroutines += coroutine;
    t->thread_sleepers += !coroutine;
}

static void put_sleeper(const weft_sleeper *s, void *arg)
{
    text *t = arg;
    count_sleeper(s, t);
    if (t->sleepers++ >= LISTED_MAX)
        return;
    put(t, "%s{\"id\":%u,\"kind\":\"%s\",\"name\":", t->sleepers > 1 ? "," : "", s->id, s->kind);
    put_string(t, s->name);
    put(t, ",\"waits_for\":");
    put_string(t, s->what);
    put(t, ",\"object\":\"%p\"}", s->object);
}

static void put_thread(const weft_thread_info *i, void *arg)
{
    text *t = arg;
    if (t->threads++ >= LISTED_MAX)
        return;
    put(t, "%s{\"name\":", t->threads > 1 ? "," : "");
    put_string(t, i->name);
    put(t, ",\"native_id\":%d,\"daemon\":%s}", i->native_id, i->daemon ? "true" : "false");
}

static uint64_t resident_bytes(void)
{
    char line[128] = "";
    unsigned long long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f == NULL)
        return 0;
    if (fgets(line, sizeof line, f) == NULL || sscanf(line, "%*u %llu", &pages) != 1)
        pages = 0;
    fclose(f);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* ---- the numbers ---- */

typedef struct number {
    const char *name, *kind, *help;
    uint64_t value;
} number;

static const char own_gauge[] = "gauge"; /* of the process that answers, not of all that serve */

enum {
    NUMBERS = 18
};

static void read_numbers(const weft_http *site, const weft_server *server, number n[NUMBERS])
{
    weft_http_stats h;
    weft_server_stats s;
    weft_http_get_stats(site, &h);
    weft_server_get_stats(server, &s);
    const number all[NUMBERS] = {
        {"connections", "gauge", "Connections open now.", s.open},
        {"connections_accepted_total", "counter", "Connections let in.", s.accepted},
        {"connections_timed_out_total", "counter", "Idle connections closed by the idle timeout.", s.timeouts},
        {"connections_shed_total", "counter", "Waiting connections closed to let a newcomer in.", s.shed},
        {"connections_refused_total", "counter", "Newcomers turned away.", s.refused},
        {"connections_refused_address_total", "counter", "Of these, because their address had enough.",
         s.refused_address},
        {"connections_cut_total", "counter", "Connections cut at the end of the grace.", s.cut},
        {"handler_calls_total", "counter", "Calls of the connection handler.", s.calls},
        {"requests_total", "counter", "Requests answered, errors included.", h.requests},
        {"request_errors_total", "counter", "Requests answered with a status of 400 or more.", h.errors},
        {"cache_hits_total", "counter", "Files answered from the cache.", h.cache_hits},
        {"cache_misses_total", "counter", "Files looked up on disk.", h.cache_misses},
        {"cache_bytes", own_gauge, "Bytes held by the cache.", h.cache_bytes},
        {"cache_files", own_gauge, "Descriptors held by the cache.", h.cache_files},
        {"log_lines_dropped_total", "counter", "Lines lost because the log was slower.", h.log_dropped},
        {"process_resident_bytes", own_gauge, "Resident memory of the process.", resident_bytes()},
        {"threads", own_gauge, "Threads that use weft, its own helpers not counted.", (uint64_t)weft_threads_count()},
        {"uptime_seconds", "counter", "Since the site was opened.",
         (uint64_t)((weft_now() - site->opened) / WEFT_SECOND)},
    };
    memcpy(n, all, sizeof all);
}

/* ---- the routes ---- */

static bool is_local(const weft_request *r)
{
    char peer[WEFT_CONN_ADDRESS_MAX];
    return weft_conn_peer(weft_request_conn(r), peer, NULL) > 0 &&
           (strncmp(peer, "127.", 4) == 0 || strcmp(peer, "::1") == 0 || strncmp(peer, "unix:", 5) == 0);
}

static int send(weft_request *r, text *t, const char *type)
{
    int err = t->out.overflow ? 500 : weft_response_field(r, "Cache-Control", "no-store");
    if (err == 0)
        err = weft_respond(r, 200, type, t->out.data, t->out.len);
    weft__free(t->out.data);
    return err;
}

static int begin(weft_request *r, text *t)
{
    *t = (text){0};
    if (!is_local(r))
        return 404;
    char *data = weft__malloc(TEXT_MAX);
    if (data == NULL)
        return 503;
    t->out = weft__out_over(data, TEXT_MAX);
    return 0;
}

static int send_data(weft_request *r, void *arg)
{
    weft_http *site = arg;
    weft_server *server = weft_conn_server(weft_request_conn(r));
    number n[NUMBERS];
    text t;
    int err = begin(r, &t);
    if (err != 0)
        return err;
    read_numbers(site, server, n);
    put(&t, "{\"version\":\"%s\",\"pid\":%d,\"address\":", weft_version(), (int)getpid());
    put_string(&t, weft_server_address(server));
    put(&t, ",\"now\":%lld", (long long)(weft_now() / WEFT_MS));
    for (unsigned i = 0; i < NUMBERS; i++)
        put(&t, ",\"%s\":%llu", n[i].name, (unsigned long long)n[i].value);
    put(&t, ",\"status\":[");
    for (unsigned i = 0; i < WEFT__STATUS_CLASSES; i++)
        put(&t, "%s%llu", i > 0 ? "," : "", (unsigned long long)load_relaxed(&site->shared->classes[i]));
    put(&t, "],\"latency\":[");
    for (unsigned i = 0; i < WEFT__LATENCIES; i++)
        put(&t, "%s%llu", i > 0 ? "," : "", (unsigned long long)load_relaxed(&site->shared->latencies[i]));
    put(&t, "],\"thread_list\":[");
    weft_threads_each(put_thread, &t);
    put(&t, "],\"sleepers\":[");
    weft_sleepers_each(put_sleeper, &t);
    put(&t, "],\"sleeping_threads\":%u,\"sleeping_coroutines\":%u}\n", t.thread_sleepers, t.coroutines);
    return send(r, &t, "application/json");
}

static int send_metrics(weft_request *r, void *arg)
{
    weft_http *site = arg;
    number n[NUMBERS];
    text t;
    int err = begin(r, &t);
    if (err != 0)
        return err;
    read_numbers(site, weft_conn_server(weft_request_conn(r)), n);
    char only[32] = "", also[32] = ""; /* so that what one process tells is not taken for what another told before */
    if (getpid() != site->owner) {
        snprintf(only, sizeof only, "{pid=\"%d\"}", (int)getpid());
        snprintf(also, sizeof also, ",pid=\"%d\"", (int)getpid());
    }
    for (unsigned i = 0; i < NUMBERS; i++)
        put(&t, "# HELP weft_%s %s\n# TYPE weft_%s %s\nweft_%s%s %llu\n", n[i].name, n[i].help, n[i].name, n[i].kind,
            n[i].name, n[i].kind == own_gauge ? only : "", (unsigned long long)n[i].value);
    put(&t, "# HELP weft_responses_total Answers by class of status.\n# TYPE weft_responses_total counter\n");
    for (unsigned i = 0; i < WEFT__STATUS_CLASSES; i++)
        put(&t, "weft_responses_total{class=\"%uxx\"} %llu\n", i + 1,
            (unsigned long long)load_relaxed(&site->shared->classes[i]));
    weft_sleepers_each(count_sleeper, &t);
    put(&t,
        "# HELP weft_sleepers Threads and coroutines that wait.\n# TYPE weft_sleepers gauge\n"
        "weft_sleepers{kind=\"thread\"%s} %u\nweft_sleepers{kind=\"coroutine\"%s} %u\n",
        also, t.thread_sleepers, also, t.coroutines);
    put(&t,
        "# HELP weft_request_seconds Time from a request's first byte in hand to the end of its answer, of an event "
        "stream or WebSocket to the end of its head.\n"
        "# TYPE weft_request_seconds histogram\n");
    uint64_t sum = 0;
    for (unsigned i = 0; i + 1 < WEFT__LATENCIES; i++) {
        sum += load_relaxed(&site->shared->latencies[i]);
        put(&t, "weft_request_seconds_bucket{le=\"%.6f\"} %llu\n", (double)(UINT64_C(1) << i) / 1e6,
            (unsigned long long)sum);
    }
    sum += load_relaxed(&site->shared->latencies[WEFT__LATENCIES - 1]);
    put(&t, "weft_request_seconds_bucket{le=\"+Inf\"} %llu\nweft_request_seconds_sum %.6f\n", (unsigned long long)sum,
        (double)load_relaxed(&site->shared->latency_sum) / 1e9);
    put(&t, "weft_request_seconds_count %llu\n", (unsigned long long)sum);
    return send(r, &t, "text/plain; version=0.0.4; charset=utf-8");
}

static int send_page(weft_request *r, void *arg)
{
    (void)arg;
    if (!is_local(r))
        return 404;
    int err = weft_response_field(r, "Cache-Control", "no-store");
    if (err == 0)
        err = weft_response_field(r, "Content-Security-Policy",
                                  "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
                                  "connect-src 'self'; img-src data:");
    return err < 0 ? err
                   : weft_respond(r, 200, "text/html; charset=utf-8", weft__overview_page, weft__overview_page_len);
}

int weft_http_add_status(weft_http *site, const char *path)
{
    char pattern[256];
    if (path == NULL || path[0] != '/' || strpbrk(path, "{} ?#%") != NULL || path[1] == 0 || strlen(path) > 200)
        return -EINVAL;
    snprintf(pattern, sizeof pattern, "GET %s", path);
    int err = weft_http_route(site, pattern, send_page, site);
    snprintf(pattern, sizeof pattern, "GET %s.json", path);
    if (err == 0)
        err = weft_http_route(site, pattern, send_data, site);
    if (err == 0)
        err = weft_http_route(site, "GET /metrics", send_metrics, site);
    if (err == 0)
        site->timed = true;
    return err;
}
