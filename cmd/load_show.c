/* load_show.c - what `weft load` prints: a line while it runs, the report, the same as JSON. */
#include "load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const error_names[LOAD_ERRORS] = {"connect", "closed", "timeout", "protocol", "mismatch", "status"};
static const char *const error_texts[LOAD_ERRORS] = {
    "no connection",       "connection ended before the answer", "no answer in time",
    "not a proper answer", "echo differs from what was sent",    "status 400 or more"};

static const char *const shake_names[LOAD_SHAKES] = {"full", "resumed"};

static const double quantiles[] = {0.5, 0.75, 0.9, 0.99, 0.999, 0.9999};
static const char *const quantile_names[] = {"50", "75", "90", "99", "99.9", "99.99"};

enum {
    QUANTILES = sizeof quantiles / sizeof quantiles[0],
    LINE = 78 /* columns of the line while it runs */
};

/* All workers together. */
typedef struct totals {
    uint64_t asked, online, answered, late, received, counted_received, reopened, waited, scheduled, status[600];
    uint64_t errors[LOAD_ERRORS], failed;
    double seconds, rate, cpu;
    int connect_errno;
    const char *tls_name;
    load_hist raw, corrected, shakes[LOAD_SHAKES];
} totals;

static char *print_time(char text[24], double ns)
{
    double scale = ns < 1e3 ? 1 : ns < 1e6 ? 1e3 : ns < 1e9 ? 1e6 : 1e9;
    const char *unit = ns < 1e3 ? "ns" : ns < 1e6 ? "us" : ns < 1e9 ? "ms" : "s";
    double v = ns / scale;
    snprintf(text, 24, "%.*f %s", scale == 1 ? 0 : v < 10 ? 2 : v < 100 ? 1 : 0, v, unit);
    return text;
}

static char *print_size(char text[24], double bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    unsigned u = 0;
    for (; bytes >= 1024 && u < 4; u++)
        bytes /= 1024;
    snprintf(text, 24, u == 0 ? "%.0f %s" : "%.1f %s", bytes, units[u]);
    return text;
}

/* "-" where no request has ended in an answer or a time-out, so that there is no time to tell. */
static char *print_quantile(char text[24], const load_hist *h, double q)
{
    return h->total > 0 ? print_time(text, (double)load_hist_quantile(h, q)) : memcpy(text, "-", 2);
}

/* ---- while it runs ---- */

static void add_hists(load_hist *h, load_worker **workers, unsigned n)
{
    memset(h, 0, sizeof *h);
    for (unsigned i = 0; i < n; i++)
        load_hist_merge(h, load_opt.rate > 0 ? &workers[i]->corrected : &workers[i]->raw);
    h->max = 0; /* of all the time, not of the last second */
}

/* False: nobody reads it any more, or there is no room for good. A pipe or terminal that does not wait and is full for
 * a moment loses a line, and there is another one soon. */
static bool flush_line(void)
{
    if (fflush(stdout) == 0)
        return true;
    bool soon = errno == EAGAIN || errno == EINTR;
    if (soon)
        clearerr(stdout);
    return soon;
}

void load_show_begin(void)
{
    if (load_opt.quiet)
        return;
    printf("%s: %u connection%s on %u thread%s, ", load_opt.url, load_opt.connections,
           load_opt.connections == 1 ? "" : "s", load_opt.threads, load_opt.threads == 1 ? "" : "s");
    if (load_opt.rate > 0)
        printf("open loop, %u a second\n", load_opt.rate);
    else
        puts("closed loop");
    (void)flush_line();
}

static void write_over(const char *line)
{
    int width = cmd_columns(STDOUT_FILENO, LINE);
    printf("\r%-*.*s", width, width, line);
}

void load_show_now(load_worker **workers, unsigned n, int64_t begin)
{
    static load_hist now, before;
    static uint64_t answered_before;
    static int64_t before_at;
    uint64_t answered = 0, errors = 0;
    char p50[24], p99[24], line[160];
    int64_t at = weft_now();
    if (load_opt.quiet || begin == 0)
        return;
    add_hists(&now, workers, n);
    for (unsigned i = 0; i < n; i++) {
        answered += load_read(&workers[i]->answered);
        for (unsigned k = 0; k < LOAD_ERRORS; k++)
            errors += load_read(&workers[i]->errors[k]);
    }
    for (unsigned b = 0; b < LOAD_HIST_BUCKETS; b++) { /* what is new since the last look */
        uint64_t count = now.count[b];
        now.count[b] -= before.count[b];
        before.count[b] = count;
    }
    uint64_t total = now.total;
    now.total -= before.total;
    before.total = total;
    double rate = (double)(answered - answered_before) * 1e9 / (double)(at - (before_at != 0 ? before_at : begin));
    snprintf(line, sizeof line, "%7.1f s  %10.0f/s  p50 %8s  p99 %8s  errors %llu", (double)(at - begin) / 1e9, rate,
             print_quantile(p50, &now, 0.5), print_quantile(p99, &now, 0.99), (unsigned long long)errors);
    if (load_opt.terminal)
        write_over(line);
    else
        puts(line);
    if (!flush_line()) /* who has read enough does not want the rest of the load either */
        load_write(&load_interrupted, 1);
    answered_before = answered;
    before_at = at;
}

