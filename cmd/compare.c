/* compare.c - `weft compare`: the server models in turn under the same load. */
#include "compare.h"
#include "cmd.h"

#include <weft/base.h>
#include <weft/server.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define COMMAND "weft compare"

typedef struct settings {
    const char *job, *models, *clients, *html;
    unsigned threads, processes;
    int64_t duration;
    int tls, json, help;
} settings;

static settings set = {.job = "echo", .clients = "1,16,128,1000", .duration = WEFT_SECOND / 2};

static const cmd_option options[] = {
    {"job", CMD_CHOICE, &set.job, "echo http cpu io udp", 0, 0, "JOB",
     "echo (default): 64 bytes there and back; http: a page;\ncpu: some tenths of a millisecond of computing; "
     "io: 5 ms of waiting; udp: 64 bytes there and back, as datagrams"},
    {"tls", CMD_FLAG, &set.tls, NULL, 0, 0, NULL, "all over TLS, with a certificate made for it; not for the job udp"},
    {"models", CMD_TEXT, &set.models, NULL, 0, 0, "LIST", "models with commas between them (default: all)"},
    {"clients", CMD_TEXT, &set.clients, NULL, 0, 0, "LIST",
     "how many clients at once, step by step (default 1,16,128,1000)"},
    {"duration", CMD_TIME, &set.duration, NULL, 0, 0, "SECONDS", "of each step (default 0.5)"},
    {"threads", CMD_NUMBER, &set.threads, NULL, 1, 1024, "N",
     "threads or event loops of a server (default: the model's)"},
    {"processes", CMD_NUMBER, &set.processes, NULL, 1, 256, "N",
     "processes of each server: the hybrids (default: the model's)"},
    {"json", CMD_FLAG, &set.json, NULL, 0, 0, NULL, "print everything measured as JSON, and no table"},
    {"html", CMD_TEXT, &set.html, NULL, 0, 0, "FILE", "write a page with charts, which needs nothing else"},
    {"help", CMD_FLAG, &set.help, NULL, 0, 0, NULL, "this text"},
};

enum {
    OPTIONS = sizeof options / sizeof options[0],
    LINE = 60 /* columns of the line while it runs */
};

static int print_help(void)
{
    puts("weft compare - the server models beside each other, under the same load\n\n"
         "Usage: weft compare [options]\n\n"
         "One handler, unchanged, is served by each model in turn; so many clients ask, wait for the answer and ask "
         "again.\n");
    cmd_print_options(options, OPTIONS);
    fputs("\nModels:", stdout);
    for (const char *const *m = weft_server_models(); *m != NULL; m++)
        printf(" %s", *m);
    puts("\n\nExamples:\n"
         "  weft compare                                   all models, echo\n"
         "  weft compare --html report.html                the same with charts\n"
         "  weft compare --job http --tls                  what TLS costs each of them\n"
         "  weft compare --job io --models thread,pool,coroutine\n"
         "  weft compare --models pool,epoll --processes 2 --threads 2\n"
         "  weft compare --models iterative,epoll --clients 1,10,100 --json");
    return CMD_OK;
}

/* ---- the lists ---- */

static bool is_model(const char *name, size_t size, const char **found)
{
    for (const char *const *m = weft_server_models(); *m != NULL; m++)
        if (strlen(*m) == size && memcmp(*m, name, size) == 0) {
            *found = *m;
            return true;
        }
    return false;
}

static int add_model(compare_result *r, const char *name, size_t size)
{
    const char *found;
    if (!is_model(name, size, &found))
        return cmd_usage(COMMAND, "there is no model '%.*s' ('weft compare --help' lists them)", (int)size, name);
    if (r->nmodels == COMPARE_MODELS_MAX)
        return cmd_usage(COMMAND, "at most %d models", COMPARE_MODELS_MAX);
    r->models[r->nmodels++] = (compare_model){.name = found};
    return 0;
}

static int read_models(compare_result *r)
{
    if (set.models == NULL) {
        for (const char *const *m = weft_server_models(); *m != NULL; m++)
            add_model(r, *m, strlen(*m));
        return 0;
    }
    for (const char *at = set.models;;) {
        size_t size = strcspn(at, ",");
        int err = add_model(r, at, size);
        if (err != 0)
            return err;
        if (at[size] == 0)
            return 0;
        at += size + 1;
    }
}

/* Models that were asked for by name have to know what to do with an option. If they are simply all of them, those that
 * do not run without it, and that is said. */
static int check_option(const compare_result *r, const char *option, const char *(*why)(const char *model))
{
    char others[COMPARE_MODELS_MAX * 12] = "";
    for (unsigned i = 0; i < r->nmodels; i++) {
        const char *model = r->models[i].name, *reason = why(model);
        size_t at = strlen(others);
        if (reason != NULL && set.models != NULL)
            return cmd_usage(COMMAND, "--%s does not go with the model %s: %s", option, model, reason);
        if (reason != NULL)
            snprintf(others + at, sizeof others - at, "%s%s", at > 0 ? ", " : "", model);
    }
    if (others[0] != 0)
        fprintf(stderr, COMMAND ": --%s is nothing to %s\n", option, others);
    return 0;
}

static int check_models(const compare_result *r)
{
    int err = set.threads != 0 ? check_option(r, "threads", cmd_why_no_threads) : 0;
    return err == 0 && set.processes != 0 ? check_option(r, "processes", cmd_why_no_processes) : err;
}

