/* options.c - long options for every subcommand: --name value, --name=value, flags; what is wrong is said in one line.
 */
#include "cmd.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int cmd_usage(const char *command, const char *fmt, ...)
{
    char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    for (char *p = text; *p != 0; p++) /* what came from the command line cannot write to the terminal */
        if (iscntrl((unsigned char)*p))
            *p = '?';
    fprintf(stderr, "%s: %s\n", command, text);
    return CMD_USAGE;
}

/* ---- near misses ---- */

/* How many letters have to be put in, taken out or changed to make b of a (Levenshtein). */
static unsigned distance(const char *a, const char *b, size_t b_len)
{
    enum {
        LONGEST = 32
    };
    unsigned row[LONGEST + 1];
    if (b_len > LONGEST)
        return LONGEST;
    for (size_t j = 0; j <= b_len; j++)
        row[j] = (unsigned)j;
    for (size_t i = 0; a[i] != 0; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i + 1;
        for (size_t j = 0; j < b_len; j++) {
            unsigned change = diagonal + (a[i] != b[j]), put = row[j] + 1, take = row[j + 1] + 1;
            diagonal = row[j + 1];
            row[j + 1] = change < put ? (change < take ? change : take) : (put < take ? put : take);
        }
    }
    return row[b_len];
}

bool cmd_nearest(const char *word, const char *words, char *out, size_t size)
{
    unsigned best = strlen(word) < 3 ? (unsigned)strlen(word) : 3; /* at most two letters off, and not all of them */
    bool found = false;
    for (const char *p = words; *p != 0;) {
        size_t len = strcspn(p, " ");
        unsigned d = distance(word, p, len);
        if (d < best && len < size) {
            best = d;
            found = true;
            memcpy(out, p, len);
            out[len] = 0;
        }
        p += len;
        p += strspn(p, " ");
    }
    return found;
}

/* ---- values ---- */