/* ---- the sums ---- */

static void add_up(totals *t, load_worker **workers, unsigned n)
{
    memset(t, 0, sizeof *t);
    uint64_t counted = 0;
    int64_t window = 1;
    for (unsigned i = 0; i < n; i++) {
        const load_worker *w = workers[i];
        t->asked += w->given;
        t->online += load_opt.keep_alive ? w->opened : w->connections;
        t->answered += w->answered;
        t->received += w->received;
        t->reopened += w->reopened;
        for (unsigned k = 0; k < LOAD_SHAKES; k++)
            load_hist_merge(&t->shakes[k], &w->shakes[k]);
        if (t->tls_name == NULL && w->tls_name[0] != 0)
            t->tls_name = w->tls_name;
        t->waited += w->waited;
        t->scheduled += w->scheduled;
        for (unsigned s = 0; s < 600; s++)
            t->status[s] += w->status[s];
        for (unsigned k = 0; k < LOAD_ERRORS; k++)
            t->errors[k] += w->errors[k];
        load_hist_merge(&t->raw, &w->raw);
        load_hist_merge(&t->corrected, &w->corrected);
        counted += w->counted;
        t->counted_received += w->counted_received;
        window = w->window > window ? w->window : window;
        t->cpu += (double)w->cpu / 1e9;
        if (w->connect_errno != 0)
            t->connect_errno = w->connect_errno;
    }
    for (unsigned k = 0; k < LOAD_ERRORS; k++)
        t->failed += t->errors[k];
    t->seconds = (double)window / 1e9;
    t->rate = (double)counted / t->seconds;
    t->late = t->answered - counted;
}

bool load_had_errors(load_worker **workers, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        for (unsigned k = 0; k < LOAD_ERRORS; k++)
            if (workers[i]->errors[k] != 0)
                return true;
    return false;
}

/* ---- for people ---- */

static void print_row(const char *name, double corrected, double raw)
{
    char a[24], b[24];
    if (load_opt.rate > 0)
        printf("  %8s %12s %12s\n", name, print_time(a, corrected), print_time(b, raw));
    else
        printf("  %8s %12s\n", name, print_time(b, raw));
}

static double mean(const load_hist *h)
{
    return h->total > 0 ? (double)h->sum / (double)h->total : 0;
}

static void print_latency(const totals *t)
{
    char name[16];
    puts(load_opt.rate > 0 ? "\n  latency     corrected          raw" : "\n  latency           raw");
    print_row("min", (double)t->corrected.min, (double)t->raw.min);
    print_row("mean", mean(&t->corrected), mean(&t->raw));
    for (unsigned i = 0; i < QUANTILES; i++) {
        snprintf(name, sizeof name, "%s %%", quantile_names[i]);
        print_row(name, (double)load_hist_quantile(&t->corrected, quantiles[i]),
                  (double)load_hist_quantile(&t->raw, quantiles[i]));
    }
    print_row("max", (double)t->corrected.max, (double)t->raw.max);
    if (load_opt.rate > 0)
        puts("  (corrected: from when a request was due; raw: from when a connection was free to send it)");
    else
        puts("  (closed loop: a server that pauses is asked less meanwhile; --rate shows what that hides)");
}

/* Counts up to each of some round durations, a bar each. */
static void print_histogram(const load_hist *h)
{
    enum {
        ROWS = 36,
        BAR = 50
    };
    static const double steps[] = {1, 2, 5};
    uint64_t rows[ROWS] = {0}, most = 0;
    double edges[ROWS], scale = 1e3; /* from 1 us to 500000 s */
    for (unsigned r = 0; r < ROWS; r++) {
        edges[r] = steps[r % 3] * scale;
        scale *= r % 3 == 2 ? 10 : 1;
    }
    for (unsigned b = 0, r = 0; b < LOAD_HIST_BUCKETS; b++) {
        while (r + 1 < ROWS && (double)load_hist_edge(b) > edges[r])
            r++;
        rows[r] += h->count[b];
    }
    unsigned first = ROWS, last = 0;
    for (unsigned r = 0; r < ROWS; r++) {
        most = rows[r] > most ? rows[r] : most;
        if (rows[r] > 0) {
            first = first < r ? first : r;
            last = r;
        }
    }
    puts("\n     up to");
    for (unsigned r = first; r <= last; r++) {
        char edge[24], bar[BAR + 1] = "";
        unsigned length = (unsigned)((double)rows[r] * BAR / (double)most + 0.5);
        memset(bar, '#', length);
        bar[length] = 0;
        printf("  %8s %10llu %6.2f%% %s\n", print_time(edge, edges[r]), (unsigned long long)rows[r],
               100.0 * (double)rows[r] / (double)h->total, bar);
    }
}

