/* runner.c - main of every test binary: choose the cases, run them side by side, say what failed. It has one thread and
 * only forks and waits; each case has a keeper process of its own (keeper.c). */
#include "harness/internal.h"

#include <fcntl.h>
#include <fnmatch.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    MAX_FILTERS = 64,
    MAX_JOBS = 64,
    SHOWN_OUTPUT = 16 * 1024
};

typedef struct slot {
    pid_t keeper; /* 0: free */
    int output;
    const test__run *run;
    test__report *report;
} slot;

typedef struct globs {
    const char *globs[MAX_FILTERS];
    int count;
} globs;

static struct {
    globs filters, excludes;
    int jobs, repeat;
    bool list, json, verbose;
    double limit_factor;
} options = {.repeat = 1, .limit_factor = 1};

static test__case *cases;
static test__run *runs;
static size_t run_count, run_capacity;
static int passed, failed, skipped;
static const char **failures;

void test__register(test__case *c)
{
    c->next = cases;
    cases = c;
}

/* --- which cases --- */

static const char *context_name(unsigned context)
{
    return context == THREAD ? "thread" : context == CO ? "co" : context == PROCESS ? "process" : "";
}

/* The part of a path after the last "tests/". */
static const char *short_path(const char *path)
{
    const char *at = path;
    for (const char *found; (found = strstr(at, "tests/")) != NULL;)
        at = found + strlen("tests/");
    return at;
}

/* A pattern is for the whole name, the name without its context, or the file as "folder/file.c". */
static bool matches_any(const test__run *run, const globs *g)
{
    for (int i = 0; i < g->count; i++) {
        const char *glob = g->globs[i];
        if (fnmatch(glob, run->name, 0) == 0 || fnmatch(glob, run->of->name, 0) == 0 ||
            fnmatch(glob, short_path(run->of->file), 0) == 0)
            return true;
    }
    return false;
}

static bool is_chosen(const test__run *run)
{
    return (options.filters.count == 0 || matches_any(run, &options.filters)) && !matches_any(run, &options.excludes);
}

static void add_run(const test__case *c, unsigned context)
{
    if (run_count == run_capacity) {
        run_capacity = run_capacity ? 2 * run_capacity : 256;
        runs = realloc(runs, run_capacity * sizeof *runs);
        if (runs == NULL)
            abort();
    }
    test__run *run = &runs[run_count];
    *run = (test__run){.of = c, .context = context};
    snprintf(run->name, sizeof run->name, "%s%s%s", c->name, context ? "/" : "", context_name(context));
    if (is_chosen(run))
        run_count++;
}

static int compare_runs(const void *a, const void *b)
{
    return strcmp(((const test__run *)a)->name, ((const test__run *)b)->name);
}

static void collect_runs(void)
{
    for (const test__case *c = cases; c != NULL; c = c->next) {
        if (c->contexts == 0)
            add_run(c, 0);
        for (unsigned context = THREAD; context <= PROCESS; context <<= 1)
            if (c->contexts & context)
                add_run(c, context);
    }
    if (run_count > 0)
        qsort(runs, run_count, sizeof *runs, compare_runs);
    for (size_t i = 1; i < run_count; i++) {
        if (strcmp(runs[i - 1].name, runs[i].name) == 0) {
            fprintf(stderr, "two cases are named %s: %s:%d and %s:%d\n", runs[i].name, runs[i - 1].of->file,
                    runs[i - 1].of->line, runs[i].of->file, runs[i].of->line);
            exit(2);
        }
    }
}

/* --- saying what happened --- */

static void print_json_string(const char *text)
{
    putchar('"');
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++) {
        if (*p == '"' || *p == '\\')
            printf("\\%c", *p);
        else if (*p < 0x20)
            printf("\\u%04x", *p);
        else
            putchar(*p);
    }
    putchar('"');
}

static void print_output(int output)
{
    off_t size = lseek(output, 0, SEEK_END), from = size > SHOWN_OUTPUT ? size - SHOWN_OUTPUT : 0;
    if (from > 0)
        printf("    | (the first %lld bytes are left out)\n", (long long)from);
    bool line_start = true;
    char buffer[4096];
    for (ssize_t n; from < size && (n = pread(output, buffer, sizeof buffer, from)) > 0; from += n) {
        for (ssize_t i = 0; i < n; i++) {
            if (line_start)
                fputs("    | ", stdout);
            putchar(buffer[i]);
            line_start = buffer[i] == '\n';
        }
    }
    if (!line_start)
        putchar('\n');
}

static void print_result(const slot *s)
{
    static const char *const words[] = {[CASE_RETURNED] = "ok", [CASE_SKIPPED] = "SKIP", [CASE_FAILED] = "FAIL"};
    const test__report *report = s->report;
    if (options.json) {
        printf("{\"name\":");
        print_json_string(s->run->name);
        printf(",\"file\":");
        print_json_string(short_path(s->run->of->file));
        printf(",\"result\":\"%s\",\"seconds\":%.3f,\"message\":", words[report->state], report->seconds);
        print_json_string(report->message);
        puts("}");
        return;
    }
    if (report->state == CASE_RETURNED) {
        if (options.verbose)
            printf("ok   %s (%.3f s)\n", s->run->name, report->seconds);
        return;
    }
    printf("%s %s: %s\n", words[report->state], s->run->name, report->message);
    if (report->state == CASE_FAILED)
        print_output(s->output);
    fflush(stdout);
}

static void count_result(const slot *s)
{
    if (s->report->state == CASE_RETURNED) {
        passed++;
    } else if (s->report->state == CASE_SKIPPED) {
        skipped++;
    } else {
        failures[failed++] = s->run->name;
    }
}

