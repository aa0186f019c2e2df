/* bench.c - `weft bench models`: the same work one after another, in threads, in processes and in coroutines. */
#include "cmd.h"
#include "models.h"

#include <weft/base.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COMMAND "weft bench"

static struct {
    unsigned tasks, work;
    const char *gil, *svg;
    int python, one_core, curve, locks, classic, json, help;
} set = {.tasks = 4, .work = 3000};

static const cmd_option options[] = {
    {"tasks", CMD_NUMBER, &set.tasks, NULL, 1, 1024, "N", "tasks that the work is dealt out to (default 4)"},
    {"work", CMD_NUMBER, &set.work, NULL, 1, 100000, "N",
     "count the primes below N thousand (default 3000; with --python 300)"},
    {"gil", CMD_TEXT, &set.gil, NULL, 0, 0, "N|TIME",
     "as an interpreter with one global lock would: handed over\nevery N steps (100, 700) or after a time (5ms)"},
    {"python", CMD_FLAG, &set.python, NULL, 0, 0, NULL, "the same by python3, beside it"},
    {"one-core", CMD_FLAG, &set.one_core, NULL, 0, 0, NULL, "also with everything held on one processor"},
    {"curve", CMD_FLAG, &set.curve, NULL, 0, 0, NULL, "also 1, 2, 4 ... 64 threads at once"},
    {"locks", CMD_FLAG, &set.locks, NULL, 0, 0, NULL, "also what Lock and RLock cost"},
    {"classic", CMD_FLAG, &set.classic, NULL, 0, 0, NULL, "print six lines as the tutorials do"},
    {"json", CMD_FLAG, &set.json, NULL, 0, 0, NULL, "print JSON"},
    {"svg", CMD_TEXT, &set.svg, NULL, 0, 0, "FILE", "draw a picture of it into FILE"},
    {"help", CMD_FLAG, &set.help, NULL, 0, 0, NULL, "print this and leave"},
};

enum {
    OPTIONS = sizeof options / sizeof options[0],
    WORK_DEFAULT = 3000,
    WORK_WITH_PYTHON = 300
};

static int print_help(void)
{
    puts("Usage: weft bench models [options]\n\n"
         "The same work four ways: one task after another (Line), in threads, in processes, in coroutines. Three kinds "
         "of\n"
         "work: computing (counting primes), waiting (pauses), files.\n\n"
         "Options:");
    cmd_print_options(options, OPTIONS);
    puts("\nExamples:\n"
         "  weft bench models                       # C's threads use all processors\n"
         "  weft bench models --gil 100             # Python's threads as the tutorials found them\n"
         "  weft bench models --gil 5ms --python    # as they are today, beside the real ones\n"
         "  weft bench models --one-core --curve --svg models.svg");
    return CMD_OK;
}

/* "700" is steps; "5ms", "0.005s" a time. */
static int read_gil(models_settings *s)
{
    char *end;
    if (set.gil == NULL)
        return CMD_OK;
    double value = strtod(set.gil, &end);
    double unit = strcmp(end, "ms") == 0 ? 1e6 : strcmp(end, "us") == 0 ? 1e3 : strcmp(end, "s") == 0 ? 1e9 : 0;
    if (end != set.gil && *end == 0 && value >= 1 && value <= 1e12) {
        s->gil_steps = (uint64_t)value;
        return CMD_OK;
    }
    if (end != set.gil && unit > 0 && value * unit >= 1 && value * unit <= 1e12) {
        s->gil_slice = (int64_t)(value * unit);
        return CMD_OK;
    }
    return cmd_usage(COMMAND, "--gil takes a number of steps such as 100 or 700, or a time such as 5ms (not '%s')",
                     set.gil);
}

static int measure(models_report *r)
{
    int err = models_measure(&r->settings, false, &r->all);
    if (err == CMD_OK && r->has_one_core)
        err = models_measure(&r->settings, true, &r->one_core);
    if (err == CMD_OK && r->has_curve)
        err = models_measure_curve(&r->settings, &r->curve);
    if (err == CMD_OK && r->has_locks)
        err = models_measure_locks(&r->locks);
    if (err == CMD_OK && r->has_python)
        err = models_measure_python(&r->settings, &r->python, r->python_version, sizeof r->python_version);
    return err;
}

/* Measure, print, and draw into `picture` unless that is NULL. */
static int report(models_report *r, FILE *picture)
{
    int err = measure(r);
    if (err != CMD_OK)
        return err;
    if (set.json)
        models_print_json(r);
    else if (set.classic)
        models_print_classic(r);
    else
        models_print_table(r);
    if (picture != NULL)
        models_print_svg(r, picture);
    return CMD_OK;
}

static int bench_models(void)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    if (set.python && set.work == WORK_DEFAULT)
        set.work = WORK_WITH_PYTHON;
    models_report r = {
        .settings = {.tasks = set.tasks, .limit = set.work * 1000},
        .processors = processors > 0 ? (unsigned)processors : 1,
        .has_one_core = set.one_core,
        .has_python = set.python,
        .has_curve = set.curve,
        .has_locks = set.locks,
    };
    if (getloadavg(&r.load, 1) != 1)
        r.load = 0;
    int err = read_gil(&r.settings);
    if (err != CMD_OK)
        return err;
    FILE *picture = NULL;
    if (set.svg != NULL && (picture = fopen(set.svg, "w")) == NULL) /* before the measuring, which takes seconds */
        return cmd_usage(COMMAND, "--svg: '%s' cannot be written: %s", set.svg, strerror(errno));
    err = report(&r, picture);
    if (picture != NULL && fclose(picture) != 0 && err == CMD_OK) {
        fprintf(stderr, COMMAND ": '%s' could not be written: %s\n", set.svg, strerror(errno));
        err = CMD_FAILED;
    }
    return err;
}

int cmd_bench(int argc, char **argv)
{
    const char *what = NULL;
    size_t count;
    int err = cmd_read_options(COMMAND, options, OPTIONS, argc, argv, &what, &count, 1);
    if (err != 0)
        return err;
    if (set.help)
        return print_help();
    if (count == 0)
        return cmd_usage(COMMAND, "which one? try 'weft bench models', or 'weft bench --help'");
    if (strcmp(what, "models") != 0)
        return cmd_usage(COMMAND, "there is no '%s' to measure; there is 'weft bench models'", what);
    return bench_models();
}