static uint64_t handshakes(const totals *t)
{
    return t->shakes[LOAD_SHAKE_FULL].total + t->shakes[LOAD_SHAKE_RESUMED].total;
}

static void print_handshakes(const totals *t)
{
    printf("  handshakes %11llu  %s\n", (unsigned long long)handshakes(t), t->tls_name != NULL ? t->tls_name : "");
    for (unsigned k = 0; k < LOAD_SHAKES; k++) {
        const load_hist *h = &t->shakes[k];
        char p50[24], p99[24], most[24];
        if (h->total > 0)
            printf("    %-10s %9llu  50 %% %s, 99 %% %s, max %s\n", shake_names[k], (unsigned long long)h->total,
                   print_time(p50, (double)load_hist_quantile(h, 0.5)),
                   print_time(p99, (double)load_hist_quantile(h, 0.99)), print_time(most, (double)h->max));
    }
}

static void print_counts(const totals *t)
{
    char size[24], rate[24];
    printf("\n  online    %12llu  clients at the same time\n", (unsigned long long)t->online);
    printf("  asked     %12llu  %12.1f/s (QPS)\n", (unsigned long long)t->asked, (double)t->asked / t->seconds);
    printf("  answers   %12llu  %12.1f/s (TPS) in %.2f s\n", (unsigned long long)(t->answered - t->late), t->rate,
           t->seconds);
    if (t->late > 0)
        printf("  late      %12llu  answers after that time\n", (unsigned long long)t->late);
    printf("  received  %12s  %12s/s\n", print_size(size, (double)t->received),
           print_size(rate, (double)t->counted_received / t->seconds));
    for (unsigned s = 0; s < 600; s++)
        if (t->status[s] > 0)
            printf("  status %u %11llu\n", s, (unsigned long long)t->status[s]);
    if (load_opt.tls)
        print_handshakes(t);
    printf("  errors    %12llu\n", (unsigned long long)t->failed);
    for (unsigned k = 0; k < LOAD_ERRORS; k++) {
        bool why = k == LOAD_ERROR_CONNECT && t->connect_errno != 0;
        if (t->errors[k] > 0)
            printf("    %-10s %9llu  %s%s%s\n", error_names[k], (unsigned long long)t->errors[k], error_texts[k],
                   why ? ": " : "", why ? weft_strerror(t->connect_errno) : "");
    }
    if (t->reopened > 0)
        printf("  reopened  %12llu  connections that the server ended after an answer\n",
               (unsigned long long)t->reopened);
}

static void print_notes(const totals *t)
{
    double busy = t->cpu / t->seconds / load_opt.threads;
    if (load_opt.protocol == LOAD_UDP && load_opt.depth > 1 && t->errors[LOAD_ERROR_TIMEOUT] > 0)
        puts("\n  Nothing tells which datagram an answer is to: after a lost one the answers on its socket are taken "
             "for\n"
             "  those to the datagrams before, and their latency is too long. --pipeline 1 has one under way on each.");
    if (t->waited > 0)
        printf("\n  %llu of %llu requests waited for a free connection%s. More\n"
               "  --connections show whether the server or the number of connections held them up.\n",
               (unsigned long long)t->waited, (unsigned long long)t->scheduled,
               t->corrected.total > 0 ? "; that is in the corrected latency" : "");
    if (busy > 0.9)
        printf("\n  The generator itself was busy %.0f %% of the time; more --threads may find a faster server.\n",
               100 * busy);
}

/* ---- for machines ---- */

