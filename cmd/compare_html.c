/* compare_html.c - the report of `weft compare` as one page: charts drawn in SVG, no script, nothing loaded from
 * elsewhere, readable in light and in dark. */
#include "cmd.h"
#include "compare.h"

#include <weft/base.h>

#include <errno.h>
#include <math.h>
#include <string.h>

enum {
    WIDTH = 720,
    LEFT = 92,   /* of the drawing area */
    RIGHT = 110, /* room for figures and names */
    BAR = 26,
    HEIGHT = 320, /* of a chart with lines */
    TOP = 16,
    BOTTOM = 40
};

static const char *const colours[] = {"#4e79a7", "#f28e2b", "#e15759", "#76b7b2", "#59a14f", "#b6992d",
                                      "#b07aa1", "#d37295", "#9c755f", "#499894", "#79706e", "#8cd17d"};

static const char *colour(unsigned model)
{
    return colours[model % (sizeof colours / sizeof colours[0])];
}

static const char style[] =
    "<style>\n"
    ":root{color-scheme:light dark;--ink:#1d2733;--soft:#667382;--line:#dde3ea;--paper:#fff;--ground:#f4f6f9}\n"
    "@media(prefers-color-scheme:dark){:root{--ink:#e4e9ef;--soft:#93a0ae;--line:#323b46;--paper:#1b2129;--ground:#"
    "12161b}}\n"
    "*{box-sizing:border-box}body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.5 "
    "system-ui,sans-serif}\n"
    "main{max-width:1000px;margin:0 auto;padding:32px 20px 60px}h1{font-size:28px;margin:0 0 "
    "4px}h2{font-size:18px;margin:0 0 2px}\n"
    "p{margin:0 0 12px;color:var(--soft)}section{background:var(--paper);border:1px solid "
    "var(--line);border-radius:12px;"
    "padding:20px 22px;margin:20px 0;overflow-x:auto}\n"
    "svg{display:block;width:100%;height:auto;min-width:560px}text{fill:var(--ink);font:12px system-ui,sans-serif}"
    ".soft{fill:var(--soft)}.grid{stroke:var(--line)}\n"
    "table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:13px}"
    "th,td{text-align:right;padding:5px 8px;border-bottom:1px solid var(--line);white-space:nowrap}"
    "th{color:var(--soft);font-weight:600}td:first-child,th:first-child,td.text{text-align:left}\n"
    ".dot{display:inline-block;width:10px;height:10px;border-radius:3px;margin-right:7px}\n"
    "</style>\n";

static const char *show_rate(double v, char text[24])
{
    if (v >= 100000)
        snprintf(text, 24, "%.0f k", v / 1000);
    else if (v >= 10000)
        snprintf(text, 24, "%.1f k", v / 1000);
    else
        snprintf(text, 24, "%.0f", v);
    return text;
}

static const char *show_ms(double ms, char text[24])
{
    snprintf(text, 24,
             ms >= 1000  ? "%.1f s"
             : ms >= 10  ? "%.0f ms"
             : ms >= 0.1 ? "%.1f ms"
                         : "%.2f ms",
             ms >= 1000 ? ms / 1000 : ms);
    return text;
}

/* ---- bars ---- */

typedef double value_fn(const compare_result *r, const compare_model *m); /* negative: there is none */
typedef const char *show_fn(double v, char text[24]);

static double best_rate(const compare_result *r, const compare_model *m)
{
    const compare_step *s = compare_best(r, m);
    return s->error == 0 ? compare_rate(&s->load) : -1;
}

static double last_memory(const compare_result *r, const compare_model *m)
{
    const compare_step *s = &m->steps[r->nsteps - 1];
    return s->error == 0 ? (double)s->use.memory / (1 << 20) : -1;
}

static const char *show_mib(double v, char text[24])
{
    snprintf(text, 24, "%.1f MiB", v);
    return text;
}

static void begin_section(FILE *f, const char *id, const char *title, const char *text)
{
    fprintf(f, "<section id=\"%s\"><h2>%s</h2><p>%s</p>\n", id, title, text);
}

static void begin_svg(FILE *f, int height, const char *label)
{
    fprintf(f, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s\">\n", WIDTH, height, label);
}

