/* models_show.c - what `weft bench models` measured, as a table, in the form of the tutorials, or as JSON. */
#include "models.h"

#include <math.h>
#include <string.h>

typedef struct set {
    const char *title, *key;
    const models_times *times;
} set;

/* The measurements that there are. */
static int list_sets(const models_report *r, set out[3])
{
    int n = 0;
    out[n++] = (set){"weft", "weft", &r->all};
    if (r->has_one_core)
        out[n++] = (set){"weft, on one processor", "one_core", &r->one_core};
    if (r->has_python)
        out[n++] = (set){"CPython", "cpython", &r->python};
    return n;
}

static void print_gil(const models_settings *s)
{
    if (s->gil_steps > 0)
        printf("GIL: handed over every %llu steps", (unsigned long long)s->gil_steps);
    else if (s->gil_slice > 0)
        printf("GIL: handed over after %.3g ms", (double)s->gil_slice / 1e6);
    else
        printf("no GIL");
}

static void print_locks(const models_locks *l)
{
    printf("\nLocks: nanoseconds to acquire and release\n\n%-12s %12s %12s\n", "", "one thread", "two threads");
    printf("%-12s %12.1f %12.1f\n%-12s %12.1f %12.1f\n", "Lock", l->lock, l->lock_contended, "RLock", l->rlock,
           l->rlock_contended);
}

static void print_curve(const models_curve *c)
{
    printf("\nThreads: work per second beside that of one thread\n\n%-12s %12s %12s\n", "at once", "computing",
           "waiting");
    for (int i = 0; i < CURVE_POINTS; i++)
        printf("%-12u %11.1fx %11.1fx\n", c->at_once[i], c->compute[i], c->wait[i]);
}

void models_print_table(const models_report *r)
{
    set sets[3];
    int n = list_sets(r, sets);
    printf("%u tasks, %u processor%s, ", r->settings.tasks, r->processors, r->processors == 1 ? "" : "s");
    print_gil(&r->settings);
    printf("; seconds, and how many times as fast as Line\n");
    for (int i = 0; i < n; i++) {
        printf("\n%s%s%s\n\n%-10s", sets[i].title, strcmp(sets[i].key, "cpython") == 0 ? " " : "",
               strcmp(sets[i].key, "cpython") == 0 ? r->python_version : "", "");
        for (int model = 0; model < MODELS; model++)
            printf(" %15s", models_model_names[model]);
        printf("\n");
        for (int job = 0; job < JOBS; job++) {
            const double *seconds = sets[i].times->seconds[job];
            printf("%-10s", models_job_names[job]);
            for (int model = 0; model < MODELS; model++)
                printf(" %8.3f %5.1fx", seconds[model], seconds[MODEL_LINE] / seconds[model]);
            printf("\n");
        }
    }
    if (r->has_curve)
        print_curve(&r->curve);
    if (r->has_locks)
        print_locks(&r->locks);
    if (r->load > r->processors)
        printf("\nThe machine was busy (load %.1f on %u processor%s): these figures say little.\n", r->load,
               r->processors, r->processors == 1 ? "" : "s");
}

void models_print_classic(const models_report *r)
{
    const double *cpu = r->all.seconds[JOB_COMPUTE], *io = r->all.seconds[JOB_WAIT];
    printf("Line CPU %.6f\nThread CPU: %.6f\nProcess CPU: %.6f\n", cpu[MODEL_LINE], cpu[MODEL_THREAD],
           cpu[MODEL_PROCESS]);
    printf("Line IO %.6f\nThread io: %.6f\nProcess io: %.6f\n", io[MODEL_LINE], io[MODEL_THREAD], io[MODEL_PROCESS]);
}