static int print_summary(void)
{
    if (options.json) {
        printf("{\"passed\":%d,\"failed\":%d,\"skipped\":%d}\n", passed, failed, skipped);
    } else {
        for (int i = 0; i < failed; i++)
            printf("failed: %s\n", failures[i]);
        if (passed + failed + skipped == 0)
            puts("no case was chosen");
        printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
    }
    return failed > 0 || passed + skipped == 0;
}

/* --- running --- */

static void start(slot *s, const test__run *run)
{
    s->run = run;
    memset(s->report, 0, sizeof *s->report);
    s->output = memfd_create("output", MFD_CLOEXEC);
    if (s->output < 0 || fcntl(s->output, F_SETFL, O_APPEND) != 0) {
        perror("memfd_create");
        exit(2);
    }
    fflush(stdout);
    s->keeper = fork();
    if (s->keeper == 0)
        test__keep(run, s->report, s->output);
    if (s->keeper < 0) {
        perror("fork");
        exit(2);
    }
}

static void finish_one(slot *slots)
{
    int status;
    pid_t pid = waitpid(-1, &status, 0);
    for (int i = 0; i < options.jobs; i++) {
        slot *s = &slots[i];
        if (s->keeper != pid)
            continue;
        if (status != 0) {
            s->report->state = CASE_RUNNING;
            test__settle(s->report, CASE_FAILED, "its keeper process died");
        }
        print_result(s);
        count_result(s);
        close(s->output);
        s->keeper = 0;
    }
}

static void run_all(void)
{
    slot slots[MAX_JOBS] = {0};
    for (int i = 0; i < options.jobs; i++) {
        slots[i].report =
            mmap(NULL, sizeof *slots[i].report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (slots[i].report == MAP_FAILED) {
            perror("mmap");
            exit(2);
        }
    }
    int running = 0;
    for (size_t i = 0; i < run_count * (size_t)options.repeat; i++) {
        if (running == options.jobs) {
            finish_one(slots);
            running--;
        }
        int free_slot = 0;
        while (slots[free_slot].keeper != 0)
            free_slot++;
        start(&slots[free_slot], &runs[i % run_count]);
        running++;
    }
    for (; running > 0; running--)
        finish_one(slots);
}

/* --- the command line --- */

static void print_help(const char *program)
{
    printf("usage: %s [-j N] [--list] [--filter GLOB ...] [--exclude GLOB ...] [--limit-factor F] [--repeat N] "
           "[--json] [-v]\n"
           "\n"
           "  -j, --jobs N        cases at a time; default: processors of this process\n"
           "  -l, --list          print the names and run nothing\n"
           "  -f, --filter GLOB   only cases whose name, or whose file as folder/file.c, matches; may be repeated\n"
           "  -x, --exclude GLOB  not these\n"
           "  --limit-factor F    stretch every time limit\n"
           "  --repeat N          run the chosen cases N times over\n"
           "  --json              one JSON object a case, and one with the counts at the end\n"
           "  -v, --verbose       also name the cases that passed, with their times\n"
           "\n"
           "Example: %s -v --filter 'lock_*/co' --filter 'park/*'\n",
           program, program);
}

static void add_glob(globs *g, const char *glob)
{
    if (g->count == MAX_FILTERS) {
        fprintf(stderr, "more than %d patterns\n", MAX_FILTERS);
        exit(2);
    }
    g->globs[g->count++] = glob;
}

static void parse_options(int argc, char **argv)
{
    static const struct option longs[] = {{"jobs", required_argument, NULL, 'j'},
                                          {"list", no_argument, NULL, 'l'},
                                          {"filter", required_argument, NULL, 'f'},
                                          {"json", no_argument, NULL, 'J'},
                                          {"repeat", required_argument, NULL, 'r'},
                                          {"verbose", no_argument, NULL, 'v'},
                                          {"help", no_argument, NULL, 'h'},
                                          {"exclude", required_argument, NULL, 'x'},
                                          {"limit-factor", required_argument, NULL, 'F'},
                                          {NULL, 0, NULL, 0}};
    cpu_set_t set;
    options.jobs = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    for (int option; (option = getopt_long(argc, argv, "j:lf:x:vh", longs, NULL)) != -1;) {
        switch (option) {
        case 'j':
            options.jobs = atoi(optarg);
            break;
        case 'l':
            options.list = true;
            break;
        case 'J':
            options.json = true;
            break;
        case 'v':
            options.verbose = true;
            break;
        case 'r':
            options.repeat = atoi(optarg);
            break;
        case 'F':
            options.limit_factor = atof(optarg);
            break;
        case 'h':
            print_help(argv[0]);
            exit(0);
        case 'f':
            add_glob(&options.filters, optarg);
            break;
        case 'x':
            add_glob(&options.excludes, optarg);
            break;
        default:
            exit(2);
        }
    }
    for (; optind < argc; optind++)
        add_glob(&options.filters, argv[optind]);
    if (options.jobs > MAX_JOBS)
        options.jobs = MAX_JOBS;
    if (options.jobs < 1 || options.repeat < 1 || options.limit_factor <= 0) {
        fprintf(stderr, "%s: -j, --repeat and --limit-factor take a number above 0\n", argv[0]);
        exit(2);
    }
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0); /* the cases inherit it: what they printed is out when they are killed */
    parse_options(argc, argv);
    test__factor = test__build_factor() * options.limit_factor;
    collect_runs();
    if (options.list) {
        for (size_t i = 0; i < run_count; i++)
            printf("%s\n", runs[i].name);
        return 0;
    }
    failures = calloc(run_count * (size_t)options.repeat + 1, sizeof *failures);
    if (failures == NULL)
        abort();
    run_all();
    int status = print_summary();
    free(failures);
    free(runs);
    return status;
}