static int read_clients(compare_result *r)
{
    for (const char *at = set.clients;;) {
        char *end;
        unsigned long n = at[0] >= '0' && at[0] <= '9' ? strtoul(at, &end, 10) : 0;
        if (n == 0 || n > COMPARE_CLIENTS_MAX || (*end != ',' && *end != 0) || r->nsteps == COMPARE_STEPS_MAX)
            return cmd_usage(COMMAND,
                             "--clients takes up to %d numbers from 1 to %d with commas between them (not '%s')",
                             COMPARE_STEPS_MAX, COMPARE_CLIENTS_MAX, set.clients);
        r->clients[r->nsteps++] = (unsigned)n;
        if (*end == 0)
            return 0;
        at = end + 1;
    }
}

/* Each client is a descriptor: who cannot be made here would be told of as refused by the server. */
static int check_files(const compare_result *r)
{
    enum {
        OTHERS = 16
    };
    struct rlimit files;
    unsigned most = 0;
    for (unsigned i = 0; i < r->nsteps; i++)
        most = r->clients[i] > most ? r->clients[i] : most;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_max >= most + OTHERS)
        return 0;
    return cmd_usage(COMMAND, "%u clients need more than the %llu open files that this user may have", most,
                     (unsigned long long)files.rlim_max);
}

static enum compare_job job_of(const char *name)
{
    for (int i = 0; i < COMPARE_JOBS; i++)
        if (strcmp(name, compare_jobs[i]) == 0)
            return (enum compare_job)i;
    return JOB_ECHO;
}

static int prepare_tls(compare_result *r)
{
    if (r->job == JOB_UDP)
        return cmd_usage(COMMAND, "--tls is for the jobs over streams, not for udp");
    int err = weft_tls_self_signed(r->certificate, r->key, "localhost");
    if (err == -EOPNOTSUPP)
        return cmd_usage(COMMAND, "this weft was built without TLS (OpenSSL 3)");
    if (err < 0)
        return cmd_usage(COMMAND, "--tls: no certificate can be made: %s", weft_strerror(err));
    r->tls = true;
    return 0;
}

/* Whether the page can be written; whoever is interrupted before it is leaves no empty one. */
static int try_to_write(const char *file)
{
    bool is_new = access(file, F_OK) < 0 && errno == ENOENT;
    FILE *f = fopen(file, "ae");
    if (f == NULL)
        return -errno;
    fclose(f);
    if (is_new)
        unlink(file);
    return 0;
}

/* ---- running ---- */

/* What runs now: one line, written over and over. */
static void show(const char *model, unsigned clients)
{
    char line[LINE + 1];
    int width = cmd_columns(STDERR_FILENO, LINE);
    snprintf(line, sizeof line, "%s, %u clients ...", model, clients);
    fprintf(stderr, "\r%-*.*s", width, width, line);
}

static int run_all(compare_result *r)
{
    bool shows = !set.json && isatty(STDERR_FILENO);
    int failed = 0;
    for (unsigned i = 0; i < r->nmodels; i++)
        for (unsigned k = 0; k < r->nsteps; k++) {
            if (shows)
                show(r->models[i].name, r->clients[k]);
            r->models[i].steps[k].load.clients = r->clients[k];
            compare_run(r, &r->models[i], k, set.threads, set.processes);
            failed |= r->models[i].steps[k].error != 0;
        }
    if (shows)
        fprintf(stderr, "\r%*s\r", cmd_columns(STDERR_FILENO, LINE), "");
    return failed ? CMD_FAILED : CMD_OK;
}

int cmd_compare(int argc, char **argv)
{
    static compare_result r;
    size_t count;
    int err = cmd_read_options(COMMAND, options, OPTIONS, argc, argv, NULL, &count, 0);
    if (err != 0)
        return err;
    if (set.help)
        return print_help();
    if ((err = read_models(&r)) != 0 || (err = read_clients(&r)) != 0 || (err = check_models(&r)) != 0 ||
        (err = check_files(&r)) != 0)
        return err;
    r.job = job_of(set.job);
    if (set.tls && (err = prepare_tls(&r)) != 0)
        return err;
    if (set.html != NULL && (err = try_to_write(set.html)) < 0) /* before the work and not after it */
        return cmd_usage(COMMAND, "--html '%s' cannot be written: %s", set.html, weft_strerror(err));
    signal(SIGPIPE, SIG_IGN);
    r.duration = set.duration;
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    r.processors = processors > 0 ? (unsigned)processors : 1;
    if (!set.json)
        printf("The job '%s'%s, %.2g s for each step, on %u processors that server and clients share.\n", set.job,
               r.tls ? " over TLS" : "", (double)set.duration / 1e9, r.processors);
    fflush(stdout);
    int code = run_all(&r);
    if (set.json)
        compare_print_json(&r, stdout);
    else
        compare_print_table(&r);
    if (set.html != NULL && (err = compare_write_html(&r, set.html)) < 0) {
        fprintf(stderr, COMMAND ": '%s' cannot be written: %s\n", set.html, weft_strerror(err));
        return CMD_FAILED;
    }
    if (set.html != NULL && !set.json)
        printf("The page with charts is %s.\n", set.html);
    return code;
}