void models_print_json(const models_report *r)
{
    set sets[3];
    int n = list_sets(r, sets);
    printf("{\"tasks\": %u, \"processors\": %u, \"load\": %.2f, \"gil_steps\": %llu, \"gil_seconds\": %g, \"python\": "
           "\"%s\",\n",
           r->settings.tasks, r->processors, r->load, (unsigned long long)r->settings.gil_steps,
           (double)r->settings.gil_slice / 1e9, r->python_version);
    printf(" \"times\": [");
    for (int i = 0; i < n; i++)
        for (int job = 0; job < JOBS; job++)
            for (int model = 0; model < MODELS; model++)
                printf("%s\n  {\"set\": \"%s\", \"job\": \"%s\", \"model\": \"%s\", \"seconds\": %.6f}",
                       i + job + model > 0 ? "," : "", sets[i].key, models_job_names[job], models_model_names[model],
                       sets[i].times->seconds[job][model]);
    printf("\n ]");
    if (r->has_curve) {
        printf(",\n \"curve\": [");
        for (int i = 0; i < CURVE_POINTS; i++)
            printf("%s\n  {\"at_once\": %u, \"computing\": %.3f, \"waiting\": %.3f}", i > 0 ? "," : "",
                   r->curve.at_once[i], r->curve.compute[i], r->curve.wait[i]);
        printf("\n ]");
    }
    if (r->has_locks)
        printf(",\n \"locks\": {\"lock\": %.2f, \"rlock\": %.2f, \"lock_contended\": %.2f, \"rlock_contended\": %.2f}",
               r->locks.lock, r->locks.rlock, r->locks.lock_contended, r->locks.rlock_contended);
    printf("}\n");
}

/* ---- the picture ---- */

enum {
    WIDTH = 860,
    LEFT = 130,      /* where the bars begin */
    LONGEST = 620,   /* of a bar */
    BAR = 15,        /* its height */
    MODEL_GAP = 9,   /* between models */
    PANEL_HEAD = 44, /* above a panel's first bar */
    PANEL_FOOT = 34, /* below its last: the scale */
    TOP = 92,
    CURVE_HEIGHT = 262
};

static const char *const colours[3] = {"#1f6f8b", "#7fb7c9", "#e0a030"};

/* A round step for a scale of about five marks. */
static double nice_step(double most)
{
    double step = 1e-4;
    static const double factors[] = {2, 2.5, 2};
    for (int i = 0; most / step > 6; i++)
        step *= factors[i % 3];
    return step;
}

static int panel_height(int sets)
{
    return PANEL_HEAD + MODELS * (sets * BAR + MODEL_GAP) + PANEL_FOOT;
}

static void draw_scale(FILE *out, double most, int top, int bottom)
{
    double step = nice_step(most);
    for (int i = 0; i * step <= most * 1.0001; i++) {
        int x = LEFT + (int)(i * step / most * LONGEST);
        fprintf(out, "<line x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\" stroke=\"#d8dde0\"/>\n", x, top, x, bottom);
        fprintf(out, "<text x=\"%d\" y=\"%d\" class=\"small\" text-anchor=\"middle\">%g s</text>\n", x, bottom + 16,
                i * step);
    }
}

static void draw_panel(FILE *out, enum models_job job, const set *sets, int n, int y)
{
    static const char *const titles[JOBS] = {"Computing: counting primes", "Waiting: pauses of 20 ms, as for a network",
                                             "Files: writing, forcing to the disk, reading back"};
    double most = 0;
    for (int i = 0; i < n; i++)
        for (int model = 0; model < MODELS; model++)
            if (sets[i].times->seconds[job][model] > most)
                most = sets[i].times->seconds[job][model];
    fprintf(out, "<text x=\"24\" y=\"%d\" class=\"head\">%s</text>\n", y + 22, titles[job]);
    int top = y + PANEL_HEAD - 8, bottom = y + panel_height(n) - PANEL_FOOT;
    draw_scale(out, most, top, bottom);
    y += PANEL_HEAD;
    for (int model = 0; model < MODELS; model++, y += n * BAR + MODEL_GAP) {
        fprintf(out, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n", LEFT - 10, y + n * BAR / 2 + 5,
                models_model_names[model]);
        for (int i = 0; i < n; i++) {
            double seconds = sets[i].times->seconds[job][model];
            int length = (int)(seconds / most * LONGEST);
            fprintf(out, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"2\" fill=\"%s\"/>\n", LEFT,
                    y + i * BAR, length < 1 ? 1 : length, BAR - 2, colours[i]);
            fprintf(out, "<text x=\"%d\" y=\"%d\" class=\"small value\">%.3f s</text>\n",
                    LEFT + (length < 1 ? 1 : length) + 6, y + i * BAR + 11, seconds);
        }
    }
}

