/* bench.c - runs the core benchmarks and prints each beside its baseline: weft-bench [--only GLOB] [--quick] [--json].
 *
 * The machine's speed drifts by tens of percent over seconds, so nothing is compared across time: sample i of a
 * benchmark and sample i of its baseline are neighbours (A B, B A, A B ...), their quotient is one ratio, and the
 * median of the ratios is what is reported, with the smallest and largest beside it. A ratio meets its target when it
 * does so rounded to two decimals. Exit status 0 says that everything ran, not that every target was met. */
#define _GNU_SOURCE
#include "bench.h"

#include <errno.h>
#include <fnmatch.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_SAMPLES    31
#define SAMPLE_LIMIT_S 120
#define PYTHON_SAMPLES 3 /* it has no target, and is slow */

struct summary {
    double low, median, high;
};

enum {
    OURS,
    BASE,
    PYTHON,
    SIDES
};

static bench_spec *specs;
static bool json, quick;
static const char *only = "*", *peers;

void bench_register(bench_spec *spec)
{
    bench_spec **at = &specs;
    while (*at != NULL && strcmp((*at)->name, spec->name) < 0)
        at = &(*at)->next;
    spec->next = *at;
    *at = spec;
}

int64_t bench_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

static int result_fd; /* in the child of a sample */

__attribute__((noreturn)) static void send_result(const bench *b)
{
    if (write(result_fd, b, sizeof *b) != (ssize_t)sizeof *b)
        _exit(1);
    _exit(0);
}

void bench_skip(bench *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(b->skipped, sizeof b->skipped, fmt, ap);
    va_end(ap);
    send_result(b);
}

/* --- one sample ----------------------------------------------------------------------------------------------- */

/* Ahead of what else runs here, if we may. The kernel weighs sessions against each other before it looks at what is
 * nice within one, so the sample gets a session of its own, and the session gets the weight. */
static void raise_priority(void)
{
    setsid();
    if (setpriority(PRIO_PROCESS, 0, -20) < 0)
        return;
    FILE *f = fopen("/proc/self/autogroup", "we");
    if (f != NULL) {
        fputs("-20", f);
        fclose(f);
    }
}

/* The last core this process may use: the first one takes most of the machine's interrupts. */
static void pin_to_one_core(void)
{
    cpu_set_t may, one;
    if (sched_getaffinity(0, sizeof may, &may) < 0)
        return;
    for (int cpu = CPU_SETSIZE - 1; cpu >= 0; cpu--) {
        if (CPU_ISSET(cpu, &may)) {
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            sched_setaffinity(0, sizeof one, &one);
            return;
        }
    }
}

__attribute__((noreturn)) static void run_peer(const bench_spec *spec, bench *b)
{
    char command[1024];
    const char *program = spec->is_python ? BENCH_FOLDER "/peers/python_peers.py" : peers;
    if (program == NULL || access(program, X_OK) != 0)
        bench_skip(b, "the peers' program is not there");
    snprintf(command, sizeof command, "'%s' %s %llu", program, spec->peer, (unsigned long long)b->n);
    FILE *f = popen(command, "r");
    if (f == NULL || fscanf(f, "%lf", &b->value) != 1 || pclose(f) != 0)
        bench_skip(b, "the peers' program failed: %s %s", strrchr(program, '/') + 1, spec->peer);
    b->spent_ns = (int64_t)(b->value * (double)b->n);
    b->has_value = spec->unit != NULL;
    send_result(b);
}

/* Take one sample in a child process. False when it did not end well; b->skipped says why. */
static bool sample(const bench_spec *spec, uint64_t n, unsigned cores, bench *b)
{
    int fds[2], status;
    *b = (bench){.n = n};
    fflush(NULL);
    if (pipe(fds) < 0) {
        snprintf(b->skipped, sizeof b->skipped, "pipe: %s", strerror(errno));
        return false;
    }
    pid_t pid = fork();
    if (pid == 0) {
        close(fds[0]);
        result_fd = fds[1];
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        alarm(SAMPLE_LIMIT_S);
        raise_priority();
        if (cores == 1)
            pin_to_one_core();
        if (spec->peer != NULL)
            run_peer(spec, b);
        spec->run(b);
        send_result(b);
    }
    close(fds[1]);
    bool whole = pid > 0 && read(fds[0], b, sizeof *b) == (ssize_t)sizeof *b;
    close(fds[0]);
    if (pid > 0)
        waitpid(pid, &status, 0);
    if (!whole)
        snprintf(b->skipped, sizeof b->skipped, "%s", pid < 0 ? "fork failed" : "the sample died or took too long");
    return b->skipped[0] == '\0';
}