/* Bytes of the UTF-8 sequence at p, which ends with a 0; 0: it is none. */
static unsigned utf8_size(const unsigned char *p)
{
    unsigned n = *p < 0x80 ? 1 : *p < 0xc2 ? 0 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : *p < 0xf5 ? 4 : 0;
    for (unsigned i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (*p == 0xe0 && p[1] < 0xa0) || (*p == 0xf0 && p[1] < 0x90);
    bool surrogate = *p == 0xed && p[1] >= 0xa0;
    return overlong || surrogate || (*p == 0xf4 && p[1] >= 0x90) ? 0 : n;
}

/* The URL as it was given, but what JSON cannot have, a byte that is not UTF-8, as it is asked for. It has no control
 * characters. */
static void print_json_url(void)
{
    putchar('"');
    for (const unsigned char *p = (const unsigned char *)load_opt.url; *p != 0;) {
        unsigned n = utf8_size(p);
        if (n == 0) {
            printf("%%%02X", *p++);
            continue;
        }
        if (*p == '"' || *p == '\\')
            putchar('\\');
        for (; n > 0; n--)
            putchar(*p++);
    }
    putchar('"');
}

/* null where nothing was counted: 0 would be very fast. */
static void print_json_time(const char *name, const load_hist *h, double ns)
{
    if (h->total > 0)
        printf(", \"%s\": %.0f", name, ns);
    else
        printf(", \"%s\": null", name);
}

static void print_json_latency(const char *name, const load_hist *h, const char *after)
{
    char quantile[16];
    printf("  \"%s\": {\"count\": %llu", name, (unsigned long long)h->total);
    print_json_time("min", h, (double)h->min);
    print_json_time("mean", h, mean(h));
    for (unsigned i = 0; i < QUANTILES; i++) {
        snprintf(quantile, sizeof quantile, "p%s", quantile_names[i]);
        print_json_time(quantile, h, (double)load_hist_quantile(h, quantiles[i]));
    }
    print_json_time("max", h, (double)h->max);
    printf("}%s\n", after);
}

static void print_json_histogram(const load_hist *h)
{
    const char *between = "";
    printf(" \"histogram\": [");
    for (unsigned b = 0; b < LOAD_HIST_BUCKETS; b++) {
        if (h->count[b] == 0)
            continue;
        printf("%s[%llu, %llu]", between, (unsigned long long)load_hist_edge(b), (unsigned long long)h->count[b]);
        between = ", ";
    }
    puts("]}");
}

static void print_json_handshakes(const totals *t)
{
    printf(" \"handshakes\": %llu, \"resumed\": %llu, \"tls\": \"%s\",\n \"handshake_ns\": {\n",
           (unsigned long long)handshakes(t), (unsigned long long)t->shakes[LOAD_SHAKE_RESUMED].total,
           t->tls_name != NULL ? t->tls_name : "");
    for (unsigned k = 0; k < LOAD_SHAKES; k++)
        print_json_latency(shake_names[k], &t->shakes[k], k + 1 < LOAD_SHAKES ? "," : "},");
}

static void print_json(const totals *t)
{
    const char *between = "";
    printf("{\"url\": ");
    print_json_url();
    printf(", \"connections\": %u, \"threads\": %u, \"pipeline\": %u, \"target_rate\": %u,\n", load_opt.connections,
           load_opt.threads, load_opt.depth, load_opt.rate);
    printf(" \"online\": %llu, \"asked\": %llu,\n", (unsigned long long)t->online, (unsigned long long)t->asked);
    printf(" \"interrupted\": %s, \"seconds\": %.6f, \"answers\": %llu, \"late\": %llu, \"rate\": %.2f, "
           "\"received\": %llu,\n",
           load_read(&load_interrupted) != 0 ? "true" : "false", t->seconds, (unsigned long long)t->answered,
           (unsigned long long)t->late, t->rate, (unsigned long long)t->received);
    if (load_opt.tls)
        print_json_handshakes(t);
    printf(" \"reopened\": %llu, \"waited\": %llu, \"cpu_seconds\": %.6f,\n \"status\": {",
           (unsigned long long)t->reopened, (unsigned long long)t->waited, t->cpu);
    for (unsigned s = 0; s < 600; s++) {
        if (t->status[s] == 0)
            continue;
        printf("%s\"%u\": %llu", between, s, (unsigned long long)t->status[s]);
        between = ", ";
    }
    printf("},\n \"errors\": {");
    for (unsigned k = 0; k < LOAD_ERRORS; k++)
        printf("%s\"%s\": %llu", k > 0 ? ", " : "", error_names[k], (unsigned long long)t->errors[k]);
    printf("},\n \"latency_ns\": {\n");
    if (load_opt.rate > 0)
        print_json_latency("corrected", &t->corrected, ",");
    print_json_latency("raw", &t->raw, "},");
    print_json_histogram(load_opt.rate > 0 ? &t->corrected : &t->raw);
}

void load_show_report(load_worker **workers, unsigned n)
{
    static totals t;
    add_up(&t, workers, n);
    if (load_opt.json) {
        print_json(&t);
        return;
    }
    if (!load_opt.quiet && load_opt.terminal) {
        write_over("");
        putchar('\r');
    }
    if (load_read(&load_interrupted) != 0)
        puts("\n  interrupted; so far:");
    print_counts(&t);
    if (t.raw.total > 0) {
        print_latency(&t);
        print_histogram(load_opt.rate > 0 ? &t.corrected : &t.raw);
    }
    print_notes(&t);
}