/* Both scales double from mark to mark. */
static void draw_line(FILE *out, const models_curve *c, const double *values, const char *colour, const char *name,
                      int y)
{
    const int step_x = LONGEST / (CURVE_POINTS - 1), step_y = (CURVE_HEIGHT - 92) / (CURVE_POINTS - 1);
    const int bottom = y + CURVE_HEIGHT - 48;
    fprintf(out, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2.5\" points=\"", colour);
    for (int i = 0; i < CURVE_POINTS; i++)
        fprintf(out, "%d,%.1f ", LEFT + i * step_x, bottom - log2(values[i]) * step_y);
    fprintf(out, "\"/>\n");
    for (int i = 0; i < CURVE_POINTS; i++)
        fprintf(out,
                "<circle cx=\"%d\" cy=\"%.1f\" r=\"3.5\" fill=\"%s\"><title>%u at once: %.1f times</title></circle>\n",
                LEFT + i * step_x, bottom - log2(values[i]) * step_y, colour, c->at_once[i], values[i]);
    fprintf(out, "<text x=\"%d\" y=\"%.1f\" class=\"small\" fill=\"%s\">%s %.1fx</text>\n",
            LEFT + (CURVE_POINTS - 1) * step_x + 10, bottom - log2(values[CURVE_POINTS - 1]) * step_y + 4, colour, name,
            values[CURVE_POINTS - 1]);
}

static void draw_curve(FILE *out, const models_curve *c, int y)
{
    const int step_x = LONGEST / (CURVE_POINTS - 1), step_y = (CURVE_HEIGHT - 92) / (CURVE_POINTS - 1);
    const int bottom = y + CURVE_HEIGHT - 48;
    fprintf(out,
            "<text x=\"24\" y=\"%d\" class=\"head\">Threads at once, and work per second beside that of one</text>\n",
            y + 22);
    for (int i = 0; i < CURVE_POINTS; i++) {
        fprintf(out, "<line x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\" stroke=\"#d8dde0\"/>\n", LEFT, bottom - i * step_y,
                LEFT + LONGEST, bottom - i * step_y);
        fprintf(out, "<text x=\"%d\" y=\"%d\" class=\"small\" text-anchor=\"end\">%ux</text>\n", LEFT - 10,
                bottom - i * step_y + 4, 1U << i);
        fprintf(out, "<text x=\"%d\" y=\"%d\" class=\"small\" text-anchor=\"middle\">%u</text>\n", LEFT + i * step_x,
                bottom + 32, c->at_once[i]); /* below a line that dips under 1x */
    }
    draw_line(out, c, c->wait, "#b4571f", "waiting", y);
    draw_line(out, c, c->compute, colours[0], "computing", y);
}

void models_print_svg(const models_report *r, FILE *out)
{
    set sets[3];
    int n = list_sets(r, sets), height = TOP + JOBS * panel_height(n) + (r->has_curve ? CURVE_HEIGHT : 0) + 12;
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" role=\"img\">\n"
            "<title>%u tasks one after another, in threads, in processes and in coroutines</title>\n"
            "<style>text{font:14px system-ui,sans-serif;fill:#1d2b33}.small{font-size:12px;fill:#46565f}"
            ".value{font-variant-numeric:tabular-nums;paint-order:stroke;stroke:#fff;stroke-width:3px}"
            ".head{font-weight:600;font-size:15px}.title{font-weight:600;font-size:19px}</style>\n"
            "<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n",
            WIDTH, height, WIDTH, height, r->settings.tasks, WIDTH, height);
    fprintf(out, "<text x=\"24\" y=\"36\" class=\"title\">%u tasks, %u processor%s: seconds, less is better</text>\n",
            r->settings.tasks, r->processors, r->processors == 1 ? "" : "s");
    int x = 24;
    for (int i = 0; i < n; i++) {
        bool python = strcmp(sets[i].key, "cpython") == 0, gil = r->settings.gil_steps > 0 || r->settings.gil_slice > 0;
        fprintf(out, "<rect x=\"%d\" y=\"56\" width=\"14\" height=\"14\" rx=\"2\" fill=\"%s\"/>\n", x, colours[i]);
        fprintf(out, "<text x=\"%d\" y=\"68\">%s%s%s%s</text>\n", x + 21, sets[i].title, python ? " " : "",
                python ? r->python_version : "", !python && gil ? ", with a GIL" : "");
        x += 40 + 8 * (int)(strlen(sets[i].title) + (python ? strlen(r->python_version) : gil ? 12 : 0));
    }
    int y = TOP;
    for (int job = 0; job < JOBS; job++, y += panel_height(n))
        draw_panel(out, job, sets, n, y);
    if (r->has_curve)
        draw_curve(out, &r->curve, y);
    fprintf(out, "</svg>\n");
}