static double sample_value(const bench *b)
{
    return b->has_value ? b->value : (double)b->spent_ns / (double)b->n;
}

/* Find how many operations take about `target_ns`. False as for sample. */
static bool calibrate(const bench_spec *spec, unsigned cores, int64_t target_ns, uint64_t *n, bench *b)
{
    *n = spec->fixed_n != 0 ? spec->fixed_n : 1;
    for (;;) {
        if (!sample(spec, *n, cores, b))
            return false;
        if (spec->fixed_n != 0 || b->has_value || b->spent_ns >= target_ns / 2)
            return true;
        double factor = b->spent_ns > 0 ? (double)target_ns / (double)b->spent_ns : 100;
        *n = (uint64_t)((double)*n * fmin(fmax(factor, 2), 100));
    }
}

/* --- a benchmark beside its baseline -------------------------------------------------------------------------- */

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static struct summary summarize(const double *values, unsigned n)
{
    double sorted[MAX_SAMPLES];
    memcpy(sorted, values, n * sizeof *values);
    qsort(sorted, n, sizeof *sorted, compare_doubles);
    double median = n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
    return (struct summary){sorted[0], median, sorted[n - 1]};
}

static bool at_most(double value, double target)
{
    return round(value * 100) / 100 <= target;
}

static const char *verdict(const bench_spec *spec, double value, const double *ratio)
{
    if (spec->at_most == 0 && spec->value_at_most == 0)
        return "-";
    if (spec->at_most != 0 && ratio == NULL)
        return "NO BASELINE";
    bool met = (spec->at_most == 0 || at_most(*ratio, spec->at_most)) &&
               (spec->value_at_most == 0 || at_most(value, spec->value_at_most));
    return met ? "PASS" : "MISS";
}

/* One of those that are measured in turns: ours, the baseline, Python. */
typedef struct side {
    const bench_spec *spec; /* NULL: it does not take part */
    uint64_t n;
    unsigned samples;
    double values[MAX_SAMPLES];
    struct summary value, ratio; /* the latter: of ours to it */
} side;

static void print_json(const side *ours, const side *base, const side *python, const char *note, const char *word)
{
    const bench_spec *spec = ours->spec;
    printf("{\"bench\": \"core/%s\", \"unit\": \"%s\", \"value\": [%.4g, %.4g, %.4g]", spec->name,
           spec->unit != NULL ? spec->unit : "ns/op", ours->value.low, ours->value.median, ours->value.high);
    if (base->spec != NULL)
        printf(", \"baseline\": \"%s\", \"baseline_value\": [%.4g, %.4g, %.4g], \"ratio\": [%.4g, %.4g, %.4g]",
               spec->baseline, base->value.low, base->value.median, base->value.high, base->ratio.low,
               base->ratio.median, base->ratio.high);
    if (python->spec != NULL)
        printf(", \"python_value\": [%.4g, %.4g, %.4g], \"python_ratio\": [%.4g, %.4g, %.4g]", python->value.low,
               python->value.median, python->value.high, python->ratio.low, python->ratio.median, python->ratio.high);
    if (spec->at_most != 0)
        printf(", \"ratio_at_most\": %g", spec->at_most);
    if (spec->value_at_most != 0)
        printf(", \"value_at_most\": %g", spec->value_at_most);
    printf(", \"note\": \"%s\", \"verdict\": \"%s\"}\n", note, word);
}

static void print_text(const side *ours, const side *base, const side *python, const char *note, const char *word)
{
    const bench_spec *spec = ours->spec;
    const char *unit = spec->unit != NULL ? spec->unit : "ns/op";
    printf("%-34s %10.4g %-9s", spec->name, ours->value.median, unit);
    if (base->spec != NULL)
        printf(" %10.4g %-32s %6.2f (%.2f-%.2f)", base->value.median, spec->baseline, base->ratio.median,
               base->ratio.low, base->ratio.high);
    if (python->spec != NULL)
        printf("  Python %.4g, %.3g", python->value.median, python->ratio.median);
    if (spec->at_most != 0)
        printf("  target <= %g x", spec->at_most);
    if (spec->value_at_most != 0)
        printf("  target <= %g %s", spec->value_at_most, unit);
    printf("  %s%s%s\n", word, note[0] != '\0' ? "  " : "", note);
}