static void draw_bars(FILE *f, const compare_result *r, value_fn *value, show_fn *show, const char *label)
{
    double most = 0;
    for (unsigned i = 0; i < r->nmodels; i++)
        most = fmax(most, value(r, &r->models[i]));
    begin_svg(f, (int)r->nmodels * BAR + 8, label);
    for (unsigned i = 0; i < r->nmodels; i++) {
        char text[24];
        double v = value(r, &r->models[i]);
        int y = (int)i * BAR + 4;
        double w = most > 0 && v > 0 ? v / most * (WIDTH - LEFT - RIGHT) : 0;
        fprintf(f, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>", LEFT - 8, y + 16, r->models[i].name);
        if (v >= 0)
            fprintf(f, "<rect class=\"bar\" x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" rx=\"3\" fill=\"%s\"/>",
                    LEFT, y + 2, fmax(w, 1), BAR - 7, colour(i));
        fprintf(f, "<text class=\"soft\" x=\"%.1f\" y=\"%d\">%s</text>\n", LEFT + w + 8, y + 16,
                v >= 0 ? show(v, text) : "not measured");
    }
    fputs("</svg></section>\n", f);
}

/* What became of the last step's clients. */
static void draw_shares(FILE *f, const compare_result *r)
{
    static const char *const fills[] = {"#59a14f", "#edc948", "#f28e2b", "#e15759"};
    begin_svg(f, (int)r->nmodels * BAR + 8, "Clients held, waiting, broken and refused");
    for (unsigned i = 0; i < r->nmodels; i++) {
        const compare_step *s = &r->models[i].steps[r->nsteps - 1];
        const compare_load *l = &s->load;
        double parts[] = {l->held, compare_waiting(l), l->broken, l->refused};
        double x = LEFT, scale = l->clients > 0 ? l->clients : 1;
        int y = (int)i * BAR + 4;
        fprintf(f, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>", LEFT - 8, y + 16, r->models[i].name);
        if (s->error != 0) {
            fprintf(f, "<text class=\"soft\" x=\"%d\" y=\"%d\">not measured</text>\n", LEFT + 8, y + 16);
            continue;
        }
        for (int k = 0; k < 4; k++) {
            double w = parts[k] / scale * (WIDTH - LEFT - RIGHT);
            if (w > 0)
                fprintf(f, "<rect class=\"bar\" x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\" fill=\"%s\"/>", x,
                        y + 2, w, BAR - 7, fills[k]);
            x += w;
        }
        fprintf(f, "<text class=\"soft\" x=\"%d\" y=\"%d\">%u of %u</text>\n", WIDTH - RIGHT + 8, y + 16, l->held,
                l->clients);
    }
    fputs("</svg><p><span class=\"dot\" style=\"background:#59a14f\"></span>held: answered, and still there at the end "
          "&nbsp; "
          "<span class=\"dot\" style=\"background:#edc948\"></span>waiting, without an answer &nbsp; "
          "<span class=\"dot\" style=\"background:#f28e2b\"></span>broken after an answer &nbsp; "
          "<span class=\"dot\" style=\"background:#e15759\"></span>turned away</p></section>\n",
          f);
}

/* ---- lines ---- */

typedef double point_fn(const compare_step *s); /* negative: there is none */

static double rate_point(const compare_step *s)
{
    return s->error == 0 ? compare_rate(&s->load) : -1;
}

static double p99_point(const compare_step *s)
{
    return s->error == 0 && s->load.answered > 0 ? (double)s->load.p99 / 1e6 : -1;
}

typedef struct scale {
    double least, most;
    bool is_log;
} scale;

static double y_of(const scale *s, double v)
{
    double part = s->is_log ? (log10(fmax(v, s->least)) - log10(s->least)) / (log10(s->most) - log10(s->least))
                            : (v - s->least) / (s->most - s->least);
    return HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM);
}

static double x_of(const compare_result *r, unsigned step)
{
    return r->nsteps > 1 ? LEFT + (double)step / (r->nsteps - 1) * (WIDTH - LEFT - RIGHT) : LEFT;
}

static scale find_scale(const compare_result *r, point_fn *point, bool is_log)
{
    scale s = {is_log ? INFINITY : 0, 0, is_log};
    for (unsigned i = 0; i < r->nmodels; i++)
        for (unsigned k = 0; k < r->nsteps; k++) {
            double v = point(&r->models[i].steps[k]);
            if (v < 0)
                continue;
            s.most = fmax(s.most, v);
            s.least = is_log ? fmin(s.least, v) : 0;
        }
    if (!is_log)
        s.most = s.most > 0 ? s.most : 1;
    if (is_log) {
        s.least = isinf(s.least) || s.least <= 0 ? 0.01 : pow(10, floor(log10(s.least)));
        s.most = s.most > s.least ? pow(10, ceil(log10(s.most))) : s.least * 10;
        if (s.most <= s.least)
            s.most = s.least * 10;
    }
    return s;
}

static void draw_grid(FILE *f, const compare_result *r, const scale *s, show_fn *show)
{
    char text[24];
    int lines = s->is_log ? (int)lround(log10(s->most / s->least)) : 4;
    for (int i = 0; i <= lines; i++) {
        double v = s->is_log ? s->least * pow(10, i) : s->most * i / 4;
        fprintf(f,
                "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/><text class=\"soft\" x=\"%d\" "
                "y=\"%.1f\" "
                "text-anchor=\"end\">%s</text>\n",
                LEFT, WIDTH - RIGHT, y_of(s, v), y_of(s, v), LEFT - 8, y_of(s, v) + 4, show(v, text));
    }
    for (unsigned k = 0; k < r->nsteps; k++)
        fprintf(f, "<text class=\"soft\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%u</text>\n", x_of(r, k),
                HEIGHT - BOTTOM + 18, r->clients[k]);
    fprintf(f, "<text class=\"soft\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">clients</text>\n",
            LEFT + (WIDTH - LEFT - RIGHT) / 2.0, HEIGHT - 4);
}

static void draw_lines(FILE *f, const compare_result *r, point_fn *point, show_fn *show, bool is_log, const char *label)
{
    scale s = find_scale(r, point, is_log);
    begin_svg(f, HEIGHT, label);
    draw_grid(f, r, &s, show);
    for (unsigned i = 0; i < r->nmodels; i++) {
        fprintf(f,
                "<polyline class=\"curve\" fill=\"none\" stroke=\"%s\" stroke-width=\"2\" stroke-linejoin=\"round\" "
                "points=\"",
                colour(i));
        for (unsigned k = 0; k < r->nsteps; k++) {
            double v = point(&r->models[i].steps[k]);
            if (v >= 0)
                fprintf(f, "%.1f,%.1f ", x_of(r, k), y_of(&s, v));
        }
        fputs("\"/>\n", f);
        for (unsigned k = 0; k < r->nsteps; k++) {
            char text[24];
            double v = point(&r->models[i].steps[k]);
            if (v >= 0)
                fprintf(
                    f,
                    "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"><title>%s, %u clients: %s</title></circle>\n",
                    x_of(r, k), y_of(&s, v), colour(i), r->models[i].name, r->clients[k], show(v, text));
        }
        fprintf(f,
                "<rect x=\"%d\" y=\"%u\" width=\"10\" height=\"10\" rx=\"3\" fill=\"%s\"/><text x=\"%d\" "
                "y=\"%u\">%s</text>\n",
                WIDTH - RIGHT + 18, TOP + i * 20, colour(i), WIDTH - RIGHT + 34, TOP + 9 + i * 20, r->models[i].name);
    }
    fputs("</svg></section>\n", f);
}

/* ---- the table ---- */

static const char *show_time(const compare_load *l, int64_t ns, char text[24])
{
    return l->answered > 0 ? show_ms((double)ns / 1e6, text) : "-";
}

static void write_row(FILE *f, const compare_result *r, unsigned i, unsigned k)
{
    const compare_step *s = &r->models[i].steps[k];
    const compare_load *l = &s->load;
    char a[24], b[24], c[24], d[24];
    double seconds = l->took > 0 ? (double)l->took / 1e9 : 1;
    fprintf(f, "<tr><td><span class=\"dot\" style=\"background:%s\"></span>%s</td><td>%u</td>", colour(i),
            r->models[i].name, l->clients);
    if (s->error != 0) {
        fprintf(f, "<td class=\"text\" colspan=\"11\">%s</td></tr>\n", s->why);
        return;
    }
    fprintf(f, "<td>%u</td><td>%u</td><td>%.0f</td><td>%.0f</td><td>%s</td><td>%s</td><td>%s</td><td>%s</td>",
            l->online, l->held, (double)l->sent / seconds, compare_rate(l), show_time(l, l->p50, a),
            show_time(l, l->p90, b), show_time(l, l->p99, c), show_time(l, l->most, d));
    fprintf(f, "<td>%.1f</td><td>%.0f%%</td><td>%.2f</td></tr>\n", (double)s->use.memory / (1 << 20),
            (double)s->use.cpu / (double)(l->whole_took > 0 ? l->whole_took : 1) * 100, compare_switches(s));
}

static void write_tables(FILE *f, const compare_result *r)
{
    begin_section(f, "breaks", "Where each one breaks", "The first number of clients that it does not hold.");
    fputs("<table><tr><th>model</th><th>clients at a time</th><th style=\"text-align:left\">breaks</th></tr>\n", f);
    for (unsigned i = 0; i < r->nmodels; i++) {
        char text[128];
        compare_breaks(r, &r->models[i], text, sizeof text);
        fprintf(f,
                "<tr><td><span class=\"dot\" style=\"background:%s\"></span>%s</td><td>%u</td><td "
                "class=\"text\">%s</td></tr>\n",
                colour(i), r->models[i].name, r->models[i].capacity, text);
    }
    fputs("</table></section>\n", f);
    begin_section(f, "figures", "All figures",
                  "QPS: requests received in a second. TPS: requests answered. Online: connected at the same time. "
                  "Held: answered, and still connected at the end. "
                  "Switches: context switches of the server for each answer.");
    fputs("<table><tr><th>model</th><th>clients</th><th>online</th><th>held</th><th>QPS</th><th>TPS</th><th>p50</th>"
          "<th>p90</th><th>p99</th><th>longest</th><th>MiB</th><th>CPU</th><th>switches</th></tr>\n",
          f);
    for (unsigned i = 0; i < r->nmodels; i++)
        for (unsigned k = 0; k < r->nsteps; k++)
            write_row(f, r, i, k);
    fputs("</table></section>\n", f);
}

int compare_write_html(const compare_result *r, const char *file)
{
    FILE *f = fopen(file, "we");
    if (f == NULL)
        return -errno;
    fprintf(f,
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>weft compare: %s</title>\n"
            "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n%s</head><body><main>\n"
            "<h1>Server models, job &ldquo;%s&rdquo;%s</h1><p>One handler under %u models; each step took %.3g s. "
            "Server and "
            "clients shared %u processor%s.%s%s%s</p>\n",
            compare_jobs[r->job], style, compare_jobs[r->job], r->tls ? " over TLS" : "", r->nmodels,
            (double)r->duration / 1e9, r->processors, r->processors == 1 ? "" : "s", r->tls ? " TLS: " : "",
            compare_tls(r), r->tls ? ", whole handshakes, the certificate&rsquo;s key is on P-256." : "");
    begin_section(f, "best", "Answers a second", "The best of its steps.");
    draw_bars(f, r, best_rate, show_rate, "Answers a second by model");
    begin_section(f, "rate", "Answers a second as clients are added", "A model that holds on stays level.");
    draw_lines(f, r, rate_point, show_rate, false, "Answers a second by number of clients");
    begin_section(f, "time", "Response time",
                  "99 of 100 answers came within this; each line of the grid is ten times the one below.");
    draw_lines(f, r, p99_point, show_ms, true, "Response time by number of clients");
    char text[96];
    snprintf(text, sizeof text, "What becomes of %u clients.", r->clients[r->nsteps - 1]);
    begin_section(f, "held", "Clients held", text);
    draw_shares(f, r);
    begin_section(f, "memory", "Memory with the most clients", "All processes of the server together.");
    draw_bars(f, r, last_memory, show_mib, "Memory by model");
    write_tables(f, r);
    fputs("</main></body></html>\n", f);
    int err = fflush(f) != 0 ? -errno : ferror(f) ? -EIO : 0;
    return fclose(f) != 0 && err == 0 ? -errno : err;
}