static bool read_number(const char *text, uint64_t *out)
{
    char *end;
    if (!isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return errno == 0 && *end == 0;
}

static bool read_size(const char *text, int64_t *out)
{
    char *end;
    if (!isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    unsigned shift = 0;
    switch (toupper((unsigned char)*end)) {
    case 'K':
        shift = 10;
        break;
    case 'M':
        shift = 20;
        break;
    case 'G':
        shift = 30;
        break;
    }
    end += shift > 0;
    if (errno != 0 || *end != 0 || n > (unsigned long long)INT64_MAX >> shift)
        return false;
    *out = (int64_t)(n << shift);
    return true;
}

static bool read_time(const char *text, int64_t *out)
{
    char *end;
    if (!isdigit((unsigned char)text[0]) && text[0] != '.')
        return false;
    double seconds = strtod(text, &end);
    if (*end != 0 || !(seconds > 0) || seconds > 1e9)
        return false;
    *out = (int64_t)(seconds * 1e9);
    return *out > 0; /* less than a nanosecond would be none, which is no choice of the user's */
}

static bool is_choice(const char *word, const char *choices)
{
    size_t n = strlen(word);
    for (const char *p = choices; *p != 0;) {
        size_t len = strcspn(p, " ");
        if (len == n && memcmp(p, word, n) == 0)
            return true;
        p += len;
        p += strspn(p, " ");
    }
    return false;
}

static int read_value(const char *command, const cmd_option *o, const char *text)
{
    cmd_texts *texts = o->value;
    uint64_t n;
    switch (o->kind) {
    case CMD_FLAG:
        *(int *)o->value = 1;
        return 0;
    case CMD_TEXT:
        *(const char **)o->value = text;
        return 0;
    case CMD_TEXTS:
        if (texts->count == sizeof texts->text / sizeof texts->text[0])
            return cmd_usage(command, "--%s is given more than %u times", o->name, texts->count);
        texts->text[texts->count++] = text;
        return 0;
    case CMD_CHOICE:
        if (!is_choice(text, o->choices))
            return cmd_usage(command, "--%s is one of: %s (not '%s')", o->name, o->choices, text);
        *(const char **)o->value = text;
        return 0;
    case CMD_NUMBER:
        if (!read_number(text, &n) || n < o->least || n > o->most)
            return cmd_usage(command, "--%s takes a number from %llu to %llu (not '%s')", o->name,
                             (unsigned long long)o->least, (unsigned long long)o->most, text);
        *(unsigned *)o->value = (unsigned)n;
        return 0;
    case CMD_SIZE:
        if (!read_size(text, o->value))
            return cmd_usage(command, "--%s takes a size such as 4096, 64K or 32M (not '%s')", o->name, text);
        if (*(int64_t *)o->value < (int64_t)o->least || *(int64_t *)o->value > (int64_t)o->most)
            return cmd_usage(command, "--%s takes a size from %llu to %llu bytes (not '%s')", o->name,
                             (unsigned long long)o->least, (unsigned long long)o->most, text);
        return 0;
    case CMD_TIME:
        if (!read_time(text, o->value))
            return cmd_usage(command, "--%s takes seconds, more than 0, such as 10 or 0.5 (not '%s')", o->name, text);
        return 0;
    }
    return 0;
}

/* ---- what goes with a server model ---- */

const char *cmd_why_no_threads(const char *model)
{
    static const char *const reasons[][2] = {
        {"iterative", "it serves one client after the other"},
        {"prefork", "each of its processes serves one client after the other"},
        {"thread", "it has a thread for each client"},
        {"process", "it has a process for each client"},
    };
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (strcmp(model, reasons[i][0]) == 0)
            return reasons[i][1];
    return NULL;
}

const char *cmd_why_no_processes(const char *model)
{
    return strcmp(model, "process") == 0 ? "it has a process for each client" : NULL;
}

/* ---- the command line ---- */

/* The one name among `words` of which `part` is what lies between dashes: "cert" of "tls-cert". */
static bool name_with_part(const char *part, const char *words, char *out, size_t size)
{
    size_t want = strlen(part);
    unsigned found = 0;
    for (const char *p = words; *p != 0; p += strspn(p, " ")) {
        size_t len = strcspn(p, " ");
        for (const char *q = p; q < p + len; q += strcspn(q, "- "), q += *q == '-')
            if (strcspn(q, "- ") == want && strncmp(q, part, want) == 0 && len < size) {
                found++;
                snprintf(out, size, "%.*s", (int)len, p);
            }
        p += len;
    }
    return found == 1;
}

static int unknown_option(const char *command, const cmd_option *options, size_t n, const char *name)
{
    char words[1024] = "help", near[64];
    for (size_t i = 0; i < n; i++) {
        size_t at = strlen(words);
        snprintf(words + at, sizeof words - at, " %s", options[i].name);
    }
    if (name_with_part(name, words, near, sizeof near) || cmd_nearest(name, words, near, sizeof near))
        return cmd_usage(command, "there is no option --%s; did you mean --%s? ('%s --help' lists them)", name, near,
                         command);
    return cmd_usage(command, "there is no option --%s ('%s --help' lists them)", name, command);
}

static int too_many(const char *command, const cmd_option *options, size_t n, const char *arg)
{
    bool number = arg[0] != 0 && arg[strspn(arg, "0123456789")] == 0;
    for (size_t i = 0; number && i < n; i++)
        if (strcmp(options[i].name, "port") == 0)
            return cmd_usage(command, "'%s' is one argument too many; a port is given as --port %s", arg, arg);
    return cmd_usage(command, "'%s' is one argument too many ('%s --help' shows how)", arg, command);
}

int cmd_read_options(const char *command, const cmd_option *options, size_t n, int argc, char **argv, const char **rest,
                     size_t *count, size_t room)
{
    bool only_arguments = false;
    *count = 0;
    for (int i = 1; i < argc; i++) {
        char *arg = argv[i];
        if (!only_arguments && strcmp(arg, "--") == 0) {
            only_arguments = true;
            continue;
        }
        if (only_arguments || arg[0] != '-' || arg[1] == 0) {
            if (*count == room)
                return too_many(command, options, n, arg);
            rest[(*count)++] = arg;
            continue;
        }
        if (arg[1] != '-')
            return cmd_usage(command, "options are written with two dashes: '%s' ('%s --help' lists them)", arg,
                             command);
        char name[64];
        const char *value = strchr(arg, '=');
        size_t len = value != NULL ? (size_t)(value - arg) - 2 : strlen(arg) - 2;
        snprintf(name, sizeof name, "%.*s", (int)(len < sizeof name ? len : sizeof name - 1), arg + 2);
        const cmd_option *o = NULL;
        for (size_t k = 0; k < n && o == NULL; k++)
            if (strcmp(options[k].name, name) == 0)
                o = &options[k];
        if (o == NULL)
            return unknown_option(command, options, n, name);
        if (o->kind == CMD_FLAG && value != NULL)
            return cmd_usage(command, "--%s takes no value", name);
        if (o->kind != CMD_FLAG && value == NULL && i + 1 == argc)
            return cmd_usage(command, "--%s takes a value: %s", name, o->arg);
        const char *text = value != NULL ? value + 1 : o->kind != CMD_FLAG ? argv[++i] : "";
        int err = read_value(command, o, text);
        if (err != 0)
            return err;
    }
    return 0;
}

void cmd_print_options(const cmd_option *options, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char left[64];
        const cmd_option *o = &options[i];
        snprintf(left, sizeof left, "--%s %s", o->name, o->arg != NULL ? o->arg : "");
        for (const char *p = o->help; p != NULL;) { /* the further lines of a help text go under the first */
            const char *end = strchr(p, '\n');
            printf("  %-24s %.*s\n", p == o->help ? left : "", end != NULL ? (int)(end - p) : (int)strlen(p), p);
            p = end != NULL ? end + 1 : NULL;
        }
    }
}