static void print_result(const side *ours, const side *base, const side *python, const char *note)
{
    const char *word = verdict(ours->spec, ours->value.median, base->spec != NULL ? &base->ratio.median : NULL);
    (json ? print_json : print_text)(ours, base, python, note, word);
    fflush(stdout);
}

static void print_skipped(const bench_spec *spec, const char *why)
{
    if (json)
        printf("{\"bench\": \"core/%s\", \"note\": \"%s\", \"verdict\": \"SKIP\"}\n", spec->name, why);
    else
        printf("%-34s SKIP  %s\n", spec->name, why);
    fflush(stdout);
}

static const bench_spec *find(const char *name)
{
    for (const bench_spec *s = specs; s != NULL; s = s->next)
        if (strcmp(s->name, name) == 0)
            return s;
    fprintf(stderr, "weft-bench: no benchmark is called %s\n", name);
    exit(1);
}

/* How many operations a sample of this side has. False: it cannot take part, and b->skipped says why. */
static bool prepare(side *x, const bench_spec *ours, bench *b)
{
    return x->spec == NULL || calibrate(x->spec, ours->cores, quick ? 20000000 : 100000000, &x->n, b);
}

/* The sides in turns, each a first time, then each a second time ..., and not always in the same order. */
static bool take_samples(side sides[SIDES], bench *b)
{
    for (unsigned i = 0; i < sides[OURS].samples; i++)
        for (unsigned turn = 0; turn < SIDES; turn++) {
            side *x = &sides[(turn + i) % SIDES];
            if (x->spec == NULL || i >= x->samples)
                continue;
            if (!sample(x->spec, x->n, sides[OURS].spec->cores, b))
                return false;
            x->values[i] = sample_value(b);
        }
    return true;
}

static void summarize_side(side *x, const side *ours)
{
    double ratios[MAX_SAMPLES];
    for (unsigned i = 0; i < x->samples; i++)
        ratios[i] = ours->values[i] / x->values[i];
    x->value = summarize(x->values, x->samples);
    x->ratio = summarize(ratios, x->samples);
}

static void run_spec(const bench_spec *spec)
{
    bench_spec python = {.name = spec->name, .peer = spec->python, .unit = spec->unit, .is_python = 1};
    python.fixed_n = spec->python_n != 0 ? spec->python_n : spec->unit != NULL ? spec->fixed_n : 0;
    unsigned samples = quick ? 3 : spec->samples != 0 ? spec->samples : 9;
    side sides[SIDES] = {
        [OURS] = {.spec = spec, .samples = samples},
        [BASE] = {.spec = spec->baseline != NULL ? find(spec->baseline) : NULL, .samples = samples},
        [PYTHON] = {.spec = spec->python != NULL ? &python : NULL, .samples = PYTHON_SAMPLES},
    };
    bench b;
    char note[sizeof b.skipped] = "";

    if (!prepare(&sides[OURS], spec, &b)) {
        print_skipped(spec, b.skipped);
        return;
    }
    for (unsigned i = BASE; i < SIDES; i++)
        if (!prepare(&sides[i], spec, &b)) {
            memcpy(note, b.skipped, sizeof note);
            sides[i].spec = NULL;
        }
    if (!take_samples(sides, &b)) {
        print_skipped(spec, b.skipped);
        return;
    }
    for (unsigned i = 0; i < SIDES; i++)
        if (sides[i].spec != NULL)
            summarize_side(&sides[i], &sides[OURS]);
    print_result(&sides[OURS], &sides[BASE], &sides[PYTHON], note);
}

int main(int argc, char **argv)
{
    bool list = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            json = true;
        } else if (strcmp(argv[i], "--quick") == 0) {
            quick = true;
        } else if (strcmp(argv[i], "--list") == 0) {
            list = true;
        } else if (strcmp(argv[i], "--only") == 0 && i + 1 < argc) {
            only = argv[++i];
        } else if (strcmp(argv[i], "--peers") == 0 && i + 1 < argc) {
            peers = argv[++i];
        } else {
            fputs("usage: weft-bench [--only GLOB] [--quick] [--json] [--list] [--peers PROGRAM]\n", stderr);
            return strcmp(argv[i], "--help") == 0 ? 0 : 2;
        }
    }
    for (const bench_spec *s = specs; s != NULL; s = s->next) {
        if (s->is_baseline || fnmatch(only, s->name, 0) != 0)
            continue;
        if (list)
            puts(s->name);
        else
            run_spec(s);
    }
    return 0;
}
